# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A steady load on a deployment: so many requests a second, whatever the answers take; counts failures, measures latencies.

    with Load("http://10.111.0.128", rate=100) as load:
        ...                     # upgrade, scale, roll back
    load.result.failed          # 0
    load.result.p99             # seconds

With an upload token (LOAD_TOKEN in the environment, or uploads=) some of the requests are uploads, as CI makes them: announced to the api, put into
the storage, processed by a worker.

    python -m lab.load URL --rate 100 --seconds 60
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import ctypes
import dataclasses
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import types
import typing as t
import zlib

import aiohttp

from .shell import ROOT, LabError

# Answers that prove something: the gateway, the api with its database, the pages. Text that must be in the answer.
PATHS = {"/gateway_health": "", "/api_health/": "is live!", "/": "<"}
TIMEOUT = 10
EXAMPLES = 10
PAGES, UPLOADS = "pages", "uploads"
# An uploaded report: files, lines in each.
REPORT_FILES, REPORT_LINES = 40, 100
TOKEN_VARIABLE = "LOAD_TOKEN"
PR_SET_PDEATHSIG = 1


@dataclasses.dataclass(frozen=True)
class UploadStream:
    """A stream of uploads to one repository of GitHub's."""

    slug: str  # owner/name
    token: str
    rate: float  # uploads a second; each is two requests


@dataclasses.dataclass(frozen=True)
class Result:
    requests: int
    failed: int
    p50: float
    p99: float
    seconds: float
    examples: list[str]
    latencies: dict[str, list[float]]  # in seconds, by kind of request: pages, uploads
    accepted: list[str]  # commits whose upload was accepted


def percentile(latencies: t.Sequence[float], part: float) -> float:
    """The latency that so large a part of all requests stays below; 0 of none."""
    ordered = sorted(latencies) or [0.0]
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def report() -> bytes:
    """An lcov report of 75 %, in the envelope in which codecov-cli stores it."""
    lines = "".join(f"DA:{line},{line % 4 and 1}\n" for line in range(1, REPORT_LINES + 1))
    text = "".join(f"TN:\nSF:src/module_{number}.py\n{lines}end_of_record\n" for number in range(REPORT_FILES))
    data = base64.b64encode(zlib.compress(text.encode())).decode()
    network = [f"src/module_{number}.py" for number in range(REPORT_FILES)]
    files = [{"filename": "lcov.info", "format": "base64+compressed", "data": data, "labels": ""}]
    return json.dumps({"report_fixes": {"format": "legacy", "value": {}}, "network_files": network, "coverage_files": files, "metadata": {}}).encode()


class Clients:
    """What they asked, how long it took, and what went wrong."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url
        self.started = time.monotonic()
        self.latencies: dict[str, list[float]] = {PAGES: [], UPLOADS: []}
        self.accepted: list[str] = []
        self.errors: list[str] = []
        self.body = report()

    async def request(self, kind: str, method: str, url: str, wanted: int, expected: str = "", **content: t.Any) -> str | None:
        """The answer's text; None when it is not the wanted one."""
        begun = time.monotonic()
        problem, text = "", ""
        try:
            async with self.session.request(method, url, allow_redirects=False, **content) as response:
                text = await response.text()
                if response.status != wanted or expected not in text:
                    problem = f"{response.status} {text[:80]!r}"
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            problem = f"{type(error).__name__} {error}"
        self.latencies[kind].append(time.monotonic() - begun)
        if problem:
            # Without the query, in which a presigned URL has its signature.
            self.errors.append(f"{begun - self.started:.1f} s: {method} {url.partition('?')[0]}: {problem}")
        return None if problem else text

    async def page(self, path: str, expected: str) -> None:
        await self.request(PAGES, "GET", self.url + path, 200, expected)

    async def upload(self, stream: UploadStream) -> None:
        """Announced to the api, put into the storage; the worker takes it from there."""
        commit = secrets.token_hex(20)
        place = f"{self.url}/upload/github/{stream.slug.replace('/', '::::')}/upload-coverage"
        announcement = {"commitid": commit, "branch": "main", "code": "default"}
        answer = await self.request(UPLOADS, "POST", place, 201, json=announcement, headers={"Authorization": f"token {stream.token}"})
        if answer is None:
            return
        stored = await self.request(UPLOADS, "PUT", json.loads(answer)["raw_upload_location"], 200, data=self.body)
        if stored is not None:
            self.accepted.append(commit)

    @property
    def result(self) -> Result:
        everything = [latency for latencies in self.latencies.values() for latency in latencies]
        return Result(
            requests=len(everything), failed=len(self.errors), p50=percentile(everything, 0.5), p99=percentile(everything, 0.99),
            seconds=time.monotonic() - self.started, examples=self.errors[:EXAMPLES], latencies=self.latencies, accepted=self.accepted,
        )  # fmt: skip


