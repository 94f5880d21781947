# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policies of policies.py hold for every object of the chart, whatever the settings; and each finds what it is for."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.tests.unit.chart import policies
from ansible_collections.covstack.selfhosted.tests.unit.chart.chart import of_kind, pods, render
from ansible_collections.covstack.selfhosted.tests.unit.chart.combinations import CLEAR, PEER, PLAIN, Case, every_case, values
from ansible_collections.covstack.selfhosted.tests.unit.chart.policies import allowed


def findings(objects: policies.Objects, given: set[str]) -> dict[str, list[str]]:
    """What every policy finds, by its name. The policies are at the left of what they look at."""
    found: dict[str, Iterator[str]] = {
        "restricted": policies.restricted(objects),
        "limited": policies.limited(objects),
        "fixed_images": policies.fixed_images(objects),
        "secrets_in_secrets": policies.secrets_in_secrets(objects, [CLEAR, PLAIN]),
        "owned": policies.owned(objects),
        "selecting_one": policies.selecting_one(objects),
        "complete": policies.complete(objects, given),
        "secrets_for_the_group": policies.secrets_for_the_group(objects),
        "available": policies.available(objects),
    }
    return {name: lines for name, lines in ((name, list(each)) for name, each in found.items()) if lines}


@every_case
def test_policies_find_nothing(case: Case) -> None:
    objects = render(case.values, *case.flags)
    assert pods(objects)
    assert findings(objects, case.existing_secrets) == {}


# --- each can fail ----------------------------------------------------------------------------------------------------------------

API, POSTGRES, MIGRATION = "Deployment/codecov-api-blue", "StatefulSet/codecov-postgres", "Job/codecov-first-migrate"


def spec(objects: policies.Objects, pod: str) -> dict[str, Any]:
    found: dict[str, Any] = pods(objects)[pod]["spec"]
    return found


def container(objects: policies.Objects, pod: str) -> dict[str, Any]:
    found: dict[str, Any] = spec(objects, pod)["containers"][0]
    return found


def put(place: dict[str, Any], **more: Any) -> None:
    place.update(more)


def kind(objects: policies.Objects, of: str, name: str) -> dict[str, Any]:
    return of_kind(objects, of)[name]


def annotated(objects: policies.Objects, text: str) -> None:
    kind(objects, "Service", "codecov")["metadata"].setdefault("annotations", {})["note"] = text


