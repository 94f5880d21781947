# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Placement: which hosts there are, of which kinds, and how they reach each other.

A host's kinds are the inventory groups it is in. Where no host has a kind, each host runs everything (Strategy I); where one has,
the deployment is split (Strategy II), and each host runs what belongs to its kinds. A host of the group C(kubernetes) stands for a cluster (Strategy III).
"""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

KINDS = ("load_balancers", "web", "worker", "storage", "data")
APPLICATION_KINDS = ("web", "worker")
# Its hosts stand for Kubernetes clusters: what they run, the cluster places (Strategy III).
CLUSTERS = "kubernetes"


@dataclasses.dataclass(frozen=True)
class Host:
    """A host of the inventory. `address` is how the other hosts reach it; `common` holds the settings that all hosts must share, as given."""

    name: str
    address: str = ""
    kinds: t.Tuple[str, ...] = ()
    groups: t.Tuple[str, ...] = ()
    common: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)

    def is_of(self, *kinds: str) -> bool:
        return any(kind in self.kinds for kind in kinds)

    @property
    def bind_address(self) -> str:
        """Where the host publishes what other hosts need: its address, or everywhere where only a name of it is known."""
        return self.address if is_ip(self.address) else "0.0.0.0"


def is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@dataclasses.dataclass(frozen=True)
class Placement:
    """All hosts of the deployment, in the order of the inventory."""

    hosts: t.Tuple[Host, ...] = ()
    is_cluster: bool = False

    @property
    def is_split(self) -> bool:
        return any(host.kinds for host in self.hosts)

    def of_kind(self, *kinds: str) -> t.List[Host]:
        return [host for host in self.hosts if host.is_of(*kinds)]

    @property
    def application(self) -> t.List[Host]:
        """Hosts of the application, web hosts first: the order of a rolling change."""
        return [*self.of_kind("web"), *(host for host in self.of_kind("worker") if not host.is_of("web"))]

    @property
    def keeper(self) -> t.Optional[Host]:
        """The host that generates and keeps the secrets, migrates, and is the gate of a release."""
        return next(iter(self.application), None)

    def host(self, name: str) -> t.Optional[Host]:
        return next((host for host in self.hosts if host.name == name), None)


def placement_of(hosts: t.Iterable[Host], groups: t.Mapping[str, t.Sequence[str]]) -> Placement:
    """The placement of hosts by the groups of an inventory."""
    hosts = list(hosts)
    known = [(host, tuple(kind for kind in KINDS if host.name in groups.get(kind, ()))) for host in hosts]
    clusters = groups.get(CLUSTERS, ())
    return Placement(tuple(dataclasses.replace(host, kinds=kinds) for host, kinds in known), any(host.name in clusters for host in hosts))


def of_inventory(variables: t.Mapping[str, t.Any]) -> Placement:
    """The placement as the variables of a task know it, without the hosts' settings."""
    groups, known = variables.get("groups", {}), variables["hostvars"]
    return placement_of((Host(name, address_of(known[name])) for name in groups.get("codecov", ())), groups)


def address_of(variables: t.Mapping[str, t.Any]) -> str:
    return str(variables.get("codecov_address") or variables.get("ansible_host") or "")
