"""What is tried again, how often, and the sentence for what is not."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from minio.error import InvalidResponseError, S3Error, ServerError
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError, ProtocolError, ReadTimeoutError, SSLError

from stagewright.components.runtime import storage_faults
from stagewright.components.runtime.errors import InputError, ServiceUnavailable, StagewrightError
from stagewright.components.runtime.storage_faults import Faults, is_transient

URI = "s3://models/churn/v1.0.0/manifest.json"
STORE = "the object store at http://store:9000"


def s3(code: str, status: int = 400, message: str = "as the store says") -> S3Error:
    return S3Error(SimpleNamespace(status=status), code, message, "churn", "1", "1")  # type: ignore[arg-type]


# The words of a real JuiceFS gateway whose volume is full, or is served to be read only.
FULL = s3("InternalError", 500, "We encountered an internal error, please try again.: cause(no space left on device)")
READ_ONLY = s3("InternalError", 500, "We encountered an internal error, please try again.: cause(read-only file system)")


def tried(fault: Exception, *, patience: float = 0.5, fails: int = 1000) -> tuple[int, object]:
    """How often an operation is tried that fails that many times, and what comes of it."""
    times = 0

    def operation() -> str:
        nonlocal times
        times += 1
        if times <= fails:
            raise fault
        return "done"

    result: object
    try:
        result = Faults("http://store:9000", "AWS_ENDPOINT_URL", patience).retrying(URI, operation)
    except StagewrightError as error:
        result = error
    return times, result


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of each pause; nobody really waits, and chance makes each a quarter longer, so that they are exact numbers."""
    waited: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: sum(waited), sleep=waited.append)
    monkeypatch.setattr(storage_faults, "time", clock)
    monkeypatch.setattr(storage_faults.random, "uniform", lambda low, high: 1.25 if (low, high) == (0.5, 1.0) else 0)
    return waited


