"""A model, measured under limits of CPU and costed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from support.exported_models import write_wine_model
from support.runs import Finished

from stagewright.components.measurement.processor import cpu_name
from stagewright.pipelines import catalog
from stagewright.pipelines.local import results

pytestmark = pytest.mark.slow

Run = Callable[..., Finished]
COMPILED = Path(__file__).parents[2] / "pipelines/compiled"


def test_each_size_is_measured_in_a_step_that_has_it_as_its_limit() -> None:
    spec = json.loads(json_format.MessageToJson(catalog.pipeline("cost-optimize").pipeline_spec))
    item = "{{$.inputs.parameters['pipelinechannel--plan-sizes-Output-loop-item']}}"

    resources = spec["deploymentSpec"]["executors"]["exec-measure-size"]["container"]["resources"]
    assert (resources["resourceCpuLimit"], resources["resourceCpuRequest"]) == (item, item)
    assert "iteratorPolicy" not in spec["root"]["dag"]["tasks"]["for-loop-1"]  # on a cluster: all at once


def test_a_profile_does_not_take_the_limit_away() -> None:
    spec = next(yaml.safe_load_all((COMPILED / "cost-optimize.yaml").read_text()))

    resources = spec["deploymentSpec"]["executors"]["exec-measure-size"]["container"]["resources"]
    assert resources["resourceCpuLimit"] == "{{$.inputs.parameters['pipelinechannel--plan-sizes-Output-loop-item']}}"
    assert resources["resourceCpuRequest"] == resources["resourceCpuLimit"]
    assert resources["resourceMemoryLimit"]


def test_a_model_is_costed(run_pipeline: Run, tmp_path: Path) -> None:
    before = catalog.pipeline("cost-optimize").pipeline_spec.SerializeToString(deterministic=True)
    wine = write_wine_model(tmp_path / "wine", run_id="")
    trace = tmp_path / "trace.csv"
    trace.write_text("time,requests_per_second\n2026-05-01T08:00:00,5\n2026-05-01T09:00:00,50\n2026-05-01T12:00:00,1\n")

    finished = run_pipeline(
        "cost-optimize", model=str(wine), name="costed-wine", trace=str(trace), objective_ms=500.0,
        cpu_limits=["1"], mode="Knative", longest_wait_seconds=60.0, seconds=0.15, rounds=1,
    )  # fmt: skip

    assert finished.error == ""
    # Only while it runs here are sizes measured one after the other.
    assert catalog.pipeline("cost-optimize").pipeline_spec.SerializeToString(deterministic=True) == before
    assert finished.steps == ["plan-sizes", "import-model", "measure-size", "measure-size", "optimize-cost"]
    assert finished.outputs["cost_per_million"] > 0
    assert "<svg" in Path(finished.outputs["cost_report"]).read_text()
    change = yaml.safe_load(Path(finished.outputs["patch"]).read_text())
    predictor = change["spec"]["predictor"]
    assert predictor["minReplicas"] == 0  # two hours without a request are worth the wait that was allowed
    assert predictor["scaleMetric"] == "rps"
    assert predictor["model"]["resources"]["requests"]["cpu"] in {"250m", "1"}  # the present size, if it bears the load here
    found = json.loads(results.artifact(finished.run, "optimize-cost", "results").read_text())
    assert [curve["size"]["cpus"] for curve in found["curves"]] == [0.25, 1.0]
    assert {curve["processor"] for curve in found["curves"]} == {cpu_name()}
