# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each check, well and with the faults that it names."""

from __future__ import annotations

import base64
import copy
import http.server
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from email.utils import formatdate
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from conftest import ProbeRun
from servers import BUCKET, SECRET_KEY, Deployment, Process, Redis, free_port, program, wait_for

DEPENDENCIES = ("postgres", "redis", "storage", "timescale", "scm", "queue", "stuck_uploads", "clock", "license", "inside_url")


def make_license(days: int) -> str:
    from Crypto.Cipher import AES

    expires = datetime.now(timezone.utc) + timedelta(days=days, hours=1)
    plain = json.dumps({"company": "Example", "expires": expires.strftime("%Y-%m-%d %H:%M:%S"), "users": 50}).encode()
    padding = 16 - len(plain) % 16
    vector = os.urandom(16)
    cipher = AES.new(bytes.fromhex("fbe91b3460ffe2a1fae3d0f98da6257f"), AES.MODE_CBC, vector)
    return base64.b64encode(vector + cipher.encrypt(plain + bytes([padding]) * padding)).decode()


@pytest.fixture()
def config(deployment: Deployment) -> dict[str, Any]:
    content = copy.deepcopy(deployment.config())
    content["setup"]["enterprise_license"] = make_license(100)
    content["github"] = {}
    return content


@contextmanager
def web_server(status: int = 200, headers: dict[str, str] | None = None, body: bytes = b"") -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_all_well(probe: ProbeRun, config: dict[str, Any], api: Process) -> None:
    results = probe.check(*DEPENDENCIES, config=config)
    states = {name: result["state"] for name, result in results.items()}
    # The test server of Redis keeps nothing on disk, which the check says.
    assert states == {**dict.fromkeys(DEPENDENCIES, "ok"), "redis": "warning", "timescale": "skipped", "scm": "skipped"}
    assert "appendonly is off" in results["redis"]["cause"]
    assert all(result["proves"] and result["latency_ms"] >= 0 for result in results.values())


def test_a_command_runs_after_a_check_that_is_well(probe: ProbeRun, config: dict[str, Any]) -> None:
    done = probe("check", "postgres", "redis", "--minimum-redis=6", "--", "sh", "-ec", "echo \"after $1\"; exit 3", "sh", "-- it", config=config)
    assert done.returncode == 3
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [["ok", "postgres"], ["warning", "redis"]]
    assert lines[-1] == "after -- it"


def test_no_command_runs_after_a_check_that_failed(probe: ProbeRun, config: dict[str, Any]) -> None:
    done = probe("check", "postgres", "--minimum-postgres=99", "--", "echo", "after", config=config)
    assert done.returncode == 1
    assert "is older than 99 -> upgrade PostgreSQL" in done.stdout and "after" not in done.stdout
    refused = probe("worker", "--", "echo", "after")
    assert refused.returncode == 2 and "takes no command" in refused.stderr


def test_what_the_command_does_not_need_is_asked_afterwards(probe: ProbeRun, config: dict[str, Any]) -> None:
    def run(*script: str) -> tuple[int, list[str]]:
        done = probe("check", "postgres", "--afterwards=storage", "--", "sh", "-ec", *script, config=config)
        return done.returncode, [" ".join(line.split()[:2]) for line in done.stdout.splitlines()]

    assert run("echo migrated") == (0, ["ok postgres", "migrated", "ok storage"])
    assert run("echo broken; exit 3") == (3, ["ok postgres", "broken"])
    config["services"]["minio"]["bucket"] = "missing"
    assert run("echo migrated") == (1, ["ok postgres", "migrated", "failed storage"])


def test_a_stop_reaches_the_command_that_something_is_asked_after(probe: ProbeRun, config: dict[str, Any]) -> None:
    script = "trap 'exit 5' TERM; kill -TERM $PPID; while :; do sleep 0.1; done"
    done = probe("check", "postgres", "--afterwards=storage", "--", "sh", "-c", script, config=config)
    assert done.returncode == 5 and "storage" not in done.stdout


