"""Partition columns in folder names, as Hive, Spark and Polars write them: region=north/year=2024/part-0.parquet."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote

import polars as pl

from stagewright.components.ingestion.source import Source
from stagewright.components.ingestion.valuetypes import Types, converted, narrowest, trimmed, widened

_NOTHING = "__HIVE_DEFAULT_PARTITION__"


def partition_of(relative: str) -> tuple[tuple[str, str], ...]:
    """The partition columns of a path below a folder.

    >>> partition_of("region=north/year=2024/part-0.parquet")
    (('region', 'north'), ('year', '2024'))
    """
    parts = [part.partition("=") for part in PurePosixPath(relative).parts[:-1]]
    return tuple((unquote(name), unquote(value)) for name, equals, value in parts if equals and name)


class Partitioned:
    """A file's rows with its partition columns; the file's own columns take precedence."""

    def __init__(self, source: Source, types: Types) -> None:
        self.source, self.file = source, source.file
        self._own = dict(source.file.partition)
        self._types = {name: known for name, known in types.items() if name not in source.columns}
        self.columns = [*source.columns, *self._types]

    def types(self) -> Types:
        return self.source.types() | self._types

    def batches(self, types: Types) -> Iterator[pl.DataFrame]:
        inner = {name: known for name, known in types.items() if name not in self._types}
        for table in self.source.batches(inner):
            given = [
                converted(pl.Series(name, [_text(self._own[name])], dtype=pl.String), types[name]).new_from_index(0, len(table))
                for name in self._types
                if name in types
            ]
            yield table.with_columns(given).select(list(types))


def with_partitions(sources: Sequence[Source]) -> list[Source]:
    """The sources with their partition columns, typed over all files; unchanged if the folders differ."""
    names = [tuple(name for name, _ in source.file.partition) for source in sources]
    if not names[0] or len(set(names)) > 1:
        return list(sources)
    types: Types = dict.fromkeys(names[0])
    for source in sources:
        for name, value in source.file.partition:
            found = narrowest(trimmed(pl.Series(name, [_text(value)], dtype=pl.String)))
            types[name] = widened(types[name], found)
    return [Partitioned(source, types) for source in sources]


def _text(value: str) -> str | None:
    return None if value == _NOTHING else value
