# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every bad input has exactly one error: one line that names the setting, what is allowed and the way out."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import yaml
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_merge import LayerError, merge_layers
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_validate import validate_install
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem, errors_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._providers import provider_layer
from ansible_collections.covstack.selfhosted.plugins.module_utils._repository_yaml import validate_repository
from ansible_collections.covstack.selfhosted.plugins.module_utils._secrets import given_problems
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.config_examples import good_config, without

TABLE: list[dict[str, Any]] = yaml.safe_load((pathlib.Path(__file__).parent / "bad_inputs.yml").read_text("utf-8"))


def problems_of(case: dict[str, Any]) -> list[Problem]:
    if "providers" in case:
        return provider_layer(case["providers"], "https://codecov.example.com").problems
    if "secrets" in case:
        return given_problems(case["secrets"])
    if "repository" in case:
        return validate_repository(yaml.safe_load(case["repository"]))[1]
    base = without(good_config(), *case.get("without", []))
    try:
        merged = merge_layers([("base", base), ("operator", case.get("install", {}))])
    except LayerError as error:
        return [error.problem]
    return validate_install(merged.config, line="codecov", place=merged.place)


def test_the_table_is_large_and_has_no_double() -> None:
    names = [case["name"] for case in TABLE]
    assert len(names) >= 100
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case["name"])
def test_bad_input_has_one_clear_error(case: dict[str, Any]) -> None:
    errors = errors_of(problems_of(case))
    assert [error.path for error in errors] == [case["error"]]
    line = str(errors[0])
    assert case["error"] in line
    assert case["says"] in line
    assert "; allowed: " in line
    assert " -> " in line
    assert len(line.splitlines()) == 1


def test_the_place_is_named() -> None:
    merged = merge_layers([("base", good_config()), ("operator file", {"setup": {"secure_cookie": "no"}})])
    error, = validate_install(merged.config, line="codecov", place=merged.place)
    assert str(error).startswith("setup.secure_cookie (operator file): ")


def test_the_good_configuration_is_good() -> None:
    assert validate_install(good_config(), line="codecov") == []
