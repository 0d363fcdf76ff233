"""Outputs of an evaluation to Kubeflow's metrics and the MLflow run."""

import logging
import math
from typing import TYPE_CHECKING

from stagewright.components.evaluation.curves import confusion, roc
from stagewright.components.evaluation.evaluate import Evaluation
from stagewright.components.evaluation.remarks import remarks
from stagewright.components.runtime import logs, tracking
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.schema import Task

if TYPE_CHECKING:
    from kfp import dsl

FOLDER = "evaluation"  # among the artifacts of the run
_PURPOSE = "the evaluation is recorded in the training run"


def by_split(evaluation: Evaluation, separator: str) -> dict[str, float]:
    """Every metric by split and name."""
    return {
        f"{split}{separator}{name}": value
        for split, measured in evaluation.measured.items()
        for name, value in measured.values.items()
    }


def to_log(evaluation: Evaluation) -> None:
    """Log notices of an evaluation; the step logs the gate's failure itself."""
    metric = evaluation.metric.name
    value = evaluation.measured["test"].values.get(metric)
    logs.event("model_evaluated", name=evaluation.name, metric=metric, value=value, passed=evaluation.gate.passed)
    if evaluation.overfitting.warning:
        logs.event("model_over_fits", level=logging.WARNING, name=evaluation.name, reason=evaluation.overfitting.sentence)
    champion = evaluation.champion
    if champion is not None and not champion.comparable:
        logs.event("champion_not_comparable", level=logging.WARNING, version=champion.version, reason=champion.reason)
    for sentence in remarks(evaluation):
        logs.notice(sentence)


def to_kubeflow(evaluation: Evaluation, metrics: "dsl.Metrics", classification: "dsl.ClassificationMetrics") -> None:
    """Test metrics under their plain names, the others with the split as a prefix; confusion matrix and, for two classes, ROC.

    Metrics that are not finite are left out: Kubeflow's launcher would reject all outputs of the step.
    """
    for name, value in by_split(evaluation, "_").items():
        if math.isfinite(value):
            metrics.log_metric(name.removeprefix("test_"), value)
    if evaluation.task is Task.REGRESSION:
        return
    test = evaluation.test
    classification.log_confusion_matrix([str(label) for label in test.labels], confusion(test).tolist())
    if evaluation.task is Task.BINARY and 0 < test.truth.sum() < len(test):
        curve = roc(test.truth == 1, test.class_probabilities[:, 1])
        classification.log_roc_curve(curve.x.tolist(), curve.y.tolist(), curve.thresholds.tolist())


def to_mlflow(evaluation: Evaluation, html: str, run_id: str) -> None:
    """Add metrics, the report and the JSON of the evaluation to the run that trained the model.

    Metrics are named `test/roc_auc`: an underscore would mix them with the training history.

    Raises:
        InputError: If MLflow does not have the run.
        ServiceUnavailable: If MLflow does not answer.
    """
    from mlflow.exceptions import MlflowException

    client = tracking.client(_PURPOSE)
    with tracking.mlflow_errors(_PURPOSE):
        try:
            client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise InputError(f"there is no run '{run_id}' in MLflow to record the evaluation in; check run_id") from None
    run = tracking.Run(client, run_id, "", _PURPOSE)
    run.log_metrics(by_split(evaluation, "/"))
    run.set_tags({"gate": "passed" if evaluation.gate.passed else "failed"})
    run.log_texts({f"{FOLDER}/report.html": html})
    with tracking.mlflow_errors(_PURPOSE):
        client.log_dict(run_id, evaluation.document(), f"{FOLDER}/evaluation.json")
