# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""A small HTTP client for probes: no redirects, no retries, no proxy, and an address to connect to that differs from the URL's.

Why not ansible.module_utils.urls: it follows redirects, cannot connect to another address, and hides which part of a connection failed.

Private to this collection.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

USER_AGENT = "covstack"
MAXIMUM_BODY = 1 << 20


class ConnectionProblem(Exception):
    """No answer. Names the likely cause and what to do."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.cause, self.remedy = cause, remedy


@dataclass(frozen=True)
class Response:
    status: int
    headers: Any
    body: bytes
    seconds: float

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON; None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True)
class Endpoint:
    scheme: str
    host: str
    port: int

    @property
    def name(self) -> str:
        usual = {"http": 80, "https": 443}[self.scheme]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == usual else f"{host}:{self.port}"


def endpoint_of(url: str) -> Endpoint:
    """Raises ValueError with a message for the user."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not a URL. Allowed: http://host[:port] or https://host[:port].")
    return Endpoint(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80))


def address_of(connect_to: str) -> tuple[str, int]:
    """host:port or [address]:port. Raises ValueError with a message for the user."""
    host, separator, port = connect_to.rpartition(":")
    if not separator or not host.strip("[]") or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{connect_to!r} is not an address. Allowed: host:port, or [address]:port for IPv6.")
    return host.strip("[]"), int(port)


class _Connection(http.client.HTTPConnection):
    """HTTPConnection that connects elsewhere, while Host and the certificate's name stay those of the URL."""

    def __init__(self, endpoint: Endpoint, address: tuple[str, int] | None, context: ssl.SSLContext | None, timeout: float) -> None:
        super().__init__(endpoint.host, endpoint.port, timeout=timeout)
        self._endpoint, self._address, self._context = endpoint, address, context
        if context:
            self.default_port = 443

    def connect(self) -> None:
        self.sock = socket.create_connection(self._address or (self._endpoint.host, self._endpoint.port), self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self._endpoint.host)


class Client:
    """Requests to one deployment, and to what it points at."""

    def __init__(self, url: str, connect_to: str | None = None, ca_path: str | None = None, timeout: float = 10.0) -> None:
        self.url = url.rstrip("/")
        self.endpoint = endpoint_of(url)
        self.timeout = timeout
        self._address = address_of(connect_to) if connect_to else None
        try:
            self._context = ssl.create_default_context(cafile=ca_path)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"{ca_path!r} cannot be read as a CA bundle (PEM): {error}") from None

    def request(self, method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None, timeout: float | None = None) -> Response:
        """One request to a path below the deployment's URL, or to a whole URL."""
        full = self.url + url if url.startswith("/") else url
        endpoint, parts = endpoint_of(full), urlsplit(full)
        context = self._context if endpoint.scheme == "https" else None
        address = self._address if endpoint == self.endpoint else None
        connection = _Connection(endpoint, address, context, timeout or self.timeout)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        start = time.monotonic()
        try:
            connection.request(method, target, body=body, headers={"User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close", **(headers or {})})
            response = connection.getresponse()
            content = response.read(MAXIMUM_BODY)
        except (OSError, http.client.HTTPException) as error:
            raise problem_of(error, endpoint, address) from None
        finally:
            connection.close()
        return Response(response.status, response.headers, content, time.monotonic() - start)


def problem_of(error: Exception, endpoint: Endpoint, address: tuple[str, int] | None = None) -> ConnectionProblem:
    """The likely cause of a request without an answer."""
    place = f"{address[0]}:{address[1]} (for {endpoint.name})" if address else endpoint.name
    if isinstance(error, socket.gaierror):
        name = address[0] if address else endpoint.host
        return ConnectionProblem(f"the name {name} does not resolve here", "create the DNS record, or use connect_to")
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectionProblem(f"the certificate of {place} cannot be verified: {error.verify_message}",
                                 "use a certificate for this name that is valid, or pass the CA that signed it as ca_path")
    if isinstance(error, ssl.SSLError):
        return ConnectionProblem(f"no TLS connection to {place}: {error.reason or error}", "check whether this port speaks TLS (https or http?)")
    if isinstance(error, (socket.timeout, TimeoutError)):
        return ConnectionProblem(f"{place} did not answer in time", "look for a firewall that drops packets, or an overloaded server")
    if isinstance(error, ConnectionRefusedError):
        return ConnectionProblem(f"{place} refused the connection", "check that the edge runs and publishes this port")
    if isinstance(error, http.client.HTTPException):
        return ConnectionProblem(f"{place} gave an answer that is not HTTP ({type(error).__name__})", "check the scheme and the port of the URL")
    return ConnectionProblem(f"no connection to {place}: {error}", "check the address and the network")
