# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""codecov_config, run for real on a directory of its own. Every run is scanned for every secret."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils import basic
from ansible.module_utils.common.parameters import PASS_VARS
from ansible_collections.covstack.selfhosted.plugins.module_utils import _license
from ansible_collections.covstack.selfhosted.plugins.module_utils._config_merge import update
from ansible_collections.covstack.selfhosted.plugins.module_utils._plan import config_layers
from ansible_collections.covstack.selfhosted.plugins.modules import codecov_config
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils import settings_examples
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.config_examples import GENERATED, encrypt, good_config, make_license

PLANTED = {
    "postgres_password": "Planted-Zq8vJ3mLx0",
    "storage_access_key": "PLANTEDKEY0PLANTEDKEY",
    "storage_secret_key": "Planted/secret+key==with@signs:",
    "smtp_password": "pl4nt",
}
REQUIRED = [{"name": name} for name in GENERATED if name not in PLANTED]

Run = Callable[..., "dict[str, Any]"]


class Host:
    """The module on a host of its own."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.config = root / "config" / "codecov.yml"
        self.secrets = root / "secrets.yml"
        self.logged: list[str] = []
        self.planted: set[str] = set(PLANTED.values())
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.setattr(basic.AnsibleModule, "log", lambda module, message, log_args=None: self.logged.append(f"{message} {log_args}"))

    def run(self, *layers: Any, check: bool = False, secrets: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        arguments = {
            "path": str(self.config),
            "secrets_path": str(self.secrets),
            "layers": [{"name": "base", "content": good_config()}, *({"name": f"layer {number}", "content": layer} for number, layer in enumerate(layers))],
            "secrets": PLANTED if secrets is None else secrets,
            "required_secrets": REQUIRED,
            **options,
        }
        return self.raw({name: value for name, value in arguments.items() if value is not None}, check)

    def raw(self, arguments: dict[str, Any], check: bool = False) -> dict[str, Any]:
        known = self.planted | self._values_on_disk()
        arguments = {**arguments, "_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": str(self.root),
                     "_ansible_keep_remote_files": False, "_ansible_tmpdir": None}
        if "inject_invocation" in PASS_VARS:  # ansible-core from 2.21 on shows the invocation to those alone who ask for it
            arguments["_ansible_inject_invocation"] = True
        self._monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        self._monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        with pytest.raises(SystemExit):
            codecov_config.main()
        captured = self._capsys.readouterr()
        for value in known | self._values_on_disk():
            for output in (captured.out, captured.err, *self.logged):
                assert value not in output, "a secret left the module"
        result: dict[str, Any] = json.loads(captured.out.strip().splitlines()[-1])
        return result

    def _values_on_disk(self) -> set[str]:
        if not self.secrets.is_file():
            return set()
        try:
            content = yaml.safe_load(self.secrets.read_text("utf-8"))
        except yaml.YAMLError:
            return set()
        return {value for value in content.values() if isinstance(value, str)} if isinstance(content, dict) else set()

    def stored(self) -> dict[str, str]:
        content: dict[str, str] = yaml.safe_load(self.secrets.read_text("utf-8"))
        return content

    def written(self) -> dict[str, Any]:
        content: dict[str, Any] = yaml.safe_load(self.config.read_text("utf-8"))
        return content


@pytest.fixture()
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Host:
    return Host(tmp_path / "host", monkeypatch, capsys)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def diff_of(result: dict[str, Any]) -> tuple[str, str]:
    """Before and after of codecov.yml."""
    return result["diff"][1]["before"], result["diff"][1]["after"]


# Six steps

def test_six_steps(host: Host) -> None:
    host.root.mkdir()
    first_check = host.run(check=True)
    assert first_check["changed"] and not host.config.exists() and not host.secrets.exists()
    first = host.run()
    assert first["changed"]
    assert (first_check["diff"], first_check["generated"]) == (first["diff"], first["generated"])
    assert not host.run(check=True)["changed"]
    again = host.run()
    assert not again["changed"] and again["digest"] == first["digest"]
    before, after = diff_of(again)
    assert before == after
    change = {"services": {"minio": {"ttl": 600}}}
    changed_check = host.run(change, check=True)
    assert changed_check["changed"] and host.written()["services"]["minio"]["ttl"] == 300
    changed = host.run(change)
    assert changed["changed"] and host.written()["services"]["minio"]["ttl"] == 600
    assert (changed_check["digest"], changed_check["diff"]) == (changed["digest"], changed["diff"])
    assert changed["digest"] != first["digest"]
    retracted = host.run()
    assert retracted["changed"] and retracted["digest"] == first["digest"]


def test_check_mode_on_an_empty_host_needs_nothing_at_all(host: Host) -> None:
    result = host.run(check=True, owner="1001", group="1001")
    assert result["changed"] and not host.root.exists()
    assert sorted(result["generated"]) == sorted(spec["name"] for spec in REQUIRED)


# What is written

def test_the_file_holds_the_values_and_the_result_their_origin(host: Host) -> None:
    provider = {"github": {"client_id": "abc", "client_secret": "${secret:github_client_secret}"}}
    result = host.run(provider, secrets={**PLANTED, "github_client_secret": "abcdefgh"})
    assert host.written()["services"]["minio"]["secret_access_key"] == PLANTED["storage_secret_key"]
    assert host.written()["github"]["client_secret"] == "abcdefgh"
    assert host.stored() == {**host.stored(), **PLANTED, "github_client_secret": "abcdefgh"}
    assert result["provenance"]["github.client_id"] == "layer 0"
    assert result["provenance"]["setup.codecov_url"] == "base"
    assert result["callbacks"] == {"github": "https://codecov.example.com/login/gh"}
    assert result["webhooks"] == {"github": "https://codecov.example.com/webhooks/github"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_modes_and_owners(host: Host) -> None:
    host.run(owner="1001", group="1002", directory_mode="0711")
    assert (mode_of(host.config), mode_of(host.secrets), mode_of(host.config.parent)) == (0o600, 0o600, 0o711)
    assert (host.config.stat().st_uid, host.config.stat().st_gid) == (1001, 1002)
    assert (host.secrets.stat().st_uid, host.secrets.stat().st_gid) == (0, 0)
    assert not host.run(owner="1001", group="1002")["changed"]
    assert host.run(owner="1003", check=True)["changed"]
    assert host.run(owner="1003")["changed"] and host.config.stat().st_uid == 1003


def test_wrong_modes_are_put_right(host: Host) -> None:
    host.run()
    host.secrets.chmod(0o644)
    host.config.chmod(0o644)
    assert host.run(check=True)["changed"] and mode_of(host.secrets) == 0o644
    assert host.run()["changed"]
    assert (mode_of(host.config), mode_of(host.secrets)) == (0o600, 0o600)


def test_files_are_never_readable_by_others_in_between(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    move = basic.AnsibleModule.atomic_move

    def watch(module: Any, source: str, target: str, **more: Any) -> None:
        modes.append(mode_of(Path(source)))
        move(module, source, target, **more)
        modes.append(mode_of(Path(target)))

    monkeypatch.setattr(basic.AnsibleModule, "atomic_move", watch)
    monkeypatch.setattr(os, "umask", _umask_that_starts_open(os.umask))
    host.run()
    host.config.chmod(0o644)
    host.run({"services": {"minio": {"ttl": 600}}})
    assert len(modes) == 6 and not [mode for mode in modes if mode & 0o077]


def _umask_that_starts_open(umask: Callable[[int], int]) -> Callable[[int], int]:
    umask(0o022)
    return umask


def test_a_failed_write_leaves_the_old_file(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.run()
    before = host.config.read_bytes()

    def broken(*arguments: Any, **more: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(basic.AnsibleModule, "atomic_move", broken)
    result = host.run({"services": {"minio": {"ttl": 600}}})
    assert result["failed"] and "no space left on device" in result["msg"]
    assert host.config.read_bytes() == before


def test_secrets_are_on_disk_before_the_file_that_uses_them(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in between, the next run must find what it generated."""
    move = basic.AnsibleModule.atomic_move

    def killed_at_config(module: Any, source: str, target: str, **more: Any) -> None:
        if target == str(host.config):
            raise OSError("killed")
        move(module, source, target, **more)

    monkeypatch.setattr(basic.AnsibleModule, "atomic_move", killed_at_config)
    assert host.run()["failed"]
    stored = host.stored()
    monkeypatch.setattr(basic.AnsibleModule, "atomic_move", move)
    result = host.run()
    assert result["changed"] and result["generated"] == [] and host.stored() == stored


