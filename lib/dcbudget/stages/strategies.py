"""3_control, second half: what would another way of training or of paying cost?"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from dcbudget import warehouse
from dcbudget.errors import DcbudgetError, OutOfRange
from dcbudget.models import cost, performance, strategies
from dcbudget.models.cost import Owned
from dcbudget.models.currency import convert
from dcbudget.stages.control import Control
from dcbudget.stages.period import in_range, whole_in_range
from dcbudget.tables import CENTS, COUNT, HOURS, MONEY, RATE, SIGNED_RATE, Headline, Table

KINDS = ("on-demand", "committed", "spot", "owned")
# Sizes of clusters that are compared: powers of two up to the largest.
MOST_GPUS = 65_536
# What costs at most this much more than the cheapest is nearly as cheap.
NEARLY = 0.1
SPOT_GPUS = 64
MEASURED_JOB = "Llama 2 70B LoRA"
# The three plans of the article that this workbook starts from, and what it claims of them.
ARTICLE = {
    "plans": ("One node", "Distributed, 5 nodes", "Larger batch"), "nodes": (1, 5, 1), "servers": (10, 2, 5),
    "epochs": (100, 100, 200), "hours_per_epoch": (10, 10, 10), "printed": (100_000_000, 50_000_000, 50_000_000),
}  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Strategies for one training run.

    Attributes
    ----------
    points : those that fit, with hours, GPU-hours, cost and whether they are on the time-cost frontier.
    lines : the frontier, and a measured one moved to where data parallelism has its smallest size: `what`, `gpus`,
        `hours`, `cost`.
    advice : how to split the largest cluster, with the reason.
    accelerator, price_kind : what was priced; price [money per GPU-hour].
    """

    points: pd.DataFrame
    lines: pd.DataFrame
    advice: str
    accelerator: str
    price_kind: str
    price: float

    @property
    def choices(self) -> tuple[pd.Series, pd.Series, pd.Series]:
        """Of the frontier the quickest point, the quickest that costs little more than the cheapest, the cheapest."""
        front = self.points[self.points["pareto"]]
        cheapest = front.iloc[-1]
        return front.iloc[0], front[front["cost"] <= (1 + NEARLY) * cheapest["cost"]].iloc[0], cheapest


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


