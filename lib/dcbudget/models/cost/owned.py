"""What a used hour of an owned GPU costs, and from when on owning pays against renting."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models.capacity import HOURS_PER_YEAR
from dcbudget.models.cost.hardware import POWER_FRACTION, market_value, share_below_one
from dcbudget.models.ranges import positive, share, within


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
        share_below_one(self.interconnect_share)
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
