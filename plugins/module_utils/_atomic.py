# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replacing a file so that nobody ever sees half of it, a looser mode, or what a killed run left behind.

Private to this collection.
"""

from __future__ import annotations

import contextlib
import os
from typing import Callable

# A file half written is called this and its final name, so that a later run finds it again; its end keeps programs that watch a directory for
# files of a kind (Traefik for .yml) from reading it.
PREFIX, SUFFIX = ".covstack-new-", ".part"


def replace_file(target: str, data: bytes, prepare: Callable[[str], None]) -> None:
    """Write beside the target, let `prepare` give the new file its mode and owner, then rename it over the target."""
    directory, name = os.path.split(target)
    temporary = os.path.join(directory, PREFIX + name + SUFFIX)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    try:
        # Exclusive and not through a link: the directory may belong to somebody else.
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        prepare(temporary)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def remove_leftovers(directory: str) -> None:
    """Remove what a run that was killed had half written in this directory."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for name in os.listdir(directory):
            if name.startswith(PREFIX):
                os.unlink(os.path.join(directory, name))
