# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Rules that join several settings, or that a specification of types cannot say. One short function a rule, and a table of them.

Settings come checked by _settings.py, so types and choices are right. Values of secrets are looked at here, but never shown.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import typing as t
from urllib.parse import SplitResult, urlsplit

from ansible_collections.covstack.selfhosted.plugins.module_utils._catalogue import Service
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_merge import at
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_schema import PROTECTED_KEYS
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import CONTROL_PORT, METRICS_PORT, STORAGE_DATABASE, Deployment
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import ERROR, Problem, error, format_path, warning
from ansible_collections.covstack.selfhosted.plugins.module_utils._providers import provider_layer, provider_secrets
from ansible_collections.covstack.selfhosted.plugins.module_utils._secrets import given_problems, references

Problems = t.Iterator[Problem]
Rule = t.Callable[[Deployment], Problems]

DATA_SERVICES = ("postgres", "redis", "storage", "timescale")
EXTERNAL_SERVICES = ("postgres", "redis", "storage", "statsd", "timescale")
DATABASES = ("postgres", "timescale")
# First parts of paths that the application answers itself; a bucket of that name would take them away at the edge.
APPLICATION_PATHS = frozenset((
    "account", "admin", "analytics", "api", "assets", "bb", "bbs", "bitbucket", "gh", "ghe", "github", "gitlab", "gl", "gle", "graphql", "health",
    "internal", "labels", "locales", "login", "logout", "members", "minio", "monitoring", "okta", "plan", "profiling", "sentry", "static",
    "staticanalysis", "sync", "upload", "uploader", "validate", "webhooks",
))  # fmt: skip
# Names that Let's Encrypt and its like sign nothing for.
PRIVATE_ENDINGS = ("arpa", "corp", "example", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain", "localhost", "private", "test")
DOCKER_NETWORK = ipaddress.ip_network("172.17.0.0/16")
DEFAULT_HARD_LIMIT = 720
HARD_LIMIT = ("setup", "tasks", "celery", "hard_timelimit")
SYSTEM_DIRECTORIES = frozenset((
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt", "/proc", "/root", "/run", "/sbin", "/srv", "/sys",
    "/tmp", "/usr", "/usr/local", "/var", "/var/lib", "/var/log", "/var/run", "/var/tmp",
))  # fmt: skip
# Nothing below these survives a restart, or belongs to an administrator.
FOREIGN_TREES = (
    "/bin", "/boot", "/dev", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/tmp",
    "/usr/bin", "/usr/lib", "/var/lib/docker", "/var/run", "/var/tmp",
)  # fmt: skip

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+")
_REGISTRY = re.compile(r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_URL_SAFE = re.compile(r"[A-Za-z0-9._~-]+")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")
_AWS_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
_MOVING = re.compile(r"(latest|rolling|nightly|edge)([._-].*)?|.*[._-](latest|stable)")


def _unknown(place: str, name: t.Any, known: t.Iterable[str]) -> Problem:
    names = list(known)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    return error(f"{place}.{name}", "is no service of this line", f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}")


def _number(value: t.Any) -> t.Optional[float]:
    """A number, also when it came as text from -e or a survey."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _whole(value: t.Any) -> t.Optional[int]:
    number = _number(value)
    return int(number) if number is not None and number == int(number) else None


def _address(host: str) -> t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address, None]:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    """Whether a host means the machine that asks, which inside a container is the container."""
    address = _address(host)
    return host == "localhost" or host.endswith(".localhost") or bool(address and (address.is_loopback or address.is_unspecified))


def _name_problem(host: str) -> t.Optional[str]:
    """Why a host is neither a DNS name nor an IPv4 address, or None."""
    address = _address(host)
    if address:
        return "is an IPv6 address, which the application's configuration cannot hold" if address.version == 6 else None
    if "_" in host:
        return "has an underscore, which is no valid host name (the application answers 400)"
    labels = host.lower().split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        return "is no valid host name"
    return None


# --- address ----------------------------------------------------------------------------------------------------------------


def _split_url(deployment: Deployment) -> t.Optional[SplitResult]:
    """The parts of codecov_url, or None where it is no URL at all."""
    try:
        parts = urlsplit(deployment.url)
        _port = parts.port
    except ValueError:
        return None
    return parts


def _url_form_problem(url: str, parts: t.Optional[SplitResult]) -> t.Optional[t.Tuple[str, str]]:
    example = "write it as https://codecov.example.com"
    if parts is None or (parts.scheme in ("http", "https") and parts.port == 0):
        return "is no valid URL (its port must be a number from 1 to 65535)", example
    if parts.scheme not in ("http", "https") or not url.startswith(("http://", "https://")):
        return "does not begin with http:// or https://", example
    if "@" in parts.netloc:
        return "holds a user name or password", f"{example}; credentials belong into codecov_secrets"
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        return "has a query or fragment", example
    if parts.path == "/":
        return "ends with a slash", f"write {url.rstrip('/')!r}"
    if parts.path:
        return f"has the path {parts.path!r}, but the application serves the root only", f"give it a host name of its own: {example}"
    return None


def _url_host_problem(parts: SplitResult) -> t.Optional[t.Tuple[str, str]]:
    host = parts.hostname or ""
    name_of_its_own = "give it a host name that users, CI and the containers resolve, such as codecov.example.com"
    if not host:
        return "has no host", name_of_its_own
    if _is_loopback(host):
        return f"has the host {host!r}, which means every client's own machine", name_of_its_own
    reason = _name_problem(host)
    if reason:
        return f"has the host {host!r}: it {reason}", name_of_its_own
    if parts.netloc != parts.netloc.lower():
        return "has capitals in its host; browsers send it in lower case, and logins then fail the origin check", f"write {parts.netloc.lower()!r}"
    if parts.netloc.endswith(":") or parts.port == (443 if parts.scheme == "https" else 80):
        return "names the port that its scheme has anyway; browsers leave it out, and logins then fail the origin check", f"write {parts.scheme}://{host}"
    return None


def _url_problem(deployment: Deployment) -> t.Optional[Problem]:
    parts = _split_url(deployment)
    found = _url_form_problem(deployment.url, parts) or _url_host_problem(t.cast(SplitResult, parts))
    return error("codecov_url", *found) if found else None


def _url(deployment: Deployment) -> Problems:
    problem = _url_problem(deployment)
    if problem and deployment.url:  # an empty one was reported as missing
        yield problem


def _scheme(deployment: Deployment) -> Problems:
    if _url_problem(deployment):
        return
    if not deployment.has_edge:
        yield from _split_scheme(deployment) if deployment.is_split else ()
        return
    if deployment.https and not deployment.edge_tls and not deployment.settings["codecov_edge"]["behind_load_balancer"]:
        yield error(
            "codecov_tls.mode",
            "is disabled, but codecov_url is https",
            "choose certificate, self_signed or acme, set codecov_edge.behind_load_balancer if another proxy terminates TLS, or make codecov_url http",
        )
    if not deployment.https and deployment.edge_tls:
        yield error(
            "codecov_url",
            "is http, but codecov_tls is on and redirects to https",
            f"write https://{urlsplit(deployment.url).netloc}, or disable codecov_tls.mode",
        )


def _split_scheme(deployment: Deployment) -> Problems:
    """The load balancers of a split deployment terminate TLS; of one that is not ours nothing is known."""
    if deployment.settings["codecov_load_balancer"]["mode"] != "haproxy":
        return
    with_tls = deployment.settings["codecov_tls"]["mode"] != "disabled"
    if deployment.https and not with_tls:
        yield error("codecov_tls.mode", "is disabled, but codecov_url is https", "choose certificate, or make codecov_url http")
    elif with_tls and not deployment.https:
        yield error("codecov_url", "is http, but codecov_tls is on and redirects to https", "make it https, or disable codecov_tls.mode")


def _url_port(deployment: Deployment) -> Problems:
    if not deployment.has_edge:
        return
    edge = deployment.settings["codecov_edge"]
    if _url_problem(deployment) or edge["behind_load_balancer"] or deployment.https != deployment.edge_tls:
        return
    option = "https_port" if deployment.https else "http_port"
    if deployment.port != edge[option]:
        standard = edge[option] == (443 if deployment.https else 80)
        address = f"{urlsplit(deployment.url).scheme}://{deployment.hostname}" + ("" if standard else f":{edge[option]}")
        yield error(
            "codecov_url",
            f"has the port {deployment.port}, but codecov_edge.{option} is {edge[option]}",
            f"write {address}, or set codecov_edge.{option}: {deployment.port}",
        )


def _plain_http(deployment: Deployment) -> Problems:
    if not _url_problem(deployment) and not deployment.https and not deployment.edge_tls:
        yield warning("codecov_url", "is plain HTTP: passwords, tokens and reports travel unencrypted", "set codecov_tls.mode and make it https")


# --- edge -------------------------------------------------------------------------------------------------------------------


def _public_ports(deployment: Deployment) -> t.Dict[str, int]:
    edge = deployment.settings["codecov_edge"]
    options = ("http_port", "https_port") if deployment.edge_tls else ("http_port",)
    return {f"codecov_edge.{option}": edge[option] for option in options}


def _internal_ports(deployment: Deployment) -> t.Set[int]:
    slots = {port for by_slot in deployment.slot_ports().values() for port in by_slot.values()}
    return slots | {CONTROL_PORT, METRICS_PORT}


def _edge_ports(deployment: Deployment) -> Problems:
    internal = _internal_ports(deployment)
    for setting, port in _public_ports(deployment).items():
        if not 0 < port < 65536:
            yield error(setting, f"{port} is no port", "choose a number from 1 to 65535")
        elif port in internal:
            taken = ", ".join(str(number) for number in sorted(internal))
            yield error(setting, f"{port} is a port that the edge uses inside", f"choose one that is not among {taken}")
    edge = deployment.settings["codecov_edge"]
    if deployment.edge_tls and edge["http_port"] == edge["https_port"]:
        yield error("codecov_edge.https_port", f"{edge['https_port']} is also codecov_edge.http_port", "choose two ports, for example 80 and 443")


def _bind_address(deployment: Deployment) -> Problems:
    edge = deployment.settings["codecov_edge"]
    address = _address(edge["bind_address"])
    if not address:
        yield error("codecov_edge.bind_address", f"{edge['bind_address']!r} is no IP address", "give an address of the host, or 0.0.0.0 for all of them")
    elif address.is_loopback and not edge["behind_load_balancer"]:
        yield warning(
            "codecov_edge.bind_address", f"{edge['bind_address']} lets nobody but this host in", "use 0.0.0.0, or set codecov_edge.behind_load_balancer"
        )


def _split_endpoint(value: str) -> t.Optional[t.Tuple[str, int]]:
    host, _separator, port = value.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    return (host, int(port)) if _address(host) and re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536 else None


def _metrics_addresses(deployment: Deployment) -> t.Dict[str, str]:
    given = {f"codecov_{name}.metrics_address": deployment.settings[f"codecov_{name}"]["metrics_address"] for name in ("edge", "statsd")}
    return {setting: value for setting, value in given.items() if value}


def _metrics(deployment: Deployment) -> Problems:
    taken = {port: setting for setting, port in _public_ports(deployment).items()}
    for setting, value in _metrics_addresses(deployment).items():
        endpoint = _split_endpoint(value)
        if not endpoint:
            yield error(setting, f"{value!r} is no address and port", "write for example 127.0.0.1:9101, or leave it empty")
            continue
        host, port = endpoint
        if port in taken:
            yield error(setting, f"{port} is also the port of {taken[port]}", "choose another port")
        elif ipaddress.ip_address(host).is_unspecified:
            yield warning(
                setting, f"{value} opens the metrics to everybody who reaches the host", "bind them to 127.0.0.1 or to an address of your monitoring network"
            )
        taken[port] = setting


def _trusted_proxies(deployment: Deployment) -> Problems:
    edge = deployment.settings["codecov_edge"]
    for index, value in enumerate(edge["trusted_proxies"]):
        setting = f"codecov_edge.trusted_proxies[{index}]"
        try:
            network = ipaddress.ip_network(value, strict=False)
        except ValueError:
            yield error(setting, f"{value!r} is no network", "write an address or a network such as 10.0.0.0/8")
            continue
        if network.prefixlen == 0:
            yield warning(setting, f"{value} lets every client forge its own address", "name the networks of your proxies only")
    if edge["behind_load_balancer"] and not edge["trusted_proxies"]:
        yield warning("codecov_edge.trusted_proxies", "is empty, so every request seems to come from the load balancer", "name the load balancer's networks")


# --- TLS --------------------------------------------------------------------------------------------------------------------


def _certificate(deployment: Deployment) -> Problems:
    tls = deployment.settings["codecov_tls"]
    for option, what in (("certificate", "certificate chain"), ("key", "private key")):
        if tls["mode"] == "certificate" and not tls[option]:
            yield error(f"codecov_tls.{option}", "is missing", f"give the path of the {what} on the controller, or choose self_signed or acme")
        elif tls["mode"] != "certificate" and tls[option]:
            yield warning(f"codecov_tls.{option}", f"has no effect while codecov_tls.mode is {tls['mode']}", "set codecov_tls.mode: certificate, or remove it")


def _acme(deployment: Deployment) -> Problems:
    tls = deployment.settings["codecov_tls"]
    if tls["mode"] != "acme":
        return
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", tls["acme_email"]):
        yield error(
            "codecov_tls.acme_email", f"{tls['acme_email']!r} is no mail address", "give one that is read: the authority warns it before a certificate expires"
        )
    if not re.fullmatch(r"https://[^/\s]+/\S+", tls["acme_server"]):
        yield error("codecov_tls.acme_server", f"{tls['acme_server']!r} is no directory URL", "write the https:// URL of the authority's directory")
    elif "letsencrypt.org/" in tls["acme_server"]:
        yield from _acme_name(deployment)
    edge = deployment.settings["codecov_edge"]
    if edge["http_port"] != 80 and not edge["behind_load_balancer"]:
        yield error(
            "codecov_edge.http_port",
            f"is {edge['http_port']}, but ACME asks its challenge at port 80",
            "set it to 80, or bring a certificate (codecov_tls.mode: certificate)",
        )


def _acme_name(deployment: Deployment) -> Problems:
    host = deployment.hostname
    if _url_problem(deployment):
        return
    if _address(host) or "." not in host or host.rpartition(".")[2] in PRIVATE_ENDINGS:
        yield error(
            "codecov_tls.mode", f"is acme, but no public authority signs {host!r}", "use a public name, your own acme_server, or certificate or self_signed"
        )


def _extra_ca_files(deployment: Deployment) -> Problems:
    for index, path in enumerate(deployment.settings["codecov_tls"]["extra_ca_files"]):
        if not path.strip():
            yield error(f"codecov_tls.extra_ca_files[{index}]", "is empty", "give the path of a PEM file on the controller, or remove the entry")


# --- versions, replicas, resources, images ----------------------------------------------------------------------------------


def _all_services(deployment: Deployment) -> t.Dict[str, Service]:
    return {**deployment.line.services, **deployment.platform}


def _tag_problem(setting: str, value: t.Any) -> t.Optional[Problem]:
    if isinstance(value, (bool, float)) or not isinstance(value, (str, int)):
        shown = "a number that YAML may have rounded" if isinstance(value, float) else "no text"
        return error(setting, f"is {shown}", 'write the tag in quotes, for example "4.6"')
    if _TAG.fullmatch(str(value)):
        return None
    way_out = "write the tag alone, for example 26.7.6"
    if "@" in str(value) or str(value).startswith("sha256:"):
        way_out = "pin digests by codecov_images.digests"
    elif "/" in str(value) or ":" in str(value):
        way_out += "; the repository belongs into codecov_images.repositories"
    return error(setting, f"{str(value)!r} is no image tag", way_out)


def _bad_tags(deployment: Deployment) -> t.Dict[str, Problem]:
    """Services whose tag cannot be used at all."""
    known = _all_services(deployment)
    found = {}
    for name, value in deployment.settings["codecov_versions"].items():
        problem = _tag_problem(f"codecov_versions.{name}", value) if name in known else _unknown("codecov_versions", name, known)
        if problem:
            found[name] = problem
    return found


def _tags(deployment: Deployment) -> Problems:
    yield from _bad_tags(deployment).values()
    for name, service in _all_services(deployment).items():
        if name in deployment.settings["codecov_images"]["digests"]:
            continue
        if _MOVING.fullmatch(deployment.version(service)):
            yield warning(
                f"codecov_versions.{name}",
                f"{deployment.version(service)!r} moves: what runs changes with each pull, and a rollback gets the same image",
                "name a version, or pin it by codecov_images.digests",
            )


def _matching_versions(deployment: Deployment) -> Problems:
    bad = _bad_tags(deployment)
    for group in deployment.line.versions_must_match:
        versions = {name: deployment.version(deployment.line.services[name]) for name in group}
        if len(set(versions.values())) > 1 and not bad.keys() & versions.keys():
            shown = " and ".join(f"{name} {version}" for name, version in versions.items())
            wanted = next((versions[name] for name in group if name in deployment.settings["codecov_versions"]), versions[group[0]])
            one = ", ".join(f"{name}: {wanted}" for name in group)
            yield error("codecov_versions", f"{shown} do not match: they share a database schema and task formats", f"set {{{one}}}")


def _parsed(version: str) -> t.Optional[t.Tuple[int, ...]]:
    match = re.match(r"v?([0-9]+(\.[0-9]+)*)", version)
    return tuple(int(part) for part in match.group(1).split(".")) if match else None


def _outside(version: t.Tuple[int, ...], limits: t.Mapping[str, t.Any]) -> bool:
    lowest, highest = _parsed(str(limits.get("minimum", "0"))) or (), _parsed(str(limits.get("maximum", ""))) or ()
    return version < lowest or bool(highest and version[: len(highest)] > highest)


def _allowed_versions(limits: t.Mapping[str, t.Any]) -> str:
    if "maximum" not in limits:
        return f"{limits['minimum']} or newer"
    return f"{limits['minimum']} to {limits['maximum']}" if "minimum" in limits else f"{limits['maximum']} or older"


def _other_version(deployment: Deployment, service: Service) -> str:
    together = next((group for group in deployment.line.versions_must_match if service.name in group), [service.name])
    return f"remove {' and '.join(together)} from codecov_versions to get {service.version}, or choose one of these"


def _version_range(deployment: Deployment) -> Problems:
    bad = _bad_tags(deployment)
    for name, service in {**deployment.line.services, **deployment.embedded()}.items():
        tag, limits = deployment.version(service), service.versions
        if not limits or name in bad or _MOVING.fullmatch(tag):
            continue
        version, allowed = _parsed(tag), _allowed_versions(limits)
        if not version:
            yield warning(f"codecov_versions.{name}", f"{tag!r} cannot be compared with {allowed}", "make sure that it is one of these")
        elif _outside(version, limits):
            yield Problem(ERROR, f"codecov_versions.{name}", f"{tag} cannot be run: {limits['reason']}", allowed, _other_version(deployment, service))


def _platform_versions(deployment: Deployment) -> Problems:
    bad = _bad_tags(deployment)
    for name, service in deployment.embedded().items():
        least = service.minimum_version.get(deployment.line.name)
        version = _parsed(deployment.version(service))
        if least and version and name not in bad and version < (_parsed(str(least)) or ()):
            yield error(f"codecov_versions.{name}", f"{deployment.version(service)} is older than the application can use", f"choose {least} or newer")


def _replicas(deployment: Deployment) -> Problems:
    for name, value in deployment.settings["codecov_replicas"].items():
        setting = f"codecov_replicas.{name}"
        if name in deployment.platform:
            yield error(setting, "cannot be scaled: a platform service runs once", f"remove it; {', '.join(deployment.line.services)} can be scaled")
        elif name not in deployment.line.services:
            yield _unknown("codecov_replicas", name, deployment.line.services)
        else:
            yield from _replica_number(deployment.line.services[name], setting, value)


def _replica_number(service: Service, setting: str, value: t.Any) -> Problems:
    number = _whole(value)
    lowest, highest = service.scaling.get("minimum", 1), service.scaling.get("maximum", 1)
    if number is None:
        yield error(setting, "is no whole number", f"choose a number from {lowest} to {highest}")
    elif not lowest <= number <= highest:
        yield error(setting, f"{number} is out of bounds", f"choose a number from {lowest} to {highest}")


_RESOURCES = {"cpus": (0.01, "a number of CPUs such as 1.5"), "memory_mb": (6, "a number of megabytes such as 2048")}


def _resources(deployment: Deployment) -> Problems:
    known = _all_services(deployment)
    for name, limits in deployment.settings["codecov_resources"]["services"].items():
        setting = f"codecov_resources.services.{name}"
        if name not in known:
            yield _unknown("codecov_resources.services", name, known)
        elif not isinstance(limits, t.Mapping):
            yield error(setting, "is no mapping", "write for example {cpus: 2, memory_mb: 2048}")
        else:
            yield from _limits(setting, limits)


def _limits(setting: str, limits: t.Mapping[str, t.Any]) -> Problems:
    for option, value in limits.items():
        if option not in _RESOURCES:
            yield error(f"{setting}.{option}", "is no limit of a container", "known are cpus and memory_mb")
            continue
        least, example = _RESOURCES[option]
        number = _number(value)
        if number is None or number < least:
            yield error(f"{setting}.{option}", f"is no number from {least} on", f"give {example}, or switch limits off by codecov_resources.limits: false")


def _registry(deployment: Deployment) -> Problems:
    registry = deployment.settings["codecov_images"]["registry"]
    if not registry:
        return
    setting, way_out = "codecov_images.registry", "write host, host:port or host/path, for example registry.example.com/mirror"
    if "://" in registry:
        yield error(setting, "has a scheme", way_out)
    elif "@" in registry:
        yield error(setting, "holds a user name or password", f"{way_out}; log in by docker login on the host")
    elif not _REGISTRY.fullmatch(registry.rstrip("/")):
        yield error(setting, f"{registry!r} is no registry", way_out)
    elif not re.search(r"[.:]|^localhost$", registry.split("/")[0]):
        yield error(setting, f"{registry!r} is no host for Docker, which reads it as a name on Docker Hub", "give its full name, or name and port")


def _repositories(deployment: Deployment) -> Problems:
    known = _all_services(deployment)
    for name, value in deployment.settings["codecov_images"]["repositories"].items():
        setting = f"codecov_images.repositories.{name}"
        if name not in known:
            yield _unknown("codecov_images.repositories", name, known)
        elif isinstance(value, str) and re.search(r":[^/]*$|@", value.partition("/")[2]):
            yield error(setting, "has a tag or digest", "give the repository alone; tags belong into codecov_versions, digests into codecov_images.digests")
        elif not isinstance(value, str) or not _REPOSITORY.fullmatch(value):
            yield error(setting, "is no repository with its registry, in lower case and without scheme", "write for example registry.example.com/team/image")


def _digests(deployment: Deployment) -> Problems:
    images, known = deployment.settings["codecov_images"], _all_services(deployment)
    for name, value in images["digests"].items():
        if name not in known:
            yield _unknown("codecov_images.digests", name, known)
        elif not isinstance(value, str) or not _DIGEST.fullmatch(value):
            yield error(
                f"codecov_images.digests.{name}", "is no digest", "write sha256: and 64 hexadecimal digits, as `docker buildx imagetools inspect` prints it"
            )
    if images["digests"] and images["archives"]:
        yield warning(
            "codecov_images.digests", "may not be known to images that come from archives", "leave digests out where images are loaded from archives"
        )


def _archives(deployment: Deployment) -> Problems:
    for index, path in enumerate(deployment.settings["codecov_images"]["archives"]):
        if not path.strip():
            yield error(f"codecov_images.archives[{index}]", "is empty", "give the path of an image archive on the controller, or remove the entry")


# --- platform services ------------------------------------------------------------------------------------------------------


def _external(deployment: Deployment) -> t.List[str]:
    return [name for name in EXTERNAL_SERVICES if deployment.mode(name) == "external"]


def _not_offered(deployment: Deployment) -> Problems:
    for name, service in deployment.platform.items():
        offered = name in deployment.line.needs or name in deployment.line.optional
        if service.optional and not offered and deployment.settings[f"codecov_{name}"]["mode"] != "disabled":
            yield error(
                f"codecov_{name}.mode", f"the line {deployment.line.name} cannot use {service.title}", "set it to disabled, or choose another codecov_line"
            )


def _has_public_host(deployment: Deployment) -> bool:
    return deployment.settings["codecov_storage"]["provider"] in ("s3", "gcs")


def _hosts_of_services(deployment: Deployment) -> Problems:
    for name in _external(deployment):
        setting, host = f"codecov_{name}.host", deployment.settings[f"codecov_{name}"]["host"]
        if not host and (name != "storage" or not _has_public_host(deployment)) and not _wrong_provider(deployment, name):
            yield error(setting, "is missing", f"give the host of your {deployment.platform[name].title}, or set codecov_{name}.mode: embedded")
        elif host:
            yield from _host_form(setting, host)


def _wrong_provider(deployment: Deployment, service: str) -> bool:
    return service == "storage" and next(_storage_provider(deployment), None) is not None


def _host_form(setting: str, host: str) -> Problems:
    if "://" in host:
        yield error(setting, "has a scheme", "give the host name alone")
    elif "@" in host:
        yield error(setting, "holds a user name or password", "give the host name alone; passwords belong into codecov_secrets")
    elif re.fullmatch(r"[^:]+:[0-9]+", host):
        yield error(setting, "has a port", f"give the host name alone, and the port as {setting[:-4]}port")
    elif "/" in host:
        yield error(setting, "has a path", "give the host name alone")
    elif _is_loopback(host):
        yield error(setting, f"{host!r} means the container itself inside a container", "give a name or address of the host that the containers reach")
    elif _name_problem(host):
        yield error(setting, f"{host!r} {_name_problem(host)}", "give a name that DNS knows, or an IPv4 address")


def _ports_of_services(deployment: Deployment) -> Problems:
    for name in EXTERNAL_SERVICES:
        port = deployment.settings[f"codecov_{name}"]["port"]
        least = 0 if name == "storage" else 1
        if deployment.mode(name) != "disabled" and not least <= port < 65536:
            yield error(f"codecov_{name}.port", f"{port} is no port", f"choose a number from {least} to 65535")


def _host_without_external(deployment: Deployment) -> Problems:
    for name in EXTERNAL_SERVICES:
        if deployment.mode(name) == "embedded" and deployment.settings[f"codecov_{name}"]["host"]:
            yield error(f"codecov_{name}.mode", f"is embedded, but codecov_{name}.host is given", "set it to external to use that host, or remove the host")


def _names_of_databases(deployment: Deployment) -> Problems:
    for service in DATABASES:
        for option in ("database", "user"):
            value = deployment.settings[f"codecov_{service}"][option]
            if deployment.mode(service) == "external" and not re.fullmatch(r"[A-Za-z0-9._~-]{1,63}", value):
                yield error(
                    f"codecov_{service}.{option}",
                    f"{value!r} cannot stand in a URL that the application does not decode",
                    "use letters, digits and . _ ~ - only, 63 at most",
                )


def _verified_database(deployment: Deployment) -> Problems:
    sslmode = deployment.settings["codecov_postgres"]["sslmode"]
    if deployment.mode("postgres") == "external" and sslmode.startswith("verify-") and not deployment.own_ca():
        yield error(
            "codecov_postgres.sslmode",
            f"is {sslmode}, but libpq takes authorities from a file, and there is none",
            "add the authority of the database to codecov_tls.extra_ca_files, or choose require",
        )


def _redis_cluster(deployment: Deployment) -> Problems:
    redis = deployment.settings["codecov_redis"]
    way_out = "use one Redis server (cluster mode disabled; a primary with replicas is fine) and give its primary endpoint"
    if redis["cluster"]:
        yield error("codecov_redis.cluster", "is true, but the application has no client for Redis Cluster", way_out)
    elif deployment.mode("redis") == "external" and redis["host"].startswith("clustercfg."):
        yield error("codecov_redis.host", "is the configuration endpoint of a Redis Cluster, for which the application has no client", way_out)


def _redis_login(deployment: Deployment) -> Problems:
    if deployment.mode("redis") != "external":
        return
    redis = deployment.settings["codecov_redis"]
    if redis["database"] < 0:
        yield error("codecov_redis.database", f"{redis['database']} is no database", "choose 0 or more")
    if redis["username"] and not _URL_SAFE.fullmatch(redis["username"]):
        yield error("codecov_redis.username", f"{redis['username']!r} cannot stand in a URL", "use letters, digits and . _ ~ - only")
    if redis["username"] and not _has_secret(deployment, "redis_password"):
        yield error("codecov_redis.username", "is given without a password", "give codecov_secrets.redis_password, or remove the user")


# --- object storage ---------------------------------------------------------------------------------------------------------


def _storage_provider(deployment: Deployment) -> Problems:
    provider, mode = deployment.settings["codecov_storage"]["provider"], deployment.mode("storage")
    setting = "codecov_storage.provider"
    if provider == "azure":
        yield error(
            setting,
            "is azure, but the application speaks S3 only, not Azure Blob",
            "run an S3 gateway before Azure Blob (for example s3proxy), choose azure_gateway and give its host",
        )
    elif mode == "embedded" and provider not in ("seaweedfs", "minio"):
        yield error(setting, f"{provider!r} cannot be embedded", "choose seaweedfs or minio, or set codecov_storage.mode: external")
    elif mode == "external" and provider == "seaweedfs":
        yield error(
            setting, "'seaweedfs' is the embedded server, but codecov_storage.mode is external", "choose s3, gcs, azure_gateway, minio or other (any S3 server)"
        )


def _storage_host(deployment: Deployment) -> Problems:
    host = deployment.settings["codecov_storage"]["host"]
    if deployment.mode("storage") != "external" or not host or next(_host_form("codecov_storage.host", host), None):
        return
    address = _address(host)
    inside = host.endswith((".docker.internal", ".svc", ".cluster.local")) or bool(address and (address in DOCKER_NETWORK or address.is_link_local))
    if inside or not (address or "." in host):
        yield error(
            "codecov_storage.host",
            f"{host!r} is a name that CI clients cannot resolve, and they upload straight to it",
            "give the public name of your object storage",
        )


def _storage_region(deployment: Deployment) -> Problems:
    storage = deployment.settings["codecov_storage"]
    if deployment.mode("storage") != "external" or _wrong_provider(deployment, "storage"):
        return
    if not storage["region"]:
        yield error(
            "codecov_storage.region",
            "is missing; without it every upload waits for a lookup",
            "give the bucket's region (us-east-1 where your server has none)",
        )
    elif storage["provider"] == "s3" and not storage["host"] and not _AWS_REGION.fullmatch(storage["region"]):
        yield error("codecov_storage.region", f"{storage['region']!r} is no AWS region", "write for example eu-central-1")
    elif storage["provider"] == "s3" and not storage["host"] and storage["region"].startswith("cn-"):
        yield error("codecov_storage.host", "is missing: the regions of China have hosts of their own", f"write s3.{storage['region']}.amazonaws.com.cn")
    elif re.search(r"\s", storage["region"]):
        yield error("codecov_storage.region", "has a space", "write it as your provider does, for example eu-central-1")


def _bucket(deployment: Deployment) -> Problems:
    setting, bucket = "codecov_storage.bucket", deployment.settings["codecov_storage"]["bucket"]
    if not _BUCKET.fullmatch(bucket) or ".." in bucket or _address(bucket) or bucket.startswith("xn--") or bucket.endswith("-s3alias"):
        yield error(setting, f"{bucket!r} is no bucket name", "use 3 to 63 lower-case letters, digits and hyphens, with a letter or digit at both ends")
    elif deployment.mode("storage") == "embedded" and bucket in APPLICATION_PATHS:
        yield error(setting, f"{bucket!r} is a path of the application, which the bucket would hide", "choose another name, for example archive")


def _storage_login(deployment: Deployment) -> Problems:
    storage = deployment.settings["codecov_storage"]
    if storage["iam_auth"] and (deployment.mode("storage") != "external" or storage["provider"] != "s3"):
        yield error(
            "codecov_storage.iam_auth",
            "works with external storage of the provider s3 only",
            "set it to false and give codecov_secrets.storage_access_key and storage_secret_key",
        )


def _storage_plain(deployment: Deployment) -> Problems:
    if deployment.mode("storage") == "external" and not deployment.settings["codecov_storage"]["tls"]:
        yield warning("codecov_storage.tls", "is off: reports travel unencrypted between CI clients and the object storage", "set it to true")


# --- secrets ----------------------------------------------------------------------------------------------------------------


def _has_secret(deployment: Deployment, name: str) -> bool:
    value = deployment.settings["codecov_secrets"].get(name)
    return value is not None and str(value).strip() != ""


def _secrets_only_you_know(deployment: Deployment) -> t.Dict[str, str]:
    """Secrets that cannot be generated, with what they are for."""
    wanted = {"enterprise_license": "the licence as Codecov sent it"}
    wanted.update({f"{name}_password": f"the password of codecov_{name}.user" for name in DATABASES if deployment.mode(name) == "external"})
    if deployment.mode("storage") == "external" and not deployment.settings["codecov_storage"]["iam_auth"]:
        wanted.update({f"storage_{key}_key": "a key of your object storage" for key in ("access", "secret")})
    if deployment.replicates_storage and deployment.mode("postgres") == "external":
        meaning = f"the password of the user {STORAGE_DATABASE}, who owns the database {STORAGE_DATABASE} on codecov_postgres.host (docs/storage_cluster.md)"
        wanted[deployment.storage_database_secret()] = meaning
    _generated, given = provider_secrets(deployment.settings["codecov_providers"])
    wanted.update(dict.fromkeys(given, "what your git provider gave you for codecov_providers"))
    return wanted


def _missing_secrets(deployment: Deployment) -> Problems:
    if not deployment.keeps_secrets:
        return
    for name, meaning in _secrets_only_you_know(deployment).items():
        if not _has_secret(deployment, name) and not _is_malformed(deployment, name):
            yield error(f"codecov_secrets.{name}", "is missing", f"give {meaning}, and keep codecov_secrets in a vault")


def _is_malformed(deployment: Deployment, name: str) -> bool:
    value = deployment.settings["codecov_secrets"].get(name, "")
    return value is not None and not isinstance(value, str)


def _given_secrets(deployment: Deployment) -> Problems:
    missing = {problem.path for problem in _missing_secrets(deployment)}
    for problem in given_problems(deployment.settings["codecov_secrets"]):
        if problem.path not in missing:
            yield problem


def _url_passwords(deployment: Deployment) -> Problems:
    malformed = {problem.path for problem in given_problems(deployment.settings["codecov_secrets"]) if problem.is_error}
    names = [deployment.secret(service, "password") for service in (*DATABASES, "redis") if deployment.mode(service) != "disabled"]
    for name in (*names, *([deployment.storage_database_secret()] if deployment.replicates_storage else [])):
        setting, value = f"codecov_secrets.{name}", deployment.settings["codecov_secrets"].get(name)
        if value and setting not in malformed and not _URL_SAFE.fullmatch(value):
            yield error(
                setting,
                "has a character that the application does not decode in a URL",
                "use letters, digits and . _ ~ - only; change the password where it is kept",
            )


def _storage_keys(deployment: Deployment) -> Problems:
    if deployment.mode("storage") != "embedded":
        return
    malformed = {problem.path for problem in given_problems(deployment.settings["codecov_secrets"]) if problem.is_error}
    for name, least in ((deployment.secret("storage", "access_key"), 3), (deployment.secret("storage", "secret_key"), 8)):
        value = deployment.settings["codecov_secrets"].get(name)
        if value and f"codecov_secrets.{name}" not in malformed and not re.fullmatch(rf"[A-Za-z0-9/+=._~-]{{{least},}}", value):
            yield error(
                f"codecov_secrets.{name}",
                f"is no key of {least} or more plain characters",
                "use letters, digits and / + = . _ ~ - only, or remove it to have it generated",
            )


def _idle_secrets(deployment: Deployment) -> Problems:
    """Who gives a password of an embedded service under the name for an external one must know that it is not used."""
    kinds = (*((service, "password") for service in (*DATABASES, "redis")), ("storage", "access_key"), ("storage", "secret_key"))
    for service, kind in kinds:
        if deployment.mode(service) == "embedded" and _has_secret(deployment, f"{service}_{kind}"):
            yield warning(
                f"codecov_secrets.{service}_{kind}",
                f"is for an external service and not used while codecov_{service}.mode is embedded, which has a generated one of its own",
                "leave it for a way back, or remove it",
            )


def _secret_references(deployment: Deployment) -> Problems:
    """Configuration may also name secrets that are on the host already; codecov_config knows those and refuses the rest."""
    known = {str(name) for name in deployment.settings["codecov_secrets"]} | set(_secrets_only_you_know(deployment))
    known |= {secret["name"] for secret in deployment.required_secrets()}
    for variable in ("codecov_config_group", "codecov_config_host"):
        for name, paths in references(deployment.settings[variable]).items():
            if name not in known:
                close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
                way_out = f"did you mean {close[0]!r}?" if close else f"set codecov_secrets.{name}"
                yield warning(format_path((variable, *paths[0])), f"names the secret {name!r}, which only the host may know", way_out)


# --- providers, configuration -----------------------------------------------------------------------------------------------


def _providers(deployment: Deployment) -> Problems:
    if not deployment.settings["codecov_providers"]:
        yield warning("codecov_providers", "is empty: nobody can log in", "configure at least one git provider, for example {github: {client_id: ...}}")
    yield from provider_layer(deployment.settings["codecov_providers"], deployment.url).problems


def _allow_change(deployment: Deployment) -> Problems:
    known = [".".join(path) for path in PROTECTED_KEYS]
    for index, key in enumerate(deployment.settings["codecov_config_allow_change"]):
        if key not in known:
            yield error(f"codecov_config_allow_change[{index}]", f"{key!r} is no protected key", f"known are {', '.join(known)}")


# --- the host's side --------------------------------------------------------------------------------------------------------


def _directory(deployment: Deployment) -> Problems:
    setting, path = "codecov_directory", deployment.settings["codecov_directory"]
    example = "choose a directory of its own, for example /opt/codecov"
    plain = path.rstrip("/") or "/"
    if not path.startswith("/"):
        yield error(setting, f"{path!r} is not absolute", example)
    elif not _PLAIN_PATH.fullmatch(path) or any(part in (".", "..") for part in path.split("/")) or "//" in path:
        yield error(setting, f"{path!r} has characters or parts that Compose or the shell would change", f"{example}; letters, digits and . _ - only")
    elif plain in SYSTEM_DIRECTORIES or plain.startswith(tuple(f"{tree}/" for tree in FOREIGN_TREES)):
        yield error(setting, f"{path!r} belongs to the system, and the playbook remove would delete it", example)
    elif path != plain:
        yield error(setting, f"{path!r} ends with a slash", f"write {plain}")


# Setting -> least value.
LEAST = {
    "codecov_releases_kept": 1,
    "codecov_worker_grace": 0,
    "codecov_load_balancer.drain_s": 0,
    "codecov_logs.max_size_mb": 1,
    "codecov_logs.max_files": 1,
    "codecov_sizing.reports_per_minute": 0,
    "codecov_sizing.minimum_memory_mb": 1,
    "codecov_sizing.minimum_disk_gb": 1,
    "codecov_health.target_ms": 1,
    "codecov_health.maximum_ms": 1,
    "codecov_health.queue_age_s": 1,
    "codecov_health.stuck_upload_s": 1,
    "codecov_health.license_days": 1,
    "codecov_health.clock_skew_s": 1,
    "codecov_health.deadline_s": 1,
}


def _least(deployment: Deployment) -> Problems:
    for setting, least in LEAST.items():
        variable, _dot, option = setting.partition(".")
        value = deployment.settings[variable][option] if option else deployment.settings[variable]
        if value < least:
            yield error(setting, f"{value} is too small", f"choose {least} or more")


def _response_times(deployment: Deployment) -> Problems:
    health = deployment.settings["codecov_health"]
    if 0 < health["maximum_ms"] < health["target_ms"]:
        yield error(
            "codecov_health.maximum_ms",
            f"{health['maximum_ms']} is below codecov_health.target_ms {health['target_ms']}",
            "choose a limit that is not below the target",
        )


def _worker_grace(deployment: Deployment) -> Problems:
    grace = deployment.settings["codecov_worker_grace"]
    limits = [at(deployment.settings[variable], HARD_LIMIT) for variable in ("codecov_config_host", "codecov_config_group")]
    hard = next((limit for limit in limits if isinstance(limit, int)), DEFAULT_HARD_LIMIT)
    if 0 < grace < hard:
        yield warning(
            "codecov_worker_grace",
            f"{grace} s is less than the hard limit of a task, {hard} s: a stop may kill a running task",
            f"choose {hard + 60}, or 0 for the catalogue's value",
        )


def _release(deployment: Deployment) -> Problems:
    release = deployment.settings["codecov_release"]
    if not release:
        return
    if deployment.is_cluster:
        if not re.fullmatch(r"[1-9][0-9]{0,8}", release):
            way_out = "give the number of a revision (helm history), or leave it empty for the newest earlier one that served"
            yield error("codecov_release", f"{release!r} is no revision of a Helm release", way_out)
    elif not re.fullmatch(r"[0-9a-f]{6,64}", release):
        yield error("codecov_release", f"{release!r} is no release", "give the name of a directory in releases/, or leave it empty for the newest proved one")


def _trial(deployment: Deployment) -> Problems:
    embedded = [name for name in DATA_SERVICES if deployment.mode(name) == "embedded"]
    if not embedded or deployment.is_split:
        return
    where = "in one pod each, with one volume" if deployment.is_cluster else "on this one host"
    lost = "losing a volume loses its data" if deployment.is_cluster else "Strategy I is for trials, and losing the host loses the data"
    example = "inventories/strategy_3" if deployment.is_cluster else "inventories/strategy_1_cloud"
    yield warning(f"codecov_{embedded[0]}.mode", f"{', '.join(embedded)} keep their data {where}: {lost}", f"use external services to keep it ({example})")


# --- placement --------------------------------------------------------------------------------------------------------------


def _hosts(hosts: t.Sequence[t.Mapping[str, t.Any]]) -> Problems:
    """Several hosts of Strategy I do not make a highly available Codecov (the erroneous modification of the deployment guide)."""
    if len(hosts) < 2:
        return
    names = ", ".join(str(host["name"]) for host in hosts)
    way_out = "for high availability use Strategy II; for independent installations run one host at a time (--limit)"
    urls = [host["url"] for host in hosts]
    if any(host["behind_load_balancer"] for host in hosts):
        reason = "a load balancer before several hosts with an edge proxy each: what one host holds the others do not, so requests fail at random"
        yield error("codecov_edge.behind_load_balancer", f"{names}: {reason}", way_out)
    elif any(host["embedded_data"] for host in hosts):
        yield error("inventory", f"{names} would each have data of their own (embedded services), not one Codecov on several hosts", way_out)
    elif len(set(urls)) < len(urls):
        yield error("codecov_url", f"{names} share one address, but each host has an edge proxy of its own", way_out)


RULES: t.Tuple[Rule, ...] = (
    _url, _scheme, _url_port, _plain_http,
    _edge_ports, _bind_address, _metrics, _trusted_proxies,
    _certificate, _acme, _extra_ca_files,
    _tags, _matching_versions, _version_range, _platform_versions, _replicas, _resources,
    _registry, _repositories, _digests, _archives,
    _not_offered, _hosts_of_services, _ports_of_services, _host_without_external, _names_of_databases, _verified_database, _redis_cluster, _redis_login,
    _storage_provider, _storage_host, _storage_region, _bucket, _storage_login, _storage_plain,
    _missing_secrets, _given_secrets, _url_passwords, _storage_keys, _idle_secrets, _secret_references,
    _providers, _allow_change, _directory, _least, _response_times, _worker_grace, _release, _trial,
)  # fmt: skip


def problems_of(deployment: Deployment, hosts: t.Sequence[t.Mapping[str, t.Any]]) -> t.List[Problem]:
    """What is wrong with a deployment, errors and warnings. `hosts` are all hosts of the play: name, url, embedded_data, behind_load_balancer."""
    return [problem for rule in RULES for problem in rule(deployment)] + (list(_hosts(hosts)) if deployment.has_edge else [])
