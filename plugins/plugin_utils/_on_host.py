# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Ask a host by files of ours that need nothing but the standard library. A module spends four fifths of its time on loading Ansible's own code there.

For actions, on the controller. Private to this collection.
"""

from __future__ import annotations

import functools
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
# The host knows the files by the names that they import each other by. Nothing is imported from the directory that this happens to start in.
_SCRIPT = """\
import sys
sys.path[:] = [path for path in sys.path if path not in ("", ".")]
import json, types
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
    if not _takes_a_script(action._connection) or _environment(action):
        return None
    script = script_of(str(file.__file__), function, arguments)
    said = action._low_level_execute_command(f"{_python(action, task_vars)} -", sudoable=True, in_data=script.encode())
    answer = _answer(said)
    if answer is None:
        action._display.vvv(f"No answer to a question, the module follows: status {said['rc']}, {said.get('stderr', '')[-1000:]}")
    return answer


def _answer(said: t.Mapping[str, t.Any]) -> t.Optional[t.Any]:
    try:
        return json.loads(said["stdout"].splitlines()[-1]) if said["rc"] == 0 else None
    except (ValueError, IndexError):  # something else in the way
        return None


def _takes_a_script(connection: t.Any) -> bool:
    """Whether the standard input of a command can be anything but the answer to a question for a password."""
    become = connection.become
    if not connection.has_pipelining or (become and become.name == "su"):
        return False
    asks_here = connection.transport == "local" and become and become.expect_prompt()
    return not (asks_here and not connection.get_option("pipelining"))


def _environment(action: t.Any) -> t.Dict[str, t.Any]:
    """Of the task, which only modules get."""
    environment: t.Dict[str, t.Any] = {}
    action._compute_environment_string(environment)
    return environment


def _python(action: t.Any, task_vars: t.Mapping[str, t.Any]) -> str:
    """Words for a shell: the interpreter that is set, or was found, or that Ansible would find, without the round trip for that."""
    variables = task_vars.get("ansible_delegated_vars", {}).get(action._task.delegate_to, {}) if action._task.delegate_to else task_vars
    setting = functools.partial(constants.config.get_config_value, variables=variables)
    named = str(action._templar.template(setting("INTERPRETER_PYTHON")))
    if named.startswith("auto"):
        named = variables.get("ansible_facts", {}).get("discovered_interpreter_python", "")
    if named:
        return shlex.quote(named)
    return f"$({' || '.join(f'command -v {shlex.quote(name)}' for name in setting('INTERPRETER_PYTHON_FALLBACK'))})"
