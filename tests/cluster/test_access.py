# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How modules talk to a cluster: pods and commands in them, and the mark that a complete run leaves. With the real client, and commands that really run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils import _cluster_mark as marks
from ansible_collections.covstack.selfhosted.plugins.module_utils._cluster_client import Api, ClusterError, connect
from ansible_collections.covstack.selfhosted.plugins.module_utils._pods import Pods
from ansible_collections.covstack.selfhosted.plugins.modules.codecov_cluster_info import Cluster

from cluster.api_server import Place, Server
from cluster.harness import serving

NAMESPACE = "ours"
LABELS = {"app.kubernetes.io/name": "codecov", "app.kubernetes.io/instance": "codecov", "app.kubernetes.io/component": "api"}
RECORD = "sh.helm.release.v1.codecov.v"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        found.execute = lambda service: []  # a command in a pod runs here
        yield found


@pytest.fixture
def kubeconfig(server: Server, tmp_path: Path) -> str:
    server.write_kubeconfig(tmp_path / "kubeconfig")
    return str(tmp_path / "kubeconfig")


def deployment(name: str = "codecov-api-blue", image: str = "registry.example.com/api:1") -> dict[str, Any]:
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "api", "image": image}]}}
    return {"metadata": {"name": name}, "spec": {"replicas": 2, "selector": {"matchLabels": LABELS}, "template": template}}


@pytest.fixture
def pods(server: Server, kubeconfig: str) -> Pods:
    server.store.put(Place("apps/v1", "deployments", NAMESPACE, None), deployment())
    return Pods(NAMESPACE, "codecov", kubeconfig)


def test_the_pods_of_the_release_are_its_containers(pods: Pods, server: Server) -> None:
    server.store.put(Place("apps/v1", "deployments", "theirs", None), deployment())
    assert [container.name for container in pods.containers("codecov")] == ["codecov-api-blue-0", "codecov-api-blue-1"]


@pytest.mark.parametrize(
    ("command", "stdin", "code", "output", "errors"),
    [
        (["sh", "-c", "echo well"], None, 0, "well\n", ""),
        (["sh", "-c", "echo broken >&2; exit 3"], None, 3, "", "broken\n"),
        (["cat"], "a script, to its end\n", 0, "a script, to its end\n", ""),
        (["sh", "-c", "cat > /dev/null; exit 7"], "räume\n" * 40000, 7, "", ""),
        (["sh", "-c", "head -c 200000 /dev/zero | tr '\\0' x"], None, 0, "x" * 200000, ""),
    ],
    ids=["output", "status and errors", "input that ends", "long input", "long output"],
)
def test_a_command_in_a_pod(pods: Pods, command: list[str], stdin: str | None, code: int, output: str, errors: str) -> None:
    result = pods.execute(pods.containers("codecov")[0], command, 20.0, stdin)
    assert (result.rc, result.stdout, result.stderr) == (code, output, errors)


def test_a_command_that_does_not_end_is_given_up(pods: Pods) -> None:
    with pytest.raises(ClusterError, match="sleep did not end within 1 s in codecov-api-blue-0"):
        pods.execute(pods.containers("codecov")[0], ["sleep", "2"], 1.0)


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="codecov_kubernetes.kubeconfig"):
        connect(str(tmp_path / "nowhere"), None)


def test_a_context_that_is_not_there_is_named(kubeconfig: str) -> None:
    with pytest.raises(ClusterError, match="codecov_kubernetes.context: .*production"):
        connect(kubeconfig, "production")


def test_a_cluster_that_does_not_answer_is_said(kubeconfig: str, server: Server) -> None:
    api = Api(connect(kubeconfig, None))
    server.shutdown()
    server.server_close()
    with pytest.raises(ClusterError, match="the cluster does not answer"):
        api.call("/version", timeout=2.0)


def test_of_named_objects_only_the_keys_are_told(kubeconfig: str, server: Server) -> None:
    content = {"metadata": {"name": "scm-ca-cert"}, "data": {"scm_ca_cert.pem": "b3VycyBhbG9uZQ=="}}
    server.store.put(Place("v1", "secrets", NAMESPACE, None), content)
    server.store.put(Place("scheduling.k8s.io/v1", "priorityclasses", None, None), {"metadata": {"name": "high"}, "value": 1000})
    asked = ["Secret/scm-ca-cert", "Secret/pull", "Secret/../configmaps", "PriorityClass/high", "PriorityClass/low"]
    found = Cluster(connect(kubeconfig, None), NAMESPACE).named(asked)
    assert found == {"Secret/scm-ca-cert": ["scm_ca_cert.pem"], "PriorityClass/high": []}


def test_a_named_object_that_the_account_may_not_see_may_be_there(kubeconfig: str, server: Server) -> None:
    server.forbidden |= {"get secrets", "get priorityclasses"}
    found = Cluster(connect(kubeconfig, None), NAMESPACE).named(["Secret/pull", "PriorityClass/high"])
    assert found == {"Secret/pull": None, "PriorityClass/high": None}


# --- the mark of a complete run -----------------------------------------------------------------------------------------------------


def record(server: Server, revision: int, status: str = "deployed") -> None:
    """As Helm writes it: labels of its own, and no annotation."""
    labels = {"owner": "helm", "name": "codecov", "version": str(revision), "status": status}
    secret(server, f"{RECORD}{revision}", labels)


def secret(server: Server, name: str, labels: dict[str, str]) -> None:
    server.store.put(Place("v1", "secrets", NAMESPACE, None), {"metadata": {"name": name, "labels": labels}, "data": {}})


def is_as_left(api: Api, inputs: str = "inputs") -> bool:
    return marks.as_left(api, NAMESPACE, "codecov", marks.records(api, NAMESPACE, "codecov")[0], inputs)


OURS = {"app.kubernetes.io/managed-by": "covstack.selfhosted", "app.kubernetes.io/instance": "codecov"}


@pytest.fixture
def api(server: Server, kubeconfig: str) -> Api:
    found = Api(connect(kubeconfig, None))
    record(server, 9)
    record(server, 10)
    secret(server, "codecov-secrets", OURS)
    assert not is_as_left(found), "nobody has remembered anything"
    assert marks.remember(found, NAMESPACE, "codecov", "inputs", True) == []
    assert is_as_left(found)
    return found


def test_other_input_is_not_what_was_left(api: Api) -> None:
    assert not is_as_left(api, "others")


def test_a_newer_revision_is_not_what_was_left(api: Api, server: Server) -> None:
    record(server, 11)
    assert not is_as_left(api)


@pytest.mark.parametrize("name", ["codecov-secrets", "codecov-config-1"])
def test_a_secret_that_was_written_is_not_what_was_left(api: Api, server: Server, name: str) -> None:
    secret(server, name, OURS)
    assert not is_as_left(api)


def test_a_secret_that_went_is_not_what_was_left(api: Api, server: Server) -> None:
    server.store.delete(Place("v1", "secrets", NAMESPACE, "codecov-secrets"))
    assert not is_as_left(api)


def test_a_release_that_does_not_serve_is_not_remembered(api: Api, server: Server) -> None:
    record(server, 11, "failed")
    assert marks.remember(api, NAMESPACE, "codecov", "inputs", True) == ["the release is failed"]
    assert not is_as_left(api)
