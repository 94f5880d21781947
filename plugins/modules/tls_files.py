#!/usr/bin/python
# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tls_files
short_description: Keep the certificate files of a TLS server in one directory
version_added: 0.1.0
author:
  - The covstack.selfhosted maintainers (@covstack)
description:
  - Writes C(certificate.pem) and C(key.pem) for a server, from a given pair or made by a private authority on the host, and
    C(ca/ca-bundle.pem), the CA bundle of the host with further authorities, for mounting into containers.
  - Proves the pair before anything is written, by a TLS handshake in memory. It must match, be valid now, and be valid for O(hostname).
  - What another O(mode) needed is retracted.
requirements:
  - The command C(openssl) on the host, for O(mode=self_signed) only
options:
  directory:
    description: The directory of the files.
    type: path
    required: true
  mode:
    description:
      - V(certificate) takes the given pair. V(self_signed) makes a private authority (C(ca.pem), to be trusted by clients; its key is
        C(authority/key.pem)) and a certificate, and renews them in time. V(acme) only prepares C(acme/acme.json), which the proxy fills.
        V(disabled) retracts all of that.
    type: str
    required: true
    choices: [disabled, certificate, self_signed, acme]
  hostname:
    description: Name (or address) by which clients reach the server. Required for O(mode=certificate) and O(mode=self_signed).
    type: str
  names:
    description: Further names and addresses for the certificate of O(mode=self_signed).
    type: list
    elements: str
    default: []
  certificate:
    description: Certificate chain (PEM), the server's own first. For O(mode=certificate).
    type: str
  key:
    description: Private key (PEM, without a passphrase). For O(mode=certificate).
    type: str
  certificate_path:
    description: Path on the host of the certificate chain, instead of O(certificate).
    type: path
  key_path:
    description: Path on the host of the private key, instead of O(key).
    type: path
  extra_ca:
    description:
      - Further authorities (PEM) for the CA bundle, by a name that errors can use.
    type: dict
    default: {}
  owner:
    description: Owner (name or number) of C(key.pem) and C(acme), the user of the proxy. Empty for the one that the module runs as.
    type: str
    default: ""
  renew_days:
    description:
      - Days before its end from which a certificate of the private authority is renewed. A given one causes a warning then.
    type: int
    default: 30
  valid_days:
    description: Days that a certificate of the private authority is valid.
    type: int
    default: 365
  ca_valid_days:
    description: Days that the private authority is valid.
    type: int
    default: 3650
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
    details:
      - Also proves a given pair. New certificates are announced, not made.
  diff_mode:
    support: full
    details:
      - Private keys are never shown.
  platform:
    platforms: posix
notes:
  - The module is idempotent.
seealso:
  - module: covstack.selfhosted.file_set
"""

EXAMPLES = r"""
- name: A certificate by an authority of our own
  covstack.selfhosted.tls_files:
    directory: /opt/codecov/tls
    mode: self_signed
    hostname: codecov.example.com
    owner: '65532'

- name: A given certificate
  covstack.selfhosted.tls_files:
    directory: /opt/codecov/tls
    mode: certificate
    hostname: codecov.example.com
    certificate_path: /etc/ssl/certs/codecov.pem
    key_path: /etc/ssl/private/codecov.key

- name: Retract all files
  covstack.selfhosted.tls_files:
    directory: /opt/codecov/tls
    mode: disabled
"""

RETURN = r"""
changed_files:
  description: Files that were written, or would be.
  returned: success
  type: list
  elements: str
  sample: [certificate.pem, key.pem]
removed_files:
  description: Files that were removed, or would be.
  returned: success
  type: list
  elements: str
  sample: []
expires:
  description: End of the certificate (UTC, ISO 8601). V(null) when there is none, or not yet in check mode.
  returned: success
  type: str
  sample: '2027-11-21T04:55:00Z'
days_left:
  description: Days until RV(expires).
  returned: success
  type: int
  sample: 364
names:
  description: Names and addresses that the certificate is valid for.
  returned: success
  type: list
  elements: str
  sample: [codecov.example.com]
trusted:
  description: Whether the certificate is trusted by the CA bundle that containers get. V(null) when there is no certificate.
  returned: success
  type: bool
  sample: true
certificate_digest:
  description:
    - SHA-256 of C(certificate.pem). Put it into a file that the proxy watches, and the proxy reads the certificate again when it changes.
    - V(null) when there is none, or not yet in check mode.
  returned: success
  type: str
  sample: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
ca_bundle:
  description: Path of the CA bundle for containers. V(null) when they need none of their own.
  returned: success
  type: str
  sample: /opt/codecov/tls/ca/ca-bundle.pem
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.covstack.selfhosted.plugins.module_utils._file_set import FileSetError
from ansible_collections.covstack.selfhosted.plugins.module_utils._tls import TlsError, TlsFiles


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "mode": {"type": "str", "required": True, "choices": ["disabled", "certificate", "self_signed", "acme"]},
            "hostname": {"type": "str"},
            "names": {"type": "list", "elements": "str", "default": []},
            "certificate": {"type": "str"},
            "key": {"type": "str", "no_log": True},
            "certificate_path": {"type": "path"},
            "key_path": {"type": "path", "no_log": False},
            # Certificates are public, but somebody may give a key by mistake: it is refused, and not shown either.
            "extra_ca": {"type": "dict", "default": {}, "no_log": True},
            "owner": {"type": "str", "default": ""},
            "renew_days": {"type": "int", "default": 30},
            "valid_days": {"type": "int", "default": 365},
            "ca_valid_days": {"type": "int", "default": 3650},
        },
        required_if=[
            ("mode", "certificate", ("hostname",)),
            ("mode", "certificate", ("certificate", "certificate_path"), True),
            ("mode", "certificate", ("key", "key_path"), True),
            ("mode", "self_signed", ("hostname",)),
        ],
        mutually_exclusive=[("certificate", "certificate_path"), ("key", "key_path")],
        supports_check_mode=True,
    )
    try:
        result = TlsFiles(module).run()
    except (TlsError, FileSetError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'The host'}: {error.strerror}.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
