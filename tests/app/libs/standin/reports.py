"""Coverage reports: reading what clients upload, merging, totals, and the stored form (chunks.txt)."""

from __future__ import annotations

import base64
import json
import re
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

Coverage = int | str
"""Hits of a line, or "1/2" for a line of which one branch in two was taken."""

MAX_REPORT_AGE_SECONDS = 12 * 3600
END_OF_CHUNK = "\n<<<<< end_of_chunk >>>>>\n"
NETWORK_END = re.compile(r"^<<<<<< network\s*$", re.MULTILINE)
FILE_END = re.compile(r"^<<<<<< EOF\s*$", re.MULTILINE)
FILE_PATH = re.compile(r"^# path=(.*)$", re.MULTILINE)


class ReportError(Exception):
    """A report that cannot be used; `code` is what reports_uploaderror records."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Report:
    files: dict[str, dict[int, Coverage]] = field(default_factory=dict)
    sessions: int = 0

    def merge(self, other: Report) -> None:
        self.sessions += other.sessions
        for name, lines in other.files.items():
            mine = self.files.setdefault(name, {})
            for number, coverage in lines.items():
                mine[number] = better(mine.get(number), coverage)


def rank(coverage: Coverage) -> tuple[int, float]:
    if isinstance(coverage, str):
        taken, branches = coverage.split("/")
        return (2 if taken == branches else 1 if int(taken) else 0, int(taken) / int(branches))
    return (2 if coverage else 0, coverage)


def better(left: Coverage | None, right: Coverage) -> Coverage:
    return right if left is None else max(left, right, key=rank)


# Reading


def parse_upload(body: bytes, max_age: int | None = MAX_REPORT_AGE_SECONDS) -> Report:
    """A stored upload: the CLI's JSON, or the text that the older uploaders send."""
    text = body.decode(errors="replace")
    reports = list(_cli_files(text) if text.lstrip().startswith("{") else _legacy_files(text))
    merged = Report(sessions=1)
    for name, content in reports:
        merged.merge(parse_report(name, content, max_age))
    if not merged.files:
        raise ReportError("report_empty")
    return merged


def _cli_files(text: str) -> Iterator[tuple[str, str]]:
    for entry in json.loads(text)["coverage_files"]:
        data = base64.b64decode(entry["data"])
        if entry["format"] == "base64+compressed":
            data = zlib.decompress(data)
        yield entry["filename"], data.decode(errors="replace")


def _legacy_files(text: str) -> Iterator[tuple[str, str]]:
    _, _, after_network = text.rpartition("<<<<<< network")
    for part in FILE_END.split(after_network):
        path = FILE_PATH.search(part)
        content = FILE_PATH.sub("", part, count=1).strip()
        if content:
            yield (path.group(1).strip() if path else ""), content


def parse_report(name: str, content: str, max_age: int | None) -> Report:
    stripped = content.lstrip()
    if stripped.startswith("<"):
        return parse_cobertura(stripped, max_age)
    if re.search(r"^(SF|TN):", stripped, re.MULTILINE):
        return parse_lcov(stripped)
    raise ReportError("unsupported_file_format")


def parse_lcov(content: str) -> Report:
    report = Report()
    branches: dict[int, list[int]] = {}
    lines: dict[int, Coverage] = {}
    handlers: dict[str, Callable[[str], None]] = {}

    def start(value: str) -> None:
        nonlocal lines, branches
        lines, branches = report.files.setdefault(value.removeprefix("./"), {}), {}

    def line(value: str) -> None:
        number, hits = value.split(",")[:2]
        lines[int(number)] = better(lines.get(int(number)), int(hits))

    def branch(value: str) -> None:
        number, _, _, taken = value.split(",")[:4]
        branches.setdefault(int(number), []).append(0 if taken == "-" else int(taken))

    handlers = {"SF": start, "DA": line, "BRDA": branch}
    for record in content.splitlines():
        kind, _, value = record.strip().partition(":")
        if kind == "end_of_record":
            for number, taken in branches.items():
                lines[number] = f"{sum(1 for count in taken if count)}/{len(taken)}"
        elif kind in handlers:
            handlers[kind](value)
    return report


