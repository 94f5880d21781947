# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads and writes of object storage by presigned URLs, as uploaders make them: at a steady rate, whatever the answers take, one attempt each."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import random
import secrets
import sys
import threading
import time
import typing as t
import urllib.parse

from lab.shell import ROOT, wait_until

sys.path.insert(0, str(ROOT / ".ansible/collections"))
from ansible_collections.covstack.selfhosted.plugins.module_utils._container_probe import sign  # noqa: E402

PATIENCE = 60  # of a client, in seconds
PUT, GET = "PUT", "GET"


@dataclasses.dataclass
class Answers:
    """Of one kind of request."""

    asked: int = 0
    failed: list[str] = dataclasses.field(default_factory=list)
    successes: list[float] = dataclasses.field(default_factory=list)  # when
    slowest: float = 0.0

    @property
    def gap(self) -> float:
        """The longest time without a success."""
        moments = sorted(self.successes)
        return max((later - earlier for earlier, later in zip(moments, moments[1:])), default=float("inf"))

    def __str__(self) -> str:
        return f"{len(self.failed)} of {self.asked} failed, {self.gap:.1f} s without a success, slowest {self.slowest:.1f} s"


@dataclasses.dataclass(frozen=True)
class Bucket:
    """As its clients know it; signatures are made for the host of this URL."""

    url: str
    name: str
    access_key: str
    secret_key: str

    def request(self, method: str, key: str, body: bytes | None = None, gateway: str = "") -> bytes:
        """The answer's body; through one gateway instead of the public address where one is given. Raises OSError."""
        place = urllib.parse.urlsplit(sign(method, self.url, f"/{self.name}/{key}", "us-east-1", self.access_key, self.secret_key, 60, time.time()))
        connection = http.client.HTTPConnection(gateway or place.netloc, timeout=PATIENCE)
        try:
            connection.request(method, f"{place.path}?{place.query}", body, {"Host": place.netloc})
            answer = connection.getresponse()
            content = answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"{type(error).__name__} {error}") from None
        finally:
            connection.close()
        if answer.status != 200:
            raise OSError(f"{answer.status} {content[:200]!r}")
        return content


class Traffic:
    """As long as the block runs: so many writes and as many reads a second. What was acknowledged once is read later."""

    def __init__(self, bucket: Bucket, rate: float, stored: dict[str, str]) -> None:
        """stored: key -> digest of what was acknowledged; grows."""
        self.bucket, self.rate, self.stored = bucket, rate, stored
        self.answers = {PUT: Answers(), GET: Answers()}
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Traffic:
        if not self.stored:
            self._put()
        assert self.stored, self.answers[PUT].failed
        self._pacer = threading.Thread(target=self._pace)
        self._pacer.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._over.set()
        self._pacer.join()
        for thread in self._threads:
            thread.join()

    def goes_on(self, writes: int) -> None:
        """Until so many more were written or failed."""
        wanted = self.answers[PUT].asked + writes
        wait_until(f"{writes} more writes", lambda: self.answers[PUT].asked >= wanted, 10 * writes / self.rate + PATIENCE)

    def _pace(self) -> None:
        begun = time.monotonic()
        number = 0
        while not self._over.wait(max(0.0, begun + number / self.rate - time.monotonic())):
            for ask in (self._put, self._get):
                thread = threading.Thread(target=ask)
                thread.start()
                self._threads.append(thread)
            number += 1

    def _put(self) -> None:
        key, body = f"traffic/{secrets.token_hex(12)}", random.randbytes(random.randint(2_000, 100_000))
        if self._asked(PUT, key, body) is not None:
            with self._lock:
                self.stored[key] = digest(body)

    def _get(self) -> None:
        with self._lock:
            key, expected = random.choice(list(self.stored.items()))
        content = self._asked(GET, key)
        if content is not None and digest(content) != expected:
            with self._lock:
                self.answers[GET].failed.append(f"{key} has another content than what was acknowledged")

    def _asked(self, method: str, key: str, body: bytes | None = None) -> bytes | None:
        begun, content, problem = time.monotonic(), None, ""
        try:
            content = self.bucket.request(method, key, body)
        except OSError as error:
            problem = f"{method} {key} after {time.monotonic() - begun:.1f} s: {error}"
        with self._lock:
            answers = self.answers[method]
            answers.asked += 1
            if problem:
                answers.failed.append(problem)
            else:
                answers.successes.append(time.monotonic())
                answers.slowest = max(answers.slowest, time.monotonic() - begun)
        return content


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def unreadable(bucket: Bucket, stored: t.Mapping[str, str], gateway: str = "") -> list[str]:
    """What was acknowledged and cannot be read back byte for byte."""
    missing = []
    for key, expected in stored.items():
        try:
            if digest(bucket.request(GET, key, gateway=gateway)) != expected:
                missing.append(f"{key}: another content")
        except OSError as error:
            missing.append(f"{key}: {error}")
    return missing