def test_waiting_for_a_service_that_is_starting(probe: ProbeRun, config: dict[str, Any], tmp_path: Path) -> None:
    """It is well as soon as the service answers; what cannot pass by itself is not waited for."""
    late = Redis(tmp_path / "late")
    late.stop()
    config["services"]["redis_url"] = late.url
    assert probe.check("redis", config=config)["redis"]["cause"].endswith("refused the connection")
    threading.Timer(1.5, late.start).start()
    started = time.monotonic()
    try:
        assert probe.check("redis", config=config, options=("--wait=30",))["redis"]["state"] == "warning"
        assert 1 < time.monotonic() - started < 15
        started = time.monotonic()
        results = probe.check("postgres", "redis", config=config, options=("--wait=30", "--minimum-postgres=99"))
        assert (results["postgres"]["state"], results["redis"]["state"]) == ("failed", "warning")
        assert time.monotonic() - started < 15
    finally:
        late.stop()


def test_text_for_people(probe: ProbeRun, config: dict[str, Any]) -> None:
    config["services"]["redis_url"] = f"redis://127.0.0.1:{free_port()}"
    done = probe("check", "postgres", "redis", config=config)
    assert done.returncode == 1
    assert done.stdout.startswith("ok       postgres")
    assert "failed   redis" in done.stdout and "refused the connection -> start Redis" in done.stdout


class TestConfiguration:
    @pytest.mark.parametrize(("content", "cause"), [
        ("", "holds NoneType instead of a mapping"),
        ("- a\n", "holds list instead of a mapping"),
        ("a:\n  b: c\n d", "is not YAML (line"),
    ])
    def test_a_file_with_which_the_application_does_not_start(self, probe: ProbeRun, content: str, cause: str) -> None:
        assert cause in probe.check("postgres", config=content)["config"]["cause"]

    def test_environment_overrides_the_file(self, probe: ProbeRun, config: dict[str, Any]) -> None:
        result = probe.check("redis", config=config, SERVICES__REDIS_URL=f"redis://127.0.0.1:{free_port()}")["redis"]
        assert "refused the connection" in result["cause"]

    def test_nothing_printed_contains_a_secret(self, probe: ProbeRun, config: dict[str, Any]) -> None:
        """Also where an error message of a library would."""
        config["services"]["database_url"] = "postgresql://codecov:Geheim-7391@127.0.0.1:1x/db"
        config["services"]["redis_url"] = f"redis://:Geheim-7392@127.0.0.1:{free_port()}"
        config["services"]["minio"]["secret_access_key"] = "Geheim-7393"
        config["setup"]["enterprise_license"] = "Geheim-7394"
        config["setup"]["encryption_secret"] = "Geheim-7395"
        done = probe("check", *DEPENDENCIES, "--json", config=config)
        assert done.returncode == 1
        assert "Geheim" not in done.stdout + done.stderr


