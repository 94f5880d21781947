# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rolling upgrade is taken apart into."""

from __future__ import annotations

import json

import pytest
from bench.measure_split_upgrade import STOPPED, TURN, Change, Upgrade, changes_of, starts_of


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
