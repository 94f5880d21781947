# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration of the edge: what is open, where requests go, what it may not say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils._compose import platform_project
from ansible_collections.covstack.selfhosted.plugins.module_utils._edge import active_header, active_route, routes, static_configuration
from ansible_collections.covstack.selfhosted.plugins.module_utils._host_facts import parse_active
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.settings_examples import EXTERNAL, deployment

LINES = ("codecov", "codecov_enterprise")
NO_TLS = {"codecov_url": "http://codecov.example.com:8080", "codecov_tls": {"mode": "disabled"}, "codecov_edge": {"http_port": 8080}}
ACME = {"codecov_tls": {"mode": "acme", "acme_email": "ops@example.com", "certificate": "", "key": ""}}
BEHIND = {"codecov_edge": {"behind_load_balancer": True, "http_port": 8080, "https_port": 8443, "trusted_proxies": ["10.0.0.0/8"]}}
SETTINGS: dict[str, dict[str, Any]] = {"no TLS": NO_TLS, "certificate": {}, "acme": ACME, "behind": BEHIND}
every_setting = pytest.mark.parametrize("over", SETTINGS.values(), ids=SETTINGS)


def entry_points(over: dict[str, Any]) -> dict[str, Any]:
    points: dict[str, Any] = static_configuration(deployment(over))["entryPoints"]
    return points


@every_setting
@pytest.mark.parametrize("line", LINES)
def test_every_entry_point_has_a_port_of_its_own(line: str, over: dict[str, Any]) -> None:
    points = entry_points({**over, "codecov_line": line})
    ports = [point["address"].rpartition(":")[2] for point in points.values()]
    assert len(set(ports)) == len(ports)


@every_setting
def test_the_api_is_on_loopback_and_there_is_no_dashboard(over: dict[str, Any]) -> None:
    configuration = static_configuration(deployment(over))
    assert configuration["api"] == {"dashboard": False, "insecure": False}
    assert configuration["entryPoints"]["control"] == {"address": "127.0.0.1:8082"}
    routers = routes(deployment(over))["http"]["routers"]
    assert [name for name, router in routers.items() if "internal" in router["service"]] == ["control"]
    assert routers["control"]["entryPoints"] == ["control"]


@every_setting
def test_nothing_phones_home_and_nothing_is_exposed_by_itself(over: dict[str, Any]) -> None:
    configuration = static_configuration(deployment(over))
    assert configuration["global"] == {"checkNewVersion": False, "sendAnonymousUsage": False}
    assert configuration["providers"]["docker"]["exposedByDefault"] is False
    assert configuration["providers"]["docker"]["endpoint"] == "tcp://socket_proxy:2375"


def test_a_service_has_only_containers_that_are_healthy() -> None:
    """With allowEmptyServices Traefik 3.7 lists an unhealthy container as a server without an address, and answers 500 for it."""
    assert "allowEmptyServices" not in static_configuration(deployment())["providers"]["docker"]


def test_without_tls_the_one_public_entry_point_serves() -> None:
    assert set(entry_points(NO_TLS)) & {"public", "secure"} == {"public"}
    assert entry_points(NO_TLS)["public"]["address"] == ":8080"
    assert "http" not in entry_points(NO_TLS)["public"]
    assert routes(deployment(NO_TLS))["http"]["routers"]["storage"]["entryPoints"] == ["public"]


@pytest.mark.parametrize("over", [{}, ACME, {"codecov_tls": {"mode": "self_signed"}}])
def test_with_tls_http_is_only_redirected(over: dict[str, Any]) -> None:
    points = entry_points(over)
    assert points["public"]["http"]["redirections"]["entryPoint"] == {"to": "secure", "scheme": "https", "permanent": True}
    assert "tls" in points["secure"]["http"]
    joined = deployment(over)
    public = {**routes(joined)["http"]["routers"], **active_route(joined, "blue")["http"]["routers"]}
    assert {entry for name, router in public.items() if name != "control" for entry in router["entryPoints"]} & {"public", "secure"} == {"secure"}


def test_behind_a_load_balancer_the_redirect_goes_to_the_public_port() -> None:
    assert entry_points(BEHIND)["public"]["http"]["redirections"]["entryPoint"]["to"] == ":443"
    assert entry_points(BEHIND)["secure"]["forwardedHeaders"] == {"trustedIPs": ["10.0.0.0/8"]}


@every_setting
def test_forwarded_headers_are_believed_only_when_asked(over: dict[str, Any]) -> None:
    trusted = [name for name, point in entry_points(over).items() if "forwardedHeaders" in point]
    assert trusted == (["public", "secure"] if over is BEHIND else [])
    assert "insecure" not in json.dumps(entry_points(over))


