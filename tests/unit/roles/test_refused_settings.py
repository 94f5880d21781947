# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong settings of several hosts: the playbook itself, which refuses them before it does anything to a host."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from ansible_collections.covstack.selfhosted.tests.unit.roles.play import run

KINDS = {"load_balancers": ["lb1", "lb2"], "web": ["app1", "app2"], "worker": ["app1", "app2"], "storage": ["store1"]}
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}


def test_deploy_explains_them_on_every_host(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.json"
    groups = {kind: {"hosts": dict.fromkeys(hosts, {})} for kind, hosts in KINDS.items()}
    inventory.write_text(json.dumps({"all": {"vars": {**HERE, "codecov_ulr": "https://codecov.example.com"}, "children": {"codecov": {"children": groups}}}}))
    said = run(tmp_path, "--inventory", str(inventory), "covstack.selfhosted.deploy", fails=True)
    for host in {host for hosts in KINDS.values() for host in hosts}:
        assert re.search(rf"fatal: \[{host}\]: FAILED! .{{0,160}}codecov_ulr: is no setting of this collection -> did you mean 'codecov_url'\?", said)
    assert "has no attribute" not in said
