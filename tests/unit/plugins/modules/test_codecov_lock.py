# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deploy lock: one run at a time holds it, and whether the run that does is over is not guessed."""

from __future__ import annotations

import json
import os
import pathlib
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.covstack.selfhosted.plugins.action.codecov_lock import explained
from ansible_collections.covstack.selfhosted.plugins.module_utils import _lock
from ansible_collections.covstack.selfhosted.plugins.module_utils._lock import read_holder, take
from ansible_collections.covstack.selfhosted.plugins.plugin_utils import _on_host
from ansible_collections.covstack.selfhosted.plugins.plugin_utils._run import _started, is_over

COLLECTIONS = str(pathlib.Path(__file__).resolve().parents[4] / ".ansible/collections")
ALICE = {"who": "alice@one", "what": "upgrade", "since": "2026-11-21T08:00:00Z", "run": "one/1/2"}
BOB = {"who": "bob@two", "what": "deploy", "since": "2026-11-21T09:00:00Z", "run": "two/3/4"}


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "codecov" / "deploy.lock")


def test_nobody_holds_a_lock_that_is_not_there(path: str) -> None:
    assert read_holder(path) == {}


def test_the_second_run_does_not_get_it(path: str) -> None:
    assert take(path, ALICE, "") == ALICE
    assert take(path, BOB, "") == ALICE
    assert os.listdir(os.path.dirname(path)) == ["deploy.lock"]


def test_it_is_replaced_only_while_the_run_to_replace_holds_it(path: str) -> None:
    take(path, ALICE, "")
    assert take(path, BOB, "one/9/9") == ALICE
    assert take(path, BOB, ALICE["run"]) == BOB


def test_one_of_many_gets_it(path: str) -> None:
    runs = [{**ALICE, "run": f"one/{number}/0"} for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda run: _take_apart(path, run["run"]), runs))
    assert len(set(answers)) == 1


def _take_apart(path: str, run: str) -> str:
    """In a process of its own, as modules run."""
    code = (
        "import sys; from ansible_collections.covstack.selfhosted.plugins.module_utils._lock import take\n"
        "print(take(sys.argv[1], {'who': 'x', 'what': 'y', 'since': '', 'run': sys.argv[2]}, '')['run'])"
    )
    environment = {**os.environ, "PYTHONPATH": COLLECTIONS}
    return subprocess.run([sys.executable, "-c", code, path, run], env=environment, text=True, capture_output=True, check=True).stdout


def test_the_file_runs_by_itself_as_the_action_sends_it(path: str) -> None:
    def ask(**over: object) -> dict[str, object]:
        question = {"path": path, "state": "present", "holder": ALICE, "replaces": "", "check_mode": False, **over}
        script = _on_host.script_of(_lock.__file__, "answer", [question])
        said = subprocess.run([sys.executable, "-I", "-"], input=script, text=True, capture_output=True, check=True).stdout
        return dict(json.loads(said))

    assert ask(check_mode=True) == {}, "check mode takes none"
    assert ask() == ALICE == ask(holder=BOB)
    assert ask(holder=BOB, state="absent") == ALICE, "who does not hold it gives nothing back"
    assert ask(state="absent") == {} == ask(holder={}, state="status")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"who": "x"}'])
def test_what_cannot_be_read_is_held(path: str, content: str) -> None:
    os.makedirs(os.path.dirname(path))
    pathlib.Path(path).write_text(content)
    assert read_holder(path)["run"] == "unreadable"
    assert take(path, BOB, "")["run"] == "unreadable"
    assert take(path, BOB, "unreadable") == BOB


def test_a_run_is_over_when_its_process_is_gone() -> None:
    node, here = platform.node(), f"{platform.node()}/{os.getpid()}/{_started(os.getpid())}"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert not is_over(here)
    assert is_over(f"{node}/{ended.pid}/12345")
    assert is_over(f"{node}/{os.getpid()}/1"), "another process has the number now"


@pytest.mark.parametrize("run", ["elsewhere/1/2", "unreadable", "", "a/b/c"])
def test_of_other_controllers_nothing_is_known(run: str) -> None:
    assert not is_over(run)


def test_the_refusal_says_who_since_when_and_the_way_out() -> None:
    text = explained(ALICE, "app1", "/opt/codecov/deploy.lock")
    for part in ("app1 is locked by alice@one (upgrade) since 2026-11-21T08:00:00Z", "/opt/codecov/deploy.lock", "codecov_lock_break: true"):
        assert part in text
