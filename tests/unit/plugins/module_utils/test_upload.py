# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The upload's steps and their failures, against a web server that answers as the API was measured to."""

from __future__ import annotations

import base64
import http.server
import json
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible_collections.covstack.selfhosted.plugins.module_utils import _upload as upload_module
from ansible_collections.covstack.selfhosted.plugins.module_utils._http_client import Client
from ansible_collections.covstack.selfhosted.plugins.module_utils._upload import Order, Upload
from ansible_collections.covstack.selfhosted.plugins.modules import codecov_upload

TOKEN = "2f7a9a60-5b1e-4c58-9f43-0c0f3b0e5a11"
COMMIT = "3f786850e387550fdab836ed7e6dc881de23001b"
EXPIRED = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"


class Api(http.server.BaseHTTPRequestHandler):
    """A private repository, or what a test makes of it by the class's attributes."""

    answers: dict[str, tuple[int, bytes]] = {}
    location = ""
    stored: bytes = b""
    requests: list[tuple[str, str, Any]] = []
    states: list[str | None] = []
    public = False
    badge = "unknown"
    other_commits = 0

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        path = self.path.split("?")[0]
        content = json.loads(body) if body and path.startswith("/upload/") else None
        Api.requests.append((self.command, path, content))
        planned = Api.answers.get(f"{self.command} {path}")
        if planned:
            self.answer(*planned)
        elif path.startswith("/archive/"):
            Api.stored = body
            self.answer(200, b"")
        elif path.startswith("/upload/") and self.headers.get("Authorization") != f"token {TOKEN}":
            self.answer(401, b'{"detail":"Not valid tokenless upload"}')
        elif self.command == "POST":
            location = Api.location or f"http://{self.headers['Host']}/archive/raw.txt?X-Amz-Signature=abc"
            self.answer(201, json.dumps({"external_id": "e", "raw_upload_location": location, "url": f"http://codecov/commit/{COMMIT}"}).encode())
        elif path.endswith("/commits"):
            self.list_commits()
        elif path.startswith("/api/v2/"):
            known = Api.public and "uploads" not in path
            self.answer(200 if known else 404, json.dumps({"totals": {"coverage": 75.0}} if known else {"detail": "Not found."}).encode())
        else:
            self.answer(200, f"<svg><text>{Api.badge}</text></svg>".encode())

    def list_commits(self) -> None:
        """In pages of two, ours last: the API gives the list no order."""
        if not Api.states:
            self.answer(200, b'{"count":0,"results":[],"total_pages":1}')
            return
        state = Api.states.pop(0) if len(Api.states) > 1 else Api.states[0]
        commits = [{"commitid": f"{number:040x}", "state": "complete"} for number in range(Api.other_commits)] + [{"commitid": COMMIT, "state": state}]
        page = int(self.path.rsplit("page=", 1)[1])
        pages = (len(commits) + 1) // 2
        self.answer(200, json.dumps({"count": len(commits), "results": commits[2 * page - 2:2 * page], "total_pages": pages}).encode())

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    do_GET = do_POST = do_PUT = handle_any


@pytest.fixture()
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    Api.answers, Api.location, Api.stored, Api.requests, Api.states = {}, "", b"", [], [None, "pending", "complete"]
    Api.public, Api.badge, Api.other_commits = False, "unknown", 0
    monkeypatch.setattr(upload_module, "POLL_SECONDS", 0.05)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def run(api: str, **changes: Any) -> Upload:
    values: dict[str, Any] = {
        "service": "github", "slug": "acme/demo", "token": TOKEN, "commit": COMMIT, "branch": "main", "report": upload_module.DEFAULT_REPORT,
        "report_name": "lcov.info", "network": ["covstack_probe.py"], "expected_coverage": 75.0, "flow": "combined", "timeout": 5.0,
    }
    upload = Upload(Client(api, timeout=5), Order(**{**values, **changes}))
    upload.run()
    return upload


def failed(upload: Upload, step: str) -> str:
    assert upload.failed_step and upload.failed_step.name == step, upload.steps
    assert upload.failed_step.remedy
    return upload.failed_step.cause


BASE = "/upload/github/acme::::demo"


