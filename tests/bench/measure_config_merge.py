# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""codecov_config: six layers, 300 keys, merged in process."""

from __future__ import annotations

import sys
import typing as t

from lab.shell import ROOT

from .harness import Bench

sys.path.insert(0, str(ROOT / ".ansible" / "collections"))

LAYERS, KEYS, ROUNDS = 6, 300, 100


def layers() -> list[tuple[str, dict[str, t.Any]]]:
    """Each layer sets a sixth of the keys, and five of the layer before again."""
    size = KEYS // LAYERS
    return [(f"layer {number}", _sections(range(max(0, number * size - 5), (number + 1) * size))) for number in range(LAYERS)]


def _sections(keys: t.Iterable[int]) -> dict[str, t.Any]:
    sections: dict[str, t.Any] = {}
    for key in keys:
        sections.setdefault(f"section{key // 10}", {}).setdefault("values", {})[f"key{key}"] = [key, str(key)]
    return sections


def measure(bench: Bench) -> None:
    from ansible_collections.covstack.selfhosted.plugins.module_utils._config_merge import merge_layers

    given = layers()
    merged = merge_layers(given)
    assert len(merged.provenance) == KEYS, len(merged.provenance)

    def merge_many() -> None:
        for _round in range(ROUNDS):
            merge_layers(given).provenance  # noqa: B018  # computed when it is asked for

    took = bench.measure(f"merge of {LAYERS} layers, {KEYS} keys, with provenance, {ROUNDS} times", merge_many, repeat=5)
    bench.value("one merge, in process", took.median / ROUNDS * 1000, "ms", at_most=20)
