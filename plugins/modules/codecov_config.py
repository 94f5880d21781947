#!/usr/bin/python

# Copyright (c) 2026, the covstack.selfhosted authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: codecov_config
short_description: Merge, validate and write a codecov.yml, and keep its secrets
description:
  - Merges layers of settings exactly as Codecov merges its own, from low to high. A mapping over a mapping merges deeply;
    everything else (lists, scalars, V(null)) replaces what was there.
  - Validates the result before anything is written. Codecov itself never reports a wrong or unknown key.
  - Generates missing secrets once and keeps them in a file that only root can read. Secrets are named C(${secret:NAME}) in
    the layers and are put in on the target only.
  - Writes the result atomically.
  - With O(repository_yaml) it validates the C(codecov.yml) of a repository instead, and writes nothing.
version_added: 0.1.0
author:
  - covstack authors (@covstack)
requirements:
  - PyYAML on the target (C(python3-yaml) on Debian and Ubuntu, C(python3-pyyaml) on the RHEL family)
  - For reading the licence, the Python package C(cryptography) or the program C(openssl) on the target.
extends_documentation_fragment:
  - ansible.builtin.files
attributes:
  check_mode:
    description: Can run in check mode and report what would change, also on a host where nothing exists yet.
    support: full
    details:
      - Secrets that would be generated are reported by name only. RV(digest) is provisional while there are such secrets,
        since it depends on their values.
  diff_mode:
    description: Can show what changed.
    support: full
    details:
      - Secrets are shown as C(${secret:NAME}) or C(<hidden>); a secret that changed shows as a change.
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
options:
  path:
    description:
      - The file to write. A missing directory is created with O(directory_mode).
      - Required unless O(repository_yaml) is given.
    type: path
  layers:
    description:
      - Layers of settings, from low to high.
      - Required with O(path).
    type: list
    elements: dict
    suboptions:
      name:
        description: What to call this layer in errors and in RV(provenance).
        type: str
        required: true
      content:
        description: Its settings. They may name secrets as C(${secret:NAME}).
        type: raw
  line:
    description: The application line that reads the file.
    type: str
    choices: [codecov, codecov_enterprise]
    default: codecov
  secrets_path:
    description:
      - The file that keeps secrets, one name and value a line. Its mode is always C(0600).
      - Losing this file means losing data. Back it up.
      - Required with O(path).
    type: path
  secrets:
    description:
      - Secrets given by the operator, as names and values. They take precedence over stored ones and are stored as well.
      - A value that differs from a stored one that must not change is refused, see O(allow_change).
    type: dict
    default: {}
  kept_secrets:
    description:
      - All secrets of a deployment as the host that keeps them has them, for another host of it. They take the place of those stored on this one.
      - Where it is given, nothing that is stored on this host counts.
    type: dict
  required_secrets:
    description: Secrets that are generated once, unless they were given or are stored already.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name, as in C(${secret:NAME}).
        type: str
        required: true
      format:
        description:
          - V(urlsafe) is letters and digits, V(hex) is hexadecimal digits; both begin with a letter.
          - V(uuid) is a random UUID, V(fernet) a key of 32 bytes in URL-safe base64.
          - V(certificate) is a private key with its own certificate in PEM, for servers of one service that trust each other and nobody else.
            Its common name is O(required_secrets[].name) with hyphens. It lasts 20 years. Needs the command C(openssl) on the host.
        type: str
        choices: [urlsafe, hex, uuid, fernet, certificate]
        default: urlsafe
      length:
        description: Number of characters of V(urlsafe) and V(hex).
        type: int
        default: 40
  license_required:
    description: Refuse to go on without a licence that is valid.
    type: bool
    default: false
  allow_change:
    description:
      - Keys (V(setup.encryption_secret), V(setup.encryption.keys), V(setup.encryption.yaml_secret),
        V(services.minio.hash_key)) or names of secrets that may change, although data were written with the old value
        and cannot be read with another one.
    type: list
    elements: str
    default: []
  accept_unknown_keys:
    description: Keys that this version of the collection does not know, but your version of Codecov reads.
    type: list
    elements: str
    default: []
  mode:
    description: Mode of the file at O(path).
    type: raw
    default: '0600'
  directory_mode:
    description: Mode of directories that are created.
    type: raw
    default: '0755'
  repository_yaml:
    description:
      - Validate the C(codecov.yml) of a repository instead.
      - Mutually exclusive with O(path) and O(layers).
    type: dict
    suboptions:
      path:
        description: The file on the target.
        type: path
      content:
        description: The content, as text or as a mapping.
        type: raw
