# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Render a deployment to two Compose projects: the platform, and the application that runs in a slot.

The application's file is the same for both slots; what differs (slot, release, replicas, ports) comes from the slot's environment
file, so a release never has to be rendered again to run in the other slot.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils._catalogue import Service
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import NAME, SLOTS, Deployment, resolve
from ansible_collections.covstack.selfhosted.plugins.module_utils._placement import is_ip

DRAIN_FILE = "/tmp/covstack-drain"
PROBE_FILE = "/covstack/probe.py"
CONFIG_LABEL = "covstack.config"
# A first start may wait for the migration lock of a killed predecessor (180 s).
START_PERIOD = 240
INTERNAL_NETWORKS = ("data", "proxy", "storage")
# Tells a load balancer whether to send requests to a web host (split deployment).
READINESS = "readiness"
READINESS_RESOURCES = {"cpus": 0.5, "memory_mb": 192}
DRAIN_DIRECTORY = "/covstack/drain"


def _literal(value: t.Any) -> t.Any:
    """Text that Compose must not interpolate, recursively."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, (list, tuple)):
        return [_literal(item) for item in value]
    return {key: _literal(item) for key, item in value.items()} if isinstance(value, t.Mapping) else value


def _healthcheck(service: Service) -> t.Optional[t.Dict[str, t.Any]]:
    if "command" not in service.probe:
        return None
    command = list(service.probe["command"])
    test = ["CMD", *command]
    if service.tier == "web":  # a draining container reports unhealthy, so the edge stops sending to it
        test = ["CMD-SHELL", f"test ! -e {DRAIN_FILE} && exec {shlex.join(command)}"]
    return {
        "test": _literal(test),
        "interval": f"{service.probe.get('interval', 5)}s",
        "timeout": f"{service.probe.get('timeout', 5)}s",
        "retries": 3,
        "start_period": f"{START_PERIOD}s",
        "start_interval": "1s",
    }


def _limits(deployment: Deployment, service: Service) -> t.Dict[str, t.Any]:
    if not deployment.settings["codecov_resources"]["limits"]:
        return {}
    wanted = deployment.resources(service)
    return {"cpus": str(wanted["cpus"]), "mem_limit": f"{wanted['memory_mb']}m", "pids_limit": 512} if wanted else {}


def _base(deployment: Deployment, service: Service, labels: t.Sequence[str]) -> t.Dict[str, t.Any]:
    """What every container has, whatever its tier."""
    logs = deployment.settings["codecov_logs"]
    values = deployment.values()
    # Only what stands on several hosts as one names them.
    of_storage = deployment.storage_values() if service.replicated else None
    command = resolve(service.command, of_storage) if of_storage else service.command
    probe: t.Mapping[str, t.Any] = resolve(service.probe, of_storage) if of_storage else service.probe
    rendered: t.Dict[str, t.Any] = {
        "image": deployment.image(service),
        "restart": "unless-stopped",
        "labels": [f"covstack.deployment={NAME}", f"covstack.service={service.name}", *labels],
        "security_opt": ["no-new-privileges:true"],
        "cap_drop": ["ALL"],
        "logging": {"driver": "json-file", "options": {"max-size": f"{logs['max_size_mb']}m", "max-file": str(logs["max_files"])}},
        "stop_grace_period": f"{deployment.stop_grace(service)}s",
        **_limits(deployment, service),
    }
    optional = {
        "entrypoint": _literal(service.entrypoint),
        "command": _literal(command),
        "cap_add": list(service.capabilities),
        "user": service.user,
        "read_only": service.read_only,
        "tmpfs": [f"{path}:mode=1777" for path in service.writable],
        "stop_signal": service.stop_signal,
        "shm_size": f"{service.shm_mb}m" if service.shm_mb else None,
        "environment": _literal(resolve(service.environment, values)),
        "sysctls": dict(service.sysctls),
        "healthcheck": _healthcheck(dataclasses.replace(service, probe=probe)),
    }
    return {**rendered, **{key: value for key, value in optional.items() if value}}


# --- platform ---------------------------------------------------------------------------------------------------


def _mount(source: str, target: str) -> t.Dict[str, t.Any]:
    return {"type": "bind", "source": source, "target": target, "read_only": True, "bind": {"create_host_path": False}}


def _platform_volumes(deployment: Deployment, service: Service) -> t.List[t.Dict[str, t.Any]]:
    directory = deployment.settings["codecov_directory"]
    volumes = [_mount(mount["host"] if "host" in mount else f"{directory}/{mount['file']}", mount["target"]) for mount in service.mounts]
    volumes += [_mount(f"{directory}/secrets/{name}", target) for name, target in service.secret_files.items()]
    if service.name == "edge":
        volumes += _edge_volumes(deployment)
    volumes += [{"type": "volume", "source": volume["name"], "target": volume["target"]} for volume in service.volumes]
    return volumes


def _edge_volumes(deployment: Deployment) -> t.List[t.Dict[str, t.Any]]:
    tls = deployment.settings["codecov_tls"]["mode"]
    directory = deployment.settings["codecov_directory"]
    if tls == "acme":
        return [{"type": "bind", "source": f"{directory}/tls/acme", "target": "/acme", "bind": {"create_host_path": False}}]
    return [_mount(f"{directory}/tls", "/tls")] if tls != "disabled" else []


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _edge_ports(deployment: Deployment) -> t.List[str]:
    edge = deployment.settings["codecov_edge"]
    # Inside and outside share the port number: a presigned URL must work in both places.
    ports = [edge["http_port"], *([edge["https_port"]] if deployment.edge_tls else [])]
    address = _bracketed(edge["bind_address"])
    published = [f"{address}:{port}:{port}" for port in ports]
    return published + ([f"{edge['metrics_address']}:8083"] if edge["metrics_address"] else [])


def _platform_networks(deployment: Deployment, service: Service) -> t.Dict[str, t.Any]:
    networks: t.Dict[str, t.Any] = {name: {} for name in service.networks}
    # Where a load balancer serves the public name, the containers too must go there.
    if service.name == "edge" and deployment.edge_serves_url and not is_ip(deployment.hostname):
        networks["app"] = {"aliases": [deployment.hostname]}
    return networks


def _networks(names: t.Iterable[str], split: bool = False) -> t.Dict[str, t.Any]:
    if split:  # what publishes ports stands on no internal network, and that of the application is made before any project
        return {name: {"name": f"{NAME}_{name}", **({"external": True} if name == "app" else {})} for name in sorted(names)}
    return {name: {"name": f"{NAME}_{name}", **({"internal": True} if name in INTERNAL_NETWORKS else {})} for name in sorted(names)}


def _with_digest(rendered: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
    """Labelled with a digest of all that it is made from: who compares it needs to ask no Compose whether a container is up to date."""
    definition = [rendered, _networks(rendered["networks"])]
    digest = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:16]
    return {**rendered, "labels": [*rendered["labels"], f"{CONFIG_LABEL}={digest}"]}


def config_digest(rendered: t.Mapping[str, t.Any]) -> str:
    """The digest that a rendered service carries."""
    return next(label.split("=", 1)[1] for label in rendered["labels"] if label.startswith(f"{CONFIG_LABEL}="))


def _platform_service(deployment: Deployment, service: Service, digests: t.Mapping[str, str]) -> t.Dict[str, t.Any]:
    labels = [f"covstack.files={digests[service.name]}"] if service.name in digests else []
    rendered = _base(deployment, service, labels)
    rendered["networks"] = _platform_networks(deployment, service)
    volumes = _platform_volumes(deployment, service)
    if volumes:
        rendered["volumes"] = volumes
    if service.name == "edge":
        rendered["ports"] = _edge_ports(deployment)
    if service.name == "statsd" and deployment.settings["codecov_statsd"]["metrics_address"]:
        rendered["ports"] = [f"{deployment.settings['codecov_statsd']['metrics_address']}:{service.metrics_port}"]
    if deployment.is_split and service.kind in ("data", "storage"):
        address = _bracketed(deployment.host.bind_address)
        ports = [(deployment.published_port(service.name), service.port), *((port, port) for port in service.peer_ports)]
        rendered["ports"] = [f"{address}:{outside}:{inside}" for outside, inside in ports]
    if service.needs:
        rendered["depends_on"] = list(service.needs)
    return _with_digest(rendered)


def platform_project(deployment: Deployment, files: t.Mapping[str, str]) -> t.Dict[str, t.Any]:
    """The platform as a Compose project. `files` are the rendered files by path; a service that reads one is recreated with it."""
    services = deployment.embedded()
    digests = {
        name: hashlib.sha256("".join(files[mount["file"]] for mount in service.mounts if mount.get("file") in files).encode()).hexdigest()[:16]
        for name, service in services.items()
        if any(mount.get("file") in files for mount in service.mounts)
    }
    networks = {network for service in services.values() for network in service.networks}
    volumes = [volume["name"] for service in services.values() for volume in service.volumes]
    project: t.Dict[str, t.Any] = {
        "name": NAME,
        "services": {name: _platform_service(deployment, service, digests) for name, service in services.items()},
        "networks": _networks(networks, deployment.is_split),
    }
    if volumes:
        project["volumes"] = {name: {"name": f"{NAME}_{name}"} for name in volumes}
    return project


# --- application ------------------------------------------------------------------------------------------------


def _port_variable(service: str) -> str:
    return f"PORT_{service.upper()}"


def _replicas_variable(service: str) -> str:
    return f"REPLICAS_{service.upper()}"


def _upstream_environment(deployment: Deployment, service: Service) -> t.Dict[str, str]:
    """A service with upstreams looks them up once: it calls them at the edge's fixed port of its own slot, or at their fixed address (see
    docs/architecture.md)."""
    environment = {}
    for name, upstream in service.upstreams.items():
        called = upstream.get("service", name)
        environment[upstream["host"]] = deployment.fixed_address(called) if deployment.is_split else "edge"
        environment[upstream["port"]] = str(deployment.line.services[called].port) if deployment.is_split else f"${{{_port_variable(called)}}}"
    return environment


def _application_environment(deployment: Deployment, service: Service) -> t.Dict[str, str]:
    return {**_upstream_environment(deployment, service), **deployment.environment(service)}


def _application_volumes(deployment: Deployment, service: Service) -> t.List[t.Dict[str, t.Any]]:
    if not service.config:
        return []
    volumes = [_mount("./codecov.yml", deployment.line.config_path), _mount("./probe.py", PROBE_FILE)]
    return volumes + ([_mount(f"{deployment.settings['codecov_directory']}/tls/ca", "/covstack/tls")] if deployment.own_ca() else [])


def _edge_labels(service: Service) -> t.List[str]:
    name = f"{service.name}-${{SLOT}}"
    router = f"traefik.http.routers.{name}"
    return [
        "traefik.enable=true",
        f"traefik.http.services.{name}.loadbalancer.server.port={service.port}",
        f"{router}.rule=PathPrefix(`/`)",
        f"{router}.entrypoints={name}",
        f"{router}.service={name}",
        f"{router}.middlewares=retry@file",
    ]


def _published(port: int, container_port: t.Optional[int]) -> str:
    """A port of a web host. The address is the host's own, so it is no part of the release, which is the same on all hosts."""
    return f"${{ADDRESS}}:{port}:{container_port}"


