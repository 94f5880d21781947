# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of a split deployment while clients ask and upload through the virtual address. The tests run in this order; numbers are printed (pytest -s)."""

from __future__ import annotations

import http.client
import pathlib
import re
import ssl
import urllib.error
import urllib.request

import pytest
from lab.shell import wait_until
from scenarios import split
from scenarios.split import ADDRESS, AUTHORITY, BALANCERS, NEW, URL, WEB, active, clients, containers, holder, on, playbook, receives
from scenarios.uploads import Uploads

SERVING = {"api", "frontend", "gateway", "readiness", "worker"}


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Uploads:
    return Uploads(WEB[0], URL, tmp_path_factory.mktemp("uploads"), AUTHORITY)


def all_receive() -> bool:
    return all(receives(balancer, server) for balancer in BALANCERS for server in WEB)


def answer(path: str) -> str:
    with urllib.request.urlopen(URL + path, timeout=10, context=ssl.create_default_context(cafile=AUTHORITY)) as response:
        text: str = response.read().decode()
    return text


def version_of(server: str) -> str:
    slot = active(server)["slot"]
    return on(server, f"docker inspect codecov-{slot}-api-1 --format '{{{{.Config.Image}}}}'").rsplit(":", 1)[1]


def files(server: str) -> str:
    """What a deployment writes to a host, as it is there."""
    return on(server, "find /opt/codecov -type f ! -name deploy.lock ! -name as_left.json -exec sha256sum {} + | sort")


def runs(slot: str) -> set[str]:
    return {f"{slot} {service}" for service in SERVING}


def test_one_balancer_holds_the_address_and_both_send_to_all_web_hosts() -> None:
    assert holder() in BALANCERS
    assert all_receive()
    assert {active(server)["release"] for server in WEB} == {active(WEB[0])["release"]}, "one release, one name"


def test_reports_are_uploaded_through_the_virtual_address(uploads: Uploads) -> None:
    uploads.some(6)
    wait_until("all uploads are processed", lambda: not uploads.unprocessed(), 60, 1)


def test_the_balancers_serve_the_operators_certificate_and_send_plain_requests_there() -> None:
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(URL, timeout=10)  # an authority that nobody told it of
    plain = http.client.HTTPConnection(ADDRESS, timeout=10)
    plain.request("GET", "/gh")
    redirect = plain.getresponse()
    assert (redirect.status, redirect.headers["Location"]) == (301, f"{URL}/gh")


def test_data_and_secrets_are_open_to_no_other_host() -> None:
    for host in WEB:
        assert on(host, "stat --format %a:%U /opt/codecov/secrets.yml").strip() == "600:root"
    assert on(WEB[0], "sha256sum < /opt/codecov/secrets.yml") == on(WEB[1], "sha256sum < /opt/codecov/secrets.yml")
    assert all(on(host, "ls -A /opt/codecov 2>/dev/null || true") == "" for host in BALANCERS)


def test_the_steady_state(uploads: Uploads) -> None:
    """What the latencies of the other steps compare with."""
    with clients("steady", uploads, at_least=2400):
        playbook("health")


def test_an_upgrade_goes_from_host_to_host_without_a_failed_request(uploads: Uploads) -> None:
    with clients("upgrade", uploads, at_least=2400):
        playbook("upgrade", codecov_versions=NEW)
    assert "26.7.6" in answer("/api_health/") and all(version_of(server) == "26.7.6" for server in WEB)
    for server in WEB:
        assert active(server)["slot"] == "green" and set(containers(server)) == runs("green")
        of_before = "docker ps --all --quiet --filter label=covstack.slot=blue --filter status=exited"
        codes = on(server, f"docker inspect --format '{{{{index .Config.Labels \"covstack.service\"}}}} {{{{.State.ExitCode}}}}' $({of_before})").split("\n")
        # 137 would be a kill after the grace.
        assert sorted(codes) == ["api 0", "frontend 0", "gateway 0", "readiness 0", "worker 0"]
    assert all_receive()


def test_the_new_version_is_what_is_deployed() -> None:
    assert set(re.findall(r"changed=(\d+)", playbook("deploy", codecov_versions=NEW))) == {"0"}


