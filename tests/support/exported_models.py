"""Exported models in the full form of a model folder, made without a training run."""

import json
import shutil
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from uuid import uuid4

import numpy as np
import polars as pl

from stagewright.components.runtime.model import ModelMetadata
from support import onnx_models

BASELINE_ROWS = 60


@cache
def _wine() -> Path:
    return onnx_models.write_wine(Path(mkdtemp(prefix="wine-")))


def write_wine_model(
    folder: Path,
    *,
    recipe: str = "recipe-1",
    data: str = "data-1",
    wrong_baseline: bool = False,
    run_id: str | None = None,
) -> Path:
    """A classifier of wines with its baseline and its record; two calls differ as two runs do, in their ids and dates.

    Args:
        wrong_baseline: Give the baseline other answers than the graph's, as if a different model had been exported.
    """
    serving = folder / "serving"
    serving.mkdir(parents=True)
    for file in _wine().iterdir():
        shutil.copy(file, serving / file.name)
    _write_baseline(serving, wrong=wrong_baseline)
    run_id = uuid4().hex if run_id is None else run_id
    ModelMetadata(
        framework="sklearn",
        algorithm="linear",
        task="multiclass",
        target="cultivar",
        classes=(0, 1, 2),
        params={"C": 1.0},
        seed=0,
        features=[],
        training_rows=142,
        validation_rows=36,
        data={"train": data, "validation": f"{data}-validation"},
        libraries={"scikit-learn": "1.9"},
        schema={},
        recipe=recipe,
        signature="unused",
        name="wine",
        run_id=run_id,
    ).write(folder)
    made = datetime.now(UTC).isoformat()
    (folder / "MLmodel").write_text(f"run_id: {run_id}\nutc_time_created: '{made}'\nmodel_uuid: {uuid4().hex}\n")
    return folder


def _write_baseline(serving: Path, *, wrong: bool) -> None:
    from sklearn.datasets import load_wine

    bunch = load_wine(as_frame=True)
    data = bunch.data.rename(columns=lambda name: name.replace("/", "_")).iloc[:: len(bunch.data) // BASELINE_ROWS]
    feeds = {name: data[[name]].to_numpy(np.float32) for name in data.columns}
    answers = onnx_models.direct(serving, feeds)
    probabilities = answers["probabilities"] if not wrong else np.roll(answers["probabilities"], 1, axis=1)
    labels = answers["label"].reshape(-1) if not wrong else probabilities.argmax(axis=1)
    table = pl.from_pandas(data).with_columns(
        pl.Series("__label__", labels),
        *(pl.Series(f"__probability_{at}__", probabilities[:, at]) for at in range(3)),
        pl.Series("__target__", bunch.target.iloc[data.index].to_numpy()),
    )
    table.write_parquet(serving / "baseline.parquet")


def change_inputs(folder: Path) -> None:
    """Make the signature another one for callers: the last class is called differently."""
    path = folder / "serving/signature.json"
    document = json.loads(path.read_text())
    document["classes"][-1] = 99
    path.write_text(json.dumps(document))
