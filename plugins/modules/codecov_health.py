#!/usr/bin/python
# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: codecov_health
short_description: Probe a deployment of Codecov from the outside and from inside its containers
version_added: 0.1.0
author:
  - The covstack.selfhosted maintainers (@covstack)
description:
  - Probes containers, edge, web pages, workers, PostgreSQL, Redis, object storage, git providers, queues, lost uploads, clocks and licence, side by side.
  - Each probe says what it proves, how long it took and, when it fails, the likely cause and what to do. An answer that proves nothing (a frontend's V(200)
    for any path) does not count, because status, headers and body are compared.
  - The probe V(redis_restart) warns when the embedded Redis was restarted after a container that uses it was started. A process that had sent a task
    before hangs in its next one, and no health check sees that. It is left out with an external Redis, of which no container tells.
  - With O(wait) the probes that are not well are repeated until they are, or the time is over. The module fails when a probe in O(required) is not.
options:
  url:
    description: Public URL of the deployment, as clients use it.
    type: str
    required: true
  connect_to:
    description:
      - V(host:port) to connect to instead of the address and port of O(url), for a host that does not resolve its own public name. Name and
        certificate of O(url)
        still count.
    type: str
  ca_path:
    description: CA bundle (PEM) to verify certificates with, instead of the host's own.
    type: path
  deployment:
    description: Value of the label C(covstack.deployment) of the containers that belong to the deployment.
    type: str
    default: codecov
  slot:
    description: The slot that should serve the public. By default the one that the edge names.
    type: str
    choices: [blue, green]
  services:
    description:
      - The application's services by name. Each value is a mapping.
      - "C(replicas) (integer) is the number of containers that there should be."
      - "C(tier) (string) is V(web) or V(worker); only used to choose the container to ask from."
      - "C(entry) (boolean) marks the service that the edge sends the public to."
      - Without services, containers are not counted; those that are there must still be healthy.
    type: dict
    default: {}
  platform:
    description: Platform services that this deployment runs itself, such as V(edge) and V(redis). One healthy container of each is expected.
    type: list
    elements: str
    default: []
  probes:
    description: Requests through the edge, and the answers that prove something.
    type: list
    elements: dict
    default: []
    aliases: [http]
    suboptions:
      name:
        description: Name of the probe in the result.
        type: str
        required: true
      path:
        description: Path below O(url).
        type: str
        required: true
      status:
        description: Status that the answer has. Redirects are not followed.
        type: int
        default: 200
      body_regex:
        description: Regular expression (Python) that the body contains.
        type: str
      header:
        description: Headers that the answer has, with exactly these values.
        type: dict
        default: {}
      absent_header:
        description: Header that the answer must not have.
        type: str
      proves:
        description: What the probe proves, in words.
        type: str
        default: ""
  checks:
    description:
      - What to check from inside the containers, and V(presigned_url), a PUT by this host to a URL that the application signed.
      - V(scm) and V(queue) are asked in a worker, V(redis_restart) in both, the others in a web container.
      - V(redis_restart) asks a Redis on another host how long it has run; a failover to a replica that ran before is not seen by it.
    type: list
    elements: str
    choices: [postgres, redis, storage, timescale, scm, queue, stuck_uploads, clock, license, inside_url, presigned_url, redis_restart]
    default: [postgres, redis, storage, timescale, scm, queue, stuck_uploads, clock, license, inside_url, presigned_url, redis_restart]
  limits:
    description: From where on a probe warns or fails.
    type: dict
    default: {}
    suboptions:
      target_ms:
        description: Response time above which a web probe is a warning.
        type: int
        default: 1000
      maximum_ms:
        description: Response time above which a web probe fails.
        type: int
        default: 3000
      queue_age_s:
        description: Age of the oldest queued task, in seconds, above which there is a warning.
        type: int
        default: 600
      stuck_upload_s:
        description: Age of an upload in state C(started), in seconds, above which it counts as lost.
        type: int
        default: 900
      license_days:
        description: Days before the licence expires from which there is a warning.
        type: int
        default: 30
      clock_skew_s:
        description: Difference of clocks, in seconds, above which the probe fails.
        type: int
        default: 5
      deadline_s:
        description: Not used here, see O(wait). Accepted so that the setting C(codecov_health) fits as it is.
        type: int
  queues:
    description: Names of Celery queues to look at beside those in codecov.yml.
    type: list
    elements: str
    default: []
  minimum_versions:
    description: Oldest versions that the application works with.
    type: dict
    default: {}
    suboptions:
      postgres:
        description: Oldest PostgreSQL.
        type: str
        default: "14"
      redis:
        description: Oldest Redis.
        type: str
        default: "6.2"
  wait:
    description: Seconds in which the required probes may become well. V(0) looks once.
    type: int
    default: 0
  required:
    description:
      - Names of the probes that must not fail. By default all of them; an empty list makes the module report only.
      - A container probe is named C(container_) and the service, all others as in O(probes) and O(checks). A warning is not a failure.
    type: list
    elements: str
  timeout:
    description: Seconds that one request, or one check inside a container, may take.
    type: int
    default: 10
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
      - The same in both modes. RV(ignore:changed) is always V(false).
  diff_mode:
    support: none
  platform:
    platforms: posix
requirements:
  - The Docker client on the host, except for O(probes) alone.
notes:
  - The check V(storage) and the check V(presigned_url) write, read and delete one small object below C(covstack-probe/); V(redis) does so with one key.
  - At most one command runs in each container at a time.
seealso:
  - module: covstack.selfhosted.codecov_upload
  - module: covstack.selfhosted.codecov_repair
"""

EXAMPLES = r"""
- name: Wait until the deployment is healthy
  covstack.selfhosted.codecov_health:
    url: https://codecov.example.com
    connect_to: 127.0.0.1:443
    services:
      gateway: {replicas: 1, tier: web}
      api: {replicas: 2, tier: web}
      worker: {replicas: 2, tier: worker}
    probes:
      - {name: api, path: /api_health/, body_regex: 'is live!$', header: {X-API: 'true'}, proves: the whole way to the database works}
    wait: 300
    required: [container_api, container_worker, api, postgres, redis, storage]

- name: Look once and report, whatever is found
  covstack.selfhosted.codecov_health:
    url: https://codecov.example.com
    required: []
  register: health
"""

RETURN = r"""
healthy:
  description: Whether no probe failed. Warnings do not count.
  returned: always
  type: bool
  sample: true
probes:
  description: Every result. C(state) is V(ok), V(warning), V(failed) or V(skipped); C(remedy) says what to do.
  returned: always
  type: list
  elements: dict
  sample:
    - {"name": "api", "state": "ok", "latency_ms": 12, "proves": "edge, gateway, api and database work end to end", "detail": "200", "cause": "",
      "remedy": ""}
failed_probes:
  description: Names of the probes that failed.
  returned: always
  type: list
  elements: str
  sample: []
warned_probes:
  description: Names of the probes that warned.
  returned: always
  type: list
  elements: str
  sample: ["queue"]
summary:
  description: The results as a table in text, the worst first.
  returned: always
  type: str
  sample: "14 ok, 1 warning, 0 failed, 2 skipped"
slot:
  description: The slot that the edge sends the public to; V(null) when that is not known.
  returned: always
  type: str
  sample: blue
waited_s:
  description: Seconds until the last round of probes ended.
  returned: always
  type: float
  sample: 4.2
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.covstack.selfhosted.plugins.module_utils._health import OPTIONS, answer


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    result = answer(module.params)
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
