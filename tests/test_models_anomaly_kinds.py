"""Runs, capacity, bills and budgets that are out of the ordinary: by hand, at the limits, and only from the past."""

import numpy as np
import pandas as pd
import pytest

from dcbudget.errors import OutOfRange
from dcbudget.models import anomaly
from dcbudget.models.anomaly import bills, budgets, runs

AS_OF = pd.Timestamp("2026-07-01")
START = pd.Timestamp("2026-06-10")
HOUR = pd.Timedelta(hours=1)
NAT = pd.NaT


def log(values, run_id="r", every=HOUR):
    times = [START + place * every for place in range(len(values))]
    return pd.DataFrame(
        {"run_id": run_id, "step": range(len(values)), "time": times, "value": np.asarray(values, float)}
    )


def run(end=START + 20 * HOUR, gpus=8, rate=10.0, has_job=True):
    return pd.DataFrame({"run_id": ["r"], "project": ["language"], "gpus": [gpus], "end_time": [end],
                         "cost_per_gpu_hour": [rate], "has_job": [has_job]})  # fmt: skip


# Runs.


def test_a_loss_that_grows_without_bound():
    """It fell from 8 to 2; values above 2 + 2 x 6 and above 1.5 x 8 begin with the 6th, 10 hours of 8 GPUs follow."""
    losses = log([8, 4, 2, 3, 9, 20, 30, 50, 90, 200, 900])
    (alert,) = runs.diverging(losses, run(end=START + 15 * HOUR), AS_OF, 800)
    assert (alert.project, alert.subject, alert.since) == ("language", "r", START + 5 * HOUR)
    assert alert.until == START + 15 * HOUR and alert.money == 10 * 8 * 10
    assert alert.what == "the loss grew from 2 to 900 while 8 GPUs went on"
    assert list(runs.diverging(losses, run(), AS_OF, least_money=1201)) == []
    assert list(runs.diverging(losses, run(), START + 7 * HOUR)) == []  # two values are no proof
    (early,) = runs.diverging(losses, run(), START + 8 * HOUR, least_money=0)
    assert early.alert_id == alert.alert_id and pd.isna(early.until) and early.money == 3 * 8 * 10


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_no_number(bad):
    (alert,) = runs.diverging(log([8, 4, bad, bad]), run(), AS_OF, 0)
    assert alert.since == START + 2 * HOUR


@pytest.mark.parametrize("values", [
    [8, 4, 2, 4, 2, 5, 2], [2.06, 1.96, 2.17, 2.2, 2.19], [0.1, 0.001, 0.01, 0.02, 0.01], [1.0] * 9,
    [-1, -5, -9, -8, -7], [8, 4, 90, 2, 1, 1], [5],
])  # fmt: skip
def test_a_loss_that_swings_has_not_diverged(values):
    assert list(runs.diverging(log(values), run(), AS_OF, 0)) == []


def test_money_that_is_not_known_hides_nothing():
    (alert,) = runs.diverging(log([8, 4, 2, 90, 90, 90]), run(rate=np.nan), AS_OF)
    assert np.isnan(alert.money)


def test_silence_is_a_stall():
    """Logs each hour; then nothing for 12 hours and, after one more line, until the job ends 11 hours later."""
    times = [START + place * HOUR for place in (0, 1, 2, 3, 15)]
    logs = pd.DataFrame({"run_id": "r", "time": times})
    first, second = runs.stalled(logs, run(end=START + 26 * HOUR), AS_OF, 0)
    assert (first.since, first.until, first.money) == (times[3], times[4], 12 * 8 * 10)
    assert (second.since, second.until, second.money) == (times[4], START + 26 * HOUR, 11 * 8 * 10)
    assert list(runs.stalled(logs, run(end=START + 26 * HOUR), AS_OF, 0, least_hours=12)) == []
    assert list(runs.stalled(logs, run(has_job=False), AS_OF, 0)) == []
    (going_on,) = list(runs.stalled(logs.head(4), run(end=NAT), START + 14 * HOUR, 0))
    assert pd.isna(going_on.until) and going_on.alert_id == first.alert_id
    assert going_on.what == "nothing was logged for 11 hours while 8 GPUs were held"


def attempts(states, pause=0.5, hours=2.0, **columns):
    begins = [START + place * (hours + pause) * HOUR for place in range(len(states))]
    frame = {"project": "vision", "user_id": "u", "cluster": "c", "gpu_model": "H100", "gpus": 16.0, "restarts": 0.0,
             "cost_per_gpu_hour": 10.0, "gpu_utilisation": 0.9} | columns  # fmt: skip
    return pd.DataFrame({
        "job_id": [f"{place}" for place in range(len(states))], "submit_time": begins, "start_time": begins,
        "end_time": [begin + hours * HOUR for begin in begins], "state": states,
    }).assign(**frame)  # fmt: skip


