#!/usr/bin/python
# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: codecov_repair
short_description: Have uploads that Codecov lost processed again
version_added: 0.1.0
author:
  - The covstack.selfhosted maintainers (@covstack)
description:
  - Codecov forgets an upload whose worker was killed, or whose git provider could not be reached when it was to be processed. The upload then stays
    in the state C(started) for good.
  - Finds such uploads, and pending lists that no task empties, and gives them to the workers again as the API does. It runs inside a container of
    the application, with the
    application's own configuration.
  - An upload that still waits, is processed or will be retried is left alone, so repeated runs double nothing.
  - An upload whose report never reached the object storage cannot be repaired. It is reported as such; see O(give_up).
options:
  deployment:
    description: Value of the label C(covstack.deployment) of the containers that belong to the deployment.
    type: str
    default: codecov
  slot:
    description: The slot whose container to work in. By default any healthy container that has the probe; all of them share database, Redis and storage.
    type: str
    choices: [blue, green]
  older_than:
    description:
      - Age in seconds from which an upload counts as lost.
      - The default exceeds the time that a task may take. A task that a killed worker took with it is given back after the same age, if no worker
        that answers knows it. Use a
        smaller value only when no worker is shutting down, since such a worker does not answer but may still be at work.
    type: int
    default: 900
  wait:
    description: Seconds to wait until the uploads that were sent again are processed. V(0) does not wait.
    type: int
    default: 0
  give_up:
    description:
      - Also send uploads that cannot be repaired. The application then finds the report missing and marks the upload as failed, so that it is no
        longer reported as stuck.
    type: bool
    default: false
  limit:
    description: How many uploads to send again at most in one run, the oldest first.
    type: int
    default: 500
  queue:
    description: Celery queue of the upload tasks. By default what codecov.yml says.
    type: str
  python:
    description: Python in the application's containers.
    type: str
    default: python
  docker_cli:
    description: The Docker client on the host. By default the one in the search path.
    type: path
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - covstack.selfhosted.pods
attributes:
  check_mode:
    support: full
    details:
      - Says which uploads would be sent again, and why not the others.
  diff_mode:
    support: none
  platform:
    platforms: posix
requirements:
  - The Docker client on the host.
notes:
  - The module is idempotent. A second run finds the uploads of the first one queued, in process or processed.
seealso:
  - module: covstack.selfhosted.codecov_health
"""

EXAMPLES = r"""
- name: Which uploads would be processed again?
  covstack.selfhosted.codecov_repair:
  check_mode: true
  register: lost

- name: Process lost uploads again and wait for the result
  covstack.selfhosted.codecov_repair:
    wait: 120
"""

RETURN = r"""
uploads:
  description:
    - Every upload that is older than O(older_than) and not processed, and every pending list without a task (C(upload_id) is V(null)).
    - "C(action) is V(resent) (given to the workers again), V(restored) (a task taken along by a killed worker was put back), V(pending) (left alone,
      a task for it exists),
      V(unrecoverable) (its report is not in the object storage) or V(deferred) (beyond O(limit)). In check mode it is what would be done."
    - C(state) is the state after waiting.
  returned: success
  type: list
  elements: dict
  sample:
    - {"upload_id": 12, "repository": "github/acme/demo", "commit": "3f786850e387550fdab836ed7e6dc881de23001b", "age_s": 4120, "action": "resent",
       "reason": "no task in queue, broker or worker knows it", "state": "merged"}
counts:
  description: How many uploads there are of each action.
  returned: success
  type: dict
  sample: {"resent": 1, "restored": 0, "pending": 0, "unrecoverable": 0, "deferred": 0}
still_started:
  description: How many uploads that were sent again were not processed when the wait was over. V(null) without O(wait).
  returned: success
  type: int
  sample: 0
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.covstack.selfhosted.plugins.module_utils._cluster_client import ACCESS
from ansible_collections.covstack.selfhosted.plugins.module_utils._repair import main_of


def argument_spec() -> dict[str, object]:
    return {
        "deployment": {"type": "str", "default": "codecov"},
        "slot": {"type": "str", "choices": ["blue", "green"]},
        "older_than": {"type": "int", "default": 900},
        "wait": {"type": "int", "default": 0},
        "give_up": {"type": "bool", "default": False},
        "limit": {"type": "int", "default": 500},
        "queue": {"type": "str"},
        "python": {"type": "str", "default": "python"},
        "docker_cli": {"type": "path"},
        "kubernetes": {"type": "dict", "options": ACCESS},
    }


def main() -> None:
    main_of(AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True))


if __name__ == "__main__":
    main()
