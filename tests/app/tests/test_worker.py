"""The worker: what waits for it, how it is asked, how it stops, what it loses and what it does not."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from client import Repository, new_sha
from servers import PYTHON, Deployment, Process, free_port, running, wait_for

OLD_COBERTURA = '<coverage timestamp="1000000000"><packages/></coverage>'
LATE_ACKNOWLEDGEMENT = {
    "SETUP__TASKS__CELERY__ACKS_LATE": "true",
    "SETUP__TASKS__CELERY__REJECT_ON_WORKER_LOST": "true",
    "SETUP__TASKS__UPLOAD__ACKS_LATE": "true",
}


@pytest.fixture(autouse=True)
def empty_redis(deployment: Deployment) -> None:
    """Killed workers leave tasks behind; each test has its own."""
    deployment.redis.empty()


def ping(deployment: Deployment, name: str) -> subprocess.CompletedProcess[str]:
    command = [PYTHON, "-m", "celery", "inspect", "ping", "-d", f"celery@{name}"]
    return subprocess.run(command, env={"CELERY_BROKER_URL": deployment.redis.url}, capture_output=True, text=True, timeout=30)


def processing_key(repository: Repository, sha: str) -> str:
    return f"upload-processing-state/{repository.repoid}/{sha}/processing"


def wait_until_processing(worker: Process) -> None:
    """Before that, the Upload task has emptied the pending list but not handed it on."""
    wait_for(lambda: "Received upload processor task" in worker.output(), "UploadProcessor")


def test_expired_report_and_missing_file_are_errors(deployment, api):
    repository, expired, missing = Repository(deployment), new_sha(), new_sha()
    with running(deployment.start_worker(STANDIN_RETRY_DELAY="0.3")):
        repository.upload(expired, OLD_COBERTURA, "coverage.xml")
        repository.upload(missing, put=False)
        for sha, code in {expired: "report_expired", missing: "file_not_in_storage"}.items():
            assert repository.wait_for_state(sha, "error")["totals"]["c"] == 0
            assert [(row["state"], row["state_id"]) for row in repository.uploads(sha)] == [("error", 3)]
            assert repository.errors(sha) == [code]


def test_what_waits_in_redis_while_no_worker_runs(deployment, api):
    redis = deployment.redis.client
    repository, sha = Repository(deployment), new_sha()
    before = time.time()
    repository.upload(sha)
    messages = [json.loads(message) for message in redis.lrange("celery", 0, -1)]
    names = sorted(message["headers"]["task"].rpartition(".")[2] for message in messages)
    assert names == ["CommitUpdate", "PreProcessUpload", "Upload", "UploadBreadcrumb"]
    headers = next(message["headers"] for message in messages if message["headers"]["task"] == "app.tasks.upload.Upload")
    assert headers["eta"] and headers["created_timestamp"] and str(repository.repoid) in headers["kwargsrepr"]
    key = f"uploads/{repository.repoid}/{sha}"
    pending = [json.loads(item) for item in redis.lrange(key, 0, -1)]
    assert [sorted(item) for item in pending] == [["commit", "reportid", "upload_id", "version"]]
    assert 86000 < redis.ttl(key) <= 86400
    assert before <= float(redis.get(f"latest_upload/{repository.repoid}/{sha}")) <= time.time()
    # A worker that starts later finds it all.
    with running(deployment.start_worker()):
        repository.wait_for_state(sha, "complete")
    assert not redis.exists(key)


def test_ping_proves_the_worker_and_its_name(deployment):
    with running(deployment.start_worker("pinged")) as worker:
        answer = ping(deployment, "pinged")
        assert (answer.returncode, "celery@pinged: OK" in answer.stdout) == (0, True)
        assert ping(deployment, "other").returncode == 69
        for queue in ("celery", "enterprise_celery", "healthcheck"):
            assert f".> {queue} " in worker.output()
        assert (deployment.home / "celerybeat-schedule").exists() or list(deployment.home.glob("celerybeat-schedule*"))
        assert requests.get(f"http://127.0.0.1:{deployment.metrics_port}/metrics", timeout=5).status_code == 200


def test_metrics_answer_before_the_worker_is_ready_and_prove_nothing(deployment):
    with running(deployment.start_worker(STANDIN_BROKEN="never_ready")) as worker:
        assert worker.child.wait(10) == 1
        assert "STANDIN_BROKEN=never_ready" in worker.output()


def test_sigterm_finishes_the_running_task_and_takes_no_new_one(deployment, api):
    repository, sha, later = Repository(deployment), new_sha(), new_sha()
    with running(deployment.start_worker(STANDIN_TASK_SECONDS="2.5")) as worker:
        repository.upload(sha)
        wait_until_processing(worker)
        os.kill(worker.child.pid, signal.SIGTERM)
        wait_for(lambda: "Warm shutdown" in worker.output(), "warm shutdown")
        repository.upload(later)
        asked = time.monotonic()
        assert worker.child.wait(20) == 0 and time.monotonic() - asked > 0.5
    assert deployment.redis.client.exists(f"intermediate-report/{repository.uploads(sha)[0]['id']}")
    assert repository.commit(later)["state"] is None
    # What the finished task handed on, and the new upload, are the next worker's.
    with running(deployment.start_worker()):
        repository.wait_for_state(sha, "complete")
        repository.wait_for_state(later, "complete")


def test_sigkill_loses_the_upload_without_late_acknowledgement(deployment, api):
    repository, sha, other = Repository(deployment), new_sha(), new_sha()
    redis = deployment.redis.client
    with running(deployment.start_worker(STANDIN_TASK_SECONDS="30")) as worker:
        repository.upload(sha)
        wait_until_processing(worker)
    assert not any("UploadProcessor" in task for task in [*redis.lrange("celery", 0, -1), *redis.hvals("unacked")])
    with running(deployment.start_worker()):
        # Proof that the new worker works: another commit's upload goes through meanwhile.
        repository.upload(other)
        repository.wait_for_state(other, "complete")
    assert (repository.commit(sha)["state"], repository.uploads(sha)[0]["state"]) == ("pending", "started")
    assert redis.smembers(processing_key(repository, sha)) == {str(repository.uploads(sha)[0]["id"])}


def test_late_acknowledgement_gives_the_upload_to_another_worker(deployment, api):
    repository, sha = Repository(deployment), new_sha()
    # A killed worker's tasks come back after this time; 900 s unless it is set. Celery looks for them when a worker starts
    # and then every 100 s.
    settings = {**LATE_ACKNOWLEDGEMENT, "SETUP__TASKS__CELERY__VISIBILITY_TIMEOUT": "1"}
    with running(deployment.start_worker(STANDIN_TASK_SECONDS="30", **settings)) as worker:
        repository.upload(sha)
        wait_until_processing(worker)
    redis = deployment.redis.client
    wait_for(lambda: 0 < redis.zcard("unacked_index") == redis.zcount("unacked_index", 0, time.time() - 1.5), "unacknowledged tasks of some age")
    with running(deployment.start_worker(**settings)):
        assert repository.wait_for_state(sha, "complete")["totals"]["s"] == 1


def test_killed_pool_process_gives_its_task_back_at_once(deployment, api):
    repository, sha = Repository(deployment), new_sha()
    with running(deployment.start_worker(STANDIN_TASK_SECONDS="1.5", **LATE_ACKNOWLEDGEMENT)) as worker:
        repository.upload(sha)
        wait_until_processing(worker)
        for child in pool_processes(worker.child.pid):
            os.kill(child, signal.SIGKILL)
        assert repository.wait_for_state(sha, "complete")["totals"]["s"] == 1


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as stream:
        return [int(child) for child in stream.read().split()]


def pool_processes(wrapper: int) -> list[int]:
    """worker.sh has one child, Celery's main process; its children are the pool and, before them, Beat."""
    (main,) = children(wrapper)
    return children(main)[-2:]


