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
            ServiceUnavailable: If the store does not answer within the patience, or answers something unusable.
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
        code = getattr(fault, "code", None)
        if code in _REFUSED:
            advice = (
                "renew the key and AWS_SESSION_TOKEN, or unset the token"
                if code in _TOKEN
                else "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY and what their user may do"
            )
            return InputError(f"the object store at {self.endpoint} refuses access to {uri} ({code}); {advice}")
        if code == "NoSuchBucket":
            bucket = uri.removeprefix("s3://").partition("/")[0]
            return InputError(
                f"there is no bucket '{bucket}' in the object store at {self.endpoint}; create it or correct the URI"
            )
        if code in {"NoSuchKey", "ResourceNotFound"}:
            return InputError(f"there is no object {uri} in the object store at {self.endpoint}")
        if code == "PreconditionFailed":
            return InputError(f"{uri} was replaced while it was read; read it again")
        if is_transient(fault) or _is_tls(fault):
            advice = (
                f"correct {self.variable}, whose scheme says https"
                if _is_tls(fault)
                else f"start it or correct {self.variable}"
            )
            return ServiceUnavailable(f"the object store at {self.endpoint} does not answer ({_reason(fault)}); {advice}")
        return ServiceUnavailable(
            f"the object store at {self.endpoint} cannot do what was asked of {uri}: {_reason(fault)}; "
            f"check that {self.variable} is an S3 endpoint"
        )


def is_transient(fault: Exception) -> bool:
    """Whether the same request may succeed a moment later: a network fault, a 5xx answer, or a plea to slow down."""
    from minio.error import InvalidResponseError, S3Error, ServerError
    from urllib3.exceptions import HTTPError

    if isinstance(fault, S3Error):
        return fault.code in _BUSY or fault.response.status in {429, 500, 502, 503, 504}
    if isinstance(fault, ServerError):
        return fault.status_code in {429, 500, 502, 503, 504}
    if isinstance(fault, InvalidResponseError):
        return int(getattr(fault, "_code", 0)) >= 500
    return isinstance(fault, HTTPError) and not _is_tls(fault)


def _is_tls(fault: Exception) -> bool:
    from urllib3.exceptions import SSLError

    return isinstance(fault, SSLError)


def _reason(fault: Exception) -> str:
    message = getattr(fault, "message", None) or str(fault)
    text = " ".join(str(message).split())
    # urllib3 begins with the connection object, which tells a reader nothing.
    text = re.sub(r"^(<.*>|HTTPS?Connection(Pool)?\(.*?\)): ", "", text)
    return text[:_SHOWN]
