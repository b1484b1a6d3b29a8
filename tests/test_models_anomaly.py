"""Spend that is out of the ordinary: by hand, at the limits, and what must never change."""

import numpy as np
import pandas as pd
import pytest

from dcbudget.errors import OutOfRange
from dcbudget.models import anomaly
from dcbudget.models.anomaly import spend

RULES = spend.Rules(least_money=10.0)
START = pd.Timestamp("2026-01-05")  # a Monday


def series(values) -> pd.Series:
    return pd.Series(values, pd.date_range(START, periods=len(values)), dtype=float)


def daily(**parts) -> pd.DataFrame:
    """Charges of parts, named project_category."""
    return pd.concat(
        [
            pd.DataFrame(
                {"day": pd.date_range(START, periods=len(values)), "project": name.split("_")[0],
                 "category": name.split("_")[1], "cost": np.asarray(values, float)}
            )
            for name, values in parts.items()
        ],
        ignore_index=True,
    )  # fmt: skip


def found(frame: pd.DataFrame, days: int, rules: spend.Rules = RULES) -> pd.DataFrame:
    return anomaly.frame_of(spend.findings(spend.watch(frame, START + pd.Timedelta(days=days), rules)))


def noisy(seed: int, days: int, level: float = 100.0, noise: float = 5.0, week: float = 30.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    season = np.where(np.arange(days) % 7 >= 5, -week, 0.0)
    return level + season + random.normal(0, noise, days)


def test_median_and_deviation_by_hand():
    """90 and 110 by turns: the level is 100; weekdays alternate, so same days have a median of 100 and tell nothing.

    Every day is off by 10, the median deviation is 10, and a standard deviation 14.826.
    """
    values = [90.0, 110.0] * 35
    last = spend.expectation(series(values)).iloc[-1]
    assert (last["level"], last["usual"]) == (100.0, 100.0)
    assert last["same"] == 100.0
    assert last["scale"] == pytest.approx(14.826)
    assert (last["high"], last["low"]) == (10.0, 10.0)
    band, episodes = spend.judge(series([*values, 100 + 4 * 14.826 - 0.01]), RULES)
    assert band.iloc[-1][["lower", "expected", "upper"]].tolist() == pytest.approx([40.696, 100, 159.304])
    assert not episodes
    _, episodes = spend.judge(series([*values, 100 + 4 * 14.826 + 0.01]), RULES)
    assert [(one.sign, one.start, one.end, one.fired) for one in episodes] == [(1, 70, None, None)]


def test_weekends_are_expected():
    week = [100.0] * 5 + [40.0] * 2
    assert spend.judge(series(week * 20), RULES)[1] == []
    working = week * 12
    working[-1] = 100.0  # a Sunday like a Monday
    (episode,) = spend.judge(series(working), RULES)[1]
    assert (episode.start, episode.fired) == (83, 83)
    assert spend.judge(series(working), RULES)[0]["expected"].iloc[-1] == 40.0


def test_a_spike_is_one_alert_that_ends():
    values = [100.0] * 70
    values[60:63] = [400.0, 500.0, 300.0]
    (alert,) = found(daily(a_x=values), 70).itertuples()
    assert (alert.kind, alert.project, alert.subject) == ("spend above expected", "a", "x")
    assert alert.since == START + pd.Timedelta(days=60) and alert.until == START + pd.Timedelta(days=63)
    assert alert.money == pytest.approx(300 + 400 + 200)
    assert alert.what == "400 a day over 3 days where 100 was expected"
    told = "3 days above the band; the furthest, 2026-03-07, was 500 with 100 expected and 110 the band's edge"
    assert alert.why == told


def test_a_week_above_half_the_band_is_news_without_a_day_beyond_it():
    """Days are off by 10 either way and the band is 59.3; with 35 more a day the week's mean is 0.59 of it."""
    values = [90.0, 110.0] * 35
    (episode,) = spend.judge(series([*values, *([125.0, 145.0] * 4)]), RULES)[1]
    assert (episode.outside, episode.sign) == (0, 1) and episode.fired is not None
    assert spend.judge(series([*values, *([110.0, 130.0] * 4)]), RULES)[1] == []


def test_a_step_is_news_for_four_weeks():
    values = [100.0] * 60 + [200.0] * 60
    (alert,) = found(daily(a_x=values), 120).itertuples()
    assert alert.since == START + pd.Timedelta(days=60) and alert.until == START + pd.Timedelta(days=88)
    assert alert.money == pytest.approx(28 * 100)


@pytest.mark.parametrize("values", [[0.0] * 120, [100.0] * 120, [-5.0] * 120, [1e9] * 120, [0.1 + 0.2] * 120])
def test_what_never_changes_is_never_news(values):
    assert found(daily(a_x=values), 120).empty


def test_one_day_and_none():
    assert found(daily(a_x=[5.0]), 1).empty
    assert found(daily(a_x=[5.0]), 0).empty
    assert spend.watch(daily(a_x=[5.0]).head(0), START, RULES) == []


def test_credits_are_spend_below():
    values = [100.0] * 70
    values[65] = -900.0
    (alert,) = found(daily(a_x=values), 70).itertuples()
    assert alert.kind == "spend below expected" and alert.money == pytest.approx(-1000)


def test_persistence_and_least_money():
    values = [100.0] * 70
    values[60] = 125.0  # beyond the band of 10, and more than twice
    frame = daily(a_x=values)
    assert len(found(frame, 70)) == 1
    values[60] = 118.0  # beyond the band, not beyond twice
    frame = daily(a_x=values)
    assert found(frame, 70).empty
    assert len(found(frame, 70, spend.Rules(least_money=10.0, persistence=1))) == 1
    assert found(frame, 70, spend.Rules(least_money=20.0, persistence=1)).empty


def test_money_scales_with_money():
    values = noisy(1, 120)
    values[100:104] += 80
    frame = daily(a_x=values, b_x=noisy(2, 120))
    first = found(frame, 120)
    scaled = found(frame.assign(cost=frame["cost"] * 1000), 120, spend.Rules(least_money=10_000.0))
    assert len(first) == 1
    assert scaled["money"].tolist() == pytest.approx((1000 * first["money"]).tolist())
    assert scaled["alert_id"].tolist() == first["alert_id"].tolist()


def test_a_later_day_changes_nothing_before():
    values = noisy(3, 150)
    values[70:73] += 120
    values[110:] += 60
    frame = daily(a_x=values, a_y=noisy(4, 150), b_x=noisy(5, 150))
    whole = {one.project + one.category: one for one in spend.watch(frame, START + pd.Timedelta(days=150), RULES)}
    for days in range(60, 150, 10):
        for one in spend.watch(frame, START + pd.Timedelta(days=days), RULES):
            late = whole[one.project + one.category]
            pd.testing.assert_frame_equal(late.band.iloc[:days], one.band, check_freq=False)
            then = [(e.sign, e.start, e.fired) for e in late.episodes if e.fired < days]
            assert [(e.sign, e.start, e.fired) for e in one.episodes] == then
    assert len(found(frame, 150)) == 2


def test_parts_that_go_different_ways_do_not_hide():
    up, down = noisy(6, 100), noisy(7, 100)
    up[90:] += 100
    down[90:] -= 100
    alerts = found(daily(a_x=up, b_x=down), 100)
    assert set(alerts["project"]) == {"a", "b"}
    assert alerts["money"].sum() == pytest.approx(0, abs=60)


def test_a_total_is_told_where_no_part_explains_it():
    """Ten parts that each rise within their bands; the sum does not."""
    parts = {f"p{n}_x": noisy(20 + n, 100, noise=15.0) for n in range(10)}
    for values in parts.values():
        values[93:] += 40
    alerts = found(daily(**parts), 100)
    assert alerts[["project", "subject"]].values.tolist()[0] in (["Total", ""], ["Total", "x"])
    assert alerts["since"].max() < START + pd.Timedelta(days=100)
    one = noisy(50, 100)
    one[93:] += 400
    assert found(daily(a_x=one, b_x=noisy(51, 100)), 100)["project"].tolist() == ["a"]


def test_bursts_that_come_every_month_are_no_news():
    values = np.full(240, 100.0)
    for begin in range(10, 240, 30):
        values[begin : begin + 2] = 700.0
    alerts = found(daily(a_x=values), 240)
    assert len(alerts) == 2  # before they were usual
    assert alerts["since"].max() < START + pd.Timedelta(days=120)


def test_short_months_are_no_news():
    """A monthly price by days costs a tenth more a day in February."""
    days = pd.date_range("2025-10-01", "2026-04-30")
    frame = pd.DataFrame({"day": days, "project": "a", "category": "Storage", "cost": 31_000 / days.days_in_month})
    watched = spend.watch(frame, pd.Timestamp("2026-05-01"), spend.Rules(least_money=10.0))
    assert list(spend.findings(watched)) == []


def test_monthly_charges_are_judged_by_months():
    days = pd.date_range("2025-01-01", periods=12, freq="MS")
    costs = [100.0, 104, 98, 101, 99, 103, 100, 102, 250, 101, 100, 102]
    frame = pd.DataFrame({"day": days, "project": "a", "category": "Tax", "cost": costs})
    watched = spend.watch(frame, pd.Timestamp("2026-01-01"), RULES)
    (alert,) = spend.findings(watched)
    assert (alert.since, alert.until) == (pd.Timestamp("2025-09-01"), pd.Timestamp("2025-10-01"))
    assert alert.money == pytest.approx(250 - 100.5)


def test_a_day_without_any_bill_is_not_known():
    values = [100.0] * 90
    frame = daily(a_x=values)
    gap = frame["day"].between("2026-03-10", "2026-03-16")
    assert found(frame[~gap], 90).empty


@pytest.mark.parametrize(
    "field, value, told",
    [
        ("sensitivity", 0.5, "at least 1"),
        ("sensitivity", float("nan"), "not nan"),
        ("least_money", -1, "at least 0"),
        ("persistence", 1.5, "whole number"),
        ("persistence", 0, "at least 1"),
    ],
)
def test_rules_out_of_range(field, value, told):
    with pytest.raises(OutOfRange, match=f"{field} must be .*{told}"):
        spend.Rules(**{field: value})


def test_a_series_that_was_read_once_is_judged_as_one_that_is_read_anew():
    frame, end = daily(a_x=noisy(1, 120), b_x=[*noisy(2, 90), *(3 * noisy(3, 30))]), START + pd.Timedelta(days=120)
    once = spend.read(frame, end)
    for rules in (RULES, spend.Rules(sensitivity=2.0, least_money=0.0), RULES):
        judged, anew = spend.watch(once, end, rules), spend.watch(frame, end, rules)
        assert [one.episodes for one in judged] == [one.episodes for one in anew]
        for one, other in zip(judged, anew, strict=True):
            pd.testing.assert_frame_equal(one.band, other.band)
    assert spend.read(frame, START) is None