TLS = SSLError("certificate verify failed")
REFUSED = MaxRetryError(None, "/", NewConnectionError(None, "refused"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fault",
    [
        FULL,
        READ_ONLY,
        s3("XMinioStorageFull", 507),
        TLS,
        s3("NoSuchKey", 404),
        s3("AccessDenied", 403),
        InvalidResponseError(404, "", ""),
    ],
)
def test_what_does_not_pass_is_tried_once(fault: Exception, pauses: list[float]) -> None:
    times, error = tried(fault, patience=60)

    assert (times, pauses) == (1, [])
    assert isinstance(error, StagewrightError)


@pytest.mark.parametrize("fault", [REFUSED, ProtocolError("reset"), s3("SlowDown", 503), ServerError("busy", 503)])
def test_what_may_pass_is_tried_until_it_does(fault: Exception, pauses: list[float]) -> None:
    assert tried(fault, patience=60, fails=6) == (7, "done")
    assert pauses == [0.25, 0.5, 1.0, 2.0, 3.75, 3.75]


@pytest.mark.parametrize(("patience", "attempts"), [(1.75, 4), (1.74, 3), (0.25, 2), (0.24, 1)])
def test_no_attempt_begins_after_the_patience(pauses: list[float], patience: float, attempts: int) -> None:
    times, error = tried(REFUSED, patience=patience)

    assert (times, pauses) == (attempts, [0.25, 0.5, 1.0][: attempts - 1])
    assert str(error).startswith(f"{STORE} does not answer (")
    assert str(error).endswith("; start it or correct AWS_ENDPOINT_URL")


@pytest.mark.parametrize(
    ("fault", "transient"),
    [
        *((s3(code), True) for code in ("SlowDown", "SlowDownRead", "SlowDownWrite", "RequestTimeout", "ServiceUnavailable")),
        (s3("InternalError"), True),
        *((s3("Other", status), True) for status in (429, 500, 502, 503, 504)),
        *((s3("Other", status), False) for status in (400, 404, 412, 501, 505, 507)),
        *((s3(code), False) for code in ("XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded")),
        (FULL, False),
        (READ_ONLY, False),
        *((ServerError("", status), True) for status in (429, 500, 502, 503, 504)),
        *((ServerError("", status), False) for status in (301, 501, 505)),
        (InvalidResponseError(500, "text/html", ""), True),
        (InvalidResponseError(499, "text/html", ""), False),
        (HTTPError("any"), True),
        (TLS, False),
        (OSError("another"), False),
    ],
    ids=lambda one: type(one).__name__ + str(getattr(one, "code", "")),
)
def test_a_fault_is_transient(fault: Exception, transient: bool) -> None:
    assert is_transient(fault) is transient


KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY and what their user may do"
UNWRITTEN = f"{URI} cannot be written; free some space in"
QUOTA = f"the quota of bucket 'models' in {STORE} is used up"
WRITABLE = "make its disk writable or choose another store"
LOOK = "look at its log, and whether its disk is full"
TOKEN = "renew the key and AWS_SESSION_TOKEN, or unset the token"


@pytest.mark.parametrize(
    ("fault", "kind", "sentence"),
    [
        *(
            (s3(code), InputError, f"{STORE} refuses access to {URI} ({code}); {KEYS}")
            for code in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed")
        ),
        *(
            (s3(code), InputError, f"{STORE} refuses access to {URI} ({code}); {TOKEN}")
            for code in ("InvalidTokenId", "ExpiredToken", "InvalidToken")
        ),
        (
            s3("NoSuchBucket"),
            InputError,
            f"there is no bucket 'models' in {STORE}; create it or correct the URI",
        ),
        (s3("NoSuchKey"), InputError, f"there is no object {URI} in {STORE}"),
        (s3("ResourceNotFound"), InputError, f"there is no object {URI} in {STORE}"),
        (s3("PreconditionFailed"), InputError, f"{URI} was replaced while it was read; read it again"),
        (
            TLS,
            ServiceUnavailable,
            f"{STORE} does not answer (certificate verify failed); correct AWS_ENDPOINT_URL, whose scheme says https",
        ),
        (
            ReadTimeoutError(None, "/", "Read  timed\nout."),  # type: ignore[arg-type]
            ServiceUnavailable,
            f"{STORE} does not answer (None: Read timed out.); start it or correct AWS_ENDPOINT_URL",
        ),
        *(
            (fault, ServiceUnavailable, f"{STORE} has no space left ({words}): {UNWRITTEN} it or give it a larger disk")
            for fault, words in (
                (s3("XMinioStorageFull", 507), "XMinioStorageFull: as the store says"),
                (s3("Other", 507), "Other: as the store says"),
                (FULL, f"InternalError: {FULL.message}"),
            )
        ),
        *(
            (s3(code), ServiceUnavailable, f"{QUOTA} ({code}): {UNWRITTEN} it or have the quota raised")
            for code in ("XMinioAdminBucketQuotaExceeded", "QuotaExceeded")
        ),
        (
            READ_ONLY,
            InputError,
            f"{STORE} can only be read (InternalError: {READ_ONLY.message}): {URI} cannot be written; {WRITABLE}",
        ),
        *(
            (
                s3(code, status),
                ServiceUnavailable,
                f"{STORE} is too busy for {URI} ({code}: as the store says); try again later",
            )
            for code, status in (("SlowDown", 503), ("SlowDownWrite", 400), ("Other", 429), ("Other", 503))
        ),
        *(
            (
                s3(code, status),
                ServiceUnavailable,
                f"{STORE} failed at {URI} by an error of its own ({code}: as the store says); {LOOK}",
            )
            for code, status in (("InternalError", 500), ("InternalError", 400), ("Other", 502))
        ),
        (
            s3("RequestTimeTooSkewed", 403),
            InputError,
            f"the clocks of this machine and of {STORE} differ by more than it allows (RequestTimeTooSkewed); set them right",
        ),
        (
            s3("Odd"),
            ServiceUnavailable,
            f"{STORE} cannot do what was asked of {URI}: as the store says; check that AWS_ENDPOINT_URL is an S3 endpoint",
        ),
    ],
)
def test_each_fault_has_its_sentence(fault: Exception, kind: type[Exception], sentence: str) -> None:
    error = Faults("http://store:9000", "AWS_ENDPOINT_URL", 0).explain(fault, URI)

    assert (type(error), str(error)) == (kind, sentence)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("<urllib3.connection.HTTPConnection object at 0x7f>: Failed to connect", "Failed to connect"),
        ("HTTPConnectionPool(host='store', port=9000): Read timed out", "Read timed out"),
        ("HTTPSConnection(host='store', port=9000): refused", "refused"),
        ("x" * 300, "x" * 256),
    ],
)
def test_what_says_nothing_to_a_reader_is_left_out(message: str, shown: str) -> None:
    assert storage_faults._reason(HTTPError(message)) == shown


def test_what_is_no_fault_of_the_store_is_raised_as_it_is() -> None:
    def broken() -> None:
        raise KeyError("mine")

    operation: Callable[[], None] = broken
    with pytest.raises(KeyError, match="mine"):
        Faults("http://store:9000", "AWS_ENDPOINT_URL", 60).retrying(URI, operation)