class TestWell:
    def test_private_repository(self, api: str) -> None:
        upload = run(api)
        assert [(step.name, step.state) for step in upload.steps] == [
            ("create", "ok"), ("put", "ok"), ("queued", "ok"), ("processed", "ok"), ("result", "skipped")]
        assert (upload.state, upload.coverage, upload.failed_step) == ("complete", None, None)
        assert upload.commit_url == f"http://codecov/commit/{COMMIT}"
        assert all(step.proves and step.seconds >= 0 for step in upload.steps)

    def test_combined_request_has_the_fields_of_the_cli(self, api: str) -> None:
        run(api)
        path, content = Api.requests[0][1:]
        assert path == f"{BASE}/upload-coverage"
        assert content["commitid"] == COMMIT and content["code"] == "default" and content["branch"] == "main"
        # The API's serializer takes no null here.
        assert content["flags"] == [] and content["env"] == {} and isinstance(content["version"], str)

    def test_three_requests_as_older_uploaders_make_them(self, api: str) -> None:
        assert run(api, flow="steps").failed_step is None
        assert [request[1] for request in Api.requests if request[0] == "POST"] == [
            f"{BASE}/commits", f"{BASE}/commits/{COMMIT}/reports", f"{BASE}/commits/{COMMIT}/reports/default/uploads"]

    def test_stored_report_is_that_of_the_cli(self, api: str) -> None:
        run(api, report="TN:\n")
        stored = json.loads(Api.stored)
        assert set(stored) == {"report_fixes", "network_files", "coverage_files", "metadata"}
        file = stored["coverage_files"][0]
        # The worker reads `labels` without asking whether it is there.
        assert set(file) == {"filename", "format", "data", "labels"}
        assert zlib.decompress(base64.b64decode(file["data"])) == b"TN:\n"

    def test_the_list_of_commits_has_pages_and_no_order(self, api: str) -> None:
        Api.other_commits = 9
        assert run(api).state == "complete"

    def test_public_repository_shows_its_totals(self, api: str) -> None:
        Api.public = True
        assert run(api).coverage == 75.0

    def test_badge_of_a_private_repository(self, api: str) -> None:
        Api.badge = "75.00%"
        upload = run(api, image_token="image-1")
        assert (upload.coverage, upload.steps[-1].state) == (75.0, "ok")
        assert Api.requests[-1][1] == "/gh/acme/demo/branch/main/graph/badge.svg"
        Api.badge = "unknown"
        assert run(api, image_token="image-1").steps[-1].state == "skipped"


