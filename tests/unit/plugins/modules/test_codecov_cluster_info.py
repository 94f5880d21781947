# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible_collections.covstack.selfhosted.plugins.module_utils._cluster_client import ClusterError
from ansible_collections.covstack.selfhosted.plugins.modules.codecov_cluster_info import Action, action_of, allows, helm_version

RULE: dict[str, Any] = {"verbs": ["get", "create"], "apiGroups": ["apps", ""], "resources": ["deployments", "pods/exec"]}


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("create namespaces", Action("create", "namespaces", "", "")),
        ("get pods/exec", Action("get", "pods", "exec", "")),
        ("list jobs.batch", Action("list", "jobs", "", "batch")),
        ("patch httproutes.gateway.networking.k8s.io", Action("patch", "httproutes", "", "gateway.networking.k8s.io")),
    ],
)
def test_an_action_is_read(text: str, action: Action) -> None:
    assert action_of(text) == action


@pytest.mark.parametrize(
    ("rule", "text", "allowed"),
    [
        (RULE, "create deployments.apps", True),
        (RULE, "delete deployments.apps", False),
        (RULE, "create deployments.batch", False),
        (RULE, "create pods/exec", True),
        (RULE, "create pods", False),
        ({**RULE, "verbs": ["*"], "resources": ["*"]}, "delete statefulsets.apps", True),
        ({**RULE, "resourceNames": ["one"]}, "create deployments.apps", False),
        ({"verbs": ["get"]}, "get pods", False),
    ],
)
def test_what_a_rule_allows(rule: dict[str, Any], text: str, allowed: bool) -> None:
    assert allows(rule, action_of(text)) is allowed


def asked_for(helm: str, monkeypatch: pytest.MonkeyPatch, directory: Path) -> basic.AnsibleModule:
    arguments = {"helm": helm or None, "_ansible_remote_tmp": str(directory), "_ansible_keep_remote_files": False}
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    return basic.AnsibleModule(argument_spec={"helm": {"type": "path"}})


def program(directory: Path, content: str) -> str:
    path = directory / "helm"
    path.write_text(content)
    path.chmod(0o755)
    return str(path)


def test_the_version_of_helm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert helm_version(asked_for(program(tmp_path, "#!/bin/sh\necho v3.19.0\n"), monkeypatch, tmp_path)) == "3.19.0"


@pytest.mark.parametrize(
    ("content", "path", "says"),
    [
        ("", "", "there is no program helm in PATH"),
        ("", "/nowhere/helm", "/nowhere/helm does not run (No such file or directory)"),
        ("#!/bin/sh\necho broken >&2; exit 3\n", "", "does not run (broken)"),
    ],
    ids=["not in PATH", "not at the path", "fails"],
)
def test_a_helm_that_does_not_run_is_named_by_its_setting(content: str, path: str, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    given = path or (program(tmp_path, content) if content else "")
    with pytest.raises(ClusterError) as refused:
        helm_version(asked_for(given, monkeypatch, tmp_path))
    assert str(refused.value).startswith("codecov_kubernetes.helm: ")
    assert says in str(refused.value) and " -> install Helm 3.14 or newer" in str(refused.value)
