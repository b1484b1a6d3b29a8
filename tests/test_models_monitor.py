"""Bottlenecks, checkpoints, plans of runs and a month beside the last: by hand, limits, and an independent answer."""

import numpy as np
import pandas as pd
import pytest

from dcbudget.errors import OutOfRange
from dcbudget.models import run_plans
from dcbudget.models.bottlenecks import NOTHING, UNKNOWN, bottlenecks, checkpoints, step_times
from dcbudget.models.performance.failures import checkpoint_interval, failure_overhead
from dcbudget.models.performance_review import MEASURES, compared, largest, performance

NAN = float("nan")
HEALTHY = {"run": "r", "goodput": 0.97, "mfu": 0.4, "gpu_utilisation": 0.9, "status": "COMPLETED"}


def meters(**values):
    """quantity=(mean, p50, p95, peak), or one number for all four."""
    rows = [("r", name, *(told if isinstance(told, tuple) else (told,) * 4)) for name, told in values.items()]
    return pd.DataFrame(rows, columns=["run", "quantity", "mean", "p50", "p95", "peak"])


def finding(told, **run):
    return bottlenecks(pd.DataFrame([HEALTHY | run]), told).iloc[0]


# Where the time goes.


@pytest.mark.parametrize(
    "told, run, said",
    [
        ({"step_seconds": 2.0, "data_seconds": 0.7}, {}, "waits for data 35% of a step"),
        ({"data_share": 0.2}, {}, "waits for data 20%"),
        ({"step_seconds": 2.0, "communication_seconds": 1.0}, {}, "waits for other GPUs 50%"),
        ({"step_seconds": (1.0, 1.0, 1.8, 9.0)}, {}, "uneven steps: one in twenty takes 1.8 times"),
        ({"step_seconds": 1.0, "step_seconds_p95": 2.0}, {}, "uneven steps: one in twenty takes 2.0 times"),
        ({"gpu_utilisation": 0.45}, {}, "GPUs are busy 45% of the time only"),
        ({"gpu_utilisation": 0.3}, {}, "MFU 40% cannot be above GPU use 30%"),
        ({"gpu_memory_share": (0.5, 0.5, 0.9, 0.99)}, {}, "GPU memory is 99% full"),
        ({}, {"mfu": 0.2}, "busy GPUs get little done: MFU 20%"),
        ({}, {"goodput": 0.6}, "repeated or lost work: goodput 60%"),
        ({}, {"goodput": 0.0, "status": "NODE_FAIL"}, "failed, and nothing went on from it"),
        ({}, {"goodput": 0.5, "status": "DIVERGED"}, "diverged: what came after"),
        ({"step_seconds": 2.0, "data_seconds": 0.1, "gpu_memory_share": 0.8}, {}, NOTHING),
    ],
)
def test_what_holds_a_run_up(told, run, said):
    assert finding(meters(**told), **run)["finding"].startswith(said)


def test_what_no_log_tells_is_not_measured():
    found = finding(meters(), goodput=NAN, mfu=NAN, gpu_utilisation=NAN)
    assert found["finding"] == UNKNOWN
    assert found["missing"] == "data, communication, GPU use, GPU memory, disk, network"
    assert finding(meters(disk_bytes_per_second=2e9))["missing"] == "data, communication, GPU memory, network"


def test_step_times_from_the_log():
    """Steps 10 and 20 a minute apart, then 30 after five: 6 and 30 s a step; what repeats a step tells nothing."""
    times = pd.to_datetime(["2026-06-01 00:00", "2026-06-01 00:01", "2026-06-01 00:01", "2026-06-01 00:06"])
    points = pd.DataFrame({"run_id": "r", "attempt": 1, "step": [10, 20, 20, 30], "time": times})
    (row,) = step_times(points).itertuples()
    assert row.p50 == pytest.approx(18) and row.p95 == pytest.approx(6 + 0.95 * 24)
    assert step_times(points.iloc[:1]).empty


# Checkpoints.


def test_checkpoints_by_hand():
    """64 GPUs that fail every 256 GPU-hours fail every 4 h; the work alone is 1,000 / (1 + overhead)."""
    found = checkpoints(64, 256, 9360, 1800, 60, 900, 1000, 2.0)
    assert found.mtbf_hours == pytest.approx(4)
    assert found.best_seconds == pytest.approx(checkpoint_interval(60, 4 * 3600))
    m = 4 * 3600.0
    over = [m / tau * np.exp(900 / m) * np.expm1((tau + 60) / m) - 1 for tau in (9360, 1800, found.best_seconds)]
    assert [found.present_overhead, found.overhead, found.best_overhead] == pytest.approx(over)
    work = 1000 / (1 + over[0])
    assert (
        found.saved_gpu_hours == pytest.approx(1000 - work * (1 + over[1])) and found.saved == 2 * found.saved_gpu_hours
    )
    assert found.best_saved == pytest.approx(2 * (1000 - work * (1 + over[2])))


