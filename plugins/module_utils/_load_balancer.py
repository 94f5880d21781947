# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings and facts of a load balancer host -> what is wrong, or haproxy.cfg, keepalived.conf and the drop-ins of their units.

Private to this collection. Pure: no host is touched.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import typing as t
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ansible_collections.covstack.selfhosted.plugins.module_utils._load_balancer_paths import (
    ADMIN_SOCKET,
    APPLIED,
    CERTIFICATE,
    DIRECTORY,
    ETC,
    MASTER_SOCKET,
    PASSWORD_FILE,
    SCRIPTS,
    STATE_FILE,
)
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem, error, show, warning

ANSWERS_SCRIPT, SAVE_SCRIPT = "covstack-haproxy-answers", "covstack-haproxy-save-state"
MARK = "covstack-"
WEB, STORAGE, STAGE = "web", "storage", "stage"
COLOUR_COOKIE = "covstack_colour"
MAX_WEIGHT = 256

MAX_BALANCERS = 10
PASSWORD_LENGTH = 8  # all that VRRP transports
# Requests whose answer is on its way may take this much longer than the longest upload.
HARD_STOP_EXTRA = 300

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*\.?")
_PATH = re.compile(r"/[A-Za-z0-9._~!$&()*+,;=:@%/?-]*")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,15}")

