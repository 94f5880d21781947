# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""inventories/strategy_3 as it is, but for what is somebody's own: the cluster, the secrets, and a storage that resolves without the internet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from lab import license

from cluster.harness import HELM, REPOSITORY, Cluster, serving

INVENTORY = REPOSITORY / "inventories" / "strategy_3"
STORAGE = {"mode": "external", "provider": "other", "host": "203.0.113.7", "bucket": "example-codecov", "region": "eu-central-1"}
OF_THE_OPERATOR = ("CODECOV_GITHUB_CLIENT_SECRET", "CODECOV_POSTGRES_PASSWORD", "CODECOV_STORAGE_ACCESS_KEY", "CODECOV_STORAGE_SECRET_KEY")


def test_the_example_passes_preflight_and_a_first_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OF_THE_OPERATOR:
        monkeypatch.setenv(name, "a-value-of-the-operator")
    monkeypatch.setenv("CODECOV_LICENSE", license.make())
    given = yaml.safe_load((INVENTORY / "group_vars" / "codecov" / "settings.yml").read_text())["codecov_kubernetes"]
    with serving() as server:
        cluster = Cluster(tmp_path, server)
        cluster.inventory = INVENTORY
        settings: dict[str, Any] = {"codecov_kubernetes": {**given, "kubeconfig": str(cluster.kubeconfig), "helm": str(HELM)}, "codecov_storage": STORAGE}
        output = cluster.play("deploy", "--check", "--diff", **settings)
        assert "failed=0" in output
        assert cluster.writes() == []
