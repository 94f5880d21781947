# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""What runs the containers of a deployment, Docker or Kubernetes, as probes see it: which containers there are, and commands in them.

Private to this collection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

PROBE_PATH = "/covstack/probe.py"


class EngineError(Exception):
    """The engine, or what talks to it, failed; the message is for the user."""


@dataclass(frozen=True)
class Container:
    id: str
    name: str
    service: str
    slot: str | None
    state: str  # created, running, restarting, exited, ...
    health: str | None  # starting, healthy, unhealthy; None without a health check
    health_output: str
    exit_code: int
    oom_killed: bool
    restarts: int
    one_off: bool
    has_probe: bool
    started_at: str = ""  # as Docker writes times
    finished_at: str = ""  # of its last run before this one
    reason: str = ""  # why it does not run, where the engine says it
    logs: str = ""  # command that shows its log

    @property
    def running(self) -> bool:
        return self.state == "running"


@dataclass(frozen=True)
class Output:
    rc: int
    stdout: str
    stderr: str


class Engine(Protocol):
    """Docker, or the pods of a Kubernetes cluster."""

    name: str
    remedy: str  # when it does not answer

    def containers(self, deployment: str, timeout: float = 20.0) -> list[Container]:
        """Every container of a deployment, stopped ones too, one-off ones not."""

    def execute(self, container: Container, command: list[str], timeout: float, stdin: str | None = None) -> Output:
        """Run a command in a container; a status other than 0 is no error here."""
