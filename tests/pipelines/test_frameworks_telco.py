"""The main job with each framework on Telco churn: what is served is what was trained."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from support.runs import STEPS, Finished, assert_served_equals_own

pytestmark = pytest.mark.slow

DEPLOYMENT = ["deploy-model", "promote-model"]
Run = Callable[..., Finished]


@pytest.mark.parametrize(
    ("framework", "params"),
    [
        ("sklearn", {"model": "linear"}),
        ("sklearn", {"model": "random_forest", "n_estimators": 60}),
        ("sklearn", {"model": "hist_gradient_boosting"}),
        ("xgboost", {}),
        ("lightgbm", {}),
        ("torch", {"max_epochs": 8}),
    ],
)
def test_each_framework_trains_and_serves_telco_churn(
    run_pipeline: Run, telco_csv: Path, telco: pl.DataFrame, framework: str, params: dict[str, object]
) -> None:
    name = "-".join(["churn", framework, str(params.get("model", "")).replace("_", "-")]).rstrip("-")

    finished = run_pipeline("train-model", data=str(telco_csv), target="churn", name=name, framework=framework, params=params)

    assert finished.error == ""
    assert finished.steps == STEPS + DEPLOYMENT
    assert finished.outputs["version"] == "v1.0.0"
    assert finished.outputs["metrics"]["test"]["roc_auc"] > 0.82
    assert_served_equals_own(finished, name, telco.sample(300, seed=1))
