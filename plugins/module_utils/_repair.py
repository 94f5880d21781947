# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Have lost uploads processed again: finds the container to work in, and runs the container probe's repair there.

Private to this collection.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ansible_collections.covstack.selfhosted.plugins.module_utils._engine import PROBE_PATH, Container, Engine, EngineError
from ansible_collections.covstack.selfhosted.plugins.module_utils._engines import engine_of

# Beyond waiting: finding, asking the workers, asking the storage about each upload.
WORKING_TIME = 300.0


def choose(containers: Sequence[Container], slot: str | None) -> Container | None:
    """A container of the application, healthy before starting, web before worker (whose memory belongs to its tasks)."""
    able = [container for container in containers if container.running and container.has_probe and (not slot or container.slot == slot)]
    able.sort(key=lambda container: (container.health not in (None, "healthy"), container.service == "worker", container.name))
    return able[0] if able else None


def command_of(options: dict[str, Any], check_mode: bool) -> list[str]:
    command = [options["python"], PROBE_PATH, "repair", "--json", f"--older-than={options['older_than']}", f"--wait={options['wait']}",
               f"--limit={options['limit']}"]
    command += [f"--queue={options['queue']}"] if options["queue"] else []
    command += ["--give-up"] if options["give_up"] else []
    return command + (["--dry-run"] if check_mode else [])


def changes(document: dict[str, Any], give_up: bool) -> bool:
    counts = document["counts"]
    return bool(counts["resent"] or counts["restored"] or (give_up and counts["unrecoverable"]))


def run(engine: Engine, options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """The probe's report. Raises EngineError with a message for the user."""
    container = choose(engine.containers(options["deployment"]), options["slot"])
    if container is None:
        where = f" in slot {options['slot']}" if options["slot"] else ""
        raise EngineError(f"No running container of the deployment {options['deployment']!r}{where} has the probe. Start the deployment first.")
    output = engine.execute(container, command_of(options, check_mode), WORKING_TIME + options["wait"])
    try:
        document: dict[str, Any] = json.loads(output.stdout)
    except ValueError:
        reason = " ".join((output.stderr or output.stdout).split())[-300:]
        raise EngineError(f"The repair did not run in {container.name}: {reason}") from None
    if "error" in document:
        problem = document["error"]
        detail = f" ({problem['detail']})" if problem["detail"] else ""
        raise EngineError(f"Nothing was repaired, because {problem['cause']}{detail}. What to do: {problem['remedy']}.")
    return document


def main_of(module: Any) -> None:
    """The module: options in, result out."""
    options = module.params
    try:
        document = run(engine_of(options), options, module.check_mode)
    except EngineError as error:
        module.fail_json(msg=str(error))
        return
    module.exit_json(changed=changes(document, options["give_up"]), uploads=document["uploads"], counts=document["counts"],
                     still_started=document["still_started"])
