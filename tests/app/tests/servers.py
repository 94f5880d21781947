"""Real servers for the contract tests, as plain processes on the loopback interface: started, awaited and stopped here."""

from __future__ import annotations

import io
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis
import requests
import urllib3
import yaml
from minio import Minio
from minio.error import InvalidResponseError, S3Error

APP = Path(__file__).resolve().parents[1]
ACCESS_KEY, SECRET_KEY, BUCKET = "contract-key", "contract-secret", "archive"
PYTHON = os.environ.get("STANDIN_PYTHON", sys.executable)


def program(name: str) -> str:
    """A program beside the interpreter, on the path, or where Debian keeps PostgreSQL's servers."""
    beside = Path(PYTHON).parent / name
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    found = str(beside) if beside.exists() else str(debian[0]) if debian else shutil.which(name)
    if not found:
        raise RuntimeError(f"{name} is not installed; the contract tests need it (tests/app/README.md)")
    return found


def free_ports(count: int) -> list[int]:
    """Different ports: all are held until the last is found."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def free_port() -> int:
    return free_ports(1)[0]


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


def port_answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A child process that leads a process group of its own and writes to a log file."""

    def __init__(self, command: list[str], log: Path, *, env: dict[str, str] | None = None, cwd: Path | None = None, user: str | None = None) -> None:
        self.log = log
        self._stream = log.open("ab")
        self._start = log.stat().st_size
        self.child = subprocess.Popen(command, stdout=self._stream, stderr=subprocess.STDOUT, env=env, cwd=cwd, user=user, start_new_session=True)

    def output(self) -> str:
        """What this process wrote, not an earlier one with the same log."""
        return self.log.read_bytes()[self._start :].decode(errors="replace")

    def once(self, ready: Callable[[], Any], what: str) -> Process:
        """This process, ready or ended; stopped when it is neither in time."""
        try:
            wait_for(lambda: self.child.poll() is not None or ready(), what)
        except BaseException:
            self.stop()
            raise
        return self

    def signal_group(self, number: int) -> None:
        try:
            os.killpg(self.child.pid, number)
        except ProcessLookupError:
            pass

    def stop(self, number: int = signal.SIGTERM, seconds: float = 15) -> int:
        if self.child.poll() is None:
            self.child.send_signal(number)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.signal_group(signal.SIGKILL)
                self.child.wait()
        # Whatever a killed parent left behind.
        self.signal_group(signal.SIGKILL)
        self._stream.close()
        return self.child.returncode


class Postgres:
    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory = directory
        self._user = "postgres" if os.getuid() == 0 else None
        directory.mkdir()
        if self._user:
            account = pwd.getpwnam(self._user)
            os.chown(directory, account.pw_uid, account.pw_gid)
        subprocess.run(
            [program("initdb"), "--auth=trust", "--username=codecov", "--no-sync", "--encoding=UTF8", f"--pgdata={directory}/data"],
            check=True, capture_output=True, user=self._user, cwd=directory,
        )  # fmt: skip
        self.process = self.start()

    def start(self) -> Process:
        command = [program("postgres"), "-D", f"{self._directory}/data", "-p", str(self.port), "-k", str(self._directory), "-h", "127.0.0.1", "-F"]
        self.process = Process(command, self._directory.parent / "postgres.log", user=self._user, cwd=self._directory)
        wait_for(lambda: "ready to accept connections" in self.process.output(), "PostgreSQL")
        return self.process

    def stop(self) -> None:
        self.process.stop(signal.SIGINT)

    @property
    def url(self) -> str:
        return f"postgresql://codecov:unused@127.0.0.1:{self.port}/postgres"


