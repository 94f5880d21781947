# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chart, rendered by the real Helm; and Kubernetes' own schemas, offline."""

from __future__ import annotations

import functools
import importlib.resources
import json
import pathlib
import subprocess
import tempfile
from typing import Any

import jsonschema
import referencing
import referencing.jsonschema
import yaml

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
CHART = REPOSITORY / "charts" / "codecov"
HELMS = ("3", "4")
# The oldest version that the chart takes (Chart.yaml), and the newest that has been published.
KUBERNETES = ("1.29.0", "1.37.0")
NAMESPACE = "ours"
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Object = dict[str, Any]


class Refused(Exception):
    """Helm did not render, and says why."""


def run(helm: str, *arguments: str, values: Object) -> str:
    """Helm's answer to values."""
    program = REPOSITORY / ".cache" / "helm" / helm / "helm"
    assert program.exists(), "no helm here: run `make venv`"
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values, file)
        file.flush()
        verb, *rest = arguments
        result = subprocess.run([program, verb, *rest, "--values", file.name], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise Refused(result.stdout + result.stderr)
    return result.stdout


def render(values: Object, *flags: str, helm: str = "3") -> list[Object]:
    """The objects of a release."""
    return list(_render(json.dumps(values, sort_keys=True), flags, helm))


@functools.cache
def _render(values: str, flags: tuple[str, ...], helm: str) -> tuple[Object, ...]:
    output = run(helm, "template", "codecov", str(CHART), "--namespace", NAMESPACE, *flags, values=json.loads(values))
    return tuple(document for document in yaml.load_all(output, Loader=LOADER) if document)


def of_kind(objects: list[Object], kind: str) -> dict[str, Object]:
    """Objects of a kind, by name."""
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == kind}


def pods(objects: list[Object]) -> dict[str, Object]:
    """Pod templates of whatever makes pods, by kind and name."""
    found = {f"{item['kind']}/{item['metadata']['name']}": item["spec"] for item in objects if item["kind"] in ("Deployment", "StatefulSet", "Job", "CronJob")}
    return {name: (spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec)["template"] for name, spec in found.items()}


# --- schemas ------------------------------------------------------------------------------------------------------------------


@functools.cache
def _definitions(version: str) -> Any:
    return _schema(version, "_definitions.json")


def _schema(version: str, name: str) -> Any:
    directory = importlib.resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}-local-strict"
    return json.loads((directory / name).read_text())


@functools.cache
def _validator(version: str, kind: str, api_version: str) -> jsonschema.Draft7Validator:
    group = api_version.split("/")[0].split(".")[0] + "-" + api_version.split("/")[1] if "/" in api_version else api_version
    resource = referencing.Resource(contents=_definitions(version), specification=referencing.jsonschema.DRAFT7)
    registry: Any = referencing.Registry().with_resource("_definitions.json", resource)
    return jsonschema.Draft7Validator(_schema(version, f"{kind.lower()}-{group}.json"), registry=registry)


def schema_errors(item: Object, version: str) -> list[str]:
    """What Kubernetes of that version would say against an object. Fields that it does not know are errors, too."""
    return list(_schema_errors(json.dumps(item, sort_keys=True), version))


@functools.cache
def _schema_errors(item: str, version: str) -> tuple[str, ...]:
    """Combinations of settings have most of their objects in common, and a schema takes its time."""
    given: Object = json.loads(item)
    validator = _validator(version, given["kind"], given["apiVersion"])
    where = f"{given['kind']}/{given['metadata']['name']}"
    return tuple(f"{where} {'.'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(given))
