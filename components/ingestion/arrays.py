"""NumPy archives (.npz) as tables: every array is a column, its first axis the rows.

An array of bytes with two or three further axes contains images: [N, height, width], [N, height, width, channels] or [N,
channels, height, width]. Any other numeric array with further axes contains tensors.
"""

from collections.abc import Iterator
from math import prod
from zipfile import ZipFile

import numpy as np
import polars as pl

from stagewright.components.ingestion.compression import check_ratio
from stagewright.components.ingestion.source import RawFile, Reading, checked_names
from stagewright.components.ingestion.valuetypes import ArrayType, Types, ValueType, dtype
from stagewright.components.runtime.errors import InputError

BATCH_BYTES = 32 * 2**20
_CHANNELS = (1, 3, 4)
_TYPES = {"b": ValueType.BOOLEAN, "i": ValueType.INTEGER, "u": ValueType.INTEGER, "f": ValueType.FLOAT, "U": ValueType.STRING}


class ArrayFile:
    """A .npz file; NumPy loads its arrays into memory."""

    def __init__(self, file: RawFile, reading: Reading) -> None:
        self.file, self.reading = file, reading
        self._arrays = _read(file)
        self.columns = checked_names(list(self._arrays), file.name)
        self._arrays = dict(zip(self.columns, self._arrays.values(), strict=True))
        lengths = {name: len(array) for name, array in self._arrays.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"'{name}' has {rows}" for name, rows in lengths.items())
            raise InputError(f"{file.name}: the arrays have different numbers of rows: {told}")

    def types(self) -> Types:
        return {name: _type(name, array, self.file.name) for name, array in self._arrays.items()}

    def batches(self, types: Types) -> Iterator[pl.DataFrame]:
        rows = len(next(iter(self._arrays.values())))
        row_bytes = sum(array.itemsize * prod(array.shape[1:]) for array in self._arrays.values())
        size = max(1, BATCH_BYTES // max(1, row_bytes))
        for start in range(0, rows, size):
            part = {name: self._arrays[name][start : start + size] for name in types}
            yield pl.DataFrame(
                [pl.Series(name, np.ascontiguousarray(part[name])).cast(dtype(known)) for name, known in types.items()]
            )
            self.reading.advance(2 * self.file.path.stat().st_size * min(size, rows - start) / rows)


def _read(file: RawFile) -> dict[str, np.ndarray]:
    try:
        _check_announced(file)
        with np.load(file.path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001  a damaged archive can raise any exception
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{file.name} cannot be read as a NumPy archive of plain arrays: {reason}") from None
    if not arrays:
        raise InputError(f"{file.name} holds no arrays")
    bare = next((name for name, array in arrays.items() if array.ndim == 0), None)
    if bare is not None:
        raise InputError(f"{file.name}: '{bare}' is a single value; every array has one entry a row")
    return {name: _channels_first(array) for name, array in arrays.items()}


def _check_announced(file: RawFile) -> None:
    """Refuse an archive that declares larger arrays than it contains, before memory is allocated.

    Raises:
        InputError: Naming the array.
    """
    with ZipFile(file.path) as archive:
        for member in archive.infolist():
            check_ratio(member.file_size, member.compress_size, f"{file.name}: {member.filename}")
            with archive.open(member) as content:
                version = np.lib.format.read_magic(content)
                read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read_header(content)
            if prod(shape) * dtype.itemsize > member.file_size:
                raise InputError(
                    f"{file.name}: '{member.filename.removesuffix('.npy')}' announces {dtype} of shape {list(shape)}, "
                    f"and holds {member.file_size:,} bytes: the file is damaged, or made to fill a machine"
                )


def _channels_first(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint8 or array.ndim not in (3, 4):
        return array
    if array.ndim == 3:
        return array[:, None]
    return array.transpose(0, 3, 1, 2) if array.shape[3] in _CHANNELS and array.shape[1] not in _CHANNELS else array


def _type(name: str, array: np.ndarray, file: str) -> ValueType | ArrayType:
    known = _TYPES.get(array.dtype.kind)
    if known is None or (array.ndim > 1 and known is ValueType.STRING):
        raise InputError(
            f"{file}: '{name}' holds {array.dtype} of shape {list(array.shape)}; expected numbers or one text a row"
        )
    if array.ndim == 1:
        return known
    if 0 in array.shape[1:]:
        raise InputError(f"{file}: '{name}' has shape {list(array.shape)}, rows without values")
    return ArrayType(image=array.dtype == np.uint8 and array.ndim == 4, shape=array.shape[1:])
