"""Rows that cannot be read: an error that names the line, or a separate quarantine table."""

import json
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl

from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import InputError, one_of

ON_BAD_ROW = ("error", "quarantine")
SCHEMA = {"file": pl.String, "line": pl.Int64, "reason": pl.String, "text": pl.String}


class BadRows:
    """Collector of bad rows.

    Args:
        spool: Temporary file for quarantined rows while the data is read.
        on_bad_row: "error" stops at the first; "quarantine" keeps it with file, line, reason and text.
    """

    def __init__(self, spool: Path, on_bad_row: str) -> None:
        self.quarantine = one_of("on_bad_row", on_bad_row, ON_BAD_ROW) == "quarantine"
        self.spool, self.count = spool, 0
        self._file = spool.open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def add(self, file: str, line: int, reason: str, text: str, *, remedy: str = "correct it") -> None:
        """Add a bad row.

        Args:
            line: 1-based physical line on which the row begins; 0 if a row is a file of its own.
            remedy: Another remedy than quarantine, as a clause.

        Raises:
            InputError: Unless bad rows are quarantined.
        """
        if not self.quarantine:
            where = f"{file}, line {line}" if line else file
            raise InputError(f"{where}: {reason}; {remedy}, or set on_bad_row to quarantine to set such rows aside")
        self.count += 1
        readable = text.rstrip("\r\n").encode("utf-8", "backslashreplace").decode()
        self._file.write(
            json.dumps({"file": file, "line": line, "reason": reason, "text": readable}, ensure_ascii=False) + "\n"
        )

    def write(self, path: str | Path) -> tables.TableInfo:
        """Store the quarantined rows as a table with the columns file, line, reason and text; it may be empty."""
        self._file.flush()
        rows = pl.scan_ndjson(self.spool, schema=SCHEMA) if self.count else pl.LazyFrame(schema=SCHEMA)
        return tables.write_table(rows, path)
