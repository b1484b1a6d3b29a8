"""Run times predicted from what had been seen when a job was submitted, and replays that plan with them."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numba import njit

from dcbudget.errors import OutOfRange
from dcbudget.models.ranges import positive
from dcbudget.models.replay.cluster import Cluster
from dcbudget.models.replay.policies import Policy
from dcbudget.models.replay.result import Replay
from dcbudget.models.replay.run import replay

# Whose history tells of a job, the nearest first: that of its user's jobs of its size, then wider ones.
LEVELS = (
    ("user_id", "gpus"), ("user_id",), ("project", "gpus"), ("project",), ("gpus",), (),
)  # fmt: skip
BASES = (
    "user and size", "user", "project and size", "project", "size", "everybody", "requested", "unknown",
)  # fmt: skip
# Of a user the last two jobs tell, of others the mean of all: run times of one user come in series.
OF_A_USER, LAST = 2, 2


class Predicted(NamedTuple):
    """A replay that planned with predictions.

    Attributes
    ----------
    replay : what came of it.
    predictions : `predicted_seconds` and `basis` by job (see `predict`).
    ended : when jobs counted as ended, seconds since the first submission; no job ended later.
    rounds : how often the log was replayed until no prediction stood on a job that had not ended.
    """

    replay: Replay
    predictions: pd.DataFrame
    ended: np.ndarray
    rounds: int


def predict(jobs: pd.DataFrame, ended, *, requested=None, unknown_seconds: float | None = None) -> pd.DataFrame:
    """The run time of each job as its history told it at its submission.

    Only jobs that had ended by then count, so that nothing stands on the future. Of the user's own jobs of the same
    size the mean of the last two, else of the user's own jobs of any size (Tsafrir, Etsion and Feitelson 2007,
    "Backfilling using system-generated predictions"); else the mean of the project's, of all jobs of the size, of all.

    Parameters
    ----------
    jobs : `submit_time`, `gpus`, `elapsed_seconds`, and `user_id` and `project` where they are known.
    ended : when each job ended: timestamps, or seconds, as `submit_time` is.
    requested : seconds asked for, by job; no prediction exceeds it, and it is taken where there is no history.
    unknown_seconds : what a job without any history is taken to run, where nothing is requested.

    Returns
    -------
    DataFrame with the log's index: `predicted_seconds`, `basis` (one of `BASES`).

    Raises
    ------
    OutOfRange : nothing tells of the first jobs, or a value lies outside its range.
    """
    if requested is None and unknown_seconds is None:
        raise OutOfRange("unknown_seconds must be given where no times are requested: nothing tells of the first jobs")
    guess = positive("unknown_seconds", unknown_seconds) if unknown_seconds is not None else np.nan
    asked = np.full(len(jobs), np.nan) if requested is None else _asked(jobs, requested)
    submit = _seconds(jobs["submit_time"], jobs["submit_time"].min())
    end = _seconds(pd.Series(ended), jobs["submit_time"].min())
    known = ~np.isnan(end)
    codes = np.stack([_codes(jobs, level) for level in LEVELS])
    ends = np.flatnonzero(known)[np.argsort(end[known], kind="stable")]
    arrivals = np.argsort(submit, kind="stable")
    elapsed = jobs["elapsed_seconds"].to_numpy(dtype=float)
    found, basis = _learn(submit, end, elapsed, codes, arrivals, ends)
    without = np.isnan(found)
    basis[without] = np.where(np.isnan(asked[without]), len(LEVELS) + 1, len(LEVELS))
    found[without] = np.where(np.isnan(asked[without]), guess, asked[without])
    found = np.fmin(found, asked)
    if np.isnan(found).any():
        raise OutOfRange("unknown_seconds must be given: some jobs have neither a history nor a requested time")
    # a job that was seen to end at once is not planned for no time
    return pd.DataFrame(
        {"predicted_seconds": np.maximum(found, 1.0), "basis": np.array(BASES, dtype=object)[basis]}, index=jobs.index
    )


def replay_predicted(
    jobs: pd.DataFrame,
    cluster: Cluster,
    policy: Policy,
    *,
    requested=None,
    unknown_seconds: float | None = None,
    **how,
) -> Predicted:
    """A replay that plans with predictions, each from jobs that had ended in this very replay.

    When jobs end depends on the policy, and the policy's plans on the jobs that have ended. Ends are therefore taken at
    their latest over the rounds so far, and the log is replayed until every job that a prediction stands on had ended:
    histories only shrink, so the rounds come to an end.

    Parameters
    ----------
    policy : one that plans by requested times, such as shortest first or EASY backfill.
    requested, unknown_seconds : see `predict`.
    how : further arguments of `replay`.
    """
    elapsed = how.get("elapsed", "elapsed_seconds")
    known = jobs.assign(elapsed_seconds=jobs[elapsed] if isinstance(elapsed, str) else elapsed)
    span = known["elapsed_seconds"].to_numpy(dtype=float)
    origin = jobs["submit_time"].min()
    submit = _seconds(jobs["submit_time"], origin)
    known = known.assign(submit_time=submit)
    latest = submit + span
    rounds = 0
    while True:
        rounds += 1
        told = predict(known, latest, requested=requested, unknown_seconds=unknown_seconds)
        found = replay(jobs, cluster, policy, requested=told["predicted_seconds"].to_numpy(), **how)
        ends = np.maximum(latest, found.end)
        # what was believed to have ended by a submission that it outlived
        if not _believed_too_early(submit, latest, ends):
            return Predicted(found, told, ends, rounds)
        latest = ends


def prediction_error(predicted, elapsed) -> dict[str, float]:
    """How far predictions are from run times.

    Parameters
    ----------
    predicted, elapsed : seconds, shape (jobs,).

    Returns
    -------
    `mean_absolute_error_seconds`, `median_absolute_error_seconds`, `bias` (sum of predictions over sum of run times,
    less 1), `underestimated_share` of jobs, and `accuracy`: the mean of the lesser over the greater of both, 1 at best
    (Tsafrir, Etsion and Feitelson 2007).
    """
    predicted = np.asarray(positive("predicted", predicted))
    elapsed = np.asarray(elapsed, dtype=float)
    error = np.abs(predicted - elapsed)
    return {
        "mean_absolute_error_seconds": float(error.mean()),
        "median_absolute_error_seconds": float(np.median(error)),
        "bias": float(predicted.sum() / elapsed.sum() - 1) if elapsed.sum() > 0 else np.nan,
        "underestimated_share": float((predicted < elapsed).mean()),
        "accuracy": float((np.minimum(predicted, elapsed) / np.maximum(predicted, elapsed)).mean()),
    }


def _believed_too_early(submit: np.ndarray, believed: np.ndarray, ends: np.ndarray) -> bool:
    """Whether a job was submitted between a job's believed end and its real one."""
    arrivals = np.sort(submit)
    return bool((np.searchsorted(arrivals, believed, "left") < np.searchsorted(arrivals, ends, "left")).any())