# Headers about the client that some programs believe.
BELIEVED_BY_SOME = ("Forwarded", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Real-IP", "X-Client-IP", "True-Client-IP")

Problems = t.Iterator[Problem]
Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


# --- what is given ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    name: str
    address: str
    port: int

    @property
    def endpoint(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True)
class Peer:
    """One of the balancers."""

    name: str
    address: str


@dataclass(frozen=True)
class Colours:
    """While two colours stand side by side: weights of the web servers by name, and which of them a host name of its own leads to. Empty otherwise."""

    weights: t.Mapping[str, int] = field(default_factory=dict)
    host: str = ""
    stage: t.Tuple[str, ...] = ()

    @property
    def shared(self) -> bool:
        """Whether both get requests."""
        return bool(self.weights) and all(self.weights.values())

    def of(self, server: str) -> str:
        """Options of a server."""
        weight = f" weight {self.weights[server]}" if server in self.weights else ""
        return weight + (f" cookie {server}" if self.shared else "")


@dataclass(frozen=True)
class Settings:
    """The variables load_balancer_* without their prefix."""

    url: str
    web_servers: t.Tuple[Server, ...]
    web_check: t.Mapping[str, t.Any]
    storage_servers: t.Tuple[Server, ...]
    storage_check: t.Mapping[str, t.Any]
    storage_buckets: t.Tuple[str, ...]
    storage_host: str
    certificate: str
    key: str
    http_port: int
    https_port: int
    bind_addresses: t.Tuple[str, ...]
    redirect: bool
    check: t.Mapping[str, t.Any]
    timeouts: t.Mapping[str, t.Any]
    max_connections: int
    access_log: bool
    metrics: t.Mapping[str, t.Any]
    alive_port: int
    peers: t.Tuple[Peer, ...]
    virtual_address: str
    interface: str
    router_id: int
    colours: Colours
    password: bool  # is one given? The password itself never gets here.
    password_problem: str
    allow_single: bool

    @property
    def tls(self) -> bool:
        return self.url.lower().startswith("https://")

    @property
    def address(self) -> str:
        """The virtual address without its prefix."""
        return self.virtual_address.partition("/")[0]


@dataclass(frozen=True)
class Host:
    """What load_balancer_info knows of a host."""

    name: str
    family: str = "debian"
    systemd: bool = True
    interfaces: t.Sequence[t.Mapping[str, t.Any]] = ()
    listening: t.Sequence[t.Mapping[str, t.Any]] = ()
    digests: t.Mapping[str, t.Optional[str]] = field(default_factory=dict)
    unreadable: t.Mapping[str, str] = field(default_factory=dict)


def settings_of(given: t.Mapping[str, t.Any]) -> Settings:
    """From plain data whose types the argument specification of the role has checked."""
    password = str(given.get("password") or "")
    plain = {name: given[name] for name in Settings.__dataclass_fields__ if name in given}
    plain.update(
        web_servers=_servers(given["web_servers"]),
        storage_servers=_servers(given["storage_servers"]),
        storage_buckets=tuple(given["storage_buckets"]),
        bind_addresses=tuple(given["bind_addresses"]),
        colours=_colours(given.get("colours") or {}),
        peers=tuple(Peer(str(peer["name"]), str(peer["address"])) for peer in given["peers"]),
        password=bool(password),
        password_problem=_password_problem(password),
    )
    return Settings(**plain)


def _colours(given: t.Mapping[str, t.Any]) -> Colours:
    weights = {str(name): int(weight) for name, weight in (given.get("weights") or {}).items()}
    return Colours(weights, str(given.get("host") or ""), tuple(given.get("stage") or ()))


def _servers(entries: t.Iterable[t.Mapping[str, t.Any]]) -> t.Tuple[Server, ...]:
    return tuple(Server(str(entry["name"]), str(entry["address"]), int(entry["port"])) for entry in entries)


def _password_problem(password: str) -> str:
    if len(password) > PASSWORD_LENGTH:
        return f"has {len(password)} characters, of which VRRP transports {PASSWORD_LENGTH}"
    if password and not re.fullmatch(r"[A-Za-z0-9]+", password):
        return "has characters that keepalived may read as something else"
    return ""


def host_of(name: str, info: t.Mapping[str, t.Any]) -> Host:
    return Host(name, info["os"]["family"], info["os"]["systemd"], info["interfaces"], info["listening"], info["digests"], info["unreadable"])


def parse_address(text: str) -> t.Optional[Address]:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


# --- rules ------------------------------------------------------------------------------------------------------------------


def problems_of(settings: Settings, host: Host) -> t.List[Problem]:
    """What is wrong, errors and warnings; everything that can be wrong at once is said at once."""
    return [problem for rule in RULES for problem in rule(settings, host)]


def _url(settings: Settings, _host: Host) -> Problems:
    parts = urlsplit(settings.url)
    example = "write it as clients see it, for example https://codecov.example.com"
    if parts.scheme not in ("http", "https") or not parts.hostname or not (_HOST.fullmatch(parts.hostname) or parse_address(parts.hostname)):
        yield error("load_balancer_url", f"{show(settings.url)} is no http:// or https:// address", example)
    elif parts.path.rstrip("/") or parts.query or parts.username:
        yield error("load_balancer_url", f"{show(settings.url)} has more than scheme, host and port", example)
    else:
        port = settings.https_port if settings.tls else settings.http_port
        if _url_port(settings) != port:
            name = "https_port" if settings.tls else "http_port"
            public = _url_port(settings)
            yield error(f"load_balancer_{name}", f"is {port}, but clients use port {public} of load_balancer_url", f"set it to {public}")


def _url_port(settings: Settings) -> t.Optional[int]:
    try:
        return urlsplit(settings.url).port or (443 if settings.tls else 80)
    except ValueError:
        return None


def _check_servers(setting: str, servers: t.Sequence[Server]) -> Problems:
    seen_names: t.Set[str] = set()
    seen_endpoints: t.Dict[str, str] = {}
    for index, server in enumerate(servers):
        where = f"{setting}[{index}]"
        if not _NAME.fullmatch(server.name):
            yield error(f"{where}.name", f"{show(server.name)} is no name for HAProxy", "use letters, digits and _ . : - only")
        if server.name in seen_names:
            yield error(f"{where}.name", f"{show(server.name)} is there twice", "give every server a name of its own")
        if not parse_address(server.address) and not _HOST.fullmatch(server.address):
            yield error(f"{where}.address", f"{show(server.address)} is neither an address nor a host name", "give the address at which the balancers reach it")
        elif (parse_address(server.address) or ipaddress.ip_address("192.0.2.1")).is_loopback or server.address == "localhost":
            yield error(f"{where}.address", f"{show(server.address)} is each balancer itself", "give the address at which the balancers reach it")
        if not 0 < server.port < 65536:
            yield error(f"{where}.port", f"{server.port} is no port", "choose 1 to 65535")
        elif server.endpoint in seen_endpoints:
            yield error(where, f"{server.endpoint} is also that of {show(seen_endpoints[server.endpoint])}", "name every server once")
        seen_names.add(server.name)
        seen_endpoints.setdefault(server.endpoint, server.name)


def _web_servers(settings: Settings, _host: Host) -> Problems:
    if not settings.web_servers:
        way_out = "name the web hosts, for example {name: web1, address: 10.0.0.11, port: 8080}"
        yield error("load_balancer_web_servers", "is empty: there is nothing to balance", way_out)
    yield from _check_servers("load_balancer_web_servers", settings.web_servers)


def _storage(settings: Settings, _host: Host) -> Problems:
    yield from _check_servers("load_balancer_storage_servers", settings.storage_servers)
    routed = bool(settings.storage_buckets or settings.storage_host)
    if settings.storage_servers and not routed:
        way_out = "name the bucket, or a host name of its own in load_balancer_storage_host"
        yield error("load_balancer_storage_buckets", "is empty: no request would reach the storage servers", way_out)
    if routed and not settings.storage_servers:
        setting = "load_balancer_storage_buckets" if settings.storage_buckets else "load_balancer_storage_host"
        yield error("load_balancer_storage_servers", f"is empty, but {setting} sends requests there", f"name the storage hosts, or leave {setting} empty")
    for index, bucket in enumerate(settings.storage_buckets):
        if not _BUCKET.fullmatch(bucket):
            way_out = "use 3 to 63 lower-case letters, digits, dots and hyphens"
            yield error(f"load_balancer_storage_buckets[{index}]", f"{show(bucket)} is no bucket name", way_out)
    if settings.storage_host:
        if not _HOST.fullmatch(settings.storage_host):
            yield error("load_balancer_storage_host", f"{show(settings.storage_host)} is no host name", "write the name alone, for example storage.example.com")
        elif settings.storage_host.lower() == (urlsplit(settings.url).hostname or "").lower():
            way_out = "choose another name, or leave it empty and use load_balancer_storage_buckets"
            yield error("load_balancer_storage_host", "is the name of the application itself, which would get no request any more", way_out)


def _weights(settings: Settings, _host: Host) -> Problems:
    place, known = "load_balancer_colours", {server.name for server in settings.web_servers}
    for name in [*settings.colours.weights, *settings.colours.stage]:
        if name not in known:
            yield error(place, f"{show(name)} is no web server", f"name some of {', '.join(sorted(known))}")
    for name, weight in settings.colours.weights.items():
        if not 0 <= weight <= MAX_WEIGHT:
            yield error(f"{place}.weights.{name}", f"{weight} is out of range", f"choose 0 to {MAX_WEIGHT}")
    if settings.colours.weights and not any(settings.colours.weights.get(name, 1) for name in known):
        yield error(f"{place}.weights", "leaves no server that gets requests", "give one of them more than 0")
    if settings.colours.host and not _HOST.fullmatch(settings.colours.host):
        yield error(f"{place}.host", f"{show(settings.colours.host)} is no host name", "write the name alone, for example stage.codecov.example.com")


def _health_checks(settings: Settings, _host: Host) -> Problems:
    for setting, check in (("load_balancer_web_check", settings.web_check), ("load_balancer_storage_check", settings.storage_check)):
        if not _PATH.fullmatch(str(check["path"])):
            yield error(f"{setting}.path", f"{show(check['path'])} is no path", "begin with a slash, for example /ready")
        least = 1 if setting == "load_balancer_web_check" else 0
        if not least <= check["port"] < 65536:
            yield error(f"{setting}.port", f"{check['port']} is no port", f"choose {least} to 65535")
    for name in ("fall", "rise"):
        if not 1 <= settings.check[name] <= 20:
            yield error(f"load_balancer_check.{name}", f"{settings.check[name]} is out of range", "choose 1 to 20")
    for name in ("interval_ms", "timeout_ms"):
        if not 100 <= settings.check[name] <= 60000:
            yield error(f"load_balancer_check.{name}", f"{settings.check[name]} is out of range", "choose 100 to 60000 milliseconds")


def _limits(settings: Settings, _host: Host) -> Problems:
    for name, value in settings.timeouts.items():
        if not 1 <= value <= 86400:
            yield error(f"load_balancer_timeouts.{name}", f"{value} is out of range", "choose 1 to 86400 seconds")
    if settings.timeouts["connect_s"] > 10:
        reason = f"{settings.timeouts['connect_s']} s: requests wait that long for a dead host before they go to another one"
        yield warning("load_balancer_timeouts.connect_s", reason, "choose 1 to 3")
    if 1 <= settings.timeouts["server_s"] < 600:
        reason = f"{settings.timeouts['server_s']} s: the application itself allows a request 600 s, and uploads that are slow fail"
        yield warning("load_balancer_timeouts.server_s", reason, "choose 600")
    if not 100 <= settings.max_connections <= 1000000:
        yield error("load_balancer_max_connections", f"{settings.max_connections} is out of range", "choose 100 to 1000000")


def ports_of(settings: Settings) -> t.Dict[str, int]:
    """Setting -> port that HAProxy opens on the host."""
    ports = {"load_balancer_http_port": settings.http_port} if not settings.tls or settings.redirect else {}
    if settings.tls:
        ports["load_balancer_https_port"] = settings.https_port
    ports["load_balancer_alive_port"] = settings.alive_port
    if settings.metrics["address"]:
        ports["load_balancer_metrics.port"] = settings.metrics["port"]
    return ports


def _ports(settings: Settings, host: Host) -> Problems:
    taken: t.Dict[int, str] = {}
    for setting, port in ports_of(settings).items():
        if not 0 < port < 65536:
            yield error(setting, f"{port} is no port", "choose 1 to 65535")
            continue
        if port in taken:
            yield error(setting, f"{port} is also that of {taken[port]}", "choose another port")
        taken.setdefault(port, setting)
        holder = next((entry for entry in host.listening if entry["port"] == port and entry["process"] != "haproxy"), None)
        if holder and not all(_is_loopback(address) for address in holder["addresses"] or ["0.0.0.0"]):
            who = holder["container"] or holder["process"] or "a process that cannot be seen"
            yield error(setting, f"{port} is held by {who} on {host.name}", "stop it, or choose another port")


def _files(_settings: Settings, host: Host) -> Problems:
    for path, reason in host.unreadable.items():
        way_out = "make it readable, or remove it: what is missing is made again, a password as the other load balancers have it"
        yield error(path, f"cannot be read on {host.name} ({reason})", way_out)


def _is_loopback(address: str) -> bool:
    parsed = parse_address(address)
    return parsed is not None and parsed.is_loopback


def _bind_addresses(settings: Settings, host: Host) -> Problems:
    own = {entry["address"] for entry in host.interfaces}
    for index, address in enumerate(settings.bind_addresses):
        where = f"load_balancer_bind_addresses[{index}]"
        if not parse_address(address):
            yield error(where, f"{show(address)} is no address", "give addresses, or leave it empty for all of the host")
        elif address not in own and address != settings.address:
            way_out = f"choose among {', '.join(sorted(own)) or 'those of the host'}, or leave it empty for all"
            yield error(where, f"{address} is neither an address of {host.name} nor the virtual one", way_out)
    if settings.metrics["address"] and not parse_address(settings.metrics["address"]):
        reason = f"{show(settings.metrics['address'])} is no address"
        yield error("load_balancer_metrics.address", reason, "give a local or management address, or leave it empty for none")
    elif settings.metrics["address"] in ("0.0.0.0", "::"):
        yield warning("load_balancer_metrics.address", "opens the metrics to everybody who reaches the host", "give a local or management address")


def _tls(settings: Settings, _host: Host) -> Problems:
    for setting, path in (("load_balancer_certificate", settings.certificate), ("load_balancer_key", settings.key)):
        if settings.tls and not path:
            yield error(setting, "is empty, but load_balancer_url is https://", "give the path of the PEM file, or use http://")
        elif not settings.tls and path:
            yield error(setting, "is given, but load_balancer_url is http://", "use https://, or leave it empty")
    if settings.url.lower().startswith("http://"):
        yield warning("load_balancer_url", "is http://: tokens and reports travel in the clear", "use https:// with load_balancer_certificate")


def _peers(settings: Settings, host: Host) -> Problems:
    names = [peer.name for peer in settings.peers]
    if host.name not in names:
        yield error("load_balancer_peers", f"does not name {host.name} itself", "name every balancer with its address, in the same order everywhere")
        return
    if len(names) > MAX_BALANCERS:
        yield error("load_balancer_peers", f"{len(names)} balancers are too many for one address", f"use {MAX_BALANCERS} or fewer")
    if len({peer.address for peer in settings.peers}) < len(names) or len(set(names)) < len(names):
        yield error("load_balancer_peers", "names a balancer or an address twice", "name every balancer once, with an address of its own")
    if len(names) == 1 and not settings.allow_single:
        way_out = "add a second host and load_balancer_virtual_address, or say load_balancer_allow_single: true"
        yield error("load_balancer_peers", f"{names[0]} is the only balancer: when it is down, so is everything behind it", way_out)
    if len(names) > 1 and not settings.virtual_address:
        way_out = "give a free address of their network, for example 10.0.0.10/24"
        yield error("load_balancer_virtual_address", f"is empty, but there are {len(names)} balancers, and clients know one address", way_out)
    for index, peer in enumerate(settings.peers if settings.virtual_address else ()):
        if not parse_address(peer.address):
            reason = f"{show(peer.address)} is no address, which keepalived needs"
            yield error(f"load_balancer_peers[{index}].address", reason, "set codecov_address of the host to its address")


def _virtual_address(settings: Settings, host: Host) -> Problems:
    if not settings.virtual_address:
        return
    setting = "load_balancer_virtual_address"
    example = "write a free address of the balancers' network, for example 10.0.0.10/24"
    try:
        address = ipaddress.ip_interface(settings.virtual_address).ip
    except ValueError:
        yield error(setting, f"{show(settings.virtual_address)} is no address", example)
        return
    own = next((peer for peer in settings.peers if peer.address == str(address)), None)
    if own:
        yield error(setting, f"{address} is the address of {own.name} itself", example)
        return
    if address.is_loopback or address.is_multicast or address.is_unspecified:
        yield error(setting, f"{address} cannot be moved between hosts", example)
        return
    networks = [network_of(entry) for entry in host.interfaces if not _is_loopback(entry["address"])]
    if settings.interface:
        known = sorted({entry["name"] for entry in host.interfaces})
        if not _INTERFACE.fullmatch(settings.interface) or settings.interface not in known:
            yield error("load_balancer_interface", f"{show(settings.interface)} is not on {host.name}", f"choose among {', '.join(known)}, or leave it empty")
        elif "/" not in settings.virtual_address and not any(address in network for network in networks):
            yield error(setting, f"{address} has no prefix, and no network of {host.name} tells it", f"add it, for example {address}/24")
    elif not any(address in network for network in networks):
        known = sorted({str(network) for network in networks if network.version == address.version}) or ["none"]
        way_out = f"choose an address of {', '.join(known)}, or say the interface in load_balancer_interface"
        yield error(setting, f"{address} is in no network of {host.name}", way_out)
    elif any(address == network.network_address or address == network.broadcast_address for network in networks if network.num_addresses > 2):
        yield error(setting, f"{address} is the network's own or its broadcast address", example)


def network_of(entry: t.Mapping[str, t.Any]) -> t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]:
    return ipaddress.ip_network(f"{entry['address']}/{entry['prefix']}", strict=False)


