# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks on a cluster, with the real Helm, against a stand-in of the API server: their order, and what they leave. Not what Kubernetes makes of it."""

from __future__ import annotations

import base64
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from lab import license

from cluster.api_server import Server

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
NAMESPACE = "ours"
SECRET = "correct-horse-battery"
# Helm 4 needs a newer kubernetes.core than the one that comes with the supported versions of Ansible here.
HELM = REPOSITORY / ".cache" / "helm" / "3" / "helm"
ANSWERS = {
    "/gateway_health": (200, {}, "25.11.4"),
    "/api_health/": (200, {"X-API": "true"}, "26.7.6 is live!"),
    "/frontend_health": (200, {"X-DEFAULT": "true"}, "ok"),
    "/login/gh": (302, {"X-API": "true", "Location": "/"}, ""),
}
BROKEN = {"codecov_images": {"repositories": {"api": "registry.example.com/broken"}}}


class Public(http.server.BaseHTTPRequestHandler):
    """What clients would see of a deployment that is well."""

    def do_GET(self) -> None:
        status, headers, text = ANSWERS.get(self.path, (404, {}, ""))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


class Cluster:
    """The stand-in, and an inventory for it."""

    def __init__(self, directory: pathlib.Path, server: Server, port: int) -> None:
        self.server = server
        server.write_kubeconfig(directory / "kubeconfig")
        self.inventory = directory / "hosts.yml"
        local = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
        settings = {
            # A name of this machine: an ingress takes no address.
            "codecov_url": f"http://{os.uname().nodename}:{port}",
            "codecov_providers": {"github": {"client_id": "0123456789abcdef"}},
            "codecov_secrets": {"enterprise_license": license.make(), "github_client_secret": SECRET},
            "codecov_kubernetes": {"kubeconfig": str(directory / "kubeconfig"), "namespace": NAMESPACE, "helm": str(HELM)},
        }
        hosts = {"hosts": {"cluster": local}}
        self.inventory.write_text(yaml.safe_dump({"codecov": {**hosts, "vars": settings}, "kubernetes": hosts}))

    def play(self, verb: str, *arguments: str, fails: bool = False, **more: Any) -> str:
        """Run a playbook; its output, in which no secret may be."""
        program = str(pathlib.Path(sys.executable).parent / "ansible-playbook")
        command = [program, "-i", str(self.inventory), f"covstack.selfhosted.{verb}", "-e", json.dumps(more), *arguments]
        environment = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml"}
        result = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
        output = result.stdout + result.stderr
        assert (result.returncode != 0) == fails, output
        assert SECRET not in output
        return output

    def writes(self) -> list[str]:
        """What was written since the last question."""
        written, self.server.store.writes = self.server.store.writes, []
        return written

    def objects(self, kind: str) -> dict[str, Any]:
        here = [item for key, item in self.server.store.objects.items() if item["kind"] == kind and key[2] == NAMESPACE]
        return {item["metadata"]["name"]: item for item in here}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    server, public = Server(), http.server.ThreadingHTTPServer(("127.0.0.1", 0), Public)
    for running in (server, public):
        threading.Thread(target=running.serve_forever, daemon=True).start()
    yield Cluster(tmp_path_factory.mktemp("cluster"), server, public.server_address[1])
    for running in (server, public):
        running.shutdown()
        running.server_close()


# In this order: each begins with what the one before has left.


def test_a_first_check_changes_nothing(cluster: Cluster) -> None:
    output = cluster.play("deploy", "--check", "--diff")
    assert "changed=1 " in output
    assert cluster.writes() == []


def test_a_missing_permission_is_refused_before_anything_is_written(cluster: Cluster) -> None:
    cluster.server.forbidden.add("create deployments.apps")
    output = cluster.play("deploy", fails=True)
    cluster.server.forbidden.clear()
    assert "codecov_kubernetes.context: may not create deployments.apps in the namespace ours" in output
    assert cluster.writes() == []


def test_a_deployment_writes_secrets_first_and_then_the_release(cluster: Cluster) -> None:
    cluster.play("deploy")
    written = cluster.writes()
    assert written[0] == f"create Namespace/{NAMESPACE}"
    assert written.index("create Secret/codecov-secrets") < written.index("create Secret/sh.helm.release.v1.codecov.v1")
    [config] = [name for name in cluster.objects("Secret") if name.startswith("codecov-config-")]
    volumes = {volume["name"]: volume for volume in cluster.objects("Deployment")["codecov-api-blue"]["spec"]["template"]["spec"]["volumes"]}
    assert volumes["config"]["secret"]["secretName"] == config
    content = yaml.safe_load(base64.b64decode(cluster.objects("Secret")[config]["data"]["codecov.yml"]))
    assert content["github"]["client_secret"] == SECRET
    assert "codecov-first-migrate" in cluster.objects("Job")


def test_no_secret_is_in_helm_s_values(cluster: Cluster) -> None:
    command = [HELM, "get", "values", "codecov", "--namespace", NAMESPACE, "--kubeconfig", cluster.inventory.parent / "kubeconfig"]
    values = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kept = yaml.safe_load(base64.b64decode(cluster.objects("Secret")["codecov-secrets"]["data"]["secrets.yml"]))
    assert len(kept) > 10
    assert not any(value in values for value in kept.values())


def test_a_second_deployment_writes_nothing_and_takes_few_tasks(cluster: Cluster) -> None:
    output = cluster.play("deploy")
    assert "changed=0 " in output
    assert cluster.writes() == []
    assert int(output.rsplit("ok=", 1)[1].split()[0]) <= 12


def test_a_migration_that_fails_leaves_what_serves(cluster: Cluster) -> None:
    before = cluster.objects("Deployment")
    output = cluster.play("deploy", fails=True, **BROKEN)
    assert "The release was refused, and the one that served goes on." in output
    assert "codecov-migrate failed: BackoffLimitExceeded" in output
    assert {name: item["spec"] for name, item in cluster.objects("Deployment").items()} == {name: item["spec"] for name, item in before.items()}
    cluster.writes()


def test_a_change_is_a_new_revision_and_rollback_goes_to_the_last_that_served(cluster: Cluster) -> None:
    cluster.play("scale", codecov_replicas={"api": 5})
    assert cluster.objects("HorizontalPodAutoscaler")["codecov-api-blue"]["spec"]["minReplicas"] == 5
    cluster.writes()
    cluster.play("rollback")
    assert cluster.objects("HorizontalPodAutoscaler")["codecov-api-blue"]["spec"]["minReplicas"] == 2


def test_health_asks_through_the_public_address(cluster: Cluster) -> None:
    cluster.writes()
    assert "api: edge, gateway, api and database work end to end" in cluster.play("health")
    assert cluster.writes() == []


def test_removal_keeps_secrets_and_happens_once(cluster: Cluster) -> None:
    cluster.play("remove")
    assert cluster.objects("Deployment") == cluster.objects("Service") == {}
    assert "codecov-secrets" in cluster.objects("Secret")
    assert "changed=0 " in cluster.play("remove")
    cluster.play("remove", codecov_purge=True)
    assert cluster.objects("Secret") == {}
