#!/usr/bin/env python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probe of a Codecov container, run inside it as /covstack/probe.py.

It stands alone: no Ansible, and of other packages only those in the application's images (PyYAML, redis, psycopg2, celery), each
imported where it is needed, since the health checks of the containers start this script every few seconds.

    probe.py http URL                 health check of a web container
    probe.py worker                   health check of a worker container: a ping of its Celery node through the broker
    probe.py check NAME... [--json]   dependencies, as seen from inside the container with the application's own configuration
    probe.py check NAME... -- COMMAND the same, and then the command in its place, unless a check failed
                                      (with --afterwards NAME: beside it, and what the command does not need is asked when it has ended)
    probe.py repair [--json]          gives lost uploads to the workers again
    probe.py serve --url URL          tells load balancers, at /ready, whether this host is to get requests

Nothing it prints contains a secret.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import sys
import time
from urllib.parse import quote, unquote, urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

DRAIN_FILE = "/tmp/covstack-drain"
DEFAULT_CONFIG = "/config/codecov.yml"
PROBE_PREFIX = "covstack-probe"
DAY = 86400
# Questions and repairs, and what follows them, leave the processor to what serves beside them; a health check must not wait behind it.
YIELDING, NICENESS = ("check", "repair"), 10

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"


class Finding(Exception):
    """What a check found to be wrong: the likely cause, and what to do. `may_pass`: a service that is starting looks like that, too."""

    def __init__(self, cause: str, remedy: str = "", state: str = FAILED, detail: str = "", may_pass: bool = False) -> None:
        super().__init__(cause)
        self.cause, self.remedy, self.state, self.detail, self.may_pass = cause, remedy, state, detail, may_pass


def skipped(detail: str) -> Finding:
    return Finding("", state=SKIPPED, detail=detail)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def package(name: str) -> Any:
    """A package of the application's image."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Finding(f"this container's Python has no package {name}", "run the probe in a container of the application") from error


# --- configuration, read as the application reads it ---------------------------------------------------------------------

DEFAULTS = {
    "services": {
        "minio": {
            "host": "minio",
            "access_key_id": "codecov-default-key",
            "secret_access_key": "codecov-default-secret",
            "verify_ssl": False,
            "iam_auth": False,
        },
        "database_url": "postgresql://postgres:@postgres:5432/postgres",
        "redis_url": "redis://redis:6379",
    },
}


def merged(base: dict[Any, Any], top: dict[Any, Any]) -> dict[Any, Any]:
    """Mappings merge deeply; everything else replaces."""
    result = dict(base)
    for key, value in top.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return result


def cast(text: str) -> Any:
    """The application's reading of an environment variable."""
    if text in ("true", "True", "TRUE", "on", "On", "ON"):
        return True
    if text in ("false", "False", "FALSE", "off", "Off", "OFF"):
        return False
    if re.match(r"^-?\d+$", text):
        return int(text)
    return float(text) if re.match(r"^-?\d+\.\d+$", text) else text


def environment_layer(environment: dict[str, str]) -> dict[str, Any]:
    """`A__B=c` is {a: {b: c}}, `JSONCONFIG___A__B=[1]` is {a: {b: [1]}}."""
    layer: dict[str, Any] = {}
    for name, text in environment.items():
        if "__" not in name or name.startswith("__"):
            continue
        is_json = name.startswith("JSONCONFIG___")
        value = json.loads(text) if is_json else text
        path = [part.lower() for part in (name[13:] if is_json else name).split("__")]
        place = layer
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = cast(value) if isinstance(value, str) else value
    return layer


class Config:
    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def get(self, *path: str, default: Any = None) -> Any:
        place: Any = self.content
        for key in path:
            if not isinstance(place, dict) or key not in place:
                return default
            place = place[key]
        return place

    @classmethod
    def load(cls) -> Config:
        path = os.environ.get("CODECOV_YML", DEFAULT_CONFIG)
        yaml = package("yaml")
        try:
            with open(path, encoding="utf-8") as stream:
                content = yaml.safe_load(stream)
        except FileNotFoundError:
            content = {}
        except PermissionError:
            raise Finding(f"{path} cannot be read by the container's user", "make the user of the container its owner") from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = f" (line {mark.line + 1})" if mark else ""
            raise Finding(f"{path} is not YAML{place}", "correct the file") from None
        if not isinstance(content, dict):
            raise Finding(f"{path} holds {type(content).__name__} instead of a mapping; the application does not start with it", "write it again")
        return cls(merged(merged(DEFAULTS, content), environment_layer(dict(os.environ))))

    @property
    def broker_url(self) -> str:
        return str(self.get("services", "celery_broker") or self.get("services", "redis_url"))

    @property
    def redis_url(self) -> str:
        return str(self.get("services", "redis_url"))


SECRET_KEY = re.compile(r"secret|password|token|license|licence|_key$|access_key|^key$|pem$|dsn", re.IGNORECASE)


def secrets_of(tree: Any, secret: bool = False) -> Iterator[str]:
    """Every value that must not be printed: those under telling names, and the passwords in URLs."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from secrets_of(value, secret or bool(SECRET_KEY.search(str(key))))
    elif isinstance(tree, list):
        for value in tree:
            yield from secrets_of(value, secret)
    elif isinstance(tree, str):
        if secret:
            yield tree
        match = re.match(r"^[a-z0-9+.-]+://[^/@]*:([^@]+)@", tree)
        if match:
            yield match.group(1)
            yield unquote(match.group(1))


def redact(tree: Any, secrets: list[str]) -> Any:
    if isinstance(tree, dict):
        return {key: redact(value, secrets) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [redact(value, secrets) for value in tree]
    if isinstance(tree, str):
        for secret in secrets:
            tree = tree.replace(secret, "********")
    return tree


# --- HTTP ------------------------------------------------------------------------------------------------------------------


class Answer:
    def __init__(self, status: int, headers: Any, body: bytes, seconds: float, sent_at: float) -> None:
        self.status, self.headers, self.body, self.seconds, self.sent_at = status, headers, body, seconds, sent_at

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


def ca_file(*variables: str) -> str | None:
    """The bundle that the application's clients verify with: an environment variable, else certifi's."""
    for name in variables:
        if os.environ.get(name):
            return os.environ[name]
    try:
        import certifi
    except ImportError:
        return None
    return str(certifi.where())


def tls_context(cafile: str | None, verify: bool = True) -> Any:
    import ssl

    if not verify:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=cafile)
    except (OSError, ssl.SSLError):
        raise Finding(f"the CA bundle {cafile} cannot be read", "mount it, or correct SSL_CERT_FILE and REQUESTS_CA_BUNDLE") from None


def request(method: str, url: str, timeout: float, body: bytes | None = None, headers: dict[str, str] | None = None,
            cafile: str | None = None, verify: bool = True, limit: int = 65536) -> Answer:
    """One request, no redirects and no proxy. Raises OSError or http.client.HTTPException."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=tls_context(cafile, verify))
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=timeout)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    start, sent_at = time.monotonic(), time.time()
    try:
        connection.request(method, target, body=body, headers={"User-Agent": "covstack-probe", "Connection": "close", **(headers or {})})
        response = connection.getresponse()
        content = response.read(limit)
        return Answer(response.status, response.headers, content, time.monotonic() - start, sent_at)
    finally:
        connection.close()


def connection_finding(error: BaseException, what: str, host: str, setting: str) -> Finding:
    """The likely cause of a connection that did not come about."""
    import ssl

    if isinstance(error, socket.gaierror):
        return Finding(f"the name {host} does not resolve inside the container", f"correct {setting}, or give the containers a route to that name",
                       may_pass=True)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Finding(f"the certificate of {host} cannot be verified: {error.verify_message}",
                       "give the CA that signed it to the containers (codecov_tls), or use a certificate for this name")
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", "") or error
        return Finding(f"no TLS connection to {host}: {reason}", f"check whether {what} speaks TLS on this port, and {setting}")
    if isinstance(error, (socket.timeout, TimeoutError)):
        return Finding(f"{what} ({host}) did not answer in time", "look for a firewall that drops packets, or an overloaded server", may_pass=True)
    if isinstance(error, ConnectionRefusedError):
        return Finding(f"{host} refused the connection", f"start {what}, or correct {setting}", may_pass=True)
    if isinstance(error, http.client.HTTPException):
        return Finding(f"{what} ({host}) gave an answer that is not HTTP: {type(error).__name__}", f"correct the port or the scheme in {setting}")
    return Finding(f"no connection to {what} ({host}): {error}", f"check {setting} and the network", may_pass=True)


# --- checks ----------------------------------------------------------------------------------------------------------------


