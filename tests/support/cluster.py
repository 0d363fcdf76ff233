"""A Kubernetes API for tests: kmock's emulator with server-side apply, and KServe's controller as a function.

Server-side apply is done as the API server does it, as far as our objects need: ownership of each field by manager, conflicts
when another manager's field would change, removal of fields that a manager no longer lists, generations.
"""

import asyncio
import copy
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp.web
import attrs
import kmock
import yaml
from kmock import resource

Document = dict[str, Any]
FieldPath = tuple[str, ...]

INFERENCE_SERVICES = resource("serving.kserve.io", "v1beta1", "inferenceservices")
_IDENTITY = {("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")}


def _never(_service: Document, _reads: int) -> Document:
    return {}


@attrs.define(kw_only=True)
class KServeCluster(kmock.KubernetesEmulator):
    """An API server with KServe installed.

    Attributes:
        controller: The status of a service, given the service and how often it was read since it changed.
        refusals: Status objects to answer instead, by HTTP method.
        applied: Each applied document with its query, in order.
    """

    controller: Callable[[Document, int], Document] = _never
    refusals: dict[str, Document] = attrs.field(factory=dict)
    installed: bool = True
    applied: list[tuple[Document, dict[str, str]]] = attrs.field(factory=list)
    authorizations: set[str] = attrs.field(factory=set)
    _state: dict[str, Document] = attrs.field(factory=dict)
    _owners: dict[str, dict[str, set[FieldPath]]] = attrs.field(factory=dict)
    _reads: dict[str, int] = attrs.field(factory=dict)

    def service(self, name: str) -> Document | None:
        return copy.deepcopy(self._state.get(name))

    def put(self, document: Document, *, manager: str) -> None:
        """Let somebody apply an object."""
        self._apply(document, manager, force=True)

    async def _handle(self, request: kmock.Request) -> aiohttp.web.StreamResponse:
        self.authorizations.add(request.headers.get("Authorization", ""))
        method = request.method.value.upper()
        if not self.installed and "serving.kserve.io" in request.url.path:
            return aiohttp.web.Response(text="404 page not found\n", status=404)
        if request.resource != INFERENCE_SERVICES or request.name is None:
            if request.url.path == "/apis/serving.kserve.io/v1beta1":
                return aiohttp.web.json_response({"kind": "APIResourceList", "resources": []})
            return await super()._handle(request)
        if method in self.refusals:
            refusal = self.refusals[method]
            return aiohttp.web.json_response(refusal, status=refusal["code"])
        return {"PATCH": self._patch, "GET": self._get, "DELETE": self._delete}[method](request)

    def _get(self, request: kmock.Request) -> aiohttp.web.Response:
        name = str(request.name)
        if name not in self._state:
            return _failure(404, "NotFound", f'inferenceservices.serving.kserve.io "{name}" not found')
        self._reads[name] = self._reads.get(name, 0) + 1
        status = self.controller(self._state[name], self._reads[name])
        return aiohttp.web.json_response(self._state[name] | ({"status": status} if status else {}))

    def _delete(self, request: kmock.Request) -> aiohttp.web.Response:
        name = str(request.name)
        if self._state.pop(name, None) is None:
            return _failure(404, "NotFound", f'inferenceservices.serving.kserve.io "{name}" not found')
        self._owners.pop(name)
        return aiohttp.web.json_response({"kind": "Status", "status": "Success"})

    def _patch(self, request: kmock.Request) -> aiohttp.web.Response:
        assert request.headers["Content-Type"] == "application/apply-patch+yaml"
        document = json.loads(request.body)
        query = dict(request.params)
        self.applied.append((document, query))
        conflicts = self._apply(document, query["fieldManager"], force=query.get("force") == "true")
        if conflicts:
            causes = [
                {"reason": "FieldManagerConflict", "message": f'conflict with "{manager}"', "field": "." + ".".join(path)}
                for manager, path in conflicts
            ]
            message = f"Apply failed with {len(causes)} conflict(s)"
            return _failure(409, "Conflict", message, details={"causes": causes})
        return aiohttp.web.json_response(self._state[document["metadata"]["name"]])

    def _apply(self, document: Document, manager: str, *, force: bool) -> list[tuple[str, FieldPath]]:
        name = document["metadata"]["name"]
        now = copy.deepcopy(self._state.get(name)) or {
            "apiVersion": document["apiVersion"],
            "kind": document["kind"],
            "metadata": {"name": name, "namespace": document["metadata"]["namespace"], "generation": 0},
        }
        owners = {who: set(paths) for who, paths in self._owners.get(name, {}).items()}
        wanted = {path: value for path, value in _leaves(document) if path not in _IDENTITY}
        others = [(who, path) for who, paths in owners.items() if who != manager for path in paths]
        conflicts = [(who, path) for who, path in others if path in wanted and _at(now, path) != wanted[path]]
        if conflicts and not force:
            return conflicts
        for who, path in conflicts:
            owners[who].discard(path)
        held = set().union(*(paths for who, paths in owners.items() if who != manager))
        for path in owners.get(manager, set()) - set(wanted) - held:
            _remove(now, path)
        for path, value in wanted.items():
            _set(now, path, value)
        owners[manager] = set(wanted)
        if now.get("spec") != (self._state.get(name) or {}).get("spec"):
            now["metadata"]["generation"] += 1
        now["metadata"]["managedFields"] = [
            {"manager": who, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": _fields(paths)}
            for who, paths in owners.items()
        ]
        self._state[name], self._owners[name], self._reads[name] = now, owners, 0
        return []


def ready(url: str, *, after: int = 1) -> Callable[[Document, int], Document]:
    """A controller that makes a service ready, at a URL, when it is read for so many times."""

    def status(service: Document, reads: int) -> Document:
        seen = service["metadata"]["generation"] - (reads < after)
        return {
            "observedGeneration": seen,
            "conditions": [{"type": "PredictorReady", "status": "True"}, {"type": "Ready", "status": "True"}],
            "modelStatus": {"transitionStatus": "UpToDate", "states": {"activeModelState": "Loaded"}},
            "url": url,
            "address": {"url": url},
        }

    return status


def failing(service: Document, _reads: int) -> Document:
    """A controller whose pods cannot load the model."""
    return {
        "observedGeneration": service["metadata"]["generation"],
        "conditions": [
            {"type": "PredictorReady", "status": "False", "reason": "MinimumReplicasUnavailable", "message": "no replicas"},
            {"type": "Ready", "status": "False", "reason": "MinimumReplicasUnavailable"},
        ],
        "modelStatus": {
            "transitionStatus": "BlockedByFailedLoad",
            "states": {"activeModelState": "", "targetModelState": "FailedToLoad"},
            "lastFailureInfo": {
                "reason": "ModelLoadFailed",
                "message": "NoSuchBucket: the bucket\ndoes not exist",
                "exitCode": 1,
            },
        },
    }


@contextmanager
def running(folder: Path, *, patch: Any) -> Iterator[KServeCluster]:
    """Serve a cluster from a thread; KUBECONFIG points to it."""
    cluster = KServeCluster()
    started, ended = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    address: list[str] = []

    async def serve() -> None:
        async with cluster, kmock.Server(cluster) as server:
            address.append(str(server.url).rstrip("/"))
            started.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(20)
    patch.setenv("KUBECONFIG", str(_kubeconfig(folder, address[0])))
    patch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    try:
        yield cluster
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(20)
        loop.close()


def _kubeconfig(folder: Path, server: str) -> Path:
    path = folder / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {"token": "token-of-a-test"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def failure(code: int, reason: str, message: str, **extra: Any) -> Document:
    """A Status object as the API server answers it."""
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
        **extra,
    }


def _failure(code: int, reason: str, message: str, **extra: Any) -> aiohttp.web.Response:
    return aiohttp.web.json_response(failure(code, reason, message, **extra), status=code)


def _leaves(value: Any, path: FieldPath = ()) -> Iterator[tuple[FieldPath, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    else:
        yield path, value


def _at(value: Any, path: FieldPath) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _set(document: Document, path: FieldPath, value: Any) -> None:
    for key in path[:-1]:
        document = document.setdefault(key, {})
    document[path[-1]] = copy.deepcopy(value)


def _remove(document: Document, path: FieldPath) -> None:
    parents = [document]
    for key in path[:-1]:
        parents.append(parents[-1].get(key, {}))
    parents[-1].pop(path[-1], None)
    for parent, child, key in zip(parents[-2::-1], parents[:0:-1], path[-2::-1], strict=True):
        if not child:
            parent.pop(key, None)


def _fields(paths: set[FieldPath]) -> Document:
    fields: Document = {}
    for path in paths:
        at = fields
        for key in path:
            at = at.setdefault(f"f:{key}", {})
    return fields
