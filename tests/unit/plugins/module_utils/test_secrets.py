# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets: generated once, kept, protected, put in, and never shown."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import ssl
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_merge import at, scalars_of, update
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import errors_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._secrets import (
    FORMATS,
    HIDDEN,
    HIDDEN_OLD,
    Redactor,
    SecretSpec,
    StoreError,
    Wanted,
    adopt,
    check_store,
    extract_literals,
    generate,
    given_problems,
    is_reference,
    literal_secrets,
    protected_key_problems,
    references,
    resolve,
    substitute,
)
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.config_examples import GENERATED, good_config, unhurried
from hypothesis import given
from hypothesis import strategies as st

# Generation


@pytest.mark.parametrize("format_", FORMATS)
def test_generated_values_differ_and_stay_text_in_yaml(format_: str) -> None:
    number = 2 if format_ == "certificate" else 50
    values = [generate(SecretSpec("a", format_)) for _index in range(number)]
    assert len(set(values)) == number
    for value in values:
        assert yaml.safe_load(yaml.safe_dump({"a": value})) == {"a": value}


def test_formats_are_what_they_say() -> None:
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]{63}", generate(SecretSpec("a", "urlsafe", 64)))
    assert re.fullmatch(r"[a-f][0-9a-f]{31}", generate(SecretSpec("a", "hex", 32)))
    assert uuid.UUID(generate(SecretSpec("a", "uuid"))).version == 4
    assert len(base64.urlsafe_b64decode(generate(SecretSpec("a", "fernet")))) == 32


def test_a_certificate_is_its_own_authority_for_both_ends(tmp_path: Path) -> None:
    file = tmp_path / "peers.pem"
    file.write_text(generate(SecretSpec("storage_peers", "certificate")), "ascii")
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    server.verify_mode = ssl.CERT_REQUIRED
    for context in (server, client):
        context.load_cert_chain(file)
        context.load_verify_locations(file)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN if hasattr(ssl, "VERIFY_X509_PARTIAL_CHAIN") else ssl.VerifyFlags(0x80000)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    for end in [*ends, *ends]:
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    assert [dict(part[0] for part in end.getpeercert()["subject"]) for end in ends] == [{"commonName": "storage-peers"}] * 2


def test_without_openssl_there_is_no_certificate_but_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    result = resolve(Wanted(template={}, required=(SecretSpec("peers", "certificate"), SecretSpec("other"))))
    problem, = result.problems
    assert "install the package openssl" in str(problem)
    assert result.generated == ["other"]


@pytest.mark.parametrize("spec", [SecretSpec("A-b"), SecretSpec("a", "rot13"), SecretSpec("a", "hex", 8), SecretSpec("a", "urlsafe", 5000)])
def test_impossible_wishes_are_refused(spec: SecretSpec) -> None:
    problem, = resolve(Wanted(template={}, required=(spec,))).problems
    assert problem.is_error and problem.way_out


# References

def test_references_are_found_with_their_paths() -> None:
    config = {"a": "${secret:one}", "b": ["x", "p:${secret:two}@${secret:one}"]}
    assert references(config) == {"one": [("a",), ("b", 1)], "two": [("b", 1)]}


def test_substitution_puts_text_in_everywhere_and_changes_nothing_else() -> None:
    config = {"a": "${secret:one}", "b": ["p:${secret:two}@h", 3, None, True, {"c": "${secret:one}"}], "d": "$secret ${other}"}
    assert substitute(config, {"one": "1", "two": "${secret:one}"}) == {
        "a": "1", "b": ["p:${secret:one}@h", 3, None, True, {"c": "1"}], "d": "$secret ${other}"}


def test_substitution_names_what_is_missing() -> None:
    with pytest.raises(KeyError, match="one"):
        substitute({"a": "${secret:one}"}, {})


# Resolution

def wanted(**more: Any) -> Wanted:
    return Wanted(**{"template": good_config(), "required": tuple(SecretSpec(name) for name in GENERATED), **more})


def test_missing_secrets_are_generated_once_and_kept() -> None:
    first = resolve(wanted())
    assert (sorted(first.generated), first.problems) == (sorted(GENERATED), [])
    second = resolve(wanted(stored=first.store))
    assert (second.generated, second.store) == ([], first.store)


def test_given_values_come_first_and_are_kept() -> None:
    result = resolve(wanted(given={"redis_password": "given-password"}, stored={"redis_password": "stored-password"}))
    assert result.values["redis_password"] == result.store["redis_password"] == "given-password"
    assert result.replaced == ["redis_password"]


def test_a_given_secret_that_nobody_names_is_kept_too() -> None:
    assert resolve(Wanted(template={}, given={"postgres_password": "abcdefgh"})).store == {"postgres_password": "abcdefgh"}