def _vrrp(settings: Settings, _host: Host) -> Problems:
    if not 1 <= settings.router_id <= 255:
        yield error("load_balancer_router_id", f"{settings.router_id} is out of range", "choose 1 to 255, unique among the VRRP users of the network")
    if settings.password_problem:
        way_out = f"use 1 to {PASSWORD_LENGTH} letters and digits, or leave it empty to have one generated"
        yield error("load_balancer_password", settings.password_problem, way_out)


def _system(_settings: Settings, host: Host) -> Problems:
    if host.family not in ("debian", "redhat"):
        yield error("inventory", f"{host.name} is neither of the Debian nor of the RHEL family", "use Debian, Ubuntu or the RHEL family for load balancers")
    elif not host.systemd:
        yield error("inventory", f"{host.name} runs without systemd", "use a host with systemd for a load balancer")


RULES = (_system, _files, _url, _web_servers, _weights, _storage, _health_checks, _limits, _ports, _bind_addresses, _tls, _peers, _virtual_address, _vrrp)


# --- HAProxy ----------------------------------------------------------------------------------------------------------------


def haproxy_cfg(settings: Settings, host: Host) -> str:
    body = "\n".join(["", *_defaults(settings), *_frontends(settings), *_backends(settings)])
    # The running process tells its description, and so which configuration (and certificate) it runs with.
    return "\n".join(_global(settings, description_of(settings, host, body))) + body


