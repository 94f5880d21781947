# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment from nothing with its images present, beside Compose by hand with the same rendered files and the same migrations."""

from __future__ import annotations

import typing as t

from . import deployment
from .harness import Bench

# What somebody types who has the files already: platform, migrations, application.
BY_HAND = f"""
cd {deployment.DIRECTORY}/platform
docker compose up --detach --wait
release=$(ls -t {deployment.DIRECTORY}/releases | head -1)
cd {deployment.DIRECTORY}/releases/$release
application="docker compose --project-name codecov-blue --env-file {deployment.DIRECTORY}/slots/blue.env"
$application --profile jobs run --rm migrate
$application up --detach --wait
"""
HAND, OURS, PROVED = "docker compose up --wait and migrations, by hand", "deploy with images present", "deploy with images present, proved by an upload"
CONTENT = """\
By hand: the same rendered files on a host without containers and data; platform up --wait, migrations, application up --wait. No checks, no bucket.
Deploy: a host without files, containers and data; preflight, every file and secret, the same containers, bucket, check of the data services before
the migrations, gate, audit, switch, probes from outside and inside. Proved: that, and an upload until it is processed, of which the application
waits 4 s. The stand-in migrates in a second; the real application takes 16 s for an empty database, by hand and here."""


def measure(bench: Bench) -> None:
    inventory = deployment.inventory()
    deployment.run("deploy", inventory)  # pulls the images, and writes the files for the run by hand

    def nothing() -> None:
        deployment.remove_containers_and_data()
        deployment.on_host(f"rm -rf {deployment.DIRECTORY}")

    actions: dict[str, t.Callable[[], object]] = {
        HAND: lambda: deployment.on_host(BY_HAND),
        OURS: lambda: deployment.run("deploy", inventory, codecov_smoke="never"),
    }
    by_hand, ours = bench.together(actions, 3, {HAND: deployment.remove_containers_and_data, OURS: nothing})
    proved = bench.measure(PROVED, lambda: deployment.run("deploy", inventory), 1, nothing)
    bench.ratio("deploy / Compose by hand", ours, by_hand, at_most=1.3)
    bench.ratio("deploy proved by an upload / Compose by hand", proved, by_hand)
    bench.value("what a deploy adds to Compose by hand", ours.best - by_hand.best, "s")
    bench.note(CONTENT)
