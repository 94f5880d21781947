# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import gzip
import json

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils._helm_release import Object, content_of, objects_in, record_name, revision_that_serves

MANIFEST = """\
---
# Source: codecov/templates/application.tpl
apiVersion: apps/v1
kind: Deployment
metadata:
  name: codecov-api-blue
  namespace: ours
spec:
  template:
    metadata:
      labels: {}
---
apiVersion: v1
kind: Service
metadata:
  name: codecov
---
apiVersion: batch/v1
kind: Job
metadata:
  name: codecov-first-migrate
"""


def test_a_record_holds_values_and_objects() -> None:
    release = {"config": {"slots": {"blue": {"weight": 100}}}, "manifest": MANIFEST}
    packed = gzip.compress(json.dumps(release).encode())
    assert content_of({"data": {"release": base64.b64encode(base64.b64encode(packed)).decode()}}) == release


def test_a_job_that_went_is_not_missed() -> None:
    assert objects_in({"manifest": MANIFEST}) == [Object("apps/v1", "Deployment", "codecov-api-blue"), Object("v1", "Service", "codecov")]
    assert objects_in({}) == []


@pytest.mark.parametrize(
    ("item", "path"),
    [
        (Object("v1", "ConfigMap", "x"), "/api/v1/namespaces/ours/configmaps"),
        (Object("networking.k8s.io/v1", "Ingress", "x"), "/apis/networking.k8s.io/v1/namespaces/ours/ingresses"),
        (Object("networking.k8s.io/v1", "NetworkPolicy", "x"), "/apis/networking.k8s.io/v1/namespaces/ours/networkpolicies"),
        (Object("gateway.networking.k8s.io/v1", "HTTPRoute", "x"), "/apis/gateway.networking.k8s.io/v1/namespaces/ours/httproutes"),
    ],
)
def test_where_an_object_is_kept(item: Object, path: str) -> None:
    assert item.path("ours") == path


def test_the_revision_that_serves() -> None:
    revisions = [{"revision": 3, "status": "failed"}, {"revision": 2, "status": "deployed"}, {"revision": 1, "status": "superseded"}]
    assert revision_that_serves(revisions) == 2
    assert record_name("codecov", 2) == "sh.helm.release.v1.codecov.v2"
