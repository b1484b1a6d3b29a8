"""Forecasts of spend: metrics by hand and by M4, parts that sum, fallbacks, events, and intervals that hold."""

import numpy as np
import pandas as pd
import pytest

from dcbudget.errors import OutOfRange
from dcbudget.models.forecast import backtest, events, intervals, methods, metrics, spend
from dcbudget.models.forecast.reconcile import reconcile, to_cents
from dcbudget.models.forecast.spend import FORECAST, NAIVE, RUN_RATE_METHOD, SEASONAL_NAIVE, TOTAL


def days(months, first="2025-01-01", **projects):
    """Spend of every day; a number or one value a month for each project [money a day]."""
    index = pd.date_range(first, pd.Timestamp(first) + pd.offsets.MonthEnd(months), name="day")
    at = (index.year - index[0].year) * 12 + index.month - index[0].month
    return pd.DataFrame({name: np.broadcast_to(np.asarray(values, dtype=float), months)[at]
                         for name, values in projects.items()}, index)  # fmt: skip


# Metrics.


def test_metrics_by_hand():
    """Errors +10, -20, 0 of 100, 200, 100; the history moves by 10, 30, 20: 20 on average."""
    forecast, actual = [110, 180, 100], [100, 200, 100]
    assert metrics.wape(forecast, actual) == pytest.approx(30 / 400)
    assert metrics.bias(forecast, actual) == pytest.approx(-10 / 400)
    assert metrics.smape(forecast, actual) == pytest.approx((20 / 210 + 40 / 380) / 3)
    assert metrics.mase(forecast, actual, [50, 60, 30, 50]) == pytest.approx(10 / 20)
    assert metrics.mase(forecast, actual, [50, 60, 30, 50], 2) == pytest.approx(10 / 15)
    assert metrics.coverage([90, 190, 101], [110, 210, 102], actual) == pytest.approx(2 / 3)


def test_metrics_where_nothing_can_be_said():
    assert np.isnan(metrics.wape([1], [0])) and np.isnan(metrics.bias([1], [0])) and metrics.smape([0], [0]) == 0
    assert np.isnan(metrics.mase([1], [2], [3])) and np.isnan(metrics.mase([1], [2], [3, 3]))
    with pytest.raises(OutOfRange, match="forecast must have the shape of actual"):
        metrics.wape([1, 2], [1])
    with pytest.raises(OutOfRange, match="actual must be finite, not nan"):
        metrics.wape([1], [np.nan])


def m4(real, part):
    frame = pd.read_csv(real / f"forecast/m4_hourly_{part}.csv.gz", index_col=0)
    return {name: row.dropna().to_numpy(dtype=float) for name, row in frame.iterrows()}


def test_metrics_give_what_is_published_of_m4_hourly(real):
    """M4's own baselines: Naive sMAPE 43.003, MASE 11.608; seasonal naive 13.912, 1.193 (414 series, 48 hours)."""
    train, test = m4(real, "train"), m4(real, "test")
    assert len(train) == 414
    found = {}
    for name, ahead in (("naive", lambda y: np.repeat(y[-1], 48)), ("seasonal", lambda y: np.tile(y[-24:], 2))):
        smape = [metrics.smape(ahead(train[key]), test[key]) for key in train]
        mase = [metrics.mase(ahead(train[key]), test[key], train[key], 24) for key in train]
        found[name] = (100 * np.mean(smape), np.mean(mase))
    assert found["naive"] == pytest.approx((43.003, 11.608), abs=0.0005)
    assert found["seasonal"] == pytest.approx((13.912, 1.193), abs=0.0005)


# One series.


def test_theta_is_that_of_statsmodels():
    from statsmodels.tsa.forecasting.theta import ThetaModel

    values = 100 + np.arange(30) + np.random.default_rng(1).normal(0, 3, 30)
    fit = ThetaModel(values, deseasonalize=False).fit(use_mle=False)
    level = fit.forecast_components(6)["ses"].to_numpy()
    found = methods.theta(values, level, float(fit.params["alpha"]), 6)
    assert found == pytest.approx(np.asarray(fit.forecast(6, theta=2)))


