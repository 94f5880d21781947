# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Calls to AWS: authentication, endpoint and retries are those of the collection amazon.aws.

Private to this collection.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code  # type: ignore[import-untyped]
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule  # type: ignore[import-untyped]
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry  # type: ignore[import-untyped]
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_engine import ApplyError, Resource

POLL_S = 10.0


class Aws:
    """The services of one account in one region."""

    def __init__(self, module: AnsibleAWSModule, timeout_s: int) -> None:
        self.module = module
        self.timeout_s = timeout_s
        self.region = str(module.region)
        self._clients: t.Dict[str, t.Any] = {}

    def client(self, service: str) -> t.Any:
        if service not in self._clients:
            self._clients[service] = self.module.client(service, retry_decorator=AWSRetry.jittered_backoff(retries=6, max_delay=20))
        return self._clients[service]

    def call(self, service: str, operation: str, **arguments: t.Any) -> t.Dict[str, t.Any]:
        return getattr(self.client(service), operation)(aws_retry=True, **arguments)

    def ask(self, service: str, operation: str, missing: t.Sequence[str], **arguments: t.Any) -> t.Optional[t.Dict[str, t.Any]]:
        """The answer, or None where the error code says that there is no such thing."""
        try:
            return self.call(service, operation, **arguments)
        except is_boto3_error_code(list(missing)):
            return None

    def sees(self, service: str, operation: str, **arguments: t.Any) -> t.Optional[bool]:
        """Whether there is such a thing; None where we may not know, since it is somebody else's."""
        try:
            return self.ask(service, operation, ["404", "NotFound", "NoSuchBucket"], **arguments) is not None
        except is_boto3_error_code(["403", "Forbidden", "AccessDenied"]):
            return None

    def pages(self, service: str, operation: str, key: str, **arguments: t.Any) -> t.List[t.Any]:
        """All elements of a list that may come in pages."""
        client = self.client(service)
        if not client.can_paginate(operation):
            return self.call(service, operation, **arguments).get(key) or []
        return [element for page in client.get_paginator(operation).paginate(**arguments) for element in page.get(key) or []]

    def until(self, resource: Resource, ready: t.Callable[[], bool]) -> None:
        """Ask until it is so, or the time is up."""
        deadline = time.monotonic() + self.timeout_s
        while not ready():
            if time.monotonic() > deadline:
                raise ApplyError(f"{resource.title} is not ready after {self.timeout_s} s (wait_timeout). AWS goes on with it; run again later.")
            time.sleep(POLL_S)


class AwsResource(Resource):
    """A resource of AWS."""

    def __init__(self, aws: Aws, name: str, tags: t.Mapping[str, str], needs: t.Iterable[t.Optional[Resource]] = ()) -> None:
        super().__init__(name, tags, needs)
        self.aws = aws


def tag_list(tags: t.Mapping[str, str]) -> t.List[t.Dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def tag_dict(tags: t.Optional[t.Iterable[t.Mapping[str, str]]]) -> t.Dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in tags or []}
