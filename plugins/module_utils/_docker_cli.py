# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""List the containers of a deployment, and run commands in them, by the Docker client.

community.docker has classes for that, but its module_utils are private to it and are renamed between releases.

Private to this collection.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

from ansible_collections.covstack.selfhosted.plugins.module_utils._engine import PROBE_PATH, Container, EngineError, Output

DEPLOYMENT_LABEL = "covstack.deployment"
SERVICE_LABEL = "covstack.service"
SLOT_LABEL = "covstack.slot"


class DockerError(EngineError):
    """The client or the engine failed; the message is for the user."""


def container_of(inspected: dict[str, Any]) -> Container:
    """From an entry of `docker inspect`."""
    labels = inspected["Config"].get("Labels") or {}
    state = inspected["State"]
    health = state.get("Health") or {}
    log = health.get("Log") or []
    return Container(
        id=inspected["Id"],
        name=inspected["Name"].lstrip("/"),
        service=labels.get(SERVICE_LABEL, ""),
        slot=labels.get(SLOT_LABEL) or None,
        state=state["Status"],
        health=health.get("Status") if health.get("Status") not in (None, "none") else None,
        health_output=" ".join(log[-1]["Output"].split())[:300] if log else "",
        exit_code=int(state.get("ExitCode", 0)),
        oom_killed=bool(state.get("OOMKilled")),
        restarts=int(inspected.get("RestartCount", 0)),
        one_off=labels.get("com.docker.compose.oneoff") == "True",
        has_probe=any(mount.get("Destination") == PROBE_PATH for mount in inspected.get("Mounts") or []),
        started_at=state.get("StartedAt", ""),
        finished_at=state.get("FinishedAt", ""),
        logs=f"docker logs {inspected['Name'].lstrip('/')}",
    )


class Docker:
    name = "docker"
    remedy = "start the Docker engine: systemctl status docker"

    def __init__(self, path: str | None = None) -> None:
        found = path or shutil.which("docker")
        if not found:
            raise DockerError("there is no Docker client (docker) on this host")
        self._path = found

    def _run(self, arguments: list[str], timeout: float, stdin: str | None = None) -> Output:
        try:
            done = subprocess.run([self._path, *arguments], input=stdin, stdin=subprocess.DEVNULL if stdin is None else None, capture_output=True,
                                  timeout=timeout, check=False, text=True, encoding="utf-8", errors="replace")
        except subprocess.TimeoutExpired:
            raise DockerError(f"docker {arguments[0]} did not end within {timeout:.0f} s") from None
        except OSError as error:
            raise DockerError(f"{self._path} cannot be run: {error.strerror}") from None
        return Output(done.returncode, done.stdout, done.stderr)

    def _checked(self, arguments: list[str], timeout: float) -> str:
        output = self._run(arguments, timeout)
        if output.rc:
            raise DockerError(f"docker {arguments[0]}: {' '.join(output.stderr.split())[:300] or f'exit status {output.rc}'}")
        return output.stdout

    def call(self, arguments: list[str], timeout: float, stdin: str | None = None) -> Output:
        """Run the client; a status other than 0 is no error here."""
        return self._run(arguments, timeout, stdin)

    def containers(self, deployment: str, timeout: float = 20.0) -> list[Container]:
        """Every container of a deployment, stopped ones too, one-off ones not."""
        listed = self._checked(["ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={DEPLOYMENT_LABEL}={deployment}"], timeout).split()
        if not listed:
            return []
        output = self._run(["inspect", "--type", "container", *listed], timeout)
        # A container that went away in between makes the command fail, but the others are there.
        try:
            inspected = json.loads(output.stdout)
        except ValueError:
            raise DockerError(f"docker inspect: {' '.join(output.stderr.split())[:300]}") from None
        containers = [container_of(entry) for entry in inspected]
        return sorted((container for container in containers if not container.one_off), key=lambda container: container.name)

    def execute(self, container: Container, command: list[str], timeout: float, stdin: str | None = None) -> Output:
        """Run a command in a container; a status other than 0 is no error here."""
        return self._run(["exec", *(["-i"] if stdin is not None else []), container.id, *command], timeout, stdin)
