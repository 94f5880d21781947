"""Calls to the git provider (GitHub's API). They happen only where the operator configured a bot."""

from __future__ import annotations

import json
import os
from typing import Any

import certifi
import urllib3

from standin.config import get_config

API_URLS = {"github": "https://api.github.com"}
UNREACHABLE_RETRIES = 2


class ProviderUnreachable(Exception):
    """The application's TorngitServerUnreachableError: the task fails and is not tried again."""


class Provider:
    def __init__(self, service: str, bot_key: str) -> None:
        self._service, self._bot_key = service, bot_key
        url = get_config(service, "url", default="")
        self._api_url = str(get_config(service, "api_url") or API_URLS.get(service) or f"{url}/api/v3").rstrip("/")

    def _client(self) -> urllib3.PoolManager:
        timeouts = get_config("setup", "http", "timeouts", default={})
        timeout = urllib3.Timeout(connect=timeouts.get("connect", 30), read=timeouts.get("receive", 60))
        if get_config(self._service, "verify_ssl") is False:
            return urllib3.PoolManager(cert_reqs="CERT_NONE", timeout=timeout)
        bundle = get_config(self._service, "ssl_pem") or os.environ.get("REQUESTS_CA_BUNDLE") or certifi.where()
        return urllib3.PoolManager(cert_reqs="CERT_REQUIRED", ca_certs=bundle, timeout=timeout)

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """The answer as JSON, or None for any error that the provider itself reports."""
        headers = {"Authorization": f"token {self._bot_key}", "Accept": "application/json", "User-Agent": "Default"}
        retries = urllib3.Retry(total=UNREACHABLE_RETRIES, connect=0, status=0, redirect=3)
        try:
            response = self._client().request(method, f"{self._api_url}{path}", headers=headers, retries=retries, body=json.dumps(body) if body else None)
        except urllib3.exceptions.HTTPError as error:
            raise ProviderUnreachable(f"{self._service} was not able to be reached: {error}") from error
        if response.status >= 300:
            return None
        parsed = json.loads(response.data or b"{}")
        return parsed if isinstance(parsed, dict) else {}


def provider_of(service: str) -> Provider | None:
    """None without a bot: then coverage is processed without asking anybody."""
    key = get_config(service, "bot", "key")
    return Provider(service, key) if key else None
