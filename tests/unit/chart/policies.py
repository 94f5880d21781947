# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies for the objects of the chart. Each is a function from objects to findings, so that it can be shown what it finds."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from ansible_collections.covstack.selfhosted.tests.unit.chart.chart import NAMESPACE, Object, of_kind, pods

Objects = list[Object]
Findings = Iterator[str]

MOVING = ("latest", "latest-stable", "latest-calver", "rolling", "stable")
SPREAD_OVER = {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
AMOUNTS = {"cpu", "memory"}


def containers(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def restricted(objects: Objects) -> Findings:
    """The pod security standard `restricted`, and more: for each pod what must be so."""
    for name, pod in pods(objects).items():
        spec, security = pod["spec"], pod["spec"].get("securityContext", {})
        wanted = {
            "runs as root": security.get("runAsNonRoot") is True and security.get("runAsUser", 0) > 0,
            "has no seccomp profile": security.get("seccompProfile") == {"type": "RuntimeDefault"},
            "shares the host's": not any(spec.get(field) for field in ("hostNetwork", "hostPID", "hostIPC")),
            "mounts of the host": not any("hostPath" in volume for volume in spec.get("volumes", [])),
            "gets the addresses of services": spec.get("enableServiceLinks") is False,
            "may talk to the API server": spec.get("automountServiceAccountToken") is name.startswith("CronJob/"),
        }
        yield from (f"{name} {finding}" for finding, is_right in wanted.items() if not is_right)
        for container in containers(pod):
            yield from (f"{name} {finding}" for finding in _unrestricted(container))


def _unrestricted(container: Object) -> Findings:
    security = container.get("securityContext", {})
    wanted = {
        "runs as root": security.get("runAsNonRoot", True) is True and security.get("runAsUser", 1) > 0,
        "is privileged": security.get("privileged", False) is False,
        "may become more": security.get("allowPrivilegeEscalation") is False,
        "has capabilities": security.get("capabilities") == {"drop": ["ALL"]},
        "listens at the host": not any("hostPort" in port for port in container.get("ports", [])),
    }
    yield from (finding for finding, is_right in wanted.items() if not is_right)


def limited(objects: Objects) -> Findings:
    for name, pod in pods(objects).items():
        for container in containers(pod):
            resources = container.get("resources", {})
            yield from (f"{name} has not both {kind}" for kind in ("limits", "requests") if set(resources.get(kind, {})) != AMOUNTS)


def fixed_images(objects: Objects) -> Findings:
    for name, pod in pods(objects).items():
        for container in containers(pod):
            repository, _colon, tag = container["image"].partition("@")[0].rpartition(":")
            if "/" not in repository or not tag or tag in MOVING:
                yield f"{name} has the image {container['image']}"


def secrets_in_secrets(objects: Objects, secrets: list[str]) -> Findings:
    """Neither in clear nor encoded, in JSON or not: no ConfigMap, environment, command or annotation has one."""
    plain = [form for secret in secrets for form in (secret, json.dumps(secret)[1:-1], base64.b64encode(secret.encode()).decode())]
    needles = {form for text in plain for form in (text, json.dumps(text)[1:-1])}
    for item in objects:
        if item["kind"] != "Secret" and any(needle in json.dumps(item) for needle in needles):
            yield f"{item['kind']}/{item['metadata']['name']} holds a secret"


def owned(objects: Objects) -> Findings:
    """Everything is in the namespace, and says whose it is."""
    for item in objects:
        metadata = item["metadata"]
        if metadata.get("namespace") != NAMESPACE or metadata.get("labels", {}).get("app.kubernetes.io/instance") != "codecov":
            yield f"{item['kind']}/{metadata['name']}"


def selecting_one(objects: Objects) -> Findings:
    """Selectors match the pods that they mean and no others."""
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(objects).items()}

    def matched(wanted: dict[str, str]) -> list[str]:
        return [pod for pod, given in labels.items() if wanted.items() <= given.items()]

    for kind in ("Deployment", "StatefulSet"):
        for name, item in of_kind(objects, kind).items():
            if matched(item["spec"]["selector"]["matchLabels"]) != [f"{kind}/{name}"]:
                yield f"{kind}/{name}"
    for kind, selector in (("Service", lambda spec: spec["selector"]), ("PodDisruptionBudget", lambda spec: spec["selector"]["matchLabels"])):
        yield from (f"{kind}/{name}" for name, item in of_kind(objects, kind).items() if len(matched(selector(item["spec"]))) != 1)


def complete(objects: Objects, given: set[str]) -> Findings:
    """What pods name exists: service accounts, ConfigMaps, volumes, and Secrets that are not said to be there already (`given`)."""
    here = {kind: set(of_kind(objects, kind)) for kind in ("ServiceAccount", "ConfigMap")}
    secrets = set(of_kind(objects, "Secret")) | set(of_kind(objects, "ExternalSecret")) | given
    claims = {claim["metadata"]["name"] for item in objects for claim in item.get("spec", {}).get("volumeClaimTemplates", [])}
    for name, pod in pods(objects).items():
        spec = pod["spec"]
        volumes = spec.get("volumes", [])
        mounted = {mount["name"] for container in containers(pod) for mount in container.get("volumeMounts", [])}
        missing = {
            *({spec["serviceAccountName"]} - here["ServiceAccount"]),
            *({volume["secret"]["secretName"] for volume in volumes if "secret" in volume} - secrets),
            *({volume["configMap"]["name"] for volume in volumes if "configMap" in volume} - here["ConfigMap"]),
            *(mounted - {volume["name"] for volume in volumes} - claims),
        }
        yield from (f"{name} needs {what}" for what in sorted(missing))


def secrets_for_the_group(objects: Objects) -> Findings:
    """Secrets are mounted for the pod's group alone, and only the keys that it needs."""
    for name, pod in pods(objects).items():
        secrets = [volume["secret"] for volume in pod["spec"].get("volumes", []) if "secret" in volume]
        if any(secret.get("defaultMode") != 0o440 or not secret.get("items") for secret in secrets):
            yield f"{name} mounts a whole Secret, or for everybody"
        if secrets and not pod["spec"]["securityContext"].get("fsGroup", 0) > 0:
            yield f"{name} has no group for its Secrets"


def available(objects: Objects) -> Findings:
    """No request or task is lost to an update, the drain of a node, or the loss of one."""
    budgets = [item["spec"]["selector"]["matchLabels"] for item in of_kind(objects, "PodDisruptionBudget").values()]
    for name, item in of_kind(objects, "Deployment").items():
        pod, strategy = item["spec"]["template"], item["spec"].get("strategy", {})
        [container] = pod["spec"]["containers"]
        takes_requests, grace = bool(container.get("ports")), pod["spec"].get("terminationGracePeriodSeconds", 30)
        is_idle = item["spec"].get("replicas") == 0
        wanted = {
            "takes pods away before others are there": strategy.get("rollingUpdate", {}).get("maxUnavailable") == 0,
            "does not say when it is ready": "readinessProbe" in container and "startupProbe" in container,
            "takes requests to its end": not takes_requests or "sleep" in json.dumps(container.get("lifecycle", {}).get("preStop")),
            "has no time for its tasks": takes_requests or grace > 60,
            "is not spread": {one["topologyKey"] for one in pod["spec"].get("topologySpreadConstraints", [])} == SPREAD_OVER,
            "may be on one node": bool(pod["spec"].get("affinity", {}).get("podAntiAffinity")),
            "goes with a drained node": is_idle or any(selects({"matchLabels": budget}, pod["metadata"]["labels"]) for budget in budgets),
        }
        yield from (f"{name} {finding}" for finding, is_right in wanted.items() if not is_right)


# --- who may connect --------------------------------------------------------------------------------------------------------------


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items()


def allowed(objects: Objects, source: dict[str, str] | None, target: dict[str, str], port: int) -> bool:
    """Whether the ingress policies let a pod with these labels (None: of another namespace) connect to a port of another."""
    policies = [item["spec"] for item in of_kind(objects, "NetworkPolicy").values() if selects(item["spec"]["podSelector"], target)]
    ingress = [policy for policy in policies if "Ingress" in policy["policyTypes"]]
    if not ingress:
        return True
    for rule in (rule for policy in ingress for rule in policy.get("ingress", [])):
        peers = rule.get("from")
        known = peers is None or any("podSelector" in peer and source is not None and selects(peer["podSelector"], source) for peer in peers)
        if known and any(given["port"] == port for given in rule["ports"]):
            return True
    return False
