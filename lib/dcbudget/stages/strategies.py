"""3_control: what would another way of training cost?"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from inspect import signature

import numpy as np
import pandas as pd

from dcbudget import warehouse
from dcbudget.errors import OutOfRange
from dcbudget.models import cost, performance, strategies
from dcbudget.models.performance.strategies import SERVER
from dcbudget.stages.control import Control
from dcbudget.stages.period import in_range, named_values, whole_in_range
from dcbudget.stages.renting import MOST_GPUS, Renting
from dcbudget.tables import CENTS, COUNT, HOURS, MONEY, RATE, SIGNED_RATE, Headline, Table

# What costs at most this much more than the cheapest is nearly as cheap.
NEARLY = 0.1
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
    misfits : of each strategy that fits on no cluster, the largest, with the reason.
    lines : the frontier, and a measured one moved to where data parallelism has its smallest size: `what`, `gpus`,
        `hours`, `cost`.
    advice : how to split the largest cluster, with the reason.
    accelerator, price_kind : what was priced; price [money per GPU-hour].
    """

    points: pd.DataFrame
    misfits: pd.DataFrame
    lines: pd.DataFrame
    advice: str
    accelerator: str
    price_kind: str
    price: float

    @cached_property
    def choices(self) -> tuple[pd.Series, pd.Series, pd.Series]:
        """Of the frontier the quickest point, the quickest that costs little more than the cheapest, the cheapest."""
        front = self.points[self.points["pareto"]]
        cheapest = front.iloc[-1]
        return front.iloc[0], front[front["cost"] <= (1 + NEARLY) * cheapest["cost"]].iloc[0], cheapest


