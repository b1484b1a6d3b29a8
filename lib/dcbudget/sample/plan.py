"""The fleet and its power, the price list, the rules of attribution, and the approved budgets.

The budgets are what a good planner would have written: the cost of each project at the prices and volumes
known beforehand, smoothed over neighbouring months, with an error of a few per cent.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from .catalog import (
    CLOUD_CLUSTER,
    DOWN_GPUS,
    FLEET,
    FLEET_COLUMNS,
    METERED,
    OWNED_CLUSTER,
    PARTITIONS,
    PROJECTS,
    TARIFF,
    TARIFF_COLUMNS,
    TEAMS,
    capacity_gpu_hours,
    events_in,
    installed_units,
    metered_kwh,
    tariff_price,
)
from .focus import (
    EAST,
    MONEY_PLACES,
    PRICE_PLACES,
    PROVIDER,
    QUANTUM,
    SKUS,
    WEST,
    Line,
    decimal_text,
    list_price,
)
from .window import Window

CATEGORIES = (
    "Owned hardware",
    "Power",
    "Facility and staff",
    "Rented GPUs",
    "Storage",
    "Network",
    "Other services",
    "Tax and support",
)
DRIVERS = ("GPU-hours", "kWh", "servers", "GPU-hours", "TB", "GB egress", "services", "share of the bill")
DOWNTIME_COLUMNS = ("cluster", "gpu_model", "gpus", "start_time", "end_time", "reason")
PRICE_COLUMNS = (
    "provider",
    "region",
    "sku",
    "gpu_model",
    "gpus",
    "pricing_category",
    "unit",
    "unit_price",
    "currency",
    "effective_from",
)
IDLE = "Idle capacity"
FLEET_WORDS = ("currency", "depreciation", "tariff")
FLEET_NUMBERS = tuple(name for name in FLEET_COLUMNS[FLEET_COLUMNS.index("life_months") :] if name not in FLEET_WORDS)
BUDGET_ERROR, BUDGET_ERROR_MAX = 0.012, 0.025  # standard deviation and limit, as a fraction
GROWTH_BEYOND = 1.008  # a month, for the months planned after the sample's end


def write_rows(path: Path, header: Iterable[str], rows: Iterable[Iterable]) -> int:
    """Write a small CSV file; return the number of rows below the header."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for count, row in enumerate(rows, 1):  # noqa: B007
            writer.writerow(row)
    return count


def fleet_rows() -> list[list]:
    """Return the owned hardware, one row a batch of like units; prices and power are per unit."""
    return [[asset[column] for column in FLEET_COLUMNS] for asset in FLEET]


def downtime_rows(window: Window) -> list[tuple]:
    """Return the spans in which GPUs of the hall stood still."""
    event = events_in(window).get("rack-down")
    if event is None:
        return []
    return [("hall-1", "A100", DOWN_GPUS, f"{event.start}T00:00:00Z", f"{event.end}T00:00:00Z", "switch replaced")]


def price_rows(window: Window) -> list[tuple]:
    """Return the provider's list prices in USD a unit, one row from each date on which a price changed."""
    rows = []
    for sku in SKUS.values():
        for pricing in sku.prices:
            changes: list[tuple[str, int]] = []
            for month in window.months if pricing == "Dynamic" else ("2025-01", "2026-04"):
                price = list_price(sku.name, pricing, month)
                if not changes or price != changes[-1][1]:
                    changes.append((month, price))
            for region in (EAST, WEST) if (sku.name, pricing) == ("gpu-a100-8x", "Committed") else (EAST,):
                rows += [
                    (
                        PROVIDER,
                        region[0],
                        sku.name,
                        sku.gpu_model,
                        sku.gpus,
                        pricing,
                        sku.unit,
                        decimal_text(price, PRICE_PLACES),
                        "USD",
                        f"{month}-01",
                    )
                    for month, price in changes
                ]
    return rows


def rule_rows() -> list[tuple[str, str, str, str]]:
    """Return the rules that give charges, jobs and assets a project or a cluster; the first match wins."""
    rows = [("project", "tag:project", project, project) for project in PROJECTS]
    rows += [("project", "SubAccountId", f"acct-{project}", project) for project in PROJECTS]
    rows += [("project", "account", f"{project}-*", project) for project in TEAMS]
    rows += [("cluster", "tag:cluster", CLOUD_CLUSTER, CLOUD_CLUSTER)]
    rows += [("cluster", "partition", p.name, p.cluster) for p in PARTITIONS if p.cluster == OWNED_CLUSTER]
    return [*rows, ("cluster", "partition", "cloud-*", CLOUD_CLUSTER)]


