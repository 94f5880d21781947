# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Probes of a deployment: containers, edge, requests from outside, and checks from inside the containers.

Private to this collection.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ansible_collections.covstack.selfhosted.plugins.module_utils._cluster_client import ACCESS
from ansible_collections.covstack.selfhosted.plugins.module_utils._docker_cli import DockerError
from ansible_collections.covstack.selfhosted.plugins.module_utils._engine import PROBE_PATH, Container, Engine, EngineError
from ansible_collections.covstack.selfhosted.plugins.module_utils._engines import engine_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._http_client import Client, ConnectionProblem
from ansible_collections.covstack.selfhosted.plugins.module_utils._redis_restart import REDIS_SERVICE, older_than_redis

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"
# Worst first, as the summary shows them.
STATES = (FAILED, WARNING, OK, SKIPPED)

WORKER_CHECKS = ("scm", "queue")
# Of the container itself, so it is asked in both. Where Redis runs on this host Docker knows it better.
RESTART_CHECK = "redis_restart"
READINESS = "readiness"
CHECKS = ("postgres", "redis", "storage", "timescale", "scm", "queue", "stuck_uploads", "clock", "license", "inside_url", "presigned_url", "redis_restart")
PRESIGNED = "presigned_url"
PRESIGNED_PROVES = "clients reach the object storage by the URLs that the application signs"
EDGE_API = "http://127.0.0.1:8082/api/rawdata"
ACTIVE_ROUTER = "codecov@file"
# Where it leads while two colours share the requests.
SHARED_SERVICE = "colours"
ENGINES = ("docker", "kubernetes")
MANY_RESTARTS = 3
ROUND_PAUSE = 1.0
LIMITS = {"target_ms": 1000, "maximum_ms": 3000, "queue_age_s": 600, "stuck_upload_s": 900, "license_days": 30, "clock_skew_s": 5}
PROBE = {
    "name": {"type": "str", "required": True},
    "path": {"type": "str", "required": True},
    "status": {"type": "int", "default": 200},
    "body_regex": {"type": "str"},
    "header": {"type": "dict", "default": {}},
    "absent_header": {"type": "str"},
    "proves": {"type": "str", "default": ""},
}
VERSIONS = {"postgres": {"type": "str", "default": "14"}, "redis": {"type": "str", "default": "6.2"}}
# Of the module.
OPTIONS = {
    "url": {"type": "str", "required": True},
    "connect_to": {"type": "str"},
    "ca_path": {"type": "path"},
    "deployment": {"type": "str", "default": "codecov"},
    "slot": {"type": "str", "choices": ["blue", "green"]},
    "services": {"type": "dict", "default": {}},
    "platform": {"type": "list", "elements": "str", "default": []},
    "probes": {"type": "list", "elements": "dict", "default": [], "aliases": ["http"], "options": PROBE},
    "checks": {"type": "list", "elements": "str", "choices": list(CHECKS), "default": list(CHECKS)},
    "limits": {
        "type": "dict",
        "default": {},
        "apply_defaults": True,
        "options": {**{name: {"type": "int", "default": default} for name, default in LIMITS.items()}, "deadline_s": {"type": "int"}},
    },
    "queues": {"type": "list", "elements": "str", "default": []},
    "minimum_versions": {"type": "dict", "default": {}, "apply_defaults": True, "options": VERSIONS},
    "wait": {"type": "int", "default": 0},
    "required": {"type": "list", "elements": "str"},
    "timeout": {"type": "int", "default": 10},
    "python": {"type": "str", "default": "python"},
    "docker_cli": {"type": "path"},
    "kubernetes": {"type": "dict", "options": ACCESS},
}


@dataclass(frozen=True)
class Result:
    name: str
    state: str
    proves: str
    detail: str = ""
    cause: str = ""
    remedy: str = ""
    latency_ms: int | None = None


@dataclass(frozen=True)
class Settings:
    """The module's options."""

    url: str
    connect_to: str | None = None
    ca_path: str | None = None
    deployment: str = "codecov"
    slot: str | None = None
    services: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    platform: Sequence[str] = ()
    probes: Sequence[Mapping[str, Any]] = ()
    checks: Sequence[str] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    queues: Sequence[str] = ()
    minimum_versions: Mapping[str, str] = field(default_factory=dict)
    wait: int = 0
    required: Sequence[str] | None = None
    timeout: int = 10
    python: str = "python"

    @property
    def needs_engine(self) -> bool:
        return bool(self.services or self.platform or self.checks)


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


