"""Reads a spreadsheet that a finance department edited and handed back.

Every cell that cannot be taken and every total that is not the sum of its lines is named as `Sheet!A1`.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from itertools import product
from pathlib import Path

import openpyxl
from openpyxl.utils import get_column_letter

from dcbudget.errors import BudgetDoesNotTie, UnreadableFile
from dcbudget.spreadsheet import (
    ABOUT,
    CATEGORY,
    CENT,
    CURRENCY,
    DRIVERS,
    LARGEST_AMOUNT,
    NOISE,
    PROJECT,
    SHEET,
    TOTAL,
    TOTAL_OF,
    Line,
    months_between,
    tidy,
)

# Totals that are shown as the same cent tie.
TOLERANCE = CENT / 2 + NOISE
UNKNOWN = Decimal("nan")
NOTES = ("note", "notes", "comment", "comments", "remark", "remarks")
NOTHING = ("", "-", "–", "—")
# How far down a sheet its headings may have moved.
ROWS_BEFORE_HEADINGS = 50
# 1,234.50 or 1234.5; 1.234,50 or 1234,5; and what may be either.
POINT = re.compile(r"-?(\d{1,3}(,\d{3})+|\d+)(\.\d*)?")
COMMA = re.compile(r"-?(\d{1,3}(\.\d{3})+|\d+),\d{1,2}")
EITHER = re.compile(r"-?\d{1,3}\.\d{3}")


@dataclass(frozen=True)
class Returned:
    """What a spreadsheet that was handed back says.

    Attributes
    ----------
    lines : in cents.
    plan_version, mark : the version that was exported and what its lines were; empty where the sheet About is gone.
    remarks : what was rounded or could not be compared, one sentence each.
    """

    lines: list[Line]
    plan_version: str
    mark: str
    remarks: list[str]


@dataclass
class Cells:
    """The values of one sheet by row and column, from 1; what is wrong with them is gathered in `faults`."""

    name: str
    values: dict[tuple[int, int], object]
    formulas: set[tuple[int, int]]
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.columns: dict[int, list[int]] = defaultdict(list)
        for row, column in sorted(self.values.keys() | self.formulas):
            self.columns[row].append(column)

    def at(self, row: int, column: int) -> str:
        """Where a cell is, as spreadsheets write it."""
        name = self.name if self.name.isalnum() else "'{}'".format(self.name.replace("'", "''"))
        return f"{name}!{get_column_letter(column)}{row}"

    def fault(self, row: int, column: int, what: str) -> None:
        self.faults.append(f"{self.at(row, column)}: {what}")

    def text(self, row: int, column: int) -> str:
        """A cell as a name; numbers as they are written."""
        value = self.values.get((row, column))
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return "" if value is None else tidy(str(value))

    def amount(self, row: int, column: int, currency: str) -> Decimal | None:
        """A cell as money: None where it is empty, and UNKNOWN, a fault, where it is nothing of the kind."""
        value = self.values.get((row, column))
        if value is None or (isinstance(value, str) and tidy(value) in NOTHING):
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            found, wrong = Decimal(repr(value)), ""
        elif isinstance(value, str):
            found, wrong = _amount_of(value, currency)
        else:
            found, wrong = UNKNOWN, f"{value} is no amount"
        if not wrong and abs(found) >= LARGEST_AMOUNT:
            found, wrong = UNKNOWN, f"{value} is too large for an amount"
        if wrong:
            self.fault(row, column, wrong)
        return found


class Sheet:
    """The lines of one sheet.

    Attributes
    ----------
    currency : of its amounts.
    months : column -> month.
    keys : row -> project and category.
    amounts : (row, column) -> amount, UNKNOWN where the cell has a fault.
    untied : the totals that are not the sums of their lines.
    empty_totals : how many totals say nothing.
    """

    def __init__(self, cells: Cells, currency: str, months: list[date]):
        self.cells = cells
        self.months: dict[int, date] = {}
        self.keys: dict[int, tuple[str, str]] = {}
        self.amounts: dict[tuple[int, int], Decimal] = {}
        self.untied: list[str] = []
        self.empty_totals = 0
        self.total_column = 0
        self.sound = True
        self.headings = next((row for row in range(1, ROWS_BEFORE_HEADINGS)
                              if [cells.text(row, 1), cells.text(row, 2)] == [PROJECT, CATEGORY]), 0)  # fmt: skip
        self.currency = self._currency(currency)
        if self.headings:
            self._read_headings(months)
            totals = self._read_rows()
            if self.sound:
                self._compare_totals(totals)
        else:
            self._refuse(1, 1, f"no row of this sheet begins with {PROJECT} and {CATEGORY}")

    def lines(self) -> Iterator[Line]:
        """Its lines, amounts as they stand in the cells."""
        for (row, column), amount in self.amounts.items():
            yield Line(self.months[column], *self.keys[row], amount, self.currency)

    def _refuse(self, row: int, column: int, what: str) -> None:
        """A fault for which lines are missing, so that no total would tie."""
        self.cells.fault(row, column, what)
        self.sound = False

    def _currency(self, exported: str) -> str:
        cells = self.cells
        row = next((row for row in range(1, self.headings) if cells.text(row, 1) == CURRENCY), 0)
        found = cells.text(row, 2)
        if not row or not re.fullmatch("[A-Z]{3}", found):
            self._refuse(row or 1, 2, f"the currency must be a code such as USD, not {found!r}")
        elif exported and found != exported:
            self._refuse(row, 2, f"the currency is {found}; {exported} was exported")
        return found

    def _read_headings(self, exported: list[date]) -> None:
        cells, row, place = self.cells, self.headings, 0
        for column in cells.columns[row]:
            text = cells.text(row, column)
            if column < 3 or text.lower() in ("", *NOTES):
                continue
            if text == TOTAL and not self.total_column:
                self.total_column = column
                continue
            month, wrong = _month_of(cells.values[row, column])
            if wrong:
                self._refuse(row, column, wrong)
            elif exported and exported[place : place + 1] != [month]:
                instead = (
                    f"{exported[place]:%Y-%m} was exported here" if place < len(exported) else "it was not exported"
                )
                self._refuse(row, column, f"the month is {month:%Y-%m}; {instead}")
            elif month in self.months.values():
                self._refuse(row, column, f"the month {month:%Y-%m} is there twice")
            else:
                self.months[column] = month
            place += 1
        for month in exported[place:]:
            self._refuse(row, cells.columns[row][-1], f"the month {month:%Y-%m}, which was exported, is gone")

    def _read_rows(self) -> dict[int, str | None]:
        """Take in the lines; the rows of totals, with their projects."""
        cells, totals, seen = self.cells, {}, {}
        for row in sorted(row for row in cells.columns if row > self.headings):
            project, category = key = cells.text(row, 1), cells.text(row, 2)
            amounts = [column for column in cells.columns[row] if column in self.months]
            if project == TOTAL and not category:
                totals[row] = None
            elif project.startswith(TOTAL_OF) and not category:
                totals[row] = project.removeprefix(TOTAL_OF)
            elif not project and not category:
                for column in amounts:
                    self._refuse(row, column, "an amount without a project and a category")
            elif not project or not category:
                if project and not amounts:  # a remark
                    continue
                self._refuse(row, 2 if project else 1, f"the {'category' if project else 'project'} is empty")
            elif key in seen:
                self._refuse(row, 1, f"{project}, {category} stands in {cells.at(seen[key], 1)} already")
            else:
                seen[key] = row
                self._read_line(row, key)
        return totals

    def _read_line(self, row: int, key: tuple[str, str]) -> None:
        cells = self.cells
        self.keys[row] = key
        for column in cells.columns[row]:
            value = cells.values.get((row, column))
            if column in self.months:
                if value is None:
                    cells.fault(row, column, "the formula has no value; save the file in a spreadsheet program first")
                    self.amounts[row, column] = UNKNOWN
                elif (amount := cells.amount(row, column, self.currency)) is not None:
                    self.amounts[row, column] = amount
            elif column > 2 and not cells.text(self.headings, column) and isinstance(value, int | float):
                cells.fault(row, column, f"{value} stands in a column without a heading")

    def _compare_totals(self, totals: dict[int, str | None]) -> None:
        sums: dict[tuple, Decimal] = defaultdict(Decimal)
        texts: dict[tuple, list[str]] = defaultdict(list)
        for (row, column), amount in self.amounts.items():
            for key in product((row, self.keys[row][0], None), (column, self.total_column)):
                sums[key] += amount
                if isinstance(self.cells.values.get((row, column)), str):
                    texts[key].append(self.cells.at(row, column))

        def compare(row: int, column: int, what: str, parts: str, of: int | str | None) -> None:
            said = self.cells.amount(row, column, self.currency) if column else UNKNOWN
            if said is None:
                self.empty_totals += 1
            elif abs(said - sums[of, column]).compare(TOLERANCE) == 1:  # nothing compares with UNKNOWN
                found = sums[of, column]
                told = f"{what} says {said:,.2f}, {parts} sum to {found:,.2f}: {said - found:+,.2f}"
                if lacking := ", ".join(texts[of, column]):
                    told += f" ({lacking}: text, which a spreadsheet does not add)"
                self.untied.append(f"{self.cells.at(row, column)}: {told}")

        for row, (project, category) in self.keys.items():
            compare(row, self.total_column, f"the total of {project}, {category}", "its months", row)
        for row, project in totals.items():
            of = f" of {project}" if project else ""
            for column, month in self.months.items():
                compare(row, column, f"the total{of} in {month:%Y-%m}", "its lines", project)
            compare(row, self.total_column, f"the total{of}", "its lines", project)


def read(path: Path) -> Returned:
    """Read a spreadsheet that `write` made and others edited.

    Raises
    ------
    BudgetDoesNotTie : totals that are not the sums of their lines, every one.
    UnreadableFile : no such file, or cells that cannot be taken, every one.
    """
    book = _open(path)
    about, exported = _read_about(book.get(ABOUT))
    added = {name: "" for name in book if re.fullmatch(f"{SHEET}( [A-Z]{{3}})?", name) and name not in exported}
    if missing := [name for name in (exported or added or [SHEET]) if name not in book]:
        raise UnreadableFile(f"{path.name}: there is no sheet {missing[0]}")
    months = list(months_between(about["First month"], about["Last month"])) if about else []
    sheets = [Sheet(book[name], currency, months) for name, currency in {**exported, **added}.items()]
    given = [line for sheet in sheets for line in sheet.lines()]
    drivers = _drivers(book[DRIVERS]) if DRIVERS in book else {}
    lines = [line._replace(amount=line.amount.quantize(CENT), driver=_driver(drivers, line))
             for line in given if line.amount.is_finite()]  # fmt: skip
    faults = [fault for cells in book.values() for fault in cells.faults]
    untied = [place for sheet in sheets for place in sheet.untied]
    if faults:
        raise UnreadableFile(
            "\n  ".join(
                [f"{path.name}: {_count(len(faults), 'cell')} cannot be taken; nothing is saved", *faults, *untied]
            )
        )
    if untied:
        tie = "does not tie" if len(untied) == 1 else "do not tie"
        raise BudgetDoesNotTie(f"{path.name}: {_count(len(untied), 'total')} {tie}; nothing is saved", untied)
    if not lines:
        raise UnreadableFile(f"{path.name}: there is no amount in it")
    remarks = [f"the sheet {name} is not read" for name in book
               if name.startswith(SHEET) and name not in {**exported, **added}]  # fmt: skip
    drift = [line.amount - before.amount for line, before in zip(lines, given, strict=True)]
    if rounded := sum(abs(cents) > NOISE for cents in drift):
        remarks.append(f"{_count(rounded, 'amount')} rounded to the cent, {sum(drift):+z.2f} together")
    if empty := sum(sheet.empty_totals for sheet in sheets):
        remarks.append(f"{_count(empty, 'total')} without a value, not compared with the lines")
    if DRIVERS not in book:
        remarks.append(f"the sheet {DRIVERS} is gone, and with it what the amounts stand on")
    return Returned(lines, about.get("Plan version", ""), about.get("Mark of its lines", ""), remarks)


def _open(path: Path) -> dict[str, Cells]:
    """Every sheet: the values that formulas had when the file was saved, and which cells are formulas."""
    if path.suffix.lower() != ".xlsx":
        raise UnreadableFile(f"{path.name}: a budget is read from .xlsx; save it as that")
    if not path.is_file():
        raise UnreadableFile(f"{path}: no such file")
    try:
        values, formulas = _sheets(path, data_only=True), _sheets(path, data_only=False)
    except Exception as error:  # a damaged archive or document raises what it likes
        raise UnreadableFile(f"{path.name} is no spreadsheet that can be read ({error})") from None
    return {
        name: Cells(
            name,
            {place: value for place, (value, _) in cells.items() if value is not None},
            {place for place, (_, kind) in formulas[name].items() if kind == "f"},
        )
        for name, cells in values.items()
    }


def _sheets(path: Path, data_only: bool) -> dict[str, dict[tuple[int, int], tuple[object, str]]]:
    """sheet -> row and column -> value and openpyxl's kind of it."""
    with closing(openpyxl.load_workbook(path, read_only=True, data_only=data_only)) as book:
        found = {}
        for sheet in book.worksheets:
            sheet.reset_dimensions()
            found[sheet.title] = {
                (row, column): (cell.value, cell.data_type)
                for row, cells in enumerate(sheet.iter_rows(), 1)
                for column, cell in enumerate(cells, 1)
                if cell.value is not None
            }
        return found


