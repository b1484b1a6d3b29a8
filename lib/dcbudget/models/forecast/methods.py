"""How one series goes on: exponential smoothing, Theta and a line, after its seasons are taken out; and their mean."""

import warnings
from collections.abc import Sequence

import numpy as np

from dcbudget.models.ranges import whole, within

# Fewer values than these have no trend that could be told from chance.
LEAST_FOR_TREND = 10
# Values whose straight line is drawn on.
LINE = 24
# Cycles that are less alike than this have no season: 12 pairs of noise are above it once in 80 times.
LEAST_LIKENESS = 0.64
MEMBERS = ("exponential smoothing", "Theta", "seasonal decomposition with its line")


def one_thread():
    """A context of linear algebra in one thread: the fits are tiny, and threads cost three times what they give."""
    import statsmodels.tsa.holtwinters  # noqa: F401 - what is loaded later would not be held to it
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, "blas")


def ahead(values, horizon: int, periods: Sequence[int] = (), line: int = LINE) -> np.ndarray:
    """The next values by each member of the average.

    Parameters
    ----------
    values : at least 2, oldest first, equally far apart [any unit].
    horizon : how many to forecast.
    periods : of the seasons, shortest first, such as (24, 168) for hours; one of which there are not more than two
        cycles is left out. Seasons are taken out by MSTL (Bandara, Hyndman and Bergmeir 2021), and their last cycle
        goes on.
    line : how many of the last values the line is drawn through.

    Returns
    -------
    array (3, horizon) : of `MEMBERS`; their mean is the forecast.
    """
    values, horizon = within("values", np.atleast_1d(values)), whole("horizon", horizon)
    size = np.abs(values).mean()
    if len(values) < 2 or np.ptp(values) <= 1e-9 * size:
        return np.full((len(MEMBERS), horizon), values[-1] if len(values) else 0.0)
    adjusted, seasonal = without_seasons(values / size, horizon, periods)
    smooth, level, alpha = smoothing(adjusted, horizon)
    members = [smooth, theta(adjusted, level, alpha, horizon), straight(adjusted, horizon, line)]
    return size * (np.array(members) + seasonal)


def without_seasons(values: np.ndarray, horizon: int, periods: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The values less their seasons, (n,), and the seasons' last cycles carried on, (horizon,)."""
    periods = [period for period in periods if len(values) > 2 * period]
    if not periods or np.ptp(values) == 0:
        return values, np.zeros(horizon)
    from statsmodels.tsa.seasonal import MSTL

    # Seasons of weeks and hours change; in a few cycles they stay as they are, by a window beyond them all.
    windows = [11 + 4 * at if len(values) >= 12 * period else 10 * (len(values) // period) + 1
               for at, period in enumerate(periods)]  # fmt: skip
    seasons = np.asarray(MSTL(values, periods=periods, windows=windows).fit().seasonal).reshape(len(values), -1)
    ahead_ = np.zeros(horizon)
    for period, season in zip(sorted(periods), seasons.T, strict=True):
        ahead_ += season[-period:][np.arange(horizon) % period]
    return values - seasons.sum(axis=1), ahead_


def likeness(values: np.ndarray, period: int) -> float:
    """How alike cycles are: the correlation of a series, less its line, with itself one period before; 0 if too short.

    A season that a decomposition finds in two or three cycles of noise explains much of it; the cycles of noise are not
    alike.
    """
    if len(values) <= 2 * period or np.ptp(values) == 0:
        return 0.0
    at = np.arange(len(values))
    rest = values - np.polyval(np.polyfit(at, values, 1), at)
    now, before = rest[period:], rest[:-period]
    size = np.std(now) * np.std(before)
    return float(np.mean((now - now.mean()) * (before - before.mean())) / size) if size > 0 else 0.0


def smoothing(values: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Exponential smoothing without trend, with one, or with a damped one: that of the least corrected AIC.

    Returns
    -------
    Its forecast (horizon,), that of the simple form, and the simple form's smoothing parameter.
    """
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    forms = [{}]
    if len(values) >= LEAST_FOR_TREND:
        forms += [{"trend": "add"}, {"trend": "add", "damped_trend": True}]
    start = "heuristic" if len(values) >= LEAST_FOR_TREND else "legacy-heuristic"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits = [ExponentialSmoothing(values, initialization_method=start, **form).fit(use_brute=False)
                for form in forms]  # fmt: skip
    criteria = [fit.aicc if np.isfinite(fit.aicc) else np.inf for fit in fits]
    forecasts = [np.asarray(fit.forecast(horizon)) for fit in fits]
    return forecasts[int(np.argmin(criteria))], forecasts[0], float(fits[0].params["smoothing_level"])


def theta(values: np.ndarray, level: np.ndarray, alpha: float, horizon: int) -> np.ndarray:
    """The Theta forecast: simple exponential smoothing with half of the trend's slope (Hyndman and Billah 2003).

    Parameters
    ----------
    values : the series, (n,).
    level, alpha : forecast and parameter of its simple exponential smoothing.
    """
    count = len(values)
    slope = np.polyfit(np.arange(count), values, 1)[0]
    begun = (1 - (1 - alpha) ** count) / alpha if alpha > 1e-8 else float(count)
    return level + slope / 2 * (np.arange(horizon) + begun)


def straight(values: np.ndarray, horizon: int, line: int = LINE) -> np.ndarray:
    """The least-squares line through the last values, drawn on."""
    recent = values[-line:]
    return np.polyval(np.polyfit(np.arange(len(recent)), recent, 1), np.arange(len(recent), len(recent) + horizon))