class Redis:
    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory = directory
        directory.mkdir()
        self.process = self.start()

    def start(self) -> Process:
        command = [program("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._directory)]
        self.process = Process(command, self._directory / "redis.log")
        wait_for(lambda: port_answers(self.port), "Redis")
        return self.process

    def stop(self) -> None:
        self.process.stop()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> Any:
        return redis.Redis.from_url(self.url, decode_responses=True)

    def empty(self) -> None:
        """Without what killed workers left: tasks, and connections that Redis still holds for open and would hand the next task to."""
        wait_for(lambda: all(client["cmd"] != "brpop" for client in self.client.client_list()), "an end of the last worker's connections")
        self.client.flushall()


class Storage:
    """SeaweedFS with one private bucket."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        identity = {"name": "codecov", "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}], "actions": ["Admin", "Read", "Write", "List"]}
        (directory / "s3.json").write_text(json.dumps({"identities": [identity]}))
        names = ["s3.port", "s3.port.grpc"] + [f"{part}.port{kind}" for part in ("master", "volume", "filer") for kind in ("", ".grpc")]
        ports = dict(zip(names, free_ports(len(names))))
        self.port = ports["s3.port"]
        command = [
            program("weed"), "server", f"-dir={directory}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", f"-s3.config={directory}/s3.json",
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=0", "-master.volumeSizeLimitMB=64",
            *[f"-{name}={port}" for name, port in ports.items()],
        ]  # fmt: skip
        self.process = Process(command, directory / "weed.log")

    def wait(self) -> None:
        wait_for(self._takes_objects, "SeaweedFS", 60)

    def client(self) -> Minio:
        pool = urllib3.PoolManager(retries=False, timeout=5)
        return Minio(f"127.0.0.1:{self.port}", ACCESS_KEY, SECRET_KEY, secure=False, region="us-east-1", http_client=pool)

    def _takes_objects(self) -> bool:
        """Its S3 port answers before there is a place for objects."""
        assert self.process.child.poll() is None, self.process.output()[-2000:]
        try:
            if not self.client().bucket_exists(BUCKET):
                self.client().make_bucket(BUCKET)
            self.client().put_object(BUCKET, "ready", io.BytesIO(b"ready"), 5)
        except (urllib3.exceptions.HTTPError, S3Error, InvalidResponseError):
            return False
        return True

    def stop(self) -> None:
        self.process.stop(signal.SIGKILL)


class Deployment:
    """Api and worker as the images start them, on the servers above."""

    def __init__(self, directory: Path, postgres: Postgres, redis_server: Redis, storage: Storage) -> None:
        self.directory, self.postgres, self.redis, self.storage = directory, postgres, redis_server, storage
        self.port, self.metrics_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.home = directory / "home"
        self.home.mkdir()

    def config(self) -> dict[str, Any]:
        minio = {
            "host": "127.0.0.1", "port": self.storage.port, "bucket": BUCKET, "region": "us-east-1", "verify_ssl": False,
            "access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY, "hash_key": "contract", "ttl": 10,
        }  # fmt: skip
        return {
            "setup": {"codecov_url": self.url, "secure_cookie": False},
            "services": {"database_url": self.postgres.url, "redis_url": self.redis.url, "minio": minio},
            "github": {"client_id": "contract-client", "global_upload_token": "contract-global"},
        }

    def write_config(self, content: Any, name: str = "codecov.yml") -> Path:
        path = self.directory / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    def environment(self, config: Path | None = None, **extra: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if "__" not in name and not name.startswith(("CODECOV", "PROMETHEUS", "STANDIN"))}
        return {
            **kept,
            "PATH": f"{Path(PYTHON).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(APP / "libs"),
            "PYTHONUNBUFFERED": "1",
            "HOME": str(self.home),
            "HOSTNAME": "contract",
            "CODECOV_YML": str(config or self.directory / "codecov.yml"),
            "RUN_ENV": "ENTERPRISE",
            "RELEASE_VERSION": "26.7.6",
            "CODECOV_API_BIND": "127.0.0.1",
            "CODECOV_API_PORT": str(self.port),
            "CODECOV_SKIP_MIGRATIONS": "true",
            "GUNICORN_WORKERS": "2",
            "GUNICORN_THREADS": "4",
            "STANDIN_UPLOAD_DELAY": "0.2",
            "STANDIN_METRICS_PORT": str(self.metrics_port),
            **extra,
        }

    def manage(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PYTHON, "manage.py", *arguments], cwd=APP / "apps/codecov-api", env=self.environment(**extra), capture_output=True, text=True, timeout=60
        )

    def start_api(self, **extra: str) -> Process:
        process = Process([str(APP / "apps/codecov-api/api.sh")], self.directory / "api.log", env=self.environment(**extra), cwd=APP / "apps/codecov-api")
        return process.once(self.answers, "api")

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/validate", timeout=2).status_code < 500
        except (requests.ConnectionError, requests.Timeout):
            return False

    def start_worker(self, name: str = "contract", **extra: str) -> Process:
        log = self.directory / f"worker-{name}-{time.monotonic_ns()}.log"
        process = Process([str(APP / "apps/worker/worker.sh")], log, env=self.environment(HOSTNAME=name, **extra), cwd=APP / "apps/worker")
        return process.once(lambda: "ready." in process.output(), "worker")


@contextmanager
def running(process: Process) -> Iterator[Process]:
    """For the time of a test. Killed at its end: how processes stop is what other tests are about."""
    try:
        yield process
    finally:
        process.stop(signal.SIGKILL)
