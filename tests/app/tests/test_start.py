"""Starting and stopping the api, and what stops it from starting."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from servers import Deployment, running, wait_for


def changed_config(deployment: Deployment, section: str, key: str, value: object) -> str:
    config = deployment.config()
    config[section][key] = value
    return str(deployment.write_config(config, f"changed-{key}.yml"))


def open_connections(port: int) -> int:
    """Established connections to a local port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(1 for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01")


@pytest.mark.parametrize(("key", "url"), [("database_url", "postgresql://codecov:x@127.0.0.1:1/postgres"), ("redis_url", "redis://127.0.0.1:1")])
def test_api_does_not_start_without_what_migrations_need(deployment, key, url):
    path = changed_config(deployment, "services", key, url)
    process = deployment.start_api(CODECOV_YML=path, CODECOV_SKIP_MIGRATIONS="false")
    assert process.stop() == 1
    assert "onnection refused" in process.output()


def test_api_starts_without_redis_when_it_does_not_migrate(deployment):
    path = changed_config(deployment, "services", "redis_url", "redis://127.0.0.1:1")
    with running(deployment.start_api(CODECOV_YML=path)):
        assert requests.get(f"{deployment.url}/health/", timeout=5).status_code == 200


def test_an_empty_database_is_seen_by_health_only(deployment):
    path = changed_config(deployment, "services", "database_url", deployment.postgres.url.replace("/postgres", "/template1"))
    with running(deployment.start_api(CODECOV_YML=path)) as process:
        assert requests.get(f"{deployment.url}/health/", timeout=5).status_code == 500
        assert 'relation \\"constants\\" does not exist' in process.output()


def test_allowed_hosts_as_a_list(deployment):
    path = changed_config(deployment, "setup", "api_allowed_hosts", ["good.example", ".wide.example"])
    with running(deployment.start_api(CODECOV_YML=path)):
        for host, status in {"good.example": 200, "GOOD.example:8000": 200, "a.wide.example": 200, "bad.example": 400}.items():
            assert requests.get(f"{deployment.url}/health/", headers={"Host": host}, timeout=5).status_code == status, host
        # What the application takes from codecov_url keeps its port, and then matches nothing, not even itself.
        assert requests.get(f"{deployment.url}/health/", timeout=5).status_code == 400


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("api_allowed_hosts", "good.example", "AttributeError: 'str' object has no attribute 'append'"),
        ("codecov_url", None, "AttributeError: 'NoneType' object has no attribute 'startswith'"),
    ],
)
def test_values_of_the_wrong_type_keep_gunicorn_from_booting(deployment, key, value, message):
    # With several workers gunicorn sometimes ends with another code.
    process = deployment.start_api(CODECOV_YML=changed_config(deployment, "setup", key, value), GUNICORN_WORKERS="1")
    assert process.stop() == 3
    assert "Worker failed to boot." in process.output() and message in process.output()


def test_a_broken_build_never_becomes_ready(deployment):
    with running(deployment.start_api(STANDIN_BROKEN="never_ready")):
        assert requests.get(f"{deployment.url}/health/", timeout=5).status_code == 503


@pytest.mark.parametrize("licence", ["no licence", None])
def test_licence_banner(deployment, licence):
    path = changed_config(deployment, "setup", "enterprise_license", licence)
    with running(deployment.start_api(CODECOV_YML=path)) as process:
        assert ("License is INVALID" in process.output()) == bool(licence)


def test_api_stops_within_its_time_when_idle(deployment):
    process = deployment.start_api()
    assert process.stop(seconds=5) == 0
    assert "API shutdown complete" in process.output()


def test_api_finishes_requests_when_it_stops(deployment):
    """SIGTERM while an answer is being worked on: the client still gets it."""
    process = deployment.start_api(STANDIN_RESPONSE_SECONDS="0.6")
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(requests.get, f"{deployment.url}/health/", timeout=10)
        # The request is on its way once a thread of gunicorn holds its connection.
        wait_for(lambda: open_connections(deployment.port), "request")
        assert process.stop(seconds=10) == 0
        assert answer.result().status_code == 200
