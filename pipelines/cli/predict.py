"""`stagewright predict`: the rows of a file, answered by a deployed model."""

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from stagewright.components.ingestion.ingest import ingest
from stagewright.components.ingestion.rules import AUTO
from stagewright.components.runtime.errors import InputError, did_you_mean
from stagewright.components.runtime.progress import progress
from stagewright.components.serving import client
from stagewright.components.serving.targets import local as deployments

BATCH_ROWS = 1000
NONE = "none"
WRITERS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    ".csv": pl.DataFrame.write_csv, ".jsonl": pl.DataFrame.write_ndjson, ".parquet": pl.DataFrame.write_parquet,
}  # fmt: skip


def predict(
    name: str,
    data: str,
    *,
    endpoint: str | None = None,
    output: Path | None = None,
    identifier: str = AUTO,
    inputs: bool = False,
    probabilities: bool = False,
    decimal: str = AUTO,
    thousands: str = AUTO,
    missing: Sequence[str] = (),
    date_format: str = AUTO,
) -> None:
    """Ask a deployed model about every row of a file and write the answers, as CSV to standard output if no file is given.

    Values are read as the model's columns take them, each by itself: a row has one answer whatever other rows the file holds.

    Args:
        name: The model's name.
        data: Anything that `ingest_data` reads.
        endpoint: Address of the server; by default that of the model deployed on this machine.
        output: File for the answers; its ending chooses the format.
        identifier: Column of the file that is written beside each answer; auto for the first one that the model does not take
            and whose values are all different, none for none.
        inputs: Write the columns that the model takes, too.
        probabilities: Write the probability of every class, not only the largest.
        decimal, thousands, missing, date_format: How the file writes numbers, missing values and dates, as in `ingest_data`.

    Raises:
        InputError: If the model is not deployed, the file cannot be read, or the model refuses a row.
    """
    if output is not None and output.suffix not in WRITERS:
        raise InputError(f"cannot write {output}: its name must end in {', '.join(WRITERS)}")
    address = endpoint or _endpoint(name)
    with tempfile.TemporaryDirectory() as folder:
        table_path, quarantine = Path(folder) / "rows.parquet", Path(folder) / "quarantine.parquet"
        ingest(
            data, table_path, quarantine, decimal=decimal, thousands=thousands, missing=missing, date_format=date_format,
            kinds=client.kinds(address, name),
        )  # fmt: skip
        table = pl.read_parquet(table_path)
        columns = _columns(address, name, table, data)
        kept = _identifier(table, columns, identifier, data)
        classes = client.classes(address, name) if probabilities else None
        answers = pl.concat(_answers(address, name, table.select(columns), classes))
        answers = _beside(table.select(list(dict.fromkeys([*kept, *(columns if inputs else [])]))), answers)
    if output is None:
        answers.write_csv(sys.stdout)
        return
    temporary = output.with_name(f".{output.name}")
    WRITERS[output.suffix](answers, temporary)
    temporary.replace(output)


def _columns(address: str, name: str, table: pl.DataFrame, source: str) -> list[str]:
    columns = client.columns(address, name)
    for column in columns:
        if column not in table.columns:
            raise InputError(
                f"{source} has no column '{column}'{did_you_mean(column, table.columns)}, which model '{name}' takes"
            )
    return columns


def _identifier(table: pl.DataFrame, columns: Sequence[str], wanted: str, source: str) -> list[str]:
    """The column that tells which row an answer belongs to, in a list, or an empty one."""
    others = [name for name in table.columns if name not in columns]
    if wanted == NONE and wanted not in table.columns:
        return []
    if wanted == AUTO and wanted not in table.columns:
        unique = (name for name in others if not table[name].dtype.is_float() and table[name].n_unique() == len(table))
        return [name for name in unique if not table[name].null_count()][:1]
    if wanted not in table.columns:
        raise InputError(
            f"{source} has no column '{wanted}'{did_you_mean(wanted, table.columns)}; --id names one of its columns"
        )
    return [wanted]


def _beside(given: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """Both tables side by side; a column of the file that is called like one of the answers becomes `input_...`."""
    given = given.rename({name: f"input_{name}" for name in given.columns if name in answers.columns})
    return pl.concat([given, answers], how="horizontal")


def _answers(address: str, name: str, table: pl.DataFrame, classes: Sequence[Any] | None) -> Iterator[pl.DataFrame]:
    with progress("predicting", total=len(table), unit="rows") as advance:
        for batch in table.iter_slices(BATCH_ROWS):
            answer = client.predict(address, name, batch.to_dicts())
            answered = pl.DataFrame({"prediction": answer.predictions})
            if answer.probabilities is not None:
                best = [max(row) for row in answer.probabilities]
                answered = answered.with_columns(probability=pl.Series(best))
                if classes is not None:
                    each = zip(classes, zip(*answer.probabilities, strict=True), strict=True)
                    answered = answered.with_columns(pl.Series(f"probability_{label}", values) for label, values in each)
            yield answered
            advance(len(batch))


def _endpoint(name: str) -> str:
    deployed = {service.name: service.endpoint for service in deployments.services() if service.alive}
    if name not in deployed:
        there = f"there are {', '.join(deployed)}" if deployed else "none is"
        raise InputError(f"no model '{name}' is deployed on this machine{did_you_mean(name, deployed)}; {there}")
    return deployed[name]
