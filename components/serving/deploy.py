"""Deployment of a published model to a target: this machine, a cluster, or a folder that a GitOps controller watches."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stagewright.components.runtime.cluster import own_namespace
from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import BadParameter, InputError, one_of
from stagewright.components.runtime.fingerprint import BASELINE, MLFLOW_BACKEND
from stagewright.components.runtime.manifest import MANIFEST, read_manifest
from stagewright.components.runtime.model import SERVING
from stagewright.components.runtime.storage import ObjectStore, is_remote, join
from stagewright.components.runtime.yaml_text import to_yaml
from stagewright.components.serving import variants
from stagewright.components.serving.manifests.inference_service import (
    REPLICAS,
    RESOURCES,
    Replicas,
    Resources,
    inference_service,
)
from stagewright.components.serving.manifests.serving_runtime import SERVICE_ACCOUNT
from stagewright.components.serving.targets import cluster, gitops_tree, local
from stagewright.components.serving.targets import gitops as gitops_target

TARGETS = ("local", "cluster", "gitops")
PURPOSE = "the object store holds the model to deploy"


@dataclass(frozen=True, slots=True)
class Deployed:
    """Result of a deployment.

    Attributes:
        endpoint: Address of the model; empty for gitops, where a controller deploys later.
        manifest: The InferenceService as YAML.
        details: Facts of the target: the process and its log, or the file and its commit.
    """

    endpoint: str
    manifest: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Model:
    """Facts about a model that a deployment needs.

    Attributes:
        baseline: None for an imported model without one.
        worker: Whether it has no graph and runs in its own library.
    """

    digest: str
    baseline: bytes | None
    worker: bool


def deploy(
    *,
    name: str,
    version: str,
    model_uri: str,
    target: str = "local",
    variant: str = "cpu",
    mode: str = "Standard",
    namespace: str = "",
    resources: Resources = RESOURCES,
    replicas: Replicas = REPLICAS,
    service_account: str = SERVICE_ACCOUNT,
    gitops: str = "",
    timeout_seconds: float = 600.0,
    force: bool = False,
) -> Deployed:
    """Deploy a version of a model.

    Args:
        model_uri: URI of the published model, `s3://...`. The local target also accepts a folder.
        target: local, cluster or gitops.
        variant: Serving variant: cpu, cpu-int8, gpu, gpu-fp16 or gpu-triton; it must be published.
        namespace: Namespace of the service. Default: the pod's own. On a laptop: that of the kubeconfig's context for the
            cluster target, otherwise `default`, so that a rendered manifest does not depend on its author.
        gitops: For gitops: the folder for the manifest.
        timeout_seconds: Maximum time until the model is ready, in seconds.
        force: For cluster: take over fields that another manager owns.

    Raises:
        BadParameter: If a value is invalid.
        InputError: If there is no such model.
        GateFailed: If it does not become ready, or the smoke test fails.
    """
    one_of("target", target, TARGETS)
    if target == "local" and variants.find(variant).repository:
        raise BadParameter("variant", got=variant, expected="another one for target=local: this machine runs no Triton")
    namespace = namespace or own_namespace(ask_kubeconfig=target == "cluster")
    served = variants.location(model_uri, variant)
    model = _look(served)
    if target == "local" and not is_remote(model_uri):
        document = None  # a cluster cannot read a local folder
    else:
        document = inference_service(
            name=name, version=version, model_uri=model_uri, digest="" if target == "gitops" else model.digest,
            variant=variant, mode=mode, namespace=namespace, resources=resources, replicas=replicas,
            service_account=service_account, worker=model.worker,
        )  # fmt: skip
    manifest = to_yaml(document) if document else ""
    if target == "local" or document is None:
        return _deploy_locally(name, version, served, model, timeout_seconds, manifest)
    if target == "gitops":
        message = f"Deploy {name} {version} ({variant}, {mode}) to {namespace}"
        files = gitops_tree.tree(document)
        written = gitops_target.write_files(files, gitops, namespace=namespace, name=name, message=message)
        return Deployed("", manifest, {"path": str(written.path), "changed": written.changed, "commit": written.commit})
    endpoint = cluster.deploy(document, baseline=model.baseline, timeout=timeout_seconds, force=force)
    return Deployed(endpoint, manifest, {"namespace": namespace})


def _deploy_locally(name: str, version: str, model_uri: str, model: _Model, timeout_seconds: float, manifest: str) -> Deployed:
    done = local.deploy(name=name, version=version, model_uri=model_uri, baseline=model.baseline, timeout=timeout_seconds)
    return Deployed(done.endpoint, manifest, {"pid": done.process.pid, "port": done.port, "log": done.log})


def _look(model_uri: str) -> _Model:
    """Read a model's manifest and baseline, to check that the model exists before anything is changed."""
    if is_remote(model_uri):
        store = ObjectStore.from_environment(PURPOSE)
        manifest = read_manifest(model_uri, store)
        names = {file["path"] for file in manifest["files"]}
        path = f"{SERVING}/{BASELINE}"
        baseline = store.read(join(model_uri, path)) if path in names else None
        return _Model(manifest["digest"], baseline, f"{SERVING}/{MLFLOW_BACKEND}" in names)
    folder = Path(model_uri.removeprefix("file://"))
    if not (folder / SERVING).is_dir():
        raise InputError(f"there is no exported model at {model_uri}; publish one, or give the folder of one")
    kept = folder / SERVING / BASELINE
    manifest = read_json((folder / MANIFEST).read_text()) if (folder / MANIFEST).is_file() else {}
    worker = (folder / SERVING / MLFLOW_BACKEND).is_file()
    return _Model(manifest.get("digest", ""), kept.read_bytes() if kept.is_file() else None, worker)