def _called(deployment: Deployment) -> t.Set[str]:
    """Services that others call by their address."""
    return {upstream.get("service", name) for service in deployment.line.services.values() for name, upstream in service.upstreams.items()}


def _application_networks(deployment: Deployment, service: Service) -> t.Any:
    networks = deployment.networks(service)
    if deployment.is_split and service.name in _called(deployment):
        return {"app": {"ipv4_address": deployment.fixed_address(service.name)}}
    return networks


def _predecessors(deployment: Deployment, service: Service) -> t.List[str]:
    """What must be healthy before the service starts, and stops after it.

    A gateway comes after the services behind it and ends its requests before they go. A worker takes no task of a release whose web services
    do not come up; and what serves meanwhile keeps a part of the processor, since the two that take longest do not start at once.
    """
    if service.tier == "worker":
        names = {other.name for other in deployment.line.services.values() if other.tier == "web" and other.config}
    else:
        names = {upstream.get("service", name) for name, upstream in service.upstreams.items()}
    return sorted(names & set(deployment.services()))


def _application_service(deployment: Deployment, service: Service) -> t.Dict[str, t.Any]:
    labels = ["covstack.slot=${SLOT}", "covstack.release=${RELEASE}", *(_edge_labels(service) if service.tier == "web" and not deployment.is_split else [])]
    rendered = _base(deployment, service, labels)
    environment = {**rendered.get("environment", {}), **_application_environment(deployment, service)}
    volumes = _application_volumes(deployment, service)
    predecessors = _predecessors(deployment, service)
    return {
        **rendered,
        **({"environment": environment} if environment else {}),
        **({"volumes": volumes} if volumes else {}),
        **({"ports": [_published(deployment.settings["codecov_web_port"], service.port)]} if deployment.is_split and service.entry else {}),
        "networks": _application_networks(deployment, service),
        **({"depends_on": {name: {"condition": "service_healthy"} for name in predecessors}} if predecessors else {}),
        "scale": f"${{{_replicas_variable(service.name)}}}",
    }