# Secrets

def test_literal_secrets_in_layers_are_hidden_everywhere(host: Host) -> None:
    host.planted |= {"LiteralClientSecret", "literal-db-password", "1234509876", "tiny7"}
    result = host.run({
        "github": {"client_id": "abc", "client_secret": "LiteralClientSecret", "bot": {"username": "robot", "key": "tiny7"}},
        "services": {"database_url": "postgresql://codecov:literal-db-password@db.example.com:5432/codecov"},
        "circleci": {"token": "x1234509876x"},
    })
    assert result["changed"] and host.written()["github"]["client_secret"] == "LiteralClientSecret"
    assert result["invocation"]["module_args"]["layers"][1]["content"]["github"]["client_id"] == "abc"
    assert host.run({"github": {"client_secret": "LiteralClientSecret", "client_id": 5}})["failed"]


def test_secrets_of_an_existing_file_are_hidden_in_the_diff(host: Host) -> None:
    host.planted |= {"old-cookie-value", "old-db-password", "old/hash"}
    host.config.parent.mkdir(parents=True)
    host.config.write_text(yaml.safe_dump({
        "setup": {"http": {"cookie_secret": "old-cookie-value"}, "encryption_secret": ""},
        "services": {"database_url": "postgresql://u:old-db-password@h/d", "minio": {"hash_key": "old/hash"}}, "unknown": {"api_key": "old-cookie-value"}}))
    result = host.run(required_secrets=[spec for spec in REQUIRED if spec["name"] != "cookie_secret"], allow_change=["encryption_secret"])
    assert sorted(result["adopted"]) == ["cookie_secret", "storage_hash_key"]
    before, after = diff_of(result)
    assert "postgresql://u:<hidden>@h/d" in before
    assert yaml.safe_load(before)["setup"]["http"]["cookie_secret"] == "${secret:cookie_secret}"
    assert yaml.safe_load(after)["services"]["minio"]["hash_key"] == "${secret:storage_hash_key}"


