# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merging layers of a codecov.yml exactly as the application merges its own.

The rule: a mapping over a mapping merges deeply (so an empty mapping changes nothing); everything else (lists,
scalars, null, a mapping over something else) replaces what was there.

Private to this collection. Pure: also runs on the controller, inside action plugins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import (
    ERROR,
    KeyPath,
    Problem,
    format_path,
    show,
)

# Far beyond any real file; below them stands Python's recursion limit.
MAXIMUM_DEPTH = 50
MAXIMUM_VALUES = 100_000


class Layer(NamedTuple):
    name: str
    content: Any


class LayerError(ValueError):
    """A layer that cannot be merged at all."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True)
class MergedConfig:
    config: dict[Any, Any]
    # Leaf (scalar, list or empty mapping) -> layer that set it, as a tree of the same shape.
    origins: dict[Any, Any]

    @property
    def provenance(self) -> dict[str, str]:
        return {format_path(path): name for path, name in leaves_of(self.origins)}

    def place(self, path: KeyPath) -> str:
        """The layers that set what stands at this path (or the list around it); '' if nothing stands there."""
        origin: Any = self.origins
        for element in path:
            if isinstance(origin, str):
                return origin
            if element not in origin:
                return ""
            origin = origin[element]
        if isinstance(origin, str):
            return origin
        names = list(dict.fromkeys(name for _path, name in leaves_of(origin)))
        return ", ".join(names)


def update(base: Mapping[Any, Any], top: Mapping[Any, Any]) -> dict[Any, Any]:
    """One step of the application's merge. Neither argument is changed or shared with the result."""
    return merge_layers([Layer("base", base), Layer("top", top)]).config


def merge_layers(layers: Sequence[Layer | tuple[str, Any]]) -> MergedConfig:
    """Merge layers, low to high, and remember which one set each key."""
    config: dict[Any, Any] = {}
    origins: dict[Any, Any] = {}
    for name, content in layers:
        problem = layer_problem(name, content)
        if problem is not None:
            raise LayerError(problem)
        _merge_into(config, origins, content, name)
    return MergedConfig(config, origins)


def _merge_into(config: dict[Any, Any], origins: dict[Any, Any], content: Mapping[Any, Any], name: str) -> None:
    for key, value in content.items():
        if isinstance(value, Mapping):
            below = config.get(key)
            if not isinstance(below, dict):
                below = config[key] = {}
                origins[key] = name
            elif not value:
                continue
            # An empty mapping is a leaf with an origin; with content it is none.
            if value and not isinstance(origins[key], dict):
                origins[key] = {}
            if value:
                _merge_into(below, origins[key], value, name)
        else:
            config[key] = _copy(value)
            origins[key] = name


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(element) for key, element in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copy(element) for element in value]
    return value


def leaves_of(tree: Mapping[Any, Any], path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every leaf with its path; an empty mapping is a leaf (except the root), a list is one too."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves_of(value, path + (key,))
        else:
            yield path + (key,), value


def scalars_of(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every scalar with its path, those inside lists too."""
    if isinstance(value, Mapping):
        for key, element in value.items():
            yield from scalars_of(element, path + (key,))
    elif isinstance(value, (list, tuple)):
        for index, element in enumerate(value):
            yield from scalars_of(element, path + (index,))
    else:
        yield path, value


def layer_problem(name: str, content: Any) -> Problem | None:
    """Why this content cannot be a layer, or None."""
    if content is None:
        return Problem(
            ERROR, name, "is empty; the application does not start with an empty codecov.yml",
            "a mapping (setup:, services:, ...)", "write {} for no settings, or remove this layer", place=name)
    if not isinstance(content, Mapping):
        return Problem(
            ERROR, name, f"is {show(content)} at its top level; the application does not start with it",
            "a mapping (setup:, services:, ...)", "write the settings as 'setup:' with indented keys below it", place=name)
    return structure_problem(content, name)


def structure_problem(content: Any, name: str) -> Problem | None:
    """Refuse what would never end: values that contain themselves, bombs of aliases, absurd depth."""
    count = 0
    pending: list[tuple[Any, int]] = [(content, 0)]
    while pending:
        value, depth = pending.pop()
        count += 1
        if depth > MAXIMUM_DEPTH or count > MAXIMUM_VALUES:
            what = f"is nested deeper than {MAXIMUM_DEPTH} levels (or contains itself)" if depth > MAXIMUM_DEPTH \
                else f"has more than {MAXIMUM_VALUES} values"
            return Problem(
                ERROR, name, what, f"at most {MAXIMUM_DEPTH} levels and {MAXIMUM_VALUES} values",
                "look for a YAML anchor (&name) that its own content refers to (*name)", place=name)
        if isinstance(value, Mapping):
            pending.extend((element, depth + 1) for element in value.values())
        elif isinstance(value, (list, tuple)):
            pending.extend((element, depth + 1) for element in value)
    return None


def at(config: Any, path: KeyPath, default: Any = None) -> Any:
    """The value at a path, or the default if any step is missing (as the application's own look-up)."""
    for element in path:
        try:
            config = config[element]
        except (KeyError, TypeError, IndexError):
            return default
    return config
