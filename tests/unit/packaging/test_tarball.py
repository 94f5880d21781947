# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection as users get it: built, installed without a network, and usable from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest
import yaml
from ansible_collections.covstack.selfhosted.tests.unit.chart import chart
from ansible_collections.covstack.selfhosted.tests.unit.chart.combinations import values

REPOSITORY = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
# What the installed collection consists of. Anything else in the tarball is an accident.
SHIPPED = {
    "CHANGELOG.md", "COPYING", "FILES.json", "LICENSES", "MANIFEST.json", "README.md", "catalogue", "changelogs", "charts", "docs", "inventories", "meta",
    "playbooks", "plugins", "roles",
}
# What the example inventories take from the environment of the operator.
OPERATOR = {
    "CODECOV_LICENSE": "an-example-licence",
    "CODECOV_GITHUB_CLIENT_SECRET": "an-example-client-secret",
    "CODECOV_POSTGRES_PASSWORD": "an-example-password",
    "CODECOV_STORAGE_ACCESS_KEY": "an-example-access-key",
    "CODECOV_STORAGE_SECRET_KEY": "an-example-secret-key",
}
PLAN_AND_COMPARE = """\
- name: Plan the deployment of an example inventory
  hosts: codecov
  gather_facts: false
  vars:
    __codecov_host_checks: false  # this machine is not the host that shall carry it
  roles:
    - role: covstack.selfhosted.codecov
  tasks:
    - name: Compare what the deployment does not run itself
      ansible.builtin.assert:
        that: codecov_plan.external | sort == external | sort
"""
VERBS = sorted(path.stem for path in (REPOSITORY / "playbooks").glob("*.yml"))
PLUGINS = {
    kind: sorted(path.stem for path in (REPOSITORY / "plugins" / directory).glob("*.py") if path.stem != "__init__")
    for kind, directory in (("module", "modules"), ("filter", "filter"))
}


def run(command: list[str], cwd: Path, collections: Path | None = None) -> str:
    """Run a program of this Python's environment away from the checkout; its output, or a failure that shows it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment["PATH"] = f"{BIN}{os.pathsep}{environment['PATH']}"
    environment.update(OPERATOR)
    if collections is not None:
        environment["ANSIBLE_COLLECTIONS_PATH"] = str(collections)
    answer = subprocess.run([str(BIN / command[0]), *command[1:]], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("build")
    run(["ansible-galaxy", "collection", "build", "--output-path", str(output), str(REPOSITORY)], output)
    (result,) = output.glob("covstack-selfhosted-*.tar.gz")
    return result


@pytest.fixture(scope="module")
def installed(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of collections that holds only the installed tarball (its dependency comes with the PyPI package ansible)."""
    collections = tmp_path_factory.mktemp("collections")
    run(["ansible-galaxy", "collection", "install", "--offline", "--no-deps", "--collections-path", str(collections), str(tarball)], collections)
    return collections


def test_tarball_holds_the_collection_and_nothing_else(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        names = {name.split("/")[0] for name in archive.getnames()}
        size = sum(member.size for member in archive.getmembers())
    assert names <= SHIPPED
    assert names >= SHIPPED - {"CHANGELOG.md"}
    assert size < 5_000_000


def test_manifest_says_what_the_collection_is(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        manifest = archive.extractfile("MANIFEST.json")
        assert manifest is not None
        info = json.load(manifest)["collection_info"]
    assert (info["namespace"], info["name"], info["license"]) == ("covstack", "selfhosted", ["GPL-3.0-or-later"])


def test_dependencies_at_hand_are_in_the_declared_range(tmp_path: Path) -> None:
    """ansible-galaxy itself compares the versions of the collections that the PyPI package ansible brought."""
    from ansible.galaxy.dependency_resolution.versioning import meets_requirements

    dependencies = yaml.safe_load((REPOSITORY / "galaxy.yml").read_text())["dependencies"]
    listing = json.loads(run(["ansible-galaxy", "collection", "list", "--format", "json"], tmp_path))
    versions = {name: details["version"] for collections in listing.values() for name, details in collections.items()}
    assert {name: versions[name] for name, wanted in dependencies.items() if not meets_requirements(versions[name], wanted)} == {}


@pytest.mark.parametrize("kind", PLUGINS)
def test_every_plugin_documents_itself_once_installed(kind: str, installed: Path, tmp_path: Path) -> None:
    names = [f"covstack.selfhosted.{name}" for name in PLUGINS[kind]]
    documentation = json.loads(run(["ansible-doc", "--type", kind, "--json", *names], tmp_path, installed))
    assert names and set(documentation) == set(names)
    for name, page in documentation.items():
        assert str(installed) in page["doc"]["filename"], name


def test_playbooks_are_found_and_valid_once_installed(installed: Path, tmp_path: Path) -> None:
    inventory = REPOSITORY / "inventories" / "strategy_1"
    playbooks = [f"covstack.selfhosted.{verb}" for verb in VERBS]
    output = run(["ansible-playbook", *playbooks, "-i", str(inventory), "--syntax-check"], tmp_path, installed)
    assert [verb for verb in VERBS if f"playbooks/{verb}.yml" not in output] == []


def test_documentation_of_modules_and_roles_is_valid(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Markup, and references to options, return values, modules and roles of this collection."""
    # It copies the dependencies as git lists them, which are none of the files of an environment that the checkout ignores.
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", sysconfig.get_path("purelib"))
    collection = installed / "ansible_collections" / "covstack" / "selfhosted"
    run(["antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", "--validate-collection-refs", "self", str(collection)], tmp_path)


@pytest.mark.parametrize(("inventory", "external"), [("strategy_1", []), ("strategy_1_cloud", ["postgres", "redis", "storage"]), ("strategy_2", [])])
def test_example_inventory_is_planned_without_a_problem(inventory: str, external: list[str], installed: Path, tmp_path: Path) -> None:
    playbook = tmp_path / "plan.yml"
    playbook.write_text(PLAN_AND_COMPARE)
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "external": external}
    output = run(
        ["ansible-playbook", str(playbook), "-i", str(REPOSITORY / "inventories" / inventory), "--extra-vars", json.dumps(local)], tmp_path, installed,
    )
    assert "failed=0" in output


@pytest.mark.parametrize("helm", chart.HELMS)
def test_the_chart_renders_the_same_once_installed_and_once_packaged(helm: str, installed: Path, tmp_path: Path) -> None:
    """It has a link to a file of the plugins."""
    there = installed / "ansible_collections" / "covstack" / "selfhosted" / "charts" / "codecov"
    subprocess.run([chart.REPOSITORY / ".cache" / "helm" / helm / "helm", "package", there, "--destination", tmp_path], check=True, capture_output=True)
    [package] = tmp_path.glob("codecov-*.tgz")
    rendered = [chart.run(helm, "template", "codecov", str(place), values=values()) for place in (chart.CHART, there, package)]
    assert "def main" in rendered[0]
    assert rendered[0] == rendered[1] == rendered[2]
