# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploads with the real uploader, as CI sends them; what it reported as accepted must be processed in the end."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import pathlib
import secrets
import ssl
import subprocess
import threading
import typing as t
import urllib.error
import urllib.request

from lab import hosts
from lab.shell import ROOT, output

CODECOV_CLI = ROOT / ".cache/codecov-cli/bin/codecovcli"
OWNER, REPOSITORY = "acme", "demo"
SLUG = f"{OWNER}/{REPOSITORY}"
COVERAGE = 75.0  # of the report below
REPORT = "TN:\nSF:app.py\nDA:1,1\nDA:2,1\nDA:3,1\nDA:4,0\nend_of_record\n"
CREATE_REPOSITORY = f"""
from shared.django_apps.codecov_auth.models import Owner
from shared.django_apps.core.models import Repository
owner, _ = Owner.objects.get_or_create(service="github", username="{OWNER}", defaults={{"service_id": "77"}})
repository, _ = Repository.objects.get_or_create(author=owner, name="{REPOSITORY}", defaults=dict(
    service_id="78", private=False, branch="main", active=True, activated=True))
print(repository.upload_token)
"""


class Uploads:
    def __init__(self, host: str, url: str, directory: pathlib.Path, authority: pathlib.Path | None = None) -> None:
        """The authority is that of the URL's certificate, where it is no public one."""
        self.url, self.directory, self.authority = url, directory, authority
        self.tls = ssl.create_default_context(cafile=authority)
        self.accepted: list[str] = []
        self.refused: list[str] = []
        (directory / "lcov.info").write_text(REPORT)
        on_host = ("docker", "exec", hosts.container(host), "docker")
        api = output(*on_host, "ps", "--quiet", "--filter", "label=covstack.service=api").split()[0]
        self.token = output(*on_host, "exec", api, "python", "manage.py", "shell", "-c", CREATE_REPOSITORY).splitlines()[-1]

    def one(self, patience: float = 120) -> None:
        commit = secrets.token_hex(20)
        command = [str(CODECOV_CLI), "--disable-telem", "-u", self.url, "upload-process", "--fail-on-error", "--git-service", "github", "-r", SLUG]
        command += ["-C", commit, "-B", "main", "-f", "lcov.info", "--disable-search"]
        # The token goes through the environment: arguments can be read by every user of the machine.
        environment = {**os.environ, "CODECOV_TOKEN": self.token, **({"REQUESTS_CA_BUNDLE": str(self.authority)} if self.authority else {})}
        try:
            done = subprocess.run(command, cwd=self.directory, env=environment, text=True, capture_output=True, timeout=patience, check=False)
        except subprocess.TimeoutExpired:
            self.refused.append(f"no answer within {patience:.0f} s")
            return
        if done.returncode == 0:
            self.accepted.append(commit)
        else:
            self.refused.append(done.stdout + done.stderr)

    def some(self, number: int) -> None:
        before = len(self.refused)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: self.one(), range(number)))
        assert len(self.refused) == before, self.refused[before:]

    @contextlib.contextmanager
    def one_after_the_other(self, pause: float) -> t.Iterator[None]:
        """As long as the block runs."""
        over = threading.Event()

        def upload() -> None:
            while not over.is_set():
                self.one()
                over.wait(pause)

        thread = threading.Thread(target=upload)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def unprocessed(self) -> dict[str, t.Any]:
        """What was accepted and is not processed to its percentage."""
        return {commit: result for commit in self.accepted if (result := self.result(commit)) != ("complete", COVERAGE)}

    def result(self, commit: str) -> tuple[str, float | None]:
        try:
            place = f"{self.url}/api/v2/github/{OWNER}/repos/{REPOSITORY}/commits/{commit}/"
            with urllib.request.urlopen(place, timeout=10, context=self.tls) as response:
                details = json.load(response)
                return details["state"], (details["totals"] or {}).get("coverage")
        except urllib.error.HTTPError as error:
            return f"HTTP {error.code}", None
