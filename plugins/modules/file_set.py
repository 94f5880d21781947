#!/usr/bin/python
# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: file_set
short_description: Keep a set of files in one directory as one unit
version_added: 0.1.0
author:
  - The covstack.selfhosted maintainers (@covstack)
description:
  - Writes, compares and retracts all files of a component in one call. What the set no longer names, but this module once wrote, is removed;
    other files in the directory are never touched.
  - The contents may name secrets as C(${secret:NAME}). They are filled in on the host, from O(secrets_path). The values never
    pass through the controller, and neither the diff nor the result ever contains one.
  - Every file is replaced atomically, with its final mode and owner. An interrupted run leaves each file either old or new, and the next run finishes the work.
requirements:
  - PyYAML on the host, only when a content names a secret (C(python3-yaml), which the role P(covstack.selfhosted.docker_engine#role) installs)
options:
  directory:
    description:
      - The directory that holds the set. It is created when it is missing.
      - No path of the set may leave it, neither by C(..) nor by a symbolic link.
    type: path
    required: true
  files:
    description:
      - The files by their path below O(directory). Each value is a mapping.
      - "C(content) (string) is the text, in which C(${secret:NAME}) is replaced. Every other dollar sign stays as it is."
      - "C(content_base64) (string) holds bytes that are written as they are. A file has one of C(content), C(content_base64) and C(source)."
      - "C(source) (string) is the absolute path of a file on the host, of which the file becomes a copy. Its content is never shown. In check mode
        a missing one counts as one that would be created earlier in the same play."
      - "C(mode) (string) is octal, for example V('0640'). The default is V('0644'), and V('0600') for a C(source) and for a content that names a
        secret; the latter must not be readable by everyone."
      - "C(owner) and C(group) (string) are names or numbers. Files are created as the user that the module runs as; without these keys the
        ownership of a file that is there already is kept."
      - "C(retract) (boolean, default V(true)): V(false) leaves the file in place, and forgets it, when the set no longer names it."
      - An empty mapping retracts every file that was written before.
    type: dict
    required: true
  directories:
    description:
      - Directories below O(directory) by path, C(.) being O(directory) itself. Each value is a mapping with C(mode) (string, default V('0755')),
        C(owner) and C(group), all optional.
      - Directories that files need are created anyway. A directory that this module created is removed again when the
        set no longer needs it and it is empty.
    type: dict
    default: {}
  secrets_path:
    description:
      - YAML file on the host that maps the names of secrets to their values.
      - In check mode a missing file, or a missing name, counts as one that would be created earlier in the same play.
    type: path
  manifest:
    description:
      - Name of the file in O(directory) in which this module remembers what it wrote.
      - Give each set a name of its own when several sets share a directory.
    type: str
    default: .covstack-manifest.json
  journal:
    description:
      - A line about the change, for a log of changes on the host. It is appended before the first file is written or removed, so that a run that is
        killed leaves it, too; where nothing changes, no line is.
    type: dict
    suboptions:
      file:
        description: Path of the log below O(directory). It is created when it is missing, and is no part of the set.
        type: str
        required: true
      line:
        description: What is written, on one line, after the time (UTC, ISO 8601).
        type: str
        required: true
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
    details:
      - Also on a host where neither the directory nor the secrets exist yet.
  diff_mode:
    support: full
    details:
      - A copy of a C(source) is shown by its digest, secrets as the references C(${secret:NAME}). When a file with secrets was changed by hand
        on the host, lines that the set does not know are shown as hidden.
  platform:
    platforms: posix
notes:
  - The module is idempotent.
  - A file that was there before, at a path of the set, belongs to the set from then on.
seealso:
  - module: ansible.builtin.copy
"""

EXAMPLES = r"""
- name: Write the configuration of a service, and remove what it no longer has
  covstack.selfhosted.file_set:
    directory: /opt/codecov/platform
    secrets_path: /opt/codecov/secrets.yml
    files:
      compose.yml:
        content: |
          services: {}
      secrets/postgres_password:
        content: ${secret:postgres_password}
        mode: '0400'
        owner: '999'
    directories:
      secrets:
        mode: '0750'

- name: Let another file decide, and leave a line about it
  covstack.selfhosted.file_set:
    directory: /opt/codecov
    manifest: .covstack-active.json
    journal:
      file: audit.log
      line: jane switches to release 2
    files:
      edge/dynamic/active.yml:
        content: "# release 2"

- name: Retract everything that was written there
  covstack.selfhosted.file_set:
    directory: /opt/codecov/platform
    files: {}
"""

RETURN = r"""
changed_files:
  description: Paths (below O(directory)) of files whose content, mode or owner changed or would change.
  returned: success
  type: list
  elements: str
  sample: [compose.yml]
changed_directories:
  description: Paths (below O(directory)) of directories that were created or whose mode or owner changed.
  returned: success
  type: list
  elements: str
  sample: [secrets]
removed_files:
  description: Paths (below O(directory)) of files that were removed, because they are no longer in the set.
  returned: success
  type: list
  elements: str
  sample: [old.conf]
removed_directories:
  description: Paths (below O(directory)) of directories that were removed, because nothing is left in them.
  returned: success
  type: list
  elements: str
  sample: [old.d]
digests:
  description:
    - SHA-256 of each file of the set, as it is on the host with its secrets.
    - The value is V(null) in check mode when a secret of the file is not known yet.
  returned: success
  type: dict
  sample: {"compose.yml": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.covstack.selfhosted.plugins.module_utils._file_set import FileSet, FileSetError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "files": {"type": "dict", "required": True},
            "directories": {"type": "dict", "default": {}},
            "secrets_path": {"type": "path", "no_log": False},
            "manifest": {"type": "str", "default": ".covstack-manifest.json"},
            "journal": {"type": "dict", "options": {"file": {"type": "str", "required": True}, "line": {"type": "str", "required": True}}},
        },
        supports_check_mode=True,
    )
    try:
        result = FileSet(module, module.params).run()
    except FileSetError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'The host'}: {error.strerror}.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
