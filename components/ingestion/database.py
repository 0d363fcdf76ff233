"""The result of a query, streamed from a database into a JSON Lines file that is then read like any other."""

from collections import Counter
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.components.runtime.progress import progress

FETCH_ROWS = 10_000


def public_url(url: str) -> str:
    """A database URL for logs: its password is hidden.

    Raises:
        InputError: If it is not a SQLAlchemy URL.
    """
    return _url(url).render_as_string(hide_password=True)


def export_query(url: str, query: str, path: Path) -> None:
    """Run a query and write one JSON object per row. Rows are fetched in batches, with a server-side cursor if there is one.

    Raises:
        InputError: If the URL, the driver or the query is wrong, or the result has no rows.
        ServiceUnavailable: If the database does not answer.
    """
    shown = public_url(url)
    engine = _engine(url, shown)
    try:
        connection = engine.connect()
    except DBAPIError as error:
        raise ServiceUnavailable(f"the database {shown} cannot be reached: {_first_line(error)}") from None
    try:
        with connection, path.open("wb") as file, progress("read the query's rows", unit="rows") as advance:
            options = {"stream_results": True, "yield_per": FETCH_ROWS}
            result = connection.execute(sqlalchemy.text(query), execution_options=options)
            if not result.returns_rows:
                raise InputError("parameter 'query' returns no table; give a SELECT")
            names = _names(list(result.keys()))
            count = 0
            for part in result.partitions(FETCH_ROWS):
                file.writelines(_line(names, row) for row in part)
                count += len(part)
                advance(len(part))
    except SQLAlchemyError as error:
        raise InputError(f"the query failed on {shown}: {_first_line(error)}") from None
    finally:
        engine.dispose()
    if count == 0:
        raise InputError(f"the query returned no row from {shown}")


def _url(url: str) -> sqlalchemy.URL:
    try:
        return sqlalchemy.make_url(url)
    except (ArgumentError, ValueError):
        raise InputError(
            "parameter 'data' is not a database URL; expected one such as postgresql+psycopg://user@host/name"
        ) from None


def _engine(url: str, shown: str) -> sqlalchemy.Engine:
    parsed = _url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database and parsed.database != ":memory:":
        name = parsed.database.removeprefix("file:").partition("?")[0]
        if not Path(name).is_file():  # sqlite would create an empty database
            raise InputError(f"no database file {name}")
    try:
        return sqlalchemy.create_engine(parsed)
    except NoSuchModuleError:
        raise InputError(f"{shown}: '{parsed.drivername}' is no kind of database that SQLAlchemy knows") from None
    except ImportError as error:
        raise InputError(f"{shown} needs the package '{error.name}', which is not installed in this image") from None


def _names(names: list[str]) -> list[str]:
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise InputError(
            f"the query returns column {', '.join(map(repr, twice))} more than once; give one of them another name with AS"
        )
    return names


def _line(names: list[str], row: Any) -> bytes:
    values = {name: _value(name, value) for name, value in zip(names, row, strict=True)}
    return orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)


def _value(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str | date | datetime):
        return value if not isinstance(value, int) or value.bit_length() < 64 else str(value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID | time):
        return str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise InputError(
        f"the query's column '{name}' holds {type(value).__name__} values; turn it into numbers, text or times in the query"
    )


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]