# --- requests from outside -----------------------------------------------------------------------------------------------


def judge_time(result: Result, limits: Mapping[str, int]) -> Result:
    """The response time against the target and the limit; says nothing about a result that is bad already."""
    took = result.latency_ms or 0
    target, maximum = limits.get("target_ms", 1000), limits.get("maximum_ms", 3000)
    remedy = "look at the load of the host and of the database, or add replicas"
    if result.state == OK and took > maximum:
        return replace(result, state=FAILED, cause=f"the answer took {took} ms, the limit is {maximum} ms", remedy=remedy)
    if result.state == OK and took > target:
        return replace(result, state=WARNING, cause=f"the answer took {took} ms, the target is {target} ms", remedy=remedy)
    return result


def mismatch(probe: Mapping[str, Any], status: int, headers: Any, text: str) -> str:
    """What is wrong with an answer; empty when it is the expected one."""
    if status != probe.get("status", 200):
        return f"the status is {status} instead of {probe.get('status', 200)}"
    for name, value in (probe.get("header") or {}).items():
        if headers.get(name) != str(value):
            return f"the header {name} is {headers.get(name)!r} instead of {str(value)!r}: something else answers in its place"
    absent = probe.get("absent_header")
    if absent and headers.get(absent) is not None:
        return f"there is a header {absent}: something else answers in its place"
    if probe.get("body_regex") and not re.search(probe["body_regex"], text):
        return "the body is not the expected one: something else answers in its place"
    return ""


STATUS_CAUSES = {
    400: ("the application does not accept this host name", "set setup.api_allowed_hosts, or correct codecov_url"),
    404: ("the edge has no route: another program answers, or one that an earlier run configured", "see the probe edge, and deploy again"),
    500: ("the application failed; most often it cannot reach its database", "see the probes postgres and redis, and the logs of the api"),
    502: ("the edge or the gateway has no working connection to the service", "see the container probes"),
    503: ("no slot is switched on, or no healthy container is behind the edge or the gateway", "see the container probes"),
    504: ("the service did not answer the edge in time", "look for a frozen service or dependency"),
}


def probe_http(client: Client, probe: Mapping[str, Any], limits: Mapping[str, int]) -> Result:
    base = Result(probe["name"], OK, probe.get("proves") or "")
    try:
        response = client.request("GET", probe["path"])
    except ConnectionProblem as problem:
        return replace(base, state=FAILED, cause=problem.cause, remedy=problem.remedy)
    base = replace(base, detail=f"GET {probe['path']}: {response.status}", latency_ms=milliseconds(response.seconds))
    wrong = mismatch(probe, response.status, response.headers, response.text)
    if wrong:
        cause, remedy = STATUS_CAUSES.get(response.status, ("", "see the container probes and the logs of the gateway"))
        return replace(base, state=FAILED, cause=": ".join(part for part in (wrong, cause) if part), remedy=remedy)
    return judge_time(base, limits)


def probe_presigned(client: Client, urls: Mapping[str, str]) -> Result:
    """Store, read and delete an object by signed URLs, as a client of the application would."""
    base = Result(PRESIGNED, OK, PRESIGNED_PROVES, latency_ms=0)
    content = b"covstack probe\n"
    start = time.monotonic()
    place = ""
    for method, body, good in (("PUT", content, (200,)), ("GET", None, (200,)), ("DELETE", None, (200, 204))):
        url = urls[method.lower()]
        place = url.split("?", 1)[0].rsplit("/covstack-probe/", 1)[0]
        try:
            response = client.request(method, url, body)
        except ConnectionProblem as problem:
            return replace(base, state=FAILED, detail=place, cause=f"{problem.cause}; the application signs URLs for {place}",
                           remedy="clients must reach that address: use the public name as the storage's host (codecov_storage), or create its DNS record")
        if response.status not in good or (method == "GET" and response.body != content):
            return replace(base, state=FAILED, detail=f"{method} {place}: {response.status}", latency_ms=milliseconds(time.monotonic() - start),
                           cause=f"{method} by a signed URL was answered with {response.status}{storage_code(response.text)}",
                           remedy="a proxy in between must keep the header Host and the path, and clocks must agree")
    return replace(base, detail=place, latency_ms=milliseconds(time.monotonic() - start))


