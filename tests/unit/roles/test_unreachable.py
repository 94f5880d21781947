# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that pass over a host that cannot be reached, inside plays where an error of one host is one of all."""

from __future__ import annotations

import pathlib
from typing import Any, Iterator

import yaml

ROLES = pathlib.Path(__file__).parents[3] / "roles"


def tasks(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        yield entry
        for section in ("block", "rescue", "always"):
            yield from tasks(entry.get(section, []))


def test_what_ignores_unreachable_hosts_ignores_errors_too_and_is_judged_afterwards() -> None:
    """Without ignore_errors, any_errors_fatal takes an ignored unreachable host for an error of all of them (seen with ansible-core 2.19)."""
    found = [task for path in sorted(ROLES.glob("*/tasks/*.yml")) for task in tasks(yaml.safe_load(path.read_text()) or []) if task.get("ignore_unreachable")]
    assert len(found) >= 3
    for task in found:
        assert task.get("ignore_errors") and task.get("register"), task["name"]
