"""The merge and the environment: pure functions, no servers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from standin import config
from standin.database import connection_parameters


@pytest.mark.parametrize(
    ("left", "right", "merged"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": {"b": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}),
    ],
)
def test_mappings_merge_and_everything_else_replaces(left, right, merged):
    assert config.merge(left, right) == merged


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("On", True), ("OFF", False), ("12", 12), ("-3", -3), ("1.5", 1.5), ("yes", "yes"), ("no", "no"), ("", ""), ("0x1", "0x1")],
)
def test_environment_values_are_cast(text, value):
    assert config.from_environment({"A__B": text}) == {"a": {"b": value}}


def test_environment_names_and_json():
    environment = {"PLAIN": "1", "__NO": "1", "SETUP__HTTP__COOKIE_SECRET": "12345", "JSONCONFIG___SETUP__ADMINS": '[{"username": "a"}]'}
    assert config.from_environment(environment) == {"setup": {"http": {"cookie_secret": 12345}, "admins": [{"username": "a"}]}}


def test_environment_names_within_each_other_crash_as_in_the_application():
    with pytest.raises(TypeError):
        config.from_environment({"A__B": "x", "A__B__C": "y"})


def test_environment_wins_over_file_and_file_over_defaults(tmp_path):
    path = tmp_path / "codecov.yml"
    path.write_text("services: {minio: {host: from-file, region: r}}")
    loaded = config.load({"CODECOV_YML": str(path), "SERVICES__MINIO__REGION": "from-env"})
    minio = loaded["services"]["minio"]
    assert (minio["host"], minio["region"], minio["access_key_id"]) == ("from-file", "from-env", "codecov-default-key")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "AttributeError: 'NoneType' object has no attribute 'items'"),
        ("- a\n- b\n", "AttributeError: 'list' object has no attribute 'items'"),
        ("a: [1\nb: 2\n", 'in "<unicode string>", line 2'),
    ],
)
def test_unusable_files_end_the_process(tmp_path, content, message):
    path = tmp_path / "codecov.yml"
    path.write_text(content)
    environment = {"CODECOV_YML": str(path), "PYTHONPATH": str(Path(config.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", "import standin.config"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert message in done.stderr


def test_only_the_worker_decodes_the_password_and_keeps_the_query():
    url = "postgresql://user:p%40ss@db:5433/name?sslmode=require"
    assert connection_parameters(url, like_worker=False) == {"user": "user", "password": "p%40ss", "host": "db", "port": 5433, "dbname": "name"}
    worker = connection_parameters(url, like_worker=True)
    assert (worker["password"], worker["sslmode"]) == ("p@ss", "require")
