# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run says of a release that does not start on a single host, also where nothing can be done about it; a program of ours in the place of docker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.tests.unit.roles.play import SERVES, plan, play

DOCKER = """\
#!/bin/sh
echo "$*" >> "${0%/*}/asked"
case "$*" in
  *" logs "*) [ -n "$SPACE" ] || { echo "no space left on device" >&2; exit 1; }; printf '\\033[33mapi\\033[0m  | no such table\\n' ;;
  *" ps "*) echo "api Up 3 seconds (unhealthy)" ;;
  *" down "* | *" stop "*) ;;
  *) echo "container codecov-green-api-1 is unhealthy" >&2; exit 1 ;;
esac
"""
UNHEALTHY = "container codecov-green-api-1 is unhealthy"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where docker writes down what it was asked."""
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(docker.parent), prepend=":")
    return docker.with_name("asked")


def refused(directory: Path, **over: Any) -> str:
    there = plan(directory, split=False)
    there["host"]["deployment"]["containers"] = []
    there["application"]["worker"] = ["worker"]
    variables = {"codecov_plan": there, "__compose_config": {"digest": "d"}}
    said = play(directory, "compose", "release_start", variables, "--extra-vars", json.dumps(over), fails=True)
    return said.replace("\\n", " ")


def test_it_is_removed_and_the_reason_told(asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE", "yes")
    said = refused(tmp_path)
    assert "and was removed" in said and f"Release {SERVES} goes on serving in slot blue." in said and UNHEALTHY in said
    assert "Containers: api Up 3 seconds (unhealthy)" in said and "api | no such table" in said
    assert " down " in asked.read_text()


def test_where_nothing_can_be_done_the_reason_is_told_all_the_same(asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then Ansible's modules fail, too."""
    monkeypatch.setenv("SPACE", "")
    said = refused(tmp_path)
    assert "could not be removed, either" in said and f"Release {SERVES} goes on serving in slot blue." in said and UNHEALTHY in said
    assert "Collect the last lines of its containers: no space left on device" in said and "then run again" in said
    assert " down " not in asked.read_text()


def test_a_colour_that_is_not_well_gets_no_requests_and_no_tasks(asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE", "yes")
    said = refused(tmp_path, __compose_refused_by="blue_green_refused.yml", __compose_colours={"before": {"blue": 100, "green": 0}})
    assert "green is not well, so nothing was switched: blue 100 %, green 0 %." in said and UNHEALTHY in said
    assert "Containers: api Up 3 seconds (unhealthy)" in said and "api | no such table" in said
    assert "stop worker" in asked.read_text() and " down " not in asked.read_text()
