# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Helm makes of the values: right for Kubernetes, the same with Helm 3 and 4, and refused where it cannot work."""

from __future__ import annotations

import base64
import copy
import json
import os
import pathlib
import re
import time
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml
from ansible_collections.covstack.selfhosted.plugins.module_utils._kubernetes import Slot
from ansible_collections.covstack.selfhosted.plugins.module_utils._secrets import references
from ansible_collections.covstack.selfhosted.tests.unit.chart.chart import (
    CHART,
    HELMS,
    KUBERNETES,
    NAMESPACE,
    Refused,
    of_kind,
    pods,
    render,
    run,
    schema_errors,
)
from ansible_collections.covstack.selfhosted.tests.unit.chart.combinations import (
    CLEAR,
    COMMON,
    DIGEST,
    PEER,
    PLAIN,
    SCHEDULE,
    VARIATIONS,
    Case,
    every_case,
    values,
)
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.settings_examples import merged

EXAMPLES = sorted((CHART / "values").glob("*.yaml"))
GOLDEN = pathlib.Path(__file__).parent / "golden"
# Their schemas are not Kubernetes' own.
FOREIGN = ("HTTPRoute", "ExternalSecret")
every_helm = pytest.mark.parametrize("helm", HELMS)


def secret_text(item: dict[str, Any], key: str) -> str:
    return base64.b64decode(item["data"][key]).decode()


# --- whatever the settings ------------------------------------------------------------------------------------------------------


@every_case
def test_kubernetes_knows_every_field_and_helm_4_renders_what_helm_3_does(case: Case) -> None:
    given = case.values
    objects = render(given, *case.flags)
    errors = [error for version in KUBERNETES for item in objects if item["kind"] not in FOREIGN for error in schema_errors(item, version)]
    assert errors == []
    key = json.dumps
    assert sorted(objects, key=key) == sorted(render(given, *case.flags, helm="4"), key=key)


def test_the_schemas_know_what_is_wrong() -> None:
    deployment = of_kind(render(values()), "Deployment")["codecov-api-blue"]
    wrong = {**deployment, "spec": {**deployment["spec"], "replica": 2, "minReadySeconds": "five"}}
    assert sorted(error.split(":")[0] for error in schema_errors(wrong, KUBERNETES[0])) == [
        "Deployment/codecov-api-blue spec",
        "Deployment/codecov-api-blue spec.minReadySeconds",
    ]


@every_helm
@pytest.mark.parametrize("variation", VARIATIONS)
def test_helm_lint_has_nothing_to_say(variation: str, helm: str) -> None:
    output = run(helm, "lint", str(CHART), "--strict", values=values(variation, where="external"))
    assert "1 chart(s) linted, 0 chart(s) failed" in output
    assert "[WARNING]" not in output and "[ERROR]" not in output


def test_rendering_takes_less_than_a_second() -> None:
    """Best of three: the machine may be busy."""
    given, seconds = values(), []
    for _time in range(3):
        begun = time.monotonic()
        run("3", "template", "codecov", str(CHART), values=given)
        seconds.append(time.monotonic() - begun)
    assert min(seconds) < 1


# --- the chart by itself --------------------------------------------------------------------------------------------------------


@every_helm
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_for_helm_alone_need_secrets_and_nothing_else(example: pathlib.Path, helm: str) -> None:
    """`make docs` writes them from the catalogue, and tests/unit/docs compares them."""
    given = yaml.safe_load(example.read_text())
    named = references([given["config"]["content"], given["files"]["content"]])
    with pytest.raises(Refused, match=r"secrets\.[a-z_]+ has no value -> give it"):
        run(helm, "template", "codecov", str(CHART), values=given)
    assert run(helm, "template", "codecov", str(CHART), values={**given, "secrets": dict.fromkeys(named, PLAIN)})


@every_helm
def test_without_values_it_says_what_is_missing(helm: str) -> None:
    with pytest.raises(Refused, match="missing propert"):
        run(helm, "template", "codecov", str(CHART), values={})


def test_the_chart_has_the_collection_s_version() -> None:
    galaxy = yaml.safe_load((CHART.parents[1] / "galaxy.yml").read_text())
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == galaxy["version"]
    assert chart["kubeVersion"] == f">={KUBERNETES[0]}-0"


@every_helm
def test_an_older_cluster_is_refused(helm: str) -> None:
    with pytest.raises(Refused, match=r"chart requires kubeVersion: >=1\.29\.0-0"):
        run(helm, "template", "codecov", str(CHART), "--kube-version", "1.28.9", values=values())


