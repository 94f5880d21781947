#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers

from __future__ import annotations

DOCUMENTATION = r"""
module: codecov_lock
version_added: 0.1.0
author: The covstack.selfhosted maintainers (@covstack)
short_description: Let one run at a time change a deployment
description:
  - Takes, gives back or shows a lock that says who holds it, for what and since when.
  - A lock belongs to a run of C(ansible-playbook); the same run takes it as often as it likes.
  - The lock of a run that was started on the same controller and is not running any more is taken over, and the result says so. Of a run on another
    controller nothing can be known; its lock is refused with an explanation, until O(break_lock) is V(true).
options:
  path:
    description: The file of the lock. Its directory is created when it is missing.
    type: path
    required: true
  state:
    description: V(present) takes the lock, V(absent) gives it back if this run holds it, V(status) shows it.
    type: str
    choices: [present, absent, status]
    default: present
  what:
    description: What the run is about to do, for others to read.
    type: str
    default: a change
  break_lock:
    description: Take the lock whoever holds it.
    type: bool
    default: false
  holder:
    description: Who holds it; the action fills it in.
    type: dict
  replaces:
    description: The run whose lock may be replaced; the action fills it in.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Refuses a lock that is held, and takes none.
  diff_mode:
    support: none
    description: A lock is no state of the deployment.
  idempotent:
    support: full
    description: A run that holds the lock changes nothing by taking it again.
"""

EXAMPLES = r"""
- name: Take the lock
  covstack.selfhosted.codecov_lock:
    path: /opt/codecov/deploy.lock
    what: upgrade to 26.7.6
"""

RETURN = r"""
holder:
  description: Who holds the lock after this, empty for nobody.
  returned: success
  type: dict
  sample: {"who": "alice@controller", "what": "upgrade", "since": "2026-11-21T08:00:00Z", "run": "controller/4711/98765"}
taken_over:
  description: Who held it before, and was not running any more.
  returned: when a lock was taken over
  type: dict
  sample: {"who": "alice@controller", "what": "upgrade", "since": "2026-11-21T08:00:00Z", "run": "controller/4711/98765"}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.covstack.selfhosted.plugins.module_utils._lock import answer


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "absent", "status"], "default": "present"},
            "what": {"type": "str", "default": "a change"},
            "break_lock": {"type": "bool", "default": False},
            "holder": {"type": "dict"},
            "replaces": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    held = answer({**module.params, "holder": module.params["holder"] or {}, "check_mode": module.check_mode})
    # A lock is no state of the deployment: taking it is no change of it.
    module.exit_json(changed=False, holder=held)


if __name__ == "__main__":
    main()
