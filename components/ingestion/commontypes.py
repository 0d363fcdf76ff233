"""Common column types of all files that are read together, and the columns to leave out."""

from collections.abc import Sequence

from stagewright.components.ingestion.delimited import DelimitedFile
from stagewright.components.ingestion.notes import Notes
from stagewright.components.ingestion.parquetfile import ParquetFile, mergeable
from stagewright.components.ingestion.partition import Partitioned
from stagewright.components.ingestion.rules import Rules
from stagewright.components.ingestion.source import Source
from stagewright.components.ingestion.textfiles import settle_files
from stagewright.components.ingestion.valuetypes import Types, widened
from stagewright.components.runtime.errors import InputError, did_you_mean


def common_types(sources: Sequence[Source], rules: Rules, notes: Notes) -> Types:
    """The common types of the columns that are kept, in the order of the first file.

    Raises:
        InputError: If a file has other columns, a typed file has other types, or a column to drop does not exist.
    """
    first = sources[0]
    for other in sources[1:]:
        _check_same_columns(first, other)
    for name in rules.drop:
        if name not in first.columns:
            raise InputError(
                f"parameter 'drop' names '{name}', which is not a column of the data{did_you_mean(name, first.columns)}"
            )
    texts = [file for source in sources if isinstance(file := plain(source), DelimitedFile)]
    left_out = set(rules.drop) | (settle_files(texts, rules, notes) if texts else set())
    common = dict(first.types())
    for other in sources[1:]:
        for name, found in other.types().items():
            if name in left_out:
                continue
            if isinstance(plain(other), ParquetFile) and not mergeable(common[name], found):
                raise InputError(
                    f"{other.file.name}: column '{name}' holds {found} values; in {first.file.name} it holds {common[name]}"
                )
            common[name] = widened(common[name], found)
    kept = {name: known for name, known in common.items() if name not in left_out}
    if not kept:
        raise InputError("parameter 'drop' leaves no column of the data")
    return kept


def plain(source: Source) -> Source:
    """The source of the file itself, without partition columns."""
    return source.source if isinstance(source, Partitioned) else source


def _check_same_columns(first: Source, other: Source) -> None:
    missing = [name for name in first.columns if name not in other.columns]
    extra = [name for name in other.columns if name not in first.columns]
    if missing or extra:
        clauses = [f"lacks {', '.join(map(repr, missing))}"] if missing else []
        clauses += [f"has {', '.join(map(repr, extra))} besides"] if extra else []
        raise InputError(
            f"{other.file.name} {' and '.join(clauses)}, compared with {first.file.name}; "
            "files read together need the same columns"
        )