def test_smoothing_of_least_criterion_is_the_library_s():
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    line = 50 + 3.0 * np.arange(24) + np.random.default_rng(2).normal(0, 0.5, 24)
    found, level, _ = methods.smoothing(line, 3)
    best = ExponentialSmoothing(line, trend="add", initialization_method="heuristic").fit(use_brute=False).forecast(3)
    assert found == pytest.approx(best, rel=1e-6) and found == pytest.approx([122, 125, 128], abs=1.5)
    flat = np.random.default_rng(3).normal(100, 5, 24)
    found, level, _ = methods.smoothing(flat, 3)
    assert np.ptp(level) == 0 and abs(found - 100).max() < 5


def test_line_is_drawn_on_through_the_last_values():
    values = np.r_[np.zeros(50), 2.0 * np.arange(10)]
    assert methods.straight(values, 3, 10) == pytest.approx([20, 22, 24])


def test_two_seasons_and_a_line_are_carried_on():
    at = np.arange(24 * 7 * 4 + 24)
    values = 500 + 0.5 * at + 40 * np.sin(2 * np.pi * at / 24) + 25 * np.sin(2 * np.pi * at / 168)
    found = methods.ahead(values[:-24], 24, (24, 168), line=10_000)
    assert found.shape == (3, 24) and abs(found / values[-24:] - 1).max() < 0.02


@pytest.mark.parametrize("values", [[5.0, 5, 5, 5, 5], [0.0] * 6, [-3.0] * 20, [7.0]])
def test_constant_series_go_on_as_they_are(values):
    assert (methods.ahead(values, 4) == values[-1]).all()


def test_forecasts_do_not_depend_on_the_unit():
    values = np.random.default_rng(4).normal(100, 10, 20)
    assert methods.ahead(values, 3) * 1e6 == pytest.approx(methods.ahead(values * 1e6, 3), rel=1e-9)


@pytest.mark.parametrize("values, horizon, sentence", [
    ([1, np.nan], 1, "values must be finite, not nan"), ([1, 2], 0, "horizon must be at least 1"),
    ([1, 2], 1.5, "horizon must be a whole number"), (["x"], 1, "values must be a number"),
])  # fmt: skip
def test_values_that_cannot_be(values, horizon, sentence):
    with pytest.raises(OutOfRange, match=sentence):
        methods.ahead(values, horizon)


# Parts and the whole.


def test_reconciled_parts_are_those_of_the_general_formula():
    """MinT: S (S' W^-1 S)^-1 S' W^-1 of the total above and three parts below."""
    forecasts, variances = np.array([105.0, 50, 30, 10]), np.array([4.0, 9, 1, 0.5])
    summing = np.vstack([np.ones(3), np.eye(3)])
    weights = np.linalg.inv(np.diag(variances))
    expected = summing @ np.linalg.solve(summing.T @ weights @ summing, summing.T @ weights @ forecasts)
    found = reconcile(forecasts[1:], forecasts[0], variances[1:], variances[0])
    assert found == pytest.approx(expected[1:]) and found.sum() == pytest.approx(expected[0])


def test_reconciling_leaves_what_is_sure_and_what_agrees():
    assert reconcile([10.0, 0.0], 14.0, [3.0, 0.0], 1.0).tolist() == [13.0, 0.0]
    assert reconcile([10.0, 4.0], 14.0, [3.0, 2.0], 1.0).tolist() == [10.0, 4.0]
    assert reconcile([10.0, 4.0], 20.0, [0.0, 0.0], 0.0).tolist() == [10.0, 4.0]
    with pytest.raises(OutOfRange, match="variances must be at least 0"):
        reconcile([1.0], 2.0, [-1.0], 1.0)


def test_parts_are_cut_to_cents_that_sum_to_the_whole():
    parts = np.random.default_rng(5).normal(1000, 900, (50, 9))
    cut = to_cents(parts)
    assert (np.round(cut.sum(axis=1), 2) == np.round(parts.sum(axis=1), 2)).all()
    assert abs(cut - parts).max() <= 0.0101 and (np.round(cut, 2) == cut).all()


