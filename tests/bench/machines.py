# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts as machines of their own, though all share this one's processors: no request waits for what a host does that gets no requests.

Such a host (drained, not part of the deployment yet, or the load balancer that does not hold the virtual address) gets the processors only while nobody else
wants them. Hosts that serve compete with each other, and with what a playbook does on them meanwhile.
"""

from __future__ import annotations

import contextlib
import pathlib
import threading
import typing as t

from lab import hosts
from lab.shell import LabError, output

DIRECTORY = "opt/codecov"
LOOK_S = 0.1


class Host:
    """A host of the lab, seen from outside. Without an address that it may hold it is a host of the application."""

    def __init__(self, name: str, address: str = "") -> None:
        pid = output("docker", "inspect", "--format", "{{.State.Pid}}", hosts.container(name)).strip()
        self._deployment = pathlib.Path(f"/proc/{pid}/root/{DIRECTORY}")
        self._routes, self._address = pathlib.Path(f"/proc/{pid}/net/fib_trie"), address
        self._idle = _control_group(pid) / "cpu.idle"
        if not self._idle.exists():
            raise LabError(f"{name}: the kernel has no {self._idle}, without which hosts are no machines of their own (it is there since Linux 5.15)")

    @property
    def serves(self) -> bool:
        if self._address:
            return f" {self._address}\n" in self._routes.read_text()
        return (self._deployment / "slots" / "active.yml").exists() and not (self._deployment / "drain" / "draining").exists()

    def yield_processors(self, wanted: bool) -> None:
        self._idle.write_text(str(int(wanted)))


def _control_group(pid: str) -> pathlib.Path:
    """The one that shares out processors: of the only hierarchy (version 2), or of that of the controller cpu (version 1)."""
    groups = dict(line.split(":", 2)[1:] for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    controllers = next((controllers for controllers in groups if "cpu" in controllers.split(",")), "")
    # With version 2 systemd puts itself into a part of the host's.
    return pathlib.Path(f"/sys/fs/cgroup/{controllers}{groups[controllers].removesuffix('/init.scope')}")


@contextlib.contextmanager
def apart(application: t.Iterable[str], load_balancers: t.Iterable[str], address: str) -> t.Iterator[None]:
    """As long as the block runs these hosts are machines of their own. One of the load balancers holds the virtual address."""
    members = [*(Host(name) for name in application), *(Host(name, address) for name in load_balancers)]
    over = threading.Event()

    def watch() -> None:
        known: dict[Host, bool] = {}
        while not over.wait(LOOK_S):
            for member in members:
                if known.get(member) != (serves := member.serves):
                    member.yield_processors(not serves)
                    known[member] = serves

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for member in members:
            member.yield_processors(False)
