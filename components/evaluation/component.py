"""Components that evaluate a model and write its card, as Kubeflow Pipelines sees them."""

from kfp import dsl

from stagewright.components.authoring import component


@component(group="tabular", cacheable=False)  # it compares with the current champion and writes to the MLflow run
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
    """Evaluate a model on every split and apply the quality gate.

    The gate requires each threshold of `minimum`, a better result than the trivial baseline, and no significant loss against
    the champion. All outputs are written before the gate fails.

    Args:
        model: Model folder of train_model.
        train: Training split, to detect overfitting.
        validation: Validation split.
        test: Test split, for all other results.
        metrics: Test metrics by name. Metrics of the other splits have the split as a prefix.
        classification: Confusion matrix and, for binary models, the ROC curve. Empty for regression.
        report: HTML report with plots.
        evaluation: JSON with metrics, intervals, slices, importance, baseline, champion and gate.
        name: Registered name of the model; its champion is the model to compare with.
        minimum: Required test metrics as JSON: minimum for scores, maximum for errors. E.g. {"roc_auc": 0.8, "log_loss": 0.5}.
        slices: Columns to evaluate by value. Default: the two most important columns of the model.
        run_id: MLflow run that receives the metrics and the report. Default: none.
        compare_with_champion: Compare with the registered champion if MLFLOW_TRACKING_URI is set.
        seed: Random seed.
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
    """Write a model card from the results of the run. Questions that only the owner can answer are marked.

    Args:
        model: Model folder.
        evaluation: JSON of evaluate_model.
        schema: Schema of the data, from validate_data.
        card: The card as Markdown.
        page: The card as HTML.
        name: Name under which the model is registered.
        deploy_to: Deployment target: local, cluster, gitops, none, or empty if not known.
        intended_use: Intended use and misuse of the model, in the owner's words.
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
