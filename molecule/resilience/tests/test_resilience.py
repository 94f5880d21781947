# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What crashes comes back by itself, and what was accepted is not lost. The tests run in this order; each begins where the one before ended.

Meanwhile playbooks are killed on two other hosts, and afterwards on this one too: most of the time is waiting. Their tests are the last ones."""

from __future__ import annotations

import json
import pathlib
import typing as t
import urllib.request

import pytest
from lab import hosts
from lab.shell import output, wait_until
from scenarios.kills import KilledRuns
from scenarios.playbooks import Deployment, Run
from scenarios.uploads import Uploads

SCENARIO = pathlib.Path(__file__).parents[1]
HOST = "resilience-codecov"
EMPTY_HOSTS = ("resilience-empty-1", "resilience-empty-2")
URL = "http://10.111.0.91"
BACK_WITHIN = 180
REPAIR_AT_ONCE = {"codecov_health": {"stuck_upload_s": 5, "deadline_s": 120}}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return Deployment(HOST, SCENARIO, tmp_path_factory.mktemp("deployment"))


@pytest.fixture(scope="module", autouse=True)
def killed_runs(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[KilledRuns]:
    directory = tmp_path_factory.mktemp("killed")
    killed = KilledRuns([Deployment(host, SCENARIO, directory) for host in EMPTY_HOSTS])
    with killed.in_the_background():
        yield killed


def on_host(script: str) -> str:
    return output("docker", "exec", hosts.container(HOST), "sh", "-euc", script)


def containers() -> dict[str, dict[str, t.Any]]:
    """Every container, by name."""
    return {entry["Name"].lstrip("/"): entry for entry in json.loads(on_host("docker inspect $(docker ps --all --quiet)"))}


def state_of(entry: t.Mapping[str, t.Any]) -> str:
    state = entry["State"]
    return state.get("Health", {}).get("Status", "running") if state["Running"] else "stopped"


def well(entry: t.Mapping[str, t.Any]) -> bool:
    return state_of(entry) in ("running", "healthy")


def serving() -> set[str]:
    return {name for name, entry in containers().items() if entry["State"]["Running"]}


def wait_until_well(names: t.AbstractSet[str]) -> None:
    """Without Ansible: Docker's restart policy and the programs themselves."""

    def all_well() -> bool:
        found = containers()
        return all(well(found[name]) for name in names) and answers()

    wait_until("everything is healthy again", all_well, BACK_WITHIN, 0.5)


def answers() -> bool:
    try:
        with urllib.request.urlopen(URL + "/api_health/", timeout=5) as response:
            return "is live!" in response.read().decode()
    except OSError:
        return False


def kill(name: str) -> None:
    """The first process of the container, from outside; `docker kill` would count as stopped by hand."""
    before = containers()[name]["State"]
    on_host(f"kill -KILL {before['Pid']}")
    wait_until(f"{name} runs again", lambda: (state := containers()[name]["State"])["Running"] and state["Pid"] != before["Pid"], BACK_WITHIN, 0.3)


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Uploads:
    return Uploads(HOST, URL, tmp_path_factory.mktemp("uploads"))


def tasks_in_work() -> int:
    """Uploads that the worker has begun and not finished."""
    begun = "SELECT count(*) FROM reports_upload WHERE state = 'started'"
    return int(on_host(f'docker exec codecov-postgres-1 psql --username=codecov --tuples-only --command "{begun}"'))


def test_each_container_comes_back_after_a_kill(uploads: Uploads) -> None:
    names = serving()
    assert len(names) == 10
    for name in sorted(names):
        if "-worker-" not in name:
            kill(name)
            wait_until_well(names)
    uploads.some(1)


def test_a_worker_killed_in_the_middle_of_a_task_loses_nothing(uploads: Uploads) -> None:
    names = serving()
    uploads.some(2)
    assert tasks_in_work() > 0
    kill(next(name for name in names if "-worker-" in name))
    wait_until_well(names)


def warned(run: Run) -> str:
    """The summary's lines that are no good news."""
    summaries = [host["verify_health.summary"] for event in run.events for host in event.get("hosts", {}).values() if "verify_health.summary" in host]
    return "\n".join(line for line in summaries[-1].splitlines() if line.startswith(("warning", "failed")))


def test_redis_killed_under_processes_that_sent_tasks(uploads: Uploads, deployment: Deployment) -> None:
    """They hang in the next task that they send, and look healthy. Whether they do is a matter of chance; that they may is known, and repaired."""
    names = serving()
    uploads.some(4)
    kill("codecov-redis-1")
    wait_until_well(names)
    for _upload in range(4):
        uploads.one(patience=10)
    print(f"after Redis was killed: {len(uploads.refused)} of 4 uploads hung")
    uploads.refused.clear()  # their clients were told nothing, so nothing was accepted
    assert "redis_restart" in warned(deployment.run("health", {}))
    deployment.run("repair", REPAIR_AT_ONCE)
    uploads.some(4)
    wait_until("all are processed", lambda: not uploads.unprocessed(), 60, 1)
    assert "redis_restart" not in warned(deployment.run("health", {}))
    assert deployment.run("repair", REPAIR_AT_ONCE).changes == []


def test_everything_comes_back_with_the_engine(uploads: Uploads) -> None:
    names = serving()
    uploads.some(2)
    on_host("systemctl restart docker")
    wait_until_well(names)
    assert serving() == names


def test_everything_comes_back_with_the_host(uploads: Uploads) -> None:
    names = serving()
    uploads.some(2)
    hosts.restart(HOST)
    wait_until_well(names)
    assert serving() == names


def test_no_accepted_upload_is_lost(uploads: Uploads, deployment: Deployment) -> None:
    """At the latest after `repair`, which an operator, or a timer, runs."""
    deployment.run("repair", REPAIR_AT_ONCE)
    wait_until("all are processed", lambda: not uploads.unprocessed(), 30, 1)
    assert len(uploads.accepted) >= 15
    assert "redis_restart" not in warned(deployment.run("health", {})), "nothing is older than a Redis that was started together with everything else"


def test_a_first_deployment_killed_again_and_again_ends_as_an_uninterrupted_one(killed_runs: KilledRuns) -> None:
    """Each run is killed in a later task than the one before, from the empty host up to the switch; no secret is generated twice."""
    killed_runs.first_deployment()


def test_killed_runs_are_repaired_by_running_again(killed_runs: KilledRuns, deployment: Deployment) -> None:
    """A change of version is killed in the middle of every task that it executes on the host; afterwards the host looks as if it had not been."""
    killed_runs.lend(deployment)
    try:
        killed_runs.finish()
    finally:
        print("\n".join(killed_runs.log))
    assert len(killed_runs.killed) >= 20, killed_runs.killed
