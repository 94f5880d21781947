# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upgrades of 2 and 4 web and worker hosts: (drain + gate) for each host, one after the other, and what remains besides."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import pathlib
import typing as t

from . import deployment, machines, peers, split
from .harness import Bench

HOSTS = ("app1", "app2", "app3", "app4")
NUMBERS = (2, 4)
REPEAT = 2
# A host has its turn in a play that starts anew for each. The release before has stopped when this task of it begins.
TURN, STOPPED = "Application hosts, one after the other", "Write the audit line"
CONTENT = """\
Drain: from the first task of a host's turn until its old containers have stopped. Gate: until the last task of its turn, with its containers started,
proved, and receiving requests from every load balancer. Constant: preflight, files, images, migration, proof by an upload. Nobody asks meanwhile; see
split_load. Several runs of each number in turns, the best of which counts; the hosts of the largest run all the time, with the images of both releases.
Each host has {part:.2f} of a processor for itself, no more and no less, so that none waits for another: as machines of their own, but slow ones."""


@dataclasses.dataclass(frozen=True)
class Start:
    """Of a play or a task, in seconds since the epoch."""

    kind: t.Literal["play", "task"]
    name: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class Change:
    """Of one host."""

    drain: float
    gate: float


@dataclasses.dataclass(frozen=True)
class Upgrade:
    seconds: float
    changes: list[Change]

    @property
    def constant(self) -> float:
        return self.seconds - sum(self._turns)

    @property
    def slowest(self) -> float:
        return max(self._turns)

    @property
    def average(self) -> float:
        return sum(self._turns) / len(self._turns)

    @property
    def _turns(self) -> list[float]:
        return [change.drain + change.gate for change in self.changes]


def starts_of(output: str) -> list[Start]:
    """Every play and task, as the callback ansible.posix.jsonl tells of them."""
    starts = []
    for line in output.splitlines():
        event: dict[str, t.Any] = json.loads(line) if line.startswith('{"_event"') else {"_event": ""}
        if event["_event"] == "v2_playbook_on_play_start":
            starts.append(Start("play", event["play"]["name"], _seconds(event["play"]["duration"]["start"])))
        elif event["_event"] == "v2_playbook_on_task_start":
            starts.append(Start("task", event["task"]["name"].rpartition(" : ")[2], _seconds(event["task"]["duration"]["start"])))
    return starts


def _seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def changes_of(starts: t.Iterable[Start]) -> list[Change]:
    changes: list[Change] = []
    begun = stopped = None
    for start in starts:
        if start.kind == "play":
            if begun and stopped:
                changes.append(Change(stopped - begun, start.seconds - stopped))
            begun, stopped = start.seconds if start.name.startswith(TURN) else None, None
        elif start.name == STOPPED and begun and not stopped:
            stopped = start.seconds
    return changes


@dataclasses.dataclass
class Measured:
    """Upgrades of one inventory, each from the release before."""

    inventory: pathlib.Path
    outputs: list[str] = dataclasses.field(default_factory=list)

    def put_back(self) -> None:
        deployment.run("deploy", self.inventory, codecov_versions=dict.fromkeys(deployment.IMAGE, deployment.PREVIOUS), codecov_smoke="never")

    def upgrade(self) -> None:
        events = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.jsonl"}
        self.outputs.append(peers.playbook("covstack.selfhosted.upgrade", self.inventory, environment=events))


def upgrade(measured: Measured, everyone: t.Collection[str]) -> None:
    with machines.shared_out(everyone):
        measured.upgrade()


def upgrades(bench: Bench, measured: t.Mapping[str, Measured], everyone: t.Collection[str]) -> list[Upgrade]:
    """The best of each. Only while they are upgraded the hosts have no more than their parts."""
    before = {name: one.put_back for name, one in measured.items()}
    took = bench.together({name: functools.partial(upgrade, one, everyone) for name, one in measured.items()}, repeat=REPEAT, before=before)
    return [Upgrade(times.best, changes_of(starts_of(one.outputs[times.runs.index(times.best)]))) for times, one in zip(took, measured.values())]


def measure(bench: Bench) -> None:
    with split.removed_after(split.pair(*HOSTS)):
        compare(bench)


def compare(bench: Bench) -> None:
    # The largest first, so that hosts which a smaller one leaves out are there, and want as much of the machine, in all of them.
    numbers = sorted(NUMBERS, reverse=True)
    measured = {f"upgrade of {number} hosts": Measured(split.inventory(f"upgrade_{number}", split.pair(*HOSTS[:number]))) for number in numbers}
    deployment.run("deploy", next(iter(measured.values())).inventory)
    everyone = {split.host(member) for members in split.pair(*HOSTS).values() for member in members}
    by_number = dict(zip(numbers, upgrades(bench, measured, everyone)))
    for number, best in by_number.items():
        if len(best.changes) != number:
            raise RuntimeError(f"{len(best.changes)} changes were seen of {number} hosts")
        bench.value(f"{number} hosts: drain, on average", sum(change.drain for change in best.changes) / number, "s")
        bench.value(f"{number} hosts: gate, on average", sum(change.gate for change in best.changes) / number, "s")
        bench.value(f"{number} hosts: slowest drain + gate", best.slowest, "s")
        bench.value(f"{number} hosts: constant", best.constant, "s")
    most, least = by_number[numbers[0]], by_number[numbers[-1]]
    goal = f"{numbers[0]} hosts / ({numbers[0]} x the slowest drain + gate, and the constant of {numbers[-1]} hosts)"
    bench.value(goal, most.seconds / (numbers[0] * most.slowest + least.constant), "x", at_most=1)
    bench.value("the same with the average drain + gate", most.seconds / (numbers[0] * most.average + least.constant), "x")
    bench.note(CONTENT.format(part=machines.part_of(everyone)))
