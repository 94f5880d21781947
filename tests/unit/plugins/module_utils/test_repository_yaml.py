# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository's own codecov.yml, as the application will use it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_merge import at
from ansible_collections.covstack.selfhosted.plugins.module_utils._repository_yaml import validate_repository
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.config_examples import unhurried
from hypothesis import given
from hypothesis import strategies as st

TYPICAL = """
codecov:
  require_ci_to_pass: false
  max_report_age: 24h
  notify: {after_n_builds: 2, wait_for_ci: true}
coverage:
  precision: 2
  round: down
  range: "70...100"
  status:
    project:
      default: {target: auto, threshold: 1%, base: auto, if_ci_failed: error}
      backend: {target: 85%, flags: [backend], paths: [src/backend/]}
    patch: true
    changes: off
parsers:
  gcov: {branch_detection: {conditional: true, loop: true, method: false, macro: false}}
comment: {layout: "reach, diff, flags, files:10, footer", behavior: default, require_changes: coverage_drop or uncovered_patch}
flags:
  backend: {paths: [src/backend/], carryforward: true}
flag_management:
  default_rules: {carryforward: true, statuses: [{type: project, target: auto}]}
  individual_flags: [{name: web, paths: ["web/**"]}]
component_management:
  individual_components: [{component_id: api, name: API, paths: ["src/api/**"]}]
ignore: ["tests/**/*", "setup.py", "!src/.*"]
fixes: ["before/::after/", "::src/"]
github_checks: {annotations: false}
bundle_analysis: {warning_threshold: 5%, status: informational}
slack_app: false
test_analytics: {flake_detection: true}
cli: {plugins: {pycoverage: {report_type: json}}}
"""


def normalised(text: str) -> Any:
    document, problems = validate_repository(yaml.safe_load(text))
    assert [str(problem) for problem in problems] == []
    return document


def test_a_typical_file_is_valid() -> None:
    document = normalised(TYPICAL)
    assert document["coverage"]["range"] == [70.0, 100.0]
    assert document["coverage"]["status"]["project"]["default"]["threshold"] == 1.0
    assert document["coverage"]["status"]["project"]["default"]["target"] == "auto"
    assert document["comment"]["require_changes"] == [6]
    assert document["bundle_analysis"]["warning_threshold"] == ["percentage", 5.0]


@pytest.mark.parametrize(("text", "path", "value"), [
    ("coverage: {range: 60..80}", ("coverage", "range"), [60.0, 80.0]),
    ("coverage: {range: '60.5...80'}", ("coverage", "range"), [60.5, 80.0]),
    ("coverage: {range: [80, 60]}", ("coverage", "range"), [60.0, 80.0]),
    ("coverage: {range: ['10', 20.5]}", ("coverage", "range"), [10.0, 20.5]),
    ("coverage: {status: {project: {default: {target: 80}}}}", ("coverage", "status", "project", "default", "target"), 80.0),
    ("coverage: {status: {project: {default: {target: 80.5%}}}}", ("coverage", "status", "project", "default", "target"), 80.5),
    ("coverage: {status: {project: {default: }}}", ("coverage", "status", "project", "default"), None),
    ("coverage: {status: off}", ("coverage", "status"), False),
    ("comment: {require_changes: true}", ("comment", "require_changes"), [1]),
    ("comment: {require_changes: false}", ("comment", "require_changes"), [0]),
    ("comment: {require_changes: any_change AND uncovered_patch}", ("comment", "require_changes"), [1, 4]),
    ("comment: {require_changes: coverage_drop or any_change and uncovered_patch}", ("comment", "require_changes"), [3, 4]),
    ("bundle_analysis: {warning_threshold: 10 mb}", ("bundle_analysis", "warning_threshold"), ["absolute", 10_000_000]),
    ("bundle_analysis: {warning_threshold: 12KB}", ("bundle_analysis", "warning_threshold"), ["absolute", 12_000]),
    ("bundle_analysis: {warning_threshold: 100}", ("bundle_analysis", "warning_threshold"), ["absolute", 100]),
    ("bundle_analysis: {warning_threshold: 1.5}", ("bundle_analysis", "warning_threshold"), ["percentage", 1.5]),
    ("codecov: {branch: refs/heads/main}", ("codecov", "branch"), "main"),
    ("codecov: {branch: origin/main}", ("codecov", "branch"), "main"),
    ("comment: {branches: ['*']}", ("comment", "branches", 0), ".*"),
    ("comment: {branches: [feature*]}", ("comment", "branches", 0), "^feature.*"),
    ("comment: {branches: [main]}", ("comment", "branches", 0), "^main$"),
    ("ignore: [tests/]", ("ignore", 0), "^tests/.*"),
    ("ignore: [./tests/]", ("ignore", 0), "^tests/.*"),
    ("ignore: ['!tests/']", ("ignore", 0), "!^tests/.*"),
    ("ignore: ['.*/generated/.*']", ("ignore", 0), ".*/generated/.*"),
    ("ignore: ", ("ignore",), None),
    ("fixes: ['before/::after/']", ("fixes", 0), "^before/::after/"),
    ("fixes: ['::src/']", ("fixes", 0), "::src/"),
])
def test_values_are_converted(text: str, path: Any, value: Any) -> None:
    assert at(normalised(text), path) == value


