"""The worker's tasks, under the application's names: Upload -> UploadProcessor (one each upload) -> UploadFinisher -> Notify."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import Task, chord
from psycopg2.extras import Json

from standin import broker, metrics, redis_store, reports, storage
from standin.broker import celery_app
from standin.config import get_config, test_switch
from standin.database import Database
from standin.provider import provider_of
from standin.uploads import Repository, get_or_create_report, insert_upload, repository_by_id

log = logging.getLogger("app.tasks")

MERGED, ERROR = 6, 3
FILE_NOT_FOUND_RETRIES = 1
FILE_NOT_FOUND_RETRY_SECONDS = 20.0

database = Database(like_worker=True)


def find_repository(cursor: Any, repoid: int) -> Repository:
    repository = repository_by_id(cursor, repoid)
    assert repository, f"Repository {repoid} not found in database."
    return repository


def find_commit(cursor: Any, repoid: int, commitid: str, *, lock: bool = False) -> dict[str, Any]:
    cursor.execute("SELECT * FROM commits WHERE repoid = %s AND commitid = %s" + (" FOR UPDATE" if lock else ""), [repoid, commitid])
    commit = cursor.fetchone()
    assert commit, "Commit not found in database."
    return commit


def ask_provider_about_commit(repoid: int, commitid: str) -> None:
    """Fills in the commit's message. Raises when a configured provider cannot be reached: the task is then lost."""
    with database.transaction() as cursor:
        repository = find_repository(cursor, repoid)
    provider = provider_of(repository.service)
    if provider is None:
        return
    base = f"/repos/{repository.username}/{repository.name}"
    answer = provider.request("GET", f"{base}/commits/{commitid}") or {}
    provider.request("GET", f"{base}/commits/{commitid}/pulls")
    if message := answer.get("commit", {}).get("message"):
        with database.transaction() as cursor:
            cursor.execute("UPDATE commits SET message = %s WHERE repoid = %s AND commitid = %s", [message, repoid, commitid])


@celery_app.task(name=broker.COMMIT_UPDATE)
def commit_update(repoid: int, commitid: str, **_: Any) -> None:
    ask_provider_about_commit(repoid, commitid)


@celery_app.task(name=broker.PRE_PROCESS_UPLOAD)
def pre_process_upload(repoid: int, commitid: str, **_: Any) -> None:
    ask_provider_about_commit(repoid, commitid)


@celery_app.task(name=broker.UPLOAD_BREADCRUMB)
def upload_breadcrumb(commit_sha: str, repo_id: int, breadcrumb_data: dict[str, Any], upload_ids: list[int], **_: Any) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO upload_breadcrumbs_uploadbreadcrumb (commit_sha, repo_id, upload_ids, breadcrumb_data) VALUES (%s, %s, %s, %s)",
            [commit_sha, repo_id, upload_ids, Json(breadcrumb_data)],
        )


@celery_app.task(name=broker.UPLOAD)
def upload(repoid: int, commitid: str, **_: Any) -> dict[str, bool]:
    """Takes the commit's pending uploads, all of them, and starts their processing."""
    client = redis_store.connect()
    pending = redis_store.PendingUploads(client, repoid, commitid)
    if not pending.exist():
        log.info("No pending jobs. Upload task is done.", extra={"repoid": repoid, "commit": commitid})
        return {"was_setup": False, "was_updated": False, "tasks_were_scheduled": False}
    # Before the list is emptied: it survives an unreachable provider.
    ask_provider_about_commit(repoid, commitid)
    with database.transaction() as cursor:
        commit = find_commit(cursor, repoid, commitid)
        arguments = [with_upload_id(cursor, commit, item) for item in pending.take()]
        cursor.execute("UPDATE commits SET state = 'pending' WHERE id = %s AND state IS NULL", [commit["id"]])
    if not arguments:
        return {"was_setup": False, "was_updated": False}
    redis_store.ProcessingState(client, repoid, commitid).mark_processing([item["upload_id"] for item in arguments])
    header = [signature(upload_processor, repoid=repoid, commitid=commitid, commit_yaml={}, arguments=item) for item in arguments]
    chord(header)(signature(upload_finisher, repoid=repoid, commitid=commitid, commit_yaml={}))
    return {"was_setup": False, "was_updated": False}