seealso:
  - name: Codecov YAML reference
    description: What a repository's codecov.yml can contain.
    link: https://docs.codecov.com/docs/codecovyml-reference
"""

EXAMPLES = r"""
- name: Write codecov.yml, generate what is missing
  covstack.selfhosted.codecov_config:
    path: /opt/codecov/config/codecov.yml
    owner: "1001"
    secrets_path: /opt/codecov/secrets.yml
    layers:
      - name: line defaults
        content:
          setup:
            encryption_secret: ${secret:encryption_secret}
            encryption:
              yaml_secret: ${secret:yaml_secret}
            http:
              cookie_secret: ${secret:cookie_secret}
          django:
            secret_key: ${secret:django_secret_key}
      - name: this deployment
        content:
          setup:
            codecov_url: https://codecov.example.com
            trusted_origin: https://codecov.example.com
          services:
            database_url: postgresql://codecov:${secret:postgres_password}@db.example.com:5432/codecov
            redis_url: redis://cache.example.com:6379
            minio:
              host: s3.eu-central-1.amazonaws.com
              port: 443
              verify_ssl: true
              bucket: example-codecov
              region: eu-central-1
              access_key_id: ${secret:storage_access_key}
              secret_access_key: ${secret:storage_secret_key}
              hash_key: ${secret:storage_hash_key}
              ttl: 300
          bundle_analysis:
            bucket_name: example-codecov
    secrets: "{{ codecov_secrets }}"
    required_secrets:
      - name: encryption_secret
      - name: yaml_secret
      - name: cookie_secret
      - name: django_secret_key
        length: 64
      - name: storage_hash_key
        format: hex
        length: 32

- name: Validate the codecov.yml of a repository
  covstack.selfhosted.codecov_config:
    repository_yaml:
      content: "{{ lookup('ansible.builtin.file', 'codecov.yml') }}"
"""

RETURN = r"""
path:
  description: The file.
  returned: success, with O(path)
  type: str
  sample: /opt/codecov/config/codecov.yml
digest:
  description:
    - SHA-256 of the content of the file, secrets included. Equal content has an equal digest.
    - Provisional in check mode while RV(generated) is not empty.
  returned: success, with O(path)
  type: str
  sample: 9b1dc1c1c5a8f8c5b0d0c4b2fd4c1c3bb3b4f2b0fbe2f1ab7f1d3b4c5d6e7f80
provenance:
  description: Which layer set each key.
  returned: success, with O(path)
  type: dict
  sample: {"setup.codecov_url": "this deployment", "setup.http.cookie_secret": "line defaults"}
generated:
  description: Names of secrets that were (in check mode, would be) generated.
  returned: success, with O(path)
  type: list
  elements: str
  sample: [cookie_secret]
adopted:
  description: Names of secrets that were neither given nor stored, and were taken over from the existing file.
  returned: success, with O(path)
  type: list
  elements: str
  sample: []
replaced:
  description: Names of stored secrets that were replaced by given ones.
  returned: success, with O(path)
  type: list
  elements: str
  sample: []
callbacks:
  description: The callback URL to register at each git provider that users log in with.
  returned: success, with O(path)
  type: dict
  sample: {"github": "https://codecov.example.com/login/gh"}
webhooks:
  description: The webhook URL of each of these git providers.
  returned: success, with O(path)
  type: dict
  sample: {"github": "https://codecov.example.com/webhooks/github"}
license:
  description: What the licence says, empty if there is none or it could not be read.
  returned: success, with O(path)
  type: dict
  sample:
    company: Example
    expires: "2030-12-25 00:00:00"
    days_left: 1495
    users: 50
    repositories: null
    url: null
    trial: false
    pull_request_billing: false
normalized:
  description: The settings as the application uses them, secrets hidden.
  returned: success, with O(repository_yaml)
  type: dict
  sample: {"coverage": {"range": [60.0, 80.0]}}
warnings:
  description: What is allowed but probably not wanted, one line each.
  returned: when there are any
  type: list
  elements: str
  sample: ["services.minio.ttl: is missing: upload addresses are valid for 10 seconds -> set it to 300"]
errors:
  description: Why nothing was written, one line each. It names the setting, the layer that set it, what is allowed and the way out.
  returned: always
  type: list
  elements: str
  sample: []
