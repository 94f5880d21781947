# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""A digest of everything on the controller that a run depends on, besides the plan: settings with their secrets, files, this collection's own code.

Never to be shown: whoever knows all of it but a short secret could find that out by trying.
"""

from __future__ import annotations

import hashlib
import json
import os
import typing as t

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
CODE = ("plugins/action", "plugins/filter", "plugins/module_utils", "plugins/modules", "roles")
CODE_KINDS = (".py", ".yml")
# The role docker_engine is configured by variables of its own.
ENGINE_PREFIX = "docker_engine_"


def _code_files(collection: str) -> t.Iterator[str]:
    for part in CODE:
        for directory, _directories, names in os.walk(os.path.join(collection, part)):
            yield from (os.path.join(directory, name) for name in names if name.endswith(CODE_KINDS))


def code_digest(collection: str = COLLECTION) -> str:
    """Another version of the collection may do other things with the same plan."""
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


def engine_variables(variables: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    return {name: value for name, value in variables.items() if name.startswith(ENGINE_PREFIX)}


def inputs_digest(settings: t.Mapping[str, t.Any], engine: t.Mapping[str, t.Any], absolute: t.Callable[[str], str]) -> str:
    """Checked settings, variables of the role docker_engine, and how relative paths on the controller are meant."""
    files = [path for path in (settings["codecov_config_file"], *settings["codecov_tls"]["extra_ca_files"]) if path]
    content = {
        "settings": settings,
        "engine": engine,
        "files": [_file_digest(absolute(path)) for path in files],
        "archives": [_archive(absolute(path)) for path in settings["codecov_images"]["archives"]],
        "code": code_digest(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
