# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Try external services before anything is deployed: reach them from the host, and use them from a throw-away container of the application.

Private to this collection.
"""

from __future__ import annotations

import functools
import inspect
import json
import posixpath
import shutil
import socket
import ssl
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.covstack.selfhosted.plugins.module_utils import _container_probe
from ansible_collections.covstack.selfhosted.plugins.module_utils._docker_cli import Docker, DockerError
from ansible_collections.covstack.selfhosted.plugins.module_utils._host_facts import side_by_side
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem, error, warning
from ansible_collections.covstack.selfhosted.plugins.module_utils._secrets import references, substitute

# Everything comes by standard input: the container has no file of the host, and no secret in its arguments or environment. What is written
# goes to memory (tmpfs) and is gone with the container.
BOOTSTRAP = """\
import json, os, sys
given = json.load(sys.stdin)
os.umask(0o077)
for path, text in given["files"].items():
    with open(path, "w") as stream:
        stream.write(text)
os.environ.update(given["environment"])
sys.argv = ["probe.py"] + given["arguments"]
exec(compile(given["probe"], "probe.py", "exec"), {"__name__": "__main__"})
"""
# SSLRequest: length, and the code that stands in the place of a protocol version.
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
# A container's start, Python's start and three steps of each check.
CONTAINER_TIME = 90.0
# Parts of codecov.yml that the checks read.
NEEDED = (("services",), ("setup", "timeseries"))


@dataclass(frozen=True)
class Endpoint:
    """A service to reach. C(tls) is none, direct (TLS from the first byte) or postgres (asked for in its own protocol)."""

    name: str
    host: str
    port: int
    tls: str

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Trial:
    """How to use the services from a container: the application's image, and what the checks read there."""

    image: str
    python: str
    user: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    files: Mapping[str, str]


# --- from the host ----------------------------------------------------------------------------------------------------------


def _no_tls(endpoint: Endpoint, reason: str) -> Problem:
    if endpoint.tls == "postgres":
        way_out = "switch TLS on there, or choose another codecov_postgres.sslmode"
        return error("codecov_postgres.sslmode", f"asks for TLS, but {endpoint.address} {reason}", way_out)
    setting = f"codecov_{endpoint.name}.tls"
    return error(setting, f"is on, but {endpoint.address} {reason}", f"correct the port, or switch {setting} off")


def _tls_problem(endpoint: Endpoint, connection: socket.socket) -> Problem | None:
    """Whether it speaks TLS at all. Whom to trust is the containers' own matter: their authorities may be others than the host's."""
    try:
        if endpoint.tls == "postgres":
            connection.sendall(SSL_REQUEST)
            return None if connection.recv(1) == b"S" else _no_tls(endpoint, "offers none")
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.wrap_socket(connection, server_hostname=endpoint.host).close()
    except OSError as failure:  # ssl.SSLError and timeouts among them
        return _no_tls(endpoint, f"does not speak it ({getattr(failure, 'reason', None) or failure.strerror or failure})")
    return None


def reach(endpoint: Endpoint, timeout: float) -> dict[str, Any]:
    """Connect, with TLS where it is wanted. Returns what was found; `problem` is None when it is well."""
    start = time.monotonic()
    try:
        with socket.create_connection((endpoint.host, endpoint.port), timeout=timeout) as connection:
            problem = _tls_problem(endpoint, connection) if endpoint.tls != "none" else None
    except (OSError, UnicodeError) as failure:
        reason = getattr(failure, "strerror", None) or failure
        way_out = "correct host and port, or open the way from this host (firewall, security group, DNS)"
        problem = error(f"codecov_{endpoint.name}.host", f"{endpoint.address} cannot be reached from the host ({reason})", way_out)
    return {"latency_ms": round((time.monotonic() - start) * 1000, 1), "problem": problem}


def reach_all(endpoints: Sequence[Endpoint], timeout: float) -> dict[str, dict[str, Any]]:
    """All of them side by side, by name."""
    results = side_by_side({endpoint.name: functools.partial(reach, endpoint, timeout) for endpoint in endpoints}, 2 * timeout + 1)
    return {endpoint.name: _result(endpoint, results.get(endpoint.name)) for endpoint in endpoints}


def _result(endpoint: Endpoint, result: Any) -> dict[str, Any]:
    if isinstance(result, dict):
        return result
    if isinstance(result, Exception):
        raise result
    late = error(f"codecov_{endpoint.name}.host", f"{endpoint.address} did not answer in time", "look for a firewall that drops packets")
    return {"latency_ms": None, "problem": late}


# --- from a container -------------------------------------------------------------------------------------------------------


def configuration_of(merged: Mapping[Any, Any], secrets: Mapping[str, str]) -> str:
    """What the checks read of codecov.yml, as JSON, which is YAML too. A secret that is not known yet belongs to a service that is not checked."""
    config: dict[str, Any] = {}
    for path in NEEDED:
        source: Any = merged
        target = config
        for key in path[:-1]:
            source = source.get(key) or {}
            target = target.setdefault(key, {})
        if path[-1] in source:
            target[path[-1]] = source[path[-1]]
    known = {**dict.fromkeys(references(config), "not-known-yet"), **secrets}
    return json.dumps(substitute(config, known))


def why_not(trial: Trial, docker_cli: str | None) -> str | None:
    """Why no container can be run now, or None."""
    if not (docker_cli or shutil.which("docker")):
        return "there is no container engine on the host yet"
    try:
        docker = Docker(docker_cli)
        if docker.call(["version", "--format", "{{.Server.Version}}"], 20.0).rc:
            return "the container engine of the host does not run"
        has_image = docker.call(["image", "inspect", "--format", "{{.Id}}", trial.image], 20.0).rc == 0
    except DockerError as failure:
        return str(failure)
    return None if has_image else f"the image {trial.image} is not on the host yet"


def run_arguments(trial: Trial) -> list[str]:
    """Of `docker`. Nothing in them is secret, and nothing of the host is mounted."""
    places = sorted({posixpath.dirname(path) for path in trial.files} | {"/tmp"})
    options = ["--rm", "--interactive", "--pull", "never", "--log-driver", "none", "--read-only", "--cap-drop", "ALL"]
    options += ["--security-opt", "no-new-privileges", "--user", trial.user, "--entrypoint", trial.python]
    for place in places:
        options += ["--tmpfs", f"{place}:mode=1777"]
    return ["run", *options, trial.image, "-c", BOOTSTRAP]


def use_all(trial: Trial, docker_cli: str | None) -> list[dict[str, Any]]:
    """The checks that deploy makes, from a container that is thrown away. Raises DockerError when they could not be made."""
    given: dict[str, Any] = {"files": trial.files, "environment": trial.environment, "arguments": ["check", "--json", *trial.arguments]}
    given["probe"] = inspect.getsource(_container_probe)
    output = Docker(docker_cli).call(run_arguments(trial), CONTAINER_TIME, json.dumps(given))
    try:
        results: list[dict[str, Any]] = json.loads(output.stdout)["results"]
    except (ValueError, KeyError, TypeError):
        raise DockerError(f"a container of {trial.image} could not try the services: {' '.join(output.stderr.split())[-300:]}") from None
    return results


def problem_of(result: Mapping[str, Any]) -> Problem | None:
    """What a check of the probe found, as a line about a setting."""
    if result["state"] not in ("failed", "warning"):
        return None
    detail = f" ({result['detail']})" if result.get("detail") else ""
    kind = error if result["state"] == "failed" else warning
    return kind(f"codecov_{result['name']}", f"{result['cause']}{detail}", result.get("remedy") or "see the service's log")
