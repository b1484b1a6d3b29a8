"""A log of jobs as arrays: what it holds, what is told beside it, and what cannot be replayed."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models.replay.cluster import PARTS_OF_A_GPU, Cluster


@dataclass(frozen=True)
class Log:
    """Arrays by job, in the log's order; times in seconds since the first submission.

    Attributes
    ----------
    jobs : the log itself.
    origin : the first submission, as the log tells it.
    submit, elapsed : seconds.
    units, units_per_gpu : GPUs in whole units, and how many units a GPU has.
    pool : position in the cluster's pools.
    """

    jobs: pd.DataFrame
    origin: object
    submit: np.ndarray
    elapsed: np.ndarray
    units: np.ndarray
    units_per_gpu: int
    pool: np.ndarray

    @property
    def gpus(self) -> np.ndarray:
        """GPUs of each job."""
        return self.units / self.units_per_gpu

    def seconds(self, name: str, value) -> np.ndarray:
        """Moments since the first submission [seconds]: a column, an array or one value; NaN where there is none."""
        found = _column(self.jobs, name, value)
        return _since(found, self.origin, name)

    def numbers(self, name: str, value, low: float, high: float = np.inf, *, above: bool = False) -> np.ndarray:
        """A number a job: a column's name, an array or one value.

        Raises
        ------
        OutOfRange : a job has none, or one outside the range.
        """
        found = np.asarray(pd.to_numeric(pd.Series(_column(self.jobs, name, value)), errors="coerce"), dtype=float)
        good = (found > low if above else found >= low) & (found <= high)
        if not good.all():
            floor = f"above {low:g}" if above else f"at least {low:g}"
            what = "none" if np.isnan(found[~good][0]) else f"{found[~good][0]:g}"
            raise OutOfRange(
                f"{name} must be a number {floor} for every job; {(~good).sum():,} of {len(found):,} differ, the "
                f"first, {_job(self.jobs, np.flatnonzero(~good)[0])}, has {what}"
            )
        return found


def read(jobs: pd.DataFrame, cluster: Cluster, *, elapsed=None, pool=None) -> Log:
    """The log as arrays.

    Parameters
    ----------
    jobs : one row a job, as in the table `jobs`: `submit_time` (timestamps, or seconds), `gpus`, and `elapsed_seconds`
        or `start_time` and `end_time`; `gpu_model` where pools differ by it.
    cluster : its pools' models decide where a job runs, unless `pool` tells it.
    elapsed : run times in place of the log's: a column's name, seconds by job, or one value.
    pool : names of pools: a column's name, an array, or one name.

    Raises
    ------
    OutOfRange : the log is empty, lacks a column or a value, ends a job before its start, holds a job without GPUs or
        one that is larger than its pool.
    """
    if not len(jobs):
        raise OutOfRange("the log must hold at least one job, it is empty")
    for column in ("submit_time", "gpus"):
        if column not in jobs:
            raise OutOfRange(f"the log must have a column {column}; it has {', '.join(map(str, jobs.columns))}")
    if jobs["submit_time"].isna().any():
        at = np.flatnonzero(jobs["submit_time"].isna())[0]
        raise OutOfRange(f"submit_time must be told for every job, {_job(jobs, at)} has none")
    origin = jobs["submit_time"].min()
    submit = _since(jobs["submit_time"], origin, "submit_time")
    log = Log(jobs, origin, submit, submit, np.empty(0), 1, np.empty(0))
    ran = log.numbers("elapsed", elapsed, 0, 1e12) if elapsed is not None else _elapsed(log)
    units, units_per_gpu = _units(log)
    places = _pools(jobs, cluster, pool)
    _fits(jobs, cluster, units, units_per_gpu, places)
    return Log(jobs, origin, submit, ran, units, units_per_gpu, places)


def _job(jobs: pd.DataFrame, at: int) -> str:
    """How a job is called in a message."""
    if "job_id" in jobs:
        return f"job {jobs['job_id'].iloc[at]}"
    return f"row {at + 1}"


def _column(jobs: pd.DataFrame, name: str, value):
    """The values of a column, of an array that has one a job, or of one value for all."""
    if isinstance(value, str):
        if value not in jobs:
            raise OutOfRange(f"{name} must be a column of the log, values by job or one value; there is no {value!r}")
        return jobs[value].to_numpy()
    found = np.asarray(value)
    if found.ndim == 0:
        return np.full(len(jobs), value)
    if found.shape != (len(jobs),):
        raise OutOfRange(f"{name} must have one value for each of the {len(jobs):,} jobs, not {found.shape}")
    return found


def _since(values, origin, name: str) -> np.ndarray:
    series = pd.Series(np.asarray(values) if not isinstance(values, pd.Series) else values)
    if pd.api.types.is_datetime64_any_dtype(series):
        if not isinstance(origin, pd.Timestamp):
            raise OutOfRange(f"{name} must be seconds, as submit_time is, not timestamps")
        if (series.dt.tz is None) != (origin.tz is None):
            raise OutOfRange(f"{name} and submit_time must both have a time zone, or neither")
        return ((series - origin) / pd.Timedelta(seconds=1)).to_numpy(dtype=float)
    if isinstance(origin, pd.Timestamp) and not series.isna().all():
        raise OutOfRange(f"{name} must be timestamps, as submit_time is")
    found = np.asarray(pd.to_numeric(series, errors="coerce"), dtype=float)
    return found if isinstance(origin, pd.Timestamp) else found - float(origin)


def _elapsed(log: Log) -> np.ndarray:
    """Run times by the log: its own, else end less start."""
    jobs = log.jobs
    span = None
    if "start_time" in jobs and "end_time" in jobs:
        span = log.seconds("end_time", "end_time") - log.seconds("start_time", "start_time")
        if (span < 0).any():
            at = np.flatnonzero(span < 0)[0]
            raise OutOfRange(f"end_time must not be before start_time; {_job(jobs, at)} ends {-span[at]:g} s before it")
    if "elapsed_seconds" in jobs:
        return log.numbers("elapsed_seconds", "elapsed_seconds", 0, 1e12)
    if span is None:
        raise OutOfRange("the log must have a column elapsed_seconds, or start_time and end_time, or elapsed be given")
    return log.numbers("end_time less start_time", span, 0, 1e12)


def _units(log: Log) -> tuple[np.ndarray, int]:
    gpus = log.numbers("gpus", "gpus", 0, 1e9, above=True)
    if (gpus == np.floor(gpus)).all():
        return gpus.astype(np.int64), 1
    units = np.round(gpus * PARTS_OF_A_GPU)
    return np.maximum(units, 1).astype(np.int64), PARTS_OF_A_GPU


def _pools(jobs: pd.DataFrame, cluster: Cluster, pool) -> np.ndarray:
    """The position of each job's pool."""
    names = [one.name for one in cluster.pools]
    if pool is not None:
        found = np.full(len(jobs), pool) if isinstance(pool, str) and pool not in jobs else _column(jobs, "pool", pool)
        places = pd.Index(names).get_indexer(found)
        if (places < 0).any():
            at = np.flatnonzero(places < 0)[0]
            raise OutOfRange(f"pool must be one of {', '.join(names)}; {_job(jobs, at)} has {found[at]}")
        return places
    models = [one.gpu_model for one in cluster.pools]
    if len(models) == 1 and models[0] is None:
        return np.zeros(len(jobs), np.int64)
    if None in models or len(set(models)) < len(models):
        raise OutOfRange("where several pools could take a job, pool must tell which takes it")
    if "gpu_model" not in jobs:
        raise OutOfRange("the log must have a column gpu_model where pools are told apart by it, or pool be given")
    places = pd.Index(models).get_indexer(jobs["gpu_model"])
    if (places < 0).any():
        at = np.flatnonzero(places < 0)[0]
        raise OutOfRange(
            f"gpu_model must be that of a pool ({', '.join(models)}); {(places < 0).sum():,} of {len(jobs):,} jobs "
            f"have another, the first, {_job(jobs, at)}, {jobs['gpu_model'].iloc[at]}"
        )
    return places


def _fits(jobs: pd.DataFrame, cluster: Cluster, units, units_per_gpu, places) -> None:
    most = np.array([pool.gpus for pool in cluster.pools])[places] * units_per_gpu
    if (units > most).any():
        at = np.flatnonzero(units > most)[0]
        pool = cluster.pools[places[at]]
        raise OutOfRange(
            f"gpus must be at most the {pool.gpus:,} of pool {pool.name}; {(units > most).sum():,} of {len(jobs):,} "
            f"jobs ask for more, the first, {_job(jobs, at)}, for {units[at] / units_per_gpu:g}"
        )
