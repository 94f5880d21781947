# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""codecov_external_check on real sockets, with a program in place of the Docker client. That program runs what a container would run."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible_collections.covstack.selfhosted.plugins.module_utils import _external
from ansible_collections.covstack.selfhosted.plugins.module_utils._plan import config_layers, plan_of
from ansible_collections.covstack.selfhosted.plugins.modules import codecov_external_check
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.settings_examples import EXTERNAL, deployment

PASSWORD = "Planted-Zq8vJ3mLx0"
SECRETS = {"postgres_password": PASSWORD, "storage_access_key": "PLANTEDKEY0PLANTEDKEY", "storage_secret_key": "Planted/secret+key=="}
Run = Callable[..., "dict[str, Any]"]


class Docker:
    """What the program in place of the client was asked for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "docker"
        self.has_image = True
        self.path.write_text(f"""#!{sys.executable}
import json, os, subprocess, sys
with open({str(directory / 'calls')!r}, "a") as calls:
    calls.write(json.dumps([sys.argv[1:], dict(os.environ)]) + "\\n")
if sys.argv[1:3] == ["image", "inspect"]:
    sys.exit(not os.path.exists({str(directory / 'image')!r}))
if sys.argv[1] == "run":
    arguments = sys.argv[sys.argv.index("-c"):]
    os.execv(sys.executable, [sys.executable, *arguments])
