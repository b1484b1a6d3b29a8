"""How many GPUs a demand needs, and what too many or too few of them cost."""

from dataclasses import dataclass

import pandas as pd

from dcbudget.errors import OutOfRange

HOURS_PER_YEAR = 8766.0


def utilisation(gpu_hours: pd.DataFrame) -> pd.DataFrame:
    """Shares of GPU-hours, by pool.

    Parameters
    ----------
    gpu_hours : columns `capacity_gpu_hours`, `allocated_gpu_hours`, `used_gpu_hours`, `measured_gpu_hours`
        [GPU-hours]; `used` covers only the `measured` part of the allocated hours.

    Returns
    -------
    DataFrame : the same rows with `allocation_rate` (allocated / capacity), `gpu_utilisation` (used / measured)
        and `idle_rate` (1 - allocation rate), as decimals, null where the divisor is zero.
    """
    frame = gpu_hours.copy()
    capacity = frame["capacity_gpu_hours"].where(frame["capacity_gpu_hours"] > 0)
    measured = frame["measured_gpu_hours"].where(frame["measured_gpu_hours"] > 0)
    frame["allocation_rate"] = frame["allocated_gpu_hours"] / capacity
    frame["gpu_utilisation"] = frame["used_gpu_hours"] / measured
    frame["idle_rate"] = 1 - frame["allocation_rate"]
    return frame


def by_pool(gpu_hours: pd.DataFrame) -> pd.DataFrame:
    """Pools whose parts are paid in several currencies, as one row each in the one currency they were converted to.

    Parameters
    ----------
    gpu_hours : one row a pool and currency that it was paid in: `month`, `cluster`, `gpu_model`, `owned`, `currency`,
        hours as `utilisation` takes them, `idle_gpu_hours`, `effective_cost`, `idle_effective_cost` [money].

    Returns
    -------
    DataFrame : one row a pool, with `effective_cost_per_gpu_hour` of its capacity and the shares of `utilisation`.
    """
    keys = ["month", "cluster", "gpu_model"]
    hours = [f"{kind}_gpu_hours" for kind in ("capacity", "allocated", "used", "measured", "idle")]
    known = gpu_hours.groupby(keys, dropna=False, as_index=False)
    frame = known[[*hours, "effective_cost", "idle_effective_cost"]].sum(min_count=1)
    frame[["owned", "currency"]] = known[["owned", "currency"]].first()[["owned", "currency"]]
    capacity = frame["capacity_gpu_hours"].where(frame["capacity_gpu_hours"] > 0)
    frame["effective_cost_per_gpu_hour"] = frame["effective_cost"] / capacity
    return utilisation(frame)


@dataclass(frozen=True)
class Need:
    """GPUs for a demand.

    Attributes
    ----------
    pools : one row a pool: `gpus_now`, `gpus_needed`, `gpus_spare` (negative where short) [GPUs],
        `spare_cost_per_month` [money a month, effective, at the pool's average cost of capacity].
    gpus_spare, spare_cost_per_month : their sums.
    """

    pools: pd.DataFrame
    gpus_spare: float
    spare_cost_per_month: float


def need(gpu_hours: pd.DataFrame, hours: float, target_allocation: float, demand_growth: float = 0.0) -> Need:
    """GPUs that a period's demand needs at a target allocation rate.

    gpus = allocated GPU-hours x (1 + growth) / (hours x target): the work is the same, the fleet is sized so
    that it would be held for the target share of its hours.

    Parameters
    ----------
    gpu_hours : one row a pool, with `capacity_gpu_hours`, `allocated_gpu_hours` [GPU-hours] and
        `effective_cost` [money] of the period.
    hours : length of the period [hours].
    target_allocation : share of capacity that should be held, decimal in (0, 1].
    demand_growth : change of demand, decimal, at least -1 (0.2 for 20 % more).

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    if not 0 < target_allocation <= 1:
        raise OutOfRange(f"target_allocation must lie above 0 and at most at 1, not {target_allocation:g}")
    if not demand_growth >= -1:
        raise OutOfRange(f"demand_growth must be at least -1, not {demand_growth:g}")
    if not hours > 0:
        raise OutOfRange(f"hours must be above 0, not {hours:g}")
    frame = gpu_hours.copy()
    frame["gpus_now"] = frame["capacity_gpu_hours"] / hours
    frame["gpus_needed"] = frame["allocated_gpu_hours"] * (1 + demand_growth) / (hours * target_allocation)
    frame["gpus_spare"] = frame["gpus_now"] - frame["gpus_needed"]
    cost_per_gpu_hour = frame["effective_cost"] / frame["capacity_gpu_hours"].where(frame["capacity_gpu_hours"] > 0)
    frame["spare_cost_per_month"] = frame["gpus_spare"] * cost_per_gpu_hour.fillna(0) * HOURS_PER_YEAR / 12
    return Need(frame, float(frame["gpus_spare"].sum()), float(frame["spare_cost_per_month"].sum()))
