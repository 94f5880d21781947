# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""A digest of everything on the controller that a run depends on: settings with their secrets, placement, files, this collection's own code.

Never to be shown: whoever knows all of it but a short secret could find that out by trying.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils._placement import Host, Placement, of_inventory

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
CODE = ("catalogue", "charts", "playbooks", "plugins", "roles")
CODE_KINDS = (".py", ".yml", ".yaml", ".tpl", ".j2", ".json")
# Roles with variables of their own.
ROLE_PREFIXES = ("docker_engine_", "load_balancer_")
# What a role registers or sets as a fact is no input.
FACTS = frozenset({"load_balancer_plan", "load_balancer_status", "load_balancer_sessions_left"})


def _code_files(collection: str) -> t.Iterator[str]:
    for part in CODE:
        for directory, _directories, names in os.walk(os.path.join(collection, part)):
            yield from (os.path.join(directory, name) for name in names if name.endswith(CODE_KINDS))


@functools.lru_cache(maxsize=1)
def code_digest(collection: str = COLLECTION) -> str:
    """Another version of the collection may do other things with the same settings."""
    digest = hashlib.sha256()
    for path in sorted(_code_files(collection)):
        digest.update(f"{os.path.relpath(path, collection)} {_file_digest(path)}\n".encode())
    return digest.hexdigest()


def _file_digest(path: str) -> t.Optional[str]:
    """None of a file that cannot be read: whoever needs it says so."""
    try:
        with open(path, "rb") as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except OSError:
        return None


def _archive(path: str) -> t.Optional[t.Tuple[int, int]]:
    """Archives of images are large: size and time tell them."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def variables_of_roles(variables: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    return {name: value for name, value in variables.items() if name.startswith(ROLE_PREFIXES) and name not in FACTS}


def _named_files(settings: t.Mapping[str, t.Any], roles: t.Mapping[str, t.Any]) -> t.List[str]:
    tls = settings["codecov_tls"]
    named = [settings["codecov_config_file"], *(tls.get(name) for name in ("certificate", "key")), *tls["extra_ca_files"]]
    named += [roles.get(f"load_balancer_{name}") for name in ("certificate", "key")]
    return [str(path) for path in named if path]


def inputs_digest(settings: t.Mapping[str, t.Any], placement: Placement, host: Host, roles: t.Mapping[str, t.Any], absolute: t.Callable[[str], str]) -> str:
    """Checked settings, all hosts and this one, variables of roles, and how relative paths on the controller are meant."""
    content = {
        "settings": settings,
        "placement": dataclasses.asdict(placement),
        "host": host.name,
        "roles": roles,
        "files": [_file_digest(absolute(path)) for path in _named_files(settings, roles)],
        "archives": [_archive(absolute(path)) for path in settings["codecov_images"]["archives"]],
        "code": code_digest(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def cluster_digest(settings: t.Mapping[str, t.Any], variables: t.Mapping[str, t.Any], absolute: t.Callable[[str], str]) -> str:
    """The same for a Kubernetes cluster, out of the variables of a task."""
    placement = of_inventory(variables)
    host = placement.host(variables["inventory_hostname"]) or Host("")
    return inputs_digest(settings, placement, host, {}, absolute)


# Before Ansible forks a process for each host.
code_digest()
