import numpy as np

from stagewright.components.optimization.parity import compare
from stagewright.components.runtime.model import Predictions, answers

CLASSES = ("No", "Yes")


def classified(*second: float) -> Predictions:
    """A binary model's answers by the probability of the second class."""
    column = np.array(second, dtype=np.float32)
    return answers(np.column_stack([1 - column, column]), CLASSES)


def test_equal_answers_do_not_differ() -> None:
    found = compare(classified(0.1, 0.9), classified(0.1, 0.9), 1e-5)

    assert (found.largest, found.flipped, found.ties) == (0.0, (), ())
    assert found.failures(classified(0.1, 0.9), classified(0.1, 0.9), 1e-5) == []


def test_worst_row_and_its_difference_are_told() -> None:
    native, exported = classified(0.1, 0.2, 0.3), classified(0.1, 0.21, 0.3)

    found = compare(native, exported, 1e-5)

    assert found.row == 1
    [failure] = found.failures(native, exported, 1e-5)
    assert failure.startswith("a probability of validation row 1 differs by 0.01 (model 0.800000012, export 0.790000021), ")
    assert failure.endswith("more than the tolerance of 1e-05")


def test_other_label_fails_whatever_the_tolerance() -> None:
    native, exported = classified(0.1, 0.45), classified(0.1, 0.55)

    found = compare(native, exported, 0.02)

    assert found.flipped == (1,)
    assert found.failures(native, exported, 0.2) == [
        "the label differs in 1 validation rows, first in row 1 (model No, export Yes)",
    ]


def test_border_of_two_classes_is_a_tie() -> None:
    native, exported = classified(0.4999999), classified(0.5)

    found = compare(native, exported, 1e-5)

    assert (found.flipped, found.ties) == ((), (0,))
    assert found.failures(native, exported, 1e-5) == []


def test_answer_that_is_no_number_fails() -> None:
    native, exported = classified(0.1, 0.2), classified(0.1, float("nan"))

    found = compare(native, exported, 1e-5)

    assert found.row == 1
    assert found.failures(native, exported, 1e-5)


def test_values_are_compared_relative_to_their_size() -> None:
    native = Predictions(values=np.array([1_000_000.0, 0.5], dtype=np.float32))
    exported = Predictions(values=np.array([1_000_001.0, 0.500001], dtype=np.float32))

    assert compare(native, exported, 1e-5).largest < 1.1e-6


def test_small_values_are_compared_as_they_are() -> None:
    native, exported = (Predictions(values=np.array([value], dtype=np.float32)) for value in (0.001, 0.002))

    found = compare(native, exported, 1e-5)

    [failure] = found.failures(native, exported, 1e-5)
    assert failure.startswith("the value of validation row 0 differs by 0.001 (model 0.00100000005, export 0.00200000009), ")