@pytest.mark.parametrize("name", ["encryption_secret", "storage_hash_key"])
def test_protected_secrets_do_not_change_by_accident(name: str) -> None:
    stored = {name: "stored-value-1"}
    problem, = resolve(wanted(given={name: "given-value-2"}, stored=stored)).problems
    assert problem.path == f"codecov_secrets.{name}"
    assert "stored-value-1" not in str(problem) and "given-value-2" not in str(problem)
    assert resolve(wanted(given={name: "stored-value-1"}, stored=stored)).problems == []
    for allowed in (name, {"encryption_secret": "setup.encryption_secret", "storage_hash_key": "services.minio.hash_key"}[name]):
        assert resolve(wanted(given={name: "given-value-2"}, stored=stored, allow_change=frozenset([allowed]))).store[name] == "given-value-2"


def test_a_missing_secret_is_named_with_the_way_out() -> None:
    template = {"github": {"client_secret": "${secret:github_client_secret}"}}
    problem, = resolve(Wanted(template=template, place=lambda path: "codecov_providers")).problems
    assert str(problem).startswith("github.client_secret (codecov_providers): refers to the secret 'github_client_secret', which nobody gave")
    assert "codecov_secrets.github_client_secret" in problem.way_out


def test_a_misspelt_secret_is_recognized() -> None:
    template = {"github": {"client_secret": "${secret:github_client_secret}"}}
    problem, = resolve(Wanted(template=template, given={"github_client_secrt": "abcdefgh"})).problems
    assert "did you mean ${secret:github_client_secrt}?" in str(problem)


def test_lost_secrets_are_taken_over_from_the_existing_file() -> None:
    first = resolve(wanted())
    existing = substitute(good_config(), first.values)
    again = resolve(wanted(existing=existing))
    assert (again.store, again.generated, sorted(again.adopted)) == (first.store, [], sorted(GENERATED))


def test_only_values_that_fit_the_template_are_taken_over() -> None:
    template = {"a": "redis://:${secret:p}@h:1", "b": "${secret:q}", "c": "${secret:r}${secret:r}"}
    assert adopt(template, {"a": "redis://:x@h:1", "b": 5, "c": "abab"}) == {"p": "x", "r": "ab"}
    assert adopt(template, {"a": "redis://:x@other:1", "c": "abc"}) == {}


def test_a_value_that_stands_alone_and_has_another_name_already_is_not_taken_over() -> None:
    """The keys of an external storage are not those of the embedded one that comes after it; a URL tells whose password it is."""
    template = {"key": "${secret:embedded_storage_secret_key}", "url": "redis://:${secret:embedded_redis_password}@redis:6379/0"}
    existing = {"key": "kept-by-its-name", "url": "redis://:kept-by-its-name@redis:6379/0"}
    assert adopt(template, existing, {"kept-by-its-name"}) == {"embedded_redis_password": "kept-by-its-name"}
    required = (SecretSpec("embedded_storage_secret_key"),)
    for known in ({"given": {"storage_secret_key": "kept-by-its-name"}}, {"stored": {"storage_secret_key": "kept-by-its-name"}}):
        assert resolve(Wanted(template=template, existing=existing, required=required, **known)).generated == ["embedded_storage_secret_key"]


# Protection of keys

def protected(existing: Any, new: Any, allowed: Any = ()) -> list[str]:
    return [problem.path for problem in protected_key_problems(existing, new, good_config(), frozenset(allowed), lambda path: "")]


def test_protected_keys_do_not_change_by_accident() -> None:
    old = {"setup": {"encryption_secret": "one"}, "services": {"minio": {"hash_key": "two"}}}
    assert protected(None, {}) == []
    assert protected(old, old) == []
    assert protected(old, update(old, {"setup": {"encryption_secret": "1"}})) == ["setup.encryption_secret"]
    assert protected(old, update(old, {"services": {"minio": {"hash_key": "2"}}})) == ["services.minio.hash_key"]
    assert protected(old, {}) == ["setup.encryption_secret", "services.minio.hash_key"]
    assert protected(old, {}, ["setup.encryption_secret", "storage_hash_key"]) == []


def test_the_applications_default_is_protected_too() -> None:
    """An installation without these keys has used the defaults: new values would lose its tokens and reports."""
    assert protected({"setup": {}}, {"setup": {"encryption_secret": "x"}, "services": {"minio": {"hash_key": "y"}}}) == \
        ["setup.encryption_secret", "services.minio.hash_key"]


def test_encryption_keys_may_get_company_but_not_go() -> None:
    one, two = {"name": "a", "code": "a", "value": "1"}, {"name": "b", "code": "b", "value": "2"}

    def keys(*entries: Any) -> Any:
        return {"setup": {"encryption_secret": "", "encryption": {"keys": list(entries)}}}

    assert protected({"setup": {}}, keys(one)) == []
    assert protected(keys(one), keys(two, one)) == []
    assert protected(keys(one), keys(two)) == ["setup.encryption.keys"]
    assert protected(keys(one), keys({**one, "value": "3"})) == ["setup.encryption.keys"]
    assert protected(keys(one), {"setup": {}}) == ["setup.encryption.keys"]
    assert protected(keys(one), {"setup": {}}, ["setup.encryption.keys"]) == []


def test_the_secret_of_repositories_is_protected_once_it_is_set() -> None:
    old = {"setup": {"encryption": {"yaml_secret": "a"}}}
    assert protected({"setup": {}}, old) == []
    assert protected(old, {"setup": {"encryption": {"yaml_secret": "b"}}}) == ["setup.encryption.yaml_secret"]


