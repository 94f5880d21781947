# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""What cannot work on a Kubernetes cluster: settings by themselves, and settings against a cluster as it is (codecov_cluster_info).

One short function a rule; each problem is one line.
"""

from __future__ import annotations

import difflib
import re
import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils._cluster_plan import CREATE_NAMESPACE, Named, named_objects
from ansible_collections.covstack.selfhosted.plugins.module_utils._cluster_quota import QUANTITY
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import Deployment
from ansible_collections.covstack.selfhosted.plugins.module_utils._kubernetes import maximums, minimums
from ansible_collections.covstack.selfhosted.plugins.module_utils._placement import is_ip
from ansible_collections.covstack.selfhosted.plugins.module_utils._plan import config_layers
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem, error, warning
from ansible_collections.covstack.selfhosted.plugins.module_utils._secrets import literal_secrets, references

Problems = t.Iterator[Problem]
Cluster = t.Mapping[str, t.Any]

OLDEST = (1, 29)
OLDEST_HELM = (3, 14)
# Older ones ask for releases with an option that Helm 4 does not have.
FIRST_FOR_HELM_4 = (6, 4)
DATA_SERVICES = ("postgres", "redis", "storage", "timescale")
KUBERNETES = "codecov_kubernetes"
OPERATOR_CONFIG = ("codecov_config_group", "codecov_config_host", "codecov_config_file")
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SCHEDULE_KEYS = {"name", "cron", "time_zone", "minimum"}


def _given(deployment: Deployment) -> t.Mapping[str, t.Any]:
    return deployment.settings[KUBERNETES]


def _unknown_service(deployment: Deployment, place: str, name: t.Any) -> Problem:
    names = list(deployment.line.services)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    return error(f"{place}.{name}", "is no service of this line", f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}")


def _whole(value: t.Any) -> t.Optional[int]:
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,6}", str(value)):
        return None
    return int(value)


# --- settings by themselves -----------------------------------------------------------------------------------------------------


def _one_cluster(deployment: Deployment) -> Problems:
    hosts = deployment.placement.hosts
    split = [host.name for host in hosts if host.kinds]
    if split:
        yield error(
            "inventory", f"{', '.join(split)} are hosts of a split deployment, but the group kubernetes stands for a cluster", "keep the one or the other"
        )
    elif len(hosts) > 1:
        names = ", ".join(host.name for host in hosts)
        yield error("inventory", f"{names} would each deploy the same release", "keep one host in the group codecov: the one that reaches the cluster")


def _names(deployment: Deployment) -> Problems:
    for option, longest in (("release", 30), ("namespace", 63)):
        value = _given(deployment)[option]
        if len(value) > longest or not _NAME.fullmatch(value):
            way_out = f"use up to {longest} lower-case letters, digits and hyphens, a letter first"
            yield error(f"{KUBERNETES}.{option}", "is no name that Kubernetes takes", way_out)


def _numbers(deployment: Deployment) -> Problems:
    given = _given(deployment)
    for option, value in (("timeout_s", given["timeout_s"]), ("history", given["history"])):
        if value < 1:
            yield error(f"{KUBERNETES}.{option}", f"{value} is too few", "choose a number from 1 on")
    percent = given["autoscaling"]["cpu_percent"]
    if not 1 <= percent <= 100:
        yield error(f"{KUBERNETES}.autoscaling.cpu_percent", f"{percent} is no share of the requested CPU", "choose a number from 1 to 100, for example 80")


def _maximum(deployment: Deployment) -> Problems:
    place = f"{KUBERNETES}.autoscaling.maximum"
    for name, value in _given(deployment)["autoscaling"]["maximum"].items():
        if name not in deployment.line.services:
            yield _unknown_service(deployment, place, name)
        elif not _whole(value):
            yield error(f"{place}.{name}", "is no whole number from 1 on", "choose one")
        elif _whole(deployment.settings["codecov_replicas"].get(name, 1)) and int(value) < minimums(deployment)[name]:
            least = minimums(deployment)[name]
            yield error(f"{place}.{name}", f"{value} is below the minimum, {least}", f"raise it, or lower codecov_replicas.{name}")


def _schedule(deployment: Deployment) -> Problems:
    scaling = _given(deployment)["autoscaling"]
    if scaling["schedule"] and not scaling["enabled"]:
        yield error(
            f"{KUBERNETES}.autoscaling.schedule", "changes the minimum of an autoscaling that is off", "set codecov_kubernetes.autoscaling.enabled: true"
        )
    seen: t.Set[str] = set()
    for index, entry in enumerate(scaling["schedule"]):
        place = f"{KUBERNETES}.autoscaling.schedule[{index}]"
        problem = _entry_problem(place, entry, seen)
        if problem:
            yield problem
            return
        seen.add(entry["name"])
        yield from _entry_minimums(deployment, f"{place}.minimum", entry["minimum"])


def _entry_problem(place: str, entry: t.Mapping[str, t.Any], seen: t.Set[str]) -> t.Optional[Problem]:
    wrong = sorted(str(key) for key in set(entry) - _SCHEDULE_KEYS)
    if wrong:
        return error(f"{place}.{wrong[0]}", "is no part of an entry", f"known are {', '.join(sorted(_SCHEDULE_KEYS))}")
    name, cron = entry.get("name"), entry.get("cron")
    if not isinstance(name, str) or len(name) > 12 or not _NAME.fullmatch(name) or name in seen:
        return error(f"{place}.name", "is no name of its own", "use up to 12 lower-case letters, digits and hyphens, another one for each entry")
    if not isinstance(cron, str) or not re.fullmatch(r"\S+( \S+){4}", cron):
        return error(f"{place}.cron", "is no time of five fields", "write for example '0 7 * * 1-5' (minute, hour, day, month, weekday)")
    if not isinstance(entry.get("time_zone", "Etc/UTC"), str) or not entry.get("time_zone", "Etc/UTC"):
        return error(f"{place}.time_zone", "is no time zone", "write for example Europe/Berlin")
    if not isinstance(entry.get("minimum"), t.Mapping) or not entry["minimum"]:
        return error(f"{place}.minimum", "names no service", "write for example {worker: 12}")
    return None


def _entry_minimums(deployment: Deployment, place: str, minimum: t.Mapping[str, t.Any]) -> Problems:
    bounds = maximums(deployment) if not list(_maximum(deployment)) and _replicas_are_numbers(deployment) else {}
    for name, value in minimum.items():
        if name not in deployment.line.services:
            yield _unknown_service(deployment, place, name)
        elif not _whole(value):
            yield error(f"{place}.{name}", "is no whole number from 1 on", "choose one")
        elif name in bounds and int(value) > bounds[name]:
            way_out = f"lower it, or raise codecov_kubernetes.autoscaling.maximum.{name}"
            yield error(f"{place}.{name}", f"{value} is above the maximum, {bounds[name]}", way_out)


def _replicas_are_numbers(deployment: Deployment) -> bool:
    return all(_whole(value) is not None for value in deployment.settings["codecov_replicas"].values())


def _way_in(deployment: Deployment) -> Problems:
    given = _given(deployment)
    place, expose = f"{KUBERNETES}.expose", given["expose"]
    if expose in ("ingress", "gateway") and is_ip(deployment.hostname):
        yield error(
            "codecov_url",
            f"has the address {deployment.hostname}, and {expose} needs a host name",
            "give it one, or choose codecov_kubernetes.expose: load_balancer",
        )
    if expose == "gateway" and not given["gateway"]["name"]:
        yield error(f"{KUBERNETES}.gateway.name", "is missing", "name the Gateway that the route joins")
    if expose in ("load_balancer", "internal") and deployment.mode("storage") == "embedded":
        message = f"is {expose}, but clients reach embedded object storage by a path of codecov_url"
        yield error(place, message, "choose ingress or gateway, or external storage (codecov_storage.mode: external)")


def _tls(deployment: Deployment) -> Problems:
    tls, given = deployment.settings["codecov_tls"], _given(deployment)
    ingress = given["ingress"]
    if tls["mode"] != "disabled":
        way_out = "set it to disabled, and codecov_kubernetes.ingress.tls_secret or issuer"
        yield error("codecov_tls.mode", f"is {tls['mode']}, but in a cluster TLS ends at the ingress, not at an edge of ours", way_out)
    if given["expose"] == "ingress" and deployment.https and not (ingress["tls_secret"] or ingress["issuer"]):
        message = "is missing, so the ingress controller serves its default certificate for an https codecov_url"
        yield warning(f"{KUBERNETES}.ingress.tls_secret", message, "name a Secret with a certificate, or an issuer")
    if not deployment.https and (ingress["tls_secret"] or ingress["issuer"]):
        yield error("codecov_url", "is http, but the ingress has a certificate and redirects to https", "make it https")


def _ca(deployment: Deployment) -> Problems:
    """The bundle replaces that of the images, and only the operator knows which public authorities it must have, too."""
    if deployment.settings["codecov_tls"]["extra_ca_files"]:
        way_out = "make a Secret with the whole bundle in the key scm_ca_cert.pem, and name it in codecov_kubernetes.ca_secret"
        yield error("codecov_tls.extra_ca_files", "reach no container of a cluster", way_out)


def _secrets(deployment: Deployment) -> Problems:
    secrets = _given(deployment)["secrets"]
    place = f"{KUBERNETES}.secrets"
    embedded = [name for name in DATA_SERVICES if deployment.mode(name) == "embedded"]
    if secrets["source"] == "collection":
        return
    if embedded:
        message = f"is {secrets['source']}, but embedded services ({', '.join(embedded)}) have files with secrets that only the collection writes"
        yield error(f"{place}.source", message, "set it to collection, or use external data services")
    elif secrets["source"] == "existing" and not secrets["name"]:
        yield error(f"{place}.name", "is missing", "name the Secret with the key codecov.yml")
    elif secrets["source"] == "external_secrets":
        yield from _external_secrets(deployment, secrets)


def _external_secrets(deployment: Deployment, secrets: t.Mapping[str, t.Any]) -> Problems:
    place = f"{KUBERNETES}.secrets"
    if not secrets["store"]:
        yield error(f"{place}.store", "is missing", "name the store of the External Secrets operator")
    for name, where in secrets["keys"].items():
        if not (isinstance(where, str) and where) and not (isinstance(where, t.Mapping) and where.get("key") and set(where) <= {"key", "property", "version"}):
            yield error(f"{place}.keys.{name}", "is no place in a store", "write its key, or {key: KEY, property: PROPERTY}")
            return
    layers, _callbacks, _problems = config_layers(deployment)
    missing = sorted(set(references([layer["content"] for layer in layers])) - set(secrets["keys"]))
    if missing:
        yield error(f"{place}.keys.{missing[0]}", f"is missing ({len(missing)} in all: {', '.join(missing)})", "say where the store has each of them")


def _operator_config(deployment: Deployment) -> Problems:
    """The operator's own parts of codecov.yml, where somebody else writes it."""
    source, settings = _given(deployment)["secrets"]["source"], deployment.settings
    for name in OPERATOR_CONFIG if source == "existing" else ():
        if settings[name]:
            way_out = "put it into that Secret, and remove it here"
            yield error(name, "has no effect: codecov.yml stands finished in the Secret that codecov_kubernetes.secrets.name names", way_out)
    if source != "external_secrets":
        return
    if settings["codecov_config_file"]:
        yield error("codecov_config_file", "is not read where the External Secrets operator writes codecov.yml", "move what is in it to codecov_config_group")
    for name in OPERATOR_CONFIG[:-1]:
        if any(literal_secrets(settings[name])):
            way_out = "write ${secret:NAME} in its place, and say in codecov_kubernetes.secrets.keys where the store has NAME"
            yield error(name, "holds a secret written out, which would stand in Helm's values", way_out)


