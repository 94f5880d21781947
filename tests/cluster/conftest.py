# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checkout as the collection, by Ansible's own import hook, for tests that import its code."""

from __future__ import annotations

import sys

from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

from cluster.harness import REPOSITORY

if not any(isinstance(hook, _AnsibleCollectionFinder) for hook in sys.meta_path):
    _AnsibleCollectionFinder(paths=[str(REPOSITORY / ".ansible" / "collections")])._install()
