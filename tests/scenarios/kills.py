# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments killed in the middle of their tasks, on several hosts side by side, each compared with an uninterrupted run on the same host.

A story begins on a host that serves one version and deploys the other: a run is killed before the switch, the run that repairs it is killed after
the switch, the next one is left alone. Then the host must look as it does after an uninterrupted change. Changes of the number of containers and of the
platform are killed in the tasks that only they execute. Which tasks there are to be killed in is not written down here: uninterrupted runs tell."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import itertools
import threading
import time
import typing as t

import yaml

from .pictures import Picture, differences, picture
from .playbooks import Deployment, Task

OLD = {"codecov_versions": {"api": "26.6.11", "worker": "26.6.11"}}
NEW: dict[str, t.Any] = {}  # the catalogue's versions
SCALED = {"codecov_replicas": {"api": 2, "worker": 2}}
WITH_METRICS = {"codecov_edge": {"metrics_address": "127.0.0.1:9100"}}
SAME_RELEASE = (NEW, SCALED, NEW, WITH_METRICS, NEW)  # from each to the next is a change that rolls no release out
SECRETS = "/opt/codecov/secrets.yml"
TRIES = 4  # a task may be over before the kill comes when the machine has less to do than in the run that was measured


@dataclasses.dataclass
class Kill:
    task: Task
    tries: int = 0


