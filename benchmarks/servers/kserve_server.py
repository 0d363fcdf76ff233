"""KServe's own model server with one of the models: a `kserve.Model` as its users write it, served with KServe's defaults.

The defaults include a line in the access log for every request.

Usage: python kserve_server.py PORT {onnx,sklearn} FOLDER

"onnx" answers with the graph that the predictor answers with; "sklearn" with scikit-learn's own pipeline.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pandas as pd
import skops.io
from kserve import Model, ModelServer

from stagewright.components.runtime.signature import Signature

NATIVE = "native.skops"


class OnnxModel(Model):
    """Columns straight to ONNX Runtime."""

    def __init__(self, folder: Path) -> None:
        super().__init__("churn")
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(folder / "serving" / "model.onnx", options)
        self._types = {given.name: object if given.datatype == "BYTES" else np.float32 for given in inputs(folder)}
        self.ready = True

    def predict(self, payload: dict[str, Any], headers: Any = None, response_headers: Any = None) -> dict[str, Any]:
        columns = zip(*payload["instances"], strict=True)
        feeds = {
            name: np.array(values, dtype=dtype).reshape(-1, 1)
            for (name, dtype), values in zip(self._types.items(), columns, strict=True)
        }
        labels, probabilities = self._session.run(["label", "probabilities"], feeds)
        return {"predictions": labels.tolist(), "probabilities": probabilities.tolist()}


class NativeModel(Model):
    """A data frame to scikit-learn's pipeline."""

    def __init__(self, folder: Path) -> None:
        super().__init__("churn")
        path = folder / NATIVE
        self._pipeline = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
        self._names = [given.name for given in inputs(folder)]
        self._classes = np.array(["No", "Yes"])
        self.ready = True

    def predict(self, payload: dict[str, Any], headers: Any = None, response_headers: Any = None) -> dict[str, Any]:
        probabilities = self._pipeline.predict_proba(pd.DataFrame(payload["instances"], columns=self._names))
        labels = self._classes[(probabilities[:, 1] >= 0.5).astype(int)]
        return {"predictions": labels.tolist(), "probabilities": probabilities.tolist()}


def inputs(folder: Path) -> tuple[Any, ...]:
    """The columns in the order in which the rows have them."""
    return Signature.read(folder / "serving").inputs


if __name__ == "__main__":
    port, kind, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    model = {"onnx": OnnxModel, "sklearn": NativeModel}[kind](folder)
    ModelServer(http_port=port, enable_grpc=False).start([model])
