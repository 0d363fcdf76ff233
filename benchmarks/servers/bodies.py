"""The requests: the same rows of the test split in the forms that the servers take."""

from collections.abc import Iterator

import numpy as np
import orjson
import polars as pl

from stagewright.components.measurement.load.generator import http_request

V1, V2 = "/v1/models/churn:predict", "/v2/models/churn/infer"
DISTINCT = 500  # single-row requests that differ
BATCH = 1000


def single_rows(rows: pl.DataFrame) -> list[bytes]:
    """One row a request: V1, a list of the columns' values."""
    return [http_request(V1, orjson.dumps({"instances": [row]})) for row in rows.head(DISTINCT).rows()]


def batches(rows: pl.DataFrame) -> list[bytes]:
    """1,000 rows a request in the same form; four that differ."""
    return [http_request(V1, orjson.dumps({"instances": part.rows()})) for part in _parts(rows)]


def binary_batches(rows: pl.DataFrame) -> list[bytes]:
    """1,000 rows a request as one binary FP32 tensor of V2, answered in binary too."""
    made = []
    for table in matrices(rows):
        tensor = {"name": "rows", "datatype": "FP32", "shape": table.shape, "parameters": {"binary_data_size": table.nbytes}}
        header = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
        sizes = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(header))}
        made.append(http_request(V2, header + table.tobytes(), sizes))
    return made


def matrices(rows: pl.DataFrame) -> list[np.ndarray]:
    """The batches as float32 [1000, columns]."""
    return [np.ascontiguousarray(part.to_numpy(), dtype=np.float32) for part in _parts(rows)]


def _parts(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    return (rows.sample(BATCH, seed=seed) for seed in range(4))
