"""Plan versions: what is saved is what was given, what is approved stays, what comes back ties or says where."""

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.comments import Comment
from typer.testing import CliRunner

from dcbudget import budget, warehouse
from dcbudget.cli import app
from dcbudget.errors import (
    BudgetDoesNotTie,
    DatabaseMissing,
    DcbudgetError,
    MixedCurrencies,
    OutOfRange,
    UnreadableFile,
)
from dcbudget.ingest.load import load
from dcbudget.spreadsheet import Line
from dcbudget.spreadsheet.read import read
from dcbudget.spreadsheet.write import write
from dcbudget.stages.period import plan_for
from tiny import blank, make_world, rows
from tiny import budget as budget_row
from tiny import write as write_csv

JANUARY, FEBRUARY, MARCH = (date(2027, month, 1) for month in (1, 2, 3))
# search 100.25 + 200 + 50 = 350.25 in three months, vision 10 - 4.5 = 5.5 in two; 355.75 together.
PLAN = [
    Line(JANUARY, "search", "Rented GPUs", Decimal("100.25"), "USD", "GPU-hours"),
    Line(FEBRUARY, "search", "Rented GPUs", Decimal("200.00"), "USD", "GPU-hours"),
    Line(MARCH, "search", "Rented GPUs", Decimal("50.00"), "USD", "two runs"),
    Line(JANUARY, "vision", "Storage", Decimal("10.00"), "USD", None),
    Line(MARCH, "vision", "Tax and support", Decimal("-4.50"), "USD", "credit"),
]


def frame(lines) -> pd.DataFrame:
    return pd.DataFrame(lines, columns=list(Line._fields))


def one(**change) -> pd.DataFrame:
    """A plan of one line, with something else in it."""
    return frame([PLAN[0]._replace(**change)])