def power_rows(window: Window) -> list[tuple[str, str, str]]:
    """Return the meter's readings: asset, month, kWh."""
    return [
        (METERED, f"{month}-01", f"{kwh:.1f}") for month, kwh in zip(window.months, metered_kwh(window), strict=True)
    ]


def depreciation(asset: dict, window: Window) -> np.ndarray:
    """Return what a unit of an asset loses in value in each month, by the method that the ledger names."""
    per = {name: float(asset[name] or 0) for name in FLEET_NUMBERS}
    paid, life = per["purchase_price"] + per["interconnect_price"], int(per["life_months"])
    book, lost = paid, np.zeros(life)
    for age in range(life):
        left = book - per["residual_value"]
        even = left / (life - age)
        lost[age] = even if asset["depreciation"] != "declining" else max(
            even, min(left, book * per["declining_rate"] / 12))  # fmt: skip
        book -= lost[age]
    year, month = map(int, asset["in_service_date"].split("-")[:2])
    ages = np.array([int(name[:4]) * 12 + int(name[5:]) - year * 12 - month for name in window.months])
    return np.where((ages >= 0) & (ages < life), lost[np.clip(ages, 0, life - 1)], 0)


def owned_costs(window: Window) -> dict[str, np.ndarray]:
    """Return the cost of owned hardware by GPU model ("" for storage and network).

    Each value has the shape (3, months): depreciation, power less heat sold, staff and space.
    """
    costs: dict[str, np.ndarray] = {}
    by_hour = tariff_price(window)
    for asset in FLEET:
        units = installed_units(asset, window)
        per = {name: float(asset[name] or "nan") for name in FLEET_NUMBERS}
        kw = per["measured_kw"] if asset["measured_kw"] else per["nameplate_kw"] * per["power_fraction"]
        kwh = metered_kwh(window) if asset["asset_id"] == METERED else units * kw * window.hours
        price = by_hour if asset["tariff"] else per["tariff_per_kwh"]
        parts = np.array(
            [
                units * depreciation(asset, window),
                kwh * (per["pue"] * price - per["heat_credit_per_kwh"]),
                units * (per["staff_cost_per_month"] + per["space_cost_per_month"]),
            ]
        )
        costs[asset["gpu_model"]] = costs.get(asset["gpu_model"], 0) + parts
    return costs


def project_costs(
    charges: pd.DataFrame,
    lines: list[Line],
    hours: dict[tuple[str, str], np.ndarray],
    window: Window,
    planned: bool,
) -> np.ndarray:
    """Return the cost of each project, of idle capacity and of what is unallocated.

    A project bears its own charges and, of each shared pool, the pool's cost times its share of the pool's
    capacity in GPU-hours; the rest of a pool, and commitments that nobody used, are idle capacity. Storage and
    network hardware follow the GPU-hours of the whole hall.

    Parameters
    ----------
    hours : dict
        Allocated GPU-hours by (cluster, gpu_model), as jobs.monthly_gpu_hours gives them.
    planned : bool
        True for what the budget knew of, False for the effective cost.

    Returns
    -------
    ndarray
        USD, shape (projects + 2, categories, months).
    """
    months, count = len(window.months), len(PROJECTS)
    cost = np.zeros((count + 2, len(CATEGORIES), months))

    def share_out(pool: np.ndarray, used: np.ndarray, capacity: np.ndarray, category: int) -> None:
        rate = np.divide(pool, capacity, out=np.zeros(months), where=capacity > 0)
        cost[:count, category] += rate * (used[0] if planned else used.sum(axis=0))
        cost[count, category] += pool - rate * used.sum(axis=(0, 1))

    capacity = capacity_gpu_hours(window)
    hall = {model: used for (cluster, model), used in hours.items() if cluster == OWNED_CLUSTER}
    for model, parts in owned_costs(window).items():
        used = hall[model] if model else sum(hall.values())
        room = capacity[model] if model else sum(capacity.values())
        for category, pool in enumerate(parts):
            share_out(pool, used, room, category)

    money = charges["plan" if planned else "effective"].to_numpy() / 10**MONEY_PLACES
    line, month = charges["line"].to_numpy(), charges["month"].to_numpy()
    shared = np.array(['"cluster"' in entry.columns["Tags"] for entry in lines])[line]
    owner = [PROJECTS.index(entry.project) if entry.project else count + 1 for entry in lines]
    category = [CATEGORIES.index(entry.category) for entry in lines]
    own = ~shared
    np.add.at(cost, (np.array(owner)[line[own]], np.array(category)[line[own]], month[own]), money[own])
    models = np.array(
        [SKUS[entry.columns["SkuId"]].gpu_model if entry.columns.get("SkuId") in SKUS else "" for entry in lines]
    )[line]
    unused = np.array([entry.columns.get("CommitmentDiscountStatus") == "Unused" for entry in lines])[line]
    rented = CATEGORIES.index("Rented GPUs")
    np.add.at(cost[count, rented], month[shared & unused], money[shared & unused])
    counted = shared & ~unused & (money > 0)
    for model in ("H100", "A100"):
        here = counted & (models == model)
        pool = np.bincount(month[here], money[here], months)
        room = np.bincount(month[here], charges["quantity"].to_numpy()[here] * 8 / QUANTUM, months)
        share_out(pool, hours[CLOUD_CLUSTER, model], room, rented)
    return cost


