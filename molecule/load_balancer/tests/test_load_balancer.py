# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drains, reloads and faults of balancers and web servers, under a steady load through the virtual address.

The tests run in this order; each leaves everything as it was, the last one removes it. Numbers are printed (pytest -s)."""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import typing as t
import urllib.request

import pytest
from lab import hosts
from lab.load import Load
from lab.shell import ROOT, output, run, wait_until
from scenarios.interruption import PER_SECOND, Interruption

SCENARIO = pathlib.Path(__file__).parents[1]
ADDRESS = "10.111.0.100"
URL = f"http://{ADDRESS}"
BALANCERS = ("lb1", "lb2")
WEB = ("lb-web1", "lb-web2")
ASK = (
    "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock');"
    " s.sendall(b'show stat -1 4 -1\\n'); print(s.makefile().read())"
)
RATE = 100
UNDISTURBED = 3 * PER_SECOND  # requests of a measurement, before and after what it measures
DOCKERS_DNS = "127.0.0.11:"
SPOOFED = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https", "Forwarded": "for=1.2.3.4", "X-Real-IP": "1.2.3.4"}
# LOAD_BALANCER_HOSTS: hosts that were made by hand, in an inventory of `lab inventory`.
HOSTS = os.environ.get("LOAD_BALANCER_HOSTS", str(ROOT / ".cache/lab/scenarios/load_balancer"))
INVENTORIES = (ROOT / "molecule/shared/inventory", SCENARIO / "inventory", HOSTS)


def on(host: str, script: str) -> str:
    return output("docker", "exec", hosts.container(host), "sh", "-euc", script)


def playbook(name: str, fails: bool = False, **variables: t.Any) -> str:
    chosen = [f"--inventory={path}" for path in INVENTORIES]
    command = [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), *chosen, str(SCENARIO / f"{name}.yml"), "--extra-vars", json.dumps(variables)]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, timeout=300, check=False)
    assert (done.returncode != 0) == fails, done.stdout[-5000:] + done.stderr[-2000:]
    return done.stdout


def roll(verb: str, server: str, **variables: t.Any) -> str:
    return playbook("roll", verb=verb, server=server, **variables)


def get(path: str, patience: float = 30, **headers: str) -> dict[str, t.Any]:
    with urllib.request.urlopen(urllib.request.Request(URL + path, headers=headers), timeout=patience) as response:
        answer: dict[str, t.Any] = json.load(response)
    return answer


def servers(balancer: str, directory: pathlib.Path) -> dict[str, dict[str, t.Any]]:
    """What the entry point `status` says of the web servers."""
    roll("status", WEB[0], status_file=str(directory / "status.json"))
    report = json.loads((directory / "status.json").read_text())
    return {server["name"]: server for server in report[balancer]["servers"] if server["backend"] == "web"}


def receives(balancer: str, server: str) -> bool:
    """Told by HAProxy itself, without Ansible."""
    lines = on(balancer, f'python3 -c "{ASK}"').splitlines()
    return next(line.split(",")[17] for line in lines if line.startswith(f"web,{server},")) == "UP"


def holder() -> str | None:
    found = [name for name in BALANCERS if name in hosts.addresses() and f" {ADDRESS}/" in on(name, "ip -brief address show")]
    return found[0] if len(found) == 1 else None


def process(balancer: str) -> str:
    return on(balancer, "systemctl show --property=MainPID --value haproxy").strip()


def count(*methods: str) -> int:
    return sum(int(on(host, f"cat /run/backend-{method}.count 2>/dev/null | wc -c")) for host in WEB for method in methods)


class Uploads:
    """POST requests one after the other, each on a connection of its own; whether one was done twice is what the servers count."""

    def __enter__(self) -> Uploads:
        self.before = count("POST")
        self.sent = self.accepted = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()
        return self

    def work(self) -> None:
        while not self.stop.wait(0.05):
            connection = http.client.HTTPConnection(ADDRESS, timeout=10)
            self.sent += 1
            try:
                connection.request("POST", "/upload?token=very-secret-token", body=b"x" * 200_000)
                self.accepted += connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()

    def __exit__(self, *_details: object) -> None:
        self.stop.set()
        self.thread.join()

    @property
    def done(self) -> int:
        return count("POST") - self.before


def under_way(server: str) -> bool:
    return on(server, "ls /run/backend-slow 2>/dev/null || true") != ""


class SlowRequest:
    """One that takes its time, as a large upload does: until it is told to end."""

    def __init__(self) -> None:
        self.answer: dict[str, t.Any] = {}
        self.thread = threading.Thread(target=lambda: self.answer.update(get("/slow", patience=300)), daemon=True)
        self.thread.start()
        wait_until("it is under way", lambda: any(under_way(server) for server in WEB), 30, 0.1)

    def end(self) -> None:
        for server in WEB:
            on(server, "rm --force /run/backend-slow")

    def end_later(self) -> None:
        """While the test does something else, which may wait for it."""
        threading.Timer(4, self.end).start()

    def result(self) -> dict[str, t.Any]:
        self.thread.join(60)
        return self.answer


@pytest.fixture(scope="module", autouse=True)
def ready() -> None:
    wait_until("the address is held and both servers receive", lambda: holder() is not None and all(receives(b, w) for b in BALANCERS for w in WEB), 30, 0.5)


def test_both_servers_get_requests_and_headers_are_set_freshly() -> None:
    answers = [get("/x", **SPOOFED) for _number in range(8)]
    assert {answer["host"] for answer in answers} == set(WEB)
    headers = {name.lower(): value for name, value in answers[0]["headers"].items()}
    assert headers["x-forwarded-for"] == hosts.GATEWAY and headers["x-forwarded-proto"] == "http" and headers["x-forwarded-host"] == ADDRESS
    assert "forwarded" not in headers and "x-real-ip" not in headers


def test_the_bucket_leads_to_the_storage_with_host_and_path_untouched() -> None:
    answer = get("/archive/v4/raw/report.txt?X-Amz-Signature=abc")
    assert (answer["port"], answer["path"]) == (8333, "/archive/v4/raw/report.txt")
    assert {name.lower(): value for name, value in answer["headers"].items()}["host"] == ADDRESS
    assert get("/archives")["port"] == 8080


def test_no_log_has_a_query_string() -> None:
    get("/upload/v4?token=very-secret-token")
    logs = "".join(on(name, "journalctl --identifier=haproxy --no-pager --output=cat") for name in BALANCERS)
    assert "GET /upload/v4" in logs and "very-secret-token" not in logs


@pytest.mark.parametrize("balancer", BALANCERS)
def test_only_root_steers_it_and_nothing_else_is_open(balancer: str) -> None:
    assert on(balancer, "stat --format %a:%U /run/haproxy/admin.sock /run/haproxy-master.sock").split() == ["600:root", "600:root"]
    assert on(balancer, "stat --format %a:%U /etc/covstack/load_balancer/vrrp_password.conf").strip() == "600:root"
    listening = {line.split()[3] for line in on(balancer, "ss --listening --tcp --numeric --no-header").splitlines()}
    ours = {entry for entry in listening if not entry.endswith(":22") and not entry.startswith(DOCKERS_DNS)}
    assert ours == {"0.0.0.0:80", "127.0.0.1:8404", "127.0.0.1:8405"}
    assert "haproxy_process_uptime_seconds" in on(balancer, "curl --silent http://127.0.0.1:8404/metrics")


def test_a_server_is_drained_and_put_back_without_a_failed_request() -> None:
    slow = SlowRequest()
    slow.end_later()
    with Load(URL, rate=RATE, paths=["/load"]) as load, Uploads() as uploads:
        for server in WEB:
            roll("drain", server)
            assert not any(receives(balancer, server) for balancer in BALANCERS)
            before = on(server, "cat /run/backend-*.count | wc -c")
            enough = count("GET", "POST") + 2 * RATE
            wait_until("the other server gets requests", lambda enough=enough: count("GET", "POST") > enough, 30, 0.2)
            assert on(server, "cat /run/backend-*.count | wc -c") == before, "a drained server gets nothing"
            roll("put_back", server)
            assert all(receives(balancer, server) for balancer in BALANCERS)
            assert "changed=0" in roll("put_back", server)
    assert slow.result()["host"] in WEB
    print(f"\ndrain and put back of both: {load.result.requests} requests, {load.result.failed} failed, {uploads.sent} uploads, {uploads.accepted} accepted;"
          f" p50 {load.result.p50 * 1000:.0f} ms, p99 {load.result.p99 * 1000:.0f} ms")
    assert load.result.failed == 0, load.result.examples
    assert uploads.accepted == uploads.sent == uploads.done


def test_a_drain_that_ends_early_says_what_is_left() -> None:
    roll("drain", WEB[1])
    try:
        slow = SlowRequest()
        assert "sessions left: 1" in roll("drain", WEB[0], load_balancer_drain_timeout=1)
        slow.end()
        assert slow.result()["host"] == WEB[0]
        assert "sessions left: 0" in roll("drain", WEB[0])
    finally:
        for server in WEB:
            roll("put_back", server)


def test_a_changed_configuration_is_loaded_without_a_failed_request_and_a_drained_server_stays_drained() -> None:
    before = {balancer: process(balancer) for balancer in BALANCERS}
    roll("drain", WEB[0])
    with Load(URL, rate=RATE, paths=["/load"]) as load, Uploads() as uploads:
        slow = SlowRequest()
        for number in (4097, 4098, 4099):
            assert "failed=0" in playbook("converge", load_balancer_max_connections=number)
            assert not any(receives(balancer, WEB[0]) for balancer in BALANCERS)
        assert f"maxconn {number}" in on("lb2", "cat /etc/covstack/load_balancer/haproxy.cfg")
        slow.end()
        assert slow.result()["host"] == WEB[1], "a request that is under way ends in the old process"
    roll("put_back", WEB[0])
    print(f"\n3 reloads of 2 balancers: {load.result.requests} requests, {load.result.failed} failed, {uploads.sent} uploads, {uploads.accepted} accepted;"
          f" p50 {load.result.p50 * 1000:.0f} ms, p99 {load.result.p99 * 1000:.0f} ms")
    assert load.result.failed == 0, load.result.examples
    assert uploads.accepted == uploads.sent == uploads.done
    assert {balancer: process(balancer) for balancer in BALANCERS} == before, "reloaded, not restarted"


def test_a_drain_waits_for_requests_that_began_before_a_reload() -> None:
    roll("drain", WEB[1])
    slow = SlowRequest()
    roll("put_back", WEB[1])
    playbook("converge", load_balancer_max_connections=4100)
    assert "sessions left: 1" in roll("drain", WEB[0], load_balancer_drain_timeout=1)
    slow.end_later()
    assert "sessions left: 0" in roll("drain", WEB[0], load_balancer_drain_timeout=60)
    assert slow.result()["host"] == WEB[0]
    roll("put_back", WEB[0])


def test_a_password_that_cannot_be_read_is_not_replaced_by_another() -> None:
    password = "/etc/covstack/load_balancer/vrrp_password.conf"
    known = on("lb2", f"cat {password}")
    on("lb1", f"rm {password}")
    on("lb2", f"mv {password} {password}.aside && mkdir {password}")
    try:
        said = " ".join(playbook("converge", fails=True).split())
        assert f"{password}: cannot be read on lb2 (Is a directory) -> make it readable, or remove it" in said
        assert on("lb1", f"ls {password} 2>/dev/null || true") == ""
    finally:
        on("lb2", f"rmdir {password} && mv {password}.aside {password}")
    assert known not in playbook("converge")
    assert on("lb1", f"cat {password}") == on("lb2", f"cat {password}") == known


def web_servers(first: str, second: str, port: int) -> list[dict[str, t.Any]]:
    return [{"name": WEB[0], "address": first, "port": port}, {"name": WEB[1], "address": second, "port": port}]


def test_the_address_of_a_server_is_changed_in_spite_of_the_saved_state() -> None:
    roll("drain", WEB[0])
    playbook("converge", load_balancer_web_servers=web_servers("10.111.0.99", "10.111.0.98", 8333))
    answers = [get("/x") for _number in range(4)]
    assert {(answer["host"], answer["port"]) for answer in answers} == {(WEB[0], 8333)}, "the other name has its address now"
    for balancer in BALANCERS:
        on(balancer, "systemctl restart haproxy")
        assert not receives(balancer, WEB[0]), "drained also after a restart"
    playbook("converge")
    roll("put_back", WEB[0])
    assert {(answer["host"], answer["port"]) for answer in [get("/x") for _number in range(6)]} == {(name, 8080) for name in WEB}


def test_a_configuration_that_haproxy_refuses_changes_nothing() -> None:
    before = on("lb1", "cat /etc/covstack/load_balancer/haproxy.cfg")
    refused = playbook("converge", fails=True, load_balancer_web_check={"path": "/ready?%[", "port": 8089}, load_balancer_web_servers=[
        {"name": "lb-web1", "address": "no-such-host.invalid", "port": 8080}, {"name": "lb web2", "address": "10.111.0.99", "port": 8080}])  # fmt: skip
    assert "load_balancer_web_servers[1].name" in refused
    assert on("lb1", "cat /etc/covstack/load_balancer/haproxy.cfg") == before
    assert "is in no network of lb1" in playbook("converge", fails=True, load_balancer_virtual_address="192.0.2.7")
    assert "changed=0" in playbook("converge")


def test_a_server_that_is_not_ready_leaves_in_seconds_without_a_failed_request() -> None:
    with Load(URL, rate=RATE, paths=["/load"]) as load, Uploads() as uploads:
        started = time.monotonic()
        on(WEB[0], "touch /run/not-ready")
        wait_until("it leaves", lambda: not any(receives(balancer, WEB[0]) for balancer in BALANCERS), 20, 0.1)
        left = time.monotonic() - started
        on(WEB[0], "rm /run/not-ready")
        started = time.monotonic()
        wait_until("it comes back", lambda: all(receives(balancer, WEB[0]) for balancer in BALANCERS), 20, 0.1)
        back = time.monotonic() - started
    print(f"\nreadiness 503: out after {left:.1f} s, back after {back:.1f} s; {load.result.requests} requests, {load.result.failed} failed")
    assert load.result.failed == 0, load.result.examples
    assert uploads.accepted == uploads.sent == uploads.done
    assert left < 5 and back < 5


def test_put_back_of_a_server_that_is_not_ready_says_why(tmp_path: pathlib.Path) -> None:
    roll("drain", WEB[0])
    on(WEB[0], "touch /run/not-ready")
    try:
        wait_until("its check fails", lambda: "503" in servers("lb1", tmp_path)[WEB[0]]["check"], 20, 0.5)
        said = playbook("roll", verb="put_back", server=WEB[0], fails=True, load_balancer_put_back_timeout=2)
        assert "sends no requests to web/lb-web1" in said and "503" in said
    finally:
        on(WEB[0], "rm /run/not-ready")
        roll("put_back", WEB[0])


def test_a_killed_server_leaves_in_seconds_and_nothing_is_done_twice() -> None:
    with Load(URL, rate=RATE, paths=["/load"]) as load, Uploads() as uploads, Interruption(ADDRESS, "/probe") as interruption:
        interruption.goes_on(UNDISTURBED)
        started = time.monotonic()
        run("docker", "kill", hosts.container(WEB[1]))
        wait_until("it leaves", lambda: not any(receives(balancer, WEB[1]) for balancer in BALANCERS), 20, 0.1)
        left = time.monotonic() - started
        interruption.goes_on(UNDISTURBED)
    print(f"\nkilled server: out after {left:.1f} s; of {load.result.requests} requests {load.result.failed} failed, of {uploads.sent} uploads"
          f" {uploads.sent - uploads.accepted}; longest time without an answer {interruption.seconds:.2f} s; p99 {load.result.p99 * 1000:.0f} ms")
    hosts.restart(WEB[1])
    wait_until("it comes back", lambda: all(receives(balancer, WEB[1]) for balancer in BALANCERS), 30, 0.2)
    # Only what was being answered by the dead server may fail.
    assert load.result.failed <= 5, load.result.examples
    assert left < 8 and interruption.seconds < 3


def test_a_killed_active_balancer_is_followed_by_the_other_one() -> None:
    active = str(holder())
    other = next(name for name in BALANCERS if name != active)
    with Interruption(ADDRESS, "/probe") as interruption, Load(URL, rate=20, paths=["/load"]) as load:
        interruption.goes_on(UNDISTURBED)
        run("docker", "kill", hosts.container(active))
        wait_until("the other one holds the address", lambda: holder() == other, 20, 0.1)
        interruption.goes_on(UNDISTURBED)
    print(f"\nkilled active balancer: {interruption.seconds:.1f} s without an answer ({load.result.failed} of {load.result.requests} requests failed)")
    assert interruption.seconds < 6
    said = roll("drain", WEB[0])
    assert f"{active} did not answer and was passed over" in said and f"{other} holds the virtual address" in said
    on(other, "systemctl stop keepalived")
    assert "no other balancer holds the virtual address" in playbook("roll", verb="put_back", server=WEB[0], fails=True)
    on(other, "systemctl start keepalived")
    wait_until("it holds the address again", lambda: holder() == other, 20, 0.2)
    roll("put_back", WEB[0])
    with Interruption(ADDRESS, "/probe") as interruption:
        hosts.restart(active)
        wait_until("it runs again", lambda: receives(active, WEB[0]), 30, 0.5)
        interruption.goes_on(2 * UNDISTURBED)
    assert holder() == other, "the address stays where it is"
    print(f"its return: {interruption.seconds:.2f} s without an answer, {interruption.failed} failed")
    assert interruption.failed == 0
    assert "changed=0" in playbook("converge")


def test_a_balancer_whose_haproxy_does_not_answer_gives_the_address_up() -> None:
    active = str(holder())
    with Interruption(ADDRESS, "/probe") as interruption:
        interruption.goes_on(UNDISTURBED)
        on(active, "kill -STOP $(pgrep --exact haproxy)")
        wait_until("the other one holds the address", lambda: holder() not in (active, None), 20, 0.1)
        interruption.goes_on(UNDISTURBED)
    on(active, "kill -CONT $(pgrep --exact haproxy)")
    print(f"\nfrozen HAProxy: {interruption.seconds:.1f} s without an answer")
    assert interruption.seconds < 10


def test_what_was_changed_by_hand_or_left_by_a_killed_run_is_put_right() -> None:
    on("lb1", "sed -i 's/^  maxconn .*/  maxconn 777/' /etc/covstack/load_balancer/haproxy.cfg && systemctl reload haproxy")
    on("lb2", "rm /run/covstack-keepalived.applied")
    playbook("converge")
    assert "maxconn 777" not in on("lb1", "cat /etc/covstack/load_balancer/haproxy.cfg")
    assert "changed=0" in playbook("converge")


def test_removal_leaves_nothing() -> None:
    playbook("remove")
    for balancer in BALANCERS:
        left = on(balancer, "find /etc /usr/libexec /run -xdev -name '*covstack*' -o -name 'server-state' | grep --invert-match server-state || true")
        assert left.strip() == ""
        assert on(balancer, "systemctl is-active haproxy keepalived || true").split() == ["inactive", "inactive"]
    assert holder() is None
    assert "changed=0" in playbook("remove")
