# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upgrade, rollback and scaling under a steady load: no failed request, and latencies close to those of the steady state."""

from __future__ import annotations

import pathlib
import threading
import typing as t

from lab.load import Load

from . import deployment
from .harness import Bench

RATE = 80
STEADY_SECONDS = 60
REQUESTS_AT_LEAST = 20_000
OLD = {"codecov_versions": dict.fromkeys(deployment.IMAGE, deployment.PREVIOUS)}


def steps(inventory: pathlib.Path) -> dict[str, t.Callable[[], str]]:
    """Each begins where the one before ended."""
    return {
        "upgrade": lambda: deployment.run("upgrade", inventory),
        "rollback": lambda: deployment.run("rollback", inventory),
        "upgrade again": lambda: deployment.run("upgrade", inventory),
        "scale up": lambda: deployment.run("scale", inventory, codecov_replicas={"api": 2, "worker": 2}),
        "scale down": lambda: deployment.run("scale", inventory),
    }


def measure(bench: Bench) -> None:
    inventory = deployment.inventory()
    deployment.run("deploy", inventory, **OLD)
    url = deployment.url()
    with Load(url, RATE) as steady:
        threading.Event().wait(STEADY_SECONDS)  # the load itself is what is waited for
    total, failed, worst = steady.result.requests, steady.result.failed, 0.0
    examples = list(steady.result.examples)
    while total < REQUESTS_AT_LEAST:
        for name, action in steps(inventory).items():
            with Load(url, RATE) as load:
                bench.measure(f"{name} under {RATE} requests/s", action, repeat=1)
            result = load.result
            total, failed, worst = total + result.requests, failed + result.failed, max(worst, result.p99)
            examples += [f"{name}: {example}" for example in result.examples]
        deployment.run("deploy", inventory, **OLD)
    bench.value("requests in all", total, "")
    bench.value("failed requests", failed, "", at_most=0)
    bench.value("p99, steady", steady.result.p99 * 1000, "ms")
    bench.value("p99 during the worst step / steady", worst / steady.result.p99, "x", at_most=1.5)
    for example in examples[:10]:
        bench.note(f"failed: {example}")
