"""4_optimize: how many GPUs cost least once the people who wait for them are paid, and how flat that is."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

import numpy as np
import pandas as pd

from dcbudget import results
from dcbudget.errors import DcbudgetError
from dcbudget.models.replay import grid, sweep
from dcbudget.models.replay.waiting import Cheapest, cheapest, with_money
from dcbudget.stages.period import in_range, whole_in_range
from dcbudget.stages.replays import POLICIES, Replays, hours
from dcbudget.tables import COUNT, MONEY, RATE, Table

KEPT = "replay_sweep"
# Capacities that are tried, from what the largest job needs to this many times what there is.
MOST_TIMES = 1.5
POINTS = 13
FLAT = 0.05
# Jobs that a sweep replays in all, from which on starting more processes is worth it.
LONG = 2_000_000
# What of the suppositions a replay depends on.
USED = ("checkpoint_minutes", "restart_minutes", "unknown_job_hours")
# What of a replay the money is worked out from.
COLUMNS = ["policy", "gpus", "jobs", "mean_wait_seconds", "p95_wait_seconds", "utilisation", "makespan_seconds"]


class Frontier:
    """Every policy on pools of several sizes, with the money of GPUs and of waiting.

    The replays are kept in the database by their parameters, so that they are computed once.

    Parameters
    ----------
    replays : the log, and how it is replayed.
    processes : that replay at once; 0 for one a core where the sweep is long enough to gain by it, else one.
    """

    def __init__(self, replays: Replays, processes: int = 0):
        self.replays, self.log = replays, replays.log
        self._processes = whole_in_range("processes", processes, 0, 256)
        self._points: pd.DataFrame | None = None

    @property
    def nodes(self) -> list[int]:
        """Sizes of the pool that are tried, in nodes; today's is among them."""
        low = min(self.log.least_nodes, self.log.nodes)
        high = max(int(np.ceil(MOST_TIMES * self.log.nodes)), low)
        return sorted({*np.linspace(low, high, POINTS).round().astype(int).tolist(), self.log.nodes})

    @property
    def count(self) -> int:
        """Replays of the whole sweep."""
        return len(POLICIES) * len(self.nodes)

    @property
    def processes(self) -> int:
        """How many replay at once."""
        if self._processes or self.count * len(self.log.jobs) < LONG:
            return self._processes or 1
        from joblib import cpu_count

        return cpu_count()

    def points(
        self,
        on_progress: Callable[[int, int, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> pd.DataFrame:
        """Metrics by `policy` and `gpus`; kept ones where they are known.

        Raises
        ------
        DcbudgetError : it was cancelled before it was done; nothing is kept then.
        """
        if self._points is None:
            told = self._parameters
            inputs = {**told, "jobs": self.log.jobs}
            self._points = results.computed(
                KEPT, inputs, lambda: self._swept(on_progress, cancelled), self.log.db, told
            )
        return self._points

    def known(self) -> bool:
        """Whether the replays are there, so that nothing has to be computed."""
        if self._points is None:
            key = results.key_of({**self._parameters, "jobs": self.log.jobs})
            if results.is_kept(KEPT, key, self.log.db):
                self._points = results.kept(KEPT, key, self.log.db)
        return self._points is not None

    @property
    def _parameters(self) -> dict[str, object]:
        first, log = asdict(self.replays.first), self.log
        told = {name: first[name] for name in ("planned_by", "placement", "important")}
        pool = {"pool": log.name, "month": f"{log.month:%Y-%m}", "gpus_per_node": log.gpus_per_node}
        return {**pool, **told, "nodes": self.nodes, "policies": list(POLICIES),
                **{name: log.supposed[name] for name in USED}}  # fmt: skip

    def _swept(self, on_progress, cancelled) -> pd.DataFrame:
        replays, log = self.replays, self.log
        planned = log.planned(replays.first.planned_by)
        done: list[pd.DataFrame] = []
        if planned is None:
            done.append(self._one_by_one(on_progress, cancelled))
        else:
            cases = [
                case
                for name, policy in POLICIES.items()
                for case in grid(
                    {f"{nodes} nodes": log.cluster(nodes) for nodes in self.nodes}, [policy], requested=planned,
                    **replays.arguments(replace(replays.first, policy=name)),
                )
            ]  # fmt: skip
            done.append(sweep(log.jobs, cases, processes=self.processes, on_progress=on_progress, cancelled=cancelled))
        frame = pd.concat(done)
        if len(frame) < self.count:
            raise DcbudgetError(f"the sweep was stopped after {len(frame):,} of {self.count:,} replays; none is kept")
        return frame[COLUMNS].reset_index(drop=True)

    def _one_by_one(self, on_progress, cancelled) -> pd.DataFrame:
        """The same where run times are predicted anew in each replay."""
        rows: list[dict] = []
        for name in POLICIES:
            for nodes in self.nodes:
                if cancelled and cancelled():
                    return pd.DataFrame(rows, columns=COLUMNS)
                setting = replace(self.replays.first, policy=name, nodes=nodes)
                rows.append({**self.replays.figures(setting), "policy": name})
                if on_progress:
                    on_progress(len(rows), self.count, f"{name}, {nodes} nodes")
        return pd.DataFrame(rows)

    # Money.

    def money(
        self,
        policy: str = "",
        waiting_price: float | None = None,
        people_share: float | None = None,
        price: float | None = None,
    ) -> pd.DataFrame:
        """The frontier of a policy: `gpus`, `mean_wait_seconds`, `capacity_cost`, `waiting_cost`, `total_cost`, ...

        Parameters
        ----------
        policy : "" for the one that is tried.
        waiting_price : of an hour of a person who waits [money]; None for what is supposed.
        people_share : of a job's wait in which somebody waits; None for what is supposed.
        price : of a GPU-hour [money]; None for the pool's effective one.
        """  # fmt: skip
        supposed, own = self.log.supposed, self.log.price
        frame = self.points()
        frame = frame[frame["policy"] == (policy or self.replays.first.policy)]
        frame = frame.assign(waited_hours=frame["mean_wait_seconds"] * frame["jobs"] / 3600)
        return with_money(
            frame, "gpus", hours=self.log.hours,
            gpu_price_per_hour=own if price in (None, self.first_price) else in_range("price", price, 0, 1e6),
            waiting_price_per_hour=supposed["waiting_price_per_hour"] if waiting_price is None else waiting_price,
            people_share=supposed["people_share"] if people_share is None else people_share,
        )  # fmt: skip

    def best(self, frame: pd.DataFrame) -> Cheapest:
        """Where a frontier costs least."""
        return cheapest(frame, "gpus", FLAT)

    def saving(self, frame: pd.DataFrame) -> float:
        """What the cheapest size costs less than today's, a month [money]."""
        now = frame.loc[frame["gpus"] == self.log.gpus, "total_cost"].iloc[0]
        return float(now - self.best(frame).cost)

    # What is shown.

    @property
    def first_price(self) -> float:
        """Of a GPU-hour, as a slider begins with it."""
        return round(float(np.nan_to_num(self.log.price)), 2)

    @property
    def price_remark(self) -> str:
        """Where that is from."""
        return f"effective cost of an owned {self.log.gpu_model}, power and staff included"

    def unknown_table(self) -> Table:
        """What is shown before the replays are there."""
        frame = pd.DataFrame({"what": ["policies", "sizes of the pool"],
                              "count": [float(len(POLICIES)), float(len(self.nodes))]})  # fmt: skip
        title = f"Not replayed yet: {self.count:,} replays, whose results are kept in the database"
        return Table(frame, {"what": "What", "count": "Number"}, title, {"count": COUNT})

    def finding(self, frame: pd.DataFrame | None = None) -> str:
        """The cheapest size in one sentence."""
        frame = self.money() if frame is None else frame
        best, saved = self.best(frame), self.saving(frame)
        policy, money = frame["policy"].iloc[0], f"{MONEY.format(best.cost)} {self.log.currency}"
        beyond = ", the edge of what was tried," if best.at_edge else ""
        less = f"{MONEY.format(saved)} {self.log.currency} less than the {self.log.gpus:,} of today"
        if best.at == self.log.gpus:
            less = "as many as there are"
        flat = f"from {best.low:,.0f} to {best.high:,.0f} GPUs it costs at most {FLAT:.0%} more"
        if best.low == best.high:
            flat = f"every other size that was tried costs over {FLAT:.0%} more"
        return f"Under {policy} {best.at:,.0f} GPUs{beyond} cost least, {money} a month with waiting, {less}; {flat}"

    def chart(self, frame: pd.DataFrame | None = None):
        """Money of GPUs and of waiting by the number of GPUs; an Altair chart."""
        from dcbudget.charts import optimize as charts

        frame = self.money() if frame is None else frame
        best = self.best(frame)
        long = frame.melt("gpus", ["capacity_cost", "waiting_cost"], "part", "money")
        long = long.replace({"part": {"capacity_cost": "GPUs", "waiting_cost": "people who wait"}})
        marks = pd.DataFrame({"gpus": [best.at, float(self.log.gpus)], "what": ["cheapest", "today"]})
        # beyond a few times the least, waiting alone sets the scale
        most = 3.0 * best.cost
        shown = f"{best.at:,.0f} GPUs cost least with the people who wait, {MONEY.format(best.cost)} a month"
        return charts.capacity(
            long, marks, most, shown, f"money a month by GPUs of {self.log.where}, {frame['policy'].iloc[0]}; "
            f"{self.replays.basis}",
        )  # fmt: skip

    def table(self, frame: pd.DataFrame | None = None) -> Table:
        """The frontier of one policy."""
        frame = self.money() if frame is None else frame
        shown = frame.assign(
            mean_wait=[hours(seconds) for seconds in frame["mean_wait_seconds"]],
            drain_hours=np.maximum(frame["makespan_seconds"] / 3600 - self.log.hours, 0.0),
            used=np.minimum(frame["utilisation"], 1.0),
        )
        names = {"gpus": "GPUs", "mean_wait": "Mean wait", "used": "Utilisation", "drain_hours": "Beyond the month, h",
                 "capacity_cost": "Money of GPUs", "waiting_cost": "of waiting", "total_cost": "Together"}  # fmt: skip
        formats = {"gpus": COUNT, "used": RATE, "drain_hours": COUNT, "capacity_cost": MONEY, "waiting_cost": MONEY,
                   "total_cost": MONEY}  # fmt: skip
        return Table(shown, names, f"{self.finding(frame)} ({self.log.where}; {self.replays.basis})", formats)

    def policies_table(self, **money: float) -> Table:
        """The cheapest size under every policy."""
        rows = []
        for name in POLICIES:
            frame = self.money(name, **money)
            best = self.best(frame)
            at = frame[frame["gpus"] == best.at].iloc[0]
            rows.append({"policy": name, "gpus": best.at, "flat": f"{best.low:,.0f} to {best.high:,.0f}",
                         "mean_wait": hours(at["mean_wait_seconds"]), "total_cost": best.cost})  # fmt: skip
        table = pd.DataFrame(rows).sort_values("total_cost", kind="stable", ignore_index=True)
        first, now = table.iloc[0], table[table["policy"] == self.replays.now.policy].iloc[0]
        saved = now["total_cost"] - first["total_cost"]
        names = {"policy": "Policy", "gpus": "Cheapest GPUs", "flat": f"Within {FLAT:.0%}", "mean_wait": "Mean wait",
                 "total_cost": "GPUs and waiting"}  # fmt: skip
        title = (f"{first['policy']} on {first['gpus']:,.0f} GPUs costs least, {MONEY.format(saved)} "
                 f"{self.log.currency} a month less than the best size under {now['policy']} "
                 f"({self.log.where}; {self.replays.basis})")  # fmt: skip
        return Table(table, names, title, {"gpus": COUNT, "total_cost": MONEY})

    def listed(self) -> list[Mapping]:
        """Parameters of the sweeps that are kept, the latest first."""
        return results.listed(KEPT, self.log.db).to_dict("records")
