# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validating a merged codecov.yml of an installation: types, unknown keys, and the traps that only show at run time.

`validate_install()` never shows a secret and never raises on any YAML. It works before and after references to secrets
(${secret:NAME}) were replaced.

Private to this collection. Pure: also runs on the controller, inside action plugins.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any, Callable
from urllib.parse import SplitResult, parse_qs, urlsplit

from ansible_collections.covstack.selfhosted.plugins.module_utils._config_merge import (
    at,
    layer_problem,
    scalars_of,
)
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_schema import (
    APPLICATION_DEFAULTS,
    INSTALL_KEYS,
    INSTALL_TREE,
    LINES,
    PROVIDER_TITLES,
    PROVIDERS,
    PUBLIC_SECRETS,
    SITE_KEYS_REPLACED_FOR_NEW_OWNERS,
    TASK_GROUPS,
    Key,
    Node,
    is_secret,
)
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import (
    ERROR,
    WARNING,
    KeyPath,
    Problem,
    format_path,
    one_line,
    show,
)
from ansible_collections.covstack.selfhosted.plugins.module_utils._providers import (
    NEEDS_URL,
    SHORT_NAMES,
    URL_WITHOUT_PATH,
    WITHOUT_CLIENT_SECRET,
    url_problem,
)
from ansible_collections.covstack.selfhosted.plugins.module_utils._repository_yaml import validate_repository
from ansible_collections.covstack.selfhosted.plugins.module_utils._secrets import (
    BROKEN_REFERENCE,
    REFERENCE,
    has_reference,
    is_reference,
)

CODECOV = "codecov"
ENTERPRISE = "codecov_enterprise"
MODERN = (CODECOV,)

