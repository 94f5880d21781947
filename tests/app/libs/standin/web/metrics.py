"""Prometheus metrics of the web service."""

from __future__ import annotations

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, generate_latest, multiprocess

from standin.web.http import Request, Response, router

REQUESTS = Counter("django_http_responses_total_by_status_method", "Responses by method and status.", ["method", "status"])


@router.route("/monitoring/metrics", "GET")
def show(_: Request) -> Response:
    registry: CollectorRegistry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
    return Response(generate_latest(registry), 200, "text/plain; version=0.0.4; charset=utf-8")
