# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that finds everything as the last one left it asks one question a host; whatever is not as it was makes a complete run, which puts it right."""

from __future__ import annotations

from typing import Callable

import pytest
from lab.shell import wait_until
from scenarios.split import ASK, BALANCERS, DATA, STORAGE, WEB, changed, executed, holder, on, playbook, receives

QUESTIONS = 1
KEEPER = WEB[0]


def deploy() -> dict[str, int]:
    """How many tasks were executed on each host; none may say that it changed something."""
    said = playbook("deploy")
    tasks = executed(said)
    assert tasks and changed(said) == 0, said[-3000:]
    return tasks


def all_receive() -> bool:
    return holder() is not None and all(receives(balancer, server) for balancer in BALANCERS for server in WEB)


@pytest.fixture(scope="module", autouse=True)
def a_complete_run() -> None:
    """To the versions of the catalogue, whatever the tests before left."""
    playbook("deploy")


def test_each_host_is_asked_once_and_one_proves_the_deployment() -> None:
    asked = deploy()
    # What is done once for all is counted where it is done.
    others = {host: number for host, number in asked.items() if host != KEEPER}
    assert set(others) == {*BALANCERS, *WEB[1:], *STORAGE} and sorted(others.values())[:-1] == [QUESTIONS] * (len(others) - 1)
    assert asked[KEEPER] <= 8


def restart_a_worker() -> None:
    on(WEB[1], "docker restart $(docker ps --quiet --filter label=covstack.service=worker)")


def take_a_server_out() -> None:
    for balancer in BALANCERS:
        question = ASK.replace("show stat -1 4 -1", f"set server web/{WEB[1]} state drain")
        on(balancer, f'python3 -c "{question}"')


def forget() -> None:
    on(DATA, "rm /opt/codecov/as_left.json")


@pytest.mark.parametrize("disturb", [restart_a_worker, take_a_server_out, forget])
def test_whatever_is_not_as_it_was_left_makes_a_complete_run(disturb: Callable[[], None]) -> None:
    disturb()
    wait_until("the workers are well", lambda: "unhealthy" not in on(WEB[1], "docker ps") and "starting" not in on(WEB[1], "docker ps"), 90, 1)
    assert min(executed(playbook("deploy")).values()) > QUESTIONS * 5
    wait_until("all receive", all_receive, 30, 0.5)
    assert min(deploy().values()) == QUESTIONS
