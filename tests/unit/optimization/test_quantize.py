"""Quantization of whole models: what passes, what the gate rejects, what has nothing to gain, and what is written."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl
import pytest
from support import exported_models, quantizable

from stagewright.components.optimization.quantization.gate import Limits
from stagewright.components.optimization.quantization.page import page
from stagewright.components.optimization.quantization.quantize import quantize
from stagewright.components.optimization.quantization.result import Quantization, Request
from stagewright.components.optimization.quantization.variant import RECORD, write
from stagewright.components.runtime import columns, tables
from stagewright.components.runtime.errors import BadParameter, GateFailed, InputError
from stagewright.components.runtime.fingerprint import fingerprint
from stagewright.components.runtime.signature import Signature
from stagewright.components.serving import client

# Speed is asserted where the machine is quiet; here it only must not decide.
ANY_SPEED = Limits(tolerance=1.0, speedup=0.01, size_ratio=3.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quantizable.write(tmp_path_factory.mktemp("float") / "model")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "digits.parquet"
    tables.write_table(quantizable.measured(), path)
    return path


def _request(*methods: str, limits: Limits = ANY_SPEED, **options: object) -> Request:
    return Request(methods=methods, limits=limits, calibration_rows=100, seconds=0.5, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def found(model: Path, data: Path) -> Quantization:
    return quantize(model, data, _request("dynamic", "static-minmax", "fp16", "weights-2", "torch-static"))


def test_candidates_are_measured_beside_the_float_model(found: Quantization) -> None:
    assert found.own["metrics"]["accuracy"] > 0.93
    assert found.measured["rows"] == quantizable.measured().height - 100
    by_name = {candidate.name: candidate for candidate in found.candidates}
    assert by_name["dynamic"].size_ratio > 3.5
    assert by_name["dynamic"].quality.lost < 1
    assert set(by_name["dynamic"].speed.latency) == {"single", "batch"}
    assert by_name["fp16"].speed is None
    assert by_name["fp16"].quality.largest < 0.02
    assert by_name["torch-static"].error == "the model folder holds no torch network, or torch is not installed here"
    assert found.winner.name in ("dynamic", "static-minmax")


def test_weights_of_two_bits_lose_too_much_and_are_rejected(model: Path, data: Path) -> None:
    rejected = quantize(model, data, _request("weights-2"))

    assert rejected.winner is None
    assert rejected.candidates[0].quality.lost > 5
    with pytest.raises(
        GateFailed, match=r"quantization did not pass: weights-2 loses \d+\.\d+ points of accuracy \(tolerance 1\)"
    ):
        rejected.require()


def test_candidate_that_is_no_faster_is_rejected(model: Path, data: Path) -> None:
    rejected = quantize(model, data, _request("dynamic", limits=Limits(speedup=50.0)))

    with pytest.raises(GateFailed, match=r"dynamic is \d+\.\d+ times as fast for single rows \(at least 50 is asked for\)"):
        rejected.require()


def test_winner_is_written_with_answers_of_its_own(found: Quantization, model: Path, data: Path, tmp_path: Path) -> None:
    effect = write(found, model, data, tmp_path / "variant")

    assert sorted(path.name for path in (tmp_path / "variant").iterdir()) == [RECORD, "serving"]
    serving = tmp_path / "variant/serving"
    assert Signature.read(serving) == Signature.read(model / "serving")
    baseline = tables.read_table(serving / "baseline.parquet")
    first = baseline.head(client.SMOKE_ROWS)
    session = onnxruntime.InferenceSession(serving / "model.onnx")
    answered = session.run(None, columns.feeds(first, quantizable.SIGNATURE.inputs))
    np.testing.assert_array_equal(answered[0], first["__label__"].to_numpy())
    own = first.select(f"__probability_{at}__" for at in range(10)).to_numpy()
    assert np.abs(own - answered[1]).max() <= effect.tolerance
    assert baseline["__tolerance__"].unique().to_list() == [effect.tolerance]
    assert "__target__" in baseline.columns
    record = json.loads((tmp_path / "variant" / RECORD).read_text())
    assert record["method"] == found.winner.name
    assert record["of"] == fingerprint(model).digest != fingerprint(tmp_path / "variant").digest


def test_same_request_makes_the_same_variant(found: Quantization, model: Path, data: Path, tmp_path: Path) -> None:
    again = quantize(model, data, _request(found.winner.name))

    write(found, model, data, tmp_path / "first")
    write(again, model, data, tmp_path / "second")

    assert fingerprint(tmp_path / "first").digest == fingerprint(tmp_path / "second").digest


def test_half_precision_is_judged_without_a_gpu_by_quality_and_size(model: Path, data: Path) -> None:
    half = quantize(model, data, _request("fp16", limits=Limits(size_ratio=1.9), variant="gpu-fp16"))

    assert half.winner.name == "fp16"
    assert "its speed was not measured" in page(half).render()


def test_method_for_another_variant_is_no_answer(model: Path, data: Path) -> None:
    with pytest.raises(GateFailed, match="none of the methods asked for makes a cpu-int8 variant"):
        quantize(model, data, _request("fp16")).require()


def test_fidelity_is_measured_where_there_is_no_target(model: Path, tmp_path: Path) -> None:
    tables.write_table(quantizable.measured().drop("digit"), tmp_path / "unlabelled.parquet")

    found = quantize(model, tmp_path / "unlabelled.parquet", _request("dynamic"))

    assert found.own["metrics"]["accuracy"] == 1.0
    assert not found.measured["true_values"]
    assert "as the data has no target" in page(found).render()


def test_trees_are_told_with_figures_that_nothing_is_to_be_gained(tmp_path: Path) -> None:
    folder, data = quantizable.write_forest(tmp_path)

    found = quantize(folder, data, Request(seconds=0.5))

    assert found.candidates == ()
    assert found.nothing.startswith("the model is an ensemble of trees")
    assert found.potential.ensemble_bytes > 0.9
    assert found.potential.ensemble_time > 0.1
    found.require()
    assert found.notices() == [f"nothing is gained by quantizing: {found.nothing}"]
    shown = page(found).render()
    assert "Nothing to gain" in shown
    assert "which no method touches" in shown
    with pytest.raises(GateFailed, match="ensemble of trees"):
        found.require(gain=True)


def test_linear_model_has_no_layers(tmp_path: Path) -> None:
    folder = exported_models.write_wine_model(tmp_path / "wine")
    from sklearn.datasets import load_wine

    bunch = load_wine(as_frame=True)
    frame = pl.from_pandas(bunch.data.rename(columns=lambda name: name.replace("/", "_")).assign(cultivar=bunch.target))
    tables.write_table(frame, tmp_path / "wine.parquet")

    found = quantize(folder, tmp_path / "wine.parquet", Request(seconds=0.5))

    assert found.winner is None
    assert found.nothing


def test_report_shows_every_candidate_and_the_limits(found: Quantization, tmp_path: Path) -> None:
    shown = page(found).render()

    for candidate in found.candidates:
        assert candidate.name in shown
    assert "A variant passed" in shown
    assert "loses" in shown
    found.write(tmp_path / "results.json")
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["variant"] == "cpu-int8"
    assert {candidate["method"] for candidate in document["candidates"]} == {c.name for c in found.candidates}
    assert found.figures()["size_ratio"] == document["candidates"][0]["size_ratio"] or found.winner.name != "dynamic"


def test_too_few_rows_are_refused(model: Path, tmp_path: Path) -> None:
    tables.write_table(quantizable.measured().head(10), tmp_path / "few.parquet")

    with pytest.raises(InputError, match="the data has 10 usable rows; at least 20 are needed"):
        quantize(model, tmp_path / "few.parquet", Request())


def test_model_that_is_not_exported_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the model is not exported"):
        quantize(tmp_path, data, Request())


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (Request(limits=Limits(tolerance=-1)), "parameter 'tolerance' is -1; expected points of at least 0"),
        (Request(limits=Limits(speedup=0)), "parameter 'minimum_speedup' is 0; expected a factor above 0"),
        (Request(variant="cpu"), "parameter 'variant' is 'cpu'; expected one of cpu-int8, gpu-fp16"),
        (Request(methods=("dynamc",)), "did you mean 'dynamic'"),
        (Request(rows=0), "parameter 'rows' is 0; expected a whole number above 0"),
    ],
)
def test_request_that_cannot_be_is_refused(model: Path, data: Path, request_: Request, sentence: str) -> None:
    with pytest.raises(BadParameter, match=sentence):
        quantize(model, data, request_)
