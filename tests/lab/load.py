# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A steady load on a deployment: so many requests a second, whatever the answers take; counts failures, measures latencies.

    with Load("http://10.111.0.128", rate=100) as load:
        ...                     # upgrade, scale, roll back
    load.result.failed          # 0
    load.result.p99             # seconds

    python -m lab.load URL --rate 100 --seconds 60
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import types
import typing as t

import aiohttp

from .shell import ROOT, LabError

# Answers that prove something: the gateway, the api with its database, the pages. Text that must be in the answer.
PATHS = {"/gateway_health": "", "/api_health/": "is live!", "/": "<"}
TIMEOUT = 10
EXAMPLES = 10
PR_SET_PDEATHSIG = 1


@dataclasses.dataclass(frozen=True)
class Result:
    requests: int
    failed: int
    p50: float
    p99: float
    seconds: float
    examples: list[str]
    latencies: list[float]  # in seconds, ascending


def percentile(latencies: t.Sequence[float], part: float) -> float:
    """The latency that so large a part of all requests stays below; 0 of none."""
    ordered = sorted(latencies) or [0.0]
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


async def attack(url: str, rate: float, stop: asyncio.Event, paths: t.Mapping[str, str], at_least: int = 0) -> Result:
    """Requests at their times; one that is due is sent even when others still wait for their answers. Goes on until it is to stop, and so many were sent."""
    latencies: list[float] = []
    errors: list[str] = []
    started = time.monotonic()
    connector = aiohttp.TCPConnector(limit=0, ssl=False)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as session:

        async def request(path: str, expected: str) -> None:
            begun = time.monotonic()
            try:
                async with session.get(url + path, allow_redirects=False) as response:
                    body = await response.text()
                    if response.status != 200 or expected not in body:
                        errors.append(f"{begun - started:.1f} s: {path}: {response.status} {body[:80]!r}")
            except (aiohttp.ClientError, asyncio.TimeoutError) as error:
                errors.append(f"{begun - started:.1f} s: {path}: {type(error).__name__} {error}")
            latencies.append(time.monotonic() - begun)

        tasks: set[asyncio.Task[None]] = set()
        targets = list(paths.items())
        number = 0
        while number < at_least or not stop.is_set():
            path, expected = targets[number % len(targets)]
            task = asyncio.create_task(request(path, expected))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
            await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
        await asyncio.gather(*tasks)
    return Result(
        requests=len(latencies), failed=len(errors), p50=percentile(latencies, 0.5), p99=percentile(latencies, 0.99),
        seconds=time.monotonic() - started, examples=errors[:EXAMPLES], latencies=sorted(latencies),
    )


async def run(url: str, rate: float, seconds: float | None, paths: t.Mapping[str, str], at_least: int = 0) -> Result:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if seconds:
        loop.call_later(seconds, stop.set)
    return await attack(url, rate, stop, paths, at_least)


class Load:
    """The same in a process of its own, so that what it measures does not wait for the test.

    As long as the block runs; with at_least also after it, until so many requests were sent. A realtime one never waits for a processor: it
    measures as if the clients were on another machine.
    """

    result: Result

    def __init__(self, url: str, rate: float = 100, paths: t.Sequence[str] = (), at_least: int = 0, realtime: bool = False) -> None:
        chosen = [argument for path in paths for argument in ("--path", path)]
        self.command = [sys.executable, "-m", "lab.load", url, "--rate", str(rate), "--at-least", str(at_least), *chosen]
        self.command += ["--realtime"] if realtime else []
        self.patience = at_least / rate + TIMEOUT * 3

    def __enter__(self) -> Load:
        # In a session of its own: where the kernel shares the processor by session, clients do not compete with what the test runs.
        self.process = subprocess.Popen(
            self.command, cwd=ROOT / "tests", stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: BaseException | None, _trace: types.TracebackType | None) -> None:
        if kind is None:
            self.process.terminate()
        else:
            self.process.kill()
        out, problems = self.process.communicate(timeout=self.patience)
        if self.process.returncode != 0 and kind is None:
            raise LabError(f"the load generator ended with {self.process.returncode}: {problems.decode()[-2000:]}")
        if self.process.returncode == 0:
            self.result = Result(**json.loads(out))


def end_with_parent() -> None:
    """Whoever is killed cannot stop its load any more: the kernel does it."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(arguments: t.Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="lab.load")
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=100, help="requests a second")
    parser.add_argument("--seconds", type=float, help="default: until SIGTERM")
    parser.add_argument("--at-least", type=int, default=0, help="requests to send before it ends, also after its time or SIGTERM")
    parser.add_argument("--path", action="append", default=[], help="default: " + " ".join(PATHS))
    parser.add_argument("--realtime", action="store_true", help="never wait for a processor (needs root)")
    options = parser.parse_args(arguments)
    if options.realtime:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    paths = {path: PATHS.get(path, "") for path in options.path} or PATHS
    end_with_parent()
    print(json.dumps(dataclasses.asdict(asyncio.run(run(options.url.rstrip("/"), options.rate, options.seconds, paths, options.at_least)))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