DEFECTS: dict[str, tuple[Callable[[policies.Objects], object], dict[str, list[str]]]] = {
    "pod as root": (
        lambda objects: put(spec(objects, API)["securityContext"], runAsUser=0),
        {"restricted": [f"{API} runs as root"]},
    ),
    "pod that may be root": (
        lambda objects: spec(objects, MIGRATION)["securityContext"].pop("runAsNonRoot"),
        {"restricted": [f"{MIGRATION} runs as root"]},
    ),
    "container as root": (
        lambda objects: put(container(objects, POSTGRES)["securityContext"], runAsUser=0),
        {"restricted": [f"{POSTGRES} runs as root"]},
    ),
    "second container as root": (
        lambda objects: put(spec(objects, API), initContainers=[{**container(objects, API), "securityContext": {"runAsUser": 0}}]),
        {"restricted": [f"{API} {finding}" for finding in ("runs as root", "may become more", "has capabilities")]},
    ),
    "privileged": (
        lambda objects: put(container(objects, API)["securityContext"], privileged=True),
        {"restricted": [f"{API} is privileged"]},
    ),
    "capability": (
        lambda objects: put(container(objects, API)["securityContext"], capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]}),
        {"restricted": [f"{API} has capabilities"]},
    ),
    "escalation": (
        lambda objects: container(objects, API)["securityContext"].pop("allowPrivilegeEscalation"),
        {"restricted": [f"{API} may become more"]},
    ),
    "no seccomp profile": (
        lambda objects: spec(objects, API)["securityContext"].pop("seccompProfile"),
        {"restricted": [f"{API} has no seccomp profile"]},
    ),
    "network of the host": (lambda objects: put(spec(objects, API), hostNetwork=True), {"restricted": [f"{API} shares the host's"]}),
    "directory of the host": (
        lambda objects: spec(objects, API)["volumes"].append({"name": "docker", "hostPath": {"path": "/var/run/docker.sock"}}),
        {"restricted": [f"{API} mounts of the host"]},
    ),
    "port of the host": (
        lambda objects: put(container(objects, API)["ports"][0], hostPort=8000),
        {"restricted": [f"{API} listens at the host"]},
    ),
    "service links": (lambda objects: spec(objects, API).pop("enableServiceLinks"), {"restricted": [f"{API} gets the addresses of services"]}),
    "token": (lambda objects: put(spec(objects, API), automountServiceAccountToken=True), {"restricted": [f"{API} may talk to the API server"]}),
    "no limits": (lambda objects: container(objects, API)["resources"].pop("limits"), {"limited": [f"{API} has not both limits"]}),
    "no limit of memory": (
        lambda objects: container(objects, POSTGRES)["resources"]["limits"].pop("memory"),
        {"limited": [f"{POSTGRES} has not both limits"]},
    ),
    "no requests": (
        lambda objects: container(objects, MIGRATION).pop("resources"),
        {"limited": [f"{MIGRATION} has not both {one}" for one in ("limits", "requests")]},
    ),
    "latest": (
        lambda objects: put(container(objects, API), image="docker.io/codecov/api:latest"),
        {"fixed_images": [f"{API} has the image docker.io/codecov/api:latest"]},
    ),
    "no tag": (
        lambda objects: put(container(objects, API), image="docker.io/codecov/api"),
        {"fixed_images": [f"{API} has the image docker.io/codecov/api"]},
    ),
    "secret in the environment": (
        lambda objects: container(objects, API)["env"].append({"name": "PASSWORD", "value": CLEAR}),
        {"secrets_in_secrets": [f"{API} holds a secret"]},
    ),
    "secret in a ConfigMap": (
        lambda objects: put(kind(objects, "ConfigMap", "codecov-probe")["data"], password=f"password={PLAIN}"),
        {"secrets_in_secrets": ["ConfigMap/codecov-probe holds a secret"]},
    ),
    "encoded secret in a ConfigMap": (
        lambda objects: put(kind(objects, "ConfigMap", "codecov-probe"), binaryData={"password": base64.b64encode(CLEAR.encode()).decode()}),
        {"secrets_in_secrets": ["ConfigMap/codecov-probe holds a secret"]},
    ),
    "secret in an annotation": (lambda objects: annotated(objects, f'{{"password": "{PLAIN}"}}'), {"secrets_in_secrets": ["Service/codecov holds a secret"]}),
    "other namespace": (lambda objects: put(kind(objects, "Service", "codecov")["metadata"], namespace="default"), {"owned": ["Service/codecov"]}),
    "pods of another service": (
        lambda objects: put(kind(objects, "Service", "codecov-api-blue")["spec"]["selector"], **{"app.kubernetes.io/component": "nobody"}),
        {"selecting_one": ["Service/codecov-api-blue"]},
    ),
    "budget for everybody": (
        lambda objects: kind(objects, "PodDisruptionBudget", "codecov-api-blue")["spec"]["selector"]["matchLabels"].pop("app.kubernetes.io/component"),
        {"selecting_one": ["PodDisruptionBudget/codecov-api-blue"]},
    ),
    "Secret that is nowhere": (lambda objects: objects.remove(kind(objects, "Secret", "codecov-files")), {
        "complete": [f"StatefulSet/codecov-{name} needs codecov-files" for name in ("postgres", "redis", "storage")],
    }),
    "account that is nowhere": (
        lambda objects: objects.remove(kind(objects, "ServiceAccount", "codecov-api")),
        {"complete": [f"{API} needs codecov-api"]},
    ),
    "Secret that everybody reads": (
        lambda objects: put(next(volume["secret"] for volume in spec(objects, API)["volumes"] if "secret" in volume), defaultMode=0o444),
        {"secrets_for_the_group": [f"{API} mounts a whole Secret, or for everybody"]},
    ),
    "Secret without a group": (
        lambda objects: spec(objects, API)["securityContext"].pop("fsGroup"),
        {"secrets_for_the_group": [f"{API} has no group for its Secrets"]},
    ),
    "pods that go first": (
        lambda objects: kind(objects, "Deployment", "codecov-api-blue")["spec"].pop("strategy"),
        {"available": ["codecov-api-blue takes pods away before others are there"]},
    ),
    "always ready": (lambda objects: container(objects, API).pop("readinessProbe"), {"available": ["codecov-api-blue does not say when it is ready"]}),
    "no drain": (lambda objects: container(objects, API).pop("lifecycle"), {"available": ["codecov-api-blue takes requests to its end"]}),
    "killed tasks": (
        lambda objects: put(spec(objects, "Deployment/codecov-worker-blue"), terminationGracePeriodSeconds=60),
        {"available": ["codecov-worker-blue has no time for its tasks"]},
    ),
    "one zone": (lambda objects: spec(objects, API)["topologySpreadConstraints"].pop(), {"available": ["codecov-api-blue is not spread"]}),
    "one node": (lambda objects: spec(objects, API).pop("affinity"), {"available": ["codecov-api-blue may be on one node"]}),
    "no budget": (
        lambda objects: objects.remove(kind(objects, "PodDisruptionBudget", "codecov-api-blue")),
        {"available": ["codecov-api-blue goes with a drained node"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("break_it", "says"), DEFECTS.values(), ids=DEFECTS)
def test_policies_find_a_defect(break_it: Callable[[policies.Objects], object], says: dict[str, list[str]]) -> None:
    objects = copy.deepcopy(render(values()))
    break_it(objects)
    assert findings(objects, set()) == says


# --- who may connect --------------------------------------------------------------------------------------------------------------


MAY = {
    ("gateway", "api"), ("gateway", "frontend"), ("api", "postgres"), ("worker", "postgres"), ("migrate", "postgres"), ("api", "redis"), ("worker", "redis"),
    ("migrate", "redis"), ("api", "statsd"), ("worker", "statsd"),
}  # fmt: skip
MAY_NOT = {("frontend", "postgres"), ("gateway", "redis"), ("gateway", "postgres"), ("storage", "postgres"), ("statsd", "redis")}


def test_tiers_are_apart() -> None:
    objects = render(values())
    labels = {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod["metadata"]["labels"] for pod in pods(objects).values()}
    ports = {name: service["port"] for name, service in {**values()["services"], **values()["platform"]}.items() if "port" in service}
    assert {pair for pair in MAY if not allowed(objects, labels[pair[0]], labels[pair[1]], ports[pair[1]])} == set()
    assert {pair for pair in MAY_NOT if allowed(objects, labels[pair[0]], labels[pair[1]], ports[pair[1]])} == set()


def test_only_the_entry_and_the_storage_are_public_and_only_their_port() -> None:
    objects = render(values())
    labels = {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod["metadata"]["labels"] for pod in pods(objects).values()}
    ports = {name: service["port"] for name, service in {**values()["services"], **values()["platform"]}.items() if "port" in service}
    assert {name for name, port in ports.items() if allowed(objects, None, labels[name], port)} == {"gateway", "storage"}
    # HAProxy's statistics and its administration, which anybody may use who reaches them.
    assert not any(allowed(objects, source, labels["gateway"], port) for source in (None, labels["api"]) for port in (8404, 9999))
    assert not any(allowed(objects, None, labels["worker"], port) for port in (9996, 8000))


def test_what_is_public_can_be_kept_for_the_ingress() -> None:
    objects = render(values("narrow network"))
    labels = pods(objects)["Deployment/codecov-gateway-blue"]["metadata"]["labels"]
    assert not allowed(objects, None, labels, 8080)
    rules = of_kind(objects, "NetworkPolicy")["codecov-gateway"]["spec"]["ingress"]
    assert PEER in rules[0]["from"]
    assert of_kind(objects, "NetworkPolicy")["codecov-statsd"]["spec"]["ingress"][1] == {"ports": [{"port": 9102, "protocol": "TCP"}], "from": [PEER]}


def test_only_what_reads_codecov_yml_may_leave() -> None:
    policies = of_kind(render(values()), "NetworkPolicy")
    closed = {
        item["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for item in policies.values() if "Egress" in item["spec"]["policyTypes"]
    }
    assert closed == {"gateway", "frontend", "postgres", "redis", "storage", "statsd"}


def test_policies_can_be_left_out_and_then_everybody_may_connect() -> None:
    objects = render(values("open network"))
    assert of_kind(objects, "NetworkPolicy") == {}
    assert allowed(objects, None, pods(objects)["StatefulSet/codecov-postgres"]["metadata"]["labels"], 5432)


def test_identity_is_for_what_reads_codecov_yml() -> None:
    objects = render(values("identity"))
    annotated = {name for name, item in of_kind(objects, "ServiceAccount").items() if "eks.amazonaws.com/role-arn" in item["metadata"].get("annotations", {})}
    assert annotated == {"codecov-api", "codecov-worker", "codecov-first-migrate"}
    labelled = {name for name, pod in pods(objects).items() if "azure.workload.identity/use" in pod["metadata"]["labels"]}
    assert labelled == {"Deployment/codecov-api-blue", "Deployment/codecov-worker-blue", "Job/codecov-first-migrate"}
