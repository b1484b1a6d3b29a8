"""Writes a plan version as a spreadsheet that can be edited and handed back."""

from collections import Counter, defaultdict
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import xlsxwriter
from xlsxwriter.exceptions import FileCreateError
from xlsxwriter.utility import xl_range, xl_range_abs, xl_rowcol_to_cell

from dcbudget.errors import DcbudgetError
from dcbudget.export import SAFE
from dcbudget.spreadsheet import (
    ABOUT,
    CATEGORY,
    CURRENCY,
    DRIVERS,
    LARGEST_AMOUNT,
    PROJECT,
    SHEET,
    TOTAL,
    TOTAL_OF,
    Line,
    months_between,
)

BASIS = "effective cost"
# Rows, from 0.
CURRENCY_ROW, HEADER_ROW, FIRST_ROW = 1, 3, 4
HAND_BACK = (
    "Change the amounts of the sheets of the budget; credits are negative, an empty cell is no line.",
    "Insert new lines above the grey row, with their project and category, and delete those that go.",
    "Leave the months and the currency as they are. Totals follow by themselves; they may also be emptied.",
    f"Say in the sheet {DRIVERS} what an amount stands on; without months a row there holds for all of them.",
    "Hand this file back as .xlsx: it is saved as a new draft, or refused with the cells that do not tie.",
)
LOOKS = {
    "bold": {"bold": True},
    "heading": {"bold": True, "bottom": 1},
    "month heading": {"bold": True, "bottom": 1, "num_format": "mmm yyyy", "align": "right"},
    "total heading": {"bold": True, "bottom": 1, "align": "right"},
    "text": {"locked": False},
    "month": {"locked": False, "num_format": "mmm yyyy"},
    "amount": {"locked": False, "num_format": "#,##0.00;[Red]-#,##0.00"},
    "line total": {"locked": False, "num_format": "#,##0.00;[Red]-#,##0.00", "italic": True},
    "grey": {"bg_color": "#D9D9D9"},
    "total": {"bold": True, "top": 1, "num_format": "#,##0.00;[Red]-#,##0.00"},
    "project total": {"num_format": "#,##0.00;[Red]-#,##0.00"},
    "exported month": {"num_format": "mmm yyyy", "align": "left"},
    "sentence": {"text_wrap": True},
}


