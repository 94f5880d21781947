# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the files of a deployment are as the last complete run left them, and what that run wanted.

A run that finds so need not ask, file by file, what would be found equal. The mark holds digests: of the plan, which is no secret; of all other input,
which may hold secrets, so its digest is never shown; and of the files that were there in the end. Beside them, the version of Compose, which takes
longer to be asked than all of this.

Private to this collection.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from typing import Any

from ansible_collections.covstack.selfhosted.plugins.module_utils._atomic import replace_file

MARK = "as_left.json"
LOCK = "deploy.lock"
# Written by every change, or only while one goes on.
UNCOUNTED = frozenset({MARK, LOCK, "audit.log"})
# Larger files (archives of images) are told by size and time.
LARGEST_READ = 1 << 20


def _entries(directory: str) -> Iterator[os.DirEntry[str]]:
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path)


def _content(path: str, status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(status.st_mode):
        return ""
    if status.st_size > LARGEST_READ:
        return f"{status.st_size} {status.st_mtime_ns}"
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def files_digest(directory: str) -> str:
    """Names, kinds, modes, owners and contents of everything below a directory."""
    digest = hashlib.sha256()
    for entry in _entries(directory):
        name = os.path.relpath(entry.path, directory)
        if name not in UNCOUNTED:
            status = entry.stat(follow_symlinks=False)
            line = (name, status.st_mode, status.st_uid, status.st_gid, _content(entry.path, status))
            digest.update(f"{line!r}\n".encode())
    return digest.hexdigest()


def read_mark(directory: str) -> dict[str, Any]:
    """What the last complete run wrote; empty without a mark, or with something else in its place."""
    try:
        with open(os.path.join(directory, MARK), encoding="utf-8") as stream:
            mark = json.load(stream)
    except (OSError, ValueError):
        return {}
    return mark if isinstance(mark, dict) else {}


def plan_as_left(directory: str, inputs: str) -> str | None:
    """The digest of the plan that the last complete run followed; None when inputs or files are others now, or a run goes on."""
    mark = read_mark(directory)
    if mark.get("inputs") != inputs or os.path.lexists(os.path.join(directory, LOCK)):
        return None
    return mark.get("plan") if mark.get("files") == files_digest(directory) else None


def remember(directory: str, **mark: Any) -> None:
    content = json.dumps({**mark, "files": files_digest(directory)}, indent=1) + "\n"
    replace_file(os.path.join(directory, MARK), content.encode(), lambda temporary: os.chmod(temporary, 0o600))
