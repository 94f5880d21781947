# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Whether a release is as the last complete run left it: the same input of the run, the same revision, the same Secrets.

The mark is an annotation at Helm's own record of the revision. Helm writes its records without it, so any revision since then has none.

Private to this collection.
"""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.covstack.selfhosted.plugins.module_utils._cluster_client import Api, ClusterError

ANNOTATION = "covstack.selfhosted/as-left"
# Neither the values of a release nor those of a Secret.
METADATA_ALONE = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
MERGE_PATCH = "application/merge-patch+json"


def _secrets(api: Api, namespace: str, selector: str) -> list[dict[str, Any]]:
    found = api.items(f"/api/v1/namespaces/{namespace}/secrets?labelSelector={selector}", accept=METADATA_ALONE)
    return [item["metadata"] for item in found or []]


def records(api: Api, namespace: str, release: str) -> list[dict[str, Any]]:
    """Metadata of Helm's records of the revisions of a release, the newest first."""
    found = _secrets(api, namespace, f"owner%3Dhelm%2Cname%3D{release}")
    return sorted(found, key=lambda metadata: -int(metadata["labels"]["version"]))


def mark_of(record: dict[str, Any]) -> dict[str, Any]:
    """What the last complete run wrote down about a revision."""
    return dict(json.loads((record.get("annotations") or {}).get(ANNOTATION, "{}")))


def _state(api: Api, namespace: str, release: str, inputs: str) -> dict[str, Any]:
    ours = _secrets(api, namespace, f"app.kubernetes.io%2Fmanaged-by%3Dcovstack.selfhosted%2Capp.kubernetes.io%2Finstance%3D{release}")
    return {"inputs": inputs, "secrets": {metadata["name"]: metadata["resourceVersion"] for metadata in ours}}


def as_left(api: Api, namespace: str, release: str, newest: dict[str, Any], inputs: str) -> bool:
    mark = mark_of(newest)
    return newest["labels"]["status"] == "deployed" and bool(mark) and {**mark, **_state(api, namespace, release, inputs)} == mark


def remember(api: Api, namespace: str, release: str, inputs: str, proved: bool) -> list[str]:
    """Write down how the release is. What is wrong with it, if anything, is returned instead."""
    newest = next(iter(records(api, namespace, release)), None)
    if newest is None or newest["labels"]["status"] != "deployed":
        return [f"the release is {newest['labels']['status'] if newest else 'not there'}"]
    mark = json.dumps({**_state(api, namespace, release, inputs), "proved": proved}, sort_keys=True)
    patch = {"metadata": {"annotations": {ANNOTATION: mark}}}
    if api.call(f"/api/v1/namespaces/{namespace}/secrets/{newest['name']}", "PATCH", patch, content_type=MERGE_PATCH) is None:
        raise ClusterError(f"the account may not patch secrets in the namespace {namespace}")
    return []
