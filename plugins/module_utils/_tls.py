# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificate files of a TLS server: proved by handshakes in memory, made by the openssl command, written as one set.

Private to this collection.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import ssl
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterator, Mapping, Sequence

from ansible_collections.covstack.selfhosted.plugins.module_utils._file_set import (
    DEFAULT_FILE_MODE,
    Attributes,
    FileSet,
    parse_attributes,
    set_attributes,
    sha256,
)

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

DAY = 86400
MANIFEST = ".covstack-tls.json"
CERTIFICATE, KEY, CA, CA_KEY = "certificate.pem", "key.pem", "ca.pem", "authority/key.pem"
BUNDLE, ACME = "ca/ca-bundle.pem", "acme/acme.json"
SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem")
NEW_AUTHORITY = "(a new private authority)\n"
# ssl.VERIFY_X509_PARTIAL_CHAIN, which Python 3.9 does not name: the server's own certificate may be the anchor.
PARTIAL_CHAIN = 0x80000
# OpenSSL's X509_V_ERR_*
NOT_YET_VALID, EXPIRED, NAME_MISMATCH, ADDRESS_MISMATCH = 9, 10, 62, 64

OPENSSL_CONFIG = """\
[req]
prompt = no
distinguished_name = subject
x509_extensions = authority
[subject]
CN = {common_name}
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


class TlsError(Exception):
    """One clear sentence for the user."""


@dataclass(frozen=True)
class Pair:
    """A certificate chain with its key, and the authority that clients trust for it (none for a given pair)."""

    certificate: str
    key: str
    ca: str | None = None
    ca_key: str | None = None


@dataclass(frozen=True)
class Proof:
    """What a handshake told about a certificate."""

    end: int
    names: tuple[str, ...]

    def days_left(self, now: float) -> int:
        return int((self.end - now) // DAY)


# --- handshakes -----------------------------------------------------------------------------------------------------


def prove(certificate_path: str, key_path: str, hostname: str, authorities: str) -> Proof:
    """Shake hands as a client that trusts `authorities` would. Raises ssl.SSLError (or its SSLCertVerificationError)."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate_path, key_path, password=_refuse_passphrase)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.verify_flags = ssl.VerifyFlags(client.verify_flags | PARTIAL_CHAIN)
    client.load_verify_locations(cadata=authorities)
    certificate = _handshake(server, client, hostname)
    return Proof(seconds(str(certificate["notAfter"])), subject_names(certificate))


def _refuse_passphrase() -> str:
    raise TlsError("key: is protected by a passphrase, and the proxy cannot ask for it. Way out: give the key without a passphrase (and keep it in a vault).")


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, hostname: str) -> Mapping[str, Any]:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(to_client, to_server, server_hostname=hostname), server.wrap_bio(to_server, to_client, server_side=True)]
    # Each side speaks when the other has spoken; a handshake has two or three turns.
    waiting = list(ends)
    for _turn in range(10):
        for end in list(waiting):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
                waiting.remove(end)
    return ends[0].getpeercert() or {}


def seconds(date: str) -> int:
    """'Nov 21 04:55:00 2027 GMT' -> seconds since the epoch"""
    return ssl.cert_time_to_seconds(date)