class Strategies:
    """What other ways of training and paying cost, from measured rates and prices where there are any.

    Parameters
    ----------
    control : the month up to which rates are measured, its database and its currency.
    model_parameters, tokens : of the training run.
    accelerator : a GPU model, "" for the one that most money is paid for.
    gpus : the largest cluster that is compared.
    gpus_per_node : GPUs of a node.
    batch : sequences a step, 0 for what is usual at that size.
    network_gb_per_second : between nodes, per GPU in one direction.
    price_kind : on-demand, committed, spot or owned.
    server_price : of a server-hour of the measured strategies and of the article [money].

    Raises
    ------
    OutOfRange : a value out of its range.
    """

    def __init__(
        self,
        control: Control,
        model_parameters: float = 7e9,
        tokens: float = 140e9,
        accelerator: str = "",
        gpus: int = 256,
        gpus_per_node: int = 8,
        batch: int = 0,
        network_gb_per_second: float = 50.0,
        price_kind: str = "on-demand",
        server_price: float = 1.0,
    ):
        self.db, self.known = control.db, control.known
        self.currency, self.month, self.basis = control.currency, control.month, control.basis
        self.model_parameters = in_range("model_parameters", model_parameters, 1e6, 1e14)
        self.tokens = in_range("tokens", tokens, 1e6, 1e15)
        self.accelerator = accelerator or next(iter(self.known.gpu_models), "H100")
        self.gpus = whole_in_range("gpus", gpus, 1, MOST_GPUS)
        self.gpus_per_node = whole_in_range("gpus_per_node", gpus_per_node, 1, 1024)
        self.batch = whole_in_range("batch", batch, 0, 1_000_000)
        self.network_gb_per_second = in_range("network_gb_per_second", network_gb_per_second, 0.1, 10_000)
        self.price_kind = price_kind
        self.server_price = in_range("server_price", server_price, 0, 1e6)

    # What is read.

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
    def measured_scaling(self) -> pd.DataFrame:
        return warehouse.reference("measured_scaling")

    @cached_property
    def measured(self) -> pd.DataFrame:
        """Runs of `dcbudget measure`."""
        return warehouse.mart("measured_strategies", self.db)

    # What the panel offers.

    @cached_property
    def model_sizes(self) -> list[tuple[str, float]]:
        """Parameters to choose from, and those that were asked for."""
        usual = [n * 10.0**e for e in range(8, 13) for n in (1, 2, 3, 5, 7)]
        return [(_short(size), size) for size in sorted({*usual, self.model_parameters})]

    @cached_property
    def token_counts(self) -> list[tuple[str, float]]:
        """Tokens to choose from, and those that were asked for."""
        usual = [n * 10.0**e for e in range(9, 14) for n in (1, 2, 5)]
        return [(_short(count), count) for count in sorted({*usual, self.tokens})]

    @cached_property
    def cluster_sizes(self) -> list[tuple[str, int]]:
        """Largest clusters to choose from."""
        return [(f"{n:,}", n) for n in sorted({*(2**e for e in range(17)), self.gpus, self.spot_gpus})]

    @cached_property
    def node_sizes(self) -> list[tuple[str, int]]:
        """GPUs of a node to choose from."""
        return [(f"{n:,}", n) for n in sorted({1, 2, 4, 8, 16, 72, self.gpus_per_node})]

    @cached_property
    def batches(self) -> list[tuple[str, int]]:
        """Sequences of a step to choose from."""
        return [(f"{n:,}" if n else "usual", n) for n in sorted({0, *(2**e for e in range(4, 15)), self.batch})]

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

    def price(self, accelerator: str, kind: str) -> float:
        """Money per GPU-hour.

        Raises
        ------
        DcbudgetError : nobody tells it.
        """
        found = self.known.price(accelerator, kind).value
        if not np.isfinite(found):
            raise DcbudgetError(
                f"no price of {accelerator}, {kind}, is known; load a bill or a price list that has it,"
                " or choose another accelerator or kind of price"
            )
        return found

    # Ways of training.

    def compare(
        self,
        model_parameters: float | None = None,
        tokens: float | None = None,
        accelerator: str | None = None,
        gpus: int | None = None,
        gpus_per_node: int | None = None,
        batch: int | None = None,
        network_gb_per_second: float | None = None,
        price_kind: str | None = None,
        mfu: float | None = None,
    ) -> Comparison:
        """Time and money of a training run by strategy and size of cluster; what is not given is as at the start.

        Raises
        ------
        DcbudgetError : a value out of its range, an unknown accelerator or price, a model that fits nowhere.
        """
        size = self.model_parameters if model_parameters is None else model_parameters
        accelerator = accelerator or self.accelerator
        most = self.gpus if gpus is None else whole_in_range("gpus", gpus, 1, MOST_GPUS)
        card, kind = self.card(accelerator), price_kind or self.price_kind
        price = self.price(accelerator, kind)
        model = performance.Transformer.of_size(size)
        network = self.network_gb_per_second if network_gb_per_second is None else network_gb_per_second
        per_node = self.gpus_per_node if gpus_per_node is None else gpus_per_node
        cluster = performance.Cluster(card, most, per_node, network_gb_per_second=network)
        run = {
            "tokens": self.tokens if tokens is None else tokens,
            "batch": (self.batch if batch is None else batch) or model.usual_batch,
        }
        sizes = [2**n for n in range(most.bit_length())]
        efficiency = strategies.calibrated(model, cluster, self.known["mfu"].value if mfu is None else mfu, **run)
        rows = performance.compare_strategies(
            model, sizes, cluster, **run, kernel_efficiency=efficiency,
            mtbf_gpu_hours=self.known["mtbf_gpu_hours"].value,
        )  # fmt: skip
        points = strategies.priced(rows, price, self.interruptions if kind == "spot" else 0.0)
        measured = self.measured_scaling[self.measured_scaling["job"] == MEASURED_JOB]
        parallel = points[points["strategy"] == "data parallel"]
        scaled = strategies.scaled(parallel, measured).assign(what=f"scaled as measured: {MEASURED_JOB}")
        front = points.loc[points["pareto"], ["gpus", "hours", "cost"]].assign(what="frontier")
        advice = performance.recommend_parallelism(model, cluster, **run, kernel_efficiency=efficiency).reason
        return Comparison(points, pd.concat([front, scaled]), advice, accelerator, kind, price)

    @property
    def interruptions_per_1000(self) -> float:
        """Measured interruptions per 1,000 GPU-hours."""
        return 1000 * self.interruptions

    @property
    def interruptions(self) -> float:
        """Measured interruptions per GPU-hour of spot capacity."""
        return self.known["spot_interruptions_per_gpu_hour"].value

    def comparison_headline(self, compared: Comparison) -> Headline:
        """The cheapest and the quickest strategy."""
        quickest, balanced, cheapest = compared.choices
        figures = [
            ("Cheapest", self._money(cheapest["cost"]), f"{self._named(cheapest)}, {self._time(cheapest['hours'])}"),
            ("Quickest", self._time(quickest["hours"]), f"{self._named(quickest)}, {self._money(quickest['cost'])}"),
            (f"Quick within {NEARLY:.0%} of the cheapest", self._time(balanced["hours"]),
             f"{self._named(balanced)}, {self._money(balanced['cost'])}"),
            ("Price", f"{CENTS.format(compared.price)} {self.currency}",
             f"per GPU-hour of {compared.accelerator}, {compared.price_kind}"),
        ]  # fmt: skip
        return Headline("Strategies for one training run", figures)

    def comparison_chart(self, compared: Comparison):
        """Time against cost with the frontier marked; an Altair chart, for a panel to show."""
        from dcbudget.charts import control

        subtitle = (
            f"hours against money by strategy and GPUs, {compared.price_kind} price of {compared.accelerator},"
            f" {self.currency}; filled: on the frontier"
        )
        return control.frontier(compared.points, compared.lines, self._comparison_finding(compared), subtitle)

    def comparison_table(self, compared: Comparison) -> Table:
        """The strategies on the frontier, and the best of each that is not."""
        frame = compared.points
        best = frame.sort_values("cost").groupby("strategy").head(1).index
        frame = frame.loc[frame.index[frame["pareto"]].union(best)].reset_index(drop=True)
        frame = frame.assign(on_it=frame["pareto"].map({True: "yes", False: ""}))
        names = {"strategy": "Strategy", "gpus": "GPUs", "nodes": "Nodes", "batch": "Batch", "hours": "Hours",
                 "gpu_hours": "GPU-hours", "cost": "Cost", "mfu": "MFU", "memory_gb": "GB per GPU",
                 "on_it": "On the frontier", "why": "Why"}  # fmt: skip
        formats = {"gpus": COUNT, "nodes": COUNT, "batch": COUNT, "hours": HOURS, "gpu_hours": COUNT, "cost": MONEY,
                   "mfu": RATE, "memory_gb": HOURS}  # fmt: skip
        price = f"{compared.price_kind} price of {compared.accelerator}, {self.currency}"
        return Table(frame, names, f"{self._comparison_finding(compared)} ({price}). {compared.advice}", formats)

    def measured_frontier(self) -> Table:
        """Measured time-cost frontiers beside the law t(n) = a/n + b that all sizes but the largest give."""
        frame = strategies.measured_law(self.measured_scaling)
        names = {"job": "Job", "gpu_model": "GPU", "gpus": "GPUs", "minutes": "Minutes", "gpu_hours": "GPU-hours",
                 "speed": "Speed",
                 "price": "GPU-hours against the smallest", "law": "Law, minutes", "off": "Law against measured",
                 "beyond": "Times the largest fitted size"}  # fmt: skip
        formats = {"gpus": COUNT, "minutes": CENTS, "gpu_hours": CENTS, "speed": "{:,.1f} x", "price": "{:,.2f} x",
                   "law": CENTS, "off": SIGNED_RATE, "beyond": "{:,.0f} x"}  # fmt: skip
        job = frame[frame["job"] == MEASURED_JOB]
        first, last = job.iloc[0], job.iloc[-1]
        title = (
            f"Measured: {last['gpus']:,.0f} {last['gpu_model']} are {last['speed']:,.1f} times as quick as"
            f" {first['gpus']:,.0f} and take {last['price']:,.1f} times the GPU-hours; the law of the smaller sizes"
            f" is {abs(last['off']):.1%} off (GPU-hours; {'; '.join(frame['source'].unique())})"
        )
        return Table(frame, names, title, formats)

    # Spot.

    def spot(
        self,
        accelerator: str | None = None,
        gpus: int | None = None,
        interruptions_per_1000_gpu_hours: float | None = None,
        checkpoint_minutes: float = 5.0,
        restart_minutes: float = 10.0,
        spot_price: float | None = None,
    ) -> Spot:
        """What a useful GPU-hour costs on spot capacity, with checkpoints and repeated work.

        Raises
        ------
        DcbudgetError : a value out of its range, an unknown accelerator or price.
        """
        accelerator = accelerator or self.accelerator
        gpus = whole_in_range("gpus", self.spot_gpus if gpus is None else gpus, 1, MOST_GPUS)
        checkpoint = 60 * in_range("checkpoint_minutes", checkpoint_minutes, 0, 24 * 60)
        restart = 60 * in_range("restart_minutes", restart_minutes, 0, 24 * 60)
        on_demand = self.price(accelerator, "on-demand")
        spot_price = self.price(accelerator, "spot") if spot_price is None else spot_price
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
                rows.append((model, size, found[0].on_demand_price, self.price(model, "spot"),
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
            worst = frame.iloc[-1]
            last = worst[list(costs)[-1]]
            word = "below" if last < worst["on_demand"] else "above"
            title = (
                f"On {worst['gpus']:,} GPUs with checkpoints of {minutes[-1]:g} minutes a useful hour of"
                f" {worst['gpu_model']} on spot costs {abs(1 - last / worst['on_demand']):.0%} {word} on demand"
            )
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
        accelerator = accelerator or self.accelerator
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
        rental = self.price(accelerator, "on-demand") if rental_price is None else rental_price
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
            low = frame.loc[frame["break_even"].idxmin()]
            title = f"Owning {low['gpu_model']} pays from {low['break_even']:.0%} of its hours in use"
        return Table(frame, names, f"{title} (at {used:.0%} in use as measured; {self.basis})", formats)

    # Measured, and claimed.

    @cached_property
    def modes(self) -> pd.DataFrame:
        """Measured strategies by mode."""
        return strategies.by_mode(self.measured, self.server_price)

    def measured_table(self) -> Table:
        """Time, server-hours and money to the target accuracy of every mode that was measured."""
        frame = self.modes
        names = {"mode": "Mode", "runs": "Runs", "reached": "Reached the target", "seconds": "Seconds to target",
                 "seconds_low": "Least", "seconds_high": "Most", "server_hours": "Server-hours", "cost": "Cost",
                 "final_accuracy": "Accuracy", "final_f1": "F1"}  # fmt: skip
        formats = {"runs": COUNT, "reached": RATE, "seconds": CENTS, "seconds_low": CENTS, "seconds_high": CENTS,
                   "server_hours": "{:,.5f}", "cost": "{:,.5f}", "final_accuracy": RATE, "final_f1": RATE}  # fmt: skip
        basis = f"rental at {CENTS.format(self.server_price)} {self.currency} per server-hour"
        return Table(frame, names, f"{self._measured_finding()} ({basis})", formats)

    def measured_chart(self):
        """Time to target of every run by mode."""
        from dcbudget import charts
        from dcbudget.charts import control

        subtitle = "seconds of training to the target accuracy; a point is a seed, the bar the median"
        runs = self.measured.assign(global_batch=lambda m: m["processes"] * m["batch_size"] * m["accumulation"])
        runs = runs.merge(self.modes[["strategy", "processes", "global_batch", "mode"]])
        return charts.show(control.modes(self.modes, runs.dropna(subset="seconds_to_target"), self._measured_finding(),
                                         subtitle))  # fmt: skip

    def article(self) -> Table:
        """The plans of the source article: as printed, by its formula, and what they soundly cost."""
        plans = ARTICLE
        found = cost.article_cost(
            np.array(plans["servers"]), 10_000, np.array(plans["epochs"]), np.array(plans["hours_per_epoch"]),
            self.server_price, nodes=np.array(plans["nodes"]), plans=plans["plans"],
            printed=np.array(plans["printed"]),
        )  # fmt: skip
        frame = found.rows
        names = {"figure": "Figure", "unit": "Unit", **{plan: plan for plan in plans["plans"]}}
        formats = dict.fromkeys(plans["plans"], COUNT)
        return Table(frame, names, f"{found.finding} {found.why} (money at {CENTS.format(self.server_price)} per"
                                   " server-hour and 10,000 a server)", formats)  # fmt: skip

    # Findings.

    def _comparison_finding(self, compared: Comparison) -> str:
        quickest, balanced, cheapest = compared.choices
        if quickest.equals(cheapest):
            return f"Both cheapest and quickest: {self._named(cheapest)}"
        finding = self._at(balanced, cheapest)
        return f"{finding}; {self._at(quickest, cheapest)}" if quickest["gpus"] != balanced["gpus"] else finding

    def _spot_finding(self, spot: Spot) -> str:
        saving = 1 - spot.cost_per_gpu_hour / spot.on_demand_price
        word = "less" if saving >= 0 else "more"
        return f"A useful GPU-hour on spot costs {abs(saving):.0%} {word} than on demand"

    def _ownership_finding(self, ownership: Ownership) -> str:
        share = ownership.break_even
        if not share <= 1:
            return f"Renting {ownership.gpu_model} is always cheaper than owning it"
        return f"Owning {ownership.gpu_model} pays from {share:.0%} of its hours in use"

    def _measured_finding(self) -> str:
        reached = self.modes.dropna(subset="seconds")
        if reached.empty:
            return (
                "No measured run reached its target" if len(self.modes) else "Nothing was measured (dcbudget measure)"
            )
        quickest, cheapest = reached.iloc[0], reached.loc[reached["cost"].idxmin()]
        if quickest["mode"] == cheapest["mode"]:
            return f"Measured: {quickest['mode']} is both quickest and cheapest"
        return f"Measured: {quickest['mode']} is quickest, {cheapest['mode']} cheapest"

    def _at(self, point: pd.Series, cheapest: pd.Series) -> str:
        more = f"{point['cost'] / cheapest['cost'] - 1:+.0%}"
        return f"{self._time(point['hours'])} with {self._named(point)} for {more}"

    @staticmethod
    def _named(row: pd.Series) -> str:
        strategy = row["strategy"].partition(" (")[0]
        return f"{strategy} on {row['gpus']:,.0f} GPU{'s' if row['gpus'] != 1 else ''}"

    def _money(self, amount: float) -> str:
        return f"{MONEY.format(amount)} {self.currency}"

    @staticmethod
    def _time(hours: float) -> str:
        if not np.isfinite(hours):
            return "never"
        if hours < 1:
            return f"{60 * hours:,.1f} min"
        return f"{hours:,.1f} h" if hours < 72 else f"{hours / 24:,.1f} days"


def _short(count: float) -> str:
    """A count as people say it, such as 7 B or 1.5 T."""
    scale = {1e12: "T", 1e9: "B", 1e6: "M"}
    unit = next((size for size in scale if count >= size), 1e6)
    return f"{count / unit:g} {scale[unit]}"
