"""quantize_model and publish_model's variant as KFP runs them: real artifacts in, real files out."""

import json
from pathlib import Path

import pytest
from kfp import dsl
from support import quantizable

from stagewright.components.optimization.quantization.component import quantize_model
from stagewright.components.runtime import tables


class _Artifacts:
    def __init__(self, folder: Path) -> None:
        tables.write_table(quantizable.measured(), folder / "data.parquet")
        self.model = dsl.Model(name="model", uri=str(quantizable.write(folder / "model")))
        self.data = dsl.Dataset(name="data", uri=str(folder / "data.parquet"))
        self.quantized = dsl.Model(name="quantized", uri=str(folder / "quantized"))
        self.report = dsl.HTML(name="report", uri=str(folder / "report.html"))
        self.metrics = dsl.Metrics(name="metrics", uri=str(folder / "metrics"))
        self.results = dsl.Artifact(name="results", uri=str(folder / "results.json"))

    def run(self, **options: object) -> object:
        return quantize_model.python_func(**vars(self), calibration_rows=50, seconds=0.2, **options)


def test_variant_report_metrics_and_results_are_written(tmp_path: Path) -> None:
    made = _Artifacts(tmp_path)

    assert made.run(methods=["dynamic"], minimum_speedup=0.01) is True

    assert (tmp_path / "quantized/serving/model.onnx").stat().st_size < (
        tmp_path / "model/serving/model.onnx"
    ).stat().st_size / 3
    assert made.quantized.metadata["method"] == "dynamic"
    assert made.metrics.metadata["size_ratio"] > 3
    assert made.metrics.metadata["served_speedup_single_16"] > 0
    shown = Path(made.report.path).read_text()
    assert "A variant passed" in shown
    assert "As served" in shown
    results = json.loads(Path(made.results.path).read_text())
    assert results["winner"] == "dynamic"
    assert json.loads((tmp_path / "quantized/quantization.json").read_text())["served"] == results["served"] != []


def test_report_is_written_before_the_gate_fails(tmp_path: Path) -> None:
    made = _Artifacts(tmp_path)

    with pytest.raises(SystemExit) as stopped:
        made.run(methods=["weights-2"], minimum_speedup=0.01)

    assert stopped.value.code == 1
    shown = Path(made.report.path).read_text()
    assert "No candidate passed" in shown
    assert "weights-2 loses" in shown
    assert not (tmp_path / "quantized").exists()