"""

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
import traceback
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.covstack.selfhosted.plugins.module_utils import _license as licensing
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_merge import (
    Layer,
    LayerError,
    MergedConfig,
    layer_problem,
    merge_layers,
    structure_problem,
)
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_validate import validate_install
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import (
    ERROR,
    Problem,
    errors_of,
    show,
    warnings_of,
)
from ansible_collections.covstack.selfhosted.plugins.module_utils._providers import callbacks_of, webhooks_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._repository_yaml import secret_values, validate_repository
from ansible_collections.covstack.selfhosted.plugins.module_utils._secrets import (
    FORMATS,
    LICENCE_NAME,
    LICENCE_PATH,
    Redactor,
    Resolution,
    SecretSpec,
    StoreError,
    Wanted,
    check_store,
    given_problems,
    literal_secrets,
    protected_key_problems,
    references,
    resolve,
    substitute,
)

YAML_IMPORT_ERROR: str | None
try:
    import yaml
except ImportError:
    YAML_IMPORT_ERROR = traceback.format_exc()
else:
    YAML_IMPORT_ERROR = None

HEADER = "# Written by Ansible (covstack.selfhosted). Changes made here are lost; use codecov_config_group or codecov_config_host instead.\n"
SECRETS_HEADER = "# Secrets of this deployment, written by Ansible (covstack.selfhosted). Keep a backup: data cannot be read without them.\n"
SECRETS_MODE = "0600"
PRIVATE_UMASK = 0o077
# Shorter values found on the host are hidden where they stand; replacing them everywhere would tear words apart.
SCRUBBED_LENGTH = 6


class Failure(Exception):
    """Problems that end the run before anything is changed."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


def argument_spec() -> dict[str, Any]:
    return {
        "path": {"type": "path"},
        # no_log keeps secrets that somebody wrote out off the system log; see forget_public_values().
        "layers": {"type": "list", "elements": "dict", "no_log": True, "options": {
            "name": {"type": "str", "required": True},
            "content": {"type": "raw"},
        }},
        "line": {"type": "str", "choices": ["codecov", "codecov_enterprise"], "default": "codecov"},
        "secrets_path": {"type": "path", "no_log": False},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
        "kept_secrets": {"type": "dict", "no_log": True},
        "required_secrets": {"type": "list", "elements": "dict", "default": [], "no_log": False, "options": {
            "name": {"type": "str", "required": True},
            "format": {"type": "str", "choices": list(FORMATS), "default": "urlsafe"},
            "length": {"type": "int", "default": 40},
        }},
        "license_required": {"type": "bool", "default": False},
        "allow_change": {"type": "list", "elements": "str", "default": []},
        "accept_unknown_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "mode": {"type": "raw", "default": "0600"},
        "directory_mode": {"type": "raw", "default": "0755"},
        "repository_yaml": {"type": "dict", "no_log": True, "mutually_exclusive": [("path", "content")], "required_one_of": [("path", "content")], "options": {
            "path": {"type": "path"},
            "content": {"type": "raw"},
        }},
    }


def create_module() -> AnsibleModule:
    return AnsibleModule(
        argument_spec=argument_spec(),
        add_file_common_args=True,
        mutually_exclusive=[("path", "repository_yaml"), ("layers", "repository_yaml")],
        required_one_of=[("path", "repository_yaml")],
        required_by={"path": ("layers", "secrets_path")},
        supports_check_mode=True,
    )


def forget_public_values(module: AnsibleModule) -> None:
    """Ansible took every value of the layers and of a repository's file for a secret; keep those that are."""
    module.no_log_values.clear()
    for given in (module.params["secrets"], module.params["kept_secrets"] or {}):
        module.no_log_values.update(str(value) for value in given.values() if value not in (None, True, False, ""))
    source = module.params["repository_yaml"] or {}
    if isinstance(source.get("content"), str):
        # The text as a whole; its own secrets are known once it is parsed.
        module.no_log_values.add(source["content"])
    for layer in module.params["layers"] or []:
        if structure_problem(layer["content"], layer["name"]) is None:
            module.no_log_values.update(literal_secrets(layer["content"]))


def hide(module: AnsibleModule, values: Any) -> None:
    module.no_log_values.update(value for value in values if len(value) >= SCRUBBED_LENGTH)


