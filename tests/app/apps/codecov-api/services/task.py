"""TaskService as far as scripts for `manage.py shell` use it: queue a commit's pending uploads (again)."""

from __future__ import annotations

from typing import Any

from standin import broker


class TaskService:
    def upload(
        self,
        repoid: int,
        commitid: str,
        report_type: str | None = None,
        arguments: dict[str, Any] | None = None,
        countdown: int = 0,
        debug: bool = False,
        rebuild: bool = False,
    ) -> None:
        broker.send(
            broker.UPLOAD,
            countdown=countdown,
            repoid=repoid,
            commitid=commitid,
            report_type=report_type or "coverage",
            arguments=arguments,
            debug=debug,
            rebuild=rebuild,
        )
