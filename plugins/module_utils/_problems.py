# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One clear line about one wrong setting: what, where, what is allowed and the way out.

Private to this collection. Pure: also runs on the controller, inside action plugins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Tuple

ERROR = "error"
WARNING = "warning"

KeyPath = Tuple[Any, ...]

_PLAIN_KEY = re.compile(r"^[A-Za-z0-9_-]+$")
# Everything str.splitlines() and terminals treat as more than a character.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SPACES = re.compile(r"\s{2,}")


def one_line(text: str) -> str:
    """The text without line breaks, control characters and what cannot be encoded."""
    flat = _SPACES.sub(" ", _CONTROL.sub(" ", text)).strip()
    return flat.encode("utf-8", "replace").decode("utf-8")


def shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def show(value: Any) -> str:
    """A value as the reader wrote it, short; never call it with a secret."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, str):
        return f"'{shorten(one_line(value))}'"
    if isinstance(value, (int, float)):
        # Python refuses to print integers of thousands of digits.
        return shorten(repr(value)) if not isinstance(value, int) or abs(value) < 10**40 else "a huge number"
    return f"a {type(value).__name__}"


def format_path(path: Iterable[Any]) -> str:
    """('setup', 'admins', 0) -> setup.admins[0]; keys with other characters: services["avatars.io"]."""
    text = ""
    for element in path:
        if isinstance(element, str) and _PLAIN_KEY.match(element):
            text += f".{element}" if text else element
        elif isinstance(element, str):
            escaped = element.replace("\\", "\\\\").replace('"', '\\"')
            text += f'["{escaped}"]'
        elif isinstance(element, int) and not isinstance(element, bool):
            text += f"[{element}]" if abs(element) < 10**40 else "[...]"
        else:
            text += f"[{element!r}]"
    return text


@dataclass(frozen=True)
class Problem:
    """What is wrong with one setting. `str()` is one line."""

    level: str
    path: str
    message: str
    allowed: str = ""
    way_out: str = ""
    place: str = ""

    @property
    def is_error(self) -> bool:
        return self.level == ERROR

    def at(self, place: str) -> Problem:
        return replace(self, place=place)

    def __str__(self) -> str:
        where = f"{self.path} ({self.place})" if self.place not in ("", self.path) else self.path
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        way_out = f" -> {self.way_out}" if self.way_out else ""
        return one_line(f"{where}: {self.message}{allowed}{way_out}")


def error(path: str, message: str, way_out: str) -> Problem:
    return Problem(ERROR, path, message, way_out=way_out)


def warning(path: str, message: str, way_out: str) -> Problem:
    return Problem(WARNING, path, message, way_out=way_out)


def errors_of(problems: Iterable[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.is_error]


def warnings_of(problems: Iterable[Problem]) -> list[Problem]:
    return [problem for problem in problems if not problem.is_error]
