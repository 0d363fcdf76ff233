"""The report of a distillation: teacher and student side by side, and every student that was tried."""

from collections.abc import Sequence

from stagewright.components.metrics.metrics import METRICS
from stagewright.components.optimization.distillation.compare import Comparison
from stagewright.components.optimization.distillation.plots import agreement_plot, latency_plot, quality_plot, students_plot
from stagewright.components.optimization.distillation.result import Attempt, Distilled
from stagewright.components.optimization.distillation.teacher import describe
from stagewright.components.runtime.report import Page, bullets, details, figures, paragraph, table, text
from stagewright.components.runtime.schema import Task

MOST_COLUMNS = 40  # names of a sentence


def page(found: Distilled) -> Page:
    """The report."""
    test = found.test
    answered = found.outcomes["student"]
    named = f". Positive class: {answered.labels[1]}" if answered.task is Task.BINARY else ""
    made = Page(f"Distillation of {found.name}", f"Student: {found.chosen.student.name}. Teacher: {found.teacher.label}{named}")
    if found.passed:
        made.banner("The student may take the teacher's place", good=True)
    else:
        made.banner("The student may not take the teacher's place", bullets(found.failures), good=False)
    made.tiles(
        [
            (f"{test.metric.label} of the student", test.student.values.get(test.metric.name), _against(test)),
            (
                "as fast on batches",
                _times(test.speedup["batch"]),
                f"{_milliseconds(test, 'batch')} for {test.latency['student'].batch_rows:,} rows",
            ),
            ("as fast on single rows", _times(test.speedup["single_row"]), f"{_microseconds(test)} a row"),
            ("smaller", _times(test.bytes["teacher"] / test.bytes["student"]), _sizes(test)),
            _agreement_tile(test),
        ]
    )
    made.section("Teacher and student", _side_by_side(test), figures(quality_plot(test), latency_plot(test)))
    answers = figures(agreement_plot(found.outcomes["teacher"], found.outcomes["student"]))
    made.section("Where they agree", answers, paragraph(_fidelity(test)))
    made.section(
        "Students tried",
        figures(students_plot(found.attempts, found.chosen, found.limits.load)),
        paragraph("Green: within every limit. Red: not. The ring marks the choice: the fastest within the limits."),
        details("Every student", _attempts(found.attempts)),
    )
    made.section("How it was taught and measured", bullets([*found.notes, *_how(found)]))
    return made


def _times(factor: float) -> str:
    return f"{factor:,.0f} times" if factor >= 100 else f"{factor:.1f} times"


def _against(test: Comparison) -> str:
    gain = f"; gain {test.gain[0]:+.4f} to {test.gain[1]:+.4f}" if test.gain else ""
    return f"teacher {text(test.teacher.values.get(test.metric.name))}{gain}"


def _milliseconds(test: Comparison, load: str) -> str:
    return f"{getattr(test.latency['teacher'], load) * 1e3:.3g} to {getattr(test.latency['student'], load) * 1e3:.3g} ms"


def _microseconds(test: Comparison) -> str:
    return f"{test.latency['teacher'].single_row * 1e6:.3g} to {test.latency['student'].single_row * 1e6:.3g} µs"


def _sizes(test: Comparison) -> str:
    return f"{size(test.bytes['teacher'])} to {size(test.bytes['student'])}"


def _agreement_tile(test: Comparison) -> tuple[str, str, str]:
    if test.fidelity.divergence is None:
        return "R² against the teacher", f"{test.fidelity.agreement:.3f}", ""
    return "same answer", f"{100 * test.fidelity.agreement:.1f} %", f"divergence {test.fidelity.divergence:.3f} nats"


def size(count: int) -> str:
    """Bytes for a reader.

    >>> size(999), size(26_554_560)
    ('999 B', '26.6 MB')
    """
    for unit, factor in (("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} B"


def _side_by_side(test: Comparison) -> str:
    rows = []
    for name, value in test.teacher.values.items():
        interval = {who: _interval(found.get(name)) for who, found in test.intervals.items()}
        rows.append(
            [
                METRICS[name].label,
                value,
                interval.get("teacher", ""),
                test.student.values.get(name),
                interval.get("student", ""),
            ]
        )
    return table(["", "teacher", "95 % interval", "student", "95 % interval"], rows)


def _interval(found: tuple[float, float] | None) -> str:
    return f"{found[0]:.4g} to {found[1]:.4g}" if found else "—"


def _fidelity(test: Comparison) -> str:
    if test.fidelity.divergence is None:
        return f"Against the teacher's own values, the student's R² is {test.fidelity.agreement:.3f}."
    return (
        f"Both give the same answer to {100 * test.fidelity.agreement:.1f} % of the test rows; the mean divergence of their "
        f"probabilities is {test.fidelity.divergence:.3f} nats. Whoever is right is another matter: see above."
    )


def _attempts(attempts: Sequence[Attempt]) -> str:
    rows, styles = [], []
    for attempt in attempts:
        found = attempt.validation
        rows.append(
            [
                attempt.student.name, found.student.values.get(found.metric.name), round(found.loss, 2),
                round(found.fidelity.agreement, 3), round(found.speedup["batch"], 1), round(found.speedup["single_row"], 1),
                size(found.bytes["student"]), len(read_columns(attempt)),
                "; ".join(attempt.failures) or "passed",
            ]
        )  # fmt: skip
        styles.append("muted" if attempt.failures else "")
    heading = ["student", attempts[0].validation.metric.label, "loss", "agreement", "times faster, batch", "times faster, row"]
    heading += ["size", "columns", "verdict"]
    return table(heading, rows, styles=styles)


def read_columns(attempt: Attempt) -> list[str]:
    """The raw columns that a student makes something of; it may take others, so that clients need not change."""
    return sorted({feature.source for feature in attempt.taught.model.features.outputs})


def _names(columns: Sequence[str]) -> str:
    rest = len(columns) - MOST_COLUMNS
    more = f" and {rest:,} more; features.json in the model's folder holds all" if rest > 0 else ""
    return ", ".join(columns[:MOST_COLUMNS]) + more


def _how(found: Distilled) -> list[str]:
    columns = read_columns(found.chosen)
    real, made, test = (found.rows[use] for use in ("real", "made", "test"))
    labelled = (
        f"The teacher labelled {real:,} training rows and {made:,} rows made from them: each a real row of which some columns "
        "were taken from, or moved towards, a near neighbour."
    )
    judged = (
        f"The student was chosen on the validation rows and is judged here on {test:,} test rows, which nothing was chosen by."
    )
    timed = (
        "Latencies are medians of both exported graphs with their preprocessing in ONNX Runtime on one thread, measured in "
        "turns in one process; every single row is another one."
    )
    lines = [
        labelled, judged, timed, f"The student reads {len(columns)} columns: {_names(columns)}.",
        f"Its parameters: {describe(found.chosen.student.params)}",
    ]  # fmt: skip
    options = found.options
    if found.chosen.student.is_network:
        lines.append(
            f"Its soft targets had temperature {options.temperature:g}, its hidden layer weight {options.hidden_weight:g}."
        )
    if options.hard_weight:
        lines.append(f"Of real rows, the truth makes up {100 * options.hard_weight:g} % of the label.")
    return lines
