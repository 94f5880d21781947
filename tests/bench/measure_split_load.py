# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strategy II, asked through the virtual address, while it is upgraded, rolled back, and gets and loses a host: no failed request, no lost upload.

As measure_load does it for one host: the steady state before every step at the same rate, clients that never wait for a processor, a controller that only
gets what nobody else wants. So does a host that gets no requests (see machines).
"""

from __future__ import annotations

import functools
import pathlib
import tempfile

from lab.load import UploadStream
from lab.shell import wait_until
from scenarios.uploads import SLUG, Uploads

from . import deployment, machines, split
from .harness import Bench
from .measure_load import OLD, Steps, measure_steps, report, run

RATE = 80  # what two cores carry beside a running playbook, seven hosts included
UPLOAD_RATE = 1
REQUESTS_AT_LEAST = 30_000  # each step at least twice: once says little, on a machine whose processors others use, too
THREE, TWO = split.pair("app1", "app2", "app3"), split.pair("app1", "app2")
URL = f"http://{split.ADDRESS}"


def steps(two: pathlib.Path, three: pathlib.Path) -> Steps:
    """Each begins where the one before ended; the last leaves everything as the first found it."""

    def scale_in() -> None:
        run("remove", three, "--limit", split.host("app3"), **OLD)
        run("scale", two, **OLD)

    return {
        "upgrade": functools.partial(run, "upgrade", two),
        "rollback": functools.partial(run, "rollback", two),
        "scale out": functools.partial(run, "scale", three, **OLD),
        "scale in": scale_in,
    }


def measure(bench: Bench) -> None:
    with split.removed_after(THREE):
        change_under_load(bench)


def change_under_load(bench: Bench) -> None:
    three, two = split.inventory("load_three", THREE), split.inventory("load_two", TWO)
    deployment.run("deploy", two, **OLD)
    with tempfile.TemporaryDirectory() as directory:
        repository = Uploads(split.host("app1"), URL, pathlib.Path(directory))
    stream = UploadStream(SLUG, repository.token, UPLOAD_RATE)
    with machines.apart(map(split.host, THREE["web"]), map(split.host, THREE["load_balancers"]), split.ADDRESS):
        steady, by_step = measure_steps(bench, URL, RATE, stream, repository, functools.partial(steps, two, three), at_least=REQUESTS_AT_LEAST)
    wait_until("all uploads are processed", lambda: not repository.unprocessed(), 120)
    report(bench, steady, by_step)
    bench.note("A host that gets no requests (drained, not yet part of it, the standby load balancer) gets what nobody else wants, as a machine of its own.")
