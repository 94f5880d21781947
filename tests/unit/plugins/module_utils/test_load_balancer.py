# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role load_balancer refuses, writes, and reads from HAProxy. That HAProxy takes it is proved by the scenario load_balancer."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils import _haproxy, _load_balancer
from ansible_collections.covstack.selfhosted.plugins.module_utils._load_balancer import Host, Settings

PASSWORD = "sEcReT12"
SERVERS = [{"name": "web1", "address": "10.0.0.21", "port": 8080}, {"name": "web2", "address": "10.0.0.22", "port": 8080}]
PEERS = [{"name": "lb1", "address": "10.0.0.11"}, {"name": "lb2", "address": "10.0.0.12"}]
GIVEN: dict[str, Any] = {
    "url": "http://codecov.example.com",
    "web_servers": SERVERS,
    "web_check": {"path": "/ready", "port": 8089},
    "storage_servers": [{"name": "st1", "address": "10.0.0.31", "port": 8333}],
    "storage_check": {"path": "/healthz", "port": 0},
    "storage_buckets": ["archive"],
    "storage_host": "",
    "certificate": "",
    "key": "",
    "http_port": 80,
    "https_port": 443,
    "bind_addresses": [],
    "redirect": True,
    "check": {"interval_ms": 1000, "timeout_ms": 3000, "fall": 2, "rise": 2},
    "timeouts": {"connect_s": 1, "client_s": 600, "server_s": 600, "queue_s": 30, "headers_s": 10, "keep_alive_s": 30},
    "max_connections": 4096,
    "access_log": True,
    "metrics": {"address": "", "port": 8404},
    "alive_port": 8405,
    "peers": PEERS,
    "virtual_address": "10.0.0.10",
    "interface": "",
    "router_id": 51,
    "password": "",
    "allow_single": False,
}
HTTPS = {"url": "https://codecov.example.com", "certificate": "chain.pem", "key": "key.pem"}
HOST = Host("lb1", interfaces=[{"name": "lo", "address": "127.0.0.1", "prefix": 8}, {"name": "eth0", "address": "10.0.0.11", "prefix": 24}])


def settings(**over: Any) -> Settings:
    return _load_balancer.settings_of({**GIVEN, **over})


def errors(host: Host = HOST, **over: Any) -> list[str]:
    return [str(problem) for problem in _load_balancer.problems_of(settings(**over), host) if problem.is_error]


def test_good_settings_have_no_error() -> None:
    assert errors() == [] and errors(**HTTPS) == []


@pytest.mark.parametrize(
    ("over", "setting", "says"),
    [
        ({"url": "codecov.example.com"}, "load_balancer_url", "is no http:// or https:// address"),
        ({"url": "http://codecov.example.com/path"}, "load_balancer_url", "more than scheme, host and port"),
        ({"url": "http://codecov.example.com:8000"}, "load_balancer_http_port", "clients use port 8000"),
        ({"web_servers": []}, "load_balancer_web_servers", "nothing to balance"),
        ({"web_servers": [SERVERS[0], {**SERVERS[1], "name": "web1"}]}, "load_balancer_web_servers[1].name", "is there twice"),
        ({"web_servers": [{**SERVERS[0], "name": "web 1"}]}, "load_balancer_web_servers[0].name", "is no name for HAProxy"),
        ({"web_servers": [{**SERVERS[0], "address": "10.0.0.21 check"}]}, "load_balancer_web_servers[0].address", "neither an address nor a host name"),
        ({"web_servers": [{**SERVERS[0], "address": "localhost"}]}, "load_balancer_web_servers[0].address", "each balancer itself"),
        ({"web_servers": [SERVERS[0], {**SERVERS[0], "name": "web2"}]}, "load_balancer_web_servers[1]", "is also that of"),
        ({"storage_buckets": []}, "load_balancer_storage_buckets", "no request would reach the storage"),
        ({"storage_servers": []}, "load_balancer_storage_servers", "sends requests there"),
        ({"storage_buckets": ["A"]}, "load_balancer_storage_buckets[0]", "is no bucket name"),
        ({"storage_host": "codecov.example.com"}, "load_balancer_storage_host", "the name of the application itself"),
        ({"web_check": {"path": "ready", "port": 8089}}, "load_balancer_web_check.path", "is no path"),
        ({"check": {**GIVEN["check"], "fall": 0}}, "load_balancer_check.fall", "out of range"),
        ({"max_connections": 1}, "load_balancer_max_connections", "out of range"),
        ({"alive_port": 80}, "load_balancer_alive_port", "is also that of load_balancer_http_port"),
        ({"bind_addresses": ["10.0.0.99"]}, "load_balancer_bind_addresses[0]", "neither an address of lb1 nor the virtual one"),
        ({"url": "https://codecov.example.com"}, "load_balancer_certificate", "is empty, but load_balancer_url is https://"),
        ({"peers": PEERS[1:]}, "load_balancer_peers", "does not name lb1 itself"),
        ({"peers": PEERS[:1]}, "load_balancer_peers", "lb1 is the only balancer"),
        ({"virtual_address": ""}, "load_balancer_virtual_address", "clients know one address"),
        ({"virtual_address": "10.0.0.11"}, "load_balancer_virtual_address", "is the address of lb1 itself"),
        ({"virtual_address": "10.0.1.10"}, "load_balancer_virtual_address", "is in no network of lb1"),
        ({"virtual_address": "10.0.0.255"}, "load_balancer_virtual_address", "broadcast"),
        ({"interface": "eth7"}, "load_balancer_interface", "is not on lb1"),
        ({"router_id": 0}, "load_balancer_router_id", "out of range"),
        ({"password": "much-too-long-for-vrrp"}, "load_balancer_password", "of which VRRP transports 8"),
    ],
)
def test_a_bad_setting_has_one_clear_line(over: dict[str, Any], setting: str, says: str) -> None:
    found = [line for line in errors(**over) if line.startswith(f"{setting}:")]
    assert len(found) == 1 and says in found[0] and " -> " in found[0], errors(**over)


