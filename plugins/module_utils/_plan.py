# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""The plan of one host: everything that roles and modules need, rendered from a deployment. Holds no secret, only `${secret:NAME}`."""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils import _compose, _container_probe, _edge, _providers
from ansible_collections.covstack.selfhosted.plugins.module_utils._catalogue import Service
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import CA_BUNDLE, NAME, SLOTS, STORAGE_DATABASE, Deployment, resolve
from ansible_collections.covstack.selfhosted.plugins.module_utils._placement import Host
from ansible_collections.covstack.selfhosted.plugins.module_utils._platform_files import service_files, to_yaml
from ansible_collections.covstack.selfhosted.plugins.module_utils._secrets import references

# Of a split deployment, made by itself: gateway, api and frontend have addresses in it that do not change.
APPLICATION_NETWORK = f"{NAME}_app"

# In the directory drain/ of a web host: load balancers are to send nothing.
DRAIN_MARK = "draining"

# Of replicated storage, on the host that runs PostgreSQL. Text between $covstack$ needs no quoting.
STORAGE_DATABASE_FILE = "storage_database.sql"
STORAGE_DATABASE_STATEMENTS = f"""\
SELECT 'CREATE ROLE {STORAGE_DATABASE} LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{STORAGE_DATABASE}') \\gexec
ALTER ROLE {STORAGE_DATABASE} PASSWORD $covstack$${{secret:%s}}$covstack$;
SELECT 'CREATE DATABASE {STORAGE_DATABASE} OWNER {STORAGE_DATABASE}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{STORAGE_DATABASE}') \\gexec
REVOKE ALL ON DATABASE {STORAGE_DATABASE} FROM PUBLIC;
"""


def _owner(service: Service) -> int:
    return int(str(service.user or "0").split(":", maxsplit=1)[0])


def _wanted_files(deployment: Deployment, service: Service, contents: t.Mapping[str, str]) -> t.Dict[str, t.Any]:
    files = {
        mount["file"]: {"content": contents[mount["file"]], "mode": "0400", "owner": _owner(service)}
        for mount in service.mounts
        if mount.get("file") in contents
    }
    for name in service.secret_files:
        files[f"secrets/{name}"] = {"content": f"${{secret:{name}}}", "mode": "0400", "owner": _owner(service)}
    return files


