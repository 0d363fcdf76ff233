"""The evaluation as an HTML report."""

from typing import Any

from stagewright.components.evaluation import classification_page, examples, regression_plots
from stagewright.components.evaluation.champion import Champion
from stagewright.components.evaluation.evaluate import SPLITS, Evaluation
from stagewright.components.evaluation.plots import importance_plot, slices_plot
from stagewright.components.evaluation.slices import Slice
from stagewright.components.metrics.bootstrap import LEVEL, Interval
from stagewright.components.metrics.metrics import METRICS, Metric, of_task
from stagewright.components.runtime import report
from stagewright.components.runtime.schema import Task

TILES = {
    Task.BINARY: ("roc_auc", "pr_auc", "f1", "accuracy", "log_loss"),
    Task.MULTICLASS: ("roc_auc", "f1", "accuracy", "balanced_accuracy", "log_loss"),
    Task.REGRESSION: ("rmse", "mae", "r2", "mape"),
}
OF_POSITIVE = {"precision", "recall", "f1", "pr_auc"}  # metrics of one of two classes
_KINDS = {
    Task.BINARY: "binary classification", Task.MULTICLASS: "multiclass classification", Task.REGRESSION: "regression",
}  # fmt: skip


def page(evaluation: Evaluation) -> report.Page:
    """The report: verdict, key figures, metrics, plots of the task, slices, importance, overfitting, champion, method."""
    made = report.Page(f"Evaluation of {evaluation.name}", _subtitle(evaluation))
    _verdict(made, evaluation)
    made.tiles(_tiles(evaluation))
    made.section("Metrics", _metrics(evaluation))
    if evaluation.task is Task.REGRESSION:
        _regression(made, evaluation)
    else:
        classification_page.sections(made, evaluation)
    if evaluation.mistakes is not None:
        made.section("Worst mistakes", *_examples(evaluation.mistakes))
    made.section("What the model relies on, and whether it over-fits", *_importance(evaluation))
    made.section("Slices", *_slices(evaluation))
    made.section("Champion", *_champion(evaluation))
    made.section("How this was measured", report.bullets(_method(evaluation)))
    return made


def _subtitle(evaluation: Evaluation) -> str:
    metadata, rows = evaluation.metadata, {split: len(found) for split, found in evaluation.outcomes.items()}
    named = classification_page.positive_class(evaluation)
    about = f", positive class '{named}' from a probability of {metadata.threshold:g} on" if named else ""
    return (
        f"{_KINDS[evaluation.task]} of '{metadata.target}'{about} · {metadata.framework} ({metadata.algorithm}) · "
        f"{metadata.training_rows:,} rows to train on, {rows['validation']:,} to validate, {rows['test']:,} to test"
    )


def _verdict(made: report.Page, evaluation: Evaluation) -> None:
    gate = evaluation.gate
    checks = report.table(
        ["Condition on the test split", "Measured", "Required", "Outcome"],
        [[check.subject, check.measured, check.required, "passed" if check.passed else "failed"] for check in gate.checks],
        styles=["" if check.passed else "bad" for check in gate.checks],
    )
    if gate.passed:
        made.banner("The model passed the gate", _headline(evaluation), checks, good=True)
    else:
        made.banner("The model did not pass the gate", _headline(evaluation), report.bullets(gate.failures), checks, good=False)


def _headline(evaluation: Evaluation) -> str:
    """The main metric with its context."""
    value = evaluation.measured["test"].values.get(evaluation.metric.name)
    about = classification_page.about(evaluation) if evaluation.test.classes is not None else ""
    if value is None:
        return ""
    measured = f"{_label(evaluation.metric, evaluation)} is {report.text(value)} on {len(evaluation.test):,} test rows"
    return report.paragraph(f"{measured}{about}.")


def _label(metric: Metric, evaluation: Evaluation) -> str:
    """A metric's name with its class, or a note that it averages classes."""
    if metric.name not in OF_POSITIVE or evaluation.task is Task.REGRESSION:
        return metric.label
    named = classification_page.positive_class(evaluation)
    return f"{metric.label} of '{report.short(named, 20)}'" if named else f"{metric.label}, mean of classes"


def _tiles(evaluation: Evaluation) -> list[tuple[str, Any] | tuple[str, Any, str]]:
    values, intervals = evaluation.measured["test"].values, evaluation.intervals["test"]
    named = {metric.name: metric for metric in of_task(evaluation.task)}
    return [
        (_label(named[name], evaluation), values[name], _range(intervals.get(name)))
        for name in TILES[evaluation.task]
        if name in values
    ]


def _metrics(evaluation: Evaluation) -> str:
    rows = []
    for metric in of_task(evaluation.task):
        interval = evaluation.intervals["test"].get(metric.name)
        values = [evaluation.measured[split].values.get(metric.name) for split in SPLITS]
        learned_nothing = evaluation.baseline.values.get(metric.name)
        better = "lower" if metric.lower_is_better else "higher"
        rows.append([_label(metric, evaluation), *values, _range(interval), learned_nothing, better])
    interval_name = f"{LEVEL:.0%} interval (test)"
    shown = report.table(["Metric", "Train", "Validation", "Test", interval_name, "Trivial baseline", "Better"], rows)
    reasons = [
        f"{metric.label} of the {split} split is unknown: {evaluation.measured[split].absent[metric.name]}."
        for metric in of_task(evaluation.task)
        for split in SPLITS
        if metric.name in evaluation.measured[split].absent
    ]
    return shown + (report.bullets(reasons, style="muted") if reasons else "")


