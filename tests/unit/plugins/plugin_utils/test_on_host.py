# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions that need nothing of Ansible on the host: what they run there, and when an action has to use its module instead."""

from __future__ import annotations

import importlib
import json
import pathlib
import subprocess
import sys
import types
from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils import _haproxy, _health
from ansible_collections.covstack.selfhosted.plugins.plugin_utils import _on_host

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

    def __init__(self, noise: str = "", delegate_to: str | None = None, environment: dict[str, str] | None = None, **connection: Any) -> None:
        self._task = types.SimpleNamespace(delegate_to=delegate_to)
        self._connection = types.SimpleNamespace(**{"has_pipelining": True, "transport": "ssh", "become": None, **connection})
        self._compute_environment_string = lambda found: found.update(environment or {})
        self.shown = list[str]()
        self._display = types.SimpleNamespace(vvv=self.shown.append)
        self._templar = types.SimpleNamespace(template=lambda text: text.replace("{{ python }}", sys.executable))
        self._noise, self.commands = noise, list[str]()

    def _low_level_execute_command(self, command: str, sudoable: bool, in_data: bytes) -> dict[str, Any]:
        self.commands.append(command)
        done = subprocess.run(["sh", "-c", command], input=in_data, capture_output=True, check=False)
        return {"rc": done.returncode, "stdout": self._noise + done.stdout.decode(), "stderr": done.stderr.decode()}


def ask(action: Action, file: types.ModuleType, *arguments: object, **variables: Any) -> Any:
    return _on_host.ask(action, file, "twice", arguments, {"ansible_python_interpreter": sys.executable, **variables})


def test_the_host_answers_by_a_function_of_the_file(file: types.ModuleType) -> None:
    assert ask(Action(), file, ["a'b", None, True]) == ["a'b", None, True] * 2


def test_what_a_login_shell_says_before_is_no_answer(file: types.ModuleType) -> None:
    assert ask(Action(noise="Welcome!\n"), file, "a", 3) == "aaa"


def test_arguments_are_not_to_be_seen_in_a_list_of_processes(file: types.ModuleType) -> None:
    action = Action()
    ask(action, file, "secret")
    assert "secret" not in action.commands[0]


def test_the_python_that_the_inventory_names_is_used(file: types.ModuleType) -> None:
    action = Action()
    assert ask(action, file, 1, ansible_python_interpreter="{{ python }}") == 2
    assert action.commands == [f"{sys.executable} -"]


def test_a_delegated_question_is_for_the_python_of_the_host_that_is_asked(file: types.ModuleType) -> None:
    action = Action(delegate_to="other")
    delegated = {"other": {"ansible_python_interpreter": sys.executable}}
    assert ask(action, file, 1, ansible_python_interpreter="/nowhere/python3", ansible_delegated_vars=delegated) == 2
    assert action.commands == [f"{sys.executable} -"]


