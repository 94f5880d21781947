# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Sizing: from reports per minute to machines, and what a host lacks for what it shall run.

The building block is the deployment guide's: 25 reports a minute need one n1-standard-8 (8 vCPU, 30 GB) for all of Strategy I. Both the
guide and we call it a starting point, so a host below it is a warning; only what cannot work at all is an error.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import Deployment
from ansible_collections.covstack.selfhosted.plugins.module_utils._settings import Problem

Problems = t.Iterator[Problem]
Host = t.Mapping[str, t.Any]
REPORTS_PER_UNIT = 25
# An operating system reports a little less memory than the machine has.
MEMORY_TOLERANCE = 0.9


@dataclasses.dataclass(frozen=True)
class Machine:
    name: str
    cpus: int
    memory_gb: int


STANDARD_4 = Machine("n1-standard-4", 4, 15)
STANDARD_8 = Machine("n1-standard-8", 8, 30)


def units(reports_per_minute: float) -> int:
    """Building blocks of 25 reports a minute; one at least."""
    return max(1, math.ceil(reports_per_minute / REPORTS_PER_UNIT))


# --- a host against what it shall run -----------------------------------------------------------------------------------------


def _warning(setting: str, message: str, way_out: str) -> Problem:
    return Problem(setting, message, way_out, level="warning")


def _memory(deployment: Deployment, host: Host) -> Problems:
    least = deployment.settings["codecov_sizing"]["minimum_memory_mb"]
    if host["memory_mb"] and host["memory_mb"] < least:
        yield Problem(
            "codecov_sizing.minimum_memory_mb",
            f"the host has {host['memory_mb']} MB of memory, {least} are wanted",
            "give it more memory, or lower this setting",
        )


def _disk(deployment: Deployment, host: Host) -> Problems:
    least = deployment.settings["codecov_sizing"]["minimum_disk_gb"]
    seen = set()
    for disk in (host.get("disk") or {}).values():
        if disk and disk["free_gb"] is not None and disk["free_gb"] < least and disk["path"] not in seen:
            seen.add(disk["path"])
            yield Problem(
                "codecov_sizing.minimum_disk_gb", f"{disk['path']} has {disk['free_gb']} GB free, {least} are wanted", "free space, or lower this setting"
            )


RULES: t.Tuple[t.Callable[[Deployment, Host], Problems], ...] = (_memory, _disk)


def host_problems(deployment: Deployment, host: Host) -> t.List[Problem]:
    """What is wrong with a host, as the module codecov_host_info describes it."""
    return [problem for rule in RULES for problem in rule(deployment, host)]
