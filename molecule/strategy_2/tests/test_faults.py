# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that a split deployment survives, with the seconds of interruption that clients of the virtual address saw (pytest -s).

docs/strategy_2_faults.md has the table of these numbers. Each test ends with everything as it was, and with every accepted upload processed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
import typing as t

import pytest
from lab import hosts
from lab.load import Load
from lab.shell import ROOT, run, wait_until
from scenarios.interruption import Interruption
from scenarios.split import ADDRESS, BALANCERS, DATA, NEW, URL, WEB, active, clients, command, environment, holder, on, playbook, receives
from scenarios.uploads import Uploads

OLD = {"api": "26.6.11", "worker": "26.6.11"}
DATA_ADDRESS = "10.111.0.106"
REPAIR_AT_ONCE = {"stuck_upload_s": 5, "deadline_s": 120}
LOAD_RATE = 40  # beside 20 questions a second of the measurement


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Uploads:
    return Uploads(WEB[0], URL, tmp_path_factory.mktemp("uploads"))


@pytest.fixture(autouse=True)
def everything_serves(uploads: Uploads) -> t.Iterator[None]:
    wait_until("all web hosts receive requests", all_receive, 60, 0.5)
    yield
    wait_until("all web hosts receive requests again", all_receive, 120, 0.5)
    if uploads.unprocessed():
        # What a killed worker had begun waits for the broker's visibility timeout, or for this.
        playbook("repair", codecov_health=REPAIR_AT_ONCE)
    wait_until("every accepted upload is processed", lambda: not uploads.unprocessed(), 90, 1)


def all_receive() -> bool:
    return holder() is not None and all(receives(balancer, server) for balancer in BALANCERS for server in WEB)


def none_receives(server: str) -> bool:
    return not any(receives(balancer, server) for balancer in BALANCERS)


@contextlib.contextmanager
def measured(what: str, uploads: Uploads, uploading: bool = True) -> t.Iterator[Interruption]:
    """How long the application did not answer, and what failed of a steady load and of uploads meanwhile."""
    before = len(uploads.accepted), len(uploads.refused)
    stream = uploads.one_after_the_other(pause=1) if uploading else contextlib.nullcontext()
    with stream, Load(URL, LOAD_RATE) as load, Interruption(ADDRESS, "/api_health/", "is live!") as interruption:
        time.sleep(2)  # of undisturbed service first
        yield interruption
        time.sleep(3)
    accepted, refused = len(uploads.accepted) - before[0], len(uploads.refused) - before[1]
    print(
        f"\n{what}: {interruption.seconds:.1f} s without an answer; {load.result.failed} of {load.result.requests} requests failed;"
        f" {accepted} uploads accepted, {refused} refused"
    )


def test_a_killed_web_and_worker_host(uploads: Uploads) -> None:
    with measured("web and worker host killed", uploads) as interruption:
        started = time.monotonic()
        run("docker", "kill", hosts.container(WEB[1]))
        wait_until("it gets no requests", lambda: none_receives(WEB[1]), 20, 0.1)
        print(f"\nout after {time.monotonic() - started:.1f} s")
    assert interruption.seconds < 5
    with measured("its return", uploads) as interruption:
        hosts.restart(WEB[1])
        wait_until("it gets requests again", all_receive, 180, 0.5)
    assert interruption.seconds < 5


def test_a_killed_active_balancer(uploads: Uploads) -> None:
    killed = str(holder())
    other = next(name for name in BALANCERS if name != killed)
    with measured("active balancer killed", uploads) as interruption:
        run("docker", "kill", hosts.container(killed))
        wait_until("the other one holds the address", lambda: holder() == other, 20, 0.1)
    assert interruption.seconds < 6
    with measured("its return", uploads) as interruption:
        hosts.restart(killed)
        wait_until("it sends requests again", all_receive, 60, 0.5)
    assert interruption.seconds < 2
    assert holder() == other, "the address stays where it is"


def test_a_restarted_postgres(uploads: Uploads) -> None:
    with measured("postgres restarted", uploads) as interruption:
        on(DATA, "docker restart codecov-postgres-1")
        wait_until("all receive", all_receive, 60, 0.2)
    assert interruption.seconds < 20


