# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every deployment that a cluster cannot carry has its one problem: one line that names the setting, what is wrong and the way out."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
import yaml
from ansible_collections.covstack.selfhosted.plugins.module_utils import _cluster_quota, _kubernetes_rules, _rules, _settings
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import deployment_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._kubernetes import values_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._placement import Host, Placement
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.settings_examples import EMBEDDED, EXTERNAL, SECRET, cluster, merged
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.test_rules import SPEC, _settings_of
from hypothesis import HealthCheck, event, settings
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

TABLE: list[dict[str, Any]] = yaml.safe_load((pathlib.Path(__file__).parent / "bad_clusters.yml").read_text("utf-8"))
WITH_CERTIFICATE = {"codecov_kubernetes": {"ingress": {"tls_secret": "codecov-tls"}}}
CLUSTER = {
    "version": "v1.34.2",
    "api_groups": ["apps", "metrics.k8s.io"],
    "storage_classes": {"standard": True},
    "ingress_classes": ["nginx"],
    "permissions": {"create deployments.apps": True},
    "quotas": [],
    "namespace_exists": True,
    "named": {"Secret/codecov-tls": ["tls.crt", "tls.key"]},
    "names": {},
    "release": None,
    "helm_version": "3.19.0",
    "kubernetes_core": "6.2.0",
}


def problems_of(given: dict[str, Any], base: dict[str, Any], seen: dict[str, Any]) -> list[Problem]:
    deployment = cluster(merged(WITH_CERTIFICATE, given), base)
    problems = [*_rules.problems_of(deployment, []), *_kubernetes_rules.settings_problems(deployment)]
    if any(problem.is_error for problem in problems):
        return problems
    there = {**CLUSTER, **seen}
    found = [*_kubernetes_rules.cluster_problems(deployment, there), *_cluster_quota.problems({"values": values_of(deployment)}, there)]
    return [*problems, *found]


def split(problems: list[Problem]) -> tuple[list[Problem], list[Problem]]:
    errors = [problem for problem in problems if problem.is_error]
    return errors, [problem for problem in problems if not problem.is_error and "in one pod each" not in problem.message]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case["name"])
def test_bad_cluster_has_one_clear_problem(case: dict[str, Any]) -> None:
    problems = problems_of(case.get("set", {}), EXTERNAL if case.get("external") else EMBEDDED, case.get("cluster", {}))
    errors, warnings = split(problems)
    assert [problem.path for problem in errors] == ([case["error"]] if "error" in case else []), errors
    if "warning" in case:
        assert [problem.path for problem in warnings] == [case["warning"]], warnings
    [line] = [str(problem) for problem in errors or warnings]
    assert case["says"] in line
    assert " -> " in line and len(line.splitlines()) == 1
    assert SECRET not in line


def test_what_rollback_goes_to_is_the_number_of_a_revision() -> None:
    errors, _warnings = split(problems_of({"codecov_release": "3"}, EMBEDDED, {}))
    assert errors == []


@pytest.mark.parametrize("base", [EMBEDDED, EXTERNAL], ids=["embedded", "external"])
@pytest.mark.parametrize("line", ["codecov", "codecov_enterprise"])
def test_good_settings_are_good(base: dict[str, Any], line: str) -> None:
    assert split(problems_of({"codecov_line": line}, base, {})) == ([], [])


def test_embedded_data_are_said_to_be_for_trials() -> None:
    assert any("in one pod each" in problem.message for problem in problems_of({}, EMBEDDED, {}))


NAMES = (
    "enterprise_license", "encryption_secret", "yaml_secret", "cookie_secret", "django_secret_key", "github_webhook_secret", "storage_hash_key",
    "postgres_password", "redis_password", "storage_access_key", "storage_secret_key", "github_client_secret",
)  # fmt: skip
EXTERNAL_SECRETS = {"source": "external_secrets", "store": "vault", "keys": dict.fromkeys(NAMES, "codecov")}
EXISTING = {"source": "existing", "name": "ours"}
WRITTEN_OUT = {"setup": {"http": {"cookie_secret": "written-out-by-somebody"}}}


