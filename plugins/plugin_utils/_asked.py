# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Actions of modules whose work is one function of one file of ours. Private to this collection."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.covstack.selfhosted.plugins.plugin_utils import _on_host

if t.TYPE_CHECKING:
    from types import ModuleType


class Asked(ActionBase):
    """Asks the host by the file alone, for a fifth of what the module costs there; by the module where that way is closed (see _on_host)."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = True
    _supports_diff = False
    MODULE: str
    # Has OPTIONS, the module's argument_spec, and answer(), its result to them.
    FILE: ModuleType

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> t.Dict[str, t.Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        _arguments, options = self.validate_argument_spec(argument_spec=_as_written(self.FILE.OPTIONS))
        said = _on_host.ask(self, self.FILE, "answer", self.question(options), task_vars) if self.is_short(options) else None
        if said is not None:
            return {**result, "changed": False, **said}
        # A copy, since it is written to.
        arguments, wrap_async = dict(self._task.args), self._task.async_val
        return {**result, **self._execute_module(self.MODULE, module_args=arguments, task_vars=task_vars, wrap_async=wrap_async)}

    def question(self, options: t.Mapping[str, t.Any]) -> t.List[t.Any]:
        """Arguments of answer()."""
        return [options]

    def is_short(self, options: t.Mapping[str, t.Any]) -> bool:
        """Whether an answer is waited for, nothing but the standard library is needed, and no path that only the host can expand is named."""
        paths = [options[name] for name, option in self.FILE.OPTIONS.items() if option["type"] == "path" and options.get(name)]
        return not self._task.async_val and not any(path.startswith("~") or "$" in path for path in paths)


def _as_written(options: t.Mapping[str, t.Mapping[str, t.Any]]) -> t.Dict[str, t.Any]:
    """Or else the controller would expand paths of the host."""
    return {name: {**option, "type": "str"} if option["type"] == "path" else option for name, option in options.items()}
