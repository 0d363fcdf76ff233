"""Categories against scikit-learn's encoders."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

COLUMNS = ["multiple_lines", "internet_service", "contract", "payment_method"]


def levels(features: Any, column: str) -> list[str]:
    return [f.name.partition("=")[2] for f in features.outputs if f.source == column]


def test_one_hot_equals_scikit_learn(fit: Any, telco: pl.DataFrame) -> None:
    features = fit(telco.select(COLUMNS))

    oracle = OneHotEncoder(categories=[levels(features, c) for c in COLUMNS], sparse_output=False, handle_unknown="ignore")
    np.testing.assert_array_equal(features.transform(telco), oracle.fit_transform(telco.select(COLUMNS).to_numpy()))


@pytest.mark.parametrize("min_frequency", [300, 0.02])
def test_rare_levels_are_grouped_as_in_scikit_learn(fit: Any, flights: pl.DataFrame, min_frequency: float) -> None:
    columns = ["carrier", "dest"]
    settings = {"encode": "one_hot", "min_frequency": min_frequency, "max_levels": 1000}

    features = fit(flights.select(columns), specification={"categorical": settings})

    oracle = OneHotEncoder(min_frequency=min_frequency, sparse_output=False, handle_unknown="infrequent_if_exist")
    expected = oracle.fit_transform(flights.select(columns).to_numpy())
    names = [name.replace("infrequent_sklearn", "(rare)") for name in oracle.get_feature_names_out(columns)]
    order = [names.index(name.replace("=", "_", 1)) for name in features.names]
    np.testing.assert_array_equal(features.transform(flights), expected[:, order])
    unseen = pl.DataFrame({"carrier": ["ZZ"], "dest": ["???"]})
    np.testing.assert_array_equal(features.transform(unseen), oracle.transform(unseen.to_numpy())[:, order])


@pytest.mark.parametrize(
    ("min_frequency", "kept"),
    [(0.3, ("x", "y")), (0.31, ("x",)), (3, ("x", "y")), (3.5, ("x",)), (1, ("x", "y", "z")), (None, ("x", "y", "z"))],
)
def test_a_share_is_of_all_rows_missing_ones_included(fit: Any, min_frequency: float | None, kept: tuple[str, ...]) -> None:
    """Of ten rows, three are `y` and two are missing: `y` is 30% of all and 37.5% of the known ones."""
    table = pl.DataFrame({"a": ["x"] * 4 + ["y"] * 3 + ["z"] + [None] * 2})

    features = fit(table, specification={"categorical": {"encode": "one_hot", "min_frequency": min_frequency}})

    rare = () if len(kept) == 3 else ("(rare)",)
    assert features.names == tuple(f"a={level}" for level in (*kept, *rare, "(missing)"))


@pytest.mark.parametrize(("levels", "kind"), [(8, "one_hot"), (9, "code")])
def test_nine_levels_are_codes(fit: Any, levels: int, kind: str) -> None:
    features = fit(pl.DataFrame({"a": [f"level {number}" for number in range(levels)]}))

    assert {feature.kind for feature in features.outputs} == {kind}


def test_levels_as_frequent_as_another_are_in_order_of_their_names(fit: Any) -> None:
    table = pl.DataFrame({"a": ["b", "c", "a", "c", "b", "d"]})

    features = fit(table, specification={"categorical": {"encode": "one_hot", "max_levels": 3}})

    assert features.names == ("a=b", "a=c", "a=a", "a=(rare)")


def test_codes_equal_scikit_learn_and_are_ordered_by_frequency(fit: Any, flights: pl.DataFrame) -> None:
    table = flights.select("carrier", "dest")

    features = fit(table, framework="torch")

    by_frequency = [
        table[c].value_counts(sort=True).sort(["count", c], descending=[True, False])[c].to_list() for c in table.columns
    ]
    oracle = OrdinalEncoder(categories=by_frequency)
    np.testing.assert_array_equal(features.transform(table), oracle.fit_transform(table.to_numpy()))
    assert [f.cardinality for f in features.outputs] == [len(levels) + 2 for levels in by_frequency]
    assert features.inputs[0].categories == tuple(by_frequency[0])


def test_rare_codes_equal_scikit_learn(fit: Any, flights: pl.DataFrame) -> None:
    table = flights.select("carrier")

    features = fit(table, specification={"categorical": {"encode": "ordinal", "min_frequency": 0.05}})

    oracle = OrdinalEncoder(min_frequency=0.05).fit(table.to_numpy())
    ours, theirs = features.transform(table)[:, 0], oracle.transform(table.to_numpy())[:, 0]
    pairs = {*zip(ours.tolist(), theirs.tolist(), strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})  # one to one
    rare = len(features.inputs[0].categories)
    assert set(table.filter(ours == rare)["carrier"]) == set(oracle.infrequent_categories_[0])


def test_unseen_and_missing_have_codes_of_their_own(fit: Any) -> None:
    table = pl.DataFrame({"a": ["x", "x", "y"]})

    features = fit(table, framework="torch")

    assert features.outputs[0].cardinality == 4
    np.testing.assert_array_equal(features.transform(pl.DataFrame({"a": ["x", "y", "z", None, ""]}))[:, 0], [0, 1, 2, 3, 3])


def test_unseen_is_all_zeros_and_missing_a_level_where_training_had_it(fit: Any) -> None:
    table = pl.DataFrame({"a": ["x", "x", "y", None], "b": ["u", "u", "v", "v"]})

    features = fit(table)

    assert features.names == ("a=x", "a=y", "a=(missing)", "b=u", "b=v")
    answer = features.transform(pl.DataFrame({"a": [None, "z"], "b": [None, "u"]}))
    np.testing.assert_array_equal(answer, [[0, 0, 1, 0, 0], [0, 0, 0, 1, 0]])


def test_tree_gets_one_hot_of_few_levels_and_codes_of_many(fit: Any, flights: pl.DataFrame) -> None:
    features = fit(flights.select("origin", "carrier"), framework="lightgbm")

    assert [f.kind for f in features.outputs] == ["one_hot"] * 3 + ["code"]


def test_linear_model_gets_at_most_fifty_levels_and_a_rare_one(fit: Any, flights: pl.DataFrame) -> None:
    features = fit(flights.select("tailnum"), framework="sklearn", params={"model": "linear"})

    assert len(features.outputs) == 52
    assert features.names[-2:] == ("tailnum=(rare)", "tailnum=(missing)")
    np.testing.assert_array_equal(features.transform(flights).sum(axis=1), 1)


def test_the_same_category_is_met_in_any_type(fit: Any) -> None:
    features = fit(pl.DataFrame({"a": [1, 1, 2, 3]}), a="categorical")

    for same in (
        pl.Series([2]),
        pl.Series([2.0]),
        pl.Series(["2"]),
        pl.Series([2], dtype=pl.UInt8),
        pl.Series(["2"]).cast(pl.Categorical),
    ):
        np.testing.assert_array_equal(features.transform(pl.DataFrame({"a": same})), [[0, 1, 0]])
    flag = fit(pl.DataFrame({"a": [True, False, True]}), a="categorical")
    np.testing.assert_array_equal(flag.transform(pl.DataFrame({"a": ["true", "false"]})), [[1, 0], [0, 1]])


def test_level_that_reads_like_another_feature_keeps_a_name_of_its_own(fit: Any) -> None:
    features = fit(pl.DataFrame({"a": ["(missing)", "x", None, "é\n\u4e2d"]}))

    assert len(set(features.names)) == 4
    np.testing.assert_array_equal(
        features.transform(pl.DataFrame({"a": ["(missing)", None, "é\n\u4e2d"]})).sum(axis=1), [1, 1, 1]
    )
