"""The licence banner that api and worker print when they start."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from datetime import datetime
from typing import Any

from standin.config import get_config

# Published by upstream (codecov/self-hosted, scripts/license.py): the key only keeps the licence from being read at a glance.
KEY = bytes.fromhex("fbe91b3460ffe2a1fae3d0f98da6257f")


def decode(text: str) -> dict[str, Any]:
    """Raises ValueError (binascii.Error is one) when the text is no licence."""
    from Crypto.Cipher import AES

    raw = b64decode(text)
    padded = AES.new(KEY, AES.MODE_CBC, raw[:16]).decrypt(raw[16:])
    return json.loads(padded[: -padded[-1]])


def banner() -> str | None:
    text = get_config("setup", "enterprise_license")
    if not text:
        return None
    try:
        expires = datetime.strptime(decode(str(text))["expires"], "%Y-%m-%d %H:%M:%S")
    except (ValueError, KeyError, IndexError, binascii.Error):
        return "\n==> Checking License\n    License is INVALID\n    License expires NOT FOUND <==\n"
    return f"\n==> Checking License\n    License is valid\n    License expires {expires:%Y-%m-%d %H:%M:%S} <==\n"
