"""The endpoints of the older uploaders: /upload/v4 (presigned) and /upload/v2 (through the api)."""

from __future__ import annotations

import gzip
import json
import logging
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

from standin import storage, uploads
from standin.uploads import SERVICES, Repository, repository_by_slug, repository_by_token
from standin.web.auth import global_tokens, is_uuid
from standin.web.http import Request, Response, database, router, text

log = logging.getLogger("upload.views.legacy")

UNKNOWN_TOKEN = "{'detail': ErrorDetail(string='Could not find a repository associated with upload token %s', code='not_found')}"


class UnknownToken(Exception):
    pass


def repository_of(cursor: Any, token: str, query: dict[str, str]) -> Repository:
    repository = None
    if service := global_tokens().get(token):
        owner, _, name = query.get("slug", "").rpartition("/")
        repository = repository_by_slug(cursor, SERVICES.get(query.get("service", ""), service), owner, name)
    elif is_uuid(token):
        repository = repository_by_token(cursor, token)
    if repository is None:
        raise UnknownToken(token)
    return repository


@router.route("/upload/(?P<version>v2|v4)/?", "POST")
def upload(request: Request, version: str) -> Response:
    query = request.query
    token = query.get("token") or request.header("X-Upload-Token") or ""
    commitid = query.get("commit", "")
    if not commitid:
        return text("Invalid request parameters", 400)
    reportid = str(uuid4())
    with database.transaction() as cursor:
        try:
            repository = repository_of(cursor, token, query)
        except UnknownToken:
            return text(UNKNOWN_TOKEN % token, 404)
        pull = query.get("pr") or query.get("pull_request")
        values = {"branch": query.get("branch") or repository.branch, "pullid": int(pull) if pull and pull.isdigit() else None}
        _, changed = uploads.get_or_create_commit(cursor, repository, commitid, values)
    if changed:
        uploads.announce_commit(repository, commitid)
    today = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    path = f"v4/raw/{today}/{repository.hash}/{commitid}/{reportid}.txt"
    try:
        answer = store(request, path, repository, commitid, reportid) if version == "v2" else presign(path, repository, commitid)
    except Exception:
        if version == "v2":
            raise
        log.exception("Error generating minio presigned put")
        return text("Unknown error, please try again later", 500)
    arguments = {name: value for name, value in query.items() if name != "token"}
    uploads.dispatch(repository.repoid, {**arguments, "commit": commitid, "version": version, "reportid": reportid, "url": path})
    return answer


def presign(path: str, repository: Repository, commitid: str) -> Response:
    return text(f"{repository.commit_url(commitid)}\n{storage.presigned_put(path)}", content_type="text/plain")


def store(request: Request, path: str, repository: Repository, commitid: str, reportid: str) -> Response:
    body = request.body
    if "gzip" in (request.header("X-Content-Encoding"), request.header("Content-Encoding")):
        body = gzip.decompress(body)
    storage.write(path, body)
    answer = {
        "message": "Coverage reports upload successfully",
        "uploaded": True,
        "queued": True,
        "id": reportid,
        "url": repository.commit_url(commitid),
    }
    return text(json.dumps(answer), content_type="application/json")
