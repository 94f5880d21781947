"""Requests, responses and routes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from standin.database import Database

STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}

COMMON_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Vary", "Cookie, origin"),
]
VIEW_HEADERS = [("Content-Security-Policy", "default-src 'self'"), ("X-Frame-Options", "DENY")]

database = Database()


class Request:
    def __init__(self, environ: dict[str, Any]) -> None:
        self._environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.path: str = environ.get("PATH_INFO") or "/"

    def header(self, name: str) -> str | None:
        return self._environ.get("HTTP_" + name.upper().replace("-", "_"))

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self._environ.get("QUERY_STRING", ""), keep_blank_values=True))

    @cached_property
    def body(self) -> bytes:
        return self._environ["wsgi.input"].read()

    @cached_property
    def json(self) -> dict[str, Any]:
        try:
            parsed = json.loads(self.body or b"{}")
        except ValueError as error:
            raise HttpError(400, {"detail": f"JSON parse error - {error}"}) from error
        return parsed if isinstance(parsed, dict) else {}

    @property
    def token(self) -> str | None:
        """The last word of the Authorization header ("token <upload token>")."""
        words = (self.header("Authorization") or "").split()
        return words[-1] if words else None


@dataclass
class Response:
    body: bytes = b""
    status: int = 200
    content_type: str | None = "text/html; charset=utf-8"
    headers: list[tuple[str, str]] = field(default_factory=list)

    def start(self, start_response: Callable[..., Any], method: str) -> Iterable[bytes]:
        headers = [*COMMON_HEADERS, *self.headers, ("Content-Length", str(len(self.body)))]
        if self.content_type:
            headers.append(("Content-Type", self.content_type))
        start_response(STATUS_LINES[self.status], headers)
        return [] if method == "HEAD" else [self.body]


def text(body: str, status: int = 200, content_type: str = "text/html; charset=utf-8") -> Response:
    return Response(body.encode(), status, content_type, list(VIEW_HEADERS))


def as_json(payload: Any, status: int = 200, headers: list[tuple[str, str]] | None = None) -> Response:
    body = json.dumps(payload, default=_plain, separators=(",", ":"))
    return Response(body.encode(), status, "application/json", [*VIEW_HEADERS, *(headers or [])])


def _plain(value: Any) -> str:
    return value.isoformat() + ("" if value.tzinfo else "Z") if hasattr(value, "isoformat") else str(value)


class HttpError(Exception):
    def __init__(self, status: int, payload: Any) -> None:
        super().__init__(f"{status}: {payload}")
        self.response = as_json(payload, status)


Handler = Callable[..., Response]


class Router:
    def __init__(self) -> None:
        self._routes: list[tuple[re.Pattern[str], dict[str, Handler]]] = []

    def route(self, pattern: str, *methods: str) -> Callable[[Handler], Handler]:
        """`{name}` stands for one segment of the path."""
        compiled = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern))

        def register(handler: Handler) -> Handler:
            for known, handlers in self._routes:
                if known.pattern == compiled.pattern:
                    handlers.update(dict.fromkeys(methods, handler))
                    return handler
            self._routes.append((compiled, dict.fromkeys(methods, handler)))
            return handler

        return register

    def dispatch(self, request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        for pattern, handlers in self._routes:
            if match := pattern.fullmatch(request.path):
                if method not in handlers:
                    raise HttpError(405, {"detail": f'Method "{request.method}" not allowed.'})
                return handlers[method](request, **match.groupdict())
        raise HttpError(404, {"error": "Page Not Found (404)"})


router = Router()
