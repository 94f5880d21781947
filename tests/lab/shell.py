# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run programs, report progress, fail with one clear message."""

from __future__ import annotations

import contextlib
import fcntl
import pathlib
import subprocess
import sys
import time
import typing as t

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "lab"


class LabError(RuntimeError):
    """What went wrong and what to do about it, for a person."""


def run(*command: str, stdin: bytes | None = None, check: bool = True, timeout: float | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a program with its output kept; a failure shows the end of that output."""
    result = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, check=False)
    if check and result.returncode != 0:
        tail = (result.stdout + result.stderr).decode(errors="replace").strip().splitlines()[-25:]
        raise LabError(f"{' '.join(command[:6])} ... ended with {result.returncode}:\n  " + "\n  ".join(tail))
    return result


def output(*command: str, check: bool = True) -> str:
    return run(*command, check=check).stdout.decode().strip()


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(title: str) -> t.Iterator[None]:
    """Say what starts and how long it took: a long step must not look like a hang."""
    started = time.monotonic()
    say(f"lab: {title} ...")
    yield
    say(f"lab: {title}: done in {time.monotonic() - started:.1f} s")


def wait_until(what: str, ready: t.Callable[[], bool], seconds: float, interval: float = 0.1) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {seconds:.0f} s")
        time.sleep(interval)


@contextlib.contextmanager
def locked(name: str) -> t.Iterator[None]:
    """One process at a time; the lock goes away with the process that holds it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
