# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: load_balancer
short_description: Files of a load balancer host, from settings and facts
version_added: 0.2.0
author:
  - The covstack.selfhosted maintainers (@covstack)
description:
  - Judges the settings of the role P(covstack.selfhosted.load_balancer#role), and renders the configuration of HAProxy and keepalived for one host.
  - Pure. Nothing is read or changed anywhere.
options:
  _input:
    description: The variables C(load_balancer_*) of the role, without their prefix.
    type: dict
    required: true
  host:
    description: Name of the host, as it is in C(peers).
    type: str
    required: true
  info:
    description: Result of M(covstack.selfhosted.load_balancer_info) for this host.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what is wrong with the settings
  ansible.builtin.debug:
    msg: "{{ (settings | covstack.selfhosted.load_balancer(inventory_hostname, info)).errors }}"
"""

RETURN = r"""
_value:
  description: The plan of the host.
  type: dict
  contains:
    errors:
      description: One line for everything that is wrong. With an error there are no files.
      type: list
      elements: str
    warnings:
      description: One line for everything that is allowed but doubtful.
      type: list
      elements: str
    files:
      description: Files by path below C(/etc), as M(covstack.selfhosted.file_set) takes them.
      type: dict
    scripts:
      description: Scripts by name below C(/usr/libexec/keepalived), as M(covstack.selfhosted.file_set) takes them.
      type: dict
    description:
      description: How the running HAProxy calls this configuration.
      type: str
    interface:
      description: The interface that carries the virtual address. Empty without one.
      type: str
    address:
      description: The virtual address with its prefix. Empty without one.
      type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.covstack.selfhosted.plugins.module_utils._load_balancer import host_of, plan_of, settings_of


def load_balancer(settings: t.Any, host: str, info: t.Any) -> t.Dict[str, t.Any]:
    """Settings and facts -> plan."""
    try:
        return plan_of(settings_of(settings), host_of(host, info))
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"load_balancer: {error} is missing or has another type than the role load_balancer documents.") from error


class FilterModule:
    """Filters of this collection."""

    def filters(self) -> t.Dict[str, t.Callable[..., t.Any]]:
        return {"load_balancer": load_balancer}
