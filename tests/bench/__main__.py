# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""make bench [ARGS="name ..."]: run tests/bench/measure_<name>.py, those of one host or those named; what is stored of the others stays."""

from __future__ import annotations

import importlib
import pathlib
import sys
import traceback
import typing as t

from lab import engine

from .harness import OUTPUT, Bench

# Those that make up to 15 hosts of their own run only when they are named.
OF_SEVERAL_HOSTS = "split_"


def names() -> list[str]:
    return sorted(path.stem.removeprefix("measure_") for path in pathlib.Path(__file__).parent.glob("measure_*.py"))


def main(wanted: t.Sequence[str]) -> int:
    unknown = sorted(set(wanted) - set(names()))
    if unknown:
        sys.exit(f"no measurement {', '.join(unknown)}; there are: {', '.join(names())}")
    engine.up()
    bench = Bench()
    broken = []
    for name in wanted or [name for name in names() if not name.startswith(OF_SEVERAL_HOSTS)]:
        try:
            with bench.section(name):
                importlib.import_module(f"bench.measure_{name}").measure(bench)
        except Exception:  # the others are still worth having; the exit code tells
            traceback.print_exc()
            broken.append(name)
        bench.store()  # each as soon as it is there: a later one may be interrupted
    print(f"\n{bench.table()}")
    print(f"\nstored: {OUTPUT}")
    if broken:
        print(f"could not be measured: {', '.join(broken)}")
    return 1 if broken or bench.missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
