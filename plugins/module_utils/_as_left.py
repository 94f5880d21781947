# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host is as the last complete run left it: the same input of the run, the same files, the same containers since, the same load balancing.

The action codecov_as_left sends this file as it is to the host's Python, because a module would spend most of its time on loading Ansible's own code. So
it imports nothing but the standard library, and little of that, and the deploy lock.

Private to this collection.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import stat
from collections.abc import Iterator
from typing import Any

from ansible_collections.covstack.selfhosted.plugins.module_utils._lock import give_back

MARK = "as_left.json"
LOCK = "deploy.lock"
# Written by every change, or only while one goes on.
UNCOUNTED = frozenset({MARK, LOCK, "audit.log"})
# Larger files (archives of images) are told by size and time.
LARGEST_READ = 1 << 20
TIMEOUT = 10.0
# Answers of the probe: nothing was asked, Redis is older than what uses it, or it does not say.
REDIS_IS_OLDER = ("", "ok", "skipped")
DOCKER_SOCKET, HAPROXY_SOCKET = "/var/run/docker.sock", "/run/haproxy/admin.sock"
KEEPALIVED_PID, KEEPALIVED_APPLIED = "/run/keepalived.pid", "/run/covstack-keepalived.applied"
PROBE = "/covstack/probe.py"
DEPLOYMENT_LABEL, LABELS = "covstack.deployment", ("covstack.service", "covstack.slot", "covstack.release", "covstack.config")


class Unknown(Exception):
    """What cannot be seen is not as it was left; why, in one sentence."""


# --- files ----------------------------------------------------------------------------------------------------------


def _entries(directory: str) -> Iterator[str]:
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        if entry.name not in UNCOUNTED:
            yield entry.path
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path)


def _content(path: str, status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(status.st_mode):
        return ""
    if status.st_size > LARGEST_READ:
        return f"{status.st_size} {status.st_mtime_ns}"
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def _described(path: str) -> str:
    try:
        status = os.lstat(path)
        return repr((path, status.st_mode, status.st_uid, status.st_gid, _content(path, status)))
    except FileNotFoundError:
        return repr((path, None))


def files_digest(trees: list[str], files: list[str]) -> str:
    """Names, kinds, modes, owners and contents of these files, and of everything below these directories."""
    paths = [*files, *(path for tree in trees if os.path.isdir(tree) for path in _entries(tree))]
    return hashlib.sha256("\n".join(map(_described, paths)).encode()).hexdigest()


# --- containers -----------------------------------------------------------------------------------------------------


def _ask(path: str, text: str) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(path)
        connection.sendall(text.encode())
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def ask_docker(path: str) -> Any:
    head, _separator, body = _ask(DOCKER_SOCKET, f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").partition(b"\r\n\r\n")
    if head.split(maxsplit=2)[1:2] != [b"200"]:
        raise Unknown("Docker does not answer as it should")
    return json.loads(body)


def _container(found: dict[str, Any]) -> dict[str, Any]:
    state, labels = ask_docker(f"/containers/{found['Id']}/json")["State"], found.get("Labels") or {}
    return {
        "name": found["Names"][0],
        "id": found["Id"],
        # A name that means another image by now.
        "image": found["Image"],
        "labels": {label: labels[label] for label in LABELS if label in labels},
        "state": state["Status"],
        "started": state["StartedAt"],
        "health": (state.get("Health") or {}).get("Status"),
    }


def containers(deployment: str) -> list[dict[str, Any]]:
    """Those of the deployment: a container that was made or started anew, whatever for, is another one."""
    ours = [found for found in ask_docker("/containers/json?all=1") if (found.get("Labels") or {}).get(DEPLOYMENT_LABEL) == deployment]
    return sorted(map(_container, ours), key=lambda container: str(container["name"]))


def _redis_check(python: str) -> str:
    """What one of the containers that use a Redis of others says of its restarts. All were started before, or the containers are not those that were left."""
    import subprocess  # not needed where Redis is ours

    users = [found["Id"] for found in ask_docker("/containers/json") if any(mount.get("Destination") == PROBE for mount in found.get("Mounts") or [])]
    if not users:
        raise Unknown("nothing runs that uses Redis")
    done = subprocess.run(["docker", "exec", users[0], python, PROBE, "check", "redis_restart", "--json"], capture_output=True, timeout=TIMEOUT, check=False)
    return str(json.loads(done.stdout)["results"][0]["state"])


# --- load balancing -------------------------------------------------------------------------------------------------


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def balancing() -> dict[str, Any]:
    """The configuration that HAProxy runs with, the servers that it sends requests to, and what keepalived runs with."""
    info = _ask(HAPROXY_SOCKET, "show info\n").decode().splitlines()
    rows = [line.split(",") for line in _ask(HAPROXY_SOCKET, "show stat -1 4 -1\n").decode().splitlines() if line and not line.startswith("#")]
    return {
        "description": [line for line in info if line.lower().startswith("description:")],
        "receiving": sorted(f"{row[0]}/{row[1]}" for row in rows if row[17].startswith("UP")),
        "keepalived": _text(f"/proc/{_text(KEEPALIVED_PID) or 0}/comm"),
        "applied": _text(KEEPALIVED_APPLIED),
    }


# --- together -------------------------------------------------------------------------------------------------------


def state_of(question: dict[str, Any]) -> dict[str, Any]:
    return {
        "files": files_digest(question["trees"], question["files"]),
        "containers": containers(question["deployment"]) if question["deployment"] else [],
        "balancing": balancing() if question["balances"] else {},
        "redis": _redis_check(question["redis_python"]) if question["redis_python"] else "",
    }


def look(question: dict[str, Any]) -> dict[str, Any]:
    """Whether the host is as it was left, and which part of it is not."""
    try:
        with open(os.path.join(question["directory"], MARK), encoding="utf-8") as stream:
            mark = json.load(stream)
        now = {"inputs": question["inputs"], "lock": os.path.lexists(os.path.join(question["directory"], LOCK)), **state_of(question)}
        differs = sorted(part for part in now if mark.get(part) != now[part])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, Unknown) as error:  # nothing to compare with, or nothing to be seen
        differs = [f"unknown ({type(error).__name__})"]
    return {"as_left": not differs, "differs": differs}


def problems_of(state: dict[str, Any], servers: list[str]) -> list[str]:
    """What is not to be left like this."""
    unwell = [container["name"] for container in state["containers"] if container["health"] not in (None, "healthy") and container["state"] == "running"]
    restarting = [container["name"] for container in state["containers"] if container["state"] not in ("running", "exited")]
    silent = [server for server in servers if server not in state["balancing"].get("receiving", servers)]
    said = [*(f"{name.lstrip('/')} is not healthy" for name in (*unwell, *restarting)), *(f"{server} receives no requests" for server in silent)]
    return [*said, "Redis was restarted under the application"] if state["redis"] not in REDIS_IS_OLDER else said


def remember(question: dict[str, Any], servers: list[str]) -> list[str]:
    """Write down how the host is; what is wrong with it, if anything, is returned instead, and nothing is remembered. The run whose lock it is, is over."""
    if question["gives_back"]:
        give_back(os.path.join(question["directory"], LOCK), question["gives_back"])
    path = os.path.join(question["directory"], MARK)
    state = state_of(question)
    problems = problems_of(state, servers)
    if problems:
        if os.path.lexists(path):
            os.unlink(path)
        return problems
    draft = f"{path}.new"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w", encoding="utf-8") as stream:
        json.dump({"inputs": question["inputs"], "lock": False, **state}, stream, indent=1)
    os.replace(draft, path)
    return []
