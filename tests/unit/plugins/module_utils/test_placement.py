# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments that are split over hosts: which placements are refused, and what each kind of host runs."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import yaml
from ansible_collections.covstack.selfhosted.plugins.filter.codecov_placement import codecov_placement
from ansible_collections.covstack.selfhosted.plugins.module_utils import _placement_rules, _plan, _rules, _settings
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import Deployment, deployment_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._placement import KINDS, Host, Placement, placement_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem
from ansible_collections.covstack.selfhosted.plugins.module_utils._sizing import host_problems
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.settings_examples import EMBEDDED, EXTERNAL, SECRET, merged

TABLE: list[dict[str, Any]] = yaml.safe_load((pathlib.Path(__file__).parents[2] / "bad_placements.yml").read_text("utf-8"))
GOLDEN = pathlib.Path(__file__).parent / "golden"
GROUPS = {"load_balancers": ["lb1", "lb2"], "web": ["app1", "app2"], "worker": ["app1", "app2"], "storage": ["st1"], "data": ["db1"]}
VIRTUAL_ADDRESS = {"codecov_virtual_address": "192.0.2.100"}


def placement(groups: dict[str, list[str]], hosts: dict[str, dict[str, Any]]) -> Placement:
    names = list(dict.fromkeys(name for members in groups.values() for name in members))
    common = dict.fromkeys(_placement_rules.COMMON_SETTINGS)
    placed = []
    for number, name in enumerate(sorted(names, key=lambda name: name != "lb1")):
        over = hosts.get(name, {})
        own = tuple(group for group, members in groups.items() if name in members)
        address = {"app1": "192.0.2.1"}.get(name, f"192.0.2.{number + 10}")
        placed.append(Host(name, over.get("address", address), groups=own, common={**common, **over.get("common", {})}))
    return placement_of(placed, groups)


def split_deployment(host: str = "app1", case: dict[str, Any] | None = None) -> Deployment:
    case = case or {}
    groups = {**GROUPS, **case.get("groups", {})}
    problems: list[Problem] = []
    settings = _settings.check(merged(merged(EMBEDDED, VIRTUAL_ADDRESS), case.get("set", {})), _settings.load_spec(), problems)
    assert problems == []
    return deployment_of(settings, placement(groups, case.get("hosts", {})), host)


def problems_of(case: dict[str, Any]) -> list[Problem]:
    deployment = split_deployment(case=case)
    problems = _placement_rules.placement_problems(deployment)
    return problems if any(problem.is_error for problem in problems) else problems + _rules.problems_of(deployment, [])


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value is not None else []


def test_the_table_has_no_double() -> None:
    names = [case["name"] for case in TABLE]
    assert len(set(names)) == len(names) >= 40


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case["name"])
def test_a_bad_placement_has_one_clear_line(case: dict[str, Any]) -> None:
    errors = [problem for problem in problems_of(case) if problem.is_error]
    assert sorted(error.path for error in errors) == sorted(as_list(case.get("error"))), errors
    lines = [str(error) for error in errors]
    assert not case.get("says") or any(case["says"] in line for line in lines), lines
    for line in lines:
        assert " -> " in line
        assert len(line.splitlines()) == 1
        assert SECRET not in line


def test_single_hosts_of_data_and_storage_are_said_to_be_single() -> None:
    warnings = [problem for problem in problems_of({}) if not problem.is_error]
    assert [problem.path for problem in warnings] == ["codecov_postgres.mode", "codecov_storage.mode"]
    assert all("alone" in problem.message for problem in warnings)


def test_without_groups_of_kinds_nothing_is_split() -> None:
    hosts = [Host("one", "192.0.2.1")]
    assert not placement_of(hosts, {"codecov": ["one"], "database": ["one"]}).is_split
    assert placement_of(hosts, {"codecov": ["one"], "data": ["one"]}).is_split


def test_the_keeper_is_the_first_web_host_and_workers_come_last() -> None:
    placed = split_deployment(case={"groups": {"web": ["b", "a"], "worker": ["c", "a"]}}).placement
    names = [host.name for host in placed.application]
    assert placed.keeper is not None and placed.keeper.name == names[0]
    assert names[-1] == "c" and set(names) == {"a", "b", "c"}


