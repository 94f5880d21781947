# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy through its local sockets: what it runs with, its servers, and their sessions, also those of processes that a reload left behind.

Private to this collection.
"""

from __future__ import annotations

import csv
import json
import os
import re
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Sequence

from ansible_collections.covstack.selfhosted.plugins.module_utils._load_balancer_paths import ADMIN_SOCKET, ETC, MASTER_SOCKET, STATE_FILE

OPTIONS = {
    "servers": {"type": "list", "elements": "str", "default": []},
    "backends": {"type": "list", "elements": "str", "default": []},
    "state": {"type": "str", "choices": ["drained", "ready"]},
    "timeout": {"type": "float", "default": 60},
    "socket": {"type": "path", "default": ADMIN_SOCKET},
    "master_socket": {"type": "path", "default": MASTER_SOCKET},
    "state_file": {"type": "path", "default": STATE_FILE},
}
ADMIN_STATES = {"drained": "drain", "ready": "ready"}
TIMEOUT = 5.0
POLL_SECONDS = 0.2
FORCED_DRAIN, FORCED_MAINTENANCE = 0x08, 0x01


class HaproxyError(Exception):
    """One clear sentence for the user."""


@dataclass(frozen=True)
class Server:
    backend: str
    name: str
    status: str  # as HAProxy shows it: UP, DOWN, DRAIN, MAINT, 'UP 1/2' on its way down ...
    admin: str  # what an operator wants: ready, drain or maint
    sessions: int
    requests: int
    check: str

    @property
    def receives(self) -> bool:
        return self.admin == "ready" and self.status.startswith("UP")

    @property
    def label(self) -> str:
        return f"{self.backend}/{self.name}"

    def report(self) -> dict[str, Any]:
        return {**self.__dict__, "receives": self.receives}


@dataclass(frozen=True)
class Choice:
    """Which servers are meant: these names (none: all) in these backends (none: all)."""

    names: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()


# --- pure -----------------------------------------------------------------------------------------------------------


def parse_info(text: str) -> dict[str, str]:
    """'Name: value' lines of `show info`."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip().lower(): value.strip() for name, _colon, value in pairs if name.strip()}


def parse_stat(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.lstrip("# ").splitlines()))


def parse_admin(text: str) -> dict[tuple[str, str], str]:
    """(backend, server) -> ready, drain or maint, from `show servers state`."""
    lines = [line for line in text.splitlines() if line.strip()]
    header = next((line[1:].split() for line in lines if line.startswith("#")), [])
    found = {}
    for line in lines:
        fields = line.split()
        if line.startswith("#") or len(fields) < len(header) or "srv_admin_state" not in header:
            continue
        row = dict(zip(header, fields))
        state = int(row["srv_admin_state"])
        found[(row["be_name"], row["srv_name"])] = "maint" if state & FORCED_MAINTENANCE else "drain" if state & FORCED_DRAIN else "ready"
    return found


def parse_old_workers(text: str) -> list[str]:
    """Process ids under '# old workers' of the master's `show proc`."""
    _before, found, rest = text.partition("# old workers")
    section = rest.split("\n#", maxsplit=1)[0] if found else ""
    return [match.group(1) for match in (re.match(r"(\d+)\s", line) for line in section.splitlines()) if match]


def explain(row: Mapping[str, str]) -> str:
    """The last check in words: 'L7STS 503: Service Unavailable'."""
    code = f" {row['check_code']}" if row.get("check_code") else ""
    text = row.get("last_chk") or row.get("check_desc") or ""
    return f"{row.get('check_status', '')}{code}{': ' + text if text else ''}".strip("* ")


def servers_of(stat: str, state: str) -> list[Server]:
    admin = parse_admin(state)
    return [
        Server(
            row["pxname"], row["svname"], row["status"], admin.get((row["pxname"], row["svname"]), "ready"),
            int(row["scur"] or 0) + int(row["qcur"] or 0), int(row["stot"] or 0), explain(row),
        )
        for row in parse_stat(stat)
    ]  # fmt: skip


# --- the sockets ----------------------------------------------------------------------------------------------------


