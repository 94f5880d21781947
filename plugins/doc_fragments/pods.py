# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers

from __future__ import annotations


class ModuleDocFragment:
    """Where the application runs, if not in Docker on this host."""

    DOCUMENTATION = r"""
options:
  kubernetes:
    description:
      - The release on a Kubernetes cluster whose pods to work with, instead of containers of Docker on this host.
      - Needs the Python package C(kubernetes) 24.2 or newer, and the permissions to list pods and to run commands in them (C(get) and C(create) of
        C(pods/exec)).
    type: dict
    suboptions:
      kubeconfig:
        description: Path of a kubeconfig. Without it C(KUBECONFIG), then C(~/.kube/config), then the pod's service account.
        type: path
      context:
        description: Context of the kubeconfig.
        type: str
      namespace:
        description: Namespace of the release.
        type: str
        required: true
      release:
        description: Name of the release.
        type: str
        required: true
"""
