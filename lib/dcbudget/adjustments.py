"""The ledger of adjustments: what was proposed, who decided it, what it promised, and what it saved.

A proposal moves money between budget lines, or means to save some. Accepted, it becomes a new plan version in the same
transaction; measured, it tells what it saved against a counterfactual that was written down when it was proposed.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd

from dcbudget import budget, warehouse
from dcbudget.budget import APPROVED, PlanVersion, checked_cents, checked_month, checked_text, stored_lines
from dcbudget.errors import DcbudgetError, OutOfRange
from dcbudget.models import adjustment
from dcbudget.spreadsheet import Line, months_between

PROPOSED, ACCEPTED, REJECTED = STATUSES = ("proposed", "accepted", "rejected")
FORECAST, RUN_RATE, BUDGET_BEFORE = COUNTERFACTUALS = ("forecast", "run rate", "budget before")
# What a message says is wrong.
WHAT = "the adjustment"
# What two proposals share where they are the same.
CONTENT = ("owner", "source", "reason", "from_project", "from_category", "to_project", "to_category", "first_month",
           "last_month", "amount", "currency", "plan_version", "counterfactual", "promised_saving")  # fmt: skip


@dataclass(frozen=True)
class Adjustment:
    """A line of the ledger; see the table `adjustments`."""

    adjustment_id: str
    status: str
    date: date
    owner: str
    source: str | None
    reason: str | None
    from_project: str | None
    from_category: str | None
    to_project: str | None
    to_category: str | None
    first_month: date
    last_month: date
    amount: Decimal
    currency: str
    plan_version: str | None
    counterfactual: str
    promised_saving: Decimal
    new_plan_version: str | None = None

    def __str__(self) -> str:
        sides = [", ".join(part for part in side if part) for side in
                 ((self.from_project, self.from_category), (self.to_project, self.to_category))]  # fmt: skip
        way = " ".join(f"{word} {side}" for word, side in zip(("from", "to"), sides, strict=True) if side)
        moves = f"moves {self.amount:,.2f} {self.currency} {way}".rstrip() if self.amount else f"no money moves {way}"
        promise = f"promises {self.promised_saving:,.2f} {self.currency}"
        span = f"{self.first_month:%Y-%m} to {self.last_month:%Y-%m}"
        return f"{self.adjustment_id} ({self.status}): {moves}, {span}, and {promise}; owner {self.owner}"


def propose(
    *,
    owner: str,
    date: object,
    promised_saving: float,
    currency: str,
    first_month: object,
    last_month: object,
    amount: float = 0.0,
    from_project: str | None = None,
    from_category: str | None = None,
    to_project: str | None = None,
    to_category: str | None = None,
    reason: str = "",
    source: str = "",
    plan_version: str | None = None,
    counterfactual: str = FORECAST,
    expectations: pd.DataFrame | None = None,
    db: str | Path | None = None,
    wait_seconds: float = warehouse.WAIT_SECONDS,
) -> Adjustment:
    """Write a proposal into the ledger; the same one again is the one that is there.

    Parameters
    ----------
    owner : who answers for it.
    date : the day on which it is proposed.
    promised_saving : what it is to save from `first_month` to `last_month` [money].
    currency : of every amount.
    first_month, last_month : first days of the months in which it holds, both included.
    amount : money that moves [money, whole cents]; 0 for a change of behaviour that moves none.
    from_project, from_category : where it comes from, None for nowhere (the budget grows); a category of None is all.
    to_project, to_category : where it goes, None for nowhere (the budget shrinks).
    reason, source : a sentence, and what proposes it, such as "4_optimize".
    plan_version : that it was worked out on; None where no money moves.
    counterfactual : what the saving is measured against, one of COUNTERFACTUALS.
    expectations : of the line it is to save on, without it: `month`, `expected`, `low`, `high` (P10 and P90) [money];
        needed for "forecast".

    Raises
    ------
    OutOfRange : a field is missing or not as above; the message names it.
    """
    first, last = _checked_months(first_month, last_month)
    if counterfactual not in COUNTERFACTUALS:
        raise OutOfRange(f"counterfactual must be one of {', '.join(COUNTERFACTUALS)}, not {counterfactual!r}")
    if counterfactual == FORECAST and expectations is None:
        raise OutOfRange("expectations must be given for the counterfactual forecast")
    money = checked_cents(amount, WHAT)
    if money < 0 or (money and from_project is None and to_project is None):
        raise OutOfRange(f"amount must be at least 0, and above 0 only from or to a project, not {money}")
    sides = {"from_project": from_project, "from_category": from_category, "to_project": to_project,
             "to_category": to_category}  # fmt: skip
    told = {name: value and checked_text(value, name, WHAT) for name, value in sides.items()}
    found = {
        "owner": checked_text(owner, "owner", WHAT), "date": _day(date, "date"), "source": source or None,
        "reason": reason or None, **told, "first_month": first, "last_month": last, "amount": money,
        "currency": currency, "plan_version": plan_version or None, "counterfactual": counterfactual,
        "promised_saving": checked_cents(promised_saving, WHAT),
    }  # fmt: skip
    if not budget.CURRENCY.fullmatch(str(currency)):
        raise OutOfRange(f"currency of {WHAT} must be a code such as USD, not {currency!r}")
    rows = _checked_expectations(expectations, first, last)
    with budget.transaction(db, wait_seconds) as con:
        return _proposed(con, found, rows)


def _checked_months(first_month: object, last_month: object) -> tuple[date, date]:
    first, last = (checked_month(month, WHAT) for month in (first_month, last_month))
    if last < first:
        raise OutOfRange(f"last_month must not lie before first_month {first:%Y-%m}, not {last:%Y-%m}")
    return first, last


def _proposed(con: duckdb.DuckDBPyConnection, found: dict, expectations: list[tuple]) -> Adjustment:
    """The proposal of this content that is there, else a new line of the ledger."""
    same = con.execute(
        "select adjustment_id from adjustments where status = 'proposed' and "
        + " and ".join(f"{name} is not distinct from ?" for name in CONTENT),
        [found[name] for name in CONTENT],
    ).fetchone()
    if same:
        return _known(con, same[0])
    number = con.execute("select count(*) from adjustments where date = ?", [found["date"]]).fetchone()[0] + 1
    found = found | {"adjustment_id": f"{found['date']:%Y-%m-%d}-{number:02}", "status": PROPOSED}
    con.execute(
        f"insert into adjustments ({', '.join(found)}) values ({', '.join('?' * len(found))})",
        list(found.values()),
    )
    for row in expectations:
        con.execute("insert into adjustment_expectations values (?, ?, ?, ?, ?)", [found["adjustment_id"], *row])
    return _known(con, found["adjustment_id"])


def accept(
    adjustment_id: str,
    date: object,
    *,
    consent: str = "",
    plan_version: str = "",
    status: str = "approved",
    db: str | Path | None = None,
    wait_seconds: float = warehouse.WAIT_SECONDS,
) -> tuple[Adjustment, PlanVersion | None]:
    """Decide a proposal: the money moves in a new plan version, and the ledger says so.

    The money moves in the last approved plan version that covers the months, or in the one that the proposal was
    worked out on where none is approved; that one stays as it is.

    Parameters
    ----------
    date : the day on which it is decided.
    consent : who agreed for the project that gives money; needed where one does.
    plan_version : name of the new version; "" for that of the old one with `+`, the day and a number behind it.
    status : of the new version, draft or approved.

    Returns
    -------
    The ledger's line and the new plan version, None where no money moves.

    Raises
    ------
    OutOfRange : the line that gives holds less than the amount, or consent is missing.
    DcbudgetError : no such proposal, or it is decided already.
    """
    decided = _day(date, "date")
    with budget.transaction(db, wait_seconds) as con:
        found = _open(con, adjustment_id)
        if found.from_project and found.amount and not consent.strip():
            raise OutOfRange(f"consent must name who agreed for {found.from_project}, which gives money")
        plan, old = None, found.plan_version
        if found.amount:
            old = _in_force(con, found)
            lines = _moved(stored_lines(con, old), found)
            plan = budget.put(con, lines, plan_version or _next_name(con, old, decided), status)
            _carry_quantities(con, old, plan.plan_version)
        con.execute(
            "update adjustments set status = ?, decided_on = ?, consent = ?, plan_version = ?, new_plan_version = ?"
            " where adjustment_id = ?",
            [ACCEPTED, decided, consent.strip() or None, old, plan and plan.plan_version, adjustment_id],
        )
        return _known(con, adjustment_id), plan


def reject(
    adjustment_id: str,
    date: object,
    *,
    db: str | Path | None = None,
    wait_seconds: float = warehouse.WAIT_SECONDS,
) -> Adjustment:
    """Decide against a proposal; it stays in the ledger.

    Raises
    ------
    DcbudgetError : no such proposal, or it is decided already.
    """
    decided = _day(date, "date")
    with budget.transaction(db, wait_seconds) as con:
        _open(con, adjustment_id)
        con.execute("update adjustments set status = ?, decided_on = ? where adjustment_id = ?",
                    [REJECTED, decided, adjustment_id])  # fmt: skip
        return _known(con, adjustment_id)


def ledger(db: str | Path | None = None) -> pd.DataFrame:
    """Every adjustment, the earliest first; the columns of the table `adjustments`, amounts as numbers."""
    found = warehouse.query("select * from adjustments order by date, adjustment_id", db)
    months = ("date", "first_month", "last_month", "decided_on", "measured_month")
    amounts = ("amount", "promised_saving", "realised_saving", "realised_low", "realised_high")
    return found.assign(**{name: pd.to_datetime(found[name]) for name in months},
                        **{name: found[name].astype(float) for name in amounts})  # fmt: skip


def summary(status: str = "", db: str | Path | None = None) -> pd.DataFrame:
    """The ledger in brief: adjustment, status, owner, from, to, amount, promised, realised (text), currency.

    Raises
    ------
    OutOfRange : there is no such status.
    """
    if status and status not in STATUSES:
        raise OutOfRange(f"status must be {', '.join(STATUSES)}, not {status!r}")
    frame = ledger(db)
    frame = frame[frame["status"] == status] if status else frame
    realised = [
        "" if pd.isna(row.realised_saving)
        else f"{row.realised_saving:,.2f} ({row.realised_low:,.2f} to {row.realised_high:,.2f})"
        for row in frame.itertuples()
    ]  # fmt: skip
    sides = {name: [", ".join(part for part in pair if isinstance(part, str)) for pair in
                    zip(frame[f"{name}_project"], frame[f"{name}_category"], strict=True)]
             for name in ("from", "to")}  # fmt: skip
    return frame[["adjustment_id", "status", "owner"]].assign(
        **sides, amount=frame["amount"], promised=frame["promised_saving"], realised=realised,
        currency=frame["currency"],
    )  # fmt: skip


def expectations(adjustment_id: str, db: str | Path | None = None) -> pd.DataFrame:
    """What was expected without an adjustment: `month`, `expected`, `low`, `high` [money]."""
    found = warehouse.query(
        "select month, expected, low, high from adjustment_expectations where adjustment_id = ? order by month",
        db,
        [adjustment_id],
    )
    return found.astype(dict.fromkeys(("expected", "low", "high"), float)).assign(month=pd.to_datetime(found["month"]))


def record_realised(
    adjustment_id: str,
    month: object,
    saving: adjustment.Saving,
    db: str | Path | None = None,
    *,
    wait_seconds: float = warehouse.WAIT_SECONDS,
) -> None:
    """Write what an accepted adjustment saved by the end of a month; an earlier measurement is replaced.

    Raises
    ------
    DcbudgetError : no such adjustment, or it is not accepted.
    """
    last = checked_month(month, "the measurement")
    with budget.transaction(db, wait_seconds) as con:
        found = _known(con, adjustment_id)
        if found.status != ACCEPTED:
            raise DcbudgetError(f"adjustment {adjustment_id} is {found.status}; only what was accepted is measured")
        amounts = [Decimal(f"{value:.2f}") for value in (saving.saving, saving.low, saving.high)]
        con.execute(
            "update adjustments set measured_month = ?, realised_saving = ?, realised_low = ?, realised_high = ?"
            " where adjustment_id = ?",
            [last, *amounts, adjustment_id],
        )


def _known(con: duckdb.DuckDBPyConnection, adjustment_id: str) -> Adjustment:
    names = list(Adjustment.__dataclass_fields__)
    row = con.execute(f"select {', '.join(names)} from adjustments where adjustment_id = ?", [adjustment_id]).fetchone()
    if row is None:
        known = con.execute("select adjustment_id from adjustments order by 1").fetchall()
        raise DcbudgetError(
            f"no adjustment {adjustment_id!r}; there are: {', '.join(name for (name,) in known) or 'none'}"
        )
    return Adjustment(*row)


def _open(con: duckdb.DuckDBPyConnection, adjustment_id: str) -> Adjustment:
    found = _known(con, adjustment_id)
    if found.status != PROPOSED:
        raise DcbudgetError(f"adjustment {adjustment_id} is {found.status} already")
    return found


def _in_force(con: duckdb.DuckDBPyConnection, found: Adjustment) -> str:
    """The last approved plan version by name that has lines in all months of an adjustment, else the proposal's own."""
    months = list(months_between(found.first_month, found.last_month))
    row = con.execute(
        f"select plan_version from budget_lines where plan_version in ({APPROVED})"
        " and month in (select unnest(?::date[])) group by 1 having count(distinct month) = ? order by 1 desc limit 1",
        [months, len(months)],
    ).fetchone()
    if row is None and not found.plan_version:
        raise DcbudgetError(f"no approved plan covers {found.first_month:%Y-%m} to {found.last_month:%Y-%m}")
    return row[0] if row else found.plan_version


