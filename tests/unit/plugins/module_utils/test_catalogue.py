# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue's files: read strictly, and consistent with each other and with what the renderers derive."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest
import yaml
from ansible_collections.covstack.selfhosted.plugins.module_utils import _catalogue, _plan
from ansible_collections.covstack.selfhosted.plugins.module_utils._catalogue import CatalogueError, Service, lines, load_line, load_platform
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_merge import merge_layers
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_validate import validate_install
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import resolve
from ansible_collections.covstack.selfhosted.plugins.module_utils._secrets import references
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.settings_examples import EMBEDDED, EXTERNAL, deployment

LINES = lines()
VARIANTS = ("seaweedfs", "minio")
PLACEHOLDER = re.compile(r"(?<!\$)\{([a-z_]+)\}")


def services(line: str) -> list[Service]:
    return list(load_line(line).services.values())


def platform_services() -> list[Service]:
    return [service for variant in (*VARIANTS, "seaweedfs_replicated") for service in load_platform({"storage": variant}).values()]


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def write(directory: pathlib.Path, name: str, change: Any) -> str:
    """A copy of the catalogue with one file changed."""
    for path in pathlib.Path(_catalogue.CATALOGUE_DIRECTORY).glob("*.yml"):
        content = yaml.safe_load(path.read_text("utf-8"))
        if path.stem == name:
            change(content)
        (directory / path.name).write_text(yaml.safe_dump(content), "utf-8")
    return str(directory)


def test_both_lines_are_there() -> None:
    assert LINES == ["codecov", "codecov_enterprise"]


def test_an_unknown_key_of_a_service_is_refused(tmp_path: pathlib.Path) -> None:
    directory = write(tmp_path, "codecov", lambda content: content["services"]["api"].update(prot=8000))
    with pytest.raises(CatalogueError, match="api: unknown key 'prot'"):
        load_line("codecov", directory)


def test_an_unknown_key_of_a_line_is_refused(tmp_path: pathlib.Path) -> None:
    directory = write(tmp_path, "codecov_enterprise", lambda content: content.update(version="4.6"))
    with pytest.raises(CatalogueError, match="codecov_enterprise: unknown key 'version'"):
        load_line("codecov_enterprise", directory)


def test_an_unknown_key_of_a_platform_service_is_refused(tmp_path: pathlib.Path) -> None:
    directory = write(tmp_path, "platform", lambda content: content["services"]["storage"]["variants"]["minio"].update(imgae="x"))
    assert load_platform({"storage": "seaweedfs"}, directory)
    with pytest.raises(CatalogueError, match="storage: unknown key 'imgae'"):
        load_platform({"storage": "minio"}, directory)


@pytest.mark.parametrize("key", ["image", "version", "title"])
def test_a_missing_key_is_refused(tmp_path: pathlib.Path, key: str) -> None:
    directory = write(tmp_path, "codecov", lambda content: content["services"]["worker"].pop(key))
    with pytest.raises(CatalogueError, match=f"worker: '{key}' is missing"):
        load_line("codecov", directory)


def test_variants_of_the_storage_differ_in_what_they_say_and_share_the_rest() -> None:
    seaweedfs, minio = (load_platform({"storage": variant})["storage"] for variant in VARIANTS)
    assert (seaweedfs.port, minio.port) == (8333, 9000)
    assert seaweedfs.volumes == minio.volumes
    assert load_platform({"storage": "s3"})["storage"] == seaweedfs


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("base", [EMBEDDED, EXTERNAL], ids=["embedded", "external"])
def test_every_placeholder_stands_for_a_value(line: str, base: dict[str, Any]) -> None:
    joined = deployment({"codecov_line": line}, base)
    values = joined.values()
    for part in (joined.line.config_endpoints, *(service.environment for service in joined.line.services.values())):
        assert {name for text in strings(part) for name in PLACEHOLDER.findall(text)} <= set(values)
        assert not [text for text in strings(resolve(part, values)) if PLACEHOLDER.search(text)]


