# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploads that the application loses, by the faults that were measured on it, and their repair by real workers."""

from __future__ import annotations

import copy
import json
import secrets
import signal
import time
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
import requests
from conftest import ProbeRun
from servers import Deployment, Process, free_port, wait_for

LCOV = "TN:\nSF:app.py\nDA:1,1\nDA:2,1\nDA:3,1\nDA:4,0\nend_of_record\n"
SLUG = "repair/demo"

StartWorker = Callable[..., Process]


class Uploads:
    """Uploads to one repository, and what the database says of them."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.query("INSERT INTO owners (service, service_id, username) VALUES ('github', 'repair', 'repair') ON CONFLICT DO NOTHING")
        self.query("INSERT INTO repos (ownerid, service_id, name, private, active, activated) SELECT ownerid, 'demo', 'demo', true, true, true"
                   " FROM owners WHERE service_id = 'repair' ON CONFLICT DO NOTHING")
        self.repoid, self.token = self.query("SELECT repoid, upload_token FROM repos WHERE service_id = 'demo'")[0]

    def query(self, statement: str, *parameters: Any) -> list[Any]:
        connection = psycopg2.connect(self.deployment.postgres.url)
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            rows = cursor.fetchall() if cursor.description else []
        connection.close()
        return rows

    def make(self, put: bool = True, age: float = 60, commit: str | None = None) -> tuple[str, int]:
        """An upload as the CLI makes it, made to look so many seconds old; its commit and its id."""
        commit = commit or secrets.token_hex(20)
        data = {"branch": "main", "commitid": commit, "code": "default", "flags": [], "env": {}, "version": "test", "ci_service": "test"}
        url = f"{self.deployment.url}/upload/github/repair::::demo/upload-coverage"
        answer = requests.post(url, json=data, headers={"Authorization": f"token {self.token}"}, timeout=10)
        assert answer.status_code == 201, answer.text
        external_id = answer.json()["external_id"]
        if put:
            body = f"app.py\n<<<<<< network\n# path=lcov.info\n{LCOV}<<<<<< EOF\n"
            assert requests.put(answer.json()["raw_upload_location"], data=body, timeout=10).status_code == 200
        rows = self.query("UPDATE reports_upload SET created_at = created_at - make_interval(secs => %s) WHERE external_id = %s RETURNING id", age, external_id)
        return commit, rows[0][0]

    def make_by_old_uploader(self) -> str:
        commit = secrets.token_hex(20)
        answer = requests.post(f"{self.deployment.url}/upload/v4?commit={commit}&token={self.token}&branch=main&package=custom-1.0", timeout=10)
        location = answer.text.splitlines()[1]
        body = f"app.py\n<<<<<< network\n# path=lcov.info\n{LCOV}<<<<<< EOF\n"
        assert requests.put(location, data=body, timeout=10).status_code == 200
        return commit

    def state(self, upload_id: int) -> str:
        return str(self.query("SELECT state FROM reports_upload WHERE id = %s", upload_id)[0][0])

    def commit_state(self, commit: str) -> tuple[str | None, Any]:
        found = self.query("SELECT state::text, totals FROM commits WHERE commitid = %s", commit)[0]
        return found[0], found[1]

    def settled(self, upload_id: int, state: str = "merged", seconds: float = 30) -> None:
        wait_for(lambda: self.state(upload_id) == state, f"upload {upload_id} {state} (is {self.state(upload_id)})", seconds)


@pytest.fixture()
def uploads(deployment: Deployment, api: Process) -> Uploads:
    """Nothing waits, nothing is lost: each test begins with a clean slate."""
    made = Uploads(deployment)
    deployment.redis.client.flushall()
    made.query("UPDATE reports_upload SET state = 'merged' WHERE state = 'started'")
    return made


def queue_length(deployment: Deployment) -> int:
    return int(deployment.redis.client.llen("celery"))


def drop_tasks(deployment: Deployment) -> None:
    """What becomes of tasks that were acknowledged early by a worker that was killed."""
    deployment.redis.client.delete("celery")


def actions(document: dict[str, Any]) -> dict[int | None, str]:
    return {finding["upload_id"]: finding["action"] for finding in document["uploads"]}


def test_nothing_lost(probe: ProbeRun, uploads: Uploads) -> None:
    uploads.make(age=0)
    document = probe.repair("--older-than=30")
    assert (document["uploads"], set(document["counts"].values())) == ([], {0})


def test_killed_worker_that_had_acknowledged_early(probe: ProbeRun, uploads: Uploads, start_worker: StartWorker, deployment: Deployment) -> None:
    """Measured: kill -9 in the middle of UploadProcessor leaves the upload in `started` for good, nothing in the queue."""
    worker = start_worker("killed", STANDIN_TASK_SECONDS="60")
    commit, upload_id = uploads.make()
    key = f"upload-processing-state/{uploads.repoid}/{commit}/processing"
    wait_for(lambda: deployment.redis.client.sismember(key, upload_id), "the task runs")
    # In the middle, the worker that answers protects the upload.
    assert actions(probe.repair("--older-than=30")) == {upload_id: "pending"}
    worker.stop(signal.SIGKILL)
    start_worker("next")
    assert uploads.state(upload_id) == "started" and queue_length(deployment) == 0 and deployment.redis.client.hlen("unacked") == 0

    stuck = probe.check("stuck_uploads", options=("--stuck-upload-age=30",))["stuck_uploads"]
    assert (stuck["state"], stuck["cause"].startswith("1 uploads are unprocessed")) == ("failed", True)
    planned = probe.repair("--older-than=30", "--dry-run")
    assert actions(planned) == {upload_id: "resent"} and uploads.state(upload_id) == "started"

    document = probe.repair("--older-than=30", "--wait=30")
    assert document["counts"]["resent"] == 1 and document["still_started"] == 0
    assert document["uploads"][0]["state"] == "merged" and document["uploads"][0]["repository"] == "github/repair/demo"
    state, totals = uploads.commit_state(commit)
    assert (state, totals["c"], totals["n"], totals["s"]) == ("complete", "75.00000", 4, 1)
    assert deployment.redis.client.smembers(key) == set()
    assert probe.repair("--older-than=30")["uploads"] == []


def test_killed_worker_with_late_acknowledgement(probe: ProbeRun, uploads: Uploads, start_worker: StartWorker, deployment: Deployment) -> None:
    """The broker still has the task, and would give it back after its visibility timeout; the repair does not wait for that."""
    config = copy.deepcopy(deployment.config())
    config["setup"]["tasks"] = {"celery": {"acks_late": True, "reject_on_worker_lost": True}, "upload": {"acks_late": True}}
    worker = start_worker("late", config=config, STANDIN_TASK_SECONDS="60")
    commit, upload_id = uploads.make()
    wait_for(lambda: any("UploadProcessor" in message for message in deployment.redis.client.hvals("unacked")), "the task runs")
    worker.stop(signal.SIGKILL)
    # Too young to be judged: the worker could be at work and only not answer.
    assert actions(probe.repair("--older-than=30", config=config)) == {upload_id: "pending"}
    start_worker("late", config=config)
    document = probe.repair("--older-than=0.1", "--wait=30", config=config)
    assert actions(document) == {upload_id: "restored"} and document["still_started"] == 0
    assert uploads.commit_state(commit)[1]["s"] == 1
    assert probe.repair("--older-than=0.1", config=config)["uploads"] == []


def test_upload_task_that_died_after_it_emptied_the_list(probe: ProbeRun, uploads: Uploads, start_worker: StartWorker, deployment: Deployment) -> None:
    """The broker would give the task back, but it would find nothing to do any more."""
    client = deployment.redis.client
    commit, upload_id = uploads.make()
    message = next(raw for raw in client.lrange("celery", 0, -1) if "tasks.upload.Upload\"" in raw)
    client.flushall()
    client.hset("unacked", "tag-1", json.dumps([json.loads(message), "", "celery"]))
    client.zadd("unacked_index", {"tag-1": time.time() - 10})
    assert actions(probe.repair("--older-than=30")) == {upload_id: "pending"}
    start_worker("next")
    document = probe.repair("--older-than=5", "--wait=30")
    assert actions(document) == {upload_id: "resent"} and document["still_started"] == 0
    client.delete("unacked", "unacked_index")


def test_unreachable_provider(probe: ProbeRun, uploads: Uploads, start_worker: StartWorker, deployment: Deployment) -> None:
    """Measured: the tasks raise and are gone; the pending list stays."""
    config = copy.deepcopy(deployment.config())
    config["github"] = {"api_url": f"http://127.0.0.1:{free_port()}", "bot": {"key": "bot-key", "username": "bot"}}
    worker = start_worker("cut-off", config=config)
    commit, upload_id = uploads.make()
    pending = f"uploads/{uploads.repoid}/{commit}"
    wait_for(lambda: "tasks.upload.Upload[" in worker.output() and "nreachable" in worker.output() and queue_length(deployment) == 0
             and deployment.redis.client.hlen("unacked") == 0, "the tasks failed")
    worker.stop(signal.SIGKILL)
    assert deployment.redis.client.llen(pending) == 1 and uploads.state(upload_id) == "started"
    start_worker("reconnected")
    document = probe.repair("--older-than=30", "--wait=30")
    assert actions(document) == {upload_id: "resent"} and document["still_started"] == 0
    # Its entry was still in the list and must not be there twice: one session in the report.
    assert uploads.commit_state(commit)[1]["s"] == 1


def test_report_that_never_arrived(probe: ProbeRun, uploads: Uploads, start_worker: StartWorker, deployment: Deployment) -> None:
    commit, upload_id = uploads.make(put=False)
    drop_tasks(deployment)
    deployment.redis.client.delete(f"uploads/{uploads.repoid}/{commit}")
    for _ in range(2):
        document = probe.repair("--older-than=30")
        assert actions(document) == {upload_id: "unrecoverable"} and queue_length(deployment) == 0
    assert "never arrived" in document["uploads"][0]["reason"]
    # On demand, the application itself says that it failed.
    start_worker("giving-up", STANDIN_RETRY_DELAY="0.2")
    probe.repair("--older-than=30", "--give-up")
    uploads.settled(upload_id, "error")
    assert uploads.query("SELECT error_code FROM reports_uploaderror WHERE upload_id = %s", upload_id) == [("file_not_in_storage",)]
    assert probe.repair("--older-than=30")["uploads"] == []


def test_second_run_doubles_nothing(probe: ProbeRun, uploads: Uploads, start_worker: StartWorker, deployment: Deployment) -> None:
    """No worker runs, so what the first run sends waits in the queue."""
    first = [uploads.make() for _ in range(3)]
    drop_tasks(deployment)
    deployment.redis.client.delete(f"uploads/{uploads.repoid}/{first[0][0]}")
    assert set(actions(probe.repair("--older-than=30")).values()) == {"resent"}
    assert queue_length(deployment) == 3
    document = probe.repair("--older-than=30")
    assert set(actions(document).values()) == {"pending"} and "waits in its queue" in document["uploads"][0]["reason"]
    assert queue_length(deployment) == 3
    start_worker("finally")
    for _, upload_id in first:
        uploads.settled(upload_id)
    assert all(uploads.commit_state(commit)[1]["s"] == 1 for commit, _ in first)


def test_two_uploads_of_one_commit_need_one_task(probe: ProbeRun, uploads: Uploads, start_worker: StartWorker, deployment: Deployment) -> None:
    commit, one = uploads.make()
    _, two = uploads.make(commit=commit)
    drop_tasks(deployment)
    deployment.redis.client.delete(f"uploads/{uploads.repoid}/{commit}")
    assert actions(probe.repair("--older-than=30")) == {one: "resent", two: "resent"}
    assert queue_length(deployment) == 1
    start_worker("finally")
    for upload_id in (one, two):
        uploads.settled(upload_id)
    assert uploads.commit_state(commit)[1]["s"] == 2


def test_pending_list_of_an_older_uploader(probe: ProbeRun, uploads: Uploads, start_worker: StartWorker, deployment: Deployment) -> None:
    """Its uploads have no row in the database before a task has seen them: only the list tells of them."""
    commit = uploads.make_by_old_uploader()
    drop_tasks(deployment)
    key = f"uploads/{uploads.repoid}/{commit}"
    assert probe.repair("--older-than=30")["uploads"] == []
    deployment.redis.client.expire(key, 86400 - 100)
    assert actions(probe.repair("--older-than=30", "--dry-run")) == {None: "resent"} and queue_length(deployment) == 0
    assert actions(probe.repair("--older-than=30")) == {None: "resent"}
    assert actions(probe.repair("--older-than=30")) == {None: "pending"} and queue_length(deployment) == 1
    start_worker("finally")
    wait_for(lambda: uploads.commit_state(commit)[0] == "complete", "processed", 30)


def test_lost_finisher(probe: ProbeRun, uploads: Uploads, start_worker: StartWorker, deployment: Deployment) -> None:
    """Measured: Redis lost at the wrong moment leaves an upload processed, but never merged."""
    client = deployment.redis.client
    commit, upload_id = uploads.make()
    client.flushall()
    state = f"upload-processing-state/{uploads.repoid}/{commit}/processed"
    client.sadd(state, upload_id)
    client.set(f"intermediate-report/{upload_id}", "from another life")
    start_worker("finally")
    document = probe.repair("--older-than=30", "--wait=30")
    assert actions(document) == {upload_id: "resent"} and document["still_started"] == 0
    assert uploads.commit_state(commit)[1]["c"] == "75.00000" and client.smembers(state) == set()


def test_limit(probe: ProbeRun, uploads: Uploads, deployment: Deployment) -> None:
    made = [uploads.make(age=100 - number)[1] for number in range(3)]
    client = deployment.redis.client
    client.flushall()
    document = probe.repair("--older-than=30", "--limit=2")
    assert actions(document) == {made[0]: "resent", made[1]: "resent", made[2]: "deferred"}
    assert document["counts"]["deferred"] == 1 and queue_length(deployment) == 2


def test_queue_of_the_upload_tasks(probe: ProbeRun, uploads: Uploads, deployment: Deployment) -> None:
    uploads.make()
    deployment.redis.client.flushall()
    config = copy.deepcopy(deployment.config())
    config["setup"]["tasks"] = {"upload": {"queue": "uploads"}}
    probe.repair("--older-than=30", config=config)
    assert (deployment.redis.client.llen("uploads"), queue_length(deployment)) == (1, 0)
    assert set(actions(probe.repair("--older-than=30", config=config)).values()) == {"pending"}


def test_wrong_storage_makes_nothing_unrecoverable(probe: ProbeRun, uploads: Uploads, deployment: Deployment) -> None:
    uploads.make()
    deployment.redis.client.flushall()
    config = copy.deepcopy(deployment.config())
    config["services"]["minio"]["bucket"] = "another"
    document = probe.repair("--older-than=30", config=config)
    assert "the bucket another does not exist" in document["error"]["cause"]
    assert queue_length(deployment) == 0
    config = copy.deepcopy(deployment.config())
    config["services"]["minio"]["port"] = free_port()
    assert "refused the connection" in probe.repair("--older-than=30", config=config)["error"]["cause"]


def test_one_repair_at_a_time(probe: ProbeRun, uploads: Uploads, deployment: Deployment) -> None:
    deployment.redis.client.set("covstack/repair", "somebody", ex=60)
    assert probe.repair("--older-than=30")["error"]["cause"] == "another repair is running"
    assert probe.repair("--older-than=30", "--dry-run")["uploads"] == []
    deployment.redis.client.delete("covstack/repair")


def test_before_the_first_migration(probe: ProbeRun, uploads: Uploads, deployment: Deployment) -> None:
    uploads.query("SELECT 1")
    connection = psycopg2.connect(deployment.postgres.url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS unborn")
        cursor.execute("CREATE DATABASE unborn")
    connection.close()
    config = copy.deepcopy(deployment.config())
    config["services"]["database_url"] = deployment.postgres.url.replace("/postgres", "/unborn")
    assert probe.repair(config=config)["uploads"] == []


def test_fast_enough_for_many(probe: ProbeRun, uploads: Uploads, deployment: Deployment) -> None:
    for _ in range(10):
        uploads.make()
    start = time.monotonic()
    probe.repair("--older-than=30", "--dry-run")
    assert time.monotonic() - start < 20
