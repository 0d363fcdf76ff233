"""The sections of a model card, each a function from the sources to Markdown; unknown facts are left to the owner."""

from collections import Counter
from math import prod
from typing import TYPE_CHECKING

from stagewright.components.evaluation.model_card.evaluation_part import interval, weaknesses
from stagewright.components.evaluation.model_card.markdown import bullets, escape, for_owner, number, table
from stagewright.components.evaluation.model_card.sources import Sources
from stagewright.components.runtime import positive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stagewright.components.runtime.schema import Column

_TASKS = {"binary": "a binary classifier", "multiclass": "a multiclass classifier", "regression": "a regressor"}
_TARGETS = {
    "local": "It is deployed on the machine that ran the pipeline, as a process.",
    "cluster": "It is deployed to a Kubernetes cluster as a KServe InferenceService.",
    "gitops": "Its KServe manifest is written to a repository, from which a cluster takes it.",
    "none": "This run deploys it nowhere.",
}
MOST_VALUES = 8
_FEATURES = "`features/features.json` in the model's folder"
MOST_ROWS = 40


def summary(sources: Sources) -> str:
    """A short summary of the model."""
    metadata, gate = sources.metadata, sources.evaluation["gate"]
    verdict = "It passed its gate." if gate["passed"] else "**It did not pass its gate.**"
    return (
        f"`{_code(sources.name)}` is {_TASKS[metadata.task]} that predicts {escape(metadata.target)} from "
        f"{counted(len(sources.features['inputs']), 'column')} of a table, made with {escape(metadata.framework)}. {verdict}"
    )


def problem(sources: Sources) -> str:
    """The task, the inputs and the outputs."""
    metadata = sources.metadata
    if metadata.classes is None:
        answer = f"For each row the model answers a number: its estimate of {escape(metadata.target)}."
    else:
        classes = ", ".join(escape(positive.class_name(label)) for label in metadata.classes[:MOST_VALUES])
        more = f" and {len(metadata.classes) - MOST_VALUES} more" if len(metadata.classes) > MOST_VALUES else ""
        answer = (
            f"For each row the model answers one of {len(metadata.classes)} classes ({classes}{more}) and their probabilities."
        )
        if metadata.task == "binary":
            positive_name = escape(positive.class_name(metadata.classes[1]))
            answer += f" It answers {positive_name} from a probability of {metadata.threshold:g} on."
    owner = for_owner("why this is predicted, who decides what with the answer, and what a mistake of each kind costs.")
    return f"{answer}\n\n{owner}"


def data(sources: Sources) -> str:
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
    more = f"And {rest:,} further columns; the schema file holds all." if rest > 0 else ""
    return "\n\n".join(filter(None, [splits, columns, more, owner]))


def features(sources: Sources) -> str:
    """How columns become features."""
    outputs, dropped = sources.features["outputs"], sources.features.get("dropped") or {}
    by_source: dict[str, Counter[str]] = {}
    for output in outputs:
        by_source.setdefault(output["source"], Counter())[output["kind"]] += prod(output.get("shape") or (1,))
    kinds = {column["name"]: column["kind"] for column in sources.features["inputs"]}
    rows = [
        [source, kinds.get(source, ""), ", ".join(f"{count} {kind}" for kind, count in own.items())]
        for source, own in list(by_source.items())[:MOST_ROWS]
    ]
    made = sum(map(Counter.total, by_source.values()))
    told = (
        f"{counted(len(kinds), 'column')} become{'s' * (len(kinds) == 1)} {counted(made, 'feature')}, by a transformation "
        "that was fitted on the training split only and is part of the model: training and serving run the same graph."
    )
    rest = len(by_source) - MOST_ROWS
    more = f"And the features of {rest:,} further columns; {_FEATURES} holds all." if rest > 0 else ""
    left_out = "Columns left out:\n\n" + bullets(_dropped(dropped))
    return "\n\n".join(filter(None, [told, table(["Column", "Kind", "Features"], rows), more, left_out if dropped else ""]))


def _dropped(dropped: "Mapping[str, str]") -> list[str]:
    """Dropped columns with the reason, grouped by reason."""
    by_reason: dict[str, list[str]] = {}
    for name, why in dropped.items():
        by_reason.setdefault(why, []).append(escape(name))
    told = [f"{_few(names)}: {escape(why)}" for why, names in by_reason.items()]
    rest = len(told) - MOST_VALUES
    return told[:MOST_VALUES] + ([f"{rest:,} more reasons; {_FEATURES} holds all"] if rest > 0 else [])


def _few(names: list[str]) -> str:
    rest = len(names) - MOST_VALUES
    return ", ".join(names[:MOST_VALUES]) + (f" and {rest:,} more; {_FEATURES} holds all" if rest > 0 else "")


def architecture(sources: Sources) -> str:
    """The method and its parameters."""
    metadata = sources.metadata
    params = table(
        ["Parameter", "Value"], [[name, "not set" if value is None else str(value)] for name, value in metadata.params.items()]
    )
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


def training(sources: Sources) -> str:
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


def deployment(sources: Sources) -> str:
    """Where and how the model is served."""
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


def monitoring(sources: Sources) -> str:
    """References for monitoring."""
    document = sources.evaluation
    main, facts = document.get("main_metric", ""), []
    reference = document["metrics"].get("test", {}).get(main)
    if reference is not None:
        found = interval(document.get("intervals", {}).get("test", {}).get(main))
        facts.append(
            f"Reference for its performance: {escape(main)} {number(reference)}{f' ({found})' if found else ''} on test."
        )
    if sources.exported:
        facts.append("Reference for drift of inputs and answers: the rows of `serving/baseline.parquet`.")
    owner = for_owner(
        "when true values become known, which change of data or performance raises an alarm, and who receives it."
    )
    return "\n\n".join(filter(None, [bullets(facts), owner]))


def maintenance(sources: Sources) -> str:
    """How the model is maintained."""
    facts = [
        "A retraining on new data is a patch version; another recipe makes a minor one, other inputs or answers a major one.",
        "A retrained model must pass the same gate, the present champion included, before it takes its place.",
    ]
    return f"{bullets(facts)}\n\n{for_owner('who owns the model, how to reach them, and when it is trained again or retired.')}"


def limitations(sources: Sources) -> str:
    """Intended use and known weaknesses."""
    use = f"Intended use, in the owner's words: {escape(sources.intended_use)}" if sources.intended_use else for_owner(
        "what the model may be used for, and what it must not be used for."
    )  # fmt: skip
    weak = weaknesses(sources.evaluation)
    found = (
        bullets(weak) if weak else "The evaluation found no weakness that it looks for; that is not proof of there being none."
    )
    return f"{use}\n\nKnown from the evaluation:\n\n{found}"


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
    parts += [f"shape {' x '.join(map(str, column.shape))}"] if column.shape else []
    return "; ".join(parts)


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 column", "2 columns"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _code(value: str) -> str:
    """A name in backticks."""
    return value.replace("`", "'")