def parse_yaml(text: str | bytes, name: str) -> Any:
    """YAML -> data; what is wrong is told by its place, never by its content."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Failure([Problem(ERROR, name, f"is not valid YAML{where}", "a YAML mapping",
                               "correct this place (indentation, quotes, tabs), or restore the file")]) from None


def read(path: str) -> bytes | None:
    """The content of a regular file, None if there is nothing."""
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise Failure([Problem(ERROR, path, "stands below something that is no directory", "a path below directories", "choose another path")]) from None
    if not stat.S_ISREG(kind):
        what = "a directory" if stat.S_ISDIR(kind) else "a symbolic link" if stat.S_ISLNK(kind) else "a special file"
        raise Failure([Problem(ERROR, path, f"is {what}", "a regular file or nothing", "remove it or choose another path")])
    try:
        with open(path, "rb") as file:
            return file.read()
    except PermissionError:
        raise Failure([Problem(ERROR, path, "cannot be read", "a file that the user of this task may read", "run the task as root (become: true)")]) from None


def to_yaml(content: Any) -> str:
    return str(yaml.safe_dump(content, default_flow_style=False, allow_unicode=True, width=2**16, sort_keys=True))


class ConfigManager:
    """One run: what is there, what should be there, the difference, and writing it."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params = module.params
        self.path: str = module.params["path"]
        self.secrets_path: str = module.params["secrets_path"]
        self.warnings: list[Problem] = []

    def run(self) -> dict[str, Any]:
        merged = self._merge()
        secrets_before = read(self.secrets_path)
        stored = self._stored_secrets(secrets_before)
        before = read(self.path)
        existing = self._existing(before)
        kept = self._kept_secrets()
        merged, resolution = self._resolve(merged, stored if kept is None else kept, existing)
        config = substitute(merged.config, resolution.values)
        license_ = self._validate(merged, resolution, config, existing)
        content = (HEADER + to_yaml(config)).encode("utf-8")
        store = (SECRETS_HEADER + to_yaml(resolution.store)).encode("utf-8")
        redactor = Redactor({**stored, **resolution.values})
        diff = self._diff(redactor, merged, config, existing, stored, resolution)
        with self._alone(before, secrets_before):
            # Secrets first: killed in between, the next run finds them.
            changed = self._write(self.secrets_path, None if secrets_before is not None and resolution.store == stored else store, secret=True)
            changed = self._write(self.path, None if content == before else content) or changed
        return {
            "changed": changed,
            "path": self.path,
            "digest": hashlib.sha256(content).hexdigest(),
            "provenance": merged.provenance,
            "generated": resolution.generated,
            "adopted": resolution.adopted,
            "replaced": resolution.replaced,
            "callbacks": callbacks_of(merged.config),
            "webhooks": webhooks_of(merged.config),
            "license": license_.as_dict() if license_ else {},
            "errors": [],
            "diff": diff,
        }

    def _merge(self) -> MergedConfig:
        problems = [problem for problem in (layer_problem(layer["name"], layer["content"]) for layer in self.params["layers"]) if problem]
        names = [layer["name"] for layer in self.params["layers"]]
        problems += [Problem(ERROR, f"layers[{names.index(name)}]", f"has the name {show(name)}, as another one has", "names of their own", "rename it")
                     for name in dict.fromkeys(names) if names.count(name) > 1]
        if problems:
            raise Failure(problems)
        try:
            return merge_layers([Layer(layer["name"], layer["content"]) for layer in self.params["layers"]])
        except LayerError as error:
            raise Failure([error.problem]) from None

    def _stored_secrets(self, content: bytes | None) -> dict[str, str]:
        if content is None:
            return {}
        try:
            stored = check_store(parse_yaml(content, self.secrets_path), self.secrets_path)
        except StoreError as error:
            raise Failure([error.problem]) from None
        hide(self.module, stored.values())
        return stored

    def _kept_secrets(self) -> dict[str, str] | None:
        if self.params["kept_secrets"] is None:
            return None
        try:
            return check_store(self.params["kept_secrets"], "kept_secrets")
        except StoreError as error:
            raise Failure([error.problem]) from None

    def _existing(self, content: bytes | None) -> dict[Any, Any] | None:
        if content is None:
            return None
        existing = parse_yaml(content, self.path)
        if existing is None:
            # An empty file protects nothing; the application does not even start with it.
            return None
        problem = layer_problem(self.path, existing)
        if problem:
            raise Failure([problem])
        hide(self.module, literal_secrets(existing))
        return dict(existing)

    def _resolve(self, merged: MergedConfig, stored: dict[str, str], existing: dict[Any, Any] | None) -> tuple[MergedConfig, Resolution]:
        given = self.params["secrets"]
        problems = given_problems(given)
        self.warnings += warnings_of(problems)
        if errors_of(problems):
            raise Failure(errors_of(problems))
        if LICENCE_NAME not in {**stored, **given} and references(merged.config).get(LICENCE_NAME) == [LICENCE_PATH]:
            merged = self._without_license(merged)
        resolution = resolve(Wanted(
            template=merged.config,
            required=tuple(SecretSpec(spec["name"], spec["format"], spec["length"]) for spec in self.params["required_secrets"]),
            given=given, stored=stored, existing=existing,
            allow_change=frozenset(self.params["allow_change"]), place=merged.place,
        ))
        hide(self.module, resolution.values.values())
        if resolution.problems:
            raise Failure(resolution.problems)
        return merged, resolution

    def _without_license(self, merged: MergedConfig) -> MergedConfig:
        if self.params["license_required"]:
            raise Failure([licensing.missing().at(merged.place(LICENCE_PATH))])
        section, key = LICENCE_PATH
        config = {**merged.config, section: {name: value for name, value in merged.config[section].items() if name != key}}
        origins = {**merged.origins, section: {name: value for name, value in merged.origins[section].items() if name != key}}
        return MergedConfig(config, origins)

    def _validate(self, merged: MergedConfig, resolution: Resolution, config: dict[Any, Any],
                  existing: dict[Any, Any] | None) -> licensing.License | None:
        problems = validate_install(config, line=self.params["line"], place=merged.place, license_required=self.params["license_required"],
                                    accept_unknown=self.params["accept_unknown_keys"])
        problems += protected_key_problems(existing, config, merged.config, frozenset(self.params["allow_change"]), merged.place)
        license_, found = self._license(config)
        problems += [problem.at(merged.place(LICENCE_PATH)) for problem in found]
        self.warnings += warnings_of(problems)
        if errors_of(problems):
            raise Failure(errors_of(problems))
        return license_

    def _license(self, config: dict[Any, Any]) -> tuple[licensing.License | None, list[Problem]]:
        section = config.get("setup")
        raw = section.get("enterprise_license") if isinstance(section, dict) else None
        if not isinstance(raw, str) or not raw:
            return None, []
        decrypt = self._decrypt()
        if decrypt is None:
            return None, [licensing.unchecked()]
        try:
            license_ = licensing.decode_license(raw, decrypt)
        except licensing.LicenseError as error:
            return None, [licensing.unreadable(str(error))]
        return license_, licensing.license_problems(license_, section.get("codecov_url") if section else None, self.params["license_required"])

    def _decrypt(self) -> licensing.Decrypt | None:
        if licensing.HAS_CRYPTOGRAPHY:
            return licensing.decrypt_with_cryptography
        openssl = self.module.get_bin_path("openssl")
        if openssl is None:
            return None

        def with_openssl(key: bytes, iv: bytes, data: bytes) -> bytes:
            code, output, _errors = self.module.run_command(licensing.openssl_arguments(openssl, key, iv), data=data, binary_data=True, encoding=None)
            if code != 0:
                raise licensing.LicenseError("cannot be decoded")
            return bytes(output)

        return with_openssl

    def _diff(self, redactor: Redactor, merged: MergedConfig, config: dict[Any, Any], existing: dict[Any, Any] | None,
              stored: dict[str, str], resolution: Resolution) -> list[dict[str, str]]:
        after = redactor.config(merged.config)
        before = "" if existing is None else to_yaml(redactor.before(existing, config, merged.config))
        return [
            {
                "before_header": self.secrets_path,
                "after_header": self.secrets_path,
                "before": _lines_of(stored, set()),
                "after": _lines_of(resolution.store, {name for name, value in resolution.store.items() if stored.get(name, value) != value}),
            },
            {"before_header": self.path, "after_header": self.path, "before": before, "after": to_yaml(after)},
        ]

    @contextlib.contextmanager
    def _alone(self, config: bytes | None, secrets: bytes | None) -> Iterator[None]:
        """Two runs at once must not each generate secrets: the later one sees that its files are no longer what it read."""
        if self.module.check_mode:
            yield
            return
        directory = os.path.dirname(self.secrets_path)
        try:
            self._make_directories(directory)
            descriptor = os.open(directory, os.O_RDONLY)
        except OSError as error:
            raise Failure([_cannot_write(self.secrets_path, error)]) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if (read(self.path), read(self.secrets_path)) != (config, secrets):
                raise Failure([Problem(ERROR, self.path, "or its secrets were changed by somebody else in the meantime", "one run at a time", "run again")])
            yield
        finally:
            os.close(descriptor)

    def _write(self, path: str, content: bytes | None, secret: bool = False) -> bool:
        """Write content (None: it is right already) and set mode and owner."""
        attributes = self._attributes(path, secret)
        if content is None:
            return bool(self.module.set_fs_attributes_if_different(attributes, False))
        if not self.module.check_mode:
            try:
                self._replace(path, content, attributes)
            except OSError as error:
                raise Failure([_cannot_write(path, error)]) from error
        return True

    def _replace(self, path: str, content: bytes, attributes: dict[str, Any]) -> None:
        """The file is never readable by others, not even in between."""
        self._make_directories(os.path.dirname(path))
        umask = os.umask(PRIVATE_UMASK)
        try:
            if os.path.exists(path):
                # The new content takes over the mode of the old file.
                self.module.set_fs_attributes_if_different(attributes, False)
            descriptor, temporary = tempfile.mkstemp(dir=self.module.tmpdir)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            self.module.atomic_move(temporary, path, unsafe_writes=bool(self.params["unsafe_writes"]))
            self.module.set_fs_attributes_if_different(attributes, False)
        finally:
            os.umask(umask)

    def _attributes(self, path: str, secret: bool) -> dict[str, Any]:
        if secret:
            own = dict(self.params, mode=SECRETS_MODE, owner=None, group=None, attributes=None)
            return dict(self.module.load_file_common_arguments(own, path=path))
        return dict(self.module.load_file_common_arguments(self.params, path=path))

    def _make_directories(self, directory: str) -> None:
        missing = []
        while directory and not os.path.isdir(directory):
            missing.append(directory)
            directory = os.path.dirname(directory)
        for path in reversed(missing):
            os.mkdir(path)
            self.module.set_mode_if_different(path, self.params["directory_mode"], False)


