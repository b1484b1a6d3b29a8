"""5_monitor: are the runs healthy, what does a result cost, and where does the time go?"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property

import pandas as pd

from dcbudget import warehouse
from dcbudget.errors import DcbudgetError
from dcbudget.models import run_plans, training_runs
from dcbudget.models.bottlenecks import NOTHING, UNKNOWN, bottlenecks
from dcbudget.models.privacy import INSIDE
from dcbudget.stages.period import in_range, months_with_bills, parse_month, whole_in_range, whole_month
from dcbudget.stages.reading import Reading
from dcbudget.stages.run_log import RunLog
from dcbudget.tables import CENTS, COUNT, HOURS, MONEY, RATE, SIGNED_RATE, Headline, Table

# How many runs are drawn where none are named, and at most.
DRAWN, MOST_DRAWN = 5, 8
# Rows of the tables of runs.
SHOWN = 15
AXES = {"step": "step", "hours": "hours held", "gpu_hours": "GPU-hours", "cost": "cost so far"}
PARTS = {"useful": "useful", "lost": "repeated or lost", "startup": "starting up", "rest": "after the last log"}
# Restarts that are worth a title.
MANY = 3


class Monitor:
    """The training runs of one month; money on the effective basis, GPU-hours at what their pool cost.

    Parameters
    ----------
    month : "YYYY-MM", "" for the latest with charges.
    database : file, "" for the default one.
    currency : the currency of every amount, "" for the only one there is.
    runs : names or patterns of the runs that are drawn, none for the dearest.
    plans : what was planned of runs: [{"run": "lm-7b", "hours": 120, "tokens": 1e12, "accuracy": 0.8}].
    attempts : run -> patterns of the logs that are its attempts, where names and steps do not tell.
    least_group : projects of fewer users are shown together.

    Raises
    ------
    DcbudgetError : no database, no such month or run, a value out of range, several currencies without a rate.
    """

    def __init__(
        self,
        month: str = "",
        database: str = "",
        currency: str = "",
        runs: Sequence[str] = (),
        plans: Sequence[Mapping] = (),
        attempts: Mapping[str, Sequence[str]] | None = None,
        least_group: int = INSIDE,
    ):
        self.database, self.db = database, database or None
        self.months = months_with_bills(self.db)
        self.month = parse_month(month or whole_month(self.months, self.db), self.months)
        self.reading = Reading(database, currency, self.month, whole_in_range("least_group", least_group, 1, 1000))
        self.currency = self.reading.currency
        self.basis = f"effective cost, {self.currency}{self.reading.rates_remark}"
        self.plans = run_plans.checked(plans)
        self.log = RunLog(self.reading, self.month, attempts)
        self.named = list(runs)

    @staticmethod
    def show(chart):
        """A chart for the notebook or the report."""
        from dcbudget import charts

        return charts.show(chart)

    # The runs.

    @property
    def runs(self) -> pd.DataFrame:
        """A row a run of the month, the dearest first."""
        return self.log.runs

    @property
    def run_names(self) -> list[str]:
        """Every run that can be drawn: those of the month, then those of no month."""
        return [*self.runs["run"], *(run for run in self.log.undated if run not in set(self.runs["run"]))]

    @cached_property
    def chosen(self) -> list[str]:
        """The runs that the parameters name, else the dearest.

        Raises
        ------
        DcbudgetError : a name that no run of the month has.
        """
        found: list[str] = []
        for pattern in self.named:
            fitting = [run for run in self.run_names if fnmatchcase(run, pattern)]
            if not fitting:
                some = ", ".join(self.run_names[:5]) or "none"
                raise DcbudgetError(f"no run {pattern!r} in {self.month:%Y-%m}; there are {some} ...")
            found += [run for run in fitting if run not in found]
        return found[:MOST_DRAWN] if self.named else self.run_names[:DRAWN]

    def headline(self, chosen: Sequence[str] | None = None) -> Headline:
        """Runs, money, goodput, MFU and what a success costs, of some runs or all of the month."""
        runs = self.runs if chosen is None else self.runs[self.runs["run"].isin(list(chosen))]
        if runs.empty:
            return Headline(f"Training runs in {self.month:%B %Y}", [("Runs", "0", self._undated_remark())])
        whole = training_runs.cost_per_success(runs.assign(all="all"), "all").iloc[0]
        tries = f"{int(runs['attempts'].sum())} attempts, {int(runs['restarts'].sum())} restarts"
        done, failed = int(whole["succeeded"]), int((~runs["succeeded"] & (runs["status"] != "RUNNING")).sum())
        figures = [
            ("Succeeded", f"{done} of {len(runs)} runs", f"{failed} without success; {tries}"),
            ("Cost so far", self.money(whole["cost"]), f"{whole['gpu_hours']:,.0f} GPU-hours, all attempts"),
            ("Cost per successful run", self.money(whole["cost_per_successful_run"]), "failed ones included"),
        ]
        held = runs["gpu_hours"].where(runs["goodput"].notna()).sum()
        mfu, hours = self._mean_mfu(runs)
        if held:
            goodput = (runs["goodput"] * runs["gpu_hours"]).sum() / held
            said = "useful time over the time that GPUs were held" + (f"; MFU {mfu:.1%}" if hours else "")
            figures.append(("Goodput", f"{goodput:.1%}", said))
        return Headline(f"Training runs in {self.month:%B %Y}", figures)

    def runs_table(self, chosen: Sequence[str] | None = None) -> Table:
        """Health of the runs."""
        runs = self._shown(chosen)
        names = {"run": "Run", "project": "Project", "gpu_model": "GPU", "gpus": "GPUs", "status": "Status",
                 "restarts": "Restarts", "held_hours": "Hours held", "goodput": "Goodput", "mfu": "MFU",
                 "tokens_per_second": "Tokens/s", "loss": "Loss", "accuracy": "Accuracy", "f1": "F1"}  # fmt: skip
        formats = {"gpus": COUNT, "restarts": COUNT, "held_hours": HOURS, "goodput": RATE, "mfu": RATE,
                   "tokens_per_second": COUNT, "loss": "{:,.4g}", "accuracy": "{:.3f}", "f1": "{:.3f}"}  # fmt: skip
        note = "goodput: useful time over the time that GPUs were held"
        return Table(runs, names, f"{self._health_finding(runs)}{self._of_all(runs, chosen)} ({note})", formats)

    def results_table(self, chosen: Sequence[str] | None = None) -> Table:
        """What results cost."""
        runs = self._shown(chosen).assign(million_tokens=lambda frame: frame["tokens"] / 1e6)
        names = {"run": "Run", "status": "Status", "attempts": "Attempts", "gpu_hours": "GPU-hours",
                 "cost": "Cost so far", "million_tokens": "Million tokens kept",
                 "cost_per_million_tokens": "Per million tokens",
                 "cost_per_accuracy_point": "Per accuracy point", "cost_per_f1_point": "Per F1 point"}  # fmt: skip
        formats = {"attempts": COUNT, "gpu_hours": COUNT, "cost": MONEY, "million_tokens": COUNT,
                   "cost_per_million_tokens": "{:,.4f}", "cost_per_accuracy_point": CENTS,
                   "cost_per_f1_point": CENTS}  # fmt: skip
        title = f"{self._cost_finding(runs)}{self._of_all(runs, chosen)} ({self.basis}; all attempts; a point is 0.01)"
        return Table(runs, names, title, formats)

    def success_table(self) -> Table:
        """Cost per successful run, by project."""
        frame = training_runs.cost_per_success(self.runs, "project")
        names = {"project": "Project", "runs": "Runs", "succeeded": "Succeeded", "attempts": "Attempts",
                 "gpu_hours": "GPU-hours", "cost": "Cost", "cost_of_failed": "Of runs without a result",
                 "cost_per_successful_run": "Per successful run",
                 "cost_per_million_tokens": "Per million tokens"}  # fmt: skip
        formats = {**dict.fromkeys(("runs", "succeeded", "attempts", "gpu_hours"), COUNT),
                   **dict.fromkeys(("cost", "cost_of_failed", "cost_per_successful_run"), MONEY),
                   "cost_per_million_tokens": "{:,.4f}"}  # fmt: skip
        lost, whole = frame["cost_of_failed"].sum(), frame["cost"].sum()
        finding = f"{lost / whole:.0%} of the money went into runs without a result" if whole else "No run has a cost"
        total = ("runs", "succeeded", "attempts", "gpu_hours", "cost", "cost_of_failed")
        return Table(frame, names, f"{finding} ({self.basis})", formats, total)

    # Curves.

    def curve(self, chosen: Sequence[str] | None = None, metric: str = "loss", x: str = "step", smoothing: float = 0.0):
        """A metric of chosen runs; an Altair chart.

        Raises
        ------
        DcbudgetError : no such metric or axis, or a smoothing out of its range.
        """
        from dcbudget.charts import monitor as charts

        chosen = self.chosen if chosen is None else list(chosen)
        in_range("smoothing", smoothing, 0, 0.99)
        if x not in AXES:
            raise DcbudgetError(f"x must be one of {', '.join(AXES)}, not {x!r}")
        if metric not in self.log.metrics:
            raise DcbudgetError(f"no run logs {metric!r}; there are {', '.join(self.log.metrics)}")
        if not chosen:
            raise DcbudgetError("no run is chosen; choose at least one")
        if len(chosen) > MOST_DRAWN:
            raise DcbudgetError(f"at most {MOST_DRAWN} runs can be told apart, not {len(chosen)}")
        points = self.log.values if metric in self.log.values["metric"].unique() else self._points(metric)
        attempts = self.log.attempts[self.log.attempts["run"].isin(chosen)]
        frame = training_runs.curve(attempts, points, metric, x, smoothing)
        frame = frame.sort_values("run", key=lambda runs: runs.map(chosen.index), kind="stable")
        values = frame["value"]
        logarithmic = bool(len(frame) and values.min() > 0 and values.max() > 50 * values.min())
        axis = f"{AXES[x]}, {self.currency}" if x == "cost" else AXES[x]
        subtitle = f"{metric} by {axis}" + (f", smoothed by {smoothing:g}; pale: as logged" if smoothing else "")
        title = self._curve_finding(frame, metric, chosen)
        return charts.curves(frame, axis, metric, title, subtitle, logarithmic=logarithmic, order=chosen)

    def parts_chart(self, chosen: Sequence[str] | None = None):
        """Where the GPU-hours of runs went."""
        from dcbudget.charts import monitor as charts

        runs = self._shown(chosen)
        attempts = self.log.of_month(self.month)
        attempts = attempts[attempts["run"].isin(runs["run"]) & attempts["useful_seconds"].notna()]
        known = ("useful_seconds", "lost_seconds", "startup_seconds")
        hours = attempts[list(known)].mul(attempts["gpus"].fillna(1) / 3600, axis=0).groupby(attempts["run"]).sum()
        hours.columns = [name.removesuffix("_seconds") for name in hours.columns]
        held = (attempts["held_seconds"] * attempts["gpus"].fillna(1) / 3600).groupby(attempts["run"]).sum()
        hours["rest"] = (held - hours.sum(axis=1)).clip(lower=0)
        order = [run for run in runs["run"] if run in hours.index]
        frame = hours.reindex(order).rename_axis("run").reset_index().melt("run", list(PARTS), "part", "gpu_hours")
        frame["part"] = frame["part"].map(PARTS)
        lost = hours["lost"].sum() / held.sum() if held.sum() else 0.0
        title = f"{lost:.0%} of the GPU-hours of these runs went into steps that were repeated or lost"
        return charts.time_parts(frame, title, f"GPU-hours that attempts held, up to the end of {self.month:%B %Y}")

    # Time against plan, and where the time goes.

    @cached_property
    def against_plan(self) -> pd.DataFrame:
        drivers = run_plans.of_drivers(self.log.drivers)
        return run_plans.against_plan(self.runs, self.plans, drivers, self.log.tflops, self.log.usual_mfu)

    def plan_table(self, chosen: Sequence[str] | None = None) -> Table:
        """Training time against plan."""
        shown = self._shown(chosen)
        frame = self.against_plan[self.against_plan["run"].isin(shown["run"])]
        names = {"run": "Run", "held_hours": "Hours held", "planned_hours": "Planned or expected", "source": "By",
                 "overrun": "Above", "progress": "Of planned tokens", "expected_hours": "Hours at this pace",
                 "accuracy": "Accuracy", "planned_accuracy": "Planned accuracy", "f1": "F1",
                 "planned_f1": "Planned F1"}  # fmt: skip
        unused = [name for name in ("progress", "expected_hours", "planned_accuracy", "planned_f1")
                  if frame[name].isna().all()]  # fmt: skip
        unused += [score for score in ("accuracy", "f1") if f"planned_{score}" in unused]
        names = {name: text for name, text in names.items() if name not in unused}
        formats = {"held_hours": HOURS, "planned_hours": HOURS, "overrun": SIGNED_RATE, "progress": RATE,
                   "expected_hours": HOURS, "accuracy": "{:.3f}", "planned_accuracy": "{:.3f}", "f1": "{:.3f}",
                   "planned_f1": "{:.3f}"}  # fmt: skip
        formats = {name: form for name, form in formats.items() if name in names}
        frame = frame.assign(source=frame["source"].replace("", "not known"))
        return Table(frame, names, f"{self._plan_finding(frame)}{self._of_all(frame, chosen)}", formats)

    @cached_property
    def bottlenecks(self) -> pd.DataFrame:
        attempts = self.log.of_month(self.month)
        weight = attempts["held_seconds"].where(attempts["gpu_utilisation"].notna())
        sums = (attempts["gpu_utilisation"] * weight).groupby(attempts["run"]).sum(min_count=1)
        used = sums / weight.groupby(attempts["run"]).sum()
        return bottlenecks(self.runs.assign(gpu_utilisation=self.runs["run"].map(used)), self.log.meters)

    def bottlenecks_table(self, chosen: Sequence[str] | None = None) -> Table:
        """What holds each run up; what no log tells is said to be not measured."""
        shown = self._shown(chosen)
        frame = self.bottlenecks[self.bottlenecks["run"].isin(shown["run"])].copy()
        forms = {"step_seconds": "{:,.3g}", "unevenness": "{:.2f}", "data_share": "{:.0%}",
                 "communication_share": "{:.0%}", "gpu_utilisation": "{:.0%}",
                 "gpu_memory_share": "{:.0%}"}  # fmt: skip
        for name, form in forms.items():
            frame[name] = [UNKNOWN if pd.isna(value) else form.format(value) for value in frame[name]]
        for name in ("disk_bytes_per_second", "network_bytes_per_second"):
            frame[name] = [UNKNOWN if pd.isna(value) else f"{value / 1e6:,.0f}" for value in frame[name]]
        names = {"run": "Run", "finding": "What holds it up", "step_seconds": "Median step, s",
                 "unevenness": "95 % / median step", "gpu_utilisation": "GPU use", "data_share": "Waits for data",
                 "communication_share": "Waits for GPUs", "gpu_memory_share": "Peak GPU memory",
                 "disk_bytes_per_second": "Disk, MB/s", "network_bytes_per_second": "Network, MB/s"}  # fmt: skip
        silent = [name for name in names if name not in ("run", "finding") and (frame[name] == UNKNOWN).all()]
        names = {name: text for name, text in names.items() if name not in silent}
        held_up = int((~self.bottlenecks["finding"].isin([NOTHING, UNKNOWN])).sum())
        common = f"Something holds up {held_up} of {len(self.bottlenecks)} runs"
        labels = {"step_seconds": "steps", "unevenness": "spread of steps", "gpu_utilisation": "GPU use",
                  "data_share": "waiting for data", "communication_share": "waiting for other GPUs",
                  "gpu_memory_share": "GPU memory", "disk_bytes_per_second": "disk",
                  "network_bytes_per_second": "network"}  # fmt: skip
        missing = f"; not measured by any: {', '.join(labels[name] for name in silent)}" if silent else ""
        return Table(frame, names, f"{common}{self._of_all(frame, chosen)}{missing}",
                     {name: "{}" for name in names if name not in ("run", "finding")})  # fmt: skip

    def waits_table(self) -> Table:
        """Queue wait by partition, this month and the last."""
        keys, hours = ["cluster", "partition"], {"wait_p50_seconds": "p50", "wait_p95_seconds": "p95"}
        frames = [self._waits(month).set_index(keys) for month in (self.month, self.month - pd.DateOffset(months=1))]
        frame = frames[0].join(frames[1][list(hours)], suffixes=("", "_before"), how="left").reset_index()
        for column, name in hours.items():
            frame[name], frame[f"{name}_before"] = frame[column] / 3600, frame[f"{column}_before"] / 3600
        frame["change"] = frame["p95"] - frame["p95_before"]
        frame["partition"] = frame["partition"].fillna("no partition")
        frame = frame.sort_values("p95", ascending=False, ignore_index=True)
        names = {"cluster": "Cluster", "partition": "Partition", "jobs": "GPU jobs started", "p50": "Median wait, h",
                 "p95": "95 % wait, h", "p95_before": "95 % last month, h", "change": "Change, h"}  # fmt: skip
        formats = {"jobs": COUNT, "p50": CENTS, "p95": CENTS, "p95_before": CENTS, "change": "{:+z,.2f}"}
        if frame.empty:
            return Table(frame, names, f"No GPU job started in {self.month:%B %Y}", formats)
        worst = frame.iloc[0]
        title = f"{worst['partition']} has the longest queue: one job in twenty waits over {worst['p95']:,.1f} hours"
        return Table(frame, names, title, formats)

    # What is shared.

    def _points(self, metric: str) -> pd.DataFrame:
        cache = self.__dict__.setdefault("_other_points", {})
        if metric not in cache:
            cache[metric] = self.log.points([metric])
        return cache[metric]

    def _waits(self, month: pd.Timestamp) -> pd.DataFrame:
        return warehouse.mart("queue_wait_monthly", self.db, month=month.date())

    def _shown(self, chosen: Sequence[str] | None) -> pd.DataFrame:
        if chosen is None:
            return self.runs.head(SHOWN)
        return self.runs[self.runs["run"].isin(list(chosen))].reset_index(drop=True)

    def _of_all(self, frame: pd.DataFrame, chosen: Sequence[str] | None) -> str:
        return (
            f"; the dearest {len(frame)} of {len(self.runs)} runs"
            if chosen is None and len(frame) < len(self.runs)
            else ""
        )

    def money(self, amount: float) -> str:
        """An amount as headlines have it."""
        return "–" if pd.isna(amount) else f"{MONEY.format(amount)} {self.currency}"

    def _undated_remark(self) -> str:
        count = len(self.log.undated)
        return f"{count} logs tell no time and are of no month" if count else "no log is of this month"

    @staticmethod
    def _mean_mfu(runs: pd.DataFrame) -> tuple[float, float]:
        hours = runs["gpu_hours"].where(runs["mfu"].notna()).sum()
        return ((runs["mfu"] * runs["gpu_hours"]).sum() / hours if hours else 0.0), hours

    def _health_finding(self, runs: pd.DataFrame) -> str:
        if runs.empty:
            return f"No training run in {self.month:%B %Y}"
        if len(bad := runs[runs["status"] == training_runs.DIVERGED]):
            return f"{bad['run'].iloc[0]} diverged: its loss ends at {bad['loss'].iloc[0]:,.4g}"
        worst = runs.loc[runs["restarts"].idxmax()]
        if worst["restarts"] >= MANY:
            return f"{worst['run']} was restarted {worst['restarts']:.0f} times; its goodput is {worst['goodput']:.0%}"
        return f"{int(runs['succeeded'].sum())} of {len(runs)} runs succeeded"

    def _cost_finding(self, runs: pd.DataFrame) -> str:
        if runs.empty or runs["cost"].isna().all():
            return "No run has a cost: none has a job in a pool with a bill"
        dear = runs.loc[runs["cost"].idxmax()]
        end = "" if dear["succeeded"] else f" and ended as {dear['status']}"
        return f"{dear['run']} costs most, {self.money(dear['cost'])}{end}"

    def _plan_finding(self, frame: pd.DataFrame) -> str:
        known = frame[frame["overrun"].notna()]
        if known.empty:
            return "Nothing tells how long these runs should take"
        worst = known.loc[known["overrun"].idxmax()]
        if worst["overrun"] <= 0:
            return "Every run took at most the time that was planned or expected"
        held, hours = f"{worst['run']} held its GPUs {worst['held_hours']:,.0f} h", f"{worst['planned_hours']:,.0f} h"
        if worst["source"] == "model":
            return f"{held}; its kept work takes {hours} at the usual MFU"
        return f"{held}, {hours} were {'planned' if worst['source'] == 'plan' else 'budgeted'}"

    def _curve_finding(self, frame: pd.DataFrame, metric: str, chosen: Sequence[str]) -> str:
        if frame.empty:
            return f"None of these runs logs {metric}"
        bad = self.runs[self.runs["run"].isin(list(chosen)) & self.runs["diverged"]]
        if metric == "loss" and len(bad):
            return f"{bad['run'].iloc[0]} diverged: its loss ends at {bad['loss'].iloc[0]:,.4g}"
        # of different models, so that no run's value is better than another's
        first = frame[frame["run"] == frame["run"].iloc[0]]
        begin, end = first["smooth"].iloc[0], first["smooth"].iloc[-1]
        return f"{metric} of {first['run'].iloc[0]} went from {begin:,.3g} to {end:,.3g}"
