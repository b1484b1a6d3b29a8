"""What computing costs on every basis: rented, committed, spot and owned; with energy, carbon, storage and network."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models.capacity import HOURS_PER_YEAR
from dcbudget.models.performance import checkpoint_interval
from dcbudget.models.ranges import positive, share, within

# Cottier et al. 2024, "The rising costs of training frontier AI models", arXiv:2405.21015, and its code
# (github.com/epoch-research/training-cost-trends): how fast new hardware undercuts old, the share of a cluster's
# price that is its interconnect, the mean share of its rated power that a server draws in training, the rated power
# of a server by the rated power of its chips, and its price by that of its chips.
DEPRECIATION_OOMS_PER_YEAR = 0.14
INTERCONNECT_SHARE = 0.19
POWER_FRACTION = {"GPU": 0.75, "TPU": 0.43}
SERVER_POWER = {"V100": ((10 / 16) / 0.3 + (1.5 / 4) / 0.3) / 2, "A100": (6.5 / 8) / 0.4, "H100": (10.2 / 8) / 0.7}
SERVER_PRICE = {"P100": 1.54, "V100": 1.69, "A100": 1.66}
SERVER_PRICE_OF_OTHERS = 1.64


# The exponent at which a double ends: a job that is interrupted so often never finishes.
LARGEST_EXPONENT = 700.0


def rented_cost(gpu_hours, price_per_gpu_hour, discount=0.0):
    """Money for GPU-hours at a price: on-demand, or less a negotiated or commitment discount.

    Parameters
    ----------
    gpu_hours : GPU-hours that are paid for; numbers or arrays that broadcast, as in all of this module.
    price_per_gpu_hour : list or on-demand price [money per GPU-hour].
    discount : decimal in [0, 1].

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    hours = within("gpu_hours", gpu_hours, 0)
    price = within("price_per_gpu_hour", price_per_gpu_hour, 0)
    return hours * price * (1 - share("discount", discount))


class Committed(NamedTuple):
    """Money of a commitment and of what goes beyond it; the three parts add up to the bill.

    Attributes
    ----------
    committed : for the committed GPU-hours that were used.
    on_demand : for the use beyond the commitment.
    unused : for the committed GPU-hours that nobody used.
    """

    committed: float | np.ndarray
    on_demand: float | np.ndarray
    unused: float | np.ndarray

    @property
    def total(self):
        return self.committed + self.on_demand + self.unused


def committed_cost(gpu_hours, committed_gpu_hours, on_demand_price, committed_price) -> Committed:
    """Money under a commitment to a number of GPU-hours, such as reserved instances.

    What a period leaves unused lapses with it, so pass one row a period in which that happens: an hour for reserved
    instances and savings plans, a month for a minimum spend.

    Parameters
    ----------
    gpu_hours, committed_gpu_hours : used and committed in each period [GPU-hours].
    on_demand_price, committed_price : [money per GPU-hour].

    Raises
    ------
    OutOfRange : a negative value.
    """
    used = within("gpu_hours", gpu_hours, 0)
    committed = within("committed_gpu_hours", committed_gpu_hours, 0)
    price = within("committed_price", committed_price, 0)
    covered = np.minimum(used, committed)
    beyond = (used - covered) * within("on_demand_price", on_demand_price, 0)
    return Committed(covered * price, beyond, (committed - covered) * price)


