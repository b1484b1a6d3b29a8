"""Tables and headlines as readers see them: formats, totals, nothing that a browser would run."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from dcbudget import tables
from dcbudget.tables import Headline, Table

EVIL = '<script>alert(1)</script> & "quoted"'


def table(**changes):
    frame = pd.DataFrame({
        "name": ["alpha", None], "cost": [1234567.891, np.nan], "rate": [0.1234, -0.5],
        "day": [pd.Timestamp("2026-05-01 13:00"), pd.NaT],
    })  # fmt: skip
    given = {
        "frame": frame,
        "columns": {"name": "Name", "cost": "Cost", "rate": "Rate", "day": "Day"},
        "title": "What it cost (effective cost, USD)",
        "formats": {"cost": tables.CENTS, "rate": tables.SIGNED_RATE},
    }
    return Table(**given | changes)


def test_cells_are_set_for_readers():
    assert table().cells() == [["alpha", "1,234,567.89", "+12.3%", "2026-05-01"], ["–", "–", "-50.0%", "–"]]


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT])
def test_nothing_known_is_a_dash(missing):
    frame = pd.DataFrame({"a": pd.Series([missing], dtype=object)})
    assert Table(frame, {"a": "A"}, "t", {"a": tables.MONEY}).cells() == [["–"]]


@pytest.mark.parametrize(
    "form, value, text",
    [
        (tables.MONEY, 1234567.5, "1,234,568"),
        (tables.MONEY, -1234.4, "-1,234"),
        (tables.CENTS, 0.005, "0.01"),
        (tables.COUNT, 3, "3"),
        (tables.RATE, 0.5, "50.0%"),
        (tables.SIGNED, 12.3, "+12"),
        (tables.SIGNED_RATE, -0.012, "-1.2%"),
        (tables.HOURS, 1.25, "1.2"),
        (tables.MONEY, -0.3, "0"),
        (tables.SIGNED, -0.3, "+0"),
        (tables.SIGNED_RATE, -0.0001, "+0.0%"),
        (tables.CENTS, -0.0049, "0.00"),
    ],
)
def test_formats(form, value, text):
    assert form.format(value) == text


def test_other_values_are_text():
    frame = pd.DataFrame({"a": [date(2026, 5, 1), True, 7]}, dtype=object)
    assert Table(frame, {"a": "A"}, "t").cells() == [["2026-05-01"], ["True"], ["7"]]


def test_total_sums_the_named_columns_only():
    rows = table(total=("cost",)).cells()
    assert rows[-1] == ["Total", "1,234,567.89", "", ""]


def test_no_total_under_no_rows():
    empty = table(total=("cost",), frame=table().frame.head(0))
    assert empty.cells() == []
    assert "nothing to show" in empty._repr_html_() and 'colspan="4"' in empty._repr_html_()
    assert "Total" not in empty._repr_html_()


def test_html_has_caption_headings_and_a_marked_total():
    page = table(total=("cost",))._repr_html_()
    assert "<caption>What it cost (effective cost, USD)</caption>" in page
    assert page.count('<tr class="total">') == 1
    assert page.index("total") < page.rindex("1,234,567.89")
    assert '<th style="text-align:right">Cost</th>' in page and '<th style="text-align:left">Name</th>' in page


def test_every_text_is_escaped():
    frame = pd.DataFrame({"name": [EVIL], "cost": [1.0]})
    page = Table(frame, {"name": EVIL, "cost": "Cost"}, EVIL, {"cost": tables.MONEY})._repr_html_()
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quoted&quot;") == 3


def test_column_names_may_be_anything():
    frame = pd.DataFrame([[1.0, "x"]], columns=["cost per GPU-hour", "class"])
    assert Table(frame, {"class": "Class", "cost per GPU-hour": "Cost"}, "t").cells() == [["x", "1.0"]]


def test_text_lines_up():
    lines = repr(table(total=("cost",))).splitlines()
    assert lines[0] == "What it cost (effective cost, USD)"
    assert lines[1].startswith("Name ") and lines[2].index("1,234,567.89") == lines[4].index("1,234,567.89")
    assert not any(line.endswith(" ") for line in lines)


def test_a_table_leaves_its_frame_alone():
    frame = table().frame
    before = frame.copy()
    table(frame=frame, total=("cost",))._repr_html_()
    pd.testing.assert_frame_equal(frame, before)


def test_headline():
    headline = Headline("Review", [("Spent", "10 USD", "May"), ("Mover", "x", "")])
    assert headline.lines() == ["Spent: 10 USD (May)", "Mover: x"]
    assert repr(headline) == "Review\nSpent: 10 USD (May)\nMover: x"
    page = headline._repr_html_()
    assert page.count('<div class="card">') == 2 and '<div class="value">10 USD</div>' in page


def test_headline_is_escaped():
    page = Headline(EVIL, [(EVIL, EVIL, EVIL)])._repr_html_()
    assert "<script" not in page and page.count("&lt;script&gt;") == 4
