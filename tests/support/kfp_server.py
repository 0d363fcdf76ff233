"""A server that speaks enough of Kubeflow Pipelines' v2beta1 API to start runs, with the answers that its own models make.

It refuses what the real one refuses: a missing or wrong credential, an unknown namespace, a spec that is no PipelineSpec, a
parameter that the spec does not have. Everything that it was sent can be looked at afterwards.
"""

import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

_WIRE = kfp_server_api.ApiClient()


@dataclass
class KfpServer:
    """What the server is like, and what happened to it."""

    multi_user: bool = False
    token: str | None = None
    cookie: str | None = None
    allowed: bool = True
    login_page: bool = False
    api: str = "v2beta1"
    prefix: str = ""
    broken: bool = False
    address: str = ""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    experiments: list[kfp_server_api.V2beta1Experiment] = field(default_factory=list)
    runs: list[kfp_server_api.V2beta1Run] = field(default_factory=list)
    specs: list[pipeline_spec_pb2.PipelineSpec] = field(default_factory=list)
    platforms: list[pipeline_spec_pb2.PlatformSpec] = field(default_factory=list)

    def answer(self, method: str, target: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        """Status and body for a request."""
        self.requests.append((method, target, headers))
        url = urlsplit(target)
        path = re.sub("/+", "/", url.path)
        if not path.startswith(f"{self.prefix}/apis/{self.api}/"):
            return 404, {"error": "Not Found"}
        if self.login_page:
            return 200, "<!doctype html><html><title>Sign in</title></html>"
        if not self._known(headers):
            return 401, {"code": 16, "message": "Failed to authorize with API: no user identity"}
        path = path.removeprefix(f"{self.prefix}/apis/{self.api}")
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        match method, path:
            case "GET", "/healthz":
                return 200, kfp_server_api.V2beta1GetHealthzResponse(multi_user=self.multi_user)
            case "GET", "/experiments":
                return self._list_experiments(query)
            case "POST", "/experiments":
                return self._create_experiment(body)
            case "POST", "/runs":
                return self._create_run(body)
        return 404, {"error": f"no route {method} {path}"}

    def _known(self, headers: dict[str, str]) -> bool:
        if self.token is not None:
            return headers.get("authorization") == f"Bearer {self.token}"
        return self.cookie is None or headers.get("cookie") == self.cookie

    def _list_experiments(self, query: dict[str, str]) -> tuple[int, Any]:
        if self.multi_user and not query.get("namespace"):
            return 400, {"code": 3, "message": "Namespace cannot be empty in multi-user mode"}
        if not self.allowed:
            return 403, {"code": 7, "message": f"User may not list experiments in {query.get('namespace')}"}
        (predicate,) = json.loads(query["filter"])["predicates"]
        found = [
            experiment
            for experiment in self.experiments
            if experiment.display_name == predicate["stringValue"]
            and (not self.multi_user or experiment.namespace == query["namespace"])
        ]
        return 200, kfp_server_api.V2beta1ListExperimentsResponse(experiments=found, total_size=len(found))

    def _create_experiment(self, body: Any) -> tuple[int, Any]:
        experiment = kfp_server_api.V2beta1Experiment(
            experiment_id=str(uuid.uuid4()), display_name=body["display_name"], namespace=body.get("namespace")
        )
        self.experiments.append(experiment)
        return 200, experiment

    def _create_run(self, body: Any) -> tuple[int, Any]:
        if self.broken:
            return 500, {"code": 13, "message": "database is gone"}
        if body["experiment_id"] not in [experiment.experiment_id for experiment in self.experiments]:
            return 404, {"code": 5, "message": "experiment not found"}
        sent = body["pipeline_spec"]
        try:
            spec = json_format.ParseDict(sent.get("pipeline_spec", sent), pipeline_spec_pb2.PipelineSpec())
            platform = json_format.ParseDict(sent.get("platform_spec", {}), pipeline_spec_pb2.PlatformSpec())
        except json_format.ParseError as error:
            return 400, {"code": 3, "message": f"invalid pipeline spec: {error}"}
        known = spec.root.input_definitions.parameters
        given = body["runtime_config"].get("parameters", {})
        unknown = [name for name in given if name not in known]
        missing = [name for name, field in known.items() if not field.is_optional and name not in given]
        if unknown or missing:
            return 400, {"code": 3, "message": f"parameters do not fit the spec: {unknown or missing}"}
        run = kfp_server_api.V2beta1Run(
            run_id=str(uuid.uuid4()),
            experiment_id=body["experiment_id"],
            display_name=body["display_name"],
            service_account=body.get("service_account"),
            runtime_config=kfp_server_api.V2beta1RuntimeConfig(
                parameters=given, pipeline_root=body["runtime_config"].get("pipeline_root")
            ),
        )
        self.runs.append(run)
        self.specs.append(spec)
        self.platforms.append(platform)
        return 200, run


@contextmanager
def serving(server: KfpServer) -> Iterator[KfpServer]:
    """Serve on a free port; `address` is where."""

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer = server.answer(self.command, self.path, headers, body)
            is_page = isinstance(answer, str)
            content = (answer if is_page else json.dumps(_WIRE.sanitize_for_serialization(answer))).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if is_page else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _handle

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
