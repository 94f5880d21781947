"""The module that api.sh gives to gunicorn."""

from __future__ import annotations

from standin.web.app import application

__all__ = ["application"]
