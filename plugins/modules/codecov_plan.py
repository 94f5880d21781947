#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers

from __future__ import annotations

DOCUMENTATION = r"""
module: codecov_plan
version_added: 0.1.0
author: The covstack.selfhosted maintainers (@covstack)
short_description: Validate the settings of a deployment and turn them into a plan
description:
  - Collects every C(codecov_*) variable of the host, refuses what cannot work with one line for each problem (the setting, its value, what is allowed,
    the way out), renders the catalogue for this host, and sets the fact C(codecov_plan).
  - Asks the host one question with M(covstack.selfhosted.codecov_host_info). Changes nothing, and never returns the value of a secret.
  - Secrets are named in the plan as C(${secret:name}) and resolved on the host by M(covstack.selfhosted.codecov_config) and M(covstack.selfhosted.file_set).
options:
  host_checks:
    description: Whether to refuse a host that cannot carry the deployment (memory, disk, ports held by others, sizing rule).
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: Can run in check mode and return the plan without changing anything.
  diff_mode:
    support: none
    description: Nothing changes, so there is nothing to compare.
  idempotent:
    support: full
    description: The same settings and catalogue give the same plan.
seealso:
  - module: covstack.selfhosted.codecov_host_info
  - module: covstack.selfhosted.codecov_config
"""

EXAMPLES = r"""
- name: Refuse bad settings and learn what would run
  covstack.selfhosted.codecov_plan:
  vars:
    codecov_url: http://codecov.example.com
    codecov_secrets:
      enterprise_license: "{{ vault_codecov_license }}"

- name: Show the images
  ansible.builtin.debug:
    var: codecov_plan.application.images
"""

RETURN = r"""
ansible_facts:
  description: Facts to add.
  returned: success
  type: dict
  contains:
    codecov_plan:
      description: The plan of this host.
      type: dict
      contains:
        url:
          description: The public URL.
          type: str
          sample: https://codecov.example.com
        application:
          description: The application project (Compose text, images, replicas, services by tier).
          type: dict
        platform:
          description: The platform services that this host runs, and their images.
          type: dict
        files:
          description: Files of the deployment's directory, as M(covstack.selfhosted.file_set) takes them.
          type: dict
        config:
          description: Layers of codecov.yml, secrets to generate, callback URLs to register.
          type: dict
        host:
          description: Answer of M(covstack.selfhosted.codecov_host_info).
          type: dict
        warnings:
          description: What works but deserves attention.
          type: list
          elements: str
"""
