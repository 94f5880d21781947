# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""What makes no sense as a placement of a split deployment (Strategy II). One short function a rule; each problem is one line."""

from __future__ import annotations

import difflib
import ipaddress
import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import STORAGE_QUORUM, Deployment
from ansible_collections.covstack.selfhosted.plugins.module_utils._placement import APPLICATION_KINDS, KINDS, Host
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import ERROR, Problem, warning
from ansible_collections.covstack.selfhosted.plugins.module_utils._sizing import Demand

Problems = t.Iterator[Problem]

# Settings that all hosts of a deployment share; a host's own value would make a second deployment of it.
COMMON_SETTINGS = (
    "codecov_line", "codecov_versions", "codecov_url", "codecov_directory", "codecov_postgres", "codecov_redis", "codecov_storage", "codecov_timescale",
    "codecov_web_port", "codecov_virtual_address", "codecov_network", "codecov_images", "codecov_config_group", "codecov_config_file", "codecov_providers",
)  # fmt: skip
DATA_SERVICES = {"postgres": "PostgreSQL", "redis": "Redis", "timescale": "TimescaleDB"}
OFF = "set codecov_high_availability: false"


def _names(hosts: t.Iterable[Host]) -> str:
    return ", ".join(host.name for host in hosts)


def _wrong(setting: str, message: str, allowed: str, way_out: str) -> Problem:
    return Problem(ERROR, setting, message, allowed, way_out)


def _without_kind(deployment: Deployment) -> Problems:
    for host in deployment.placement.hosts:
        if host.kinds:
            continue
        own = [group for group in host.groups if group not in ("all", "codecov", "ungrouped")]
        close = next((match for group in own for match in difflib.get_close_matches(group, KINDS, n=1, cutoff=0.6)), None)
        of = f" (its groups are {', '.join(own)})" if own else ""
        way_out = f"did you mean {close!r}?" if close else "put it into one of them, or take it out of the group codecov"
        yield _wrong("inventory", f"{host.name} is in no group that says what it runs{of}", ", ".join(KINDS), way_out)


def _addresses(deployment: Deployment) -> Problems:
    seen: t.Dict[str, str] = {}
    for host in deployment.placement.hosts:
        allowed = "an address of that host which all hosts of the deployment reach"
        if not host.address:
            yield _wrong("codecov_address", f"{host.name} has no address for other hosts", allowed, f"set it for {host.name}, or ansible_host")
        elif _is_local(host.address):
            yield _wrong("codecov_address", f"{host.name} has the address {host.address!r}, which means every other host itself", allowed, "set it")
        elif host.address in seen:
            yield _wrong("codecov_address", f"{host.name} and {seen[host.address]} have the same address {host.address}", allowed, "give each its own")
        seen.setdefault(host.address, host.name)


