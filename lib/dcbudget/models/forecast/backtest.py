"""How wrong would we have been: forecasts from earlier months, with only what was known then, against what came."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dcbudget.models.forecast import events, methods, metrics
from dcbudget.models.forecast.spend import (
    FORECAST,
    LEAST_MONTHS,
    METHODS,
    TOTAL,
    Expected,
    by_day,
    by_month,
    expected,
    simple,
)
from dcbudget.models.ranges import whole

ORIGINS = 12
DAYS = 365


def expectations(daily: pd.DataFrame, horizon: int, origins: int = ORIGINS) -> list[Expected]:
    """What would have been expected at the end of the last months, oldest first, the very last included.

    Parameters
    ----------
    daily : spend of every day of whole months, one column a project [money].
    horizon : months ahead, 1 to 36.
    origins : how many earlier months, those with fewer than four months of history left out.
    """
    months, origins = by_month(daily).index, whole("origins", origins, 0, 120)
    first = max(len(months) - origins, min(LEAST_MONTHS, len(months)))
    with methods.one_thread():
        return [expected(daily.loc[: months[count - 1] + pd.offsets.MonthEnd(0)], horizon)
                for count in range(first, len(months) + 1)]  # fmt: skip


def rolling(
    daily: pd.DataFrame, horizon: int, origins: int = ORIGINS, known_events: pd.DataFrame | None = None,
    found: list[Expected] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Forecasts of all methods from the last months, the very last (whose future is not known yet) included.

    Parameters
    ----------
    daily, horizon, origins : as for `expectations`.
    known_events : as `events.read` gives them. The forecast of an earlier month knows those whose day `known` it had
        come to; what has no such day was known at the last month only. The last month's forecast is without any.
    found : the expectations, where they were computed before.

    Returns
    -------
    DataFrame : `made_month` (the last known), `target_month`, `horizon`, `project` ("Total" for the sum), `method`,
        `forecast`, `actual` (NaN where it is not known yet), `size` (mean absolute month known then, at most the last
        twelve), `naive_error` (mean absolute change from month to month, known then) and `words` (how).
    """
    found = expectations(daily, horizon, origins) if found is None else found
    monthly = by_month(daily)
    return pd.concat([_made(monthly, one, _known_then(known_events, one, monthly)) for one in found], ignore_index=True)


def _made(monthly: pd.DataFrame, found: Expected, told: pd.DataFrame) -> pd.DataFrame:
    """All methods' forecasts of one month."""
    made, horizon = found.made, len(found.monthly)
    known, names = monthly.loc[:made], [*monthly, TOTAL]
    with_total = known.assign(**{TOTAL: known.sum(axis=1)})
    points = {FORECAST: _months_with(found, told).to_numpy()} | simple(known, horizon)
    actual = monthly.reindex(found.monthly.index).to_numpy()
    size = with_total.iloc[-12:].abs().mean().to_numpy()
    naive = np.array([metrics.naive_error(with_total[name]) if len(known) > 1 else np.nan for name in names])
    words = {name: found.method.get(name, "sum of the projects") for name in names}
    blocks = []
    for method in METHODS:
        blocks.append(pd.DataFrame({
            "made_month": made, "target_month": np.repeat(found.monthly.index, len(names)),
            "horizon": np.repeat(np.arange(1, horizon + 1), len(names)), "project": np.tile(names, horizon),
            "method": method, "forecast": _and_total(points[method]).ravel(), "actual": _and_total(actual).ravel(),
            "size": np.tile(size, horizon), "naive_error": np.tile(naive, horizon),
            "words": np.tile([words[name] if method == FORECAST else method for name in names], horizon),
        }))  # fmt: skip
    return pd.concat(blocks, ignore_index=True)


def _known_then(told: pd.DataFrame | None, found: Expected, monthly: pd.DataFrame) -> pd.DataFrame:
    """The events that an earlier month's forecast knew."""
    told = events.read(told)
    if found.made == monthly.index[-1]:
        return told.head(0)
    return told[told["known"] < found.made + pd.DateOffset(months=1)]


