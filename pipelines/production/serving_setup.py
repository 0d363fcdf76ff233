"""Publish a model that exists already and serve it."""

from kfp import dsl

from stagewright.components.export.component import import_model
from stagewright.components.registry.component import register_model
from stagewright.components.serving.component import publish_model
from stagewright.pipelines.shared_steps import deploy_and_promote


@dsl.pipeline(name="serving-setup", display_name="Serve an existing model")
def serving_setup(
    model: str,
    name: str,
    deploy_to: str = "local",
    mode: str = "Standard",
    namespace: str = "",
    gitops: str = "",
) -> str:
    """Publish a model that exists already and serve it.

    Args:
        model: A model folder, an .onnx file, an s3:// address, or a registered model such as models:/churn@champion.
        name: Name under which to publish and serve it: lower-case letters, digits and dashes.
        deploy_to: Where to serve the model. One of local, cluster, gitops, none.
        mode: KServe's deployment mode. One of Standard, Knative.
        namespace: Kubernetes namespace of the service; empty for the one that the steps run in.
        gitops: Folder or git working tree that receives the manifest, for deploy_to=gitops.

    Returns:
        Version under which the model was published, like v1.0.0.
    """
    imported = import_model(source=model, deploy_to=deploy_to, namespace=namespace, name=name, mode=mode)
    registered = register_model(model=imported.outputs["model"], name=name)
    published = publish_model(model=imported.outputs["model"], name=name, version=registered.outputs["Output"])
    deploy_and_promote(
        published,
        name=name,
        version=registered.outputs["Output"],
        deploy_to=deploy_to,
        mode=mode,
        namespace=namespace,
        gitops=gitops,
    )
    return registered.outputs["Output"]
