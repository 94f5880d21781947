# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two colours in one release, with the real Helm, against a stand-in of the API server: the order of things, and what they leave. No pod runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.harness import Cluster, running

NEW: dict[str, Any] = {"codecov_versions": {"api": "26.6.11", "worker": "26.6.11"}}
BROKEN = {"codecov_images": {"repositories": {"api": "registry.example.com/broken"}}}
WEIGHT = "nginx.ingress.kubernetes.io/canary-weight"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("cluster")) as found:
        yield found


def change(cluster: Cluster, action: str, *options: str, fails: bool = False, over: Any = NEW, **asked: Any) -> str:
    return cluster.play("blue_green", *options, fails=fails, codecov_blue_green={"action": action, **asked}, **over)


def image(cluster: Cluster, slot: str) -> str:
    spec = cluster.objects("Deployment")[f"codecov-api-{slot}"]["spec"]["template"]["spec"]
    return str(spec["containers"][0]["image"]).rpartition(":")[2]


def idle(cluster: Cluster) -> set[str]:
    return {name for name, item in cluster.objects("Deployment").items() if item["spec"].get("replicas") == 0}


def slot_that_serves(cluster: Cluster) -> str:
    return str(cluster.objects("Service")["codecov"]["spec"]["selector"]["covstack.selfhosted/slot"])


def jobs(cluster: Cluster) -> list[str]:
    """Migrations since the last question."""
    return [written for written in cluster.writes() if written.startswith("create Job/")]


# In this order: each begins with what the one before has left.


def test_without_a_release_there_is_nothing_to_stand_beside(cluster: Cluster) -> None:
    assert "nothing is deployed yet" in change(cluster, "deploy", fails=True)
    assert cluster.writes() == []


def test_a_check_writes_nothing(cluster: Cluster) -> None:
    cluster.play("deploy")
    cluster.writes()
    assert "changed=0 " not in change(cluster, "deploy", "--check")
    assert cluster.writes() == []


def test_a_stage_that_cannot_be_migrated_leaves_production_alone(cluster: Cluster) -> None:
    output = change(cluster, "deploy", fails=True, over={**NEW, **BROKEN})
    assert "The release was refused, and the one that served goes on." in output
    assert "codecov-api-green" not in cluster.objects("Deployment")
    assert slot_that_serves(cluster) == "blue"


def test_the_second_colour_comes_beside_the_first(cluster: Cluster) -> None:
    before = cluster.objects("Deployment")
    cluster.writes()
    change(cluster, "deploy", host="stage.codecov.test")
    assert jobs(cluster) == ["create Job/codecov-migrate"]
    assert (image(cluster, "blue"), image(cluster, "green")) == ("26.7.6", "26.6.11")
    after = cluster.objects("Deployment")
    assert {name: after[name]["spec"] for name in before} == {name: item["spec"] for name, item in before.items()}, "production is not touched"
    assert (idle(cluster), slot_that_serves(cluster)) == ({"codecov-worker-green"}, "blue")
    assert cluster.objects("Ingress")["codecov-gateway-green-own"]["spec"]["rules"][0]["host"] == "stage.codecov.test"


def test_the_same_once_more_is_no_new_revision(cluster: Cluster) -> None:
    cluster.writes()
    assert "changed=0 " in change(cluster, "deploy", host="stage.codecov.test")
    assert cluster.writes() == []


@pytest.mark.parametrize("verb", ["deploy", "rollback"])
def test_other_changes_wait(cluster: Cluster, verb: str) -> None:
    assert "a change of colours is under way" in cluster.play(verb, fails=True)


def test_a_share_of_the_requests(cluster: Cluster) -> None:
    cluster.writes()
    change(cluster, "switch", slot="green", weight=20)
    assert jobs(cluster) == [], "nothing is migrated for that"
    assert idle(cluster) == set()
    canary = cluster.objects("Ingress")["codecov-gateway-green"]
    assert canary["metadata"]["annotations"][WEIGHT] == "20"
    assert "changed=0 " in change(cluster, "switch", slot="green", weight=20)


def test_the_whole_switch_and_back(cluster: Cluster) -> None:
    for slot, other in (("green", "blue"), ("blue", "green"), ("green", "blue")):
        change(cluster, "switch", slot=slot)
        assert (slot_that_serves(cluster), idle(cluster)) == (slot, {f"codecov-worker-{other}"})
        assert "codecov-gateway-green" not in cluster.objects("Ingress")


def test_what_serves_is_not_deployed_once_more(cluster: Cluster) -> None:
    cluster.writes()
    assert "runs already what the settings describe" in change(cluster, "deploy")
    assert cluster.writes() == []


def test_the_end_leaves_one_colour_and_deployments_stay_in_it(cluster: Cluster) -> None:
    assert "green gets 100 %" in change(cluster, "clean_up", slot="green", fails=True)
    change(cluster, "clean_up")
    assert all(name.endswith("-green") for name in cluster.objects("Deployment"))
    assert "changed=0 " in change(cluster, "clean_up")
    cluster.play("deploy", **NEW)
    assert (image(cluster, "green"), slot_that_serves(cluster)) == ("26.6.11", "green")
    assert "codecov-api-blue" not in cluster.objects("Deployment")
    values = json.loads(cluster.helm("get", "values", "codecov", "--output", "json"))
    assert values["jobs"]["migrate"]["slot"] == "green"
