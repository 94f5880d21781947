# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Render a deployment to the values of the Helm chart charts/codecov.

The chart knows no service by its name: it makes the same objects of every entry of `services` (in each slot) and of `platform`. So a service that is
added to the catalogue appears in Compose and in Kubernetes alike. The values hold no secret, only C(${secret:NAME}).
"""

from __future__ import annotations

import dataclasses
import math
import posixpath
import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils import _plan, _sizing
from ansible_collections.covstack.selfhosted.plugins.module_utils._catalogue import Service
from ansible_collections.covstack.selfhosted.plugins.module_utils._compose import PROBE_FILE, START_PERIOD
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_merge import merge_layers
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import SLOTS, Deployment, resolve
from ansible_collections.covstack.selfhosted.plugins.module_utils._platform_files import service_files

# Seconds in which proxies and load balancers learn that a pod gets no more requests, before it is told to stop.
DRAIN_SECONDS = 10
# Of the CPU limit, what is set aside on the node, and what use is measured against. The ratio of upstream's own manifests.
CPU_REQUEST_SHARE = 0.25
# Of the minimum, unless a maximum is given.
MAXIMUM_FACTOR = 4
VOLUME_SIZE = "20Gi"
SECRET_REFRESH = "1h"
CA_KEY = "scm_ca_cert.pem"
# Of no meaning to other controllers; and the name of a class does not tell which one it is.
NGINX_UPLOADS = {
    "nginx.ingress.kubernetes.io/proxy-body-size": "192m",
    "nginx.ingress.kubernetes.io/proxy-read-timeout": "600",
    "nginx.ingress.kubernetes.io/proxy-send-timeout": "600",
}


@dataclasses.dataclass(frozen=True)
class Slot:
    """A colour: a whole copy of the application. `images` pins its images, {service: {repository, tag, digest}}; `config_secret` is its codecov.yml."""

    weight: int = 100
    parked: bool = False
    host: str = ""
    images: t.Mapping[str, t.Mapping[str, str]] = dataclasses.field(default_factory=dict)
    config_secret: str = ""
    config_checksum: str = ""


# --- one service ----------------------------------------------------------------------------------------------------------------


def _user(service: Service) -> t.Dict[str, int]:
    uid, _colon, gid = str(service.unprivileged.get("user") or service.user or "").partition(":")
    return {**({"user": int(uid)} if uid else {}), **({"group": int(gid)} if gid else {})}


def _action(service: Service) -> t.Dict[str, t.Any]:
    probe = service.probe
    return {"path": probe["http"]} if "http" in probe else {"command": list(probe["command"])}


def _probes(service: Service) -> t.Dict[str, t.Any]:
    """Readiness proves what the catalogue's probe proves. Liveness asks the process alone: nobody is restarted for what another service does.

    A process that ends is started again without being asked; so where no question concerns the process alone, there is none.
    """
    if not service.probe:
        return {}
    timeout = int(service.probe.get("timeout", 5))
    readiness = {**_action(service), "period": int(service.probe.get("interval", 5)), "timeout": timeout, "failures": 3}
    startup = {**_action(service), "period": timeout, "timeout": timeout, "failures": math.ceil(START_PERIOD / timeout)}
    alive = service.probe.get("alive") or (service.probe.get("http") if not service.config else None)
    liveness = {"liveness": {"path": alive, "period": 10, "timeout": 5, "failures": 6}} if alive else {}
    return {"startup": startup, "readiness": readiness, **liveness}


def _resources(deployment: Deployment, service: Service) -> t.Dict[str, t.Any]:
    wanted = deployment.resources(service)
    if not wanted:
        return {}
    memory, milli = f"{int(float(wanted['memory_mb']))}Mi", float(wanted["cpus"]) * 1000
    requests = {"cpu": f"{max(1, round(milli * CPU_REQUEST_SHARE))}m", "memory": memory}
    limits = {"limits": {"cpu": f"{round(milli)}m", "memory": memory}} if deployment.settings["codecov_resources"]["limits"] else {}
    return {"requests": requests, **limits}


def _stop(deployment: Deployment, service: Service) -> t.Dict[str, t.Any]:
    """A service that takes requests first waits until it gets no more. Kubernetes sends the image's own signal, so any other is sent before it."""
    drain = DRAIN_SECONDS if service.tier == "web" else 0
    signal = (service.stop_signal or "SIGTERM").replace("SIG", "", 1)
    return {"drain": drain, "signal": signal, "grace": deployment.stop_grace(service) + drain}


