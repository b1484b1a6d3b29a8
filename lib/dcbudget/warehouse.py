"""The only door to the database: opens it, keeps its tables and views, answers queries and runs the checks."""

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import xxhash

from dcbudget.errors import DatabaseBusy, DatabaseMissing, DcbudgetError

if TYPE_CHECKING:  # pandas takes longer to import than a load that finds nothing new
    import pandas as pd

# The workbook's folder where the library is installed in place, else where the user stands.
_BESIDE = Path(__file__).resolve().parents[2]
PROJECT = _BESIDE if (_BESIDE / "notebooks").is_dir() else Path()
DEFAULT_DATABASE = PROJECT / "data/private/budget.duckdb"
# What is known of accelerators, a table of every database.
ACCELERATORS = PROJECT / "data/reference/accelerators.csv"
WAIT_SECONDS = 60.0
TELL_SECONDS = 2.0
# Order matters: later views stand on earlier ones.
STAGING = ("horizon", "tariff_days", "owned_charges", "charges", "runs", "cost_lines", "job_days")


@cache
def sql(folder: str) -> dict[str, str]:
    """The queries of one folder of `dcbudget/sql`, by name."""
    found = sorted((f for f in files("dcbudget").joinpath("sql", folder).iterdir() if f.name.endswith(".sql")),
                   key=lambda f: f.name)  # fmt: skip
    return {f.name.removesuffix(".sql"): f.read_text(encoding="utf-8") for f in found}


def database_path(db: str | os.PathLike | None = None) -> Path:
    """The database to use: the argument, else `DCBUDGET_DB`, else `data/private/budget.duckdb`."""
    return Path(db or os.environ.get("DCBUDGET_DB") or DEFAULT_DATABASE)


