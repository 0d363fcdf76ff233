"""The classification part of the evaluation report: metrics of each class, curves, confusion matrix, calibration."""

from stagewright.components.evaluation import class_panels, classification_plots
from stagewright.components.evaluation.by_class import ClassScores, by_class, most_frequent
from stagewright.components.evaluation.curves import reliability
from stagewright.components.evaluation.evaluate import Evaluation
from stagewright.components.metrics.outcome import Outcome
from stagewright.components.runtime import positive, report
from stagewright.components.runtime.schema import Task

MOST_CLASSES = 40  # rows of the table
EVALUATION = "evaluate_model's output `evaluation`"  # location of the full list


def sections(made: report.Page, evaluation: Evaluation) -> None:
    """Add the sections of a classifier."""
    test = evaluation.test
    few = len(test.labels) <= class_panels.FEW
    made.section("Each class", _table(evaluation))
    if few:
        curves = report.figures(classification_plots.roc_plot(test), classification_plots.precision_recall_plot(test))
        scores = classification_plots.scores_plot(test, evaluation.metadata.threshold)
    else:
        curves = report.figures(*filter(None, [class_panels.roc_panels(test), class_panels.precision_recall_panels(test)]))
        scores = class_panels.scores_rows(test)
    made.section("How well the classes are told apart", _left_out(test, class_panels.MOST_PANELS), curves)
    made.section(
        "What is answered, and how sure the model is",
        _left_out(test, class_panels.MOST_ROWS),
        report.figures(classification_plots.confusion_plot(test), scores),
    )
    made.section(
        "Whether probabilities can be taken at their word",
        report.side_by_side(report.figures(classification_plots.calibration_plot(test)), _calibration(test)),
    )


def positive_class(evaluation: Evaluation) -> str:
    """The positive class as text; empty for other tasks."""
    return positive.class_name(evaluation.test.labels[1]) if evaluation.task is Task.BINARY else ""


def about(evaluation: Evaluation) -> str:
    """Details on the main metric, as the end of a sentence on the test rows."""
    test = evaluation.test
    if evaluation.task is Task.BINARY:
        share = f"{(test.truth == 1).mean():.0%}"
        return f", {share} of them of the positive class '{report.short(positive_class(evaluation), 40)}'"
    return f" of {len(test.labels):,} classes"


def _table(evaluation: Evaluation) -> str:
    scores = by_class(evaluation.test)
    shown = most_frequent(scores, MOST_CLASSES)
    header = ["Class", "Precision", "Recall", "F1", "Support", "Answered", "ROC AUC", "PR AUC"]
    rows = [
        [_name(one, evaluation), one.precision, one.recall, one.f1, one.rows, one.answered, one.roc_auc, one.pr_auc]
        for one in shown
    ]
    rest = (
        f"The {MOST_CLASSES} classes with the most test rows, of {len(scores):,}; {EVALUATION} holds all."
        if len(scores) > MOST_CLASSES
        else ""
    )
    none = "A dash: no test row is of the class (recall, AUC), or none is answered with it (precision)."
    lacking = any(value is None for row in rows for value in row)
    support = "Support is the number of test rows of the class; answered, how many rows the model gives it."
    notes = [report.paragraph(told, style="muted") for told in (rest, support, none if lacking else "") if told]
    return report.table(header, rows) + "".join(notes)


def _name(scores: ClassScores, evaluation: Evaluation) -> str:
    name = positive.class_name(scores.label)
    return f"{name} (positive)" if name == positive_class(evaluation) else name


def _left_out(test: Outcome, most: int) -> str:
    told = class_panels.left_out(test, most)
    return report.paragraph(told, style="muted") if told else ""


def _calibration(test: Outcome) -> str:
    points = reliability(test)
    rows = [
        [f"{claimed:.0%}", f"{observed:.0%}", f"{low:.0%} to {high:.0%}", int(count)]
        for claimed, observed, low, high, count in zip(
            points.claimed, points.observed, points.low, points.high, points.rows, strict=True
        )
    ]
    told = (
        "On the dashed line, what the model claims comes true as often as it claims; above it the model is too modest, below "
        "it too sure. Vertical lines are 95% intervals, grey bars the number of rows."
    )
    return report.paragraph(told) + report.table(["Claimed", "Came true", "95% interval", "Rows"], rows)