def _workload(deployment: Deployment, service: Service) -> t.Dict[str, t.Any]:
    """What the containers of a service are, whoever runs it."""
    repository, tag, digest = deployment.image_parts(service)
    values = deployment.values()
    environment = {**service.environment, **service.unprivileged.get("environment", {})}
    optional = {
        "port": service.port,
        "metricsPort": service.metrics_port,
        "command": service.entrypoint,
        "args": service.command,
        "sharedMemory": f"{service.shm_mb}Mi" if service.shm_mb else None,
    }
    return {
        "image": {"repository": repository, "tag": tag, "digest": digest},
        **{key: value for key, value in optional.items() if value},
        **({"protocol": service.protocol.upper()} if service.port else {}),
        "environment": {**resolve(environment, values), **deployment.environment(service)},
        **_user(service),
        "readOnlyRoot": service.read_only,
        "writable": list(service.writable),
        "networks": list(service.networks),
        "probes": _probes(service),
        "stop": _stop(deployment, service),
        "resources": _resources(deployment, service),
    }


# --- application ----------------------------------------------------------------------------------------------------------------


def minimums(deployment: Deployment) -> t.Dict[str, int]:
    """Least number of pods by service: as given, or what the expected reports ask for."""
    units = math.ceil((deployment.settings["codecov_sizing"]["reports_per_minute"] or 1) / _sizing.REPORTS_PER_UNIT)
    sized = _sizing.replicas(deployment.line.services.values(), 3, units)
    return {**sized, **{name: int(number) for name, number in deployment.settings["codecov_replicas"].items()}}


def maximums(deployment: Deployment) -> t.Dict[str, int]:
    """Largest number of pods by service."""
    given = deployment.settings["codecov_kubernetes"]["autoscaling"]["maximum"]
    least = minimums(deployment)
    bounds = {name: service.scaling.get("maximum", least[name] * MAXIMUM_FACTOR) for name, service in deployment.line.services.items()}
    return {name: int(given.get(name, max(least[name], min(bounds[name], least[name] * MAXIMUM_FACTOR)))) for name in deployment.line.services}


def expected_pods(deployment: Deployment) -> t.Dict[str, t.Any]:
    """What the module codecov_health expects of each service: with autoscaling, and a schedule, any number between two."""
    scaling = deployment.settings["codecov_kubernetes"]["autoscaling"]
    least, most = minimums(deployment), maximums(deployment)
    expected = {}
    for name, service in deployment.line.services.items():
        scheduled = [int(entry["minimum"][name]) for entry in scaling["schedule"] if name in entry["minimum"]]
        numbers = {"replicas": min([least[name], *scheduled]), "maximum": most[name]} if scaling["enabled"] else {"replicas": least[name]}
        expected[name] = {**numbers, "tier": service.tier, "entry": service.entry}
    return expected


def _upstreams(service: Service) -> t.List[t.Dict[str, str]]:
    return [{"service": upstream.get("service", name), "host": upstream["host"], "port": upstream["port"]} for name, upstream in service.upstreams.items()]


def _application_service(deployment: Deployment, service: Service) -> t.Dict[str, t.Any]:
    scaling = deployment.settings["codecov_kubernetes"]["autoscaling"]
    least, most = minimums(deployment)[service.name], maximums(deployment)[service.name]
    return {
        "tier": service.tier,
        **({"entry": True} if service.entry else {}),
        **({"config": True} if service.config else {}),
        **_workload(deployment, service),
        **({"upstreams": _upstreams(service)} if service.upstreams else {}),
        "replicas": least,
        "autoscaling": {"enabled": scaling["enabled"], "minimum": least, "maximum": most, "cpuPercent": scaling["cpu_percent"]},
    }


