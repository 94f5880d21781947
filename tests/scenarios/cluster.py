# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deployment of scenario storage_cluster: its hosts, and what they say of themselves."""

from __future__ import annotations

import json

import yaml
from lab import hosts
from lab.shell import CACHE, ROOT

from .split import on, receives

BALANCER, APP = "sc-lb", "sc-app"
STORAGE = {"sc-storage1": "10.111.0.111", "sc-storage2": "10.111.0.112", "sc-storage3": "10.111.0.113"}
URL = "http://10.111.0.109"
INVENTORIES = (ROOT / "molecule/shared/inventory", ROOT / "molecule/storage_cluster/inventory", CACHE / "scenarios/storage_cluster/hosts.yml")
VERSION = yaml.safe_load((ROOT / "catalogue/platform.yml").read_text())["services"]["storage"]["variants"]["seaweedfs_replicated"]["version"]
OTHER_VERSION = f"{VERSION}.1"
BACK_WITHIN = 120


def all_receive() -> bool:
    return all(receives(BALANCER, name, "storage") for name in STORAGE)


def leader() -> str:
    """The storage host whose master decides what is written where, as its program says; empty while there is none."""
    for name in set(STORAGE) & set(hosts.addresses()):
        answer = on(name, "curl --silent --max-time 2 http://$(hostname -i):9333/cluster/status || true")
        address = (json.loads(answer or "{}").get("Leader") or "").partition(":")[0]
        if address in STORAGE.values():
            return next(host for host, own in STORAGE.items() if own == address)
    return ""


def everything_serves() -> bool:
    return bool(leader()) and all_receive()


def version_of(host: str) -> str:
    return on(host, "docker inspect --format '{{.Config.Image}}' codecov-storage-1").rpartition(":")[2]


def offer_other_version() -> None:
    """The same program under another tag, as if it had been pulled: a change that no run can tell from another version."""
    for name in STORAGE:
        repository = on(name, "docker inspect --format '{{.Config.Image}}' codecov-storage-1").rpartition(":")[0]
        on(name, f"docker tag {repository}:{VERSION} {repository}:{OTHER_VERSION}")