def savings_plan_cost(gpu_hours, committed_spend, on_demand_price, discount) -> Committed:
    """Money under a commitment to spend, at discounted prices, a sum in every period: a savings plan.

    The sum covers committed_spend / (on_demand_price x (1 - discount)) GPU-hours; see `committed_cost`.

    Parameters
    ----------
    committed_spend : [money a period].
    discount : of the plan on the on-demand price, decimal in [0, 1).

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    price = positive("on_demand_price", on_demand_price) * (1 - within("discount", discount, 0, 0.9999))
    return committed_cost(gpu_hours, within("committed_spend", committed_spend, 0) / price, on_demand_price, price)


def spot_overhead(
    interruptions_per_gpu_hour,
    gpus=1,
    checkpoint_seconds=60.0,
    restart_seconds=300.0,
    interval_seconds=None,
    wait_seconds=0.0,
):
    """GPU-hours beyond the useful ones that a job on spot capacity pays for, as a share of the useful ones.

    An interruption of one GPU stops the job, which restarts from its last checkpoint. With interruptions at random
    times, a mean time M between those of the job, checkpoints of d after every t of work and restarts of r, which may
    be interrupted too, a job of W of work takes M exp(r/M) (exp((t + d)/M) - 1) W/t.

    Source: Daly 2006, "A higher order estimate of the optimum checkpoint interval for restart dumps", FGCS 22, his
    complete cost function; with waits, Bougeret et al. 2011, "Checkpointing strategies for parallel jobs", SC'11.

    Parameters
    ----------
    interruptions_per_gpu_hour : interruptions of one GPU [1/hour].
    gpus : of the job.
    checkpoint_seconds : that the job stands still for a checkpoint.
    restart_seconds : paid time from getting capacity back to going on with the work.
    interval_seconds : work between checkpoints, None for Daly's optimum.
    wait_seconds : unpaid time without capacity after an interruption; 0 gives the share of money, else that of time.

    Returns
    -------
    Decimal, at least 0; numbers or arrays that broadcast.

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    rate = within("interruptions_per_gpu_hour", interruptions_per_gpu_hour, 0) * positive("gpus", gpus)
    checkpoint = within("checkpoint_seconds", checkpoint_seconds, 0)
    restart = within("restart_seconds", restart_seconds, 0)
    wait = within("wait_seconds", wait_seconds, 0)
    often = np.asarray(rate) > 0
    between = np.where(often, 3600 / np.where(often, rate, 1), np.inf)
    known = np.where(often, between, 1.0)
    if interval_seconds is None:
        # without the time of a checkpoint the best is to write them all the time: a second's work is near enough
        interval = np.maximum(checkpoint_interval(np.maximum(checkpoint, 1e-6), known), 1e-3)
        uninterrupted = 0.0
    else:
        interval = positive("interval_seconds", interval_seconds)
        uninterrupted = checkpoint / interval
    tries = np.expm1(np.minimum((interval + checkpoint) / known, LARGEST_EXPONENT)) * known / interval
    again = np.exp(np.minimum(restart / known, LARGEST_EXPONENT)) * (1 + wait / known)
    with np.errstate(over="ignore"):
        overhead = np.where(often, tries * again - 1, uninterrupted)
    return overhead[()]


def spot_cost(
    gpu_hours,
    spot_price,
    interruptions_per_gpu_hour,
    lost_hours_per_interruption=None,
    *,
    gpus=1,
    checkpoint_seconds=60.0,
    restart_seconds=300.0,
    interval_seconds=None,
):
    """Expected money for useful GPU-hours on spot capacity, with checkpoints, repeated work and restarts.

    Parameters
    ----------
    gpu_hours : useful work [GPU-hours].
    spot_price : [money per GPU-hour].
    lost_hours_per_interruption : what an interruption costs the job where that was measured [hours of all its GPUs];
        then hours / (1 - interruptions an hour x lost hours) are paid. None: as `spot_overhead` has it.

    Raises
    ------
    OutOfRange : a value outside its range; so many interruptions that the job never ends.
    """
    hours = within("gpu_hours", gpu_hours, 0)
    price = within("spot_price", spot_price, 0)
    if lost_hours_per_interruption is None:
        extra = spot_overhead(interruptions_per_gpu_hour, gpus, checkpoint_seconds, restart_seconds, interval_seconds)
        return hours * price * (1 + extra)
    rate = within("interruptions_per_gpu_hour", interruptions_per_gpu_hour, 0) * positive("gpus", gpus)
    lost = rate * within("lost_hours_per_interruption", lost_hours_per_interruption, 0)
    if not np.all(lost < 1):
        raise OutOfRange(
            "interruptions_per_gpu_hour x gpus x lost_hours_per_interruption must be below 1, "
            f"not {np.max(lost):g}: the job would never end"
        )
    return hours * price / (1 - lost)