@pytest.mark.parametrize(("version", "reason"), [("26.8.0", "Start the release"), ("26.8.1", "Migrate the database")])
def test_a_broken_version_is_refused_by_the_gate_and_nothing_else_is_touched(uploads: Uploads, version: str, reason: str) -> None:
    before, other = active(WEB[0]), (containers(WEB[1]), files(WEB[1]))
    with clients(f"refused {version}", uploads):
        said = playbook("upgrade", fails=True, codecov_versions={"api": version, "worker": version}, codecov_health={"deadline_s": 40})
    assert reason in said
    if version == "26.8.0":
        assert "was refused on s2-app1 and removed from it. No further host was touched." in said and "Last log lines" in said
    assert active(WEB[0]) == before and set(containers(WEB[0])) == runs(before["slot"])
    assert (containers(WEB[1]), files(WEB[1])) == other
    wait_until("all receive", all_receive, 20, 0.5)


def test_a_host_whose_containers_do_not_reach_the_storage_is_refused_when_it_is_its_turn(uploads: Uploads) -> None:
    """Its own way to the application, PostgreSQL and Redis is well, and load balancers reach it: only what is asked from inside tells."""
    wait_until("its worker needs the storage for nothing", lambda: not uploads.unprocessed(), 60, 1)
    other, rule = containers(WEB[1]), f"--table raw %s PREROUTING --protocol tcp --destination {ADDRESS} --dport 443 --jump DROP"
    another_release = {"codecov_config_group": {"site": {"codecov": {"require_ci_to_pass": False}}}}
    on(WEB[1], f"iptables {rule % '--insert'}")
    try:
        said = playbook("deploy", fails=True, codecov_versions=NEW, codecov_health={"deadline_s": 40}, **another_release)
    finally:
        on(WEB[1], f"iptables {rule % '--delete'}")
    assert "was refused on s2-app2 and removed from it. No further host was touched." in said
    assert re.search(r"Why: Probe containers.*required probes failed.*storage", said, re.DOTALL), said[-3000:]
    assert active(WEB[0])["slot"] == "blue" and active(WEB[1])["slot"] == "green" and set(containers(WEB[1])) == set(other)
    wait_until("all receive", all_receive, 20, 0.5)
    playbook("deploy", codecov_versions=NEW)
    assert all(active(server)["slot"] == "green" for server in WEB)


def test_a_rollback_goes_from_host_to_host_without_a_failed_request(uploads: Uploads) -> None:
    with clients("rollback", uploads, at_least=2400):
        playbook("rollback", codecov_versions=NEW)
    # What the api says of itself is what the last migration wrote, and migrations are not undone.
    assert all(version_of(server) == "26.6.11" for server in WEB)
    assert all(set(containers(server)) == runs("blue") for server in WEB)
    assert all_receive()


def test_balancers_of_others_notice_a_drained_host_by_its_readiness(uploads: Uploads, tmp_path: pathlib.Path) -> None:
    """The same two balancers, but the playbook knows nothing of them: only what readiness answers keeps requests away."""
    inventories = split.inventories_without(BALANCERS, tmp_path)
    others = {"codecov_load_balancer": {"mode": "external", "drain_s": 6}, "codecov_virtual_address": ""}
    with clients("upgrade behind balancers of others", uploads, at_least=2400):
        playbook("upgrade", inventories, codecov_versions=NEW, **others)
    assert all(active(server)["slot"] == "green" for server in WEB)
    wait_until("all receive", all_receive, 20, 0.5)


def test_a_host_is_taken_out_and_added_again_without_a_failed_request(uploads: Uploads, tmp_path: pathlib.Path) -> None:
    with clients("scale in", uploads, at_least=2400):
        playbook("remove", limit=WEB[1])
        playbook("scale", split.inventories_without(WEB[1:], tmp_path), codecov_versions=NEW, codecov_high_availability=False)
    assert containers(WEB[1]) == {}
    assert all(WEB[1] not in on(balancer, "cat /etc/covstack/load_balancer/haproxy.cfg") for balancer in BALANCERS)
    with clients("scale out", uploads, at_least=2400):
        playbook("scale", codecov_versions=NEW)
    assert set(containers(WEB[1])) == runs(active(WEB[0])["slot"]) and all_receive()


def test_every_change_has_its_audit_line_on_every_host() -> None:
    changes = [int(on(server, "grep -c ' runs release ' /opt/codecov/audit.log")) for server in WEB]
    assert changes == [7, 6], "the first host had two releases more, and was the gate of one that was refused; the second refused one, and was added again"
    assert "refused release" in on(WEB[0], "cat /opt/codecov/audit.log")


def test_no_upload_was_lost(uploads: Uploads) -> None:
    assert len(uploads.accepted) >= 20
    wait_until("all uploads are processed", lambda: not uploads.unprocessed(), 60, 1)
