"""Loads files into the database: finds the format, lands each file, settles what it replaces, and keeps the books."""

import csv
import glob
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path

import duckdb

from dcbudget import privacy, published, warehouse
from dcbudget.errors import DcbudgetError, RefusedFile, UnreadableFile
from dcbudget.ingest import READERS, charges, records
from dcbudget.ingest.landing import Landed, land, lines_hold
from dcbudget.ingest.plan import Options, Plan, Reader, ref
from dcbudget.ingest.source import NULL_WORDS, Source, fingerprint, open_source
from dcbudget.privacy import Pseudonyms

# What a folder may hold beside data.
NOT_DATA = (
    ".md",
    ".rst",
    ".html",
    ".pdf",
    ".png",
    ".svg",
    ".ipynb",
    ".xlsx",
    ".duckdb",
    ".wal",
    ".key",
    ".py",
    ".sql",
)
# How many records are looked at for the first value of a column.
RECORDS_LOOKED_AT = 100
NOT_DATA_NAMES = ("README", "README.txt", "LICENSE", "truth.json")
# What MLflow keeps beside the metrics of a run, and beside the runs of an experiment.
BESIDE_METRICS = ("params", "tags", "aliases", "artifacts", "inputs", "outputs", "datasets", "models", "traces")


@dataclass(frozen=True)
class Cost:
    """Money of one currency in a file, in the basis that its dataset accounts for (BilledCost for charges)."""

    currency: str
    read: Decimal
    loaded: Decimal
    rejected: Decimal


@dataclass(frozen=True)
class FileResult:
    """What became of one file; `status` is loaded, replaced, unchanged, refused or failed."""

    path: Path
    status: str
    format: str = ""
    rows_read: int = 0
    rows_loaded: int = 0
    rows_rejected: int = 0
    rows_skipped: int = 0
    cost: list[Cost] = field(default_factory=list)
    message: str = ""


def expand(paths: Iterable[str | Path]) -> list[Path]:
    """Files of folders (recursively) and patterns, each once, in name order; a name that matches nothing stays."""
    found: list[Path] = []
    for given in paths:
        path = Path(given)
        if path.is_dir():
            inside = [f for f in path.rglob("*") if f.is_file() and _may_be_data(f.relative_to(path))]
            found += sorted(_without_mlflow_records(inside))
        elif not path.exists() and glob.has_magic(str(given)):
            found += sorted(Path(f) for f in glob.glob(str(given), recursive=True) if Path(f).is_file()) or [path]
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def recognise(source: Source, name: str | None = None) -> Reader:
    """The reader whose format a file has, or the one that the user names.

    Raises
    ------
    UnreadableFile : no reader knows it.
    DcbudgetError : there is no reader of that name.
    """
    if name is not None:
        try:
            return next(reader for reader in READERS if reader.name == name)
        except StopIteration:
            known = ", ".join(reader.name for reader in READERS)
            raise DcbudgetError(f"no format {name!r}; there are {known}") from None
    for reader in READERS:
        if reader.detect(source):
            return reader
    if source.kind == "binary":
        raise UnreadableFile(f"{source.path.name}: neither text nor Parquet")
    raise UnreadableFile(f"{source.path.name}: its format is not known (dcbudget formats lists those that are)")


def load(
    paths: Iterable[str | Path],
    db: str | Path | None = None,
    *,
    format_name: str | None = None,
    options: Options | None = None,
    on_start: Callable[[Path, duckdb.DuckDBPyConnection], None] = lambda path, con: None,
    on_result: Callable[[FileResult], None] = lambda result: None,
    wait_seconds: float = warehouse.WAIT_SECONDS,
) -> list[FileResult]:
    """Load files; each is loaded wholly or not at all, and a bad file does not stop the next.

    Raises
    ------
    DatabaseBusy : another process holds the database.
    """
    options = options or Options()
    results = []
    with warehouse.connect(db, write=True, wait_seconds=wait_seconds) as con:
        published.drop_unpublished(con)
        before = published.last_load(con)
        names = privacy.pseudonyms(con, warehouse.database_path(db))
        privacy.define_macros(con, names)
        for path in expand(paths):
            on_start(path, con)
            try:
                result = _load_one(con, path, format_name, options, names)
            except (DcbudgetError, duckdb.Error, OSError) as error:
                status = "refused" if isinstance(error, RefusedFile) else "failed"
                named = str(error) if isinstance(error, DcbudgetError) else f"{path.name}: {error}".splitlines()[0]
                result = FileResult(path, status, message=named)
            results.append(result)
            on_result(result)
        published.keep_after(con, before)
    return results


