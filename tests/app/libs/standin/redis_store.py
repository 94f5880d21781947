"""What the application keeps in Redis besides its task queues."""

from __future__ import annotations

import json
from typing import Any

import redis

from standin.config import get_config

DAY = 86400


def connect() -> Any:
    return redis.Redis.from_url(get_config("services", "redis_url", default="redis://redis:6379"))


class PendingUploads:
    """The uploads of a commit that no task has taken yet. It survives a task that failed: the next upload takes it along."""

    def __init__(self, client: Any, repoid: int, commitid: str) -> None:
        self._client = client
        self.key = f"uploads/{repoid}/{commitid}"
        self._latest_key = f"latest_upload/{repoid}/{commitid}"

    def add(self, arguments: dict[str, Any], now: float) -> None:
        with self._client.pipeline() as pipeline:
            pipeline.rpush(self.key, json.dumps(arguments))
            pipeline.expire(self.key, DAY)
            pipeline.setex(self._latest_key, 3600, now)
            pipeline.execute()

    def exist(self) -> bool:
        return bool(self._client.exists(self.key))

    def take(self) -> list[dict[str, Any]]:
        taken: list[dict[str, Any]] = []
        # LPOP with a count: the reason why Redis must be at least 6.2.
        while batch := self._client.lpop(self.key, 50):
            taken.extend(json.loads(item) for item in batch)
        return taken


class ProcessingState:
    """Which uploads of a commit are being read ("processing") and which wait to be merged ("processed")."""

    def __init__(self, client: Any, repoid: int, commitid: str) -> None:
        self._client = client
        self._prefix = f"upload-processing-state/{repoid}/{commitid}"

    @property
    def processing_key(self) -> str:
        return f"{self._prefix}/processing"

    @property
    def processed_key(self) -> str:
        return f"{self._prefix}/processed"

    def mark_processing(self, upload_ids: list[int]) -> None:
        if upload_ids:
            self._client.sadd(self.processing_key, *upload_ids)
            self._client.expire(self.processing_key, DAY)

    def mark_processed(self, upload_id: int) -> None:
        self._client.srem(self.processing_key, upload_id)
        self._client.sadd(self.processed_key, upload_id)
        self._client.expire(self.processed_key, DAY)

    def clear_processing(self, upload_id: int) -> None:
        self._client.srem(self.processing_key, upload_id)

    def mark_merged(self, upload_ids: list[int]) -> None:
        if upload_ids:
            self._client.srem(self.processed_key, *upload_ids)

    def processed(self) -> set[int]:
        return {int(member) for member in self._client.smembers(self.processed_key)}


def intermediate_report_key(upload_id: int) -> str:
    return f"intermediate-report/{upload_id}"
