from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest

# The tests' own modules, and the program for the tests that need no server.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[1] / "libs")]

from client import EmptyDatabase  # noqa: E402
from servers import Deployment, Postgres, Process, Redis, Storage, running  # noqa: E402


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Postgres, Redis, Storage]]:
    root = tmp_path_factory.mktemp("servers")
    # PostgreSQL runs as another user, who must be able to reach its directory.
    for parent in (root, *root.parents[:2]):
        parent.chmod(0o755)
    storage = Storage(root / "storage")
    with ThreadPoolExecutor() as pool:
        database, queue = pool.submit(Postgres, root / "postgres"), pool.submit(Redis, root / "redis")
    postgres, redis = database.result(), queue.result()
    storage.wait()
    yield postgres, redis, storage
    for server in (postgres, redis, storage):
        server.stop()


@pytest.fixture(scope="session")
def deployment(servers: tuple[Postgres, Redis, Storage], tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Configured and migrated; what runs is up to the tests."""
    result = Deployment(tmp_path_factory.mktemp("deployment"), *servers)
    result.write_config(result.config())
    for command in (["migrate"], ["pgpartition", "--yes", "--skip-delete"]):
        done = result.manage(*command)
        assert done.returncode == 0, done.stderr
    return result


@pytest.fixture(scope="module")
def api(deployment: Deployment) -> Iterator[Process]:
    with running(deployment.start_api()) as process:
        yield process


@pytest.fixture(scope="module")
def worker(deployment: Deployment) -> Iterator[Process]:
    with running(deployment.start_worker()) as process:
        yield process


@pytest.fixture
def empty(deployment: Deployment) -> Iterator[EmptyDatabase]:
    name = f"empty_{uuid4().hex[:8]}"
    connection = psycopg2.connect(deployment.postgres.url)
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    yield EmptyDatabase(deployment, name)
    connection.cursor().execute(f"DROP DATABASE {name}")
    connection.close()
