# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that a split deployment survives, with the seconds of interruption that clients of the virtual address saw (pytest -s).

docs/strategy_2_faults.md has the table of these numbers. Each test ends with everything as it was, and with every accepted upload processed."""

from __future__ import annotations

import contextlib
import re
import ssl
import subprocess
import time
import typing as t

import pytest
import yaml
from lab import hosts
from lab.load import Load, UploadStream
from lab.shell import ROOT, LabError, run, wait_until
from scenarios.disks import full_disk
from scenarios.interruption import PER_SECOND, Interruption
from scenarios.playbooks import kill_all_of
from scenarios.split import (
    ADDRESS,
    AUTHORITY,
    BALANCERS,
    DATA,
    NEW,
    STORAGE,
    URL,
    WEB,
    active,
    clients,
    command,
    containers,
    environment,
    holder,
    on,
    playbook,
    receives,
)
from scenarios.uploads import SLUG, Uploads

OLD = {"api": "26.6.11", "worker": "26.6.11"}
DATA_ADDRESS = "10.111.0.106"
REPAIR_AT_ONCE = {"stuck_upload_s": 5, "deadline_s": 120}
UPLOAD_RATE = 4  # a second, where workers shall have something to do
LOAD_RATE = 40  # beside 20 questions a second of the measurement


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Uploads:
    return Uploads(WEB[0], URL, tmp_path_factory.mktemp("uploads"), AUTHORITY)


@pytest.fixture(autouse=True)
def everything_serves(uploads: Uploads) -> t.Iterator[None]:
    wait_until("all web hosts receive requests", all_receive, 60, 0.5)
    yield
    wait_until("all web hosts receive requests again", all_receive, 120, 0.5)
    try:
        wait_until("what is under way is processed", lambda: not uploads.unprocessed(), 20, 1)
    except LabError:
        # What a killed worker had begun waits for the broker's visibility timeout, or for this.
        playbook("repair", codecov_health=REPAIR_AT_ONCE)
    wait_until("every accepted upload is processed", lambda: not uploads.unprocessed(), 90, 1)


def all_receive() -> bool:
    return holder() is not None and all(receives(balancer, server) for balancer in BALANCERS for server in WEB)


def none_receives(server: str, backend: str = "web") -> bool:
    return not any(receives(balancer, server, backend) for balancer in BALANCERS)


@contextlib.contextmanager
def measured(what: str, uploads: Uploads, uploading: bool = True) -> t.Iterator[Interruption]:
    """How long the application did not answer, and what failed of a steady load and of uploads meanwhile."""
    before = len(uploads.accepted), len(uploads.refused)
    stream = uploads.one_after_the_other(pause=1) if uploading else contextlib.nullcontext()
    tls = ssl.create_default_context(cafile=AUTHORITY)
    with stream, Load(URL, LOAD_RATE) as load, Interruption(ADDRESS, "/api_health/", "is live!", tls) as interruption:
        interruption.goes_on(2 * PER_SECOND)
        yield interruption
        interruption.goes_on(3 * PER_SECOND)
    accepted, refused = len(uploads.accepted) - before[0], len(uploads.refused) - before[1]
    print(
        f"\n{what}: {interruption.seconds:.1f} s without an answer; {load.result.failed} of {load.result.requests} requests failed;"
        f" {accepted} uploads accepted, {refused} refused"
    )
    for problem in load.result.examples + [said.strip().rpartition("\n")[2] for said in uploads.refused[before[1] :]]:
        print(f"  {problem}")


def kill_container(host: str, name: str) -> None:
    """Its first process, from outside, as a crash would; `docker kill` would count as stopped by hand."""
    on(host, f"kill -KILL $(docker inspect --format '{{{{.State.Pid}}}}' {name})")


def warned(server: str) -> list[str]:
    """The warnings of `health` about one host."""
    return re.findall(r"^ *(warning .*)$", playbook("health", limit=server), re.MULTILINE)


def test_a_killed_web_and_worker_host(uploads: Uploads) -> None:
    with measured("web and worker host killed", uploads) as interruption:
        started = time.monotonic()
        run("docker", "kill", hosts.container(WEB[1]))
        wait_until("it gets no requests", lambda: none_receives(WEB[1]), 20, 0.1)
        print(f"\nout after {time.monotonic() - started:.1f} s")
        interruption.goes_on(12 * PER_SECOND)  # longer than what a request to the killed host is given
    assert interruption.seconds < 5
    with measured("its return", uploads) as interruption:
        hosts.restart(WEB[1])
        wait_until("it gets requests again", all_receive, 180, 0.5)
    assert interruption.seconds < 5


def test_a_worker_host_killed_while_it_processes(uploads: Uploads) -> None:
    """What it had begun waits for the broker's visibility timeout (15 minutes), or for `repair`; another host then does it."""
    with measured("worker host killed while it processes", uploads, uploading=False) as interruption:
        wait_until("it was stopped while it processes", lambda: stopped_while_it_processes(uploads), 180, 0)
        run("docker", "kill", hosts.container(WEB[1]))
        killed = time.monotonic()
        begun = len(uploads.unprocessed())
        playbook("repair", fails=True, codecov_health=REPAIR_AT_ONCE)  # it says so of the host that is down
        wait_until("the other host did it", lambda: not uploads.unprocessed(), 60, 0.5)
        print(f"\nthe killed host had begun {begun} uploads; all are processed {time.monotonic() - killed:.0f} s after the kill")
    hosts.restart(WEB[1])
    assert begun > 0, "the killed host had nothing to do"
    assert interruption.seconds < 5


