# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Probes a deployment, by a question that needs nothing of Ansible on the host."""

from __future__ import annotations

import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils import _health
from ansible_collections.covstack.selfhosted.plugins.plugin_utils._asked import Asked


class ActionModule(Asked):
    """Action behind the module codecov_health; see that module for documentation."""

    MODULE = "covstack.selfhosted.codecov_health"
    FILE = _health

    def is_short(self, options: t.Mapping[str, t.Any]) -> bool:
        """A cluster needs the Python client of Kubernetes."""
        return not options["kubernetes"] and super().is_short(options)
