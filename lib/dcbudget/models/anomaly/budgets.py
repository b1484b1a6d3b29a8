"""Budgets that are passed, or will be: of a month, of the year, and by forecast."""

from collections.abc import Iterator

import pandas as pd

from dcbudget.models.anomaly import Finding
from dcbudget.models.anomaly.bills import in_a_row, told_months
from dcbudget.models.ranges import share, within
from dcbudget.models.review import fiscal_year_of

TOTAL = "Total"
NEARLY = 0.8
MONTH = pd.DateOffset(months=1)


def with_total(lines: pd.DataFrame, amounts: list[str]) -> pd.DataFrame:
    """Lines of `project` and `month` with those of all projects together."""
    whole = lines.groupby("month", as_index=False)[amounts].sum(min_count=1)
    return pd.concat([lines, whole.assign(project=TOTAL)], ignore_index=True)


def over_month(
    lines: pd.DataFrame, as_of: pd.Timestamp, least_money: float = 1000.0, materiality: float = 0.05
) -> Iterator[Finding]:
    """Months whose actual is over their budget; months in a row are one finding.

    Parameters
    ----------
    lines : one row a month and project: `month`, `project`, `budget`, `actual` [money].
    materiality : share of the budget by which it must be passed (decimal).
    """
    within("least_money", least_money, 0)
    share("materiality", materiality)
    known = lines[(lines["month"] + MONTH <= as_of) & (lines["budget"] > 0)].sort_values("month")
    for project, rows in known.groupby("project", sort=True):
        over = rows["actual"] - rows["budget"]
        beyond = (over >= least_money) & (over >= materiality * rows["budget"])
        for spell, until in in_a_row(rows, beyond, as_of):
            budget, actual = spell["budget"].sum(), spell["actual"].sum()
            yield Finding(
                "over budget", project, "", spell["month"].iloc[0], until, float(actual - budget), "effective",
                f"{actual / budget - 1:.0%} over the budget in {told_months(len(spell))}",
                f"{actual:,.0f} spent, {budget:,.0f} budgeted; over by at least {materiality:.0%} each month",
            )  # fmt: skip


def near_month(
    lines: pd.DataFrame, month: pd.Timestamp, as_of: pd.Timestamp, least_money: float = 1000.0, nearly: float = NEARLY
) -> Iterator[Finding]:
    """A month that is not over yet, and most of whose budget is spent before its plan says so.

    Parameters
    ----------
    lines : of that month, one row a project: `project`, `budget`, `actual` (up to as_of) and `planned` (what the budget
        would have spent up to as_of) [money].
    """
    within("least_money", least_money, 0)
    share("nearly", nearly)
    if as_of >= month + MONTH:
        return
    for row in lines[lines["budget"] > 0].sort_values("project").itertuples():
        used, planned = row.actual / row.budget, row.planned / row.budget
        if used < nearly or planned >= nearly or row.actual - row.planned < least_money:
            continue
        passed = "all" if used >= 1 else f"{nearly:.0%}"
        yield Finding(
            "budget nearly spent", row.project, "", month, pd.NaT, float(row.actual - row.planned), "effective",
            f"{used:.0%} of the month's budget is spent on {as_of - pd.Timedelta(days=1):%d %B}",
            f"{passed} of {row.budget:,.0f} is spent, {planned:.0%} was planned by then",
        )  # fmt: skip


def over_year(
    lines: pd.DataFrame, as_of: pd.Timestamp, fiscal_year_start: int = 1, least_money: float = 1000.0,
    nearly: float = NEARLY, materiality: float = 0.01,
) -> Iterator[Finding]:  # fmt: skip
    """Years of whose budget 80 % was spent before the plan said so, or more than all of it.

    Parameters
    ----------
    lines : as in `over_month`; months to come have a budget, and their actual is 0 or null.
    materiality : share of the year's budget that must be ahead of the plan, or over (decimal).
    """
    within("least_money", least_money, 0)
    share("nearly", nearly)
    share("materiality", materiality)
    starts = lines["month"].map({month: fiscal_year_of(month, fiscal_year_start)[0]
                                 for month in lines["month"].unique()})  # fmt: skip
    for (project, start), rows in lines.groupby(["project", starts], sort=True):
        rows, year, end = rows.sort_values("month"), rows["budget"].sum(), start + 12 * MONTH
        so_far = rows[rows["month"] + MONTH <= as_of]
        if year <= 0 or so_far.empty:
            continue
        spent, planned = so_far["actual"].fillna(0.0).cumsum(), so_far["budget"].cumsum()
        for limit, kind in ((nearly, "year's budget nearly spent"), (1.0, "year's budget spent")):
            passed = (spent >= limit * year) & (planned < limit * year) if limit < 1 else spent > year
            ahead = passed & (spent - planned >= max(least_money, materiality * year))
            if not ahead.any():
                continue
            month = so_far.loc[ahead.idxmax(), "month"]
            money = float((spent - planned).iloc[-1])
            yield Finding(
                kind, project, "", month, end if end < as_of else pd.NaT, money, "effective",
                f"{spent.iloc[-1] / year:.0%} of the budget of the year is spent by {so_far['month'].iloc[-1]:%Y-%m}",
                f"{spent.iloc[-1]:,.0f} of {year:,.0f} spent, {planned.iloc[-1]:,.0f} planned by then;"
                f" {limit:.0%} was passed in {month:%Y-%m}",
            )  # fmt: skip


def forecast_over(
    landings: pd.DataFrame, as_of: pd.Timestamp, least_money: float = 1000.0, materiality: float = 0.05
) -> Iterator[Finding]:
    """Projects that are forecast to land over the budget of their year, since the month that first said so.

    Parameters
    ----------
    landings : one row a month and project, what was forecast at the end of that month: `month`, `project`,
        `year_end` (first month of the next year), `budget`, `landing_p50`, `landing_p80` [money] of the whole year, and
        `method`.
    """
    within("least_money", least_money, 0)
    share("materiality", materiality)
    known = landings[(landings["month"] + MONTH <= as_of) & (landings["budget"] > 0)].sort_values("month")
    for (project, year_end), rows in known.groupby(["project", "year_end"], sort=True):
        over = rows["landing_p50"] - rows["budget"]
        beyond = (over >= least_money) & (over >= materiality * rows["budget"])
        for spell, until in in_a_row(rows, beyond, as_of):
            last = spell.iloc[-1]
            p80 = f" (P80 {last['landing_p80']:,.0f})" if pd.notna(last["landing_p80"]) else ""
            ended = year_end if pd.isna(until) and year_end < as_of else until
            yield Finding(
                "forecast over budget", project, "", spell["month"].iloc[0], ended,
                float(last["landing_p50"] - last["budget"]), "effective",
                f"the year is forecast to land {last['landing_p50'] / last['budget'] - 1:.0%} over its budget",
                f"{last['landing_p50']:,.0f} by {last['method']}{p80}, {last['budget']:,.0f} budgeted;"
                f" said in {told_months(len(spell))}",
            )  # fmt: skip
