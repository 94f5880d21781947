# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script of the schedule against a server with TLS that keeps autoscalers as the API server does."""

from __future__ import annotations

import http.server
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.tests.unit.chart.chart import CHART

PATH = "/apis/autoscaling/v2/namespaces/ours/horizontalpodautoscalers/"


class ApiServer(http.server.ThreadingHTTPServer):
    """Two verbs of one kind of object, for one token."""

    def __init__(self, certificate: Path, key: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, Any] = {f"{PATH}codecov-worker-blue": {"metadata": {}, "spec": {"minReplicas": 2, "maxReplicas": 8}}}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)


class Handler(http.server.BaseHTTPRequestHandler):
    server: ApiServer

    def do_GET(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        assert self.headers["Content-Type"] == "application/merge-patch+json"
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, patch: dict[str, Any] | None = None) -> None:
        found = self.server.objects.get(self.path)
        status = 401 if self.headers["Authorization"] != "Bearer the-token" else 200 if found else 404
        if status == 200 and patch:
            for part, content in patch.items():
                for key, value in content.items():
                    found[part][key] = {**found[part].get(key, {}), **value} if isinstance(value, dict) else value
        body = json.dumps(found if status == 200 else {"message": "no"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a pod finds of its service account; the certificate is the server's, too."""
    directory = tmp_path_factory.mktemp("account")
    subject = ["-subj", "/CN=kubernetes", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(directory / "key.pem"), "-out", str(directory / "ca.crt")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject, *files], check=True, capture_output=True)
    (directory / "token").write_text("the-token\n")
    return directory


@pytest.fixture
def server(account: Path) -> Iterator[ApiServer]:
    running = ApiServer(account / "ca.crt", account / "key.pem")
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def run(server: ApiServer, account: Path, *wanted: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(server.server_address[1]),
        "COVSTACK_ACCOUNT_DIRECTORY": str(account),
    }
    command = [sys.executable, str(CHART / "files" / "set_minimum.py"), "ours", *wanted]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_it_sets_the_minimum_and_says_whose_it_is(server: ApiServer, account: Path) -> None:
    result = run(server, account, "codecov-worker-blue=6")
    assert (result.returncode, result.stdout) == (0, "codecov-worker-blue: 2 -> 6\n")
    assert server.objects[f"{PATH}codecov-worker-blue"] == {
        "metadata": {"annotations": {"covstack.selfhosted/scheduled-minimum": "6"}},
        "spec": {"minReplicas": 6, "maxReplicas": 8},
    }


def test_it_stays_below_the_maximum(server: ApiServer, account: Path) -> None:
    assert run(server, account, "codecov-worker-blue=12").stdout == "codecov-worker-blue: 2 -> 8\n"


def test_what_it_may_not_change_fails_with_the_reason(server: ApiServer, account: Path) -> None:
    result = run(server, account, "codecov-other-blue=2")
    assert result.returncode == 1
    assert result.stderr == f"GET {PATH}codecov-other-blue: 404 no\n"


def test_it_does_not_talk_to_a_server_that_it_cannot_verify(server: ApiServer, account: Path, tmp_path: Path) -> None:
    other = tmp_path / "ca.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", "/dev/null", "-out", str(other)],
        check=True,
        capture_output=True,
    )
    (tmp_path / "token").write_text("the-token")
    assert "CERTIFICATE_VERIFY_FAILED" in run(server, tmp_path, "codecov-worker-blue=6").stderr
