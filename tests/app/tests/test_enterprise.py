"""The older line: web and worker of one image, chosen by the command."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
import requests
from client import Repository, new_sha
from servers import APP, Deployment, Process, free_port, running

SCRIPT = str(APP / "apps/enterprise/enterprise.sh")


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def environment(deployment: Deployment, port: int) -> dict[str, str]:
    config = deployment.config()
    config["setup"]["codecov_url"] = f"http://127.0.0.1:{port}"
    path = deployment.write_config(config, "enterprise.yml")
    return deployment.environment(path, STANDIN_LINE="codecov_enterprise", RELEASE_VERSION="4.4.8", CODECOV_API_PORT=str(port))


@pytest.fixture
def web(deployment: Deployment, environment: dict[str, str], port: int) -> Iterator[str]:
    def answers() -> bool:
        try:
            return requests.get(f"{url}/login", timeout=2).status_code == 200
        except (requests.ConnectionError, requests.Timeout):
            return False

    url = f"http://127.0.0.1:{port}"
    process = Process([SCRIPT, "web"], deployment.directory / "web.log", env=environment)
    with running(process):
        process.once(answers, "web")
        assert process.child.poll() is None, process.output()
        yield url


def test_an_upload_goes_through_web_and_its_own_queue(deployment, environment, web):
    worker = Process([SCRIPT, "worker", "--concurrency", "1"], deployment.directory / "enterprise-worker.log", env=environment)
    with running(worker.once(lambda: "ready." in worker.output(), "worker")):
        queues = [line.split()[-2] for line in worker.output().splitlines() if ".> " in line and "exchange=" in line]
        assert sorted(name.removeprefix("exchange=").removesuffix("(direct)") for name in queues) == ["celery", "healthcheck", "uploads"]
        assert "concurrency: 1 " in worker.output()
        repository, sha = Repository(deployment), new_sha()
        repository.url = web
        repository.upload(sha)
        assert repository.wait_for_state(sha, "complete")["totals"]["c"] == "75.00000"


def test_login_page_tells_readiness_and_providers_are_still_there(web):
    assert "Codecov Enterprise stand-in" in requests.get(f"{web}/login", timeout=5).text
    assert requests.get(f"{web}/login/gh", allow_redirects=False, timeout=5).status_code == 302


def test_migrations_alone(environment, empty):
    settings = {**environment, "SERVICES__DATABASE_URL": empty.url}
    done = subprocess.run([SCRIPT, "web", "migrate"], env=settings, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert empty.query("SELECT value FROM constants WHERE key = 'version'") == [("4.4.8",)]


def test_other_commands_are_refused(environment):
    assert subprocess.run([SCRIPT, "api"], env=environment, capture_output=True, timeout=10).returncode == 64
