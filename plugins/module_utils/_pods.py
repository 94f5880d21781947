# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""The pods of a release on a Kubernetes cluster: which there are, and commands in them.

Private to this collection.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from ansible_collections.covstack.selfhosted.plugins.module_utils._cluster_client import LONGEST_REASON, Api, ClusterError, connect, library, reason_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._engine import PROBE_PATH, Container, Output

SERVICE_LABEL = "app.kubernetes.io/component"
SLOT_LABEL = "covstack.selfhosted/slot"
# Of the websocket: what the kubelet says when a command has ended.
STATUS_CHANNEL = 3


def _state(status: dict[str, Any]) -> str:
    if "running" in status["state"]:
        return "running"
    if "terminated" in status["state"]:
        return "exited"
    return "restarting" if status.get("restartCount") else "created"


def _health(pod: dict[str, Any], status: dict[str, Any]) -> str | None:
    if "readinessProbe" not in pod["spec"]["containers"][0]:
        return None
    if status.get("ready"):
        return "healthy"
    return "unhealthy" if status.get("started") else "starting"


def _reason(pod: dict[str, Any], status: dict[str, Any]) -> str:
    """Why a container does not run: its image, its configuration, or no node for its pod."""
    waiting = status["state"].get("waiting") or {}
    unscheduled = [entry for entry in pod["status"].get("conditions") or [] if entry["type"] == "PodScheduled" and entry["status"] == "False"]
    said = waiting if waiting.get("reason") else next(iter(unscheduled), {})
    return ": ".join(str(said[key]) for key in ("reason", "message") if said.get(key))[:LONGEST_REASON]


def container_of(pod: dict[str, Any]) -> Container:
    """From a pod, each of which has one container here."""
    metadata, labels = pod["metadata"], pod["metadata"].get("labels") or {}
    first = pod["spec"]["containers"][0]
    found = [entry for entry in pod["status"].get("containerStatuses") or [] if entry["name"] == first["name"]]
    status = found[0] if found else {"state": {"waiting": {}}}
    ended = status["state"].get("terminated") or (status.get("lastState") or {}).get("terminated") or {}
    reason = _reason(pod, status)
    return Container(
        id=metadata["name"],
        name=metadata["name"],
        service=labels.get(SERVICE_LABEL, ""),
        slot=labels.get(SLOT_LABEL) or None,
        state=_state(status),
        health=_health(pod, status),
        health_output="",
        exit_code=int(ended.get("exitCode", 0)),
        oom_killed=ended.get("reason") == "OOMKilled",
        restarts=int(status.get("restartCount", 0)),
        one_off=any(owner["kind"] == "Job" for owner in metadata.get("ownerReferences") or []),
        has_probe=any(mount["mountPath"] == PROBE_PATH for mount in first.get("volumeMounts") or []),
        started_at=(status["state"].get("running") or {}).get("startedAt") or "",
        finished_at=ended.get("finishedAt") or "",
        reason=reason,
        logs=f"kubectl {'describe pod' if reason else 'logs'} {metadata['name']} --namespace {metadata['namespace']}",
    )


def _with_end(command: list[str], stdin: str) -> list[str]:
    """The API server has no way to say that the input is over; so the command is told how long it is."""
    return ["sh", "-c", 'length=$1; shift; head -c "$length" | "$@"', "sh", str(len(stdin.encode())), *command]


def _exit_status(said: str) -> int:
    """From what the kubelet says in the end."""
    answer = json.loads(said or "{}")
    if answer.get("status") == "Success":
        return 0
    causes = [cause["message"] for cause in (answer.get("details") or {}).get("causes") or [] if cause.get("reason") == "ExitCode"]
    if not causes:
        raise ClusterError(f"a command in a pod was broken off: {answer.get('message') or 'the connection ended'}")
    return int(causes[0])


class Pods:
    name = "kubernetes"
    remedy = "look at codecov_kubernetes.kubeconfig and context, and whether the cluster is up: kubectl get pods"

    def __init__(self, namespace: str, release: str, kubeconfig: str | None = None, context: str | None = None) -> None:
        self.namespace, self.release = namespace, release
        self._client = connect(kubeconfig, context)

    def containers(self, deployment: str, timeout: float = 20.0) -> list[Container]:
        """Those of the release's pods that are not about to go. The deployment is the release."""
        selector = quote(f"app.kubernetes.io/name={deployment},app.kubernetes.io/instance={self.release}")
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        found = Api(self._client).items(f"{path}?labelSelector={selector}", timeout=timeout)
        if found is None:
            raise ClusterError(f"the account may not list the pods of the namespace {self.namespace}")
        staying = [pod for pod in found if "deletionTimestamp" not in pod["metadata"] and pod["spec"].get("containers")]
        containers = [container_of(pod) for pod in staying]
        return sorted((container for container in containers if not container.one_off), key=lambda container: container.name)

    def execute(self, container: Container, command: list[str], timeout: float, stdin: str | None = None) -> Output:
        """Run a command in a pod; a status other than 0 is no error here."""
        # A client of its own: the library puts the websocket into it, and commands run side by side.
        client = library("kubernetes.client")
        api = client.CoreV1Api(client.ApiClient(self._client.configuration))
        arguments = command if stdin is None else _with_end(command, stdin)
        try:
            socket = library("kubernetes.stream").stream(
                api.connect_get_namespaced_pod_exec, container.id, self.namespace, container=container.service, command=arguments,
                stdin=stdin is not None, stdout=True, stderr=True, tty=False, _preload_content=False, _request_timeout=timeout,
            )  # fmt: skip
        except client.ApiException as problem:
            raise ClusterError(f"no command can be run in {container.name}: {problem.status} {reason_of(problem)}") from None
        try:
            if stdin is not None:
                socket.write_stdin(stdin)
            socket.run_forever(timeout)
            if socket.is_open():
                raise ClusterError(f"{command[0]} did not end within {timeout:.0f} s in {container.name}")
            return Output(_exit_status(socket.read_channel(STATUS_CHANNEL)), socket.read_stdout(timeout=0), socket.read_stderr(timeout=0))
        except (OSError, library("websocket").WebSocketException) as problem:
            raise ClusterError(f"the connection to {container.name} was lost: {problem}") from None
        finally:
            socket.close()
