"""Energy and carbon of the owned fleet, for the monthly report."""

from functools import cached_property

import pandas as pd

from dcbudget import warehouse
from dcbudget.stages.reading import Reading
from dcbudget.tables import CENTS, COUNT, MONEY, Table


class Carbon:
    """What the owned units drew in a month, with the hall's losses.

    Parameters
    ----------
    reading : the marts, in one currency.
    month : its first day.
    """

    def __init__(self, reading: Reading, month: pd.Timestamp):
        self.reading, self.month = reading, month

    @cached_property
    def monthly(self) -> pd.DataFrame:
        """kWh, kg of CO2 equivalents and cost by month, cluster, kind of unit and GPU model."""
        return self.reading.mart("energy_monthly", ["effective_cost"])

    def table(self) -> Table:
        """Energy, carbon and cost of power, the largest first; carbon is unknown where the fleet does not tell it."""
        frame = self._of(self.month)
        frame["gpu_model"] = frame["gpu_model"].fillna("")
        kwh = frame["kwh"].where(frame["kwh"] > 0)
        frame["cost_per_kwh"] = frame["effective_cost"] / kwh
        frame["kg_co2e_per_kwh"] = frame["kg_co2e"] / kwh
        frame = frame.sort_values("kwh", ascending=False, ignore_index=True)
        names = {"cluster": "Cluster", "kind": "Kind", "gpu_model": "GPU", "kwh": "kWh",
                 "effective_cost": "Cost of power", "cost_per_kwh": "per kWh"}  # fmt: skip
        total = ("kwh", "effective_cost")
        if frame["kg_co2e"].notna().any():
            names |= {"kg_co2e": "kg CO2e", "kg_co2e_per_kwh": "kg CO2e per kWh"}
            total = (*total, "kg_co2e")
        formats = {"kwh": COUNT, "kg_co2e": COUNT, "effective_cost": MONEY, "cost_per_kwh": "{:z.4f}",
                   "kg_co2e_per_kwh": CENTS}  # fmt: skip
        basis = f"effective cost, {self.reading.currency}{self.reading.rates_remark}"
        return Table(frame, names, f"{self._finding()} (kWh with the losses of the hall; {basis})", formats,
                     total)  # fmt: skip

    def _of(self, month: pd.Timestamp) -> pd.DataFrame:
        frame = self.monthly[self.monthly["month"] == month]
        return frame.groupby(["cluster", "kind", "gpu_model"], dropna=False, as_index=False)[
            ["kwh", "kg_co2e", "effective_cost"]
        ].sum(min_count=1)

    def _finding(self) -> str:
        now, before = self._of(self.month), self._of(self.month - pd.DateOffset(months=1))
        if not now["kwh"].sum():
            return f"No energy of owned hardware is known of {self.month:%B %Y}"
        told = f"Owned hardware drew {now['kwh'].sum() / 1000:,.1f} MWh in {self.month:%B %Y}"
        if before["kwh"].sum():
            told += f", {now['kwh'].sum() / before['kwh'].sum() - 1:+.1%} against the month before"
        known = now[now["kg_co2e"].notna()]
        if known.empty:
            published = warehouse.reference("published").set_index("name").loc["kg_co2e_per_kwh"]
            tonnes = now["kwh"].sum() * published["value"] / 1000
            return (
                f"{told}: about {tonnes:,.0f} t CO2e at {published['value']:g} kg a kWh ({published['source']});"
                " the fleet tells no factor of its own"
            )
        share = known["kwh"].sum() / now["kwh"].sum()
        part = "" if share == 1 else f", of the {share:.0%} whose carbon the fleet tells"
        return f"{told}, and with it {known['kg_co2e'].sum() / 1000:,.1f} t CO2e{part}"
