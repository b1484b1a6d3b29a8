"""What projects and all of them together will spend, month by month and day by day, from what they spent each day."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models.forecast import methods
from dcbudget.models.forecast.reconcile import reconcile
from dcbudget.models.ranges import whole, within

TOTAL = "Total"
WEEK, YEAR = 7, 12
# Fewer months than these are carried on as their mean; so many without spend, and a project has ended.
LEAST_MONTHS, RUN_RATE, ENDED = 4, 3, 3
FORECAST, NAIVE, SEASONAL_NAIVE, RUN_RATE_METHOD = "Forecast", "Naive", "Seasonal naive", "Run rate"
METHODS = (FORECAST, NAIVE, SEASONAL_NAIVE, RUN_RATE_METHOD)


@dataclass(frozen=True)
class Expected:
    """What is expected of H months ahead; money as it came in.

    Attributes
    ----------
    monthly : months (H) by project, reconciled; the total is their sum.
    total : the total's own forecast, (H,), before it was reconciled.
    method : project -> how it was forecast, in words.
    weekday : what a day of the week is above the mean, (7, projects), Monday first [money a day].
    """

    monthly: pd.DataFrame
    total: np.ndarray
    method: pd.Series
    weekday: pd.DataFrame

    @property
    def made(self) -> pd.Timestamp:
        """The last month that was known."""
        return self.monthly.index[0] - pd.DateOffset(months=1)


def by_month(daily: pd.DataFrame) -> pd.DataFrame:
    """Sums of whole months.

    Parameters
    ----------
    daily : one row a day, one column a project [money].

    Raises
    ------
    OutOfRange : days are missing, twice there or not in order, or the first or last month is not whole.
    """
    days = pd.DatetimeIndex(daily.index)
    if not len(days):
        raise OutOfRange("daily must have at least one month, not none")
    first, last = days[0], days[-1]
    if first.day != 1 or not last.is_month_end or not days.equals(pd.date_range(first, last)):
        raise OutOfRange(f"daily must have every day of whole months once, not {len(days)} from {first:%Y-%m-%d}"
                         f" to {last:%Y-%m-%d}")  # fmt: skip
    within("daily", daily.to_numpy())
    return daily.groupby(days.to_period("M").to_timestamp()).sum().rename_axis("month")


def expected(daily: pd.DataFrame, horizon: int) -> Expected:
    """Forecast every project and their total, and make the projects sum to the total.

    Each series loses its weekdays, and becomes spend a day by month (so that months of other lengths compare); the mean
    of `models.forecast.methods` goes on from there; weekdays and lengths of months come back. Series that were never
    negative stay at 0 or above. Short series go on as the mean of what they have, as `method` says.

    Parameters
    ----------
    daily : spend of every day of whole months, one column a project [money].
    horizon : months, 1 to 36.
    """
    monthly, horizon = by_month(daily), whole("horizon", horizon, 1, 36)
    months = pd.date_range(monthly.index[-1] + pd.DateOffset(months=1), periods=horizon, freq="MS")
    series = {name: daily[name] for name in daily} | {TOTAL: daily.sum(axis=1)}
    found = {name: _one(values, months) for name, values in series.items()}
    # What is expected to cost nothing has nothing to give or take.
    variances = {name: _variance(monthly[name] if name in monthly else monthly.sum(axis=1)) * found[name][0].any()
                 for name in series}  # fmt: skip
    names = list(daily)
    parts = np.array([found[name][0] for name in names]).reshape(len(names), horizon).T
    total = found[TOTAL][0]
    parts = reconcile(parts, total, [variances[name] for name in names], variances[TOTAL]) if names else parts
    parts = np.where((daily.to_numpy() >= 0).all(axis=0), parts.clip(min=0), parts)
    return Expected(
        pd.DataFrame(parts, months.rename("month"), names), total,
        pd.Series({name: found[name][1] for name in names}, dtype=object),
        pd.DataFrame({name: found[name][2] for name in names}, range(WEEK)),
    )  # fmt: skip


def _one(daily: pd.Series, months: pd.DatetimeIndex) -> tuple[np.ndarray, str, np.ndarray]:
    """Spend of the months ahead, how it was forecast, and its weekdays."""
    nothing, spent, alike = np.zeros(len(months)), np.flatnonzero(daily.to_numpy()), np.zeros(WEEK)
    if not len(spent):
        return nothing, "nothing known: 0 months of spend, none is expected", alike
    if not daily.iloc[-_days_of(daily.index, ENDED) :].any():
        return nothing, f"ended: nothing spent in the last {ENDED} months", alike
    daily = daily.iloc[spent[0] :]
    at = pd.DatetimeIndex(daily.index)
    number = (at.year - at[0].year) * 12 + at.month - at[0].month
    count, days = number[-1] + 1, np.bincount(number)
    a_day = np.bincount(number, daily.to_numpy()) / days
    if count < LEAST_MONTHS:
        words = "last month carried on (1 month known)" if count == 1 else f"mean of the {count} months known"
        return daily.mean() * months.days_in_month.to_numpy(), words, alike
    weekday = weekdays(daily)
    adjusted = a_day - np.bincount(number, weekday[at.day_of_week]) / days
    yearly = methods.likeness(adjusted, YEAR) >= methods.LEAST_LIKENESS
    level = methods.ahead(adjusted, len(months), (YEAR,) if yearly else ()).mean(axis=0)
    ahead = pd.date_range(months[0], months[-1] + pd.offsets.MonthEnd(0))
    of_month = (ahead.year - months[0].year) * 12 + ahead.month - months[0].month
    seasonal = np.bincount(of_month, weekday[ahead.day_of_week], minlength=len(months))
    season = ", with a yearly season" if yearly else ""
    words = f"mean of exponential smoothing, Theta and decomposition ({count} months known{season})"
    return level * months.days_in_month.to_numpy() + seasonal, words, weekday


def weekdays(daily: pd.Series) -> np.ndarray:
    """What each day of the week is above the mean, (7,), Monday first; 0 where less than four months are known.

    Parameters
    ----------
    daily : spend of every day [money].
    """
    values, days = daily.to_numpy(), pd.DatetimeIndex(daily.index)
    spent = np.flatnonzero(values)
    if not len(spent) or len(values) - spent[0] < (LEAST_MONTHS - 1) * 31:
        return np.zeros(WEEK)
    values = values[spent[0] :]
    season = values - methods.without_seasons(values, 1, (WEEK,))[0]
    found = season[-WEEK:][np.argsort(days[-WEEK:].day_of_week)]
    return found - found.mean()


def _days_of(days: pd.DatetimeIndex, months: int) -> int:
    """Days of the last months."""
    return int((pd.DatetimeIndex(days) > days[-1] - pd.offsets.MonthEnd(months)).sum())


def _variance(monthly: pd.Series) -> float:
    """Mean square of the changes from month to month, of the months since the first with spend."""
    known = monthly.to_numpy()[np.flatnonzero(monthly.to_numpy())[:1].sum() :]
    return float(np.mean(np.diff(known) ** 2)) if len(known) > 1 else float(np.mean(known**2))


def by_day(monthly: pd.DataFrame, weekday: pd.DataFrame) -> pd.DataFrame:
    """Spend of every day ahead: months spread over their days, weekdays above or below the mean.

    Parameters
    ----------
    monthly : months by project [money].
    weekday : what a day of the week is above the mean, (7, projects), Monday first [money a day].

    Returns
    -------
    DataFrame : days by project; the days of a month sum to the month.
    """
    days = pd.date_range(monthly.index[0], monthly.index[-1] + pd.offsets.MonthEnd(0), name="day")
    month = days.to_period("M").to_timestamp()
    above = pd.DataFrame(weekday.to_numpy()[days.day_of_week], days, monthly.columns)
    rest = monthly - above.groupby(month).sum().to_numpy()
    return above + rest.loc[month].to_numpy() / days.days_in_month.to_numpy()[:, None]


def simple(monthly: pd.DataFrame, horizon: int) -> dict[str, np.ndarray]:
    """What the simple methods say of the months ahead, each (H, projects): NaN where they know too little."""
    values = monthly.to_numpy()
    year_before = np.full((horizon, values.shape[1]), np.nan)
    if len(values) >= YEAR:
        year_before = values[-YEAR:][np.arange(horizon) % YEAR]
    return {
        NAIVE: np.repeat(values[-1:], horizon, axis=0), SEASONAL_NAIVE: year_before,
        RUN_RATE_METHOD: np.repeat(values[-RUN_RATE:].mean(axis=0, keepdims=True), horizon, axis=0),
    }  # fmt: skip