def test_the_present_interval_saves_nothing_and_the_best_most():
    found = checkpoints(8, 1000, 600, 600, 30, 300, 500, 1.0)
    assert found.saved == 0 and found.best_saved > 0
    best = checkpoints(8, 1000, found.best_seconds, 60, 30, 300, 500, 1.0)
    assert best.best_saved == 0 and best.saved < 0
    # independent: a search over all intervals
    every = np.geomspace(10, 1e6, 4000)
    least = failure_overhead(8, 1000, 30, 300, every[every < 4 * 1000 * 3600 / 8]).min()
    assert found.best_overhead == pytest.approx(least, rel=5e-3)


def test_overhead_at_an_interval_against_a_simulation():
    """Failures at random times: each repeats what was done since the last checkpoint."""
    rng = np.random.default_rng(1)
    m, tau, d, r, wanted = 3600.0, 600.0, 60.0, 120.0, 3000
    clock = 0.0
    for _ in range(wanted):
        while (failure := rng.exponential(m)) < tau + d:
            clock += failure
            while (again := rng.exponential(m)) < r:
                clock += again
            clock += r
        clock += tau + d
    found = failure_overhead(1, 1.0, d, r, tau)
    assert clock / (wanted * tau) - 1 == pytest.approx(found, abs=0.02)


@pytest.mark.parametrize(
    "change, sentence",
    [({"gpus": 0}, "gpus must be at least 1"), ({"mtbf_gpu_hours": 0}, "mtbf_gpu_hours must be above 0"),
     ({"interval_seconds": 0}, "interval_seconds must be above 0"),
     ({"checkpoint_seconds": -1}, "checkpoint_seconds must be at least 0"),
     ({"mtbf_gpu_hours": 0.01}, "mtbf_gpu_hours must be larger: on 8 GPUs a failure every")],
)  # fmt: skip
def test_checkpoints_that_cannot_be(change, sentence):
    given = {"gpus": 8, "mtbf_gpu_hours": 1000, "present_seconds": 600, "interval_seconds": 600,
             "checkpoint_seconds": 60, "restart_seconds": 60, "gpu_hours": 1, "cost_per_gpu_hour": 1}  # fmt: skip
    with pytest.raises(OutOfRange, match=sentence):
        checkpoints(**given | change)


# Time against plan.

RUN = {"run": "lm-7b", "held_hours": 50.0, "tokens": 2e10, "accuracy": 0.7, "f1": NAN, "gpu_model": "H100", "gpus": 8.0,
       "tokens_per_second": 75_360.0, "mfu": 0.4}  # fmt: skip
H100 = {"H100": 989.0}


def planned(plans=(), drivers=(), **run):
    found = run_plans.against_plan(pd.DataFrame([RUN | run]), run_plans.checked(plans), drivers, H100, {"H100": 0.5})
    return found.iloc[0]


def test_model_expects_the_kept_work_at_the_usual_mfu():
    """0.4 x 8 x 989e12 / (6 x 75,360) = 7e9 parameters; 6 x 7e9 x 2e10 FLOPs at half the peak of 8 GPUs."""
    parameters = run_plans.implied_parameters(75_360, 0.4, 8, 989)
    assert parameters == pytest.approx(7e9, rel=1e-3)
    found = planned()
    assert found["planned_hours"] == pytest.approx(6 * parameters * 2e10 / (8 * 989e12 * 0.5) / 3600)
    assert found["source"] == "model" and found["overrun"] == pytest.approx(50 / found["planned_hours"] - 1)


def test_limit_the_same_mfu_and_no_loss_takes_what_it_took():
    hours = 2e10 / 75_360 / 3600
    assert planned(held_hours=hours, mfu=0.5)["overrun"] == pytest.approx(0)


def test_plans_go_before_budget_lines_and_these_before_the_model():
    drivers = run_plans.of_drivers(["run lm-7b: 800 GPU-hours", "GPU-hours", None, "run other: 1 h"])
    assert (planned([{"run": "lm-*", "hours": 40}], drivers)["planned_hours"]) == 40
    found = planned(drivers=drivers)
    assert (found["planned_hours"], found["source"], found["overrun"]) == (100, "budget", -0.5)


def test_driver_lines_of_one_run_add_up():
    found = run_plans.of_drivers(["run a-b: 1,000 GPU-hours", "Run a-b 500 gpu-hours", "run a-b: 12.5 hours"])
    assert found == [{"run": "a-b", "gpu_hours": 1500.0, "hours": 12.5}]


def test_plan_of_tokens_tells_progress_and_pace():
    plan = {"run": "lm-7b", "tokens": 8e10, "parameters": 7e9, "gpus": 16, "mfu": 0.5, "accuracy": 0.8}
    found = planned([plan])
    assert found["planned_hours"] == pytest.approx(6 * 7e9 * 8e10 / (16 * 989e12 * 0.5) / 3600)
    assert (found["progress"], found["expected_hours"], found["planned_accuracy"]) == (0.25, 200, 0.8)


