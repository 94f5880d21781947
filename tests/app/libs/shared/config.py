from __future__ import annotations

from standin.config import get_config

__all__ = ["get_config"]
