"""Preprocessing for networks that read one image, one tensor or one text: normalized pixels or token ids.

An image becomes its normalized pixels, flattened. A text becomes token ids, padded to `max_tokens`; float32 represents every id
below 2^24 exactly. Other columns are dropped.
"""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import numpy as np

from stagewright.components.features.graph import Graph
from stagewright.components.features.options import ImageOptions, TensorOptions
from stagewright.components.features.specification import ColumnPlan, Plan
from stagewright.components.features.training_split import TrainingSplit
from stagewright.components.runtime import columns, tokens
from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.feature_graph import BATCH_BYTES, Feature
from stagewright.components.runtime.frameworks import specification
from stagewright.components.runtime.language import base_model
from stagewright.components.runtime.signature import TENSOR_KINDS, Input

# Mean and deviation of ImageNet's colours, from 0 to 1, which pretrained networks expect.
_IMAGENET = (np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]))


def fit(chosen: Plan, table: TrainingSplit, framework: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Fit the one column that a network reads.

    Returns:
        `inputs`, `outputs`, `graph`, `dropped` and `files` of a FeatureGraph.

    Raises:
        InputError: If there is no such column or more than one, or its values cannot be used.
    """
    kinds = specification(framework).reads
    noun = kinds[0]
    usable = [column for column in chosen.columns if column.kind in kinds]
    if not usable:
        raise InputError(
            f"framework '{framework}' reads one column of kind {' or '.join(kinds)}, and the table has none; "
            f"name its kind in the features specification, or choose another framework"
        )
    if len(usable) > 1:
        names = ", ".join(f"'{column.name}'" for column in usable)
        raise InputError(f"framework '{framework}' reads one {noun}, and columns {names} are; drop all but one in the features")
    only = usable[0]
    dropped = {c.name: f"{framework} reads one {noun}" for c in chosen.columns if c is not only}
    fitted = _tokens(only, params) if only.kind == "text" else _values(only, table, params)
    return fitted | {"dropped": chosen.dropped | dropped}


def _tokens(column: ColumnPlan, params: Mapping[str, Any]) -> dict[str, Any]:
    place, wanted = params.get("model", ""), params.get("max_tokens")
    if not isinstance(place, str):
        raise BadParameter("params.model", got=place, expected="the folder of a base model")
    with base_model(place) as base:
        content = base.tokenizer
        # A whole number of a pipeline's JSON parameter arrives as 64.0.
        most = (
            base.max_tokens if wanted is None else int(wanted) if isinstance(wanted, float) and wanted.is_integer() else wanted
        )
        limit = base.config.get("max_position_embeddings") or most
    if not isinstance(most, int) or isinstance(most, bool) or not 1 < most <= limit:
        raise BadParameter(
            "params.max_tokens", got=wanted, expected=f"a whole number of at most {limit}, what the base model takes"
        )
    known = tokens.Tokens(content, most, source=f"{place}/{tokens.FILE}")
    given = Input(column.name, column.kind, nullable=True, tokenizer=tokens.FILE, max_tokens=most)
    feature = Feature(column.name, column.name, "token_ids", known.size, (most,), known.pad)
    graph = Graph([given])
    return {
        "inputs": (given,),
        "outputs": (feature,),
        "graph": graph.build(graph.cast(column.name, np.float32), shape=["N", "L"]),
        "files": {tokens.FILE: content},
    }


def _values(column: ColumnPlan, table: TrainingSplit, params: Mapping[str, Any]) -> dict[str, Any]:
    shape = table.shape(column)
    if len(shape) != 3:
        raise InputError(f"column '{column.name}' holds arrays of shape {list(shape)}; a picture is [channels, height, width]")
    mean, deviation = _scale(column, shape, table, params)
    given = Input(column.name, column.kind, nullable=False, shape=shape)
    graph = Graph([given])
    values = graph.cast(column.name, np.float32) if column.kind == "image" else column.name
    per_channel = (1, shape[0], 1, 1)
    centred = graph.apply("Sub", values, graph.constant(mean.reshape(per_channel), np.float32))
    scaled = graph.apply("Mul", centred, graph.constant(1 / deviation.reshape(per_channel), np.float32))
    flat = graph.apply("Reshape", scaled, graph.constant([-1, prod(shape)], np.int64))
    feature = Feature(column.name, column.name, "pixels" if column.kind == "image" else "values", shape=shape)
    return {"inputs": (given,), "outputs": (feature,), "graph": graph.build(flat, shape=["N", prod(shape)]), "files": {}}


def _scale(
    column: ColumnPlan, shape: tuple[int, ...], table: TrainingSplit, params: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, [C] each, in units of the column."""
    channels = shape[0]
    method: str = column.options.normalize if isinstance(column.options, ImageOptions | TensorOptions) else "auto"
    if method == "auto":
        method = "imagenet" if params.get("weights") else "standard"
    if method == "none":
        return np.zeros(channels), np.ones(channels)
    if method == "unit":
        return np.zeros(channels), np.full(channels, 255.0)
    if method == "imagenet":
        if channels not in (1, 3):
            raise InputError(
                f"column '{column.name}' has {channels} channels; normalize 'imagenet' is for grey or colour images"
            )
        mean, deviation = (255 * np.resize(part if channels == 3 else part.mean(), channels) for part in _IMAGENET)
        return mean, deviation
    return _moments(column, shape, table)


def _moments(column: ColumnPlan, shape: tuple[int, ...], table: TrainingSplit) -> tuple[np.ndarray, np.ndarray]:
    count, total, squares = 0, np.zeros(shape[0]), np.zeros(shape[0])
    for block in _blocks(column, shape, table):
        values = block.astype(np.float64)
        count += values.size // shape[0]
        total += values.sum(axis=(0, 2, 3))
        squares += (values**2).sum(axis=(0, 2, 3))
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return mean, np.where(deviation > 0, deviation, 1.0)


def _blocks(column: ColumnPlan, shape: tuple[int, ...], table: TrainingSplit) -> Iterator[np.ndarray]:
    rows = max(1, BATCH_BYTES // (8 * prod(shape)))
    for part in table.batches([column.name], rows):
        block = columns.arrays(part.get_column(column.name), column.kind, shape)
        if column.kind in TENSOR_KINDS and not np.isfinite(block).all():
            raise InputError(f"column '{column.name}' holds a number that is missing or infinite; repair it in the data")
        yield block
