"""The only door to the database: opens it, keeps its tables and views, answers queries and runs the checks."""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import duckdb
import xxhash

from dcbudget import encryption, published
from dcbudget.errors import DatabaseBusy, DatabaseMissing, DcbudgetError, WrongKey
from dcbudget.opening import ATTACHED, is_encrypted, opened, release
from dcbudget.seen import Seen

if TYPE_CHECKING:  # pandas takes longer to import than a load that finds nothing new
    import pandas as pd

# The workbook's folder where the library is installed in place, else where the user stands.
_BESIDE = Path(__file__).resolve().parents[2]
PROJECT = _BESIDE if (_BESIDE / "notebooks").is_dir() else Path()
DEFAULT_DATABASE = PROJECT / "data/private/budget.duckdb"
# What is known of accelerators, a table of every database.
REFERENCE = PROJECT / "data/reference"
ACCELERATORS = REFERENCE / "accelerators.csv"
WAIT_SECONDS = 60.0
# Order matters: later views stand on earlier ones.
STAGING = ("horizon", "tariff_days", "owned_charges_live", "owned_charges", "charges", "runs", "cost_lines", "gpu_jobs",
           "job_days")  # fmt: skip
# What `landed.about` calls the projects of a database that holds theirs alone.
VIEWER = "viewer"
_seen = Seen()


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
    db: str | os.PathLike | None = None,
    *,
    write: bool = False,
    wait_seconds: float = WAIT_SECONDS,
    alone: bool = False,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for the length of a `with` block; hold it briefly, another process may be waiting.

    One that stands alone shares its settings with none before it and none behind it.

    An encrypted database is opened with the key of `encryption.key`; a new one is encrypted where there is a key.

    Raises
    ------
    DatabaseMissing : it does not exist and is only to be read.
    DatabaseBusy : another process held it for longer than `wait_seconds`.
    WrongKey : it is encrypted, and the key is missing or another one.
    """
    path = database_path(db)
    if not write and not path.exists():
        raise DatabaseMissing(f"there is no database {path}; load data into it first (dcbudget load PATH --db FILE)")
    if write:
        _seen.written()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DcbudgetError(f"{path} cannot be made: {error.strerror}") from None
    with opened(path, write, wait_seconds, alone=alone) as con:
        if write and not is_encrypted(path) and encryption.key() is not None:
            print(f"dcbudget: {path.name} is not encrypted, though there is a key (dcbudget encrypt)", file=sys.stderr)
        about = _about(con)
        stale = _is_stale(con, path, about, write)
        if stale and write:
            _prepare(con)
        if write or not stale:
            con.execute("set timezone = 'UTC'")
            yield con
            return
    with connect(path, write=True, wait_seconds=wait_seconds):
        pass
    with opened(path, write, wait_seconds, alone=alone) as con:
        con.execute("set timezone = 'UTC'")
        yield con


@contextmanager
def snapshot(db: str | os.PathLike | None = None, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[Path]:
    """A copy of the database as it is now, for the length of a `with` block, and no connection to the database.

    What takes long and reads often reads a copy: it sees one state, and writers need not wait for it. The views of the
    copy are computed once and are tables there; all of them but `charges`, which has every column. An encrypted
    database has an encrypted copy.
    """
    path = database_path(db)
    with TemporaryDirectory(prefix="dcbudget-") as folder:
        copy = Path(folder) / path.name
        with connect(path, wait_seconds=wait_seconds):
            _copy([path, *_logs(path)], folder)
        with opened(copy, True, wait_seconds) as con:
            con.execute("set timezone = 'UTC'")
            for name in _deep_views(con):
                con.execute(f"create table made as from {name}; drop view {name}; alter table made rename to {name}")
        try:
            yield copy
        finally:
            release(copy)


def convert(db: str | os.PathLike | None = None, *, encrypted: bool, wait_seconds: float = WAIT_SECONDS) -> Path:
    """Put an encrypted database in the place of a plain one, or a plain one in the place of an encrypted one.

    Raises
    ------
    DcbudgetError : it is that already, or there is no key.
    """
    path = database_path(db)
    if not path.exists():
        raise DatabaseMissing(f"there is no database {path}")
    if encrypted and encryption.key() is None:
        raise WrongKey(f"there is no key; name its file in ${encryption.KEY_FILE}")
    with opened(path, True, wait_seconds) as con:
        if _about(con) is None:
            raise DcbudgetError(f"{path} is a database of something else; dcbudget does not write into it")
        if is_encrypted(path) == encrypted:
            raise DcbudgetError(f"{path} is {'encrypted' if encrypted else 'not encrypted'} already")
        con.execute("checkpoint")
    with attached(path, wait_seconds=wait_seconds) as con:
        if _logs(path):
            raise DatabaseBusy(f"{path} was written into meanwhile; nothing is changed")
        with new_database(con, path, "made", encrypted=encrypted):
            con.execute(f"copy from database {ATTACHED} to made")
            for schema, table in con.execute(
                f"select schema_name, table_name from duckdb_tables() where database_name = '{ATTACHED}'"
            ).fetchall():
                counts = (f"(select count(*) from {base}.{schema}.{table})" for base in (ATTACHED, "made"))
                if not con.execute(f"select {' = '.join(counts)}").fetchone()[0]:
                    raise DcbudgetError(f"{path} could not be copied whole; nothing is changed")
    return path


def viewers_of(path: Path) -> str | None:
    """The projects of an export for viewers; None where the file is anything else."""
    try:
        with opened(path, False, 0) as con:
            return (_about(con) or {}).get(VIEWER)
    except DcbudgetError:
        return None


@contextmanager
def attached(path: Path, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that reads a database, encrypted or not, and can hold others beside it (`new_database`)."""
    with opened(path, False, wait_seconds, attach=True) as con:
        con.execute("set timezone = 'UTC'")
        yield con


