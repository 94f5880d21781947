# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What load balancers are told about a web host, while its services come and go."""

from __future__ import annotations

import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PROBE
from servers import PYTHON, Deployment, Postgres, Process, Redis, Storage, free_port, running, wait_for


class Readiness:
    def __init__(self, port: int, mark: Path) -> None:
        self.port, self.mark = port, mark

    def ask(self, path: str = "/ready") -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=15) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def becomes(self, status: int, path: str = "/ready") -> str:
        return str(wait_for(lambda: (lambda answer: answer[1] if answer[0] == status else None)(self.ask(path)), f"{path} answers {status}"))


@pytest.fixture(scope="module")
def api(deployment: Deployment) -> Iterator[Process]:
    with running(deployment.start_api()) as process:
        wait_for(deployment.answers, "the api answers")
        yield process


@pytest.fixture()
def readiness(deployment: Deployment, api: Process, tmp_path: Path) -> Iterator[Readiness]:
    port, mark = free_port(), tmp_path / "draining"
    command = [PYTHON, str(PROBE), "serve", f"--port={port}", f"--url={deployment.url}/health/", "--body=is live!$", f"--drain-file={mark}", "--hold=0.2"]
    served = Readiness(port, mark)
    with running(Process(command, tmp_path / "serve.log", env=deployment.environment())):
        wait_for(lambda: _alive(served), "the readiness check runs")
        served.becomes(200)
        yield served


def _alive(served: Readiness) -> bool:
    try:
        return served.ask("/alive")[0] == 200
    except OSError:
        return False


def test_a_host_that_is_drained_gets_nothing_and_is_well(readiness: Readiness) -> None:
    readiness.mark.touch()
    assert readiness.ask() == (503, "this host is being drained\n")
    assert readiness.ask("/well") == (200, "well\n")
    readiness.mark.unlink()
    assert readiness.ask() == (200, "well\n")


def test_it_knows_no_other_path(readiness: Readiness) -> None:
    assert readiness.ask("/")[0] == 404


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_server_that_is_frozen_takes_the_host_out_and_back(readiness: Readiness, servers: tuple[Postgres, Redis, Storage], name: str) -> None:
    """Frozen, not stopped: nothing refuses the connection, and the check itself must not hang."""
    process = {"postgres": servers[0].process, "redis": servers[1].process}[name]
    process.signal_group(signal.SIGSTOP)
    try:
        text = readiness.becomes(503)
        started = time.monotonic()
        readiness.ask()
        assert time.monotonic() - started < 5
        assert readiness.ask("/alive")[0] == 200
    finally:
        process.signal_group(signal.SIGCONT)
    assert f"{name}: " in text
    readiness.becomes(200)


def test_without_redis_the_host_is_out_although_its_api_is_healthy(
    readiness: Readiness, servers: tuple[Postgres, Redis, Storage], deployment: Deployment
) -> None:
    servers[1].stop()
    try:
        assert "redis: " in readiness.becomes(503)
        assert deployment.answers()
    finally:
        servers[1].process = servers[1].start()
    readiness.becomes(200)


def test_it_ends_when_it_is_told_to(deployment: Deployment, api: Process, tmp_path: Path) -> None:
    served = Readiness(free_port(), tmp_path / "draining")
    command = [PYTHON, str(PROBE), "serve", f"--port={served.port}", f"--url={deployment.url}/health/"]
    process = Process(command, tmp_path / "serve.log", env=deployment.environment())
    wait_for(lambda: _alive(served), "the readiness check runs")
    assert process.stop(seconds=10) == 0
