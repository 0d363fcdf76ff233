"""The variant beside the float model in the real predictor: what is told, and how a predictor that fails is."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from support import quantizable

from stagewright.components.measurement.load.generator import Load
from stagewright.components.measurement.model_rows import ModelRows
from stagewright.components.optimization.quantization import end_to_end
from stagewright.components.optimization.quantization.comparison import Answered, Comparison, Traffic
from stagewright.components.optimization.quantization.end_to_end import compared, requests, side_by_side
from stagewright.components.optimization.quantization.gate import Limits
from stagewright.components.optimization.quantization.page import page
from stagewright.components.optimization.quantization.quantize import quantize
from stagewright.components.optimization.quantization.result import Quantization, Request
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import GateFailed
from stagewright.components.runtime.signature import Signature


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("served")
    quantizable.write(made / "model")
    tables.write_table(quantizable.measured(), made / "data.parquet")
    return made


def _quantized(folder: Path, method: str, variant: str = "cpu-int8") -> Quantization:
    limits = Limits(tolerance=1.0, speedup=0.01)
    request = Request(variant=variant, methods=(method,), limits=limits, calibration_rows=100, seconds=0.5, batch_rows=8)
    return quantize(folder / "model", folder / "data.parquet", request)


def _load(rate: float, p50: float, **changed: object) -> Load:
    calm = Load(rate, p50, p50, 2 * p50, 2 * p50, {200: 10} if rate else {}, 0, 1.0, 10 if rate else 0)
    return replace(calm, **changed)  # type: ignore[arg-type]


def _comparison(own: list[Load], variant: list[Load]) -> Comparison:
    return Comparison(Traffic(1, 16), Answered("float", tuple(own)), Answered("variant", tuple(variant)))


def test_winner_is_asked_beside_the_float_model(folder: Path) -> None:
    found = compared(_quantized(folder, "dynamic"), folder / "model", folder / "data.parquet")

    assert [one.name for one in found.served] == ["speedup_single_1", "speedup_single_16", "speedup_batch_1"]
    assert [str(one.traffic) for one in found.served][1:] == [
        "1 row a request, 16 connections",
        "8 rows a request, 1 connection",
    ]
    for document in found.to_dict()["served"]:
        assert document["float"]["requests"] > 0
        assert document["variant"]["requests"] > 0
        assert document["speedup_range"][0] <= document["speedup"] <= document["speedup_range"][1]
        assert document["rounds"] == 3
    shown = page(found).render()
    assert "As served" in shown
    assert "8 rows a request, 1 connection" in shown


def test_variant_for_a_gpu_is_not_asked_on_a_cpu(folder: Path) -> None:
    found = _quantized(folder, "fp16", "gpu-fp16")

    assert found.winner is not None
    assert compared(found, folder / "model", folder / "data.parquet") is found
    assert "As served" not in page(found).render()


def test_model_without_a_winner_is_not_served(folder: Path) -> None:
    found = _quantized(folder, "weights-2")

    assert compared(found, folder / "model", folder / "data.parquet").served == ()


def test_predictor_that_does_not_come_up_is_told(folder: Path, tmp_path: Path) -> None:
    broken = end_to_end._with_graph(folder / "model", tmp_path / "broken", b"no graph")
    rows = ModelRows(folder / "model", Signature.read(folder / "model/serving"), quantizable.measured())

    with (
        pytest.raises(
            GateFailed, match=r"the predictor to be measured did not pass: it ended; its log ends with: .*model\.onnx"
        ),
        side_by_side(folder / "model", broken, rows, tmp_path),
    ):
        pass


def test_requests_differ_as_far_as_there_are_rows(folder: Path) -> None:
    table = quantizable.measured().head(50)
    rows = ModelRows(folder / "model", Signature.read(folder / "model/serving"), table)

    assert len(set(requests(rows, Traffic(1, 1)))) == 50
    assert len(requests(rows, Traffic(20, 1))) == 2
    assert len(requests(rows, Traffic(80, 1))) == 1


def test_ratios_are_those_of_rounds(folder: Path) -> None:
    found = _comparison([_load(100, 10), _load(50, 20), _load(80, 12)], [_load(300, 4), _load(200, 5), _load(160, 6)])

    assert found.ratios.tolist() == [3.0, 4.0, 2.0]
    assert found.speedup == 3.0
    assert found.sooner == 2.5
    assert found.own.requests_per_second == 80


def test_round_without_an_answer_is_left_out() -> None:
    found = _comparison([_load(0, math.nan), _load(50, 20)], [_load(100, 10), _load(100, 10)])

    assert found.ratios.tolist() == [2.0]
    assert found.sooner == 2.0


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (_load(90, 10, statuses={200: 90, 503: 3}, requests=93), "of 93 requests .* variant .* 3 failed with status 503"),
        (_load(0, math.nan, errors=4), "of 4 requests to the variant model's predictor 4 failed without an answer in time"),
    ],
)  # fmt: skip
def test_server_that_does_not_answer_everything_is_not_compared(wrong: Load, sentence: str) -> None:
    with pytest.raises(GateFailed, match=sentence):
        end_to_end._check(_comparison([_load(100, 10)], [wrong]))
