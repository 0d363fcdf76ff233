"""Centre and factor of features, learned from batches, against NumPy over all rows at once."""

from collections.abc import Iterator

import numpy as np
import pytest

from stagewright.components.features.scaling import Moments, learn_scaling
from stagewright.components.runtime.feature_graph import Feature

ROWS = np.array([[1.0, 7.0], [2.0, np.nan], [4.0, 3.0], [8.0, np.nan], [16.0, 5.0], [64.0, -1.0]])


def feature(name: str) -> Feature:
    return Feature(name, name, "numeric")


X, Y = feature("x"), feature("y")


def cut(rows: np.ndarray, *ends: int) -> Iterator[np.ndarray]:
    """The rows in batches that end there."""
    return iter(np.split(rows, ends))


@pytest.mark.parametrize("ends", [(), (3,), (1, 2), (1, 3, 5), (0, 6), (2, 2)], ids=str)
def test_moments_of_batches_are_those_of_all_rows(ends: tuple[int, ...]) -> None:
    moments = Moments(2)
    for batch in cut(ROWS, *ends):
        moments.add(batch)

    np.testing.assert_allclose(moments.count, [6, 4])
    np.testing.assert_allclose(moments.mean, np.nanmean(ROWS, axis=0))
    np.testing.assert_allclose(moments.squares, np.nanvar(ROWS, axis=0) * [6, 4])
    np.testing.assert_allclose(moments.deviation, np.nanstd(ROWS, axis=0))
    np.testing.assert_array_equal([moments.least, moments.most], [[1, -1], [64, 7]])


def test_moments_of_one_batch_are_kept_when_the_next_knows_nothing() -> None:
    moments = Moments(1)
    for batch in ([[2.0], [4.0]], [[np.nan]], [[np.nan], [9.0]]):
        moments.add(np.array(batch))

    assert (moments.count[0], moments.mean[0], moments.deviation[0]) == (3, 5.0, pytest.approx(np.std([2, 4, 9])))


def test_a_column_without_values_has_no_spread() -> None:
    moments = Moments(1)
    moments.add(np.array([[np.nan]]))

    assert (moments.mean[0], moments.deviation[0], moments.least[0], moments.most[0]) == (0.0, 0.0, np.inf, -np.inf)


def test_a_batch_is_left_as_it_is() -> None:
    batch = ROWS.copy()

    Moments(2).add(batch)

    np.testing.assert_array_equal(batch, ROWS)


@pytest.mark.parametrize("ends", [(), (2,), (1, 4)], ids=str)
@pytest.mark.parametrize(
    ("method", "centre", "factor"),
    [
        ("standard", 95 / 6, 1 / np.std(ROWS[:, 0])),
        ("robust", 6.0, 1 / (14.0 - 2.5)),
        ("minmax", 1.0, 1 / 63),
    ],
)
def test_each_method_learns_from_all_batches(ends: tuple[int, ...], method: str, centre: float, factor: float) -> None:
    scaling, constant = learn_scaling([X, Y], cut(ROWS, *ends), {X: method})

    assert scaling == {X: (pytest.approx(centre), pytest.approx(factor))}
    assert constant == set()


def test_methods_side_by_side_do_not_disturb_one_another() -> None:
    three = np.column_stack([ROWS[:, 0]] * 4)
    names = [feature(name) for name in "abcd"]

    scaling, _ = learn_scaling(names, cut(three, 3), dict(zip(names, ["minmax", "robust", "none", "standard"], strict=True)))

    assert {key.name: value for key, value in scaling.items()} == {
        "a": (1.0, pytest.approx(1 / 63)),
        "b": (6.0, pytest.approx(1 / 11.5)),
        "d": (pytest.approx(95 / 6), pytest.approx(1 / np.std(ROWS[:, 0]))),
    }


def test_a_feature_of_one_value_is_centred_and_told() -> None:
    rows = np.array([[5.0, 1.0], [5.0, 2.0], [np.nan, 1.0]])

    assert learn_scaling([X, Y], cut(rows, 1), {X: "standard"}) == ({X: (5.0, 1.0)}, {X})


@pytest.mark.parametrize(("step", "scaled"), [(10 * 2.0**-23, False), (11 * 2.0**-23, True)])
def test_a_spread_of_ten_roundings_of_float32_is_rounding(step: float, scaled: bool) -> None:
    """The centre of min-max is the least value, 1, and the spread is the step itself."""
    rows = np.array([[1.0], [1.0 + step]])

    scaling, constant = learn_scaling([X], iter([rows]), {X: "minmax"})

    assert scaling[X][1] == (1 / step if scaled else 1.0)
    assert constant == set()


def test_a_spread_is_compared_with_the_size_of_a_negative_centre() -> None:
    scaling, _ = learn_scaling([X], iter([np.array([[-(2.0**24)], [-(2.0**24) + 1]])]), {X: "minmax"})

    assert scaling[X] == (-(2.0**24), 1.0)
