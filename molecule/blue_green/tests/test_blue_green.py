# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two colours on one host, while clients go on asking and uploading. The tests run in this order; each begins where the one before ended."""

from __future__ import annotations

import collections
import pathlib
import typing as t
import urllib.error
import urllib.request

import pytest
from lab.load import Load
from lab.shell import wait_until
from scenarios.playbooks import Deployment, Run
from scenarios.uploads import Uploads

SCENARIO = pathlib.Path(__file__).parents[1]
HOST = "bg-codecov"
URL = "http://10.111.0.140"
STAGE = "stage.codecov.example.com"
RATE = 100  # requests a second: what two cores carry beside a running playbook
REQUESTS_IN_A_STEP = 2_000
NEW = {"codecov_versions": {"api": "26.7.6", "worker": "26.7.6"}}
NEVER_HEALTHY = {"codecov_versions": {"api": "26.8.0", "worker": "26.8.0"}, "codecov_health": {"deadline_s": 40}}
BLUE, GREEN = ({f"{slot} {service}" for service in ("api", "frontend", "gateway", "worker")} for slot in ("blue", "green"))
COOKIE = "covstack_colour"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return Deployment(HOST, SCENARIO, tmp_path_factory.mktemp("deployment"))


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Uploads:
    return Uploads(HOST, URL, tmp_path_factory.mktemp("uploads"))


def asking(action: str, **more: t.Any) -> dict[str, t.Any]:
    return {**NEW, "codecov_blue_green": {"action": action, "host": STAGE, **more}}


def under_load(deployment: Deployment, uploads: Uploads, settings: t.Mapping[str, t.Any]) -> Run:
    """The playbook, while clients ask and upload through the public URL; not one request may fail."""
    with Load(URL, RATE, at_least=REQUESTS_IN_A_STEP) as load, uploads.one_after_the_other(pause=3):
        done = deployment.run("blue_green", settings)
    result, asked = load.result, settings["codecov_blue_green"]
    print(f"{asked['action']} {asked.get('weight', '')}: {result.requests} requests, {result.failed} failed, p99 {result.p99 * 1000:.0f} ms")
    assert result.failed == 0, result.examples
    assert not uploads.refused, uploads.refused
    return done


def refused(deployment: Deployment, verb: str, settings: t.Mapping[str, t.Any]) -> str:
    before = deployment.on_host("cat /opt/codecov/edge/dynamic/active.yml")
    done = deployment.try_to(verb, settings)
    assert done.code != 0
    assert deployment.on_host("cat /opt/codecov/edge/dynamic/active.yml") == before
    return str(done)


def running(deployment: Deployment) -> set[str]:
    """Running containers of the application: slot and service."""
    form = '{{.Label "covstack.slot"}} {{.Label "covstack.service"}}'
    return set(deployment.on_host(f"docker ps --filter label=covstack.slot --format '{form}'").splitlines())


def header(deployment: Deployment) -> str:
    return deployment.on_host("head -n 1 /opt/codecov/edge/dynamic/active.yml").partition("release=")[2].partition(" ")[2].strip()


def ask(path: str = "/api_health/", **headers: str) -> tuple[int, str, str]:
    """Status, body, and the cookie that the edge gave."""
    request = urllib.request.Request(URL + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode(), str(response.headers.get("Set-Cookie", "")).partition(";")[0]
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), ""


def requests_of(deployment: Deployment, slot: str) -> int:
    """How many requests the gateway of a colour has had: what its api logged."""
    return int(deployment.on_host(f"docker logs codecov-{slot}-api-1 2>&1 | grep -c '/api_health/' || true"))


def test_nothing_to_switch_to(deployment: Deployment) -> None:
    assert "there is no green to switch to or from, blue serves alone" in refused(deployment, "blue_green", asking("switch", slot="green"))
    assert "blue gets 100 % of the requests" in refused(deployment, "blue_green", asking("clean_up", slot="blue"))
    assert deployment.run("blue_green", asking("look")).changes == []


def test_a_check_says_what_would_be_done_and_does_nothing(deployment: Deployment) -> None:
    before = deployment.on_host("cd /opt/codecov && find . -type f | sort | xargs sha256sum")
    assert deployment.run("blue_green", asking("deploy"), "--check").changes
    assert deployment.on_host("cd /opt/codecov && find . -type f | sort | xargs sha256sum") == before
    assert running(deployment) == BLUE


def test_a_stage_that_never_becomes_healthy_leaves_production_alone(deployment: Deployment) -> None:
    done = deployment.try_to("blue_green", {**asking("deploy"), **NEVER_HEALTHY})
    assert done.code != 0 and "did not become healthy" in str(done)
    assert running(deployment) == BLUE
    assert ask()[0] == 200
    assert "there is no green to switch to or from" in refused(deployment, "blue_green", asking("switch", slot="green"))


def test_the_second_colour_comes_up_beside_the_first(deployment: Deployment, uploads: Uploads) -> None:
    under_load(deployment, uploads, asking("deploy"))
    assert running(deployment) == BLUE | GREEN - {"green worker"}, "what is tested takes no task of users"
    assert header(deployment) == "blue=100 green=0"
    assert deployment.run("blue_green", asking("deploy")).changes == []


