# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""An upload as codecov-cli makes it, step by step and timed.

Private to this collection.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from ansible_collections.covstack.selfhosted.plugins.module_utils._engine import EngineError
from ansible_collections.covstack.selfhosted.plugins.module_utils._engines import engine_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._http_client import Client, ConnectionProblem, Response
from ansible_collections.covstack.selfhosted.plugins.module_utils._repair import choose

OK, FAILED, SKIPPED = "ok", "failed", "skipped"

# 3 of 4 lines covered. lcov, because it has no date: the application refuses old reports of other formats.
DEFAULT_REPORT = "TN:\nSF:covstack_probe.py\nDA:1,1\nDA:2,1\nDA:3,1\nDA:4,0\nLF:4\nLH:3\nend_of_record\n"
DEFAULT_COVERAGE = 75.0
# Some servers show two decimals, others round down.
COVERAGE_TOLERANCE = 0.01
POLL_SECONDS = 0.5
PAGE_SIZE = 1000
MAXIMUM_PAGES = 50
FINAL_STATES = ("complete", "error", "skipped")

TOKEN_MARK = "covstack-upload-token="
IMAGE_TOKEN_MARK = "covstack-image-token="
# As the gateway routes them.
SHORT_NAMES = {"github": "gh", "github_enterprise": "ghe", "gitlab": "gl", "gitlab_enterprise": "gle", "bitbucket": "bb", "bitbucket_server": "bbs"}
# Without it Django's shell looks for a script on its standard input once; one that arrives later is typed, line by line, into an interactive console.
READ_SCRIPT = "import sys; exec(sys.stdin.read())"
# Run by `manage.py shell` in a container of the application. Private, because the API takes any token for a public repository.
PROBE_REPOSITORY_SCRIPT = """
from shared.django_apps.codecov_auth.models import Owner
from shared.django_apps.core.models import Repository
service, username, name = {service!r}, {owner!r}, {name!r}
owner, _ = Owner.objects.get_or_create(service=service, username=username, defaults=dict(service_id="covstack-" + username))
repository, _ = Repository.objects.get_or_create(
    author=owner, name=name, defaults=dict(service_id="covstack-" + name, private=True, branch="main", active=True, activated=True))
if not repository.private:
    raise SystemExit("this repository is public, and would take any token")
print({image_mark!r} + str(repository.image_token))
print({mark!r} + str(repository.upload_token))
"""


class StepFailed(Exception):
    def __init__(self, cause: str, remedy: str, detail: str = "") -> None:
        super().__init__(cause)
        self.cause, self.remedy, self.detail = cause, remedy, detail


class StepSkipped(Exception):
    pass


@dataclass
class Step:
    name: str
    state: str
    seconds: float
    proves: str
    detail: str = ""
    cause: str = ""
    remedy: str = ""


PROVES = {
    "create": "the API takes uploads with this token",
    "put": "clients reach the object storage by the URL that the API signed",
    "queued": "the commit is stored and visible with the same token",
    "processed": "a worker took the task, read the report and merged it",
    "result": "the coverage is the expected one",
}


def probe_repository_script(service: str, slug: str) -> str:
    """Python for `manage.py shell`: makes the private repository unless it is there, and prints its tokens after their marks."""
    owner, name = slug.rsplit("/", 1)
    return PROBE_REPOSITORY_SCRIPT.format(service=service, owner=owner, name=name, mark=TOKEN_MARK, image_mark=IMAGE_TOKEN_MARK)


def token_in(output: str, mark: str = TOKEN_MARK) -> str | None:
    match = re.search(rf"^{mark}([0-9A-Za-z-]+)\s*$", output, re.MULTILINE)
    return match.group(1) if match and match.group(1) != "None" else None


def encode_slug(slug: str) -> str:
    """owner/name as the upload API writes it: owner::::name, group:::subgroup::::name."""
    owner, name = slug.rsplit("/", 1)
    return f"{owner.replace('/', ':::')}::::{name}"


def payload_of(report: str, name: str, network: Sequence[str]) -> bytes:
    """What is stored: the reports, compressed, with the list of the repository's files."""
    data = base64.b64encode(zlib.compress(report.encode("utf-8"))).decode("ascii")
    files = [{"filename": name, "format": "base64+compressed", "data": data, "labels": ""}]
    return json.dumps({"report_fixes": {"format": "legacy", "value": {}}, "network_files": list(network), "coverage_files": files, "metadata": {}}).encode()


def storage_code(text: str) -> str:
    match = re.search(r"<Code>(\w+)</Code>", text)
    return match.group(1) if match else ""


