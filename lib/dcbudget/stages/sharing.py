"""4_optimize: GPUs held for an important project, jobs that shrink and grow, and nodes rented while jobs wait."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from dcbudget.models.ranges import share, within
from dcbudget.models.replay.elastic import Elastic, Rented, Renting, replay_elastic, replay_renting
from dcbudget.models.replay.reservation import Reservation, gained, replay_reserved
from dcbudget.models.replay.waiting import cheapest, with_money
from dcbudget.stages.frontier import FLAT
from dcbudget.stages.job_log import KNOWN, REQUESTED
from dcbudget.stages.period import in_range, whole_in_range
from dcbudget.stages.replays import Replays, hours
from dcbudget.tables import COUNT, MONEY, Headline, Table

POINTS = 9


@dataclass(frozen=True)
class Grown:
    """Jobs that shrink and grow beside the same jobs at their own size, both first come, first served."""

    before: pd.DataFrame
    after: Elastic


class Sharing:
    """What reservations and elasticity make of the log; first come, first served, nodes not told apart.

    Parameters
    ----------
    replays : the log, and the project that is important.
    """

    def __init__(self, replays: Replays):
        self.replays, self.log = replays, replays.log
        self.important = replays.first.important
        self._kept: dict[tuple, pd.DataFrame] = {}
        self._by_size: dict[str, pd.DataFrame] = {}

    @cached_property
    def planned(self) -> str:
        """What jobs are planned for: requested times, or perfect knowledge where the log tells none."""
        told = bool(self.log.jobs["requested_seconds"].notna().all())
        return self.log.planned(REQUESTED if told else KNOWN)

    # Reservations.

    def reserved(self, project: str, gpus: float) -> pd.DataFrame:
        """The log with so many GPUs held for a project at all times (see `replay_reserved`).

        Raises
        ------
        OutOfRange : more is reserved than there is, a job of others has no room left, or no such project.
        """
        key = (project, float(gpus))
        if key not in self._kept:
            reservation = Reservation([project], gpus) if gpus else None
            found = replay_reserved(self.log.jobs, self.log.pool(), reservation, planned=self.planned)
            self._kept[key] = found.assign(important=self.log.jobs["project"] == project)
        return self._kept[key]

    @cached_property
    def most_reserved(self) -> int:
        """GPUs that can be held so that the largest job of another project still fits."""
        return int(self.log.gpus - self.log.jobs["gpus"].max())

    def reservations(self, project: str = "") -> pd.DataFrame:
        """Waits and money by GPUs that are held for a project: `reserved_gpus`, `important_wait`, `others_wait` [mean
        seconds], `waited_hours` (an hour of the project counting `important_weight` times), and the money.
        """
        project = project or self.important
        if project not in self._by_size:
            self._by_size[project] = self._reservations(project)
        return self._by_size[project]

    def _reservations(self, project: str) -> pd.DataFrame:
        step = self.log.gpus_per_node
        tried = np.unique(np.linspace(0, self.most_reserved // step, POINTS).round().astype(int)) * step
        weight, rows = self.log.supposed["important_weight"], []
        for gpus in tried:
            found = self.reserved(project, float(gpus))
            wait, ours = found["wait_seconds"], found["important"]
            rows.append({
                "reserved_gpus": int(gpus), "gpus": self.log.gpus, "important_wait": wait[ours].mean(),
                "others_wait": wait[~ours].mean(),
                "important_hours": weight * wait[ours].sum() / 3600, "others_hours": wait[~ours].sum() / 3600,
            })  # fmt: skip
        frame = pd.DataFrame(rows)
        frame["waited_hours"] = frame["important_hours"] + frame["others_hours"]
        supposed = self.log.supposed
        return with_money(
            frame, "reserved_gpus", gpu_price_per_hour=self.log.price, hours=self.log.hours,
            waiting_price_per_hour=supposed["waiting_price_per_hour"], people_share=supposed["people_share"],
        )  # fmt: skip

    def reservation_finding(self, project: str = "") -> str:
        """The cheapest reservation in one sentence."""
        project = project or self.important
        frame = self.reservations(project)
        best = cheapest(frame, "reserved_gpus", FLAT)
        saved = frame["total_cost"].iloc[0] - best.cost
        weight = self.log.supposed["important_weight"]
        if frame["important_wait"].min() > frame["important_wait"].iloc[0] - 1:
            return f"However many GPUs are held for {project}, its jobs wait no less"
        if best.at == 0:
            return (f"Holding GPUs for {project} costs the others more than it spares it, an hour of its waiting "
                    f"counting as {weight:g}")  # fmt: skip
        return (f"Holding {best.at:,.0f} GPUs for {project} saves {self._money(saved)} of waiting a month, an hour of "
                f"its own counting as {weight:g}; from {best.low:,.0f} to {best.high:,.0f} it costs at most {FLAT:.0%}"
                " more")  # fmt: skip

    def reservations_table(self, project: str = "") -> Table:
        """What each size of the reservation protects and costs."""
        project = project or self.important
        frame = self.reservations(project)
        shown = frame.assign(**{name: [hours(value) for value in frame[name]]
                                for name in ("important_wait", "others_wait")})  # fmt: skip
        names = {"reserved_gpus": "GPUs held", "important_wait": f"Mean wait of {project}",
                 "others_wait": "of the others", "waiting_cost": "Waiting", "total_cost": "With the GPUs"}  # fmt: skip
        title = f"{self.reservation_finding(project)} ({self.log.where}; {self.replays.basis})"
        return Table(shown, names, title, {"reserved_gpus": COUNT, "waiting_cost": MONEY, "total_cost": MONEY})

    def reservations_chart(self, project: str = ""):
        """Money of waiting by the size of the reservation; an Altair chart."""
        from dcbudget.charts import optimize as charts

        project = project or self.important
        frame = self.reservations(project)
        best = cheapest(frame, "reserved_gpus", FLAT)
        hour = self.log.supposed["waiting_price_per_hour"] * self.log.supposed["people_share"]
        frame = frame.assign(ours=frame["important_hours"] * hour, others=frame["others_hours"] * hour)
        long = frame.melt("reserved_gpus", ["ours", "others"], "part", "money")
        weight = self.log.supposed["important_weight"]
        long = long.replace({"part": {"ours": f"{project}, counted {weight:g} times", "others": "others"}})
        marks = pd.DataFrame({"reserved_gpus": [best.at, 0.0], "what": ["cheapest", "today"]})
        return charts.capacity(
            long, marks, 4.0 * float(frame["waiting_cost"].min()), self.reservation_finding(project).split(", an")[0],
            f"money of waiting a month by GPUs held for {project}; {self.log.where}, {self.replays.basis}",
            "reserved_gpus", "GPUs held",
        )  # fmt: skip

    def reservation_headline(self, project: str, gpus: float) -> Headline:
        """What a reservation protects, and what it costs the others."""
        before, after = self.reserved(project, 0), self.reserved(project, gpus)
        ours = after["important"]
        change = (after["wait_seconds"] - before["wait_seconds"]) / 3600
        figures = [
            (f"Mean wait of {project}", hours(after.loc[ours, "wait_seconds"].mean()),
             f"{hours(before.loc[ours, 'wait_seconds'].mean())} without"),
            ("of the others", hours(after.loc[~ours, "wait_seconds"].mean()),
             f"{hours(before.loc[~ours, 'wait_seconds'].mean())} without"),
            ("Waiting spared", f"{-change[ours].sum():+z,.0f} h", f"of the jobs of {project}"),
            ("Waiting added", f"{change[~ours].sum():+z,.0f} h", "of the others' jobs"),
        ]  # fmt: skip
        return Headline(f"{gpus:,.0f} of {self.log.gpus:,} GPUs held for {project} ({self.log.where})", figures)

    def reservation_projects(self, project: str, gpus: float) -> pd.DataFrame:
        """Who waits less and who more (see `gained`)."""
        return gained(self.reserved(project, 0), self.reserved(project, gpus), self.log.jobs["project"])

    def reservation_projects_chart(self, project: str, gpus: float):
        """Mean wait by project without and with the reservation; an Altair chart."""
        frame = self.reservation_projects(project, gpus)
        after = f"with {gpus:,.0f} GPUs held for {project}"
        return self.replays.waits_chart(frame, f"now first come, first served, then {after}")

    # Jobs that shrink and grow.

    def grown(self, least_share: float, most_times: float, exponent: float, resize_minutes: float) -> Grown:
        """Jobs of a GPU or more run on this share of their GPUs at least and this multiple at most.

        Parameters
        ----------
        least_share : in (0, 1]; most_times : at least 1.
        exponent : speed is GPUs to this power, in (0, 1].
        resize_minutes : of a checkpoint and a restart.
        """
        gpus = np.ceil(self.log.jobs["gpus"].to_numpy())
        jobs = self.log.jobs.assign(gpus=gpus)
        least = np.maximum(np.ceil(gpus * share("least_share", least_share, above=True)), 1)
        most = np.floor(gpus * within("most_times", most_times, 1, 1000))
        told = {"exponent": exponent, "resize_seconds": 60 * in_range("resize_minutes", resize_minutes, 0, 1e4)}
        after = replay_elastic(jobs, self.log.pool(), least=least, most=most, **told)
        return Grown(self.reserved("", 0), after)

    def grown_headline(self, grown: Grown) -> Headline:
        """What shrinking and growing makes of waiting and of the time to the result."""
        before, after = grown.before, grown.after.jobs
        figures = [
            ("Mean wait", hours(after["wait_seconds"].mean()), f"{hours(before['wait_seconds'].mean())} at fixed size"),
            ("Mean JCT", hours(after["jct_seconds"].mean()),
             f"submission to end; {hours(before['jct_seconds'].mean())} at fixed size"),
            ("GPU-hours", f"{after['gpu_hours'].sum():,.0f}",
             f"held; {before['gpu_hours'].sum():,.0f} at fixed size"),
            ("Resizes", f"{after['resizes'].mean():,.1f}", "a job, in the mean"),
        ]  # fmt: skip
        return Headline(f"Jobs that shrink and grow on {self.log.gpus:,} GPUs ({self.log.where})", figures)

    def grown_chart(self, grown: Grown):
        """Mean wait by project, at fixed size and elastic; an Altair chart."""
        frame = gained(grown.before, grown.after.jobs, self.log.jobs["project"])
        return self.replays.waits_chart(frame, "now at fixed size, then shrinking and growing")

    # Nodes that are rented while jobs wait.

    @cached_property
    def rent_price(self) -> float:
        """On-demand price of a GPU-hour of the pool's model."""
        return self.log.known.money(self.log.gpu_model, "on-demand")

    @property
    def first_rent_price(self) -> float:
        """The same as a slider begins with it."""
        return round(self.rent_price, 2)

    def rented(
        self, most_nodes: int, startup_minutes: float, minimum_hours: float, price: float | None = None
    ) -> Rented:
        """The log on the pool and up to so many nodes that are rented on demand."""
        renting = Renting(
            whole_in_range("most_nodes", most_nodes, 0, 10_000), self.log.gpus_per_node,
            self.rent_price if price is None else in_range("price", price, 0, 1e6),
            60 * in_range("startup_minutes", startup_minutes, 0, 1e5),
            3600 * in_range("minimum_hours", minimum_hours, 0, 1e5), 600.0,
        )  # fmt: skip
        return replay_renting(self.log.jobs, self.log.pool(), renting)

    def rentings(self, startup_minutes: float = 10, minimum_hours: float = 1, price: float | None = None):
        """Money by how many nodes may be rented: `most_nodes`, `mean_wait_seconds`, `rented_gpu_hours`, `rented_cost`,
        `waiting_cost`, `total_cost` (of both).
        """
        supposed, rows = self.log.supposed, []
        hour = supposed["waiting_price_per_hour"] * supposed["people_share"]
        for nodes in np.unique(np.linspace(0, self.log.nodes, POINTS).round().astype(int)):
            found = self.rented(int(nodes), startup_minutes, minimum_hours, price)
            wait = found.jobs["wait_seconds"]
            rows.append({
                "most_nodes": int(nodes), "mean_wait_seconds": wait.mean(), "rented_gpu_hours": found.rented_gpu_hours,
                "rented_cost": found.rented_cost, "waiting_cost": wait.sum() / 3600 * hour,
            })  # fmt: skip
        return pd.DataFrame(rows).assign(total_cost=lambda frame: frame["rented_cost"] + frame["waiting_cost"])

    def renting_finding(self, frame: pd.DataFrame) -> str:
        """The best number of nodes in one sentence."""
        best = frame.loc[frame["total_cost"].idxmin()]
        saved = frame["total_cost"].iloc[0] - best["total_cost"]
        if best["most_nodes"] == 0:
            return "Renting nodes while jobs wait costs more than the waiting that it spares"
        paid = self._money(best["rented_cost"])
        return (f"Renting up to {best['most_nodes']:,.0f} nodes while jobs wait costs {paid} "
                f"and spares {self._money(saved + best['rented_cost'])} of waiting a month")  # fmt: skip

    def rentings_table(self, frame: pd.DataFrame | None = None) -> Table:
        """What renting by demand costs and spares."""
        frame = self.rentings() if frame is None else frame
        shown = frame.assign(mean_wait=[hours(value) for value in frame["mean_wait_seconds"]])
        names = {"most_nodes": "Nodes at most", "mean_wait": "Mean wait", "rented_gpu_hours": "Rented GPU-hours",
                 "rented_cost": "Rented", "waiting_cost": "Waiting", "total_cost": "Both"}  # fmt: skip
        title = (f"{self.renting_finding(frame)} (first come, first served, {self.log.where}; on-demand price beside "
                 f"the owned pool, {self.log.currency})")  # fmt: skip
        return Table(shown, names, title, {"most_nodes": COUNT, "rented_gpu_hours": COUNT, "rented_cost": MONEY,
                                           "waiting_cost": MONEY, "total_cost": MONEY})  # fmt: skip

    def rentings_chart(self, frame: pd.DataFrame | None = None):
        """Money of renting and waiting by nodes; an Altair chart."""
        from dcbudget.charts import optimize as charts

        frame = self.rentings() if frame is None else frame
        long = frame.melt("most_nodes", ["rented_cost", "waiting_cost"], "part", "money")
        long = long.replace({"part": {"rented_cost": "rented GPUs", "waiting_cost": "people who wait"}})
        best = frame.loc[frame["total_cost"].idxmin(), "most_nodes"]
        marks = pd.DataFrame({"most_nodes": [float(best), 0.0], "what": ["cheapest", "today"]})
        return charts.capacity(
            long, marks, 1.05 * float(frame["total_cost"].max()), self.renting_finding(frame),
            f"money a month by nodes that may be rented, first come, first served; on-demand price, "
            f"{self.log.currency}",
            "most_nodes", "nodes",
        )  # fmt: skip

    def _money(self, amount: float) -> str:
        return f"{MONEY.format(amount)} {self.log.currency}"
