# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every bad setting has exactly its one problem: one line that names the setting, what is wrong and the way out."""

from __future__ import annotations

import functools
import json
import pathlib
from typing import Any

import pytest
import yaml
from ansible_collections.covstack.selfhosted.plugins.module_utils import _rules, _settings
from ansible_collections.covstack.selfhosted.plugins.module_utils._catalogue import load_line, load_platform
from ansible_collections.covstack.selfhosted.plugins.module_utils._compose import application_project, platform_project, slot_environment
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import Deployment, deployment_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._edge import routes, static_configuration
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.settings_examples import EMBEDDED, EXTERNAL, SECRET, merged
from hypothesis import HealthCheck, event, settings
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

TABLE: list[dict[str, Any]] = yaml.safe_load((pathlib.Path(__file__).parents[2] / "bad_settings.yml").read_text("utf-8"))
SPEC = _settings.load_spec()
HOST = {"name": "one", "url": "https://codecov.example.com", "embedded_data": True, "behind_load_balancer": False}


def problems_of(given: dict[str, Any], hosts: list[dict[str, Any]] | None = None) -> list[Problem]:
    """What codecov_plan says, before it looks at codecov.yml and at the host."""
    problems: list[Problem] = []
    settings = _settings.check(given, SPEC, problems)
    return problems or _rules.problems_of(deployment_of(settings), [{**HOST, **host} for host in hosts or [{}]])


def split(problems: list[Problem]) -> tuple[list[Problem], list[Problem]]:
    """Errors and warnings; that embedded data are for trials is said of every other case too."""
    errors = [problem for problem in problems if problem.level == "error"]
    return errors, [problem for problem in problems if problem.level == "warning" and "Strategy I is for trials" not in problem.message]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value is not None else []


def test_the_table_is_large_and_has_no_double() -> None:
    names = [case["name"] for case in TABLE]
    assert len(names) >= 60
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case["name"])
def test_bad_setting_has_one_clear_problem(case: dict[str, Any]) -> None:
    given = merged(EXTERNAL if case.get("external") else EMBEDDED, case.get("set", {}))
    problems = problems_of(given, case.get("hosts"))
    errors, warnings = split(problems)
    assert [problem.path for problem in errors] == as_list(case.get("error")), errors
    if "warning" in case:
        assert [problem.path for problem in warnings] == as_list(case["warning"]), warnings
    for problem in errors or warnings:
        line = str(problem)
        assert case["says"] in line
        assert " -> " in line
        assert len(line.splitlines()) == 1
    for problem in problems:
        for secret in (SECRET, "correct", "horse"):
            assert secret not in str(problem)


@pytest.mark.parametrize("base", [EMBEDDED, EXTERNAL], ids=["embedded", "external"])
@pytest.mark.parametrize("line", ["codecov", "codecov_enterprise"])
def test_good_settings_are_good(base: dict[str, Any], line: str) -> None:
    errors, warnings = split(problems_of({**base, "codecov_line": line}))
    assert errors == []
    assert warnings == []


