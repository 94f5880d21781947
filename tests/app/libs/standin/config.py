"""The installation's configuration: defaults, then the file, then the environment, as the application merges them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import yaml

DEFAULT_PATH = "/config/codecov.yml"
JSON_PREFIX = "JSONCONFIG___"

DEFAULTS: dict[str, Any] = {
    "services": {
        "minio": {
            "host": "minio",
            "access_key_id": "codecov-default-key",
            "secret_access_key": "codecov-default-secret",
            "verify_ssl": False,
            "iam_auth": False,
            "iam_endpoint": None,
            "hash_key": "ab164bf3f7d947f2a0681b215404873e",
        },
        "database_url": "postgresql://postgres:@postgres:5432/postgres",
    },
    "site": {"codecov": {"require_ci_to_pass": True, "notify": {"wait_for_ci": True}}},
    "setup": {"timeseries": {"enabled": False}},
}


def merge(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge deeply; lists, scalars and null of the right side replace the left side."""
    result = dict(deepcopy(left))
    for key, value in right.items():
        current = result.get(key)
        both_mappings = isinstance(value, Mapping) and isinstance(current, Mapping)
        result[key] = merge(current, value) if both_mappings else value  # type: ignore[arg-type]
    return result


def cast(value: Any) -> Any:
    """The type that the text of an environment variable becomes ("yes" and "no" stay text)."""
    if not isinstance(value, str):
        return value
    if value in ("true", "True", "TRUE", "on", "On", "ON"):
        return True
    if value in ("false", "False", "FALSE", "off", "Off", "OFF"):
        return False
    if re.fullmatch(r"-?\d+", value):
        return int(value)
    if re.fullmatch(r"-?\d+\.\d+", value):
        return float(value)
    return value


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """`A__B=value` is the key a.b; `JSONCONFIG___A__B` takes JSON."""
    result: dict[str, Any] = {}
    for name, text in environment.items():
        if name.startswith("__") or "__" not in name:
            continue
        is_json = name.startswith(JSON_PREFIX)
        path = (name[len(JSON_PREFIX) :] if is_json else name).lower().split("__")
        current = result
        for part in path[:-1]:
            current = current.setdefault(part, {})
        current[path[-1]] = cast(json.loads(text) if is_json else text)
    return result


def from_file(path: str) -> Any:
    """A missing file is an empty configuration; an empty file is null, on which the merge fails as in the application."""
    try:
        with open(path, encoding="utf-8") as stream:
            return yaml.safe_load(stream.read())
    except FileNotFoundError:
        return {}


def load(environment: Mapping[str, str]) -> dict[str, Any]:
    path = environment.get("CODECOV_YML", DEFAULT_PATH)
    return merge(merge(DEFAULTS, from_file(path)), from_environment(environment))


# Read once, at import: a changed file needs a new process, as with the application.
_CONFIG = load(os.environ)


def get_config(*path: str, default: Any = None) -> Any:
    current: Any = _CONFIG
    for part in path:
        try:
            current = current[part]
        except (KeyError, TypeError):
            return default
    return current


def test_switch(name: str, default: float | str) -> Any:
    """A switch that only tests use: STANDIN_<NAME> in the environment, or `standin: {<name>: ...}` in the file."""
    value = os.environ.get(f"STANDIN_{name.upper()}")
    if value is None:
        value = get_config("standin", name, default=default)
    return type(default)(value)


def codecov_url() -> str:
    return get_config("setup", "codecov_url", default="http://localhost")


def dashboard_url() -> str:
    return get_config("setup", "codecov_dashboard_url", default=codecov_url())


def is_enterprise_line() -> bool:
    """The older line (web and worker) rather than today's four images."""
    return os.environ.get("STANDIN_LINE") == "codecov_enterprise"


def schema_version() -> str:
    return os.environ.get("RELEASE_VERSION", "26.7.6")
