# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench` fails where a goal is missed, or could not be measured."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from bench import __main__ as program
from bench.harness import Bench


@pytest.mark.parametrize(("seconds", "code", "mark"), [(1.0, 0, "reached"), (1.01, 1, "MISSED"), (None, 1, "could not be measured: cluster")])
def test_a_missed_goal_is_a_failure(
    seconds: float | None, code: int, mark: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(bench: Bench) -> None:
        if seconds is None:
            raise RuntimeError("nothing answers")
        bench.value("rendering", seconds, "s", at_most=1)

    store = Bench.store
    measurement = types.ModuleType("bench.measure_cluster")
    monkeypatch.setattr(measurement, "measure", measure, raising=False)
    monkeypatch.setitem(sys.modules, "bench.measure_cluster", measurement)
    monkeypatch.setattr(Bench, "store", lambda bench: store(bench, tmp_path / "bench.json"))
    monkeypatch.setattr(program.engine, "up", lambda: None)
    assert program.main(["cluster"]) == code
    assert mark in capsys.readouterr().out