def description_of(settings: Settings, host: Host, body: str) -> str:
    certificates = [f"{path}={host.digests.get(path)}" for path in (CERTIFICATE, f"{CERTIFICATE}.key") if settings.tls]
    text = "\n".join([*_global(settings, ""), body, *certificates])
    return MARK + hashlib.sha256(text.encode()).hexdigest()[:16]


def _global(settings: Settings, description: str) -> t.List[str]:
    return [
        "# Written by the role load_balancer of covstack.selfhosted; changes by hand are lost.",
        "global",
        f"  description {description}",
        "  log /dev/log local0 info",
        "  chroot /var/lib/haproxy",
        "  user haproxy",
        "  group haproxy",
        f"  maxconn {settings.max_connections}",
        "  # The only way to steer it: a socket for root of this host. Listeners are handed over at a reload.",
        f"  stats socket {ADMIN_SOCKET} mode 600 level admin expose-fd listeners",
        "  stats timeout 2m",
        "  # A drained server stays drained, and a dead one out, when the configuration is loaded again.",
        f"  server-state-file {STATE_FILE}",
        "  # Uploads that are under way at a reload end in the old process.",
        f"  hard-stop-after {settings.timeouts['server_s'] + HARD_STOP_EXTRA}s",
        *(
            [
                "  ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets",
                "  ssl-default-bind-ciphers ECDHE+AESGCM:ECDHE+CHACHA20",
            ]
            if settings.tls
            else []
        ),
    ]


