# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deployment stands on services of another host and runs none of its own."""

from __future__ import annotations

import pytest

CODECOV = pytest.mark.testinfra_hosts("ansible://codecov")
DATA = pytest.mark.testinfra_hosts("ansible://data")


@CODECOV
def test_no_data_service_runs_here(host) -> None:
    names = host.check_output("docker ps --format '{{.Names}}'").split()
    assert not {"codecov-postgres-1", "codecov-redis-1", "codecov-storage-1"} & set(names)
    assert {"codecov-edge-1", "codecov-blue-api-1", "codecov-blue-worker-1"} <= set(names)


@CODECOV
def test_no_secret_of_the_cloud_is_in_an_environment(host) -> None:
    environments = host.check_output("docker inspect $(docker ps --quiet) --format '{{json .Config.Env}}'")
    assert "SSL" in environments  # PGSSLMODE: the listing is not empty
    for secret in ("cloud-postgres-7kq2", "cloud-redis-9wd4", "cloud-secret-key-3xv8"):
        assert secret not in environments


@DATA
def test_the_smoke_upload_is_in_the_other_hosts_database_and_storage(host) -> None:
    states = host.check_output("docker exec data-postgres-1 psql --host=127.0.0.1 --username=codecov --tuples-only --command 'SELECT state FROM commits'")
    assert "complete" in states
    listing = host.check_output("docker exec data-storage-1 sh -c 'echo \"fs.tree /buckets/codecov-reports\" | weed shell -master=127.0.0.1:9333'")
    assert "chunks.txt" in listing
