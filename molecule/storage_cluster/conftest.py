# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
import yaml
from scenarios.cluster import APP, URL
from scenarios.objects import Bucket
from scenarios.split import on
from scenarios.uploads import Uploads


@pytest.fixture(scope="session")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Uploads:
    return Uploads(APP, URL, tmp_path_factory.mktemp("uploads"))


@pytest.fixture(scope="session")
def bucket() -> Bucket:
    settings = yaml.safe_load(on(APP, "cat /opt/codecov/config/codecov.yml"))["services"]["minio"]
    return Bucket(URL, settings["bucket"], settings["access_key_id"], settings["secret_access_key"])


@pytest.fixture(scope="session")
def stored() -> dict[str, str]:
    """Everything that was acknowledged, over all tests."""
    return {}
