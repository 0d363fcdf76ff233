"""Numbers out of bounds are refused before a run, as the steps would refuse them."""

import math

import pytest

from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.pipelines import catalog, description
from stagewright.pipelines.bounds import bounds, check_bounds
from stagewright.pipelines.checks import check

TRAIN = {"data": "x.csv", "target": "y", "name": "m"}


@pytest.mark.parametrize(
    ("pipeline", "name", "lowest", "below"),
    [
        ("train-model", "seed", 0, -1), ("optimize-inference", "rounds", 5, 4), ("cost-optimize", "rounds", 1, 0),
        ("quantize", "minimum_speedup", math.ulp(0.0), 0.0), ("distill", "minimum_speedup", 0.0, -1e-9),
        ("quantize", "rows", 1, 0), ("quantize", "threads", 0, -1), ("optimize-inference", "threads", [1], [2, 0]),
        ("distill", "temperature", 1e-9, 0.0), ("cost-optimize", "sampled", 1e-9, 0.0),
    ],
)  # fmt: skip
def test_lowest_value_passes_and_the_next_does_not(pipeline: str, name: str, lowest: object, below: object) -> None:
    check_bounds(pipeline, {name: lowest})

    with pytest.raises(BadParameter, match=f"^parameter '{name}' is "):
        check_bounds(pipeline, {name: below})


@pytest.mark.parametrize(
    ("pipeline", "name", "highest", "above"),
    [("train-model", "seed", 2**31 - 1, 2**31), ("distill", "augmentation", 100, 100.5), ("distill", "hard_weight", 1, 1.01),
     ("distill", "minimum_agreement", 1, 1.01), ("train-model", "threshold", 1 - 1e-9, 1),
     ("train-model", "tolerance", 0.99, 1.0), ("quantize", "threads", 1024, 1025)],
)  # fmt: skip
def test_highest_value_passes_and_the_next_does_not(pipeline: str, name: str, highest: float, above: float) -> None:
    check_bounds(pipeline, {name: highest})

    with pytest.raises(BadParameter, match=f"^parameter '{name}' is "):
        check_bounds(pipeline, {name: above})


def test_sentence_says_what_is_allowed() -> None:
    with pytest.raises(BadParameter) as caught:
        check("train-model", TRAIN | {"seed": -1})

    assert str(caught.value) == "parameter 'seed' is -1; expected a whole number of at least 0 and at most 2147483647"


def test_every_default_is_within_its_bounds() -> None:
    for pipeline in catalog.PIPELINES:
        defaults = {parameter.name: parameter.default for parameter in description.parameters(pipeline)}
        check_bounds(pipeline, {name: value for name, value in defaults.items() if value is not None})


def test_every_number_of_a_pipeline_has_bounds() -> None:
    for pipeline in catalog.PIPELINES:
        numbers = {parameter.name for parameter in description.parameters(pipeline) if parameter.type in {"int", "float"}}
        assert numbers - set(bounds(pipeline)) == set(), pipeline


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"params": {"n_estimators": None}}, "parameter 'params.n_estimators' is None; expected a whole number of at least 1"),
        ({"params": {"depth": 3}}, "xgboost has no parameter 'depth'"),
        ({"params": {"learning_rate": 0}}, "parameter 'params.learning_rate' is 0; expected a number above 0 and at most 1"),
        ({"features": {"numeric": {"scale": "log"}}}, "features specification: numeric.scale is 'log'; expected "),
        (
            {"features": {"columns": {"a": {"kind": "text", "max_features": 0}}}},
            "features specification: columns.a.max_features",
        ),
        ({"minimum": {"auc": 0.8}}, r"parameter 'minimum' is 'auc'; expected metrics of a binary model"),
        ({"minimum": {"r2": 0.5}, "task": "binary"}, "parameter 'minimum' is 'r2'; expected a metric that fits a binary model"),
        ({"minimum": {"r2": 0.5, "f1": 0.5}}, "parameter 'minimum' is 'r2'; expected a metric that fits a binary model"),
        ({"suite": {"name": "x"}}, "parameter 'suite' has no list of expectations"),
        ({"schema": {"target": "y"}}, "parameter 'expected' has no list of columns"),
    ],
)
def test_what_a_step_checks_without_data_is_checked_before_the_run(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=f"^{sentence}"):
        check("train-model", TRAIN | given)


@pytest.mark.parametrize(
    "given",
    [
        {"params": {"learning_rate": 1, "early_stopping_rounds": None}},
        {"features": {"numeric": {"indicator": None}, "columns": {"a": {"drop": True}}}},
        {"minimum": {"r2": 0.5}},
        {"minimum": {"r2": 0.5}, "task": "regression"},
        {"suite": {"id": None, "expectations": []}},
    ],
)
def test_what_a_step_would_take_passes(given: dict[str, object]) -> None:
    check("train-model", TRAIN | given)
