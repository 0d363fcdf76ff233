"""A model in memory: its graph in ONNX Runtime, checked against its signature, and what it answers."""

import json
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import onnxruntime as ort

from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.signature import GRAPH_TYPES, Signature
from stagewright.components.serving.predictor.columns import Columns, Feeds
from stagewright.components.serving.predictor.source import ModelFiles

Outputs = Mapping[str, np.ndarray]

_LABELS = {"BYTES": "tensor(string)", "INT64": "tensor(int64)", "BOOL": "tensor(bool)"}


class OnnxModel:
    """A served model. `run` may be called from several threads at once."""

    def __init__(self, name: str, version: str | None, signature: Signature, session: ort.InferenceSession) -> None:
        self.name, self.version, self.signature = name, version, signature
        self.columns = Columns(signature.inputs)
        self.outputs: list[dict[str, Any]] = signature.outputs
        self._session = session
        self._names = [output["name"] for output in self.outputs]

    @classmethod
    def load(cls, files: ModelFiles, name: str, *, version: str | None = None, threads: int = 1) -> Self:
        """Build the session, compare graph and signature, and answer one row as a rehearsal.

        Args:
            version: Replaces the manifest's.
            threads: Threads that ONNX Runtime may use inside one inference.

        Raises:
            InputError: If the graph is corrupt or does not fit the signature.
        """
        signature = _signature(files)
        session = _session(files, threads)
        _check(files.location, session, signature)
        model = cls(name, version or files.version, signature, session)
        model._rehearse(files.location)
        return model

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        """Outputs by name for inputs of shape [N, 1]: `label` [N] and `probabilities` [N, C], or `prediction` [N]."""
        outputs = dict(zip(self._names, self._session.run(self._names, feeds), strict=True))
        if "prediction" in outputs:
            return {"prediction": outputs["prediction"].reshape(-1)}
        outputs["label"] = outputs["label"].reshape(-1)
        return outputs if self.signature.threshold == 0.5 else self._decide_again(outputs)

    def _decide_again(self, outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Labels by the signature's threshold; the graph's own head decides at one half."""
        if self.signature.task == "binary" and self.signature.classes is not None:
            classes = np.array(self.signature.classes, dtype=outputs["label"].dtype)
            outputs["label"] = classes[(outputs["probabilities"][:, 1] >= np.float32(self.signature.threshold)).astype(int)]
        return outputs

    def _rehearse(self, location: str) -> None:
        """One inference before the first request: it finds graphs that load but cannot run, and warms what is lazy."""
        blank: dict[str, np.ndarray] = {
            "float": np.zeros((1, 1), np.float32),
            "int64": np.zeros((1, 1), np.int64),
            "string": np.full((1, 1), "", object),
        }
        feeds = {column.name: blank[GRAPH_TYPES[column.kind]] for column in self.signature.inputs}
        try:
            outputs = self.run(feeds)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors share no base class
            raise InputError(f"the model at {location} loads but cannot answer a row: {_first_line(error)}") from None
        for output in self.outputs:
            expected = tuple(1 if size == -1 else size for size in output["shape"])
            got = outputs[output["name"]].shape
            if got != expected:
                raise InputError(f"the model at {location} answers '{output['name']}' of shape {list(got)} for one row; "
                                 f"its signature says {list(expected)}")  # fmt: skip


def _signature(files: ModelFiles) -> Signature:
    try:
        return Signature.from_dict(json.loads(files.signature))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the signature of the model at {files.location} is malformed: {type(error).__name__} {error}"
        ) from None


def _session(files: ModelFiles, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what matters reaches the caller as an error
    # A spinning worker would take the core that the event loop needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(files.graph, options, providers=_providers())
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors share no base class
        raise InputError(f"model.onnx of the model at {files.location} cannot be loaded: {_first_line(error)}") from None


def _providers() -> list[str]:
    """CUDA first where ONNX Runtime is its CUDA build, then the CPU for what CUDA has no kernel for, or if there is no GPU."""
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return ["CPUExecutionProvider"]
    ort.preload_dlls()  # CUDA's libraries are packages beside it, where the linker does not look
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]


def _check(location: str, session: ort.InferenceSession, signature: Signature) -> None:
    """Compare the graph's inputs and outputs with the signature's, by name and element type."""
    expected = {column.name: f"tensor({GRAPH_TYPES[column.kind]})" for column in signature.inputs}
    _compare(location, "input", {node.name: node.type for node in session.get_inputs()}, expected)
    for node in session.get_inputs():
        if len(node.shape) != 2 or isinstance(node.shape[0], int) or node.shape[1] not in (1, None):
            raise InputError(f"the model at {location} takes input '{node.name}' of shape {node.shape}; expected [rows, 1]")
    answers = {"prediction": "tensor(float)"}
    if signature.classes is not None:
        answers = {"label": _LABELS[signature.label_datatype], "probabilities": "tensor(float)"}
    given = {node.name: node.type for node in session.get_outputs()}
    _compare(location, "output", {name: given[name] for name in given if name in answers}, answers)


def _compare(location: str, noun: str, graph: Mapping[str, str], signature: Mapping[str, str]) -> None:
    for name, kind in signature.items():
        if name not in graph:
            raise InputError(f"the graph of the model at {location} has no {noun} '{name}', which its signature names")
        if graph[name] != kind:
            raise InputError(f"the graph of the model at {location} has {noun} '{name}' of type {graph[name]}; "
                             f"its signature needs {kind}")  # fmt: skip
    extra = next((name for name in graph if name not in signature), None)
    if extra is not None:
        raise InputError(f"the graph of the model at {location} has {noun} '{extra}', which its signature does not name")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
