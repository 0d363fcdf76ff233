"""What a column costs to ingest: CPU time for tables of 500 to 4,000 columns, and how many times that of 500 the last takes.

Each size is measured in turn, twice, and the better time counts: what else the machine does costs CPU time, too, by its caches.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from stagewright.components.ingestion.ingest import ingest

COLUMNS, ROWS, ROUNDS = (500, 1000, 2000, 4000), 1000, 2


def main() -> None:
    _measured(10)  # loads what the first table would pay for
    rounds = [[_measured(columns) for columns in COLUMNS] for _ in range(ROUNDS)]
    times = dict(zip(COLUMNS, map(min, zip(*rounds, strict=True)), strict=True))
    for columns, seconds in times.items():
        print(f"{columns:5} columns  {seconds:6.2f} s CPU")
    print(f"{COLUMNS[-1]} columns take, in times of {COLUMNS[0]}: {times[COLUMNS[-1]] / times[COLUMNS[0]]:.1f}")


def _measured(columns: int) -> float:
    random = np.random.default_rng(1)
    values = random.normal(size=(ROWS, columns)).astype(np.float32)
    with TemporaryDirectory() as name:
        folder = Path(name)
        pl.DataFrame(values, schema=[f"g{at}" for at in range(columns)]).write_csv(folder / "wide.csv", float_precision=4)
        begin = time.process_time()
        ingest(str(folder / "wide.csv"), folder / "table", folder / "quarantine")
        return time.process_time() - begin


if __name__ == "__main__":
    sys.exit(main())
