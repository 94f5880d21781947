# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible at both ends of the supported range, each in a container with Debian 13's Python; .venv has one between them.

So both ends are tested wherever Docker runs, whatever Python the machine has.
"""

from __future__ import annotations

import sysconfig
import typing as t

from . import hosts
from .shell import ROOT

ENDS = ("oldest", "newest")
COLLECTIONS = "/usr/share/ansible/collections/ansible_collections"  # one of Ansible's own places, see ansible.cfg


def command(end: str, *arguments: str, mounts: t.Sequence[str] = ()) -> tuple[str, ...]:
    """Run something with that Ansible: this checkout at its own path, which is the working directory, and the lab's hosts in reach."""
    collections = f"{sysconfig.get_paths()['purelib']}/ansible_collections"
    volumes = [f"{ROOT}:{ROOT}:ro", f"{collections}:{COLLECTIONS}:ro", *mounts]
    return (
        "docker", "run", "--rm", "--init", "--network", hosts.NETWORK, "--workdir", str(ROOT), "--env", "PYTHONDONTWRITEBYTECODE=1",
        *(argument for volume in volumes for argument in ("--volume", volume)), f"covstack-lab/controller:{end}", *arguments,
    )  # fmt: skip
