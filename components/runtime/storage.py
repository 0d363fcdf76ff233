"""Objects in an S3 store (MinIO, or the embedded one of a laptop), addressed as `s3://bucket/key`.

Every operation may be repeated, is retried on network faults, and fails with one sentence that names what to change.
"""

import builtins
import contextlib
import hashlib
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeVar, cast
from urllib.parse import urlsplit

from stagewright.components.runtime import settings
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.progress import progress
from stagewright.components.runtime.storage_faults import Faults
from stagewright.components.runtime.storage_reader import ObjectReader

if TYPE_CHECKING:
    from minio import Minio

Result = TypeVar("Result")

SCHEME = "s3://"
PATIENCE_SECONDS = 15.0
CONNECT_SECONDS, READ_SECONDS = 5.0, 60.0
CHUNK = 1 << 20
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One stored object; size in bytes."""

    uri: str
    size: int
    etag: str
    modified: datetime | None = None


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


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ObjectStore:
    """An S3 object store.

    Args:
        store: Where it is and how to sign in.
        patience: Seconds after which a store that does not answer is given up.
    """

    def __init__(self, store: settings.StorageSettings, *, patience: float = PATIENCE_SECONDS) -> None:
        variable = next(
            (name for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") if os.environ.get(name)), "AWS_ENDPOINT_URL"
        )
        self.settings = store
        self.faults = Faults(store.endpoint, variable, patience)
        self._client = _connect(store, variable)

    @classmethod
    def from_environment(cls, purpose: str) -> Self:
        """The store that the environment names.

        Args:
            purpose: What it is needed for: "the object store is needed to publish a model".

        Raises:
            MissingSetting: Naming every variable that is not set.
        """
        return cls(settings.load(settings.StorageSettings, purpose))

    def ensure_bucket(self, bucket: str) -> None:
        """Create a bucket unless it exists."""
        from minio.error import S3Error

        parse(f"{SCHEME}{bucket}")

        def create() -> None:
            if self._client.bucket_exists(bucket):
                return
            try:
                self._client.make_bucket(bucket)
            except S3Error as error:
                if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:  # another process was faster
                    raise

        self._try(f"{SCHEME}{bucket}", create)

    def exists(self, uri: str) -> bool:
        """Whether there is an object of this name; for a URI that ends in `/`, whether anything lies below it."""
        from minio.error import S3Error

        bucket, key = parse(uri)

        def look() -> bool:
            try:
                if key.endswith("/") or not key:
                    return next(iter(self._client.list_objects(bucket, key, recursive=True)), None) is not None
                self._client.stat_object(bucket, key)
            except S3Error as error:
                if error.code in {"NoSuchKey", "NoSuchBucket"}:
                    return False
                raise
            return True

        return self._try(uri, look)

    def stat(self, uri: str) -> ObjectInfo:
        """Size and ETag of an object.

        Raises:
            InputError: If there is none.
        """
        bucket, key = parse(uri)
        return self._try(uri, lambda: _info(bucket, self._client.stat_object(bucket, key)))

    def list(self, uri: str) -> builtins.list[ObjectInfo]:
        """Every object whose URI begins with this one, at any depth, sorted by URI."""
        bucket, prefix = parse(uri)

        def look() -> builtins.list[ObjectInfo]:
            found = self._client.list_objects(bucket, prefix, recursive=True)
            return sorted((_info(bucket, item) for item in found if not item.is_dir), key=lambda info: info.uri)

        return self._try(uri, look)

    def children(self, uri: str) -> tuple[builtins.list[str], builtins.list[str]]:
        """Names of what lies directly below a URI that ends in `/`: of folders, and of objects."""
        bucket, prefix = parse(uri)

        def look() -> tuple[builtins.list[str], builtins.list[str]]:
            found = builtins.list(self._client.list_objects(bucket, prefix, recursive=False))
            names = [(str(item.object_name).removeprefix(prefix), item.is_dir) for item in found]
            return sorted(name.rstrip("/") for name, folder in names if folder), sorted(
                name for name, folder in names if name and not folder
            )

        return self._try(uri, look)

    def open(self, uri: str) -> BinaryIO:
        """A readable, seekable stream of an object; it goes on where it was when the connection breaks."""
        return cast(BinaryIO, io.BufferedReader(self._reader(uri), CHUNK))

    def _reader(self, uri: str) -> ObjectReader:
        bucket, key = _key(uri)
        info = self.stat(uri)

        def request(offset: int) -> Any:
            # Ask for the same content that was begun, should somebody replace the object meanwhile.
            condition: Any = {"If-Match": f'"{info.etag}"'} if info.etag else {}
            return self._client.get_object(bucket, key, offset=offset, request_headers=condition)

        return ObjectReader(uri, info.size, request, self.faults)

    def read(self, uri: str) -> bytes:
        """The whole content of an object."""
        with self.open(uri) as stream:
            return stream.read()

    def write(self, uri: str, data: bytes) -> None:
        """Write an object, replacing an earlier one."""
        bucket, key = _key(uri)
        self._try(uri, lambda: self._client.put_object(bucket, key, io.BytesIO(data), len(data)))

    def download(self, uri: str, path: str | Path) -> None:
        """Copy an object to a file; the file appears complete or not at all."""
        with (
            self._reader(uri) as reader,
            replacing(path) as file,
            progress(f"download {uri}", total=reader.size, unit="bytes") as advance,
        ):
            while chunk := reader.read(CHUNK):
                file.write(chunk)
                advance(len(chunk))

    def download_folder(self, uri: str, folder: str | Path) -> builtins.list[Path]:
        """Copy every object below a URI into a folder; the files, sorted.

        Raises:
            InputError: If there is nothing below it, or a name would leave the folder.
        """
        prefix = uri.rstrip("/") + "/"
        found = self.list(prefix)
        if not found:
            raise InputError(f"there is nothing at {prefix} in the object store at {self.settings.endpoint}")
        paths = []
        for info in found:
            path = Path(folder) / info.uri.removeprefix(prefix)
            if not path.resolve().is_relative_to(Path(folder).resolve()):
                raise InputError(f"the object {info.uri} cannot be copied: its name leaves the folder")
            self.download(info.uri, path)
            paths.append(path)
        return paths

    def upload(self, path: str | Path, uri: str) -> None:
        """Copy a file to an object, in parts when it is large; the object appears complete or not at all."""
        bucket, key = _key(uri)
        try:
            size = Path(path).stat().st_size
        except FileNotFoundError:
            raise InputError(f"there is no file {path} to copy to {uri}") from None

        def send() -> None:
            with Path(path).open("rb") as file, progress(f"upload {uri}", total=size, unit="bytes") as advance:
                self._client.put_object(bucket, key, file, size, progress=cast(Any, _PartProgress(advance)))

        self._try(uri, send)

    def upload_folder(self, folder: str | Path, uri: str) -> None:
        """Copy every file of a folder, at any depth, below a URI."""
        for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            self.upload(path, join(uri, path.relative_to(folder).as_posix()))

    def delete(self, uri: str) -> None:
        """Remove an object; nothing happens if there is none."""
        bucket, key = _key(uri)
        self._try(uri, lambda: self._client.remove_object(bucket, key))

    def _try(self, uri: str, operation: Callable[[], Result]) -> Result:
        return self.faults.retrying(uri, operation)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A temporary file beside `path` that takes its place when the block succeeds, and vanishes when it does not."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class _PartProgress:
    """What the minio client reports its progress to."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        self.advance = advance

    def set_meta(self, object_name: str, total_length: int) -> None:
        """The client announces what we already know."""

    def update(self, length: int) -> None:
        self.advance(length)


def _connect(store: settings.StorageSettings, variable: str) -> "Minio":
    import certifi
    import urllib3
    from minio import Minio

    url = urlsplit(store.endpoint)
    if url.scheme not in {"http", "https"} or not url.hostname or url.path.strip("/"):
        raise InputError(f"{variable} is '{store.endpoint}'; expected a URL without a path, such as http://127.0.0.1:9000")
    # Retries are ours alone: the client's own would multiply with them and hide what happened.
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS), maxsize=10, retries=False,
        cert_reqs="CERT_REQUIRED", ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
    )  # fmt: skip
    return Minio(
        url.netloc, access_key=store.access_key, secret_key=store.secret_key.get_secret_value(), region=store.region,
        secure=url.scheme == "https", http_client=pool,
    )  # fmt: skip


def _key(uri: str) -> tuple[str, str]:
    bucket, key = parse(uri)
    if not key or key.endswith("/"):
        raise InputError(f"'{uri}' names a folder; an object's URI is s3://BUCKET/KEY")
    return bucket, key


def _info(bucket: str, item: Any) -> ObjectInfo:
    return ObjectInfo(f"{SCHEME}{bucket}/{item.object_name}", item.size or 0, (item.etag or "").strip('"'), item.last_modified)