def spot_break_even_interruptions(
    spot_price, on_demand_price, gpus=1, checkpoint_seconds=60.0, restart_seconds=300.0, interval_seconds=None
):
    """Interruptions per GPU-hour above which spot capacity costs more than on-demand capacity.

    Found by bisection: `spot_overhead` rises with the interruptions.

    Returns
    -------
    [1/hour], 0 where spot never pays, inf where it pays at 1,000 interruptions of the job an hour.

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    price = positive("spot_price", spot_price)
    bearable = within("on_demand_price", on_demand_price, 0) / price - 1
    gpus = positive("gpus", gpus)

    def overhead(job_rate):
        return spot_overhead(job_rate / gpus, gpus, checkpoint_seconds, restart_seconds, interval_seconds)

    shape = np.broadcast(bearable, gpus, checkpoint_seconds, restart_seconds).shape
    low, high = np.full(shape, -9.0), np.full(shape, 3.0)
    always, never = overhead(10**high) <= bearable, overhead(10**low) > bearable
    for _ in range(60):
        middle = (low + high) / 2
        pays = overhead(10**middle) <= bearable
        low, high = np.where(pays, middle, low), np.where(pays, high, middle)
    return np.where(always, np.inf, np.where(never, 0.0, 10**low / gpus))[()]


def energy_kwh(gpu_hours, watts_per_gpu, pue=1.0):
    """Energy drawn from the grid [kWh].

    Parameters
    ----------
    watts_per_gpu : mean draw, with the GPU's part of its server where that is meant [W].
    pue : power usage effectiveness, facility over IT energy, at least 1.

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    hours = within("gpu_hours", gpu_hours, 0)
    return hours * within("watts_per_gpu", watts_per_gpu, 0) / 1000 * within("pue", pue, 1)


def carbon_kg(kwh, kg_co2e_per_kwh):
    """Emissions of energy drawn from a grid [kg CO2e]; the market's or the location's factor, as passed.

    Raises
    ------
    OutOfRange : a negative value.
    """
    return within("kwh", kwh, 0) * within("kg_co2e_per_kwh", kg_co2e_per_kwh, 0)


def market_value(price, years, ooms_per_year=DEPRECIATION_OOMS_PER_YEAR):
    """What hardware is worth years after it was bought: price x 10^(-ooms_per_year x years).

    Old hardware sells at what new hardware of the same performance costs.

    Source: Cottier et al. 2024, arXiv:2405.21015, with Epoch AI's trend of 0.14 orders of magnitude a year.

    Raises
    ------
    OutOfRange : a negative value.
    """
    fall = within("ooms_per_year", ooms_per_year, 0) * within("years", years, 0)
    return within("price", price, 0) * 10**-fall


def market_depreciation_per_hour(price, years, ooms_per_year=DEPRECIATION_OOMS_PER_YEAR):
    """What `market_value` loses in an hour, years after the purchase [money per hour]: value x rate x ln 10 / 8766.

    Raises
    ------
    OutOfRange : a negative value.
    """
    return market_value(price, years, ooms_per_year) * ooms_per_year * np.log(10) / HOURS_PER_YEAR