@pytest.mark.parametrize("line", LINES)
def test_every_secret_of_the_configuration_is_generated_or_asked_for(line: str) -> None:
    joined = deployment({"codecov_line": line})
    named = set(references(joined.line.config)) | set(references(resolve(joined.line.config_endpoints, joined.values())))
    generated = {secret["name"] for secret in joined.required_secrets()}
    assert named - generated == {"enterprise_license"}
    files = {name for service in joined.embedded().values() for name in service.secret_files}
    assert files <= generated


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_consistent(line: str) -> None:
    loaded = load_line(line)
    names = set(loaded.services)
    assert [service.name for service in loaded.services.values() if service.entry] == [loaded.entry.name]
    assert loaded.tier("web") and loaded.tier("worker")
    assert {service.tier for service in loaded.services.values()} == {"web", "worker"}
    assert all(name in names for group in loaded.versions_must_match for name in group)
    assert all(job["service"] in names and job["command"] and job["timeout"] > 0 for job in loaded.jobs.values())
    assert {upstream.get("service", name) for service in loaded.services.values() for name, upstream in service.upstreams.items()} <= names
    platform = load_platform({})
    assert set(loaded.needs) | set(loaded.optional) <= set(platform)
    assert all(platform[name].optional for name in loaded.optional)
    assert not any(platform[name].optional for name in loaded.needs)


@pytest.mark.parametrize("service", [service for line in LINES for service in services(line)], ids=lambda service: f"{service.tier}-{service.name}")
def test_a_service_of_a_line_can_be_run_proved_and_scaled(service: Service) -> None:
    assert service.probe["command"], "a container without a probe is never known to be ready"
    assert 1 <= service.scaling["minimum"] <= service.scaling["maximum"]
    assert service.resources["cpus"] > 0
    assert service.resources["memory_mb"] > 0
    assert service.stop_signal
    assert service.port or service.tier == "worker"
    assert "app" in service.networks


@pytest.mark.parametrize("line", LINES)
def test_a_worker_may_finish_its_longest_task(line: str) -> None:
    """A warm shutdown waits for running tasks without a limit of its own; 720 s is the hard limit of a task."""
    assert all(service.stop_grace > 720 for service in load_line(line).tier("worker"))


@pytest.mark.parametrize("service", [*platform_services(), *(service for line in LINES for service in services(line))], ids=lambda service: service.name)
def test_every_image_is_pinned_and_names_its_registry(service: Service) -> None:
    assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+/[a-z0-9._/-]+", service.image)
    assert re.fullmatch(r"v?[0-9]+\.[0-9][A-Za-z0-9.-]*|RELEASE\.[0-9TZ-]+", service.version), service.version
    assert "latest" not in service.version


@pytest.mark.parametrize("service", platform_services(), ids=lambda service: service.name)
def test_a_platform_service_is_as_new_as_the_application_wants(service: Service) -> None:
    for line, least in service.minimum_version.items():
        assert line in LINES
        assert [int(part) for part in service.version.split(".")] >= [int(part) for part in str(least).split(".")]


def test_probes_through_the_edge_prove_more_than_a_status() -> None:
    """The frontend answers 200 to any path, so a probe must look at a header or a body."""
    for probe in load_line("codecov").probes:
        assert {"header", "absent_header", "body_regex"} & set(probe), probe["name"]
        assert probe["proves"]


@pytest.mark.parametrize("line", LINES)
def test_upstream_defaults_that_are_wrong_are_set_right(line: str) -> None:
    minio = load_line(line).config["services"]["minio"]
    assert minio["ttl"] >= 60
    assert minio["hash_key"] == "${secret:storage_hash_key}"
    assert load_line(line).config["setup"]["encryption_secret"] == "${secret:encryption_secret}"


def test_todays_line_leaves_no_public_default_secret_and_no_lost_task() -> None:
    config = load_line("codecov").config
    assert config["django"]["secret_key"] == "${secret:django_secret_key}"
    assert config["setup"]["telemetry"]["enabled"] is False
    assert config["setup"]["tasks"]["celery"] == {"acks_late": True, "reject_on_worker_lost": True}
    assert config["services"]["minio"]["auto_create_bucket"] is False


ADDRESSES: dict[str, dict[str, Any]] = {
    "https": {},
    "http and a port": {"codecov_url": "http://codecov.example.com:8080", "codecov_tls": {"mode": "disabled"}, "codecov_edge": {"http_port": 8080}},
    "an IP address": {"codecov_url": "https://192.0.2.7"},
    "Timescale": {"codecov_timescale": {"mode": "embedded"}},
}


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("base", [EMBEDDED, EXTERNAL], ids=["embedded", "external"])
@pytest.mark.parametrize("over", ADDRESSES.values(), ids=ADDRESSES)
def test_settings_that_are_right_make_a_codecov_yml_that_is_right(line: str, base: dict[str, Any], over: dict[str, Any]) -> None:
    over = {name: value for name, value in over.items() if line == "codecov" or name != "codecov_timescale"}
    layers = _plan.config_layers(deployment({**over, "codecov_line": line}, base))[0]
    merged = merge_layers([(layer["name"], layer["content"]) for layer in layers])
    assert [str(problem) for problem in validate_install(merged.config, line=line, place=merged.place)] == []
