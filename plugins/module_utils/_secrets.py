# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets: named in settings as ${secret:NAME}, generated once, kept in one file, put in on the target only, never shown.

Private to this collection. Pure but for one thing, the making of a certificate: also runs on the controller, inside action plugins.
"""

from __future__ import annotations

import base64
import difflib
import os
import re
import secrets as random_source
import string
import subprocess
import tempfile
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from ansible_collections.covstack.selfhosted.plugins.module_utils._config_merge import at, scalars_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_schema import (
    PROTECTED_KEYS,
    PROTECTION_REASON,
    UNSET,
    find_key,
    is_secret,
)
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import (
    ERROR,
    WARNING,
    KeyPath,
    Problem,
    format_path,
    show,
)

NAME = re.compile(r"^[a-z][a-z0-9_]*$")
REFERENCE = re.compile(r"\$\{secret:([a-z][a-z0-9_]*)\}")
# What was meant as a reference but is none: ${secret:Bad-Name}, ${secrets:x}, $secret:x, ${SECRET:x}
BROKEN_REFERENCE = re.compile(r"\$\{?\s*secrets?\s*:", re.IGNORECASE)
FORMATS = ("urlsafe", "hex", "uuid", "fernet", "certificate")
DEFAULT_LENGTH = 40
MINIMUM_LENGTH = {"urlsafe": 16, "hex": 16}
SHORT = 8
# Servers of one service that trust nobody but each other: the certificate is its own authority, whoever has the key is one of them.
CERTIFICATE_DAYS = 7300
CERTIFICATE_CONFIG = """\
[req]
prompt = no
distinguished_name = subject
x509_extensions = own
[subject]
CN = {name}
[own]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
"""
LICENCE_NAME = "enterprise_license"
LICENCE_PATH = ("setup", "enterprise_license")
HIDDEN = "<hidden>"
HIDDEN_OLD = "<hidden: another value>"

_URL_PASSWORD = re.compile(r"(?P<before>[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:)(?P<password>[^\s]+)(?P<after>@)")
# Keys that nobody described, but whose name says what they hold.
_SECRET_NAME = re.compile(r"secret|passw|token|private|credential|(^|_)(key|pem|dsn|pat|auth)$|license", re.IGNORECASE)


@dataclass(frozen=True)
class SecretSpec:
    """A secret that is generated once if nobody gave it."""

    name: str
    format: str = "urlsafe"
    length: int = DEFAULT_LENGTH


def spec_problem(spec: SecretSpec) -> Problem | None:
    path = f"required_secrets.{spec.name}"
    if not NAME.match(spec.name):
        return Problem(ERROR, path, "is not a name for a secret", "lower-case letters, digits and _, beginning with a letter",
                       "rename it")
    if spec.format not in FORMATS:
        return Problem(ERROR, path, f"has the unknown format {show(spec.format)}", ", ".join(FORMATS), "choose one of them")
    if spec.length < MINIMUM_LENGTH.get(spec.format, 0) or spec.length > 1024:
        return Problem(ERROR, path, f"has the length {spec.length}", "16 to 1024 characters", "remove 'length' for the default of 40")
    return None


def generate(spec: SecretSpec) -> str:
    """A new random value. It begins with a letter, so that no reader of it takes it for a number."""
    if spec.format == "uuid":
        return str(uuid.uuid4())
    if spec.format == "fernet":
        return base64.urlsafe_b64encode(random_source.token_bytes(32)).decode("ascii")
    if spec.format == "certificate":
        return _certificate(spec.name.replace("_", "-"))
    letters, alphabet = ("abcdef", "0123456789abcdef") if spec.format == "hex" \
        else (string.ascii_letters, string.ascii_letters + string.digits)
    rest = (random_source.choice(alphabet) for _index in range(spec.length - 1))
    return random_source.choice(letters) + "".join(rest)


def _certificate(name: str) -> str:
    """A private key and its own certificate, PEM, made by the openssl command: OSError or CalledProcessError without it."""
    with tempfile.TemporaryDirectory() as directory:  # nobody else gets in there
        files = {kind: os.path.join(directory, kind) for kind in ("config", "key", "certificate")}
        with open(files["config"], "w", encoding="ascii") as stream:
            stream.write(CERTIFICATE_CONFIG.format(name=name))
        command = ["openssl", "req", "-x509", "-config", files["config"], "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                   "-days", str(CERTIFICATE_DAYS), "-keyout", files["key"], "-out", files["certificate"]]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        parts = []
        for kind in ("key", "certificate"):
            with open(files[kind], encoding="ascii") as stream:
                parts.append(stream.read())
    return "".join(parts)


# References

def references(value: Any) -> dict[str, list[KeyPath]]:
    """Every secret named in a structure, with the paths that name it."""
    found: dict[str, list[KeyPath]] = {}
    for path, scalar in scalars_of(value):
        if isinstance(scalar, str):
            for name in REFERENCE.findall(scalar):
                found.setdefault(name, []).append(path)
    return found


def is_reference(value: Any) -> bool:
    return isinstance(value, str) and REFERENCE.fullmatch(value) is not None


def has_reference(value: Any) -> bool:
    return isinstance(value, str) and REFERENCE.search(value) is not None


def substitute(value: Any, secrets: Mapping[str, str]) -> Any:
    """The same structure with every ${secret:NAME} replaced; KeyError names the first missing secret."""
    if isinstance(value, str):
        return REFERENCE.sub(lambda match: secrets[match.group(1)], value)
    if isinstance(value, Mapping):
        return {key: substitute(element, secrets) for key, element in value.items()}
    if isinstance(value, (list, tuple)):
        return [substitute(element, secrets) for element in value]
    return value


def extract_literals(config: Mapping[Any, Any]) -> tuple[dict[Any, Any], dict[str, str]]:
    """Move secrets written out in a layer into a mapping of their own and leave references behind.

    For an operator's own codecov.yml: what is returned first may be shown, logged and sent as an ordinary option.
    """
    found: dict[str, str] = {}

    def replace(path: KeyPath, text: str) -> str:
        if has_reference(text) or not text:
            return text
        if is_secret(path, text):
            return _reference_to(_unused(_name_of(path), text), text)
        match = _URL_PASSWORD.search(text)
        if match:
            name = _unused(_name_of(path) + "_password", match.group("password"))
            reference = _reference_to(name, match.group("password"))
            return text[:match.start("password")] + reference + text[match.end("password"):]
        return text

    def _reference_to(name: str, text: str) -> str:
        found[name] = text
        return f"${{secret:{name}}}"

    def _unused(name: str, text: str) -> str:
        number, candidate = 1, name
        while found.get(candidate, text) != text:
            number += 1
            candidate = f"{name}_{number}"
        return candidate

    def walk(value: Any, path: KeyPath) -> Any:
        if isinstance(value, Mapping):
            return {key: walk(element, path + (key,)) for key, element in value.items()}
        if isinstance(value, (list, tuple)):
            return [walk(element, path + (index,)) for index, element in enumerate(value)]
        return replace(path, value) if isinstance(value, str) else value

    return walk(config, ()), found


# Where upstream's paths and this collection's names of secrets differ.
_NAMES = {
    ("setup", "enterprise_license"): LICENCE_NAME,
    ("setup", "encryption_secret"): "encryption_secret",
    ("setup", "encryption", "yaml_secret"): "yaml_secret",
    ("setup", "http", "cookie_secret"): "cookie_secret",
    ("django", "secret_key"): "django_secret_key",
    ("services", "minio", "hash_key"): "storage_hash_key",
    ("services", "minio", "access_key_id"): "storage_access_key",
    ("services", "minio", "secret_access_key"): "storage_secret_key",
    ("services", "smtp", "password"): "smtp_password",
}


def _name_of(path: KeyPath) -> str:
    known = _NAMES.get(path)
    if known:
        return known
    words = re.sub(r"[^a-z0-9]+", "_", "_".join(str(element) for element in path).lower()).strip("_")
    return words if words[:1].isalpha() else f"secret_{words}"


# The store

class StoreError(ValueError):
    """The file of secrets cannot be used."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def check_store(content: Any, path: str) -> dict[str, str]:
    """The content of the file of secrets, or StoreError; a value is never part of the message."""
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise StoreError(Problem(ERROR, path, "does not hold names with values", "a mapping of names to text",
                                 "restore it from the backup; it must not be deleted, data cannot be read without it"))
    for name, value in content.items():
        if not isinstance(name, str) or not NAME.match(name):
            raise StoreError(Problem(ERROR, f"{path}: {show(name)}", "is not a name for a secret",
                                     "lower-case letters, digits and _, beginning with a letter", "correct or remove this line"))
        if not isinstance(value, str) or not value:
            raise StoreError(Problem(ERROR, f"{path}: {name}", "is not text", "text that is not empty",
                                     "put the value into quotes, or restore the file from the backup"))
    return dict(content)