class TestPostgres:
    @staticmethod
    def failed(probe: ProbeRun, config: dict[str, Any], url: str, *options: str) -> dict[str, Any]:
        config["services"]["database_url"] = url
        result = probe.check("postgres", config=config, options=options)["postgres"]
        assert result["state"] == "failed", result
        return result

    def test_refused(self, probe: ProbeRun, config: dict[str, Any]) -> None:
        assert "refused the connection" in self.failed(probe, config, f"postgresql://codecov:x@127.0.0.1:{free_port()}/postgres")["cause"]

    def test_unknown_name(self, probe: ProbeRun, config: dict[str, Any]) -> None:
        assert "does not resolve" in self.failed(probe, config, "postgresql://codecov:x@postgres.invalid/postgres")["cause"]

    def test_unknown_database(self, probe: ProbeRun, config: dict[str, Any], deployment: Deployment) -> None:
        assert self.failed(probe, config, deployment.postgres.url.replace("/postgres", "/nowhere"))["cause"] == "the database does not exist"

    def test_too_old(self, probe: ProbeRun, config: dict[str, Any], deployment: Deployment) -> None:
        assert "is older than 99" in self.failed(probe, config, deployment.postgres.url, "--minimum-postgres=99")["cause"]

    def test_role_without_rights(self, probe: ProbeRun, config: dict[str, Any], deployment: Deployment) -> None:
        """An empty database of somebody else: the migrations would fail in the middle."""
        connection = psycopg2.connect(deployment.postgres.url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("DROP DATABASE IF EXISTS bare")
            cursor.execute("DROP ROLE IF EXISTS weak")
            cursor.execute("CREATE ROLE weak LOGIN")
            cursor.execute("CREATE DATABASE bare")
        inside = psycopg2.connect(deployment.postgres.url.replace("/postgres", "/bare"))
        with inside, inside.cursor() as cursor:
            cursor.execute("REVOKE ALL ON SCHEMA public FROM public")
        inside.close()
        url = deployment.postgres.url.replace("codecov:unused", "weak:x").replace("/postgres", "/bare")
        result = self.failed(probe, config, url)
        assert "uuid-ossp is not there and this role may not create it" in result["cause"]
        assert "may not create tables" in result["cause"]
        with connection.cursor() as cursor:
            cursor.execute("GRANT CREATE ON DATABASE bare TO weak")
        inside = psycopg2.connect(deployment.postgres.url.replace("/postgres", "/bare"))
        with inside, inside.cursor() as cursor:
            cursor.execute("GRANT CREATE ON SCHEMA public TO weak")
        inside.close()
        config["services"]["database_url"] = url
        # These extensions are trusted: who may create in the database may create them.
        assert probe.check("postgres", config=config)["postgres"]["state"] == "ok"

    def test_read_only(self, probe: ProbeRun, config: dict[str, Any]) -> None:
        result = probe.check("postgres", config=config, PGOPTIONS="-c default_transaction_read_only=on")["postgres"]
        assert "read-only" in result["cause"]

    def test_password_that_is_read_in_two_ways(self, probe: ProbeRun, config: dict[str, Any], deployment: Deployment) -> None:
        config["services"]["database_url"] = deployment.postgres.url.replace(":unused@", ":un%75sed@")
        result = probe.check("postgres", config=config)["postgres"]
        assert (result["state"], "percent sign" in result["cause"]) == ("warning", True)

    def test_empty_database_before_the_first_migration(self, probe: ProbeRun, config: dict[str, Any], deployment: Deployment) -> None:
        connection = psycopg2.connect(deployment.postgres.url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("DROP DATABASE IF EXISTS empty")
            cursor.execute("CREATE DATABASE empty")
        connection.close()
        config["services"]["database_url"] = deployment.postgres.url.replace("/postgres", "/empty")
        results = probe.check("postgres", "stuck_uploads", config=config)
        assert (results["postgres"]["state"], results["stuck_uploads"]["state"]) == ("ok", "skipped")


@contextmanager
def redis_process(directory: Path, *options: str) -> Iterator[tuple[int, Process]]:
    port = free_port()
    process = Process([program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory), *options], directory / "log")
    try:
        wait_for(lambda: "Ready to accept connections" in process.output(), "Redis")
        yield port, process
    finally:
        process.stop(signal.SIGKILL)


class TestRedis:
    @pytest.mark.parametrize(("options", "userinfo", "state", "cause"), [
        (("--appendonly", "yes"), "", "ok", ""),
        (("--appendonly", "yes", "--requirepass", "right"), ":right@", "ok", ""),
        (("--requirepass", "right"), ":wrong@", "failed", "rejects the password"),
        (("--requirepass", "right"), "", "failed", "demands a password"),
        (("--appendonly", "yes", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), "", "warning", "drops queued tasks"),
        (("--appendonly", "no"), "", "warning", "appendonly is off"),
        (("--cluster-enabled", "yes", "--cluster-port", str(free_port())), "", "failed", "Redis Cluster"),
        (("--replicaof", "127.0.0.1", "1"), "", "failed", "replica"),
        (("--maxmemory", "1"), "", "failed", "out of memory"),
    ])
    def test_settings(self, probe: ProbeRun, config: dict[str, Any], tmp_path: Path, options: tuple[str, ...], userinfo: str, state: str, cause: str) -> None:
        with redis_process(tmp_path, *options) as (port, _process):
            config["services"]["redis_url"] = f"redis://{userinfo}127.0.0.1:{port}"
            result = probe.check("redis", config=config)["redis"]
        assert result["state"] == state, result
        assert cause in result["cause"]

    def test_too_old(self, probe: ProbeRun, config: dict[str, Any]) -> None:
        assert "is older than 99.1" in probe.check("redis", config=config, options=("--minimum-redis=99.1",))["redis"]["cause"]

    def test_broker_of_its_own_is_checked_too(self, probe: ProbeRun, config: dict[str, Any]) -> None:
        config["services"]["celery_broker"] = f"redis://127.0.0.1:{free_port()}"
        assert "refused the connection" in probe.check("redis", config=config)["redis"]["cause"]

    def test_a_redis_that_is_younger_than_this_container(self, probe: ProbeRun, config: dict[str, Any], tmp_path: Path) -> None:
        with redis_process(tmp_path, "--requirepass", "right") as (port, _process):
            config["services"]["celery_broker"] = f"redis://:right@127.0.0.1:{port}"
            result = probe.check("redis_restart", config=config)["redis_restart"]
            assert (result["state"], result["remedy"]) == ("warning", "run the playbook covstack.selfhosted.repair")
            assert re.match(r"Redis has run for \d s, \S+ for \d+ s$", result["detail"])
            config["services"]["celery_broker"] = f"redis://:wrong@127.0.0.1:{port}"
            assert probe.check("redis_restart", config=config)["redis_restart"]["state"] == "failed"

    def test_frozen(self, probe: ProbeRun, config: dict[str, Any], tmp_path: Path) -> None:
        """A frozen service is reported in time, and holds up no other check."""
        with redis_process(tmp_path) as (port, process):
            process.signal_group(signal.SIGSTOP)
            config["services"]["redis_url"] = f"redis://127.0.0.1:{port}"
            start = time.monotonic()
            results = probe.check("redis", "postgres", config=config, options=("--timeout=1",))
        assert time.monotonic() - start < 10
        assert "did not answer in time" in results["redis"]["cause"]
        assert results["postgres"]["state"] == "ok"


class TestStorage:
    @pytest.mark.parametrize(("change", "state", "cause"), [
        ({"secret_access_key": "another-1"}, "failed", "the secret key is wrong"),
        ({"access_key_id": "unknown"}, "failed", "does not know the access key"),
        ({"bucket": "nowhere"}, "failed", "the bucket nowhere does not exist"),
        ({"host": "storage.invalid"}, "failed", "the name storage.invalid"),
        ({"port": 1}, "failed", "refused the connection"),
        ({"verify_ssl": True}, "failed", "no TLS connection"),
        ({"region": None}, "warning", "region is not set"),
    ])
    def test_faults(self, probe: ProbeRun, config: dict[str, Any], change: dict[str, Any], state: str, cause: str) -> None:
        config["services"]["minio"].update(change)
        result = probe.check("storage", config=config)["storage"]
        # The server hides from an unknown key whether a bucket exists.
        assert result["state"] == state, result
        assert cause in result["cause"], result

    def test_presigned_urls_are_valid_and_only_printed_on_request(self, probe: ProbeRun, config: dict[str, Any]) -> None:
        import requests

        assert "presigned" not in json.loads(probe("check", "storage", "--json", config=config).stdout)
        done = probe("check", "storage", "--json", "--presign", config=config)
        urls = json.loads(done.stdout)["presigned"]
        assert SECRET_KEY not in done.stdout
        assert requests.put(urls["put"], data=b"from outside", timeout=5).status_code == 200
        assert requests.get(urls["get"], timeout=5).content == b"from outside"
        assert requests.delete(urls["delete"], timeout=5).status_code in (200, 204)

    def test_same_signature_as_the_applications_client(self) -> None:
        from datetime import timedelta as delta

        import _container_probe as container_probe
        from minio import Minio

        key = "v4/raw/2026-01-02/A B+ü/x.txt"
        theirs = Minio("codecov.example.com:8333", "key-1", "secret/+1", secure=False, region="eu-1").get_presigned_url("PUT", BUCKET, key, delta(seconds=60))
        moment = theirs.split("X-Amz-Date=")[1].split("&")[0]
        at = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
        ours = container_probe.sign("PUT", "http://codecov.example.com:8333", f"/{BUCKET}/{key}", "eu-1", "key-1", "secret/+1", 60, at)
        assert ours == theirs

    @pytest.mark.parametrize(("settings", "base", "prefix"), [
        ({"host": "h", "port": 443, "verify_ssl": True}, "https://h", "/archive"),
        ({"host": "h", "port": "443", "verify_ssl": True, "bucket": "bkt"}, "https://h", "/bkt"),
        ({"host": "h", "port": None}, "http://h", "/archive"),
        ({"host": "h", "port": 443}, "http://h:443", "/archive"),
        ({"host": "s3.amazonaws.com", "verify_ssl": True, "region": "eu-central-1", "bucket": "bkt"}, "https://bkt.s3.eu-central-1.amazonaws.com", ""),
    ])
    def test_address_is_that_of_the_applications_client(self, settings: dict[str, Any], base: str, prefix: str) -> None:
        import _container_probe as container_probe
        from minio import Minio

        storage = container_probe.Storage(container_probe.Config({"services": {"minio": {"access_key_id": "a", "secret_access_key": "b", **settings}}}))
        assert (storage.base, storage.prefix) == (base, prefix)
        host = settings["host"] + (f":{settings['port']}" if settings.get("port") else "")
        client = Minio(host, "a", "b", secure=bool(settings.get("verify_ssl")), region=settings.get("region") or "us-east-1")
        theirs = client.get_presigned_url("PUT", settings.get("bucket", "archive"), "key")
        assert theirs.split("?")[0] == f"{base}{prefix}/key"


class TestProviders:
    def test_any_answer_counts(self, probe: ProbeRun, config: dict[str, Any]) -> None:
        with web_server(404) as url:
            config["github"] = {"client_id": "x", "api_url": url}
            result = probe.check("scm", config=config)["scm"]
        assert (result["state"], result["detail"].startswith("github 404")) == ("ok", True)

    def test_redirects_are_answers(self, probe: ProbeRun, config: dict[str, Any]) -> None:
        with web_server(302, {"Location": "http://127.0.0.1:1/"}) as url:
            config["gitlab_enterprise"] = {"client_id": "x", "url": url}
            assert probe.check("scm", config=config)["scm"]["state"] == "ok"

    def test_a_broken_provider_among_others(self, probe: ProbeRun, config: dict[str, Any]) -> None:
        with web_server(503) as broken, web_server() as good:
            config["github_enterprise"] = {"bot": {"key": "x"}, "url": broken}
            config["gitlab_enterprise"] = {"client_id": "x", "api_url": good}
            result = probe.check("scm", config=config)["scm"]
        assert result["state"] == "failed"
        assert "github_enterprise" in result["cause"] and "503" in result["cause"] and "gitlab_enterprise 200" in result["detail"]

    def test_refused(self, probe: ProbeRun, config: dict[str, Any]) -> None:
        config["bitbucket_server"] = {"client_id": "x", "url": f"http://127.0.0.1:{free_port()}"}
        result = probe.check("scm", config=config)["scm"]
        assert "refused the connection" in result["cause"] and "Uploads are lost" in result["cause"]

    def test_a_webhook_secret_alone_is_no_provider(self, probe: ProbeRun, config: dict[str, Any]) -> None:
        config["github"] = {"webhook_secret": "x"}
        assert probe.check("scm", config=config)["scm"]["state"] == "skipped"

    def test_enterprise_without_address(self, probe: ProbeRun, config: dict[str, Any]) -> None:
        config["github_enterprise"] = {"client_id": "x"}
        assert "neither url nor api_url" in probe.check("scm", config=config)["scm"]["cause"]


class TestQueue:
    def test_age_of_the_oldest_task_in_any_queue(self, probe: ProbeRun, config: dict[str, Any], deployment: Deployment) -> None:
        config["setup"]["tasks"] = {"upload": {"queue": "uploads"}, "celery": {"acks_late": True}}
        client = deployment.redis.client
        old = (datetime.now(timezone.utc) - timedelta(seconds=700)).replace(tzinfo=None).isoformat()
        try:
            # The oldest is at the right end; a message without the header does not hide it.
            client.rpush("enterprise_uploads", json.dumps({"headers": {"created_timestamp": old}}), json.dumps({"headers": {}}))
            result = probe.check("queue", config=config)["queue"]
            assert result["state"] == "warning" and "enterprise_uploads has waited 70" in result["cause"]
            assert "enterprise_uploads 2" in result["detail"]
            assert probe.check("queue", config=config, options=("--queue-age=800",))["queue"]["state"] == "ok"
        finally:
            client.delete("enterprise_uploads")

    def test_queues_given_by_name(self, probe: ProbeRun, config: dict[str, Any], deployment: Deployment) -> None:
        deployment.redis.client.rpush("special", json.dumps({"headers": {}}))
        try:
            assert "special 1" in probe.check("queue", config=config, options=("--queue=special",))["queue"]["detail"]
        finally:
            deployment.redis.client.delete("special")


class TestClock:
    def test_storage_clock_that_is_wrong(self, probe: ProbeRun, config: dict[str, Any]) -> None:
        with web_server(200, {"Date": formatdate(time.time() + 90, usegmt=True)}) as url:
            config["services"]["minio"].update(host="127.0.0.1", port=int(url.rsplit(":", 1)[1]))
            result = probe.check("clock", config=config)["clock"]
        assert result["state"] == "failed"
        assert 80 < float(result["cause"].split("storage +")[1].split()[0]) < 92

    @pytest.mark.parametrize(("seconds", "other", "expected"), [(0.2, 100.1, 0.0), (0.2, 110.1, 9.9), (2.0, 91.0, -9.0), (0.0, 100.4, 0.4)])
    def test_what_the_measurement_explains_is_no_skew(self, seconds: float, other: float, expected: float) -> None:
        import _container_probe as container_probe

        assert container_probe.skew(100.0, seconds, other) == pytest.approx(expected)


class TestLicense:
    @pytest.mark.parametrize(("value", "state", "cause"), [
        (lambda: make_license(100), "ok", ""),
        (lambda: make_license(10), "warning", "expires in 10 days"),
        (lambda: make_license(-3), "failed", "expired on"),
        (lambda: make_license(100)[:-5], "failed", "cannot be decoded"),
        (lambda: "not a licence", "failed", "cannot be decoded"),
        (lambda: None, "failed", "there is no licence"),
    ])
    def test_states(self, probe: ProbeRun, config: dict[str, Any], value: Callable[[], str | None], state: str, cause: str) -> None:
        config["setup"]["enterprise_license"] = value()
        result = probe.check("license", config=config)["license"]
        assert (result["state"], cause in result["cause"]) == (state, True), result


class TestInsideUrl:
    def test_something_else_answers(self, probe: ProbeRun, config: dict[str, Any]) -> None:
        """A frontend answers 200 to any path."""
        with web_server(200, body=b"<html>page</html>") as url:
            config["setup"]["codecov_url"] = url
            result = probe.check("inside_url", config=config, options=("--public-body=is live!$",))["inside_url"]
        assert (result["state"], "something else" in result["cause"]) == ("failed", True)

    def test_name_that_does_not_resolve(self, probe: ProbeRun, config: dict[str, Any]) -> None:
        config["setup"]["codecov_url"] = "http://codecov.invalid"
        result = probe.check("inside_url", config=config)["inside_url"]
        assert "the name codecov.invalid does not resolve inside the container" in result["cause"]


class TestHealthChecksOfContainers:
    def test_http(self, probe: ProbeRun, api: Process, deployment: Deployment) -> None:
        url = f"{deployment.url}/health/"
        assert probe("http", url, "--body", "is live!$").returncode == 0
        wrong_body = probe("http", url, "--body", "is dead")
        assert (wrong_body.returncode, "not the expected one" in wrong_body.stdout) == (1, True)
        wrong_status = probe("http", url.rstrip("/"))
        assert (wrong_status.returncode, "status 301 instead of 200" in wrong_status.stdout) == (1, True)
        assert probe("http", f"http://127.0.0.1:{free_port()}/").returncode == 1

    def test_worker(self, probe: ProbeRun, start_worker: Callable[..., Process]) -> None:
        worker = start_worker("alive")
        start = time.monotonic()
        assert probe("worker", HOSTNAME="alive").returncode == 0
        assert time.monotonic() - start < 2
        other = probe("worker", "--timeout=1", HOSTNAME="nobody")
        assert (other.returncode, other.stdout) == (1, "celery@nobody does not answer\n")
        worker.stop(9)
        assert probe("worker", "--timeout=1", HOSTNAME="alive").returncode == 1

    def test_worker_without_broker(self, probe: ProbeRun, config: dict[str, Any]) -> None:
        config["services"]["redis_url"] = f"redis://:Geheim-1@127.0.0.1:{free_port()}"
        start = time.monotonic()
        done = probe("worker", config=config)
        assert (done.returncode, "no connection to the broker" in done.stdout) == (1, True)
        assert "Geheim" not in done.stdout + done.stderr
        assert time.monotonic() - start < 8
