"""Start a run of a pipeline on Kubeflow Pipelines."""

import contextlib
import io
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kfp.dsl.graph_component import GraphComponent

from stagewright.pipelines import catalog
from stagewright.pipelines import connection as connections
from stagewright.pipelines.compile import compile_pipelines
from stagewright.pipelines.connection import Connection
from stagewright.pipelines.describe import check_arguments, parameters
from stagewright.pipelines.profiles import Profile

__all__ = ["Connection", "Submitted", "submit"]


@dataclass(frozen=True, slots=True)
class Submitted:
    """A run that was started.

    Attributes:
        url: Its page on the dashboard.
    """

    run_id: str
    url: str
    experiment_id: str


def submit(
    pipeline: str | GraphComponent,
    arguments: Mapping[str, Any],
    *,
    connection: Connection,
    experiment: str = "stagewright",
    run_name: str = "",
    namespace: str = "",
    profile: str | Path | Profile | None = "default",
    registry: str = "",
    tag: str = "",
    pipeline_root: str = "",
    service_account: str = "",
    use_cache: bool | None = None,
) -> Submitted:
    """Compile a pipeline and start a run of it.

    Args:
        pipeline: Name of a pipeline, or a pipeline.
        arguments: Its parameters by name, as values.
        connection: How to reach Kubeflow Pipelines.
        experiment: Experiment that the run belongs to, made if it does not exist.
        run_name: Name of the run; empty for the pipeline's and the time.
        namespace: The user's namespace, where users have their own; empty in a pod for the pod's.
        profile: Settings of the cluster, as for compiling.
        registry: Prefix of every image.
        tag: Tag of every image.
        pipeline_root: Where artifacts go; empty for the installation's default.
        service_account: Identity of the steps; empty for the installation's default.
        use_cache: False to run every step again; None for what each component declares.

    Raises:
        InputError: For a wrong pipeline, parameter or target, a missing host, credential or namespace.
        ServiceUnavailable: If the host does not answer, or is no Kubeflow Pipelines of version 2.
    """
    made = pipeline if isinstance(pipeline, GraphComponent) else catalog.pipeline(pipeline)
    checked = check_arguments(parameters(made), arguments, of=f"pipeline '{made.name}'")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        (package,) = compile_pipelines([made], folder, profile=profile, registry=registry, tag=tag)
        connection = connections.resolved(connection)
        with connections.explained(connection):
            namespace = connections.user_namespace(namespace, connection)
            client = connections.client(connection, namespace)
            found = client.create_experiment(experiment, namespace=namespace or None)
            run = client.run_pipeline(
                found.experiment_id,
                run_name or f"{made.name} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}",
                str(package),
                params=checked,
                pipeline_root=pipeline_root or None,
                enable_caching=use_cache,
                service_account=service_account or None,
            )
    return Submitted(run.run_id, f"{connection.host}/#/runs/details/{run.run_id}", found.experiment_id)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """KFP's client prints links and warns about versions; what there is to say is in what `submit` returns or raises."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
