"""What can go wrong between us and an object store: what is worth another try, and the sentence for what is not."""

import itertools
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import InputError, ServiceUnavailable, StagewrightError

Result = TypeVar("Result")

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 3.0
_BUSY = {"SlowDown", "SlowDownRead", "SlowDownWrite", "RequestTimeout", "ServiceUnavailable", "InternalError"}
_REFUSED = {
    "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidTokenId", "ExpiredToken", "InvalidToken",
    "AuthorizationHeaderMalformed",
}  # fmt: skip
_FULL = {"XMinioStorageFull", "StorageFull", "InsufficientStorage", "InsufficientCapacity"}
_QUOTA = {"XMinioAdminBucketQuotaExceeded", "QuotaExceeded"}
# What a store that keeps its objects in files tells of its disk, in the message of an InternalError.
_DISK_FULL = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_DISK_READ_ONLY = re.compile(r"read-only file system", re.IGNORECASE)
_INSUFFICIENT_STORAGE = 507  # of HTTP
_TOKEN = {"InvalidTokenId", "ExpiredToken", "InvalidToken"}
_SHOWN = 256  # characters of a foreign answer that go into our sentence


class Faults:
    """Retries and errors of one store.

    Args:
        endpoint: The store's URL, as it was configured.
        variable: The environment variable that holds it.
        patience: Seconds after which no further attempt is started.
    """

    def __init__(self, endpoint: str, variable: str, patience: float) -> None:
        self.endpoint, self.variable, self.patience = endpoint, variable, patience

    def retrying(self, uri: str, operation: Callable[[], Result]) -> Result:
        """Run an idempotent operation, again after network faults and 5xx answers, with exponential backoff and full jitter.

        Raises:
            ServiceUnavailable: If the store does not answer within the patience, is full, or answers something unusable.
            InputError: If it refuses the credentials, or the bucket or the object does not exist.
        """
        from minio.error import MinioException
        from urllib3.exceptions import HTTPError

        deadline = time.monotonic() + self.patience
        for attempt in itertools.count():
            try:
                return operation()
            except (MinioException, HTTPError) as fault:
                pause = random.uniform(0.5, 1.0) * min(FIRST_PAUSE_SECONDS * 2**attempt, LONGEST_PAUSE_SECONDS)  # noqa: S311
                if not is_transient(fault) or time.monotonic() + pause > deadline:
                    raise self.explain(fault, uri) from fault
                logs.event("storage_retry", uri=uri, attempt=attempt + 1, seconds=round(pause, 2), reason=_reason(fault))
                time.sleep(pause)
        raise AssertionError("unreachable: the loop ends by returning or raising")

    def explain(self, fault: Exception, uri: str) -> StagewrightError:
        """The one sentence for a fault that is final."""
        store = f"the object store at {self.endpoint}"
        code = getattr(fault, "code", None)
        for sentence in (_not_allowed, _not_there, _not_writable, _not_now):
            if known := sentence(fault, code, uri, store):
                return known
        if is_transient(fault) or _is_tls(fault):
            advice = (
                f"correct {self.variable}, whose scheme says https"
                if _is_tls(fault)
                else f"start it or correct {self.variable}"
            )
            return ServiceUnavailable(f"{store} does not answer ({_reason(fault)}); {advice}")
        return ServiceUnavailable(
            f"{store} cannot do what was asked of {uri}: {_reason(fault)}; check that {self.variable} is an S3 endpoint"
        )


def _not_allowed(fault: Exception, code: str | None, uri: str, store: str) -> StagewrightError | None:
    if code == "RequestTimeTooSkewed":
        return InputError(f"the clocks of this machine and of {store} differ by more than it allows ({code}); set them right")
    if code not in _REFUSED:
        return None
    advice = (
        "renew the key and AWS_SESSION_TOKEN, or unset the token"
        if code in _TOKEN
        else "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY and what their user may do"
    )
    return InputError(f"{store} refuses access to {uri} ({code}); {advice}")


