"""One month's jobs of one owned pool, as they can be replayed: who asked for how much, and what there was."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import pandas as pd

from dcbudget import warehouse
from dcbudget.errors import DcbudgetError, OutOfRange
from dcbudget.models.ranges import within
from dcbudget.models.replay import Checkpoint, Cluster, Pool
from dcbudget.stages.calibration import Calibration
from dcbudget.stages.period import named_values
from dcbudget.stages.reading import Reading

# What a job is planned to run by those policies that plan.
REQUESTED, PREDICTED, KNOWN = PLANNED_BY = ("requested times", "predicted times", "perfect knowledge")
# What is supposed where nothing is measured; the parameter `supposed` changes it.
SUPPOSED = {
    "waiting_price_per_hour": (80.0, 0.0, 1e6),  # money of a person who waits
    "people_share": (0.25, 0.0, 1.0),  # share of a job's wait in which a person waits for it
    "idle_power_share": (0.3, 0.0, 1.0),  # draw of an idle GPU over that of a busy one
    "checkpoint_minutes": (30.0, 0.0, 1e5),  # between the checkpoints of a job that may be preempted
    "restart_minutes": (5.0, 0.0, 1e5),
    "important_weight": (3.0, 1.0, 1e4),  # an hour that the important project waits counts as so many
    "unknown_job_hours": (1.0, 1e-3, 1e4),  # what a job without history and requested time is taken to run
}


def suppositions(told: Mapping | None) -> dict[str, float]:
    """`SUPPOSED` with what is told in its place.

    Raises
    ------
    OutOfRange : a name that there is not, or a value outside its range.
    """
    changes = named_values("supposed", told)
    if unknown := sorted(changes.keys() - SUPPOSED.keys()):
        raise OutOfRange(f"supposed has no {unknown[0]!r}; it has {', '.join(SUPPOSED)}")
    return {name: within(name, changes.get(name, value), low, high) for name, (value, low, high) in SUPPOSED.items()}


class JobLog:
    """The jobs of a month on one owned pool of GPUs.

    The log holds every GPU job that was submitted in the month and ran. Jobs that ran when the month began hold their
    GPUs from its first moment for the rest of their run; jobs that waited then are submitted a second later. What they
    had waited before does not count. A job that still runs counts as long as it had run. Jobs that never started are
    left out.

    Parameters
    ----------
    month : "YYYY-MM", "" for the latest that is billed to its end.
    partition : of the pool; "" for the owned pool whose jobs held most GPU-hours in the month.
    database : file, "" for the default one.
    currency : of every amount, "" for the only one there is.
    least_group : projects of fewer users are shown together.
    supposed : name -> value in place of what is supposed (see `SUPPOSED`).

    Raises
    ------
    DcbudgetError : no database, no such month or pool, or nobody used the pool in the month.
    """

    def __init__(
        self,
        month: str = "",
        partition: str = "",
        database: str = "",
        currency: str = "",
        least_group: int = 5,
        supposed: Mapping[str, float] | None = None,
    ):
        self.db = database or None
        self.supposed = suppositions(supposed)
        self.known = Calibration(month, database, currency)
        self.month, self.currency = self.known.month, self.known.currency
        self.end = self.month + pd.DateOffset(months=1)
        self.hours = float((self.end - self.month) / pd.Timedelta(hours=1))
        self.reading = Reading(database, currency, self.month, least_group)
        self._place = self._chosen(partition)
        self.name, self.gpu_model = self._place["name"], self._place["gpu_model"]
        self.cluster_name = self._place["cluster"]
        self.nodes, self.gpus_per_node = int(self._place["nodes"]), int(self._place["gpus_per_node"])
        self.gpus = self.nodes * self.gpus_per_node
        self.where = f"{self.name}, {self.month:%B %Y}"

    # The pool.

    @cached_property
    def pools(self) -> pd.DataFrame:
        """Owned pools in service in the month, the one whose jobs held most GPU-hours first.

        `name`, `cluster`, `partition`, `gpu_model`, `nodes`, `gpus_per_node`, `gpu_hours` of its jobs.
        """
        frame = warehouse.query(
            "select cluster, partition, gpu_model, gpus_per_unit, units from fleet where kind = 'server'"
            " and gpus_per_unit > 0 and gpu_model is not null and in_service_date < $2"
            " and coalesce(retire_date > $1, true)",
            self.db,
            [self.month.to_pydatetime(), self.end.to_pydatetime()],
        )
        keys = ["cluster", "partition", "gpu_model"]
        frame["gpus"] = frame["gpus_per_unit"] * frame["units"]
        pools = frame.groupby(keys, dropna=False, as_index=False).agg(
            gpus=("gpus", "sum"), gpus_per_node=("gpus_per_unit", "max")
        )
        pools["nodes"] = pools["gpus"] // pools["gpus_per_node"]
        pools["name"] = pools["partition"].fillna(pools["cluster"] + " " + pools["gpu_model"])
        held = warehouse.query(
            "select cluster, partition, gpu_model, sum(gpus * elapsed_seconds) / 3600 as gpu_hours from jobs"
            " where gpus > 0 and start_time is not null and submit_time >= $1 and submit_time < $2 group by all",
            self.db,
            [self.month.to_pydatetime(), self.end.to_pydatetime()],
        )
        pools["gpu_hours"] = [held.loc[_of_pool(held, pool), "gpu_hours"].sum() for pool in pools.to_dict("records")]
        return pools.sort_values(["gpu_hours", "name"], ascending=[False, True], ignore_index=True)

    def _chosen(self, partition: str) -> dict:
        pools = self.pools
        if pools.empty:
            raise DcbudgetError(f"the fleet ledger has no GPU servers in {self.month:%Y-%m}; load one that has")
        if partition:
            pools = pools[pools["name"] == partition]
            if pools.empty:
                known = ", ".join(self.pools["name"])
                raise OutOfRange(f"partition must be one of the owned pools {known}, not {partition!r}")
        return pools.iloc[0].to_dict()

    def pool(self, nodes: int | None = None) -> Pool:
        """The pool with so many nodes, its price and its draw; as many as it has where none is told."""
        idle = self.supposed["idle_power_share"]
        busy = self.watts / (self.utilisation + idle * (1 - self.utilisation))
        return Pool(
            self.name, nodes=self.nodes if nodes is None else nodes, gpus_per_node=self.gpus_per_node,
            price_per_gpu_hour=self.price, busy_watts_per_gpu=busy, idle_watts_per_gpu=idle * busy,
        )  # fmt: skip

    def cluster(self, nodes: int | None = None) -> Cluster:
        """The pool by itself."""
        return Cluster(self.pool(nodes))

    @property
    def checkpoint(self) -> Checkpoint:
        """What a preemption costs."""
        return Checkpoint(60 * self.supposed["checkpoint_minutes"], 60 * self.supposed["restart_minutes"])

    @cached_property
    def price(self) -> float:
        """Effective cost of an owned GPU-hour of capacity, power and staff included; NaN where nobody tells."""
        return float(self.known.price(self.gpu_model, "owned").value)

    @cached_property
    def utilisation(self) -> float:
        """GPU-hours that the log's jobs held within the month, of the pool's capacity."""
        jobs = self.jobs
        held = jobs["gpus"] * (jobs["recorded_end"].clip(upper=3600 * self.hours) - jobs["recorded_start"]).clip(
            lower=0
        )
        return float(min(held.sum() / 3600 / (self.gpus * self.hours), 1.0))

    @cached_property
    def watts(self) -> float:
        """Mean draw of a GPU of the pool in the month, at the hall's meter [W]; NaN where nobody tells."""
        energy = self.energy
        kwh = energy["kwh"].sum()
        every = self.pools[(self.pools["cluster"] == self._place["cluster"])
                           & (self.pools["gpu_model"] == self.gpu_model)]  # fmt: skip
        return float(1000 * kwh / (every["gpus"].sum() * self.hours)) if kwh > 0 else np.nan

    @cached_property
    def energy(self) -> pd.DataFrame:
        """Energy of the servers of this cluster and GPU model in the month: `kwh`, `effective_cost`, `kg_co2e`."""
        frame = self.reading.mart("energy_monthly", ["effective_cost"])
        return frame[(frame["month"] == self.month) & (frame["cluster"] == self._place["cluster"])
                     & (frame["gpu_model"] == self.gpu_model) & (frame["kind"] == "server")]  # fmt: skip

    # The jobs.

    @cached_property
    def jobs(self) -> pd.DataFrame:
        """One row a job, by submission: `job_id`, `project`, `user_id`, `gpus`, `submit_time`, `elapsed_seconds`,
        `requested_seconds`, `carried` (ran or waited when the month began), and as it was recorded `recorded_wait`,
        `recorded_start` and `recorded_end` [seconds since the month's begin].
        """
        frame = warehouse.query(
            "select job_id, cluster, partition, gpu_model, coalesce(project, 'Unallocated') as project, user_id, gpus,"
            " submit_time, start_time, elapsed_seconds, requested_seconds from jobs"
            " where gpus > 0 and start_time is not null and elapsed_seconds is not null and submit_time < $2"
            " and (submit_time >= $1 or start_time + to_microseconds(cast(elapsed_seconds * 1e6 as bigint)) > $1)"
            " order by submit_time, job_id",
            self.db,
            [self.month.to_pydatetime(), self.end.to_pydatetime()],
        )
        frame = frame[_of_pool(frame, self._place)].reset_index(drop=True)
        if frame.empty:
            raise DcbudgetError(f"no job ran on GPUs of {self.where}; choose another month or partition")
        frame = self.reading.prepare(frame.assign(month=self.month), []).drop(columns=["month", "cluster", "partition"])
        second = pd.Timedelta(seconds=1)
        start = ((frame["start_time"] - self.month) / second).to_numpy()
        ran_before = np.maximum(-start, 0.0)
        runs, waits = start < 0, (frame["submit_time"] < self.month).to_numpy() & (start >= 0)
        frame["carried"] = runs | waits
        frame.loc[runs, "submit_time"] = self.month
        frame.loc[waits, "submit_time"] = self.month + second
        frame["elapsed_seconds"] = frame["elapsed_seconds"] - ran_before
        left = (frame["requested_seconds"] - ran_before).clip(lower=1.0)
        frame["requested_seconds"] = left.where(frame["requested_seconds"] > 0)
        frame["recorded_start"] = np.maximum(start, 0.0)
        frame["recorded_end"] = frame["recorded_start"] + frame["elapsed_seconds"]
        submit = ((frame["submit_time"] - self.month) / second).to_numpy()
        frame["recorded_wait"] = np.maximum(frame["recorded_start"] - submit, 0.0)
        frame["submit_time"] = frame["submit_time"].astype("datetime64[us]")
        return frame.sort_values(["submit_time", "job_id"], kind="stable", ignore_index=True)

    @cached_property
    def projects(self) -> list[str]:
        """Projects of the log, the one that held most GPU-hours first."""
        hours = (self.jobs["gpus"] * self.jobs["elapsed_seconds"]).groupby(self.jobs["project"]).sum()
        return list(hours.sort_values(ascending=False, kind="stable").index)

    @cached_property
    def least_nodes(self) -> int:
        """Nodes that the largest job needs."""
        return int(np.ceil(self.jobs["gpus"].max() / self.gpus_per_node))

    @cached_property
    def remark(self) -> str:
        """What a title says of the log."""
        carried = int(self.jobs["carried"].sum())
        return f"{len(self.jobs):,} jobs, {carried:,} of them from before"

    def planned(self, by: str) -> str | None:
        """What a policy plans with: a column of the log, None where run times are predicted as the replay goes.

        Raises
        ------
        OutOfRange : no such way, or the log does not tell what was requested.
        """
        if by not in PLANNED_BY:
            raise OutOfRange(f"planned_by must be one of {', '.join(PLANNED_BY)}, not {by!r}")
        missing = int(self.jobs["requested_seconds"].isna().sum())
        if by == REQUESTED and missing:
            raise OutOfRange(
                f"planned_by must be {PREDICTED} or {KNOWN} on this log: {missing:,} of its {len(self.jobs):,} jobs"
                " tell no requested time"
            )
        return {REQUESTED: "requested_seconds", KNOWN: "elapsed_seconds", PREDICTED: None}[by]


def _of_pool(frame: pd.DataFrame, pool: Mapping) -> pd.Series:
    """Whether rows of jobs belong to a pool; one of no named partition takes its model's jobs of the cluster."""
    found = (frame["cluster"] == pool["cluster"]) & (frame["gpu_model"] == pool["gpu_model"])
    return found if pd.isna(pool["partition"]) else found & (frame["partition"] == pool["partition"])
