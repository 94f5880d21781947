# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The six git providers: from settings to a layer of codecov.yml and the callback URLs to register.

Secrets are not part of the settings: they are codecov_secrets.<provider>_client_secret, <provider>_bot_key,
<provider>_global_upload_token, <provider>_app_key; webhook secrets are generated.

Private to this collection. Pure: also runs on the controller, inside action plugins.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple
from urllib.parse import urlsplit

from ansible_collections.covstack.selfhosted.plugins.module_utils._config_merge import at
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_schema import PROVIDER_TITLES, PROVIDERS
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import ERROR, WARNING, Problem, format_path, show
from ansible_collections.covstack.selfhosted.plugins.module_utils._secrets import SecretSpec, has_reference

# Where the application really waits for the user who comes back from the provider.
CALLBACK_ROUTES = {
    "github": "/login/gh",
    "github_enterprise": "/login/ghe",
    "gitlab": "/login/gitlab",
    "gitlab_enterprise": "/login/gle",
    "bitbucket": "/login/bitbucket",
    "bitbucket_server": "/login/bbs",
}
WEBHOOK_ROUTES = {name: f"/webhooks/{name}" for name in PROVIDERS}
# These send the address along, and the provider compares it with the registered one.
SENDS_REDIRECT_URI = ("gitlab", "gitlab_enterprise", "bitbucket")
NEEDS_URL = ("github_enterprise", "gitlab_enterprise", "bitbucket_server")
# Joined by rules that drop a path of the address.
URL_WITHOUT_PATH = ("github_enterprise", "gitlab_enterprise", "github", "gitlab")
# Its login signs requests without the consumer's secret.
WITHOUT_CLIENT_SECRET = ("bitbucket_server",)
SHORT_NAMES = {"gh": "github", "ghe": "github_enterprise", "gl": "gitlab", "gle": "gitlab_enterprise", "bb": "bitbucket",
               "bbs": "bitbucket_server", "stash": "bitbucket_server"}

_VARIABLE = "codecov_providers"
_Check = Callable[[Any], str]


class ProviderLayer(NamedTuple):
    fragment: dict[str, Any]
    callbacks: dict[str, str]
    problems: list[Problem]


def _text(value: Any) -> str:
    return "" if isinstance(value, str) and value.strip() else "text in quotes"


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "true or false"


def _texts(value: Any) -> str:
    return "" if isinstance(value, list) and all(isinstance(element, str) and element for element in value) else "a list of names"


def _url(value: Any) -> str:
    return "" if url_problem(value) is None else "https://host or http://host, without a slash at the end"


def _file(value: Any) -> str:
    return "" if isinstance(value, str) and value.startswith("/") else "an absolute path, as the containers see it"


_SETTINGS: dict[str, _Check] = {
    "client_id": _text,
    "url": _url,
    "api_url": _url,
    "redirect_uri": _url,
    "verify_ssl": _flag,
    "ssl_pem": _file,
    "organizations": _texts,
    "teams": _texts,
    "student_disabled": _flag,
    "scope": _text,
    "webhook_validation": _flag,
    "global_upload_token": _flag,
    "bot": lambda value: "" if isinstance(value, dict) and set(value) <= {"username"} else "{username: NAME}",
    "app": lambda value: "" if isinstance(value, dict) and set(value) <= {"id", "pem", "expires"} else "{id: NUMBER, pem: PATH}",
}
_ONLY_FOR = {
    "scope": ("gitlab", "gitlab_enterprise"),
    "webhook_validation": ("gitlab", "gitlab_enterprise"),
    "redirect_uri": SENDS_REDIRECT_URI,
    "app": ("github", "github_enterprise"),
    "teams": ("github", "github_enterprise"),
    "student_disabled": ("github", "github_enterprise"),
}
_SECRET_SETTINGS = ("client_secret", "webhook_secret", "bot_key", "token", "key", "secret", "private_key", "app_key")


def url_problem(value: Any) -> str | None:
    """Why a value is no http address of a host, or None."""
    if not isinstance(value, str) or not value:
        return "is not text"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return "is not a valid address"
    if parts.scheme not in ("http", "https"):
        return "does not begin with http:// or https://"
    host = parts.hostname or ""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]+", host) or port == 0:
        return "has no valid host name"
    if parts.username is not None or parts.password is not None:
        return "contains a user name or password"
    if parts.query or parts.fragment or value.endswith(("?", "#")):
        return "has a query or a fragment"
    if value != value.strip() or re.search(r"\s", value):
        return "contains a space"
    if value.endswith("/"):
        return "ends with a slash"
    return None


