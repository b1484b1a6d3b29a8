"""Lands one file in one table of its own: reads, types, flags what is wrong, and counts; nothing is dropped.

The quick way leaves all parsing to DuckDB in one pass. Where DuckDB meets damage (an open quote, a row with
too few columns, bytes that are no text), or where a rejected row's line number would be off, the file is read
again record by record (`damage.py`), so that a bad record never takes a good neighbour with it.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from dcbudget.errors import UnreadableFile
from dcbudget.ingest import damage
from dcbudget.ingest.plan import MACROS, BadRecord, Column, Dialect, Plan, ref
from dcbudget.ingest.source import Source, duckdb_path
from dcbudget.privacy import FREE_TEXT, PEOPLE, PERSON_KEY
from dcbudget.quoting import literal, quote

LINE_FIELD = "x_line"
PERSON = re.compile(PERSON_KEY)
# Columns that hold what users wrote as keys and values.
DOCUMENTS = ("Tags", "x_extra")
# A row longer than this is damage to DuckDB; the careful way may meet long ones.
MAX_LINE_BYTES = 32 * 1024 * 1024
# Digits before and after the point of the decimals that money and quantities are kept in.
DIGITS = {"money": (14, 24), "quantity": (20, 18)}
INTEGER_DIGITS = {"TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19,
                  "UTINYINT": 3, "USMALLINT": 5, "UINTEGER": 10, "UBIGINT": 20}  # fmt: skip


@dataclass(frozen=True)
class Landed:
    """A file in its landing table; rejected rows are still in it, with their reason in `x_reject`."""

    table: str
    rows_skipped: int
    damaged: list[BadRecord]
    rows: int
    quick: bool


def land(
    con: duckdb.DuckDBPyConnection,
    source: Source,
    plan: Plan,
    table: str,
    like: str,
    load_id: int,
    careful: bool = False,
) -> Landed:
    """Land a file in `table`, which gets the columns of the table `like`, and `x_reject`.

    `x_source_row` is the line of a text file or the row of a Parquet file, from 1, a header line included. The quick
    way takes every record for one line; where one is rejected, `lines_hold` says whether that was so.

    Raises
    ------
    UnreadableFile : not even the careful way can read it.
    """
    _refuse_names_given_twice(source, plan)
    targets = {name: kind for name, kind, *_ in con.execute(f"describe {like}").fetchall()}
    bad: list[BadRecord] = []
    if plan.convert:
        plan, careful = replace(plan, dialect=Dialect()), True
    if source.kind == "parquet" and not plan.convert:
        reading = f"read_parquet({literal(duckdb_path(source.path))}, hive_partitioning = false)"
        _create(con, table, _statement(plan, targets, load_id, reading, source.parquet_types), source.path)
        con.execute(f"update {table} set x_source_row = rowid + 1")
        quick = False
    elif not (quick := not careful and _land_quickly(con, source, plan, table, targets, load_id)):
        with TemporaryDirectory(prefix="dcbudget-") as folder:
            clean = Path(folder) / "clean.csv"
            read = damage.convert if plan.convert else damage.separate
            bad = read(source, plan, clean, LINE_FIELD)
            reading = _read_csv(clean, [*plan.fields, LINE_FIELD], plan, "none", MAX_LINE_BYTES)
            _create(con, table, _statement(plan, targets, load_id, reading, line=ref(LINE_FIELD)), source.path)
            unread = con.execute("select count(*) from reject_errors").fetchone()[0]
            con.execute("drop table reject_errors; drop table reject_scans")
            if unread:
                raise UnreadableFile(f"{source.path.name}: {unread} rows of more than {MAX_LINE_BYTES} bytes")
    rows = con.execute(f"select count(*) from {table}").fetchone()[0]
    for statement in plan.finish:
        con.execute(statement.format(table=table))
    skipped = con.execute(f"delete from {table} where x_reject = ''").fetchone()[0]
    return Landed(table, skipped, bad, rows, quick)


def lines_hold(con: duckdb.DuckDBPyConnection, source: Source, plan: Plan, landed: Landed) -> bool:
    """Whether the rejected rows stand on the lines that `x_source_row` says."""
    if not landed.quick or not con.execute(f"select count(x_reject) from {landed.table}").fetchone()[0]:
        return True
    return source.newline_count() == landed.rows + plan.dialect.header


def _refuse_names_given_twice(source: Source, plan: Plan) -> None:
    seen: set[str] = set()
    for name in plan.fields:
        if name.lower() in seen:
            raise UnreadableFile(f"{source.path.name}: two columns are called {name!r}")
        seen.add(name.lower())


def _land_quickly(con, source: Source, plan: Plan, table: str, targets: dict[str, str], load_id: int) -> bool:
    """One pass of DuckDB; false where the file needs the careful way."""
    if source.encoding != "utf-8":
        return False
    reading = _read_csv(source.path, plan.fields, plan, source.compression)
    with ThreadPoolExecutor(1) as beside:
        holds_nul = beside.submit(source.holds_nul)
        try:
            con.execute(_create_table(table) + _statement(plan, targets, load_id, reading))
            damaged = con.execute("select count(*) from reject_errors").fetchone()[0]
        except duckdb.Error:
            damaged = True
        finally:
            con.execute("drop table if exists reject_errors; drop table if exists reject_scans")
        if holds_nul.result() or damaged:
            return False
    con.execute(f"update {table} set x_source_row = rowid + {1 + plan.dialect.header}")
    return True


def _create_table(table: str) -> str:
    """Landing tables of bills have a schema and stay; the others are temporary."""
    return f"create or replace {'' if '.' in table else 'temp '}table {table} as "


def _create(con, table: str, statement: str, path: Path) -> None:
    try:
        con.execute(_create_table(table) + statement)
    except duckdb.Error as error:
        raise UnreadableFile(f"{path.name}: {str(error).splitlines()[0]}") from None


def _read_csv(path: Path, fields: list[str], plan: Plan, compression: str, max_line_bytes: int = 0) -> str:
    columns = ", ".join(f"{literal('f:' + name)}: 'VARCHAR'" for name in fields)
    words = ", ".join(literal(word) for word in plan.nulls)
    quoting = "quote = '\"', escape = '\"'" if plan.dialect.quoted else "quote = '', escape = ''"
    longer = f", max_line_size = {max_line_bytes}" if max_line_bytes else ""
    return (
        f"read_csv({literal(duckdb_path(path))}, columns = {{{columns}}}, delim = {literal(plan.dialect.delimiter)},"
        f" header = {str(plan.dialect.header).lower()}, {quoting}, compression = {literal(compression)},"
        f" nullstr = [{words}], auto_detect = false, store_rejects = true{longer})"
    )


def _statement(plan: Plan, targets: dict[str, str], load_id: int, reading: str, types=None, line="null") -> str:
    """The one query that types a file's fields and says what is wrong with a row, '' where it is no record."""
    types = types or {}
    fields = "*"
    if types:
        fields = ", ".join(f"{_as_text(name, kind, plan.nulls)} as {ref(name)}, {quote(name)} as {_native(name)}"
                           for name, kind in types.items())  # fmt: skip
    values = {name: _value(plan, plan.columns[name], types) for name in plan.columns}
    fixed = {"x_load_id": str(load_id), "x_source_row": line}
    typed = ", ".join(
        f"({values.get(name) or fixed.get(name, 'null')})::{kind} as {quote(name)}"
        for name, kind in targets.items()
        if name != "x_reject"
    )
    names = ", ".join(quote(name) for name in targets if name != "x_reject")
    row = ", ".join(f"{literal(name)}, {sql}" for name, sql in _shown(plan).items())
    documents = ", ".join(f"hide_people({name}) as {name}" for name in DOCUMENTS if name in targets)
    covered = f"select * replace ({documents}) from named" if documents else "select * from named"
    return f"""
        with fields as (select {fields} from {reading}),
        named as (select *, {typed} from fields),
        typed as ({covered}),
        judged as (select *, case
            when not coalesce({plan.records}, false) then {{'column': '', 'found': '', 'reason': ''}}
            {_faults(plan)} end as fault from typed)
        select {names},
            case when fault is null then null when fault.reason = '' then ''
                else json_object('column', fault.column, 'found', fault.found, 'reason', fault.reason,
                    'row', json_object({row}))::varchar end as x_reject
        from judged"""