def _may_be_data(inside: Path) -> bool:
    hidden = any(part.startswith(".") for part in inside.parts)
    if inside.name.lower().endswith("manifest.json"):  # of a cloud's export: it names the files beside it
        return False
    return not hidden and inside.suffix.lower() not in NOT_DATA and inside.name not in NOT_DATA_NAMES


def _without_mlflow_records(files: list[Path]) -> list[Path]:
    """Files without what MLflow keeps beside the metrics of its runs, whose `meta.yaml` stands for each."""
    told = {file: file.read_text(encoding="utf-8", errors="replace") for file in files if file.name == "meta.yaml"}
    beside = {file.parent / name for file, text in told.items() for name in BESIDE_METRICS
              if "lifecycle_stage:" in text or "creation_timestamp:" in text}  # fmt: skip
    return [file for file in files
            if "artifact_uri:" in told.get(file, "artifact_uri:") and beside.isdisjoint(file.parents)]  # fmt: skip


def _load_one(
    con: duckdb.DuckDBPyConnection, path: Path, name: str | None, options: Options, names: Pseudonyms
) -> FileResult:
    if not path.is_file():
        raise UnreadableFile(f"{path}: no such file")
    stat = path.stat()
    known = con.execute(
        "select load_id, fingerprint, modified_ns = ? from loads where bytes = ? and path = ? order by load_id desc",
        [stat.st_mtime_ns, stat.st_size, str(path.resolve())],
    ).fetchone()
    mark = known[1] if known and known[2] else fingerprint(path)
    if options.overlap == "ask" and (again := _unchanged(con, path, mark)):
        return again
    source = open_source(path)
    reader = recognise(source, name)
    plan = reader.plan(source, options)
    load_id = con.execute("select coalesce(max(load_id), 0) + 1 from loads").fetchone()[0]
    is_bill = plan.dataset == "charges"
    table = f"landed.charges_{load_id}" if is_bill else f"landing_{load_id}"
    settle = charges.settle if is_bill else records.settle
    shape = _shape(con, plan.dataset)

    def judge() -> str:
        if plan.dataset == "project_rules":
            privacy.cover_rules(con, names, table)
        return settle(con, plan.dataset, table, load_id, path.name, options)

    try:
        landed = land(con, source, plan, table, shape, load_id)
        if is_bill:
            charges.refuse_other_export(con, table, plan.format, path.name, options)
        con.execute("begin")
        status = judge()
        if not lines_hold(con, source, plan, landed):
            con.execute("rollback")
            landed = land(con, source, plan, table, shape, load_id, careful=True)
            con.execute("begin")
            status = judge()
        result = _keep_books(con, source, plan, landed, load_id, status, mark, stat)
        (charges if is_bill else records).publish(con, plan.dataset, table, load_id, names)
        if plan.dataset in published.FOUNDATIONS:
            published.show_live(con)
        con.execute("commit")
    except BaseException:
        _roll_back(con, table)
        raise
    if not is_bill:
        con.execute(f"drop table if exists {table}")
    return result


def _roll_back(con: duckdb.DuckDBPyConnection, table: str) -> None:
    """Leave nothing behind, whatever broke; what broke is raised after this."""
    for statement in ("rollback", f"drop table if exists {table}"):
        with suppress(duckdb.Error):
            con.execute(statement)


def _unchanged(con: duckdb.DuckDBPyConnection, path: Path, mark: str) -> FileResult | None:
    row = con.execute(
        "select format, rows_read, rows_loaded, rows_rejected, rows_skipped, load_id from loads where fingerprint = ?",
        [mark],
    ).fetchone()
    if row is None:
        return None
    cost = con.execute(
        "select currency, cost_read, cost_loaded, cost_rejected from load_costs where load_id = ? order by all",
        [row[5]],
    ).fetchall()
    return FileResult(path, "unchanged", *row[:5], [Cost(*c) for c in cost], "already loaded")


