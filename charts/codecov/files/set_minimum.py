# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set the least number of pods of HorizontalPodAutoscalers, from a pod of the cluster: set_minimum.py NAMESPACE NAME=MINIMUM ...

The annotation tells the chart which minimum is the schedule's, so that a release in between does not undo it. A maximum below the minimum rises no higher.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import sys

ACCOUNT = os.environ.get("COVSTACK_ACCOUNT_DIRECTORY", "/var/run/secrets/kubernetes.io/serviceaccount")
ANNOTATION = "covstack.selfhosted/scheduled-minimum"
TIMEOUT = 20


def request(method: str, path: str, body: dict[str, object] | None = None) -> dict[str, object]:
    """Ask the API server as the pod's service account."""
    with open(f"{ACCOUNT}/token", encoding="utf-8") as stream:
        token = stream.read().strip()
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
    connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt"))
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json", "Content-Type": "application/merge-patch+json"}
    connection.request(method, path, json.dumps(body) if body else None, headers)
    answer = connection.getresponse()
    content = json.loads(answer.read() or b"{}")
    if answer.status != 200:
        raise SystemExit(f"{method} {path}: {answer.status} {content.get('message', '')}")
    return content


def set_minimum(namespace: str, name: str, minimum: int) -> str:
    path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{name}"
    current = request("GET", path)
    bounded = min(minimum, int(current["spec"]["maxReplicas"]))  # type: ignore[index]
    request("PATCH", path, {"metadata": {"annotations": {ANNOTATION: str(minimum)}}, "spec": {"minReplicas": bounded}})
    return f"{name}: {current['spec'].get('minReplicas', 1)} -> {bounded}"  # type: ignore[index, attr-defined]


def main(arguments: list[str]) -> None:
    namespace, *wanted = arguments
    for name, _equals, minimum in (entry.partition("=") for entry in wanted):
        print(set_minimum(namespace, name, int(minimum)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
