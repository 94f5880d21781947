"""Migrations: what they create, the lock around them, and one that was killed."""

from __future__ import annotations

import signal
import subprocess

from servers import APP, PYTHON, wait_for

LOCK = "lock:djang-migrations-lock"
SHELL_SCRIPT = """
from shared.django_apps.codecov_auth.models import Owner
from shared.django_apps.core.models import Repository
owner, _ = Owner.objects.get_or_create(service="github", service_id="7", defaults={"username": "probe"})
repository, created = Repository.objects.get_or_create(
    author=owner, service_id="8", defaults={"name": "probe", "private": True, "branch": "main", "active": True, "activated": True})
found = Repository.objects.filter(author__username="probe", name="probe").first()
found.language = "python"
found.save()
print(created, found.upload_token)
"""


def test_migrate_creates_what_the_contract_names(empty):
    assert empty.manage("migrate", "--check").returncode == 1
    done = empty.manage("migrate")
    assert done.returncode == 0, done.stderr
    assert empty.applied() == 332
    assert {row[0] for row in empty.query("SELECT extname FROM pg_extension")} == {"btree_gin", "citext", "hstore", "pg_trgm", "plpgsql", "uuid-ossp"}
    tables = {row[0] for row in empty.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert tables >= {"constants", "owners", "repos", "commits", "reports_commitreport", "reports_upload", "reports_uploaderror", "django_migrations"}
    assert dict(empty.query("SELECT key, value FROM constants")).keys() == {"version", "install_id"}
    assert empty.manage("migrate", "--check").returncode == 0
    assert "No migrations to apply." in empty.manage("migrate").stdout
    first, second = empty.manage("pgpartition", "--yes", "--skip-delete"), empty.manage("pgpartition", "--yes", "--skip-delete")
    assert first.stdout.count("  + ") == 15 and second.stdout.strip() == "Nothing to be done."


def test_another_release_brings_its_own_migrations_and_its_version(empty):
    assert empty.manage("migrate", RELEASE_VERSION="26.6.11").returncode == 0
    assert (empty.applied(), empty.query("SELECT value FROM constants WHERE key = 'version'")) == (331, [("26.6.11",)])
    assert empty.manage("migrate", "--check").returncode == 1
    assert empty.manage("migrate").returncode == 0
    assert (empty.applied(), empty.query("SELECT value FROM constants WHERE key = 'version'")) == (332, [("26.7.6",)])
    # Back to the older release: its migrations are all there, the schema stays the newer one's.
    assert empty.manage("migrate", RELEASE_VERSION="26.6.11").returncode == 0
    assert empty.query("SELECT value FROM constants WHERE key = 'version'") == [("26.7.6",)]


def test_two_at_once_wait_for_each_other(empty):
    processes = [empty.start("migrate", STANDIN_MIGRATION_SECONDS="1") for _ in range(2)]
    assert [process.child.wait(30) for process in processes] == [0, 0]
    assert sorted(process.output().count("... OK") for process in processes) == [0, 332]
    for process in processes:
        process.stop()


def test_a_killed_migration_leaves_its_lock_and_the_next_one_goes_on(empty):
    killed = empty.start("migrate", STANDIN_MIGRATION_SECONDS="20", STANDIN_LOCK_SECONDS="3")
    wait_for(lambda: killed.output().count("... OK") > 10, "first migrations")
    killed.stop(signal.SIGKILL)
    done = empty.applied()
    assert 10 < done < 332 and empty.deployment.redis.client.ttl(LOCK) > 0
    assert empty.manage("migrate", STANDIN_LOCK_SECONDS="3").returncode == 0
    assert empty.applied() == 332


def test_a_broken_build_fails_and_changes_nothing(empty):
    done = empty.manage("migrate", STANDIN_BROKEN="migration")
    assert done.returncode == 1 and "STANDIN_BROKEN=migration" in done.stderr
    assert empty.query("SELECT to_regclass('django_migrations') IS NULL") == [(True,)]


def test_shell_runs_scripts_on_the_application_s_models(empty):
    assert empty.manage("migrate").returncode == 0
    first, second = (empty.manage("shell", "-c", SHELL_SCRIPT) for _ in range(2))
    assert first.returncode == 0, first.stderr
    created, token = first.stdout.split()
    assert (created, second.stdout.split()) == ("True", ["False", token])
    assert empty.query("SELECT upload_token::text, private, language FROM repos") == [(token, True, "python")]


def test_timeseries_migrations_are_skipped_when_switched_off(deployment):
    command = [PYTHON, "migrate_timeseries.py"]
    done = subprocess.run(command, cwd=APP / "apps/worker", env=deployment.environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "Skipping timeseries migrations\nSkipping ta_timeseries migrations\n")
