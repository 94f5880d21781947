"""The WSGI application."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from standin import licence, logs
from standin.config import codecov_url, get_config, test_switch
from standin.web import cli_uploads, legacy_uploads, metrics, pages, read_api  # noqa: F401 (each registers its routes)
from standin.web.http import HttpError, Request, Response, as_json, router, text

log = logging.getLogger("django.request")


def allowed_hosts() -> list[str]:
    """`setup.api_allowed_hosts` and the host of codecov_url, with its port as in the application, where it then never matches."""
    hosts = get_config("setup", "api_allowed_hosts", default=["*"])
    url = codecov_url()
    hosts.append(urlsplit(url).netloc if url.startswith("http") else url)
    if pod_ip := os.environ.get("THIS_POD_IP"):
        hosts.append(pod_ip)
    return hosts


def host_is_allowed(host: str, allowed: list[str]) -> bool:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    name = name.lower().rstrip(".")
    return any(pattern in ("*", name) or (pattern.startswith(".") and (name == pattern[1:] or name.endswith(pattern))) for pattern in allowed)


logs.configure()
ALLOWED_HOSTS = allowed_hosts()
ANY_HOST = "*" in ALLOWED_HOSTS
RESPONSE_SECONDS = test_switch("response_seconds", 0.0)

if banner := licence.banner():
    print(banner, flush=True)


def respond(request: Request) -> Response:
    host = request.header("Host") or ""
    if not ANY_HOST and not host_is_allowed(host, ALLOWED_HOSTS):
        log.error("Invalid HTTP_HOST header: %r. You may need to add %r to ALLOWED_HOSTS.", host, host)
        return text("<!doctype html><html><head><title>Bad Request (400)</title></head><body><h1>Bad Request (400)</h1></body></html>", 400)
    try:
        return router.dispatch(request)
    except HttpError as error:
        return error.response
    except Exception:
        log.exception("Internal Server Error: %s", request.path)
        return as_json({"error": "Server Error (500)"}, 500)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    request = Request(environ)
    if RESPONSE_SECONDS:
        time.sleep(RESPONSE_SECONDS)
    response = respond(request)
    metrics.REQUESTS.labels(request.method, str(response.status)).inc()
    return response.start(start_response, request.method)
