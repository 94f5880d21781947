# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probes' HTTP client against real servers."""

from __future__ import annotations

import http.server
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils._http_client import Client, ConnectionProblem, Endpoint, address_of, endpoint_of


class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"{self.command} {self.path} host={self.headers['Host']}".encode()
        self.send_response(302 if self.path == "/elsewhere" else 200)
        if self.path == "/elsewhere":
            self.send_header("Location", "/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(context: ssl.SSLContext | None = None) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key for codecov.example.com, its own CA."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=codecov.example.com",
                    "-addext", "subjectAltName=DNS:codecov.example.com", "-keyout", f"{path}.key", "-out", f"{path}.crt"], check=True, capture_output=True)
    path.write_text(Path(f"{path}.key").read_text() + Path(f"{path}.crt").read_text())
    return path


def test_another_address_keeps_name_and_port() -> None:
    with served() as port:
        client = Client("http://codecov.example.com:8080/", connect_to=f"127.0.0.1:{port}")
        assert client.request("GET", "/a?b=c").text == "GET /a?b=c host=codecov.example.com:8080"
        assert client.request("GET", "http://codecov.example.com:8080/signed").text == "GET /signed host=codecov.example.com:8080"


def test_another_address_is_for_the_deployment_alone() -> None:
    """A URL of another place, such as a presigned one, is reached as a client would."""
    with served() as port:
        client = Client("http://codecov.example.com", connect_to=f"127.0.0.1:{port}")
        with pytest.raises(ConnectionProblem, match="the name storage.invalid does not resolve here"):
            client.request("PUT", "http://storage.invalid:9000/x")


def test_redirects_are_not_followed() -> None:
    with served() as port:
        response = Client(f"http://127.0.0.1:{port}").request("GET", "/elsewhere")
    assert (response.status, response.headers["location"]) == (302, "/")


def test_tls_is_verified_for_the_name_of_the_url(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(certificate))
    with served(context) as port:
        address = f"127.0.0.1:{port}"
        good = Client("https://codecov.example.com", address, f"{certificate}.crt")
        assert good.request("GET", "/x").text == "GET /x host=codecov.example.com"
        with pytest.raises(ConnectionProblem, match="cannot be verified"):
            Client("https://codecov.example.com", address).request("GET", "/")
        with pytest.raises(ConnectionProblem, match="cannot be verified"):
            Client("https://other.example.com", address, f"{certificate}.crt").request("GET", "/")


def test_plain_server_behind_https() -> None:
    with served() as port, pytest.raises(ConnectionProblem, match="no TLS connection"):
        Client(f"https://127.0.0.1:{port}").request("GET", "/")


def test_refused() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionProblem, match="refused the connection") as problem:
            Client(f"http://127.0.0.1:{reserved.getsockname()[1]}").request("GET", "/")
    assert "edge" in problem.value.remedy


def test_silence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ConnectionProblem, match="did not answer in time"):
        Client(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.3).request("GET", "/")


def test_something_that_is_not_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        def answer() -> None:
            connection = server.accept()[0]
            connection.recv(1000)
            connection.sendall(b"220 mail.example.com ESMTP\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(ConnectionProblem, match="not HTTP"):
            Client(f"http://127.0.0.1:{server.getsockname()[1]}").request("GET", "/")


@pytest.mark.parametrize(("url", "endpoint", "name"), [
    ("http://a", Endpoint("http", "a", 80), "a"),
    ("https://a:443/", Endpoint("https", "a", 443), "a"),
    ("https://a:8443", Endpoint("https", "a", 8443), "a:8443"),
    ("http://[::1]:80", Endpoint("http", "::1", 80), "[::1]"),
])
def test_endpoint_of(url: str, endpoint: Endpoint, name: str) -> None:
    assert (endpoint_of(url), endpoint_of(url).name) == (endpoint, name)


@pytest.mark.parametrize("url", ["codecov.example.com", "ftp://a", "http://", "http://a:b", "http://a:99999"])
def test_no_url(url: str) -> None:
    with pytest.raises(ValueError, match="is not a URL"):
        endpoint_of(url)


def test_address_of() -> None:
    assert address_of("127.0.0.1:80") == ("127.0.0.1", 80)
    assert address_of("[::1]:443") == ("::1", 443)
    for wrong in ("127.0.0.1", ":80", "a:b", "a:0", "a:70000"):
        with pytest.raises(ValueError, match="is not an address"):
            address_of(wrong)


def test_ca_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for path in (tmp_path / "ca.pem", tmp_path / "nowhere.pem"):
        with pytest.raises(ValueError, match="cannot be read as a CA bundle"):
            Client("https://a", ca_path=str(path))
