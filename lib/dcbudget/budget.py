"""What is decided: plan versions, the spreadsheets that carry them to a finance department and back, calibration.

A plan version is a name over budget lines. A draft may be saved again, whole; an approved version is frozen. Several
approved versions may cover one month: reports compare it with the last of them by name, unless they are told another
(`-p plan_version=NAME`), and `approve` says for which months that is this one. What is decided here has no load
(`x_load_id` is null): a file that is loaded later replaces drafts of its plan version, and is refused where it would
change one that was approved here.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import xxhash

from dcbudget import warehouse
from dcbudget.errors import DatabaseMissing, DcbudgetError, MixedCurrencies, OutOfRange
from dcbudget.spreadsheet import CENT, LARGEST_AMOUNT, NOISE, Line, tidy

STATUSES = ("draft", "approved")
NAME = re.compile(r"\w([\w .+()-]{0,62}[\w+)])?")
CURRENCY = re.compile("[A-Z]{3}")
LONGEST_NAME = 120
COLUMNS = ["month", "project", "category", "amount", "currency"]
QUANTITIES = ["month", "project", "gpu_model", "paid_as", "gpu_hours", "useful_gpu_hours", "amount", "currency"]
PLAN_KEY = ("month", "project", "category", "currency")
APPROVED = "select plan_version from budget_lines group by 1 having max(status) = 'approved'"


@dataclass(frozen=True)
class PlanVersion:
    """A saved plan version.

    Attributes
    ----------
    plan_version, status : its name, and draft or approved.
    first_month, last_month : what its lines cover.
    lines : how many there are.
    amounts : currency -> their sum.
    remarks : what whoever saved it should know, one sentence each.
    """

    plan_version: str
    status: str
    first_month: pd.Timestamp
    last_month: pd.Timestamp
    lines: int
    amounts: dict[str, Decimal]
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        amounts = ", ".join(f"{amount:,.2f} {currency}" for currency, amount in self.amounts.items())
        span = f"{self.first_month:%Y-%m} to {self.last_month:%Y-%m}"
        return f"{self.plan_version} ({self.status}): {amounts} in {self.lines:,} lines, {span}"


def save_plan(
    lines: pd.DataFrame,
    plan_version: str,
    status: str = "draft",
    db: str | Path | None = None,
    *,
    currencies: Iterable[str] = (),
    quantities: pd.DataFrame | None = None,
    wait_seconds: float = warehouse.WAIT_SECONDS,
) -> PlanVersion:
    """Save budget lines as a plan version; a draft of the same name is replaced as a whole.

    Parameters
    ----------
    lines : month (its first day), project, category, amount (at most two decimals), currency and, if there is one,
        driver; one row a month, project, category and currency.
    plan_version : letters, digits, spaces and ``. _ + - ( )``, 64 at most.
    status : draft or approved.
    currencies : those that the lines may have, needed only where there are several.
    quantities : GPU-hours that the lines count, with their part of the money: the columns of `budget_quantities` but
        its first.

    Raises
    ------
    OutOfRange : a line, the name or the status is not as above; the message names the line.
    MixedCurrencies : several currencies that `currencies` does not name.
    DcbudgetError : a version of that name is approved.
    """
    kept = _checked(lines, set(currencies))
    return _save(kept, plan_version, status, db, wait_seconds, quantities)


def approve(
    plan_version: str, db: str | Path | None = None, *, wait_seconds: float = warehouse.WAIT_SECONDS
) -> PlanVersion:
    """Approve a plan version; from now on it is frozen.

    Returns
    -------
    The version; its remarks say in which months reports compare with it, and in which with another approved one.

    Raises
    ------
    DcbudgetError : there is no such version, or all its amounts are 0.
    """
    with transaction(db, wait_seconds) as con:
        _freeze(con, _known(con, plan_version))
        return _described(con, plan_version)


def versions(db: str | Path | None = None) -> pd.DataFrame:
    """Every plan version and currency: plan_version, status, first_month, last_month, lines, amount, currency."""
    found = warehouse.query(
        "select plan_version, coalesce(max(max(status)) over (partition by plan_version), '') as status,"
        " min(min(month)) over (partition by plan_version) as first_month,"
        " max(max(month)) over (partition by plan_version) as last_month,"
        " count(*) as lines, sum(amount) as amount, currency"
        " from budget_lines group by plan_version, currency order by plan_version, currency",
        db,
    )
    return found.assign(**{name: pd.to_datetime(found[name]) for name in ("first_month", "last_month")})


def lines_of(plan_version: str, db: str | Path | None = None) -> pd.DataFrame:
    """The lines of a plan version as `save_plan` takes them, amounts as numbers.

    Raises
    ------
    DcbudgetError : there is no such version.
    """
    with warehouse.connect(db) as con:
        found = pd.DataFrame(stored_lines(con, _known(con, plan_version)), columns=list(Line._fields))
    return found.assign(month=pd.to_datetime(found["month"]), amount=found["amount"].astype(float))


def quantities_of(plan_version: str, db: str | Path | None = None) -> pd.DataFrame:
    """GPU-hours that the lines of a plan version count, with their part of the money; empty where it tells none."""
    found = warehouse.query(
        f"select {', '.join(QUANTITIES)} from budget_quantities where plan_version = ? order by all", db, [plan_version]
    )
    return found.assign(month=pd.to_datetime(found["month"]), amount=found["amount"].astype(float))


def compare(
    a: str, b: str, db: str | Path | None = None, *, by: Iterable[str] = ("month", "project", "category")
) -> pd.DataFrame:
    """Two plan versions beside each other, to the cent.

    Parameters
    ----------
    by : what a row is; each of month, project and category that is left out is summed over. Currencies never are.

    Returns
    -------
    DataFrame : `by`, currency, a, b, change = b - a; a line that one of them does not have is 0 in it.

    Raises
    ------
    DcbudgetError : there is no such version, or `by` names something else.
    """
    by = list(by)
    if wrong := [name for name in by if name not in PLAN_KEY[:3]]:
        raise DcbudgetError(f"plan versions are compared by month, project or category, not by {wrong[0]!r}")
    key = ", ".join([*by, "currency"])
    with warehouse.connect(db) as con:
        a, b = _known(con, a), _known(con, b)
        rows = con.execute(
            f"""select {key}, coalesce(sum(amount) filter (plan_version = $a), 0) as a,
                coalesce(sum(amount) filter (plan_version = $b), 0) as b
            from budget_lines where plan_version in ($a, $b) group by {key} order by {key}""",
            {"a": a, "b": b},
        ).fetchall()
    found = pd.DataFrame([(*row, row[-1] - row[-2]) for row in rows], columns=[*by, "currency", "a", "b", "change"])
    found = found.astype(dict.fromkeys(("a", "b", "change"), float))
    return found.assign(month=pd.to_datetime(found["month"])) if "month" in by else found


def export_workbook(
    plan_version: str, path: Path, db: str | Path | None = None, *, wait_seconds: float = warehouse.WAIT_SECONDS
) -> PlanVersion:
    """Write a plan version as a spreadsheet that can be edited and handed back (`import_workbook`).

    Raises
    ------
    DcbudgetError : there is no such version, or the file cannot be written.
    """
    from dcbudget.spreadsheet.write import write  # takes longer to import than a plan to save, as `read` does

    with warehouse.connect(db, wait_seconds=wait_seconds) as con:
        lines = stored_lines(con, _known(con, plan_version))
        plan = _described(con, plan_version)
    write(Path(path), lines, plan_version, plan.status, _mark(lines))
    return plan


def import_workbook(
    path: Path,
    plan_version: str | None = None,
    db: str | Path | None = None,
    *,
    wait_seconds: float = warehouse.WAIT_SECONDS,
) -> PlanVersion:
    """Save a spreadsheet that was handed back as a new draft.

    Parameters
    ----------
    plan_version : its name; that of the exported version with `-returned` behind it unless one is given.

    Returns
    -------
    The draft; its remarks say where amounts were rounded, what could not be compared, and whether the exported
    version was changed since.

    Raises
    ------
    BudgetDoesNotTie : totals are not the sums of their lines; the message names every cell, and nothing is saved.
    UnreadableFile : no such spreadsheet, or cells that cannot be taken; every one is named, and nothing is saved.
    DcbudgetError : a version of that name is approved.
    """
    from dcbudget.spreadsheet.read import read

    returned = read(Path(path))
    if not (plan_version or returned.plan_version):
        raise DcbudgetError(f"{Path(path).name} does not say which plan version it is; name the one to save it as")
    with warehouse.connect(db, wait_seconds=wait_seconds) as con:
        now = stored_lines(con, returned.plan_version) if returned.plan_version else []
    stale = []
    if returned.plan_version and not now:
        stale = [f"{returned.plan_version}, which was exported, is not in this database"]
    elif now and _mark(now) != returned.mark:
        stale = [f"{returned.plan_version} was changed since this spreadsheet was exported from it"]
    lines = pd.DataFrame(returned.lines, columns=list(Line._fields))
    if now:
        stale += _strange(lines, now)
    kept = _checked(lines, set(lines["currency"]))
    plan = _save(kept, plan_version or f"{returned.plan_version}-returned", "draft", db, wait_seconds)
    return replace(plan, remarks=(*returned.remarks, *stale, *plan.remarks))


def _strange(lines: pd.DataFrame, exported: list[Line]) -> list[str]:
    """Projects and categories that were not exported: new ones, or names with a slip of the pen."""
    found = []
    for field, several in (("project", "projects"), ("category", "categories")):
        known = {getattr(line, field) for line in exported}
        if new := [name for name in dict.fromkeys(lines[field]) if name not in known]:
            found.append(f"{several if len(new) > 1 else field} not in what was exported: {', '.join(new)}")
    return found


def record_calibration(
    rows: pd.DataFrame, db: str | Path | None = None, *, wait_seconds: float = warehouse.WAIT_SECONDS
) -> int:
    """Keep measured values for the next plan; a value of the same name and month is replaced.

    Parameters
    ----------
    rows : name, value, unit, month (its first day), source.

    Returns
    -------
    How many values were kept.

    Raises
    ------
    OutOfRange : a name, unit or source is empty, a value is no number, a month no first day, or a key is there twice.
    """
    _has_columns(rows, ["name", "value", "unit", "month", "source"])
    kept = [
        (checked_text(row.name, "name", "a calibration"), checked_number(row.value, "value", str(row.name)),
         checked_text(row.unit, "unit", str(row.name)), checked_month(row.month, str(row.name)),
         checked_text(row.source, "source", str(row.name)))
        for row in rows.itertuples(index=False)
    ]  # fmt: skip
    _refuse_twice([(name, month) for name, _, _, month, _ in kept])
    if kept:
        names, values, units, months, sources = map(list, zip(*kept, strict=True))
        with transaction(db, wait_seconds) as con:
            con.execute(
                "delete from calibration where (name, month) in (select unnest(?::varchar[]), unnest(?::date[]))",
                [names, months],
            )
            con.execute(
                "insert into calibration (name, value, unit, month, source) select unnest(?::varchar[]),"
                " unnest(?::double[]), unnest(?::varchar[]), unnest(?::date[]), unnest(?::varchar[])",
                [names, values, units, months, sources],
            )
    return len(kept)


def recorded_calibration(db: str | Path | None = None) -> pd.DataFrame:
    """What `record_calibration` kept: name, value, unit, month, source."""
    found = warehouse.query("select name, value, unit, month, source from calibration order by name, month", db)
    return found.assign(month=pd.to_datetime(found["month"]))


@contextmanager
def transaction(db: str | Path | None, wait_seconds: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """All or nothing, in a database that there is already."""
    path = warehouse.database_path(db)
    if not path.exists():
        raise DatabaseMissing(f"there is no database {path}; load data into it first (dcbudget load PATH --db FILE)")
    with warehouse.connect(path, write=True, wait_seconds=wait_seconds) as con:
        con.execute("begin")
        try:
            yield con
        except BaseException:
            con.execute("rollback")
            raise
        con.execute("commit")


def _save(
    lines: list[Line], plan_version: str, status: str, db, wait_seconds: float, quantities: pd.DataFrame | None = None
) -> PlanVersion:
    if status not in STATUSES:
        raise OutOfRange(f"status must be draft or approved, not {status!r}")
    with transaction(db, wait_seconds) as con:
        return put(con, lines, plan_version, status, quantities)


def put(
    con: duckdb.DuckDBPyConnection,
    lines: list[Line],
    plan_version: str,
    status: str,
    quantities: pd.DataFrame | None = None,
) -> PlanVersion:
    """Write checked lines as a plan version within a transaction; see `save_plan`."""
    if not isinstance(plan_version, str) or not NAME.fullmatch(plan_version):
        raise OutOfRange(
            f"plan_version must be 1 to 64 letters, digits, spaces and . _ + - ( ), such as 2027-draft,"
            f" not {plan_version!r}"
        )
    frozen = con.execute(
        "select count(*) from budget_lines where plan_version = ? and status = 'approved'", [plan_version]
    ).fetchone()[0]
    if frozen:
        raise DcbudgetError(f"plan {plan_version} is approved and stays as it is; save under another name")
    con.execute("delete from budget_lines where plan_version = ?", [plan_version])
    con.execute("delete from budget_quantities where plan_version = ?", [plan_version])
    if quantities is not None and len(quantities):
        columns = [quantities[name].tolist() for name in QUANTITIES]
        columns[0] = [pd.Timestamp(month).date() for month in columns[0]]
        con.execute(
            "insert into budget_quantities select ?, unnest(?::date[]), unnest(?::varchar[]), unnest(?::varchar[]),"
            " unnest(?::varchar[]), unnest(?::double[]), unnest(?::double[]),"
            " round(unnest(?::double[])::decimal(38, 12), 2), unnest(?::varchar[])",
            [plan_version, *columns],
        )
    months, projects, categories, amounts, currencies, drivers = map(list, zip(*lines, strict=True))
    con.execute(
        "insert into budget_lines (plan_version, status, month, project, category, amount, currency, driver)"
        " select ?, 'draft', unnest(?::date[]), unnest(?::varchar[]), unnest(?::varchar[]),"
        " unnest(?::varchar[])::decimal(38, 24), unnest(?::varchar[]), unnest(?::varchar[])",
        [plan_version, months, projects, categories, [f"{amount:f}" for amount in amounts], currencies, drivers],
    )
    if status == "approved":
        _freeze(con, plan_version)
    return _described(con, plan_version)


def _freeze(con: duckdb.DuckDBPyConnection, plan_version: str) -> None:
    """Its lines are decided here from now on, wherever they came from."""
    if not con.execute(
        "select count(*) from budget_lines where plan_version = ? and amount <> 0", [plan_version]
    ).fetchone()[0]:
        raise DcbudgetError(f"plan {plan_version} cannot be approved: all its amounts are 0")
    con.execute(
        "update budget_lines set status = 'approved', x_load_id = null, x_source_row = null where plan_version = ?",
        [plan_version],
    )


def _described(con: duckdb.DuckDBPyConnection, plan_version: str) -> PlanVersion:
    status, first, last, count = con.execute(
        "select coalesce(max(status), ''), min(month), max(month), count(*) from budget_lines where plan_version = ?",
        [plan_version],
    ).fetchone()
    amounts = dict(con.execute(
        "select currency, sum(amount) from budget_lines where plan_version = ? group by 1 order by 1",
        [plan_version],
    ).fetchall())  # fmt: skip
    remarks = _place_in_reports(con, plan_version) if status == "approved" else ()
    return PlanVersion(plan_version, status, pd.Timestamp(first), pd.Timestamp(last), count, amounts, remarks)


def _place_in_reports(con: duckdb.DuckDBPyConnection, plan_version: str) -> tuple[str, ...]:
    """In which months reports compare with this approved version or another; they take the last one by name."""
    found = con.execute(
        f"""with approved as ({APPROVED}),
        others as (
            select month, max(plan_version) as other from budget_lines
            where plan_version in (from approved) and plan_version <> $plan group by 1
        )
        select other, other > $plan, min(month), max(month) from others
        where month in (select month from budget_lines where plan_version = $plan) group by all order by 3, 1""",
        {"plan": plan_version},
    ).fetchall()
    remarks = []
    for other, comes_after, first, last in found:
        span = f"{first:%Y-%m} to {last:%Y-%m}"
        if comes_after:
            remarks.append(
                f"reports of {span} compare with {other}, the last approved version by name;"
                f" -p plan_version={plan_version} compares with this one"
            )
        else:
            remarks.append(f"reports of {span} now compare with {plan_version} in place of {other}")
    return tuple(remarks)


def _known(con: duckdb.DuckDBPyConnection, plan_version: str) -> str:
    names = [row[0] for row in con.execute("select distinct plan_version from budget_lines order by 1").fetchall()]
    if plan_version not in names:
        raise DcbudgetError(f"no plan version {plan_version!r}; there are: {', '.join(names) or 'none'}")
    return plan_version


def stored_lines(con: duckdb.DuckDBPyConnection, plan_version: str) -> list[Line]:
    """A version's lines, twins that were loaded twice summed."""
    return [Line(*row) for row in con.execute(
        "select month, project, category, sum(amount), currency, max(driver) from budget_lines"
        " where plan_version = ? group by month, project, category, currency"
        " order by currency, project, category, month",
        [plan_version],
    ).fetchall()]  # fmt: skip


