"""What is decided about alerts: they are recorded once, acknowledged and closed.

An alert is open while its condition lasts, and closed by itself when that has ended; one that was acknowledged keeps
its state until somebody closes it, and one that was closed by hand stays closed.
"""

import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd

from dcbudget import warehouse
from dcbudget.budget import transaction
from dcbudget.errors import DcbudgetError, OutOfRange

STATES = ("open", "acknowledged", "closed")
BY_ITSELF, BY_HAND = "itself", "hand"
FOUND = ["alert_id", "kind", "project", "subject", "since", "until", "money", "basis", "what", "why"]
LONGEST_NOTE = 400
ALL = (
    "select alert_id, state, kind, project, subject, since, until, money, currency, basis, what, why, closed_by, note,"
    " found_on, judged_on, told from alerts"
)
ORDER = " order by abs(money) desc nulls last, since, alert_id"


def record(
    findings: pd.DataFrame,
    currency: str,
    judged_on: date,
    month: pd.Timestamp,
    db: str | Path | None = None,
    *,
    wait_seconds: float = warehouse.WAIT_SECONDS,
) -> pd.DataFrame:
    """Keep what was found: an alert that is known is brought up to date, one of the month that is not is added.

    Known open alerts that are not found any more are closed; nothing is changed of alerts that were judged on a later
    day already.

    Parameters
    ----------
    findings : everything that was found up to the day, ended or not: the columns of FOUND.
    currency : of the money.
    judged_on : the last day that was known.
    month : first day of the month; what ended before it is not added.

    Returns
    -------
    DataFrame : the alerts of which no news were sent yet (`told` says so from now on with `mark_told`), as `stored`.

    Raises
    ------
    OutOfRange : an alert_id is there twice, or the currency is no code.
    """
    if missing := [name for name in FOUND if name not in findings]:
        raise OutOfRange(f"findings must have the columns {', '.join(FOUND)}; {missing[0]} is missing")
    if findings["alert_id"].duplicated().any():
        twice = findings.loc[findings["alert_id"].duplicated(), "alert_id"].iloc[0]
        raise OutOfRange(f"alert_id {twice} must be there once, and is there twice")
    if not re.fullmatch("[A-Z]{3}", str(currency)):
        raise OutOfRange(f"currency must be a code such as USD, not {currency!r}")
    with transaction(db, wait_seconds) as con:
        con.register("found", _rows(findings))
        con.execute(
            """update alerts set
                until = found.until, money = found.money, currency = $currency, basis = found.basis, what = found.what,
                why = found.why, judged_on = $day,
                state = case
                    when state = 'acknowledged' or closed_by = 'hand' then state
                    when found.until is null then 'open' else 'closed' end,
                closed_by = case
                    when state = 'acknowledged' or closed_by = 'hand' then closed_by
                    when found.until is null then null else 'itself' end
            from found where alerts.alert_id = found.alert_id and judged_on <= $day""",
            {"currency": currency, "day": judged_on},
        )
        con.execute(
            """update alerts set until = $day + interval 1 day, judged_on = $day,
                state = case when state = 'open' then 'closed' else state end,
                closed_by = case when state = 'open' then 'itself' else closed_by end
            where until is null and judged_on <= $day and alert_id not in (select alert_id from found)""",
            {"day": judged_on},
        )
        con.execute(
            """insert into alerts by name
            select found.*, $currency as currency, case when until is null then 'open' else 'closed' end as state,
                case when until is not null then 'itself' end as closed_by, $day as found_on, $day as judged_on,
                false as told
            from found
            where alert_id not in (select alert_id from alerts) and (until is null or until > $month)""",
            {"currency": currency, "day": judged_on, "month": month.to_pydatetime()},
        )
        con.unregister("found")
        return _frame(con, f"{ALL} where not told{ORDER}")


def mark_told(
    alert_ids: Iterable[str], db: str | Path | None = None, *, wait_seconds: float = warehouse.WAIT_SECONDS
) -> None:
    """Keep that news of these alerts were sent."""
    with transaction(db, wait_seconds) as con:
        con.execute("update alerts set told = true where alert_id in (select unnest(?::varchar[]))", [list(alert_ids)])


def acknowledge(
    alert_id: str, note: str = "", db: str | Path | None = None, *, wait_seconds: float = warehouse.WAIT_SECONDS
) -> pd.DataFrame:
    """Take note of an alert: it is acknowledged from now on, until it is closed.

    Returns
    -------
    Its row, as of `stored`.

    Raises
    ------
    DcbudgetError : there is no such alert, several that begin so, or it is closed.
    """
    return _decide(alert_id, "acknowledged", note, db, wait_seconds)