def _jobs(deployment: Deployment, slot: str) -> t.Dict[str, t.Any]:
    """A job asks the data services first, and becomes its command when they are well. Embedded storage answers through the ingress, which may come later."""
    asked = [name for name in deployment.line.needs if name != "storage" or deployment.mode(name) == "external"]
    wait = f"--wait={deployment.settings['codecov_health']['deadline_s']}"
    check = [deployment.line.python, PROBE_FILE, "check", *asked, wait, *_plan.probe_minimums(deployment), "--"]
    return {
        name: {"service": job["service"], "slot": slot, "command": [*check, *job["command"]], "timeout": job["timeout"], "needs": asked}
        for name, job in deployment.line.jobs.items()
    }


def first_slot(deployment: Deployment) -> Slot:
    """The one slot of a release without a second colour."""
    return Slot(config_secret=deployment.settings["codecov_kubernetes"]["secrets"]["name"])


def _slot(slot: Slot) -> t.Dict[str, t.Any]:
    return {
        "weight": slot.weight,
        "parked": slot.parked,
        "host": slot.host,
        "images": {name: dict(image) for name, image in slot.images.items()},
        "config": {"secretName": slot.config_secret, "checksum": slot.config_checksum},
    }


# --- platform -------------------------------------------------------------------------------------------------------------------


def _volume(deployment: Deployment, volume: t.Mapping[str, t.Any], service: Service) -> t.Dict[str, str]:
    """A service that must own its directory makes it itself, below the volume."""
    target = posixpath.dirname(volume["target"]) if volume.get("owned") else volume["target"]
    sizes = deployment.settings["codecov_kubernetes"]["volumes"]["sizes"]
    return {"name": volume["name"], "path": target, "size": str(sizes.get(service.name, VOLUME_SIZE))}


def _platform_service(deployment: Deployment, service: Service) -> t.Dict[str, t.Any]:
    files = {mount["file"]: mount["target"] for mount in service.mounts if "file" in mount}
    bucket = {"bucket": deployment.storage()["bucket"], **deployment.storage_values()}
    return {
        **_workload(deployment, service),
        "volumes": [_volume(deployment, volume, service) for volume in service.volumes],
        "files": {**files, **service.secret_files},
        **({"afterStart": resolve(service.create_bucket, bucket)} if service.create_bucket else {}),
    }


def _platform_texts(deployment: Deployment) -> t.Dict[str, str]:
    """What the embedded services read, by the name under which the Secret holds it."""
    texts = service_files(deployment)
    here = deployment.embedded().values()
    files = {mount["file"]: texts[mount["file"]] for service in here for mount in service.mounts if mount.get("file") in texts}
    return {**files, **{name: f"${{secret:{name}}}" for service in here for name in service.secret_files}}


# --- the way in -----------------------------------------------------------------------------------------------------------------


def _expose(deployment: Deployment) -> t.Dict[str, t.Any]:
    given = deployment.settings["codecov_kubernetes"]
    ingress, gateway, balancer = given["ingress"], given["gateway"], given["load_balancer"]
    storage = {"storage": {"service": "storage", "path": f"/{deployment.storage()['bucket']}"}} if deployment.mode("storage") == "embedded" else {}
    return {
        "type": given["expose"],
        "ingress": {
            "className": ingress["class"],
            "annotations": {**NGINX_UPLOADS, **ingress["annotations"]},
            "tlsSecret": ingress["tls_secret"] or (f"{given['release']}-tls" if ingress["issuer"] else ""),
            "issuer": ingress["issuer"],
        },
        "gateway": {"name": gateway["name"], "namespace": gateway["namespace"], "section": gateway["section"]},
        "loadBalancer": {"annotations": dict(balancer["annotations"]), "sourceRanges": list(balancer["source_ranges"])},
        **storage,
    }


# --- secrets --------------------------------------------------------------------------------------------------------------------


def _key(given: t.Any) -> t.Dict[str, str]:
    return {"key": given} if isinstance(given, str) else dict(given)


