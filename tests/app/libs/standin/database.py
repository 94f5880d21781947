"""PostgreSQL: one connection for each request or task, none kept, as the application is configured (conn_max_age 0)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg2
import psycopg2.extras

from standin.config import get_config

psycopg2.extras.register_uuid()

Row = dict[str, Any]


def connection_parameters(url: str, *, like_worker: bool) -> dict[str, Any]:
    """What a client makes of `services.database_url`.

    The API neither decodes %xx in the password nor reads the query string; the worker does both. A password with
    characters that need encoding therefore fails in one of the two, which is the point of keeping the difference.
    """
    parts = urlsplit(url)
    decode = unquote if like_worker else str
    parameters: dict[str, Any] = {
        "user": decode(parts.username or ""),
        "password": decode(parts.password or ""),
        "host": parts.hostname,
        "port": parts.port or 5432,
        "dbname": parts.path.lstrip("/"),
    }
    if like_worker:
        parameters.update(parse_qsl(parts.query))
    return parameters


class Database:
    def __init__(self, *, like_worker: bool = False, url_key: str = "database_url") -> None:
        self._parameters = connection_parameters(get_config("services", url_key), like_worker=like_worker)

    def connect(self) -> Any:
        return psycopg2.connect(**self._parameters, cursor_factory=psycopg2.extras.RealDictCursor)

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A cursor in a connection of its own; committed at the end, rolled back on an error."""
        connection = self.connect()
        try:
            with connection, connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()


class VersionProbe:
    """Answers /health/: the schema's version (read once) and, with each request, that PostgreSQL answers.

    It keeps a connection for each thread, unlike the application: a new connection with SCRAM for each probe would
    make the probe the most expensive request of a load test.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._local = threading.local()
        self._version: str | None = None

    def check(self) -> str:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            try:
                return self._query(connection)
            except psycopg2.OperationalError:
                self._local.connection = None
                connection.close()
        self._local.connection = connection = self._database.connect()
        connection.autocommit = True
        return self._query(connection)

    def _query(self, connection: Any) -> str:
        with connection.cursor() as cursor:
            if self._version is None:
                cursor.execute("SELECT value FROM constants WHERE key = 'version'")
                self._version = cursor.fetchone()["value"]
            else:
                cursor.execute("SELECT 1")
        return self._version
