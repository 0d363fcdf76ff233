"""The evaluation section of a model card, and the weaknesses that the evaluation found."""

from typing import Any

from stagewright.components.evaluation.model_card.markdown import bullets, escape, number, table
from stagewright.components.evaluation.model_card.sources import Sources

MOST_NAMED = 8
MOST_ROWS = 40
POOR_CALIBRATION = 0.05
ERRORS = {"rmse", "log_loss"}  # metrics for comparing slices: lower is better


def evaluation(sources: Sources) -> str:
    """Gate, metrics with intervals, overfitting, champion, importance, slices."""
    document = sources.evaluation
    gate = document["gate"]
    verdict = "The model passed its gate." if gate["passed"] else "The model did not pass its gate:"
    checks = table(
        ["Condition", "Measured", "Required", "Outcome"],
        [[c["subject"], c["measured"], c["required"], "passed" if c["passed"] else "failed"] for c in gate.get("checks", [])],
    )
    parts = [verdict, bullets(escape(failure) for failure in gate["failures"]), checks, _metrics_table(document)]
    parts.append(_classes(document))
    if document.get("overfitting"):
        parts.append(f"Over-fitting: {escape(document['overfitting']['sentence'])}")
    parts += [_champion(document.get("champion")), _importance(document), _slices(document)]
    return "\n\n".join(filter(None, parts))


def weaknesses(document: dict[str, Any]) -> list[str]:
    metric, test = _slice_metric(document), document["metrics"].get("test", {})
    weak = []
    if (document.get("overfitting") or {}).get("warning"):
        weak.append(escape(document["overfitting"]["sentence"]))
    error = test.get("calibration_error")
    if error is not None and error > POOR_CALIBRATION:
        weak.append(f"Its probabilities are off by {error:.3f} on average: rank by them, but do not take them at their word.")
    weaker = [
        f"It is weaker where {escape(part['column'])} is {escape(part['value'])}: {escape(metric)} "
        f"{number(part['metrics'][metric])} ({interval(part['intervals'][metric])}) against {number(test[metric])} of all rows."
        for part in document.get("slices", [])
        if metric in test and metric in part["intervals"] and _is_weaker(part["intervals"][metric], test[metric], metric)
    ]
    weak += weaker[:MOST_NAMED]
    if len(weaker) > MOST_NAMED:
        weak.append(f"Slices where it is weaker, too: {len(weaker) - MOST_NAMED:,}; the evaluation's JSON holds all.")
    small = [part for part in document.get("slices", []) if part.get("small")]
    if small:
        named = ", ".join(f"{escape(part['column'])} = {escape(part['value'])}" for part in small[:MOST_NAMED])
        more = f" and {len(small) - MOST_NAMED} more" if len(small) > MOST_NAMED else ""
        weak.append(f"Too few test rows to judge it where {named}{more}.")
    return weak


def _is_weaker(ends: list[float], whole: float, metric: str) -> bool:
    return ends[0] > whole if metric in ERRORS else ends[1] < whole


def _metrics_table(document: dict[str, Any]) -> str:
    metrics, intervals = document["metrics"], document.get("intervals", {}).get("test", {})
    baseline = (document.get("baseline") or {}).get("metrics", {})
    names = list(metrics.get("test", {}))
    rows = [
        [name, *(metrics.get(split, {}).get(name) for split in ("train", "validation", "test")), interval(intervals.get(name)),
         baseline.get(name)]
        for name in names
    ]  # fmt: skip
    return table(["Metric", "Train", "Validation", "Test", "95% interval (test)", "Trivial baseline"], rows)


def _classes(document: dict[str, Any]) -> str:
    """Metrics of each class, of the most frequent classes if there are many."""
    found = document.get("classes") or []
    if not found:
        return ""
    kept = sorted(range(len(found)), key=lambda at: (-found[at]["rows"], at))[:MOST_ROWS]
    names = ("precision", "recall", "f1", "rows", "roc_auc")
    rows = [[str(found[at]["label"]), *(found[at][name] for name in names)] for at in sorted(kept)]
    shown = table(["Class", "Precision", "Recall", "F1", "Support (test rows)", "ROC AUC"], rows)
    positive = document.get("positive_class")
    about = f"Each class; the positive one is {escape(positive)}:" if positive is not None else "Each class:"
    return "\n\n".join([about, shown, *_rest(len(found), "classes, those with the most test rows")])


def _rest(count: int, what: str) -> list[str]:
    """A note that a table is shortened, and where the rest is."""
    return [f"{MOST_ROWS} of {count:,} {what}; the evaluation's JSON holds all."] if count > MOST_ROWS else []


def _champion(champion: dict[str, Any] | None) -> str:
    if not champion:
        return "There was no champion to compare with."
    if not champion["comparable"]:
        return f"Champion {escape(champion['version'])} could not be compared: {escape(champion['reason'])}."
    return (
        f"Gain over champion {escape(champion['version'])} by {escape(champion['metric'])} on the "
        f"{champion['rows']:,} test rows that neither learned from: {champion['gain']:+.4g} ({interval(champion['interval'])})."
    )


def _importance(document: dict[str, Any]) -> str:
    found = list((document.get("importance") or {}).items())[:10]
    if not found:
        return ""
    shown = table(["Column", f"Loss of {document.get('main_metric', 'the metric')} when shuffled"], [[n, v] for n, v in found])
    return f"What it relies on most:\n\n{shown}"


def _slices(document: dict[str, Any]) -> str:
    metric = _slice_metric(document)
    rows = [
        [part["column"], part["value"], part["rows"], part["metrics"].get(metric), interval(part["intervals"].get(metric)),
         part["note"]]
        for part in document.get("slices", [])[:MOST_ROWS]
    ]  # fmt: skip
    shown = table(["Column", "Value", "Test rows", metric, "95% interval", "Note"], rows)
    return "\n\n".join(["By slice:", shown, *_rest(len(document["slices"]), "slices")]) if rows else ""


def _slice_metric(document: dict[str, Any]) -> str:
    """The main metric, unless most slices lack it (because a class does not occur there)."""
    main, parts = str(document.get("main_metric", "")), document.get("slices", [])
    lacking = sum(main not in part["metrics"] for part in parts)
    return "f1" if 2 * lacking > len(parts) and all("f1" in part["metrics"] for part in parts) else main


def interval(ends: list[float] | None) -> str:
    return f"{number(ends[0])} to {number(ends[1])}" if ends else ""
