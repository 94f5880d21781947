# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the API server of a Kubernetes cluster, for the control flow of the role: what is written is kept, and is well at once.

    python -m cluster.api_server --port PORT [--kubeconfig FILE]

It is no Kubernetes: nothing is validated, scheduled or run. A Job whose image is called `broken` fails; a Deployment with it never becomes ready.
Commands in a pod run where the server is told to run them (`execute`): in a container of Docker that stands for all pods of the service.
Helm and the Python client work with it as far as the tests go. What a real API server would say is for a real one to say.
"""

from __future__ import annotations

import argparse
import base64
import concurrent.futures
import contextlib
import copy
import dataclasses
import hashlib
import http.server
import itertools
import json
import pathlib
import re
import struct
import subprocess
import threading
import typing as t
import uuid
from urllib.parse import parse_qs, urlsplit

import yaml

Object = dict[str, t.Any]
Objects = dict[tuple[str, str, str | None, str], Object]

LONGEST_MESSAGE = 60000
VERSION = {"major": "1", "minor": "34", "gitVersion": "v1.34.2", "platform": "linux/amd64"}
# group/version: {plural: (kind, namespaced)}
KINDS: dict[str, dict[str, tuple[str, bool]]] = {
    "v1": {
        "namespaces": ("Namespace", False), "secrets": ("Secret", True), "configmaps": ("ConfigMap", True), "services": ("Service", True),
        "serviceaccounts": ("ServiceAccount", True), "pods": ("Pod", True), "persistentvolumeclaims": ("PersistentVolumeClaim", True),
        "resourcequotas": ("ResourceQuota", True), "events": ("Event", True),
    },
    "apps/v1": {"deployments": ("Deployment", True), "statefulsets": ("StatefulSet", True), "replicasets": ("ReplicaSet", True)},
    "batch/v1": {"jobs": ("Job", True), "cronjobs": ("CronJob", True)},
    "autoscaling/v2": {"horizontalpodautoscalers": ("HorizontalPodAutoscaler", True)},
    "policy/v1": {"poddisruptionbudgets": ("PodDisruptionBudget", True)},
    "networking.k8s.io/v1": {"ingresses": ("Ingress", True), "networkpolicies": ("NetworkPolicy", True), "ingressclasses": ("IngressClass", False)},
    "rbac.authorization.k8s.io/v1": {"roles": ("Role", True), "rolebindings": ("RoleBinding", True)},
    "scheduling.k8s.io/v1": {"priorityclasses": ("PriorityClass", False)},
    "storage.k8s.io/v1": {"storageclasses": ("StorageClass", False)},
    "authorization.k8s.io/v1": {
        "selfsubjectaccessreviews": ("SelfSubjectAccessReview", False), "selfsubjectrulesreviews": ("SelfSubjectRulesReview", False),
    },
    "cert-manager.io/v1": {"clusterissuers": ("ClusterIssuer", False)},
    "metrics.k8s.io/v1beta1": {"pods": ("PodMetrics", True)},
}  # fmt: skip
_GROUP = r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+/[^/]+))"
_PATH = re.compile(_GROUP + r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?(?:/status)?")
_NAMESPACE = re.compile(r"/api/v1/namespaces/(?P<name>[^/]+)")


@dataclasses.dataclass(frozen=True)
class Place:
    group: str
    plural: str
    namespace: str | None
    name: str | None

    @property
    def collection(self) -> tuple[str, str, str | None]:
        return (self.group, self.plural, self.namespace)


def place_of(path: str) -> Place | None:
    namespace = _NAMESPACE.fullmatch(path)
    if namespace:
        return Place("v1", "namespaces", None, namespace["name"])
    found = _PATH.fullmatch(path)
    if not found or found["plural"] not in KINDS.get(found["core"] or found["group"], {}):
        return None
    return Place(found["core"] or found["group"], found["plural"], found["namespace"], found["name"])


def merged(old: t.Any, patch: t.Any) -> t.Any:
    """A merge patch. A strategic one and an applied object are taken for the same, which is enough for what the tests look at."""
    if not isinstance(old, dict) or not isinstance(patch, dict):
        return patch
    result = {key: value for key, value in old.items() if not (key in patch and patch[key] is None)}
    return {**result, **{key: merged(result.get(key), value) for key, value in patch.items() if value is not None and not key.startswith("$")}}


def matches(item: Object, selector: str) -> bool:
    labels = item["metadata"].get("labels") or {}
    for term in filter(None, selector.split(",")):
        key, _operator, value = re.match(r"([^!=]+)(!=|==|=)?(.*)", term).groups()  # type: ignore[union-attr]
        if (_operator == "!=") == (labels.get(key) == value):
            return False
    return True


class Store:
    """Objects by place, and every change as an event."""

    def __init__(self) -> None:
        self.objects: Objects = {}
        self.events: list[tuple[int, str, tuple[str, str, str | None], Object]] = []
        self.changed = threading.Condition()
        self.versions = itertools.count(1)
        self.writes: list[str] = []

    def copy(self) -> Objects:
        """All objects as they are now."""
        with self.changed:
            return copy.deepcopy(self.objects)

    def replace(self, objects: Objects) -> None:
        """Be what a copy was, and forget what has been written since."""
        with self.changed:
            self.objects, self.writes = copy.deepcopy(objects), []

    def get(self, place: Place) -> Object | None:
        return self.objects.get((*place.collection, str(place.name)))

    def found(self, place: Place, selector: str = "") -> list[Object]:
        here = (item for key, item in sorted(self.objects.items(), key=str) if key[:2] == place.collection[:2] and place.namespace in (None, key[2]))
        return [item for item in here if matches(item, selector)]

    def put(self, place: Place, item: Object, record: bool = True) -> Object:
        key = (*place.collection, item["metadata"]["name"])
        old = self.objects.get(key)
        metadata = item["metadata"]
        metadata.setdefault("uid", old["metadata"]["uid"] if old else str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        if place.namespace:
            metadata["namespace"] = place.namespace
        changed = not old or old.get("spec") != item.get("spec")
        metadata["generation"] = (old["metadata"]["generation"] if old else 0) + int(changed)
        kind, _namespaced = KINDS[place.group][place.plural]
        item = {"apiVersion": place.group, "kind": kind, **item}
        well(item)
        with self.changed:
            metadata["resourceVersion"] = str(next(self.versions))
            self.objects[key] = item
            self.events.append((int(metadata["resourceVersion"]), "MODIFIED" if old else "ADDED", place.collection, copy.deepcopy(item)))
            if record:
                self.writes.append(f"{'update' if old else 'create'} {kind}/{metadata['name']}")
            self.changed.notify_all()
        if kind == "Deployment":
            self._replica_set(place, item)
        if kind == "HorizontalPodAutoscaler":
            self._scale(place, item["spec"])
        return item

    def _scale(self, place: Place, spec: Object) -> None:
        """As the autoscaler does where there is no load."""
        target = Place("apps/v1", "deployments", place.namespace, spec["scaleTargetRef"]["name"])
        deployment = self.get(target)
        if deployment:
            number = min(max(deployment["spec"]["replicas"], spec["minReplicas"]), spec["maxReplicas"])
            self.put(target, {**deployment, "spec": {**deployment["spec"], "replicas": number}}, record=False)

    def pods(self, namespace: str | None) -> list[Object]:
        """Those that Deployments and StatefulSets would have by now."""
        owners = [item for key, item in self.objects.items() if item["kind"] in ("Deployment", "StatefulSet") and namespace in (None, key[2])]
        return [pod_of(owner, number) for owner in owners for number in range(owner["spec"]["replicas"])]

    def _replica_set(self, place: Place, deployment: Object) -> None:
        """Helm 3 takes a Deployment for ready when its newest ReplicaSet is."""
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "controller": True, **{key: deployment["metadata"][key] for key in ("name", "uid")}}
        template = hashlib.sha256(json.dumps(deployment["spec"]["template"], sort_keys=True).encode()).hexdigest()[:10]
        name = f"{deployment['metadata']['name']}-{template}"
        number = deployment["status"].get("readyReplicas", 0)
        replica_set = {
            "metadata": {"name": name, "ownerReferences": [owner], "labels": dict(deployment["spec"]["template"]["metadata"]["labels"])},
            "spec": {key: copy.deepcopy(deployment["spec"][key]) for key in ("selector", "template")},
            "status": {"replicas": number, "readyReplicas": number, "observedGeneration": 1},
        }
        self.put(dataclasses.replace(place, plural="replicasets", name=name), replica_set, record=False)

    def delete(self, place: Place) -> Object | None:
        with self.changed:
            item = self.objects.pop((*place.collection, str(place.name)), None)
            if item:
                self.events.append((next(self.versions), "DELETED", place.collection, item))
                self.writes.append(f"delete {item['kind']}/{place.name}")
                self.changed.notify_all()
        return item


def broken(item: Object) -> bool:
    containers = item["spec"]["template"]["spec"]["containers"]
    return any("/broken:" in container["image"] for container in containers)


def well(item: Object) -> None:
    """The status that a cluster would bring about in time."""
    kind, generation = item["kind"], item["metadata"]["generation"]
    if kind in ("Deployment", "StatefulSet"):
        item["spec"].setdefault("replicas", 1)
        item["spec"].setdefault("updateStrategy" if kind == "StatefulSet" else "strategy", {"type": "RollingUpdate"})
        number = 0 if broken(item) else item["spec"]["replicas"]
        counts = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas", "availableReplicas", "currentReplicas"), number)
        conditions = [{"type": name, "status": str(bool(number)), "reason": "NewReplicaSetAvailable"} for name in ("Available", "Progressing")]
        item["status"] = {**counts, "observedGeneration": generation, "conditions": conditions, "currentRevision": "1", "updateRevision": "1"}
    elif kind == "Job":
        name = "Failed" if broken(item) else "Complete"
        ended = {"failed": 1} if broken(item) else {"succeeded": 1, "completionTime": "2026-01-01T00:00:01Z"}
        condition = {"type": name, "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}
        item["status"] = {**ended, "startTime": "2026-01-01T00:00:00Z", "conditions": [condition]}
    elif kind == "Service":
        item["spec"].setdefault("clusterIP", "10.96.0.1")
    elif kind == "Namespace":
        item["status"] = {"phase": "Active"}
    elif kind == "Ingress":
        item["status"] = {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}
    elif kind == "PodDisruptionBudget":
        item["status"] = {"observedGeneration": generation, "currentHealthy": 1, "desiredHealthy": 1, "disruptionsAllowed": 1, "expectedPods": 1}
    elif kind == "HorizontalPodAutoscaler":
        item["status"] = {"currentReplicas": 2, "desiredReplicas": 2, "conditions": [{"type": "AbleToScale", "status": "True"}]}


def pod_of(owner: Object, number: int) -> Object:
    template = owner["spec"]["template"]
    name, is_well = template["spec"]["containers"][0]["name"], not broken(owner)
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}} if is_well else {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    metadata = {"name": f"{owner['metadata']['name']}-{number}", "namespace": owner["metadata"]["namespace"], "labels": template["metadata"]["labels"]}
    status = {"containerStatuses": [{"name": name, "ready": is_well, "started": is_well, "restartCount": 0, "state": state}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"], "status": status}


# --- Helm's records ---------------------------------------------------------------------------------------------------------------

# Helm writes its Secrets as protocol buffers, and takes JSON for an answer.
PROTOBUF = b"k8s\x00"


def _number(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _fields(content: bytes) -> dict[int, list[bytes]]:
    """Fields of a message that have a length: texts, bytes and messages."""
    found: dict[int, list[bytes]] = {}
    at = 0
    while at < len(content):
        tag, at = _number(content, at)
        if tag & 7 == 2:
            length, at = _number(content, at)
            found.setdefault(tag >> 3, []).append(content[at : at + length])
            at += length
        else:
            _value, at = _number(content, at)
    return found


def _map(entries: list[bytes]) -> dict[str, bytes]:
    pairs = [_fields(entry) for entry in entries]
    return {pair[1][0].decode(): pair.get(2, [b""])[0] for pair in pairs}


def secret_of(content: bytes) -> Object:
    """A Secret out of the envelope that Kubernetes puts around messages."""
    message = _fields(_fields(content[len(PROTOBUF) :])[2][0])
    metadata = _fields(message[1][0])
    labels = {key: value.decode() for key, value in _map(metadata.get(11, [])).items()}
    data = {key: base64.b64encode(value).decode() for key, value in _map(message.get(2, [])).items()}
    return {"metadata": {"name": metadata[1][0].decode(), "labels": labels}, "data": data, "type": message.get(3, [b"Opaque"])[0].decode()}


# --- discovery ------------------------------------------------------------------------------------------------------------------


def resources(group: str) -> Object:
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    shared = {"singularName": "", "verbs": verbs}
    found = [{"name": plural, "namespaced": namespaced, "kind": kind, **shared} for plural, (kind, namespaced) in KINDS[group].items()]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": found}


def groups(absent: t.Collection[str]) -> Object:
    found = []
    for group in KINDS:
        if "/" in group and group.split("/")[0] not in absent:
            version = {"groupVersion": group, "version": group.split("/")[1]}
            found.append({"name": group.split("/")[0], "versions": [version], "preferredVersion": version})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def openapi(group: str) -> Object:
    """Just enough for a client to learn that the server validates fields itself."""
    paths = {}
    name, version = group.split("/") if "/" in group else ("", group)
    for plural, (kind, _namespaced) in KINDS[group].items():
        operation = {
            "x-kubernetes-group-version-kind": {"group": name, "version": version, "kind": kind},
            "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
            "responses": {"200": {"description": "OK"}},
        }
        paths[f"/{'apis' if name else 'api'}/{group}/namespaces/{{namespace}}/{plural}/{{name}}"] = {"patch": operation}
    return {"openapi": "3.0.0", "info": {"title": "stand-in", "version": "1"}, "paths": paths}


def discovery(path: str, version: Object, absent: t.Collection[str]) -> Object | None:
    if path == "/version":
        return version
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        return groups(absent)
    if path == "/openapi/v3":
        names = {f"apis/{group}" if "/" in group else f"api/{group}" for group in KINDS}
        return {"paths": {name: {"serverRelativeURL": f"/openapi/v3/{name}"} for name in names}}
    found = re.fullmatch(r"(?P<openapi>/openapi/v3)?/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+/[^/]+))", path)
    group = (found["core"] or found["group"]) if found else None
    if found and group in KINDS:
        return openapi(group) if found["openapi"] else resources(group)
    return None


# --- HTTP -----------------------------------------------------------------------------------------------------------------------


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.store = Store()
        self.forbidden: set[str] = set()
        self.unwritable: set[str] = set()  # kinds, in the plural, that nobody may create, whatever the permissions say
        self.version = VERSION
        self.absent: set[str] = set()  # API groups that the cluster does not have
        # What runs a command in a pod of a service: the start of the command line.
        self.execute: t.Callable[[str], list[str]] | None = None
        self.store.put(Place("v1", "namespaces", None, "default"), {"metadata": {"name": "default"}}, record=False)
        default = {"storageclass.kubernetes.io/is-default-class": "true"}
        self.store.put(Place("storage.k8s.io/v1", "storageclasses", None, None), {"metadata": {"name": "standard", "annotations": default}}, record=False)
        self.store.put(Place("networking.k8s.io/v1", "ingressclasses", None, None), {"metadata": {"name": "nginx"}}, record=False)

    def write_kubeconfig(self, path: pathlib.Path) -> None:
        named = {"cluster": "stand-in", "user": "stand-in"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "stand-in", "cluster": {"server": f"http://127.0.0.1:{self.server_address[1]}"}}],
            "users": [{"name": "stand-in", "user": {}}],
            "contexts": [{"name": "stand-in", "context": named}],
            "current-context": "stand-in",
        }
        path.write_text(json.dumps(config))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are sent one after the other; a client that waits with its acknowledgement costs 40 ms each time
    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        found = discovery(parts.path, self.server.version, self.server.absent)
        place = place_of(parts.path)
        if found is not None:
            self._answer(200, found)
        elif parts.path.endswith("/exec") and self.headers.get("Upgrade") == "websocket":
            self._execute(parts.path.split("/")[-2], parse_qs(parts.query)["command"])
        elif place is None:
            self._status(404, parts.path)
        elif query.get("sendInitialEvents") == "true":
            self._status(422, "sendInitialEvents", "Invalid")  # clients then list, and watch from there
        elif query.get("watch") in ("true", "1"):
            self._watch(place, query)
        elif place.name and f"get {place.plural}" in self.server.forbidden:
            self._status(403, parts.path, "Forbidden")
        elif place.name:
            item = self.server.store.get(place)
            self._answer(200, item) if item else self._status(404, parts.path)
        else:
            self._list(place, query)

    def do_POST(self) -> None:
        place, body = place_of(urlsplit(self.path).path), self._body()
        if place is None:
            self._status(404, self.path)
        elif place.plural == "selfsubjectaccessreviews":
            attributes = body["spec"]["resourceAttributes"]
            resource = "/".join(filter(None, (attributes["resource"], attributes["subresource"])))
            action = f"{attributes['verb']} {'.'.join(filter(None, (resource, attributes['group'])))}"
            self._answer(201, {**body, "status": {"allowed": action not in self.server.forbidden}})
        elif place.plural == "selfsubjectrulesreviews":
            everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            rules = [] if self.server.forbidden else [everything]
            self._answer(201, {**body, "status": {"resourceRules": rules, "nonResourceRules": [], "incomplete": not rules}})
        elif self.server.store.get(dataclasses.replace(place, name=body["metadata"]["name"])):
            self._status(409, body["metadata"]["name"], "AlreadyExists")
        elif place.plural in self.server.unwritable:
            self._status(403, f'{place.plural} "{body["metadata"]["name"]}"', "Forbidden")
        elif "dryRun" in self.path:
            self._answer(201, body)
        else:
            self._answer(201, self.server.store.put(place, body))

    def do_PUT(self) -> None:
        place, body = place_of(urlsplit(self.path).path), self._body()
        assert place is not None
        self._answer(200, self.server.store.put(place, body))

    def do_PATCH(self) -> None:
        place, body = place_of(urlsplit(self.path).path), self._body()
        assert place is not None
        old = self.server.store.get(place)
        if old is None and "apply" not in self.headers["Content-Type"]:
            self._status(404, self.path)
            return
        new = merged(copy.deepcopy(old or {}), body)
        if "dryRun" in self.path or (old and {**new, "status": None} == {**old, "status": None}):
            self._answer(200, new if "dryRun" in self.path else old)
            return
        self._answer(200 if old else 201, self.server.store.put(place, new))

    def do_DELETE(self) -> None:
        place = place_of(urlsplit(self.path).path)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        store = self.server.store
        item = (store.get(place) if "dryRun" in self.path else store.delete(place)) if place else None
        self._answer(200, item) if item else self._status(404, self.path)

    def _list(self, place: Place, query: dict[str, str]) -> None:
        store, selector = self.server.store, query.get("labelSelector", "")
        pods = [pod for pod in store.pods(place.namespace) if matches(pod, selector)]
        items = pods if (place.group, place.plural) == ("v1", "pods") else store.found(place, selector)
        named = re.fullmatch(r"metadata\.name=(.*)", query.get("fieldSelector", ""))
        items = [item for item in items if not named or item["metadata"]["name"] == named[1]]
        kind, _namespaced = KINDS[place.group][place.plural]
        version = str(max((event[0] for event in self.server.store.events), default=0))
        none: list[t.Any] | None = None if "PartialObjectMetadataList" in self.headers.get("Accept", "") else []  # as the real one says it
        self._answer(200, {"kind": f"{kind}List", "apiVersion": place.group, "metadata": {"resourceVersion": version}, "items": items or none})

    def _watch(self, place: Place, query: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        store, seen = self.server.store, int(query.get("resourceVersion") or 0)
        named = re.fullmatch(r"metadata\.name=(.*)", query.get("fieldSelector", ""))
        try:
            while True:
                with store.changed:
                    fresh = [event for event in store.events if event[0] > seen]
                    if not fresh and not store.changed.wait(timeout=30):
                        return
                for version, kind, collection, item in fresh:
                    seen = version
                    here = collection[:2] == place.collection[:2] and place.namespace in (None, collection[2])
                    if here and (not named or item["metadata"]["name"] == named[1]) and matches(item, query.get("labelSelector", "")):
                        self.wfile.write(json.dumps({"type": kind, "object": item}).encode() + b"\n")
                        self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            return

    def _execute(self, name: str, command: list[str]) -> None:
        """A command in a pod, by the protocol v4.channel.k8s.io: each message begins with the number of its channel."""
        pod = next(pod for pod in self.server.store.pods(None) if pod["metadata"]["name"] == name)
        assert self.server.execute is not None, "nobody runs commands here"
        key = hashlib.sha1(f"{self.headers['Sec-WebSocket-Key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        self.send_response(101)
        accepted = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": base64.b64encode(key).decode()}
        for header, value in {**accepted, "Sec-WebSocket-Protocol": "v4.channel.k8s.io"}.items():
            self.send_header(header, value)
        self.end_headers()
        self.close_connection = True
        program = [*self.server.execute(pod["spec"]["containers"][0]["name"]), *command]
        process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # The input ends with the connection, as it does at a real API server.
        threading.Thread(target=self._feed, args=(process.stdin,), daemon=True).start()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            for channel, content in enumerate(pool.map(lambda pipe: pipe.read(), (process.stdout, process.stderr)), start=1):
                for start in range(0, len(content), LONGEST_MESSAGE):
                    self._frame(channel, content[start : start + LONGEST_MESSAGE])
        code = process.wait()
        causes = {"causes": [{"reason": "ExitCode", "message": str(code)}]}
        self._frame(3, json.dumps({"status": "Failure", "details": causes} if code else {"status": "Success"}).encode())
        self._frame(None, struct.pack(">H", 1000), opcode=8)

    def _feed(self, pipe: t.IO[bytes]) -> None:
        """Messages of the client are its input."""
        with contextlib.suppress(OSError, ValueError):  # the command, and with it the connection, may end before its input does
            while len(head := self.rfile.read(2)) == 2 and head[0] & 15 != 8:
                length = head[1] & 127
                if length > 125:
                    length = int.from_bytes(self.rfile.read(2 if length == 126 else 8), "big")
                mask = self.rfile.read(4)
                content = bytes(byte ^ mask[index % 4] for index, byte in enumerate(self.rfile.read(length)))
                pipe.write(content[1:])
                pipe.flush()

    def _frame(self, channel: int | None, content: bytes, opcode: int = 2) -> None:
        payload = content if channel is None else bytes([channel]) + content
        size = struct.pack("B", len(payload)) if len(payload) < 126 else struct.pack(">BH", 126, len(payload))
        self.wfile.write(bytes([128 | opcode]) + size + payload)

    def _body(self) -> t.Any:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if content.startswith(PROTOBUF):
            return secret_of(content)
        return yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if content else None

    def _answer(self, status: int, content: t.Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _status(self, code: int, what: str, reason: str = "NotFound") -> None:
        message = f"{what}: {reason}"
        self._answer(code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})

    def log_message(self, format: str, *arguments: t.Any) -> None:
        """Say nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--kubeconfig", type=pathlib.Path, required=True)
    options = parser.parse_args()
    server = Server(options.port)
    server.write_kubeconfig(options.kubeconfig)
    server.serve_forever()


if __name__ == "__main__":
    main()
