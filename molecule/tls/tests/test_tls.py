# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTPS as a client sees it, after the change from the private authority to the operator's certificate."""

from __future__ import annotations

CURL = "curl --silent --max-time 10 --resolve codecov.test:443:127.0.0.1 --resolve codecov.test:80:127.0.0.1"
CA = "--cacert /opt/codecov/tls/ca/ca-bundle.pem"


def test_https_is_served_with_a_certificate_that_the_bundle_verifies(host) -> None:
    assert host.check_output(f"{CURL} {CA} https://codecov.test/api_health/").endswith("is live!")


def test_the_operators_certificate_is_served(host) -> None:
    served = host.check_output("openssl s_client -connect 127.0.0.1:443 -servername codecov.test </dev/null 2>/dev/null | openssl x509 -noout -issuer -subject")
    assert "issuer=CN=codecov.test" in served.replace(" ", "")


def test_an_unknown_authority_is_not_trusted(host) -> None:
    assert host.run(f"{CURL} https://codecov.test/api_health/").rc == 60


def test_http_is_redirected(host) -> None:
    answer = host.check_output(CURL + " --output /dev/null --write-out '%{http_code} %{redirect_url}' http://codecov.test/gh")
    assert answer == "301 https://codecov.test/gh"


def test_old_protocols_are_refused(host) -> None:
    assert host.run(f"{CURL} {CA} --tls-max 1.1 https://codecov.test/").rc == 35


def test_the_key_is_readable_by_the_edge_alone(host) -> None:
    key = host.file("/opt/codecov/tls/key.pem")
    assert (key.uid, key.mode) == (65532, 0o600)


def test_containers_trust_the_bundle(host) -> None:
    """The worker reads and writes reports through https://codecov.test; the smoke upload of the deployment was processed so."""
    states = host.check_output("docker exec codecov-postgres-1 psql --username=codecov --tuples-only --command 'SELECT state FROM commits'").split()
    assert len(states) >= 2 and set(states) == {"complete"}
