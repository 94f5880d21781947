# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Learns about a host, by a question that needs nothing of Ansible there."""

from __future__ import annotations

from ansible_collections.covstack.selfhosted.plugins.module_utils import _host_facts
from ansible_collections.covstack.selfhosted.plugins.plugin_utils._asked import Asked


class ActionModule(Asked):
    """Action behind the module codecov_host_info; see that module for documentation."""

    MODULE = "covstack.selfhosted.codecov_host_info"
    FILE = _host_facts
