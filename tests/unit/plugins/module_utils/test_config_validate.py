# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validation of an installation: never raises, never shows a secret; warnings; and what must be accepted."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import yaml
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_merge import merge_layers, update
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_schema import INSTALL_KEYS, LINES, PROVIDERS, find_key, is_secret
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_validate import validate_install
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import ERROR, WARNING, Problem, errors_of, format_path, one_line
from ansible_collections.covstack.selfhosted.plugins.module_utils._repository_yaml import validate_repository
from ansible_collections.covstack.selfhosted.plugins.module_utils._secrets import substitute
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.config_examples import GENERATED, good_config, unhurried, without
from hypothesis import given, settings
from hypothesis import strategies as st

scalars = (st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5)
           | st.dates() | st.datetimes()
           | st.sampled_from(["https://a.example.com", "${secret:a}", "a,b", "*", "60...80", "80%", "1 mb", "!a/**", "[", "postgresql://["]))
keys = st.text(max_size=8) | st.integers() | st.booleans() | st.none() | st.sampled_from(["setup", "services", "minio", "url", "keys", "name", "default"])
any_yaml = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=15)
known_paths = st.sampled_from([key.path for key in INSTALL_KEYS] + [(name,) for name in PROVIDERS] + [("setup",), ("setup", "tasks"), ("setup", "http")])


def nested(path: tuple[str, ...], value: Any) -> Any:
    for element in reversed(path):
        value = {element: value}
    return value


def check_lines(problems: list[Problem]) -> None:
    for problem in problems:
        line = str(problem)
        assert problem.level in (ERROR, WARNING)
        assert len(line.splitlines()) == 1
        assert one_line(problem.path) in line
        line.encode("utf-8")
        if problem.is_error:
            assert problem.allowed, line
            assert problem.way_out, line


@unhurried
@given(any_yaml, st.sampled_from(LINES))
def test_any_yaml_is_judged_without_a_crash(content: Any, line: str) -> None:
    check_lines(validate_install(content, line=line))


@settings(unhurried, max_examples=600)
@given(known_paths, any_yaml, known_paths, any_yaml, st.sampled_from(LINES))
def test_any_value_of_any_known_key_is_judged_without_a_crash(path: Any, value: Any, other: Any, other_value: Any, line: str) -> None:
    config = update(update(good_config(), nested(path, value)), nested(other, other_value))
    check_lines(validate_install(config, line=line))


@unhurried
@given(any_yaml)
def test_any_repository_file_is_judged_without_a_crash(content: Any) -> None:
    check_lines(validate_repository(content)[1])


@settings(unhurried, max_examples=500)
@given(st.text(max_size=60))
def test_any_text_that_is_yaml_is_judged_without_a_crash(text: str) -> None:
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return
    check_lines(validate_install(content, line="codecov"))
    check_lines(validate_repository(content)[1])


SECRET_PATHS = sorted({key.path for key in INSTALL_KEYS if key.secret and "*" not in key.path and key.kind == "text"})


@pytest.mark.parametrize("path", SECRET_PATHS, ids=format_path)
@pytest.mark.parametrize("value", ["Zy9-planted-SECRET/with@signs:1", 987654321987, ["Zy9-planted"], {"x": "Zy9-planted"}, "<Zy9-planted>", "{{ Zy9-planted }}",
                                   "Zy9-planted ${secret: x}"])
def test_no_problem_shows_the_value_of_a_secret(path: Any, value: Any) -> None:
    problems = validate_install(update(good_config(), nested(path, value)), line="codecov")
    shown = "\n".join(str(problem) for problem in problems)
    assert "Zy9" not in shown
    assert "987654321987" not in shown


@pytest.mark.parametrize("key", ["database_url", "redis_url", "timeseries_database_url", "celery_broker"])
@pytest.mark.parametrize("url", ["postgresql://u:Zy9@planted/@h:x/d", "redis://:Zy9planted@localhost/abc", "Zy9planted", "mysql://u:Zy9planted@h",
                                 "redis://u:Zy9?pla#@h:1"])
def test_no_problem_shows_the_password_of_a_url(key: str, url: str) -> None:
    problems = validate_install(update(good_config(), {"services": {key: url}}), line="codecov")
    assert errors_of(problems)
    assert "Zy9" not in "\n".join(str(problem) for problem in problems)


