"""FOCUS 1.2 rows: what they are made of, and how they are written without losing a digit.

Money is exact: unit prices are integers of a millionth of a dollar and quantities integers of a
ten-thousandth of a unit, so a cost is an integer of 1e-10 dollars. Column names, allowed values and
nullability follow the FinOps Open Cost and Usage Specification 1.2 (CC-BY-4.0).
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from .catalog import EVENTS
from .window import DAY, Window, iso

_COLUMNS = """
AvailabilityZone BilledCost BillingAccountId BillingAccountName BillingAccountType BillingCurrency
BillingPeriodEnd BillingPeriodStart CapacityReservationId CapacityReservationStatus ChargeCategory
ChargeClass ChargeDescription ChargeFrequency ChargePeriodEnd ChargePeriodStart
CommitmentDiscountCategory CommitmentDiscountId CommitmentDiscountName CommitmentDiscountQuantity
CommitmentDiscountStatus CommitmentDiscountType CommitmentDiscountUnit ConsumedQuantity ConsumedUnit
ContractedCost ContractedUnitPrice EffectiveCost InvoiceId InvoiceIssuerName ListCost ListUnitPrice
PricingCategory PricingCurrency PricingCurrencyContractedUnitPrice PricingCurrencyEffectiveCost
PricingCurrencyListUnitPrice PricingQuantity PricingUnit ProviderName PublisherName RegionId
RegionName ResourceId ResourceName ResourceType ServiceCategory ServiceName ServiceSubcategory SkuId
SkuMeter SkuPriceDetails SkuPriceId SubAccountId SubAccountName SubAccountType Tags
"""
COLUMNS = tuple(_COLUMNS.split())
PROVIDER, ORGANISATION = "Example Cloud", "Generated Sample Org"
EAST, WEST = ("example-east-1", "Example East"), ("example-west-1", "Example West")
SHARED = "shared"
PRICE_PLACES, QUANTITY_PLACES, MONEY_PLACES = 6, 4, 10
MICRO, QUANTUM = 10**PRICE_PLACES, 10**QUANTITY_PLACES
CONTRACT_RATE = 0.95  # the contract's price over the list price, except for spot and commitments
PRICE_RISE = 1.12
NUMBERS = ("quantity", "consumed", "committed", "list_price", "contract_price")
MONEY = ("billed", "effective", "listed", "contracted", "plan")


@dataclass(frozen=True)
class Sku:
    """A thing with a price: `prices` are list prices in USD a unit by FOCUS pricing category."""

    name: str
    gpu_model: str
    gpus: int
    unit: str
    prices: dict[str, float]
    service: tuple[str, str, str]
    meter: str
    details: dict = field(default_factory=dict)


def _instance(name: str, model: str, gpus: int, cores: int, memory: int, prices: dict[str, float]) -> Sku:
    details: dict = {
        "InstanceType": name,
        "CoreCount": cores,
        "MemorySize": memory,
        "OperatingSystem": "Linux",
    }
    if gpus:
        details |= {"GpuCount": gpus, "x_GpuModel": model}
    service = ("Example Compute", "Compute", "Virtual Machines")
    return Sku(name, model, gpus, "Hours", prices, service, "Instance hours", details)


SKUS = {
    sku.name: sku
    for sku in (
        _instance("gpu-h100-8x", "H100", 8, 96, 896, {"Standard": 31.20, "Committed": 19.92}),
        _instance("gpu-a100-8x", "A100", 8, 96, 896, {"Standard": 16.40, "Committed": 10.56, "Dynamic": 7.40}),
        _instance("gpu-l4-1x", "L4", 1, 8, 32, {"Standard": 0.82, "Committed": 0.52}),
        _instance("cpu-32", "", 0, 32, 128, {"Standard": 1.52}),
        Sku(
            "object-storage",
            "",
            0,
            "GB-Months",
            {"Standard": 0.021},
            ("Example Objects", "Storage", "Object Storage"),
            "Stored bytes",
            {"StorageClass": "Hot", "Redundancy": "Zonal"},
        ),
        Sku(
            "block-storage",
            "",
            0,
            "GB-Months",
            {"Standard": 0.080},
            ("Example Volumes", "Storage", "Block Storage"),
            "Provisioned bytes",
            {"DiskType": "SSD"},
        ),
        Sku(
            "egress-internet",
            "",
            0,
            "GB",
            {"Standard": 0.070},
            ("Example Network", "Networking", "Network Connectivity"),
            "Bytes out",
        ),
        Sku(
            "database-16",
            "",
            0,
            "Hours",
            {"Standard": 2.10},
            ("Example Relational", "Databases", "Relational Databases"),
            "Database hours",
            {"InstanceType": "database-16", "CoreCount": 16, "MemorySize": 128},
        ),
        Sku(
            "observability",
            "",
            0,
            "GB",
            {"Standard": 0.42},
            ("Example Observe", "Management and Governance", "Observability"),
            "Ingested bytes",
        ),
    )
}


@cache
def list_price(sku: str, pricing: str, month: str, rise: bool = True) -> int:
    """Return the list price of a month in 1e-6 USD a unit.

    Spot prices move from month to month within 15 % of their base; `rise` False leaves out the planted
    price change of on-demand H100.
    """
    price = SKUS[sku].prices[pricing]
    if pricing == "Dynamic":
        serial = int(month[:4]) * 12 + int(month[5:])
        price = round(price * (1 + 0.10 * np.sin(serial * 1.7) + 0.05 * np.sin(serial * 0.61)), 2)
    elif rise and (sku, pricing) == ("gpu-h100-8x", "Standard") and month >= EVENTS["price-change"].start[:7]:
        price *= PRICE_RISE
    return round(price * MICRO)


def contract_price(sku: str, pricing: str, month: str, rise: bool = True) -> int:
    """Return the contracted price of a month in 1e-6 USD a unit."""
    price = list_price(sku, pricing, month, rise)
    return price if pricing == "Dynamic" else round(price * CONTRACT_RATE)


@dataclass(frozen=True)
class Line:
    """The constant columns of a series of charges, and what the planner knows of it."""

    columns: dict[str, str]
    account: str
    project: str
    category: str


class Ledger:
    """Collects daily and monthly charges.

    A charge is an entry of `lines` (its constant columns) and one row of numbers: start, end in seconds
    since 1970; NUMBERS in 1e-4 units or 1e-6 USD, -1 for null; MONEY in 1e-10 USD, where `plan` is the
    effective cost at the prices and volumes that the budget knew of.
    """

    def __init__(self, window: Window):
        self.window = window
        self.days = np.arange(window.start, window.end, DAY)
        self.month = window.month_of(self.days)
        self.lines: list[Line] = []
        self.parts: list[pd.DataFrame] = []

    def add(
        self,
        line: Line,
        start: np.ndarray,
        end: np.ndarray,
        keep: np.ndarray | bool = True,
        **numbers: np.ndarray | int,
    ) -> None:
        """Add charges of one line where `keep` holds; numbers not given are null, money equals `billed`."""
        part = {"line": len(self.lines), "start": start, "end": end}
        part |= {name: numbers.get(name, -1) for name in NUMBERS}
        part |= {name: numbers.get(name, numbers["billed"]) for name in MONEY}
        rows = pd.DataFrame(part, index=range(len(start)), dtype=np.int64)
        self.lines.append(line)
        self.parts.append(rows[np.broadcast_to(keep, len(rows))])

    def charges(self) -> pd.DataFrame:
        """Return all charges by month, then line, then day."""
        rows = pd.concat(self.parts, ignore_index=True)
        rows["month"] = self.window.month_of(rows["start"].to_numpy())
        return rows.sort_values(["month", "start", "line"], kind="stable", ignore_index=True)

    def prices(self, sku: str, pricing: str, price=list_price, rise: bool = True) -> np.ndarray:
        """Return the price of each day of the window in 1e-6 USD a unit."""
        return np.array([price(sku, pricing, month, rise) for month in self.window.months])[self.month]


def account_columns(account: str) -> dict[str, str]:
    """Return the sub-account's columns; there is one a project and a shared one."""
    name = "Shared platform" if account == SHARED else account.capitalize()
    return {
        "SubAccountId": f"acct-{account}",
        "SubAccountName": f"Generated Sample - {name}",
        "SubAccountType": "Linked Account",
    }