class Context:
    """What all checks share."""

    def __init__(self, config: Config, options: argparse.Namespace) -> None:
        self.config, self.options = config, options
        self.presigned: dict[str, str] = {}
        self._storage: Storage | None = None

    @property
    def timeout(self) -> float:
        return float(self.options.timeout)

    @property
    def storage(self) -> Storage:
        if self._storage is None:
            self._storage = Storage(self.config)
        return self._storage


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


# Messages of clients about a service that is starting; about one that never will, they are the same.
PASSING = (r"could not translate host name|Name or service not known|Temporary failure in name|Error -[235] |Connection refused|[Tt]imeout|timed out"
           r"|starting up|shutting down|LOADING|loading the dataset|Connection closed by server|reset by peer")


def version_of(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def older(found: tuple[int, ...], minimum: str) -> bool:
    wanted = version_of(minimum)
    length = max(len(found), len(wanted))
    return found + (0,) * (length - len(found)) < wanted + (0,) * (length - len(wanted))


# PostgreSQL

EXTENSIONS = ("btree_gin", "citext", "hstore", "pg_trgm", "uuid-ossp")
DATABASE_SETTING = "codecov_postgres"

ABILITIES = """
SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS shown,
       has_database_privilege(current_database(), 'CREATE') AS may_create, has_schema_privilege('public', 'CREATE') AS may_create_tables,
       pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS read_only,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
       (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls
"""


def connect_postgres(url: str, timeout: float) -> Any:
    """A connection as the application makes it: the query of the URL is dropped, libpq's variables count."""
    psycopg2 = package("psycopg2")
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError:
        raise Finding("services.database_url is not a URL", "use only letters, digits, - . _ ~ in the password") from None
    try:
        connection = psycopg2.connect(
            host=parts.hostname, port=port, user=unquote(parts.username or ""), password=unquote(parts.password or ""),
            dbname=parts.path.lstrip("/"), connect_timeout=max(2, int(timeout)), application_name="covstack-probe",
        )
    except psycopg2.OperationalError as error:
        raise postgres_finding(str(error), f"{parts.hostname}:{port}") from None
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(milliseconds(timeout))])
    return connection


def postgres_finding(message: str, place: str) -> Finding:
    text = " ".join(message.split())
    known = (
        (r"could not translate host name|Name or service not known|Temporary failure in name", f"the name of {place} does not resolve inside the container",
         "correct codecov_postgres.host (an embedded service has no name while its container is down)"),
        (r"password authentication failed", "PostgreSQL rejects the password", "correct codecov_secrets.postgres_password, or ALTER ROLE"),
        (r"role \"[^\"]*\" does not exist", "the role does not exist", "create it, or correct codecov_postgres.username"),
        (r"database \"[^\"]*\" does not exist", "the database does not exist", "create it, or correct codecov_postgres.database"),
        (r"no pg_hba.conf entry", "pg_hba.conf has no entry that lets this host in", "add one on the database server, and check codecov_postgres.sslmode"),
        (r"does not support SSL", "the server does not speak TLS, which sslmode demands", "enable ssl on the server, or change codecov_postgres.sslmode"),
        (r"certificate verify failed", "the server's certificate cannot be verified", "give the CA that signed it to the containers (codecov_tls)"),
        (r"Connection refused", f"{place} refused the connection", "start PostgreSQL, or correct codecov_postgres"),
        (r"timeout expired", f"PostgreSQL ({place}) did not answer in time", "look for a firewall that drops packets, or an overloaded server"),
        (r"starting up|shutting down", "PostgreSQL is starting or stopping", "wait"),
        (r"too many clients|remaining connection slots", "PostgreSQL has no free connection", "raise max_connections"),
    )
    for pattern, cause, remedy in known:
        if re.search(pattern, text):
            return Finding(cause, remedy, detail=text[:200], may_pass=bool(re.search(PASSING, text)))
    return Finding("PostgreSQL cannot be reached", "check codecov_postgres", detail=text[:300])


def rows(cursor: Any, statement: str, parameters: Any = None) -> list[dict[str, Any]]:
    cursor.execute(statement, parameters)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row)) for row in cursor.fetchall()]


def extension_problems(cursor: Any, abilities: dict[str, Any]) -> list[str]:
    """Extensions that the migrations could not create."""
    trusted = "trusted" if abilities["version"] >= 130000 else "false"
    statement = (
        f"SELECT name, installed_version IS NOT NULL AS installed, (SELECT bool_or({trusted}) FROM pg_available_extension_versions v "
        "WHERE v.name = e.name) AS trusted FROM pg_available_extensions e WHERE name = ANY(%s)"
    )
    known = {row["name"]: row for row in rows(cursor, statement, [list(EXTENSIONS)])}
    problems = []
    for name in EXTENSIONS:
        extension = known.get(name)
        if extension is None:
            problems.append(f"{name} is not available on the server")
        elif not extension["installed"] and not abilities["superuser"] and not (extension["trusted"] and abilities["may_create"]):
            problems.append(f"{name} is not there and this role may not create it")
    return problems


