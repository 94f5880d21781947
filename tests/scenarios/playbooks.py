# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks run against one host of the lab, watched task by task, and killed in the middle of one."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import typing as t

from lab import hosts
from lab.shell import ROOT, output

# What only computes or includes on the controller; everything else has its module at work on the host.
ON_CONTROLLER = {"include_tasks", "include_role", "import_tasks", "set_fact", "debug", "fail", "assert", "meta", "validate_argument_spec"}
LONGEST_RUN = 400


@dataclasses.dataclass(frozen=True)
class Task:
    """One task that a run executed on the host."""

    key: str  # its name and file: a name alone may be there twice
    started: float
    seconds: float
    changed: bool


@dataclasses.dataclass
class Run:
    """What one run of a playbook said: jsonl, one event a line."""

    code: int
    events: list[dict[str, t.Any]]
    other: list[str]  # lines that are no events

    @property
    def tasks(self) -> list[Task]:
        found: dict[str, Task] = {}
        for event in self.events:
            for result in event.get("hosts", {}).values() if event["_event"] == "v2_runner_on_ok" else ():
                if result["action"].rpartition(".")[2] not in ON_CONTROLLER:
                    started, ended = (_time(event["task"]["duration"][edge]) for edge in ("start", "end"))
                    key = _key(event["task"])
                    found.setdefault(key, Task(key, started, ended - started, bool(result.get("changed"))))
        return list(found.values())

    @property
    def changes(self) -> list[str]:
        """The tasks that changed anything."""
        ended = [event for event in self.events if event["_event"] == "v2_runner_on_ok"]
        return [_key(event["task"]) for event in ended for result in event["hosts"].values() if result.get("changed")]

    @property
    def at_work(self) -> str | None:
        """The task that had begun and not ended when the events stopped."""
        begun = [event["task"] for event in self.events if event["_event"] == "v2_playbook_on_task_start"]
        ended = {event["task"]["id"] for event in self.events if event["_event"].startswith("v2_runner_on_")}
        return _key(begun[-1]) if begun and begun[-1]["id"] not in ended else None

    def __str__(self) -> str:
        failures = [json.dumps(event, indent=1)[:4000] for event in self.events if event["_event"] in ("v2_runner_on_failed", "v2_runner_on_unreachable")]
        return "\n".join([f"ended with {self.code}", *failures, *self.other[-20:]])


def _key(task: t.Mapping[str, t.Any]) -> str:
    return f"{task['name']} ({pathlib.Path(task['path'].rpartition(':')[0]).name})"


def _time(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Deployment:
    """One host with an inventory of its own: its settings are those of the scenario's group `codecov`."""

    def __init__(self, host: str, scenario: pathlib.Path, directory: pathlib.Path) -> None:
        self.host = host
        inventory = directory / host
        inventory.mkdir()
        (inventory / "hosts.yml").write_text(hosts.inventory({"codecov": [host]}))
        (inventory / "group_vars").symlink_to(scenario / "inventory/group_vars")
        self._extra_vars = directory / f"{host}.json"
        self._inventories = (ROOT / "molecule/shared/inventory", inventory)

    def on_host(self, script: str) -> str:
        return output("docker", "exec", hosts.container(self.host), "sh", "-euc", script)

    def run(self, verb: str, settings: t.Mapping[str, t.Any], *options: str) -> Run:
        done = self.try_to(verb, settings, *options)
        assert done.code == 0, f"{self.host}: {verb} {done}"
        return done

    def try_to(self, verb: str, settings: t.Mapping[str, t.Any], *options: str) -> Run:
        """Run a playbook that may fail."""
        return self._watched(verb, settings, lambda _key, _kill: None, options)

    def kill_in(self, task: Task, settings: t.Mapping[str, t.Any], verb: str = "deploy") -> str | None:
        """Run a playbook, and kill all of Ansible in the middle of the task; what it started on the host is left to itself.

        Returns the task in which the run died: none if the run was between tasks, or never came to that one and so ended by itself."""
        timers: list[threading.Timer] = []

        def kill_half_way(key: str, kill: t.Callable[[], None]) -> None:
            if key == task.key and not timers:
                timers.append(threading.Timer(task.seconds / 2, kill))
                timers[0].start()

        died = self._watched(verb, settings, kill_half_way)
        for timer in timers:
            timer.cancel()
        assert died.code in (0, -signal.SIGKILL), f"{self.host}: to be killed in {task.key}: {died}"
        return died.at_work if died.code else None

    def _watched(self, verb: str, settings: t.Mapping[str, t.Any], begun: t.Callable[[str, t.Callable[[], None]], None], options: t.Sequence[str] = ()) -> Run:
        """Run a playbook and be told of each task that begins."""
        command = [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), f"covstack.selfhosted.{verb}", *options]
        command += ["--extra-vars", f"@{self._extra_vars}"]
        for inventory in self._inventories:
            command += ["--inventory", str(inventory)]
        self._extra_vars.touch(0o600)  # settings may carry secrets
        self._extra_vars.write_text(json.dumps(settings))
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.jsonl"}
        pipes: dict[str, t.Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        run = Run(0, [], [])
        with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, start_new_session=True, **pipes) as process:
            giving_up = threading.Timer(LONGEST_RUN, kill_all_of, (process,))
            giving_up.start()
            assert process.stdout
            for line in process.stdout:
                if not line.startswith('{"_event"'):
                    run.other.append(line.rstrip())
                    continue
                event = json.loads(line)
                run.events.append(event)
                if event["_event"] == "v2_playbook_on_task_start":
                    begun(_key(event["task"]), lambda: kill_all_of(process))
            run.code = process.wait()
            giving_up.cancel()
        return run


def kill_all_of(process: subprocess.Popen[str]) -> None:
    """With its workers, which Ansible puts into sessions of their own, and their ssh. All are stopped before their children are counted, so that
    none escapes by starting another."""
    doomed = [process.pid] if process.poll() is None else []
    for pid in doomed:  # grows while it is gone through
        _signal(pid, signal.SIGSTOP)
        doomed += [int(child) for child in output("ps", "--ppid", str(pid), "-o", "pid=", check=False).split()]
    for pid in doomed:
        _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it ended by itself in the meantime
