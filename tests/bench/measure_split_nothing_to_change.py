# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strategy II once more with nothing to change, on 3 hosts and on 12, beside a ping of the same hosts."""

from __future__ import annotations

import pathlib
import re
import resource
import typing as t

from scenarios.split import changed

from . import deployment, peers, split
from .harness import Bench

REPEAT = 5
CONTENT = """\
3 hosts: one load balancer, one web and worker host, one with PostgreSQL, Redis and storage. 12 hosts: 2 load balancers, 4 web and 4 worker hosts, one
with PostgreSQL and Redis, one with storage. They all, and the controller, share this machine: what a host does costs wall time here, as it would not in
reality. forks is 20, as in ansible.cfg."""


def controller_seconds(action: t.Callable[[], object]) -> float:
    """What Ansible itself spends of the processor, with its ssh; not what the hosts do."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    action()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(bench: Bench) -> None:
    with split.removed_after(split.THREE, split.TWELVE):
        compare(bench)


def compare(bench: Bench) -> None:
    inventories = {"3 hosts": split.inventory("three", split.THREE), "12 hosts": split.inventory("twelve", split.TWELVE)}
    for inventory in inventories.values():
        deployment.run("deploy", inventory)
    outputs: dict[str, str] = {}

    def once_more(name: str, inventory: pathlib.Path) -> t.Callable[[], object]:
        return lambda: outputs.update({name: deployment.run("deploy", inventory)})

    actions: dict[str, t.Callable[[], object]] = {}
    for name, inventory in inventories.items():
        actions[f"deploy, nothing to change, {name}"] = once_more(name, inventory)
        actions[f"ansible -m ping, {name}"] = lambda inventory=inventory: peers.ping(inventory)  # type: ignore[misc]
    small, small_ping, large, large_ping = bench.together(actions, REPEAT)
    wrong = {name: output for name, output in outputs.items() if changed(output)}
    if wrong:
        raise RuntimeError(f"something changed, so this measured something else:\n{next(iter(wrong.values()))[-2000:]}")
    bench.ratio("nothing to change, 12 hosts / 3 hosts", large, small, at_most=1.5)
    bench.ratio("ansible -m ping, 12 hosts / 3 hosts", large_ping, small_ping)
    bench.value("each further host, nothing to change", (large.best - small.best) / 9, "s")
    bench.value("each further host, ansible -m ping", (large_ping.best - small_ping.best) / 9, "s")
    for name, inventory in inventories.items():
        bench.value(f"processor of the controller, {name}", controller_seconds(once_more(name, inventory)), "s")
        bench.value(f"tasks executed, {name}", sum(map(int, re.findall(r"ok=(\d+)", outputs[name]))), "")
    bench.note(CONTENT)
