"""The worker's metrics: Prometheus on port 9996, statsd where a host for it is given."""

from __future__ import annotations

import os
import socket
from typing import Any

from celery import signals
from prometheus_client import CollectorRegistry, Counter, Histogram, multiprocess, start_http_server

from standin.config import test_switch

PORT = test_switch("metrics_port", 9996)

RUNS = Counter("worker_task_counts_runs", "Number of times this task was run.", ["task"])
RETRIES = Counter("worker_task_counts_retries", "Number of times this task was retried.", ["task"])
SUCCESSES = Counter("worker_task_counts_successes", "Number of times this task completed without an exception.", ["task"])
FAILURES = Counter("worker_task_counts_failures", "Number of times this task failed with an exception.", ["task"])
SECONDS = Histogram("worker_task_timers_full_runtime_seconds", "Total runtime of this task.", ["task"])


def serve() -> None:
    """Starts before Celery is ready, and says nothing about Celery: it must not be used as a probe."""
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    start_http_server(PORT, registry=registry)


def _send(text: str) -> None:
    host = os.environ.get("STATSD_HOST")
    if not host:
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        try:
            connection.sendto(text.encode(), (host, int(os.environ.get("STATSD_PORT", "8125"))))
        except socket.gaierror:
            # A statsd host that does not exist (yet) must not fail the task.
            return


def count(name: str) -> None:
    _send(f"{name}:1|c")


def gauge(name: str, value: int) -> None:
    _send(f"{name}:{value}|g")


@signals.task_prerun.connect
def _started(task: Any, **_: Any) -> None:
    RUNS.labels(task.name).inc()
    count(f"worker.task.{task.name}.run")


@signals.task_success.connect
def _succeeded(sender: Any, **_: Any) -> None:
    SUCCESSES.labels(sender.name).inc()
    count(f"worker.task.{sender.name}.success")


@signals.task_failure.connect
def _failed(sender: Any, **_: Any) -> None:
    FAILURES.labels(sender.name).inc()
    count(f"worker.task.{sender.name}.failure")


@signals.task_retry.connect
def _retried(sender: Any, **_: Any) -> None:
    RETRIES.labels(sender.name).inc()
    count(f"worker.task.{sender.name}.retry")


@signals.worker_process_shutdown.connect
def _child_ended(pid: int, **_: Any) -> None:
    multiprocess.mark_process_dead(pid)
