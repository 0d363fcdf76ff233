"""Inputs of a graph from the rows of a table, and its predictions."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl

from stagewright.components.runtime import columns
from stagewright.components.runtime.feature_graph import FeatureGraph
from stagewright.components.runtime.model import FEATURES, SERVING, Predictions
from stagewright.components.runtime.parity import difference
from stagewright.components.runtime.signature import Signature

Feeds = dict[str, np.ndarray]
ToFeeds = Callable[[pl.DataFrame], Feeds]
ANSWERED_ROWS = 64  # at a time: texts are padded to the longest of a batch
LONE_ROWS = 100  # asked alone too


def feeding(folder: Path) -> ToFeeds:
    """How a model's graph is fed from a table: by its fitted features, or by its signature if it was imported without."""
    if (folder / FEATURES).is_dir():
        return FeatureGraph.load(folder / FEATURES).feeds
    signature = Signature.read(folder / SERVING)
    return lambda table: columns.feeds(table, signature.inputs)


def batches(table: pl.DataFrame, rows: int) -> Iterator[pl.DataFrame]:
    """A table in parts of at most so many rows."""
    for start in range(0, table.height, rows):
        yield table.slice(start, rows)


def answer(
    session: onnxruntime.InferenceSession,
    feeds: ToFeeds,
    table: pl.DataFrame,
    signature: Signature,
    *,
    rows: int = ANSWERED_ROWS,
) -> Predictions:
    """Predictions of a served graph for a table, in batches of `rows`."""
    names = Predictions.output_names(signature.classes)
    parts = [session.run(names, feeds(part)) for part in batches(table, rows)]
    return predictions(dict(zip(names, (np.concatenate(part) for part in zip(*parts, strict=True)), strict=True)), signature)


def predictions(outputs: Mapping[str, np.ndarray], signature: Signature) -> Predictions:
    """A graph's outputs as predictions, with labels by the signature's threshold, as the predictor decides them."""
    found = Predictions.from_outputs(outputs)
    if found.labels is None or found.probabilities is None or signature.task != "binary" or signature.threshold == 0.5:
        return found
    classes = np.array(signature.classes, dtype=found.labels.dtype)
    return replace(found, labels=classes[(found.probabilities[:, 1] >= np.float32(signature.threshold)).astype(np.int64)])


def batch_effect(
    session: onnxruntime.InferenceSession,
    feeds: ToFeeds,
    table: pl.DataFrame,
    signature: Signature,
    together: Predictions,
    spread: float,
) -> float:
    """Largest difference between a row's answer alone and among others.

    Activations that are scaled as they come are scaled for a batch as a whole: its largest number decides for all its rows.

    Args:
        together: What the graph answered for the table in batches.
        spread: Of the target; see `distance`.
    """
    few = table.head(LONE_ROWS)
    alone = answer(session, feeds, few, signature, rows=1)
    return float(distance(numbers(alone), numbers(together)[: few.height], spread).max())


def numbers(answered: Predictions) -> np.ndarray:
    """Probabilities [N, C], or values [N], as float64."""
    return np.asarray(answered.values if answered.probabilities is None else answered.probabilities, np.float64)


def distance(ours: np.ndarray, theirs: np.ndarray, spread: float) -> np.ndarray:
    """Differences of probabilities, or of values as shares of the target's spread, as a smoke test tells them."""
    return np.abs(ours - theirs) if ours.ndim > 1 else difference(theirs, ours, spread)


def calibration(
    features: onnxruntime.InferenceSession | None, names: tuple[str, ...], feeds: ToFeeds, table: pl.DataFrame
) -> list[Feeds]:
    """What the estimator is fed with for some rows, in batches of one size, as calibrating wants them.

    Args:
        features: The graph up to the estimator; None where the estimator takes the raw columns.
        names: What the estimator takes.
    """
    size = min(32, table.height)
    found = []
    for part in batches(table.head(table.height // size * size), size):
        given = feeds(part)
        if features is not None:
            made = [output.name for output in features.get_outputs()]
            given |= dict(zip(made, features.run(made, given), strict=True))
        found.append({name: given[name] for name in names})
    return found
