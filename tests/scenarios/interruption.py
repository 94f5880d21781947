# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a service does not answer."""

from __future__ import annotations

import http.client
import ssl
import threading
import time

from lab.shell import wait_until

PER_SECOND = 20


class Interruption:
    """Twenty new connections a second, each with a second of patience."""

    def __init__(self, address: str, path: str, expected: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.address, self.path, self.expected, self.tls = address, path, expected, tls

    def __enter__(self) -> Interruption:
        self.answered: list[float] = [time.monotonic()]
        self.asked = self.failed = 0
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._pacer = threading.Thread(target=self._pace)
        self._pacer.start()
        return self

    def _pace(self) -> None:
        while not self._stop.wait(1 / PER_SECOND):
            thread = threading.Thread(target=self._ask)
            thread.start()
            self._threads.append(thread)

    def _ask(self) -> None:
        connection = http.client.HTTPSConnection(self.address, timeout=1, context=self.tls) if self.tls else http.client.HTTPConnection(self.address, timeout=1)
        self.asked += 1
        try:
            connection.request("GET", self.path)
            answer = connection.getresponse()
            if answer.status == 200 and self.expected in answer.read().decode():
                self.answered.append(time.monotonic())
            else:
                self.failed += 1
        except (OSError, http.client.HTTPException):
            self.failed += 1
        finally:
            connection.close()

    def goes_on(self, requests: int) -> None:
        """Until so many more were asked: what a measurement has before and after what it measures."""
        wanted = self.asked + requests
        wait_until(f"{requests} more requests", lambda: self.asked >= wanted, 10 * requests / PER_SECOND)

    def __exit__(self, *_details: object) -> None:
        self._stop.set()
        self._pacer.join()
        for thread in self._threads:
            thread.join()
        self.answered.append(time.monotonic())

    @property
    def seconds(self) -> float:
        """The longest time between two answers."""
        moments = sorted(self.answered)
        return max(later - earlier for earlier, later in zip(moments, moments[1:]))
