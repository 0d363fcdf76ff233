"""Whole evaluations of real models: two classes, three classes, a regression."""

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from kfp import dsl

from stagewright.components.evaluation.evaluate import Evaluation, evaluate
from stagewright.components.evaluation.page import page
from stagewright.components.evaluation.record import to_kubeflow
from stagewright.components.metrics.metrics import of_task
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import BadParameter, GateFailed, InputError
from stagewright.components.runtime.model import Model
from stagewright.components.runtime.schema import Task

SHARED = ["Metrics", "What the model relies on, and whether it over-fits", "Slices", "Champion", "How this was measured"]
CLASSIFIED = [
    "Each class", "How well the classes are told apart", "What is answered, and how sure the model is",
    "Whether probabilities can be taken at their word",
]  # fmt: skip
BY_TASK = {Task.BINARY: CLASSIFIED, Task.MULTICLASS: CLASSIFIED, Task.REGRESSION: ["Predictions", "Residuals"]}
PLOTS = {Task.BINARY: 7, Task.MULTICLASS: 7, Task.REGRESSION: 6}


class Outline(HTMLParser):
    """Headings, number of drawings, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.drawings = 0
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.drawings += tag == "svg"
        if tag not in {"meta", "br", "hr", "img", "link"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


@pytest.fixture(autouse=True)
def no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module", params=["churn_model", "wine_model", "diabetes_model"])
def evaluation(request: pytest.FixtureRequest) -> Evaluation:
    trained = request.getfixturevalue(request.param)
    return evaluate(trained.model, **trained.splits, name=request.param, compare_with_champion=False)


def test_document_is_strict_json_with_every_split(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.write(tmp_path / "evaluation.json")
    text = (tmp_path / "evaluation.json").read_text()
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))

    assert {
        "name",
        "task",
        "framework",
        "metrics",
        "intervals",
        "baseline",
        "champion",
        "slices",
        "overfitting",
        "gate",
    } <= set(document)
    names = {metric.name for metric in of_task(evaluation.task)}
    for split in ("train", "validation", "test"):
        assert set(document["metrics"][split]) | set(document["absent"].get(split, {})) == names
    for name, (low, high) in document["intervals"]["test"].items():
        assert low <= document["metrics"]["test"][name] <= high
    assert document["gate"] == evaluation.gate.document()
    assert document["champion"] is None


def test_a_real_model_passes_its_gate(evaluation: Evaluation) -> None:
    assert evaluation.gate.passed
    assert evaluation.metric.gain(
        evaluation.measured["test"].values[evaluation.metric.name], evaluation.baseline.values[evaluation.metric.name]
    ) > 0  # fmt: skip


def test_kubeflow_gets_finite_numbers_of_every_task(evaluation: Evaluation) -> None:
    metrics, classification = dsl.Metrics(), dsl.ClassificationMetrics()

    to_kubeflow(evaluation, metrics, classification)

    json.dumps([metrics.metadata, classification.metadata], allow_nan=False)
    names = [metric.name for metric in of_task(evaluation.task)]
    assert {*names, *(f"train_{name}" for name in names)} <= metrics.metadata.keys()
    expected = {
        Task.BINARY: {"confusionMatrix", "confidenceMetrics"}, Task.MULTICLASS: {"confusionMatrix"}, Task.REGRESSION: set(),
    }  # fmt: skip
    assert classification.metadata.keys() == expected[evaluation.task]


def test_kubeflow_gets_no_metric_that_is_no_number(evaluation: Evaluation) -> None:
    measured = evaluation.measured["test"]
    first, *others = measured.values
    spoilt = {**measured.values, first: math.nan, others[0]: math.inf}
    metrics = dsl.Metrics()

    changed = replace(evaluation, measured={**evaluation.measured, "test": replace(measured, values=spoilt)})
    to_kubeflow(changed, metrics, dsl.ClassificationMetrics())

    assert {first, others[0]} & metrics.metadata.keys() == set()
    assert set(others[1:]) <= metrics.metadata.keys()


def test_page_has_its_sections_and_plots_and_is_small(evaluation: Evaluation) -> None:
    html = page(evaluation).render()
    outline = Outline(html)

    assert outline.open == []
    assert outline.headings == [SHARED[0], *BY_TASK[evaluation.task], *SHARED[1:]]
    assert outline.drawings == PLOTS[evaluation.task]
    assert len(html) < 400_000
    assert "nan" not in re.sub(r"<[^>]*>", " ", html).lower().split()


def test_equal_evaluations_are_equal_bytes(churn_model) -> None:
    first, second = (
        evaluate(churn_model.model, **churn_model.splits, name="churn", compare_with_champion=False) for _ in range(2)
    )

    assert page(first).render() == page(second).render()
    assert first.document() == second.document()


def test_most_important_column_matters_and_is_sliced_by(churn_model) -> None:
    found = evaluate(churn_model.model, **churn_model.splits, name="churn", compare_with_champion=False)
    mean = found.importance.mean

    assert next(iter(mean)) == "contract"
    assert list(mean.values()) == sorted(mean.values(), reverse=True)
    assert set(mean) == {column.name for column in Model.load(churn_model.model).features.inputs}
    assert {part.column for part in found.slices} == set(list(mean)[:2])


def test_metrics_are_those_of_the_models_own_answers(churn_model) -> None:
    found = evaluate(churn_model.model, **churn_model.splits, name="churn", compare_with_champion=False)
    test = tables.read_table(churn_model.test)
    labels = Model.load(churn_model.model).predict(test).labels

    assert found.measured["test"].values["accuracy"] == pytest.approx((test["churn"].to_numpy() == labels).mean())


def test_thresholds_out_of_reach_fail_the_gate_but_everything_is_there(diabetes_model) -> None:
    found = evaluate(diabetes_model.model, **diabetes_model.splits, name="d", minimum={"rmse": 1, "r2": 0.1})

    with pytest.raises(GateFailed, match=r"model 'd' did not pass: rmse is .*, at most 1 is wanted"):
        found.gate.require("model 'd'")
    html = page(found).render()
    assert "The model did not pass the gate" in html
    assert len(found.gate.failures) == 1


def test_wrong_parameters_are_refused_before_any_work(wine_model, tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match="'minimum' is 'rmse'"):
        evaluate(wine_model.model, **wine_model.splits, name="wine", minimum={"rmse": 1})
    with pytest.raises(InputError, match=r"cannot slice by 'alcohl': .* \(did you mean 'alcohol'\?\)"):
        evaluate(wine_model.model, **wine_model.splits, name="wine", slice_columns=["alcohl"])
    with pytest.raises(InputError, match="is not a model that train_model wrote"):
        evaluate(tmp_path, **wine_model.splits, name="wine")


def test_a_split_that_does_not_fit_the_model_is_refused(wine_model, tmp_path: Path) -> None:
    def evaluate_on(table: pl.DataFrame) -> None:
        tables.write_table(table, tmp_path / "test.parquet")
        evaluate(wine_model.model, **wine_model.splits | {"test": tmp_path / "test.parquet"}, name="wine")

    test = tables.read_table(wine_model.test)
    with pytest.raises(InputError, match="alcohol"):
        evaluate_on(test.drop("alcohol"))
    with pytest.raises(InputError, match="the test split has no column 'cultivar'"):
        evaluate_on(test.drop("cultivar"))
    with pytest.raises(InputError, match="target values that the model was not trained on: '9'; it knows '0', '1', '2'"):
        evaluate_on(test.with_columns(cultivar=pl.lit(9, pl.Int64)))
    with pytest.raises(InputError, match="the test split has no row with a value of 'cultivar'"):
        evaluate_on(test.head(0))


def test_a_test_split_of_one_class_is_judged_by_what_can_be_known(churn_model, tmp_path: Path) -> None:
    one = tables.read_table(churn_model.test).filter(pl.col("churn") == "No")
    tables.write_table(one, tmp_path / "test.parquet")

    found = evaluate(
        churn_model.model, **churn_model.splits | {"test": tmp_path / "test.parquet"}, name="churn", minimum={"roc_auc": 0.5}
    )

    assert found.metric.name == "log_loss"
    assert found.gate.failures[0] == "roc_auc is unknown (all rows are of class 'No'), at least 0.5 is wanted"
    html = page(found).render()
    assert "ROC AUC of the test split is unknown: all rows are of class &#x27;No&#x27;." in html
    json.dumps(found.document(), allow_nan=False)


def test_rows_without_a_target_are_left_out_and_told(wine_model, tmp_path: Path) -> None:
    test = tables.read_table(wine_model.test)
    holes = test.with_columns(cultivar=pl.when(pl.int_range(pl.len()) < 3).then(None).otherwise("cultivar"))
    tables.write_table(holes, tmp_path / "test.parquet")

    found = evaluate(wine_model.model, **wine_model.splits | {"test": tmp_path / "test.parquet"}, name="wine")

    assert len(found.test) == len(test) - 3
    assert "3 of 27 rows of the test split have no target and are left out." in found.notes


def test_names_from_data_are_text_everywhere(train) -> None:
    tag, money = "<b>bold</b>", "$x_1$ & $y^2"
    table = pl.DataFrame({
        "kind <i>": [tag, money, "c\\d"] * 100,
        "amount": [float(number % 7) for number in range(300)],
        "class | *": [tag if number % 3 == 0 else money for number in range(300)],
    })  # fmt: skip
    trained = train(table, "class | *", "binary", name="sklearn", params={"model": "linear"})

    html = page(evaluate(trained.model, **trained.splits, name="a <script>", slice_columns=["kind <i>"])).render()

    assert Outline(html).open == []
    for raw in (tag, "<i>", "<script>"):
        assert raw not in html
    assert "&lt;b&gt;bold&lt;/b&gt;" in html
    assert "$x_1$ &amp; $y^2" in html
