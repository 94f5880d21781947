# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of a host, its Docker engine and the deployment on it. Standard library only, everything slow side by side.

Private to this collection.
"""

from __future__ import annotations

import ctypes
import importlib.util
import ipaddress
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Mapping
from urllib.parse import quote

from ansible_collections.covstack.selfhosted.plugins.module_utils._daemon_options import options_in_force
from ansible_collections.covstack.selfhosted.plugins.module_utils._engine import PROBE_PATH
from ansible_collections.covstack.selfhosted.plugins.module_utils._redis_restart import REDIS_SERVICE, older_than_redis

DEPLOYMENT_LABEL = "covstack.deployment"
CONTAINERS = ("docker", "/containers/json?all=1")
DEFAULT_DOCKER_ROOT = "/var/lib/docker"
# What the role docker_engine makes a host know Docker's own repository by.
REPOSITORY_FILES = (
    "/etc/apt/sources.list.d/covstack-docker.sources",
    "/etc/apt/keyrings/covstack-docker.asc",
    "/etc/yum.repos.d/covstack-docker.repo",
)
DOCKER_TIMEOUT = 10.0
COMMAND_TIMEOUT = 5.0
MAXIMUM_CLOCK_ERROR_US = 16_000_000
START_TIMEOUT, START_INTERVAL = 10.0, 0.2  # of a container that holds its port already
_LISTEN = "0A"
_ACTIVE = re.compile(r"^#\s*covstack:\s*(?P<pairs>.*)$")
_VERSION = re.compile(r"(\d+(?:\.\d+)+)")


TIMEOUT, DOCKER_SOCKET = 3.0, "/var/run/docker.sock"
OPTIONS = {
    "directory": {"type": "path", "default": "/opt/codecov"},
    "deployment": {"type": "str", "default": "codecov"},
    "ports": {"type": "list", "elements": "int", "default": []},
    "names": {"type": "list", "elements": "str", "default": []},
    "endpoints": {"type": "list", "elements": "str", "default": []},
    "images": {"type": "list", "elements": "str", "default": []},
    "volume_files": {"type": "dict", "default": {}},
    "networks": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "float", "default": TIMEOUT},
    "docker_socket": {"type": "path", "default": DOCKER_SOCKET},
}


@dataclass(frozen=True)
class Question:
    """What the caller wants to know; the options of the module."""

    directory: str
    deployment: str
    ports: list[int]
    names: list[str]
    endpoints: list[str]
    images: list[str]
    volume_files: dict[str, str]
    networks: list[str]
    timeout: float = TIMEOUT
    docker_socket: str = DOCKER_SOCKET


# --- pure -----------------------------------------------------------------------------------------------------------


def parse_os_release(text: str) -> dict[str, str]:
    values = {}
    for line in text.splitlines():
        key, separator, value = line.strip().partition("=")
        if separator and not key.startswith("#"):
            values[key] = value.strip().strip("\"'")
    return values


def os_family(release: Mapping[str, str]) -> str:
    names = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    if "debian" in names or "ubuntu" in names:
        return "debian"
    return "redhat" if {"rhel", "fedora", "centos"} & set(names) else "other"


def parse_meminfo(text: str) -> dict[str, int]:
    """Megabytes by name."""
    values = {}
    for line in text.splitlines():
        name, _separator, rest = line.partition(":")
        number = rest.split()
        if number and number[0].isdigit():
            values[name] = int(number[0]) // 1024
    return values


def parse_address(text: str) -> str:
    """'0100007F' -> '127.0.0.1'; the kernel prints words of four bytes in the byte order of the machine."""
    raw = bytes.fromhex(text)
    words = [raw[index:index + 4] for index in range(0, len(raw), 4)]
    if sys.byteorder == "little":
        words = [word[::-1] for word in words]
    return str(ipaddress.ip_address(b"".join(words)))


def parse_listening(text: str) -> list[tuple[str, int, str]]:
    """(address, port, inode of the socket) of every listening line of /proc/net/tcp."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN:
            address, _separator, port = fields[1].rpartition(":")
            found.append((parse_address(address), int(port, 16), fields[9]))
    return found


def _active_pairs(text: str) -> dict[str, str]:
    """'# covstack: slot=blue release=abc blue=80 green=20' as a mapping; only the first line counts."""
    lines = text.splitlines()
    match = _ACTIVE.match(lines[0]) if lines else None
    return dict(pair.split("=", 1) for pair in match.group("pairs").split() if "=" in pair) if match else {}


