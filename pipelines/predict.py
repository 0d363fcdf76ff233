"""`stagewright predict`: the rows of a file, answered by a deployed model."""

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl

from stagewright.components.ingestion.ingest import ingest
from stagewright.components.ingestion.rules import AUTO
from stagewright.components.runtime.errors import InputError, did_you_mean
from stagewright.components.runtime.progress import progress
from stagewright.components.serving import client
from stagewright.components.serving import local as deployments

BATCH_ROWS = 1000
WRITERS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    ".csv": pl.DataFrame.write_csv, ".jsonl": pl.DataFrame.write_ndjson, ".parquet": pl.DataFrame.write_parquet,
}  # fmt: skip


def predict(
    name: str,
    data: str,
    *,
    endpoint: str | None = None,
    output: Path | None = None,
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
        answers = pl.concat(_answers(address, name, table_path, data))
    if output is None:
        answers.write_csv(sys.stdout)
        return
    temporary = output.with_name(f".{output.name}")
    WRITERS[output.suffix](answers, temporary)
    temporary.replace(output)


def _answers(address: str, name: str, table_path: Path, source: str) -> Iterator[pl.DataFrame]:
    table = pl.read_parquet(table_path)
    columns = client.columns(address, name)
    for column in columns:
        if column not in table.columns:
            raise InputError(
                f"{source} has no column '{column}'{did_you_mean(column, table.columns)}, which model '{name}' takes"
            )
    table = table.select(columns)
    with progress("predicting", total=len(table), unit="rows") as advance:
        for batch in table.iter_slices(BATCH_ROWS):
            answer = client.predict(address, name, batch.to_dicts())
            answered = pl.DataFrame({"prediction": answer.predictions})
            if answer.probabilities is not None:
                best = [max(row) for row in answer.probabilities]
                answered = answered.with_columns(probability=pl.Series(best))
            yield answered
            advance(len(batch))


def _endpoint(name: str) -> str:
    deployed = {service.name: service.endpoint for service in deployments.services() if service.alive}
    if name not in deployed:
        there = f"there are {', '.join(deployed)}" if deployed else "none is"
        raise InputError(f"no model '{name}' is deployed on this machine{did_you_mean(name, deployed)}; {there}")
    return deployed[name]
