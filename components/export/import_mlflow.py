"""An MLflow model without an ONNX form as a model folder that is served by its own library, in a process of its own.

The model is loaded once, in the process that will serve it, which tells its task, its classes and its answers to the rows that
were logged with it: they become the baseline against which a deployment is tested.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stagewright.components.predictor.mlflow_backend import formats as mlflow_formats
from stagewright.components.predictor.mlflow_backend.process import ModelProcess
from stagewright.components.runtime import tables
from stagewright.components.runtime.fingerprint import BASELINE, MLFLOW_BACKEND
from stagewright.components.runtime.model import SERVING
from stagewright.components.runtime.signature import MISSING_STRING, MISSING_TIME, Signature


def recognizes(folder: Path) -> bool:
    """Whether this is a model in MLflow's format, and not one that is a graph."""
    return mlflow_formats.is_mlflow(folder) and "onnx" not in mlflow_formats.flavors(folder)


def place(found: Path, folder: Path) -> Signature:
    """Copy a model and add what serving it takes: `signature.json`, `worker.json` and, with an input example, a baseline.

    Raises:
        InputError: If its files could hold code, it has no signature, or it cannot be loaded.
    """
    given = mlflow_formats.read_format(found)
    shutil.copytree(found, folder, dirs_exist_ok=True)
    process = ModelProcess(folder, found.name)
    try:
        ready, arrays = process.ready()
    finally:
        process.close()
    classes = None if ready["classes"] is None else tuple(ready["classes"])
    inputs = tuple(field.input for field in given.fields)
    signature = Signature(task=ready["task"], inputs=inputs, classes=classes, framework=ready["framework"])
    serving = folder / SERVING
    serving.mkdir(exist_ok=True)
    signature.write(serving)
    document = {"flavor": given.flavor, "model_class": given.model_class, "python": ready["python"]}
    (serving / MLFLOW_BACKEND).write_text(json.dumps(document, indent=2) + "\n")
    if ready["example"]:
        tables.write_table(_baseline(signature, arrays), serving / BASELINE)
    return signature


def _baseline(signature: Signature, arrays: dict[str, np.ndarray]) -> pl.DataFrame:
    columns: dict[str, Any] = {given.name: _column(given.kind, arrays[given.name].reshape(-1)) for given in signature.inputs}
    if signature.classes is None:
        return pl.DataFrame({**columns, "__prediction__": arrays["output:prediction"].astype(np.float64)})
    probabilities = arrays["output:probabilities"].astype(np.float64)
    answers = {f"__probability_{at}__": probabilities[:, at] for at in range(probabilities.shape[1])}
    return pl.DataFrame({**columns, "__label__": arrays["output:label"].tolist(), **answers})


def _column(kind: str, values: np.ndarray) -> pl.Series:
    """A column as tables store it, from the way in which it travels."""
    if kind == "datetime":
        moments = pl.Series(values).cast(pl.Datetime("us"))
        return moments.to_frame("time").select(pl.when(pl.Series(values != MISSING_TIME)).then(pl.col("time"))).to_series()
    if kind == "boolean":
        return pl.Series([None if np.isnan(value) else bool(value) for value in values], dtype=pl.Boolean)
    if kind == "numeric":
        return pl.Series(values.astype(np.float64)).fill_nan(None)
    return pl.Series([None if value == MISSING_STRING else value for value in values.tolist()], dtype=pl.String)