def provider_layer(providers: Any, codecov_url: str) -> ProviderLayer:
    """Settings of the providers -> (layer, callback URLs to register, problems)."""
    fragment: dict[str, Any] = {}
    callbacks: dict[str, str] = {}
    problems: list[Problem] = []
    if not isinstance(providers, Mapping):
        return ProviderLayer({}, {}, [Problem(ERROR, _VARIABLE, f"is {show(providers)}", "a mapping of providers to settings",
                                              "write codecov_providers: {github: {client_id: ...}}")])
    for name, settings in providers.items():
        found = _provider_problems(name, settings)
        problems += found
        if any(problem.is_error for problem in found):
            continue
        fragment[name] = _fragment(name, settings, codecov_url)
        if "client_id" in settings:
            callbacks[name] = callback_url(name, codecov_url, settings.get("redirect_uri"))
    return ProviderLayer(fragment, callbacks, problems)


def callback_url(name: str, codecov_url: str, redirect_uri: Any = None) -> str:
    if isinstance(redirect_uri, str) and redirect_uri and name in SENDS_REDIRECT_URI:
        return redirect_uri
    return codecov_url.rstrip("/") + CALLBACK_ROUTES[name]


def callbacks_of(config: Mapping[Any, Any]) -> dict[str, str]:
    """Callback URLs to register, of a merged configuration."""
    codecov_url = at(config, ("setup", "codecov_url"))
    if not isinstance(codecov_url, str):
        return {}
    return {name: callback_url(name, codecov_url, at(config, (name, "redirect_uri")))
            for name in PROVIDERS if at(config, (name, "client_id"))}


def webhooks_of(config: Mapping[Any, Any]) -> dict[str, str]:
    """Webhook URLs, of a merged configuration (the application registers them itself where it may)."""
    base = at(config, ("setup", "webhook_url")) or at(config, ("setup", "codecov_url"))
    if not isinstance(base, str):
        return {}
    return {name: base.rstrip("/") + WEBHOOK_ROUTES[name] for name in callbacks_of(config)}


def provider_secrets(providers: Mapping[str, Any]) -> tuple[list[SecretSpec], list[str]]:
    """Secrets that these providers need: (generated if not given, only the operator can give)."""
    generated: list[SecretSpec] = []
    given: list[str] = []
    for name, settings in providers.items():
        if name not in PROVIDERS or not isinstance(settings, Mapping):
            continue
        if _signs_webhooks(name):
            generated.append(SecretSpec(f"{name}_webhook_secret", "hex", 40))
        if settings.get("global_upload_token") is True:
            generated.append(SecretSpec(f"{name}_global_upload_token", "uuid"))
        if "client_id" in settings and name not in WITHOUT_CLIENT_SECRET:
            given.append(f"{name}_client_secret")
        if "bot" in settings:
            given.append(f"{name}_bot_key")
        if isinstance(settings.get("app"), Mapping) and "pem" not in settings["app"]:
            given.append(f"{name}_app_key")
    return generated, given


def _signs_webhooks(name: str) -> bool:
    return name.startswith(("github", "gitlab"))


def _fragment(name: str, settings: Mapping[str, Any], codecov_url: str) -> dict[str, Any]:
    result = {key: value for key, value in settings.items() if key not in ("bot", "app", "global_upload_token")}
    if "client_id" in settings and name not in WITHOUT_CLIENT_SECRET:
        result["client_secret"] = f"${{secret:{name}_client_secret}}"
    if _signs_webhooks(name):
        result["webhook_secret"] = f"${{secret:{name}_webhook_secret}}"
    if "client_id" in settings and name in SENDS_REDIRECT_URI:
        # Written out, so that what the application sends is what is printed for registration.
        result["redirect_uri"] = callback_url(name, codecov_url, settings.get("redirect_uri"))
    if settings.get("global_upload_token"):
        result["global_upload_token"] = f"${{secret:{name}_global_upload_token}}"
    if "bot" in settings:
        result["bot"] = {**settings["bot"], "key": f"${{secret:{name}_bot_key}}"}
    if "app" in settings:
        # Without a file the key travels inside codecov.yml, base64-encoded.
        pem = settings["app"].get("pem") or {"source_type": "base64env", "value": f"${{secret:{name}_app_key}}"}
        result["integration"] = {**settings["app"], "pem": pem}
    return result


