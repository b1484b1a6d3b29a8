"""The controller's arithmetic: variances, movers, fiscal years and the landing at the run rate."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcbudget.errors import DcbudgetError, MixedCurrencies
from dcbudget.models.review import fiscal_year_of, movers, only_currency, run_rate_landing, variance_by

NONE = float("nan")


def month(text):
    return pd.Timestamp(f"{text}-01")


def monthly(*rows):
    """(month, budget, actual) rows."""
    frame = pd.DataFrame(rows, columns=["month", "budget", "actual"])
    return frame.assign(month=frame["month"].map(month), budget=frame["budget"].astype(float),
                        actual=frame["actual"].astype(float))  # fmt: skip


LINES = pd.DataFrame(
    [("a", "x", 100.0, 90.0), ("a", "y", 50.0, 80.0), ("b", "x", 0.0, 7.0), ("c", "y", 40.0, 0.0)],
    columns=["project", "category", "budget", "actual"],
)


def test_variance_by_hand_largest_first():
    found = variance_by(LINES, "project")
    assert list(found["project"]) == ["c", "a", "b"]
    assert list(found["variance"]) == [-40, 20, 7]
    assert list(found["variance_rate"])[:2] == pytest.approx([-1, 20 / 150])


def test_variance_rate_is_null_where_nothing_was_budgeted():
    found = variance_by(LINES, "project").set_index("project")
    assert pd.isna(found.loc["b", "variance_rate"])
    assert found.loc["b", "variance"] == 7


def test_variance_ties_to_the_total_whatever_it_is_grouped_by():
    for by in ("project", "category", ["project", "category"]):
        found = variance_by(LINES, by)
        assert found["variance"].sum() == pytest.approx(LINES["actual"].sum() - LINES["budget"].sum())
        assert found["budget"].sum() == LINES["budget"].sum()


def test_variance_of_nothing():
    assert variance_by(LINES.head(0), "project").empty


COSTS = pd.DataFrame(
    [("2026-04", "old", 30.0), ("2026-05", "old", 100.0), ("2026-05", "same", 5.0), ("2026-06", "same", 5.0),
     ("2026-06", "new", 60.0), ("2026-05", "up", 10.0), ("2026-06", "up", 10.0), ("2026-06", "up", 15.0)],
    columns=["month", "project", "cost"],
).assign(month=lambda frame: frame["month"].map(month))  # fmt: skip


def test_movers_with_a_new_and_a_vanished_project():
    found = movers(COSTS, month("2026-06"), ["project"], 5)
    assert found.to_dict("list") == {
        "project": ["old", "new", "up"],
        "before": [100, 0, 10],
        "now": [0, 60, 25],
        "change": [-100, 60, 15],
    }


def test_movers_top_and_ties_to_the_change_of_the_month():
    assert list(movers(COSTS, month("2026-06"), ["project"], 1)["project"]) == ["old"]
    whole = movers(COSTS, month("2026-06"), ["project"], 50)
    assert whole["change"].sum() == 90 - 115


def test_movers_look_back_over_the_turn_of_the_year():
    costs = COSTS.assign(month=COSTS["month"] - pd.DateOffset(months=5))
    assert list(movers(costs, month("2026-01"), ["project"], 5)["project"]) == ["old", "new", "up"]


def test_movers_of_nothing():
    found = movers(COSTS, month("2030-01"), ["project"], 5)
    assert found.empty and list(found.columns) == ["project", "before", "now", "change"]


@pytest.mark.parametrize(
    "text, first, start",
    [
        ("2026-06", 1, "2026-01"),
        ("2026-01", 1, "2026-01"),
        ("2026-12", 1, "2026-01"),
        ("2026-06", 7, "2025-07"),
        ("2026-07", 7, "2026-07"),
        ("2026-11", 12, "2025-12"),
        ("2026-12", 12, "2026-12"),
        ("2026-03", 4, "2025-04"),
    ],
)
def test_fiscal_year(text, first, start):
    assert fiscal_year_of(month(text), first) == (month(start), month(start) + pd.DateOffset(years=1))


@settings(deadline=None)
@given(at=st.dates(), first=st.integers(1, 12))
def test_fiscal_year_holds_its_month(at, first):
    at = pd.Timestamp(year=2000 + at.year % 50, month=at.month, day=1)
    start, end = fiscal_year_of(at, first)
    assert start <= at < end and start.month == first and end == start + pd.DateOffset(years=1)


def year_of(first, actual=lambda n: 100.0 * (n + 1), budget=200.0, months=12):
    """A fiscal year's months with 100, 200, 300 ... spent, beginning in the given month of 2025."""
    start = pd.Timestamp(2025, first, 1)
    return [(f"{start + pd.DateOffset(months=n):%Y-%m}", budget, actual(n)) for n in range(months)]