def make_line(
    sku_name: str,
    account: str,
    tags: dict[str, str],
    resource: tuple[str, str],
    category: str,
    pricing: str = "Standard",
    region: tuple[str, str] = EAST,
    **extra: str,
) -> Line:
    """Return the constant columns of the usage of a SKU by one resource (id, type)."""
    sku = SKUS[sku_name]
    service, family, kind = sku.service
    columns = (
        account_columns(account)
        | {
            "AvailabilityZone": region[0] + "a" if family == "Compute" else "",
            "ChargeCategory": "Usage",
            "ChargeFrequency": "Usage-Based",
            "PricingCategory": pricing,
            "ChargeDescription": f"{sku.name} {pricing.lower()} usage in {region[1]} (generated)",
            "PricingUnit": sku.unit,
            "ConsumedUnit": sku.unit,
            "RegionId": region[0],
            "RegionName": region[1],
            "ResourceId": resource[0],
            "ResourceName": resource[0],
            "ResourceType": resource[1],
            "ServiceName": service,
            "ServiceCategory": family,
            "ServiceSubcategory": kind,
            "SkuId": sku.name,
            "SkuMeter": sku.meter,
            "SkuPriceId": f"{sku.name}/{pricing}",
            "SkuPriceDetails": json.dumps(sku.details, separators=(",", ":")) if sku.details else "",
            "Tags": json.dumps(tags, separators=(",", ":")),
        }
        | extra
    )
    return Line(columns, account, tags.get("project", ""), category)


