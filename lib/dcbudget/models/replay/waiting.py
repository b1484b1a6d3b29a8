"""The money of waiting: GPUs cost money, and so do the people who wait for them."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models.ranges import positive, share, within


class Cheapest(NamedTuple):
    """Where GPUs and waiting together cost least.

    Attributes
    ----------
    at : the capacity (or reservation) in the frontier's first column.
    cost : of GPUs and waiting there [money].
    low, high : least and greatest capacity around it whose cost is within `tolerance` of the least: how flat it is.
    tolerance : a share.
    at_edge : whether it is the first or last point, so that beyond it may be cheaper.
    """

    at: float
    cost: float
    low: float
    high: float
    tolerance: float
    at_edge: bool


def with_money(
    frontier: pd.DataFrame, by: str, *, gpu_price_per_hour, hours, waiting_price_per_hour, people_share: float = 1.0
) -> pd.DataFrame:
    """A frontier with its money.

    Parameters
    ----------
    frontier : a point a row: `by` (GPUs, or what is varied), `gpus` that are paid for, `waited_hours` (sum of the jobs'
        waits).
    by : the column of what is varied.
    gpu_price_per_hour : of one GPU of capacity [money], or one value a row.
    hours : of the period that the log covers.
    waiting_price_per_hour : of a person who waits [money].
    people_share : share of a job's wait in which a person waits for it.

    Returns
    -------
    The frontier, sorted by `by`, with `capacity_cost`, `waiting_cost`, `total_cost` [money] and `pareto`: whether no
    other point costs less in GPUs and waits less.

    Raises
    ------
    OutOfRange : a value lies outside its range, or the frontier is empty.
    """
    if frontier.empty:
        raise OutOfRange("the frontier must have at least one point")
    table = frontier.sort_values(by, kind="stable", ignore_index=True)
    waited = within("waited_hours", table["waited_hours"], 0)
    price = within("gpu_price_per_hour", gpu_price_per_hour, 0)
    table["capacity_cost"] = within("gpus", table["gpus"], 0) * price * positive("hours", hours)
    table["waiting_cost"] = (
        waited * within("waiting_price_per_hour", waiting_price_per_hour, 0) * share("people_share", people_share)
    )
    table["total_cost"] = table["capacity_cost"] + table["waiting_cost"]
    money, wait = table["capacity_cost"].to_numpy(), np.asarray(waited)
    beaten = ((money[None, :] <= money[:, None]) & (wait[None, :] <= wait[:, None])
              & ((money[None, :] < money[:, None]) | (wait[None, :] < wait[:, None])))  # fmt: skip
    table["pareto"] = ~beaten.any(axis=1)
    return table


def cheapest(frontier: pd.DataFrame, by: str, tolerance: float = 0.02) -> Cheapest:
    """The point of least cost, and how far one may stray from it.

    Parameters
    ----------
    frontier : as `with_money` returns it.
    tolerance : share of the least cost that does not matter.
    """
    share("tolerance", tolerance)
    cost = frontier["total_cost"].to_numpy()
    at = int(np.argmin(cost))
    near = cost <= cost[at] * (1 + tolerance)
    low = high = at
    while low > 0 and near[low - 1]:
        low -= 1
    while high < len(cost) - 1 and near[high + 1]:
        high += 1
    points = frontier[by].to_numpy(dtype=float)
    return Cheapest(points[at], float(cost[at]), points[low], points[high], tolerance, at in (0, len(cost) - 1))
