"""Exports for viewers: a new database, or a folder of tables, with the rows of some projects and of nobody else.

What is in it is said here table by table; nothing else is copied. Left out are pools and idle capacity, from which the
shares of others follow, whatever is nobody's, persons, prices, rules, files and rejected rows. Where a text names
another project, the name is cut out of it.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from dcbudget import warehouse
from dcbudget.errors import DcbudgetError
from dcbudget.export import export_table

# The rows that are a project's own, by table: columns that are left out, and what holds for a row; `own` is the
# projects, `job_of_others` the jobs whose number another project's job of another cluster has too.
TABLES = {
    "charges": ("Tags, x_extra, x_load_id, x_source_row", "x_project in (from own)"),
    "jobs": ("user_id, x_load_id, x_source_row", "project in (from own)"),
    "run_metrics": (
        "",
        "coalesce(project, case when job_id not in (from job_of_others) then (select any_value(project) from jobs"
        " where jobs.job_id = run_metrics.job_id) end) in (from own)",
    ),
    "requests": ("x_load_id, x_source_row", "project in (from own)"),
    "budget_lines": ("x_load_id, x_source_row", "project in (from own)"),
    "adjustments": (
        "owner, consent",
        "coalesce(from_project, to_project) in (from own) and coalesce(to_project, from_project) in (from own)",
    ),
    # Of the whole, because pools are shared out in them; each of their rows is one project's.
    **dict.fromkeys(
        ("cost_lines", "cost_daily", "cost_monthly", "job_days", "job_states_monthly", "gpu_ledger_monthly",
         "showback_monthly", "budget_vs_actual", "unit_cost_monthly"),
        ("", "project in (from own)"),
    ),
}  # fmt: skip
# Of the export's own tables.
VIEWS = {
    "runs": warehouse.sql("staging")["runs"],
    "tokens_monthly": warehouse.sql("marts")["tokens_monthly"],
    "queue_wait_monthly": warehouse.sql("marts")["queue_wait_monthly"],
    "gpu_hours_monthly": """
        select month, project, cluster, gpu_model, sum(gpu_hours) as allocated_gpu_hours,
            sum(used_gpu_hours) as used_gpu_hours, sum(measured_gpu_hours) as measured_gpu_hours
        from (select *, date_trunc('month', day)::date as month from job_days)
        group by all""",
}
# Whose names there are.
PROJECTS = """
    select x_project as project from charges union select project from jobs union select project from run_metrics
    union select project from budget_lines union select from_project from adjustments
    union select to_project from adjustments
    union select value from project_rules where assign = 'project' and not contains(value, '{')"""
# What costs stand under that no project bears.
NOBODY = {"Idle capacity", "Unallocated"}
# Columns of a closed vocabulary, the provider's or ours, where a word that is also a project's name stays.
VOCABULARY = re.compile(
    r"(x_|from_|to_)?project|(pricing_|from_|to_)?category|currency|state|bucket|(commitment_)?status|unit|metric|(new_)?plan_version|counterfactual"
    r"|(x_)?gpu_model|gpu_slice|job_link|provider|service|.*(Category|Class|Frequency|Currency|Unit|Type|Status|ServiceName|ServiceSubcategory)"
    r"|(Provider|Publisher|InvoiceIssuer|Region)Name|RegionId|AvailabilityZone|Sku.*"
)
# From this length on a name is cut out of longer words too; a shorter one is only cut out where it is a word.
TELLING_LENGTH = 4


def export_projects(
    projects: Iterable[str], target: Path, db: str | Path | None = None, wait_seconds: float = warehouse.WAIT_SECONDS
) -> dict[str, int]:
    """Write a database (`.duckdb`), or a folder with a Parquet file a table, for viewers of some projects.

    Returns
    -------
    The rows of each table.

    Raises
    ------
    DcbudgetError : no such project, or the target is there and is no such export.
    """
    wanted = sorted(set(projects))
    if target.suffix == ".duckdb":
        if target.exists() and warehouse.viewers_of(target) is None:
            raise DcbudgetError(f"{target} is there already and is no viewers' export; name another file")
        return _write(wanted, target, warehouse.database_path(db), wait_seconds)
    if target.suffix or target.is_file():
        raise DcbudgetError(f"{target}: an export for viewers is a .duckdb file or a folder")
    with TemporaryDirectory(prefix="dcbudget-") as folder:
        whole = Path(folder) / "viewer.duckdb"
        rows = _write(wanted, whole, warehouse.database_path(db), wait_seconds)
        for table in rows:
            export_table(table, target / f"{table}.parquet", whole)
    return rows


def export_project_table(
    projects: Iterable[str],
    table: str,
    file: Path,
    db: str | Path | None = None,
    wait_seconds: float = warehouse.WAIT_SECONDS,
) -> int:
    """Write one table of what viewers of some projects may see to .csv, .parquet or .xlsx; returns its rows."""
    with TemporaryDirectory(prefix="dcbudget-") as folder:
        whole = Path(folder) / "viewer.duckdb"
        _write(sorted(set(projects)), whole, warehouse.database_path(db), wait_seconds)
        return export_table(table, file, whole)


def _write(projects: list[str], target: Path, db: Path, wait_seconds: float) -> dict[str, int]:
    with warehouse.connect(db, wait_seconds=wait_seconds):
        pass  # its views are of this version now
    with warehouse.attached(db, wait_seconds=wait_seconds) as con:
        others = _others(con, projects)
        con.execute("create temp table own as select unnest(?::varchar[]) as project", [projects])
        con.execute(
            "create temp table job_of_others as select distinct job_id from jobs"
            " where job_id is not null and coalesce(project not in (from own), true)"
        )
        with warehouse.new_database(con, target, "made"):
            for table, (left_out, condition) in TABLES.items():
                con.execute(
                    f"create table made.{table} as {_selection(con, table, left_out, others)} where {condition}"
                )
            con.execute("create schema made.landed")
            con.execute("create table made.landed.about as select ? as name, ? as value",
                        [warehouse.VIEWER, ", ".join(projects)])  # fmt: skip
            con.execute("use made")
            for view, text in VIEWS.items():
                con.execute(f"create view {view} as {text}")
            names = sorted([*TABLES, *VIEWS])
            return {name: con.execute(f"select count(*) from {name}").fetchone()[0] for name in names}


def _others(con: duckdb.DuckDBPyConnection, projects: list[str]) -> list[str]:
    """The names of all other projects, the longest first."""
    known = {row[0] for row in con.execute(PROJECTS).fetchall() if row[0]} - NOBODY
    if unknown := [project for project in projects if project not in known]:
        raise DcbudgetError(f"no project {unknown[0]!r}; there are {', '.join(sorted(known)) or 'none'}")
    return sorted(known - set(projects), key=lambda name: (-len(name), name))


def _selection(con: duckdb.DuckDBPyConnection, table: str, left_out: str, others: list[str]) -> str:
    """A select of a table without some columns, the names of others cut out of its free texts."""
    excluded = set(left_out.split(", "))
    columns = []
    for name, kind, *_ in con.execute(f"describe {table}").fetchall():
        if name in excluded:
            continue
        text = f'"{name}"'
        if name == "host":  # the view of runs asks for it
            columns.append("null::varchar as host")
            continue
        if kind == "VARCHAR" and not VOCABULARY.fullmatch(name):
            for pattern, kept in _patterns(others):
                text = f"regexp_replace({text}, '{pattern}', '{kept}', 'gi')"
            text += f' as "{name}"'
        columns.append(text)
    return f"select {', '.join(columns)} from {table}"


def _patterns(others: list[str]) -> list[tuple[str, str]]:
    """RE2 patterns of names, and what stays of a match."""
    quoted = [(name, re.sub(r"([!-/:-@\[-^`{-~])", r"\\\1", name).replace("'", "''")) for name in others]
    long = "|".join(text for name, text in quoted if len(name) >= TELLING_LENGTH)
    short = "|".join(text for name, text in quoted if len(name) < TELLING_LENGTH)
    found = [(long, "…")] if long else []
    if short:  # twice, because a separator that ends one match cannot begin the next
        found += [(f"(^|[^a-z0-9])(?:{short})($|[^a-z0-9])", r"\1…\2")] * 2
    return found
