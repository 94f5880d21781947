# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of this very host, and the parsers on texts as kernels and engines write them."""

from __future__ import annotations

import http.server
import json
import os
import socket
import socketserver
import sys
import threading
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils import _host_facts as facts

LABELS = {"covstack.deployment": "codecov"}
CONTAINER = {
    "Id": "0123456789abcdef0123456789abcdef",
    "Names": ["/codecov-edge-1"],
    "Image": "docker.io/library/traefik:v3.7.15",
    "State": "running",
    "Status": "Up 3 minutes (healthy)",
    "Labels": {"covstack.deployment": "codecov", "covstack.service": "edge", "covstack.slot": "", "covstack.release": "r1"},
    "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}, {"PrivatePort": 8001, "Type": "tcp"},
              {"IP": "0.0.0.0", "PrivatePort": 53, "PublicPort": 53, "Type": "udp"}],
}


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ('ID=debian\nVERSION_ID="12"', "debian"),
        ("ID=ubuntu\nID_LIKE=debian", "debian"),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'", "debian"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"', "redhat"),
        ("ID=rhel", "redhat"),
        ("ID=alpine", "other"),
        ("", "other"),
    ],
)
def test_os_family(text: str, family: str) -> None:
    assert facts.os_family(facts.parse_os_release(text)) == family


def test_os_release_quotes_and_comments() -> None:
    assert facts.parse_os_release('# ID=no\nPRETTY_NAME="A = b"\nID=x\n') == {"PRETTY_NAME": "A = b", "ID": "x"}


@pytest.mark.skipif(sys.byteorder != "little", reason="texts of a little-endian kernel")
def test_listening_lines_of_the_kernel() -> None:
    text = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 0 100 0 0 10 0\n"
        "   1: 0100007F:0016 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 78 1 0 100 0 0 10 0\n"
    )
    assert facts.parse_listening(text) == [("127.0.0.1", 8080, "77")]
    assert facts.parse_address("00000000000000000000000001000000") == "::1"


def test_a_socket_of_our_own_is_seen_with_its_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        entry = next(entry for entry in facts.listening_sockets() if entry["port"] == port)
    assert entry["pid"] == os.getpid() and entry["addresses"] == ["127.0.0.1"]
    assert entry["process"] == Path(f"/proc/{os.getpid()}/comm").read_text().strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# covstack: slot=blue release=8c1f\nhttp: {}\n", {"slot": "blue", "release": "8c1f"}),
        ("#covstack:  release=8c1f slot=green more=x", {"slot": "green", "release": "8c1f"}),
        ("http: {}\n# covstack: slot=blue release=8c1f\n", None),
        ("# covstack: slot=blue\n", None),
        ("", None),
    ],
)
def test_active(text: str, expected: Any) -> None:
    assert facts.parse_active(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("db:5432", ("db", 5432)), ("[::1]:22", ("::1", 22)), ("::1:22", None), ("db", None), ("db:0", None), ("db:70000", None), (":80", None), ("db:x", None)],
)
def test_endpoint(text: str, expected: Any) -> None:
    assert facts.parse_endpoint(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("20.10.24+dfsg1", "20.10.24"), ("v2.26.1-4", "2.26.1"), ("28.2.2", "28.2.2"), ("", None), ("dev", None)],
)
def test_version(text: str, expected: Any) -> None:
    assert facts.parse_version(text) == expected


@pytest.mark.parametrize(
    ("status", "health"),
    [("Up 2 hours (healthy)", "healthy"), ("Up 1 second (health: starting)", "starting"), ("Up 2 hours (unhealthy)", "unhealthy"),
     ("Up 2 hours", None), ("Exited (0) 3 minutes ago", None)],
)
def test_health(status: str, health: Any) -> None:
    assert facts.health_of(status) == health


@pytest.mark.parametrize(
    ("version", "info", "cli", "head", "kind"),
    [
        ({"Version": "26.1.5", "Components": [{"Name": "Engine"}]}, {}, "/usr/bin/docker", b"\x7fELF", "docker"),
        ({"Components": [{"Name": "Podman Engine"}]}, {}, "/usr/bin/docker", b"\x7fELF", "podman"),
        ({}, {}, "/usr/bin/docker", b"#!/bin/sh\nexec podman \"$@\"", "podman"),
        ({"Version": "26"}, {"SecurityOptions": ["name=seccomp", "name=rootless"]}, "/usr/bin/docker", b"", "rootless"),
        ({}, {}, "/snap/docker/2/bin/docker", b"", "snap"),
        ({"Version": "26"}, {"DockerRootDir": "/var/snap/docker/common"}, None, b"", "snap"),
        ({}, {}, None, b"", None),
    ],
)
def test_docker_kind(version: Any, info: Any, cli: Any, head: bytes, kind: Any) -> None:
    assert facts.docker_kind(version, info, cli, head) == kind