# Spend of projects.


@pytest.mark.parametrize("months, words, a_day", [
    (0, "nothing known: 0 months", 0), (1, "last month carried on (1 month known)", 30),
    (2, "mean of the 2 months known", (20 * 28 + 30 * 31) / 59), (3, "mean of the 3 months known", 20),
    (4, "mean of exponential smoothing, Theta and decomposition (4 months known)", None),
])  # fmt: skip
def test_short_histories_go_on_in_stated_simpler_ways(months, words, a_day):
    """The last of up to three months at 10 (31 days), 20 (28) and 30 (31) a day, after nothing."""
    values = {0: [0, 0, 0], 1: [0, 0, 30], 2: [0, 20, 30], 3: [10, 20, 30]}.get(months)
    daily = days(3, a=values) if values else days(4, a=[10, 20, 30, 40])
    found = spend.expected(daily, 2)
    assert found.method["a"].startswith(words)
    if a_day is not None:
        mean = daily["a"][daily["a"] > 0].mean() if months == 3 else a_day
        assert found.monthly["a"].to_numpy() == pytest.approx(mean * np.array([30, 31]))


def test_ended_projects_stay_ended_and_others_bear_their_total():
    found = spend.expected(days(12, a=100, b=[50] * 9 + [0] * 3), 6)
    assert found.method["b"] == "ended: nothing spent in the last 3 months" and (found.monthly["b"] == 0).all()


def test_a_constant_project_costs_as_many_days_as_a_month_has():
    found = spend.expected(days(14, a=100.0, credit=-7.0, none=0.0), 12)
    lengths = found.monthly.index.days_in_month
    assert found.monthly["a"].to_numpy() == pytest.approx(100 * lengths)
    assert found.monthly["credit"].to_numpy() == pytest.approx(-7 * lengths) and (found.monthly["none"] == 0).all()


def test_weekdays_are_beside_their_mean():
    """A week that grows by 0.02 a day has weekdays all the same: what they are above the mean sums to 0."""
    rng = np.random.default_rng(14)
    daily = days(8, a=70.0)["a"] + rng.normal(0, 5, 243)
    assert spend.weekdays(daily).sum() == pytest.approx(0, abs=1e-9) and np.abs(spend.weekdays(daily)).max() > 0.1


def test_weekdays_make_months_of_the_same_length_differ():
    """70 on working days, 0 at weekends: what a month costs is its number of working days."""
    daily = days(8, a=70.0)
    daily.loc[daily.index.day_of_week >= 5, "a"] = 0.0
    assert spend.weekdays(daily["a"]) == pytest.approx([20] * 5 + [-50] * 2, abs=1e-6)
    found = spend.expected(daily, 3).monthly["a"]
    working = [len(pd.bdate_range(month, month + pd.offsets.MonthEnd(0))) for month in found.index]
    assert len(set(working)) > 1 and found.to_numpy() == pytest.approx(70 * np.array(working), rel=0.01)


def test_a_year_of_seasons_is_seen_after_more_than_two_years():
    season = 1000 + 400 * np.sin(2 * np.pi * np.arange(36) / 12)
    found = spend.expected(days(36, "2023-01-01", a=season), 12).monthly["a"]
    assert found.to_numpy() / found.index.days_in_month.to_numpy() == pytest.approx(season[:12], rel=0.05)
    noise = np.random.default_rng(6).normal(1000, 100, 36)
    assert methods.likeness(noise, 12) < methods.LEAST_LIKENESS <= methods.likeness(season, 12)
    two_years = spend.expected(days(24, "2024-01-01", a=season[:24]), 2)
    assert "yearly" not in two_years.method["a"]  # two cycles and nothing beyond them cannot be taken apart
    assert "with a yearly season" in spend.expected(days(25, "2024-01-01", a=season[:25]), 2).method["a"]
    often = [
        methods.likeness(np.random.default_rng(n).normal(0, 1, 25), 12) >= methods.LEAST_LIKENESS for n in range(500)
    ]
    assert np.mean(often) < 0.03


