"""What the ways of paying for rented usage saved, and how far commitments were used and covered what they could."""

import pandas as pd

from dcbudget.models import commitments

USED, UNUSED, ON_DEMAND = "commitment, used", "commitment, unused", "on-demand"
BASES = ["list_cost", "on_demand_cost", "contracted_cost", "effective_cost", "billed_cost"]


def savings(paid: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Effective savings rate, commitment utilisation and coverage, as the FinOps Foundation defines them.

    Parameters
    ----------
    paid : `paid_as` (on-demand, spot, commitment, used or unused), `gpu_hours` [GPU-hours], `on_demand_cost`,
        `list_cost`, `contracted_cost`, `effective_cost`, `billed_cost` [money] and the columns of `by`.
    by : columns to group by.

    Returns
    -------
    DataFrame : `by`, the sums, `used_gpu_hours`, `committed_gpu_hours`, `eligible_gpu_hours` (on demand or covered;
        spot has its own price) and, as decimals, null where the divisor is 0: `effective_savings_rate`
        (1 - effective / on-demand), `utilisation` (used / committed GPU-hours), `coverage` (used / eligible).

    Notes
    -----
    Source: FinOps Foundation, "Effective Savings Rate", "Commitment Discount Utilization" and "Coverage" of its FinOps
    KPIs, finops.org/framework.
    """
    hours = paid["gpu_hours"].fillna(0.0)
    frame = paid[[*by, *BASES]].assign(
        gpu_hours=hours,
        used_gpu_hours=hours.where(paid["paid_as"] == USED, 0.0),
        committed_gpu_hours=hours.where(paid["paid_as"].isin((USED, UNUSED)), 0.0),
        eligible_gpu_hours=hours.where(paid["paid_as"].isin((USED, ON_DEMAND)), 0.0),
    )
    frame = frame.groupby(by, as_index=False).sum()
    frame["effective_savings_rate"] = _rate(
        commitments.effective_savings_rate, frame["effective_cost"], frame["on_demand_cost"]
    )
    frame["utilisation"] = _rate(commitments.utilisation, frame["used_gpu_hours"], frame["committed_gpu_hours"])
    frame["coverage"] = _rate(commitments.coverage, frame["used_gpu_hours"], frame["eligible_gpu_hours"])
    return frame


def _rate(rate, part: pd.Series, whole: pd.Series) -> pd.Series:
    """A rate of the rows that have a whole, null in the others."""
    known = whole > 0
    found = pd.Series(float("nan"), part.index)
    found[known] = rate(part[known].to_numpy(), whole[known].to_numpy())
    return found
