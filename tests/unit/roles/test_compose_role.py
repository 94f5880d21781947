# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of the steps of the role compose, where it matters when a run is killed between two of them."""

from __future__ import annotations

from pathlib import Path

import yaml

TASKS = Path(__file__).resolve().parents[3] / "roles" / "compose" / "tasks"


def names_of(file: str) -> list[str]:
    return [task["name"] for task in yaml.safe_load((TASKS / file).read_text("utf-8"))]


def test_a_switch_is_never_without_its_audit_line() -> None:
    names = names_of("release_gate.yml")
    assert names.index("Write the audit line") + 1 == names.index("Switch the edge to the slot")