def parse_cobertura(content: str, max_age: int | None) -> Report:
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise ReportError("unsupported_file_format") from error
    if root.tag != "coverage":
        raise ReportError("unsupported_file_format")
    if max_age is not None and _is_expired(root.get("timestamp"), max_age):
        raise ReportError("report_expired")
    report = Report()
    for class_ in root.iter("class"):
        lines = report.files.setdefault(class_.get("filename", ""), {})
        for line in class_.findall("./lines/line"):
            coverage = _cobertura_coverage(line)
            number = int(line.get("number", "0"))
            lines[number] = better(lines.get(number), coverage)
    return report


def _cobertura_coverage(line: Any) -> Coverage:
    condition = re.search(r"\((\d+)/(\d+)\)", line.get("condition-coverage", "")) if line.get("branch") == "true" else None
    return f"{condition.group(1)}/{condition.group(2)}" if condition else int(line.get("hits", "0"))


def _is_expired(timestamp: str | None, max_age: int) -> bool:
    """Seconds or milliseconds since 1970; a report without a time never expires."""
    if not timestamp or not timestamp.isdigit():
        return False
    seconds = int(timestamp)
    if seconds > 10**11:
        seconds //= 1000
    return time.time() - seconds > max_age


# Totals


def percentage(hits: int, lines: int) -> str:
    if not lines or hits == 0:
        return "0"
    return "100" if hits == lines else f"{hits / lines * 100:.5f}"


def count(lines: dict[int, Coverage]) -> tuple[int, int, int]:
    """Hits, misses and partially covered lines."""
    ranks = [rank(coverage)[0] for coverage in lines.values()]
    return ranks.count(2), ranks.count(0), ranks.count(1)


def totals(report: Report) -> dict[str, Any]:
    """The compact form that commits.totals holds."""
    counts = [count(lines) for lines in report.files.values()]
    hits, misses, partials = (sum(column) for column in zip(*counts)) if counts else (0, 0, 0)
    lines = hits + misses + partials
    result = {"C": 0, "M": 0, "N": 0, "b": 0, "d": 0, "diff": None, "s": report.sessions, "f": len(report.files)}
    return {**result, "n": lines, "h": hits, "m": misses, "p": partials, "c": percentage(hits, lines)}


# Stored form


def to_chunks(report: Report) -> tuple[str, dict[str, Any]]:
    """chunks.txt (the lines of each file) and the index that says which chunk is which file."""
    chunks, files = [], {}
    for position, (name, lines) in enumerate(sorted(report.files.items())):
        rows = [json.dumps([lines[number]]) if number in lines else "" for number in range(1, max(lines, default=0) + 1)]
        chunks.append("{}\n" + "\n".join(rows))
        hits, misses, partials = count(lines)
        files[name] = [position, [0, len(lines), hits, misses, partials, percentage(hits, len(lines))]]
    return END_OF_CHUNK.join(chunks), {"files": files, "sessions": report.sessions}


def from_chunks(text: str, index: dict[str, Any]) -> Report:
    chunks = text.split(END_OF_CHUNK)
    report = Report(sessions=index["sessions"])
    for name, (position, _) in index["files"].items():
        rows = chunks[position].split("\n")[1:]
        report.files[name] = {number: json.loads(row)[0] for number, row in enumerate(rows, 1) if row}
    return report


def to_json(report: Report) -> str:
    return json.dumps({"files": report.files, "sessions": report.sessions})


def from_json(text: str | bytes) -> Report:
    data = json.loads(text)
    files = {name: {int(number): coverage for number, coverage in lines.items()} for name, lines in data["files"].items()}
    return Report(files=files, sessions=data["sessions"])
