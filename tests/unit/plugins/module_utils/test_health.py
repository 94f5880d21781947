# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judgement of the health probes; and whole rounds against a web server and a program in place of the Docker client."""

from __future__ import annotations

import http.server
import json
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils import _health as health
from ansible_collections.covstack.selfhosted.plugins.module_utils._docker_cli import Container, Docker
from ansible_collections.covstack.selfhosted.plugins.module_utils._health import Client, Result, Settings

LIMITS = {"target_ms": 1000, "maximum_ms": 3000, "queue_age_s": 600, "stuck_upload_s": 900, "license_days": 30, "clock_skew_s": 5}


def container(name: str = "codecov-blue-api-1", **changes: Any) -> Container:
    values: dict[str, Any] = {
        "id": name, "name": name, "service": "api", "slot": "blue", "state": "running", "health": "healthy", "health_output": "", "exit_code": 0,
        "oom_killed": False, "restarts": 0, "one_off": False, "has_probe": True, "logs": f"docker logs {name}",
    }
    return Container(**{**values, **changes})


class TestResponses:
    @pytest.mark.parametrize(("probe", "status", "headers", "text", "wrong"), [
        ({}, 200, {}, "", ""),
        ({"status": 302}, 302, {}, "", ""),
        ({}, 503, {}, "", "the status is 503 instead of 200"),
        ({"body_regex": "is live!$"}, 200, {}, "26.7.6 is live!", ""),
        ({"body_regex": "is live!$"}, 200, {}, "<html>", "the body is not the expected one"),
        ({"header": {"X-API": "true"}}, 200, {"X-API": "true"}, "", ""),
        ({"header": {"X-API": True}}, 200, {"X-API": "true"}, "", "instead of 'True'"),
        ({"header": {"X-API": "true"}}, 200, {"X-DEFAULT": "true"}, "", "the header X-API is None instead of 'true': something else answers"),
        ({"absent_header": "X-DEFAULT"}, 200, {}, "", ""),
        ({"absent_header": "X-DEFAULT"}, 200, {"X-DEFAULT": "true"}, "", "there is a header X-DEFAULT: something else answers"),
    ])
    def test_a_200_alone_proves_nothing(self, probe: dict[str, Any], status: int, headers: dict[str, str], text: str, wrong: str) -> None:
        found = health.mismatch(probe, status, headers, text)
        assert wrong in found if wrong else not found

    @pytest.mark.parametrize(("took", "state"), [(999, "ok"), (1000, "ok"), (1001, "warning"), (3000, "warning"), (3001, "failed")])
    def test_response_time_against_target_and_limit(self, took: int, state: str) -> None:
        result = health.judge_time(Result("api", "ok", "", latency_ms=took), LIMITS)
        assert (result.state, str(took) in result.cause) == (state, state != "ok")

    def test_a_slow_failure_stays_what_it_is(self) -> None:
        failed = Result("api", "failed", "", cause="status", latency_ms=9000)
        assert health.judge_time(failed, LIMITS) is failed


class TestContainers:
    @pytest.mark.parametrize(("expected", "containers", "state", "cause"), [
        (1, [container()], "ok", ""),
        (1, [container(health=None)], "ok", ""),
        (2, [container(), container("b")], "ok", ""),
        (2, [container()], "failed", "1 of 2 containers run; there is no other container of it"),
        (1, [], "failed", "0 of 1 containers run; there is no other"),
        (1, [container(state="exited", exit_code=137, oom_killed=True)], "failed", "killed for want of memory"),
        (1, [container(state="restarting", exit_code=3)], "failed", "ends with status 3 again and again"),
        (1, [container(state="exited", exit_code=1)], "failed", "is exited (status 1)"),
        (1, [container(health="unhealthy", health_output="status 500 instead of 200")], "failed", "fails its health check: status 500"),
        (1, [container(health="starting")], "failed", "has not passed its health check yet"),
        (1, [container(), container("b")], "warning", "2 containers run instead of 1"),
        (1, [container(restarts=4)], "warning", "restarted 4 times"),
        (1, [container(restarts=3)], "ok", ""),
        (None, [container(), container("b", health="unhealthy")], "failed", "b fails its health check"),
    ])
    def test_judgement(self, expected: int | None, containers: list[Container], state: str, cause: str) -> None:
        result = health.judge_containers("api", expected, containers)
        assert (result.name, result.state) == ("container_api", state)
        assert cause in result.cause
        assert bool(result.remedy) == (state != "ok")

    def test_only_the_active_slot_counts(self) -> None:
        """The old slot is stopped and kept for rollback: not a failure."""
        blue, green = container(), container("codecov-green-api-1", slot="green", state="exited")
        assert health.containers_of([blue, green], "api", "blue") == [blue]
        assert health.containers_of([blue, green], "api", None) == [blue]
        assert health.containers_of([container("redis", service="redis", slot=None)], "redis", "blue")[0].name == "redis"

    def test_who_is_asked(self) -> None:
        services = {"api": {"tier": "web"}, "worker": {"tier": "worker"}}
        settings = Settings(url="http://a", services=services)
        old = container("old", slot="green")
        sick = container("a-sick", health="unhealthy")
        api, worker = container("api"), container("worker", service="worker")
        gateway = container("gateway", service="gateway", has_probe=False)
        assert health.asked_containers([gateway, old, sick, api, worker], settings, "blue") == (api, worker)
        assert health.asked_containers([sick, worker], settings, "blue") == (sick, worker)
        assert health.asked_containers([worker], settings, "blue") == (worker, worker)
        assert health.asked_containers([gateway, old], settings, "blue") == (None, None)


