"""Components that publish and deploy models, as Kubeflow Pipelines sees them."""

from typing import Optional

from kfp import dsl

from stagewright.components.authoring import component


@component(group="base", cacheable=False)
def publish_model(
    model: dsl.Input[dsl.Model],
    name: str,
    version: str,
    card: Optional[dsl.Input[dsl.Markdown]] = None,  # noqa: UP045  KFP knows optional artifacts in this spelling only
    variant: str = "",
) -> str:
    """Publish an exported model to the object store: immutable, with checksums; the manifest is written last.

    Args:
        model: The exported model.
        name: The model's name.
        version: The registered version, e.g. v1.2.0.
        card: The model card, published as README.md.
        variant: Publish the model as a variant of a published version: cpu-int8, gpu-fp16 or gpu-triton. Default: as the
            version itself.

    Returns:
        URI of the version: s3://BUCKET/NAME/VERSION/. A variant is stored below it.
    """
    from stagewright.components.runtime.step import step

    with step("publish_model"):
        from pathlib import Path

        from stagewright.components.runtime.naming import published_uri
        from stagewright.components.runtime.storage import ObjectStore
        from stagewright.components.serving.publish import publish, publish_variant

        store = ObjectStore.from_environment("the object store is needed to publish a model")
        text = Path(card.path).read_text() if card else ""
        if not variant:
            return publish(model.path, store, name=name, version=version, card=text).uri
        publish_variant(model.path, store, name=name, version=version, variant=variant, card=text)
        return published_uri(store.settings.models_bucket, name, version)


@component(group="base", cacheable=False)
def deploy_model(
    manifest: dsl.Output[dsl.Artifact],
    name: str,
    version: str,
    model_uri: str,
    target: str = "local",
    variant: str = "cpu",
    mode: str = "Standard",
    namespace: str = "",
    cpu_request: str = "250m",
    cpu_limit: str = "1",
    memory_request: str = "256Mi",
    memory_limit: str = "512Mi",
    min_replicas: int = 1,
    max_replicas: int = 1,
    service_account: str = "stagewright-predictor",
    gitops: str = "",
    timeout_seconds: int = 600,
    force: bool = False,
) -> str:
    """Deploy a model, run a smoke test, and roll back if it fails.

    Args:
        manifest: The InferenceService as YAML.
        name: Name of the model and of the service.
        version: The version, e.g. v1.2.0.
        model_uri: URI of the published model, s3://BUCKET/NAME/VERSION/. The local target also accepts a folder.
        target: local (a background process), cluster (KServe) or gitops (a file for a GitOps controller).
        variant: Serving variant: cpu, cpu-int8, gpu, gpu-fp16 or gpu-triton.
        mode: KServe's deployment mode: Standard or Knative.
        namespace: Namespace of the service. Default: the namespace of the step.
        cpu_request: CPU request of a replica, a Kubernetes quantity.
        cpu_limit: CPU limit of a replica.
        memory_request: Memory request of a replica.
        memory_limit: Memory limit of a replica.
        min_replicas: Minimum number of replicas; 0 scales to zero in Knative mode.
        max_replicas: Maximum number of replicas.
        service_account: ServiceAccount whose Secret holds the credentials of the object store.
        gitops: For the gitops target: folder or git working tree for the manifest.
        timeout_seconds: Maximum time until the model is ready, in seconds.
        force: For the cluster target: take over fields that another manager owns.

    Returns:
        Address of the model. Empty for gitops.
    """
    from stagewright.components.runtime.step import step

    with step("deploy_model"):
        from pathlib import Path

        from stagewright.components.serving.deploy import deploy
        from stagewright.components.serving.manifests.inference_service import Replicas, Resources

        deployed = deploy(
            name=name,
            version=version,
            model_uri=model_uri,
            target=target,
            variant=variant,
            mode=mode,
            namespace=namespace,
            resources=Resources(cpu_request, cpu_limit, memory_request, memory_limit),
            replicas=Replicas(min_replicas, max_replicas),
            service_account=service_account,
            gitops=gitops,
            timeout_seconds=timeout_seconds,
            force=force,
        )
        Path(manifest.path).write_text(deployed.manifest)
        manifest.metadata.update({"target": target, "endpoint": deployed.endpoint, **deployed.details})
        return deployed.endpoint
