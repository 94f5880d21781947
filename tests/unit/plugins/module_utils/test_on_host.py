# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions that need nothing of Ansible on the host: what they run there, and when an action has to use its module instead."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import types
from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils import _on_host

SOURCE = "import json\n\n\ndef twice(value, times=2):\n    return value * times\n"


@pytest.fixture
def file(tmp_path: pathlib.Path) -> types.ModuleType:
    path = tmp_path / "asked.py"
    path.write_text(SOURCE)
    module = types.ModuleType("asked")
    module.__file__ = str(path)
    return module


class Action:
    """What of an action a question uses. The host is this one."""

    def __init__(self, pipelining: bool = True, noise: str = "") -> None:
        self._connection = types.SimpleNamespace(has_pipelining=pipelining)
        self._templar = types.SimpleNamespace(template=lambda text: text.replace("{{ python }}", sys.executable))
        self._noise, self.commands = noise, list[str]()

    def _low_level_execute_command(self, command: str, sudoable: bool, in_data: bytes) -> dict[str, Any]:
        self.commands.append(command)
        done = subprocess.run(["sh", "-c", command], input=in_data, capture_output=True, check=False)
        return {"rc": done.returncode, "stdout": self._noise + done.stdout.decode()}


def ask(action: Action, file: types.ModuleType, *arguments: object, **variables: str) -> Any:
    return _on_host.ask(action, file, "twice", arguments, variables)


def test_the_host_answers_by_a_function_of_the_file(file: types.ModuleType) -> None:
    assert ask(Action(), file, ["a'b", None, True]) == ["a'b", None, True] * 2


def test_what_a_login_shell_says_before_is_no_answer(file: types.ModuleType) -> None:
    assert ask(Action(noise="Welcome!\n"), file, "a", 3) == "aaa"


def test_arguments_are_not_to_be_seen_in_a_list_of_processes(file: types.ModuleType) -> None:
    action = Action()
    ask(action, file, "secret")
    assert action.commands == ["python3 -"]


def test_the_python_that_the_inventory_names_is_used(file: types.ModuleType) -> None:
    action = Action()
    assert ask(action, file, 1, ansible_python_interpreter="{{ python }}") == 2
    assert action.commands == [f"{sys.executable} -"]


def test_a_way_of_discovery_is_no_python(file: types.ModuleType) -> None:
    action = Action()
    ask(action, file, 1, ansible_python_interpreter="auto_silent")
    assert action.commands == ["python3 -"]


@pytest.mark.parametrize(
    ("action", "variables"),
    [(Action(pipelining=False), {}), (Action(), {"ansible_python_interpreter": "/nowhere/python3"})],
    ids=["a connection that takes no script", "no such Python"],
)
def test_a_module_is_needed_where_this_way_is_closed(action: Action, variables: dict[str, str], file: types.ModuleType) -> None:
    assert ask(action, file, 1, **variables) is None


def test_a_module_is_needed_to_say_what_broke(file: types.ModuleType) -> None:
    assert ask(Action(), file, None) is None