def _is_local(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _common_settings(deployment: Deployment) -> Problems:
    hosts = deployment.placement.hosts
    for setting in COMMON_SETTINGS:
        first = hosts[0].common.get(setting)
        others = [host for host in hosts if host.common.get(setting) != first]
        if others:
            message = f"{_names(others)} and {hosts[0].name} have different values, but all of them are one deployment"
            yield _wrong(setting, message, "one value for the group codecov", "move it to group_vars/codecov and remove it from host_vars and other groups")


def _one_configuration(deployment: Deployment) -> Problems:
    if deployment.settings["codecov_config_host"]:
        way_out = "move it to codecov_config_group"
        yield _wrong("codecov_config_host", "is given, but all hosts of a split deployment share one codecov.yml", "nothing", way_out)


def _balancers(deployment: Deployment) -> Problems:
    balancers, mode = deployment.placement.of_kind("load_balancers"), deployment.settings["codecov_load_balancer"]["mode"]
    if mode != "haproxy" and balancers:
        message = f"is {mode}, but {_names(balancers)} are load balancers of this deployment"
        yield _wrong("codecov_load_balancer.mode", message, "haproxy with the group load_balancers, or another mode without it", "drop the one or the other")
    elif mode == "haproxy" and not balancers:
        way_out = "put two hosts into it, or set codecov_load_balancer.mode to aws_alb or external"
        yield _wrong("inventory", "the group load_balancers is empty, so nothing sends requests to the web hosts", "two hosts or more", way_out)
    elif mode == "haproxy" and len(balancers) == 1 and deployment.high_availability:
        message = f"{_names(balancers)} is the only load balancer, and Codecov is gone when it is"
        yield _wrong("inventory", message, "two hosts or more in load_balancers while codecov_high_availability is true", f"add one, or {OFF}")


def _virtual_address(deployment: Deployment) -> Problems:
    """The network it is in is known to the hosts alone: the role load_balancer asks them, in preflight too."""
    setting, given = "codecov_virtual_address", deployment.settings["codecov_virtual_address"]
    balancers, ours = deployment.placement.of_kind("load_balancers"), deployment.settings["codecov_load_balancer"]["mode"] == "haproxy"
    allowed = "a free address of the load balancers' network, for example 10.0.0.10"
    if not ours and given and not balancers:
        yield _wrong(setting, "is given, but no load balancer of this deployment would hold it", "nothing", "remove it, or fill the group load_balancers")
    if not ours or not balancers:
        return
    holder = next((host for host in deployment.placement.hosts if given and host.address == given.partition("/")[0]), None)
    if not given and len(balancers) > 1:
        yield _wrong(setting, f"is empty, but {_names(balancers)} need one address together, the one that clients know", allowed, "choose one")
    elif given and not _is_interface(given):
        yield _wrong(setting, f"{given!r} is no address", allowed, "correct it")
    elif holder:
        yield _wrong(setting, f"{given} is the address of {holder.name} itself", allowed, "choose one that no host has")


def _is_interface(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return True


def _application_hosts(deployment: Deployment) -> Problems:
    for kind in APPLICATION_KINDS:
        hosts = deployment.placement.of_kind(kind)
        if not hosts:
            yield _wrong("inventory", f"the group {kind} is empty, so nothing runs that tier", "one host or more", "add hosts; they may be in web and worker")
        elif len(hosts) == 1 and deployment.high_availability:
            message = f"{_names(hosts)} is the only {kind} host, and that tier is gone when it is"
            yield _wrong("inventory", message, f"two hosts or more in {kind} while codecov_high_availability is true", f"add one, or {OFF}")


def _data_hosts(deployment: Deployment) -> Problems:
    hosts = deployment.placement.of_kind("data")
    embedded = [name for name in DATA_SERVICES if deployment.mode(name) == "embedded"]
    if not embedded:
        if hosts:
            message = f"is external, and so are the other data services: {_names(hosts)} would run nothing"
            yield _wrong("codecov_postgres.mode", message, "no host in the group data", "take the hosts out of it, or choose embedded")
        return
    shown = " and ".join(DATA_SERVICES[name] for name in embedded)
    setting = f"codecov_{embedded[0]}.mode"
    if not hosts:
        yield _wrong(setting, f"is embedded, but the group data is empty, so nothing runs {shown}", "one host in data", "add it, or choose external")
    elif len(hosts) > 1:
        message = f"is embedded, but {_names(hosts)} would each run a {shown} of its own, not one on several hosts"
        yield _wrong(setting, message, "one host in data", "take the others out, or choose external with a database that has standbys (RDS, Patroni)")
    else:
        message = f"{shown} run on {_names(hosts)} alone: nothing is processed while that host is down, and losing it loses the data"
        yield warning(setting, message, "back it up, or choose external with standbys")


def _storage_hosts(deployment: Deployment) -> Problems:
    hosts, embedded = deployment.placement.of_kind("storage"), deployment.mode("storage") == "embedded"
    if not embedded and hosts:
        message = f"is external, so {_names(hosts)} would run nothing"
        yield _wrong("codecov_storage.mode", message, "no host in the group storage", "take the hosts out of it, or choose embedded")
    elif embedded and not hosts:
        yield _wrong("codecov_storage.mode", "is embedded, but the group storage is empty", "hosts in storage", "add them, or choose external")
    elif embedded and len(hosts) > 1:
        yield from _storage_nodes(deployment, hosts)
    elif embedded:
        message = f"storage runs on {_names(hosts)} alone: uploads fail while that host is down, and losing it loses the reports"
        yield warning("codecov_storage.mode", message, f"back it up, add hosts up to {STORAGE_QUORUM}, or choose external (S3, GCS)")


def _storage_nodes(deployment: Deployment, hosts: t.Sequence[Host]) -> Problems:
    no_balancer = not deployment.placement.of_kind("load_balancers") and deployment.settings["codecov_load_balancer"]["mode"] == "haproxy"
    if no_balancer:
        message = f"{_names(hosts)} are more than one storage host, but no load balancer stands before them: clients know one address only"
        yield _wrong("inventory", message, "a load balancer before several storage hosts", "fill the group load_balancers, or keep one storage host")
    elif not deployment.platform["storage"].replicable:
        message = f"{deployment.platform['storage'].image} is run as one server, and {_names(hosts)} would each hold other reports"
        yield _wrong("codecov_storage.provider", message, "one host in storage", "take the others out, or choose seaweedfs, or external (S3, GCS)")
    elif len(hosts) < STORAGE_QUORUM:  # also where high availability is not asked for: such two are worse than one
        message = f"{_names(hosts)} stop when either of them is gone: no majority remains, and no second place to write a copy to"
        yield _wrong("inventory", message, f"one host, or {STORAGE_QUORUM} or more, in storage", "add one, keep one, or choose external (S3, GCS)")
    else:
        yield from _storage_database(deployment, hosts)


def _storage_database(deployment: Deployment, hosts: t.Sequence[Host]) -> Problems:
    """Replicated storage writes down what is where in PostgreSQL, and is only as available as that."""
    data, sslmode = deployment.placement.of_kind("data"), deployment.settings["codecov_postgres"]["sslmode"]
    if deployment.mode("postgres") == "embedded":
        message = f"what {_names(hosts)} hold stands in PostgreSQL on {_names(data)}: uploads and reports wait while that host is down"
        yield warning("codecov_storage.mode", message, "choose external PostgreSQL with standbys")
    elif sslmode.startswith("verify-"):
        message = f"is {sslmode}, but replicated storage has no file with the authority of the database"
        yield _wrong("codecov_postgres.sslmode", message, "disable, require", "choose require, or external storage (S3, GCS)")


def _replicas(deployment: Deployment) -> Problems:
    for service in deployment.line.tier("web"):
        if deployment.replicas(service) > 1:
            message = f"{deployment.replicas(service)} of it on one web host have one address"
            way_out = "add web hosts, or give the api more processes (GUNICORN_WORKERS)"
            yield _wrong(f"codecov_replicas.{service.name}", message, "1 on each web host", way_out)


def _tls(deployment: Deployment) -> Problems:
    mode = deployment.settings["codecov_tls"]["mode"]
    if mode in ("self_signed", "acme"):
        message = f"is {mode}, which would give each load balancer another certificate"
        way_out = "choose certificate, with its authority in codecov_tls.extra_ca_files where it is your own"
        yield _wrong("codecov_tls.mode", message, "disabled, certificate", way_out)


def _network(deployment: Deployment) -> Problems:
    given = deployment.settings["codecov_network"]["subnet"]
    allowed = "a network of IPv4 of 16 addresses or more that nothing else uses, for example 10.213.87.0/24"
    try:
        network = ipaddress.IPv4Network(given)
    except ValueError:
        yield _wrong("codecov_network.subnet", f"{given!r} is no network", allowed, "correct it")
        return
    inside = [host for host in deployment.placement.hosts if _inside(host.address, network)]
    if network.prefixlen > 28:
        yield _wrong("codecov_network.subnet", f"{given} has too few addresses", allowed, "choose a larger one")
    elif inside:
        yield _wrong("codecov_network.subnet", f"{given} holds the address of {_names(inside)}, which containers could not reach then", allowed, "move it")


def _inside(address: str, network: ipaddress.IPv4Network) -> bool:
    try:
        return ipaddress.IPv4Address(address) in network
    except ValueError:
        return False


def _ports(deployment: Deployment) -> Problems:
    port, readiness = deployment.settings["codecov_web_port"], deployment.settings["codecov_readiness_port"]
    for setting, value in (("codecov_web_port", port), ("codecov_readiness_port", readiness)):
        if not 0 < value < 65536:
            yield _wrong(setting, f"{value} is no port", "1 to 65535", "choose one")
    if port == readiness:
        yield _wrong("codecov_readiness_port", f"{readiness} is also codecov_web_port", "another port", "choose one")
    taken = _ports_on_web_hosts(deployment)
    for setting, value in (("codecov_web_port", port), ("codecov_readiness_port", readiness)):
        if value in taken:
            yield _wrong(setting, f"{value} is a port of {taken[value]}, which runs on a web host", "another port", "choose one, or separate the hosts")


def _ports_on_web_hosts(deployment: Deployment) -> t.Dict[int, str]:
    """Ports that services of data and storage hosts publish where such a host is a web host too."""
    ports = {}
    for name, service in deployment.platform.items():
        shared = [host for host in deployment.placement.of_kind("web") if host.is_of(service.kind or "")]
        if service.kind in ("data", "storage") and shared and deployment.mode(name) == "embedded":
            ports.update(dict.fromkeys((deployment.published_port(name), *service.peer_ports), name))
    return ports


def _rolling(deployment: Deployment) -> Problems:
    batch, hosts = deployment.settings["codecov_rolling"]["batch"], len(deployment.placement.of_kind("web"))
    most = max(1, hosts - 1)
    if not 1 <= batch <= most:
        yield _wrong("codecov_rolling.batch", f"{batch} of {hosts} web hosts at a time", f"1 to {most}, so that one goes on serving", "choose one of these")


def _demand(deployment: Deployment) -> Problems:
    rate, hosts = deployment.settings["codecov_sizing"]["reports_per_minute"], deployment.placement.application
    if not rate or not hosts:
        return
    spare = 1 if deployment.high_availability else 0
    wanted = Demand(rate).units + spare
    if len(hosts) < wanted:
        message = f"{rate} reports a minute need {wanted} hosts of the application{' (one to spare)' if spare else ''}, and there are {len(hosts)}"
        yield _wrong("codecov_sizing.reports_per_minute", message, f"{wanted} hosts like n1-standard-8", "add hosts to web and worker, or lower the rate")


RULES: t.Tuple[t.Callable[[Deployment], Problems], ...] = (
    _without_kind, _addresses, _common_settings, _one_configuration, _balancers, _virtual_address, _application_hosts, _data_hosts, _storage_hosts,
    _replicas, _tls, _network, _ports, _rolling, _demand,
)  # fmt: skip


def placement_problems(deployment: Deployment) -> t.List[Problem]:
    """What is wrong with the placement of a split deployment, errors and warnings. The same whichever host it is asked for."""
    return [problem for rule in RULES for problem in rule(deployment)] if deployment.placement.is_split else []
