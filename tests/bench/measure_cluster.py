# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strategy III once more with nothing to change, beside the bare `helm upgrade --install` of the same chart and values; and the rendering of the chart."""

from __future__ import annotations

import pathlib
import re
import tempfile
import typing as t

from cluster.harness import CHART, Cluster, State, running

from .harness import Bench

TASKS_AT_MOST = 12
NOTE = """\
The API server is a stand-in in Python (tests/cluster): it keeps objects, and every pod and job is well at once. So the bare upgrade waits for nothing, neither
the migration nor a pod, for which Helm waits where there is a cluster. Each run begins with the cluster as the first deployment left it."""


def measure(bench: Bench) -> None:
    with tempfile.TemporaryDirectory() as directory, running(pathlib.Path(directory)) as cluster:
        deployed = cluster.state_after(cluster.empty, "deploy")
        values = pathlib.Path(directory) / "values.json"
        values.write_text(cluster.helm("get", "values", "codecov", "--output", "json"))
        compare(bench, cluster, deployed, values)


def compare(bench: Bench, cluster: Cluster, deployed: State, values: pathlib.Path) -> None:
    outputs: list[str] = []
    chart = ["codecov", str(CHART), "--values", str(values)]

    def deploy() -> None:
        outputs.append(cluster.play("deploy"))
        written = cluster.writes()
        if written:
            raise RuntimeError(f"there was something to change, so this measured something else: {', '.join(written)}\n{outputs[-1][-2000:]}")

    def upgrade() -> None:
        cluster.helm("upgrade", "--install", *chart, "--wait", "--atomic", "--timeout", "5m")
        if "create Secret/sh.helm.release.v1.codecov.v2" not in cluster.writes():
            raise RuntimeError("Helm made no revision, so this measured something else")

    actions: dict[str, t.Callable[[], object]] = {
        "deploy, nothing to change": deploy,
        "helm upgrade --install": upgrade,
        "helm template": lambda: cluster.helm("template", *chart),
    }
    ours, bare, rendering = bench.together(actions, repeat=5, before=dict.fromkeys(actions, lambda: cluster.begin(deployed)))
    bench.ratio("deploy, nothing to change / helm upgrade --install", ours, bare, at_most=2.0)
    bench.value("rendering the whole chart", rendering.best, "s", at_most=1)
    bench.value("tasks executed, nothing to change", float(re.findall(r"ok=(\d+)", outputs[-1])[-1]), "", at_most=TASKS_AT_MOST)
    bench.note(NOTE)
