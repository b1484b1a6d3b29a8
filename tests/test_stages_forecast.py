"""Forecasts of a database: a few projects by hand, what is kept, and the sample."""

import numpy as np
import pandas as pd
import pytest

from dcbudget import warehouse
from dcbudget.errors import DcbudgetError
from dcbudget.models.forecast import backtest
from dcbudget.models.forecast.spend import FORECAST, NAIVE, TOTAL
from dcbudget.stages.days_ahead import DaysAhead
from dcbudget.stages.forecast import Forecasts
from tiny import budget as line
from tiny import egress, make, make_world

MONTHS = pd.date_range("2025-08-01", "2026-05-01", freq="MS")
ALPHA = [1000, 1040, 990, 1060, 1100, 1050, 1130, 1090, 1180, 1150]


@pytest.fixture(scope="module")
def bills(tmp_path_factory):
    """Ten months of alpha, the last two of beta, none of gamma; a plan of 2026 for alpha and gamma."""
    charges = [egress(f"{month:%Y-%m}", str(amount)) for month, amount in zip(MONTHS, ALPHA, strict=True)]
    charges += [egress(month, amount, "beta") for month, amount in (("2026-04", "300"), ("2026-05", "310"))]
    plan = [line(f"2026-{month:02}", "alpha", "Network", "1000") for month in range(1, 13)]
    plan += [line("2026-12", "gamma", "Network", "50")]
    return str(make(tmp_path_factory.mktemp("bills"), charges=charges, plan=plan))


@pytest.fixture(scope="module")
def stage(bills):
    return Forecasts(database=bills, draws=2000)


@pytest.fixture(scope="module")
def sample(sample_db):
    return Forecasts("2026-06", str(sample_db), draws=1000)


def landing(stage, project):
    return stage.landings.set_index("project").loc[project]


def test_days_sum_to_the_months_of_showback(tmp_path):
    """Of pools, own charges, owned hardware and idle time: to the cent, and by the hours that jobs held each day."""
    db = make_world(tmp_path)
    daily, monthly = (warehouse.mart(f"showback_{span}", db) for span in ("daily", "monthly"))
    keys = ["month", "project", "currency"]
    sums = daily.groupby(keys)["effective_cost"].sum()
    expected = monthly.groupby(keys)["effective_cost"].sum().astype(float)
    assert len(expected) >= 4 and sums.sort_index().to_numpy() == pytest.approx(
        expected.sort_index().to_numpy(), abs=1e-6
    )
    assert (pd.to_datetime(daily["day"]).dt.to_period("M") == pd.to_datetime(daily["month"]).dt.to_period("M")).all()
    assert not daily.duplicated(["day", "project", "currency"]).any()


def test_a_charge_is_spread_over_its_days(tmp_path):
    egress_ = egress("2026-05", "310") | {
        "ChargePeriodStart": "2026-05-10T00:00:00Z",
        "ChargePeriodEnd": "2026-05-12T12:00:00Z",
    }
    daily = warehouse.mart("showback_daily", make(tmp_path, charges=[egress_]))
    found = daily.set_index(pd.to_datetime(daily["day"]).dt.day)["effective_cost"]
    assert found.loc[[10, 11, 12]].tolist() == pytest.approx([124, 124, 62]) and found.drop([10, 11, 12]).sum() == 0


def test_landing_is_what_was_spent_and_what_is_expected(stage):
    alpha, whole = landing(stage, "alpha"), landing(stage, TOTAL)
    assert alpha["spent"] == sum(ALPHA[5:]) and whole["spent"] == sum(ALPHA[5:]) + 610
    assert len(stage.months) == 7 and stage.months[0] == pd.Timestamp("2026-06-01")
    assert alpha["landing"] == pytest.approx(alpha["spent"] + stage.middle["alpha"].sum())
    assert alpha["run_rate"] == pytest.approx(alpha["spent"] + 7 * np.mean(ALPHA[-3:]))
    assert 7 * 1100 < stage.middle["alpha"].sum() < 7 * 1350
    assert alpha["lower_95"] < alpha["lower_80"] < alpha["lower_50"] < alpha["landing"] < alpha["upper_50"]
    assert landing(stage, "beta")["method"] == "mean of the 2 months known"
    assert stage.middle["beta"].iloc[0] == pytest.approx(610 / 61 * 30, rel=0.05)