WARNINGS = [
    ({"services": {"minio": {"port": "443"}}}, (), "services.minio.port", "without quotes"),
    ({"services": {"minio": {"ttl": 10}}}, (), "services.minio.ttl", "clock skew"),
    ({}, ("services.minio.ttl",), "services.minio.ttl", "10 seconds"),
    ({"services": {"minio": {"auto_create_bucket": True}}}, (), "services.minio.auto_create_bucket", "everybody"),
    ({"services": {"minio": {"hash_key": "ab164bf3f7d947f2a0681b215404873e"}}}, (), "services.minio.hash_key", "public default"),
    ({}, ("services.minio.hash_key",), "services.minio.hash_key", "public default"),
    ({}, ("services.minio.bucket",), "services.minio.bucket", "codecov"),
    ({}, ("bundle_analysis",), "bundle_analysis.bucket_name", "nobody creates"),
    ({"bundle_analysis": {"bucket_name": "bundles"}}, (), "bundle_analysis.bucket_name", "differs"),
    ({"services": {"minio": {"port": 8333, "verify_ssl": False}}}, (), "services.minio.verify_ssl", "in clear"),
    ({"services": {"minio": {"host": "minio"}}}, (), "services.minio.host", "cannot resolve"),
    ({"services": {"minio": {"iam_endpoint": "http://169.254.169.254"}}}, (), "services.minio.iam_endpoint", "iam_auth"),
    ({}, ("setup.encryption",), "setup.encryption.yaml_secret", "public default"),
    ({}, ("setup.trusted_origin",), "setup.trusted_origin", "admin pages"),
    ({"setup": {"encryption_secret": ""}}, (), "setup.encryption_secret", "is empty"),
    ({"setup": {"secure_cookie": False}}, (), "setup.secure_cookie", "in clear"),
    ({"setup": {"codecov_url": "https://codecov"}}, (), "setup.http.cookies_domain", "some browsers"),
    ({"github": {"enabled": True}}, (), "github.enabled", "no effect"),
    ({"setup": {"http": {"force_https": True}}}, (), "setup.http.force_https", "no effect"),
    ({"services": {"database": {"host": "db"}}}, (), "services.database.host", "no effect"),
    ({"setup": {"cache": {"uploads": 100}}}, (), "setup.cache.uploads", "always uses 86400"),
    ({"services": {"chosen_storage": "gcp"}}, (), "services.chosen_storage", "no effect"),
    ({"github": {"verify_ssl": False}}, (), "github.verify_ssl", "not checked"),
    ({"services": {"smtp": {"host": "m", "port": 25, "username": "u", "password": "${secret:p}"}}}, (), "services.smtp.password", "log"),
    ({"setup": {"tasks": {"lock_timeout": 100}}}, (), "setup.tasks.lock_timeout", "measurement"),
    ({"setup": {"tasks": {"upload": {"queue": "uploads"}}}}, (), "setup.tasks.upload.queue", "CODECOV_WORKER_QUEUES"),
    ({"setup": {"tasks": {"celery": {"hard_timelimit": 1800}}}}, (), "setup.tasks.celery.visibility_timeout", "run twice"),
    ({"setup": {"tasks": {"celery": {"reject_on_worker_lost": True}}}}, (), "setup.tasks.celery.reject_on_worker_lost", "acks_late"),
    ({"site": {"coverage": {"precision": 3}}}, (), "site.coverage", "2024-04-30"),
    ({"services": {"database_url": "postgresql://codecov@db.example.com:5432/codecov"}}, (), "services.database_url", "no password"),
    ({"services": {"redis_url": "rediss://a.example.com?ssl_cert_reqs=none"}}, (), "services.redis_url", "not checked"),
    ({"frobnication": {"level": 3}}, (), "frobnication", "unknown"),
]


@pytest.mark.parametrize(("layer", "removed", "path", "says"), WARNINGS, ids=[case[2] + " " + case[3] for case in WARNINGS])
def test_what_works_but_is_a_trap_is_one_warning(layer: Any, removed: Any, path: str, says: str) -> None:
    problem, = validate_install(update(without(good_config(), *removed), layer), line="codecov")
    assert (problem.level, problem.path) == (WARNING, path)
    assert says in str(problem)


