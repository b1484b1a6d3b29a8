"""What is on the cloud bill: the shared cluster's nodes, each project's own resources, and what follows.

The cluster's nodes are billed by the hours in which the job log has work on them, so the bill covers the
jobs of every day. Growth rates and volumes are invented; prices are in focus.py.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .catalog import EVENTS, PARTITION_NAMES, PARTITIONS, PROJECTS, events_in
from .focus import (
    MONEY,
    QUANTUM,
    SHARED,
    WEST,
    Ledger,
    Line,
    account_columns,
    add_committed,
    add_purchase,
    add_usage,
    make_line,
)
from .jobs import stop_times
from .window import DAY, HOUR, Window, epoch

SPIKE_FACTOR = 12
LATE_DISCOUNT = 0.97
SUPPORT_PER_CENT, TAX_PER_CENT = 3, 2
H100_RESERVED, IDLE_RESERVED, L4_RESERVED = 8, 4, 6
IDLE_HOURS_A_WEEKDAY = 7.0  # of 4 x 24: about 5 % of the week
OVERRUN_NODES = 1
STORAGE_GROWTH = 0.022  # a month

# project: instances of its own as (sku, pricing, count, mean hours a day)
OWN_INSTANCES = {
    "search": (("gpu-l4-1x", "Standard", 8, 24.0),),
    "recommendation": (("gpu-a100-8x", "Standard", 2, 19.0), ("gpu-l4-1x", "Standard", 4, 24.0)),
    "vision": (("gpu-h100-8x", "Standard", 1, 21.0),),
    "language": (("gpu-h100-8x", "Standard", 2, 18.0), ("gpu-l4-1x", "Standard", 8, 24.0)),
    "research": (("gpu-a100-8x", "Dynamic", 2, 16.0),),
    "platform": (("cpu-32", "Standard", 5, 24.0),),
}
# project: object TB, block TB at 2025-01, egress GB a day, databases, observability GB a day
OWN_SERVICES = {
    "search": (160, 30, 2900, 3, 60),
    "recommendation": (210, 34, 1500, 4, 70),
    "vision": (420, 40, 1200, 1, 40),
    "language": (300, 44, 1900, 2, 60),
    "research": (130, 18, 260, 1, 20),
    "platform": (60, 26, 500, 2, 240),
}
WEEK_SHAPE = np.array([1.06, 1.08, 1.07, 1.06, 1.02, 0.86, 0.85])  # Monday first
CREDITS = {"research": (800, "2025-01", "2026-06"), "language": (1500, "2025-01", "2025-06")}


def node_hours(log: pd.DataFrame, window: Window, partition: str) -> np.ndarray:
    """Return in which hours each node of a partition has work: bool, shape (nodes, hours of the window)."""
    p = PARTITION_NAMES.index(partition)
    held = log[(log["partition"] == p) & (log["mask"] > 0)]
    change = np.zeros((PARTITIONS[p].nodes, (window.end - window.start) // HOUR + 1), dtype=np.int32)
    first = (held["start"].to_numpy() - window.start) // HOUR
    last = -(-(stop_times(held) - window.start) // HOUR)
    for node in range(PARTITIONS[p].nodes):
        here = (held["mask"].to_numpy() >> node & 1).astype(bool)
        np.add.at(change[node], first[here], 1)
        np.add.at(change[node], last[here], -1)
    return np.cumsum(change, axis=1)[:, :-1] > 0


def by_day(hours: np.ndarray) -> np.ndarray:
    """Sum hours to days along the last axis."""
    return hours.reshape(*hours.shape[:-1], -1, 24).sum(axis=-1)


def add_cluster(ledger: Ledger, log: pd.DataFrame) -> None:
    """Add the shared cluster's nodes: reservation first, then on demand, and spot."""
    window = ledger.window
    for partition, pricing in (
        ("cloud-h100", "Standard"),
        ("cloud-a100", "Standard"),
        ("cloud-spot", "Dynamic"),
    ):
        tags = {"cluster": "cloud", "partition": partition}
        spec = PARTITIONS[PARTITION_NAMES.index(partition)]
        sku = f"gpu-{spec.gpu_model.lower()}-8x"
        busy = node_hours(log, window, partition)
        reserved = busy & (np.cumsum(busy, axis=0) <= (H100_RESERVED if partition == "cloud-h100" else 0))
        for node in range(spec.nodes):
            resource = f"{spec.node_name}-{node + 1:03d}"
            if reserved[node].any():
                add_committed(ledger, sku, SHARED, tags, "ri-cluster-h100", by_day(reserved[node]), resource)
            line = make_line(sku, SHARED, tags, (resource, "Instance"), "Rented GPUs", pricing)
            add_usage(ledger, line, by_day(busy[node] & ~reserved[node]))
        if partition == "cloud-h100":
            add_committed(
                ledger,
                sku,
                SHARED,
                tags,
                "ri-cluster-h100",
                H100_RESERVED * 24 - by_day(reserved).sum(axis=0),
            )
            add_purchase(
                ledger,
                sku,
                SHARED,
                tags,
                "ri-cluster-h100",
                H100_RESERVED,
                window.edges[:-1],
                window.edges[1:],
                window.hours,
            )


