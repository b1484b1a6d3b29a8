"""5_monitor: what a longer or shorter checkpoint interval would make of a run."""

from collections.abc import Mapping
from functools import cached_property

import pandas as pd

from dcbudget.errors import DcbudgetError
from dcbudget.models import training_runs
from dcbudget.models.bottlenecks import Checkpoints, checkpoints
from dcbudget.models.performance.failures import PUBLISHED_MTBF_GPU_HOURS
from dcbudget.stages.monitor import Monitor
from dcbudget.stages.period import in_range
from dcbudget.tables import Headline

# Failures of a run, or of its pool, from which a rate is taken.
ENOUGH = 3
SETTINGS = {"interval_minutes": (0.0, 0, 10_000), "seconds": (60.0, 0, 36_000), "restart_minutes": (0.0, 0, 10_000)}
USUAL_INTERVAL_MINUTES, USUAL_RESTART_MINUTES = 60.0, 10.0


class Checkpointing:
    """Checkpoints of the runs of a month.

    Parameters
    ----------
    monitor : the month and its runs.
    settings : `interval_minutes` between two checkpoints, `seconds` that writing one stops the run, `restart_minutes`
        after a failure; 0 minutes: as measured.

    Raises
    ------
    DcbudgetError : a setting that there is not, or out of its range.
    """

    def __init__(self, monitor: Monitor, settings: Mapping[str, float] | None = None):
        self._monitor, self._log, self._runs = monitor, monitor.log, monitor.runs
        self.settings = _settings(settings or {})

    @cached_property
    def failing(self) -> str | None:
        """The run of the month whose failures cost most: the most restarts, then the most money."""
        long = self._runs[self._runs["gpus"].notna() & (self._runs["gpu_hours"] > 0)]
        return None if long.empty else long.sort_values(["restarts", "cost"], ascending=False)["run"].iloc[0]

    @property
    def names(self) -> list[str]:
        """Runs of the month whose checkpoints can be looked at, the most restarted first."""
        if self.failing is None:
            return []
        known = self._runs[self._runs["gpus"].notna() & (self._runs["gpu_hours"] > 0)]["run"]
        return [self.failing, *(run for run in known if run != self.failing)]

    def present_interval(self, run: str) -> float:
        """Whole minutes between two checkpoints of a run as they are."""
        return max(float(round(self.interval(run)[0])), 1.0)

    def found(self, run: str | None = None, interval_minutes: float | None = None) -> Checkpoints:
        """What another checkpoint interval would make of a run; the present one where none is given.

        Raises
        ------
        DcbudgetError : no such run, a value out of range, or failures so often that the run would not get on.
        """
        run = run or self.failing
        if run not in set(self._runs["run"]):
            raise DcbudgetError(f"no run{f' {run!r}' if run else ''} in {self._monitor.month:%Y-%m}")
        row = self._runs.set_index("run").loc[run]
        if run not in self.names:
            raise DcbudgetError(f"run {run} has no job, and so no GPU-hours that checkpoints could save")
        present = self.interval(run)[0]
        # a slider of whole minutes that stands where it began
        as_it_is = interval_minutes is None or interval_minutes == self.present_interval(run)
        minutes = in_range("interval_minutes", present if as_it_is else interval_minutes, 0.1, 10_000)
        price = 0.0 if pd.isna(row["cost"]) else row["cost"] / row["gpu_hours"]
        return checkpoints(
            max(row["gpus"], 1.0), self.mtbf(run)[0], 60 * present, 60 * minutes, self.settings["seconds"],
            60 * self._restart(run)[0], row["gpu_hours"], price,
        )  # fmt: skip

    def interval(self, run: str) -> tuple[float, str]:
        """Minutes between two checkpoints of a run, and how they are known: a failure repeats half of them."""
        if self.settings["interval_minutes"]:
            return self.settings["interval_minutes"], "as the parameters say"
        followed = self._attempts(run).iloc[:-1]
        lost = followed.loc[followed["state"].isin(training_runs.FAILED), "lost_seconds"].dropna()
        if len(lost) and lost.mean() > 0:
            minutes = max(2 * lost.mean() - self.settings["seconds"], 60.0) / 60
            return minutes, f"twice what its {len(lost)} restarts repeated on average"
        return USUAL_INTERVAL_MINUTES, "supposed; no restart tells"

    def mtbf(self, run: str) -> tuple[float, str]:
        """GPU-hours between two failures of a run, and how they are known."""
        mine = self._attempts(run)
        failures = int(mine["state"].isin(training_runs.FAILED).sum())
        if failures >= ENOUGH:
            return mine["gpu_hours"].sum() / failures, f"its own {failures} failures"
        pools = mine[["cluster", "gpu_model"]].drop_duplicates()
        of_pool = self._log.failures.merge(pools, on=["cluster", "gpu_model"])[["gpu_hours", "failures"]].sum()
        if of_pool["failures"] >= ENOUGH:
            hours = of_pool["gpu_hours"] / of_pool["failures"]
            return hours, f"{of_pool['failures']:,.0f} node failures of its pool in twelve months"
        return PUBLISHED_MTBF_GPU_HOURS, "as published for Llama 3"

    def headline(self, found: Checkpoints | None = None, run: str | None = None) -> Headline:
        """The interval as it is, another and the best, and what the best would save."""
        if self.failing is None:
            return Headline("Checkpoints", [("Runs", "0", "no run of the month has a job")])
        run = run or self.failing
        found = found or self.found(run)
        (_, known), (hours, source), (restart, how) = self.interval(run), self.mtbf(run), self._restart(run)
        figures = [
            ("Checkpoint every", _minutes(found.present_seconds), f"{found.present_overhead:.0%} added; {known}")
        ]
        if found.interval_seconds != found.present_seconds:
            word, money = "saves" if found.saved >= 0 else "costs", self._monitor.money(abs(found.saved))
            figures.append((f"Every {_minutes(found.interval_seconds)}", f"{word} {money}",
                            f"{found.overhead:.0%} added; {abs(found.saved_gpu_hours):,.0f} GPU-hours"))  # fmt: skip
        figures += [
            (f"Best: every {_minutes(found.best_seconds)}", f"saves {self._monitor.money(found.best_saved)}",
             f"{found.best_overhead:.0%} added; {found.best_saved_gpu_hours:,.0f} GPU-hours of this run"),
            ("Fails every", f"{found.mtbf_hours:,.1f} h",
             f"{hours:,.0f} GPU-hours: {source}; goes on after {restart:,.0f} min, {how}"),
        ]  # fmt: skip
        return Headline(f"Checkpoints of {run}", figures)

    def chart(self, found: Checkpoints, run: str | None = None):
        """What failures cost by interval; an Altair chart."""
        from dcbudget.charts import monitor as charts

        marks = pd.DataFrame(
            [("at present", found.present_seconds, found.present_overhead),
             ("this interval", found.interval_seconds, found.overhead),
             ("best", found.best_seconds, found.best_overhead)], columns=["mark", "seconds", "overhead"],
        )  # fmt: skip
        if found.interval_seconds == found.present_seconds:
            marks = marks[marks["mark"] != "this interval"]
        marks = marks.assign(minutes=marks["seconds"] / 60)[["minutes", "overhead", "mark"]]
        curve = found.curve.assign(minutes=found.curve["interval_seconds"] / 60)[["minutes", "overhead"]]
        word = "more often" if found.best_seconds < found.present_seconds else "less often"
        saved = found.best_saved_gpu_hours
        title = f"Checkpoints {word} would save {saved:,.0f} GPU-hours" if saved >= 1 else "The interval is about right"
        subtitle = f"{run or self.failing}: time that checkpoints, repeated work and restarts add to the work alone"
        return charts.overhead(curve, marks, title, subtitle)

    def _attempts(self, run: str) -> pd.DataFrame:
        return self._log.attempts[self._log.attempts["run"] == run]

    def _restart(self, run: str) -> tuple[float, str]:
        if self.settings["restart_minutes"]:
            return self.settings["restart_minutes"], "as the parameters say"
        mine = self._attempts(run)
        gaps = (mine["start_time"] - mine["end_time"].shift()).dt.total_seconds() + mine["startup_seconds"].fillna(0)
        if gaps.notna().any():
            return max(float(gaps.median()), 0.0) / 60, "median of its restarts, queue included"
        return USUAL_RESTART_MINUTES, "supposed; it was not restarted"


def _settings(given: Mapping[str, float]) -> dict[str, float]:
    if strange := sorted(set(given) - set(SETTINGS)):
        raise DcbudgetError(f"checkpoint has no {strange[0]!r}; it has {', '.join(SETTINGS)}")
    return {name: in_range(name, given.get(name, usual), low, high)
            for name, (usual, low, high) in SETTINGS.items()}  # fmt: skip


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.0f} min" if seconds >= 60 else f"{seconds:,.0f} s"
