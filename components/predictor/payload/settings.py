"""Settings and options of the payload log."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from stagewright.components.runtime.errors import BadParameter

PURPOSE = "the payload log needs the object store"
MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PayloadSettings:
    """Settings of the payload log.

    Attributes:
        destination: `s3://bucket/prefix` or a folder.
        sample: Fraction of requests that are logged, chosen by request id; 1 logs all.
        flush_rows: Rows after which a file is written.
        flush_bytes: Bytes of collected columns after which a file is written.
        flush_seconds: Seconds after which a file is written, even with few rows.
        queue_rows: Most queued rows. Further rows are dropped.
        queue_bytes: Most queued bytes of request bodies. Also most bytes of files that wait for their upload.
        exclude: Inputs and outputs that are never logged.
        tensors: Whether images, tensors and tokens are logged.
    """

    destination: str
    sample: float = 1.0
    flush_rows: int = 20_000
    flush_bytes: int = 16 * MEGABYTE
    flush_seconds: float = 60.0
    queue_rows: int = 100_000
    queue_bytes: int = 64 * MEGABYTE
    exclude: frozenset[str] = frozenset()
    tensors: bool = False


def add_options(add: Callable[..., None]) -> None:
    """Declare the payload log's options.

    Args:
        add: Function that declares an option: its name, and as keywords its environment variable, default and help text.
    """
    variable = "STAGEWRIGHT_PAYLOAD_"
    add("payload-log", variable=f"{variable}LOG",
        text="log predictions as Parquet to s3://BUCKET/PREFIX or a folder (default: no log)")  # fmt: skip
    add("payload-sample", variable=f"{variable}SAMPLE", default="1", text="fraction of requests to log (default: 1)")
    add("payload-exclude", variable=f"{variable}EXCLUDE", default="", text="columns that are never logged, separated by commas")
    add("payload-tensors", variable=f"{variable}TENSORS", default="false", text="log images and tensors too (default: false)")
    add("payload-flush-rows", variable=f"{variable}FLUSH_ROWS", default="20000", text="rows of a file (default: 20000)")
    add("payload-flush-mb", variable=f"{variable}FLUSH_MB", default="16", text="MiB collected for a file (default: 16)")
    add("payload-flush-seconds", variable=f"{variable}FLUSH_SECONDS", default="60",
        text="seconds after which a file is written, even with few rows (default: 60)")  # fmt: skip
    add("payload-queue-rows", variable=f"{variable}QUEUE_ROWS", default="100000",
        text="most queued rows; further rows are dropped (default: 100000)")  # fmt: skip
    add("payload-queue-mb", variable=f"{variable}QUEUE_MB", default="64", text="most queued MiB (default: 64)")


def payload_settings(given: Any) -> PayloadSettings | None:
    """Settings from parsed options; None if the log is disabled.

    Args:
        given: Namespace with the options' values as text.

    Raises:
        BadParameter: If a value is invalid.
        InputError: If an `s3://` URI is malformed, or the environment has no settings of the object store.
    """
    if not given.payload_log:
        return None
    # Imported here, so that a server without a log starts faster.
    from stagewright.components.runtime.settings import StorageSettings, load_settings
    from stagewright.components.runtime.storage import is_remote, parse

    if is_remote(given.payload_log):  # fails here once, not in every worker
        parse(given.payload_log)
        load_settings(StorageSettings, PURPOSE)
    return PayloadSettings(
        destination=given.payload_log,
        sample=_number("payload-sample", given.payload_sample, above=0, at_most=1),
        flush_rows=int(_number("payload-flush-rows", given.payload_flush_rows, above=0)),
        flush_bytes=int(_number("payload-flush-mb", given.payload_flush_mb, above=0) * MEGABYTE),
        flush_seconds=_number("payload-flush-seconds", given.payload_flush_seconds, above=0),
        queue_rows=int(_number("payload-queue-rows", given.payload_queue_rows, above=0)),
        queue_bytes=int(_number("payload-queue-mb", given.payload_queue_mb, above=0) * MEGABYTE),
        exclude=frozenset(name.strip() for name in given.payload_exclude.split(",") if name.strip()),
        tensors=_truth("payload-tensors", given.payload_tensors),
    )


def _number(name: str, value: str, *, above: float, at_most: float = float("inf")) -> float:
    upper = "" if at_most == float("inf") else f" and at most {at_most:g}"
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not (isfinite(number) and above < number <= at_most):
        raise BadParameter(name, got=value, expected=f"a number above {above:g}{upper}")
    return number


def _truth(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0"):
        raise BadParameter(name, got=value, expected="true or false")
    return value.lower() in ("true", "1")
