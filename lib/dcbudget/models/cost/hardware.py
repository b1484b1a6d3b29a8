"""What hardware and its power cost: depreciation, interconnect, energy, carbon, and a training run on every basis."""

from typing import NamedTuple

import numpy as np

from dcbudget.models.capacity import HOURS_PER_YEAR
from dcbudget.models.cost.rental import rented_cost
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


def interconnect_cost(price_of_servers, interconnect_share=INTERCONNECT_SHARE):
    """Purchase price of the network between servers, from its share of the whole cluster's price [money].

    Source of the share: Cottier et al. 2024, arXiv:2405.21015.

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    network = share_below_one(interconnect_share)
    return within("price_of_servers", price_of_servers, 0) * network / (1 - network)


def share_below_one(interconnect_share):
    return within("interconnect_share", interconnect_share, 0, 0.99)


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
    cluster = index * within("price_per_chip", price_per_chip, 0) / (1 - share_below_one(interconnect_share))
    hardware = hours * market_depreciation_per_hour(cluster, years_since_acquisition, ooms_per_year)
    watts = 1000 * within("chip_kw", chip_kw, 0) * within("server_power", server_power, 1)
    drawn = watts * share("power_fraction", power_fraction)
    energy = index * energy_kwh(hours, drawn, pue) * within("price_per_kwh", price_per_kwh, 0)
    rental = np.nan * hours
    if rental_price_per_chip_hour is not None:
        rental = index * rented_cost(hours, rental_price_per_chip_hour)
    acquisition = np.nan * hours if chips is None else positive("chips", chips) * cluster
    return TrainingCost(hardware + energy, energy, rental, acquisition)