def _mark(lines: Iterable[Line]) -> str:
    """What two versions share if, and only if, their lines are the same to the cent."""
    text = "\n".join(repr((*line[:3], line.amount.quantize(CENT), *line[4:])) for line in lines)
    return xxhash.xxh3_64(text.encode()).hexdigest()


def _checked(lines: pd.DataFrame, currencies: set[str]) -> list[Line]:
    """The lines as they are stored."""
    _has_columns(lines, COLUMNS)
    if lines.empty:
        raise OutOfRange("a plan must have at least one line")
    drivers = lines["driver"] if "driver" in lines else [None] * len(lines)
    kept = []
    for month, project, category, amount, currency, driver in zip(*(lines[name] for name in COLUMNS), drivers,
                                                                  strict=True):  # fmt: skip
        line = f"{project}, {category}"
        first = checked_month(month, line)
        where = f"{line} in {first:%Y-%m}"
        if not CURRENCY.fullmatch(str(currency)):
            raise OutOfRange(f"currency of {where} must be a code such as USD, not {currency!r}")
        kept.append(
            Line(first, checked_text(project, "project", where), checked_text(category, "category", where),
                 checked_cents(amount, where), currency,
                 None if pd.isna(driver) or not str(driver).strip() else str(driver).strip())
        )  # fmt: skip
    _refuse_twice([(line.project, line.category, line.currency, line.month) for line in kept])
    found = {line.currency for line in kept}
    if len(found) > 1 and not found <= currencies:
        raise MixedCurrencies(
            f"the lines are in {' and '.join(sorted(found))}; a plan in several currencies must name them (currencies)"
        )
    return kept


