# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checkout as the collection, by Ansible's own import hook, for tests that import its code; and one cluster for all tests that run playbooks.

Each test says by `begin` what it finds there, so their order is of no importance, and what several begin with is made once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

from cluster.harness import REPOSITORY, Cluster, State, running

if not any(isinstance(hook, _AnsibleCollectionFinder) for hook in sys.meta_path):
    _AnsibleCollectionFinder(paths=[str(REPOSITORY / ".ansible" / "collections")])._install()


@pytest.fixture(scope="session", autouse=True)
def application(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[Cluster] | None]:
    """It takes a while to come up; the tests that do without it go first, by the names of their files."""
    if not any("deployed" in getattr(item, "fixturenames", ()) for item in request.session.items):
        yield None
        return
    with ExitStack() as running_until_the_end, ThreadPoolExecutor() as background:
        yield background.submit(running_until_the_end.enter_context, running(tmp_path_factory.mktemp("cluster")))


@pytest.fixture(scope="session")
def cluster(application: Future[Cluster] | None) -> Cluster:
    assert application is not None
    return application.result()


@pytest.fixture(scope="session")
def deployed(cluster: Cluster) -> State:
    """After the first deployment."""
    return cluster.state_after(cluster.empty, "deploy")
