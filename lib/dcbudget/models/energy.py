"""What energy costs and emits by when, how quickly and at what load machines run, each beside doing nothing."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dcbudget.errors import ConflictingDemands, OutOfRange
from dcbudget.models.cost import carbon_kg, energy_kwh
from dcbudget.models.ranges import positive, share, whole, within


@dataclass(frozen=True)
class PowerCurve:
    """How fast a GPU runs a job at a power limit.

    Its draw is a part that does not depend on its clock and a part that grows with a power of its speed: at full speed
    they are `full_watts`, and draw = static + (full - static) x speed ^ exponent. The exponent is about 3 where all
    time waits for the clock and larger where a part of it waits for memory or data.

    Source: power of CMOS circuits goes by frequency x voltage^2, and voltage with frequency; Mudge 2001, "Power: a
    first-class architectural design constraint", IEEE Computer 34.

    Attributes
    ----------
    static_watts, full_watts : [W]; exponent : at least 1.
    """

    static_watts: float
    full_watts: float
    exponent: float

    def __post_init__(self) -> None:
        positive("full_watts", self.full_watts)
        within("static_watts", self.static_watts, 0, self.full_watts * (1 - 1e-9))
        within("exponent", self.exponent, 1, 20)

    def watts(self, cap_watts):
        """Draw under a power limit [W]: the limit, or less where the job takes less.

        Raises
        ------
        OutOfRange : a limit at or below the static draw, under which nothing would run.
        """
        return np.minimum(within("cap_watts", cap_watts, self.static_watts, above=True), self.full_watts)

    def slowdown(self, cap_watts):
        """Time under a power limit over time without one, at least 1."""
        above = (self.watts(cap_watts) - self.static_watts) / (self.full_watts - self.static_watts)
        return above ** (-1 / self.exponent)


def fit_power_curve(watts, seconds) -> PowerCurve:
    """The curve that fits best, by least squares of the logarithm of time, to one job measured at several limits.

    Parameters
    ----------
    watts : mean draw of a GPU at each limit [W]; seconds : time for the same work [seconds].

    Raises
    ------
    OutOfRange : fewer than three limits, a value that is not above 0.
    """
    from scipy.optimize import least_squares

    drawn, taken = np.atleast_1d(positive("watts", watts)), np.atleast_1d(positive("seconds", seconds))
    if len(drawn) < 3 or len(drawn) != len(taken):
        raise OutOfRange(f"watts and seconds must have at least 3 values each, not {len(drawn)} and {len(taken)}")
    full, lowest = drawn.max(), drawn.min()

    def missed(told: np.ndarray) -> np.ndarray:
        static, exponent, shift = told
        return shift - np.log((drawn - static) / (full - static)) / exponent - np.log(taken)

    first = np.array([lowest / 2, 2.0, np.log(taken.min())])
    best = least_squares(missed, first, bounds=([0.0, 1.0, -np.inf], [0.999 * lowest, 20.0, np.inf]))
    return PowerCurve(float(best.x[0]), float(full), float(best.x[1]))


def under_caps(
    curve: PowerCurve,
    caps,
    gpu_hours: float,
    price_per_kwh: float,
    *,
    price_per_gpu_hour: float = 0.0,
    kg_co2e_per_kwh: float = 0.0,
    pue: float = 1.0,
) -> pd.DataFrame:
    """Work under power limits: longer, with less energy down to a point.

    Parameters
    ----------
    caps : power limits of a GPU [W].
    gpu_hours : that the work takes without a limit.
    price_per_gpu_hour : of the GPU's time beside its energy [money].

    Returns
    -------
    DataFrame : by `cap_watts`, without a limit first (null): `slowdown`, `watts`, `gpu_hours`, `kwh`,
        `money_of_energy`, `money_of_gpus`, `money`, `kg_co2e`; and `money_saved`, `kg_saved` against no limit.

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    limits = np.concatenate([[np.inf], np.atleast_1d(positive("caps", caps))])
    effective = np.minimum(limits, curve.full_watts)
    frame = pd.DataFrame({"cap_watts": np.where(np.isinf(limits), np.nan, limits),
                          "slowdown": curve.slowdown(effective), "watts": curve.watts(effective)})  # fmt: skip
    frame["gpu_hours"] = within("gpu_hours", gpu_hours, 0) * frame["slowdown"]
    frame["kwh"] = energy_kwh(frame["gpu_hours"].to_numpy(), frame["watts"].to_numpy(), pue)
    frame["money_of_energy"] = frame["kwh"] * within("price_per_kwh", price_per_kwh)
    frame["money_of_gpus"] = frame["gpu_hours"] * within("price_per_gpu_hour", price_per_gpu_hour, 0)
    frame["money"] = frame["money_of_energy"] + frame["money_of_gpus"]
    frame["kg_co2e"] = carbon_kg(frame["kwh"].to_numpy(), kg_co2e_per_kwh)
    for name, saved in (("money", "money_saved"), ("kg_co2e", "kg_saved")):
        frame[saved] = frame[name].iloc[0] - frame[name]
    return frame


