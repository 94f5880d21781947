# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wrapper of the Docker client, with another program in the client's place."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils._docker_cli import PROBE_PATH, Container, Docker, DockerError, container_of


def inspected(**changes: Any) -> dict[str, Any]:
    """An entry of `docker inspect`, as Docker 20.10 and 26.1 print it, shortened."""
    entry: dict[str, Any] = {
        "Id": "3e1b2c", "Name": "/codecov-blue-api-1", "RestartCount": 2,
        "State": {"Status": "running", "ExitCode": 0, "OOMKilled": False, "StartedAt": "2026-11-21T10:00:00.5Z", "FinishedAt": "0001-01-01T00:00:00Z",
                  "Health": {"Status": "healthy", "Log": [{"Output": "first"}, {"Output": "status 500\n  instead of 200\n"}]}},
        "Config": {"Labels": {"covstack.deployment": "codecov", "covstack.service": "api", "covstack.slot": "blue"}},
        "Mounts": [{"Destination": "/config/codecov.yml"}, {"Destination": PROBE_PATH}],
    }
    return {**entry, **changes}


@pytest.fixture()
def client(tmp_path: Path) -> Any:
    """Make a program that stands for `docker`: a shell script with this body."""

    def make(body: str) -> Docker:
        path = tmp_path / "docker"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return Docker(str(path))

    return make


def test_container_of() -> None:
    assert container_of(inspected()) == Container(
        id="3e1b2c", name="codecov-blue-api-1", service="api", slot="blue", state="running", health="healthy", health_output="status 500 instead of 200",
        exit_code=0, oom_killed=False, restarts=2, one_off=False, has_probe=True,
        started_at="2026-11-21T10:00:00.5Z", finished_at="0001-01-01T00:00:00Z", logs="docker logs codecov-blue-api-1",
    )


def test_container_without_health_check_slot_and_labels() -> None:
    plain = container_of(inspected(State={"Status": "exited", "ExitCode": 137, "OOMKilled": True}, Config={"Labels": None}, Mounts=None))
    assert (plain.health, plain.slot, plain.service, plain.has_probe) == (None, None, "", False)
    assert (plain.running, plain.exit_code, plain.oom_killed) == (False, 137, True)
    assert container_of(inspected(State={"Status": "running", "Health": {"Status": "none"}})).health is None


def test_containers_are_listed_by_label_and_one_off_ones_left_out(client: Any, tmp_path: Path) -> None:
    one_off = inspected(Id="2", Name="/job", Config={"Labels": {"com.docker.compose.oneoff": "True"}})
    (tmp_path / "inspect.json").write_text(json.dumps([inspected(Name="/z"), one_off, inspected(Name="/a")]))
    docker = client(f'echo "$@" >> {tmp_path}/calls\ncase $1 in ps) printf "1\\n2\\n3\\n";; inspect) cat {tmp_path}/inspect.json;; esac')
    assert [container.name for container in docker.containers("codecov")] == ["a", "z"]
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == ["ps --all --quiet --no-trunc --filter label=covstack.deployment=codecov", "inspect --type container 1 2 3"]


def test_no_container_needs_no_second_call(client: Any) -> None:
    assert client('test "$1" = ps').containers("codecov") == []


def test_a_container_that_went_away_meanwhile(client: Any, tmp_path: Path) -> None:
    (tmp_path / "inspect.json").write_text(json.dumps([inspected()]))
    docker = client(f'case $1 in ps) printf "1\\n2\\n";; inspect) cat {tmp_path}/inspect.json; echo "No such container: 2" >&2; exit 1;; esac')
    assert len(docker.containers("codecov")) == 1


def test_engine_that_does_not_run(client: Any) -> None:
    with pytest.raises(DockerError, match="docker ps: Cannot connect to the Docker daemon"):
        client('echo "Cannot connect to the Docker daemon at unix:///var/run/docker.sock." >&2; exit 1').containers("codecov")


def test_engine_that_hangs(client: Any) -> None:
    with pytest.raises(DockerError, match="docker ps did not end within 0 s"):
        client("exec sleep 20").containers("codecov", timeout=0.2)


def test_execute_passes_input_status_and_both_streams(client: Any) -> None:
    container = container_of(inspected())
    output = client('echo "$@"; cat; echo problem >&2; exit 3').execute(container, ["python", "-"], 5, stdin="script")
    assert (output.rc, output.stdout, output.stderr) == (3, "exec -i 3e1b2c python -\nscript", "problem\n")
    assert client('echo "$@"').execute(container, ["true"], 5).stdout == "exec 3e1b2c true\n"


def test_no_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DockerError, match="no Docker client"):
        Docker()
    with pytest.raises(DockerError, match="cannot be run"):
        Docker(str(tmp_path / "nowhere")).containers("codecov")