def stopped_while_it_processes(uploads: Uploads) -> bool:
    """Stop the worker's processes under uploads, and see whether it had begun any: it may have done the last one just before."""
    worker = f"codecov-{active(WEB[1])['slot']}-worker-1"
    with Load(URL, UPLOAD_RATE, uploads=UploadStream(SLUG, uploads.token, UPLOAD_RATE)) as load:
        wait_until("it has tasks under way", lambda: holds(WEB[1]) > 0, 30, 0.2)
        on(WEB[1], f"docker pause {worker}")
    uploads.accepted += load.result.accepted
    wait_until("the other worker has done what it could", lambda: queued() == 0 and holds(WEB[0]) == 0, 60, 0.5)
    if uploads.unprocessed():
        return True
    on(WEB[1], f"docker unpause {worker}")
    return False


def test_a_killed_storage_host(uploads: Uploads) -> None:
    """The others take and give reports, and each is processed. Scenario storage_cluster kills the one that leads, too."""
    refused = len(uploads.refused)
    with measured("storage host killed", uploads) as interruption:
        run("docker", "kill", hosts.container(STORAGE[0]))
        wait_until("it gets no requests", lambda: none_receives(STORAGE[0], "storage"), 20, 0.1)
        interruption.goes_on(25 * PER_SECOND)  # longer than the election of another leader and what follows it
    assert interruption.seconds < 5
    with measured("its return", uploads) as interruption:
        hosts.restart(STORAGE[0])
        wait_until("it gets requests again", lambda: all(receives(balancer, STORAGE[0], "storage") for balancer in BALANCERS), 180, 0.5)
    assert interruption.seconds < 5
    assert len(uploads.refused) == refused, uploads.refused[refused:]


def test_a_killed_active_balancer(uploads: Uploads) -> None:
    killed = str(holder())
    other = next(name for name in BALANCERS if name != killed)
    with measured("active balancer killed", uploads) as interruption:
        run("docker", "kill", hosts.container(killed))
        wait_until("the other one holds the address", lambda: holder() == other, 20, 0.1)
        interruption.goes_on(10 * PER_SECOND)
    assert interruption.seconds < 6
    with measured("its return", uploads) as interruption:
        hosts.restart(killed)
        wait_until("it sends requests again", all_receive, 60, 0.5)
    assert interruption.seconds < 2
    assert holder() == other, "the address stays where it is"


@pytest.mark.parametrize("how", ["restarted", "killed"])
def test_postgres(uploads: Uploads, how: str) -> None:
    with measured(f"PostgreSQL {how}", uploads) as interruption:
        kill_container(DATA, "codecov-postgres-1") if how == "killed" else on(DATA, "docker restart codecov-postgres-1")
        wait_until("the hosts have noticed, and all receive", all_receive, 60, 0.2)
        interruption.goes_on(5 * PER_SECOND)
    assert interruption.seconds < 20


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


