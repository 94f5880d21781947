# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that are right, for the tests of settings, rules and renderers."""

from __future__ import annotations

import copy
import functools
import json
from typing import Any

from ansible_collections.covstack.selfhosted.plugins.module_utils import _settings
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import Deployment, deployment_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._placement import Host, Placement
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem

SECRET = "correct-horse-battery"

EMBEDDED: dict[str, Any] = {
    "codecov_url": "https://codecov.example.com",
    "codecov_tls": {"mode": "certificate", "certificate": "codecov.crt", "key": "codecov.key"},
    "codecov_providers": {"github": {"client_id": "0123456789abcdef"}},
    "codecov_secrets": {"enterprise_license": SECRET, "github_client_secret": SECRET},
}
EXTERNAL: dict[str, Any] = {
    **EMBEDDED,
    "codecov_secrets": {
        **EMBEDDED["codecov_secrets"],
        "postgres_password": SECRET,
        "storage_access_key": SECRET,
        "storage_secret_key": SECRET,
    },
    "codecov_postgres": {"mode": "external", "host": "db.example.com", "sslmode": "require"},
    "codecov_redis": {"mode": "external", "host": "redis.example.com"},
    "codecov_storage": {"mode": "external", "provider": "s3", "bucket": "example-codecov", "region": "eu-central-1"},
}


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`; mappings merge."""
    result = copy.deepcopy(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else copy.deepcopy(value)
    return result


def deployment(over: dict[str, Any] | None = None, base: dict[str, Any] | None = None) -> Deployment:
    """A deployment of settings that must be right as far as their types go. The same object for the same settings."""
    return _deployment(json.dumps(merged(EMBEDDED if base is None else base, over or {}), sort_keys=True))


def cluster(over: dict[str, Any] | None = None, base: dict[str, Any] | None = None) -> Deployment:
    """The same on a Kubernetes cluster, which has no edge of ours and so no TLS of its own."""
    settings = {**(EMBEDDED if base is None else base), "codecov_tls": {}}
    return _deployment(json.dumps(merged(settings, over or {}), sort_keys=True), is_cluster=True)


@functools.cache
def _deployment(settings: str, is_cluster: bool = False) -> Deployment:
    problems: list[Problem] = []
    checked = _settings.check(json.loads(settings), _spec(), problems)
    assert problems == []
    return deployment_of(checked, Placement((Host("cluster"),), is_cluster=True) if is_cluster else None)


@functools.cache
def _spec() -> dict[str, Any]:
    return _settings.load_spec()
