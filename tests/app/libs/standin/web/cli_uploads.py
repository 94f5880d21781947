"""The endpoints that codecov-cli uses."""

from __future__ import annotations

from typing import Any

from standin import storage, uploads
from standin.uploads import Repository
from standin.web.auth import authorize, find
from standin.web.http import HttpError, Request, Response, as_json, database, router

COMMIT_PATH = "/upload/{service}/{slug}/commits/{sha}"


def require_active(repository: Repository) -> None:
    if repository.active and not repository.activated:
        url = f"{repository.commit_url('').split('/commit/')[0]}/config/general"
        raise HttpError(
            400,
            ["This repository is deactivated. To resume uploading to it, please activate the repository in the codecov UI: " + url],
        )


def require_commit(cursor: Any, repository: Repository, sha: str) -> dict[str, Any]:
    cursor.execute("SELECT * FROM commits WHERE repoid = %s AND commitid = %s", [repository.repoid, sha])
    commit = cursor.fetchone()
    if commit is None:
        raise HttpError(400, ["Commit SHA not found"])
    return commit


def require_report(cursor: Any, commit: dict[str, Any], code: str) -> dict[str, Any]:
    report = uploads.find_report(cursor, commit, None if code == "default" else code)
    if report is None:
        raise HttpError(400, ["Report not found"])
    return report


def commit_values(data: dict[str, Any]) -> dict[str, Any]:
    return {"branch": data.get("branch"), "parent": data.get("parent_commit_id"), "pullid": data.get("pullid") or None}


def report_code(data: dict[str, Any]) -> str | None:
    code = data.get("code")
    return None if code in (None, "default") else code


def show_commit(repository: Repository, commit: dict[str, Any]) -> dict[str, Any]:
    return {
        "message": commit["message"],
        "timestamp": commit["timestamp"],
        "ci_passed": commit["ci_passed"],
        "state": commit["state"],
        "repository": {
            "name": repository.name,
            "is_private": repository.private,
            "active": repository.active,
            "language": repository.language,
            "yaml": repository.yaml,
        },
        "author": None,
        "commitid": commit["commitid"],
        "parent_commit_id": commit["parent"],
        "pullid": commit["pullid"],
        "branch": commit["branch"],
    }


def show_upload(repository: Repository, commit: dict[str, Any], upload: dict[str, Any]) -> dict[str, Any]:
    return {
        "external_id": upload["external_id"],
        "created_at": upload["created_at"],
        "raw_upload_location": storage.presigned_put(upload["storage_path"]),
        "state": upload["state"],
        "provider": upload["provider"],
        "upload_type": upload["upload_type"],
        "url": repository.commit_url(commit["commitid"]),
        "ci_url": upload["build_url"],
        "flags": upload["flags"],
        "env": upload["env"],
        "name": upload["name"],
        "job_code": upload["job_code"],
    }


@router.route("/upload/{service}/{slug}/commits/?", "GET")
def list_commits(request: Request, service: str, slug: str) -> Response:
    """The one read for which the upload token of a private repository is enough."""
    with database.transaction() as cursor:
        repository = authorize(cursor, request, service, slug)
        cursor.execute("SELECT * FROM commits WHERE repoid = %s ORDER BY id DESC LIMIT 100", [repository.repoid])
        commits = [show_commit(repository, row) for row in cursor.fetchall()]
        cursor.execute("SELECT count(*) AS count FROM commits WHERE repoid = %s", [repository.repoid])
        count = cursor.fetchone()["count"]
    return as_json({"count": count, "next": None, "previous": None, "results": commits, "total_pages": 1})


@router.route("/upload/{service}/{slug}/commits/?", "POST")
def create_commit(request: Request, service: str, slug: str) -> Response:
    data = request.json
    if not data.get("commitid"):
        raise HttpError(400, {"commitid": ["This field is required."]})
    with database.transaction() as cursor:
        repository = authorize(cursor, request, service, slug, data.get("branch"))
        require_active(repository)
        commit, changed = uploads.get_or_create_commit(cursor, repository, data["commitid"], commit_values(data))
    if changed:
        uploads.announce_commit(repository, commit["commitid"])
    uploads.leave_breadcrumb(repository, commit["commitid"], "cc")
    return as_json(show_commit(repository, commit), 201)