class Provider(BaseHTTPRequestHandler):
    """As much of GitHub's API as the worker asks for."""

    requests: list[str] = []

    def do_GET(self) -> None:
        self._answer({"commit": {"message": "from the provider"}} if "/commits/" in self.path and not self.path.endswith("pulls") else {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({})

    def _answer(self, payload: dict) -> None:
        self.requests.append(f"{self.command} {self.path} {self.headers['Authorization']}")
        body = json.dumps(payload).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def provider(port: int) -> Iterator[list[str]]:
    Provider.requests = []
    server = ThreadingHTTPServer(("127.0.0.1", port), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Provider.requests
    finally:
        server.shutdown()
        server.server_close()


def test_unreachable_provider_loses_the_upload_until_the_commit_gets_another(deployment, api):
    repository, sha, port = Repository(deployment), new_sha(), free_port()
    with running(deployment.start_worker(GITHUB__BOT__KEY="bot", GITHUB__API_URL=f"http://127.0.0.1:{port}")) as worker:
        repository.upload(sha)
        wait_for(lambda: worker.output().count("ProviderUnreachable") >= 3, "three failed tasks")
        redis = deployment.redis.client
        wait_for(lambda: (redis.llen("celery"), redis.hlen("unacked")) == (0, 0), "nothing left to do")
        assert (repository.commit(sha)["state"], repository.uploads(sha)[0]["state"]) == (None, "started")
        assert redis.llen(f"uploads/{repository.repoid}/{sha}") == 1
        with provider(port) as calls:
            repository.upload(sha)
            assert repository.wait_for_state(sha, "complete")["totals"]["s"] == 2
            assert repository.commit(sha)["message"] == "from the provider"
            wait_for(lambda: sum(call.startswith("POST") for call in calls) == 2, "two statuses")
            assert all(call.endswith(" token bot") for call in calls)


def test_statsd_gets_counters(deployment, api):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(15)
        with running(deployment.start_worker(STATSD_HOST="127.0.0.1", STATSD_PORT=str(statsd.getsockname()[1]))):
            Repository(deployment).upload(new_sha())
            assert statsd.recv(1000).decode().startswith("worker.task.app.tasks.")


def test_queue_of_its_own_for_uploads(deployment, api):
    config = deployment.config()
    config["setup"]["tasks"] = {"upload": {"queue": "uploads"}}
    path = str(deployment.write_config(config, "queues.yml"))
    repository, sha = Repository(deployment), new_sha()
    with running(deployment.start_worker(CODECOV_YML=path, CODECOV_WORKER_QUEUES="celery,uploads")) as worker:
        assert ".> uploads " in worker.output() and ".> enterprise_uploads " in worker.output()
        repository.upload(sha)
        repository.wait_for_state(sha, "complete")
