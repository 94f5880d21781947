# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Settings: the operator's C(codecov_*) variables against the argument specification of the role C(codecov).

The specification file is the one truth for names, types, choices and defaults; this module adds what Ansible's own validation
leaves out: the whole list of problems at once, "did you mean", and the way out.
"""

from __future__ import annotations

import difflib
import os
import re
import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem, error

try:
    import yaml
except ImportError:  # pragma: no cover - ansible-core itself needs PyYAML on the controller
    yaml = None  # type: ignore[assignment]

# libyaml's loader, ten times as fast, where PyYAML was built with it.
LOADER: t.Any = getattr(yaml, "CSafeLoader", None) or getattr(yaml, "SafeLoader", None)
ROLES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))), "roles")
# Facts of this collection that share the prefix of the settings.
INTERNAL = frozenset({"codecov_plan"})
TRUE = frozenset({"true", "yes", "on", "1", "y", "t"})
FALSE = frozenset({"false", "no", "off", "0", "n", "f"})


def load_spec(role: str = "codecov") -> t.Dict[str, t.Any]:
    """Options of a role of this collection, {name: specification}."""
    with open(os.path.join(ROLES, role, "meta", "argument_specs.yml"), encoding="utf-8") as stream:
        return yaml.load(stream, Loader=LOADER)["argument_specs"]["main"]["options"]


def _did_you_mean(name: str, known: t.Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else "known are " + ", ".join(sorted(known))


def _to_bool(value: t.Any) -> t.Optional[bool]:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    return True if text in TRUE else False if text in FALSE else None


def _to_int(value: t.Any) -> t.Optional[int]:
    if isinstance(value, bool):
        return None
    return int(value) if re.fullmatch(r"-?\d+", str(value).strip()) else None


def _from_text(kind: str, text: str) -> t.Any:
    """A mapping or list that came as text: JSON, C(name=value, ...) or C(a, b), as Ansible's own options allow it."""
    text = text.strip()
    if text.startswith("{" if kind == "dict" else "["):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            return None
    parts = [part.strip() for part in re.split(r"[,\s]+" if kind == "dict" else ",", text) if part.strip()]
    if kind == "list":
        return parts
    return dict(part.split("=", 1) for part in parts) if parts and all(re.match(r"[A-Za-z_]\w*=", part) for part in parts) else None


def _coerce(kind: str, value: t.Any) -> t.Any:
    """The value as the kind wants it, or None where it cannot be that. Strings come from C(-e x=y) and AWX surveys."""
    if kind == "bool":
        return _to_bool(value)
    if kind == "int":
        return _to_int(value)
    if kind in ("str", "path"):
        return str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else None
    if kind in ("dict", "list") and isinstance(value, str):
        value = _from_text(kind, value)
    if kind == "dict":
        return dict(value) if isinstance(value, t.Mapping) else None
    if kind == "list":
        return list(value) if isinstance(value, (list, tuple)) else None
    return value


_KIND_NAMES = {"bool": "true or false", "int": "a whole number", "str": "a string", "path": "a path", "dict": "a mapping", "list": "a list"}


def _shown(value: t.Any) -> str:
    """A value for the reader; one that may hold a password (a URL, or text in the place of a mapping) is described only."""
    if isinstance(value, t.Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    return repr(value) if isinstance(value, (bool, int, float)) or (len(str(value)) <= 40 and not re.search(r"[@\s]|://", str(value))) else "this text"


def _check_value(place: str, spec: t.Mapping[str, t.Any], value: t.Any, problems: t.List[Problem]) -> t.Any:
    kind = spec.get("type", "str")
    choices = spec.get("choices")
    if choices and isinstance(value, bool):  # YAML 1.1 reads a bare off/no as false
        value = next((choice for choice in ("disabled", "never") if not value and choice in choices), str(value).lower())
    coerced = _coerce(kind, value)
    if coerced is None:
        shown = "this text" if kind in ("dict", "list") and isinstance(value, str) else _shown(value)
        problems.append(error(place, f"{shown} is not {_KIND_NAMES[kind]}", f"give {_KIND_NAMES[kind]}"))
        return spec.get("default")
    if choices and coerced not in choices:
        hint = difflib.get_close_matches(str(coerced), choices, n=1, cutoff=0.6)
        way_out = f"did you mean {hint[0]!r}?" if hint else f"choose one of {', '.join(choices)}"
        problems.append(error(place, f"{_shown(coerced)} is not one of {', '.join(choices)}", way_out))
        return spec.get("default", choices[0])
    if "options" in spec:
        return check(coerced, spec["options"], problems, f"{place}.")
    if kind == "list" and "elements" in spec:
        items = [_check_value(f"{place}[{index}]", {"type": spec["elements"]}, item, problems) for index, item in enumerate(coerced)]
        return [item for item in items if item is not None]
    return coerced


def check(values: t.Mapping[str, t.Any], options: t.Mapping[str, t.Any], problems: t.List[Problem], prefix: str = "") -> t.Dict[str, t.Any]:
    """Values with defaults filled in and types made right; what is wrong is appended to `problems`."""
    for name in values:
        if name not in options:
            problems.append(_unknown(f"{prefix}{name}", str(name), options))
    checked: t.Dict[str, t.Any] = {}
    for name, spec in options.items():
        value = values.get(name)
        if is_unset(spec, value):
            if spec.get("required"):
                problems.append(error(f"{prefix}{name}", "is missing", f"set it: {_first_sentence(spec['description'])}"))
            value = "" if spec.get("required") else {} if "options" in spec else spec.get("default")
        checked[name] = value if value is None else _check_value(f"{prefix}{name}", spec, value, problems)
    return checked


def is_unset(spec: t.Mapping[str, t.Any], value: t.Any) -> bool:
    """Null means the default. So does an empty answer of a survey, unless the setting is text."""
    return value is None or (value == "" and (spec.get("type", "str") not in ("str", "path") or "choices" in spec or bool(spec.get("required"))))


def _unknown(place: str, name: str, options: t.Mapping[str, t.Any]) -> Problem:
    if "." in place and re.search(r"passw|secret|token|(access|secret)_?key", name.lower()):
        return error(place, "is a secret and does not belong here", "move it to codecov_secrets, which belongs in a vault")
    return error(place, "is no setting of this collection", _did_you_mean(name, options))


def _first_sentence(description: t.Union[str, t.List[str]]) -> str:
    text = description if isinstance(description, str) else description[0]
    return re.sub(r"[A-Z]\(([^)]*)\)", r"\1", text)


def settings_of(variables: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """The settings among all variables of a host: those with the collection's prefix."""
    return {name: value for name, value in variables.items() if name.startswith("codecov_") and name not in INTERNAL}
