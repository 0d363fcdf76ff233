"""A repository for NVIDIA's Triton: the graph, and the configuration that Triton would otherwise guess.

    <repository>/<name>/config.pbtxt
    <repository>/<name>/<version>/model.onnx
    <repository>/<name>/signature.json, tokenizer.json    for clients; Triton passes them over

Triton runs the graph and nothing around it, so its inputs are the graph's own: a boolean and a number are FP32 with NaN where
they are missing, a time is INT64 microseconds since 1970, a text with a tokenizer is its ids. Every input must be there.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagewright.components.export.targets.exported import Exported
from stagewright.components.export.targets.protobuf_text import Enumerator, text
from stagewright.components.runtime import folders
from stagewright.components.runtime.errors import BadParameter, InputError, one_of
from stagewright.components.runtime.fingerprint import BASELINE, GRAPH
from stagewright.components.runtime.model import FEATURES, SERVING
from stagewright.components.runtime.naming import Version, model_name
from stagewright.components.runtime.parity import TOLERANCE_COLUMN
from stagewright.components.runtime.signature import FILE as SIGNATURE
from stagewright.components.runtime.signature import Input, Signature

CONFIG, REPOSITORY = "config.pbtxt", "repository"
ACCELERATORS = ("none", "tensorrt", "tensorrt-fp16")
SERVER = "Triton"
_TYPES = {"float": "TYPE_FP32", "int64": "TYPE_INT64", "string": "TYPE_STRING", "uint8": "TYPE_UINT8"}
_ANSWERS = {"BYTES": "TYPE_STRING", "INT64": "TYPE_INT64", "BOOL": "TYPE_BOOL", "FP32": "TYPE_FP32"}
_WORKSPACE_BYTES = 1 << 30
_TOKENS_TO_WARM = 8
HALF_TOLERANCE = 2e-2  # of a probability that TensorRT computes in half precision

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Options:
    """How Triton runs a model.

    Attributes:
        max_batch_size: Most rows that Triton puts together.
        queue_microseconds: Longest time that a request waits for others.
        instances: Copies of the model on each device.
        gpu: Run on the GPUs that there are; otherwise on the CPU.
        accelerator: none, tensorrt, or tensorrt-fp16 for half precision; on GPUs only.
        warmup: Whether a row of zeros is answered before Triton calls the model ready.
    """

    max_batch_size: int = 256
    queue_microseconds: int = 500
    instances: int = 1
    gpu: bool = True
    accelerator: str = "none"
    warmup: bool = True

    def check(self) -> None:
        """Refuse what cannot be.

        Raises:
            BadParameter: Naming the option.
        """
        one_of("accelerator", self.accelerator, ACCELERATORS)
        for name, least in (("max_batch_size", 1), ("instances", 1), ("queue_microseconds", 0)):
            if getattr(self, name) < least:
                raise BadParameter(name, got=getattr(self, name), expected=f"a whole number of at least {least}")
        if self.accelerator != "none" and not self.gpu:
            raise BadParameter("accelerator", got=self.accelerator, expected="none on a CPU: TensorRT runs on GPUs")


def write_repository(
    folder: str | Path, repository: str | Path, *, name: str, version: int = 1, options: Options | None = None
) -> Path:
    """Write a model's place in a repository; other models there stay.

    Args:
        folder: An exported model.
        repository: The repository's root, made if it is not there.
        name: The model's name, which KServe wants to be the service's.
        version: Triton's version, a whole number.

    Returns:
        The model's folder in the repository.

    Raises:
        InputError: If the model has no graph, or decides elsewhere than its graph.
        BadParameter: For an option that cannot be.
    """
    options = options or Options()
    options.check()
    if version < 1:
        raise BadParameter("version", got=version, expected="a whole number of at least 1")
    model = Exported.read(folder)
    model.require_threshold(SERVER)
    place = Path(repository) / model_name(name)
    with folders.atomic_folder(place) as made:
        (made / CONFIG).write_text(config(model.signature, name=name, options=options), encoding="utf-8")
        (made / str(version)).mkdir()
        (made / str(version) / GRAPH).write_bytes(model.graph)
        for path in (model.serving / SIGNATURE, *model.tokenizers):
            shutil.copy(path, made / path.name)
    return place


def config(signature: Signature, *, name: str, options: Options) -> str:
    """The model's configuration, as text of Triton's `ModelConfig`."""
    document: Document = {
        "name": name,
        "backend": "onnxruntime",
        "max_batch_size": options.max_batch_size,
        "input": [_input(column) for column in signature.inputs],
        "output": [_output(output) for output in signature.outputs],
        "dynamic_batching": {"max_queue_delay_microseconds": options.queue_microseconds},
        "instance_group": {"count": options.instances, "kind": Enumerator("KIND_GPU" if options.gpu else "KIND_CPU")},
        "optimization": _optimization(options),
        "model_warmup": _warmup(signature) if options.warmup else None,
    }
    return text(document)


def triton_version(version: str) -> int:
    """A version of ours as Triton's whole number, so that a client can ask for this very one.

    >>> triton_version("v1.2.3")
    1002003

    Raises:
        BadParameter: For a version whose parts do not fit.
    """
    parsed = Version.parse(version)
    if max(parsed.minor, parsed.patch) > 999 or parsed.major > 2000 or parsed.major < 1:
        raise BadParameter("version", got=version, expected="a version from v1.0.0 to v2000.999.999 for Triton")
    return parsed.major * 1_000_000 + parsed.minor * 1_000 + parsed.patch


def write_variant(folder: str | Path, variant: str | Path, *, name: str, version: str, options: Options | None = None) -> None:
    """Write a folder that `publish_variant` publishes: the repository, and what proves that it answers as it should.

    `serving/` of the variant has the graph, marked with the configuration it is run with, and a baseline whose columns are the
    graph's own inputs, as Triton takes them.

    Args:
        folder: An exported model with a baseline.
        version: The model's version, whose number becomes Triton's.
    """
    import onnx

    options = options or Options()
    model = Exported.read(folder)
    with folders.atomic_folder(variant) as made:
        place = write_repository(folder, made / REPOSITORY, name=name, version=triton_version(version), options=options)
        serving = made / SERVING
        serving.mkdir()
        for path in (model.serving / SIGNATURE, *model.tokenizers):
            shutil.copy(path, serving / path.name)
        graph = onnx.load_model_from_string(model.graph)
        mark = graph.metadata_props.add()
        mark.key, mark.value = "triton_config", hashlib.sha256((place / CONFIG).read_bytes()).hexdigest()
        (serving / GRAPH).write_bytes(graph.SerializeToString(deterministic=True))
        if model.baseline is not None:
            _baseline(Path(folder), model, options).write_parquet(serving / BASELINE)


def _baseline(folder: Path, model: Exported, options: Options) -> Any:
    """The baseline's complete rows, each column as the graph takes it: JSON has no way to say NaN to Triton."""
    import numpy as np
    import polars as pl

    from stagewright.components.runtime import columns
    from stagewright.components.runtime.feature_graph import FeatureGraph

    rows = pl.read_parquet(model.baseline)  # type: ignore[arg-type]
    features = folder / FEATURES
    feeds = FeatureGraph.load(features).feeds(rows) if features.is_dir() else columns.feeds(rows, model.signature.inputs)
    whole = np.ones(rows.height, dtype=bool)
    for values in feeds.values():
        if values.dtype == np.float32:
            whole &= ~np.isnan(values.reshape(rows.height, -1)).any(axis=1)
    if not whole.any():
        raise InputError("every row of the model's baseline has a missing number, which no request to Triton can carry")
    frame = pl.DataFrame({name: _column(values[whole]) for name, values in feeds.items()})
    answers = rows.select(name for name in rows.columns if name.startswith("__")).filter(pl.Series(whole))
    if options.accelerator == "tensorrt-fp16":
        answers = answers.with_columns(pl.lit(HALF_TOLERANCE).alias(TOLERANCE_COLUMN))
    return pl.concat([frame, answers], how="horizontal")


