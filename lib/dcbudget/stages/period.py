"""Which month and which plan a stage speaks of; wrong ones are errors of one line."""

import re
from collections.abc import Mapping

import pandas as pd

from dcbudget import warehouse
from dcbudget.errors import DcbudgetError, OutOfRange

# How a month is written.
MONTH = r"\d{4}-(0[1-9]|1[0-2])"


def months_with_bills(db=None) -> list[pd.Timestamp]:
    """Months that have charges; those of the owned fleet alone count only where no bill is loaded at all."""
    frame = warehouse.query(
        "select month, bool_or(provider <> 'Owned') as billed from cost_monthly group by 1 order by 1", db
    )
    if frame["billed"].any():
        frame = frame[frame["billed"]]
    return [pd.Timestamp(month) for month in frame["month"]]


def whole_month(months: list[pd.Timestamp], db=None) -> str:
    """The latest month whose bill reaches its last day, as YYYY-MM; empty where no month's does.

    A month that is still being billed has few charges beside a whole month of owned cost: nobody wants it by default.
    """
    frame = warehouse.query(
        "select max(month) as month from (select month from cost_lines where not owned"
        " group by month having max(to_time) > month + interval 1 month - interval 1 day)",
        db,
    )
    month = frame["month"].iloc[0]
    return "" if pd.isna(month) else f"{pd.Timestamp(month):%Y-%m}"


def billed_to(month: pd.Timestamp, db=None) -> str:
    """Empty for a month whose bill reaches its last day or that has none, else the day to which it is billed."""
    frame = warehouse.query(
        "select max(to_time) as to_time from cost_lines where not owned and month = ?", db, [month.date()]
    )
    to_time = frame["to_time"].iloc[0]
    if pd.isna(to_time) or pd.Timestamp(to_time) > month + pd.DateOffset(months=1) - pd.Timedelta(days=1):
        return ""
    return f"billed only to {pd.Timestamp(to_time):%d %B}"


def parse_month(text: str | None, months: list[pd.Timestamp]) -> pd.Timestamp:
    """The month of a `YYYY-MM`, or the latest where it is empty.

    Raises
    ------
    DcbudgetError : not such a text, or a month without charges.
    """
    if not months:
        raise DcbudgetError("the database has no charges yet; load a bill, or a fleet ledger and a job log, first")
    if not text:
        return months[-1]
    if not re.fullmatch(MONTH, str(text)):
        raise DcbudgetError(f"a month must be written YYYY-MM, not {text!r}")
    month = pd.Timestamp(f"{text}-01")
    if month not in months:
        raise DcbudgetError(f"no charges in {text}; there are charges from {months[0]:%Y-%m} to {months[-1]:%Y-%m}")
    return month


def plan_for(month: pd.Timestamp, plan_version: str, db=None) -> str:
    """The plan version to compare with: the one that is named, else the last approved one that covers the month.

    Returns
    -------
    Its name, "" where no plan covers the month.

    Raises
    ------
    DcbudgetError : there is no plan of that name, or it does not cover the month.
    """
    plans = warehouse.query(
        "select plan_version, coalesce(max(status), '') = 'approved' as approved, bool_or(month = ?) as covers,"
        " min(month) as first, max(month) as last from budget_lines group by 1 order by covers, approved, plan_version",
        db,
        [month.date()],
    )
    if plan_version:
        named = plans[plans["plan_version"] == str(plan_version)]
        if named.empty:
            known = ", ".join(plans["plan_version"]) or "none"
            raise DcbudgetError(f"no plan version {str(plan_version)!r}; there are: {known}")
        plan = named.iloc[0]
        if not plan["covers"]:
            span = f"{plan['first']:%Y-%m} to {plan['last']:%Y-%m}"
            raise DcbudgetError(f"plan {plan['plan_version']} does not cover {month:%Y-%m}; it covers {span}")
        return plan["plan_version"]
    covering = plans[plans["covers"]]
    return covering["plan_version"].iloc[-1] if len(covering) else ""


def named_values(name: str, value: Mapping | None) -> dict:
    """What a parameter tells by name, such as {"pue": 1.3}; nothing for None.

    Raises
    ------
    OutOfRange : it is no mapping.
    """
    if value is not None and not isinstance(value, Mapping):
        raise OutOfRange(f'{name} must be names with their values, such as {{"name": 1}}, not {value!r}')
    return dict(value or {})


def in_range(name: str, value: float, low: float, high: float) -> float:
    """The value itself.

    Raises
    ------
    OutOfRange : it lies outside [low, high].
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise OutOfRange(f"{name} must be a number between {low:g} and {high:g}, not {value!r}")
    if not low <= value <= high:
        raise OutOfRange(f"{name} must lie between {low:g} and {high:g}, not {value:g}")
    return value


def whole_in_range(name: str, value: int, low: int, high: int) -> int:
    """The value itself.

    Raises
    ------
    OutOfRange : it lies outside [low, high] or is no whole number.
    """
    if in_range(name, value, low, high) != int(value):
        raise OutOfRange(f"{name} must be a whole number between {low} and {high}, not {value:g}")
    return int(value)
