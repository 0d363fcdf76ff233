"""Texts as token ids: one implementation for training and for the served model, by the package `tokenizers`.

Text -> ids is all that the graph of a language model cannot do itself; the attention mask follows from `ids != pad`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stagewright.components.runtime.errors import InputError

FILE = "tokenizer.json"
_PADS = ("[PAD]", "<pad>", "<|pad|>", "<|endoftext|>")


class Tokens:
    """Splits texts; may be used from several threads at once.

    Args:
        content: A tokenizer.json.
        max_tokens: A longer text is cut to this many ids, those that mark its begin and end included.
        source: Where the tokenizer came from, for errors.

    Raises:
        InputError: If the package is not installed, or the file is no tokenizer or names no id to pad with.
    """

    def __init__(self, content: bytes, max_tokens: int, *, source: str = FILE) -> None:
        self.max_tokens = max_tokens
        self._tokenizer = _parsed(content, source)
        self.pad = _pad(self._tokenizer, source)
        if max_tokens <= self._tokenizer.num_special_tokens_to_add(is_pair=False):
            raise InputError(f"{source} cannot cut texts to {max_tokens} tokens; set more")
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)

    @property
    def size(self) -> int:
        """How many ids there are."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def rows(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, as many as it has."""
        return [found.ids for found in self._tokenizer.encode_batch_fast(texts)]

    def ids(self, texts: Sequence[str], width: int | None = None) -> np.ndarray:
        """Token ids, int64 [N, L], padded at the end to the longest row, or to `width`.

        L is at least 1, also where no text has any token.
        """
        return padded(self.rows(texts), self.pad, width)


def padded(rows: Sequence[Sequence[int]], pad: int, width: int | None = None) -> np.ndarray:
    """Rows of different lengths as one int64 array.

    >>> padded([[5], [6, 7]], 0).tolist()
    [[5, 0], [6, 7]]
    """
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    array = np.full((len(rows), width or max(1, int(lengths.max(initial=1)))), pad, np.int64)
    array[np.arange(array.shape[1]) < lengths[:, None]] = np.concatenate([np.zeros(0, np.int64), *map(np.asarray, rows)])
    return array


def widened(ids: np.ndarray, width: int, pad: int) -> np.ndarray:
    """Token ids [N, L] padded to at least `width` columns."""
    missing = width - ids.shape[1]
    return ids if missing <= 0 else np.pad(ids, ((0, 0), (0, missing)), constant_values=pad)


def _parsed(content: bytes, source: str) -> Any:
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        raise InputError("the package 'tokenizers' is not installed; this model needs it to split its texts") from None
    try:
        return Tokenizer.from_str(content.decode("utf-8"))
    except Exception as error:  # noqa: BLE001  the package raises bare exceptions
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{source} is not a tokenizer: {reason}") from None


def _pad(tokenizer: Any, source: str) -> int:
    if tokenizer.padding:
        return int(tokenizer.padding["pad_id"])
    known = [found for found in map(tokenizer.token_to_id, _PADS) if found is not None]
    if not known:
        raise InputError(f"{source} names no token to pad short texts with; expected one of {', '.join(_PADS)}")
    return int(known[0])
