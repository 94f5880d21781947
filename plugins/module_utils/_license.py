# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the licence of a Codecov installation, as the application does.

A licence is base64(IV + AES-128-CBC(JSON)). The key is printed in the application's public source code: it keeps the
format, not a secret. Decrypting needs AES, which Python's standard library lacks: `cryptography` if it is there,
else the openssl program.

Private to this collection. Pure: also runs on the controller, inside action plugins.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, Callable
from urllib.parse import urlsplit

from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import ERROR, WARNING, Problem, show

try:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

PUBLIC_KEY = bytes.fromhex("fbe91b3460ffe2a1fae3d0f98da6257f")
BLOCK = 16
EXPIRES_FORMAT = "%Y-%m-%d %H:%M:%S"
SOON_DAYS = 30
PATH = "setup.enterprise_license"

# (key, iv, ciphertext) -> padded plaintext
Decrypt = Callable[[bytes, bytes, bytes], bytes]


class LicenseError(ValueError):
    """The licence cannot be read; the message never contains it."""


@dataclass(frozen=True)
class License:
    company: str | None
    expires: str
    days_left: int
    users: int | None
    repositories: int | None
    url: str | None
    trial: bool
    pull_request_billing: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def decrypt_with_cryptography(key: bytes, iv: bytes, data: bytes) -> bytes:
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def openssl_arguments(openssl: str, key: bytes, iv: bytes) -> list[str]:
    """Only the public key and the IV are arguments; the data go through standard input."""
    return [openssl, "enc", "-d", "-aes-128-cbc", "-nopad", "-K", key.hex(), "-iv", iv.hex()]


def decode_license(raw: str, decrypt: Decrypt, now: datetime | None = None) -> License:
    """The content of a licence, or LicenseError."""
    if not isinstance(raw, str) or not raw.strip():
        raise LicenseError("is empty")
    try:
        data = base64.b64decode(raw, validate=False)
    except (binascii.Error, ValueError):
        raise LicenseError("is not base64 text (a part of it may be missing)") from None
    if len(data) < 2 * BLOCK or len(data) % BLOCK:
        raise LicenseError("has a wrong length (a part of it may be missing)")
    plain = decrypt(PUBLIC_KEY, data[:BLOCK], data[BLOCK:])
    try:
        # The application cuts the padding without looking at it.
        content = json.loads(plain[: -plain[-1]].decode("utf-8"))
    except (UnicodeDecodeError, ValueError, IndexError):
        raise LicenseError("cannot be decoded") from None
    if not isinstance(content, dict):
        raise LicenseError("does not hold a licence")
    return _license_of(content, now or datetime.now(timezone.utc))


def _license_of(content: dict[str, Any], now: datetime) -> License:
    try:
        expires = datetime.strptime(content["expires"], EXPIRES_FORMAT).replace(tzinfo=timezone.utc)
    except (KeyError, TypeError, ValueError):
        raise LicenseError("has no valid date of expiry") from None
    return License(
        company=_text(content.get("company")),
        expires=expires.strftime(EXPIRES_FORMAT),
        days_left=(expires - now).days,
        users=_count(content, "users"),
        repositories=_count(content, "repos"),
        url=_text(content.get("url")),
        trial=bool(content.get("trial")),
        pull_request_billing=bool(content.get("pr_billing")),
    )


def _text(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


def _count(content: dict[str, Any], name: str) -> int | None:
    try:
        return int(content[name]) if content.get(name) else None
    except (TypeError, ValueError):
        raise LicenseError(f"has a number of {name} that is none") from None


def license_problems(license_: License, codecov_url: Any, required: bool) -> list[Problem]:
    """What the operator should know of a licence that could be read."""
    problems = []
    renew = "ask Codecov for a new licence and set codecov_secrets.enterprise_license"
    if license_.days_left < 0:
        level = ERROR if required else WARNING
        problems.append(Problem(level, PATH, f"the licence expired on {license_.expires[:10]}", "a licence that is valid", renew))
    elif license_.days_left <= SOON_DAYS:
        problems.append(Problem(WARNING, PATH, f"the licence expires in {license_.days_left} days, on {license_.expires[:10]}",
                                "", renew))
    if license_.url and isinstance(codecov_url, str) and _host(license_.url) != _host(codecov_url):
        problems.append(Problem(WARNING, PATH, f"the licence was issued for {show(license_.url)}, not for {show(codecov_url)}",
                                "", f"set codecov_url to it, or {renew}"))
    return problems


def _host(url: str) -> str:
    try:
        return (urlsplit(url if "//" in url else f"//{url}").hostname or "").lower()
    except ValueError:
        return ""


def unreadable(reason: str) -> Problem:
    return Problem(ERROR, PATH, f"the licence {reason}", "the licence as Codecov sent it, one line of base64 text",
                   "copy it again, without line breaks, into codecov_secrets.enterprise_license")


def unchecked() -> Problem:
    return Problem(WARNING, PATH, "the licence was not checked: the host has neither the Python package cryptography nor openssl",
                   "", "install python3-cryptography or openssl on the host")


def missing() -> Problem:
    return Problem(ERROR, PATH, "there is no licence", "the licence as Codecov sent it",
                   "set codecov_secrets.enterprise_license")
