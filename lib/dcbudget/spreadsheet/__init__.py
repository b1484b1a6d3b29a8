"""The budget as a spreadsheet: written for a finance department to edit, and read when it hands it back.

A sheet a currency holds the lines (project and category down, months across), a row and a column of totals, and the
totals of each project, all as formulas that carry their values. Lines may be changed, inserted and deleted; headings
stay. The sheet Drivers says what the amounts stand on, the sheet About which plan version was exported.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import NamedTuple

CENT = Decimal("0.01")
# A binary number that stands for whole cents is at most so far from them.
NOISE = Decimal("0.000001")
# Beyond it an amount does not fit the database.
LARGEST_AMOUNT = Decimal(10) ** 13
SHEET, DRIVERS, ABOUT = "Budget", "Drivers", "About"
PROJECT, CATEGORY, TOTAL, CURRENCY = "Project", "Category", "Total", "Currency"
TOTAL_OF = f"{TOTAL} of "


class Line(NamedTuple):
    """One budget line."""

    month: date
    project: str
    category: str
    amount: Decimal
    currency: str
    driver: str | None = None


def tidy(text: str) -> str:
    """A name without spaces around it, and one between its words."""
    return " ".join(text.split())


def months_between(first: date, last: date) -> Iterator[date]:
    """The first days of the months from one to another, both included."""
    for number in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        yield date(number // 12, number % 12 + 1, 1)