def test_a_file_that_cannot_be_read_is_not_taken_for_one_that_is_missing() -> None:
    found = errors(Host("lb1", interfaces=HOST.interfaces, unreadable={"/etc/covstack/x": "Is a directory"}))
    assert len(found) == 1 and found[0].startswith("/etc/covstack/x: cannot be read on lb1 (Is a directory) -> "), found


def test_a_port_that_another_program_holds_is_refused() -> None:
    held = [{"port": 80, "process": "nginx", "container": None, "addresses": ["0.0.0.0"]}]
    assert "port" not in str(errors(HOST)) and "80 is held by nginx on lb1" in errors(Host("lb1", interfaces=HOST.interfaces, listening=held))[0]
    ours = [{**held[0], "process": "haproxy"}]
    assert errors(Host("lb1", interfaces=HOST.interfaces, listening=ours)) == []


def test_no_password_gets_into_a_file_or_a_message() -> None:
    plan = _load_balancer.plan_of(settings(password=PASSWORD), HOST)
    assert plan["errors"] == [] and PASSWORD not in str(plan)
    assert PASSWORD not in str(errors(password=PASSWORD + "x"))


def test_the_first_peer_has_the_highest_priority_and_none_takes_the_address_back() -> None:
    first = _load_balancer.keepalived_conf(settings(), HOST)
    second = _load_balancer.keepalived_conf(settings(), Host("lb2", interfaces=[{"name": "ens3", "address": "10.0.0.12", "prefix": 24}]))
    assert "priority 200" in first and "priority 190" in second
    assert all("nopreempt" in text and "state BACKUP" in text for text in (first, second))
    assert "10.0.0.10/24 dev eth0" in first and "10.0.0.10/24 dev ens3" in second
    assert "unicast_src_ip 10.0.0.11" in first and "    10.0.0.12\n" in first


def test_what_is_loaded_is_told_apart_by_its_description() -> None:
    texts = [
        _load_balancer.haproxy_cfg(settings(), HOST),
        _load_balancer.haproxy_cfg(settings(max_connections=5000), HOST),
        _load_balancer.haproxy_cfg(settings(**HTTPS), HOST),
        _load_balancer.haproxy_cfg(settings(**HTTPS), Host("lb1", interfaces=HOST.interfaces, digests={_load_balancer.CERTIFICATE: "renewed"})),
    ]
    assert len({text.split("description ")[1].split()[0] for text in texts}) == len(texts)
    assert texts[0] == _load_balancer.haproxy_cfg(settings(), HOST)


def test_buckets_lead_to_the_storage_and_the_rest_to_the_web_servers() -> None:
    text = _load_balancer.haproxy_cfg(settings(), HOST)
    assert "use_backend storage if { path /archive } || { path_beg /archive/ }" in text and "default_backend web" in text
    assert "server web1 10.0.0.21:8080 check port 8089" in text and "server st1 10.0.0.31:8333 check\n" in text


def test_tls_ends_here_and_http_is_redirected() -> None:
    text = _load_balancer.haproxy_cfg(settings(**HTTPS), HOST)
    assert f"bind *:443 ssl crt {_load_balancer.CERTIFICATE}" in text and "redirect scheme https code 301" in text
    assert "bind *:80" not in _load_balancer.haproxy_cfg(settings(**HTTPS, redirect=False), HOST)


# --- the state that a reload and a restart take over ------------------------------------------------------------

HEADER = "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_port srv_check_port"
STATE = f"1\n{HEADER}\n5 web 1 web1 10.0.0.21 2 8 8080 8089\n5 web 2 web2 10.0.0.22 2 0 8080 8089\n5 web 3 gone 10.0.0.23 2 0 8080 8089\n"


