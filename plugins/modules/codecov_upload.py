#!/usr/bin/python
# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: codecov_upload
short_description: Prove the request flow of Codecov by a real upload
version_added: 0.1.0
author:
  - The covstack.selfhosted maintainers (@covstack)
description:
  - "Uploads a coverage report as C(codecov-cli) does and follows it: C(create) (the API takes the commit, report and upload and signs a URL), C(put)
    (the report reaches the
    object storage by that URL), C(queued) (the commit is visible), C(processed) (a worker has merged the report), C(result) (the coverage is the
    expected one)."
  - Each step is timed. When one fails, the module fails and names the step, the likely cause and what to do.
  - With O(token), it talks HTTP to the public URL and needs nothing else, so it can run from wherever clients are. The requests have the shape of those of
    C(codecov-cli), so either can be
    used in place of the other.
options:
  url:
    description: Public URL of the deployment.
    type: str
    required: true
  connect_to:
    description:
      - V(host:port) to connect to instead of the address and port of O(url), for a host that does not resolve its own public name.
        A presigned URL of the same host and port is treated alike; any other must be reachable as it is.
    type: str
  ca_path:
    description: CA bundle (PEM) to verify certificates with, instead of the host's own.
    type: path
  service:
    description: Git provider of the repository.
    type: str
    default: github
    choices: [github, github_enterprise, gitlab, gitlab_enterprise, bitbucket, bitbucket_server]
  slug:
    description: The repository as V(owner/name); for GitLab also V(group/subgroup/name).
    type: str
    required: true
  token:
    description:
      - Upload token. Use a private repository; the API takes any token for a public one, which then proves nothing.
      - Without a token, the module makes the private repository O(slug) itself, unless it is there, in a container of the application on this host, and
        uses its token. Nobody else gets to see it.
    type: str
  commit:
    description: Commit to upload for. By default a random one, so that each run proves itself.
    type: str
  branch:
    description: Branch of the commit.
    type: str
    default: main
  report:
    description: Report to upload. By default an lcov report of this moment with 3 of 4 lines covered, that is 75 %.
    type: str
  report_name:
    description: File name of O(report), from which Codecov guesses its format.
    type: str
    default: lcov.info
  network:
    description: Files of the repository, against which Codecov matches the paths in the report.
    type: list
    elements: str
    default: [covstack_probe.py]
  expected_coverage:
    description: Coverage in percent that the commit must have in the end, when the API shows it. With the default report V(75) is expected.
    type: float
  flow:
    description: V(combined) creates all in one request, V(steps) in three, as older uploaders do.
    type: str
    choices: [combined, steps]
    default: combined
  timeout:
    description: Seconds in which the upload must be processed, all steps together.
    type: int
    default: 120
  deployment:
    description: Value of the label C(covstack.deployment) of the containers that belong to the deployment. Only used without O(token).
    type: str
    default: codecov
  slot:
    description: The slot whose container makes the repository. By default any healthy web container of the deployment. Only used without O(token).
    type: str
    choices: [blue, green]
  python:
    description: Python in the application's containers. Only used without O(token).
    type: str
    default: python
  docker_cli:
    description: The Docker client on the host. By default the one in the search path. Only used without O(token).
    type: path
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - covstack.selfhosted.pods
attributes:
  check_mode:
    support: none
    details:
      - Is skipped. An upload that is not made proves nothing.
  diff_mode:
    support: none
  platform:
    platforms: posix
notes:
  - Not idempotent. Each run adds a commit with an upload, which is what it is for.
  - The totals of a private repository cannot be read with an upload token. Without O(token) the coverage is read from the branch's badge; with it, the
    state V(complete) is the proof, and RV(coverage) is V(null).
seealso:
  - module: covstack.selfhosted.codecov_health
"""

EXAMPLES = r"""
- name: Prove that an upload is processed, on the host of the deployment
  covstack.selfhosted.codecov_upload:
    url: https://codecov.example.com
    connect_to: 127.0.0.1:443
    slug: covstack/probe

- name: Prove it from where clients are
  covstack.selfhosted.codecov_upload:
    url: https://codecov.example.com
    slug: acme/probe
    token: "{{ probe_upload_token }}"
  register: proof

- name: Show how long each step took
  ansible.builtin.debug:
    msg: "{{ proof.steps | items2dict(key_name='name', value_name='seconds') }}"
"""

RETURN = r"""
steps:
  description: The steps that were made, in order. C(state) is V(ok), V(failed) or V(skipped).
  returned: when not in check mode
  type: list
  elements: dict
  sample:
    - {"name": "create", "state": "ok", "seconds": 0.12, "detail": "201", "proves": "the API takes uploads with this token", "cause": "", "remedy": ""}
failed_step:
  description: Name of the step that failed; V(null) when none did.
  returned: when not in check mode
  type: str
  sample: put
commit:
  description: The commit that was uploaded for.
  returned: when not in check mode
  type: str
  sample: 3f786850e387550fdab836ed7e6dc881de23001b
commit_url:
  description: Page of the commit.
  returned: when the upload was created
  type: str
  sample: https://codecov.example.com/github/acme/probe/commit/3f786850e387550fdab836ed7e6dc881de23001b
state:
  description: State of the commit that was seen last.
  returned: when not in check mode
  type: str
  sample: complete
coverage:
  description: Coverage of the commit in percent; V(null) when the API does not show it.
  returned: when not in check mode
  type: float
  sample: 75.0
storage_host:
  description: Host and port that the presigned URL points at.
  returned: when the upload was created
  type: str
  sample: codecov.example.com
seconds:
  description: All steps together.
  returned: when not in check mode
  type: float
  sample: 5.3
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.covstack.selfhosted.plugins.module_utils._cluster_client import ACCESS
from ansible_collections.covstack.selfhosted.plugins.module_utils._upload import main_of

SERVICES = ["github", "github_enterprise", "gitlab", "gitlab_enterprise", "bitbucket", "bitbucket_server"]


def argument_spec() -> dict[str, object]:
    return {
        "url": {"type": "str", "required": True},
        "connect_to": {"type": "str"},
        "ca_path": {"type": "path"},
        "service": {"type": "str", "default": "github", "choices": SERVICES},
        "slug": {"type": "str", "required": True},
        "token": {"type": "str", "no_log": True},
        "commit": {"type": "str"},
        "branch": {"type": "str", "default": "main"},
        "report": {"type": "str"},
        "report_name": {"type": "str", "default": "lcov.info"},
        "network": {"type": "list", "elements": "str", "default": ["covstack_probe.py"]},
        "expected_coverage": {"type": "float"},
        "flow": {"type": "str", "choices": ["combined", "steps"], "default": "combined"},
        "timeout": {"type": "int", "default": 120},
        "deployment": {"type": "str", "default": "codecov"},
        "slot": {"type": "str", "choices": ["blue", "green"]},
        "python": {"type": "str", "default": "python"},
        "docker_cli": {"type": "path"},
        "kubernetes": {"type": "dict", "options": ACCESS},
    }


def main() -> None:
    main_of(AnsibleModule(argument_spec=argument_spec(), supports_check_mode=False))


if __name__ == "__main__":
    main()
