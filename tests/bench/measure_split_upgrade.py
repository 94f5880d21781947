# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upgrades of 2, 3 and 4 web and worker hosts: (drain + gate) for each host, one after the other, and what remains besides.

What remains is done on all hosts at once. On machines of their own that takes as long for four as for two; here they share the processors, so what these
were busy with for the further hosts is counted, and taken out of the comparison.
"""

from __future__ import annotations

import bisect
import dataclasses
import datetime
import json
import os
import pathlib
import threading
import time
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
receiving requests from every load balancer. Constant: the rest, which is done on all hosts at once or on one: preflight, files, images, migration, proof by an
upload. Busy: what all processors of the machine together spent in it, for all hosts and the controller. Nobody asks meanwhile; see split_load."""
PROCESSORS = os.cpu_count() or 1
SAMPLE_S = 0.2


@dataclasses.dataclass(frozen=True)
class Change:
    """Of one host, or of a batch: when it begins, when the release before has stopped, and when it is over (seconds since the epoch)."""

    begun: float
    stopped: float
    ended: float

    @property
    def drain(self) -> float:
        return self.stopped - self.begun

    @property
    def gate(self) -> float:
        return self.ended - self.stopped


@dataclasses.dataclass(frozen=True)
class Upgrade:
    seconds: float
    changes: list[Change]
    busy: float  # processor seconds outside of the changes

    @property
    def constant(self) -> float:
        return self.seconds - sum(change.ended - change.begun for change in self.changes)


class Busy:
    """How many processor seconds this machine spent, at any time of the block."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def _sample(self) -> None:
        while True:
            self._samples.append((time.time(), _processor_seconds()))
            if self._over.wait(SAMPLE_S):
                return

    def __enter__(self) -> Busy:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def between(self, begun: float, ended: float) -> float:
        return self._at(ended) - self._at(begun)

    def total(self) -> float:
        return self._samples[-1][1] - self._samples[0][1]

    def _at(self, moment: float) -> float:
        return self._samples[min(bisect.bisect(self._samples, (moment,)), len(self._samples) - 1)][1]


def _processor_seconds() -> float:
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, *_others = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(map(int, (user, nice, system, interrupts, soft_interrupts))) / os.sysconf("SC_CLK_TCK")


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
            changes.append(Change(begun, stopped, ended))
            begun = None
    return changes


def upgrade(bench: Bench, name: str, inventory: pathlib.Path, **settings: t.Any) -> Upgrade:
    deployment.run("deploy", inventory, codecov_versions=dict.fromkeys(deployment.IMAGE, deployment.PREVIOUS), codecov_smoke="never")
    outputs: list[str] = []
    events = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.jsonl"}
    extra = ("--extra-vars", json.dumps(settings))
    with Busy() as busy:
        took = bench.measure(name, lambda: outputs.append(peers.playbook("covstack.selfhosted.upgrade", inventory, *extra, environment=events)), repeat=1)
    changes = changes_of(tasks_of(outputs[0]))
    return Upgrade(took.best, changes, busy.total() - sum(busy.between(change.begun, change.ended) for change in changes))


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
        bench.value(f"{number} hosts: constant, processors busy", one.busy, "s")
    bench.value(f"{number} hosts, {BATCH} at a time: constant", in_batches.constant, "s")
    least, most = by_number[min(NUMBERS)], by_number[max(NUMBERS)]
    shared = (most.busy - least.busy) / PROCESSORS
    further = (most.constant - shared) / least.constant
    bench.value("constant of 4 hosts, without the processors' work for two of them / constant of 2 hosts", further, "x", at_most=1.1)
    bench.note(CONTENT)