RUNS = {
    "lb1": (set(), set()),
    "app1": ({"statsd"}, {"gateway", "frontend", "api", "worker", "migrate", "readiness"}),
    "web1": ({"statsd"}, {"gateway", "frontend", "api", "migrate", "readiness"}),
    "work1": ({"statsd"}, {"worker"}),
    "st1": ({"storage"}, set()),
    "db1": ({"postgres", "redis"}, set()),
}
WIDE = {"groups": {**GROUPS, "web": ["app1", "web1"], "worker": ["app1", "work1"]}}


def projects(host: str, case: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    plan = _plan.plan_of(split_deployment(host, case or WIDE))
    return yaml.safe_load(plan["files"]["platform/compose.yml"]["content"]), yaml.safe_load(plan["application"]["compose"])


@pytest.mark.parametrize(("host", "services"), RUNS.items())
def test_each_host_runs_what_belongs_to_its_kinds(host: str, services: tuple[set[str], set[str]]) -> None:
    platform, application = projects(host)
    assert (set(platform["services"]), set(application["services"])) == services


@pytest.mark.parametrize("host", RUNS)
def test_the_bundle_of_authorities_is_looked_for_where_it_is_written(host: str) -> None:
    tls = {"mode": "certificate", "certificate": "c.pem", "key": "k.pem", "extra_ca_files": ["ca.pem"]}
    own = {**WIDE, "set": {"codecov_url": "https://codecov.example.com", "codecov_tls": tls}}
    _platform, services = RUNS[host]
    assert _plan.plan_of(split_deployment(host, own))["own_ca"] == bool(services)


def test_there_is_no_edge_and_nobody_sees_the_docker_socket() -> None:
    for host in RUNS:
        text = str(projects(host))
        assert "traefik" not in text
        assert "docker.sock" not in text


@pytest.mark.parametrize("host", RUNS)
def test_ports_are_published_on_the_hosts_own_address(host: str) -> None:
    deployment = split_deployment(host, WIDE)
    platform, application = projects(host)
    ports = {name: service["ports"] for name, service in {**platform["services"], **application["services"]}.items() if "ports" in service}
    for name, published in ports.items():
        address = "${ADDRESS}" if name in application["services"] else deployment.host.address
        assert [port.rpartition(":")[0].rpartition(":")[0] for port in published] == [address]
    assert set(ports) <= {"gateway", "readiness", "postgres", "redis", "storage"}


def test_the_gateway_calls_fixed_addresses() -> None:
    _platform, application = projects("app1")
    services = application["services"]
    environment = services["gateway"]["environment"]
    assert environment["CODECOV_API_HOST"] == services["api"]["networks"]["app"]["ipv4_address"]
    assert environment["CODECOV_DEFAULT_HOST"] == services["frontend"]["networks"]["app"]["ipv4_address"]
    assert (environment["CODECOV_API_PORT"], environment["CODECOV_DEFAULT_PORT"]) == ("8000", "8080")
    assert services["api"]["networks"]["app"]["ipv4_address"] != services["frontend"]["networks"]["app"]["ipv4_address"]
    # A container that is started beside the api must not take its address.
    assert services["migrate"]["networks"] == services["readiness"]["networks"] == ["app"]


def test_a_release_has_one_name_on_all_hosts_that_a_change_changes() -> None:
    names = {_plan.plan_of(split_deployment(host, WIDE))["application"]["digest"] for host in RUNS}
    changed = {**WIDE, "set": {"codecov_versions": {"api": "26.6.11", "worker": "26.6.11"}}}
    assert len(names) == 1
    assert _plan.plan_of(split_deployment("work1", changed))["application"]["digest"] not in names


def test_all_hosts_have_one_codecov_yml_that_names_the_data_host() -> None:
    plans = [_plan.plan_of(split_deployment(host, WIDE)) for host in RUNS]
    assert all(plan["config"]["layers"] == plans[0]["config"]["layers"] for plan in plans)
    deployment = split_deployment("app1", WIDE)
    address = deployment.placement.of_kind("data")[0].address
    values = deployment.values()
    assert values["database_url"] == f"postgresql://codecov:${{secret:embedded_postgres_password}}@{address}:5432/codecov"
    assert values["redis_url"] == f"redis://:${{secret:embedded_redis_password}}@{address}:6379/0"
    assert values["storage_host"] == "codecov.example.com"


def test_hosts_get_no_secret_that_they_do_not_need() -> None:
    secrets = {host: _plan.plan_of(split_deployment(host, WIDE))["placement"]["secrets"] for host in RUNS}
    assert secrets["lb1"] == []
    assert secrets["db1"] == ["embedded_postgres_password", "embedded_redis_password"]
    assert secrets["st1"] == ["embedded_storage_access_key", "embedded_storage_secret_key"]


def test_only_the_keeper_asks_through_the_public_url() -> None:
    asking = [host for host in RUNS if _plan.plan_of(split_deployment(host, WIDE))["health"]["probes"]]
    assert asking == ["app1"]


def test_a_host_too_small_for_the_stated_rate_is_refused() -> None:
    small = {"cpus": 2, "memory_mb": 8000}
    deployment = split_deployment("app1", {"set": {"codecov_sizing": {"reports_per_minute": 20}, "codecov_resources": {"limits": False}}})
    errors = [problem for problem in host_problems(deployment, small) if problem.is_error]
    assert [error.path for error in errors] == ["codecov_sizing.reports_per_minute"]
    assert "2 CPUs instead of 8" in errors[0].message


def test_external_services_are_asked_by_hosts_of_the_application_alone() -> None:
    problems: list[Problem] = []
    settings = _settings.check(merged(EXTERNAL, VIRTUAL_ADDRESS), _settings.load_spec(), problems)
    groups = {"load_balancers": ["lb1", "lb2"], "web": ["app1", "app2"], "worker": ["app1", "app2"]}
    placed = placement(groups, {})
    assert [str(problem) for problem in _placement_rules.placement_problems(deployment_of(settings, placed, "lb1"))] == []
    assert _plan.plan_of(deployment_of(settings, placed, "app1"))["external_check"] is not None
    assert _plan.plan_of(deployment_of(settings, placed, "lb1"))["external_check"] is None


@pytest.mark.parametrize("kind", ["web", "worker", "storage", "data"])
def test_rendering_is_as_reviewed(kind: str) -> None:
    host = {"web": "web1", "worker": "work1", "storage": "st1", "data": "db1"}[kind]
    platform, application = projects(host)
    text = yaml.safe_dump({"platform": outline(platform), "application": outline(application)}, sort_keys=True, width=120)
    file = GOLDEN / f"split_{kind}.yml"
    assert text == file.read_text("utf-8"), f"write {file} again if this is wanted"


def outline(project: dict[str, Any]) -> dict[str, Any]:
    """What differs from one host for everything: who is there, where it listens and what it calls."""
    kept = ("networks", "ports", "depends_on")
    services = {
        name: {
            **{key: service[key] for key in kept if key in service},
            "hosts": {key: value for key, value in (service.get("environment") or {}).items() if key.endswith(("_HOST", "_PORT"))},
        }
        for name, service in project["services"].items()
    }
    return {"networks": project["networks"], "services": services}


def test_every_kind_is_known() -> None:
    assert set(GROUPS) == set(KINDS)


@pytest.mark.parametrize(
    ("groups", "way"),
    [
        ({}, "one_host"),
        ({"codecov": ["a"]}, "one_host"),
        ({"codecov": ["a"], "web": ["somebody-elses"], "kubernetes": ["somebody-elses"]}, "one_host"),
        ({"codecov": ["a", "b"], "web": ["a"]}, "split"),
        ({"codecov": ["a", "b"], "load_balancers": ["b"]}, "split"),
        ({"codecov": ["a"], "kubernetes": ["a"]}, "cluster"),
    ],
)
def test_which_way_the_groups_ask_for(groups: dict[str, list[str]], way: str) -> None:
    assert codecov_placement(groups) == way