@contextlib.contextmanager
def workers_paused() -> t.Iterator[None]:
    """What is sent meanwhile waits in the queue."""
    workers = {server: f"codecov-{active(server)['slot']}-worker-1" for server in WEB}
    for server, worker in workers.items():
        on(server, f"docker pause {worker}")
    try:
        yield
    finally:
        for server, worker in workers.items():
            on(server, f"docker unpause {worker}")


def holds(server: str) -> int:
    """Tasks that the worker of this host has taken and not done. Asked in the order in which a task goes through them; only this worker answers."""
    ask = (
        "from standin.broker import celery_app; inspect = celery_app.control.inspect(timeout=10, limit=1);"
        " views = (inspect.scheduled, inspect.reserved, inspect.active); print(sum(len(tasks) for view in views for tasks in view().values()))"
    )
    return int(on(server, f'docker exec codecov-{active(server)["slot"]}-worker-1 python -c "{ask}"'))


def queued() -> int:
    """Tasks that no worker has taken yet."""
    password = yaml.safe_load(on(DATA, "cat /opt/codecov/secrets.yml"))["embedded_redis_password"]
    return int(on(DATA, f"docker exec --env REDISCLI_AUTH={password} codecov-redis-1 redis-cli llen celery"))


def test_redis(uploads: Uploads) -> None:
    """Nothing that was queued is lost. Processes that had sent a task before hang in the next one: whether they do is a matter of chance; that they may
    is known, and repaired."""
    with workers_paused():
        uploads.some(4)
        tasks = queued()
        assert tasks >= 4
        for how in ("restarted", "killed"):
            with measured(f"Redis {how}", uploads, uploading=False) as interruption:
                kill_container(DATA, "codecov-redis-1") if how == "killed" else on(DATA, "docker restart codecov-redis-1")
                wait_until("the hosts have noticed, and all receive", all_receive, 60, 0.2)
                interruption.goes_on(5 * PER_SECOND)
            assert interruption.seconds < 20
            assert queued() == tasks
    before = len(uploads.refused)
    for _upload in range(4):
        uploads.one(patience=10)
    # Their clients were told nothing, so nothing was accepted.
    print(f"\nafter Redis was restarted and killed {len(uploads.refused) - before} of 4 uploads hung")
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


def test_a_full_disk_on_a_web_host(uploads: Uploads) -> None:
    """It goes on serving; a change is refused before anything is touched."""
    before = {server: containers(server) for server in WEB}
    with measured("a web host with a full disk", uploads) as interruption, full_disk(WEB[1]):
        assert "s2-app2 can write no temporary file: its disk is full" in playbook("upgrade", fails=True, codecov_versions=other_version())
        on(WEB[1], "mount -t tmpfs tmpfs /tmp")  # as Debian 13 has it: Ansible itself has room
        try:
            said = playbook("upgrade", fails=True, codecov_versions=other_version())
        finally:
            on(WEB[1], "umount --lazy /tmp")
        assert re.search(r"codecov_sizing.minimum_disk_gb: .* has 0.0 GB free", said), said
    assert {server: containers(server) for server in WEB} == before
    assert interruption.seconds < 5


def other_version() -> dict[str, str]:
    return OLD if "26.7.6" in on(WEB[0], "docker ps --format '{{.Image}}'") else NEW


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


def test_a_controller_killed_in_the_middle_of_an_upgrade(uploads: Uploads) -> None:
    versions, before = other_version(), active(WEB[0])
    with clients("upgrade, killed in the middle, then run again", uploads):
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command("upgrade", codecov_versions=versions), cwd=ROOT, env=environment(), start_new_session=True, **pipes) as process:
            stopped = f'test -e /opt/codecov/slots/changing && test -z "$(docker ps --quiet --filter label=covstack.slot={before["slot"]})"'
            wait_until(
                "the first host has stopped what served",
                lambda: run("docker", "exec", hosts.container(WEB[0]), "sh", "-c", stopped, check=False).returncode == 0,
                300,
                0.2,
            )
            kill_all_of(process)
        assert none_receives(WEB[0]) and active(WEB[0]) == before
        started = time.monotonic()
        playbook("upgrade", codecov_versions=versions)
        print(f"\nthe run after the killed one took {time.monotonic() - started:.0f} s")
    assert all(active(server)["slot"] != before["slot"] for server in WEB)