def _archives(deployment: Deployment) -> Problems:
    if deployment.settings["codecov_images"]["archives"]:
        yield error("codecov_images.archives", "cannot be loaded into the nodes of a cluster", "push the images to a registry, and set codecov_images.registry")


def _texts(deployment: Deployment) -> Problems:
    """Kubernetes takes text alone in annotations, labels and selectors; a number or a flag there is an object that it refuses."""
    given = _given(deployment)
    places = {
        "ingress.annotations": given["ingress"]["annotations"],
        "load_balancer.annotations": given["load_balancer"]["annotations"],
        "identity.annotations": given["identity"]["annotations"],
        "identity.labels": given["identity"]["labels"],
        "scheduling.node_selector": given["scheduling"]["node_selector"],
    }
    for place, values in places.items():
        for key, value in values.items():
            if not isinstance(value, str) or not isinstance(key, str) or not key:
                yield error(f"{KUBERNETES}.{place}.{key}", "is no text", "put it in quotes")


def _volumes(deployment: Deployment) -> Problems:
    known = [name for name, service in deployment.embedded().items() if service.volumes]
    for name, size in _given(deployment)["volumes"]["sizes"].items():
        place = f"{KUBERNETES}.volumes.sizes.{name}"
        if name not in known:
            yield error(place, "is no embedded service with a volume", f"known are {', '.join(known)}" if known else "remove it")
        elif not isinstance(size, str) or not QUANTITY.fullmatch(size):
            yield error(place, "is no size", "write for example 100Gi")


