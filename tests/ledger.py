"""What the sample's fleet costs in a month, worked out from its files without the library."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo


def table(path: Path) -> list[dict]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def in_service(folder: Path, month: str) -> Iterator[tuple[dict, Decimal]]:
    """(asset, effective cost) of each batch in service in a month, of all its units: depreciation, power, upkeep."""
    first = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)
    hours = ((first + timedelta(days=32)).replace(day=1) - first) // timedelta(hours=1)
    read = {row["asset_id"]: Decimal(row["kwh"]) for row in table(folder / "fleet/power_readings.csv")
            if row["month"] == f"{month}-01"}  # fmt: skip
    for asset in table(folder / "fleet/fleet.csv"):
        start = datetime.fromisoformat(asset["in_service_date"])
        age = (first.year - start.year) * 12 + first.month - start.month
        if age < 0:
            continue
        number = {name: Decimal(text) for name, text in asset.items() if text.replace(".", "").isdigit()}
        value = accumulated(number, asset["depreciation"], age + 1) - accumulated(number, asset["depreciation"], age)
        kw = number["units"] * number.get("measured_kw", number["nameplate_kw"] * number["power_fraction"])
        kwh = read.get(asset["asset_id"], kw * hours)
        price = mean_price(folder, asset["tariff"], first, hours) if asset["tariff"] else number["tariff_per_kwh"]
        power = kwh * (number["pue"] * price - number["heat_credit_per_kwh"])
        upkeep = number["units"] * (number["staff_cost_per_month"] + number["space_cost_per_month"])
        yield asset, value + power.quantize(Decimal("0.01")) + upkeep


def accumulated(number: dict[str, Decimal], method: str, months: int) -> Decimal:
    """Depreciation of a batch in its first months, in cents."""
    book = (number["purchase_price"] + number.get("interconnect_price", 0)) * number["units"]
    rest, life, lost = number["residual_value"] * number["units"], int(number["life_months"]), Decimal(0)
    for month in range(min(months, life)):
        charge = (book - rest) / (life - month)
        if method == "declining":
            charge = max(charge, min(book * number["declining_rate"] / 12, book - rest))
        book, lost = book - charge, lost + charge
    return lost.quantize(Decimal("0.01"))


@cache
def mean_price(folder: Path, tariff: str, first: datetime, hours: int) -> Decimal:
    """Mean over a month's hours of the price at each local hour."""
    lines = [line for line in table(folder / "fleet/tariffs.csv") if line["tariff"] == tariff]
    total = Decimal(0)
    for hour in range(hours):
        local = (first + timedelta(hours=hour)).astimezone(ZoneInfo(lines[0]["timezone"]))
        since = max(line["effective_from"] for line in lines if line["effective_from"] <= local.date().isoformat())
        here = [line for line in lines if line["effective_from"] == since and covers(line, local)]
        # a price of weekdays goes before one of every day
        total += Decimal(max(here, key=lambda line: line["days"])["price_per_kwh"])
    return total / hours


def covers(line: dict, local: datetime) -> bool:
    first, last = int(line["from_hour"]), int(line["to_hour"])
    within = first <= local.hour < last if first < last else not last <= local.hour < first
    return within and (not line["days"] or (line["days"] == "weekend") == (local.weekday() > 4))
