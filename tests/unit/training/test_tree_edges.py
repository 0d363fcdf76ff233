"""Exported trees decide as their libraries do at the edges of float32: zeros, subnormals, thresholds of LightGBM's zero."""

import re

import lightgbm
import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from stagewright.components.predictor.inference.session import Session
from stagewright.components.runtime.serving_settings import ServingSettings
from stagewright.components.training.frameworks.lightgbm import LightGBMEstimator, _on_float32_grid, _tree
from stagewright.components.training.frameworks.xgboost import XGBoostEstimator

ZERO = np.float32(1e-35)
UP, DOWN = np.float32(np.inf), np.float32(-np.inf)
EDGES = np.array(
    [0, ZERO, np.nextafter(ZERO, UP), np.nextafter(ZERO, DOWN), 1e-40, 1e-45, 1.1754944e-38, 1e-30, 1, 3.4028235e38],
    dtype=np.float32,
)  # fmt: skip
EDGES = np.unique(np.concatenate([EDGES, -EDGES]))
THRESHOLDS = [*map(float, EDGES), 1e-35, -1e-35, 5e-36, -5e-36, 2e-35, -2e-35, 1.0000000180025095e-35, -1.0000000180025095e-35]
VALUES = np.concatenate([EDGES, [np.float32(-0.0), np.float32(np.nan)]])
floats = st.floats(width=32, allow_infinity=False) | st.sampled_from(VALUES.tolist())


def booster(*, missing: bool) -> str:
    """A regression of one column whose leaves have all different values, as LightGBM's text."""
    random = np.random.default_rng(0)
    X = random.normal(size=(400, 1))
    if missing:
        X[::5] = np.nan
    y = np.where(np.isnan(X[:, 0]), 5.0, np.sin(5 * X[:, 0])) + random.normal(size=400) / 10
    options = {"objective": "regression", "verbosity": -1, "num_leaves": 6, "min_data_in_leaf": 5, "boost_from_average": False}
    return str(lightgbm.train(options, lightgbm.Dataset(X, y), 1).model_to_string())


MODELS = {missing: booster(missing=missing) for missing in (False, True)}


def with_thresholds(model: str, thresholds: list[float]) -> LightGBMEstimator:
    line = "threshold=" + " ".join(map(repr, thresholds))
    text = re.sub(r"^tree_sizes=.*\n", "", re.sub(r"^threshold=.*$", line, model, flags=re.MULTILINE), flags=re.MULTILINE)
    return LightGBMEstimator(lightgbm.Booster(model_str=_on_float32_grid(text)), 0)


def answers(estimator: LightGBMEstimator | XGBoostEstimator, X: np.ndarray, engine: str) -> np.ndarray:
    session = Session(estimator.to_onnx().SerializeToString(), ServingSettings(threads=1, tree_engine=engine))
    return np.asarray(session.run(["prediction"], {"features": X})[0]).ravel()


@pytest.mark.parametrize("engine", ["native", "onnxruntime"])
@pytest.mark.parametrize("missing", [False, True])
def test_lightgbm_at_every_edge(missing: bool, engine: str) -> None:
    X = VALUES.reshape(-1, 1)
    for threshold in THRESHOLDS:
        thresholds = [threshold, -1.0, 1.0, threshold, -threshold]
        estimator = with_thresholds(MODELS[missing], thresholds)
        assert answers(estimator, X, engine).tolist() == estimator.predict(X).tolist(), threshold


@settings(max_examples=60, deadline=None)
@given(
    thresholds=st.lists(
        st.sampled_from(THRESHOLDS) | st.floats(-1e-34, 1e-34) | st.floats(-1e38, 1e38), min_size=5, max_size=5
    ),
    values=st.lists(floats, min_size=1, max_size=40),
    missing=st.booleans(),
)
def test_lightgbm_and_its_graph_decide_alike(thresholds: list[float], values: list[float], missing: bool) -> None:
    X = np.array(values, dtype=np.float32).reshape(-1, 1)
    estimator = with_thresholds(MODELS[missing], thresholds)
    expected = estimator.predict(X).tolist()

    assert answers(estimator, X, "native").tolist() == expected
    assert answers(estimator, X, "onnxruntime").tolist() == expected


def test_a_tree_that_takes_zeros_for_missing_values_is_refused() -> None:
    node = {"split_feature": 0, "threshold": 1.0, "missing_type": "Zero", "default_left": True,
            "left_child": {"leaf_value": 1.0}, "right_child": {"leaf_value": 2.0}}  # fmt: skip

    with pytest.raises(ValueError, match="zeros for missing values"):
        _tree(node, 0)


@pytest.mark.parametrize("engine", ["native", "onnxruntime"])
def test_xgboost_at_every_edge(engine: str) -> None:
    X = np.repeat(EDGES, 40).reshape(-1, 1)
    y = np.repeat(np.random.default_rng(0).permutation(len(EDGES)).astype(float), 40)
    model = xgboost.train({"max_depth": 8, "min_child_weight": 0, "lambda": 0}, xgboost.DMatrix(X, y), 3)
    estimator = XGBoostEstimator(model, 0)
    asked = np.concatenate([VALUES, np.nextafter(EDGES[1:-1], UP), np.nextafter(EDGES[1:-1], DOWN)]).reshape(-1, 1)

    np.testing.assert_allclose(answers(estimator, asked, engine), estimator.predict(asked), rtol=1e-6, atol=1e-6)