@router.route(COMMIT_PATH + "/reports/?", "POST")
def create_report(request: Request, service: str, slug: str, sha: str) -> Response:
    with database.transaction() as cursor:
        repository = authorize(cursor, request, service, slug, _branch(cursor, service, slug, sha))
        require_active(repository)
        code = report_code(request.json)
        report, is_new = uploads.get_or_create_report(cursor, require_commit(cursor, repository, sha), code)
    if is_new:
        uploads.announce_report(repository, sha, code)
    uploads.leave_breadcrumb(repository, sha, "rfr")
    return as_json({"code": report["code"]}, 201)


@router.route(COMMIT_PATH + "/reports/{code}/uploads/?", "POST")
def create_upload(request: Request, service: str, slug: str, sha: str, code: str) -> Response:
    with database.transaction() as cursor:
        repository = authorize(cursor, request, service, slug, _branch(cursor, service, slug, sha))
        require_active(repository)
        commit = require_commit(cursor, repository, sha)
        report = require_report(cursor, commit, code)
        upload = uploads.create_upload(cursor, repository, commit, report, request.json)
        uploads.activate(cursor, repository)
    answer = finish(repository, commit, report, upload)
    return as_json(answer, 201, [("Location", answer["url"])])


@router.route("/upload/{service}/{slug}/upload-coverage/?", "POST")
def upload_coverage(request: Request, service: str, slug: str) -> Response:
    """Commit, report and upload in one request."""
    data = request.json
    if not data.get("commitid"):
        raise HttpError(400, {"commitid": ["This field is required."]})
    with database.transaction() as cursor:
        repository = authorize(cursor, request, service, slug, data.get("branch"))
        require_active(repository)
        commit, changed = uploads.get_or_create_commit(cursor, repository, data["commitid"], commit_values(data))
        code = report_code(data)
        report, is_new = uploads.get_or_create_report(cursor, commit, code)
        upload = uploads.create_upload(cursor, repository, commit, report, data)
        uploads.activate(cursor, repository)
    if changed:
        uploads.announce_commit(repository, commit["commitid"])
    if is_new:
        uploads.announce_report(repository, commit["commitid"], code)
    answer = finish(repository, commit, report, upload)
    return as_json({name: answer[name] for name in ("external_id", "created_at", "raw_upload_location", "url")}, 201)


def finish(repository: Repository, commit: dict[str, Any], report: dict[str, Any], upload: dict[str, Any]) -> dict[str, Any]:
    """Queue the upload and tell the client where to put its report."""
    arguments = {"commit": commit["commitid"], "upload_id": upload["id"], "version": "v4", "reportid": str(report["external_id"])}
    uploads.dispatch(repository.repoid, arguments)
    uploads.leave_breadcrumb(repository, commit["commitid"], "wcu", [upload["id"]])
    return show_upload(repository, commit, upload)


@router.route(COMMIT_PATH + "/(?P<action>empty-upload|upload-complete)/?", "POST")
def without_effect(request: Request, service: str, slug: str, sha: str, action: str) -> Response:
    """Both calls only concern notifications, which the stand-in does not send."""
    with database.transaction() as cursor:
        repository = authorize(cursor, request, service, slug, _branch(cursor, service, slug, sha))
        require_commit(cursor, repository, sha)
    return as_json({"result": "Accepted by the stand-in, without effect.", "action": action})


def _branch(cursor: Any, service: str, slug: str, sha: str) -> str | None:
    repository = find(cursor, service, slug)
    if repository is None:
        return None
    cursor.execute("SELECT branch FROM commits WHERE repoid = %s AND commitid = %s", [repository.repoid, sha])
    row = cursor.fetchone()
    return row["branch"] if row else None
