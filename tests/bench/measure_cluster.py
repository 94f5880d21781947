# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strategy III once more with nothing to change, beside the bare `helm upgrade --install` of the same chart and values; and the rendering of the chart.

On the cluster that KUBECONFIG names, where STRATEGY_3_INVENTORY says what that needs (molecule/strategy_3/README.md); else on a stand-in.
"""

from __future__ import annotations

import json
import pathlib
import re
import tempfile
import typing as t

from cluster.harness import CHART, running

from . import real_cluster
from .harness import Bench

REPEAT = 5
TASKS_AT_MOST = 12
# What the role tells Helm, and a user of the chart would. Helm 4 knows --atomic, too.
OPTIONS = ["--reset-values", "--wait", "--atomic", "--timeout", "45m", "--history-max", "10"]
STAND_IN = """\
The API server is a stand-in in Python (tests/cluster): it keeps objects, and every pod and job is well at once. So the bare upgrade waits for nothing, neither
the migration nor a pod, for which Helm waits where there is a cluster."""
REAL = """\
The API server is a real one, Kubernetes {version}. The bare upgrade runs the migration once more, and waits for its Job to be complete; the pods are those that
were there, so it finds them ready. `deploy` asks whether everything is as it was left, and waits for health: requests from outside, commands in pods."""


class Cluster(t.Protocol):
    def play(self, verb: str, **settings: t.Any) -> str: ...
    def helm(self, *arguments: str) -> str: ...


def measure(bench: Bench) -> None:
    if real_cluster.INVENTORY:
        with real_cluster.borrowed() as real:
            compare(bench, real)
            bench.note(REAL.format(version=real.version))
        return
    with tempfile.TemporaryDirectory() as directory, running(pathlib.Path(directory)) as stand_in:
        compare(bench, stand_in)
        bench.note(STAND_IN)


def compare(bench: Bench, cluster: Cluster) -> None:
    cluster.play("deploy")
    outputs: list[str] = []
    with tempfile.NamedTemporaryFile("w", suffix=".json") as values:
        values.write(cluster.helm("get", "values", "codecov", "--output", "json"))
        values.flush()
        chart = ["codecov", str(CHART), "--values", values.name]
        actions: dict[str, t.Callable[[], object]] = {
            "deploy, nothing to change": lambda: outputs.append(cluster.play("deploy")),
            "helm upgrade --install": lambda: cluster.helm("upgrade", "--install", *chart, *OPTIONS),
            "helm template": lambda: cluster.helm("template", *chart),
        }
        # After a revision of somebody else's `deploy` looks at everything once, proves it by an upload, and remembers it.
        before = {"deploy, nothing to change": lambda: cluster.play("deploy")}
        ours, bare, rendering = bench.together(actions, repeat=REPEAT, before=before)
    changed = [output for output in outputs if "changed=0 " not in output]
    if changed:
        raise RuntimeError(f"there was something to change, so this measured something else:\n{changed[-1][-2000:]}")
    bench.ratio("deploy, nothing to change / helm upgrade --install", ours, bare, at_most=2.0)
    bench.value("revisions by deploy, nothing to change", newest_revision(cluster) - 1 - REPEAT, "", at_most=0)
    bench.value("rendering the whole chart", rendering.best, "s", at_most=1)
    bench.value("tasks executed, nothing to change", float(re.findall(r"ok=(\d+)", outputs[-1])[-1]), "", at_most=TASKS_AT_MOST)


def newest_revision(cluster: Cluster) -> int:
    return int(json.loads(cluster.helm("history", "codecov", "--output", "json"))[-1]["revision"])
