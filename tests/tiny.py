"""Tiny databases whose numbers can be worked out by hand, loaded from files as a user loads them."""

import csv
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from dcbudget import warehouse
from dcbudget.ingest.load import load

ACCT = "JobID|User|Account|Cluster|Partition|State|Submit|Start|End|Elapsed|AllocTRES|TRESUsageInAve"
FLEET = {
    "asset_id": "srv-1", "kind": "server", "cluster": "hall", "gpu_model": "H100", "gpus_per_unit": "4", "units": "2",
    "description": "GPU server", "purchase_date": "2025-12-20", "in_service_date": "2026-01-16", "retire_date": "",
    "life_months": "3", "purchase_price": "1000.01", "residual_value": "100", "currency": "USD",
    "nameplate_kw": "10", "power_fraction": "0.5", "measured_kw": "", "pue": "1.3", "tariff_per_kwh": "0.1",
    "heat_credit_per_kwh": "0.02", "staff_cost_per_month": "30", "space_cost_per_month": "20",
}  # fmt: skip
RULES = [
    {"assign": "project", "field": "tag:project", "pattern": "*", "value": "{value}"},
    {"assign": "project", "field": "account", "pattern": "a-*", "value": "alpha"},
    {"assign": "project", "field": "account", "pattern": "b-*", "value": "beta"},
    {"assign": "cluster", "field": "tag:cluster", "pattern": "*", "value": "{value}"},
]


def write(path: Path, rows: list[dict]) -> Path:
    """A CSV file with the columns of all rows."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def charge(what: str, effective: str, billed: str | None = None, start="2026-05-01", end="2026-06-01", **more) -> dict:
    """One FOCUS charge; `gpus` = (model, GPUs of an instance, instance-hours), `tags` as JSON text."""
    month = datetime.fromisoformat(start).replace(day=1)
    after = (month + timedelta(days=32)).replace(day=1)
    gpus = more.pop("gpus", None)
    row = {
        "BilledCost": billed or effective, "EffectiveCost": effective, "ListCost": effective,
        "ContractedCost": effective, "BillingAccountId": "acct", "BillingAccountName": "Main",
        "BillingCurrency": "USD", "BillingPeriodStart": f"{month:%Y-%m-%d}T00:00:00Z",
        "BillingPeriodEnd": f"{after:%Y-%m-%d}T00:00:00Z", "ChargeCategory": "Usage", "ChargeClass": "",
        "ChargeDescription": what, "ChargePeriodStart": f"{start}T00:00:00Z", "ChargePeriodEnd": f"{end}T00:00:00Z",
        "InvoiceIssuerName": "Cloud", "ProviderName": "Cloud", "PublisherName": "Cloud", "PricingQuantity": "1",
        "PricingUnit": "Hours", "ConsumedQuantity": "", "ConsumedUnit": "", "ServiceCategory": "Compute",
        "ServiceName": "Servers", "ResourceId": what, "Tags": more.pop("tags", ""), "SkuPriceDetails": "",
        "CommitmentDiscountId": "", "CommitmentDiscountStatus": "",
    }  # fmt: skip
    if gpus:
        model, count, hours = gpus
        row |= {"ConsumedQuantity": hours, "ConsumedUnit": "Hours"}
        row["SkuPriceDetails"] = f'{{"GpuCount":{count},"x_GpuModel":"{model}"}}'
    return row | more


def egress(month: str, amount: str, project="alpha", **more) -> dict:
    """A project's own network charge of a month, YYYY-MM."""
    year, number = map(int, month.split("-"))
    end = f"{year + number // 12}-{number % 12 + 1:02}-01"
    return charge(f"egress {project} {amount}", amount, start=f"{month}-01", end=end, ServiceCategory="Networking",
                  tags=f'{{"project":"{project}"}}', **more)  # fmt: skip


def job(
    number: int, account: str, cluster: str, model: str, gpus: int, submit: str, start: str, end: str, **more
) -> str:
    """One line of sacct, its batch step behind it where `used` (per cent) is given; no user unless one is named."""
    state, used = more.get("state", "COMPLETED"), more.get("used")
    tres = f"cpu=8,gres/gpu:{model}={gpus},gres/gpu={gpus}" if gpus else "cpu=8"
    elapsed = "00:00:00"
    if start != "Unknown":
        until = datetime.fromisoformat(more.get("until", end))
        days, seconds = divmod(int((until - datetime.fromisoformat(start)).total_seconds()), 86400)
        elapsed = f"{days}-{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    partition, user = more.get("partition", "gpu"), more.get("user", "")
    lines = [f"{number}|{user}|{account}|{cluster}|{partition}|{state}|{submit}|{start}|{end}|{elapsed}|{tres}|"]
    if used is not None:
        lines.append(
            f"{number}.batch||{account}|{cluster}||{state}|{start}|{start}|{end}|{elapsed}||gres/gpuutil={used}"
        )
    return "\n".join(lines)


def write_jobs(path: Path, jobs: list[str]) -> Path:
    path.write_text("\n".join([ACCT, *jobs]) + "\n", encoding="utf-8")
    return path


