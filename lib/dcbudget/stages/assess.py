"""2_assess: what do we own and rent, how well is it used, where is the bottleneck?"""

from functools import cached_property

import pandas as pd

from dcbudget import warehouse
from dcbudget.models import capacity
from dcbudget.stages.period import in_range, months_with_bills, parse_month, whole_month
from dcbudget.stages.reading import POOL_MONEY, Reading
from dcbudget.tables import CENTS, COUNT, HOURS, MONEY, RATE, SIGNED, Headline, Table


class Assessment:
    """Resources of one month: compute, storage and network; capacity, allocated, used, idle, queue.

    Parameters
    ----------
    month : "YYYY-MM", "" for the latest with charges.
    database : file, "" for the default one.
    target_allocation : share of GPU-hours that should be held, decimal in [0.05, 1].
    demand_growth : change of demand, decimal in [-0.9, 3].
    currency : the currency of every amount, "" for the only one there is.

    Raises
    ------
    DcbudgetError : no database, no such month, a value out of range, several currencies without a rate.
    """

    def __init__(
        self,
        month: str = "",
        database: str = "",
        target_allocation: float = 0.8,
        demand_growth: float = 0.0,
        currency: str = "",
    ):
        self.db = database or None
        self.target_allocation = in_range("target_allocation", target_allocation, 0.05, 1)
        self.demand_growth = in_range("demand_growth", demand_growth, -0.9, 3)
        self.months = months_with_bills(self.db)
        self.month = parse_month(month or whole_month(self.months, self.db), self.months)
        self.hours = self.month.days_in_month * 24.0
        self.reading = Reading(database, currency, self.month, least_group=1)  # shows pools, and no project
        self.currency = self.reading.currency
        self.basis = f"effective cost, {self.currency}{self.reading.rates_remark}"

    @cached_property
    def pools_by_month(self) -> pd.DataFrame:
        frame = self.reading.mart("gpu_hours_monthly", POOL_MONEY)
        frame = capacity.by_pool(frame[frame["month"].isin(self.months)])
        return frame.assign(pool=_pool(frame))

    @cached_property
    def pools(self) -> pd.DataFrame:
        return self.pools_by_month[self.pools_by_month["month"] == self.month].reset_index(drop=True)

    @cached_property
    def waits_frame(self) -> pd.DataFrame:
        frame = warehouse.mart("queue_wait_monthly", self.db, month=self.month.date())
        names = frame["partition"].fillna("no partition")
        frame["partition"] = names.where(~names.duplicated(keep=False), names + " of " + frame["cluster"])
        return frame.sort_values("wait_p95_seconds", ascending=False, ignore_index=True)

    def headline(self) -> Headline:
        """Capacity, allocation, utilisation, idle money and the longest queue."""
        known = self.pools[self.pools["capacity_gpu_hours"] > 0]
        gpus = known["capacity_gpu_hours"].sum() / self.hours
        figures = [("GPUs", f"{gpus:,.0f}", f"mean of {self.month:%B %Y}, owned and rented pools")]
        if len(known):
            rate = known["allocated_gpu_hours"].sum() / known["capacity_gpu_hours"].sum()
            figures.append(("Allocated", f"{rate:.1%}", "of capacity GPU-hours"))
            measured = known["measured_gpu_hours"].sum()
            if measured > 0:
                figures.append(
                    ("GPU utilisation", f"{known['used_gpu_hours'].sum() / measured:.1%}", "of allocated, as measured")
                )
            figures.append(
                ("Idle money", f"{MONEY.format(known['idle_effective_cost'].sum())} {self.currency}", "effective cost")
            )
        if len(self.waits_frame):
            worst = self.waits_frame.iloc[0]
            figures.append(
                (
                    "Longest queue",
                    str(worst["partition"]),
                    f"95 % start within {worst['wait_p95_seconds'] / 3600:,.1f} h",
                )
            )
        return Headline(f"Resources in {self.month:%B %Y}", figures)

    def inventory(self) -> Table:
        """What is owned."""
        frame = warehouse.mart("inventory", self.db).assign(month=lambda known: known["in_service_date"])
        frame = self.reading.convert(frame, ["purchase_cost"])
        in_use = pd.to_datetime(frame["in_service_date"]) < self.month + pd.DateOffset(months=1)
        kept = frame["retire_date"].isna() | (pd.to_datetime(frame["retire_date"]) > self.month)
        frame = frame[in_use & kept].sort_values(["kind", "purchase_cost"], ascending=[True, False])
        names = {"kind": "Kind", "description": "What", "cluster": "Cluster", "units": "Units", "gpu_model": "GPU",
                 "gpus": "GPUs", "in_service_date": "In service", "kw": "kW drawn",
                 "purchase_cost": "Purchase price"}  # fmt: skip
        formats = {"units": COUNT, "gpus": COUNT, "kw": HOURS, "purchase_cost": MONEY}
        owned = f"{int(frame['gpus'].sum())} owned GPUs drawing {frame['kw'].sum():,.0f} kW with all else"
        title = f"{owned} (purchase price, {self.currency})"
        return Table(frame, names, title, formats, ("gpus", "kw", "purchase_cost"))

    def gpu_hours(self) -> Table:
        """GPU-hours by pool and kind of accelerator."""
        names = {"pool": "Pool", "capacity_gpu_hours": "Capacity", "allocated_gpu_hours": "Allocated",
                 "used_gpu_hours": "Used (measured)", "idle_gpu_hours": "Idle",
                 "allocation_rate": "Allocated / capacity", "gpu_utilisation": "GPU utilisation",
                 "effective_cost_per_gpu_hour": "Cost per GPU-hour of capacity"}  # fmt: skip
        formats = dict.fromkeys(
            ("capacity_gpu_hours", "allocated_gpu_hours", "used_gpu_hours", "idle_gpu_hours"), COUNT
        )
        formats |= {"allocation_rate": RATE, "gpu_utilisation": RATE, "effective_cost_per_gpu_hour": CENTS}
        total = ("capacity_gpu_hours", "allocated_gpu_hours", "used_gpu_hours", "idle_gpu_hours")
        return Table(self.pools, names, f"{self._pool_finding()} (GPU-hours; {self.basis})", formats, total)

    def occupancy_chart(self):
        """Allocation rate by day and pool over the last three months."""
        from dcbudget import charts

        daily = warehouse.mart("gpu_hours_daily", self.db)
        daily["day"] = pd.to_datetime(daily["day"])
        first, end = self.month - pd.DateOffset(months=2), self.month + pd.DateOffset(months=1)
        daily = daily[(daily["day"] >= first) & (daily["day"] < end) & (daily["capacity_gpu_hours"] > 0)].copy()
        daily["pool"] = _pool(daily)
        daily["allocation_rate"] = daily["allocated_gpu_hours"] / daily["capacity_gpu_hours"]
        return charts.show(
            charts.occupancy(
                daily, self._pool_finding(), f"share of capacity GPU-hours allocated, by day, to {self.month:%B %Y}"
            )
        )

    def idle_chart(self):
        """Idle money by pool and month."""
        from dcbudget import charts

        frame = self.pools_by_month[self.pools_by_month["month"] <= self.month].copy()
        frame["idle"] = frame["idle_effective_cost"].astype(float)
        totals = frame.groupby("month")["idle"].sum()
        title = f"Idle money was {MONEY.format(totals.get(self.month, 0.0))} {self.currency} in {self.month:%B %Y}"
        return charts.show(
            charts.monthly_lines(
                frame, "idle", "pool", title, f"cost of capacity that no job held, {self.basis}, by month"
            )
        )

    def waits(self) -> Table:
        """Queue wait by partition."""
        frame = self.waits_frame.assign(
            mean=self.waits_frame["wait_mean_seconds"] / 3600,
            p50=self.waits_frame["wait_p50_seconds"] / 3600,
            p95=self.waits_frame["wait_p95_seconds"] / 3600,
        )
        names = {
            "partition": "Partition",
            "jobs": "GPU jobs started",
            "p50": "Median wait, h",
            "mean": "Mean wait, h",
            "p95": "95 % wait, h",
        }
        return Table(frame, names, self._queue_finding(), {"jobs": COUNT, "p50": CENTS, "mean": CENTS, "p95": CENTS})

    def waits_chart(self):
        from dcbudget import charts

        frame = self.waits_frame.melt("partition", ["wait_p50_seconds", "wait_p95_seconds"], "quantile", "seconds")
        frame["quantile"] = frame["quantile"].map({"wait_p50_seconds": "median", "wait_p95_seconds": "95 %"})
        frame["hours"] = frame["seconds"] / 3600
        return charts.show(
            charts.waits(
                frame,
                self._queue_finding(),
                f"hours from submission to start, GPU jobs submitted in {self.month:%B %Y}",
            )
        )

    def storage_and_network(self) -> Table:
        """Storage and network of the month, owned and rented."""
        frame = self.reading.mart("resource_monthly", ["effective_cost"])
        frame = frame[frame["resource"].isin(["storage", "network"])]
        frame = frame.groupby(["month", "resource", "owned", "unit"], dropna=False, as_index=False)
        frame = frame[["quantity", "effective_cost"]].sum(min_count=1)
        now = frame[frame["month"] == self.month]
        before = frame[frame["month"] == self.month - pd.DateOffset(months=1)]
        keys = ["resource", "owned", "unit"]
        table = now.merge(before[[*keys, "effective_cost"]], on=keys, how="outer", suffixes=("", "_before"))
        costs = ["effective_cost", "effective_cost_before"]
        table[costs] = table[costs].fillna(0)
        table["whose"] = table["owned"].map({True: "owned", False: "rented"})
        table["change"] = table["effective_cost"] - table["effective_cost_before"]
        names = {"resource": "Resource", "whose": "Owned or rented", "unit": "Unit", "quantity": "Quantity",
                 "effective_cost": "Cost", "change": "Change since the month before"}  # fmt: skip
        formats = {"quantity": COUNT, "effective_cost": MONEY, "change": SIGNED}
        cost = table.groupby("resource")["effective_cost"].sum()
        parts = " and ".join(f"{resource} {MONEY.format(amount)} {self.currency}" for resource, amount in cost.items())
        return Table(table, names, f"This month: {parts or 'no storage or network'} ({self.basis})", formats)

    def storage_and_network_chart(self):
        from dcbudget import charts

        frame = self.reading.mart("resource_monthly", ["effective_cost"])
        frame = frame[frame["resource"].isin(["storage", "network"]) & frame["month"].isin(self.months)]
        frame = (
            frame[frame["month"] <= self.month].groupby(["month", "resource"], as_index=False)["effective_cost"].sum()
        )
        frame["cost"] = frame["effective_cost"].astype(float)
        peak = frame.loc[frame["cost"].idxmax()] if len(frame) else None
        title = (
            "Storage and network"
            if peak is None
            else f"{peak['resource'].capitalize()} peaked in {peak['month']:%B %Y}"
        )
        return charts.show(charts.monthly_lines(frame, "cost", "resource", title, f"{self.basis}, by month"))

    def need(self, target_allocation: float | None = None, demand_growth: float | None = None) -> capacity.Need:
        """GPUs that the month's demand needs; the parameters' values where none are given."""
        known = self.pools[self.pools["capacity_gpu_hours"] > 0]
        target = self.target_allocation if target_allocation is None else target_allocation
        growth = self.demand_growth if demand_growth is None else demand_growth
        return capacity.need(known, self.hours, target, growth)

    def need_headline(self, need: capacity.Need) -> Headline:
        """The answer in two figures."""
        spare = need.gpus_spare
        word = "GPUs to spare" if spare >= 0 else "GPUs short"
        money = f"{MONEY.format(abs(need.spare_cost_per_month))} {self.currency} a month"
        figures = [
            (word, f"{abs(spare):,.1f}", "all pools"),
            ("Worth", money, "effective cost of capacity, at each pool's average"),
        ]
        return Headline("What the demand needs", figures)

    def need_chart(self, need: capacity.Need):
        """GPUs now and needed by pool; an Altair chart, for a panel to show."""
        from dcbudget import charts

        frame = need.pools.rename(columns={"gpus_now": "now", "gpus_needed": "needed"})
        frame = frame.melt("pool", ["now", "needed"], "what", "gpus")
        word = "to spare" if need.gpus_spare >= 0 else "short"
        return charts.needs(
            frame, f"{abs(need.gpus_spare):,.0f} GPUs {word}", f"GPUs by pool, demand of {self.month:%B %Y}"
        )

    def need_table(self, need: capacity.Need) -> Table:
        names = {"pool": "Pool", "gpus_now": "GPUs now", "gpus_needed": "GPUs needed", "gpus_spare": "To spare",
                 "spare_cost_per_month": "Worth a month"}  # fmt: skip
        formats = {"gpus_now": HOURS, "gpus_needed": HOURS, "gpus_spare": "{:+z,.1f}", "spare_cost_per_month": SIGNED}
        return Table(need.pools, names, f"GPUs now and needed by pool ({self.basis})", formats,
                     ("gpus_now", "gpus_needed", "gpus_spare", "spare_cost_per_month"))  # fmt: skip

    def _pool_finding(self) -> str:
        known = self.pools[self.pools["capacity_gpu_hours"] > 0]
        if known.empty:
            return f"No GPU capacity is known for {self.month:%B %Y}"
        low = known.loc[known["allocation_rate"].idxmin()]
        return f"{low['pool']} is the emptiest pool: {low['allocation_rate']:.0%} of its GPU-hours were allocated"

    def _queue_finding(self) -> str:
        if self.waits_frame.empty:
            return f"No GPU job started in {self.month:%B %Y}"
        worst = self.waits_frame.iloc[0]
        hours = worst["wait_p95_seconds"] / 3600
        return f"The bottleneck is {worst['partition']}: one job in twenty waits over {hours:,.1f} hours"


def _pool(frame: pd.DataFrame) -> pd.Series:
    return frame["cluster"].fillna("") + " " + frame["gpu_model"].fillna("GPU of unknown model")