def ask(path: str, command: str) -> str:
    """One command, its whole answer."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(path)
            connection.sendall(f"{command}\n".encode())
            connection.shutdown(socket.SHUT_WR)  # the master process would wait for more
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode("utf-8", "replace").strip()
    except OSError as error:
        raise HaproxyError(f"HAProxy does not answer at {path} ({error.strerror or error}).") from None


class Haproxy:
    def __init__(self, admin: str = ADMIN_SOCKET, master: str = MASTER_SOCKET, state_file: str = STATE_FILE) -> None:
        self.admin, self.master, self.state_file = admin, master, state_file

    def info(self) -> dict[str, str]:
        return parse_info(ask(self.admin, "show info"))

    def servers(self) -> list[Server]:
        return servers_of(ask(self.admin, "show stat -1 4 -1"), ask(self.admin, "show servers state"))

    def old_sessions(self, servers: Iterable[Server]) -> int:
        """Sessions of these servers in processes that a reload left behind: uploads that began before it."""
        if not os.path.exists(self.master):
            return 0
        wanted = {(server.backend, server.name) for server in servers}
        total = 0
        for process in parse_old_workers(ask(self.master, "show proc")):
            try:
                rows = parse_stat(ask(self.master, f"@!{process} show stat -1 4 -1"))
            except HaproxyError:
                continue  # it has ended meanwhile
            total += sum(int(row["scur"] or 0) for row in rows if (row.get("pxname"), row.get("svname")) in wanted)
        return total

    def set_state(self, servers: Sequence[Server], state: str) -> None:
        for server in servers:
            answer = ask(self.admin, f"set server {server.label} state {state}")
            if answer:
                raise HaproxyError(f"HAProxy refuses to set {server.label} to {state}: {answer}")
        if servers:
            self.save()

    def save(self) -> None:
        """For the process that the next reload, or restart, starts."""
        temporary = f"{self.state_file}.{os.getpid()}"  # several hosts of a batch are drained at once
        state = ask(self.admin, "show servers state")
        try:
            with open(temporary, "w", encoding="utf-8") as stream:
                stream.write(state + "\n")
            os.replace(temporary, self.state_file)
        except OSError as error:
            way_out = "Way out: mend that, then run again, or HAProxy's next process sends these servers requests as its configuration says."
            raise HaproxyError(f"What HAProxy knows of its servers cannot be saved in {self.state_file} ({error.strerror}). {way_out}") from None


def chosen(servers: Sequence[Server], choice: Choice) -> list[Server]:
    """The servers that are meant. Each name must be there."""
    found = [server for server in servers if not choice.backends or server.backend in choice.backends]
    known = {server.name for server in found}
    unknown = [name for name in choice.names if name not in known]
    if unknown:
        where = f" in {', '.join(choice.backends)}" if choice.backends else ""
        there = ", ".join(sorted(known)) or "none"
        raise HaproxyError(f"HAProxy has no server {unknown[0]!r}{where}. Allowed: {there}. Way out: run the role load_balancer first, it writes the servers.")
    return [server for server in found if not choice.names or server.name in choice.names]


def wait_idle(haproxy: Haproxy, choice: Choice, timeout: float) -> int:
    """Wait until the servers have no session; returns how many are left."""
    deadline = time.monotonic() + timeout
    while True:
        servers = chosen(haproxy.servers(), choice)
        left = sum(server.sessions for server in servers) + haproxy.old_sessions(servers)
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(POLL_SECONDS)


def wait_receiving(haproxy: Haproxy, choice: Choice, timeout: float) -> list[Server]:
    """Wait until HAProxy sends requests to all of the servers; returns those that it does not."""
    deadline = time.monotonic() + timeout
    while True:
        idle = [server for server in chosen(haproxy.servers(), choice) if not server.receives]
        if not idle or time.monotonic() >= deadline:
            return idle
        time.sleep(POLL_SECONDS)


# --- the host -------------------------------------------------------------------------------------------------------


def interfaces() -> list[dict[str, Any]]:
    """Every address of the host: {name, address, prefix}."""
    try:
        done = subprocess.run(["ip", "-json", "address", "show"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                              env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, timeout=TIMEOUT, check=True)
    except (OSError, subprocess.SubprocessError):
        raise HaproxyError("The command ip does not tell the addresses of this host. Way out: install the package iproute2 (iproute).") from None
    return parse_interfaces(done.stdout.decode())


def parse_interfaces(text: str) -> list[dict[str, Any]]:
    return [
        {"name": link["ifname"], "address": entry["local"], "prefix": entry["prefixlen"]}
        for link in json.loads(text)
        for entry in link.get("addr_info", [])
        if "local" in entry and entry.get("scope") != "link"
    ]


def virtual_address(directory: str = ETC) -> str | None:
    """What keepalived of this host may hold, without its prefix."""
    try:
        with open(os.path.join(directory, "keepalived.conf"), encoding="utf-8") as stream:
            found = re.search(r"virtual_ipaddress \{\s*([0-9a-fA-F.:]+)", stream.read())
    except OSError:
        return None
    return found.group(1) if found else None


def holds_address() -> bool | None:
    """None where there is no virtual address."""
    address = virtual_address()
    return None if address is None else any(entry["address"] == address for entry in interfaces())


# --- the module haproxy_servers -------------------------------------------------------------------------------------


def answer(options: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Result of the module to its options."""
    if options["state"] and not options["servers"]:
        return _failure("servers: is empty. Allowed: the names of the servers to change.")
    haproxy = Haproxy(options["socket"], options["master_socket"], options["state_file"])
    try:
        holds = holds_address()
        haproxy.info()
    except HaproxyError as error:
        return {"changed": False, "answers": False, "reason": str(error), "holds_address": None, "sessions_left": 0, "servers": []}
    try:
        return {"answers": True, "reason": "", "holds_address": holds, **_look_or_change(haproxy, options, check_mode)}
    except HaproxyError as error:
        return _failure(str(error))


def _failure(message: str) -> dict[str, Any]:
    return {"failed": True, "changed": False, "msg": message}


def _look_or_change(haproxy: Haproxy, options: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    state, choice = options["state"], Choice(tuple(options["servers"]), tuple(options["backends"]))
    before = chosen(haproxy.servers(), choice)
    result: dict[str, Any] = {"changed": False, "sessions_left": 0}
    if state:
        different = [server for server in before if server.admin != ADMIN_STATES[state]]
        result["changed"] = bool(different)
        if not check_mode:
            haproxy.set_state(different, ADMIN_STATES[state])
            result["sessions_left"] = _wait(haproxy, choice, state, options["timeout"]) if options["timeout"] else 0
    return {**result, "servers": [server.report() for server in chosen(haproxy.servers(), choice)]}


def _wait(haproxy: Haproxy, choice: Choice, state: str, timeout: float) -> int:
    """Until the servers are in this state; returns how many sessions are left. Raises HaproxyError for those that receive no requests."""
    if state == "drained":
        return wait_idle(haproxy, choice, timeout)
    idle = wait_receiving(haproxy, choice, timeout)
    if idle:
        reasons = "; ".join(f"{server.label} is {server.status}, its check says {server.check}" for server in idle)
        way_out = "Way out: make the host answer its check with 200, then put it back again."
        raise HaproxyError(f"After {timeout:g} s HAProxy sends no requests to {reasons}. {way_out}")
    return 0