def _carry_quantities(con: duckdb.DuckDBPyConnection, old: str, new: str) -> None:
    """The GPU-hours of the old version, more or fewer as the money of their lines is, at the same prices."""
    con.execute(
        "with sums as (select month, project, currency,"
        " case when category = 'Rented GPUs' then 'rented' else 'owned' end as paid_as,"
        " sum(amount) filter (plan_version = $old) as before, sum(amount) filter (plan_version = $new) as after"
        " from budget_lines where plan_version in ($old, $new)"
        " and category in ('Rented GPUs', 'Owned hardware', 'Power', 'Facility and staff') group by all)"
        " insert into budget_quantities by name select $new as plan_version, month, project, gpu_model, paid_as,"
        " gpu_hours * (after / before) as gpu_hours,"
        " useful_gpu_hours * case when project = 'Idle capacity' then 1 else after / before end as useful_gpu_hours,"
        " round((amount * (after / before))::decimal(38, 12), 2) as amount, currency"
        " from budget_quantities join sums using (month, project, currency, paid_as)"
        " where plan_version = $old and before > 0 and after > 0",
        {"old": old, "new": new},
    )


def _next_name(con: duckdb.DuckDBPyConnection, old: str, decided: date) -> str:
    """A name that comes after that of the old version and after those of earlier days."""
    stem = f"{old.partition('+')[0]}+{decided:%Y-%m-%d}-"
    taken = con.execute(
        "select count(distinct plan_version) from budget_lines where starts_with(plan_version, ?)", [stem]
    ).fetchone()[0]
    return f"{stem}{taken + 1:02}"


