"""5_monitor, last part: the month's performance beside the last month's, by project and by kind of GPU."""

from functools import cached_property

import pandas as pd

from dcbudget.models import training_runs
from dcbudget.models.performance_review import MEASURES, WORSE, compared, largest, performance
from dcbudget.stages.monitor import Monitor
from dcbudget.tables import COUNT, RATE, Table

HELD = ("useful", "failed or restarted", "held but idle")
GROUPS = {"project": "Project", "gpu_model": "GPU"}
CHANGES = 12


class Performance:
    """GPU-hours, their useful and failed shares, waits, MFU, tokens and unit costs of one month and the one before.

    Parameters
    ----------
    monitor : the month, its database and its runs.
    """

    def __init__(self, monitor: Monitor):
        self.monitor, self.reading, self.db = monitor, monitor.reading, monitor.db
        self.month, self.before = monitor.month, monitor.month - pd.DateOffset(months=1)

    @cached_property
    def _ledger(self) -> pd.DataFrame:
        frame = self.reading.mart("gpu_ledger_monthly", ["effective_cost"])
        frame = frame[frame["bucket"].isin(HELD) & frame["month"].isin([self.before, self.month])]
        return frame.assign(project=frame["project"].fillna("Unallocated"),
                            gpu_model=frame["gpu_model"].fillna("Unknown"))  # fmt: skip

    def of(self, month: pd.Timestamp, by: str) -> pd.DataFrame:
        """The measures of a month, a row a group."""
        jobs = self.reading.mart("job_performance_monthly", [], month=month.date(), grouped_by=by)
        served = self.reading.mart("tokens_monthly", [], month=month.date())
        served["served_tokens"] = served["input_tokens"].fillna(0) + served["output_tokens"].fillna(0)
        if by != "project":  # a serving log tells no GPU
            served = served.iloc[:0].assign(**{by: pd.Series(dtype=str)})
        return performance(self._ledger[self._ledger["month"] == month], jobs, self._runs(month), served, by)

    def _runs(self, month: pd.Timestamp) -> pd.DataFrame:
        """The attempts that began in a month, a row a run."""
        log = self.monitor.log
        began = (log.attempts["start_time"] >= month) & (log.attempts["start_time"] < month + pd.DateOffset(months=1))
        frame = training_runs.summary(log.attempts[began], log.values)
        return frame.assign(gpu_model=frame["gpu_model"].fillna("Unknown"))

    @cached_property
    def changes(self) -> pd.DataFrame:
        """Every measure of every group beside the last month's: `of`, `group` and the columns of `compared`."""
        parts = []
        for by, of in GROUPS.items():
            found = compared(self.of(self.month, by), self.of(self.before, by), by)
            parts.append(found.rename(columns={by: "group"}).assign(of=of))
        return pd.concat(parts, ignore_index=True)

    def table(self) -> Table:
        """The month by project and GPU."""
        frame = self.changes.pivot(index=["of", "group"], columns="measure", values="now").reindex(
            columns=list(MEASURES)
        )
        frame = (
            frame.dropna(how="all").reset_index().sort_values(["of", "gpu_hours"], ascending=False, ignore_index=True)
        )
        frame["tokens"], frame["served_tokens"] = frame["tokens"] / 1e9, frame["served_tokens"] / 1e6
        names = {"of": "By", "group": "Name", **{name: measure.label for name, measure in MEASURES.items()}}
        names |= {"tokens": "Billion tokens trained", "served_tokens": "Million tokens served"}
        formats = {name: measure.form for name, measure in MEASURES.items()}
        formats |= {"gpu_hours": COUNT, "useful_share": RATE, "failed_share": RATE, "mfu": RATE, "tokens": "{:,.1f}",
                    "served_tokens": "{:,.1f}"}  # fmt: skip
        return Table(frame, names, f"{self._finding(frame)} (GPU-hours that jobs held; {self.monitor.basis})", formats)

    def changes_table(self) -> Table:
        """What changed most since the month before, and whether that is good."""
        frame = largest(self.changes, CHANGES)
        for when in ("before", "now"):
            frame[f"{when}_text"] = [
                MEASURES[row.measure].form.format(getattr(row, when)) for row in frame.itertuples()
            ]
        frame["change_text"] = [
            f"{100 * row.rate:+.1f} points" if MEASURES[row.measure].absolute else f"{row.rate:+.0%}"
            for row in frame.itertuples()
        ]
        frame["label"] = [MEASURES[name].label for name in frame["measure"]]
        names = {"of": "By", "group": "Name", "label": "Measure", "before_text": f"{self.before:%b %Y}",
                 "now_text": f"{self.month:%b %Y}", "change_text": "Change", "meaning": "Is"}  # fmt: skip
        every = self.changes["meaning"].value_counts()
        title = (
            f"{every.get('better', 0)} measures are better than in {self.before:%B}, {every.get('worse', 0)} are worse;"
            f" the {len(frame)} largest changes ({self.monitor.basis})"
        )
        return Table(frame, names, title, dict.fromkeys(("before_text", "now_text", "change_text"), "{}"))

    def chart(self):
        """The failed share by project, last month and this."""
        from dcbudget.charts import monitor as charts

        found = self.changes[(self.changes["of"] == "Project") & (self.changes["measure"] == "failed_share")]
        found = found.sort_values("now", ascending=False)
        frame = found.melt("group", ["before", "now"], "month", "share").dropna(subset="share")
        frame["month"] = frame["month"].map({"before": f"{self.before:%b %Y}", "now": f"{self.month:%b %Y}"})
        worse = found[found["meaning"] == WORSE]
        title = "No project's failed share is worse than last month"
        if len(worse):
            most = worse.loc[worse["change"].idxmax()]
            title = f"{most['group']} lost {most['now']:.0%} of its GPU-hours to failures, {most['before']:.0%} before"
        return charts.beside_last(frame, title, "GPU-hours of jobs that failed or were restarted, of those held")

    def _finding(self, frame: pd.DataFrame) -> str:
        projects = frame[(frame["of"] == "Project") & frame["useful_share"].notna()]
        if projects.empty:
            return f"No job held a GPU in {self.month:%B %Y}"
        low = projects.loc[projects["useful_share"].idxmin()]
        return f"{low['group']} has the lowest useful share, {low['useful_share']:.0%}"
