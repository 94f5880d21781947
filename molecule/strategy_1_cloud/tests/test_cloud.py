# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deployment stands on services of another host and runs none of its own."""

from __future__ import annotations

import typing as t

SECRETS = ("cloud-postgres-7kq2", "cloud-redis-9wd4", "cloud-secret-key-3xv8")


def no_data_service_runs_here(host: t.Any) -> None:
    names = host.check_output("docker ps --format '{{.Names}}'").split()
    assert not {"codecov-postgres-1", "codecov-redis-1", "codecov-storage-1"} & set(names)
    assert {"codecov-edge-1", "codecov-blue-api-1", "codecov-blue-worker-1"} <= set(names)


def no_secret_of_the_cloud_is_in_an_environment(host: t.Any) -> None:
    environments = host.check_output("docker inspect $(docker ps --quiet) --format '{{json .Config.Env}}'")
    assert "SSL" in environments  # PGSSLMODE: the listing is not empty
    assert not [secret for secret in SECRETS if secret in environments]


def the_smoke_upload_is_in_the_other_hosts_database_and_storage(host: t.Any) -> None:
    states = host.check_output("docker exec data-postgres-1 psql --host=127.0.0.1 --username=codecov --tuples-only --command 'SELECT state FROM commits'")
    assert "complete" in states
    listing = host.check_output("docker exec data-storage-1 sh -c 'echo \"fs.tree /buckets/codecov-reports\" | weed shell -master=127.0.0.1:9333'")
    assert "chunks.txt" in listing


def test_each_host_holds_what_it_should(host) -> None:
    """Molecule runs every test on every host; prepare.yml left /srv/data on the one with the data."""
    if host.file("/srv/data").exists:
        the_smoke_upload_is_in_the_other_hosts_database_and_storage(host)
    else:
        no_data_service_runs_here(host)
        no_secret_of_the_cloud_is_in_an_environment(host)
