# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upgrades of 2, 3 and 4 web and worker hosts: (drain + gate) for each host, one after the other, and what remains besides."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
import typing as t

from . import deployment, peers, split
from .harness import Bench

HOSTS = ("app1", "app2", "app3", "app4")
NUMBERS = (2, 3, 4)
BATCH = 2
# A change of a host begins with the first of these tasks; the release before has stopped when the second begins, and the third is its last.
BEGIN, STOPPED, END = "Mark the host as one that is being changed", "Write the audit line", "Say that the change is over"
CONTENT = """\
Drain: from the first step that changes a host until its old containers have stopped. Gate: until the host is back, with its containers started, proved, and
receiving requests from every load balancer. Constant: preflight, files, images, migration, proof by an upload. Nobody asks meanwhile; see split_load."""


@dataclasses.dataclass(frozen=True)
class Change:
    """Of one host, or of a batch."""

    drain: float
    gate: float


@dataclasses.dataclass(frozen=True)
class Upgrade:
    seconds: float
    changes: list[Change]

    @property
    def constant(self) -> float:
        return self.seconds - sum(change.drain + change.gate for change in self.changes)


def tasks_of(output: str) -> list[tuple[str, float]]:
    """Name and start of every task, and the end of the run under no name."""
    events = [json.loads(line) for line in output.splitlines() if line.startswith('{"_event"')]
    started = [event for event in events if event["_event"] == "v2_playbook_on_task_start"]
    return [(event["task"]["name"].rpartition(" : ")[2], _seconds(event["task"]["duration"]["start"])) for event in started]


def _seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def changes_of(tasks: t.Sequence[tuple[str, float]]) -> list[Change]:
    changes: list[Change] = []
    begun = stopped = None
    for (name, started), (_next, ended) in zip(tasks, tasks[1:]):
        if name == BEGIN:
            begun, stopped = started, None
        elif name == STOPPED and begun and not stopped:
            stopped = started
        elif name == END and begun and stopped:
            changes.append(Change(stopped - begun, ended - stopped))
            begun = None
    return changes


def upgrade(bench: Bench, name: str, inventory: pathlib.Path, **settings: t.Any) -> Upgrade:
    deployment.run("deploy", inventory, codecov_versions=dict.fromkeys(deployment.IMAGE, deployment.PREVIOUS), codecov_smoke="never")
    outputs: list[str] = []
    events = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.jsonl"}
    extra = ("--extra-vars", json.dumps(settings))
    took = bench.measure(name, lambda: outputs.append(peers.playbook("covstack.selfhosted.upgrade", inventory, *extra, environment=events)), repeat=1)
    return Upgrade(took.best, changes_of(tasks_of(outputs[0])))


def measure(bench: Bench) -> None:
    with split.removed_after(split.pair(*HOSTS)):
        compare(bench)


def compare(bench: Bench) -> None:
    by_number = {}
    for number in NUMBERS:
        inventory = split.inventory(f"upgrade_{number}", split.pair(*HOSTS[:number]))
        by_number[number] = upgrade(bench, f"upgrade of {number} hosts", inventory)
    in_batches = upgrade(bench, f"upgrade of {number} hosts, {BATCH} at a time after the first", inventory, codecov_rolling={"batch": BATCH})
    for number, one in by_number.items():
        if len(one.changes) != number:
            raise RuntimeError(f"{len(one.changes)} changes were seen of {number} hosts")
        bench.value(f"{number} hosts: drain, on average", sum(change.drain for change in one.changes) / number, "s")
        bench.value(f"{number} hosts: gate, on average", sum(change.gate for change in one.changes) / number, "s")
        bench.value(f"{number} hosts: constant", one.constant, "s")
    bench.value(f"{number} hosts, {BATCH} at a time: constant", in_batches.constant, "s")
    least, most = by_number[min(NUMBERS)], by_number[max(NUMBERS)]
    slowest = max(change.drain + change.gate for change in most.changes)
    goal = f"{max(NUMBERS)} hosts / ({max(NUMBERS)} x the slowest drain + gate, and the constant of {min(NUMBERS)} hosts)"
    bench.value(goal, most.seconds / (max(NUMBERS) * slowest + least.constant), "x", at_most=1)
    bench.note(CONTENT)
