#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers

from __future__ import annotations

DOCUMENTATION = r"""
module: codecov_cluster_info
version_added: 0.2.0
author: The covstack.selfhosted maintainers (@covstack)
short_description: What a Kubernetes cluster offers to a deployment
description:
  - Asks the API server what preflight wants to know - version, API groups, classes of storage and ingress, permissions of the account in the namespace,
    quotas - and which release is there. Changes nothing, and reads no secret.
  - Credentials come from a kubeconfig, with the programs that it names (EKS, GKE, AKS), or from the service account of the pod that this runs in.
requirements:
  - The Python package C(kubernetes) 24.2 or newer on the host that runs the module.
  - The program C(helm) there.
options:
  kubeconfig:
    description: Path of a kubeconfig. Without it C(KUBECONFIG), then C(~/.kube/config), then the pod's service account.
    type: path
  context:
    description: Context of the kubeconfig.
    type: str
  namespace:
    description: Namespace of the release.
    type: str
    required: true
  release:
    description: Name of the release.
    type: str
    required: true
  actions:
    description: What the account must be allowed to do in the namespace, as C(verb resource.group).
    type: list
    elements: str
    default: []
  helm:
    description: Path of the program C(helm). Without it the one in C(PATH).
    type: path
attributes:
  check_mode:
    support: full
    description: Can run in check mode, since it changes nothing.
  diff_mode:
    support: none
    description: Nothing changes, so there is nothing to compare.
  idempotent:
    support: full
    description: Asks only.
"""

EXAMPLES = r"""
- name: Ask the cluster
  covstack.selfhosted.codecov_cluster_info:
    namespace: codecov
    release: codecov
    actions: [create deployments.apps, create secrets]
  register: cluster
"""

RETURN = r"""
version:
  description: Version of the API server.
  returned: success
  type: str
  sample: v1.34.2
api_groups:
  description: Groups of its API.
  returned: success
  type: list
  elements: str
  sample: [apps, autoscaling, metrics.k8s.io]
storage_classes:
  description: Storage classes, and whether each is the default. V(null) where the account may not list them.
  returned: success
  type: dict
  sample: {"standard": true}
ingress_classes:
  description: Ingress classes. V(null) where the account may not list them.
  returned: success
  type: list
  elements: str
  sample: [nginx]
permissions:
  description: Whether each of O(actions) is allowed.
  returned: success
  type: dict
  sample: {"create deployments.apps": true}
quotas:
  description: Resource quotas of the namespace with C(name), C(hard) and C(used).
  returned: success
  type: list
  elements: dict
  sample: [{"name": "compute", "hard": {"requests.cpu": "8"}, "used": {"requests.cpu": "2"}}]
namespace_exists:
  description: Whether the namespace is there.
  returned: success
  type: bool
  sample: true
release:
  description: The newest of RV(revisions). V(null) if there is none.
  returned: success
  type: dict
  sample: {"status": "deployed", "revision": 3}
revisions:
  description: All revisions of the release that Helm remembers, the newest first.
  returned: success
  type: list
  elements: dict
  sample: [{"status": "deployed", "revision": 3}, {"status": "superseded", "revision": 2}]
values:
  description: Values of the revision that serves, without C(secrets), which only those who use the chart without this collection give. Empty if there is none.
  returned: success
  type: dict
  sample: {"slots": {"blue": {"weight": 100}}}
helm_version:
  description: Version of the program C(helm).
  returned: success
  type: str
  sample: 3.19.0
"""

import json
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.covstack.selfhosted.plugins.module_utils._helm_release import record_name, revision_that_serves, values_in

KUBERNETES_IMPORT_ERROR: t.Optional[str]
try:
    import kubernetes
    from kubernetes import dynamic
except ImportError:
    KUBERNETES_IMPORT_ERROR = traceback.format_exc()
else:
    KUBERNETES_IMPORT_ERROR = None

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


