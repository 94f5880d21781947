# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of a role, run by Ansible itself on this machine, with variables in the place of what hosts or a cluster would say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.covstack.selfhosted import plugins

# .../ansible_collections/covstack/selfhosted/plugins
COLLECTIONS = Path(next(iter(plugins.__path__))).parents[3]
SERVES, BEFORE = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
API = {"service": "api", "name": "api", "state": "running", "health": "healthy", "number": 1}


def play(directory: Path, role: str, tasks_from: str, variables: dict[str, Any], *options: str, fails: bool = False) -> str:
    """Output, as one line; the files of Ansible itself go below the directory, too."""
    include = {"name": f"covstack.selfhosted.{role}", "tasks_from": tasks_from}
    known = {"ansible_python_interpreter": sys.executable, **variables}
    tasks = [{"ansible.builtin.include_role": include}]
    playbook = directory / "play.yml"
    playbook.write_text(json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": known, "tasks": tasks}]))
    return run(directory, "--inventory", "localhost,", *options, str(playbook), fails=fails)


def run(directory: Path, *arguments: str, fails: bool = False) -> str:
    """Output of ansible-playbook, as one line."""
    kept = {name: str(directory / "ansible") for name in ("ANSIBLE_HOME", "ANSIBLE_LOCAL_TEMP", "ANSIBLE_REMOTE_TEMP")}
    environment = {**os.environ, **kept, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_NOCOLOR": "1"}
    command = [sys.executable, "-m", "ansible", "playbook", *arguments]
    answer = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (answer.returncode != 0) == fails, answer.stdout + answer.stderr
    return " ".join((answer.stdout + answer.stderr).split())


def plan(directory: Path, split: bool) -> dict[str, Any]:
    """Of a host on which one release serves and the one before is kept, as far as roles look at it in these tests."""
    containers = [{**API, "slot": "blue", "release": SERVES}, {**API, "slot": "green", "release": BEFORE, "state": "exited"}]
    releases = [{"id": SERVES, "proved": True}, {"id": BEFORE, "proved": True}]
    there = {"active": {"slot": "blue", "release": SERVES}, "containers": containers, "releases": releases, "older_than_redis": []}
    application = {
        "digest": "d", "versions": {}, "replicas": {"api": 1}, "web": ["api"], "worker": [], "entry": "api", "entry_ports": {"blue": 1, "green": 2},
        "gate": [{"path": "/api_health/", "body_regex": "is live!"}],
    }
    return {
        "directory": str(directory), "name": "codecov", "url": "http://codecov.example.com", "own_ca": False, "hostname": "codecov.example.com",
        "local_address": None, "slots": {"blue": "SLOT=blue\n", "green": "SLOT=green\n"}, "routes": {"blue": "", "green": ""}, "application": application,
        "health": {"python": "python3"}, "settings": {"deadline_s": 5, "release": "", "releases_kept": 5, "purge": False},
        "placement": {"split": split, "cluster": False, "keeper": True, "keeper_name": "localhost", "kinds": []},
        "in_turn": False,
        "host": {"deployment": there, "docker": {"running": True}, "names": {}},
    }  # fmt: skip
