# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""What the pods of a release ask for, against the quotas of its namespace."""

from __future__ import annotations

import itertools
import math
import re
import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils._blue_green import SETTING
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem, error, warning

Values = t.Mapping[str, t.Any]

QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_FACTORS = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
# A quota may say either.
_NAMES = {"cpu": "requests.cpu", "memory": "requests.memory"}
# Changes of colours that start no pod: a quota that became too small must not stand in the way of cleaning up.
_START_NOTHING = ("look", "clean_up")


def quantity(text: str) -> float:
    """A quantity of Kubernetes as a number; what is none counts as nothing."""
    found = QUANTITY.fullmatch(str(text))
    return float(found[1]) * _FACTORS[found[2] or ""] if found else 0.0


def _pods(values: Values) -> t.Iterator[t.Tuple[t.Mapping[str, t.Any], int]]:
    """Resources of a pod of each service, and how many there are at least. As in the chart, a colour without requests has no workers."""
    for slot, service in itertools.product(values["slots"].values(), values["services"].values()):
        is_idle = slot.get("parked") or (service["tier"] == "worker" and not slot["weight"])
        yield service["resources"], 0 if is_idle else service["autoscaling"]["minimum"]
    for service in values["platform"].values():
        yield service["resources"], 1


def requested(values: Values) -> t.Dict[str, float]:
    """CPU and memory that the least number of pods asks for, and one pod more: a migration runs beside them, and an update adds before it takes away."""
    pods = list(_pods(values))
    asked = {}
    for kind, resource in itertools.product(("requests", "limits"), ("cpu", "memory")):
        each = [(quantity(resources.get(kind, {}).get(resource, "0")), number) for resources, number in pods]
        asked[f"{kind}.{resource}"] = sum(one * number for one, number in each) + max(one for one, _number in each)
    return asked


def problems(plan: t.Mapping[str, t.Any], cluster: t.Mapping[str, t.Any]) -> t.Iterator[Problem]:
    """What a release of ours uses already is free for the next."""
    if plan.get("blue_green", {}).get("action") in _START_NOTHING:
        return
    wanted = requested(plan["values"])
    for quota in cluster["quotas"]:
        hard = {_NAMES.get(resource, resource): value for resource, value in quota["hard"].items()}
        used = {_NAMES.get(resource, resource): value for resource, value in quota["used"].items()}
        for name in sorted(set(wanted) & set(hard)):
            free = quantity(hard[name]) - (0.0 if cluster["release"] else quantity(used.get(name, "0")))
            if wanted[name] == 0:
                message = f"is false, but the quota {quota['name']} counts {name}: without a LimitRange that gives them limits, no pod is let in"
                yield warning("codecov_resources.limits", message, "set it to true")
            elif wanted[name] > free:
                message = f"the quota {quota['name']} leaves {_shown(name, free)} of {name}, and {_shown(name, wanted[name])} are asked for"
                yield _too_small(message, len(plan["values"]["slots"]))


def _too_small(message: str, colours: int) -> Problem:
    if colours > 1:
        return error(f"{SETTING}.action", f"{message} by two colours", "raise the quota until one of them is cleaned up")
    return error("codecov_replicas", message, "raise the quota, or lower codecov_replicas and codecov_resources.services")


def _shown(name: str, number: float) -> str:
    return f"{number:g}" if name.endswith("cpu") else f"{math.floor(number / 2**20)}Mi"
