# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Settings -> plan. Runs on the controller; asks the host one question (codecov_host_info) and touches nothing."""

from __future__ import annotations

import importlib
import json
import os
import typing as t

import yaml
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.covstack.selfhosted.plugins.module_utils import (
    _blue_green,
    _cluster_colours,
    _cluster_plan,
    _cluster_quota,
    _config_merge,
    _config_validate,
    _host_colours,
    _host_facts,
    _inputs,
    _kubernetes_rules,
    _placement,
    _placement_rules,
    _plan,
    _rules,
    _settings,
    _sizing,
    _split_colours,
)
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import NAME, Deployment, deployment_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import error
from ansible_collections.covstack.selfhosted.plugins.plugin_utils import _on_host

# What Python says where a module cannot even be unpacked; Ansible shows its traceback and that no JSON was found.
NO_TEMPORARY_FILE = "No usable temporary directory"
ARGUMENTS: t.Dict[str, t.Any] = {
    "host_checks": {"type": "bool", "default": True},
    "verb": {"type": "str", "default": "look", "choices": ["look", _blue_green.DEPLOY, _blue_green.BLUE_GREEN]},
}


class ActionModule(ActionBase):
    """Action behind the module codecov_plan; see that module for documentation."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = False
    _requires_connection = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> t.Dict[str, t.Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        _arguments, parameters = self.validate_argument_spec(argument_spec=ARGUMENTS)
        deployment, problems = self._deployment(task_vars)
        if deployment and parameters["host_checks"] and (deployment.services() or deployment.embedded()) and not deployment.is_cluster:
            problems += self._engine_problems(task_vars)
        if deployment and not _errors(problems):
            hosts = self._hosts(task_vars) if deployment.has_edge else []
            problems += _rules.problems_of(deployment, hosts) if self._speaks_for_all(deployment, task_vars) else []
        if deployment and not _errors(problems) and self._speaks_for_all(deployment, task_vars):
            problems += self._config_problems(deployment)
        self._refuse(problems)
        wanted = t.cast(Deployment, deployment)
        if wanted.is_cluster:
            return {**result, **self._cluster(wanted, problems, parameters, task_vars)}
        host = self._host_info(wanted, task_vars)
        colours = _split_colours if wanted.is_split else _host_colours
        self._refuse(_colour_problems(wanted, parameters["verb"], colours.shares_of(wanted, host)) if wanted.services() else [])
        fitted = _sizing.fitted_to(wanted, host)
        if parameters["host_checks"]:
            host_problems = _sizing.host_problems(fitted, host)
            self._refuse(host_problems)
            problems += host_problems
        plan = _plan.plan_of(fitted)
        if parameters["verb"] == _blue_green.BLUE_GREEN:
            plan["blue_green"] = colours.plan_of(fitted, host)
        # A forecast shows all hosts at once.
        in_turn = not self._task.check_mode and _plan.in_turn(plan, host, task_vars["ansible_play_hosts_all"])
        found = {"host": host, "settled": _plan.settled(plan, host), "in_turn": in_turn}
        return {**result, **plan, **found, "changed": False, "warnings": [str(problem) for problem in problems]}

    def _cluster(self, deployment: Deployment, problems: t.List[t.Any], parameters: t.Mapping[str, t.Any], task_vars: t.Any) -> t.Dict[str, t.Any]:
        """The plan of a deployment that a Kubernetes cluster carries."""
        inputs = _inputs.cluster_digest(deployment.settings, task_vars, self._loader.path_dwim)
        cluster = self._ask("covstack.selfhosted.codecov_cluster_info", {**_cluster_plan.question_of(deployment), "inputs": inputs}, task_vars)
        cluster["kubernetes_core"] = _collection_version("kubernetes", "core")
        problems += _colour_problems(deployment, parameters["verb"], _cluster_colours.shares_of(cluster))
        self._refuse(problems)
        plan = _cluster_colours.plan_of(deployment, cluster, parameters["verb"] == _blue_green.BLUE_GREEN)
        if parameters["host_checks"]:
            problems += [*_kubernetes_rules.cluster_problems(deployment, cluster), *_cluster_quota.problems(plan, cluster)]
        self._refuse(problems)
        return {**plan, "cluster": cluster, "changed": False, "warnings": [str(problem) for problem in problems]}

    def _deployment(self, task_vars: t.Mapping[str, t.Any]) -> t.Tuple[t.Optional[Deployment], t.List[t.Any]]:
        problems: t.List[t.Any] = []
        given = self._templar.template(_settings.settings_of(task_vars))
        settings = _settings.check(given, _settings.load_spec(), problems)
        if problems:
            return None, problems
        deployment = deployment_of(settings, self._inventory_placement(task_vars), task_vars["inventory_hostname"])
        # Before anything else: what is wrong with the placement makes the rest hard to understand.
        if deployment.is_cluster:
            return deployment, _kubernetes_rules.settings_problems(deployment)
        return deployment, (_placement_rules.placement_problems(deployment) if self._speaks_for_all(deployment, task_vars) else [])

    def _engine_problems(self, task_vars: t.Mapping[str, t.Any]) -> t.List[t.Any]:
        """Of the variables of the role docker_engine, whose turn comes after hosts were locked. Others with its prefix may be somebody else's."""
        options = _settings.load_spec("docker_engine")
        given = self._templar.template({name: task_vars[name] for name in options if name in task_vars})
        # The role takes them as they are, so nothing stands for the default.
        problems = [error(name, "is empty", "give a value, or leave it out") for name, value in given.items() if _settings.is_unset(options[name], value)]
        _settings.check(given, options, problems)
        return problems

    def _inventory_placement(self, task_vars: t.Mapping[str, t.Any]) -> _placement.Placement:
        """All hosts of the inventory's group codecov, whatever part of them this run is limited to. Without kinds it is of no interest."""
        groups = task_vars.get("groups", {})
        names = groups.get("codecov", [])
        if not any(name in groups.get(kind, ()) for name in names for kind in (*_placement.KINDS, _placement.CLUSTERS)):
            return _placement.Placement()
        return _placement.placement_of((self._placed(name, task_vars["hostvars"][name], task_vars) for name in names), groups)

    def _placed(self, name: str, variables: t.Mapping[str, t.Any], task_vars: t.Mapping[str, t.Any]) -> _placement.Host:
        is_first = task_vars["inventory_hostname"] == task_vars["ansible_play_hosts_all"][0]
        common = {setting: variables.get(setting) for setting in _placement_rules.COMMON_SETTINGS} if is_first else {}
        return _placement.Host(name, _placement.address_of(variables), groups=tuple(variables.get("group_names", ())), common=common)

    @staticmethod
    def _speaks_for_all(deployment: Deployment, task_vars: t.Mapping[str, t.Any]) -> bool:
        """What is the same for all hosts of a split deployment is judged, and said, once."""
        return not deployment.is_split or task_vars["inventory_hostname"] == task_vars["ansible_play_hosts_all"][0]

    def _hosts(self, task_vars: t.Mapping[str, t.Any]) -> t.List[t.Dict[str, t.Any]]:
        """What placement rules need to know of every host of the play."""
        hosts = []
        for name in task_vars.get("ansible_play_hosts_all", []):
            settings = _settings.check(_settings.settings_of(task_vars["hostvars"][name]), _settings.load_spec(), [])
            embedded = any(settings[f"codecov_{service}"]["mode"] == "embedded" for service in ("postgres", "redis", "storage"))
            behind = settings["codecov_edge"]["behind_load_balancer"]
            hosts.append({"name": name, "url": settings["codecov_url"], "embedded_data": embedded, "behind_load_balancer": behind})
        return hosts

    def _config_problems(self, deployment: Deployment) -> t.List[t.Any]:
        layers, _callbacks, _problems = _plan.config_layers(deployment)
        layers.append(self._operator_layer(deployment.settings["codecov_config_file"]))
        try:
            merged = _config_merge.merge_layers([(layer["name"], layer["content"]) for layer in layers])
        except _config_merge.LayerError as error:
            return [error.problem]
        accepted = deployment.settings["codecov_config_accept_unknown"]
        return list(_config_validate.validate_install(merged.config, line=deployment.line.name, place=merged.place, accept_unknown=accepted))

    def _operator_layer(self, path: str) -> t.Dict[str, t.Any]:
        """The operator's own codecov.yml. It may hold secrets, so it is judged here but never put into the plan."""
        if not path:
            return {"name": "codecov_config_file", "content": {}}
        try:
            with open(self._loader.path_dwim(path), encoding="utf-8") as stream:
                content = yaml.safe_load(stream)
        except yaml.YAMLError as error:  # its text quotes the file, which may hold secrets
            mark = getattr(error, "problem_mark", None)
            reason = f"{path!r} is no YAML" + (f" (line {mark.line + 1}, column {mark.column + 1})" if mark else "")
            raise AnsibleActionFail(f"codecov_config_file: {reason} -> mend the file; `yamllint` shows the place") from error
        except OSError as error:
            reason = f"{path!r}: {error.strerror}"
            raise AnsibleActionFail(f"codecov_config_file: {reason} -> give the path of a readable YAML file on the controller, or leave it empty") from error
        return {"name": "codecov_config_file", "content": content}

    def _host_info(self, deployment: Deployment, task_vars: t.Any) -> t.Dict[str, t.Any]:
        arguments = {"directory": deployment.settings["codecov_directory"], "deployment": NAME, **_plan.needs_of(deployment)}
        said = _on_host.ask(self, _host_facts, "answer", [arguments], task_vars)
        host = self._ask("covstack.selfhosted.codecov_host_info", arguments, task_vars, said)
        if host["temporary_directory"] is None:
            self._refuse([_no_temporary_file(task_vars["inventory_hostname"])])
        return host

    def _ask(self, module: str, arguments: t.Mapping[str, t.Any], task_vars: t.Any, said: t.Optional[t.Dict[str, t.Any]] = None) -> t.Dict[str, t.Any]:
        """The module's result, unless it was said already."""
        info = said or self._execute_module(module, module_args=dict(arguments), task_vars=task_vars)
        if NO_TEMPORARY_FILE in info.get("module_stderr", ""):
            self._refuse([_no_temporary_file(task_vars["inventory_hostname"])])
        if info.get("failed"):
            raise AnsibleActionFail(_failure_of(info) or f"{module} failed", result=info)
        return {key: value for key, value in info.items() if not key.startswith("_") and key not in ("invocation", "changed", "warnings", "deprecations")}

    @staticmethod
    def _refuse(problems: t.Sequence[t.Any]) -> None:
        errors = _errors(problems)
        if errors:
            raise AnsibleActionFail("Refused, nothing was changed:\n" + "\n".join(f"- {error}" for error in errors))


