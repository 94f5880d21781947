# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strategy III once more with nothing to change, beside the bare `helm upgrade --install` of the same chart and values; and the rendering of the chart."""

from __future__ import annotations

import json
import pathlib
import re
import tempfile
import typing as t

from cluster.harness import CHART, Cluster, running

from .harness import Bench

TASKS_AT_MOST = 12
SETTINGS: dict[str, t.Any] = {"codecov_smoke": "never"}  # the bare upgrades make revisions that no upload has proved
NOTE = """\
The API server is a stand-in in Python (tests/cluster): it keeps objects, and every pod and job is well at once. A real one answers faster, and makes Helm
wait for the migration and the pods."""


def measure(bench: Bench) -> None:
    with tempfile.TemporaryDirectory() as directory, running(pathlib.Path(directory)) as cluster:
        cluster.play("deploy", **SETTINGS)
        values = pathlib.Path(directory) / "values.json"
        values.write_text(cluster.helm("get", "values", "codecov", "--output", "json"))
        compare(bench, cluster, values)


def compare(bench: Bench, cluster: Cluster, values: pathlib.Path) -> None:
    outputs: list[str] = []
    chart = ["codecov", str(CHART), "--values", str(values)]

    def deploy() -> None:
        before = newest(cluster)
        outputs.append(cluster.play("deploy", **SETTINGS))
        if newest(cluster) != before:
            raise RuntimeError(f"there is a new revision, so this measured something else:\n{outputs[-1][-2000:]}")

    actions: dict[str, t.Callable[[], object]] = {
        "deploy, nothing to change": deploy,
        "helm upgrade --install": lambda: cluster.helm("upgrade", "--install", *chart, "--wait", "--atomic", "--timeout", "5m"),
        "helm template": lambda: cluster.helm("template", *chart),
    }
    ours, bare, rendering = bench.together(actions, repeat=5)
    bench.ratio("deploy, nothing to change / helm upgrade --install", ours, bare, at_most=2.0)
    bench.value("rendering the whole chart", rendering.best, "s", at_most=1)
    bench.value("tasks executed, nothing to change", float(re.findall(r"ok=(\d+)", outputs[-1])[-1]), "", at_most=TASKS_AT_MOST)
    bench.note(NOTE)


def newest(cluster: Cluster) -> int:
    """The revision that Helm made last."""
    return max(int(entry["revision"]) for entry in json.loads(cluster.helm("history", "codecov", "--output", "json")))