def test_days_ahead_sum_to_their_months():
    monthly = pd.DataFrame({"a": [310.0, 0.0], "b": [-31.0, 56.0]}, pd.date_range("2026-01-01", periods=2, freq="MS"))
    weekday = pd.DataFrame({"a": np.arange(7) - 3.0, "b": np.zeros(7)})
    found = spend.by_day(monthly, weekday)
    assert len(found) == 59 and found.groupby(found.index.month).sum().to_numpy() == pytest.approx(monthly.to_numpy())
    assert found["b"].iloc[0] == -1 and np.ptp(found["a"].iloc[:7]) == pytest.approx(6)


def test_days_must_be_whole_months():
    daily = days(2, a=1.0)
    for broken in (daily.iloc[1:], daily.iloc[:-1], daily.drop(daily.index[10]), daily.iloc[::-1], daily.iloc[:0]):
        with pytest.raises(OutOfRange, match="daily must have"):
            spend.by_month(broken)
    with pytest.raises(OutOfRange, match="daily must be finite"):
        spend.by_month(daily.replace(1.0, np.inf))


# Events.

AHEAD = days(2, "2026-07-01", a=10.0, b=10.0)


def applied(*told):
    found, factors = events.applied(events.read(pd.DataFrame(list(told))), AHEAD)
    return found.groupby(found.index.month).sum(), factors


def test_events_add_and_multiply_from_a_day_on():
    months, factors = applied(
        {"project": "a", "start": "2026-07-16", "change": "multiply", "value": 2},
        {"project": "b", "start": "2026-08", "end": "2026-08-11", "change": "add", "value": 310},
    )
    assert months["a"].tolist() == pytest.approx([10 * 15 + 20 * 16, 20 * 31])
    assert months["b"].tolist() == pytest.approx([310, 310 + 100])
    assert factors == pytest.approx(np.array([[(15 + 32) / 31, 1], [2, 1]]))


def test_events_that_began_are_in_the_history_until_they_end():
    months, _ = applied(
        {"project": "a", "start": "2026-06-01", "end": "2026-08", "change": "add", "value": 155},
        {"project": "b", "start": "2026-06-01", "end": "2026-08", "change": "multiply", "value": 2},
    )
    assert months["a"].tolist() == pytest.approx([310, 155]) and months["b"].tolist() == pytest.approx([310, 155])


def test_an_event_of_every_project_and_none():
    months, _ = applied({"project": events.EVERY, "start": "2026-07", "change": "multiply", "value": 1.1})
    assert months.to_numpy() == pytest.approx(341)
    assert events.read(None).empty and (events.applied(events.read(None), AHEAD)[0] == AHEAD).all().all()


@pytest.mark.parametrize("event, sentence", [
    ({"project": "a", "start": "2026-07", "change": "raise", "value": 1}, "change of the event of a must be add or"),
    ({"project": "a", "start": "soon", "change": "add", "value": 1}, "start of the event of a must be a day such as"),
    ({"project": "a", "start": "", "change": "add", "value": 1}, "start of the event of a must be given"),
    ({"project": "a", "start": "2026-07", "end": "2026-07", "change": "add", "value": 1}, "must be after its start"),
    ({"project": "a", "start": "2026-07", "change": "multiply", "value": -1}, "value of the event of a must be at"),
    ({"project": "a", "start": "2026-07", "change": "add", "value": "x"}, "value of the event of a must be a number"),
    ({"project": "a", "start": "2026-07", "change": "add"}, "value of an event must be given"),
    ({"project": "a", "start": "2026-07", "change": "add", "value": 1, "known": "then"}, "known of the event of a"),
    ({"project": "a", "start": "2026-07", "change": "add", "value": 1, "when": 2}, "an event has no 'when'; it has"),
])  # fmt: skip
def test_events_that_cannot_be(event, sentence):
    with pytest.raises(OutOfRange, match=sentence):
        events.read(pd.DataFrame([event]))


# Backtests.


