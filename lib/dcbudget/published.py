"""What the view `charges` stands on: live views while a load changes it, and tables that keep what they say afterwards.

To plan the union of many bills and the charges of a fleet takes DuckDB longer than to read them, and most questions
ask for charges several times. So a load ends with both in a table each. Every change shows the live views within its
own transaction: a load that is killed leaves them, which is slower and just as right.
"""

import duckdb

# What charges stand on, by the dataset of a file.
FOUNDATIONS = ("charges", "jobs", "fleet", "tariffs", "power_readings", "project_rules")
# Small bills are kept in one table too, up to so many rows in all.
ROWS_TOGETHER = 100_000
# Fewer bills are as quick by themselves.
BILLS_APART = 4
LIVE = "select * from owned_charges_live"


def make_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Make the tables that `keep` fills, new and empty, after the live views."""
    con.execute("create or replace table landed.together as from landed.charges_none limit 0")
    con.execute("create or replace table landed.owned as select * from owned_charges_live limit 0")


def show_live(con: duckdb.DuckDBPyConnection) -> None:
    """Let `charges` be the union of every published landing table and of what the fleet costs by its ledger."""
    show_bills(con)
    # without a fleet there is nothing to work out
    if con.execute("select count(*) from fleet").fetchone()[0]:
        con.execute(f"create or replace view owned_charges as {LIVE}")


def show_bills(con: duckdb.DuckDBPyConnection, tables: list[str] | None = None) -> None:
    """Let the view of imported charges be the union of some tables, or of every published landing table."""
    tables = tables or [name for name, _ in _bills(con)]
    con.execute(f"create or replace view landed.imported as {_union(tables)}")


def keep(con: duckdb.DuckDBPyConnection) -> None:
    """Keep what the live views say in tables, and read these, in a transaction of its own.

    Where a fleet cannot be worked out (amounts of more digits than money has), the live views stay, so that only who
    asks for charges is told.
    """
    con.execute("begin")
    try:
        _keep(con)
        con.execute("commit")
    except duckdb.Error:
        con.execute("rollback")


def _keep(con: duckdb.DuckDBPyConnection) -> None:
    together, rows = [], 0
    for name, size in sorted(_bills(con), key=lambda bill: bill[1]):
        rows += size
        if rows <= ROWS_TOGETHER:
            together.append(name)
    con.execute("delete from landed.together")
    if len(together) > BILLS_APART:
        con.execute(f"insert into landed.together by name {_union(together)}")
        apart = [name for name, _ in _bills(con) if name not in together]
        show_bills(con, ["together", *apart])
    else:
        show_bills(con)
    con.execute("delete from landed.owned")
    if con.execute("select count(*) from fleet").fetchone()[0]:
        con.execute("insert into landed.owned from owned_charges_live")
    con.execute("create or replace view owned_charges as select * from landed.owned")


def last_load(con: duckdb.DuckDBPyConnection) -> int:
    """The number of the last load."""
    return con.execute("select coalesce(max(load_id), 0) from loads").fetchone()[0]


def keep_after(con: duckdb.DuckDBPyConnection, load_id: int) -> None:
    """`keep`, where loads after one changed what charges stand on."""
    changed = "select count(*) from loads where load_id > ? and list_contains(?, dataset)"
    if con.execute(changed, [load_id, FOUNDATIONS]).fetchone()[0]:
        keep(con)


def drop_unpublished(con: duckdb.DuckDBPyConnection) -> None:
    """Drop landing tables that a killed load left behind; nothing ever read from them."""
    for (name,) in con.execute(
        "select table_name from duckdb_tables() where schema_name = 'landed' and starts_with(table_name, 'charges_')"
        " and table_name <> 'charges_none' and table_name not in (select 'charges_' || load_id from loads)"
    ).fetchall():
        con.execute(f"drop table landed.{name}")


def _bills(con: duckdb.DuckDBPyConnection) -> list[tuple[str, int]]:
    """The published landing tables and their rows, as far as the catalogue tells."""
    found = con.execute(
        "select table_name, estimated_size from duckdb_tables() where schema_name = 'landed'"
        " and table_name in (select 'charges_' || load_id from loads) order by 1"
    ).fetchall()
    return found or [("charges_none", 0)]


def _union(tables: list[str]) -> str:
    return " union all ".join(f"select * exclude (x_reject) from landed.{table}" for table in tables)
