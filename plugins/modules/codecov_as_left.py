#!/usr/bin/python
# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: codecov_as_left
version_added: 0.1.0
author: The covstack.selfhosted maintainers (@covstack)
short_description: Remember how a complete run left a host, or look whether it is still like that
description:
  - Compares a digest of everything that a run depends on (settings with their secrets, placement, files of the controller, this collection's own code), the
    files of the deployment and of the load balancer, the containers since they were started, and what HAProxy and keepalived run with.
  - For hosts of a split deployment. Where everything is as it was left, a run has nothing to do there.
  - On a Kubernetes cluster V(present) writes the digest, and which Secrets there are, to Helm's record of the revision; the plan of the next run looks.
options:
  state:
    description:
      - V(look) compares, in one short question that needs nothing of Ansible on the host.
      - V(present) remembers, at the end of a run that did everything. A host on which something is not well is not remembered.
    type: str
    choices: [look, present]
    default: look
  servers:
    description: Servers (C(backend/name)) that a load balancer on the host must send requests to, or it is not remembered.
    type: list
    elements: str
    default: []
  unlock:
    description: With O(state=present), give the deploy lock back first, if this run holds it (see M(covstack.selfhosted.codecov_lock)), in the same question.
    type: bool
    default: false
  question:
    description: What to look at. The action finds it out.
    type: dict
attributes:
  check_mode:
    support: full
    details: Remembers nothing.
  diff_mode:
    support: none
  platform:
    platforms: posix
    support: full
notes:
  - The file is no part of the deployment, so writing it is no change. Without it the next run looks at everything.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
"""

EXAMPLES = r"""
- name: Look whether there is anything to do
  covstack.selfhosted.codecov_as_left:
  register: look

- name: Remember how the host is left
  covstack.selfhosted.codecov_as_left:
    state: present
    unlock: true
"""

RETURN = r"""
as_left:
  description: Whether the host is as it was left.
  returned: with O(state=look)
  type: bool
  sample: false
differs:
  description: The parts that are not as they were left (V(inputs), V(files), V(containers), V(balancing), V(lock)), or why that is not known.
  returned: with O(state=look)
  type: list
  elements: str
  sample: [containers]
problems:
  description: Why the host was not remembered.
  returned: with O(state=present)
  type: list
  elements: str
  sample: []
keeper:
  description: The host that keeps the secrets of the deployment. V(null) without one.
  returned: always
  type: str
  sample: app1.example.com
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.covstack.selfhosted.plugins.module_utils._as_left import Unknown, remember
from ansible_collections.covstack.selfhosted.plugins.module_utils._cluster_client import Api, ClusterError, connect
from ansible_collections.covstack.selfhosted.plugins.module_utils._cluster_mark import remember as remember_release


def remember_what(question: dict[str, Any], servers: list[str]) -> list[str]:
    """A host, or the release on a cluster; why not, if not."""
    if "cluster" not in question:
        return remember(question, servers)
    access = question["cluster"]
    api = Api(connect(access.get("kubeconfig"), access.get("context")))
    return remember_release(api, access["namespace"], access["release"], question["inputs"], question["proved"])


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["look", "present"], "default": "look"},
            "servers": {"type": "list", "elements": "str", "default": []},
            "unlock": {"type": "bool", "default": False},
            # Holds a digest of secrets among others.
            "question": {"type": "dict", "no_log": True},
        },
        supports_check_mode=True,
    )
    if module.params["state"] != "present" or not module.params["question"]:
        module.fail_json(msg="state: only the action of this name looks. Way out: call it in a play, as covstack.selfhosted.codecov_as_left.")
    try:
        problems = [] if module.check_mode else remember_what(module.params["question"], module.params["servers"])
    except (OSError, ValueError, Unknown, ClusterError) as error:
        module.fail_json(msg=f"How the host is cannot be seen: {error}.")
    module.exit_json(changed=False, problems=problems)


if __name__ == "__main__":
    main()