@pytest.fixture(scope="module")
def points():
    """Two projects that walk at random and a third that is always the same, over 16 months."""
    rng = np.random.default_rng(7)
    walk = {name: 1000 + np.cumsum(rng.normal(5, 40, 16)) for name in ("a", "b")}
    return backtest.rolling(days(16, same=500, **walk), 4, 6)


def test_forecasts_of_the_past_know_nothing_of_the_future():
    history = days(12, a=100.0, b=[50 + n for n in range(12)])
    changed = history.copy()
    changed.iloc[-31:] *= 9
    first, second = (backtest.rolling(daily, 2, 1) for daily in (history, changed))
    for frame in (first, second):
        assert sorted(frame["made_month"].unique()) == list(pd.date_range("2025-11-01", periods=2, freq="MS"))
    before = first["made_month"] < pd.Timestamp("2025-12-01")
    pd.testing.assert_series_equal(first.loc[before, "forecast"], second.loc[before, "forecast"])
    assert not first.loc[~before, "forecast"].equals(second.loc[~before, "forecast"])


def test_size_is_the_mean_of_the_last_year():
    """100 a day in 2024 and 10 since: a year later nothing of the 100 is in the size."""
    points = backtest.rolling(days(24, "2024-01-01", a=[100.0] * 12 + [10.0] * 12), 1, 0)
    assert points["size"].to_numpy() == pytest.approx(3650 / 12)


def test_simple_methods_by_hand():
    monthly = pd.DataFrame({"a": np.arange(1.0, 14)}, pd.date_range("2025-01-01", periods=13, freq="MS"))
    found = spend.simple(monthly, 2)
    assert found[NAIVE][:, 0].tolist() == [13, 13] and found[SEASONAL_NAIVE][:, 0].tolist() == [2, 3]
    assert found[RUN_RATE_METHOD][:, 0].tolist() == [12, 12]
    assert np.isnan(spend.simple(monthly.iloc[:11], 2)[SEASONAL_NAIVE]).all()


def test_totals_are_sums_and_actuals_are_what_came(points):
    for value in ("forecast", "actual"):
        table = points.dropna(subset=[value]).pivot(index=["made_month", "target_month", "method"], columns="project",
                                                    values=value)  # fmt: skip
        assert table[TOTAL].to_numpy() == pytest.approx(table.drop(columns=TOTAL).sum(axis=1).to_numpy())
    same = points[(points["project"] == "same") & (points["method"] == NAIVE) & points["actual"].notna()]
    assert (same["actual"] == 500 * same["target_month"].dt.days_in_month).all()
    assert points.loc[points["made_month"] == points["made_month"].max(), "actual"].isna().all()


def test_score_by_hand():
    frame = pd.DataFrame({"method": ["x"] * 3, "forecast": [110.0, 180, 5], "actual": [100.0, 200, np.nan],
                          "naive_error": [20.0, np.nan, 1], "lower_80": [105.0, 170, 0],
                          "upper_80": [120.0, 210, 9]})  # fmt: skip
    (row,) = backtest.score(frame).itertuples()
    assert (row.forecasts, row.wape, row.bias) == (2, pytest.approx(0.1), pytest.approx(-10 / 300))
    assert (row.mase, row.coverage_80) == (0.5, 0.5)
    assert backtest.score(frame.head(0)).empty


# Intervals and paths.


def errors(rng, origins=200, horizon=4, projects=3, width=0.1):
    """Errors of a known law: normal, growing with the root of time, sizes 100, 200, 300; no correlation across."""
    rows = []
    for origin in range(origins):
        drawn = rng.normal(0, width, (horizon, projects)) * np.sqrt(np.arange(1, horizon + 1))[:, None]
        sizes = 100.0 * np.arange(1, projects + 1)
        for ahead in range(horizon):
            spent = drawn[ahead] * sizes
            for name, error, size in zip(
                [*"abcdef"[:projects], TOTAL], [*spent, spent.sum()], [*sizes, sizes.sum()], strict=True
            ):
                rows.append(
                    (
                        pd.Timestamp("2000-01-01") + pd.DateOffset(months=origin),
                        ahead + 1,
                        name,
                        size,
                        size - error,
                        size,
                    )
                )
    frame = pd.DataFrame(rows, columns=["made_month", "horizon", "project", "size", "forecast", "actual"])
    later = frame["made_month"].dt.to_period("M") + frame["horizon"]
    return frame.assign(target_month=later.dt.to_timestamp(), method=FORECAST)