# The store

@pytest.mark.parametrize("content", [[], "x", {"A": "x"}, {1: "x"}, {"a": 1}, {"a": None}, {"a": ""}])
def test_a_damaged_store_is_refused_without_showing_it(content: Any) -> None:
    with pytest.raises(StoreError, match=r"^/s.yml.* -> "):
        check_store(content, "/s.yml")


def test_an_empty_store_is_no_secret() -> None:
    assert check_store(None, "/s.yml") == {}


def test_short_secrets_are_a_warning() -> None:
    problem, = given_problems({"smtp_password": "abc"})
    assert not problem.is_error and "abc" not in str(problem)


# Hiding

def test_literal_secrets_are_found() -> None:
    config = {"setup": {"enterprise_license": "LIC", "http": {"cookie_secret": 12345678}},
              "services": {"database_url": "postgresql://u:dbpw@h/d", "redis_url": "redis://:${secret:x}@h", "minio": {"hash_key": "${secret:y}"}},
              "github": {"integration": {"pem": "/config/a.pem"}}, "mine": {"api_token": "tok", "name": "n"}}
    assert sorted(literal_secrets(config)) == ["12345678", "LIC", "dbpw", "tok"]


def test_extracting_moves_every_literal_secret_out() -> None:
    config = {"setup": {"http": {"cookie_secret": "cookie-value"}, "codecov_url": "https://a.example.com"},
              "services": {"database_url": "postgresql://u:dbpassword@h/d", "minio": {"hash_key": "${secret:storage_hash_key}"}},
              "github": {"client_id": "id", "client_secret": "gh-secret", "bot": {"key": "bot-key"}}}
    changed, found = extract_literals(config)
    assert found == {"cookie_secret": "cookie-value", "services_database_url_password": "dbpassword", "github_client_secret": "gh-secret",
                     "github_bot_key": "bot-key"}
    assert changed["services"]["database_url"] == "postgresql://u:${secret:services_database_url_password}@h/d"
    assert substitute(changed, {**found, "storage_hash_key": "${secret:storage_hash_key}"}) == config
    assert list(literal_secrets(changed)) == []


texts = st.text(st.sampled_from("ab:/@ -${}"), max_size=8)
secret_values = st.dictionaries(st.sampled_from(GENERATED), st.text("qwZ9", min_size=8, max_size=12), min_size=1)


@unhurried
@given(secret_values, st.dictionaries(st.sampled_from(["a", "b", "client_secret"]), texts))
def test_nothing_shown_holds_a_secret(secrets: dict[str, str], extra: dict[str, str]) -> None:
    values = {**dict.fromkeys(GENERATED, "default-value"), **secrets}
    template = update(good_config(), {"extra": extra, "github": {"client_secret": next(iter(secrets.values()))},
                                      "list": [f"x{value}y" for value in secrets.values()]})
    redactor = Redactor(values)
    new = substitute(template, values)
    for shown in (redactor.config(template), redactor.before(new, new, template), redactor.before(new, {}, {}), redactor.config(new)):
        text = json.dumps(shown)
        assert not [value for value in values.values() if value in text]


def test_the_diff_is_true() -> None:
    values = {name: f"value-of-{name}" for name in GENERATED}
    template = good_config()
    new = substitute(template, values)
    redactor = Redactor(values)
    after = redactor.config(template)
    assert redactor.before(new, new, template) == after
    for path, scalar in scalars_of(template):
        old = substitute(template, values)
        at(old, path[:-1])[path[-1]] = "postgresql://u:old-password@h/d" if "url" in path[-1] else "another value"
        shown = redactor.before(old, new, template)
        assert shown != after, path
        assert at(shown, path) == (HIDDEN_OLD if is_reference(scalar) else "postgresql://u:<hidden>@h/d" if "url" in path[-1] else "another value")


def test_a_changed_literal_secret_shows_as_a_change() -> None:
    template = {"github": {"client_secret": "new-literal"}}
    redactor = Redactor({})
    assert redactor.config(template) == {"github": {"client_secret": HIDDEN}}
    assert redactor.before({"github": {"client_secret": "old-literal"}}, template, template) == {"github": {"client_secret": HIDDEN_OLD}}


def test_a_changed_password_of_a_url_shows_as_a_change() -> None:
    template = {"services": {"database_url": "postgresql://u:new-password@h/d"}}
    redactor = Redactor({})
    before = redactor.before({"services": {"database_url": "postgresql://u:old-password@h/d"}}, template, template)
    assert before != redactor.config(template)
    assert "old-password" not in json.dumps(before)


def test_no_problem_of_given_secrets_shows_one() -> None:
    problems = given_problems({"a": "planted\n", "b": 7654321, "c": "{{ planted }}", "d": "${secret:planted}", "E": "planted"})
    assert len(errors_of(problems)) == 5
    assert not re.search("planted(?!_)|7654321", "\n".join(str(problem) for problem in problems))


def test_half_a_character_is_refused() -> None:
    problem, = given_problems({"cookie_secret": "a value with half \ud800"})
    assert problem.is_error and "half a character" in problem.message
