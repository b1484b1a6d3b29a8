"""Training runs and jobs that spend without getting anywhere: diverged, stalled, failing again and again, held idle.

Money is GPU-hours times `cost_per_gpu_hour`, the average effective cost of the GPUs of the pool; where that is not
known the finding has no amount, and stands all the same.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from dcbudget.models.anomaly import Finding, spells
from dcbudget.models.ranges import positive, whole, within

FAILING = ("FAILED", "NODE_FAIL", "OUT_OF_MEMORY")
NOBODY = "Unallocated"
# A loss has diverged where it lost again this many times what it had gained, and stands well above any that it had.
LOST_AGAIN, WELL_ABOVE, VALUES = 2.0, 1.5, 3
HOUR = pd.Timedelta(hours=1)


def diverging(
    losses: pd.DataFrame, runs: pd.DataFrame, as_of: pd.Timestamp, least_money: float = 1000.0
) -> Iterator[Finding]:
    """Runs whose loss grows without bound, or is no number any more.

    Three values in a row must be above the lowest by LOST_AGAIN times what the run had gained, and above
    WELL_ABOVE times any loss that it began with or reached.

    Parameters
    ----------
    losses : `run_id`, `step`, `time`, `value`, of the metric loss.
    runs : `run_id`, `project`, `gpus`, `end_time` (of its job, else of its log; null while it runs) and
        `cost_per_gpu_hour` [money per GPU-hour].
    least_money : what must have been spent since.
    """
    within("least_money", least_money, 0)
    about = runs.set_index("run_id")
    known = losses[(losses["time"] < as_of) & losses["run_id"].isin(about.index)]
    known = known.sort_values(["run_id", "time", "step"])
    for run_id, log in known.groupby("run_id", sort=True):
        place = _diverged_at(log["value"].to_numpy(float))
        if place is None:
            continue
        run = about.loc[run_id]
        since, last = log["time"].iloc[place], log["value"].iloc[-1]
        until, money = _spent(run, since, as_of)
        if money < least_money:
            continue
        lowest = log["value"].iloc[: place + 1].replace([np.inf, -np.inf], np.nan).min()
        yield Finding(
            "diverging run", _project(run), run_id, since, until, money, "effective",
            f"the loss grew from {lowest:,.4g} to {last:,.4g} while {run['gpus']:g} GPUs went on",
            f"from step {log['step'].iloc[place]:,.0f} on it had lost again more than it had gained since its first"
            f" value of {log['value'].iloc[0]:,.4g}",
        )  # fmt: skip


def stalled(
    logs: pd.DataFrame, runs: pd.DataFrame, as_of: pd.Timestamp, least_money: float = 1000.0,
    least_hours: float = 6.0, times_usual: float = 10.0,
) -> Iterator[Finding]:  # fmt: skip
    """Runs that wrote nothing for long while their job held its GPUs.

    Parameters
    ----------
    logs : `run_id`, `time`: when a run wrote anything.
    runs : as in `diverging`; runs without a job tell nothing here: `has_job`.
    least_hours, times_usual : the silence must be longer than both the hours and so many times its median interval.
    """
    within("least_money", least_money, 0)
    positive("least_hours", least_hours)
    about = runs[runs["has_job"].astype(bool)].set_index("run_id")
    known = logs[(logs["time"] < as_of) & logs["run_id"].isin(about.index)]
    for run_id, log in known.groupby("run_id", sort=True):
        run = about.loc[run_id]
        times = np.sort(log["time"].unique())
        usual = np.median(np.diff(times)) / HOUR if len(times) > 1 else 0.0
        ends = pd.isna(run["end_time"]) or run["end_time"] >= as_of
        last = as_of if ends else run["end_time"]
        ends_of = np.append(times[1:], np.array(last, dtype=times.dtype))
        silences = (ends_of - times) / HOUR
        for place in np.flatnonzero(silences > max(least_hours, times_usual * usual)):
            begin, end, silent = pd.Timestamp(times[place]), pd.Timestamp(ends_of[place]), float(silences[place])
            lasts = ends and end == as_of
            money = silent * run["gpus"] * run["cost_per_gpu_hour"]
            if money < least_money:
                continue
            yield Finding(
                "stalled run", _project(run), run_id, begin, pd.NaT if lasts else end, money, "effective",
                f"nothing was logged for {silent:,.0f} hours while {run['gpus']:g} GPUs were held",
                f"the run otherwise logs every {usual * 60:,.0f} minutes",
            )  # fmt: skip


def crash_loops(
    jobs: pd.DataFrame, as_of: pd.Timestamp, least_money: float = 1000.0, attempts: int = 4, pause_hours: float = 6.0
) -> Iterator[Finding]:
    """Jobs that fail, are submitted again and fail again, one after the other.

    Parameters
    ----------
    jobs : `project`, `user_id`, `cluster`, `gpus`, `job_id`, `submit_time`, `start_time`, `end_time`, `state`,
        `restarts` (of the job itself, may be null) and `cost_per_gpu_hour`. Attempts belong together where the user,
        the cluster and the GPUs are the same, each begins after the one before has ended, and is submitted at most
        `pause_hours` after that; one that did not fail ends the loop.
    attempts : so many in a row are a loop.
    """
    within("least_money", least_money, 0)
    whole("attempts", attempts, 2, 1000)
    positive("pause_hours", pause_hours)
    key = ["cluster", "project", "user_id", "gpus"]
    known = jobs[(jobs["end_time"] < as_of) & (jobs["gpus"] > 0) & jobs["start_time"].notna()]
    known = known.fillna({"project": NOBODY, "user_id": ""}).sort_values([*key, "start_time", "job_id"])
    failed = known["state"].isin(FAILING)
    before = known.groupby(key, sort=False)["end_time"].shift()
    linked = (
        failed & failed.groupby([known[name] for name in key], sort=False).shift(fill_value=False)
        & (known["start_time"] >= before) & (known["submit_time"] - before <= pause_hours * HOUR)
    )  # fmt: skip
    known = known.assign(loop=(~linked).cumsum(), tries=1 + known["restarts"].fillna(0.0))[failed]
    tries = known.groupby("loop")["tries"].transform("sum")
    for _, loop in known[tries >= attempts].groupby("loop", sort=False):
        hours = loop["gpus"] * (loop["end_time"] - loop["start_time"]) / HOUR
        money = float((hours * loop["cost_per_gpu_hour"]).sum(skipna=False))
        if money < least_money:
            continue
        first, last = loop.iloc[0], loop.iloc[-1]
        ended = last["end_time"] + pause_hours * HOUR < as_of
        states = ", ".join(f"{count:,} {state}" for state, count in loop["state"].value_counts().sort_index().items())
        yield Finding(
            "failing run", first["project"], f"job {first['job_id']}", first["start_time"],
            last["end_time"] if ended else pd.NaT, money, "effective",
            f"{loop['tries'].sum():,.0f} attempts on {first['gpus']:g} GPUs failed one after the other",
            f"{states}; {hours.sum():,.0f} GPU-hours, from job {first['job_id']} to {last['job_id']}",
        )  # fmt: skip


def held_idle(
    jobs: pd.DataFrame, as_of: pd.Timestamp, least_money: float = 1000.0, idle_below: float = 0.05,
    pause_days: float = 14,
) -> Iterator[Finding]:  # fmt: skip
    """GPUs that jobs of a project held without using them.

    Parameters
    ----------
    jobs : `project`, `cluster`, `gpu_model`, `gpus`, `job_id`, `start_time`, `end_time` (null while it runs),
        `gpu_utilisation` (decimal, null where not measured) and `cost_per_gpu_hour`. Jobs of a project in a pool
        belong together where one begins at most `pause_days` after those before have ended.
    """
    within("least_money", least_money, 0)
    within("idle_below", idle_below, 0, 1)
    idle = jobs[(jobs["gpu_utilisation"] < idle_below) & (jobs["start_time"] < as_of) & (jobs["gpus"] > 0)]
    idle = idle.fillna({"project": NOBODY, "gpu_model": ""}).sort_values(["start_time", "job_id"])
    idle = idle.assign(stop=idle["end_time"].fillna(as_of).clip(upper=as_of))
    for (project, cluster, gpu_model), pool in idle.groupby(["project", "cluster", "gpu_model"], sort=True):
        numbers = spells(pool["start_time"], pool["stop"], pd.Timedelta(days=pause_days))
        for _, spell in pool.groupby(numbers):
            hours = spell["gpus"] * (spell["stop"] - spell["start_time"]) / HOUR
            money = hours * spell["cost_per_gpu_hour"]
            if money.sum(skipna=False) < least_money:
                continue
            lasts = bool((spell["end_time"].isna() | (spell["end_time"] >= as_of)).any())
            most = spell.loc[hours.idxmax()]
            yield Finding(
                "GPUs held and idle", project, f"{cluster}, {gpu_model}".rstrip(", "), spell["start_time"].min(),
                pd.NaT if lasts else spell["stop"].max(), float(money.sum(skipna=False)), "effective",
                f"{len(spell):,} job{'s' if len(spell) > 1 else ''} held GPUs for {hours.sum():,.0f} GPU-hours"
                f" and left them idle",
                f"GPU utilisation below {idle_below:.0%}; the largest is job {most['job_id']} with"
                f" {most['gpus']:g} GPUs at {most['gpu_utilisation']:.0%}",
            )  # fmt: skip


def _diverged_at(values: np.ndarray) -> int | None:
    """The place from which a loss has diverged."""
    finite = np.isfinite(values)
    if not finite.all():
        return int(np.argmin(finite))
    if len(values) <= VALUES:
        return None
    lowest = np.minimum.accumulate(values)
    gained = values[0] - lowest
    most = np.maximum(abs(values[0]), np.abs(lowest))
    beyond = (values - lowest > LOST_AGAIN * gained) & (values > WELL_ABOVE * most)
    run = np.convolve(beyond, np.ones(VALUES, int), "valid") == VALUES
    return int(np.argmax(run)) if run.any() else None


def _spent(run: pd.Series, since: pd.Timestamp, as_of: pd.Timestamp) -> tuple[pd.Timestamp, float]:
    """When a run ended, NaT where it goes on, and the money that its GPUs cost since a moment."""
    lasts = pd.isna(run["end_time"]) or run["end_time"] >= as_of
    end = as_of if lasts else run["end_time"]
    return pd.NaT if lasts else end, float((end - since) / HOUR * run["gpus"] * run["cost_per_gpu_hour"])


def _project(run: pd.Series) -> str:
    return run["project"] if isinstance(run["project"], str) else NOBODY
