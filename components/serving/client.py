"""A client of a served model: wait until it is ready, predict, and run a smoke test.

It works with the local predictor and with an InferenceService. Behind a cluster's ingress, headers carry the host name for
routing, and a token: `headers={"Host": "churn.default.example.com", "Authorization": "Bearer ..."}`.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import urllib3

from stagewright.components.runtime.answers import json_object, read_body
from stagewright.components.runtime.documents import Unreadable
from stagewright.components.runtime.errors import InputError, ServiceUnavailable

if TYPE_CHECKING:
    import polars as pl

Headers = Mapping[str, str]

TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.2
SMOKE_ROWS = 100
MOST_VALUES = 1_000_000  # pixels or tensor values in one request
LARGEST_ANSWER = 256 * 2**20  # bytes: the predictions of millions of rows
SHOWN_CHARACTERS = 300  # of a foreign response: a proxy's page may be long


@dataclass(frozen=True, slots=True)
class Answer:
    """Predictions for N rows.

    Attributes:
        predictions: [N] labels of a classifier, numbers of a regressor.
        probabilities: [N][classes] of a classifier.
    """

    predictions: list[Any]
    probabilities: list[list[float]] | None
    model_version: str | None


@dataclass(frozen=True, slots=True)
class SmokeTest:
    """Result of a passed smoke test: number of rows, and the largest difference from the model's own predictions."""

    rows: int
    largest_difference: float


