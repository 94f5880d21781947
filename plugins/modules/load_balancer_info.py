#!/usr/bin/python
# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: load_balancer_info
short_description: What a load balancer host is, and what HAProxy and keepalived on it run with
version_added: 0.1.0
author:
  - The covstack.selfhosted maintainers (@covstack)
description:
  - One round trip for everything that the role P(covstack.selfhosted.load_balancer#role) decides by.
  - It changes nothing.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
    details:
      - Changes nothing in either mode.
  diff_mode:
    support: none
  platform:
    platforms: posix
seealso:
  - module: covstack.selfhosted.haproxy_servers
"""

EXAMPLES = r"""
- name: Look at the load balancer
  covstack.selfhosted.load_balancer_info:
"""

RETURN = r"""
os:
  description: The operating system, as M(covstack.selfhosted.codecov_host_info) says it.
  returned: success
  type: dict
  sample: {"name": "Debian GNU/Linux 13 (trixie)", "family": "debian", "systemd": true}
interfaces:
  description: Every address with its interface and prefix.
  returned: success
  type: list
  elements: dict
  sample: [{"name": "eth0", "address": "10.0.0.11", "prefix": 24}]
listening:
  description: TCP ports that are open, and who holds them.
  returned: success
  type: list
  elements: dict
  sample: [{"port": 80, "addresses": ["0.0.0.0"], "process": "haproxy", "pid": 120, "container": null, "ours": false}]
digests:
  description: SHA-256 of certificate, key and VRRP password. V(null) for a file that is not there.
  returned: success
  type: dict
  sample: {"/etc/covstack/load_balancer/tls/certificate.pem": null}
unreadable:
  description: Those of the files in RV(digests) that are there and cannot be read, each with the reason.
  returned: success
  type: dict
  sample: {"/etc/covstack/load_balancer/vrrp_password.conf": "Is a directory"}
missing:
  description: Programs and libraries that are not installed.
  returned: success
  type: list
  elements: str
  sample: [keepalived]
haproxy:
  description: C(answers), its C(version), the C(description) of the configuration that it runs with, and whether it is C(enabled).
  returned: success
  type: dict
  sample: {"answers": true, "version": "3.0.11", "description": "covstack-0123456789abcdef", "enabled": true}
keepalived:
  description: Whether it C(running) is, C(enabled), and runs with the files that are there (C(applied)).
  returned: success
  type: dict
  sample: {"running": true, "enabled": true, "applied": true}
holds_address:
  description: Whether this host holds the virtual address. V(null) when there is none.
  returned: success
  type: bool
  sample: true
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.covstack.selfhosted.plugins.module_utils._load_balancer_info import OPTIONS, answer


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    found = answer(module.params)
    if "msg" in found:
        module.fail_json(msg=found["msg"])
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
