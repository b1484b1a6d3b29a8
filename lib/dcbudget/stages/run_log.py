"""The training runs of a month as 5_monitor reads them: attempts, logged values and what they cost, up to its end."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import pandas as pd

from dcbudget import warehouse
from dcbudget.models import bottlenecks, calibration, training_runs
from dcbudget.stages.reading import Reading

# Months before the month in which an attempt of one of its runs may lie.
BEFORE = 3
# Values of one metric of one attempt that are read at most.
POINTS = 400
# What tables need; charts may ask for others.
METRICS = (*training_runs.RESULTS, *training_runs.RATES)
# Runs of `dcbudget measure` are experiments about strategies, of no project.
MEASURED = "measure-"


class RunLog:
    """Runs that ran in a month, with all their attempts, as it ends.

    Parameters
    ----------
    reading : the database in one currency.
    month : first day.
    named : run -> patterns of the logs that are its attempts.
    """

    def __init__(self, reading: Reading, month: pd.Timestamp, named: Mapping[str, Sequence[str]] | None = None):
        self.reading, self.db, self.month = reading, reading.db, month
        self.named = dict(named or {})
        self.end = month + pd.DateOffset(months=1)
        self.first = month - pd.DateOffset(months=BEFORE)

    @cached_property
    def raw(self) -> pd.DataFrame:
        """Attempts that began before the month's end, and logs without any time, which are of no month."""
        frame = warehouse.query(
            "select * from run_attempts where (start_time < $1 and coalesce(end_time, start_time) >= $2"
            " or start_time is null) and not starts_with(run_id, $3) order by start_time, run_id, attempt",
            self.db,
            [self.end.to_pydatetime(), self.first.to_pydatetime(), MEASURED],
        )
        frame[["start_time", "end_time"]] = frame[["start_time", "end_time"]].astype("datetime64[us]")
        late = frame["end_time"] > self.end
        frame["end_time"] = frame["end_time"].mask(late, self.end)
        frame["state"] = frame["state"].mask(late, training_runs.GOES_ON)
        hours = (frame["end_time"] - frame["start_time"]).dt.total_seconds() / 3600
        frame["gpu_hours"] = frame["gpus"] * hours
        frame["project"] = frame["project"].replace(self.reading.names)
        return frame

    def points(self, metrics: Sequence[str]) -> pd.DataFrame:
        """Logged values of the attempts, thinned, up to the month's end."""
        frame = warehouse.query(
            "with attempts as (select *, count(*) over (partition by run_id) as attempts from run_attempts"
            " where (start_time < $1 and coalesce(end_time, start_time) >= $2 or start_time is null)"
            " and not starts_with(run_id, $3)),"
            " found as (select run_id, attempt, step, time, metric, value, row_number() over w as place,"
            " count(*) over (partition by run_id, attempt, metric) as n from run_metrics join attempts using (run_id)"
            " where list_contains($4, metric) and (time < $1 or time is null) and (attempts = 1 or time >= start_time"
            " and time < end_time and coalesce(run_metrics.job_id = attempts.job_id, true))"
            " window w as (partition by run_id, attempt, metric order by time, step))"
            " select run_id, attempt, step, time, metric, value from found"
            " where n <= $5 or place = n or place % ceil(n / $5) = 1 order by run_id, attempt, metric, time, step",
            self.db,
            [self.end.to_pydatetime(), self.first.to_pydatetime(), MEASURED, list(metrics), POINTS],
        )
        frame["time"] = frame["time"].astype("datetime64[us]")
        return frame

    @cached_property
    def values(self) -> pd.DataFrame:
        return self.points(METRICS)

    @cached_property
    def costs(self) -> pd.DataFrame:
        """Money of every attempt up to the month's end, NaN where no bill is of its pool."""
        frame = warehouse.query(
            "select * from run_costs_monthly where month < $1 and list_contains($2, run_id)",
            self.db,
            [self.end.to_pydatetime(), sorted(self.raw["run_id"].unique())],
        )
        frame = self.reading.convert(frame[frame["currency"].notna()].copy(), ["effective_cost"])
        keys = [*training_runs.ATTEMPT]
        return frame.groupby(keys, as_index=False)["effective_cost"].sum().rename(columns={"effective_cost": "cost"})

    @cached_property
    def attempts(self) -> pd.DataFrame:
        """Every attempt with its run, its useful time and its cost."""
        frame = self.raw.merge(training_runs.spans(self.values), on=training_runs.ATTEMPT, how="left")
        frame = training_runs.families(frame, self.named)
        frame = frame.merge(self.costs, on=training_runs.ATTEMPT, how="left")
        return training_runs.useful(frame, self.values)

    def of_month(self, month: pd.Timestamp) -> pd.DataFrame:
        """The attempts of the runs that ran in a month, up to the end of the month that is looked at."""
        end = month + pd.DateOffset(months=1)
        ran = (self.attempts["start_time"] < end) & (self.attempts["end_time"] >= month)
        return self.attempts[self.attempts["run"].isin(self.attempts.loc[ran, "run"])]

    @cached_property
    def runs(self) -> pd.DataFrame:
        """A row a run of the month, the dearest first."""
        return training_runs.summary(self.of_month(self.month), self.values)

    @cached_property
    def undated(self) -> list[str]:
        """Runs whose log tells neither a time nor a job with one."""
        return sorted(self.attempts.loc[self.attempts["start_time"].isna(), "run"].unique())

    @cached_property
    def metrics(self) -> list[str]:
        """Metrics that runs log, those of the tables first."""
        frame = warehouse.query(
            "select metric, count(*) as n from run_metrics where not starts_with(run_id, $1)"
            " and (time is null or time < $2 and time >= $3) group by metric order by n desc, metric",
            self.db,
            [MEASURED, self.end.to_pydatetime(), self.first.to_pydatetime()],
        )
        found = frame["metric"].tolist()
        return [*(name for name in METRICS if name in found), *(name for name in found if name not in METRICS)]

    @cached_property
    def meters(self) -> pd.DataFrame:
        """What the logs of the month's runs tell of their steps, GPUs, disks and networks, by run."""
        mine = self.of_month(self.month)[["run_id", "run"]].drop_duplicates()
        frame = warehouse.query(
            "select * from run_meters where list_contains($1, run_id) order by run_id, quantity",
            self.db,
            [mine["run_id"].tolist()],
        ).merge(mine, on="run_id")
        logged = frame.loc[frame["quantity"] == "step_seconds", "run"]
        steps = bottlenecks.step_times(self.values).merge(mine, on="run_id")
        steps = steps[~steps["run"].isin(logged)].assign(quantity="step_seconds", mean=lambda told: told["p50"])
        return pd.concat([frame, steps], ignore_index=True)[["run", "quantity", "mean", "p50", "p95", "peak"]]

    @cached_property
    def usual_mfu(self) -> dict[str, float]:
        """The median MFU of the last twelve months' runs by GPU model, weighted by GPU-hours."""
        frame = warehouse.query(
            "select gpu_model, mean_mfu, run_attempts.gpu_hours from run_attempts join runs using (run_id)"
            " where mean_mfu > 0 and run_attempts.gpu_hours > 0 and gpu_model is not null"
            " and run_attempts.end_time >= $1 and run_attempts.end_time < $2 order by all",
            self.db,
            [(self.end - pd.DateOffset(months=12)).to_pydatetime(), self.end.to_pydatetime()],
        )
        return {model: calibration.quantiles(part["mean_mfu"], part["gpu_hours"]).value
                for model, part in frame.groupby("gpu_model")}  # fmt: skip

    @cached_property
    def tflops(self) -> dict[str, float]:
        """Peak of the GPU models at the training precision, of those that a datasheet tells."""
        frame = warehouse.query(
            "select gpu_model, coalesce(bf16_tflops, fp16_tflops, tf32_tflops, fp32_tflops)::double as tflops"
            " from accelerators where usual",
            self.db,
        )
        return frame.dropna().set_index("gpu_model")["tflops"].to_dict()

    @cached_property
    def failures(self) -> pd.DataFrame:
        """GPU-hours and node failures of the last twelve months, by pool."""
        return warehouse.query(
            "select cluster, gpu_model, sum(gpus * epoch(to_time - from_time) / 3600) as gpu_hours,"
            " count(*) filter (state = 'NODE_FAIL') as failures from gpu_jobs"
            " where to_time >= $1 and to_time < $2 group by all order by all",
            self.db,
            [(self.end - pd.DateOffset(months=12)).to_pydatetime(), self.end.to_pydatetime()],
        )

    @cached_property
    def drivers(self) -> list[str | None]:
        """Drivers of the approved budget lines."""
        frame = warehouse.query(
            "select distinct driver from budget_lines where status is distinct from 'draft'"
            " and driver is not null order by driver",
            self.db,
        )
        return frame["driver"].tolist()
