"""What was measured, with its spread, beside what is published: where plans and comparisons start from."""

from dataclasses import dataclass, replace
from math import isfinite, nan

import numpy as np
import pandas as pd

# Standard normal quantile at 90 %: a trend's range is as wide as the P10 to P90 of everything else.
Z90 = 1.2815515655446004
# How the source of a default begins that nobody published.
UNPUBLISHED = "nothing"


@dataclass(frozen=True)
class Spread:
    """A measured value.

    Attributes
    ----------
    value : the middle of what was measured, in the unit of what was measured.
    low, high : its 10th and 90th percentile.
    count : how many measurements there are.
    """

    value: float = nan
    low: float = nan
    high: float = nan
    count: int = 0


@dataclass(frozen=True)
class Measure:
    """A value to start from: the measured one, else the published one.

    Attributes
    ----------
    name, label, unit : what it is; shares are decimals.
    value : the measured value where `count` > 0, else `published`; NaN where neither is known.
    low, high : P10 and P90 of the measurements, else the published range, else `value`.
    count : number of measurements, 0 where nothing was measured.
    source : where `value` comes from.
    published, published_source : what is published of it, NaN and "" where nothing is.
    """

    name: str
    label: str
    unit: str
    value: float
    low: float
    high: float
    count: int
    source: str
    published: float = nan
    published_source: str = ""

    @property
    def remark(self) -> str:
        """One sentence for beside a slider."""
        if not self.count and not isfinite(self.value):
            return "nothing measured, and nothing published; give a value"
        if not self.count:
            from_there = f"published: {self._shown(self.value)} ({self.published_source})"
            return f"nothing measured; {from_there if self.is_published else self.published_source}"
        published = f"; published {self._shown(self.published)}" if self.is_published else ""
        return (
            f"measured {self._shown(self.value)}, P10 {self._shown(self.low)} to P90 {self._shown(self.high)},"
            f" {self.source}{published}"
        )

    def times(self, factor: float) -> "Measure":
        """The same in a unit that is so much smaller, such as per 1,000 GPU-hours."""
        numbers = ("value", "low", "high", "published")
        return replace(self, **{name: factor * getattr(self, name) for name in numbers})

    @property
    def is_published(self) -> bool:
        """Whether somebody published it; else a plain default stands in, and its source says so."""
        return isfinite(self.published) and not self.published_source.startswith(UNPUBLISHED)

    def _shown(self, value: float) -> str:
        if not isfinite(value):
            return "unknown"
        if self.unit.startswith("share"):
            return f"{value:z.1%}"
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:z.3g}"

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """Value, P10, P90 and published value as a table shows them."""
        published = self._shown(self.published) if self.is_published else "–"
        return *(self._shown(number) for number in (self.value, self.low, self.high)), published


def measure(name: str, label: str, unit: str, found: Spread, source: str, published: pd.Series | None) -> Measure:
    """The measured value, else the published one.

    Parameters
    ----------
    found : what was measured; nothing where its `count` is 0 or its value is not finite.
    source : where it was measured.
    published : `value`, `low`, `high`, `source` of what is published, None where nothing is.
    """
    known = published if published is not None else pd.Series({"value": nan, "low": nan, "high": nan, "source": ""})
    value, low, high = (float(known[part]) for part in ("value", "low", "high"))
    about = str(known["source"])
    if found.count and isfinite(found.value):
        return Measure(name, label, unit, found.value, found.low, found.high, found.count, source, value, about)
    low, high = (value if np.isnan(end) else end for end in (low, high))
    return Measure(name, label, unit, value, low, high, 0, about or "nothing known", value, about)