class TestRedisRestart:
    """A hanging process looks healthy; only the times of Docker tell that it may hang."""

    redis = container("codecov-redis-1", service="redis", slot=None, has_probe=False, started_at="2026-11-21T12:00:01Z", finished_at="2026-11-21T12:00:00Z")
    api = container(started_at="2026-11-21T10:00:00Z")
    worker = container("codecov-blue-worker-1", service="worker", started_at="2026-11-21T12:00:02Z")

    def test_what_was_started_before_is_a_warning(self) -> None:
        gateway = container("codecov-blue-gateway-1", service="gateway", has_probe=False, started_at="2026-11-21T10:00:00Z")
        result = health.judge_redis_restart([self.redis, gateway, self.api, self.worker], "blue")[0]
        assert (result.name, result.state, result.detail) == ("redis_restart", "warning", "1 of 2 containers started since")
        assert result.cause.startswith("Redis was restarted under codecov-blue-api-1: ")
        assert result.remedy == "run the playbook covstack.selfhosted.repair"

    def test_what_was_started_since_is_well(self) -> None:
        result = health.judge_redis_restart([self.redis, self.worker], "blue")[0]
        assert (result.state, result.cause, result.remedy) == ("ok", "", "")

    def test_only_what_serves_counts(self) -> None:
        kept = container("codecov-green-api-1", slot="green", started_at="2026-11-21T10:00:00Z")
        stopped = container("codecov-blue-api-2", state="exited", started_at="2026-11-21T10:00:00Z")
        assert health.judge_redis_restart([self.redis, kept, stopped, self.worker], "blue")[0].state == "ok"
        assert health.judge_redis_restart([self.redis, kept, self.worker], None)[0].state == "warning"

    def test_nothing_is_said_of_an_external_redis_or_a_stopped_one(self) -> None:
        assert health.judge_redis_restart([self.api, self.worker], "blue") == []
        assert health.judge_redis_restart([container("codecov-redis-1", service="redis", slot=None, state="exited"), self.api], "blue") == []


class TestRedisOnAnotherHost:
    """Docker cannot tell there; a container of each tier is asked."""

    def test_the_worse_answer_counts(self) -> None:
        well, old = health.Result("redis_restart", "ok", ""), health.Result("redis_restart", "warning", "", cause="codecov-blue-worker-1: it is older")
        other = health.Result("queue", "skipped", "")
        assert set(health.worst_by_name([well, other, old])) == {other, old}
        assert set(health.worst_by_name([old, other, well])) == {other, old}

    def test_readiness_uses_no_celery_and_is_asked_last(self) -> None:
        web, readiness = container("codecov-blue-web-1", service="web"), container("codecov-blue-readiness-1", service="readiness")
        asked, _worker = health.asked_containers([readiness, web], Settings(url="http://a", services={}), "blue")
        assert asked == web


def edge_data(service: str = "gateway-blue@docker", status: str = "enabled", servers: int = 1, **router: Any) -> dict[str, Any]:
    """As Traefik 3.7's /api/rawdata answers, shortened."""
    return {
        "routers": {"codecov@file": {"service": service, "status": status, **router}},
        "services": {service: {"loadBalancer": {"servers": [{"url": f"http://172.20.0.{number}:8080"} for number in range(servers)]}}},
    }


