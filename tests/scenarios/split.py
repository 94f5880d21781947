# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deployment of scenario strategy_2: its hosts, its playbooks, and what its load balancers say of themselves."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import typing as t

import yaml
from lab import hosts
from lab.load import Load
from lab.shell import CACHE, ROOT, output

from .uploads import Uploads

SCENARIO = ROOT / "molecule/strategy_2"
ADDRESS = "10.111.0.120"
URL = f"https://{ADDRESS}"
AUTHORITY = CACHE / f"{ADDRESS}-certificate.pem"
BALANCERS, WEB, DATA = ("s2-lb1", "s2-lb2"), ("s2-app1", "s2-app2"), "s2-data"
STORAGE = ("s2-storage1", "s2-storage2", DATA)
RATE = 80  # requests a second: what two cores carry beside a running playbook, hosts included
NEW = {"api": "26.7.6", "worker": "26.7.6"}
# STRATEGY_2_HOSTS: hosts that were made by hand, in an inventory of `lab inventory`.
HOSTS = pathlib.Path(os.environ.get("STRATEGY_2_HOSTS", ROOT / ".cache/lab/scenarios/strategy_2/hosts.yml"))
INVENTORIES = (ROOT / "molecule/shared/inventory", SCENARIO / "inventory", HOSTS)
ASK = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); s.sendall(b'show stat -1 4 -1\\n'); print(s.makefile().read())"


def on(host: str, script: str) -> str:
    return output("docker", "exec", hosts.container(host), "sh", "-euc", script)


def executed(said: str) -> dict[str, int]:
    """How many tasks ran on each host, as a playbook says at its end."""
    return {host: int(number) for host, number in re.findall(r"^(\S+) +: ok=(\d+)", said, re.MULTILINE)}


def changed(said: str) -> int:
    """What the playbook changed on all hosts together."""
    return sum(int(number) for number in re.findall(r"changed=(\d+)", said))


def command(verb: str, inventories: t.Sequence[pathlib.Path] = INVENTORIES, limit: str = "all", check: bool = False, **settings: t.Any) -> list[str]:
    chosen = [*(f"--inventory={path}" for path in inventories), f"--limit={limit}", *(["--check"] if check else [])]
    extra = ["--extra-vars", json.dumps(settings)] if settings else []
    # At a low priority: a controller is another machine than the hosts.
    return ["nice", "-n", "10", str(pathlib.Path(sys.executable).parent / "ansible-playbook"), f"covstack.selfhosted.{verb}", *chosen, *extra]


def environment() -> dict[str, str]:
    return {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}


def playbook(
    verb: str, inventories: t.Sequence[pathlib.Path] = INVENTORIES, fails: bool = False, limit: str = "all", check: bool = False, **settings: t.Any
) -> str:
    wanted = command(verb, inventories, limit, check, **settings)
    done = subprocess.run(wanted, cwd=ROOT, env=environment(), text=True, capture_output=True, timeout=900, check=False)
    assert (done.returncode != 0) == fails, done.stdout[-5000:] + done.stderr[-2000:]
    return done.stdout


def inventories_without(names: t.Sequence[str], directory: pathlib.Path) -> tuple[pathlib.Path, ...]:
    """The scenario's inventories as they are after somebody took hosts out of them."""
    (directory / "group_vars").symlink_to(SCENARIO / "inventory/group_vars")
    for number, path in enumerate((SCENARIO / "inventory/hosts.yml", HOSTS)):
        (directory / f"{number}.yml").write_text(yaml.safe_dump(_without(names, yaml.safe_load(path.read_text()))))
    return (INVENTORIES[0], directory / "0.yml", directory / "1.yml")


def _without(names: t.Sequence[str], tree: t.Any) -> t.Any:
    if not isinstance(tree, dict):
        return tree
    kept = {key: _without(names, value) for key, value in tree.items() if key not in names}
    return {key: value for key, value in kept.items() if not (key == "load_balancers" and not value["hosts"])}


@contextlib.contextmanager
def clients(what: str, uploads: Uploads, at_least: int = 0) -> t.Iterator[None]:
    """Clients ask and upload through the address of the deployment while the block runs; not one request may fail."""
    with Load(uploads.url, RATE, at_least=at_least) as load, uploads.one_after_the_other(pause=3):
        before = len(uploads.accepted), len(uploads.refused)
        yield
    result, refused = load.result, uploads.refused[before[1] :]
    print(
        f"\n{what}: {result.seconds:.0f} s, {result.requests} requests, {result.failed} failed; {len(uploads.accepted) - before[0]} uploads,"
        f" {len(refused)} refused; p50 {result.p50 * 1000:.0f} ms, p99 {result.p99 * 1000:.0f} ms"
    )
    assert result.failed == 0, result.examples
    assert not refused, refused


def receives(balancer: str, server: str, backend: str = "web") -> bool:
    """Told by HAProxy itself, without Ansible. One on its way down (UP 1/2) does."""
    lines = on(balancer, f'python3 -c "{ASK}"').splitlines()
    states = [line.split(",")[17] for line in lines if line.startswith(f"{backend},{server},")]
    return len(states) == 1 and states[0].startswith("UP")


def holder() -> str | None:
    running = hosts.addresses()
    found = [name for name in BALANCERS if name in running and f" {ADDRESS}/" in on(name, "ip -brief address show")]
    return found[0] if len(found) == 1 else None


def active(host: str) -> dict[str, str]:
    """Slot and release that serve on a web host."""
    line = on(host, "cat /opt/codecov/slots/active.yml")
    return dict(word.split("=") for word in line.removeprefix("# covstack:").split())


def containers(host: str) -> dict[str, str]:
    """'slot service' -> id and start of every running container of the application."""
    lines = on(
        host,
        "docker ps --quiet --filter label=covstack.slot | xargs --no-run-if-empty docker inspect --format"
        ' \'{{index .Config.Labels "covstack.slot"}} {{index .Config.Labels "covstack.service"}} {{.Id}} {{.State.StartedAt}}\'',
    ).splitlines()
    return {" ".join(line.split()[:2]): " ".join(line.split()[2:]) for line in lines}
