# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change of colours becomes, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import yaml
from ansible_collections.covstack.selfhosted.plugins.module_utils import _host_colours, _split_colours
from ansible_collections.covstack.selfhosted.plugins.module_utils._blue_green import change_of, problems, under_way
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import Deployment
from ansible_collections.covstack.selfhosted.plugins.module_utils._host_facts import parse_active, parse_shares
from ansible_collections.covstack.selfhosted.plugins.module_utils._placement import Host, placement_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._plan import plan_of
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.settings_examples import deployment

NOTHING: dict[str, int] = {}
ALONE = {"blue": 100}
BESIDE = {"blue": 100, "green": 0}
SHARED = {"blue": 80, "green": 20}
SWITCHED = {"blue": 0, "green": 100}
HOST = "codecov.example.com"


def wanted(action: str, **more: Any) -> dict[str, Any]:
    return {"action": action, "slot": "stage", "weight": 100, "host": "", **more}


@pytest.mark.parametrize(
    ("asked", "before", "slot", "after"),
    [
        (wanted("deploy"), ALONE, "green", BESIDE),
        (wanted("deploy"), {"green": 100}, "blue", SWITCHED),
        (wanted("deploy"), BESIDE, "green", BESIDE),
        (wanted("deploy"), SWITCHED, "blue", SWITCHED),
        (wanted("switch", slot="green"), BESIDE, "green", SWITCHED),
        (wanted("switch", slot="green"), SWITCHED, "green", SWITCHED),
        (wanted("switch", slot="blue"), SWITCHED, "blue", BESIDE),
        (wanted("switch", slot="green", weight=20), BESIDE, "green", SHARED),
        (wanted("switch", slot="green", weight=60), SHARED, "green", {"blue": 40, "green": 60}),
        (wanted("switch", slot="blue"), SHARED, "blue", BESIDE),
        (wanted("switch", slot="blue", weight=80), BESIDE, "blue", SHARED),
        (wanted("clean_up"), SWITCHED, "blue", {"green": 100}),
        (wanted("clean_up"), BESIDE, "green", ALONE),
        (wanted("clean_up"), ALONE, "green", ALONE),
        (wanted("look"), SHARED, "green", SHARED),
    ],
)
def test_what_is_asked_for_becomes_shares(asked: dict[str, Any], before: dict[str, int], slot: str, after: dict[str, int]) -> None:
    assert list(problems(asked, before, HOST)) == []
    change = change_of(asked, before)
    assert (change.slot, change.after) == (slot, after)
    assert list(change.after) == sorted(change.after), "always in the same order: a route that says the same is the same"


@pytest.mark.parametrize(
    ("asked", "before", "said"),
    [
        (wanted("deploy"), NOTHING, "codecov_blue_green.action: nothing is deployed yet"),
        (wanted("deploy"), SHARED, "codecov_blue_green.action: blue gets 80 % of the requests and green gets 20 % of the requests, so neither is free"),
        (wanted("deploy", slot="blue"), ALONE, "codecov_blue_green.slot: blue serves"),
        (wanted("deploy", slot="production"), BESIDE, "codecov_blue_green.slot: blue serves"),
        (wanted("switch"), ALONE, "codecov_blue_green.action: there is no green to switch to or from, blue serves alone -> deploy it first"),
        (wanted("switch", slot="green", weight=101), BESIDE, "codecov_blue_green.weight: 101 is no share"),
        (wanted("switch", slot="green", weight=-1), BESIDE, "codecov_blue_green.weight: -1 is no share"),
        (wanted("switch"), BESIDE, "the same run once more would switch back -> say which colour gets the weight; blue is production now, and green stage"),
        (wanted("switch", slot="production"), SWITCHED, "green is production now, and blue stage"),
        (wanted("clean_up", slot="blue"), SHARED, "codecov_blue_green.slot: blue gets 80 % of the requests -> give all of them to the other colour first"),
        (wanted("clean_up"), SHARED, "codecov_blue_green.slot: green gets 20 %"),
        (wanted("clean_up", slot="blue"), ALONE, "codecov_blue_green.slot: blue gets 100 %"),
        (wanted("look", host="no name"), ALONE, "codecov_blue_green.host: is no host name"),
        (wanted("look", host=HOST.upper()), ALONE, "which leads to production"),
    ],
)
def test_what_cannot_be_is_refused(asked: dict[str, Any], before: dict[str, int], said: str) -> None:
    [problem] = problems(asked, before, HOST)
    assert said in str(problem)


@pytest.mark.parametrize(("shares", "refused"), [(NOTHING, 0), (ALONE, 0), (BESIDE, 1), (SHARED, 1), (SWITCHED, 1)])
def test_an_ordinary_deployment_waits_until_the_change_is_over(shares: dict[str, int], refused: int) -> None:
    assert len(list(under_way(shares))) == refused


def test_workers_are_idle_where_no_requests_go() -> None:
    change = change_of(wanted("switch", slot="green"), BESIDE)
    assert (change.idle, change.serving, change.production, change.stage) == (["blue"], ["green"], "green", "blue")


# --- on a host --------------------------------------------------------------------------------------------------------------------


def container(slot: str, release: str, one_off: bool = False) -> dict[str, Any]:
    return {"slot": slot, "release": release, "one_off": one_off}


def host(shares: dict[str, int], *containers: dict[str, Any]) -> dict[str, Any]:
    return {"deployment": {"active": {"slot": "blue", "release": "old"}, "shares": shares, "containers": list(containers)}}


