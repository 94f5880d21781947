# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checkout as the collection, by Ansible's own import hook, for tests that import its code; and one cluster for all tests that run playbooks.

Each test says by `begin` what it finds there, so their order is of no importance, and what several begin with is made once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

from cluster.harness import REPOSITORY, Cluster, State, running

if not any(isinstance(hook, _AnsibleCollectionFinder) for hook in sys.meta_path):
    _AnsibleCollectionFinder(paths=[str(REPOSITORY / ".ansible" / "collections")])._install()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(scope="session")
def deployed(cluster: Cluster) -> State:
    """After the first deployment."""
    return cluster.state_after(cluster.empty, "deploy")
