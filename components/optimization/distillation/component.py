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
    """Distill a large model into small ones and keep the fastest that is as good; fail if none is.

    The teacher labels the training rows and synthetic rows made from them. Students of several kinds and sizes learn its
    probabilities. The validation rows select the student; the gates on quality, agreement, speed and size use the test rows.

    Args:
        teacher: Folder of an exported model of any framework.
        train: Training split, which the teacher labels.
        validation: Validation split, for early stopping and selection.
        test: Test split, used once.
        schema: Schema of the data, with the target and the task.
        model: Folder of the student, as train_model would write it; absent if the gate fails.
        metrics: Loss of quality, agreement, speed-up and size of the student.
        report: Page that compares teacher and student.
        distillation: All measurements, as JSON.
        name: Name of the student's model and of the MLflow experiment.
        student: Kind of student. One of auto, trees, linear, mlp, vision, transformer.
        params: Parameters of a single student, those of its framework (lightgbm, sklearn, torch, torch_vision, transformers)
            and, for a transformer, `layers`. Default: several sizes.
        features: Specification of the student's preprocessing, as fit_features takes it.
        augmentation: Synthetic rows for each training row.
        temperature: Temperature of a network's soft targets; above 1, unlikely classes count for more.
        hard_weight: Weight of the true labels of real rows, 0 to 1.
        hidden_weight: Weight of the loss on hidden layers, for a network that learns from a network.
        keep_inputs: Whether a student of few columns still accepts the teacher's other columns, so that clients need no change.
            Without them it is faster on single rows.
        metric: Quality metric; auto is ROC AUC for classes and RMSE for values.
        tolerance: Maximum loss: percentage points for scores, percent for errors.
        minimum_agreement: Minimum share of rows with the teacher's label; for values, minimum R² against the teacher's.
        maximum_divergence: Maximum mean Kullback-Leibler divergence from the teacher's probabilities, in nats.
        minimum_speedup: Minimum speed-up over the teacher.
        load: Load whose speed-up is required. One of batch, single_row, both.
        maximum_size: Maximum size, as a share of the teacher's.
        seed: Random seed; equal seeds and inputs give equal students.

    Returns:
        ID of the MLflow run.
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
