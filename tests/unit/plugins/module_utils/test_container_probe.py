# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the probe concludes by itself; tests/probe has its checks among real servers."""

from __future__ import annotations

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils import _container_probe as probe


@pytest.mark.parametrize(("own", "of_redis", "state"), [
    (10.0, [600], None),
    (600.0, [600, 700], None),
    # Redis counts whole seconds: it may be almost one second older than it says.
    (600.9, [600], None),
    (602.0, [600], "warning"),
    # A broker of its own counts as well.
    (600.0, [900, 12], "warning"),
    (600.0, [], "skipped"),
])
def test_a_container_that_is_older_than_redis(own: float, of_redis: list[int], state: str | None) -> None:
    if state is None:
        assert probe.judge_ages(own, of_redis).startswith("Redis has run for")
        return
    with pytest.raises(probe.Finding) as raised:
        probe.judge_ages(own, of_redis)
    assert raised.value.state == state


def test_the_age_of_the_first_process() -> None:
    assert 0 < probe.seconds_since_start() < 10**9
