"""An upload from its creation to the result, as clients, database, Redis and storage see it."""

from __future__ import annotations

import subprocess
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from client import LCOV, Repository, cli_body, new_sha
from servers import BUCKET, program, running, wait_for

OLD_FORMAT = b"app.py\n<<<<<< network\n# path=lcov.info\nTN:\nSF:app.py\nDA:1,1\nDA:2,0\nend_of_record\n<<<<<< EOF\n"


def test_result_is_visible_everywhere(deployment, api, worker):
    repository, sha = Repository(deployment), new_sha()
    repository.post("commits", {"commitid": sha, "branch": "main"})
    before = requests.get(f"{repository.api_url}/commits/{sha}/", timeout=10).json()
    assert (before["totals"], before["state"]) == (None, None)
    assert requests.get(f"{repository.api_url}/totals/?sha={sha}", timeout=10).status_code == 404

    answer = repository.upload(sha)
    assert answer["url"] == f"{deployment.url}/github/{repository.owner}/demo/commit/{sha}"
    commit = repository.wait_for_state(sha, "complete")
    expected = {"C": 0, "M": 0, "N": 0, "b": 0, "c": "75.00000", "d": 0, "f": 1, "h": 3, "m": 1, "n": 4, "p": 0, "s": 1, "diff": None}
    assert commit["totals"] == expected
    assert [(row["state"], row["state_id"]) for row in repository.uploads(sha)] == [("merged", 6)]

    after = requests.get(f"{repository.api_url}/commits/{sha}/", timeout=10).json()
    assert after["state"] == "complete" and after["totals"]["coverage"] == 75.0 and after["totals"]["lines"] == 4
    uploads = requests.get(f"{repository.api_url}/commits/{sha}/uploads/", timeout=10).json()["results"]
    assert [(row["state"], row["state_name"]) for row in uploads] == [("merged", "MERGED")]
    assert requests.get(f"{repository.api_url}/report/?sha={sha}", timeout=10).json()["files"][0]["name"] == "app.py"
    assert "75%" in requests.get(f"{deployment.url}/gh/{repository.owner}/demo/graph/badge.svg", timeout=10).text
    path = uploads[0]["storage_path"].split("/")
    chunks = deployment.storage.client().get_object(BUCKET, f"v4/repos/{path[3]}/commits/{sha}/chunks.txt").data
    assert chunks == b"{}\n[1]\n[1]\n[1]\n[0]"


def test_second_upload_merges_into_the_first(deployment, api, worker):
    repository, sha = Repository(deployment), new_sha()
    repository.upload(sha)
    repository.wait_for_state(sha, "complete")
    repository.upload(sha, "TN:\nSF:app.py\nDA:4,2\nend_of_record\n")
    totals = wait_for(lambda: (totals := repository.commit(sha)["totals"])["s"] == 2 and totals, "second upload")
    assert (totals["c"], totals["h"]) == ("100", 4)


@pytest.mark.parametrize("command", ["upload-process", "upload-coverage"])
def test_real_cli(deployment, api, worker, tmp_path, command):
    repository, sha = Repository(deployment, private=True), new_sha()
    (tmp_path / "lcov.info").write_text(LCOV)
    done = subprocess.run(
        [program("codecovcli"), "--disable-telem", "-u", deployment.url, command, "-Z", "-t", repository.token, "--git-service", "github",
         "-r", f"{repository.owner}/demo", "-C", sha, "-B", "main", "-f", "lcov.info", "--disable-search"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    repository.wait_for_state(sha, "complete")
    listed = requests.get(f"{repository.upload_url}/commits", headers={"Authorization": f"token {repository.token}"}, timeout=10).json()
    assert [(row["commitid"], row["state"]) for row in listed["results"]] == [(sha, "complete")]


def test_three_calls_answer_as_the_cli_expects(deployment, api):
    repository, sha = Repository(deployment), new_sha()
    commit = repository.post("commits", {"commitid": sha, "branch": "main", "pullid": None, "parent_commit_id": None, "cli_args": {}, "version": "11"})
    assert commit.json()["repository"] == {"name": "demo", "is_private": False, "active": True, "language": None, "yaml": None}
    report = repository.post(f"commits/{sha}/reports", {"code": "default"})
    assert (report.status_code, report.json()) == (201, {"code": None})
    created = repository.post(f"commits/{sha}/reports/default/uploads", {"ci_service": "local", "flags": ["unit"], "env": {}, "name": None})
    body = created.json()
    assert created.status_code == 201 and created.headers["Location"] == body["url"]
    assert set(body) == {
        "external_id", "created_at", "raw_upload_location", "state", "provider", "upload_type", "url", "ci_url", "flags", "env", "name", "job_code",
    }  # fmt: skip
    assert (body["state"], body["provider"], body["upload_type"], body["flags"]) == ("started", "local", "uploaded", ["unit"])


def test_presigned_url_signs_the_host_alone_and_expires(deployment, api):
    location = Repository(deployment).upload(new_sha(), put=False)["raw_upload_location"]
    parts = urlsplit(location)
    signed = parse_qs(parts.query)
    assert parts.netloc == f"127.0.0.1:{deployment.storage.port}" and parts.path.startswith(f"/{BUCKET}/v4/raw/")
    assert (signed["X-Amz-Expires"], signed["X-Amz-SignedHeaders"]) == (["10"], ["host"])
    assert requests.put(location, data=b"x", headers={"Host": "other.example"}, timeout=10).status_code == 403
    assert requests.put(location, data=b"x", timeout=10).status_code == 200


@pytest.mark.parametrize(("version", "body"), [("v4", None), ("v2", OLD_FORMAT)], ids=["v4", "v2"])
def test_older_uploaders(deployment, api, worker, version, body):
    repository, sha = Repository(deployment), new_sha()
    url = f"{deployment.url}/upload/{version}?commit={sha}&token={repository.token}&branch=main&package=custom-1.0"
    answer = requests.post(url, data=body, timeout=10)
    assert answer.status_code == 200
    if version == "v4":
        result_url, location = answer.text.split("\n")
        assert result_url.endswith(f"/commit/{sha}")
        assert requests.put(location, data=cli_body(LCOV, "lcov.info"), timeout=10).status_code == 200
    else:
        assert answer.json()["message"] == "Coverage reports upload successfully" and answer.json()["queued"] is True
    assert repository.wait_for_state(sha, "complete")["totals"]["c"] == {"v4": "75.00000", "v2": "50.00000"}[version]


def test_storage_without_region_is_asked_for_it_and_with_region_is_not(deployment):
    config = deployment.config()
    config["services"]["minio"]["port"] = 1
    with running(deployment.start_api(CODECOV_YML=str(deployment.write_config(config, "storage-down.yml")))):
        assert Repository(deployment).post("upload-coverage", {"commitid": new_sha(), "branch": "main"}).status_code == 201