def test_a_new_given_secret_replaces_the_stored_one_and_shows(host: Host) -> None:
    host.run()
    host.planted.add("another-password")
    result = host.run(secrets={**PLANTED, "postgres_password": "another-password"})
    assert (result["changed"], result["replaced"]) == (True, ["postgres_password"])
    assert "postgres_password: <hidden> (replaced)" in result["diff"][0]["after"]
    before, after = diff_of(result)
    assert before != after
    assert "another-password" in host.written()["services"]["database_url"]


def test_a_secret_no_longer_given_is_kept(host: Host) -> None:
    host.run()
    result = host.run(secrets={})
    assert not result["changed"] and host.stored()["postgres_password"] == PLANTED["postgres_password"]


def test_another_host_gets_what_the_keeper_has_and_the_same_file(host: Host) -> None:
    """Also what nobody would be allowed to give: a certificate ends with a line break."""
    digest = host.run()["digest"]
    kept, content = {**host.stored(), "storage_certificate": "-----BEGIN-----\n"}, host.config.read_bytes()
    host.planted |= {kept["cookie_secret"], "something-older", "left-from-before"}
    host.config.unlink()
    host.secrets.write_text(yaml.safe_dump({"cookie_secret": "something-older", "forgotten": "left-from-before"}))
    for check in (True, False):
        result = host.run(secrets={}, kept_secrets=kept, check=check)
        assert (result["changed"], result["digest"], result["generated"], result["adopted"]) == (True, digest, [], [])
        assert "cookie_secret: <hidden> (replaced)\n" in result["diff"][0]["after"] and "forgotten" not in result["diff"][0]["after"]
    assert (host.stored(), host.config.read_bytes()) == (kept, content)
    assert not host.run(secrets={}, kept_secrets=kept)["changed"]


