"""One inference at a time of what networks compute: many images or long texts at once would need gigabytes in between."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod

import numpy as np

from stagewright.components.runtime.signature import TENSOR_KINDS, TOKENS_AT_ONCE, VALUES_AT_ONCE, Input

Arrays = Mapping[str, np.ndarray]


def is_large(inputs: Sequence[Input]) -> bool:
    """Whether a row of the model is more than single values."""
    return any(given.kind in TENSOR_KINDS or given.tokenizer is not None for given in inputs)


def run_chunked(run: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]], feeds: Arrays) -> dict[str, np.ndarray]:
    """Outputs for all rows, answered by as many inferences as their sizes need.

    Args:
        run: One inference.
        feeds: Graph inputs; token ids are int64 [N, L].
    """
    parts = [run(part) for part in _chunks(feeds)]
    return parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _chunks(feeds: Arrays) -> Iterator[dict[str, np.ndarray]]:
    rows = len(next(iter(feeds.values())))
    at_once = max(1, min(_fitting(feed) for feed in feeds.values()))
    for start in range(0, rows, at_once):
        yield {name: feed[start : start + at_once] for name, feed in feeds.items()}


def _fitting(feed: np.ndarray) -> int:
    """Rows of an input that one inference takes."""
    most = TOKENS_AT_ONCE if feed.dtype == np.int64 else VALUES_AT_ONCE
    return most // max(1, prod(feed.shape[1:]))
