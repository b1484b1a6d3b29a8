"""Tables as files: the same rows come back, text stays text, and errors are one line."""

import csv
from decimal import Decimal

import openpyxl
import pandas as pd
import pytest

from dcbudget import export, warehouse
from dcbudget.errors import DcbudgetError
from dcbudget.export import export_table, write_tables
from dcbudget.tables import CENTS, RATE, Headline, Table
from tiny import charge, make, make_world, rows

FORMULA = '=HYPERLINK("http://x")'


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def nasty(tmp_path_factory):
    """A charge whose texts begin as a formula, an address and a number do, with a quote, a comma and a line break."""
    texts = {"ResourceId": FORMULA, "ServiceName": "http://x/y", "SubAccountId": "00123", "RegionId": "@sum(a)",
             "RegionName": 'one, "two"\nthree'}  # fmt: skip
    return make(tmp_path_factory.mktemp("nasty"), charges=[charge("x", "0.000000000001") | texts])


def read(file):
    with file.open(encoding="utf-8", newline="") as source:
        return list(csv.DictReader(source))


def sheet_of(file):
    return openpyxl.load_workbook(file).active


def test_csv_round_trip_to_the_last_digit(world, tmp_path):
    file = tmp_path / "showback.csv"
    assert export_table("showback_monthly", file, world) == 11
    found = {(row["month"], row["project"], row["category"]): Decimal(row["effective_cost"]) for row in read(file)}
    kept = rows(world, "select month::varchar, project, category, effective_cost from showback_monthly")
    assert found == {row[:3]: row[3] for row in kept}
    assert found["2026-05-01", "Idle capacity", "Rented GPUs"] == Decimal("1184.350000000007")


def test_parquet_round_trip_keeps_types(world, tmp_path):
    file = tmp_path / "made/for/it/charges.parquet"
    assert export_table("charges", file, world) == 9
    with warehouse.connect(world) as con:
        again = f"read_parquet('{file}')"
        for one, other in (("charges", again), (again, "charges")):
            assert con.execute(f"select count(*) from (from {one} except all from {other})").fetchone() == (0,)
        types = "select column_name, column_type from (describe from {})"
        assert con.execute(types.format(again)).fetchall() == con.execute(types.format("charges")).fetchall()


def test_xlsx_round_trip(world, tmp_path):
    file = tmp_path / "cost.xlsx"
    assert export_table("cost_monthly", file, world) == 7
    head, *body = [[cell.value for cell in row] for row in sheet_of(file).iter_rows()]
    with warehouse.connect(world) as con:
        result = con.execute("select * from cost_monthly")
        assert head == [column[0] for column in result.description]
        kept = [[str(value) if hasattr(value, "year") else float(value) if isinstance(value, Decimal) else value
                 for value in row] for row in result.fetchall()]  # fmt: skip
    assert sorted(body) == sorted(kept)


@pytest.mark.parametrize("table", ["charges", "jobs", "cost_lines", "sources", "loads"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".xlsx", ".XLSX"])
def test_every_kind_of_relation(world, tmp_path, table, suffix):
    file = tmp_path / f"{table}{suffix}"
    count = export_table(table, file, world)
    assert rows(world, f"select count(*) from {table}") == [(count,)]
    assert file.stat().st_size > 0


def test_empty_table_is_its_header(world, tmp_path):
    assert export_table("fleet", tmp_path / "fleet.csv", world) == 0
    assert (tmp_path / "fleet.csv").read_text().startswith("asset_id,kind,cluster")
    assert export_table("fleet", tmp_path / "fleet.xlsx", world) == 0
    assert sheet_of(tmp_path / "fleet.xlsx").max_row == 1


def test_text_stays_text_in_sheets(nasty, tmp_path):
    file = tmp_path / "charges.xlsx"
    export_table("charges", file, nasty)
    head, body = sheet_of(file).iter_rows()
    cells = {name.value: cell for name, cell in zip(head, body, strict=True)}
    for name, text in (("ResourceId", FORMULA), ("ServiceName", "http://x/y"), ("SubAccountId", "00123"),
                       ("RegionId", "@sum(a)"), ("RegionName", 'one, "two"\nthree')):  # fmt: skip
        assert (cells[name].value, cells[name].data_type, cells[name].hyperlink) == (text, "s", None)
    assert (cells["BilledCost"].value, cells["BilledCost"].data_type) == (1e-12, "n")


