# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbook health finds wrong with a load balancer: the variables that decide it, as Ansible computes them."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).resolve().parents[3] / "roles" / "load_balancer"
# From ansible-core 2.19 on a text is a template only when its source is trusted.
TRUSTED = {"trusted_as_template": True} if "trusted_as_template" in inspect.signature(DataLoader.load_from_file).parameters else {}
ADDRESS = "192.0.2.100"
WELL = {"backend": "web", "name": "app1", "status": "UP", "admin": "ready", "check": "L7OK 200", "receives": True}
NOT_READY = {**WELL, "name": "app2", "status": "DOWN", "check": "L7STS 503", "receives": False}
DRAINED = {**WELL, "name": "app2", "status": "DRAIN", "admin": "drain", "receives": False}


def seen(holds: bool, *servers: dict[str, Any], reason: str = "") -> dict[str, Any]:
    return {"answers": not reason, "reason": reason, "holds_address": None if reason else holds, "servers": list(servers)}


def unwell(mine: dict[str, Any], other: dict[str, Any] | None, limited_to: tuple[str, ...] = ("lb1", "lb2")) -> list[str]:
    """Of lb1, beside a lb2 that said something else, or could not be reached."""
    loader = DataLoader()
    given = {name: value for file in ("defaults", "vars") for name, value in loader.load_from_file(str(ROLE / file / "main.yml"), **TRUSTED).items()}
    said = {"lb1": {"__load_balancer_seen": mine}, "lb2": {"__load_balancer_seen": other} if other else {}}
    hosts = {name: {"inventory_hostname": name, **facts} for name, facts in said.items()}
    placement = {"load_balancers": [{"name": name, "address": ""} for name in hosts], "virtual_address": ADDRESS}
    run = {"codecov_plan": {"placement": placement}, "hostvars": hosts, "ansible_play_hosts_all": list(limited_to), "inventory_hostname": "lb1"}
    found: list[str] = Templar(loader=loader, variables={**given, **run, **said["lb1"]}).template(given["__load_balancer_unwell"])
    return found


@pytest.mark.parametrize(
    ("mine", "other", "says"),
    [
        (seen(True, WELL), seen(False, WELL), []),
        (seen(False, WELL), seen(True, WELL), []),
        (seen(True, WELL), None, []),
        (seen(True, WELL, NOT_READY), seen(False, WELL), ["sends no requests to web/app2, which is DOWN; its check says L7STS 503 -> mend what"]),
        (seen(True, WELL, DRAINED), seen(False, WELL), ["sends no requests to web/app2, which is DRAIN; its check says L7OK 200 -> run deploy,"]),
        (seen(False, WELL), None, ["no load balancer holds 192.0.2.100 -> repair keepalived"]),
        (seen(True, WELL), seen(True, WELL), ["lb1 and lb2 hold 192.0.2.100 -> repair keepalived"]),
        (seen(False, reason="HAProxy does not answer."), seen(True, WELL), ["HAProxy does not answer. -> repair it"]),
    ],
    ids=["it holds", "the other holds", "the other is away", "a host not ready", "a host drained by hand", "nobody holds", "both hold", "it is away"],
)
def test_a_balancer_is_well_or_says_what_is_wrong(mine: dict[str, Any], other: dict[str, Any] | None, says: list[str]) -> None:
    found = unwell(mine, other)
    assert len(found) == len(says)
    assert all(line.startswith(begin) for line, begin in zip(found, says)), found


def test_who_holds_the_address_is_not_judged_where_a_balancer_is_left_out() -> None:
    assert unwell(seen(False, WELL), None, limited_to=("lb1",)) == []
