"""manage.py of api and worker, and migrate_timeseries.py."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from standin import migrations
from standin.config import get_config
from standin.database import Database


def migrate(arguments: list[str]) -> int:
    database = Database()
    if "--check" in arguments:
        missing = migrations.unapplied(database)
        print("\n".join(missing))
        return 1 if missing else 0
    print("Running migrations:", flush=True)
    if migrations.migrate(database) == 0:
        print("  No migrations to apply.")
    return 0


def pgpartition(_: list[str]) -> int:
    created = migrations.create_partitions(Database())
    print("\n".join(f"  + {name}" for name in created) or "Nothing to be done.")
    return 0


def with_django(arguments: list[str]) -> int:
    """Everything else (above all `shell`) is real Django on real models."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "standin.django_settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *arguments])
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {"migrate": migrate, "pgpartition": pgpartition}


def manage(arguments: list[str]) -> int:
    command = COMMANDS.get(arguments[0]) if arguments else None
    return command(arguments[1:]) if command else with_django(arguments)


def migrate_timeseries() -> int:
    for app, url_key in (("timeseries", "timeseries_database_url"), ("ta_timeseries", "ta_timeseries_database_url")):
        if not get_config("setup", app, "enabled", default=False):
            print(f"Skipping {app} migrations")
            continue
        print(f"Running {app} migrations")
        with Database(url_key=url_key).transaction() as cursor:
            cursor.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'")
            if cursor.fetchone():
                cursor.execute("SELECT _timescaledb_internal.stop_background_workers()")
            cursor.execute(migrations.HISTORY_TABLE)
            cursor.execute("CREATE TABLE IF NOT EXISTS timeseries_measurement (timestamp timestamptz NOT NULL, repo_id bigint, value double precision)")
            cursor.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'")
            if cursor.fetchone():
                cursor.execute("SELECT _timescaledb_internal.start_background_workers()")
    return 0


if __name__ == "__main__":
    sys.exit(manage(sys.argv[1:]))