def _provider_problems(name: Any, settings: Any) -> list[Problem]:
    if name not in PROVIDERS:
        return [_unknown_provider(name)]
    path = f"{_VARIABLE}.{name}"
    if not isinstance(settings, Mapping):
        return [Problem(ERROR, path, f"is {show(settings)}", "a mapping with client_id and so on",
                        f"write {name}: {{client_id: ...}}, or remove {name}")]
    problems = []
    for key, value in settings.items():
        problems += _setting_problems(name, key, value)
    if name in NEEDS_URL and "url" not in settings:
        problems.append(Problem(ERROR, f"{path}.url", "is missing", f"the address of your {PROVIDER_TITLES[name]}",
                                "set it, for example https://git.example.com"))
    if "client_id" not in settings and "bot" not in settings and "app" not in settings:
        problems.append(Problem(ERROR, f"{path}.client_id", "is missing: nobody could log in",
                                f"the id of the OAuth application registered at {PROVIDER_TITLES[name]}", f"set it, or remove {path}"))
    return problems


def _unknown_provider(name: Any) -> Problem:
    wanted = SHORT_NAMES.get(name) if isinstance(name, str) else None
    near = [wanted] if wanted else difflib.get_close_matches(str(name).lower().replace("-", "_"), PROVIDERS, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]}?" if near else ""
    return Problem(ERROR, format_path((_VARIABLE, name)), f"is not a provider{hint}", ", ".join(PROVIDERS),
                   f"write {near[0]}" if near else "use one of these names")


def _setting_problems(name: str, key: Any, value: Any) -> list[Problem]:
    path = format_path((_VARIABLE, name, key))
    if key in _SECRET_SETTINGS:
        secret = f"{name}_{key}"
        return [Problem(ERROR, path, "is a secret and does not belong here", "secrets stand in codecov_secrets, encrypted with ansible-vault",
                        f"move the value to codecov_secrets.{secret} and remove this line")]
    check = _SETTINGS.get(key) if isinstance(key, str) else None
    if check is None:
        near = difflib.get_close_matches(str(key).lower(), _SETTINGS, n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]}?" if near else ""
        return [Problem(ERROR, path, f"is unknown{hint}", ", ".join(_SETTINGS),
                        f"write {near[0]}" if near else f"for other keys of codecov.yml use codecov_config_group.{name}")]
    if key in _ONLY_FOR and name not in _ONLY_FOR[key]:
        return [Problem(ERROR, path, f"has no effect for {PROVIDER_TITLES[name]}", f"{key} for {', '.join(_ONLY_FOR[key])}", "remove it")]
    if key == "global_upload_token" and isinstance(value, str):
        return [Problem(ERROR, path, "is a secret and does not belong here", "true or false",
                        f"write true, and the token as codecov_secrets.{name}_global_upload_token (it is generated if you leave it out)")]
    allowed = check(value)
    if allowed:
        reason = url_problem(value) if check is _url else f"is {show(value)}"
        return [Problem(ERROR, path, reason or "", allowed, f"correct {path}")]
    if isinstance(value, str) and has_reference(value):
        return [Problem(ERROR, path, "refers to a secret, but would be shown in callback URLs and logs", "the value itself",
                        "write the value here")]
    return _special_problems(name, key, value, path)


def _special_problems(name: str, key: str, value: Any, path: str) -> list[Problem]:
    if key == "url" and name in URL_WITHOUT_PATH and urlsplit(value).path:
        return [Problem(ERROR, path, "has a path, which the login drops", "the address of the host alone, such as https://git.example.com",
                        "use a host name of its own for it")]
    if key == "app":
        return _app_problems(path, value)
    if key == "bot" and _text(value.get("username")):
        return [Problem(ERROR, f"{path}.username", "is missing", "the name of the bot account",
                        f"write bot: {{username: NAME}}, and its token as codecov_secrets.{name}_bot_key")]
    if key == "verify_ssl" and value is False:
        return [Problem(WARNING, path, f"certificates of {PROVIDER_TITLES[name]} are not checked", "",
                        "set ssl_pem to your CA file and remove verify_ssl")]
    return []


def _app_problems(path: str, value: Mapping[str, Any]) -> list[Problem]:
    problems = []
    number = value.get("id")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        problems.append(Problem(ERROR, f"{path}.id", f"is {show(number)}", "the number of the GitHub App, without quotes",
                                "copy the App ID from its settings page"))
    if "pem" in value and _file(value["pem"]):
        problems.append(Problem(ERROR, f"{path}.pem", "is not the path of a file", "an absolute path, as the containers see it",
                                "remove it and give the key, base64-encoded, as a secret of the name <provider>_app_key"))
    return problems
