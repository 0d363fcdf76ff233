"""`stagewright predict`: predictions from a deployed model for the rows of a file."""

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
    """Get predictions from a deployed model for the rows of a file; without `output`, print them as CSV.

    Values are parsed by the types of the model's columns, so a row's prediction does not depend on the other rows.

    Args:
        name: The model's name.
        data: Any source that `ingest_data` reads.
        endpoint: URL of the model server. Default: the model's deployment on this machine.
        output: Output file; its extension selects the format.
        identifier: Id column written with each prediction; auto for the first column with unique values that is not a model
            input; none for no id column.
        inputs: Also write the model's input columns.
        probabilities: Also write the probability of each class.
        decimal, thousands, missing, date_format: Formats of numbers, missing values and dates, as in `ingest_data`.

    Raises:
        InputError: If the model is not deployed, the file cannot be read, or the model rejects a row.
    """
    if output is not None and output.suffix not in WRITERS:
        raise InputError(f"cannot write {output}: its name must end with {', '.join(WRITERS)}")
    address = endpoint or _endpoint(name)
    with tempfile.TemporaryDirectory() as folder:
        table_path, quarantine = Path(folder) / "rows.parquet", Path(folder) / "quarantine.parquet"
        ingest(
            data, table_path, quarantine, decimal=decimal, thousands=thousands, missing=missing, date_format=date_format,
            kinds=client.column_types(address, name),
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
    columns = client.column_names(address, name)
    for column in columns:
        if column not in table.columns:
            raise InputError(
                f"{source} has no column '{column}'{did_you_mean(column, table.columns)}, an input of model '{name}'"
            )
    return columns


def _identifier(table: pl.DataFrame, columns: Sequence[str], wanted: str, source: str) -> list[str]:
    """The id column as a list of one name; empty if there is none."""
    others = [name for name in table.columns if name not in columns]
    if wanted == NONE and wanted not in table.columns:
        return []
    if wanted == AUTO and wanted not in table.columns:
        unique = (name for name in others if not table[name].dtype.is_float() and table[name].n_unique() == len(table))
        return [name for name in unique if not table[name].null_count()][:1]
    if wanted not in table.columns:
        raise InputError(
            f"{source} has no column '{wanted}'{did_you_mean(wanted, table.columns)}; set --id to one of its columns"
        )
    return [wanted]


def _beside(given: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """Join both tables by row; a column of the file with the name of a prediction column becomes `input_...`."""
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
        there = f"deployed: {', '.join(deployed)}" if deployed else "no model is deployed"
        raise InputError(f"no model '{name}' is deployed on this machine{did_you_mean(name, deployed)}; {there}")
    return deployed[name]