_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
_PLACEHOLDER = re.compile(r"<[A-Za-z][^<>]*>|change_?me|todo", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")
_THIS_MACHINE = ("localhost", "0.0.0.0", "::1", "::")
_DATABASE_URLS = ("database", "database_read", "timeseries_database", "timeseries_database_read", "ta_timeseries_database")
# Keys whose null makes the application fail, rather than count as missing.
_MUST_NOT_BE_NULL = "the application gets null, not the default"


class Check:
    """One validation: the configuration, where each value comes from, and what was found."""

    def __init__(self, config: Mapping[Any, Any], line: str, place: Callable[[KeyPath], str], accept_unknown: frozenset[str]) -> None:
        self.config = config
        self.line = line
        self.accept_unknown = accept_unknown
        self.problems: list[Problem] = []
        self._place = place
        # Paths whose type is wrong: rules about their value would only repeat that.
        self._wrong: set[KeyPath] = set()

    def get(self, *path: Any, default: Any = None) -> Any:
        return at(self.config, path, default)

    def has(self, *path: Any) -> bool:
        return bool(path) and path[-1] in _mapping(at(self.config, path[:-1]))

    def effective(self, *path: Any) -> Any:
        """The value that the application uses: its own default if the file has none."""
        return at(self.config, path, at(APPLICATION_DEFAULTS, path))

    def text(self, *path: Any) -> str | None:
        """The value if it is text of the right type, with references replaced by a harmless word."""
        value = self.get(*path)
        if not isinstance(value, str) or not value or self.is_wrong(path):
            return None
        return REFERENCE.sub("x" * 12, value)

    def error(self, path: KeyPath, message: str, allowed: str = "", way_out: str = "") -> None:
        self._report(ERROR, path, message, allowed, way_out)

    def warning(self, path: KeyPath, message: str, allowed: str = "", way_out: str = "") -> None:
        self._report(WARNING, path, message, allowed, way_out)

    def wrong_type(self, path: KeyPath, message: str, allowed: str, way_out: str) -> None:
        self.error(path, message, allowed, way_out)
        self._wrong.add(path)

    def is_wrong(self, path: KeyPath) -> bool:
        """Whether this value, or a section around it, was reported as a whole already."""
        return any(path[:length] in self._wrong for length in range(1, len(path) + 1))

    def _report(self, level: str, path: KeyPath, message: str, allowed: str, way_out: str) -> None:
        if self.is_wrong(path):
            return
        self.problems.append(Problem(level, format_path(path), message, allowed, way_out, place=self._place(path)))


def validate_install(config: Any, *, line: str, place: Callable[[KeyPath], str] | None = None, license_required: bool = False,
                     accept_unknown: Iterable[str] = ()) -> list[Problem]:
    """All problems of a merged installation configuration, errors first.

    `place` names the layer that set a path (MergedConfig.place); `accept_unknown` are key paths that this version of the
    collection does not know, but the operator does.
    """
    if line not in LINES:
        return [_unknown_line(line)]
    problem = layer_problem("codecov.yml", config)
    if problem is not None:
        return [problem]
    check = Check(config, line, place or (lambda path: ""), frozenset(accept_unknown))
    _check_tree(check, config, INSTALL_TREE, ())
    _check_texts(check)
    for rule in _RULES:
        rule(check)
    if license_required and not check.get("setup", "enterprise_license"):
        check.error(("setup", "enterprise_license"), "there is no licence", "the licence as Codecov sent it",
                    "set codecov_secrets.enterprise_license")
    return _without_repetition(check.problems)


def _unknown_line(line: Any) -> Problem:
    near = difflib.get_close_matches(str(line), LINES, n=1, cutoff=0.5)
    return Problem(ERROR, "codecov_line", f"is {show(line)}", " or ".join(LINES), f"write {near[0]}" if near else "choose one of them")


def _without_repetition(problems: list[Problem]) -> list[Problem]:
    unique = dict.fromkeys(problems)
    return sorted(unique, key=lambda problem: not problem.is_error)


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


# Types and unknown keys

def _check_tree(check: Check, config: Mapping[Any, Any], node: Node, path: KeyPath) -> None:
    for name, value in config.items():
        here = path + (name,)
        child = node.child(name)
        if child is None:
            _unknown_key(check, node, here)
        elif child.children and not (child.key and not isinstance(value, Mapping)):
            if isinstance(value, Mapping):
                _check_tree(check, value, child, here)
            else:
                _not_a_section(check, child, here, value)
        elif child.key is not None:
            _check_value(check, child.key, here, value)


def _not_a_section(check: Check, node: Node, path: KeyPath, value: Any) -> None:
    if value is None:
        check.wrong_type(path, "is empty (null), which takes the place of the whole section", "a mapping",
                         f"remove '{path[-1]}' or write {{}}")
        return
    names = [name for name in node.children if name != "*"][:4]
    extra = ""
    if path[:2] == ("setup", "tasks"):
        extra = " (and stops the measurement of queues)"
    check.wrong_type(path, f"is {show(value)} where a section is expected{extra}", f"a mapping with {', '.join(names)}, ...",
                     f"indent the settings below '{path[-1]}:'")


def _unknown_key(check: Check, node: Node, path: KeyPath) -> None:
    text, name = format_path(path), path[-1]
    if text in check.accept_unknown:
        return
    if not isinstance(name, str):
        check.error(path, f"has the name {show(name)}, which YAML does not read as text", "names that are text",
                    "put the name into quotes, or correct it (yes, no, on and off are read as true and false)")
        return
    nested = _nested_form(name)
    if nested:
        check.error(path, "is the form of an environment variable or a path; in a file it is ignored", "nested sections",
                    f"write it as {nested}")
        return
    if path[:2] == ("setup", "tasks"):
        near = difflib.get_close_matches(name, [*TASK_GROUPS, "celery"], n=1, cutoff=0.7) if len(path) == 3 else []
    elif len(path) == 1 and name in SHORT_NAMES:
        near = [SHORT_NAMES[name]]
    else:
        near = difflib.get_close_matches(name.lower().replace("-", "_"), list(node.children), n=1, cutoff=0.75)
    suggestion = format_path(path[:-1] + (near[0],)) if near else _elsewhere(path)
    unknown = f"accept_unknown_keys: ['{text}']"
    if suggestion:
        check.error(path, f"is unknown and would be ignored; did you mean {suggestion}?", "keys that the application reads",
                    f"write {suggestion}, or name it in {unknown} if your version reads it")
    else:
        check.warning(path, "is unknown to this version of the collection; the application ignores what it does not know",
                      "", f"remove it, or name it in {unknown} if your version reads it")


def _nested_form(name: str) -> str:
    separator = "__" if "__" in name.strip("_") else "." if "." in name.strip(".") else ""
    if not separator:
        return ""
    return ": ".join(part.lower() for part in name.split(separator) if part) + ": ..."


def _elsewhere(path: KeyPath) -> str:
    """Where a key of this name exists, if there is exactly one such place."""
    name = str(path[-1]).lower().replace("-", "_")
    places = {key.path for key in INSTALL_KEYS if key.path[-1] == name and "*" not in key.path and not key.inert}
    places |= {key.path[:index + 1] for key in INSTALL_KEYS for index, part in enumerate(key.path) if part == name and index < len(key.path) - 1}
    if path[0] in PROVIDERS:
        own = {place for place in places if place[0] == path[0]}
        places = own or places
    places.discard(path)
    return format_path(places.pop()) if len(places) == 1 and len(name) > 3 else ""


def _check_value(check: Check, key: Key, path: KeyPath, value: Any) -> None:
    if value is None:
        _check_null(check, key, path)
        return
    if key.inert:
        check.warning(path, f"has no effect: {key.inert}", "", "remove it")
        return
    if is_reference(value) and key.kind in ("flag", "whole", "number", "texts", "list", "mapping"):
        check.wrong_type(path, "refers to a secret, which is always text", _allowed(key), "write the value here")
        return
    reason = _TYPES[key.kind](value)
    if reason:
        _report_type(check, key, path, value, reason)
    elif key.kind == "whole":
        _check_limits(check, key, path, value)


def _check_null(check: Check, key: Key, path: KeyPath) -> None:
    if key.nullable:
        return
    if path == ("setup", "codecov_url"):
        check.wrong_type(path, "is null: the api does not start", "https://host or http://host", "set codecov_url")
    elif key.has_default:
        check.wrong_type(path, f"is null; {_MUST_NOT_BE_NULL}", _allowed(key),
                         f"remove it for the default{_default(key)}, or give a value")


def _default(key: Key) -> str:
    return f" ({show(key.default)})" if not key.secret and isinstance(key.default, (str, int, float, bool)) else ""


def _allowed(key: Key) -> str:
    words = {
        "text": "text", "url": "an address", "flag": "true or false", "whole": "a whole number", "number": "a number",
        "texts": "a list of texts", "list": "a list", "mapping": "a mapping", "pem": "a path or a mapping", "any": "a value",
    }[key.kind]
    if key.kind == "whole" and key.minimum is not None:
        words += f" from {key.minimum}" + (f" to {key.maximum}" if key.maximum is not None else "")
    return words


def _report_type(check: Check, key: Key, path: KeyPath, value: Any, reason: str) -> None:
    shown = f"is a {type(value).__name__}" if is_secret(path, value) else f"is {show(value)}"
    special = _SPECIAL_TYPES.get(path)
    consequence = f": {special}" if special else ""
    if key.kind == "whole" and isinstance(value, str) and value.isascii() and value.isdigit():
        if key.digits_cope:
            check.warning(path, f"{shown}, text instead of a number", "", f"write {value} without quotes")
            return
        check.wrong_type(path, f"{shown}, text instead of a number{consequence}", _allowed(key), f"write {int(value[:18])} without quotes")
    else:
        check.wrong_type(path, f"{shown}{consequence}", _allowed(key), reason)


def _check_limits(check: Check, key: Key, path: KeyPath, value: int) -> None:
    if (key.minimum is not None and value < key.minimum) or (key.maximum is not None and value > key.maximum):
        check.wrong_type(path, f"is {show(value)}", _allowed(key), f"remove it for the default{_default(key)}, or correct it")


_SPECIAL_TYPES = {
    ("setup", "api_allowed_hosts"): "the api does not start",
    ("setup", "api_cors_allowed_origins"): "each of its characters would be taken for an origin",
}


def _is_text(value: Any) -> str:
    if isinstance(value, str):
        return ""
    if isinstance(value, bool):
        return "put it into quotes (YAML reads yes, no, on, off, true and false as truth values)"
    if isinstance(value, (int, float)):
        return "put it into quotes (as a number it loses leading zeros, and some code fails)"
    return "write it as one text"


def _is_flag(value: Any) -> str:
    if isinstance(value, bool):
        return ""
    if isinstance(value, str):
        return "write true or false without quotes (any text counts as true, also 'false' and 'no')"
    return "write true or false"


def _is_whole(value: Any) -> str:
    return "" if isinstance(value, int) and not isinstance(value, bool) else "write a whole number without quotes"


def _is_number(value: Any) -> str:
    return "" if isinstance(value, (int, float)) and not isinstance(value, bool) else "write a number without quotes"


def _is_texts(value: Any) -> str:
    if isinstance(value, str):
        return f"write it as a list: [{show(value)}]"
    return "" if isinstance(value, list) and all(isinstance(element, str) for element in value) else "write a list of texts"


def _is_list(value: Any) -> str:
    return "" if isinstance(value, list) else "write a list: each entry on a line of its own, beginning with '- '"


def _is_mapping(value: Any) -> str:
    return "" if isinstance(value, Mapping) else "write a mapping: key: value"


def _is_pem(value: Any) -> str:
    return "" if isinstance(value, (str, Mapping)) else "write the path of the file, as the containers see it"


_TYPES: dict[str, Callable[[Any], str]] = {
    "text": _is_text, "url": _is_text, "flag": _is_flag, "whole": _is_whole, "number": _is_number, "texts": _is_texts,
    "list": _is_list, "mapping": _is_mapping, "pem": _is_pem, "any": lambda value: "",
}


def _check_texts(check: Check) -> None:
    """What no text may be: a template, a placeholder, a broken reference."""
    for path, value in scalars_of(check.config):
        if not isinstance(value, str):
            continue
        rest = REFERENCE.sub("", value)
        if BROKEN_REFERENCE.search(rest):
            check.error(path, "contains something like a reference to a secret, but none", "${secret:name}, lower-case letters, digits and _",
                        "correct the spelling")
        elif _SURROGATE.search(value):
            check.error(path, "contains half a character, which no file can hold", "valid text", "write the text again")
        elif "{{" in value and "}}" in value:
            check.error(path, "is a template that nobody filled in", "the value itself", "define the variable that it uses")
        elif _PLACEHOLDER.fullmatch(value.strip()):
            check.error(path, "still holds a placeholder", "your own value", "replace it, or remove the key")


# Rules: one trap each

def _codecov_url(check: Check) -> None:
    path = ("setup", "codecov_url")
    if not check.has(*path):
        check.error(path, "is missing; links, logins and webhooks would point to localhost", "https://host or http://host", "set codecov_url")
    for name in ("codecov_url", "codecov_api_url", "codecov_dashboard_url", "webhook_url"):
        value = check.text("setup", name)
        if value is None:
            if check.get("setup", name) == "":
                check.error(("setup", name), "is empty", "https://host or http://host", f"set {name} or remove it")
            continue
        reason = url_problem(value)
        if reason:
            check.error(("setup", name), f"{reason}; logins, links and webhooks would break",
                        "https://host or http://host, with a port if need be, without a slash at the end", _url_way_out(value))
        elif urlsplit(value).path:
            check.error(("setup", name), "has a path; the application takes it for a part of the host name", "https://host or http://host",
                        "give Codecov a host name of its own")


def _url_way_out(value: str) -> str:
    if value.endswith("/"):
        return f"write {show(value.rstrip('/'))}"
    if "://" not in value:
        return f"write {show('https://' + value)}"
    return "correct the address"


def _split(value: str | None) -> SplitResult | None:
    if value is None or url_problem(value):
        return None
    return urlsplit(value)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _cookies(check: Check) -> None:
    url = _split(check.text("setup", "codecov_url"))
    if url is None:
        return
    secure = check.get("setup", "secure_cookie", default=True)
    path = ("setup", "secure_cookie")
    if url.scheme == "http" and secure is True:
        check.error(path, "is true (the default) while codecov_url is plain http: browsers drop the session, logins go round in a loop",
                    "false with http, true with https", "set codecov_tls, or setup.secure_cookie: false for a trial without TLS")
    elif url.scheme == "https" and secure is False:
        check.warning(path, "is false although codecov_url is https: session cookies may travel in clear", "", "remove it")
    _cookies_domain(check, url)


def _cookies_domain(check: Check, url: SplitResult) -> None:
    path = ("setup", "http", "cookies_domain")
    host = url.hostname or ""
    if not check.has(*path):
        default = f".{url.netloc}"
        if url.port is not None or _is_ip(host):
            check.error(path, f"is missing, and its default would be '{default}', which no browser accepts (a port or an IP address)",
                        "null (exactly the host of codecov_url) or a domain", "set setup.http.cookies_domain: null")
        elif "." not in host:
            check.warning(path, f"is missing, and its default would be '{default}', which some browsers do not accept",
                          "", "set setup.http.cookies_domain: null")
        return
    value = check.text(*path)
    if value is None:
        if check.get(*path) == "":
            check.error(path, "is empty", "null or a domain", "write null")
        return
    domain = value.lstrip(".").lower()
    if ":" in value or "/" in value or not _HOST.fullmatch(domain):
        check.error(path, f"is {show(value)}: no browser accepts a scheme, a port or a path there", "a domain such as .example.com, or null",
                    "write the domain alone")
    elif _is_ip(host) and value != host:
        check.error(path, f"is {show(value)} while codecov_url is an IP address", f"null or {host}", "write null")
    elif host != domain and not host.endswith("." + domain):
        check.error(path, f"is {show(value)}, to which the host of codecov_url ({host}) does not belong: logins go round in a loop",
                    f"{host}, a domain above it, or null", "write null")


def _allowed_hosts(check: Check) -> None:
    path = ("setup", "api_allowed_hosts")
    hosts = check.get(*path)
    if not isinstance(hosts, list) or check.is_wrong(path):
        return
    for index, host in enumerate(hosts):
        if ":" in host or "/" in host:
            check.error(path + (index,), f"is {show(host)}: a scheme, a port or a path never matches", "a host name, .domain, or *",
                        "write the host name alone")
    if "*" in hosts:
        return
    url = _split(check.text("setup", "codecov_url"))
    if url is not None and url.hostname and not _matches(url.hostname, hosts) and url.port is not None:
        check.error(path, f"lacks {url.hostname}; the entry that the application adds keeps the port ({url.netloc}) and never matches: every request gets 400",
                    "a list with the host of codecov_url", f"add {url.hostname}")
    if not _matches("127.0.0.1", hosts):
        check.error(path, "lacks 127.0.0.1: the api's own health check would get 400", "a list with 127.0.0.1", "add 127.0.0.1")


def _matches(host: str, patterns: list[str]) -> bool:
    return any(host == pattern or (pattern.startswith(".") and (host.endswith(pattern) or host == pattern[1:])) for pattern in patterns)


def _origins(check: Check) -> None:
    path = ("setup", "api_cors_allowed_origins")
    origins = check.get(*path)
    if isinstance(origins, list) and not check.is_wrong(path):
        for index, origin in enumerate(origins):
            if url_problem(origin) or urlsplit(origin).path:
                check.error(path + (index,), f"is {show(origin)}", "https://host or http://host, with a port if need be, without a path",
                            "correct the origin")
    path = ("setup", "trusted_origin")
    origin = check.text(*path)
    url = _split(check.text("setup", "codecov_url"))
    if origin is not None and not re.match(r"https?://", origin):
        check.error(path, f"is {show(origin)}: migrations stop with an error", "an origin with its scheme", f"write {show('https://' + origin)}")
    elif origin is None and url is not None and url.scheme == "https" and check.line in MODERN and not check.has(*path):
        check.warning(path, "is missing, and its default does not match the host of codecov_url: the admin pages refuse their login form",
                      "", "set setup.trusted_origin to codecov_url")


def _core_secrets(check: Check) -> None:
    wanted = [
        (("setup", "http", "cookie_secret"), "cookies are not signed", LINES),
        (("django", "secret_key"), "the default is printed in public source code: anyone could forge an admin's session", MODERN),
        (("setup", "encryption_secret"), "OAuth tokens are encrypted with a public constant alone", LINES),
    ]
    for path, consequence, lines in wanted:
        if check.line not in lines:
            continue
        value = check.get(*path)
        name = {"cookie_secret": "cookie_secret", "secret_key": "django_secret_key", "encryption_secret": "encryption_secret"}[path[-1]]
        if value is None:
            check.error(path, f"is missing: {consequence}", "a long random text", f"write ${{secret:{name}}}; it is generated")
        elif value == "" and path[-1] == "encryption_secret":
            # Kept as it was: a deployment that never had one cannot change it without losing its tokens.
            check.warning(path, f"is empty: {consequence}", "", f"for a new deployment write ${{secret:{name}}}")
        elif value == "":
            check.error(path, f"is empty: {consequence}", "a long random text", f"write ${{secret:{name}}}; it is generated")


def _public_secrets(check: Check) -> None:
    """Values that everybody can read in public source code."""
    for path, value in scalars_of(check.config):
        if not isinstance(value, str) or value not in PUBLIC_SECRETS or not is_secret(path, value):
            continue
        if path == ("services", "minio", "hash_key"):
            check.warning(path, "is the public default: whoever knows it can guess the paths of reports", "",
                          "keep it if this deployment already has reports, else write ${secret:storage_hash_key}")
        elif path[-1] == "yaml_secret":
            continue
        else:
            check.error(path, "is a value from public examples or source code: anyone could use it", "a value of your own",
                        "give it as a secret (codecov_secrets), or let it be generated")
    yaml_secret = ("setup", "encryption", "yaml_secret")
    if check.line in MODERN and check.get(*yaml_secret) in (None, "", *PUBLIC_SECRETS):
        check.warning(yaml_secret, "is the public default: anyone can decrypt 'secret:' values of repositories", "",
                      "for a new deployment write ${secret:yaml_secret}; do not change it later")
    for name in PROVIDERS:
        _webhook_secret(check, name)


def _webhook_secret(check: Check, name: str) -> None:
    path = (name, "webhook_secret")
    if not name.startswith("github") or check.get(*path) or not _is_configured(check, name):
        return
    check.error(path, "is missing, and the default is printed in public source code: anyone could forge webhooks", "a random text",
                f"write ${{secret:{name}_webhook_secret}}; it is generated")


def _is_configured(check: Check, name: str) -> bool:
    return any(check.get(name, key) for key in ("client_id", "bot", "integration"))


def _encryption_keys(check: Check) -> None:
    path = ("setup", "encryption", "keys")
    keys = check.get(*path)
    names = set()
    if isinstance(keys, list):
        for index, entry in enumerate(keys):
            names.add(_encryption_key(check, path + (index,), entry))
    write_key = check.get("setup", "encryption", "write_key")
    if isinstance(write_key, str) and write_key not in names:
        check.error(("setup", "encryption", "write_key"), f"is {show(write_key)}, which no entry of setup.encryption.keys names",
                    "the name of one of these keys", "add a key of this name, or correct it")


def _encryption_key(check: Check, path: KeyPath, entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        check.error(path, "is no key", "a mapping with name, code and value", "write {name: a, code: a, value: ...}")
        return None
    name, code = entry.get("name"), entry.get("code")
    known = next((text for text in (name, code) if isinstance(text, str)), "a")
    if not isinstance(name, str) or not isinstance(code, str) or name != code:
        check.error(path, "needs both name (which the code reads) and code (which upstream's schema asks for), and both the same",
                    "name and code, the same text", f"write name: {one_line(known)} and code: {one_line(known)}")
    if not isinstance(entry.get("value"), str) or not entry.get("value"):
        check.error(path + ("value",), "is missing or no text", "a long random text", "give it as ${secret:NAME}")
    return name if isinstance(name, str) else None


def _databases(check: Check) -> None:
    if check.text("services", "database_url") is None:
        check.error(("services", "database_url"), "is missing: the application would look for a host 'postgres' without a password",
                    "postgresql://user:password@host:5432/name", "set codecov_postgres")
    for name in _DATABASE_URLS:
        value = check.text("services", f"{name}_url")
        if value is not None:
            _database_url(check, ("services", f"{name}_url"), value)
    for switch, name, variable in (("timeseries", "timeseries_database_url", "codecov_timescale"),
                                   ("ta_timeseries", "ta_timeseries_database_url", "codecov_timescale")):
        if check.get("setup", switch, "enabled") is True and not check.get("services", name):
            check.error(("services", name), f"is missing although setup.{switch}.enabled is true", "postgresql://user:password@host:5432/name",
                        f"set {variable}, or setup.{switch}.enabled: false")
    for switch, name in (("database", "database_read_url"), ("timeseries", "timeseries_database_read_url")):
        if check.get("setup", switch, "read_replica_enabled") is True and not check.get("services", name):
            check.error(("services", name), f"is missing although setup.{switch}.read_replica_enabled is true",
                        "postgresql://user:password@host:5432/name", f"set it, or setup.{switch}.read_replica_enabled: false")


def _database_url(check: Check, path: KeyPath, value: str) -> None:
    form = "postgresql://user:password@host:5432/name"
    parts = _service_url(check, path, value, ("postgresql", "postgres"), form)
    if parts is None:
        return
    _password(check, path, parts, form)
    if parts.query or parts.fragment:
        check.error(path, "has options after '?' or '#': the worker uses them, the api drops them", form,
                    "remove them; for TLS set PGSSLMODE in the environment of both (codecov_postgres.sslmode)")
    if not re.fullmatch(r"/[^/]+", parts.path):
        check.error(path, "does not name one database", form, "write the name of the database after the port: /codecov")


def _password(check: Check, path: KeyPath, parts: SplitResult, form: str) -> None:
    for word, value in (("password", parts.password), ("user name", parts.username)):
        if value and not _UNRESERVED.fullmatch(value):
            check.error(path, f"has characters in its {word} that the api and the worker read differently (the api does not decode %XX)",
                        "letters, digits and - . _ ~", f"choose another {word} (changing it in the database too), and give it through codecov_secrets")
    if not parts.username:
        check.error(path, "names no user", form, "add user and password")
    elif not parts.password:
        check.warning(path, "has no password", form, "add one as ${secret:NAME}")


def _service_url(check: Check, path: KeyPath, value: str, schemes: tuple[str, ...], form: str) -> SplitResult | None:
    try:
        parts = urlsplit(value)
        port = parts.port
        host = parts.hostname or ""
    except ValueError:
        check.error(path, "is not a valid address (a character such as / ? # @ in the password?)", form, "correct it; passwords of letters, digits and - . _ ~")
        return None
    if parts.scheme not in schemes:
        check.error(path, f"does not begin with {schemes[0]}://", form, "correct the beginning")
        return None
    if value != value.strip() or re.search(r"\s", value):
        check.error(path, "contains a space", form, "remove it")
        return None
    if "," in parts.netloc:
        check.error(path, "names several hosts; the application connects to one", form,
                    "give the one address that leads to the primary (a proxy, a cloud endpoint)")
        return None
    if not host or port == 0:
        check.error(path, "names no host (a character such as / ? # in the password?)", form, "add the host, or choose another password")
        return None
    if host in _THIS_MACHINE or host.startswith("127."):
        check.error(path, f"points to {host}, which is the container itself", "a name or address that containers reach",
                    "write the host's name or address in the network")
        return None
    return parts


def _redis(check: Check) -> None:
    form = "redis://host:6379 or rediss://host:6379?ssl_cert_reqs=required"
    path = ("services", "redis_url")
    if check.text(*path) is None:
        check.error(path, "is missing: the worker would have no queue", form, "set codecov_redis")
    for name in ("redis_url", "celery_broker"):
        value = check.text("services", name)
        if value is not None:
            _redis_url(check, ("services", name), value, form)


def _redis_url(check: Check, path: KeyPath, value: str, form: str) -> None:
    scheme = value.split("://")[0].lower()
    if "cluster" in scheme or "sentinel" in scheme:
        check.error(path, "names a Redis cluster or sentinel; the application only speaks to a single Redis", form,
                    "use a Redis without cluster mode (in a cloud: 'cluster mode disabled', its primary endpoint)")
        return
    parts = _service_url(check, path, value, ("redis", "rediss"), form)
    if parts is None:
        return
    if parts.path not in ("", "/") and not re.fullmatch(r"/\d+", parts.path):
        check.error(path, f"has the path {show(parts.path)}", "nothing or the number of a database: /0", "remove the path")
    if parts.scheme == "rediss":
        _redis_tls(check, path, parse_qs(parts.query).get("ssl_cert_reqs", [""])[-1], form)


def _redis_tls(check: Check, path: KeyPath, rule: str, form: str) -> None:
    if not rule:
        check.error(path, "uses TLS without ssl_cert_reqs: the worker refuses it", form, "append ?ssl_cert_reqs=required")
    elif rule not in ("required", "optional", "none"):
        # Celery also knows CERT_REQUIRED, but the cache of the api does not.
        check.error(path, f"has ssl_cert_reqs={rule}, which the api refuses", form, "write ssl_cert_reqs=required")
    elif rule == "none":
        check.warning(path, "has ssl_cert_reqs=none: the certificate of Redis is not checked", "", "write ssl_cert_reqs=required")


def _storage(check: Check) -> None:
    minio = check.get("services", "minio")
    if not isinstance(minio, Mapping) or not minio:
        check.error(("services", "minio"), "is missing: the application would look for a host 'minio' with public default keys",
                    "host, port, bucket, region and keys", "set codecov_storage")
        return
    _storage_host(check)
    _storage_keys(check)
    _storage_lifetime(check)
    _buckets(check)


def _storage_host(check: Check) -> None:
    path = ("services", "minio", "host")
    host = check.text(*path)
    verify_ssl, port = check.get("services", "minio", "verify_ssl"), check.get("services", "minio", "port")
    if host is None:
        check.error(path, "is missing; the default 'minio' means nothing to clients", "a host name that clients and containers resolve",
                    "set codecov_storage")
        return
    allowed = "a host name alone, without scheme, port, path or bucket"
    if "://" in host or "/" in host:
        check.error(path, f"is {show(host)}", allowed, "write the host alone; https is services.minio.verify_ssl: true")
    elif ":" in host and not _is_ip(host):
        check.error(path, f"is {show(host)}, with a port", allowed, "write the port as services.minio.port")
    elif not _HOST.fullmatch(host) and not _is_ip(host):
        check.error(path, f"is {show(host)}", allowed, "correct the name")
    elif host.lower() in _THIS_MACHINE or host.startswith("127."):
        check.error(path, f"is {show(host)}, which is every client itself", allowed, "write a name that clients and containers resolve to the storage")
    elif "." not in host:
        check.warning(path, f"is {show(host)}: clients get upload addresses with this name, and cannot resolve it", "",
                      "use a name that clients resolve, such as the host of codecov_url")
    _storage_tls(check, host, verify_ssl, port)


def _storage_tls(check: Check, host: str, verify_ssl: Any, port: Any) -> None:
    path = ("services", "minio", "verify_ssl")
    public = host.endswith((".amazonaws.com", "storage.googleapis.com", ".digitaloceanspaces.com", ".r2.cloudflarestorage.com"))
    if verify_ssl is not True and (port in (443, "443", 8443) or public):
        check.error(path, "is false (the default), which means http, while " + (f"port is {port}" if port in (443, "443", 8443) else f"{host} wants https"),
                    "true for https (certificates are verified in any case)", "set services.minio.verify_ssl: true")
    elif verify_ssl is True and port in (80, "80"):
        check.error(path, "is true, which means https, while port is 80", "false for http", "set services.minio.port: 443, or verify_ssl: false")
    elif verify_ssl is False and check.has(*path):
        url = _split(check.text("setup", "codecov_url"))
        if url is not None and url.scheme == "https" and "." in host:
            check.warning(path, "is false, which means http (it does not switch off the check of certificates): uploads travel in clear", "",
                          "set it to true; give a private CA by codecov_tls")


def _storage_keys(check: Check) -> None:
    for name, secret in (("access_key_id", "storage_access_key"), ("secret_access_key", "storage_secret_key")):
        path = ("services", "minio", name)
        if check.get("services", "minio", "iam_auth") is not True and not check.get(*path):
            check.error(path, "is missing, and the default is printed in public source code", "the key of the object storage",
                        f"write ${{secret:{secret}}}, or iam_auth: true on AWS")
    path = ("services", "minio", "hash_key")
    if not check.get(*path):
        check.warning(path, "is missing: the public default makes the paths of reports guessable", "",
                      "keep it so if this deployment already has reports, else write ${secret:storage_hash_key}")
    if check.get("services", "minio", "iam_auth") is not True and check.get("services", "minio", "iam_endpoint"):
        check.warning(("services", "minio", "iam_endpoint"), "has no effect without iam_auth: true", "", "remove it, or set iam_auth: true")


def _storage_lifetime(check: Check) -> None:
    region = ("services", "minio", "region")
    if not check.get(*region):
        message = "is missing: each upload first asks the storage for it, and hangs for 30 s when the storage is down"
        report = check.error if check.line in MODERN else check.warning
        report(region, message, "the region of the bucket", "set it; us-east-1 for MinIO and SeaweedFS")
    ttl = check.get("services", "minio", "ttl")
    path = ("services", "minio", "ttl")
    if ttl is None:
        check.warning(path, "is missing: upload addresses are valid for 10 seconds, so clock skew or a slow start loses uploads", "", "set it to 300")
    elif isinstance(ttl, int) and 0 < ttl < 60:
        check.warning(path, f"is {ttl} seconds: clock skew or a slow start loses uploads", "", "set it to 300")
    if check.get("services", "minio", "auto_create_bucket") is True:
        check.warning(("services", "minio", "auto_create_bucket"), "is true: the worker makes the bucket readable by everybody", "",
                      "create the bucket beforehand (this collection does) and set it to false")


def _buckets(check: Check) -> None:
    minio, bundles = ("services", "minio", "bucket"), ("bundle_analysis", "bucket_name")
    bucket = check.get(*minio)
    if bucket is None and check.line in MODERN:
        check.warning(minio, "is missing, and parts of the application differ in its default ('archive', 'codecov')", "", "set it to 'archive'")
    for path in (minio, bundles):
        value = check.text(*path)
        if value is not None and not has_reference(check.get(*path)) and not _BUCKET.fullmatch(value):
            check.error(path, f"is {show(value)}, which is no name for a bucket", "3 to 63 lower-case letters, digits, - and .", "correct the name")
    if check.line not in MODERN:
        return
    wanted = bucket if isinstance(bucket, str) else "archive"
    if not check.has(*bundles):
        check.warning(bundles, "is missing: bundle reports go to a bucket 'bundle-analysis', which nobody creates", "",
                      f"set bundle_analysis.bucket_name: {wanted}")
    elif check.get(*bundles) != wanted:
        check.warning(bundles, f"differs from services.minio.bucket ({show(wanted)}): clients reach only that one through the gateway", "",
                      f"set bundle_analysis.bucket_name: {wanted}, or create and route that bucket yourself")


def _smtp(check: Check) -> None:
    smtp = check.get("services", "smtp")
    if not isinstance(smtp, Mapping) or not smtp:
        return
    if not check.get("services", "smtp", "host"):
        check.error(("services", "smtp", "host"), "is missing: the worker would look for a host 'mailhog'", "the name of the mail server",
                    "set it, or remove services.smtp")
    port = check.get("services", "smtp", "port")
    if port in (465, "465"):
        check.error(("services", "smtp", "port"), "is 465 (TLS from the first byte); the worker only speaks STARTTLS and would hang",
                    "587 or another port with STARTTLS", "write 587")
    if bool(check.get("services", "smtp", "username")) != bool(check.get("services", "smtp", "password")):
        check.error(("services", "smtp", "password"), "and username belong together; with one of them the worker does not log in", "both or none",
                    "add the other one, or remove both")
    elif check.get("services", "smtp", "password") and port in (None, 25, "25", 1025, "1025"):
        check.warning(("services", "smtp", "password"), "is written to the worker's log if the mail server offers no TLS (STARTTLS), as is usual on this port",
                      "", "use port 587 of a server with STARTTLS")


def _providers(check: Check) -> None:
    for name in PROVIDERS:
        if isinstance(check.get(name), Mapping) and check.get(name):
            _provider(check, name)
    _global_upload_tokens(check)
    _admins(check)


def _provider(check: Check, name: str) -> None:
    title = PROVIDER_TITLES[name]
    if name in NEEDS_URL and _is_configured(check, name) and not check.get(name, "url"):
        check.error((name, "url"), "is missing: logins fail with an error", f"the address of your {title}", "set it, for example https://git.example.com")
    for key in ("url", "api_url", "redirect_uri"):
        value = check.text(name, key)
        reason = url_problem(value) if value is not None else None
        if reason:
            check.error((name, key), reason, "https://host, without a slash at the end", _url_way_out(value or ""))
        elif value is not None and key == "url" and name in URL_WITHOUT_PATH and urlsplit(value).path:
            check.error((name, key), "has a path, which the login drops", "the address of the host alone", "use a host name of its own for it")
    if name not in WITHOUT_CLIENT_SECRET:
        for key, other in (("client_id", "client_secret"), ("client_secret", "client_id")):
            if not check.get(name, key) and check.get(name, other):
                check.error((name, key), f"is missing although {name}.{other} is set: logins fail", f"both, as {title} shows them",
                            f"set codecov_secrets.{name}_client_secret" if key == "client_secret" else f"set codecov_providers.{name}.client_id")
    if check.get(name, "verify_ssl") is False:
        check.warning((name, "verify_ssl"), f"certificates of {title} are not checked", "", "set ssl_pem to your CA file and remove verify_ssl")
    for section in ("integration",) + tuple(("dedicated_apps", key) for key in _mapping(check.get(name, "dedicated_apps"))):
        _github_app(check, (name, section) if isinstance(section, str) else (name, *section))
    bot = check.get(name, "bot")
    if isinstance(bot, Mapping) and bot and not bot.get("key"):
        check.error((name, "bot", "key"), "is missing: the bot cannot log in", "the access token of the bot account", f"write ${{secret:{name}_bot_key}}")


def _github_app(check: Check, path: KeyPath) -> None:
    app = check.get(*path)
    if not isinstance(app, Mapping) or not app:
        return
    for key, what in (("id", "the number of the GitHub App, without quotes"), ("pem", "the path of its private key, as the containers see it")):
        if app.get(key) is None:
            check.error(path + (key,), "is missing: a GitHub App needs id and pem", what, f"set it, or remove {format_path(path)}")
    pem = app.get("pem")
    if isinstance(pem, str) and not has_reference(pem):
        if "BEGIN" in pem:
            check.error(path + ("pem",), "holds the key itself; the application takes it for a path", "a path, or {source_type: base64env, value: ...}",
                        "give the key, base64-encoded, as a secret: {source_type: base64env, value: '${secret:NAME}'}")
        elif not pem.startswith("/"):
            check.error(path + ("pem",), "is no absolute path", "a path as the containers see it, such as /config/github.pem", "write the whole path")
    elif isinstance(pem, Mapping):
        _pem_mapping(check, path + ("pem",), pem)


def _pem_mapping(check: Check, path: KeyPath, pem: Mapping[Any, Any]) -> None:
    source, value = pem.get("source_type"), pem.get("value")
    if source not in ("filepath", "base64env"):
        check.error(path + ("source_type",), f"is {show(source)}", "filepath or base64env", "write one of them")
    elif not isinstance(value, str) or not value:
        check.error(path + ("value",), "is missing or no text", "a path (filepath) or the key, base64-encoded (base64env)", "set it")
    elif source == "base64env" and not has_reference(value):
        try:
            good = b"BEGIN" in base64.b64decode(value, validate=False)
        except (binascii.Error, ValueError):
            good = False
        if not good:
            check.error(path + ("value",), "is not a private key, base64-encoded", "the output of: base64 -w0 key.pem",
                        "encode the key file and give it as a secret")


def _global_upload_tokens(check: Check) -> None:
    seen: dict[str, str] = {}
    for name in PROVIDERS:
        token = check.get(name, "global_upload_token")
        if not isinstance(token, str) or not token:
            continue
        if token in seen:
            check.error((name, "global_upload_token"), f"equals that of {seen[token]}: the application then knows it for one provider only",
                        "a token of its own for each provider", f"write ${{secret:{name}_global_upload_token}}; it is generated")
        seen.setdefault(token, name)


def _admins(check: Check) -> None:
    path = ("setup", "admins")
    admins = check.get(*path)
    if not isinstance(admins, list):
        return
    for index, admin in enumerate(admins):
        here = path + (index,)
        if not isinstance(admin, Mapping) or not isinstance(admin.get("username"), str) or not isinstance(admin.get("service"), str):
            check.error(here, "is silently skipped", "service and username, both text", "write {service: github, username: NAME}")
        elif admin["service"] not in PROVIDERS:
            near = SHORT_NAMES.get(admin["service"]) or next(iter(difflib.get_close_matches(admin["service"], PROVIDERS, n=1)), PROVIDERS[0])
            check.error(here + ("service",), f"is {show(admin['service'])}, which no account has", ", ".join(PROVIDERS), f"write {near}")


def _tasks(check: Check) -> None:
    measured = check.get("setup", "health_check", "enabled") is True
    tasks = _mapping(check.get("setup", "tasks"))
    for name in ("lock_timeout", "blocking_timeout"):
        if name in tasks:
            report = check.error if measured else check.warning
            report(("setup", "tasks", name), "is a number directly below setup.tasks, at which the measurement of queues (setup.health_check) fails",
                   "sections such as celery or upload", "remove it, or set setup.health_check.enabled: false")
    for group, settings in tasks.items():
        if isinstance(settings, Mapping) and isinstance(group, str):
            _task_limits(check, ("setup", "tasks", group), settings)
            _task_queue(check, ("setup", "tasks", group, "queue"), settings.get("queue"))
    _visibility(check)


def _task_limits(check: Check, path: KeyPath, settings: Mapping[Any, Any]) -> None:
    celery = path[-1] == "celery"
    soft = settings.get("soft_timelimit", 600 if celery else None)
    hard = settings.get("hard_timelimit", 720 if celery else None)
    if _is_whole(soft) == "" and _is_whole(hard) == "" and soft >= hard:
        name = "hard_timelimit" if "hard_timelimit" in settings else "soft_timelimit"
        check.error(path + (name,), f"soft_timelimit ({soft}) is not below hard_timelimit ({hard}): tasks are killed before they are asked to stop",
                    "soft_timelimit < hard_timelimit", "raise hard_timelimit or lower soft_timelimit")


def _task_queue(check: Check, path: KeyPath, queue: Any) -> None:
    default = check.get("setup", "tasks", "celery", "default_queue", default="celery")
    if isinstance(queue, str) and queue not in (default, "healthcheck") and check.line in MODERN:
        check.warning(path, f"is {show(queue)}: without a worker that listens to it these tasks wait for ever", "",
                      f"start the worker with CODECOV_WORKER_QUEUES={default},{one_line(queue)}, or remove it")


def _visibility(check: Check) -> None:
    celery = _mapping(check.get("setup", "tasks", "celery"))
    visibility, hard = celery.get("visibility_timeout", 900), celery.get("hard_timelimit", 720)
    if _is_whole(visibility) == "" and _is_whole(hard) == "" and visibility <= hard:
        check.warning(("setup", "tasks", "celery", "visibility_timeout"), f"({visibility} s) is not above hard_timelimit ({hard} s): long tasks run twice", "",
                      f"set it to {hard + 180}")
    if celery.get("reject_on_worker_lost") is True and celery.get("acks_late") is not True:
        check.warning(("setup", "tasks", "celery", "reject_on_worker_lost"), "has no effect without acks_late: true", "", "set acks_late: true")


def _site(check: Check) -> None:
    site = check.get("site")
    if isinstance(site, Mapping) and site:
        for problem in validate_repository(site)[1]:
            check.problems.append(Problem(problem.level, f"site.{problem.path}" if problem.path != "codecov.yml" else "site", problem.message,
                                          problem.allowed, problem.way_out, place=check._place(("site",))))
        replaced = [key for key in SITE_KEYS_REPLACED_FOR_NEW_OWNERS if key in site]
        if replaced and check.line in MODERN:
            names = ", ".join(replaced)
            check.warning(("site", replaced[0]), "works for owners created before 2024-04-30 only: for all others the application's own "
                          f"{names} replace yours", "",
                          "put these settings into the organization's (global) YAML in the user interface or into the repositories")
    _additional_yamls(check)


def _additional_yamls(check: Check) -> None:
    path = ("additional_user_yamls",)
    entries = check.get(*path)
    if not isinstance(entries, list):
        return
    total = 0
    for index, entry in enumerate(entries):
        here = path + (index,)
        if not isinstance(entry, Mapping) or not {"percentage", "name", "override"} <= set(entry):
            check.error(here, "is incomplete", "percentage, name and override", "write {percentage: 10, name: trial, override: {...}}")
            continue
        percentage = entry["percentage"]
        if _is_whole(percentage) or not 0 <= percentage <= 100:
            check.error(here + ("percentage",), f"is {show(percentage)}", "a whole number from 0 to 100", "correct it")
        else:
            total += percentage
        if not isinstance(entry["override"], Mapping):
            check.error(here + ("override",), f"is {show(entry['override'])}", "settings as in a repository's codecov.yml", "write a mapping")
            continue
        for problem in validate_repository(entry["override"])[1]:
            check.problems.append(Problem(problem.level, f"{format_path(here)}.override.{problem.path}", problem.message, problem.allowed,
                                          problem.way_out, place=check._place(path)))
    if total > 100:
        check.error(path, f"has percentages of {total} in all: the last ones are never chosen", "at most 100 in all", "lower them")


_RULES: tuple[Callable[[Check], None], ...] = (
    _codecov_url, _cookies, _allowed_hosts, _origins, _core_secrets, _public_secrets, _encryption_keys, _databases, _redis, _storage, _smtp,
    _providers, _tasks, _site,
)