def predict(
    endpoint: str,
    name: str,
    rows: Sequence[Mapping[str, Any] | Sequence[Any]],
    *,
    headers: Headers | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> Answer:
    """Get predictions from a served model over V1.

    Args:
        endpoint: Address of the server: "http://127.0.0.1:8080".
        rows: Objects by column name, or lists in the signature's order.
        timeout: Seconds.

    Raises:
        InputError: If the server refuses the request, in the server's words.
        ServiceUnavailable: If it does not answer.
    """
    document = _call(endpoint, "POST", f"/v1/models/{name}:predict", {"instances": list(rows)}, headers, timeout)
    return Answer(document["predictions"], document.get("probabilities"), document.get("model_version"))


def column_names(endpoint: str, name: str, *, headers: Headers | None = None, timeout: float = TIMEOUT_SECONDS) -> list[str]:
    """Names of a served model's input columns, in its order.

    Raises:
        InputError: If the server has no such model.
        ServiceUnavailable: If it does not answer.
    """
    described = _call(endpoint, "GET", f"/v2/models/{name}", None, headers, timeout)
    return [given["name"] for given in described["inputs"]]


def classes(endpoint: str, name: str, *, headers: Headers | None = None, timeout: float = TIMEOUT_SECONDS) -> list[Any] | None:
    """Classes of a served classifier, in the order of its probabilities; None for other models, or if the server does not list
    them.

    Raises:
        InputError: If the server has no such model.
        ServiceUnavailable: If it does not answer.
    """
    described = _call(endpoint, "GET", f"/v2/models/{name}", None, headers, timeout)
    found: list[Any] | None = (described.get("parameters") or {}).get("classes")
    return found


def column_types(
    endpoint: str, name: str, *, headers: Headers | None = None, timeout: float = TIMEOUT_SECONDS
) -> dict[str, str]:
    """Type of each input column of single values, if the server reports it: numeric, boolean, datetime, text.

    Raises:
        InputError: If the server has no such model.
        ServiceUnavailable: If it does not answer.
    """
    described = _call(endpoint, "GET", f"/v2/models/{name}", None, headers, timeout)["inputs"]
    by_datatype = {"FP32": "numeric", "BOOL": "boolean", "BYTES": "text"}
    found = {
        given["name"]: by_datatype[given["datatype"]]
        for given in described
        if given["datatype"] in by_datatype and list(given["shape"]) in ([-1, 1], [-1])
    }
    try:
        page = _call(endpoint, "GET", "/openapi.json", None, headers, timeout)
    except (InputError, ServiceUnavailable):
        return found  # not our server; it parses times from text
    times = _times(page, set(found))
    return {column: "datetime" if column in times else kind for column, kind in found.items()}


def _times(document: Any, columns: set[str]) -> set[str]:
    """Columns that hold times, by the OpenAPI schema of a row that has all these columns."""
    if isinstance(document, list):
        return set().union(*(_times(part, columns) for part in document))
    if not isinstance(document, dict):
        return set()
    properties = document.get("properties")
    if isinstance(properties, dict) and columns <= properties.keys():
        return {
            name for name in columns if isinstance(properties[name], dict) and properties[name].get("format") == "date-time"
        }
    return set().union(*(_times(part, columns) for part in document.values()))


def wait_until_ready(
    endpoint: str, name: str, timeout: float = 60.0, *, headers: Headers | None = None, poll: float = POLL_SECONDS
) -> None:
    """Return as soon as the model reports that it is ready.

    Raises:
        ServiceUnavailable: If it is not ready within `timeout` seconds, with the last reason.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            _call(endpoint, "GET", f"/v2/models/{name}/ready", None, headers, min(5.0, max(0.1, timeout)))
        except (ServiceUnavailable, InputError) as reason:
            if time.monotonic() + poll > deadline:
                message = f"model '{name}' at {endpoint} was not ready after {timeout:g} seconds: {reason}"
                raise ServiceUnavailable(message) from None
            time.sleep(poll)
        else:
            return


def smoke_test(
    endpoint: str,
    name: str,
    baseline: str | Path | bytes,
    *,
    rows: int = SMOKE_ROWS,
    tolerance: float | None = None,
    headers: Headers | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> SmokeTest:
    """Send rows of `baseline.parquet` over V2 and compare each prediction with the one recorded at export.

    Args:
        rows: Number of rows to send, from the first.
        tolerance: Maximum difference of a probability, or of a value as a share of the target's spread. None for the tolerance
            of the export, which the baseline records: quantized variants have a larger one.

    Raises:
        GateFailed: Naming the first row whose label differs, or the row that differs most.
        InputError: If the baseline cannot be read or the server refuses its rows.
        ServiceUnavailable: If the server does not answer.
    """
    from stagewright.components.serving.baseline import judge

    table = _sendable_rows(_read(baseline, rows))
    described = _call(endpoint, "GET", f"/v2/models/{name}", None, headers, timeout)
    tensors = [_tensor(table, given["name"]) for given in described["inputs"]]
    document = _call(endpoint, "POST", f"/v2/models/{name}/infer", {"id": "smoke-test", "inputs": tensors}, headers, timeout)
    outputs = {output["name"]: output["data"] for output in document["outputs"]}
    gate = f"the smoke test of model '{name}' at {endpoint}"
    return SmokeTest(len(table), judge(table, outputs, tolerance, gate=gate))


def _read(baseline: str | Path | bytes, rows: int) -> "pl.DataFrame":
    import polars as pl

    try:
        table = pl.read_parquet(BytesIO(baseline) if isinstance(baseline, bytes) else baseline, n_rows=rows)
    except FileNotFoundError:
        raise InputError(f"no baseline {baseline!s}") from None
    except pl.exceptions.PolarsError as error:
        raise InputError(f"the baseline is not a Parquet file: {str(error).splitlines()[0]}") from None
    if table.is_empty():
        raise InputError("the baseline has no rows")
    return table


def _sendable_rows(table: "pl.DataFrame") -> "pl.DataFrame":
    """The first rows of a table of images or tensors, as many as fit into a request of a few megabytes."""
    import polars as pl

    values = max((prod(dtype.shape) for dtype in table.schema.dtypes() if isinstance(dtype, pl.Array)), default=1)
    return table.head(max(1, MOST_VALUES // values))


def _tensor(table: "pl.DataFrame", name: str) -> dict[str, Any]:
    import polars as pl

    if name not in table.columns:
        raise InputError(f"the baseline has no column '{name}', which the served model takes")
    column = table[name]
    if isinstance(column.dtype, pl.Array):
        array = column.to_numpy()
        datatype = "UINT8" if array.dtype == "uint8" else "FP32"
        return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": array.ravel().tolist()}
    datatypes: dict[Any, str] = {
        pl.Int64: "INT64",
        pl.Float64: "FP64",
        pl.Float32: "FP32",
        pl.Boolean: "BOOL",
        pl.String: "BYTES",
    }
    datatype = datatypes.get(column.dtype, "BYTES")
    if isinstance(column.dtype, pl.Datetime | pl.Date):
        column = column.cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f")
    values = column.fill_nan(None).to_list() if datatype == "FP64" else column.to_list()
    return {"name": name, "datatype": datatype, "shape": [len(table), 1], "data": values}


def _call(endpoint: str, method: str, path: str, body: Any, headers: Headers | None, timeout: float) -> Any:
    """Send one request; returns the JSON of the response."""
    content = None if body is None else json.dumps(_sendable(body), allow_nan=False, default=_as_json).encode()
    with urllib3.PoolManager(retries=urllib3.Retry(connect=1, read=0, redirect=2, status=0, other=0)) as pool:
        try:
            answer = pool.request(
                method, _base(endpoint) + path, body=content, timeout=timeout,
                headers={"Content-Type": "application/json", **(headers or {})}, preload_content=False,
            )  # fmt: skip
            data = read_body(answer, most=LARGEST_ANSWER)
        except urllib3.exceptions.LocationParseError:
            raise InputError(f"'{endpoint}' is not an address; expected http://HOST:PORT") from None
        except urllib3.exceptions.HTTPError as error:
            reason = getattr(error, "reason", None) or error
            raise ServiceUnavailable(f"{endpoint} does not answer: {_plain(reason)}") from None
        except Unreadable as error:
            raise ServiceUnavailable(
                f"{endpoint}{path} answered {answer.status} with {error}, which is no answer to this; check the address"
            ) from None
    return _document(endpoint, path, answer.status, data)


def _document(endpoint: str, path: str, status: int, data: bytes) -> Any:
    document = json_object(data)
    if status == 200 and document is not None:
        return document
    said = document.get("error") if document else None
    sentence = said or data[:SHOWN_CHARACTERS].decode("utf-8", "replace").strip() or "no text"
    refused = f"{endpoint}{path} answered {status}: {sentence}"
    raise InputError(refused) if 400 <= status < 500 and status != 429 else ServiceUnavailable(refused)


def _sendable(value: Any) -> Any:
    """The same document with null for NaN, which JSON does not support."""
    if isinstance(value, Mapping):
        return {name: _sendable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_sendable(inner) for inner in value]
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124 - NaN


def _as_json(value: Any) -> Any:
    """Dates and times as ISO 8601, numpy scalars as Python values."""
    for method in ("isoformat", "item"):
        if hasattr(value, method):
            return getattr(value, method)()
    raise InputError(f"{value!r} cannot be sent to a model; expected text, a number, a boolean, a time or null")


def _base(endpoint: str) -> str:
    """The server's address without the protocol path.

    >>> _base("http://churn.example.com/v1/models/churn:predict")
    'http://churn.example.com'
    """
    for protocol in ("/v1/", "/v2/"):
        endpoint = endpoint.split(protocol, maxsplit=1)[0]
    return endpoint.rstrip("/")


def _plain(reason: object) -> str:
    """The end of urllib3's text, without the object address at its start."""
    return str(reason).rsplit("object at 0x", 1)[-1].split(">: ", 1)[-1].split("): ", 1)[-1]