def _defaults(settings: Settings) -> t.List[str]:
    timeouts = settings.timeouts
    return [
        "",
        "defaults",
        "  mode http",
        "  log global",
        "  option dontlognull",
        *([] if settings.access_log else ["  option dontlog-normal"]),
        "  # Method and path without the query string: upload tokens and signatures travel there.",
        '  log-format "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %HM %HPO"',
        "  load-server-state-from-file global",
        "  # A connection of its own for every request: none is sent on one that the server is about to close, and a drained server is idle at once.",
        "  option http-server-close",
        "  # At a reload, a connection that waits for its next request gets that one answered before it is closed.",
        "  option idle-close-on-response",
        "  # Only what never reached a server is tried again, on another one: nothing is done twice.",
        "  retries 3",
        "  option redispatch 1",
        "  retry-on conn-failure",
        "  balance leastconn",
        f"  timeout connect {timeouts['connect_s']}s",
        f"  timeout client {timeouts['client_s']}s",
        f"  timeout server {timeouts['server_s']}s",
        f"  timeout queue {timeouts['queue_s']}s",
        f"  timeout http-request {timeouts['headers_s']}s",
        f"  timeout http-keep-alive {timeouts['keep_alive_s']}s",
        "  # A dead host closes nothing: requests that it was answering would hang as long as a slow answer may take.",
        "  option srvtcpka",
        *(f"  srvtcpka-{name}" for name in ("idle 4s", "intvl 2s", "cnt 3")),
        f"  timeout check {settings.check['timeout_ms']}ms",
        f"  default-server inter {settings.check['interval_ms']}ms fastinter {max(100, settings.check['interval_ms'] // 2)}ms"
        f" downinter {settings.check['interval_ms']}ms fall {settings.check['fall']} rise {settings.check['rise']}"
        " observe layer4 error-limit 3 on-error fail-check init-addr libc,last,none tcp-ut 10s",
    ]