def _asked(jobs: pd.DataFrame, requested) -> np.ndarray:
    if isinstance(requested, str):
        if requested not in jobs:
            raise OutOfRange(f"requested must be a column of the log or seconds by job; there is no {requested!r}")
        requested = jobs[requested]
    asked = np.broadcast_to(np.asarray(requested, dtype=float), len(jobs)).copy()
    if (asked <= 0).any():
        raise OutOfRange(f"requested must be above 0, not {asked[asked <= 0][0]:g}")
    return asked


def _codes(jobs: pd.DataFrame, level: tuple[str, ...]) -> np.ndarray:
    """Who shares a history, numbered; -1 where it is not known whose it is."""
    if not level:
        return np.zeros(len(jobs), np.int64)
    if any(column not in jobs for column in level):
        return np.full(len(jobs), -1)
    together = jobs[list(level)]
    codes = together.groupby(list(level), sort=False, observed=True).ngroup().to_numpy()
    return np.where(together.isna().any(axis=1), -1, codes).astype(np.int64)


def _seconds(moments: pd.Series, origin) -> np.ndarray:
    if pd.api.types.is_datetime64_any_dtype(moments):
        return ((moments - origin) / pd.Timedelta(seconds=1)).to_numpy(dtype=float)
    return moments.to_numpy(dtype=float) - (0.0 if isinstance(origin, pd.Timestamp) else float(origin))


@njit(cache=True)
def _learn(submit, end, elapsed, codes, arrivals, ends):
    """Predictions, NaN where nothing is known, and the level that each stands on."""
    levels, n = codes.shape
    groups = codes.max() + 1
    seen = np.zeros((levels, groups), np.int64)
    total = np.zeros((levels, groups))
    recent = np.zeros((levels, groups, LAST))
    found, basis = np.full(n, np.nan), np.zeros(n, np.int64)
    ended = 0
    for job in arrivals:
        while ended < len(ends) and end[ends[ended]] <= submit[job]:
            done = ends[ended]
            ended += 1
            for level in range(levels):
                group = codes[level, done]
                if group >= 0:
                    recent[level, group, seen[level, group] % LAST] = elapsed[done]
                    seen[level, group] += 1
                    total[level, group] += elapsed[done]
        for level in range(levels):
            group = codes[level, job]
            if group < 0 or seen[level, group] == 0:
                continue
            if level < OF_A_USER:
                count = min(seen[level, group], LAST)
                mean = 0.0
                for k in range(count):
                    mean += recent[level, group, k]
                found[job] = mean / count
            else:
                found[job] = total[level, group] / seen[level, group]
            basis[job] = level
            break
    return found, basis