def test_failing_again_and_again():
    jobs = attempts(["COMPLETED", "FAILED", "NODE_FAIL", "FAILED", "FAILED", "COMPLETED"])
    (alert,) = runs.crash_loops(jobs, AS_OF)
    assert alert.subject == "job 1" and alert.money == 4 * 2 * 16 * 10
    assert (alert.since, alert.until) == (jobs["start_time"][1], jobs["end_time"][4])
    assert alert.what == "4 attempts on 16 GPUs failed one after the other"
    assert list(runs.crash_loops(jobs, AS_OF, attempts=5)) == []
    assert list(runs.crash_loops(jobs, AS_OF, least_money=1281)) == []
    (going_on,) = runs.crash_loops(jobs, jobs["end_time"][4] + HOUR)
    assert pd.isna(going_on.until) and going_on.alert_id == alert.alert_id
    assert list(runs.crash_loops(jobs, jobs["end_time"][3] + HOUR)) == []


def test_what_is_no_loop():
    four = ["FAILED"] * 4
    assert len(list(runs.crash_loops(attempts(four), AS_OF))) == 1
    assert list(runs.crash_loops(attempts(four, pause=7), AS_OF)) == []
    assert list(runs.crash_loops(attempts(four, pause=-1), AS_OF)) == []  # at the same time
    assert list(runs.crash_loops(attempts(four, user_id=["u", "v"] * 2), AS_OF)) == []
    assert list(runs.crash_loops(attempts(["TIMEOUT"] * 9), AS_OF)) == []  # goes on from its checkpoint
    assert list(runs.crash_loops(attempts(["FAILED", "FAILED", "COMPLETED", "FAILED", "FAILED"]), AS_OF)) == []
    assert len(list(runs.crash_loops(attempts(["FAILED"], restarts=3, hours=8.0), AS_OF))) == 1


def test_gpus_that_are_held_and_idle():
    jobs = attempts(["COMPLETED", "COMPLETED", "FAILED"], hours=10.0, gpu_utilisation=[0.01, 0.9, 0.04])
    (alert,) = runs.held_idle(jobs, AS_OF)
    assert alert.money == 2 * 10 * 16 * 10 and alert.project == "vision" and alert.subject == "c, H100"
    assert (alert.since, alert.until) == (START, jobs["end_time"][2])
    (running,) = runs.held_idle(jobs.assign(end_time=[jobs["end_time"][0], NAT, NAT]), AS_OF)
    assert pd.isna(running.until) and running.money > alert.money and running.alert_id == alert.alert_id
    assert list(runs.held_idle(jobs.assign(gpu_utilisation=np.nan), AS_OF)) == []
    assert list(runs.held_idle(jobs, AS_OF, least_money=3201)) == []
    later = jobs.assign(start_time=jobs["start_time"] + [HOUR * 0, HOUR * 0, HOUR * 400],
                        end_time=jobs["end_time"] + [HOUR * 0, HOUR * 0, HOUR * 400])  # fmt: skip
    assert len(list(runs.held_idle(later, AS_OF))) == 2


# Bills.


def months(used, unused):
    return pd.DataFrame({"month": pd.date_range("2026-01-01", periods=len(used), freq="MS"), "commitment": "ri",
                         "used_effective_cost": used, "unused_effective_cost": unused})  # fmt: skip


def test_an_idle_reservation_is_one_alert_over_months():
    frame = months([900.0, 40, 50, 60, 800, 100], [100.0, 960, 950, 940, 200, 1900])
    first, second = bills.idle_commitments(frame, AS_OF)
    assert (first.since, first.until) == (pd.Timestamp("2026-02-01"), pd.Timestamp("2026-05-01"))
    assert first.money == 2850 and first.what == "5% of the commitment was used in 3 months"
    assert second.since == pd.Timestamp("2026-06-01") and pd.isna(second.until)
    (then,) = bills.idle_commitments(frame, pd.Timestamp("2026-04-01"))
    assert then.alert_id == first.alert_id and pd.isna(then.until) and then.money == 1910
    assert list(bills.idle_commitments(months([np.nan], [0.0]), AS_OF)) == []


def test_capacity_that_is_down():
    span = {"cluster": "hall", "gpu_model": None, "gpus": 16.0, "start_time": START, "end_time": START + 12 * 24 * HOUR,
            "reason": "switch", "cost_per_gpu_hour": 0.5}  # fmt: skip
    (alert,) = bills.capacity_down(pd.DataFrame([span]), AS_OF)
    assert alert.money == 16 * 288 * 0.5 and alert.subject == "hall" and alert.until == span["end_time"]
    assert alert.what == "16 GPUs could not run jobs for 4,608 GPU-hours: switch"
    (lasting,) = bills.capacity_down(pd.DataFrame([span | {"end_time": NAT, "reason": None}]), AS_OF)
    assert pd.isna(lasting.until) and lasting.money == 16 * 21 * 24 * 0.5
    assert list(bills.capacity_down(pd.DataFrame([span]), START)) == []


