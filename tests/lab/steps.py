# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the tests step by step, with progress, times, and one closing line that adds everything up: N passed, N failed.

    python -m lab.steps [--list] STEP ...     a step, a group (lint, unit, integration, scenarios), all, or by_hand: the scenarios that `all` leaves out
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import typing as t
import xml.etree.ElementTree

from . import controllers
from .shell import ROOT, say

OUTPUT = ROOT / "tests" / "output"
COLLECTIONS = ".ansible/collections"
LOG_LINES = 60
HEARTBEAT_SECONDS = 30
NEED_IMAGES = {"contract", "probe", "integration", "cluster", *(f"unit:{end}" for end in controllers.ENDS)}
COUNTS = re.compile(r"^(\d+) passed, (\d+) failed", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Step:
    """One program to run. How its tests are counted: junit (its XML), counts (its closing line), or one (its exit code)."""

    name: str
    command: tuple[str, ...]
    count: str = "one"
    environment: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    unproved: str = ""  # what a reader might take it to have shown

    @property
    def log(self) -> pathlib.Path:
        return OUTPUT / "steps" / f"{self.name.replace(':', '-')}.log"

    @property
    def junit(self) -> pathlib.Path:
        return self.log.with_suffix(".xml")


@dataclasses.dataclass(frozen=True)
class Result:
    passed: int
    failed: int
    seconds: float


def python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *arguments)


def lint_steps() -> list[Step]:
    shell = sorted(str(path.relative_to(ROOT)) for path in _tracked() if path.is_file() and path.read_bytes()[:64].split(b"\n")[0].endswith((b"/sh", b"bash")))
    return [
        Step("ruff", python("ruff", "check", ".")),
        Step("mypy", python("mypy", *_typed()), environment={"MYPYPATH": f"tests:{COLLECTIONS}"}),
        Step("mypy:app", python("mypy", "--config-file", "tests/app/mypy.ini")),
        Step("shell", ("sh", "-c", 'for file in "$@"; do bash -n "$file" || exit 1; done', "sh", *shell)),
        Step("ansible-lint", (str(pathlib.Path(sys.executable).parent / "ansible-lint"),)),
        Step("sanity", ("tests/sanity/run",)),
    ]


def _typed() -> list[str]:
    """What mypy reads: our programs, and the plugins at the place whose names they import each other by."""
    programs = [name for name in ("tests/lab", "tests/bench", "tests/cluster") if (ROOT / name / "__init__.py").exists()]
    plugins = ROOT / COLLECTIONS / "ansible_collections/covstack/selfhosted/plugins"
    return [*programs, *sorted(str(path) for path in plugins.glob("*/*.py") if path.name != "__init__.py")]


