"""Why a month, or a year to date, cost what it did: the bridge from its budget, or from the months before."""

from collections.abc import Sequence
from functools import cached_property

import pandas as pd

from dcbudget import budget, warehouse
from dcbudget.errors import DcbudgetError, OutOfRange
from dcbudget.models import variance
from dcbudget.models.planning import IDLE
from dcbudget.models.variance import EFFECTS
from dcbudget.stages.period import months_with_bills, parse_month, plan_for, whole_in_range, whole_month
from dcbudget.stages.reading import Reading
from dcbudget.tables import MONEY, SIGNED, Table

BUDGET, BEFORE = "budget", "months before"
OWNED, RENTED = "Owned GPUs", "Rented GPUs"
ON_GPUS = {"Owned hardware": OWNED, "Power": OWNED, "Facility and staff": OWNED, "Rented GPUs": RENTED}
UNUSED = ("down", "unallocated", "reserved but unused")
NAMES = {"volume": "Volume", "mix": "Mix", "efficiency": "Efficiency", "price": "Price",
         "exchange_rate": "Exchange rate", "new": "New", "retired": "Retired", "amount": "Not by the hour"}  # fmt: skip
# What an effect is, as a sentence tells it when it adds and when it takes off.
TOLD = {
    "volume": ("more useful work", "less useful work"), "mix": ("a dearer mix", "a cheaper mix"),
    "efficiency": ("more GPU-hours for the same work", "fewer GPU-hours for the same work"),
    "price": ("higher prices", "lower prices"), "exchange_rate": ("the exchange rate", "the exchange rate"),
    "new": ("what is new", "what is new"), "retired": ("what is gone", "what is gone"),
    "amount": ("what no GPU-hours count", "what no GPU-hours count"),
}  # fmt: skip