def _read_about(cells: Cells | None) -> tuple[dict, dict[str, str]]:
    """What the sheet About says of the export, and the currency of every sheet; empty where it is gone."""
    if cells is None:
        return {}, {}
    rows = {cells.text(row, 1): row for row in cells.columns}
    about = {name: cells.text(rows.get(name, 0), 2) for name in ("Plan version", "Mark of its lines")}
    months = {
        name: _month_of(cells.values.get((rows.get(name, 0), 2), ""))[0] for name in ("First month", "Last month")
    }
    sheets, row = {}, rows.get("Sheet", 0) + 1
    while row > 1 and cells.text(row, 1):
        sheets[cells.text(row, 1)] = cells.text(row, 2)
        row += 1
    return (about | months, sheets) if sheets and None not in months.values() else ({}, {})


def _drivers(cells: Cells) -> dict[tuple[str, str], list[tuple]]:
    """Project and category -> currency, first and last month, driver."""
    found = defaultdict(list)
    for row in (row for row in cells.columns if row > 1):
        span = []
        for column in (4, 5):
            month, wrong = _month_of(cells.values[row, column]) if cells.text(row, column) else (None, "")
            span.append(month)
            if wrong:
                cells.fault(row, column, wrong)
        found[cells.text(row, 1), cells.text(row, 2)].append((cells.text(row, 3), *span, cells.text(row, 6)))
    return found


