"""Client for Kubeflow Pipelines' API v2beta1: experiments, pipelines, versions, runs, recurring runs."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp_server_api

from stagewright.components.runtime.errors import InputError
from stagewright.pipelines.kubeflow import connection as connections
from stagewright.pipelines.kubeflow.artifact_answer import decoded
from stagewright.pipelines.kubeflow.connection import Connection

PAGE = 100
CONFLICT = 409
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Version:
    """An uploaded version of a pipeline; `new` is False if the same content was uploaded before."""

    pipeline_id: str
    version_id: str
    name: str
    new: bool


class Kubeflow:
    """A connected Kubeflow Pipelines installation.

    Attributes:
        connection: The resolved connection.
        namespace: The user's namespace; None in a single-user installation.
    """

    def __init__(self, connection: Connection, namespace: str | None) -> None:
        self.connection, self.namespace = connection, namespace
        self._client = connections.client(connection)
        self._experiments = kfp_server_api.ExperimentServiceApi(self._client)
        self._pipelines = kfp_server_api.PipelineServiceApi(self._client)
        self._uploads = kfp_server_api.PipelineUploadServiceApi(self._client)
        self._runs = kfp_server_api.RunServiceApi(self._client)
        self._schedules = kfp_server_api.RecurringRunServiceApi(self._client)

    def experiment(self, name: str) -> str:
        """Get the id of an experiment by name; create it if necessary."""
        found = self._experiments.experiment_service_list_experiments(
            filter=_equals("display_name", name), **self._in_namespace()
        )
        for experiment in found.experiments or []:
            if experiment.display_name == name:
                return str(experiment.experiment_id)
        wanted = kfp_server_api.V2beta1Experiment(display_name=name, namespace=self.namespace)
        return str(self._experiments.experiment_service_create_experiment(experiment=wanted).experiment_id)

    def version(self, package: Path, *, pipeline: str, title: str, version: str, label: str) -> Version:
        """Get a version of a pipeline by name; upload it if necessary.

        Args:
            package: The compiled pipeline.
            pipeline: Name of the pipeline, created if necessary.
            title: Display name of the pipeline.
            version: Name derived from the content, so that equal content is not uploaded twice.
            label: Display name of the version.
        """
        pipeline_id = self._pipeline(pipeline)
        if pipeline_id is None:
            return self._first_version(package, pipeline=pipeline, title=title, version=version, label=label)
        found = self._version(pipeline_id, version)
        if found is not None:
            return Version(pipeline_id, found, version, new=False)
        try:
            made = self._uploads.upload_pipeline_version(str(package), pipelineid=pipeline_id, name=version, display_name=label)
        except kfp_server_api.ApiException as error:
            there = self._version(pipeline_id, version) if error.status == CONFLICT else None
            if there is None:
                raise
            return Version(pipeline_id, there, version, new=False)  # another client uploaded the same version concurrently
        return Version(pipeline_id, str(made.pipeline_version_id), version, new=True)

    def _first_version(self, package: Path, *, pipeline: str, title: str, version: str, label: str) -> Version:
        """Create the pipeline without a version, because an upload would name the first version itself."""
        wanted = kfp_server_api.V2beta1Pipeline(name=pipeline, display_name=title, namespace=self.namespace)
        try:
            self._pipelines.pipeline_service_create_pipeline(pipeline=wanted)
        except kfp_server_api.ApiException as error:
            if error.status != CONFLICT or self._pipeline(pipeline) is None:
                raise
        return self.version(package, pipeline=pipeline, title=title, version=version, label=label)

    def _pipeline(self, name: str) -> str | None:
        try:
            found = self._pipelines.pipeline_service_get_pipeline_by_name(name, **self._in_namespace())
        except kfp_server_api.ApiException as error:
            if connections.is_unknown(error):
                return None
            raise
        return str(found.pipeline_id)

    def _version(self, pipeline_id: str, name: str) -> str | None:
        """Id of a version; names are compared here too, because older servers have one name field instead of two."""
        versions = self._pages(
            lambda **page: self._pipelines.pipeline_service_list_pipeline_versions(
                pipeline_id, sort_by="created_at desc", filter=_equals("name", name), **page
            ),
            "pipeline_versions",
        )
        return next((str(one.pipeline_version_id) for one in versions if name in (one.name, one.display_name)), None)

    def start(self, run: kfp_server_api.V2beta1Run) -> kfp_server_api.V2beta1Run:
        """Start a run."""
        return self._runs.run_service_create_run(run=run)

    def run(self, run_id: str) -> kfp_server_api.V2beta1Run:
        """Get a run's current state.

        Raises:
            InputError: If the run does not exist.
        """
        with self._unknown(
            f"no run '{run_id}' at {connections.where(self.connection)}; find the id on the run's page of the dashboard"
        ):
            return self._runs.run_service_get_run(run_id)

    def spec(self, run: kfp_server_api.V2beta1Run) -> dict[str, Any]:
        """Pipeline spec of a run; empty if the installation no longer has it."""
        spec, reference = run.pipeline_spec, run.pipeline_version_reference
        if not spec and reference:
            try:
                found = self._pipelines.pipeline_service_get_pipeline_version(
                    reference.pipeline_id, reference.pipeline_version_id
                )
            except kfp_server_api.ApiException as error:
                if connections.is_unknown(error):
                    return {}
                raise
            spec = found.pipeline_spec
        found_spec: dict[str, Any] = (spec or {}).get("pipeline_spec", spec) or {}
        return found_spec

    def namespace_of(self, run: kfp_server_api.V2beta1Run) -> str | None:
        """Namespace of a run; None in a single-user installation."""
        try:
            found = self._experiments.experiment_service_get_experiment(run.experiment_id)
        except kfp_server_api.ApiException:
            return self.namespace
        return found.namespace or self.namespace

    def log(self, run_id: str, pod: str) -> Iterator[bytes]:
        """Stream a step's log; only the API's older version has it, and the generated client lacks it."""
        return self.stream(f"/apis/v1alpha1/runs/{run_id}/nodes/{pod}/log")

    def dashboard_log(self, run_id: str, pod: str, namespace: str | None) -> Iterator[bytes]:
        """Stream a step's log from the dashboard, which does not forward the API's older version."""
        place = {"podnamespace": namespace} if namespace else {}
        return self.stream("/k8s/pod/logs", podname=pod, runid=run_id, **place)

    def archived_log(self, run_id: str, node: str) -> Iterator[bytes]:
        """Stream a step's log that Argo archived when the pod ended."""
        return decoded(self.stream(f"/apis/v2beta1/runs/{run_id}/nodes/{node}/artifacts/main-logs:read"))

    def stream(self, path: str, **query: str) -> Iterator[bytes]:
        """Stream a response that the generated client does not support."""
        response = self._client.call_api(
            path,
            "GET",
            query_params=list(query.items()),
            auth_settings=["Bearer"],
            _preload_content=False,
            _return_http_data_only=True,
        )
        try:
            yield from response.stream(CHUNK)
        finally:
            response.close()

    def schedules(self) -> list[kfp_server_api.V2beta1RecurringRun]:
        """All recurring runs of the namespace, oldest first."""
        return list(
            self._pages(
                lambda **page: self._schedules.recurring_run_service_list_recurring_runs(
                    sort_by="created_at asc", **self._in_namespace(), **page
                ),
                "recurring_runs",
            )
        )

    def schedule(self, wanted: kfp_server_api.V2beta1RecurringRun) -> kfp_server_api.V2beta1RecurringRun:
        """Create a recurring run."""
        return self._schedules.recurring_run_service_create_recurring_run(recurring_run=wanted)

    def pause(self, schedule_id: str) -> None:
        """Pause a recurring run."""
        self._schedules.recurring_run_service_disable_recurring_run(schedule_id)

    def resume(self, schedule_id: str) -> None:
        """Resume a recurring run."""
        self._schedules.recurring_run_service_enable_recurring_run(schedule_id)

    def remove(self, schedule_id: str) -> None:
        """Delete a recurring run; its runs are kept."""
        self._schedules.recurring_run_service_delete_recurring_run(schedule_id)

    def _in_namespace(self) -> dict[str, str]:
        return {"namespace": self.namespace} if self.namespace else {}

    @contextlib.contextmanager
    def _unknown(self, sentence: str) -> Iterator[None]:
        try:
            yield
        except kfp_server_api.ApiException as error:
            if connections.is_unknown(error):
                raise InputError(sentence) from None
            raise

    @staticmethod
    def _pages(ask: Callable[..., Any], field: str) -> Iterator[Any]:
        token = ""
        while True:
            answer = ask(page_size=PAGE, page_token=token)
            yield from getattr(answer, field) or []
            token = answer.next_page_token or ""
            if not token:
                return


def reach(connection: Connection, namespace: str | None = None) -> Kubeflow:
    """Connect to an installation and check that it responds.

    Raises:
        InputError: For an invalid connection, a rejected credential, or a missing namespace.
        ServiceUnavailable: If nothing responds, or the server is not Kubeflow Pipelines.
    """
    resolved = connections.resolved(connection)
    with connections.explained(resolved):
        return Kubeflow(resolved, connections.user_namespace(namespace, resolved))


def _equals(key: str, value: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "stringValue": value}]})
