"""3_control: how many commitments to buy, over the demand that is planned or that the past has?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from dcbudget import warehouse
from dcbudget.errors import OutOfRange
from dcbudget.models import commitments, planning, savings
from dcbudget.models.calibration import Measure
from dcbudget.models.planning import RANGES
from dcbudget.stages.control import Control
from dcbudget.stages.outlook import Outlook, listed
from dcbudget.stages.period import in_range, whole_in_range
from dcbudget.tables import CENTS, COUNT, HOURS, MONEY, RATE, SIGNED, Headline, Table

DEMANDS = PLANNED, GREW = ("as planned", "as it grew")
MOST_MONTHS, USUAL_MONTHS = 36, 12
# Below this commitment utilisation the commitment, and not its size, is what is wrong.
POORLY_USED = 0.5


@dataclass(frozen=True)
class Purchase:
    """How many GPUs of a model to commit to.

    Attributes
    ----------
    found : the answer of `commitments.commitments_to_buy`, of all commitments together.
    demand : where the demand to come is from: as planned, or as it grew.
    committed_now, demand_now : means of the month [GPUs]; used_now : share of the committed GPU-hours that was used.
    growth : of demand in a year; on_demand_price, committed_price [money per GPU-hour]; months to come.
    """

    found: commitments.Newsvendor
    gpu_model: str
    demand: str
    committed_now: float
    used_now: float
    demand_now: float
    growth: float
    on_demand_price: float
    committed_price: float
    months: int


class Commitments:
    """How many GPUs to commit to beside on demand: a newsvendor over paths of the demand to come.

    Paths as planned are the draws of a plan that carries the measured demand of every project forward, adds drivers
    and serves owned GPUs first; within a month they vary as the days of the past did. Paths as it grew know the days
    of the past and one growth.

    Parameters
    ----------
    control : the month up to which is measured, its database and its currency.
    drivers : what is planned on top of the measured demand, as 1_plan takes it (see `stages.plan.Plan`).
    draws : paths of demand that are drawn.
    seed : of the draws.

    Raises
    ------
    OutOfRange : a value out of its range.
    """

    def __init__(self, control: Control, drivers: Sequence[Mapping] = (), draws: int = 400, seed: int = 1):
        self.database, self.db, self.known = control.database, control.db, control.known
        self.month, self.months, self.currency = control.month, control.months, control.currency
        self.basis = control.basis
        self.drivers = listed(drivers)
        self.draws = whole_in_range("draws", draws, 100, 100_000)
        self.seed = whole_in_range("seed", seed, 0, 2**31 - 1)
        # what a panel asks for again at every move
        self._drawn: tuple = (None, None)
        self._plans: dict[int, tuple] = {}

    @cached_property
    def daily(self) -> pd.DataFrame:
        """Rented GPUs that commitments could cover, and those that commitments paid for, by day and model."""
        frame = warehouse.mart("rented_gpus_daily", self.db)
        frame["day"] = pd.to_datetime(frame["day"])
        end = self.month + pd.DateOffset(months=1)
        frame = frame[(frame["day"] < end) & (frame["day"] >= end - pd.DateOffset(years=1))]
        coverable = frame["gpus"].where(frame["paid_as"].isin((savings.USED, savings.ON_DEMAND)), 0.0)
        committed = frame["gpus"].where(frame["paid_as"].isin((savings.USED, savings.UNUSED)), 0.0)
        used = frame["gpus"].where(frame["paid_as"] == savings.USED, 0.0)
        frame = frame.assign(demand=coverable, committed=committed, used=used)
        frame = frame.groupby(["gpu_model", "day"])[["demand", "committed", "used"]].sum()
        days = pd.date_range(frame.index.get_level_values("day").min(), end, inclusive="left") if len(frame) else []
        every = pd.MultiIndex.from_product([frame.index.unique("gpu_model"), days], names=["gpu_model", "day"])
        return frame.reindex(every, fill_value=0.0).reset_index()

    @cached_property
    def rented_models(self) -> list[str]:
        """GPU models whose rented GPUs a commitment could cover, most GPUs first."""
        demand = self.daily.groupby("gpu_model")["demand"].sum()
        return demand[demand > 0].sort_values(ascending=False).index.tolist()

    def buy(
        self, gpu_model: str | None = None, growth: float | None = None, commitment_discount: float | None = None,
        months: int = USUAL_MONTHS, demand: str | None = None,
    ) -> Purchase:  # fmt: skip
        """How many GPUs to commit to, over paths of the demand to come.

        Parameters
        ----------
        gpu_model : None for the one that is rented most.
        growth : of demand in a year; None for the measured one.
        commitment_discount : below the on-demand price; None for the commitment's own price.
        months : to come.
        demand : "as planned" or "as it grew"; None for the plan where it has rented GPUs of the model.

        Raises
        ------
        DcbudgetError : no such rented GPU, a price that nobody tells, a value out of its range, an unknown driver.
        """
        gpu_model = gpu_model or next(iter(self.rented_models), "none")
        if gpu_model not in self.rented_models:
            rented = ", ".join(self.rented_models) or "none"
            raise OutOfRange(f"gpu_model must be one that is rented, of {rented}, not {gpu_model!r}")
        months = whole_in_range("months", months, 1, MOST_MONTHS)
        growth = self.growth if growth is None else in_range("growth", growth, *RANGES["demand_growth"])
        on_demand = self.known.money(gpu_model, "on-demand")
        if commitment_discount is None:
            committed = self.known.money(gpu_model, "committed")
        else:
            committed = on_demand * (1 - in_range("commitment_discount", commitment_discount, 0, 0.99))
        demand = demand or (PLANNED if self._plan(months)[2].get(gpu_model, 0) > 0 else GREW)
        found = commitments.commitments_to_buy(
            self._paths(gpu_model, growth, months, demand), on_demand, committed, hours_per_period=24
        )
        history = self.daily[self.daily["gpu_model"] == gpu_model]
        last = history[history["day"] >= self.month]
        now, used, wanted = (float(last[name].mean()) for name in ("committed", "used", "demand"))
        used_now = used / now if now else float("nan")
        return Purchase(found, gpu_model, demand, now, used_now, wanted, growth, on_demand, committed, months)

    @cached_property
    def usual_demand(self) -> str:
        """The plan, where it has rented GPUs of the model that is rented most."""
        model = next(iter(self.rented_models), "")
        return PLANNED if self._plan(USUAL_MONTHS)[2].get(model, 0) > 0 else GREW

    @property
    def demand_remark(self) -> str:
        """What the demand that is planned is made of."""
        count = len(self.drivers)
        added = f" and {count} driver{'s' if count != 1 else ''} of the plan" if count else ""
        return f"planned: every project's own growth{added}, owned GPUs first; grew: the days of the past"

    @property
    def growth(self) -> float:
        """Growth of demand in a year, as it was measured."""
        return self.known["demand_growth_per_year"].value

    @property
    def commitment_discount(self) -> Measure:
        """How far commitments are below on-demand prices, as it was measured."""
        return self.known["commitment_discount"]

    # The demand to come.

    def _paths(self, gpu_model: str, growth: float, months: int, demand: str) -> np.ndarray:
        """Paths of demand by day (draws x days); the last are kept, since prices alone do not change them."""
        if demand not in DEMANDS:
            raise OutOfRange(f"demand must be one of {', '.join(DEMANDS)}, not {demand!r}")
        asked = (gpu_model, growth, months, demand)
        if asked != self._drawn[0]:
            paths = self._grown(gpu_model, growth, months)
            self._drawn = (asked, self._as_planned(paths, gpu_model, growth, months) if demand == PLANNED else paths)
        return self._drawn[1]

    def _grown(self, gpu_model: str, growth: float, months: int) -> np.ndarray:
        """From the days of the past and the growth of demand."""
        history = self.daily.loc[self.daily["gpu_model"] == gpu_model, "demand"].to_numpy()
        days = int(self._ahead(months).days_in_month.to_numpy().sum())
        return commitments.demand_paths(history, days, growth, self.draws, self.seed, periods_per_year=365.25)

    def _as_planned(self, paths: np.ndarray, gpu_model: str, growth: float, months: int) -> np.ndarray:
        """The same days within months, at the level that the plan's draws have in each month."""
        model, factors, measured = self._plan(months)
        if not (now := measured.get(gpu_model, 0.0)) > 0:
            raise OutOfRange(f"demand must be {GREW}: the plan has no rented {gpu_model} to begin with")
        settings = replace(model.base, demand_growth=growth)
        drawn = self._gpus(model, gpu_model, planning.rented_gpu_hours(model, settings, factors))
        drawn = drawn[model.months > self.month][:months]
        recent = self.daily[(self.daily["gpu_model"] == gpu_model) & (self.daily["day"] >= self._since)]
        level = (drawn / now * recent["demand"].mean()).T
        length = self._ahead(months).days_in_month.to_numpy()
        month_of = np.repeat(np.arange(months), length)
        mean = np.add.reduceat(paths, np.cumsum(length) - length, axis=1) / length
        return paths * (level / np.where(mean > 0, mean, 1))[:, month_of]

    @staticmethod
    def _gpus(model: planning.Model, gpu_model: str, hours: np.ndarray) -> np.ndarray:
        """Means of the months [GPUs], (T, n)."""
        of_month = 24 * model.months.days_in_month.to_numpy()
        return hours[model.supply.gpu_models.index(gpu_model)] / of_month[:, None]

    def _plan(self, months: int) -> tuple[planning.Model, planning.Factors, dict[str, float]]:
        """The plan of a year, or of the longest time, with its drivers; its draws; and the rented GPUs that it has in
        the middle of the last months, from which it carries demand on.
        """
        months = USUAL_MONTHS if months <= USUAL_MONTHS else MOST_MONTHS
        if months not in self._plans:
            outlook = Outlook(self.known, pd.date_range(self._since, self._ahead(months)[-1], freq="MS"), self.database)
            measured, model = outlook.model(()), outlook.model(self.drivers)
            hours = planning.rented_gpu_hours(measured, measured.base, planning.certain(measured))
            now = {name: float(self._gpus(measured, name, hours)[0, 0]) for name in measured.supply.gpu_models}
            self._plans[months] = model, planning.draws(model, self.draws, self.seed), now
        return self._plans[months]

    def _ahead(self, months: int) -> pd.DatetimeIndex:
        return pd.date_range(self.month, periods=months + 1, freq="MS")[1:]

    @cached_property
    def _since(self) -> pd.Timestamp:
        """The middle of the last months, whose mean a plan carries on."""
        billed = [month for month in self.months if month <= self.month][-planning.RECENT :]
        return billed[len(billed) // 2]

    # What is shown.

    def buy_headline(self, purchase: Purchase) -> Headline:
        """The answer in figures."""
        best = purchase.found
        change = best.quantity - purchase.committed_now
        figures = [
            ("GPUs to commit to", f"{best.quantity:,.0f}", 
             f"{purchase.committed_now:,.1f} now, {self._rate(purchase.used_now)} used: {change:+,.0f}"),
            ("Demand now", f"{purchase.demand_now:,.1f} GPUs", f"mean of {self.month:%B %Y}, on demand and committed"),
            ("Expected saving", self._money(best.expected_saving),
             f"against on demand alone, {purchase.months} months to come"),
            ("Commitment utilisation", self._rate(best.utilisation), "expected"),
            ("Coverage", self._rate(best.coverage), "expected"),
            ("Critical ratio", self._rate(best.critical_ratio), "share of days that the commitment should suffice for"),
        ]  # fmt: skip
        return Headline(f"Commitments to {purchase.gpu_model}", figures)

    def buy_chart(self, purchase: Purchase):
        """Expected cost by number of GPUs that are committed to; an Altair chart, for a panel to show."""
        from dcbudget.charts import control

        best = purchase.found
        shown = best.curve[
            best.curve["quantity"] <= 2 * max(best.quantity, purchase.committed_now, purchase.demand_now)
        ]
        marks = pd.DataFrame(
            {"quantity": [best.quantity, purchase.committed_now], "what": ["cheapest", "now"]}
        )  # fmt: skip
        subtitle = (
            f"money for {purchase.months} months, expected and P10 to P90 of {self.draws:,} paths of demand"
            f" {purchase.demand},"
            f" committed {CENTS.format(purchase.committed_price)}, on demand {CENTS.format(purchase.on_demand_price)}"
            f" {self.currency} per GPU-hour"
        )
        return control.commitment_curve(shown, marks, self._buy_finding(purchase), subtitle)

    def buy_table(self, purchase: Purchase) -> Table:
        """The cheapest number of committed GPUs among others."""
        best = purchase.found
        frame = best.curve.assign(change=best.curve["expected_cost"] - best.on_demand_cost)
        near = (frame["quantity"] - best.quantity).abs().nsmallest(7).index.union(frame.index[:1])
        frame = frame.loc[near].sort_values("quantity", ignore_index=True)
        names = {"quantity": "Committed GPUs", "expected_cost": "Expected", "p10": "P10", "p90": "P90",
                 "change": "Against on demand", "utilisation": "Commitment utilisation",
                 "coverage": "Coverage"}  # fmt: skip
        formats = {"quantity": COUNT, "expected_cost": MONEY, "p10": MONEY, "p90": MONEY, "change": SIGNED,
                   "utilisation": RATE, "coverage": RATE}  # fmt: skip
        title = f"{self._buy_finding(purchase)} (effective cost of {purchase.months} months, {self.currency})"
        return Table(frame, names, title, formats)

    def buys(self) -> Table:
        """How many GPUs of every rented model to commit to."""
        rows, demands = [], []
        for model in self.rented_models:
            prices = [self.known.price(model, kind).value for kind in ("on-demand", "committed")]
            if pd.isna(prices).any():
                continue
            purchase = self.buy(model)
            best = purchase.found
            demands.append(purchase.demand)
            rows.append((model, purchase.demand_now, purchase.committed_now, purchase.used_now, best.quantity,
                         best.quantity - purchase.committed_now, *prices, best.critical_ratio, best.expected_saving,
                         best.utilisation, best.coverage))  # fmt: skip
        names = {"gpu_model": "GPU", "demand": "GPUs in demand", "now": "Committed now", "used": "Used of it",
                 "best": "To commit to",
                 "change": "Change", "on_demand": "On demand per GPU-hour", "committed": "Committed per GPU-hour",
                 "ratio": "Critical ratio", "saving": "Expected saving in 12 months",
                 "utilisation": "Commitment utilisation", "coverage": "Coverage"}  # fmt: skip
        formats = {"demand": HOURS, "now": HOURS, "used": RATE, "best": COUNT, "change": SIGNED, "on_demand": CENTS,
                   "committed": CENTS, "ratio": RATE, "saving": MONEY, "utilisation": RATE,
                   "coverage": RATE}  # fmt: skip
        frame = pd.DataFrame(rows, columns=list(names))
        change = frame.loc[frame["change"].abs().idxmax()] if len(frame) else None
        title, demand = "No GPUs are rented that a commitment could cover", " and ".join(dict.fromkeys(demands))
        if change is not None:
            more = "more" if change["change"] > 0 else "fewer"
            title = f"Commit to {abs(change['change']):,.0f} {more} {change['gpu_model']}"
            poor = " and ".join(frame.loc[frame["used"] < POORLY_USED, "gpu_model"])
            title += (
                f"; first bring the commitments to {poor} to where the demand is, they are hardly used" if poor else ""
            )
        over = f", over {self.draws:,} paths of demand {demand}" if demand else ""
        return Table(frame, names, f"{title}{over} ({self.basis})", formats)

    def _buy_finding(self, purchase: Purchase) -> str:
        saved = self._money(purchase.found.expected_saving)
        return (
            f"{purchase.found.quantity:,.0f} committed {purchase.gpu_model} are cheapest, {saved} below on demand alone"
        )

    def _money(self, amount: float) -> str:
        return f"{MONEY.format(amount)} {self.currency}"

    @staticmethod
    def _rate(rate: float) -> str:
        return "none" if pd.isna(rate) else f"{rate:.1%}"