def straight_line_depreciation_per_hour(price, years, life_years, residual_share=0.0):
    """What straight-line book value loses in an hour [money per hour]: the same all life long, then nothing.

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    life = positive("life_years", life_years)
    lost = within("price", price, 0) * (1 - share("residual_share", residual_share))
    return np.where(within("years", years, 0) < life, lost / (life * HOURS_PER_YEAR), 0.0)[()]


def price_in_server(chip_price, gpu_model: str):
    """Price of a GPU with its part of the server, from that of the bare chip.

    Source: Cottier et al. 2024, arXiv:2405.21015: 1.54 for P100, 1.69 for V100, 1.66 for A100, their mean for others.

    Raises
    ------
    OutOfRange : a negative price.
    """
    return within("chip_price", chip_price, 0) * SERVER_PRICE.get(gpu_model, SERVER_PRICE_OF_OTHERS)


class TrainingCost(NamedTuple):
    """A training's money on three bases that must not be confused, and a part of the first.

    Attributes
    ----------
    amortised_hardware_and_energy : the value that the hardware loses during the training, and the energy.
    energy : the energy of it.
    cloud_rental : the same chip-hours at a rental price; nan where none is given.
    hardware_acquisition : the whole purchase of the chips and their interconnect; nan where their number is not given.
    """

    amortised_hardware_and_energy: float | np.ndarray
    energy: float | np.ndarray
    cloud_rental: float | np.ndarray
    hardware_acquisition: float | np.ndarray


def training_cost(
    chip_hours,
    price_per_chip,
    years_since_acquisition,
    chip_kw,
    server_power,
    pue,
    price_per_kwh,
    *,
    power_fraction=POWER_FRACTION["GPU"],
    interconnect_share=INTERCONNECT_SHARE,
    ooms_per_year=DEPRECIATION_OOMS_PER_YEAR,
    price_index=1.0,
    chips=None,
    rental_price_per_chip_hour=None,
) -> TrainingCost:
    """Money of a training on every basis of a published method.

    amortised hardware = chip-hours x market depreciation per hour at the start / (1 - interconnect share)
    energy = chip-hours x chip_kw x server_power x power_fraction x pue x price_per_kwh
    rental = chip-hours x rental price; acquisition = chips x price / (1 - interconnect share)

    Source: Cottier et al. 2024, "The rising costs of training frontier AI models", arXiv:2405.21015.

    Parameters
    ----------
    price_per_chip : at acquisition, its part of the server included [money].
    years_since_acquisition : to the training's start.
    chip_kw, server_power : the chip's rated power [kW], and the server's by that of its chips (`SERVER_POWER`).
    power_fraction : mean draw by rated power, decimal.
    interconnect_share : of the cluster's price, decimal in [0, 1).
    price_index : of the year whose money is meant, by that of the year of the prices.

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    hours = within("chip_hours", chip_hours, 0)
    index = positive("price_index", price_index)
    cluster = index * within("price_per_chip", price_per_chip, 0) / (1 - _share_below_one(interconnect_share))
    hardware = hours * market_depreciation_per_hour(cluster, years_since_acquisition, ooms_per_year)
    watts = 1000 * within("chip_kw", chip_kw, 0) * within("server_power", server_power, 1)
    drawn = watts * share("power_fraction", power_fraction)
    energy = index * energy_kwh(hours, drawn, pue) * within("price_per_kwh", price_per_kwh, 0)
    rental = np.nan * hours
    if rental_price_per_chip_hour is not None:
        rental = index * rented_cost(hours, rental_price_per_chip_hour)
    acquisition = np.nan * hours if chips is None else positive("chips", chips) * cluster
    return TrainingCost(hardware + energy, energy, rental, acquisition)


def _share_below_one(interconnect_share):
    return within("interconnect_share", interconnect_share, 0, 0.99)


@dataclass(frozen=True)
class Owned:
    """A fleet of owned GPUs; all numbers or arrays that broadcast.

    Attributes
    ----------
    price_per_gpu : acquisition, with its part of the server and without interconnect [money].
    life_years : of use.
    server_watts_per_gpu : rated power of the server by GPU, or what it was measured to draw, then with a
        `power_fraction` of 1 [W].
    pue : power usage effectiveness, at least 1.
    price_per_kwh : of electricity [money].
    interconnect_share : of the cluster's price, decimal in [0, 1).
    residual_share : of the price that is left after the life, decimal; of straight-line depreciation only.
    other_cost_per_gpu_hour : of anything else, paid for every hour of capacity [money].
    kg_co2e_per_kwh : of the electricity.
    heat_credit_per_kwh : for heat sold, by the servers' energy [money].
    power_fraction, idle_power_fraction : mean draw by `server_watts_per_gpu` while used and while idle, decimals.
    depreciation : "straight-line" to the residual, or "market", to what the GPU is then worth (`market_value`).
    price_per_tonne_co2e : of emissions [money].
    staff_cost_per_gpu_year, space_cost_per_gpu_year : [money].

    Raises
    ------
    OutOfRange : a value outside its range.
    """

    price_per_gpu: float
    life_years: float
    server_watts_per_gpu: float
    pue: float
    price_per_kwh: float
    interconnect_share: float = 0.0
    residual_share: float = 0.0
    other_cost_per_gpu_hour: float = 0.0
    kg_co2e_per_kwh: float = 0.0
    heat_credit_per_kwh: float = 0.0
    power_fraction: float = POWER_FRACTION["GPU"]
    idle_power_fraction: float = 0.0
    depreciation: str = "straight-line"
    price_per_tonne_co2e: float = 0.0
    staff_cost_per_gpu_year: float = 0.0
    space_cost_per_gpu_year: float = 0.0

    def __post_init__(self) -> None:
        positive("life_years", self.life_years)
        within("pue", self.pue, 1)
        _share_below_one(self.interconnect_share)
        for part in ("residual_share", "power_fraction", "idle_power_fraction"):
            share(part, getattr(self, part))
        for amount in ("price_per_gpu", "server_watts_per_gpu", "price_per_kwh", "other_cost_per_gpu_hour",
                       "kg_co2e_per_kwh", "heat_credit_per_kwh", "price_per_tonne_co2e", "staff_cost_per_gpu_year",
                       "space_cost_per_gpu_year"):  # fmt: skip
            within(amount, getattr(self, amount), 0)
        if self.depreciation not in ("straight-line", "market"):
            raise OutOfRange(f"depreciation must be straight-line or market, not {self.depreciation!r}")

    def parts_per_gpu_hour(self) -> dict[str, float | np.ndarray]:
        """Money for an hour of capacity, used or not, but for the energy [money per GPU-hour]."""
        kept = market_value(1.0, self.life_years) if self.depreciation == "market" else self.residual_share
        hourly = self.price_per_gpu * (1 - kept) / (self.life_years * HOURS_PER_YEAR)
        return {
            "depreciation": hourly,
            "interconnect": hourly * self.interconnect_share / (1 - self.interconnect_share),
            "staff": self.staff_cost_per_gpu_year / HOURS_PER_YEAR,
            "space": self.space_cost_per_gpu_year / HOURS_PER_YEAR,
            "other": self.other_cost_per_gpu_hour,
        }

    def energy_parts_per_gpu_hour(self, power_fraction) -> dict[str, float | np.ndarray]:
        """Money for an hour at a share of `server_watts_per_gpu` [money per GPU-hour]."""
        served = power_fraction * self.server_watts_per_gpu / 1000
        drawn = served * self.pue
        return {
            "energy": drawn * self.price_per_kwh,
            "carbon": drawn * self.kg_co2e_per_kwh / 1000 * self.price_per_tonne_co2e,
            "heat credit": -served * self.heat_credit_per_kwh,
        }


