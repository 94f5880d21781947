# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Day two, as an operator does it, while clients go on asking. The tests run in this order; each begins where the one before ended."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t
import urllib.error
import urllib.request

import pytest
from lab import controllers
from lab.load import Load
from lab.shell import wait_until
from scenarios.uploads import Uploads

ROOT = pathlib.Path(__file__).parents[3]
SCENARIO = pathlib.Path(__file__).parents[1]
URL = "http://10.111.0.61"
RATE = 100  # requests a second: what two cores carry beside a running playbook
REQUESTS_IN_A_STEP = 2_600  # at least, however fast its playbook is: the load goes on until then
REQUESTS_IN_ALL = 20_000
INVENTORIES = (ROOT / "molecule/shared/inventory", SCENARIO / "inventory", ROOT / ".cache/lab/scenarios/operations")
NEW = {"api": "26.7.6", "worker": "26.7.6"}
REQUESTS: list[int] = []

# testinfra runs tests with a host first: here all have it, so that they run in this order.
pytestmark = pytest.mark.usefixtures("host")


def playbook(verb: str, end: str = "", **settings: t.Any) -> subprocess.CompletedProcess[str]:
    """With this environment's ansible-core, or with the one at an end of the supported range."""
    arguments = [f"covstack.selfhosted.{verb}"]
    for inventory in INVENTORIES:
        arguments += ["--inventory", str(inventory)]
    if settings:
        arguments += ["--extra-vars", json.dumps(settings)]
    ours = (str(pathlib.Path(sys.executable).parent / "ansible-playbook"), *arguments)
    command = controllers.command(end, "ansible-playbook", *arguments) if end else ours
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Uploads:
    return Uploads("operations-codecov", URL, tmp_path_factory.mktemp("uploads"))


def under_load(uploads: Uploads, verb: str, end: str = "", **settings: t.Any) -> subprocess.CompletedProcess[str]:
    """Run a playbook while clients ask and upload through the public URL; not one request may fail."""
    with Load(URL, RATE, at_least=REQUESTS_IN_A_STEP) as load, uploads.one_after_the_other(pause=3):
        done = playbook(verb, end, **settings)
    REQUESTS.append(load.result.requests)
    print(f"{verb}: {load.result.requests} requests, {load.result.failed} failed, p50 {load.result.p50 * 1000:.0f} ms, p99 {load.result.p99 * 1000:.0f} ms")
    assert load.result.failed == 0, load.result.examples
    assert not uploads.refused, uploads.refused
    return done


def answer(path: str) -> str:
    with urllib.request.urlopen(URL + path, timeout=10) as response:
        return response.read().decode()


