# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's hosts are what the other scenarios take them for."""

from __future__ import annotations

import testinfra.host

Host = testinfra.host.Host


def test_is_a_debian_13_with_systemd(host: Host) -> None:
    assert host.file("/etc/covstack-smoke").content_string == "Debian 13\n"
    assert host.run("systemctl is-system-running").stdout.strip() == "running"


def test_hosts_and_registry_resolve_by_name(host: Host) -> None:
    for name in ("smoke-docker", "smoke-bare", "registry.lab"):
        assert host.addr(name).is_resolvable


def test_only_the_bare_host_has_no_docker(host: Host) -> None:
    bare = host.check_output("hostname") == "smoke-bare"
    assert host.exists("docker") is not bare


def test_docker_pulls_from_the_registry_and_runs(host: Host) -> None:
    if not host.exists("docker"):
        assert host.check_output("hostname") == "smoke-bare"
        return
    assert "PONG" in host.check_output(
        "docker run --rm --entrypoint sh registry.lab:5000/library/redis:8.0.3 -c"
        " 'redis-server --daemonize yes >/dev/null; until redis-cli ping; do :; done' 2>&1"
    )