def _column(values: Any) -> Any:
    """A feed as a column: single values flat, tensors as arrays of their shape."""
    import polars as pl

    if values.shape[1:] == (1,):
        flat = values.reshape(-1)
        return pl.Series(flat.tolist(), dtype=pl.String) if flat.dtype == object else pl.Series(flat)
    return pl.Series(values.reshape(len(values), *values.shape[1:]))


def _input(column: Input) -> Document:
    dims = [-1 if size is None else size for size in column.graph_shape]
    return {"name": column.name, "data_type": Enumerator(_TYPES[column.graph_type]), "dims": dims}


def _output(output: Document) -> Document:
    """One number a row has no dimension of its own in the graph, and Triton allows none: it is given one and loses it."""
    answered = {"name": output["name"], "data_type": Enumerator(_ANSWERS[output["datatype"]])}
    sizes = output["shape"][1:]
    return answered | ({"dims": sizes} if sizes else {"dims": [1], "reshape": {"shape": []}})


def _optimization(options: Options) -> Document | None:
    if options.accelerator == "none":
        return None
    precision = "FP16" if options.accelerator == "tensorrt-fp16" else "FP32"
    parameters = {"precision_mode": precision, "max_workspace_size_bytes": str(_WORKSPACE_BYTES)}
    listed = [{"key": key, "value": value} for key, value in parameters.items()]
    return {"execution_accelerators": {"gpu_execution_accelerator": {"name": "tensorrt", "parameters": listed}}}


def _warmup(signature: Signature) -> Document:
    """One row of zeros and empty texts."""
    inputs = []
    for column in signature.inputs:
        shown = _input(column)
        dims = [_TOKENS_TO_WARM if size == -1 else size for size in shown["dims"]]
        inputs.append({"key": column.name, "value": {"data_type": shown["data_type"], "dims": dims, "zero_data": True}})
    return {"name": "one row", "batch_size": 1, "inputs": inputs}