def test_parts_sum_to_the_whole_to_the_cent(stage):
    months = stage.monthly.groupby("month")["p50"].sum().round(2)
    assert months.tolist() == stage.total["p50"].tolist()
    cents = stage.monthly["p50"] * 100
    assert (abs(cents - cents.round()) < 1e-6).all()
    days = stage.daily_ahead.groupby(stage.daily_ahead.index.month).sum().to_numpy()
    assert days == pytest.approx(stage.middle.to_numpy(), abs=1e-6)
    frame = stage.landings.set_index("project")
    for name in ("spent", "landing", "run_rate"):
        assert round(frame[name].iloc[:-1].sum(), 2) == round(frame.loc[TOTAL, name], 2)


def test_days_have_intervals_and_say_how_well_they_held(stage, bills):
    """A bill spread over its month has no noise: days are off as their months are."""
    ahead = DaysAhead(stage)
    days = ahead.days.set_index(["project", "day"])
    assert days.loc["alpha", "p50"].to_numpy() == pytest.approx(stage.daily_ahead["alpha"].to_numpy())
    assert days.loc[TOTAL, "p50"].sum() == pytest.approx(stage.total["p50"].sum())
    row = days.loc["alpha"].iloc[-1]
    assert 0 <= row["lower_95"] < row["lower_80"] < row["lower_50"] < row["p50"] < row["upper_50"] < row["upper_80"]
    width = days["upper_80"] - days["p50"]
    assert width["alpha"].iloc[-1] > width["alpha"].iloc[0]
    assert ahead.coverage["days"].tolist() == [2 * ahead.coverage.loc[TOTAL, "days"], ahead.coverage.loc[TOTAL, "days"]]
    assert ahead.coverage["within_80"].between(0, 1).all()
    twice = [{"project": "alpha", "start": "2026-06", "change": "multiply", "value": 2}]
    doubled = DaysAhead(Forecasts(database=bills, draws=100, known_events=twice)).days.set_index(["project", "day"])
    assert (doubled["upper_80"] - doubled["p50"])["alpha"].to_numpy() == pytest.approx(2 * width["alpha"].to_numpy())
    assert ahead.drawn().to_dict()["title"]["text"].startswith("A day to come costs 4")
    over = DaysAhead(Forecasts("2025-12", bills, draws=100))
    assert over.days.empty and over.drawn().to_dict()["title"]["text"] == (
        "No day of the fiscal year from 2025-01 is to come"
    )


def test_paths_are_spread_as_the_intervals_say(stage):
    end = np.quantile(stage.paths[:, -1, list(stage.daily).index("alpha")], [0.1, 0.9])
    row = stage.monthly.query("project == 'alpha'").iloc[-1]
    assert end == pytest.approx([row["lower_80"], row["upper_80"]], rel=0.03)
    assert stage.draws.shape == (2000, 2) and stage.draws["alpha"].min() > sum(ALPHA[5:])


def test_chance_of_overrun_is_a_share_of_the_paths(stage):
    found = stage.chance_of_overrun().set_index("project")
    assert found.loc["alpha", "budget"] == 12_000 and pd.isna(found.loc["beta", "chance"])
    assert found.loc["gamma", "chance"] == 0 and found.loc[TOTAL, "budget"] == 12_050
    assert found.loc["alpha", "chance"] == pytest.approx((stage.draws["alpha"] > 12_000).mean())
    middle = stage.draws["alpha"].median()
    even = stage.chance_of_overrun({"alpha": middle, "beta": 1e9}).set_index("project")
    assert even["chance"].tolist() == [0.5, 0, 0] and even.loc["beta", "expected_overrun"] == 0
    assert even.loc["alpha", "expected_overrun"] == pytest.approx((stage.draws["alpha"] - middle).clip(lower=0).mean())
    assert stage.chance_of_overrun({"alpha": 0}).set_index("project").loc["alpha", "chance"] == 1


def test_what_is_known_to_come_is_added(stage, bills):
    told = [{"project": "beta", "start": "2026-07", "change": "add", "value": 1000, "about": "a commitment",
             "known": "2026-02-01"},
            {"project": "delta", "start": "2026-12-01", "change": "add", "value": 500},
            {"project": "alpha", "start": "2026-12", "change": "multiply", "value": 2}]  # fmt: skip
    other = Forecasts(database=bills, draws=2000, known_events=told)
    assert landing(other, "beta")["landing"] - landing(stage, "beta")["landing"] == pytest.approx(6000, abs=0.03)
    assert landing(other, "delta")["landing"] == pytest.approx(500, abs=0.02)
    assert landing(other, "delta")["method"] == "nothing known: 0 months of spend, none is expected, and known events"
    last = other.monthly.query("project == 'alpha'").iloc[-1]
    before = stage.monthly.query("project == 'alpha'").iloc[-1]
    assert last["p50"] == pytest.approx(2 * before["p50"], abs=0.05)
    assert last["upper_80"] - last["p50"] == pytest.approx(2 * (before["upper_80"] - before["p50"]), rel=0.01)


