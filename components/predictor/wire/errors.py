"""Errors of requests. Each error is one sentence and has the HTTP status of its response."""

from collections.abc import Iterable

from stagewright.components.runtime.errors import StagewrightError, did_you_mean

SHOWN_CHARACTERS = 40  # of a value that the client sent
SHOWN_NAMES = 20


class RequestError(StagewrightError):
    """The request is invalid or cannot be answered."""

    status = 400


class NoSuchPath(RequestError):
    """No route has this path."""

    status = 404

    def __init__(self, path: str) -> None:
        super().__init__(f"nothing is served at {shown(path)}; this server speaks KServe's protocols V1 and V2")


class UnknownModel(RequestError):
    """The request names a model that this server does not have."""

    status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"no model {shown(name)} here; /v2/models lists the models")


class UnknownVersion(RequestError):
    """The request names a version that is not served.

    Args:
        served: The served version; None if the model has no version.
        serving: Whether the model is served at all.
    """

    status = 404

    def __init__(self, model: str, version: str, served: str | None, *, serving: bool = True) -> None:
        rest = f"; served is {served or 'a model without a version'}" if serving else ""
        super().__init__(f"model {shown(model)} has no version {shown(version)} here{rest}")


class ModelNotReady(RequestError):
    """The model is known but not loaded yet.

    V2's specification asks for a 4xx. KServe's own server answers 503, and probes and proxies retry it. The request itself is
    valid.
    """

    status = 503

    def __init__(self, name: str) -> None:
        super().__init__(f"model '{name}' is still loading; try again soon")


class LoadFailed(RequestError):
    """A version could not be loaded. The served version is unchanged."""

    def __init__(self, name: str, problem: str, serving: str | None, *, status: int = 400) -> None:
        rest = f"; {serving} goes on serving" if serving else ""
        super().__init__(f"model {shown(name)} was not loaded: {problem}{rest}")
        self.status = status


class RepositoryClosed(RequestError):
    """Loading and unloading models is switched off."""

    status = 403

    def __init__(self) -> None:
        super().__init__("this server was started with --repository-api off; models cannot be loaded or unloaded")


class MethodNotAllowed(RequestError):
    """The path exists, but not for this method."""

    status = 405

    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(f"{method} is not allowed at {shown(path)}; use {allowed}")
        self.allowed = allowed


class NoExplainer(RequestError):
    """The server has no explainer. KServe's own server answers the same status for a model without one."""

    status = 501

    def __init__(self, name: str) -> None:
        super().__init__(f"model '{name}' has no explainer: this server predicts, at /v1/models/{name}:predict; "
                         "an InferenceService answers :explain where its spec.explainer names one")  # fmt: skip


class QueueFull(RequestError):
    """The model's queue is full.

    Args:
        waiting: Queued requests.
        seconds: Expected seconds until the queue has room.
    """

    status = 429

    def __init__(self, model: str, waiting: int, seconds: int) -> None:
        super().__init__(f"model '{model}' is busy: {counted(waiting, 'request')} before this one; "
                         f"try again in {counted(seconds, 'second')}")  # fmt: skip
        self.retry_after = seconds


class MemoryBudgetExceeded(RequestError):
    """The request bodies in memory use up the memory budget."""

    status = 429

    def __init__(self) -> None:
        super().__init__("too many request bytes in flight; try again in 1 second")
        self.retry_after = 1


class DeadlineExceeded(RequestError):
    """The request's deadline passed before its inference began."""

    status = 504

    def __init__(self, model: str, seconds: float) -> None:
        super().__init__(
            f"the request waited {seconds * 1000:.0f} ms for model '{model}', past its deadline; nothing was computed"
        )


class Disconnected(Exception):
    """The client disconnected before its request was complete or its inference began."""


class TooLarge(RequestError):
    """The request is larger than this server accepts."""

    status = 413


class UnsupportedEncoding(RequestError):
    """The body is compressed."""

    status = 415

    def __init__(self, encoding: str) -> None:
        super().__init__(f"Content-Encoding {shown(encoding)} is not supported; send the body uncompressed")


class UnsupportedMedia(RequestError):
    """The body's media type is not supported."""

    status = 415


class UnknownColumn(RequestError):
    """The request names a column that the model does not have."""

    def __init__(self, got: str, expected: Iterable[str], *, where: str = "", noun: str = "column") -> None:
        names = tuple(expected)
        super().__init__(
            f"{where}the model has no {noun} {shown(got)}{did_you_mean(got[:200], names) or f'; it takes {listed(names)}'}"
        )


class BadColumn(RequestError):
    """A column's values are unusable; `row` counts from 0, as in the request."""

    def __init__(self, column: str, problem: str, *, row: int | None = None) -> None:
        super().__init__(f"column '{column}'{'' if row is None else f', row {row}'}: {problem}")
        self.column, self.row = column, row


class NoNumber(RequestError):
    """The model's output for a row is NaN or infinite, so the response can have neither a label nor a number."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row}: the prediction is not a finite number; the row's values may be too large for this model")
        self.row = row


class BadTensor(RequestError):
    """A tensor of a V2 request is inconsistent or does not fit the model."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"input {shown(name)}: {problem}")
        self.name = name


def shown(value: object) -> str:
    """A value that the client sent, quoted if it is text and shortened if it is long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = str(value)
    text = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
    if not isinstance(value, str):
        return text
    # Non-printable characters are escaped, so that the sentence stays on one line.
    return "'" + "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text) + "'"


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 row", "2 rows"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(names: Iterable[str]) -> str:
    """Names separated by commas, at most 20 of them."""
    every = tuple(names)
    rest = len(every) - SHOWN_NAMES
    return ", ".join(every[:SHOWN_NAMES]) + (f" and {rest} more" if rest > 0 else "")
