"""A plan without chance: budget lines to the cent, the GPU-hours that they count, and where these come from."""

import numpy as np
import pandas as pd

from dcbudget.models.allocation import whole_cents
from dcbudget.models.planning.chance import Factors, certain
from dcbudget.models.planning.model import (
    CATEGORIES,
    COUNTED_BY,
    IDLE,
    NETWORK,
    SERVICES,
    STAFF,
    STORAGE,
    Model,
    Settings,
)
from dcbudget.models.planning.money import between, drawn, scaled, spend, unit_price


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
    rented = scaled(model, settings, certain(model)).rented[:, 0]
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
    found, supply = spend(model, settings, certain(model)), model.supply
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
    _, needed, *_ = drawn(model, settings, factors)
    rented = np.maximum(needed - supply.owned_gpu_hours[..., None], 0)
    committed = settings.commitment_share * supply.full_commitment_gpu_hours
    on_spot = between(settings.spot_share, model.base.spot_share, supply.spot_share)
    return rented - on_spot[:, None, None] * np.maximum(rented - committed[..., None], 0)


def _borne(model: Model, settings: Settings):
    """Who bears what without chance: the money, the projects, a function from a resource to their needs (projects, T),
    their shares of each model's capacity (M, projects, T), idle last, and of what the owned halls share (projects, T).
    """
    plain = certain(model)
    found = spend(model, settings, plain)
    rows, supply = model.demand.drivers, model.supply
    projects = sorted((set(rows["project"]) | set(model.tax_rates or {})) - {IDLE})
    place = {name: at for at, name in enumerate([*projects, IDLE])}
    times = scaled(model, settings, plain)
    each = (
        model.demand.quantity
        * unit_price(model)[:, None]
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