def _bind(settings: Settings, port: int, options: str = "") -> t.List[str]:
    lines = []
    for address in settings.bind_addresses or ("*", *(("::",) if ":" in settings.address else ())):
        # Only one of the balancers holds the virtual address; the others listen for the day that they do.
        transparent = " transparent" if address == settings.address and settings.bind_addresses else ""
        only = " v6only" if address == "::" else ""
        lines.append(f"  bind {f'[{address}]' if ':' in address else address}:{port}{only}{transparent}{options}")
    return lines


def _frontends(settings: Settings) -> t.List[str]:
    lines = [""]
    if settings.tls and settings.redirect:
        location = f"https://%[req.hdr(host),field(1,:)]:{settings.https_port}%[capture.req.uri]"
        redirect = "scheme https" if settings.https_port == 443 else f"location {location}"
        lines += ["frontend plain", *_bind(settings, settings.http_port), f"  http-request redirect {redirect} code 301", ""]
    lines += [
        "frontend public",
        *(_bind(settings, settings.https_port, f" ssl crt {CERTIFICATE} alpn h2,http/1.1") if settings.tls else _bind(settings, settings.http_port)),
        "  # What a client says about itself is not believed.",
        *(f"  http-request del-header {name}" for name in BELIEVED_BY_SOME),
        "  http-request set-header X-Forwarded-For %[src]",
        f"  http-request set-header X-Forwarded-Proto {'https' if settings.tls else 'http'}",
        "  http-request set-header X-Forwarded-Host %[req.hdr(host)]",
        f"  http-request set-header X-Forwarded-Port {settings.https_port if settings.tls else settings.http_port}",
        *_storage_routes(settings),
        *_stage_route(settings),
        f"  default_backend {WEB}",
        "",
        "# For keepalived: does HAProxy answer?",
        "frontend alive",
        f"  bind 127.0.0.1:{settings.alive_port}",
        "  monitor-uri /alive",
        "  option dontlog-normal",
        "  http-request deny deny_status 404",
    ]
    if settings.metrics["address"]:
        address = settings.metrics["address"]
        lines += [
            "",
            "frontend metrics",
            f"  bind {f'[{address}]' if ':' in address else address}:{settings.metrics['port']}",
            "  option dontlog-normal",
            "  http-request use-service prometheus-exporter if { path /metrics }",
            "  http-request deny deny_status 404",
        ]
    return lines


def _storage_routes(settings: Settings) -> t.List[str]:
    lines = []
    if settings.storage_host:
        lines.append(f"  use_backend {STORAGE} if {{ req.hdr(host),field(1,:) -i {settings.storage_host.rstrip('.')} }}")
    for bucket in settings.storage_buckets:
        lines.append(f"  use_backend {STORAGE} if {{ path /{bucket} }} || {{ path_beg /{bucket}/ }}")
    return lines


def _stage_route(settings: Settings) -> t.List[str]:
    colours = settings.colours
    return [f"  use_backend {STAGE} if {{ req.hdr(host),field(1,:) -i {colours.host} }}"] if colours.host and colours.stage else []


def _backends(settings: Settings) -> t.List[str]:
    colours = settings.colours
    lines = [*_backend(settings, WEB, settings.web_check), *_sharing(settings)]
    lines += [_server(server, settings.web_check, colours.of(server.name)) for server in settings.web_servers]
    if _stage_route(settings):
        lines += _backend(settings, STAGE, settings.web_check)
        lines += [_server(server, settings.web_check) for server in settings.web_servers if server.name in colours.stage]
    if settings.storage_servers:
        lines += _backend(settings, STORAGE, settings.storage_check)
        lines += [_server(server, settings.storage_check) for server in settings.storage_servers]
    return [*lines, ""]


def _backend(settings: Settings, name: str, check: t.Mapping[str, t.Any]) -> t.List[str]:
    host = urlsplit(settings.url).netloc
    return [
        "",
        f"backend {name}",
        "  option httpchk",
        f"  http-check send meth GET uri {check['path']} ver HTTP/1.1 hdr Host {host} hdr User-Agent covstack-load-balancer",
        "  http-check expect status 200",
    ]


