"""A Kubernetes API for tests: objects that are listed by label, read by name, and what else is answered, by path.

Only reading, and reviews of rights; what is written to a cluster is tested on the real API server.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Document = dict[str, Any]


@dataclass
class KubernetesServer:
    """What the server has.

    Attributes:
        objects: By collection, `/api/v1/namespaces/NAMESPACE/pods`.
        logs: By the pod's name.
        everywhere: Whether all namespaces may be looked at together.
        forbidden: Beginnings of paths that are answered with 403.
        review: Answers a review of rights, given its attributes.
        requests: Paths that were asked for, with their query.
    """

    objects: dict[str, list[Document]] = field(default_factory=dict)
    logs: dict[str, bytes] = field(default_factory=dict)
    everywhere: bool = True
    forbidden: tuple[str, ...] = ()
    review: Callable[[Document], Document] = lambda _: {"allowed": True}
    address: str = ""
    requests: list[str] = field(default_factory=list)
    impersonated: list[str] = field(default_factory=list)

    def add(self, collection: str, *documents: Document) -> None:
        """Put objects into a collection."""
        self.objects.setdefault(collection, []).extend(documents)

    def get(self, path: str, query: dict[str, str]) -> tuple[int, Document | bytes]:
        """Status and body of a GET."""
        if path.startswith(self.forbidden):
            return _status(403, "Forbidden", f"{path} is forbidden: User cannot list")
        if path == "/version":
            return 200, {"gitVersion": "v1.34.4"}
        collection, _, name = path.rpartition("/")
        if name == "log":
            pod = collection.rpartition("/")[2]
            return (200, self.logs[pod]) if pod in self.logs else _status(404, "NotFound", f'pods "{pod}" not found')
        if path in self.objects or name in ("pods", "workflows", "events"):
            return self._listed(path, query)
        for found in self.objects.get(collection, []):
            if found["metadata"]["name"] == name:
                return 200, found
        return _status(404, "NotFound", f'{collection.rpartition("/")[2]} "{name}" not found')

    def _listed(self, path: str, query: dict[str, str]) -> tuple[int, Document | bytes]:
        everywhere = "/namespaces/" not in path
        if everywhere and not self.everywhere:
            return _status(403, "Forbidden", "pods is forbidden: User cannot list resource at the cluster scope")
        kind = path.rpartition("/")[2]
        places = [key for key in self.objects if key.endswith(f"/{kind}")] if everywhere else [path]
        found = [one for place in places for one in self.objects.get(place, [])]
        for pair in filter(None, query.get("labelSelector", "").split(",")):
            key, _, value = pair.partition("=")
            found = [one for one in found if one["metadata"].get("labels", {}).get(key) == value]
        if name := query.get("fieldSelector", "").removeprefix("involvedObject.name="):
            found = [one for one in found if one["involvedObject"]["name"] == name]
        return 200, {"kind": "List", "items": found[: int(query.get("limit", 10**6))]}


def _status(code: int, reason: str, message: str) -> tuple[int, Document]:
    return code, {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}


@contextmanager
def serving(server: KubernetesServer) -> Iterator[KubernetesServer]:
    """Serve on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            server.requests.append(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            self._answer(*server.get(url.path, query))

        def do_POST(self) -> None:
            server.requests.append(self.path)
            server.impersonated.append(self.headers.get("Impersonate-User", ""))
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.startswith(server.forbidden):
                self._answer(*_status(403, "Forbidden", "not allowed to create reviews"))
            else:
                self._answer(201, {**body, "status": server.review(body["spec"])})

        def _answer(self, status: int, body: Document | bytes) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(body, bytes) else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.address = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def kubeconfig(folder: Path, server: str, *, namespace: str = "") -> Path:
    """A kubeconfig for a server, with one context."""
    context = {"cluster": "test", "user": "test", **({"namespace": namespace} if namespace else {})}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {"token": "token-of-a-test"}}],
        "contexts": [{"name": "test", "context": context}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path
