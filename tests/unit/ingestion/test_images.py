"""Pictures in folders, archives of them, NumPy arrays and Parquet arrays as tables."""

import tarfile
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from support.deep_models import digits_table

from stagewright.components.ingestion.ingest import ingest
from stagewright.components.ingestion.split import split
from stagewright.components.ingestion.validate import validate
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import BadParameter, GateFailed, InputError
from stagewright.components.runtime.schema import ColumnKind, Schema


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Four colour pictures of 6 x 4 pixels (width x height) in two folders."""
    folder = tmp_path / "pets"
    for number, name in enumerate(["cat/1.png", "cat/2.bmp", "dog/1.png", "dog/deep/2.PNG"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 6, 3), (10 * number, 100, 200), np.uint8)).save(path)
    (folder / "notes.md").write_text("not a picture")
    return folder


def read(data: Path | str, tmp_path: Path, **options: str) -> pl.DataFrame:
    ingest(str(data), tmp_path / "table.parquet", tmp_path / "bad.parquet", **options)
    return tables.read_table(tmp_path / "table.parquet")


def test_folders_are_classes(pets: Path, tmp_path: Path) -> None:
    table = read(pets, tmp_path)

    assert table.schema == {"image": pl.Array(pl.UInt8, (3, 4, 6)), "label": pl.String, "file": pl.String}
    assert table["label"].to_list() == ["cat", "cat", "dog", "dog"]
    assert table["file"].to_list() == ["cat/1.png", "cat/2.bmp", "dog/1.png", "dog/deep/2.PNG"]
    assert table["image"].to_numpy()[:, :, 0, 0].tolist() == [[0, 100, 200], [10, 100, 200], [20, 100, 200], [30, 100, 200]]


def test_pictures_are_brought_to_a_size_and_to_grey(pets: Path, tmp_path: Path) -> None:
    table = read(pets, tmp_path, image_size="8x16", image_colours="grey")

    assert table.schema["image"] == pl.Array(pl.UInt8, (1, 8, 16))


def test_the_commonest_size_wins_and_a_picture_on_its_side_is_turned(pets: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    turned = np.zeros((6, 4, 3), np.uint8)
    turned[:, 0] = 255  # the left edge, which becomes the top
    Image.fromarray(turned).save(pets / "cat/3.png", exif=exif)
    Image.new("L", (30, 30)).save(pets / "cat/4.png")

    table = read(pets, tmp_path)

    assert table.schema["image"] == pl.Array(pl.UInt8, (3, 4, 6))
    picture = table.filter(pl.col("file") == "cat/3.png")["image"].to_numpy()[0]
    assert picture[0, 0].tolist() == [255] * 6


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
@pytest.mark.parametrize("wrapper", ["", "pets/"], ids=["bare", "wrapped"])
def test_an_archive_is_a_folder(pets: Path, tmp_path: Path, form: str, wrapper: str) -> None:
    expected = read(pets, tmp_path)
    packed = tmp_path / f"packed.{form}"
    files = sorted(path for path in pets.rglob("*") if path.is_file())
    if form == "zip":
        with zipfile.ZipFile(packed, "w") as archive:
            for path in files:
                archive.write(path, wrapper + path.relative_to(pets).as_posix())
    else:
        with tarfile.open(packed, "w:gz") as archive:
            for path in files:
                archive.add(path, wrapper + path.relative_to(pets).as_posix())

    assert read(packed, tmp_path).equals(expected)


def test_a_broken_picture_is_named_or_set_aside(pets: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(noise).save(pets / "dog/3.png")
    (pets / "dog/3.png").write_bytes((pets / "dog/3.png").read_bytes()[:3000])
    (pets / "dog/4.png").write_text("no picture at all")

    with pytest.raises(
        InputError, match=r"pets/dog/3\.png: cannot be read as a picture .*; replace or remove it, or set on_bad_row"
    ):
        read(pets, tmp_path)
    table = read(pets, tmp_path, on_bad_row="quarantine")

    assert table.height == 4
    bad = tables.read_table(tmp_path / "bad.parquet")
    assert sorted(bad["text"].to_list()) == ["dog/3.png", "dog/4.png"]


def test_what_is_no_folder_of_classes_is_said(pets: Path, tmp_path: Path) -> None:
    Image.new("L", (3, 3)).save(pets / "loose.png")
    with pytest.raises(
        InputError, match=r"pets/loose\.png is in no folder; each picture stands in a folder named after its class"
    ):
        read(pets, tmp_path)
    with pytest.raises(BadParameter, match="parameter 'image_size' is 'big'; expected a size in pixels such as 32 or 48x64"):
        read(pets, tmp_path, image_size="big")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no data files and no pictures"):
        read(tmp_path / "empty", tmp_path)
    (tmp_path / "broken.zip").write_bytes(b"PK no archive")
    with pytest.raises(InputError, match=r"broken\.zip cannot be unpacked"):
        read(tmp_path / "broken.zip", tmp_path)


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (np.zeros((5, 8, 9), np.uint8), pl.Array(pl.UInt8, (1, 8, 9))),
        (np.zeros((5, 8, 9, 3), np.uint8), pl.Array(pl.UInt8, (3, 8, 9))),
        (np.zeros((5, 3, 8, 9), np.uint8), pl.Array(pl.UInt8, (3, 8, 9))),
        (np.zeros((5, 2, 7), np.float64), pl.Array(pl.Float32, (2, 7))),
        (np.zeros((5, 2), np.int64), pl.Array(pl.Float32, (2,))),
    ],
    ids=["grey", "channels last", "channels first", "signal", "vector"],
)
def test_arrays_become_columns(tmp_path: Path, array: np.ndarray, kind: pl.DataType) -> None:
    np.savez(tmp_path / "data.npz", x=array, y=np.arange(5), name=np.array(list("abcde")))

    table = read(tmp_path / "data.npz", tmp_path)

    assert table.schema == {"x": kind, "y": pl.Int64, "name": pl.String}
    assert table["y"].to_list() == [0, 1, 2, 3, 4]


def test_arrays_that_do_not_fit_together_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros((5, 2, 2)), y=np.arange(4))
    with pytest.raises(InputError, match="different numbers of rows: 'x' has 5, 'y' has 4"):
        read(tmp_path / "data.npz", tmp_path)
    np.savez(tmp_path / "data.npz", x=np.array([{"a": 1}]))
    with pytest.raises(InputError, match="cannot be read as a NumPy archive of plain arrays"):
        read(tmp_path / "data.npz", tmp_path)


def test_parquet_with_images_is_read_as_it_is(tmp_path: Path) -> None:
    digits_table().write_parquet(tmp_path / "digits.parquet")

    assert read(tmp_path / "digits.parquet", tmp_path).equals(digits_table().with_columns(pl.col("digit").cast(pl.Int64)))


def test_a_table_of_images_is_validated_and_split(tmp_path: Path) -> None:
    tables.write_table(digits_table(), tmp_path / "table.parquet")

    schema = validate(tmp_path / "table.parquet", tmp_path / "schema.json", tmp_path / "report.html", target="digit")
    parts = [tmp_path / f"{name}.parquet" for name in ("train", "validation", "test")]
    done = split(tmp_path / "table.parquet", Schema.read(tmp_path / "schema.json"), parts)

    column = schema.column("image")
    assert (column.kind, column.shape, column.dtype) == (ColumnKind.IMAGE, [1, 8, 8], "uint8 array")
    assert sum(part.rows for part in done.tables) == 1797
    assert done.proof.rows_repeated == 0
    assert "Images" in (tmp_path / "report.html").read_text()


def test_images_of_another_shape_than_expected_do_not_pass(tmp_path: Path) -> None:
    tables.write_table(digits_table(), tmp_path / "table.parquet")
    expected = {"columns": [{"name": "image", "kind": "image", "shape": [3, 8, 8]}, {"name": "digit"}]}

    with pytest.raises(
        GateFailed, match=r"column 'image' holds arrays of shape \[1, 8, 8\], expected arrays of shape \[3, 8, 8\]"
    ):
        validate(
            tmp_path / "table.parquet", tmp_path / "s.json", tmp_path / "r.html", target="digit", expected=expected
        )  # fmt: skip
    with pytest.raises(InputError, match="target 'image' holds arrays; predict a number or classes instead"):
        validate(tmp_path / "table.parquet", tmp_path / "s.json", tmp_path / "r.html", target="image")


def test_a_repeated_picture_is_counted(tmp_path: Path) -> None:
    digits = digits_table()
    tables.write_table(pl.concat([digits, digits.head(7)]), tmp_path / "table.parquet")

    validate(tmp_path / "table.parquet", tmp_path / "s.json", tmp_path / "r.html", target="digit")

    assert "7 rows are equal to an earlier row" in (tmp_path / "r.html").read_text()
