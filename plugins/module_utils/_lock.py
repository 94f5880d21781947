# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""The deploy lock: a file that says who holds it, for what and since when.

The action codecov_lock sends this file as it is to the host's Python, see plugin_utils/_on_host.py, so it imports nothing but the standard library.

Private to this collection.
"""

from __future__ import annotations

import fcntl
import json
import os
from typing import Any


def read_holder(path: str) -> dict[str, Any]:
    """Who holds the lock; empty for nobody. A file that nobody can read holds it all the same."""
    try:
        with open(path, encoding="utf-8") as stream:
            content = stream.read()
    except FileNotFoundError:
        return {}
    try:
        holder = json.loads(content)
    except ValueError:
        holder = None
    return holder if isinstance(holder, dict) and holder.get("run") else {"who": "nobody known", "what": "nothing known", "since": "", "run": "unreadable"}


def take(path: str, holder: dict[str, Any], replaces: str) -> dict[str, Any]:
    """Take the lock if nobody holds it, or the run that it may replace does; returns who holds it then."""
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    guard = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)  # let go of with the process, whatever becomes of it
        held = read_holder(path)
        if held and held["run"] != replaces:
            return held
        draft = f"{path}.new"
        with open(draft, "w", encoding="utf-8") as stream:
            json.dump(holder, stream)
            stream.write("\n")
        os.replace(draft, path)
        return holder
    finally:
        os.close(guard)


def give_back(path: str, run: str) -> dict[str, Any]:
    """Give the lock back if this run holds it; returns who holds it then."""
    held = read_holder(path)
    if held and held["run"] == run:
        os.unlink(path)
        return {}
    return held


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Who holds the lock after what is wanted was done; the options of the module."""
    path, wanted = question["path"], question["holder"]
    held = read_holder(path)
    mine = bool(held) and held["run"] == wanted.get("run")
    if question["state"] == "present" and not mine and not question["check_mode"] and (not held or held["run"] == question["replaces"]):
        held = take(path, wanted, question["replaces"])
    elif question["state"] == "absent" and not question["check_mode"]:
        held = give_back(path, str(wanted.get("run", "")))
    return held