def prices(values, quantity=100.0):
    days = pd.date_range("2026-06-01", periods=len(values))
    return pd.DataFrame({"day": days, "sku": "gpu", "unit_price": values, "list_price": values, "quantity": quantity})


def test_a_price_that_changes():
    frame = prices([30.0] * 10 + [33.0] * 10)
    (alert,) = bills.price_changes(frame, AS_OF)
    assert (alert.since, alert.money) == (pd.Timestamp("2026-06-11"), 10 * 100 * 3)
    assert alert.what == "the price went up by 10.0% to 33 a unit" and pd.isna(alert.until)
    assert next(bills.price_changes(frame, AS_OF + 24 * HOUR)).until == AS_OF
    (down,) = bills.price_changes(prices([33.0] * 10 + [30.0] * 10), AS_OF)
    assert down.money == -3000 and "went down by 9.1%" in down.what
    assert list(bills.price_changes(prices([30.0] * 10 + [30.2] * 10), AS_OF, 0)) == []
    assert list(bills.price_changes(frame, AS_OF, least_money=3001)) == []


def test_tiers_are_no_change_of_price():
    dear, cheap = prices([0.09] * 20, 10.0), prices([0.05] * 20, 1000.0)
    assert list(bills.price_changes(pd.concat([dear, cheap]), AS_OF, 0)) == []


def test_a_restated_month():
    row = {"provider": "Cloud", "month": pd.Timestamp("2026-03-01"), "file": "new.csv", "cost_replaced": 497_203.0,
           "cost_loaded": 493_493.0}  # fmt: skip
    (alert,) = bills.restated(pd.DataFrame([row]), AS_OF)
    assert alert.money == -3710 and alert.until == pd.Timestamp("2026-04-01") and alert.basis == "billed"
    assert alert.what == "the bill of 2026-03 was stated anew, 3,710 lower"
    assert list(bills.restated(pd.DataFrame([row]), pd.Timestamp("2026-03-31"))) == []
    assert list(bills.restated(pd.DataFrame([row | {"cost_loaded": 497_000.0}]), AS_OF)) == []


def test_a_bill_that_stopped_arriving():
    days = pd.DataFrame({"day": pd.date_range("2026-04-01", "2026-06-20"), "provider": "Cloud", "cost": 50.0})
    (alert,) = bills.missing_bills(days, AS_OF)
    assert alert.since == pd.Timestamp("2026-06-21") and pd.isna(alert.until) and alert.money == 10 * 50
    assert list(bills.missing_bills(days, pd.Timestamp("2026-06-23"))) == []  # two days late
    gap = days[~days["day"].between("2026-06-01", "2026-06-05")]
    ended, lasting = bills.missing_bills(gap, AS_OF)
    assert (ended.since, ended.until) == (pd.Timestamp("2026-06-01"), pd.Timestamp("2026-06-06"))
    assert lasting.alert_id == alert.alert_id
    assert list(bills.missing_bills(days.iloc[::7], AS_OF)) == []  # never charged every day
    assert list(bills.missing_bills(days.head(0), AS_OF)) == []


# Budgets.


def lines(budget, actual, first="2026-01-01"):
    return pd.DataFrame({"month": pd.date_range(first, periods=len(budget), freq="MS"), "project": "vision",
                         "budget": budget, "actual": actual}).astype({"budget": float, "actual": float})  # fmt: skip


def test_months_over_budget_are_one_alert():
    frame = lines([100_000] * 6, [104_000, 106_000, 107_000, 101_000, 90_000, 120_000])
    first, second = budgets.over_month(frame, AS_OF)
    assert (first.since, first.until) == (pd.Timestamp("2026-02-01"), pd.Timestamp("2026-04-01"))
    assert first.money == 13_000 and second.since == pd.Timestamp("2026-06-01") and pd.isna(second.until)
    assert first.why == "213,000 spent, 200,000 budgeted; over by at least 5% each month"
    assert list(budgets.over_month(lines([0.0], [50_000.0]), AS_OF)) == []
    assert list(budgets.over_month(frame, AS_OF, least_money=20_001)) == []


def test_a_month_that_is_nearly_spent_before_its_end():
    now = pd.DataFrame([("vision", 10_000.0, 8_500.0, 6_000.0), ("search", 10_000.0, 8_500.0, 8_100.0),
                        ("research", 10_000.0, 7_900.0, 1_000.0)],
                       columns=["project", "budget", "actual", "planned"])  # fmt: skip
    june = pd.Timestamp("2026-06-01")
    (alert,) = budgets.near_month(now, june, pd.Timestamp("2026-06-19"))
    assert alert.project == "vision" and alert.money == 2500
    assert alert.what == "85% of the month's budget is spent on 18 June"
    assert list(budgets.near_month(now, june, AS_OF)) == []