def storage_code(text: str) -> str:
    match = re.search(r"<Code>(\w+)</Code>", text)
    return f" {match.group(1)}" if match else ""


# --- containers ----------------------------------------------------------------------------------------------------------


def judge_containers(service: str, expected: int | None, containers: Sequence[Container], tier: str = "", maximum: int | None = None) -> Result:
    """Are as many containers of a service healthy as there should be? With a maximum the load decides on more than the expected ones."""
    proves = "every Celery node answers a ping through the broker" if tier == "worker" else "its containers run and pass their health checks"
    running = [container for container in containers if container.running]
    well = [container for container in running if container.health in (None, "healthy")]
    detail = f"{len(well)} of {len(running) if expected is None else expected} healthy"
    result = Result(f"container_{service}", OK, proves, detail)
    logs = containers[0].logs if containers else ""
    if expected is not None and len(running) < expected:
        cause, remedy = cause_of_missing(service, containers)
        return replace(result, state=FAILED, cause=f"{len(running)} of {expected} containers run{cause}", remedy=remedy)
    unhealthy = [container for container in running if container.health == "unhealthy"]
    if unhealthy:
        output = f": {unhealthy[0].health_output}" if unhealthy[0].health_output else ""
        return replace(result, state=FAILED, cause=f"{unhealthy[0].name} fails its health check{output}", remedy=unhealthy[0].logs)
    starting = [container for container in running if container.health == "starting"]
    if starting:
        first = starting[0]
        return replace(result, state=FAILED, cause=f"{first.name} has not passed its health check yet", remedy=f"wait, or: {first.logs}")
    most = expected if maximum is None else maximum
    if most is not None and len(running) > most:
        return replace(result, state=WARNING, cause=f"{len(running)} containers run instead of {most}", remedy="run the playbook covstack.selfhosted.scale")
    restarted = max((container.restarts for container in running), default=0)
    if restarted > MANY_RESTARTS:
        return replace(result, state=WARNING, cause=f"a container was restarted {restarted} times", remedy=logs)
    return result


def cause_of_missing(service: str, containers: Sequence[Container]) -> tuple[str, str]:
    down = [container for container in containers if not container.running]
    if not down:
        return "; there is no other container of it", "run the playbook covstack.selfhosted.deploy"
    last = down[0]
    if last.oom_killed:
        return f"; {last.name} was killed for want of memory", f"raise codecov_resources.services.{service}.memory_mb"
    if last.state == "restarting":
        return f"; {last.name} ends with status {last.exit_code} again and again", last.logs
    if last.reason:
        return f"; {last.name} is {last.state} ({last.reason})", last.logs
    return f"; {last.name} is {last.state} (status {last.exit_code})", last.logs


def containers_of(containers: Sequence[Container], service: str, slot: str | None) -> list[Container]:
    """The containers of a service that count: those of the active slot, or when that is unknown all that are not stopped."""
    mine = [container for container in containers if container.service == service]
    if slot and any(container.slot for container in mine):
        return [container for container in mine if container.slot == slot]
    slots = {container.slot for container in mine if container.slot}
    return mine if len(slots) < 2 else [container for container in mine if container.running]


def judge_redis_restart(containers: Sequence[Container], slot: str | None) -> list[Result]:
    """Has everything that uses the embedded Redis been started since that was last restarted? Nothing can be said without an embedded one."""
    redis = next((container for container in containers if container.service == REDIS_SERVICE and container.running), None)
    clients = {container.name: container.started_at for container in containers
               if container.has_probe and container.running and (not slot or container.slot == slot)}
    if redis is None or not redis.started_at or not clients:
        return []
    older = older_than_redis({"StartedAt": redis.started_at, "FinishedAt": redis.finished_at}, clients)
    result = Result("redis_restart", OK, "no process of the application lost its connection to Redis, after which it might hang",
                    f"{len(clients) - len(older)} of {len(clients)} containers started since")
    if not older:
        return [result]
    return [replace(result, state=WARNING, remedy="run the playbook covstack.selfhosted.repair",
                    cause=f"Redis was restarted under {', '.join(older)}: a process that had sent a task before hangs in its next one, for good")]


