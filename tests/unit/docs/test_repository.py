# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules for all files of the repository."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[3]

# Joined here so that this file does not name them either: hosts of package registries and paths of a development machine.
NEVER_COMMITTED = [
    "py" + "pi.org", "python" + "hosted.org", "registry.npm" + "js.org", "deb.debian" + ".org", "security.debian" + ".org",
    "/wo" + "rk/", "/opt/py" + "pi", "/opt/whe" + "els", "/home/" + "runner",
]
# Connection, magic and special variables. Every other ansible_* name is a fact that only injection would provide.
NO_FACTS = re.compile(
    r"ansible_(facts|become\w*|check_mode|collections?|connection|context|core|diff_mode|docker_\w+|env_vars|failed_\w+|"
    r"host|index_var|inventory\w*|limit|local|loop\w*|managed|module\w*|parent_role\w*|password|play\w*|playbook\w*|port|private_key_file|python_interpreter|"
    r"role_name|run_tags|search_path|shell_\w+|skip_tags|ssh_\w+|test\w*|user|verbosity|version)$"
)
SPDX = "SPDX-License-Identifier: GPL-3.0-or-later"


def repository_files() -> list[Path]:
    """Tracked files, and untracked ones that are not ignored."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=REPOSITORY, check=True, capture_output=True, text=True,
    ).stdout
    return [path for name in sorted(set(listing.split("\0"))) if name and (path := REPOSITORY / name).is_file()]


def relative(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def files_below(*directories: str, suffixes: tuple[str, ...]) -> list[Path]:
    return [path for path in repository_files() if relative(path).split("/", maxsplit=1)[0] in directories and path.suffix in suffixes]


def test_no_registry_host_and_no_machine_path_is_committed() -> None:
    found = [f"{relative(path)}: {name}" for path in repository_files() for name in NEVER_COMMITTED if name in text_of(path)]
    assert found == []


def test_no_injected_facts() -> None:
    found = [
        f"{relative(path)}: {name}"
        for path in files_below("roles", "playbooks", "molecule", "inventories", suffixes=(".yml", ".yaml", ".j2"))
        for name in set(re.findall(r"(?<![\w.'\"\[-])(ansible_\w+)", text_of(path)))
        if not NO_FACTS.fullmatch(name)
    ]
    assert found == []


def test_python_files_state_the_licence_and_their_annotations() -> None:
    sources = [path for path in files_below("plugins", "tools", suffixes=(".py",)) if path.name != "__init__.py"]
    assert len(sources) > 10
    assert [relative(path) for path in sources if SPDX not in text_of(path)] == []
    plugins = files_below("plugins", suffixes=(".py",))
    assert [relative(path) for path in plugins if path.name != "__init__.py" and "from __future__ import annotations" not in text_of(path)] == []


def test_there_are_no_ignore_files_with_entries() -> None:
    for path in (REPOSITORY / "tests" / "sanity").glob("ignore-*.txt"):
        assert path.read_text().strip() == "", f"{path.name} hides failures of ansible-test sanity"
    assert not (REPOSITORY / ".ansible-lint-ignore").exists()


def test_action_group_holds_every_module() -> None:
    runtime = yaml.safe_load((REPOSITORY / "meta" / "runtime.yml").read_text())
    modules = {path.stem for path in (REPOSITORY / "plugins" / "modules").glob("*.py")} - {"__init__"}
    assert set(runtime["action_groups"]["codecov"]) == modules
    assert runtime["requires_ansible"] == ">=2.18.0"


def test_module_without_code_of_its_own_has_an_action() -> None:
    """codecov_plan is an action; its module file carries the documentation."""
    actions = {path.stem for path in (REPOSITORY / "plugins" / "action").glob("*.py")} - {"__init__"}
    modules = {path.stem for path in (REPOSITORY / "plugins" / "modules").glob("*.py")}
    assert actions <= modules


def test_changelog_fragments_are_valid() -> None:
    command = [str(Path(sys.executable).parent / "antsibull-changelog"), "lint"]
    answer = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_version_is_the_same_everywhere() -> None:
    version = yaml.safe_load((REPOSITORY / "galaxy.yml").read_text())["version"]
    released = list(yaml.safe_load((REPOSITORY / "changelogs" / "changelog.yaml").read_text())["releases"])
    assert not released or released[-1] == version


@pytest.mark.parametrize("path", [path for path in repository_files() if os.access(path, os.X_OK) and path.suffix in ("", ".sh")], ids=relative)
def test_scripts_stop_at_errors(path: Path) -> None:
    first, *lines = text_of(path).splitlines()
    if "bash" in first or first.endswith("/sh"):
        assert first.endswith(" -e") or any(re.match(r"\s*set -[a-z]*e", line) for line in lines), "no `set -e`"