def _server(server: Server, check: t.Mapping[str, t.Any], options: str = "") -> str:
    port = f" port {check['port']}" if check["port"] else ""
    return f"  server {server.name} {server.endpoint} check{port}{options}"


def _sharing(settings: Settings) -> t.List[str]:
    """Shares come true in turns; the fewest connections would send a calm system's requests to one colour alone."""
    secure = " secure" if settings.tls else ""
    return [
        *(["  balance roundrobin"] if settings.colours.weights else []),
        *(
            ["  # A browser stays with its server: its pages name files that the other colour does not have.",
             f"  cookie {COLOUR_COOKIE} insert indirect nocache httponly{secure}"]
            if settings.colours.shared
            else []
        ),
    ]  # fmt: skip


# --- keepalived -------------------------------------------------------------------------------------------------------------


def place_of(settings: Settings, host: Host) -> t.Tuple[str, str]:
    """(interface, address with prefix): where the virtual address belongs on this host."""
    address = ipaddress.ip_interface(settings.virtual_address).ip
    inside = [entry for entry in host.interfaces if address in network_of(entry)]
    # Several interfaces may be in one network: the one by which the others reach this host.
    own = next((peer.address for peer in settings.peers if peer.name == host.name), "")
    first = next((entry for entry in inside if entry["address"] == own), inside[0] if inside else {"name": "", "prefix": ""})
    prefix = settings.virtual_address.partition("/")[2] or str(first["prefix"])
    return settings.interface or str(first["name"]), f"{address}/{prefix}"


def priority_of(settings: Settings, host: Host) -> int:
    return 200 - 10 * [peer.name for peer in settings.peers].index(host.name)


def keepalived_conf(settings: Settings, host: Host) -> str:
    interface, address = place_of(settings, host)
    own = next(peer.address for peer in settings.peers if peer.name == host.name)
    others = [peer.address for peer in settings.peers if peer.name != host.name]
    lines = [
        "# Written by the role load_balancer of covstack.selfhosted; changes by hand are lost.",
        "global_defs {",
        f"  router_id {host.name}",
        "  enable_script_security",
        "  script_user haproxy",
        "}",
        "",
        "# A process that exists proves nothing: HAProxy has to answer.",
        "vrrp_script haproxy_answers {",
        f'  script "{SCRIPTS}/{ANSWERS_SCRIPT} {settings.alive_port}"',
        "  interval 1",
        "  timeout 2",
        "  fall 2",
        "  rise 2",
        "}",
        "",
        "vrrp_instance codecov {",
        "  # Nobody takes the address from a balancer that serves: every move breaks the connections that it carries.",
        "  state BACKUP",
        "  nopreempt",
        f"  interface {interface}",
        f"  virtual_router_id {settings.router_id}",
        f"  priority {priority_of(settings, host)}",
        "  advert_int 1",
        "  # Neighbours that missed the first announcement of a move learn of it later.",
        "  garp_master_refresh 60",
        f"  unicast_src_ip {own}",
        "  unicast_peer {",
        *(f"    {other}" for other in others),
        "  }",
        "  authentication {",
        "    auth_type PASS",
        f"    include {PASSWORD_FILE}",
        "  }",
        "  virtual_ipaddress {",
        f"    {address} dev {interface}",
        "  }",
        "  track_script {",
        "    haproxy_answers",
        "  }",
        "}",
        "",
    ]
    return "\n".join(lines)


# --- files ------------------------------------------------------------------------------------------------------------------

HAPROXY_UNIT = f"""\
# Written by the role load_balancer of covstack.selfhosted; changes by hand are lost.
[Service]
Environment="CONFIG={ETC}/haproxy.cfg"
ExecStartPre=-{SCRIPTS}/{SAVE_SCRIPT} start
ExecStart=
ExecStart=/usr/sbin/haproxy -Ws -f {ETC}/haproxy.cfg -p /run/haproxy.pid -S {MASTER_SOCKET},mode,600
ExecReload=
ExecReload=/usr/sbin/haproxy -c -q -f {ETC}/haproxy.cfg
ExecReload={SCRIPTS}/{SAVE_SCRIPT}
ExecReload=/bin/kill -USR2 $MAINPID
"""
# Debian's unit has it already.
LOG_IN_CHROOT = "BindReadOnlyPaths=/dev/log:/var/lib/haproxy/dev/log\n"

_REMEMBER = f"/bin/sh -c 'cat {ETC}/keepalived.conf {PASSWORD_FILE} | sha256sum > {APPLIED}'"
KEEPALIVED_UNIT = f"""\
# Written by the role load_balancer of covstack.selfhosted; changes by hand are lost.
[Unit]
ConditionFileNotEmpty=
ConditionFileNotEmpty={ETC}/keepalived.conf
After=haproxy.service

[Service]
ExecStart=
ExecStart=/usr/sbin/keepalived --dont-fork --use-file={ETC}/keepalived.conf
ExecStartPost={_REMEMBER}
ExecReload=
ExecReload=/usr/sbin/keepalived --config-test --use-file={ETC}/keepalived.conf
ExecReload=/bin/kill -HUP $MAINPID
ExecReload={_REMEMBER}
Restart=always
"""

