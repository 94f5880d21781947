# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Ask a host by one file of ours that needs nothing but the standard library. A module spends four fifths of its time on loading Ansible's own code there.

For actions, on the controller. Private to this collection.
"""

from __future__ import annotations

import json
import shlex
import typing as t

if t.TYPE_CHECKING:
    from types import ModuleType


def script_of(source: str, function: str, arguments: t.Sequence[t.Any]) -> str:
    """A script that prints what a function of the source returns, as its last line."""
    return f"{source}\nprint(json.dumps({function}(*json.loads({json.dumps(list(arguments))!r}))))\n"


def ask(action: t.Any, file: ModuleType, function: str, arguments: t.Sequence[t.Any], task_vars: t.Mapping[str, t.Any]) -> t.Optional[t.Any]:
    """What the function of the file returns there; None where this way is closed, and the action's (an ActionBase) module has to say why.

    The script goes through the standard input: its arguments are not to be seen in a list of processes.
    """
    if not action._connection.has_pipelining:
        return None
    with open(str(file.__file__), encoding="utf-8") as stream:
        script = script_of(stream.read(), function, arguments)
    said = action._low_level_execute_command(f"{shlex.quote(_python(action, task_vars))} -", sudoable=True, in_data=script.encode())
    try:
        return json.loads(said["stdout"].splitlines()[-1]) if said["rc"] == 0 else None
    except (ValueError, IndexError):  # no such Python, or something else in the way
        return None


def _python(action: t.Any, task_vars: t.Mapping[str, t.Any]) -> str:
    """The one that the inventory names, or the usual one: to look for others takes longer than the question."""
    named = str(action._templar.template(task_vars.get("ansible_python_interpreter") or ""))
    return named if named.startswith("/") else "python3"
