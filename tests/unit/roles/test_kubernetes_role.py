# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the role kubernetes goes back to, and which Secrets it removes: the variables that decide it, as Ansible computes them."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.covstack.selfhosted.tests.unit.roles.play import play

VARIABLES = Path(__file__).resolve().parents[3] / "roles" / "kubernetes" / "vars" / "main.yml"
# From ansible-core 2.19 on a text is a template only when its source is trusted.
TRUSTED = {"trusted_as_template": True} if "trusted_as_template" in inspect.signature(DataLoader.load_from_file).parameters else {}
HISTORY = [
    {"revision": 1, "status": "superseded", "description": "Install complete"},
    {"revision": 2, "status": "superseded", "description": "Upgrade complete"},
    {"revision": 3, "status": "superseded", "description": 'Upgrade "codecov" failed: pre-upgrade hooks failed'},
    {"revision": 4, "status": "deployed", "description": "Rollback to 2"},
]


def decide(name: str, **variables: Any) -> Any:
    """One internal variable of the role."""
    loader = DataLoader()
    given = dict(loader.load_from_file(str(VARIABLES), **TRUSTED))
    return Templar(loader=loader, variables={**given, **variables}).template(given[name])


@pytest.mark.parametrize(
    ("history", "release", "earlier"),
    [(HISTORY, "", "2"), (HISTORY, "1", "1"), (HISTORY[:1], "", "1"), (HISTORY[2:], "", ""), (HISTORY, "9", "9")],
    ids=["past the refused one", "the one asked for", "the only one", "none that served", "one that is not there"],
)
def test_rollback_goes_to_a_revision_that_served(history: list[dict[str, Any]], release: str, earlier: str) -> None:
    plan = {"settings": {"release": release}}
    assert decide("__kubernetes_earlier", codecov_plan=plan, __kubernetes_history={"stdout": json.dumps(history)}) == earlier


def rollback(directory: Path, release: str, *options: str, fails: bool = False, deployed: bool = True) -> tuple[str, str]:
    """Output, and what was asked of a helm that knows the history above and only notes the rest."""
    noted, helm = directory / "noted", directory / "helm"
    helm.write_text(f"#!/bin/sh\necho \"$*\" >> {noted}\n[ \"$1\" != history ] || cat {directory}/history.json\n")
    helm.chmod(0o755)
    (directory / "history.json").write_text(json.dumps(HISTORY))
    given = {"helm": str(helm), "release": "codecov", "namespace": "ours", "kubeconfig": "", "context": "", "timeout_s": 60, "history": 10}
    cluster = {"release": {"status": "deployed", "revision": 4}} if deployed else {"release": None}
    output = play(directory, "kubernetes", "rollback", {"codecov_plan": {"settings": {"release": release}, "kubernetes": given, "cluster": cluster}},
                  *options, fails=fails)
    return output, noted.read_text() if noted.exists() else ""


@pytest.mark.parametrize(("release", "revision"), [("", "2"), ("1", "1")], ids=["the newest that served", "the one asked for"])
def test_rollback_tells_helm_which_revision(release: str, revision: str, tmp_path: Path) -> None:
    _output, asked = rollback(tmp_path, release)
    assert f"\nrollback codecov {revision} --namespace ours --wait " in asked


def test_a_check_of_rollback_says_which_revision(tmp_path: Path) -> None:
    output, asked = rollback(tmp_path, "", "--check")
    assert "Would put revision 2 of codecov in force." in output
    assert "rollback" not in asked


def test_rollback_refuses_a_revision_that_is_not_there(tmp_path: Path) -> None:
    output, asked = rollback(tmp_path, "9", fails=True)
    assert "codecov_release: Helm remembers no revision 9 of codecov -> there are 1 superseded, 2 superseded, 3 superseded, 4 deployed." in output
    assert "rollback" not in asked


def test_rollback_refuses_where_nothing_is_deployed(tmp_path: Path) -> None:
    output, asked = rollback(tmp_path, "", fails=True, deployed=False)
    assert "codecov_kubernetes.release: there is no release codecov in the namespace ours ->" in output
    assert asked == ""


