"""3_control, first half: where does the money go, and is it paid for in the cheapest way?"""

from functools import cached_property

import pandas as pd

from dcbudget import warehouse
from dcbudget.models import allocation, ledger, savings
from dcbudget.models.privacy import INSIDE
from dcbudget.stages.calibration import Calibration
from dcbudget.stages.period import (
    billed_to,
    months_with_bills,
    named_values,
    parse_month,
    whole_in_range,
    whole_month,
)
from dcbudget.stages.reading import Reading
from dcbudget.tables import COUNT, MONEY, RATE, SIGNED, Headline, Table

IDLE, UNALLOCATED = "Idle capacity", "Unallocated"
LOST = ("held above use", "failed or restarted", "held but idle")


class Control:
    """Where one month's money for GPUs went, and how it was paid for; effective cost unless a title says otherwise.

    Parameters
    ----------
    month : "YYYY-MM", "" for the latest with charges.
    database : file, "" for the default one.
    currency : the currency of every amount, "" for the only one there is.
    share_idle : how projects bear idle capacity when they are charged: none, proportional, even or fixed.
    idle_weights : project -> weight, for fixed.
    least_group : projects and user groups of fewer users are shown together.

    Raises
    ------
    DcbudgetError : no database, no such month, a value out of range, several currencies without a rate.
    """

    def __init__(
        self,
        month: str = "",
        database: str = "",
        currency: str = "",
        share_idle: str = "proportional",
        idle_weights: dict[str, float] | None = None,
        least_group: int = INSIDE,
    ):
        self.database, self.db = database, database or None
        self.months = months_with_bills(self.db)
        self.month = parse_month(month or whole_month(self.months, self.db), self.months)
        self.share_idle, self.idle_weights = share_idle, named_values("idle_weights", idle_weights)
        least_group = whole_in_range("least_group", least_group, 1, 1000)
        self.reading = Reading(database, currency, self.month, least_group)
        self.currency = self.reading.currency
        self.basis = f"effective cost, {self.currency}{self.reading.rates_remark}"

    @cached_property
    def known(self) -> Calibration:
        """What was measured up to the month."""
        return Calibration(self.month, self.database, self.currency)

    # Who used it.

    @cached_property
    def people(self) -> pd.DataFrame:
        """GPU-hours and money of the month by project, user group and bucket."""
        frame = self.reading.groups(self.reading.convert(self._mart("people_monthly"), ["effective_cost"]))
        frame["project"] = frame["project"].replace(self.reading.names)
        keys = ["project", "user_group", "bucket"]
        return frame.groupby(keys, dropna=False, as_index=False)[["gpu_hours", "effective_cost"]].sum()

    @cached_property
    def charged(self) -> pd.DataFrame:
        """Showback, share of idle and chargeback by project and user group."""
        weights: dict[str, float] = {}
        for project, weight in self.idle_weights.items():
            shown = self.reading.names.get(project, project)
            weights[shown] = weights.get(shown, 0.0) + weight
        costs = self.people.rename(columns={"effective_cost": "cost"})
        return allocation.chargeback(costs, self.share_idle, weights, IDLE)

    def headline(self) -> Headline:
        """What GPUs cost, what of it was useful, and what the ways of paying saved."""
        total = self.people["effective_cost"].sum()
        figures = [("GPUs", self._money(total), f"effective cost, {self.month:%B %Y}")]
        if total:
            useful = self.people.loc[self.people["bucket"] == "useful", "effective_cost"].sum()
            figures.append(("Useful", f"{useful / total:.1%}", "of it; the rest failed, was idle or is unknown"))
        rates = self.rates.iloc[-1] if len(self.rates) else None
        if rates is not None:
            saved = rates["on_demand_cost"] - rates["effective_cost"]
            figures += [
                ("Effective savings rate", self._rate(rates["effective_savings_rate"]),
                 f"{self._money(saved)} less than on demand, rented GPUs"),
                ("Commitment utilisation", self._rate(rates["utilisation"]), "of committed GPU-hours were used"),
                ("Coverage", self._rate(rates["coverage"]), "of GPU-hours that commitments could cover"),
            ]  # fmt: skip
        billed = billed_to(self.month, self.db)
        return Headline(f"Where the money went in {self.month:%B %Y}{f', {billed}' if billed else ''}", figures)

    def showback(self) -> Table:
        """What each project is shown and charged."""
        amounts = ["showback", "idle_share", "chargeback"]
        frame = self.charged.groupby("project", as_index=False)[amounts].sum()
        hours = self.people.groupby("project", as_index=False)["gpu_hours"].sum()
        frame = frame.merge(hours, on="project")
        named = ~frame["project"].isin((IDLE, UNALLOCATED))
        order = frame.assign(last=~named).sort_values(["last", "chargeback"], ascending=[True, False], kind="stable")
        frame = order.drop(columns="last").reset_index(drop=True)
        names = {"project": "Project", "gpu_hours": "GPU-hours", "showback": "Showback",
                 "idle_share": "Share of idle capacity", "chargeback": "Chargeback"}  # fmt: skip
        formats = {"gpu_hours": COUNT, "showback": MONEY, "idle_share": SIGNED, "chargeback": MONEY}
        first = frame[~frame["project"].isin((IDLE, UNALLOCATED))].head(1)
        finding = (f"{first['project'].iloc[0]} is charged most: {self._money(first['chargeback'].iloc[0])}"
                   if len(first) else f"No project used GPUs in {self.month:%B %Y}")  # fmt: skip
        title = f"{finding}, idle capacity shared: {self.share_idle} (GPUs, {self.basis})"
        return Table(frame, names, title, formats, tuple(formats))

    def groups(self) -> Table:
        """Useful, failed and idle GPU-hours of each user group, and what it is charged."""
        hours = self.people.pivot_table(index=["project", "user_group"], columns="bucket", values="gpu_hours",
                                        aggfunc="sum", fill_value=0.0, dropna=False, observed=True)  # fmt: skip
        hours = hours.reindex(columns=["useful", "failed or restarted", "held but idle"], fill_value=0.0).reset_index()
        frame = self.charged[self.charged["user_group"].notna()].merge(hours, on=["project", "user_group"], how="left")
        frame = frame.sort_values("chargeback", ascending=False, ignore_index=True)
        held = frame[["useful", "failed or restarted", "held but idle"]].sum(axis=1)
        frame["failed_share"] = frame["failed or restarted"] / held.where(held > 0)
        names = {"project": "Project", "user_group": "User group", "useful": "Useful GPU-hours",
                 "failed or restarted": "Failed", "held but idle": "Held but idle", "failed_share": "Failed / held",
                 "showback": "Showback", "chargeback": "Chargeback"}  # fmt: skip
        formats = {"useful": COUNT, "failed or restarted": COUNT, "held but idle": COUNT, "failed_share": RATE,
                   "showback": MONEY, "chargeback": MONEY}  # fmt: skip
        title = "No job of the month names a user group"
        if frame["failed_share"].notna().any():
            worst = frame.loc[frame["failed_share"].idxmax()]
            title = f"{worst['user_group']} of {worst['project']} lost most to failures: {worst['failed_share']:.0%}"
            title += " of the GPU-hours that it held"
        total = ("useful", "failed or restarted", "held but idle", "showback", "chargeback")
        return Table(frame, names, f"{title} (GPU-hours; {self.basis})", formats, total)

    # What was lost.

    @cached_property
    def requests(self) -> pd.DataFrame:
        """What was held above use and asked for, by project."""
        frame = self.reading.convert(self._mart("over_requested_monthly"), ["unused_effective_cost"])
        frame["project"] = frame["project"].fillna(UNALLOCATED).replace(self.reading.names)
        hours = frame.drop_duplicates(["cluster", "gpu_model", "project"])
        asked = ["measured_gpu_hours", "used_gpu_hours", "requested_gpu_hours", "elapsed_gpu_hours", "jobs",
                 "jobs_below_a_quarter"]  # fmt: skip
        frame = frame.groupby("project", as_index=False)[["unused_effective_cost"]].sum()
        return frame.merge(hours.groupby("project", as_index=False)[asked].sum(), on="project")

    @cached_property
    def losses(self) -> pd.DataFrame:
        """Money for GPUs of the month by project and what became of it."""
        money = self.people[["project", "bucket", "effective_cost"]]
        return ledger.held_above_use(money, self.requests.set_index("project")["unused_effective_cost"])

    def losses_chart(self):
        """Money of each project by what became of it."""
        from dcbudget import charts
        from dcbudget.charts import control

        subtitle = f"money for GPUs by project and what became of it, {self.basis}, {self.month:%B %Y}"
        return charts.show(control.parts_of_money(self.losses, self._losses_finding(), subtitle))

    def losses_table(self) -> Table:
        """Idle, failed and over-requested money by project, with the wall time that was asked for."""
        frame = self.losses.pivot_table(index="project", columns="part", values="effective_cost", aggfunc="sum",
                                        fill_value=0.0)  # fmt: skip
        frame = frame.reindex(columns=[*ledger.BUCKETS[:1], *LOST], fill_value=0.0)
        frame = frame[frame.abs().sum(axis=1) > 0]
        frame["lost"] = frame[list(LOST)].sum(axis=1)
        frame = frame.reset_index().merge(self.requests, on="project", how="left")
        frame["utilisation"] = frame["used_gpu_hours"] / frame["measured_gpu_hours"].where(lambda h: h > 0)
        frame["asked"] = frame["requested_gpu_hours"] / frame["elapsed_gpu_hours"].where(lambda h: h > 0)
        frame = frame.sort_values("lost", ascending=False, ignore_index=True)
        names = {"project": "Project", "useful": "Useful", "held above use": "Held above use",
                 "failed or restarted": "Failed or restarted", "held but idle": "Held but idle", "lost": "Lost",
                 "utilisation": "GPU utilisation of useful", "asked": "Wall time asked for / used"}  # fmt: skip
        formats = dict.fromkeys(("useful", *LOST, "lost"), MONEY) | {"utilisation": RATE, "asked": "{:,.1f} x"}
        title = f"{self._losses_finding()} ({self.basis})"
        return Table(frame, names, title, formats, ("useful", *LOST, "lost"))

    # How it was paid for.

    @cached_property
    def paid(self) -> pd.DataFrame:
        """Rented usage by month, category, GPU model and way of paying, on every basis."""
        bases = ["list_cost", "on_demand_cost", "contracted_cost", "effective_cost", "billed_cost"]
        frame = self.reading.mart("savings_monthly", bases)
        return frame[frame["month"].isin(self.months) & (frame["month"] <= self.month)]

    @cached_property
    def rates(self) -> pd.DataFrame:
        """Effective savings rate, commitment utilisation and coverage of rented GPUs by month."""
        return savings.savings(self.paid[self.paid["gpu_model"].notna()], ["month"])

    def ways_of_paying(self) -> Table:
        """What rented usage cost on every basis, and what the ways of paying saved."""
        now = self.paid[self.paid["month"] == self.month]
        now = now.assign(what=now["gpu_model"].where(now["gpu_model"].notna(), now["category"]))
        frame = savings.savings(now, ["what"]).sort_values("on_demand_cost", ascending=False, ignore_index=True)
        names = {"what": "Rented", "on_demand_cost": "On demand", "list_cost": "List", "contracted_cost": "Contracted",
                 "effective_cost": "Effective", "effective_savings_rate": "Effective savings rate",
                 "utilisation": "Commitment utilisation", "coverage": "Coverage"}  # fmt: skip
        bases = ("on_demand_cost", "list_cost", "contracted_cost", "effective_cost")
        formats = dict.fromkeys(bases, MONEY)
        formats |= dict.fromkeys(("effective_savings_rate", "utilisation", "coverage"), RATE)
        unused = now.loc[now["paid_as"] == "commitment, unused", "effective_cost"].sum()
        title = f"{self._money(unused)} of commitments went unused in {self.month:%B %Y}"
        return Table(frame, names, f"{title} (list, contracted and {self.basis})", formats, bases)

    def rates_chart(self):
        """The three rates by month."""
        from dcbudget import charts

        names = {"effective_savings_rate": "effective savings rate", "utilisation": "commitment utilisation",
                 "coverage": "coverage"}  # fmt: skip
        frame = self.rates.melt("month", list(names), "rate", "value").replace({"rate": names})
        last = self.rates.iloc[-1] if len(self.rates) else None
        title = ("No GPUs were rented" if last is None else
                 f"Rented GPUs cost {self._rate(last['effective_savings_rate'])} less than on demand")  # fmt: skip
        subtitle = f"rented GPUs by month: savings of {self.basis} against on demand; GPU-hours of commitments"
        return charts.show(charts.monthly_lines(frame, "value", "rate", title, subtitle, ".0%"))

    def _mart(self, name: str) -> pd.DataFrame:
        return warehouse.mart(name, self.db, month=self.month.date())

    def _losses_finding(self) -> str:
        lost = self.losses[self.losses["part"].isin(LOST)].groupby("part")["effective_cost"].sum()
        if not lost.sum():
            return f"Nothing is known to be lost in {self.month:%B %Y}"
        parts = " and ".join(f"{self._money(lost[part])} {part}" for part in lost.nlargest(2).index)
        return f"Of the GPUs that jobs held, {parts}"

    def _money(self, amount: float) -> str:
        return f"{MONEY.format(amount)} {self.currency}"

    @staticmethod
    def _rate(rate: float) -> str:
        return "none" if pd.isna(rate) else f"{rate:.1%}"