@pytest.mark.parametrize("found", ["python3.12", "python3"])
def test_otherwise_it_is_the_python_that_ansible_would_find(
    found: str, file: types.ModuleType, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("python3", found):
        (tmp_path / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/was-{name}\nexec {sys.executable} \"$@\"\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "sh").symlink_to("/bin/sh")
    (tmp_path / "touch").symlink_to("/usr/bin/touch")
    monkeypatch.setenv("PATH", str(tmp_path))
    setting = {"INTERPRETER_PYTHON": "auto_silent", "INTERPRETER_PYTHON_FALLBACK": ["python3.12", "/nowhere/python3", "python3"]}
    monkeypatch.setattr(_on_host.constants.config, "get_config_value", lambda name, variables: setting[name])
    assert ask(Action(), file, 1) == 2
    assert [path.name for path in tmp_path.glob("was-*")] == [f"was-{found}"]


def test_a_file_is_sent_with_those_that_it_imports(tmp_path: pathlib.Path) -> None:
    package = _on_host.PACKAGE
    (tmp_path / "_base.py").write_text("import dataclasses\n\n\n@dataclasses.dataclass\nclass Number:\n    value: int\n")
    (tmp_path / "_middle.py").write_text(f"from __future__ import annotations\n\nfrom {package}._base import Number\n\nTWO = Number(2)\n")
    asked = tmp_path / "_asked.py"
    imports = f"from {package}._middle import (\n    TWO,\n)\nfrom {package}._base import Number\n"
    asked.write_text(f"{imports}\n\ndef twice(value):\n    return [value * TWO.value, Number.__module__]\n")
    script = _on_host.script_of(str(asked), "twice", [4])
    done = subprocess.run([sys.executable, "-I", "-"], input=script, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [8, f"{package}._base"]


HOST = {"directory": "/nowhere", "deployment": "x", "ports": [1], "names": ["localhost"], "endpoints": ["127.0.0.1:1"]}
HEALTH = {**dict.fromkeys(_health.OPTIONS), "url": "http://127.0.0.1:1", "probes": [{"name": "api", "path": "/"}], "checks": [], "limits": _health.LIMITS}
LISTS = {name: [] for name in ("services", "platform", "required", "queues")}
ASKED: dict[str, list[Any]] = {
    "_haproxy": [{**dict.fromkeys(_haproxy.OPTIONS), "socket": "/nowhere", "master_socket": "", "state_file": ""}, False],
    "_host_facts": [{**HOST, "images": [], "volume_files": {}, "networks": []}],
    "_health": [{**HEALTH, **LISTS, "services": {}, "wait": 0, "timeout": 1, "docker_cli": "/nowhere"}],
    "_load_balancer_info": [{}],
}


@pytest.mark.parametrize("name", ASKED)
def test_what_actions_ask_needs_nothing_but_the_standard_library(name: str) -> None:
    file = importlib.import_module(f"{_on_host.PACKAGE}.{name}").__file__
    script = _on_host.script_of(str(file), "answer", ASKED[name])
    done = subprocess.run([sys.executable, "-I", "-S", "-"], input=script, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert {"answers", "temporary_directory", "failed_probes", "keepalived"} & set(said) or "ip" in said["msg"], said


def test_the_python_that_ansible_found_before_is_used(file: types.ModuleType) -> None:
    action = Action()
    found = {"discovered_interpreter_python": sys.executable}
    assert ask(action, file, 1, ansible_python_interpreter="auto_silent", ansible_facts=found) == 2
    assert action.commands == [f"{sys.executable} -"]


def test_nothing_is_imported_from_where_it_happens_to_start(file: types.ModuleType, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('of somebody else')\n")
    pathlib.Path(str(file.__file__)).write_text("import random\n" + SOURCE)
    monkeypatch.chdir(tmp_path)
    assert ask(Action(), file, 1) == 2


def becomes(name: str, asks: bool = True) -> Any:
    return types.SimpleNamespace(name=name, expect_prompt=lambda: asks)


CLOSED: dict[str, dict[str, Any]] = {
    "a connection that takes no script": {"has_pipelining": False},
    "su, which reads it": {"become": becomes("su", asks=False)},
    "a terminal in its place": {"transport": "local", "become": becomes("sudo"), "get_option": lambda _pipelining: False},
    "an environment, which only modules get": {"environment": {"DOCKER_HOST": "tcp://elsewhere"}},
}


@pytest.mark.parametrize("closed", CLOSED.values(), ids=CLOSED)
def test_a_module_is_needed_where_this_way_is_closed(closed: dict[str, Any], file: types.ModuleType) -> None:
    action = Action(**closed)
    assert ask(action, file, 1) is None
    assert action.commands == []


OPEN: dict[str, dict[str, Any]] = {
    "sudo": {"become": becomes("sudo")},
    "sudo here, without a password": {"transport": "local", "become": becomes("sudo", asks=False)},
    "sudo here, with pipelining": {"transport": "local", "become": becomes("sudo"), "get_option": lambda _pipelining: True},
}


@pytest.mark.parametrize("connection", OPEN.values(), ids=OPEN)
def test_sudo_passes_a_script_on(connection: dict[str, Any], file: types.ModuleType) -> None:
    assert ask(Action(**connection), file, 1) == 2


def test_a_module_is_needed_where_there_is_no_such_python(file: types.ModuleType) -> None:
    action = Action()
    assert ask(action, file, 1, ansible_python_interpreter="/nowhere/python3") is None
    assert "status 127" in action.shown[0]


def test_a_module_is_needed_to_say_what_broke(file: types.ModuleType) -> None:
    action = Action()
    assert ask(action, file, None) is None
    assert "TypeError" in action.shown[0]