def api_failure(response: Response, what: str) -> StepFailed:
    """The likely cause of an answer that is not the expected one."""
    shown = " ".join(response.text.split())[:200]
    detail = f"{what}: {response.status} {shown}".strip()
    if "<html" in response.text.lower() and response.status < 400:
        return StepFailed("a web page came instead of the API's answer: the request went to the frontend", "look at the gateway's routes, and at url", detail)
    if response.status == 401:
        return StepFailed("the API rejects the token for this repository", "use the upload token of exactly this repository", detail)
    if response.status == 400 and "Repository not found" in response.text:
        return StepFailed("the repository is not known", "correct slug and service, or create the repository", detail)
    if response.status == 400 and "deactivated" in response.text:
        return StepFailed("the repository is deactivated", "activate it in its configuration page", detail)
    if response.status in (301, 302, 307, 308):
        place = urlsplit(response.headers.get("Location") or "").netloc or "another path"
        return StepFailed(f"the API redirects to {place}", "use the URL that clients use: scheme, name and port", detail)
    if response.status == 404:
        return StepFailed("there is no such page behind this URL; the edge has no route while no healthy container is there",
                          "run the playbook covstack.selfhosted.health, and check url", detail)
    if response.status in (502, 503, 504):
        return StepFailed("the edge or the gateway reaches no healthy api", "run the playbook covstack.selfhosted.health", detail)
    if response.status >= 500:
        cause = "the api failed; most often database, Redis or storage cannot be reached"
        return StepFailed(cause, "look at the logs of the api, and run the playbook covstack.selfhosted.health", detail)
    return StepFailed(f"the api answered {response.status}", "see the detail", detail)


@dataclass(frozen=True)
class Order:
    """The module's options, complete."""

    service: str
    slug: str
    token: str
    commit: str
    branch: str
    report: str
    report_name: str
    network: Sequence[str]
    expected_coverage: float | None
    flow: str
    timeout: float
    image_token: str | None = None


