"""The positive class and its threshold: the model, its graph and the predictor answer alike, and metrics are of that class."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score
from support.trainings import Data

from stagewright.components.evaluation.evaluate import Evaluation, evaluate
from stagewright.components.evaluation.model_card.card import write_card
from stagewright.components.evaluation.page import page
from stagewright.components.export.export_model import export_model
from stagewright.components.export.targets import triton
from stagewright.components.predictor import model_source
from stagewright.components.predictor.inference.model import OnnxModel
from stagewright.components.runtime import columns, tables, tracking
from stagewright.components.runtime.errors import BadParameter
from stagewright.components.runtime.fingerprint import fingerprint
from stagewright.components.runtime.model import Model
from stagewright.components.runtime.positive import check_positive, class_name, positive_last
from stagewright.components.runtime.signature import Signature

PARAMS = {"n_estimators": 20}


@pytest.mark.parametrize(
    ("classes", "wanted", "order"),
    [
        (("No", "Yes"), "", ("No", "Yes")),
        (("No", "Yes"), "Yes", ("No", "Yes")),
        (("No", "Yes"), "No", ("Yes", "No")),
        ((0, 1), "0", (1, 0)),
        ((False, True), "false", (True, False)),
        ((False, True), "False", (True, False)),
        (("False", "True"), "False", ("True", "False")),
    ],
)
def test_the_positive_class_is_the_second(classes: tuple, wanted: str, order: tuple) -> None:
    assert positive_last(classes, wanted) == order


def test_a_class_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(BadParameter) as refused:
        positive_last(("no", "yes"), "yess")
    assert str(refused.value) == "parameter 'positive_class' is 'yess'; expected one of no, yes (did you mean 'yes'?)"
    assert [class_name(label) for label in (True, 1.0, 1.5, 2, "x")] == ["true", "1", "1.5", "2", "x"]


@pytest.mark.parametrize("threshold", [0, 1, 0.0, 1.0, -0.1, float("nan"), float("inf"), True, "0.5", None])
def test_a_threshold_lies_between_zero_and_one(threshold: object) -> None:
    with pytest.raises(BadParameter, match=r"^parameter 'threshold' is .*; expected a number above 0 and below 1$"):
        check_positive(threshold)  # type: ignore[arg-type]


def test_only_two_classes_have_either() -> None:
    check_positive(0.5, "", binary=False, task="regression")
    for given, sentence in (
        ((0.4, ""), "parameter 'threshold' is 0.4; expected 0.5, because the task is multiclass"),
        ((0.5, "a"), "parameter 'positive_class' is 'a'; expected none, because the task is multiclass"),
    ):
        with pytest.raises(BadParameter) as refused:
            check_positive(*given, binary=False, task="multiclass")
        assert str(refused.value) == sentence


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("framework", ["xgboost", "sklearn"])
@pytest.mark.parametrize(("positive", "threshold"), [("No", 0.7), ("", 0.2)])
def test_model_graph_and_predictor_answer_alike(
    small: Data, tmp_path: Path, framework: str, positive: str, threshold: float
) -> None:
    params = PARAMS if framework == "xgboost" else {"model": "linear"}
    folder = small.model(tmp_path / "model", framework, params, positive_class=positive, threshold=threshold)
    export_model(folder, small.validation, tmp_path / "exported")

    table, model = tables.read_table(small.validation), Model.load(folder)
    own = model.predict(table)
    served = OnnxModel.load(model_source.read(str(tmp_path / "exported")), "m")
    outputs = served.run(columns.feeds(table, served.signature.inputs))
    plain = small.model(tmp_path / "plain", framework, params)
    before = Model.load(plain).predict(table)

    order = ("Yes", "No") if positive else ("No", "Yes")
    assert own.labels is not None
    assert own.probabilities is not None
    assert before.probabilities is not None
    assert model.metadata.classes == served.signature.classes == order
    assert served.signature.threshold == threshold
    expected = np.where(own.probabilities[:, 1] >= np.float32(threshold), order[1], order[0])
    assert own.labels.tolist() == expected.tolist() == outputs["label"].tolist()
    assert set(own.labels.tolist()) == {"No", "Yes"}
    assert own.labels.tolist() != np.where(own.probabilities[:, 1] >= 0.5, order[1], order[0]).tolist()
    same = before.probabilities[:, ::-1] if positive else before.probabilities
    assert np.abs(own.probabilities - same).max() < 0.02
    baseline = tables.read_table(tmp_path / "exported" / "serving" / "baseline.parquet")
    assert set(baseline["__label__"]) == {"No", "Yes"}
    triton.write_repository(tmp_path / "exported", tmp_path / "triton", name="m", options=triton.Options())
    assert (fingerprint(tmp_path / "exported").signature == Model.load(plain).metadata.signature) == (not positive)


@pytest.mark.usefixtures("recorded")
def test_a_signature_of_another_threshold_than_the_graph_cannot_travel(small: Data, tmp_path: Path) -> None:
    folder = small.model(tmp_path / "model", "xgboost", PARAMS, threshold=0.3)
    export_model(folder, small.validation, tmp_path / "exported")
    path = tmp_path / "exported/serving/signature.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"threshold": 0.5}))

    with pytest.raises(Exception, match=r"from a probability of 0\.5, and Triton runs the graph, which decides at 0\.3; read"):
        triton.write_repository(tmp_path / "exported", tmp_path, name="m", options=triton.Options())


@pytest.mark.usefixtures("recorded")
def test_metrics_page_and_run_are_of_the_positive_class(small: Data, tmp_path: Path) -> None:
    folder = small.model(tmp_path / "model", "xgboost", PARAMS, positive_class="No", threshold=0.8)
    table = tables.read_table(small.validation)
    splits = {"train": small.train, "validation": small.validation, "test": small.validation}

    found = evaluate(folder, **splits, name="m", compare_with_champion=False)

    model = Model.load(folder)
    labels = model.predict(table).labels
    metrics = found.measured["test"].values
    assert metrics["f1"] == pytest.approx(f1_score(table["churn"].to_numpy(), labels, pos_label="No"))
    assert metrics["precision"] == pytest.approx(precision_score(table["churn"].to_numpy(), labels, pos_label="No"))
    assert "positive class &#x27;No&#x27; from a probability of 0.8 on" in page(found).render()
    run = tracking.client("a test").get_run(model.metadata.run_id)
    assert (run.data.params["positive_class"], run.data.params["threshold"]) == ("No", "0.8")
    assert (run.data.tags["stagewright.positive_class"], run.data.tags["stagewright.threshold"]) == ("No", "0.8")
    assert _card(folder, found, small, tmp_path).endswith(
        "(Yes, No) and their probabilities. It answers No from a probability of 0.8 on."
    )
    default = Model.load(small.model(tmp_path / "plain", "xgboost", PARAMS)).metadata
    explicit = Model.load(small.model(tmp_path / "same", "xgboost", PARAMS, positive_class="Yes", threshold=0.5)).metadata
    assert (default.recipe, default.signature) == (explicit.recipe, explicit.signature)
    assert default.recipe != model.metadata.recipe


@pytest.mark.usefixtures("recorded")
def test_truth_values_are_written_as_the_parameter_takes_them(datasets: dict[str, Data], tmp_path: Path) -> None:
    data = datasets["telco_bool"]
    folder = data.model(tmp_path / "model", "xgboost", PARAMS, positive_class="false", threshold=0.7)

    found = evaluate(folder, train=data.train, validation=data.validation, test=data.validation, name="m")

    assert "positive class &#x27;false&#x27; from a probability of 0.7 on" in page(found).render()
    assert _card(folder, found, data, tmp_path).endswith(
        "(true, false) and their probabilities. It answers false from a probability of 0.7 on."
    )


def _card(folder: Path, found: Evaluation, data: Data, tmp_path: Path) -> str:
    """The card's sentence about what is answered."""
    found.write(tmp_path / "evaluation.json")
    write_card(
        tmp_path / "card.md", tmp_path / "card.html", model=folder, evaluation=tmp_path / "evaluation.json",
        schema=data.schema, name="m", deploy_to="", intended_use="",
    )  # fmt: skip
    return next(
        line for line in (tmp_path / "card.md").read_text().splitlines() if line.startswith("For each row the model answers")
    )


@pytest.mark.usefixtures("recorded")
def test_training_refuses_what_cannot_be(datasets: dict[str, Data], tmp_path: Path) -> None:
    for data, options, sentence in (
        ("telco_bool", {"positive_class": "Yes"}, "parameter 'positive_class' is 'Yes'; expected one of false, true"),
        ("telco_bool", {"threshold": 1.0}, "parameter 'threshold' is 1.0; expected a number above 0 and below 1"),
        (
            "wine_int",
            {"positive_class": "1"},
            "parameter 'positive_class' is '1'; expected none, because the task is multiclass",
        ),
        ("diabetes", {"threshold": 0.4}, "parameter 'threshold' is 0.4; expected 0.5, because the task is regression"),
    ):
        with pytest.raises(BadParameter) as refused:
            datasets[data].model(tmp_path / "none", "xgboost", PARAMS, **options)
        assert str(refused.value) == sentence


def test_a_signature_keeps_its_threshold(tmp_path: Path) -> None:
    Signature("binary", (), ("b", "a"), threshold=0.25).write(tmp_path)

    assert (Signature.read(tmp_path).threshold, Signature.read(tmp_path).classes) == (0.25, ("b", "a"))
