"""TF-IDF against scikit-learn's TfidfVectorizer."""

import unicodedata
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from stagewright.components.features.text import Splitter

ENGLISH = [
    "The agent was helpful; the line was NOT.", "Don't call again!", "a b c", "", "Very helpful agent, very quick",
    "line dropped -- twice?? re-connected_after 42 minutes", "   ", "helpful", "x1 x2 x1",
]  # fmt: skip
WORLD = [
    "Ärger über Größe, ÄRGER!", "東京 は 大きい。東京", "नमस्ते दुनिया, नमस्ते", "Привет МИР привет", "naïve café — CAFÉ",
    "emoji 🙂🙂 only", "", "١٢٣ ٤٥ عربي", "e\u0301cole", "Œuvre œuvre",
]  # fmt: skip


def words(text: str) -> list[str]:
    """Two or more letters, marks, digits or underscores, by Python's own knowledge of Unicode."""
    lower = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    spaced = "".join(c if unicodedata.category(c)[0] in "LMN" or c == "_" else " " for c in lower)
    return [word for word in spaced.split(" ") if len(word) > 1]


@pytest.mark.parametrize("sublinear", [False, True])
@pytest.mark.parametrize("norm", ["l2", "none"])
@pytest.mark.parametrize("texts", [ENGLISH, WORLD, ENGLISH + WORLD], ids=["english", "world", "both"])
def test_tfidf_equals_scikit_learn(fit: Any, texts: list[str], norm: str, sublinear: bool) -> None:
    table = pl.DataFrame({"t": texts})
    features = fit(table, specification={"text": {"sublinear": sublinear, "norm": norm}}, t="text")

    oracle = TfidfVectorizer(
        tokenizer=words, token_pattern=None, lowercase=False, sublinear_tf=sublinear, norm=norm if norm == "l2" else None
    )
    expected = oracle.fit_transform(texts).toarray()
    order = [oracle.vocabulary_[f.name.removeprefix("t: ")] for f in features.outputs]
    assert len(order) == expected.shape[1]
    np.testing.assert_allclose(features.transform(table), expected[:, order], rtol=1e-5, atol=1e-6)


def test_ascii_text_needs_no_settings_to_equal_scikit_learn(fit: Any) -> None:
    table = pl.DataFrame({"t": ENGLISH})

    features = fit(table, t="text")

    oracle = TfidfVectorizer()
    expected = oracle.fit_transform(ENGLISH).toarray()
    assert features.names == tuple(f"t: {word}" for word in oracle.get_feature_names_out())
    np.testing.assert_allclose(features.transform(table), expected, rtol=1e-5, atol=1e-6)


def test_every_character_of_unicode_is_split_and_lowered_as_python_does() -> None:
    # Those of an old version of Unicode: what a newer one added is not known to all of Python, the C library and the runtime.
    known = unicodedata.ucd_3_2_0
    every = [chr(code) for code in range(1, 0x110000) if known.category(chr(code)) not in ("Cs", "Cn")]

    found = Splitter()(pl.Series([character * 2 for character in every]))[:, 0].tolist()

    differing = [c for c, word in zip(every, found, strict=True) if [word] != (words(c * 2) or [""])]
    assert differing == ["\u0130"]  # the capital dotted I, two characters long in Python's lower case


def test_most_frequent_words_are_kept(fit: Any) -> None:
    table = pl.DataFrame({"t": ["aa aa aa bb", "bb cc cc", "dd", "bb"]})

    assert fit(table, specification={"text": {"max_features": 2}}, t="text").names == ("t: aa", "t: bb")
    assert fit(table, specification={"text": {"min_documents": 2}}, t="text").names == ("t: bb",)


def test_texts_without_a_known_word_are_zero(fit: Any) -> None:
    features = fit(pl.DataFrame({"t": ["one two", "three"]}), t="text")

    for texts in ([None], [""], ["", None], ["!!", "a", "unknown words"]):
        np.testing.assert_array_equal(features.transform(pl.DataFrame({"t": pl.Series(texts, dtype=pl.String)})), 0)


def test_one_long_text_among_many_is_worked_in_small_batches(fit: Any) -> None:
    texts = ["word"] * 3000 + ["long text " * 100_000]

    answer = fit(pl.DataFrame({"t": texts}), t="text").transform(pl.DataFrame({"t": texts}))

    np.testing.assert_allclose(np.linalg.norm(answer, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(answer[-1], [2**-0.5, 2**-0.5, 0], rtol=1e-5)
