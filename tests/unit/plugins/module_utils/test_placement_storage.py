# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replicated storage: three storage hosts or more that hold the same reports."""

from __future__ import annotations

import configparser
import pathlib
import re
from typing import Any

import pytest
import yaml
from ansible_collections.covstack.selfhosted.plugins.module_utils import _placement_rules, _plan, _rules
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import Deployment
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem
from ansible_collections.covstack.selfhosted.plugins.module_utils._secrets import references
from ansible_collections.covstack.selfhosted.plugins.module_utils._sizing import host_problems
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.settings_examples import SECRET, merged
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.test_placement import GOLDEN, split_deployment

THREE: dict[str, Any] = {"groups": {"storage": ["st1", "st2", "st3"]}}
FIVE: dict[str, Any] = {"groups": {"storage": ["st1", "st2", "st3", "st4", "st5"]}}
POSTGRES: dict[str, Any] = {
    "codecov_postgres": {"mode": "external", "host": "db.example.com", "sslmode": "require"},
    "codecov_secrets": {"postgres_password": SECRET, "storage_database_password": SECRET},
}
PLACEHOLDER = re.compile(r"(?<!\$)\{([a-z_]+)\}")


def deployment(host: str = "st2", case: dict[str, Any] | None = None) -> Deployment:
    return split_deployment(host, case or THREE)


