"""3_control: what GPUs cost on spot capacity, and from when on owning them pays."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from dcbudget import warehouse
from dcbudget.errors import DcbudgetError, OutOfRange
from dcbudget.models import cost, performance
from dcbudget.models.cost import Owned
from dcbudget.models.currency import convert
from dcbudget.models.ranges import positive
from dcbudget.stages.control import Control
from dcbudget.stages.period import in_range, whole_in_range
from dcbudget.tables import CENTS, COUNT, MONEY, RATE, Headline, Table

# Sizes of clusters that are compared: powers of two up to the largest.
MOST_GPUS = 65_536
SPOT_GPUS = 64


@dataclass(frozen=True)
class Spot:
    """Spot capacity for one job: money per useful GPU-hour [money], by interruptions.

    Attributes
    ----------
    curve : `interruptions_per_1000_gpu_hours`, `basis`, `cost_per_gpu_hour`.
    cost_per_gpu_hour : of a useful GPU-hour at the given interruptions.
    overhead : repeated work, checkpoints and restarts over useful GPU-hours, decimal.
    checkpoint_minutes : of computing between two checkpoints.
    worth_up_to : interruptions per GPU-hour above which spot costs more than on demand.
    """

    curve: pd.DataFrame
    gpu_model: str
    cost_per_gpu_hour: float
    on_demand_price: float
    overhead: float
    checkpoint_minutes: float
    interruptions_per_gpu_hour: float
    worth_up_to: float


@dataclass(frozen=True)
class Ownership:
    """Owning against renting: the curves of `cost.break_even`, and the answer for one price and utilisation."""

    curves: cost.BreakEven
    gpu_model: str
    break_even: float
    utilisation: float
    owned_cost: float
    rental_price: float


class Renting:
    """What a GPU-hour costs on demand, on spot capacity and owned, from measured prices where there are any.

    Parameters
    ----------
    control : the month up to which rates are measured, its database and its currency.
    accelerator : a GPU model, "" for the one that most money is paid for.
    gpus : the largest cluster that is looked at.

    Raises
    ------
    OutOfRange : a value out of its range.
    """

    def __init__(self, control: Control, accelerator: str = "", gpus: int = 256):
        self.db, self.known = control.db, control.known
        self.currency, self.month, self.basis = control.currency, control.month, control.basis
        self.accelerator = accelerator or next(iter(self.known.gpu_models), "H100")
        self.gpus = whole_in_range("gpus", gpus, 1, MOST_GPUS)

    @staticmethod
    def show(chart):
        """A chart for where it is shown: live in a notebook, a picture in a report."""
        from dcbudget import charts

        return charts.show(chart)

    @cached_property
    def cards(self) -> pd.DataFrame:
        """The usual card of each GPU model: memory [GB], bandwidth [GB/s], peak [TFLOP/s], power [W]."""
        frame = warehouse.query(
            "select gpu_model, memory_gb, memory_gb_per_second, tdp_watts,"
            " coalesce(bf16_tflops, fp16_tflops, tf32_tflops, fp32_tflops) as tflops from accelerators"
            " where usual and memory_gb is not null order by gpu_model",
            self.db,
        )
        return frame[frame["tflops"] > 0].set_index("gpu_model")

    @cached_property
    def accelerators(self) -> list[str]:
        """GPU models that can be compared, those that are paid for first."""
        paid = [model for model in self.known.gpu_models if model in self.cards.index]
        return list(dict.fromkeys([*paid, *self.cards.index]))

    @cached_property
    def fleet(self) -> pd.DataFrame:
        """Purchase price of a GPU with its server and interconnect, by model, as it was last bought."""
        frame = warehouse.mart("inventory", self.db)
        frame = frame[frame["gpus"] > 0].assign(month=lambda known: known["in_service_date"])
        frame = convert(frame, self.known.reading.rates, self.currency, ["purchase_cost"])
        frame["price_per_gpu"] = frame["purchase_cost"] / frame["gpus"]
        return frame.sort_values("in_service_date").groupby("gpu_model").last()

    @cached_property
    def upkeep(self) -> float:
        """Staff and space of the fleet for a year of one of its GPUs [money]."""
        frame = warehouse.query(
            "select in_service_date as month, currency, coalesce(gpus_per_unit, 0) * units as gpus,"
            " 12 * (coalesce(staff_cost_per_month, 0) + coalesce(space_cost_per_month, 0)) * units as upkeep from fleet"
            " where retire_date is null or retire_date > ?",
            self.db,
            [self.month.date()],
        )
        frame = convert(frame, self.known.reading.rates, self.currency, ["upkeep"])
        gpus = frame["gpus"].sum()
        return float(frame["upkeep"].sum() / gpus) if gpus else 0.0

    @cached_property
    def cluster_sizes(self) -> list[tuple[str, int]]:
        """Largest clusters to choose from."""
        return [(f"{n:,}", n) for n in sorted({*(2**e for e in range(17)), self.gpus, self.spot_gpus})]

    @property
    def spot_gpus(self) -> int:
        """GPUs of the job that runs on spot capacity: a part of the largest cluster."""
        return min(SPOT_GPUS, self.gpus)

    def card(self, accelerator: str) -> performance.Accelerator:
        """A GPU model as the models take it.

        Raises
        ------
        OutOfRange : it is not known.
        """
        if accelerator not in self.cards.index:
            raise OutOfRange(f"accelerator must be one of {', '.join(self.cards.index)}, not {accelerator!r}")
        row = self.cards.loc[accelerator]
        return performance.Accelerator(accelerator, row["memory_gb"], row["tflops"], row["memory_gb_per_second"],
                                       row["tdp_watts"])  # fmt: skip

    @property
    def interruptions_per_1000(self) -> float:
        """Measured interruptions per 1,000 GPU-hours."""
        return 1000 * self.interruptions

    @property
    def interruptions(self) -> float:
        """Measured interruptions per GPU-hour of spot capacity."""
        return self.known["spot_interruptions_per_gpu_hour"].value

    @property
    def checkpoint_minutes(self) -> float:
        """For which a job stands still to write a checkpoint, as published."""
        return self.known["checkpoint_minutes"].value

    @property
    def restart_minutes(self) -> float:
        """Paid minutes of a restart, as published."""
        return self.known["restart_minutes"].value

    # Spot.

    def spot(
        self,
        accelerator: str | None = None,
        gpus: int | None = None,
        interruptions_per_1000_gpu_hours: float | None = None,
        checkpoint_minutes: float | None = None,
        restart_minutes: float | None = None,
        spot_price: float | None = None,
    ) -> Spot:
        """What a useful GPU-hour costs on spot capacity, with checkpoints and repeated work.

        What is not given is as measured, else as published.

        Raises
        ------
        DcbudgetError : a value out of its range, an unknown accelerator or price.
        """
        accelerator = self.card(accelerator or self.accelerator).name
        gpus = whole_in_range("gpus", self.spot_gpus if gpus is None else gpus, 1, MOST_GPUS)
        written = self.checkpoint_minutes if checkpoint_minutes is None else checkpoint_minutes
        resumed = self.restart_minutes if restart_minutes is None else restart_minutes
        checkpoint = 60 * in_range("checkpoint_minutes", written, 0, 24 * 60)
        restart = 60 * in_range("restart_minutes", resumed, 0, 24 * 60)
        on_demand = self.known.money(accelerator, "on-demand")
        spot_price = self.known.money(accelerator, "spot") if spot_price is None else spot_price
        often = self.interruptions
        if interruptions_per_1000_gpu_hours is not None:
            often = in_range("interruptions_per_1000_gpu_hours", interruptions_per_1000_gpu_hours, 0, 1000) / 1000
        worth = cost.spot_break_even_interruptions(spot_price, on_demand, gpus, checkpoint, restart)
        most = max(4 * often, 1.5 * worth if np.isfinite(worth) else 0.0, 1e-4)
        rates = np.linspace(0, most, 80)
        lines = {
            "spot": cost.spot_cost(1.0, spot_price, rates, gpus=gpus, checkpoint_seconds=checkpoint,
                                   restart_seconds=restart),
            "on-demand": np.full_like(rates, on_demand),
        }  # fmt: skip
        curve = pd.DataFrame(
            [
                (1000 * rate, basis, money)
                for basis, line in lines.items()
                for rate, money in zip(rates, line, strict=True)
            ],
            columns=["interruptions_per_1000_gpu_hours", "basis", "cost_per_gpu_hour"],
        )
        curve = curve[curve["cost_per_gpu_hour"] <= 3 * on_demand]
        overhead = float(cost.spot_overhead(often, gpus, checkpoint, restart))
        between = 3600 / (often * gpus) if often else np.inf
        interval = performance.checkpoint_interval(checkpoint, between) / 60 if often else np.inf
        return Spot(curve, accelerator, spot_price * (1 + overhead), on_demand, overhead, float(interval), often,
                    float(worth))  # fmt: skip

    def spot_headline(self, spot: Spot) -> Headline:
        """What spot saves, and up to when."""
        if not np.isfinite(spot.overhead):
            raise OutOfRange(
                f"interruptions_per_1000_gpu_hours must be fewer for this job ever to end, not"
                f" {1000 * spot.interruptions_per_gpu_hour:g}; spot pays up to {1000 * spot.worth_up_to:.2g}"
            )
        saving = 1 - spot.cost_per_gpu_hour / spot.on_demand_price
        limit = f"{1000 * spot.worth_up_to:.2g}" if np.isfinite(spot.worth_up_to) else "any"
        figures = [
            ("Useful GPU-hour on spot", f"{CENTS.format(spot.cost_per_gpu_hour)} {self.currency}",
             f"on demand {CENTS.format(spot.on_demand_price)}: {-saving:+.0%}"),
            ("Repeated and stood still", f"{spot.overhead:.1%}", "beyond the useful GPU-hours"),
            ("Checkpoint every", self._time(spot.checkpoint_minutes / 60), "of computing, Daly's interval"),
            ("Worth it up to", limit, "interruptions per 1,000 GPU-hours"),
        ]  # fmt: skip
        return Headline(f"Spot capacity, {spot.gpu_model}", figures)

    def spot_chart(self, spot: Spot):
        """Money per useful GPU-hour by interruptions; an Altair chart, for a panel to show."""
        from dcbudget.charts import control

        subtitle = f"{self.currency} per useful GPU-hour of {spot.gpu_model} by interruptions, effective cost"
        here = 1000 * spot.interruptions_per_gpu_hour
        return control.spot_cost(spot.curve, here, self._spot_finding(spot), subtitle)

    def spot_table(self, gpus: tuple[int, ...] = (8, 64, 512), minutes: tuple[float, ...] = (1, 5, 20)) -> Table:
        """What a useful GPU-hour costs on spot by size of the job and length of a checkpoint."""
        rows = []
        for model in self.accelerators:
            if not all(np.isfinite(self.known.price(model, kind).value) for kind in ("spot", "on-demand")):
                continue
            for size in gpus:
                found = [self.spot(model, size, checkpoint_minutes=each) for each in minutes]
                rows.append((model, size, found[0].on_demand_price, self.known.money(model, "spot"),
                             *(each.cost_per_gpu_hour for each in found), 1000 * found[-1].worth_up_to))  # fmt: skip
            if model == self.accelerator:
                break
        costs = {f"minutes_{each}": f"Checkpoint of {each:g} min" for each in minutes}
        names = {"gpu_model": "GPU", "gpus": "GPUs of the job", "on_demand": "On demand", "spot": "Spot price", **costs,
                 "worth": f"Worth it up to, interruptions per 1,000 GPU-hours ({minutes[-1]:g} min)"}  # fmt: skip
        formats = {"gpus": COUNT, "on_demand": CENTS, "spot": CENTS, **dict.fromkeys(costs, CENTS), "worth": "{:.2g}"}
        frame = pd.DataFrame(rows, columns=list(names))
        title = "No spot price is known"
        if len(frame):
            least = frame[next(iter(costs))] / frame["on_demand"] - 1
            parts = (f"on {size:,} GPUs {more:+.0%}" for size, more in zip(frame["gpus"], least, strict=True))
            title = f"Spot against on demand with checkpoints of {minutes[0]:g} min: {', '.join(parts)}"
        often = f"{self.interruptions_per_1000:.2g} interruptions per 1,000 GPU-hours"
        remark = f"{self.currency} per useful GPU-hour, effective cost, {often}"
        return Table(frame, names, f"{title} ({remark})", formats)

    # Owning against renting.

    def owned(
        self,
        accelerator: str | None = None,
        price_per_gpu: float | None = None,
        life_years: float | None = None,
        watts: float | None = None,
        pue: float | None = None,
        price_per_kwh: float | None = None,
    ) -> Owned:
        """An owned GPU with its part of the server, the network, the hall and its staff.

        Raises
        ------
        DcbudgetError : no purchase price is known, a value out of its range.
        """
        accelerator = self.card(accelerator or self.accelerator).name
        price = self.purchase_price(accelerator) if price_per_gpu is None else price_per_gpu
        values = {"server_life_years": life_years, "gpu_watts": watts, "pue": pue, "power_price_per_kwh": price_per_kwh}
        life, draw, pue, per_kwh = (
            self.known[name].value if given is None else given for name, given in values.items()
        )  # fmt: skip
        return Owned(price, life, draw, pue, per_kwh, power_fraction=1.0, staff_cost_per_gpu_year=self.upkeep)

    def purchase_price(self, accelerator: str) -> float:
        """Money for a GPU with its part of server and interconnect, as the fleet has it, else as published.

        Raises
        ------
        DcbudgetError : nobody tells it.
        """
        if accelerator in self.fleet.index:
            return float(self.fleet.at[accelerator, "price_per_gpu"])
        published = warehouse.reference("published").set_index("name")
        name = f"purchase_price:{accelerator}"
        if name not in published.index:
            raise DcbudgetError(f"no purchase price of {accelerator} is known; load a fleet that has it, or give one")
        frame = convert(
            published.loc[[name]].assign(month=self.month), self.known.reading.rates, self.currency, ["value"]
        )
        return float(frame["value"].iloc[0])

    def own_or_rent(
        self, owned: Owned, accelerator: str | None = None, utilisation: float | None = None,
        rental_price: float | None = None,
    ) -> Ownership:  # fmt: skip
        """Owning against renting by the share of hours in which a GPU is used.

        Raises
        ------
        DcbudgetError : a value out of its range, a price that nobody tells.
        """
        accelerator = accelerator or self.accelerator
        used = self.known["allocation_rate"].value if utilisation is None else utilisation
        rental = self.known.money(accelerator, "on-demand") if rental_price is None else rental_price
        positive("rental_price", rental)
        committed = self.known.price(accelerator, "committed").value
        curves = cost.break_even(owned, rental, committed if np.isfinite(committed) else None)
        return Ownership(curves, accelerator, float(cost.break_even_utilisation(owned, rental)), used,
                         float(cost.owned_cost_per_gpu_hour(owned, used)), rental)  # fmt: skip

    def ownership_headline(self, ownership: Ownership) -> Headline:
        """From when on owning pays, and what it costs at the given utilisation."""
        share = ownership.break_even
        figures = [
            ("Owning pays from", f"{share:.0%}" if share <= 1 else "never", "of its hours in use"),
            ("Owned", f"{CENTS.format(ownership.owned_cost)} {self.currency}",
             f"per used GPU-hour at {ownership.utilisation:.0%}"),
            ("Rented", f"{CENTS.format(ownership.rental_price)} {self.currency}", "per GPU-hour, on demand"),
            ("Difference", f"{ownership.owned_cost / ownership.rental_price - 1:+.0%}", "owned against rented"),
        ]  # fmt: skip
        return Headline(f"Own or rent, {ownership.gpu_model}", figures)

    def ownership_chart(self, ownership: Ownership):
        """Money per used GPU-hour by utilisation; an Altair chart, for a panel to show."""
        from dcbudget.charts import cost as drawn

        subtitle = (
            f"{self.currency} per used GPU-hour of {ownership.gpu_model} by share of hours in use, effective cost"
        )
        curves = ownership.curves
        return drawn.break_even(curves.curve, curves.points, self._ownership_finding(ownership), subtitle)

    def ownership_table(self) -> Table:
        """Break-even utilisation of every model whose purchase and rental prices are known."""
        rows = []
        for model in self.accelerators:
            rental = self.known.price(model, "on-demand").value
            try:
                owned = self.owned(model)
            except DcbudgetError:
                continue
            if not np.isfinite(rental):
                continue
            found = self.own_or_rent(owned, model)
            parts = cost.owned_parts_per_gpu_hour(owned, found.utilisation)
            energy = parts["energy"]
            rows.append((model, owned.price_per_gpu, sum(parts.values()) - energy, energy, found.owned_cost, rental,
                         found.break_even))  # fmt: skip
        names = {"gpu_model": "GPU", "price": "Purchase price per GPU", "held": "Capacity per used GPU-hour",
                 "energy": "Energy", "owned": "Owned per used GPU-hour", "rental": "Rented on demand",
                 "break_even": "Owning pays from"}  # fmt: skip
        formats = {"price": MONEY, "held": CENTS, "energy": CENTS, "owned": CENTS, "rental": CENTS, "break_even": RATE}
        frame = pd.DataFrame(rows, columns=list(names))
        used = self.known["allocation_rate"].value
        title = "No model has both a purchase and a rental price"
        if len(frame):
            parts = (f"{row['gpu_model']} from {row['break_even']:.0%}" for _, row in frame.iterrows())
            title = f"Owning pays by the share of hours in use: {', '.join(parts)}"
        return Table(frame, names, f"{title} (at {used:.0%} in use as measured; {self.basis})", formats)

    def _spot_finding(self, spot: Spot) -> str:
        saving = 1 - spot.cost_per_gpu_hour / spot.on_demand_price
        word = "less" if saving >= 0 else "more"
        return f"A useful GPU-hour on spot costs {abs(saving):.0%} {word} than on demand"

    def _ownership_finding(self, ownership: Ownership) -> str:
        share = ownership.break_even
        if not share <= 1:
            return f"Renting {ownership.gpu_model} is always cheaper than owning it"
        return f"Owning {ownership.gpu_model} pays from {share:.0%} of its hours in use"

    def _money(self, amount: float) -> str:
        return f"{MONEY.format(amount)} {self.currency}"

    @staticmethod
    def _time(hours: float) -> str:
        if not np.isfinite(hours):
            return "never"
        if hours < 1:
            return f"{60 * hours:,.1f} min"
        return f"{hours:,.1f} h" if hours < 72 else f"{hours / 24:,.1f} days"
