# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs with nothing to do where hosts are reached in other ways than in scenario strategy_2: sudo asks for a password, --limit, a Redis of others."""

from __future__ import annotations

import contextlib
import pathlib
import secrets
import typing as t

import pytest
import yaml
from lab.shell import wait_until
from scenarios.cluster import APP, BALANCER, INVENTORIES, OTHER_VERSION, STORAGE, VERSION, offer_other_version, version_of
from scenarios.split import changed, executed, on, playbook

ALL = (BALANCER, APP, *STORAGE)
QUESTIONS = 1
LICENSE = {"enterprise_license": "{{ lookup('ansible.builtin.file', lab_directory ~ '/license') }}"}
REDIS_HOST, REDIS_PORT = "sc-storage3", 6380


def asked_only(said: str, *names: str) -> None:
    """Each of these hosts was asked one question, and one of them proved the deployment; a task that runs once for all counts where it ran."""
    tasks = executed(said)
    assert set(tasks) == set(names) and changed(said) == 0, said[-3000:]
    assert sorted(tasks.values())[:-2] == [QUESTIONS] * (len(names) - 2) and max(tasks.values()) <= 8, tasks


@pytest.fixture(autouse=True)
def a_complete_run() -> None:
    playbook("deploy", INVENTORIES)


@pytest.fixture
def by_sudo(tmp_path: pathlib.Path) -> t.Iterator[tuple[pathlib.Path, ...]]:
    """Inventories by which the hosts are reached as a user whose sudo asks for a password."""
    password = secrets.token_urlsafe(16)
    reached = tmp_path / "hosts.yml"
    reached.touch(0o600)
    reached.write_text(yaml.safe_dump({"all": {"hosts": {name: {"ansible_user": "ops", "ansible_become_password": password} for name in ALL}}}))
    for name in ALL:
        on(name, f"echo 'ops:{password}' | chpasswd; echo 'ops ALL=(ALL:ALL) ALL' > /etc/sudoers.d/ops")
    yield (*INVENTORIES, reached)
    for name in ALL:
        on(name, "echo 'ops ALL=(ALL:ALL) NOPASSWD: ALL' > /etc/sudoers.d/ops")


def test_sudo_that_asks_for_a_password(by_sudo: tuple[pathlib.Path, ...]) -> None:
    asked_only(playbook("deploy", by_sudo), *ALL)
    on(APP, "docker restart codecov-redis-1")
    assert min(executed(playbook("deploy", by_sudo)).values()) > QUESTIONS * 5
    asked_only(playbook("deploy", by_sudo), *ALL)


def test_sudo_with_a_wrong_password_is_named(by_sudo: tuple[pathlib.Path, ...]) -> None:
    assert "Incorrect sudo password" in playbook("deploy", by_sudo, fails=True, ansible_become_password="wrong")


def test_limit() -> None:
    asked_only(playbook("deploy", INVENTORIES, limit=f"all:!{BALANCER}"), APP, *STORAGE)
    # Another version on one host, by a run that leaves out all others, is noticed by the next one.
    offer_other_version()
    playbook("deploy", INVENTORIES, limit="sc-storage1", codecov_versions={"storage": OTHER_VERSION})
    assert version_of("sc-storage1") == OTHER_VERSION
    said = playbook("deploy", INVENTORIES)
    assert min(executed(said).values()) > QUESTIONS * 5
    assert version_of("sc-storage1") == VERSION
    asked_only(playbook("deploy", INVENTORIES), *ALL)


@contextlib.contextmanager
def redis_of_others() -> t.Iterator[dict[str, t.Any]]:
    """The settings by which it is used."""
    password = secrets.token_urlsafe(16)
    image = on(APP, "docker inspect --format '{{.Config.Image}}' codecov-redis-1")
    published = f"{STORAGE[REDIS_HOST]}:{REDIS_PORT}:6379"
    on(REDIS_HOST, f"docker run --detach --name redis-of-others --publish {published} {image} redis-server --requirepass {password}")
    try:
        redis = {"mode": "external", "host": STORAGE[REDIS_HOST], "port": REDIS_PORT}
        yield {"codecov_redis": redis, "codecov_secrets": {**LICENSE, "redis_password": password}}
    finally:
        playbook("deploy", INVENTORIES)
        on(REDIS_HOST, "docker rm --force --volumes redis-of-others")


def test_a_redis_of_others() -> None:
    with redis_of_others() as settings:
        playbook("deploy", INVENTORIES, **settings)
        asked_only(playbook("deploy", INVENTORIES, **settings), *ALL)
        on(REDIS_HOST, "docker restart redis-of-others")
        wait_until("the application has noticed", lambda: "unhealthy" not in on(APP, "docker ps"), 60, 0.5)
        said = playbook("deploy", INVENTORIES, **settings)
        assert min(executed(said).values()) > QUESTIONS * 5
        asked_only(playbook("deploy", INVENTORIES, **settings), *ALL)
