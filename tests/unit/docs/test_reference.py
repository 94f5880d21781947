# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The generated reference is up to date, and argument specs, defaults and README of a role say the same."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
ROLES = sorted(path.name for path in (REPOSITORY / "roles").iterdir() if path.is_dir())


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("documentation", REPOSITORY / "tools" / "documentation.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sys.path.insert(0, str(REPOSITORY / "tools"))
documentation = load_generator()


def role_specs(role: str) -> dict[str, Any]:
    specs: dict[str, Any] = yaml.safe_load((REPOSITORY / "roles" / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    return specs


def role_options(role: str) -> dict[str, Any]:
    """Options of all entry points; a variable that several entry points take is one variable."""
    return {name: option for spec in role_specs(role).values() for name, option in (spec.get("options") or {}).items()}


def role_defaults(role: str) -> dict[str, Any]:
    path = REPOSITORY / "roles" / role / "defaults" / "main.yml"
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def test_there_are_roles() -> None:
    assert {"codecov", "compose", "docker_engine", "verify"} <= set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_readme_is_what_the_generator_writes(role: str) -> None:
    directory = REPOSITORY / "roles" / role
    assert documentation.difference(directory / "README.md", documentation.role_readme(directory)) == "", "run `make docs`"


def test_module_reference_is_what_the_generator_writes() -> None:
    page = documentation.modules_page()
    assert documentation.difference(REPOSITORY / "docs" / "modules.md", page) == "", "run `make docs`"
    for name in documentation.plugin_names("module") + documentation.plugin_names("filter"):
        assert f"\n## {name}\n" in page


@pytest.mark.parametrize("path", documentation.chart_values.pages(), ids=lambda path: path.name)
def test_values_of_the_chart_are_what_the_generator_writes(path: Path) -> None:
    assert documentation.difference(path, documentation.pages()[path]()) == "", "run `make docs`"


@pytest.mark.parametrize("role", ROLES)
def test_each_option_has_the_default_that_its_spec_states(role: str) -> None:
    stated = {name: option["default"] for name, option in role_options(role).items() if "default" in option}
    assert role_defaults(role) == stated


@pytest.mark.parametrize("role", ROLES)
def test_an_option_is_required_or_has_a_default(role: str) -> None:
    wrong = [name for name, option in role_options(role).items() if bool(option.get("required")) == ("default" in option)]
    assert wrong == []


@pytest.mark.parametrize("role", ROLES)
def test_every_entry_point_and_option_is_described(role: str) -> None:
    for entry_point, spec in role_specs(role).items():
        tasks = REPOSITORY / "roles" / role / "tasks" / f"{entry_point}.yml"
        assert tasks.exists(), f"entry point {entry_point} has no {tasks.name}"
        assert spec.get("short_description") and spec.get("description"), entry_point
    assert [path for path, option in walk(role_options(role)) if not option.get("description") or "type" not in option] == []


def walk(options: dict[str, Any], prefix: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every option with its path, nested ones included."""
    result = []
    for name, option in options.items():
        result.append((f"{prefix}{name}", option))
        result += walk(option.get("options") or {}, f"{prefix}{name}.")
    return result


@pytest.mark.parametrize("role", ROLES)
def test_readme_names_every_option(role: str) -> None:
    readme = (REPOSITORY / "roles" / role / "README.md").read_text()
    assert [path for path, _option in walk(role_options(role)) if f"| `{path.split('.')[-1]}` |" not in readme] == []


def test_generator_renders_nested_options_as_tables_of_their_own() -> None:
    options = {"outer": {"type": "dict", "default": {}, "description": "Outer.", "options": {"inner": {"type": "int", "default": 3, "description": "A|B."}}}}
    text = "\n".join(documentation.option_tables(options, "####"))
    assert '#### <a id="outer"></a>`outer`' in text
    assert "| `inner` | int | `3` | A\\|B. |" in text


def test_generator_refuses_a_description_that_yaml_turned_into_a_mapping() -> None:
    with pytest.raises(documentation.DocumentationError, match="colon"):
        documentation.paragraphs(["fine", {"for example": "not fine"}])