def parse_active(text: str) -> dict[str, str] | None:
    """Which slot serves, and which release: {'slot': 'blue', 'release': 'abc'}."""
    pairs = _active_pairs(text)
    return {"slot": pairs["slot"], "release": pairs["release"]} if {"slot", "release"} <= set(pairs) else None


def parse_shares(text: str) -> dict[str, int]:
    """The slots' shares of the requests, while there are two: {'blue': 80, 'green': 20}."""
    return {name: int(share) for name, share in _active_pairs(text).items() if name in ("blue", "green") and share.isdigit()}


def parse_endpoint(text: str) -> tuple[str, int] | None:
    host, _separator, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    return (host, int(port)) if host and port.isdigit() and 0 < int(port) < 65536 else None


def parse_version(text: str) -> str | None:
    """'Docker Compose version v2.26.1-4' -> '2.26.1'"""
    match = _VERSION.search(text)
    return match.group(1) if match else None


def health_of(status: str) -> str | None:
    """The health that Docker writes into the status line of a container; None without a health check."""
    for mark, health in (("(healthy)", "healthy"), ("(unhealthy)", "unhealthy"), ("(health: starting)", "starting")):
        if mark in status:
            return health
    return None


def summarise_container(container: Mapping[str, Any]) -> dict[str, Any]:
    labels = container.get("Labels") or {}
    return {
        "id": container["Id"][:12],
        "name": (container.get("Names") or [""])[0].lstrip("/"),
        "service": labels.get("covstack.service"),
        "slot": labels.get("covstack.slot"),
        "release": labels.get("covstack.release"),
        "number": int(labels.get("com.docker.compose.container-number") or 1),
        "one_off": labels.get("com.docker.compose.oneoff") == "True",
        "config": labels.get("covstack.config"),
        "state": container.get("State"),
        "health": health_of(container.get("Status") or ""),
        "image": container.get("Image"),
    }


def uses_redis(container: Mapping[str, Any]) -> bool:
    """Of the application's containers those have the probe that have its configuration."""
    return not summarise_container(container)["one_off"] and any(mount.get("Destination") == PROBE_PATH for mount in container.get("Mounts") or [])


def older_ones(containers: Iterable[Mapping[str, Any]], details: Mapping[str, Any]) -> list[str]:
    """The names of the application's containers that are older than the embedded Redis; details by id, as the engine inspects a container."""
    known = [(container, details[container["Id"]]["State"]) for container in containers if isinstance(details.get(container["Id"]), dict)]
    redis = [state for container, state in known if summarise_container(container)["service"] == REDIS_SERVICE and state.get("Running")]
    clients = {str(summarise_container(container)["name"]): str(state.get("StartedAt")) for container, state in known if uses_redis(container)}
    return older_than_redis(redis[0], clients) if redis else []


def state_of(container: Mapping[str, Any], details: Mapping[str, Any]) -> str | None:
    """As the engine inspects it: in its list a container that ended while the disk was full, and could not be restarted, runs for good."""
    inspected = details.get(container["Id"])
    return inspected["State"]["Status"] if isinstance(inspected, dict) else container.get("State")


def ended_unnoticed(containers: Iterable[Mapping[str, Any]], details: Mapping[str, Any]) -> list[str]:
    """The names of those that ended, and run according to the engine's list, which Compose believes."""
    ended = [container for container in containers if container.get("State") == "running" and state_of(container, details) in ("exited", "dead")]
    return sorted(str(summarise_container(container)["name"]) for container in ended)


def published_ports(containers: Iterable[Mapping[str, Any]], deployment: str) -> dict[int, tuple[str, bool]]:
    """Host port -> (name of the container that publishes it, is it of this deployment)."""
    found = {}
    for container in containers:
        ours = (container.get("Labels") or {}).get(DEPLOYMENT_LABEL) == deployment
        for port in container.get("Ports") or []:
            if port.get("PublicPort") and port.get("Type") == "tcp":
                found[int(port["PublicPort"])] = (summarise_container(container)["name"], ours)
    return found


