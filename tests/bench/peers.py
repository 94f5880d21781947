# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What we are measured against: Ansible itself, the best known role, and Compose by hand."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

from lab import hosts
from lab.shell import CACHE, ROOT, LabError

BIN = pathlib.Path(sys.executable).parent
PEER_HOST = "bench-peer"
# Not ours to commit: put a checkout there (or name one) to be compared with it.
GEERLINGGUY = pathlib.Path(os.environ.get("COVSTACK_BENCH_GEERLINGGUY_DOCKER", ROOT / ".cache" / "bench" / "roles" / "geerlingguy.docker"))


def command(*arguments: str, environment: dict[str, str] | None = None) -> str:
    """Run a program and return its output; a failure shows the end of it."""
    done = subprocess.run(arguments, cwd=ROOT, env={**os.environ, **(environment or {})}, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(arguments[:4])} ...: {(done.stdout + done.stderr).decode()[-3000:]}")
    return done.stdout.decode()


def inventory(name: str, groups: dict[str, list[str]]) -> pathlib.Path:
    """An inventory directory for the hosts of a measurement; settings go to group_vars beside it."""
    directory = CACHE / "bench" / name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "hosts.yml").write_text(hosts.inventory(groups))
    return directory


def playbook(name: str | pathlib.Path, inventory_directory: pathlib.Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    return command(str(BIN / "ansible-playbook"), str(name), "-i", str(inventory_directory), *arguments, environment=environment)


def ping(inventory_directory: pathlib.Path, pattern: str = "all") -> str:
    return command(str(BIN / "ansible"), pattern, "-i", str(inventory_directory), "-m", "ansible.builtin.ping")


def compose_up(host: str, project: str, *arguments: str) -> None:
    """docker compose up --wait, typed on the host."""
    command("docker", "exec", hosts.container(host), "docker", "compose", "--project-name", project, *arguments, "up", "--detach", "--wait")


def geerlingguy() -> t.Callable[[], object] | None:
    """The public role on a host of its own, where the role is at hand: a function that runs it once more."""
    if not (GEERLINGGUY / "tasks" / "main.yml").exists():
        return None
    hosts.create(PEER_HOST)
    directory = inventory("peer", {"peer": [PEER_HOST]})
    play = directory / "geerlingguy.docker.yml"
    play.write_text(f"- hosts: peer\n  become: true\n  roles:\n    - {GEERLINGGUY}\n")
    # Its package lists are wanted, and the distribution's engine has to do: Docker's own repository may be out of reach.
    command("docker", "exec", hosts.container(PEER_HOST), "apt-get", "update")
    settings = {
        "docker_add_repo": False, "docker_packages": ["docker.io"], "docker_obsolete_packages": [], "docker_install_compose_plugin": True,
        "docker_compose_package": "docker-compose",
    }
    return lambda: playbook(play, directory, "--extra-vars", json.dumps(settings))