class TestFailures:
    @pytest.mark.parametrize(("answer", "cause"), [
        ((401, b'{"detail":"Not valid tokenless upload"}'), "rejects the token"),
        ((400, b'["Repository not found"]'), "the repository is not known"),
        ((400, b'["This repository is deactivated. To resume uploading ..."]'), "deactivated"),
        ((500, b'{"error": "Server Error (500)"}'), "the api failed"),
        ((503, b"No server is available"), "no healthy api"),
        ((200, b"<!doctype html><html>"), "went to the frontend"),
        ((404, b"404 page not found"), "no such page"),
        ((301, b""), "redirects"),
        ((201, b'{"raw_upload_location": null}'), "gave no URL"),
    ])
    def test_create(self, api: str, answer: tuple[int, bytes], cause: str) -> None:
        Api.answers[f"POST {BASE}/upload-coverage"] = answer
        assert cause in failed(run(api), "create")

    def test_no_server(self) -> None:
        assert "does not resolve" in failed(run("http://codecov.invalid"), "create")

    def test_presigned_url_of_a_host_that_clients_cannot_resolve(self, api: str) -> None:
        """The first pain of every installation: the storage's name inside the containers."""
        Api.location = "http://minio.invalid:9000/archive/x?X-Amz-Signature=abc"
        upload = run(api)
        cause = failed(upload, "put")
        assert cause == "the name minio.invalid does not resolve here; the API signs upload URLs for minio.invalid:9000"
        assert "codecov_storage" in upload.failed_step.remedy  # type: ignore[union-attr]
        assert upload.storage_host == "minio.invalid:9000"

    @pytest.mark.parametrize(("answer", "cause"), [
        ((403, EXPIRED), "has expired"),
        ((403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>"), "rejects the signature"),
        ((403, b"<Error><Code>AccessDenied</Code></Error>"), "may not write"),
        ((404, b"<Error><Code>NoSuchBucket</Code></Error>"), "bucket does not exist"),
        ((413, b""), "answered 413"),
    ])
    def test_put(self, api: str, answer: tuple[int, bytes], cause: str) -> None:
        Api.answers["PUT /archive/raw.txt"] = answer
        assert cause in failed(run(api), "put")

    def test_queued(self, api: str) -> None:
        Api.states = []
        assert "not in the list of commits" in failed(run(api, timeout=0.3), "queued")

    @pytest.mark.parametrize(("states", "cause"), [
        ([None], "no worker has taken the task"), (["pending"], "a worker has begun but not finished"), (["error"], "could not process the report")])
    def test_processed(self, api: str, states: list[str | None], cause: str) -> None:
        Api.states = states
        upload = run(api, timeout=0.5)
        assert cause in failed(upload, "processed") and upload.state == states[0]

    def test_result(self, api: str) -> None:
        Api.badge = "50.00%"
        assert failed(run(api, image_token="i"), "result") == "the coverage is 50.0 % instead of 75.0 %"

    def test_nothing_is_tried_after_a_failure(self, api: str) -> None:
        Api.answers["PUT /archive/raw.txt"] = (403, EXPIRED)
        assert [step.name for step in run(api).steps] == ["create", "put"]


class TestModule:
    @pytest.fixture()
    def module(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
        def run_module(**options: Any) -> dict[str, Any]:
            internal = {"_ansible_remote_tmp": str(tmp_path), "_ansible_keep_remote_files": False}
            monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": {**options, **internal}}).encode())
            monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
            with pytest.raises(SystemExit):
                codecov_upload.main()
            output = capsys.readouterr().out
            assert TOKEN not in output.replace(json.dumps(options.get("token")), ""), "the token left the module"
            result: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
            return result

        return run_module

    def test_success(self, api: str, module: Any) -> None:
        result = module(url=api, slug="acme/demo", token=TOKEN, commit=COMMIT)
        assert (result["changed"], result["state"], result["failed_step"]) == (True, "complete", None)
        assert [step["name"] for step in result["steps"]] == ["create", "put", "queued", "processed", "result"]

    def test_failure_names_the_step(self, api: str, module: Any) -> None:
        Api.answers["PUT /archive/raw.txt"] = (403, EXPIRED)
        result = module(url=api, slug="acme/demo", token=TOKEN)
        assert result["failed"] and result["failed_step"] == "put"
        assert result["msg"].startswith("The upload to acme/demo failed at the step 'put': the signed URL has expired")
        # The commit was created: that is a change.
        assert result["changed"]

    @pytest.mark.parametrize("options", [{"slug": "acme"}, {"slug": "acme/a b"}, {"url": "codecov.example.com"}, {"connect_to": "here"}])
    def test_bad_options(self, api: str, module: Any, options: dict[str, str]) -> None:
        result = module(**{"url": api, "slug": "acme/demo", "token": TOKEN, **options})
        assert result["failed"] and "Allowed:" in result["msg"]
        assert Api.requests == []

    def test_makes_its_repository_without_a_token(self, api: str, module: Any, tmp_path: Path) -> None:
        """In a web container of the application, by a script on standard input; nobody gets to see the tokens."""
        Api.badge = "75%"
        program = tmp_path / "docker"
        entry = {"Id": "api-1", "Name": "/api-1", "State": {"Status": "running"}, "Config": {"Labels": {"covstack.service": "api", "covstack.slot": "blue"}},
                 "Mounts": [{"Destination": "/covstack/probe.py"}]}
        (tmp_path / "inspect.json").write_text(json.dumps([entry]))
        program.write_text(f"""#!/bin/sh
case $1 in
  ps) echo api-1;;
  inspect) cat {tmp_path}/inspect.json;;
  exec) echo "$@" > {tmp_path}/call; cat > {tmp_path}/script
        printf '==> License is valid <==\\ncovstack-image-token=IMAGE55TOKEN\\ncovstack-upload-token={TOKEN}\\n';;
esac
""")
        program.chmod(0o755)
        result = module(url=api, slug="covstack/probe", docker_cli=str(program), commit=COMMIT)
        assert (result.get("failed", False), result["coverage"]) == (False, 75.0), result
        assert "IMAGE55TOKEN" not in json.dumps(result)
        command = "cd /app/apps/codecov-api && exec python manage.py shell --command 'import sys; exec(sys.stdin.read())'"
        assert (tmp_path / "call").read_text() == f"exec -i api-1 sh -c {command}\n"
        script = (tmp_path / "script").read_text()
        compile(script, "script", "exec")
        assert "private=True" in script and "'covstack', 'probe'" in script

    def test_repository_that_cannot_be_made(self, api: str, module: Any, tmp_path: Path) -> None:
        program = tmp_path / "docker"
        program.write_text("#!/bin/sh\nexit 0\n")
        program.chmod(0o755)
        assert "No running container of the deployment 'codecov'" in module(url=api, slug="covstack/probe", docker_cli=str(program))["msg"]


@pytest.mark.parametrize(("slug", "encoded"), [("a/b", "a::::b"), ("group/sub/name", "group:::sub::::name")])
def test_encode_slug(slug: str, encoded: str) -> None:
    assert upload_module.encode_slug(slug) == encoded


def test_script_takes_names_as_data() -> None:
    script = upload_module.probe_repository_script("github", "a'b/c\"d")
    compile(script, "script", "exec")
    assert repr("a'b") in script