def test_a_damaged_store_of_the_keeper_is_refused(host: Host) -> None:
    result = host.run(secrets={}, kept_secrets={"cookie_secret": 5})
    assert result["failed"] and result["errors"][0].startswith("kept_secrets: cookie_secret")


@pytest.mark.parametrize("name", ["encryption_secret", "storage_hash_key"])
def test_protected_secrets_survive_accidents(host: Host, name: str) -> None:
    host.run()
    stored, content = host.stored(), host.config.read_bytes()
    host.planted.add("another-value-1")
    for check in (True, False):
        result = host.run(secrets={**PLANTED, name: "another-value-1"}, check=check)
        assert result["failed"] and f"codecov_secrets.{name}" in result["errors"][0]
    host.secrets.unlink()
    result = host.run(secrets={**PLANTED, name: "another-value-1"})
    assert result["failed"] and "allow_change" in result["errors"][0]
    assert host.config.read_bytes() == content and not host.secrets.exists()
    lost = host.run()
    assert not lost["failed"] if "failed" in lost else host.stored() == stored
    allowed = host.run(secrets={**PLANTED, name: "another-value-1"}, allow_change=[name])
    assert allowed["changed"] and host.stored()[name] == "another-value-1"


def test_lost_secrets_come_back_from_the_file(host: Host) -> None:
    host.run()
    stored = host.stored()
    host.secrets.unlink()
    result = host.run()
    assert host.stored() == stored and sorted(result["adopted"]) == sorted(spec["name"] for spec in REQUIRED)


def test_a_removed_protected_key_is_refused(host: Host) -> None:
    host.run({"setup": {"encryption_secret": "literal-secret-value"}})
    host.planted.add("literal-secret-value")
    result = host.run({"setup": {"encryption_secret": ""}})
    assert result["failed"] and result["errors"][0].startswith("setup.encryption_secret (layer 0): would change")


def deploy(host: Host, base: dict[str, Any], **over: Any) -> dict[str, Any]:
    """As the playbook deploy does it; returns what codecov.yml says of the services."""
    wanted = settings_examples.deployment(over, base)
    layers = [layer for layer in config_layers(wanted)[0] if layer["content"]]
    arguments = {"path": str(host.config), "secrets_path": str(host.secrets), "layers": layers, "secrets": wanted.settings["codecov_secrets"],
                 "required_secrets": wanted.required_secrets()}
    licence = {"secrets": {**arguments["secrets"], "enterprise_license": make_license()}}
    result = host.raw({**arguments, **licence})
    assert not result.get("failed"), result
    services: dict[str, Any] = host.written()["services"]
    return {key: services[key] for key in ("database_url", "redis_url", "minio")}


def test_external_services_and_back_again_lose_no_password(host: Host) -> None:
    """A volume knows the password that it was made with, and no other; those of the external services are still in the vault."""
    embedded, external = settings_examples.EMBEDDED, settings_examples.EXTERNAL
    before = deploy(host, embedded)
    outside = deploy(host, external)
    assert settings_examples.SECRET in outside["database_url"] and outside["minio"]["secret_access_key"] == settings_examples.SECRET
    assert deploy(host, embedded, codecov_secrets=external["codecov_secrets"]) == before
    assert deploy(host, external) == outside


def test_the_first_embedded_services_after_external_ones_get_secrets_of_their_own(host: Host) -> None:
    outside = deploy(host, settings_examples.EXTERNAL)
    inside = deploy(host, settings_examples.EMBEDDED)
    assert settings_examples.SECRET not in str(inside)
    assert deploy(host, settings_examples.EXTERNAL) == outside


def test_a_database_password_of_a_deployment_before_the_names_were_apart_goes_on(host: Host) -> None:
    before = deploy(host, settings_examples.EMBEDDED)
    names = {"embedded_postgres_password": "postgres_password", "embedded_redis_password": "redis_password"}
    host.secrets.write_text(yaml.safe_dump({names.get(name, name): value for name, value in host.stored().items()}))
    assert deploy(host, settings_examples.EMBEDDED) == before


