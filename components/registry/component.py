"""Components of the model registry."""

from typing import Optional

from kfp import dsl

from stagewright.components.authoring import component


@component(group="base", cacheable=False)
def register_model(
    model: dsl.Input[dsl.Model],
    name: str,
    evaluation: Optional[dsl.Input[dsl.Artifact]] = None,  # noqa: UP045  KFP knows optional artifacts in this spelling only
    card: Optional[dsl.Input[dsl.Markdown]] = None,  # noqa: UP045
    run_id: str = "",
    alias: str = "challenger",
) -> str:
    """Register an exported model in MLflow. Its semantic version depends on what changed since the last version.

    Args:
        model: The exported model.
        name: The model's name: lower-case letters, digits and '-'.
        evaluation: JSON of evaluate_model. Its test metrics become tags of the version.
        card: The model card. It becomes the description of the version.
        run_id: MLflow run of the training. Default: the run that the model names, or a new run if MLflow does not have it.
        alias: Alias to set on the version: challenger or champion.

    Returns:
        The version, e.g. v1.2.0. A model that is already registered keeps its version.
    """
    from stagewright.components.runtime.step import step

    with step("register_model"):
        import json
        from pathlib import Path

        from stagewright.components.registry.register import register

        result = json.loads(Path(evaluation.path).read_text()) if evaluation else None
        text = Path(card.path).read_text() if card else ""
        return register(model.path, name=name, run_id=run_id or None, alias=alias, card=text, evaluation=result)


@component(group="base", cacheable=False)
def promote_model(name: str, version: str, alias: str = "champion") -> None:
    """Move an alias to a version and record the previous holder.

    Args:
        name: The model's name.
        version: The registered version, e.g. v1.2.0.
        alias: The alias: champion for the version in production.
    """
    from stagewright.components.runtime.step import step

    with step("promote_model"):
        from stagewright.components.registry.promote import promote

        promote(name=name, version=version, alias=alias)
