# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A storage host goes while reports are read and written through the load balancer; numbers are printed (pytest -s).

docs/storage_cluster.md has the table of these numbers. Each test ends with all hosts up again."""

from __future__ import annotations

import contextlib
import json
import time
import typing as t

import pytest
import yaml
from lab import hosts
from lab.shell import run, wait_until
from scenarios.objects import GET, PUT, Bucket, Traffic, unreadable
from scenarios.split import on, receives
from scenarios.uploads import Uploads

BALANCER, APP = "sc-lb", "sc-app"
STORAGE = {"sc-storage1": "10.111.0.111", "sc-storage2": "10.111.0.112", "sc-storage3": "10.111.0.113"}
URL = "http://10.111.0.109"
RATE = 5  # writes a second, and as many reads
BACK_WITHIN = 120


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Uploads:
    return Uploads(APP, URL, tmp_path_factory.mktemp("uploads"))


@pytest.fixture(scope="module")
def bucket() -> Bucket:
    settings = yaml.safe_load(on(APP, "cat /opt/codecov/config/codecov.yml"))["services"]["minio"]
    return Bucket(URL, settings["bucket"], settings["access_key_id"], settings["secret_access_key"])


@pytest.fixture(scope="module")
def stored() -> dict[str, str]:
    """Everything that was acknowledged, over all tests."""
    return {}


def all_receive() -> bool:
    return all(receives(BALANCER, name, "storage") for name in STORAGE)


def leader() -> str:
    """The storage host whose master decides what is written where, as its program says; empty while there is none."""
    for name in set(STORAGE) & set(hosts.addresses()):
        answer = on(name, "curl --silent --max-time 2 http://$(hostname -i):9333/cluster/status || true")
        address = (json.loads(answer or "{}").get("Leader") or "").partition(":")[0]
        if address in STORAGE.values():
            return next(host for host, own in STORAGE.items() if own == address)
    return ""


@contextlib.contextmanager
def measured(what: str, bucket: Bucket, stored: dict[str, str], uploads: Uploads) -> t.Iterator[Traffic]:
    before = len(uploads.accepted), len(uploads.refused)
    with uploads.one_after_the_other(pause=1), Traffic(bucket, RATE, stored) as traffic:
        time.sleep(3)  # of undisturbed service first
        yield traffic
        time.sleep(5)
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
    wait_until("there is a leader, and all receive requests", lambda: bool(leader()) and all_receive(), BACK_WITHIN, 0.5)
    chosen = leader() if leads else next(name for name in STORAGE if name != leader())
    kind = "the leader" if leads else "a follower"
    with measured(f"{kind} killed", bucket, stored, uploads) as killed:
        started = time.monotonic()
        run("docker", "kill", hosts.container(chosen))
        wait_until("it gets no requests", lambda: not receives(BALANCER, chosen, "storage"), 20, 0.1)
        print(f"\nout after {time.monotonic() - started:.1f} s")
        time.sleep(25)  # longer than an election and what follows it
    with measured(f"{kind} back", bucket, stored, uploads) as back:
        hosts.restart(chosen)
        wait_until("it gets requests again", all_receive, BACK_WITHIN, 0.5)
    wait_until("every accepted upload is processed", lambda: not uploads.unprocessed(), 60, 1)
    # Those that were under way on it.
    assert len(killed.answers[PUT].failed) + len(killed.answers[GET].failed) <= 2 * RATE
    assert killed.answers[PUT].gap < 30 and killed.answers[GET].gap < 10
    assert not back.answers[PUT].failed and not back.answers[GET].failed


def test_all_that_was_acknowledged_can_be_read_back_through_every_gateway(bucket: Bucket, stored: dict[str, str]) -> None:
    assert len(stored) >= 200
    for address in STORAGE.values():
        assert not unreadable(bucket, stored, f"{address}:8333")


def test_no_upload_was_refused_or_lost(uploads: Uploads) -> None:
    assert len(uploads.accepted) >= 10 and not uploads.refused, uploads.refused
    assert not uploads.unprocessed()
