# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the services consist of, and the small rules of their resources. The calls themselves: integration target codecov_aws_services."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import yaml
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_data import PASSWORD_ALPHABET, generated, version_fits
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_edge import forward_target
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_network import SecurityGroup, permission_lines
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_services import Services
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_storage import bucket_access, partition_of, tls_only
from ansible_collections.covstack.selfhosted.plugins.modules.codecov_aws_services import ARGUMENTS
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.test_aws_settings import settings

ROLE = pathlib.Path(__file__).resolve().parents[4] / "roles" / "aws_services"


class NoAws:
    """An account that is asked for its zones only."""

    region = "eu-central-1"

    def pages(self, service: str, operation: str, key: str, **arguments: Any) -> list[Any]:
        assert operation == "describe_availability_zones"
        return [{"ZoneName": f"eu-central-1{letter}"} for letter in "bca"]


def services(changes: dict[str, Any] | None = None) -> Services:
    return Services(NoAws(), settings(changes))  # type: ignore[arg-type]


def titles(made: Services) -> list[str]:
    return [resource.title for resource in made.resources]


def ingress(made: Services, kind: str) -> list[str]:
    group = next(resource for resource in made.resources if isinstance(resource, SecurityGroup) and resource.name == f"codecov-{kind}")
    lines: list[str] = group.wanted()["ingress"]
    return lines


def test_every_resource_comes_after_what_it_needs() -> None:
    for changes in ({}, {"storage": {"mode": "hosts"}}, {"storage": {"credentials": "instance_role"}}):
        seen: list[Any] = []
        for resource in services(changes).resources:
            assert all(need in seen for need in resource.needs), resource.title
            seen.append(resource)


def test_names_are_unique() -> None:
    names = titles(services({"storage": {"mode": "hosts"}}))
    assert len(names) == len(set(names))


def test_every_tagged_resource_says_whose_it_is() -> None:
    assert all(resource.tags["covstack:deployment"] == "codecov" for resource in services().resources)


def test_what_holds_data_is_stateful() -> None:
    stateful = [resource.title for resource in services().resources if resource.stateful]
    assert stateful == [
        "secret codecov/postgres", "PostgreSQL instance codecov-postgres", "secret codecov/redis", "Redis replication group codecov-redis",
        "bucket example-codecov-reports",
    ]


def test_the_first_two_zones_are_taken() -> None:
    assert [title for title in titles(services()) if title.startswith("subnet")] == [
        "subnet codecov-public-eu-central-1a", "subnet codecov-public-eu-central-1b",
        "subnet codecov-private-eu-central-1a", "subnet codecov-private-eu-central-1b",
    ]


def test_only_the_balancer_is_open() -> None:
    made = services({"network": {"administrators": ["203.0.113.0/24"]}, "storage": {"mode": "hosts"}})
    assert ingress(made, "alb") == ["tcp 443 from 0.0.0.0/0", "tcp 80 from 0.0.0.0/0"]
    assert ingress(made, "web") == [
        "tcp 22 from 203.0.113.0/24", "tcp 8080 from (id of security group codecov-alb)", "tcp 8089 from (id of security group codecov-alb)",
    ]
    assert ingress(made, "worker") == ["tcp 22 from 203.0.113.0/24"]
    assert ingress(made, "data") == [f"tcp {port} from (id of security group codecov-{kind})" for port in (5432, 6379) for kind in ("web", "worker")]
    assert "tcp 8333 from (id of security group codecov-alb)" in ingress(made, "storage")


@pytest.mark.parametrize(("part", "gone"), [
    ("postgres", "PostgreSQL"), ("redis", "Redis"), ("load_balancer", "load balancer"),
])
def test_what_is_not_managed_is_left_alone(part: str, gone: str) -> None:
    assert not [title for title in titles(services({part: {"managed": False}})) if gone in title]


def test_a_role_instead_of_a_key() -> None:
    names = titles(services({"storage": {"credentials": "instance_role"}}))
    assert {"IAM role codecov-storage", "instance profile codecov-storage"} <= set(names)
    assert not [name for name in names if "IAM user" in name or "access key" in name]


def test_the_bucket_policy_allows_nobody_anything() -> None:
    statements = tls_only("aws", "reports")["Statement"]
    assert [statement["Effect"] for statement in statements] == ["Deny"]


def test_the_user_may_do_what_the_application_does_and_nothing_else() -> None:
    statements = bucket_access("aws", "reports")["Statement"]
    actions = {action for statement in statements for action in statement["Action"]}
    assert actions == {"s3:GetBucketLocation", "s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"}
    assert {statement["Resource"] for statement in statements} == {"arn:aws:s3:::reports", "arn:aws:s3:::reports/*"}


@pytest.mark.parametrize(("region", "partition"), [("eu-central-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")])
def test_partitions(region: str, partition: str) -> None:
    assert partition_of(region) == partition


@pytest.mark.parametrize(
    ("current", "wanted", "fits"), [("17.2", "17", True), ("17", "17", True), ("17.10", "17.1", False), ("7.1.0", "7.1", True), ("170", "17", False)]
)
def test_versions(current: str, wanted: str, fits: bool) -> None:
    assert version_fits(current, wanted) is fits


def test_passwords_need_no_escapes_and_are_long() -> None:
    passwords = {generated() for _number in range(50)}
    assert len(passwords) == 50
    assert all(len(password) == 48 and set(password) <= set(PASSWORD_ALPHABET) for password in passwords)
    assert PASSWORD_ALPHABET.isalnum()


def test_permissions_as_lines() -> None:
    permission = {
        "IpProtocol": "tcp", "FromPort": 80, "ToPort": 90, "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "x"}], "Ipv6Ranges": [{"CidrIpv6": "::/0"}],
        "UserIdGroupPairs": [{"GroupId": "sg-1", "UserId": "123"}],
    }
    assert [line for line, _single in permission_lines(permission)] == ["tcp 80-90 from 10.0.0.0/8", "tcp 80-90 from ::/0", "tcp 80-90 from sg-1"]
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    assert list(permission_lines(everything)) == [("everything from 0.0.0.0/0", everything)]


@pytest.mark.parametrize(("actions", "target"), [
    ([{"TargetGroupArn": "a"}], "a"),
    ([{"ForwardConfig": {"TargetGroups": [{"TargetGroupArn": "b"}]}}], "b"),
    ([{"ForwardConfig": {"TargetGroups": [{"TargetGroupArn": "b"}, {"TargetGroupArn": "c"}]}}], None),
    ([{"Type": "redirect"}], None),
    ([], None),
])
def test_where_a_listener_forwards_to(actions: list[dict[str, Any]], target: str | None) -> None:
    assert forward_target(actions) == target


def test_the_role_has_the_options_of_the_module_with_their_defaults() -> None:
    options: dict[str, Any] = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    of_the_role = {"region", "vars_file", "sslmode"}
    of_the_module = {"setting_prefix", "wait"}
    names = {name.removeprefix("aws_services_") for name in options}
    assert names - of_the_role == set(ARGUMENTS) - of_the_module
    for name in names - of_the_role:
        compare(options[f"aws_services_{name}"], ARGUMENTS[name])


def compare(option: dict[str, Any], argument: dict[str, Any]) -> None:
    for key in ("type", "default", "choices", "elements"):
        assert option.get(key) == argument.get(key), (option, key)
    assert set(option.get("options", {})) == set(argument.get("options", {}))
    for name, inner in argument.get("options", {}).items():
        compare(option["options"][name], inner)
