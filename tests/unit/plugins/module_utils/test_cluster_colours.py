# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values that a change of colours wants of a release in a cluster."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils import _cluster_colours
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.settings_examples import cluster

NEW = {"codecov_versions": {"api": "26.8.0", "worker": "26.8.0"}}
STAGE = "stage.example.com"


def planned(current: dict[str, Any], over: dict[str, Any] | None = None, **asked: Any) -> dict[str, Any]:
    return _cluster_colours.plan_of(cluster({**(over or {}), "codecov_blue_green": asked}), {"values": current}, bool(asked))


def deployed(slot: str = "blue") -> dict[str, Any]:
    """What an ordinary deployment leaves, with the Secret that only a run knows."""
    values = planned({"slots": {slot: {"weight": 100}}})["values"]
    values["slots"][slot]["config"] = {"secretName": f"codecov-config-{slot}", "checksum": slot}
    return values


def test_a_first_deployment_is_blue_and_later_ones_stay_where_they_serve() -> None:
    assert planned({})["slot"] == "blue"
    plan = planned(deployed("green"))
    assert (plan["slot"], list(plan["values"]["slots"]), plan["values"]["jobs"]["migrate"]["slot"]) == ("green", ["green"], "green")


def test_stage_stands_beside_production_as_it_is_and_migrates() -> None:
    plan = planned(deployed(), NEW, action="deploy", host=STAGE)
    slots = plan["values"]["slots"]
    assert (plan["slot"], plan["values"]["jobs"]["migrate"]["slot"]) == ("green", "green")
    assert slots["blue"]["images"]["api"]["tag"] == "26.7.6"
    assert slots["blue"]["config"] == {"secretName": "codecov-config-blue", "checksum": "blue"}
    assert (slots["blue"]["weight"], slots["green"]["weight"], slots["green"]["host"]) == (100, 0, STAGE)
    assert plan["values"]["services"]["api"]["image"]["tag"] == "26.8.0" and slots["green"]["images"] == {}


def test_stage_deployed_again_leaves_production_as_it_is() -> None:
    first = planned(deployed(), NEW, action="deploy", host=STAGE)["values"]
    assert planned(first, NEW, action="deploy", host=STAGE)["values"] == first


def test_shares_change_nothing_else_and_migrate_nothing() -> None:
    beside = planned(deployed(), NEW, action="deploy", host=STAGE)["values"]
    shared = planned(beside, {"codecov_versions": {"api": "26.9.0", "worker": "26.9.0"}}, action="switch", slot="green", weight=20, host=STAGE)["values"]
    assert {name: slot["weight"] for name, slot in shared["slots"].items()} == {"blue": 80, "green": 20}
    assert shared["jobs"] == {}
    assert {**shared, "slots": None, "jobs": None} == {**beside, "slots": None, "jobs": None}, "what the settings say by now does not count"


def test_the_name_of_stage_follows_the_role() -> None:
    beside = planned(deployed(), NEW, action="deploy", host=STAGE)["values"]
    switched = planned(beside, NEW, action="switch", slot="green", host=STAGE)["values"]
    assert {name: slot["host"] for name, slot in switched["slots"].items()} == {"blue": STAGE, "green": ""}


def test_the_colour_that_is_cleaned_up_is_gone() -> None:
    switched = planned(planned(deployed(), NEW, action="deploy")["values"], action="switch", slot="green")["values"]
    assert list(planned(switched, action="clean_up")["values"]["slots"]) == ["green"]


@pytest.mark.parametrize(("over", "checksum"), [({}, "blue"), (NEW, None)])
def test_what_serves_already_is_known_by_images_and_configuration(over: dict[str, Any], checksum: str | None) -> None:
    assert planned(deployed(), over, action="deploy")["blue_green"]["serves"] == checksum


@pytest.mark.parametrize(
    ("expose", "weight", "said"),
    [
        ({"expose": "internal"}, 20, "internal leads to one colour"),
        ({"expose": "internal"}, 100, ""),
        ({"expose": "gateway", "gateway": {"name": "shared"}}, 20, ""),
        ({"ingress": {"class": "nginx"}}, 20, ""),
        ({"ingress": {"class": "alb"}}, 20, "shares come true with ingress-nginx, and the class is alb"),
    ],
)
def test_ways_in_that_know_no_shares(expose: dict[str, Any], weight: int, said: str) -> None:
    given = cluster({"codecov_kubernetes": expose, "codecov_blue_green": {"action": "switch", "slot": "green", "weight": weight}})
    found = [str(problem) for problem in _cluster_colours.problems(given)]
    assert [said in problem for problem in found] == ([True] if said else [])
