"""Small FOCUS files for tests of loading, and what a test asks of a load."""

import csv
import io
import re
import shutil
import tempfile
from decimal import Decimal, localcontext
from functools import cache
from pathlib import Path

from dcbudget import privacy, warehouse
from dcbudget.ingest.load import FileResult, load
from dcbudget.ingest.plan import Options

# What loading itself has to keep; the other checks are about marts.
CHECKS = (
    "charges_counted_once", "charges_match_loads", "jobs_counted_once", "jobs_in_order",
    "money_conserved", "rejects_counted", "rows_conserved",
)  # fmt: skip


def charge(number: int = 0, **changes: str) -> dict[str, str]:
    """One charge of May 2026; another number is another charge."""
    return {
        "BilledCost": f"{number + 1}.000000000001",
        "BillingAccountId": "acct-1",
        "BillingAccountName": "Main",
        "BillingCurrency": "USD",
        "BillingPeriodEnd": "2026-06-01T00:00:00Z",
        "BillingPeriodStart": "2026-05-01T00:00:00Z",
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeDescription": "GPU server",
        "ChargePeriodEnd": f"2026-05-{number % 28 + 1:02}T01:00:00Z",
        "ChargePeriodStart": f"2026-05-{number % 28 + 1:02}T00:00:00Z",
        "ContractedCost": "2",
        "EffectiveCost": f"{number}.5",
        "InvoiceIssuerName": "Cloud",
        "ListCost": "3",
        "PricingQuantity": "1",
        "PricingUnit": "Hours",
        "ProviderName": "Cloud",
        "PublisherName": "Cloud",
        "ServiceCategory": "Compute",
        "ServiceName": "Servers",
        "ConsumedQuantity": "1",
        "ResourceId": f"server-{number}",
        "Tags": '{"team": "a"}',
        **changes,
    }


def charges(count: int, first: int = 0, **changes: str) -> list[dict[str, str]]:
    return [charge(number, **changes) for number in range(first, first + count)]


def focus_text(rows: list[dict[str, str]], delimiter: str = ",", newline: str = "\n") -> str:
    """A CSV file; the first row's fields are the header."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator=newline)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def write_focus(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> Path:
    path.write_text(focus_text(rows, delimiter), encoding="utf-8", newline="")
    return path


@cache
def empty_database() -> tuple[Path, tempfile.TemporaryDirectory]:
    """A database without a row or a key, and its folder; a copy of it is made sooner than a new one."""
    folder = tempfile.TemporaryDirectory(prefix="dcbudget-")
    path = Path(folder.name) / "empty.duckdb"
    with warehouse.connect(path, write=True):
        pass
    return path, folder


def load_one(path: Path, db: Path, format_name: str | None = None, **options) -> FileResult:
    if not db.exists():
        shutil.copy(empty_database()[0], db)
    return load([path], db, format_name=format_name, options=Options(**options))[0]


def ask(db: Path, statement: str) -> list[tuple]:
    with warehouse.connect(db) as con:
        return con.execute(statement).fetchall()


def rejects(db: Path) -> list[tuple]:
    """(line, column, found, reason) of every rejected row."""
    return ask(db, "select line, column_name, found, reason from rejects order by load_id, line")


def pseudonym(db: Path, kind: str, name: str | None) -> str | None:
    """What stands in a database for a user ("u") or a host ("h")."""
    with warehouse.connect(db, write=True) as con:
        return name and privacy.pseudonyms(con, db).of(kind, name)


def masked(found: str | None) -> str | None:
    """What a reject of a job log shows of a text."""
    return found if not found or re.fullmatch("[A-Z_]*", found) else re.sub("[a-zA-Z]", "x", found)


def held(db: Path) -> set[str]:
    """The resources that are charged for."""
    return {row[0] for row in ask(db, "select ResourceId from charges")}


def billed(rows: list[dict[str, str]]) -> Decimal:
    with localcontext(prec=60):
        return sum((Decimal(row["BilledCost"]) for row in rows), Decimal(0))


def assert_conserved(result: FileResult, db: Path) -> None:
    """Rows and money are loaded or rejected, and what the database holds is what the result says."""
    assert result.rows_read == result.rows_loaded + result.rows_rejected
    with localcontext(prec=60):
        assert all(cost.read == cost.loaded + cost.rejected for cost in result.cost)
    counts = ", ".join(f"(select count(*) from ({warehouse.sql('checks')[name]}))" for name in CHECKS)
    assert dict(zip(CHECKS, ask(db, f"select {counts}")[0], strict=True)) == {name: 0 for name in CHECKS}


def assert_only_lost(result: FileResult, db: Path, rows: list[dict[str, str]], *lost: int) -> None:
    """Every row but the named ones (by position) is loaded, with its money; those are rejected."""
    kept = [row for position, row in enumerate(rows) if position not in lost]
    assert result.status == "loaded", result.message
    assert result.rows_rejected == len(lost)
    assert ask(db, "select list(ResourceId order by ResourceId), coalesce(sum(BilledCost), 0) from charges") == [
        (sorted(row["ResourceId"] for row in kept) or None, billed(kept))
    ]
    assert_conserved(result, db)
