"""What Kubeflow sees of this stage."""

from kfp import dsl

from stagewright.components.authoring import component


@component(group="tabular", cacheable=False)  # it compares with the champion of the day and writes to the run in MLflow
def evaluate_model(
    model: dsl.Input[dsl.Model],
    train: dsl.Input[dsl.Dataset],
    validation: dsl.Input[dsl.Dataset],
    test: dsl.Input[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    classification: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.HTML],
    evaluation: dsl.Output[dsl.Artifact],
    name: str,
    minimum: dict = {},  # noqa: B006
    slices: list = [],  # noqa: B006
    run_id: str = "",
    compare_with_champion: bool = True,
    seed: int = 0,
) -> None:
    """Measure a model on every split and let it pass only if it is good enough.

    The gate: each threshold of `minimum`, better than a model that learned nothing, and not worse than the champion beyond
    chance. What was found is written before the gate fails.

    Args:
        model: Model folder of train_model.
        train: Training split, against which over-fitting is judged.
        validation: Validation split.
        test: Test split, which everything else is measured on.
        metrics: Metrics of the test split by name; those of the others with the split in front.
        classification: Confusion matrix and, for two classes, the ROC curve; empty for a regression.
        report: Page with plots.
        evaluation: JSON with metrics, intervals, slices, importance, baseline, champion and gate.
        name: Name under which the model is registered; its champion is what it is compared with.
        minimum: Threshold by metric, such as {"roc_auc": 0.8, "log_loss": 0.5}; for an error it is a maximum.
        slices: Columns to look at by value; none: the two that the model relies on most.
        run_id: MLflow run to which metrics and report are added; empty: none.
        compare_with_champion: Compare with the registered champion, where a registry is set.
        seed: Of resamples and shuffles.
    """
    from stagewright.components.runtime.step import step

    with step("evaluate_model"):
        from stagewright.components.evaluation.evaluate import evaluate
        from stagewright.components.evaluation.page import page
        from stagewright.components.evaluation.record import to_kubeflow, to_log, to_mlflow

        found = evaluate(
            model.path,
            train=train.path,
            validation=validation.path,
            test=test.path,
            name=name,
            minimum=minimum,
            slice_columns=slices,
            compare_with_champion=compare_with_champion,
            seed=seed,
        )
        shown = page(found)
        shown.write(report.path)
        found.write(evaluation.path)
        evaluation.metadata["passed"] = found.gate.passed
        to_log(found)
        to_kubeflow(found, metrics, classification)
        if run_id:
            to_mlflow(found, shown.render(), run_id)
        found.gate.require(f"model '{name}'")


@component(group="base", cacheable=True)
def write_model_card(
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    schema: dsl.Input[dsl.Artifact],
    card: dsl.Output[dsl.Markdown],
    page: dsl.Output[dsl.HTML],
    name: str,
    deploy_to: str = "",
    intended_use: str = "",
) -> None:
    """Write a model's card from what is known about it; what only its owner knows is left open, visibly.

    Args:
        model: Model folder.
        evaluation: JSON of evaluate_model.
        schema: Schema that the data was checked against.
        card: The card as Markdown.
        page: The same as a page.
        name: Name under which the model is registered.
        deploy_to: Where it is deployed: local, cluster, gitops, none, or not known.
        intended_use: What the model is for and what it is not for, in the owner's words.
    """
    from stagewright.components.runtime.step import step

    with step("write_model_card"):
        from stagewright.components.evaluation.model_card.card import write_card

        write_card(
            card.path,
            page.path,
            model=model.path,
            evaluation=evaluation.path,
            schema=schema.path,
            name=name,
            deploy_to=deploy_to,
            intended_use=intended_use,
        )
