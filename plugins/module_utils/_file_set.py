# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of files in one directory, compared, written and retracted as one unit.

Private to this collection.
"""

from __future__ import annotations

import base64
import binascii
import grp
import hashlib
import json
import os
import posixpath
import pwd
import re
import stat
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, Optional

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.covstack.selfhosted.plugins.module_utils._atomic import remove_leftovers, replace_file
from ansible_collections.covstack.selfhosted.plugins.module_utils._secrets import (
    REFERENCE,
    StoreError,
    check_store,
    substitute,
)

try:
    import yaml
except ImportError:
    HAS_YAML = False
    YAML_IMPORT_ERROR: Optional[str] = traceback.format_exc()
else:
    HAS_YAML = True
    YAML_IMPORT_ERROR = None

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

MANIFEST_VERSION = 1
MANIFEST_MODE = 0o600
DEFAULT_FILE_MODE = 0o644
DEFAULT_SECRET_MODE = 0o600
DEFAULT_DIRECTORY_MODE = 0o755
ORIGINS = ("content", "content_base64", "source")
HIDDEN_LINE = "(line hidden: it is not from this set, and the file may hold secrets)\n"

_OCTAL = re.compile(r"^0?[0-7]{3,4}$")


class FileSetError(Exception):
    """One clear sentence for the user."""


# --- what is wanted -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attributes:
    """Mode and owner. None as an id keeps what is there."""

    mode: int
    uid: Optional[int] = None
    gid: Optional[int] = None

    def differ_from(self, status: os.stat_result) -> bool:
        return (
            stat.S_IMODE(status.st_mode) != self.mode
            or (self.uid is not None and status.st_uid != self.uid)
            or (self.gid is not None and status.st_gid != self.gid)
        )

    def over(self, status: os.stat_result) -> Attributes:
        return Attributes(
            self.mode,
            status.st_uid if self.uid is None else self.uid,
            status.st_gid if self.gid is None else self.gid,
        )


@dataclass(frozen=True)
class WantedFile:
    path: str
    attributes: Attributes
    # The text as the set gives it, with references; None for content_base64 and source.
    text: Optional[str]
    # The bytes for the host; None in check mode while its source, or one of its secrets, does not exist yet.
    data: Optional[bytes]
    # A copy of this file on the host, whose content is never shown.
    source: Optional[str] = None
    # Whether it goes when the set no longer names it.
    retract: bool = True

    @property
    def has_secrets(self) -> bool:
        return self.text is not None and bool(references(self.text))

    @property
    def digest(self) -> Optional[str]:
        return None if self.data is None else sha256(self.data)


def references(text: str) -> list[str]:
    """Names of the secrets that a text asks for, in order, each once."""
    return list(dict.fromkeys(REFERENCE.findall(text)))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def relative_path(path: Any, where: str) -> str:
    """The normal form of a path of the set."""
    if not isinstance(path, str) or not path or "\0" in path:
        raise FileSetError(f"{where}: {path!r} is not a path. Allowed: a relative path below the directory.")
    normal = posixpath.normpath(path)
    if posixpath.isabs(path) or normal == ".." or normal.startswith("../"):
        raise FileSetError(f"{where}: {path!r} leaves the directory. Allowed: a relative path below the directory.")
    return normal


def parents(path: str) -> list[str]:
    """'a/b/c' -> ['a', 'a/b']"""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: index + 1]) for index in range(len(parts))]


def parse_mode(value: Any, where: str) -> int:
    # A number would be an octal that YAML has already turned into something else (0644 is 420).
    if not isinstance(value, str) or not _OCTAL.match(value):
        raise FileSetError(f"{where}: mode {value!r} is not an octal string. Allowed: for example '0644', in quotes.")
    return int(value, 8)


def parse_id(value: Any, where: str, what: str, lookup: Callable[[str], int]) -> Optional[int]:
    if value is None or value == "":
        return None
    text = str(value)
    if text.isdigit():
        return int(text)
    try:
        return lookup(text)
    except KeyError:
        raise FileSetError(f"{where}: there is no {what} {text!r} on this host. Allowed: a number, or a name that exists.") from None


def parse_attributes(entry: Mapping[str, Any], default_mode: int, where: str) -> Attributes:
    mode = entry.get("mode")
    return Attributes(
        default_mode if mode is None else parse_mode(mode, where),
        parse_id(entry.get("owner"), where, "user", lambda name: pwd.getpwnam(name).pw_uid),
        parse_id(entry.get("group"), where, "group", lambda name: grp.getgrnam(name).gr_gid),
    )


def check_keys(entry: Any, allowed: Iterable[str], where: str) -> None:
    names = ", ".join(allowed)
    if not isinstance(entry, dict):
        raise FileSetError(f"{where}: is not a mapping. Allowed: a mapping with the keys {names}.")
    unknown = sorted(str(key) for key in set(entry) - set(allowed))
    if unknown:
        raise FileSetError(f"{where}: unknown key {unknown[0]!r}. Allowed: {names}.")


def parse_file(path: str, entry: Any, fill_in: Callable[[str, str], Optional[str]], read_source: Callable[[Any, str], Optional[bytes]]) -> WantedFile:
    """One value of O(files). `fill_in` puts the secrets in, `read_source` reads a file of the host; None: not there yet."""
    where = f"files[{path!r}]"
    check_keys(entry, (*ORIGINS, "mode", "owner", "group", "retract"), where)
    if entry.get("retract", True) not in (True, False):
        raise FileSetError(f"{where}: retract {entry['retract']!r} is neither true nor false.")
    retract = bool(entry.get("retract", True))
    if sum(origin in entry for origin in ORIGINS) != 1:
        raise FileSetError(f"{where}: needs exactly one of content, content_base64 and source.")
    if "source" in entry:
        attributes = parse_attributes(entry, DEFAULT_SECRET_MODE, where)
        return WantedFile(path, attributes, None, read_source(entry["source"], where), str(entry["source"]), retract)
    text: Optional[str] = None
    data: Optional[bytes] = None
    if "content" in entry:
        text = entry["content"]
        if not isinstance(text, str):
            raise FileSetError(f"{where}: content is not a string.")
        filled = fill_in(text, where) if references(text) else text
        data = None if filled is None else filled.encode("utf-8")
    else:
        data = decode_base64(entry["content_base64"], where)
    secret = text is not None and bool(references(text))
    attributes = parse_attributes(entry, DEFAULT_SECRET_MODE if secret else DEFAULT_FILE_MODE, where)
    if secret and attributes.mode & stat.S_IRWXO:
        raise FileSetError(f"{where}: names a secret but mode {attributes.mode:04o} lets everyone in. Allowed: no rights for others, for example '0600'.")
    return WantedFile(path, attributes, text, data, retract=retract)


def decode_base64(value: Any, where: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise FileSetError(f"{where}: content_base64 is not Base64.") from None


# --- what was written before ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Manifest:
    """What this module wrote: files with their text of references (null when they hold no secret), and directories it made."""

    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    directories: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, path: str) -> Manifest:
        try:
            raw = json.loads(text)
            if raw["version"] != MANIFEST_VERSION:
                raise FileSetError(f"{path}: was written by another version of this collection (format {raw['version']!r}).")
            files = {relative_path(name, path): dict(entry) for name, entry in raw["files"].items()}
            return cls(files, tuple(relative_path(name, path) for name in raw["directories"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise FileSetError(
                f"{path}: is not a manifest of this module. Way out: remove it; files that were written before and are no longer wanted then stay."
            ) from None

    def render(self) -> str:
        content = {"version": MANIFEST_VERSION, "files": dict(self.files), "directories": sorted(self.directories)}
        return json.dumps(content, indent=1, sort_keys=True) + "\n"

    @property
    def is_empty(self) -> bool:
        return not self.files and not self.directories

    def __or__(self, other: Manifest) -> Manifest:
        return Manifest({**self.files, **other.files}, tuple(sorted({*self.directories, *other.directories})))


def load_secrets(path: str) -> dict[str, str]:
    """The file of secrets; no message ever holds a part of its content."""
    try:
        with open(path, encoding="utf-8") as stream:
            content = yaml.safe_load(stream)
    except (yaml.YAMLError, UnicodeDecodeError):
        raise FileSetError(f"secrets_path: {path} is not YAML. Way out: restore it from the backup.") from None
    except OSError as error:
        raise FileSetError(f"secrets_path: {path} cannot be read: {error.strerror}.") from None
    try:
        return check_store(content, path)
    except StoreError as error:
        raise FileSetError(str(error)) from None


def manifest_entry(wanted: WantedFile) -> dict[str, Any]:
    # What is not None there is what a diff shows later in place of the content.
    return {"digest": wanted.digest, "references": shown_after(wanted) if wanted.has_secrets or wanted.source else None}


# --- diff without secrets -------------------------------------------------------------------------------------------


def as_text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return f"(binary, {len(data)} bytes, sha256 {sha256(data)})\n"


def hide_unknown_lines(text: str, known_texts: Iterable[str], secrets: Mapping[str, Any]) -> str:
    """A text that may hold secrets, for showing: values become references, lines of unknown origin are hidden."""
    known_lines = {line for known in known_texts for line in known.splitlines()}
    used = {name for known in known_texts for name in references(known)}
    values = {str(secrets[name]): f"${{secret:{name}}}" for name in used if secrets.get(name)}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, values[value])
    return "".join(line if line.rstrip("\r\n") in known_lines else HIDDEN_LINE for line in text.splitlines(keepends=True))


def shown_before(data: bytes, mode: int, wanted: Optional[WantedFile], entry: Optional[Mapping[str, Any]], secrets: Mapping[str, Any]) -> str:
    """The current content of a file, fit for a diff."""
    recorded = entry.get("references") if entry else None
    if entry and entry.get("digest") == sha256(data):
        return as_text(data) if recorded is None else str(recorded)
    had_or_has_secrets = recorded is not None or (wanted is not None and (wanted.has_secrets or wanted.source is not None))
    if not had_or_has_secrets and mode & stat.S_IROTH:
        return as_text(data)
    known = [text for text in (recorded, wanted.text if wanted else None) if text is not None]
    return hide_unknown_lines(as_text(data), known, secrets)


def shown_after(wanted: WantedFile) -> str:
    if wanted.source is not None:
        return f"(a copy of {wanted.source}, sha256 {wanted.digest or 'not known yet'})\n"
    if wanted.text is not None:
        return wanted.text
    return as_text(wanted.data or b"")


def shown_attributes(attributes: Attributes) -> str:
    ids = {"owner": attributes.uid, "group": attributes.gid}
    return f"mode: {attributes.mode:04o}\n" + "".join(f"{name}: {number}\n" for name, number in ids.items() if number is not None)


def attributes_of(status: os.stat_result) -> Attributes:
    return Attributes(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)


# --- the host -------------------------------------------------------------------------------------------------------


class FileSet:
    """One run of the module: parse, compare, then (unless in check mode) write and retract."""

    def __init__(self, module: AnsibleModule, options: Mapping[str, Any], secrets: Mapping[str, str] | None = None) -> None:
        """`options` are those of the module file_set; `secrets`, when the caller holds them already, take the place of secrets_path."""
        self.module = module
        self.options = options
        self.check_mode: bool = module.check_mode
        self.directory: str = os.path.abspath(options["directory"])
        self.manifest_name: str = options["manifest"]
        self.journal: Mapping[str, str] | None = options.get("journal")
        self._given_secrets = secrets
        self.secrets: Mapping[str, str] = {}
        self.changed_files: list[str] = []
        self.changed_directories: list[str] = []
        self.removed_files: list[str] = []
        self.removed_directories: list[str] = []
        self.diffs: list[dict[str, str]] = []
        self._told_journal = False

    def run(self) -> dict[str, Any]:
        if self.manifest_name in ("", ".", "..") or "/" in self.manifest_name:
            raise FileSetError(f"manifest: {self.manifest_name!r} is not a file name. Allowed: a name without a directory.")
        directories = self._wanted_directories()
        files = self._wanted_files()
        self._check_places(files, directories)
        self._check_journal(files)
        before = self._read_manifest()
        if not self.check_mode:
            for path in {".", *before.directories, *needed_directories([*files, *before.files], directories)}:
                remove_leftovers(self._absolute(path))
        after = self._next_manifest(before, files, directories)
        if files or directories:
            self._keep_directory(".", directories.get("."))
        # Recorded before anything else is written: an interrupted run must not forget what it made.
        self._write_manifest(before, before | after)
        for path in sorted(needed_directories(files, directories), key=directory_order):
            self._keep_directory(path, directories.get(path))
        for path in sorted(files):
            self._keep_file(files[path], before.files.get(path))
        for path in sorted(set(before.files) - set(files)):
            self._remove_file(path, before.files[path])
        for path in sorted(set(before.directories) - set(after.directories), key=directory_order, reverse=True):
            self._remove_directory(path)
        self._write_manifest(before | after, after)
        return self._result(files)

    # parse

    def _wanted_files(self) -> dict[str, WantedFile]:
        files: dict[str, WantedFile] = {}
        given = self.options["files"]
        if any(isinstance(entry, dict) and isinstance(entry.get("content"), str) and references(entry["content"]) for entry in given.values()):
            self.secrets = self._load_secrets()
        for name, entry in given.items():
            path = relative_path(name, "files")
            if path in files or path in (".", self.manifest_name):
                raise FileSetError(f"files[{name!r}]: this path is already taken by {'the manifest' if path == self.manifest_name else 'another entry'}.")
            files[path] = parse_file(path, entry, self._fill_in, self._read_source)
        for path in files:
            inside = next((parent for parent in parents(path) if parent in files), None)
            if inside is not None:
                raise FileSetError(f"files[{path!r}]: lies below {inside!r}, which is a file of the set itself.")
        return files

    def _wanted_directories(self) -> dict[str, Attributes]:
        wanted: dict[str, Attributes] = {}
        for name, entry in self.options["directories"].items():
            path = relative_path(name, "directories")
            where = f"directories[{name!r}]"
            entry = {} if entry is None else entry
            check_keys(entry, ("mode", "owner", "group"), where)
            if path in self.options["files"]:
                raise FileSetError(f"{where}: is a file of the set, too.")
            wanted[path] = parse_attributes(entry, DEFAULT_DIRECTORY_MODE, where)
        return wanted

    def _load_secrets(self) -> Mapping[str, str]:
        if self._given_secrets is not None:
            return self._given_secrets
        path = self.options["secrets_path"]
        if path is None:
            raise FileSetError("secrets_path: is missing, but a content names a secret. Way out: give the path of the YAML file with the secrets.")
        if not os.path.exists(path):
            if self.check_mode:
                return {}
            raise FileSetError(f"secrets_path: {path} does not exist on this host. Way out: write the secrets first (module codecov_config).")
        if not HAS_YAML:
            self.module.fail_json(msg=missing_required_lib("PyYAML"), exception=YAML_IMPORT_ERROR)
        return load_secrets(path)

    def _fill_in(self, text: str, where: str) -> Optional[str]:
        missing = [name for name in references(text) if name not in self.secrets]
        if not missing:
            return str(substitute(text, self.secrets))
        if self.check_mode:
            return None
        raise FileSetError(
            f"{where}: there is no secret {', '.join(missing)} in {self.options['secrets_path']}."
            " Way out: add it to the secrets, or remove the reference."
        )

    def _read_source(self, source: Any, where: str) -> Optional[bytes]:
        if not isinstance(source, str) or not os.path.isabs(source):
            raise FileSetError(f"{where}: source {source!r} is not a path. Allowed: an absolute path of a file on the host.")
        try:
            with open(source, "rb") as stream:
                return stream.read()
        except OSError as error:
            if self.check_mode and isinstance(error, FileNotFoundError):
                return None
            raise FileSetError(f"{where}: source {source} cannot be read: {error.strerror}.") from None

    # compare

    def _absolute(self, path: str) -> str:
        return os.path.normpath(os.path.join(self.directory, path))

    def _check_places(self, files: Mapping[str, WantedFile], directories: Mapping[str, Attributes]) -> None:
        """Before anything is written: no place of the set is outside, or taken by something of another kind."""
        if os.path.lexists(self.directory) and not os.path.isdir(self.directory):
            raise FileSetError(f"directory: {self.directory} is not a directory.")
        for path in (*files, *directories, self.manifest_name):
            self._check_inside(path)
        for path in files:
            target = self._absolute(path)
            if os.path.isdir(target) and not os.path.islink(target):
                raise FileSetError(f"files[{path!r}]: {target} is a directory. Way out: move it away.")
        for path in needed_directories(files, directories):
            target = self._absolute(path)
            if os.path.lexists(target) and not os.path.isdir(target):
                raise FileSetError(f"{path!r}: {target} is needed as a directory but is something else. Way out: move it away.")

    def _check_journal(self, files: Mapping[str, WantedFile]) -> None:
        if self.journal is None:
            return
        path = relative_path(self.journal["file"], "journal")
        if path in files or path == self.manifest_name or os.path.isdir(self._absolute(path)):
            raise FileSetError(f"journal: {path!r} is a directory, a file of the set or its manifest. Allowed: a file of its own.")
        self._check_inside(path)

    def _check_inside(self, path: str) -> None:
        root = os.path.realpath(self.directory)
        real = os.path.realpath(self._absolute(path))
        if real != root and not real.startswith(root.rstrip("/") + "/"):
            raise FileSetError(f"{path!r}: leads out of {self.directory} to {real} by a symbolic link. Way out: remove the link.")

    def _status(self, path: str) -> Optional[os.stat_result]:
        try:
            return os.lstat(self._absolute(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _read(self, path: str) -> bytes:
        with open(self._absolute(path), "rb") as stream:
            return stream.read()

    # apply

    def _tell_journal(self) -> None:
        """The line about this run, before its first change."""
        if self.journal is None or self._told_journal:
            return
        self._told_journal = True
        line = " ".join([time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), *self.journal["line"].split()])
        with open(self._absolute(self.journal["file"]), "a", encoding="utf-8") as stream:
            stream.write(line + "\n")

    def _keep_directory(self, path: str, wanted: Optional[Attributes]) -> None:
        target = self._absolute(path)
        try:
            status: Optional[os.stat_result] = os.stat(target)
        except FileNotFoundError:
            status = None
        if status is not None and (wanted is None or not wanted.differ_from(status)):
            return
        self.changed_directories.append(path)
        final = wanted or Attributes(DEFAULT_DIRECTORY_MODE)
        self.diffs.append(
            {
                "before_header": f"{target}/ (directory)",
                "after_header": f"{target}/ (directory)",
                "before": "" if status is None else shown_attributes(attributes_of(status)),
                "after": shown_attributes(final.over(status) if status else final),
            }
        )
        if self.check_mode:
            return
        if status is None:
            make_private_directories(target)
        set_attributes(target, final)

    def _keep_file(self, wanted: WantedFile, entry: Optional[Mapping[str, Any]]) -> None:
        status = self._status(wanted.path)
        is_regular = status is not None and stat.S_ISREG(status.st_mode)
        current = self._read(wanted.path) if is_regular else None
        same_content = current is not None and current == wanted.data
        same_attributes = status is not None and is_regular and not wanted.attributes.differ_from(status)
        if same_content and same_attributes:
            return
        self.changed_files.append(wanted.path)
        target = self._absolute(wanted.path)
        if not same_content:
            mode = stat.S_IMODE(status.st_mode) if status else 0
            before = "" if current is None else shown_before(current, mode, wanted, entry, self.secrets)
            self.diffs.append({"before_header": target, "after_header": target, "before": before, "after": shown_after(wanted)})
        if status is not None and not same_attributes:
            header = f"{target} (attributes)"
            before, after = shown_attributes(attributes_of(status)), shown_attributes(wanted.attributes.over(status))
            self.diffs.append({"before_header": header, "after_header": header, "before": before, "after": after})
        if self.check_mode:
            return
        self._tell_journal()
        if same_content:
            set_attributes(target, wanted.attributes)
        else:
            final = wanted.attributes.over(status) if status is not None and is_regular else wanted.attributes
            self._replace(target, wanted.data or b"", final)

    def _replace(self, target: str, data: bytes, attributes: Attributes) -> None:
        def prepare(temporary: str) -> None:
            set_attributes(temporary, attributes)
            if self.module.selinux_enabled() and os.path.exists(target):
                self.module.set_context_if_different(temporary, self.module.selinux_context(target), False)

        replace_file(target, data, prepare)

    def _remove_file(self, path: str, entry: Mapping[str, Any]) -> None:
        self._check_inside(posixpath.dirname(path) or ".")
        status = self._status(path)
        if status is None or stat.S_ISDIR(status.st_mode):
            return
        target = self._absolute(path)
        before = ""
        if stat.S_ISREG(status.st_mode):
            before = shown_before(self._read(path), stat.S_IMODE(status.st_mode), None, entry, self.secrets)
        self.removed_files.append(path)
        self.diffs.append({"before_header": target, "after_header": f"{target} (removed)", "before": before, "after": ""})
        if not self.check_mode:
            self._tell_journal()
            os.unlink(target)

    def _remove_directory(self, path: str) -> None:
        target = self._absolute(path)
        gone = {*self.removed_files, *self.removed_directories} if self.check_mode else set()
        if not os.path.isdir(target) or os.path.islink(target) or self._names_in(path) - gone:
            return
        self.removed_directories.append(path)
        self.diffs.append({"before_header": f"{target}/ (directory)", "after_header": f"{target}/ (removed)", "before": "directory\n", "after": ""})
        if not self.check_mode:
            os.rmdir(target)

    # manifest

    def _read_manifest(self) -> Manifest:
        target = self._absolute(self.manifest_name)
        try:
            with open(target, encoding="utf-8") as stream:
                return Manifest.parse(stream.read(), target)
        except FileNotFoundError:
            return Manifest()

    def _next_manifest(self, before: Manifest, files: Mapping[str, WantedFile], directories: Mapping[str, Attributes]) -> Manifest:
        files = {path: wanted for path, wanted in files.items() if wanted.retract}
        needed = needed_directories(files, directories)
        made = {path for path in needed if path in before.directories or not os.path.isdir(self._absolute(path))}
        going = set(before.files) - set(files)
        # A directory in which others have put something stays, and stays remembered as ours.
        for path in sorted(set(before.directories) - needed, key=directory_order, reverse=True):
            (made if self._names_in(path) - going else going).add(path)
        return Manifest({path: manifest_entry(files[path]) for path in files}, tuple(sorted(made)))

    def _names_in(self, path: str) -> set[str]:
        """Paths of everything directly in a directory of the set."""
        target = self._absolute(path)
        return {posixpath.join(path, name) for name in os.listdir(target)} if os.path.isdir(target) else set()

    def _write_manifest(self, old: Manifest, new: Manifest) -> None:
        if self.check_mode or old.render() == new.render():
            return
        target = self._absolute(self.manifest_name)
        if new.is_empty:
            if os.path.lexists(target):
                os.unlink(target)
            return
        self._replace(target, new.render().encode("utf-8"), Attributes(MANIFEST_MODE))

    def _result(self, files: Mapping[str, WantedFile]) -> dict[str, Any]:
        lists = {
            "changed_files": self.changed_files,
            "changed_directories": self.changed_directories,
            "removed_files": self.removed_files,
            "removed_directories": self.removed_directories,
        }
        result: dict[str, Any] = {"changed": any(lists.values()), **lists}
        result["digests"] = {path: files[path].digest for path in sorted(files)}
        if self.module._diff:
            result["diff"] = self.diffs
        return result


def needed_directories(files: Iterable[str], directories: Iterable[str]) -> set[str]:
    """Every directory below the root that the set needs."""
    named = {*directories} - {"."}
    return {*named, *(parent for path in (*files, *named) for parent in parents(path))}


def directory_order(path: str) -> tuple[int, str]:
    """Parents before what is in them."""
    return (0, "") if path == "." else (path.count("/") + 1, path)


def make_private_directories(target: str) -> None:
    """What is above the directory, and missing too, is nobody else's to look into until somebody says so."""
    umask = os.umask(0o077)
    try:
        os.makedirs(target)
    finally:
        os.umask(umask)


def set_attributes(target: str, attributes: Attributes) -> None:
    # The owner first: changing it clears set-id bits, and a secret is never readable for the wrong one.
    if attributes.uid is not None or attributes.gid is not None:
        os.chown(target, -1 if attributes.uid is None else attributes.uid, -1 if attributes.gid is None else attributes.gid)
    os.chmod(target, attributes.mode)
