"""What a specification may say, and what a wrong one is told."""

from typing import Any

import pytest

from stagewright.components.features.specification import plan
from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.schema import Schema

SCHEMA = Schema.parse(
    {
        "target": "churn",
        "columns": [
            {"name": "customerID", "kind": "identifier"},
            {"name": "tenure", "kind": "numeric"},
            {"name": "PaymentMethod", "kind": "categorical"},
            {"name": "comment", "kind": "categorical"},
            {"name": "since", "kind": "datetime"},
            {"name": "churn", "kind": "categorical"},
        ],
    }
)


def test_a_column_wins_over_its_kind_and_the_kind_over_the_default() -> None:
    made = plan(
        SCHEMA,
        "torch",
        {},
        {
            "numeric": {"impute": "mean", "scale": "robust"},
            "columns": {
                "tenure": {"scale": "minmax"},
                "PaymentMethod": {"encode": "one_hot", "min_frequency": 0.01},
                "comment": {"kind": "text", "max_features": 500.0},
                "since": {"drop": True},
            },
        },
    )

    settings = made.resolved()
    assert {name: settings["tenure"][name] for name in ("impute", "scale", "transform")} == {
        "impute": "mean", "scale": "minmax", "transform": "auto",
    }  # fmt: skip
    assert settings["PaymentMethod"] == {
        "kind": "categorical", "encode": "one_hot", "min_frequency": 0.01, "max_levels": None,
    }  # fmt: skip
    assert settings["comment"]["max_features"] == 500
    assert made.dropped == {"customerID": "identifier", "since": "dropped by the specification"}
    assert "churn" not in settings


def test_an_identifier_is_used_only_when_its_kind_is_given() -> None:
    made = plan(SCHEMA, "xgboost", {}, {"columns": {"customerID": {"kind": "categorical"}}})

    assert made.columns[0].name == "customerID"


@pytest.mark.parametrize(
    ("specification", "sentence"),
    [
        ({"columns": {"tenur": {}}}, "no column 'tenur' in the data (did you mean 'tenure'?)"),
        ({"columns": {"churn": {"drop": True}}}, "column 'churn' is the target; it is never a feature"),
        ({"columns": {"tenure": {"trasform": "log1p"}}}, "(did you mean 'transform'?)"),
        ({"columns": {"tenure": {"encode": "ordinal"}}}, "columns.tenure.encode is not a setting; a numeric column takes kind"),
        ({"columns": {"tenure": {"transform": "log"}}}, "columns.tenure.transform is 'log'; expected 'none', 'log1p'"),
        ({"columns": {"tenure": {"kind": "number"}}}, "columns.tenure.kind is 'number'; expected one of numeric"),
        ({"columns": {"tenure": {"drop": "yes"}}}, "columns.tenure.drop is 'yes'; expected true or false"),
        ({"columns": {"tenure": "drop"}}, "columns.tenure is 'drop'; expected an object of settings"),
        ({"columns": ["tenure"]}, "columns is ['tenure']; expected an object of settings"),
        ({"columns": {"customerID": {"encode": "ordinal"}}}, "column 'customerID' is an identifier; give its kind"),
        ({"columns": {"since": {"parts": ["years"]}}}, "columns.since.parts.0 is 'years'; expected 'year'"),
        ({"columns": {"since": {"parts": []}}}, "columns.since.parts is []"),
        ({"numbers": {}}, "no section 'numbers'; expected numeric"),
        ({"numeric": {"imput": "mean"}}, "numeric.imput is not a setting"),
        ({"categorical": {"min_frequency": 0}}, "categorical.min_frequency is 0: input should be greater than 0"),
        ({"text": {"max_features": "many"}}, "text.max_features is 'many': input should be a valid integer"),
    ],
)
def test_a_wrong_specification_gets_one_sentence_that_names_the_place(specification: Any, sentence: str) -> None:
    with pytest.raises(InputError) as error:
        plan(SCHEMA, "xgboost", {}, specification)

    assert str(error.value).startswith("features specification: ")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("framework", "params", "sentence"),
    [
        (
            "xgbost",
            {},
            "parameter 'framework' is 'xgbost'; expected one of sklearn, xgboost, lightgbm, torch, torch_vision, transf",
        ),
        ("sklearn", {"model": "forest"}, "parameter 'params.model' is 'forest'"),
        ("sklearn", {"model": 3}, "parameter 'params.model' is 3"),
    ],
)
def test_an_unknown_framework_or_model_is_named(framework: str, params: Any, sentence: str) -> None:
    with pytest.raises(BadParameter) as error:
        plan(SCHEMA, framework, params, {})

    assert sentence in str(error.value)
