"""The public read API (/api/v2), as far as it shows what became of an upload."""

from __future__ import annotations

from typing import Any

from standin.uploads import SERVICES, Repository, repository_by_slug
from standin.web.http import HttpError, Request, Response, as_json, database, router

REPOSITORY_PATH = "/api/v2/{service}/{owner}/repos/{name}"
STATE_NAMES = {1: "UPLOADED", 2: "PROCESSED", 3: "ERROR", 6: "MERGED"}


def readable_repository(cursor: Any, request: Request, service: str, owner: str, name: str) -> Repository:
    """Public repositories for everybody; nothing for an upload token, which is no API token."""
    if request.token:
        raise HttpError(401, {"detail": "Invalid token."})
    cursor.execute("SELECT 1 FROM owners WHERE service = %s AND username = %s", [SERVICES.get(service, service), owner])
    if cursor.fetchone() is None:
        raise HttpError(404, {"detail": "No Owner matches the given query."})
    repository = repository_by_slug(cursor, SERVICES.get(service, service), owner, name)
    if repository is None or repository.private:
        raise HttpError(404, {"detail": "Not found."})
    return repository


def find_commit(cursor: Any, repository: Repository, sha: str) -> dict[str, Any]:
    cursor.execute("SELECT * FROM commits WHERE repoid = %s AND commitid = %s", [repository.repoid, sha])
    commit = cursor.fetchone()
    if commit is None:
        raise HttpError(404, {"detail": "Not found."})
    return commit


def show_totals(totals: dict[str, Any] | None) -> dict[str, Any] | None:
    if not totals:
        return None
    return {
        "files": totals["f"],
        "lines": totals["n"],
        "hits": totals["h"],
        "misses": totals["m"],
        "partials": totals["p"],
        "coverage": round(float(totals["c"]), 2),
        "branches": totals["b"],
        "methods": totals["d"],
        "messages": totals["M"],
        "sessions": totals["s"],
        "complexity": float(totals["C"]),
        "complexity_total": float(totals["N"]),
        "complexity_ratio": 0,
        "diff": totals["diff"],
    }


def show_commit(commit: dict[str, Any]) -> dict[str, Any]:
    return {
        "commitid": commit["commitid"],
        "message": commit["message"],
        "timestamp": commit["timestamp"],
        "ci_passed": commit["ci_passed"],
        "author": None,
        "branch": commit["branch"],
        "totals": show_totals(commit["totals"]),
        "state": commit["state"],
        "parent": commit["parent"],
    }


def show_files(report: dict[str, Any] | None) -> list[dict[str, Any]]:
    files = (report or {}).get("files", {})
    names = ("lines", "hits", "misses", "partials", "coverage")
    return [{"name": name, "totals": {**dict(zip(names, totals[1:])), "coverage": round(float(totals[5]), 2)}} for name, (_, totals) in files.items()]


def paginated(results: list[Any]) -> dict[str, Any]:
    return {"count": len(results), "next": None, "previous": None, "results": results, "total_pages": 1}


@router.route(REPOSITORY_PATH + "/?", "GET")
def show_repository(request: Request, service: str, owner: str, name: str) -> Response:
    with database.transaction() as cursor:
        repository = readable_repository(cursor, request, service, owner, name)
    fields = {"name": repository.name, "private": repository.private, "branch": repository.branch, "active": repository.active}
    return as_json({**fields, "activated": repository.activated, "author": {"service": repository.service, "username": repository.username}})


@router.route(REPOSITORY_PATH + "/commits/?", "GET")
def list_commits(request: Request, service: str, owner: str, name: str) -> Response:
    with database.transaction() as cursor:
        repository = readable_repository(cursor, request, service, owner, name)
        cursor.execute("SELECT * FROM commits WHERE repoid = %s ORDER BY timestamp DESC LIMIT 100", [repository.repoid])
        return as_json(paginated([show_commit(row) for row in cursor.fetchall()]))


@router.route(REPOSITORY_PATH + "/commits/{sha}/?", "GET")
def show_one_commit(request: Request, service: str, owner: str, name: str, sha: str) -> Response:
    with database.transaction() as cursor:
        repository = readable_repository(cursor, request, service, owner, name)
        return as_json(show_commit(find_commit(cursor, repository, sha)))


@router.route(REPOSITORY_PATH + "/commits/{sha}/uploads/?", "GET")
def list_uploads(request: Request, service: str, owner: str, name: str, sha: str) -> Response:
    with database.transaction() as cursor:
        repository = readable_repository(cursor, request, service, owner, name)
        commit = find_commit(cursor, repository, sha)
        cursor.execute(
            "SELECT reports_upload.* FROM reports_upload JOIN reports_commitreport ON reports_commitreport.id = report_id"
            " WHERE commit_id = %s ORDER BY reports_upload.id",
            [commit["id"]],
        )
        rows = cursor.fetchall()
    names = ("created_at", "updated_at", "provider", "job_code", "env", "name", "upload_type", "state", "storage_path", "build_url", "flags")
    return as_json(paginated([{**{key: row[key] for key in names}, "state_name": STATE_NAMES.get(row["state_id"])} for row in rows]))


@router.route(REPOSITORY_PATH + "/(?P<kind>totals|report)/?", "GET")
def show_report(request: Request, service: str, owner: str, name: str, kind: str) -> Response:
    with database.transaction() as cursor:
        repository = readable_repository(cursor, request, service, owner, name)
        commit = find_commit(cursor, repository, request.query.get("sha", ""))
    if commit["report"] is None:
        raise HttpError(404, {"detail": f"No coverage report found for commit {commit['commitid']}"})
    return as_json({"totals": show_totals(commit["totals"]), "files": show_files(commit["report"])})


@router.route("/api/v2/{service}/{owner}(/.*)?", "GET")
def unknown_owner(_: Request, service: str, owner: str) -> Response:
    with database.transaction() as cursor:
        cursor.execute("SELECT 1 FROM owners WHERE service = %s AND username = %s", [SERVICES.get(service, service), owner])
        known = cursor.fetchone()
    raise HttpError(404, {"detail": "Not found." if known else "No Owner matches the given query."})
