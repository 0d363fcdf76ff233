"""Chunked inference of images, tensors and texts: all rows at once would need gigabytes for intermediate results."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod

import numpy as np

from stagewright.components.runtime.signature import TENSOR_KINDS, TOKENS_AT_ONCE, VALUES_AT_ONCE, Input

Arrays = Mapping[str, np.ndarray]


def is_large(inputs: Sequence[Input]) -> bool:
    """Whether a column of the model holds more than one value a row."""
    return any(given.kind in TENSOR_KINDS or given.tokenizer is not None for given in inputs)


def run_chunked(run: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]], feeds: Arrays) -> dict[str, np.ndarray]:
    """Outputs for all rows, computed by as many inferences as the input sizes need.

    Args:
        run: Computes one inference.
        feeds: Graph inputs, each [N, ...]; token ids are int64 [N, L].

    Returns:
        Outputs by name, each [N, ...].
    """
    parts = [run(part) for part in _chunks(feeds)]
    return parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _chunks(feeds: Arrays) -> Iterator[dict[str, np.ndarray]]:
    rows = len(next(iter(feeds.values())))
    at_once = max(1, min(_fitting(feed) for feed in feeds.values()))
    for start in range(0, rows, at_once):
        yield {name: feed[start : start + at_once] for name, feed in feeds.items()}


def _fitting(feed: np.ndarray) -> int:
    """Number of an input's rows that fit into one inference."""
    most = TOKENS_AT_ONCE if feed.dtype == np.int64 else VALUES_AT_ONCE
    return most // max(1, prod(feed.shape[1:]))