class Cluster:
    """Questions to an API server. Answers are plain data."""

    def __init__(self, client: t.Any, namespace: str) -> None:
        self.client = dynamic.DynamicClient(client)
        self.namespace = namespace

    def call(self, path: str, method: str = "get", body: t.Optional[t.Dict[str, t.Any]] = None) -> t.Any:
        """The answer, or None where there is none, or none for this account."""
        try:
            answer = self.client.request(method, path, body=body, serialize=False)
        except (dynamic.exceptions.ForbiddenError, dynamic.exceptions.NotFoundError):
            return None
        return json.loads(answer.data)

    def items(self, path: str) -> t.Optional[t.List[t.Any]]:
        answer = self.call(path)
        return None if answer is None else answer["items"]

    def allowed(self, action: str) -> bool:
        verb, _space, resource = action.partition(" ")
        name, _dot, group = resource.partition(".")
        attributes = {"namespace": self.namespace, "verb": verb, "resource": name, "group": group}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}}
        answer = self.call("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "post", review)
        return bool(answer and answer["status"]["allowed"])

    def storage_classes(self) -> t.Optional[t.Dict[str, bool]]:
        items = self.items("/apis/storage.k8s.io/v1/storageclasses")
        if items is None:
            return None
        return {item["metadata"]["name"]: (item["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true" for item in items}

    def ingress_classes(self) -> t.Optional[t.List[str]]:
        items = self.items("/apis/networking.k8s.io/v1/ingressclasses")
        return None if items is None else [item["metadata"]["name"] for item in items]

    def quotas(self) -> t.List[t.Dict[str, t.Any]]:
        items = self.items(f"/api/v1/namespaces/{self.namespace}/resourcequotas") or []
        return [{"name": item["metadata"]["name"], "hard": item["spec"]["hard"], "used": item.get("status", {}).get("used", {})} for item in items]

    def revisions(self, name: str) -> t.List[t.Dict[str, t.Any]]:
        """Of Helm's own records the labels alone, the newest first: the rest holds the values."""
        path = f"/api/v1/namespaces/{self.namespace}/secrets?labelSelector=owner%3Dhelm%2Cname%3D{name}"
        labels = [item["metadata"]["labels"] for item in self.items(path) or []]
        return sorted(({"revision": int(label["version"]), "status": label["status"]} for label in labels), key=lambda entry: -t.cast(int, entry["revision"]))

    def values(self, name: str, revisions: t.Sequence[t.Mapping[str, t.Any]]) -> t.Dict[str, t.Any]:
        """What was given for the revision that serves."""
        revision = revision_that_serves(revisions)
        record = self.call(f"/api/v1/namespaces/{self.namespace}/secrets/{record_name(name, revision)}") if revision else None
        return {**values_in(record), "secrets": {}} if record else {}


def helm_version(module: AnsibleModule) -> str:
    program = module.params["helm"] or module.get_bin_path("helm", required=True)
    code, output, errors = module.run_command([program, "version", "--template", "{{ .Version }}"])
    if code != 0:
        module.fail_json(msg=f"{program} does not run: {errors.strip()}")
    return str(output.strip().lstrip("v"))


def connect(module: AnsibleModule) -> t.Any:
    try:
        return kubernetes.config.new_client_from_config(module.params["kubeconfig"] or None, module.params["context"] or None)
    except (kubernetes.config.ConfigException, OSError) as problem:
        if module.params["kubeconfig"] or module.params["context"]:
            module.fail_json(msg=f"codecov_kubernetes.kubeconfig, codecov_kubernetes.context: {problem}")
    try:
        kubernetes.config.load_incluster_config()
    except kubernetes.config.ConfigException:
        module.fail_json(msg="codecov_kubernetes.kubeconfig: there is no kubeconfig, and this is no pod -> give its path, or set KUBECONFIG")
    return kubernetes.client.ApiClient()


def collect(module: AnsibleModule, cluster: Cluster) -> t.Dict[str, t.Any]:
    groups = cluster.call("/apis") or {"groups": []}
    revisions = cluster.revisions(module.params["release"])
    return {
        "version": cluster.call("/version")["gitVersion"],
        "api_groups": [group["name"] for group in groups["groups"]],
        "storage_classes": cluster.storage_classes(),
        "ingress_classes": cluster.ingress_classes(),
        "permissions": {action: cluster.allowed(action) for action in module.params["actions"]},
        "quotas": cluster.quotas(),
        "namespace_exists": cluster.call(f"/api/v1/namespaces/{cluster.namespace}") is not None,
        "revisions": revisions,
        "values": cluster.values(module.params["release"], revisions),
        "release": revisions[0] if revisions else None,
        "helm_version": helm_version(module),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path"},
            "context": {"type": "str"},
            "namespace": {"type": "str", "required": True},
            "release": {"type": "str", "required": True},
            "actions": {"type": "list", "elements": "str", "default": []},
            "helm": {"type": "path"},
        },
        supports_check_mode=True,
    )
    if KUBERNETES_IMPORT_ERROR is not None:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=KUBERNETES_IMPORT_ERROR)
    try:
        module.exit_json(changed=False, **collect(module, Cluster(connect(module), module.params["namespace"])))
    except Exception as problem:  # the client's own errors, and those of what it is built on, are many
        module.fail_json(msg=f"The cluster does not answer: {problem}", exception=traceback.format_exc())


if __name__ == "__main__":
    main()
