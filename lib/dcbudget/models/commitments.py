"""How well commitments to GPUs are used, and how many to buy for a demand that is not known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models.capacity import HOURS_PER_YEAR
from dcbudget.models.ranges import positive, whole, within

HOURS_PER_MONTH = HOURS_PER_YEAR / 12
CURVE_POINTS = 25
# Shocks to demand of which more than this is left after a period would never fade.
LARGEST_PERSISTENCE = 0.9


def effective_savings_rate(effective_cost, on_demand_equivalent):
    """What commitments and discounts save on on-demand prices, waste included: 1 - effective cost / equivalent.

    Source: FinOps Foundation, "How to calculate effective savings rate".

    Parameters
    ----------
    effective_cost : amortised, of used and unused commitments and of the rest [money].
    on_demand_equivalent : the same use at list prices [money].

    Returns
    -------
    Decimal, negative where unused commitments cost more than discounts save; nan where there is no equivalent.

    Raises
    ------
    OutOfRange : a negative equivalent, a value that is no number.
    """
    spent = within("effective_cost", effective_cost)
    return 1 - _ratio(spent, within("on_demand_equivalent", on_demand_equivalent, 0))


def utilisation(used, committed):
    """Share of what was committed that was used, decimal; nan where nothing was committed.

    Source: FinOps Foundation, KPI "percentage of commitment discount utilised".

    Parameters
    ----------
    used, committed : in the same unit, GPU-hours or money.

    Raises
    ------
    OutOfRange : a negative value, more used than committed.
    """
    return _part("used", used, "committed", committed)


def coverage(covered, eligible):
    """Share of the use that commitments could cover that they did cover, decimal; nan where nothing is eligible.

    Source: FinOps Foundation, KPI "percentage of compute spend covered by commitment discounts".

    Parameters
    ----------
    covered, eligible : in the same unit, GPU-hours or money at on-demand prices; spot is not eligible.

    Raises
    ------
    OutOfRange : a negative value, more covered than eligible.
    """
    return _part("covered", covered, "eligible", eligible)


def _part(name: str, part, of: str, total):
    found = _ratio(within(name, part, 0), within(of, total, 0))
    if np.any(found > 1 + 1e-9):
        raise OutOfRange(f"{name} must be at most {of}, not {np.nanmax(found):.4g} times as much")
    return np.minimum(found, 1.0)


def _ratio(part, total):
    some = np.asarray(total) > 0
    return np.where(some, part / np.where(some, total, 1.0), np.nan)[()]


def demand_paths(
    history,
    periods: int,
    growth: float | None = None,
    draws: int = 10_000,
    seed: int = 0,
    *,
    periods_per_year: float = 12,
    events: Sequence[tuple] = (),
) -> np.ndarray:
    """Possible demands of the periods to come, from the trend of the past and what it left unexplained.

    The logarithm of demand follows a straight line plus deviations of which a share persists into the next period:
    e(t) = persistence x e(t-1) + shock. The line is fitted by least squares and drawn with the standard errors of its
    level and its slope; shocks are drawn, with replacement, from those of the past. There is no season in it.

    Source: the bootstrap of regression residuals, Efron and Tibshirani 1993, "An introduction to the bootstrap",
    chapters 8.6 and 9.4.

    Parameters
    ----------
    history : demand of the whole periods before, the oldest first [GPUs]; an empty period counts as half of the
        smallest demand that there was.
    periods : to come.
    growth : of demand in a year, decimal (0.2 for 20 % more); None for the history's own.
    draws, seed : the same seed gives the same paths.
    periods_per_year : 12 for months, 365.25 for days.
    events : (period, GPUs) or (period, GPUs, length): planned demand on top, negative where some ends, from a period
        (0 for the first to come) on, to the end or for a number of periods.

    Returns
    -------
    array (draws x periods), at least 0 [GPUs].

    Raises
    ------
    OutOfRange : fewer than three periods of history, a value outside its range.
    """
    past = np.atleast_1d(within("history", history, 0))
    if past.ndim != 1 or len(past) < 3:
        raise OutOfRange(f"history must have at least 3 periods, not {past.shape[0]}")
    periods, draws = whole("periods", periods), whole("draws", draws)
    positive("periods_per_year", periods_per_year)
    paths = np.zeros((periods, draws))
    if past.any():
        paths = np.exp(_log_paths(past, periods, draws, growth, periods_per_year, np.random.default_rng(seed)))
    for first, gpus, *length in events:
        within("period of an event", first, 0, periods)
        last = first + length[0] if length else periods
        paths[int(first) : int(last)] += within("gpus of an event", gpus)
    return np.maximum(paths, 0).T


def _log_paths(past, periods, draws, growth, periods_per_year, rng) -> np.ndarray:
    """Logarithms of demand (periods x draws)."""
    count = len(past)
    logs = np.log(np.where(past > 0, past, past[past > 0].min() / 2))
    times = np.arange(count) - (count - 1) / 2
    squares = np.sum(times**2)
    slope = np.sum(times * logs) / squares
    deviations = logs - logs.mean() - slope * times
    before, after = deviations[:-1], deviations[1:]
    persistence = np.sum(before * after) / max(np.sum(before**2), 1e-300)
    # from a short past about a fitted line it is estimated (2 + 4 x persistence) / count too low
    persistence = np.clip((persistence * count + 2) / max(count - 4, 1), 0, LARGEST_PERSISTENCE)
    shocks = after - persistence * before
    # the line's two parameters have taken two degrees of freedom from the shocks
    shocks = (shocks - shocks.mean()) * np.sqrt(count / (count - 2))
    # deviations that persist tell less about the line than as many independent ones
    error = np.sqrt(np.sum(deviations**2) / (count - 2) * (1 + persistence) / (1 - persistence))
    levels = logs.mean() + error / np.sqrt(count) * rng.standard_normal(draws)
    if growth is None:
        slopes = later = slope + error / np.sqrt(squares) * rng.standard_normal(draws)
    else:
        slopes, later = slope, np.log1p(within("growth", growth, -0.99)) / periods_per_year
    drawn = shocks[rng.integers(0, len(shocks), (periods, draws))]
    deviation = np.full(draws, deviations[-1])
    for period in range(periods):
        deviation = drawn[period] = persistence * deviation + drawn[period]
    ahead = np.arange(1, periods + 1)[:, None]
    return levels + slopes * times[-1] + later * ahead + drawn


@dataclass(frozen=True)
class Newsvendor:
    """How many GPUs to commit to, what that is expected to cost, and what any other number would.

    Attributes
    ----------
    quantity : to commit to [GPUs], on top of what is held.
    critical_ratio : 1 - committed / on-demand price, the share of periods that the quantity should be enough for.
    expected_cost, on_demand_cost : of all periods, with the quantity and without it [money]; what is held is not in
        it.
    utilisation, coverage : expected at the quantity, decimals; nan where nothing is bought, or nothing demanded.
    curve : by `quantity`, which is one of its rows: `expected_cost`, its `p10` and `p90` over the draws [money],
        `utilisation`, `coverage`.
    """

    quantity: float
    critical_ratio: float
    expected_cost: float
    on_demand_cost: float
    utilisation: float
    coverage: float
    curve: pd.DataFrame

    @property
    def expected_saving(self) -> float:
        return self.on_demand_cost - self.expected_cost


def commitments_to_buy(
    paths,
    on_demand_price: float,
    committed_price: float,
    *,
    hours_per_period: float = HOURS_PER_MONTH,
    held: float = 0.0,
    multiple: float | None = 1.0,
) -> Newsvendor:
    """The commitment that is expected to cost least with on-demand for the rest, over possible demands.

    One GPU more is worth its price where demand exceeds the commitment in a larger share of the periods than
    committed / on-demand price: the quantity is the quantile of all draws and periods at 1 - that ratio, the critical
    ratio of the newsvendor.

    Source: Arrow, Harris and Marschak 1951, "Optimal inventory policy", Econometrica 19.

    Parameters
    ----------
    paths : possible demands, draws x periods [GPUs], as of `demand_paths`; the commitment runs through all periods.
        Within a period demand is taken as even: where days differ much, pass days, for an unused hour lapses.
    on_demand_price, committed_price : [money per GPU-hour].
    hours_per_period : a month's by default.
    held : commitments that there are already and that last [GPUs]; they serve first.
    multiple : commitments come in multiples of this, such as the 8 GPUs of a node; None for any number.

    Raises
    ------
    OutOfRange : a value outside its range, no paths.
    """
    demand = np.atleast_2d(within("paths", paths, 0))
    if demand.ndim != 2 or not demand.size:
        raise OutOfRange("paths must be a table of draws by periods that holds some")
    on_demand, committed = positive("on_demand_price", on_demand_price), within("committed_price", committed_price, 0)
    hours = positive("hours_per_period", hours_per_period)
    demand = np.maximum(demand - within("held", held, 0), 0).T.copy()
    ratio = max(1 - committed / on_demand, 0.0)
    best = float(np.quantile(demand, ratio, method="inverted_cdf")) if ratio > 0 else 0.0
    tried = np.array(_around(best, multiple))
    costs = committed * tried * len(demand) + on_demand * _beyond(demand, tried).mean(axis=1)
    quantity = tried[np.argmin(costs)]

    quantities = np.unique([*np.linspace(0, max(demand.max(), quantity), CURVE_POINTS), quantity])
    bought = _beyond(demand, quantities)
    money = hours * (committed * quantities[:, None] * len(demand) + on_demand * bought)
    low, high = _quantiles(money, (0.1, 0.9))
    demanded = demand.sum(axis=0).mean()
    covered = demanded - bought.mean(axis=1)
    curve = pd.DataFrame({
        "quantity": quantities, "expected_cost": money.mean(axis=1), "p10": low, "p90": high,
        "utilisation": np.minimum(_ratio(covered, quantities * len(demand)), 1),
        "coverage": _ratio(covered, np.full(len(quantities), demanded)),
    })  # fmt: skip
    row = curve.iloc[int(np.searchsorted(quantities, quantity))]
    return Newsvendor(
        float(quantity), ratio, row["expected_cost"], curve["expected_cost"].iloc[0], row["utilisation"],
        row["coverage"], curve,
    )  # fmt: skip


def _around(quantity: float, multiple: float | None) -> list[float]:
    """The multiples at either side: expected cost is convex, so one of them is the best."""
    if multiple is None:
        return [quantity]
    size = positive("multiple", multiple)
    return [size * np.floor(quantity / size), size * np.ceil(quantity / size)]


def _beyond(demand: np.ndarray, quantities: np.ndarray) -> np.ndarray:
    """Demand above each quantity, summed over the periods (quantities x draws), of periods x draws."""
    larger = np.empty_like(demand)  # one for all: to get memory takes longer than to fill it
    sums = np.empty((len(quantities), demand.shape[1]))
    for place, quantity in enumerate(quantities):
        np.maximum(demand, quantity, out=larger)
        larger.sum(axis=0, out=sums[place])
    return np.maximum(sums - quantities[:, None] * len(demand), 0)


def _quantiles(money: np.ndarray, shares: tuple[float, ...]) -> list[np.ndarray]:
    """Quantiles of every row, to the nearest draw: quicker than an interpolation."""
    places = [round(share * (money.shape[1] - 1)) for share in shares]
    ordered = np.partition(money, places, axis=1)
    return [ordered[:, place] for place in places]
