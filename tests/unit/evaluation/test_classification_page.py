"""The page of a classifier: each class in a table, curves that can be told apart, and no endless lists."""

import re
from dataclasses import replace
from html import unescape

import pytest
from unit.evaluation import outcomes

from stagewright.components.evaluation.classification_plots import confusion_plot, scores_plot
from stagewright.components.evaluation.evaluate import Evaluation, evaluate
from stagewright.components.evaluation.page import page
from stagewright.components.metrics.outcome import Outcome


@pytest.fixture(scope="module")
def of_wine(wine_model) -> Evaluation:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return evaluate(wine_model.model, **wine_model.splits, name="wine", compare_with_champion=False)


@pytest.fixture(scope="module")
def of_churn(churn_model) -> Evaluation:
    return evaluate(churn_model.model, **churn_model.splits, name="churn", compare_with_champion=False)


def of(evaluation: Evaluation, test: Outcome) -> str:
    return page(replace(evaluation, outcomes=evaluation.outcomes | {"test": test}, slices=[])).render()


def section(html: str, heading: str) -> str:
    return unescape(re.findall(f"<section><h2>{heading}</h2>(.*?)</section>", html, re.DOTALL)[0])


def test_each_class_has_a_row_and_the_positive_one_is_named(of_churn: Evaluation) -> None:
    html, document = page(of_churn).render(), of_churn.document()
    table = section(html, "Each class")
    no, yes = document["classes"]

    assert re.findall("<th(?: [^>]*)?>(.*?)</th>", table) == [
        "Class", "Precision", "Recall", "F1", "Support", "Answered", "ROC AUC", "PR AUC",
    ]  # fmt: skip
    rows = [re.findall("<td[^>]*>(.*?)</td>", row) for row in re.findall("<tr>(<td.*?)</tr>", table)]
    assert rows == [
        [name, *(f"{of_class[key]:#.4g}" for key in ("precision", "recall", "f1")), str(of_class["rows"]),
         str(of_class["answered"]), *(f"{of_class[key]:#.4g}" for key in ("roc_auc", "pr_auc"))]
        for name, of_class in (("No", no), ("Yes (positive)", yes))
    ]  # fmt: skip
    assert document["positive_class"] == "Yes"
    assert yes["rows"] == int((of_churn.test.truth == 1).sum())
    share = f"{yes['rows'] / len(of_churn.test):.0%}"
    auc = f"{document['metrics']['test']['roc_auc']:#.4g}"
    headline = f"ROC AUC is {auc} on {len(of_churn.test):,} test rows, {share} of them of the positive class 'Yes'."
    assert headline in unescape(html)
    assert {f"{name} of 'Yes'" for name in ("Precision", "Recall", "F1", "PR AUC")} <= set(
        re.findall("<td>(.*?)</td>", section(html, "Metrics"))
    )


def test_metrics_of_several_classes_say_that_they_are_means(of_wine: Evaluation) -> None:
    html = page(of_wine).render()

    assert of_wine.document()["positive_class"] is None
    assert [one["label"] for one in of_wine.document()["classes"]] == [0, 1, 2]
    assert "F1, mean of classes" in html
    assert f"on {len(of_wine.test):,} test rows of 3 classes." in html
    assert "(positive)" not in html


def test_a_regression_has_no_classes(diabetes_model) -> None:
    found = evaluate(diabetes_model.model, **diabetes_model.splits, name="d", compare_with_champion=False)

    assert found.document()["classes"] == []
    assert found.document()["positive_class"] is None
    assert "Each class" not in page(found).render()
    assert f"RMSE is {found.measured['test'].values['rmse']:#.4g}"[:12] in page(found).render()


@pytest.mark.parametrize(("classes", "drawn"), [(7, ["ROC curve", "Precision and recall"]), (8, [])])
def test_curves_of_eight_classes_have_panels_of_their_own(of_wine: Evaluation, classes: int, drawn: list[str]) -> None:
    html = of(of_wine, outcomes.multiclass(400, classes))
    curves = section(html, "How well the classes are told apart")
    names = re.findall(' aria-label="(.*?)"', curves)

    if drawn:
        assert names == drawn
        assert len(set(re.findall("stroke-dasharray: ([^;]*)", curves))) >= 3
        assert 'class="wide"' not in curves
    else:
        assert names == [", ".join(map(str, range(8)))] * 2
        assert "ROC curve of each class against the rest" in curves
    assert "Plots show" not in curves


def test_a_class_without_rows_has_no_panel_and_dashes_in_the_table(of_wine: Evaluation) -> None:
    made = outcomes.multiclass(300, 9)
    kept = made.take((made.truth != 4) & (made.predicted != 4))
    html = of(of_wine, kept)

    assert ' aria-label="0, 1, 2, 3, 5, 6, 7, 8"' in section(html, "How well the classes are told apart")
    assert '<tr><td>4</td><td class="n">—</td><td class="n">—</td><td class="n">—</td><td class="n">0</td>' in html
    assert "A dash: no test row is of the class" in html


@pytest.mark.parametrize(("classes", "told"), [(12, False), (13, True)])
def test_plots_of_many_classes_say_what_they_leave_out(of_wine: Evaluation, classes: int, told: bool) -> None:
    curves = section(of(of_wine, outcomes.multiclass(500, classes)), "How well the classes are told apart")

    assert ("Plots show the 12 classes with the most test rows, of 13." in curves) is told
    assert all(len(names.split(", ")) == 12 for names in re.findall(' aria-label="(.*?)"', curves))


@pytest.mark.parametrize(("classes", "told"), [(40, False), (41, True)])
def test_a_table_of_many_classes_says_where_the_others_are(of_wine: Evaluation, classes: int, told: bool) -> None:
    table = section(of(of_wine, outcomes.multiclass(2000, classes)), "Each class")

    assert table.count("<tr><td") == 40
    sentence = "The 40 classes with the most test rows, of 41; evaluate_model's output `evaluation` holds all."
    assert (sentence in table) is told


def test_a_page_of_300_classes_names_few_of_them(of_wine: Evaluation) -> None:
    made = outcomes.multiclass(3000, 300)
    named = replace(made, classes=tuple(f"species number {number:03d}" for number in range(300)))
    html = of(of_wine, named)

    assert len(set(re.findall(r"species number \d{3}", html))) <= 41
    assert len(html) < 1_000_000


@pytest.mark.parametrize(("classes", "last"), [(30, "29"), (31, "2 others")])
def test_a_confusion_matrix_takes_rare_classes_of_many_together(classes: int, last: str) -> None:
    made = outcomes.multiclass(2000, classes)
    (axes,) = confusion_plot(made).axes

    assert len(axes.get_yticklabels()) == 30
    assert axes.get_yticklabels()[-1].get_text() == last
    assert axes.images[0].get_array().shape == (30, 30, 4)


def test_the_threshold_is_drawn_where_it_is() -> None:
    (axes,) = scores_plot(outcomes.binary(), 0.3).axes

    assert [line.get_xdata() for line in axes.lines] == [[0.3, 0.3]]
