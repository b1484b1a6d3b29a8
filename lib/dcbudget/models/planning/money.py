"""What the months of a plan cost in every draw, by category: owned GPUs first, then commitments, spot and on demand."""

from dataclasses import dataclass

import numpy as np

from dcbudget.errors import OutOfRange
from dcbudget.models.planning.chance import Factors
from dcbudget.models.planning.drivers import DRIVERS
from dcbudget.models.planning.model import NETWORK, RANGES, SERVICES, STAFF, STORAGE, Model, Settings


@dataclass(frozen=True)
class Scale:
    """What settings and chance multiply: demand (T, n), work (n,), rented GPU prices and rented prices (T, n)."""

    growth: np.ndarray
    work: np.ndarray
    price: np.ndarray
    rented: np.ndarray


@dataclass(frozen=True)
class Money:
    """Money by category, and what taxes go by (T, n); of the first draw GPU-hours and rented money by model (M, T)."""

    category: dict[str, np.ndarray]
    taxable: np.ndarray
    held: np.ndarray
    capacity: np.ndarray
    committed: np.ndarray
    spot: np.ndarray
    on_demand: np.ndarray
    rented: np.ndarray


def scaled(model: Model, settings: Settings, factors: Factors) -> Scale:
    """Settings by what was measured, and the draws."""
    base, years = model.base, model.years_ahead[:, None]
    chance = {name: factors.risks.get(name, np.ones(1)) for name in RANGES}
    grown = (1 + settings.demand_growth) / (1 + base.demand_growth)
    failures = np.minimum(settings.failure_share * chance["failure_share"], 0.95)
    exchange = 1 + model.foreign_share * ((1 + settings.exchange_rate) * chance["exchange_rate"] - 1)
    return Scale(
        growth=grown**years * factors.growth,
        work=base.mfu / np.minimum(settings.mfu * chance["mfu"], 1) * (1 - base.failure_share) / (1 - failures),
        price=(1 + settings.price_trend) ** years * factors.price,
        rented=np.broadcast_to(exchange, (len(model.months), len(exchange))),
    )


def drawn(model: Model, settings: Settings, factors: Factors):
    """In every draw the GPU-hours that jobs hold, those that are needed for it (M, T, n), what settings and chance
    multiply, and a function from another resource to its money (T, n).
    """
    supply, rows, quantity = model.supply, model.demand.drivers, model.demand.quantity
    scale = scaled(model, settings, factors)
    quantity = quantity * unit_price(model)[:, None]
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


def spend(model: Model, settings: Settings, factors: Factors) -> Money:
    """What the months cost in every draw."""
    supply = model.supply
    held, needed, scale, need = drawn(model, settings, factors)
    committed = settings.commitment_share * supply.full_commitment_gpu_hours
    fixed = supply.owned_gpu_hours + committed
    flexible = np.maximum(needed - fixed[..., None], 0)
    on_spot = between(settings.spot_share, model.base.spot_share, supply.spot_share)
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
    return Money(category, taxable, held[..., 0], capacity, committed, spot, first - spot, by_model)


def unit_price(model: Model) -> np.ndarray:
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


def between(value: float, base: float, measured: np.ndarray) -> np.ndarray:
    """Straight from 0 over what was measured at the base value to 1, (M,)."""
    if value <= base:
        return measured * value / base if base > 0 else measured * 0.0
    return measured + (1 - measured) * (value - base) / (1 - base)
