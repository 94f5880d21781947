# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options in Docker's daemon.json: merged over what an operator has there, and put back when they are no longer wanted.

Private to this collection.
"""

from __future__ import annotations

import copy
import json
import os
import re
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterator, Mapping

from ansible_collections.covstack.selfhosted.plugins.module_utils._atomic import remove_leftovers, replace_file

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

CONFIG_PATH = "/etc/docker/daemon.json"
STATE_PATH = "/etc/docker/.covstack-daemon-options.json"
PID_PATH = "/var/run/docker.pid"
MISSING: Any = object()
_URL_PASSWORD = re.compile(r"(://[^/@:\s\"]*:)[^/@\s\"]*@")


class DaemonOptionsError(Exception):
    """One clear sentence for the user."""


# --- pure -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """One option that we set: what it is, and what was there before."""

    path: tuple[str, ...]
    value: Any
    before: Any = MISSING

    def as_json(self) -> dict[str, Any]:
        entry = {"path": list(self.path), "value": self.value}
        return entry if self.before is MISSING else {**entry, "before": self.before}


@dataclass(frozen=True)
class State:
    """What this module remembers. `created`: the file was not there before; `changed_under`: the daemon that ran at the last change."""

    settings: tuple[Setting, ...] = ()
    created: bool = False
    changed_under: str | None = None

    @classmethod
    def parse(cls, text: str, path: str) -> State:
        try:
            raw = json.loads(text)
            settings = tuple(Setting(tuple(entry["path"]), entry["value"], entry.get("before", MISSING)) for entry in raw["settings"])
            return cls(settings, bool(raw["created"]), raw["changed_under"])
        except (ValueError, KeyError, TypeError):
            raise DaemonOptionsError(f"{path}: is not a state file of this module. Way out: remove it; options set before then stay.") from None

    def render(self) -> str:
        content = {"settings": [setting.as_json() for setting in self.settings], "created": self.created, "changed_under": self.changed_under}
        return json.dumps(content, indent=1, sort_keys=True) + "\n"


@dataclass(frozen=True)
class Merged:
    config: dict[str, Any]
    settings: tuple[Setting, ...]
    retracted: tuple[Setting, ...] = ()


def leaves(options: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every option with its path. An empty mapping is a value of its own."""
    for key, value in options.items():
        path = (*above, str(key))
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path)
        else:
            yield path, value


