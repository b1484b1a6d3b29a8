"""What a plan is made of: its settings, what projects demand, and what meets it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from dcbudget.models.ranges import within

IDLE = "Idle capacity"
CATEGORIES = ("Owned hardware", "Power", "Facility and staff", "Rented GPUs", "Storage", "Network", "Other services",
              "Tax and support")  # fmt: skip
# What a budget line is counted by.
COUNTED_BY = ("GPU-hours", "kWh", "servers and heads", "GPU-hours", "TB", "GB", "services", "share of the bill")
STORAGE, NETWORK, SERVICES, STAFF = "storage", "network", "services", "staff"
DAYS_PER_MONTH = 365.25 / 12


@dataclass(frozen=True)
class Settings:
    """What a plan supposes; shares and rates are decimals.

    Attributes
    ----------
    demand_growth : change of demand a year.
    allocation_rate : share of the capacity's GPU-hours that jobs hold.
    mfu : model FLOPs utilisation of training, decimal in (0, 1].
    failure_share : share of the GPU-hours that failed or restarted jobs held.
    price_trend : change of on-demand and spot prices of GPUs a year.
    commitment_share : share of the rented GPU-hours that commitments pay for.
    spot_share : share of the rented GPU-hours on spot; between its measured value and 0 or 1 every GPU model goes from
        its own measured share to 0 or 1.
    pue : energy of the hall over energy of its units, at least 1.
    power_price_per_kwh : money of the report.
    exchange_rate : change of the rate of the currency that rented prices are set in.
    risk : the percentile to budget for, decimal: 0.8 is a budget that holds in 80 of 100 cases.

    Raises
    ------
    OutOfRange : a value lies outside its range.
    """

    demand_growth: float
    allocation_rate: float
    mfu: float
    failure_share: float
    price_trend: float
    commitment_share: float
    spot_share: float
    pue: float
    power_price_per_kwh: float
    exchange_rate: float = 0.0
    risk: float = 0.8

    def __post_init__(self):
        for field in fields(self):
            within(field.name, getattr(self, field.name), *RANGES[field.name])


RANGES = {
    "demand_growth": (-0.9, 3.0), "allocation_rate": (0.05, 1.0), "mfu": (0.01, 1.0), "failure_share": (0.0, 0.9),
    "price_trend": (-0.9, 3.0), "commitment_share": (0.0, 1.0), "spot_share": (0.0, 1.0), "pue": (1.0, 3.0),
    "power_price_per_kwh": (0.0, 100.0), "exchange_rate": (-0.9, 3.0), "risk": (0.5, 0.99),
}  # fmt: skip


def growth_without_bias(growth_per_year: float, bias: float, months_ahead: int) -> float:
    """Growth of demand a year that makes up for how far forecasts lay from what came, within the range of settings.

    Demand so many months ahead is divided by 1 + bias: (1 + growth) / (1 + bias)^(12 / months) - 1.

    Parameters
    ----------
    growth_per_year : decimal, above -1.
    bias : forecasts above what came, a share of it; negative is below.
    months_ahead : of these forecasts, at least 1.
    """
    within("bias", bias, -0.99, 1000)
    within("months_ahead", months_ahead, 1)
    low, high = RANGES["demand_growth"]
    return min(max((1 + growth_per_year) / (1 + bias) ** (12 / months_ahead) - 1, low), high)


@dataclass(frozen=True)
class Demand:
    """What projects need, driver by driver.

    Attributes
    ----------
    drivers : one row a driver (D): `project`, `driver`, `resource` (a GPU model, storage, network, services or staff),
        `unit`, `per_month` (mean of its months), `start`, `growth_per_month`, `low`, `high`, `grows`, `work`,
        `unit_price` (of storage and network where it is not the supply's), `source`.
    quantity : array (D, T), of each driver's unit in each month.
    """

    drivers: pd.DataFrame
    quantity: np.ndarray


@dataclass(frozen=True)
class Supply:
    """What meets the demand, by GPU model (M) and month (T); money in one currency.

    Attributes
    ----------
    gpu_models : names of the M models.
    allocation_rate : share of each model's capacity that jobs hold, (M,).
    owned_gpu_hours : capacity of the owned fleet, (M, T).
    owned_hardware, facility_and_staff : money of the owned fleet, (M + 1, T); the last row is what all models share
        (storage arrays, switches).
    owned_kwh : energy at the units, (M + 1, T).
    full_commitment_gpu_hours : GPU-hours that a commitment share of 1 would commit, (M, T).
    spot_share : part of what neither owned nor committed GPUs serve that ran on spot under the base settings, (M,).
    on_demand_price, committed_price, spot_price : money per GPU-hour at the plan's base month, (M,); spot with the work
        that interruptions repeat.
    storage_price_per_tb_month, network_price_per_gb : money, NaN where drivers tell their own.
    """

    gpu_models: tuple[str, ...]
    allocation_rate: np.ndarray
    owned_gpu_hours: np.ndarray
    owned_hardware: np.ndarray
    facility_and_staff: np.ndarray
    owned_kwh: np.ndarray
    full_commitment_gpu_hours: np.ndarray
    spot_share: np.ndarray
    on_demand_price: np.ndarray
    committed_price: np.ndarray
    spot_price: np.ndarray
    storage_price_per_tb_month: float
    network_price_per_gb: float

    def __post_init__(self):
        for name in ("owned_gpu_hours", "full_commitment_gpu_hours", "owned_kwh"):
            within(name, getattr(self, name), 0, np.inf)
        for name in ("on_demand_price", "committed_price", "spot_price"):
            within(name, getattr(self, name), 0, 1e9)
        if self.gpu_models:
            within("allocation_rate", self.allocation_rate, 1e-6, 1)


@dataclass(frozen=True)
class Model:
    """Everything that a plan is worked out from.

    Attributes
    ----------
    months : first days of the T months.
    years_ahead : years from the month that prices and demand are known of to each month, (T,).
    base : the settings at which `demand` was counted and under which `supply` was measured.
    foreign_share : part of the rented money whose price is set in another currency than the report's.
    tax_rates : project -> its taxes, support and credits as a part of all rented money.
    spreads : one row a risk that all projects share, by the name of its setting (and `month` for what single months
        add): `label`, `low` and `high` (P10 and P90 as parts of what is expected).
    correlation : share of the variance of demand that all projects have in common, decimal.
    """

    months: pd.DatetimeIndex
    years_ahead: np.ndarray
    demand: Demand
    supply: Supply
    base: Settings
    spreads: pd.DataFrame
    foreign_share: float = 0.0
    tax_rates: Mapping[str, float] | None = None
    correlation: float = 0.3

    def __post_init__(self):
        within("foreign_share", self.foreign_share, 0, 1)
        within("correlation", self.correlation, 0, 1)
