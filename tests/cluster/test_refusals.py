# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before anything reaches the cluster: of all refusals (tests/unit/.../bad_clusters.yml) those that ask an API server, asked for real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cluster.api_server import Place, Server
from cluster.harness import NAMESPACE, Cluster, serving

QUOTA = {"metadata": {"name": "compute"}, "spec": {"hard": {"requests.cpu": "1"}}, "status": {"used": {"requests.cpu": "500m"}}}
STORAGE = {"mode": "external", "provider": "other", "host": "s3.nowhere.invalid", "bucket": "reports", "region": "us-east-1"}
KEYS = {"storage_access_key": "AKIAEXAMPLE", "storage_secret_key": "0123456789abcdef"}


def nothing(_server: Server) -> None:
    """The cluster is right, the settings are not."""


def old(server: Server) -> None:
    server.version = {**server.version, "minor": "28", "gitVersion": "v1.28.9"}


def without_metrics(server: Server) -> None:
    server.absent.add("metrics.k8s.io")


def without_permission(server: Server) -> None:
    server.forbidden.add("create pods/exec")


def with_quota(server: Server) -> None:
    server.store.put(Place("v1", "resourcequotas", NAMESPACE, None), QUOTA, record=False)


def without_storage_class(server: Server) -> None:
    server.store.objects.pop(("storage.k8s.io/v1", "storageclasses", None, "standard"))


REFUSALS: dict[str, tuple[Callable[[Server], None], dict[str, Any], str]] = {
    "cluster too old": (old, {}, "codecov_kubernetes.context: the cluster is version v1.28.9 -> upgrade it: 1.29 is the oldest"),
    "autoscaling without metrics": (without_metrics, {}, "codecov_kubernetes.autoscaling.enabled: needs the API metrics.k8s.io"),
    "missing permission": (without_permission, {}, "codecov_kubernetes.context: may not create pods/exec in the namespace ours -> use an account that may"),
    "quota": (with_quota, {}, "codecov_replicas: the quota compute leaves 0.5 of requests.cpu"),
    "no storage class": (without_storage_class, {}, "codecov_kubernetes.volumes.storage_class: is missing, and the cluster has no default"),
    "storage that clients cannot resolve": (nothing, {"codecov_storage": STORAGE}, "codecov_storage.host: s3.nowhere.invalid does not resolve"),
    "unknown service in scale": (nothing, {"codecov_replicas": {"wroker": 3}}, "codecov_replicas.wroker: "),
    "minimum above maximum": (nothing, {"codecov_replicas": {"api": 40}}, "codecov_replicas.api: "),
}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


@pytest.mark.parametrize(("arrange", "settings", "says"), REFUSALS.values(), ids=REFUSALS)
def test_it_is_refused_before_anything_is_written(
    server: Server, tmp_path: Any, arrange: Callable[[Server], None], settings: dict[str, Any], says: str
) -> None:
    cluster = Cluster(tmp_path, server)
    arrange(server)
    if "codecov_storage" in settings:
        settings = {**settings, "codecov_secrets": {**cluster.secrets, **KEYS}}
    output = cluster.play("scale", fails=True, **settings)
    assert "Refused, nothing was changed" in output
    [line] = [line for line in output.splitlines() if says in line][:1]
    assert " -> " in line
    assert cluster.writes() == []
