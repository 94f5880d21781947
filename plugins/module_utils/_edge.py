# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Render the configuration of the edge proxy (Traefik 3)."""

from __future__ import annotations

import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils._blue_green import Change
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import CONTROL_PORT, METRICS_PORT, NAME, Deployment


def _forwarded(deployment: Deployment) -> t.Dict[str, t.Any]:
    trusted = deployment.settings["codecov_edge"]["trusted_proxies"]
    return {"forwardedHeaders": {"trustedIPs": trusted}} if trusted else {}


def _public_entry_points(deployment: Deployment) -> t.Dict[str, t.Any]:
    edge = deployment.settings["codecov_edge"]
    # Reports may be large and links slow; an upload may take ten minutes.
    common = {**_forwarded(deployment), "transport": {"respondingTimeouts": {"readTimeout": "600s", "idleTimeout": "180s"}}}
    public = {"public": {"address": f":{edge['http_port']}", **common}}
    if not deployment.edge_tls:
        return public
    # Behind a load balancer the public port is not the edge's own.
    to = "secure" if deployment.port == edge["https_port"] else f":{deployment.port}"
    public["public"]["http"] = {"redirections": {"entryPoint": {"to": to, "scheme": "https", "permanent": True}}}
    acme = deployment.settings["codecov_tls"]["mode"] == "acme"
    tls = {"certResolver": "acme", "domains": [{"main": deployment.hostname}]} if acme else {}
    return {**public, "secure": {"address": f":{edge['https_port']}", "http": {"tls": tls}, **common}}


def static_configuration(deployment: Deployment) -> t.Dict[str, t.Any]:
    """Traefik's static configuration. The API listens on the container's own loopback only; there is no dashboard."""
    slots = {f"{service}-{slot}": {"address": f":{port}"} for service, by_slot in deployment.slot_ports().items() for slot, port in by_slot.items()}
    inner = {"control": {"address": f"127.0.0.1:{CONTROL_PORT}"}, "metrics": {"address": f":{METRICS_PORT}"}}
    configuration: t.Dict[str, t.Any] = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "WARN", "format": "json"},
        "entryPoints": {**_public_entry_points(deployment), **slots, **inner},
        "api": {"dashboard": False, "insecure": False},
        "ping": {"entryPoint": "control"},
        "metrics": {"prometheus": {"entryPoint": "metrics", "addRoutersLabels": True}},
        # A container that was killed answers nothing, not even a refusal: give up soon, the retry goes elsewhere. A connection that was made and
        # never used is no idle one to HAProxy, whose stop waits for it: it must not last long.
        "serversTransport": {"forwardingTimeouts": {"dialTimeout": "2s", "idleConnTimeout": "5s"}},
        "providers": {
            "providersThrottleDuration": "200ms",
            "file": {"directory": "/etc/traefik/dynamic", "watch": True},
            "docker": {
                "endpoint": "tcp://socket_proxy:2375",
                "exposedByDefault": False,
                "network": f"{NAME}_app",
                "constraints": f"Label(`covstack.deployment`,`{NAME}`)",
            },
        },
    }
    if deployment.settings["codecov_tls"]["mode"] == "acme":
        tls = deployment.settings["codecov_tls"]
        configuration["certificatesResolvers"] = {
            "acme": {
                "acme": {"email": tls["acme_email"], "storage": "/acme/acme.json", "caServer": tls["acme_server"], "httpChallenge": {"entryPoint": "public"}}
            }
        }
    if deployment.settings["codecov_edge"]["access_log"]:
        # Upload tokens travel in query strings, and RequestPath carries the query.
        fields = {"names": {"RequestPath": "drop", "RequestLine": "drop"}, "headers": {"defaultMode": "drop"}}
        configuration["accessLog"] = {"format": "json", "fields": fields}
    return configuration


# A request that no other router takes: while no container behind an entry point is well, that is, and Traefik has no router for it. Its own
# answer would be 404, which uploaders take for final; of a service without servers it is 503, which they repeat.
UNAVAILABLE = "unavailable"
# Of two colours: both by their shares, and the one that is tested.
COLOURS, STAGE = "colours", "stage"
COOKIE = "covstack_colour"
PRIORITIES = {UNAVAILABLE: 1, NAME: 2, STAGE: 50, "storage": 100}


def _slot_entry_points(deployment: Deployment) -> t.List[str]:
    return [f"{service}-{slot}" for service, by_slot in deployment.slot_ports().items() for slot in by_slot]


def _entry_points(deployment: Deployment) -> t.List[str]:
    return ["secure"] if deployment.edge_tls else ["public"]