@pytest.mark.parametrize("content", ["- a\n", "a: [\n", "a: 5\n", "A: planted-text\n", "planted: planted: x\n"])
def test_a_damaged_store_is_refused_and_left_alone(host: Host, content: str) -> None:
    host.planted.add("planted-text")
    host.root.mkdir()
    host.secrets.write_text(content)
    result = host.run()
    assert result["failed"] and str(host.secrets) in result["msg"] and host.secrets.read_text() == content
    assert "planted: x" not in json.dumps(result)


def test_a_damaged_file_is_refused_and_left_alone(host: Host) -> None:
    host.config.parent.mkdir(parents=True)
    host.config.write_text("setup: {http: {cookie_secret: planted-text\n")
    host.planted.add("planted-text")
    result = host.run()
    assert result["failed"] and "is not valid YAML in line 2" in result["errors"][0]


def test_an_empty_file_is_replaced(host: Host) -> None:
    host.config.parent.mkdir(parents=True)
    host.config.write_text("")
    assert host.run()["changed"] and host.written()


def test_two_runs_at_once_do_not_both_generate(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other run is done between this one's reading and writing."""
    lock = fcntl.flock

    def other_run_first(descriptor: int, operation: int) -> None:
        host.secrets.write_text("cookie_secret: value-of-the-other-run\n")
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", other_run_first)
    result = host.run()
    assert result["failed"] and "in the meantime" in result["errors"][0]
    assert host.stored() == {"cookie_secret": "value-of-the-other-run"} and not host.config.exists()


# Refusals

def test_nothing_is_written_when_anything_is_wrong(host: Host) -> None:
    result = host.run({"setup": {"codecov_ulr": "x", "admins": "joe"}})
    assert result["failed"] and len(result["errors"]) == 2 and not host.root.exists()
    assert result["msg"].splitlines()[0].endswith("codecov.yml was not changed. 2 problems:")
    assert "setup.codecov_ulr (layer 0)" in result["msg"] and " -> " in result["msg"]


@pytest.mark.parametrize(("options", "says"), [
    ({"layers": [{"name": "mine", "content": None}]}, "mine: is empty"),
    ({"layers": [{"name": "mine", "content": ["a"]}]}, "a list at its top level"),
    ({"layers": [{"name": "mine", "content": {}}, {"name": "mine", "content": {}}]}, "names of their own"),
    ({"layers": [{"name": "mine", "content": {"a": "${secret:nobody_gave_this}"}}], "required_secrets": []}, "codecov_secrets.nobody_gave_this"),
    ({"required_secrets": [{"name": "a", "format": "hex", "length": 4}]}, "16 to 1024"),
    ({"license_required": True, "layers": [{"name": "mine", "content": {"setup": {"enterprise_license": "${secret:enterprise_license}"}}}]},
     "there is no licence"),
    ({"layers": None}, "layers"),
    ({"repository_yaml": {"content": "a: b"}}, "mutually exclusive"),
    ({"line": "enterprise"}, "codecov_enterprise"),
])
def test_wrong_options_are_refused(host: Host, options: Any, says: str) -> None:
    result = host.run(**options)
    assert result["failed"] and says in result["msg"], result["msg"]
    assert not host.root.exists()


@pytest.mark.parametrize("kind", ["directory", "link"])
def test_only_regular_files_are_written(host: Host, kind: str) -> None:
    host.config.parent.mkdir(parents=True)
    if kind == "directory":
        host.config.mkdir()
    else:
        host.config.symlink_to("/etc/hostname")
    result = host.run()
    assert result["failed"] and "regular file" in result["msg"] and not host.secrets.exists()


def test_warnings_are_told(host: Host) -> None:
    result = host.run({"github": {"enabled": True}, "services": {"minio": {"ttl": 10}}})
    assert len(result["warnings"]) == 3 - ("smtp_password" not in PLANTED)
    assert any("github.enabled (layer 0)" in str(warning) for warning in result["warnings"])


# The licence

def licensed(host: Host, raw: str, **options: Any) -> dict[str, Any]:
    host.planted.add(raw)
    return host.run({"setup": {"enterprise_license": "${secret:enterprise_license}"}}, secrets={**PLANTED, "enterprise_license": raw}, **options)


@pytest.mark.parametrize("cryptography", [True, False])
def test_the_licence_is_read(host: Host, monkeypatch: pytest.MonkeyPatch, cryptography: bool) -> None:
    monkeypatch.setattr(_license, "HAS_CRYPTOGRAPHY", cryptography)
    result = licensed(host, make_license(days=100), license_required=True)
    assert (result["license"]["company"], result["license"]["days_left"], result["license"]["users"]) == ("Example", 100, 50)


@pytest.mark.parametrize("cryptography", [True, False])
@pytest.mark.parametrize(("make", "says"), [
    (lambda: make_license()[:-8], "the licence has a wrong length"),
    (lambda: "not a licence", "the licence"),
    (lambda: encrypt(b"x"), "cannot be decoded"),
    (lambda: make_license(days=-1), "expired"),
], ids=["cut off", "no licence", "no content", "expired"])
def test_a_bad_licence_is_refused(host: Host, monkeypatch: pytest.MonkeyPatch, make: Callable[[], str], says: str, cryptography: bool) -> None:
    monkeypatch.setattr(_license, "HAS_CRYPTOGRAPHY", cryptography)
    result = licensed(host, make(), license_required=True)
    assert result["failed"] and says in result["msg"] and not host.root.exists()


def test_without_means_to_read_it_the_licence_is_not_judged(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_license, "HAS_CRYPTOGRAPHY", False)
    monkeypatch.setattr(basic.AnsibleModule, "get_bin_path", lambda *arguments, **more: None)
    result = licensed(host, make_license())
    assert result["changed"] and result["license"] == {} and any("was not checked" in str(warning) for warning in result["warnings"])


def test_a_licence_that_nobody_gave_is_left_out(host: Host) -> None:
    result = host.run({"setup": {"enterprise_license": "${secret:enterprise_license}"}})
    assert result["changed"] and "enterprise_license" not in host.written()["setup"]
    assert "setup.enterprise_license" not in result["provenance"]


# A repository's own file

def test_a_repository_file_is_validated(host: Host, tmp_path: Path) -> None:
    good = host.raw({"repository_yaml": {"content": "coverage: {range: 60..80}"}})
    assert (good["changed"], good["normalized"]) == (False, {"coverage": {"range": [60.0, 80.0]}})
    assert host.raw({"repository_yaml": {"content": {"comment": False}}})["normalized"] == {"comment": False}
    bad = host.raw({"repository_yaml": {"content": "covrage: {}"}})
    assert bad["failed"] and bad["errors"] == [bad["msg"].split("not changed. ")[1]]
    file = tmp_path / "codecov.yml"
    file.write_text("ignore: [tests]\n")
    assert host.raw({"repository_yaml": {"path": str(file)}})["normalized"] == {"ignore": ["^tests.*"]}
    assert "does not exist" in host.raw({"repository_yaml": {"path": str(tmp_path / "nothing")}})["msg"]
    assert "not valid YAML" in host.raw({"repository_yaml": {"content": "a: ["}})["msg"]


def test_secrets_of_a_repository_file_are_not_shown(host: Host) -> None:
    host.planted.add("planted-hook")
    host.planted.add("planted-token")
    document = {"coverage": {"notify": {"slack": {"default": {"url": "secret:planted-hook"}}}}, "codecov": {"token": "planted-token"}}
    for content in (document, yaml.safe_dump(document)):
        assert not host.raw({"repository_yaml": {"content": content}})["changed"]
        wrong = content.replace("default", "de fault") if isinstance(content, str) else {**document, "x": 1}
        assert host.raw({"repository_yaml": {"content": wrong}})["failed"]


def test_the_merge_of_a_real_size_is_fast_enough_to_be_run_often(host: Host) -> None:
    layers = [update({}, {"setup": {"push_webhook_ignore_repo_names": [f"repo{number}"]}}) for number in range(6)]
    result = host.run(*layers)
    assert result["provenance"]["setup.push_webhook_ignore_repo_names"] == "layer 5"