def _driver(drivers: dict[tuple[str, str], list[tuple]], line: Line) -> str | None:
    """What a line stands on; where several rows speak of it, the last."""
    rows = drivers.get((line.project, line.category), ())
    said = [
        text
        for currency, first, last, text in rows
        if currency in ("", line.currency) and (first or line.month) <= line.month <= (last or line.month)
    ]
    return (said[-1] or None) if said else None


def _amount_of(text: str, currency: str) -> tuple[Decimal, str]:
    """The number that a text spells, and what is wrong with it."""
    bare = re.sub(r"[\s'’]", "", text.replace(currency, "") if currency else text).replace("−", "-")
    if re.fullmatch(r"\([^-]+\)", bare):
        bare = f"-{bare[1:-1]}"
    if EITHER.fullmatch(bare):
        return UNKNOWN, f"{text!r} may be two amounts; type it as a number"
    if POINT.fullmatch(bare):
        return Decimal(bare.replace(",", "")), ""
    if COMMA.fullmatch(bare):
        return Decimal(bare.replace(".", "").replace(",", ".")), ""
    return UNKNOWN, f"{text!r} is no amount"


def _month_of(value) -> tuple[date | None, str]:
    """The month that a cell names, and what is wrong with it."""
    found = value if isinstance(value, datetime) else None
    for form in () if found else ("%Y-%m", "%Y-%m-%d", "%b %Y", "%B %Y"):
        try:
            found = datetime.strptime(tidy(str(value)), form)
        except ValueError:
            continue
    if found is None:
        return None, f"{tidy(str(value))!r} is no month, such as 2026-01"
    if found.day != 1:
        return None, f"{found:%Y-%m-%d} is not the first day of a month"
    return date(found.year, found.month, 1), ""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
