"""From the `data` parameter to files on this machine: a path, a glob, a folder, objects, a URL, a query."""

import glob
import re
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

from stagewright.components.ingestion.archives import is_archive
from stagewright.components.ingestion.images import is_picture
from stagewright.components.ingestion.partition import partition_of
from stagewright.components.ingestion.source import RawFile
from stagewright.components.runtime.errors import InputError

SUFFIXES = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".parquet": "parquet", ".pq": "parquet", ".npz": "npz", ".xlsx": "excel", ".xlsm": "excel", ".xlsb": "excel",
    ".xls": "excel", ".ods": "excel",
}  # fmt: skip
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.]*):(//|/(?=/)|$)")
_WILD = re.compile(r"[*?\[]")
# File system schemes of other tools. None is a database; an unknown scheme is otherwise treated as one.
_S3_NAMES = ("s3a", "s3n")
_OTHER_STORES = (
    *_S3_NAMES, "minio", "gs", "gcs", "abfs", "abfss", "az", "adl", "wasb", "wasbs", "hdfs", "webhdfs", "viewfs", "dbfs", "ftp",
    "ftps", "sftp", "scp", "ssh", "oss", "cos", "swift", "r2", "hf", "kaggle", "git",
)  # fmt: skip


@contextmanager
def locate_files(data: str, query: str) -> Iterator[tuple[list[RawFile], str]]:
    """The files to read, available locally within the block, and the source for the records.

    Raises:
        InputError: If there is no data.
        ServiceUnavailable: If the store, server or database does not answer.
    """
    if not data.strip():
        raise InputError("parameter 'data' is empty; expected a file, a folder, a glob or a URL")
    with TemporaryDirectory(prefix="stagewright-") as name:
        folder = Path(name)
        scheme = _scheme(data)
        if scheme in _OTHER_STORES:
            raise InputError(_other_store(scheme, data))
        if scheme not in {"", "file", "s3", "http", "https"}:
            yield _from_database(data, query, folder)
        elif query:
            raise InputError("parameter 'query' is only for databases; 'data' names files: leave one of the two out")
        elif scheme == "s3":
            uri = f"s3{data[2:]}"  # schemes are case-insensitive
            yield _from_objects(uri, folder), uri
        elif scheme in {"http", "https"}:
            yield _from_web(data, folder)
        else:
            path = unquote(urlsplit(data).path) if scheme == "file" else data
            base = _fixed(path)
            yield [RawFile(found, str(found), partition_of(_below(base, str(found)))) for found in _local(path)], data


def format_of(name: str) -> str | None:
    """csv, tsv, jsonl, parquet, npz, excel or archive, by a file's name; None if unknown.

    >>> format_of("calls.CSV.gz")
    'csv'
    """
    path = Path(name.lower())
    if is_archive(path.name):
        return "archive"
    if path.suffix in COMPRESSED:
        path = path.with_suffix("")
    return SUFFIXES.get(path.suffix)


def _scheme(data: str) -> str:
    found = _SCHEME.match(data)
    return found.group(1).lower() if found else ""


def _fixed(data: str) -> str:
    """The fixed part of a path, a glob or an address that all files share."""
    wild = _WILD.search(data)
    return data[: wild.start()].rpartition("/")[0] if wild else data


def _below(base: str, path: str) -> str:
    return path.removeprefix(str(Path(base).expanduser()) if base else "").lstrip("/")


def _local(data: str) -> list[Path]:
    path = Path(data).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.is_file() and _is_data(file.relative_to(path).as_posix()))
        if not found and any(is_picture(file.relative_to(path).as_posix()) for file in path.rglob("*")):
            return [path]
        if not found:
            raise InputError(f"folder {data} has no data files and no pictures; data files end in {_endings()}")
        return found
    if _WILD.search(data):
        names = glob.glob(str(path), recursive=True)  # noqa: PTH207  pathlib cannot start at an arbitrary folder
        found = sorted(Path(name) for name in names if Path(name).is_file())
        if not found:
            raise InputError(f"no file matches {data}")
        return found
    raise InputError(f"no file {data}{_nearby(path)}")


def _from_objects(uri: str, folder: Path) -> list[RawFile]:
    from stagewright.components.runtime.storage import ObjectStore

    store = ObjectStore.from_environment(f"the object store is needed to read {uri}")
    wild = _WILD.search(uri)
    bucket = "/" not in uri.removeprefix("s3://")
    # The name of an object may look like a pattern.
    if wild and not bucket and not uri.endswith("/") and store.exists(uri):
        uris, nothing = [uri], ""
    elif wild:
        fixed = uri[: wild.start()]
        uris = [info.uri for info in store.list(fixed) if fnmatchcase(info.uri, uri) and not info.uri.endswith("/")]
        nothing = f"no object matches {uri}"
    elif not bucket and not uri.endswith("/") and store.exists(uri):
        uris, nothing = [uri], ""
    else:
        prefix = uri.rstrip("/") + "/"
        below = [info.uri for info in store.list(prefix)]
        uris = [found for found in below if _is_data(found.removeprefix(prefix))]
        pictures = [found.removeprefix(prefix) for found in below if is_picture(found.removeprefix(prefix))]
        if pictures and not uris:
            for name in pictures:
                store.download(prefix + name, folder / "pictures" / name)
            return [RawFile(folder / "pictures", uri.rstrip("/"))]
        nothing = f"no object {uri}, and no data files below {prefix}" if uri != prefix else f"no data files below {uri}"
    if not uris:
        raise InputError(nothing)
    files = []
    for number, found in enumerate(uris):
        path = folder / f"{number:06}-{Path(found).name}"
        store.download(found, path)
        files.append(RawFile(path, found, partition_of(found.removeprefix(_fixed(uri)))))
    return files


def _other_store(scheme: str, data: str) -> str:
    if scheme in _S3_NAMES:
        return f"addresses of scheme {scheme}:// are not read; write s3://{data.partition('://')[2]}"
    return f"addresses of scheme {scheme}:// are not read; copy the data to a file, an s3:// address or a web server"


def _from_web(url: str, folder: Path) -> tuple[list[RawFile], str]:
    from stagewright.components.ingestion.download import download, file_name, public_url

    path = folder / (file_name(url) or "data")
    download(url, path)
    return [RawFile(path, public_url(url))], public_url(url)


def _from_database(url: str, query: str, folder: Path) -> tuple[list[RawFile], str]:
    from stagewright.components.ingestion.database import export_query, public_url

    shown = public_url(url)
    if not query:
        example = "SELECT * FROM table"
        raise InputError(f"parameter 'query' is not set; {shown} is a database, which needs a query such as {example}")
    path = folder / "query.jsonl"
    export_query(url, query, path)
    return [RawFile(path, f"the query on {shown}")], shown


def _is_data(relative: str) -> bool:
    """Whether a file of a folder is data: by its extension, and neither hidden nor a marker file."""
    return format_of(relative) not in {None, "archive"} and not any(
        part.startswith((".", "_")) for part in Path(relative).parts
    )


def _endings() -> str:
    return ", ".join(sorted(SUFFIXES)) + ", compressed or not"


def _nearby(path: Path) -> str:
    from stagewright.components.runtime.errors import did_you_mean

    if not path.parent.is_dir():
        return f": there is no folder {path.parent}"
    return did_you_mean(path.name, (file.name for file in path.parent.iterdir()))
