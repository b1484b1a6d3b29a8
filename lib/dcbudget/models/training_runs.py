"""Training runs and their attempts: which belong together, what of their time was useful, and what a result cost.

A run is one training, an attempt one job of it. Useful is the time on steps that were kept: a failed attempt counts as
far as a later one went on from it, and a run whose loss diverged counts up to its lowest loss. Goodput is useful time
over the time that the attempts held their GPUs, both weighted by GPUs.
"""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd

from dcbudget.models.ranges import share

# Ends that the GPU ledger calls failed or restarted.
FAILED = ("FAILED", "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED", "TIMEOUT")
DIVERGED, GOES_ON = "DIVERGED", "RUNNING"
# A loss of more than so many times its first has diverged; the median of the last three counts, one peak does not.
DIVERGENCE = 2.0
# A log that begins so many of its own intervals from step 0 goes on from an earlier one.
RESUMED = 3.0
# A first value after more than so many intervals has steps before it that the log does not tell.
SPARSE = 1.5
ATTEMPT = ["run_id", "attempt"]
RESULTS = ("loss", "accuracy", "f1")
RATES = ("mfu", "tokens_per_second", "samples_per_second")


def spans(points: pd.DataFrame) -> pd.DataFrame:
    """What the log of each attempt covers.

    Parameters
    ----------
    points : one row a value: `run_id`, `attempt`, `step`, `time`, `metric`, `value`.

    Returns
    -------
    DataFrame : one row an attempt: `first_step`, `last_step`, `step_interval` (median distance of logged steps),
        `first_time`, `last_time`, `time_interval` (median distance of logged times, seconds), `logged` (times).
    """
    frame = points[[*ATTEMPT, "step", "time"]].drop_duplicates().sort_values([*ATTEMPT, "step", "time"])
    by = frame.groupby(ATTEMPT)
    steps = frame["step"].astype(float)
    gaps = frame.assign(
        steps=steps.groupby([frame[name] for name in ATTEMPT]).diff(),
        seconds=by["time"].diff().dt.total_seconds(),
    )
    gaps[["steps", "seconds"]] = gaps[["steps", "seconds"]].where(gaps[["steps", "seconds"]] > 0)
    found = by.agg(first_step=("step", "min"), last_step=("step", "max"), first_time=("time", "min"),
                   last_time=("time", "max"), logged=("time", "nunique"))  # fmt: skip
    medians = gaps.groupby(ATTEMPT)[["steps", "seconds"]].median()
    found["step_interval"], found["time_interval"] = medians["steps"], medians["seconds"]
    return found.reset_index()


def families(attempts: pd.DataFrame, named: Mapping[str, Sequence[str]] | None = None) -> pd.DataFrame:
    """Which attempts are one run, and which attempt of it each is.

    Attempts of one `run_id` are one run. A log of another name goes on with a run where project and model are the
    same, its name differs in a number at the end alone, its steps begin far from 0 inside of those that the run had
    reached, and it began after the run's last attempt had failed.

    Parameters
    ----------
    attempts : `run_id`, `attempt`, `project`, `model`, `state`, `start_time`, `end_time`, `first_step`, `last_step`,
        `step_interval`; one row an attempt.
    named : run -> patterns of `run_id` (as in file names) that are its attempts, whatever their steps say.

    Returns
    -------
    DataFrame : the same in order of start, with `run` and `number` (1 for the first attempt).
    """
    frame = attempts.sort_values(["start_time", *ATTEMPT], ignore_index=True)
    runs: list[str] = []
    last: dict[tuple, int] = {}
    of_id: dict[str, str] = {}
    for position, row in enumerate(frame.itertuples()):
        given = [run for run, patterns in (named or {}).items() if any(fnmatchcase(row.run_id, p) for p in patterns)]
        stem = re.sub(r"[-_. ]*\d+$", "", row.run_id)
        key = (row.project, row.model, stem)
        run = given[0] if given else of_id.get(row.run_id)
        if run is None and key in last and _goes_on(frame.loc[last[key]], row):
            run = runs[last[key]]
        runs.append(run if run is not None else row.run_id)
        of_id[row.run_id] = runs[-1]
        last[key] = position
    frame["run"] = runs
    several = frame.groupby("run")["run_id"].nunique()
    stems = frame["run_id"].str.replace(r"[-_. ]*\d+$", "", regex=True)
    chained = frame["run"].map(several).gt(1) & ~frame["run"].isin(list(named or {}))
    taken = set(frame.loc[~chained, "run"])
    names = stems.groupby(frame["run"]).first()
    alone = ~names.duplicated(keep=False) & (names != "") & ~names.isin(taken)
    frame["run"] = frame["run"].where(~chained | ~frame["run"].map(alone), frame["run"].map(names))
    frame["number"] = frame.groupby("run").cumcount() + 1
    return frame


