# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container probe on real servers and the stand-in application, all as plain processes.

Needs the packages of tests/app/requirements-dev.txt, like the stand-in's own contract tests, whose servers it uses.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PROBE = REPOSITORY / "plugins" / "module_utils" / "_container_probe.py"
sys.path[:0] = [str(REPOSITORY / "tests" / "app" / "tests"), str(PROBE.parent)]

from fixtures import *  # noqa: E402, F403
from servers import PYTHON, Deployment, Process  # noqa: E402


class ProbeRun:
    """probe.py as a container runs it: another process with the container's environment."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment

    def __call__(self, *arguments: str, config: Any = None, **environment: str) -> subprocess.CompletedProcess[str]:
        path = self.deployment.write_config(config, "probed.yml") if config is not None else None
        return subprocess.run([PYTHON, str(PROBE), *arguments], env=self.deployment.environment(path, **environment), capture_output=True, text=True,
                              timeout=120, check=False)

    def check(self, *names: str, config: Any = None, options: tuple[str, ...] = (), **environment: str) -> dict[str, dict[str, Any]]:
        done = self("check", *names, "--json", "--timeout=4", *options, config=config, **environment)
        document = json.loads(done.stdout)
        results = {result["name"]: result for result in document["results"]}
        failed = any(result["state"] == "failed" for result in results.values())
        assert done.returncode == (1 if failed else 0), done
        return results

    def repair(self, *options: str, config: Any = None) -> dict[str, Any]:
        done = self("repair", "--json", *options, config=config)
        assert done.stdout, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document


@pytest.fixture()
def probe(deployment: Deployment) -> ProbeRun:
    return ProbeRun(deployment)


@pytest.fixture()
def start_worker(deployment: Deployment) -> Iterator[Callable[..., Process]]:
    """Start workers; they are killed at the end of the test."""
    started: list[Process] = []

    def start(name: str = "contract", config: Any = None, **environment: str) -> Process:
        if config is not None:
            environment["CODECOV_YML"] = str(deployment.write_config(config, f"{name}.yml"))
        started.append(deployment.start_worker(name, **environment))
        return started[-1]

    yield start
    for process in started:
        process.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def api(deployment: Deployment) -> Iterator[Process]:
    process = deployment.start_api()
    yield process
    process.stop(signal.SIGKILL)