def test_a_port_of_our_own_edge_counts_as_ours() -> None:
    published = facts.published_ports([CONTAINER], "codecov")
    assert published == {8080: ("codecov-edge-1", True)}
    proxy = {"port": 8080, "addresses": ["0.0.0.0"], "process": "docker-proxy", "pid": 5, "container": None, "ours": False}
    other = {"port": 22, "addresses": ["0.0.0.0"], "process": "sshd", "pid": 6, "container": None, "ours": False}
    listening = facts.with_containers([dict(proxy), dict(other)], published)
    assert facts.describe_port(8080, listening) == {"held": True, "ours": True, "by": "container codecov-edge-1"}
    assert facts.describe_port(22, listening) == {"held": True, "ours": False, "by": "sshd (process 6)"}
    assert facts.describe_port(23, listening) == {"held": False, "ours": False, "by": None}


def test_without_a_proxy_process_a_published_port_is_held_all_the_same() -> None:
    listening = facts.with_containers([], facts.published_ports([CONTAINER], "another"))
    assert facts.describe_port(8080, listening) == {"held": True, "ours": False, "by": "container codecov-edge-1"}


PROXY = {"port": 8080, "addresses": ["0.0.0.0"], "process": "docker-proxy", "pid": 5, "container": None, "ours": False}
CONTAINERS = ("docker", "/containers/json?all=1")


def question_about(*ports: int) -> facts.Question:
    return facts.Question("/opt/codecov", "codecov", list(ports), [], [], [], {}, [], 1.0, "/var/run/docker.sock")


@pytest.mark.parametrize(("ports", "containers", "starting"), [
    ((8080,), [{**CONTAINER, "State": "created", "Ports": []}], True),
    ((8080,), [CONTAINER], False),
    ((80,), [], False),
    ((8080,), OSError("no engine"), False),
])
def test_a_port_that_docker_holds_for_a_container_that_does_not_publish_it_yet(ports: Any, containers: Any, starting: bool) -> None:
    assert facts.port_of_nobody(question_about(*ports), [PROXY], containers) is starting


def test_containers_that_are_starting_are_waited_for() -> None:
    """A killed run's `docker compose up` goes on; the next run must not take its own edge for a stranger."""
    answers = iter([[{**CONTAINER, "Ports": []}], [CONTAINER]])
    local: Any = {"listening": [PROXY], CONTAINERS: []}
    facts._wait_for_starting_containers(question_about(8080), {"listening": lambda: [PROXY], CONTAINERS: lambda: next(answers)}, local)
    assert local[CONTAINERS] == [CONTAINER]


def test_a_port_that_stays_without_a_container_is_not_waited_for_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "START_TIMEOUT", 0.3)
    local: Any = {"listening": [PROXY], CONTAINERS: []}
    facts._wait_for_starting_containers(question_about(8080), {"listening": lambda: [PROXY], CONTAINERS: list}, local)
    assert local[CONTAINERS] == []


def test_container_summary() -> None:
    assert facts.summarise_container(CONTAINER) == {
        "id": "0123456789ab", "name": "codecov-edge-1", "service": "edge", "slot": "", "release": "r1", "number": 1, "one_off": False, "config": None,
        "state": "running", "health": "healthy",
        "image": "docker.io/library/traefik:v3.7.15",
    }


def client_of_redis(name: str, identity: str, **changes: Any) -> dict[str, Any]:
    mounts = [{"Destination": facts.PROBE_PATH}]
    labels = {"covstack.service": "api", "covstack.slot": "blue"}
    return {**CONTAINER, "Id": identity, "Names": [f"/{name}"], "Ports": [], "Labels": labels, "Mounts": mounts, **changes}


def inspected(started: str, finished: str = "0001-01-01T00:00:00Z", running: bool = True) -> dict[str, Any]:
    return {"State": {"Status": "running" if running else "exited", "Running": running, "StartedAt": f"2026-11-21T{started}Z", "FinishedAt": finished}}


def test_what_redis_was_restarted_under() -> None:
    redis = {**CONTAINER, "Id": "r", "Labels": {"covstack.service": "redis"}}
    job = client_of_redis("job", "j", Labels={"com.docker.compose.oneoff": "True"})
    gateway = client_of_redis("gateway", "g", Mounts=[])
    containers = [redis, client_of_redis("old", "o"), client_of_redis("new", "n"), client_of_redis("gone", "x"), job, gateway]
    details: dict[str, Any] = {"r": inspected("10:00:05", "2026-11-21T10:00:04.5Z"), "x": TimeoutError("no answer"),
                               **{identity: inspected("10:00:01") for identity in ("o", "j", "g")}, "n": inspected("10:00:06")}
    assert facts.older_ones(containers, details) == ["old"]
    assert facts.older_ones(containers[1:], details) == [], "an external Redis: nothing is known of it"
    assert facts.older_ones(containers, {**details, "r": inspected("10:00:05", running=False)}) == []