def planned(shares: dict[str, int], **asked: Any) -> dict[str, Any]:
    return _host_colours.plan_of(deployment({"codecov_blue_green": asked}), host(shares, container("blue", "old"), container("green", "new")))


def test_the_route_says_what_it_does() -> None:
    route = planned(BESIDE, action="switch", slot="green", weight=20)["route"]
    assert (parse_active(route), parse_shares(route)) == ({"slot": "blue", "release": "old"}, SHARED)
    colours = yaml.safe_load(route)["http"]["services"]["colours"]["loadBalancer"]
    assert colours["servers"] == [{"url": "http://127.0.0.1:8001", "weight": 80}, {"url": "http://127.0.0.1:8002", "weight": 20}]
    assert colours["sticky"]["cookie"]["secure"] is True
    assert yaml.safe_load(route)["http"]["routers"]["codecov"]["service"] == "colours@file"


def test_a_whole_switch_needs_no_shares_in_the_edge() -> None:
    route = planned(BESIDE, action="switch", slot="green")["route"]
    assert (parse_active(route), parse_shares(route)) == ({"slot": "green", "release": "new"}, SWITCHED)
    assert yaml.safe_load(route)["http"]["routers"]["codecov"]["service"] == "gateway-green@docker"
    assert "services" not in yaml.safe_load(route)["http"]


def test_the_last_colour_has_the_ordinary_route() -> None:
    plan = planned(BESIDE, action="clean_up")
    assert parse_shares(plan["route"]) == {}
    assert plan["route"].split("\n", 1)[1] == plan_of(deployment())["routes"]["blue"]


def test_stage_has_a_host_name_of_its_own() -> None:
    route = yaml.safe_load(planned(NOTHING, action="deploy", host="stage.example.com")["route"])["http"]
    assert route["routers"]["stage"]["rule"] == "Host(`stage.example.com`)"
    assert route["routers"]["stage"]["priority"] > route["routers"]["codecov"]["priority"]
    assert route["services"]["stage"]["loadBalancer"]["servers"] == [{"url": "http://127.0.0.1:8002"}]


def test_one_off_containers_are_no_colour() -> None:
    found = host({}, container("blue", "old"), container("green", "new", one_off=True))
    assert _host_colours.releases_of(found) == {"blue": "old"}


def test_shares_of_a_host() -> None:
    assert _host_colours.shares_of(deployment(), host({})) == {"blue": 100}
    assert _host_colours.shares_of(deployment(), host(SHARED, container("green", "new"))) == SHARED
    assert _host_colours.shares_of(deployment(), host(BESIDE)) == ALONE, "of a stage that was refused nothing is there"
    assert _host_colours.shares_of(deployment(), {"deployment": {"active": None, "shares": {}, "containers": []}}) == {}


# --- split hosts ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shares", "colours", "weights"),
    [
        ({"blue": 80, "green": 20}, {"a": "blue", "b": "green"}, {"a": 256, "b": 64}),
        ({"blue": 50, "green": 50}, {"a": "blue", "b": "green", "c": "green"}, {"a": 256, "b": 128, "c": 128}),
        ({"blue": 100, "green": 0}, {"a": "blue", "b": "green"}, {"a": 256, "b": 0}),
        ({"blue": 99, "green": 1}, {"a": "blue", **dict.fromkeys("bcdefg", "green")}, {"a": 256, **dict.fromkeys("bcdefg", 1)}),
    ],
)
def test_servers_weigh_what_their_colour_s_share_is(shares: dict[str, int], colours: dict[str, str], weights: dict[str, int]) -> None:
    assert _split_colours.weights_of(shares, colours) == weights


def two_colours(**groups: list[str]) -> Deployment:
    """Two web hosts with workers, and their colours."""
    hosts = [Host(name, f"10.0.0.{number}", groups=tuple(slot for slot in ("blue", "green") if name in groups[slot])) for number, name in enumerate("ab", 1)]
    placement = placement_of(hosts, {"web": ["a", "b"], "worker": ["a", "b"]})
    return dataclasses.replace(deployment(), placement=placement, host=placement.hosts[0])


def test_each_host_of_the_application_has_one_colour() -> None:
    assert list(_split_colours.problems(two_colours(blue=["a"], green=["b"]))) == []
    [problem] = _split_colours.problems(two_colours(blue=["a", "b"], green=["b"]))
    assert "inventory: b has no colour, or both" in str(problem)
    [problem] = _split_colours.problems(two_colours(blue=["a", "b"], green=[]))
    assert "no host of the group web and worker is green" in str(problem)


def test_of_hosts_that_all_serve_any_colour_may_become_stage() -> None:
    given = two_colours(blue=["a"], green=["b"])
    assert _split_colours.shares_of(given, host({})) == {"blue": 100}
    asked = dataclasses.replace(given, settings={**given.settings, "codecov_blue_green": wanted("deploy", slot="blue", host="stage.example.com")})
    plan = _split_colours.plan_of(asked, host({}))
    assert (plan["after"], plan["mark"], plan["hosts"]) == ({"blue": 0, "green": 100}, " blue=0 green=100", {"blue": ["a"], "green": ["b"]})
    assert plan["balancers"] == {"weights": {"a": 0, "b": 256}, "host": "stage.example.com", "stage": ["a"]}


def test_after_the_change_balancers_are_told_nothing() -> None:
    given = two_colours(blue=["a"], green=["b"])
    asked = dataclasses.replace(given, settings={**given.settings, "codecov_blue_green": wanted("clean_up")})
    plan = _split_colours.plan_of(asked, host(BESIDE))
    assert (plan["mark"], plan["balancers"], plan["slot"]) == ("", {}, "green")