def owned_parts_per_gpu_hour(owned: Owned, utilisation) -> dict[str, float | np.ndarray]:
    """What a used GPU-hour of owned capacity costs, by part [money per used GPU-hour].

    The hours of capacity that nobody uses are paid by those that are used, with what the GPUs draw in them.

    Parameters
    ----------
    utilisation : used by capacity GPU-hours, decimal in (0, 1].

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    used = share("utilisation", utilisation, above=True)
    held = {part: money / used for part, money in owned.parts_per_gpu_hour().items()}
    busy = owned.energy_parts_per_gpu_hour(owned.power_fraction)
    idle = owned.energy_parts_per_gpu_hour(owned.idle_power_fraction)
    return held | {part: money + idle[part] * (1 - used) / used for part, money in busy.items()}


def owned_cost_per_gpu_hour(owned: Owned, utilisation):
    """What a used GPU-hour of owned capacity costs: the sum of `owned_parts_per_gpu_hour`."""
    return sum(owned_parts_per_gpu_hour(owned, utilisation).values())


def break_even_utilisation(owned: Owned, rental_price_per_gpu_hour):
    """Share of its hours for which a GPU must be used so that owning it costs what renting the used hours does.

    An owned used hour costs (capacity + idle energy) / u + busy energy - idle energy, so that
    u = (capacity + idle energy) / (rental - busy energy + idle energy).

    Returns
    -------
    Decimal; above 1 where renting always wins, inf where the energy alone costs more than renting.

    Raises
    ------
    OutOfRange : a negative price.
    """
    rental = within("rental_price_per_gpu_hour", rental_price_per_gpu_hour, 0)
    idle = sum(owned.energy_parts_per_gpu_hour(owned.idle_power_fraction).values())
    held = sum(owned.parts_per_gpu_hour().values()) + idle
    margin = np.asarray(rental - sum(owned.energy_parts_per_gpu_hour(owned.power_fraction).values()) + idle)
    return np.where(margin > 0, held / np.where(margin > 0, margin, 1), np.inf)[()]


class BreakEven(NamedTuple):
    """Owning against renting.

    Attributes
    ----------
    curve : `basis`, `utilisation`, `cost_per_gpu_hour` [money per used GPU-hour].
    points : `basis` and `against` that cost the same at `utilisation`, at `cost_per_gpu_hour`; above it `basis` is
        the cheaper one. Those within (0, 1] only.
    """

    curve: pd.DataFrame
    points: pd.DataFrame


def break_even(
    owned: Owned, on_demand_price=None, committed_price=None, spot_price=None, low: float = 0.05, steps: int = 40
) -> BreakEven:
    """What a used GPU-hour costs by basis over the share of hours in which it is used.

    On-demand and spot hours are paid where they are used; committed ones, as owned ones, whether they are or not.

    Parameters
    ----------
    on_demand_price, committed_price, spot_price : [money per GPU-hour], None for a basis that is not compared; the
        spot price with its overhead (`spot_cost` of one GPU-hour), so that it is one of a useful hour.
    low : the least utilisation, decimal.

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    used = np.geomspace(share("low", low, above=True), 1, steps)
    rented = {}
    if on_demand_price is not None:
        rented["on-demand"] = within("on_demand_price", on_demand_price, 0)
    if spot_price is not None:
        rented["spot"] = within("spot_price", spot_price, 0)
    lines = {"owned": owned_cost_per_gpu_hour(owned, used)}
    crossings = {("owned", basis): break_even_utilisation(owned, price) for basis, price in rented.items()}
    if committed_price is not None:
        price = within("committed_price", committed_price, 0)
        lines["committed"] = price / used
        crossings |= {("committed", basis): price / other if other else np.inf for basis, other in rented.items()}
    lines |= {basis: np.full(steps, price) for basis, price in rented.items()}
    curve = pd.DataFrame(
        [(basis, u, cost) for basis, costs in lines.items() for u, cost in zip(used, costs, strict=True)],
        columns=["basis", "utilisation", "cost_per_gpu_hour"],
    )
    points = [(basis, against, u, rented[against]) for (basis, against), u in crossings.items() if 0 < u <= 1]
    return BreakEven(curve, pd.DataFrame(points, columns=["basis", "against", "utilisation", "cost_per_gpu_hour"]))