def signature(task: Task, **arguments: Any) -> Any:
    return task.s(**arguments).set(queue=broker.queue_of(task.name))


def with_upload_id(cursor: Any, commit: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """The CLI's uploads have a row already; those of the older uploaders get theirs here."""
    if "upload_id" in arguments:
        return arguments
    report, _ = get_or_create_report(cursor, commit, None)
    row = insert_upload(cursor, report["id"], storage_path=arguments["url"], provider=arguments.get("service"), name=arguments.get("name"))
    return {**arguments, "upload_id": row["id"]}


@celery_app.task(name=broker.UPLOAD_PROCESSOR, bind=True, acks_late=bool(get_config("setup", "tasks", "upload", "acks_late", default=False)) or None)
def upload_processor(self: Task, repoid: int, commitid: str, arguments: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Reads one upload into an intermediate report. Acknowledged before it runs, unless configured otherwise."""
    upload_id = arguments["upload_id"]
    client = redis_store.connect()
    state = redis_store.ProcessingState(client, repoid, commitid)
    # Matters for a task that is delivered again.
    state.mark_processing([upload_id])
    log.info("Received upload processor task", extra={"upload_id": upload_id, "repoid": repoid, "commit": commitid})
    time.sleep(test_switch("task_seconds", 0.0))
    result = {"upload_id": upload_id, "successful": True}
    try:
        report = read_upload(upload_id)
        client.setex(redis_store.intermediate_report_key(upload_id), redis_store.DAY, reports.to_json(report))
    except storage.FileNotInStorage as error:
        if self.request.retries < FILE_NOT_FOUND_RETRIES:
            state.clear_processing(upload_id)
            raise self.retry(max_retries=FILE_NOT_FOUND_RETRIES, countdown=test_switch("retry_delay", FILE_NOT_FOUND_RETRY_SECONDS)) from error
        result = {"upload_id": upload_id, "successful": False, "error": "file_not_in_storage"}
    except reports.ReportError as error:
        result = {"upload_id": upload_id, "successful": False, "error": error.code}
    except Exception:
        with database.transaction() as cursor:
            cursor.execute("UPDATE commits SET state = 'error' WHERE repoid = %s AND commitid = %s", [repoid, commitid])
        state.clear_processing(upload_id)
        raise
    state.mark_processed(upload_id)
    log.info("Finished processing upload", extra={"result": result, "repoid": repoid, "commit": commitid})
    return result


def read_upload(upload_id: int) -> reports.Report:
    with database.transaction() as cursor:
        cursor.execute("SELECT storage_path FROM reports_upload WHERE id = %s", [upload_id])
        path = cursor.fetchone()["storage_path"]
    return reports.parse_upload(storage.read(path), max_report_age())


def max_report_age() -> int | None:
    """`site.codecov.max_report_age: off` lets reports of any age pass."""
    configured = get_config("site", "codecov", "max_report_age", default=True)
    return reports.MAX_REPORT_AGE_SECONDS if configured not in (False, None, "off") else None


@celery_app.task(name=broker.UPLOAD_FINISHER)
def upload_finisher(results: list[dict[str, Any]], repoid: int, commitid: str, **_: Any) -> dict[str, Any]:
    """Merges what the processors read into the commit's report, and says that the commit is complete."""
    client = redis_store.connect()
    with database.transaction() as cursor:
        commit = find_commit(cursor, repoid, commitid, lock=True)
        repository = find_repository(cursor, repoid)
        path = f"v4/repos/{repository.hash}/commits/{commitid}/chunks.txt"
        report = stored_report(commit, path)
        merged = merge_intermediate(cursor, client, report, results)
        record_errors(cursor, results)
        write_report(cursor, commit, report, path)
    redis_store.ProcessingState(client, repoid, commitid).mark_merged([result["upload_id"] for result in results])
    client.delete(*[redis_store.intermediate_report_key(upload_id) for upload_id in merged] or ["intermediate-report/none"])
    signature(notify, repoid=repoid, commitid=commitid, current_yaml={}).apply_async()
    return {"notifications_called": True}


def stored_report(commit: dict[str, Any], path: str) -> reports.Report:
    if commit["report"] is None:
        return reports.Report()
    return reports.from_chunks(storage.read(path).decode(), commit["report"])


def merge_intermediate(cursor: Any, client: Any, report: reports.Report, results: list[dict[str, Any]]) -> list[int]:
    """The uploads that are now part of the report. One that is merged already (a task delivered twice) does not count again."""
    merged = []
    for upload_id in [result["upload_id"] for result in results if result["successful"]]:
        cursor.execute(
            "UPDATE reports_upload SET state = 'merged', state_id = %s, order_number = %s, updated_at = now() WHERE id = %s AND state <> 'merged' RETURNING id",
            [MERGED, report.sessions, upload_id],
        )
        if cursor.fetchone():
            report.merge(reports.from_json(client.get(redis_store.intermediate_report_key(upload_id))))
            merged.append(upload_id)
    return merged


def record_errors(cursor: Any, results: list[dict[str, Any]]) -> None:
    for result in results:
        if not result["successful"]:
            cursor.execute(
                "UPDATE reports_upload SET state = 'error', state_id = %s, updated_at = now() WHERE id = %s AND state <> 'error'",
                [ERROR, result["upload_id"]],
            )
            cursor.execute("INSERT INTO reports_uploaderror (upload_id, error_code) VALUES (%s, %s)", [result["upload_id"], result["error"]])


def write_report(cursor: Any, commit: dict[str, Any], report: reports.Report, path: str) -> None:
    totals = reports.totals(report)
    if not report.files:
        cursor.execute("UPDATE commits SET state = 'error', totals = %s WHERE id = %s", [Json({**totals, "c": 0}), commit["id"]])
        return
    chunks, index = reports.to_chunks(report)
    storage.write(path, chunks.encode())
    cursor.execute(
        "UPDATE commits SET state = 'complete', totals = %s, report = %s, updatestamp = now() WHERE id = %s",
        [Json(totals), Json(index), commit["id"]],
    )


@celery_app.task(name=broker.NOTIFY)
def notify(repoid: int, commitid: str, **_: Any) -> dict[str, Any]:
    with database.transaction() as cursor:
        repository = find_repository(cursor, repoid)
        totals = find_commit(cursor, repoid, commitid)["totals"]
    provider = provider_of(repository.service)
    if provider is None:
        return {"notified": False, "notifications": None, "reason": "no_valid_bot"}
    base = f"/repos/{repository.username}/{repository.name}"
    provider.request("GET", f"{base}/commits/{commitid}/status?page=1&per_page=100")
    for context in ("codecov/project", "codecov/patch"):
        status = {"state": "success", "context": context, "description": f"{totals['c']}%", "target_url": repository.commit_url(commitid)}
        provider.request("POST", f"{base}/statuses/{commitid}", status)
    with database.transaction() as cursor:
        cursor.execute("UPDATE commits SET notified = true WHERE repoid = %s AND commitid = %s", [repoid, commitid])
    return {"notified": True}


@celery_app.task(name=broker.HEALTH_CHECK)
def health_check() -> None:
    """The length of each queue as a statsd gauge."""
    client = redis_store.connect()
    for queue in {broker.default_queue(), broker.HEALTH_CHECK_QUEUE, broker.queue_of(broker.UPLOAD)}:
        metrics.gauge(f"celery.queue.{queue}.len", client.llen(queue))


if get_config("setup", "health_check", "enabled", default=False):
    celery_app.conf.beat_schedule = {
        "health_check_task": {
            "task": broker.HEALTH_CHECK,
            "schedule": float(get_config("setup", "tasks", "healthcheck", "interval_seconds", default=10000)),
            "options": {"queue": broker.HEALTH_CHECK_QUEUE},
        }
    }
