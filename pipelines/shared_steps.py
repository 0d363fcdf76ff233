"""Steps that several pipelines end with: evaluate, register, publish, deploy."""

from kfp import dsl
from kfp.dsl.pipeline_channel import PipelineChannel
from kfp.dsl.pipeline_task import PipelineTask

from stagewright.components.evaluation.component import evaluate_model, write_model_card
from stagewright.components.export.component import export_model
from stagewright.components.registry.component import promote_model, register_model
from stagewright.components.serving.component import deploy_model, publish_model


def prove_and_serve(
    trained: PipelineTask,
    *,
    splits: PipelineTask,
    validated: PipelineTask,
    name: PipelineChannel,
    minimum: PipelineChannel,
    slices: PipelineChannel,
    compare_with_champion: PipelineChannel,
    tolerance: PipelineChannel,
    deploy_to: PipelineChannel,
    mode: PipelineChannel,
    namespace: PipelineChannel,
    gitops: PipelineChannel,
    seed: PipelineChannel,
) -> PipelineChannel:
    """Evaluate a new model (the gate), export it, write its card, register, publish and deploy it.

    Args:
        trained: The training step; its outputs are the model and the id of its MLflow run.

    Returns:
        The registered version.
    """
    evaluated = evaluate_model(
        model=trained.outputs["model"],
        train=splits.outputs["train"],
        validation=splits.outputs["validation"],
        test=splits.outputs["test"],
        name=name,
        minimum=minimum,
        slices=slices,
        run_id=trained.outputs["Output"],
        compare_with_champion=compare_with_champion,
        seed=seed,
    )
    # The gate: this step uses no output of the evaluation, but must not start before it has passed.
    exported = export_model(model=trained.outputs["model"], validation=splits.outputs["validation"], tolerance=tolerance).after(
        evaluated
    )
    carded = write_model_card(
        model=exported.outputs["exported"],
        evaluation=evaluated.outputs["evaluation"],
        schema=validated.outputs["schema"],
        name=name,
        deploy_to=deploy_to,
    )
    return register_and_serve(
        exported.outputs["exported"],
        card=carded.outputs["card"],
        evaluation=evaluated.outputs["evaluation"],
        run_id=trained.outputs["Output"],
        name=name,
        deploy_to=deploy_to,
        mode=mode,
        namespace=namespace,
        gitops=gitops,
    )


def register_and_serve(
    model: PipelineChannel,
    *,
    name: PipelineChannel,
    deploy_to: PipelineChannel,
    mode: PipelineChannel,
    namespace: PipelineChannel,
    gitops: PipelineChannel,
    card: PipelineChannel | None = None,
    evaluation: PipelineChannel | None = None,
    run_id: PipelineChannel | None = None,
    variant: PipelineChannel | None = None,
    variant_model: PipelineChannel | None = None,
) -> PipelineChannel:
    """The end of every pipeline that serves a model: register, publish, deploy.

    A model that is registered and published already keeps its version: both steps change nothing then.

    Args:
        model: An exported model.
        card: Its model card, if the pipeline writes one.
        evaluation: Its evaluation, if the pipeline made one.
        run_id: Id of the MLflow run that made it, if the pipeline trained it.
        variant: The variant to deploy; the model itself if there is none.
        variant_model: The variant's folder, published under the same version.

    Returns:
        The version under which the model is registered.
    """
    described = {} if card is None else {"card": card}
    evidence = {"evaluation": evaluation, "run_id": run_id}
    known = {key: value for key, value in evidence.items() if value is not None}
    registered = register_model(model=model, name=name, **described, **known)
    version: PipelineChannel = registered.outputs["Output"]
    published = publish_model(model=model, name=name, version=version, **described)
    if variant_model is not None:
        published = publish_model(model=variant_model, name=name, version=version, variant=variant).after(published)
    _deploy_and_promote(
        published,
        name=name,
        version=version,
        deploy_to=deploy_to,
        mode=mode,
        namespace=namespace,
        gitops=gitops,
        variant="cpu" if variant is None else variant,
    )
    return version


def _deploy_and_promote(
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
    """Deploy a published model unless `deploy_to` is none; after its smoke test passes, make it the champion."""
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
