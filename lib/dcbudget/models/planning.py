"""A budget from its drivers: what projects demand, what meets it, what each month costs, and how sure that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import nan

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models import calibration, performance
from dcbudget.models.allocation import whole_cents
from dcbudget.models.ranges import whole, within

IDLE = "Idle capacity"
CATEGORIES = ("Owned hardware", "Power", "Facility and staff", "Rented GPUs", "Storage", "Network", "Other services",
              "Tax and support")  # fmt: skip
# What a budget line is counted by.
COUNTED_BY = ("GPU-hours", "kWh", "servers and heads", "GPU-hours", "TB", "GB", "services", "share of the bill")
STORAGE, NETWORK, SERVICES, STAFF = "storage", "network", "services", "staff"
DAYS_PER_MONTH = 365.25 / 12
Z90 = calibration.Z90
# Months whose mean demand is carried forward.
RECENT = 3
# A year's growth of one project beyond this is a step that was made, and no trend; nor is a level less known than this.
LEAST_GROWTH, MOST_GROWTH, MOST_WIDTH = -0.5, 1.0, 1.2

# The quantities of each kind of driver: (what holds where none is given, lowest, highest); None must be given.
DRIVERS: dict[str, dict[str, tuple[float | None, float, float]]] = {
    "gpu_hours": {"gpu_hours_per_month": (None, 0, 1e12)},
    "training": {"parameters": (None, 1, 1e16), "tokens": (None, 1, 1e18), "runs": (1, 0, 1e6)},
    "epochs": {"epochs": (None, 0, 1e9), "hours_per_epoch": (None, 0, 1e6), "gpus": (None, 1, 1e7),
               "runs": (1, 0, 1e6)},
    "fine_tuning": {"parameters": (None, 1, 1e16), "tokens": (None, 1, 1e18), "runs_per_month": (1, 0, 1e6)},
    "experiments": {"share_of_training": (None, 0, 100)},
    "serving": {"requests_per_month": (None, 0, 1e15), "input_tokens": (None, 0, 1e9), "output_tokens": (None, 0, 1e9),
                "tokens_per_second_per_gpu": (None, 1e-3, 1e9)},
    "storage": {"tb": (None, 0, 1e9), "price_per_tb_month": (nan, 0, 1e6)},
    "network": {"gb_per_month": (None, 0, 1e12), "price_per_gb": (nan, 0, 1e6)},
    "services": {"cost_per_month": (None, -1e15, 1e15)},
    "staff": {"heads": (None, 0, 1e6), "cost_per_month": (None, 0, 1e9)},
}  # fmt: skip
# What every driver may tell besides: growth, and P10 and P90 as parts of what is expected.
COMMON = {"growth_per_month": (0.0, -0.5, 0.5), "low": (1.0, 0.01, 1.0), "high": (1.0, 1.0, 100.0)}
WORDS = ("project", "gpu_model", "start", "months", "source")
ON_GPUS = ("gpu_hours", "training", "epochs", "fine_tuning", "experiments", "serving")
# Runs that are planned one by one do not grow with demand, nor do heads; serving does not wait for a better MFU.
ONE_BY_ONE = ("training", "epochs", "staff")
WORK = ("gpu_hours", "training", "epochs", "fine_tuning", "experiments")


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


@dataclass(frozen=True)
class Factors:
    """What chance multiplies, in n draws.

    Attributes
    ----------
    drivers : (D, n).
    risks : name of a setting -> (n,).
    growth : what the growth of demand and single months make of demand, (T, n).
    price : what the trend makes of prices of rented GPUs, (T, n).
    """

    drivers: np.ndarray
    risks: dict[str, np.ndarray]
    growth: np.ndarray
    price: np.ndarray


@dataclass(frozen=True)
class Simulation:
    """What the plan may cost.

    Attributes
    ----------
    total : money by month and draw, (T, n).
    """

    total: np.ndarray

    @property
    def year(self) -> np.ndarray:
        """Money of all months together, by draw, (n,)."""
        return self.total.sum(axis=0)

    def by_month(self, *shares: float) -> np.ndarray:
        """Percentiles of every month, (shares, T)."""
        return _percentiles(self.total, shares)

    def of_year(self, *shares: float) -> np.ndarray:
        """Percentiles of the sum of all months, (shares,)."""
        return _percentiles(self.year, shares)

    def chance_over(self, budget: float) -> float:
        """Share of the draws in which the year costs more than the budget."""
        return float((self.year > budget).mean())

    def contingency(self, budget: float, risk: float) -> float:
        """What to hold beside the budget so that the year stays within both with probability `risk`; 0 at least."""
        return max(float(self.of_year(risk)[0]) - budget, 0.0)


@dataclass(frozen=True)
class Trend:
    """A monthly quantity carried forward.

    Attributes
    ----------
    level : mean of the last months.
    growth_per_month : decimal.
    low, high : P10 and P90 of the level, as parts of it.
    """

    level: float
    growth_per_month: float
    low: float
    high: float


def trend(monthly, years_ahead: float, growth_per_year: float | None = None) -> Trend:
    """Level and growth of a series, to carry it forward.

    The growth is the slope of a straight line through the logarithms, kept between `LEAST_GROWTH` and `MOST_GROWTH` a
    year; 0 where a month is not above 0 or there are fewer than three. The level is as uncertain as a mean of `RECENT`
    months about that line and, independently, as the line's slope over the years ahead.

    Parameters
    ----------
    monthly : one value a month, oldest first, of any unit.
    years_ahead : from the last month to the middle of the plan.
    growth_per_year : decimal, where it is known and not to be measured.
    """
    monthly = np.asarray(monthly, dtype=float)
    level = float(monthly[-RECENT:].mean()) if len(monthly) else 0.0
    found = calibration.growth_per_year(monthly) if (monthly > 0).all() else calibration.Spread()
    yearly, width = 0.0, 0.0
    if found.count:
        yearly = min(max(found.value, LEAST_GROWTH), MOST_GROWTH)
        logs, at = np.log(monthly), np.arange(len(monthly))
        residuals = logs - np.polyval(np.polyfit(at, logs, 1), at)
        scatter = Z90 * np.sqrt(residuals @ residuals / (len(logs) - 2) / RECENT)
        width = min(np.hypot(scatter, (np.log1p(found.high) - np.log1p(found.value)) * max(years_ahead, 0)), MOST_WIDTH)
    yearly = yearly if growth_per_year is None else within("growth_per_year", growth_per_year, *RANGES["demand_growth"])
    return Trend(level, float((1 + yearly) ** (1 / 12) - 1), float(np.exp(-width)), float(np.exp(width)))


def demand(
    drivers: Sequence[Mapping],
    months: pd.DatetimeIndex,
    base: Settings,
    tflops: Mapping[str, float],
) -> Demand:
    """Quantities of every driver in every month.

    Parameters
    ----------
    drivers : mappings with `project`, `driver` (a key of `DRIVERS`) and its quantities, where it runs on GPUs
        `gpu_model`, and optionally `start` ("YYYY-MM", else the first month), `months` (how many, else to the end; one
        for runs that are planned one by one), `growth_per_month` from its start on, `low` and `high` (P10 and P90 as
        parts of what is expected) and `source`. The GPU-hours of `training` and `epochs` are spread over their months.
        `experiments` are a share of the GPU-hours of the project's runs on the same GPUs.
    months : first days of the T months.
    base : its `mfu` and `failure_share` turn FLOPs into GPU-hours.
    tflops : GPU model -> peak dense TFLOP/s at the training precision.

    Raises
    ------
    OutOfRange : an unknown driver or field, one that is missing, or a value outside its range.
    """
    rows, quantity = [], np.zeros((len(drivers), len(months)))
    of_month = months.days_in_month.to_numpy() / DAYS_PER_MONTH
    for at, given in enumerate(drivers):
        kind = given.get("driver")
        if kind not in DRIVERS:
            raise OutOfRange(f"driver must be one of {', '.join(DRIVERS)}, not {kind!r}")
        who = f"{kind} of {given.get('project')}"
        told = _told(given, kind, who)
        model = str(given.get("gpu_model", "")) if kind in ON_GPUS else ""
        if kind in ON_GPUS and model not in tflops:
            raise OutOfRange(f"gpu_model of {who} must be one of {', '.join(sorted(tflops)) or 'none'}, not {model!r}")
        start = month_of(given.get("start"), months[0], who)
        length = whole(f"months of {who}", given.get("months") or 0, 0, 1200)
        length = length or int(kind in ("training", "epochs"))
        since = (months.year - start.year) * 12 + months.month - start.month
        runs = (since >= 0) & ((since < length) | (length == 0))
        level = np.where(runs, (1 + told["growth_per_month"]) ** np.maximum(since, 0), 0.0)
        amount = _amount(kind, told, base, tflops.get(model, nan))
        if kind in ("training", "epochs"):
            quantity[at] = np.where(runs, amount / length, 0.0)
        elif kind in ("storage", "staff", "services"):
            quantity[at] = amount * level
        else:
            quantity[at] = amount * level * of_month
        resource = model or {"services": SERVICES, "staff": STAFF}.get(kind, kind)
        price = told.get("price_per_tb_month", told.get("price_per_gb", nan))
        counted = {STORAGE: "TB", NETWORK: "GB"} if price != 1 else {}
        unit = counted.get(resource, "GPU-hours" if model else "money")
        rows.append(
            (
                str(given["project"]),
                kind,
                resource,
                unit,
                start,
                told["growth_per_month"],
                told["low"],
                told["high"],
                kind not in ONE_BY_ONE,
                kind in WORK,
                price,
                str(given.get("source", "given")),
            )
        )
    frame = pd.DataFrame(rows, columns=["project", "driver", "resource", "unit", "start", "growth_per_month", "low",
                                        "high", "grows", "work", "unit_price", "source"])  # fmt: skip
    for at in np.flatnonzero(frame["driver"] == "experiments"):
        row = frame.loc[at]
        same = (frame["project"] == row["project"]) & (frame["resource"] == row["resource"])
        planned = same & frame["driver"].isin(["training", "epochs", "fine_tuning"])
        share = float(drivers[at]["share_of_training"])
        quantity[at] = np.where(quantity[at] > 0, share * quantity[planned.to_numpy()].sum(axis=0), 0.0)
    frame.insert(4, "per_month", quantity.mean(axis=1) if len(frame) else [])
    return Demand(frame, quantity)


def from_template(
    templates: pd.DataFrame, template: str, project: str, first_month: pd.Timestamp, scale: float = 1.0
) -> list[dict]:
    """The drivers of a new project, as `demand` takes them.

    Parameters
    ----------
    templates : `template`, `part`, `driver`, `field`, `value` and `scales` (null where the scale leaves the value).
    scale : how many times as large as the template, 0.001 to 1,000.

    Raises
    ------
    OutOfRange : no such template, or a scale outside its range.
    """
    kinds = sorted(templates["template"].unique())
    if template not in kinds:
        raise OutOfRange(f"template must be one of {', '.join(kinds)}, not {template!r}")
    within("scale", scale, 0.001, 1000)
    found = []
    for _, part in templates[templates["template"] == template].groupby("part", sort=False):
        driver = {"project": project, "driver": part["driver"].iloc[0], "start": f"{first_month:%Y-%m}",
                  "source": f"template {template}"}  # fmt: skip
        for row in part.itertuples():
            number = row.value if row.field == "gpu_model" else float(row.value)
            driver[row.field] = number if pd.isna(row.scales) else number * scale
        found.append(driver)
    return found


def draws(model: Model, count: int, seed: int) -> Factors:
    """Random factors: two-piece lognormal, so that median, P10 and P90 are as told.

    factor = exp(z * s), with s = ln(high) / 1.2816 above the median and -ln(low) / 1.2816 below it. All drivers of a
    project have one z, and all projects the part `correlation` of its variance in common. A project that is added at
    the end leaves the draws of the others.
    Source: two-piece normal distribution in logarithms, Wallis (2014), Statistical Science 29(1), 106-112.

    Parameters
    ----------
    count : number of draws, 1 to 1,000,000.
    """
    within("draws", count, 1, 1_000_000)
    parts = [np.random.default_rng([seed, part]) for part in range(3)]
    common = parts[0].standard_normal(count)
    names = [name for name in model.spreads.index if name != "month"]
    risks = {name: factor(parts[0].standard_normal(count), *model.spreads.loc[name, ["low", "high"]]) for name in names}
    rows = model.demand.drivers
    at, projects = pd.factorize(rows["project"])
    own = parts[1].standard_normal((len(projects), count))
    z = np.sqrt(model.correlation) * common + np.sqrt(1 - model.correlation) * own
    each = factor(z[at], rows["low"].to_numpy()[:, None], rows["high"].to_numpy()[:, None])
    shape = (len(model.months), count)
    month = np.ones(shape)
    if "month" in model.spreads.index:
        month = factor(parts[2].standard_normal(shape), *model.spreads.loc["month", ["low", "high"]])
    return _factors(model, each, risks, month)


def factor(z, low, high):
    """The factor whose 10th and 90th percentile are `low` and `high`, its median 1, of standard normal draws."""
    within("low", low, 1e-6, 1)
    within("high", high, 1, 1e6)
    return np.exp(z * np.where(z < 0, -np.log(low), np.log(high)) / Z90)


def certain(model: Model) -> Factors:
    """Factors of a plan without chance."""
    return _factors(model, np.ones((len(model.demand.drivers), 1)), {}, np.ones((len(model.months), 1)))


def _factors(model: Model, drivers: np.ndarray, risks: dict[str, np.ndarray], month: np.ndarray) -> Factors:
    years = model.years_ahead[:, None]
    growth, price = (risks.get(name, np.ones(1)) ** years for name in ("demand_growth", "price_trend"))
    return Factors(drivers, risks, growth * month, price)


def simulate(model: Model, settings: Settings, factors: Factors) -> Simulation:
    """What the months cost in every draw; the draws are made once and serve every settings."""
    return Simulation(sum(_money(model, settings, factors).category.values()))


def lines(model: Model, settings: Settings) -> pd.DataFrame:
    """The plan without chance: budget lines in whole cents that sum to it exactly (largest remainders).

    A project bears the share of each GPU model's capacity that its jobs hold; what no job holds is `Idle capacity`, so
    that the lines are what the bill will be. What the owned halls share goes by the hours on owned GPUs.

    Returns
    -------
    DataFrame : `month`, `project`, `category`, `amount` [money], `driver`; no line of nothing.
    """
    found, names, of, share, halls = _borne(model, settings)
    supply = model.supply

    def of_halls(amount: np.ndarray) -> np.ndarray:
        return (share * amount[:-1, None]).sum(axis=0) + halls * amount[-1]

    power = supply.owned_kwh * settings.pue * settings.power_price_per_kwh
    rented = _scale(model, settings, certain(model)).rented[:, 0]
    tax = np.array([(model.tax_rates or {}).get(name, 0.0) for name in names])[:, None]
    amounts = {
        "Owned hardware": of_halls(supply.owned_hardware),
        "Power": of_halls(power),
        "Facility and staff": of_halls(supply.facility_and_staff) + of(STAFF),
        "Rented GPUs": (share * found.rented[:, None]).sum(axis=0),
        "Storage": of(STORAGE) * rented,
        "Network": of(NETWORK) * rented,
        "Other services": of(SERVICES) * rented,
        "Tax and support": tax * found.taxable[:, 0],
    }
    cents = whole_cents(np.array([amounts[name] for name in CATEGORIES]))
    category, project, month = np.nonzero(cents)
    frame = pd.DataFrame({
        "month": model.months[month], "project": np.array(names)[project],
        "category": np.array(CATEGORIES)[category], "amount": cents[category, project, month] / 100,
        "driver": np.array(COUNTED_BY)[category],
    })  # fmt: skip
    return frame.sort_values(["month", "project", "category"], ignore_index=True)


def quantities(model: Model, settings: Settings) -> pd.DataFrame:
    """GPU-hours that the lines of the plan count, without chance, and their part of the money of those lines.

    Returns
    -------
    DataFrame : `month`, `project`, `gpu_model`, `paid_as` (owned or rented), `gpu_hours`, `useful_gpu_hours` (not
        expected to fail; of idle capacity those of the whole model) [GPU-hours], `amount` [money, whole cents].
    """
    found, names, _, share, _ = _borne(model, settings)
    supply = model.supply
    power = supply.owned_kwh * settings.pue * settings.power_price_per_kwh
    owned = (supply.owned_hardware + power + supply.facility_and_staff)[: len(supply.gpu_models)]
    parts = []
    for paid_as, capacity, money in (
        ("owned", supply.owned_gpu_hours, owned),
        ("rented", found.capacity - supply.owned_gpu_hours, found.rented),
    ):
        hours = share * capacity[:, None]
        useful = hours * (1 - settings.failure_share)
        useful[:, -1] = useful[:, :-1].sum(axis=1)
        amount = share * money[:, None]
        at_model, at_project, at_month = np.nonzero((hours > 1e-9) & (np.abs(amount) >= 0.005))
        at = at_model, at_project, at_month
        parts.append(pd.DataFrame({
            "month": model.months[at_month], "project": np.array(names)[at_project],
            "gpu_model": np.array(supply.gpu_models)[at_model], "paid_as": paid_as, "gpu_hours": hours[at],
            "useful_gpu_hours": useful[at], "amount": np.round(amount[at], 2),
        }))  # fmt: skip
    frame = pd.concat(parts, ignore_index=True)
    return frame.sort_values(["month", "project", "gpu_model", "paid_as"], ignore_index=True)


def gpu_hours(model: Model, settings: Settings) -> pd.DataFrame:
    """Where the GPU-hours of the plan come from, without chance.

    Returns
    -------
    DataFrame : one row a month and GPU model: `demand`, `owned`, `committed`, `spot`, `on_demand`, `idle` [GPU-hours]
        and `rented_cost` [money]; demand + idle = owned + committed + spot + on-demand.
    """
    found, supply = _money(model, settings, certain(model)), model.supply
    kinds = {
        "demand": found.held, "owned": supply.owned_gpu_hours, "committed": found.committed, "spot": found.spot,
        "on_demand": found.on_demand, "idle": found.capacity - found.held, "rented_cost": found.rented,
    }  # fmt: skip
    index = pd.MultiIndex.from_product([supply.gpu_models, model.months], names=["gpu_model", "month"])
    frame = pd.DataFrame({name: values.ravel() for name, values in kinds.items()}, index=index).reset_index()
    return frame


def rented_gpu_hours(model: Model, settings: Settings, factors: Factors) -> np.ndarray:
    """GPU-hours beyond the owned fleet in every draw, less those on spot: what commitments could cover.

    Returns
    -------
    array (M, T, n), in the order of the supply's GPU models.
    """
    supply = model.supply
    _, needed, *_ = _drawn(model, settings, factors)
    rented = np.maximum(needed - supply.owned_gpu_hours[..., None], 0)
    committed = settings.commitment_share * supply.full_commitment_gpu_hours
    on_spot = _between(settings.spot_share, model.base.spot_share, supply.spot_share)
    return rented - on_spot[:, None, None] * np.maximum(rented - committed[..., None], 0)


def tornado(model: Model, settings: Settings) -> pd.DataFrame:
    """What moves the year most: every risk and every project's demand at its P10 and P90, all else as expected.

    Returns
    -------
    DataFrame : `risk`, `at_low`, `at_high` (money of all months at the risk's P10 and P90), `swing` (their distance),
        the widest first; risks that move nothing are left out.
    """
    shared = [name for name in model.spreads.index if name != "month"]
    rows = model.demand.drivers
    projects = list(dict.fromkeys(rows["project"]))
    count = 2 * (len(shared) + len(projects))
    each = np.ones((len(rows), count))
    risks = {name: np.ones(count) for name in shared}
    for at, name in enumerate(shared):
        risks[name][2 * at : 2 * at + 2] = model.spreads.loc[name, ["low", "high"]].to_numpy(dtype=float)
    for at, project in enumerate(projects, start=len(shared)):
        own = (rows["project"] == project).to_numpy()
        each[own, 2 * at], each[own, 2 * at + 1] = rows["low"][own], rows["high"][own]
    factors = _factors(model, each, risks, np.ones((len(model.months), 1)))
    low, high = simulate(model, settings, factors).year.reshape(-1, 2).T
    labels = [*model.spreads["label"].reindex(shared), *(f"Demand of {project}" for project in projects)]
    frame = pd.DataFrame({"risk": labels, "at_low": low, "at_high": high})
    frame["swing"] = (frame["at_high"] - frame["at_low"]).abs()
    frame = frame[frame["swing"] > 0.005]
    return frame.sort_values("swing", ascending=False, kind="stable", ignore_index=True)


def _borne(model: Model, settings: Settings):
    """Who bears what without chance: the money, the projects, a function from a resource to their needs (projects, T),
    their shares of each model's capacity (M, projects, T), idle last, and of what the owned halls share (projects, T).
    """
    plain = certain(model)
    found = _money(model, settings, plain)
    rows, supply = model.demand.drivers, model.supply
    projects = sorted((set(rows["project"]) | set(model.tax_rates or {})) - {IDLE})
    place = {name: at for at, name in enumerate([*projects, IDLE])}
    times = _scale(model, settings, plain)
    each = (
        model.demand.quantity
        * _unit_price(model)[:, None]
        * np.where(rows["grows"].to_numpy()[:, None], times.growth[:, 0], 1.0)
    )
    each = each * np.where(rows["work"], times.work[0], 1.0)[:, None]

    def of(resource: str) -> np.ndarray:
        """GPU-hours, or money of another resource, by project, (projects, T)."""
        table = np.zeros((len(place), len(model.months)))
        used = (rows["resource"] == resource).to_numpy()
        np.add.at(table, rows["project"][used].map(place).to_numpy(dtype=int), each[used])
        return table

    capacity = found.capacity
    hours = np.array([of(name) for name in supply.gpu_models]).reshape(
        len(supply.gpu_models), len(place), len(model.months)
    )
    hours[:, -1] = capacity - hours.sum(axis=1)
    share = hours / np.where(capacity > 0, capacity, np.inf)[:, None]
    owned = supply.owned_gpu_hours
    halls = (share * owned[:, None]).sum(axis=0) / np.where(owned.sum(axis=0) > 0, owned.sum(axis=0), np.inf)
    halls[-1] += 1 - halls.sum(axis=0)
    return found, list(place), of, share, halls


@dataclass(frozen=True)
class _Scale:
    """What settings and chance multiply: demand (T, n), work (n,), rented GPU prices and rented prices (T, n)."""

    growth: np.ndarray
    work: np.ndarray
    price: np.ndarray
    rented: np.ndarray


@dataclass(frozen=True)
class _Money:
    """Money by category, and what taxes go by (T, n); of the first draw GPU-hours and rented money by model (M, T)."""

    category: dict[str, np.ndarray]
    taxable: np.ndarray
    held: np.ndarray
    capacity: np.ndarray
    committed: np.ndarray
    spot: np.ndarray
    on_demand: np.ndarray
    rented: np.ndarray


def _scale(model: Model, settings: Settings, factors: Factors) -> _Scale:
    base, years = model.base, model.years_ahead[:, None]
    chance = {name: factors.risks.get(name, np.ones(1)) for name in RANGES}
    grown = (1 + settings.demand_growth) / (1 + base.demand_growth)
    failures = np.minimum(settings.failure_share * chance["failure_share"], 0.95)
    exchange = 1 + model.foreign_share * ((1 + settings.exchange_rate) * chance["exchange_rate"] - 1)
    return _Scale(
        growth=grown**years * factors.growth,
        work=base.mfu / np.minimum(settings.mfu * chance["mfu"], 1) * (1 - base.failure_share) / (1 - failures),
        price=(1 + settings.price_trend) ** years * factors.price,
        rented=np.broadcast_to(exchange, (len(model.months), len(exchange))),
    )


def _drawn(model: Model, settings: Settings, factors: Factors):
    """In every draw the GPU-hours that jobs hold, those that are needed for it (M, T, n), what settings and chance
    multiply, and a function from another resource to its money (T, n).
    """
    supply, rows, quantity = model.supply, model.demand.drivers, model.demand.quantity
    scale = _scale(model, settings, factors)
    quantity = quantity * _unit_price(model)[:, None]
    grows, work, resources = (rows[name].to_numpy() for name in ("grows", "work", "resource"))
    flat = np.zeros((len(model.months), 1))

    def need(resource: str) -> np.ndarray:
        """All projects' GPU-hours, or money of another resource, (T, n)."""
        total = flat
        for growing in (True, False):
            used = (resources == resource) & (grows == growing)
            if used.any():
                chance = factors.drivers[used]
                if work[used].any():
                    chance = chance * np.where(work[used][:, None], scale.work, 1.0)
                total = total + quantity[used].T @ chance * (scale.growth if growing else 1.0)
        return total

    each = [need(name) for name in supply.gpu_models]
    width = max([part.shape[1] for part in each], default=1)
    held = np.empty((len(each), len(model.months), width))
    for at, part in enumerate(each):
        held[at] = part
    chance = factors.risks.get("allocation_rate", np.ones(1)) * settings.allocation_rate / model.base.allocation_rate
    for_each = 1 / np.minimum(supply.allocation_rate[:, None, None] * chance, 1)
    return held, held * for_each, scale, need


def _money(model: Model, settings: Settings, factors: Factors) -> _Money:
    supply = model.supply
    held, needed, scale, need = _drawn(model, settings, factors)
    committed = settings.commitment_share * supply.full_commitment_gpu_hours
    fixed = supply.owned_gpu_hours + committed
    flexible = np.maximum(needed - fixed[..., None], 0)
    on_spot = _between(settings.spot_share, model.base.spot_share, supply.spot_share)
    flexible_price = on_spot * supply.spot_price + (1 - on_spot) * supply.on_demand_price
    at_commitment = committed * supply.committed_price[:, None]
    rented = np.tensordot(flexible_price, flexible, 1) * scale.price + at_commitment.sum(axis=0)[:, None]
    power = supply.owned_kwh.sum(axis=0)[:, None] * settings.pue * settings.power_price_per_kwh
    category = {
        "Owned hardware": supply.owned_hardware.sum(axis=0)[:, None],
        "Power": power * factors.risks.get("power_price_per_kwh", np.ones(1)),
        "Facility and staff": supply.facility_and_staff.sum(axis=0)[:, None] + need(STAFF),
        "Rented GPUs": rented * scale.rented,
        "Storage": need(STORAGE) * scale.rented,
        "Network": need(NETWORK) * scale.rented,
        "Other services": need(SERVICES) * scale.rented,
    }
    taxable = sum(category[name] for name in ("Rented GPUs", "Storage", "Network", "Other services"))
    category["Tax and support"] = taxable * sum((model.tax_rates or {}).values())
    first = flexible[..., 0]
    capacity, spot = fixed + first, on_spot[:, None] * first
    by_model = (first * flexible_price[:, None] * scale.price[:, 0] + at_commitment) * scale.rented[:, 0]
    return _Money(category, taxable, held[..., 0], capacity, committed, spot, first - spot, by_model)


def _unit_price(model: Model) -> np.ndarray:
    """Money of a unit of every driver, (D,); 1 where the unit is a GPU-hour or money."""
    rows = model.demand.drivers
    of_supply = {STORAGE: model.supply.storage_price_per_tb_month, NETWORK: model.supply.network_price_per_gb}
    bought = rows["resource"].isin(of_supply)
    found = rows["unit_price"].fillna(rows["resource"].map(of_supply)).where(bought, 1.0).astype(float)
    if found.isna().any():
        row = rows[found.isna()].iloc[0]
        name = next(name for name in DRIVERS[row["resource"]] if name.startswith("price"))
        raise OutOfRange(f"{name} of {row['driver']} of {row['project']} must be given, because no price is known")
    return found.to_numpy()


def _between(value: float, base: float, measured: np.ndarray) -> np.ndarray:
    """Straight from 0 over what was measured at the base value to 1, (M,)."""
    if value <= base:
        return measured * value / base if base > 0 else measured * 0.0
    return measured + (1 - measured) * (value - base) / (1 - base)


def _amount(kind: str, told: dict[str, float], base: Settings, tflops: float) -> float:
    """GPU-hours, TB, GB or money of one month of a driver, or of all its runs where they are planned one by one."""
    if kind in ("training", "fine_tuning"):
        flops = performance.training_flops(told["parameters"], told["tokens"])
        useful = float(performance.gpu_hours(flops, tflops, base.mfu))
        return useful / (1 - base.failure_share) * told["runs" if kind == "training" else "runs_per_month"]
    if kind == "epochs":
        return told["epochs"] * told["hours_per_epoch"] * told["gpus"] * told["runs"]
    if kind == "serving":
        tokens = told["requests_per_month"] * np.array([told["input_tokens"], told["output_tokens"]])
        return float(performance.serving_gpu_hours(*tokens, told["tokens_per_second_per_gpu"], utilisation=1.0))
    if kind == "staff":
        return told["heads"] * told["cost_per_month"]
    if kind == "experiments":
        return 1.0
    return told[next(iter(DRIVERS[kind]))]


def _told(given: Mapping, kind: str, who: str) -> dict[str, float]:
    """The numbers of a driver, checked."""
    known = DRIVERS[kind] | COMMON
    if not given.get("project"):
        raise OutOfRange(f"project of the driver {kind} must be given")
    if strange := sorted(set(given) - {*known, *WORDS, "driver"}):
        raise OutOfRange(f"{who} has no field {strange[0]!r}; it has {', '.join([*WORDS, *known])}")
    told = {}
    for name, (default, low, high) in known.items():
        value = given.get(name, default)
        if value is None:
            raise OutOfRange(f"{name} of {who} must be given, between {low:g} and {high:g}")
        told[name] = nan if value is nan else float(within(f"{name} of {who}", value, low, high))
    return told


def month_of(text, first: pd.Timestamp, who: str) -> pd.Timestamp:
    """The month of a text such as 2027-01, `first` where it is empty."""
    if text is None or text == "":
        return first
    try:
        if isinstance(text, int | float):  # pandas would take it as nanoseconds since 1970
            raise TypeError
        return pd.Timestamp(text).to_period("M").to_timestamp()
    except (ValueError, TypeError):
        raise OutOfRange(f"start of {who} must be a month such as {first:%Y-%m}, not {text!r}") from None


def _percentiles(values: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Percentiles along the last axis, interpolated linearly as `numpy.quantile` does, (shares, ...)."""
    return np.quantile(values, shares, axis=-1)
