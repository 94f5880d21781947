# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Licences, made as Codecov makes them and read with both means of decrypting."""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Callable

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils._license import (
    LicenseError,
    decode_license,
    decrypt_with_cryptography,
    license_problems,
    openssl_arguments,
)
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.config_examples import encrypt, make_license

URL = "https://codecov.example.com"


def decrypt_with_openssl(key: bytes, iv: bytes, data: bytes) -> bytes:
    openssl = shutil.which("openssl")
    assert openssl, "the openssl program is needed for this test"
    return subprocess.run(openssl_arguments(openssl, key, iv), input=data, stdout=subprocess.PIPE, check=True).stdout


both = pytest.mark.parametrize("decrypt", [decrypt_with_cryptography, decrypt_with_openssl])


@both
def test_a_licence_is_read(decrypt) -> None:  # type: ignore[no-untyped-def]
    license_ = decode_license(make_license(days=100, company="Blåbær AS", users="50", url=URL, pr_billing=True), decrypt)
    assert (license_.company, license_.days_left, license_.users, license_.repositories) == ("Blåbær AS", 100, 50, None)
    assert (license_.url, license_.trial, license_.pull_request_billing) == (URL, False, True)


@both
def test_every_length_is_read(decrypt) -> None:  # type: ignore[no-untyped-def]
    for length in range(17):
        assert decode_license(make_license(company="x" * length), decrypt).company == ("x" * length or None)


# Made when they are used: what pytest shows of a case must be the same in every process.
UNREADABLE: dict[str, tuple[Callable[[], str], str]] = {
    "empty": (lambda: "", "is empty"),
    "spaces": (lambda: "   ", "is empty"),
    "no licence": (lambda: "nonsense", "wrong length"),
    "one letter": (lambda: "A", "is not base64"),
    "cut off anywhere": (lambda: make_license()[:-6], "base64"),
    "cut off early": (lambda: make_license()[:40], "wrong length"),
    "another key": (lambda: base64.b64encode(b"x" * 64).decode(), "cannot be decoded"),
    "a list": (lambda: encrypt(b"[]"), "does not hold a licence"),
    "no json": (lambda: encrypt(b"no json"), "cannot be decoded"),
    "no date": (lambda: encrypt(b'{"company": "a"}'), "no valid date"),
    "a day without time": (lambda: encrypt(b'{"expires": "2030-12-25"}'), "no valid date"),
    "a number for a date": (lambda: encrypt(b'{"expires": 5}'), "no valid date"),
    "a word for a number": (lambda: encrypt(b'{"expires": "2030-12-25 00:00:00", "users": "many"}'), "number of users"),
}


@pytest.mark.parametrize("case", UNREADABLE)
@both
def test_what_cannot_be_read_says_why(case: str, decrypt) -> None:  # type: ignore[no-untyped-def]
    make, says = UNREADABLE[case]
    with pytest.raises(LicenseError, match=says):
        decode_license(make(), decrypt)


def problems_of(required: bool = False, days: int = 365, **content: str) -> list[str]:
    license_ = decode_license(make_license(days, **content), decrypt_with_cryptography)
    return [f"{problem.level}: {problem}" for problem in license_problems(license_, URL, required)]


def test_a_licence_that_is_valid_has_no_problem() -> None:
    assert problems_of() == problems_of(required=True) == problems_of(url=URL) == problems_of(url="codecov.example.com") == []


def test_expiry_is_told_in_time() -> None:
    assert "expires in 30 days" in problems_of(days=30)[0]
    assert problems_of(days=31) == []
    assert problems_of(days=5)[0].startswith("warning: ")


def test_an_expired_licence_stops_only_where_one_is_required() -> None:
    assert problems_of(days=-2)[0].startswith("warning: setup.enterprise_license: the licence expired on ")
    assert problems_of(days=-2, required=True)[0].startswith("error: ")


def test_a_licence_for_another_address_is_told() -> None:
    assert "other.example.com" in problems_of(url="https://other.example.com")[0]
