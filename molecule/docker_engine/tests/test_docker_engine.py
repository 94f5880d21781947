# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After converge and after live-restore alone was left of the options."""

from __future__ import annotations

import json

import testinfra.host

Host = testinfra.host.Host


def test_the_engine_runs_now_and_at_every_boot(host: Host) -> None:
    service = host.service("docker")
    assert service.is_running and service.is_enabled


def test_engine_and_compose_are_from_their_source(host: Host) -> None:
    from_mirror = host.check_output("hostname") == "docker-engine-mirror"
    assert host.package("docker.io").is_installed is not from_mirror and host.package("docker-ce").is_installed is from_mirror
    if from_mirror:
        assert host.package("docker-ce").version == "5:26.1.5-1~debian.13~trixie"
    assert int(host.check_output("docker version --format '{{.Server.Version}}'").split(".")[0]) >= 25
    assert host.check_output("docker compose version --short").startswith("2.")


def test_the_modules_of_the_collection_can_read_yaml(host: Host) -> None:
    assert host.run("/usr/bin/python3 -c 'import yaml'").rc == 0


def test_what_made_the_repository_known_is_retracted(host: Host) -> None:
    assert not host.file("/etc/apt/sources.list.d/covstack-docker.sources").exists
    assert not host.file("/etc/apt/keyrings/covstack-docker.asc").exists


def test_daemon_json_has_the_operators_options_and_ours(host: Host) -> None:
    assert json.loads(host.file("/etc/docker/daemon.json").content_string) == {
        "insecure-registries": ["registry.lab:5000"],
        "log-opts": {"max-size": "5m", "max-file": "2"},
        "live-restore": True,
    }


def test_the_daemon_runs_with_them(host: Host) -> None:
    assert host.check_output("docker info --format '{{.LiveRestoreEnabled}}'") == "true"
    options = "docker run --detach --entrypoint sleep registry.lab:5000/library/redis:8.0.3 60"
    container = host.check_output(options)
    try:
        logs = json.loads(host.check_output("docker inspect --format '{{json .HostConfig.LogConfig.Config}}' %s", container))
    finally:
        host.check_output("docker rm --force %s", container)
    assert logs == {"max-size": "5m", "max-file": "2"}


def test_only_root_reads_what_the_role_remembers(host: Host) -> None:
    state = host.file("/etc/docker/.covstack-daemon-options.json")
    assert state.mode == 0o600 and state.user == "root"


def test_a_container_survives_a_restart_of_the_engine(host: Host) -> None:
    """What live-restore is for."""
    container = host.check_output("docker run --detach --entrypoint sleep registry.lab:5000/library/redis:8.0.3 300")
    try:
        before = host.check_output("docker inspect --format '{{.State.Pid}}' %s", container)
        host.check_output("systemctl reset-failed docker && systemctl restart docker")
        assert host.check_output("docker inspect --format '{{.State.Pid}}' %s", container) == before
    finally:
        host.check_output("docker rm --force %s", container)
