# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether files are as the last complete run left them: each way in which they are not, and what does not count."""

from __future__ import annotations

import os
import pathlib
import stat
from typing import Callable

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils import _as_left, _inputs

PLAN, INPUTS = "digest of the plan", "digest of the input"


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "codecov.yml").write_text("setup: {}\n")
    (tmp_path / "archive.tar").write_bytes(b"\0" * (_as_left.LARGEST_READ + 1))
    (tmp_path / "link").symlink_to("config")
    _as_left.remember(str(tmp_path), plan=PLAN, inputs=INPUTS)
    return tmp_path


def plan_as_left(directory: pathlib.Path, inputs: str = INPUTS) -> str | None:
    return _as_left.plan_as_left(str(directory), inputs)


def test_what_was_left_is_known_again(directory: pathlib.Path) -> None:
    assert plan_as_left(directory) == PLAN
    assert stat.S_IMODE((directory / _as_left.MARK).stat().st_mode) == 0o600


def change_of_time(directory: pathlib.Path) -> None:
    os.utime(directory / "archive.tar", ns=(1, 1))


CHANGES: dict[str, Callable[[pathlib.Path], object]] = {
    "content": lambda directory: (directory / "config/codecov.yml").write_text("setup: []\n"),
    "mode": lambda directory: (directory / "config/codecov.yml").chmod(0o666),
    "mode of a directory": lambda directory: (directory / "config").chmod(0o777),
    "a further file": lambda directory: (directory / "drain").touch(),
    "a file gone": lambda directory: (directory / "config/codecov.yml").unlink(),
    "another link": lambda directory: [(directory / "link").unlink(), (directory / "link").symlink_to("/etc")],
    "time of a large file": change_of_time,
    "a run that goes on": lambda directory: (directory / _as_left.LOCK).touch(),
    "no mark": lambda directory: (directory / _as_left.MARK).unlink(),
    "a mark of somebody else": lambda directory: (directory / _as_left.MARK).write_text("[]"),
    "a broken mark": lambda directory: (directory / _as_left.MARK).write_text("{"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_anything_else_is_not_as_it_was_left(directory: pathlib.Path, change: Callable[[pathlib.Path], object]) -> None:
    change(directory)
    assert plan_as_left(directory) is None


def test_other_input_is_another_run(directory: pathlib.Path) -> None:
    assert plan_as_left(directory, "other input") is None


def test_the_audit_log_does_not_count(directory: pathlib.Path) -> None:
    (directory / "audit.log").write_text("2026-11-21 somebody did something\n")
    assert plan_as_left(directory) == PLAN


def test_a_host_without_a_deployment(tmp_path: pathlib.Path) -> None:
    assert plan_as_left(tmp_path / "nothing") is None


def test_another_owner_counts(directory: pathlib.Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(directory / "config/codecov.yml", 65534, 65534)
    assert plan_as_left(directory) is None


SETTINGS = {"codecov_config_file": "", "codecov_tls": {"extra_ca_files": []}, "codecov_images": {"archives": []}, "codecov_secrets": {"a": "secret"}}


def inputs(**over: object) -> str:
    return _inputs.inputs_digest({**SETTINGS, **over}, {"docker_engine_source": "distribution"}, str)


def test_equal_input_has_an_equal_digest() -> None:
    assert inputs() == inputs()


def test_settings_secrets_engine_and_files_are_input(tmp_path: pathlib.Path) -> None:
    config, archive = tmp_path / "codecov.yml", tmp_path / "images.tar"
    config.write_text("a: 1\n")
    archive.write_text("1")
    with_file = {"codecov_config_file": str(config), "codecov_images": {"archives": [str(archive)]}}
    before = inputs(**with_file)
    digests = {inputs(), before, inputs(codecov_secrets={"a": "other"}), _inputs.inputs_digest(SETTINGS, {}, str)}
    config.write_text("a: 2\n")
    digests.add(inputs(**with_file))
    archive.write_text("longer")
    digests.add(inputs(**with_file))
    assert len(digests) == 6


def test_the_code_of_the_collection_is_input(tmp_path: pathlib.Path) -> None:
    task = tmp_path / "roles/compose/tasks/main.yml"
    task.parent.mkdir(parents=True)
    task.write_text("---\n")
    before = _inputs.code_digest(str(tmp_path))
    task.write_text("--- # other\n")
    assert _inputs.code_digest(str(tmp_path)) != before


def test_only_variables_of_the_role_that_installs_the_engine_are_its_settings() -> None:
    assert _inputs.engine_variables({"docker_engine_version": "28", "codecov_url": "", "__docker_engine_options": {}}) == {"docker_engine_version": "28"}
