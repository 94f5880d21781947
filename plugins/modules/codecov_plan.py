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
    the way out), renders the catalogue for this host, and returns the plan.
  - With O(host_checks), refuses wrong values of the variables of the role P(covstack.selfhosted.docker_engine#role), too, where a host runs containers.
  - Asks the host one question with M(covstack.selfhosted.codecov_host_info). Changes nothing, and never returns the value of a secret.
  - Secrets are named in the plan as C(${secret:name}) and resolved on the host by M(covstack.selfhosted.codecov_config) and M(covstack.selfhosted.file_set).
options:
  host_checks:
    description: Whether to refuse a host that cannot carry the deployment (memory, disk, ports held by others, sizing rule).
    type: bool
    default: true
  verb:
    description:
      - What the plan is for. V(deploy) refuses while two colours are side by side. V(blue_green) refuses a change of colours that cannot be made, and plans it.
    type: str
    default: look
    choices: [look, deploy, blue_green]
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
  register: plan

- name: Show the images
  ansible.builtin.debug:
    var: plan.application.images
"""

RETURN = r"""
url:
  description: The public URL.
  returned: success
  type: str
  sample: https://codecov.example.com
directory:
  description: Where the deployment lives on the host.
  returned: success
  type: str
  sample: /opt/codecov
application:
  description: The application project (Compose text, images, versions, replicas, services by tier, jobs).
  returned: success
  type: dict
  sample: {"services": ["gateway", "frontend", "api", "worker"], "entry": "gateway"}
platform:
  description: The platform services that this host runs, and their images.
  returned: success
  type: dict
  sample: {"services": ["edge", "socket_proxy"], "images": {"edge": "docker.io/library/traefik:v3.7.15"}}
files:
  description: Files of the deployment's directory, as M(covstack.selfhosted.file_set) takes them.
  returned: success
  type: dict
  sample: {"redis.conf": {"content": "dir /data", "mode": "0400", "owner": 999}}
config:
  description: Layers of codecov.yml, secrets to generate, and the callback URLs to register with the git providers.
  returned: success
  type: dict
  sample: {"callbacks": {"github": "https://codecov.example.com/login/gh"}}
health:
  description: Parameters of M(covstack.selfhosted.codecov_health) for this deployment.
  returned: success
  type: dict
  sample: {"url": "https://codecov.example.com"}
settings:
  description: Settings that the roles themselves follow.
  returned: success
  type: dict
  sample: {"smoke": "changed", "pull": "missing"}
settled:
  description:
    - Whether the containers on the host are already what the plan asks for, so that Compose would find nothing to do. C(platform) is about the
      platform's project, C(application) about the containers of the release that serves and their number, not about which release is wanted.
  returned: success
  type: dict
  sample: {"platform": true, "application": true}
in_turn:
  description:
    - Whether the host is one of several, serves, and is written to in its own turn, while load balancers send it nothing. Never in check mode, and
      never of the host that migrates the database, of data and storage hosts, or where the run leaves out the host that migrates.
  returned: success
  type: bool
  sample: true
blue_green:
  description: The change of colours (C(codecov_blue_green)), with the shares of the requests before and after it.
  returned: O(verb=blue_green)
  type: dict
  sample: {"action": "switch", "slot": "green", "before": {"blue": 100, "green": 0}, "after": {"blue": 80, "green": 20}, "production": "blue"}
host:
  description: Answer of M(covstack.selfhosted.codecov_host_info).
  returned: success
  type: dict
  sample: {"cpus": 8, "memory_mb": 30000}
"""
