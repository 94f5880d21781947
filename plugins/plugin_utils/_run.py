# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Which run of ansible-playbook this is, by a name that no other run has, and whether another one is over.

For actions, on the controller. Private to this collection.
"""

from __future__ import annotations

import os
import platform


def _started(pid: int) -> str:
    """What tells a process from a later one with the same number; empty where it is not running, or the system does not say."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stream:
            return stream.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def this_run() -> str:
    """The ansible-playbook process: tasks run in its children."""
    pid = os.getppid()
    return f"{platform.node()}/{pid}/{_started(pid)}"


def is_over(run: str) -> bool:
    """Whether a run was made on this controller and does not run any more. What is not known is taken to run."""
    node, _slash, process = run.partition("/")
    pid, _slash, started = process.partition("/")
    if node != platform.node() or not pid.isdigit() or not os.path.isdir("/proc/self"):
        return False
    return _started(int(pid)) != started