""")
        self.path.chmod(0o755)

    def calls(self) -> list[tuple[list[str], dict[str, str]]]:
        return [tuple(json.loads(line)) for line in (self.directory / "calls").read_text().splitlines()]


@pytest.fixture()
def docker(tmp_path: Path) -> Docker:
    (tmp_path / "image").touch()
    return Docker(tmp_path)


@pytest.fixture()
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, docker: Docker) -> Run:
    """The module with what a plan of external services gives it; no secret may leave it."""

    def run_module(endpoints: list[dict[str, Any]], secrets: dict[str, str] | None = None, **options: Any) -> dict[str, Any]:
        elsewhere = {"codecov_postgres": {"host": "database.invalid"}, "codecov_redis": {"host": "redis.invalid"},
                     "codecov_storage": {"provider": "other", "host": "storage.invalid"}}
        wanted = deployment(elsewhere, EXTERNAL)
        check = plan_of(wanted)["external_check"]
        arguments = {
            "endpoints": endpoints, "image": check["image"], "arguments": check["arguments"], "environment": check["environment"],
            "layers": config_layers(wanted)[0], "secrets": SECRETS if secrets is None else secrets, "config_path": str(tmp_path / "in" / "codecov.yml"),
            "docker_cli": str(docker.path), "timeout": 0.5, **options, "_ansible_remote_tmp": str(tmp_path), "_ansible_keep_remote_files": False,
        }
        (tmp_path / "in").mkdir(exist_ok=True)
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        with pytest.raises(SystemExit):
            codecov_external_check.main()
        output = capsys.readouterr().out
        assert not [value for value in SECRETS.values() if value in output], "a secret left the module"
        result: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        assert not result.get("changed")
        return result

    return run_module


@contextlib.contextmanager
def listening(answer: bytes | None = b"", context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that reads once and gives this answer; None keeps silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _address = server.accept()
                    with connection, contextlib.suppress(OSError):
                        if context:
                            context.wrap_socket(connection, server_side=True).close()
                        elif answer is None:
                            over.wait(10)
                        else:
                            connection.recv(100)
                            connection.sendall(answer)

        over = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            # It ends before the socket is closed: its number goes to the next one that is opened, whose connections it would accept.
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture(scope="module")
def speaks_tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    path = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=x", "-keyout", "key.pem", "-out", "crt.pem"],
                   cwd=path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path / "crt.pem", path / "key.pem")
    return context


def at(name: str, port: int, tls: str = "none", host: str = "127.0.0.1") -> dict[str, Any]:
    return {"name": name, "host": host, "port": port, "tls": tls}


def test_services_are_used_from_a_container_with_what_comes_by_its_standard_input(run: Run, docker: Docker, tmp_path: Path) -> None:
    """There are no such services, as the probe then says: it ran, with its configuration."""
    with listening() as port:
        result = run([at("postgres", port)])
    assert result["credentials_tried"] is True
    assert result["services"]["postgres"]["state"] == "failed"
    assert result["errors"][0].startswith("codecov_postgres: ") and "database.invalid" in result["errors"][0], result["errors"]
    config = json.loads((tmp_path / "in" / "codecov.yml").read_text())
    assert f":{PASSWORD}@database.invalid" in config["services"]["database_url"]
    assert config["services"]["minio"]["secret_access_key"] == SECRETS["storage_secret_key"]
    assert set(config) == {"services", "setup"} and set(config["setup"]) == {"timeseries"}
    arguments, _environment = docker.calls()[-1]
    assert arguments[0] == "run" and {"--rm", "never", "none", "--read-only", "ALL"} <= set(arguments)
    assert "--volume" not in arguments and "--mount" not in arguments and "--env" not in arguments


def test_no_secret_is_in_arguments_or_environment(run: Run, docker: Docker) -> None:
    with listening() as port:
        run([at("postgres", port)])
    assert len(docker.calls()) == 3
    assert not [value for value in SECRETS.values() if value in json.dumps(docker.calls())]


def test_secrets_of_the_host_stand_in_for_those_that_are_not_given(run: Run, tmp_path: Path) -> None:
    (tmp_path / "secrets.yml").write_text(f"postgres_password: {PASSWORD}\nstorage_access_key: old-old-old\n")
    with listening() as port:
        run([at("postgres", port)], {"storage_access_key": SECRETS["storage_access_key"]}, secrets_path=str(tmp_path / "secrets.yml"))
    services = json.loads((tmp_path / "in" / "codecov.yml").read_text())["services"]
    assert f":{PASSWORD}@" in services["database_url"]
    assert services["minio"]["access_key_id"] == SECRETS["storage_access_key"]


def test_authorities_of_ones_own_come_with_the_hosts(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "in" / "ca.pem"
    with listening() as port:
        run([at("redis", port)], ca_path=str(path), extra_ca={"rds.pem": "OWN AUTHORITY"})
    assert path.read_text().endswith("OWN AUTHORITY\n")


@pytest.mark.parametrize(("options", "image", "reason"), [
    ({"docker_cli": "/nowhere/docker"}, True, "/nowhere/docker cannot be run"),
    ({}, False, "is not on the host yet"),
], ids=["no engine", "no image"])
def test_without_an_engine_or_image_it_says_that_deploy_tries_the_credentials(run: Run, docker: Docker, tmp_path: Path, options: dict[str, Any], image: bool,
                                                                              reason: str) -> None:
    if not image:
        (tmp_path / "image").unlink()
    with listening() as port:
        result = run([at("postgres", port)], **options)
    assert (result["credentials_tried"], result["errors"], result["services"]["postgres"]["state"]) == (False, [], "reached")
    assert reason in result["summary"][-1] and "deploy tries them before it touches anything that runs" in result["summary"][-1]


def refusal_of(run: Run, docker: Docker, endpoint: dict[str, Any]) -> str:
    result = run([endpoint])
    (line,) = result["errors"]
    assert result["failed"] and result["credentials_tried"] is False and line in result["msg"]
    assert not (docker.directory / "calls").exists(), "a container was run although the service cannot be reached"
    return str(line)


def test_what_cannot_be_reached_is_refused(run: Run, docker: Docker) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        closed = reserved.getsockname()[1]
        line = refusal_of(run, docker, at("redis", closed))
    assert line.startswith(f"codecov_redis.host: 127.0.0.1:{closed} cannot be reached from the host (Connection refused)")
    line = refusal_of(run, docker, at("postgres", 5432, host="database.invalid"))
    assert line.startswith("codecov_postgres.host: database.invalid:5432 cannot be reached") and " -> correct host and port" in line


@pytest.mark.parametrize(("answer", "says"), [(b"-ERR no\r\n", "does not speak it"), (None, "does not speak it (")], ids=["plain", "silent"])
def test_a_port_that_speaks_no_tls_is_refused(run: Run, docker: Docker, answer: bytes | None, says: str) -> None:
    with listening(answer) as port:
        line = refusal_of(run, docker, at("redis", port, "direct"))
    assert line.startswith(f"codecov_redis.tls: is on, but 127.0.0.1:{port} {says}") and "switch codecov_redis.tls off" in line


def test_a_database_that_offers_no_tls_is_refused(run: Run, docker: Docker) -> None:
    with listening(b"N") as port:
        assert "codecov_postgres.sslmode: asks for TLS, but" in refusal_of(run, docker, at("postgres", port, "postgres"))


def test_services_that_speak_tls_are_reached(run: Run, docker: Docker, tmp_path: Path, speaks_tls: ssl.SSLContext) -> None:
    (tmp_path / "image").unlink()
    with listening(b"S") as database, listening(context=speaks_tls) as storage:
        result = run([at("postgres", database, "postgres"), at("storage", storage, "direct")])
    assert result["errors"] == []
    assert {name: service["state"] for name, service in result["services"].items()} == {"postgres": "reached", "storage": "reached"}


def test_they_are_tried_side_by_side(run: Run, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        ports = [stack.enter_context(listening(None)) for _service in range(3)]
        result = run([at(name, port, "direct") for name, port in zip(("redis", "storage", "timescale"), ports)])
    latencies = [service["latency_ms"] for service in result["services"].values()]
    assert len(result["errors"]) == 3 and max(latencies) < 2 * min(latencies)


@pytest.mark.parametrize(("state", "level"), [("failed", "error"), ("warning", "warning"), ("ok", None), ("skipped", None)])
def test_what_the_probe_found_is_a_line_about_a_setting(state: str, level: str | None) -> None:
    found = {"name": "redis", "state": state, "cause": "nothing is kept on disk", "detail": "Redis 8.0.2", "remedy": "switch AOF on"}
    problem = _external.problem_of(found)
    assert (problem and problem.level) == level
    assert problem is None or str(problem) == "codecov_redis: nothing is kept on disk (Redis 8.0.2) -> switch AOF on"


def test_the_plan_says_how_tls_begins() -> None:
    ends = plan_of(deployment(base=EXTERNAL))["external_check"]["endpoints"]
    assert ends == [
        {"name": "postgres", "host": "db.example.com", "port": 5432, "tls": "postgres"},
        {"name": "redis", "host": "redis.example.com", "port": 6379, "tls": "none"},
        {"name": "storage", "host": "s3.eu-central-1.amazonaws.com", "port": 443, "tls": "direct"},
    ]
    assert plan_of(deployment())["external_check"] is None
