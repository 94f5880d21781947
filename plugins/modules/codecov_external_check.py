#!/usr/bin/python
# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: codecov_external_check
short_description: Try external services with their credentials, before anything is deployed
version_added: 0.1.0
author:
  - The covstack.selfhosted maintainers (@covstack)
description:
  - Reaches every external service from the host, all of them side by side, and sees whether those that shall speak TLS do.
  - When the host has a container engine and the application's image already, uses them from a throw-away container, with the checks and the
    credentials that a deployment would use. Versions, permissions, the bucket, into which it puts a small object that it deletes again.
  - Configuration and secrets reach that container by its standard input alone. No file is written, nothing is mounted, nothing is pulled, and no
    secret is in an argument or an environment variable.
  - Where there is no engine or no image yet it says so. The playbook C(covstack.selfhosted.deploy) then tries the credentials, before it touches
    anything that runs.
options:
  endpoints:
    description: What to reach from the host.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the service, as in the settings.
        type: str
        choices: [postgres, redis, storage, timescale]
        required: true
      host:
        description: Its host name or address.
        type: str
        required: true
      port:
        description: Its port.
        type: int
        required: true
      tls:
        description: V(direct) is TLS from the first byte, V(postgres) is asked for in PostgreSQL's own protocol.
        type: str
        choices: [none, direct, postgres]
        default: none
  image:
    description: An image of the application that reads codecov.yml. It is never pulled.
    type: str
    required: true
  python:
    description: Python in that image.
    type: str
    default: python
  user:
    description: The user to run as.
    type: str
    default: '1001'
  arguments:
    description: Arguments of the probe's command C(check), names of services to begin with.
    type: list
    elements: str
    required: true
  environment:
    description: Environment of the checks, without secrets.
    type: dict
    default: {}
  config_path:
    description: Where the application reads its configuration, in the container.
    type: path
    default: /config/codecov.yml
  layers:
    description: Layers of codecov.yml from low to high, as M(covstack.selfhosted.codecov_config) takes them.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What to call this layer in errors.
        type: str
        required: true
      content:
        description: The settings, with secrets as C(${secret:NAME}).
        type: raw
  secrets:
    description: Secrets by name. They come before those in O(secrets_path).
    type: dict
    default: {}
  secrets_path:
    description: Secrets that the host has already. It may be missing.
    type: path
  ca_path:
    description: Where the CA bundle lies in the container, when it needs one other than that of its image.
    type: path
  extra_ca:
    description: Authorities to trust besides those of the host in that bundle, PEM text by name.
    type: dict
    default: {}
  timeout:
    description: Seconds after which a service counts as not answering the host.
    type: float
    default: 5.0
  docker_cli:
    description: The Docker client. By default the one in the search path.
    type: path
requirements:
  - PyYAML on the target, when O(secrets_path) exists there
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
"""

EXAMPLES = r"""
- name: Plan
  covstack.selfhosted.codecov_plan:
  register: codecov_plan

- name: Try the external services
  covstack.selfhosted.codecov_external_check:
    endpoints: "{{ codecov_plan.external_check.endpoints }}"
    image: "{{ codecov_plan.external_check.image }}"
    arguments: "{{ codecov_plan.external_check.arguments }}"
    environment: "{{ codecov_plan.external_check.environment }}"
    layers: "{{ codecov_plan.config.layers }}"
    secrets: "{{ codecov_secrets }}"
  when: codecov_plan.external_check is not none
"""

RETURN = r"""
services:
  description: What was found of each service. C(state) is V(ok), V(warning), V(failed), or V(reached) when only the way to it was tried.
  returned: success and failure
  type: dict
  sample: {"postgres": {"state": "ok", "detail": "PostgreSQL 17.6", "latency_ms": 115}}
credentials_tried:
  description: Whether the services were used with their credentials.
  returned: success and failure
  type: bool
  sample: true
summary:
  description: The same in words, one line each.
  returned: success and failure
  type: list
  elements: str
  sample: ["postgres: ok, PostgreSQL 17.6", "storage: ok, https://s3.eu-central-1.amazonaws.com, bucket example-codecov"]
errors:
  description: Why a deployment could not use the services, one line each.
  returned: always
  type: list
  elements: str
  sample: []
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.covstack.selfhosted.plugins.module_utils import _external
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_merge import Layer, LayerError, merge_layers, structure_problem
from ansible_collections.covstack.selfhosted.plugins.module_utils._docker_cli import DockerError
from ansible_collections.covstack.selfhosted.plugins.module_utils._file_set import HAS_YAML, YAML_IMPORT_ERROR, FileSetError, load_secrets
from ansible_collections.covstack.selfhosted.plugins.module_utils._secrets import literal_secrets
from ansible_collections.covstack.selfhosted.plugins.module_utils._tls import system_bundle