def _cannot_write(path: str, error: OSError) -> Problem:
    return Problem(ERROR, path, f"cannot be written: {error.strerror or error}", "a directory that the user of this task may write to",
                   "run the task as root (become: true), and look for room on the disk")


def _lines_of(names: Any, replaced: set[str]) -> str:
    return "".join(f"{name}: <hidden>{' (replaced)' if name in replaced else ''}\n" for name in sorted(names))


def check_repository(module: AnsibleModule) -> dict[str, Any]:
    """Validate a repository's own codecov.yml."""
    source = module.params["repository_yaml"]
    name, content = "codecov.yml", source["content"]
    if source["path"] is not None:
        name = source["path"]
        content = read(name)
        if content is None:
            raise Failure([Problem(ERROR, name, "does not exist", "a file on the target", "correct repository_yaml.path")])
    document = parse_yaml(content, name) if isinstance(content, (str, bytes)) else content
    if structure_problem(document, name) is None:
        module.no_log_values.update(secret_values(document))
    normalized, problems = validate_repository(document)
    for problem in warnings_of(problems):
        module.warn(str(problem))
    if errors_of(problems):
        raise Failure(errors_of(problems))
    return {"changed": False, "normalized": normalized, "errors": []}


def fail(module: AnsibleModule, problems: list[Problem]) -> None:
    errors = [str(problem) for problem in problems]
    what = module.params["path"] or "codecov.yml"
    message = errors[0] if len(errors) == 1 else f"{len(errors)} problems:\n" + "\n".join(f"- {error}" for error in errors)
    module.fail_json(msg=f"{what} was not changed. {message}", errors=errors)


def main() -> None:
    module = create_module()
    forget_public_values(module)
    if YAML_IMPORT_ERROR is not None:
        module.fail_json(msg=missing_required_lib("PyYAML"), exception=YAML_IMPORT_ERROR, errors=[])
    try:
        if module.params["repository_yaml"] is not None:
            result = check_repository(module)
        else:
            manager = ConfigManager(module)
            result = manager.run()
            for problem in manager.warnings:
                module.warn(str(problem))
    except Failure as failure:
        fail(module, failure.problems)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