def test_forecasts_are_kept_by_their_inputs(stage, bills, monkeypatch):
    assert len(stage.points)
    monkeypatch.setattr(backtest, "expectations", lambda *_: pytest.fail("fitted again"))
    again = Forecasts(database=bills, draws=2000)
    pd.testing.assert_frame_equal(again.monthly, stage.monthly, check_exact=True)
    assert again.draws.to_numpy().tobytes() == stage.draws.to_numpy().tobytes()
    assert Forecasts(database=bills, draws=2000, seed=2).draws.iloc[0, 0] != stage.draws.iloc[0, 0]


def test_where_the_year_was_expected_to_land_stays_as_it_was(stage, bills):
    then, before = stage.landings_then, Forecasts("2026-03", bills, draws=100).landings_then
    assert sorted(then["month"].unique()) == list(MONTHS[5:]) and set(then["project"]) == {"alpha", "beta", TOTAL}
    both = before.merge(then, on=["month", "project"])
    assert len(both) == 2 * 3 and both["landing_p50_x"].to_numpy() == pytest.approx(both["landing_p50_y"].to_numpy())
    last = then[then["month"] == stage.month].set_index("project")
    assert last["landing_p50"].to_dict() == pytest.approx(stage.landings.set_index("project")["landing"].to_dict(),
                                                          abs=0.05)  # fmt: skip
    assert (then["landing_p80"] >= then["landing_p50"]).all()
    assert last.loc["alpha", "landing_p80"] == pytest.approx(stage.draws["alpha"].quantile(0.8), rel=0.01)


def test_backtests_know_an_event_from_the_day_on_which_it_was_known(bills, stage):
    """Beta began in April: known in February to come, it was expected; known in March, it was not."""
    told = {"project": "beta", "start": "2026-04", "change": "add", "value": 300}
    for known, expected in (("2026-02-28", [0, 300]), ("2026-03-01", [0, 0])):
        points = Forecasts(database=bills, known_events=[told | {"known": known}], draws=100).points
        points = points[(points["project"] == "beta") & (points["method"] == FORECAST)].set_index("made_month")
        found = points.loc[pd.Timestamp("2026-02-01")].set_index("target_month")["forecast"]
        assert found.loc[pd.to_datetime(["2026-03-01", "2026-04-01"])].tolist() == pytest.approx(expected), known
        plain = stage.points[stage.points["made_month"] == stage.month]
        now = points.loc[stage.month, "forecast"].to_numpy()  # what began is in what was spent
        assert now == pytest.approx(plain[(plain["project"] == "beta") & (plain["method"] == FORECAST)]["forecast"])


def test_what_was_said_first_stays_and_meets_what_came(tmp_path):
    db = str(
        make(
            tmp_path,
            charges=[egress(f"{month:%Y-%m}", str(amount)) for month, amount in zip(MONTHS, ALPHA, strict=True)],
        )
    )
    early = Forecasts("2026-03", db, draws=100)
    assert early.said().empty
    first = early.keep()
    assert first.columns.tolist() == ["made_month", "target_month", "project", "p10", "p50", "p90", "method"]
    changed = [{"project": "alpha", "start": "2026-04", "change": "multiply", "value": 5}]
    Forecasts("2026-03", db, draws=100, known_events=changed).keep()
    said = Forecasts("2026-05", db, draws=100).said()
    april = said[(said["project"] == "alpha") & (said["target_month"] == pd.Timestamp("2026-04-01"))].iloc[0]
    assert april["p50"] == early.middle["alpha"].iloc[0] and april["actual"] == 1180
    assert said.loc[said["target_month"] > pd.Timestamp("2026-05-01"), "actual"].isna().all()
    assert early.said()["actual"].isna().all()


def test_scores_by_hand(stage):
    scores = stage.scores().set_index(["project", "horizon", "method"])
    naive = scores.loc[("alpha", 1, NAIVE)]
    errors = np.abs(np.diff(ALPHA[3:]))  # from November on, with four months known
    assert naive["forecasts"] == 6 and naive["wape"] == pytest.approx(errors.sum() / sum(ALPHA[4:]))
    assert scores.loc[("alpha", 3, FORECAST), "forecasts"] == 4
    table = stage.scorecard().frame
    assert table["project"].tolist()[-3:] == [TOTAL] * 3 and table["horizon"].tolist()[-3:] == [1, 3, 6]
    assert {"Forecast", "Naive", "Run rate"} <= set(stage.backtest().frame["method"])


