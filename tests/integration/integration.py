# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the integration targets of this checkout on localhost.

    tests/integration/run [TARGET ...]

A target is a role, tests/integration/targets/<name>, as for `ansible-test integration`, and gets the variable
`output_dir`, an empty directory of its own. ansible-test itself is not used because it cannot run a checkout that is
reached through a link, and its containers and installers expect the open internet.

A line `needs/docker` in the target's file `aliases` says that it talks to a Docker engine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TARGETS = REPOSITORY / "tests" / "integration" / "targets"
COLLECTIONS = REPOSITORY / ".ansible" / "collections"
LOGS = REPOSITORY / "tests" / "output" / "integration"
LINES_OF_A_FAILURE = 60


def link_checkout() -> None:
    """Give the checkout the path Ansible expects of a collection (`make venv` creates the same link)."""
    link = COLLECTIONS / "ansible_collections" / "covstack" / "selfhosted"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(REPOSITORY, target_is_directory=True)


def playbook(target: str, output_dir: Path) -> str:
    """The play that runs one target (JSON is YAML)."""
    play = {
        "name": f"Integration target {target}",
        "hosts": "localhost",
        "gather_facts": True,
        "vars": {"output_dir": str(output_dir)},
        "roles": [target],
    }
    return json.dumps([play])


def docker_answers() -> bool:
    return shutil.which("docker") is not None and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def missing_need(target: str) -> str | None:
    """What the target needs and this machine lacks."""
    aliases = TARGETS / target / "aliases"
    if aliases.exists() and "needs/docker" in aliases.read_text().split() and not docker_answers():
        return "it needs a Docker engine, and none answers"
    return None


def run(target: str, log: Path) -> bool:
    """Run one target, its output into the log."""
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_ROLES_PATH": str(TARGETS),
        "ANSIBLE_INJECT_FACT_VARS": "false",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_RETRY_FILES_ENABLED": "false",
    }
    environment.pop("ANSIBLE_CONFIG", None)
    with tempfile.TemporaryDirectory(prefix=f"integration-{target}-") as temporary:
        output_dir = Path(temporary, "output")
        output_dir.mkdir()
        play = Path(temporary, "playbook.yml")
        play.write_text(playbook(target, output_dir))
        command = [
            str(Path(sys.executable).parent / "ansible-playbook"), "--inventory", "localhost,", "--connection", "local",
            "--extra-vars", json.dumps({"ansible_python_interpreter": sys.executable}), str(play),
        ]
        with log.open("w") as stream:
            # The working directory is the temporary one, so that the ansible.cfg of the checkout plays no part.
            return subprocess.run(command, cwd=temporary, env=environment, stdout=stream, stderr=subprocess.STDOUT, check=False).returncode == 0


def passes(target: str) -> bool:
    """Run one target and print its line, and the end of its log when it failed."""
    log = LOGS / f"{target}.log"
    started = time.monotonic()
    reason = missing_need(target)
    passed = reason is None and run(target, log)
    print(f"{'PASS' if passed else 'FAIL'} {target} ({time.monotonic() - started:.1f} s)", flush=True)
    if reason is not None:
        print(f"    {reason}")
    elif not passed:
        print("".join(f"    {line}\n" for line in log.read_text().splitlines()[-LINES_OF_A_FAILURE:]) + f"    whole log: {log}")
    return passed


def main(wanted: list[str]) -> int:
    known = sorted(path.parents[1].name for path in TARGETS.glob("*/tasks/main.yml"))
    unknown = sorted(set(wanted) - set(known))
    if unknown or not known:
        print(f"no such target: {', '.join(unknown)}; there are: {', '.join(known) or 'none'}")
        return 2
    link_checkout()
    LOGS.mkdir(parents=True, exist_ok=True)
    results = [passes(target) for target in wanted or known]
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
