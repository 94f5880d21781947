"""Fixtures that the stand-in's contract tests and the tests of the container probe share: a conftest imports them by name."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from servers import Deployment, Postgres, Redis, Storage

__all__ = ["deployment", "servers"]


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
