# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with a deployment that measurements share: made once, and brought back to a known state by deploying."""

from __future__ import annotations

import json
import pathlib
import typing as t

import yaml
from lab import hosts, license, registry

from . import peers

HOST = "bench"
DIRECTORY = "/opt/codecov"
IMAGE = "api", "worker"
PREVIOUS = "26.6.11"  # tests/images/images.yml builds it beside the catalogue's version


def inventory() -> pathlib.Path:
    """The host, with its engine, and what a user would write for it."""
    registry.up()
    address = hosts.create(HOST)
    directory = peers.inventory("strategy_1", {"codecov": [HOST]})
    write_settings(directory, {"codecov_url": f"http://{address}", "codecov_tls": {"mode": "disabled"}})
    return directory


def write_settings(directory: pathlib.Path, settings: t.Mapping[str, t.Any]) -> None:
    """Those given, and what every host of the lab needs."""
    name = f"{registry.NAME}:{registry.PORT}"
    needed = {
        "codecov_secrets": {"enterprise_license": license.ensure()},
        "codecov_resources": {"limits": False},
        "codecov_images": {"registry": name},
        "docker_engine_source": "distribution",
        "docker_engine_daemon_options": {"insecure-registries": [name]},
    }
    target = directory / "group_vars" / "codecov.yml"
    target.parent.mkdir(exist_ok=True)
    target.touch(mode=0o600)
    target.write_text(yaml.safe_dump({**settings, **needed}, sort_keys=False))


def url() -> str:
    return f"http://{hosts.addresses()[HOST]}"


def run(verb: str, directory: pathlib.Path, **settings: t.Any) -> str:
    """A playbook of the collection, with settings on top of the inventory's."""
    extra = ["--extra-vars", json.dumps(settings)] if settings else []
    return peers.playbook(f"covstack.selfhosted.{verb}", directory, *extra)


def on_host(script: str) -> str:
    return peers.command("docker", "exec", hosts.container(HOST), "sh", "-euc", script)


def remove_containers_and_data() -> None:
    """By hand, so that the rendered files stay for Compose alone. Killed: nobody waits for the end of their tasks."""
    on_host(
        "docker ps --all --quiet --filter label=covstack.deployment | xargs -r docker rm --force; "
        "for project in codecov-blue codecov-green codecov; do docker compose --project-name $project down --remove-orphans --volumes; done; "
        "docker volume ls --quiet --filter name=codecov | xargs -r docker volume rm"
    )
