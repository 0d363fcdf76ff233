"""What a client of TensorFlow Serving needs to move to our predictor, whose V1 answers TensorFlow Serving's two forms.

A request by rows (`instances`) and one by columns (`inputs`), both made of the model's own baseline, with the answers that must
come back, and the metadata in TensorFlow Serving's words. TensorFlow Serving itself runs SavedModels only: an ONNX graph is
none, and whoever must stay there trains in TensorFlow.
"""

import json
import math
from pathlib import Path
from typing import Any

from stagewright.components.export.targets.exported import Exported
from stagewright.components.runtime import folders
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.naming import model_name
from stagewright.components.runtime.signature import Signature

ROWS = 5
METADATA, BY_ROWS, BY_COLUMNS, ANSWER, README = (
    "metadata.json", "request_rows.json", "request_columns.json", "answer.json", "README.md",
)  # fmt: skip
_TYPES = {"FP32": "DT_FLOAT", "BOOL": "DT_BOOL", "BYTES": "DT_STRING", "INT64": "DT_INT64", "UINT8": "DT_UINT8"}
_README = """# {name} for clients of TensorFlow Serving

The predictor answers `POST /v1/models/{name}:predict` in TensorFlow Serving's two forms:

```sh
curl -s $URL/v1/models/{name}:predict -d @request_rows.json       # {{"instances": [row, ...]}}
curl -s $URL/v1/models/{name}:predict -d @request_columns.json    # {{"inputs": {{"column": [value, ...]}}}}
```

Both get `answer.json`: `predictions` in the order of the rows, for a classifier with `probabilities` beside them; then
`model_name` and `model_version`. What differs from TensorFlow Serving: there is one signature, the answer of the column form is
called `predictions` too, and a missing value is `null`. `metadata.json` describes inputs and outputs in TensorFlow Serving's
words.
"""


def write_contract(folder: str | Path, target: str | Path, *, name: str) -> Path:
    """Write a folder with both requests, their answer, the metadata and what there is to know.

    Args:
        folder: An exported model with a baseline.
        target: Folder to write.

    Raises:
        InputError: If the model has no graph, or no baseline to make requests of.
    """
    model = Exported.read(folder)
    if model.baseline is None:
        raise InputError(
            f"{folder} has no baseline, of whose rows the requests are made; export the model with a validation split"
        )
    rows, answer = _examples(model)
    names = model.signature.names
    documents = {
        METADATA: _metadata(model.signature, model_name(name)),
        BY_ROWS: {"signature_name": "serving_default", "instances": rows},
        BY_COLUMNS: {"signature_name": "serving_default", "inputs": {name: [row[name] for row in rows] for name in names}},
        ANSWER: answer,
    }
    with folders.atomic_folder(target) as made:
        for file, document in documents.items():
            (made / file).write_text(
                json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
            )
        (made / README).write_text(_README.format(name=name), encoding="utf-8")
    return Path(target)


def _examples(model: Exported) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    import polars as pl

    table = pl.read_parquet(model.baseline, n_rows=ROWS)  # type: ignore[arg-type]
    rows = [{name: _value(row[name]) for name in model.signature.names} for row in table.to_dicts()]
    if model.signature.classes is None:
        return rows, {"predictions": table["__prediction__"].to_list()}
    columns = [table[f"__probability_{at}__"].to_list() for at in range(len(model.signature.classes))]
    probabilities = [list(row) for row in zip(*columns, strict=True)]
    return rows, {"predictions": table["__label__"].to_list(), "probabilities": probabilities}


def _value(value: Any) -> Any:
    """A value as JSON has it: times as ISO 8601, nothing for a number that is none."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.to_list() if hasattr(value, "to_list") else value


def _metadata(signature: Signature, name: str) -> dict[str, Any]:
    """As TensorFlow Serving answers `GET /v1/models/NAME/metadata`."""

    def tensors(entries: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            entry["name"]: {
                "dtype": _TYPES[entry["datatype"]],
                "tensor_shape": {"dim": [{"size": str(size), "name": ""} for size in entry["shape"]], "unknown_rank": False},
                "name": entry["name"],
            }
            for entry in entries
        }

    inputs = [{"name": c.name, "datatype": c.datatype, "shape": [-1, *c.shape]} for c in signature.inputs]
    default = {
        "inputs": tensors(inputs),
        "outputs": tensors(signature.outputs),
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": ""},
        "metadata": {"signature_def": {"signature_def": {"serving_default": default}}},
    }
