"""A periodic performance analysis: measures beside those of the last period, and what the sign of a change means."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

BETTER, WORSE, SAME, NEW, GONE = "better", "worse", "as before", "new", "none now"


@dataclass(frozen=True)
class Measure:
    """What is compared.

    Attributes
    ----------
    label : its name for readers; form : how its values are shown.
    good : 1 where more is better, -1 where less is, 0 where a change is neither.
    absolute : whether a change is told as a difference (of shares), not as a part of what was before.
    least : difference below which there is no change.
    """

    label: str
    form: str
    good: int
    absolute: bool = False
    least: float = 0.0


MEASURES: dict[str, Measure] = {
    "gpu_hours": Measure("GPU-hours held", "{:,.0f}", 0),
    "useful_share": Measure("Useful share", "{:.1%}", 1, True),
    "failed_share": Measure("Failed share", "{:.1%}", -1, True),
    "wait_p50_hours": Measure("Median wait, h", "{:,.2f}", -1, least=0.1),
    "wait_p95_hours": Measure("95 % wait, h", "{:,.2f}", -1, least=0.1),
    "mfu": Measure("MFU", "{:.1%}", 1, True),
    "tokens": Measure("Tokens trained", "{:,.3g}", 0),
    "served_tokens": Measure("Tokens served", "{:,.3g}", 0),
    "cost_per_gpu_hour": Measure("Cost per GPU-hour", "{:,.2f}", -1),
    "cost_per_completed_job": Measure("Cost per completed job", "{:,.2f}", -1),
}
# A change below these is none: of shares, and as a part of what was before.
LEAST_DIFFERENCE, LEAST_CHANGE = 0.01, 0.03


def performance(
    ledger: pd.DataFrame, jobs: pd.DataFrame, runs: pd.DataFrame, served: pd.DataFrame, by: str
) -> pd.DataFrame:
    """The measures of one period, a row a group.

    Parameters
    ----------
    ledger : GPU-hours that jobs held: `by`, `bucket`, `gpu_hours`, `effective_cost`.
    jobs : `by`, `started_jobs`, `wait_p50_seconds`, `wait_p95_seconds`, `completed_jobs`; of several rows of a group
        no wait is known.
    runs : `by`, `gpu_hours`, `mfu`, `tokens` of training runs.
    served : `by`, `served_tokens`; without rows where they are not known by this.

    Returns
    -------
    DataFrame : `by` and the columns of `MEASURES`; MFU is weighted by GPU-hours, a share is of the GPU-hours held.
    """
    held = ledger.groupby(by)[["gpu_hours", "effective_cost"]].sum()
    hours = held["gpu_hours"].where(held["gpu_hours"] > 0)
    parts = ledger.pivot_table(index=by, columns="bucket", values="gpu_hours", aggfunc="sum")
    zero = pd.Series(0.0, held.index)
    frame = pd.DataFrame({"gpu_hours": held["gpu_hours"]})
    for name, bucket in (("useful_share", "useful"), ("failed_share", "failed or restarted")):
        frame[name] = parts.get(bucket, zero).reindex(held.index).fillna(0) / hours
    count = jobs.groupby(by).agg(rows=("started_jobs", "size"), p50=("wait_p50_seconds", "first"),
                                 p95=("wait_p95_seconds", "first"), completed=("completed_jobs", "sum"))  # fmt: skip
    count = count.reindex(held.index)
    for quantile in ("p50", "p95"):
        frame[f"wait_{quantile}_hours"] = count[quantile].where(count["rows"] == 1) / 3600
    known = runs.dropna(subset=["mfu", "gpu_hours"])
    weight = known["gpu_hours"].groupby(known[by]).sum()
    frame["mfu"] = (known["mfu"] * known["gpu_hours"]).groupby(known[by]).sum() / weight.where(weight > 0)
    frame["tokens"] = runs.groupby(by)["tokens"].sum(min_count=1)
    frame["served_tokens"] = served.groupby(by)["served_tokens"].sum(min_count=1)
    frame["cost_per_gpu_hour"] = held["effective_cost"] / hours
    frame["cost_per_completed_job"] = held["effective_cost"] / count["completed"].where(count["completed"] > 0)
    return frame.rename_axis(by).reset_index()[[by, *MEASURES]].astype(dict.fromkeys(MEASURES, float))


def compared(
    now: pd.DataFrame, before: pd.DataFrame, by: str, measures: Mapping[str, Measure] = MEASURES
) -> pd.DataFrame:
    """Two periods beside each other, a row a group and measure.

    Returns
    -------
    DataFrame : `by`, `measure`, `before`, `now`, `change` (difference), `rate` (change as a part of before; of shares
        the difference), `meaning`: better or worse where a measure has a good direction, else more or less; as before
        below `LEAST_CHANGE` (of shares `LEAST_DIFFERENCE`) or the measure's own least; new and none now where one
        period has no value. A group and measure without any value have no row.
    """
    rows = before.merge(now, on=by, how="outer", suffixes=("_before", "_now")).sort_values(by)
    parts = []
    for name, measure in measures.items():
        part = pd.DataFrame({by: rows[by], "measure": name, "before": rows[f"{name}_before"],
                             "now": rows[f"{name}_now"]})  # fmt: skip
        part["change"] = part["now"] - part["before"]
        part["rate"] = part["change"] if measure.absolute else part["change"] / part["before"].where(part["before"] > 0)
        part["meaning"] = [_meaning(row, measure) for row in part.itertuples()]
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    return frame[frame["before"].notna() | frame["now"].notna()].reset_index(drop=True)


def _meaning(row, measure: Measure) -> str:
    if pd.isna(row.before) or pd.isna(row.now):
        return NEW if pd.isna(row.before) else GONE
    size = abs(row.change) if pd.isna(row.rate) else abs(row.rate)
    if abs(row.change) <= measure.least or size < (LEAST_DIFFERENCE if measure.absolute else LEAST_CHANGE):
        return SAME
    if measure.good == 0:
        return "more" if row.change > 0 else "less"
    return BETTER if np.sign(row.change) == measure.good else WORSE


def largest(changes: pd.DataFrame, count: int, measures: Mapping[str, Measure] = MEASURES) -> pd.DataFrame:
    """The changes that are better or worse, the largest first: in steps of the least change that counts."""
    told = changes[changes["meaning"].isin([BETTER, WORSE])].copy()
    least = [LEAST_DIFFERENCE if measures[name].absolute else LEAST_CHANGE for name in told["measure"]]
    told["size"] = told["rate"].abs() / np.array(least, dtype=float)
    order = told.sort_values(["size", "measure"], ascending=[False, True], ignore_index=True)
    return order.head(count).drop(columns="size")
