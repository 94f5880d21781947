# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Facts of a load balancer host: its addresses and ports, its files, and what HAProxy and keepalived run with. Standard library only.

Private to this collection.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from typing import Any, Mapping

from ansible_collections.covstack.selfhosted.plugins.module_utils._haproxy import Haproxy, HaproxyError, holds_address, interfaces
from ansible_collections.covstack.selfhosted.plugins.module_utils._host_facts import listening_sockets, operating_system, parse_version, read
from ansible_collections.covstack.selfhosted.plugins.module_utils._load_balancer_paths import APPLIED, CERTIFICATE, ETC, PASSWORD_FILE

OPTIONS: dict[str, Any] = {}
FILES = (CERTIFICATE, f"{CERTIFICATE}.key", PASSWORD_FILE)
PROGRAMS = {"haproxy": "/usr/sbin/haproxy", "keepalived": "/usr/sbin/keepalived"}


def unreadable(path: str) -> str | None:
    """Why a file that is there cannot be read."""
    try:
        with open(path, "rb"):
            return None
    except FileNotFoundError:
        return None
    except OSError as error:
        return error.strerror or str(error)


def bytes_of(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None


def digest(*paths: str) -> str | None:
    contents = [bytes_of(path) for path in paths]
    return None if any(content is None for content in contents) else hashlib.sha256(b"".join(content or b"" for content in contents)).hexdigest()


def is_enabled(unit: str) -> bool:
    return os.path.lexists(f"/etc/systemd/system/multi-user.target.wants/{unit}.service")


def haproxy_facts() -> dict[str, Any]:
    try:
        info = Haproxy().info()
    except HaproxyError:
        info = {}
    return {
        "answers": bool(info),
        "version": parse_version(info.get("version", "")),
        "description": info.get("description", ""),
        "enabled": is_enabled("haproxy"),
    }


def keepalived_facts() -> dict[str, Any]:
    process = read("/run/keepalived.pid").strip() or read("/run/keepalived/keepalived.pid").strip()
    files = digest(f"{ETC}/keepalived.conf", PASSWORD_FILE)
    return {
        "running": read(f"/proc/{process or 0}/comm").strip() == "keepalived",
        "enabled": is_enabled("keepalived"),
        "applied": files is not None and files == (read(APPLIED).split() or [""])[0],
    }


def answer(_options: Mapping[str, Any]) -> dict[str, Any]:
    """Result of the module."""
    missing = [name for name, path in PROGRAMS.items() if not os.path.exists(path)]
    try:
        return {
            "os": operating_system(),
            "interfaces": interfaces(),
            "listening": listening_sockets(),
            "digests": {path: digest(path) for path in FILES},
            "unreadable": {path: reason for path in FILES if (reason := unreadable(path))},
            "missing": missing + ([] if importlib.util.find_spec("yaml") else ["yaml"]),
            "haproxy": haproxy_facts(),
            "keepalived": keepalived_facts(),
            "holds_address": holds_address(),
        }
    except HaproxyError as error:
        return {"failed": True, "msg": str(error)}
