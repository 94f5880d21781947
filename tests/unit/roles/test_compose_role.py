# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of the steps of the role compose, where it matters when a run is killed between two of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

TASKS = Path(__file__).resolve().parents[3] / "roles" / "compose" / "tasks"


def task_of(file: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(task for task in yaml.safe_load((TASKS / file).read_text("utf-8")) if task["name"] == name)
    return found


def test_a_switch_is_never_without_its_audit_line() -> None:
    """file_set writes it before the file; see its own tests."""
    switch = task_of("release_gate.yml", "Switch the edge to the slot")["covstack.selfhosted.file_set"]
    assert switch["journal"]["file"] == "audit.log" and "__compose_release" in switch["journal"]["line"]


def test_a_refused_release_is_not_what_a_split_host_says_it_runs() -> None:
    """It says so before the host is put back, which may fail. Whoever reads it next must find the release that served, also if this run is killed here."""
    change = [task["name"] for task in task_of("split_change.yml", "Change the host")["block"]]
    assert change.index("Say what serves here") < change.index("Put the host back")
    again, nothing, *_rest = task_of("split_go_back.yml", "Go back to the release that served")["block"]
    assert again["ansible.builtin.include_tasks"] == "split_active.yml"
    # Not __compose_release, which the condition of the block asks for, too: the task would be skipped.
    assert again["vars"] == {"__compose_serves": "{{ __compose_active }}"}
    assert nothing["ansible.builtin.file"] == {"path": "{{ __compose_directory }}/slots/active.yml", "state": "absent"}
    assert {again["when"], nothing["when"]} == {"__compose_active | length > 0", "__compose_active | length == 0"}
