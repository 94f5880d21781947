# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upgrade, rollback and scaling under a steady load of pages and uploads: no failed request, no lost upload, latencies close to the steady ones.

The steady state is measured before every step, at the same rate, so that whatever else the machine does disturbs both alike. Clients,
controller and host share this machine, where they would not in reality: the clients never wait for a processor, and the controller only
gets what nobody else wants. What happens on the host competes with what serves, as it does in reality.
"""

from __future__ import annotations

import functools
import json
import pathlib
import tempfile
import threading
import typing as t

from lab.load import PAGES, UPLOADS, Load, Result, UploadStream, percentile
from lab.shell import wait_until
from scenarios.uploads import SLUG, Uploads

from . import deployment, peers
from .harness import Bench

RATE = 200
UPLOAD_RATE = 4  # of them: 240 reports a minute
STEADY_SECONDS = 30  # before each step; the first ten of them are often slower than the rest
REQUESTS_AT_LEAST = 20_000
OLD = {"codecov_versions": dict.fromkeys(deployment.IMAGE, deployment.PREVIOUS)}
# Only gets what nobody else wants: by a control group of its own where there is one to be had, by session (autogroup), by niceness.
LAST_IN_LINE = """
for root in /sys/fs/cgroup/cpu /sys/fs/cgroup; do
  if [ -w "$root/cgroup.procs" ]; then
    mkdir -p "$root/covstack-controller"
    if [ -w "$root/covstack-controller/cpu.idle" ]; then
      echo 1 > "$root/covstack-controller/cpu.idle"
      echo $$ > "$root/covstack-controller/cgroup.procs"
      break
    fi
  fi
done
if [ -w /proc/self/autogroup ]; then echo 19 > /proc/self/autogroup; fi
exec nice -n 19 "$@"
"""
LOWEST_PRIORITY = ("setsid", "--wait", "sh", "-euc", LAST_IN_LINE, "sh")


Steps = t.Mapping[str, t.Callable[[], object]]


def run(verb: str, inventory: pathlib.Path, *options: str, **settings: t.Any) -> str:
    """A playbook of the collection, by a controller that takes nothing away from the host."""
    extra = ("--extra-vars", json.dumps(settings)) if settings else ()
    return peers.command(*LOWEST_PRIORITY, str(peers.BIN / "ansible-playbook"), f"covstack.selfhosted.{verb}", "-i", str(inventory), *options, *extra)


def steps(inventory: pathlib.Path) -> Steps:
    """Each begins where the one before ended."""
    return {
        "upgrade": functools.partial(run, "upgrade", inventory),
        "rollback": functools.partial(run, "rollback", inventory),
        "upgrade again": functools.partial(run, "upgrade", inventory),
        "scale up": functools.partial(run, "scale", inventory, codecov_replicas={"api": 2, "worker": 2}),
        "scale down": functools.partial(run, "scale", inventory),
    }


def measure(bench: Bench) -> None:
    inventory = deployment.inventory()
    deployment.run("deploy", inventory, **OLD)
    with tempfile.TemporaryDirectory() as directory:
        repository = Uploads(deployment.HOST, deployment.url(), pathlib.Path(directory))
    stream = UploadStream(SLUG, repository.token, UPLOAD_RATE)
    again = functools.partial(deployment.run, "deploy", inventory, **OLD)
    steady, by_step = measure_steps(bench, deployment.url(), RATE, stream, repository, functools.partial(steps, inventory), again)
    wait_until("all uploads are processed", lambda: not repository.unprocessed(), 120)
    report(bench, steady, by_step)


def measure_steps(
    bench: Bench,
    url: str,
    rate: float,
    stream: UploadStream,
    repository: Uploads,
    steps_of: t.Callable[[], Steps],
    again: t.Callable[[], object] = lambda: None,
    at_least: int = REQUESTS_AT_LEAST,
) -> tuple[list[Result], dict[str, list[Result]]]:
    """The steady state, then a step, for each step; all of them again from the start until so many requests were sent."""
    steady: list[Result] = []
    by_step: dict[str, list[Result]] = {name: [] for name in steps_of()}

    def under_load(action: t.Callable[[], object]) -> Result:
        with Load(url, rate, realtime=True, uploads=stream) as load:
            action()
        repository.accepted += load.result.accepted
        return load.result

    while True:
        for name, action in steps_of().items():
            steady.append(under_load(lambda: threading.Event().wait(STEADY_SECONDS)))  # the load itself is what is waited for
            by_step[name].append(under_load(functools.partial(bench.measure, f"{name} under {rate} requests/s", action, repeat=1)))
        if sum(result.requests for results in by_step.values() for result in results) >= at_least:
            return steady, by_step
        again()


def together(results: t.Sequence[Result], kinds: t.Sequence[str] = (PAGES, UPLOADS)) -> list[float]:
    return [latency for result in results for kind in kinds for latency in result.latencies[kind]]


def report(bench: Bench, steady: list[Result], by_step: dict[str, list[Result]]) -> None:
    during = [result for results in by_step.values() for result in results]
    calm = percentile(together(steady), 0.99)
    bench.value("requests during upgrades, rollbacks and scaling", sum(result.requests for result in during), "")
    bench.value("failed requests", sum(result.failed for result in [*steady, *during]), "", at_most=0)
    bench.value("uploads accepted, and processed to their percentage", sum(len(result.accepted) for result in [*steady, *during]), "")
    for name, results in {"steady": steady, **by_step}.items():
        bench.value(f"{name}: p50", percentile(together(results), 0.5) * 1000, "ms")
        bench.value(f"{name}: p99", percentile(together(results), 0.99) * 1000, "ms")
    bench.value("p99 of the worst step / steady", max(percentile(together(results), 0.99) for results in by_step.values()) / calm, "x")
    bench.value("p99 of all steps / steady", percentile(together(during), 0.99) / calm, "x", at_most=1.5)
    for kind in (PAGES, UPLOADS):
        before, then = (percentile(together(results, [kind]), 0.99) for results in (steady, during))
        bench.value(f"{kind} alone: p99 steady", before * 1000, "ms")
        bench.value(f"{kind} alone: p99 of all steps", then * 1000, "ms")
        bench.value(f"{kind} alone: p99 of all steps / steady", then / before, "x")
    bench.note("Clients never wait for a processor, the playbooks' controller only gets what nobody else wants: both stand for other machines.")
    bench.note("The goal is about all requests, as clients send them. Pages alone take 3 to 7 ms, where one turn of the kernel's scheduler shows.")
    for example in [example for result in [*steady, *during] for example in result.examples][:10]:
        bench.note(f"failed: {example}")