def iso(moment: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def subject_names(certificate: Mapping[str, Any]) -> tuple[str, ...]:
    """Alternative names, addresses in their usual spelling."""
    return tuple(str(ipaddress.ip_address(value)) if kind == "IP Address" else str(value) for kind, value in certificate.get("subjectAltName", ()))


def end_of_authority(pem: str) -> int:
    """When an authority's certificate ends; 0 when it is none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=pem)
    except ssl.SSLError:
        return 0
    ends = [seconds(str(certificate["notAfter"])) for certificate in context.get_ca_certs()]
    return min(ends, default=0)


def check_authority(name: str, pem: Any) -> str:
    """A PEM text of certificates, ending with a line break."""
    where = f"extra_ca[{name!r}]"
    if not isinstance(pem, str) or "-----BEGIN CERTIFICATE-----" not in pem:
        raise TlsError(f"{where}: holds no certificate. Allowed: PEM, -----BEGIN CERTIFICATE----- and so on.")
    if "PRIVATE KEY-----" in pem:
        raise TlsError(f"{where}: holds a private key, which must not get into containers. Way out: give the certificate alone.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except ssl.SSLError as error:
        raise TlsError(f"{where}: cannot be read as certificates ({error.reason or error}).") from None
    return pem.rstrip("\n") + "\n"


def explain(error: ssl.SSLError, hostname: str) -> str:
    """Why a given pair cannot serve."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reasons = {
            EXPIRED: "certificate: has expired. Way out: renew it.",
            NOT_YET_VALID: "certificate: is not valid yet. Way out: check the clock of the host, or wait.",
        }
        names = f"certificate: is not for {hostname!r} (the name in codecov_url must be among its alternative names). Way out: get one for this name."
        reason = names if error.verify_code in (NAME_MISMATCH, ADDRESS_MISMATCH) else f"certificate: cannot be used ({error.verify_message})."
        return reasons.get(error.verify_code, reason)
    if error.reason == "KEY_VALUES_MISMATCH":
        return "key: does not belong to the certificate. Way out: give the key of the certificate that comes first in the chain."
    return f"certificate, key: cannot be used ({error.reason or error}). Allowed: PEM, the server's certificate first in the chain, and an unencrypted key."


# --- making ---------------------------------------------------------------------------------------------------------


def alternative_names(names: Sequence[str]) -> str:
    """'DNS:a, IP:10.0.0.1' as openssl wants it."""
    return ", ".join(f"{'IP' if is_address(name) else 'DNS'}:{name}" for name in names)


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Authority:
    """Makes certificates with the openssl command, in a directory that is removed afterwards."""

    def __init__(self, module: AnsibleModule, directory: str) -> None:
        self.module = module
        self.directory = directory
        openssl = module.get_bin_path("openssl")
        if openssl is None:
            raise TlsError("mode self_signed needs the command openssl on the host. Way out: install the package openssl.")
        self.openssl: str = openssl

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def _configure(self, common_name: str, names: Sequence[str]) -> None:
        with open(self._path("openssl.cnf"), "w", encoding="utf-8") as stream:
            # A common name has 64 characters at most; clients read the alternative names.
            stream.write(OPENSSL_CONFIG.format(common_name=common_name[:64], names=alternative_names(names)))

    def _run(self, *arguments: str) -> None:
        code, _output, errors = self.module.run_command([self.openssl, *arguments], cwd=self.directory)
        if code != 0:
            raise TlsError(f"openssl {arguments[0]} failed: {errors.strip()}")

    def _new_key(self, name: str) -> None:
        self._run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name)

    def make_authority(self, hostname: str, days: int) -> tuple[str, str]:
        self._configure(f"Codecov private CA for {hostname}", [hostname])
        self._new_key("ca.key")
        self._run("req", "-x509", "-new", "-config", "openssl.cnf", "-key", "ca.key", "-days", str(days), "-set_serial", self._serial(), "-out", "ca.crt")
        return read(self._path("ca.crt")), read(self._path("ca.key"))

    def make_certificate(self, ca: str, ca_key: str, names: Sequence[str], days: int) -> tuple[str, str]:
        write_private(self._path("ca.crt"), ca)
        write_private(self._path("ca.key"), ca_key)
        self._configure(names[0], names)
        self._new_key("server.key")
        self._run("req", "-new", "-config", "openssl.cnf", "-key", "server.key", "-out", "server.csr")
        self._run("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial", self._serial(), "-days", str(days),
                  "-extfile", "openssl.cnf", "-extensions", "server", "-out", "server.crt")
        return read(self._path("server.crt")), read(self._path("server.key"))

    @staticmethod
    def _serial() -> str:
        return f"0x{secrets.randbits(127) | 1:x}"


def read(path: str) -> str:
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def read_if_there(path: str) -> str | None:
    try:
        return read(path)
    except FileNotFoundError:
        return None


def write_private(path: str, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)


# --- the host -------------------------------------------------------------------------------------------------------


