# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that the chart is rendered with: each that changes what is rendered, on both lines, with embedded and external data services; and two colours."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils._kubernetes import Slot, values_for_helm, values_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._secrets import references
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.settings_examples import EMBEDDED, EXTERNAL, cluster

LINES = ("codecov", "codecov_enterprise")
BASES = {"embedded": EMBEDDED, "external": EXTERNAL}
EXPOSED = ("nginx, cert-manager", "Gateway API", "load balancer", "internal")
# What no text may hold in clear: given to Helm as the value of every secret.
CLEAR = 'very-"secret": {value}'
# A password in a URL has no such characters (rules of the collection).
PLAIN = "very-secret-value"
SCHEDULE = [
    {"name": "morning", "cron": "0 7 * * 1-5", "time_zone": "Europe/Berlin", "minimum": {"worker": 12}},
    {"name": "evening", "cron": "0 19 * * 1-5", "time_zone": "Europe/Berlin", "minimum": {"worker": 2}},
]
PEER = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}
VARIATIONS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "nginx, cert-manager": {"ingress": {"class": "nginx", "issuer": "letsencrypt"}},
    "own certificate": {"ingress": {"tls_secret": "codecov-tls"}},
    "Gateway API": {"expose": "gateway", "gateway": {"name": "shared", "namespace": "gateways", "section": "https"}},
    "load balancer": {"expose": "load_balancer", "load_balancer": {"annotations": {"a": "b"}, "source_ranges": ["10.0.0.0/8"]}},
    "internal": {"expose": "internal"},
    "no autoscaling": {"autoscaling": {"enabled": False}},
    "schedule": {"autoscaling": {"schedule": SCHEDULE, "maximum": {"worker": 16}}},
    "External Secrets": {"secrets": {"source": "external_secrets", "store": "vault", "keys": {"cookie_secret": "codecov/cookie"}}},
    "existing Secret": {"secrets": {"source": "existing", "name": "ours"}, "ca_secret": "scm-ca-cert"},
    "identity": {"identity": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/codecov"}, "labels": {"azure.workload.identity/use": "true"}}},
    "scheduling": {
        "scheduling": {"priority_class": "high", "node_selector": {"a": "b"}, "tolerations": [{"key": "k", "operator": "Exists"}], "spread": "hard"},
        "pull_secrets": ["registry"],
        "volumes": {"storage_class": "fast"},
    },
    "narrow network": {"network_policies": {"ingress_from": [PEER], "metrics_from": [PEER]}},
    "open network": {"network_policies": {"enabled": False}},
}
# Settings that other deployments have, too, as far as they change what a cluster is sent.
DIGEST = "sha256:" + "0" * 64
COMMON: dict[str, dict[str, Any]] = {
    "mirror and digests": {"codecov_images": {"registry": "mirror.example.com/codecov", "digests": {"api": DIGEST, "postgres": DIGEST}, "pull": "always"}},
    "minio": {"codecov_storage": {"provider": "minio"}},
    "timescale": {"codecov_timescale": {"mode": "embedded"}},
    "no statsd": {"codecov_statsd": {"mode": "disabled"}},
    "plain HTTP": {"codecov_url": "http://codecov.example.com:8080"},
    "larger": {"codecov_sizing": {"reports_per_minute": 400}, "codecov_replicas": {"worker": 9}},
}
SLOTS: dict[str, dict[str, Slot]] = {
    "stage": {"blue": Slot(), "green": Slot(weight=0, images={"api": {"tag": "26.6.11"}}, host="stage.example.com")},
    "shared": {"blue": Slot(weight=20), "green": Slot(weight=80)},
    "parked": {"blue": Slot(weight=0, parked=True), "green": Slot()},
}
# Embedded storage is reached through the ingress; embedded services have files with secrets, which no operator writes.
EXTERNAL_ONLY = ("load balancer", "internal", "External Secrets", "existing Secret")


def values(variation: str = "as it comes", line: str = "codecov", where: str = "embedded", slots: dict[str, Slot] | None = None, **more: Any) -> dict[str, Any]:
    """Values as the collection writes them, but with the secrets, as for Helm alone."""
    deployment = cluster({"codecov_line": line, "codecov_kubernetes": VARIATIONS[variation], **more}, BASES[where])
    rendered = values_of(deployment, slots)
    content = values_for_helm(deployment)["config"]["content"]
    named = {*references(content), *references(rendered["files"]["content"])}
    secrets = {name: PLAIN if any(part in name for part in ("postgres", "redis", "storage", "timescale")) else CLEAR for name in named}
    return {**rendered, "config": {**rendered["config"], "content": content}, "secrets": secrets}


@dataclasses.dataclass(frozen=True)
class Case:
    """Settings, and whether there is a release already, whose pods are there while the next one is migrated."""

    line: str = "codecov"
    where: str = "embedded"
    variation: str = "as it comes"
    common: str = ""
    slots: str = ""
    is_upgrade: bool = False

    @property
    def values(self) -> dict[str, Any]:
        return values(self.variation, self.line, self.where, SLOTS.get(self.slots), **COMMON.get(self.common, {}))

    @property
    def flags(self) -> tuple[str, ...]:
        return ("--is-upgrade",) if self.is_upgrade else ()

    @property
    def existing_secrets(self) -> set[str]:
        return {"ours", "scm-ca-cert"} if self.variation == "existing Secret" else set()

    def __str__(self) -> str:
        upgrade = "upgrade" if self.is_upgrade else ""
        return "-".join(part for part in (self.line, self.where, self.variation, self.common, self.slots, upgrade) if part)

    @property
    def can_be(self) -> bool:
        return self.where == "external" or self.variation not in EXTERNAL_ONLY


CASES = [
    *(Case(*parts) for parts in itertools.product(LINES, BASES, VARIATIONS)),
    *(Case(line, common=common) for line, common in itertools.product(LINES, COMMON)),
    *(Case(where=where, variation=variation, slots=slots) for where, variation, slots in itertools.product(BASES, (*EXPOSED, "schedule"), SLOTS)),
    *(Case(line, where, is_upgrade=True) for line, where in itertools.product(LINES, BASES)),
    *(Case(where="external", variation=variation, is_upgrade=True) for variation in ("External Secrets", "existing Secret")),
]
every_case = pytest.mark.parametrize("case", [case for case in CASES if case.can_be], ids=str)
