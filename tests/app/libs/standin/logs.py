"""Log lines as JSON, as the application writes them."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone

FIELDS = {"message", "asctime", "name", "levelname", "lineno", "pathname", "funcName", "threadName"}
STANDARD = set(vars(logging.makeLogRecord({}))) | FIELDS


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        record.message = record.getMessage()
        record.asctime = self.formatTime(record)
        line = {name: getattr(record, name, None) for name in sorted(FIELDS)}
        line.update({name: value for name, value in vars(record).items() if name not in STANDARD})
        line["utctime"] = datetime.now(timezone.utc).isoformat()
        line["level"] = record.levelname
        if record.exc_info:
            line["exc_info"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: int = logging.INFO) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