def budget(
    month: str, project: str, category: str, amount: str, plan="2026", status="approved", currency="USD"
) -> dict:
    return {"plan_version": plan, "status": status, "month": f"{month}-01", "project": project,
            "category": category, "amount": amount, "currency": currency}  # fmt: skip


# Two clusters, two projects, jobs over midnight and month's end; worked by hand in test_marts.py.
CHARGES = [
    charge("east nodes", "1000.000000000007", "900", gpus=("H100", 1, 100), tags='{"cluster":"east"}'),
    charge(
        "east nodes in June",
        "480",
        start="2026-06-01",
        end="2026-07-01",
        gpus=("H100", 8, 6),
        tags='{"cluster":"east"}',
    ),
    charge("west nodes", "400", gpus=("A100", 8, 20), tags='{"cluster":"west"}'),
    charge(
        "west reserved",
        "40",
        "0",
        gpus=("A100", 8, 3),
        tags='{"cluster":"west"}',
        CommitmentDiscountId="ri-1",
        CommitmentDiscountStatus="Used",
        PricingCategory="Committed",
    ),
    charge(
        "west reserved, unused",
        "60",
        "0",
        gpus=("A100", 8, 2),
        tags='{"cluster":"west"}',
        ConsumedQuantity="",
        ConsumedUnit="",
        CommitmentDiscountQuantity="2",
        CommitmentDiscountUnit="Hours",
        CommitmentDiscountId="ri-1",
        CommitmentDiscountStatus="Unused",
        PricingCategory="Committed",
    ),
    charge(
        "east disks",
        "50",
        ServiceCategory="Storage",
        ServiceName="Disks",
        tags='{"cluster":"east"}',
        ConsumedQuantity="5",
        ConsumedUnit="GB-Months",
    ),
    charge(
        "egress",
        "7.25",
        "7.5",
        ListCost="9",
        ContractedCost="8",
        ServiceCategory="Networking",
        ServiceName="Egress",
        tags='{"project":"alpha"}',
        start="2026-05-03",
        end="2026-05-04",
    ),
    charge(
        "beta's own node", "12", gpus=("L4", 1, 24), tags='{"project":"beta"}', start="2026-05-03", end="2026-05-04"
    ),
    charge("tax", "3.33", ChargeCategory="Tax"),
]
JOBS = [
    job(1, "a-x", "east", "h100", 2, "2026-05-10T21:00:00", "2026-05-10T22:00:00", "2026-05-11T03:00:00", used=50),
    job(2, "b-x", "east", "h100", 1, "2026-05-31T10:00:00", "2026-05-31T12:00:00", "2026-06-02T00:00:00"),
    job(
        3, "c-x", "west", "a100", 4, "2026-05-02T00:00:00", "2026-05-02T00:00:00", "2026-05-02T10:00:00", state="FAILED"
    ),
    job(4, "a-x", "east", "", 0, "2026-05-02T00:00:00", "2026-05-02T05:00:00", "2026-05-02T06:00:00"),
    job(5, "a-x", "east", "h100", 1, "2026-05-02T00:00:00", "Unknown", "Unknown", state="PENDING"),
]
BUDGET = [
    budget("2026-05", "beta", "Rented GPUs", "100"),
    budget("2026-06", "beta", "Rented GPUs", "300"),
    budget("2026-05", "gamma", "Storage", "20"),
]


@cache
def blank() -> bytes:
    """A database without data; making its views takes longer than loading a tiny file."""
    with TemporaryDirectory() as folder:
        with warehouse.connect(Path(folder) / "blank.duckdb", write=True):
            pass
        return (Path(folder) / "blank.duckdb").read_bytes()


def make(
    folder: Path, *, charges=None, jobs=None, fleet=None, tariffs=None, readings=None, plan=None, rules=RULES
) -> Path:
    """A database of what is given, loaded from files in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    tables = {"rules": rules, "bill": charges, "fleet": fleet, "tariffs": tariffs, "power": readings, "budget": plan}
    for name, rows in tables.items():
        if rows:
            files.append(write(folder / f"{name}.csv", rows))
    if jobs:
        files.append(write_jobs(folder / "jobs.txt", jobs))
    db = folder / "budget.duckdb"
    db.write_bytes(blank())
    results = load(files, db)
    bad = [result for result in results if result.status != "loaded" or result.rows_rejected]
    assert not bad, bad
    return db


def make_world(folder: Path) -> Path:
    """The two clusters with bill, jobs and budget."""
    return make(folder, charges=CHARGES, jobs=JOBS, plan=BUDGET)


def rows(db: Path, statement: str) -> list[tuple]:
    with warehouse.connect(db) as con:
        return con.execute(statement).fetchall()


def shown(frame: pd.DataFrame, *columns: str) -> list[tuple]:
    """The rows of a frame's columns: null as None, floats without the last bits (DuckDB's doubles of decimals)."""
    return [tuple(plain(value) for value in row) for row in frame[list(columns)].itertuples(index=False, name=None)]


def plain(value):
    if pd.isna(value):
        return None
    return round(value, 9) if isinstance(value, float) else value