def test_intervals_cover_errors_of_a_known_law():
    found = intervals.spread(errors(np.random.default_rng(8)), 4)
    assert found.growth == pytest.approx(np.sqrt([1, 2, 3, 4]), rel=0.1) and found.along < 0.1 and found.across < 0.1
    sizes = pd.Series({"a": 100.0, "b": 200.0, "c": 300.0})
    middle = np.tile(sizes.to_numpy(), (4, 1))
    ends = intervals.bands(middle, found.unit(sizes), found)
    fresh = errors(np.random.default_rng(9))
    fresh = fresh[fresh["project"] != TOTAL]
    at = fresh["horizon"].to_numpy() - 1, fresh["project"].map("abc".index).to_numpy()
    came = middle[at] + (fresh["actual"] - fresh["forecast"]).to_numpy()
    for level in intervals.LEVELS:
        name = f"{100 * level:.0f}"
        assert metrics.coverage(ends[f"lower_{name}"][at], ends[f"upper_{name}"][at], came) == pytest.approx(
            level, abs=0.03
        )


def test_errors_grow_with_the_root_of_time_beyond_what_was_tested():
    found = intervals.spread(errors(np.random.default_rng(15)), 16)
    assert found.growth[[7, 15]] == pytest.approx(found.growth[3] * np.sqrt([2, 4]))


def test_landings_are_as_sure_as_what_was_known_then():
    """The law of `errors`: two months to come of 100, 200 and 300, each by itself, errors of 0.1 and 0.1 x root of 2.

    P80 of a lies 0.84 standard deviations above the middle; a later disaster changes nothing of it.
    """
    table = errors(np.random.default_rng(16), 60)
    made = pd.Timestamp("2004-01-01")
    of_year = table[(table["made_month"] == made) & (table["horizon"] <= 2)]
    monthly = pd.DataFrame({"a": [50.0], "b": [60.0], "c": [70.0]}, [made])
    args = of_year, monthly, made + pd.DateOffset(months=3)
    (found,) = (frame.set_index("project") for _, frame in intervals.landings(table, *args).groupby("month"))
    middle = of_year[of_year["project"] == "a"]["forecast"].sum() + 50
    assert found.loc["a", "landing_p50"] == pytest.approx(middle)
    assert found.loc["a", "landing_p80"] - middle == pytest.approx(0.84 * 10 * np.sqrt(3), rel=0.2)
    late = table["target_month"] > made
    disaster = table.assign(actual=table["actual"].where(~late, 1e4))
    pd.testing.assert_frame_equal(intervals.landings(disaster, *args), intervals.landings(table, *args))
    small = of_year.assign(forecast=of_year["forecast"].where(of_year["project"] != "a", 0.1))
    kept, free = (
        intervals.landings(table, small, spent, args[2]).set_index("project").loc["a"]
        for spent in (monthly, monthly.assign(a=-50.0))
    )
    assert kept["landing_p50"] == pytest.approx(50.2) and free["landing_p50"] == pytest.approx(-49.8)
    assert kept["landing_p80"] - 50 > 1.03 * (free["landing_p80"] + 50)  # what never was below 0 does not go there


def test_conformal_quantile_is_the_one_of_the_order_statistic():
    found = intervals.Spread(np.arange(1.0, 100), pd.Series({"": 1.0}), np.ones(1), 0, 0, False)
    assert found.quantile(0.8) == 80 and found.quantile(0.95) == 95 and found.quantile(0.5) == 50
    assert found.quantile(1.0) == 99 and found.quantile(0.796) == 80  # of 100 places, not of 99
    with pytest.raises(OutOfRange, match="level must be at least 0 and at most 1"):
        found.quantile(1.2)