def start(found: Measure, recorded: pd.DataFrame, month: pd.Timestamp) -> Measure:
    """Where a plan starts: what a report recorded for this very month, else what is measured, else the last record.

    A record of the month goes before a new measurement, so that a plan stays as it is when logs that the report knew
    are restated or gone. A record of an earlier month goes before what is published.

    Parameters
    ----------
    found : what is measured now, or published.
    recorded : records of the same name and unit up to the month: `month`, `value`, `source`, in order of the months.
    """
    if recorded.empty or (found.count and recorded["month"].iloc[-1] != month):
        return found
    last, spread = recorded.iloc[-1], quantiles(recorded["value"])
    low, high, count = (found.low, found.high, found.count) if found.count else (spread.low, spread.high, spread.count)
    value = float(last["value"])
    return replace(
        found, value=value, low=min(low, value), high=max(high, value), count=count,
        source=f"{last['source']}; recorded for {last['month']:%b %Y}",
    )  # fmt: skip


def quantiles(values, weights=None) -> Spread:
    """Median, P10 and P90 of measurements, by weight.

    A quantile is the smallest value that at least that part of the weight does not exceed.

    Parameters
    ----------
    values : measurements, any shape; those that are not finite are left out.
    weights : one a measurement, above 0, such as GPU-hours; equal where none are given. A measurement without one
        is left out.
    """
    values = np.asarray(values, dtype=float).ravel()
    weights = np.ones_like(values) if weights is None else np.asarray(weights, dtype=float).ravel()
    known = np.isfinite(values) & np.isfinite(weights) & (weights > 0)
    values, weights = values[known], weights[known]
    if not len(values):
        return Spread()
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    at = np.searchsorted(reached, np.array([0.1, 0.5, 0.9]) * reached[-1] * (1 - 1e-12))
    low, middle, high = values[order][at]
    return Spread(float(middle), float(low), float(high), len(values))


def ratio(parts, wholes) -> Spread:
    """A share or a price as the ratio of two sums, with the spread of the single months' ratios.

    Parameters
    ----------
    parts, wholes : one value a month; months whose whole is not above 0, or whose part is not known, are left out.
    """
    parts, wholes = np.asarray(parts, dtype=float), np.asarray(wholes, dtype=float)
    known = np.isfinite(parts) & np.isfinite(wholes) & (wholes > 0)
    if not known.any():
        return Spread()
    single = parts[known] / wholes[known]
    low, high = np.quantile(single, [0.1, 0.9])
    return Spread(float(parts[known].sum() / wholes[known].sum()), float(low), float(high), int(known.sum()))


def latest(parts, wholes) -> Spread:
    """As `ratio`, with the value of the last month that is known: what a price is now.

    Parameters
    ----------
    parts, wholes : one value a month, in the order of the months.
    """
    found = ratio(parts, wholes)
    if not found.count:
        return found
    single = np.asarray(parts, dtype=float) / np.where(np.asarray(wholes, dtype=float) > 0, wholes, nan)
    return Spread(float(single[np.isfinite(single)][-1]), found.low, found.high, found.count)


def growth_per_year(monthly) -> Spread:
    """Yearly growth of a monthly quantity: the slope of a straight line through its logarithms.

    The range is 80 % of a normal distribution with the standard error of the slope (ordinary least squares).

    Parameters
    ----------
    monthly : one value a month, oldest first; those that are not above 0 are left out but keep their place.

    Returns
    -------
    Spread : decimals a year, such as 0.3 for 30 % more; nothing with fewer than three months.
    """
    monthly = np.asarray(monthly, dtype=float)
    at = np.flatnonzero(np.isfinite(monthly) & (monthly > 0))
    if len(at) < 3:
        return Spread()
    logs = np.log(monthly[at])
    centred = at - at.mean()
    slope = float(centred @ logs / (centred @ centred))
    residuals = logs - logs.mean() - slope * centred
    error = float(np.sqrt(residuals @ residuals / (len(at) - 2) / (centred @ centred)))
    value, low, high = np.expm1(12 * (slope + error * np.array([0, -Z90, Z90])))
    return Spread(float(value), float(low), float(high), len(at))
