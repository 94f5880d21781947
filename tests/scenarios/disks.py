# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts whose disk is full: made with a disk of their own (`lab_disk_gb`), so that this machine's is not."""

from __future__ import annotations

import contextlib
import typing as t

from lab import hosts
from lab.shell import run

from .split import on

BALLAST = "/opt/ballast"


def fill(host: str) -> None:
    """To the last byte, for root too."""
    # It fails at the last byte, which is what is wanted.
    on(host, f"fallocate --length $(df --output=avail --block-size=1 /opt | tail -n 1) {BALLAST}.last || true")
    assert run("docker", "exec", hosts.container(host), "cp", "/bin/bash", "/opt/codecov/", check=False).returncode != 0, "it is not full"


def nearly_fill(host: str, free_mb: int) -> None:
    on(host, f"fallocate --length $(($(df --output=avail --block-size=1 /opt | tail -n 1) - {free_mb} * 1000000)) {BALLAST}")


def make_room(host: str) -> None:
    on(host, f"rm -f {BALLAST} {BALLAST}.last /opt/codecov/bash")


@contextlib.contextmanager
def full_disk(host: str) -> t.Iterator[None]:
    try:
        fill(host)
        yield
    finally:
        make_room(host)