class Upload:
    def __init__(self, client: Client, order: Order) -> None:
        self.client, self.order = client, order
        self.steps: list[Step] = []
        self.commit_url: str | None = None
        self.state: str | None = None
        self.coverage: float | None = None
        self._location = ""
        self._deadline = 0.0

    @property
    def storage_host(self) -> str | None:
        return urlsplit(self._location).netloc or None

    @property
    def failed_step(self) -> Step | None:
        return next((step for step in self.steps if step.state == FAILED), None)

    def run(self) -> None:
        """All steps until one fails."""
        self._deadline = time.monotonic() + self.order.timeout
        actions: tuple[tuple[str, Callable[[], str]], ...] = (
            ("create", self._create), ("put", self._put), ("queued", self._queued), ("processed", self._processed), ("result", self._result),
        )
        for name, action in actions:
            if self._step(name, action).state == FAILED:
                return

    def _step(self, name: str, action: Callable[[], str]) -> Step:
        start = time.monotonic()
        step = Step(name, OK, 0.0, PROVES[name])
        try:
            step.detail = action()
        except StepFailed as failure:
            step.state, step.cause, step.remedy, step.detail = FAILED, failure.cause, failure.remedy, failure.detail
        except StepSkipped as reason:
            step.state, step.detail = SKIPPED, str(reason)
        except ConnectionProblem as problem:
            step.state, step.cause, step.remedy = FAILED, problem.cause, problem.remedy
        step.seconds = round(time.monotonic() - start, 3)
        self.steps.append(step)
        return step

    @property
    def _api(self) -> str:
        return f"/upload/{self.order.service}/{quote(encode_slug(self.order.slug), safe=':')}"

    @property
    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"token {self.order.token}"}

    def _post(self, path: str, data: Mapping[str, Any]) -> dict[str, Any]:
        headers = {**self._authorization, "Content-Type": "application/json"}
        response = self.client.request("POST", self._api + path, json.dumps(data).encode(), headers)
        answer = response.json()
        if response.status != 201 or not isinstance(answer, dict):
            raise api_failure(response, f"POST {path}")
        return answer

    def _create(self) -> str:
        commit, order = self.order.commit, self.order
        new_commit = {"branch": order.branch, "commitid": commit, "parent_commit_id": None, "pullid": None}
        new_upload: dict[str, Any] = {"ci_service": "covstack", "ci_url": None, "env": {}, "flags": [], "job_code": None, "name": "covstack probe",
                                      "version": "covstack", "cli_args": {}, "file_not_found": False}
        if order.flow == "combined":
            answer = self._post("/upload-coverage", {**new_upload, **new_commit, "code": "default"})
        else:
            self._post("/commits", {**new_commit, "cli_args": {}, "version": "covstack"})
            self._post(f"/commits/{commit}/reports", {"code": "default", "cli_args": {}, "version": "covstack"})
            answer = self._post(f"/commits/{commit}/reports/default/uploads", new_upload)
        self._location = str(answer.get("raw_upload_location") or "")
        self.commit_url = answer.get("url")
        if not self._location.startswith(("http://", "https://")):
            raise StepFailed("the API gave no URL to upload to", "look at the logs of the api")
        return f"201, upload {answer.get('external_id')}"

    def _put(self) -> str:
        place = self.storage_host
        try:
            response = self.client.request("PUT", self._location, payload_of(self.order.report, self.order.report_name, self.order.network))
        except ConnectionProblem as problem:
            raise StepFailed(
                f"{problem.cause}; the API signs upload URLs for {place}",
                "clients must reach that address: use the public name as the storage's host (codecov_storage), or create its DNS record", f"PUT {place}",
            ) from None
        if response.status != 200:
            raise self._put_failure(response)
        return f"PUT {place}: 200"

    def _put_failure(self, response: Response) -> StepFailed:
        code = storage_code(response.text)
        detail = f"PUT {self.storage_host}: {response.status} {code}".strip()
        known = {
            "SignatureDoesNotMatch": ("the storage rejects the signature: another secret key, or a proxy that changes the header Host or the path",
                                      "correct codecov_secrets.storage_secret_key, or keep Host and path in the proxy"),
            "InvalidAccessKeyId": ("the storage does not know the access key", "correct codecov_secrets.storage_access_key"),
            "NoSuchBucket": ("the bucket does not exist", "create it, private"),
            "RequestTimeTooSkewed": ("the clocks of api and storage differ too much", "synchronise all hosts by NTP"),
            "EntityTooLarge": ("a proxy or the storage refuses reports of this size", "raise its limit"),
        }
        if code == "AccessDenied" and "expired" in response.text.lower():
            cause = "the signed URL has expired: clocks differ, or its time to live is too short"
            return StepFailed(cause, "synchronise clocks, raise services.minio.ttl", detail)
        default = (f"the storage answered {response.status}", "look at the logs of edge and storage")
        cause, remedy = known.get(code, ("the key may not write to the bucket", "allow it to put objects") if response.status == 403 else default)
        return StepFailed(cause, remedy, detail)

    def _find_commit(self) -> dict[str, Any] | None:
        """The commit in the list of commits, the one read that an upload token allows. The list has pages and no order."""
        for page in range(1, MAXIMUM_PAGES + 1):
            response = self.client.request("GET", f"{self._api}/commits?page_size={PAGE_SIZE}&page={page}", headers=self._authorization)
            answer = response.json()
            if response.status != 200 or not isinstance(answer, dict) or "results" not in answer:
                raise api_failure(response, "GET /commits")
            for entry in answer["results"]:
                if entry.get("commitid") == self.order.commit:
                    return dict(entry)
            if page >= int(answer.get("total_pages") or 1):
                return None
        return None

    def _until(self, check: Callable[[], str | None]) -> str | None:
        """Repeat until there is a result; None when the time is over."""
        while True:
            found = check()
            if found is not None or time.monotonic() >= self._deadline:
                return found
            time.sleep(POLL_SECONDS)

    def _queued(self) -> str:
        def visible() -> str | None:
            commit = self._find_commit()
            self.state = commit.get("state") if commit else None
            return f"state {self.state}" if commit else None

        found = self._until(visible)
        if found is None:
            raise StepFailed("the commit is not in the list of commits", "look at the logs of the api, and whether all api containers use one database")
        return found

    def _processed(self) -> str:
        def final() -> str | None:
            self.state = (self._find_commit() or {}).get("state")
            return self.state if self.state in FINAL_STATES else None

        found = self._until(final)
        if found == "error":
            code = self._error_code()
            raise StepFailed(f"the worker could not process the report{code}", "look at the worker's log for this commit (report_expired: an old report; "
                             "file_not_in_storage: api and worker use different storage or buckets)", "state error")
        if found is None:
            started = self.state == "pending"
            cause = "a worker has begun but not finished" if started else "no worker has taken the task, or its git provider cannot be reached"
            raise StepFailed(f"the upload was not processed within {self.order.timeout:.0f} s: {cause}",
                             "run the playbook covstack.selfhosted.health (queue, scm, container_worker) and look at the worker's log", f"state {self.state}")
        return f"state {found}"

    @property
    def _public_commit(self) -> str:
        owner, name = self.order.slug.rsplit("/", 1)
        return f"/api/v2/{self.order.service}/{quote(owner.replace('/', ':'), safe=':')}/repos/{quote(name)}/commits/{self.order.commit}"

    def _error_code(self) -> str:
        """What the API shows of an upload that failed; only for public repositories."""
        response = self.client.request("GET", f"{self._public_commit}/uploads/")
        answer = response.json()
        results = answer.get("results") if response.status == 200 and isinstance(answer, dict) else None
        codes = [str(error.get("error_code")) for result in results or [] for error in result.get("errors") or []]
        return f" ({', '.join(codes)})" if codes else ""

    def _result(self) -> str:
        self.coverage = self._coverage_of_api() if self.order.image_token is None else self._coverage_of_badge()
        if self.coverage is None:
            raise StepSkipped("the API shows no totals to an upload token (private repository); the state is the proof")
        expected = self.order.expected_coverage
        if expected is not None and abs(self.coverage - expected) > COVERAGE_TOLERANCE:
            raise StepFailed(f"the coverage is {self.coverage} % instead of {expected} %", "other uploads for the same commit count too: use a new commit",
                             f"{self.coverage} %")
        return f"{self.coverage} %"

    def _coverage_of_api(self) -> float | None:
        """The totals of a public repository."""
        response = self.client.request("GET", f"{self._public_commit}/")
        answer = response.json()
        totals = answer.get("totals") if response.status == 200 and isinstance(answer, dict) else None
        return float(totals["coverage"]) if isinstance(totals, dict) else None

    def _coverage_of_badge(self) -> float | None:
        """The badge of the branch, whose head is the newest commit; a private repository shows it to who has its image token."""
        branch, token = quote(self.order.branch, safe=""), quote(self.order.image_token or "")
        path = f"/{SHORT_NAMES[self.order.service]}/{quote(self.order.slug)}/branch/{branch}/graph/badge.svg?precision=2&token={token}"
        match = re.search(r">(\d+(?:\.\d+)?)%<", self.client.request("GET", path).text)
        return float(match.group(1)) if match else None