def _colour_problems(deployment: Deployment, verb: str, shares: t.Mapping[str, int]) -> t.List[t.Any]:
    """Two colours are for the playbook blue_green, which one release at a time must not disturb, and the other way round."""
    if verb == _blue_green.DEPLOY:
        return list(_blue_green.under_way(shares))
    if verb != _blue_green.BLUE_GREEN:
        return []
    wanted = deployment.settings[_blue_green.SETTING]
    there = _split_colours if deployment.is_split else _cluster_colours if deployment.is_cluster else None
    return [*(there.problems(deployment) if there else ()), *_blue_green.problems(wanted, shares, deployment.hostname)]


def _no_temporary_file(host: str) -> t.Any:
    reason = f"{host} can write no temporary file: its disk is full, or mounted read-only"
    return error("host", reason, "free space there (df -h /tmp /var/tmp), then run again")


def _failure_of(info: t.Mapping[str, t.Any]) -> str:
    """What a module says. Of one that broke down ansible-core from 2.19 on knows it in the exception alone."""
    return str(info.get("msg") or getattr(getattr(info.get("exception"), "event", None), "msg", ""))


def _errors(problems: t.Sequence[t.Any]) -> t.List[str]:
    return [str(problem) for problem in problems if problem.level == "error"]


def _collection_version(namespace: str, name: str) -> t.Optional[str]:
    """Version of a collection on the controller; None where it is not installed, or is a checkout."""
    try:
        collection = importlib.import_module(f"ansible_collections.{namespace}.{name}")
        with open(os.path.join(next(iter(collection.__path__)), "MANIFEST.json"), encoding="utf-8") as stream:
            return str(json.load(stream)["collection_info"]["version"])
    except (ImportError, OSError):
        return None
