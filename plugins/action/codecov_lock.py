# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Names the run that takes a lock, and judges whether the run that holds it is still running: only the controller knows."""

from __future__ import annotations

import datetime
import getpass
import platform
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.covstack.selfhosted.plugins.module_utils import _lock
from ansible_collections.covstack.selfhosted.plugins.plugin_utils import _on_host, _run

MODULE = "covstack.selfhosted.codecov_lock"
ARGUMENTS = {
    "path": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent", "status"], "default": "present"},
    "what": {"type": "str", "default": "a change"},
    "break_lock": {"type": "bool", "default": False},
}


def explained(holder: t.Mapping[str, t.Any], host: str, path: str) -> str:
    since = f" since {holder['since']}" if holder.get("since") else ""
    return (
        f"{host} is locked by {holder['who']} ({holder['what']}){since}, in {path} -> wait until that run is over; if it was interrupted, "
        f"which cannot be seen from here, set codecov_lock_break: true for one run, which also repairs what it left half done"
    )


class ActionModule(ActionBase):
    """Action behind the module codecov_lock; see that module for documentation."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> t.Dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        _arguments, parameters = self.validate_argument_spec(argument_spec=ARGUMENTS)
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        holder = {"who": f"{getpass.getuser()}@{platform.node()}", "what": parameters["what"], "since": now, "run": _run.this_run()}
        arguments = {"path": parameters["path"], "state": parameters["state"], "holder": holder, "replaces": ""}
        answer = self._ask(arguments, task_vars)
        held = answer.get("holder") or {}
        if arguments["state"] != "present" or not held or held["run"] == holder["run"] or answer.get("failed"):
            return {**result, **answer}
        if not (_run.is_over(held["run"]) or parameters["break_lock"]):
            raise AnsibleActionFail(explained(held, task_vars["inventory_hostname"], arguments["path"]))
        answer = self._ask({**arguments, "replaces": held["run"]}, task_vars)
        if not self._task.check_mode and (answer.get("holder") or {}).get("run") != holder["run"]:
            raise AnsibleActionFail(explained(answer.get("holder") or held, task_vars["inventory_hostname"], arguments["path"]))
        told = f"took over the lock of {held['who']} ({held['what']}) since {held['since']}: that run was interrupted"
        return {**result, **answer, "taken_over": held, "warnings": [told]}

    def _ask(self, arguments: t.Mapping[str, t.Any], task_vars: t.Any) -> t.Dict[str, t.Any]:
        held = _on_host.ask(self, _lock, "answer", [{**arguments, "check_mode": self._task.check_mode}], task_vars)
        if held is not None:
            return {"changed": False, "holder": held}
        return dict(self._execute_module(MODULE, module_args=dict(arguments), task_vars=task_vars))
