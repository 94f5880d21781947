"""What the tests do as a client: repositories, uploads as codecov-cli sends them, and looking at the result."""

from __future__ import annotations

import base64
import json
import subprocess
import time
import zlib
from typing import Any
from uuid import uuid4

import psycopg2
import psycopg2.extras
import requests
from servers import APP, PYTHON, Deployment, Process, wait_for

LCOV = "TN:\nSF:app.py\nDA:1,1\nDA:2,1\nDA:3,1\nDA:4,0\nend_of_record\n"


def query(deployment: Deployment, statement: str, *values: Any) -> list[dict[str, Any]]:
    connection = psycopg2.connect(deployment.postgres.url, cursor_factory=psycopg2.extras.RealDictCursor)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []
    finally:
        connection.close()


class Repository:
    """A repository of its own for a test."""

    def __init__(self, deployment: Deployment, *, private: bool = False, token_required: bool = False) -> None:
        self.deployment, self.url = deployment, deployment.url
        self.owner, self.name = f"owner-{uuid4().hex[:8]}", "demo"
        ownerid = query(
            deployment,
            "INSERT INTO owners (service, service_id, username, upload_token_required_for_public_repos) VALUES ('github', %s, %s, %s)"
            " RETURNING ownerid",
            uuid4().hex, self.owner, token_required,
        )[0]["ownerid"]  # fmt: skip
        row = query(
            deployment,
            "INSERT INTO repos (ownerid, service_id, name, private, active, activated, image_token) VALUES (%s, %s, %s, %s, true, true, 'picture')"
            " RETURNING repoid, upload_token::text AS token",
            ownerid, uuid4().hex, self.name, private,
        )[0]  # fmt: skip
        self.repoid, self.token = row["repoid"], row["token"]

    @property
    def upload_url(self) -> str:
        return f"{self.url}/upload/github/{self.owner}::::{self.name}"

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/v2/github/{self.owner}/repos/{self.name}"

    def post(self, path: str, data: dict[str, Any], token: str | None = None) -> requests.Response:
        headers = {"Authorization": f"token {token or self.token}"} if token != "" else {}
        return requests.post(f"{self.upload_url}/{path}", json=data, headers=headers, timeout=30)

    def upload(self, sha: str, content: str = LCOV, filename: str = "lcov.info", put: bool = True) -> dict[str, Any]:
        """As `codecovcli upload-coverage` does it: one request, one PUT."""
        answer = self.post("upload-coverage", {"commitid": sha, "branch": "main", "code": "default"})
        assert answer.status_code == 201, answer.text
        if put:
            stored = requests.put(answer.json()["raw_upload_location"], data=cli_body(content, filename), timeout=30)
            assert stored.status_code == 200, stored.text
        return answer.json()

    def commit(self, sha: str) -> dict[str, Any]:
        return query(self.deployment, "SELECT * FROM commits WHERE repoid = %s AND commitid = %s", self.repoid, sha)[0]

    def uploads(self, sha: str) -> list[dict[str, Any]]:
        return query(
            self.deployment,
            "SELECT reports_upload.* FROM reports_upload JOIN reports_commitreport r ON r.id = report_id JOIN commits c ON c.id = commit_id"
            " WHERE repoid = %s AND commitid = %s ORDER BY id",
            self.repoid, sha,
        )  # fmt: skip

    def errors(self, sha: str) -> list[str]:
        ids = [row["id"] for row in self.uploads(sha)]
        return [row["error_code"] for row in query(self.deployment, "SELECT error_code FROM reports_uploaderror WHERE upload_id = ANY(%s)", ids)]

    def wait_for_state(self, sha: str, state: str, seconds: float = 30) -> dict[str, Any]:
        return wait_for(lambda: (commit := self.commit(sha))["state"] == state and commit, f"commit {sha} {state}", seconds)


def cli_body(content: str, filename: str) -> bytes:
    data = base64.b64encode(zlib.compress(content.encode())).decode()
    files = [{"filename": filename, "format": "base64+compressed", "data": data, "labels": ""}]
    return json.dumps({"report_fixes": {"format": "legacy", "value": {}}, "network_files": ["app.py"], "coverage_files": files}).encode()


def new_sha() -> str:
    return (uuid4().hex + uuid4().hex)[:40]


class EmptyDatabase:
    def __init__(self, deployment: Deployment, name: str) -> None:
        self.deployment, self.url = deployment, deployment.postgres.url.replace("/postgres", f"/{name}")

    def query(self, statement: str) -> list[tuple]:
        connection = psycopg2.connect(self.url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall()
        finally:
            connection.close()

    def manage(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return self.deployment.manage(*arguments, SERVICES__DATABASE_URL=self.url, **extra)

    def start(self, *arguments: str, **extra: str) -> Process:
        environment = self.deployment.environment(SERVICES__DATABASE_URL=self.url, **extra)
        log = self.deployment.directory / f"manage-{time.monotonic_ns()}.log"
        return Process([PYTHON, "manage.py", *arguments], log, env=environment, cwd=APP / "apps/codecov-api")

    def applied(self) -> int:
        return self.query("SELECT count(*) FROM django_migrations")[0][0]