def files_of(deployment: Deployment, platform: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """Files of the deployment's directory, as the module file_set takes them. The active route and releases are not among them."""
    contents = service_files(deployment)
    files: t.Dict[str, t.Any] = {"platform/compose.yml": {"content": to_yaml(platform), "mode": "0600"}}
    for service in deployment.embedded().values():
        files.update(_wanted_files(deployment, service, contents))
    if deployment.is_split:
        files.update(_split_files(deployment))
    else:
        files["edge/dynamic/routes.yml"] = {"content": to_yaml(_edge.routes(deployment)), "mode": "0444"}
    return files


def _split_files(deployment: Deployment) -> t.Dict[str, t.Any]:
    """The directory that the readiness check looks into must be there before its container; the database of replicated storage before that."""
    files: t.Dict[str, t.Any] = {}
    if makes_storage_database(deployment):
        files[STORAGE_DATABASE_FILE] = {"content": STORAGE_DATABASE_STATEMENTS % deployment.storage_database_secret(), "mode": "0400"}
    if not _compose.answers_balancers(deployment):
        return files
    return {**files, "drain/README": {"content": f"While a file {DRAIN_MARK} is here, load balancers send no requests to this host.\n", "mode": "0444"}}


def makes_storage_database(deployment: Deployment) -> bool:
    """Whether this host runs the PostgreSQL in which replicated storage writes down what is where."""
    return deployment.replicates_storage and "postgres" in deployment.embedded()


def config_layers(deployment: Deployment) -> t.Tuple[t.List[t.Dict[str, t.Any]], t.Dict[str, str], t.List[t.Any]]:
    """Layers of codecov.yml from low to high (without the operator's file), the callback URLs, and problems of the providers."""
    fragment, callbacks, problems = _providers.provider_layer(deployment.settings["codecov_providers"], deployment.url)
    layers = [
        {"name": "line defaults (catalogue)", "content": deployment.line.config},
        {"name": "strategy (settings)", "content": resolve(deployment.line.config_endpoints, deployment.values())},
        {"name": "codecov_providers", "content": fragment},
        {"name": "codecov_config_group", "content": deployment.settings["codecov_config_group"]},
        {"name": "codecov_config_host", "content": deployment.settings["codecov_config_host"]},
    ]
    return layers, callbacks, problems


def _minimum_versions(deployment: Deployment) -> t.Dict[str, str]:
    """Oldest versions of data services that the line works with."""
    return {name: str(service.minimum_version[deployment.line.name]) for name, service in deployment.platform.items() if service.minimum_version}


def probe_minimums(deployment: Deployment) -> t.List[str]:
    return [f"--minimum-{name}={version}" for name, version in _minimum_versions(deployment).items()]


def _application(deployment: Deployment, probe: str) -> t.Dict[str, t.Any]:
    compose = to_yaml(_compose.application_project(deployment))
    line, here = deployment.line, deployment.services()
    readiness = {_compose.READINESS: _compose.readiness_source(deployment)} if _compose.answers_balancers(deployment) else {}
    return {
        "compose": compose,
        "probe": probe,
        "digest": hashlib.sha256(f"{_whole_application(deployment, compose)}\0{probe}".encode()).hexdigest(),
        "services": list(here),
        "replicas": {**{name: deployment.replicas(service) for name, service in here.items()}, **dict.fromkeys(readiness, 1)},
        "web": [service.name for service in here.values() if service.tier == "web"],
        "worker": [service.name for service in here.values() if service.tier == "worker"],
        "uses_redis": [service.name for service in here.values() if service.config],
        "entry": line.entry.name,
        "entry_ports": deployment.slot_ports()[line.entry.name],
        "gate": [{key: probe[key] for key in ("name", "path", "body_regex") if key in probe} for probe in line.probes if "provider" not in probe],
        "versions": {name: deployment.version(service) for name, service in line.services.items()},
        "images": {name: deployment.image(service) for name, service in {**here, **readiness}.items()},
        "jobs": {name: {"timeout": job["timeout"], "command": list(job["command"])} for name, job in line.jobs.items() if job["service"] in here},
        "config_service": next(service.name for service in line.services.values() if service.config),
        "python": line.python,
        "probe_minimums": probe_minimums(deployment),
        "grace": max((deployment.stop_grace(service) for service in here.values()), default=0),
    }


def _whole_application(deployment: Deployment, compose: str) -> str:
    """What a release is named after: the same on every host of a split deployment, whatever part of it a host runs."""
    if not deployment.is_split:
        return compose
    return to_yaml(_compose.application_project(dataclasses.replace(deployment, host=Host("", kinds=("web", "worker")))))


def _endpoints(deployment: Deployment) -> t.List[str]:
    """External endpoints, host:port, that the host must reach."""
    endpoints = []
    for service in ("postgres", "timescale"):
        if deployment.mode(service) == "external":
            endpoints.append(f"{deployment.postgres(service)['host']}:{deployment.postgres(service)['port']}")
    if deployment.mode("redis") == "external":
        endpoints.append(f"{deployment.settings['codecov_redis']['host']}:{deployment.settings['codecov_redis']['port']}")
    if deployment.mode("storage") == "external":
        endpoints.append(f"{deployment.storage()['host']}:{deployment.storage()['port']}")
    return endpoints


def _volume_files(deployment: Deployment) -> t.Dict[str, str]:
    """By which file a volume says what version its data are of, or that it holds data that would not be read any more."""
    here = deployment.embedded().values()
    others = {f"{NAME}_{service.other_data['volume']}": service.other_data["file"] for service in here if service.other_data} if deployment.is_split else {}
    return {**{deployment.volume(service): service.data_version["file"] for service in here if service.data_version}, **others}


def published_ports(deployment: Deployment) -> t.List[int]:
    """Ports that this deployment publishes on the host."""
    if not deployment.is_split:
        edge = deployment.settings["codecov_edge"]
        return [edge["http_port"], *([edge["https_port"]] if deployment.edge_tls else [])]
    there = {name: service for name, service in deployment.embedded().items() if service.kind in ("data", "storage")}
    ports = [port for name, service in there.items() for port in (deployment.published_port(name), *service.peer_ports)]
    web = [deployment.settings["codecov_web_port"], deployment.settings["codecov_readiness_port"]]
    return [*ports, *(web if _compose.answers_balancers(deployment) else [])]


def needs_of(deployment: Deployment) -> t.Dict[str, t.Any]:
    """What the host must offer or reach: ports to publish, names to resolve, external endpoints; and what it may have: images, and data of earlier versions."""
    images = sorted({deployment.image(service) for service in (*deployment.services().values(), *deployment.embedded().values())})
    ports = published_ports(deployment)
    calls = bool(deployment.services())
    return {
        "ports": ports,
        "names": [deployment.hostname] if calls else [],
        "endpoints": _endpoints(deployment) if calls else [],
        "images": images,
        "volume_files": _volume_files(deployment),
        "networks": [APPLICATION_NETWORK] if deployment.is_split and calls else [],
    }


def _external_endpoints(deployment: Deployment) -> t.List[t.Dict[str, t.Any]]:
    """Where the external services are, and how TLS begins there."""
    ends: t.List[t.Dict[str, t.Any]] = []
    # One environment variable for all databases of a container: only an external PostgreSQL sets it.
    asks = deployment.mode("postgres") == "external" and deployment.settings["codecov_postgres"]["sslmode"] not in ("disable", "allow", "prefer")
    tls = "postgres" if asks else "none"
    for name in ("postgres", "timescale"):
        if deployment.mode(name) == "external":
            ends.append({"name": name, **{key: deployment.postgres(name)[key] for key in ("host", "port")}, "tls": tls})
    others = {"redis": deployment.settings["codecov_redis"], "storage": deployment.storage()}
    for name, given in others.items():
        if deployment.mode(name) == "external":
            ends.append({"name": name, "host": given["host"], "port": given["port"], "tls": "direct" if given["tls"] else "none"})
    return ends


def _external_check(deployment: Deployment) -> t.Optional[t.Dict[str, t.Any]]:
    """How to ask external services before anything else is touched.

    C(options), C(image) and C(command) are arguments of `docker run` for a container of the release; the rest is for the module
    codecov_external_check, which needs no release.
    """
    checks = sorted(name for name in ("postgres", "redis", "storage", "timescale") if deployment.mode(name) == "external")
    config_service = next((service.name for service in deployment.services().values() if service.config), None)
    if not checks or not config_service:
        return None
    service = _compose.application_project(deployment)["services"][config_service]
    options = ["--user", str(deployment.line.config_owner), "--entrypoint", deployment.line.python]
    names = sorted(set(service.get("environment", {})) & {"PGSSLMODE", "PGSSLROOTCERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"})
    environment = {name: service["environment"][name] for name in names}
    for name, value in environment.items():
        options += ["--env", f"{name}={value}"]
    for volume in service["volumes"]:
        options += ["--volume", f"{volume['source']}:{volume['target']}:ro"]
    arguments = [*checks, *probe_minimums(deployment)]
    return {
        "options": options,
        "image": service["image"],
        "command": [_compose.PROBE_FILE, "check", *arguments],
        "arguments": arguments,
        "environment": environment,
        "endpoints": _external_endpoints(deployment),
        "config_path": deployment.line.config_path,
        "ca_path": CA_BUNDLE if deployment.own_ca() else None,
    }


def _bucket_command(deployment: Deployment) -> t.Optional[t.List[str]]:
    command = deployment.platform["storage"].create_bucket
    if "storage" not in deployment.embedded() or not command:
        return None
    storage = deployment.placement.of_kind("storage")
    if deployment.replicates_storage and deployment.host != storage[0]:  # one bucket on all of them
        return None
    values = {"bucket": deployment.storage()["bucket"], **deployment.storage_values()}
    return [resolve(part, values) for part in command]


def _asked_of_storage(deployment: Deployment, command: t.Optional[t.List[str]]) -> t.Optional[t.List[str]]:
    """A question of the catalogue for the container of replicated storage."""
    if not command or "storage" not in deployment.embedded():
        return None
    return resolve(command, {"bucket": deployment.storage()["bucket"], **deployment.storage_values()})


def public_probes(deployment: Deployment) -> t.List[t.Dict[str, t.Any]]:
    """Probes through the public URL; those of a provider only where it is configured."""
    providers = deployment.settings["codecov_providers"]
    wanted = [probe for probe in deployment.line.probes if "provider" not in probe or probe["provider"] in providers]
    return [{key: value for key, value in probe.items() if key != "provider"} for probe in wanted]


def health_of(deployment: Deployment) -> t.Dict[str, t.Any]:
    """Parameters of the module codecov_health, but for those that a run decides (slot, wait)."""
    here = deployment.services()
    services = {name: {"replicas": deployment.replicas(service), "tier": service.tier, "entry": service.entry} for name, service in here.items()}
    if _compose.answers_balancers(deployment):
        services[_compose.READINESS] = {"replicas": 1, "tier": "web", "entry": False}
    return {
        "url": deployment.url,
        "services": services,
        "platform": list(deployment.embedded()),
        # Through the public URL and from inside: once for the deployment, wherever it is split.
        "probes": public_probes(deployment) if deployment.is_keeper else [],
        "inside": bool(services),
        "limits": {key: value for key, value in deployment.settings["codecov_health"].items() if key != "deadline_s"},
        "queues": list(deployment.line.queues),
        "minimum_versions": _minimum_versions(deployment),
        "python": deployment.line.python,
    }


def task_settings(deployment: Deployment) -> t.Dict[str, t.Any]:
    """Settings that the tasks themselves follow."""
    given = deployment.settings
    return {
        "pull": given["codecov_images"]["pull"],
        "archives": given["codecov_images"]["archives"],
        "deadline_s": given["codecov_health"]["deadline_s"],
        "smoke": given["codecov_smoke"],
        "releases_kept": given["codecov_releases_kept"],
        "config_file": given["codecov_config_file"],
        "config_accept_unknown": given["codecov_config_accept_unknown"],
        "config_allow_change": given["codecov_config_allow_change"],
        "tls": given["codecov_tls"],
        "release": given["codecov_release"],
        "purge": given["codecov_purge"],
    }


def _placement(deployment: Deployment, files: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """What tasks of a split deployment need to know of the others; `split` alone for one host."""
    if not deployment.is_split:
        return {"split": False, "cluster": False, "keeper": True, "kinds": []}
    placement, settings = deployment.placement, deployment.settings
    keeper = placement.keeper
    port = deployment.published_port("storage")
    return {
        "split": True,
        "cluster": False,
        "kinds": list(deployment.host.kinds),
        "application": deployment.host.is_of("web", "worker"),
        "answers_balancers": _compose.answers_balancers(deployment),
        "containers": bool(deployment.services() or deployment.embedded()),
        "secrets": sorted({name for file in files.values() for name in references(file["content"])}),
        "address": deployment.host.address,
        "bind_address": deployment.host.bind_address,
        "keeper": deployment.is_keeper,
        "keeper_name": keeper.name if keeper else None,
        "application_hosts": [host.name for host in placement.application],
        "web": [{"name": host.name, "address": host.address, "port": settings["codecov_web_port"]} for host in placement.of_kind("web")],
        "storage": [{"name": host.name, "address": host.address, "port": port} for host in placement.of_kind("storage")],
        "storage_check": dict(deployment.platform["storage"].balancer_check) if deployment.mode("storage") == "embedded" else {},
        "servers": _servers(deployment),
        "load_balancers": [{"name": host.name, "address": host.address} for host in placement.of_kind("load_balancers")],
        "virtual_address": settings["codecov_virtual_address"],
        "high_availability": deployment.high_availability,
        "web_port": settings["codecov_web_port"],
        "readiness_port": settings["codecov_readiness_port"],
        "balancer": settings["codecov_load_balancer"]["mode"],
        "drain_s": settings["codecov_load_balancer"]["drain_s"],
        "bucket": deployment.storage()["bucket"] if deployment.mode("storage") == "embedded" else None,
        "network": {"name": APPLICATION_NETWORK, "subnet": settings["codecov_network"]["subnet"], "range": deployment.dynamic_range()},
        "drain_mark": f"{settings['codecov_directory']}/drain/{DRAIN_MARK}",
        "lock_break": settings["codecov_lock_break"],
    }


def _servers(deployment: Deployment) -> t.List[str]:
    """What load balancers of ours send requests to, as HAProxy names it."""
    backends = ["web", "storage"] if deployment.mode("storage") == "embedded" else ["web"]
    return [f"{backend}/{host.name}" for backend in backends for host in deployment.placement.of_kind(backend)]


def identity(deployment: Deployment) -> t.Dict[str, t.Any]:
    """What a plan is about, whatever carries it."""
    return {
        "name": NAME,
        "line": deployment.line.name,
        "title": deployment.line.title,
        "url": deployment.url,
        "hostname": deployment.hostname,
        "https": deployment.https,
    }


def plan_of(deployment: Deployment) -> t.Dict[str, t.Any]:
    """The plan of a host. Plain data, safe to print."""
    layers, callbacks, _problems = config_layers(deployment)
    platform = _compose.platform_project(deployment, service_files(deployment))
    files = files_of(deployment, platform)
    return {
        **identity(deployment),
        "directory": deployment.settings["codecov_directory"],
        "owner": deployment.line.config_owner,
        "files": files,
        "slots": {slot: "".join(f"{key}={value}\n" for key, value in _compose.slot_environment(deployment, slot).items()) for slot in SLOTS},
        "routes": {} if deployment.is_split else {slot: to_yaml(_edge.active_route(deployment, slot)) for slot in SLOTS},
        "platform": {
            "services": list(platform["services"]),
            # They stop at once without the service on another host, so they are started when it is up.
            "later": [name for name, service in deployment.embedded().items() if service.needs_elsewhere],
            "images": {name: service["image"] for name, service in platform["services"].items()},
            "configs": {name: _compose.config_digest(service) for name, service in platform["services"].items()},
        },
        "application": _application(deployment, _container_probe_source()),
        "external_check": _external_check(deployment),
        "bucket_command": _bucket_command(deployment),
        "storage_others_joined": _asked_of_storage(deployment, deployment.platform["storage"].others_joined),
        "storage_leads": _asked_of_storage(deployment, deployment.platform["storage"].leads),
        "storage_database": (
            {"file": STORAGE_DATABASE_FILE, "user": deployment.postgres()["user"], "database": deployment.postgres()["database"]}
            if makes_storage_database(deployment)
            else None
        ),
        # The operator's layers may hold secrets written out: roles pass them on, the plan must not show them.
        "config": {"layers": layers[:-2], "required_secrets": deployment.required_secrets(), "callbacks": callbacks},
        "health": health_of(deployment),
        "external": sorted(name for name in ("postgres", "redis", "storage", "timescale") if deployment.mode(name) == "external"),
        "own_ca": deployment.own_ca() and bool(deployment.services()),  # the bundle is written where the application runs
        "placement": _placement(deployment, files),
        "local_address": f"127.0.0.1:{deployment.port}" if deployment.edge_serves_url else None,
        "settings": task_settings(deployment),
    }


def _well(container: t.Mapping[str, t.Any], image: t.Optional[str]) -> bool:
    return container["state"] == "running" and container["health"] in (None, "healthy") and container["image"] == image


def _platform_settled(plan: t.Mapping[str, t.Any], containers: t.Sequence[t.Mapping[str, t.Any]]) -> bool:
    mine = [container for container in containers if not container["slot"]]
    wanted = plan["platform"]
    return sorted(str(container["service"]) for container in mine) == sorted(wanted["services"]) and all(
        container["config"] == wanted["configs"][container["service"]] and _well(container, wanted["images"][container["service"]]) for container in mine
    )


def _application_settled(plan: t.Mapping[str, t.Any], containers: t.Sequence[t.Mapping[str, t.Any]], active: t.Mapping[str, t.Any]) -> bool:
    mine = [container for container in containers if container["slot"] == active.get("slot")]
    wanted = [name for name, number in plan["application"]["replicas"].items() for _number in range(number)]
    return sorted(str(container["service"]) for container in mine) == sorted(wanted) and all(
        container["release"] == active["release"] and _well(container, plan["application"]["images"].get(container["service"])) for container in mine
    )


def settled(plan: t.Mapping[str, t.Any], host: t.Mapping[str, t.Any]) -> t.Dict[str, bool]:
    """Whether the containers are what the platform, and the release that serves, ask for: Compose would find nothing to do.

    Told by their labels: a digest of the definition that each was made from. Anything unusual (a container too many, a one-off job that was
    left behind, an image whose name means another one by now) is left for Compose to judge.
    """
    deployment = host["deployment"]
    containers = deployment["containers"]
    calm = plan["settings"]["pull"] != "always" and not any(container["one_off"] for container in containers)
    return {
        "platform": calm and _platform_settled(plan, containers),
        "application": calm and bool(deployment["active"]) and _application_settled(plan, containers, deployment["active"]),
    }


def in_turn(plan: t.Mapping[str, t.Any], host: t.Mapping[str, t.Any], run_hosts: t.Collection[str]) -> bool:
    """Whether a host of a split deployment serves, and is written to in its own turn, while load balancers send it nothing.

    Not the one from which the database is migrated before, nor one whose data services others need before, nor where this run leaves out the
    host that knows the release. Two colours have their own order.
    """
    placement = plan["placement"]
    if not placement["split"] or "blue_green" in plan or placement["keeper"] or placement["keeper_name"] not in run_hosts:
        return False
    return placement["application"] and bool(host["deployment"]["active"]) and not {"data", "storage"} & set(placement["kinds"])


def _container_probe_source() -> str:
    with open(_container_probe.__file__, encoding="utf-8") as stream:
        return stream.read()
