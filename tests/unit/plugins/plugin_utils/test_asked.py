# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions that ask by a module's own file: when they do, what they say, and when it is the module's turn."""

from __future__ import annotations

import subprocess
import sys
import types
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible_collections.covstack.selfhosted.plugins.action import codecov_health, codecov_host_info, haproxy_servers, load_balancer_info

ACTIONS = [codecov_health, codecov_host_info, haproxy_servers, load_balancer_info]
VARIABLES = {"ansible_python_interpreter": sys.executable}
BY_MODULE = {"changed": True, "by": "module"}


class Host:
    """This machine, as the connection of an action."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, action: types.ModuleType, pipelining: bool = True) -> None:
        self.asked: list[dict[str, Any]] = []
        self._pipelining, self._action = pipelining, action
        monkeypatch.setattr(action.ActionModule, "_low_level_execute_command", lambda _self, *arguments, **options: self.run(*arguments, **options))
        monkeypatch.setattr(action.ActionModule, "_execute_module", lambda _self, name, **options: self.module(name, **options))

    def run(self, command: str, sudoable: bool, in_data: bytes) -> dict[str, Any]:
        done = subprocess.run(["sh", "-c", command], input=in_data, capture_output=True, check=False)
        return {"rc": done.returncode, "stdout": done.stdout.decode(), "stderr": done.stderr.decode()}

    def module(self, name: str, module_args: dict[str, Any], task_vars: dict[str, Any], wrap_async: int) -> dict[str, Any]:
        self.asked.append({name: dict(module_args), "async": wrap_async})
        module_args["_ansible_check_mode"] = False  # as ansible-core does
        return dict(BY_MODULE)

    def action(self, check_mode: bool = False, async_val: int = 0, **arguments: Any) -> Any:
        task = types.SimpleNamespace(args=arguments, async_val=async_val, check_mode=check_mode, diff=False, delegate_to=None, action="asked", environment=[])
        shell = types.SimpleNamespace(tmpdir=None, env_prefix=lambda **_environment: "")
        connection = types.SimpleNamespace(has_pipelining=self._pipelining, _shell=shell, become=None, transport="ssh")
        templar = types.SimpleNamespace(template=lambda text: text)
        return self._action.ActionModule(task, connection, None, None, templar, None)

    def says(self, **task: Any) -> dict[str, Any]:
        return dict(self.action(**task).run(task_vars=VARIABLES))


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.__name__.rpartition(".")[2])
def test_each_names_its_module_and_a_file_with_its_options(action: types.ModuleType) -> None:
    name = action.__name__.rpartition(".")[2]
    assert f"covstack.selfhosted.{name}" == action.ActionModule.MODULE
    assert callable(action.ActionModule.FILE.answer) and isinstance(action.ActionModule.FILE.OPTIONS, dict)


def test_a_host_says_what_it_is_without_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, codecov_host_info)
    said = host.says(ports=["1"], directory="/nowhere")
    assert said["ports"] == {"1": {"held": False, "ours": False, "by": None}} and said["temporary_directory"] and said["changed"] is False
    assert host.asked == []


def test_what_went_wrong_is_said_as_the_module_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Host(monkeypatch, codecov_host_info).says(endpoints=["nowhere"])
    assert said["failed"] and said["msg"].startswith("endpoints: 'nowhere' is not an endpoint")


def test_an_option_that_is_none_is_refused_before_the_host_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AnsibleError, match="timeout"):
        Host(monkeypatch, codecov_host_info).says(timeout="soon")


def test_a_balancer_that_does_not_answer_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, haproxy_servers)
    said = host.says(socket="/nowhere/admin.sock")
    assert said["answers"] is False and "HAProxy does not answer at /nowhere/admin.sock" in said["reason"] and "failed" not in said
    assert host.asked == []


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_balancer_is_told_that_it_is_only_a_check(check_mode: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Host(monkeypatch, haproxy_servers).action(check_mode=check_mode).question({"state": "drained"}) == [{"state": "drained"}, check_mode]


def test_probes_from_outside_say_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, codecov_health)
    said = host.says(url="http://127.0.0.1:1", checks=[], http=[{"name": "api", "path": "/"}], timeout="1")
    assert said["failed"] and said["failed_probes"] == ["api"] and "1 of 1 required probes failed" in said["msg"]
    assert host.asked == []


@pytest.mark.parametrize(
    ("action", "pipelining", "arguments"),
    [
        (codecov_host_info, False, {}),
        (codecov_host_info, True, {"directory": "~/codecov"}),
        (codecov_host_info, True, {"directory": "/srv/$STAGE/codecov"}),
        (codecov_health, True, {"url": "http://localhost", "kubernetes": {"namespace": "codecov", "release": "codecov"}}),
    ],
    ids=["a connection without pipelining", "a home", "a path with a variable", "a cluster"],
)
def test_the_module_runs_where_its_file_is_not_enough(
    action: types.ModuleType, pipelining: bool, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(monkeypatch, action, pipelining)
    retried = host.action(**arguments)
    for _time in range(2):
        assert retried.run(task_vars=VARIABLES).items() >= BY_MODULE.items()
    assert host.asked == [{action.ActionModule.MODULE: arguments, "async": 0}] * 2


def test_what_is_not_waited_for_is_the_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, codecov_host_info)
    host.says(async_val=60)
    assert host.asked == [{codecov_host_info.ActionModule.MODULE: {}, "async": 60}]
