"""Read by gunicorn from its working directory."""

from __future__ import annotations

import os
from typing import Any

from prometheus_client import multiprocess

# The query string is part of it, upload tokens included, as in the application.
access_log_format = '{"h": "%(h)s", "t": "%(t)s", "r": "%(r)s", "s": "%(s)s", "b": "%(b)s", "f": "%(f)s", "a": "%(a)s"}'


def child_exit(_: Any, worker: Any) -> None:
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.mark_process_dead(worker.pid)
