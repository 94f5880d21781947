# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sizing rule of the deployment guide, the filter around it, and a host against what it shall run."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.covstack.selfhosted.plugins.filter.sizing import FilterModule, sizing
from ansible_collections.covstack.selfhosted.plugins.module_utils._catalogue import load_line
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem
from ansible_collections.covstack.selfhosted.plugins.module_utils._sizing import Demand, SizingError, fitted_to, host_problems
from ansible_collections.covstack.selfhosted.plugins.module_utils._sizing import sizing as size
from ansible_collections.covstack.selfhosted.tests.unit.plugins.module_utils.settings_examples import EXTERNAL, deployment, merged
from hypothesis import given
from hypothesis import strategies as st

SERVICES = list(load_line("codecov").services.values())

# --- the rule ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0, 1, 25])
def test_up_to_25_reports_a_minute_as_the_guide_says(rate: int) -> None:
    assert sizing(rate)["machines"] == [{"role": "everything", "count": 1, "like": "n1-standard-8", "cpus": 8, "memory_gb": 30}]
    assert sizing(rate, strategy=2)["machines"] == [
        {"role": "web and worker", "count": 2, "like": "n1-standard-8", "cpus": 8, "memory_gb": 30},
        {"role": "storage", "count": 1, "like": "n1-standard-4", "cpus": 4, "memory_gb": 15},
    ]
    assert [(machine["role"], machine["like"]) for machine in sizing(rate, strategy=3)["machines"]] == [("web", "n1-standard-4"), ("worker", "n1-standard-8")]


@pytest.mark.parametrize(("rate", "units"), [(26, 2), (50, 2), (51, 3), (250, 10)])
def test_above_that_in_building_blocks(rate: int, units: int) -> None:
    one, two = sizing(rate), sizing(rate, strategy=2)
    assert one["units"] == units
    assert (one["machines"][0]["count"], one["machines"][0]["cpus"], one["machines"][0]["memory_gb"]) == (1, 8 * units, 30 * units)
    assert two["machines"][0]["count"] == units + 1


@pytest.mark.parametrize(
    ("options", "units"),
    [({"growth": 0.5, "years": 1}, 1), ({"growth": 0.5, "years": 2}, 2), ({"growth": 1, "years": 3}, 4), ({"report_mb": 5}, 1), ({"report_mb": 10}, 2)],
)
def test_growth_and_large_reports_count(options: dict[str, Any], units: int) -> None:
    assert sizing(25, **options)["units"] == units


@pytest.mark.parametrize("line", ["codecov", "codecov_enterprise"])
@pytest.mark.parametrize("strategy", [1, 2, 3])
@pytest.mark.parametrize("rate", [1, 60, 100000])
def test_replicas_are_settings_that_the_catalogue_allows(line: str, strategy: int, rate: int) -> None:
    services = load_line(line).services
    replicas = sizing(rate, strategy=strategy, line=line)["replicas"]
    assert set(replicas) == set(services)
    for name, number in replicas.items():
        assert services[name].scaling["minimum"] <= number <= services[name].scaling["maximum"]


def test_data_services() -> None:
    result = sizing(25, report_mb=2, utilisation=0.1)
    reports = 25 * 60 * 24 * 365 * 0.1
    assert reports * 2 * 2 / 1024 <= result["storage"]["disk_gb"] <= reports * 2 * 2 / 1024 + 10
    assert result["redis"]["memory_mb"] == 512
    assert result["postgres"]["cpus"] == 2
    assert result["postgres"]["disk_gb"] == 20
    assert any("twice" in assumption for assumption in result["assumptions"])


