"""How far forecasts were from what came: WAPE, MASE, sMAPE, bias and coverage."""

import numpy as np

from dcbudget.errors import OutOfRange
from dcbudget.models.ranges import whole, within


def _pair(forecast, actual) -> tuple[np.ndarray, np.ndarray]:
    forecast, actual = within("forecast", np.atleast_1d(forecast)), within("actual", np.atleast_1d(actual))
    if forecast.shape != actual.shape:
        raise OutOfRange(f"forecast must have the shape of actual, {actual.shape}, not {forecast.shape}")
    return forecast, actual


def wape(forecast, actual) -> float:
    """Sum of absolute errors over the sum of absolute actuals, decimal; NaN where all actuals are 0."""
    forecast, actual = _pair(forecast, actual)
    size = np.abs(actual).sum()
    return float(np.abs(forecast - actual).sum() / size) if size > 0 else float("nan")


def bias(forecast, actual) -> float:
    """Sum of forecast - actual over the sum of absolute actuals, decimal; positive is too high."""
    forecast, actual = _pair(forecast, actual)
    size = np.abs(actual).sum()
    return float((forecast - actual).sum() / size) if size > 0 else float("nan")


def smape(forecast, actual) -> float:
    """Mean of 2 |f - a| / (|f| + |a|), decimal, 0 where both are 0 (M4's definition: 1 is 100 %)."""
    forecast, actual = _pair(forecast, actual)
    size = np.abs(forecast) + np.abs(actual)
    return float(np.mean(2 * np.abs(forecast - actual) / np.where(size > 0, size, 1.0)))


def naive_error(history, period: int = 1) -> float:
    """Mean absolute error of the (seasonal) naive forecast within a history; NaN where it is too short."""
    history, period = within("history", np.atleast_1d(history)), whole("period", period)
    if len(history) <= period:
        return float("nan")
    return float(np.mean(np.abs(history[period:] - history[:-period])))


def mase(forecast, actual, history, period: int = 1) -> float:
    """Mean absolute error over that of the seasonal naive forecast within the history (Hyndman and Koehler 2006).

    Parameters
    ----------
    forecast, actual : the same shape.
    history : what was known, oldest first.
    period : of the season, 1 for none.

    Returns
    -------
    float : below 1 is better than the naive forecast was; NaN where that is not known, or was never wrong.
    """
    forecast, actual = _pair(forecast, actual)
    scale = naive_error(history, period)
    return float(np.mean(np.abs(forecast - actual)) / scale) if scale > 0 else float("nan")


def coverage(lower, upper, actual) -> float:
    """Share of the actuals that lie in [lower, upper]; NaN where there are none."""
    lower, actual = _pair(lower, actual)
    upper, _ = _pair(upper, actual)
    return float(np.mean((actual >= lower) & (actual <= upper))) if len(actual) else float("nan")
