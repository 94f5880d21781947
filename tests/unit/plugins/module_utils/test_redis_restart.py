# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which containers are older than Redis, by the times that Docker gives."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils._redis_restart import moment, older_than_redis

NEVER = "0001-01-01T00:00:00Z"


def at(time: str) -> str:
    return f"2026-11-21T{time}Z"


@pytest.mark.parametrize(("started", "finished", "client", "older"), [
    (at("10:00:00"), NEVER, at("10:00:01"), False),
    # Restarted in place: what was started before it ended was connected to it.
    (at("12:00:01"), at("12:00:00"), at("10:00:01"), True),
    (at("12:00:01"), at("12:00:00"), at("12:00:02"), False),
    # Engine or host restarted: both ended before either was started, in whatever order that was.
    (at("12:00:09"), at("12:00:00"), at("12:00:05"), False),
    # Another container took the place of the one that ended; what came before lasted in that one.
    (at("12:00:01"), NEVER, at("10:00:01"), True),
    # Not started yet.
    (at("12:00:01"), at("12:00:00"), NEVER, True),
])
def test_older(started: str, finished: str, client: str, older: bool) -> None:
    assert older_than_redis({"StartedAt": started, "FinishedAt": finished}, {"api": client}) == (["api"] if older else [])


def test_docker_leaves_out_the_last_zeros_of_a_fraction() -> None:
    times = [NEVER, at("10:00:00"), at("10:00:00.000000001"), at("10:00:00.1"), at("10:00:00.12"), at("10:00:00.123456789"), at("10:00:01")]
    assert all(moment(earlier) < moment(later) for earlier, later in itertools.combinations(times, 2))


def test_names_in_order() -> None:
    redis = {"StartedAt": at("12:00:01"), "FinishedAt": at("12:00:00")}
    assert older_than_redis(redis, {"worker": at("11:00:00"), "new": at("12:00:02"), "api": at("11:00:00.5")}) == ["api", "worker"]