def _shown(plan: Plan) -> dict[str, str]:
    """The fields that a rejected row is shown with: none that names a person, of a log the shape of those in use."""
    people = (*PEOPLE.get(plan.dataset, ()), *FREE_TEXT.get(plan.dataset, ()))
    hidden = " ".join(column.sql for name, column in plan.columns.items() if name in people)
    used = " ".join(column.sql for name, column in plan.columns.items() if name not in people)
    fields = [name for name in plan.fields if ref(name) not in hidden and not PERSON.search(f'"{name}":')]
    if plan.dataset in PEOPLE:
        return {name: _shape(ref(name)) for name in fields if ref(name) in used}
    return {name: f"hide_people({ref(name)})" for name in fields}


def _shape(text: str) -> str:
    """SQL for the shape of a text; in a row whose fields have shifted a name stands where none should."""
    return f"regexp_replace({text}, '[a-zA-Z]', 'x', 'g')"


def _faults(plan: Plan) -> str:
    """The branches of the case that names a row's first fault: its types, what it lacks, then the rules."""

    def branch(when: str, column: str, found: str, reason: str) -> str:
        told = f"({found})::varchar"
        if plan.dataset in PEOPLE:
            told = f"case when regexp_full_match({told}, '[A-Z_]*') then {told} else {_shape(told)} end"
        fault = f"{{'column': {literal(column)}, 'found': {told}, 'reason': {literal(reason)}}}"
        return f"when {when} then {fault}"

    branches = []
    for name, column in plan.columns.items():
        if column.kind in MACROS:
            wrong = f"({column.sql}) is not null and {quote(name)} is null"
            branches.append(branch(wrong, name, column.sql, f"not {MACROS[column.kind][1]}"))
    for name, column in plan.columns.items():
        if column.required:
            branches.append(branch(f"{quote(name)} is null", name, "null", "is empty"))
    branches += [branch(rule.broken, rule.column, rule.found, rule.reason) for rule in plan.rules]
    return "\n".join(branches)


