"""Download of files over http(s), in chunks, with retries."""

import random
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import urllib3

from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.components.runtime.progress import progress

ATTEMPTS = 5
FIRST_WAIT_SECONDS = 0.5
TIMEOUT = urllib3.Timeout(connect=10, read=60)
PIECE_BYTES = 1 << 20
_WORTH_ANOTHER_TRY = {408, 425, 429, 500, 502, 503, 504}


def public_url(url: str) -> str:
    """A URL for logs: without credentials and without the query, which may contain a signature."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def file_name(url: str) -> str:
    """The last part of a URL's path."""
    return Path(unquote(urlsplit(url).path)).name


def download(url: str, path: Path) -> None:
    """Copy the content behind a URL to a file.

    Raises:
        InputError: If the server refuses the request.
        ServiceUnavailable: If it does not answer, or the connection breaks, `ATTEMPTS` times.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _copy(url, path)
        except (urllib3.exceptions.HTTPError, _BusyError) as error:
            reason = _reason(error)
        if attempt < ATTEMPTS:
            wait = FIRST_WAIT_SECONDS * 2 ** (attempt - 1) * random.uniform(0.8, 1.2)  # noqa: S311
            logs.event("download_retried", url=public_url(url), attempt=attempt, reason=reason, wait_seconds=round(wait, 2))
            time.sleep(wait)
    raise ServiceUnavailable(f"{public_url(url)} could not be read in {ATTEMPTS} attempts: {reason}")


class _BusyError(Exception):
    """The server is temporarily unavailable."""


def _copy(url: str, path: Path) -> None:
    parts = urlsplit(url)
    sign_in = unquote(parts.netloc.rpartition("@")[0])
    headers = urllib3.make_headers(basic_auth=sign_in or None, user_agent="stagewright")
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    with urllib3.PoolManager(timeout=TIMEOUT) as pool:
        retries = urllib3.Retry(total=5, connect=0, read=0, redirect=5, status=0, other=0)
        answer = pool.request("GET", bare, headers=headers, preload_content=False, retries=retries)
        if answer.status in _WORTH_ANOTHER_TRY:
            raise _BusyError(f"status {answer.status} {answer.reason or ''}".rstrip())
        if answer.status != 200:
            raise InputError(
                f"{public_url(url)} cannot be read: the server answers {answer.status} {answer.reason or ''}".rstrip()
            )
        size = int(answer.headers.get("Content-Length", 0)) or None
        with path.open("wb") as file, progress(f"download {file_name(url)}", total=size, unit="bytes") as advance:
            for piece in answer.stream(PIECE_BYTES, decode_content=True):
                file.write(piece)
                advance(len(piece))


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", None)
    text = str(cause or error)
    return text.rpartition(": ")[2] if "Failed to establish" in text else text