def add_idle_reservation(ledger: Ledger) -> None:
    """Add the planted reservation that hardly anybody uses."""
    window, event = ledger.window, EVENTS["idle-reservation"]
    tags = {"cluster": "cloud", "partition": "cloud-a100"}
    name, sku = "ri-west-a100", "gpu-a100-8x"
    weekday = (ledger.days // DAY + 3) % 7
    active = ledger.days >= epoch(event.start)
    used = np.where(active & (weekday < 5), IDLE_HOURS_A_WEEKDAY, 0)
    add_committed(ledger, sku, "research", {"project": "research"}, name, used, "research-west-001", WEST)
    add_committed(ledger, sku, SHARED, tags, name, np.where(active, IDLE_RESERVED * 24 - used, 0), "", WEST, False)
    months = window.edges[:-1] >= epoch(event.start)
    add_purchase(
        ledger,
        sku,
        SHARED,
        tags,
        name,
        IDLE_RESERVED,
        window.edges[:-1][months],
        window.edges[1:][months],
        window.hours[months],
        region=WEST,
    )


def add_upfront(ledger: Ledger) -> None:
    """Add search's L4 reservation, paid in one sum for each calendar year."""
    tags, sku = {"project": "search"}, "gpu-l4-1x"
    years = np.array([month[:4] for month in ledger.window.months])[ledger.month]
    for year in np.unique(years):
        name, first = f"ri-search-l4-{year}", epoch(f"{year}-01-01")
        if ledger.window.start <= first:
            start = np.array([first])
            days = (epoch(f"{int(year) + 1}-01-01") - first) // DAY
            add_purchase(
                ledger,
                sku,
                "search",
                tags,
                name,
                L4_RESERVED,
                start,
                start + DAY,
                np.array([days * 24]),
                upfront=True,
            )
        for i in range(L4_RESERVED):
            add_committed(
                ledger, sku, "search", tags, name, np.where(years == year, 24.0, 0), f"search-l4-r{i + 1:02d}"
            )


def add_own(rng: np.random.Generator, ledger: Ledger) -> None:
    """Add the instances and services that each project holds in its own sub-account."""
    weekday = (ledger.days // DAY + 3) % 7
    age = np.array(ledger.window.ages)[ledger.month] + (ledger.days - ledger.window.edges[ledger.month]) / (30 * DAY)
    part_of_month = 1 / (ledger.window.hours[ledger.month] / 24)
    spike = np.ones(len(ledger.days))
    event = EVENTS["egress-spike"]
    spike[(ledger.days >= epoch(event.start)) & (ledger.days < epoch(event.end))] = SPIKE_FACTOR
    for project in PROJECTS:
        tags = {"project": project, "environment": "production"}
        for sku, pricing, count, mean in OWN_INSTANCES[project]:
            for i in range(count):
                model = sku.split("-")[1]
                line = make_line(
                    sku,
                    project,
                    tags,
                    (f"{project}-{model}-{i + 1:02d}", "Instance"),
                    "Rented GPUs" if sku.startswith("gpu") else "Other services",
                    pricing,
                )
                hours = np.clip(np.round(rng.normal(mean * WEEK_SHAPE[weekday], 1.5)), 0, 24)
                add_usage(ledger, line, np.where(mean == 24, 24, hours))
        objects, blocks, egress, databases, logs = OWN_SERVICES[project]
        grown = (1 + STORAGE_GROWTH) ** age * part_of_month
        traffic = WEEK_SHAPE[weekday] * rng.normal(1, 0.05, len(age)) * (1 + 0.008 * age)
        for sku, resource, units, category in (
            ("object-storage", ("bucket", "Bucket"), objects * 1000 * grown, "Storage"),
            ("block-storage", ("volumes", "Volume group"), blocks * 1000 * grown, "Storage"),
            ("egress-internet", ("gateway", "Gateway"), egress * traffic, "Network"),
            (
                "database-16",
                ("databases", "Database group"),
                np.full(len(age), databases * 24.0),
                "Other services",
            ),
            ("observability", ("telemetry", "Workspace"), logs * traffic, "Other services"),
        ):
            line = make_line(sku, project, tags, (f"{project}-{resource[0]}", resource[1]), category)
            spiking = sku == "egress-internet" and project == "search"
            factor = spike if spiking else np.ones(len(spike))
            add_usage(ledger, line, units * factor, 1 / factor)


def add_overrun(ledger: Ledger) -> None:
    """Add the nodes that vision rented beyond its plan."""
    event = EVENTS["vision-overrun"]
    hours = np.where((ledger.days >= epoch(event.start)) & (ledger.days < epoch(event.end)), 24.0, 0)
    for i in range(OVERRUN_NODES):
        line = make_line(
            "gpu-h100-8x",
            "vision",
            {"project": "vision", "environment": "experiment"},
            (f"vision-h100-x{i + 1:02d}", "Instance"),
            "Rented GPUs",
        )
        add_usage(ledger, line, hours, 0.0)


def add_untagged(rng: np.random.Generator, ledger: Ledger) -> None:
    """Add what nobody tagged in the shared sub-account, about 2 % of the bill."""
    day = np.array((ledger.days - ledger.window.edges[ledger.month]) // DAY)
    weekday = (ledger.days // DAY + 3) % 7
    part_of_month = 1 / (ledger.window.hours[ledger.month] / 24)
    for sku, resource, kind, units, category in (
        ("gpu-l4-1x", "i-unknown-01", "Instance", np.full(len(day), 24.0), "Rented GPUs"),
        ("gpu-l4-1x", "i-unknown-02", "Instance", np.full(len(day), 24.0), "Rented GPUs"),
        ("gpu-a100-8x", "i-unknown-03", "Instance", np.where(weekday < 5, 9.0, 0), "Rented GPUs"),
        (
            "gpu-h100-8x",
            "i-unknown-04",
            "Instance",
            np.where((day == 9) | (day == 10), 20.0, 0),
            "Rented GPUs",
        ),
        ("block-storage", "vol-unknown", "Volume group", 20_000 * part_of_month, "Storage"),
        ("egress-internet", "gw-unknown", "Gateway", 220 * rng.normal(1, 0.1, len(day)), "Network"),
    ):
        add_usage(ledger, make_line(sku, SHARED, {}, (resource, kind), category), units)


def _other_line(
    account: str, category: str, text: str, frequency: str, service: tuple[str, str, str], **extra: str
) -> Line:
    # What the shared sub-account owes beside its nodes is the platform team's.
    project = "platform" if account == SHARED else account
    columns = (
        account_columns(account)
        | {
            "ChargeCategory": category,
            "ChargeDescription": f"{text} (generated)",
            "ChargeFrequency": frequency,
            "ServiceName": service[0],
            "ServiceCategory": service[1],
            "ServiceSubcategory": service[2],
            "Tags": f'{{"project":"{project}"}}',
        }
        | extra
    )
    return Line(columns, account, project, "Tax and support")


def settle(ledger: Ledger, charges: pd.DataFrame, months: list[int]) -> pd.DataFrame:
    """Return the charges of some months with support, credits and tax, which follow from the rest.

    Support is 3 % of what is billed without prepayments, to the cent; tax 2 % of the sum of all.
    """
    lines = ledger.lines
    closing = Ledger(ledger.window)
    accounts = np.array([line.account for line in lines])[charges["line"]]
    upfront = np.array([line.columns["ChargeFrequency"] == "One-Time" for line in lines])[charges["line"]]
    support = ("Example Support", "Management and Governance", "Support")
    for month in months:
        start, end = ledger.window.edges[month : month + 1], ledger.window.edges[month + 1 : month + 2]
        name = ledger.window.months[month]
        for account in (*PROJECTS, SHARED):
            here = (charges["month"] == month).to_numpy() & (accounts == account)
            base = {m: int(charges[m].to_numpy()[here].sum()) for m in MONEY}
            fee = int(charges["billed"].to_numpy()[here & ~upfront].sum()) * SUPPORT_PER_CENT // 10**10 * 10**8
            fee_plan = base["plan"] * SUPPORT_PER_CENT // 10**10 * 10**8
            price = fee // 10**4
            closing.add(
                _other_line(
                    account,
                    "Purchase",
                    "Business support",
                    "Recurring",
                    support,
                    PricingCategory="Standard",
                    PricingUnit="Months",
                    SkuId="support-business",
                    SkuPriceId="support-business/Standard",
                    SkuMeter="Support",
                ),
                start,
                end,
                quantity=QUANTUM,
                list_price=price,
                contract_price=price,
                billed=fee,
                plan=fee_plan,
            )
            credit = 0
            if account in CREDITS and CREDITS[account][1] <= name <= CREDITS[account][2]:
                credit = -CREDITS[account][0] * 10**10
                closing.add(
                    _other_line(account, "Credit", "Promotional credit", "One-Time", support),
                    start,
                    end,
                    billed=credit,
                )
            owed = {m: (base[m] + (fee_plan if m == "plan" else fee) + credit) * TAX_PER_CENT // 100 for m in MONEY}
            closing.add(
                _other_line(account, "Tax", "Tax of 2 %", "Recurring", ("Tax", "Other", "Other (Other)")),
                start,
                end,
                **owed,
            )
    extra = closing.charges()
    extra["line"] += len(lines)
    ledger.lines = lines + closing.lines
    rows = pd.concat([charges[charges["month"].isin(months)], extra], ignore_index=True)
    return rows.sort_values(["month", "start", "line"], kind="stable", ignore_index=True)


def restate(ledger: Ledger, daily: pd.DataFrame, month: int) -> pd.DataFrame:
    """Return a month as restated: 3 % off on-demand H100, and the support and tax that follow from it."""
    rows = daily[daily["month"] == month].copy()
    late = np.array([line.columns.get("SkuPriceId") == "gpu-h100-8x/Standard" for line in ledger.lines])[rows["line"]]
    rows.loc[late, "contract_price"] = np.round(rows.loc[late, "contract_price"] * LATE_DISCOUNT).astype(np.int64)
    cost = rows["quantity"] * rows["contract_price"]
    for column in ("billed", "effective", "contracted"):
        rows.loc[late, column] = cost[late]
    return settle(ledger, rows, [month])


def make_bill(
    rng: np.random.Generator, log: pd.DataFrame, window: Window
) -> tuple[pd.DataFrame, pd.DataFrame | None, list[Line]]:
    """Return the bill, the restated month (None outside the window) and the lines of both."""
    ledger = Ledger(window)
    found = events_in(window)
    add_cluster(ledger, log)
    add_upfront(ledger)
    add_own(rng, ledger)
    add_untagged(rng, ledger)
    if "idle-reservation" in found:
        add_idle_reservation(ledger)
    if "vision-overrun" in found:
        add_overrun(ledger)
    daily = ledger.charges()
    charges = settle(ledger, daily, list(range(len(window.months))))
    restated = None
    if "restated-month" in found:
        restated = restate(ledger, daily, window.months.index(EVENTS["restated-month"].start[:7]))
    return charges, restated, ledger.lines
