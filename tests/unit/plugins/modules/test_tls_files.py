# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tls_files with real certificates: made by the openssl command, proved by real handshakes."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import json
import os
import socket
import ssl
import stat
import threading
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils import basic
from ansible_collections.covstack.selfhosted.plugins.module_utils import _tls
from ansible_collections.covstack.selfhosted.plugins.modules import tls_files
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "codecov.example.test"
Run = Callable[..., "dict[str, Any]"]


@pytest.fixture()
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    def run_module(mode: str, check: bool = False, **options: Any) -> dict[str, Any]:
        arguments = {"directory": str(tmp_path / "tls"), "mode": mode, **options, "_ansible_check_mode": check, "_ansible_diff": True,
                     "_ansible_remote_tmp": str(tmp_path), "_ansible_keep_remote_files": False}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        # Ansible keeps warnings for the life of the process; each run here shall have its own.
        warnings: list[str] = []
        monkeypatch.setattr(basic.AnsibleModule, "warn", lambda module, text: warnings.append(text))
        with pytest.raises(SystemExit):
            tls_files.main()
        output = capsys.readouterr().out
        assert "PRIVATE KEY" not in output
        result: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        return {**result, "warnings": warnings}

    return run_module


@pytest.fixture()
def tls(tmp_path: Path) -> Path:
    return tmp_path / "tls"


