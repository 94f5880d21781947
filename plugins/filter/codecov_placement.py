# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Filter codecov_placement: which of the ways to deploy an inventory asks for."""

from __future__ import annotations

DOCUMENTATION = """
name: codecov_placement
short_description: Which way to deploy the groups of an inventory ask for
version_added: 0.2.0
author: The covstack.selfhosted maintainers (@covstack)
description:
  - The playbooks of this collection choose by it what they import.
positional: _input
options:
  _input:
    description: The groups of the inventory with the names of their hosts, as the variable C(groups) has them. Only hosts of the group C(codecov) count.
    type: dict
    required: true
"""

EXAMPLES = """
- name: Say how this inventory is deployed
  ansible.builtin.debug:
    msg: "{{ groups | covstack.selfhosted.codecov_placement }}"
"""

RETURN = """
_value:
  description:
    - C(cluster) where a host of the group C(kubernetes) stands for a Kubernetes cluster (Strategy III).
    - C(split) where hosts are in groups of kinds, such as C(web) or C(load_balancers) (Strategy II).
    - C(one_host) otherwise (Strategy I).
  type: str
"""

import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils._placement import CLUSTERS, KINDS


def codecov_placement(groups: t.Mapping[str, t.Sequence[str]]) -> str:
    """The end of a playbook's name."""
    hosts = set(groups.get("codecov", ()))
    if hosts & set(groups.get(CLUSTERS, ())):
        return "cluster"
    return "split" if any(hosts & set(groups.get(kind, ())) for kind in KINDS) else "one_host"


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> t.Dict[str, t.Callable[..., t.Any]]:
        return {"codecov_placement": codecov_placement}