def _merged_config(deployment: Deployment) -> t.Dict[str, t.Any]:
    layers, _callbacks, _problems = _plan.config_layers(deployment)
    return dict(merge_layers([(layer["name"], layer["content"]) for layer in layers]).config)


def _config(deployment: Deployment) -> t.Dict[str, t.Any]:
    """codecov.yml with references to secrets. Who writes the Secret elsewhere names it in the slot."""
    secrets = deployment.settings["codecov_kubernetes"]["secrets"]
    return {
        "path": deployment.line.config_path,
        "content": _merged_config(deployment) if secrets["source"] == "external_secrets" else {},
        "externalSecrets": {
            "enabled": secrets["source"] == "external_secrets",
            "store": secrets["store"],
            "storeKind": secrets["store_kind"],
            "refreshInterval": SECRET_REFRESH,
            "keys": {name: _key(place) for name, place in secrets["keys"].items()},
        },
    }


# --- all of it ------------------------------------------------------------------------------------------------------------------


def _schedule(deployment: Deployment) -> t.List[t.Dict[str, t.Any]]:
    schedule = deployment.settings["codecov_kubernetes"]["autoscaling"]["schedule"]
    return [
        {
            "name": str(entry["name"]),
            "cron": str(entry["cron"]),
            "timeZone": str(entry.get("time_zone", "Etc/UTC")),
            "minimum": {name: int(number) for name, number in entry["minimum"].items()},
        }
        for entry in schedule
    ]


def values_of(deployment: Deployment, slots: t.Optional[t.Mapping[str, Slot]] = None) -> t.Dict[str, t.Any]:
    """The values of a release. Plain data, safe to print. The last one of several slots is the newest, with whose images jobs run."""
    given, images = deployment.settings["codecov_kubernetes"], deployment.settings["codecov_images"]
    slots = slots or {SLOTS[0]: first_slot(deployment)}
    policies, scheduling, derived = given["network_policies"], given["scheduling"], deployment.values()
    config_service = next(service.name for service in deployment.line.services.values() if service.config)
    return {
        "name": given["release"],
        "line": deployment.line.name,
        "url": {"scheme": derived["url_scheme"], "host": derived["url_host"], "hostname": derived["url_hostname"]},
        "images": {"pullPolicy": {"always": "Always", "never": "Never"}.get(images["pull"], "IfNotPresent"), "pullSecrets": list(given["pull_secrets"])},
        "services": {name: _application_service(deployment, service) for name, service in deployment.line.services.items()},
        "slots": {name: _slot(slot) for name, slot in slots.items()},
        "jobs": _jobs(deployment, list(slots)[-1]),
        "platform": {name: _platform_service(deployment, service) for name, service in deployment.embedded().items()},
        "files": {"content": _platform_texts(deployment), "secretName": "", "checksum": ""},
        "config": _config(deployment),
        "secrets": {},
        "ca": {"secretName": given["ca_secret"], "key": CA_KEY},
        "expose": _expose(deployment),
        "schedule": {"service": config_service, "python": deployment.line.python, "entries": _schedule(deployment)},
        "identity": {"annotations": dict(given["identity"]["annotations"]), "labels": dict(given["identity"]["labels"])},
        "scheduling": {
            "priorityClass": scheduling["priority_class"],
            "nodeSelector": dict(scheduling["node_selector"]),
            "tolerations": list(scheduling["tolerations"]),
            "spread": scheduling["spread"],
        },
        "volumes": {"storageClass": given["volumes"]["storage_class"]},
        "networkPolicies": {
            "enabled": policies["enabled"],
            "ingressFrom": list(policies["ingress_from"]),
            "metricsFrom": list(policies["metrics_from"]),
        },
    }


def values_for_helm(deployment: Deployment) -> t.Dict[str, t.Any]:
    """The same for whoever installs the chart with Helm alone: with codecov.yml, and without the secrets that it names."""
    values = values_of(deployment)
    return {**values, "config": {**values["config"], "content": _merged_config(deployment)}}