class Strategies(Renting):
    """What other ways of training cost, from measured rates and prices where there are any.

    Parameters
    ----------
    control : the month up to which rates are measured, its database and its currency.
    model_parameters, tokens : of the training run.
    accelerator : a GPU model, "" for the one that most money is paid for.
    gpus : the largest cluster that is compared.
    gpus_per_node : GPUs of a node.
    batch : sequences a step, 0 for what is usual at that size.
    network_gb_per_second : between nodes, per GPU in one direction; None for the published one.
    price_kind : on-demand, committed, spot or owned.
    server_price : of a server-hour of parameter servers, the measured strategies and the article [money].

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
        network_gb_per_second: float | None = None,
        price_kind: str = "on-demand",
        server_price: float = 1.0,
    ):
        super().__init__(control, accelerator, gpus)
        self.model_parameters = in_range("model_parameters", model_parameters, 1e6, 1e14)
        self.tokens = in_range("tokens", tokens, 1e6, 1e15)
        self.gpus_per_node = whole_in_range("gpus_per_node", gpus_per_node, 1, 1024)
        self.batch = whole_in_range("batch", batch, 0, 1_000_000)
        network = self.known["network_gb_per_second"].value if network_gb_per_second is None else network_gb_per_second
        self.network_gb_per_second = in_range("network_gb_per_second", network, 0.1, 10_000)
        self.price_kind = price_kind
        self.server_price = in_range("server_price", server_price, 0, 1e6)

    @classmethod
    def told(cls, control: Control, training_run: Mapping) -> "Strategies":
        """With the parameters of `Strategies` by name; what is not told is as usual.

        Raises
        ------
        OutOfRange : there is no such parameter, or a value is out of its range.
        """
        told, known = named_values("training_run", training_run), list(signature(cls).parameters)[1:]
        if strange := sorted(set(told) - set(known)):
            raise OutOfRange(f"training_run has no {strange[0]!r}; it has {', '.join(known)}")
        return cls(control, **told)

    # What is read.

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
    def node_sizes(self) -> list[tuple[str, int]]:
        """GPUs of a node to choose from."""
        return [(f"{n:,}", n) for n in sorted({1, 2, 4, 8, 16, 72, self.gpus_per_node})]

    @cached_property
    def batches(self) -> list[tuple[str, int]]:
        """Sequences of a step to choose from."""
        return [(f"{n:,}" if n else "usual", n) for n in sorted({0, *(2**e for e in range(4, 15)), self.batch})]

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
        price = self.known.money(accelerator, kind)
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
        points = strategies.priced(
            rows, price, self.interruptions if kind == "spot" else 0.0, 60 * self.checkpoint_minutes,
            60 * self.restart_minutes, self.server_price,
        )  # fmt: skip
        misfits = rows[~rows["strategy"].isin(points["strategy"])].groupby("strategy", sort=False).tail(1)
        measured = self.measured_scaling[self.measured_scaling["job"] == MEASURED_JOB]
        parallel = points[points["strategy"] == "data parallel"]
        scaled = strategies.scaled(parallel, measured).assign(what=f"scaled as measured: {MEASURED_JOB}")
        front = points.loc[points["pareto"], ["gpus", "hours", "cost"]].assign(what="frontier")
        advice = performance.recommend_parallelism(model, cluster, **run, kernel_efficiency=efficiency).reason
        return Comparison(points, misfits, pd.concat([front, scaled]), advice, accelerator, kind, price)

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
        points = compared.points[["strategy", "gpus", "nodes", "hours", "gpu_hours", "cost", "pareto"]]
        return control.frontier(points, compared.lines, self._comparison_finding(compared), subtitle)

    def comparison_table(self, compared: Comparison) -> Table:
        """The strategies on the frontier, the best of each that is not, and those that do not fit."""
        frame = compared.points
        best = frame.sort_values("cost").groupby("strategy").head(1).index
        frame = frame.loc[frame.index[frame["pareto"]].union(best)].reset_index(drop=True)
        frame = frame.assign(on_it=frame["pareto"].map({True: "yes", False: ""}))
        misfits = compared.misfits.assign(on_it="does not fit")[["strategy", "gpus", "nodes", "batch", "on_it", "why"]]
        served = frame["strategy"] == SERVER
        paid = f"; a server for each node, {CENTS.format(self.server_price)} an hour"
        frame["why"] = frame["why"].where(~served, frame["why"] + paid)
        frame = pd.concat([frame, misfits.astype({"gpus": float})], ignore_index=True) if len(misfits) else frame
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
        server_kw = self.known["gpu_watts"].value / 1000  # at their price, servers of one GPU
        found = cost.article_cost(
            np.array(plans["servers"]), 10_000, np.array(plans["epochs"]), np.array(plans["hours_per_epoch"]),
            self.server_price, nodes=np.array(plans["nodes"]), plans=plans["plans"],
            printed=np.array(plans["printed"]), server_kw=server_kw, pue=self.known["pue"].value,
            price_per_kwh=self.known["power_price_per_kwh"].value,
        )  # fmt: skip
        frame = found.rows
        names = {"figure": "Figure", "unit": "Unit", **{plan: plan for plan in plans["plans"]}}
        formats = dict.fromkeys(plans["plans"], COUNT)
        prices = (
            f"rental {CENTS.format(self.server_price)} per server-hour, 10,000 a server, {server_kw:,.1f} kW of each"
        )
        return Table(frame, names, f"{found.finding} {found.why} ({prices}; {self.currency})", formats)

    # Findings.

    def _comparison_finding(self, compared: Comparison) -> str:
        quickest, balanced, cheapest = compared.choices
        if quickest.equals(cheapest):
            return f"Both cheapest and quickest: {self._named(cheapest)}"
        dearer, dearest = (f"{point['cost'] / cheapest['cost'] - 1:.0%} more" for point in (balanced, quickest))
        finding = f"{self._named(balanced)} takes {self._time(balanced['hours'])} and costs {dearer} than the cheapest"
        if quickest["gpus"] != balanced["gpus"]:
            named = self._named(quickest).removeprefix(self._named(balanced).partition(" on ")[0]).strip()
            finding += f"; {named} {self._time(quickest['hours'])} and {dearest}"
        return finding[0].upper() + finding[1:]

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

    @staticmethod
    def _named(row: pd.Series) -> str:
        strategy = row["strategy"].partition(" (")[0]
        return f"{strategy} on {row['gpus']:,.0f} GPU{'s' if row['gpus'] != 1 else ''}"


def _short(count: float) -> str:
    """A count as people say it, such as 7 B or 1.5 T."""
    scale = {1e12: "T", 1e9: "B", 1e6: "M"}
    unit = next((size for size in scale if count >= size), 1e6)
    return f"{count / unit:g} {scale[unit]}"