# --- edge ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EdgeView:
    result: Result
    slot: str | None = None


def probe_edge(engine: Engine, edge: Container, settings: Settings) -> EdgeView:
    """Ask the edge itself where it sends the public, and how many servers it knows there."""
    base = Result("edge", OK, "the edge sends the public to the active slot and knows each of its containers")
    start = time.monotonic()
    output = engine.execute(edge, ["wget", "-qO-", EDGE_API], settings.timeout)
    base = replace(base, latency_ms=milliseconds(time.monotonic() - start))
    try:
        data = json.loads(output.stdout)
    except ValueError:
        data = None
    if output.rc or not isinstance(data, dict):
        return EdgeView(replace(base, state=FAILED, cause=f"the edge's API does not answer: {' '.join(output.stderr.split())[:200]}",
                                remedy=edge.logs))
    return judge_edge(base, data, settings)


def judge_edge(base: Result, data: Mapping[str, Any], settings: Settings) -> EdgeView:
    router = (data.get("routers") or {}).get(ACTIVE_ROUTER)
    if not router:
        return EdgeView(replace(base, state=FAILED, cause="no slot is switched on", remedy="run the playbook covstack.selfhosted.deploy"))
    # While two colours share the requests, the slot that was asked for is looked at.
    shared = str(router.get("service")) in (SHARED_SERVICE, f"{SHARED_SERVICE}@file") and settings.slot
    entry = next((name for name, service in settings.services.items() if service.get("entry")), "")
    match = re.match(r"^(.+)-([a-z]+)@docker$", f"{entry}-{settings.slot}@docker" if shared else str(router.get("service")))
    if not match:
        return EdgeView(replace(base, state=FAILED, cause=f"the public is sent to {router.get('service')}, which is no slot",
                                remedy="edge/dynamic/active.yml was changed by hand: run the playbook covstack.selfhosted.deploy"))
    slot = match.group(2)
    if router.get("status") != "enabled":
        errors = "; ".join(router.get("error") or []) or str(router.get("status"))
        return EdgeView(replace(base, state=FAILED, cause=f"the route of the public is not in force: {errors}", remedy="see the container probes"), slot)
    if settings.slot and slot != settings.slot:
        return EdgeView(replace(base, state=FAILED, cause=f"the public is sent to {slot} instead of {settings.slot}",
                                remedy="run the playbook covstack.selfhosted.deploy or rollback"), slot)
    entries = [name for name, service in settings.services.items() if service.get("entry")]
    if entries and match.group(1) not in entries:
        return EdgeView(replace(base, state=FAILED, cause=f"the public is sent to {match.group(1)} instead of {entries[0]}",
                                remedy="edge/dynamic/active.yml was changed by hand: run the playbook covstack.selfhosted.deploy"), slot)
    problems, counts = [], []
    for name, service in settings.services.items():
        known = (data.get("services") or {}).get(f"{name}-{slot}@docker")
        if service.get("tier") != "web" or (known is None and name != match.group(1)):
            continue
        # An unhealthy container stays in the list, as a server without an address.
        servers = sum(1 for server in (((known or {}).get("loadBalancer")) or {}).get("servers") or [] if server.get("url"))
        counts.append(f"{name} {servers}")
        if servers != service.get("replicas", servers):
            problems.append(f"the edge knows {servers} containers of {name} instead of {service['replicas']}")
    detail = f"slot {slot}: {', '.join(counts) or router['service']}"
    if problems:
        return EdgeView(replace(base, state=FAILED, detail=detail, cause="; ".join(problems), remedy="see the container probes; only healthy ones count"), slot)
    return EdgeView(replace(base, detail=detail), slot)


# --- checks inside the containers ----------------------------------------------------------------------------------------


