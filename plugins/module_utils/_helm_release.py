# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""What Helm remembers of a revision, in a Secret: the release as JSON, packed and encoded twice (once by Helm, once as the content of any Secret)."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import re
import typing as t

# In the manifest each object begins so; it is read for that alone, which takes less than a parser of YAML does.
_OBJECT = re.compile(r"^apiVersion: (?P<api_version>\S+)\nkind: (?P<kind>\S+)\nmetadata:\n  name: (?P<name>\S+)$", re.MULTILINE)
# Who deleted one that has ended has tidied up.
_PASSING = ("Job",)


def record_name(release: str, revision: int) -> str:
    return f"sh.helm.release.v1.{release}.v{revision}"


@dataclasses.dataclass(frozen=True)
class Object:
    """An object of a release, as its manifest has it."""

    api_version: str
    kind: str
    name: str

    def path(self, namespace: str) -> str:
        """Where the API server keeps those of its kind."""
        root = "/apis" if "/" in self.api_version else "/api"
        lower = self.kind.lower()
        plural = f"{lower[:-1]}ies" if lower.endswith("y") else f"{lower}es" if lower.endswith("s") else f"{lower}s"
        return f"{root}/{self.api_version}/namespaces/{namespace}/{plural}"


def content_of(record: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """The revision itself: C(config) are the values that were given, C(manifest) are its objects."""
    return dict(json.loads(gzip.decompress(base64.b64decode(base64.b64decode(record["data"]["release"])))))


def objects_in(content: t.Mapping[str, t.Any]) -> t.List[Object]:
    """What the revision brought into the cluster to stay."""
    found = [Object(**match.groupdict()) for match in _OBJECT.finditer(content.get("manifest") or "")]
    return [item for item in found if item.kind not in _PASSING]


def revision_that_serves(revisions: t.Iterable[t.Mapping[str, t.Any]]) -> t.Optional[int]:
    """The newest one that Helm calls deployed: one that failed, or is on its way, does not serve."""
    return next((revision["revision"] for revision in revisions if revision["status"] == "deployed"), None)
