"""The database schema and its history: 332 rows in django_migrations at version 26.7.6.

The tables have the application's names and the columns that a deployment, an upload or a test touches; most rows of the
history are only a count, but each is recorded in a transaction of its own, so that a killed migration stops in the middle.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import redis

from standin.config import is_enterprise_line, schema_version, test_switch
from standin.database import Database
from standin.redis_store import connect as connect_redis

LOCK_KEY = "lock:djang-migrations-lock"
LOCK_SECONDS = 180

EXTENSIONS = ("uuid-ossp", "citext", "pg_trgm", "btree_gin", "hstore")

TABLES = """
CREATE TYPE commit_state AS ENUM ('pending', 'complete', 'error', 'skipped');
CREATE TABLE constants (key varchar PRIMARY KEY, value varchar NOT NULL);
CREATE TABLE version (version text PRIMARY KEY);
CREATE TABLE owners (
    ownerid serial PRIMARY KEY,
    service text NOT NULL,
    username citext,
    email text,
    name text,
    oauth_token text,
    service_id text NOT NULL,
    plan text DEFAULT 'users-developer',
    createstamp timestamptz,
    updatestamp timestamp DEFAULT now(),
    integration_id integer,
    yaml jsonb,
    organizations integer[],
    admins integer[],
    upload_token_required_for_public_repos boolean NOT NULL DEFAULT false,
    UNIQUE (service, username), UNIQUE (service, service_id)
);
CREATE TABLE repos (
    repoid serial PRIMARY KEY,
    ownerid integer NOT NULL REFERENCES owners ON DELETE CASCADE,
    service_id text NOT NULL,
    name citext NOT NULL,
    private boolean NOT NULL,
    branch text NOT NULL DEFAULT 'main',
    upload_token uuid NOT NULL UNIQUE DEFAULT uuid_generate_v4(),
    image_token text,
    updatestamp timestamptz,
    language text,
    yaml jsonb,
    hookid text,
    active boolean DEFAULT false,
    activated boolean DEFAULT false,
    deleted boolean NOT NULL DEFAULT false,
    coverage_enabled boolean DEFAULT false,
    UNIQUE (ownerid, name), UNIQUE (ownerid, service_id)
);
CREATE TABLE commits (
    id bigserial PRIMARY KEY,
    commitid text NOT NULL,
    repoid integer NOT NULL REFERENCES repos ON DELETE CASCADE,
    timestamp timestamp NOT NULL DEFAULT now(),
    updatestamp timestamp DEFAULT now(),
    author integer REFERENCES owners,
    ci_passed boolean,
    totals jsonb,
    branch text,
    pullid integer,
    message text,
    parent text,
    state commit_state,
    notified boolean,
    report jsonb,
    UNIQUE (repoid, commitid)
);
CREATE TABLE reports_commitreport (
    id bigserial PRIMARY KEY,
    external_id uuid NOT NULL DEFAULT uuid_generate_v4(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    commit_id bigint NOT NULL REFERENCES commits ON DELETE CASCADE,
    code varchar(100),
    report_type varchar(100)
);
CREATE UNIQUE INDEX reports_commitreport_one ON reports_commitreport (commit_id, COALESCE(code, ''), COALESCE(report_type, 'coverage'));
CREATE TABLE reports_upload (
    id bigserial PRIMARY KEY,
    external_id uuid NOT NULL DEFAULT uuid_generate_v4(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    report_id bigint NOT NULL REFERENCES reports_commitreport ON DELETE CASCADE,
    build_code text,
    build_url text,
    env jsonb,
    job_code text,
    name varchar(100),
    provider varchar(50),
    state varchar(100) NOT NULL,
    state_id integer,
    storage_path text,
    order_number integer,
    upload_type varchar(100) NOT NULL DEFAULT 'uploaded',
    upload_type_id integer,
    upload_extras jsonb NOT NULL DEFAULT '{}',
    flags jsonb NOT NULL DEFAULT '[]'
);
CREATE INDEX reports_upload_report_id ON reports_upload (report_id);
CREATE TABLE reports_uploaderror (
    id bigserial PRIMARY KEY,
    external_id uuid NOT NULL DEFAULT uuid_generate_v4(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    upload_id bigint NOT NULL REFERENCES reports_upload ON DELETE CASCADE,
    error_code varchar(100) NOT NULL,
    error_params jsonb NOT NULL DEFAULT '{}'
);
INSERT INTO constants VALUES ('install_id', uuid_generate_v4()::text);
"""

BREADCRUMBS_TABLE = """
CREATE TABLE upload_breadcrumbs_uploadbreadcrumb (
    id bigserial, created_at timestamptz NOT NULL DEFAULT now(), commit_sha text NOT NULL, repo_id bigint NOT NULL,
    upload_ids bigint[] NOT NULL DEFAULT '{}', breadcrumb_data jsonb NOT NULL
) PARTITION BY RANGE (created_at);
"""

HISTORY_TABLE = """
CREATE TABLE IF NOT EXISTS django_migrations (
    id bigserial PRIMARY KEY, app varchar(255) NOT NULL, name varchar(255) NOT NULL, applied timestamptz NOT NULL
)
"""

# Version 26.7.6 has 332 migrations; each of these releases brought one that sets constants.version.
RELEASES = ("26.5.18", "26.6.11", "26.7.6")
SIZES = {"codecov_auth": 75, "core": 85, "reports": 45, "timeseries": 30, "upload_breadcrumbs": 8, "auth": 12, "contenttypes": 2, "others": 72}

PARTITIONS_AHEAD = 15


class Migration:
    """One row of the history, and what it does to the schema."""

    def __init__(self, app: str, name: str, statements: str = "", version: str | None = None) -> None:
        self.app, self.name, self.statements, self.version = app, name, statements, version

    def apply(self, cursor: Any) -> None:
        if self.statements:
            cursor.execute(self.statements)
        if self.version:
            cursor.execute("INSERT INTO constants VALUES ('version', %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value", [self.version])
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, now())", [self.app, self.name])


def base_migrations() -> list[Migration]:
    extensions = "".join(f'CREATE EXTENSION IF NOT EXISTS "{name}";' for name in EXTENSIONS)
    statements = {
        ("core", 1): extensions + TABLES,
        # The older line runs on PostgreSQL 10 and has no breadcrumbs.
        ("upload_breadcrumbs", 1): "" if is_enterprise_line() else BREADCRUMBS_TABLE,
    }
    return [Migration(app, f"{number:04d}_standin", statements.get((app, number), "")) for app, size in SIZES.items() for number in range(1, size + 1)]


def release_migrations(version: str) -> list[Migration]:
    known = () if is_enterprise_line() else RELEASES
    releases = known[: known.index(version) + 1] if version in known else (*known, version)
    first = SIZES["core"] + 1
    return [Migration("core", f"{first + index:04d}_increment_version_{name}", version=name) for index, name in enumerate(releases)]


def wanted_migrations() -> list[Migration]:
    return base_migrations() + release_migrations(schema_version())


def applied_migrations(cursor: Any) -> set[tuple[str, str]]:
    cursor.execute("SELECT app, name FROM django_migrations")
    return {(row["app"], row["name"]) for row in cursor.fetchall()}


@contextmanager
def migration_lock() -> Iterator[None]:
    """One migration at a time: a lock of 180 s that is renewed while its holder lives; who waits longer gives up."""
    client = connect_redis()
    seconds = test_switch("lock_seconds", LOCK_SECONDS)
    lock = client.lock(LOCK_KEY, timeout=seconds, thread_local=False)
    # A killed holder's lock runs out just before its successor gives up.
    if not lock.acquire(blocking_timeout=seconds + 10):
        raise redis.exceptions.LockError(f"{LOCK_KEY} is held by another migration")
    done = threading.Event()

    def renew() -> None:
        while not done.wait(seconds / 3):
            lock.reacquire()

    renewer = threading.Thread(target=renew, daemon=True)
    renewer.start()
    try:
        yield
    finally:
        done.set()
        renewer.join()
        lock.release()


def migrate(database: Database) -> int:
    """Apply what is missing; returns how many migrations that were."""
    with migration_lock():
        if os.environ.get("STANDIN_BROKEN") == "migration":
            raise RuntimeError("This build of the stand-in has a migration that cannot be applied (STANDIN_BROKEN=migration)")
        connection = database.connect()
        try:
            return _apply_missing(connection)
        finally:
            connection.close()


def _apply_missing(connection: Any) -> int:
    with connection, connection.cursor() as cursor:
        cursor.execute(HISTORY_TABLE)
        applied = applied_migrations(cursor)
    missing = [migration for migration in wanted_migrations() if (migration.app, migration.name) not in applied]
    pause = test_switch("migration_seconds", 0.0) / max(len(missing), 1)
    for migration in missing:
        with connection, connection.cursor() as cursor:
            migration.apply(cursor)
        print(f"  Applying {migration.app}.{migration.name}... OK", flush=True)
        time.sleep(pause)
    return len(missing)


def unapplied(database: Database) -> list[str]:
    with migration_lock(), database.transaction() as cursor:
        cursor.execute("SELECT to_regclass('django_migrations') IS NOT NULL AS there")
        applied = applied_migrations(cursor) if cursor.fetchone()["there"] else set()
    return [f"{migration.app}.{migration.name}" for migration in wanted_migrations() if (migration.app, migration.name) not in applied]


def create_partitions(database: Database) -> list[str]:
    """Monthly partitions of the breadcrumbs, from this month on; returns the names of those that were missing."""
    created: list[str] = []
    if is_enterprise_line():
        return created
    today = datetime.now(timezone.utc)
    months = [divmod(today.year * 12 + today.month - 1 + offset, 12) for offset in range(PARTITIONS_AHEAD + 1)]
    with database.transaction() as cursor:
        for (year, month), (next_year, next_month) in zip(months, months[1:]):
            name = f"upload_breadcrumbs_uploadbreadcrumb_{year}_{month + 1:02d}"
            cursor.execute("SELECT to_regclass(%s) IS NULL AS missing", [name])
            if cursor.fetchone()["missing"]:
                cursor.execute(
                    f"CREATE TABLE {name} PARTITION OF upload_breadcrumbs_uploadbreadcrumb FOR VALUES FROM (%s) TO (%s)",
                    [f"{year}-{month + 1:02d}-01", f"{next_year}-{next_month + 1:02d}-01"],
                )
                created.append(name)
    return created
