# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""What Helm remembers of a revision, in a Secret: the release as JSON, packed and encoded twice (once by Helm, once as the content of any Secret)."""

from __future__ import annotations

import base64
import gzip
import json
import typing as t


def record_name(release: str, revision: int) -> str:
    return f"sh.helm.release.v1.{release}.v{revision}"


def values_in(record: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """The values that were given for the revision."""
    packed = base64.b64decode(base64.b64decode(record["data"]["release"]))
    return dict(json.loads(gzip.decompress(packed)).get("config") or {})


def revision_that_serves(revisions: t.Iterable[t.Mapping[str, t.Any]]) -> t.Optional[int]:
    """The newest one that Helm calls deployed: one that failed, or is on its way, does not serve."""
    return next((revision["revision"] for revision in revisions if revision["status"] == "deployed"), None)
