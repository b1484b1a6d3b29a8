"""What takes long to compute and is kept in the database, by what it was computed from.

A result is a frame of plain columns (numbers, texts, times). It is found again by its key, a hash of every input that
it depends on, so that it can never be out of date. Nothing in it may tell of persons.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import xxhash

from dcbudget import __version__, warehouse
from dcbudget.errors import DcbudgetError

# How many results of one name are kept; the oldest goes first.
MOST = 200
# A result that cannot be kept soon is not kept: it can be computed again.
WAIT_SECONDS = 2.0


def key_of(inputs: Mapping[str, object]) -> str:
    """What two results share if, and only if, they were computed from the same inputs by the same version.

    Parameters
    ----------
    inputs : name -> frame, series, array, or anything that JSON tells (dates as texts).
    """
    digest = xxhash.xxh3_128(__version__.encode())
    for name in sorted(inputs):
        digest.update(f"\n{name}=".encode())
        value = inputs[name]
        if isinstance(value, pd.DataFrame | pd.Series):
            frame = value.to_frame() if isinstance(value, pd.Series) else value
            digest.update(json.dumps([[str(column), str(frame[column].dtype)] for column in frame]).encode())
            digest.update(pd.util.hash_pandas_object(frame, index=True).to_numpy().tobytes())
        elif isinstance(value, np.ndarray):
            digest.update(f"{value.dtype}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        else:
            digest.update(json.dumps(value, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def computed(
    name: str,
    inputs: Mapping[str, object],
    make: Callable[[], pd.DataFrame],
    db: str | Path | None = None,
    parameters: Mapping[str, object] | None = None,
) -> pd.DataFrame:
    """The result that is kept under these inputs, else what `make` computes, which is then kept.

    Both are the same frame, down to the types. Where the database cannot be written to now, the result is computed and
    not kept.

    Parameters
    ----------
    name : what it is, such as "forecast_monthly": small letters, digits and underscores.
    inputs : everything that it depends on, see `key_of`.
    make : computes it.
    parameters : what `listed` tells of it; none: the inputs that are neither frames nor arrays.
    """
    key = key_of(inputs)
    found = kept(name, key, db)
    if found is None:
        found = duckdb.connect().from_df(make()).df()
        with suppress(DcbudgetError):
            keep(name, key, found, db, _plain(inputs) if parameters is None else parameters)
    return found


def kept(name: str, key: str, db: str | Path | None = None) -> pd.DataFrame | None:
    """The rows of a result in their order, None where there is none."""
    table = _table(name, key)
    with warehouse.connect(db) as con:
        there = con.execute(
            "select 1 from duckdb_tables() where schema_name = 'kept' and table_name = ?", [table]
        ).fetchone()
        return con.sql(f"select * exclude (x_row) from kept.{table} order by x_row").df() if there else None


def is_kept(name: str, key: str, db: str | Path | None = None) -> bool:
    """Whether there is a result; the database is opened for it only where it has changed since it was asked."""
    asked = "select 1 from duckdb_tables() where schema_name = 'kept' and table_name = ?"
    return not warehouse.query(asked, db, [_table(name, key)]).empty


def keep(
    name: str,
    key: str,
    frame: pd.DataFrame,
    db: str | Path | None = None,
    parameters: Mapping[str, object] | None = None,
) -> None:
    """Keep a result, in place of one of the same key; the oldest of its name beyond `MOST` is dropped.

    Raises
    ------
    DcbudgetError : the database is held by another process, or is only to be read.
    """
    table = _table(name, key)
    with warehouse.connect(db, write=True, wait_seconds=WAIT_SECONDS) as con:
        con.register("x_result", frame.assign(x_row=range(len(frame))))
        con.execute("begin")
        try:
            con.execute("create schema if not exists kept")
            con.execute(f"create or replace table kept.{table} as select * from x_result")
            con.execute("delete from results where name = ? and key = ?", [name, key])
            con.execute(
                "insert into results select ?, ?, coalesce(max(number), 0) + 1, ? from results",
                [name, key, json.dumps(dict(parameters or {}), sort_keys=True, default=str)],
            )
            for (old,) in con.execute(
                "select key from results where name = ? order by number desc offset ?", [name, MOST]
            ).fetchall():
                con.execute(f"drop table if exists kept.{_table(name, old)}")
                con.execute("delete from results where name = ? and key = ?", [name, old])
            con.execute("commit")
        except BaseException:
            con.execute("rollback")
            raise
        finally:
            con.unregister("x_result")


def carry(source: str | Path, db: str | Path | None = None) -> None:
    """Keep what is kept in a copy of a database in the database too, as far as it can be written to now."""
    here, there = (
        warehouse.query("select name, key, parameters from results order by number", one) for one in (source, db)
    )
    known = set(zip(there["name"], there["key"], strict=True))
    with suppress(DcbudgetError):
        for row in here.itertuples():
            if (row.name, row.key) not in known:
                keep(row.name, row.key, kept(row.name, row.key, source), db, json.loads(row.parameters or "{}"))


def listed(name: str, db: str | Path | None = None) -> pd.DataFrame:
    """The results of a name, the latest first: key, and a column for each of their parameters."""
    found = warehouse.query("select key, parameters from results where name = ? order by number desc", db, [name])
    told = pd.DataFrame([json.loads(text) for text in found["parameters"]], index=found.index)
    return pd.concat([found[["key"]], told], axis=1)


def _plain(inputs: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in inputs.items()
            if not isinstance(value, pd.DataFrame | pd.Series | np.ndarray)}  # fmt: skip


def _table(name: str, key: str) -> str:
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or not re.fullmatch("[0-9a-f]+", key):
        raise DcbudgetError(f"a result is named by small letters, digits and underscores, not {name!r}")
    return f"{name}_{key}"