def test_a_saved_drain_survives_and_ports_are_those_of_the_configuration(tmp_path: pathlib.Path) -> None:
    configuration, state = tmp_path / "haproxy.cfg", tmp_path / "state"
    configuration.write_text(_load_balancer.haproxy_cfg(settings(web_servers=[{**server, "port": 9090} for server in SERVERS]), HOST))
    state.write_text(STATE)
    program = _load_balancer.SAVE.replace(_load_balancer.STATE_FILE, str(state)).replace(f"{_load_balancer.ETC}/haproxy.cfg", str(configuration))
    subprocess.run([sys.executable, "-c", program, "start"], check=True, timeout=30)
    rows = [line.split() for line in state.read_text().splitlines()[2:]]
    assert [(row[3], row[6], row[7], row[8]) for row in rows] == [("web1", "8", "9090", "8089"), ("web2", "0", "9090", "8089"), ("gone", "0", "8080", "8089")]


def test_a_first_start_has_no_state_to_correct(tmp_path: pathlib.Path) -> None:
    program = _load_balancer.SAVE.replace(_load_balancer.STATE_FILE, str(tmp_path / "state"))
    subprocess.run([sys.executable, "-c", program, "start"], check=True, timeout=30)
    assert list(tmp_path.iterdir()) == []


def test_admin_states_are_read_from_the_servers_state() -> None:
    assert _haproxy.parse_admin(STATE) == {("web", "web1"): "drain", ("web", "web2"): "ready", ("web", "gone"): "ready"}


STAT = """# pxname,svname,qcur,scur,stot,status,check_status,check_code,last_chk
web,web1,0,2,17,UP,L7OK,200,
web,web2,1,0,3,DOWN,L7STS,503,Service Unavailable
"""


def test_a_drained_server_that_is_up_receives_nothing() -> None:
    first, second = _haproxy.servers_of(STAT, STATE)
    assert (first.admin, first.status, first.sessions, first.receives) == ("drain", "UP", 2, False)
    assert (second.sessions, second.receives, second.check) == (1, False, "L7STS 503: Service Unavailable")


def test_a_name_that_haproxy_does_not_know_is_refused_with_those_it_knows() -> None:
    servers = _haproxy.servers_of(STAT, STATE)
    assert [server.name for server in _haproxy.chosen(servers, _haproxy.Choice(("web2",), ("web",)))] == ["web2"]
    with pytest.raises(_haproxy.HaproxyError, match="no server 'web9' in web. Allowed: web1, web2"):
        _haproxy.chosen(servers, _haproxy.Choice(("web9",), ("web",)))


def test_processes_of_before_a_reload_are_found() -> None:
    text = "#<PID> <type> <reloads>\n10 master 1\n# workers\n30 worker 0\n# old workers\n20 worker 1\n25 worker 2\n# programs\n40 program 0\n"
    assert _haproxy.parse_old_workers(text) == ["20", "25"]


# --- two colours ------------------------------------------------------------------------------------------------------------------


def colours(**over: Any) -> str:
    return _load_balancer.haproxy_cfg(settings(colours=over), HOST)


def test_shares_are_kept_in_turns_and_by_a_cookie() -> None:
    text = colours(weights={"web1": 256, "web2": 64})
    assert "  balance roundrobin\n" in text
    assert "  cookie covstack_colour insert indirect nocache httponly\n" in text
    assert "  server web1 10.0.0.21:8080 check port 8089 weight 256 cookie web1\n" in text
    assert "secure" in _load_balancer.haproxy_cfg(settings(**HTTPS, colours={"weights": {"web1": 1, "web2": 1}}), HOST)


def test_who_gets_no_requests_is_reached_by_a_name_of_its_own_and_by_no_cookie() -> None:
    text = colours(weights={"web1": 256, "web2": 0}, host="stage.example.com", stage=["web2"])
    assert "cookie" not in text
    assert "  server web2 10.0.0.22:8080 check port 8089 weight 0\n" in text
    assert "  use_backend stage if { req.hdr(host),field(1,:) -i stage.example.com }\n" in text
    assert text.partition("backend stage\n")[2].partition("\n\n")[0].count("server web") == 1


def test_without_colours_nothing_of_them_is_written() -> None:
    text = _load_balancer.haproxy_cfg(settings(), HOST)
    assert not any(word in text for word in ("roundrobin", "cookie", "weight", "stage"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"weights": {"web3": 1}}, "'web3' is no web server"),
        ({"stage": ["web3"]}, "'web3' is no web server"),
        ({"weights": {"web1": 257}}, "257 is out of range"),
        ({"weights": {"web1": 0, "web2": 0}}, "leaves no server"),
        ({"host": "no name"}, "is no host name"),
    ],
)
def test_colours_that_cannot_be(given: dict[str, Any], said: str) -> None:
    assert any(said in problem for problem in errors(colours=given))
