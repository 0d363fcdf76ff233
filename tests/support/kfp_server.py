"""A server that speaks enough of Kubeflow Pipelines' v2beta1 API to deliver pipelines, with the answers of its own models.

It refuses what the real one refuses: a missing or wrong credential, an unknown namespace, a field that the API's models do not
have, a spec that is no PipelineSpec, a parameter that the spec does not have, a cron that is none. Everything that it was sent
can be looked at afterwards.
"""

import base64
import email
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import kfp_server_api
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from support.kfp_workflow import BEGAN, SECONDS_A_LOOK, Plan, Workflow

_WIRE = kfp_server_api.ApiClient()
Answer = tuple[int, Any]


class Refused(Exception):
    """An answer other than 200, in gRPC's words."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.body = status, {"code": code, "message": message, "error": message}


class OldRefused(Refused):
    """An answer other than 200, in the words of what is no part of gRPC."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, 0, message)
        self.body = {"error_message": message, "error_details": message}


class Outage(Exception):
    """The connection is cut without an answer."""


@dataclass
class KfpServer:
    """What the server is like, and what happened to it.

    Attributes:
        dashboard: Whether the dashboard's own server is asked: it passes on the API of today only, and has pages about pods.
        silent: Looks at a run that get no answer, once `silent_after` looks had one; `silent_status` is what they get
            instead of an answer, None for a cut connection.
    """

    multi_user: bool = False
    token: str | None = None
    cookie: str | None = None
    allowed: bool = True
    login_page: bool = False
    api: str = "v2beta1"
    prefix: str = ""
    broken: bool = False
    plan: Plan = field(default_factory=Plan)
    dashboard: bool = False
    silent: int = 0
    silent_after: int = 0
    silent_status: int | None = 503
    page_size: int = 100
    address: str = ""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    experiments: list[kfp_server_api.V2beta1Experiment] = field(default_factory=list)
    pipelines: list[kfp_server_api.V2beta1Pipeline] = field(default_factory=list)
    versions: list[kfp_server_api.V2beta1PipelineVersion] = field(default_factory=list)
    runs: list[kfp_server_api.V2beta1Run] = field(default_factory=list)
    schedules: list[kfp_server_api.V2beta1RecurringRun] = field(default_factory=list)
    specs: list[pipeline_spec_pb2.PipelineSpec] = field(default_factory=list)
    platforms: list[pipeline_spec_pb2.PlatformSpec] = field(default_factory=list)
    workflows: dict[str, Workflow] = field(default_factory=dict)

    def answer(self, method: str, target: str, headers: dict[str, str], body: Any) -> Answer:
        """Status and body for a request."""
        self.requests.append((method, target, headers))
        url = urlsplit(target)
        path = unquote(re.sub("/+", "/", url.path))
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if self.login_page:
            return 200, "<!doctype html><html><title>Sign in</title></html>"
        places = {f"/apis/{self.api}": self._routes()}
        places |= {"/k8s": self._pages()} if self.dashboard else {"/apis/v1alpha1": self._old_routes()}
        try:
            for prefix, routes in places.items():
                if path.startswith(f"{self.prefix}{prefix}/"):
                    self._check_known(headers)
                    return 200, self._dispatch(method, path.removeprefix(self.prefix + prefix), routes, query, body)
        except Refused as refused:
            return refused.status, refused.body
        return 404, f"<pre>Cannot {method} {path}</pre>" if self.dashboard else {"error": "Not Found"}

    def sent(self, method: str, path: str) -> int:
        """How often a path was asked for."""
        return sum(verb == method and urlsplit(target).path.endswith(path) for verb, target, _ in self.requests)

    def _routes(self) -> dict[tuple[str, str], Callable[..., Any]]:
        one = "([^/:]+)"
        return {
            ("GET", "/healthz"): lambda **_: kfp_server_api.V2beta1GetHealthzResponse(multi_user=self.multi_user),
            ("GET", "/experiments"): self._list_experiments,
            ("POST", "/experiments"): self._create_experiment,
            ("GET", f"/experiments/{one}"): self._get_experiment,
            ("GET", f"/runs/{one}/nodes/{one}/artifacts/main-logs:read"): self._archived_log,
            ("GET", f"/pipelines/names/{one}"): self._pipeline_by_name,
            ("POST", "/pipelines"): self._create_pipeline,
            ("POST", "/pipelines/upload_version"): self._upload_version,
            ("GET", f"/pipelines/{one}/versions"): self._list_versions,
            ("GET", f"/pipelines/{one}/versions/{one}"): self._version,
            ("POST", "/runs"): self._create_run,
            ("GET", f"/runs/{one}"): self._get_run,
            ("GET", "/recurringruns"): self._list_schedules,
            ("POST", "/recurringruns"): self._create_schedule,
            ("POST", f"/recurringruns/{one}:disable"): lambda id_, **_: self._switch(id_, "DISABLED"),
            ("POST", f"/recurringruns/{one}:enable"): lambda id_, **_: self._switch(id_, "ENABLED"),
            ("DELETE", f"/recurringruns/{one}"): self._delete_schedule,
        }

    def _old_routes(self) -> dict[tuple[str, str], Callable[..., Any]]:
        return {("GET", "/runs/([^/]+)/nodes/([^/]+)/log"): self._log}

    def _pages(self) -> dict[tuple[str, str], Callable[..., Any]]:
        """Of the dashboard's server."""
        return {
            ("GET", "/pod"): lambda query, **_: self._of_pod("pod", query),
            ("GET", "/pod/events"): lambda query, **_: self._of_pod("events", query),
            ("GET", "/pod/logs"): lambda query, **_: self._of_pod("log", query),
        }

    def _of_pod(self, what: str, query: dict[str, str]) -> Any:
        if query.get("podnamespace", "kubeflow" if what == "log" else "") != "kubeflow":
            raise Refused(500, 13, f"Could not get pod {query['podname']} in namespace {query.get('podnamespace')}")
        for workflow in self.workflows.values():
            found = getattr(workflow, what)(query["podname"])
            if found:
                return found
        raise Refused(500, 13, f"Could not get pod {query['podname']} in namespace kubeflow")

    def _dispatch(self, method: str, path: str, routes: dict[tuple[str, str], Any], query: dict[str, str], body: Any) -> Any:
        for (verb, pattern), handle in routes.items():
            found = re.fullmatch(pattern, path) if verb == method else None
            if found:
                return handle(*found.groups(), query=query, body=body)
        raise Refused(404, 12, f"no route {method} {path}")

    def _check_known(self, headers: dict[str, str]) -> None:
        if self.token is not None and headers.get("authorization") != f"Bearer {self.token}":
            raise Refused(401, 16, "Failed to authorize with API: no user identity")
        if self.cookie is not None and headers.get("cookie") != self.cookie:
            raise Refused(401, 16, "Failed to authorize with API: no user identity")

    def _check_namespace(self, namespace: str | None, what: str) -> None:
        if self.multi_user and not namespace:
            raise Refused(400, 3, "Namespace cannot be empty in multi-user mode")
        if not self.allowed:
            raise Refused(403, 7, f"User may not list {what} in {namespace}")

    def _list_experiments(self, *, query: dict[str, str], **_: Any) -> Any:
        self._check_namespace(query.get("namespace"), "experiments")
        found = [
            one
            for one in self.experiments
            if one.display_name == _wanted(query, "display_name") and self._is_in(one, query.get("namespace"))
        ]
        return kfp_server_api.V2beta1ListExperimentsResponse(experiments=found, total_size=len(found))

    def _is_in(self, thing: Any, namespace: str | None) -> bool:
        return not self.multi_user or thing.namespace == namespace

    def _create_experiment(self, *, body: Any, **_: Any) -> Any:
        _check_fields(kfp_server_api.V2beta1Experiment, body)
        made = kfp_server_api.V2beta1Experiment(
            experiment_id=_id(), display_name=body["display_name"], namespace=body.get("namespace")
        )
        self.experiments.append(made)
        return made

    def _pipeline_by_name(self, name: str, *, query: dict[str, str], **_: Any) -> Any:
        self._check_namespace(query.get("namespace"), "experiments")
        for one in self.pipelines:
            if one.name == name and self._is_in(one, query.get("namespace")):
                return one
        raise Refused(404, 5, f"Pipeline {name} not found")

    def _create_pipeline(self, *, body: Any, **_: Any) -> Any:
        _check_fields(kfp_server_api.V2beta1Pipeline, body)
        if any(one.name == body["name"] and self._is_in(one, body.get("namespace")) for one in self.pipelines):
            raise Refused(409, 6, f"Pipeline {body['name']} already exists")
        made = kfp_server_api.V2beta1Pipeline(
            pipeline_id=_id(), name=body["name"], display_name=body["display_name"], namespace=body.get("namespace")
        )
        self.pipelines.append(made)
        return made

    def _upload_version(self, *, query: dict[str, str], body: Any, **_: Any) -> Any:
        if query.get("pipelineid") not in [one.pipeline_id for one in self.pipelines]:
            raise Refused(404, 5, "Pipeline not found")
        if any((one.pipeline_id, one.name) == (query["pipelineid"], query["name"]) for one in self.versions):
            raise Refused(409, 6, f"Pipeline version {query['name']} already exists")
        documents = list(yaml.safe_load_all(body))
        spec, platform = documents[0], documents[1] if len(documents) > 1 else {}
        _parsed(spec, platform)
        made = kfp_server_api.V2beta1PipelineVersion(
            pipeline_id=query["pipelineid"],
            pipeline_version_id=_id(),
            name=query["name"],
            display_name=query.get("display_name", query["name"]),
            pipeline_spec={"pipeline_spec": spec, "platform_spec": platform} if platform else spec,
        )
        self.versions.append(made)
        return made

    def _list_versions(self, pipeline_id: str, *, query: dict[str, str], **_: Any) -> Any:
        found = [one for one in self.versions if (one.pipeline_id, one.name) == (pipeline_id, _wanted(query, "name"))]
        return kfp_server_api.V2beta1ListPipelineVersionsResponse(pipeline_versions=found, total_size=len(found))

    def _version(self, pipeline_id: str, version_id: str, **_: Any) -> Any:
        for one in self.versions:
            if (one.pipeline_id, one.pipeline_version_id) == (pipeline_id, version_id):
                return one
        raise Refused(404, 5, f"Pipeline version {version_id} not found")

    def _create_run(self, *, body: Any, **_: Any) -> Any:
        _check_fields(kfp_server_api.V2beta1Run, body)
        if self.broken:
            raise Refused(500, 13, "database is gone")
        documents = self._checked(body)
        spec, platform = _parsed(*documents)
        run = kfp_server_api.V2beta1Run(
            run_id=_id(),
            experiment_id=body["experiment_id"],
            display_name=body["display_name"],
            service_account=body.get("service_account"),
            pipeline_version_reference=_reference(body),
            runtime_config=kfp_server_api.V2beta1RuntimeConfig(
                parameters=body["runtime_config"].get("parameters", {}),
                pipeline_root=body["runtime_config"].get("pipeline_root"),
            ),
            created_at=BEGAN,
            state="PENDING",
        )
        self.workflows[run.run_id] = Workflow(run.run_id, documents[0], self.plan)
        self.runs.append(run)
        self.specs.append(spec)
        self.platforms.append(platform)
        return run

    def _checked(self, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The spec of a version, whose parameters the body gives."""
        if body["experiment_id"] not in [one.experiment_id for one in self.experiments]:
            raise Refused(404, 5, "experiment not found")
        reference = _reference(body)
        sent = self._version(reference.pipeline_id, reference.pipeline_version_id).pipeline_spec
        spec, platform = (sent["pipeline_spec"], sent["platform_spec"]) if "pipeline_spec" in sent else (sent, {})
        known = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        given = body["runtime_config"].get("parameters", {})
        unknown = [name for name in given if name not in known]
        missing = [name for name, definition in known.items() if not definition.get("isOptional") and name not in given]
        if unknown or missing:
            raise Refused(400, 3, f"parameters do not fit the spec: {unknown or missing}")
        return spec, platform

    def _get_run(self, run_id: str, **_: Any) -> Any:
        for run in self.runs:
            if run.run_id == run_id:
                workflow = self.workflows[run_id]
                if self.silent and workflow.looks >= self.silent_after:
                    self.silent -= 1
                    if self.silent_status is None:
                        raise Outage
                    raise Refused(self.silent_status, 14, "upstream connect error")
                run.state, nodes = workflow.look()
                run.run_details = kfp_server_api.V2beta1RunDetails(task_details=nodes)
                if run.state not in ("PENDING", "RUNNING"):
                    run.finished_at = BEGAN + timedelta(seconds=workflow.looks * SECONDS_A_LOOK)
                return run
        raise Refused(404, 5, f"Run {run_id} not found")

    def _get_experiment(self, experiment_id: str, **_: Any) -> Any:
        for one in self.experiments:
            if one.experiment_id == experiment_id:
                return one
        raise Refused(404, 5, "experiment not found")

    def _log(self, run_id: str, pod: str, **_: Any) -> Any:
        found = self.workflows[run_id].log(pod)
        if found is None:
            said = f"Failed to read logs for run {run_id}: pods {pod} not found: no log archive"
            raise OldRefused(500, said)
        return found

    def _archived_log(self, run_id: str, node: str, **_: Any) -> Any:
        found = self.workflows[run_id].archived(node)
        if found is None:
            raise OldRefused(404, "Failed to read artifact: not found")
        return {"data": base64.b64encode(found).decode()}

    def _list_schedules(self, *, query: dict[str, str], **_: Any) -> Any:
        self._check_namespace(query.get("namespace"), "recurring runs")
        found = [one for one in self.schedules if self._is_in(one, query.get("namespace"))]
        start = int(query.get("page_token") or 0)
        size = min(int(query.get("page_size", 10)), self.page_size)
        more = str(start + size) if len(found) > start + size else ""
        return kfp_server_api.V2beta1ListRecurringRunsResponse(
            recurring_runs=found[start : start + size], total_size=len(found), next_page_token=more
        )

    def _create_schedule(self, *, body: Any, **_: Any) -> Any:
        _check_fields(kfp_server_api.V2beta1RecurringRun, body)
        if not self.allowed:
            raise Refused(403, 7, "User may not create recurring runs")
        self._checked(body)
        cron = body["trigger"]["cron_schedule"]["cron"]
        if not re.fullmatch(r"([0-9*,/-]+ ){5}[0-9*,/-]+", cron):
            raise Refused(400, 3, f"Schedule cron is not supported: {cron}")
        if not 1 <= int(body["max_concurrency"]) <= 10:
            raise Refused(400, 3, "The max concurrency of the recurring run must be at least 1 and at most 10")
        made = kfp_server_api.V2beta1RecurringRun(
            recurring_run_id=_id(),
            display_name=body["display_name"],
            experiment_id=body["experiment_id"],
            namespace=body.get("namespace"),
            pipeline_version_reference=_reference(body),
            runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=body["runtime_config"].get("parameters", {})),
            trigger=kfp_server_api.V2beta1Trigger(cron_schedule=kfp_server_api.V2beta1CronSchedule(cron=cron)),
            max_concurrency=body["max_concurrency"],
            no_catchup=body.get("no_catchup", False),
            status="ENABLED" if body.get("mode") == "ENABLE" else "DISABLED",
        )
        self.schedules.append(made)
        return made

    def _schedule(self, schedule_id: str) -> Any:
        for one in self.schedules:
            if one.recurring_run_id == schedule_id:
                return one
        raise Refused(404, 5, f"Recurring run {schedule_id} not found")

    def _switch(self, schedule_id: str, status: str) -> Any:
        self._schedule(schedule_id).status = status
        return {}

    def _delete_schedule(self, schedule_id: str, **_: Any) -> Any:
        self.schedules.remove(self._schedule(schedule_id))
        return {}


def _id() -> str:
    return str(uuid.uuid4())


def _reference(body: dict[str, Any]) -> kfp_server_api.V2beta1PipelineVersionReference:
    sent = body.get("pipeline_version_reference")
    if not sent:
        raise Refused(400, 3, "the run names no version of a pipeline")
    return kfp_server_api.V2beta1PipelineVersionReference(sent["pipeline_id"], sent["pipeline_version_id"])


def _wanted(query: dict[str, str], key: str) -> str:
    (predicate,) = json.loads(query["filter"])["predicates"]
    if (predicate["operation"], predicate["key"]) != ("EQUALS", key):
        raise Refused(400, 3, f"invalid filter {predicate}")
    return str(predicate["stringValue"])


def _check_fields(model: Any, body: dict[str, Any]) -> None:
    unknown = set(body) - set(model.attribute_map.values())
    if unknown:
        raise Refused(400, 3, f"{model.__name__} has no field {min(unknown)}")


def _parsed(spec: Any, platform: Any) -> tuple[pipeline_spec_pb2.PipelineSpec, pipeline_spec_pb2.PlatformSpec]:
    try:
        return (
            json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec()),
            json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec()),
        )
    except json_format.ParseError as error:
        raise Refused(400, 3, f"invalid pipeline spec: {error}") from None


def _body(content: bytes, kind: str) -> Any:
    """JSON, or the file of a form."""
    if not content:
        return None
    if not kind.startswith("multipart/"):
        return json.loads(content)
    form = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + content)
    (part,) = form.get_payload()  # type: ignore[misc]
    assert part.get_param("name", header="content-disposition") == "uploadfile"  # type: ignore[union-attr]
    return part.get_payload(decode=True)  # type: ignore[union-attr]


def _json(answer: Any) -> bytes:
    return json.dumps(_WIRE.sanitize_for_serialization(answer)).encode()


@contextmanager
def serving(server: KfpServer) -> Iterator[KfpServer]:
    """Serve on a free port; `address` is where."""

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = _body(self.rfile.read(length), self.headers.get("Content-Type") or "")
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                status, answer = server.answer(self.command, self.path, headers, body)
            except Outage:
                self.close_connection = True
                self.connection.close()
                return
            kind = {str: "text/html", bytes: "text/plain"}.get(type(answer), "application/json")
            content = answer if isinstance(answer, bytes) else answer.encode() if isinstance(answer, str) else _json(answer)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _handle

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
