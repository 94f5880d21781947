# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments of Strategy II for measurements, on hosts that are made for one and removed after it: idle ones would disturb the others."""

from __future__ import annotations

import contextlib
import pathlib
import typing as t

from lab import hosts, registry

from . import deployment, peers

PREFIX = "bench-"
ADDRESS = "10.111.0.119"  # the virtual one of the load balancers
WITHOUT_DOCKER = "load_balancers"
Groups = t.Mapping[str, t.Sequence[str]]

# As few hosts as have every kind, and four times as many.
THREE: Groups = {"load_balancers": ["small-lb"], "web": ["small-app"], "worker": ["small-app"], "data": ["small-data"], "storage": ["small-data"]}
TWELVE: Groups = {
    "load_balancers": ["lb1", "lb2"],
    "web": ["web1", "web2", "web3", "web4"],
    "worker": ["worker1", "worker2", "worker3", "worker4"],
    "data": ["data"],
    "storage": ["storage"],
}


def host(member: str) -> str:
    return PREFIX + member


def pair(*application: str) -> Groups:
    """Two load balancers before these hosts, which are web and worker hosts at once; the data of all on one more."""
    return {"load_balancers": ["lb1", "lb2"], "web": application, "worker": application, "data": ["store"], "storage": ["store"]}


def inventory(title: str, groups: Groups, **settings: t.Any) -> pathlib.Path:
    """The hosts, and what a user would write for them. With one load balancer there is no virtual address, and no claim of high availability."""
    registry.up()
    named = {group: [host(member) for member in members] for group, members in groups.items()}
    addresses = {name: hosts.create(name, bare=name in named[WITHOUT_DOCKER]) for members in named.values() for name in members}
    directory = peers.inventory(title, {"codecov": sorted(addresses), **named})
    balancers = named["load_balancers"]
    if len(balancers) > 1:
        place: dict[str, t.Any] = {"codecov_url": f"http://{ADDRESS}", "codecov_virtual_address": ADDRESS}
    else:
        place = {"codecov_url": f"http://{addresses[balancers[0]]}", "codecov_high_availability": False}
    deployment.write_settings(directory, {**place, **settings})
    return directory


@contextlib.contextmanager
def removed_after(*deployments: Groups) -> t.Iterator[None]:
    """The hosts of these deployments, whatever becomes of the measurement."""
    try:
        yield
    finally:
        hosts.destroy(*sorted({host(member) for groups in deployments for members in groups.values() for member in members}))
