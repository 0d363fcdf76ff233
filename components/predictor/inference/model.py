"""A model in memory: its graph in ONNX Runtime, checked against its signature."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, Self

import numpy as np
import onnxruntime as ort

from stagewright.components.predictor.inference.chunked import is_large, run_chunked
from stagewright.components.predictor.inference.columns import Columns, Feeds
from stagewright.components.predictor.inference.session import Session
from stagewright.components.predictor.model_source import ModelFiles
from stagewright.components.predictor.trees.native import LEAST_ROWS
from stagewright.components.predictor.wire.tensors import NUMPY
from stagewright.components.runtime import logs, serving_settings
from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.serving_settings import ServingSettings
from stagewright.components.runtime.signature import Input, Signature

Outputs = Mapping[str, np.ndarray]

_LABELS = {"BYTES": "tensor(string)", "INT64": "tensor(int64)", "BOOL": "tensor(bool)"}
FOREIGN = "onnx"  # framework of an imported graph
REHEARSAL_SECONDS = 30.0  # longest time of a model's first inference
_BLANK = {"float": np.float32(0), "int64": np.int64(0), "uint8": np.uint8(0), "string": ""}


class Model(Protocol):
    """A model as the server uses it.

    Attributes:
        outputs: Outputs as in V2's metadata.
        platform: Platform as in V2's metadata.
        settings: Serving settings; the server chooses those that are None.
    """

    name: str
    version: str | None
    signature: Signature
    columns: Columns
    outputs: list[dict[str, Any]]
    platform: str
    settings: ServingSettings

    def run(self, feeds: Feeds) -> Mapping[str, np.ndarray]:
        """Outputs by name, each [N, ...], for graph inputs, each [N, ...]. Thread-safe.

        Raises:
            Exception: If the model cannot compute these rows."""

    def close(self) -> None:
        """Release the model's resources. Called after its last inference."""


