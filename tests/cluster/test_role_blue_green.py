# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two colours in one release, with the real Helm, against a stand-in of the API server: the order of things, and what they leave. No pod runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster.harness import UNPROVED, Cluster, State

NEW: dict[str, Any] = {"codecov_versions": {"api": "26.6.11", "worker": "26.6.11"}}
BROKEN = {"codecov_images": {"repositories": {"api": "registry.example.com/broken"}}}
STAGE: dict[str, Any] = {"action": "deploy", "host": "stage.codecov.test"}
SHARE: dict[str, Any] = {"action": "switch", "slot": "green", "weight": 20}
WEIGHT = "nginx.ingress.kubernetes.io/canary-weight"


# Each state comes of the one before.


@pytest.fixture(scope="module")
def refused(cluster: Cluster, deployed: State) -> State:
    """Green could not be migrated."""
    return cluster.state_after(deployed, "blue_green", fails=True, codecov_blue_green={"action": "deploy"}, **NEW, **BROKEN)


@pytest.fixture(scope="module")
def staged(cluster: Cluster, refused: State) -> State:
    """Green beside blue, and blue serves."""
    return cluster.state_after(refused, "blue_green", codecov_blue_green=STAGE, **NEW)


@pytest.fixture(scope="module")
def shared(cluster: Cluster, staged: State) -> State:
    """Green gets a fifth of the requests."""
    return cluster.state_after(staged, "blue_green", codecov_blue_green=SHARE, **NEW, **UNPROVED)


@pytest.fixture(scope="module")
def switched(cluster: Cluster, shared: State) -> State:
    """Green serves, and blue is kept."""
    return cluster.state_after(shared, "blue_green", codecov_blue_green={"action": "switch", "slot": "green"}, **NEW)


def change(cluster: Cluster, action: str, *options: str, fails: bool = False, **asked: Any) -> str:
    return cluster.play("blue_green", *options, fails=fails, codecov_blue_green={"action": action, **asked}, **NEW, **UNPROVED)


def image(cluster: Cluster, slot: str) -> str:
    spec = cluster.objects("Deployment")[f"codecov-api-{slot}"]["spec"]["template"]["spec"]
    return str(spec["containers"][0]["image"]).rpartition(":")[2]


def idle(cluster: Cluster) -> set[str]:
    return {name for name, item in cluster.objects("Deployment").items() if item["spec"].get("replicas") == 0}


def slot_that_serves(cluster: Cluster) -> str:
    return str(cluster.objects("Service")["codecov"]["spec"]["selector"]["covstack.selfhosted/slot"])


def assert_switched(cluster: Cluster, slot: str, other: str) -> None:
    assert (slot_that_serves(cluster), idle(cluster)) == (slot, {f"codecov-worker-{other}"})
    assert "codecov-gateway-green" not in cluster.objects("Ingress")


def migrations(written: tuple[str, ...]) -> list[str]:
    return [one for one in written if one.startswith("create Job/")]


def test_without_a_release_there_is_nothing_to_stand_beside(cluster: Cluster) -> None:
    cluster.begin(cluster.empty)
    assert "nothing is deployed yet" in change(cluster, "deploy", fails=True)
    assert cluster.writes() == []


def test_a_check_writes_nothing(cluster: Cluster, deployed: State) -> None:
    cluster.begin(deployed)
    assert "changed=0 " not in change(cluster, "deploy", "--check")
    assert cluster.writes() == []


def test_a_stage_that_cannot_be_migrated_leaves_production_alone(cluster: Cluster, refused: State) -> None:
    assert "The release was refused, and the one that served goes on." in refused.output
    cluster.begin(refused)
    assert "codecov-api-green" not in cluster.objects("Deployment")
    assert slot_that_serves(cluster) == "blue"


def test_the_second_colour_comes_beside_the_first(cluster: Cluster, deployed: State, staged: State) -> None:
    cluster.begin(deployed)
    before = cluster.objects("Deployment")
    cluster.begin(staged)
    assert migrations(staged.written) == ["create Job/codecov-migrate"]
    assert (image(cluster, "blue"), image(cluster, "green")) == ("26.7.6", "26.6.11")
    after = cluster.objects("Deployment")
    assert {name: after[name]["spec"] for name in before} == {name: item["spec"] for name, item in before.items()}, "production is not touched"
    assert (idle(cluster), slot_that_serves(cluster)) == ({"codecov-worker-green"}, "blue")
    assert cluster.objects("Ingress")["codecov-gateway-green-own"]["spec"]["rules"][0]["host"] == "stage.codecov.test"


def test_the_same_once_more_is_no_new_revision(cluster: Cluster, staged: State) -> None:
    cluster.begin(staged)
    assert "changed=0 " in change(cluster, **STAGE)
    assert cluster.writes() == []


@pytest.mark.parametrize("verb", ["deploy", "rollback"])
def test_other_changes_wait(cluster: Cluster, staged: State, verb: str) -> None:
    cluster.begin(staged)
    assert "a change of colours is under way" in cluster.play(verb, fails=True)
    assert cluster.writes() == []


def test_a_share_of_the_requests(cluster: Cluster, shared: State) -> None:
    assert migrations(shared.written) == [], "nothing is migrated for that"
    cluster.begin(shared)
    assert idle(cluster) == set()
    canary = cluster.objects("Ingress")["codecov-gateway-green"]
    assert canary["metadata"]["annotations"][WEIGHT] == "20"
    assert "changed=0 " in change(cluster, **SHARE)


def test_the_whole_switch_and_back(cluster: Cluster, switched: State) -> None:
    cluster.begin(switched)
    assert_switched(cluster, "green", other="blue")
    for slot, other in (("blue", "green"), ("green", "blue")):
        change(cluster, "switch", slot=slot)
        assert_switched(cluster, slot, other)


def test_what_serves_is_not_deployed_once_more(cluster: Cluster, switched: State) -> None:
    cluster.begin(switched)
    assert "runs already what the settings describe" in change(cluster, "deploy")
    assert cluster.writes() == []


def test_the_end_leaves_one_colour_and_deployments_stay_in_it(cluster: Cluster, switched: State) -> None:
    cluster.begin(switched)
    assert "green gets 100 %" in change(cluster, "clean_up", slot="green", fails=True)
    change(cluster, "clean_up")
    assert all(name.endswith("-green") for name in cluster.objects("Deployment"))
    assert "changed=0 " in change(cluster, "clean_up")
    cluster.play("deploy", **NEW, **UNPROVED)
    assert (image(cluster, "green"), slot_that_serves(cluster)) == ("26.6.11", "green")
    assert "codecov-api-blue" not in cluster.objects("Deployment")
    values = json.loads(cluster.helm("get", "values", "codecov", "--output", "json"))
    assert values["jobs"]["migrate"]["slot"] == "green"