def _not_there(fault: Exception, code: str | None, uri: str, store: str) -> StagewrightError | None:
    if code == "NoSuchBucket":
        return InputError(f"there is no bucket '{_bucket(uri)}' in {store}; create it or correct the URI")
    if code in {"NoSuchKey", "ResourceNotFound"}:
        return InputError(f"there is no object {uri} in {store}")
    if code == "PreconditionFailed":
        return InputError(f"{uri} was replaced while it was read; read it again")
    return None


def _not_writable(fault: Exception, code: str | None, uri: str, store: str) -> StagewrightError | None:
    """What keeps the store from writing anything."""
    if code in _QUOTA:
        what = f"the quota of bucket '{_bucket(uri)}' in {store} is used up ({code})"
        return ServiceUnavailable(f"{what}: {uri} cannot be written; free some space in it or have the quota raised")
    if _is_full(fault):
        what = f"{store} has no space left ({_words(fault)})"
        return ServiceUnavailable(f"{what}: {uri} cannot be written; free some space in it or give it a larger disk")
    if _is_read_only(fault):
        what = f"{store} can only be read ({_words(fault)})"
        return InputError(f"{what}: {uri} cannot be written; make its disk writable or choose another store")
    return None


def _not_now(fault: Exception, code: str | None, uri: str, store: str) -> StagewrightError | None:
    """A store that answers, but not now: it is there, and the address is right."""
    from minio.error import S3Error

    if not isinstance(fault, S3Error) or not is_transient(fault):
        return None
    if code in _BUSY - {"InternalError"} or fault.response.status in {429, 503}:
        return ServiceUnavailable(f"{store} is too busy for {uri} ({_words(fault)}); try again later")
    what = f"{store} failed at {uri} by an error of its own ({_words(fault)})"
    return ServiceUnavailable(f"{what}; look at its log, and whether its disk is full")


def _bucket(uri: str) -> str:
    return uri.removeprefix("s3://").partition("/")[0]


def is_transient(fault: Exception) -> bool:
    """Whether the same request may succeed a moment later: a network fault, a 5xx answer, or a plea to slow down."""
    from minio.error import InvalidResponseError, S3Error, ServerError
    from urllib3.exceptions import HTTPError

    if isinstance(fault, S3Error):
        if _is_full(fault) or _is_read_only(fault):
            return False  # a moment later it is no emptier
        return fault.code in _BUSY or fault.response.status in {429, 500, 502, 503, 504}
    if isinstance(fault, ServerError):
        return fault.status_code in {429, 500, 502, 503, 504}
    if isinstance(fault, InvalidResponseError):
        return int(getattr(fault, "_code", 0)) >= 500
    return isinstance(fault, HTTPError) and not _is_tls(fault)


def _is_tls(fault: Exception) -> bool:
    from urllib3.exceptions import SSLError

    return isinstance(fault, SSLError)


def _is_full(fault: Exception) -> bool:
    status = getattr(getattr(fault, "response", None), "status", None)
    return getattr(fault, "code", None) in _FULL or status == _INSUFFICIENT_STORAGE or _says(fault, _DISK_FULL)


def _is_read_only(fault: Exception) -> bool:
    return _says(fault, _DISK_READ_ONLY)


def _says(fault: Exception, of_its_disk: re.Pattern[str]) -> bool:
    return getattr(fault, "code", None) == "InternalError" and bool(of_its_disk.search(_reason(fault)))


def _words(fault: Exception) -> str:
    """The code of an answer and what the store says to it."""
    return ": ".join(filter(None, [getattr(fault, "code", None), _reason(fault).rstrip(".")]))


def _reason(fault: Exception) -> str:
    message = getattr(fault, "message", None) or str(fault)
    text = " ".join(str(message).split())
    # urllib3 begins with the connection object, which tells a reader nothing.
    text = re.sub(r"^(<.*>|HTTPS?Connection(Pool)?\(.*?\)): ", "", text)
    return text[:_SHOWN]