def status_of(path: str) -> int:
    try:
        with urllib.request.urlopen(URL + path, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def running(host: t.Any) -> dict[str, int]:
    """Containers of the application by slot and service."""
    names = host.check_output("docker ps --filter label=covstack.slot --format '{{.Label \"covstack.slot\"}} {{.Label \"covstack.service\"}}'").splitlines()
    return {name: names.count(name) for name in sorted(set(names))}


def slot_of(host: t.Any) -> str:
    return host.check_output("head -n 1 /opt/codecov/edge/dynamic/active.yml").split("slot=")[1].split()[0]


def test_the_steady_state(uploads: Uploads) -> None:
    """What the latencies of the other steps, which are printed, compare with."""
    assert under_load(uploads, "health").returncode == 0


def test_scaling_up_adds_healthy_containers(host, uploads: Uploads) -> None:
    done = under_load(uploads, "scale", codecov_replicas={"api": 3, "worker": 2})
    assert done.returncode == 0, done.stdout[-3000:]
    assert running(host) == {"blue api": 3, "blue frontend": 1, "blue gateway": 1, "blue worker": 2}


def test_the_edge_finds_containers_that_compose_adds_by_hand(host) -> None:
    compose = "cd /opt/codecov/releases/* && docker compose --project-name codecov-blue --env-file /opt/codecov/slots/blue.env"
    host.check_output(f"{compose} up --detach --no-recreate --scale api=3 --scale worker=2 --scale gateway=2 --wait")
    seen = json.loads(host.check_output("docker exec codecov-edge-1 wget -qO- http://127.0.0.1:8082/api/http/services/gateway-blue@docker"))
    assert len(seen["serverStatus"]) == 2


def test_scaling_down_drains_first(host, uploads: Uploads) -> None:
    done = under_load(uploads, "scale")
    assert done.returncode == 0, done.stdout[-3000:]
    assert running(host) == {"blue api": 1, "blue frontend": 1, "blue gateway": 1, "blue worker": 1}


def test_an_upgrade_switches_without_a_failed_request(host, uploads: Uploads) -> None:
    done = under_load(uploads, "upgrade", codecov_versions=NEW)
    assert done.returncode == 0, done.stdout[-3000:]
    assert set(running(host)) == {"green api", "green frontend", "green gateway", "green worker"}
    assert "26.7.6" in answer("/api_health/")
    # What served before ended by itself, its requests answered and its tasks done; 137 would be a kill after the grace.
    of_before = "docker ps --all --quiet --filter label=covstack.slot=blue --filter status=exited"
    codes = host.check_output(f"docker inspect --format '{{{{index .Config.Labels \"covstack.service\"}}}} {{{{.State.ExitCode}}}}' $({of_before})")
    assert sorted(codes.splitlines()) == ["api 0", "frontend 0", "gateway 0", "worker 0"]


@pytest.mark.parametrize(("version", "reason"), [("26.8.0", "did not become healthy"), ("26.8.1", "Migrate the database")])
def test_a_broken_version_leaves_the_old_one_serving(host, uploads: Uploads, version: str, reason: str) -> None:
    done = under_load(uploads, "upgrade", codecov_versions={"api": version, "worker": version}, codecov_health={"deadline_s": 40})
    assert done.returncode != 0
    assert reason in done.stdout
    if version == "26.8.0":
        assert "Last log lines" in done.stdout
    assert set(running(host)) == {"green api", "green frontend", "green gateway", "green worker"}
    assert "live!" in answer("/api_health/")


def test_the_good_version_is_still_what_is_deployed(host) -> None:
    done = playbook("deploy", codecov_versions=NEW)
    assert done.returncode == 0, done.stdout[-3000:]
    assert slot_of(host) == "green"
    assert "changed=0" in playbook("deploy", codecov_versions=NEW).stdout


@pytest.mark.parametrize("end", controllers.ENDS)
def test_the_oldest_and_the_newest_ansible_find_nothing_to_change(host, end: str) -> None:
    done = playbook("deploy", end, codecov_versions=NEW)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "changed=0" in done.stdout


@pytest.mark.parametrize(("slot", "version", "end"), [("blue", "26.6.11", "oldest"), ("green", "26.7.6", "newest")])
def test_a_rollback_goes_back_through_the_gate(host, uploads: Uploads, slot: str, version: str, end: str) -> None:
    """And rolled back once more, it is where it was. With either end of the supported range of ansible-core."""
    done = under_load(uploads, "rollback", end=end)
    assert done.returncode == 0, done.stdout[-3000:]
    assert slot_of(host) == slot
    assert host.check_output(f"docker inspect codecov-{slot}-api-1 --format '{{{{.Config.Image}}}}'").endswith(f":{version}")
    assert set(running(host)) == {f"{slot} api", f"{slot} frontend", f"{slot} gateway", f"{slot} worker"}


def test_an_interrupted_scale_down_is_repaired(host) -> None:
    """A draining mark that a killed run left behind."""
    host.check_output("docker exec codecov-green-api-1 touch /tmp/covstack-drain")
    host.check_output("until docker inspect codecov-green-api-1 --format '{{.State.Health.Status}}' | grep -q unhealthy; do :; done")
    wait_until("no api serves", lambda: status_of("/api_health/") != 200, 10)
    done = playbook("deploy", codecov_versions=NEW)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "live!" in answer("/api_health/")


def test_every_change_has_its_audit_line(host) -> None:
    lines = host.file("/opt/codecov/audit.log").content_string.splitlines()
    assert len(lines) == 4
    assert all(" switches to release " in line for line in lines)


def test_no_upload_was_lost(uploads: Uploads) -> None:
    """Without `repair`: stopped workers finish what they have begun."""
    assert len(uploads.accepted) >= 20
    wait_until("all uploads are processed", lambda: not uploads.unprocessed(), 60, 1)


def test_enough_was_asked() -> None:
    assert sum(REQUESTS) >= REQUESTS_IN_ALL, REQUESTS