def tokens_of_probe_repository(options: Mapping[str, Any]) -> tuple[str, str | None]:
    """Upload token and image token of the private repository for proofs, which is made when it is missing. Raises EngineError."""
    engine = engine_of(options)
    web = [container for container in engine.containers(options["deployment"]) if container.service != "worker"]
    container = choose(web, options["slot"])
    if container is None:
        raise EngineError(f"No running container of the deployment {options['deployment']!r} can make the probe repository. Start it, or pass a token.")
    shell = f"cd /app/apps/codecov-api && exec {options['python']} manage.py shell --command '{READ_SCRIPT}'"
    output = engine.execute(container, ["sh", "-c", shell], 60.0, probe_repository_script(options["service"], options["slug"]))
    token = token_in(output.stdout)
    if token is None:
        reason = " ".join(output.stderr.split())[-300:]
        raise EngineError(f"The probe repository {options['slug']} could not be made in {container.name}: {reason or f'exit status {output.rc}'}")
    return token, token_in(output.stdout, IMAGE_TOKEN_MARK)


def order_of(options: Mapping[str, Any], token: str, image_token: str | None = None) -> Order:
    slug = options["slug"]
    if not re.match(r"^[^/\s:]+(/[^/\s:]+)+$", slug):
        raise ValueError(f"slug: {slug!r} is not the name of a repository. Allowed: owner/name, for GitLab also group/subgroup/name.")
    expected = options["expected_coverage"]
    return Order(
        service=options["service"], slug=slug, token=token, commit=options["commit"] or secrets.token_hex(20), branch=options["branch"],
        report=options["report"] if options["report"] is not None else DEFAULT_REPORT, report_name=options["report_name"], network=options["network"],
        expected_coverage=DEFAULT_COVERAGE if expected is None and options["report"] is None else expected, flow=options["flow"],
        timeout=float(options["timeout"]), image_token=image_token,
    )


def failure_message(step: Step, order: Order) -> str:
    detail = f" ({step.detail})" if step.detail else ""
    return f"The upload to {order.slug} failed at the step {step.name!r}: {step.cause}{detail}. What to do: {step.remedy}."


def main_of(module: Any) -> None:
    """The module: options in, result out."""
    options = module.params
    try:
        client = Client(options["url"], options["connect_to"], options["ca_path"], timeout=30.0)
        order_of(options, "")  # the options are judged before anything is made
        token, image_token = (options["token"], None) if options["token"] else tokens_of_probe_repository(options)
        module.no_log_values.update(secret for secret in (token, image_token) if secret)
        order = order_of(options, token, image_token)
    except (ValueError, EngineError) as error:
        module.fail_json(msg=str(error))
        return
    upload = Upload(client, order)
    upload.run()
    result = {
        "changed": bool(upload.steps and upload.steps[0].state == OK), "steps": [asdict(step) for step in upload.steps], "commit": order.commit,
        "commit_url": upload.commit_url, "state": upload.state, "coverage": upload.coverage, "storage_host": upload.storage_host,
        "seconds": round(sum(step.seconds for step in upload.steps), 3), "failed_step": upload.failed_step.name if upload.failed_step else None,
    }
    if upload.failed_step:
        module.fail_json(msg=failure_message(upload.failed_step, order), **result)
        return
    module.exit_json(**result)