@given(st.floats(0, 1e5), st.floats(0, 1e5), st.integers(1, 10), st.floats(0, 2), st.sampled_from([1, 2, 3]))
def test_more_reports_never_need_less(low: float, high: float, years: int, growth: float, strategy: int) -> None:
    small, large = (size(Demand(rate, years=years, growth=growth), strategy, SERVICES) for rate in sorted((low, high)))
    assert small["units"] <= large["units"]
    for service, what in (("postgres", "disk_gb"), ("redis", "memory_mb"), ("storage", "disk_gb")):
        assert small[service][what] <= large[service][what]
    assert sum(machine["count"] * machine["cpus"] for machine in small["machines"]) <= sum(machine["count"] * machine["cpus"] for machine in large["machines"])


# --- the filter -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "options", "says"),
    [
        ("many", {}, "reports_per_minute: 'many' is no number"),
        (None, {}, "reports_per_minute"),
        (-1, {}, "reports_per_minute: -1.0 is out of bounds"),
        (25, {"strategy": 4}, "Allowed: 1, 2, 3"),
        (25, {"strategy": "II"}, "strategy"),
        (25, {"line": "codecof"}, "Allowed: codecov, codecov_enterprise"),
        (25, {"growth": -0.1}, "50 % a year"),
        (25, {"years": 0}, "from 1 to 10"),
        (25, {"years": 11}, "from 1 to 10"),
        (25, {"years": 1.5}, "whole"),
        (25, {"report_mb": 0}, "more than 0"),
        (25, {"utilisation": 1.5}, "at most 1"),
        (25, {"utilisation": 0}, "more than 0"),
        (float("nan"), {}, "reports_per_minute"),
        (float("inf"), {}, "reports_per_minute"),
    ],
)
def test_a_question_without_answer_is_refused(rate: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(AnsibleFilterError, match="sizing: ") as refused:
        sizing(rate, **options)
    assert says in str(refused.value)


def test_text_from_a_survey_is_a_number() -> None:
    assert sizing("60", strategy="2", years="2", growth="0.5") == sizing(60, strategy=2, years=2, growth=0.5)


def test_ansible_finds_the_filter() -> None:
    assert FilterModule().filters() == {"sizing": sizing}
    templar = Templar(loader=DataLoader(), variables={})
    assert templar.template(_trusted("{{ (25 | covstack.selfhosted.sizing(strategy=2)).machines[0]['count'] }}")) in (2, "2")


def _trusted(template: str) -> str:
    """Since ansible-core 2.19 a template must say that it comes from a trusted place."""
    try:
        from ansible.template import trust_as_template
    except ImportError:
        return template
    return trust_as_template(template)


def test_a_demand_says_which_option_is_wrong() -> None:
    with pytest.raises(SizingError, match=r"^years: 0 is out of bounds. Allowed: from 1 to 10.$"):
        Demand(1, years=0)


# --- a host -----------------------------------------------------------------------------------------------------------------

GOOD_HOST: dict[str, Any] = {
    "os": {"arch": "x86_64"},
    "cpus": 8,
    "memory_mb": 30100,
    "disk": {"directory": {"path": "/opt", "free_gb": 100.0}, "docker": {"path": "/var/lib/docker", "free_gb": 100.0}},
    "clock": {"epoch": 0.0, "ntp_synchronised": True},
    "ports": {"80": {"held": False, "ours": False, "by": None}, "443": {"held": True, "ours": True, "by": "codecov-edge-1"}},
    "docker": {"present": True, "running": True, "cgroup": {"version": "2", "cpu": True, "memory": True, "pids": True}},
    "names": {"codecov.example.com": {"resolves": True, "addresses": ["192.0.2.10"], "error": None}},
    "endpoints": {f"{host}.example.com:{port}": {"reachable": True, "error": None} for host, port in (("db", 5432), ("redis", 6379))},
}
BARE_HOST: dict[str, Any] = {
    "os": {},
    "cpus": None,
    "memory_mb": None,
    "disk": {},
    "clock": {},
    "ports": {},
    "docker": {"present": False, "cgroup": {}},
    "names": {},
}


def problems_of(host: dict[str, Any], over: dict[str, Any] | None = None, base: dict[str, Any] | None = None) -> list[Problem]:
    return host_problems(deployment(over, base), merged(GOOD_HOST, host))


@pytest.mark.parametrize("over", [{}, {"codecov_sizing": {"reports_per_minute": 25}}], ids=["nothing said", "25 reports"])
def test_a_good_host_has_no_problem(over: dict[str, Any]) -> None:
    assert problems_of({}, over) == []
    assert problems_of({}, over, EXTERNAL) == []


def test_what_is_not_known_is_not_judged() -> None:
    assert host_problems(deployment({"codecov_sizing": {"reports_per_minute": 25}}), BARE_HOST) == []


HELD = {"held": True, "ours": False, "by": "nginx (process 812)"}
UNREACHABLE = {"reachable": False, "error": "Connection refused"}
UNKNOWN = {"resolves": False, "addresses": [], "error": "Name or service not known"}
BAD_HOSTS: list[tuple[str, dict[str, Any], dict[str, Any], str, str, str]] = [
    ("little memory", {"memory_mb": 2048}, {}, "error", "codecov_sizing.minimum_memory_mb", "2048 MB"),
    ("little space in /opt", {"disk": {"directory": {"free_gb": 4.0}}}, {}, "error", "codecov_sizing.minimum_disk_gb", "/opt has 4.0 GB"),
    ("little space for images", {"disk": {"docker": {"free_gb": 9.9}}}, {}, "error", "codecov_sizing.minimum_disk_gb", "/var/lib/docker has 9.9 GB"),
    (
        "one full file system",
        {"disk": {"directory": {"free_gb": 4.0}, "docker": {"free_gb": 4.0}}},
        {},
        "error",
        "codecov_sizing.minimum_disk_gb",
        "free space there",
    ),
    ("a port that another holds", {"ports": {"80": HELD}}, {}, "error", "codecov_edge.http_port", "nginx (process 812)"),
    ("an https port that another holds", {"ports": {"443": HELD}}, {}, "error", "codecov_edge.https_port", "port 443"),
    ("a database out of reach", {"endpoints": {"db.example.com:5432": UNREACHABLE}}, EXTERNAL, "error", "codecov_postgres.host", "Connection refused"),
    ("Redis out of reach", {"endpoints": {"redis.example.com:6379": UNREACHABLE}}, EXTERNAL, "error", "codecov_redis.host", "firewall"),
    ("a storage out of reach", {"endpoints": {"s3.eu-central-1.amazonaws.com:443": UNREACHABLE}}, EXTERNAL, "error", "codecov_storage.host", "443"),
    ("fewer CPUs than a limit", {"cpus": 2}, {}, "error", "codecov_resources.services", "{worker: {cpus: 2}}"),
    ("no CPU controller", {"docker": {"cgroup": {"cpu": False}}}, {}, "error", "codecov_resources.limits", "set it to false"),
    ("no memory controller", {"docker": {"cgroup": {"memory": False}}}, {}, "warning", "codecov_resources.limits", "ignores memory limits"),
    ("an unknown name", {"names": {"codecov.example.com": UNKNOWN}}, {}, "warning", "codecov_url", "enter it into DNS"),
    (
        "an unknown name behind a load balancer",
        {"names": {"codecov.example.com": UNKNOWN}},
        {"codecov_tls": {"mode": "disabled"}, "codecov_edge": {"behind_load_balancer": True}},
        "error",
        "codecov_url",
        "through the load balancer",
    ),
    ("a clock that runs free", {"clock": {"ntp_synchronised": False}}, {}, "warning", "codecov_health.clock_skew_s", "chrony"),
    (
        "data of an older PostgreSQL",
        {"volume_files": {"codecov_postgres": "16"}},
        {},
        "error",
        "codecov_versions.postgres",
        "17.6 cannot read the data of the volume codecov_postgres, which are of version 16; allowed: images of version 16 -> ",
    ),
    ("data of a newer PostgreSQL", {"volume_files": {"codecov_postgres": "17"}}, {"codecov_versions": {"postgres": "16.10"}}, "error",
     "codecov_versions.postgres", "of version 17"),
    ("data of an older Timescale", {"volume_files": {"codecov_timescale": "16"}}, {"codecov_timescale": {"mode": "embedded"}}, "error",
     "codecov_versions.timescale", "2.21.1-pg17 cannot read"),
    ("a tag that names no version", {"volume_files": {"codecov_postgres": "17"}}, {"codecov_versions": {"postgres": "latest"}}, "warning",
     "codecov_versions.postgres", "name a version"),
    ("another processor", {"os": {"arch": "aarch64"}}, {}, "error", "codecov_images.repositories", "x86_64"),
    (
        "fewer CPUs than the rule",
        {"cpus": 4},
        {"codecov_sizing": {"reports_per_minute": 25}},
        "warning",
        "codecov_sizing.reports_per_minute",
        "4 CPUs instead of 8",
    ),
    (
        "less memory than the rule",
        {"memory_mb": 16000},
        {"codecov_sizing": {"reports_per_minute": 10}},
        "warning",
        "codecov_sizing.reports_per_minute",
        "15 GB of memory",
    ),
    (
        "more reports than the host carries",
        {},
        {"codecov_sizing": {"reports_per_minute": 40}},
        "warning",
        "codecov_sizing.reports_per_minute",
        "2 x n1-standard-8",
    ),
]


@pytest.mark.parametrize(("host", "over", "level", "setting", "says"), [case[1:] for case in BAD_HOSTS], ids=[case[0] for case in BAD_HOSTS])
def test_a_bad_host_has_one_clear_problem(host: dict[str, Any], over: dict[str, Any], level: str, setting: str, says: str) -> None:
    base, over = (EXTERNAL, {}) if over is EXTERNAL else (None, over)
    (problem,) = problems_of(host, over, base)
    assert (problem.level, problem.path) == (level, setting)
    assert says in str(problem)


@pytest.mark.parametrize(("over", "base"), [({}, None), ({"codecov_versions": {"postgres": "17.7-alpine"}}, None), ({}, EXTERNAL)])
def test_data_of_the_same_major_version_or_of_a_service_that_went_elsewhere_are_no_problem(over: dict[str, Any], base: dict[str, Any] | None) -> None:
    files = {"codecov_postgres": "16" if base else "17", "codecov_timescale": None}
    assert problems_of({"volume_files": files}, over, base) == []


def test_limits_that_are_off_are_not_judged() -> None:
    assert problems_of({"cpus": 1, "docker": {"cgroup": {"cpu": False, "memory": False}}}, {"codecov_resources": {"limits": False}}) == []


def test_images_of_ones_own_run_on_any_processor() -> None:
    repositories = {name: f"registry.example.com/{name}" for name in load_line("codecov").services}
    assert problems_of({"os": {"arch": "aarch64"}}, {"codecov_images": {"repositories": repositories}}) == []


def test_a_small_host_lowers_the_catalogues_limits_but_not_the_operators() -> None:
    small = {**GOOD_HOST, "cpus": 1}
    given_limits = {"codecov_resources": {"services": {"api": {"cpus": 2}, "worker": {"memory_mb": 4096}}}}
    before = deployment(given_limits)
    settings = copy.deepcopy(before.settings)
    fitted = fitted_to(before, small)
    services = fitted.settings["codecov_resources"]["services"]
    assert services["api"] == {"cpus": 2}
    assert services["worker"] == {"memory_mb": 4096, "cpus": 1}
    assert services["postgres"] == {"cpus": 1}
    assert before.settings == settings
    assert [problem.message for problem in host_problems(fitted, small)] == ["the host has 1 CPUs, and Docker refuses a limit above that (api 2)"]


def test_a_large_host_changes_nothing() -> None:
    assert fitted_to(deployment(), GOOD_HOST) is deployment()
    assert fitted_to(deployment(), BARE_HOST) is deployment()