def test_what_ended_while_docker_could_not_restart_it() -> None:
    """Docker's list says that it runs, and goes on saying so (seen after a full disk with Docker 26.1)."""
    states = {"a": "running", "b": "running", "c": "exited", "d": "running"}
    containers = [{**CONTAINER, "Id": name, "Names": [f"/{name}"], "State": state} for name, state in states.items()]
    details = {"a": inspected("10:00:00"), "b": inspected("10:00:00", running=False), "c": inspected("10:00:00", running=False), "d": TimeoutError("no answer")}
    assert [facts.state_of(container, details) for container in containers] == ["running", "exited", "exited", "running"]
    assert facts.ended_unnoticed(containers, details) == ["b"]


def test_releases_newest_first(tmp_path: Path) -> None:
    for age, name in enumerate(["new", "old"]):
        (tmp_path / "releases" / name).mkdir(parents=True)
        os.utime(tmp_path / "releases" / name, (1000 - age, 1000 - age))
    (tmp_path / "releases" / ".partial").mkdir()
    (tmp_path / "releases" / "file").write_text("")
    assert facts.releases(str(tmp_path)) == [{"id": "new", "mtime": 1000, "proved": False}, {"id": "old", "mtime": 999, "proved": False}]
    assert facts.releases(str(tmp_path / "missing")) == []


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture()
def engine(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """An engine's socket with answers of our choice: what no real engine here can be made to say (podman, rootless, errors)."""
    answers: dict[str, Any] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, {"message": "no"}))
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def address_string(self) -> str:
            return "engine"

        def log_message(self, format: str, *arguments: Any) -> None:
            """Quiet."""

    path = str(tmp_path / "docker.sock")
    with _UnixServer(path, Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"path": path, "answers": answers}
        server.shutdown()


def question(tmp_path: Path, **changes: Any) -> facts.Question:
    values: dict[str, Any] = {"directory": str(tmp_path / "codecov"), "deployment": "codecov", "ports": [], "names": [], "endpoints": [], "images": [],
                              "volume_files": {}, "networks": [], "timeout": 1.0, "docker_socket": str(tmp_path / "none.sock")}
    return facts.Question(**{**values, **changes})


def test_an_engine_that_answers(engine: dict[str, Any], tmp_path: Path) -> None:
    redis = {**CONTAINER, "Id": "r1", "Names": ["/codecov-redis-1"], "Ports": [], "Labels": {**LABELS, "covstack.service": "redis"}}
    engine["answers"].update({
        "/version": (200, {"Version": "26.1.5+dfsg1", "ApiVersion": "1.45"}),
        "/info": (200, {"DockerRootDir": str(tmp_path), "MemoryLimit": False, "CpuCfsQuota": False, "PidsLimit": False, "CgroupVersion": "2",
                        "LiveRestoreEnabled": True, "Driver": "overlay2", "Swarm": {"LocalNodeState": "inactive"}}),
        "/containers/json?all=1": (200, [CONTAINER, client_of_redis("codecov-blue-api-1", "a1", Labels={**LABELS, "covstack.service": "api"}), redis]),
        "/containers/a1/json": (200, inspected("10:00:00")),
        "/containers/r1/json": (200, inspected("10:00:00.5")),
    })
    active = tmp_path / "codecov" / "edge" / "dynamic" / "active.yml"
    active.parent.mkdir(parents=True)
    active.write_text("# covstack: slot=blue release=r1\n")
    result = facts.collect(question(tmp_path, docker_socket=engine["path"], ports=[8080]))
    docker = result["docker"]
    assert (docker["running"], docker["version"], docker["api"], docker["error"]) == (True, "26.1.5", "1.45", None)
    assert docker["cgroup"] == {"version": "2", "cpu": False, "memory": False, "pids": False} and docker["live_restore"] is True
    assert result["disk"]["docker"]["path"] == str(tmp_path)
    assert result["ports"]["8080"] == {"held": True, "ours": True, "by": "container codecov-edge-1"}
    assert [container["name"] for container in result["deployment"]["containers"]] == ["codecov-blue-api-1", "codecov-edge-1", "codecov-redis-1"]
    assert result["deployment"]["older_than_redis"] == ["codecov-blue-api-1"]
    assert result["deployment"]["active"] == {"slot": "blue", "release": "r1"}
    json.dumps(result)


def test_images_are_there_or_not_or_unknown(engine: dict[str, Any], tmp_path: Path) -> None:
    pinned = "r.example.com:5000/a/worker:1@sha256:ab"
    engine["answers"].update({"/images/docker.io/a/api:1/json": (200, {"Id": "x"}), f"/images/{pinned}/json": (500, {})})
    result = facts.collect(question(tmp_path, docker_socket=engine["path"], images=["docker.io/a/api:1", "docker.io/a/api:2", pinned]))
    assert result["images"] == {"docker.io/a/api:1": True, "docker.io/a/api:2": False, pinned: None}
    assert facts.collect(question(tmp_path, images=["a"]))["images"] == {"a": None}


