# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a deployment is settled, so that Compose need not be asked; each way in which it is not."""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils import _plan
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.settings_examples import EMBEDDED, EXTERNAL, SECRET, deployment

ACTIVE = {"slot": "blue", "release": "8c1f0a"}


def container(service: str, number: int = 1, **over: Any) -> dict[str, Any]:
    usual = {"slot": None, "release": None, "config": None, "state": "running", "health": "healthy", "one_off": False}
    return {**usual, "service": service, "number": number, **over}


def host_of(plan: dict[str, Any]) -> dict[str, Any]:
    """A host on which the plan was carried out."""
    platform = [
        container(name, image=image, config=plan["platform"]["configs"][name], health=None if name == "socket_proxy" else "healthy")
        for name, image in plan["platform"]["images"].items()
    ]
    application = [
        container(name, number + 1, image=plan["application"]["images"][name], **ACTIVE)
        for name, count in plan["application"]["replicas"].items()
        for number in range(count)
    ]
    return {"deployment": {"containers": [*platform, *application], "active": ACTIVE, "releases": []}}


def find(host: dict[str, Any], service: str) -> dict[str, Any]:
    found: dict[str, Any] = next(entry for entry in host["deployment"]["containers"] if entry["service"] == service)
    return found


@pytest.mark.parametrize("base", [EMBEDDED, EXTERNAL])
@pytest.mark.parametrize("line", ["codecov", "codecov_enterprise"])
def test_a_plan_carried_out_is_settled(line: str, base: dict[str, Any]) -> None:
    plan = _plan.plan_of(deployment({"codecov_line": line, "codecov_replicas": {"worker": 2}}, base))
    assert _plan.settled(plan, host_of(plan)) == {"platform": True, "application": True}


def test_containers_of_the_slot_that_does_not_serve_do_not_count() -> None:
    plan = _plan.plan_of(deployment())
    host = host_of(plan)
    host["deployment"]["containers"].append(container("api", slot="green", release="old", image="old", state="exited", health=None))
    assert _plan.settled(plan, host) == {"platform": True, "application": True}


def remove(service: str) -> Callable[[dict[str, Any]], None]:
    return lambda host: host["deployment"]["containers"].remove(find(host, service))


def change(service: str, **over: Any) -> Callable[[dict[str, Any]], None]:
    return lambda host: find(host, service).update(over)


def add(like: str, **over: Any) -> Callable[[dict[str, Any]], None]:
    return lambda host: host["deployment"]["containers"].append({**find(host, like), **over})


UNSETTLED: dict[str, tuple[Callable[[dict[str, Any]], None], set[str]]] = {
    "a platform service is missing": (remove("redis"), {"platform"}),
    "made from another definition": (change("redis", config="0123"), {"platform"}),
    "made before definitions had a digest": (change("edge", config=None), {"platform"}),
    "stopped": (change("postgres", state="exited", health=None), {"platform"}),
    "unhealthy": (change("storage", health="unhealthy"), {"platform"}),
    "not healthy yet": (change("edge", health="starting"), {"platform"}),
    "the name of its image means another one": (change("redis", image="sha256:ab"), {"platform"}),
    "a platform service that is no longer wanted": (add("redis", service="timescale"), {"platform"}),
    "twice": (add("redis"), {"platform"}),
    "an application's container is missing": (remove("worker"), {"application"}),
    "one too many": (add("worker", number=3), {"application"}),
    "of another release": (change("api", release="other"), {"application"}),
    "draining": (change("api", health="unhealthy"), {"application"}),
    "another image": (change("api", image="docker.io/codecov/self-hosted-api:0"), {"application"}),
    "a service that the line does not have": (add("api", service="web"), {"application"}),
    "a job that was left behind": (add("api", service="migrate", one_off=True), {"platform", "application"}),
}


@pytest.mark.parametrize(("disturb", "unsettled"), UNSETTLED.values(), ids=UNSETTLED)
def test_it_is_not_settled(disturb: Callable[[dict[str, Any]], None], unsettled: set[str]) -> None:
    plan = _plan.plan_of(deployment())
    host = host_of(plan)
    disturb(host)
    assert {name for name, state in _plan.settled(plan, host).items() if not state} == unsettled


def test_an_empty_host_is_not_settled() -> None:
    nothing = {"deployment": {"containers": [], "active": None, "releases": []}}
    assert _plan.settled(_plan.plan_of(deployment()), nothing) == {"platform": False, "application": False}


def test_images_that_are_always_pulled_are_never_settled() -> None:
    plan = _plan.plan_of(deployment({"codecov_images": {"pull": "always"}}))
    assert _plan.settled(plan, host_of(plan)) == {"platform": False, "application": False}


@pytest.mark.parametrize(
    "over",
    [{"codecov_edge": {"metrics_address": "127.0.0.1:9"}}, {"codecov_logs": {"max_files": 9}}, {"codecov_edge": {"access_log": True}}],
)
def test_the_digest_follows_the_definition(over: dict[str, Any]) -> None:
    configs = [_plan.plan_of(deployment(settings))["platform"]["configs"] for settings in ({}, {}, over)]
    assert configs[0] == configs[1]
    assert configs[0]["edge"] != configs[2]["edge"]


def test_the_host_is_asked_for_every_image() -> None:
    wanted = deployment()
    plan = _plan.plan_of(wanted)
    assert _plan.needs_of(wanted)["images"] == sorted({*plan["platform"]["images"].values(), *plan["application"]["images"].values()})


@pytest.mark.parametrize("base", [EMBEDDED, EXTERNAL])
def test_a_plan_can_be_sent_and_holds_no_secret(base: dict[str, Any]) -> None:
    assert SECRET not in json.dumps(_plan.plan_of(deployment({}, base)))


SERVES = {"split": True, "application": True, "keeper": False, "keeper_name": "app1", "kinds": ["web", "worker"]}


@pytest.mark.parametrize(
    ("placement", "more", "in_turn"),
    [
        ({}, {}, True),
        ({"kinds": ["worker"]}, {}, True),
        ({"keeper": True}, {}, False),
        ({"kinds": ["web", "worker", "storage"]}, {}, False),
        ({"application": False, "kinds": ["data"]}, {}, False),
        ({}, {"active": None}, False),
        ({}, {"run_hosts": ["app2"]}, False),
        ({}, {"colours": {"blue_green": {}}}, False),
    ],
)
def test_hosts_that_serve_are_written_to_in_their_turn(placement: dict[str, Any], more: dict[str, Any], in_turn: bool) -> None:
    """Not the one from which the database is migrated, nor those whose data the others need, nor what serves nothing."""
    plan = {"placement": {**SERVES, **placement}, **more.get("colours", {})}
    host = {"deployment": {"active": more.get("active", ACTIVE)}}
    assert _plan.in_turn(plan, host, more.get("run_hosts", ["app1", "app2"])) is in_turn


def test_one_host_has_no_turns() -> None:
    plan = _plan.plan_of(deployment())
    assert _plan.in_turn(plan, host_of(plan), ["one"]) is False