def check_command(settings: Settings, names: Sequence[str], presign: bool) -> list[str]:
    limits, versions = settings.limits, settings.minimum_versions
    public = next((probe for probe in settings.probes if probe.get("body_regex")), None) or next(iter(settings.probes), None)
    command = [settings.python, PROBE_PATH, "check", *names, "--json", f"--timeout={settings.timeout}"]
    options = {
        "minimum-postgres": versions.get("postgres"), "minimum-redis": versions.get("redis"), "queue-age": limits.get("queue_age_s"),
        "stuck-upload-age": limits.get("stuck_upload_s"), "license-days": limits.get("license_days"), "clock-skew": limits.get("clock_skew_s"),
        "public-url": settings.url, "public-path": public and public["path"], "public-body": public and public.get("body_regex"),
    }
    command += [f"--{name}={value}" for name, value in options.items() if value is not None]
    command += [f"--queue={name}" for name in settings.queues]
    return command + (["--presign"] if presign else [])


def run_inside(engine: Engine, container: Container, settings: Settings, names: Sequence[str], presign: bool) -> tuple[list[Result], dict[str, str]]:
    """The checks that a container makes, and the URLs that it signed."""
    try:
        output = engine.execute(container, check_command(settings, names, presign), 4.0 * settings.timeout)
        document = json.loads(output.stdout)
    except EngineError as error:
        return failed_checks(names, f"{container.name}: {error}", container.logs), {}
    except ValueError:
        reason = " ".join((output.stderr or output.stdout).split())[-200:]
        return failed_checks(names, f"the probe did not run in {container.name}: {reason}", "run the playbook covstack.selfhosted.deploy"), {}
    known = {name: entry for entry in document["results"] for name in [entry.get("name")]}
    if "config" in known:  # the configuration could not be read, so nothing was checked
        entry = known["config"]
        return failed_checks(names, entry["cause"], entry["remedy"]), {}
    results = [Result(**{key: entry.get(key) for key in ("name", "state", "proves", "detail", "cause", "remedy", "latency_ms")}) for entry in known.values()]
    results = [replace(result, cause=f"{container.name}: {result.cause}") if result.name == RESTART_CHECK and result.cause else result for result in results]
    return results, document.get("presigned") or {}


def failed_checks(names: Sequence[str], cause: str, remedy: str) -> list[Result]:
    return [Result(name, FAILED, "", cause=cause, remedy=remedy) for name in names]


def worst_by_name(results: Sequence[Result]) -> list[Result]:
    """One result a name, of those that were asked in two containers."""
    worst: dict[str, Result] = {}
    for result in sorted(results, key=lambda result: STATES.index(result.state)):
        worst.setdefault(result.name, result)
    return list(worst.values())


def asked_containers(containers: Sequence[Container], settings: Settings, slot: str | None) -> tuple[Container | None, Container | None]:
    """A container of the web tier and one of the worker tier to ask from; each stands in for the other."""
    able = [container for container in containers if container.running and container.has_probe and (not slot or container.slot in (None, slot))]
    able.sort(key=lambda container: (container.health not in (None, "healthy"), container.service == READINESS, container.name))
    is_worker = {container.id: settings.services.get(container.service, {}).get("tier", "worker" if container.service == "worker" else "web") == "worker"
                 for container in able}
    web = next((container for container in able if not is_worker[container.id]), None)
    worker = next((container for container in able if is_worker[container.id]), None)
    return web or worker, worker or web


# --- rounds --------------------------------------------------------------------------------------------------------------


