"""The gateway: real HAProxy, its start script and its routes, before the real api and a frontend that answers 200 to anything."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
import yaml
from servers import APP, Deployment, Process, free_port, port_answers, program, running, wait_for

GATEWAY = APP.parent / "images/gateway"
# As it is deployed: the image's start script, and what passes the signal on.
ENTRYPOINT = yaml.safe_load((APP.parents[1] / "catalogue/codecov.yml").read_text())["services"]["gateway"]["entrypoint"]


class Frontend(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"spa")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def frontend() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Frontend)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


class Gateway:
    def __init__(self, deployment: Deployment, frontend: int, **extra: str) -> None:
        for name in ("haproxy", "nc", "envsubst"):
            program(name)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        api, target = str(deployment.port), deployment.directory / f"haproxy-{self.port}"
        target.mkdir()
        environment = {
            "PATH": f"{GATEWAY}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "BUILD_VERSION": "25.11.4", "BUILD_ID": "stand-in",
            "GATEWAY_TEMPLATES": str(GATEWAY / "templates"), "GATEWAY_CONFIG_DIRECTORY": str(target),
            "GATEWAY_PIDFILE": str(target / "haproxy.pid"),
            "CODECOV_GATEWAY_HTTP_PORT": str(self.port), "CODECOV_API_ADMIN_ENABLED": "false", "CODECOV_API_ADMIN_PATH": "admin",
            "CODECOV_GATEWAY_CHROOT_DISABLED": "yes",
        }  # fmt: skip
        for name, port in {"API": api, "IA": api, "DEFAULT": str(frontend), "MINIO": str(deployment.storage.port)}.items():
            environment |= {f"CODECOV_{name}_HOST": "127.0.0.1", f"CODECOV_{name}_PORT": port, f"CODECOV_{name}_SCHEME": "http"}
            environment[f"CODECOV_{name}_HOST_HEADER"] = "%[req.hdr(Host)]"
        self.process = Process(ENTRYPOINT, deployment.directory / f"gateway-{self.port}.log", env={**environment, **extra})

    def get(self, path: str, **options) -> requests.Response:
        return requests.get(self.url + path, allow_redirects=False, timeout=20, **options)


@pytest.fixture(scope="module")
def gateway(deployment: Deployment, api: Process, frontend: int) -> Iterator[Gateway]:
    result = Gateway(deployment, frontend)
    with running(result.process):
        result.process.once(lambda: port_answers(result.port), "gateway")
        assert result.process.child.poll() is None, result.process.output()
        yield result


def routed_to(answer: requests.Response) -> str | None:
    names = [name for name in ("X-API", "X-DEFAULT", "X-IA", "X-MINIO") if answer.headers.get(name) == "true"]
    return names[0] if names else None


@pytest.mark.parametrize(
    ("path", "status", "backend"),
    [
        ("/gateway_health", 200, None),
        ("/api_health/", 200, "X-API"),
        ("/api_health", 301, "X-API"),
        ("/validate", 200, "X-API"),
        ("/internal/", 200, "X-API"),
        ("/login/gh", 302, "X-API"),
        ("/api/v2/github/nobody/", 404, "X-API"),
        ("/gh/nobody/x/graph/badge.svg", 200, "X-API"),
        ("/gh/nobody/x/branch/a/b/graphs/badge.svg", 200, "X-API"),
        ("/upload/v4", 405, "X-API"),
        ("/upload/gh/a::::b/commits", 401, "X-API"),
        ("/__debug__/", 404, "X-API"),
        ("/profiling", 404, "X-IA"),
        ("/frontend_health", 200, "X-DEFAULT"),
        # False green: these never reach the api.
        ("/", 200, "X-DEFAULT"),
        ("/health/", 200, "X-DEFAULT"),
        ("/monitoring/metrics", 200, "X-DEFAULT"),
        ("/admin/", 200, "X-DEFAULT"),
        ("/validate/v1", 200, "X-DEFAULT"),
        ("/archive/x", 200, "X-DEFAULT"),
    ],
)
def test_routes(gateway, path, status, backend):
    answer = gateway.get(path)
    assert (answer.status_code, routed_to(answer)) == (status, backend)


def test_health_of_the_gateway_itself_names_its_version(gateway):
    assert gateway.get("/gateway_health").text == "25.11.4 stand-in"


def test_storage_only_when_it_is_switched_on(gateway, deployment, frontend):
    gateway.process.stop()
    # One at a time: the statistics and the administration listen on fixed ports.
    switched_on = Gateway(deployment, frontend, CODECOV_GATEWAY_MINIO_ENABLED="false")
    with running(switched_on.process):
        switched_on.process.once(lambda: port_answers(switched_on.port), "gateway")
        assert routed_to(switched_on.get("/archive/x")) == "X-MINIO"


def test_sigusr1_finishes_what_is_in_flight(deployment, frontend, api):
    api.stop()
    with running(deployment.start_api(STANDIN_RESPONSE_SECONDS="1")):
        gateway = Gateway(deployment, frontend)
        with running(gateway.process), ThreadPoolExecutor() as pool:
            gateway.process.once(lambda: port_answers(gateway.port), "gateway")
            answer = pool.submit(gateway.get, "/api_health/")
            time.sleep(0.3)
            gateway.process.child.send_signal(signal.SIGUSR1)
            wait_for(lambda: not port_answers(gateway.port), "closed port")
            assert answer.result().text == "26.7.6 is live!"
            assert gateway.process.child.wait(10) == 0


def test_gateway_does_not_start_without_its_frontend(deployment):
    gateway = Gateway(deployment, free_port())
    with running(gateway.process):
        wait_for(lambda: "Waiting for Codecov Default" in gateway.process.output(), "preflight")
        assert not port_answers(gateway.port)
