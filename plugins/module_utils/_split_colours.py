# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""The colours of a split deployment: each is a set of hosts, the inventory groups C(blue) and C(green)."""

from __future__ import annotations

import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils._blue_green import ALL, SETTING, change_of, other
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import SLOTS, Deployment
from ansible_collections.covstack.selfhosted.plugins.module_utils._load_balancer import MAX_WEIGHT
from ansible_collections.covstack.selfhosted.plugins.module_utils._placement import Placement
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem, error


def shares_of(deployment: Deployment, host: t.Mapping[str, t.Any]) -> t.Dict[str, int]:
    """Shares of the requests. While no change is under way all hosts get some; then the one that is not to become stage counts as production."""
    there = host["deployment"]
    if there["shares"] or not there["active"]:
        return dict(there["shares"])
    named = deployment.settings[SETTING]["slot"]
    return {other(named) if named in SLOTS else SLOTS[0]: ALL}


def colour_of(groups: t.Sequence[str]) -> str:
    """The colour of a host; empty for none, or both."""
    found = [slot for slot in SLOTS if slot in groups]
    return found[0] if len(found) == 1 else ""


def colours_of(placement: Placement) -> t.Dict[str, str]:
    """Colour of each host of the application, web hosts first."""
    return {host.name: colour_of(host.groups) for host in placement.application}


def problems(deployment: Deployment) -> t.Iterator[Problem]:
    """What the inventory lacks for two colours."""
    placement, colours = deployment.placement, colours_of(deployment.placement)
    without = sorted(name for name, colour in colours.items() if not colour)
    if deployment.settings["codecov_load_balancer"]["mode"] != "haproxy":
        way_out = "change the weights at your load balancers by hand, or use hosts in the group load_balancers"
        yield error("codecov_load_balancer.mode", "is not haproxy, and requests are shared out at load balancers of ours", way_out)
    if without:
        yield error("inventory", f"{', '.join(without)} has no colour, or both", "put each host of the application into one of the groups blue and green")
        return
    for slot in SLOTS:
        missing = [kind for kind in ("web", "worker") if not any(colours.get(host.name) == slot for host in placement.of_kind(kind))]
        if missing:
            yield error("inventory", f"no host of the group {' and '.join(missing)} is {slot}, so it is no whole copy", f"put one into the group {slot}")


def weights_of(shares: t.Mapping[str, int], colours: t.Mapping[str, str]) -> t.Dict[str, int]:
    """Weight of each server, so that each colour gets its share, however many servers it has."""
    sizes = {slot: sum(colour == slot for colour in colours.values()) for slot in SLOTS}
    each = {slot: shares.get(slot, 0) / max(1, sizes[slot]) for slot in SLOTS}
    largest = max(each.values())
    return {name: max(1, round(MAX_WEIGHT * each[colour] / largest)) if each[colour] else 0 for name, colour in colours.items()}


def _mark(shares: t.Mapping[str, int]) -> str:
    """What hosts write down of a change that is under way."""
    return "".join(f" {slot}={share}" for slot, share in shares.items()) if len(shares) == len(SLOTS) else ""


def plan_of(deployment: Deployment, host: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """What the tasks of a change of colours need to know: of the change, and which hosts and servers it is about."""
    change = change_of(deployment.settings[SETTING], shares_of(deployment, host))
    colours = colours_of(deployment.placement)
    web = {host.name: colours[host.name] for host in deployment.placement.of_kind("web")}
    both = len(change.after) == len(SLOTS)
    stage = [name for name, colour in web.items() if colour == change.stage]
    return {
        **change.report(deployment.url),
        "hosts": {slot: [name for name, colour in colours.items() if colour == slot] for slot in SLOTS},
        "mark": _mark(change.after),
        # A run that is killed leaves the change under way.
        "mark_meanwhile": _mark(change.after if change.action == "deploy" else change.before),
        "balancers": {"weights": weights_of(change.after, web), "host": change.host, "stage": stage} if both else {},
    }
