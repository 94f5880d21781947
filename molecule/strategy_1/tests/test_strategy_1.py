# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the deployment is, and what it gives away: nothing."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import typing as t
import urllib.error
import urllib.request

import pytest
import yaml
from lab.shell import wait_until
from scenarios.uploads import Uploads

ROOT = pathlib.Path(__file__).parents[3]
SCENARIO = pathlib.Path(__file__).parents[1]
URL = "http://10.111.0.71"
INVENTORIES = (ROOT / "molecule/shared/inventory", SCENARIO / "inventory", ROOT / ".cache/lab/scenarios/strategy_1")

# testinfra runs tests with a host first: here all have it, so that they run in this order.
pytestmark = pytest.mark.usefixtures("host")


def playbook(verb: str, *arguments: str, **settings: t.Any) -> subprocess.CompletedProcess[str]:
    command = [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), f"covstack.selfhosted.{verb}", *arguments]
    for inventory in INVENTORIES:
        command += ["--inventory", str(inventory)]
    if settings:
        command += ["--extra-vars", json.dumps(settings)]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, timeout=600, check=False)


def status_of(path: str) -> int:
    try:
        with urllib.request.urlopen(URL + path, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def secrets_of(host: t.Any) -> dict[str, str]:
    return yaml.safe_load(host.file("/opt/codecov/secrets.yml").content_string)


def leaks(text: str, secrets: t.Mapping[str, str]) -> list[str]:
    return [name for name, value in secrets.items() if str(value) in text]


def inspect(host: t.Any) -> list[dict[str, t.Any]]:
    return json.loads(host.check_output("docker inspect $(docker ps --all --quiet)"))


def test_nothing_to_change_is_few_tasks(host) -> None:
    done = playbook("deploy")
    recap = re.search(r"ok=(\d+) +changed=(\d+)", done.stdout)
    assert recap, done.stdout[-2000:]
    assert int(recap[2]) == 0
    assert int(recap[1]) <= 15


@pytest.mark.parametrize("verb", ["preflight", "health", "smoke", "repair"])
def test_the_other_verbs_work(host, verb: str) -> None:
    done = playbook(verb)
    assert done.returncode == 0, done.stdout[-3000:]


def test_a_real_uploader_is_served(tmp_path: pathlib.Path) -> None:
    """The upload of a repository of its own is processed to its percentage."""
    uploads = Uploads("strategy1-codecov", URL, tmp_path)
    uploads.some(1)
    wait_until("the upload is processed", lambda: not uploads.unprocessed(), 60, 1)


def test_a_service_without_containers_is_unavailable_and_not_missing(host) -> None:
    """Uploaders repeat a request that ends with 503, and take 404 for final."""
    gateway = host.check_output("docker ps --filter label=covstack.service=gateway --format '{{.Names}}'")
    host.check_output("docker stop %s", gateway)
    try:
        wait_until("nothing serves", lambda: status_of("/api_health/") != 200, 20, 0.2)
        assert status_of("/api_health/") == 503
    finally:
        host.check_output("docker start %s", gateway)
        wait_until("the gateway serves again", lambda: status_of("/api_health/") == 200, 60, 0.5)


def test_only_the_public_port_is_published(host) -> None:
    ports = host.check_output("docker ps --format '{{.Ports}}'")
    assert set(re.findall(r"([0-9.]+:\d+)->", ports)) == {"0.0.0.0:80"}


@pytest.mark.parametrize("path", ["/dashboard/", "/api/rawdata", "/api/http/routers"])
def test_the_edge_shows_nobody_its_inside(host, path: str) -> None:
    """Whoever answers there is the application: its pages, or its 404."""
    try:
        with urllib.request.urlopen(URL + path, timeout=10) as response:
            body = response.read().decode()
    except urllib.error.HTTPError as error:
        assert error.code == 404
        body = error.read().decode()
    assert "entryPoints" not in body
    assert "traefik" not in body.lower()


def test_the_docker_socket_is_read_through_one_container_only(host) -> None:
    holders = [entry["Name"] for entry in inspect(host) if any(mount["Source"] == "/var/run/docker.sock" for mount in entry["Mounts"])]
    assert holders == ["/codecov-socket_proxy-1"]
    post = host.run("docker exec codecov-edge-1 wget -qO- --post-data= http://socket_proxy:2375/containers/codecov-edge-1/restart")
    assert post.rc != 0 and "403" in post.stderr


def test_containers_have_what_they_need_and_no_more(host) -> None:
    for entry in inspect(host):
        if "covstack.deployment" not in entry["Config"]["Labels"]:
            continue
        config = entry["HostConfig"]
        assert not config["Privileged"], entry["Name"]
        assert config["CapDrop"] == ["ALL"], entry["Name"]
        assert "no-new-privileges:true" in config["SecurityOpt"], entry["Name"]
        assert config["RestartPolicy"]["Name"] == "unless-stopped", entry["Name"]


def catalogue_users() -> dict[str, str | None]:
    services: dict[str, t.Any] = {}
    for name in ("platform", "codecov"):
        services.update(yaml.safe_load((ROOT / f"catalogue/{name}.yml").read_text())["services"])
    services["storage"] = services["storage"]["variants"]["seaweedfs"]
    return {name: service.get("user") for name, service in services.items()}


def test_nothing_runs_as_root_that_the_catalogue_gives_a_user(host) -> None:
    users, checked = catalogue_users(), set()
    for entry in inspect(host):
        service = entry["Config"]["Labels"]["covstack.service"]
        user = users.get(service)
        if user is None or not entry["State"]["Running"]:
            continue
        uids = set(host.check_output("docker top %s -eo uid,pid", entry["Name"].lstrip("/")).split("\n")[1:])
        assert {line.split()[0] for line in uids} == {user.split(":")[0]}, service
        checked.add(service)
    assert checked == {"frontend", "api", "worker", "edge", "postgres", "redis", "storage", "statsd"}


def test_the_configuration_is_the_applications_alone(host) -> None:
    for path in ("/opt/codecov/config/codecov.yml", *host.check_output("ls /opt/codecov/releases/*/codecov.yml").split()):
        file = host.file(path)
        assert (file.uid, file.mode) == (1001, 0o600), path
    assert host.file("/opt/codecov/secrets.yml").mode == 0o600


def test_users_of_the_host_read_nothing_that_containers_read(host) -> None:
    """Also those with the number of a container's user, who owns the file."""
    sources = sorted({mount["Source"] for entry in inspect(host) for mount in entry["Mounts"] if mount["Source"].startswith("/opt/codecov/")})
    owners = {host.file(path).uid for path in sources}
    assert {999, 1000, 1001, 65532} <= owners
    for path in sources:
        for uid in sorted(owners - {0}):
            assert host.run("setpriv --reuid %s --regid %s --clear-groups test -r %s", str(uid), str(uid), path).rc == 1, (path, uid)


def test_the_bucket_is_private(host) -> None:
    assert status_of("/archive/") == 403


def test_no_secret_in_any_container_setting(host) -> None:
    assert leaks(json.dumps(inspect(host)), secrets_of(host)) == []


def test_no_secret_in_the_output_of_runs(host) -> None:
    """Neither in a run that changes something, nor in one that fails, at the highest verbosity, with diffs."""
    secrets = secrets_of(host)
    assert len(secrets) >= 8
    changing = playbook("deploy", "-vvv", "--diff", codecov_config_group={"setup": {"guest_access": False}}, codecov_smoke="always")
    assert changing.returncode == 0, changing.stdout[-3000:]
    failing = playbook("deploy", "-vvv", "--diff", codecov_config_group={"services": {"minio": {"hash_key": "0" * 32}}})
    assert failing.returncode != 0
    assert "hash_key" in failing.stdout + failing.stderr
    for done in (changing, failing):
        assert leaks(done.stdout + done.stderr, secrets) == []


def test_no_secret_in_the_process_list(host) -> None:
    """Sampled while a deployment brings up another release, migrates and uploads."""
    secrets, samples = secrets_of(host), []
    over = threading.Event()

    def sample() -> None:
        while not over.is_set():
            samples.append(host.check_output("ps -eo args --width 100000"))

    watcher = threading.Thread(target=sample)
    watcher.start()
    try:
        done = playbook("deploy", codecov_config_group={"setup": {"guest_access": True}}, codecov_smoke="always")
    finally:
        over.set()
        watcher.join()
    assert done.returncode == 0, done.stdout[-3000:]
    assert len(samples) > 5
    assert leaks("\n".join(samples), secrets) == []


def test_remove_keeps_the_data_until_it_is_purged(host) -> None:
    assert playbook("remove").returncode == 0
    assert host.check_output("docker ps --all --quiet") == ""
    assert "codecov_postgres" in host.check_output("docker volume ls --quiet")
    assert host.file("/opt/codecov/secrets.yml").exists
    done = playbook("remove", codecov_purge=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "codecov_" not in host.check_output("docker volume ls --quiet")
    assert not host.file("/opt/codecov").exists
