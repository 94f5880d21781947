# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The six git providers."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_merge import merge_layers
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_schema import PROVIDERS
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_validate import validate_install
from ansible_collections.covstack.selfhosted.plugins.module_utils._providers import callbacks_of, provider_layer, provider_secrets, webhooks_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._secrets import references
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.config_examples import good_config, unhurried
from hypothesis import given
from hypothesis import strategies as st

URL = "https://codecov.example.com"
ALL: dict[str, Any] = {
    "github": {"client_id": "gh", "bot": {"username": "robot"}, "app": {"id": 5, "pem": "/config/github.pem"}, "organizations": ["acme"]},
    "github_enterprise": {"client_id": "ghe", "url": "https://ghe.example.com", "app": {"id": 6}},
    "gitlab": {"client_id": "gl", "global_upload_token": True},
    "gitlab_enterprise": {"client_id": "gle", "url": "https://gl.example.com", "ssl_pem": "/config/ca.pem", "webhook_validation": True},
    "bitbucket": {"client_id": "bb"},
    "bitbucket_server": {"client_id": "bbs", "url": "https://bb.example.com/bitbucket"},
}
CALLBACKS = {
    "github": f"{URL}/login/gh",
    "github_enterprise": f"{URL}/login/ghe",
    "gitlab": f"{URL}/login/gitlab",
    "gitlab_enterprise": f"{URL}/login/gle",
    "bitbucket": f"{URL}/login/bitbucket",
    "bitbucket_server": f"{URL}/login/bbs",
}


def test_all_six_make_a_layer_that_is_valid() -> None:
    layer = provider_layer(ALL, URL)
    assert layer.problems == []
    assert layer.callbacks == CALLBACKS
    assert list(layer.fragment) == list(PROVIDERS)
    merged = merge_layers([("base", good_config()), ("codecov_providers", layer.fragment)])
    assert [str(problem) for problem in validate_install(merged.config, line="codecov")] == []
    assert callbacks_of(merged.config) == CALLBACKS
    assert webhooks_of(merged.config)["gitlab_enterprise"] == f"{URL}/webhooks/gitlab_enterprise"


def test_the_address_sent_to_the_provider_is_the_one_to_register() -> None:
    fragment, callbacks, _problems = provider_layer(ALL, URL)
    for name in ("gitlab", "gitlab_enterprise", "bitbucket"):
        assert fragment[name]["redirect_uri"] == callbacks[name]
    own = provider_layer({"gitlab": {"client_id": "a", "redirect_uri": "https://old.example.com/login/gitlab"}}, URL)
    assert own.callbacks == {"gitlab": "https://old.example.com/login/gitlab"} and own.fragment["gitlab"]["redirect_uri"] == own.callbacks["gitlab"]


def test_every_secret_that_is_named_is_generated_or_asked_for() -> None:
    generated, given_ = provider_secrets(ALL)
    names = {spec.name for spec in generated} | set(given_)
    assert set(references(provider_layer(ALL, URL).fragment)) == names
    assert "bitbucket_server_client_secret" not in names
    assert {spec.name for spec in generated} == {"github_webhook_secret", "github_enterprise_webhook_secret", "gitlab_webhook_secret",
                                                 "gitlab_enterprise_webhook_secret", "gitlab_global_upload_token"}


def test_a_provider_with_errors_makes_no_layer() -> None:
    layer = provider_layer({"github": {"client_id": 5}, "gitlab": {"client_id": "a"}}, URL)
    assert list(layer.fragment) == ["gitlab"] and len(layer.problems) == 1


def test_certificates_that_are_not_checked_are_a_warning() -> None:
    layer = provider_layer({"gitlab": {"client_id": "a", "verify_ssl": False}}, URL)
    assert [problem.level for problem in layer.problems] == ["warning"] and layer.fragment["gitlab"]["verify_ssl"] is False


@pytest.mark.parametrize("url", ["", None, 5])
def test_without_an_address_there_are_no_callbacks(url: Any) -> None:
    assert callbacks_of({"setup": {"codecov_url": None}, "github": {"client_id": "a"}}) == {}


values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.sampled_from(["https://a", "${secret:x}"]),
                      lambda inner: st.lists(inner, max_size=2)
                      | st.dictionaries(st.text(max_size=5) | st.sampled_from(["id", "pem", "username"]), inner, max_size=3))
names = st.text(max_size=6) | st.integers() | st.sampled_from(["client_id", "url", "app", "bot", "verify_ssl", "organizations", "client_secret"])


@unhurried
@given(values | st.dictionaries(st.sampled_from([*PROVIDERS, "gh", 5]), values | st.dictionaries(names, values, max_size=4), max_size=3))
def test_any_settings_are_judged_without_a_crash(providers: Any) -> None:
    for problem in provider_layer(providers, URL).problems:
        assert len(str(problem).splitlines()) == 1
