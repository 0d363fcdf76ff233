"""When two answers of one model count as the same: both sides of every boundary."""

from math import inf, nextafter
from typing import Any

import numpy as np
import pytest

from stagewright.components.runtime.errors import BadParameter
from stagewright.components.runtime.model import Predictions, answers
from stagewright.components.runtime.parity import (
    ROUNDING,
    Parity,
    check_tolerance,
    compare,
    difference,
    margin,
    rule_columns,
    spread,
)  # fmt: skip
from stagewright.components.runtime.parity import (
    TOLERANCE as TOLERANCE_OF_A_MODEL,
)

CLASSES = ("No", "Yes")
THREE = ("a", "b", "c")
TOLERANCE = 2.0**-10  # whose double and whose neighbours are exact numbers


def classified(*second: float) -> Predictions:
    """A binary model's answers by the probability of the second class."""
    column = np.array(second, dtype=np.float32)
    return answers(np.column_stack([1 - column, column]), CLASSES)


def of_three(*probabilities: float) -> Predictions:
    return answers(np.array([probabilities], dtype=np.float32), THREE)


def values(*numbers: float) -> Predictions:
    return Predictions(values=np.array(numbers, dtype=np.float64))


def test_equal_answers_do_not_differ() -> None:
    found = compare(classified(0.1, 0.9), classified(0.1, 0.9), 1e-5)

    assert (found.largest, found.flipped, found.ties) == (0.0, (), ())
    assert found.failures(classified(0.1, 0.9), classified(0.1, 0.9), 1e-5) == []


def test_worst_row_and_its_difference_are_told() -> None:
    native, exported = classified(0.1, 0.2, 0.3), classified(0.1, 0.21, 0.3)

    found = compare(native, exported, 1e-5)

    assert found.row == 1
    [failure] = found.failures(native, exported, 1e-5)
    assert failure == (
        "a probability of validation row 1 differs by 0.01 (model 0.800000012, export 0.790000021), more than the tolerance of "
        "1e-05"
    )


@pytest.mark.parametrize(("moved", "passes"), [(TOLERANCE, True), (TOLERANCE + 2.0**-24, False), (-TOLERANCE, True)])
def test_a_probability_may_differ_by_the_tolerance_and_no_more(moved: float, passes: bool) -> None:
    native, exported = classified(0.25), classified(0.25 + moved)

    assert (compare(native, exported, TOLERANCE).failures(native, exported, TOLERANCE) == []) is passes


def test_other_label_fails_whatever_the_tolerance() -> None:
    native, exported = classified(0.1, 0.45), classified(0.1, 0.55)

    found = compare(native, exported, 0.02)

    assert found.flipped == (1,)
    assert found.failures(native, exported, 0.2) == [
        "the label differs in 1 validation rows, first in row 1 (model No, export Yes)",
    ]


@pytest.mark.parametrize(
    ("own", "tie"),
    [
        (0.5 - TOLERANCE, True),  # the classes are two tolerances apart
        (nextafter(np.float32(0.5 - TOLERANCE), np.float32(0)), True),  # float64's neighbour is the same float32
        (float(np.nextafter(np.float32(0.5 - TOLERANCE), np.float32(0))), False),
    ],
)
def test_a_flip_within_two_tolerances_is_a_tie(own: float, tie: bool) -> None:
    found = compare(classified(0.1, own), classified(0.1, 0.5), TOLERANCE)

    assert (found.flipped, found.ties) == (((), (1,)) if tie else ((1,), ()))


@pytest.mark.parametrize(("own", "tie"), [(0.25 - TOLERANCE, True), (0.25 - TOLERANCE - 2.0**-24, False)])
def test_the_border_of_two_classes_is_where_the_threshold_is(own: float, tie: bool) -> None:
    probabilities = [np.array([[1 - p, p]], np.float32) for p in (own, 0.25)]
    native = Predictions(np.array(["No"]), probabilities[0])
    exported = Predictions(np.array(["Yes"]), probabilities[1])

    assert compare(native, exported, TOLERANCE, threshold=0.25).ties == ((0,) if tie else ())
    assert compare(native, exported, TOLERANCE).flipped == (0,)  # at one half it is no border


@pytest.mark.parametrize(
    ("own", "other", "tie"),
    [
        ((0.5, 0.5 - 2 * TOLERANCE, 0.0), (0.0, 1.0, 0.0), True),
        ((0.5, 0.5 - 2 * TOLERANCE - 2.0**-20, 0.0), (0.0, 1.0, 0.0), False),
        ((0.5, 0.5, 0.0), (0.0, 0.0, 1.0), False),  # the first two are a tie, and it flips to the third
    ],
)
def test_a_tie_is_between_the_class_before_and_the_class_after(own: Any, other: Any, tie: bool) -> None:
    found = compare(of_three(*own), of_three(*other), TOLERANCE)

    assert (found.flipped, found.ties) == (((), (0,)) if tie else ((0,), ()))


def test_a_label_that_its_own_probabilities_do_not_call_for_is_no_tie() -> None:
    """On the very border, too: the head that names the class is wrong, not the arithmetic before it."""
    native = classified(0.5)

    assert compare(native, Predictions(np.array(["No"]), native.probabilities), TOLERANCE).flipped == (0,)
    three = of_three(0.5, 0.5, 0.0)
    assert compare(three, Predictions(np.array(["b"]), three.probabilities), TOLERANCE).flipped == (0,)