class Variance:
    """The bridge of one span of months; money on the effective basis.

    GPUs are counted in GPU-hours that were paid for, their work in useful GPU-hours (of jobs that ended well and did
    not idle): efficiency is what of the hours was useful, idle capacity included. All else changes by its amount.

    Parameters
    ----------
    month : "YYYY-MM", the last of the span; "" for the latest that is billed to its end.
    since : "YYYY-MM", the first of it; "" for the same.
    against : "budget", or "months before": as many just before the span.
    database : file, "" for the default one.
    plan_version : budget to compare with, "" for the last approved one.
    currency : the currency of every amount, "" for the only one there is.
    standard_months : a budget that tells amounts alone, and no GPU-hours as plans of 1_plan do, is counted at the
        prices, and at the useful share of the GPU-hours, of so many months before it begins; 0 counts nothing in it.
    least_group : projects of fewer users are shown together.

    Raises
    ------
    DcbudgetError : no database, no such month or plan, a value out of range, several currencies without a rate.
    """

    def __init__(
        self,
        month: str = "",
        since: str = "",
        against: str = BUDGET,
        database: str = "",
        plan_version: str = "",
        currency: str = "",
        standard_months: int = 3,
        least_group: int = 5,
    ):
        self.db = database or None
        if against not in (BUDGET, BEFORE):
            raise OutOfRange(f"against must be {BUDGET} or {BEFORE}, not {against!r}")
        self.against = against
        self.standard_months = whole_in_range("standard_months", standard_months, 0, 24)
        self._marts: dict[str, pd.DataFrame] = {}
        self.known = months_with_bills(self.db)
        self.month = parse_month(month or whole_month(self.known, self.db), self.known)
        self.first = parse_month(since, self.known) if since else self.month
        if self.first > self.month:
            raise OutOfRange(f"since must not lie after month {self.month:%Y-%m}, not {since}")
        self.months = pd.date_range(self.first, self.month, freq="MS")
        self.plan_version = plan_for(self.month, plan_version, self.db) if against == BUDGET else ""
        if against == BUDGET and not self.plan_version:
            raise DcbudgetError(f"no plan covers {self.month:%Y-%m}, so there is no budget to compare with")
        self.reading = Reading(database, currency, self.month, least_group)
        self.currency = self.reading.currency
        self.basis = f"effective cost, {self.currency}{self.reading.rates_remark}"

    @cached_property
    def bridge(self) -> variance.Bridge:
        """From the budget, or the months before, to what was spent; keys `project`, `group`, and `gpu_model` and
        `own_currency` where both sides tell them."""
        if self.against == BEFORE:
            before = pd.date_range(end=self.first - pd.DateOffset(months=1), periods=len(self.months), freq="MS")
            if missing := [month for month in before if month not in self.known]:
                raise DcbudgetError(f"no charges in {missing[0]:%Y-%m}, which the span is compared with")
            keys = ["project", "group", "gpu_model", "own_currency"]
            return variance.bridge(self._spent(before), self._spent(self.months), keys)
        if not self._planned.empty:
            keys = ["project", "group", "gpu_model"]
            return variance.bridge(self._planned, self._spent(self.months), keys)
        if self._counted.empty:
            return self._by_amount
        spent = self._by_group(self._spent(self.months))
        return variance.bridge(self._budgeted, spent, ["project", "group"])

    @property
    def _by_amount(self) -> variance.Bridge:
        spent = self._by_group(self._spent(self.months))
        return variance.bridge(self._lines, spent[["project", "group", "amount"]], ["project", "group"])

    def _spent(self, months: Sequence[pd.Timestamp]) -> pd.DataFrame:
        """What was spent by project, group, GPU model and currency, with GPU-hours and what of them was useful."""
        ledger = self._rows("gpu_ledger_monthly", months)
        ledger = ledger.assign(
            group=ledger["category"].map(ON_GPUS).fillna(ledger["category"]),
            project=ledger["project"].where(
                ledger["project"].notna(),
                (ledger["bucket"].isin(UNUSED) & ledger["cluster"].notna()).map({True: IDLE, False: "Unallocated"}),
            ),
            quantity=ledger["gpu_hours"].astype(float),
            work=ledger["gpu_hours"].astype(float).where(ledger["bucket"] == "useful", 0.0),
        )  # fmt: skip
        ledger = self.reading.prepare(ledger, ["amount"])
        useful = ledger.groupby(["group", "gpu_model"])["work"].sum()
        rows = ledger.groupby(["project", "group", "gpu_model", "own_currency"], as_index=False, dropna=False)[
            ["amount", "own_amount", "quantity", "work"]
        ].sum()
        rows["idle"] = rows["project"] == IDLE
        pools = pd.MultiIndex.from_frame(rows[["group", "gpu_model"]])
        rows["work"] = rows["work"].where(~rows["idle"], useful.reindex(pools).to_numpy())
        shown = self.reading.prepare(self._rows("showback_monthly", months), ["amount"])
        shown["group"] = shown["category"].map(ON_GPUS).fillna(shown["category"])
        keys = ["project", "group", "own_currency"]
        rest = pd.concat([shown, rows.assign(amount=-rows["amount"], own_amount=-rows["own_amount"])])
        rest = rest.groupby(keys, as_index=False)[["amount", "own_amount"]].sum()
        rest = rest[rest["amount"].abs() >= 0.005]
        return pd.concat([rows, rest], ignore_index=True)

    def _rows(self, mart: str, months: Sequence[pd.Timestamp]) -> pd.DataFrame:
        if mart not in self._marts:
            frame = warehouse.mart(mart, self.db)
            amount = frame["effective_cost"].astype(float)
            self._marts[mart] = frame.assign(
                month=pd.to_datetime(frame["month"]), amount=amount, own_amount=amount, own_currency=frame["currency"]
            )
        frame = self._marts[mart]
        return frame[frame["month"].isin(pd.DatetimeIndex(months))].copy()

    @staticmethod
    def _by_group(rows: pd.DataFrame) -> pd.DataFrame:
        """Items of all GPU models and currencies together; work of idle hours is that of their group."""
        frame = rows.groupby(["project", "group"], as_index=False)[["amount", "quantity", "work"]].sum()
        frame["idle"] = frame["project"] == IDLE
        useful = frame[~frame["idle"]].groupby("group")["work"].sum()
        frame["work"] = frame["work"].where(~frame["idle"], frame["group"].map(useful))
        return frame

    @cached_property
    def _lines(self) -> pd.DataFrame:
        """The budget of the span by project and group."""
        lines = budget.lines_of(self.plan_version, self.db)
        lines = self.reading.prepare(lines[lines["month"].isin(self.months)].copy(), ["amount"])
        if missing := [month for month in self.months if month not in set(lines["month"])]:
            raise DcbudgetError(f"plan {self.plan_version} has no line in {missing[0]:%Y-%m}")
        lines["group"] = lines["category"].map(ON_GPUS).fillna(lines["category"])
        return lines.groupby(["project", "group"], as_index=False)["amount"].sum()

    @cached_property
    def _planned(self) -> pd.DataFrame:
        """The budget by project, group and GPU model with its own GPU-hours, and what they leave of its lines; empty
        where the plan tells none, or more money in them than its lines hold."""
        told = budget.quantities_of(self.plan_version, self.db)
        told = self.reading.prepare(told[told["month"].isin(self.months)].copy(), ["amount"])
        if told.empty:
            return told
        told["group"] = told["paid_as"].map({"owned": OWNED, "rented": RENTED})
        sums = ["amount", "gpu_hours", "useful_gpu_hours"]
        told = told.groupby(["project", "group", "gpu_model"], as_index=False)[sums].sum()
        told = told.rename(columns={"gpu_hours": "quantity", "useful_gpu_hours": "work"})
        told["idle"] = told["project"] == IDLE
        rest = pd.concat([self._lines, told.assign(amount=-told["amount"])])
        rest = rest.groupby(["project", "group"], as_index=False)["amount"].sum()
        if (rest["amount"] < -1.0).any():
            return told.head(0)
        rest = rest[rest["amount"].abs() >= 0.005].assign(gpu_model=None, quantity=0.0, work=0.0, idle=False)
        return pd.concat([told, rest], ignore_index=True)

    @cached_property
    def _counted(self) -> pd.DataFrame:
        """Standard prices and useful shares by project and group, empty where nothing was measured before the plan."""
        first = budget.lines_of(self.plan_version, self.db)["month"].min()
        past = [month for month in self.known if month < first][-self.standard_months :] if self.standard_months else []
        if not past:
            return pd.DataFrame(columns=["price", "useful"])
        self._standard = past
        frame = self._by_group(self._spent(past)).set_index(["project", "group"])
        frame = frame[frame["quantity"] > 0]
        useful = (frame["work"] / frame["quantity"]).where(~frame["idle"])
        return pd.DataFrame({"price": frame["amount"] / frame["quantity"], "useful": useful})

    @cached_property
    def _budgeted(self) -> pd.DataFrame:
        frame = self._lines.merge(self._counted.reset_index(), on=["project", "group"], how="left")
        frame["quantity"] = frame["amount"] / frame["price"].where(frame["price"] > 0)
        frame["work"] = frame["quantity"] * frame["useful"]
        frame["idle"] = frame["project"] == IDLE
        useful = frame[~frame["idle"]].groupby("group")["work"].sum()
        frame["work"] = frame["work"].where(~frame["idle"], frame["group"].map(useful))
        return frame.drop(columns=["price", "useful"])

    # What is shown.

    @property
    def span(self) -> str:
        return f"{self.month:%B %Y}" if self.first == self.month else f"{self.first:%b %Y} to {self.month:%b %Y}"

    @property
    def start_name(self) -> str:
        """What the bridge starts from."""
        if self.against == BUDGET:
            return "Budget"
        last = self.first - pd.DateOffset(months=1)
        return f"{last:%B %Y}" if len(self.months) == 1 else f"{len(self.months)} months to {last:%b %Y}"

    @property
    def counted_by(self) -> str:
        """Where the GPU-hours of the start come from."""
        if self.against == BEFORE:
            return "GPU-hours as measured in both"
        if not self._planned.empty:
            return f"GPU-hours of plan {self.plan_version}"
        if self._counted.empty:
            return "the budget tells amounts alone, and no quantities"
        first, last = self._standard[0], self._standard[-1]
        at = f"{first:%b %Y}" if first == last else f"{first:%b} to {last:%b %Y}"
        return f"GPU-hours of the budget at prices of {at}"

    def sentence(self) -> str:
        """What the bridge says, for a reader of finance."""
        start, end = self.bridge.before, self.bridge.after
        change = round(end - start, 2)
        rate = f" ({abs(change) / start:.1%})" if start else ""
        words = ("over budget", "under budget") if self.against == BUDGET else ("more", "less")
        than = "" if self.against == BUDGET else f" than {self.start_name}"
        said = f"{self.span} cost {self._money(end)}, {self._money(abs(change))}{rate} {words[change <= 0]}{than}"
        effects = self.bridge.effects
        effects = effects[effects.abs() >= 0.5].sort_values(key=lambda money: -money.abs(), kind="stable")
        sides = [self._side(effects[effects > 0], "added"), self._side(effects[effects < 0], "took off")]
        told = "; ".join(side for side in (sides if change > 0 else sides[::-1]) if side)
        return f"{said}: {told}" if told else said

    def _side(self, effects: pd.Series, verb: str) -> str:
        """Effects of one sign, the largest first."""
        parts = [f"{TOLD[name][money < 0]} {verb if at == 0 else ''} {self._money(abs(money))}".replace("  ", " ")
                 for at, (name, money) in enumerate(effects.items())]  # fmt: skip
        return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""

    def chart(self):
        """The bridge as a waterfall; an Altair chart."""
        from dcbudget.charts import adjust as charts

        effects = self.bridge.effects
        steps = [(NAMES[name], money) for name, money in effects.items() if abs(money) >= 0.5]
        title = self._finding()
        return charts.waterfall(
            self.start_name, self.bridge.before, steps, "Actual" if self.against == BUDGET else self.span, title,
            f"{self.basis}, {self.span}; {self.counted_by}",
        )  # fmt: skip

    def table(self, by: str = "project") -> Table:
        """The bridge by project or group of costs."""
        frame = self.bridge.by(by)
        shown = [name for name in EFFECTS if frame[name].abs().max() >= 0.005]
        names = {by: "Project" if by == "project" else "Costs", "before": self.start_name,
                 **{name: NAMES[name] for name in shown}, "after": "Actual", "change": "Change"}  # fmt: skip
        formats = {"before": MONEY, "after": MONEY, **dict.fromkeys([*shown, "change"], SIGNED)}
        return Table(frame, names, f"{self._finding()} ({self.basis}, {self.span})", formats, tuple(formats))

    def _finding(self) -> str:
        effects = self.bridge.effects
        if not effects.abs().max() >= 0.5:
            return f"Nothing changed against {self.start_name.lower()}"
        name = effects.abs().idxmax()
        what = TOLD[name][0 if effects[name] > 0 else 1]
        verb = "added" if effects[name] > 0 else "took off"
        return f"{what[0].upper()}{what[1:]} {verb} most, {self._money(abs(effects[name]))}"

    def _money(self, amount: float) -> str:
        return f"{MONEY.format(amount)} {self.currency}"
