"""4_optimize: the jobs of a month again, on other GPUs or under another rule; who waits less, who more."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models import replay as models
from dcbudget.models.replay import Policy, Replay
from dcbudget.models.replay.occupancy import mean_gpus
from dcbudget.models.replay.reservation import gained
from dcbudget.stages.job_log import PLANNED_BY, REQUESTED, JobLog
from dcbudget.stages.period import whole_in_range
from dcbudget.tables import COUNT, HOURS, MONEY, RATE, SIGNED, Headline, Table

POLICIES = {policy.name: policy for policy in (
    models.FIFO, models.SMALLEST_FIRST, models.SHORTEST_FIRST, models.EASY, models.CONSERVATIVE, models.FAIR_SHARE,
    models.PRIORITY,
)}  # fmt: skip
PACK, SPREAD, COUNT_ONLY = PLACEMENTS = ("pack", "spread", "count")
# Settings that were seen and are kept.
MOST_KEPT = 200
MOST_NODES = 4096
DAY = 86400
WEEK_DAYS = 7


@dataclass(frozen=True)
class Setting:
    """How a log is replayed.

    Attributes
    ----------
    policy : name of the rule (see `POLICIES`).
    nodes : of the pool.
    planned_by : what shortest first and backfill plan with.
    placement : "pack" puts a job on the fullest node that has room, "spread" on the emptiest, "count" anywhere;
        conservative backfill always counts.
    important : the project whose jobs are of the higher class under priority classes, "" for none.
    """

    policy: str
    nodes: int
    planned_by: str = REQUESTED
    placement: str = PACK
    important: str = ""

    @property
    def rule(self) -> Policy:
        """The model's policy."""
        return POLICIES[self.policy]