def argument_spec() -> dict[str, Any]:
    return {
        "endpoints": {"type": "list", "elements": "dict", "required": True, "options": {
            "name": {"type": "str", "choices": ["postgres", "redis", "storage", "timescale"], "required": True},
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "tls": {"type": "str", "choices": ["none", "direct", "postgres"], "default": "none"},
        }},
        "image": {"type": "str", "required": True},
        "python": {"type": "str", "default": "python"},
        "user": {"type": "str", "default": "1001"},
        "arguments": {"type": "list", "elements": "str", "required": True},
        "environment": {"type": "dict", "default": {}},
        "config_path": {"type": "path", "default": "/config/codecov.yml"},
        "layers": {"type": "list", "elements": "dict", "required": True, "no_log": True, "options": {
            "name": {"type": "str", "required": True},
            "content": {"type": "raw"},
        }},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
        "secrets_path": {"type": "path", "no_log": False},
        "ca_path": {"type": "path"},
        "extra_ca": {"type": "dict", "default": {}},
        "timeout": {"type": "float", "default": 5.0},
        "docker_cli": {"type": "path"},
    }


def stored_secrets(module: AnsibleModule) -> dict[str, str]:
    path = module.params["secrets_path"]
    if not path or not os.path.exists(path):
        return {}
    if not HAS_YAML:
        module.fail_json(msg=missing_required_lib("PyYAML"), exception=YAML_IMPORT_ERROR, errors=[])
    secrets = load_secrets(path)
    module.no_log_values.update(value for value in secrets.values() if value)
    return secrets


def trial_of(module: AnsibleModule) -> _external.Trial:
    params = module.params
    merged = merge_layers([Layer(layer["name"], layer["content"]) for layer in params["layers"]])
    secrets = {**stored_secrets(module), **{name: str(value) for name, value in params["secrets"].items()}}
    files = {params["config_path"]: _external.configuration_of(merged.config, secrets)}
    if params["ca_path"]:
        files[params["ca_path"]] = system_bundle() + "".join(f"{text.rstrip()}\n" for text in params["extra_ca"].values())
    environment = {name: str(value) for name, value in params["environment"].items()}
    environment["CODECOV_YML"] = params["config_path"]
    return _external.Trial(params["image"], params["python"], params["user"], params["arguments"], environment, files)


def forget_public_values(module: AnsibleModule) -> None:
    """Ansible took every value of the layers for a secret, host names too; keep those that are."""
    module.no_log_values.clear()
    module.no_log_values.update(str(value) for value in module.params["secrets"].values() if value not in (None, True, False, ""))
    for layer in module.params["layers"]:
        if structure_problem(layer["content"], layer["name"]) is None:
            module.no_log_values.update(literal_secrets(layer["content"]))


def check(module: AnsibleModule) -> dict[str, Any]:
    endpoints = [_external.Endpoint(**endpoint) for endpoint in module.params["endpoints"]]
    reached = _external.reach_all(endpoints, module.params["timeout"])
    problems = [str(result["problem"]) for result in reached.values() if result["problem"]]
    services = {name: {"state": "failed" if result["problem"] else "reached", "detail": "", "latency_ms": result["latency_ms"]}
                for name, result in reached.items()}
    trial = trial_of(module)
    reason = "a service cannot be reached" if problems else _external.why_not(trial, module.params["docker_cli"])
    if reason is None:
        results = _external.use_all(trial, module.params["docker_cli"])
        found = [problem for problem in map(_external.problem_of, results) if problem]
        problems = [str(problem) for problem in found if problem.is_error]
        for problem in found:
            if not problem.is_error:
                module.warn(str(problem))
        services.update({result["name"]: {key: result.get(key) for key in ("state", "detail", "latency_ms")} for result in results})
    summary = [f"{name}: {service['state']}" + (f", {service['detail']}" if service["detail"] else "") for name, service in services.items()]
    if reason is not None:
        summary.append(f"Credentials were not tried: {reason}. deploy tries them before it touches anything that runs.")
    return {"services": services, "credentials_tried": reason is None, "summary": summary, "errors": problems}


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    forget_public_values(module)
    try:
        result = check(module)
    except LayerError as failure:
        module.fail_json(msg=str(failure.problem), errors=[str(failure.problem)])
    except (DockerError, FileSetError) as failure:
        module.fail_json(msg=f"The external services could not be tried: {failure}", errors=[str(failure)])
    if result["errors"]:
        lines = "\n".join(f"- {line}" for line in result["errors"])
        module.fail_json(msg=f"Refused, nothing was changed: an external service is not ready for this deployment.\n{lines}", **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