_JOB_KEYS = ("image", "user", "read_only", "tmpfs", "cap_drop", "cap_add", "security_opt", "environment", "volumes", "networks", "logging")


def _job(deployment: Deployment, name: str, job: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """A one-shot job: the container of its service, another command, never restarted and unknown to the edge."""
    service = _application_service(deployment, deployment.line.services[job["service"]])
    rendered = {key: service[key] for key in _JOB_KEYS if key in service}
    rendered["networks"] = list(service["networks"])
    labels = [f"covstack.deployment={NAME}", f"covstack.service={name}", "covstack.slot=${SLOT}", "covstack.release=${RELEASE}"]
    return {**rendered, "profiles": ["jobs"], "restart": "no", "labels": labels, "entrypoint": _literal(job["command"]), "command": []}


def answers_balancers(deployment: Deployment) -> bool:
    """Whether this host is one that load balancers send requests to."""
    return deployment.is_split and deployment.line.entry.name in deployment.services()


def readiness_source(deployment: Deployment) -> Service:
    """The service whose image and configuration the readiness check uses."""
    return next(service for service in deployment.line.tier("web") if service.config)


def _readiness(deployment: Deployment) -> t.Dict[str, t.Any]:
    """Says whether this host is to get requests: the container of the api, another command."""
    service = readiness_source(deployment)
    entry, port = deployment.line.entry, deployment.settings["codecov_readiness_port"]
    rendered = _application_service(deployment, service)
    proof = next((probe for probe in deployment.line.probes if "body_regex" in probe), deployment.line.probes[0])
    command = [deployment.line.python, PROBE_FILE, "serve", f"--port={port}", f"--url=http://{entry.name}:{entry.port}{proof['path']}"]
    command += [f"--body={proof['body_regex']}"] if "body_regex" in proof else []
    labels = [label.replace(f"covstack.service={service.name}", f"covstack.service={READINESS}") for label in rendered["labels"]]
    limits = {"cpus": str(READINESS_RESOURCES["cpus"]), "mem_limit": f"{READINESS_RESOURCES['memory_mb']}m"} if "cpus" in rendered else {}
    alive = [deployment.line.python, PROBE_FILE, "http", f"http://127.0.0.1:{port}/alive"]
    return {
        **{key: value for key, value in rendered.items() if key not in ("depends_on", "ports")},
        **limits,
        "labels": labels,
        "entrypoint": _literal(command),
        "command": [],
        "stop_grace_period": "5s",
        "healthcheck": {**rendered["healthcheck"], "test": ["CMD", *alive]},
        "volumes": [*rendered["volumes"], _mount(f"{deployment.settings['codecov_directory']}/drain", DRAIN_DIRECTORY)],
        "ports": [_published(port, port)],
        "networks": ["app"],
        "scale": 1,
    }


def application_project(deployment: Deployment) -> t.Dict[str, t.Any]:
    """The application as a Compose project, the same for both slots."""
    here = deployment.services()
    services = {name: _application_service(deployment, service) for name, service in here.items()}
    services.update({name: _job(deployment, name, job) for name, job in deployment.line.jobs.items() if job["service"] in here})
    if answers_balancers(deployment):
        services[READINESS] = _readiness(deployment)
    networks = sorted({network for service in here.values() for network in deployment.networks(service)})
    return {
        "name": f"{NAME}-${{SLOT}}",
        "services": services,
        "networks": {name: {"name": f"{NAME}_{name}", "external": True} for name in networks},
    }


def slot_environment(deployment: Deployment, slot: str) -> t.Dict[str, str]:
    """Environment of a slot for Compose, without RELEASE, which the deployment adds."""
    replicas = {_replicas_variable(name): str(deployment.replicas(service)) for name, service in deployment.services().items()}
    if deployment.is_split:
        return {"SLOT": slot, "ADDRESS": _bracketed(deployment.host.bind_address), **replicas}
    ports = {_port_variable(service): str(by_slot[slot]) for service, by_slot in deployment.slot_ports().items()}
    return {"SLOT": slot, **ports, **replicas}


def other_slot(slot: t.Optional[str]) -> str:
    """The slot that a new release comes up in."""
    return SLOTS[1] if slot == SLOTS[0] else SLOTS[0]