@pytest.mark.parametrize(("over", "has_pair"), [({}, True), ({"codecov_tls": {"mode": "self_signed"}}, True), (ACME, False), (NO_TLS, False)])
def test_certificates_of_files_need_tls_12(over: dict[str, Any], has_pair: bool) -> None:
    dynamic = routes(deployment(over))
    assert ("tls" in dynamic) == has_pair
    if has_pair:
        assert dynamic["tls"]["options"]["default"]["minVersion"] == "VersionTLS12"


def test_acme_names_account_authority_and_challenge() -> None:
    acme = static_configuration(deployment(ACME))["certificatesResolvers"]["acme"]["acme"]
    assert acme["email"] == "ops@example.com"
    assert acme["httpChallenge"] == {"entryPoint": "public"}
    assert entry_points(ACME)["secure"]["http"]["tls"] == {"certResolver": "acme", "domains": [{"main": "codecov.example.com"}]}
    assert "certificatesResolvers" not in static_configuration(deployment())


def test_the_account_of_acme_is_kept_on_the_host() -> None:
    joined = deployment(ACME)
    storage = static_configuration(joined)["certificatesResolvers"]["acme"]["acme"]["storage"]
    volumes = platform_project(joined, {})["services"]["edge"]["volumes"]
    assert [volume["source"] for volume in volumes if storage.startswith(volume["target"] + "/")] == ["/opt/codecov/tls/acme"]


def test_no_log_has_upload_tokens() -> None:
    assert "accessLog" not in static_configuration(deployment())
    log = static_configuration(deployment({"codecov_edge": {"access_log": True}}))["accessLog"]
    assert log["fields"]["names"]["RequestPath"] == "drop"
    assert log["fields"]["headers"] == {"defaultMode": "drop"}


def test_the_bucket_is_served_under_its_own_path_only() -> None:
    router = routes(deployment({"codecov_storage": {"bucket": "reports"}}))["http"]["routers"]["storage"]
    assert router["rule"] == "Path(`/reports`) || PathPrefix(`/reports/`)"
    assert router["priority"] > active_route(deployment(), "blue")["http"]["routers"]["codecov"]["priority"]


@pytest.mark.parametrize(("provider", "port"), [("seaweedfs", 8333), ("minio", 9000)])
def test_the_bucket_leads_to_the_embedded_storage(provider: str, port: int) -> None:
    services = routes(deployment({"codecov_storage": {"provider": provider}}))["http"]["services"]
    assert services["storage"]["loadBalancer"]["servers"] == [{"url": f"http://storage:{port}"}]


def test_external_storage_is_not_served() -> None:
    dynamic = routes(deployment(base=EXTERNAL))["http"]
    assert set(dynamic["services"]) == {"unavailable"}
    assert set(dynamic["routers"]) == {"control", "unavailable"}


def test_what_no_container_serves_is_unavailable_and_not_missing() -> None:
    """Wherever requests for the application arrive; a router of the application always comes first."""
    joined = deployment()
    dynamic = routes(joined)["http"]
    router = dynamic["routers"]["unavailable"]
    entry_points = static_configuration(joined)["entryPoints"]
    assert set(router["entryPoints"]) == set(entry_points) - {"public", "control", "metrics"}
    assert router["priority"] < active_route(joined, "blue")["http"]["routers"]["codecov"]["priority"]
    assert router["priority"] < len(router["rule"]), "the priority of the containers' routers, which have the same rule"
    assert dynamic["services"][router["service"]] == {"loadBalancer": {"servers": []}}


def test_a_redirected_port_stays_a_redirection() -> None:
    joined = deployment({"codecov_tls": {"mode": "self_signed"}})
    assert "public" not in routes(joined)["http"]["routers"]["unavailable"]["entryPoints"]


@pytest.mark.parametrize(("line", "entry"), [("codecov", "gateway"), ("codecov_enterprise", "web")])
@pytest.mark.parametrize("slot", ["blue", "green"])
def test_the_active_route_leads_to_the_entry_of_its_slot(line: str, entry: str, slot: str) -> None:
    router = active_route(deployment({"codecov_line": line}), slot)["http"]["routers"]["codecov"]
    assert router["service"] == f"{entry}-{slot}@docker"
    assert router["rule"] == "PathPrefix(`/`)"


def test_what_the_active_route_says_is_read_back() -> None:
    assert parse_active(active_header("green", "0123abcd") + "http: {}\n") == {"slot": "green", "release": "0123abcd"}


def test_entry_points_of_slots_are_those_of_the_labels() -> None:
    joined = deployment()
    points = entry_points({})
    for service, by_slot in joined.slot_ports().items():
        for slot, port in by_slot.items():
            assert points[f"{service}-{slot}"]["address"] == f":{port}"
