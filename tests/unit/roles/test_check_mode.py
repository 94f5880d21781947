# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode of what no test on hosts looks at: the tasks themselves, run by Ansible with a plan as the hosts would give it. Programs are not started then."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.covstack.selfhosted.tests.unit.roles.play import BEFORE, SERVES, plan, play


@pytest.mark.parametrize(
    ("role", "tasks_from", "split", "says"),
    [
        ("compose", "rollback", False, f"Would start release {BEFORE} in slot green, switch to it from {SERVES}"),
        ("compose", "split_roll", True, "Would drain this host, run release"),
        ("compose", "remove", False, "Would remove 2 containers and their networks. Data and files stay."),
        ("verify", "smoke", False, "Would upload a report to http://codecov.example.com."),
    ],
)
def test_it_says_what_would_be_done_and_does_not_do_it(role: str, tasks_from: str, split: bool, says: str, tmp_path: Path) -> None:
    variables = {"codecov_plan": plan(tmp_path, split), "__compose_config": {"digest": "d"}}
    assert says in play(tmp_path, role, tasks_from, variables, "--check")
    assert {path.name for path in tmp_path.iterdir()} == {"play.yml", "ansible"}