def test_the_version_of_the_data_in_a_volume(engine: dict[str, Any], tmp_path: Path) -> None:
    for name in ("full", "empty"):
        (tmp_path / name).mkdir()
        engine["answers"][f"/volumes/codecov_{name}"] = (200, {"Mountpoint": str(tmp_path / name)})
    (tmp_path / "full" / "PG_VERSION").write_text("17\n")
    wanted = {f"codecov_{name}": "PG_VERSION" for name in ("full", "empty", "none")}
    result = facts.collect(question(tmp_path, docker_socket=engine["path"], volume_files=wanted))
    assert result["volume_files"] == {"codecov_full": "17", "codecov_empty": None, "codecov_none": None}
    assert facts.collect(question(tmp_path, volume_files=wanted))["volume_files"] == dict.fromkeys(wanted)


def test_the_subnet_of_a_network(engine: dict[str, Any], tmp_path: Path) -> None:
    configured: dict[str, Any] = {"app": [{"Subnet": "172.30.0.0/24", "IPRange": "172.30.0.128/25"}], "host": [], "odd": None}
    engine["answers"].update({f"/networks/{name}": (200, {"IPAM": {"Config": config}}) for name, config in configured.items()})
    result = facts.collect(question(tmp_path, docker_socket=engine["path"], networks=[*configured, "none"]))
    assert result["networks"] == {"app": "172.30.0.0/24", "host": None, "odd": None, "none": None}
    assert facts.collect(question(tmp_path, networks=["app"]))["networks"] == {"app": None}


def test_an_engine_that_answers_with_an_error(engine: dict[str, Any], tmp_path: Path) -> None:
    engine["answers"]["/version"] = (500, {})
    docker = facts.collect(question(tmp_path, docker_socket=engine["path"]))["docker"]
    assert docker["running"] is False and docker["error"] == "HTTP status 500"


def test_without_an_engine(tmp_path: Path) -> None:
    result = facts.collect(question(tmp_path))
    assert result["docker"]["running"] is False and result["docker"]["error"] == "No such file or directory"
    nothing = {"containers": [], "ended_unnoticed": [], "older_than_redis": [], "releases": []}
    assert result["deployment"] == {**nothing, "active": None, "shares": {}, "changing": False, "tls": False}
    assert result["disk"]["directory"]["path"] == str(tmp_path) and result["memory_mb"] > 100 and result["cpus"] >= 1
    assert result["python"]["yaml"] is True
    json.dumps(result)


def test_names_and_endpoints(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"127.0.0.1:{server.getsockname()[1]}"
        result = facts.collect(question(tmp_path, names=["localhost", "nothing.invalid"], endpoints=[endpoint, "127.0.0.1:1"]))
    assert result["names"]["localhost"]["resolves"] and "127.0.0.1" in result["names"]["localhost"]["addresses"]
    assert not result["names"]["nothing.invalid"]["resolves"] and result["names"]["nothing.invalid"]["error"]
    assert result["endpoints"][endpoint]["reachable"] and result["endpoints"][endpoint]["latency_ms"] < 1000
    assert result["endpoints"]["127.0.0.1:1"] == {"reachable": False, "latency_ms": None, "error": "Connection refused"}


def test_what_hangs_is_cut_off_at_the_deadline_and_does_not_hold_up_the_rest() -> None:
    release = threading.Event()
    start = time.monotonic()
    results = facts.side_by_side({"hangs": lambda: release.wait(30), "fails": lambda: 1 // 0, "works": lambda: 42}, deadline=0.2)
    release.set()
    assert time.monotonic() - start < 5 and "hangs" not in results
    assert results["works"] == 42 and isinstance(results["fails"], ZeroDivisionError)


def test_slow_endpoints_are_tried_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(5)

    def reach(endpoint: str, timeout: float) -> dict[str, Any]:
        together.wait(5)
        return {"reachable": True}

    monkeypatch.setattr(facts, "reach", reach)
    endpoints = [f"h{index}:1" for index in range(5)]
    result = facts.collect(question(tmp_path, endpoints=endpoints, timeout=5.0))
    assert sum(entry["reachable"] for entry in result["endpoints"].values()) == 5


def test_data_root_of_a_stopped_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    default = "/var/lib/docker"
    for text, expected in (('{"data-root": "/srv/docker"}', "/srv/docker"), ("{}", default), ("not json", default), ("[]", default)):
        monkeypatch.setattr(facts, "read", lambda path, default="", text=text: text)
        assert facts.data_root() == expected
