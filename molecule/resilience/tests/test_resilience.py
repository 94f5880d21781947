# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What crashes comes back by itself, what was accepted is not lost, and a killed run is repaired by running again.

The tests run in this order; each begins where the one before ended."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import typing as t
import urllib.request

import pytest
from lab import hosts
from lab.shell import output, wait_until
from scenarios.uploads import Uploads

ROOT = pathlib.Path(__file__).parents[3]
SCENARIO = pathlib.Path(__file__).parents[1]
HOST = "resilience-codecov"
URL = "http://10.111.0.81"
INVENTORIES = (ROOT / "molecule/shared/inventory", SCENARIO / "inventory", ROOT / ".cache/lab/scenarios/resilience")
BACK_WITHIN = 120
OLD = {"codecov_versions": {"api": "26.6.11", "worker": "26.6.11"}}
NEW: dict[str, t.Any] = {}  # the catalogue's versions
# A kill leaves these different: the log grows, and it is compared by what it says elsewhere.
NOT_COMPARED = "./audit.log"
# Where the runs are killed, in the order in which a deployment of another version gets there. Each list is one change of version: its last
# task makes the switch or comes about when it is made, so that all runs before it have everything still to do.
KILLS = (
    ("Validate the settings and plan", "Keep the options of the daemon", "Merge, validate and write codecov.yml",
     "Start the release in the idle slot", "Switch the edge to the slot"),
    ("Keep the certificate files", "Load image archives", "Write the platform's files",
     "Prove the release through the edge", "Wait until the edge sends requests"),
    ("Ask the external services before", "Run the platform services", "Pull the release's images", "Write the audit line"),
    ("Take the wanted release through the gate", "Create the bucket", "Migrate the database", "Stop the slot that no longer serves"),
    ("Probe containers, edge, services",),
    ("Upload a report and follow it",),
)  # fmt: skip


def command_of(verb: str, settings: t.Mapping[str, t.Any]) -> list[str]:
    command = [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), f"covstack.selfhosted.{verb}"]
    for inventory in INVENTORIES:
        command += ["--inventory", str(inventory)]
    return [*command, "--extra-vars", json.dumps(settings)]


def environment() -> dict[str, str]:
    return {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}


def playbook(verb: str, **settings: t.Any) -> str:
    done = subprocess.run(command_of(verb, settings), cwd=ROOT, env=environment(), text=True, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    return done.stdout


def kill_all_of(process: subprocess.Popen[str]) -> None:
    """With its workers, which Ansible puts into sessions of their own, and their ssh."""
    parents = [line.split() for line in output("ps", "-eo", "pid=,ppid=").splitlines()]
    doomed = [process.pid]
    for pid in doomed:  # grows while it is gone through
        doomed += [int(child) for child, parent in parents if int(parent) == pid]
    for pid in doomed:
        with contextlib.suppress(ProcessLookupError):  # it may end by itself once its parent is gone
            os.kill(pid, signal.SIGKILL)


def killed_at(task: str, settings: t.Mapping[str, t.Any]) -> None:
    """Deploy, and kill all of Ansible in the middle of the task; what it started on the host is left to itself."""
    pipes: dict[str, t.Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command_of("deploy", settings), cwd=ROOT, env=environment(), text=True, start_new_session=True, **pipes) as process:
        giving_up = threading.Timer(300, kill_all_of, (process,))
        giving_up.start()
        assert process.stdout
        seen: list[str] = []
        for line in process.stdout:
            seen.append(line)
            if line.startswith("TASK [") and task in line:
                threading.Event().wait(0.4)  # into the task: its module is at work on the host
                kill_all_of(process)
                break
        giving_up.cancel()
    assert process.returncode == -signal.SIGKILL, f"{task}: never came\n{''.join(seen)[-3000:]}"


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


def test_no_accepted_upload_is_lost(uploads: Uploads) -> None:
    """At the latest after `repair`, which an operator, or a timer, runs."""
    print(playbook("repair", codecov_health={"stuck_upload_s": 5, "deadline_s": 120}))
    wait_until("all are processed", lambda: not uploads.unprocessed(), 30, 1)
    assert len(uploads.accepted) == 7
    playbook("health")


def picture() -> dict[str, t.Any]:
    """All that a deployment leaves on a host."""
    files = on_host(f"cd /opt/codecov; find . -type f ! -path {NOT_COMPARED} -exec stat --format '%n %u %g %a' {{}} + -exec sha256sum {{}} + | sort")
    return {
        "files": files.splitlines(),
        "containers": {
            name: (entry["Config"]["Image"], entry["Config"]["Labels"].get("covstack.release"), state_of(entry)) for name, entry in containers().items()
        },
        "networks": on_host("docker network ls --format '{{.Name}}' | sort"),
    }


def trail() -> tuple[str, list[str]]:
    """What serves, and the lines of the audit log."""
    return on_host("head -n 1 /opt/codecov/edge/dynamic/active.yml"), on_host("cat /opt/codecov/audit.log").splitlines()


def assert_no_switch_without_its_line(before: tuple[str, list[str]], after: tuple[str, list[str]]) -> None:
    (served, lines), (serves, more) = before, after
    assert more[: len(lines)] == lines
    if serves != served:
        release = serves.split("release=")[1]
        assert any(f"switches to release {release} " in line for line in more[len(lines) :]), (serves, more[-3:])


def test_killed_runs_are_repaired_by_running_again() -> None:
    """20 runs are killed, each in the middle of another task; afterwards the host looks as if none had been."""
    assert len({task for change in KILLS for task in change}) >= 20
    expected: list[dict[str, t.Any]] = []
    for versions in (OLD, NEW):
        playbook("deploy", **versions)
        expected.append(picture())
    for number, change in enumerate(KILLS):
        versions = (OLD, NEW)[number % 2]
        started = time.monotonic()
        for task in change:
            before = trail()
            killed_at(task, versions)
            assert_no_switch_without_its_line(before, trail())
        playbook("deploy", **versions)
        print(f"killed at {', '.join(change)}; repaired: {time.monotonic() - started:.0f} s in all")
        assert picture() == expected[number % 2], change
    assert "changed=0" in playbook("deploy", **NEW)
    playbook("health", **NEW)