class Round:
    """One look at everything, or at those probes that were not well before."""

    def __init__(self, settings: Settings, client: Client, engine: Engine | None, wanted: set[str] | None) -> None:
        self.settings, self.client, self.engine, self.wanted = settings, client, engine, wanted
        self.slot = settings.slot

    def _wants(self, name: str) -> bool:
        return self.wanted is None or name in self.wanted

    def run(self) -> list[Result]:
        probes = [probe for probe in self.settings.probes if self._wants(probe["name"])]
        with ThreadPoolExecutor(len(probes) + 4) as pool:  # the probes, and what waits for others: Docker, edge, web, worker
            requests = [pool.submit(probe_http, self.client, probe, self.settings.limits) for probe in probes]
            inside = pool.submit(self._container_and_check_results, pool)
            return [*inside.result(), *(request.result() for request in requests)]

    def _container_and_check_results(self, pool: ThreadPoolExecutor) -> list[Result]:
        if not self.settings.needs_engine:
            return []
        if self.engine is None:
            return [Result("docker", FAILED, "the containers can be asked", cause="there is no Docker client (docker) on this host", remedy="install Docker")]
        try:
            containers = self.engine.containers(self.settings.deployment)
        except EngineError as error:
            return [Result(self.engine.name, FAILED, "the containers can be asked", cause=str(error), remedy=self.engine.remedy)]
        redis_is_here = any(container.service == "redis" and container.running for container in containers)
        checks = [name for name in self.settings.checks if self._wants(name) and not (name == RESTART_CHECK and redis_is_here)]
        asked = pool.submit(self._edge, self.engine, containers)
        if self.slot is None:  # then the edge says whose containers to ask
            view = asked.result()
            self.slot = view.slot if view else None
        inside = pool.submit(self._inside, self.engine, containers, checks, pool) if checks else None
        edge = asked.result()
        results = [*([edge.result] if edge else []), *self._container_results(containers)]
        return results + (inside.result() if inside else [])

    def _edge(self, engine: Engine, containers: Sequence[Container]) -> EdgeView | None:
        edge = next((container for container in containers if container.service == "edge" and container.running), None)
        if edge is None:
            return None
        try:
            return probe_edge(engine, edge, self.settings)
        except EngineError as error:
            return EdgeView(Result("edge", FAILED, "", cause=str(error), remedy=edge.logs))

    def _container_results(self, containers: Sequence[Container]) -> list[Result]:
        settings = self.settings
        results = []
        for name, service in settings.services.items():
            mine = containers_of(containers, name, self.slot)
            results.append(judge_containers(name, service.get("replicas"), mine, str(service.get("tier", "")), service.get("maximum")))
        results += [judge_containers(name, 1, containers_of(containers, name, None)) for name in settings.platform]
        results += judge_redis_restart(containers, self.slot)
        named = {*settings.services, *settings.platform}
        others = sorted({container.service for container in containers if container.running and container.service and container.service not in named})
        if not settings.services and not settings.platform:
            results += [judge_containers(name, None, containers_of(containers, name, self.slot)) for name in others]
        return results

    def _inside(self, engine: Engine, containers: Sequence[Container], checks: Sequence[str], pool: ThreadPoolExecutor) -> list[Result]:
        web, worker = asked_containers(containers, self.settings, self.slot)
        if web is None or worker is None:
            return failed_checks(checks, "no running container of the application can be asked", "see the container probes")
        presign = PRESIGNED in checks
        for_web = [name for name in checks if name not in (*WORKER_CHECKS, PRESIGNED)]
        if presign and "storage" not in for_web:
            for_web.append("storage")
        for_worker = [name for name in checks if name in (*WORKER_CHECKS, RESTART_CHECK)]
        if web.id == worker.id:  # one command in a container at a time
            for_web, for_worker = list(dict.fromkeys(for_web + for_worker)), []
        asked = pool.submit(run_inside, engine, worker, self.settings, for_worker, False) if for_worker else None
        results, urls = run_inside(engine, web, self.settings, for_web, presign) if for_web else ([], {})
        if presign:
            blocked = Result(PRESIGNED, FAILED, PRESIGNED_PROVES, cause="no URL was signed, because the check storage failed", remedy="see the probe storage")
            results.append(probe_presigned(self.client, urls) if urls else blocked)
        return worst_by_name(results + (asked.result()[0] if asked else []))


@dataclass(frozen=True)
class Report:
    results: list[Result]
    slot: str | None
    waited_s: float

    def names(self, state: str) -> list[str]:
        return [result.name for result in self.results if result.state == state]

    @property
    def summary(self) -> str:
        counts = {state: len(self.names(state)) for state in STATES}
        head = ", ".join(f"{counts[state]} {state}" for state in (OK, WARNING, FAILED, SKIPPED))
        ordered = sorted(self.results, key=lambda result: STATES.index(result.state))
        return "\n".join([head, *(line_of(result) for result in ordered)])


def line_of(result: Result) -> str:
    took = "" if result.latency_ms is None else f" {result.latency_ms} ms"
    reason = f": {result.cause}" if result.cause else f": {result.detail}" if result.detail else ""
    remedy = f" -> {result.remedy}" if result.remedy and result.state in (FAILED, WARNING) else ""
    return f"{result.state:<8}{result.name}{took}{reason}{remedy}"