def add_usage(ledger: Ledger, line: Line, units: np.ndarray, share_planned: np.ndarray | float = 1.0) -> None:
    """Add a line's daily usage at its price; a day without usage has no row.

    Parameters
    ----------
    units : array of float
        Units used on each day of the window, kept to four decimals.
    share_planned : float or array
        The part of the usage that the budget knew of.
    """
    sku, pricing = line.columns["SkuId"], line.columns["PricingCategory"]
    amount = np.round(np.asarray(units) * QUANTUM).astype(np.int64)
    listed, paid = ledger.prices(sku, pricing), ledger.prices(sku, pricing, contract_price)
    known = amount * ledger.prices(sku, pricing, contract_price, rise=False)
    ledger.add(
        line,
        ledger.days,
        ledger.days + DAY,
        amount > 0,
        quantity=amount,
        consumed=amount,
        list_price=listed,
        contract_price=paid,
        billed=amount * paid,
        listed=amount * listed,
        plan=np.round(known * share_planned),
    )


def commitment_columns(name: str, status: str = "") -> dict[str, str]:
    """Return the columns that tie a charge to a reservation."""
    return {
        "CommitmentDiscountId": name,
        "CommitmentDiscountName": f"Generated {name}",
        "CommitmentDiscountCategory": "Usage",
        "CommitmentDiscountType": "Reserved Instance",
        "CommitmentDiscountUnit": "Hours",
        "CommitmentDiscountStatus": status,
    }


def add_committed(
    ledger: Ledger,
    sku: str,
    account: str,
    tags: dict[str, str],
    name: str,
    hours: np.ndarray,
    resource: str = "",
    region: tuple[str, str] = EAST,
    planned: bool = True,
) -> None:
    """Add daily instance-hours under a reservation, or its unused hours where no resource is given.

    Such a row bills nothing; its effective cost is the reserved price, its list cost the on-demand one.
    """
    extra = commitment_columns(name, "Used" if resource else "Unused")
    if not resource:
        extra |= {
            "ConsumedUnit": "",
            "AvailabilityZone": "",
            "ChargeDescription": f"{sku} reserved hours not used in {region[1]} (generated)",
        }
    kind = (resource, "Instance") if resource else (name, "Reserved Instance")
    line = make_line(sku, account, tags, kind, "Rented GPUs", "Committed", region, **extra)
    amount = np.round(hours * QUANTUM).astype(np.int64)
    listed, paid = ledger.prices(sku, "Standard"), ledger.prices(sku, "Standard", contract_price)
    effective = amount * ledger.prices(sku, "Committed")
    ledger.add(
        line,
        ledger.days,
        ledger.days + DAY,
        amount > 0,
        quantity=amount,
        committed=amount,
        consumed=amount if resource else -1,
        list_price=listed,
        contract_price=paid,
        billed=0,
        effective=effective,
        listed=amount * listed,
        contracted=amount * paid,
        plan=effective if planned else 0,
    )


