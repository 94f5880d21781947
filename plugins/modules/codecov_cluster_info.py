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
    quotas, and whether what the settings name is there - and which release is there. Changes nothing, and returns no value of a Secret.
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
    description: What the account must be allowed to do in the namespace, as C(verb resource.group) or C(verb resource/subresource).
    type: list
    elements: str
    default: []
  helm:
    description: Path of the program C(helm). Without it the one in C(PATH).
    type: path
  named:
    description: Objects to look for, as V(Secret/NAME), in the namespace, or V(PriorityClass/NAME).
    type: list
    elements: str
    default: []
  names:
    description: Host names to resolve where the module runs, since clients need them, too.
    type: list
    elements: str
    default: []
  inputs:
    description: Digest of everything that the run depends on, to compare with what the last complete run remembered.
    type: str
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
  description: Whether the namespace is there. V(true), too, where the account may not see it.
  returned: success
  type: bool
  sample: true
release:
  description: The newest of RV(revisions). V(null) if there is none.
  returned: success
  type: dict
  sample: {"status": "deployed", "revision": 3, "proved": true}
revisions:
  description: All revisions of the release that Helm remembers, the newest first. C(proved) says whether an upload has proved it.
  returned: success
  type: list
  elements: dict
  sample: [{"status": "deployed", "revision": 3, "proved": true}, {"status": "superseded", "revision": 2, "proved": true}]
missing:
  description: Objects of the revision that serves which are not there.
  returned: success
  type: list
  elements: str
  sample: [horizontalpodautoscalers/codecov-api-blue]
as_left:
  description: Whether release, Secrets and O(inputs) are as the last complete run left them, and no object is RV(missing).
  returned: success
  type: bool
  sample: false
named:
  description: Those of O(named) that are there, with the keys of a Secret, never their values. V(null) for one that the account may not see.
  returned: success
  type: dict
  sample: {"Secret/scm-ca-cert": ["scm_ca_cert.pem"]}
names:
  description: Whether each of O(names) resolves where the module runs, with C(resolves), C(addresses) and C(error).
  returned: success
  type: dict
  sample: {"codecov.example.com": {"resolves": true, "addresses": ["192.0.2.7"], "error": null}}
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

import concurrent.futures
import dataclasses
import typing as t
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.covstack.selfhosted.plugins.module_utils._cluster_client import ACCESS, MISSING, Api, ClusterError, connect
from ansible_collections.covstack.selfhosted.plugins.module_utils._cluster_mark import METADATA_ALONE, as_left, mark_of, records
from ansible_collections.covstack.selfhosted.plugins.module_utils._helm_release import Object, content_of, objects_in, record_name, revision_that_serves
from ansible_collections.covstack.selfhosted.plugins.module_utils._host_facts import resolve

AT_ONCE = 8
NAMESPACES = "namespaces"
OBJECTS = {"Secret": "/api/v1/namespaces/{namespace}/secrets/{name}", "PriorityClass": "/apis/scheduling.k8s.io/v1/priorityclasses/{name}"}
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