def docker_kind(version: Mapping[str, Any], info: Mapping[str, Any], cli: str | None, cli_head: bytes) -> str | None:
    """What stands behind the name Docker."""
    components = [str(component.get("Name", "")) for component in version.get("Components") or []]
    if any(name.startswith("Podman") for name in components) or (cli_head.startswith(b"#!") and b"podman" in cli_head):
        return "podman"
    if str(info.get("DockerRootDir", "")).startswith("/var/snap/") or (cli or "").startswith(("/snap/", "/usr/bin/snap")):
        return "snap"
    if any("name=rootless" in option for option in info.get("SecurityOptions") or []):
        return "rootless"
    return "docker" if cli or version else None


def describe_port(port: int, listening: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    entry = next((entry for entry in listening if entry["port"] == port), None)
    if entry is None:
        return {"held": False, "ours": False, "by": None}
    if entry["container"]:
        holder = f"container {entry['container']}"
    else:
        holder = f"{entry['process']} (process {entry['pid']})" if entry["process"] else "a process that cannot be seen"
    return {"held": True, "ours": entry["ours"], "by": holder}


# --- the host -------------------------------------------------------------------------------------------------------


def read(path: str, default: str = "") -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return default


def run(*command: str) -> str | None:
    """Output of a command that only tells, or None when it fails."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                              timeout=COMMAND_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None


def operating_system() -> dict[str, Any]:
    release = parse_os_release(read("/etc/os-release") or read("/usr/lib/os-release"))
    return {
        "name": release.get("PRETTY_NAME", ""),
        "distribution": release.get("ID", ""),
        "version": release.get("VERSION_ID", ""),
        "codename": release.get("VERSION_CODENAME", ""),
        "family": os_family(release),
        "arch": platform.machine(),
        "kernel": platform.release(),
        "systemd": os.path.isdir("/run/systemd/system"),
    }


def disk_of(path: str) -> dict[str, Any]:
    while not os.path.isdir(path) and path != "/":
        path = os.path.dirname(path)
    usage = shutil.disk_usage(path)
    return {"path": path, "free_gb": round(usage.free / 1e9, 1), "total_gb": round(usage.total / 1e9, 1)}


class _Timex(ctypes.Structure):
    """The beginning of the kernel's struct timex, and room for the rest."""

    _fields_ = [("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long), ("rest", ctypes.c_byte * 512)]


def ntp_synchronised() -> bool | None:
    """As systemd judges it, from what the kernel says; asking systemd starts a daemon."""
    try:
        asked = _Timex()
        return bool(asked.maxerror < MAXIMUM_CLOCK_ERROR_US) if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(asked)) >= 0 else None
    except (OSError, AttributeError):
        return None


def clock() -> dict[str, Any]:
    return {"epoch": time.time(), "ntp_synchronised": ntp_synchronised()}


def socket_owners(inodes: set[str]) -> dict[str, tuple[int, str]]:
    """Inode of a socket -> (process id, name of the process). Processes of others are seen by root only."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[str, tuple[int, str]] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if len(owners) == len(inodes):
            break
        try:
            for descriptor in os.scandir(f"/proc/{pid}/fd"):
                inode = wanted.get(os.readlink(descriptor.path))
                if inode is not None:
                    owners.setdefault(inode, (int(pid), read(f"/proc/{pid}/comm").strip()))
        except OSError:
            # The process has gone, or is not ours to look into.
            continue
    return owners


def listening_sockets() -> list[dict[str, Any]]:
    sockets = [entry for name in ("tcp", "tcp6") for entry in parse_listening(read(f"/proc/net/{name}"))]
    owners = socket_owners({inode for _address, _port, inode in sockets})
    found: dict[tuple[int, int | None], dict[str, Any]] = {}
    for address, port, inode in sockets:
        pid, name = owners.get(inode, (None, None))
        entry = found.setdefault((port, pid), {"port": port, "addresses": [], "process": name, "pid": pid, "container": None, "ours": False})
        entry["addresses"].append(address)
    return [found[key] for key in sorted(found, key=lambda key: (key[0], key[1] or 0))]


def with_containers(listening: list[dict[str, Any]], published: Mapping[int, tuple[str, bool]]) -> list[dict[str, Any]]:
    """Docker's proxy processes under the name of their container; and published ports that have no process at all."""
    for entry in listening:
        # A container on the host's network listens by itself and publishes nothing.
        if entry["port"] in published and entry["process"] in (None, "docker-proxy", "rootlesskit"):
            entry["container"], entry["ours"] = published[entry["port"]]
    seen = {entry["port"] for entry in listening}
    extra: list[dict[str, Any]] = [
        {"port": port, "addresses": [], "process": None, "pid": None, "container": name, "ours": ours}
        for port, (name, ours) in published.items() if port not in seen
    ]
    return sorted(listening + extra, key=lambda entry: entry["port"])


class NotThere(OSError):
    """The engine does not know what it was asked for."""


def ask_docker(socket_path: str, path: str) -> Any:
    """GET on the Docker API. Raises OSError (NotThere among them) or ValueError when there is no sensible answer.

    HTTP/1.0 ends with the connection, so that no library for it must be loaded, which takes as long as the answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(DOCKER_TIMEOUT)
        connection.connect(socket_path)
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    head, _separator, body = answer.partition(b"\r\n\r\n")
    words = head.split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise OSError("no HTTP answer")
    status = words[1].decode("ascii", "replace")
    if status != "200":
        raise (NotThere if status == "404" else OSError)(f"HTTP status {status}")
    return json.loads(body)


def has_image(socket_path: str, reference: str) -> bool:
    """Asked one by one, because only the engine knows what names an image has."""
    try:
        ask_docker(socket_path, f"/images/{quote(reference, safe='/:@')}/json")
    except NotThere:
        return False
    return True


def volume_file(socket_path: str, volume: str, name: str) -> str | None:
    """The first line of a file in a volume; None without that volume or file."""
    try:
        mountpoint = ask_docker(socket_path, f"/volumes/{quote(volume)}")["Mountpoint"]
    except NotThere:
        return None
    return (read(os.path.join(mountpoint, name)).splitlines() or [""])[0].strip() or None


def subnet_of(socket_path: str, network: str) -> str | None:
    """Which addresses a network of Docker's has; None if it leaves them to Docker's driver."""
    configured = ask_docker(socket_path, f"/networks/{quote(network)}")["IPAM"]["Config"] or [{}]
    subnet: str | None = configured[0].get("Subnet")
    return subnet


def data_root() -> str:
    """Where an engine that does not answer keeps its data."""
    try:
        return str(json.loads(read("/etc/docker/daemon.json", "{}")).get("data-root", DEFAULT_DOCKER_ROOT))
    except (ValueError, AttributeError):
        return DEFAULT_DOCKER_ROOT


def unit_enabled() -> bool | None:
    """Does systemd start the engine at boot? Told by its links, since asking systemd costs ten times as much."""
    if not os.path.isdir("/run/systemd/system"):
        return None
    wants = ("multi-user.target.wants/docker.service", "sockets.target.wants/docker.socket")
    return os.path.lexists(f"/etc/systemd/system/{wants[0]}") or os.path.lexists(f"/etc/systemd/system/{wants[1]}")


def describe_docker(version: Any, info: Any, compose: str | None) -> dict[str, Any]:
    failed = next((answer for answer in (version, info) if isinstance(answer, Exception)), None)
    version, info = ({} if isinstance(answer, Exception) else answer for answer in (version, info))
    cli = shutil.which("docker", path=_search_path())
    target = os.path.realpath(cli) if cli else None
    kind = docker_kind(version, info, target, read(cli, "")[:4096].encode() if cli and os.path.getsize(cli) < 4096 else b"")
    return {
        "present": kind is not None or shutil.which("dockerd", path=_search_path()) is not None,
        "kind": kind,
        "running": bool(version) and failed is None,
        "version": parse_version(str(version.get("Version", ""))) or installed_version(),
        "api": version.get("ApiVersion"),
        "compose_version": parse_version(compose or ""),
        "root_dir": info.get("DockerRootDir") or data_root(),
        "driver": info.get("Driver"),
        "cgroup": {
            "version": info.get("CgroupVersion"),
            "cpu": info.get("CpuCfsQuota"),
            "memory": info.get("MemoryLimit"),
            "pids": info.get("PidsLimit"),
        },
        "live_restore": info.get("LiveRestoreEnabled"),
        "swarm": (info.get("Swarm") or {}).get("LocalNodeState", "inactive") != "inactive",
        "enabled": unit_enabled(),
        "repository_files": [path for path in REPOSITORY_FILES if os.path.exists(path)],
        "daemon_options": options_in_force(),
        "cli": cli,
        "error": None if failed is None else str(getattr(failed, "strerror", None) or failed),
    }


def _search_path() -> str:
    return os.pathsep.join(["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/snap/bin"])


def installed_version() -> str | None:
    """Version of an engine that does not run."""
    dockerd = shutil.which("dockerd", path=_search_path())
    return parse_version(run(dockerd, "--version") or "") if dockerd else None


def compose_version() -> str | None:
    cli = shutil.which("docker", path=_search_path())
    return run(cli, "compose", "version", "--short") if cli else None


def active_text(directory: str) -> str:
    """What serves: said by the edge's route, or where no edge is, by a file of the slots."""
    texts = (read(os.path.join(directory, *place, "active.yml")) for place in (("edge", "dynamic"), ("slots",)))
    return next((text for text in texts if parse_active(text)), "")


def releases(directory: str) -> list[dict[str, Any]]:
    try:
        entries = [entry for entry in os.scandir(os.path.join(directory, "releases")) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    found = [
        {"id": entry.name, "mtime": int(entry.stat().st_mtime), "proved": os.path.exists(os.path.join(entry.path, "proved"))}
        for entry in entries
        if not entry.name.startswith(".")
    ]
    return sorted(found, key=lambda release: (-release["mtime"], release["id"]))


def temporary_directory() -> str | None:
    """Where programs of this host may write temporary files."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return None


def resolve(name: str) -> dict[str, Any]:
    try:
        answers = socket.getaddrinfo(name, None, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as error:
        return {"resolves": False, "addresses": [], "error": str(getattr(error, "strerror", None) or error)}
    return {"resolves": True, "addresses": list(dict.fromkeys(str(answer[4][0]) for answer in answers)), "error": None}


def reach(endpoint: str, timeout: float) -> dict[str, Any]:
    address = parse_endpoint(endpoint)
    if address is None:
        raise ValueError(f"{endpoint!r} is not an endpoint")
    start = time.monotonic()
    try:
        socket.create_connection(address, timeout=timeout).close()
    except (OSError, UnicodeError) as error:
        return {"reachable": False, "latency_ms": None, "error": str(getattr(error, "strerror", None) or error)}
    return {"reachable": True, "latency_ms": round((time.monotonic() - start) * 1000, 1), "error": None}


def side_by_side(work: Mapping[Any, Callable[[], Any]], deadline: float) -> dict[Any, Any]:
    """Results by key; an exception as its result; a key is missing when there is no result at the deadline.

    Daemon threads instead of an executor, because a resolver that hangs must not keep the process from ending.
    """
    results: dict[Any, Any] = {}

    def call(key: Any, function: Callable[[], Any]) -> None:
        try:
            results[key] = function()
        except Exception as error:  # handed to the caller, who knows what it means
            results[key] = error

    threads = [threading.Thread(target=call, args=item, daemon=True) for item in work.items()]
    for thread in threads:
        thread.start()
    end = time.monotonic() + deadline
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return dict(results)


def answer(options: Mapping[str, Any]) -> dict[str, Any]:
    """Result of the module to its options. Those that may be missing have the defaults of Question."""
    wrong = next((endpoint for endpoint in options["endpoints"] if parse_endpoint(endpoint) is None), None)
    if wrong is not None:
        return {"failed": True, "msg": f"endpoints: {wrong!r} is not an endpoint. Allowed: host:port, or [address]:port for IPv6."}
    return collect(Question(**options))


def collect(question: Question) -> dict[str, Any]:
    """Everything, in about the time of its slowest part."""
    work: dict[Any, Callable[[], Any]] = {("docker", path): _asker(question.docker_socket, path)
                                          for path in ("/version", "/info", CONTAINERS[1])}
    work["compose"] = compose_version
    work["clock"] = clock
    work["listening"] = listening_sockets
    work.update({("volume", volume): _call(volume_file, question.docker_socket, volume, name) for volume, name in question.volume_files.items()})
    work.update({("network", name): _call(subnet_of, question.docker_socket, name) for name in question.networks})
    work.update({("image", image): _call(has_image, question.docker_socket, image) for image in question.images})
    tries: dict[Any, Callable[[], Any]] = {("name", name): _call(resolve, name) for name in question.names}
    tries.update({("endpoint", endpoint): _call(reach, endpoint, question.timeout) for endpoint in question.endpoints})
    outside: dict[Any, Any] = {}
    background = threading.Thread(target=lambda: outside.update(side_by_side(tries, question.timeout + 0.2)), daemon=True)
    background.start()
    local = side_by_side(work, DOCKER_TIMEOUT + COMMAND_TIMEOUT)
    _wait_for_starting_containers(question, work, local)
    local["details"] = _details(question, local.get(CONTAINERS))
    background.join()
    return _facts(question, local, outside)


def _wait_for_starting_containers(question: Question, work: Mapping[Any, Callable[[], Any]], local: dict[Any, Any]) -> None:
    """Docker takes a container's ports before it says that the container publishes them: a run right after a killed one sees its own edge start."""
    parts = ("listening", CONTAINERS)
    end = time.monotonic() + START_TIMEOUT
    while port_of_nobody(question, *(local.get(part) for part in parts)) and time.monotonic() < end:
        time.sleep(START_INTERVAL)
        local.update(side_by_side({part: work[part] for part in parts}, DOCKER_TIMEOUT))


def _details(question: Question, containers: Any) -> dict[Any, Any]:
    """What the engine's list of containers does not say: when they were started, and whether they run after all."""
    ours = _ours(question, containers) if isinstance(containers, list) else []
    return side_by_side({container["Id"]: _asker(question.docker_socket, f"/containers/{container['Id']}/json") for container in ours}, DOCKER_TIMEOUT)


def _ours(question: Question, containers: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [container for container in containers if (container.get("Labels") or {}).get(DEPLOYMENT_LABEL) == question.deployment]


def port_of_nobody(question: Question, sockets: Any, containers: Any) -> bool:
    """Docker holds a port that is asked for, and no container has it."""
    if not isinstance(sockets, list) or not isinstance(containers, list):
        return False
    published = published_ports(containers, question.deployment)
    return any(entry["process"] == "docker-proxy" and entry["port"] in question.ports and entry["port"] not in published for entry in sockets)


def _asker(socket_path: str, path: str) -> Callable[[], Any]:
    return lambda: ask_docker(socket_path, path)


def _known(answer: Any) -> bool | None:
    return answer if isinstance(answer, bool) else None


def _text(answer: Any) -> str | None:
    return answer if isinstance(answer, str) else None


def _call(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: function(*arguments)


def _facts(question: Question, local: Mapping[Any, Any], outside: Mapping[Any, Any]) -> dict[str, Any]:
    late = TimeoutError("no answer in time")
    version, info, containers = (local.get(("docker", path), late) for path in ("/version", "/info", CONTAINERS[1]))
    containers = [] if isinstance(containers, Exception) else containers
    compose = local.get("compose")
    docker = describe_docker(version, info, compose if isinstance(compose, str) else None)
    sockets = local.get("listening", late)
    if isinstance(sockets, Exception):
        raise sockets
    listening = with_containers(sockets, published_ports(containers, question.deployment))
    memory = parse_meminfo(read("/proc/meminfo"))
    ours = _ours(question, containers)
    serving = active_text(question.directory)
    return {
        "os": operating_system(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mb": memory.get("MemTotal"),
        "memory_available_mb": memory.get("MemAvailable"),
        "disk": {"directory": disk_of(question.directory), "docker": disk_of(docker["root_dir"])},
        "temporary_directory": temporary_directory(),
        "clock": local.get("clock") or {"epoch": time.time(), "ntp_synchronised": None},
        "listening": listening,
        "ports": {str(port): describe_port(port, listening) for port in question.ports},
        "docker": docker,
        "images": {image: _known(local.get(("image", image))) for image in question.images},
        "volume_files": {volume: _text(local.get(("volume", volume))) for volume in question.volume_files},
        "networks": {name: _text(local.get(("network", name))) for name in question.networks},
        "names": {name: outside.get(("name", name)) or {"resolves": False, "addresses": [], "error": "no answer in time"} for name in question.names},
        "endpoints": {endpoint: outside.get(("endpoint", endpoint)) or {"reachable": False, "latency_ms": None, "error": "no answer in time"}
                      for endpoint in question.endpoints},
        "deployment": {
            "containers": sorted(
                ({**summarise_container(container), "state": state_of(container, local["details"])} for container in ours),
                key=lambda container: str(container["name"]),
            ),
            "ended_unnoticed": ended_unnoticed(ours, local["details"]),
            "older_than_redis": older_ones(ours, local["details"]),
            "active": parse_active(serving),
            "shares": parse_shares(serving),
            "releases": releases(question.directory),
            "changing": os.path.lexists(os.path.join(question.directory, "slots", "changing")),
            "tls": os.path.lexists(os.path.join(question.directory, "tls")),
        },
        "python": {
            "version": platform.python_version(),
            "executable": sys.executable,
            "yaml": importlib.util.find_spec("yaml") is not None,
        },
    }
