"""The minio client as we use it: our own time limits, no retries of its own, progress in our log."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.settings import StorageSettings

if TYPE_CHECKING:
    from minio import Minio

CONNECT_SECONDS, READ_SECONDS = 5.0, 60.0


def connect(store: StorageSettings, variable: str) -> "Minio":
    """A client of a store.

    Args:
        variable: The environment variable that holds its endpoint, for messages.

    Raises:
        InputError: If the endpoint is no address that the client takes.
    """
    import certifi
    import urllib3
    from minio import Minio

    url = urlsplit(store.endpoint)
    token = store.session_token.get_secret_value() if store.session_token else None
    # Retries are ours alone: the client's own would multiply with them and hide what happened.
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS), maxsize=10, retries=False,
        cert_reqs="CERT_REQUIRED", ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
    )  # fmt: skip
    try:
        return Minio(
            url.netloc, access_key=store.access_key, secret_key=store.secret_key.get_secret_value(), session_token=token,
            region=store.region, secure=url.scheme == "https", http_client=pool,
        )  # fmt: skip
    except ValueError as error:
        raise InputError(f"{variable} is '{store.endpoint}', which is no address of an object store: {error}") from None


class PartProgress:
    """What the minio client reports its progress to."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        self.advance = advance

    def set_meta(self, object_name: str, total_length: int) -> None:
        """The client announces what we already know."""

    def update(self, length: int) -> None:
        self.advance(length)
