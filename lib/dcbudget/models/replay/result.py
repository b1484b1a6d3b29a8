"""What came of a replay: job by job, what held which GPUs, and the field's metrics."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from dcbudget.models.replay import metrics
from dcbudget.models.replay.cluster import Cluster
from dcbudget.models.replay.log import Log
from dcbudget.models.replay.policies import Policy


@dataclass(frozen=True)
class PoolRun:
    """One pool's replay: arrays by job (`rows` of the log), and by what was held (`held_...`); seconds, and units.

    `free_...` and `held_by_nodes` are unit-seconds (see `engine`).
    """

    rows: np.ndarray
    start: np.ndarray
    end: np.ndarray
    lost: np.ndarray
    restarted: np.ndarray
    preemptions: np.ndarray
    held_job: np.ndarray
    held_node: np.ndarray
    held_units: np.ndarray
    held_from: np.ndarray
    held_to: np.ndarray
    free_while_waiting: float = 0.0
    free_in_parts: float = 0.0
    held_by_nodes: float = 0.0
    promised: np.ndarray | None = None

    @classmethod
    def empty(cls) -> "PoolRun":
        """A pool without jobs."""
        whole, real = np.empty(0, np.int64), np.empty(0)
        return cls(whole, real, real, real, real, whole, whole, whole, real, real, real)


@dataclass(frozen=True)
class Replay:
    """A replayed log.

    Attributes
    ----------
    log, cluster, policy, placement : what was replayed, where and how.
    runs : one a pool.
    due : deadlines in seconds since the first submission, NaN where a job has none; None where none were given.
    """

    log: Log
    cluster: Cluster
    policy: Policy
    placement: str
    runs: list[PoolRun]
    due: np.ndarray | None = None

    def by_job(self, name: str) -> np.ndarray:
        """An array of the pools' runs in the log's order."""
        parts = [getattr(run, name) for run in self.runs]
        found = np.empty(len(self.log.submit), parts[0].dtype)
        for run, part in zip(self.runs, parts, strict=True):
            found[run.rows] = part
        return found

    @cached_property
    def start(self) -> np.ndarray:
        """First start of each job, seconds since the first submission."""
        return self.by_job("start")

    @cached_property
    def end(self) -> np.ndarray:
        """Last end of each job, seconds since the first submission."""
        return self.by_job("end")

    @cached_property
    def held_seconds(self) -> np.ndarray:
        """Time that each job held GPUs: its run time, what preemptions lost, and restarts."""
        return self.log.elapsed + self.by_job("lost") + self.by_job("restarted")

    @cached_property
    def jobs(self) -> pd.DataFrame:
        """One row a job, with the log's index: `pool`, `start_time`, `end_time` (as the log tells times),
        `wait_seconds` (not on GPUs: to the first start, and after preemptions), `jct_seconds` (submission to end),
        `slowdown`, `bounded_slowdown`, `preemptions`, `lost_gpu_hours`, `gpu_hours`, and `deadline_missed` where
        deadlines were given (missing where a job has none).
        """
        log = self.log
        jct = self.end - log.submit
        # without preemption exactly what start less submission gives
        wait = np.where(self.by_job("preemptions") > 0, jct - self.held_seconds, self.start - log.submit)
        found = pd.DataFrame(
            {
                "pool": np.array([pool.name for pool in self.cluster.pools], dtype=object)[log.pool],
                "start_time": self._moments(self.start),
                "end_time": self._moments(self.end),
                "wait_seconds": wait,
                "jct_seconds": jct,
                "slowdown": metrics.slowdown(jct, log.elapsed),
                "bounded_slowdown": metrics.bounded_slowdown(jct, log.elapsed),
                "preemptions": self.by_job("preemptions"),
                "lost_gpu_hours": (self.by_job("lost") + self.by_job("restarted")) * log.gpus / 3600,
                "gpu_hours": self.held_seconds * log.gpus / 3600,
            },
            index=log.jobs.index,
        )
        if self.due is not None:
            missed = pd.array(self.end > self.due, dtype="boolean")
            missed[np.isnan(self.due)] = pd.NA
            found["deadline_missed"] = missed
        return found

    @cached_property
    def placements(self) -> pd.DataFrame:
        """One row for all that a job held on one node from a start to an end or a preemption: `row` (of the log, from
        0), `pool`, `node` (-1 where nodes were not told apart), `gpus`, `from_seconds`, `to_seconds`.
        """
        return pd.concat(
            [
                pd.DataFrame(
                    {
                        "row": run.held_job,
                        "pool": pool.name,
                        "node": run.held_node if self.placement != "count" else -1,
                        "gpus": run.held_units / self.log.units_per_gpu,
                        "from_seconds": run.held_from,
                        "to_seconds": run.held_to,
                    }
                )
                for run, pool in zip(self.runs, self.cluster.pools, strict=True)
            ],
            ignore_index=True,
        )

    @cached_property
    def _metrics(self) -> dict[str, float]:
        return metrics.of(self)

    def metrics(self) -> dict[str, float]:
        """The field's metrics (see `metrics.of`), computed once."""
        return dict(self._metrics)

    def by(self, column) -> pd.DataFrame:
        """Metrics by the values of a column of the log, or of an array (see `metrics.by`)."""
        return metrics.by(self, column)

    def _moments(self, seconds: np.ndarray):
        if isinstance(self.log.origin, pd.Timestamp):
            return self.log.origin + pd.to_timedelta(np.round(seconds * 1e6).astype(np.int64), unit="us")
        return seconds + self.log.origin
