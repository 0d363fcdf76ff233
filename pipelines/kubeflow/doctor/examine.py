"""All checks, in the order in which a cluster is set up."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.pipelines.kubeflow.connection import Connection
from stagewright.pipelines.kubeflow.doctor import services
from stagewright.pipelines.kubeflow.doctor.cluster import Cluster
from stagewright.pipelines.kubeflow.doctor.finding import Finding, missing, ok, unknown
from stagewright.pipelines.kubeflow.doctor.images import images
from stagewright.pipelines.kubeflow.doctor.needs import needs_of
from stagewright.pipelines.kubeflow.kubernetes_api import KubernetesApi, Refused
from stagewright.pipelines.profiles import Profile


@dataclass(frozen=True, slots=True)
class Place:
    """The installation to check.

    Attributes:
        connection: Connection to Kubeflow Pipelines.
        kubeflow_namespace: The user's namespace in a multi-user Kubeflow.
        namespace: Namespace of steps and models.
        account: Service account of the steps.
        profile: Cluster settings; None for KFP's defaults.
        registry: Image prefix; empty for images on the nodes.
        tag: Image tag; empty for the installed version.
    """

    connection: Connection = field(default_factory=Connection)
    kubeflow_namespace: str | None = None
    namespace: str = "stagewright"
    account: str = "stagewright-runner"
    profile: Profile | None = None
    registry: str = ""
    tag: str = ""


def examine(place: Place) -> Iterator[Finding]:
    """Run the checks and yield each finding."""
    yield services.kubeflow(place.connection, place.kubeflow_namespace)
    needs = needs_of(place.profile)
    cluster, findings = _reached(place)
    yield findings
    if cluster is not None:
        try:
            yield from cluster.findings(needs, place.account)
        except ServiceUnavailable as error:
            yield missing("Kubernetes", str(error), "check its API server")
            cluster = None
    yield services.bucket(cluster)
    yield services.mlflow(cluster)
    on_nodes = cluster.images() if cluster else None
    yield from images(needs.images, registry=place.registry, tag=place.tag, on_nodes=on_nodes)


def _reached(place: Place) -> tuple[Cluster | None, Finding]:
    """Connect to the cluster and check that it responds."""
    try:
        api = KubernetesApi.connect(place.connection.kube_context)
        version = api.get("/version").get("gitVersion", "of an unknown version")
    except InputError as error:
        return None, unknown("Kubernetes", str(error), "set a kubeconfig to check the objects in the cluster")
    except ServiceUnavailable as error:
        return None, missing("Kubernetes", str(error), "check the address in the kubeconfig")
    except Refused as error:
        return None, unknown("Kubernetes", f"{api.host} refuses ({error.status}: {error})", "renew your kubeconfig credentials")
    return Cluster(api, place.namespace), ok("Kubernetes", f"{version} at {api.host}")
