# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Asks or changes HAProxy, by a question that needs nothing of Ansible on its host."""

from __future__ import annotations

import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils import _haproxy
from ansible_collections.covstack.selfhosted.plugins.plugin_utils._asked import Asked


class ActionModule(Asked):
    """Action behind the module haproxy_servers; see that module for documentation."""

    MODULE = "covstack.selfhosted.haproxy_servers"
    FILE = _haproxy

    def question(self, options: t.Mapping[str, t.Any]) -> t.List[t.Any]:
        return [options, self._task.check_mode]
