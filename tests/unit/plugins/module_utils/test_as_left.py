# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host is as the last complete run left it: each way in which it is not, and what does not count."""

from __future__ import annotations

import contextlib
import copy
import http.server
import json
import os
import pathlib
import socketserver
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils import _as_left, _inputs
from ansible_collections.covstack.selfhosted.plugins.module_utils._placement import Host, Placement
from ansible_collections.covstack.selfhosted.plugins.plugin_utils import _on_host

LABELS = {"covstack.deployment": "codecov", "covstack.service": "api", "covstack.slot": "blue", "covstack.release": "8c1f0a"}
CONTAINER = {"Id": "3e1b", "Names": ["/codecov-blue-api-1"], "Image": "api:26.7.6", "Labels": LABELS}
FOREIGN = {"Id": "ffff", "Names": ["/other"], "Image": "other", "Labels": {}}
STATE = {"Status": "running", "StartedAt": "2026-11-21T10:00:00Z", "Health": {"Status": "healthy"}}
STAT = "# pxname,svname\nweb,app1" + "," * 15 + ",UP,1\nweb,app2" + "," * 15 + ",UP,1\n"


class Docker(http.server.BaseHTTPRequestHandler):
    """The two answers of Docker that count."""

    containers: list[dict[str, Any]]
    state: dict[str, Any]

    def do_GET(self) -> None:  # noqa: N802  # the name is the library's
        body = json.dumps(self.containers if self.path.startswith("/containers/json") else {"State": self.state}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_arguments: Any) -> None:
        pass


class Haproxy(socketserver.StreamRequestHandler):
    """Its admin socket: one question a connection."""

    stat: str

    def handle(self) -> None:
        question = self.rfile.readline().decode()
        self.wfile.write((self.stat if question.startswith("show stat") else "Name: HAProxy\ndescription: covstack-0123\n").encode())


