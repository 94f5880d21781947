#!/usr/bin/python
# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_daemon_options
short_description: Merge options into the Docker daemon's configuration, and retract them
version_added: 0.1.0
author:
  - The covstack.selfhosted maintainers (@covstack)
description:
  - Sets options in C(daemon.json) and leaves everything else that an operator has there as it is. Mappings merge; lists and scalars replace.
  - An option that was set by this module and is no longer in O(options) goes back to what it was before, unless somebody has changed
    it since.
  - Asks C(dockerd --validate) before the file is replaced, in check mode too.
options:
  options:
    description: The options, as in C(daemon.json). An empty mapping retracts everything that was set before.
    type: dict
    required: true
  path:
    description: The configuration file of the daemon.
    type: path
    default: /etc/docker/daemon.json
  state_path:
    description: Where this module remembers what it set, and what was there before.
    type: path
    default: /etc/docker/.covstack-daemon-options.json
  pid_path:
    description: The file in which the running daemon keeps its process number.
    type: path
    default: /var/run/docker.pid
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
    details:
      - Also on a host without Docker, where the options cannot be validated yet.
  diff_mode:
    support: full
    details:
      - Passwords in URLs (of proxies) are hidden.
  platform:
    platforms: posix
notes:
  - The module is idempotent. It does not restart the daemon; see RV(restart_needed).
"""

EXAMPLES = r"""
- name: Keep containers running while the daemon restarts
  covstack.selfhosted.docker_daemon_options:
    options:
      live-restore: true
      log-opts:
        max-size: 20m
  register: daemon

- name: Restart the daemon when it runs with other options
  ansible.builtin.service:
    name: docker
    state: restarted
  when: daemon.restart_needed

- name: Retract the options
  covstack.selfhosted.docker_daemon_options:
    options: {}
"""

RETURN = r"""
restart_needed:
  description:
    - Whether the daemon still runs with the options from before the last change. Stays V(true) until the daemon was restarted, also
      when the run that changed the options was interrupted.
  returned: success
  type: bool
  sample: false
set_options:
  description: Options that this call set, as paths.
  returned: success
  type: list
  elements: str
  sample: [log-opts.max-size]
retracted_options:
  description: Options that this call put back, as paths.
  returned: success
  type: list
  elements: str
  sample: [live-restore]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.covstack.selfhosted.plugins.module_utils._daemon_options import (
    CONFIG_PATH,
    PID_PATH,
    STATE_PATH,
    DaemonOptions,
    DaemonOptionsError,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "options": {"type": "dict", "required": True},
            "path": {"type": "path", "default": CONFIG_PATH},
            "state_path": {"type": "path", "default": STATE_PATH},
            "pid_path": {"type": "path", "default": PID_PATH},
        },
        supports_check_mode=True,
    )
    try:
        result = DaemonOptions(module).run()
    except DaemonOptionsError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'The host'}: {error.strerror}.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
