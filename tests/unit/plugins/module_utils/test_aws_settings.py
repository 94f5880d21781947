# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the AWS services: every bad one has one clear line, before AWS is asked anything."""

from __future__ import annotations

import copy
import ipaddress
import pathlib
from typing import Any

import pytest
import yaml
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_settings import problems_of, subnet_plan
from ansible_collections.covstack.selfhosted.plugins.modules.codecov_aws_services import ARGUMENTS
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

TABLE: list[dict[str, Any]] = yaml.safe_load((pathlib.Path(__file__).parent / "bad_aws_settings.yml").read_text("utf-8"))
CERTIFICATE = "arn:aws:acm:eu-central-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"


def defaults(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: defaults(argument["options"]) if "options" in argument else copy.deepcopy(argument["default"]) for name, argument in arguments.items()}


def settings(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """Good settings, with changes."""
    result = {**defaults(ARGUMENTS), "region": "eu-central-1"}
    result["storage"]["bucket"] = "example-codecov-reports"
    result["load_balancer"]["certificate_arn"] = CERTIFICATE
    for name, value in (changes or {}).items():
        result[name] = {**result[name], **value} if isinstance(value, dict) else value
    return result


def test_good_settings_have_no_problem() -> None:
    assert problems_of(settings()) == []


def test_the_table_is_large_and_has_no_double() -> None:
    names = [case["name"] for case in TABLE]
    assert len(names) >= 80
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case["name"])
def test_a_bad_setting_has_one_clear_line(case: dict[str, Any]) -> None:
    problems = problems_of(settings(case["set"]))
    assert [problem.path for problem in problems] == [case.get("error") or case["warning"]]
    line = str(problems[0])
    assert case["says"] in line
    assert " -> " in line
    assert problems[0].is_error == ("error" in case)
    assert "; allowed: " in line or not problems[0].is_error
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("part", ["postgres", "redis", "load_balancer"])
def test_what_is_not_managed_is_not_judged(part: str) -> None:
    wrong = {"postgres": {"version": "9"}, "redis": {"version": "1"}, "load_balancer": {"certificate_arn": ""}}[part]
    assert problems_of(settings({part: {**wrong, "managed": False}})) == []


def test_storage_elsewhere_needs_no_bucket() -> None:
    assert problems_of(settings({"storage": {"mode": "none", "bucket": ""}})) == []


@example_settings(deadline=None)
@given(prefix=st.integers(16, 22), zones=st.integers(2, 6), third=st.integers(0, 255))
def test_subnets_of_a_new_vpc_fit_and_do_not_overlap(prefix: int, zones: int, third: int) -> None:
    network = ipaddress.ip_network((int(ipaddress.ip_address(f"10.{third}.0.0")), prefix))
    plan = subnet_plan(str(network), [f"zone-{number}" for number in range(zones)])
    subnets = [ipaddress.ip_network(cidr) for _zone, cidr, _public in plan]
    assert len(plan) == 2 * zones
    assert all(subnet.subnet_of(network) for subnet in subnets)
    assert not any(a.overlaps(b) for index, a in enumerate(subnets) for b in subnets[index + 1:])
    # AWS takes nothing smaller than /28, and the balancer wants 8 free addresses.
    assert all(subnet.prefixlen <= 27 for subnet in subnets)