def get(config: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(config, Mapping) or key not in config:
            return MISSING
        config = config[key]
    return config


def put(config: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        below = config.get(key)
        if not isinstance(below, dict):
            below = config[key] = {}
        config = below
    config[path[-1]] = copy.deepcopy(value)


def drop(config: dict[str, Any], path: tuple[str, ...]) -> None:
    """Remove an option, and the mappings that it leaves empty."""
    if len(path) > 1:
        below = config.get(path[0])
        if isinstance(below, dict):
            drop(below, path[1:])
            if not below:
                del config[path[0]]
        return
    config.pop(path[0], None)


def merge(current: Mapping[str, Any], options: Mapping[str, Any], remembered: tuple[Setting, ...]) -> Merged:
    """The new configuration: old settings that are no longer wanted go back, then the wanted ones go in."""
    config = copy.deepcopy(dict(current))
    wanted = dict(leaves(options))
    retracted = []
    kept: dict[tuple[str, ...], Setting] = {}
    for setting in remembered:
        if setting.path in wanted:
            kept[setting.path] = setting
        elif same(get(config, setting.path), setting.value):
            retracted.append(setting)
            if setting.before is MISSING:
                drop(config, setting.path)
            else:
                put(config, setting.path, setting.before)
    settings = []
    for path, value in wanted.items():
        present = get(config, path)
        old = kept.get(path)
        if value == {} and isinstance(present, Mapping):
            continue
        # What somebody else put in place of our value is what to go back to.
        before = old.before if old is not None and same(present, old.value) else present
        settings.append(Setting(path, value, before))
        if not same(present, value):
            put(config, path, value)
    return Merged(config, tuple(settings), tuple(retracted))


def same(left: Any, right: Any) -> bool:
    """Equal as JSON: 1 and true differ."""
    if left is MISSING or right is MISSING:
        return left is right
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def render(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=2) + "\n"


def without_passwords(text: str) -> str:
    return _URL_PASSWORD.sub(r"\1********@", text)


# --- the host -------------------------------------------------------------------------------------------------------


class DaemonOptions:
    """One run of the module."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.path: str = module.params["path"]
        self.state_path: str = module.params["state_path"]

    def run(self) -> dict[str, Any]:
        text = read(self.path)
        current = self._parse(text)
        state_text = read(self.state_path)
        state = State() if state_text is None else State.parse(state_text, self.state_path)
        merged = merge(current, self.module.params["options"], state.settings)
        changed = not same(merged.config, current)
        created = bool(merged.settings) and (state.created or text is None)
        daemon = running_daemon(self.module.params["pid_path"])
        new_state = State(merged.settings, created, daemon if changed else state.changed_under)
        new_text = None if state.created and not merged.config else render(merged.config)
        if not self.module.check_mode:
            for path in (self.path, self.state_path):
                remove_leftovers(os.path.dirname(path))
        if changed and new_text is not None:
            self._validate(new_text)
        if changed and not self.module.check_mode:
            self._change(new_text, new_state, merged.retracted)
        if not self.module.check_mode:
            self._remember(new_state, daemon)
        result: dict[str, Any] = {
            "changed": changed,
            "restart_needed": daemon is not None and new_state.changed_under == daemon,
            "set_options": [".".join(setting.path) for setting in merged.settings if not same(get(current, setting.path), setting.value)],
            "retracted_options": [".".join(setting.path) for setting in merged.retracted],
        }
        if self.module._diff:
            after = (new_text or "") if changed else (text or "")
            result["diff"] = {"before_header": self.path, "after_header": self.path,
                              "before": without_passwords(text or ""), "after": without_passwords(after)}
        return result

    def _parse(self, text: str | None) -> dict[str, Any]:
        if text is None or not text.strip():
            return {}
        try:
            config = json.loads(text)
        except ValueError as error:
            raise DaemonOptionsError(f"{self.path}: is not JSON ({error}). Way out: correct it; the daemon cannot read it either.") from None
        if not isinstance(config, dict):
            raise DaemonOptionsError(f"{self.path}: is not a JSON object. Way out: correct it; the daemon cannot read it either.")
        return config

    def _change(self, new_text: str | None, new_state: State, retracted: tuple[Setting, ...]) -> None:
        # Remembered before it is done: an interrupted run must forget neither what to put back nor that a restart is due.
        ahead = State(new_state.settings + retracted, True if new_text is None else new_state.created, new_state.changed_under)
        replace(self.state_path, ahead.render(), 0o600)
        if new_text is None:
            os.unlink(self.path)
        else:
            replace(self.path, new_text, 0o644)

    def _remember(self, state: State, daemon: str | None) -> None:
        restart_is_due = state.changed_under is not None and state.changed_under == daemon
        if state.settings or restart_is_due:
            if read(self.state_path) != state.render():
                replace(self.state_path, state.render(), 0o600)
        elif os.path.exists(self.state_path):
            os.unlink(self.state_path)

    def _validate(self, text: str) -> None:
        """Ask the daemon itself, with a copy that is its own."""
        dockerd = self.module.get_bin_path("dockerd")
        if dockerd is None:
            return
        with tempfile.NamedTemporaryFile("w", dir=self.module.tmpdir, suffix=".json") as candidate:
            candidate.write(text)
            candidate.flush()
            code, output, errors = self.module.run_command([dockerd, "--validate", "--config-file", candidate.name])
        if "unknown flag" in errors:
            # Engines before 23.0 cannot tell.
            return
        if code != 0:
            reason = without_passwords((errors or output).strip().replace(candidate.name, self.path))
            raise DaemonOptionsError(f"options: the Docker daemon refuses them, nothing was changed. It says: {reason}")


def running_daemon(pid_path: str) -> str | None:
    """A name for the very process that runs now; None when none runs."""
    pid = (read(pid_path) or "").strip()
    status = read(f"/proc/{pid}/stat") if pid.isdigit() else None
    if status is None:
        return None
    started = status.rpartition(")")[2].split()[19]
    boot = (read("/proc/sys/kernel/random/boot_id") or "").strip()
    return f"{boot}/{pid}/{started}"


def options_in_force(path: str = CONFIG_PATH, state_path: str = STATE_PATH, pid_path: str = PID_PATH) -> dict[str, Any] | None:
    """The options that were set before and that the daemon runs with. None: not as they were left, so that there is something to do.

    Passwords in URLs are hidden, so that options with one are never what is wanted.
    """
    try:
        state_text = read(state_path)
        state = State() if state_text is None else State.parse(state_text, state_path)
        text = read(path)
        current = json.loads(text) if text and text.strip() else {}
    except (DaemonOptionsError, OSError, ValueError):
        return None
    if any(not same(get(current, setting.path), setting.value) for setting in state.settings):
        return None
    if state.changed_under is not None and state.changed_under == running_daemon(pid_path):
        return None
    options: dict[str, Any] = {}
    for setting in state.settings:
        put(options, setting.path, setting.value)
    shown: dict[str, Any] = json.loads(without_passwords(json.dumps(options)))
    return shown


def read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def replace(path: str, text: str, mode: int) -> None:
    """Atomically; an existing file keeps its mode and owner."""

    def prepare(temporary: str) -> None:
        if os.path.exists(path):
            status = os.stat(path)
            os.chown(temporary, status.st_uid, status.st_gid)
            os.chmod(temporary, status.st_mode & 0o7777)
        else:
            os.chmod(temporary, mode)

    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    replace_file(path, text.encode("utf-8"), prepare)
