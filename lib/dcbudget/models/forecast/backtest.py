"""How wrong would we have been: forecasts from earlier months, with only what was known then, against what came."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dcbudget.models.forecast import methods, metrics
from dcbudget.models.forecast.spend import FORECAST, LEAST_MONTHS, METHODS, TOTAL, by_month, expected, simple
from dcbudget.models.ranges import whole

ORIGINS = 12


def rolling(daily: pd.DataFrame, horizon: int, origins: int = ORIGINS) -> pd.DataFrame:
    """Forecasts of all methods from the last months, the very last (whose future is not known yet) included.

    Parameters
    ----------
    daily : spend of every day of whole months, one column a project [money].
    horizon : months ahead, 1 to 36.
    origins : from how many earlier months, those with fewer than four months of history left out.

    Returns
    -------
    DataFrame : `made_month` (the last known), `target_month`, `horizon`, `project` ("Total" for the sum), `method`,
        `forecast`, `actual` (NaN where it is not known yet), `size` (mean absolute month known then, at most the last
        twelve), `naive_error` (mean absolute change from month to month, known then) and `words` (how).
    """
    monthly, origins = by_month(daily), whole("origins", origins, 0, 120)
    first = max(len(monthly) - origins, min(LEAST_MONTHS, len(monthly)))
    with methods.one_thread():
        made = [_made(daily, monthly, count, horizon) for count in range(first, len(monthly) + 1)]
    return pd.concat(made, ignore_index=True)


def _made(daily: pd.DataFrame, monthly: pd.DataFrame, count: int, horizon: int) -> pd.DataFrame:
    """All methods' forecasts of one month, the `count`-th."""
    known, names = monthly.iloc[:count], [*monthly, TOTAL]
    made = known.index[-1]
    found = expected(daily.loc[: made + pd.offsets.MonthEnd(0)], horizon)
    with_total = known.assign(**{TOTAL: known.sum(axis=1)})
    points = {FORECAST: found.monthly.to_numpy()} | simple(known, horizon)
    actual = monthly.reindex(found.monthly.index).to_numpy()
    size = with_total.iloc[-12:].abs().mean().to_numpy()
    naive = np.array([metrics.naive_error(with_total[name]) if count > 1 else np.nan for name in names])
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
