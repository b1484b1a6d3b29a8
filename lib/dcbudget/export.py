"""Writes tables to files: whole relations of the database, and the sheets behind a report."""

from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd
import xlsxwriter
from xlsxwriter.exceptions import FileCreateError

from dcbudget import warehouse
from dcbudget.errors import DcbudgetError
from dcbudget.tables import Headline, Table

MAX_SHEET_ROWS = 1_048_575
# Text stays text: a tag that begins with = must not become a formula, nor a link a link.
SAFE = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False, "nan_inf_to_errors": True}


def export_table(
    table: str, file: Path, db: str | Path | None = None, wait_seconds: float = warehouse.WAIT_SECONDS
) -> int:
    """Write a table, view or mart to .csv, .parquet or .xlsx; returns the number of rows.

    Raises
    ------
    DcbudgetError : no such table, an unknown ending, or more rows than a sheet holds.
    """
    suffix = file.suffix.lower()
    if suffix not in (".csv", ".parquet", ".xlsx"):
        raise DcbudgetError(f"{file.name}: a table can be written as .csv, .parquet or .xlsx")
    with warehouse.connect(db, wait_seconds=wait_seconds) as con:
        names = [row[0] for row in con.execute(
            "select table_name from information_schema.tables where table_schema = 'main'"
            " and table_catalog = current_database() order by 1"
        ).fetchall()]  # fmt: skip
        if table not in names:
            raise DcbudgetError(f"no table {table!r}; there are {', '.join(names)}")
        rows = con.execute(f"select count(*) from {table}").fetchone()[0]
        if suffix == ".xlsx" and rows > MAX_SHEET_ROWS:
            raise DcbudgetError(
                f"{table} has {rows:,} rows and a sheet holds {MAX_SHEET_ROWS:,}; write .csv or .parquet"
            )
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if suffix == ".xlsx":
                result = con.execute(f"select * from {table}")
                _write_rows(file, table, [column[0] for column in result.description], result.fetchall())
            else:
                kind = "(format csv, header)" if suffix == ".csv" else "(format parquet)"
                con.execute(f"copy (select * from {table}) to '{str(file).replace(chr(39), chr(39) * 2)}' {kind}")
        except (OSError, FileCreateError, duckdb.IOException) as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise DcbudgetError(f"{file} cannot be written: {reason}") from None
    return rows


def write_tables(file: Path, headline: Headline, tables: dict[str, Table], month: pd.Timestamp) -> None:
    """Write a report's tables, one sheet each, unrounded; the same tables give the same bytes."""
    with xlsxwriter.Workbook(str(file), SAFE) as book:
        book.set_properties({"title": headline.title, "created": month.to_pydatetime()})
        bold = book.add_format({"bold": True})
        sheet = book.add_worksheet("Headline")
        sheet.write_string(0, 0, headline.title, bold)
        for row, figure in enumerate(headline.figures, 2):
            for column, text in enumerate(figure):
                sheet.write_string(row, column, text)
        sheet.set_column(0, 2, 30)
        for name, table in tables.items():
            _write_sheet(book, book.add_worksheet(name), table)


def _write_sheet(book: xlsxwriter.Workbook, sheet, table: Table) -> None:
    bold, head = book.add_format({"bold": True}), book.add_format({"bold": True, "bottom": 1, "text_wrap": True})
    styles = {
        name: book.add_format({"num_format": "0.0%" if "%" in form else "#,##0.00" if ".2f" in form else "#,##0"})
        for name, form in table.formats.items()
    }
    sheet.write_string(0, 0, table.title, bold)
    for column, (name, heading) in enumerate(table.columns.items()):
        sheet.write_string(2, column, heading, head)
        widest = max([len(heading), *(len(str(value)) for value in table.frame[name].head(200) if name not in styles)])
        sheet.set_column(column, column, min(max(12, widest + 2), 60))
        for row, value in enumerate(table.frame[name], 3):
            _write_cell(sheet, row, column, value, styles.get(name))
    sheet.freeze_panes(3, 0)


def _write_rows(file: Path, name: str, names: list[str], rows: list[tuple]) -> None:
    with xlsxwriter.Workbook(str(file), {**SAFE, "constant_memory": True}) as book:
        sheet, bold = book.add_worksheet(name[:31]), book.add_format({"bold": True})
        for column, text in enumerate(names):
            sheet.write_string(0, column, text, bold)
        for number, row in enumerate(rows, 1):
            for column, value in enumerate(row):
                _write_cell(sheet, number, column, value, None)


def _write_cell(sheet, row: int, column: int, value, style) -> None:
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return
    if isinstance(value, bool):
        sheet.write_boolean(row, column, value)
    elif isinstance(value, int | float | Decimal) or hasattr(value, "dtype"):
        sheet.write_number(row, column, float(value), style)
    else:
        sheet.write_string(row, column, f"{value:%Y-%m-%d}" if isinstance(value, pd.Timestamp) else str(value))