@pytest.mark.parametrize("run", [{"gpu_model": "XPU"}, {"tokens": NAN}, {"mfu": NAN}, {"gpus": NAN}])
def test_where_nothing_tells_there_is_no_plan(run):
    found = planned(**run)
    assert np.isnan(found["planned_hours"]) and found["source"] == ""


@pytest.mark.parametrize(
    "plan, sentence",
    [
        ({"hours": 1}, "a plan must name its run"),
        ({"run": "x", "time": 1}, "a plan has no 'time'; it has run, hours"),
        ({"run": "x", "hours": -1}, "hours of x must be at least 0"),
        ({"run": "x", "accuracy": 80}, "accuracy of x must be at least 0 and at most 1"),
        ("x", "a plan must name its run"),
    ],
)
def test_plans_that_cannot_be(plan, sentence):
    with pytest.raises(OutOfRange, match=sentence):
        run_plans.checked([plan])


# This month and the last.


def test_performance_by_hand():
    ledger = pd.DataFrame({"project": ["a", "a", "a", "b"], "gpu_hours": [60.0, 30.0, 10.0, 5.0],
                           "bucket": ["useful", "failed or restarted", "held but idle", "useful"],
                           "effective_cost": [120.0, 60.0, 20.0, 10.0]})  # fmt: skip
    jobs = pd.DataFrame({"project": ["a", "b", "b"], "started_jobs": [9, 1, 1], "wait_p50_seconds": [1800.0, 1.0, 2.0],
                         "wait_p95_seconds": [7200.0, 1.0, 2.0], "completed_jobs": [4, 0, 0]})  # fmt: skip
    runs = pd.DataFrame({"project": ["a", "a"], "gpu_hours": [3.0, 1.0], "mfu": [0.4, 0.2], "tokens": [1e9, NAN]})
    served = pd.DataFrame({"project": ["b"], "served_tokens": [7.0]})
    found = performance(ledger, jobs, runs, served, "project").set_index("project")
    a, b = found.loc["a"], found.loc["b"]
    assert (a["gpu_hours"], a["useful_share"], a["failed_share"]) == (100, 0.6, 0.3)
    assert (a["wait_p50_hours"], a["wait_p95_hours"]) == (0.5, 2) and a["mfu"] == pytest.approx(0.35)
    assert (a["tokens"], a["cost_per_gpu_hour"], a["cost_per_completed_job"]) == (1e9, 2, 50)
    # b's two rows are two small projects under one name: no median is known of both, and nothing completed
    assert np.isnan(b[["wait_p50_hours", "mfu", "tokens", "cost_per_completed_job"]].astype(float)).all()
    assert (b["failed_share"], b["served_tokens"]) == (0, 7)


def month(**values):
    return pd.DataFrame([{"project": "a", **dict.fromkeys(MEASURES, NAN), **values}])


@pytest.mark.parametrize(
    "measure, before, now, meaning",
    [
        ("useful_share", 0.7, 0.8, "better"), ("useful_share", 0.8, 0.7, "worse"), ("failed_share", 0.1, 0.2, "worse"),
        ("failed_share", 0.2, 0.1, "better"), ("failed_share", 0.2, 0.205, "as before"), ("mfu", 0.3, 0.4, "better"),
        ("wait_p95_hours", 1.0, 2.0, "worse"), ("wait_p95_hours", 0.01, 0.05, "as before"),
        ("cost_per_gpu_hour", 2.0, 1.9, "better"), ("cost_per_gpu_hour", 2.0, 2.02, "as before"),
        ("gpu_hours", 10.0, 20.0, "more"), ("tokens", 10.0, 5.0, "less"), ("mfu", NAN, 0.3, "new"),
        ("mfu", 0.3, NAN, "none now"), ("wait_p95_hours", 0.0, 3.0, "worse"),
    ],
)  # fmt: skip
def test_meaning_of_a_change(measure, before, now, meaning):
    (row,) = compared(month(**{measure: now}), month(**{measure: before}), "project").itertuples()
    assert (row.measure, row.meaning) == (measure, meaning)


def test_change_turned_round_means_the_opposite():
    """Invariant: now and before exchanged, better is worse."""
    a, b = month(useful_share=0.5, failed_share=0.4, mfu=0.3), month(useful_share=0.7, failed_share=0.1, mfu=0.2)
    turned = {"better": "worse", "worse": "better"}
    there, back = compared(a, b, "project"), compared(b, a, "project")
    assert [turned[meaning] for meaning in there["meaning"]] == list(back["meaning"])
    assert list(there["change"]) == [-change for change in back["change"]]


def test_largest_changes_come_first_and_neutral_ones_never():
    """0.2 of a share are 20 steps of 0.01, a third of a cost 11 steps of 0.03."""
    now = month(useful_share=0.9, cost_per_gpu_hour=4.0, gpu_hours=900.0, mfu=0.305)
    before = month(useful_share=0.7, cost_per_gpu_hour=3.0, gpu_hours=1.0, mfu=0.3)
    found = largest(compared(now, before, "project"), 5)
    assert list(found["measure"]) == ["useful_share", "cost_per_gpu_hour"]
    assert len(largest(compared(now, before, "project"), 1)) == 1
