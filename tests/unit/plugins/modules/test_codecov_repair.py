# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""codecov_repair with a program in place of the Docker client. What the repair itself does is tested in tests/probe, on real services."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils import basic
from ansible_collections.covstack.selfhosted.plugins.modules import codecov_repair

COUNTS = {"resent": 0, "restored": 0, "pending": 0, "unrecoverable": 0, "deferred": 0}


@pytest.fixture()
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run the module with an answer of the probe; the probe's command is in tmp_path/call."""

    def entry(name: str, service: str, slot: str, probe: bool = True, state: str = "running") -> dict[str, Any]:
        return {"Id": name, "Name": f"/{name}", "State": {"Status": state}, "Config": {"Labels": {"covstack.service": service, "covstack.slot": slot}},
                "Mounts": [{"Destination": "/covstack/probe.py"}] if probe else []}

    containers = [entry("gateway", "gateway", "blue", probe=False), entry("worker", "worker", "blue"), entry("api", "api", "blue"),
                  entry("old-api", "api", "green", state="exited")]
    (tmp_path / "inspect.json").write_text(json.dumps(containers))
    program = tmp_path / "docker"
    program.write_text(f"""#!/bin/sh
case $1 in
  ps) echo 1;;
  inspect) cat {tmp_path}/inspect.json;;
  exec) echo "$@" > {tmp_path}/call; cat {tmp_path}/answer;;
esac
""")
    program.chmod(0o755)

    def run_module(answer: Any, check: bool = False, **options: Any) -> dict[str, Any]:
        (tmp_path / "answer").write_text(answer if isinstance(answer, str) else json.dumps(answer))
        arguments = {"docker_cli": str(program), **options, "_ansible_check_mode": check, "_ansible_remote_tmp": str(tmp_path),
                     "_ansible_keep_remote_files": False}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        with pytest.raises(SystemExit):
            codecov_repair.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
        return result

    return run_module


def answer_of(still_started: int | None = None, **counts: int) -> dict[str, Any]:
    return {"uploads": [], "counts": {**COUNTS, **counts}, "still_started": still_started, "workers": []}


def test_command(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """In a web container rather than a worker, with every option as an argument."""
    run(answer_of(), older_than=60, wait=5, limit=7, queue="uploads", give_up=True, python="python3")
    assert (tmp_path / "call").read_text() == (
        "exec api python3 /covstack/probe.py repair --json --older-than=60 --wait=5 --limit=7 --queue=uploads --give-up\n")
    run(answer_of(), check=True)
    assert (tmp_path / "call").read_text() == "exec api python /covstack/probe.py repair --json --older-than=900 --wait=0 --limit=500 --dry-run\n"


@pytest.mark.parametrize(("counts", "options", "changed"), [
    ({}, {}, False), ({"resent": 1}, {}, True), ({"restored": 1}, {}, True), ({"pending": 3, "deferred": 1}, {}, False),
    ({"unrecoverable": 2}, {}, False), ({"unrecoverable": 2}, {"give_up": True}, True),
])
def test_changed(run: Callable[..., dict[str, Any]], counts: dict[str, int], options: dict[str, Any], changed: bool) -> None:
    for check in (False, True):
        result = run(answer_of(**counts), check=check, **options)
        assert (result["changed"], result["counts"]) == (changed, {**COUNTS, **counts})


def test_refusal_says_why_and_what_to_do(run: Callable[..., dict[str, Any]]) -> None:
    result = run({"error": {"cause": "the bucket x does not exist", "remedy": "create it, private", "detail": "GET bucket: 404"}})
    assert result["msg"] == "Nothing was repaired, because the bucket x does not exist (GET bucket: 404). What to do: create it, private."


def test_probe_that_does_not_run(run: Callable[..., dict[str, Any]]) -> None:
    assert run("python: not found")["msg"] == "The repair did not run in api: python: not found"


def test_no_container(run: Callable[..., dict[str, Any]]) -> None:
    assert "in slot green has the probe" in run(answer_of(), slot="green")["msg"]
