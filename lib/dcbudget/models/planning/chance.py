"""What chance multiplies: seeded random factors of drivers, settings and single months."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dcbudget.models.calibration import Z90
from dcbudget.models.planning.model import Model
from dcbudget.models.ranges import within


@dataclass(frozen=True)
class Factors:
    """What chance multiplies, in n draws.

    Attributes
    ----------
    drivers : (D, n).
    risks : name of a setting -> (n,).
    growth : what the growth of demand and single months make of demand, (T, n).
    price : what the trend makes of prices of rented GPUs, (T, n).
    """

    drivers: np.ndarray
    risks: dict[str, np.ndarray]
    growth: np.ndarray
    price: np.ndarray


def draws(model: Model, count: int, seed: int) -> Factors:
    """Random factors: two-piece lognormal, so that median, P10 and P90 are as told.

    factor = exp(z * s), with s = ln(high) / 1.2816 above the median and -ln(low) / 1.2816 below it. All drivers of a
    project have one z, and all projects the part `correlation` of its variance in common. A project that is added at
    the end leaves the draws of the others.
    Source: two-piece normal distribution in logarithms, Wallis (2014), Statistical Science 29(1), 106-112.

    Parameters
    ----------
    count : number of draws, 1 to 1,000,000.
    """
    within("draws", count, 1, 1_000_000)
    parts = [np.random.default_rng([seed, part]) for part in range(3)]
    common = parts[0].standard_normal(count)
    names = [name for name in model.spreads.index if name != "month"]
    risks = {name: factor(parts[0].standard_normal(count), *model.spreads.loc[name, ["low", "high"]]) for name in names}
    rows = model.demand.drivers
    at, projects = pd.factorize(rows["project"])
    own = parts[1].standard_normal((len(projects), count))
    z = np.sqrt(model.correlation) * common + np.sqrt(1 - model.correlation) * own
    each = factor(z[at], rows["low"].to_numpy()[:, None], rows["high"].to_numpy()[:, None])
    shape = (len(model.months), count)
    month = np.ones(shape)
    if "month" in model.spreads.index:
        month = factor(parts[2].standard_normal(shape), *model.spreads.loc["month", ["low", "high"]])
    return factors_of(model, each, risks, month)


def factor(z, low, high):
    """The factor whose 10th and 90th percentile are `low` and `high`, its median 1, of standard normal draws."""
    within("low", low, 1e-6, 1)
    within("high", high, 1, 1e6)
    return np.exp(z * np.where(z < 0, -np.log(low), np.log(high)) / Z90)


def certain(model: Model) -> Factors:
    """Factors of a plan without chance."""
    return factors_of(model, np.ones((len(model.demand.drivers), 1)), {}, np.ones((len(model.months), 1)))


def factors_of(model: Model, drivers: np.ndarray, risks: dict[str, np.ndarray], month: np.ndarray) -> Factors:
    """Factors of drivers, risks and single months, with what they make of growth and prices over the years ahead."""
    years = model.years_ahead[:, None]
    growth, price = (risks.get(name, np.ones(1)) ** years for name in ("demand_growth", "price_trend"))
    return Factors(drivers, risks, growth * month, price)