def test_stage_is_tested_by_its_own_name(deployment: Deployment) -> None:
    before = {slot: requests_of(deployment, slot) for slot in ("blue", "green")}
    for _request in range(5):
        assert ask(Host=STAGE)[1].endswith("is live!")
    assert requests_of(deployment, "green") - before["green"] >= 5


@pytest.mark.parametrize("verb", ["deploy", "upgrade", "rollback"])
def test_other_changes_wait(deployment: Deployment, verb: str) -> None:
    assert "a change of colours is under way" in refused(deployment, verb, NEW)


def test_a_share_of_the_requests(deployment: Deployment, uploads: Uploads) -> None:
    under_load(deployment, uploads, asking("switch", slot="green", weight=20))
    assert running(deployment) == BLUE | GREEN
    cookies = collections.Counter(ask("/gateway_health")[2] for _request in range(200))
    assert sorted(cookies.values()) == [40, 160], cookies
    assert all(name.startswith(f"{COOKIE}=") for name in cookies)
    assert deployment.run("blue_green", asking("switch", slot="green", weight=20)).changes == []
    assert deployment.run("health", NEW).code == 0


def test_a_browser_stays_with_its_colour(deployment: Deployment) -> None:
    cookie = ask("/gateway_health")[2]
    before = {slot: requests_of(deployment, slot) for slot in ("blue", "green")}
    for _request in range(40):
        assert ask(Cookie=cookie)[0] == 200
    gained = {slot: requests_of(deployment, slot) - before[slot] for slot in before}
    assert max(gained.values()) >= 40 and min(gained.values()) < 20, gained  # the edge's own questions are among them


def test_what_cannot_be_is_refused_while_both_serve(deployment: Deployment) -> None:
    assert "say which colour gets the weight" in refused(deployment, "blue_green", asking("switch", weight=50))
    assert "neither is free" in refused(deployment, "blue_green", asking("deploy"))
    assert "green gets 20 %" in refused(deployment, "blue_green", asking("clean_up"))


def test_a_colour_that_dies_takes_no_request_with_it(deployment: Deployment) -> None:
    """A share goes to the other colour as soon as one is not well."""
    deployment.on_host("docker stop codecov-green-gateway-1")
    wait_until("the edge has noticed", lambda: all(ask()[0] == 200 for _request in range(20)), 15, 0.5)
    deployment.on_host("docker start codecov-green-gateway-1")
    wait_until("green is back", lambda: len({ask("/gateway_health")[2] for _request in range(20)}) == 2, 60, 0.5)


def test_the_whole_switch(deployment: Deployment, uploads: Uploads) -> None:
    under_load(deployment, uploads, asking("switch", slot="green"))
    assert running(deployment) == GREEN | BLUE - {"blue worker"}, "the old colour is kept to switch back to"
    assert header(deployment) == "blue=0 green=100"


def test_switching_back_and_forth(deployment: Deployment, uploads: Uploads) -> None:
    under_load(deployment, uploads, asking("switch", slot="blue"))
    assert running(deployment) == BLUE | GREEN - {"green worker"}
    assert deployment.run("blue_green", asking("switch", slot="blue")).changes == []
    under_load(deployment, uploads, asking("switch", slot="green"))
    assert header(deployment) == "blue=0 green=100"


def test_a_deployment_of_what_serves_keeps_the_old_colour(deployment: Deployment) -> None:
    """So that a pipeline that runs again does not take the way back."""
    assert deployment.run("blue_green", asking("deploy")).changes == []
    assert running(deployment) == GREEN | BLUE - {"blue worker"}


def test_a_switch_killed_where_it_changes_something_is_repaired_by_running_again(deployment: Deployment) -> None:
    to_blue, to_green = asking("switch", slot="blue"), asking("switch", slot="green")
    tasks = [task for task in deployment.run("blue_green", to_blue).tasks if task.changed]
    assert len(tasks) >= 3, tasks
    for task in tasks:
        deployment.run("blue_green", to_green)
        print(f"killed in: {deployment.kill_in(task, to_blue, 'blue_green')}")
        assert ask()[0] == 200
        deployment.run("blue_green", to_blue)
        assert (header(deployment), running(deployment)) == ("blue=100 green=0", BLUE | GREEN - {"green worker"}), task
    deployment.run("blue_green", to_green)


def test_the_end(deployment: Deployment, uploads: Uploads) -> None:
    under_load(deployment, uploads, asking("clean_up"))
    assert running(deployment) == GREEN
    assert header(deployment) == ""
    assert deployment.run("blue_green", asking("clean_up")).changes == []
    assert deployment.run("deploy", NEW).changes == [], "what is left is an ordinary deployment"


def test_rollback_goes_back_to_the_colour_that_was_cleaned_up(deployment: Deployment) -> None:
    deployment.run("rollback", NEW)
    assert running(deployment) == BLUE
    assert "26.6.11" in deployment.on_host("docker inspect codecov-blue-api-1 --format '{{.Config.Image}}'")


def test_no_upload_was_lost(uploads: Uploads) -> None:
    assert len(uploads.accepted) >= 15
    wait_until("all uploads are processed", lambda: not uploads.unprocessed(), 60, 1)
