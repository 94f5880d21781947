# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deployment stands on services of another host and runs none of its own; and it finds its way back."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

from lab import hosts

ROOT = pathlib.Path(__file__).parents[3]
SCENARIO = pathlib.Path(__file__).parents[1]
INVENTORIES = (ROOT / "molecule/shared/inventory", SCENARIO / "inventory", ROOT / ".cache/lab/scenarios/strategy_1_cloud")
SECRETS = ("cloud-postgres-7kq2", "cloud-redis-9wd4", "cloud-secret-key-3xv8")
LICENSE = "{{ lookup('ansible.builtin.file', lab_directory ~ '/license') }}"
EMBEDDED: dict[str, t.Any] = {f"codecov_{name}": {"mode": "embedded"} for name in ("postgres", "redis", "storage")}


def playbook(verb: str, *arguments: str, **settings: t.Any) -> subprocess.CompletedProcess[str]:
    command = [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), f"covstack.selfhosted.{verb}", *arguments]
    for inventory in INVENTORIES:
        command += ["--inventory", str(inventory)]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    command += ["--extra-vars", json.dumps(settings)]
    return subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, timeout=300, check=False)


def on_host(script: str) -> str:
    command = ["docker", "exec", hosts.container("cloud-codecov"), "sh", "-euc", script]
    return subprocess.run(command, text=True, capture_output=True, timeout=60, check=True).stdout


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


def test_preflight_uses_the_services_with_their_credentials() -> None:
    before = on_host("docker ps --all --quiet; find /opt/codecov -newer /opt/codecov/audit.log -type f")
    done = playbook("preflight")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "postgres: ok, PostgreSQL 17" in done.stdout
    assert "bucket codecov-reports" in done.stdout
    assert on_host("docker ps --all --quiet; find /opt/codecov -newer /opt/codecov/audit.log -type f") == before


def test_preflight_refuses_what_the_services_refuse() -> None:
    wrong = {
        "enterprise_license": LICENSE,
        "postgres_password": "wrong-postgres-4tz",
        "redis_password": "wrong-redis-8pq",
        "storage_access_key": "WRONGKEY0001",
        "storage_secret_key": "wrong-storage-5kd",
    }
    done = playbook("preflight", "-vvv", codecov_secrets=wrong)
    assert done.returncode != 0
    for setting in ("postgres_password", "redis_password", "storage_access_key"):
        assert f"correct codecov_secrets.{setting}" in done.stdout
    assert not [value for value in wrong.values() if value in done.stdout + done.stderr]


def test_preflight_refuses_a_database_that_is_not_there() -> None:
    done = playbook("preflight", codecov_postgres={"mode": "external", "host": "database.invalid"})
    assert done.returncode != 0
    assert "codecov_postgres.host: database.invalid:5432 cannot be reached from the host" in done.stdout


def test_the_way_to_external_services_and_back_loses_nothing() -> None:
    """An old volume is found again with the password it was made with, while those of the external services are still given."""
    commits = "docker exec codecov-postgres-1 psql --username=codecov --tuples-only --command 'SELECT count(*) FROM commits'"
    for settings in ({**EMBEDDED, "codecov_smoke": "always"}, {"codecov_smoke": "never"}, {**EMBEDDED, "codecov_smoke": "always"}):
        done = playbook("deploy", **settings)
        assert done.returncode == 0, done.stdout[-4000:]
    assert int(on_host(commits)) == 2
