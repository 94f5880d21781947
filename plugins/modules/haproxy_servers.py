#!/usr/bin/python
# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_servers
short_description: Drain servers of an HAProxy, put them back, or look
version_added: 0.1.0
author:
  - The covstack.selfhosted maintainers (@covstack)
description:
  - Changes the administrative state of servers through the local admin socket, and waits for the effect.
  - Sessions of processes that a reload left behind are counted too, since uploads that began before it end there.
  - The state is saved, so that a reload or a restart of HAProxy keeps it.
requirements:
  - HAProxy 2.4 or later as the role P(covstack.selfhosted.load_balancer#role) runs it
options:
  servers:
    description: Names of the servers. Empty for all, which is allowed only without O(state).
    type: list
    elements: str
    default: []
  backends:
    description: Backends in which the servers are meant. Empty for all that have a server of the name.
    type: list
    elements: str
    default: []
  state:
    description:
      - V(drained) sends them no new requests and waits until they have no session. When O(timeout) ends first, RV(sessions_left) says so; it is no failure.
      - V(ready) puts them back and waits until HAProxy sends them requests. When O(timeout) ends first, it fails with what the health check says.
      - Without a state, nothing is changed or waited for.
    type: str
    choices: [drained, ready]
  timeout:
    description: Seconds to wait. V(0) does not wait, and does not look whether the state is reached.
    type: float
    default: 60
  socket:
    description: The admin socket.
    type: path
    default: /run/haproxy/admin.sock
  master_socket:
    description: The socket of the master process. Without it, only sessions of the current process are seen.
    type: path
    default: /run/haproxy-master.sock
  state_file:
    description: Where HAProxy reads the state of its servers when it starts.
    type: path
    default: /run/haproxy/server-state
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  platform:
    platforms: posix
notes:
  - The module is idempotent.
  - A HAProxy that does not answer is no failure of the module. RV(answers) is V(false) then, and the caller decides what that means.
"""

EXAMPLES = r"""
- name: Take a web host out, and let its requests end
  covstack.selfhosted.haproxy_servers:
    servers: [web1]
    state: drained
    timeout: 120

- name: Put it back
  covstack.selfhosted.haproxy_servers:
    servers: [web1]
    state: ready

- name: Look
  covstack.selfhosted.haproxy_servers:
"""

RETURN = r"""
answers:
  description: Whether HAProxy answered.
  returned: success
  type: bool
  sample: true
reason:
  description: Why it did not. Empty when it did.
  returned: success
  type: str
  sample: ""
holds_address:
  description: Whether this host holds the virtual address. V(null) when there is none.
  returned: success
  type: bool
  sample: true
sessions_left:
  description: Sessions that the servers still have, where V(state=drained) waited.
  returned: success
  type: int
  sample: 0
servers:
  description:
    - The servers as they are now, each with C(backend), C(name), C(status), C(admin) (V(ready), V(drain) or V(maint)), C(sessions), C(requests), C(check)
      (the last health check in words) and C(receives).
  returned: success
  type: list
  elements: dict
  sample: [{"backend": "web", "name": "web1", "status": "UP", "admin": "ready", "sessions": 0, "requests": 12, "check": "L7OK 200", "receives": true}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.covstack.selfhosted.plugins.module_utils._haproxy import OPTIONS, answer


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    said = answer(module.params, module.check_mode)
    if "msg" in said:
        module.fail_json(msg=said["msg"])
    module.exit_json(**said)


if __name__ == "__main__":
    main()
