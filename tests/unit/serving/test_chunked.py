"""Large inputs are answered by several inferences."""

import numpy as np

from stagewright.components.predictor.inference.chunked import is_large, run_chunked
from stagewright.components.runtime.signature import TOKENS_AT_ONCE, VALUES_AT_ONCE, Input


def test_tokens_and_pixels_are_answered_in_portions() -> None:
    sizes = []

    def run(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        (feed,) = feeds.values()
        sizes.append(len(feed))
        return {"sum": feed.reshape(len(feed), -1).sum(axis=1, dtype=np.int64)}

    ids = np.arange(300 * 128).reshape(300, 128)
    answered = run_chunked(run, {"text": ids})
    assert sizes == [128, 128, 44] == [TOKENS_AT_ONCE // 128] * 2 + [44]
    assert np.array_equal(answered["sum"], ids.sum(axis=1))

    sizes.clear()
    images = np.ones((20, 3, 512, 512), np.uint8)
    assert np.array_equal(run_chunked(run, {"image": images})["sum"], np.full(20, 3 * 512 * 512))
    assert max(sizes) == VALUES_AT_ONCE // (3 * 512 * 512)


def test_a_row_that_is_larger_than_a_portion_is_answered_alone() -> None:
    lengths = []
    image = np.zeros((2, 1, 2048, 2048), np.uint8)

    run_chunked(lambda feeds: {"y": np.zeros(lengths.append(len(feeds["x"])) or 1)}, {"x": image})

    assert lengths == [1, 1]


def test_only_images_tensors_and_tokens_are_large() -> None:
    assert not is_large([Input("x", "numeric"), Input("t", "text")])
    assert is_large([Input("x", "image", shape=(1, 8, 8))])
    assert is_large([Input("t", "text", tokenizer="tokenizer.json", max_tokens=16)])
