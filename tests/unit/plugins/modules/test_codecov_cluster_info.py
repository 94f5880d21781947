# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.plugins.modules.codecov_cluster_info import Action, action_of, allows

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