def pue_at(load, pue_full: float, no_load_share: float, square_share: float = 0.0):
    """PUE at a part of the load that the hall is built for; nothing runs in an empty hall, but its losses do.

    Losses of power and cooling are a part that is there without load, a part in proportion to it and a part with its
    square: PUE = 1 + (PUE at full load - 1) x (no-load / load + proportional + square x load).

    Source: Rasmussen, "Electrical efficiency modeling for data centers", Schneider Electric white paper 113.

    Parameters
    ----------
    load : IT power over the IT power that the hall is built for, decimal above 0.
    pue_full : at full load, at least 1.
    no_load_share, square_share : of the losses at full load, decimals that are at most 1 together.

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    part = share("load", load, above=True)
    fixed = share("no_load_share", no_load_share)
    square = within("square_share", square_share, 0, 1 - fixed)
    return 1 + (within("pue_full", pue_full, 1) - 1) * (fixed / part + (1 - fixed - square) + square * part)


@dataclass(frozen=True)
class SoldHeat:
    """Heat that is sold, and what it brings.

    Attributes
    ----------
    heat_kwh, pump_kwh : delivered, and the electricity of the heat pump [kWh].
    money : paid for the heat less the pump's electricity; kg_saved : of the heating that it replaces, less the pump's.
    """

    heat_kwh: float
    pump_kwh: float
    money: float
    kg_saved: float


def sell_heat(
    kwh: float,
    recovered_share: float,
    price_per_kwh_heat: float,
    *,
    heat_pump_cop: float | None = None,
    price_per_kwh: float = 0.0,
    kg_co2e_per_kwh: float = 0.0,
    kg_co2e_per_kwh_heat: float = 0.0,
) -> SoldHeat:
    """What the heat of machines is worth; all that they draw becomes heat.

    A heat pump of coefficient of performance C turns 1 kWh of their heat and 1 / (C - 1) kWh of electricity into
    C / (C - 1) kWh that is warm enough to sell: the balance of its energy. The baseline sells nothing, 0 of all.

    Parameters
    ----------
    kwh : drawn by the machines; recovered_share : of their heat, decimal.
    heat_pump_cop : above 1, None where heat is sold as warm as it is.
    price_per_kwh, kg_co2e_per_kwh : of the pump's electricity; `_heat`: of what is sold and the heating it replaces.

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    recovered = within("kwh", kwh, 0) * share("recovered_share", recovered_share)
    pump = 0.0
    if heat_pump_cop is not None:
        pump = recovered / (within("heat_pump_cop", heat_pump_cop, 1, 100, above=True) - 1)
    heat = recovered + pump
    money = heat * within("price_per_kwh_heat", price_per_kwh_heat, 0) - pump * within("price_per_kwh", price_per_kwh)
    saved = carbon_kg(heat, kg_co2e_per_kwh_heat) - carbon_kg(pump, kg_co2e_per_kwh)
    return SoldHeat(float(heat), float(pump), float(money), float(saved))


