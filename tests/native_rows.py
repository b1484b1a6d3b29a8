"""Small files of the clouds' own billing formats, and what every test of them asks."""

import csv
import json
from decimal import Decimal, localcontext
from pathlib import Path

import duckdb
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from focus_rows import ask, assert_conserved, load_one

# Texts that a damaged cell may hold.
DAMAGE = st.sampled_from(
    ["", "x", "NULL", "nan", "1e400", "-1e-30", "1_000", "12,5", "{", "[1]", '{"a":', "[{}]", '[{"amount": "x"}]', "'",
     '"', "2026-13-45", "13/45/2023", "0001-01-01", "9" * 40, "a\nb", "true", "\u202e"]
)  # fmt: skip
FEW = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))


def write_csv(path: Path, rows: list[dict[str, str]], encoding: str = "utf-8") -> Path:
    """A CSV file; the header holds every field that a row has."""
    header = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding=encoding, newline="") as stream:
        writer = csv.DictWriter(stream, header, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_json_lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(path: Path, source: Path, select: str) -> Path:
    """What `select` makes of `source`, a CSV or JSON lines file."""
    reading = "read_csv" if source.suffix == ".csv" else "read_json"
    text = ", all_varchar = true" if reading == "read_csv" else ", format = 'newline_delimited'"
    duckdb.sql(f"copy (select {select} from {reading}('{source}'{text})) to '{path}' (format parquet)")
    return path


def load_sound(path: Path, db: Path, format_name: str | None = None):
    """Load a file in which every row is a charge."""
    result = load_one(path, db, format_name)
    assert (result.status, result.rows_rejected) == ("loaded", 0), (result.message, rejected(db))
    assert_conserved(result, db)
    return result


def rejected(db: Path) -> list[tuple]:
    return ask(db, "select line, column_name, found, reason from rejects order by line")


def summed(path: Path, column: str) -> tuple[int, Decimal]:
    """Rows and the sum of a column by Python's csv and Decimal."""
    with path.open(encoding="utf-8-sig", newline="") as stream, localcontext(prec=60):
        values = [Decimal(row[column] or 0) for row in csv.DictReader(stream)]
        return len(values), sum(values, Decimal(0))


def assert_damage_stays_in_its_rows(path: Path, db: Path, rows: list[dict[str, str]], damaged: set[int]) -> None:
    """A file in which only the rows of some positions are damaged loses none of the others, nor any money."""
    result = load_one(write_csv(path, rows), db, overlap="add")
    assert result.status == "loaded", result.message
    assert result.rows_read == len(rows)
    assert_conserved(result, db)
    lost = {line for line, *_ in rejected(db)}
    assert len(lost) <= len(damaged)
    db.unlink()
