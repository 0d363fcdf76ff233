"""Addresses in an object store: `s3://bucket/key`."""

import re

from stagewright.components.runtime.errors import InputError

SCHEME = "s3://"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def is_remote(uri: str) -> bool:
    """Whether this names something in an object store."""
    return uri.startswith(SCHEME)


def parse(uri: str) -> tuple[str, str]:
    """Bucket and key of an `s3://` URI; the key is empty for a whole bucket.

    Raises:
        InputError: If it is no such URI.

    >>> parse("s3://models/churn/v1.0.0/")
    ('models', 'churn/v1.0.0/')
    """
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    if not is_remote(uri) or not _BUCKET.fullmatch(bucket):
        raise InputError(
            f"'{uri}' is not the URI of an object; expected s3://BUCKET/KEY with a lower-case bucket of 3 to 63 characters"
        )
    return bucket, key


def join(uri: str, name: str) -> str:
    """The URI of something below another.

    >>> join("s3://models/churn/", "README.md")
    's3://models/churn/README.md'
    """
    return f"{uri.rstrip('/')}/{name}"


def object_key(uri: str) -> tuple[str, str]:
    """Bucket and key of one object.

    Raises:
        InputError: If the URI names a bucket or a folder.
    """
    bucket, key = parse(uri)
    if not key or key.endswith("/"):
        raise InputError(f"'{uri}' names a folder; an object's URI is s3://BUCKET/KEY")
    return bucket, key