@dataclass(frozen=True)
class Shift:
    """Jobs in the hours that cost or emit least, beside as early as they may.

    Attributes
    ----------
    jobs : as given, with `money_before`, `money`, `kg_before`, `kg`, `first_hour` and `last_hour` that they run in.
    hours : `hour`, `kwh_before`, `kwh`, `gpus_before`, `gpus`, `price_per_kwh`, `kg_co2e_per_kwh`.
    money_before, money, kg_before, kg : of all jobs.
    gap : to what nothing can go below, as a share; 0 where all jobs may be interrupted.
    """

    jobs: pd.DataFrame
    hours: pd.DataFrame
    money_before: float
    money: float
    kg_before: float
    kg: float
    gap: float


def shift(
    jobs: pd.DataFrame,
    price_per_kwh,
    kg_co2e_per_kwh=0.0,
    *,
    price_per_kg: float = 0.0,
    gpus: float = np.inf,
    power_kw: float = np.inf,
    pue=1.0,
    gap: float = 0.001,
    seconds: float = 30.0,
) -> Shift:
    """Run flexible jobs when power is cheap or green.

    Money and emissions at their price are minimised by HiGHS: a linear programme of the part of each hour that each
    job runs; a job that may not be interrupted begins in one of its hours, as a whole. Before: the same jobs within the
    same limits, as early as they may.

    Parameters
    ----------
    jobs : a row each: `job`, `gpus`, `kw` (while it runs), `hours` (to run), `earliest` (hour, 0 for the first) and
        `deadline` (hour that it ends before or with, at most the number of hours), `interruptible` (True unless told;
        False needs whole hours).
    price_per_kwh, kg_co2e_per_kwh : of each hour, or one of them for all; prices may be negative.
    price_per_kg : of emissions [money]; large, and emissions alone count.
    gpus, power_kw : that all jobs may have at once, at the machines [GPUs, kW]; one, or one an hour.
    pue : of each hour, or one.

    Raises
    ------
    OutOfRange : a value outside its range.
    ConflictingDemands : jobs do not all fit between their earliest hours and deadlines.
    """
    price = np.atleast_1d(within("price_per_kwh", price_per_kwh))
    count = max(len(np.atleast_1d(one)) for one in (price, kg_co2e_per_kwh, pue, gpus, power_kw))
    carbon = _hourly("kg_co2e_per_kwh", within("kg_co2e_per_kwh", kg_co2e_per_kwh, 0), count)
    price, drawn = _hourly("price_per_kwh", price, count), _hourly("pue", within("pue", pue, 1), count)
    limits = {"gpus": _hourly("gpus", gpus, count), "kw": _hourly("power_kw", power_kw, count)}
    frame = _jobs(jobs, count)
    rate = drawn * (price + within("price_per_kg", price_per_kg, 0) * carbon)
    early, _ = _place(frame, np.arange(count, dtype=float), limits, gap, seconds)
    best, proven = _place(frame, rate, limits, gap, seconds)
    kw = frame["kw"].to_numpy()[:, None]
    told = {"_before": early, "": best}
    hours = pd.DataFrame({"hour": np.arange(count)})
    for when, ran in told.items():
        kwh = ran * kw * drawn
        frame[f"money{when}"], frame[f"kg{when}"] = kwh @ price, kwh @ carbon
        hours[f"kwh{when}"] = kwh.sum(axis=0)
        hours[f"gpus{when}"] = (ran * frame["gpus"].to_numpy()[:, None]).sum(axis=0)
    ran = best > 1e-9
    frame["first_hour"], frame["last_hour"] = ran.argmax(axis=1), count - 1 - ran[:, ::-1].argmax(axis=1)
    sums = {name: float(frame[name].sum()) for name in ("money_before", "money", "kg_before", "kg")}
    hours["price_per_kwh"], hours["kg_co2e_per_kwh"] = price, carbon
    return Shift(frame, hours, **sums, gap=proven)


def _hourly(name: str, value, count: int) -> np.ndarray:
    """One value an hour; limits may be infinite."""
    told = np.atleast_1d(np.asarray(value, dtype=float))
    if np.isnan(told).any() or (name in ("gpus", "power_kw") and (told < 0).any()):
        raise OutOfRange(f"{name} must be at least 0, not {told[~(told >= 0)][0]:g}")
    if len(told) not in (1, count):
        raise OutOfRange(f"{name} must be one number or {count}, one an hour, not {len(told)}")
    return np.broadcast_to(told, count)


