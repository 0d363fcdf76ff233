"""Runs inside TorchServe: answers rows with an ONNX graph. It stands alone, with numpy and onnxruntime, and unpickles nothing.

A request is `{"instances": [{"column": value, ...}, ...]}`; its answer `{"predictions": [...], "probabilities": [[...]]}`.
TorchServe may hand over several requests at once; their rows are answered together.
"""

import json
import os
from datetime import UTC, datetime
from typing import Any

import numpy as np
import onnxruntime

_MISSING_TIME = -(2**63)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Handler:
    """What TorchServe calls."""

    def __init__(self) -> None:
        self.session: Any = None
        self.signature: dict[str, Any] = {}
        self.tokenizers: dict[str, Any] = {}

    def initialize(self, context: Any) -> None:
        """Load the graph that the manifest names."""
        folder = context.system_properties["model_dir"]
        manifest = context.manifest["model"]
        with open(os.path.join(folder, "signature.json"), encoding="utf-8") as file:  # noqa: PTH118, PTH123
            self.signature = json.load(file)
        self.session = onnxruntime.InferenceSession(
            os.path.join(folder, manifest["serializedFile"]),  # noqa: PTH118
            providers=onnxruntime.get_available_providers(),
        )
        for column in self.signature["inputs"]:
            if column.get("tokenizer"):
                from tokenizers import Tokenizer

                made = Tokenizer.from_file(os.path.join(folder, column["tokenizer"]))  # noqa: PTH118
                made.enable_truncation(column["max_tokens"])
                self.tokenizers[column["name"]] = made

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        """Answer a batch of requests, each with its own rows."""
        requests = [self._rows(request) for request in data]
        rows = [row for request in requests for row in request]
        if not rows:
            return [self._answer({name: [] for name in self._outputs()}) for _ in requests]
        feeds = {column["name"]: self._feed(column, rows) for column in self.signature["inputs"]}
        outputs = dict(zip(self._outputs(), self.session.run(self._outputs(), feeds), strict=True))
        answers, start = [], 0
        for request in requests:
            end = start + len(request)
            answers.append(self._answer({name: values[start:end].tolist() for name, values in outputs.items()}))
            start = end
        return answers

    def _outputs(self) -> list[str]:
        return [output["name"] for output in self.signature["outputs"]]

    @staticmethod
    def _answer(outputs: dict[str, Any]) -> dict[str, Any]:
        if "prediction" in outputs:
            return {"predictions": outputs["prediction"]}
        return {"predictions": outputs["label"], "probabilities": outputs["probabilities"]}

    @staticmethod
    def _rows(request: dict[str, Any]) -> list[dict[str, Any]]:
        body = request.get("body") or request.get("data") or b"{}"
        if isinstance(body, bytes | bytearray):
            body = body.decode()
        document = json.loads(body) if isinstance(body, str) else body
        rows = document.get("instances", document.get("inputs")) if isinstance(document, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError('expected {"instances": [{"column": value, ...}, ...]}')
        return rows

    def _feed(self, column: dict[str, Any], rows: list[dict[str, Any]]) -> np.ndarray:
        values = [row.get(column["name"]) for row in rows]
        kind = column["kind"]
        if column["name"] in self.tokenizers:
            return self._ids(self.tokenizers[column["name"]], values)
        if kind in {"image", "tensor"}:
            return np.array(values, dtype=np.uint8 if kind == "image" else np.float32)
        if kind in {"categorical", "text"}:
            return np.array([[_text(value)] for value in values], dtype=object)
        if kind == "datetime":
            return np.array([[_microseconds(value)] for value in values], dtype=np.int64)
        return np.array([[np.nan if value is None else value] for value in values], dtype=np.float32)

    @staticmethod
    def _ids(tokenizer: Any, values: list[Any]) -> np.ndarray:
        padding = (tokenizer.padding or {}).get("pad_id", 0)
        tokenizer.enable_padding(pad_id=padding)
        found = tokenizer.encode_batch(["" if value is None else str(value) for value in values])
        return np.array([one.ids for one in found], dtype=np.int64)


def _text(value: Any) -> str:
    """The same text whatever type a category came in: 1, 1.0 and "1" are one."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _microseconds(value: Any) -> int:
    if value is None:
        return _MISSING_TIME
    if isinstance(value, int):
        return value
    time = datetime.fromisoformat(value)
    difference = (time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH
    return (difference.days * 86_400 + difference.seconds) * 1_000_000 + difference.microseconds
