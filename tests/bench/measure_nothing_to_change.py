# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole of Strategy I once more with nothing to change, beside a ping and beside a public role that has nothing to do either."""

from __future__ import annotations

import re
import typing as t

from . import deployment, peers
from .harness import Bench

TASKS_AT_MOST = 15


def measure(bench: Bench) -> None:
    inventory = deployment.inventory()
    deployment.run("deploy", inventory)
    outputs: list[str] = []
    actions: dict[str, t.Callable[[], object]] = {
        "deploy, nothing to change": lambda: outputs.append(deployment.run("deploy", inventory)),
        "ansible -m ping": lambda: peers.ping(inventory),
    }
    role = peers.geerlingguy()
    if role:
        role()  # what it wants to change once
        actions["geerlingguy.docker, nothing to change"] = role
    ours, ping, *theirs = bench.together(actions, repeat=4)
    recap = re.search(r"ok=(\d+)\s+changed=(\d+)", outputs[-1])
    if recap is None or recap[2] != "0":
        raise RuntimeError(f"something changed, so this measured something else:\n{outputs[-1][-2000:]}")
    bench.value("tasks executed, nothing to change", float(recap[1]), "", at_most=TASKS_AT_MOST)
    if theirs:
        bench.ratio("nothing to change / geerlingguy.docker", ours, theirs[0], at_most=0.75)
        bench.ratio("nothing to change / ansible -m ping", ours, ping)
    else:
        bench.ratio("nothing to change / ansible -m ping", ours, ping, at_most=9)
        bench.note(f"geerlingguy.docker is not at hand ({peers.GEERLINGGUY}), so the goal is the one against ping.")