def add_purchase(
    ledger: Ledger,
    sku: str,
    account: str,
    tags: dict[str, str],
    name: str,
    units: int,
    start: np.ndarray,
    end: np.ndarray,
    hours: np.ndarray,
    upfront: bool = False,
    region: tuple[str, str] = EAST,
) -> None:
    """Add the purchases of a reservation: billed here, effective in the usage that they cover."""
    term = "all upfront for a year" if upfront else "no upfront"
    line = make_line(
        sku,
        account,
        tags,
        (name, "Reserved Instance"),
        "Rented GPUs",
        "Standard",
        region,
        **commitment_columns(name)
        | {
            "ChargeCategory": "Purchase",
            "ChargeFrequency": "One-Time" if upfront else "Recurring",
            "ChargeDescription": f"{units} x {sku} reserved, {term} (generated)",
            "AvailabilityZone": "",
            "ConsumedUnit": "",
            "SkuId": f"{sku}-reserved",
            "SkuPriceId": f"{sku}/Reservation",
            "SkuMeter": "Reserved hours",
            "SkuPriceDetails": "",
        },
    )
    amount = hours.astype(np.int64) * units * QUANTUM
    price = round(SKUS[sku].prices["Committed"] * MICRO)
    ledger.add(
        line,
        start,
        end,
        quantity=amount,
        committed=amount,
        list_price=price,
        contract_price=price,
        billed=amount * price,
        effective=0,
        plan=0,
    )


_iso = cache(iso)


@lru_cache(1 << 16)
def decimal_text(value: int, places: int) -> str:
    """Return an integer of 10**-places as decimal text, with no exponent and no trailing zeros."""
    whole, rest = divmod(abs(value), 10**places)
    text = f"{whole}.{rest:0{places}d}".rstrip("0").rstrip(".")
    return f"-{text}" if value < 0 else text


def write_charges(path: Path, charges: pd.DataFrame, lines: list[Line], month: str) -> int:
    """Write one month's charges as a FOCUS 1.2 file; return the number of rows."""
    year, number = int(month[:4]), int(month[5:])
    following = f"{year + number // 12}-{number % 12 + 1:02d}-01T00:00:00Z"
    constant = {
        "BillingAccountId": "gen-000001",
        "BillingAccountName": ORGANISATION,
        "BillingAccountType": "Payer Account",
        "BillingCurrency": "USD",
        "PricingCurrency": "USD",
        "BillingPeriodStart": f"{month}-01T00:00:00Z",
        "BillingPeriodEnd": following,
        "InvoiceId": f"GEN-{month}-0001",
        "InvoiceIssuerName": PROVIDER,
        "ProviderName": PROVIDER,
        "PublisherName": PROVIDER,
    }
    where = {name: i for i, name in enumerate(COLUMNS)}
    shapes = {i: [(constant | lines[i].columns).get(name, "") for name in COLUMNS] for i in charges["line"].unique()}
    cells = {
        "ChargePeriodStart": [_iso(t) for t in charges["start"].tolist()],
        "ChargePeriodEnd": [_iso(t) for t in charges["end"].tolist()],
    }
    for column, name, places in (
        ("PricingQuantity", "quantity", QUANTITY_PLACES),
        ("ConsumedQuantity", "consumed", QUANTITY_PLACES),
        ("CommitmentDiscountQuantity", "committed", QUANTITY_PLACES),
        ("ListUnitPrice", "list_price", PRICE_PLACES),
        ("ContractedUnitPrice", "contract_price", PRICE_PLACES),
        ("PricingCurrencyListUnitPrice", "list_price", PRICE_PLACES),
        ("PricingCurrencyContractedUnitPrice", "contract_price", PRICE_PLACES),
    ):
        cells[column] = ["" if v < 0 else decimal_text(v, places) for v in charges[name].tolist()]
    for column, name in (
        ("BilledCost", "billed"),
        ("EffectiveCost", "effective"),
        ("ListCost", "listed"),
        ("ContractedCost", "contracted"),
        ("PricingCurrencyEffectiveCost", "effective"),
    ):
        cells[column] = [decimal_text(v, MONEY_PLACES) for v in charges[name].tolist()]
    places = [where[name] for name in cells]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for line, *values in zip(charges["line"].tolist(), *cells.values(), strict=True):
            row = shapes[line]
            for place, value in zip(places, values, strict=True):
                row[place] = value
            writer.writerow(row)
    return len(charges)
