# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: sizing
short_description: From coverage reports per minute to machines, containers and data services
version_added: 0.1.0
author:
  - The covstack.selfhosted maintainers (@covstack)
description:
  - Applies the sizing rule of the deployment guide. 25 reports a minute need one C(n1-standard-8) (8 vCPU, 30 GB) for all of Strategy I, two of them for
    web and worker and one C(n1-standard-4) (4 vCPU, 15 GB) for the storage in Strategy II, and web on C(n1-standard-4) and worker on C(n1-standard-8) in
    Strategy III.
  - What the guide does not say (disk, memory of Redis) rests on assumptions, which are part of the result. It is a starting point, not a promise.
options:
  _input:
    description: Coverage reports a minute at busy times, in the first year.
    type: float
    required: true
  strategy:
    description: Deployment strategy. V(1) is one host, V(2) split hosts, V(3) Kubernetes.
    type: int
    choices: [1, 2, 3]
    default: 1
  line:
    description: Application line of the catalogue.
    type: str
    choices: [codecov, codecov_enterprise]
    default: codecov
  report_mb:
    description: Average size of a report in MB.
    type: float
    default: 1.0
  growth:
    description: Growth a year as a share, for example V(0.5) for 50 %.
    type: float
    default: 0.0
  years:
    description: Years to plan for.
    type: int
    default: 1
  utilisation:
    description: Share of the year in which reports arrive at this rate.
    type: float
    default: 0.25
"""

EXAMPLES = r"""
- name: Say which machine 25 reports a minute need
  ansible.builtin.debug:
    msg: "{{ (25 | covstack.selfhosted.sizing).machines }}"
  # [{'role': 'everything', 'count': 1, 'like': 'n1-standard-8', 'cpus': 8, 'memory_gb': 30}]

- name: Plan Strategy II for three years of growth
  ansible.builtin.debug:
    var: 40 | covstack.selfhosted.sizing(strategy=2, growth=0.3, years=3, report_mb=2)

- name: Run as many containers as the rule says
  ansible.builtin.debug:
    msg: "codecov_replicas: {{ (60 | covstack.selfhosted.sizing).replicas }}"
"""

RETURN = r"""
_value:
  description: What the demand asks for.
  type: dict
  contains:
    units:
      description: Building blocks of 25 reports a minute.
      type: int
    peak_reports_per_minute:
      description: Reports a minute at busy times, in the last year.
      type: float
    machines:
      description: Machines by role, each with C(count), C(like), C(cpus) and C(memory_gb).
      type: list
      elements: dict
    replicas:
      description: Containers by service, as the setting C(codecov_replicas) takes them.
      type: dict
    postgres:
      description: C(cpus), C(memory_gb) and C(disk_gb) of the database.
      type: dict
    redis:
      description: C(memory_mb) of Redis.
      type: dict
    storage:
      description: C(disk_gb) of the object storage.
      type: dict
    assumptions:
      description: What the numbers rest on.
      type: list
      elements: str
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.covstack.selfhosted.plugins.module_utils._catalogue import lines, load_line
from ansible_collections.covstack.selfhosted.plugins.module_utils._sizing import Demand, SizingError
from ansible_collections.covstack.selfhosted.plugins.module_utils._sizing import sizing as size


def _number(name: str, value: t.Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise AnsibleFilterError(f"sizing: {name}: {value!r} is no number.") from None


def sizing(
    reports_per_minute: t.Any,
    strategy: t.Any = 1,
    line: str = "codecov",
    report_mb: t.Any = 1.0,
    growth: t.Any = 0.0,
    years: t.Any = 1,
    utilisation: t.Any = 0.25,
) -> t.Dict[str, t.Any]:
    """Coverage reports a minute -> what they need."""
    if _number("strategy", strategy) not in (1, 2, 3):
        raise AnsibleFilterError(f"sizing: strategy: {strategy!r} is unknown. Allowed: 1, 2, 3.")
    if line not in lines():
        raise AnsibleFilterError(f"sizing: line: {line!r} is unknown. Allowed: {', '.join(lines())}.")
    if _number("years", years) % 1:
        raise AnsibleFilterError(f"sizing: years: {years!r} is no whole number.")
    numbers = {"reports_per_minute": reports_per_minute, "report_mb": report_mb, "growth": growth, "utilisation": utilisation}
    try:
        demand = Demand(**{name: _number(name, value) for name, value in numbers.items()}, years=int(_number("years", years)))
    except SizingError as error:
        raise AnsibleFilterError(f"sizing: {error}") from error
    return size(demand, int(strategy), load_line(line).services.values())


class FilterModule:
    """Filters of this collection."""

    def filters(self) -> t.Dict[str, t.Callable[..., t.Any]]:
        return {"sizing": sizing}