def test_the_year_budget_at_80_and_at_100_per_cent():
    """12,000 a year, 1,500 a month: 80 % in July, planned in October; all in August."""
    frame = lines([1_000] * 12, [1_500] * 12)
    assert list(budgets.over_year(frame, pd.Timestamp("2026-07-01"), least_money=100)) == []
    (near,) = budgets.over_year(frame, pd.Timestamp("2026-08-01"), least_money=100)
    assert near.kind == "year's budget nearly spent" and near.since == pd.Timestamp("2026-07-01")
    assert near.money == 3_500 and "88% of the budget of the year" in near.what
    both = list(budgets.over_year(frame, pd.Timestamp("2026-10-01"), least_money=100))
    assert [one.since.month for one in both] == [7, 9] and both[0].alert_id == near.alert_id
    assert list(budgets.over_year(lines([1_000] * 12, [1_000] * 12), pd.Timestamp("2027-01-01"), least_money=0)) == []
    of_july = budgets.over_year(lines([1_000] * 12, [1_500] * 12, "2025-07-01"), AS_OF, 7, least_money=100)
    assert [one.since for one in of_july] == [pd.Timestamp("2026-01-01"), pd.Timestamp("2026-03-01")]


def test_a_forecast_over_budget_since_it_first_said_so():
    months = pd.date_range("2026-01-01", periods=6, freq="MS")
    frame = pd.DataFrame({
        "month": months, "project": "vision", "year_end": pd.Timestamp("2027-01-01"), "budget": 100_000.0,
        "landing_p50": [90_000.0, 106_000, 104_000, 107_000, 108_000, 109_000],
        "landing_p80": [95_000.0, 110_000, 110_000, 110_000, 110_000, np.nan], "method": "run rate",
    })  # fmt: skip
    first, second = budgets.forecast_over(frame, AS_OF)
    assert (first.since, first.until) == (pd.Timestamp("2026-02-01"), pd.Timestamp("2026-03-01"))
    assert second.since == pd.Timestamp("2026-04-01") and pd.isna(second.until) and second.money == 9_000
    assert second.why == "109,000 by run rate, 100,000 budgeted; said in 3 months"
    (may,) = list(budgets.forecast_over(frame.tail(3), pd.Timestamp("2026-06-01")))
    assert "108,000 by run rate (P80 110,000)" in may.why and may.alert_id == second.alert_id


@pytest.mark.parametrize("found", [
    lambda: runs.diverging(log([1]), run(), AS_OF, -1),
    lambda: runs.stalled(log([1]), run(), AS_OF, least_money=-1),
    lambda: runs.crash_loops(attempts(["FAILED"]), AS_OF, -1),
    lambda: runs.held_idle(attempts(["FAILED"]), AS_OF, -1),
    lambda: bills.idle_commitments(months([1.0], [1.0]), AS_OF, -1),
    lambda: bills.price_changes(prices([1.0]), AS_OF, -1),
    lambda: budgets.over_month(lines([1], [1]), AS_OF, -1),
    lambda: budgets.over_year(lines([1], [1]), AS_OF, 1, -1),
])  # fmt: skip
def test_money_below_nothing_is_refused(found):
    with pytest.raises(OutOfRange, match="least_money must be at least 0 and finite, not -1"):
        list(found())


def test_money_scales_with_rates():
    for rate in (1.0, 1000.0):
        (alert,) = runs.held_idle(attempts(["FAILED"], gpu_utilisation=0.0, hours=100.0, cost_per_gpu_hour=rate), AS_OF)
        assert alert.money == pytest.approx(1600 * rate)


def test_a_frame_has_the_most_money_first_and_each_alert_once():
    (alert,) = runs.held_idle(attempts(["FAILED"], gpu_utilisation=0.0, hours=100.0), AS_OF)
    dear = anomaly.Finding(**{**vars(alert), "money": -1e6, "subject": "x"})
    frame = anomaly.frame_of([alert, alert, dear])
    assert frame["money"].tolist() == [-1e6, 16_000.0]
    june = anomaly.overlapping(frame, pd.Timestamp("2026-06-01"), AS_OF)
    assert len(june) == 2 and anomaly.overlapping(frame, AS_OF, AS_OF + 24 * HOUR).empty
    assert anomaly.frame_of([]).columns.tolist() == anomaly.COLUMNS
    with pytest.raises(OutOfRange, match="as_of must be a date such as 2026-06-30, not 'soon'"):
        anomaly.moment("as_of", "soon")
