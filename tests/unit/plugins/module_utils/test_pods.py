# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods of a cluster as containers that the health probes judge. Commands in them are tested in tests/cluster."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils._health import judge_containers
from ansible_collections.covstack.selfhosted.plugins.module_utils._pods import container_of

RUNNING = {"running": {"startedAt": "2026-11-21T12:00:00Z"}}
WELL = {"name": "api", "state": RUNNING, "ready": True, "started": True, "restartCount": 0}
CRASHED = {"exitCode": 3, "reason": "Error", "finishedAt": "2026-11-21T11:59:00Z"}


def pod(status: dict[str, Any] | None = None, conditions: tuple[dict[str, str], ...] = (), owner: str = "ReplicaSet") -> dict[str, Any]:
    labels = {"app.kubernetes.io/component": "api", "covstack.selfhosted/slot": "blue"}
    container = {"name": "api", "readinessProbe": {"httpGet": {}}, "volumeMounts": [{"mountPath": "/covstack/probe.py"}]}
    statuses = [] if status is None else [status]
    return {
        "metadata": {"name": "codecov-api-blue-1", "namespace": "ours", "labels": labels, "ownerReferences": [{"kind": owner}]},
        "spec": {"containers": [container]},
        "status": {"containerStatuses": statuses, "conditions": list(conditions)},
    }


def test_a_pod_that_is_ready() -> None:
    container = container_of(pod(WELL))
    assert (container.service, container.slot, container.state, container.health) == ("api", "blue", "running", "healthy")
    assert (container.has_probe, container.one_off, container.reason) == (True, False, "")
    assert container.started_at == "2026-11-21T12:00:00Z"
    assert judge_containers("api", 1, [container]).state == "ok"


@pytest.mark.parametrize(
    ("given", "cause", "remedy"),
    [
        (pod({**WELL, "ready": False, "started": False}), "has not passed its health check yet", "kubectl logs codecov-api-blue-1 --namespace ours"),
        (pod({**WELL, "ready": False}), "fails its health check", "kubectl logs codecov-api-blue-1 --namespace ours"),
        (
            pod({**WELL, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}),
            "is created (ImagePullBackOff: not found)",
            "kubectl describe pod codecov-api-blue-1 --namespace ours",
        ),
        (
            pod(conditions=({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"},)),
            "is created (Unschedulable: 0/3 nodes are available)",
            "kubectl describe pod codecov-api-blue-1",
        ),
        (
            pod({**WELL, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": CRASHED}, "restartCount": 4}),
            "ends with status 3 again and again",
            "codecov-api-blue-1",
        ),
        (
            pod({**WELL, "state": {"waiting": {}}, "lastState": {"terminated": {**CRASHED, "reason": "OOMKilled"}}, "restartCount": 1}),
            "was killed for want of memory",
            "codecov_resources.services.api.memory_mb",
        ),
    ],
    ids=["starting", "not ready", "no image", "no node", "crashing", "out of memory"],
)
def test_what_is_wrong_with_a_pod_is_said(given: dict[str, Any], cause: str, remedy: str) -> None:
    result = judge_containers("api", 1, [container_of(given)])
    assert result.state == "failed"
    assert cause in result.cause
    assert remedy in result.remedy


def test_the_load_decides_between_minimum_and_maximum() -> None:
    containers = [container_of(pod(WELL))] * 5
    assert judge_containers("api", 2, containers, maximum=8).state == "ok"
    assert judge_containers("api", 2, containers, maximum=4).cause == "5 containers run instead of 4"
    assert judge_containers("api", 6, containers, maximum=8).state == "failed"


def test_pods_of_a_job_do_not_count() -> None:
    assert container_of(pod(WELL, owner="Job")).one_off
