# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""The colours of a release in a cluster, as its values say them, and the values that a deployment or a change of colours wants."""

from __future__ import annotations

import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils import _cluster_plan
from ansible_collections.covstack.selfhosted.plugins.module_utils._blue_green import ALL, SETTING, Change, change_of, production_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import SLOTS, Deployment
from ansible_collections.covstack.selfhosted.plugins.module_utils._kubernetes import Slot, first_slot, values_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem, error, warning

Values = t.Dict[str, t.Any]


def shares_of(cluster: t.Mapping[str, t.Any]) -> t.Dict[str, int]:
    """Shares of the requests, as the values of the release that serves say them."""
    slots = (cluster.get("values") or {}).get("slots", {})
    return {name: slots[name]["weight"] for name in SLOTS if name in slots}


def problems(deployment: Deployment) -> t.Iterator[Problem]:
    """Ways into the cluster that cannot share requests out."""
    wanted, given = deployment.settings[SETTING], deployment.settings["codecov_kubernetes"]
    place = "codecov_kubernetes.expose"
    if wanted["action"] != "switch" or wanted["weight"] in (0, ALL):
        return
    if given["expose"] in ("load_balancer", "internal"):
        yield error(place, f"{given['expose']} leads to one colour and knows no shares", f"choose ingress or gateway, or {SETTING}.weight 0 or {ALL}")
    elif given["expose"] == "ingress" and "nginx" not in given["ingress"]["class"]:
        way_out = f"make sure that the controller knows the canary annotations of ingress-nginx; else choose gateway, or {SETTING}.weight 0 or {ALL}"
        yield warning(place, f"shares come true with ingress-nginx, and the class is {given['ingress']['class'] or 'the default one'}", way_out)


def plan_of(deployment: Deployment, cluster: t.Mapping[str, t.Any], changes_colours: bool) -> Values:
    """The plan: of an ordinary deployment, in the colour that serves, or of a change of colours."""
    shares = shares_of(cluster)
    plan = _cluster_plan.plan_of(deployment)
    if not changes_colours:
        slot = production_of(shares) if shares else SLOTS[0]
        return {**plan, "values": {**plan["values"], **_with_slots(deployment, {slot: first_slot(deployment)})}, "slot": slot}
    change = change_of(deployment.settings["codecov_blue_green"], shares)
    values, current = plan["values"], cluster["values"]
    if change.action == "deploy":
        wanted = {**values, **_with_slots(deployment, _beside(deployment, change, current))}
        return {**plan, "values": wanted, "slot": change.slot, "blue_green": {**change.report(deployment.url), "serves": serves(values, change, current)}}
    return {**plan, "values": shared_out(change, current) if current else values, "slot": change.production, "blue_green": change.report(deployment.url)}


def _with_slots(deployment: Deployment, slots: t.Mapping[str, Slot]) -> Values:
    values = values_of(deployment, slots)
    return {name: values[name] for name in ("slots", "jobs")}


def images_in(values: t.Mapping[str, t.Any], slot: str) -> t.Dict[str, t.Dict[str, str]]:
    """Images that a slot runs: those of the services, but for its own."""
    own = values["slots"][slot]["images"]
    return {name: {**service["image"], **own.get(name, {})} for name, service in values["services"].items()}


def _beside(deployment: Deployment, change: Change, current: t.Mapping[str, t.Any]) -> t.Dict[str, Slot]:
    """Production as it is, and the colour that comes beside it, last: it migrates."""
    production, config = change.production, current["slots"][change.production]["config"]
    kept = Slot(ALL, images=images_in(current, production), config_secret=config["secretName"], config_checksum=config["checksum"])
    first = first_slot(deployment)
    return {production: kept, change.slot: Slot(0, host=change.host, config_secret=first.config_secret)}


def serves(values: t.Mapping[str, t.Any], change: Change, current: t.Mapping[str, t.Any]) -> t.Optional[str]:
    """Checksum of the codecov.yml with which production would be what the settings describe; None where its images are others."""
    images = {name: service["image"] for name, service in values["services"].items()}
    return current["slots"][change.production]["config"]["checksum"] if images_in(current, change.production) == images else None


def shared_out(change: Change, current: t.Mapping[str, t.Any]) -> Values:
    """The values of the release, with other shares or without a colour. Nothing is migrated for that, and what the settings say by now does not count."""
    slots = {
        name: {**current["slots"][name], "weight": share, "host": change.host if name == change.stage else ""}
        for name, share in change.after.items()
    }  # fmt: skip
    return {**current, "slots": slots, "jobs": {}}
