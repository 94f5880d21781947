# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the catalogue to the values of the chart. What the chart makes of them: tests/unit/chart."""

from __future__ import annotations

import dataclasses
import itertools
import json
from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils._catalogue import load_line, load_platform
from ansible_collections.covstack.selfhosted.plugins.module_utils._compose import application_project, platform_project
from ansible_collections.covstack.selfhosted.plugins.module_utils._kubernetes import Slot, maximums, minimums, values_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._plan import config_layers
from ansible_collections.covstack.selfhosted.plugins.module_utils._secrets import references
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.settings_examples import EMBEDDED, EXTERNAL, SECRET, cluster, deployment

LINES = ("codecov", "codecov_enterprise")
every_line = pytest.mark.parametrize("line", LINES)
FILES = {"edge/traefik.yml": "a", "redis.conf": "b", "s3.json": "c"}


def kubernetes(**given: Any) -> dict[str, Any]:
    return {"codecov_kubernetes": given}


# --- one catalogue ------------------------------------------------------------------------------------------------------------


@every_line
def test_services_of_the_line_and_embedded_platform_services_are_there_and_no_edge(line: str) -> None:
    values = values_of(cluster({"codecov_line": line}))
    assert set(values["services"]) == set(load_line(line).services)
    assert set(values["platform"]) == {"postgres", "redis", "storage", "statsd"}


@every_line
def test_external_services_are_not_there_and_their_endpoints_are(line: str) -> None:
    values = values_of(cluster({"codecov_line": line, "codecov_statsd": {"mode": "disabled"}}, EXTERNAL))
    assert values["platform"] == {}
    assert values["files"]["content"] == {}
    assert "storage" not in values["expose"]
    assert values["services"]["worker"]["environment"]["PGSSLMODE"] == "require"


def test_a_service_that_is_added_to_the_catalogue_appears_in_compose_and_in_the_values() -> None:
    def with_another(given: Any) -> Any:
        line = given.line
        another = dataclasses.replace(line.services["worker"], name="beat", environment={"ONLY": "here"})
        return dataclasses.replace(given, line=dataclasses.replace(line, services={**line.services, "beat": another}))

    compose = application_project(with_another(deployment()))["services"]["beat"]
    values = values_of(with_another(cluster()))["services"]["beat"]
    assert compose["environment"]["ONLY"] == values["environment"]["ONLY"] == "here"
    assert compose["image"] == f"{values['image']['repository']}:{values['image']['tag']}"


@every_line
def test_compose_and_the_values_say_the_same_of_a_service(line: str) -> None:
    """What both can express: image, what runs, and what it is told."""
    local = deployment({"codecov_line": line})
    composed = {**application_project(local)["services"], **platform_project(local, FILES)["services"]}
    values = values_of(cluster({"codecov_line": line}))
    for name, service in {**values["services"], **values["platform"]}.items():
        other = composed[name]
        assert f"{service['image']['repository']}:{service['image']['tag']}" == other["image"]
        for mine, theirs in (("command", "entrypoint"), ("args", "command")):
            assert service.get(mine) == (json.loads(json.dumps(other[theirs]).replace("$$", "$")) if theirs in other else None), (name, mine)
        assert service["readOnlyRoot"] == other.get("read_only", False)
        assert service["stop"]["grace"] - service["stop"]["drain"] == int(other["stop_grace_period"].rstrip("s"))


# --- secrets ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("line", "base", "source"), [*itertools.product(LINES, (EMBEDDED, EXTERNAL), ("collection", "existing", "external_secrets"))])
def test_values_hold_no_secret(line: str, base: dict[str, Any], source: str) -> None:
    values = values_of(cluster({"codecov_line": line, **kubernetes(secrets={"source": source, "name": "ours", "store": "vault"})}, base))
    assert SECRET not in json.dumps(values)
    assert values["secrets"] == {}


def test_only_the_external_secrets_operator_gets_codecov_yml_from_the_values() -> None:
    assert values_of(cluster())["config"]["content"] == {}
    given = {
        "source": "external_secrets",
        "store": "vault",
        "keys": {"enterprise_license": "codecov/license", "cookie_secret": {"key": "codecov", "property": "cookie"}},
    }
    config = values_of(cluster(kubernetes(secrets=given), EXTERNAL))["config"]
    assert {"enterprise_license", "postgres_password", "cookie_secret"} <= set(references(config["content"]))
    assert config["externalSecrets"]["keys"] == {"enterprise_license": {"key": "codecov/license"}, "cookie_secret": {"key": "codecov", "property": "cookie"}}


