# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""The Python client of Kubernetes, as modules of this collection use it.

Private to this collection.
"""

from __future__ import annotations

import importlib
import json
from typing import Any

from ansible_collections.covstack.selfhosted.plugins.module_utils._engine import EngineError

ACCESS = {
    "kubeconfig": {"type": "path"},
    "context": {"type": "str"},
    "namespace": {"type": "str", "required": True},
    "release": {"type": "str", "required": True},
}

JSON = "application/json"
TIMEOUT = 30.0
FORBIDDEN, MISSING = 403, 404
LONGEST_REASON = 300


class ClusterError(EngineError):
    """The cluster cannot be reached, or refuses; the message is for the user."""


def library(name: str = "kubernetes") -> Any:
    """The client, or a part of it. Only where a cluster is to be asked: it takes a second to import."""
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        reason = f"the Python package kubernetes cannot be used where the tasks run ({problem})"
        raise ClusterError(f"codecov_kubernetes: {reason} -> install 24.2 or newer") from None


def connect(kubeconfig: str | None, context: str | None) -> Any:
    """A client with the credentials of a kubeconfig, or of the pod that this runs in."""
    config = library("kubernetes.config")
    try:
        return config.new_client_from_config(kubeconfig or None, context or None)
    except (config.ConfigException, OSError) as problem:
        if kubeconfig or context:
            raise ClusterError(f"codecov_kubernetes.kubeconfig, codecov_kubernetes.context: {problem}") from None
    try:
        config.load_incluster_config()
    except config.ConfigException:
        raise ClusterError("codecov_kubernetes.kubeconfig: there is no kubeconfig, and this is no pod -> give its path, or set KUBECONFIG") from None
    return library("kubernetes.client").ApiClient()


class Api:
    """Requests to an API server by their paths. Answers are plain data."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._refusal = library("kubernetes.client").ApiException

    def call(self, path: str, method: str = "GET", body: Any = None, content_type: str = JSON, accept: str = JSON, timeout: float = TIMEOUT) -> Any:
        """The answer, or None where there is none, or none for this account."""
        status, answer = self._request(path, method, body, {"Accept": accept, "Content-Type": content_type}, timeout)
        return None if status in (FORBIDDEN, MISSING) else answer

    def look(self, path: str) -> tuple[int, Any]:
        """Status and answer, which is None where the status says that it is not there, or not for this account."""
        return self._request(path, "GET", None, {"Accept": JSON}, TIMEOUT)

    def is_missing(self, path: str) -> bool:
        """Whether the server says that it is not there. What the account may not see may be there."""
        return self.look(path)[0] == MISSING

    def _request(self, path: str, method: str, body: Any, headers: dict[str, str], timeout: float) -> tuple[int, Any]:
        try:
            answer, status, _headers = self._client.call_api(
                path, method, header_params=headers, body=body, auth_settings=["BearerToken"], _preload_content=False, _request_timeout=timeout
            )
        except self._refusal as problem:
            if problem.status in (FORBIDDEN, MISSING):
                return problem.status, None
            raise ClusterError(f"{method} {path}: {problem.status} {reason_of(problem)}") from None
        except Exception as problem:  # those of urllib3 and of credential plugins are many
            raise ClusterError(f"the cluster does not answer: {problem}") from None
        return status, json.loads(answer.data)

    def items(self, path: str, accept: str = JSON, timeout: float = TIMEOUT) -> list[Any] | None:
        """The entries of a list. An API server may say null where there are none."""
        answer = self.call(path, accept=accept, timeout=timeout)
        return None if answer is None else list(answer["items"] or [])


def reason_of(problem: Any) -> str:
    """What the API server says against a request."""
    try:
        return str(json.loads(problem.body)["message"])
    except (ValueError, TypeError, KeyError):
        return str(problem.reason)[:LONGEST_REASON]
