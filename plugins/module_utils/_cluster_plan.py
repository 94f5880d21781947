# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""The plan of a deployment on a Kubernetes cluster. Holds no secret, only C(${secret:NAME})."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils import _plan
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import Deployment
from ansible_collections.covstack.selfhosted.plugins.module_utils._kubernetes import CA_KEY, expected_pods, values_of

# Helm reads each object before it changes it, and watches until it is ready or gone.
_VERBS = ("get", "list", "watch", "create", "patch", "delete")
CREATE_NAMESPACE = "create namespaces"
# Helm rewrites its records, and counts pods.
_HELM = ("update secrets", "list replicasets.apps", "list pods")
# To ask from inside the pods. Which verb a command in a pod needs depends on the cluster's version.
_PROOF = ("get pods/exec", "create pods/exec")
_RESOURCES = (
    "deployments.apps", "statefulsets.apps", "services", "secrets", "configmaps", "serviceaccounts", "jobs.batch", "poddisruptionbudgets.policy",
)  # fmt: skip


def actions_of(deployment: Deployment) -> t.List[str]:
    """What the account must be allowed to do in the namespace."""
    given = deployment.settings["codecov_kubernetes"]
    scaling = given["autoscaling"]
    resources = [
        *_RESOURCES,
        *(["horizontalpodautoscalers.autoscaling"] if scaling["enabled"] else []),
        *(["cronjobs.batch", "roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io"] if scaling["schedule"] else []),
        *(["networkpolicies.networking.k8s.io"] if given["network_policies"]["enabled"] else []),
        *(["ingresses.networking.k8s.io"] if given["expose"] == "ingress" else []),
        *(["httproutes.gateway.networking.k8s.io"] if given["expose"] == "gateway" else []),
        *(["externalsecrets.external-secrets.io"] if given["secrets"]["source"] == "external_secrets" else []),
    ]
    return [*(f"{verb} {resource}" for resource in resources for verb in _VERBS), *_HELM, *_PROOF, CREATE_NAMESPACE]


@dataclasses.dataclass(frozen=True)
class Named:
    """An object that the operator makes: the part of codecov_kubernetes that names it, the keys that it must have, and how kubectl makes it."""

    kind: str
    name: str
    option: str
    keys: t.Tuple[str, ...] = ()
    made_by: str = ""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


# Who has cert-manager asked by an annotation gets the Secret with the ingress.
_ISSUED_BY = ("cert-manager.io/", "kubernetes.io/tls-acme")


def _tls_secret(ingress: t.Mapping[str, t.Any]) -> str:
    issued = ingress["issuer"] or any(str(key).startswith(_ISSUED_BY) for key in ingress["annotations"])
    return "" if issued else str(ingress["tls_secret"])


def named_objects(deployment: Deployment) -> t.List[Named]:
    """What the settings name and nobody makes with the release."""
    given = deployment.settings["codecov_kubernetes"]
    secrets, pulls = given["secrets"], "generic {} --type=kubernetes.io/dockerconfigjson --from-file=.dockerconfigjson=FILE"
    found = [
        Named("Secret", _tls_secret(given["ingress"]) if given["expose"] == "ingress" else "", "ingress.tls_secret", ("tls.crt", "tls.key"),
              "tls {} --cert=FILE --key=FILE"),
        Named("Secret", given["ca_secret"], "ca_secret", (CA_KEY,), f"generic {{}} --from-file={CA_KEY}=FILE"),
        Named("Secret", secrets["name"] if secrets["source"] == "existing" else "", "secrets.name", ("codecov.yml",),
              "generic {} --from-file=codecov.yml=FILE"),
        *(Named("Secret", name, "pull_secrets", made_by=pulls) for name in given["pull_secrets"]),
        Named("PriorityClass", given["scheduling"]["priority_class"], "scheduling.priority_class", made_by="{} --value=NUMBER"),
    ]  # fmt: skip
    return [item for item in found if item.name]


def access_to(settings: t.Mapping[str, t.Any]) -> t.Dict[str, str]:
    """How modules reach the release: those of their options that are set."""
    given = settings["codecov_kubernetes"]
    return {key: given[key] for key in ("namespace", "release", "kubeconfig", "context") if given[key]}


def question_of(deployment: Deployment) -> t.Dict[str, t.Any]:
    """Arguments of the module codecov_cluster_info."""
    given = deployment.settings["codecov_kubernetes"]
    names = [deployment.hostname, *([str(deployment.storage()["host"])] if deployment.mode("storage") == "external" else [])]
    asked = {"names": names, "actions": actions_of(deployment), "named": [str(item) for item in named_objects(deployment)]}
    return {**access_to(deployment.settings), **asked, **({"helm": given["helm"]} if given["helm"] else {})}


def plan_of(deployment: Deployment) -> t.Dict[str, t.Any]:
    """The plan. Plain data, safe to print."""
    given = deployment.settings["codecov_kubernetes"]
    layers, callbacks, _problems = _plan.config_layers(deployment)
    values = values_of(deployment)
    return {
        **_plan.identity(deployment),
        "values": {**values, "files": {**values["files"], "content": {}}},
        "files": {name: {"content": text} for name, text in values["files"]["content"].items()},
        "config": {"layers": layers[:-2], "required_secrets": deployment.required_secrets(), "callbacks": callbacks},
        "health": {**_plan.health_of(deployment), "services": expected_pods(deployment)},
        "placement": {"split": False, "cluster": True, "keeper": True, "kinds": []},
        "external_check": None,
        "kubernetes": {
            **{key: given[key] for key in ("kubeconfig", "context", "namespace", "release", "helm", "timeout_s", "history", "connect_to")},
            "access": access_to(deployment.settings),
        },
        "secrets_source": given["secrets"]["source"],
        "settings": _plan.task_settings(deployment),
    }
