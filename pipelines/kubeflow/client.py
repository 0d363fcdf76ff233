"""Kubeflow Pipelines' API v2beta1 as this project uses it: experiments, pipelines and their versions, runs, recurring runs."""

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
    """An uploaded version of a pipeline; `new` is False when the same content was there before."""

    pipeline_id: str
    version_id: str
    name: str
    new: bool


class Kubeflow:
    """An installation that was reached.

    Attributes:
        connection: How; with its host.
        namespace: The user's namespace; None where users have none of their own.
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
        """The id of the experiment of this name, which is made if there is none."""
        found = self._experiments.experiment_service_list_experiments(
            filter=_equals("display_name", name), **self._in_namespace()
        )
        for experiment in found.experiments or []:
            if experiment.display_name == name:
                return str(experiment.experiment_id)
        wanted = kfp_server_api.V2beta1Experiment(display_name=name, namespace=self.namespace)
        return str(self._experiments.experiment_service_create_experiment(experiment=wanted).experiment_id)

    def version(self, package: Path, *, pipeline: str, title: str, version: str, label: str) -> Version:
        """The version of a pipeline with this name, uploaded if there is none.

        Args:
            package: The compiled pipeline.
            pipeline: Its name; it is made if there is none.
            title: The pipeline's name for people.
            version: A name that follows from the content, so that equal content is not uploaded twice.
            label: The version's name for people.
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
            return Version(pipeline_id, there, version, new=False)  # somebody uploaded the same at the same time
        return Version(pipeline_id, str(made.pipeline_version_id), version, new=True)

    def _first_version(self, package: Path, *, pipeline: str, title: str, version: str, label: str) -> Version:
        """Make the pipeline without a version: an upload would name the first one itself."""
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
        """The id of a version; the names are compared here too, as older servers know one name where newer know two."""
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
        """A run as it is now.

        Raises:
            InputError: If there is none.
        """
        with self._unknown(
            f"no run '{run_id}' at {connections.where(self.connection)}; its id is on its page of the dashboard"
        ):
            return self._runs.run_service_get_run(run_id)

    def spec(self, run: kfp_server_api.V2beta1Run) -> dict[str, Any]:
        """The pipeline spec that a run follows; empty if the installation no longer has it."""
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
        """The namespace that a run is filed under; None where users have none of their own."""
        try:
            found = self._experiments.experiment_service_get_experiment(run.experiment_id)
        except kfp_server_api.ApiException:
            return self.namespace
        return found.namespace or self.namespace

    def log(self, run_id: str, pod: str) -> Iterator[bytes]:
        """What a step wrote, piece by piece; the API has it under an older version only, and not in the generated client."""
        return self.stream(f"/apis/v1alpha1/runs/{run_id}/nodes/{pod}/log")

    def dashboard_log(self, run_id: str, pod: str, namespace: str | None) -> Iterator[bytes]:
        """What a step wrote, if it is the dashboard that is asked: it does not pass the API's older versions on."""
        place = {"podnamespace": namespace} if namespace else {}
        return self.stream("/k8s/pod/logs", podname=pod, runid=run_id, **place)

    def archived_log(self, run_id: str, node: str) -> Iterator[bytes]:
        """What a step wrote, as Argo kept it when its pod ended."""
        return decoded(self.stream(f"/apis/v2beta1/runs/{run_id}/nodes/{node}/artifacts/main-logs:read"))

    def stream(self, path: str, **query: str) -> Iterator[bytes]:
        """An answer that the generated client does not know, piece by piece."""
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
        """Every recurring run of the namespace, in the order they were made."""
        return list(
            self._pages(
                lambda **page: self._schedules.recurring_run_service_list_recurring_runs(
                    sort_by="created_at asc", **self._in_namespace(), **page
                ),
                "recurring_runs",
            )
        )

    def schedule(self, wanted: kfp_server_api.V2beta1RecurringRun) -> kfp_server_api.V2beta1RecurringRun:
        """Make a recurring run."""
        return self._schedules.recurring_run_service_create_recurring_run(recurring_run=wanted)

    def pause(self, schedule_id: str) -> None:
        """Start no more runs."""
        self._schedules.recurring_run_service_disable_recurring_run(schedule_id)

    def resume(self, schedule_id: str) -> None:
        """Start runs again."""
        self._schedules.recurring_run_service_enable_recurring_run(schedule_id)

    def remove(self, schedule_id: str) -> None:
        """Delete a recurring run; the runs that it started stay."""
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
    """The installation behind a connection, after a first question to it.

    Raises:
        InputError: For an unusable connection, a refused credential, or a missing namespace.
        ServiceUnavailable: If nothing answers, or something else.
    """
    resolved = connections.resolved(connection)
    with connections.explained(resolved):
        return Kubeflow(resolved, connections.user_namespace(namespace, resolved))


def _equals(key: str, value: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "stringValue": value}]})
