# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Looks whether a host is as it was left, by a question that costs a fifth of a module; or has the module remember how it is left."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.covstack.selfhosted.plugins.module_utils import _as_left, _cluster_plan, _inputs, _placement, _settings
from ansible_collections.covstack.selfhosted.plugins.module_utils._catalogue import load_line
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import NAME
from ansible_collections.covstack.selfhosted.plugins.plugin_utils import _on_host, _run

MODULE = "covstack.selfhosted.codecov_as_left"
ENGINE_FILES = ["/etc/docker/daemon.json", "/etc/docker/.covstack-daemon-options.json", "/etc/systemd/system/multi-user.target.wants/docker.service"]
BALANCER_DIRECTORY = "/etc/covstack/load_balancer"
BALANCER_FILES = [
    "/etc/.covstack-load-balancer.json",
    *(f"/etc/systemd/system/{unit}.service.d/50-covstack.conf" for unit in ("haproxy", "keepalived")),
    *(f"/etc/systemd/system/multi-user.target.wants/{unit}.service" for unit in ("haproxy", "keepalived")),
    "/etc/tmpfiles.d/covstack-haproxy.conf",
]
BALANCER_SCRIPTS = "/usr/libexec/keepalived"
ARGUMENTS = {
    "state": {"type": "str", "choices": ["look", "present"], "default": "look"},
    "servers": {"type": "list", "elements": "str", "default": []},
    "unlock": {"type": "bool", "default": False},
}
NOTHING_KNOWN = {"as_left": False, "differs": ["unknown (no answer)"]}


class ActionModule(ActionBase):
    """Action behind the module codecov_as_left; see that module for documentation."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> t.Dict[str, t.Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        _arguments, parameters = self.validate_argument_spec(argument_spec=ARGUMENTS)
        problems: t.List[t.Any] = []
        given = self._templar.template(_settings.settings_of(task_vars))
        settings = _settings.check(given, _settings.load_spec(), problems)
        placement = _placement.of_inventory(task_vars)
        host = placement.host(task_vars["inventory_hostname"])
        keeper = {"keeper": placement.keeper.name if placement.keeper else None, "changed": False}
        if problems or not host:  # for the plan to explain
            return {**result, **keeper, **NOTHING_KNOWN}
        if placement.is_cluster:
            return {**result, **self._cluster(settings, parameters["state"], task_vars)}
        question = self._question(settings, placement, host, task_vars)
        if parameters["state"] == "look":
            return {**result, **keeper, **(_on_host.ask(self, _as_left, "look", [question], task_vars) or NOTHING_KNOWN)}
        question["gives_back"] = _run.this_run() if parameters["unlock"] else ""
        return {**result, **keeper, **self._remember(question, parameters["servers"], task_vars)}

    def _remember(self, question: t.Mapping[str, t.Any], servers: t.Sequence[str], task_vars: t.Any) -> t.Dict[str, t.Any]:
        problems = None if self._task.check_mode else _on_host.ask(self, _as_left, "remember", [question, servers], task_vars)
        if problems is not None:
            return {"changed": False, "problems": problems}
        arguments = {"state": "present", "question": question, "servers": servers}
        return dict(self._execute_module(MODULE, module_args=arguments, task_vars=task_vars))

    def _cluster(self, settings: t.Mapping[str, t.Any], state: str, task_vars: t.Any) -> t.Dict[str, t.Any]:
        """The plan looks, by the one question that it asks the cluster anyway."""
        if state == "look":
            return {"changed": False, "keeper": None, **NOTHING_KNOWN}
        inputs = _inputs.cluster_digest(settings, task_vars, self._loader.path_dwim)
        question = {"cluster": _cluster_plan.access_to(settings), "inputs": inputs, "proved": settings["codecov_smoke"] != "never"}
        return dict(self._execute_module(MODULE, module_args={"state": "present", "question": question}, task_vars=task_vars))

    def _question(self, settings: t.Mapping[str, t.Any], placement: _placement.Placement, host: _placement.Host, task_vars: t.Any) -> t.Dict[str, t.Any]:
        roles = self._templar.template(_inputs.variables_of_roles(task_vars))
        inputs = _inputs.inputs_digest(settings, placement, host, roles, self._loader.path_dwim)
        balances, runs = host.is_of("load_balancers"), host.kinds != ("load_balancers",)
        asks_redis = host == placement.keeper and settings["codecov_redis"]["mode"] == "external"
        directory = settings["codecov_directory"] if runs else BALANCER_DIRECTORY
        return {
            "inputs": inputs,
            "directory": directory,
            "trees": [directory, *([BALANCER_DIRECTORY, BALANCER_SCRIPTS] if balances else [])],
            "files": [*(ENGINE_FILES if runs else []), *(BALANCER_FILES if balances else [])],
            "deployment": NAME if runs else None,
            "balances": balances,
            # Another Redis of ours is another container.
            "redis_python": load_line(settings["codecov_line"]).python if asks_redis else None,
        }
