"""What a request can do wrong: each error is one sentence and carries the HTTP status it is answered with."""

from collections.abc import Iterable

from stagewright.components.runtime.errors import StagewrightError, did_you_mean

SHOWN_CHARACTERS = 40  # of a value that the client sent: enough to recognize it, never a megabyte
SHOWN_NAMES = 20


class RequestError(StagewrightError):
    """The request cannot be answered as it is."""

    status = 400


class NoSuchPath(RequestError):
    """Nothing is served under this path."""

    status = 404

    def __init__(self, path: str) -> None:
        super().__init__(f"nothing is served at {shown(path)}; this server speaks KServe's protocols V1 and V2")


class UnknownModel(RequestError):
    """The request names a model that this server does not hold."""

    status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"no model {shown(name)} here; the list of models says which there are")


class UnknownVersion(RequestError):
    """The request names a version that is not the served one.

    Args:
        served: The version that is; None for a model without one.
        serving: Whether any is.
    """

    status = 404

    def __init__(self, model: str, version: str, served: str | None, *, serving: bool = True) -> None:
        rest = f"; served is {served or 'a model without a version'}" if serving else ""
        super().__init__(f"model {shown(model)} has no version {shown(version)} here{rest}")


class ModelNotReady(RequestError):
    """The model is known but not loaded yet.

    V2's text asks for a 4xx here. 503 is what KServe's own server answers, what probes and proxies take for "try again", and
    true: nothing is wrong with the request.
    """

    status = 503

    def __init__(self, name: str) -> None:
        super().__init__(f"model '{name}' is still loading; try again soon")


class LoadFailed(RequestError):
    """A version could not be loaded; what was served goes on."""

    def __init__(self, name: str, problem: str, serving: str | None, *, status: int = 400) -> None:
        rest = f"; {serving} goes on serving" if serving else ""
        super().__init__(f"model {shown(name)} was not loaded: {problem}{rest}")
        self.status = status


class RepositoryClosed(RequestError):
    """The server was started so that nobody may load or unload models."""

    status = 403

    def __init__(self) -> None:
        super().__init__("this server was started with --repository-api off; its models are those it was started with")


class MethodNotAllowed(RequestError):
    """The path exists, but not for this method."""

    status = 405

    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(f"{method} is not allowed at {shown(path)}; use {allowed}")
        self.allowed = allowed


class NoExplainer(RequestError):
    """Nobody here explains predictions; KServe's own server answers the same status for a model without an explainer."""

    status = 501

    def __init__(self, name: str) -> None:
        super().__init__(f"model '{name}' has no explainer: this server predicts, at /v1/models/{name}:predict; "
                         "an InferenceService answers :explain where its spec.explainer names one")  # fmt: skip


class QueueFull(RequestError):
    """More waits than the server takes.

    Args:
        waiting: Requests before this one.
        seconds: After which there will be room.
    """

    status = 429

    def __init__(self, model: str, waiting: int, seconds: int) -> None:
        super().__init__(f"model '{model}' is busy: {counted(waiting, 'request')} before this one; "
                         f"try again in {counted(seconds, 'second')}")  # fmt: skip
        self.retry_after = seconds


class MemoryBudgetExceeded(RequestError):
    """The bodies of the requests that are being answered fill the memory that they may take."""

    status = 429

    def __init__(self) -> None:
        super().__init__("the server holds as many bytes of requests as it may; try again in 1 second")
        self.retry_after = 1


class DeadlineExceeded(RequestError):
    """The time that the client gave the request passed before its inference began."""

    status = 504

    def __init__(self, model: str, seconds: float) -> None:
        super().__init__(
            f"the request waited {seconds * 1000:.0f} ms for model '{model}', and its time is over; nothing was computed"
        )


class Disconnected(Exception):
    """The client went away before its request was complete or begun: there is nobody to answer."""


class TooLarge(RequestError):
    """The request is larger than this server accepts."""

    status = 413


class UnsupportedEncoding(RequestError):
    """The body is compressed."""

    status = 415

    def __init__(self, encoding: str) -> None:
        super().__init__(f"Content-Encoding {shown(encoding)} is not supported; send the body uncompressed")


class UnsupportedMedia(RequestError):
    """The body is of a kind that is not taken here."""

    status = 415


class UnknownColumn(RequestError):
    """The request names a column that the model does not take."""

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
    """The model answers a row with what is no finite number: there is no label to be made of it, nor a number to be sent."""

    def __init__(self, row: int) -> None:
        super().__init__(
            f"row {row}: the model's answer is not a number; its values are too large for this model, or have no answer"
        )
        self.row = row


class BadTensor(RequestError):
    """A tensor of a V2 request contradicts itself or the model."""

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
    # A sentence stays on one line, whatever the client put into it.
    return "'" + "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text) + "'"


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 row", "2 rows"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(names: Iterable[str]) -> str:
    """Names separated by commas, as many as a sentence can bear."""
    every = tuple(names)
    rest = len(every) - SHOWN_NAMES
    return ", ".join(every[:SHOWN_NAMES]) + (f" and {rest} more" if rest > 0 else "")
