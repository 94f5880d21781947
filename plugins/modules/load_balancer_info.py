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

import hashlib
import importlib.util
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.covstack.selfhosted.plugins.module_utils._haproxy import Haproxy, HaproxyError, holds_address, interfaces
from ansible_collections.covstack.selfhosted.plugins.module_utils._host_facts import listening_sockets, operating_system, parse_version, read
from ansible_collections.covstack.selfhosted.plugins.module_utils._load_balancer import APPLIED, CERTIFICATE, ETC, PASSWORD_FILE

PROGRAMS = {"haproxy": "/usr/sbin/haproxy", "keepalived": "/usr/sbin/keepalived"}


def bytes_of(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None


def digest(*paths: str) -> str | None:
    contents = [bytes_of(path) for path in paths]
    return None if any(content is None for content in contents) else hashlib.sha256(b"".join(content or b"" for content in contents)).hexdigest()


def is_enabled(unit: str) -> bool:
    return os.path.lexists(f"/etc/systemd/system/multi-user.target.wants/{unit}.service")


def haproxy_facts() -> dict[str, Any]:
    try:
        info = Haproxy().info()
    except HaproxyError:
        info = {}
    return {
        "answers": bool(info),
        "version": parse_version(info.get("version", "")),
        "description": info.get("description", ""),
        "enabled": is_enabled("haproxy"),
    }


def keepalived_facts() -> dict[str, Any]:
    process = read("/run/keepalived.pid").strip() or read("/run/keepalived/keepalived.pid").strip()
    files = digest(f"{ETC}/keepalived.conf", PASSWORD_FILE)
    return {
        "running": read(f"/proc/{process or 0}/comm").strip() == "keepalived",
        "enabled": is_enabled("keepalived"),
        "applied": files is not None and files == (read(APPLIED).split() or [""])[0],
    }


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    missing = [name for name, path in PROGRAMS.items() if not os.path.exists(path)]
    try:
        module.exit_json(
            changed=False,
            os=operating_system(),
            interfaces=interfaces(),
            listening=listening_sockets(),
            digests={path: digest(path) for path in (CERTIFICATE, f"{CERTIFICATE}.key", PASSWORD_FILE)},
            missing=missing + ([] if importlib.util.find_spec("yaml") else ["yaml"]),
            haproxy=haproxy_facts(),
            keepalived=keepalived_facts(),
            holds_address=holds_address(),
        )
    except HaproxyError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