def tiered_cost(quantity, price, tiers: Sequence[tuple[float, float]] = ()):
    """Money for a quantity at graduated prices: each price holds for what lies above its bound.

    Parameters
    ----------
    quantity : in the unit of the bounds.
    price : up to the first bound [money per unit].
    tiers : (bound, price above it), bounds rising.

    Raises
    ------
    OutOfRange : a negative value, bounds that do not rise.
    """
    amount, before = within("quantity", quantity, 0), within("price", price, 0)
    if any(second <= first for (first, _), (second, _) in pairwise(tiers)):
        raise OutOfRange("the bounds of tiers must rise")
    money = amount * before
    for bound, above in tiers:
        beyond = np.maximum(amount - within("bound of a tier", bound, 0), 0)
        money = money + beyond * (within("price of a tier", above, 0) - before)
        before = above
    return money


def storage_cost(gb_months, price_per_gb_month, tiers: Sequence[tuple[float, float]] = ()):
    """Money for storage: GB kept for a month, by class of storage in arrays, at graduated prices as `tiered_cost`."""
    return tiered_cost(within("gb_months", gb_months, 0), within("price_per_gb_month", price_per_gb_month, 0), tiers)


def network_cost(egress_gb, price_per_gb, tiers: Sequence[tuple[float, float]] = ()):
    """Money for data sent out in a month, at graduated prices as `tiered_cost`; a free quota is a first price of 0."""
    return tiered_cost(within("egress_gb", egress_gb, 0), within("price_per_gb", price_per_gb, 0), tiers)