GOOD: dict[str, dict[str, Any]] = {
    "an IPv4 address": {"codecov_url": "https://192.0.2.7"},
    "a name without dots, inside an office": {"codecov_url": "https://codecov"},
    "ports of one's own": {"codecov_url": "https://codecov.example.com:8443", "codecov_edge": {"https_port": 8443, "http_port": 8080}},
    "a private authority for a private name": {
        "codecov_url": "https://codecov.corp",
        "codecov_tls": {"mode": "acme", "acme_email": "ops@example.com", "acme_server": "https://ca.corp/acme/directory", "certificate": "", "key": ""},
    },
    "TLS at a load balancer": {
        "codecov_tls": {"mode": "disabled", "certificate": "", "key": ""},
        "codecov_edge": {"behind_load_balancer": True, "http_port": 8080, "trusted_proxies": ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]},
    },
    "versions that match": {"codecov_versions": {"api": "26.6.11", "worker": "26.6.11", "postgres": 17}},
    "the oldest versions": {"codecov_versions": {"api": "25.8.5", "worker": "25.8.5", "gateway": "25.4.1", "frontend": "25.4.1"}},
    "a moving tag pinned by its digest": {"codecov_versions": {"edge": "latest"}, "codecov_images": {"digests": {"edge": "sha256:" + "0" * 64}}},
    "replicas from a survey": {"codecov_replicas": {"api": "2", "worker": "3"}},
    "resources of some services": {"codecov_resources": {"services": {"worker": {"cpus": "1.5"}, "postgres": {"memory_mb": 4096}}}},
    "an air-gapped host": {"codecov_images": {"pull": "never", "archives": ["images.tar"]}},
    "images on the host already": {"codecov_images": {"pull": "never"}},
    "a mirror with port and path": {"codecov_images": {"registry": "registry.example.com:5000/mirror"}},
    "a repository with port": {"codecov_images": {"repositories": {"edge": "registry.example.com:5000/traefik"}}},
    "statsd off": {"codecov_statsd": {"mode": False}},
    "metrics beside each other": {"codecov_edge": {"metrics_address": "127.0.0.1:9101"}, "codecov_statsd": {"metrics_address": "[::1]:9102"}},
    "a secret of one's own": {
        "codecov_secrets": {"smtp_password": SECRET},
        "codecov_config_group": {"services": {"smtp": {"password": "${secret:smtp_password}"}}},
    },
    "a generated secret named in a layer": {"codecov_config_host": {"setup": {"http": {"cookie_secret": "${secret:cookie_secret}"}}}},
    "an own directory below /var/lib": {"codecov_directory": "/var/lib/codecov"},
    "a protected key to change": {"codecov_config_allow_change": ["setup.encryption_secret"]},
    "a long grace": {"codecov_worker_grace": 3600},
    "a release by its name": {"codecov_release": "8c1f0a1b2c3d"},
}
GOOD_EXTERNAL: dict[str, dict[str, Any]] = {
    "Redis with a password": {"codecov_redis": {"username": "codecov"}, "codecov_secrets": {"redis_password": SECRET}},
    "a role instead of keys": {"codecov_storage": {"iam_auth": True}, "codecov_secrets": {"storage_access_key": None, "storage_secret_key": None}},
    "Google Cloud Storage": {"codecov_storage": {"provider": "gcs", "region": "europe-west3"}},
    "a gateway before Azure Blob": {"codecov_storage": {"provider": "azure_gateway", "host": "s3.example.com", "region": "us-east-1"}},
    "an S3 server of one's own": {"codecov_storage": {"provider": "other", "host": "192.0.2.9", "port": 9000, "region": "us-east-1"}},
    "a verified database": {"codecov_postgres": {"sslmode": "verify-full"}, "codecov_tls": {"extra_ca_files": ["rds.pem"]}},
    "a bucket that the edge does not serve": {"codecov_storage": {"bucket": "upload"}},
    "Timescale elsewhere": {"codecov_timescale": {"mode": "external", "host": "ts.example.com"}, "codecov_secrets": {"timescale_password": SECRET}},
}


@pytest.mark.parametrize(
    ("base", "over"),
    [*((EMBEDDED, over) for over in GOOD.values()), *((EXTERNAL, over) for over in GOOD_EXTERNAL.values())],
    ids=[*GOOD, *GOOD_EXTERNAL],
)
def test_what_is_allowed_is_not_refused(base: dict[str, Any], over: dict[str, Any]) -> None:
    given = merged(base, over)
    given["codecov_secrets"] = {name: value for name, value in given["codecov_secrets"].items() if value is not None}
    assert split(problems_of(given)) == ([], [])


def test_embedded_data_are_for_trials_and_external_are_not() -> None:
    trial = [str(problem) for problem in problems_of(EMBEDDED)]
    assert [line for line in trial if "postgres, redis, storage" in line and "for trials" in line] == trial
    assert problems_of(EXTERNAL) == []


def test_hosts_of_their_own_may_share_a_play_if_nothing_is_shared() -> None:
    hosts = [{"name": name, "url": f"https://{name}.example.com", "embedded_data": False} for name in ("one", "two")]
    assert problems_of(EXTERNAL, hosts) == []


