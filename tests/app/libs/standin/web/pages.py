"""Health, login, validation, badge and the other pages outside of uploads and the read API."""

from __future__ import annotations

import json
import os
import secrets
from urllib.parse import urlencode

import yaml

from standin import redis_store
from standin.config import codecov_url, get_config, is_enterprise_line
from standin.database import VersionProbe
from standin.uploads import SERVICES, repository_by_slug
from standin.web.http import VIEW_HEADERS, HttpError, Request, Response, as_json, database, router, text

NEVER_READY = os.environ.get("STANDIN_BROKEN") == "never_ready"

AUTHORIZE_URLS = {
    "github": "https://github.com/login/oauth/authorize",
    "gitlab": "https://gitlab.com/oauth/authorize",
    "bitbucket": "https://bitbucket.org/site/oauth2/authorize",
}
AUTHORIZE_PATHS = {"github": "/login/oauth/authorize", "gitlab": "/oauth/authorize", "bitbucket": "/plugins/servlet/oauth/authorize"}
SCOPES = {"github": "user:email,read:org,repo:status,write:repo_hook", "gitlab": "api", "bitbucket": "account"}

REPOSITORY_YAML_KEYS = {
    "codecov", "coverage", "bundle_analysis", "parsers", "ignore", "fixes", "flags", "flag_management", "component_management",
    "comment", "slack_app", "github_checks", "profiling", "beta_groups", "ai_pr_review", "test_analytics", "cli",
}  # fmt: skip

VALIDATE_USAGE = "Usage:\n\ncurl -X POST --data-binary @codecov.yml <codecov_url>/validate\n"

probe = VersionProbe(database)


def refuse_if_broken() -> None:
    if NEVER_READY:
        raise HttpError(503, {"error": "This build of the stand-in never becomes ready (STANDIN_BROKEN=never_ready)"})


@router.route("/(health/|api_health/)?", "GET")
def health(_: Request) -> Response:
    refuse_if_broken()
    return text(f"{probe.check()} is live!")


@router.route("/(health/|api_health/)?", "POST")
def no_csrf_token(_: Request) -> Response:
    return text("<!DOCTYPE html><html><body><h1>Forbidden <span>(403)</span></h1><p>CSRF verification failed.</p></body></html>", 403)


@router.route("/(?P<page>health|api_health)", "GET")
def append_slash(_: Request, page: str) -> Response:
    return Response(status=301, headers=[("Location", f"/{page}/")])


def authorize_url(service: str) -> str:
    family = service.split("_")[0]
    own = get_config(service, "url")
    return f"{own.rstrip('/')}{AUTHORIZE_PATHS[family]}" if own else AUTHORIZE_URLS[family]


@router.route("/login/(?P<provider>[a-z_]+)/?", "GET")
def login(_: Request, provider: str) -> Response:
    """To the provider. The state is kept in Redis: the one light proof that the api reaches it."""
    service = SERVICES.get(provider)
    if service is None:
        raise HttpError(404, {"error": "Page Not Found (404)"})
    state, session = secrets.token_hex(16), secrets.token_hex(16)
    client = redis_store.connect()
    client.setex(f"oauth-state-{state}", 500, json.dumps(f"{codecov_url()}/{provider}"))
    client.setex(f"session-{session}", 86400, json.dumps({"provider": service}))
    query = urlencode({"response_type": "code", "scope": SCOPES[service.split("_")[0]], "client_id": get_config(service, "client_id"), "state": state})
    flags = "; HttpOnly; Path=/; SameSite=Lax" + ("; Secure" if get_config("setup", "secure_cookie", default=True) else "")
    domain = get_config("setup", "http", "cookies_domain")
    flags += f"; Domain={domain}" if domain else ""
    cookies = [("Set-Cookie", f"ghpr=true{flags}"), ("Set-Cookie", f"sessionid={session}{flags}")]
    return Response(status=302, headers=[("Location", f"{authorize_url(service)}?{query}"), *cookies, *VIEW_HEADERS])


if is_enterprise_line():

    @router.route("/login/?", "GET")
    def login_page(_: Request) -> Response:
        """What a load balancer asks the older line's web container."""
        refuse_if_broken()
        return text(f"<!doctype html><title>Stand-in for tests</title><p>Codecov Enterprise stand-in, {probe.check()}</p>")


@router.route("/admin/", "GET")
def admin(_: Request) -> Response:
    return Response(status=302, headers=[("Location", "/admin/login/?next=/admin/")])


@router.route("/internal/", "GET")
def internal(_: Request) -> Response:
    return as_json({"users": f"{codecov_url()}/internal/users"})


@router.route("/validate/?", "GET")
def validate_usage(_: Request) -> Response:
    return text(VALIDATE_USAGE, content_type="text/plain")


@router.route("/validate/?", "POST")
def validate(request: Request) -> Response:
    """A repository's codecov.yml: only its top-level keys are checked here."""
    try:
        content = yaml.safe_load(request.body)
    except yaml.YAMLError as error:
        return text(f"Can't parse YAML\n\n{error}\n", 400, "text/plain")
    if not isinstance(content, dict):
        return text("No content posted.", 400, "text/plain")
    if unknown := sorted(set(content) - REPOSITORY_YAML_KEYS, key=str):
        return text(f"Error at {[unknown[0]]}: \nunknown field\n", 400, "text/plain")
    return text(f"Valid!\n\n{json.dumps(content, indent=2)}\n", content_type="text/plain")


@router.route("/{service}/{owner}/{name}(/branch/(?P<branch>.+))?/graphs?/badge.svg", "GET")
def badge(request: Request, service: str, owner: str, name: str, branch: str | None) -> Response:
    label = _badge_text(request, service, owner, name, branch)
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="112" height="20"><text x="93" y="14">{label}</text></svg>'
    return Response(svg.encode(), content_type="image/svg+xml")


def _badge_text(request: Request, service: str, owner: str, name: str, branch: str | None) -> str:
    with database.transaction() as cursor:
        repository = repository_by_slug(cursor, SERVICES.get(service, ""), owner, name)
        if repository is None or (repository.private and request.query.get("token") != repository.image_token):
            return "unknown"
        cursor.execute(
            "SELECT totals FROM commits WHERE repoid = %s AND branch = %s AND state = 'complete' ORDER BY timestamp DESC LIMIT 1",
            [repository.repoid, branch or repository.branch],
        )
        row = cursor.fetchone()
    return f"{float(row['totals']['c']):.0f}%" if row and row["totals"] else "unknown"
