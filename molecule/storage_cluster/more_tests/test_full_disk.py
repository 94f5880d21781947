# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that hold data, with a full disk; numbers are printed (pytest -s). Each test ends with room on it, and with every accepted upload processed."""

from __future__ import annotations

import json
import re
import time
import typing as t

import pytest
from lab.shell import wait_until
from scenarios.cluster import APP, BACK_WITHIN, INVENTORIES, everything_serves
from scenarios.disks import fill, full_disk, make_room, nearly_fill
from scenarios.objects import GET, PUT, Bucket, Traffic
from scenarios.split import on, playbook
from scenarios.uploads import Uploads

STORAGE_HOST = "sc-storage2"
FEW_MB = 150  # less than a percent of its disk
REQUESTS = 100  # of each kind, while the last byte is gone
REPAIR_AT_ONCE = {"stuck_upload_s": 5, "deadline_s": 120}


@pytest.fixture(autouse=True)
def nothing_is_lost(uploads: Uploads) -> t.Iterator[None]:
    wait_until("everything serves", everything_serves, BACK_WITHIN, 0.5)
    yield
    wait_until("everything serves again", everything_serves, BACK_WITHIN, 0.5)
    wait_until("every accepted upload is processed", lambda: not uploads.unprocessed(), 90, 1)


def unwell(host: str) -> list[str]:
    """Containers that do not run, or not well. Docker's list of them may be wrong: what ends without a free byte runs for good there."""
    state = "{{.Name}} {{.State.Status}} {{with .State.Health}}{{.Status}}{{end}}"
    lines = on(host, f"docker ps --all --quiet | xargs docker inspect --format '{state}'").splitlines()
    return [line for line in lines if " running" not in line or "unhealthy" in line or "starting" in line]


def test_the_data_host(uploads: Uploads) -> None:
    """PostgreSQL and Redis cannot write. When there is room again, `repair` starts what ended, and has processed what was accepted."""
    uploads.some(2)
    before = len(uploads.accepted), len(uploads.refused)
    with full_disk(APP):
        for _upload in range(6):
            uploads.one(patience=20)
        print(f"\non a full disk {len(uploads.accepted) - before[0]} uploads accepted, {len(uploads.refused) - before[1]} refused")
        for said in uploads.refused[before[1] :][:3]:
            print(f"  {said.strip().splitlines()[-1]}")
        assert "sc-app can write no temporary file: its disk is full" in playbook("deploy", INVENTORIES, fails=True)
    print(f"unwell when there is room again: {unwell(APP)}")
    roomy = time.monotonic()
    said = playbook("repair", INVENTORIES, codecov_health=REPAIR_AT_ONCE)
    print(f"repair took {time.monotonic() - roomy:.0f} s; started by it: {re.findall('TASK .*Start what ended', said) != []}")
    wait_until("nothing is unwell", lambda: not unwell(APP), 60, 1)
    uploads.some(4)
    wait_until("every accepted upload is processed", lambda: not uploads.unprocessed(), 90, 1)
    assert set(re.findall(r"changed=(\d+)", playbook("deploy", INVENTORIES))) == {"0"}


def takes_reports(host: str) -> bool:
    """As the program says of its volumes on this host."""
    return not all(volume["ReadOnly"] for volume in json.loads(on(host, "curl --silent http://$(hostname -i):9334/status"))["Volumes"])


def test_a_storage_host(uploads: Uploads, bucket: Bucket, stored: dict[str, str]) -> None:
    """With less than one percent free it takes no more reports, which are written to the others; so nothing fails when the last byte is gone."""
    before = len(uploads.refused)
    with uploads.one_after_the_other(pause=1), Traffic(bucket, 5, stored) as traffic:
        try:
            nearly_fill(STORAGE_HOST, FEW_MB)
            started = time.monotonic()
            wait_until("it takes no more reports", lambda: not takes_reports(STORAGE_HOST), 120, 1)
            print(f"\nit took no more reports {time.monotonic() - started:.0f} s after its disk was nearly full")
            fill(STORAGE_HOST)
            enough = min(answers.asked for answers in traffic.answers.values()) + REQUESTS
            wait_until("enough was asked of it", lambda: min(answers.asked for answers in traffic.answers.values()) >= enough, 120, 1)
        finally:
            make_room(STORAGE_HOST)
        started = time.monotonic()
        wait_until("it takes reports again", lambda: takes_reports(STORAGE_HOST), 120, 1)
        print(f"it took reports again {time.monotonic() - started:.0f} s after there was room")
    print(f"a storage host with a full disk: PUT {traffic.answers[PUT]}; GET {traffic.answers[GET]}; {len(uploads.refused) - before} uploads refused")
    assert not traffic.answers[PUT].failed and not traffic.answers[GET].failed and len(uploads.refused) == before
