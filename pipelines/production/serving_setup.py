"""Publish and serve an existing model."""

from kfp import dsl

from stagewright.components.export.component import import_model
from stagewright.pipelines.inherited_texts import described_by
from stagewright.pipelines.shared_steps import register_and_serve


@dsl.pipeline(name="serving-setup", display_name="Serve an existing model")
@described_by(import_model)
def serving_setup(
    model: str,
    name: str,
    deploy_to: str = "local",
    mode: str = "Standard",
    namespace: str = "",
    gitops: str = "",
) -> str:
    """Publish and serve an existing model.

    Args:
        model: Model folder, .onnx file, s3:// address, or registered model, e.g. models:/churn@champion.
        name: Model name to register and serve: lower-case letters, digits and dashes.
        deploy_to: Where to serve the model. One of local, cluster, gitops, none.
        mode: KServe deployment mode. One of Standard, Knative.
        namespace: Kubernetes namespace of the service. Default: the namespace of the steps.
        gitops: Folder or git working tree for the manifest, for deploy_to=gitops.

    Returns:
        Published version, e.g. v1.0.0.
    """
    imported = import_model(source=model, deploy_to=deploy_to, namespace=namespace, name=name, mode=mode)
    return register_and_serve(
        imported.outputs["model"], name=name, deploy_to=deploy_to, mode=mode, namespace=namespace, gitops=gitops
    )