def _tracked() -> list[pathlib.Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode()
    return [ROOT / name for name in listing.split("\0") if name]


def unit_steps() -> list[Step]:
    step = Step("unit", ())
    return [dataclasses.replace(step, command=python("pytest", "--quiet", f"--junitxml={step.junit}", "tests/unit"), count="junit")]


def integration_steps() -> list[Step]:
    return [
        Step("images", python("lab", "registry", "up")),
        in_contract_image("contract", "app/tests"),
        in_contract_image("probe", "probe"),
        *(unit_with(end) for end in controllers.ENDS),
        cluster_step(),
        Step("integration", ("tests/integration/run",), count="counts"),
    ]


def cluster_step() -> Step:
    """The playbooks for Kubernetes against a stand-in of the API server."""
    unproved = "a real API server, pods, the ingress and the autoscaler: scenario strategy_3, on a cluster of yours"
    step = Step("cluster", (), count="junit", environment={"PYTHONPATH": "tests"}, unproved=unproved)
    return dataclasses.replace(step, command=python("pytest", "--quiet", f"--junitxml={step.junit}", "tests/cluster"))


def unit_with(end: str) -> Step:
    """The unit tests of the plugins with the oldest and the newest supported ansible-core. Scenario `operations` runs playbooks with them."""
    step = Step(f"unit:{end}", (), count="junit")
    # What the tests keep for the next run goes where they can write.
    settings = ("env", "HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis", "python", "-m", "pytest", "--quiet", "-p", "no:cacheprovider")
    tests = (f"--junitxml=/output/{step.junit.name}", "tests/unit/plugins", "tests/unit/roles")
    return dataclasses.replace(step, command=controllers.command(end, *settings, *tests, mounts=[f"{step.junit.parent}:/output"]))


def in_contract_image(name: str, tests: str) -> Step:
    """Tests of this checkout, of the stand-in or of the container probe, among the servers of the test images."""
    step = Step(name, (), count="junit")
    mounts = (*(f"{ROOT}/{name}:/{name}:ro" for name in ("tests", "plugins", "catalogue")), f"{step.junit.parent}:/output")
    volumes = [argument for mount in mounts for argument in ("--volume", mount)]
    # Mounted sources are root's, and read-only: no bytecode beside them.
    command = ("docker", "run", "--rm", "--init", "--env", "PYTHONDONTWRITEBYTECODE=1", *volumes, "covstack-lab/contract:latest")
    return dataclasses.replace(step, command=(*command, f"--junitxml=/output/{step.junit.name}", tests))


# Scenarios that `make test` leaves out, and why; `make scenario NAME=...` runs them.
BY_HAND = {
    "blue_green": "it takes about 15 minutes: each change goes on under load, and is killed in each of its tasks",
    "blue_green_split": "it takes about 20 minutes, on five hosts",
    "resilience": "it keeps both processors busy for ten minutes, with which all tests together would take more than 25",
    "storage_cluster": "its tests alone take 4 minutes, and its numbers say something only where nothing else runs, see docs/storage_cluster.md",
    "strategy_2": "it takes about 45 minutes, longer than everything else",
    "strategy_3": "it needs a Kubernetes cluster, which KUBECONFIG names, and there is none here; step `cluster` runs the playbooks against a stand-in",
}


def scenario_names() -> list[str]:
    """The lab's own scenario first: where it fails, the others say nothing."""
    return sorted((path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")), key=lambda name: (name != "smoke", name))


def scenario(name: str) -> Step:
    step = Step(f"scenario:{name}", (str(pathlib.Path(sys.executable).parent / "molecule"), "test", "--scenario-name", name), count="junit")
    # The numbers that its tests print are kept in the XML.
    return dataclasses.replace(step, environment={"PYTEST_ADDOPTS": f"--junitxml={step.junit} --override-ini=junit_logging=system-out"})


def groups() -> dict[str, list[Step]]:
    return {
        "lint": lint_steps(),
        "unit": unit_steps(),
        "integration": integration_steps(),
        "scenarios": [scenario(name) for name in scenario_names() if name not in BY_HAND],
    }


def resolve(words: t.Sequence[str]) -> list[Step]:
    known = groups()
    every = [step for steps in known.values() for step in steps]
    by_hand = [scenario(name) for name in BY_HAND]
    sets = {"all": every, **known, "by_hand": by_hand}
    chosen: list[Step] = []
    for word in words:
        found = sets.get(word) or [step for step in every + by_hand if step.name == word]
        if not found:
            sys.exit(f"no step {word}; there are: {', '.join([*sets, *(step.name for step in every + by_hand)])}")
        chosen += [step for step in found if step not in chosen]  # twice at the same time they would disturb each other
    return chosen


def run(step: Step) -> Result:
    """Run one step with its output in a log; show signs of life, and the end of the log when it failed."""
    step.log.parent.mkdir(parents=True, exist_ok=True)
    step.junit.unlink(missing_ok=True)
    started = time.monotonic()
    say(f"      ... {step.name}")
    environment = {**os.environ, "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1", **step.environment}
    with step.log.open("w") as log:
        process = subprocess.Popen(step.command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        while True:
            try:
                code = process.wait(HEARTBEAT_SECONDS)
                break
            except subprocess.TimeoutExpired:
                say(f"      ... {step.name}, {time.monotonic() - started:.0f} s: {_last_line(step.log)}")
    passed, failed = _count(step, code)
    return Result(passed, failed, time.monotonic() - started)


def _last_line(log: pathlib.Path) -> str:
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip(" │|\t") for line in log.read_text(errors="replace").splitlines()[-20:]]
    return next((line for line in reversed(lines) if line), "")[:100]


def _count(step: Step, code: int) -> tuple[int, int]:
    """Passed and failed. A program that failed without a failed test of its own is one failure; success is never less than one."""
    passed = failed = 0
    if step.count == "junit" and step.junit.exists():
        for suite in xml.etree.ElementTree.parse(step.junit).getroot().iter("testsuite"):
            wrong = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            failed += wrong
            passed += int(suite.get("tests", 0)) - wrong - int(suite.get("skipped", 0))
    elif step.count == "counts":
        for found in COUNTS.finditer(step.log.read_text(errors="replace")):
            passed, failed = int(found[1]), int(found[2])
    if step.name.startswith("scenario:") and code == 0:
        passed += 1  # created, checked, converged, unchanged the second time, destroyed
    if code != 0:
        return passed, max(failed, 1)
    return max(passed, 1), failed


def report(step: Step, result: Result, progress: str) -> None:
    verdict = "FAIL" if result.failed else "pass"
    say(f"{progress:<16} {verdict}  {step.name:<28} {result.passed:>5} passed {result.failed:>3} failed {result.seconds:>7.1f} s")
    if step.unproved:
        say(f"      not proved by it: {step.unproved}")
    if result.failed:
        say("".join(f"      {line}\n" for line in step.log.read_text(errors="replace").splitlines()[-LOG_LINES:]) + f"      whole log: {step.log}")


def lanes(steps: t.Sequence[Step]) -> list[collections.deque[Step]]:
    """What computes, and what mostly waits for hosts, side by side. JOBS=1: one after the other."""
    if len(steps) == 1 or os.environ.get("JOBS") == "1":
        return [collections.deque(steps)]
    waits = [step for step in steps if step.name == "images" or step.name.startswith("scenario:")]
    return [collections.deque(step for step in steps if step not in waits), collections.deque(waits)]


def next_step(queues: t.Sequence[collections.deque[Step]]) -> Step | None:
    """Of the lane's own queue; when that is done, it helps with the others'."""
    for queue in queues:
        with contextlib.suppress(IndexError):
            return queue.popleft()
    return None


def run_lane(queues: t.Sequence[collections.deque[Step]], images_ready: threading.Event, done: t.Callable[[Step, Result], None]) -> None:
    try:
        while step := next_step(queues):
            if step.name in NEED_IMAGES:
                images_ready.wait()
            done(step, run(step))
            if step.name == "images":
                images_ready.set()
    finally:
        images_ready.set()  # whatever happened here, the other lane must not wait for ever


def main(arguments: t.Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="lab.steps")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("steps", nargs="+")
    options = parser.parse_args(arguments)
    steps = resolve(options.steps)
    if options.list:
        print("\n".join(step.name.removeprefix("scenario:") for step in steps))
        return 0
    started = time.monotonic()
    results: list[Result] = []
    speaking = threading.Lock()
    images_ready = threading.Event()
    if not any(step.name == "images" for step in steps):
        images_ready.set()

    def done(step: Step, result: Result) -> None:
        with speaking:
            results.append(result)
            report(step, result, f"[{len(results)}/{len(steps)}, {time.monotonic() - started:.0f} s]")

    with concurrent.futures.ThreadPoolExecutor() as pool:
        queues = lanes(steps)
        for lane in [pool.submit(run_lane, [*queues[number:], *queues[:number]], images_ready, done) for number in range(len(queues))]:
            lane.result()
    passed, failed = sum(result.passed for result in results), sum(result.failed for result in results)
    say(f"all of it: {time.monotonic() - started:.0f} s")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
