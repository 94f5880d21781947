# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Which containers of the application are older than the embedded Redis that they talk to.

A process that sent a task before Redis went away hangs in the next one, for good (docs/troubleshooting.md). Nothing inside it tells, so the times of
Docker have to.

Private to this collection.
"""

from __future__ import annotations

from collections.abc import Mapping

REDIS_SERVICE = "redis"
_NEVER = "0001-"  # how Docker writes the time of what did not happen


def moment(text: str) -> str:
    """A time of Docker's such that later ones compare as greater: it writes as many digits of the fraction as it needs."""
    seconds, _separator, fraction = text.rstrip("Z").partition(".")
    return f"{seconds}.{fraction:0<9}"


def connections_lost_at(redis_state: Mapping[str, str]) -> str:
    """When whoever used Redis lost the connection: as its container last ended. One that never did may have taken the place of another as it started.

    Not as it started in any case: after a restart of the engine or the host everything starts anew, in any order, and nothing is older.
    """
    finished = redis_state.get("FinishedAt") or _NEVER
    return moment(redis_state.get("StartedAt") or "") if finished.startswith(_NEVER) else moment(finished)


def older_than_redis(redis_state: Mapping[str, str], clients: Mapping[str, str]) -> list[str]:
    """The names of those that lost a connection to Redis, of the containers that use it: name -> when it was started."""
    lost = connections_lost_at(redis_state)
    return sorted(name for name, started in clients.items() if moment(started) < lost)