@pytest.mark.parametrize("first", range(1, 13))
def test_landing_of_a_year_that_begins_in_any_month(first):
    """Four months of 100, 200, 300, 400; the run rate of three is 300, for eight months to come."""
    rows = year_of(first, actual=lambda n: 100.0 * (n + 1) if n < 4 else NONE)
    earlier = (f"{month(rows[0][0]) - pd.DateOffset(months=1):%Y-%m}", 9000.0, 9000.0)
    found = run_rate_landing(monthly(earlier, *rows), month(rows[3][0]), first)
    assert found.year_start == month(rows[0][0]) and found.months_to_come == 8
    assert (found.spent, found.run_rate) == (1000, pytest.approx(300))
    assert found.landing == pytest.approx(1000 + 8 * 300)
    assert (found.budget, found.variance) == (2400, pytest.approx(1000))
    assert (found.months_without_actual, found.months_without_budget) == (0, 0)


def test_landing_of_the_years_last_month_is_what_was_spent():
    rows = year_of(4)
    found = run_rate_landing(monthly(*rows), month(rows[-1][0]), 4)
    assert found.months_to_come == 0
    assert found.landing == found.spent == sum(row[2] for row in rows)


def test_run_rate_reaches_into_the_year_before():
    rows = [("2024-11", 1, 30.0), ("2024-12", 1, 60.0), ("2025-01", 1, 90.0), ("2025-02", 1, 500.0)]
    found = run_rate_landing(monthly(*rows), month("2025-01"), 1, 3)
    assert (found.spent, found.run_rate) == (90, 60)
    assert run_rate_landing(monthly(*rows), month("2025-01"), 1, 1).run_rate == 90


@pytest.mark.parametrize("gap", ["absent", "null"])
def test_month_that_is_not_known_is_no_month_of_zero(gap):
    """April's bill is missing: it adds nothing, and the run rate is the mean of March and May."""
    rows = [("2025-03", 100, 100.0), ("2025-04", 100, NONE), ("2025-05", 100, 300.0)]
    if gap == "absent":
        del rows[1]
    found = run_rate_landing(monthly(*rows), month("2025-05"), 1, 3)
    assert found.run_rate == 200
    assert found.spent == 400
    assert found.months_without_actual == 3  # January, February, April


def test_budgeted_months_to_come_do_not_lower_the_run_rate():
    rows = [("2025-01", 100, 120.0), *((f"2025-{n:02}", 100, NONE) for n in range(2, 13))]
    found = run_rate_landing(monthly(*rows), month("2025-01"))
    assert (found.landing, found.budget) == (1440, 1200)


def test_budget_that_covers_part_of_the_year_says_so():
    rows = [("2025-11", 100, 90.0), ("2025-12", 100, 90.0), ("2026-01", NONE, 90.0)]
    found = run_rate_landing(monthly(*rows), month("2026-01"), 11)
    assert (found.budget, found.months_without_budget) == (200, 10)


def test_landing_of_nothing():
    found = run_rate_landing(monthly(), month("2026-01"))
    assert (found.spent, found.run_rate, found.landing, found.budget) == (0, 0, 0, 0)


AMOUNTS = st.lists(st.floats(0, 1e6), min_size=12, max_size=12)


@settings(deadline=None)
@given(amounts=AMOUNTS, upto=st.integers(0, 11), window=st.integers(1, 12))
def test_landing_is_spent_plus_the_rest_at_the_run_rate(amounts, upto, window):
    frame = monthly(*year_of(1, actual=lambda n: amounts[n]))
    found = run_rate_landing(frame, month(f"2025-{upto + 1:02}"), 1, window)
    known = amounts[: upto + 1]
    last = known[-window:]
    assert found.spent == pytest.approx(sum(known))
    assert found.landing == pytest.approx(sum(known) + (11 - upto) * sum(last) / len(last))


def test_constant_spend_lands_on_twelve_times_it():
    frame = monthly(*year_of(1, actual=lambda n: 50.0))
    for upto in range(1, 13):
        assert run_rate_landing(frame, month(f"2025-{upto:02}")).landing == pytest.approx(600)


def test_one_currency():
    assert only_currency(pd.DataFrame({"currency": ["USD", None, "USD"]})) == "USD"


def test_several_currencies_are_named():
    with pytest.raises(MixedCurrencies, match="EUR and USD cannot be summed without a rate"):
        only_currency(pd.DataFrame({"currency": ["USD", "EUR", "USD"]}))


def test_no_amounts_have_no_currency():
    with pytest.raises(DcbudgetError, match="no amounts"):
        only_currency(pd.DataFrame({"currency": []}))
