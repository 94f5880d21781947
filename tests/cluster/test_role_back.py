# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Going back to a revision by its number, and what rollback and removal say that they would do."""

from __future__ import annotations

import pytest

from cluster.harness import UNPROVED, Cluster, State


@pytest.fixture(scope="module")
def scaled(cluster: Cluster, deployed: State) -> State:
    """Two revisions after the first one."""
    three = cluster.state_after(deployed, "scale", codecov_replicas={"api": 3}, **UNPROVED)
    return cluster.state_after(three, "scale", codecov_replicas={"api": 4}, **UNPROVED)


def least(cluster: Cluster) -> int:
    return int(cluster.objects("HorizontalPodAutoscaler")["codecov-api-blue"]["spec"]["minReplicas"])


def test_rollback_goes_to_the_revision_that_is_named(cluster: Cluster, scaled: State) -> None:
    cluster.begin(scaled)
    assert least(cluster) == 4
    cluster.play("rollback", codecov_release="1", **UNPROVED)
    assert least(cluster) == 2


def test_a_check_of_rollback_says_the_revision_and_writes_nothing(cluster: Cluster, scaled: State) -> None:
    cluster.begin(scaled)
    assert "Would put revision 2 of codecov in force." in cluster.play("rollback", "--check", **UNPROVED)
    assert cluster.writes() == []


def test_a_check_of_removal_says_so_and_writes_nothing(cluster: Cluster, scaled: State) -> None:
    cluster.begin(scaled)
    assert "Would uninstall the release codecov; volumes and secrets stay." in " ".join(cluster.play("remove", "--check").split())
    assert cluster.writes() == []


def test_a_check_of_removal_for_good_writes_nothing(cluster: Cluster, scaled: State) -> None:
    cluster.begin(scaled)
    assert "with its volumes and secrets, for good" in " ".join(cluster.play("remove", "--check", codecov_purge=True).split())
    assert cluster.writes() == []
