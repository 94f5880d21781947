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