@pytest.mark.parametrize(
    ("native", "exported"),
    [
        (classified(0.1, 0.2), classified(0.1, float("nan"))),
        (classified(0.1, float("nan")), classified(0.1, float("nan"))),
        (values(1, 2), values(1, float("nan"))),
        (values(1, 2), values(1, inf)),
        (values(1, inf), values(1, inf)),
    ],
)
def test_answer_that_is_no_number_fails(native: Predictions, exported: Predictions) -> None:
    found = compare(native, exported, 1e-5)

    assert found.row == 1
    assert found.failures(native, exported, 1e-5)


@pytest.mark.parametrize(
    ("other", "passes"),
    [(128 * TOLERANCE, True), (nextafter(128 * TOLERANCE, inf), False), (-128 * TOLERANCE, True), (-1.28, False)],
)
def test_a_value_may_differ_by_a_share_of_the_spread_however_small_it_is(other: float, passes: bool) -> None:
    found = compare(values(0.0), values(other), TOLERANCE, spread=128.0)

    assert (found.failures(values(0.0), values(other), TOLERANCE) == []) is passes
    assert found.largest == abs(other) / 128


def test_the_sentence_of_a_value_names_the_spread() -> None:
    native, exported = values(0, 3), values(0, 4.28)

    [failure] = compare(native, exported, 1e-5, spread=128.0).failures(native, exported, 1e-5)
    assert failure == (
        "the value of validation row 1 differs by 0.01 of the target's spread, 128 (model 3, export 4.28), "
        "more than the tolerance of 1e-05"
    )


def test_what_float32_rounds_off_a_value_far_from_zero_does_not_count() -> None:
    """A year, or seconds since 1970: the spread is less than what float32 can tell apart."""
    year = 2048.0

    assert difference(np.array([year]), np.array([year * (1 + ROUNDING)]), 1.0).tolist() == [0.0]
    assert difference(np.array([year]), np.array([year * (1 + ROUNDING) + 0.5]), 2.0).tolist() == [0.25]


@pytest.mark.parametrize("mean", [0.0, -1e4, 2000.0])
def test_a_shift_by_a_hundredth_of_the_spread_is_refused_wherever_the_values_are(mean: float) -> None:
    own = mean + 10 * np.random.default_rng(0).normal(size=1000)
    wide = spread(own)

    found = compare(values(*own), values(*(own + 0.01 * wide)), 1e-5, spread=wide)

    assert found.largest == pytest.approx(0.01, rel=0.2)
    assert compare(values(*own), values(*(own + 5e-6 * wide)), 1e-5, spread=wide).largest <= 1e-5


@pytest.mark.parametrize(
    ("numbers", "wide"),
    [
        (range(101), 90.0),
        ([*range(101), 1e12], pytest.approx(90.9)),  # an outlier moves the quantiles by a row
        ([3.0], 3.0),
        ([-3.0, -3.0], 3.0),
        ([0.0] * 5, 1.0),
        ([], 1.0),
        ([float("nan"), inf, -inf, 5.0], 5.0),
        ([0.0] * 99 + [10.0], pytest.approx(0.99499, rel=1e-4)),  # nearly all equal: the standard deviation
        ([-1.0, 1.0], pytest.approx(1.8)),
    ],
)
def test_spread_of_a_target(numbers: Any, wide: Any) -> None:
    assert spread(np.array(list(numbers), dtype=np.float64)) == wide


def test_spread_of_other_units_is_as_many_times_larger() -> None:
    prices = np.random.default_rng(0).lognormal(8, 1, 500)

    assert spread(prices * 1024) == 1024 * spread(prices)
    assert spread(prices + 1e6) == pytest.approx(spread(prices))


@pytest.mark.parametrize(
    ("tolerance", "fine"), [(0.0, True), (0.999, True), (1.0, False), (-1e-9, False), (float("nan"), False)]
)
def test_a_tolerance_is_a_share(tolerance: float, fine: bool) -> None:
    if fine:
        check_tolerance(tolerance)
        return
    with pytest.raises(BadParameter) as refused:
        check_tolerance(tolerance, name="export_tolerance")

    assert str(refused.value) == (f"parameter 'export_tolerance' is {tolerance}; expected a number of at least 0 and below 1")


def test_a_classifier_is_not_compared_with_a_regressor() -> None:
    with pytest.raises(ValueError, match="a classifier is compared with a regressor"):
        compare(classified(0.1), values(0.1), 1e-5)
    assert Parity(0.0, 0, (), ()).spread == 1.0


def test_a_baseline_tells_the_rule_by_which_it_is_judged() -> None:
    assert rule_columns(1e-5, spread=None, threshold=0.5) == {"__tolerance__": 1e-5}
    assert rule_columns(1e-4, spread=3.0, threshold=0.5) == {"__tolerance__": 1e-4, "__spread__": 3.0}
    assert rule_columns(1e-5, spread=None, threshold=0.25) == {"__tolerance__": 1e-5, "__threshold__": 0.25}


def test_margin_is_how_far_a_row_is_from_another_answer() -> None:
    two = np.array([[0.75, 0.25], [0.5, 0.5]], dtype=np.float32)

    assert margin(two).tolist() == [0.5, 0.0]
    assert margin(two, 0.25).tolist() == [0.0, 0.5]
    assert margin(np.array([[0.125, 0.5, 0.375]], dtype=np.float32)).tolist() == [0.125]


def test_the_rule_is_a_hundred_thousandth_and_32_roundings_of_float32() -> None:
    assert (TOLERANCE_OF_A_MODEL, ROUNDING) == (0.00001, 2.0**-18)
