# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Adds the digest of the run's input: only the controller knows it, and it is not to be seen in a variable."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.covstack.selfhosted.plugins.module_utils import _inputs, _settings


class ActionModule(ActionBase):
    """Action behind the module codecov_as_left; see that module for documentation."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> t.Dict[str, t.Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        given = self._templar.template(_settings.settings_of(task_vars))
        settings = _settings.check(given, _settings.load_spec(), [])
        engine = self._templar.template(_inputs.engine_variables(task_vars))
        inputs = _inputs.inputs_digest(settings, engine, self._loader.path_dwim)
        arguments = {**self._task.args, "inputs": inputs}
        return {**result, **self._execute_module("covstack.selfhosted.codecov_as_left", module_args=arguments, task_vars=task_vars)}
