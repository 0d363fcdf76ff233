"""Which row goes to which split, in exact numbers."""

import numpy as np
import pytest

from stagewright.components.ingestion import allocation
from stagewright.components.ingestion.allocation import by_border, by_draw, by_group, by_time, too_alike
from stagewright.components.runtime.errors import InputError

HALF = (0.5, 0.25, 0.25)


def one(rows: int) -> np.ndarray:
    """All rows of one stratum."""
    return np.zeros(rows, np.int64)


def test_a_number_below_the_first_share_trains_and_one_on_a_border_is_beyond_it() -> None:
    draws = np.array([0.0, 0.499, 0.5, 0.749, 0.75, 0.999])

    assert by_border(draws, HALF).tolist() == [0, 0, 1, 1, 2, 2]
    assert by_border(draws, HALF).dtype == np.int8


def test_numbers_decide_where_every_split_has_its_half() -> None:
    draws = np.array([0.9, 0.1, 0.6, 0.2, 0.3, 0.8, 0.4, 0.55])

    assert by_draw(draws, one(8), HALF).tolist() == [2, 0, 1, 0, 0, 2, 0, 1]


@pytest.mark.parametrize(
    ("late", "uneven"),
    [(2, False), (1, True)],  # of sixteen, four should test: two are half of that
)
def test_a_stratum_with_less_than_half_of_its_share_is_cut_in_order(late: int, uneven: bool) -> None:
    draws = np.concatenate([np.linspace(0, 0.49, 12 - late), np.linspace(0.5, 0.7, 4), np.linspace(0.8, 0.99, late)])
    rows = len(draws)

    found = by_draw(draws, one(rows), HALF)

    if uneven:
        assert np.bincount(found).tolist() == [8, 4, 4]
        assert (np.diff(found) >= 0).all()  # in the order of the numbers
    else:
        assert found.tolist() == by_border(draws, HALF).tolist()


def test_only_the_uneven_stratum_is_cut() -> None:
    even = np.array([0.1, 0.2, 0.6, 0.9])
    uneven = np.array([0.1, 0.2, 0.3, 0.4])
    strata = np.array([1, 1, 1, 1, 0, 0, 0, 0])

    assert by_draw(np.concatenate([even, uneven]), strata, HALF).tolist() == [0, 0, 1, 2, 0, 0, 1, 2]
    assert by_draw(np.concatenate([uneven, even]), strata, HALF).tolist() == [0, 0, 1, 2, 0, 0, 1, 2]


def test_several_uneven_strata_are_cut_each_by_itself() -> None:
    draws = np.array([0.10, 0.40, 0.20, 0.30, 0.11, 0.31, 0.41, 0.21])
    strata = np.array([0, 0, 0, 0, 1, 1, 1, 1])

    assert by_draw(draws, strata, HALF).tolist() == [0, 2, 0, 1, 0, 1, 2, 0]
    mixed = np.array([0, 4, 1, 5, 2, 6, 3, 7])
    assert by_draw(draws[mixed], strata[mixed], HALF).tolist() == [0, 0, 2, 1, 0, 2, 1, 0]


def test_a_split_may_lack_a_stratum_only_where_that_has_less_than_three_rows() -> None:
    draws = np.array([0.1, 0.6, 0.9, 0.95, 0.96])

    assert by_draw(draws, np.array([0, 0, 0, 1, 1]), HALF).tolist() == [0, 1, 2, 0, 0]
    assert by_draw(np.array([0.1, 0.2, 0.3]), one(3), HALF).tolist() == [0, 1, 2]


def test_a_stratum_without_rows_is_no_stratum() -> None:
    draws = np.array([0.1, 0.6, 0.9])

    assert by_draw(draws, np.array([2, 2, 2]), HALF).tolist() == [0, 1, 2]


def test_a_table_needs_three_rows_and_a_class_of_three() -> None:
    with pytest.raises(InputError, match=r"^the table has 2 rows; three splits need at least 3$"):
        by_draw(np.array([0.1, 0.9]), one(2), HALF)
    with pytest.raises(InputError, match=r"^the validation split would be empty because the classes are too small; give more"):
        by_draw(np.array([0.1, 0.6, 0.9, 0.8]), np.array([0, 0, 1, 1]), HALF)