def storage(host: str = "st2", case: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """The service as Compose gets it, and the files of the host."""
    files = {path: file["content"] for path, file in _plan.plan_of(deployment(host, case))["files"].items()}
    return yaml.safe_load(files["platform/compose.yml"])["services"]["storage"], files


def address(host: str, case: dict[str, Any] | None = None) -> str:
    found = deployment(case=case).placement.host(host)
    assert found
    return found.address


def problems_of(case: dict[str, Any]) -> list[Problem]:
    joined = deployment("st1", case)
    return [*_placement_rules.placement_problems(joined), *_rules.problems_of(joined, [])]


@pytest.mark.parametrize(("case", "wanted"), [({}, False), (THREE, True), (FIVE, True)], ids=["one", "three", "five"])
def test_three_hosts_or_more_hold_the_same_reports(case: dict[str, Any], wanted: bool) -> None:
    joined = split_deployment("st1", case)
    assert joined.replicates_storage is wanted
    assert bool(joined.storage_values()) is wanted


def test_one_host_is_what_it_always_was() -> None:
    service, files = storage("st1", {"groups": {}})
    assert service["command"][0] == "server" and "-master.peers=none" in service["command"]
    assert len(service["ports"]) == 1 and "sysctls" not in service
    assert service["volumes"][-1]["source"] == "storage"
    assert not [path for path in files if path.startswith("storage/")]


def test_three_are_masters_and_the_others_are_not() -> None:
    masters = f"-master.peers={','.join(address(name, FIVE) + ':9333' for name in ('st1', 'st2', 'st3'))}"
    voting = {}
    for host in FIVE["groups"]["storage"]:
        service, _files = storage(host, FIVE)
        assert masters in service["command"] and f"-ip={address(host, FIVE)}" in service["command"]
        voting[host] = "-master=true" in service["command"]
        assert ("9333/cluster/healthz" in service["healthcheck"]["test"][-1]) is voting[host]
    assert voting == {"st1": True, "st2": True, "st3": True, "st4": False, "st5": False}


def test_nothing_is_left_to_fill_in() -> None:
    service, files = storage()
    plan = _plan.plan_of(deployment("st1"))
    texts = [*service["command"], *service["healthcheck"]["test"], *files.values(), *plan["bucket_command"], *plan["storage_others_joined"]]
    assert [text for text in texts if PLACEHOLDER.search(text)] == []


def test_every_component_authenticates_by_the_certificate() -> None:
    _service, files = storage()
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(files["storage/security.toml"])
    names = {parser[f"grpc.{part}"]["allowed_commonNames"] for part in ("master", "volume", "filer", "s3")}
    assert names == {'"embedded-storage-peers"'}  # what the format certificate makes of the secret's name
    assert {parser[f"grpc.{part}"]["key"] for part in ("master", "volume", "filer", "s3", "client")} == {parser["grpc"]["ca"]}
    keys = [parser[section]["key"] for section in ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")]
    assert len(set(keys)) == 4 and all(references(key) for key in keys)


def test_all_secrets_are_generated_and_only_hosts_that_need_them_get_them() -> None:
    generated = {secret["name"] for secret in deployment().required_secrets()}
    by_host = {host: set(_plan.plan_of(deployment(host))["placement"]["secrets"]) for host in ("st1", "st2", "st3", "db1", "lb1")}
    own = {name for name in generated if name.startswith("embedded_storage_")}
    assert len(own) == 8
    assert by_host["st1"] == by_host["st2"] == by_host["st3"] == own
    assert by_host["db1"] == {"embedded_postgres_password", "embedded_redis_password", "embedded_storage_database_password"}
    assert by_host["lb1"] == set()


def test_one_host_makes_the_bucket_and_the_data_host_the_database() -> None:
    plans = {host: _plan.plan_of(deployment(host)) for host in ("st1", "st2", "st3", "db1", "app1")}
    assert [host for host, plan in plans.items() if plan["bucket_command"]] == ["st1"]
    assert [host for host, plan in plans.items() if plan["storage_database"]] == ["db1"]
    file = plans["db1"]["files"][plans["db1"]["storage_database"]["file"]]
    assert file["mode"] == "0400" and list(references(file["content"])) == ["embedded_storage_database_password"]


def test_storage_starts_after_postgresql_and_balancers_ask_for_more_than_an_open_port() -> None:
    assert _plan.plan_of(deployment())["platform"]["later"] == ["storage"]
    assert _plan.plan_of(deployment("db1"))["platform"]["later"] == []
    assert _plan.plan_of(split_deployment("st1"))["platform"]["later"] == []
    plan = _plan.plan_of(deployment("lb1"))["placement"]
    assert plan["storage_check"] == {"port": 8888, "path": "/healthz"}
    assert [(host["name"], host["port"]) for host in plan["storage"]] == [("st1", 8333), ("st2", 8333), ("st3", 8333)]
    assert plan["servers"] == ["web/app1", "web/app2", "storage/st1", "storage/st2", "storage/st3"]
    assert _plan.plan_of(split_deployment("lb1"))["placement"]["storage_check"] == {}


def test_a_host_is_changed_only_while_all_others_take_part() -> None:
    question = _plan.plan_of(deployment("st2", FIVE))["storage_others_joined"][-1]
    others = " ".join(address(name, FIVE) for name in ("st1", "st3", "st4", "st5"))
    assert f"for other in {others}; do" in question
    for other in (deployment("db1"), split_deployment("st1")):
        assert _plan.plan_of(other)["storage_others_joined"] is _plan.plan_of(other)["storage_leads"] is None


def test_storage_hosts_publish_what_the_others_call_and_preflight_looks_for_who_holds_it() -> None:
    service, _files = storage()
    ports = [int(port.rpartition(":")[2]) for port in service["ports"]]
    assert sorted(ports) == [8333, 8888, 9333, 9334, 18333, 18888, 19333, 19334]
    assert sorted(_plan.needs_of(deployment())["ports"]) == sorted(ports)
    held = {"ports": {"18888": {"held": True, "ours": False, "by": "jupyter"}}}
    error, = (problem for problem in host_problems(deployment(), held) if problem.is_error)
    assert "port 18888 is held by jupyter" in str(error)


@pytest.mark.parametrize(("case", "volume"), [(THREE, "codecov_storage"), ({}, "codecov_storage_replicated")], ids=["to several", "to one"])
def test_reports_of_another_kind_of_storage_are_not_lost_from_sight(case: dict[str, Any], volume: str) -> None:
    joined = split_deployment("st1", case)
    assert _plan.needs_of(joined)["volume_files"] == {volume: "vol_dir.uuid"}
    assert host_problems(joined, {"volume_files": {volume: None}}) == []
    error, = host_problems(joined, {"volume_files": {volume: "5d3f9f4c"}})
    assert error.is_error and f"docker volume rm {volume}" in str(error)


def test_a_single_host_is_asked_for_no_other_volume() -> None:
    assert "codecov_storage_replicated" not in _plan.needs_of(split_deployment("db1"))["volume_files"]


def test_two_hosts_are_refused_also_without_high_availability() -> None:
    for wanted in (True, False):
        case = {"groups": {"storage": ["st1", "st2"]}, "set": {"codecov_high_availability": wanted}}
        error, = (problem for problem in problems_of(case) if problem.is_error)
        assert "st1, st2 stop when either of them is gone" in str(error)


def test_embedded_postgresql_is_said_to_be_what_storage_depends_on() -> None:
    said = [str(problem) for problem in problems_of(THREE) if problem.path == "codecov_storage.mode"]
    assert len(said) == 1 and "stands in PostgreSQL on db1" in said[0]


def test_external_postgresql_holds_a_database_of_its_own_for_storage() -> None:
    case = {**THREE, "set": POSTGRES}
    assert [str(problem) for problem in problems_of(case) if problem.is_error] == []
    _service, files = storage(case=case)
    for line in ('hostname = "db.example.com"', "port = 5432", 'sslmode = "require"', 'password = "${secret:storage_database_password}"'):
        assert line in files["storage/filer.toml"]
    assert "embedded_storage_database_password" not in {secret["name"] for secret in deployment(case=case).required_secrets()}


@pytest.mark.parametrize(("over", "path", "says"), [
    ({"codecov_secrets": {"storage_database_password": None}}, "codecov_secrets.storage_database_password", "the password of the user seaweedfs"),
    ({"codecov_secrets": {"storage_database_password": "two words here"}}, "codecov_secrets.storage_database_password", "has a character"),
    ({"codecov_postgres": {"sslmode": "verify-full"}}, "codecov_postgres.sslmode", "no file with the authority"),
])
def test_what_external_postgresql_lacks_is_said(over: dict[str, Any], path: str, says: str) -> None:
    case = {**THREE, "set": merged({**POSTGRES, "codecov_tls": {"extra_ca_files": ["ca.pem"]}}, over)}
    error, = (problem for problem in problems_of(case) if problem.is_error)
    assert error.path == path and says in str(error)


def test_rendering_is_as_reviewed() -> None:
    service, files = storage("st1")
    configured = {path: files[path] for path in sorted(files) if path.startswith("storage/")}
    text = yaml.safe_dump({"service": service, "files": configured, "database": storage_database()}, sort_keys=True, width=160)
    file = GOLDEN / "split_storage_replicated.yml"
    assert text == file.read_text("utf-8"), f"write {file} again if this is wanted"


def storage_database() -> dict[str, str]:
    plan = _plan.plan_of(deployment("db1"))
    return {plan["storage_database"]["file"]: plan["files"][plan["storage_database"]["file"]]["content"]}


def test_the_page_says_what_operators_of_postgresql_run() -> None:
    page = (pathlib.Path(__file__).parents[4] / "docs" / "storage_cluster.md").read_text("utf-8")
    for words in ("CREATE ROLE seaweedfs LOGIN", "CREATE DATABASE seaweedfs OWNER seaweedfs", "storage_database_password"):
        assert words in page
