# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two colours on two sets of hosts, while clients go on asking and uploading. The tests run in this order; each begins where the one before ended."""

from __future__ import annotations

import collections
import json
import pathlib
import subprocess
import typing as t
import urllib.request

import pytest
from lab.load import Load
from lab.shell import ROOT, wait_until
from scenarios import split
from scenarios.uploads import Uploads

SCENARIO = pathlib.Path(__file__).parents[1]
INVENTORIES = (ROOT / "molecule/shared/inventory", SCENARIO / "inventory", ROOT / ".cache/lab/scenarios/blue_green_split/hosts.yml")
URL = "http://10.111.0.149"
STAGE = "stage.codecov.example.com"
BALANCERS, BLUE, GREEN = ("bg-lb1", "bg-lb2"), "bg-app1", "bg-app2"
RATE = 60  # requests a second: what two cores carry beside a running playbook, hosts included
NEW = {"codecov_versions": {"api": "26.7.6", "worker": "26.7.6"}}
NEVER_HEALTHY = {"codecov_versions": {"api": "26.8.0", "worker": "26.8.0"}, "codecov_health": {"deadline_s": 40}}
ALL = {"api", "frontend", "gateway", "readiness", "worker"}


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Uploads:
    return Uploads(BLUE, URL, tmp_path_factory.mktemp("uploads"))


def play(verb: str, *options: str, fails: bool = False, **settings: t.Any) -> str:
    command = [*split.command(verb, INVENTORIES, **{**NEW, **settings}), *options]
    done = subprocess.run(command, cwd=ROOT, env=split.environment(), text=True, capture_output=True, timeout=500, check=False)
    assert (done.returncode != 0) == fails, done.stdout[-5000:] + done.stderr[-2000:]
    return done.stdout


def change(action: str, *options: str, fails: bool = False, over: t.Mapping[str, t.Any] | None = None, **more: t.Any) -> str:
    return play("blue_green", *options, fails=fails, codecov_blue_green={"action": action, "host": STAGE, **more}, **(over or {}))


def under_load(uploads: Uploads, action: str, **more: t.Any) -> None:
    """The playbook, while clients ask and upload through the virtual address; not one request may fail."""
    with Load(URL, RATE, at_least=1_000) as load, uploads.one_after_the_other(pause=3):
        change(action, **more)
    result = load.result
    print(f"{action} {more}: {result.requests} requests, {result.failed} failed, p99 {result.p99 * 1000:.0f} ms")
    assert result.failed == 0, result.examples
    assert not uploads.refused, uploads.refused


def nothing_changed(output: str) -> bool:
    return output.count("changed=") == output.count("changed=0 ") > 0


def running(host: str) -> set[str]:
    return {name.split()[1] for name in split.containers(host)}


def version(host: str) -> str:
    return split.on(host, "docker ps --filter label=covstack.service=api --format '{{.Image}}'").strip().rpartition(":")[2]


def mark(host: str) -> str:
    return split.on(host, "cat /opt/codecov/slots/active.yml").partition("release=")[2].partition(" ")[2].strip()


def servers(count: int, **headers: str) -> collections.Counter[str]:
    """Which host answers: the balancers' own word for it is in the log of their requests alone, so each gateway is asked who it is."""
    before = {host: asked(host) for host in (BLUE, GREEN)}
    for _request in range(count):
        with urllib.request.urlopen(urllib.request.Request(URL + "/api_health/", headers=headers), timeout=10) as response:
            assert response.status == 200
    return collections.Counter({host: asked(host) - before[host] for host in before})


def asked(host: str) -> int:
    """Requests from outside that the host's gateway got, as the balancers count them."""
    total = 0
    for balancer in BALANCERS:
        lines = split.on(balancer, f'python3 -c "{split.ASK}"').splitlines()
        total += sum(int(line.split(",")[7]) for line in lines if line.split(",")[1:2] == [host])
    return total


def test_colours_come_from_the_inventory() -> None:
    output = play("blue_green", "--extra-vars", json.dumps({"codecov_blue_green": {"action": "switch", "slot": "green"}}), fails=True)
    assert "there is no green to switch to or from" in output


def test_stage_is_changed_while_it_gets_no_requests(uploads: Uploads) -> None:
    under_load(uploads, "deploy")
    assert (version(BLUE), version(GREEN)) == ("26.6.11", "26.7.6")
    assert (running(BLUE), running(GREEN)) == (ALL, ALL - {"worker"}), "what is tested takes no task of users"
    assert mark(BLUE) == mark(GREEN) == "blue=100 green=0"
    assert servers(20) == {BLUE: 20, GREEN: 0}
    assert servers(20, Host=STAGE) == {BLUE: 0, GREEN: 20}
    assert nothing_changed(change("deploy"))


def test_other_changes_wait() -> None:
    assert "a change of colours is under way" in play("deploy", fails=True)


def test_shares_at_every_balancer(uploads: Uploads) -> None:
    under_load(uploads, "switch", slot="green", weight=20)
    assert running(GREEN) == ALL
    found = servers(100)
    assert found[GREEN] in range(19, 22), found
    assert nothing_changed(change("switch", slot="green", weight=20))


def test_a_whole_switch_and_back(uploads: Uploads) -> None:
    for slot, serving, idle in (("green", GREEN, BLUE), ("blue", BLUE, GREEN), ("green", GREEN, BLUE)):
        under_load(uploads, "switch", slot=slot)
        assert (running(serving), running(idle)) == (ALL, ALL - {"worker"})
        assert servers(20) == {serving: 20, idle: 0}


def test_the_end_brings_the_release_to_the_other_hosts(uploads: Uploads) -> None:
    under_load(uploads, "clean_up")
    assert version(BLUE) == version(GREEN) == "26.7.6"
    assert running(BLUE) == running(GREEN) == ALL
    assert mark(BLUE) == mark(GREEN) == ""
    assert min(servers(20).values()) >= 9
    assert nothing_changed(change("clean_up"))
    play("deploy")
    assert nothing_changed(play("deploy"))


def test_a_stage_that_is_refused_serves_what_it_served(uploads: Uploads) -> None:
    output = change("deploy", fails=True, over=NEVER_HEALTHY, slot="blue")
    assert "was refused on bg-app1" in output
    assert running(BLUE) == running(GREEN) == ALL
    under_load(uploads, "clean_up", slot="blue")
    assert mark(BLUE) == mark(GREEN) == ""


def test_no_upload_was_lost(uploads: Uploads) -> None:
    assert len(uploads.accepted) >= 8
    wait_until("all uploads are processed", lambda: not uploads.unprocessed(), 60, 1)
