from __future__ import annotations

from standin.redis_store import connect as get_redis_connection

__all__ = ["get_redis_connection"]