class OnnxModel:
    """An ONNX graph with its signature."""

    platform = "onnxruntime_onnx"

    def __init__(
        self, name: str, version: str | None, signature: Signature, session: Session,
        settings: ServingSettings | None = None, extras: Mapping[str, bytes] | None = None,
    ) -> None:  # fmt: skip
        self.name, self.version, self.signature = name, version, signature
        self.settings = settings or ServingSettings()
        self.columns = Columns(signature.inputs, extras, bounded=signature.framework == FOREIGN)
        self.outputs: list[dict[str, Any]] = signature.outputs
        self.session = session
        self._large = is_large(signature.inputs)
        self._names = [output["name"] for output in self.outputs]

    @classmethod
    def load(
        cls,
        files: ModelFiles,
        name: str,
        *,
        version: str | None = None,
        threads: int = 1,
        overrides: Mapping[str, Any] | None = None,
    ) -> Self:
        """Build the session, compare graph and signature, and run one row as a warm-up.

        Args:
            version: Version to report instead of the manifest's.
            threads: ONNX Runtime's threads for one inference; the model's settings take precedence.
            overrides: Fields of ServingSettings that take precedence over the model's `settings.json`.

        Raises:
            InputError: If the graph is corrupt or does not fit the signature, or the settings are invalid.
        """
        signature = _signature(files)
        settings = _settings(files, threads, overrides or {})
        session = _session(files, settings)
        _check(files.location, session.runtime, signature)
        model = cls(name, version or files.version, signature, session, settings, files.extras)
        model._rehearse(files.location)
        return model

    def close(self) -> None:
        """Do nothing: ONNX Runtime frees the session with its last reference."""

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        """Outputs by name for inputs [N, ...]: `label` [N] and `probabilities` [N, C], or `prediction` [N]."""
        outputs = run_chunked(self._answer, feeds) if self._large else self._answer(feeds)
        if "prediction" in outputs:
            return {"prediction": outputs["prediction"].reshape(-1)}
        outputs["label"] = outputs["label"].reshape(-1)
        return outputs if self.signature.threshold == 0.5 else self._decide_again(outputs)

    def _answer(self, feeds: Feeds) -> dict[str, np.ndarray]:
        return dict(zip(self._names, self.session.run(self._names, feeds), strict=True))

    def _decide_again(self, outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Recompute binary labels with the signature's threshold. The graph decides at 0.5."""
        if self.signature.task == "binary" and self.signature.classes is not None:
            classes = np.array(self.signature.classes, dtype=outputs["label"].dtype)
            outputs["label"] = classes[(outputs["probabilities"][:, 1] >= np.float32(self.signature.threshold)).astype(int)]
        return outputs

    def _rehearse(self, location: str) -> None:
        """Run one inference before the first request. It finds graphs that load but cannot run."""
        feeds = {given.name: self._blank(given) for given in self.signature.inputs}
        try:
            self.session.rehearse(self._names, feeds, REHEARSAL_SECONDS)
            outputs = self.run(feeds)
        except TimeoutError:
            raise InputError(
                f"the model at {location} did not compute one row within {REHEARSAL_SECONDS:g} seconds; it may never end"
            ) from None
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors share no base class
            raise InputError(f"the model at {location} loads but cannot compute a row: {_first_line(error)}") from None
        self.session.prove({name: _varied(np.repeat(row, LEAST_ROWS, axis=0)) for name, row in feeds.items()})
        for output in self.outputs:
            expected = tuple(1 if size == -1 else size for size in output["shape"])
            got = outputs[output["name"]].shape
            if got != expected:
                raise InputError(f"the model at {location} answers '{output['name']}' of shape {list(got)} for one row; "
                                 f"its signature says {list(expected)}")  # fmt: skip

    def _blank(self, given: Input) -> np.ndarray:
        """A blank row [1, ...]: zeros, an empty text, or the tokens of a short text."""
        if given.tokenizer is not None:
            return self.columns.find(given.name).from_values(["a"])
        if given.exact is not None:
            return np.zeros((1, *given.shape), dtype=NUMPY[given.exact])
        value = _BLANK[given.graph_type]
        return np.full((1, *given.shape), value, dtype=object if value == "" else None)


def _varied(rows: np.ndarray) -> np.ndarray:
    """The same rows [N, ...] with random numbers if they are floats."""
    if rows.dtype.kind != "f":
        return rows
    return np.random.default_rng(0).normal(scale=10.0, size=rows.shape).astype(rows.dtype)


def _settings(files: ModelFiles, threads: int, overrides: Mapping[str, Any]) -> ServingSettings:
    """The model's own settings, with the overrides of the command line."""
    content = files.extras.get(serving_settings.FILE)
    location = f"{serving_settings.FILE} of the model at {files.location}"
    own = ServingSettings() if content is None else ServingSettings.parse(content, location)
    chosen = replace(own, **overrides)
    return chosen if chosen.threads is not None else replace(chosen, threads=threads)


def _signature(files: ModelFiles) -> Signature:
    try:
        return Signature.from_dict(read_json(files.signature))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the signature of the model at {files.location} is malformed: {type(error).__name__} {error}"
        ) from None


def _check(location: str, session: ort.InferenceSession, signature: Signature) -> None:
    """Compare the graph's inputs and outputs with the signature's, by name, element type and shape."""
    expected = {given.name: f"tensor({given.graph_type})" for given in signature.inputs}
    nodes = {node.name: node for node in session.get_inputs()}
    _compare(location, "input", {name: node.type for name, node in nodes.items()}, expected)
    for given in signature.inputs:
        shape = nodes[given.name].shape
        if not _fits(shape, given.graph_shape):
            sizes = ", ".join("tokens" if size is None else str(size) for size in given.graph_shape)
            raise InputError(f"the model at {location} takes input '{given.name}' of shape {shape}; expected [rows, {sizes}]")
    number = "tensor(double)" if signature.answers == "FP64" else "tensor(float)"
    answers = {"prediction": number}
    if signature.classes is not None:
        answers = {"label": _LABELS[signature.label_datatype], "probabilities": number}
    outputs = {node.name: node.type for node in session.get_outputs() if node.name in answers}
    _compare(location, "output", outputs, answers)


def _session(files: ModelFiles, settings: ServingSettings) -> Session:
    try:
        session = Session(files.graph, settings)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors share no base class
        raise InputError(f"model.onnx of the model at {files.location} cannot be loaded: {_first_line(error)}") from None
    if session.trees is not None:
        logs.event("trees_compiled", location=files.location, trees=len(session.trees.forest.trees))
    return session


def _fits(shape: Sequence[int | str | None], row: tuple[int | None, ...]) -> bool:
    """Whether a graph's input takes any number of rows of this shape. Open sizes of the graph are not integers."""
    if len(shape) != len(row) + 1 or isinstance(shape[0], int):
        return False
    return all(not isinstance(own, int) or own == size for own, size in zip(shape[1:], row, strict=True))


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