def test_paths_are_spread_as_the_intervals_and_the_total_as_its_errors():
    rng = np.random.default_rng(10)
    table = errors(rng)
    common = rng.normal(0, 0.1, (200, 4)).cumsum(axis=1)  # one shock for all, that stays
    at = ((table["made_month"].dt.year - 2000) * 12 + table["made_month"].dt.month - 1, table["horizon"] - 1)
    table["forecast"] = table["actual"] - table["size"] * common[at]
    found = intervals.spread(table, 4)
    assert found.across > 0.85 and found.along > 0.7
    sizes = pd.Series({"a": 100.0, "b": 200.0, "c": 300.0})
    middle = np.tile(sizes.to_numpy(), (4, 1))
    drawn = intervals.paths(middle, found.unit(sizes), found, 20_000, 1)
    ends = intervals.bands(middle, found.unit(sizes), found)
    low, high = np.quantile(drawn, [0.1, 0.9], axis=0)
    assert low == pytest.approx(ends["lower_80"], rel=0.03) and high == pytest.approx(ends["upper_80"], rel=0.03)
    width = drawn.sum(axis=2)[:, 0].std()
    assert width == pytest.approx(60, rel=0.12)  # 0.1 of 600, as all move together
    alone = intervals.spread(errors(rng), 4)
    apart = intervals.paths(middle, alone.unit(sizes), alone, 20_000, 1).sum(axis=2)[:, 0].std()
    assert apart == pytest.approx(0.1 * np.sqrt(100**2 + 200**2 + 300**2), rel=0.12)


def test_paths_stay_above_their_floor_and_repeat_with_their_seed():
    found = intervals.spread(errors(np.random.default_rng(11), 20), 2)
    middle = np.array([[5.0, -50.0], [5.0, -50.0]])
    floor = np.array([0.0, -np.inf])
    args = middle, np.full((2, 2), 20.0), found
    drawn = intervals.paths(*args, 500, 3, floor)
    assert drawn[..., 0].min() == 0 and drawn[..., 1].min() < -60 and drawn[..., 1].max() > -40
    assert drawn.tobytes() == intervals.paths(*args, 500, 3, floor).tobytes()
    assert drawn.tobytes() != intervals.paths(*args, 500, 4, floor).tobytes()
    assert intervals.bands(*args, floor=floor)["lower_95"][:, 0].tolist() == [0, 0]


def test_without_errors_a_range_is_assumed_and_says_so():
    daily = days(2, a=100.0)
    found = intervals.spread(backtest.rolling(daily, 3), 3)
    assert found.assumed
    unit = found.unit(pd.Series({"a": 1000.0}))
    assert unit[:, 0] == pytest.approx(1000 * intervals.ASSUMED * np.sqrt([1, 2, 3]))
    assert found.scores.mean() == pytest.approx(1, rel=0.01)  # the unit is the mean absolute error


def test_what_never_erred_has_no_width():
    found = intervals.spread(backtest.rolling(days(9, a=100.0, b=50.0), 2), 2)
    unit = found.unit(pd.Series({"a": 3000.0, "b": 1500.0}))
    assert not found.assumed and unit == pytest.approx(0, abs=1e-6)


def test_past_intervals_know_only_what_had_come(points):
    banded = intervals.with_bands(points)
    late = points["target_month"] > pd.Timestamp("2026-02-01")
    changed = points.assign(actual=points["actual"].where(~late, 1e9))
    again = intervals.with_bands(changed)
    early = banded["made_month"] <= pd.Timestamp("2026-02-01")
    pd.testing.assert_series_equal(banded.loc[early, "lower_80"], again.loc[early, "lower_80"])
    last = banded[(banded["made_month"] == banded["made_month"].max()) & (banded["method"] == FORECAST)]
    assert (last["upper_80"] > last["forecast"]).all()
    assert banded.loc[banded["method"] != FORECAST, "lower_80"].isna().all()


@pytest.fixture(scope="module")
def noisy_days():
    """Two projects whose days spread around their mean by 10 and by 40 %, each by itself, over 16 months."""
    rng = np.random.default_rng(13)
    daily = days(16, a=100.0, b=300.0)
    daily *= 1 + rng.normal(0, 1, daily.shape) * np.array([0.1, 0.4])
    return daily, backtest.expectations(daily, 3, 8)


