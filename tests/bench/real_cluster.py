# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster that KUBECONFIG names, with the inventory, the namespace and the care of scenario strategy_3 (its README says what it needs)."""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from kubernetes import client, config
from lab.shell import ROOT

from . import peers

SCENARIO = ROOT / "molecule" / "strategy_3"
# Only with this a cluster is touched: KUBECONFIG alone may name one that somebody works with.
INVENTORY = os.environ.get("STRATEGY_3_INVENTORY", "")


class RealCluster:
    def __init__(self) -> None:
        self._inventory = [f"--inventory={SCENARIO / 'inventory'}", f"--inventory={INVENTORY}"]
        host = json.loads(peers.command(str(peers.BIN / "ansible-inventory"), *self._inventory, "--host", "cluster"))
        self._settings: dict[str, t.Any] = host["codecov_kubernetes"]

    @property
    def version(self) -> str:
        return str(client.VersionApi(config.new_client_from_config()).get_code().git_version)

    def play(self, verb: str, **settings: t.Any) -> str:
        """A playbook of the collection, with settings on top of the inventory's."""
        return self.run(f"covstack.selfhosted.{verb}", "--extra-vars", json.dumps(settings))

    def run(self, playbook: str, *arguments: str) -> str:
        return peers.command(str(peers.BIN / "ansible-playbook"), *self._inventory, playbook, *arguments)

    def helm(self, *arguments: str) -> str:
        return peers.command(self._settings.get("helm") or "helm", *arguments, "--namespace", self._settings["namespace"])


@contextlib.contextmanager
def borrowed() -> t.Iterator[RealCluster]:
    """The cluster, for which a namespace that nobody uses is taken, and given back."""
    cluster = RealCluster()
    cluster.run(str(SCENARIO / "create.yml"))
    try:
        yield cluster
    finally:
        cluster.run(str(SCENARIO / "cleanup.yml"))
