"""Objects in an S3 store (MinIO, or the embedded one of a laptop), addressed as `s3://bucket/key`.

Every operation may be repeated, is retried on network faults, and fails with one sentence that names what to change.
"""

import builtins
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar, cast

from stagewright.components.runtime import settings
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.files import replacing, sha256
from stagewright.components.runtime.progress import progress
from stagewright.components.runtime.storage_client import PartProgress, connect
from stagewright.components.runtime.storage_faults import Faults
from stagewright.components.runtime.storage_reader import ObjectReader
from stagewright.components.runtime.storage_uri import SCHEME, is_remote, join, object_key, parse

__all__ = ["SCHEME", "ObjectInfo", "ObjectStore", "is_remote", "join", "parse", "replacing", "sha256"]

Result = TypeVar("Result")

PATIENCE_SECONDS = 15.0
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One stored object; size in bytes."""

    uri: str
    size: int
    etag: str
    modified: datetime | None = None


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
        self._client = connect(store, variable)

    @classmethod
    def from_environment(cls, purpose: str) -> Self:
        """The store that the environment names.

        Args:
            purpose: What it is needed for: "the object store is needed to publish a model".

        Raises:
            MissingSetting: Naming every variable that is not set.
        """
        return cls(settings.load_settings(settings.StorageSettings, purpose))

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
        bucket, key = object_key(uri)
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
        bucket, key = object_key(uri)
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
        bucket, key = object_key(uri)
        try:
            size = Path(path).stat().st_size
        except FileNotFoundError:
            raise InputError(f"there is no file {path} to copy to {uri}") from None

        def send() -> None:
            with Path(path).open("rb") as file, progress(f"upload {uri}", total=size, unit="bytes") as advance:
                self._client.put_object(bucket, key, file, size, progress=cast(Any, PartProgress(advance)))

        self._try(uri, send)

    def upload_folder(self, folder: str | Path, uri: str) -> None:
        """Copy every file of a folder, at any depth, below a URI."""
        for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            self.upload(path, join(uri, path.relative_to(folder).as_posix()))

    def delete(self, uri: str) -> None:
        """Remove an object; nothing happens if there is none."""
        bucket, key = object_key(uri)
        self._try(uri, lambda: self._client.remove_object(bucket, key))

    def delete_if_allowed(self, uri: str) -> bool:
        """Try once to remove an object. Returns whether the store did it."""
        from minio.error import MinioException
        from urllib3.exceptions import HTTPError

        bucket, key = object_key(uri)
        try:
            self._client.remove_object(bucket, key)
        except (MinioException, HTTPError):
            return False
        return True

    def _try(self, uri: str, operation: Callable[[], Result]) -> Result:
        return self.faults.retrying(uri, operation)


def _info(bucket: str, item: Any) -> ObjectInfo:
    return ObjectInfo(f"{SCHEME}{bucket}/{item.object_name}", item.size or 0, (item.etag or "").strip('"'), item.last_modified)