def stored(db: Path, plan_version: str) -> list[tuple]:
    with warehouse.connect(db) as con:
        return con.execute(
            "select month, project, category, amount, currency, driver from budget_lines where plan_version = ?"
            " order by project, category, month",
            [plan_version],
        ).fetchall()


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[bytes, bytes]:
    """A database with one draft, 2027, and the draft as a spreadsheet."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "budget.duckdb").write_bytes(blank())
    budget.save_plan(frame(PLAN), "2027", db=folder / "budget.duckdb")
    budget.export_workbook("2027", folder / "2027.xlsx", folder / "budget.duckdb")
    return (folder / "budget.duckdb").read_bytes(), (folder / "2027.xlsx").read_bytes()


@pytest.fixture
def desk(made, tmp_path: Path) -> Path:
    """The database."""
    (tmp_path / "budget.duckdb").write_bytes(made[0])
    return tmp_path / "budget.duckdb"


@pytest.fixture
def sheet(made, tmp_path: Path) -> Path:
    """The spreadsheet: lines in rows 5 to 7, the grey row 8, totals in 9 to 11; months in C to E, totals in F."""
    (tmp_path / "2027.xlsx").write_bytes(made[1])
    return tmp_path / "2027.xlsx"


def edit(file: Path, changes: dict, *, recalculated: bool = False, sheet: str = "Budget") -> Path:
    """Change cells. openpyxl keeps no values of formulas; `recalculated` keeps the old ones in their place."""
    book = openpyxl.load_workbook(file, data_only=recalculated)
    for cell, value in changes.items():
        book[sheet][cell] = value
    book.save(file)
    return file


# Saved and approved.


def test_what_is_saved_is_what_was_given(desk):
    plan = budget.save_plan(frame(PLAN), "2027", db=desk)
    assert stored(desk, "2027") == sorted(map(tuple, PLAN), key=lambda line: (line[1], line[2], line[0]))
    assert (plan.lines, plan.amounts, plan.status) == (5, {"USD": Decimal("355.75")}, "draft")
    assert (plan.first_month, plan.last_month) == (pd.Timestamp(JANUARY), pd.Timestamp(MARCH))
    assert str(plan) == "2027 (draft): 355.75 USD in 5 lines, 2027-01 to 2027-03"
    pd.testing.assert_frame_equal(
        budget.versions(desk),
        pd.DataFrame({"plan_version": ["2027"], "status": ["draft"], "first_month": [pd.Timestamp(JANUARY)],
                      "last_month": [pd.Timestamp(MARCH)], "lines": [5], "amount": [355.75], "currency": ["USD"]}),
        check_dtype=False,
    )  # fmt: skip
    again = budget.lines_of("2027", desk)
    assert budget.save_plan(again, "copy", db=desk).amounts == plan.amounts
    assert budget.compare("2027", "copy", desk)["change"].abs().sum() == 0


def test_binary_amounts_are_stored_as_the_cents_that_they_stand_for(desk):
    budget.save_plan(one(amount=0.1 + 0.2), "noise", db=desk)
    assert stored(desk, "noise")[0][3] == Decimal("0.3")


def test_a_draft_is_replaced_whole_and_an_approved_version_stays(desk):
    budget.save_plan(frame(PLAN[:1]), "2027", db=desk)
    assert len(stored(desk, "2027")) == 1
    assert budget.approve("2027", desk).status == "approved"
    assert rows(desk, "select distinct status from budget_lines") == [("approved",)]
    for status in ("draft", "approved"):
        with pytest.raises(DcbudgetError, match="plan 2027 is approved and stays as it is"):
            budget.save_plan(frame(PLAN), "2027", status, desk)
    assert stored(desk, "2027") == [tuple(PLAN[0])]


def test_a_refused_plan_changes_nothing(desk):
    before = stored(desk, "2027")
    with pytest.raises(DcbudgetError, match="all its amounts are 0"):
        budget.save_plan(one(amount=0), "2027", "approved", desk)
    assert stored(desk, "2027") == before
    budget.save_plan(one(amount=0), "nothing", db=desk)
    with pytest.raises(DcbudgetError, match="plan nothing cannot be approved: all its amounts are 0"):
        budget.approve("nothing", desk)
    with pytest.raises(DcbudgetError, match="no plan version '2028'; there are: 2027, nothing"):
        budget.approve("2028", desk)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"month": date(2027, 1, 2)}, "month of search, Rented GPUs must be the first day of a month, not 2027-01-02"),
        ({"month": None}, "month of search, Rented GPUs must be the first day of a month"),
        ({"amount": float("nan")}, "amount of search, Rented GPUs in 2027-01 must be a finite number, not nan"),
        ({"amount": float("inf")}, "must be a finite number"),
        ({"amount": "100"}, "amount of search, Rented GPUs in 2027-01 must be a number, not '100'"),
        ({"amount": True}, "must be a number"),
        ({"amount": 1.005}, "must have at most two decimals, not 1.005"),
        ({"amount": 1e13}, "must lie between -1e13 and 1e13"),
        ({"project": " "}, "project of  , Rented GPUs in 2027-01 must be a text of 1 to 120 characters"),
        ({"category": None}, "category of search, None in 2027-01 must be a text"),
        ({"currency": "usd"}, "currency of search, Rented GPUs in 2027-01 must be a code such as USD, not 'usd'"),
    ],
)
def test_a_bad_line_is_named(desk, change, message):
    with pytest.raises(OutOfRange) as raised:
        budget.save_plan(one(**change), "x", db=desk)
    assert message in str(raised.value)


def test_lines_are_there_once(desk):
    twice = frame([PLAN[0], PLAN[0]._replace(project=" search ")])
    with pytest.raises(OutOfRange, match="search, Rented GPUs, USD, 2027-01 must be there once"):
        budget.save_plan(twice, "x", db=desk)
    with pytest.raises(OutOfRange, match="category is missing"):
        budget.save_plan(frame(PLAN).drop(columns="category"), "x", db=desk)
    with pytest.raises(OutOfRange, match="at least one line"):
        budget.save_plan(frame([]), "x", db=desk)


@pytest.mark.parametrize("name", ["", " x", "x ", "a/b", "a'b", "x\n", "-x", "x" * 65, None, 2027])
def test_names_of_versions_are_sane(desk, name):
    with pytest.raises(OutOfRange, match="plan_version must be 1 to 64 letters"):
        budget.save_plan(frame(PLAN), name, db=desk)


def test_a_plan_is_draft_or_approved(desk):
    with pytest.raises(OutOfRange, match="status must be draft or approved, not 'final'"):
        budget.save_plan(frame(PLAN), "x", "final", desk)


def test_several_currencies_must_be_meant(desk):
    both = frame([PLAN[0], PLAN[0]._replace(currency="EUR")])
    with pytest.raises(MixedCurrencies, match="the lines are in EUR and USD"):
        budget.save_plan(both, "x", db=desk)
    assert budget.save_plan(both, "x", db=desk, currencies=["EUR", "USD"]).amounts == {
        "EUR": Decimal("100.25"), "USD": Decimal("100.25")}  # fmt: skip


def test_no_database_is_made_for_a_plan(tmp_path):
    with pytest.raises(DatabaseMissing):
        budget.save_plan(frame(PLAN), "x", db=tmp_path / "typo.duckdb")
    assert not (tmp_path / "typo.duckdb").exists()


def test_a_second_approved_version_says_which_months_compare_with_it(desk):
    budget.approve("2027", desk)
    half = frame([line for line in PLAN if line.month != JANUARY])
    later = budget.save_plan(half, "2027-half", "approved", desk)
    assert later.remarks == ("reports of 2027-02 to 2027-03 now compare with 2027-half in place of 2027",)
    assert [plan_for(pd.Timestamp(month), "", desk) for month in (JANUARY, FEBRUARY)] == ["2027", "2027-half"]
    earlier = budget.save_plan(frame(PLAN[:1]), "2026-b", "approved", desk)
    assert earlier.remarks == (
        "reports of 2027-01 to 2027-01 compare with 2027, the last approved version by name;"
        " -p plan_version=2026-b compares with this one",
    )
    assert plan_for(pd.Timestamp(JANUARY), "", desk) == "2027"


def test_compare_by_hand(desk):
    other = [PLAN[0]._replace(amount=Decimal("110.25")), *PLAN[1:4], PLAN[4]._replace(project="audio")]
    budget.save_plan(frame(other), "b", db=desk)
    found = budget.compare("2027", "b", desk)
    changed = found[found["change"] != 0]
    assert changed[["project", "category", "a", "b", "change"]].values.tolist() == [
        ["search", "Rented GPUs", 100.25, 110.25, 10.0],
        ["audio", "Tax and support", 0.0, -4.5, -4.5],
        ["vision", "Tax and support", -4.5, 0.0, 4.5],
    ]
    by_project = budget.compare("2027", "b", desk, by=["project"])
    assert by_project.values.tolist() == [
        ["audio", "USD", 0.0, -4.5, -4.5], ["search", "USD", 350.25, 360.25, 10.0], ["vision", "USD", 5.5, 10.0, 4.5]
    ]  # fmt: skip
    assert budget.compare("2027", "b", desk, by=[]).values.tolist() == [["USD", 355.75, 365.75, 10.0]]
    for name in ("a", "b", "change"):
        assert found[name].sum() == pytest.approx(by_project[name].sum(), abs=1e-9)
    with pytest.raises(DcbudgetError, match="not by 'amount'"):
        budget.compare("2027", "b", desk, by=["amount"])
    with pytest.raises(DcbudgetError, match="no plan version 'c'"):
        budget.compare("2027", "c", desk)


def test_checks_hold_beside_loaded_plans(tmp_path):
    db = make_world(tmp_path)
    for version in ("2026", "2026-returned"):
        budget.export_workbook("2026", tmp_path / "2026.xlsx", db)
        if version == "2026-returned":
            budget.import_workbook(tmp_path / "2026.xlsx", db=db)
        budget.approve(version, db)
    budget.save_plan(frame(PLAN), "2027", db=db)
    assert not warehouse.check(db)["offending_rows"].any()
    assert stored(db, "2026-returned") == stored(db, "2026")
    assert rows(db, "select count(*) from budget_lines where x_load_id is not null") == [(0,)]


def test_a_file_replaces_a_draft_and_not_what_was_approved_here(desk, tmp_path):
    csv = write_csv(tmp_path / "plan.csv", [budget_row("2027-01", "beta", "Storage", "7", plan="2027", status="draft")])
    assert load([csv], desk)[0].status == "replaced"
    assert [line[1] for line in stored(desk, "2027")] == ["beta"]
    budget.approve("2027", desk)
    csv = write_csv(tmp_path / "plan.csv", [budget_row("2027-01", "beta", "Storage", "8", plan="2027")])
    result = load([csv], desk)[0]
    assert result.status == "refused"
    assert "plan 2027 was approved here and stays as it is" in result.message
    assert [line[3] for line in stored(desk, "2027")] == [7]


# Handed out and back.


def test_round_trip(desk, sheet):
    plan = budget.import_workbook(sheet, db=desk)
    assert (plan.plan_version, plan.status, plan.remarks) == ("2027-returned", "draft", ())
    assert stored(desk, "2027-returned") == stored(desk, "2027")
    assert budget.import_workbook(sheet, "2028", desk).plan_version == "2028"


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8) | st.sampled_from(
    ["a*", "?", "Search", "search", "=1+1", "Total", "Total of a", '"', "O'Neill", "12", "-", "#REF!", "<5"]
)
AMOUNTS = st.decimals(-(10**12), 10**12, places=2, allow_nan=False)


@given(
    st.dictionaries(
        st.tuples(st.sampled_from([JANUARY, MARCH, date(2028, 2, 1)]), NAMES, NAMES, st.sampled_from(["USD", "EUR"])),
        st.tuples(AMOUNTS, st.none() | NAMES),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=15, deadline=None)
def test_every_plan_comes_back_to_the_cent(tmp_path_factory, plan):
    file = tmp_path_factory.mktemp("book") / "plan.xlsx"
    lines = {Line(*key[:3], amount, key[3], driver) for key, (amount, driver) in plan.items()}
    write(file, sorted(lines, key=repr), "v", "draft", "mark")
    back = read(file)
    assert set(back.lines) == lines and len(back.lines) == len(lines)
    assert (back.plan_version, back.mark, back.remarks) == ("v", "mark", [])


def test_the_spreadsheet_holds_sums_and_their_values(sheet):
    values = openpyxl.load_workbook(sheet, data_only=True)
    formulas = openpyxl.load_workbook(sheet)
    shown, typed = values["Budget"], formulas["Budget"]
    assert values.sheetnames == ["Budget", "Drivers", "About"]
    assert shown["A1"].value == "Budget 2027, draft, effective cost, USD"
    assert [cell.value for cell in shown[4]] == [
        "Project", "Category", *(datetime(2027, month, 1) for month in (1, 2, 3)), "Total"]  # fmt: skip
    assert [[cell.value for cell in row] for row in shown["A5:F7"]] == [
        ["search", "Rented GPUs", 100.25, 200, 50, 350.25],
        ["vision", "Storage", 10, None, None, 10],
        ["vision", "Tax and support", None, None, -4.5, -4.5],
    ]
    assert [[cell.value for cell in row] for row in shown["A9:F11"]] == [
        ["Total", None, 110.25, 200, 45.5, 355.75],
        ["Total of search", None, 100.25, 200, 50, 350.25],
        ["Total of vision", None, 10, 0, -4.5, 5.5],
    ]
    assert (typed["F5"].value, typed["C9"].value) == ("=SUM(C5:E5)", "=SUM(C5:C8)")
    assert typed["C11"].value == "=SUMPRODUCT(--($A$5:$A$8=MID($A11,10,999)),C5:C8)"
    assert [typed[cell].value for cell in ("F9", "F11")] == ["=SUM(C9:E9)", "=SUM(C11:E11)"]
    assert typed.freeze_panes == "C5" and typed.protection.sheet
    locked = {cell: typed[cell].protection.locked for cell in ("A4", "C4", "A5", "C5", "D6", "F5", "C9")}
    assert {cell for cell, closed in locked.items() if closed} == {"A4", "C4", "C9"}
    assert not typed.row_dimensions[5].protection.locked  # else a protected row cannot be deleted
    assert typed["C5"].number_format.startswith("#,##0.00")
    drivers = [[cell.value for cell in row] for row in values["Drivers"].iter_rows(min_row=2)]
    assert drivers == [
        ["search", "Rented GPUs", "USD", datetime(2027, 1, 1), datetime(2027, 2, 1), "GPU-hours"],
        ["search", "Rented GPUs", "USD", datetime(2027, 3, 1), datetime(2027, 3, 1), "two runs"],
        ["vision", "Storage", "USD", datetime(2027, 1, 1), datetime(2027, 1, 1), ""],
        ["vision", "Tax and support", "USD", datetime(2027, 3, 1), datetime(2027, 3, 1), "credit"],
    ]
    about = {row[0].value: row[1].value for row in values["About"].iter_rows(max_row=8)}
    assert (about["Plan version"], about["Status"], about["Basis"]) == ("2027", "draft", "effective cost")
    assert [cell.value for cell in values["About"][11]][:4] == ["Budget", "USD", 5, 355.75]


def test_names_that_differ_in_capitals_have_no_totals_of_their_own(tmp_path):
    """To a formula they are the same name, so that each would get the sum of both."""
    lines = [PLAN[0], PLAN[0]._replace(project="Search"), PLAN[3]]
    write(tmp_path / "x.xlsx", lines, "v", "draft", "mark")
    shown = openpyxl.load_workbook(tmp_path / "x.xlsx", data_only=True)["Budget"]
    assert [shown.cell(row, 1).value for row in range(9, 12)] == ["Total", "Total of vision", None]


def test_the_same_plan_gives_the_same_bytes(desk, sheet, tmp_path):
    budget.export_workbook("2027", tmp_path / "again.xlsx", desk)
    assert (tmp_path / "again.xlsx").read_bytes() == sheet.read_bytes()


def test_what_finance_edits(desk, sheet):
    book = openpyxl.load_workbook(sheet)
    lines = book["Budget"]
    lines.delete_rows(6)  # vision, Storage goes, and the credit moves up
    lines.insert_rows(7)  # above the grey row
    changes = {"C5": 1234.5, "D5": " 1,234.50 ", "E5": None, "E6": "(4.75)", "A7": "audio ", "B7": "Staff",
               "C7": "USD 1 000", "D7": "2.000,5", "E7": 0, "G4": "Notes", "G7": 99, "H5": "see mail"}  # fmt: skip
    for cell, value in changes.items():
        lines[cell] = value
    lines["C5"].comment = Comment("one run more", "finance")
    for driver in ("one person", "two people"):  # the last one holds
        book["Drivers"].append(["audio", "Staff", None, None, None, driver])
    book.create_sheet("Working").append(["Project", "Category", 7])
    book.save(sheet)
    plan = budget.import_workbook(sheet, db=desk)
    assert stored(desk, "2027-returned") == [
        (JANUARY, "audio", "Staff", Decimal("1000"), "USD", "two people"),
        (FEBRUARY, "audio", "Staff", Decimal("2000.5"), "USD", "two people"),
        (MARCH, "audio", "Staff", Decimal("0"), "USD", "two people"),
        (JANUARY, "search", "Rented GPUs", Decimal("1234.5"), "USD", "GPU-hours"),
        (FEBRUARY, "search", "Rented GPUs", Decimal("1234.5"), "USD", "GPU-hours"),
        (MARCH, "vision", "Tax and support", Decimal("-4.75"), "USD", "credit"),
    ]
    assert plan.amounts == {"USD": Decimal("5464.75")}
    assert plan.remarks == (
        "15 totals without a value, not compared with the lines",
        "project not in what was exported: audio",
        "category not in what was exported: Staff",
    )


def test_totals_that_do_not_tie_are_named(desk, sheet):
    edit(sheet, {"C5": 300.25, "D10": "1,200.00"}, recalculated=True)
    with pytest.raises(BudgetDoesNotTie) as raised:
        budget.import_workbook(sheet, db=desk)
    assert raised.value.places == [
        "Budget!F5: the total of search, Rented GPUs says 350.25, its months sum to 550.25: -200.00",
        "Budget!C9: the total in 2027-01 says 110.25, its lines sum to 310.25: -200.00",
        "Budget!F9: the total says 355.75, its lines sum to 555.75: -200.00",
        "Budget!C10: the total of search in 2027-01 says 100.25, its lines sum to 300.25: -200.00",
        "Budget!D10: the total of search in 2027-02 says 1,200.00, its lines sum to 200.00: +1,000.00",
        "Budget!F10: the total of search says 350.25, its lines sum to 550.25: -200.00",
    ]
    assert str(raised.value).startswith("2027.xlsx: 6 totals do not tie; nothing is saved\n  Budget!F5")
    assert stored(desk, "2027-returned") == []


def test_totals_tie_to_the_cent_and_may_be_emptied(desk, sheet):
    edit(sheet, {"F9": 355.754, "F10": None, "C10": "-", "D6": " – "}, recalculated=True)
    assert budget.import_workbook(sheet, db=desk).remarks == ("2 totals without a value, not compared with the lines",)
    edit(sheet, {"F9": 355.76}, recalculated=True)
    with pytest.raises(BudgetDoesNotTie, match=r"Budget!F9: the total says 355\.76, its lines sum to 355\.75: \+0\.01"):
        budget.import_workbook(sheet, db=desk)


def test_a_number_typed_as_text_that_totals_lack_is_told(desk, sheet):
    edit(sheet, {"C5": "100.25", "C9": 10, "F9": 255.5}, recalculated=True)
    with pytest.raises(BudgetDoesNotTie) as raised:
        budget.import_workbook(sheet, db=desk)
    assert raised.value.places[0] == (
        "Budget!C9: the total in 2027-01 says 10.00, its lines sum to 110.25: -100.25"
        " (Budget!C5: text, which a spreadsheet does not add)"
    )


def test_every_bad_cell_is_named_at_once(desk, sheet):
    changes = {
        "C5": "tbd", "D5": datetime(2027, 1, 1), "E5": "1.234", "C6": "#REF!", "D6": True, "E6": "=1000/3",
        "A7": "search", "B7": "Rented GPUs", "D8": 5, "A12": "Subtotal", "C12": 1, "G6": 7, "B13": "Storage",
    }  # fmt: skip
    edit(sheet, changes)
    edit(sheet, {"D2": "soon"}, sheet="Drivers")
    with pytest.raises(UnreadableFile) as raised:
        budget.import_workbook(sheet, db=desk)
    title, *places = str(raised.value).split("\n  ")
    assert title == "2027.xlsx: 12 cells cannot be taken; nothing is saved"
    assert (
        places
        == [
            "Budget!C5: 'tbd' is no amount",
            "Budget!D5: 2027-01-01 00:00:00 is no amount",
            "Budget!E5: '1.234' may be two amounts; type it as a number",
            "Budget!C6: '#REF!' is no amount",
            "Budget!D6: True is no amount",
            "Budget!E6: the formula has no value; save the file in a spreadsheet program first",
            "Budget!G6: 7 stands in a column without a heading",
            "Budget!A7: search, Rented GPUs stands in Budget!A5 already",
            "Budget!D8: an amount without a project and a category",
            "Budget!B12: the category is empty",
            "Budget!A13: the project is empty",
            "Drivers!D2: 'soon' is no month, such as 2026-01",
        ]
        or len(places) == 13
    )
    assert stored(desk, "2027-returned") == []


def test_no_total_is_blamed_for_a_line_that_cannot_be_taken(sheet):
    for changes in ({"C4": "Q1"}, {"B6": None}, {"A6": "search", "B6": "Rented GPUs"}, {"C6": "tbd"}):
        with pytest.raises(UnreadableFile, match="1 cell cannot be taken") as raised:
            read(edit(sheet, changes, recalculated=True))
        assert "says" not in str(raised.value)
        edit(sheet, {"C4": datetime(2027, 1, 1), "A6": "vision", "B6": "Storage", "C6": 10}, recalculated=True)
    assert len(read(sheet).lines) == len(PLAN)


@pytest.mark.parametrize(
    "cell, value, message",
    [
        ("C4", datetime(2027, 1, 15), "Budget!C4: 2027-01-15 is not the first day of a month"),
        ("C4", datetime(2027, 2, 1), "Budget!C4: the month is 2027-02; 2027-01 was exported here"),
        ("D4", "Q1", "Budget!D4: 'Q1' is no month, such as 2026-01"),
        ("E4", None, "Budget!F4: the month 2027-03, which was exported, is gone"),
        ("G4", datetime(2027, 4, 1), "Budget!G4: the month is 2027-04; it was not exported"),
        ("B2", "EUR", "Budget!B2: the currency is EUR; USD was exported"),
        ("B2", None, "Budget!B2: the currency must be a code such as USD, not ''"),
        ("B4", "Kind", "Budget!A1: no row of this sheet begins with Project and Category"),
        ("C5", 1e13, "Budget!C5: 10000000000000 is too large for an amount"),
    ],
)
def test_headings_stay(sheet, cell, value, message):
    with pytest.raises(UnreadableFile) as raised:
        read(edit(sheet, {cell: value}))
    assert message in str(raised.value).split("\n  ")


def test_months_may_be_typed_as_text(desk, sheet):
    edit(sheet, {"C4": "Jan 2027", "D4": "2027-02", "E4": "2027-03-01"})
    budget.import_workbook(sheet, db=desk)
    assert stored(desk, "2027-returned") == stored(desk, "2027")


def test_fractions_of_cents_are_rounded_and_told(desk, sheet):
    edit(sheet, {"C5": 100.254, "F5": 350.254, "C9": 110.254, "F9": 355.754, "C10": 100.25, "F10": 350.254},
         recalculated=True)  # fmt: skip
    plan = budget.import_workbook(sheet, db=desk)
    assert plan.remarks == ("1 amount rounded to the cent, +0.00 together",)
    assert plan.amounts == {"USD": Decimal("355.75")}


def test_a_stale_base_is_told(desk, sheet, tmp_path):
    budget.save_plan(frame([PLAN[0]._replace(amount=Decimal("1")), *PLAN[1:]]), "2027", db=desk)
    told = "2027 was changed since this spreadsheet was exported from it"
    assert budget.import_workbook(sheet, db=desk).remarks == (told,)
    other = tmp_path / "other.duckdb"
    other.write_bytes(blank())
    assert budget.import_workbook(sheet, db=other).remarks == ("2027, which was exported, is not in this database",)


def test_without_its_other_sheets(desk, sheet):
    book = openpyxl.load_workbook(sheet)
    del book["About"], book["Drivers"]
    book.create_sheet("Budget (2)")
    book.save(sheet)
    with pytest.raises(DcbudgetError, match="does not say which plan version it is"):
        budget.import_workbook(sheet, db=desk)
    plan = budget.import_workbook(sheet, "back", desk)
    assert "the sheet Budget (2) is not read" in plan.remarks
    assert "the sheet Drivers is gone, and with it what the amounts stand on" in plan.remarks
    assert [line[:5] for line in stored(desk, "back")] == [line[:5] for line in stored(desk, "2027")]


def test_a_sheet_a_currency(desk, tmp_path):
    file = tmp_path / "both.xlsx"
    both = [*PLAN, *(line._replace(currency="EUR", amount=line.amount * 2) for line in PLAN)]
    budget.save_plan(frame(both), "both", db=desk, currencies={"USD", "EUR"})
    budget.export_workbook("both", file, desk)
    edit(file, {"C9": 1}, recalculated=True, sheet="Budget EUR")
    with pytest.raises(BudgetDoesNotTie) as raised:
        budget.import_workbook(file, db=desk)
    assert raised.value.places == ["'Budget EUR'!C9: the total in 2027-01 says 1.00, its lines sum to 220.50: -219.50"]
    edit(file, {"C9": 220.5}, recalculated=True, sheet="Budget EUR")
    assert budget.import_workbook(file, db=desk).amounts == {"EUR": Decimal("711.50"), "USD": Decimal("355.75")}
    book = openpyxl.load_workbook(file)
    del book["Budget EUR"]
    book.save(file)
    with pytest.raises(UnreadableFile, match="there is no sheet Budget EUR"):
        budget.import_workbook(file, db=desk)


def test_files_that_are_no_budget(desk, tmp_path):
    (tmp_path / "x.xlsx").write_bytes(b"PK not a zip")
    for name, message in {"x.xlsx": "no spreadsheet that can be read", "y.xlsx": "no such file",
                          "x.ods": "a budget is read from .xlsx"}.items():  # fmt: skip
        with pytest.raises(UnreadableFile, match=message):
            budget.import_workbook(tmp_path / name, db=desk)
    openpyxl.Workbook().save(tmp_path / "z.xlsx")
    with pytest.raises(UnreadableFile, match=r"z\.xlsx: there is no sheet Budget"):
        budget.import_workbook(tmp_path / "z.xlsx", db=desk)
    with pytest.raises(DcbudgetError, match="is exported as"):
        budget.export_workbook("2027", tmp_path / "x.csv", desk)


# Calibration and the command.


def test_calibration_is_one_value_a_name_and_month(desk):
    kept = pd.DataFrame([("mfu", 0.4, "share", JANUARY, "runs"), ("mfu", 0.38, "share", FEBRUARY, "runs"),
                         ("pue", 1.2, "ratio", JANUARY, "meters")],
                        columns=["name", "value", "unit", "month", "source"])  # fmt: skip
    assert budget.record_calibration(kept, desk) == 3
    assert budget.record_calibration(kept[:1].assign(value=0.45), desk) == 1
    found = budget.recorded_calibration(desk)
    assert found[["name", "value"]].values.tolist() == [["mfu", 0.45], ["mfu", 0.38], ["pue", 1.2]]
    assert found["month"].tolist() == [pd.Timestamp(month) for month in (JANUARY, FEBRUARY, JANUARY)]
    for change, message in [({"value": float("nan")}, "value of mfu must be a finite number"),
                            ({"month": date(2027, 1, 3)}, "month of mfu must be the first day"),
                            ({"unit": ""}, "unit of mfu must be a text")]:  # fmt: skip
        with pytest.raises(OutOfRange, match=message):
            budget.record_calibration(kept[:1].assign(**change), desk)
    with pytest.raises(OutOfRange, match="mfu, 2027-01 must be there once"):
        budget.record_calibration(pd.concat([kept, kept[:1]]), desk)
    assert len(budget.recorded_calibration(desk)) == 3


def test_the_command(desk, tmp_path):
    def say(*words: str) -> list[str]:
        done = CliRunner().invoke(app, ["budget", *words, "--db", str(desk)], catch_exceptions=False)
        assert done.exit_code == 0
        return [" ".join(line.split()) for line in done.stdout.splitlines()]

    file = str(tmp_path / "out" / "2027.xlsx")
    assert say("export", "2027", file)[0].startswith("2027 (draft): 355.75 USD in 5 lines")
    edit(Path(file), {"C6": 12})
    assert say("import", file, "--as", "2027-b")[0].startswith("2027-b (draft): 357.75 USD")
    assert say("compare", "2027", "2027-b", "--by", "project")[1:] == [
        "search USD 350.25 350.25 0.00", "vision USD 5.50 7.50 2.00", "Total USD 355.75 357.75 2.00"]  # fmt: skip
    say("approve", "2027")
    assert say("approve", "2027-b")[1] == "reports of 2027-01 to 2027-03 now compare with 2027-b in place of 2027"
    assert say("list")[1:] == [
        "2027 approved 2027-01 2027-03 5 355.75 USD",
        "2027-b approved 2027-01 2027-03 5 357.75 USD",
    ]
