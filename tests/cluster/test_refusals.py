# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before anything reaches the cluster, asked of an API server for real. That each of these alone is enough: tests/unit/.../bad_clusters.yml."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from cluster.api_server import Place
from cluster.harness import CHART, HELMS, NAMESPACE, Cluster, serving

QUOTA = {"metadata": {"name": "compute"}, "spec": {"hard": {"requests.cpu": "1"}}, "status": {"used": {"requests.cpu": "500m"}}}
STORAGE = {"mode": "external", "provider": "other", "host": "s3.nowhere.invalid", "bucket": "reports", "region": "us-east-1"}
KEYS = {"storage_access_key": "AKIAEXAMPLE", "storage_secret_key": "0123456789abcdef"}
NUMBERS = {"wroker": 3, "api": 40, "postgres": 2}

BY_THE_CLUSTER = {
    "cluster too old": "codecov_kubernetes.context: the cluster is version v1.28.9 -> upgrade it: 1.29 is the oldest",
    "autoscaling without metrics": "codecov_kubernetes.autoscaling.enabled: needs the API metrics.k8s.io, which the cluster does not have -> ",
    "missing permission": "codecov_kubernetes.context: may not create deployments.apps; create pods/exec in the namespace ours -> use an account that may",
    "quota": "codecov_replicas: the quota compute leaves 0.5 of requests.cpu, and ",
    "Secret that is not there": "codecov_kubernetes.ca_secret: there is no Secret scm-ca-cert in the namespace ours -> kubectl create namespace ours; ",
    "no storage class": "codecov_kubernetes.volumes.storage_class: is missing, and the cluster has no default",
    "storage that clients cannot resolve": "codecov_storage.host: s3.nowhere.invalid does not resolve where the tasks run",
}
OF_A_CLUSTER = {
    "minimum above maximum": "codecov_kubernetes.autoscaling.maximum.api: 2 is below the minimum, 4 -> raise it, or lower codecov_replicas.api",
    "ingress without a host": "codecov_url: has the address 192.0.2.7, and ingress needs a host name -> give it one, or choose codecov_kubernetes.expose: ",
}
OF_EVERY_DEPLOYMENT = {
    "unknown service in scale": "codecov_replicas.wroker: is no service of this line -> did you mean 'worker'?",
    "more than there may be": "codecov_replicas.api: 40 is out of bounds -> choose a number from 1 to 32",
    "embedded data with more than one replica": "codecov_replicas.postgres: ",
    "storage that only pods can resolve": "codecov_storage.host: 'minio.storage.svc' is a name that CI clients cannot resolve",
}
NO_SETTINGS = {
    "setting that is none": "codecov_kubernetes.ingres: is no setting of this collection -> did you mean 'ingress'?",
    "exposure that is none": "codecov_kubernetes.expose: 'nodeport' is not one of ingress, gateway, load_balancer, internal",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """No application stands behind this one: nothing gets that far."""
    with serving() as server:
        yield Cluster(tmp_path_factory.mktemp("wrong"), server)


@dataclasses.dataclass(frozen=True)
class Refusals:
    output: dict[str, str]
    written: list[str]


def with_storage(cluster: Cluster, **storage: Any) -> dict[str, Any]:
    return {"codecov_storage": {**STORAGE, **storage}, "codecov_secrets": {**cluster.secrets, **KEYS}}


@pytest.fixture(scope="module")
def refusals(cluster: Cluster) -> Refusals:
    """One playbook for what is judged together; each says all that it finds."""
    cluster.begin(cluster.empty)
    cluster.server.version = {**cluster.server.version, "minor": "28", "gitVersion": "v1.28.9"}
    cluster.server.absent.add("metrics.k8s.io")
    cluster.server.forbidden |= {"create pods/exec", "create deployments.apps"}
    cluster.server.store.put(Place("v1", "resourcequotas", NAMESPACE, None), QUOTA, record=False)
    cluster.server.store.objects.pop(("storage.k8s.io/v1", "storageclasses", None, "standard"))
    narrow = {**cluster.kubernetes, "autoscaling": {"maximum": {"api": 2}}}
    misspelt = {**cluster.kubernetes, "ingres": {}, "expose": "nodeport"}
    output = {
        "by the cluster": cluster.play("deploy", fails=True, codecov_kubernetes={**cluster.kubernetes, "ca_secret": "scm-ca-cert"}, **with_storage(cluster)),
        "of a cluster": cluster.play("scale", fails=True, codecov_url="http://192.0.2.7", codecov_replicas={"api": 4}, codecov_kubernetes=narrow),
        "of every deployment": cluster.play("scale", fails=True, codecov_replicas=NUMBERS, **with_storage(cluster, host="minio.storage.svc")),
        "no settings": cluster.play("upgrade", fails=True, codecov_kubernetes=misspelt),
    }
    return Refusals(output, cluster.writes())


KINDS = {"by the cluster": BY_THE_CLUSTER, "of a cluster": OF_A_CLUSTER, "of every deployment": OF_EVERY_DEPLOYMENT, "no settings": NO_SETTINGS}
CASES = [pytest.param(kind, says, id=name) for kind, lines in KINDS.items() for name, says in lines.items()]


@pytest.mark.parametrize(("kind", "says"), CASES)
def test_it_is_refused_by_the_name_of_its_setting(refusals: Refusals, kind: str, says: str) -> None:
    output = refusals.output[kind]
    assert "Refused, nothing was changed" in output
    [line] = [line for line in output.splitlines() if says in line][:1]
    assert " -> " in line


def test_nothing_of_it_was_written(refusals: Refusals) -> None:
    assert set(refusals.output) == set(KINDS)
    assert refusals.written == []


def test_why_secrets_cannot_be_written_is_said(cluster: Cluster) -> None:
    """By an admission policy, say, which no permission shows."""
    cluster.begin(cluster.empty)
    cluster.server.unwritable.add("secrets")
    output = cluster.play("deploy", fails=True, codecov_kubernetes={**cluster.kubernetes, "connect_to": "127.0.0.1:1"})
    assert re.search(r"the Secrets cannot be written: Forbidden: secrets .codecov-secrets.: Forbidden -> mend that", " ".join(output.split())), output
    assert cluster.writes() == [f"create Namespace/{NAMESPACE}"]
    namespace = cluster.server.store.get(Place("v1", "namespaces", None, NAMESPACE))
    assert namespace and namespace["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.mark.parametrize("helm", HELMS)
def test_helm_alone_sends_no_values_that_the_schema_does_not_have(cluster: Cluster, helm: str, tmp_path: Any) -> None:
    cluster.begin(cluster.empty)
    example = yaml.safe_load((CHART / "values" / "codecov_trial.yaml").read_text())
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({**example, "replicaCount": 3}))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        cluster.helm("upgrade", "--install", "codecov", str(CHART), "--values", str(values), version=helm)
    assert "replicaCount" in refused.value.stderr
    assert cluster.writes() == []
