# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make `import ansible_collections.covstack.selfhosted...` work in a plain `pytest tests/unit`."""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
COLLECTIONS = REPOSITORY / ".ansible" / "collections"


def _link_checkout() -> None:
    """Give the checkout the path Ansible expects of a collection (`make venv` creates the same link)."""
    link = COLLECTIONS / "ansible_collections" / "covstack" / "selfhosted"
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(REPOSITORY, target_is_directory=True)
    except FileExistsError:
        if link.resolve() != REPOSITORY:
            raise


def _install_collection_loader() -> None:
    """Use Ansible's own import hook: `ansible_collections` is a namespace that it also serves from its site-packages, and from the places in ansible.cfg."""
    from ansible import constants
    from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

    if not any(isinstance(hook, _AnsibleCollectionFinder) for hook in sys.meta_path):
        finder = _AnsibleCollectionFinder(paths=[str(COLLECTIONS), *constants.config.get_config_value("COLLECTIONS_PATHS")])
        finder._install()


_link_checkout()
_install_collection_loader()
