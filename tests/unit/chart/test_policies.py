# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies that hold for every object of the chart, whatever the settings."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.tests.unit.chart.chart import NAMESPACE, of_kind, pods, render
from ansible_collections.covstack.selfhosted.tests.unit.chart.combinations import CLEAR, PEER, PLAIN, every_case, values

MOVING = ("latest", "latest-stable", "latest-calver", "rolling", "stable")


@every_case
def test_pods_are_restricted(variation: str, line: str, where: str) -> None:
    """The pod security standard `restricted`, and more."""
    for name, pod in pods(render(values(variation, line, where))).items():
        spec, [container] = pod["spec"], pod["spec"]["containers"]
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert container["securityContext"]["allowPrivilegeEscalation"] is False, name
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
        assert not any(spec.get(field) for field in ("hostNetwork", "hostPID", "hostIPC", "initContainers")), name
        assert not any("hostPath" in volume for volume in spec.get("volumes", [])), name
        assert not any("hostPort" in port for port in container.get("ports", [])), name
        assert spec["enableServiceLinks"] is False, name
        assert spec["automountServiceAccountToken"] is name.startswith("CronJob/"), name


@every_case
def test_containers_have_limits_and_fixed_images(variation: str, line: str, where: str) -> None:
    for name, pod in pods(render(values(variation, line, where))).items():
        [container] = pod["spec"]["containers"]
        assert set(container["resources"]["limits"]) == set(container["resources"]["requests"]) == {"cpu", "memory"}, name
        repository, _colon, tag = container["image"].rpartition(":")
        assert "/" in repository and tag and tag not in MOVING, name


@every_case
def test_secrets_are_in_secrets_alone(variation: str, line: str, where: str) -> None:
    """Neither in clear nor encoded, in JSON or not: no ConfigMap, environment, command or annotation has one."""
    needles = [CLEAR, json.dumps(CLEAR)[1:-1], PLAIN, *(base64.b64encode(text.encode()).decode() for text in (CLEAR, PLAIN))]
    for item in render(values(variation, line, where)):
        if item["kind"] != "Secret":
            text = json.dumps(item)
            assert not any(needle in text or json.dumps(needle)[1:-1] in text for needle in needles), item["metadata"]["name"]


@every_case
def test_everything_is_in_the_namespace_and_says_whose_it_is(variation: str, line: str, where: str) -> None:
    for item in render(values(variation, line, where)):
        assert item["metadata"]["namespace"] == NAMESPACE
        assert item["metadata"]["labels"]["app.kubernetes.io/instance"] == "codecov"


@every_case
def test_selectors_match_the_pods_that_they_mean_and_no_others(variation: str, line: str, where: str) -> None:
    objects = render(values(variation, line, where))
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(objects).items()}
    for kind in ("Deployment", "StatefulSet"):
        for name, item in of_kind(objects, kind).items():
            wanted = item["spec"]["selector"]["matchLabels"]
            assert [pod for pod, given in labels.items() if wanted.items() <= given.items()] == [f"{kind}/{name}"]
    for name, item in of_kind(objects, "Service").items():
        matched = [pod for pod, given in labels.items() if item["spec"]["selector"].items() <= given.items()]
        assert len(matched) == 1, name


@every_case
def test_what_pods_name_exists(variation: str, line: str, where: str) -> None:
    """Service accounts, ConfigMaps, and Secrets that are not said to be there already."""
    objects = render(values(variation, line, where))
    here = {kind: set(of_kind(objects, kind)) for kind in ("ServiceAccount", "ConfigMap", "Secret", "ExternalSecret")}
    given = {"ours", "scm-ca-cert"} if variation == "existing Secret" else set()
    for name, pod in pods(objects).items():
        assert pod["spec"]["serviceAccountName"] in here["ServiceAccount"], name
        for volume in pod["spec"].get("volumes", []):
            if "secret" in volume:
                assert volume["secret"]["secretName"] in here["Secret"] | here["ExternalSecret"] | given, name
            if "configMap" in volume:
                assert volume["configMap"]["name"] in here["ConfigMap"], name
        mounted = {mount["name"] for container in pod["spec"]["containers"] for mount in container.get("volumeMounts", [])}
        claims = {claim["metadata"]["name"] for item in objects for claim in item.get("spec", {}).get("volumeClaimTemplates", [])}
        assert mounted <= {volume["name"] for volume in pod["spec"].get("volumes", [])} | claims, name


@every_case
def test_secrets_are_mounted_for_the_pod_s_group_alone(variation: str, line: str, where: str) -> None:
    for name, pod in pods(render(values(variation, line, where))).items():
        secrets = [volume["secret"] for volume in pod["spec"].get("volumes", []) if "secret" in volume]
        assert all(secret["defaultMode"] == 0o440 and secret["items"] for secret in secrets), name
        assert not secrets or pod["spec"]["securityContext"]["fsGroup"] > 0, name


# --- who may connect --------------------------------------------------------------------------------------------------------------


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items()


def allowed(objects: list[dict[str, Any]], source: dict[str, str] | None, target: dict[str, str], port: int) -> bool:
    """Whether the ingress policies let a pod with these labels (None: of another namespace) connect to a port of another."""
    policies = [item["spec"] for item in of_kind(objects, "NetworkPolicy").values() if _selects(item["spec"]["podSelector"], target)]
    ingress = [policy for policy in policies if "Ingress" in policy["policyTypes"]]
    if not ingress:
        return True
    for rule in (rule for policy in ingress for rule in policy.get("ingress", [])):
        peers = rule.get("from")
        known = peers is None or any("podSelector" in peer and source is not None and _selects(peer["podSelector"], source) for peer in peers)
        if known and any(given["port"] == port for given in rule["ports"]):
            return True
    return False


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


@pytest.mark.parametrize("variation", ["open network"])
def test_policies_can_be_left_out(variation: str) -> None:
    assert of_kind(render(values(variation)), "NetworkPolicy") == {}


def test_identity_is_for_what_reads_codecov_yml() -> None:
    objects = render(values("identity"))
    annotated = {name for name, item in of_kind(objects, "ServiceAccount").items() if "eks.amazonaws.com/role-arn" in item["metadata"].get("annotations", {})}
    assert annotated == {"codecov-api", "codecov-worker", "codecov-first-migrate"}
    labelled = {name for name, pod in pods(objects).items() if "azure.workload.identity/use" in pod["metadata"]["labels"]}
    assert labelled == {"Deployment/codecov-api-blue", "Deployment/codecov-worker-blue", "Job/codecov-first-migrate"}
