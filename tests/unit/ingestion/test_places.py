"""Raw data behind http, in an object store and in a database."""

import sqlite3
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import polars as pl
import pytest

from stagewright.components.ingestion import download
from stagewright.components.ingestion.ingest import Ingested, ingest
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.components.runtime.storage import ObjectStore

CSV = b"a,b\n1,x\n2,y\n"
ROWS = [(1, "x"), (2, "y")]


class Server(ThreadingHTTPServer):
    """A web server that fails as often as it is told to before it answers."""

    busy = broken = 0
    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Server = self.server  # type: ignore[assignment]
        server.asked.append(self.path)
        if server.busy > 0:
            server.busy -= 1
            return self.send_error(503)
        if "missing" in self.path:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CSV)))
        self.end_headers()
        if server.broken > 0:
            server.broken -= 1
            self.wfile.write(CSV[:5])
            self.close_connection = True
            return None
        self.wfile.write(CSV)
        return None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Silent."""


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "FIRST_WAIT_SECONDS", 0.01)
    server = Server(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def read(tmp_path: Path, data: str, **options: str) -> tuple[Ingested, list[tuple]]:
    done = ingest(data, tmp_path / "table", tmp_path / "quarantine", **options)
    return done, tables.read_table(tmp_path / "table").rows()


def test_a_url_is_read_though_the_server_fails_and_breaks_off(tmp_path: Path, web: Server) -> None:
    web.busy, web.broken = 2, 1
    address = f"127.0.0.1:{web.server_port}"

    done, rows = read(tmp_path, f"http://user:secret@{address}/in/rows.csv?signature=abc")

    assert rows == ROWS
    assert len(web.asked) == 4
    assert done.source == f"http://{address}/in/rows.csv"


def test_a_url_that_is_not_there_is_told_at_once(tmp_path: Path, web: Server) -> None:
    with pytest.raises(
        InputError, match=r"^http://127\.0\.0\.1:\d+/missing\.csv cannot be read: the server answers 404 Not Found$"
    ):
        read(tmp_path, f"http://127.0.0.1:{web.server_port}/missing.csv")
    assert len(web.asked) == 1


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, web: Server) -> None:
    web.busy = 99

    with pytest.raises(
        ServiceUnavailable, match=r"^http://.*/rows\.csv could not be read in 5 attempts: status 503 Service Unavail"
    ):
        read(tmp_path, f"http://127.0.0.1:{web.server_port}/rows.csv")
    web.shutdown()
    web.server_close()
    with pytest.raises(
        ServiceUnavailable, match=r"^http://.*/rows\.csv could not be read in 5 attempts: .*Connection refused$"
    ):
        read(tmp_path, f"http://127.0.0.1:{web.server_port}/rows.csv")


def test_objects_are_read_by_name_prefix_and_glob(tmp_path: Path, object_store: str) -> None:
    store = ObjectStore.from_environment("this test needs it")
    store.ensure_bucket("raw")
    for name in ("in/1.csv", "in/deep/2.csv", "in/_SUCCESS", "other/3.csv"):
        store.write(f"s3://raw/{name}", CSV)

    assert read(tmp_path, "s3://raw/in/1.csv")[1] == ROWS
    assert read(tmp_path, "s3://raw/in")[1] == ROWS * 2
    assert read(tmp_path, "s3://raw/in/")[1] == ROWS * 2
    assert read(tmp_path, "s3://raw/*/?.csv")[1] == ROWS * 3
    for data, sentence in {
        "s3://raw/nothing": r"no object s3://raw/nothing, and no data files below s3://raw/nothing/",
        "s3://raw/none-*.csv": r"no object matches s3://raw/none-\*\.csv",
    }.items():
        with pytest.raises(InputError, match=f"^{sentence}$"):
            read(tmp_path, data)
    store.write("s3://raw/bad.csv", b"a,b\n1\n")
    with pytest.raises(InputError, match=r"^s3://raw/bad\.csv, line 2: expected 2 fields, found 1; correct the row, or set"):
        read(tmp_path, "s3://raw/bad.csv")


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE sale (id INTEGER, day TEXT, price REAL, code TEXT, paid INTEGER, picture BLOB)")
        rows = [(n, f"2024-01-{n % 28 + 1:02}", n / 2 if n % 3 else None, f"{n:03}", n % 2, b"x") for n in range(25_000)]
        connection.executemany("INSERT INTO sale VALUES (?, ?, ?, ?, ?, ?)", rows)
    return f"sqlite:///{path}"


def test_a_query_is_streamed_into_a_table(tmp_path: Path, database: str) -> None:
    done, rows = read(tmp_path, database, query="SELECT id, day, price, code FROM sale ORDER BY id")

    table = tables.scan_table(tmp_path / "table").collect_schema()
    assert dict(table) == {"id": pl.Int64, "day": pl.Date, "price": pl.Float64, "code": pl.String}
    assert (len(rows), rows[1][2:], rows[3][2]) == (25_000, (0.5, "001"), None)
    assert done.source == database


def test_wrong_queries_and_databases_are_told_in_one_sentence(tmp_path: Path, database: str) -> None:
    cases = {
        (
            database,
            "",
        ): r"parameter 'query' is not set; sqlite:///.*shop\.db is a database, which needs a query such as SELECT \* .*",
        (database, "SELECT * FROM sail"): r"the query failed on sqlite:///.*shop\.db: no such table: sail",
        (database, "SELECT id FROM sale WHERE id < 0"): r"the query returned no row from sqlite:///.*shop\.db",
        (
            database,
            "SELECT id, code AS id FROM sale",
        ): r"the query returns column 'id' more than once; give one of them another .*",
        (
            database,
            "SELECT picture FROM sale",
        ): r"the query's column 'picture' holds bytes values; turn it into numbers, text or .*",
        ("sqlite:////no/where.db", "SELECT 1"): r"no database file /no/where\.db",
        ("oracel://host/name", "SELECT 1"): r"oracel://host/name: 'oracel' is no kind of database that SQLAlchemy knows",
    }
    for (data, query), sentence in cases.items():
        with pytest.raises(InputError, match=f"^{sentence}$"):
            read(tmp_path, data, query=query)


def test_a_missing_driver_and_passwords_are_handled(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        read(tmp_path, "mysql+pymysql://anna:secret@host/shop", query="SELECT 1")

    assert (
        str(raised.value)
        == "mysql+pymysql://anna:***@host/shop needs the package 'pymysql', which is not installed in this image"
    )
