# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The written documentation names what exists, and what exists is documented."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
DOCS = REPOSITORY / "docs"
PAGES = sorted([REPOSITORY / "README.md", *DOCS.rglob("*.md"), *REPOSITORY.glob("roles/*/README.md")])
# The halves of a playbook that one host, several, or a cluster need (deploy_one_host, deploy_split, deploy_cluster) are no verbs of their own.
HALVES = re.compile(r".*_(one_host|split|cluster)")
VERBS = sorted(path.stem for path in (REPOSITORY / "playbooks").glob("*.yml") if not HALVES.fullmatch(path.stem))
# Words that look like settings in prose but are none.
NO_SETTINGS = {"codecov_enterprise", "codecov_plan", "codecov_url", "codecov_internal"}


def page_id(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def anchors(text: str) -> set[str]:
    """Anchors of a page, as GitHub makes them of headings, and those written out."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), flags=re.M)
    slugs = {re.sub(r"[^\w\- ]", "", re.sub(r"<[^>]*>", "", heading)).strip().lower().replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)">', text))


def test_required_pages_exist() -> None:
    wanted = {"strategy_1", "strategy_1_cloud", "configuration", "security", "air_gapped", "testing", "troubleshooting", "architecture", "modules"}
    assert wanted <= {path.stem for path in DOCS.glob("*.md")}


@pytest.mark.parametrize("verb", VERBS)
def test_every_playbook_has_its_page_and_is_listed(verb: str) -> None:
    page = DOCS / "playbooks" / f"{verb}.md"
    assert page.exists(), f"playbooks/{verb}.yml is not documented"
    assert f"ansible-playbook covstack.selfhosted.{verb} -i " in page.read_text()
    assert f"docs/playbooks/{verb}.md" in (REPOSITORY / "README.md").read_text()


def test_every_page_of_a_playbook_has_its_playbook() -> None:
    assert {path.stem for path in (DOCS / "playbooks").glob("*.md")} == set(VERBS)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text):
        link = target[0] or target[1]
        if re.match(r"https?:|mailto:", link):
            continue
        name, _hash, anchor = link.partition("#")
        file = (page.parent / name) if name else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            broken.append(link)
    assert broken == []


def known_settings() -> set[str]:
    """Names of variables of all roles."""
    names: set[str] = set()
    for path in REPOSITORY.glob("roles/*/meta/argument_specs.yml"):
        specs: dict[str, Any] = yaml.safe_load(path.read_text())["argument_specs"]
        for spec in specs.values():
            names |= set(spec.get("options") or {})
    return names


@pytest.mark.parametrize("page", [page for page in PAGES if "roles" not in page.parts], ids=page_id)
def test_pages_name_settings_modules_and_roles_that_exist(page: Path) -> None:
    modules = {path.stem for path in (REPOSITORY / "plugins").glob("*/*.py")}
    roles = {path.name for path in (REPOSITORY / "roles").iterdir()}
    known = known_settings() | modules | roles | NO_SETTINGS
    named = set(re.findall(r"(?<![\w./$-])(codecov_[a-z_]+[a-z])(?![\w/-])", page.read_text()))
    keys_of_codecov_yml = {"codecov_url", "codecov_api_url", "codecov_dashboard_url"}
    assert sorted(named - known - keys_of_codecov_yml) == []


@pytest.mark.parametrize("page", [page for page in PAGES if "roles" not in page.parts], ids=page_id)
def test_yaml_examples_are_yaml_and_set_what_exists(page: Path) -> None:
    settings = known_settings()
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), flags=re.S):
        example = yaml.safe_load(block)
        if isinstance(example, dict):
            unknown = [name for name in example if str(name).startswith("codecov_") and name not in settings]
            assert unknown == []


def test_make_targets_in_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (REPOSITORY / "Makefile").read_text(), flags=re.M))
    named = {name for page in PAGES for name in re.findall(r"(?:^|`)make ([a-z][a-z-]*)", page.read_text(), flags=re.M)}
    assert named and named <= targets


def test_catalogue_versions_in_pages_are_current() -> None:
    """docs/strategy_1.md lists the images that are pinned; a version changed in the catalogue is changed there."""
    page = (DOCS / "strategy_1.md").read_text()
    for name in ("codecov", "codecov_enterprise", "platform"):
        for service in yaml.safe_load((REPOSITORY / "catalogue" / f"{name}.yml").read_text())["services"].values():
            for source in [service, *service.get("variants", {}).values()]:
                if "image" in source:
                    assert f"`{source['image']}:{source['version']}`" in page
