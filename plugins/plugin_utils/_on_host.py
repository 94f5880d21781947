# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Ask a host by files of ours that need nothing but the standard library. A module spends four fifths of its time on loading Ansible's own code there.

For actions, on the controller. Private to this collection.
"""

from __future__ import annotations

import json
import pathlib
import re
import shlex
import typing as t

from ansible import constants

if t.TYPE_CHECKING:
    from types import ModuleType

PACKAGE = "ansible_collections.covstack.selfhosted.plugins.module_utils"
_IMPORTED = re.compile(rf"^from {re.escape(PACKAGE)}\.(\w+) import", re.MULTILINE)
# The host knows the files by the names that they import each other by.
_SCRIPT = """\
import json, sys, types
for name, source in json.loads({sources!r}).items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
print(json.dumps(getattr(module, {function!r})(*json.loads({arguments!r}))))
"""


def script_of(path: str, function: str, arguments: t.Sequence[t.Any]) -> str:
    """A script that prints what a function of this file returns, as its last line."""
    return _SCRIPT.format(sources=json.dumps(_sources(path)), function=function, arguments=json.dumps(list(arguments)))


def _sources(path: str) -> t.Dict[str, str]:
    """Name -> text of the file, as the last one, after those beside it that it imports."""
    text = pathlib.Path(path).read_text(encoding="utf-8")
    found: t.Dict[str, str] = {}
    for imported in _IMPORTED.findall(text):
        found.update(_sources(str(pathlib.Path(path).with_name(f"{imported}.py"))))
    return {**found, f"{PACKAGE}.{pathlib.Path(path).stem}": text}


def ask(action: t.Any, file: ModuleType, function: str, arguments: t.Sequence[t.Any], task_vars: t.Mapping[str, t.Any]) -> t.Optional[t.Any]:
    """What the function of the file returns there; None where this way is closed, and the action's (an ActionBase) module has to say why.

    The script goes through the standard input: its arguments are not to be seen in a list of processes.
    """
    if not action._connection.has_pipelining:
        return None
    script = script_of(str(file.__file__), function, arguments)
    said = action._low_level_execute_command(f"{_python(action, task_vars)} -", sudoable=True, in_data=script.encode())
    try:
        return json.loads(said["stdout"].splitlines()[-1]) if said["rc"] == 0 else None
    except (ValueError, IndexError):  # no such Python, or something else in the way
        return None


def _python(action: t.Any, task_vars: t.Mapping[str, t.Any]) -> str:
    """Words for a shell: the interpreter that the inventory names, or the one that Ansible would find, without the round trip for that."""
    variables = task_vars.get("ansible_delegated_vars", {}).get(action._task.delegate_to, {}) if action._task.delegate_to else task_vars
    named = str(action._templar.template(variables.get("ansible_python_interpreter") or ""))
    if named.startswith("/"):
        return shlex.quote(named)
    usual = constants.config.get_config_value("INTERPRETER_PYTHON_FALLBACK", variables=task_vars)
    return f"$({' || '.join(f'command -v {shlex.quote(name)}' for name in usual)})"