def warned(server: str) -> list[str]:
    """The warnings of `health` about one host."""
    return re.findall(r"^ *(warning .*)$", playbook("health", limit=server), re.MULTILINE)


def test_a_restarted_redis(uploads: Uploads) -> None:
    """Processes that had sent a task before hang in the next one. Whether they do is a matter of chance; that they may is known, and repaired."""
    uploads.some(4)
    with measured("redis restarted", uploads, uploading=False) as interruption:
        on(DATA, "docker restart codecov-redis-1")
        wait_until("all receive", all_receive, 60, 0.2)
    assert interruption.seconds < 20
    for _upload in range(4):
        uploads.one(patience=10)
    print(f"\nafter Redis was restarted {len(uploads.refused)} of 4 uploads hung")
    uploads.refused.clear()  # their clients were told nothing, so nothing was accepted
    assert all("redis_restart" in "".join(warned(server)) for server in WEB)
    with measured("repair", uploads, uploading=False) as interruption:
        started = time.monotonic()
        playbook("repair", codecov_health=REPAIR_AT_ONCE)
        print(f"\nrepair took {time.monotonic() - started:.0f} s")
    assert interruption.seconds < 5
    uploads.some(4)
    wait_until("all are processed", lambda: not uploads.unprocessed(), 60, 1)
    assert not any("redis_restart" in "".join(warned(server)) for server in WEB)
    assert set(re.findall(r"changed=(\d+)", playbook("repair", codecov_health=REPAIR_AT_ONCE))) == {"0"}


@pytest.mark.parametrize(("service", "port"), [("Redis", 6379), ("PostgreSQL", 5432)])
def test_a_web_host_that_is_cut_off(uploads: Uploads, service: str, port: int) -> None:
    rule = f"--table raw %s PREROUTING --protocol tcp --destination {DATA_ADDRESS} --dport {port} --jump DROP"
    with measured(f"a web host cut off from {service}", uploads) as interruption:
        started = time.monotonic()
        on(WEB[1], f"iptables {rule % '--insert'}")
        try:
            wait_until("it gets no requests", lambda: none_receives(WEB[1]), 30, 0.1)
            print(f"\nout after {time.monotonic() - started:.1f} s")
        finally:
            on(WEB[1], f"iptables {rule % '--delete'}")
        wait_until("it gets requests again", all_receive, 60, 0.2)
    assert interruption.seconds < 5


def test_an_upgrade_while_a_balancer_is_down(uploads: Uploads) -> None:
    standby = next(name for name in BALANCERS if name != holder())
    before = {server: active(server) for server in WEB}
    run("docker", "kill", hosts.container(standby))
    try:
        with clients("upgrade without the standby balancer", uploads):
            said = playbook("upgrade", limit=f"all:!{standby}", codecov_versions=other_version())
    finally:
        hosts.restart(standby)
    assert f"{standby} did not answer and was passed over" in said
    assert all(active(server)["slot"] != before[server]["slot"] for server in WEB)


def other_version() -> dict[str, str]:
    return OLD if "26.7.6" in on(WEB[0], "docker ps --format '{{.Image}}'") else NEW


def test_a_controller_killed_in_the_middle_of_an_upgrade(uploads: Uploads) -> None:
    versions, before = other_version(), active(WEB[0])
    with clients("upgrade, killed in the middle, then run again", uploads):
        process = subprocess.Popen(
            command("upgrade", codecov_versions=versions),
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        stopped = f'test -e /opt/codecov/slots/changing && test -z "$(docker ps --quiet --filter label=covstack.slot={before["slot"]})"'
        wait_until(
            "the first host has stopped what served",
            lambda: run("docker", "exec", hosts.container(WEB[0]), "sh", "-c", stopped, check=False).returncode == 0,
            300,
            0.2,
        )
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert none_receives(WEB[0]) and active(WEB[0]) == before
        playbook("upgrade", codecov_versions=versions)
    assert all(active(server)["slot"] != before["slot"] for server in WEB)
    playbook("upgrade")
