# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment from nothing with its images present, beside Compose by hand with the same rendered files and the same migrations."""

from __future__ import annotations

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


def measure(bench: Bench) -> None:
    inventory = deployment.inventory()
    deployment.run("deploy", inventory)  # images are there, and the files for the run by hand
    by_hand = bench.measure("docker compose up --wait and migrations, by hand", lambda: deployment.on_host(BY_HAND), 3, deployment.remove_containers_and_data)

    def nothing() -> None:
        deployment.remove_containers_and_data()
        deployment.on_host(f"rm -rf {deployment.DIRECTORY}")

    ours = bench.measure("deploy with images present", lambda: deployment.run("deploy", inventory, codecov_smoke="never"), 3, nothing)
    proved = bench.measure("deploy with images present, proved by an upload", lambda: deployment.run("deploy", inventory), 1, nothing)
    bench.ratio("deploy / Compose by hand", ours, by_hand, at_most=1.3)
    bench.ratio("deploy proved by an upload / Compose by hand", proved, by_hand)
    bench.note("An upload takes the application at least 4 s (it waits before it processes); Compose by hand proves nothing.")
