# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage hosts go, and are changed, while reports are read and written through the load balancer; numbers are printed (pytest -s).

docs/storage_cluster.md has the table of these numbers. Each test ends with all hosts up again."""

from __future__ import annotations

import contextlib
import time
import typing as t

import pytest
from lab import hosts
from lab.shell import run, wait_until
from scenarios.cluster import (
    BACK_WITHIN,
    BALANCER,
    INVENTORIES,
    OTHER_VERSION,
    STORAGE,
    VERSION,
    all_receive,
    everything_serves,
    leader,
    offer_other_version,
    version_of,
)
from scenarios.objects import GET, PUT, Bucket, Traffic, unreadable
from scenarios.split import on, playbook, receives
from scenarios.uploads import Uploads

RATE = 5  # writes a second, and as many reads


@contextlib.contextmanager
def measured(what: str, bucket: Bucket, stored: dict[str, str], uploads: Uploads) -> t.Iterator[Traffic]:
    before = len(uploads.accepted), len(uploads.refused)
    with uploads.one_after_the_other(pause=1), Traffic(bucket, RATE, stored) as traffic:
        traffic.goes_on(3 * RATE)
        yield traffic
        traffic.goes_on(5 * RATE)
    accepted, refused = len(uploads.accepted) - before[0], len(uploads.refused) - before[1]
    print(f"\n{what}: PUT {traffic.answers[PUT]}; GET {traffic.answers[GET]}; {accepted} uploads accepted, {refused} refused")
    for problem in (traffic.answers[PUT].failed + traffic.answers[GET].failed)[:5]:
        print(f"  {problem}")


def test_the_balancer_asks_for_what_proves_that_a_storage_host_works() -> None:
    """Its S3 port answers 200 whatever is broken behind it; the filer asks PostgreSQL."""
    backend = on(BALANCER, "cat /etc/covstack/load_balancer/haproxy.cfg").partition("backend storage")[2]
    assert "uri /healthz " in backend
    assert all(f"server {name} {address}:8333 check port 8888" in backend for name, address in STORAGE.items())
    assert all_receive()


@pytest.mark.parametrize("leads", [False, True])
def test_a_killed_storage_host(uploads: Uploads, bucket: Bucket, stored: dict[str, str], leads: bool) -> None:
    wait_until("there is a leader, and all receive requests", everything_serves, BACK_WITHIN, 0.5)
    chosen = leader() if leads else next(name for name in STORAGE if name != leader())
    kind = "the leader" if leads else "a follower"
    with measured(f"{kind} killed", bucket, stored, uploads) as killed:
        started = time.monotonic()
        run("docker", "kill", hosts.container(chosen))
        wait_until("it gets no requests", lambda: not receives(BALANCER, chosen, "storage"), 20, 0.1)
        print(f"\nout after {time.monotonic() - started:.1f} s")
        killed.goes_on(25 * RATE)  # longer than an election and what follows it
    with measured(f"{kind} back", bucket, stored, uploads) as back:
        hosts.restart(chosen)
        wait_until("it gets requests again", all_receive, BACK_WITHIN, 0.5)
    wait_until("every accepted upload is processed", lambda: not uploads.unprocessed(), 60, 1)
    # Those that were under way on it.
    assert len(killed.answers[PUT].failed) + len(killed.answers[GET].failed) <= 2 * RATE
    assert killed.answers[PUT].gap < 30 and killed.answers[GET].gap < 10
    assert not back.answers[PUT].failed and not back.answers[GET].failed


@pytest.mark.parametrize("version", [OTHER_VERSION, VERSION])
def test_a_change_of_all_storage_hosts(uploads: Uploads, bucket: Bucket, stored: dict[str, str], version: str) -> None:
    wait_until("there is a leader, and all receive requests", everything_serves, BACK_WITHIN, 0.5)
    offer_other_version()
    print(f"\n{leader()} leads")
    with measured(f"a change of all storage hosts to {version}", bucket, stored, uploads) as changed:
        playbook("deploy", INVENTORIES, codecov_versions={"storage": version})
    print(f"\n{leader()} leads")
    assert {version_of(name) for name in STORAGE} == {version}
    assert not changed.answers[PUT].failed and not changed.answers[GET].failed
    assert all_receive()


def test_all_that_was_acknowledged_can_be_read_back_through_every_gateway(bucket: Bucket, stored: dict[str, str]) -> None:
    assert len(stored) >= 200
    for address in STORAGE.values():
        assert not unreadable(bucket, stored, f"{address}:8333")


def test_no_upload_was_refused_or_lost(uploads: Uploads) -> None:
    assert len(uploads.accepted) >= 10 and not uploads.refused, uploads.refused
    assert not uploads.unprocessed()