def test_an_existing_secret_is_that_of_the_slot() -> None:
    values = values_of(cluster(kubernetes(secrets={"source": "existing", "name": "ours"}), EXTERNAL))
    assert values["slots"]["blue"]["config"]["secretName"] == "ours"


def test_codecov_yml_names_embedded_services_as_the_chart_does() -> None:
    layers, _callbacks, _problems = config_layers(cluster(kubernetes(release="acme")))
    endpoints = next(layer["content"] for layer in layers if layer["name"].startswith("strategy"))["services"]
    assert "@acme-postgres:5432/" in endpoints["database_url"]
    assert "@acme-redis:6379/" in endpoints["redis_url"]
    values = values_of(cluster(kubernetes(release="acme")))
    assert values["name"] == "acme"
    assert values["services"]["api"]["environment"]["STATSD_HOST"] == "acme-statsd"


# --- scale --------------------------------------------------------------------------------------------------------------------


def test_two_of_each_unless_told_otherwise() -> None:
    assert minimums(cluster()) == {"gateway": 2, "frontend": 2, "api": 2, "worker": 2}
    assert maximums(cluster()) == {"gateway": 8, "frontend": 8, "api": 8, "worker": 8}


def test_expected_reports_ask_for_more() -> None:
    assert minimums(cluster({"codecov_sizing": {"reports_per_minute": 60}})) == {"gateway": 2, "frontend": 2, "api": 6, "worker": 6}


def test_replicas_are_the_minimum_and_the_maximum_is_never_below() -> None:
    given = cluster({"codecov_replicas": {"worker": 20}, **kubernetes(autoscaling={"maximum": {"api": 3}})})
    assert (minimums(given)["worker"], maximums(given)["worker"]) == (20, 64)
    assert (minimums(given)["api"], maximums(given)["api"]) == (2, 3)
    assert values_of(given)["services"]["worker"]["autoscaling"] == {"enabled": True, "minimum": 20, "maximum": 64, "cpuPercent": 80}


def test_cpu_is_requested_in_part_and_memory_as_a_whole() -> None:
    values = values_of(cluster({"codecov_resources": {"services": {"worker": {"memory_mb": 4096}}}}))["services"]["worker"]
    assert values["resources"] == {"requests": {"cpu": "750m", "memory": "4096Mi"}, "limits": {"cpu": "3000m", "memory": "4096Mi"}}
    unlimited = values_of(cluster({"codecov_resources": {"limits": False}}))["services"]["worker"]
    assert unlimited["resources"] == {"requests": {"cpu": "750m", "memory": "2048Mi"}}


# --- one service --------------------------------------------------------------------------------------------------------------


@every_line
def test_nothing_runs_as_root(line: str) -> None:
    """Of every variant of every service that can go to a cluster."""
    platforms = [load_platform({"storage": variant}) for variant in ("seaweedfs", "minio")]
    services = [*load_line(line).services.values(), *(service for platform in platforms for service in platform.values() if service.kind != "edge")]
    for service in services:
        user = str(service.unprivileged.get("user") or service.user or "0")
        assert int(user.partition(":")[0]) > 0, service.name


def test_an_api_is_restarted_for_its_own_sake_alone() -> None:
    """The readiness asks the database; a database that is away shall not restart every api."""
    probes = values_of(cluster())["services"]["api"]["probes"]
    assert probes["readiness"]["path"] == "/health/"
    assert probes["liveness"]["path"] == "/validate"


def test_a_worker_is_ready_when_its_node_answers_and_is_never_restarted_in_a_task() -> None:
    values = values_of(cluster())["services"]["worker"]
    assert values["probes"]["readiness"]["command"] == ["python", "/covstack/probe.py", "worker"]
    assert "liveness" not in values["probes"]
    assert values["stop"] == {"drain": 0, "signal": "TERM", "grace": 780}


