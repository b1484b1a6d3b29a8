"""4_optimize: which work runs on which GPUs in the coming months, and what a little more of everything is worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from dcbudget import warehouse
from dcbudget.errors import ConflictingDemands, OutOfRange
from dcbudget.models import planning
from dcbudget.models.optimize import IDLE, Case, Plan, case, greedy_of, plan, plan_of
from dcbudget.stages.calibration import Calibration
from dcbudget.stages.outlook import Outlook
from dcbudget.stages.period import in_range, named_values, whole_in_range
from dcbudget.tables import COUNT, MONEY, RATE, Headline, Table

OWNED, COMMITTED, SPOT, ON_DEMAND = WAYS = ("owned", "committed", "spot", "on demand")
GAP = 0.005
SECONDS = 20.0
# What is supposed where nothing is measured: share of each model's demand that spot and on-demand GPUs can meet.
LIMITS = {SPOT: 0.2, ON_DEMAND: 1.0}


@dataclass(frozen=True)
class Limits:
    """What a plan must keep to.

    Attributes
    ----------
    money_share : money for GPUs by the hour, as a part of what all demand would need.
    minimum_service : share of every workload that must run.
    power_share : draw of the owned GPUs, as a part of what they draw when all of them work.
    """

    money_share: float = 0.9
    minimum_service: float = 0.5
    power_share: float = 1.0


class Workloads:
    """The best plan of the measured demand on owned, committed, spot and on-demand GPUs.

    A workload is what a project asks for of a GPU model in a month, carried forward as in 1_plan. Its work may run on
    another model with as much memory, as fast as their peaks are to each other. Jobs hold the measured share of a
    capacity; so many more GPU-hours are paid for. Owned and committed GPUs are paid used or not.

    Parameters
    ----------
    known : what was measured.
    months : how many months ahead, 1 to 12.
    worth : project -> what its work is worth, as a multiple of its price on demand; 1 where it is not told.
    limits : see `Limits`.
    database : file, "" for the default one.

    Raises
    ------
    OutOfRange : a project that there is not, or a value outside its range.
    """

    def __init__(
        self,
        known: Calibration,
        months: int = 3,
        worth: Mapping[str, float] | None = None,
        limits: Mapping[str, float] | None = None,
        database: str = "",
    ):
        self.db, self.known = database or None, known
        count = whole_in_range("months_ahead", months, 1, 12)
        self.months = pd.date_range(known.month, periods=count + 1, freq="MS")[1:]
        self.outlook = Outlook(known, self.months, database)
        self.currency = known.currency
        self.span = f"{self.months[0]:%b %Y} to {self.months[-1]:%b %Y}"
        self.basis = f"effective cost, {self.currency}{known.reading.rates_remark}"
        self.worth = named_values("worth", worth)
        if unknown := sorted(self.worth.keys() - set(self.outlook.projects)):
            raise OutOfRange(f"worth must name projects of {', '.join(self.outlook.projects)}, not {unknown[0]!r}")
        for name, value in self.worth.items():
            in_range(f"worth of {name}", value, 0, 1000)
        told = named_values("limits", limits)
        if unknown := sorted(told.keys() - Limits.__dataclass_fields__.keys()):
            raise OutOfRange(f"limits has no {unknown[0]!r}; it has {', '.join(Limits.__dataclass_fields__)}")
        self.first = self.checked(Limits(**told))
        self._plans: dict[Limits, Plan] = {}
        self._cases: dict[Limits, Case] = {}

    def limits(self, money_share: float, minimum_service: float, power_share: float) -> Limits:
        """Limits, checked (see `Limits`)."""
        return self.checked(Limits(money_share, minimum_service, power_share))

    @staticmethod
    def checked(limits: Limits) -> Limits:
        """The limits themselves.

        Raises
        ------
        OutOfRange : one lies outside its range.
        """
        in_range("money_share", limits.money_share, 0, 10)
        in_range("minimum_service", limits.minimum_service, 0, 1)
        in_range("power_share", limits.power_share, 0, 10)
        return limits

    # What it stands on.

    @cached_property
    def demand(self) -> pd.DataFrame:
        """GPU-hours that jobs will hold: `workload`, `project`, `gpu_model`, `month`, `gpu_hours`, `value`."""
        outlook = self.outlook
        found = planning.demand(outlook.drivers(), self.months, outlook.base, outlook.tflops)
        rows = []
        for row, hours in zip(found.drivers.itertuples(), found.quantity, strict=True):
            if row.driver == "gpu_hours" and row.resource in outlook.tflops:
                rows += [(row.project, row.resource, month, amount)
                         for month, amount in zip(self.months, hours, strict=True)]  # fmt: skip
        frame = pd.DataFrame(rows, columns=["project", "gpu_model", "month", "gpu_hours"])
        frame = frame.groupby(["project", "gpu_model", "month"], as_index=False)["gpu_hours"].sum()
        frame = frame[frame["gpu_hours"] > 0].reset_index(drop=True)
        if frame.empty:
            raise OutOfRange("the measured months must hold GPU-hours of jobs; there is nothing to plan")
        names = zip(frame["project"], frame["gpu_model"], frame["month"], strict=True)
        frame["workload"] = [f"{project} on {model}, {month:%b %Y}" for project, model, month in names]
        prices = dict(zip(self.supply.gpu_models, self.supply.on_demand_price, strict=True))
        times = frame["project"].map(self.worth).fillna(1.0).astype(float)
        frame["value"] = frame["gpu_hours"] * frame["gpu_model"].map(prices) * times
        return frame

    @cached_property
    def supply(self) -> planning.Supply:
        """What meets the demand for the models that projects hold."""
        held = self.outlook.held
        return self.outlook.supply(sorted(set(held["gpu_model"]) & self.outlook.tflops.keys()))

    @cached_property
    def capacity(self) -> pd.DataFrame:
        """What there is, as `models.optimize.plan` takes it, with `gpu_model` and `way`.

        Hours are those that jobs can hold, at the measured allocation rate, and bear the price of the rest.
        """
        supply, share, rows = self.supply, self.outlook.base.commitment_share, []
        asked = self.demand.groupby(["gpu_model", "month"])["gpu_hours"].sum()
        # the mean draw of the owned fleet, at the hall's meter
        kw = float(np.nan_to_num(self.known["gpu_watts"].value)) / 1000 * self.outlook.base.pue
        for at, model in enumerate(supply.gpu_models):
            rate = float(supply.allocation_rate[at])
            owned_price = float(np.nan_to_num(self.known.price(model, "owned").value))
            for t, month in enumerate(self.months):
                wanted = float(asked.get((model, month), 0.0))
                kinds = {
                    OWNED: (supply.owned_gpu_hours[at, t] * rate, owned_price / rate, "fixed", kw),
                    COMMITTED: (supply.full_commitment_gpu_hours[at, t] * share * rate,
                                supply.committed_price[at] / rate, "fixed", 0.0),
                    SPOT: (wanted * LIMITS[SPOT], supply.spot_price[at] / rate, "use", 0.0),
                    ON_DEMAND: (wanted * LIMITS[ON_DEMAND], supply.on_demand_price[at] / rate, "use", 0.0),
                }  # fmt: skip
                rows += [(f"{model} {way}", month, *values, model, way) for way, values in kinds.items()]
        columns = ["kind", "month", "gpu_hours", "price_per_gpu_hour", "paid", "kw_per_gpu", "gpu_model", "way"]
        frame = pd.DataFrame(rows, columns=columns)
        return frame[frame["gpu_hours"] > 0].reset_index(drop=True)

    @cached_property
    def able(self) -> pd.DataFrame:
        """Where each workload can run, and how fast against its own model."""
        cards = warehouse.query(
            "select gpu_model, memory_gb::double as memory_gb from accelerators where usual", self.db
        )
        memory = cards.set_index("gpu_model")["memory_gb"].to_dict()
        peak = self.outlook.tflops
        models = self.capacity[["gpu_model", "way"]].drop_duplicates()
        rows = []
        for model in self.demand["gpu_model"].unique():
            for other, way in models.itertuples(index=False):
                fits = other == model or memory.get(other, 0.0) >= memory.get(model, np.inf)
                if fits:
                    rows.append((model, f"{other} {way}", peak[other] / peak[model] if other != model else 1.0))
        speeds = pd.DataFrame(rows, columns=["gpu_model", "kind", "speed"])
        return self.demand[["workload", "gpu_model"]].merge(speeds, on="gpu_model")[["workload", "kind", "speed"]]

    @cached_property
    def _asked(self) -> pd.DataFrame:
        return self.demand.assign(earliest=self.demand["month"], deadline=self.demand["month"])

    @cached_property
    def _case(self) -> Case:
        """Demand and capacity, checked once for all limits."""
        return case(self._asked, self.able, self.capacity)

    def _under(self, limits: Limits) -> Case:
        if limits not in self._cases:
            self._cases = {limits: self._case.under(minimum_service=limits.minimum_service, **self.limits_of(limits))}
        return self._cases[limits]

    @cached_property
    def cheapest(self) -> Plan:
        """The plan that meets all demand for the least money."""
        return plan(self._asked, self.able, self.capacity, goal="money", gap=GAP, seconds=SECONDS)

    def limits_of(self, limits: Limits) -> dict:
        """The same as `models.optimize.plan` takes them."""
        amount = self.cheapest.money_fixed + limits.money_share * self.cheapest.money_by_use
        told = {"budgets": pd.DataFrame({"project": [None], "amount": [round(amount, 2)]})}
        if limits.power_share < 1:
            owned = self.capacity[self.capacity["way"] == OWNED]
            hours = owned["month"].dt.days_in_month * 24.0
            draw = (owned["gpu_hours"] / hours * owned["kw_per_gpu"]).groupby(owned["month"]).sum()
            told["power_kw"] = limits.power_share * draw.reindex(self.months).fillna(0.0).to_numpy()
        return told

    def plan(self, limits: Limits | None = None) -> Plan:
        """The plan of most value within limits; kept.

        Raises
        ------
        ConflictingDemands : nothing keeps to all of them.
        """
        limits = self.checked(limits or self.first)
        if limits not in self._plans:
            self._plans = dict(list(self._plans.items())[-50:])
            try:
                self._plans[limits] = plan_of(self._under(limits), GAP, SECONDS)
            except ConflictingDemands as error:
                raise ConflictingDemands(_in_short(error.demands)) from None
        return self._plans[limits]

    # What is shown.

    @property
    def projects(self) -> list[str]:
        """Projects of the plan."""
        return sorted(set(self.demand["project"]))

    def headline(self, limits: Limits | None = None) -> Headline:
        """What the plan serves, what it pays, and what more money is worth."""
        limits = limits or self.first
        found = self.plan(limits)
        asked = float(self.demand["value"].sum())
        rule = greedy_of(self._under(limits))
        money = found.money_by_use + found.money_fixed
        more = "is as good"
        if found.value - rule.value > 0.0005 * max(asked, 1.0):
            more = f"serves {(found.value - rule.value) / asked:.1%} less"
        if rule.short > 1e-6 * float(self.demand["gpu_hours"].sum()):
            more = "leaves minimum services short"
        figures = [
            ("Served", f"{found.value / asked:.1%}" if asked else "–", "of the demand, by its value"),
            ("GPUs by the hour", self._money(found.money_by_use),
             f"spot and on demand; all demand needs {self._money(self.cheapest.money_by_use)}"),
            ("GPUs that are there", self._money(found.money_fixed), "owned and committed, used or not"),
            ("Together", self._money(money), f"{limits.money_share:.0%} of the money by the hour is there"),
            ("Proven", f"within {found.gap:.2%}", f"of the best there is; the greedy rule {more}"),
        ]  # fmt: skip
        return Headline(f"Plan {self.span} ({self.basis})", figures)

    def ways(self, limits: Limits | None = None) -> pd.DataFrame:
        """GPU-hours by `gpu_model`, `way` (idle hours apart) and `month`."""
        rows = self.plan(limits).rows
        kinds = self.capacity.drop_duplicates("kind").set_index("kind")
        frame = rows.assign(gpu_model=rows["kind"].map(kinds["gpu_model"]), way=rows["kind"].map(kinds["way"]))
        frame["way"] = frame["way"].where(frame["workload"] != IDLE, "idle")
        return frame.groupby(["gpu_model", "way", "month"], as_index=False)[["gpu_hours", "money"]].sum()

    def ways_chart(self, limits: Limits | None = None):
        """Where the work runs, month by month; an Altair chart."""
        from dcbudget.charts import plan as charts

        frame = self.ways(limits).groupby(["month", "way"], as_index=False)["gpu_hours"].sum()
        order = [way for way in (*WAYS, "idle") if way in set(frame["way"])]
        frame = frame.set_index("way").loc[order].reset_index().rename(columns={"way": "source"})
        served = frame[frame["source"] != "idle"].groupby("source")["gpu_hours"].sum()
        title = f"{served.get(OWNED, 0.0) / served.sum():.0%} of the work runs on owned GPUs"
        return charts.supply(frame, title, f"GPU-hours that jobs hold, all models, {self.span}")

    def projects_table(self, limits: Limits | None = None) -> Table:
        """What each project asks for, gets and pays, and what one more of money is worth to it."""
        found = self.plan(limits)
        frame = found.workloads.groupby("project", as_index=False)[["value", "money"]].sum()
        frame["asked"] = frame["project"].map(self.demand.groupby("project")["value"].sum())
        frame["served"] = frame["value"] / frame["asked"]
        frame["worth"] = frame["project"].map(self.worth_of_money(limits)).astype(float)
        frame = frame.sort_values(["worth", "project"], ascending=[False, True], ignore_index=True)
        names = {"project": "Project", "asked": "Asked for, at its worth", "served": "Served", "money": "Money",
                 "worth": "One more is worth"}  # fmt: skip
        formats = {"asked": MONEY, "served": RATE, "money": MONEY, "worth": "{:z,.2f}"}
        title = f"{self.finding(limits)} ({self.span}; {self.basis})"
        return Table(frame, names, title, formats, ("asked", "money"))

    def worth_of_money(self, limits: Limits | None = None) -> pd.Series:
        """What one more of money for a project's use is worth, by project, its price not taken off."""
        worth = self.plan(limits).worth
        rows = worth[(worth["resource"] == "money") & worth["project"].notna()]
        return rows.set_index("project")["worth"]

    def finding(self, limits: Limits | None = None) -> str:
        """What one more of money is worth, in words."""
        worth = self.worth_of_money(limits).sort_values(ascending=False, kind="stable")
        if worth.empty or worth.iloc[0] <= 0:
            return f"More money is worth nothing: what there is serves all that can be served ({self.currency})"
        names = [f"{worth.iloc[0]:,.2f} for {worth.index[0]}", f"{worth.iloc[-1]:,.2f} for {worth.index[-1]}"]
        if np.isclose(worth.iloc[0], worth.iloc[-1], atol=0.005):
            return f"One more {self.currency} is worth {worth.iloc[0]:,.2f} for every project"
        return f"One more {self.currency} is worth {names[0]} and {names[1]}"

    def worth_table(self, limits: Limits | None = None) -> Table:
        """What one more GPU-month of each kind is worth, in the mean of the months; by the hour, beyond its price."""
        found = self.plan(limits).worth
        pool = found[found["resource"].isin(["GPU-month", "kW"]) & found["project"].isna()]
        frame = pool.assign(kind=pool["kind"].fillna("power"))
        frame = frame.groupby(["resource", "kind"], as_index=False)["worth"].mean()
        hours = float(self.months.days_in_month.to_numpy().mean()) * 24
        there = self.capacity[self.capacity["paid"] == "fixed"]
        price = there.groupby("kind")["price_per_gpu_hour"].mean() * hours
        frame["price"] = frame["kind"].map(price)
        frame = frame.sort_values("worth", ascending=False, kind="stable", ignore_index=True)
        frame = frame[frame["worth"] > 0].reset_index(drop=True)
        names = {"resource": "One more", "kind": "of", "worth": "is worth", "price": "and costs, used or not"}
        title = "No capacity is short"
        if len(frame):
            top = frame.iloc[0]
            title = f"One more {top['resource']} of {top['kind']} is worth {self._money(top['worth'])}"
        by_hour = set(self.capacity["kind"]) - set(there["kind"])
        beyond = "; by the hour beyond its price" if frame["kind"].isin(by_hour).any() else ""
        return Table(frame, names, f"{title} ({self.span}, mean of the months{beyond}; {self.basis})",
                     {"worth": MONEY, "price": MONEY})  # fmt: skip

    def workloads_table(self, limits: Limits | None = None) -> Table:
        """The workloads that are served least."""
        found = self.plan(limits).workloads
        frame = found[found["served"] < 1].sort_values(["served", "workload"], ignore_index=True).head(12)
        title = f"{(found['served'] < 1).sum():,} of {len(found):,} workloads are not served in full"
        return Table(frame, {"workload": "Workload", "served": "Served", "money": "Money"},
                     f"{title} ({self.span}; {self.basis})", {"served": RATE, "money": MONEY})  # fmt: skip

    def capacity_table(self) -> Table:
        """What there is to run on, by kind, over all months."""
        frame = self.capacity.groupby(["gpu_model", "way", "paid"], as_index=False, sort=False).agg(
            gpu_hours=("gpu_hours", "sum"), price_per_gpu_hour=("price_per_gpu_hour", "mean")
        )
        names = {"gpu_model": "GPU", "way": "Way", "gpu_hours": "GPU-hours that jobs can hold",
                 "price_per_gpu_hour": "Price of each"}  # fmt: skip
        return Table(frame, names, f"Capacity {self.span} at the measured allocation rate ({self.basis})",
                     {"gpu_hours": COUNT, "price_per_gpu_hour": "{:z,.2f}"})  # fmt: skip

    def _money(self, amount: float) -> str:
        return f"{MONEY.format(amount)} {self.currency}"


def _in_short(demands: list[str]) -> list[str]:
    """Demands that conflict, with many minimum services told as one."""
    needs = [demand for demand in demands if " needs " in demand]
    if len(needs) <= 3:
        return demands
    others = [demand for demand in demands if " needs " not in demand]
    return [f"{len(needs):,} workloads have a minimum service, such as: {needs[0]}", *others]