GOOD = [
    {"setup": {"codecov_url": "http://codecov.example.com", "secure_cookie": False}},
    {"setup": {"codecov_url": "https://192.0.2.7:8443", "trusted_origin": "https://192.0.2.7:8443", "http": {"cookies_domain": None}}},
    {"setup": {"codecov_url": "http://192.0.2.7", "secure_cookie": False, "http": {"cookies_domain": "192.0.2.7"}}},
    {"setup": {"http": {"cookies_domain": ".example.com"}}},
    {"setup": {"api_allowed_hosts": ["codecov.example.com", "127.0.0.1"]}},
    {"setup": {"api_allowed_hosts": ["*"]}},
    {"setup": {"api_cors_allowed_origins": ["https://codecov.example.com", "https://other.example.com:8443"]}},
    {"setup": {"admins": [{"service": "github", "username": "joe"}]}},
    {"setup": {"encryption": {"keys": [{"name": "a", "code": "a", "value": "${secret:a}"}], "write_key": "a"}}},
    {"setup": {"timeseries": {"enabled": True}}, "services": {"timeseries_database_url": "postgres://u:pw123456@ts.example.com/codecov"}},
    {"setup": {"tasks": {"celery": {"acks_late": True, "reject_on_worker_lost": True}, "upload": {"acks_late": True}}, "health_check": {"enabled": True}}},
    {"services": {"redis_url": "rediss://:a%2Fb@cache.example.com:6380/0?ssl_cert_reqs=required"}},
    {"services": {"redis_url": "redis://:a$b+c@cache.example.com"}},
    {"services": {"minio": {"iam_auth": True, "access_key_id": None, "secret_access_key": None}}},
    {"services": {"smtp": {"host": "mail.example.com", "port": 587, "username": "u", "password": "${secret:smtp_password}"}}},
    {"services": {"notifications": {"slack": ["acme"], "irc": False}, "avatars.io": True}},
    {"github": {"client_id": "a", "client_secret": "${secret:github_client_secret}", "integration": {"id": 5, "pem": "/config/github.pem"}}},
    {"github": {"integration": {"id": 5, "pem": {"source_type": "base64env", "value": "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t"}}}},
    {"github": {"integration": {"id": 5, "pem": {"source_type": "base64env", "value": "${secret:github_app_key}"}}}},
    {"bitbucket_server": {"url": "https://git.example.com/bitbucket", "client_id": "codecov"}},
    {"additional_user_yamls": [{"percentage": 10, "name": "trial", "override": {"comment": False}}]},
    {"site": {"flags": {"unit": {"carryforward": True}}}},
]


@pytest.mark.parametrize("layer", GOOD, ids=str)
def test_what_is_right_has_no_problem(layer: Any) -> None:
    if layer.get("services", {}).get("minio", {}).get("iam_auth"):
        config = update(without(good_config(), "services.minio.access_key_id", "services.minio.secret_access_key"), {"services": {"minio": {"iam_auth": True}}})
    else:
        config = update(good_config(), layer)
    assert [str(problem) for problem in validate_install(config, line="codecov")] == []


def test_the_same_is_found_before_and_after_secrets_are_put_in() -> None:
    values = {name: f"a-long-value-of-{name}" for name in GENERATED}
    assert validate_install(substitute(good_config(), values), line="codecov") == []


def test_a_secret_with_unsafe_characters_is_found_once_it_is_put_in() -> None:
    values = {**dict.fromkeys(GENERATED, "a-long-value"), "postgres_password": "a/b#c"}
    problem, = validate_install(substitute(good_config(), values), line="codecov")
    assert problem.path == "services.database_url"
    assert "a/b#c" not in str(problem)


def test_accepted_unknown_keys_are_silent() -> None:
    config = update(good_config(), {"setup": {"codecov_ulr": 1, "new": {"deep": 2}}})
    assert validate_install(config, line="codecov", accept_unknown=["setup.codecov_ulr", "setup.new"]) == []


def test_a_licence_can_be_required() -> None:
    problem, = validate_install(good_config(), line="codecov", license_required=True)
    assert problem.path == "setup.enterprise_license"
    licensed = update(good_config(), {"setup": {"enterprise_license": "${secret:enterprise_license}"}})
    assert validate_install(licensed, line="codecov", license_required=True) == []