def check_postgres(context: Context) -> str:
    url = str(context.config.get("services", "database_url"))
    connection = connect_postgres(url, context.timeout)
    try:
        with connection.cursor() as cursor:
            abilities = rows(cursor, ABILITIES)[0]
            detail = f"PostgreSQL {abilities['shown']}{', TLS' if abilities['tls'] else ''}"
            found = (abilities["version"] // 10000,)
            if older(found, context.options.minimum_postgres):
                raise Finding(f"PostgreSQL {abilities['shown']} is older than {context.options.minimum_postgres}", "upgrade PostgreSQL", detail=detail)
            if abilities["read_only"]:
                raise Finding("the database is read-only (a standby?)", "point codecov_postgres.host at the primary", detail=detail)
            problems = extension_problems(cursor, abilities)
            if not abilities["may_create_tables"]:
                problems.append("this role may not create tables in schema public")
    finally:
        connection.close()
    if problems:
        raise Finding("; ".join(problems), "as a superuser of the database: create the extensions, and GRANT CREATE ON SCHEMA public", detail=detail)
    password = urlsplit(url).password or ""
    if password != unquote(password):
        raise Finding("the password has a percent sign in it, which the api takes literally and the worker decodes",
                      "use a password of letters, digits, - . _ ~", WARNING, detail)
    return detail


def check_timescale(context: Context) -> str:
    wanted = context.config.get("setup", "timeseries", "enabled") or context.config.get("setup", "ta_timeseries", "enabled")
    url = context.config.get("services", "timeseries_database_url")
    if not wanted or not url:
        raise skipped("not enabled")
    connection = connect_postgres(str(url), context.timeout)
    try:
        with connection.cursor() as cursor:
            found = rows(cursor, "SELECT default_version, installed_version FROM pg_available_extensions WHERE name = 'timescaledb'")
    finally:
        connection.close()
    if not found:
        raise Finding("this PostgreSQL has no TimescaleDB", "use a server with the extension timescaledb, or set codecov_timescale.mode to disabled")
    if not found[0]["installed_version"]:
        raise Finding("the extension timescaledb is not created in this database; the migrations do not do it",
                      "CREATE EXTENSION timescaledb, as a superuser of the database")
    return f"TimescaleDB {found[0]['installed_version']}"


# Redis


def connect_redis(url: str, timeout: float) -> Any:
    return package("redis").Redis.from_url(url, socket_connect_timeout=timeout, socket_timeout=timeout)


def redis_finding(error: BaseException, url: str) -> Finding:
    text = str(error)
    parts = urlsplit(url)
    place = f"{parts.hostname}:{parts.port or 6379}"
    known = (
        (r"Error -[235] |Name or service not known|Temporary failure in name", f"the name of {place} does not resolve inside the container",
         "correct codecov_redis.host (an embedded service has no name while its container is down)"),
        (r"WRONGPASS|invalid password|invalid username", "Redis rejects the password", "correct codecov_secrets.redis_password"),
        (r"NOAUTH|Authentication required", "Redis demands a password", "set codecov_secrets.redis_password"),
        (r"NOPERM|has no permissions", "this user of Redis may not run the commands that the application needs", "grant them by ACL SETUSER"),
        (r"without any password configured", "Redis has no password, but one is given", "set requirepass, or take the password out"),
        (r"MOVED|CLUSTERDOWN|CROSSSLOT", "this is a Redis Cluster, which the application does not support", "use a single Redis"),
        (r"READONLY|read only replica", "this Redis is a replica, which takes no writes", "point codecov_redis.host at the primary"),
        (r"OOM command|not allowed when used memory", "Redis is out of memory (maxmemory)", "give it more memory"),
        (r"MISCONF|configured to save RDB snapshots|Errors writing to the AOF", "Redis refuses writes because it cannot save to disk",
         "free disk space on the Redis host"),
        (r"LOADING|loading the dataset", "Redis is loading its data", "wait"),
        (r"Connection refused", f"{place} refused the connection", "start Redis, or correct codecov_redis"),
        (r"[Tt]imeout|timed out", f"Redis ({place}) did not answer in time", "look for a firewall that drops packets, or a frozen server"),
        (r"certificate verify failed", "the certificate of Redis cannot be verified", "give the CA that signed it to the containers (codecov_tls)"),
        (r"SSL|Connection closed by server|reset by peer", f"{place} closed the connection", "check whether it speaks TLS (redis:// or rediss://)"),
    )
    for pattern, cause, remedy in known:
        if re.search(pattern, text):
            return Finding(cause, remedy, detail=text[:200], may_pass=bool(re.search(PASSING, text)))
    return Finding("Redis cannot be used", "check codecov_redis", detail=f"{type(error).__name__}: {text}"[:300])


def examine_redis(client: Any, minimum: str) -> str:
    """Version, mode, and a write that is read back. Raises Finding, or an error of the client."""
    info = client.info()
    version = str(info.get("redis_version", "0"))
    detail = f"Redis {version}"
    if info.get("redis_mode") == "cluster" or int(info.get("cluster_enabled", 0)):
        raise Finding("this is a Redis Cluster, which the application does not support", "use a single Redis (cluster mode disabled)", detail=detail)
    if info.get("redis_mode") == "sentinel":
        raise Finding("this is a Redis Sentinel, not a Redis", "use the address of the primary that it watches", detail=detail)
    if older(version_of(version), minimum):
        raise Finding(f"Redis {version} is older than {minimum}", "upgrade Redis", detail=detail)
    key, value = f"{PROBE_PREFIX}/{os.urandom(8).hex()}", os.urandom(8).hex()
    client.set(key, value, ex=30)
    answer = client.get(key)
    client.delete(key)
    if answer != value.encode():
        raise Finding("Redis lost a value that was just written", "check its memory and its eviction policy", detail=detail)
    warnings = redis_warnings(info)
    if warnings:
        raise Finding("; ".join(warnings), "set maxmemory-policy noeviction and appendonly yes", WARNING, detail)
    return detail


def redis_warnings(info: dict[str, Any]) -> list[str]:
    warnings = []
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction" and int(info.get("maxmemory", 0)):
        warnings.append(f"maxmemory-policy is {policy}: when memory is short, Redis drops queued tasks and pending uploads")
    if "aof_enabled" in info and not int(info["aof_enabled"]):
        warnings.append("appendonly is off: a restart of Redis can lose queued tasks and pending uploads")
    return warnings


def check_redis(context: Context) -> str:
    redis = package("redis")
    details, warnings = [], []
    for url in dict.fromkeys((context.config.redis_url, context.config.broker_url)):
        try:
            details.append(examine_redis(connect_redis(url, context.timeout), context.options.minimum_redis))
        except (redis.exceptions.RedisError, ValueError) as error:
            raise redis_finding(error, url) from None
        except Finding as finding:  # a warning about one must not hide a failure of the other
            if finding.state != WARNING:
                raise
            warnings.append(finding)
    if warnings:
        raise warnings[0]
    return ", broker ".join(details)


def seconds_since_start() -> float:
    """How long the first process of this container has run, by the clock of the kernel, which nobody sets."""
    with open("/proc/1/stat", encoding="utf-8", errors="replace") as stream:
        ticks = int(stream.read().rpartition(")")[2].split()[19])
    with open("/proc/uptime", encoding="utf-8") as stream:
        return float(stream.read().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")


def redis_uptime(url: str, timeout: float) -> int | None:
    redis = package("redis")
    try:
        seconds = connect_redis(url, timeout).info("server").get("uptime_in_seconds")
    except (redis.exceptions.RedisError, ValueError) as error:
        raise redis_finding(error, url) from None
    return None if seconds is None else int(seconds)


def check_redis_restart(context: Context) -> str:
    """By the ages of both: it sees restarts of a Redis on any host, and no clock of another host counts."""
    known = [redis_uptime(url, context.timeout) for url in dict.fromkeys((context.config.redis_url, context.config.broker_url))]
    return judge_ages(seconds_since_start(), [seconds for seconds in known if seconds is not None])


def judge_ages(own: float, of_redis: list[int]) -> str:
    if not of_redis:
        raise skipped("Redis does not say how long it has run")
    youngest = min(of_redis)
    detail = f"Redis has run for {youngest} s, {socket.gethostname()} for {own:.0f} s"
    if own > youngest + 1:  # Redis counts whole seconds
        raise Finding("Redis was restarted under it: a process that had sent a task before hangs in its next one, for good",
                      "run the playbook covstack.selfhosted.repair", WARNING, detail)
    return detail


# Object storage


def sign(method: str, base: str, path: str, region: str, access_key: str, secret_key: str, expires: int, at: float, token: str | None = None,
         query: dict[str, str] | None = None) -> str:
    """A presigned URL (AWS signature 4) in which, as in the application's, only the header Host is signed."""
    import hashlib
    import hmac

    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    parameters = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{access_key}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(expires),
        "X-Amz-SignedHeaders": "host",
        **({"X-Amz-Security-Token": token} if token else {}),
        **(query or {}),
    }
    asked = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(parameters.items()))
    target = quote(path, safe="/-_.~")
    canonical = "\n".join([method, target, asked, f"host:{urlsplit(base).netloc}", "", "host", "UNSIGNED-PAYLOAD"])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret_key}".encode()
    for part in (moment[:8], region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return f"{base}{target}?{asked}&X-Amz-Signature={hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()}"


class Storage:
    """The object storage through the address that the application signs its URLs for."""

    def __init__(self, config: Config) -> None:
        settings = config.get("services", "minio", default={})
        self.bucket = str(settings.get("bucket") or "archive")
        self.region = settings.get("region")
        self.ttl = int(settings.get("ttl") or 10)
        self.secure = bool(settings.get("verify_ssl"))
        self.host = str(settings.get("host"))
        self.base, self.prefix = self._endpoint(settings.get("port"))
        self.credentials = self._credentials(settings)

    def _endpoint(self, port: Any) -> tuple[str, str]:
        """Scheme and address, and the path below which the bucket's objects are: the same as the application's client makes of it."""
        scheme, usual = ("https", 443) if self.secure else ("http", 80)
        suffix = "" if port in (None, "", usual, str(usual)) else f":{port}"
        if self.host == "s3.amazonaws.com" and self.region:
            return f"{scheme}://{self.bucket}.s3.{self.region}.amazonaws.com{suffix}", ""
        return f"{scheme}://{self.host}{suffix}", f"/{self.bucket}"

    @staticmethod
    def _credentials(settings: dict[str, Any]) -> tuple[str, str, str | None]:
        if not settings.get("iam_auth"):
            return str(settings.get("access_key_id")), str(settings.get("secret_access_key")), None
        providers = package("minio.credentials.providers")
        chain = providers.ChainedProvider([providers.IamAwsProvider(custom_endpoint=settings.get("iam_endpoint")), providers.EnvMinioProvider(),
                                           providers.EnvAWSProvider()])
        try:
            found = chain.retrieve()
        except Exception as error:  # the client raises errors of many libraries
            raise Finding(f"no credentials of an IAM role can be had ({type(error).__name__})",
                          "give the host a role, or set codecov_storage.iam_auth to false and keys") from None
        return found.access_key, found.secret_key, found.session_token

    @property
    def address(self) -> str:
        return urlsplit(self.base).netloc

    def url(self, method: str, key: str, expires: int = 60, query: dict[str, str] | None = None) -> str:
        access_key, secret_key, token = self.credentials
        path = f"{self.prefix}/{key}" if key else self.prefix or "/"
        return sign(method, self.base, path, self.region or "us-east-1", access_key, secret_key, expires, time.time(), token, query)

    def request(self, method: str, key: str, timeout: float, body: bytes | None = None, query: dict[str, str] | None = None) -> Answer:
        try:
            return request(method, self.url(method, key, query=query), timeout, body, cafile=ca_file("SSL_CERT_FILE"))
        except (OSError, http.client.HTTPException) as error:
            raise connection_finding(error, "the object storage", self.address, "services.minio.host and port (codecov_storage)") from None

    def bucket_answer(self, timeout: float) -> Answer:
        """A listing of (almost) nothing. HEAD would do, but its answers say nothing about what is wrong."""
        return self.request("GET", "", timeout, query={"list-type": "2", "max-keys": "1", "prefix": f"{PROBE_PREFIX}/"})

    def require_bucket(self, timeout: float) -> None:
        answer = self.bucket_answer(timeout)
        if answer.status != 200:
            raise self.finding(answer, "GET bucket")

    def missing(self, key: str, timeout: float) -> bool:
        """Whether an object is not there. Anything but a clear answer raises Finding."""
        answer = self.request("HEAD", key, timeout)
        if answer.status == 404:
            return True
        if answer.status == 200:
            return False
        raise self.finding(answer, "HEAD")

    def finding(self, answer: Answer, what: str) -> Finding:
        match = re.search(r"<Code>(\w+)</Code>", answer.text)
        code = match.group(1) if match else ""
        known = {
            "SignatureDoesNotMatch": ("the secret key is wrong, or a proxy changes the header Host", "correct codecov_secrets.storage_secret_key"),
            "InvalidAccessKeyId": ("the storage does not know the access key", "correct codecov_secrets.storage_access_key"),
            "AccessDenied": ("the key has no access to the bucket", "allow it to list the bucket and to get, put and delete objects"),
            "NoSuchBucket": (f"the bucket {self.bucket} does not exist", "create it, private"),
            "RequestTimeTooSkewed": ("the clock of this host and that of the storage differ too much", "synchronise both by NTP"),
            "AuthorizationHeaderMalformed": ("the region is wrong", "correct codecov_storage.region"),
            "PermanentRedirect": ("the bucket is in another region", "correct codecov_storage.region"),
        }
        default = (f"the storage answered {answer.status} {code}".strip() + f" to {what}", "look at its log")
        gone = ("the edge, or another proxy, reaches no storage server", "start the storage")
        without_code = {404: known["NoSuchBucket"], 301: known["PermanentRedirect"], 403: known["AccessDenied"], 502: gone, 503: gone, 504: gone}
        by_status = {} if code else without_code
        cause, remedy = known.get(code) or by_status.get(answer.status) or default
        starting = answer.status in (404, 502, 503, 504)  # no route, no server, or no bucket yet
        return Finding(cause, remedy, detail=f"{what}: {answer.status} {code}".strip(), may_pass=starting)


def check_storage(context: Context) -> str:
    storage = context.storage
    key = f"{PROBE_PREFIX}/{os.urandom(8).hex()}.txt"
    content = f"probe {key}\n".encode()
    # Asked first, because some servers create a missing bucket by themselves on a PUT.
    storage.require_bucket(context.timeout)
    start = time.monotonic()
    steps = (("PUT", content, (200,)), ("GET", None, (200,)), ("DELETE", None, (200, 204)))
    for method, body, good in steps:
        answer = storage.request(method, key, context.timeout, body)
        if answer.status not in good:
            raise storage.finding(answer, method)
        if method == "GET" and answer.body != content:
            raise Finding("the storage gave back other bytes than were stored", "look for a proxy that answers in its place")
    seconds = time.monotonic() - start
    detail = f"{storage.base}, bucket {storage.bucket}"
    if context.options.presign:
        outside = f"{PROBE_PREFIX}/{os.urandom(8).hex()}.txt"
        context.presigned.update({method.lower(): storage.url(method, outside, 120) for method in ("PUT", "GET", "DELETE")})
    if not storage.region:
        raise Finding("services.minio.region is not set: the api asks the storage before it signs, and blocks 30 s when that is down",
                      "set codecov_storage.region", WARNING, detail)
    if seconds > storage.ttl:
        raise Finding(f"the storage took {seconds:.1f} s, longer than signed URLs are valid ({storage.ttl} s)", "raise services.minio.ttl", WARNING, detail)
    return detail


# Git providers

PROVIDERS = {
    "github": ("https://api.github.com", ""),
    "github_enterprise": (None, "/api/v3"),
    "gitlab": ("https://gitlab.com/api/v4", ""),
    "gitlab_enterprise": (None, "/api/v4"),
    "bitbucket": ("https://api.bitbucket.org/2.0", ""),
    "bitbucket_server": (None, ""),
}
CONFIGURED_BY = ("client_id", "bot", "bots", "integration", "dedicated_apps", "api_url", "url")


def provider_url(name: str, section: dict[str, Any]) -> str | None:
    public, suffix = PROVIDERS[name]
    if section.get("api_url"):
        return str(section["api_url"]).rstrip("/")
    if public:
        return public
    return str(section["url"]).rstrip("/") + suffix if section.get("url") else None


def reach_provider(name: str, url: str, section: dict[str, Any], timeout: float) -> str:
    """Any answer of the provider itself counts; through the proxy of the environment, as the application's client does it."""
    import ssl
    import urllib.error
    import urllib.request

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *arguments: Any) -> None:
            return None

    cafile = section.get("ssl_pem") or ca_file("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
    opener = urllib.request.build_opener(NoRedirect, urllib.request.HTTPSHandler(context=tls_context(cafile, section.get("verify_ssl") is not False)))
    start = time.monotonic()
    try:
        with opener.open(urllib.request.Request(url, headers={"User-Agent": "covstack-probe"}), timeout=timeout) as answer:
            status = int(answer.status)
    except urllib.error.HTTPError as error:
        status = int(error.code)
    except urllib.error.URLError as error:
        reason = error.reason if isinstance(error.reason, (OSError, ssl.SSLError)) else error
        raise connection_finding(reason, name, urlsplit(url).netloc, f"codecov_providers.{name}") from None
    except (OSError, http.client.HTTPException) as error:
        raise connection_finding(error, name, urlsplit(url).netloc, f"codecov_providers.{name}") from None
    if status >= 500:
        raise Finding(f"{name} ({urlsplit(url).netloc}) answered {status}", "look at the state of the provider, or of a proxy in between")
    return f"{name} {status} in {milliseconds(time.monotonic() - start)} ms"


def check_scm(context: Context) -> str:
    from concurrent.futures import ThreadPoolExecutor

    targets = {}
    for name in PROVIDERS:
        section = context.config.get(name, default={})
        if isinstance(section, dict) and any(section.get(key) for key in CONFIGURED_BY):
            url = provider_url(name, section)
            if url is None:
                raise Finding(f"{name} has neither url nor api_url", f"set codecov_providers.{name}.url")
            targets[name] = (url, section)
    if not targets:
        raise skipped("no git provider is configured")
    with ThreadPoolExecutor(len(targets)) as pool:
        reached = [pool.submit(reach_provider, name, url, section, context.timeout) for name, (url, section) in targets.items()]
        details, findings = [], []
        for future in reached:
            try:
                details.append(future.result())
            except Finding as finding:
                findings.append(finding)
    if findings:
        raise Finding("; ".join(finding.cause for finding in findings) + ". Uploads are lost while that lasts", findings[0].remedy, detail=", ".join(details))
    return ", ".join(details)


# Queues

DEFAULT_QUEUE = "celery"
HEALTH_QUEUE = "healthcheck"


def queue_names(config: Config, extra: Iterable[str] = ()) -> list[str]:
    """Every list in the broker that tasks of this application can wait in."""
    base = [str(config.get("setup", "tasks", "celery", "default_queue") or DEFAULT_QUEUE), HEALTH_QUEUE, *extra]
    groups = config.get("setup", "tasks", default={})
    for group in (groups or {}).values():
        if isinstance(group, dict) and group.get("queue"):
            base.append(str(group["queue"]))
    twins = [f"enterprise_{name}" for name in base if name != HEALTH_QUEUE and not name.startswith("enterprise_")]
    return list(dict.fromkeys([*base, *twins]))


def created_at(message: dict[str, Any]) -> float | None:
    """When a task was sent. The application writes the time without a zone, and means UTC."""
    from datetime import datetime, timezone

    text = (message.get("headers") or {}).get("created_timestamp")
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def check_queue(context: Context) -> str:
    redis = package("redis")
    client = connect_redis(context.config.broker_url, context.timeout)
    names = queue_names(context.config, context.options.queue)
    now = time.time()
    lengths, oldest, oldest_queue = {}, 0.0, ""
    try:
        for name in names:
            lengths[name] = int(client.llen(name))
            # Tasks enter on the left and leave on the right. A retried one keeps its place but has no time of its own.
            for raw in client.lrange(name, -20, -1):
                created = created_at(json.loads(raw))
                if created is not None and now - created > oldest:
                    oldest, oldest_queue = now - created, name
        taken = int(client.hlen("unacked"))
    except redis.exceptions.RedisError as error:
        raise redis_finding(error, context.config.broker_url) from None
    waiting = ", ".join(f"{name} {length}" for name, length in lengths.items() if length) or "nothing"
    detail = f"waiting: {waiting}; taken by workers: {taken}; oldest: {oldest:.0f} s"
    if oldest > context.options.queue_age:
        raise Finding(f"the oldest task in {oldest_queue} has waited {oldest:.0f} s", "add workers, or look why they take no tasks", WARNING, detail)
    return detail


# Lost uploads

LOST_UPLOADS = """
SELECT count(*) AS number, extract(epoch FROM now() - min(created_at)) AS oldest FROM reports_upload
WHERE state = 'started' AND created_at < now() - make_interval(secs => %s)
"""


def table_exists(cursor: Any, name: str) -> bool:
    return bool(rows(cursor, "SELECT to_regclass(%s) IS NOT NULL AS there", [name])[0]["there"])


def check_stuck_uploads(context: Context) -> str:
    connection = connect_postgres(str(context.config.get("services", "database_url")), context.timeout)
    age = context.options.stuck_upload_age
    try:
        with connection.cursor() as cursor:
            if not table_exists(cursor, "reports_upload"):
                raise skipped("the database has no tables yet")
            found = rows(cursor, LOST_UPLOADS, [age])[0]
    finally:
        connection.close()
    if found["number"]:
        raise Finding(f"{found['number']} uploads are unprocessed for more than {age:.0f} s, the oldest for {float(found['oldest']):.0f} s",
                      "run the playbook covstack.selfhosted.repair")
    return f"no upload is unprocessed for more than {age:.0f} s"


# Clocks


def skew(sent_at: float, seconds: float, other: float, resolution: float = 0.0) -> float:
    """How far another clock is ahead of ours, beyond what the measurement itself can explain."""
    offset = other - (sent_at + seconds / 2)
    unknown = (seconds + resolution) / 2
    return 0.0 if abs(offset) <= unknown else offset - unknown if offset > 0 else offset + unknown


def skew_of_http(answer: Answer) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        other = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (TypeError, ValueError):
        return None
    return skew(answer.sent_at, answer.seconds, other + 0.5, 1.0)


def skew_of_postgres(context: Context) -> float | None:
    connection = connect_postgres(str(context.config.get("services", "database_url")), context.timeout)
    try:
        with connection.cursor() as cursor:
            sent_at, start = time.time(), time.monotonic()
            other = float(rows(cursor, "SELECT extract(epoch FROM clock_timestamp()) AS now")[0]["now"])
            return skew(sent_at, time.monotonic() - start, other)
    finally:
        connection.close()


def skew_of_redis(context: Context) -> float | None:
    client = connect_redis(context.config.redis_url, context.timeout)
    client.ping()
    sent_at, start = time.time(), time.monotonic()
    seconds, microseconds = client.time()
    return skew(sent_at, time.monotonic() - start, seconds + microseconds / 1e6)


def check_clock(context: Context) -> str:
    sources: dict[str, Callable[[], float | None]] = {
        "database": lambda: skew_of_postgres(context),
        "Redis": lambda: skew_of_redis(context),
        "storage": lambda: skew_of_http(context.storage.bucket_answer(context.timeout)),
    }
    found: dict[str, float] = {}
    for name, measure in sources.items():
        try:
            value = measure()
        except Exception:  # who cannot be reached is reported by the check of that name
            continue
        if value is not None:
            found[name] = value
    if not found:
        raise skipped("no other clock could be read")
    detail = ", ".join(f"{name} {value:+.1f} s" for name, value in found.items())
    late = {name: value for name, value in found.items() if abs(value) > context.options.clock_skew}
    if late:
        raise Finding(f"the clocks differ: {detail} (signed URLs are valid for {context.storage.ttl} s)", "synchronise all hosts by NTP", detail=detail)
    return detail


# Licence

LICENSE_KEY = bytes.fromhex("fbe91b3460ffe2a1fae3d0f98da6257f")  # printed in the application's public source: a format, not a secret


def decrypt_aes_cbc(key: bytes, iv: bytes, data: bytes) -> bytes:
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
        return bytes(decryptor.update(data) + decryptor.finalize())
    except ImportError:
        pass
    try:
        aes = package("Crypto.Cipher.AES")
    except Finding:
        raise skipped("this container has no library that could decode the licence") from None
    return bytes(aes.new(key, aes.MODE_CBC, iv).decrypt(data))


def check_license(context: Context) -> str:
    import base64
    from datetime import datetime

    raw = context.config.get("setup", "enterprise_license")
    if not raw:
        raise Finding("there is no licence", "set codecov_secrets.enterprise_license")
    try:
        data = base64.b64decode(str(raw))
        plain = decrypt_aes_cbc(LICENSE_KEY, data[:16], data[16:])
        content = json.loads(plain[: -plain[-1]].decode("utf-8"))
        expires = datetime.strptime(content["expires"], "%Y-%m-%d %H:%M:%S")
    except Finding:
        raise
    except Exception:  # whatever is wrong with it, and it must not be printed
        raise Finding("the licence cannot be decoded", "copy it again, in one line, into codecov_secrets.enterprise_license") from None
    days = (expires - datetime(*time.gmtime()[:6])).days
    detail = f"valid until {expires.date()}, {content.get('users') or 'any number of'} users"
    if days < 0:
        raise Finding(f"the licence expired on {expires.date()}", "ask Codecov for a new licence", detail=detail)
    if days <= context.options.license_days:
        raise Finding(f"the licence expires in {days} days", "ask Codecov for a new licence", WARNING, detail)
    return detail


# The public URL from inside


def check_inside_url(context: Context) -> str:
    url = str(context.options.public_url or context.config.get("setup", "codecov_url") or "").rstrip("/")
    if not url:
        raise skipped("setup.codecov_url is not set")
    place = urlsplit(url).netloc
    try:
        answer = request("GET", url + context.options.public_path, context.timeout, cafile=ca_file("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"))
    except (OSError, http.client.HTTPException) as error:
        raise connection_finding(error, "the edge", place, "codecov_url") from None
    detail = f"{url}{context.options.public_path}: {answer.status}"
    if answer.status >= 500:
        raise Finding(f"inside the containers {place} answers {answer.status}: the name is right, but what is behind it is not well", "see the other probes",
                      detail=detail)
    if answer.status >= 400 or (context.options.public_body and not re.search(context.options.public_body, answer.text)):
        raise Finding(f"{place} answers something else inside the containers than the application ({answer.status})",
                      "let the name point at the edge inside the containers too", detail=detail)
    return detail


CHECKS: dict[str, tuple[Callable[[Context], str], str]] = {
    "postgres": (check_postgres, "the application can log in to PostgreSQL, which is new enough, and may migrate it"),
    "redis": (check_redis, "Redis takes writes, is new enough and no cluster"),
    "redis_restart": (check_redis_restart, "no process of the application lost its connection to Redis, after which it might hang"),
    "storage": (check_storage, "the bucket exists, and signed URLs store, read and delete an object from inside the container"),
    "timescale": (check_timescale, "the application can log in to TimescaleDB"),
    "scm": (check_scm, "the git providers can be reached from this container"),
    "queue": (check_queue, "workers keep up with the tasks"),
    "stuck_uploads": (check_stuck_uploads, "no upload that was accepted is lost"),
    "clock": (check_clock, "the clocks of host, database, Redis and storage agree"),
    "license": (check_license, "the licence can be decoded and has not expired"),
    "inside_url": (check_inside_url, "the public URL reaches the application from inside the containers"),
}


def run_check(name: str, context: Context) -> dict[str, Any]:
    check, proves = CHECKS[name]
    start = time.monotonic()
    result: dict[str, Any] = {"name": name, "state": OK, "detail": "", "cause": "", "remedy": "", "proves": proves}
    try:
        result["detail"] = check(context)
    except Finding as finding:
        result.update(state=finding.state, cause=finding.cause, remedy=finding.remedy, detail=finding.detail, may_pass=finding.may_pass)
    except Exception as error:  # a fault of the probe is a result too, not a lost report
        result.update(state=FAILED, cause=f"the check itself failed: {type(error).__name__}", detail=str(error)[:300], remedy="report this as a bug")
    return {**result, "latency_ms": milliseconds(time.monotonic() - start)}


def not_in_time(name: str, seconds: float) -> dict[str, Any]:
    return {"name": name, "state": FAILED, "detail": "", "cause": f"no result within {seconds:.0f} s", "remedy": "look for a frozen service",
            "proves": CHECKS[name][1], "latency_ms": milliseconds(seconds)}


def run_checks(names: list[str], context: Context) -> list[dict[str, Any]]:
    """All checks side by side. A check that hangs is a failure of its own, and does not hold up the others."""
    import threading

    results: dict[str, dict[str, Any]] = {}
    threads = {name: threading.Thread(target=lambda name=name: results.update({name: run_check(name, context)}), daemon=True) for name in names}
    # Several steps make up a check, each with the timeout.
    deadline = time.monotonic() + 3 * context.timeout
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    return [results.get(name) or not_in_time(name, 3 * context.timeout) for name in names]


def run_checks_until_well(names: list[str], context: Context) -> list[dict[str, Any]]:
    """Those that failed are made again while it may pass and there is time. One that cannot pass ends it: waiting would only hide it."""
    end = time.monotonic() + context.options.wait
    results = {result["name"]: result for result in run_checks(names, context)}
    while True:
        failed = [result for result in results.values() if result["state"] == FAILED]
        if not failed or not all(result.get("may_pass") for result in failed) or time.monotonic() > end:
            return [results[name] for name in names]
        time.sleep(0.2)
        results.update((result["name"], result) for result in run_checks([result["name"] for result in failed], context))


def show(results: list[dict[str, Any]]) -> str:
    lines = []
    for result in results:
        reason = f": {result['cause']}" if result["cause"] else ""
        remedy = f" -> {result['remedy']}" if result["remedy"] else ""
        detail = f" ({result['detail']})" if result["detail"] else ""
        lines.append(f"{result['state']:<8} {result['name']:<14} {result['latency_ms']:>6} ms{reason}{remedy}{detail}")
    return "\n".join(lines)


def command_check(options: argparse.Namespace, names: list[str]) -> int:
    start = time.monotonic()
    secrets: list[str] = []
    context = None
    try:
        config = Config.load()
        secrets = sorted({text for text in secrets_of(config.content) if len(text) >= 6}, key=len, reverse=True)
        context = Context(config, options)
        results = run_checks_until_well(names, context)
    except Finding as finding:
        results = [{"name": "config", "state": FAILED, "cause": finding.cause, "remedy": finding.remedy, "detail": finding.detail,
                    "proves": "the application can read its configuration", "latency_ms": milliseconds(time.monotonic() - start)}]
    results = redact(results, secrets)
    if options.json:
        document = {"results": results, "at": time.time(), **({"presigned": context.presigned} if context and context.presigned else {})}
        say(json.dumps(document))
    else:
        say(show(results))
    return 1 if any(result["state"] == FAILED for result in results) else 0


# --- health checks of containers -------------------------------------------------------------------------------------------


def command_http(options: argparse.Namespace) -> int:
    try:
        answer = request("GET", options.url, options.timeout)
    except (OSError, http.client.HTTPException) as error:
        say(f"{options.url}: {type(error).__name__}: {error}")
        return 1
    if answer.status != options.status:
        say(f"{options.url}: status {answer.status} instead of {options.status}")
        return 1
    if options.body and not re.search(options.body, answer.text):
        say(f"{options.url}: the body is not the expected one")
        return 1
    return 0


def celery_app(config: Config, timeout: float) -> Any:
    """A Celery that only talks to the broker. The application's own takes seconds to import, and cannot be used this way."""
    # Celery lets these variables override what it is given.
    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
        os.environ.pop(name, None)
    app = package("celery").Celery("covstack-probe", broker=config.broker_url, set_as_current=False)
    app.conf.update(
        broker_connection_retry=False,
        broker_connection_max_retries=0,
        broker_connection_timeout=timeout,
        broker_transport_options={"socket_connect_timeout": timeout, "socket_timeout": timeout + 1, "max_retries": 0},
    )
    return app


def ping_until_answered(app: Any, node: str, timeout: float) -> list[dict[str, Any]]:
    """A ping is published to those who listen at that moment; a node that comes up a second later never hears of it."""
    end = time.monotonic() + timeout
    while True:
        left = end - time.monotonic()
        answers = app.control.ping(destination=[node], timeout=max(0.1, min(1.0, left)), limit=1)
        if answers or left <= 1.0:
            return answers or []


def command_worker(options: argparse.Namespace) -> int:
    """The node of this container answers through the broker. A draining one does not, and is none the worse for it."""
    if os.path.exists(DRAIN_FILE):
        say("draining")
        return 0
    node = f"celery@{os.environ.get('HOSTNAME') or socket.gethostname()}"
    try:
        answers = ping_until_answered(celery_app(Config.load(), options.timeout), node, options.timeout)
    except Finding as finding:
        say(finding.cause)
        return 1
    except Exception as error:  # kombu raises the errors of its transports
        say(f"no connection to the broker: {type(error).__name__}")
        return 1
    if not any(node in answer for answer in answers or []):
        say(f"{node} does not answer")
        return 1
    return 0


# --- repair ----------------------------------------------------------------------------------------------------------------

UPLOAD_TASK = "app.tasks.upload.Upload"
PROCESSOR_TASK = "app.tasks.upload.UploadProcessor"
FINISHER_TASK = "app.tasks.upload.UploadFinisher"
REPAIR_LOCK = "covstack/repair"
QUEUED, LIVE, TAKEN = "queued", "live", "taken"

LOST_ROWS = """
SELECT u.id AS upload_id, u.storage_path, u.state, extract(epoch FROM now() - u.created_at) AS age_s, cr.external_id::text AS reportid,
       cr.report_type, c.commitid, c.repoid, r.name, o.service, o.username
FROM reports_upload u JOIN reports_commitreport cr ON cr.id = u.report_id JOIN commits c ON c.id = cr.commit_id
JOIN repos r ON r.repoid = c.repoid JOIN owners o ON o.ownerid = r.ownerid
WHERE u.state = 'started' AND u.created_at < now() - make_interval(secs => %s) ORDER BY u.created_at, u.id
"""


class Task:
    """A task that the broker or a worker knows of. `where` is queued, live (a worker that answers has it) or taken (one that does not)."""

    def __init__(self, name: str, task_id: str, arguments: dict[str, Any], where: str, age: float = 0.0, tag: str = "", raw: bytes = b"") -> None:
        self.name, self.task_id, self.where, self.age, self.tag, self.raw = name, task_id, where, age, tag, raw
        self.commit = (str(arguments.get("repoid")), str(arguments.get("commitid")))
        inner = arguments.get("arguments")
        self.upload_id = inner.get("upload_id") if isinstance(inner, dict) else None


def task_of_message(message: dict[str, Any], where: str, age: float = 0.0, tag: str = "", raw: bytes = b"") -> Task | None:
    """The upload task in a message of the broker, if it is one."""
    import base64

    headers = message.get("headers") or {}
    if headers.get("task") not in (UPLOAD_TASK, PROCESSOR_TASK, FINISHER_TASK):
        return None
    try:
        content = json.loads(base64.b64decode(message["body"]))
        arguments = content[1]
    except (KeyError, ValueError, IndexError, TypeError):
        return None
    return Task(str(headers["task"]), str(headers.get("id")), arguments, where, age, tag, raw)


def arguments_of_inspection(request_: dict[str, Any]) -> dict[str, Any]:
    """Workers report keyword arguments as a mapping, older ones as its text."""
    arguments = request_.get("kwargs")
    if isinstance(arguments, str):
        import ast

        try:
            arguments = ast.literal_eval(arguments)
        except (ValueError, SyntaxError):
            arguments = {}
    return arguments if isinstance(arguments, dict) else {}


def live_tasks(app: Any) -> tuple[list[Task], list[str]]:
    """Tasks that workers have, and the names of the workers that answer."""
    nodes = sorted({name for answer in app.control.ping(timeout=1.5) or [] for name in answer})
    if not nodes:
        return [], []
    inspect = app.control.inspect(destination=nodes, timeout=5.0, limit=len(nodes))
    tasks = []
    for view in (inspect.active, inspect.reserved, inspect.scheduled):
        for entries in (view() or {}).values():
            for entry in entries:
                request_ = entry.get("request", entry)
                if request_.get("name") in (UPLOAD_TASK, PROCESSOR_TASK, FINISHER_TASK):
                    tasks.append(Task(str(request_["name"]), str(request_.get("id")), arguments_of_inspection(request_), LIVE))
    return tasks, nodes


def queued_tasks(client: Any, names: Iterable[str]) -> Iterator[Task]:
    for name in names:
        for raw in client.lrange(name, 0, -1):
            task = task_of_message(json.loads(raw), QUEUED)
            if task:
                yield task


def taken_tasks(client: Any, live: set[str]) -> Iterator[Task]:
    """Tasks that were delivered and not acknowledged, by workers that do not answer (any more)."""
    now = time.time()
    for tag, raw in client.hgetall("unacked").items():
        task = task_of_message(json.loads(raw)[0], TAKEN, tag=tag.decode(), raw=raw)
        if task and task.task_id not in live:
            delivered = client.zscore("unacked_index", tag)
            task.age = now - float(delivered) if delivered else 0.0
            yield task


def pending_key(repoid: Any, commitid: str, report_type: str | None) -> str:
    return f"uploads/{repoid}/{commitid}" + (f"/{report_type}" if report_type and report_type != "coverage" else "")


class Commit:
    """A commit with lost uploads: its pending list and the tasks that are about it."""

    def __init__(self, client: Any, repoid: Any, commitid: str, report_type: str | None, tasks: list[Task]) -> None:
        self.client, self.repoid, self.commitid, self.report_type = client, repoid, commitid, report_type or "coverage"
        self.key = pending_key(repoid, commitid, report_type)
        self.tasks = [task for task in tasks if task.commit == (str(repoid), commitid)]
        self.entries = [json.loads(raw) for raw in client.lrange(self.key, 0, -1)]
        self.pending_ids = {entry.get("upload_id") for entry in self.entries}
        self.processed_ids = {int(value) for value in client.smembers(self._state("processed"))}

    def _state(self, name: str) -> str:
        return f"upload-processing-state/{self.repoid}/{self.commitid}/{name}"

    def task_for(self, upload_id: int | None, older_than: float) -> Task | None:
        """The task that will see to an upload, or to the pending list (None); one that is alive first."""
        for task in sorted(self.tasks, key=lambda task: (QUEUED, LIVE, TAKEN).index(task.where)):
            if task.name == UPLOAD_TASK:
                # It empties the list when it starts, and knows its uploads only from there: a dead one that did so is of no use any more.
                at_work = task.where == LIVE or (task.where == TAKEN and task.age < older_than)
                if upload_id is None or upload_id in self.pending_ids or at_work:
                    return task
            if task.name == PROCESSOR_TASK and task.upload_id == upload_id:
                return task
            # What is processed waits for the finisher, which comes after the last processor.
            if task.name != UPLOAD_TASK and upload_id in self.processed_ids:
                return task
        return None

    def prepare(self, row: dict[str, Any]) -> None:
        """Put an upload back to where the API leaves it: in the pending list, and in no other state."""
        upload_id = row["upload_id"]
        entry = {"commit": self.commitid, "upload_id": upload_id, "version": "v4", "reportid": row["reportid"]}
        with self.client.pipeline() as pipeline:
            for name in ("processing", "processed"):
                pipeline.srem(self._state(name), upload_id)
            pipeline.delete(f"intermediate-report/{upload_id}")
            if upload_id not in self.pending_ids:
                pipeline.rpush(self.key, json.dumps(entry))
            pipeline.expire(self.key, DAY)
            pipeline.execute()
        self.pending_ids.add(upload_id)


GIVE_BACK = """
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('RPUSH', KEYS[3], ARGV[2])
return 1
"""


def give_back(client: Any, task: Task) -> bool:
    """What the broker does itself when its visibility timeout is over: the task is the next one to be taken."""
    message, _exchange, queue = json.loads(task.raw)
    message["headers"]["redelivered"] = True
    message["properties"]["delivery_info"]["redelivered"] = True
    return bool(client.eval(GIVE_BACK, 3, "unacked", "unacked_index", queue, task.tag, json.dumps(message)))


class Repair:
    def __init__(self, config: Config, options: argparse.Namespace) -> None:
        self.config, self.options = config, options
        self.client = connect_redis(config.redis_url, options.timeout)
        self.broker = connect_redis(config.broker_url, options.timeout) if config.broker_url != config.redis_url else self.client
        self.app = celery_app(config, options.timeout)
        self.storage = Storage(config)
        self.connection = connect_postgres(str(config.get("services", "database_url")), options.timeout)
        self.findings: list[dict[str, Any]] = []
        self.commits: dict[str, Commit] = {}
        self.to_send: dict[str, Commit] = {}
        self.given_back: set[str] = set()

    def run(self) -> dict[str, Any]:
        lock = os.urandom(8).hex()
        if not self.options.dry_run and not self.client.set(REPAIR_LOCK, lock, nx=True, ex=300):
            raise Finding("another repair is running", "wait for it")
        try:
            self._examine()
            if not self.options.dry_run:
                for commit in self.to_send.values():
                    self._send(commit)
        finally:
            if not self.options.dry_run and self.client.get(REPAIR_LOCK) == lock.encode():
                self.client.delete(REPAIR_LOCK)
        still_started = self._wait() if self.options.wait and not self.options.dry_run else None
        counts = {action: sum(finding["action"] == action for finding in self.findings)
                  for action in ("resent", "restored", "pending", "unrecoverable", "deferred")}
        return {"uploads": self.findings, "counts": counts, "still_started": still_started, "workers": self.nodes}

    def _examine(self) -> None:
        with self.connection.cursor() as cursor:
            if not table_exists(cursor, "reports_upload"):
                self.nodes: list[str] = []
                return
            lost = rows(cursor, LOST_ROWS, [self.options.older_than])
        live, self.nodes = live_tasks(self.app)
        known = {task.task_id for task in live}
        names = queue_names(self.config, [self.queue])
        self.tasks = [*live, *queued_tasks(self.broker, names), *taken_tasks(self.broker, known)]
        if lost:
            self.storage.require_bucket(self.options.timeout)  # with the wrong one, every report would look lost for good
        for row in lost:
            self._decide(row)
        self._examine_pending_lists({row["upload_id"] for row in lost})

    def _commit(self, repoid: Any, commitid: str, report_type: str | None) -> Commit:
        key = pending_key(repoid, commitid, report_type)
        if key not in self.commits:
            self.commits[key] = Commit(self.client, repoid, commitid, report_type, self.tasks)
        return self.commits[key]

    def _decide(self, row: dict[str, Any]) -> None:
        commit = self._commit(row["repoid"], row["commitid"], row["report_type"])
        finding = {"upload_id": row["upload_id"], "repository": f"{row['service']}/{row['username']}/{row['name']}", "commit": row["commitid"],
                   "age_s": int(row["age_s"]), "state": row["state"]}
        task = commit.task_for(row["upload_id"], self.options.older_than)
        if task:
            self.findings.append({**finding, **self._leave_or_give_back(task)})
            return
        path = str(row["storage_path"] or "")
        if not path.startswith("http") and (not path or self.storage.missing(path, self.options.timeout)):
            self.findings.append({**finding, "action": "unrecoverable", "reason": "its report is not in the object storage: the client's PUT never arrived"})
            if self.options.give_up and not self.options.dry_run:
                commit.prepare(row)
                self.to_send[commit.key] = commit
            return
        if sum(known["action"] == "resent" for known in self.findings) >= self.options.limit:
            self.findings.append({**finding, "action": "deferred", "reason": f"beyond the limit of {self.options.limit}"})
            return
        self.findings.append({**finding, "action": "resent", "reason": "no queue and no worker has a task for it"})
        if not self.options.dry_run:
            commit.prepare(row)
            self.to_send[commit.key] = commit

    def _leave_or_give_back(self, task: Task) -> dict[str, str]:
        short = task.name.rsplit(".", 1)[-1]
        if task.where == QUEUED:
            return {"action": "pending", "reason": f"the task {short} waits in its queue"}
        if task.where == LIVE:
            return {"action": "pending", "reason": f"a worker has the task {short}"}
        if task.age < self.options.older_than:
            return {"action": "pending", "reason": f"a worker that does not answer took the task {short} {task.age:.0f} s ago"}
        if not self.options.dry_run and task.tag not in self.given_back:
            give_back(self.broker, task)
            self.given_back.add(task.tag)
        return {"action": "restored", "reason": f"a worker that does not answer took the task {short} {task.age:.0f} s ago"}

    def _examine_pending_lists(self, lost: set[int]) -> None:
        """Lists that no task will empty. Uploads of the older uploaders have no row in the database until a task has seen them."""
        for raw in self.client.scan_iter(match="uploads/*", count=1000):
            parts = raw.decode().split("/")
            if len(parts) not in (3, 4):
                continue
            commit = self._commit(parts[1], parts[2], parts[3] if len(parts) == 4 else None)
            if commit.key in self.to_send or not commit.entries or commit.pending_ids & lost:
                continue
            left = self.client.ttl(raw)
            age = DAY - left if left >= 0 else DAY
            if age < self.options.older_than:
                continue
            task = commit.task_for(None, self.options.older_than)
            decision = self._leave_or_give_back(task) if task else {"action": "resent", "reason": "no task empties the commit's pending list"}
            self.findings.append({"upload_id": None, "repository": f"repository {commit.repoid}", "commit": commit.commitid, "age_s": int(age),
                                  "state": "started", **decision})
            if not task:
                self.to_send[commit.key] = commit

    @property
    def queue(self) -> str:
        default = self.config.get("setup", "tasks", "celery", "default_queue") or DEFAULT_QUEUE
        return str(self.options.queue or self.config.get("setup", "tasks", "upload", "queue") or default)

    def _send(self, commit: Commit) -> None:
        """The task as the API sends it."""
        from datetime import datetime, timezone

        arguments = {"repoid": int(commit.repoid), "commitid": commit.commitid, "report_type": commit.report_type, "arguments": None,
                     "debug": False, "rebuild": False}
        created = datetime.now(timezone.utc).replace(tzinfo=None).isoformat()
        self.app.send_task(UPLOAD_TASK, kwargs=arguments, queue=self.queue, headers={"created_timestamp": created}, ignore_result=True)

    def _wait(self) -> int:
        """Until what was sent is processed, or the time is over; returns how many uploads are still unprocessed."""
        ids = [finding["upload_id"] for finding in self.findings if finding["action"] in ("resent", "restored") and finding["upload_id"]]
        deadline = time.monotonic() + self.options.wait
        states: dict[int, str] = {}
        while ids:
            with self.connection.cursor() as cursor:
                states = {row["id"]: row["state"] for row in rows(cursor, "SELECT id, state FROM reports_upload WHERE id = ANY(%s)", [ids])}
            if all(state != "started" for state in states.values()) or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        for finding in self.findings:
            finding["state"] = states.get(finding["upload_id"], finding["state"])
        return sum(state == "started" for state in states.values())


def command_repair(options: argparse.Namespace) -> int:
    secrets: list[str] = []
    try:
        config = Config.load()
        secrets = sorted({text for text in secrets_of(config.content) if len(text) >= 6}, key=len, reverse=True)
        redis = package("redis")
        try:
            document = Repair(config, options).run()
        except redis.exceptions.RedisError as error:
            raise redis_finding(error, config.redis_url) from None
    except Finding as finding:
        document = {"error": {"cause": finding.cause, "remedy": finding.remedy, "detail": finding.detail}}
    document = redact(document, secrets)
    if options.json:
        say(json.dumps(document))
    elif "error" in document:
        say(f"{document['error']['cause']} -> {document['error']['remedy']}")
    else:
        for found in document["uploads"]:
            say(f"{found['action']:<13} {found['repository']} {found['commit'][:12]} upload {found['upload_id']}, {found['age_s']} s: {found['reason']}")
        say(", ".join(f"{number} {action}" for action, number in document["counts"].items()))
    return 1 if "error" in document else 0


# --- command line ----------------------------------------------------------------------------------------------------------


# --- readiness of a host behind load balancers -------------------------------------------------------------------------------


class Readiness:
    """Whether a host is to get requests: its own way to the application works, PostgreSQL and Redis answer, and nobody drains it.

    The health of the api says nothing about Redis, without which it takes no upload. Several load balancers ask every few seconds: an answer
    holds for a moment, and one question at a time is asked.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        import threading

        self.options, self.config = options, Config.load()
        self._lock = threading.Lock()
        self._asked_at = float("-inf")
        self._problems: list[str] = []

    @property
    def is_draining(self) -> bool:
        return os.path.exists(self.options.drain_file)

    def problems(self) -> list[str]:
        with self._lock:
            if time.monotonic() - self._asked_at >= self.options.hold:
                self._problems = self._ask()
                self._asked_at = time.monotonic()
            return self._problems

    def _ask(self) -> list[str]:
        """All at once. What does not answer in time, such as a frozen server, is left behind in its thread."""
        import threading

        questions = {"application": self._application, "postgres": self._postgres, "redis": self._redis}
        found = dict.fromkeys(questions, "no answer in time")

        def ask(name: str) -> None:
            found[name] = questions[name]()

        threads = [threading.Thread(target=ask, args=(name,), daemon=True) for name in questions]
        for thread in threads:
            thread.start()
        end = time.monotonic() + self.options.timeout + 1
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        return [f"{name}: {problem}" for name, problem in dict(found).items() if problem]

    def _application(self) -> str:
        try:
            answer = request("GET", self.options.url, self.options.timeout)
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        good = answer.status == 200 and (not self.options.body or re.search(self.options.body, answer.text))
        return "" if good else f"status {answer.status}" + (" with another body" if answer.status == 200 else "")

    def _postgres(self) -> str:
        try:
            connection = connect_postgres(str(self.config.get("services", "database_url")), self.options.timeout)
        except Finding as finding:
            return finding.cause
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except package("psycopg2").Error as error:
            return type(error).__name__
        finally:
            connection.close()
        return ""

    def _redis(self) -> str:
        try:
            client = connect_redis(self.config.redis_url, self.options.timeout)
            client.ping()
            client.close()
        except (OSError, package("redis").exceptions.RedisError) as error:
            return redis_finding(error, self.config.redis_url).cause
        return ""


def command_serve(options: argparse.Namespace) -> int:
    """/ready is for load balancers, /well for those who want to know about a host that is drained, /alive says that this runs."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    readiness = Readiness(options)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path.rstrip("/")
            if path not in ("/alive", "/ready", "/well"):
                self._answer(404, "known are /ready, /well and /alive")
                return
            problems = [] if path == "/alive" else readiness.problems()
            if path == "/ready" and readiness.is_draining:
                problems = ["this host is being drained", *problems]
            self._answer(503 if problems else 200, "; ".join(problems) or "well")

        do_HEAD = do_GET

        def _answer(self, status: int, text: str) -> None:
            body = f"{text}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            """Balancers ask all the time: nothing to note."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, _request: Any, _address: Any) -> None:
            """A balancer that hangs up early is no event."""

    import signal

    # The first process of a container has no default handler.
    signal.signal(signal.SIGTERM, lambda *_arguments: os._exit(0))
    Server(("0.0.0.0", options.port), Handler).serve_forever()
    return 0


def parser() -> argparse.ArgumentParser:
    import argparse

    main_parser = argparse.ArgumentParser(prog="probe.py", description="Probe of a Codecov container")
    commands = main_parser.add_subparsers(dest="command", required=True)

    web = commands.add_parser("http", help="health check of a web container")
    web.add_argument("url")
    web.add_argument("--status", type=int, default=200)
    web.add_argument("--body", help="regular expression that the body contains")
    web.add_argument("--timeout", type=float, default=4.0)

    worker = commands.add_parser("worker", help="health check of a worker container")
    worker.add_argument("--timeout", type=float, default=6.0)

    check = commands.add_parser("check", help="dependencies as seen from this container")
    check.add_argument("names", nargs="+", choices=sorted(CHECKS), metavar="NAME")
    check.add_argument("--json", action="store_true")
    check.add_argument("--timeout", type=float, default=8.0)
    check.add_argument("--wait", type=float, default=0.0, help="seconds in which services that are starting may become well")
    check.add_argument("--afterwards", action="append", default=[], choices=sorted(CHECKS), metavar="NAME",
                       help="a dependency that the command after -- does not need: asked when it has ended well")
    check.add_argument("--minimum-postgres", default="14")
    check.add_argument("--minimum-redis", default="6.2")
    check.add_argument("--queue", action="append", default=[])
    check.add_argument("--queue-age", type=float, default=600)
    check.add_argument("--stuck-upload-age", type=float, default=900)
    check.add_argument("--license-days", type=int, default=30)
    check.add_argument("--clock-skew", type=float, default=5)
    check.add_argument("--presign", action="store_true", help="also print presigned URLs of an object for a probe from outside")
    check.add_argument("--public-url")
    check.add_argument("--public-path", default="/api_health/")
    check.add_argument("--public-body", help="regular expression that the body at --public-path contains")

    repair = commands.add_parser("repair", help="give lost uploads to the workers again")
    repair.add_argument("--older-than", type=float, default=900)
    repair.add_argument("--wait", type=float, default=0)
    repair.add_argument("--limit", type=int, default=500)
    repair.add_argument("--queue")
    repair.add_argument("--give-up", action="store_true")
    repair.add_argument("--dry-run", action="store_true")
    repair.add_argument("--timeout", type=float, default=8.0)
    repair.add_argument("--json", action="store_true")

    serve = commands.add_parser("serve", help="tell load balancers whether this host is to get requests")
    serve.add_argument("--port", type=int, default=8089)
    serve.add_argument("--url", required=True, help="the application, by way of this host's own entry")
    serve.add_argument("--body", help="regular expression that the body at --url contains")
    serve.add_argument("--drain-file", default="/covstack/drain/draining")
    serve.add_argument("--timeout", type=float, default=2.0)
    serve.add_argument("--hold", type=float, default=1.0, help="seconds for which an answer holds")
    return main_parser


def run_to_its_end(command: list[str]) -> int:
    """A command in this process's stead, so that a stop reaches it."""
    import signal
    import subprocess

    stops = (signal.SIGTERM, signal.SIGINT)
    # They wait until there is somebody to hand them on to.
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    child = subprocess.Popen(command, preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, stops))
    for number in stops:
        signal.signal(number, lambda received, _frame: child.send_signal(received))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
    return child.wait()


def command_check_and_run(options: argparse.Namespace, command: list[str]) -> int:
    status = command_check(options, options.names)
    if status or not command:
        return status
    if not options.afterwards:
        os.execvp(command[0], command)
    return run_to_its_end(command) or command_check(options, options.afterwards)


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    end = given.index("--") if "--" in given else len(given)
    options, following = parser().parse_args(given[:end]), given[end + 1 :]
    if following and options.command != "check":
        parser().error(f"{options.command} takes no command to run afterwards")
    if options.command in YIELDING:
        os.nice(NICENESS)
    if options.command == "check":
        return command_check_and_run(options, following)
    commands = {"http": command_http, "worker": command_worker, "repair": command_repair, "serve": command_serve}
    return commands[options.command](options)


if __name__ == "__main__":
    status = main()
    # A check that hangs in a thread must not keep the container's health check from ending.
    sys.stdout.flush()
    os._exit(status)