@contextmanager
def new_database(con: duckdb.DuckDBPyConnection, path: Path, name: str, *, encrypted: bool = False) -> Iterator[None]:
    """A new database, attached under a name to be filled; at the end it is put in its place, or not made at all."""
    work = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        encryption.attach(con, work, name, write=True, encrypted=encrypted)
        if path.exists():
            shutil.copymode(path, work)
        try:
            yield
        finally:
            con.execute(f"use {ATTACHED}; detach {name}")
        os.replace(work, path)
    except (OSError, duckdb.IOException) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise DcbudgetError(f"{path} cannot be made: {reason}") from None
    finally:
        for left in (work, *_logs(work)):
            left.unlink(missing_ok=True)


def query(statement: str, db: str | os.PathLike | None = None, parameters: list | None = None) -> "pd.DataFrame":
    """Rows of a query; the database is opened for reading only."""

    def read() -> "pd.DataFrame":
        with connect(db) as con:
            return _frame(con, statement, parameters or [])

    return _seen.get(database_path(db), (statement, repr(parameters)), read)


def mart(name: str, db: str | os.PathLike | None = None, **where) -> "pd.DataFrame":
    """A mart's rows, in its own order, optionally of given values of its columns (`month="2026-06-01"`).

    Raises
    ------
    DcbudgetError : no such mart, or no such column.
    """
    if name not in sql("marts"):
        raise DcbudgetError(f"no mart {name!r}; there are {', '.join(sql('marts'))}")

    def read() -> "pd.DataFrame":
        with connect(db) as con:
            columns = [row[0] for row in con.execute(f"describe {name}").fetchall()] if where else []
            if unknown := [column for column in where if column not in columns]:
                raise DcbudgetError(f"mart {name} has no column {unknown[0]!r}; it has {', '.join(columns)}")
            condition = " and ".join(f"{column} = ?" for column in where) or "true"
            return _frame(con, f"select * from {name} where {condition} order by all", list(where.values()))

    return _seen.get(database_path(db), (name, repr(where)), read)


def reference(name: str) -> "pd.DataFrame":
    """The sourced figures of a file of `data/reference`.

    Raises
    ------
    DcbudgetError : there is no such file.
    """
    import pandas as pd

    path = REFERENCE / f"{name}.csv"
    if not path.exists():
        raise DcbudgetError(f"data/reference/{name}.csv is missing; it is a part of the workbook")
    return pd.read_csv(path)


def check(db: str | os.PathLike | None = None) -> "pd.DataFrame":
    """Every check with the number of offending rows.

    Returns
    -------
    DataFrame : check, about, offending_rows.
    """
    rows = []
    with connect(db) as con:
        # the checks stand on the same views again and again
        asked = set().union(*map(_words, sql("checks").values()))
        for name in _deep_views(con, asked):
            con.execute(f"create temp table {name} as from {name}")  # shadows the view, also in other views
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


def _frame(con: duckdb.DuckDBPyConnection, statement: str, parameters: list) -> "pd.DataFrame":
    """Rows as a frame, decimals as the nearest doubles; DuckDB's own conversion is off in the last bit."""
    try:
        # a table first: a deep view is planned anew for every question about its columns
        made = f"create or replace temp table found as {statement}"
        if len(con.extract_statements(made)) > 1:
            raise duckdb.ParserException("several statements")
        con.execute(made, parameters)
        found = con.sql("from temp.found")
    except (duckdb.ParserException, duckdb.BinderException):
        found = con.sql(statement, params=parameters)
    columns = ", ".join(
        f'"{name}"::varchar::double as "{name}"' if kind.id == "decimal" else f'"{name}"'
        for name, kind in zip(found.columns, found.types, strict=True)
    )
    return found.project(columns).df()


