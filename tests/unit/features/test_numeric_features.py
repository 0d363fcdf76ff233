"""Numbers against scikit-learn's own transformers."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import skew, yeojohnson
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, PowerTransformer, RobustScaler, StandardScaler

COLUMNS = ["tenure", "monthly_charges", "total_charges"]
SCALERS = {"standard": StandardScaler(), "robust": RobustScaler(), "minmax": MinMaxScaler()}


def same(got: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("impute", ["median", "mean", "most_frequent"])
@pytest.mark.parametrize("scale", ["standard", "robust", "minmax", "none"])
def test_imputation_and_scaling_equal_scikit_learn(fit: Any, telco: pl.DataFrame, impute: str, scale: str) -> None:
    settings = {"impute": impute, "scale": scale, "indicator": False}

    features = fit(telco.select(COLUMNS), specification={"numeric": settings})

    oracle = make_pipeline(SimpleImputer(strategy=impute), SCALERS.get(scale, FunctionTransformer()))
    same(features.transform(telco), oracle.fit_transform(telco.select(COLUMNS).to_numpy()))


@pytest.mark.parametrize("framework", ["xgboost", "torch"])
def test_power_transform_equals_scikit_learn_on_flights(fit: Any, flights: pl.DataFrame, framework: str) -> None:
    columns = ["dep_delay", "arr_delay", "air_time", "distance"]
    settings = {"transform": "yeo_johnson", "scale": "standard", "indicator": False}

    features = fit(flights.select(columns), framework=framework, specification={"numeric": settings})

    oracle = make_pipeline(SimpleImputer(strategy="median"), PowerTransformer("yeo-johnson"))
    expected = oracle.fit_transform(flights.select(columns).to_numpy())
    # scikit-learn sees float64; the exponent found from float32 differs in the sixth digit.
    np.testing.assert_allclose(features.transform(flights), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("exponent_near", [0.0, 2.0, 1.0, -1.5])
def test_power_transform_is_right_near_the_exponents_where_its_formula_breaks(fit: Any, exponent_near: float) -> None:
    rng = np.random.default_rng(0)
    normal = rng.normal(size=4000)
    # The inverse transform of normal values has this exponent.
    with np.errstate(all="ignore"):
        made = {
            0.0: np.where(normal >= 0, np.expm1(normal), 1 - (1 - 2 * normal) ** 0.5),
            2.0: np.where(normal >= 0, (1 + 2 * normal) ** 0.5 - 1, -np.expm1(-normal)),
            1.0: normal,
            -1.5: 10.0 ** rng.normal(size=4000),
        }[exponent_near]
    made = np.nan_to_num(made)
    table = pl.DataFrame({"x": made})

    features = fit(table, specification={"numeric": {"transform": "yeo_johnson"}})

    stored = made.astype(np.float32).astype(np.float64)
    exponent = PowerTransformer(standardize=False).fit(stored.reshape(-1, 1)).lambdas_[0]
    same(features.transform(table)[:, 0], yeojohnson(stored, lmbda=exponent))


def test_log_is_odd_and_equals_log1p(fit: Any) -> None:
    table = pl.DataFrame({"x": [-1e6, -1.0, -1e-6, 0.0, 1e-6, 1.0, 1e6]})

    answer = fit(table, specification={"columns": {"x": {"transform": "log1p"}}}).transform(table)[:, 0]

    x = table["x"].to_numpy()
    np.testing.assert_allclose(answer, np.sign(x) * np.log1p(np.abs(x)), rtol=1e-6)


def test_linear_model_gets_a_power_transform_of_strongly_skewed_columns_only(fit: Any) -> None:
    rng = np.random.default_rng(1)
    table = pl.DataFrame({"skewed": np.exp(2 * rng.normal(size=2000)), "even": rng.normal(size=2000)})

    features = fit(table, framework="sklearn", params={"model": "linear"})

    answer = dict(zip(features.names, features.transform(table).T, strict=True))
    assert abs(skew(answer["skewed"])) < 0.5 < 2 < skew(table["skewed"].to_numpy())
    same(answer["even"], StandardScaler().fit_transform(table.select("even").to_numpy())[:, 0])


def test_missing_value_is_told_by_an_indicator_where_training_had_any(fit: Any) -> None:
    table = pl.DataFrame({"a": [1.0, None, 3.0], "b": [1.0, 2.0, 3.0]})

    features = fit(table)

    assert features.names == ("a", "b", "a is missing")
    assert [f.kind for f in features.outputs] == ["numeric", "numeric", "indicator"]
    np.testing.assert_array_equal(features.transform(table), [[1, 1, 0], [2, 2, 1], [3, 3, 0]])


def test_infinite_and_too_large_numbers_count_as_missing(fit: Any) -> None:
    table = pl.DataFrame({"a": [1.0, 2.0, 3.0, float("inf"), float("nan"), 1e300]})

    answer = fit(table).transform(table)

    np.testing.assert_array_equal(answer, [[1, 0], [2, 0], [3, 0], [2, 1], [2, 1], [2, 1]])


def test_missing_value_is_left_when_nothing_is_imputed(fit: Any) -> None:
    table = pl.DataFrame({"a": [1.0, None, 3.0, 8.0], "when": [None, 0, 86_400_000_000, 5]}).with_columns(
        pl.col("when").cast(pl.Datetime("us"))
    )
    settings = {"impute": "none", "indicator": False, "scale": "standard"}

    answer = fit(
        table, specification={"numeric": {**settings, "transform": "yeo_johnson"}, "datetime": {**settings, "parts": ["day"]}}
    ).transform(table)

    np.testing.assert_array_equal(np.isnan(answer), [[False, True], [True, False], [False, False], [False, False]])
    np.testing.assert_allclose(np.nanmean(answer, axis=0), 0, atol=1e-6)


def test_boolean_becomes_zero_and_one_with_the_usual_value_for_missing(fit: Any) -> None:
    table = pl.DataFrame({"a": [True, True, False, None]})

    features = fit(table, framework="torch")

    assert features.names == ("a", "a is missing")
    np.testing.assert_array_equal(features.transform(table), [[1, 0], [1, 0], [0, 0], [1, 1]])
    np.testing.assert_array_equal(features.transform(pl.DataFrame({"a": [0, 1]})), [[0, 0], [1, 0]])


def test_scaled_extremes_stay_finite(fit: Any) -> None:
    table = pl.DataFrame({"a": [0.0, 1e-30, 2e-30, 1e-30]})
    features = fit(table, specification={"numeric": {"scale": "standard", "transform": "yeo_johnson"}})

    assert np.isfinite(features.transform(pl.DataFrame({"a": [3e38, -3e38, None]}))).all()


def test_column_that_varies_by_rounding_only_is_centred_but_not_blown_up(fit: Any) -> None:
    table = pl.DataFrame({"a": [1e9, 1e9 + 64, 1e9, 1e9]})

    assert np.abs(fit(table, specification={"numeric": {"scale": "standard"}}).transform(table)).max() <= 64
