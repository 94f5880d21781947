# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster to run the playbooks on: a stand-in of the API server, an inventory for it, and behind both a real application in Docker.

The objects that the role writes are kept and not run. What answers at the public address, and where commands in pods run, is the small deployment of
tests/integration/stack: one container stands for all pods of its service.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import yaml
from lab import license

from .api_server import VERSION, Objects, Server

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "charts" / "codecov"
# Helm 4 needs a newer kubernetes.core than the one that comes with the supported versions of Ansible here.
HELMS = {version: REPOSITORY / ".cache" / "helm" / version / "helm" for version in ("3", "4")}
HELM = HELMS["3"]
NAMESPACE = "ours"
SECRET = "correct-horse-battery"
# Where a test does not look at the upload that proves a change, and another one does.
UNPROVED: dict[str, Any] = {"codecov_smoke": "never"}
STACK = "covstack-it-cluster"
STACK_URL = "http://codecov.test:8080"


def ansible_playbook(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = str(pathlib.Path(sys.executable).parent / "ansible-playbook")
    return subprocess.run([program, *arguments], cwd=REPOSITORY, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def stack(state: str, directory: pathlib.Path) -> None:
    """Bring the application up or down."""
    target = REPOSITORY / "tests" / "integration" / "targets" / "codecov_health"  # its place, from where the stack finds its files
    settings = {"stack_state": state, "stack_name": STACK, "output_dir": str(directory), "role_path": str(target)}
    variables = json.dumps({**settings, "ansible_python_interpreter": sys.executable})
    result = ansible_playbook("-i", "localhost,", "-c", "local", "-e", variables, str(pathlib.Path(__file__).with_name("stack.yml")))
    if result.returncode != 0:
        raise RuntimeError(f"the application does not come {state}:\n{result.stdout}{result.stderr}")


@dataclasses.dataclass(frozen=True)
class State:
    """What a playbook left: the objects of the cluster, what was written for them, and what it said. Any number of tests can begin with it."""

    objects: Objects
    written: tuple[str, ...] = ()
    output: str = ""


class Cluster:
    """The stand-in, and an inventory for it. `address` is where the application answers."""

    def __init__(self, directory: pathlib.Path, server: Server, address: str = "") -> None:
        self.server, self.kubeconfig = server, directory / "kubeconfig"
        self.empty = State(server.store.copy())
        server.write_kubeconfig(self.kubeconfig)
        self.inventory = directory / "hosts.yml"
        local = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
        self.secrets = {"enterprise_license": license.make(), "github_client_secret": SECRET}
        self.kubernetes = {"kubeconfig": str(self.kubeconfig), "namespace": NAMESPACE, "helm": str(HELM), "connect_to": address}
        settings = {
            "codecov_url": STACK_URL,
            "codecov_providers": {"github": {"client_id": "0123456789abcdef"}},
            "codecov_secrets": self.secrets,
            "codecov_kubernetes": self.kubernetes,
            # Requests go through this machine's one edge, beside everything else that it does.
            "codecov_health": {"maximum_ms": 8000},
        }
        hosts = {"hosts": {"cluster": local}}
        self.inventory.write_text(yaml.safe_dump({"codecov": {**hosts, "vars": settings}, "kubernetes": hosts}))

    def play(self, verb: str, *arguments: str, fails: bool = False, **more: Any) -> str:
        """Run a playbook; its output, in which no secret may be."""
        command = ["-i", str(self.inventory), f"covstack.selfhosted.{verb}", *arguments, "-e", json.dumps(more)]
        result = ansible_playbook(*command, ANSIBLE_CALLBACK_RESULT_FORMAT="yaml")
        output = result.stdout + result.stderr
        assert (result.returncode != 0) == fails, output
        assert SECRET not in output
        return output

    def begin(self, state: State) -> None:
        """Be as that state was, and right in every other way."""
        self.server.store.replace(state.objects)
        self.server.version = VERSION
        self.server.forbidden.clear()
        self.server.absent.clear()
        self.server.unwritable.clear()

    def state_after(self, begin: State, verb: str, *arguments: str, **more: Any) -> State:
        """What a playbook makes of a state."""
        self.begin(begin)
        output = self.play(verb, *arguments, **more)
        return State(self.server.store.copy(), tuple(self.writes()), output)

    def helm(self, *arguments: str, version: str = "3") -> str:
        command = [str(HELMS[version]), *arguments, "--namespace", NAMESPACE, "--kubeconfig", str(self.kubeconfig)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def writes(self) -> list[str]:
        """What was written since the last question."""
        written, self.server.store.writes = self.server.store.writes, []
        return written

    def objects(self, kind: str) -> dict[str, Any]:
        here = [item for key, item in self.server.store.objects.items() if item["kind"] == kind and key[2] == NAMESPACE]
        return {item["metadata"]["name"]: item for item in here}


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """The stand-in alone."""
    server = Server()
    server.execute = lambda service: ["docker", "exec", "--interactive", f"{STACK}-{service}"]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()  # it ends that soon
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def running(directory: pathlib.Path) -> Iterator[Cluster]:
    """The stand-in with the application behind it."""
    try:
        stack("up", directory)
        with serving() as server:
            yield Cluster(directory, server, (directory / "address").read_text())
    finally:
        stack("down", directory)