def interconnect_cost(price_of_servers, interconnect_share=INTERCONNECT_SHARE):
    """Purchase price of the network between servers, from its share of the whole cluster's price [money].

    Source of the share: Cottier et al. 2024, arXiv:2405.21015.

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    network = _share_below_one(interconnect_share)
    return within("price_of_servers", price_of_servers, 0) * network / (1 - network)


def strategy_saving(servers, hours, baseline_servers, baseline_hours):
    """Share of server-hours, and so of money, that another way of training saves; negative where it costs more.

    1 - servers x hours / (baseline servers x baseline hours): positive only where hours fall by more than servers
    rise.

    Raises
    ------
    OutOfRange : a value that is not above 0.
    """
    spent = positive("servers", servers) * positive("hours", hours)
    return 1 - spent / (positive("baseline_servers", baseline_servers) * positive("baseline_hours", baseline_hours))


@dataclass(frozen=True)
class ArticleCost:
    """Plans of training by the formula servers x price x epochs x hours per epoch x unit price, and soundly.

    Attributes
    ----------
    plans : one row a plan: `plan`, `servers` (all of its nodes), `hours`, `server_hours`, `printed` and `formula`
        [unit of the formula], `printed_saving` and `saving` on the first plan (of what is printed, and of
        server-hours), `rental`, `energy` and an `owned_<years>_years` for every life [money].
    lives_years : of straight-line depreciation.
    """

    plans: pd.DataFrame
    lives_years: tuple[float, ...]

    unit = "money x hours"
    why = (
        "(money per server) x servers x epochs x (hours per epoch) is money times hours: the whole purchase price is "
        "charged again in every hour."
    )

    @property
    def rows(self) -> pd.DataFrame:
        """The plans as a table to read: one row a figure, with its `unit`, and one column a plan."""
        figures = [
            ("As printed", "printed", self.unit),
            ("By the formula", "formula", self.unit),
            ("Servers", "servers", "servers"),
            ("Time", "hours", "hours"),
            ("Work", "server_hours", "server-hours"),
            ("Rental", "rental", "money"),
            *((f"Owned, straight-line over {life:g} years", f"owned_{life:g}_years", "money")
              for life in self.lives_years),
            ("Energy, on top of owned", "energy", "money"),
        ]  # fmt: skip
        values = [[name, unit, *self.plans[column]] for name, column, unit in figures]
        return pd.DataFrame(values, columns=["figure", "unit", *self.plans["plan"]])

    @property
    def finding(self) -> str:
        """What is left of the printed saving."""
        work, best = self.plans["server_hours"], self.plans["printed_saving"].max()
        if np.allclose(work, work.iloc[0]):
            first = f"All {len(work)} plans take the same {work.iloc[0]:,.0f} server-hours"
            first += f", so that the printed saving of {best:.0%} does not exist" if best > 0 else ""
        else:
            first = f"The plans take {work.min():,.0f} to {work.max():,.0f} server-hours"
        return f"{first}. A strategy saves money only where its measured hours fall by more than its servers rise."


def article_cost(
    servers,
    price_per_server,
    epochs,
    hours_per_epoch,
    unit_price,
    *,
    nodes=1,
    plans: Sequence[str] = ("plan",),
    printed=np.nan,
    lives_years: Sequence[float] = (5, 3),
    server_kw=0.0,
    pue=1.0,
    price_per_kwh=0.0,
) -> ArticleCost:
    """The formula cost = servers x price per server x epochs x hours per epoch x unit price, beside sound money.

    Parameters
    ----------
    servers, epochs, hours_per_epoch, nodes : of each plan, numbers or arrays; `servers` on each of its `nodes`.
    price_per_server : of purchase [money].
    unit_price : the formula's last factor; read soundly, the rental [money per server-hour].
    plans : their names.
    printed : what is claimed of each plan, nan where nothing is.
    server_kw, pue, price_per_kwh : of the energy: mean draw of a server [kW], facility over IT energy, [money].

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    names = list(plans)
    each = np.ones(len(names))
    count = each * positive("servers", servers) * positive("nodes", nodes)
    hours = each * positive("epochs", epochs) * positive("hours_per_epoch", hours_per_epoch)
    price, unit_price = within("price_per_server", price_per_server, 0), within("unit_price", unit_price, 0)
    claimed = each * np.asarray(printed, dtype=float)
    frame = pd.DataFrame({"plan": names, "servers": count, "hours": hours, "server_hours": count * hours})
    frame["printed"] = claimed
    frame["formula"] = count * price * hours * unit_price
    frame["printed_saving"] = 1 - claimed / claimed[0]
    frame["saving"] = strategy_saving(count, hours, count[0], hours[0])
    frame["rental"] = rented_cost(frame["server_hours"], unit_price)
    for life in lives_years:
        frame[f"owned_{life:g}_years"] = count * hours * straight_line_depreciation_per_hour(price, 0, life)
    frame["energy"] = energy_kwh(count * hours, 1000 * within("server_kw", server_kw, 0), pue)
    frame["energy"] *= within("price_per_kwh", price_per_kwh, 0)
    return ArticleCost(frame, tuple(lives_years))
