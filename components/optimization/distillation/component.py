"""The component that distills a model, as Kubeflow Pipelines sees it."""

from kfp import dsl

from stagewright.components.authoring import component


# Never from the cache: the student's run is recorded in MLflow, and its speed is measured on the machine of the day.
@component(group="tabular", cacheable=False)
def distill_model(
    teacher: dsl.Input[dsl.Model],
    train: dsl.Input[dsl.Dataset],
    validation: dsl.Input[dsl.Dataset],
    test: dsl.Input[dsl.Dataset],
    schema: dsl.Input[dsl.Artifact],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    distillation: dsl.Output[dsl.Artifact],
    name: str,
    student: str = "auto",
    params: dict = {},  # noqa: B006
    features: dict = {},  # noqa: B006
    augmentation: float = 4.0,
    temperature: float = 1.0,
    hard_weight: float = 0.0,
    hidden_weight: float = 0.0,
    keep_inputs: bool = True,
    metric: str = "auto",
    tolerance: float = 1.0,
    minimum_agreement: float = 0.9,
    maximum_divergence: float = 0.1,
    minimum_speedup: float = 2.0,
    load: str = "batch",
    maximum_size: float = 1.0,
    seed: int = 0,
) -> str:
    """Teach small models what a large one knows, and take the fastest that does as well; fail if none does.

    The teacher labels the training rows and others made from them; students of several kinds and sizes learn its
    probabilities. The choice falls on the validation rows, the gate on the test rows: quality, fidelity, speed, size.

    Args:
        teacher: Folder of an exported model, whatever made it.
        train: Training split, whose rows are labelled and multiplied.
        validation: Validation split, by which a student is chosen.
        test: Test split, on which the chosen student is judged.
        schema: Schema of the data, with the target and the task.
        model: Folder of the student, as train_model would write it; absent if the gate fails.
        metrics: The student's loss of quality, agreement, speed-up and size.
        report: Page that shows teacher and student side by side.
        distillation: JSON of everything that was measured.
        name: Name of the student's model, and of the experiment in MLflow.
        student: What to teach. One of auto, trees, linear, mlp, vision, transformer.
        params: Parameters of the one student to try, of its framework (lightgbm, sklearn, torch,
            torch_vision, transformers), for a transformer also `layers`; none: several sizes.
        features: Specification of the student's preprocessing, as fit_features takes it.
        augmentation: Rows made for each training row.
        temperature: Of a network's soft targets; above 1, unlikely classes count for more.
        hard_weight: Share of the truth in the labels of real rows, 0 to 1.
        hidden_weight: Weight of the hidden layer's loss, for a network that learns from a network.
        keep_inputs: Whether a student of few columns still takes the others, so that the teacher's clients can call it; without
            them it is faster on single rows.
        metric: Quality metric; auto is ROC AUC, or RMSE for values.
        tolerance: Points of a hundred of the metric that may be lost; percent of it for an error.
        minimum_agreement: Share of rows with the teacher's answer; for values, the R² against the teacher's.
        maximum_divergence: Mean Kullback-Leibler divergence from the teacher's probabilities, in nats.
        minimum_speedup: How many times faster the student must be.
        load: What must be that much faster. One of batch, single_row, both.
        maximum_size: Share of the teacher's size that the student may have.
        seed: Equal seeds and equal inputs make equal students.

    Returns:
        Id of the MLflow run.
    """
    from stagewright.components.runtime.step import step

    with step("distill_model"):
        from stagewright.components.optimization.distillation.compare import Limits
        from stagewright.components.optimization.distillation.distill import distill_model
        from stagewright.components.optimization.distillation.page import page
        from stagewright.components.optimization.distillation.teach import Options
        from stagewright.components.runtime import logs

        found = distill_model(
            teacher.path,
            train=train.path,
            validation=validation.path,
            test=test.path,
            schema=schema.path,
            model=model.path,
            name=name,
            student=student,
            params=params,
            limits=Limits(
                tolerance=tolerance,
                minimum_agreement=minimum_agreement,
                maximum_divergence=maximum_divergence,
                minimum_speedup=minimum_speedup,
                load=load,
                maximum_size=maximum_size,
                metric=metric,
            ),
            options=Options(
                augmentation=augmentation,
                temperature=temperature,
                hard_weight=hard_weight,
                hidden_weight=hidden_weight,
                keep_inputs=keep_inputs,
                specification=features,
            ),
            seed=seed,
        )
        page(found).write(report.path)
        found.write(distillation.path)
        for metric_name, number in found.figures().items():
            metrics.log_metric(metric_name, number)
        for notice in found.notices():
            logs.notice(notice)
        found.require()
        for key, value in found.summary().items():
            model.metadata[key] = value
        return found.run_id