def given_problems(given: Mapping[Any, Any], place: str = "codecov_secrets") -> list[Problem]:
    """What is wrong with secrets as an operator gave them; never shows a value."""
    problems = []
    for name, value in given.items():
        path = f"{place}.{name}" if isinstance(name, str) else f"{place}[{show(name)}]"
        if not isinstance(name, str) or not NAME.match(name):
            problems.append(Problem(ERROR, path, "is not a name for a secret",
                                    "lower-case letters, digits and _, beginning with a letter", "rename it"))
        elif not isinstance(value, str):
            what = "is empty (null)" if value is None else f"is a {type(value).__name__}, not text"
            problems.append(Problem(ERROR, path, what, "text", "put the value into quotes, or remove the name to have it generated"))
        elif not value.strip():
            problems.append(Problem(ERROR, path, "is empty", "text", "give a value, or remove the name to have it generated"))
        elif REFERENCE.search(value) or BROKEN_REFERENCE.search(value):
            problems.append(Problem(ERROR, path, "refers to a secret instead of being one", "the value itself",
                                    "write the value here, and ${secret:NAME} in the settings"))
        elif "{{" in value and "}}" in value:
            problems.append(Problem(ERROR, path, "is a template that nobody filled in", "the value itself",
                                    "define the variable that it uses"))
        elif value != value.encode("utf-8", "replace").decode("utf-8"):
            problems.append(Problem(ERROR, path, "contains half a character, which no file can hold", "valid text", "write the text again"))
        elif value != value.strip():
            problems.append(Problem(ERROR, path, "begins or ends with a space or line break", "the value alone",
                                    "remove them (a file read by lookup('file', ...) keeps rstrip=true)"))
        elif len(value) < SHORT:
            problems.append(Problem(WARNING, path, f"is shorter than {SHORT} characters", "longer is safer", "choose a longer one"))
    return problems