class TlsFiles:
    """One run of the module."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.options: dict[str, Any] = module.params
        self.directory: str = os.path.abspath(module.params["directory"])
        self.now = time.time()

    def run(self) -> dict[str, Any]:
        extra = "".join(check_authority(name, pem) for name, pem in sorted(self.options["extra_ca"].items()))
        with self._scratch() as scratch:
            self.scratch = scratch
            pair = self._pair()
            proof = self._proof(pair)
            own_ca = (pair.ca or NEW_AUTHORITY) if pair is not None and pair.ca is not None else ""
            bundle = system_bundle() + extra + own_ca if extra or own_ca else None
            trusted = self._trusted(pair, bundle or system_bundle()) if proof else None
        # The set removes a directory only when it is empty, and remembers only one that it made.
        acme = self._acme() if self.options["mode"] != "acme" else None
        result = self._write(pair, bundle)
        acme = self._acme() if acme is None else acme
        return {
            **result,
            "changed": result["changed"] or any(acme.values()),
            **{key: sorted(result[key] + acme[key]) for key in acme},
            "expires": iso(proof.end) if proof else None,
            "days_left": proof.days_left(self.now) if proof else None,
            "names": list(proof.names) if proof else [],
            "trusted": trusted,
            "certificate_digest": sha256(pair.certificate.encode()) if pair is not None and pair.certificate else None,
            "ca_bundle": os.path.join(self.directory, BUNDLE) if bundle is not None else None,
        }

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[str]:
        with tempfile.TemporaryDirectory(dir=self.module.tmpdir, prefix="covstack-tls-") as path:
            yield path

    # the pair

    def _pair(self) -> Pair | None:
        """The wanted pair; with empty texts when check mode only announces a new one."""
        if self.options["mode"] == "certificate":
            return Pair(self._given("certificate"), self._given("key"))
        return self._own_pair() if self.options["mode"] == "self_signed" else None

    @staticmethod
    def _is_new(pair: Pair | None) -> bool:
        return pair is not None and not pair.certificate

    def _given(self, what: str) -> str:
        text, path = self.options[what], self.options[f"{what}_path"]
        if text is None:
            try:
                text = read(path)
            except (OSError, UnicodeDecodeError) as error:
                raise TlsError(f"{what}_path: {path} cannot be read on the host ({getattr(error, 'strerror', None) or 'not PEM'}).") from None
        return str(text).rstrip("\n") + "\n"

    def _wanted_names(self) -> list[str]:
        names = [self.options["hostname"], *self.options["names"]]
        return list(dict.fromkeys(str(ipaddress.ip_address(name)) if is_address(name) else name for name in names))

    def _own_pair(self) -> Pair:
        """The present pair of the private authority where it still serves, otherwise a new one, and a new authority only when that must be."""
        present = [read_if_there(os.path.join(self.directory, name)) for name in (CERTIFICATE, KEY, CA, CA_KEY)]
        certificate, key, ca, ca_key = present
        ends_early = self.now + self.options["renew_days"] * DAY
        if not ca or not ca_key or end_of_authority(ca) < ends_early or not self._belong_together(ca, ca_key):
            if self.module.check_mode:
                return Pair("", "", "", "")
            ca, ca_key = Authority(self.module, self.scratch).make_authority(self.options["hostname"], self.options["ca_valid_days"])
            certificate = None
        if certificate and key and self._still_serves(Pair(certificate, key, ca, ca_key), ends_early):
            return Pair(certificate, key, ca, ca_key)
        if self.module.check_mode:
            return Pair("", "", ca, ca_key)
        certificate, key = Authority(self.module, self.scratch).make_certificate(ca, ca_key, self._wanted_names(), self.options["valid_days"])
        return Pair(certificate, key, ca, ca_key)

    def _still_serves(self, pair: Pair, ends_early: float) -> bool:
        try:
            proof = self._prove(pair, pair.ca or "")
        except (ssl.SSLError, TlsError):
            return False
        return proof.end >= ends_early and set(proof.names) == set(self._wanted_names())

    def _belong_together(self, certificate: str, key: str) -> bool:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._written(certificate, key), password=_refuse_passphrase)
        except (ssl.SSLError, TlsError):
            return False
        return True

    def _written(self, certificate: str, key: str) -> tuple[str, str]:
        """Python's TLS reads certificates of its own side from files only."""
        paths = (os.path.join(self.scratch, "proved.crt"), os.path.join(self.scratch, "proved.key"))
        write_private(paths[0], certificate)
        write_private(paths[1], key)
        return paths

    def _prove(self, pair: Pair, authorities: str) -> Proof:
        return prove(*self._written(pair.certificate, pair.key), self.options["hostname"], authorities)

    def _proof(self, pair: Pair | None) -> Proof | None:
        """Nothing is written that could not serve."""
        if pair is None or self._is_new(pair):
            return None
        try:
            proof = self._prove(pair, pair.ca or pair.certificate)
        except ssl.SSLError as error:
            raise TlsError(explain(error, self.options["hostname"])) from None
        left = proof.days_left(self.now)
        if self.options["mode"] == "certificate" and left < self.options["renew_days"]:
            self.module.warn(f"The certificate for {self.options['hostname']} ends in {left} days, on {iso(proof.end)}.")
        return proof

    def _trusted(self, pair: Pair | None, authorities: str) -> bool:
        if pair is None or not authorities:
            return False
        try:
            self._prove(pair, authorities)
        except ssl.SSLError:
            self.module.warn(
                f"The certificate for {self.options['hostname']} is not trusted by the CA bundle that the containers get: its chain may be incomplete,"
                " or its authority is a private one, which belongs into extra_ca (codecov_tls.extra_ca_files)."
            )
            return False
        return True

    # files

    def _write(self, pair: Pair | None, bundle: str | None) -> dict[str, Any]:
        owner = self.options["owner"] or None
        files: dict[str, Any] = {}
        values: dict[str, str] = {}
        if pair is not None:
            announced = f"(a new certificate for {', '.join(self._wanted_names())})\n"
            files[CERTIFICATE] = {"content": pair.certificate or announced}
            files[KEY] = {"content": "${secret:tls_key}", "mode": "0600", "owner": owner}
            values["tls_key"] = pair.key
        if pair is not None and pair.ca is not None:
            files[CA] = {"content": pair.ca or NEW_AUTHORITY}
            files[CA_KEY] = {"content": "${secret:ca_key}", "mode": "0600"}
            values["ca_key"] = pair.ca_key or ""
        if bundle is not None:
            files[BUNDLE] = {"content": bundle}
        directories: dict[str, Any] = {"authority": {"mode": "0700"}} if CA_KEY in files else {}
        if self.options["mode"] == "acme":
            directories["acme"] = {"mode": "0700", "owner": owner}
        options = {"directory": self.directory, "files": files, "directories": directories, "manifest": MANIFEST}
        known = {name: value for name, value in values.items() if value}
        result = FileSet(self.module, options, known).run()
        for part in result.get("diff", []):
            if part["before_header"] == os.path.join(self.directory, BUNDLE):
                part.update({side: summary(part[side]) for side in ("before", "after")})
        return {key: result[key] for key in ("changed", "changed_files", "removed_files", "diff") if key in result}

    def _acme(self) -> dict[str, list[str]]:
        """The proxy's own storage: made empty, never read or replaced; removed when ACME is over."""
        path = os.path.join(self.directory, ACME)
        done: dict[str, list[str]] = {"changed_files": [], "removed_files": []}
        if self.options["mode"] == "acme":
            wanted = parse_attributes({"mode": "0600", "owner": self.options["owner"]}, DEFAULT_FILE_MODE, "owner")
            if not os.path.exists(path) or wanted.differ_from(os.stat(path)):
                done["changed_files"].append(ACME)
                if not self.module.check_mode:
                    self._prepare_acme(path, wanted)
        elif os.path.lexists(path):
            done["removed_files"].append(ACME)
            if not self.module.check_mode:
                os.unlink(path)
        return done

    @staticmethod
    def _prepare_acme(path: str, wanted: Attributes) -> None:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        set_attributes(path, wanted)


def summary(bundle: str) -> str:
    """A CA bundle in a diff: its hundreds of certificates say nothing to a reader."""
    return f"{bundle.count('-----BEGIN CERTIFICATE-----')} certificates, SHA-256 {sha256(bundle.encode())}\n" if bundle else ""


def system_bundle() -> str:
    """The CA bundle of the host; empty when it has none."""
    for path in SYSTEM_BUNDLES:
        text = read_if_there(path)
        if text is not None:
            return text.rstrip("\n") + "\n"
    return ""