def secret(name: str, made: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "creationTimestamp": f"2026-11-{made:02}T00:00:00Z"}}


def test_a_secret_that_serving_pods_mount_outlives_any_number_of_refused_releases() -> None:
    """The eldest of all is the one that serves: each release since was refused."""
    slots = {"blue": {"config": {"secretName": "codecov-config-serves"}}}
    plan = {"cluster": {"values": {"slots": slots, "files": {"secretName": "codecov-files-serves"}}}, "files": {}, "kubernetes": {"history": 1}}
    there = [secret("codecov-config-serves", 1), secret("codecov-files-serves", 1), *(secret(f"codecov-config-{made}", made) for made in range(2, 7))]
    wanted = {"codecov-secrets": {}, "codecov-config-6": {}}
    removed = decide("__kubernetes_outdated", codecov_plan=plan, __kubernetes_secrets={"resources": there}, __kubernetes_wanted_secrets=wanted)
    assert removed == ["codecov-config-3", "codecov-config-2"]


def test_before_the_first_release_nothing_is_removed() -> None:
    plan = {"cluster": {"values": {}}, "files": {}, "kubernetes": {"history": 10}}
    assert decide("__kubernetes_outdated", codecov_plan=plan, __kubernetes_secrets={"resources": []}, __kubernetes_wanted_secrets={}) == []


FORBIDDEN = 'secrets "codecov-secrets" is forbidden: User "ours" cannot patch resource "secrets"'
STATUS = {"kind": "Status", "message": FORBIDDEN, "reason": "Forbidden", "code": 403}
CONTENT = "c2V0dXA6IHtodHRwOiB7Y29va2llX3NlY3JldDogY29ycmVjdH19Cg=="


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"Failed to patch object: {json.dumps(STATUS).encode()!r}", STATUS["message"]),
        (f"Failed to patch object: {json.dumps(STATUS, separators=(',', ':')).encode()!r}", STATUS["message"]),
        ("HTTPSConnectionPool(host='192.0.2.7', port=6443): Max retries exceeded", "HTTPSConnectionPool(host='192.0.2.7', port=6443): Max retries exceeded"),
        (f'Failed: b\'{{"message":"admission webhook denied it: {CONTENT}"}}\'', "admission webhook denied it: ... -> "),
        ('Failed: b\'{"message":"data[a]: Invalid value: \\\\"correct-horse\\\\": no"}\'', "data[a]: Invalid value -> "),
    ],
    ids=["forbidden", "as the server writes it", "no answer", "content of a Secret", "value that the server quotes"],
)
def test_why_secrets_cannot_be_written_is_said_without_them(said: str, shown: str, tmp_path: Path) -> None:
    answer = {"__kubernetes_attempt": "written", "__kubernetes_answer": {"msg": said}}
    output = play(tmp_path, "kubernetes", "refused", answer, fails=True)
    assert f"codecov_kubernetes.context: the Secrets cannot be written: {shown}" in output.replace('\\"', '"')
    assert CONTENT not in output and "correct-horse" not in output


def test_a_module_that_broke_down_without_a_word_is_refused_too(tmp_path: Path) -> None:
    """Or else secrets would be made anew in the place of those that were not read."""
    output = play(tmp_path, "kubernetes", "refused", {"__kubernetes_attempt": "read", "__kubernetes_answer": {"changed": False}}, fails=True)
    assert "the Secrets cannot be read: the module of kubernetes.core broke down without a word" in output
    tasks = yaml.safe_load((VARIABLES.parents[1] / "tasks" / "configuration.yml").read_text("utf-8"))[0]["block"]
    swallowed = [task["register"] for task in tasks if task.get("failed_when") is False]
    refusals = {task["when"] for task in tasks if task.get("ansible.builtin.include_tasks") == "refused.yml"}
    assert swallowed == ["__kubernetes_secrets", "__kubernetes_written"]
    assert refusals == {
        "__kubernetes_secrets.resources is not defined",
        "__kubernetes_written is not skipped and __kubernetes_written.result is not defined",
    }
