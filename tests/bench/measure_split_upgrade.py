# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upgrades of 2 and 4 web and worker hosts: (drain + gate) for each host, one after the other, and what remains besides."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
import pathlib
import typing as t

from . import deployment, peers, split
from .harness import Bench

HOSTS = ("app1", "app2", "app3", "app4")
NUMBERS = (2, 4)
BATCH = 2
REPEAT = 3
# A host, or a batch, has its turn in a play that starts anew for each. The release before has stopped when this task of it begins.
TURN, STOPPED = "Application hosts, one after the other", "Write the audit line"
CONTENT = f"""\
Drain: from the first task of a host's turn until its old containers have stopped. Gate: until the last task of its turn, with its containers started,
proved, and receiving requests from every load balancer. Constant: preflight, files, images, migration, proof by an upload. Nobody asks meanwhile; see
split_load. {REPEAT} runs of each number in turns; every step counts with the run that took least for it, since whole runs differ by more than what is asked
for. The hosts of the largest number run all the time, with the images of both releases."""


@dataclasses.dataclass(frozen=True)
class Start:
    """Of a play or a task, in seconds since the epoch."""

    kind: t.Literal["play", "task"]
    name: str
    seconds: float


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


def undisturbed(runs: t.Sequence[tuple[float, list[Start]]]) -> Upgrade:
    """Of runs, each with its seconds: every step as quick as it was in any of them; what comes before the first and with the last one counts as one."""
    steps = {tuple((start.kind, start.name) for start in starts) for _seconds, starts in runs}
    if len(steps) != 1:
        raise RuntimeError(f"runs of the same upgrade took {' and '.join(str(len(each)) for each in steps)} steps")
    times = [[start.seconds for start in starts] for _seconds, starts in runs]
    until_next = [min(columns) for columns in zip(*([later - sooner for sooner, later in itertools.pairwise(run)] for run in times))]
    begun = itertools.accumulate(until_next, initial=0.0)
    changes = changes_of(dataclasses.replace(start, seconds=seconds) for start, seconds in zip(runs[0][1], begun))
    rest = min(seconds - (run[-1] - run[0]) for (seconds, _starts), run in zip(runs, times))
    return Upgrade(sum(until_next) + rest, changes)


@dataclasses.dataclass
class Measured:
    """Upgrades of one inventory, each from the release before."""

    inventory: pathlib.Path
    settings: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    outputs: list[str] = dataclasses.field(default_factory=list)

    def put_back(self) -> None:
        deployment.run("deploy", self.inventory, codecov_versions=dict.fromkeys(deployment.IMAGE, deployment.PREVIOUS), codecov_smoke="never")

    def upgrade(self) -> None:
        events = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.jsonl"}
        extra = ("--extra-vars", json.dumps(self.settings))
        self.outputs.append(peers.playbook("covstack.selfhosted.upgrade", self.inventory, *extra, environment=events))


def upgrades(bench: Bench, measured: t.Mapping[str, Measured], repeat: int) -> list[Upgrade]:
    before = {name: one.put_back for name, one in measured.items()}
    took = bench.together({name: one.upgrade for name, one in measured.items()}, repeat=repeat, before=before)
    return [undisturbed([*zip(times.runs, map(starts_of, one.outputs))]) for times, one in zip(took, measured.values())]


def measure(bench: Bench) -> None:
    with split.removed_after(split.pair(*HOSTS)):
        compare(bench)


def compare(bench: Bench) -> None:
    # The largest first, so that hosts which a smaller one leaves out are there, and want as much of the machine, in all of them.
    numbers = sorted(NUMBERS, reverse=True)
    measured = {f"upgrade of {number} hosts": Measured(split.inventory(f"upgrade_{number}", split.pair(*HOSTS[:number]))) for number in numbers}
    deployment.run("deploy", next(iter(measured.values())).inventory)
    by_number = dict(zip(numbers, upgrades(bench, measured, REPEAT)))
    batches = Measured(next(iter(measured.values())).inventory, {"codecov_rolling": {"batch": BATCH}})
    [in_batches] = upgrades(bench, {f"upgrade of {numbers[0]} hosts, {BATCH} at a time after the first": batches}, 1)
    for number, best in by_number.items():
        if len(best.changes) != number:
            raise RuntimeError(f"{len(best.changes)} changes were seen of {number} hosts")
        bench.value(f"{number} hosts: all steps", best.seconds, "s")
        bench.value(f"{number} hosts: drain, on average", sum(change.drain for change in best.changes) / number, "s")
        bench.value(f"{number} hosts: gate, on average", sum(change.gate for change in best.changes) / number, "s")
        bench.value(f"{number} hosts: slowest drain + gate", best.slowest, "s")
        bench.value(f"{number} hosts: constant", best.constant, "s")
    bench.value(f"{numbers[0]} hosts, {BATCH} at a time: constant", in_batches.constant, "s")
    most, least = by_number[numbers[0]], by_number[numbers[-1]]
    more = numbers[0] - numbers[-1]
    # How constant the constant is. Stricter than what is asked for below: what all hosts are asked at once costs each of them something.
    bench.value("the constant grows by, for a further host", (most.constant - least.constant) / more, "s")
    bench.value("a further host / the slowest drain + gate", (most.seconds - least.seconds) / more / most.slowest, "x", at_most=1)
    goal = f"{numbers[0]} hosts / ({numbers[0]} x the slowest drain + gate, and the constant of {numbers[-1]} hosts)"
    bench.value(goal, most.seconds / (numbers[0] * most.slowest + least.constant), "x", at_most=1)
    bench.value("the same with the average drain + gate", most.seconds / (numbers[0] * most.average + least.constant), "x")
    bench.note(CONTENT)
