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
    """Register an exported model in MLflow; its semantic version follows from what changed since the last one.

    Args:
        model: The exported model.
        name: The model's name: lower-case letters, digits and '-'.
        evaluation: The evaluation's result (JSON); its test metrics become tags of the version.
        card: The model card, which becomes the version's description.
        run_id: The MLflow run that made the model; by default the one that the model names, or a new one if it is not here.
        alias: Alias set on the version: challenger or champion.

    Returns:
        The version, such as v1.2.0; the same again for a content that is registered already.
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
    """Point an alias to a registered version, and note on it which version had it before.

    Args:
        name: The model's name.
        version: The registered version, such as v1.2.0.
        alias: The alias: champion for the version that serves.
    """
    from stagewright.components.runtime.step import step

    with step("promote_model"):
        from stagewright.components.registry.promote import promote

        promote(name=name, version=version, alias=alias)
