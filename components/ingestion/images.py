"""Images in folders named after their classes, as a table: `image`, `label` and `file`.

    pets/cat/1.png
    pets/cat/2.jpg
    pets/dog/a/7.png       the class is the first folder: dog

Every image is resized to one size and converted to one color mode; the EXIF orientation is applied.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from stagewright.components.ingestion import archives
from stagewright.components.ingestion.compression import FREE_BYTES, MOST_TIMES
from stagewright.components.ingestion.source import RawFile, Reading
from stagewright.components.ingestion.valuetypes import ArrayType, Types, ValueType
from stagewright.components.runtime.errors import BadParameter, InputError, one_of

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
COLOURS = ("auto", "grey", "rgb")
COLUMNS = ["image", "label", "file"]
BATCH_BYTES = 32 * 2**20
_SIZE = re.compile(r"(\d{1,5})(?:\s*x\s*(\d{1,5}))?")
_GREY = {"1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L"}


def is_picture(name: str) -> bool:
    """Whether a file of a folder is an image: by its extension, and not hidden."""
    path = Path(name)
    return path.suffix.lower() in SUFFIXES and not any(part.startswith((".", "_")) for part in path.parts)


def parse_size(size: str) -> tuple[int, int] | None:
    """Height and width of `image_size`; None for the most common size.

    >>> parse_size("32"), parse_size("48x64"), parse_size("")
    ((32, 32), (48, 64), None)
    """
    if not size.strip():
        return None
    found = _SIZE.fullmatch(size.strip())
    height, width = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if height < 1 or width < 1:
        raise BadParameter("image_size", got=size, expected="a size in pixels such as 32 or 48x64 (height x width)")
    return height, width


class ImageFolder:
    """A folder of images, or an archive of one; a source of rows like a data file."""

    def __init__(self, file: RawFile, reading: Reading, scratch: Path, *, size: str = "", colours: str = "auto") -> None:
        self.file, self.reading, self.columns = file, reading, list(COLUMNS)
        self._size, self._colours = parse_size(size), one_of("image_colours", colours, COLOURS)
        self._root = file.path if file.path.is_dir() else _unpacked(file, scratch)
        self._pictures = sorted(
            path.relative_to(self._root).as_posix()
            for path in self._root.rglob("*")
            if path.is_file() and is_picture(path.relative_to(self._root).as_posix())
        )
        if not self._pictures:
            raise InputError(f"{file.name} holds no pictures; they end in {', '.join(SUFFIXES)}")
        if not file.path.is_dir():
            self._root, self._pictures = _without_wrapper(self._root, self._pictures)
        loose = next((name for name in self._pictures if "/" not in name), None)
        if loose is not None:
            raise InputError(f"{file.name}/{loose} is in no folder; each picture stands in a folder named after its class")

    def types(self) -> Types:
        sizes: Counter[tuple[int, int]] = Counter()
        grey, good = True, []
        for name in self._pictures:
            try:
                with _opened(self._root / name) as picture:
                    width, height = picture.size
                    turned = picture.getexif().get(0x0112, 1) >= 5  # EXIF orientation: rotated by 90 degrees
                    sizes[(width, height) if turned else (height, width)] += 1
                    grey = grey and picture.mode in _GREY
                good.append(name)
            except _broken() as error:
                self._set_aside(name, error)
        self._pictures = good
        # Of equally common sizes, the larger one.
        commonest = max(sizes, key=lambda size: (sizes[size], size)) if sizes else (1, 1)
        height, width = self._size or commonest
        channels = 1 if self._colours == "grey" or (self._colours == "auto" and grey) else 3
        image = ArrayType(image=True, shape=(channels, height, width))
        return {"image": image, "label": ValueType.STRING, "file": ValueType.STRING}

    def batches(self, types: Types) -> Iterator[pl.DataFrame]:
        kind = types["image"]
        if not isinstance(kind, ArrayType):
            raise InputError(f"{self.file.name} holds pictures, and other files of the same data hold something else")
        rows = max(1, BATCH_BYTES // int(np.prod(kind.shape)))
        for start in range(0, len(self._pictures), rows):
            names, pixels = [], []
            for name in self._pictures[start : start + rows]:
                path = self._root / name
                try:
                    pixels.append(_pixels(path, kind.shape))
                    names.append(name)
                except _broken() as error:
                    self._set_aside(name, error)
                self.reading.advance(2 * path.stat().st_size)
            if names:
                image = pl.Series("image", np.stack(pixels), dtype=pl.Array(pl.UInt8, kind.shape))
                yield pl.DataFrame(
                    [image, pl.Series("label", [name.split("/")[0] for name in names]), pl.Series("file", names)]
                )

    def _set_aside(self, name: str, error: Exception) -> None:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].split(str(self._root))[0].strip(" :'\"")
        remedy = "replace or remove it"
        self.reading.bad_rows.add(f"{self.file.name}/{name}", 0, f"cannot be read as a picture ({reason})", name, remedy=remedy)


def _opened(path: Path) -> "Image":
    from PIL import Image

    picture = Image.open(path)
    width, height = picture.size
    size = path.stat().st_size
    if (unpacked := width * height * len(picture.getbands())) > FREE_BYTES and unpacked > MOST_TIMES * size:
        picture.close()
        raise ValueError(f"it announces {width} x {height} pixels, and is a file of {size:,} bytes")
    return picture


def _broken() -> tuple[type[Exception], ...]:
    """Exceptions of Pillow for a file that is not an image, is truncated, or would expand to gigabytes."""
    from PIL import Image

    return OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError


def _pixels(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """An image as uint8 [channels, height, width]; an image of another size is resized with area averaging."""
    from PIL import Image, ImageOps

    channels, height, width = shape
    with _opened(path) as picture:
        upright: Any = ImageOps.exif_transpose(picture)
        if upright.mode.startswith("I"):  # 16-bit grey: a byte keeps the upper half
            upright = Image.fromarray((np.asarray(upright).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
        plain = upright.convert("L" if channels == 1 else "RGB")
        if plain.size != (width, height):
            plain = plain.resize((width, height), Image.Resampling.BILINEAR)
        pixels = np.asarray(plain)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _unpacked(file: RawFile, scratch: Path) -> Path:
    """Unpack an archive's images into `scratch`; other files are skipped, and no path leaves the folder."""
    folder = scratch / f"{len(list(scratch.iterdir()))}.pictures"
    folder.mkdir()
    with archives.opened(file.path, file.name) as archive:
        for name in filter(is_picture, archive.names):
            archive.extract(name, folder / _inside(name))
    return folder


def _inside(name: str) -> str:
    """A path that stays below its target folder."""
    return "/".join(part for part in Path(name).parts if part not in {"..", "/", "\\"})


def _without_wrapper(root: Path, pictures: list[str]) -> tuple[Path, list[str]]:
    """Skip a single top-level folder, as many archives have, if the class folders are below it."""
    tops = {name.split("/")[0] for name in pictures}
    if len(tops) != 1 or any(name.count("/") < 2 for name in pictures):
        return root, pictures
    return root / tops.pop(), [name.partition("/")[2] for name in pictures]
