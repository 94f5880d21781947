# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quotas against what a plan asks for. That one alone is a refusal: bad_clusters.yml."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils import _cluster_colours, _cluster_quota
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.settings_examples import cluster

SERVING: dict[str, Any] = {"slots": {"blue": {"weight": 100}}}
NEW = {"codecov_versions": {"api": "26.8.0", "worker": "26.8.0"}}


def planned(current: dict[str, Any], **asked: Any) -> dict[str, Any]:
    return _cluster_colours.plan_of(cluster({**NEW, "codecov_blue_green": asked}), {"values": current}, bool(asked))


def refusals(plan: dict[str, Any], cpu: float, used: float = 0.0, release: dict[str, Any] | None = None) -> list[str]:
    quota = {"name": "compute", "hard": {"requests.cpu": f"{cpu:g}"}, "used": {"requests.cpu": f"{used:g}"}}
    return [str(problem) for problem in _cluster_quota.problems(plan, {"quotas": [quota], "release": release})]


@pytest.mark.parametrize(("text", "number"), [("500m", 0.5), ("2", 2), ("1Gi", 2**30), ("1.5G", 1.5e9), ("much", 0)])
def test_quantities(text: str, number: float) -> None:
    assert _cluster_quota.quantity(text) == number


def test_what_a_release_uses_already_is_free_for_the_next() -> None:
    plan = planned(SERVING)
    cpu = _cluster_quota.requested(plan["values"])["requests.cpu"]
    assert refusals(plan, cpu, used=cpu, release={"status": "deployed", "revision": 1}) == []
    assert len(refusals(plan, cpu, used=cpu)) == 1


def of_each_change() -> dict[str, dict[str, Any]]:
    alone = planned(SERVING)
    beside = planned(alone["values"], action="deploy")
    shared = planned(beside["values"], action="switch", slot="green", weight=20)
    clean = planned(planned(beside["values"], action="switch", slot="green")["values"], action="clean_up")
    return {"alone": alone, "beside": beside, "shared": shared, "clean": clean}


def test_a_colour_beside_the_serving_one_asks_for_its_web_tier_and_later_for_its_workers() -> None:
    asked = {name: _cluster_quota.requested(plan["values"])["requests.cpu"] for name, plan in of_each_change().items()}
    services = of_each_change()["alone"]["values"]["services"]

    def of_tier(tier: str) -> float:
        each = [service for service in services.values() if service["tier"] == tier]
        return sum(_cluster_quota.quantity(service["resources"]["requests"]["cpu"]) * service["autoscaling"]["minimum"] for service in each)

    assert asked["beside"] == pytest.approx(asked["alone"] + of_tier("web"))
    assert asked["shared"] == pytest.approx(asked["beside"] + of_tier("worker"))
    assert asked["clean"] == pytest.approx(asked["alone"])


@pytest.mark.parametrize("change", ["beside", "shared"])
def test_a_second_colour_without_room_is_refused(change: str) -> None:
    plans = of_each_change()
    cpu = _cluster_quota.requested(plans["alone"]["values"])["requests.cpu"]
    serving = {"status": "deployed", "revision": 1}
    assert refusals(plans["alone"], cpu, release=serving) == []
    [line] = refusals(plans[change], cpu, release=serving)
    assert line.startswith(f"codecov_blue_green.action: the quota compute leaves {cpu:g} of requests.cpu, and ")
    assert "by two colours -> raise the quota" in line


def test_a_quota_does_not_keep_anybody_from_cleaning_up() -> None:
    assert refusals(of_each_change()["clean"], 0.1, release={"status": "deployed", "revision": 4}) == []
