# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role docker_engine decides on each system, without having one of each: its own variables, on facts as the hosts report them."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).resolve().parents[3] / "roles" / "docker_engine"

SYSTEMS = {
    "debian-12": {"distribution": "debian", "version": "12", "codename": "bookworm", "family": "debian", "name": "Debian 12"},
    "debian-13": {"distribution": "debian", "version": "13", "codename": "trixie", "family": "debian", "name": "Debian 13"},
    "ubuntu-22.04": {"distribution": "ubuntu", "version": "22.04", "codename": "jammy", "family": "debian", "name": "Ubuntu 22.04"},
    "ubuntu-24.04": {"distribution": "ubuntu", "version": "24.04", "codename": "noble", "family": "debian", "name": "Ubuntu 24.04"},
    "rhel-9": {"distribution": "rhel", "version": "9.6", "codename": "", "family": "redhat", "name": "RHEL 9.6"},
    "rocky-9": {"distribution": "rocky", "version": "9.6", "codename": "", "family": "redhat", "name": "Rocky Linux 9.6"},
    "mint-22": {"distribution": "linuxmint", "version": "22", "codename": "wilma", "family": "debian", "name": "Linux Mint 22"},
    "alpine": {"distribution": "alpine", "version": "3.22", "codename": "", "family": "other", "name": "Alpine 3.22"},
}
NONE: dict[str, Any] = {"present": False, "kind": None, "running": False, "version": None, "compose_version": None, "enabled": False, "repository_files": []}
GOOD: dict[str, Any] = {"present": True, "kind": "docker", "running": True, "version": "28.5.1", "compose_version": "2.40.0", "enabled": True,
                        "repository_files": []}
# ansible-core from 2.19 on evaluates only what it is told to trust.
TRUST: dict[str, Any] = {"trusted_as_template": True} if "trusted_as_template" in inspect.signature(DataLoader.load_from_file).parameters else {}
DOCKER_CE = ["docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin"]


def decide(what: str, system: str, docker: dict[str, Any], yaml: bool = True, arch: str = "x86_64", **settings: Any) -> Any:
    """One internal variable of the role, as Ansible computes it."""
    loader = DataLoader()
    files = (ROLE / "defaults" / "main.yml", ROLE / "vars" / "main.yml")
    variables = {name: value for file in files for name, value in loader.load_from_file(str(file), **TRUST).items()}
    host = {"os": {**SYSTEMS[system], "arch": arch, "systemd": True}, "docker": docker, "python": {"yaml": yaml, "executable": "/usr/bin/python3"}}
    variables.update({"docker_engine_host_info": host, **settings})
    return Templar(loader=loader, variables=variables).template(variables[what])


@pytest.mark.parametrize("system", ["debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04", "rhel-9", "rocky-9"])
def test_an_engine_that_is_new_enough_is_left_alone(system: str) -> None:
    for source in ("repository", "distribution", "existing"):
        assert decide("__docker_engine_wanted_packages", system, GOOD, docker_engine_source=source) == []
        assert decide("__docker_engine_problems", system, GOOD, docker_engine_source=source) == []
    assert decide("__docker_engine_start", system, GOOD) is False
    for source in ("repository", "distribution", "existing"):
        assert decide("__docker_engine_as_wanted", system, {**GOOD, "daemon_options": {}}, docker_engine_source=source) is True


@pytest.mark.parametrize(
    ("docker", "settings"),
    [
        ({"kind": "podman"}, {}),
        ({"kind": None, "running": False}, {}),
        ({"version": "20.10.1"}, {}),
        ({"compose_version": None}, {}),
        ({"enabled": False}, {}),
        ({"daemon_options": None}, {}),
        ({"daemon_options": {"live-restore": True}}, {}),
        ({"repository_files": ["/etc/apt/sources.list.d/docker.sources"]}, {"docker_engine_source": "distribution"}),
        ({}, {"docker_engine_version": "28.0.0"}),
        ({}, {"yaml": False}),
    ],
)
def test_any_other_is_looked_at_step_by_step(docker: dict[str, Any], settings: dict[str, Any]) -> None:
    assert decide("__docker_engine_as_wanted", "debian-13", {**GOOD, "daemon_options": {}, **docker}, **settings) is False


@pytest.mark.parametrize(
    ("docker", "settings", "disturbs"),
    [
        ({"daemon_options": None}, {}, True),
        ({}, {"docker_engine_daemon_options": {"log-level": "warn"}}, True),
        ({}, {"docker_engine_version": "28.5.2"}, True),
        ({"compose_version": "2.1.0"}, {}, True),
        ({"enabled": False}, {}, False),
        ({"repository_files": ["/etc/apt/sources.list.d/docker.sources"]}, {"docker_engine_source": "distribution"}, False),
        ({}, {"yaml": False}, False),
    ],
)
def test_only_what_ends_containers_can_be_postponed(docker: dict[str, Any], settings: dict[str, Any], disturbs: bool) -> None:
    assert decide("__docker_engine_disturbs", "debian-13", {**GOOD, "daemon_options": {}, **docker}, **settings) is disturbs


@pytest.mark.parametrize(
    ("foreseen", "settings", "postponed"),
    [
        ({"restart_needed": True}, {}, True),
        ({"restart_needed": False}, {}, False),  # as they are in force, or with a password, which what is in force is told without
        ({"skipped": True}, {"docker_engine_version": "28.5.2"}, True),
        ({"skipped": True}, {}, False),
    ],
)
def test_a_change_is_postponed_only_where_the_engine_restarts(foreseen: dict[str, Any], settings: dict[str, Any], postponed: bool) -> None:
    docker = {**GOOD, "daemon_options": {}}
    assert decide("__docker_engine_postponed", "debian-13", docker, __docker_engine_foreseen=foreseen, **settings) is postponed


