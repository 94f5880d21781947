"""Commits, reports and uploads in the database, and handing an upload to the worker; the same for every way to upload."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

from psycopg2.extras import Json

from standin import broker, redis_store, storage
from standin.config import dashboard_url, get_config, is_enterprise_line, test_switch

SERVICES = {
    "gh": "github",
    "ghe": "github_enterprise",
    "gl": "gitlab",
    "gle": "gitlab_enterprise",
    "bb": "bitbucket",
    "bbs": "bitbucket_server",
}
SERVICES.update({name: name for name in list(SERVICES.values())})

UPLOAD_DELAY_SECONDS = 4.0

REPOSITORY_QUERY = """
SELECT repos.*, owners.service, owners.username, owners.upload_token_required_for_public_repos AS token_required
FROM repos JOIN owners USING (ownerid) WHERE
"""


@dataclass(frozen=True)
class Repository:
    repoid: int
    service: str
    service_id: str
    username: str
    name: str
    private: bool
    active: bool
    activated: bool
    branch: str
    upload_token: str
    image_token: str | None
    token_required: bool
    language: str | None
    yaml: Any

    @property
    def hash(self) -> str:
        return storage.repository_hash(self.repoid, self.service, self.service_id)

    def commit_url(self, commitid: str) -> str:
        return f"{dashboard_url()}/{self.service}/{self.username}/{self.name}/commit/{commitid}"


def _repository(row: dict[str, Any] | None) -> Repository | None:
    if row is None:
        return None
    values: dict[str, Any] = {name: row[name] for name in Repository.__dataclass_fields__}
    return Repository(**{**values, "upload_token": str(row["upload_token"])})


def repository_by_slug(cursor: Any, service: str, owner: str, name: str) -> Repository | None:
    cursor.execute(REPOSITORY_QUERY + "owners.service = %s AND owners.username = %s AND repos.name = %s", [service, owner, name])
    return _repository(cursor.fetchone())


def repository_by_token(cursor: Any, token: str) -> Repository | None:
    cursor.execute(REPOSITORY_QUERY + "repos.upload_token = %s", [token])
    return _repository(cursor.fetchone())


def repository_by_id(cursor: Any, repoid: int) -> Repository | None:
    cursor.execute(REPOSITORY_QUERY + "repos.repoid = %s", [repoid])
    return _repository(cursor.fetchone())


def get_or_create_commit(cursor: Any, repository: Repository, commitid: str, values: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The commit, and whether it is new or learned something. What a commit already knows stays."""
    given = {name: values.get(name) for name in ("branch", "parent", "pullid")}
    cursor.execute(
        "INSERT INTO commits (repoid, commitid, branch, parent, pullid) VALUES (%s, %s, %s, %s, %s) ON CONFLICT (repoid, commitid) DO NOTHING RETURNING *",
        [repository.repoid, commitid, *given.values()],
    )
    if row := cursor.fetchone():
        return row, True
    cursor.execute("SELECT * FROM commits WHERE repoid = %s AND commitid = %s FOR UPDATE", [repository.repoid, commitid])
    row = cursor.fetchone()
    learned = {name: value for name, value in given.items() if row[name] is None and value is not None}
    for name, value in learned.items():
        cursor.execute(f"UPDATE commits SET {name} = %s WHERE id = %s", [value, row["id"]])
    return {**row, **learned}, bool(learned)


def get_or_create_report(cursor: Any, commit: dict[str, Any], code: str | None) -> tuple[dict[str, Any], bool]:
    cursor.execute(
        "INSERT INTO reports_commitreport (commit_id, code, report_type) VALUES (%s, %s, 'coverage') ON CONFLICT DO NOTHING RETURNING *",
        [commit["id"], code],
    )
    if row := cursor.fetchone():
        return row, True
    return find_report(cursor, commit, code), False


def find_report(cursor: Any, commit: dict[str, Any], code: str | None) -> dict[str, Any]:
    cursor.execute("SELECT * FROM reports_commitreport WHERE commit_id = %s AND code IS NOT DISTINCT FROM %s", [commit["id"], code])
    return cursor.fetchone()


def create_upload(cursor: Any, repository: Repository, commit: dict[str, Any], report: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    external_id = uuid4()
    today = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    path = f"v4/raw/{today}/{repository.hash}/{commit['commitid']}/{report['external_id']}/{external_id}.txt"
    return insert_upload(
        cursor,
        report["id"],
        external_id=external_id,
        storage_path=path,
        provider=data.get("ci_service"),
        build_url=data.get("ci_url"),
        job_code=data.get("job_code"),
        name=data.get("name"),
        env=Json(data.get("env") or {}),
        flags=Json(data.get("flags") or []),
        upload_extras=Json({"format_version": "v1"}),
    )


def insert_upload(cursor: Any, report_id: int, **columns: Any) -> dict[str, Any]:
    names = ", ".join(columns)
    places = ", ".join(["%s"] * len(columns))
    cursor.execute(f"INSERT INTO reports_upload (report_id, state, {names}) VALUES (%s, 'started', {places}) RETURNING *", [report_id, *columns.values()])
    return cursor.fetchone()


def activate(cursor: Any, repository: Repository) -> None:
    cursor.execute(
        "UPDATE repos SET activated = true, active = true, deleted = false, coverage_enabled = true, updatestamp = now()"
        " WHERE repoid = %s AND NOT (activated AND active AND coverage_enabled AND NOT deleted)",
        [repository.repoid],
    )


def announce_commit(repository: Repository, commitid: str) -> None:
    broker.send(broker.COMMIT_UPDATE, repoid=repository.repoid, commitid=commitid)


def announce_report(repository: Repository, commitid: str, code: str | None) -> None:
    broker.send(broker.PRE_PROCESS_UPLOAD, repoid=repository.repoid, commitid=commitid, report_code=code)


def leave_breadcrumb(repository: Repository, commitid: str, milestone: str, upload_ids: list[int] | None = None) -> None:
    """The upload's history, which the older line does not keep."""
    if not is_enterprise_line():
        broker.send(
            broker.UPLOAD_BREADCRUMB,
            commit_sha=commitid,
            repo_id=repository.repoid,
            breadcrumb_data={"milestone": milestone},
            upload_ids=upload_ids or [],
        )


def dispatch(repoid: int, arguments: dict[str, Any]) -> None:
    """Hand an upload to the worker: first to the commit's pending list, then a task that empties the list."""
    pending = redis_store.PendingUploads(redis_store.connect(), repoid, arguments["commit"])
    pending.add(arguments, time.time())
    delay = test_switch("upload_delay", UPLOAD_DELAY_SECONDS)
    broker.send(
        broker.UPLOAD,
        countdown=max(delay, int(get_config("setup", "upload_processing_delay") or 0)),
        repoid=repoid,
        commitid=arguments["commit"],
        report_type="coverage",
        arguments=arguments,
        debug=False,
        rebuild=False,
    )
