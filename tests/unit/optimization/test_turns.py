"""The order in which what is measured takes its turns."""

import pytest

from stagewright.components.measurement.timer import rotated


@pytest.mark.parametrize(
    ("items", "rounds", "orders"),
    [
        ("abc", 0, []),
        ("abc", 1, ["abc"]),
        ("abc", 2, ["abc", "bca"]),
        ("abc", 3, ["abc", "bca", "cab"]),
        ("abc", 4, ["abc", "bca", "cab", "abc"]),
        ("a", 2, ["a", "a"]),
        ("abcdefgh", 3, ["abcdefgh", "cdefghab", "fghabcde"]),  # fewer rounds than items: beginnings far apart
    ],
)
def test_every_round_begins_with_another_one(items: str, rounds: int, orders: list[str]) -> None:
    assert ["".join(order) for order in rotated(items, rounds)] == orders
