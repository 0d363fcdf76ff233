"""The last steps of every pipeline that serves a model."""

from kfp import dsl
from kfp.dsl.pipeline_channel import PipelineChannel
from kfp.dsl.pipeline_task import PipelineTask

from stagewright.components.registry.component import promote_model
from stagewright.components.serving.component import deploy_model


def deploy_and_promote(
    published: PipelineTask,
    *,
    name: PipelineChannel,
    version: PipelineChannel,
    deploy_to: PipelineChannel,
    mode: PipelineChannel,
    namespace: PipelineChannel,
    gitops: PipelineChannel,
    variant: PipelineChannel | str = "cpu",
) -> None:
    """Serve a published model unless `deploy_to` is none, and call it champion once it has answered as it should."""
    with dsl.If(deploy_to != "none", name="deployment"):
        deployed = deploy_model(
            name=name,
            version=version,
            model_uri=published.outputs["Output"],
            target=deploy_to,
            variant=variant,
            mode=mode,
            namespace=namespace,
            gitops=gitops,
        )
        promote_model(name=name, version=version).after(deployed)
