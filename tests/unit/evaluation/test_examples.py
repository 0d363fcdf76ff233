"""The worst mistakes of what reads images or texts."""

import numpy as np
import polars as pl
from support.deep_models import digits_table

from stagewright.components.evaluation import examples
from stagewright.components.metrics.outcome import Outcome, classification
from stagewright.components.runtime import report
from stagewright.components.runtime.schema import Task
from stagewright.components.runtime.signature import Input


def answered(rows: list[list[float]], truth: list[str]) -> Outcome:
    probabilities = np.array(rows, np.float32)
    labels = [("cat", "dog", "eel")[code] for code in probabilities.argmax(axis=1)]
    return classification(Task.MULTICLASS, ("cat", "dog", "eel"), truth, labels, probabilities, split="test")


OUTCOME = answered(
    [[0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.0, 0.1, 0.9], [0.2, 0.7, 0.1], [0.9, 0.1, 0.0]], ["dog", "cat", "eel", "dog", "eel"]
)


def test_mistakes_are_shown_by_how_sure_the_model_was() -> None:
    rows = digits_table().head(5)

    found = examples.worst_mistakes(OUTCOME, rows, [Input("image", "image", shape=(1, 8, 8))])

    assert found is not None
    assert found.mistakes == 3
    assert [(m.row, m.true, m.answered) for m in found.shown] == [(4, "eel", "cat"), (1, "cat", "dog"), (0, "dog", "cat")]
    assert np.array_equal(found.pictures, rows["image"].to_numpy()[[4, 1, 0]])
    drawing = report.figures(examples.pictures_plot(found))
    assert drawing.count("<image ") == 3
    assert "cat 90%" in drawing
    assert "3 test rows are answered wrongly; surest first. Above each picture is its class" in examples.description(found)


def test_texts_are_shown_cut_and_escaped() -> None:
    rows = pl.DataFrame({"review": ["<b>one</b>", "two " * 500, "three", "four", None]})

    found = examples.worst_mistakes(OUTCOME, rows, [Input("review", "text", tokenizer="tokenizer.json", max_tokens=8)])

    assert found is not None
    assert [len(text) for text in found.texts] == [0, examples.SHOWN_CHARACTERS, 10]
    assert "&lt;b&gt;one&lt;/b&gt;" in examples.texts_table(found)


def test_a_model_of_a_table_has_none_and_a_perfect_one_says_so() -> None:
    rows = digits_table().head(1)
    right = answered([[0.6, 0.3, 0.1]], ["cat"])

    assert examples.worst_mistakes(right, rows, [Input("digit", "numeric")]) is None
    perfect = examples.worst_mistakes(right, rows, [Input("image", "image", shape=(1, 8, 8))])
    assert perfect is not None
    assert "no mistake on the test split" in examples.description(perfect)