def make_pair(names: list[str], start: int = -1, end: int = 90, passphrase: bytes | None = None) -> tuple[str, str]:
    """A certificate of its own authority, valid from and to these days from now, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.now(datetime.timezone.utc)
    alternatives = [x509.IPAddress(ipaddress.ip_address(entry)) if _tls.is_address(entry) else x509.DNSName(entry) for entry in names]
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=start)).not_valid_after(now + datetime.timedelta(days=end))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def given(run: Run, pair: tuple[str, str], check: bool = False, **options: Any) -> dict[str, Any]:
    return run("certificate", check=check, hostname=HOST, certificate=pair[0], key=pair[1], **options)


def test_self_signed_six_steps(run: Run, tls: Path) -> None:
    checked = run("self_signed", check=True, hostname=HOST)
    assert checked["changed"] and not tls.exists() and checked["expires"] is None
    done = run("self_signed", hostname=HOST)
    assert done["changed_files"] == checked["changed_files"] == ["authority/key.pem", "ca.pem", "ca/ca-bundle.pem", "certificate.pem", "key.pem"]
    assert done["names"] == [HOST] and 363 <= done["days_left"] <= 365 and done["trusted"] is True
    assert done["ca_bundle"] == str(tls / "ca/ca-bundle.pem")
    assert checked["certificate_digest"] is None
    assert done["certificate_digest"] == hashlib.sha256((tls / "certificate.pem").read_bytes()).hexdigest()
    for name in ("key.pem", "authority/key.pem"):
        assert stat.S_IMODE((tls / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tls / "authority").stat().st_mode) == 0o700
    before = (tls / "certificate.pem").read_text()
    for check in (True, False):
        assert not run("self_signed", check=check, hostname=HOST)["changed"]
    assert (tls / "certificate.pem").read_text() == before


def test_a_client_that_trusts_the_authority_connects(run: Run, tls: Path) -> None:
    run("self_signed", hostname=HOST, names=["127.0.0.1"])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tls / "certificate.pem", tls / "key.pem")
    client = ssl.create_default_context(cafile=str(tls / "ca/ca-bundle.pem"))
    # What clients on Python 3.13 and later insist on.
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _connection in range(2):
                with server.wrap_socket(listener.accept()[0], server_side=True) as connection:
                    connection.sendall(b"hello")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        for name in (HOST, "127.0.0.1"):
            with socket.create_connection(listener.getsockname()) as raw, client.wrap_socket(raw, server_hostname=name) as connection:
                assert connection.recv(5) == b"hello"
        thread.join(5)


def test_a_new_name_makes_a_new_certificate_and_keeps_the_authority(run: Run, tls: Path) -> None:
    run("self_signed", hostname=HOST)
    authority = (tls / "ca.pem").read_text()
    checked = run("self_signed", check=True, hostname=HOST, names=["other.example.test"])
    assert checked["changed_files"] == ["certificate.pem", "key.pem"]
    done = run("self_signed", hostname=HOST, names=["other.example.test"])
    assert done["changed_files"] == ["certificate.pem", "key.pem"] and done["names"] == [HOST, "other.example.test"]
    assert (tls / "ca.pem").read_text() == authority


def test_renewed_in_time_and_not_before(run: Run, tls: Path) -> None:
    run("self_signed", hostname=HOST, valid_days=31)
    authority = (tls / "ca.pem").read_text()
    assert not run("self_signed", hostname=HOST)["changed"]
    renewed = run("self_signed", hostname=HOST, renew_days=32)
    assert renewed["changed_files"] == ["certificate.pem", "key.pem"] and renewed["days_left"] > 300 and (tls / "ca.pem").read_text() == authority


def test_an_authority_near_its_end_is_renewed_with_the_certificate(run: Run, tls: Path) -> None:
    run("self_signed", hostname=HOST, ca_valid_days=20, renew_days=10)
    renewed = run("self_signed", hostname=HOST)
    assert {"ca.pem", "authority/key.pem", "certificate.pem", "key.pem", "ca/ca-bundle.pem"} == set(renewed["changed_files"]) and renewed["trusted"]


@pytest.mark.parametrize("damage", ["certificate.pem", "key.pem", "ca.pem", "authority/key.pem"])
def test_damage_is_repaired(run: Run, tls: Path, damage: str) -> None:
    run("self_signed", hostname=HOST)
    (tls / damage).write_text("damaged\n")
    done = run("self_signed", hostname=HOST)
    assert done["changed"] and done["trusted"] and not run("self_signed", hostname=HOST)["changed"]


def test_a_given_pair(run: Run, tls: Path) -> None:
    pair = make_pair([HOST])
    checked = given(run, pair, check=True)
    assert checked["changed_files"] == ["certificate.pem", "key.pem"] and not tls.exists() and checked["days_left"] in (89, 90)
    assert given(run, pair)["changed_files"] == ["certificate.pem", "key.pem"]
    assert (tls / "certificate.pem").read_text() == pair[0] and (tls / "key.pem").read_text() == pair[1]
    again = given(run, pair)
    assert not again["changed"] and again["trusted"] is False and any("not trusted" in warning for warning in again["warnings"])


def test_a_given_pair_of_a_private_authority_that_is_named(run: Run) -> None:
    pair = make_pair([HOST])
    done = given(run, pair, extra_ca={"corporate": pair[0]})
    assert done["trusted"] is True and not done["warnings"] and "ca/ca-bundle.pem" in done["changed_files"]


def test_a_given_pair_on_the_host(run: Run, tls: Path, tmp_path: Path) -> None:
    certificate, key = make_pair([HOST])
    (tmp_path / "c").write_text(certificate)
    (tmp_path / "k").write_text(key)
    run("certificate", hostname=HOST, certificate_path=str(tmp_path / "c"), key_path=str(tmp_path / "k"))
    assert (tls / "key.pem").read_text() == key
    missing = run("certificate", hostname=HOST, certificate_path=str(tmp_path / "none"), key_path=str(tmp_path / "k"))
    assert missing["failed"] and "cannot be read on the host" in missing["msg"]


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (make_pair(["other.example.test"]), "certificate: is not for 'codecov.example.test'"),
        (make_pair(["192.0.2.1"]), "certificate: is not for"),
        (make_pair([HOST], start=-10, end=-1), "certificate: has expired"),
        (make_pair([HOST], start=1), "certificate: is not valid yet"),
        ((make_pair([HOST])[0], make_pair([HOST])[1]), "key: does not belong to the certificate"),
        (make_pair([HOST], passphrase=b"geheim"), "protected by a passphrase"),
        (("nothing", "nothing"), "certificate, key: cannot be used"),
        ((make_pair([HOST])[0], "nothing"), "certificate, key: cannot be used"),
    ],
    ids=["name", "address", "expired", "early", "other key", "passphrase", "no pem", "no key"],
)
@pytest.mark.parametrize("check", [True, False])
def test_a_pair_that_cannot_serve_is_refused_before_anything_is_written(run: Run, tls: Path, pair: tuple[str, str], expected: str, check: bool) -> None:
    result = given(run, pair, check=check)
    assert result["failed"] and expected in result["msg"] and not tls.exists()


def test_a_given_certificate_near_its_end_is_a_warning(run: Run) -> None:
    result = given(run, make_pair([HOST], end=5))
    assert any("ends in 4 days" in warning or "ends in 5 days" in warning for warning in result["warnings"])


def test_wildcards_and_addresses(run: Run) -> None:
    assert not given(run, make_pair(["*.example.test"])).get("failed")
    pair = make_pair(["192.0.2.7"])
    assert run("certificate", hostname="192.0.2.7", certificate=pair[0], key=pair[1])["names"] == ["192.0.2.7"]


def test_further_authorities_without_tls(run: Run, tls: Path) -> None:
    authority = make_pair(["ca"])[0]
    done = run("disabled", extra_ca={"database": authority})
    assert done["changed_files"] == ["ca/ca-bundle.pem"] and authority in (tls / "ca/ca-bundle.pem").read_text()
    assert (tls / "ca/ca-bundle.pem").read_text().startswith(_tls.system_bundle())
    assert len(json.dumps(done["diff"])) < 2000, "a diff of hundreds of certificates helps nobody"
    gone = run("disabled")
    assert gone["removed_files"] == ["ca/ca-bundle.pem"] and gone["ca_bundle"] is None and list(tls.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----", "cannot be read"),
        ("".join(make_pair([HOST])), "holds a private key"),
        (None, "holds no certificate"),
    ],
)
def test_bad_authorities_are_named(run: Run, text: Any, expected: str) -> None:
    result = run("disabled", extra_ca={"/etc/corporate.pem": text})
    assert result["failed"] and "/etc/corporate.pem" in result["msg"] and expected in result["msg"]


def test_acme_prepares_the_storage_and_never_touches_it_again(run: Run, tls: Path) -> None:
    assert run("acme", check=True)["changed_files"] == ["acme/acme.json"] and not tls.exists()
    assert run("acme", owner="1234" if os.geteuid() == 0 else "")["changed_files"] == ["acme/acme.json"]
    storage = tls / "acme" / "acme.json"
    assert stat.S_IMODE(storage.stat().st_mode) == 0o600 and stat.S_IMODE(storage.parent.stat().st_mode) == 0o700
    if os.geteuid() == 0:
        assert storage.stat().st_uid == storage.parent.stat().st_uid == 1234
    storage.write_text('{"account": 1}')
    assert not run("acme", owner="1234" if os.geteuid() == 0 else "")["changed"] and storage.read_text() == '{"account": 1}'
    assert run("disabled")["removed_files"] == ["acme/acme.json"] and list(tls.iterdir()) == []


def test_switching_retracts_what_the_other_mode_needed(run: Run, tls: Path) -> None:
    run("self_signed", hostname=HOST)
    switched = given(run, make_pair([HOST]))
    assert switched["removed_files"] == ["authority/key.pem", "ca.pem", "ca/ca-bundle.pem"]
    assert sorted(path.name for path in tls.iterdir() if not path.name.startswith(".")) == ["certificate.pem", "key.pem"]
    assert run("disabled")["removed_files"] == ["certificate.pem", "key.pem"] and list(tls.iterdir()) == []
    assert not run("disabled")["changed"]


@pytest.mark.parametrize("options", [{"mode": "certificate"}, {"mode": "self_signed"}, {"mode": "certificate", "hostname": HOST}])
def test_what_a_mode_needs(run: Run, options: dict[str, Any]) -> None:
    assert run(**options)["failed"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_key_belongs_to_the_proxy(run: Run, tls: Path) -> None:
    run("self_signed", hostname=HOST, owner="65532")
    assert (tls / "key.pem").stat().st_uid == 65532 and (tls / "authority/key.pem").stat().st_uid == 0