def routes(deployment: Deployment) -> t.Dict[str, t.Any]:
    """Dynamic configuration that does not depend on the active slot."""
    routers: t.Dict[str, t.Any] = {"control": {"entryPoints": ["control"], "rule": "PathPrefix(`/api`)", "service": "api@internal"}}
    routers[UNAVAILABLE] = {
        "entryPoints": [*_entry_points(deployment), *_slot_entry_points(deployment)],
        "rule": "PathPrefix(`/`)",
        "priority": PRIORITIES[UNAVAILABLE],
        "service": UNAVAILABLE,
    }
    services: t.Dict[str, t.Any] = {UNAVAILABLE: {"loadBalancer": {"servers": []}}}
    if deployment.mode("storage") == "embedded":
        bucket = deployment.storage()["bucket"]
        rule = f"Path(`/{bucket}`) || PathPrefix(`/{bucket}/`)"
        routers["storage"] = {"entryPoints": _entry_points(deployment), "rule": rule, "priority": PRIORITIES["storage"], "service": "storage"}
        services["storage"] = {"loadBalancer": {"servers": [{"url": f"http://storage:{deployment.platform['storage'].port}"}]}}
    dynamic: t.Dict[str, t.Any] = {
        "http": {
            "routers": routers,
            "middlewares": {"retry": {"retry": {"attempts": 4, "initialInterval": "50ms"}}},
            "services": services,
        }
    }
    if deployment.settings["codecov_tls"]["mode"] in ("certificate", "self_signed"):
        pair = {"certFile": "/tls/certificate.pem", "keyFile": "/tls/key.pem"}
        dynamic["tls"] = {"options": {"default": {"minVersion": "VersionTLS12"}}, "stores": {"default": {"defaultCertificate": pair}}}
    return dynamic


def active_route(deployment: Deployment, slot: str) -> t.Dict[str, t.Any]:
    """The one router that decides which slot serves the public."""
    return {"http": {"routers": {NAME: _public_router(deployment, _entry_of(deployment, slot))}}}


def _entry_of(deployment: Deployment, slot: str) -> str:
    return f"{deployment.line.entry.name}-{slot}@docker"


def _public_router(deployment: Deployment, service: str) -> t.Dict[str, t.Any]:
    return {
        "entryPoints": _entry_points(deployment),
        "rule": "PathPrefix(`/`)",
        "priority": PRIORITIES[NAME],
        "service": service,
        "middlewares": ["retry"],
    }


def colours_route(deployment: Deployment, change: Change) -> t.Dict[str, t.Any]:
    """The route while two colours are there: shares of the requests, and stage at a host name of its own."""
    whole = len(change.serving) == 1
    routers = {NAME: _public_router(deployment, _entry_of(deployment, change.production) if whole else f"{COLOURS}@file")}
    services = {} if whole else {COLOURS: _shared(deployment, change.after)}
    if change.host and change.stage in change.after:
        tls = {"tls": {"certResolver": "acme"}} if deployment.settings["codecov_tls"]["mode"] == "acme" else {}
        stage = {"rule": f"Host(`{change.host}`)", "priority": PRIORITIES[STAGE], "service": STAGE, **tls}
        routers[STAGE] = {**_public_router(deployment, STAGE), **stage}
        services[STAGE] = {"loadBalancer": {"servers": [{"url": _slot_url(deployment, change.stage)}]}}
    return {"http": {"routers": routers, **({"services": services} if services else {})}}


def _slot_url(deployment: Deployment, slot: str) -> str:
    """A colour as one server: the edge's own entry point of it, which knows the containers and says 503 while none is well."""
    return f"http://127.0.0.1:{deployment.slot_ports()[deployment.line.entry.name][slot]}"


def _shared(deployment: Deployment, shares: t.Mapping[str, int]) -> t.Dict[str, t.Any]:
    """Both colours by their shares. A browser stays with one, whose pages name files that the other does not have; one that is not well gets nothing."""
    probes = deployment.line.probes
    path = next((probe["path"] for probe in probes if "body_regex" in probe), probes[0]["path"])
    return {
        "loadBalancer": {
            "servers": [{"url": _slot_url(deployment, slot), "weight": share} for slot, share in shares.items()],
            "sticky": {"cookie": {"name": COOKIE, "httpOnly": True, "secure": deployment.https, "sameSite": "lax"}},
            "healthCheck": {"path": path, "hostname": deployment.hostname, "followRedirects": False, "interval": "2s", "timeout": "5s"},
        }
    }


def active_header(slot: str, release: str, shares: t.Optional[t.Mapping[str, int]] = None) -> str:
    """First line of the active route's file; codecov_host_info reads it back. While two colours are there, it says their shares."""
    return f"# covstack: slot={slot} release={release}{''.join(f' {name}={share}' for name, share in (shares or {}).items())}\n"