class Cluster(Api):
    """Questions to an API server about a namespace."""

    def __init__(self, client: t.Any, namespace: str) -> None:
        super().__init__(client)
        self.namespace = namespace

    def _review(self, kind: str, spec: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
        """What the API server says of this account."""
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        answer = self.call(f"/apis/authorization.k8s.io/v1/{kind.lower()}s", "POST", review)
        return dict(answer["status"]) if answer else {}

    def _allowed(self, action: Action) -> bool:
        place = "" if action.resource == NAMESPACES else self.namespace
        attributes = {"verb": action.verb, "resource": action.resource, "subresource": action.subresource, "group": action.group, "namespace": place}
        return bool(self._review("SelfSubjectAccessReview", {"resourceAttributes": attributes}).get("allowed"))

    def permissions(self, actions: t.Sequence[str]) -> t.Dict[str, bool]:
        """One question shows the rules for the namespace; what they do not say, since an authorizer may keep its own, is asked for each action."""
        rules = self._review("SelfSubjectRulesReview", {"namespace": self.namespace}).get("resourceRules") or []
        parsed = {action: action_of(action) for action in actions}
        unknown = [action for action in actions if parsed[action].resource == NAMESPACES or not any(allows(rule, parsed[action]) for rule in rules)]
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            answers = dict(zip(unknown, pool.map(self._allowed, map(parsed.__getitem__, unknown))))
        return {action: answers.get(action, True) for action in actions}

    def missing(self, release: str, objects: t.Iterable[Object]) -> t.List[str]:
        """Objects of a release that are not there. What the account may not list counts as there."""
        wanted: t.Dict[str, t.Set[str]] = {}
        for item in objects:
            wanted.setdefault(item.path(self.namespace), set()).add(item.name)
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            found = pool.map(lambda path: self.names(f"{path}?labelSelector=app.kubernetes.io%2Finstance%3D{release}"), wanted)
            return sorted(f"{path.rpartition('/')[2]}/{name}" for path, there in zip(wanted, found) if there is not None for name in wanted[path] - there)

    def names(self, path: str) -> t.Optional[t.Set[str]]:
        items = self.items(path, accept=METADATA_ALONE)
        return None if items is None else {item["metadata"]["name"] for item in items}

    def named(self, objects: t.Sequence[str]) -> t.Dict[str, t.Optional[t.List[str]]]:
        """Keys of what is there; None of what the account may not see."""
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            found = dict(zip(objects, pool.map(self._keys, objects)))
        return {name: keys for name, (is_there, keys) in found.items() if is_there}

    def _keys(self, name: str) -> t.Tuple[bool, t.Optional[t.List[str]]]:
        kind, _slash, own_name = name.partition("/")
        status, answer = self.look(OBJECTS[kind].format(namespace=self.namespace, name=quote(own_name, safe="")))
        return status != MISSING, None if answer is None else sorted(answer.get("data") or {})

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

    def record(self, name: str, revision: t.Optional[int]) -> t.Dict[str, t.Any]:
        """What Helm remembers of a revision."""
        found = self.call(f"/api/v1/namespaces/{self.namespace}/secrets/{record_name(name, revision)}") if revision else None
        return content_of(found) if found else {}


@dataclasses.dataclass(frozen=True)
class Action:
    verb: str
    resource: str
    subresource: str
    group: str


def action_of(text: str) -> Action:
    """From VERB RESOURCE[/SUBRESOURCE][.GROUP]."""
    verb, _space, rest = text.partition(" ")
    resource, _dot, group = rest.partition(".")
    name, _slash, subresource = resource.partition("/")
    return Action(verb, name, subresource, group)


def allows(rule: t.Mapping[str, t.Any], action: Action) -> bool:
    """Whether a rule of an account's allows an action on every object of a resource."""
    resource = f"{action.resource}/{action.subresource}" if action.subresource else action.resource
    wanted = {"verbs": action.verb, "apiGroups": action.group, "resources": resource}
    return not rule.get("resourceNames") and all({"*", value} & set(rule.get(key) or ()) for key, value in wanted.items())


def revision_of(record: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
    labels = record["labels"]
    return {"revision": int(labels["version"]), "status": labels["status"], "proved": bool(mark_of(record).get("proved"))}


def helm_version(module: AnsibleModule) -> str:
    program = module.params["helm"] or module.get_bin_path("helm")
    if not program:
        raise no_helm("there is no program helm in PATH where the tasks run")
    try:
        code, output, errors = module.run_command([program, "version", "--template", "{{ .Version }}"], handle_exceptions=False)
    except OSError as problem:
        raise no_helm(f"{program} does not run ({problem.strerror})") from None
    if code != 0:
        raise no_helm(f"{program} does not run ({errors.strip()})")
    return str(output.strip().lstrip("v"))


def no_helm(reason: str) -> ClusterError:
    return ClusterError(f"codecov_kubernetes.helm: {reason} -> install Helm 3.14 or newer, or 4, there, or give the program's path")


def collect(module: AnsibleModule, cluster: Cluster) -> t.Dict[str, t.Any]:
    groups = cluster.call("/apis") or {"groups": []}
    release, inputs = module.params["release"], module.params["inputs"]
    found = records(cluster, cluster.namespace, release)
    revisions = [revision_of(record) for record in found]
    record = cluster.record(release, revision_that_serves(revisions))
    missing = cluster.missing(release, objects_in(record))
    return {
        "version": (cluster.call("/version") or {"gitVersion": ""})["gitVersion"],
        "api_groups": [group["name"] for group in groups["groups"]],
        "storage_classes": cluster.storage_classes(),
        "ingress_classes": cluster.ingress_classes(),
        "permissions": cluster.permissions(module.params["actions"]),
        "quotas": cluster.quotas(),
        "named": cluster.named(module.params["named"]),
        "namespace_exists": not cluster.is_missing(f"/api/v1/namespaces/{cluster.namespace}"),
        "revisions": revisions,
        # Secrets are there only where the chart was used without this collection.
        "values": {**record["config"], "secrets": {}} if record.get("config") else {},
        "missing": missing,
        "release": revisions[0] if revisions else None,
        "as_left": bool(found and inputs and not missing) and as_left(cluster, cluster.namespace, release, found[0], inputs),
        "names": {name: resolve(name) for name in module.params["names"]},
        "helm_version": helm_version(module),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ACCESS,
            "actions": {"type": "list", "elements": "str", "default": []},
            "helm": {"type": "path"},
            "inputs": {"type": "str", "no_log": True},
            "named": {"type": "list", "elements": "str", "default": []},
            "names": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        client = connect(module.params["kubeconfig"], module.params["context"])
        found = collect(module, Cluster(client, module.params["namespace"]))
    except ClusterError as problem:
        module.fail_json(msg=str(problem))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