def close(
    alert_id: str, note: str = "", db: str | Path | None = None, *, wait_seconds: float = warehouse.WAIT_SECONDS
) -> pd.DataFrame:
    """Close an alert by hand; it stays closed, also while its condition lasts.

    Returns
    -------
    Its row, as of `stored`.

    Raises
    ------
    DcbudgetError : there is no such alert, or several that begin so.
    """
    return _decide(alert_id, "closed", note, db, wait_seconds)


def stored(db: str | Path | None = None, *, state: str = "") -> pd.DataFrame:
    """Every alert, most money first: alert_id, state, kind, project, subject, since, until, money, currency, basis,
    what, why, closed_by, note, found_on, judged_on, told.

    Parameters
    ----------
    state : open, acknowledged or closed; "" for all.
    """
    if state and state not in STATES:
        raise OutOfRange(f"state must be one of {', '.join(STATES)}, not {state!r}")
    return _typed(warehouse.query(f"{ALL} where state = ? or ? = ''{ORDER}", db, [state, state]))


def of_month(month: pd.Timestamp, db: str | Path | None = None) -> pd.DataFrame:
    """The alerts that lasted at some time in a month, as `stored`."""
    end = month + pd.DateOffset(months=1)
    found = stored(db)
    return found[(found["since"] < end) & ~(found["until"] <= month)].reset_index(drop=True)


def told(alerts: pd.DataFrame, names: dict[str, str] | None = None) -> list[dict]:
    """Alerts as plain values, for JSON, lists and messages: days as texts, "" where there is none; money or None.

    Parameters
    ----------
    alerts : rows as of `stored`; without `note`, there is none.
    names : project -> the name that it is shown under.
    """
    rows = []
    for row in alerts.to_dict("records"):
        project = (names or {}).get(row["project"], row["project"])
        rows.append({
            "alert_id": row["alert_id"], "state": row["state"], "kind": row["kind"],
            "scope": ", ".join(part for part in (project, row["subject"]) if part),
            "since": f"{row['since']:%Y-%m-%d}", "until": "" if pd.isna(row["until"]) else f"{row['until']:%Y-%m-%d}",
            "money": None if pd.isna(row["money"]) else round(row["money"], 2), "currency": row["currency"],
            "basis": row["basis"], "what": row["what"], "why": row["why"],
            "note": row.get("note") if isinstance(row.get("note"), str) else "",
        })  # fmt: skip
    return rows


def _decide(alert_id: str, state: str, note: str, db, wait_seconds: float) -> pd.DataFrame:
    note = " ".join(note.split())
    if len(note) > LONGEST_NOTE:
        raise OutOfRange(f"a note must have at most {LONGEST_NOTE} characters, not {len(note)}")
    with transaction(db, wait_seconds) as con:
        alert = _known(con, alert_id).iloc[0]
        if state == "acknowledged" and alert["state"] == "closed":
            raise DcbudgetError(f"alert {alert['alert_id']} is closed; only an open one can be acknowledged")
        con.execute(
            "update alerts set state = ?, closed_by = ?, note = coalesce(nullif(?, ''), note) where alert_id = ?",
            [state, BY_HAND if state == "closed" else None, note, alert["alert_id"]],
        )
        return _known(con, alert["alert_id"])


def _known(con: duckdb.DuckDBPyConnection, alert_id: str) -> pd.DataFrame:
    found = _frame(con, f"{ALL} where starts_with(alert_id, ?){ORDER}", [str(alert_id)])
    if alert_id in set(found["alert_id"]):
        found = found[found["alert_id"] == alert_id]
    if found.empty or not alert_id:
        raise DcbudgetError(f"no alert {str(alert_id)!r}; dcbudget alerts list shows all")
    if len(found) > 1:
        raise DcbudgetError(f"several alerts begin with {alert_id!r}: {', '.join(found['alert_id'])}")
    return found


def _rows(findings: pd.DataFrame) -> pd.DataFrame:
    """The findings as they are stored: money to the cent."""
    rows = findings[FOUND].copy()
    cents = [None if pd.isna(money) else Decimal(f"{money:.2f}") for money in rows["money"]]
    return rows.assign(
        money=pd.Series(cents, rows.index, object),
        since=rows["since"].astype("datetime64[us]"),
        until=rows["until"].astype("datetime64[us]"),
    )


def _frame(con: duckdb.DuckDBPyConnection, statement: str, parameters: list | None = None) -> pd.DataFrame:
    names = [part.strip() for part in ALL.removeprefix("select ").removesuffix(" from alerts").split(",")]
    return _typed(pd.DataFrame(con.execute(statement, parameters or []).fetchall(), columns=names))


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    for name in ("since", "until", "found_on", "judged_on"):
        rows[name] = pd.to_datetime(rows[name]).astype("datetime64[us]")
    return rows.assign(money=rows["money"].astype(float))
