#!/usr/bin/python
# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: codecov_as_left
version_added: 0.2.0
author: The covstack.selfhosted maintainers (@covstack)
short_description: Remember what a complete run wanted and left on the host
description:
  - Writes the file C(as_left.json) with digests of the plan, of all other input of the run (settings, secrets, files, this collection itself), and of the
    files that are there now. M(covstack.selfhosted.codecov_plan) compares them, and a run that finds everything as it was left need not ask for each thing.
  - To be called when everything that the plan wants was done, by a play that made the plan before.
options:
  directory:
    description: Where the deployment lives on the host.
    type: path
    required: true
  plan:
    description: RV(covstack.selfhosted.codecov_plan#module:digest).
    type: str
    required: true
  inputs:
    description: Digest of the other input. The action finds it out.
    type: str
attributes:
  action:
    support: full
  check_mode:
    support: full
    description: Writes nothing.
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
- name: Remember what was left
  covstack.selfhosted.codecov_as_left:
    directory: "{{ codecov_plan.directory }}"
    plan: "{{ codecov_plan.digest }}"
"""

RETURN = r""" # """

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.covstack.selfhosted.plugins.module_utils._as_left import remember
from ansible_collections.covstack.selfhosted.plugins.module_utils._host_facts import compose_plugins, compose_version


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "plan": {"type": "str", "required": True},
            "inputs": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    try:
        if not module.check_mode:
            compose = {"plugins": compose_plugins(), "version": compose_version()}
            remember(module.params["directory"], plan=module.params["plan"], inputs=module.params["inputs"], compose=compose)
    except OSError as error:
        module.fail_json(msg=f"{error.filename or module.params['directory']}: {error.strerror}.")
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