def test_scores_of_the_plan_by_hand(stage):
    alpha = stage.plan_scores("project").set_index("project").loc["alpha"]
    assert (alpha["budget"], alpha["actual"]) == (5000, sum(ALPHA[5:]))
    assert alpha["wape"] == pytest.approx(600 / 5600) and alpha["bias"] == pytest.approx(-600 / 5600)
    assert stage.plan_scores().iloc[0]["driver"] == "GB"
    assert "below what was spent in 5 months" in stage.plan_scorecard().title
    with pytest.raises(DcbudgetError, match="by must be project or category, not 'owner'"):
        stage.plan_scores("owner")


def test_a_year_that_is_over_has_landed(bills):
    over = Forecasts("2025-12", bills, draws=100)
    assert over.finding.startswith("The year ended at 5,190 USD") and over.monthly.empty and over.total.empty
    assert landing(over, TOTAL)["landing"] == sum(ALPHA[:5]) and over.keep().empty
    assert (
        over.year_end().frame["chance"].isna().all() and over.chart() and "Table" in type(over.months_table()).__name__
    )
    fiscal = Forecasts("2025-12", bills, fiscal_year_start=4, draws=100)
    assert len(fiscal.months) == 3 and landing(fiscal, TOTAL)["spent"] == sum(ALPHA[:5])


def test_one_month_is_carried_on_and_its_range_assumed(bills):
    first = Forecasts("2025-08", bills, draws=100)
    (row,) = first.monthly[first.monthly["month"] == pd.Timestamp("2025-09-01")].itertuples()
    assert row.p50 == pytest.approx(1000 / 31 * 30, abs=0.01) and row.lower_80 < row.p50 < row.upper_80
    assert row.method == "last month carried on (1 month known); range assumed, no error is known yet"
    assert "Nothing is known yet" in first.backtest().title and "Nothing is known yet" in first.scorecard().title


@pytest.mark.parametrize("parameters, sentence", [
    ({"draws": 5}, "draws must lie between 100"), ({"seed": -1}, "seed must lie between 0"),
    ({"month": "2020-01"}, "no charges in 2020-01"), ({"fiscal_year_start": 13}, "fiscal_year_start must lie between"),
    ({"known_events": [{"project": "a"}]}, "start of an event must be given"),
    ({"plan_version": "x"}, "no plan version 'x'"),
])  # fmt: skip
def test_parameters_that_cannot_be(bills, parameters, sentence):
    with pytest.raises(DcbudgetError, match=sentence):
        Forecasts(database=bills, **parameters)


def test_budgets_that_cannot_be(stage):
    with pytest.raises(DcbudgetError, match="a budget is of one of alpha, beta, Total, not of 'omega'"):
        stage.chance_of_overrun({"omega": 1})
    with pytest.raises(DcbudgetError, match="budget must be finite, not nan"):
        stage.chance_of_overrun({"alpha": np.nan})


def test_titles_name_basis_and_currency(stage):
    for table in (stage.year_end(), stage.months_table(), stage.backtest(), stage.scorecard(), stage.plan_scorecard()):
        assert "effective cost, USD" in table.title and repr(table)
    for chart in (stage.chart(), stage.year_end_chart(), stage.backtest_chart()):
        assert "effective cost, USD" in chart.to_dict()["title"]["subtitle"]
    assert "over budget; chance of overrun" in stage.finding


# The sample.


def test_sample_is_forecast_better_than_by_the_run_rate(sample):
    scores = sample.backtest().frame.set_index(["of", "method"])["wape"]
    for of in ("Projects", TOTAL):
        assert scores[of, FORECAST] < scores[of, NAIVE] and scores[of, FORECAST] < scores[of, "Run rate"]
    total = landing(sample, TOTAL)
    assert total["lower_80"] < total["landing"] < total["upper_80"] and total["chance"] > 0.9
    assert sample.monthly["p50"].sum().round(2) == sample.total["p50"].sum().round(2)
    held = DaysAhead(sample).coverage
    for level in (50, 80, 95):
        assert held[f"within_{level}"].to_numpy() == pytest.approx(level / 100, abs=0.1), level
    assert not landing(sample, "vision")["budget"] > landing(sample, "vision")["lower_95"]
