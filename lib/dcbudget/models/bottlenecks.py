"""Where the time of a training run goes, as far as its log tells, and what another checkpoint interval would save."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dcbudget.models.performance.failures import checkpoint_interval, failure_overhead
from dcbudget.models.ranges import positive, within
from dcbudget.models.training_runs import DIVERGED, FAILED

# What counts as a bottleneck: a step that waits for data or other GPUs for so long, GPUs that are busy for less, steps
# of which one in twenty takes so many times the median, memory that is nearly full, time that was repeated or lost.
DATA, COMMUNICATION, CHECKPOINTS = 0.1, 0.3, 0.05
BUSY, SLOW = 0.6, 0.3
UNEVEN = 1.5
FULL = 0.95
GOODPUT = 0.9
# An MFU above GPU use by more than so much is a measurement that is wrong.
DOUBT = 0.03
NOTHING, UNKNOWN = "nothing stands out", "not measured"
# What a log may tell: column -> what it is called where it is missing.
TOLD = {"data_share": "data", "communication_share": "communication", "gpu_utilisation": "GPU use",
        "gpu_memory_share": "GPU memory", "disk_bytes_per_second": "disk",
        "network_bytes_per_second": "network"}  # fmt: skip


def step_times(points: pd.DataFrame) -> pd.DataFrame:
    """Seconds of a step from the times of a log, of runs that log none: `run_id`, `p50`, `p95`.

    Parameters
    ----------
    points : `run_id`, `attempt`, `step`, `time` of values; steps between two logged ones are taken as equally long.
    """
    keys = ["run_id", "attempt"]
    frame = points.dropna(subset=["step", "time"])[[*keys, "step", "time"]].drop_duplicates([*keys, "step"])
    frame = frame.sort_values([*keys, "step"])
    by = frame.groupby(keys)
    steps = by["step"].diff().astype(float)
    frame["seconds"] = by["time"].diff().dt.total_seconds() / steps.where(steps > 0)
    found = frame[frame["seconds"] > 0].groupby("run_id")["seconds"].quantile([0.5, 0.95]).unstack()
    return found.reindex(columns=[0.5, 0.95]).set_axis(["p50", "p95"], axis=1).rename_axis("run_id").reset_index()


def bottlenecks(runs: pd.DataFrame, meters: pd.DataFrame) -> pd.DataFrame:
    """What holds each run up, the first that applies, and what its log does not tell.

    Parameters
    ----------
    runs : `run`, `goodput`, `mfu`, `gpu_utilisation` (of the jobs), `status`.
    meters : `run`, `quantity`, `mean`, `p50`, `p95`, `peak`: seconds of steps and of parts of them, shares, bytes.

    Returns
    -------
    DataFrame : `run`, `step_seconds` (median), `unevenness` (95 % of the steps take at most so many times the median),
        `data_share`, `communication_share`, `checkpoint_share` (of a step), `gpu_utilisation`, `gpu_memory_share`
        (peak), `disk_bytes_per_second`, `network_bytes_per_second`, `mfu`, `goodput`, `finding`, `missing` (what is
        not measured); shares are decimals, NaN where nothing tells.
    """
    frame = runs[["run", "goodput", "mfu", "gpu_utilisation", "status"]].set_index("run")
    of = {name: meters.pivot_table(index="run", columns="quantity", values=name, aggfunc="mean").reindex(frame.index)
          for name in ("mean", "p50", "p95", "peak")}  # fmt: skip

    def told(quantity: str, value: str) -> pd.Series:
        return of[value][quantity] if quantity in of[value] else pd.Series(np.nan, frame.index, float)

    step = told("step_seconds", "mean")
    frame["step_seconds"] = told("step_seconds", "p50")
    # one that logs the 95 % of each epoch's steps tells more than the spread of its means
    high = told("step_seconds_p95", "mean").fillna(told("step_seconds", "p95"))
    frame["unevenness"] = high / frame["step_seconds"].where(frame["step_seconds"] > 0)
    for part in ("data", "communication", "checkpoint"):
        seconds = told(f"{part}_seconds", "mean") / step.where(step > 0)
        frame[f"{part}_share"] = told(f"{part}_share", "mean").fillna(seconds) if part == "data" else seconds
    frame["gpu_utilisation"] = told("gpu_utilisation", "mean").fillna(frame["gpu_utilisation"])
    frame["gpu_memory_share"] = told("gpu_memory_share", "peak")
    for through in ("disk_bytes_per_second", "network_bytes_per_second"):
        frame[through] = told(through, "mean")
    frame["finding"] = [_finding(row) for row in frame.itertuples()]
    frame["missing"] = [", ".join(name for column, name in TOLD.items() if pd.isna(getattr(row, column))) or "nothing"
                        for row in frame.itertuples()]  # fmt: skip
    return frame.reset_index()


def _finding(row) -> str:
    checks = [
        (row.status == DIVERGED, "diverged: what came after its lowest loss is lost"),
        (row.status in FAILED and row.goodput == 0, "failed, and nothing went on from it"),
        (row.goodput < GOODPUT, f"repeated or lost work: goodput {row.goodput:.0%}"),
        (row.data_share >= DATA, f"waits for data {row.data_share:.0%} of a step: look at the loader and the disk"),
        (row.communication_share >= COMMUNICATION, f"waits for other GPUs {row.communication_share:.0%} of a step"),
        (
            row.checkpoint_share >= CHECKPOINTS,
            f"writes checkpoints {row.checkpoint_share:.0%} of the time of its steps",
        ),
        (row.unevenness >= UNEVEN, f"uneven steps: one in twenty takes {row.unevenness:.1f} times the median"),
        (
            row.mfu > row.gpu_utilisation + DOUBT,
            f"MFU {row.mfu:.0%} cannot be above GPU use {row.gpu_utilisation:.0%}: one of them is measured wrongly",
        ),
        (row.gpu_utilisation < BUSY, f"GPUs are busy {row.gpu_utilisation:.0%} of the time only"),
        (row.gpu_memory_share >= FULL, f"GPU memory is {row.gpu_memory_share:.0%} full: a larger batch does not fit"),
        (row.mfu < SLOW, f"busy GPUs get little done: MFU {row.mfu:.0%}"),
    ]
    if found := next((text for holds, text in checks if holds), None):
        return found
    known = [row.goodput, row.mfu, row.unevenness, row.gpu_utilisation, row.data_share]
    return UNKNOWN if pd.isna(known).all() else NOTHING


@dataclass(frozen=True)
class Checkpoints:
    """A run's checkpoints as they are, at another interval and at the best one.

    Attributes
    ----------
    mtbf_hours : mean time between failures of the whole run.
    present_seconds, interval_seconds, best_seconds : of computing between two checkpoints; the best is Daly's.
    present_overhead, overhead, best_overhead : wall time that checkpoints, repeated work and restarts add to the work
        alone, shares of it.
    saved_gpu_hours, saved : by the other interval in place of the present one, negative where it costs more; money.
    best_saved_gpu_hours, best_saved : by the best one, at least 0.
    curve : `interval_seconds`, `overhead`, around these intervals.
    """

    mtbf_hours: float
    present_seconds: float
    interval_seconds: float
    best_seconds: float
    present_overhead: float
    overhead: float
    best_overhead: float
    saved_gpu_hours: float
    saved: float
    best_saved_gpu_hours: float
    best_saved: float
    curve: pd.DataFrame


def checkpoints(
    gpus: float,
    mtbf_gpu_hours: float,
    present_seconds: float,
    interval_seconds: float,
    checkpoint_seconds: float,
    restart_seconds: float,
    gpu_hours: float,
    cost_per_gpu_hour: float,
) -> Checkpoints:
    """What another checkpoint interval would make of a run.

    The work alone is gpu_hours / (1 + present overhead); another interval makes (1 + its overhead) of it.

    Parameters
    ----------
    gpus : of the run; mtbf_gpu_hours : between two failures.
    present_seconds, interval_seconds : of computing between two checkpoints, as they are and as they might be.
    checkpoint_seconds : that writing one stops the run.
    restart_seconds : from a failure until it goes on from its last checkpoint.
    gpu_hours : that the run held at the present interval; cost_per_gpu_hour [money].

    Source: Daly 2006, equations 20 and 37.

    Raises
    ------
    OutOfRange : a value is out of its range, or failures come so often that the run would not get on.
    """
    gpu_hours, price = within("gpu_hours", gpu_hours, 0), within("cost_per_gpu_hour", cost_per_gpu_hour, 0)
    d, r = within("checkpoint_seconds", checkpoint_seconds, 0), within("restart_seconds", restart_seconds, 0)
    mtbf_seconds = positive("mtbf_gpu_hours", mtbf_gpu_hours) * 3600 / within("gpus", gpus, 1)
    best = max(float(checkpoint_interval(d, mtbf_seconds)), 1.0)
    named = np.array([present_seconds, interval_seconds, best], dtype=float)
    present, other, least = failure_overhead(gpus, mtbf_gpu_hours, d, r, named)
    # Daly's interval is the best to a few thousandths; what is better still is the best here
    best, least = min((best, least), (float(present_seconds), present), (float(interval_seconds), other),
                      key=lambda point: point[1])  # fmt: skip
    # far beyond the mean time between failures nothing gets done
    around = np.geomspace(named.min() / 4, max(min(named.max() * 4, 4 * mtbf_seconds), named.max()), 60)
    intervals = np.unique([*around, *named])
    curve = pd.DataFrame({"interval_seconds": intervals,
                          "overhead": failure_overhead(gpus, mtbf_gpu_hours, d, r, intervals)})  # fmt: skip
    saved, best_saved = (gpu_hours * (1 - (1 + overhead) / (1 + present)) for overhead in (other, least))
    return Checkpoints(
        mtbf_seconds / 3600, float(present_seconds), float(interval_seconds), best, float(present), float(other),
        float(least), float(saved), float(saved * price), float(best_saved), float(best_saved * price), curve,
    )  # fmt: skip