def missing_required(report: Report, required: Sequence[str] | None) -> list[str]:
    """Required probes that failed or were not made at all."""
    known = {result.name: result.state for result in report.results}
    names = list(known) if required is None else required
    missing = [name for name in names if known.get(name, FAILED) == FAILED]
    # Without an engine nothing behind it was probed, whatever was required.
    return [*missing, *(name for name in ENGINES if required and known.get(name) == FAILED and name not in missing)]


def observe(settings: Settings, client: Client, engine: Engine | None) -> Report:
    """Look until every required probe is well or the time is over."""
    start = time.monotonic()
    found: dict[str, Result] = {}
    wanted: set[str] | None = None
    while True:
        current = Round(settings, client, engine, wanted)
        results = current.run()
        for name in ENGINES:
            found.pop(name, None)
        found.update((result.name, result) for result in results)
        report = Report(list(found.values()), current.slot, round(time.monotonic() - start, 2))
        bad = missing_required(report, settings.required)
        if not bad or time.monotonic() - start >= settings.wait:
            return report
        # What was never made, because the engine or the containers were not there, is to be made as well.
        planned = {*(probe["name"] for probe in settings.probes), *settings.checks}
        wanted = {result.name for result in report.results if result.state == FAILED} | (planned - set(found))
        time.sleep(min(ROUND_PAUSE, max(0.0, settings.wait - (time.monotonic() - start))))


def failure_message(report: Report, bad: Sequence[str], required: Sequence[str] | None) -> str:
    known = {result.name: result for result in report.results}
    lines = [line_of(known[name]) if name in known else f"failed  {name}: there is no such probe in this deployment" for name in bad]
    count = len(report.results) if required is None else len(required)
    return "\n".join([f"{len(bad)} of {count} required probes failed after {report.waited_s:.0f} s.", *lines])


TIERS = ("web", "worker")


def services_of(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The services with numbers as numbers, however they were written. Raises ValueError with a message for the user."""
    services = {}
    for name, service in given.items():
        if not isinstance(service, Mapping) or set(service) - {"replicas", "maximum", "tier", "entry"}:
            raise ValueError(f"services.{name}: {service!r} is not a service. Allowed: a mapping with replicas, maximum, tier and entry.")
        numbers, tier = {key: service[key] for key in ("replicas", "maximum") if service.get(key) is not None}, service.get("tier")
        for key, value in numbers.items():
            if not re.match(r"^\d+$", str(value)):
                raise ValueError(f"services.{name}.{key}: {value!r} is not a number of containers. Allowed: 0 or more.")
        if tier is not None and tier not in TIERS:
            raise ValueError(f"services.{name}.tier: {tier!r} is not a tier. Allowed: {' or '.join(TIERS)}.")
        services[name] = {**{key: int(value) for key, value in numbers.items()}, **({} if tier is None else {"tier": tier}),
                          "entry": service.get("entry") in (True, "true", "True", "yes")}
    return services


def answer(options: Mapping[str, Any]) -> dict[str, Any]:
    """Result of the module to its options."""
    try:
        wanted = {name: options[name] for name in Settings.__dataclass_fields__}
        settings = Settings(**{**wanted, "services": services_of(wanted["services"])})
        client = Client(settings.url, settings.connect_to, settings.ca_path, settings.timeout)
        for probe in settings.probes:
            re.compile(probe.get("body_regex") or "")
        engine = _engine(options)
    except (ValueError, re.error, EngineError) as error:
        return {"failed": True, "msg": str(error)}
    report = observe(settings, client, engine)
    result = {
        "changed": False, "healthy": not report.names(FAILED), "probes": [asdict(entry) for entry in report.results], "failed_probes": report.names(FAILED),
        "warned_probes": report.names(WARNING), "summary": report.summary, "slot": report.slot, "waited_s": report.waited_s,
    }
    bad = missing_required(report, settings.required)
    return {**result, "failed": True, "msg": failure_message(report, bad, settings.required)} if bad else result


def _engine(options: Mapping[str, Any]) -> Engine | None:
    """Probes from outside need none. Raises EngineError."""
    try:
        return engine_of(options)
    except DockerError:
        return None
