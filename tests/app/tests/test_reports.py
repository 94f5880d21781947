"""Reading, merging and counting reports: pure functions, no servers."""

from __future__ import annotations

import time

import pytest
from client import LCOV, cli_body
from standin import reports

COBERTURA = """<?xml version="1.0"?><coverage timestamp="{timestamp}"><packages><package><classes><class filename="a.py"><lines>
<line number="1" hits="1"/><line number="2" hits="0"/><line number="3" hits="1" branch="true" condition-coverage="50% (1/2)"/>
</lines></class></classes></package></packages></coverage>"""


def test_lcov_of_the_cli():
    report = reports.parse_upload(cli_body(LCOV, "lcov.info"))
    assert report.files == {"app.py": {1: 1, 2: 1, 3: 1, 4: 0}}
    totals = reports.totals(report)
    assert {key: totals[key] for key in "fnhmpcs"} == {"f": 1, "n": 4, "h": 3, "m": 1, "p": 0, "c": "75.00000", "s": 1}


def test_text_of_the_older_uploaders():
    body = b"app.py\n<<<<<< network\n# path=lcov.info\nTN:\nSF:app.py\nDA:1,1\nDA:2,0\nend_of_record\n<<<<<< EOF\n"
    assert reports.totals(reports.parse_upload(body))["c"] == "50.00000"


def test_cobertura_counts_a_half_covered_line_as_partial():
    report = reports.parse_cobertura(COBERTURA.format(timestamp=int(time.time())), reports.MAX_REPORT_AGE_SECONDS)
    assert reports.count(report.files["a.py"]) == (1, 1, 1)


@pytest.mark.parametrize("timestamp", [int(time.time()) - 13 * 3600, (int(time.time()) - 13 * 3600) * 1000])
def test_old_reports_expire_in_seconds_and_milliseconds(timestamp):
    with pytest.raises(reports.ReportError) as caught:
        reports.parse_cobertura(COBERTURA.format(timestamp=timestamp), reports.MAX_REPORT_AGE_SECONDS)
    assert caught.value.code == "report_expired"
    assert reports.parse_cobertura(COBERTURA.format(timestamp=timestamp), None).files


@pytest.mark.parametrize(("content", "code"), [("hello", "unsupported_file_format"), ("<html></html>", "unsupported_file_format"), ("", "report_empty")])
def test_unusable_reports_have_a_code(content, code):
    with pytest.raises(reports.ReportError) as caught:
        reports.parse_upload(cli_body(content, "x") if content else b"a\n<<<<<< network\n<<<<<< EOF\n")
    assert caught.value.code == code


def test_merging_keeps_the_better_of_two_lines():
    report = reports.Report({"a": {1: 0, 2: 3, 3: "1/2"}}, sessions=1)
    report.merge(reports.Report({"a": {1: 1, 2: 0, 3: "2/2"}, "b": {1: 0}}, sessions=1))
    assert report == reports.Report({"a": {1: 1, 2: 3, 3: "2/2"}, "b": {1: 0}}, sessions=2)


def test_stored_form_reads_back():
    report = reports.Report({"b": {2: 1, 5: "1/2"}, "a": {1: 0}}, sessions=3)
    assert reports.from_chunks(*reports.to_chunks(report)) == report
    assert reports.from_json(reports.to_json(report)) == report


@pytest.mark.parametrize(("hits", "lines", "text"), [(0, 4, "0"), (4, 4, "100"), (3, 4, "75.00000"), (0, 0, "0")])
def test_percentages_are_written_as_the_application_does(hits, lines, text):
    assert reports.percentage(hits, lines) == text