def _regression(made: report.Page, evaluation: Evaluation) -> None:
    test, target = evaluation.test, evaluation.metadata.target
    made.section(
        "Predictions",
        report.figures(regression_plots.predicted_plot(test, target), regression_plots.residuals_plot(test, target)),
    )
    made.section("Residuals", report.figures(regression_plots.histogram_plot(test), regression_plots.normal_plot(test)))


def _importance(evaluation: Evaluation) -> list[str]:
    used = evaluation.importance
    told = (
        f"Each raw column was shuffled among {used.rows:,} test rows, several times: bars are mean losses, dots are single "
        f"shuffles. Columns that say the same share their importance."
        if used.losses
        else "The model reads one column, and relies on it."
        if evaluation.mistakes is not None
        else "What the model relies on could not be measured on these rows."
    )
    rest = len(used.skipped)
    skipped = (
        f"Columns were measured in the order of their use by the model; {rest:,} other{'s were' if rest > 1 else ' was'} not "
        "measured for lack of time."
        if rest
        else ""
    )
    fit = evaluation.overfitting
    words = [
        report.paragraph(told),
        report.paragraph(skipped, style="muted") if skipped else "",
        "<h3>Over-fitting</h3>",
        report.paragraph(fit.sentence, style="bad" if fit.warning else ""),
    ]
    return [report.side_by_side(report.figures(importance_plot(used)) if used.losses else "", "".join(words))]


def _examples(found: examples.Examples) -> list[str]:
    if not found.shown:
        return [examples.description(found)]
    shown = examples.texts_table(found) if found.pictures is None else report.figures(examples.pictures_plot(found))
    return [examples.description(found), shown]


def _slices(evaluation: Evaluation) -> list[str]:
    parts = evaluation.slices
    if not parts:
        return [report.paragraph("No columns to look at.", style="muted")]
    metric = _slices_metric(evaluation)
    plot = slices_plot(parts, metric, evaluation.measured["test"].values.get(metric.name))
    return [
        report.paragraph(
            "Hollow points are slices too small to judge. Where the model is weak, more data of that kind may help."
        ),
        report.figures(plot) if plot else "",
        report.details("All metrics by slice", _slices_table(evaluation, parts)),
    ]


def _slices_metric(evaluation: Evaluation) -> Metric:
    """The main metric, unless most slices lack it (a class does not occur there); then the one that most of them have."""
    known = {
        metric.name: sum(metric.name in part.measured.values for part in evaluation.slices)
        for metric in of_task(evaluation.task)
    }
    if 2 * known[evaluation.metric.name] > len(evaluation.slices):
        return evaluation.metric
    return METRICS[max(TILES[evaluation.task], key=lambda name: known[name])]


def _slices_table(evaluation: Evaluation, parts: list[Slice]) -> str:
    metrics = [metric for metric in of_task(evaluation.task) if metric.name in TILES[evaluation.task]]
    rows = [
        [part.column, part.value, part.rows, *(part.measured.values.get(metric.name) for metric in metrics), part.note]
        for part in parts
    ]
    styles = ["muted" if part.note else "" for part in parts]
    header = ["Column", "Value", "Rows", *(metric.label for metric in metrics), ""]
    return report.table(header, rows, styles=styles, whole=classification_page.EVALUATION)


def _champion(evaluation: Evaluation) -> list[str]:
    champion = evaluation.champion
    if champion is None:
        return [
            report.paragraph("Not compared: no champion is registered under this name, or it was not asked for.", style="muted")
        ]
    if not champion.comparable or champion.measured is None or champion.metric is None:
        return [report.paragraph(f"Champion {champion.version} could not be compared: {champion.reason}.", style="muted")]
    better = "better" if (champion.gain or 0) > 0 else "worse" if (champion.gain or 0) < 0 else "different"
    told = (
        f"By {champion.metric.label} the new model is {abs(champion.gain or 0):.4g} {better} than champion {champion.version} "
        f"on the {champion.rows:,} test rows that neither of them learned from{_left_out(champion)}; gain "
        f"{_range(champion.interval)} by a paired bootstrap. It fails the gate only if this whole interval is below zero."
    )
    ours, theirs = champion.own.values if champion.own else {}, champion.measured.values
    rows = [[metric.label, ours.get(metric.name), theirs.get(metric.name)] for metric in of_task(evaluation.task)]
    return [report.paragraph(told), report.table(["Metric", "New model", f"Champion {champion.version}"], rows)]


def _left_out(champion: Champion) -> str:
    return f"; {champion.left_out:,} others, which one of them learned from, are left out" if champion.left_out else ""


def _method(evaluation: Evaluation) -> list[str]:
    averaged = "Precision, recall and F1 average the classes that occur; ROC AUC and PR AUC one class against the rest."
    return [
        "All plots and slices are of the test split, which neither training nor early stopping has seen.",
        f"Intervals are {LEVEL:.0%} percentile intervals of a bootstrap over rows; too narrow where rows hang together.",
        "The trivial baseline answers the shares of the classes in training, or the mean of the target, for every row.",
        *([averaged] if evaluation.task is Task.MULTICLASS else []),
        *evaluation.notes,
    ]


def _range(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f"{report.text(interval[0])} to {report.text(interval[1])}"
