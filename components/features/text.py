"""Text columns as TF-IDF. The graph itself lower-cases and splits texts, in fitting too, so that training and serving agree.

A word is two or more letters, marks, digits or underscores of any script. Weights are those of scikit-learn's TfidfVectorizer:
idf = ln((1 + rows) / (1 + rows with the word)) + 1, rows of length one by default.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from onnx import TensorProto

from stagewright.components.features.graph import MICROSOFT, Block, Graph
from stagewright.components.features.options import TextOptions
from stagewright.components.features.specification import ColumnPlan
from stagewright.components.runtime.feature_graph import OUTPUT, Feature, batch_rows, session
from stagewright.components.runtime.signature import Input

WORD = r"[\p{L}\p{M}\p{N}_]{2,}"
# In every Linux image, unlike en_US.UTF-8, and the same letters: the runtime needs a locale to know what is upper case.
LOCALE = "C.UTF-8"


@dataclass(frozen=True, slots=True)
class TextFit:
    """What was learned from one column.

    Attributes:
        words: Words in the order of their features.
        weights: Inverse document frequency of each word.
    """

    name: str
    words: tuple[str, ...]
    weights: tuple[float, ...]
    sublinear: bool
    norm: str

    def features(self) -> tuple[Feature, ...]:
        return tuple(Feature(f"{self.name}: {word}", self.name, "tfidf") for word in self.words)


def fit(plan: ColumnPlan, values: pl.Series) -> TextFit:
    """Learn the words of one column.

    Args:
        values: Values of the training split, [N] String, "" where missing.

    Raises:
        TypeError: If the column is not text.
    """
    options = plan.options
    if not isinstance(options, TextOptions):
        raise TypeError(f"{plan.name} is not text")
    split = Splitter()
    rows = len(values)
    at_once = batch_rows(values.to_frame(plan.name), [Input(plan.name, "text")], width=1)
    totals = (
        pl.concat([_counted(split(values.slice(start, at_once))) for start in range(0, rows, at_once)])
        .group_by("word")
        .agg(pl.col("count").sum(), pl.col("rows").sum())
    )
    frequent = totals.filter(pl.col("rows") >= options.min_documents).sort(["count", "word"], descending=[True, False])
    kept = frequent.head(options.max_features).sort("word")
    weights = np.log((1 + rows) / (1 + kept.get_column("rows").to_numpy())) + 1
    words = tuple(kept.get_column("word"))
    return TextFit(plan.name, words, tuple(float(weight) for weight in weights), options.sublinear, options.norm)


def write(graph: Graph, fits: Sequence[TextFit]) -> list[Block]:
    """Write text columns one after the other."""
    return [Block(_tfidf(graph, fit), fit.features()) for fit in fits]


class Splitter:
    """Splits texts into words with the operations of the graph."""

    def __init__(self) -> None:
        graph = Graph([Input("text", "text")])
        self._session = session(graph.build(_words(graph, "text"), element=TensorProto.STRING, shape=["N", "words"]))

    def __call__(self, texts: pl.Series) -> np.ndarray:
        """Words of each text, [N, words of the longest text], padded with ""."""
        return self._session.run([OUTPUT], {"text": texts.to_numpy().reshape(-1, 1)})[0]


def _words(graph: Graph, column: str) -> str:
    flat = graph.apply("Reshape", column, graph.constant([-1], np.int64))
    lower = graph.apply("StringNormalizer", flat, case_change_action="LOWER", is_case_sensitive=1, locale=LOCALE)
    return graph.apply("Tokenizer", lower, domain=MICROSOFT, mark=0, pad_value="", mincharnum=1, tokenexp=WORD)


def _tfidf(graph: Graph, fit: TextFit) -> str:
    size = len(fit.words)
    counts = graph.apply(
        "TfIdfVectorizer", _words(graph, fit.name), mode="TF", min_gram_length=1, max_gram_length=1, max_skip_count=0,
        ngram_counts=[0], ngram_indexes=list(range(size)), pool_strings=list(fit.words),
    )  # fmt: skip
    if fit.sublinear:
        one = graph.constant(1.0, np.float32)
        # log(max(count, 1)) + 1 where there is a word, 0 where there is none.
        grown = graph.apply("Add", graph.apply("Log", graph.apply("Max", counts, one)), one)
        counts = graph.apply("Mul", grown, graph.apply("Min", counts, one))
    weighted = graph.apply("Mul", counts, graph.constant([fit.weights], np.float32))
    if fit.norm == "none":
        return weighted
    length = graph.apply("ReduceL2", weighted, graph.constant([1], np.int64), keepdims=1)
    # A row without words stays zero; a row with one is at least as long as its least weight, which is 1.
    return graph.apply("Div", weighted, graph.apply("Max", length, graph.constant(1e-6, np.float32)))


def _counted(words: np.ndarray) -> pl.DataFrame:
    """Number of occurrences of each word, and of texts that contain it."""
    text = np.repeat(np.arange(words.shape[0]), words.shape[1])
    pairs = pl.DataFrame({"text": text, "word": pl.Series(words.ravel().tolist(), dtype=pl.String)})
    known = pairs.filter(pl.col("word") != "").group_by("word")
    return known.agg(pl.len().cast(pl.Int64).alias("count"), pl.col("text").n_unique().cast(pl.Int64).alias("rows"))