def test_several_problems_are_all_reported() -> None:
    given = merged(EMBEDDED, {"codecov_url": "codecov.example.com", "codecov_replicas": {"api": 0}, "codecov_directory": "/"})
    assert [problem.path for problem in split(problems_of(given))[0]] == ["codecov_url", "codecov_replicas.api", "codecov_directory"]


def test_every_rule_is_in_the_table_of_rules() -> None:
    rules = {
        name
        for name, value in vars(_rules).items()
        if callable(value) and getattr(value, "__annotations__", None) == {"deployment": "Deployment", "return": "Problems"}
    }
    used_by_others = {"_acme_name", "_split_scheme"}
    assert rules - used_by_others == {rule.__name__ for rule in _rules.RULES}


def test_no_rule_needs_a_valid_address() -> None:
    for url in ("", "x", "https://", "https://[", "https://a:b", "https://a b", "https://a/b?c#d", "https://é.example.com", "https://" + "a" * 300):
        assert [problem.path for problem in split(problems_of({**EMBEDDED, "codecov_url": url}))[0]] == ["codecov_url"]


# --- whatever the settings ----------------------------------------------------------------------------------------------------

WORDS = ["", " ", "api", "worker", "postgres", "a.example.com", "localhost", "127.0.0.1", "::1", "https://codecov.example.com", "http://[", "a:b@c"]
WORDS += ["10.0.0.0/8", "x" * 300]
WORDS += ["é", "../..", "/opt/codecov", "8.0", "latest", "sha256:" + "0" * 64, "${secret:x}", "{{ x }}", "a\nb", "127.0.0.1:443", "registry.example.com:5000/a"]
_texts = st.sampled_from(WORDS) | st.text(max_size=12)
_scalars = st.none() | st.booleans() | st.integers(-1, 70000) | st.floats(allow_nan=False) | _texts
_values = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_texts, inner, max_size=2), max_leaves=4)


def _settings_of(options: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Settings whose types are right, and whose values are anything."""
    return st.fixed_dictionaries({}, optional={name: _setting(spec) for name, spec in options.items()})


def _setting(spec: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "options" in spec:
        return _settings_of(spec["options"])
    if "choices" in spec:
        return st.sampled_from(spec["choices"])
    by_type: dict[str, st.SearchStrategy[Any]] = {
        "bool": st.booleans(),
        "int": st.sampled_from([-1, 0, 1, 80, 443, 8001, 70000]),
        "list": st.lists(st.dictionaries(_texts, _values, max_size=2) if spec.get("elements") == "dict" else _texts, max_size=2),
        "dict": st.dictionaries(_texts, _values, max_size=2),
    }
    return by_type.get(spec.get("type", "str"), _texts)


@functools.cache
def _line(name: str) -> Any:
    return load_line(name)


@functools.cache
def _platform(storage: str) -> Any:
    return load_platform({"storage": storage})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@hypothesis_given(st.booleans(), _settings_of(SPEC))
def test_rules_judge_whatever_is_given_and_what_they_pass_can_be_rendered(external: bool, over: dict[str, Any]) -> None:
    problems: list[Problem] = []
    checked = _settings.check(merged(EXTERNAL if external else EMBEDDED, over), SPEC, problems)
    if problems:  # only an address that is empty, since all types are right
        assert [problem.path for problem in problems] == ["codecov_url"]
        return
    joined = Deployment(checked, _line(checked["codecov_line"]), _platform(checked["codecov_storage"]["provider"]))
    problems = _rules.problems_of(joined, [HOST])
    assert all(len(str(problem).splitlines()) == 1 and problem.path and problem.message and problem.way_out for problem in problems)
    assert {problem.level for problem in problems} <= {"error", "warning"}
    event("refused" if split(problems)[0] else "passed")
    if not split(problems)[0]:
        rendered = [platform_project(joined, {}), application_project(joined), slot_environment(joined, "blue"), static_configuration(joined), routes(joined)]
        assert json.loads(json.dumps(rendered)) == rendered
