"""The quantize pipeline on real models: a variant is published beside its version and served; what loses is rejected."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import deep_models, quantizable
from support.runs import Finished

from stagewright.components.runtime import tables
from stagewright.components.runtime.manifest import read_manifest
from stagewright.components.runtime.storage import ObjectStore

pytestmark = pytest.mark.slow

MEASURED = ["ingest-data", "import-model", "quantize-model"]
SERVED = [*MEASURED, "register-model", "publish-model", "publish-model-2", "deploy-model", "promote-model"]
QUICK = {"seconds": 2.0, "calibration_rows": 100}
Run = Callable[..., Finished]


def _store() -> ObjectStore:
    return ObjectStore.from_environment("tests look at what was published")


def test_images_are_served_in_eight_bits(run_pipeline: Run, tmp_path: Path) -> None:
    model = deep_models.made_elsewhere(deep_models.digits_model(tmp_path / "digits"))

    finished = run_pipeline(
        "quantize", model=str(model), data=str(deep_models.digits_validation()), name="digits-small",
        methods=["static-minmax", "fp16"], minimum_speedup=0.5, minimum_size_ratio=3.0, **QUICK,
    )  # fmt: skip

    assert finished.error == ""
    assert sorted(finished.steps) == sorted(SERVED)
    store = _store()
    manifest = read_manifest("s3://models/digits-small/v1.0.0/variants/cpu-int8/", store)
    assert manifest["method"] == "static-minmax"
    assert manifest["of"] == read_manifest("s3://models/digits-small/v1.0.0/", store)["digest"]
    sizes = {file["path"]: file["size"] for file in manifest["files"]}
    assert sizes["serving/model.onnx"] < (model / "serving/model.onnx").stat().st_size / 3
    assert finished.outputs["endpoint"]
    shown = Path(finished.outputs["quantization_report"]).read_text()
    assert "<svg" in shown
    assert "As served" in shown


def test_published_version_keeps_its_number(run_pipeline: Run, tmp_path: Path) -> None:
    model = quantizable.write(tmp_path / "model")
    tables.write_table(quantizable.measured(), tmp_path / "data.parquet")
    arguments = {
        "data": str(tmp_path / "data.parquet"),
        "name": "kept",
        "methods": ["dynamic"],
        "minimum_speedup": 0.01,
        **QUICK,
    }
    first = run_pipeline("serving-setup", model=str(model), name="kept", deploy_to="none")
    assert first.error == ""

    finished = run_pipeline("quantize", model="s3://models/kept/v1.0.0/", deploy_to="none", **arguments)

    assert finished.error == ""
    assert _store().exists("s3://models/kept/v1.0.0/variants/cpu-int8/manifest.json")
    assert not _store().exists("s3://models/kept/v1.0.1/manifest.json")


def test_variant_that_loses_too_much_publishes_nothing(run_pipeline: Run, tmp_path: Path) -> None:
    model = quantizable.write(tmp_path / "model")
    tables.write_table(quantizable.measured(), tmp_path / "data.parquet")

    finished = run_pipeline(
        "quantize", model=str(model), data=str(tmp_path / "data.parquet"), name="lossy", methods=["weights-2"],
        minimum_speedup=0.01, **QUICK,
    )  # fmt: skip

    assert "weights-2 loses" in finished.error
    assert sorted(finished.steps) == sorted(MEASURED)
    assert not _store().exists("s3://models/lossy/v1.0.0/manifest.json")


def test_trees_end_well_without_a_variant(run_pipeline: Run, tmp_path: Path) -> None:
    model, data = quantizable.write_forest(tmp_path)

    finished = run_pipeline("quantize", model=str(model), data=str(data), name="trees", **QUICK)

    assert finished.error == ""
    assert sorted(finished.steps) == sorted(MEASURED)
    assert not _store().exists("s3://models/trees/v1.0.0/manifest.json")
    [notice] = finished.run.steps[-1].notices
    assert notice.startswith("nothing is gained by quantizing: the model is an ensemble of trees: ")