def test_days_of_earlier_forecasts_beside_what_came(noisy_days):
    daily, found = noisy_days
    points = backtest.rolling_days(daily, found, 2)
    assert points["horizon"].max() == 2 and points["made_month"].nunique() == 8 and points["actual"].notna().all()
    assert len(points) == 3 * int((daily.index >= "2025-09-01").sum() + (daily.index >= "2025-10-01").sum())
    table = points.pivot(index=["made_month", "day"], columns="project", values=["forecast", "actual"])
    for value in ("forecast", "actual"):
        assert (table[value]["a"] + table[value]["b"]).to_numpy() == pytest.approx(table[value][TOTAL].to_numpy())
    last = points[points["made_month"] == "2026-03-01"].set_index(["project", "day"])
    assert last.loc["a", "actual"].tolist() == daily.loc["2026-04-01":, "a"].tolist()
    assert last.loc["a", "size"].iloc[0] == pytest.approx(daily.loc["2025-04-01":"2026-03-31", "a"].mean())
    month = last.loc["a"].groupby("target_month")["forecast"].sum()
    assert month.iloc[0] == pytest.approx(found[-2].monthly["a"].iloc[0])


def test_intervals_of_days_hold_the_days_that_came(noisy_days):
    """Normal noise of 10 and 40 % of 100 and 300: the ends of 80 % lie 1.28 standard deviations off."""
    daily, found = noisy_days
    points = backtest.rolling_days(daily, found, 3)
    sizes = pd.Series({"a": 100.0, "b": 300.0, TOTAL: 400.0})
    widths = intervals.of_days(points, sizes, 3)
    first = widths[widths["horizon"] == 1].set_index("project")
    assert first.loc["a", "width_80"] == pytest.approx(1.28 * 10, rel=0.15)
    assert first.loc["b", "width_80"] == pytest.approx(1.28 * 120, rel=0.15)
    assert first.loc[TOTAL, "width_80"] == pytest.approx(1.28 * np.hypot(10, 120), rel=0.15)
    assert (widths["width_50"] < widths["width_80"]).all() and (widths["width_80"] < widths["width_95"]).all()
    for level in (50, 80, 95):
        share = widths[f"within_{level}"].sum() / widths["days"].sum()
        assert share == pytest.approx(level / 100, abs=0.05)
    none = intervals.of_days(points.head(0), sizes, 2)
    assert none["days"].tolist() == [0] * 6 and (none["width_80"] > 0).all()


def test_a_year_of_the_same_every_month_lands_on_twelve_of_them():
    """100 a day of one project from 2024 on, 10 of one that is always the same: nothing is ever off, P80 = P50."""
    points = backtest.rolling(days(14, a=100.0, b=10.0), 12)
    of_year = points[(points["made_month"] >= "2026-01-01") & (points["method"] == FORECAST)]
    monthly = spend.by_month(days(14, a=100.0, b=10.0)).loc["2026-01-01":]
    found = intervals.landings(points, of_year, monthly, pd.Timestamp("2027-01-01"))
    assert found["month"].nunique() == 2 and found["project"].tolist() == ["a", "b", TOTAL] * 2
    for column in ("landing_p50", "landing_p80"):
        assert found[column].tolist() == pytest.approx([36_500, 3_650, 40_150] * 2)
    over = intervals.landings(points, of_year, monthly, pd.Timestamp("2026-03-01")).tail(3)
    assert over["landing_p80"].tolist() == pytest.approx([5_900, 590, 6_490])
    assert intervals.landings(points, of_year.head(0), monthly, pd.Timestamp("2027-01-01")).empty


def test_the_same_input_gives_the_same_bytes():
    daily = days(12, a=np.random.default_rng(12).normal(1000, 90, 12), b=100)
    first, again = (backtest.rolling(daily, 2, 0)["forecast"].to_numpy().tobytes() for _ in range(2))
    assert first == again
