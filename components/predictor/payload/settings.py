"""How predictions are logged: where to, how many of them, and how much memory that may take."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from stagewright.components.runtime.errors import BadParameter

PURPOSE = "the payload log needs the object store"
MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PayloadSettings:
    """What the command line and the environment said about the payload log.

    Attributes:
        destination: `s3://bucket/prefix` or a folder; below it follow the model's name and the date.
        sample: Share of the requests that are logged, chosen by their ids; 1 logs all of them.
        flush_rows: Rows after which a file is written.
        flush_bytes: Bytes of collected columns after which a file is written.
        flush_seconds: Seconds after which a file is written, however few rows there are.
        queue_rows: Most rows that wait to be put into columns; what comes while so many wait is dropped.
        queue_bytes: The same in bytes of request bodies; also most bytes of files that wait for the store.
        exclude: Columns that are never logged, inputs or outputs.
        tensors: Log images, tensors and tokens too; without it they are left out.
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
        add: Takes an option's name, and as keywords its environment variable, default and text.
    """
    variable = "STAGEWRIGHT_PAYLOAD_"
    add("payload-log", variable=f"{variable}LOG",
        text="log predictions as Parquet to s3://BUCKET/PREFIX or a folder (default: not at all)")  # fmt: skip
    add("payload-sample", variable=f"{variable}SAMPLE", default="1", text="share of the requests that are logged (default: 1)")
    add("payload-exclude", variable=f"{variable}EXCLUDE", default="", text="columns never logged, separated by commas")
    add("payload-tensors", variable=f"{variable}TENSORS", default="false", text="log images and tensors too (default: false)")
    add("payload-flush-rows", variable=f"{variable}FLUSH_ROWS", default="20000", text="rows of a file (default: 20000)")
    add("payload-flush-mb", variable=f"{variable}FLUSH_MB", default="16", text="MiB collected for a file (default: 16)")
    add("payload-flush-seconds", variable=f"{variable}FLUSH_SECONDS", default="60",
        text="seconds after which a file is written even if small (default: 60)")  # fmt: skip
    add("payload-queue-rows", variable=f"{variable}QUEUE_ROWS", default="100000",
        text="most rows that wait to be logged; more are dropped (default: 100000)")  # fmt: skip
    add("payload-queue-mb", variable=f"{variable}QUEUE_MB", default="64", text="the same in MiB (default: 64)")


def payload_settings(given: Any) -> PayloadSettings | None:
    """Settings from parsed options, None where nothing is to be logged.

    Args:
        given: A namespace with the options' values as text.

    Raises:
        BadParameter: Naming an option whose value cannot be.
        InputError: If an `s3://` URI is malformed, or the environment does not say where the store is.
    """
    if not given.payload_log:
        return None
    # Imported only here: a server that logs nothing starts without them.
    from stagewright.components.runtime.settings import StorageSettings, load_settings
    from stagewright.components.runtime.storage import is_remote, parse

    if is_remote(given.payload_log):  # said here once, not by every worker
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
