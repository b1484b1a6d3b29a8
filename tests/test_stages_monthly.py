"""The whole monthly report: what it holds, what it leaves out, and what of it is kept."""

from pathlib import Path

import pandas as pd
import pytest

from dcbudget import adjustments, results, warehouse
from dcbudget.stages.monthly import MonthlyReport
from tiny import budget, egress, make


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("monthly")


@pytest.fixture(scope="module")
def unplanned(folder):
    """Two months, 100 and 130, and no plan."""
    return str(make(folder / "unplanned", charges=[egress("2026-05", "100"), egress("2026-06", "130")]))


@pytest.fixture(scope="module")
def planned(folder):
    """The same with 120 budgeted for every month of the year."""
    plan = [budget(f"2026-{n:02}", "alpha", "Network", "120") for n in range(1, 13)]
    return str(make(folder / "planned", charges=[egress("2026-05", "100"), egress("2026-06", "130")], plan=plan))


def test_without_a_plan_nothing_is_compared_with_one(unplanned):
    report = MonthlyReport("2026-06", unplanned)
    assert [bridge.against for bridge in report.bridges] == ["months before"]
    (table,) = report.bridge_tables()
    assert table.title.startswith("June 2026 cost 130 USD, 30 USD (30.0%) more than May 2026")
    assert report.adjustments().title.startswith("No budget was adjusted") and report.adjustments().frame.empty
    figures = {label: (value, remark) for label, value, remark in report.headline().figures}
    landing = report.forecasts.landings.iloc[-1]
    assert figures["Forecast"][0] == f"{landing['landing']:,.0f} USD"
    assert figures["Forecast"][1] == f"80 %: {landing['lower_80']:,.0f} to {landing['upper_80']:,.0f}, " + (
        "fiscal year from 2026-01"
    )
    assert "Bridge from month before" in report.tables() and "Bridge from budget" not in report.tables()


def test_first_month_has_no_month_before(planned):
    report = MonthlyReport("2026-05", planned)
    assert [bridge.against for bridge in report.bridges] == ["budget"]
    assert report.bridge_tables()[0].title.startswith("May 2026 cost 100 USD, 20 USD (16.7%) under budget")


def test_forecast_stands_before_the_run_rate_and_tells_the_chance(planned):
    """The run rate of 115 lands at 230 + 6 x 115 = 920 of 1,440: no overrun is likely."""
    report = MonthlyReport("2026-06", planned)
    labels = [label for label, *_ in report.headline().figures]
    assert labels == ["Spent", "Budget", "Variance", "Forecast", "At the run rate", "Alerts", "Biggest mover"]
    figures = {label: (value, remark) for label, value, remark in report.headline().figures}
    assert figures["Forecast"][1].endswith("chance of overrun below 1%")
    assert figures["At the run rate"][0] == "920 USD"
    assert figures["Alerts"][0] == str(len(report.alerts.of_month))


def test_ledger_of_adjustments_is_told(planned, tmp_path):
    db = tmp_path / "budget.duckdb"
    db.write_bytes(Path(planned).read_bytes())
    adjustments.propose(
        owner="controller", date="2026-06-20", first_month="2026-07-01", last_month="2026-12-01", from_project="alpha",
        from_category="Network", amount=60, currency="USD", plan_version="2026", counterfactual="budget before",
        promised_saving=60, db=db,
    )  # fmt: skip
    table = MonthlyReport("2026-06", str(db)).adjustments()
    assert table.title.startswith("1 adjustments, 1 of them wait for a decision")
    assert table.frame["promised"].tolist() == [60]


def test_what_was_computed_in_a_copy_comes_back(planned, tmp_path):
    db, copy = tmp_path / "budget.duckdb", tmp_path / "copy.duckdb"
    for path in (db, copy):
        path.write_bytes(Path(planned).read_bytes())
    results.keep("forecast_points", "abc1", pd.DataFrame({"a": [1, 2]}), copy, {"month": "2026-06"})
    results.carry(copy, db)
    results.carry(copy, db)
    assert results.kept("forecast_points", "abc1", db)["a"].tolist() == [1, 2]
    told = warehouse.query("select name, parameters from results where key = 'abc1'", db)
    assert told.values.tolist() == [["forecast_points", '{"month": "2026-06"}']]


def test_weights_of_idle_capacity_and_known_events_are_heard(planned):
    """100 and 130 were spent, 115 a month is to come; 50 more a month from October on are 150."""
    event = {"project": "alpha", "start": "2026-10", "change": "add", "value": 50, "known": "2026-06-15"}
    report = MonthlyReport("2026-06", planned, share_idle={"alpha": 1}, known_events=[event])
    plain = MonthlyReport("2026-06", planned, share_idle="even")
    assert (report.review.share_idle, report.review.idle_weights) == ("fixed", {"alpha": 1})
    assert (plain.review.share_idle, plain.review.idle_weights) == ("even", {})
    lands, without = (one.forecasts.landings["landing"].iloc[-1] for one in (report, plain))
    assert lands - without == pytest.approx(150, abs=0.02)
    assert report.days_ahead.days.query("project == 'alpha'")["p50"].sum() - 230 == pytest.approx(lands - 460, abs=0.02)
