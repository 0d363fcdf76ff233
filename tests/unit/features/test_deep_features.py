"""Preprocessing of one image, one tensor or one text, for networks."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from support.deep_models import BASE_MODEL, digits_table, reviews_table

from stagewright.components.features.fit import fit_features
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.feature_graph import FeatureGraph
from stagewright.components.runtime.schema import Column, ColumnKind, Schema, Task


def fitted(folder: Path, table: pl.DataFrame, kinds: dict[str, ColumnKind], framework: str, **options: Any) -> FeatureGraph:
    tables.write_table(table, folder / "train.parquet")
    columns = [Column(name=name, kind=kinds.get(name, ColumnKind.CATEGORICAL)) for name in table.columns]
    schema = Schema(target=table.columns[-1], task=Task.MULTICLASS, columns=columns)
    fit_features(folder / "train.parquet", schema, framework=framework, **options).save(folder / "features")
    return FeatureGraph.load(folder / "features")


def test_pixels_have_mean_0_and_deviation_1(tmp_path: Path) -> None:
    digits = digits_table()

    graph = fitted(tmp_path, digits, {"image": ColumnKind.IMAGE}, "torch_vision")
    matrix = graph.transform(digits)

    assert (graph.width, graph.outputs[0].kind, graph.outputs[0].shape) == (64, "pixels", (1, 8, 8))
    assert matrix.shape == (1797, 64)
    assert matrix.mean() == pytest.approx(0, abs=1e-4)
    assert matrix.std() == pytest.approx(1, abs=1e-4)
    pixels = digits["image"].to_numpy().reshape(1797, 64)
    assert np.allclose(matrix, (pixels - pixels.mean()) / pixels.std(), atol=1e-5)


def test_pretrained_weights_bring_their_constants(tmp_path: Path) -> None:
    white = pl.DataFrame({"image": np.full((4, 3, 2, 2), 255, np.uint8), "y": ["a", "b", "a", "b"]})

    graph = fitted(tmp_path, white, {"image": ColumnKind.IMAGE}, "torch_vision", params={"weights": "resnet18.safetensors"})

    assert graph.transform(white)[0, ::4] == pytest.approx([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])


def test_lists_of_numbers_are_images_too(tmp_path: Path) -> None:
    digits = digits_table()
    graph = fitted(tmp_path, digits, {"image": ColumnKind.IMAGE}, "torch_vision")
    lists = pl.DataFrame({"image": digits["image"].to_list()[:5]})

    assert np.array_equal(graph.transform(lists), graph.transform(digits.head(5)))


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (np.zeros((2, 3, 8, 8), np.uint8), r"column 'image' holds arrays of shape \[3, 8, 8\]; expected \[1, 8, 8\]"),
        ([[[[300] * 8] * 8]] * 2, r"holds more than arrays of shape \[1, 8, 8\] of whole numbers from 0 to 255"),
        (pl.Series([None, None], dtype=pl.Array(pl.UInt8, (1, 8, 8))), "column 'image' is missing in row 0; a image cannot be"),
        (["a", "b"], "column 'image' is to be image but holds String in the table"),
    ],
    ids=["shape", "range", "missing", "text"],
)
def test_what_is_no_image_is_named(tmp_path: Path, column: Any, sentence: str) -> None:
    graph = fitted(tmp_path, digits_table(), {"image": ColumnKind.IMAGE}, "torch_vision")

    with pytest.raises(InputError, match=sentence):
        graph.transform(pl.DataFrame({"image": column}))


def test_text_becomes_token_ids_filled_up(tmp_path: Path) -> None:
    reviews = reviews_table(20)

    graph = fitted(
        tmp_path, reviews, {"review": ColumnKind.TEXT}, "transformers", params={"model": BASE_MODEL, "max_tokens": 16.0}
    )
    matrix = graph.transform(pl.DataFrame({"review": ["good coffee", None]}))

    assert graph.inputs[0].tokenizer == "tokenizer.json"
    assert graph.files["tokenizer.json"]
    assert matrix.shape == (2, 16)
    assert matrix[:, :5].tolist() == [[101, 2204, 4157, 102, 0], [101, 102, 0, 0, 0]]
    assert graph.feeds(pl.DataFrame({"review": ["good coffee"]}))["review"].shape == (1, 4)


def test_features_whose_tokenizer_was_changed_are_refused(tmp_path: Path) -> None:
    fitted(tmp_path, reviews_table(20), {"review": ColumnKind.TEXT}, "transformers", params={"model": BASE_MODEL})
    path = tmp_path / "features/tokenizer.json"
    path.write_text(path.read_text().replace("coffee", "koffee"))

    with pytest.raises(InputError, match="were changed after they were fitted"):
        FeatureGraph.load(tmp_path / "features")


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({}, "parameter 'params.model' is ''; expected the folder of a base model"),
        ({"model": "/nowhere"}, r"no config\.json and no model\.safetensors and no tokenizer\.json in /nowhere"),
        ({"model": "package:nothing_here"}, "no package 'nothing_here' is installed here"),
        ({"model": BASE_MODEL, "max_tokens": 513}, "'params.max_tokens' is 513; expected a whole number of at most 512"),
    ],
)
def test_a_base_model_that_cannot_be_used_is_named(tmp_path: Path, params: dict[str, Any], sentence: str) -> None:
    with pytest.raises((InputError, BadParameter), match=sentence):
        fitted(tmp_path, reviews_table(20), {"review": ColumnKind.TEXT}, "transformers", params=params)


def test_other_columns_are_left_out_and_two_images_are_one_too_many(tmp_path: Path) -> None:
    digits = digits_table().select("image", pl.col("image").alias("again"), pl.lit(1).alias("weight"), "digit")
    kinds = {"image": ColumnKind.IMAGE, "again": ColumnKind.IMAGE, "weight": ColumnKind.NUMERIC}

    with pytest.raises(InputError, match="reads one image, and columns 'image', 'again' are; drop all but one in the features"):
        fitted(tmp_path, digits, kinds, "torch_vision")
    graph = fitted(tmp_path, digits, kinds, "torch_vision", specification={"columns": {"again": {"drop": True}}})

    assert graph.dropped == {"again": "dropped by the specification", "weight": "torch_vision reads one image"}


def test_a_table_without_what_the_network_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="framework 'transformers' reads one column of kind text, and the table has none"):
        fitted(tmp_path, digits_table(), {"image": ColumnKind.IMAGE}, "transformers", params={"model": BASE_MODEL})
    with pytest.raises(InputError, match=r"no column is left to learn from: .*; column 'image': xgboost reads no images"):
        fitted(tmp_path, digits_table(), {"image": ColumnKind.IMAGE}, "xgboost")