RULES: t.Tuple[t.Callable[[Deployment], Problems], ...] = (
    _one_cluster, _names, _numbers, _maximum, _schedule, _way_in, _tls, _ca, _secrets, _operator_config, _archives, _texts,
    _volumes,
)  # fmt: skip


def settings_problems(deployment: Deployment) -> t.List[Problem]:
    """What is wrong with the settings of a deployment on a cluster."""
    return [problem for rule in RULES for problem in rule(deployment)]


# --- against a cluster ----------------------------------------------------------------------------------------------------------


def _version(deployment: Deployment, cluster: Cluster) -> Problems:
    found = re.match(r"v?(\d+)\.(\d+)", cluster["version"])
    if found and (int(found[1]), int(found[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield error(f"{KUBERNETES}.context", f"the cluster is version {cluster['version']}", f"upgrade it: {oldest} is the oldest that the chart is made for")


def _needed_kinds(deployment: Deployment) -> t.Dict[str, t.Tuple[str, str]]:
    """API groups that must be there, and the setting that needs each, with what to install."""
    given = _given(deployment)
    needed: t.Dict[str, t.Tuple[str, str]] = {}
    if given["autoscaling"]["enabled"]:
        needed["metrics.k8s.io"] = ("autoscaling.enabled", "install metrics-server, or set it to false")
    if given["expose"] == "gateway":
        needed["gateway.networking.k8s.io"] = ("expose", "install a Gateway API controller, or choose ingress")
    if given["expose"] == "ingress" and given["ingress"]["issuer"]:
        needed["cert-manager.io"] = ("ingress.issuer", "install cert-manager, or give a tls_secret")
    if given["secrets"]["source"] == "external_secrets":
        needed["external-secrets.io"] = ("secrets.source", "install the External Secrets operator, or choose another source")
    return needed


def _kinds(deployment: Deployment, cluster: Cluster) -> Problems:
    for group, (option, way_out) in _needed_kinds(deployment).items():
        if group not in cluster["api_groups"]:
            yield error(f"{KUBERNETES}.{option}", f"needs the API {group}, which the cluster does not have", way_out)


def _storage_class(deployment: Deployment, cluster: Cluster) -> Problems:
    if cluster["storage_classes"] is None or not any(service.volumes for service in deployment.embedded().values()):
        return
    wanted, place = _given(deployment)["volumes"]["storage_class"], f"{KUBERNETES}.volumes.storage_class"
    names = ", ".join(cluster["storage_classes"]) or "none"
    if wanted and wanted not in cluster["storage_classes"]:
        yield error(place, f"{wanted!r} is no storage class of the cluster ({names})", "choose one of them")
    elif not wanted and not any(cluster["storage_classes"].values()):
        yield error(
            place, f"is missing, and the cluster has no default among its storage classes ({names})", "choose one of them, or use external data services"
        )


def _ingress_class(deployment: Deployment, cluster: Cluster) -> Problems:
    given = _given(deployment)
    wanted, known = given["ingress"]["class"], cluster["ingress_classes"]
    if given["expose"] == "ingress" and wanted and known is not None and wanted not in known:
        yield error(f"{KUBERNETES}.ingress.class", f"{wanted!r} is no ingress class of the cluster", f"there are: {', '.join(known) or 'none'}")


def _named(deployment: Deployment, cluster: Cluster) -> Problems:
    """Pods that name what is not there do not start, and a release waits for them until its time is up."""
    for item in named_objects(deployment):
        keys = cluster["named"].get(str(item), ())
        lacks = [key for key in item.keys if keys is not None and key not in keys]
        if str(item) not in cluster["named"]:
            yield error(f"{KUBERNETES}.{item.option}", f"there is no {item.kind} {item.name}{_place_of(deployment, item)}", _made_by(deployment, cluster, item))
        elif lacks:
            message = f"the {item.kind} {item.name}{_place_of(deployment, item)} has no key {' and no key '.join(lacks)}"
            yield error(f"{KUBERNETES}.{item.option}", message, f"make it anew: {_made_by(deployment, cluster, item)}")


def _place_of(deployment: Deployment, item: Named) -> str:
    return f" in the namespace {_given(deployment)['namespace']}" if item.kind == "Secret" else ""


def _made_by(deployment: Deployment, cluster: Cluster, item: Named) -> str:
    namespace = _given(deployment)["namespace"]
    how = f"kubectl create {item.kind.lower()} {item.made_by.format(item.name)}"
    if item.kind != "Secret":
        return how
    first = "" if cluster["namespace_exists"] else f"kubectl create namespace {namespace}; "
    return f"{first}{how} --namespace {namespace}"


def _resolution(deployment: Deployment, cluster: Cluster) -> Problems:
    """Who runs the tasks is taken for a client. The name of an ingress may get its record with the first release, unless the storage is behind it."""
    for name, answer in cluster["names"].items():
        message = f"{name} does not resolve where the tasks run ({answer['error']})"
        if answer["resolves"]:
            continue
        if name != deployment.hostname:
            yield error("codecov_storage.host", f"{message}, and clients upload straight to it", "enter it into DNS, or give the public name of your storage")
        elif not _given(deployment)["connect_to"]:
            yield _unresolved_url(deployment, message)


def _unresolved_url(deployment: Deployment, message: str) -> Problem:
    if deployment.mode("storage") == "embedded":
        way_out = "enter it into DNS; or give codecov_kubernetes.connect_to, if clients and pods resolve it and this machine alone does not"
        return error("codecov_url", f"{message}, and clients and pods reach the embedded storage by it", way_out)
    way_out = "enter it into DNS, or give codecov_kubernetes.connect_to for proofs until then; CI clients, browsers and pods need it"
    return warning("codecov_url", message, way_out)


def _permissions(deployment: Deployment, cluster: Cluster) -> Problems:
    needless = {CREATE_NAMESPACE} if cluster["namespace_exists"] else set()
    missing: t.Dict[str, t.List[str]] = {}
    for verb, resource in sorted(action.split(" ", 1) for action, allowed in cluster["permissions"].items() if not allowed and action not in needless):
        missing.setdefault(resource, []).append(verb)
    if missing:
        actions = "; ".join(f"{', '.join(verbs)} {resource}" for resource, verbs in sorted(missing.items()))
        yield error(f"{KUBERNETES}.context", f"may not {actions} in the namespace {_given(deployment)['namespace']}", "use an account that may, or grant it")


def _helm(deployment: Deployment, cluster: Cluster) -> Problems:
    found = re.match(r"(\d+)\.(\d+)", cluster["helm_version"])
    version = (int(found[1]), int(found[2])) if found else OLDEST_HELM
    collection = tuple(int(part) for part in re.findall(r"\d+", cluster["kubernetes_core"] or "")[:2])
    if version < OLDEST_HELM:
        yield error(f"{KUBERNETES}.helm", f"is version {cluster['helm_version']}", f"install {'.'.join(map(str, OLDEST_HELM))} or newer")
    elif version >= (4, 0) and collection and collection < FIRST_FOR_HELM_4:
        message = f"is Helm {cluster['helm_version']}, which the collection kubernetes.core {cluster['kubernetes_core']} does not know how to call"
        yield error(f"{KUBERNETES}.helm", message, f"install kubernetes.core {'.'.join(map(str, FIRST_FOR_HELM_4))} or newer, or name a Helm 3")


def _interrupted(deployment: Deployment, cluster: Cluster) -> Problems:
    status = cluster["release"]["status"] if cluster["release"] else ""
    if status.startswith("pending"):
        given = _given(deployment)
        way_out = f"if no other run is at it: helm rollback {given['release']} --namespace {given['namespace']} (of a first install: helm uninstall)"
        yield error(f"{KUBERNETES}.release", f"is {status}: another run is changing it, or was killed", way_out)


LIVE_RULES: t.Tuple[t.Callable[[Deployment, Cluster], Problems], ...] = (
    _version, _kinds, _storage_class, _ingress_class, _named, _resolution, _permissions, _helm, _interrupted,
)  # fmt: skip


def cluster_problems(deployment: Deployment, cluster: Cluster) -> t.List[Problem]:
    """What is wrong with a cluster, as the module codecov_cluster_info describes it. What is not known is not judged."""
    return [problem for rule in LIVE_RULES for problem in rule(deployment, cluster)]
