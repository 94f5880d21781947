from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest

# The tests' own modules, and the program for the tests that need no server.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[1] / "libs")]

from client import EmptyDatabase  # noqa: E402
from fixtures import *  # noqa: E402, F403
from servers import Deployment, Process, running  # noqa: E402


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