def test_the_enterprise_line_needs_less() -> None:
    config = without(good_config(), "django", "bundle_analysis", "setup.trusted_origin", "setup.encryption.yaml_secret", "services.minio.region")
    problem, = validate_install(config, line="codecov_enterprise")
    assert (problem.level, problem.path) == (WARNING, "services.minio.region")


def test_an_unknown_line_is_one_error() -> None:
    problem, = validate_install(good_config(), line="enterprise")
    assert "codecov_enterprise" in str(problem)


def test_upstreams_own_example_is_taken_apart() -> None:
    """The file that upstream ships for a trial, with its placeholders: what a user may well start from."""
    shipped = {
        "setup": {"codecov_url": "http://localhost:8080", "admins": [{"service": "github", "username": "<your-user>"}],
                  "http": {"cookie_secret": "<your-cookie-secret>", "cookies_domain": "localhost"},
                  "timeseries": {"enabled": True}, "ta_timeseries": {"enabled": True}},
        "github": {"client_id": "<client-id>", "client_secret": "<client-secret>", "enabled": True,
                   "integration": {"id": "<integration-id>", "pem": "/config/github.pem"}},
        "services": {"redis_url": "redis://redis:6379", "database_url": "postgres://postgres:testpassword@postgres:5432/postgres",
                     "timeseries_database_url": "postgres://postgres:testpassword@timescale:5432/postgres",
                     "ta_timeseries_database_url": "postgres://postgres:testpassword@timescale:5432/postgres",
                     "minio": {"host": "minio", "port": 9000, "auto_create_bucket": True}},
    }
    paths = {problem.path for problem in errors_of(validate_install(shipped, line="codecov"))}
    assert paths >= {"setup.secure_cookie", "setup.http.cookie_secret", "github.client_id", "github.client_secret", "github.integration.id",
                     "github.webhook_secret", "django.secret_key", "setup.encryption_secret", "services.minio.region", "services.minio.access_key_id",
                     "setup.admins[0].username"}


def test_every_layer_that_made_a_problem_is_named() -> None:
    merged = merge_layers([("a", good_config()), ("b", {"site": {"covrage": {}}}), ("c", {"additional_user_yamls": [1]})])
    places = {problem.path: problem.place for problem in validate_install(merged.config, line="codecov", place=merged.place)}
    assert places["site.covrage"] == "b"
    assert places["additional_user_yamls[0]"] == "c"


# The table of keys

def test_every_key_is_described_once() -> None:
    paths = [key.path for key in INSTALL_KEYS]
    assert len(set(paths)) == len(paths)
    assert len(paths) > 300


def test_every_default_has_the_type_of_its_key() -> None:
    base = without(good_config(), "services.minio.port")
    for key in INSTALL_KEYS:
        if key.has_default and not (key.secret or key.inert or "*" in key.path):
            problems = errors_of(validate_install(update(base, nested(key.path, key.default)), line="codecov"))
            assert format_path(key.path) not in [problem.path for problem in problems], key


@pytest.mark.parametrize(("path", "secret"), [
    (("setup", "encryption_secret"), True),
    (("setup", "encryption", "keys", 0, "value"), True),
    (("setup", "encryption", "keys", 0, "name"), False),
    (("github", "client_secret"), True),
    (("github", "client_id"), False),
    (("github", "dedicated_apps", "commit", "pem", "value"), True),
    (("services", "avatars.io"), False),
    (("nowhere", "at", "all"), False),
])
def test_what_is_a_secret(path: Any, secret: bool) -> None:
    assert is_secret(path, "x") is secret


def test_a_path_of_a_key_is_no_secret() -> None:
    assert not is_secret(("github", "integration", "pem"), "/config/github.pem")
    assert is_secret(("github", "integration", "pem"), "-----BEGIN")


def test_find_key_knows_names_with_a_dot() -> None:
    key = find_key(("services", "avatars.io"))
    assert key is not None and key.kind == "flag"


def test_dates_are_no_text() -> None:
    problem, = errors_of(validate_install(update(good_config(), {"setup": {"webhook_url": datetime.date(2026, 1, 1)}}), line="codecov"))
    assert problem.path == "setup.webhook_url"


def test_half_a_character_is_refused() -> None:
    problem, = validate_install(update(good_config(), {"circleci": {"token": "half \ud800"}}), line="codecov")
    assert problem.path == "circleci.token" and "half a character" in problem.message
