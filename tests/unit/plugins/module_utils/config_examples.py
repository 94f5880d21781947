# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A configuration without any problem, and licences, for the tests of codecov_config."""

from __future__ import annotations

import base64
import copy
import json
import os
from datetime import datetime, timedelta, timezone
from typing import Any

import hypothesis
from ansible_collections.covstack.selfhosted.plugins.module_utils._license import BLOCK, EXPIRES_FORMAT, PUBLIC_KEY
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

# Many work on one test machine: how long an example takes says nothing.
unhurried = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])

_GOOD: dict[str, Any] = {
    "setup": {
        "codecov_url": "https://codecov.example.com",
        "trusted_origin": "https://codecov.example.com",
        "encryption_secret": "${secret:encryption_secret}",
        "encryption": {"yaml_secret": "${secret:yaml_secret}"},
        "http": {"cookie_secret": "${secret:cookie_secret}"},
        "telemetry": {"enabled": False},
    },
    "django": {"secret_key": "${secret:django_secret_key}"},
    "github": {"webhook_secret": "${secret:github_webhook_secret}"},
    "services": {
        "database_url": "postgresql://codecov:${secret:postgres_password}@db.example.com:5432/codecov",
        "redis_url": "redis://:${secret:redis_password}@cache.example.com:6379",
        "minio": {
            "host": "s3.example.com",
            "port": 443,
            "verify_ssl": True,
            "bucket": "archive",
            "region": "us-east-1",
            "ttl": 300,
            "auto_create_bucket": False,
            "access_key_id": "${secret:storage_access_key}",
            "secret_access_key": "${secret:storage_secret_key}",
            "hash_key": "${secret:storage_hash_key}",
        },
    },
    "bundle_analysis": {"bucket_name": "archive"},
}

GENERATED = ("encryption_secret", "yaml_secret", "cookie_secret", "django_secret_key", "github_webhook_secret", "postgres_password",
             "redis_password", "storage_access_key", "storage_secret_key", "storage_hash_key")


def good_config() -> dict[str, Any]:
    return copy.deepcopy(_GOOD)


def without(config: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The configuration without these keys, given as setup.codecov_url."""
    for key in keys:
        section = config
        *path, name = key.split(".")
        for step in path:
            section = section[step]
        del section[name]
    return config


def make_license(days: int = 365, **content: Any) -> str:
    """A licence as Codecov issues them, valid for so many days."""
    expires = datetime.now(timezone.utc) + timedelta(days=days, hours=1)
    payload = {"company": "Example", "expires": expires.strftime(EXPIRES_FORMAT), "url": None, "trial": False, "users": 50, "repos": None,
               "pr_billing": False, **content}
    return encrypt(json.dumps(payload).encode("utf-8"))


def encrypt(plain: bytes) -> str:
    padding = BLOCK - len(plain) % BLOCK
    vector = os.urandom(BLOCK)
    encryptor = Cipher(algorithms.AES(PUBLIC_KEY), modes.CBC(vector)).encryptor()
    data = encryptor.update(plain + bytes([padding]) * padding) + encryptor.finalize()
    return base64.b64encode(vector + data).decode("ascii")
