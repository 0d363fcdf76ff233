from typing import Any

import numpy as np
import polars as pl
import pytest

from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.schema import Task
from stagewright.components.training import target


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["b", "a", "b"], ("a", "b")),
        ([10, 2, 10], (2, 10)),
        ([True, False], (False, True)),
        ([1.0, 0.0, 1.0], (0, 1)),
    ],
)
def test_classes_are_sorted_python_values(values: list[Any], classes: tuple[Any, ...]) -> None:
    found = target.classes_of(pl.Series("y", values), Task.BINARY)

    assert found == classes
    assert [type(label) for label in found] == [type(label) for label in classes]


def test_codes_are_positions_among_the_classes() -> None:
    assert target.codes(pl.Series("y", ["c", "a", "b"]), ("a", "b", "c"), "training").tolist() == [2, 0, 1]
    assert target.codes(pl.Series("y", [True, False]), (False, True), "training").tolist() == [1, 0]


def test_one_class_only_is_refused() -> None:
    with pytest.raises(InputError, match="target 'y' has only one class \\('No'\\) in the training split"):
        target.classes_of(pl.Series("y", ["No", "No"]), Task.BINARY)


def test_three_classes_are_not_binary() -> None:
    with pytest.raises(InputError, match="target 'y' has 3 classes and the task is binary; use task 'multiclass'"):
        target.classes_of(pl.Series("y", [0, 1, 2]), Task.BINARY)


def test_fractions_are_no_labels() -> None:
    with pytest.raises(InputError, match="target 'y' holds Float64; a class is a text, a whole number or true and false"):
        target.classes_of(pl.Series("y", [0.5, 1.5]), Task.BINARY)


def test_class_that_only_validation_has_is_refused() -> None:
    with pytest.raises(InputError, match="target 'y' has class 'c' in the validation split and not in the training split"):
        target.codes(pl.Series("y", ["a", "c"]), ("a", "b"), "validation")


@pytest.mark.parametrize("values", [["a", None, None], [1.0, float("nan"), None]])
def test_missing_target_is_counted(values: list[Any]) -> None:
    with pytest.raises(InputError, match="target 'y' is missing in 2 rows of the training split"):
        target.series_of(pl.DataFrame({"y": values}), "y", "training")


def test_target_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(InputError, match="target 'chrun' is not in the training split \\(did you mean 'churn'\\?\\)"):
        target.series_of(pl.DataFrame({"churn": [1]}), "chrun", "training")


def test_empty_split_is_refused() -> None:
    with pytest.raises(InputError, match="the validation split has no rows"):
        target.series_of(pl.DataFrame({"y": []}), "y", "validation")


def test_text_is_no_value() -> None:
    with pytest.raises(InputError, match="target 'y' holds String and the task is regression; expected numbers"):
        target.values(pl.Series("y", ["1", "2"]), "training")


def test_infinite_value_is_refused() -> None:
    with pytest.raises(InputError, match="target 'y' holds an infinite or too large number in the training split"):
        target.values(pl.Series("y", [1.0, 1e300]), "training")


def test_balanced_weights_give_every_class_the_same_mass() -> None:
    codes = np.array([0, 0, 0, 1])

    weights = target.class_shares("balanced", codes)

    assert weights is not None
    assert weights.tolist() == pytest.approx([4 / 6, 2.0])
    assert weights[codes].mean() == pytest.approx(1.0)


def test_weights_of_a_regression_are_refused() -> None:
    with pytest.raises(InputError, match="'class_weight' is 'balanced'; expected none, because the task is regression"):
        target.class_shares("balanced", None)


def test_unknown_weights_name_the_choices() -> None:
    with pytest.raises(InputError, match="expected one of none, balanced"):
        target.class_shares("balance", None)