def _goes_on(before: pd.Series, row) -> bool:
    known = [before["first_step"], before["last_step"], row.first_step, row.step_interval]
    if pd.isna(known).any() or before["state"] not in FAILED or row.project is None or row.model is None:
        return False
    return (
        row.start_time >= before["end_time"]
        and row.first_step > RESUMED * row.step_interval
        and before["first_step"] < row.first_step <= before["last_step"] + RESUMED * row.step_interval
    )


def diverged(loss: np.ndarray) -> bool:
    """Whether a loss, in order of steps, is not finite at its end or beyond `DIVERGENCE` times its first value."""
    loss = np.asarray(loss, dtype=float)
    if not len(loss):
        return False
    if not np.isfinite(loss[-1]):
        return True
    first = loss[np.isfinite(loss)][0]
    return bool(first > 0 and len(loss) > 3 and np.median(loss[-3:]) > DIVERGENCE * first)


def useful(attempts: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """What of each attempt's time was useful.

    Parameters
    ----------
    attempts : of `families`, with `first_time`, `last_time`, `time_interval`, `logged` of `spans`.
    points : as `spans` takes them.

    Returns
    -------
    DataFrame : the same with `held_seconds`, `useful_seconds`, `startup_seconds` (before the first step),
        `lost_seconds` (of steps that were not kept), `tokens` (of kept steps), and `diverged`, of the whole run.
        Where the log has no two times, NaN.
    """
    frame = attempts.sort_values(["run", "number"], ignore_index=True)
    loss = points[points["metric"] == "loss"].merge(frame[[*ATTEMPT, "run", "number"]], on=ATTEMPT)
    bad, best = {}, {}
    for run, part in loss.sort_values(["number", "step", "time"]).groupby("run"):
        bad[run] = diverged(part["value"].to_numpy())
        finite = part[np.isfinite(part["value"])]
        best[run] = finite.loc[finite["value"].idxmin(), "step"] if len(finite) else -np.inf
    frame["diverged"] = frame["run"].map(bad).astype("boolean").fillna(False).astype(bool)
    frame["kept_step"] = _kept(frame, best)
    clocks = {key: part for key, part in points.groupby(ATTEMPT)}
    rows = [_times(row, clocks.get((row.run_id, row.attempt))) for row in frame.itertuples()]
    columns = ["held_seconds", "useful_seconds", "startup_seconds", "lost_seconds", "tokens"]
    frame[columns] = pd.DataFrame(rows, columns=columns, index=frame.index, dtype=float)
    return frame


def _kept(frame: pd.DataFrame, best: dict) -> np.ndarray:
    """The step up to which each attempt counts: where a later one went on; nothing of a failure that none followed."""
    kept = np.full(len(frame), np.inf)
    for run, part in frame.groupby("run"):
        limit = -np.inf if part["state"].iloc[-1] in FAILED else np.inf
        for position in reversed(part.index):
            row = frame.loc[position]
            kept[position] = limit
            begins = row["first_step"] - (0 if pd.isna(row["step_interval"]) else row["step_interval"])
            limit = np.inf if pd.isna(begins) else begins if limit == -np.inf else min(limit, begins)
        if part["diverged"].iloc[0]:
            kept[part.index] = np.minimum(kept[part.index], best.get(run, -np.inf))
    return kept


def _times(row, points: pd.DataFrame | None) -> tuple[float, float, float, float, float]:
    held = (row.end_time - row.start_time).total_seconds() if pd.notna(row.end_time) else np.nan
    if points is None or pd.isna(row.first_time) or row.logged < 2:
        return held, np.nan, np.nan, np.nan, np.nan
    origin = row.start_time
    before = row.time_interval
    if row.number == 1 and row.first_step > SPARSE * row.step_interval:
        # a log that tells evaluations alone: the steps before its first took as long as those that it tells of
        before = row.first_step * (row.last_time - row.first_time).total_seconds() / (row.last_step - row.first_step)
    begin = max((row.first_time - origin).total_seconds() - before, 0.0)
    last = min((row.last_time - origin).total_seconds(), held)
    if row.kept_step == -np.inf:
        until = begin
    elif row.kept_step == np.inf or pd.isna(row.last_step) or row.kept_step >= row.last_step:
        until = last
    else:
        clock = points.drop_duplicates("step").sort_values("step")
        seconds = (clock["time"] - origin).dt.total_seconds()
        until = float(np.interp(row.kept_step, [row.first_step - row.step_interval, *clock["step"]], [begin, *seconds]))
    until = min(max(until, begin), last)
    return held, until - begin, begin, last - until, _tokens(points, origin, begin, until)


def _tokens(points: pd.DataFrame, origin: pd.Timestamp, begin: float, until: float) -> float:
    """Tokens from `begin` to `until`: a rate holds from the value before it to its own time."""
    rate = points[(points["metric"] == "tokens_per_second") & np.isfinite(points["value"])].sort_values("time")
    if rate.empty:
        return np.nan
    seconds = (rate["time"] - origin).dt.total_seconds().to_numpy()
    edges = np.minimum(np.concatenate([[begin], seconds]), until)
    return float((np.maximum(np.diff(edges), 0) * rate["value"].to_numpy()).sum())


def summary(attempts: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """One row a run: time, work, results and cost of all its attempts.

    Parameters
    ----------
    attempts : of `useful`, with `gpus`, `gpu_hours`, `cost` [money] and `gpu_model`.
    points : as `spans` takes them.

    Returns
    -------
    DataFrame : `run`, `project`, `model`, `gpu_model`, `gpus` (the most of an attempt), `attempts`, `restarts`,
        `status` (DIVERGED where the loss did), `succeeded`, `start_time`, `end_time`, `elapsed_hours` (first start to
        last end), `held_hours`, `gpu_hours`, `cost`, `goodput`, `tokens` (kept), `mfu` and rates (means over held
        time), `loss`, `accuracy`, `f1` (the last ones), `cost_per_accuracy_point`, `cost_per_f1_point`,
        `cost_per_million_tokens` [money]; a point is 0.01. NaN where nothing tells.
    """
    frame = attempts.sort_values(["run", "number"])
    weight = frame["gpus"].fillna(1)
    frame = frame.assign(useful=frame["useful_seconds"] * weight, held=frame["held_seconds"] * weight,
                         hours=frame["held_seconds"] / 3600, requeued=frame["restarts"].fillna(0))  # fmt: skip
    by = frame.groupby("run")
    found = by.agg(
        project=("project", "first"), model=("model", "first"), gpu_model=("gpu_model", "first"), gpus=("gpus", "max"),
        attempts=("number", "size"), requeued=("requeued", "sum"), status=("state", "last"),
        diverged=("diverged", "first"), start_time=("start_time", "min"), end_time=("end_time", "max"),
        last_step=("last_step", "max"),
    )  # fmt: skip
    sums = by[["hours", "gpu_hours", "cost", "tokens"]].sum(min_count=1).rename(columns={"hours": "held_hours"})
    found = found.join(sums)
    measured = frame[frame["useful"].notna()].groupby("run")[["useful", "held"]].sum()
    found["goodput"] = measured["useful"] / measured["held"].where(measured["held"] > 0)
    found["restarts"] = found["attempts"] - 1 + found.pop("requeued").astype(int)
    found["elapsed_hours"] = (found["end_time"] - found["start_time"]).dt.total_seconds() / 3600
    found["status"] = found["status"].mask(found["diverged"], DIVERGED)
    found["succeeded"] = found["status"] == "COMPLETED"
    found = found.join(_values(frame, points))
    for result in ("accuracy", "f1"):
        score = found[result].where(found[result] > 0)
        found[f"cost_per_{result}_point"] = found["cost"] / (100 * score)
    found["cost_per_million_tokens"] = found["cost"] / (found["tokens"].where(found["tokens"] > 0) / 1e6)
    return found.reset_index().sort_values(["cost", "gpu_hours", "run"], ascending=[False, False, True],
                                           ignore_index=True)  # fmt: skip


def _values(frame: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """The last results and the mean rates of every run."""
    told = points.merge(frame[[*ATTEMPT, "run", "number", "held"]], on=ATTEMPT)
    told = told.sort_values(["run", "number", "step", "time"])
    last = told[told["metric"].isin(RESULTS)].groupby(["run", "metric"])["value"].last().unstack()
    rates = told[told["metric"].isin(RATES) & np.isfinite(told["value"]) & (told["value"] > 0)]
    means = rates.groupby(["run", *ATTEMPT, "metric"]).agg(value=("value", "mean"), held=("held", "first"))
    means = means.assign(part=means["value"] * means["held"], held=means["held"]).groupby(["run", "metric"])
    sums = means[["part", "held"]].sum()
    rate = (sums["part"] / sums["held"].where(sums["held"] > 0)).unstack()
    values = last.reindex(columns=list(RESULTS)).join(rate.reindex(columns=list(RATES)), how="outer")
    # a share beyond 1 is logged in per cent
    values["mfu"] = values["mfu"].where(~(values["mfu"] > 1), values["mfu"] / 100)
    return values


def cost_per_success(runs: pd.DataFrame, by: str) -> pd.DataFrame:
    """What a successful run costs, with what failed, diverged or goes on.

    Parameters
    ----------
    runs : of `summary`; by : its column to group by.

    Returns
    -------
    DataFrame : `by`, `runs`, `succeeded`, `attempts`, `gpu_hours`, `cost`, `cost_of_failed`,
        `cost_per_successful_run` (all cost over successful runs; NaN where none succeeded), `tokens`,
        `cost_per_million_tokens`.
    """
    failed = ~runs["succeeded"] & (runs["status"] != GOES_ON)
    frame = runs.assign(cost_of_failed=runs["cost"].where(failed, 0.0), succeeded=runs["succeeded"].astype(int),
                        token_cost=runs["cost"].where(runs["tokens"].notna()))  # fmt: skip
    columns = ["succeeded", "attempts", "gpu_hours", "cost", "cost_of_failed", "tokens", "token_cost"]
    found = frame.groupby(by, dropna=False)[columns].sum(min_count=1)
    found.insert(0, "runs", frame.groupby(by, dropna=False).size())
    found["cost_per_successful_run"] = found["cost"] / found["succeeded"].where(found["succeeded"] > 0)
    found["cost_per_million_tokens"] = found.pop("token_cost") / (found["tokens"].where(found["tokens"] > 0) / 1e6)
    return found.reset_index().sort_values("cost", ascending=False, ignore_index=True)


def smoothed(values: np.ndarray, smoothing: float) -> np.ndarray:
    """Exponential moving average, corrected for its start; infinities and NaN stay and are passed over.

    y = sum(s^k * x[n-k]) / sum(s^k), k = 0 ... n.

    Parameters
    ----------
    values : in order; smoothing : s, decimal in [0, 1).
    """
    s = share("smoothing", smoothing)
    values = np.asarray(values, dtype=float)
    total = weight = 0.0
    found = values.copy()
    for position, value in enumerate(values):
        if np.isfinite(value):
            total, weight = s * total + value, s * weight + 1
            found[position] = total / weight
    return found


def curve(
    attempts: pd.DataFrame, points: pd.DataFrame, metric: str, x: str = "step", smoothing: float = 0.0
) -> pd.DataFrame:
    """A metric of each run along its steps, its hours, its GPU-hours or its money, all attempts behind one another.

    Parameters
    ----------
    attempts : of `useful`, of the runs that are shown, with `gpus`, `gpu_hours` and `cost`.
    x : step, hours, gpu_hours or cost; those but `step` count what the attempts held up to then.

    Returns
    -------
    DataFrame : `run`, `number` (of the attempt), `x`, `value` (as logged), `smooth`, in order; no row that is not
        finite.
    """
    order = attempts.sort_values(["run", "number"])
    whole = {
        "step": 0.0,
        "hours": order["held_seconds"] / 3600,
        "gpu_hours": order["gpu_hours"],
        "cost": order["cost"],
    }[x]
    order = order.assign(whole=whole)[[*ATTEMPT, "run", "number", "start_time", "held_seconds", "whole"]]
    order["used"] = order.groupby("run")["whole"].cumsum() - order["whole"]
    told = points[(points["metric"] == metric) & np.isfinite(points["value"])].merge(order, on=ATTEMPT)
    told = told.sort_values(["run", "number", "step", "time"], ignore_index=True)
    if x == "step":
        told["x"] = told["step"].astype(float)
    else:
        seconds = (told["time"] - told["start_time"]).dt.total_seconds()
        told["x"] = told["used"] + told["whole"] * seconds / told["held_seconds"]
    frame = told.dropna(subset="x")[["run", "number", "x", "value"]].reset_index(drop=True)
    frame["smooth"] = frame.groupby("run")["value"].transform(lambda values: smoothed(values.to_numpy(), smoothing))
    return frame