def test_equal_rows_stay_together_where_a_stratum_is_cut() -> None:
    draws = np.array([0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.3, 0.3])

    assert by_draw(draws, one(8), HALF).tolist() == [0, 0, 0, 0, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("times", "splits"),
    [
        ([5, 1, 3, 2, 4, 8, 7, 6], [1, 0, 0, 0, 0, 2, 2, 1]),
        ([1, 1, 1, 1, 1, 1, 2, 3], [0, 0, 0, 0, 0, 0, 1, 2]),  # the first border is the first change
        ([1, 2, 3, 3, 3, 3, 3, 3], [0, 1, 2, 2, 2, 2, 2, 2]),
        ([1, 1, 1, 2, 2, 2, 3, 3], [0, 0, 0, 1, 1, 1, 2, 2]),
        ([1, 2, 3], [0, 1, 2]),
    ],
)
def test_times_are_cut_at_the_change_that_is_nearest(times: list[int], splits: list[int]) -> None:
    assert by_time(np.array(times), HALF, "day").tolist() == splits


def test_a_split_by_time_needs_three_times() -> None:
    with pytest.raises(InputError, match=r"^column 'day' has 2 different times; a split by time needs at least three$"):
        by_time(np.array([1, 2, 1, 2]), HALF, "day")


def test_groups_go_by_their_own_number_where_that_divides_them_well() -> None:
    groups = np.array([0, 1, 2, 3, 0, 1, 2, 3])
    draws = np.array([0.9, 0.1, 0.6, 0.3])[groups]

    assert by_group(groups, draws, HALF, "customer").tolist() == [2, 0, 1, 0, 2, 0, 1, 0]


@pytest.mark.parametrize(("test_rows", "placed"), [(2, False), (1, True)])
def test_groups_are_placed_where_a_split_has_less_than_half_of_its_share(test_rows: int, placed: bool) -> None:
    """Sixteen rows: four should test, and two are enough."""
    sizes = [10 - test_rows, 6, test_rows]
    groups = np.repeat([0, 1, 2], sizes)
    draws = np.array([0.55, 0.1, 0.9])[groups]

    found = by_group(groups, draws, HALF, "customer")

    by_number = np.array([1, 0, 2])[groups].tolist()
    by_size = np.array([0, 1, 2])[groups].tolist()
    assert found.tolist() == (by_size if placed else by_number)


def test_the_largest_group_goes_where_most_rows_are_wanted() -> None:
    groups = np.repeat([0, 1, 2, 3, 4], [2, 2, 8, 2, 2])
    draws = np.array([0.2, 0.1, 0.3, 0.05, 0.15])[groups]

    found = by_group(groups, draws, HALF, "customer")

    # Eight train; then, of four that are equally large, each in the order of its number to the emptier of the other two.
    assert [int(found[groups == group][0]) for group in range(5)] == [2, 2, 0, 1, 1]


def test_a_split_that_is_still_empty_gets_one_of_the_last_groups() -> None:
    groups = np.repeat([0, 1, 2], [1, 1, 1])
    draws = np.array([0.1, 0.2, 0.3])[groups]

    assert by_group(groups, draws, (0.98, 0.01, 0.01), "customer").tolist() == [0, 1, 2]


def test_a_split_by_group_needs_three_groups() -> None:
    with pytest.raises(InputError, match=r"^column 'customer' has 2 groups; a split by group needs at least three, one for"):
        by_group(np.array([0, 1, 1]), np.array([0.1, 0.9, 0.9]), HALF, "customer")


@pytest.mark.parametrize(
    ("sizes", "alike"),
    [
        ([10] * 99, True),  # 99 sets of equal rows are worth 99 different ones
        ([10] * 100, False),
        ([1] * 20, False),
        ([2] * 10, False),  # as if ten of twenty rows were different: half
        ([3] * 10, True),
        ([1, 1, 2], False),
    ],
)
def test_few_different_rows_are_too_alike(sizes: list[int], alike: bool) -> None:
    assert too_alike(np.repeat(np.arange(len(sizes), dtype=np.uint64), sizes)) is np.bool_(alike)


@pytest.mark.parametrize(
    ("rows", "wanted", "shares"),
    [
        (10, [5.0, 2.5, 2.5], [5, 3, 2]),
        (10, [7.0, 1.5, 1.5], [7, 2, 1]),
        (3, [2.9, 0.05, 0.05], [1, 1, 1]),
        (4, [3.8, 0.1, 0.1], [2, 1, 1]),
        (2, [1.0, 0.5, 0.5], [1, 1, 0]),
        (5, [6.0, -0.5, -0.5], [3, 1, 1]),
    ],
)
def test_shares_are_whole_rows_and_none_is_empty(rows: int, wanted: list[float], shares: list[int]) -> None:
    assert allocation._shares(rows, np.array(wanted)).tolist() == shares