def _moved(lines: list[Line], found: Adjustment) -> list[Line]:
    mine = pd.DataFrame([line for line in lines if line.currency == found.currency], columns=list(Line._fields))
    if mine.empty:
        raise DcbudgetError(f"the plan that is in force has no lines in {found.currency}")
    frame = mine.assign(month=pd.to_datetime(mine["month"]), amount=mine["amount"].astype(float))
    months = [pd.Timestamp(month) for month in months_between(found.first_month, found.last_month)]
    after = adjustment.moved(frame, float(found.amount), months, (found.from_project, found.from_category),
                             (found.to_project, found.to_category))  # fmt: skip
    return [line for line in lines if line.currency != found.currency] + [
        Line(row.month.date(), row.project, row.category, Decimal(f"{row.amount:.2f}"), row.currency,
             None if pd.isna(row.driver) else row.driver)
        for row in after.itertuples(index=False)
    ]  # fmt: skip


def _checked_expectations(rows: pd.DataFrame | None, first: date, last: date) -> list[tuple]:
    if rows is None:
        return []
    found = [(checked_month(row.month, "the expectations"),
              *(Decimal(f"{float(value):.2f}") for value in (row.expected, row.low, row.high)))
             for row in rows.itertuples(index=False)]  # fmt: skip
    if {month for month, *_ in found} != set(months_between(first, last)) or any(
        not low <= expected <= high for _, expected, low, high in found
    ):
        raise OutOfRange(f"expectations must tell low, expected and high in order, of every month from {first:%Y-%m}"
                         f" to {last:%Y-%m}")  # fmt: skip
    return found


def _day(value: object, field: str) -> date:
    try:
        day = pd.Timestamp(value)
    except (ValueError, TypeError):
        day = pd.NaT
    if pd.isna(day):
        raise OutOfRange(f"{field} must be a day such as 2026-07-03, not {value!r}")
    return day.date()
