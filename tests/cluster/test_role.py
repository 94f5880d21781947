# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks on a cluster, with the real Helm, against a stand-in of the API server: their order, and what they leave. Not what Kubernetes makes of it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import yaml

from cluster.api_server import Place
from cluster.harness import NAMESPACE, SECRET, UNPROVED, Cluster, State

BROKEN: dict[str, Any] = {"codecov_images": {"repositories": {"api": "registry.example.com/broken"}}}


@pytest.fixture(scope="module")
def refused(cluster: Cluster, deployed: State) -> State:
    """After a deployment whose migration failed."""
    return cluster.state_after(deployed, "deploy", fails=True, **BROKEN)


@pytest.fixture(scope="module")
def mended(cluster: Cluster, deployed: State) -> State:
    """After a deployment that found other settings, and one Secret missing. That either would do: test_access.py."""
    [config] = [key for key in deployed.objects if key[1] == "secrets" and key[3].startswith("codecov-config-")]
    left = State({key: item for key, item in deployed.objects.items() if key != config})
    return cluster.state_after(left, "deploy", codecov_health={"maximum_ms": 9000})


@pytest.fixture(scope="module")
def asked(cluster: Cluster, deployed: State) -> State:
    """After the playbooks that change nothing, in one run."""
    return cluster.state_after(deployed, "health", "covstack.selfhosted.smoke", "covstack.selfhosted.repair")


def test_a_first_check_changes_nothing(cluster: Cluster) -> None:
    cluster.begin(cluster.empty)
    output = cluster.play("deploy", "--check", "--diff")
    assert "changed=2 " in output, "the namespace and the release"
    assert cluster.writes() == []


def test_a_deployment_writes_secrets_first_and_then_the_release(cluster: Cluster, deployed: State) -> None:
    cluster.begin(deployed)
    written = deployed.written
    assert written[0] == f"create Namespace/{NAMESPACE}"
    assert written.index("create Secret/codecov-secrets") < written.index("create Secret/sh.helm.release.v1.codecov.v1")
    [config] = [name for name in cluster.objects("Secret") if name.startswith("codecov-config-")]
    volumes = {volume["name"]: volume for volume in cluster.objects("Deployment")["codecov-api-blue"]["spec"]["template"]["spec"]["volumes"]}
    assert volumes["config"]["secret"]["secretName"] == config
    content = yaml.safe_load(base64.b64decode(cluster.objects("Secret")[config]["data"]["codecov.yml"]))
    assert content["github"]["client_secret"] == SECRET
    assert "codecov-first-migrate" in cluster.objects("Job")


def test_no_secret_is_in_helm_s_values(cluster: Cluster, deployed: State) -> None:
    cluster.begin(deployed)
    values = cluster.helm("get", "values", "codecov")
    kept = yaml.safe_load(base64.b64decode(cluster.objects("Secret")["codecov-secrets"]["data"]["secrets.yml"]))
    assert len(kept) > 10
    assert not any(value in values for value in kept.values())


def test_a_deployment_is_proved_by_an_upload_and_remembered(cluster: Cluster, deployed: State) -> None:
    cluster.begin(deployed)
    mark = json.loads(cluster.objects("Secret")["sh.helm.release.v1.codecov.v1"]["metadata"]["annotations"]["covstack.selfhosted/as-left"])
    assert mark["proved"] is True
    assert set(mark["secrets"]) == {name for name in cluster.objects("Secret") if name.startswith("codecov-")}


def test_a_second_deployment_writes_nothing_and_takes_few_tasks(cluster: Cluster, deployed: State) -> None:
    cluster.begin(deployed)
    output = cluster.play("deploy")
    assert "changed=0 " in output
    assert cluster.writes() == []
    assert int(output.rsplit("ok=", 1)[1].split()[0]) <= 12


def test_a_setting_that_the_release_does_not_have_makes_no_revision(mended: State) -> None:
    assert not [written for written in mended.written if "sh.helm.release" in written and written.startswith("create")]


def test_a_secret_that_somebody_deleted_comes_back(mended: State, deployed: State) -> None:
    [created] = [written for written in deployed.written if written.startswith("create Secret/codecov-config-")]
    assert created in mended.written


def test_an_object_that_somebody_deleted_comes_back(cluster: Cluster, deployed: State) -> None:
    cluster.begin(deployed)
    cluster.server.store.delete(Place("autoscaling/v2", "horizontalpodautoscalers", NAMESPACE, "codecov-api-blue"))
    assert "changed=1 " in cluster.play("deploy")
    assert "codecov-api-blue" in cluster.objects("HorizontalPodAutoscaler")
    assert "changed=0 " in cluster.play("deploy")


def test_a_migration_that_fails_leaves_what_serves(cluster: Cluster, deployed: State, refused: State) -> None:
    _before, says, reason = refused.output.rpartition("The release was refused, and the one that served goes on.")
    assert says and reason.lstrip().startswith("Error: "), "Helm's own reason comes first"
    assert "codecov-migrate failed: BackoffLimitExceeded" in refused.output
    cluster.begin(deployed)
    before = cluster.objects("Deployment")
    cluster.begin(refused)
    assert {name: item["spec"] for name, item in cluster.objects("Deployment").items()} == {name: item["spec"] for name, item in before.items()}
    assert json.loads(cluster.helm("status", "codecov", "--output", "json"))["info"]["status"] == "deployed", "although Helm 3 gave up its rollback"


def test_a_change_is_a_new_revision_and_rollback_goes_to_the_last_that_served(cluster: Cluster, refused: State) -> None:
    cluster.begin(refused)
    cluster.play("scale", codecov_replicas={"api": 5}, **UNPROVED)
    assert cluster.objects("HorizontalPodAutoscaler")["codecov-api-blue"]["spec"]["minReplicas"] == 5
    cluster.play("rollback", **UNPROVED)
    assert cluster.objects("HorizontalPodAutoscaler")["codecov-api-blue"]["spec"]["minReplicas"] == 2


def test_health_asks_the_ingress_and_the_pods(asked: State) -> None:
    assert "0 failed" in asked.output
    for name in ("api", "login", "container_worker", "postgres", "queue", "presigned_url"):
        assert f"ok      {name}" in asked.output
    assert asked.written == ()


def test_smoke_follows_an_upload_to_its_result(asked: State) -> None:
    assert [line.split()[-1] for line in asked.output.splitlines() if line.strip().startswith("name: ")] == ["create", "put", "queued", "processed", "result"]


def test_lost_uploads_are_looked_for(asked: State) -> None:
    assert "repair.uploads: []" in asked.output


def test_removal_keeps_secrets_and_happens_once(cluster: Cluster, deployed: State) -> None:
    cluster.begin(deployed)
    cluster.play("remove")
    assert cluster.objects("Deployment") == cluster.objects("Service") == {}
    assert "codecov-secrets" in cluster.objects("Secret")
    assert "changed=0 " in cluster.play("remove")
    cluster.play("remove", codecov_purge=True)
    assert cluster.objects("Secret") == {}
