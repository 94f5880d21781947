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


def play(directory: Path, role: str, tasks_from: str, variables: dict[str, Any], *options: str, fails: bool = False) -> str:
    """Output, as one line; the files of Ansible itself go below the directory, too."""
    include = {"name": f"covstack.selfhosted.{role}", "tasks_from": tasks_from}
    known = {"ansible_python_interpreter": sys.executable, **variables}
    playbook = directory / "play.yml"
    tasks = [{"ansible.builtin.include_role": include}]
    playbook.write_text(json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": known, "tasks": tasks}]))
    kept = {name: str(directory / "ansible") for name in ("ANSIBLE_HOME", "ANSIBLE_LOCAL_TEMP", "ANSIBLE_REMOTE_TEMP")}
    environment = {**os.environ, **kept, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_NOCOLOR": "1"}
    command = [sys.executable, "-m", "ansible", "playbook", "--inventory", "localhost,", *options, str(playbook)]
    answer = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (answer.returncode != 0) == fails, answer.stdout + answer.stderr
    return " ".join((answer.stdout + answer.stderr).split())