class KilledRuns:
    def __init__(self, deployments: t.Sequence[Deployment]) -> None:
        self.log: list[str] = []
        self.killed: set[str] = set()
        self._first, self._second = deployments
        self._pool = concurrent.futures.ThreadPoolExecutor(4)
        self._futures: list[concurrent.futures.Future[None]] = []
        self._first_tasks: concurrent.futures.Future[list[Task]] = concurrent.futures.Future()
        self._planned = threading.Event()
        self._given_up = threading.Event()
        self._lock = threading.Lock()
        self._before: list[Kill] = []
        self._after: list[Kill] = []
        self._wanted: set[str] = set()

    @contextlib.contextmanager
    def in_the_background(self) -> t.Iterator[None]:
        self._first_deployment = self._pool.submit(self._in_time, self._kill_first_deployments, self._first)
        self._futures = [self._pool.submit(self._in_time, self._after_first, self._first), self._pool.submit(self._in_time, self._plan, self._second)]
        try:
            yield
        finally:
            self._give_up()
            self._pool.shutdown(cancel_futures=True)

    def first_deployment(self) -> None:
        self._first_deployment.result()

    def lend(self, deployment: Deployment) -> None:
        """One more host, which serves the new version already."""
        self._futures.append(self._pool.submit(self._in_time, self._change_and_work, deployment))

    def finish(self) -> None:
        for future in concurrent.futures.as_completed(self._futures):
            future.result()
        assert self._wanted <= self.killed, f"never killed in: {self._wanted - self.killed}"

    def _in_time(self, work: t.Callable[[Deployment], None], deployment: Deployment) -> None:
        """Others that wait for what this host was to find out are told when it failed."""
        try:
            work(deployment)
        except BaseException as error:
            self.log.append(f"{deployment.host}: {error}")
            if work == self._plan:
                if not self._first_tasks.done():
                    self._first_tasks.set_exception(RuntimeError(f"{deployment.host}: {error}"))
                self._give_up()
            raise

    def _give_up(self) -> None:
        self._given_up.set()
        self._planned.set()

    def _say(self, deployment: Deployment, started: float, what: str) -> None:
        self.log.append(f"{time.strftime('%H:%M:%S')} {deployment.host}: {what}: {time.monotonic() - started:.0f} s")

    # ---- the first deployment of a host ------------------------------------------------------------------------------------------
    def _kill_first_deployments(self, deployment: Deployment) -> None:
        tasks = [task for task in self._first_tasks.result() if task.changed]
        started = time.monotonic()
        secrets: dict[str, str] = {}
        died: list[str] = []
        for task in tasks:
            found = deployment.kill_in(task, NEW)
            if found:
                died.append(found)
            now = self._secrets(deployment)
            other = sorted(name for name, value in secrets.items() if now.get(name) != value)
            assert not other, f"generated again after the kill in {task.key}: {other}"
            secrets = now
        deployment.run("deploy", NEW)
        after_kills = picture(deployment.host)
        assert self._secrets(deployment) == secrets
        self._say(deployment, started, f"first deployment, killed in {', then '.join(died)}; repaired")
        started = time.monotonic()
        self._empty(deployment)
        deployment.run("deploy", {**NEW, "codecov_secrets": secrets})
        self._compare(deployment, picture(deployment.host), after_kills, died)
        self._say(deployment, started, "emptied and deployed with the same secrets, uninterrupted")
        assert len(set(died)) >= 5, died
        with self._lock:
            self.killed |= set(died)

    def _secrets(self, deployment: Deployment) -> dict[str, str]:
        return yaml.safe_load(deployment.on_host(f"test ! -e {SECRETS} || cat {SECRETS}")) or {}

    def _empty(self, deployment: Deployment) -> None:
        deployment.run("remove", {"codecov_purge": True})
        left = deployment.on_host("docker ps --all --quiet; docker volume ls --quiet; ls -d /opt/codecov 2>/dev/null || true")
        assert left == "", f"{deployment.host}: left after purge: {left}"

    def _after_first(self, deployment: Deployment) -> None:
        concurrent.futures.wait([self._first_deployment])
        if not self._first_deployment.exception():  # which is reported by its own test
            self._work(deployment)

    # ---- changes of version --------------------------------------------------------------------------------------------------------
    def _plan(self, deployment: Deployment) -> None:
        started = time.monotonic()
        self._first_tasks.set_result(deployment.run("deploy", NEW).tasks)
        self._say(deployment, started, "first deployment, uninterrupted")
        self._work(deployment)

    def _work(self, deployment: Deployment) -> None:
        expected = [self._uninterrupted(deployment, settings) for settings in (OLD, NEW)]
        turn = 0
        self._planned.wait()
        while not self._given_up.is_set():
            with self._lock:
                chain = [kills.pop(0) for kills in (self._before, self._after) if kills]
            if not chain:
                break
            self._story(deployment, chain, (OLD, NEW)[turn], expected[turn])
            turn = 1 - turn
        if not self._given_up.is_set():
            settled = (NEW, OLD)[turn]
            assert deployment.run("deploy", settled).changes == []
            deployment.run("health", settled)

    def _uninterrupted(self, deployment: Deployment, settings: t.Mapping[str, t.Any]) -> Picture:
        started = time.monotonic()
        done = deployment.run("deploy", settings)
        self._say(deployment, started, "change of version, uninterrupted")
        with self._lock:
            # Planned by the second change on the first host that gets there: from then on all releases' files are there already.
            if settings is NEW and not self._wanted:
                switched = float(deployment.on_host("stat --format %.Y /opt/codecov/edge/dynamic/active.yml"))
                self._before = [Kill(task) for task in done.tasks if task.started <= switched]
                self._after = [Kill(task) for task in done.tasks if task.started > switched]
                self._wanted = {task.key for task in done.tasks}
                self._planned.set()
        return picture(deployment.host)

    def _story(self, deployment: Deployment, chain: t.Sequence[Kill], settings: t.Mapping[str, t.Any], expected: Picture) -> None:
        started = time.monotonic()
        died: list[str] = []
        for kill in chain:
            found = deployment.kill_in(kill.task, settings)
            died.append(found or "no task")
            if found != kill.task.key:
                self._again(kill)
        deployment.run("deploy", settings)
        self._compare(deployment, expected, picture(deployment.host), died)
        with self._lock:
            self.killed |= set(died) - {"no task"}
        self._say(deployment, started, f"killed in {', then '.join(died)}; repaired")

    def _again(self, kill: Kill) -> None:
        """Sooner in the task, in a later story."""
        assert kill.tries < TRIES, f"{kill.task.key}: over before the kill, {TRIES} times"
        with self._lock:
            self._before.append(Kill(dataclasses.replace(kill.task, seconds=kill.task.seconds / 2), kill.tries + 1))

    # ---- changes that roll no release out ---------------------------------------------------------------------------------------------
    def _change_and_work(self, deployment: Deployment) -> None:
        self._planned.wait()
        for change in itertools.pairwise(SAME_RELEASE):
            started = time.monotonic()
            tasks, expected = deployment.run("deploy", change[1]).tasks, picture(deployment.host)
            self._say(deployment, started, f"change to {change[1]}, uninterrupted")
            with self._lock:
                new = [task for task in tasks if task.key not in self._wanted]
                self._wanted |= {task.key for task in new}
            for task in new:
                self._kill_change(deployment, task, change, expected)
        self._work(deployment)

    def _kill_change(self, deployment: Deployment, task: Task, change: tuple[t.Mapping[str, t.Any], t.Mapping[str, t.Any]], expected: Picture) -> None:
        started = time.monotonic()
        before, after = change
        for number in range(TRIES + 1):
            deployment.run("deploy", before)
            found = deployment.kill_in(dataclasses.replace(task, seconds=task.seconds / 2**number), after)
            deployment.run("deploy", after)
            self._compare(deployment, expected, picture(deployment.host), [found or "no task"])
            if found == task.key:
                break
        assert found == task.key, f"{task.key}: over before the kill, {TRIES} times"
        with self._lock:
            self.killed.add(task.key)
        self._say(deployment, started, f"change to {after}, killed in {found}; repaired")

    def _compare(self, deployment: Deployment, expected: Picture, found: Picture, died: t.Sequence[str]) -> None:
        other = differences(expected, found)
        assert not other, f"{deployment.host}, killed in {', then '.join(died)}:\n" + "\n".join(other)