class TestEdge:
    settings = Settings(url="http://a", services={"gateway": {"replicas": 1, "tier": "web"}, "api": {"replicas": 2, "tier": "web"},
                                                  "worker": {"replicas": 1, "tier": "worker"}})

    def judge(self, data: dict[str, Any], **changes: Any) -> health.EdgeView:
        return health.judge_edge(Result("edge", "ok", ""), data, Settings(**{**self.settings.__dict__, **changes}))

    def test_well(self) -> None:
        view = self.judge(edge_data())
        assert (view.result.state, view.slot, view.result.detail) == ("ok", "blue", "slot blue: gateway 1")

    @pytest.mark.parametrize(("data", "cause"), [
        ({"routers": {}}, "no slot is switched on"),
        ({}, "no slot is switched on"),
        (edge_data(service="maintenance@file"), "which is no slot"),
        (edge_data(status="disabled", error=["the service \"gateway-blue@docker\" does not exist"]), "does not exist"),
        (edge_data(servers=0), "knows 0 containers of gateway instead of 1"),
        (edge_data(servers=2), "knows 2 containers of gateway instead of 1"),
    ])
    def test_faults(self, data: dict[str, Any], cause: str) -> None:
        result = self.judge(data).result
        assert (result.state, cause in result.cause) == ("failed", True), result

    def test_inner_services_are_counted_where_the_edge_carries_them(self) -> None:
        data = edge_data()
        data["services"]["api-blue@docker"] = {"loadBalancer": {"servers": [{"url": "http://172.20.0.9:8000"}]}}
        assert "knows 1 containers of api instead of 2" in self.judge(data).result.cause

    def test_a_server_without_an_address_is_an_unhealthy_container(self) -> None:
        data = edge_data()
        data["services"]["api-blue@docker"] = {"loadBalancer": {"servers": [{"url": "http://172.20.0.9:8000"}, {}]}}
        assert "knows 1 containers of api instead of 2" in self.judge(data).result.cause

    def test_another_service_than_the_entry(self) -> None:
        services = {"gateway": {"tier": "web", "entry": True}, "api": {"tier": "web"}}
        assert self.judge(edge_data(), services=services).result.state == "ok"
        assert self.judge(edge_data("api-blue@docker"), services=services).result.cause == "the public is sent to api instead of gateway"

    def test_another_slot_than_expected(self) -> None:
        view = self.judge(edge_data("gateway-green@docker"), slot="blue")
        assert view.result.cause == "the public is sent to green instead of blue"


class Web(http.server.BaseHTTPRequestHandler):
    """What a gateway in front of an api answers; and a storage that takes anything."""

    objects: dict[str, bytes] = {}
    api_up = True

    def do_GET(self) -> None:
        if self.path.startswith("/archive/"):
            self.answer(200, self.objects.get(self.path.split("?")[0], b""))
        elif self.path == "/api_health/":
            self.answer(*((200, b"26.7.6 is live!") if Web.api_up else (503, b"")), {"X-API": "true"})
        else:
            self.answer(200, b"<html>", {"X-DEFAULT": "true"})

    def do_PUT(self) -> None:
        self.objects[self.path.split("?")[0]] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(403 if "rejected" in self.path else 200, b"<Error><Code>SignatureDoesNotMatch</Code></Error>" if "rejected" in self.path else b"")

    def do_DELETE(self) -> None:
        self.objects.pop(self.path.split("?")[0])
        self.answer(204, b"")

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture()
def web() -> Iterator[str]:
    Web.objects, Web.api_up = {}, True
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


API_PROBE = {"name": "api", "path": "/api_health/", "status": 200, "body_regex": "is live!$", "header": {"X-API": "true"}, "proves": "all"}


class FakeHost:
    """A Docker client that serves files: containers, the edge's answer, and the probe's answer by container."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.program = directory / "docker"
        self.program.write_text(f"""#!/bin/sh
cd {directory}
case $1 in
  ps) cat ids;;
  inspect) cat inspect.json;;
  exec) shift; test "$1" != -i || shift
        echo "$@" >> calls
        case $2 in wget) cat edge.json;; *) cat probe-$1.json 2>/dev/null || {{ echo "No module named yaml" >&2; exit 1; }};; esac;;
