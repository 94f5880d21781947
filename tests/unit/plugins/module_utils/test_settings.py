# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings against the specification of the role codecov: defaults, strings from -e and surveys, problems all at once."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem
from ansible_collections.covstack.selfhosted.plugins.module_utils._settings import check, load_spec, settings_of
from hypothesis import given
from hypothesis import strategies as st

SPEC = load_spec()
URL = {"codecov_url": "https://codecov.example.com"}


def checked(values: dict[str, Any], spec: dict[str, Any] | None = None) -> dict[str, Any]:
    problems: list[Problem] = []
    result = check(values, spec or SPEC, problems)
    assert problems == []
    return result


def problems_of(values: Any, spec: dict[str, Any] | None = None) -> list[str]:
    problems: list[Problem] = []
    check(values, spec or SPEC, problems)
    return [str(problem) for problem in problems]


def _options(options: dict[str, Any], place: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every option of the specification with its place, nested ones included."""
    found = []
    for name, spec in options.items():
        found.append((f"{place}{name}", spec))
        found += _options(spec.get("options", {}), f"{place}{name}.")
    return found


@pytest.mark.parametrize(("place", "spec"), _options(SPEC), ids=lambda value: value if isinstance(value, str) else "")
def test_every_setting_is_described_and_has_a_default_that_fits(place: str, spec: dict[str, Any]) -> None:
    assert spec["description"]
    if spec.get("required"):
        assert place == "codecov_url"
        assert "default" not in spec
        return
    assert "default" in spec
    assert checked({"x": spec["default"]}, {"x": {**spec, "required": False}})["x"] is not None
    assert spec["default"] in spec.get("choices", [spec["default"]])


def test_only_the_address_has_no_default() -> None:
    (line,) = problems_of({})
    assert line.startswith("codecov_url: is missing -> set it: Where users and CI reach Codecov")


def test_defaults_are_those_that_ansible_itself_would_set() -> None:
    ansible_says = ArgumentSpecValidator(_with_applied_defaults(SPEC)).validate(dict(URL))
    assert ansible_says.error_messages == []
    assert checked(URL) == ansible_says.validated_parameters


def _with_applied_defaults(options: dict[str, Any]) -> dict[str, Any]:
    """Ansible fills nested defaults only where it is asked to."""
    known = ("type", "default", "choices", "required", "elements")
    return {
        name: {
            **{key: spec[key] for key in known if key in spec and not (key == "default" and "options" in spec)},
            **({"options": _with_applied_defaults(spec["options"]), "apply_defaults": True} if "options" in spec else {}),
        }
        for name, spec in options.items()
    }


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("bool", "false", False),
        ("bool", "no", False),
        ("bool", "Off", False),
        ("bool", "0", False),
        ("bool", "n", False),
        ("bool", "true", True),
        ("bool", "yes", True),
        ("bool", " ON ", True),
        ("bool", "1", True),
        ("bool", 0, False),
        ("int", "80", 80),
        ("int", " 8080 ", 8080),
        ("int", "-1", -1),
        ("str", 26, "26"),
        ("str", 4.6, "4.6"),
        ("dict", '{"api": 2, "worker": 3}', {"api": 2, "worker": 3}),
        ("dict", "{api: 2}", {"api": 2}),
        ("dict", "api=2,worker=3", {"api": "2", "worker": "3"}),
        ("dict", "api=2 worker=3", {"api": "2", "worker": "3"}),
        ("list", "[a.tar, b.tar]", ["a.tar", "b.tar"]),
        ("list", "a.tar, b.tar", ["a.tar", "b.tar"]),
        ("list", "a.tar", ["a.tar"]),
        ("list", ("a",), ["a"]),
    ],
)
def test_text_from_the_command_line_becomes_its_type(kind: str, text: Any, value: Any) -> None:
    assert checked({"x": text}, {"x": {"type": kind}})["x"] == value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bool", "maybe"),
        ("bool", 2),
        ("bool", []),
        ("int", "80.5"),
        ("int", 80.5),
        ("int", True),
        ("int", "1e3"),
        ("int", [80]),
        ("str", True),
        ("str", []),
        ("str", {}),
        ("dict", "api"),
        ("dict", "{api"),
        ("dict", "[1]"),
        ("dict", ["a"]),
        ("dict", 7),
        ("list", {"a": 1}),
        ("list", 7),
        ("list", "[1"),
    ],
)
def test_what_cannot_be_its_type_is_one_problem(kind: str, value: Any) -> None:
    (line,) = problems_of({"x": value}, {"x": {"type": kind, "default": None}})
    assert line.startswith("x: ")
    assert " is not " in line
    assert " -> give " in line


@pytest.mark.parametrize("kind", ["bool", "int", "dict", "list"])
def test_an_empty_answer_of_a_survey_means_the_default(kind: str) -> None:
    default: Any = {"bool": True, "int": 5, "dict": {"a": 1}, "list": ["a"]}[kind]
    assert checked({"x": ""}, {"x": {"type": kind, "default": default}})["x"] == default
    assert checked({"x": None}, {"x": {"type": kind, "default": default}})["x"] == default


def test_a_bare_off_means_disabled_and_never() -> None:
    assert checked({**URL, "codecov_tls": {"mode": False}})["codecov_tls"]["mode"] == "disabled"
    assert checked({**URL, "codecov_smoke": False})["codecov_smoke"] == "never"


def test_options_of_a_mapping_keep_their_defaults() -> None:
    edge = checked({**URL, "codecov_edge": {"http_port": "8080"}})["codecov_edge"]
    assert (edge["http_port"], edge["https_port"], edge["bind_address"]) == (8080, 443, "0.0.0.0")


def test_all_problems_come_at_once() -> None:
    lines = problems_of({"codecov_edge": {"http_port": "x", "https": 1}, "codecov_smok": True, "codecov_images": {"pull": "alway", "archives": [["a"]]}})
    assert [line.split(": ")[0] for line in lines] == [
        "codecov_smok",
        "codecov_url",
        "codecov_edge.https",
        "codecov_edge.http_port",
        "codecov_images.archives[0]",
        "codecov_images.pull",
    ]


@pytest.mark.parametrize("value", ["correct-horse", "postgres://a:correct-horse@db/x", "user@correct-horse", "correct-horse " * 5])
@pytest.mark.parametrize("setting", ["codecov_secrets", "codecov_redis", "codecov_replicas"])
def test_text_in_the_place_of_a_mapping_is_never_shown(setting: str, value: str) -> None:
    (line,) = problems_of({**URL, setting: value})
    assert "horse" not in line


def test_a_url_in_the_place_of_a_number_is_never_shown() -> None:
    (line,) = problems_of({**URL, "codecov_postgres": {"port": "postgres://a:correct-horse@db/x"}})
    assert "horse" not in line


def test_a_secret_in_the_wrong_place_is_sent_to_the_vault() -> None:
    for option in ("password", "secret_key", "access_key", "auth_token"):
        (line,) = problems_of({**URL, "codecov_storage": {option: "correct-horse"}})
        assert line == f"codecov_storage.{option}: is a secret and does not belong here -> move it to codecov_secrets, which belongs in a vault"


def test_settings_are_what_has_the_prefix_but_for_our_own_facts() -> None:
    variables = {"codecov_url": 1, "codecov_plan": 2, "other": 3, "codecov_ulr": 4}
    assert settings_of(variables) == {"codecov_url": 1, "codecov_ulr": 4}


@pytest.mark.parametrize(("role", "option"), [("codecov", "codecov_url"), ("docker_engine", "docker_engine_source")])
def test_the_specification_of_a_role_is_found_beside_the_collection(role: str, option: str) -> None:
    assert option in load_spec(role)


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(SPEC)) | st.text(max_size=8), _anything, max_size=6))
def test_whatever_is_given_there_is_an_answer_of_the_right_types(values: dict[str, Any]) -> None:
    problems: list[Problem] = []
    result = check(values, SPEC, problems)
    assert set(result) == set(SPEC)
    assert checked({**result, **({} if result["codecov_url"] else URL)})
    assert all(len(str(problem).splitlines()) == 1 for problem in problems)
