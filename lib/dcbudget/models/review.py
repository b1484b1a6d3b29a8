"""The controller's arithmetic of one month: budget against actual, movers, and where the year will land."""

from dataclasses import dataclass

import pandas as pd

from dcbudget.errors import DcbudgetError, MixedCurrencies


@dataclass(frozen=True)
class Landing:
    """Where the fiscal year lands at the run rate [money, effective].

    Attributes
    ----------
    year_start, year_end : first months of this and of the next fiscal year.
    spent : actual from the year's start to the month.
    run_rate : mean of the last months, which every month to come is taken to cost.
    months_to_come : months of the year after this one.
    landing, budget : of the whole year; variance = landing - budget.
    months_without_actual : months of the year up to this one of which nothing is known; the landing lacks them.
    months_without_budget : months of the year that no budget covers; the budget lacks them.
    """

    year_start: pd.Timestamp
    year_end: pd.Timestamp
    spent: float
    run_rate: float
    months_to_come: int
    landing: float
    budget: float
    months_without_actual: int
    months_without_budget: int

    @property
    def variance(self) -> float:
        return self.landing - self.budget


def only_currency(frame: pd.DataFrame) -> str:
    """The one currency of a frame.

    Raises
    ------
    MixedCurrencies : there are several; amounts in them cannot be summed without a rate.
    """
    currencies = sorted(frame["currency"].dropna().unique())
    if len(currencies) > 1:
        raise MixedCurrencies(f"amounts in {' and '.join(currencies)} cannot be summed without a rate between them")
    if not currencies:
        raise DcbudgetError("there are no amounts, and so no currency")
    return currencies[0]


def variance_by(lines: pd.DataFrame, by: str | list[str]) -> pd.DataFrame:
    """Budget, actual and variance summed by one or more columns, the largest absolute variance first.

    Parameters
    ----------
    lines : columns `budget`, `actual` [money] and those of `by`.

    Returns
    -------
    DataFrame : `by`, `budget`, `actual`, `variance` (actual - budget, positive is over) and `variance_rate`
        (variance / budget, decimal, null where nothing was budgeted).
    """
    frame = lines.groupby(by, as_index=False)[["budget", "actual"]].sum()
    frame["variance"] = frame["actual"] - frame["budget"]
    frame["variance_rate"] = frame["variance"] / frame["budget"].where(frame["budget"] != 0)
    order = frame["variance"].abs().sort_values(ascending=False, kind="stable").index
    return frame.loc[order].reset_index(drop=True)


def movers(costs: pd.DataFrame, month: pd.Timestamp, by: list[str], top: int) -> pd.DataFrame:
    """What changed most since the month before.

    Parameters
    ----------
    costs : columns `month`, `cost` [money] and those of `by`.

    Returns
    -------
    DataFrame : `by`, `before`, `now`, `change` (now - before, never 0), at most `top` rows, largest absolute change
        first.
    """
    before = month - pd.DateOffset(months=1)
    two = costs[costs["month"].isin([before, month])]
    frame = two.pivot_table(index=by, columns="month", values="cost", aggfunc="sum", fill_value=0.0)
    frame = frame.reindex(columns=[before, month], fill_value=0.0)
    frame.columns = ["before", "now"]
    frame["change"] = frame["now"] - frame["before"]
    frame = frame[frame["change"] != 0]
    order = frame["change"].abs().sort_values(ascending=False, kind="stable").index
    return frame.loc[order].head(top).reset_index()


def unit_costs(lines: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """Cost per allocated GPU-hour and per completed job, by project; projects without GPU-hours are left out.

    Parameters
    ----------
    lines : one row a project and currency that it was charged in: `project`, `gpu_effective_cost` [money, converted to
        one currency], `allocated_gpu_hours` [GPU-hours] and `completed_jobs`, the same in all rows of a project.
    names : project -> the name that it is shown under, where that is another.

    Returns
    -------
    DataFrame : their sums, `effective_cost_per_gpu_hour` and `effective_cost_per_completed_job` [money], null where
        the divisor is zero; the largest cost first.
    """
    each = lines.groupby("project", as_index=False).agg(
        gpu_effective_cost=("gpu_effective_cost", "sum"), allocated_gpu_hours=("allocated_gpu_hours", "first"),
        completed_jobs=("completed_jobs", "first"),
    )  # fmt: skip
    each = each[each["allocated_gpu_hours"] > 0].replace({"project": names})
    frame = each.groupby("project", as_index=False)[each.columns[1:].tolist()].sum()
    for unit, divisor in (("gpu_hour", "allocated_gpu_hours"), ("completed_job", "completed_jobs")):
        positive = frame[divisor].where(frame[divisor] > 0)
        frame[f"effective_cost_per_{unit}"] = frame["gpu_effective_cost"] / positive
    return frame.sort_values("gpu_effective_cost", ascending=False, ignore_index=True)


def fiscal_year_of(month: pd.Timestamp, first_month: int) -> tuple[pd.Timestamp, pd.Timestamp]:
    """First months of the fiscal year that holds a month, and of the next one; `first_month` is 1 to 12."""
    year = month.year if month.month >= first_month else month.year - 1
    start = pd.Timestamp(year=year, month=first_month, day=1)
    return start, start + pd.DateOffset(years=1)


def run_rate_landing(
    monthly: pd.DataFrame, month: pd.Timestamp, fiscal_year_start: int = 1, run_rate_months: int = 3
) -> Landing:
    """The year's landing: what was spent, plus the mean of the last months for each month to come.

    Parameters
    ----------
    monthly : one row a month: `month`, `budget`, `actual` [money, effective]. A month that is absent or null is not
        known: it adds nothing to what was spent or budgeted, and the run rate is the mean of the others.
    month : the last month with actuals.
    fiscal_year_start : month in which the fiscal year begins, 1 to 12.
    run_rate_months : how many months, this one included, the run rate is the mean of.
    """
    start, end = fiscal_year_of(month, fiscal_year_start)
    series = monthly.set_index("month")
    year = series.reindex(pd.date_range(start, end, freq="MS", inclusive="left"))
    so_far = year.loc[year.index <= month, "actual"]
    spent = float(so_far.sum())
    since = month - pd.DateOffset(months=run_rate_months)
    recent = series.loc[(series.index > since) & (series.index <= month), "actual"]
    run_rate = float(recent.mean()) if recent.notna().any() else 0.0
    to_come = len(year) - len(so_far)
    return Landing(
        year_start=start, year_end=end, spent=spent, run_rate=run_rate, months_to_come=to_come,
        landing=spent + run_rate * to_come, budget=float(year["budget"].sum()),
        months_without_actual=int(so_far.isna().sum()), months_without_budget=int(year["budget"].isna().sum()),
    )  # fmt: skip
