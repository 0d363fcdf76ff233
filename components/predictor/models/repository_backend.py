"""Sources of models: those of the command line, and a model repository in a folder or an object store.

A repository holds published models in `<name>/<version>/`; the newest version is served. `<name>.json` entries point to models
elsewhere: {"uri": ..., "version": ...}. A request names a model and optionally a version, never a location. So only models of
these sources can be loaded.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

from stagewright.components.predictor.model_source import GRAPH, MANIFEST, SERVING
from stagewright.components.predictor.wire.errors import UnknownModel, UnknownVersion
from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError, StagewrightError
from stagewright.components.runtime.files import read_file
from stagewright.components.runtime.naming import Version

STORE = "s3://"
ENTRY = ".json"
_NAME = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._]{0,127}")
_LARGEST_ENTRY = 64 * 1024


@dataclass(frozen=True, slots=True)
class Location:
    """A version of a model, and its location.

    Attributes:
        version: None means the manifest's version.
        chosen: Whether a request chose this version. A newer version then does not replace it automatically.
    """

    name: str
    uri: str
    version: str | None = None
    chosen: bool = False

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        return cls(**document)


class RepositoryBackend(Protocol):
    """Storage of a model repository."""

    def names(self) -> list[str]:
        """Names of folders, and of entry files with their extension."""

    def versions(self, name: str) -> list[str]:
        """Names of the folders in a model's folder."""

    def complete(self, name: str, version: str) -> bool:
        """Whether a version is complete, so that it can be loaded."""

    def entry(self, name: str) -> bytes | None:
        """Content of `<name>.json`; None if there is none."""

    def uri(self, name: str, version: str) -> str:
        """URI of a version."""

    def allows(self, uri: str) -> bool:
        """Whether an entry may point to this URI."""


class Catalog:
    """The models that may be loaded.

    Args:
        given: Models of the command line. If the repository has a model of the same name, later loads use the repository's.
        repository: A folder or `s3://bucket/prefix`.
    """

    def __init__(self, given: Iterable[Location] = (), repository: str | None = None) -> None:
        self.given = {location.name: location for location in given}
        self.repository = repository
        self._backend: RepositoryBackend | None = None

    def names(self) -> list[str]:
        """Every model that may be loaded.

        Raises:
            InputError: If the repository does not exist or cannot be read.
            ServiceUnavailable: If the object store does not answer.
        """
        there = {name.removesuffix(ENTRY) for name in self._open().names()} if self.repository else set()
        return sorted({*self.given, *(name for name in there if _NAME.fullmatch(name))})

    def find(self, name: str, version: str | None = None) -> Location:
        """Location of a model's newest version, or of the given version.

        Raises:
            UnknownModel: If there is no such model.
            UnknownVersion: If the model has no such version.
            InputError: If its entry cannot be read.
            ServiceUnavailable: If the store does not answer.
        """
        try:
            found = self._look(name, version)
        except UnknownModel:
            if name not in self.given:
                raise
            found = self.given[name]
        if version is None:
            return found
        if found.version not in (None, version):
            raise UnknownVersion(name, version, None, serving=False)
        return replace(found, version=version, chosen=True)

    def _look(self, name: str, version: str | None) -> Location:
        if not self.repository or not _NAME.fullmatch(name):
            raise UnknownModel(name)
        backend = self._open()
        entry = backend.entry(name)
        if entry is not None:
            return self._entry(backend, name, entry)
        newest_first = sorted(filter(_order, backend.versions(name)), key=_rank, reverse=True)
        wanted = newest_first if version is None else [known for known in newest_first if known == version]
        newest = next((known for known in wanted if backend.complete(name, known)), None)
        if newest is None and version is not None and newest_first:
            raise UnknownVersion(name, version, None, serving=False)
        if newest is None:
            self.names()  # raises the repository's own error if it cannot be read
            raise UnknownModel(name)
        return Location(name, backend.uri(name, newest), newest)

    def _entry(self, backend: RepositoryBackend, name: str, content: bytes) -> Location:
        where = f"{name}{ENTRY} in the model repository"
        try:
            document = read_json(content)
            uri, version = document["uri"], document.get("version")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f'{where} is not an entry; expected {{"uri": ..., "version": ...}}') from None
        if not isinstance(uri, str) or not isinstance(version, str | None):
            raise InputError(f"{where} is not an entry; its uri and version must be strings")
        if not backend.allows(uri):
            raise InputError(
                f"{where} points to '{uri}'; expected s3://BUCKET/NAME/VERSION, or a folder in a repository on disk"
            )
        return Location(name, uri, version)

    def _open(self) -> RepositoryBackend:
        if self._backend is None:
            where = self.repository or ""
            self._backend = _Bucket(where) if where.startswith(STORE) else _Folder(Path(where.removeprefix("file://")))
        return self._backend


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        try:
            return [path.name for path in self._folder.iterdir() if path.is_dir() or path.suffix == ENTRY]
        except OSError as error:
            raise InputError(f"the model repository {self._folder} cannot be read: {error.strerror}") from None

    def versions(self, name: str) -> list[str]:
        try:
            return [path.name for path in (self._folder / name).iterdir() if path.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise InputError(f"{self._folder / name} cannot be read: {error.strerror}") from None

    def complete(self, name: str, version: str) -> bool:
        folder = self._folder / name / version
        return any((folder / file).is_file() for file in (MANIFEST, f"{SERVING}/{GRAPH}", GRAPH))

    def entry(self, name: str) -> bytes | None:
        path = self._folder / f"{name}{ENTRY}"
        try:
            return read_file(path, most=_LARGEST_ENTRY)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None

    def uri(self, name: str, version: str) -> str:
        return str(self._folder / name / version)

    def allows(self, uri: str) -> bool:
        return "://" not in uri or uri.startswith((STORE, "file://"))


class _Bucket:
    def __init__(self, uri: str) -> None:
        from stagewright.components.runtime.storage import ObjectStore

        self._uri = uri.rstrip("/")
        self._store = ObjectStore.from_environment("the object store holds the model repository")

    def names(self) -> list[str]:
        folders, objects = self._store.children(f"{self._uri}/")
        return [*folders, *(name for name in objects if name.endswith(ENTRY))]

    def versions(self, name: str) -> list[str]:
        return self._store.children(f"{self._uri}/{name}/")[0]

    def complete(self, name: str, version: str) -> bool:
        return self._store.exists(f"{self._uri}/{name}/{version}/{MANIFEST}")  # publish_model writes the manifest last

    def entry(self, name: str) -> bytes | None:
        uri = f"{self._uri}/{name}{ENTRY}"
        return self._store.read(uri) if self._store.exists(uri) else None

    def uri(self, name: str, version: str) -> str:
        return f"{self._uri}/{name}/{version}"

    def allows(self, uri: str) -> bool:
        return uri.startswith(STORE)  # write access to the bucket must not give read access to this machine's disk


def _order(version: str) -> Version | None:
    """Sort key of a version: v1.2.3, or a whole number as in Triton; None for other names.

    >>> _order("v1.10.0") > _order("v1.9.0"), _order("3"), _order("latest")
    (True, Version(major=3, minor=0, patch=0), None)
    """
    if version.isascii() and version.isdigit() and len(version) < 10:
        return Version(int(version), 0, 0)
    try:
        return Version.parse(version)
    except StagewrightError:
        return None


def _rank(version: str) -> Version:
    return _order(version) or Version(0, 0, 0)
