# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docker_daemon_options on files of its own; the validation is the real daemon's where there is one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from ansible.module_utils import basic
from ansible_collections.covstack.selfhosted.plugins.module_utils import _daemon_options
from ansible_collections.covstack.selfhosted.plugins.module_utils._daemon_options import Setting, leaves, merge
from ansible_collections.covstack.selfhosted.plugins.modules import docker_daemon_options
from hypothesis import given
from hypothesis import strategies as st

Run = Callable[..., "dict[str, Any]"]

scalars = st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from(["a", "b", "20m"]), st.lists(st.sampled_from("ab"), max_size=2))
configs = st.recursive(st.dictionaries(st.sampled_from("pqrs"), scalars, max_size=4),
                       lambda inner: st.dictionaries(st.sampled_from("tuv"), inner, min_size=1, max_size=3), max_leaves=6)


@pytest.fixture()
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    def run_module(options: dict[str, Any], check: bool = False) -> dict[str, Any]:
        arguments = {"options": options, "path": str(tmp_path / "docker" / "daemon.json"), "state_path": str(tmp_path / "docker" / "state.json"),
                     "pid_path": str(tmp_path / "docker.pid"), "_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": str(tmp_path),
                     "_ansible_keep_remote_files": False}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        with pytest.raises(SystemExit):
            docker_daemon_options.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
        return result

    return run_module


@pytest.fixture()
def config(tmp_path: Path) -> Path:
    return tmp_path / "docker" / "daemon.json"