class Replays:
    """Replays of one month's jobs on one owned pool.

    Parameters
    ----------
    log : the jobs and the pool.
    policy : name of the rule that is tried.
    policy_now : name of the rule that the pool goes by today; what everything is compared with.
    planned_by : requested times, predicted times or perfect knowledge.
    placement : pack, spread or count.
    important : a project; "" for the one that holds most GPU-hours.

    Raises
    ------
    OutOfRange : a name that there is not.
    """

    def __init__(
        self,
        log: JobLog,
        policy: str = models.EASY.name,
        policy_now: str = models.FIFO.name,
        planned_by: str = REQUESTED,
        placement: str = PACK,
        important: str = "",
    ):
        self.log = log
        self._kept: dict[Setting, Replay] = {}
        important = important or log.projects[0]
        self.now = self.checked(Setting(policy_now, log.nodes, planned_by, placement, important))
        self.first = self.checked(replace(self.now, policy=policy))

    def checked(self, setting: Setting) -> Setting:
        """The setting itself.

        Raises
        ------
        OutOfRange : a name that there is not, or nodes that are not a whole number above 0.
        """
        known = {"policy": POLICIES, "planned_by": PLANNED_BY, "placement": PLACEMENTS,
                 "important": ["", *self.log.projects]}  # fmt: skip
        for name, names in known.items():
            if getattr(setting, name) not in names:
                raise OutOfRange(f"{name} must be one of {', '.join(filter(None, names))}, not "
                                 f"{getattr(setting, name)!r}")  # fmt: skip
        whole_in_range("nodes", setting.nodes, 1, MOST_NODES)
        return setting

    def with_changes(self, **changes) -> Setting:
        """The setting of the parameters with other values."""
        return self.checked(replace(self.first, **changes))

    def replayed(self, setting: Setting) -> Replay:
        """What comes of a setting; kept, so that it is computed once."""
        if setting not in self._kept:
            found = self._replayed(self.checked(setting))
            if len(self._kept) >= MOST_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[setting] = found
        return self._kept[setting]

    def arguments(self, setting: Setting) -> dict:
        """What `models.replay` takes beside log, cluster and policy."""
        log, rule = self.log, setting.rule
        told = {"placement": COUNT_ONLY if rule.backfill == "conservative" else setting.placement}
        if rule.preemptive:
            told["priority"] = (log.jobs["project"] == setting.important).to_numpy(dtype=int)
            told["checkpoint"] = log.checkpoint
        return told

    def _replayed(self, setting: Setting) -> Replay:
        log, rule, told = self.log, setting.rule, self.arguments(setting)
        cluster = log.cluster(setting.nodes)
        planned = log.planned(setting.planned_by)
        if not rule.needs_requested:
            return models.replay(log.jobs, cluster, rule, **told)
        if planned:
            return models.replay(log.jobs, cluster, rule, requested=planned, **told)
        from dcbudget.models.replay.prediction import replay_predicted

        every = log.jobs["requested_seconds"]
        return replay_predicted(
            log.jobs, cluster, rule, requested=every.to_numpy() if every.notna().all() else None,
            unknown_seconds=3600 * log.supposed["unknown_job_hours"], **told,
        ).replay  # fmt: skip

    # What comes of it.

    def figures(self, setting: Setting) -> dict[str, float]:
        """Metrics of a setting with the month's money: `gpus`, `gpu_money`, `waited_hours`, `waiting_money`, `money`,
        `energy_kwh` of the month and `drain_hours`, for which its last jobs run beyond the month.
        """
        found = self.replayed(setting)
        metrics, log = found.metrics(), self.log
        gpus = setting.nodes * log.gpus_per_node
        waited = metrics["mean_wait_seconds"] * metrics["jobs"] / 3600
        hour = log.supposed["waiting_price_per_hour"] * log.supposed["people_share"]
        money = {"gpu_money": gpus * log.hours * log.price, "waiting_money": waited * hour}
        drain = max(metrics["makespan_seconds"] / 3600 - log.hours, 0.0)
        return {**metrics, "gpus": gpus, "waited_hours": waited, **money, "money": sum(money.values()),
                "drain_hours": drain}  # fmt: skip

    def policies(self, nodes: int | None = None) -> pd.DataFrame:
        """Figures of every policy on the same GPUs: `policy` and those of `figures`, least mean wait first."""
        rows = []
        for name in POLICIES:
            setting = replace(self.first, policy=name, nodes=self.log.nodes if nodes is None else nodes)
            rows.append({"policy": name, **self.figures(setting)})
        return pd.DataFrame(rows).sort_values("mean_wait_seconds", kind="stable", ignore_index=True)

    def by_project(self, setting: Setting) -> pd.DataFrame:
        """Mean wait by project under the rule of today and under a setting (see `gained`), in hours too."""
        before, after = self.replayed(self.now).jobs, self.replayed(setting).jobs
        frame = gained(before, after, self.log.jobs["project"])
        for name in ("mean_wait_seconds_before", "mean_wait_seconds_after", "change_seconds"):
            frame[name.replace("_seconds", "_hours")] = frame[name] / 3600
        return frame

    @cached_property
    def week_day(self) -> int:
        """Day of the month, from 0, at which the seven days begin in which jobs wait most under the rule of today."""
        days = int(self.log.hours // 24)
        waiting = self._steps(self.now, np.arange(days + 1) * float(DAY))["waiting"]
        sums = np.convolve(waiting, np.ones(min(WEEK_DAYS, days)), "valid")
        return int(np.argmax(sums))

    def _steps(self, setting: Setting, edges: np.ndarray) -> dict[str, np.ndarray]:
        found = self.replayed(setting)
        held = found.placements
        gpus = found.log.gpus
        shift = (found.log.origin - self.log.month) / pd.Timedelta(seconds=1)
        edges = edges - shift
        in_use = mean_gpus(held["from_seconds"], held["to_seconds"], held["gpus"], edges)
        asked = mean_gpus(found.log.submit, found.end, gpus, edges)
        return {"in use": in_use, "waiting": np.maximum(asked - in_use, 0.0)}

    def week(self, setting: Setting) -> pd.DataFrame:
        """GPUs in use and asked for by waiting jobs, hour by hour over seven days, before and after: `hour`, `when`,
        `what`, `gpus`.
        """
        edges = self.week_day * float(DAY) + 3600.0 * np.arange(24 * WEEK_DAYS + 1)
        hours = self.log.month + pd.to_timedelta(edges[:-1], unit="s")
        return pd.concat([
            pd.DataFrame({"hour": hours, "when": when, "what": what, "gpus": np.round(values, 2)})
            for when, one in (("before", self.now), ("after", setting))
            for what, values in self._steps(one, edges).items()
        ], ignore_index=True)  # fmt: skip

    # What is shown.

    @property
    def node_range(self) -> tuple[int, int]:
        """Sizes of the pool that a slider offers: from one node to three times what there is."""
        return 1, min(3 * max(self.log.nodes, self.log.least_nodes), MOST_NODES)

    @property
    def nodes_remark(self) -> str:
        """What the size of the pool is today, and what its largest job needs."""
        return (f"of {self.log.gpus_per_node:,} GPUs; {self.log.nodes:,} today, the largest job needs "
                f"{self.log.least_nodes:,}")  # fmt: skip

    @staticmethod
    def show(chart):
        """A chart for where it is shown, live or as a picture."""
        from dcbudget import charts

        return charts.show(chart)

    @property
    def basis(self) -> str:
        """Of every title with money."""
        return f"effective cost, {self.log.currency}{self.log.reading.rates_remark}"

    def title(self, setting: Setting) -> str:
        """What was replayed, and how."""
        gpus = setting.nodes * self.log.gpus_per_node
        important = f" for {setting.important}" if setting.rule.preemptive and setting.important else ""
        return f"{self.log.where}: {setting.policy}{important} on {gpus:,} GPUs"

    def headline(self, setting: Setting | None = None) -> Headline:
        """What a setting makes of waiting, use, money and energy, beside the rule of today."""
        setting = setting or self.first
        new, old, log = self.figures(setting), self.figures(self.now), self.log
        hour, share = log.supposed["waiting_price_per_hour"], log.supposed["people_share"]
        figures = [
            ("Mean wait", hours(new["mean_wait_seconds"]),
             f"{hours(old['mean_wait_seconds'])} under {self.now.policy} on {log.gpus:,} GPUs; "
             f"{hours(log.jobs['recorded_wait'].mean())} recorded"),
            ("95 % wait at most", hours(new["p95_wait_seconds"]), f"{hours(old['p95_wait_seconds'])} now"),
            ("Bounded slowdown", f"{new['mean_bounded_slowdown']:,.1f}",
             f"mean; {old['mean_bounded_slowdown']:,.1f} now"),
            ("Utilisation", f"{new['utilisation']:.1%}", f"allocated of capacity; {old['utilisation']:.1%} now"),
            ("GPUs", self._money(new["gpu_money"]), f"of the month; {self._money(old['gpu_money'])} now"),
            ("Waiting", self._money(new["waiting_money"]),
             f"at {hour:,.0f} {log.currency} an hour, {share:.0%} of it with somebody waiting; "
             f"{self._money(old['waiting_money'])} now"),
            ("Energy", f"{new['energy_kwh'] / 1000:,.1f} MWh",
             f"at the hall's meter; {old['energy_kwh'] / 1000:,.1f} now"),
        ]  # fmt: skip
        return Headline(f"{self.title(setting)} ({self.basis}; {log.remark})", figures)

    def finding(self, setting: Setting | None = None) -> str:
        """The answer in one sentence."""
        setting = setting or self.first
        new, old = self.figures(setting), self.figures(self.now)
        gpus = setting.nodes * self.log.gpus_per_node
        same = "the same" if setting.nodes == self.log.nodes else f"{gpus:,} instead of {self.log.gpus:,}"
        if setting == self.now:
            return f"{setting.policy} is the rule of today: the mean wait is {hours(new['mean_wait_seconds'])}"
        word = "cuts" if new["mean_wait_seconds"] < old["mean_wait_seconds"] else "raises"
        if abs(new["mean_wait_seconds"] - old["mean_wait_seconds"]) < 1:
            return f"{setting.policy} on {same} GPUs leaves the mean wait at {hours(new['mean_wait_seconds'])}"
        return (f"{setting.policy} {word} the mean wait from {hours(old['mean_wait_seconds'])} to "
                f"{hours(new['mean_wait_seconds'])} on {same} GPUs")  # fmt: skip

    def policies_chart(self, setting: Setting | None = None):
        """Mean wait by policy on the same GPUs; an Altair chart."""
        from dcbudget.charts import optimize as charts

        setting = setting or self.first
        frame = self.policies(setting.nodes).assign(mean_wait_hours=lambda rows: rows["mean_wait_seconds"] / 3600)
        best = frame.iloc[0]
        gpus = setting.nodes * self.log.gpus_per_node
        title = f"{best['policy']} waits least, {hours(best['mean_wait_seconds'])} in the mean"
        return charts.policy_waits(
            frame, setting.policy, title, f"mean wait in hours by policy, {gpus:,} GPUs of {self.log.where}"
        )

    def policies_table(self, setting: Setting | None = None) -> Table:
        """Every policy on the same GPUs."""
        setting = setting or self.first
        frame = self.policies(setting.nodes)
        for name in ("mean_wait", "p95_wait"):
            frame[f"{name}_hours"] = frame[f"{name}_seconds"] / 3600
        names = {"policy": "Policy", "mean_wait_hours": "Mean wait, h", "p95_wait_hours": "95th percentile, h",
                 "mean_bounded_slowdown": "Bounded slowdown", "idle_while_waiting": "Idle while jobs wait",
                 "preemptions": "Preemptions", "waiting_money": "Money of waiting",
                 "money": "With the GPUs"}  # fmt: skip
        formats = {"mean_wait_hours": "{:z,.2f}", "p95_wait_hours": "{:z,.2f}", "mean_bounded_slowdown": HOURS,
                   "idle_while_waiting": RATE, "preemptions": COUNT, "waiting_money": MONEY,
                   "money": MONEY}  # fmt: skip
        gpus = setting.nodes * self.log.gpus_per_node
        best = frame.iloc[0]
        title = (f"{best['policy']} waits least on {gpus:,} GPUs, {hours(best['mean_wait_seconds'])} in the mean "
                 f"({self.log.where}; {self.basis})")  # fmt: skip
        return Table(frame, names, title, formats)

    def projects_chart(self, setting: Setting | None = None):
        """Mean wait by project, before and after; an Altair chart."""
        setting = setting or self.first
        after = setting.policy if setting.nodes == self.log.nodes else self.title(setting).split(": ")[1]
        return self.waits_chart(self.by_project(setting), f"now {self.now.policy}, then {after}")

    def waits_chart(self, frame: pd.DataFrame, what: str):
        """Mean wait by project as `gained` tells it; an Altair chart."""
        from dcbudget.charts import optimize as charts

        long = pd.concat([
            frame.assign(when="now", hours=frame["mean_wait_seconds_before"] / 3600),
            frame.assign(when="then", hours=frame["mean_wait_seconds_after"] / 3600),
        ])[["group", "when", "hours"]]  # fmt: skip
        return charts.before_after(long, self._project_finding(frame), f"mean wait in hours, {what}; {self.log.where}")

    def projects_table(self, setting: Setting | None = None) -> Table:
        """Who waits less and who more."""
        setting = setting or self.first
        frame = self.by_project(setting)
        hour = self.log.supposed["waiting_price_per_hour"] * self.log.supposed["people_share"]
        frame["waiting_money_change"] = frame["waited_hours_change"] * hour
        names = {"group": "Project", "jobs": "Jobs", "gpu_hours": "GPU-hours",
                 "mean_wait_hours_before": "Wait now, h", "mean_wait_hours_after": "Wait then, h",
                 "change_hours": "Change, h", "waiting_money_change": "Money of waiting"}  # fmt: skip
        formats = {"jobs": COUNT, "gpu_hours": COUNT, "mean_wait_hours_before": "{:z,.2f}",
                   "mean_wait_hours_after": "{:z,.2f}", "change_hours": "{:+z,.2f}",
                   "waiting_money_change": SIGNED}  # fmt: skip
        title = f"{self._project_finding(frame)} ({self.title(setting)}; {self.basis})"
        return Table(frame, names, title, formats, ("jobs", "gpu_hours", "waiting_money_change"))

    def week_chart(self, setting: Setting | None = None):
        """A week of the pool, before and after; an Altair chart."""
        from dcbudget.charts import optimize as charts

        setting = setting or self.first
        frame = self.week(setting)
        queued = frame[frame["what"] == "waiting"].groupby("when")["gpus"].mean()
        first = self.log.month + pd.Timedelta(days=self.week_day)
        gpus = setting.nodes * self.log.gpus_per_node
        title = (f"In the busiest week jobs for {queued['before']:,.0f} GPUs wait before and for {queued['after']:,.0f}"
                 " after, in the mean")  # fmt: skip
        labels = {"before": f"now: {self.now.policy}", "after": f"then: {setting.policy}"}
        return charts.week(
            frame.replace({"when": labels}), title,
            f"GPUs by hour, {first:%d %b} to {first + pd.Timedelta(days=WEEK_DAYS - 1):%d %b %Y}; {gpus:,} then, "
            f"{self.log.gpus:,} now",
        )  # fmt: skip

    def week_table(self, setting: Setting | None = None) -> Table:
        """The same week day by day."""
        setting = setting or self.first
        frame = self.week(setting)
        frame["day"] = frame["hour"].dt.floor("D")
        table = frame.pivot_table(index="day", columns=["when", "what"], values="gpus", aggfunc="mean")
        table.columns = [f"{when}_{what.replace(' ', '_')}" for when, what in table.columns]
        names = {"day": "Day", "before_in_use": "In use now", "after_in_use": "In use then",
                 "before_waiting": "Asked for by waiting jobs now", "after_waiting": "then"}  # fmt: skip
        return Table(table.reset_index(), names, f"GPUs in the mean of each day ({self.title(setting)})",
                     dict.fromkeys(list(names)[1:], COUNT))  # fmt: skip

    def _project_finding(self, frame: pd.DataFrame) -> str:
        first, last = frame.iloc[0], frame.iloc[-1]
        gains = f"{first['group']} gains most, {hours(-first['change_seconds'])} a job"
        loses = f"{last['group']} loses most, {hours(last['change_seconds'])} a job"
        some = 1.0
        if first["change_seconds"] > -some and last["change_seconds"] < some:
            return "No project waits less or more"
        if first["change_seconds"] > -some:
            return f"Nobody gains; {loses}"
        return f"{gains}; {loses if last['change_seconds'] > some else 'nobody loses'}"

    def _money(self, amount: float) -> str:
        return f"{MONEY.format(amount)} {self.log.currency}"


def hours(seconds: float) -> str:
    """A span in hours, or in minutes and seconds where it is short."""
    if not np.isfinite(seconds):
        return "unknown"
    if abs(seconds) >= 3600:
        return f"{seconds / 3600:,.1f} h"
    return f"{seconds / 60:,.1f} min" if abs(seconds) >= 60 else f"{seconds:,.0f} s"