def _jobs(jobs: pd.DataFrame, count: int) -> pd.DataFrame:
    for name in ("job", "gpus", "kw", "hours", "earliest", "deadline"):
        if name not in jobs:
            raise OutOfRange(f"jobs must have a column {name}, not only {', '.join(map(str, jobs.columns))}")
    if jobs.empty:
        raise OutOfRange("jobs must have at least one row, not none")
    frame = jobs.reset_index(drop=True).copy()
    if "interruptible" not in frame:
        frame["interruptible"] = True
    frame["interruptible"] = frame["interruptible"].astype(bool)
    positive("gpus of a job", frame["gpus"].to_numpy())
    positive("hours of a job", frame["hours"].to_numpy())
    within("kw of a job", frame["kw"].to_numpy(), 0)
    whole("earliest of a job", frame["earliest"].to_numpy(), 0, count - 1)
    whole("deadline of a job", frame["deadline"].to_numpy(), 1, count)
    whole("hours of a job that may not be interrupted", frame.loc[~frame["interruptible"], "hours"].to_numpy(), 0)
    tight = frame[frame["hours"] > frame["deadline"] - frame["earliest"]]
    if len(tight):
        one = tight.iloc[0]
        raise ConflictingDemands([f"{one['job']} runs {one['hours']:g} hours",
                                  f"it has {max(one['deadline'] - one['earliest'], 0)} of them"])  # fmt: skip
    return frame


def _place(frame: pd.DataFrame, rate: np.ndarray, limits: dict, gap: float, seconds: float) -> tuple[np.ndarray, float]:
    """Part of each hour that each job runs, where it costs least at a rate by the hour; and the proven gap.

    A column is a job in one hour, or in all the hours from one beginning on; its entries are the hours that it takes.
    """
    from dcbudget.models.optimize.solver import Rows, maximise

    job, first, length = [], [], []
    for one in frame.itertuples():
        long = 1 if one.interruptible else int(one.hours)
        begins = np.arange(one.earliest, one.deadline - long + 1)
        job.append(np.full(len(begins), one.Index))
        first.append(begins)
        length.append(np.full(len(begins), long))
    job, first, length = np.concatenate(job), np.concatenate(first), np.concatenate(length)
    column = np.repeat(np.arange(len(job)), length)
    hour = np.repeat(first, length) + np.arange(len(column)) - np.repeat(np.cumsum(length) - length, length)
    rows = Rows(len(job))
    for one in frame.itertuples():
        wanted = one.hours if one.interruptible else 1.0
        rows.add(("job", one.Index, 0), np.flatnonzero(job == one.Index), 1.0, wanted, wanted)
    for name, most in limits.items():
        takes = frame[name].to_numpy()[job]
        for h in np.flatnonzero(np.isfinite(most)):
            there = column[hour == h]
            if takes[there].sum() > most[h]:
                rows.add((name, h, 0), there, takes[there], -np.inf, most[h], max(most[h], 1.0))
    kw = frame["kw"].to_numpy()
    # a job that draws nothing still runs some time
    weight = np.maximum(kw, kw.max() * 1e-6 + 1e-9)[job]
    cost = -weight * np.bincount(column, rate[hour], len(job))
    decided = ~frame["interruptible"].to_numpy()[job]
    found = maximise(rows, cost, np.zeros(len(job)), np.ones(len(job)), decided, gap, seconds)
    if not found.found:
        raise ConflictingDemands(["every job runs between its earliest hour and its deadline",
                                  "all of them have so many GPUs and so much power at once"])  # fmt: skip
    ran = np.zeros((len(frame), len(rate)))
    values = np.where(decided, found.values.round(), np.clip(found.values, 0.0, 1.0))
    np.add.at(ran, (job[column], hour), values[column])
    return ran, max(found.bound - found.objective, 0.0) / max(abs(found.objective), 1e-9)