@contextlib.contextmanager
def serving(path: str, handler: type[socketserver.BaseRequestHandler]) -> Iterator[None]:
    with socketserver.ThreadingUnixStreamServer(path, handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield
        server.shutdown()


@pytest.fixture
def host(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """A host with an application and a load balancer, in a directory."""
    Docker.containers, Docker.state, Haproxy.stat = [copy.deepcopy(CONTAINER), FOREIGN], copy.deepcopy(STATE), STAT
    sockets = {"DOCKER_SOCKET": Docker, "HAPROXY_SOCKET": Haproxy}
    with contextlib.ExitStack() as stack:
        for name, handler in sockets.items():
            monkeypatch.setattr(_as_left, name, str(tmp_path / name))
            stack.enter_context(serving(str(tmp_path / name), handler))
        monkeypatch.setattr(_as_left, "KEEPALIVED_PID", str(tmp_path / "keepalived.pid"))
        monkeypatch.setattr(_as_left, "KEEPALIVED_APPLIED", str(tmp_path / "applied"))
        (tmp_path / "applied").write_text("digest\n")
        (tmp_path / "daemon.json").write_text("{}")
        directory = tmp_path / "codecov"
        (directory / "config").mkdir(parents=True)
        (directory / "config/codecov.yml").write_text("setup: {}\n")
        (directory / "archive.tar").write_bytes(b"\0" * (_as_left.LARGEST_READ + 1))
        (directory / "link").symlink_to("config")
        yield tmp_path


def question(host: pathlib.Path, **over: Any) -> dict[str, Any]:
    directory = str(host / "codecov")
    usual = {"inputs": "digest", "directory": directory, "trees": [directory], "files": [str(host / "daemon.json"), str(host / "none")]}
    return {**usual, "deployment": "codecov", "balances": True, "redis_python": None, "gives_back": "", **over}


def differs(host: pathlib.Path, **over: Any) -> list[str]:
    looked = _as_left.look(question(host, **over))
    assert looked["as_left"] == (not looked["differs"])
    return list(looked["differs"])


def test_what_was_left_is_known_again(host: pathlib.Path) -> None:
    assert _as_left.remember(question(host), ["web/app1", "web/app2"]) == []
    assert differs(host) == []
    assert stat.S_IMODE((host / "codecov" / _as_left.MARK).stat().st_mode) == 0o600


@pytest.mark.parametrize(("run", "left"), [("one/1/2", False), ("one/3/4", True), ("", True)])
def test_the_lock_is_given_back_by_the_run_that_holds_it(host: pathlib.Path, run: str, left: bool) -> None:
    lock = host / "codecov" / _as_left.LOCK
    lock.write_text(json.dumps({"who": "alice@one", "what": "upgrade", "since": "", "run": "one/1/2"}))
    assert _as_left.remember(question(host, gives_back=run), []) == []
    assert lock.exists() == left
    assert differs(host) == (["lock"] if left else [])


def test_the_lock_is_given_back_where_the_host_cannot_be_seen(host: pathlib.Path) -> None:
    lock = host / "codecov" / _as_left.LOCK
    lock.write_text(json.dumps({"who": "alice@one", "what": "upgrade", "since": "", "run": "one/1/2"}))
    (host / "DOCKER_SOCKET").unlink()
    with pytest.raises(FileNotFoundError):
        _as_left.remember(question(host, gives_back="one/1/2"), [])
    assert not lock.exists()


def forget_health(_host: pathlib.Path) -> None:
    Docker.state["Health"]["Status"] = "unhealthy"


def start_anew(_host: pathlib.Path) -> None:
    Docker.state["StartedAt"] = "2026-11-21T11:00:00Z"


def other_image(_host: pathlib.Path) -> None:
    Docker.containers[0]["Image"] = "sha256:0123"


def one_more(_host: pathlib.Path) -> None:
    Docker.containers.append({**CONTAINER, "Id": "4f2c", "Names": ["/codecov-blue-api-2"]})


def take_out(_host: pathlib.Path) -> None:
    Haproxy.stat = STAT.replace("UP", "DRAIN", 1)


CHANGES: dict[str, tuple[Callable[[pathlib.Path], object], str]] = {
    "content": (lambda host: (host / "codecov/config/codecov.yml").write_text("setup: []\n"), "files"),
    "mode": (lambda host: (host / "codecov/config/codecov.yml").chmod(0o666), "files"),
    "mode of a directory": (lambda host: (host / "codecov/config").chmod(0o777), "files"),
    "a further file": (lambda host: (host / "codecov/draining").touch(), "files"),
    "a file gone": (lambda host: (host / "codecov/config/codecov.yml").unlink(), "files"),
    "another link": (lambda host: [(host / "codecov/link").unlink(), (host / "codecov/link").symlink_to("/etc")], "files"),
    "time of a large file": (lambda host: os.utime(host / "codecov/archive.tar", ns=(1, 1)), "files"),
    "a file elsewhere": (lambda host: (host / "daemon.json").write_text("{ }"), "files"),
    "a file elsewhere that was not there": (lambda host: (host / "none").touch(), "files"),
    "a run that goes on": (lambda host: (host / "codecov" / _as_left.LOCK).touch(), "lock"),
    "no mark": (lambda host: (host / "codecov" / _as_left.MARK).unlink(), "unknown (FileNotFoundError)"),
    "a mark of somebody else": (lambda host: (host / "codecov" / _as_left.MARK).write_text("[]"), "unknown (AttributeError)"),
    "a broken mark": (lambda host: (host / "codecov" / _as_left.MARK).write_text("{"), "unknown (JSONDecodeError)"),
    "health": (forget_health, "containers"),
    "a restart": (start_anew, "containers"),
    "an image of another name": (other_image, "containers"),
    "a container more": (one_more, "containers"),
    "no Docker": (lambda host: (host / "DOCKER_SOCKET").unlink(), "unknown (FileNotFoundError)"),
    "a drained server": (take_out, "balancing"),
    "keepalived with other files": (lambda host: (host / "applied").write_text("another\n"), "balancing"),
    "no HAProxy": (lambda host: (host / "HAPROXY_SOCKET").unlink(), "unknown (FileNotFoundError)"),
}


@pytest.mark.parametrize(("change", "part"), CHANGES.values(), ids=CHANGES)
def test_anything_else_is_not_as_it_was_left(host: pathlib.Path, change: Callable[[pathlib.Path], object], part: str) -> None:
    _as_left.remember(question(host), [])
    change(host)
    assert differs(host) == [part]


def test_other_input_is_another_run(host: pathlib.Path) -> None:
    _as_left.remember(question(host), [])
    assert differs(host, inputs="another digest") == ["inputs"]


def test_the_audit_log_and_containers_of_others_do_not_count(host: pathlib.Path) -> None:
    _as_left.remember(question(host), [])
    (host / "codecov/audit.log").write_text("2026-11-21 somebody did something\n")
    Docker.containers.pop()
    assert differs(host) == []


def test_another_owner_counts(host: pathlib.Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    _as_left.remember(question(host), [])
    os.chown(host / "codecov/config/codecov.yml", 65534, 65534)
    assert differs(host) == ["files"]


def test_what_is_not_well_is_not_remembered_and_what_was_is_forgotten(host: pathlib.Path) -> None:
    assert _as_left.remember(question(host), ["web/app1"]) == []
    Docker.state["Health"]["Status"] = "starting"
    Haproxy.stat = STAT.replace("UP", "DOWN", 1)
    assert _as_left.remember(question(host), ["web/app1"]) == ["codecov-blue-api-1 is not healthy", "web/app1 receives no requests"]
    assert not (host / "codecov" / _as_left.MARK).exists()


@pytest.mark.parametrize(("state", "problems"), [("ok", []), ("skipped", []), ("warning", ["Redis was restarted under the application"])])
def test_a_redis_of_others_is_asked_for_from_inside(host: pathlib.Path, monkeypatch: pytest.MonkeyPatch, state: str, problems: list[str]) -> None:
    Docker.containers[0]["Mounts"] = [{"Destination": _as_left.PROBE}]
    docker = host / "bin" / "docker"
    docker.parent.mkdir()
    answer = json.dumps({"results": [{"state": state}]})
    docker.write_text(f'#!/bin/sh\n[ "$*" = "exec 3e1b python {_as_left.PROBE} check redis_restart --json" ] && echo \'{answer}\'\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
    assert _as_left.remember(question(host, redis_python="python"), []) == problems
    if not problems:
        assert differs(host, redis_python="python") == []
        docker.write_text("#!/bin/sh\necho '" + json.dumps({"results": [{"state": "warning"}]}) + "'\n")
        assert differs(host, redis_python="python") == ["redis"]


def test_a_host_that_balances_nothing_and_runs_nothing_is_told_by_its_files(host: pathlib.Path) -> None:
    only_files = {"deployment": None, "balances": False}
    assert _as_left.remember(question(host, **only_files), []) == []
    assert differs(host, **only_files) == []


def test_the_file_runs_by_itself_as_the_action_sends_it(host: pathlib.Path) -> None:
    script = _on_host.script_of(_as_left.__file__, "look", [question(host, deployment=None, balances=False)])
    done = subprocess.run([sys.executable, "-I", "-"], input=script, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"as_left": False, "differs": ["unknown (FileNotFoundError)"]}


TLS = {"extra_ca_files": [], "certificate": "", "key": ""}
SETTINGS = {"codecov_config_file": "", "codecov_tls": TLS, "codecov_images": {"archives": []}, "codecov_secrets": {"a": "secret"}}
HOSTS = Placement((Host("app1", "10.0.0.21", ("web",)), Host("lb1", "10.0.0.11", ("load_balancers",))))


def inputs(placement: Placement = HOSTS, name: str = "app1", roles: dict[str, Any] | None = None, **over: object) -> str:
    return _inputs.inputs_digest({**SETTINGS, **over}, placement, Host(name), roles or {}, str)


def test_equal_input_has_an_equal_digest() -> None:
    assert inputs() == inputs()


def test_settings_secrets_hosts_roles_and_files_are_input(tmp_path: pathlib.Path) -> None:
    config, archive, key = (tmp_path / name for name in ("codecov.yml", "images.tar", "key.pem"))
    for path in (config, archive, key):
        path.write_text("1")
    with_files: dict[str, object] = {
        "codecov_config_file": str(config), "codecov_images": {"archives": [str(archive)]}, "codecov_tls": {**TLS, "key": str(key)},
    }
    digests = {inputs(), inputs(**with_files), inputs(codecov_secrets={"a": "other"}), inputs(name="lb1"), inputs(Placement(HOSTS.hosts[:1]))}
    digests.add(inputs(roles={"docker_engine_source": "distribution"}))
    for path in (config, archive, key):
        path.write_text("longer")
        digests.add(inputs(**with_files))
    assert len(digests) == 9


def test_the_code_of_the_collection_is_input(tmp_path: pathlib.Path) -> None:
    task = tmp_path / "roles/compose/tasks/main.yml"
    task.parent.mkdir(parents=True)
    task.write_text("---\n")
    before = _inputs.code_digest(str(tmp_path))
    task.write_text("--- # other\n")
    _inputs.code_digest.cache_clear()
    assert _inputs.code_digest(str(tmp_path)) != before


def test_variables_of_roles_are_input_and_what_roles_remember_is_not() -> None:
    given = {"docker_engine_version": "28", "load_balancer_http_port": 81}
    assert _inputs.variables_of_roles({**given, "codecov_url": "", "__docker_engine_options": {}, "load_balancer_plan": {}}) == given


def test_every_kind_of_file_that_does_something_is_code() -> None:
    """Pages, and what Python makes of sources, are none."""
    kinds = {path.suffix for part in _inputs.CODE for path in (pathlib.Path(_inputs.COLLECTION) / part).rglob("*.*") if path.is_file()}
    assert ".yml" in kinds and kinds - {".md", ".pyc"} <= set(_inputs.CODE_KINDS)
