# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks on a cluster, with the real Helm, against a stand-in of the API server: their order, and what they leave. Not what Kubernetes makes of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from cluster.api_server import Place
from cluster.harness import NAMESPACE, SECRET, Cluster, running

BROKEN: dict[str, Any] = {"codecov_images": {"repositories": {"api": "registry.example.com/broken"}}}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("cluster")) as found:
        yield found


# In this order: each begins with what the one before has left.


def test_a_first_check_changes_nothing(cluster: Cluster) -> None:
    output = cluster.play("deploy", "--check", "--diff")
    assert "changed=1 " in output
    assert cluster.writes() == []


def test_a_missing_permission_is_refused_before_anything_is_written(cluster: Cluster) -> None:
    cluster.server.forbidden.add("create deployments.apps")
    output = cluster.play("deploy", fails=True)
    cluster.server.forbidden.clear()
    assert "codecov_kubernetes.context: may not create deployments.apps in the namespace ours" in output
    assert cluster.writes() == []


def test_a_deployment_writes_secrets_first_and_then_the_release(cluster: Cluster) -> None:
    cluster.play("deploy")
    written = cluster.writes()
    assert written[0] == f"create Namespace/{NAMESPACE}"
    assert written.index("create Secret/codecov-secrets") < written.index("create Secret/sh.helm.release.v1.codecov.v1")
    [config] = [name for name in cluster.objects("Secret") if name.startswith("codecov-config-")]
    volumes = {volume["name"]: volume for volume in cluster.objects("Deployment")["codecov-api-blue"]["spec"]["template"]["spec"]["volumes"]}
    assert volumes["config"]["secret"]["secretName"] == config
    content = yaml.safe_load(base64.b64decode(cluster.objects("Secret")[config]["data"]["codecov.yml"]))
    assert content["github"]["client_secret"] == SECRET
    assert "codecov-first-migrate" in cluster.objects("Job")


def test_no_secret_is_in_helm_s_values(cluster: Cluster) -> None:
    values = cluster.helm("get", "values", "codecov")
    kept = yaml.safe_load(base64.b64decode(cluster.objects("Secret")["codecov-secrets"]["data"]["secrets.yml"]))
    assert len(kept) > 10
    assert not any(value in values for value in kept.values())


def test_a_deployment_is_proved_by_an_upload_and_remembered(cluster: Cluster) -> None:
    mark = json.loads(cluster.objects("Secret")["sh.helm.release.v1.codecov.v1"]["metadata"]["annotations"]["covstack.selfhosted/as-left"])
    assert mark["proved"] is True
    assert set(mark["secrets"]) == {name for name in cluster.objects("Secret") if name.startswith("codecov-")}


def test_a_second_deployment_writes_nothing_and_takes_few_tasks(cluster: Cluster) -> None:
    output = cluster.play("deploy")
    assert "changed=0 " in output
    assert cluster.writes() == []
    assert int(output.rsplit("ok=", 1)[1].split()[0]) <= 12


def test_a_setting_that_the_release_does_not_have_makes_no_revision(cluster: Cluster) -> None:
    cluster.play("deploy", codecov_health={"maximum_ms": 9000})
    assert not [written for written in cluster.writes() if "sh.helm.release" in written and written.startswith("create")]


def test_a_secret_that_somebody_deleted_comes_back(cluster: Cluster) -> None:
    [config] = [name for name in cluster.objects("Secret") if name.startswith("codecov-config-")]
    cluster.server.store.delete(Place("v1", "secrets", NAMESPACE, config))
    cluster.writes()
    cluster.play("deploy")
    assert f"create Secret/{config}" in cluster.writes()


def test_an_object_that_somebody_deleted_comes_back(cluster: Cluster) -> None:
    cluster.server.store.delete(Place("autoscaling/v2", "horizontalpodautoscalers", NAMESPACE, "codecov-api-blue"))
    assert "changed=1 " in cluster.play("deploy")
    assert "codecov-api-blue" in cluster.objects("HorizontalPodAutoscaler")
    assert "changed=0 " in cluster.play("deploy")


def test_a_migration_that_fails_leaves_what_serves(cluster: Cluster) -> None:
    before = cluster.objects("Deployment")
    output = cluster.play("deploy", fails=True, **BROKEN)
    assert "The release was refused, and the one that served goes on." in output
    assert "codecov-migrate failed: BackoffLimitExceeded" in output
    assert {name: item["spec"] for name, item in cluster.objects("Deployment").items()} == {name: item["spec"] for name, item in before.items()}
    assert json.loads(cluster.helm("status", "codecov", "--output", "json"))["info"]["status"] == "deployed", "although Helm 3 gave up its rollback"
    cluster.writes()


def test_a_change_is_a_new_revision_and_rollback_goes_to_the_last_that_served(cluster: Cluster) -> None:
    cluster.play("scale", codecov_replicas={"api": 5})
    assert cluster.objects("HorizontalPodAutoscaler")["codecov-api-blue"]["spec"]["minReplicas"] == 5
    cluster.writes()
    cluster.play("rollback")
    assert cluster.objects("HorizontalPodAutoscaler")["codecov-api-blue"]["spec"]["minReplicas"] == 2


def test_health_asks_the_ingress_and_the_pods(cluster: Cluster) -> None:
    cluster.writes()
    output = cluster.play("health")
    assert "0 failed" in output
    for name in ("api", "login", "container_worker", "postgres", "queue", "presigned_url"):
        assert f"ok      {name}" in output
    assert cluster.writes() == []


def test_smoke_follows_an_upload_to_its_result(cluster: Cluster) -> None:
    output = cluster.play("smoke")
    assert [line.split()[-1] for line in output.splitlines() if line.strip().startswith("name: ")] == ["create", "put", "queued", "processed", "result"]


def test_lost_uploads_are_looked_for(cluster: Cluster) -> None:
    assert "repair.uploads: []" in cluster.play("repair")


def test_removal_keeps_secrets_and_happens_once(cluster: Cluster) -> None:
    cluster.play("remove")
    assert cluster.objects("Deployment") == cluster.objects("Service") == {}
    assert "codecov-secrets" in cluster.objects("Secret")
    assert "changed=0 " in cluster.play("remove")
    cluster.play("remove", codecov_purge=True)
    assert cluster.objects("Secret") == {}
