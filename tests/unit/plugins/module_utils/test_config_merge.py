# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merging layers: the application's semantics, and a provenance that is complete and true."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_merge import (
    MAXIMUM_DEPTH,
    LayerError,
    at,
    leaves_of,
    merge_layers,
    update,
)
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import format_path
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.config_examples import unhurried
from hypothesis import given
from hypothesis import strategies as st

# Few keys, so that layers often meet.
keys = st.sampled_from(["a", "b", "c", "avatars.io", 1, True])
scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "x", "${secret:a}"])
values = st.recursive(
    scalars | st.lists(scalars, max_size=2),
    lambda inner: st.dictionaries(keys, inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=12,
)
layers_of_settings = st.dictionaries(keys, values, max_size=4)


def reference(base: Any, top: Any) -> Any:
    """The application's rule, said once more and differently: per key, without any in-place change."""
    if not (isinstance(base, dict) and isinstance(top, dict)):
        return copy.deepcopy(top)
    names = [*base, *(name for name in top if name not in base)]
    return {name: copy.deepcopy(base[name]) if name not in top else reference(base[name], top[name]) if name in base else copy.deepcopy(top[name])
            for name in names}


@pytest.mark.parametrize(("base", "top", "merged"), [
    ({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
    ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}),
    ({"a": {"b": 1}}, {"a": None}, {"a": None}),
    ({"a": {"b": 1}}, {"a": False}, {"a": False}),
    ({"a": False}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ({"a": 1}, {"a": {}}, {"a": {}}),
    ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
    ({"a": [1, 2]}, {"a": []}, {"a": []}),
    ({"a": {"b": [{"c": 1}]}}, {"a": {"b": [{"d": 2}]}}, {"a": {"b": [{"d": 2}]}}),
])
def test_mappings_merge_and_everything_else_replaces(base: Any, top: Any, merged: Any) -> None:
    assert update(base, top) == merged


@unhurried
@given(layers_of_settings, layers_of_settings)
def test_equals_the_reference_model(base: Any, top: Any) -> None:
    assert update(base, top) == reference(base, top)


@unhurried
@given(layers_of_settings)
def test_an_empty_layer_changes_nothing_on_either_side(config: Any) -> None:
    assert update(config, {}) == config
    assert update({}, config) == config


@unhurried
@given(layers_of_settings)
def test_merging_twice_is_merging_once(config: Any) -> None:
    assert update(config, config) == config


def mapping_meets_other_kind(lower: Any, upper: Any) -> bool:
    """Whether some key is a mapping in one of them and something else in the other."""
    if not (isinstance(lower, dict) and isinstance(upper, dict)):
        return isinstance(lower, dict) != isinstance(upper, dict)
    return any(mapping_meets_other_kind(lower[key], upper[key]) for key in lower if key in upper)


@unhurried
@given(layers_of_settings, layers_of_settings, layers_of_settings)
def test_grouping_does_not_matter_where_no_mapping_meets_another_kind(low: Any, middle: Any, high: Any) -> None:
    if mapping_meets_other_kind(low, middle) or mapping_meets_other_kind(middle, high):
        return
    assert update(update(low, middle), high) == update(low, update(middle, high))


def test_grouping_matters_where_a_scalar_stands_between_mappings() -> None:
    low, middle, high = {"a": {"x": 1}}, {"a": 5}, {"a": {"y": 2}}
    assert update(update(low, middle), high) == {"a": {"y": 2}}
    assert update(low, update(middle, high)) == {"a": {"x": 1, "y": 2}}


@unhurried
@given(st.lists(layers_of_settings, min_size=1, max_size=5))
def test_provenance_is_complete_and_true(contents: list[Any]) -> None:
    layers = [(f"layer {index}", content) for index, content in enumerate(contents)]
    merged = merge_layers(layers)
    leaves = dict(leaves_of(merged.config))
    origins = dict(leaves_of(merged.origins))
    assert origins.keys() == leaves.keys()
    assert len(merged.provenance) == len(leaves)
    for path, name in origins.items():
        assert at(dict(layers)[name], path, "missing") == leaves[path]
        assert merged.place(path) == name
        assert merged.provenance[format_path(path)] == name


@unhurried
@given(st.lists(layers_of_settings, min_size=2, max_size=4))
def test_the_layer_named_is_the_last_one_that_mattered(contents: list[Any]) -> None:
    """Taking away every layer above the named one leaves the value as it is."""
    layers = [(str(index), content) for index, content in enumerate(contents)]
    merged = merge_layers(layers)
    for path, name in leaves_of(merged.origins):
        value = at(merged.config, path)
        assert at(merge_layers(layers[: int(name) + 1]).config, path, "missing") == value


@unhurried
@given(st.lists(layers_of_settings, min_size=1, max_size=3))
def test_layers_are_neither_changed_nor_shared(contents: list[Any]) -> None:
    before = copy.deepcopy(contents)
    merged = merge_layers([(str(index), content) for index, content in enumerate(contents)])
    _spoil(merged.config)
    assert contents == before


def _spoil(value: Any) -> None:
    if isinstance(value, dict):
        for element in list(value.values()):
            _spoil(element)
        value["spoilt"] = True
    elif isinstance(value, list):
        for element in value:
            _spoil(element)
        value.append("spoilt")


def test_place_of_what_is_not_there_is_empty() -> None:
    merged = merge_layers([("a", {"setup": {"x": [1]}})])
    assert merged.place(("setup", "y")) == ""
    assert merged.place(("setup", "x", 0)) == "a"
    assert merged.place(("setup",)) == "a"


@pytest.mark.parametrize("content", [None, [], "text", 3, True])
def test_a_layer_that_is_no_mapping_is_refused(content: Any) -> None:
    with pytest.raises(LayerError, match=r"^mine: is .* -> "):
        merge_layers([("mine", content)])


def test_values_that_contain_themselves_are_refused() -> None:
    endless: dict[str, Any] = {}
    endless["a"] = endless
    with pytest.raises(LayerError, match="contains itself"):
        merge_layers([("mine", endless)])


def test_alias_bombs_are_refused_quickly() -> None:
    bomb: Any = "x"
    for _level in range(MAXIMUM_DEPTH - 1):
        bomb = [bomb] * 9
    start = time.perf_counter()
    with pytest.raises(LayerError, match="more than 100000 values"):
        merge_layers([("mine", {"a": bomb})])
    assert time.perf_counter() - start < 2


def test_six_layers_of_three_hundred_keys_merge_in_twenty_milliseconds() -> None:
    layers = [(f"layer {number}", {f"section {section}": {f"group {group}": {f"key {key}": number * key for key in range(5)} for group in range(6)}
                                   for section in range(10)}) for number in range(6)]
    assert len(dict(leaves_of(layers[0][1]))) == 300

    def once() -> float:
        start = time.perf_counter()
        assert len(merge_layers(layers).provenance) == 300
        return time.perf_counter() - start

    assert min(once() for _run in range(5)) < 0.020