def budget(rng: np.random.Generator, expected: np.ndarray, window: Window) -> pd.DataFrame:
    """Return the approved budgets: the months of the window, and the rest of 2026.

    Parameters
    ----------
    expected : ndarray
        What project_costs gives with planned=True, USD.

    Returns
    -------
    DataFrame
        plan_version, status, month, project, category, amount (text, two decimals), currency, driver.
    """
    expected = expected[: len(PROJECTS) + 1]
    padded = np.concatenate([expected[..., :1], expected, expected[..., -1:]], axis=-1)
    smooth = 0.7 * expected + 0.15 * (padded[..., :-2] + padded[..., 2:])
    later = smooth[..., -3:].mean(axis=-1)[..., None] * GROWTH_BEYOND ** np.arange(2, 8)
    plan = np.concatenate([smooth, later], axis=-1)
    error = np.clip(rng.normal(0, BUDGET_ERROR, plan.shape), -BUDGET_ERROR_MAX, BUDGET_ERROR_MAX)
    amounts = np.round(plan * (1 + error), -1)
    months = [*window.months, *(f"2026-{m:02d}" for m in range(7, 13))]
    rows = [
        (
            f"{month[:4]}-approved",
            "approved",
            f"{month}-01",
            project,
            category,
            f"{amounts[j, c, m]:.2f}",
            "USD",
            DRIVERS[c],
        )
        for m, month in enumerate(months)
        for j, project in enumerate((*PROJECTS, IDLE))
        for c, category in enumerate(CATEGORIES)
        if amounts[j, c, m] > 0
    ]
    columns = ["plan_version", "status", "month", "project", "category", "amount", "currency", "driver"]
    return pd.DataFrame(rows, columns=columns)


def write_plan(folder: Path, lines: pd.DataFrame, window: Window) -> dict[str, int]:
    """Write fleet, rules, prices and budgets; return the rows of each file by its path under the folder."""
    for name in ("fleet", "rules", "budget", "prices"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    tables = {
        "fleet/fleet.csv": (FLEET_COLUMNS, fleet_rows()),
        "fleet/downtime.csv": (DOWNTIME_COLUMNS, downtime_rows(window)),
        "fleet/tariffs.csv": (TARIFF_COLUMNS, [line.values() for line in TARIFF]),
        "fleet/power_readings.csv": (("asset_id", "month", "kwh"), power_rows(window)),
        "rules/projects.csv": (("assign", "field", "pattern", "value"), rule_rows()),
        "prices/prices.csv": (PRICE_COLUMNS, price_rows(window)),
    }
    counts = {name: write_rows(folder / name, *table) for name, table in tables.items() if table[1]}
    for version, rows in lines.groupby("plan_version"):
        name = f"budget/budget_{version[:4]}.csv"
        counts[name] = write_rows(folder / name, lines.columns, rows.itertuples(index=False, name=None))
    return counts