def test_a_first_start_may_wait_for_the_lock_of_a_killed_migration() -> None:
    for service in values_of(cluster())["services"].values():
        startup = service["probes"]["startup"]
        assert startup["period"] * startup["failures"] >= 240


def test_what_takes_requests_drains_before_its_signal() -> None:
    services = values_of(cluster())["services"]
    assert services["gateway"]["stop"] == {"drain": 10, "signal": "USR1", "grace": 40}
    assert services["api"]["stop"] == {"drain": 10, "signal": "TERM", "grace": 50}


def test_the_gateway_calls_its_upstreams_by_name() -> None:
    upstreams = values_of(cluster())["services"]["gateway"]["upstreams"]
    assert {(upstream["service"], upstream["host"]) for upstream in upstreams} == {
        ("api", "CODECOV_API_HOST"), ("api", "CODECOV_IA_HOST"), ("frontend", "CODECOV_DEFAULT_HOST"),
    }  # fmt: skip


def test_a_service_that_must_own_its_directory_gets_the_one_above() -> None:
    platform = values_of(cluster(kubernetes(volumes={"sizes": {"postgres": "100Gi"}})))["platform"]
    assert platform["postgres"]["volumes"] == [{"name": "postgres", "path": "/var/lib/postgresql", "size": "100Gi"}]
    assert platform["redis"]["volumes"] == [{"name": "redis", "path": "/data", "size": "20Gi"}]


def test_every_file_of_an_embedded_service_has_its_text() -> None:
    values = values_of(cluster({"codecov_timescale": {"mode": "embedded"}}))
    named = {file for service in values["platform"].values() for file in service["files"]}
    assert named == set(values["files"]["content"])
    assert values["files"]["content"]["embedded_postgres_password"] == "${secret:embedded_postgres_password}"


def test_the_bucket_is_made_by_the_storage_itself() -> None:
    assert "archive" in " ".join(values_of(cluster())["platform"]["storage"]["afterStart"])


# --- jobs, the way in, slots ----------------------------------------------------------------------------------------------------


def test_a_migration_asks_first() -> None:
    embedded, external = (values_of(cluster(None, base))["jobs"]["migrate"] for base in (EMBEDDED, EXTERNAL))
    assert embedded["command"][:5] == ["python", "/covstack/probe.py", "check", "postgres", "redis"]
    assert external["command"][:6] == ["python", "/covstack/probe.py", "check", "postgres", "redis", "storage"]
    assert embedded["command"][-1].startswith("python manage.py migrate")
    assert embedded["needs"] == ["postgres", "redis"]


def test_uploads_pass_an_nginx_ingress() -> None:
    expose = values_of(cluster(kubernetes(ingress={"class": "nginx", "annotations": {"a": "b"}})))["expose"]["ingress"]
    assert expose["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"] == "192m"
    assert expose["annotations"]["a"] == "b"


def test_an_issuer_writes_to_a_secret() -> None:
    assert values_of(cluster(kubernetes(ingress={"issuer": "letsencrypt"})))["expose"]["ingress"]["tlsSecret"] == "codecov-tls"
    assert values_of(cluster(kubernetes(ingress={"issuer": "letsencrypt", "tls_secret": "ours"})))["expose"]["ingress"]["tlsSecret"] == "ours"


def test_a_bundle_of_ones_own_reaches_the_containers() -> None:
    values = values_of(cluster(kubernetes(ca_secret="our-ca"), EXTERNAL))
    assert values["ca"] == {"secretName": "our-ca", "key": "scm_ca_cert.pem"}
    environment = values["services"]["worker"]["environment"]
    assert environment["SSL_CERT_FILE"] == environment["REQUESTS_CA_BUNDLE"] == environment["PGSSLROOTCERT"] == "/covstack/tls/ca-bundle.pem"
    assert values_of(cluster())["ca"]["secretName"] == ""


def test_slots_pin_what_they_run() -> None:
    images = {"api": {"tag": "26.6.11"}}
    slots = values_of(cluster(), {"blue": Slot(weight=0, images=images, config_secret="old"), "green": Slot(config_secret="new")})["slots"]
    assert slots["blue"]["images"] == images
    assert (slots["blue"]["weight"], slots["green"]["weight"]) == (0, 100)
    assert slots["green"]["config"]["secretName"] == "new"