def _shape(con: duckdb.DuckDBPyConnection, dataset: str) -> str:
    """The table whose columns a landing table takes, `x_reject` included."""
    if dataset == "charges":
        return "landed.charges_none"
    con.execute(f"create or replace temp table shape as select *, null::varchar as x_reject from {dataset} limit 0")
    return "shape"


def _first_values(source: Source, plan: Plan) -> list[str | None]:
    """The first text of each field that holds times or amounts, as far as the file's first bytes tell."""
    measured = {column.sql for column in plan.columns.values() if column.kind in ("money", "quantity", "time")}
    found: list[str | None] = [None] * len(plan.fields)
    if source.kind != "text" or plan.convert:
        return found
    records = csv.reader(source.head_lines, delimiter=plan.dialect.delimiter) if plan.dialect.quoted else ()
    with suppress(csv.Error):
        for record in islice(records, plan.dialect.header, RECORDS_LOOKED_AT):
            for position, (name, text) in enumerate(zip(plan.fields, record, strict=False)):
                if found[position] is None and text not in NULL_WORDS and ref(name) in measured:
                    found[position] = text
    return found


def _keep_books(
    con, source: Source, plan: Plan, landed: Landed, load_id: int, status: str, mark: str, stat
) -> FileResult:
    """Count rows and money, move rejected rows to `rejects`, and write the load down."""
    path, table = source.path, landed.table
    money = f"coalesce({plan.money}, 0)" if plan.money else "0::decimal(38, 24)"
    currency = f"coalesce({plan.currency}, '?')" if plan.currency else "'?'"
    costs = []
    if plan.money:
        # Summed by the database: Python's decimals would round to 28 digits.
        sums = con.execute(
            f"select {currency}, sum({money}), coalesce(sum({money}) filter (x_reject is null), 0),"
            f" coalesce(sum({money}) filter (x_reject is not null), 0) from {table} group by 1 order by 1"
        ).fetchall()
        costs = [Cost(*row) for row in sums]
    read = con.execute(f"select count(*) from {table}").fetchone()[0] + len(landed.damaged)
    con.execute(
        f"""insert into rejects by name
        select {load_id} as load_id, ? as file, x_source_row as line, nullif(x_reject->>'column', '') as column_name,
            x_reject->>'found' as found, x_reject->>'reason' as reason, {currency} as currency, {money} as cost,
            (x_reject->'row')::varchar as source_row
        from {table} where x_reject is not null""",
        [path.name],
    )
    if landed.damaged:
        con.executemany(
            "insert into rejects (load_id, file, line, reason, source_row) values (?, ?, ?, ?, ?)",
            [[load_id, path.name, bad.line, bad.reason, privacy.masked(bad.text)] for bad in landed.damaged],
        )
    con.execute(f"delete from {table} where x_reject is not null")
    kept = con.execute(f"select count(*) from {table}").fetchone()[0]
    con.execute(
        "insert into loads values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [load_id, path.name, str(path.resolve()), mark, stat.st_size, stat.st_mtime_ns, plan.format, plan.dataset,
         read, kept, read - kept, landed.rows_skipped, status, datetime.now(UTC).replace(tzinfo=None)],
    )  # fmt: skip
    con.execute(
        "insert into load_columns select ?, unnest(range(1, len(?) + 1)), unnest(?), unnest(?)",
        [load_id, plan.fields, plan.fields, _first_values(source, plan)],
    )
    for cost in costs:
        con.execute("insert into load_costs values (?, ?, ?, ?, ?)",
                    [load_id, cost.currency, cost.read, cost.loaded, cost.rejected])  # fmt: skip
    message = ""
    if read > kept:
        line, column, found, reason = con.execute(
            "select line, column_name, left(found, 80), reason from rejects where load_id = ? order by line limit 1",
            [load_id],
        ).fetchone()
        what = f", {column}" + (f" {found!r}" if found else "") if column else ""
        rows = "1 row" if read - kept == 1 else f"{read - kept:,} rows"
        message = f"{rows} rejected (table rejects), the first: line {line}{what}: {reason}"
    return FileResult(path, status, plan.format, read, kept, read - kept, landed.rows_skipped, costs, message)
