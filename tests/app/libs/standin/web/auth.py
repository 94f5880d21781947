"""Who may upload to which repository."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from standin.config import get_config
from standin.uploads import SERVICES, Repository, repository_by_slug, repository_by_token
from standin.web.http import HttpError, Request

SEPARATOR = "::::"
NOT_FOUND = ["Repository not found"]
TOKENLESS = {"detail": "Not valid tokenless upload"}


def global_tokens() -> dict[str, str]:
    """Token to provider. The same token for two providers counts for one of them only, as in the application."""
    services = dict.fromkeys(SERVICES.values())
    tokens = {get_config(service, "global_upload_token"): service for service in services}
    return {str(token): service for token, service in tokens.items() if token}


def is_uuid(text: str | None) -> bool:
    try:
        UUID(text or "")
    except ValueError:
        return False
    return True


def find(cursor: Any, service: str, slug: str) -> Repository | None:
    owner, separator, name = slug.rpartition(SEPARATOR)
    # Groups of GitLab are owners of owners, joined by ":::".
    return repository_by_slug(cursor, SERVICES.get(service, ""), owner.replace(":::", ":"), name) if separator else None


def authorize(cursor: Any, request: Request, service: str, slug: str, branch: str | None = None) -> Repository:
    """The repository of the path, if this request may upload to it; the order of the checks is the application's."""
    repository = find(cursor, service, slug)
    if repository and not repository.private and not repository.token_required:
        return repository
    token = request.token
    if token and (configured := global_tokens().get(token)):
        repository = find(cursor, configured, slug)
        if repository is None:
            raise HttpError(401, {"detail": "Could not find a repository, try using repo upload token"})
        return repository
    owner_of_token = repository_by_token(cursor, token) if token and is_uuid(token) else None
    if owner_of_token is None:
        return _without_token(repository, branch)
    if repository is None:
        raise HttpError(400, NOT_FOUND)
    if owner_of_token.repoid != repository.repoid:
        raise HttpError(403, {"detail": "You do not have permission to perform this action."})
    return repository


def _without_token(repository: Repository | None, branch: str | None) -> Repository:
    """Only for a fork's branch ("fork:branch") of a public repository."""
    if repository is None or repository.private or ":" not in (branch or ""):
        raise HttpError(401, TOKENLESS)
    return repository
