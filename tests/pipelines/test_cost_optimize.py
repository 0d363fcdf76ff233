"""A model, measured under limits of CPU and costed."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support.exported_models import write_wine_model
from support.runs import Finished

pytestmark = pytest.mark.slow

Run = Callable[..., Finished]


def test_a_model_is_costed(run_pipeline: Run, tmp_path: Path) -> None:
    wine = write_wine_model(tmp_path / "wine", run_id="")
    trace = tmp_path / "trace.csv"
    trace.write_text("time,requests_per_second\n2026-05-01T08:00:00,5\n2026-05-01T09:00:00,50\n2026-05-01T12:00:00,1\n")

    finished = run_pipeline(
        "cost-optimize", model=str(wine), name="costed-wine", trace=str(trace), objective_ms=500.0,
        cpu_limits=["1"], mode="Knative", longest_wait_seconds=60.0, seconds=0.15, rounds=1,
    )  # fmt: skip

    assert finished.error == ""
    assert finished.steps == ["import-model", "optimize-cost"]
    assert finished.outputs["cost_per_million"] > 0
    assert "<svg" in Path(finished.outputs["cost_report"]).read_text()
    change = yaml.safe_load(Path(finished.outputs["patch"]).read_text())
    predictor = change["spec"]["predictor"]
    assert predictor["minReplicas"] == 0  # two hours without a request are worth the wait that was allowed
    assert predictor["scaleMetric"] == "rps"
    assert predictor["model"]["resources"]["requests"]["cpu"] == "1"
