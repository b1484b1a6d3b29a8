"""Whether loaded FOCUS bills keep the rules of the specification: findings to put to the provider, and no errors.

`sql/focus/rules.csv` has the requirements of FOCUS 1.2 (FOCUS_Spec, its columns and conformance model, whose ids name
them; a sentence names those without a usable id) with the versions that they hold for, and `sql/focus/values.csv` the
allowed values. Left out is what a bill does not tell, such as who takes the payment, or which features a provider
supports: a conditional column that a file lacks is no finding.
"""

import csv
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import duckdb

from dcbudget import warehouse
from dcbudget.quoting import literal

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("file", "version", "rule", "level", "requirement", "rows", "line", "found")
# What must hold of a column, in words; {level} is MUST or SHOULD.
REQUIREMENTS = {
    "present": "{column} {level} be present",
    "not_null": "{column} {level} NOT be null",
    "null": "{column} {level} be null",
    "allowed": "{column} {level} be one of the allowed values",
    "under": "{column} {level} belong to its {argument}",
    "currency": "{column} {level} be a currency of ISO 4217",
    "numeric": "{column} {level} be a decimal in numeric format",
    "time": "{column} {level} be a UTC time such as 2026-05-01T00:00:00Z",
    "key_value": "{column} {level} be a JSON object of plain values",
    "not_value": "{column} {level} NOT be {argument}",
    "equals": "{column} {level} be {argument}",
    "at_least": "{column} {level} be at least {argument}",
    "after": "{column} {level} be later than {argument}",
    "product": "{column} {level} match {argument}",
}
# Of a text as it stands in the file (attributes/numeric_format.md, date_time_format.md).
FORMATS = {
    "numeric": r"-?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?",
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
}
# How far a product may be off, of a unit of the currency and of the cost: costs are rounded by those who export them.
TOLERANCE = 1e-6


