"""The api, everything up: answers that probes, gateway and users rely on."""

from __future__ import annotations

import json

import pytest
import requests
from client import Repository
from servers import Deployment, Process, wait_for

SECURITY = {"Server": "gunicorn", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Vary": "Cookie, origin"}


def get(deployment: Deployment, path: str, **options) -> requests.Response:
    return requests.get(deployment.url + path, allow_redirects=False, timeout=10, **options)


@pytest.mark.parametrize("path", ["/health/", "/api_health/", "/"])
def test_health_says_the_schema_version(deployment, api, path):
    answer = get(deployment, path)
    assert (answer.status_code, answer.content) == (200, b"26.7.6 is live!")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert SECURITY.items() <= dict(answer.headers).items()
    head = requests.head(deployment.url + path, timeout=10)
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize("path", ["/health", "/api_health"])
def test_without_slash_redirects(deployment, api, path):
    answer = get(deployment, path)
    assert (answer.status_code, answer.headers["Location"], answer.content) == (301, f"{path}/", b"")


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/no/such/page", 404, '{"error":"Page Not Found (404)"}'),
        ("/admin/", 302, ""),
        ("/api/v2/github/nobody/repos/x/commits/", 404, '{"detail":"No Owner matches the given query."}'),
        ("/upload/v4", 405, '{"detail":"Method \\"GET\\" not allowed."}'),
    ],
)
def test_other_pages(deployment, api, path, status, body):
    answer = get(deployment, path)
    assert (answer.status_code, answer.text) == (status, body)


def test_internal_names_this_installation(deployment, api):
    assert get(deployment, "/internal/").json() == {"users": f"{deployment.url}/internal/users"}


def test_post_without_csrf_token_is_refused(deployment, api):
    assert requests.post(f"{deployment.url}/health/", timeout=10).status_code == 403


def test_validate(deployment, api):
    url = f"{deployment.url}/validate"
    assert requests.post(url, data="coverage: {precision: 2}", timeout=10).text.startswith("Valid!\n\n{")
    bad = requests.post(url, data="covrage: 1", timeout=10)
    assert (bad.status_code, bad.text.strip()) == (400, "Error at ['covrage']: \nunknown field")


@pytest.mark.parametrize("provider", ["gh", "github"])
def test_login_goes_to_the_provider_and_keeps_its_state_in_redis(deployment, api, provider):
    answer = get(deployment, f"/login/{provider}")
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("https://github.com/login/oauth/authorize?response_type=code&")
    assert "client_id=contract-client" in answer.headers["Location"]
    state = answer.headers["Location"].rpartition("state=")[2]
    assert len(state) == 32 and deployment.redis.client.exists(f"oauth-state-{state}")
    assert set(answer.cookies.keys()) == {"ghpr", "sessionid"}


def test_metrics_need_no_database(deployment, api):
    answer = get(deployment, "/monitoring/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "django_http_responses_total_by_status_method" in answer.text


def test_badge_is_unknown_rather_than_missing(deployment, api):
    answer = get(deployment, "/gh/nobody/x/graph/badge.svg")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/svg+xml") and "unknown" in answer.text


def test_access_log_is_json_and_shows_the_query(deployment, api):
    get(deployment, "/validate?token=visible")
    line = wait_for(lambda: [line for line in api.output().splitlines() if "token=visible" in line], "access log")[0]
    assert set(json.loads(line)) == set("htrsbfa") and json.loads(line)["s"] == "200"


class TestUploadAuthentication:
    """Who may upload: the table of the facts."""

    DATA = {"commitid": "abc", "branch": "main"}

    @pytest.mark.parametrize("token", ["", "00000000-0000-4000-8000-000000000000", "garbage"])
    def test_public_repository_takes_any_token(self, deployment, api, token):
        assert Repository(deployment).post("commits", self.DATA, token).status_code == 201

    @pytest.mark.parametrize("token", ["", "00000000-0000-4000-8000-000000000000", "garbage"])
    @pytest.mark.parametrize("options", [{"private": True}, {"token_required": True}])
    def test_private_or_strict_repository_needs_its_token(self, deployment, api, options, token):
        repository = Repository(deployment, **options)
        refused = repository.post("commits", self.DATA, token)
        assert (refused.status_code, refused.json()) == (401, {"detail": "Not valid tokenless upload"})
        assert repository.post("commits", self.DATA).status_code == 201

    def test_unknown_repository(self, deployment, api):
        repository = Repository(deployment, private=True)
        repository.name = "other"
        known, unknown = repository.post("commits", self.DATA), repository.post("commits", self.DATA, "")
        assert (known.status_code, known.json()) == (400, ["Repository not found"])
        assert unknown.status_code == 401

    def test_global_token(self, deployment, api):
        repository = Repository(deployment, private=True)
        assert repository.post("commits", self.DATA, "contract-global").status_code == 201
        repository.name = "other"
        refused = repository.post("commits", self.DATA, "contract-global")
        assert (refused.status_code, refused.json()["detail"]) == (401, "Could not find a repository, try using repo upload token")

    def test_slug_without_separator(self, deployment, api):
        repository = Repository(deployment, private=True)
        url = f"{deployment.url}/upload/github/{repository.owner}/commits"
        answer = requests.post(url, json=self.DATA, headers={"Authorization": f"token {repository.token}"}, timeout=10)
        assert (answer.status_code, answer.json()) == (400, ["Repository not found"])

    def test_older_endpoints_name_the_unknown_token(self, deployment, api):
        answer = requests.post(f"{deployment.url}/upload/v4?commit=abc&token=wrong", timeout=10)
        assert answer.status_code == 404
        assert "Could not find a repository associated with upload token wrong" in answer.text

    def test_private_results_only_with_the_upload_token_and_only_in_one_place(self, deployment, api):
        repository = Repository(deployment, private=True)
        assert repository.post("commits", self.DATA).status_code == 201
        header = {"Authorization": f"token {repository.token}"}
        listed = requests.get(f"{repository.upload_url}/commits", headers=header, timeout=10)
        assert (listed.status_code, listed.json()["count"]) == (200, 1)
        anonymous = requests.get(f"{repository.api_url}/commits/abc/", timeout=10)
        assert (anonymous.status_code, anonymous.json()) == (404, {"detail": "Not found."})
        assert requests.get(f"{repository.api_url}/commits/abc/", headers={"Authorization": f"Bearer {repository.token}"}, timeout=10).status_code == 401


class TestLostDependencies:
    """What turns which answer red; everything recovers without a restart."""

    def test_redis_down(self, deployment: Deployment, api: Process):
        deployment.redis.stop()
        try:
            assert get(deployment, "/health/").status_code == 200
            failed = get(deployment, "/login/gh")
            assert (failed.status_code, failed.json()) == (500, {"error": "Server Error (500)"})
        finally:
            deployment.redis.start()
        assert get(deployment, "/login/gh").status_code == 302

    def test_postgres_down(self, deployment: Deployment, api: Process):
        assert get(deployment, "/health/").status_code == 200
        deployment.postgres.stop()
        try:
            failed = get(deployment, "/health/")
            assert (failed.status_code, failed.json()) == (500, {"error": "Server Error (500)"})
            assert get(deployment, "/monitoring/metrics").status_code == 200
        finally:
            deployment.postgres.start()
        assert get(deployment, "/health/").status_code == 200