async def attack(
    url: str, rate: float, stop: asyncio.Event, paths: t.Mapping[str, str], at_least: int = 0, uploads: UploadStream | None = None
) -> Result:  # fmt: skip
    """Requests at their times; one that is due is sent even when others still wait for their answers. Goes on until it is to stop, and so many were sent."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=False), timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as session:
        clients = Clients(session, url)
        tasks: set[asyncio.Task[None]] = set()
        targets = list(paths.items())
        number = 0
        while number < at_least or not stop.is_set():
            upload_is_due = uploads and number % round(rate / uploads.rate) == 0
            task = asyncio.create_task(clients.upload(uploads) if uploads and upload_is_due else clients.page(*targets[number % len(targets)]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
            await asyncio.sleep(max(0.0, clients.started + number / rate - time.monotonic()))
        await asyncio.gather(*tasks)
    return clients.result


async def run(
    url: str, rate: float, seconds: float | None, paths: t.Mapping[str, str], at_least: int = 0, uploads: UploadStream | None = None
) -> Result:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if seconds:
        loop.call_later(seconds, stop.set)
    return await attack(url, rate, stop, paths, at_least, uploads)


class Load:
    """The same in a process of its own, so that what it measures does not wait for the test.

    As long as the block runs; with at_least also after it, until so many requests were sent. A realtime one never waits for a processor: it
    measures as if the clients were on another machine.
    """

    result: Result

    def __init__(
        self, url: str, rate: float = 100, paths: t.Sequence[str] = (), at_least: int = 0, realtime: bool = False, uploads: UploadStream | None = None
    ) -> None:
        chosen = [argument for path in paths for argument in ("--path", path)]
        self.command = [sys.executable, "-m", "lab.load", url, "--rate", str(rate), "--at-least", str(at_least), *chosen]
        self.command += ["--realtime"] if realtime else []
        self.command += ["--uploads-to", uploads.slug, "--upload-rate", str(uploads.rate)] if uploads else []
        self.environment = {**os.environ, **({TOKEN_VARIABLE: uploads.token} if uploads else {})}
        self.patience = at_least / rate + TIMEOUT * 3

    def __enter__(self) -> Load:
        # In a session of its own: where the kernel shares the processor by session, clients do not compete with what the test runs.
        self.process = subprocess.Popen(
            self.command, cwd=ROOT / "tests", env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
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
    parser.add_argument("--uploads-to", metavar="OWNER/NAME", help=f"send uploads, too, to this repository; its upload token is in {TOKEN_VARIABLE}")
    parser.add_argument("--upload-rate", type=float, default=1, help="uploads a second, instead of as many of the requests")
    parser.add_argument("--realtime", action="store_true", help="never wait for a processor (needs root)")
    options = parser.parse_args(arguments)
    if options.realtime:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    paths = {path: PATHS.get(path, "") for path in options.path} or PATHS
    end_with_parent()
    uploads = UploadStream(options.uploads_to, os.environ[TOKEN_VARIABLE], options.upload_rate) if options.uploads_to else None
    result = asyncio.run(run(options.url.rstrip("/"), options.rate, options.seconds, paths, options.at_least, uploads))
    print(json.dumps(dataclasses.asdict(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