def _days_with(found: Expected, told: pd.DataFrame) -> pd.DataFrame:
    """Spend of every day that was expected, with the events that were known."""
    return events.applied(told, by_day(found.monthly, found.weekday))[0]


def _months_with(found: Expected, told: pd.DataFrame) -> pd.DataFrame:
    if told.empty:
        return found.monthly
    days = _days_with(found, told)
    return days.groupby(days.index.to_period("M").to_timestamp()).sum()


def rolling_days(
    daily: pd.DataFrame, found: list[Expected], horizon: int, known_events: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The days of the same forecasts, as far as they have come.

    Parameters
    ----------
    daily : as for `expectations`.
    found : what it gave.
    horizon : months ahead that count.
    known_events : as for `rolling`.

    Returns
    -------
    DataFrame : `made_month`, `target_month`, `horizon` (months ahead), `project` ("Total" for the sum), `method`
        (Forecast), `day`, `forecast`, `actual`, and `size` (mean absolute day known then, at most the last 365).
    """
    monthly, names, blocks = by_month(daily), [*daily, TOTAL], []
    for one in found[:-1]:
        days = _days_with(one, _known_then(known_events, one, monthly))
        ahead = (days.index.year - one.made.year) * 12 + days.index.month - one.made.month
        days = days[(ahead <= horizon) & (days.index <= daily.index[-1])]
        count, month = len(days), days.index.to_period("M").to_timestamp()
        known = _and_total(daily.loc[: one.made + pd.offsets.MonthEnd(0)].iloc[-DAYS:].to_numpy())
        blocks.append(pd.DataFrame({
            "made_month": one.made, "target_month": np.repeat(month, len(names)),
            "horizon": np.repeat(ahead[:count], len(names)), "project": np.tile(names, count), "method": FORECAST,
            "day": np.repeat(days.index, len(names)), "forecast": _and_total(days.to_numpy()).ravel(),
            "actual": _and_total(daily.loc[days.index].to_numpy()).ravel(),
            "size": np.tile(np.abs(known).mean(axis=0), count),
        }))  # fmt: skip
    columns = ["made_month", "target_month", "horizon", "project", "method", "day", "forecast", "actual", "size"]
    return pd.concat(blocks, ignore_index=True) if blocks else pd.DataFrame(columns=columns)


def _and_total(values: np.ndarray) -> np.ndarray:
    return np.column_stack([values, values.sum(axis=1)])


def score(points: pd.DataFrame, by: Sequence[str] = ("method",)) -> pd.DataFrame:
    """How wrong forecasts were.

    Parameters
    ----------
    points : as `rolling` gives them, with `lower_80` and `upper_80` where coverage is wanted; rows without an actual
        or a forecast do not count.
    by : what to part them by, of its columns.

    Returns
    -------
    DataFrame : `by`, `forecasts` (how many), `wape`, `bias` (positive: too high), `mase` (over the naive error that was
        known then), `coverage_80` (NaN where no interval is given).
    """
    known = points.dropna(subset=["forecast", "actual"])
    rows = []
    for key, part in known.groupby(list(by), sort=False):
        told, came, naive = (part[name].to_numpy() for name in ("forecast", "actual", "naive_error"))
        scaled = np.abs(told - came)[naive > 0] / naive[naive > 0]
        ranged = part.dropna(subset=["lower_80"]) if "lower_80" in part else part.head(0)
        covered = metrics.coverage(ranged["lower_80"], ranged["upper_80"], ranged["actual"]) if len(ranged) else np.nan
        rows.append([*key, len(part), metrics.wape(told, came), metrics.bias(told, came),
                     float(scaled.mean()) if len(scaled) else np.nan, covered])  # fmt: skip
    return pd.DataFrame(rows, columns=[*by, "forecasts", "wape", "bias", "mase", "coverage_80"])