esac
""")
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        self.containers({"edge": None, "gateway": "blue", "api": "blue", "worker": "blue"})
        self.write("edge.json", edge_data())

    def write(self, name: str, content: Any) -> None:
        (self.directory / name).write_text(json.dumps(content))

    def containers(self, services: dict[str, str | None]) -> None:
        entries = [{
            "Id": name, "Name": f"/{name}", "State": {"Status": "running", "ExitCode": 0},
            "Config": {"Labels": {"covstack.service": name, **({"covstack.slot": slot} if slot else {})}},
            "Mounts": [{"Destination": "/covstack/probe.py"}] if name in ("api", "worker") else [],
        } for name, slot in services.items()]
        (self.directory / "ids").write_text("\n".join(services))
        self.write("inspect.json", entries)

    def probe(self, name: str, states: dict[str, str], presigned: dict[str, str] | None = None) -> None:
        results = [{"name": check, "state": state, "detail": "", "cause": "", "remedy": "", "proves": "x", "latency_ms": 5} for check, state in states.items()]
        self.write(f"probe-{name}.json", {"results": results, **({"presigned": presigned} if presigned else {})})

    @property
    def calls(self) -> list[str]:
        return (self.directory / "calls").read_text().splitlines()


@pytest.fixture()
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def settings_of(web: str, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "url": web, "services": {"gateway": {"replicas": 1, "tier": "web"}, "api": {"replicas": 1, "tier": "web"}, "worker": {"replicas": 1, "tier": "worker"}},
        "platform": ["edge"], "probes": [API_PROBE], "checks": ["postgres", "storage", "queue", "presigned_url"], "limits": LIMITS,
        "minimum_versions": {"postgres": "14", "redis": "6.2"}, "timeout": 5,
    }
    return Settings(**{**values, **changes})


def observe(settings: Settings, host: FakeHost) -> health.Report:
    return health.observe(settings, Client(settings.url, timeout=settings.timeout), Docker(str(host.program)))


def states(report: health.Report) -> dict[str, str]:
    return {result.name: result.state for result in report.results}


class TestRounds:
    @staticmethod
    def urls(web: str, name: str = "x") -> dict[str, str]:
        return dict.fromkeys(("put", "get", "delete"), f"{web}/archive/covstack-probe/{name}.txt?X-Amz-Signature=abc")

    def test_everything_is_asked_once(self, web: str, host: FakeHost) -> None:
        host.probe("api", {"postgres": "ok", "storage": "ok"}, self.urls(web))
        host.probe("worker", {"queue": "warning"})
        report = observe(settings_of(web), host)
        names = ("edge", "container_gateway", "container_api", "container_worker", "container_edge", "postgres", "storage", "presigned_url", "api")
        assert states(report) == {**dict.fromkeys(names, "ok"), "queue": "warning"}
        assert (report.slot, report.names("warning")) == ("blue", ["queue"])
        assert report.summary.splitlines()[:2] == ["9 ok, 1 warning, 0 failed, 0 skipped", "warning queue 5 ms"]
        assert not Web.objects, "the probe object was left behind"
        # One command in each container, with the limits as options.
        assert len(host.calls) == 3
        api_call = next(call for call in host.calls if call.startswith("api "))
        assert api_call.startswith("api python /covstack/probe.py check postgres storage --json --timeout=5")
        assert {"--presign", "--stuck-upload-age=900", "--minimum-postgres=14", "--public-path=/api_health/"} < set(api_call.split())
        assert "--presign" not in next(call for call in host.calls if call.startswith("worker "))

    def test_a_signed_url_never_gets_into_the_result(self, web: str, host: FakeHost) -> None:
        host.probe("api", {"storage": "ok"}, self.urls(web, "rejected"))
        report = observe(settings_of(web, checks=["presigned_url"]), host)
        result = next(result for result in report.results if result.name == "presigned_url")
        assert (result.state, "403 SignatureDoesNotMatch" in result.cause) == ("failed", True)
        assert "abc" not in repr(report)

    def test_storage_that_clients_cannot_resolve(self, web: str, host: FakeHost) -> None:
        host.probe("api", {"storage": "ok"}, self.urls("http://minio.invalid:9000"))
        result = {result.name: result for result in observe(settings_of(web, checks=["presigned_url"]), host).results}["presigned_url"]
        assert "minio.invalid does not resolve here; the application signs URLs for http://minio.invalid:9000/archive" in result.cause

    def test_frontends_page_for_any_path_is_no_answer_of_the_api(self, web: str, host: FakeHost) -> None:
        report = observe(settings_of(web, services={}, platform=[], checks=[], probes=[{**API_PROBE, "path": "/health/"}]), host)
        assert states(report) == {"api": "failed"}
        assert "something else answers in its place" in report.results[0].cause

    def test_probe_that_cannot_run(self, web: str, host: FakeHost) -> None:
        report = observe(settings_of(web, checks=["postgres"]), host)
        result = {result.name: result for result in report.results}["postgres"]
        assert "the probe did not run in api: No module named yaml" in result.cause

    def test_configuration_that_cannot_be_read_fails_every_check(self, web: str, host: FakeHost) -> None:
        entry = {"name": "config", "state": "failed", "cause": "/config/codecov.yml is not YAML (line 4)", "remedy": "correct the file"}
        host.write("probe-api.json", {"results": [entry]})
        found = states(observe(settings_of(web, checks=["postgres", "clock"]), host))
        assert (found["postgres"], found["clock"], "config" in found) == ("failed", "failed", False)

    def test_one_command_at_a_time_when_there_is_one_container(self, web: str, host: FakeHost) -> None:
        host.containers({"edge": None, "gateway": "blue", "worker": "blue"})
        host.probe("worker", {"postgres": "ok", "queue": "ok"})
        observe(settings_of(web, checks=["postgres", "queue"]), host)
        assert [call.split(" --json")[0] for call in host.calls if "wget" not in call] == ["worker python /covstack/probe.py check postgres queue"]

    def test_no_container_of_the_application(self, web: str, host: FakeHost) -> None:
        host.containers({"edge": None})
        found = states(observe(settings_of(web), host))
        assert found["postgres"] == found["presigned_url"] == found["container_api"] == "failed"

    def test_no_engine(self, web: str) -> None:
        settings = settings_of(web)
        report = health.observe(settings, Client(web), None)
        assert states(report) == {"docker": "failed", "api": "ok"}
        assert health.missing_required(report, ["api", "postgres"]) == ["postgres", "docker"]

    def test_waits_until_what_failed_is_well(self, web: str, host: FakeHost) -> None:
        host.probe("api", {"postgres": "ok"})
        Web.api_up = False
        threading.Timer(1.2, lambda: setattr(Web, "api_up", True)).start()
        report = observe(settings_of(web, checks=["postgres"], wait=20), host)
        assert states(report)["api"] == "ok"
        assert 1 < report.waited_s < 10
        assert len([call for call in host.calls if "probe.py" in call]) == 1, "a check that was well was made again"

    def test_the_deadline_ends_it(self, web: str, host: FakeHost) -> None:
        Web.api_up = False
        start = time.monotonic()
        report = observe(settings_of(web, checks=[], wait=2), host)
        assert time.monotonic() - start < 6
        assert "503" in {result.name: result for result in report.results}["api"].cause

    def test_what_is_not_required_is_not_waited_for(self, web: str, host: FakeHost) -> None:
        Web.api_up = False
        report = observe(settings_of(web, checks=[], wait=20, required=["container_api"]), host)
        assert report.waited_s < 10 and states(report)["api"] == "failed"


class TestRequired:
    report = health.Report([Result("a", "ok", ""), Result("b", "failed", "", cause="broken", remedy="mend it"), Result("c", "warning", "")], None, 3.2)

    @pytest.mark.parametrize(("required", "missing"), [(None, ["b"]), ([], []), (["a", "c"], []), (["a", "b"], ["b"]), (["nothing"], ["nothing"])])
    def test_which_count(self, required: list[str] | None, missing: list[str]) -> None:
        assert health.missing_required(self.report, required) == missing

    def test_message(self) -> None:
        message = health.failure_message(self.report, ["b", "nothing"], ["b", "nothing"])
        assert message.splitlines() == ["2 of 2 required probes failed after 3 s.", "failed  b: broken -> mend it",
                                        "failed  nothing: there is no such probe in this deployment"]


class TestServices:
    def test_numbers_may_be_text(self) -> None:
        """As extra variables and surveys give them."""
        given = {"api": {"replicas": "2", "tier": "web", "entry": "true"}, "worker": {}}
        assert health.services_of(given) == {"api": {"replicas": 2, "tier": "web", "entry": True}, "worker": {"entry": False}}

    @pytest.mark.parametrize(("services", "message"), [
        ({"api": 2}, "services.api: 2 is not a service"),
        ({"api": {"replica": 2}}, "is not a service"),
        ({"api": {"replicas": "two"}}, "services.api.replicas: 'two' is not a number"),
        ({"api": {"replicas": -1}}, "is not a number"),
        ({"api": {"tier": "data"}}, "'data' is not a tier. Allowed: web or worker."),
    ])
    def test_refused(self, services: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            health.services_of(services)
