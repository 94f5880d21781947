# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rolling upgrade is taken apart into."""

from __future__ import annotations

import dataclasses
import json

import pytest
from bench.measure_split_upgrade import STOPPED, TURN, Change, Start, Upgrade, changes_of, starts_of, undisturbed


def event(kind: str, name: str, second: int) -> str:
    return json.dumps({"_event": f"v2_playbook_on_{kind}_start", kind: {"name": name, "duration": {"start": f"2026-11-22T07:00:{second:02}.000000Z"}}})


OUTPUT = "\n".join([
    event("play", "Lock", 1), event("task", f"covstack.selfhosted.compose : {STOPPED}", 2),
    event("play", f"{TURN}; the first is the gate", 10),
    event("task", "Drain", 11),
    event("task", f"role : {STOPPED}", 14),
    event("task", f"role : {STOPPED}", 15),
    event("play", f"{TURN}; the first is the gate", 20), event("task", f"role : {STOPPED}", 25),
    event("play", "Proof", 32), "[WARNING]: something else", event("task", "Verify", 33),
])


def test_each_host_has_its_turn_and_the_rest_is_the_constant() -> None:
    changes = changes_of(starts_of(OUTPUT))
    assert changes == [Change(4, 6), Change(5, 7)]
    assert Upgrade(40, changes).constant == pytest.approx(18)


def test_a_host_that_nothing_was_stopped_on_did_not_change() -> None:
    assert changes_of(starts_of(OUTPUT.replace(f"role : {STOPPED}", "role : Something"))) == []


def disturbed(seconds: float, step: int) -> list[Start]:
    """One step took longer."""
    return [dataclasses.replace(start, seconds=start.seconds + (seconds if index > step else 0)) for index, start in enumerate(starts_of(OUTPUT))]


def test_every_step_counts_with_the_run_that_took_least_for_it() -> None:
    # 32 s from the first step to the last one; the rest took 8 s, then 7 s.
    upgrade = undisturbed([(32 + 3 + 8, disturbed(3, step=3)), (32 + 2 + 7, disturbed(2, step=8))])
    assert upgrade.changes == [Change(4, 6), Change(5, 7)]
    assert upgrade.seconds == pytest.approx(32 + 7)


def test_runs_that_took_other_steps_are_not_compared() -> None:
    with pytest.raises(RuntimeError, match="10 and 9 steps|9 and 10 steps"):
        undisturbed([(40, starts_of(OUTPUT)), (40, starts_of(OUTPUT)[:-1])])
