# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Sizing: from reports per minute to machines, and what a host lacks for what it shall run.

The building block is the deployment guide's: 25 reports a minute need one n1-standard-8 (8 vCPU, 30 GB) for all of Strategy I. The
guide calls it a starting point, so a host below it is a warning; only what cannot work at all is an error.
"""

from __future__ import annotations

import dataclasses
import math
import re
import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils._catalogue import Service
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import NAME, Deployment
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import ERROR, Problem, error, warning

Problems = t.Iterator[Problem]
Host = t.Mapping[str, t.Any]

# From the deployment guide.
REPORTS_PER_UNIT = 25
# Assumptions of ours; `sizing` returns them in words.
REFERENCE_REPORT_MB = 5.0
REPORT_ROWS_KB = 10.0
MESSAGES_PER_UPLOAD = 6  # measured: what one upload leaves in the queue while no worker runs
MESSAGE_KB = 2.0
MINUTES_PER_DAY = 24 * 60
DAYS_PER_YEAR = 365
# An operating system reports a little less memory than the machine has.
MEMORY_TOLERANCE = 0.9
X86 = ("x86_64", "amd64")


class SizingError(ValueError):
    """A question that has no answer; the text names the option."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """A kind of machine, by the name that the guide gives it."""

    name: str
    cpus: int
    memory_gb: int


STANDARD_4 = Machine("n1-standard-4", 4, 15)
STANDARD_8 = Machine("n1-standard-8", 8, 30)
# What runs on one unit, by service; what is not named runs once (twice where the strategy promises availability).
REPLICAS_PER_UNIT = {"api": 2, "web": 2, "worker": 2}


@dataclasses.dataclass(frozen=True)
class Demand:
    """What shall be carried. `growth` is a share (0.5 is 50 % a year), `utilisation` the share of the year with reports at this rate."""

    reports_per_minute: float
    report_mb: float = 1.0
    growth: float = 0.0
    years: int = 1
    utilisation: float = 0.25

    def __post_init__(self) -> None:
        rules = (
            ("reports_per_minute", 0 <= self.reports_per_minute <= 1e6, "from 0 to 1000000"),
            ("report_mb", 0 < self.report_mb <= 1e4, "more than 0 and at most 10000"),
            ("growth", 0 <= self.growth <= 10, "from 0 to 10, for example 0.5 for 50 % a year"),
            ("years", 1 <= self.years <= 10, "from 1 to 10"),
            ("utilisation", 0 < self.utilisation <= 1, "more than 0 and at most 1"),
        )
        for name, is_met, allowed in rules:
            if not is_met:
                raise SizingError(f"{name}: {getattr(self, name)} is out of bounds. Allowed: {allowed}.")

    @property
    def peak(self) -> float:
        """Reports a minute in the last year."""
        return self.reports_per_minute * (1 + self.growth) ** (self.years - 1)

    @property
    def units(self) -> int:
        """Building blocks of 25 reports a minute, one at least. Large reports count more than once."""
        return max(1, math.ceil(self.peak * max(1.0, self.report_mb / REFERENCE_REPORT_MB) / REPORTS_PER_UNIT))

    @property
    def reports(self) -> float:
        """Reports of all years."""
        first_year = self.reports_per_minute * MINUTES_PER_DAY * DAYS_PER_YEAR * self.utilisation
        return sum(first_year * (1 + self.growth) ** year for year in range(self.years))


def _machines(role: str, count: int, kind: Machine, times: int = 1) -> t.Dict[str, t.Any]:
    like = kind.name if times == 1 else f"{times} x {kind.name}"
    return {"role": role, "count": count, "like": like, "cpus": kind.cpus * times, "memory_gb": kind.memory_gb * times}


def machines(strategy: int, units: int) -> t.List[t.Dict[str, t.Any]]:
    """Machines of a strategy: I is one host, II and III keep one more than the load needs."""
    if strategy == 1:
        return [_machines("everything", 1, STANDARD_8, units)]
    if strategy == 2:
        return [_machines("web and worker", units + 1, STANDARD_8), _machines("storage", 1, STANDARD_4)]
    return [_machines("web", units + 1, STANDARD_4), _machines("worker", units + 1, STANDARD_8)]


def replicas(services: t.Iterable[Service], strategy: int, units: int) -> t.Dict[str, int]:
    """Containers by service, within the bounds of the catalogue."""
    wanted = {}
    for service in services:
        number = REPLICAS_PER_UNIT[service.name] * units if service.name in REPLICAS_PER_UNIT else 1 if strategy == 1 else 2
        wanted[service.name] = max(service.scaling.get("minimum", 1), min(number, service.scaling.get("maximum", number)))
    return wanted


def _rounded_up(value: float, step: int) -> int:
    return max(step, math.ceil(value / step) * step)


def data_services(demand: Demand) -> t.Dict[str, t.Dict[str, int]]:
    """Sizes of PostgreSQL, Redis and the object storage."""
    queued_mb = demand.peak * MINUTES_PER_DAY * MESSAGES_PER_UPLOAD * MESSAGE_KB / 1024
    return {
        "postgres": {"cpus": 2 * demand.units, "memory_gb": 4 * demand.units, "disk_gb": _rounded_up(demand.reports * REPORT_ROWS_KB / 1024**2, 10)},
        "redis": {"memory_mb": _rounded_up(queued_mb, 256)},
        "storage": {"disk_gb": _rounded_up(demand.reports * demand.report_mb * 2 / 1024, 10)},
    }


ASSUMPTIONS = (
    f"A report of more than {REFERENCE_REPORT_MB:g} MB counts as several.",
    "The object storage keeps each report twice: as uploaded, and as processed. Nothing is deleted.",
    f"The database grows by {REPORT_ROWS_KB:g} KB with each report; its processors and memory are those of the upstream Terraform files for each unit.",
    "Redis can hold a day's uploads while no worker runs.",
    "Measure, then scale: no two organisations are alike.",
)


def sizing(demand: Demand, strategy: int, services: t.Iterable[Service]) -> t.Dict[str, t.Any]:
    """Everything that a demand asks for, as plain data."""
    return {
        "units": demand.units,
        "peak_reports_per_minute": round(demand.peak, 1),
        "machines": machines(strategy, demand.units),
        "replicas": replicas(services, strategy, demand.units),
        **data_services(demand),
        "assumptions": list(ASSUMPTIONS),
    }


# --- a host against what it shall run -----------------------------------------------------------------------------------------


def _memory(deployment: Deployment, host: Host) -> Problems:
    if not deployment.services():  # a load balancer, a data or a storage host of a split deployment
        return
    least, memory = deployment.settings["codecov_sizing"]["minimum_memory_mb"], host.get("memory_mb")
    if memory and memory < least:
        yield error(
            "codecov_sizing.minimum_memory_mb", f"the host has {memory} MB of memory, {least} are wanted", "give it more memory, or lower this setting"
        )


def _disk(deployment: Deployment, host: Host) -> Problems:
    least = deployment.settings["codecov_sizing"]["minimum_disk_gb"]
    disks = {disk["path"]: disk["free_gb"] for disk in (host.get("disk") or {}).values() if disk}
    # One file system has one amount of free space, whichever of its directories is asked: the first one stands for it.
    paths = {free: path for path, free in reversed(list(disks.items())) if free is not None}
    for free, path in paths.items():
        if free < least:
            yield error("codecov_sizing.minimum_disk_gb", f"{path} has {free} GB free, {least} are wanted", "free space there, or lower this setting")


def _demand(deployment: Deployment, host: Host) -> Problems:
    rate = deployment.settings["codecov_sizing"]["reports_per_minute"]
    if not rate:
        return
    if deployment.is_split and not deployment.services():
        return
    machine = machines(2, 1)[0] if deployment.is_split else machines(1, Demand(rate).units)[0]
    lacks = []
    if host.get("cpus") and host["cpus"] < machine["cpus"]:
        lacks.append(f"{host['cpus']} CPUs instead of {machine['cpus']}")
    if host.get("memory_mb") and host["memory_mb"] < machine["memory_gb"] * 1024 * MEMORY_TOLERANCE:
        lacks.append(f"{host['memory_mb'] // 1024} GB of memory instead of {machine['memory_gb']}")
    if lacks:
        message = f"{rate} reports a minute ask for a host like {machine['like']}, and this one has {' and '.join(lacks)}"
        if deployment.is_split:
            yield error("codecov_sizing.reports_per_minute", message, "take a larger host, or lower the rate")
        else:
            yield warning("codecov_sizing.reports_per_minute", message, "take a larger host, or external services and Strategy II")


def _limited_cpus(deployment: Deployment) -> t.Dict[str, float]:
    """CPU limits of everything that runs, by service; empty where limits are off."""
    resources = deployment.settings["codecov_resources"]
    if not resources["limits"]:
        return {}
    services = {**deployment.services(), **deployment.embedded()}
    limits = {name: {**service.resources, **resources["services"].get(name, {})} for name, service in services.items()}
    return {name: float(limit["cpus"]) for name, limit in limits.items() if "cpus" in limit}


def _shown(number: float) -> str:
    return f"{number:g}"


def _cpus(deployment: Deployment, host: Host) -> Problems:
    above = {name: limit for name, limit in _limited_cpus(deployment).items() if host.get("cpus") and limit > host["cpus"]}
    if above:
        limits = ", ".join(f"{name} {_shown(limit)}" for name, limit in above.items())
        wanted = ", ".join(f"{name}: {{cpus: {host['cpus']}}}" for name in above)
        message = f"the host has {host['cpus']} CPUs, and Docker refuses a limit above that ({limits})"
        yield error("codecov_resources.services", message, f"set {{{wanted}}}, or codecov_resources.limits: false")


def _cgroups(deployment: Deployment, host: Host) -> Problems:
    docker = host.get("docker") or {}
    cgroup = docker.get("cgroup") or {}
    if not docker.get("running") or not deployment.settings["codecov_resources"]["limits"]:
        return
    if cgroup.get("cpu") is False:
        yield error("codecov_resources.limits", "is on, but the host has no CPU controller, without which Docker refuses CPU limits", "set it to false")
    elif cgroup.get("memory") is False:
        yield warning(
            "codecov_resources.limits",
            "is on, but the host has no memory controller: Docker ignores memory limits",
            "enable the controller, or set it to false",
        )


def _published(deployment: Deployment) -> t.Dict[int, str]:
    """Ports that a host of a split deployment publishes, with the setting that names each."""
    if deployment.line.entry.name in deployment.services():
        return {deployment.settings[name]: name for name in ("codecov_web_port", "codecov_readiness_port")}
    return {}


def _ports(deployment: Deployment, host: Host) -> Problems:
    if deployment.is_split:
        yield from _split_ports(deployment, host)
        return
    edge = deployment.settings["codecov_edge"]
    for option in ("http_port", "https_port") if deployment.edge_tls else ("http_port",):
        port = (host.get("ports") or {}).get(str(edge[option])) or {}
        if port.get("held") and not port.get("ours"):
            holder = port.get("by") or "another process"
            yield error(f"codecov_edge.{option}", f"port {edge[option]} is held by {holder}", "stop that, or choose another port (and codecov_url with it)")


def _split_ports(deployment: Deployment, host: Host) -> Problems:
    named = _published(deployment)
    there = {name: service for name, service in deployment.embedded().items() if service.kind in ("data", "storage")}
    fixed = {
        port: f"codecov_{name}.mode" for name, service in there.items() for port in (deployment.published_port(name), *service.peer_ports)
    }
    for number, setting in {**fixed, **named}.items():
        port = (host.get("ports") or {}).get(str(number)) or {}
        if port.get("held") and not port.get("ours"):
            way_out = "stop that, or choose another port" if number in named else "stop that"
            yield error(setting, f"port {number} is held by {port.get('by') or 'another process'}", way_out)


def _endpoints(deployment: Deployment) -> t.Dict[str, str]:
    """External endpoints as codecov_host_info names them, with the setting that names them."""
    settings = {name: deployment.postgres(name) for name in ("postgres", "timescale") if deployment.mode(name) == "external"}
    if deployment.mode("redis") == "external":
        settings["redis"] = deployment.settings["codecov_redis"]
    if deployment.mode("storage") == "external":
        settings["storage"] = deployment.storage()
    return {f"{given['host']}:{given['port']}": f"codecov_{name}.host" for name, given in settings.items()}


def _reachability(deployment: Deployment, host: Host) -> Problems:
    answers = host.get("endpoints") or {}
    for endpoint, setting in _endpoints(deployment).items():
        answer = answers.get(endpoint)
        if answer and not answer["reachable"]:
            way_out = "correct host and port, or open the way from this host (firewall, security group, DNS)"
            yield error(setting, f"{endpoint} cannot be reached from the host ({answer.get('error') or 'no answer'})", way_out)


def _public_name(deployment: Deployment, host: Host) -> Problems:
    answer = (host.get("names") or {}).get(deployment.hostname)
    if not answer or answer["resolves"]:
        return
    message = f"the host cannot resolve {deployment.hostname} ({answer.get('error') or 'no answer'})"
    if deployment.edge_serves_url:  # containers know the name without DNS
        yield warning("codecov_url", message, "enter it into DNS: CI clients and browsers need it")
    else:
        yield error("codecov_url", f"{message}, and the containers go through the load balancer", "enter it into DNS")


def _clock(deployment: Deployment, host: Host) -> Problems:
    if (host.get("clock") or {}).get("ntp_synchronised") is False:
        message = "the host's clock is not synchronised; uploads fail when it is wrong"
        yield warning("codecov_health.clock_skew_s", message, "install and enable an NTP client such as chrony or systemd-timesyncd")


def _architecture(deployment: Deployment, host: Host) -> Problems:
    arch = (host.get("os") or {}).get("arch")
    repositories = deployment.settings["codecov_images"]["repositories"]
    foreign = [name for name in deployment.services() if name not in repositories]
    if arch and arch not in X86 and foreign:
        message = f"the host is {arch}, but the images of {', '.join(foreign)} exist for x86_64 only"
        yield error("codecov_images.repositories", message, "use an x86_64 host, or name repositories with images of your own")


def _data_versions(deployment: Deployment, host: Host) -> Problems:
    """A database server reads data of its own major version only; another one does not start over them."""
    for name, service in deployment.embedded().items():
        if not service.data_version:
            continue
        volume, tag = deployment.volume(service), deployment.version(service)
        found = (host.get("volume_files") or {}).get(volume)
        match = re.search(service.data_version["tag"], tag)
        setting, page = f"codecov_versions.{name}", "docs/playbooks/upgrade.md#another-major-version-of-the-embedded-postgresql"
        if found and not match:
            yield warning(setting, f"{tag!r} does not say whether it can read the data of the volume {volume}, which are of version {found}", "name a version")
        elif found and match and match.group(1) != found:
            message = f"{tag} cannot read the data of the volume {volume}, which are of version {found}"
            way_out = f"name one of these to keep the data as they are, or dump and restore them: {page}"
            yield Problem(ERROR, setting, message, f"images of version {found}", way_out)


def _other_data(deployment: Deployment, host: Host) -> Problems:
    """Reports that a single storage host keeps are not read by replicated storage, nor the other way round: nobody shall lose sight of them unawares."""
    for service in deployment.embedded().values():
        volume = f"{NAME}_{service.other_data['volume']}" if service.other_data else None
        if volume and (host.get("volume_files") or {}).get(volume):
            kept, wanted = ("a single storage host", "several") if service.replicated else ("replicated storage", "one")
            message = f"the volume {volume} holds reports of {kept}, which storage on {wanted} does not read"
            way_out = f"copy them first, then remove that volume: docs/storage_cluster.md#moving-reports (docker volume rm {volume})"
            yield error("inventory", message, way_out)


RULES: t.Tuple[t.Callable[[Deployment, Host], Problems], ...] = (
    _memory, _disk, _demand, _cpus, _cgroups, _ports, _reachability, _public_name, _clock, _architecture, _data_versions,
    _other_data,
)  # fmt: skip


def host_problems(deployment: Deployment, host: Host) -> t.List[Problem]:
    """What is wrong with a host, as the module codecov_host_info describes it. What is not known is not judged."""
    return [problem for rule in RULES for problem in rule(deployment, host)]


def fitted_to(deployment: Deployment, host: Host) -> Deployment:
    """The same deployment with the catalogue's CPU limits lowered to what the host has. Limits of the operator stay as they are."""
    resources = deployment.settings["codecov_resources"]
    given = resources["services"]
    lowered = {
        name: host["cpus"] for name, limit in _limited_cpus(deployment).items() if "cpus" not in given.get(name, {}) and limit > (host.get("cpus") or limit)
    }
    if not lowered:
        return deployment
    services = {**given, **{name: {**given.get(name, {}), "cpus": cpus} for name, cpus in lowered.items()}}
    return dataclasses.replace(deployment, settings={**deployment.settings, "codecov_resources": {**resources, "services": services}})
