# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A trial licence for disposable deployments, in the format that upstream publishes (codecov/self-hosted, scripts/license.py)."""

from __future__ import annotations

import base64
import json
import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from .shell import CACHE, locked

# Printed in the application's public source: it keeps the format, not a secret.
KEY = bytes.fromhex("fbe91b3460ffe2a1fae3d0f98da6257f")
FILE = CACHE / "license"
BLOCK = 16


def make(expires: str = "2099-12-31 00:00:00") -> str:
    content = {"company": "covstack lab", "expires": expires, "users": 10, "repos": None, "url": None, "trial": True, "pr_billing": False}
    plain = json.dumps(content).encode()
    padding = BLOCK - len(plain) % BLOCK
    vector = os.urandom(BLOCK)
    encryptor = Cipher(algorithms.AES(KEY), modes.CBC(vector)).encryptor()
    return base64.b64encode(vector + encryptor.update(plain + bytes([padding]) * padding) + encryptor.finalize()).decode()


def ensure() -> str:
    """The lab's licence, the same in every run: a changed one would be a changed deployment."""
    with locked("license"):
        if not FILE.exists():
            FILE.touch(mode=0o600)
            FILE.write_text(make())
    return FILE.read_text()