def day(minimum: dict[str, int]) -> dict[str, Any]:
    return {"name": "day", "cron": "0 7 * * *", "timeZone": "UTC", "minimum": minimum}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown value": ({"replica": 1}, "replica"),
    "unknown value of a service": ({"services": {"api": {"tpyo": 1}}}, "tpyo"),
    "moving tag": ({"services": {"api": {"image": {"tag": "latest"}}}}, "/services/api/image/tag"),
    "root": ({"services": {"api": {"user": 0}}}, "/services/api/user"),
    "weight": ({"slots": {"blue": {"weight": 300}}}, "/slots/blue/weight"),
    "a third slot": ({"slots": {name: {"weight": 0, "parked": True, "host": "", "images": {}, "config": {}} for name in ("green", "red")}}, "/slots"),
    "exposure": ({"expose": {"type": "nodeport"}}, "/expose/type"),
    "no gateway": ({"expose": {"type": "gateway"}}, "/expose/gateway/name"),
    "embedded storage without a path": ({"expose": {"type": "load_balancer"}}, "/expose/storage"),
    "cron": ({"schedule": {"entries": [{"name": "a", "cron": "daily", "timeZone": "UTC", "minimum": {"api": 1}}]}}, "/schedule/entries/0/cron"),
    "no store": ({"config": {"externalSecrets": {"enabled": True}}}, "/config/externalSecrets/store"),
    "ingress without a host": ({"url": {"hostname": ""}}, "/url/hostname"),
    "embedded data with more than one replica": ({"platform": {"postgres": {"replicas": 2}}}, "replicas"),
    "quantity": ({"platform": {"postgres": {"resources": {"limits": {"memory": "much"}}}}}, "/platform/postgres/resources/limits/memory"),
}


@every_helm
@pytest.mark.parametrize(("wrong", "place"), WRONG.values(), ids=WRONG)
def test_what_is_not_in_the_schema_is_refused_by_name(wrong: dict[str, Any], place: str, helm: str) -> None:
    with pytest.raises(Refused, match=re.escape(place)):
        run(helm, "template", "codecov", str(CHART), values=merged(values(), wrong))


# What a schema cannot compare, and a part of the line that says so.
CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "minimum above maximum": ({"services": {"api": {"autoscaling": {"minimum": 9}}}}, "services.api.autoscaling.maximum: 8 is below the minimum, 9 -> "),
    "schedule above maximum": ({"schedule": {"entries": [day({"worker": 99})]}}, "schedule.entries.day.minimum.worker: 99 is above the maximum, 8 -> "),
    "schedule of nobody": ({"schedule": {"entries": [day({"wroker": 2})]}}, "schedule.entries.day.minimum: wroker is no service -> there are: api, "),
    "schedule of a fixed number": (
        {"services": {"api": {"autoscaling": {"enabled": False}}}, "schedule": {"entries": [day({"api": 2})]}},
        "schedule.entries.day.minimum.api: its autoscaling is off -> ",
    ),
    "upstream that is nowhere": (
        {"services": {"gateway": {"upstreams": [{"service": "apu", "host": "A", "port": "B"}]}}},
        "services.gateway.upstreams: apu is no service -> there are: api, ",
    ),
    "job in no slot": ({"jobs": {"migrate": {"slot": "green"}}}, "jobs.migrate: needs one of `services` and one of `slots`, and has api and green"),
    "no entry": ({"services": {"gateway": {"entry": False}}}, "services: requests come in nowhere -> "),
}