def _logs(path: Path) -> list[Path]:
    """The write-ahead logs of a database, where a writer was killed."""
    return sorted(path.parent.glob(f"{glob.escape(path.name)}.wal*"))


def _copy(paths: list[Path], folder: str) -> None:
    """Copy files in a process of its own: this one's lock on them would end with the first that it closes."""
    program = "import shutil, sys; [shutil.copy(file, sys.argv[1]) for file in sys.argv[2:]]"
    done = subprocess.run([sys.executable, "-c", program, folder, *map(str, paths)], capture_output=True, text=True)
    if done.returncode:
        raise DcbudgetError(f"{paths[0]} cannot be copied: {done.stderr.strip().splitlines()[-1]}")


def _schema_hash() -> str:
    """Of all that `_prepare` makes."""
    known = [ACCELERATORS.read_text(encoding="utf-8")] if ACCELERATORS.exists() else []
    return _hash([*known, *(text for folder in ("tables", "staging", "marts") for text in sql(folder).values())])


def _hash(texts: Iterable[str]) -> str:
    return xxhash.xxh3_64("\n".join(texts).encode()).hexdigest()


def _is_stale(con: duckdb.DuckDBPyConnection, path: Path, about: dict[str, str] | None, write: bool) -> bool:
    """Whether tables or views must be made first.

    Raises
    ------
    DcbudgetError : the database is of something else, of another version, or only to be read.
    """
    if about is None:
        if con.execute("select count(*) from duckdb_tables()").fetchone()[0]:
            raise DcbudgetError(f"{path} is a database of something else; dcbudget does not write into it")
        return True
    if VIEWER in about:
        if write:
            raise DcbudgetError(f"{path} is an export for viewers of {about[VIEWER]}; it is only read")
        return False
    if about.get("schema") == _schema_hash():
        return False
    made, known = _tables_made(about), _tables_known()
    if changed := [name for name in made if made[name] != known.get(name)]:
        # tables are made once; those that are new come to them
        raise DcbudgetError(
            f"the database is of another version of dcbudget (table {changed[0]}); load your files into a new one"
        )
    return True


def _tables_known() -> dict[str, str]:
    """Table -> a hash of how it is made."""
    return {name: _hash([text]) for name, text in sql("tables").items()}


def _tables_made(about: dict[str, str]) -> dict[str, str]:
    try:
        return json.loads(about.get("tables", "{}"))
    except ValueError:
        return {"tables": about["tables"]}


def _about(con: duckdb.DuckDBPyConnection) -> dict[str, str] | None:
    """What the database says of itself; None where it is not one of ours."""
    try:
        return dict(con.execute("select name, value from landed.about").fetchall())
    except duckdb.CatalogException:
        return None


def _prepare(con: duckdb.DuckDBPyConnection) -> None:
    """Make what is missing and renew every view, in one transaction; then keep what charges stand on."""
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
    published.show_bills(con)
    for name in (*STAGING, *_marts()):
        con.execute(f"create or replace view {name} as {_view(name)}")
    published.make_tables(con)
    con.execute(
        "create or replace table landed.about as select * from (values ('schema', ?), ('tables', ?)) t (name, value)",
        [_schema_hash(), json.dumps(_tables_known())],
    )
    con.execute("commit")
    published.keep(con)


def _view(name: str) -> str:
    """The text of a view of staging or of a mart."""
    return sql("staging").get(name) or sql("marts")[name]


@cache
def _marts() -> list[str]:
    """The marts, each after those that it stands on."""
    pending, ordered = dict(sql("marts")), []
    while pending:
        made = [name for name, text in pending.items() if not (_words(text) & pending.keys()) - {name}]
        for name in made:
            del pending[name]
        ordered += made
    return ordered


def _deep_views(con: duckdb.DuckDBPyConnection, asked: set[str] | None = None) -> list[str]:
    """The views of a database but `charges`, each after those that it stands on; those that are asked for, or all."""
    there = {row[0] for row in con.execute("select view_name from duckdb_views() where not internal").fetchall()}
    known = [name for name in (*STAGING, *_marts()) if name in there and name != "charges"]
    if asked is None:
        return known
    needed = set(asked)
    for name in reversed(known):
        if name in needed:
            needed |= _words(_view(name))
    return [name for name in known if name in needed]


def _words(text: str) -> set[str]:
    body = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return set(re.findall(r"\w+", body))