ANSWERS = """\
#!/bin/bash
# covstack-haproxy-answers PORT: does HAProxy answer within a second? For keepalived, every second, so without another program.
set -e
exec 3<> "/dev/tcp/127.0.0.1/$1"
printf 'GET /alive HTTP/1.0\\r\\n\\r\\n' >&3
read -r -t 1 _version status _rest <&3
[ "$status" = 200 ]
"""

SAVE = f"""\
#!/usr/bin/python3
# Save what HAProxy knows of its servers (drained, down) for the process that a reload starts. systemd runs it before every reload, and
# with the argument "start" before every start, when only what was saved before is left.
# HAProxy would take ports from there too: those of the configuration take their place.
import os
import re
import socket
import sys

ADMIN, STATE, CONFIGURATION = "{ADMIN_SOCKET}", "{STATE_FILE}", "{ETC}/haproxy.cfg"


def running_state():
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(ADMIN)
        connection.sendall(b"show servers state\\n")
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def configured_ports():
    backend, ports = "", dict()
    for line in open(CONFIGURATION):
        words = line.split()
        if words[:1] == ["backend"]:
            backend = words[1]
        elif words[:1] == ["server"]:
            check = re.search(r" check port ([0-9]+)", line)
            ports[backend, words[1]] = words[2].rpartition(":")[2], check.group(1) if check else "0"
    return ports


def with_ports(state, ports):
    header = []
    for line in state.splitlines():
        words = line.split()
        if words[:2] == ["#", "be_id"]:
            header = words[1:]
        elif header and len(words) >= len(header):
            row = dict(zip(header, words))
            port, check = ports.get((row["be_name"], row["srv_name"]), (row["srv_port"], row.get("srv_check_port", "0")))
            words[header.index("srv_port")] = port
            if "srv_check_port" in header:
                words[header.index("srv_check_port")] = check
            line = " ".join(words)
        yield line + "\\n"


if sys.argv[1:] != ["start"]:
    state = running_state() if os.path.exists(ADMIN) else None
else:
    state = open(STATE).read() if os.path.exists(STATE) else None
if state:
    temporary = STATE + "." + str(os.getpid())
    with open(temporary, "w") as file:
        file.writelines(with_ports(state, configured_ports()))
    os.replace(temporary, STATE)
"""


def files_of(settings: Settings, host: Host) -> t.Dict[str, t.Dict[str, str]]:
    """Path below /etc -> content and mode."""
    files = {
        f"{DIRECTORY}/haproxy.cfg": {"content": haproxy_cfg(settings, host), "mode": "0644"},
        "systemd/system/haproxy.service.d/50-covstack.conf": {"content": HAPROXY_UNIT + (LOG_IN_CHROOT if host.family == "redhat" else ""), "mode": "0644"},
    }
    if host.family == "redhat":
        files["tmpfiles.d/covstack-haproxy.conf"] = {"content": "d /run/haproxy 0755 root root -\n", "mode": "0644"}
    if settings.virtual_address:
        files[f"{DIRECTORY}/keepalived.conf"] = {"content": keepalived_conf(settings, host), "mode": "0644"}
        files["systemd/system/keepalived.service.d/50-covstack.conf"] = {"content": KEEPALIVED_UNIT, "mode": "0644"}
    return files


def scripts_of(settings: Settings) -> t.Dict[str, t.Dict[str, str]]:
    """Name below SCRIPTS -> content and mode."""
    scripts = {SAVE_SCRIPT: {"content": SAVE, "mode": "0755"}}
    if settings.virtual_address:
        scripts[ANSWERS_SCRIPT] = {"content": ANSWERS, "mode": "0755"}
    return scripts


def plan_of(settings: Settings, host: Host) -> t.Dict[str, t.Any]:
    """Everything that the role needs to know; without files when something is wrong."""
    problems = problems_of(settings, host)
    errors = [str(problem) for problem in problems if problem.is_error]
    plan: t.Dict[str, t.Any] = {
        "errors": errors,
        "warnings": [str(problem) for problem in problems if not problem.is_error],
        "files": {},
        "scripts": {},
        "description": "",
        "interface": "",
        "address": "",
    }
    if errors:
        return plan
    files = files_of(settings, host)
    description = re.search(rf"description ({MARK}\w+)", files[f"{DIRECTORY}/haproxy.cfg"]["content"])
    plan.update(files=files, scripts=scripts_of(settings), description=description.group(1) if description else "")
    if settings.virtual_address:
        plan.update(zip(("interface", "address"), place_of(settings, host)))
    return plan