def _has_columns(frame: pd.DataFrame, names: list[str]) -> None:
    if missing := [name for name in names if name not in frame]:
        raise OutOfRange(f"lines must have the columns {', '.join(names)}; {missing[0]} is missing")


def _refuse_twice(keys: list[tuple]) -> None:
    seen = set()
    for key in keys:
        if key in seen:
            told = ", ".join(f"{part:%Y-%m}" if isinstance(part, date) else part for part in key)
            raise OutOfRange(f"{told} must be there once, and is there twice")
        seen.add(key)


def checked_text(value, field: str, where: str) -> str:
    text = tidy(value) if isinstance(value, str) else ""
    if not text or len(text) > LONGEST_NAME:
        raise OutOfRange(f"{field} of {where} must be a text of 1 to {LONGEST_NAME} characters, not {value!r}")
    return text


def checked_month(value, where: str) -> date:
    try:
        moment = pd.Timestamp(value)
    except (ValueError, TypeError):
        moment = pd.NaT
    if pd.isna(moment) or moment != pd.Timestamp(moment.year, moment.month, 1):
        raise OutOfRange(f"month of {where} must be the first day of a month, not {value}")
    return moment.date()


def checked_number(value, field: str, where: str) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | Decimal | np.number):
        raise OutOfRange(f"{field} of {where} must be a number, not {value!r}")
    if not np.isfinite(float(value)):
        raise OutOfRange(f"{field} of {where} must be a finite number, not {value}")
    return float(value)


def checked_cents(value, where: str) -> Decimal:
    number = checked_number(value, "amount", where)
    exact = value if isinstance(value, Decimal) else Decimal(repr(number))
    if abs(exact) >= LARGEST_AMOUNT:
        raise OutOfRange(f"amount of {where} must lie between -1e13 and 1e13, not {value}")
    cents = exact.quantize(CENT)
    if abs(cents - exact) > NOISE:
        raise OutOfRange(f"amount of {where} must have at most two decimals, not {value}")
    return cents
