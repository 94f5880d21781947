# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""The colours on a host, as codecov_host_info found them, and the route that a change of colours wants there."""

from __future__ import annotations

import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils._blue_green import ALL, Change, change_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import Deployment
from ansible_collections.covstack.selfhosted.plugins.module_utils._edge import active_header, active_route, colours_route
from ansible_collections.covstack.selfhosted.plugins.module_utils._platform_files import to_yaml


def shares_of(_deployment: Deployment, host: t.Mapping[str, t.Any]) -> t.Dict[str, int]:
    """Shares of the requests, as the route says them, of the colours that are there: a stage that was refused has left no container."""
    there, releases = host["deployment"], releases_of(host)
    shares = dict(there["shares"]) or ({there["active"]["slot"]: ALL} if there["active"] else {})
    return {slot: share for slot, share in shares.items() if slot in releases}


def releases_of(host: t.Mapping[str, t.Any]) -> t.Dict[str, str]:
    """Which release the containers of each slot are of, {slot: release}."""
    there = host["deployment"]
    found = {container["slot"]: container["release"] for container in there["containers"] if container["slot"] and not container["one_off"]}
    return {**found, **({there["active"]["slot"]: there["active"]["release"]} if there["active"] else {})}


def plan_of(deployment: Deployment, host: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """What the tasks of a change of colours need to know. Plain data."""
    change, releases = change_of(deployment.settings["codecov_blue_green"], shares_of(deployment, host)), releases_of(host)
    return {**change.report(deployment.url), "releases": releases, "route": route_of(deployment, change, releases)}


def route_of(deployment: Deployment, change: Change, releases: t.Mapping[str, str]) -> str:
    """The file of the active route: the ordinary one where one colour is left."""
    slot = change.production
    route, shares = (active_route(deployment, slot), None) if len(change.after) == 1 else (colours_route(deployment, change), change.after)
    return active_header(slot, releases.get(slot, ""), shares) + to_yaml(route)
