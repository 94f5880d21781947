# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The older line serves, was upgraded through the gate, and processed an upload in each version."""

from __future__ import annotations


def running(host) -> dict[str, str]:
    lines = host.check_output("docker ps --format '{{.Names}} {{.Image}}'").splitlines()
    return dict(line.split(maxsplit=1) for line in lines)


def test_the_new_version_runs_in_the_other_slot(host) -> None:
    application = {name: image.rsplit(":", 1)[1] for name, image in running(host).items() if "-green-" in name or "-blue-" in name}
    assert application == dict.fromkeys(("codecov-green-web-1", "codecov-green-worker-1", "codecov-green-worker-2"), "v4.6.0")


def test_the_edge_serves_it(host) -> None:
    assert host.check_output("curl --silent --output /dev/null --write-out '%{http_code}' http://10.111.0.51/login") == "200"


def test_an_upload_was_processed_in_each_version(host) -> None:
    states = host.check_output("docker exec codecov-postgres-1 psql --username=codecov --tuples-only --command 'SELECT state FROM commits'").split()
    assert len(states) >= 2 and set(states) == {"complete"}
