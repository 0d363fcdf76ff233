import math
from typing import Any

import pytest

from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.frameworks import FRAMEWORKS, framework_module
from stagewright.components.training.parameters import Parameter, resolve


@pytest.mark.parametrize(
    ("name", "given", "wrong", "near"),
    [
        ("xgboost", {"max_dept": 3}, "max_dept", "max_depth"),
        ("lightgbm", {"num_leafs": 3}, "num_leafs", "num_leaves"),
        ("torch", {"learning_rte": 0.1}, "learning_rte", "learning_rate"),
        ("sklearn", {"model": "linear", "max_iters": 3}, "max_iters", "max_iter"),
    ],
)
def test_unknown_parameter_names_the_nearest(name: str, given: dict[str, Any], wrong: str, near: str) -> None:
    with pytest.raises(InputError, match=f"no parameter '{wrong}' \\(did you mean '{near}'\\?\\); it takes "):
        framework_module(name).plan(given)


@pytest.mark.parametrize(
    ("name", "parameter", "value", "expected"),
    [
        ("xgboost", "learning_rate", "fast", "a number above 0 and at most 1"),
        ("xgboost", "learning_rate", 0, "a number above 0 and at most 1"),
        ("xgboost", "learning_rate", 0.0, "a number above 0 and at most 1"),
        ("xgboost", "learning_rate", -0.1, "a number above 0 and at most 1"),
        ("xgboost", "learning_rate", 1.0000001, "a number above 0 and at most 1"),
        ("xgboost", "learning_rate", False, "a number above 0 and at most 1"),
        ("xgboost", "max_depth", -1, "a whole number of at least 0 and at most 32"),
        ("xgboost", "max_depth", 33, "a whole number of at least 0 and at most 32"),
        ("xgboost", "max_depth", None, "a whole number of at least 0 and at most 32"),
        ("torch", "hidden", [], "a list of whole numbers above 0"),
        ("torch", "hidden", [True], "a list of whole numbers above 0"),
        ("torch", "hidden", [1.5], "a list of whole numbers above 0"),
        ("torch", "hidden", 64, "a list of whole numbers above 0"),
        ("xgboost", "max_depth", 2.5, "a whole number of at least 0 and at most 32"),
        ("xgboost", "device", "tpu", "one of cpu, cuda"),
        ("xgboost", "n_estimators", True, "a whole number of at least 1 and at most 100000"),
        ("lightgbm", "subsample", float("nan"), "a number above 0 and at most 1"),
        ("lightgbm", "extra_trees", "yes", "true or false"),
        ("torch", "hidden", [64, 0], "a list of whole numbers above 0"),
        ("torch", "patience", 0, "a whole number of at least 1 or null"),
        ("sklearn", "model", "svm", "one of linear, random_forest, hist_gradient_boosting"),
    ],
)
def test_bad_value_gets_one_sentence(name: str, parameter: str, value: Any, expected: str) -> None:
    with pytest.raises(BadParameter) as caught:
        framework_module(name).plan({parameter: value})

    assert str(caught.value) == f"parameter 'params.{parameter}' is {value!r}; expected {expected}"


@pytest.mark.parametrize(
    ("name", "parameter", "values"),
    [
        ("xgboost", "learning_rate", [1e-9, 1]),
        ("xgboost", "max_depth", [0, 32]),
        ("torch", "hidden", [[1], [64, 32]]),
        ("torch", "patience", [1, None]),
        ("lightgbm", "extra_trees", [True, False]),
    ],
)
def test_the_least_and_the_greatest_value_are_allowed(name: str, parameter: str, values: list[Any]) -> None:
    assert [framework_module(name).plan({parameter: value}).params[parameter] for value in values] == values


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        (Parameter(1, int), "a whole number"),
        (Parameter(1, float, 0.5), "a number of at least 0.5"),
        (Parameter(1, float, maximum=2), "a number of at most 2"),
        (Parameter(1, float, 0, 2, above=True, optional=True), "a number above 0 and at most 2 or null"),
        (Parameter(1, int, 1, 12345678901), "a whole number of at least 1 and at most 1.23456789e+10"),
        (Parameter("a", str), "text"),
        (Parameter("a", str, choices=("a", "b")), "one of a, b"),
    ],
)
def test_what_a_parameter_takes_is_the_end_of_a_sentence(parameter: Parameter, expected: str) -> None:
    assert parameter.expected == expected


def test_unknown_framework_names_the_choices() -> None:
    with pytest.raises(
        BadParameter,
        match="expected one of sklearn, xgboost, lightgbm, torch, torch_vision, transformers \\(did you mean 'xgboost'",
    ):
        framework_module("xgbost")


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_defaults_pass_their_own_check(name: str) -> None:
    plan = framework_module(name).plan({})

    assert framework_module(name).plan(plan.params).params == plan.params


def test_number_takes_the_parameters_own_type() -> None:
    table = {"rate": Parameter(0.1, float, 0), "depth": Parameter(3, int, 0), "limit": Parameter(None, int, optional=True)}

    resolved = resolve("method", {"rate": 1, "depth": 4.0, "limit": None}, table)

    assert resolved == {"rate": 1.0, "depth": 4, "limit": None}
    assert [type(resolved[name]) for name in ("rate", "depth")] == [float, int]


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_whole_numbers_and_their_doubles_are_the_same(name: str) -> None:
    """A cluster hands over 3 for 3.0, kfp.local once handed over 3.0 for 3; neither may change the model."""
    module = framework_module(name)
    tables = module.PARAMETERS if name == "sklearn" else {None: module.PARAMETERS}
    tried = 0
    for model, table in tables.items():
        for parameter, entry in table.items():
            whole = math.floor(entry.minimum or 0) + 1
            if entry.type not in (int, float) or (entry.maximum is not None and whole > entry.maximum):
                continue
            chosen = {"model": model} if model else {}
            as_int, as_double = (module.plan(chosen | {parameter: value}).params for value in (whole, float(whole)))
            assert as_int == as_double
            assert repr(as_int[parameter]) == repr(as_double[parameter]) == repr(entry.type(whole))
            tried += 1
    assert tried > 3
