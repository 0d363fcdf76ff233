"""The sections of a model card. Each is a function from what is known to Markdown; what is not known is left to the owner."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from stagewright.components.evaluation.markdown import bullets, escape, for_owner, number, table

if TYPE_CHECKING:
    from stagewright.components.evaluation.card import Sources
    from stagewright.components.runtime.schema import Column

_TASKS = {"binary": "a binary classifier", "multiclass": "a multiclass classifier", "regression": "a regressor"}
_TARGETS = {
    "local": "It is deployed on the machine that ran the pipeline, as a process.",
    "cluster": "It is deployed to a Kubernetes cluster as a KServe InferenceService.",
    "gitops": "Its KServe manifest is written to a repository, from which a cluster takes it.",
    "none": "This run deploys it nowhere.",
}
MOST_VALUES = 8
MOST_ROWS = 40
POOR_CALIBRATION = 0.05


def summary(sources: "Sources") -> str:
    """The model in a few sentences."""
    metadata, gate = sources.metadata, sources.evaluation["gate"]
    verdict = "It passed its gate." if gate["passed"] else "**It did not pass its gate.**"
    return (
        f"`{_code(sources.name)}` is {_TASKS[metadata.task]} that predicts {escape(metadata.target)} from "
        f"{len(sources.features['inputs'])} columns of a table, made with {escape(metadata.framework)}. {verdict}"
    )


def problem(sources: "Sources") -> str:
    """What is asked and what is answered."""
    metadata = sources.metadata
    if metadata.classes is None:
        answer = f"For each row the model answers a number: its estimate of {escape(metadata.target)}."
    else:
        classes = ", ".join(escape(label) for label in metadata.classes[:MOST_VALUES])
        more = f" and {len(metadata.classes) - MOST_VALUES} more" if len(metadata.classes) > MOST_VALUES else ""
        answer = (
            f"For each row the model answers one of {len(metadata.classes)} classes ({classes}{more}) and their probabilities."
        )
        if metadata.task == "binary":
            answer += f" It answers {escape(metadata.classes[1])} from a probability of 0.5 on."
    owner = for_owner("why this is predicted, who decides what with the answer, and what a mistake of each kind costs.")
    return f"{answer}\n\n{owner}"


def data(sources: "Sources") -> str:
    """Rows, hashes, columns."""
    rows, classes = sources.evaluation.get("rows", {}), sources.evaluation.get("class_rows", {})
    hashes = sources.metadata.data
    splits = table(
        ["Split", "Rows", "Classes", "SHA-256"],
        [[split, count, _shares(classes.get(split, {})), hashes.get(split, "")[:16]] for split, count in rows.items()],
    )
    columns = table(
        ["Column", "Kind", "Missing values", "Expected"],
        [
            [column.name, column.kind.value, "allowed" if column.nullable else "not allowed", _expected(column)]
            for column in sources.schema.columns[:MOST_ROWS]
        ],
    )
    rest = len(sources.schema.columns) - MOST_ROWS
    owner = for_owner("where the data comes from, which time and population it covers, and what permits its use.")
    return "\n\n".join(filter(None, [splits, columns, f"And {rest} further columns." if rest > 0 else "", owner]))


def features(sources: "Sources") -> str:
    """How columns become the numbers that the model sees."""
    outputs, dropped = sources.features["outputs"], sources.features.get("dropped") or {}
    by_source: dict[str, Counter[str]] = {}
    for output in outputs:
        by_source.setdefault(output["source"], Counter())[output["kind"]] += 1
    kinds = {column["name"]: column["kind"] for column in sources.features["inputs"]}
    rows = [
        [source, kinds.get(source, ""), ", ".join(f"{count} {kind}" for kind, count in made.items())]
        for source, made in list(by_source.items())[:MOST_ROWS]
    ]
    told = (
        f"{len(kinds)} columns become {len(outputs)} features, by a transformation that was fitted on the training split only "
        "and is part of the model: training and serving run the same graph."
    )
    more = f"And the features of {len(by_source) - MOST_ROWS} further columns." if len(by_source) > MOST_ROWS else ""
    left_out = "Columns left out:\n\n" + bullets(f"{escape(name)}: {escape(why)}" for name, why in dropped.items())
    return "\n\n".join(filter(None, [told, table(["Column", "Kind", "Features"], rows), more, left_out if dropped else ""]))


def architecture(sources: "Sources") -> str:
    """The method and its parameters."""
    metadata = sources.metadata
    params = table(["Parameter", "Value"], [[name, str(value)] for name, value in metadata.params.items()])
    versions = ", ".join(f"{escape(name)} {escape(version)}" for name, version in metadata.libraries.items())
    return "\n\n".join(
        filter(
            None,
            [
                f"Framework: {escape(metadata.framework)}; method: {escape(metadata.algorithm)}.",
                params,
                f"Made with {versions}.",
            ],
        )
    )


def training(sources: "Sources") -> str:
    """How it was trained."""
    metadata = sources.metadata
    facts = [
        f"Trained on {metadata.training_rows:,} rows; {metadata.validation_rows:,} rows of validation watched it.",
        f"Seed {metadata.seed}; class weights: {escape(metadata.class_weight)}.",
    ]
    if metadata.best_iteration is not None:
        facts.append(f"Iterations kept: {metadata.best_iteration:,}.")
    if metadata.run_id:
        facts.append(f"MLflow run `{_code(metadata.run_id)}`.")
    facts.append(f"Recipe `{_code(metadata.recipe[:16])}`: equal for a retraining of the same method on new data.")
    return bullets(facts)


def evaluation(sources: "Sources") -> str:
    """Gate, metrics with intervals, slices, over-fitting, champion."""
    document = sources.evaluation
    gate = document["gate"]
    verdict = "The model passed its gate." if gate["passed"] else "The model did not pass its gate:"
    checks = table(
        ["Condition", "Measured", "Required", "Outcome"],
        [[c["subject"], c["measured"], c["required"], "passed" if c["passed"] else "failed"] for c in gate.get("checks", [])],
    )
    parts = [verdict, bullets(escape(failure) for failure in gate["failures"]), checks, _metrics_table(document)]
    if document.get("overfitting"):
        parts.append(f"Over-fitting: {escape(document['overfitting']['sentence'])}")
    parts += [_champion(document.get("champion")), _importance(document), _slices(document)]
    return "\n\n".join(filter(None, parts))


def deployment(sources: "Sources") -> str:
    """Where and how it is served."""
    told = _TARGETS.get(sources.deploy_to, "")
    served = (
        "The model is one ONNX graph with its preprocessing inside (`serving/model.onnx`); it takes the raw columns by name "
        "and speaks KServe's V1 and V2 protocols."
        if sources.exported
        else "The model has not been exported for serving."
    )
    owner = for_owner(
        "who calls the model, how many requests with which latency are expected, and what happens when it is down."
    )
    return "\n\n".join(filter(None, [told, served, owner]))


def monitoring(sources: "Sources") -> str:
    """What can be compared with what."""
    document = sources.evaluation
    main, facts = document.get("main_metric", ""), []
    reference = document["metrics"].get("test", {}).get(main)
    if reference is not None:
        interval = _interval(document.get("intervals", {}).get("test", {}).get(main))
        facts.append(
            f"Reference for its performance: {escape(main)} {number(reference)}{f' ({interval})' if interval else ''} on test."
        )
    if sources.exported:
        facts.append("Reference for drift of inputs and answers: the rows of `serving/baseline.parquet`.")
    owner = for_owner(
        "when true values become known, which change of data or performance raises an alarm, and who receives it."
    )
    return "\n\n".join(filter(None, [bullets(facts), owner]))


def maintenance(sources: "Sources") -> str:
    """How it is renewed."""
    facts = [
        "A retraining on new data is a patch version; another recipe makes a minor one, other inputs or answers a major one.",
        "A retrained model must pass the same gate, the present champion included, before it takes its place.",
    ]
    return f"{bullets(facts)}\n\n{for_owner('who owns the model, how to reach them, and when it is trained again or retired.')}"


def limitations(sources: "Sources") -> str:
    """What it is for, and where it is known to be weak."""
    use = f"Intended use, in the owner's words: {escape(sources.intended_use)}" if sources.intended_use else for_owner(
        "what the model may be used for, and what it must not be used for."
    )  # fmt: skip
    weak = _weaknesses(sources.evaluation)
    found = (
        bullets(weak) if weak else "The evaluation found no weakness that it looks for; that is not proof of there being none."
    )
    return f"{use}\n\nKnown from the evaluation:\n\n{found}"


def _weaknesses(document: dict[str, Any]) -> list[str]:
    main, test = document.get("main_metric", ""), document["metrics"].get("test", {})
    weak = []
    if (document.get("overfitting") or {}).get("warning"):
        weak.append(escape(document["overfitting"]["sentence"]))
    error = test.get("calibration_error")
    if error is not None and error > POOR_CALIBRATION:
        weak.append(f"Its probabilities are off by {error:.3f} on average: rank by them, but do not take them at their word.")
    weak += [
        f"It is weaker where {escape(part['column'])} is {escape(part['value'])}: {escape(main)} "
        f"{number(part['metrics'][main])} ({_interval(part['intervals'][main])}) against {number(test[main])} of all rows."
        for part in document.get("slices", [])
        if main in test
        and main in part["metrics"]
        and main in part["intervals"]
        and _is_weaker(part["intervals"][main], test[main], main)
    ]
    small = [part for part in document.get("slices", []) if part.get("small")]
    if small:
        named = ", ".join(f"{escape(part['column'])} = {escape(part['value'])}" for part in small[:MOST_VALUES])
        more = f" and {len(small) - MOST_VALUES} more" if len(small) > MOST_VALUES else ""
        weak.append(f"Too few test rows to judge it where {named}{more}.")
    return weak


def _is_weaker(interval: list[float], whole: float, main: str) -> bool:
    return interval[0] > whole if main in {"rmse", "log_loss"} else interval[1] < whole


def _metrics_table(document: dict[str, Any]) -> str:
    metrics, intervals = document["metrics"], document.get("intervals", {}).get("test", {})
    baseline = (document.get("baseline") or {}).get("metrics", {})
    names = list(metrics.get("test", {}))
    rows = [
        [name, *(metrics.get(split, {}).get(name) for split in ("train", "validation", "test")), _interval(intervals.get(name)),
         baseline.get(name)]
        for name in names
    ]  # fmt: skip
    return table(["Metric", "Train", "Validation", "Test", "95% interval (test)", "Trivial baseline"], rows)


def _champion(champion: dict[str, Any] | None) -> str:
    if not champion:
        return "There was no champion to compare with."
    if not champion["comparable"]:
        return f"Champion {escape(champion['version'])} could not be compared: {escape(champion['reason'])}."
    return (
        f"Gain over champion {escape(champion['version'])} by {escape(champion['metric'])} on the same test rows: "
        f"{champion['gain']:+.4g} ({_interval(champion['interval'])})."
    )


def _importance(document: dict[str, Any]) -> str:
    found = list((document.get("importance") or {}).items())[:10]
    if not found:
        return ""
    shown = table(["Column", f"Loss of {document.get('main_metric', 'the metric')} when shuffled"], [[n, v] for n, v in found])
    return f"What it relies on most:\n\n{shown}"


def _slices(document: dict[str, Any]) -> str:
    main = document.get("main_metric", "")
    rows = [
        [
            part["column"],
            part["value"],
            part["rows"],
            part["metrics"].get(main),
            _interval(part["intervals"].get(main)),
            part["note"],
        ]
        for part in document.get("slices", [])[:MOST_ROWS]
    ]
    shown = table(["Column", "Value", "Test rows", main, "95% interval", "Note"], rows)
    return f"By slice:\n\n{shown}" if rows else ""


def _interval(interval: list[float] | None) -> str:
    return f"{number(interval[0])} to {number(interval[1])}" if interval else ""


def _shares(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    shown = [f"{label} {count / total:.0%}" for label, count in list(counts.items())[:MOST_VALUES]] if total else []
    return ", ".join([*shown, *(["..."] if len(counts) > MOST_VALUES else [])])


def _expected(column: "Column") -> str:
    parts = []
    if column.values is not None:
        shown = ", ".join(str(value) for value in column.values[:MOST_VALUES])
        parts.append(f"one of {shown}{', ...' if len(column.values) > MOST_VALUES else ''}")
    if column.minimum is not None or column.maximum is not None:
        low, high = ("any" if end is None else number(end) for end in (column.minimum, column.maximum))
        parts.append(f"{low} to {high}")
    parts += [f"matching {column.pattern}"] if column.pattern else []
    parts += ["unique"] if column.unique else []
    return "; ".join(parts)


def _code(value: str) -> str:
    """A name inside backticks."""
    return value.replace("`", "'")
