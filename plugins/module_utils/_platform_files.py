# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Files that platform services read, whatever runs them. Secrets are named as C(${secret:NAME})."""

from __future__ import annotations

import json
import typing as t

try:
    import yaml
except ImportError:  # pragma: no cover - ansible-core itself needs PyYAML on the controller
    yaml = None  # type: ignore[assignment]

from ansible_collections.covstack.selfhosted.plugins.module_utils import _edge
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import NAME, Deployment, resolve

REDIS_CONFIGURATION = """\
# A queued upload lives in Redis alone until it is processed: never lose or evict it.
bind * -::*
dir /data
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
requirepass ${secret:embedded_redis_password}
"""


def to_yaml(value: t.Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=160)


def _storage_identities(deployment: Deployment) -> str:
    """SeaweedFS: one identity, limited to the bucket."""
    bucket = deployment.storage()["bucket"]
    keys = {"accessKey": "${secret:embedded_storage_access_key}", "secretKey": "${secret:embedded_storage_secret_key}"}
    actions = [f"{action}:{bucket}" for action in ("Read", "Write", "List", "Tagging")]
    return json.dumps({"identities": [{"name": NAME, "credentials": [keys], "actions": actions}]}, indent=2) + "\n"


def service_files(deployment: Deployment) -> t.Dict[str, str]:
    """Files that a platform service reads once, at its start."""
    return {
        "edge/traefik.yml": to_yaml(_edge.static_configuration(deployment)),
        "redis.conf": REDIS_CONFIGURATION,
        "s3.json": _storage_identities(deployment),
        **resolve(deployment.platform["storage"].files, deployment.storage_values()),
    }
