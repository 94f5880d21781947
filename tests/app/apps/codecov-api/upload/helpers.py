"""`dispatch_upload_task`, for scripts for `manage.py shell` that process an upload again."""

from __future__ import annotations

from typing import Any

from standin import uploads


def dispatch_upload_task(redis: Any, repoid: int, task_arguments: dict[str, Any], report_type: str | None = "coverage") -> None:
    assert report_type in (None, "coverage"), "The stand-in only processes coverage"
    uploads.dispatch(repoid, task_arguments)