@every_helm
@pytest.mark.parametrize(("wrong", "says"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_values_that_contradict_each_other_are_refused(wrong: dict[str, Any], says: str, helm: str) -> None:
    with pytest.raises(Refused, match=re.escape(says)):
        run(helm, "template", "codecov", str(CHART), values=merged(values(), wrong))


def nodes(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """All mappings in values or in a schema, and where they are."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if isinstance(value, dict):
        yield place, value
    for key, child in children:
        yield from nodes(child, (*place, str(key)))


# Names and contents that are the operator's, or Kubernetes', own.
FREE = re.compile(
    r"/(config/content|secrets|files/content|schedule/entries/0/minimum|.*/(environment|files|annotations|labels|nodeSelector|images|keys))(/|$)"
    r"|.*(tolerations|From)/0"
)


def test_the_schema_leaves_nothing_open() -> None:
    """Whatever is misspelt is refused: a mapping takes only the keys that it has, or says what each may be."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    given = merged(values("scheduling"), {"networkPolicies": {"metricsFrom": [PEER]}, "schedule": {"entries": [day({"api": 2})]}})
    validator = jsonschema.Draft7Validator(schema)
    assert list(validator.iter_errors(given)) == []
    open_places = []
    for place, _mapping in nodes(given):
        wrong = copy.deepcopy(given)
        target: Any = wrong
        for key in place:
            target = target[int(key) if isinstance(target, list) else key]
        target["tpyo"] = 1
        if validator.is_valid(wrong):
            open_places.append("/" + "/".join(place))
    assert [place for place in open_places if not FREE.match(place)] == []


# --- secrets --------------------------------------------------------------------------------------------------------------------


def test_codecov_yml_is_finished_whatever_the_secrets_hold() -> None:
    objects = render(values())
    config = yaml.safe_load(secret_text(of_kind(objects, "Secret")["codecov-config"], "codecov.yml"))
    assert config["setup"]["enterprise_license"] == CLEAR
    assert config["services"]["database_url"] == f"postgresql://codecov:{PLAIN}@codecov-postgres:5432/codecov"
    assert config["setup"]["codecov_url"] == "https://codecov.example.com"


def test_embedded_services_find_their_files() -> None:
    secrets = of_kind(render(values()), "Secret")["codecov-files"]
    assert f"requirepass {PLAIN}\n" in secret_text(secrets, "redis.conf")
    assert secret_text(secrets, "embedded_postgres_password") == PLAIN


def test_a_change_of_codecov_yml_replaces_the_pods_that_read_it_and_no_others() -> None:
    given = values()
    changed = {**given, "config": {**given["config"], "content": {**given["config"]["content"], "site": {"a": 1}}}}
    before, after = pods(render(given)), pods(render(changed))
    readers = {"Deployment/codecov-api-blue", "Deployment/codecov-worker-blue", "Job/codecov-first-migrate"}
    assert {name for name in before if before[name] != after[name]} == readers


def test_another_version_of_the_chart_replaces_no_pod() -> None:
    """Its number is in labels of objects, not of pods: StatefulSets would restart with every release of the collection."""
    assert all("helm.sh/chart" not in pod["metadata"]["labels"] for pod in pods(render(values())).values())


def test_a_secret_that_exists_is_not_written() -> None:
    objects = render(values("existing Secret", where="external"))
    assert of_kind(objects, "Secret") == {}
    for name in ("Deployment/codecov-worker-blue", "Job/codecov-migrate"):
        volumes = {volume["name"]: volume for volume in pods(objects)[name]["spec"]["volumes"]}
        assert volumes["config"]["secret"]["secretName"] == "ours"
        assert volumes["ca"]["secret"]["secretName"] == "scm-ca-cert"


def test_the_operator_gets_a_template_that_no_secret_can_break() -> None:
    given = values("External Secrets", where="external")
    objects = render(given)
    assert of_kind(objects, "Secret") == {}
    external = of_kind(objects, "ExternalSecret")
    assert set(external) == {"codecov-config", "codecov-migrate"}
    assert external["codecov-migrate"]["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert "annotations" not in external["codecov-config"]["metadata"]
    text = external["codecov-config"]["spec"]["target"]["template"]["data"]["codecov.yml"]
    assert "${secret:" not in text
    # As the operator does it: each {{ .NAME | toJson ... }} becomes the inner text of a JSON string.
    finished = re.sub(r'\{\{ \.([a-z_]+) \| toJson \| trimPrefix `"` \| trimSuffix `"` \}\}', lambda found: json.dumps(CLEAR)[1:-1], text)
    assert yaml.safe_load(finished)["setup"]["http"]["cookie_secret"] == CLEAR
    assert external["codecov-config"]["spec"]["data"] == [{"secretKey": "cookie_secret", "remoteRef": {"key": "codecov/cookie"}}]


# --- migration ------------------------------------------------------------------------------------------------------------------


def hook_of(item: dict[str, Any]) -> str | None:
    return item["metadata"].get("annotations", {}).get("helm.sh/hook")


@pytest.mark.parametrize(
    ("where", "flags", "hook"),
    [("external", (), True), ("external", ("--is-upgrade",), True), ("embedded", ("--is-upgrade",), True), ("embedded", (), False)],
)
def test_migrations_come_before_everything_unless_their_database_is_part_of_it(where: str, flags: tuple[str, ...], hook: bool) -> None:
    objects = render(values(where=where), *flags)
    # Helm cannot roll back to a revision with an object that a hook took the place of.
    ours = [item for item in objects if item["metadata"]["name"] == ("codecov-migrate" if hook else "codecov-first-migrate")]
    assert {item["kind"] for item in ours} == {"Job", "ServiceAccount", "ConfigMap", "Secret", "NetworkPolicy"}
    assert {hook_of(item) for item in ours} == {"pre-install,pre-upgrade" if hook else None}
    assert all(hook_of(item) is None for item in objects if item not in ours)


def test_a_migration_has_what_it_needs_before_it_and_is_tried_once() -> None:
    objects = [item for item in render(values(where="external")) if item["metadata"]["name"] == "codecov-migrate"]
    weights = {item["kind"]: int(item["metadata"]["annotations"]["helm.sh/hook-weight"]) for item in objects}
    assert weights.pop("Job") > max(weights.values())
    job = of_kind(objects, "Job")["codecov-migrate"]["spec"]
    assert (job["backoffLimit"], job["activeDeadlineSeconds"], job["template"]["spec"]["restartPolicy"]) == (0, 1800, "Never")
    # Nothing of it stays that has a secret in it.
    assert "hook-succeeded" in of_kind(objects, "Secret")["codecov-migrate"]["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
    volumes = {volume["name"]: volume for volume in job["template"]["spec"]["volumes"]}
    assert volumes["config"]["secret"]["secretName"] == volumes["probe"]["configMap"]["name"] == "codecov-migrate"


def test_a_migration_runs_the_images_of_its_slot() -> None:
    slots = {"blue": Slot(weight=100, images={"api": {"tag": "26.6.11"}}), "green": Slot(weight=0)}
    given = values(slots=slots)
    for slot, tag in (("blue", "26.6.11"), ("green", "26.7.6")):
        given["jobs"]["migrate"]["slot"] = slot
        assert pods(render(given))["Job/codecov-first-migrate"]["spec"]["containers"][0]["image"].endswith(f":{tag}")


# --- scale ----------------------------------------------------------------------------------------------------------------------


def test_pods_follow_the_load() -> None:
    objects = render(values())
    autoscalers = of_kind(objects, "HorizontalPodAutoscaler")
    assert set(autoscalers) == set(of_kind(objects, "Deployment"))
    worker = autoscalers["codecov-worker-blue"]["spec"]
    assert (worker["minReplicas"], worker["maxReplicas"]) == (2, 8)
    assert worker["metrics"][0]["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
    assert all("replicas" not in item["spec"] for item in of_kind(objects, "Deployment").values()), "each release would undo the scaling"


def test_without_autoscaling_the_number_is_fixed() -> None:
    objects = render(values("no autoscaling"))
    assert of_kind(objects, "HorizontalPodAutoscaler") == {}
    assert {item["spec"]["replicas"] for item in of_kind(objects, "Deployment").values()} == {2}


def test_a_schedule_changes_the_minimum_and_may_do_nothing_else() -> None:
    objects = render(values("schedule"))
    jobs = of_kind(objects, "CronJob")
    assert {(job["spec"]["schedule"], job["spec"]["timeZone"]) for job in jobs.values()} == {(entry["cron"], entry["time_zone"]) for entry in SCHEDULE}
    command = pods(objects)["CronJob/codecov-schedule-morning"]["spec"]["containers"][0]["command"]
    assert command == ["python", "/covstack/set_minimum.py", NAMESPACE, "codecov-worker-blue=12"]
    [rule] = of_kind(objects, "Role")["codecov-schedule"]["rules"]
    assert (rule["resources"], rule["verbs"]) == (["horizontalpodautoscalers"], ["get", "patch"])
    assert set(rule["resourceNames"]) == set(of_kind(objects, "HorizontalPodAutoscaler"))


def test_every_service_of_the_application_survives_the_drain_of_a_node() -> None:
    objects = render(values())
    assert set(of_kind(objects, "PodDisruptionBudget")) == set(of_kind(objects, "Deployment"))


def test_every_pod_goes_where_it_is_sent() -> None:
    """The scheduled ones, too."""
    given = merged(values("scheduling"), {"schedule": {"entries": [day({"api": 2})]}})
    for name, pod in pods(render(given)).items():
        spec = pod["spec"]
        assert (spec["priorityClassName"], spec["nodeSelector"], spec["imagePullSecrets"]) == ("high", {"a": "b"}, [{"name": "registry"}]), name
        assert spec["tolerations"] == [{"key": "k", "operator": "Exists"}], name


def test_every_image_comes_from_the_mirror() -> None:
    given = values(**COMMON["mirror and digests"])
    containers = {name: pod["spec"]["containers"][0] for name, pod in pods(render(given)).items()}
    assert {name for name, container in containers.items() if not container["image"].startswith("mirror.example.com/codecov/")} == set()
    assert containers["Deployment/codecov-api-blue"]["image"].endswith(f":26.7.6@{DIGEST}")
    assert {container["imagePullPolicy"] for container in containers.values()} == {"Always"}


# --- the way in, and colours ------------------------------------------------------------------------------------------------------


def test_an_ingress_has_the_host_the_certificate_and_the_way_to_the_storage() -> None:
    objects = render(values("nginx, cert-manager"))
    ingress = of_kind(objects, "Ingress")["codecov"]
    assert ingress["spec"]["tls"] == [{"hosts": ["codecov.example.com"], "secretName": "codecov-tls"}]
    assert ingress["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] == "letsencrypt"
    paths = {path["path"]: path["backend"]["service"]["name"] for path in ingress["spec"]["rules"][0]["http"]["paths"]}
    assert paths == {"/archive": "codecov-storage", "/": "codecov"}


def test_a_route_joins_the_gateway() -> None:
    route = of_kind(render(values("Gateway API")), "HTTPRoute")["codecov"]["spec"]
    assert route["parentRefs"] == [{"name": "shared", "namespace": "gateways", "sectionName": "https"}]
    assert route["hostnames"] == ["codecov.example.com"]
    backends = {rule["matches"][0]["path"]["value"]: rule["backendRefs"] for rule in route["rules"]}
    assert backends == {
        "/archive": [{"name": "codecov-storage", "port": 8333}],
        "/": [{"name": "codecov-gateway-blue", "port": 8080, "weight": 100}],
    }


@pytest.mark.parametrize(("variation", "kind", "port"), [("load balancer", "LoadBalancer", 443), ("internal", "ClusterIP", 80)])
def test_a_service_alone_is_a_way_in(variation: str, kind: str, port: int) -> None:
    objects = render(values(variation, where="external"))
    spec = of_kind(objects, "Service")["codecov"]["spec"]
    assert (spec["type"], spec["ports"][0]["port"]) == (kind, port)
    assert of_kind(objects, "Ingress") == of_kind(objects, "HTTPRoute") == {}


def two_slots(variation: str, blue: Slot, green: Slot) -> list[dict[str, Any]]:
    return render(values(variation, slots={"blue": blue, "green": green}))


def test_a_second_colour_stands_beside_the_first_and_gets_no_requests() -> None:
    alone, both = render(values()), two_slots("as it comes", Slot(), Slot(weight=0, images={"api": {"tag": "26.6.11"}}, host="green.example.com"))
    first = {name: item for name, item in of_kind(both, "Deployment").items() if name.endswith("-blue")}
    assert first == of_kind(alone, "Deployment"), "the first colour is not touched"
    assert of_kind(both, "Service")["codecov"]["spec"]["selector"]["covstack.selfhosted/slot"] == "blue"
    assert pods(both)["Deployment/codecov-api-green"]["spec"]["containers"][0]["image"].endswith(":26.6.11")
    environment = {entry["name"]: entry["value"] for entry in pods(both)["Deployment/codecov-gateway-green"]["spec"]["containers"][0]["env"]}
    assert environment["CODECOV_API_HOST"] == "codecov-api-green"
    own = of_kind(both, "Ingress")["codecov-gateway-green-own"]["spec"]["rules"][0]
    assert own["host"] == "green.example.com"
    assert own["http"]["paths"][0]["backend"]["service"]["name"] == "codecov-gateway-green"


def test_the_switch_is_one_change_and_workers_follow_it() -> None:
    before, after = (two_slots("as it comes", Slot(weight=weight), Slot(weight=100 - weight)) for weight in (100, 0))
    named = [{(item["kind"], item["metadata"]["name"]): item for item in objects} for objects in (before, after)]
    changed = {key for key in (*named[0], *named[1]) if named[0].get(key) != named[1].get(key)}
    of_workers = {(kind, f"codecov-worker-{slot}") for kind in ("Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget") for slot in ("blue", "green")}
    assert changed == {("Service", "codecov"), *of_workers}
    assert of_kind(after, "Service")["codecov"]["spec"]["selector"]["covstack.selfhosted/slot"] == "green"


@pytest.mark.parametrize(("weights", "idle"), [((100, 0), {"green"}), ((0, 100), {"blue"}), ((80, 20), set())])
def test_a_colour_without_requests_runs_no_workers(weights: tuple[int, int], idle: set[str]) -> None:
    """All of them take tasks from one queue. The schedule asks for none either."""
    objects = two_slots("schedule", *(Slot(weight=weight) for weight in weights))
    stopped = {name for name, item in of_kind(objects, "Deployment").items() if item["spec"].get("replicas") == 0}
    assert stopped == {f"codecov-worker-{slot}" for slot in idle}
    assert stopped.isdisjoint(of_kind(objects, "HorizontalPodAutoscaler"))
    scaled = of_kind(objects, "Role")["codecov-schedule"]["rules"][0]["resourceNames"]
    assert set(scaled) == set(of_kind(objects, "HorizontalPodAutoscaler"))
    command = of_kind(objects, "CronJob")["codecov-schedule-morning"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["command"]
    assert [word for word in command if word.startswith("codecov-worker")] == [f"codecov-worker-{slot}=12" for slot in ("blue", "green") if slot not in idle]


def test_weights_at_the_gateway_and_at_an_nginx_ingress() -> None:
    slots = (Slot(weight=90), Slot(weight=10))
    route = of_kind(two_slots("Gateway API", *slots), "HTTPRoute")["codecov"]["spec"]["rules"][-1]["backendRefs"]
    assert {backend["name"]: backend["weight"] for backend in route} == {"codecov-gateway-blue": 90, "codecov-gateway-green": 10}
    canary = of_kind(two_slots("nginx, cert-manager", *slots), "Ingress")["codecov-gateway-green"]["metadata"]["annotations"]
    assert canary["nginx.ingress.kubernetes.io/canary-weight"] == "10"
    assert "cert-manager.io/cluster-issuer" not in canary


@pytest.mark.parametrize(("variation", "secret"), [("nginx, cert-manager", "codecov-tls-green"), ("own certificate", "codecov-tls")])
def test_the_name_of_stage_has_a_certificate_that_is_good_for_it(variation: str, secret: str) -> None:
    """The one made for the public name is not; the operator's may be good for both."""
    ingresses = of_kind(two_slots(variation, Slot(), Slot(weight=0, host="stage.example.com")), "Ingress")
    assert ingresses["codecov-gateway-green-own"]["spec"]["tls"] == [{"hosts": ["stage.example.com"], "secretName": secret}]
    assert ingresses["codecov"]["spec"]["tls"] == [{"hosts": ["codecov.example.com"], "secretName": "codecov-tls"}]


def test_a_parked_colour_has_no_pods() -> None:
    objects = two_slots("as it comes", Slot(weight=0, parked=True), Slot())
    assert of_kind(objects, "Deployment")["codecov-worker-blue"]["spec"]["replicas"] == 0
    assert "codecov-worker-blue" not in of_kind(objects, "HorizontalPodAutoscaler")


# --- golden -----------------------------------------------------------------------------------------------------------------------


def becomes(name: str, given: dict[str, Any]) -> str:
    """All objects of one service, without the digests that change with every line of the catalogue."""
    objects = [item for item in render(given) if item["metadata"]["labels"]["app.kubernetes.io/component"] == name]
    text = yaml.safe_dump_all(objects, sort_keys=False, width=160)
    return re.sub(r"(covstack.selfhosted/[a-z]+): [0-9a-f]{32}", r"\1: DIGEST", text)


@pytest.mark.parametrize("name", ["api", "postgres"])
def test_what_a_service_becomes(name: str) -> None:
    """To accept a change: COVSTACK_WRITE_GOLDEN=1 pytest tests/unit/chart -k becomes"""
    text, golden = becomes(name, values()), GOLDEN / f"{name}.txt"
    if os.environ.get("COVSTACK_WRITE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"services": {"api": {"stop": {"grace": 1}}}}, {"api"}),
        ({"platform": {"postgres": {"networks": ["app"]}}}, {"postgres"}),
        ({"networkPolicies": {"enabled": False}}, {"api", "postgres"}),
    ],
    ids=["grace", "network", "policies"],
)
def test_a_change_is_seen_where_it_belongs(changed: dict[str, Any], names: set[str]) -> None:
    given = merged(values(), changed)
    assert {name for name in ("api", "postgres") if becomes(name, given) != (GOLDEN / f"{name}.txt").read_text()} == names