@contextmanager
def connect(
    db: str | os.PathLike | None = None, *, write: bool = False, wait_seconds: float = WAIT_SECONDS
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for the length of a `with` block; hold it briefly, another process may be waiting.

    Raises
    ------
    DatabaseMissing : it does not exist and is only to be read.
    DatabaseBusy : another process held it for longer than `wait_seconds`.
    """
    path = database_path(db)
    if not write and not path.exists():
        raise DatabaseMissing(f"there is no database {path}; load data into it first (dcbudget load PATH --db FILE)")
    if write:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DcbudgetError(f"{path} cannot be made: {error.strerror}") from None
    con = _open(path, write, wait_seconds)
    try:
        schema = _schema_of(con)
        if schema is None and con.execute("select count(*) from duckdb_tables()").fetchone()[0]:
            raise DcbudgetError(f"{path} is a database of something else; dcbudget does not write into it")
        if schema != _schema_hash():
            if schema is not None:
                _refuse_other_tables(con)
            if not write:
                con.close()
                with connect(path, write=True, wait_seconds=wait_seconds):
                    pass
                con = _open(path, write, wait_seconds)
            else:
                _prepare(con)
        con.execute("set timezone = 'UTC'")
        yield con
    finally:
        con.close()


def query(statement: str, db: str | os.PathLike | None = None, parameters: list | None = None) -> "pd.DataFrame":
    """Rows of a query; the database is opened for reading only."""
    with connect(db) as con:
        return _frame(con, statement, parameters or [])


def mart(name: str, db: str | os.PathLike | None = None, **where) -> "pd.DataFrame":
    """A mart's rows, in its own order, optionally of given values of its columns (`month="2026-06-01"`).

    Raises
    ------
    DcbudgetError : no such mart, or no such column.
    """
    if name not in sql("marts"):
        raise DcbudgetError(f"no mart {name!r}; there are {', '.join(sql('marts'))}")
    with connect(db) as con:
        columns = [row[0] for row in con.execute(f"describe {name}").fetchall()]
        if unknown := [column for column in where if column not in columns]:
            raise DcbudgetError(f"mart {name} has no column {unknown[0]!r}; it has {', '.join(columns)}")
        condition = " and ".join(f"{column} = ?" for column in where) or "true"
        return _frame(con, f"select * from {name} where {condition} order by all", list(where.values()))


def check(db: str | os.PathLike | None = None) -> "pd.DataFrame":
    """Every check with the number of offending rows.

    Returns
    -------
    DataFrame : check, about, offending_rows.
    """
    rows = []
    with connect(db) as con:
        for name, text in sql("checks").items():
            about = text.splitlines()[0].removeprefix("-- ")
            rows.append(
                (
                    name,
                    about,
                    con.execute(f"select count(*) from ({text.rstrip().rstrip(';')})").fetchone()[0],
                )
            )
    import pandas as pd

    return pd.DataFrame(rows, columns=["check", "about", "offending_rows"])


def offending_rows(name: str, db: str | os.PathLike | None = None) -> "pd.DataFrame":
    """The rows that a check finds."""
    return query(sql("checks")[name], db)


def refresh_charges(con: duckdb.DuckDBPyConnection) -> None:
    """Make the view `charges` the union of every published landing table and of the owned fleet's charges."""
    parts = [row[0] for row in con.execute(
        "select table_name from duckdb_tables() where schema_name = 'landed' and (table_name = 'charges_none'"
        " or table_name in (select 'charges_' || load_id from loads)) order by table_name").fetchall()]  # fmt: skip
    union = " union all ".join(f"select * exclude (x_reject) from landed.{part}" for part in parts)
    con.execute(f"create or replace view landed.imported as {union}")


def drop_unpublished(con: duckdb.DuckDBPyConnection) -> None:
    """Drop landing tables that a killed load left behind; nothing ever read from them."""
    for (name,) in con.execute(
        "select table_name from duckdb_tables() where schema_name = 'landed' and starts_with(table_name, 'charges_')"
        " and table_name <> 'charges_none' and table_name not in (select 'charges_' || load_id from loads)"
    ).fetchall():
        con.execute(f"drop table landed.{name}")


def _frame(con: duckdb.DuckDBPyConnection, statement: str, parameters: list) -> "pd.DataFrame":
    """Rows as a frame, decimals as the nearest doubles; DuckDB's own conversion is off in the last bit."""
    found = con.sql(statement, params=parameters)
    columns = ", ".join(
        f'"{name}"::varchar::double as "{name}"' if kind.id == "decimal" else f'"{name}"'
        for name, kind in zip(found.columns, found.types, strict=True)
    )
    return found.project(columns).df()


def _open(path: Path, write: bool, wait_seconds: float) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + wait_seconds
    pause = 0.05
    told = time.monotonic() + TELL_SECONDS
    while True:
        try:
            return duckdb.connect(str(path), read_only=not write)
        except duckdb.ConnectionException as error:
            if time.monotonic() >= deadline:
                raise DatabaseBusy(f"{path} is open in this process in another mode ({error})") from None
        except duckdb.Error as error:
            # not any "lock": a damaged file's message speaks of its blocks, and paths may hold the word
            if "Could not set lock" not in str(error):
                raise DcbudgetError(
                    f"{path} is not a database that can be opened: {str(error).splitlines()[0]}"
                ) from None
            if time.monotonic() >= deadline:
                raise DatabaseBusy(_busy(path, str(error), wait_seconds)) from None
            if time.monotonic() >= told:
                print(f"dcbudget: waiting for {_holder(str(error))}, which holds {path.name}", file=sys.stderr)
                told = deadline
        time.sleep(pause)
        pause = min(pause * 1.5, 1.0)


def _busy(path: Path, error: str, wait_seconds: float) -> str:
    return f"{path} is held by {_holder(error)}; waited {wait_seconds:g} s and changed nothing"


def _holder(error: str) -> str:
    held = re.search(r"held in (.+?) \(PID (\d+)\)", error)
    return f"{Path(held[1]).name or 'another process'} (process {held[2]})" if held else "another process"


def _schema_hash() -> str:
    """Of all that `_prepare` makes."""
    known = [ACCELERATORS.read_text(encoding="utf-8")] if ACCELERATORS.exists() else []
    return _hash([*known, *(text for folder in ("tables", "staging", "marts") for text in sql(folder).values())])


def _hash(texts: Iterable[str]) -> str:
    return xxhash.xxh3_64("\n".join(texts).encode()).hexdigest()


def _refuse_other_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Tables are made once; a database whose tables another version made is not written into."""
    made = con.execute("select value from landed.about where name = 'tables'").fetchone()
    if made is not None and made[0] != _hash(sql("tables").values()):
        raise DcbudgetError("the database is of another version of dcbudget; load your files into a new one")


def _schema_of(con: duckdb.DuckDBPyConnection) -> str | None:
    try:
        row = con.execute("select value from landed.about where name = 'schema'").fetchone()
        return row[0] if row else ""
    except duckdb.CatalogException:
        return None


def _prepare(con: duckdb.DuckDBPyConnection) -> None:
    """Make what is missing and renew every view, in one transaction."""
    con.execute("begin")
    con.execute("create schema if not exists landed")
    existing = {row[0] for row in con.execute("select table_name from duckdb_tables()").fetchall()}
    for name, statement in sql("tables").items():
        if name not in existing and f"{name}_none" not in existing:
            con.execute(statement)
    con.execute("delete from accelerators")
    if ACCELERATORS.exists():
        con.execute("insert into accelerators by name from read_csv(?)", [str(ACCELERATORS)])
    con.execute(sql("staging")["macros"])
    refresh_charges(con)
    for name in STAGING:
        con.execute(f"create or replace view {name} as {sql('staging')[name]}")
    pending = dict(sql("marts"))
    while pending:
        made = [name for name, text in pending.items() if not (_words(text) & pending.keys()) - {name}]
        for name in made:
            con.execute(f"create or replace view {name} as {pending.pop(name)}")
    con.execute(
        "create or replace table landed.about as select * from (values ('schema', ?), ('tables', ?)) t (name, value)",
        [_schema_hash(), _hash(sql("tables").values())],
    )
    con.execute("commit")


def _words(text: str) -> set[str]:
    body = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return set(re.findall(r"\w+", body))