@pytest.fixture()
def daemon(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """A process in the place of the daemon; calling the fixture restarts it."""
    processes = [subprocess.Popen(["sleep", "300"])]
    (tmp_path / "docker.pid").write_text(str(processes[0].pid))

    def restart() -> None:
        processes[-1].kill()
        processes[-1].wait()
        processes.append(subprocess.Popen(["sleep", "300"]))
        (tmp_path / "docker.pid").write_text(str(processes[-1].pid))

    yield restart
    processes[-1].kill()
    processes[-1].wait()


def test_six_steps(run: Run, config: Path) -> None:
    options = {"live-restore": True, "log-opts": {"max-size": "20m"}}
    checked = run(options, check=True)
    assert checked["changed"] and not config.parent.exists()
    done = run(options)
    assert done["changed"] and done["diff"] == checked["diff"] and done["set_options"] == ["live-restore", "log-opts.max-size"]
    assert json.loads(config.read_text()) == options
    assert not run(options, check=True)["changed"] and not run(options)["changed"]
    checked = run({"live-restore": False, "log-opts": {"max-size": "20m"}}, check=True)
    assert checked["changed"] and json.loads(config.read_text()) == options
    assert run({"live-restore": False, "log-opts": {"max-size": "20m"}})["set_options"] == ["live-restore"]


def test_the_operators_options_stay_and_ours_are_retracted(run: Run, config: Path) -> None:
    config.parent.mkdir()
    own = {"log-opts": {"max-file": "3", "max-size": "10m"}, "debug": False}
    config.write_text(json.dumps(own))
    run({"log-opts": {"max-size": "20m"}, "live-restore": True})
    assert json.loads(config.read_text()) == {"log-opts": {"max-file": "3", "max-size": "20m"}, "debug": False, "live-restore": True}
    retracted = run({"live-restore": True})
    assert retracted["retracted_options"] == ["log-opts.max-size"]
    assert json.loads(config.read_text()) == {**own, "live-restore": True}
    run({})
    assert json.loads(config.read_text()) == own and not run({})["changed"]
    assert sorted(path.name for path in config.parent.iterdir()) == ["daemon.json"]


def test_a_file_that_we_made_goes_with_its_last_option(run: Run, config: Path) -> None:
    run({"live-restore": True})
    assert run({}, check=True)["changed"] and config.exists()
    assert run({})["changed"] and list(config.parent.iterdir()) == []


def test_an_option_that_was_changed_by_hand_is_not_retracted(run: Run, config: Path) -> None:
    run({"log-level": "warn"})
    config.write_text('{"log-level": "debug"}')
    assert run({})["retracted_options"] == [] and json.loads(config.read_text()) == {"log-level": "debug"}


def test_nothing_wanted_on_an_empty_host(run: Run, config: Path) -> None:
    assert not run({})["changed"] and not config.parent.exists()


def test_the_restart_stays_due_until_it_happened(run: Run, daemon: Callable[[], None]) -> None:
    assert run({"debug": True}, check=True)["restart_needed"]
    assert run({"debug": True})["restart_needed"]
    interrupted = run({"debug": True})
    assert interrupted["restart_needed"] and not interrupted["changed"]
    daemon()
    assert not run({"debug": True})["restart_needed"]
    assert run({})["restart_needed"] and run({})["restart_needed"]
    daemon()
    assert not run({})["restart_needed"]


def test_no_daemon_no_restart(run: Run) -> None:
    assert not run({"debug": True})["restart_needed"]


def test_what_is_set_already_needs_no_restart(run: Run, config: Path, daemon: Callable[[], None]) -> None:
    config.parent.mkdir()
    config.write_text('{"debug": true}')
    result = run({"debug": True})
    assert not result["changed"] and not result["restart_needed"]
    run({})
    assert json.loads(config.read_text()) == {"debug": True}


@pytest.mark.parametrize("killed_at", range(4))
def test_an_interrupted_run_is_finished_by_the_next(
    run: Run, config: Path, daemon: Callable[[], None], monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    config.parent.mkdir()
    config.write_text('{"log-level": "info"}')
    run({"log-level": "warn", "debug": True})
    daemon()

    class Killed(BaseException):
        pass

    calls = iter(range(100))
    real = os.replace

    def dying(source: str, target: str) -> None:
        if next(calls) == killed_at:
            raise Killed
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying)
        try:
            run({"live-restore": True})
        except Killed:
            pass
    assert run({"live-restore": True})["restart_needed"]
    assert json.loads(config.read_text()) == {"log-level": "info", "live-restore": True}
    run({})
    assert json.loads(config.read_text()) == {"log-level": "info"}


@pytest.mark.parametrize(("content", "expected"), [("{", "is not JSON"), ("[]", "is not a JSON object")])
def test_a_damaged_configuration_is_one_clear_error(run: Run, config: Path, content: str, expected: str) -> None:
    config.parent.mkdir()
    config.write_text(content)
    result = run({"debug": True})
    assert result["failed"] and expected in result["msg"] and config.read_text() == content


def test_a_damaged_state_is_one_clear_error(run: Run, config: Path) -> None:
    run({"debug": True})
    (config.parent / "state.json").write_text("{}")
    assert "is not a state file" in run({"debug": True})["msg"]


def test_passwords_of_proxies_are_not_shown(run: Run, config: Path) -> None:
    config.parent.mkdir()
    config.write_text('{"proxies": {"http-proxy": "http://user:hunter2hunter2@proxy:3128"}}')
    result = run({"debug": True})
    assert "hunter2" not in json.dumps(result["diff"]) and "user:********@proxy" in result["diff"]["before"]
    assert "hunter2hunter2" in config.read_text()


def _dockerd_validates() -> bool:
    dockerd = shutil.which("dockerd")
    return dockerd is not None and "--validate" in subprocess.run([dockerd, "--help"], capture_output=True, text=True, check=False).stdout


@pytest.mark.skipif(not _dockerd_validates(), reason="needs dockerd 23.0 or later on this machine")
@pytest.mark.parametrize("check", [False, True])
def test_the_daemon_refuses_what_it_does_not_know(run: Run, config: Path, check: bool) -> None:
    result = run({"no-such-option": True}, check=check)
    assert result["failed"] and "no-such-option" in result["msg"] and not config.exists()


@given(current=configs, options=configs)
def test_setting_and_retracting_gives_back_what_was_there(current: dict[str, Any], options: dict[str, Any]) -> None:
    merged = merge(current, options, ())
    again = merge(merged.config, options, merged.settings)
    assert again.config == merged.config
    back = merge(merged.config, {}, merged.settings)
    if not _clash(current, options):
        assert _without_empty(back.config) == _without_empty(current)


@given(current=configs, first=configs, second=configs)
def test_wanted_options_are_there_whatever_was_before(current: dict[str, Any], first: dict[str, Any], second: dict[str, Any]) -> None:
    merged = merge(merge(current, first, ()).config, second, merge(current, first, ()).settings)
    for path, value in leaves(second):
        if value != {}:
            assert _daemon_options.get(merged.config, path) == value


def _clash(current: Any, options: Any) -> bool:
    """A mapping over something else cannot be undone leaf by leaf."""
    if isinstance(current, dict) and isinstance(options, dict):
        return any(_clash(current[key], options[key]) for key in set(current) & set(options))
    return isinstance(current, dict) != isinstance(options, dict)


def _without_empty(config: Any) -> Any:
    if not isinstance(config, dict):
        return config
    cleaned = {key: _without_empty(value) for key, value in config.items()}
    return {key: value for key, value in cleaned.items() if value != {}}


def test_one_and_true_differ() -> None:
    assert merge({"a": 1}, {"a": True}, ()).config == {"a": True} and merge({"a": 1}, {"a": True}, ()).config["a"] is True


def test_settings_survive_json() -> None:
    state = _daemon_options.State((Setting(("a", "b"), 1), Setting(("c",), 2, None)), True, "x/1/2")
    assert _daemon_options.State.parse(state.render(), "path") == state


def test_what_is_in_force_and_what_is_not(run: Run, config: Path, daemon: Callable[[], None], tmp_path: Path) -> None:
    """codecov_host_info tells it beforehand, so that nothing needs to be asked when nothing is to be done."""

    def in_force() -> Any:
        return _daemon_options.options_in_force(str(config), str(tmp_path / "docker" / "state.json"), str(tmp_path / "docker.pid"))

    assert in_force() == {}
    wanted = {"live-restore": True, "log-opts": {"max-size": "20m"}}
    assert run(wanted)["restart_needed"]
    assert in_force() is None
    daemon()
    assert in_force() == wanted
    config.write_text(json.dumps({"live-restore": False, "log-opts": {"max-size": "20m"}}))
    assert in_force() is None
    config.write_text("{")
    assert in_force() is None


def test_a_password_in_an_option_is_not_told(run: Run, config: Path, tmp_path: Path) -> None:
    run({"proxies": {"http-proxy": "http://me:hunter2@proxy.example.com"}})
    told = _daemon_options.options_in_force(str(config), str(tmp_path / "docker" / "state.json"), str(tmp_path / "docker.pid"))
    assert told == {"proxies": {"http-proxy": "http://me:********@proxy.example.com"}}