@pytest.mark.parametrize(
    ("secrets", "given", "path", "says"),
    [
        (EXISTING, {"codecov_config_group": {"setup": {"guest_access": False}}}, "codecov_config_group", "has no effect"),
        (EXISTING, {"codecov_config_file": "codecov.yml"}, "codecov_config_file", "has no effect"),
        (EXTERNAL_SECRETS, {"codecov_config_file": "codecov.yml"}, "codecov_config_file", "move what is in it to codecov_config_group"),
        (EXTERNAL_SECRETS, {"codecov_config_group": WRITTEN_OUT}, "codecov_config_group", "write ${secret:NAME}"),
        (EXTERNAL_SECRETS, {"codecov_config_group": {"setup": {"guest_access": False}}}, "", ""),
    ],
    ids=["group, and a finished file", "file, and a finished file", "file that the operator does not get", "secret in Helm's values", "group"],
)
def test_what_codecov_yml_would_not_get_is_refused(secrets: dict[str, Any], given: dict[str, Any], path: str, says: str) -> None:
    wanted = {**given, "codecov_secrets": {}, "codecov_kubernetes": {"secrets": secrets}}
    seen = {"api_groups": [*CLUSTER["api_groups"], "external-secrets.io"]}
    errors, _warnings = split(problems_of(wanted, {**EXTERNAL, "codecov_secrets": {}}, seen))
    assert [problem.path for problem in errors] == ([path] if path else [])
    assert says in "".join(map(str, errors)) and "written-out" not in "".join(map(str, errors))


def test_secrets_of_a_store_are_not_asked_for_again() -> None:
    given = {"codecov_secrets": {}, "codecov_kubernetes": {"secrets": EXTERNAL_SECRETS}}
    without = {**EXTERNAL, "codecov_secrets": {}}
    seen = {"api_groups": [*CLUSTER["api_groups"], "external-secrets.io"]}
    assert split(problems_of(given, without, seen)) == ([], [])
    content = values_of(cluster(given, without))["config"]["content"]
    assert content["services"]["redis_url"] == "redis://:${secret:redis_password}@redis.example.com:6379/0"


def test_what_is_not_known_is_not_judged() -> None:
    unknown = {"storage_classes": None, "ingress_classes": None, "permissions": {}, "named": {"Secret/codecov-tls": None}}
    assert split(problems_of({}, EMBEDDED, unknown))[0] == []


@pytest.mark.parametrize("ingress", [{"issuer": "letsencrypt"}, {"annotations": {"cert-manager.io/issuer": "ours"}}], ids=["issuer", "annotation"])
def test_a_certificate_that_is_issued_need_not_be_there(ingress: dict[str, Any]) -> None:
    seen = {"named": {}, "api_groups": [*CLUSTER["api_groups"], "cert-manager.io"]}
    assert split(problems_of({"codecov_kubernetes": {"ingress": ingress}}, EMBEDDED, seen))[0] == []


@pytest.mark.parametrize(
    ("hosts", "says"),
    [((Host("one"), Host("two")), "same release"), ((Host("one", kinds=("web",)),), "split deployment")],
    ids=["two hosts", "a split deployment"],
)
def test_one_host_stands_for_one_cluster(hosts: tuple[Host, ...], says: str) -> None:
    deployment = deployment_of(cluster().settings, Placement(hosts, is_cluster=True), hosts[0].name)
    [problem] = [problem for problem in _kubernetes_rules.settings_problems(deployment) if problem.path == "inventory"]
    assert says in str(problem)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@hypothesis_given(st.booleans(), _settings_of(SPEC))
def test_rules_judge_whatever_is_given_and_what_they_pass_can_be_rendered(external: bool, over: dict[str, Any]) -> None:
    problems: list[Problem] = []
    checked = _settings.check(merged(EXTERNAL if external else EMBEDDED, over), SPEC, problems)
    if problems:
        return
    deployment = deployment_of(checked, Placement((Host("cluster"),), is_cluster=True))
    problems = [*_rules.problems_of(deployment, []), *_kubernetes_rules.settings_problems(deployment)]
    assert all(len(str(problem).splitlines()) == 1 and problem.path and problem.message and problem.way_out for problem in problems)
    refused = any(problem.is_error for problem in problems)
    event("refused" if refused else "passed")
    if not refused:
        rendered = values_of(deployment)
        assert json.loads(json.dumps(rendered)) == rendered