@pytest.mark.parametrize(("glob", "matching", "other"), [
    ("src/**/*.py", ["src/a/b.py", "src/a/b/c.py"], ["src/a.py", "lib/a/b.py", "src/a/b.pyc"]),
    ("src/*.py", ["src/a.py"], ["src/a/b.py"]),
    ("**/test_*.py", ["a/test_b.py", "a/b/test_c.py"], ["a/btest_c.py"]),
    ("src/[abc]/*", ["src/a/x"], ["src/d/x", "src/a/b/x"]),
    ("src/[!abc]/*", ["src/d/x"], ["src/a/x"]),
    ("a[/*", ["a[/x"], ["a/x"]),
])
def test_globs_match_what_they_mean(glob: str, matching: list[str], other: list[str]) -> None:
    pattern = normalised(yaml.safe_dump({"ignore": [glob]}))["ignore"][0]
    assert [path for path in matching + other if re.match(pattern, path)] == matching


@unhurried
@given(st.text(st.sampled_from("ab*?[]!/.^\\&~|-$()"), max_size=10))
def test_every_path_becomes_a_valid_pattern(path: str) -> None:
    document, problems = validate_repository({"ignore": [path]})
    if not problems:
        re.compile(document["ignore"][0].lstrip("!"))


def test_old_places_are_moved() -> None:
    document = normalised("coverage: {ignore: [a], flags: {unit: {}}, fixes: ['a::b'], parsers: {go: {partials_as_hits: true}}}\n"
                          "codecov: {notify: {require_ci_to_pass: false}}")
    assert document["coverage"] == {}
    assert (document["ignore"], list(document["flags"])) == (["^a.*"], ["unit"])
    assert document["codecov"] == {"notify": {}, "require_ci_to_pass": False}


def test_problems_name_the_place_that_was_written() -> None:
    _document, problems = validate_repository({"coverage": {"ignore": [1]}, "codecov": {"notify": {"require_ci_to_pass": "no"}}})
    assert sorted(problem.path for problem in problems) == ["codecov.notify.require_ci_to_pass", "coverage.ignore[0]"]


def test_doubles_are_warnings() -> None:
    _document, problems = validate_repository(yaml.safe_load(
        "component_management: {individual_components: [{component_id: a}, {component_id: a}]}\nignore: [a]\ncoverage: {ignore: [b]}"))
    assert [problem.level for problem in problems] == ["warning", "warning"]


def test_the_document_is_not_changed() -> None:
    document = yaml.safe_load(TYPICAL)
    validate_repository(document)
    assert document == yaml.safe_load(TYPICAL)