def findings(db=None) -> "pd.DataFrame":
    """What every loaded FOCUS export does against the version that it claims to follow, one row a file and rule.

    Returns
    -------
    DataFrame : file, version, rule, level (MUST or SHOULD), requirement, rows (null where the file as a whole is
        meant), line (the first one) and found (what stands there, null where nothing does).
    """
    import pandas as pd

    rows = []
    with warehouse.connect(db) as con:
        loads = con.execute(
            "select load_id, file, split_part(format, ' ', 2) from loads"
            " where dataset = 'charges' and starts_with(format, 'focus ') order by load_id"
        ).fetchall()
        for load_id, file, version in loads:
            rows += [(file, version, *finding) for finding in _findings_of(con, load_id, version)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype({"rows": "Int64", "line": "Int64"})


def _findings_of(con: duckdb.DuckDBPyConnection, load_id: int, version: str) -> list[tuple]:
    """(rule, level, requirement, rows, line, found) of one load, in the order of the rules."""
    first_values = dict(
        con.execute("select lower(column_name), first_value from load_columns where load_id = ?", [load_id]).fetchall()
    )
    holding = [rule for rule in _rules() if rule["since"] <= version <= (rule["until"] or version)]
    absent = [rule for rule in holding if rule["kind"] == "present" and rule["column"].lower() not in first_values]
    present = [rule for rule in holding if rule["kind"] != "present" and rule["column"].lower() in first_values]
    counted = _count(con, load_id, present)
    rejected = _rejected(con, load_id)
    found = [_finding(rule, None, None, None) for rule in absent]
    for rule, (rows, line, value) in zip(present, counted, strict=True):
        kind = "empty" if rule["kind"] == "not_null" else "untyped" if rule["kind"] in FORMATS else None
        more, first, text = rejected.get((rule["column"], kind), (0, None, None))
        if rows + more:
            earlier = first is not None and (line is None or first < line)
            found.append(_finding(rule, rows + more, first if earlier else line, text if earlier else value))
        elif rule["kind"] in FORMATS and not _formatted(con, rule, first_values[rule["column"].lower()]):
            found.append(_finding(rule, None, None, first_values[rule["column"].lower()]))
    order = {rule["rule"]: position for position, rule in enumerate(holding)}
    return sorted(found, key=lambda finding: order[finding[0]])


def _finding(rule: dict[str, str], rows: int | None, line: int | None, value: str | None) -> tuple:
    requirement = REQUIREMENTS[rule["kind"]].format(**rule)
    when = f" where {rule['condition']}" if rule["condition"] else ""
    return rule["rule"], rule["level"], requirement + when, rows, line, value


def _count(con, load_id: int, rules: list[dict[str, str]]) -> list[tuple[int, int | None, str | None]]:
    """How many charges break each rule, the first one's line, and what stands there; one pass counts them all."""
    charges = f"landed.charges_{load_id}"
    broken = [_broken(rule, charges) for rule in rules]
    counts = con.execute(f"select {', '.join(f'count(*) filter ({sql})' for sql in broken)} from {charges}").fetchone()
    result = []
    for rule, sql, rows in zip(rules, broken, counts, strict=True):
        line, value = None, None
        if rows:
            shown = "null" if rule["kind"] == "key_value" else f"{rule['column']}::varchar"
            line, value = con.execute(
                f"select x_source_row, {shown} from {charges} where {sql} order by x_source_row limit 1"
            ).fetchone()
        result.append((rows, line, value))
    return result


def _broken(rule: dict[str, str], charges: str) -> str:
    """SQL that holds of a charge that breaks a rule; what is null breaks no rule but `not_null`."""
    column, argument = rule["column"], rule["argument"]
    match rule["kind"]:
        case "not_null":
            broken = f"{column} is null"
        case "null":
            broken = f"{column} is not null"
        case "allowed" | "currency":
            broken = f"{column} not in ({_listed(_values(column))})"
        case "under":
            parents = {parent for _, parent in _values(column).items()}
            broken = " or ".join(
                f"{argument} = {literal(parent)} and {column} not in"
                f" ({_listed(value for value, above in _values(column).items() if above == parent)})"
                for parent in sorted(parents)
            )
            broken = f"{column} in ({_listed(_values(column))}) and ({broken})"
        case "key_value":
            broken = f"{column} in (select c from (select distinct {column} as c from {charges}) where {_NO_KEY_VALUE})"
        case "not_value":
            broken = f"{column} = {literal(argument)}"
        case "equals":
            broken = f"{column} <> {argument}"
        case "at_least":
            broken = f"{column} < {argument}"
        case "after":
            broken = f"{column} <= {argument}"
        case "product":
            price, quantity = (f"{factor}::double" for factor in argument.split(" * "))
            allowed = f"{TOLERANCE} * greatest(1, abs({column}::double))"
            broken = f"abs({price} * {quantity} - {column}::double) > {allowed}"
        case _:
            return "false"  # formats are those of the text, which is gone
    return f"({broken}) and ({rule['condition'] or 'true'})"


# Of a text `c`: no JSON object, or one with objects or lists in it (attributes/key_value_format.md).
_NO_KEY_VALUE = (
    "case when c is null then false when not json_valid(c) then true when json_type(c) <> 'OBJECT' then true"
    " else list_has_any(list_transform(json_extract(c, '$.*'), lambda v: json_type(v)), ['OBJECT', 'ARRAY']) end"
)


def _rejected(con, load_id: int) -> dict[tuple[str, str], tuple[int, int, str | None]]:
    """Rows that were not loaded because a column was empty or not of its type: (column, which) -> rows, line, found."""
    rows = con.execute(
        "select column_name, if(reason = 'is empty', 'empty', 'untyped'), count(*), min(line), arg_min(found, line)"
        " from rejects where load_id = ? and (reason = 'is empty' or starts_with(reason, 'not a ')) group by all",
        [load_id],
    ).fetchall()
    return {(column, which): tuple(counted) for column, which, *counted in rows}


def _formatted(con, rule: dict[str, str], first_value: str | None) -> bool:
    pattern = FORMATS[rule["kind"]]
    return first_value is None or con.execute("select regexp_full_match(?, ?)", [first_value, pattern]).fetchone()[0]


@cache
def _rules() -> list[dict[str, str]]:
    return _read("rules.csv")


@cache
def _values(column: str) -> dict[str, str]:
    """The allowed values of a column, each with the value of another column that it belongs under, or ''."""
    return {row["value"]: row["under"] for row in _read("values.csv") if row["column"] == column}


def _read(name: str) -> list[dict[str, str]]:
    with files("dcbudget").joinpath("sql", "focus", name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _listed(values) -> str:
    return ", ".join(map(literal, values))