def _value(plan: Plan, column: Column, types: dict[str, str]) -> str:
    """SQL for a target's value: by its kind's macro, or straight from a Parquet column of a fitting type."""
    if column.kind not in MACROS:
        return column.sql
    plain = next((name for name in types if ref(name) == column.sql), None)
    if plain is not None and _fits(types[plain], column.kind):
        native = _native(plain)
        return f"timezone('UTC', {native})" if types[plain] == "TIMESTAMP WITH TIME ZONE" else native
    zone = f", {literal(plan.timezone)}" if column.kind == "time" else ""
    value = f"{MACROS[column.kind][0]}({column.sql}{zone})"
    if plain is not None and types[plain] in ("DOUBLE", "FLOAT") and column.kind in DIGITS:
        # a binary number has no last decimal to keep: beyond the column's it is rounded, not rejected
        whole, decimals = DIGITS[column.kind]
        return f"coalesce({value}, try_cast({column.sql} as decimal({whole + decimals}, {decimals})))"
    return value


def _fits(kind: str, target: str) -> bool:
    """Whether every value of a Parquet type can become the target without a text in between, nothing rounded."""
    if target == "time":
        return kind.startswith(("TIMESTAMP", "DATE"))
    decimal = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind)
    if target not in DIGITS or not (decimal or kind in INTEGER_DIGITS):
        return kind == "DATE" and target == "day"
    whole, decimals = DIGITS[target]
    width, scale = (int(decimal[1]), int(decimal[2])) if decimal else (INTEGER_DIGITS[kind], 0)
    return width - scale <= whole and scale <= decimals


def _native(field: str) -> str:
    return quote("n:" + field)


def _as_text(name: str, kind: str, nulls: tuple[str, ...]) -> str:
    if kind.startswith(("STRUCT", "MAP")) or kind.endswith("[]"):
        return f"to_json({quote(name)})::varchar"
    if kind == "VARCHAR":
        words = ", ".join(literal(word) for word in nulls)
        return f"case when {quote(name)} not in ({words}) then {quote(name)} end"
    return f"{quote(name)}::varchar"
