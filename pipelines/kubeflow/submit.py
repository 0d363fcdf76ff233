"""Submit a run of a pipeline to Kubeflow Pipelines."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kfp_server_api
from kfp.dsl.graph_component import GraphComponent

from stagewright.pipelines import catalog
from stagewright.pipelines.description import parameters
from stagewright.pipelines.kubeflow import connection as connections
from stagewright.pipelines.kubeflow.client import Kubeflow, Version, reach
from stagewright.pipelines.kubeflow.compile import Target
from stagewright.pipelines.kubeflow.connection import Connection
from stagewright.pipelines.kubeflow.doctor.submission import check_submission
from stagewright.pipelines.kubeflow.upload import Build, build, upload
from stagewright.pipelines.parameters import check_arguments
from stagewright.pipelines.profiles import Profile, frameworks

__all__ = ["Connection", "Submitted", "submit"]


@dataclass(frozen=True, slots=True)
class Submitted:
    """A submitted run.

    Attributes:
        url: Dashboard page of the run; None if only the API is reachable.
        version: Pipeline version of the run.
        kubeflow: Installation of the run, for following it.
        unchecked: One sentence if the cluster could not be checked before; None if it was, or checks are off.
    """

    run_id: str
    experiment_id: str
    name: str
    url: str | None
    version: Version
    kubeflow: Kubeflow
    unchecked: str | None = None

    @property
    def message(self) -> str:
        """One line for the user."""
        return f"started '{self.name}', run {self.run_id}" + (f": {self.url}" if self.url else "")


def submit(
    pipeline: str | GraphComponent,
    arguments: Mapping[str, Any],
    *,
    host: str | None = None,
    experiment: str = "Default",
    run_name: str | None = None,
    run_namespace: str | None = None,
    token: str | None = None,
    cookie: str | None = None,
    service_account_token: str | None = None,
    kube_context: str | None = None,
    certificate: str | None = None,
    profile: str | Path | Profile | None = "default",
    registry: str = "",
    tag: str = "",
    pipeline_root: str | None = None,
    service_account: str | None = None,
    use_cache: bool | None = None,
    checks: bool = True,
) -> Submitted:
    """Compile a pipeline, check the cluster, upload the pipeline if it is new, and start a run.

    Args:
        pipeline: Pipeline or its name.
        arguments: Parameter values by name.
        host: URL of the API, or of the dashboard's `/pipeline`; None as in `Connection`.
        experiment: Experiment of the run, created if necessary.
        run_name: Name of the run; None for the pipeline's name and the time.
        run_namespace: The user's namespace in a multi-user installation; None in a pod for the pod's namespace.
        token: Bearer token.
        cookie: `Cookie` header of an authenticated browser session.
        service_account_token: File with a service-account token; None as in `Connection`.
        kube_context: Kubeconfig context to connect through instead of a host.
        certificate: CA certificate file to verify the host.
        profile: Cluster settings, as for compiling.
        registry: Image prefix.
        tag: Image tag.
        pipeline_root: Storage location for artifacts; None for the installation's default.
        service_account: Service account of the steps; None for the installation's default.
        use_cache: False to run every step again; None for each component's setting.
        checks: Whether to check the cluster first, as far as the kubeconfig allows.

    Raises:
        InputError: For an invalid pipeline, parameter or target, a missing host, credential or namespace, or a missing object
            on the cluster.
        ServiceUnavailable: If the host does not respond, or is not Kubeflow Pipelines 2.
    """
    made = pipeline if isinstance(pipeline, GraphComponent) else catalog.pipeline(pipeline)
    checked = check_arguments(parameters(made), arguments, of=f"pipeline '{made.name}'")
    frameworks.check(Target(profile=profile).resolved_profile, checked)
    connection = connections.resolved(
        Connection(host, token, cookie, service_account_token, kube_context, certificate=certificate)
    )
    package = build(made, Build(profile, registry, tag, use_cache))
    kubeflow = reach(connection, run_namespace)
    unchecked = check_submission(kubeflow, package.documents, checked, service_account) if checks else None
    name = run_name or f"{made.name} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    version = upload(package, kubeflow)
    with connections.explained(kubeflow.connection):
        experiment_id = kubeflow.experiment(experiment)
        run = kubeflow.start(
            kfp_server_api.V2beta1Run(
                experiment_id=experiment_id,
                display_name=name,
                pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(
                    version.pipeline_id, version.version_id
                ),
                runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=checked, pipeline_root=pipeline_root),
                service_account=service_account,
            )
        )
    page = connections.run_page(kubeflow.connection, run.run_id)
    return Submitted(run.run_id, experiment_id, name, page, version, kubeflow, unchecked)