@dataclass
class Resolution:
    """Which value every secret has, and where it comes from."""

    values: dict[str, str]
    store: dict[str, str]
    generated: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class Wanted:
    """What resolve() works on."""

    template: Mapping[Any, Any]
    required: tuple[SecretSpec, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    stored: Mapping[str, str] = field(default_factory=dict)
    existing: Mapping[Any, Any] | None = None
    allow_change: frozenset[str] = frozenset()
    place: Callable[[KeyPath], str] = lambda path: ""


def resolve(wanted: Wanted) -> Resolution:
    """Given before stored before found in the existing file before generated."""
    result = Resolution(values={}, store=dict(wanted.stored))
    result.problems += [problem for problem in map(spec_problem, wanted.required) if problem]
    result.problems += _protected_secret_problems(wanted)
    if result.problems:
        result.values = {**wanted.stored, **wanted.given}
        return result
    specs = {spec.name: spec for spec in wanted.required}
    named = references(wanted.template)
    found = adopt(wanted.template, wanted.existing, {*wanted.stored.values(), *wanted.given.values()}) if wanted.existing else {}
    for name in dict.fromkeys([*wanted.stored, *wanted.given, *specs, *named]):
        if name in wanted.given:
            if wanted.stored.get(name, wanted.given[name]) != wanted.given[name]:
                result.replaced.append(name)
            result.store[name] = wanted.given[name]
        elif name in wanted.stored:
            pass
        elif name in found and (name in specs or name in named):
            result.store[name] = found[name]
            result.adopted.append(name)
        elif name in specs:
            try:
                result.store[name] = generate(specs[name])
            except (OSError, subprocess.CalledProcessError):
                result.problems.append(Problem(ERROR, f"required_secrets.{name}", "cannot be made: the host has no openssl command that works",
                                               "OpenSSL 1.1.1 or newer", "install the package openssl"))
            else:
                result.generated.append(name)
        elif name in named:
            result.problems.append(_missing(name, named[name], list(result.store), wanted.place))
    result.values = dict(result.store)
    return result


def _missing(name: str, paths: list[KeyPath], known: list[str], place: Callable[[KeyPath], str]) -> Problem:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    hint = f"; did you mean ${{secret:{near[0]}}}?" if near else ""
    return Problem(ERROR, format_path(paths[0]), f"refers to the secret '{name}', which nobody gave{hint}",
                   "a secret that is given, stored or generated", f"set codecov_secrets.{name} (in a vault)", place=place(paths[0]))


def protected_names(template: Mapping[Any, Any]) -> dict[str, KeyPath]:
    """Secrets that stand at a protected key."""
    names: dict[str, KeyPath] = {}
    for path in PROTECTED_KEYS:
        for name in references(at(template, path)):
            names[name] = path
    return names


def _is_allowed(path: KeyPath, names: Iterable[str], allow_change: frozenset[str]) -> bool:
    return format_path(path) in allow_change or any(name in allow_change for name in names)


def _protected_secret_problems(wanted: Wanted) -> list[Problem]:
    problems = []
    for name, path in protected_names(wanted.template).items():
        given, stored = wanted.given.get(name), wanted.stored.get(name)
        if given is None or stored is None or given == stored or _is_allowed(path, [name], wanted.allow_change):
            continue
        problems.append(Problem(
            ERROR, f"codecov_secrets.{name}", f"differs from the stored value, which must not change: {PROTECTION_REASON[path]}",
            "the stored value", f"remove codecov_secrets.{name} to keep the stored value, or, if no data depend on it, {_allow(path)}"))
    return problems


def protected_key_problems(existing: Mapping[Any, Any] | None, new: Mapping[Any, Any], template: Mapping[Any, Any],
                           allow_change: frozenset[str], place: Callable[[KeyPath], str]) -> list[Problem]:
    """Compare what must not change with the file that is there. Values are never shown."""
    if existing is None:
        return []
    problems = []
    for path, default in PROTECTED_KEYS.items():
        before, after = at(existing, path, default), at(new, path, default)
        names = list(references(at(template, path)))
        if before is UNSET or before == after or _only_added(before, after) or _is_allowed(path, names, allow_change):
            continue
        key = format_path(path)
        if at(existing, path) is None:
            how = f"set codecov_config_group.{key} to the application's default, which the deployment has used so far"
        elif names:
            how = f"set codecov_secrets.{names[0]} to the value in the existing file"
        else:
            how = f"set {key} to the value in the existing file"
        problems.append(Problem(
            ERROR, key, f"would change, and it must not: {PROTECTION_REASON[path]}", "the value in the existing file",
            f"{how}, or, if no data depend on it, {_allow(path)}", place=place(path)))
    return problems


def _only_added(before: Any, after: Any) -> bool:
    """Encryption keys may get company; those that are there must stay."""
    return isinstance(before, list) and isinstance(after, list) and all(entry in after for entry in before)


def _allow(path: KeyPath) -> str:
    return f"name '{format_path(path)}' in allow_change (codecov_config_allow_change)"


def adopt(template: Mapping[Any, Any], existing: Mapping[Any, Any], known: Collection[str] = ()) -> dict[str, str]:
    """Values of secrets as an existing file holds them, where the template names them.

    Where a secret stands alone nothing tells what it belongs to: a value `known` by another name stays with that name.
    """
    found: dict[str, str] = {}
    for path, scalar in scalars_of(template):
        if not has_reference(scalar):
            continue
        value = at(existing, path)
        if not isinstance(value, str) or not value or (is_reference(scalar) and value in known):
            continue
        match = _pattern_of(scalar).fullmatch(value)
        if match:
            for name, text in match.groupdict().items():
                found.setdefault(name, text)
    return found


def _pattern_of(template: str) -> re.Pattern[str]:
    pattern, end, seen = "", 0, set()
    for match in REFERENCE.finditer(template):
        name = match.group(1)
        pattern += re.escape(template[end:match.start()])
        pattern += f"(?P={name})" if name in seen else f"(?P<{name}>.+)"
        seen.add(name)
        end = match.end()
    return re.compile(pattern + re.escape(template[end:]), re.DOTALL)


# Hiding

def literal_secrets(config: Any) -> Iterator[str]:
    """Secret values that are written out in a structure."""
    for path, scalar in scalars_of(config):
        if isinstance(scalar, bool) or scalar is None:
            continue
        text = str(scalar)
        if _holds_secret(path, scalar) and text and not is_reference(text):
            yield text
        elif isinstance(scalar, str):
            for match in _URL_PASSWORD.finditer(text):
                if not is_reference(match.group("password")):
                    yield match.group("password")


def _holds_secret(path: KeyPath, value: Any) -> bool:
    if is_secret(path, value):
        return True
    names = [element for element in path if isinstance(element, str)]
    return find_key(path) is None and bool(names) and _SECRET_NAME.search(names[-1]) is not None


class Redactor:
    """Shows configurations without their secrets."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        # Longest first, so that a secret that contains another one disappears as a whole.
        ordered = sorted(((value, name) for name, value in secrets.items() if value), key=lambda pair: (-len(pair[0]), pair[1]))
        self._secrets = ordered

    def text(self, text: str) -> str:
        """Text without any known secret and without any password of a URL."""
        for value, name in self._secrets:
            # Shorter ones would tear ordinary words apart; at their keys they are hidden all the same.
            if len(value) >= SHORT or value == text:
                text = text.replace(value, f"${{secret:{name}}}")
        return _URL_PASSWORD.sub(
            lambda match: match.group(0) if REFERENCE.fullmatch(match.group("password"))
            else match.group("before") + HIDDEN + match.group("after"), text)

    def config(self, config: Any, path: KeyPath = (), hidden: str = HIDDEN) -> Any:
        """A structure without secrets, to be shown."""
        if isinstance(config, Mapping):
            return {key: self.config(element, path + (key,), hidden) for key, element in config.items()}
        if isinstance(config, (list, tuple)):
            return [self.config(element, path + (index,), hidden) for index, element in enumerate(config)]
        if _holds_secret(path, config) and config not in (None, "", True, False):
            return config if is_reference(config) else hidden
        return self.text(config) if isinstance(config, str) else config

    def before(self, existing: Mapping[Any, Any], new: Mapping[Any, Any], template: Mapping[Any, Any]) -> dict[Any, Any]:
        """The existing file, shown so that it differs from the new one exactly where its values differ."""
        return dict(self._before(existing, new, template, ()))

    def _before(self, existing: Any, new: Any, template: Any, path: KeyPath) -> Any:
        if isinstance(existing, Mapping):
            return {key: self._before(element, at(new, (key,)), at(template, (key,)), path + (key,)) if isinstance(new, Mapping)
                    else self._before(element, None, None, path + (key,)) for key, element in existing.items()}
        if isinstance(existing, (list, tuple)):
            same_kind = isinstance(new, (list, tuple)) and isinstance(template, (list, tuple))
            return [self._before(element, new[index], template[index], path + (index,)) if same_kind and index < len(new)
                    else self._before(element, None, None, path + (index,)) for index, element in enumerate(existing)]
        after = self.config(template, path)
        if new is not None and existing == new and type(existing) is type(new):
            return after
        shown = self.config(existing, path, HIDDEN_OLD)
        # A secret that changed must not look like the one that replaces it.
        if shown == after and existing != new:
            return HIDDEN_OLD
        return shown


__all__ = [
    "FORMATS", "REFERENCE", "Redactor", "Resolution", "SecretSpec", "StoreError", "Wanted", "adopt", "check_store",
    "extract_literals", "generate", "given_problems", "has_reference", "is_reference", "literal_secrets",
    "protected_key_problems", "protected_names", "references", "resolve", "substitute",
]