def write(path: Path, lines: list[Line], plan_version: str, status: str, mark: str) -> None:
    """Write the lines of a plan version to an .xlsx file; the same lines give the same bytes.

    Parameters
    ----------
    mark : what tells whether the version has the same lines when the file comes back.

    Raises
    ------
    DcbudgetError : another ending, or the file cannot be written.
    """
    if path.suffix.lower() != ".xlsx":
        raise DcbudgetError(f"{path.name}: a budget is exported as .xlsx")
    first, last = min(line.month for line in lines), max(line.month for line in lines)
    months = list(months_between(first, last))
    by_currency = defaultdict(list)
    for line in lines:
        by_currency[line.currency].append(line)
    sheets = {SHEET if len(by_currency) == 1 else f"{SHEET} {code}": code for code in sorted(by_currency)}
    title = f"Budget {plan_version}, {status}, {BASIS}"
    about = {"Plan version": plan_version, "Status": status, "Basis": BASIS, "First month": first,
             "Last month": last, "Mark of its lines": mark}  # fmt: skip
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with xlsxwriter.Workbook(str(path), SAFE) as book:
            book.set_properties({"title": title, "created": datetime(first.year, first.month, 1)})
            styles = {name: book.add_format(look) for name, look in LOOKS.items()}
            for name, currency in sheets.items():
                _write_lines(book.add_worksheet(name), styles, title, currency, months, by_currency[currency])
            _write_drivers(book.add_worksheet(DRIVERS), styles, lines)
            totals = [(name, code, len(by_currency[code]), sum(line.amount for line in by_currency[code]))
                      for name, code in sheets.items()]  # fmt: skip
            _write_about(book.add_worksheet(ABOUT), styles, title, about, totals)
    except (OSError, FileCreateError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise DcbudgetError(f"{path} cannot be written: {reason}") from None


def _write_lines(sheet, styles: dict, title: str, currency: str, months: list[date], lines: list[Line]) -> None:
    amounts = {(line.project, line.category, line.month): line.amount for line in lines}
    keys = sorted({(line.project, line.category) for line in lines})
    grey, right = FIRST_ROW + len(keys), 2 + len(months)
    sheet.write_string(0, 0, f"{title}, {currency}", styles["bold"])
    sheet.write_string(CURRENCY_ROW, 0, CURRENCY)
    sheet.write_string(CURRENCY_ROW, 1, currency, styles["bold"])
    sheet.write_string(CURRENCY_ROW + 1, 0, f"Insert new lines above the grey row; see the sheet {ABOUT}.")
    for column, text in enumerate((PROJECT, CATEGORY)):
        sheet.write_string(HEADER_ROW, column, text, styles["heading"])
    for column, month in enumerate(months, 2):
        sheet.write_datetime(HEADER_ROW, column, _moment(month), styles["month heading"])
    sheet.write_string(HEADER_ROW, right, TOTAL, styles["total heading"])

    for row, key in enumerate(keys, FIRST_ROW):
        # every cell of a row must be open, or a protected sheet does not let it be deleted
        sheet.set_row(row, None, styles["text"])
        for column, text in enumerate(key):
            sheet.write_string(row, column, text, styles["text"])
        for column, month in enumerate(months, 2):
            if (amount := amounts.get((*key, month))) is None:
                sheet.write_blank(row, column, None, styles["amount"])
            else:
                sheet.write_number(row, column, float(amount), styles["amount"])
        total = sum(amounts.get((*key, month), 0) for month in months)
        sheet.write_formula(row, right, f"=SUM({xl_range(row, 2, row, right - 1)})", styles["line total"], float(total))

    sums = defaultdict(Decimal)
    for line in lines:
        for project in (None, line.project):
            for month in (None, line.month):
                sums[project, month] += line.amount
    # the sums reach over the grey row, so that lines inserted above it are in them
    sheet.set_row(grey, 6, styles["grey"])
    names = xl_range_abs(FIRST_ROW, 0, grey, 0)
    projects = sorted({project for project, _ in keys})
    # spreadsheets hold names to be the same that differ in capitals only: those have no totals of their own
    alike = Counter(project.casefold() for project in projects)
    single = [project for project in projects if alike[project.casefold()] == 1]
    for row, project in enumerate([None, *single], grey + 1):
        style = styles["project total" if project else "total"]
        sheet.write_string(row, 0, f"{TOTAL_OF}{project}" if project else TOTAL, style)
        sheet.write_blank(row, 1, None, style)
        label = f"MID({xl_rowcol_to_cell(row, 0, col_abs=True)},{len(TOTAL_OF) + 1},999)"
        for column, month in enumerate([*months, None], 2):
            over = xl_range(FIRST_ROW, column, grey, column)
            # SUMIF would take the * and ? of a name for any text
            formula = f"=SUMPRODUCT(--({names}={label}),{over})" if project else f"=SUM({over})"
            if month is None:  # across, because an inserted line has no total
                formula = f"=SUM({xl_range(row, 2, row, right - 1)})"
            sheet.write_formula(row, column, formula, style, float(sums[project, month]))

    sheet.data_validation(
        FIRST_ROW, 2, grey - 1, right - 1,
        {"validate": "decimal", "criteria": "between", "minimum": -float(LARGEST_AMOUNT),
         "maximum": float(LARGEST_AMOUNT), "error_title": "Amount",
         "error_message": f"An amount in {currency}, such as 1234.50"},
    )  # fmt: skip
    sheet.set_column(0, 1, 22)
    sheet.set_column(2, right, 14)
    sheet.freeze_panes(FIRST_ROW, 2)
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(HEADER_ROW)
    _protect(sheet)


def _write_drivers(sheet, styles: dict, lines: list[Line]) -> None:
    """One row for every run of months of a line that have the same driver."""
    for column, text in enumerate((PROJECT, CATEGORY, CURRENCY, "From", "To", "Driver")):
        sheet.write_string(0, column, text, styles["heading"])
    runs: list[tuple[Line, date]] = []
    for line in sorted(lines, key=lambda line: (line.currency, line.project, line.category, line.month)):
        first = runs[-1][0] if runs else None
        if first and first._replace(month=line.month, amount=line.amount) == line:
            runs[-1] = (first, line.month)
        else:
            runs.append((line, line.month))
    for row, (line, last) in enumerate(runs, 1):
        for column, text in ((0, line.project), (1, line.category), (2, line.currency), (5, line.driver or "")):
            sheet.write_string(row, column, text, styles["text"])
        for column, month in ((3, line.month), (4, last)):
            sheet.write_datetime(row, column, _moment(month), styles["month"])
    sheet.set_column(0, 4, 16, styles["text"])
    sheet.set_column(5, 5, 60, styles["text"])
    sheet.freeze_panes(1, 2)
    _protect(sheet)


def _write_about(sheet, styles: dict, title: str, about: dict[str, object], totals: list[tuple]) -> None:
    sheet.write_string(0, 0, title, styles["bold"])
    for row, (name, value) in enumerate(about.items(), 2):
        sheet.write_string(row, 0, name)
        if isinstance(value, date):
            sheet.write_datetime(row, 1, _moment(value), styles["exported month"])
        else:
            sheet.write_string(row, 1, value)
    head = len(about) + 3
    for column, text in enumerate(("Sheet", CURRENCY, "Lines", "Total as exported")):
        sheet.write_string(head, column, text, styles["heading"])
    for row, (name, currency, count, total) in enumerate(totals, head + 1):
        sheet.write_string(row, 0, name)
        sheet.write_string(row, 1, currency)
        sheet.write_number(row, 2, count)
        sheet.write_number(row, 3, float(total), styles["project total"])
    below = head + len(totals) + 2
    sheet.write_string(below, 0, "How to hand it back", styles["bold"])
    for row, text in enumerate(HAND_BACK, below + 1):
        sheet.merge_range(row, 0, row, 3, text, styles["sentence"])
        sheet.set_row(row, 32)
    sheet.set_column(0, 3, 22)
    sheet.protect()


def _moment(month: date) -> datetime:
    return datetime(month.year, month.month, 1)


def _protect(sheet) -> None:
    """Against slips of the hand only: there is no password."""
    allowed = ("insert_rows", "delete_rows", "format_cells", "format_columns", "format_rows", "sort", "autofilter")
    sheet.protect("", dict.fromkeys(allowed, True))
