# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chart without the collection, by the command of its README, with Helm 3 and 4."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import pytest
import yaml

from cluster.harness import CHART, HELMS, SECRET, Cluster, serving

EXAMPLE = CHART / "values" / "codecov_trial.yaml"
SECRETS = dict.fromkeys(re.findall(r"\$\{secret:(\w+)\}", EXAMPLE.read_text()), SECRET)


@pytest.fixture
def cluster(tmp_path: pathlib.Path) -> Iterator[Cluster]:
    with serving() as server:
        yield Cluster(tmp_path, server)


def of_readme(tmp_path: pathlib.Path) -> list[str]:
    """The command, with this checkout's files and the tests' namespace."""
    secrets = tmp_path / "secrets.yaml"
    secrets.write_text(yaml.safe_dump({"secrets": SECRETS}))
    [command] = re.findall(r"^ *helm (upgrade .*)$", (CHART / "README.md").read_text(), re.MULTILINE)
    files = {"charts/codecov": str(CHART), "codecov.yaml": str(EXAMPLE), "secrets.yaml": str(secrets)}
    words = [files.get(word, word) for word in str(command).split()]
    at = words.index("--namespace")
    return words[:at] + words[at + 2 :]


@pytest.mark.parametrize("version", HELMS)
def test_a_release_from_its_installation_to_its_end(cluster: Cluster, tmp_path: pathlib.Path, version: str) -> None:
    def helm(*arguments: str) -> list[str]:
        cluster.helm(*arguments, version=version)
        return cluster.writes()

    def minimum() -> int:
        return int(cluster.objects("HorizontalPodAutoscaler")["codecov-api-blue"]["spec"]["minReplicas"])

    command = of_readme(tmp_path)
    assert [written for written in helm(*command) if written.startswith("create Job/")] == ["create Job/codecov-first-migrate"]
    assert minimum() == 2
    written = helm(*command, "--set", "services.api.autoscaling.minimum=4")
    assert written.index("create Job/codecov-migrate") < written.index("update HorizontalPodAutoscaler/codecov-api-blue")
    assert minimum() == 4
    helm("rollback", "codecov", "1", "--wait")
    assert minimum() == 2
    helm("uninstall", "codecov")
    assert cluster.objects("Deployment") == cluster.objects("StatefulSet") == cluster.objects("Secret") == {}
