# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules run on targets: tests of other plugins in the same process make Ansible think that it is the controller."""

from __future__ import annotations

import pytest
from ansible.module_utils import _internal
from ansible.module_utils.common import warnings


@pytest.fixture(autouse=True)
def on_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the controller a module's warnings would go to the terminal instead of its result (ansible-core from 2.19 on)."""
    monkeypatch.setattr(_internal, "is_controller", False, raising=False)


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings belong to the process, which on a target runs one module."""
    monkeypatch.setattr(warnings, "_global_warnings", type(warnings._global_warnings)())