@pytest.mark.parametrize("system", ["debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04", "rhel-9", "rocky-9"])
def test_dockers_own_packages(system: str) -> None:
    assert decide("__docker_engine_wanted_packages", system, NONE) == DOCKER_CE
    assert decide("__docker_engine_problems", system, NONE) == []
    assert decide("__docker_engine_start", system, NONE) is True


@pytest.mark.parametrize(
    ("system", "packages"),
    [
        ("debian-13", ["docker.io", "docker-cli", "docker-compose", "apparmor", "ca-certificates"]),
        ("ubuntu-22.04", ["docker.io", "docker-compose-v2", "apparmor", "ca-certificates"]),
        ("ubuntu-24.04", ["docker.io", "docker-compose-v2", "apparmor", "ca-certificates"]),
    ],
)
def test_packages_of_the_distribution(system: str, packages: list[str]) -> None:
    assert decide("__docker_engine_wanted_packages", system, NONE, docker_engine_source="distribution") == packages
    assert decide("__docker_engine_problems", system, NONE, docker_engine_source="distribution") == []


@pytest.mark.parametrize(("system", "package"), [("debian-12", "python3-yaml"), ("ubuntu-24.04", "python3-yaml"), ("rocky-9", "python3-pyyaml")])
def test_pyyaml_is_installed_whatever_the_source(system: str, package: str) -> None:
    assert decide("__docker_engine_wanted_packages", system, GOOD, yaml=False, docker_engine_source="existing") == [package]


@pytest.mark.parametrize(
    ("system", "pinned"),
    [("debian-12", ["docker-ce=5:28.5.2-*", "docker-ce-cli=5:28.5.2-*"]), ("rocky-9", ["docker-ce-3:28.5.2", "docker-ce-cli-1:28.5.2"])],
)
def test_a_pinned_version(system: str, pinned: list[str]) -> None:
    assert decide("__docker_engine_wanted_packages", system, GOOD, docker_engine_version="28.5.2")[:2] == pinned
    assert decide("__docker_engine_wanted_packages", system, GOOD, docker_engine_version="28.5.1") == []


@pytest.mark.parametrize(("version", "compose"), [("20.10.24", "2.40.0"), ("28.5.1", None), ("28.5.1", "1.29.2"), ("24.0.7", "2.40.0")])
def test_what_is_too_old_is_replaced_or_refused(version: str, compose: Any) -> None:
    old = {**GOOD, "version": version, "compose_version": compose}
    assert decide("__docker_engine_wanted_packages", "debian-12", old) == DOCKER_CE
    (problem,) = decide("__docker_engine_problems", "debian-12", old, docker_engine_source="existing")
    assert f"Docker {version}" in problem and "Allowed: Docker 25.0 or later" in problem and "Way out:" in problem


@pytest.mark.parametrize(
    ("system", "docker", "settings", "expected"),
    [
        ("debian-12", NONE, {"docker_engine_source": "distribution"}, "Debian 12 offers no Docker"),
        ("rhel-9", NONE, {"docker_engine_source": "distribution"}, "RHEL 9.6 offers no Docker"),
        ("mint-22", NONE, {}, "Linux Mint 22 offers no Docker"),
        ("alpine", NONE, {}, "cannot install Docker on Alpine"),
        ("debian-13", NONE, {"docker_engine_source": "existing"}, "has no Docker engine"),
        ("debian-13", NONE, {"arch": "riscv64"}, "no packages for riscv64"),
        ("debian-13", {**GOOD, "kind": "podman"}, {}, "Podman in disguise"),
        ("debian-13", {**GOOD, "kind": "podman"}, {"docker_engine_source": "existing"}, "Podman in disguise"),
        ("debian-13", {**GOOD, "kind": "rootless"}, {}, "rootless"),
        ("ubuntu-24.04", {**GOOD, "kind": "snap"}, {}, "is a snap"),
        ("debian-13", GOOD, {"docker_engine_version": "23.0.1"}, "older than docker_engine_minimum_version"),
    ],
)
def test_each_refusal_is_one_clear_problem(system: str, docker: dict[str, Any], settings: dict[str, Any], expected: str) -> None:
    (problem,) = decide("__docker_engine_problems", system, docker, **settings)
    assert expected in problem and "Way out:" in problem


def test_a_stopped_engine_is_started() -> None:
    assert decide("__docker_engine_start", "debian-13", {**GOOD, "running": False}) is True
    assert decide("__docker_engine_start", "debian-13", {**GOOD, "enabled": False}) is True
    assert decide("__docker_engine_start", "debian-13", {**GOOD, "enabled": None}) is False, "no systemd: somebody else starts it"


@pytest.mark.parametrize(("system", "distribution"), [("debian-12", "debian"), ("ubuntu-24.04", "ubuntu"), ("rhel-9", "rhel"), ("rocky-9", "centos")])
def test_place_of_the_key(system: str, distribution: str) -> None:
    assert decide("__docker_engine_key_url", system, NONE) == f"https://download.docker.com/linux/{distribution}/gpg"
    assert decide("__docker_engine_key_url", system, NONE, docker_engine_repository_key_url="https://mirror/gpg") == "https://mirror/gpg"
