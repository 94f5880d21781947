# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a measurement needs: run things, keep the figures, compare them with each other and with a goal, print a table, store JSON.

    def measure(bench: Bench) -> None:              # in tests/bench/measure_<name>.py
        ours, peer = bench.together({"deploy, nothing to change": lambda: ..., "ansible -m ping": lambda: ...}, repeat=3)
        bench.ratio("nothing to change / ping", ours, peer, at_most=9)
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import statistics
import time
import typing as t

from lab.shell import ROOT, say

OUTPUT = ROOT / "tests" / "output" / "bench.json"


@dataclasses.dataclass(frozen=True)
class Measurement:
    name: str
    runs: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    @property
    def best(self) -> float:
        """What other work on the machine disturbed least."""
        return min(self.runs)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A figure and its goal; without a goal it is only reported."""

    name: str
    value: float
    unit: str
    at_most: float | None

    @property
    def reached(self) -> bool | None:
        return None if self.at_most is None else self.value <= self.at_most


@dataclasses.dataclass
class Section:
    """What one measure_<name>.py found, when, and how busy the machine was at its start."""

    measurements: list[Measurement] = dataclasses.field(default_factory=list)
    verdicts: list[Verdict] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    time: str = dataclasses.field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    load: tuple[float, float, float] = dataclasses.field(default_factory=os.getloadavg)
    complete: bool = False

    def table(self) -> list[str]:
        lines = [f"{'measured':<64} {'best':>10} {'median':>10} {'runs':>5}"]
        lines += [f"{one.name:<64} {one.best:>8.3f} s {one.median:>8.3f} s {len(one.runs):>5}" for one in self.measurements]
        lines += ["", f"{'compared':<64} {'value':>10} {'goal':>10}"]
        for one in self.verdicts:
            goal = "" if one.at_most is None else f"<= {one.at_most:g}"
            mark = {None: "", True: "reached", False: "MISSED"}[one.reached]
            lines.append(f"{one.name:<64} {one.value:>8.3f} {one.unit:<1} {goal:>9} {mark}")
        return [*lines, "", *self.notes] if self.notes else lines

    def content(self) -> dict[str, t.Any]:
        return {
            "time": self.time,
            "machine": {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version(), "load": self.load},
            "measurements": [{**dataclasses.asdict(one), "best": one.best, "median": one.median} for one in self.measurements],
            "verdicts": [{**dataclasses.asdict(one), "reached": one.reached} for one in self.verdicts],
            "notes": self.notes,
        }


class Bench:
    def __init__(self) -> None:
        self.sections: dict[str, Section] = {}
        self._current = Section()

    @contextlib.contextmanager
    def section(self, name: str) -> t.Iterator[None]:
        """What is measured inside belongs to `name`. A section that ends in an error is shown, but not stored."""
        self._current = self.sections[name] = Section()
        yield
        self._current.complete = True

    def measure(self, name: str, action: t.Callable[[], object], repeat: int = 3, before: t.Callable[[], object] | None = None) -> Measurement:
        """Time an action; `before` puts things back before each run and is not counted."""
        runs = []
        for number in range(repeat):
            if before:
                before()
            started = time.perf_counter()
            action()
            runs.append(time.perf_counter() - started)
            say(f"bench: {name} [{number + 1}/{repeat}]: {runs[-1]:.3f} s")
        measurement = Measurement(name, runs)
        self._current.measurements.append(measurement)
        return measurement

    def together(
        self, actions: t.Mapping[str, t.Callable[[], object]], repeat: int = 3, before: t.Mapping[str, t.Callable[[], object]] | None = None
    ) -> list[Measurement]:
        """Time actions in turns, so that whatever else the machine does disturbs all of them alike. What is to be done `before` each is not counted."""
        runs: dict[str, list[float]] = {name: [] for name in actions}
        for number in range(repeat):
            for name, action in actions.items():
                if before and name in before:
                    before[name]()
                started = time.perf_counter()
                action()
                runs[name].append(time.perf_counter() - started)
                say(f"bench: {name} [{number + 1}/{repeat}]: {runs[name][-1]:.3f} s")
        measured = [Measurement(name, times) for name, times in runs.items()]
        self._current.measurements += measured
        return measured

    def ratio(self, name: str, ours: Measurement, theirs: Measurement, at_most: float | None = None) -> float:
        return self.value(name, ours.best / theirs.best, "x", at_most)

    def value(self, name: str, value: float, unit: str, at_most: float | None = None) -> float:
        self._current.verdicts.append(Verdict(name, value, unit, at_most))
        return value

    def note(self, text: str) -> None:
        """Something that a reader must know to judge the figures."""
        self._current.notes.append(text)

    @property
    def missed(self) -> list[Verdict]:
        return [verdict for section in self.sections.values() for verdict in section.verdicts if verdict.reached is False]

    def table(self) -> str:
        return "\n\n".join("\n".join([f"== {name}", *section.table()]) for name, section in self.sections.items())

    def store(self, path: pathlib.Path = OUTPUT) -> None:
        """Sections measured now take the place of older ones; the others stay, each with its time."""
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = json.loads(path.read_text()) if path.exists() else {}
        sections = {name: section.content() for name, section in self.sections.items() if section.complete}
        path.write_text(json.dumps({"sections": {**stored.get("sections", {}), **sections}}, indent=2) + "\n")
