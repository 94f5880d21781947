# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Which engine a module works with, by its options.

Private to this collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.covstack.selfhosted.plugins.module_utils._docker_cli import Docker
from ansible_collections.covstack.selfhosted.plugins.module_utils._engine import Engine
from ansible_collections.covstack.selfhosted.plugins.module_utils._pods import Pods


def engine_of(options: Mapping[str, Any]) -> Engine:
    """The pods of the option `kubernetes`, else Docker on this host. Raises EngineError."""
    return Pods(**options["kubernetes"]) if options["kubernetes"] else Docker(options["docker_cli"])
