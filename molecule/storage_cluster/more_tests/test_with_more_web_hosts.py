# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Four web and worker hosts, three of which are storage hosts, too: changed two at a time, and with a disk that fills up in the middle."""

from __future__ import annotations

import pathlib
import re
import subprocess

import pytest
import yaml
from lab.shell import ROOT, wait_until
from scenarios.cluster import APP, INVENTORIES, STORAGE
from scenarios.disks import fill, make_room
from scenarios.split import NEW, active, clients, command, environment, on, playbook
from scenarios.uploads import Uploads

OLD = {"api": "26.6.11", "worker": "26.6.11"}
WEB = (APP, *STORAGE)
WITH_DISK = "sc-storage2"


@pytest.fixture(scope="module")
def inventories(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, ...]:
    more = tmp_path_factory.mktemp("inventory") / "more.yml"
    members = {"hosts": dict.fromkeys(STORAGE, {})}
    more.write_text(yaml.safe_dump({"codecov": {"children": {"web": members, "worker": members}}}))
    playbook("scale", (*INVENTORIES, more), codecov_versions=OLD)
    return (*INVENTORIES, more)


def changed_at_once(said: str) -> list[set[str]]:
    """The hosts that each turn of the rolling change touched."""
    turns = re.split(r"^PLAY \[", said, flags=re.MULTILINE)
    rolling = [turn for turn in turns if turn.startswith("Application hosts")]
    return [set(re.findall(r"^changed: \[([^\] ]+)", turn, re.MULTILINE)) for turn in rolling]


def test_batches(uploads: Uploads, inventories: tuple[pathlib.Path, ...]) -> None:
    """The first host is the gate, alone; the others follow two at a time."""
    with clients("upgrade of four hosts, two at a time", uploads):
        said = playbook("upgrade", inventories, codecov_versions=NEW, codecov_rolling={"batch": 2})
    assert changed_at_once(said) == [{WEB[0]}, set(WEB[1:3]), {WEB[3]}]
    with clients("rollback of four hosts, two at a time", uploads):
        said = playbook("rollback", inventories, codecov_rolling={"batch": 2})
    assert changed_at_once(said) == [{WEB[0]}, set(WEB[1:3]), {WEB[3]}]
    wait_until("every accepted upload is processed", lambda: not uploads.unprocessed(), 60, 1)


def test_a_disk_that_fills_up_in_the_middle_of_a_change(uploads: Uploads, inventories: tuple[pathlib.Path, ...]) -> None:
    before = {server: active(server) for server in WEB}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with clients("an upgrade on which a disk fills up, and the next run", uploads):
        try:
            with subprocess.Popen(command("upgrade", inventories, codecov_versions=NEW), cwd=ROOT, env=environment(), text=True, **pipes) as process:
                stopped = f"docker ps --quiet --filter label=covstack.slot={before[WITH_DISK]['slot']}"
                wait_until("the host has stopped what served", lambda: not on(WITH_DISK, stopped), 400, 0.2)
                fill(WITH_DISK)
                said, _nothing = process.communicate(timeout=400)
            assert process.returncode != 0
            assert f"failed on {WITH_DISK}, and going back failed there, too" in said and "free space there: df -h /tmp /var/tmp" in said, said[-2500:]
            assert active(WITH_DISK) == before[WITH_DISK] and active(WEB[3]) == before[WEB[3]]
        finally:
            make_room(WITH_DISK)
        playbook("upgrade", inventories, codecov_versions=NEW)
    assert all(active(server)["slot"] != before[server]["slot"] for server in WEB)
    wait_until("every accepted upload is processed", lambda: not uploads.unprocessed(), 60, 1)