def test_text_comes_back_from_csv_as_it_was(nasty, tmp_path):
    export_table("charges", tmp_path / "charges.csv", nasty)
    (row,) = read(tmp_path / "charges.csv")
    assert (row["ResourceId"], row["SubAccountId"], row["RegionName"]) == (FORMULA, "00123", 'one, "two"\nthree')
    assert Decimal(row["BilledCost"]) == Decimal("1e-12")


def test_name_with_a_quote(world, tmp_path):
    assert export_table("jobs", tmp_path / "it's.csv", world) == 5
    assert len(read(tmp_path / "it's.csv")) == 5


def test_unknown_table_says_which_there_are(world, tmp_path):
    for name in ("costs", "jobs; drop table jobs", "landed.charges_2", "about"):
        with pytest.raises(
            DcbudgetError, match=r"no table .*; there are accelerators, .*budget_lines, .*showback_monthly"
        ):
            export_table(name, tmp_path / "x.csv", world)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x.json", "x", "x.csv.gz", "x.xls"])
def test_unknown_suffix_says_which_there_are(world, tmp_path, name):
    with pytest.raises(DcbudgetError, match=r"can be written as \.csv, \.parquet or \.xlsx"):
        export_table("jobs", tmp_path / name, world)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".xlsx"])
@pytest.mark.parametrize("where", ["taken", "file/x"])
def test_place_that_cannot_be_written_is_one_line(world, tmp_path, suffix, where):
    """A folder of that name, and a file in the place of a folder."""
    (tmp_path / "file").write_text("in the way")
    target = tmp_path / f"{where}{suffix}"
    if where == "taken":
        target.mkdir()
    with pytest.raises(DcbudgetError, match="cannot be written") as caught:
        export_table("jobs", target, world)
    assert "\n" not in str(caught.value)


def test_too_many_rows_for_a_sheet(world, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MAX_SHEET_ROWS", 4)
    with pytest.raises(DcbudgetError, match=r"jobs has 5 rows and a sheet holds 4; write \.csv or \.parquet"):
        export_table("jobs", tmp_path / "jobs.xlsx", world)
    assert export_table("jobs", tmp_path / "jobs.csv", world) == 5


def report_tables():
    frame = pd.DataFrame(
        {
            "name": [FORMULA, None],
            "cost": [1234.56789, None],
            "rate": [0.125, -1.0],
            "day": pd.to_datetime(["2026-05-01", None]),
            "count": [3, 4],
            "owned": [True, False],
        }
    )
    names = {"name": "Name", "cost": "Cost", "rate": "Rate", "day": "Day", "count": "Count", "owned": "Owned"}
    return Headline("Review", [("Spent", "1 USD", FORMULA)]), {
        "Costs": Table(frame, names, "What it cost", {"cost": CENTS, "rate": RATE}, ("cost",)),
        "Nothing": Table(frame.head(0), names, "Nothing"),
    }


def test_sheets_of_tables_are_unrounded_and_typed(tmp_path):
    write_tables(tmp_path / "x.xlsx", *report_tables(), pd.Timestamp("2026-05-01"))
    book = openpyxl.load_workbook(tmp_path / "x.xlsx")
    assert book.sheetnames == ["Headline", "Costs", "Nothing"]
    assert [cell.value for cell in book["Headline"][3]] == ["Spent", "1 USD", FORMULA]
    sheet = book["Costs"]
    assert sheet["A1"].value == "What it cost"
    assert [cell.value for cell in sheet[3]] == ["Name", "Cost", "Rate", "Day", "Count", "Owned"]
    assert [cell.value for cell in sheet[4]] == [FORMULA, 1234.56789, 0.125, "2026-05-01", 3, True]
    assert [cell.value for cell in sheet[5]] == [None, None, -1, None, 4, False]
    assert [cell.data_type for cell in sheet[4]] == ["s", "n", "n", "s", "n", "b"]
    assert (sheet["B4"].number_format, sheet["C4"].number_format) == ("#,##0.00", "0.0%")
    assert sheet.max_row == 5, "the total is for readers; a sheet sums by itself"


def test_sheets_are_the_same_bytes_twice(tmp_path):
    for name in ("one", "two"):
        write_tables(tmp_path / name, *report_tables(), pd.Timestamp("2026-05-01"))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
