"""The marts of training runs, by hand: attempts and their jobs, what they cost, what their logs tell, waits."""

from datetime import datetime

import pytest

from dcbudget import warehouse
from dcbudget.ingest.load import load
from tiny import CHARGES, JOBS, RULES, job, make, rows, shown, write

DAY = "2026-05-20T"
EXTRA = [
    # a requeued job: the same id twice
    job(7, "a-x", "east", "h100", 2, f"{DAY}00:00:00", f"{DAY}00:00:00", f"{DAY}02:00:00", state="NODE_FAIL"),
    job(7, "a-x", "east", "h100", 2, f"{DAY}02:00:00", f"{DAY}03:00:00", f"{DAY}04:00:00"),
]


def logged(run, times, metric="loss", values=None, **more):
    values = values or [1.0] * len(times)
    return [{"run_id": run, "step": n, "time": f"2026-05-{time}:00Z", "metric": metric, "value": value, **more}
            for n, (time, value) in enumerate(zip(times, values, strict=True), 1)]  # fmt: skip


LOGS = [
    *logged("of-one-job", ["10T22:30", "11T02:30"], job_id="1", cluster="east", project="alpha"),
    *logged("over-the-month", ["31T13:00", "31T23:00"], job_id="2", cluster="east", project="beta"),
    *logged("requeued", ["20T00:30", "20T01:30", "20T03:30"], job_id="7", cluster="east", project="alpha"),
    *logged("of-two-jobs", ["10T22:30"], job_id="1", cluster="east", project="alpha"),
    *logged("of-two-jobs", ["20T03:30"], job_id="3", cluster="west", project="alpha"),
    *logged("of-no-job", ["02T00:00", "02T03:00"], gpus=2, project="alpha"),
    {"run_id": "undated", "step": 1, "metric": "loss", "value": 1.0},
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    db = make(folder, charges=CHARGES, jobs=[*JOBS, *EXTRA], rules=RULES)
    (found,) = load([write(folder / "runs.csv", LOGS)], db)
    assert found.status == "loaded" and not found.rows_rejected
    return db


def test_attempts(world):
    """Job 3 ended on 2 May, but it is the only job of its number; a run of two jobs has an attempt of each."""
    found = rows(world, "select run_id, attempt, has_job, job_id, cluster, gpu_model, state, gpus, gpu_hours"
                        " from run_attempts order by all")  # fmt: skip
    assert found == [
        ("of-no-job", 1, False, None, None, None, None, 2, 6),
        ("of-one-job", 1, True, "1", "east", "H100", "COMPLETED", 2, 10),
        ("of-two-jobs", 1, True, "3", "west", "A100", "FAILED", 4, 40),
        ("of-two-jobs", 2, True, "1", "east", "H100", "COMPLETED", 2, 10),
        ("over-the-month", 1, True, "2", "east", "H100", "COMPLETED", 1, 36),
        ("requeued", 1, True, "7", "east", "H100", "NODE_FAIL", 2, 4),
        ("requeued", 2, True, "7", "east", "H100", "COMPLETED", 2, 2),
        ("undated", 1, False, None, None, None, None, None, None),
    ]


def test_costs_are_gpu_hours_at_what_the_pool_cost(world):
    """East costs 10 an hour in both months; west 400 + 40 for 184 hours that could be held."""
    found = rows(world, "select month, run_id, attempt, currency, gpu_hours, round(effective_cost, 6)"
                        " from run_costs_monthly order by month, run_id, attempt")  # fmt: skip
    may, june = datetime(2026, 5, 1).date(), datetime(2026, 6, 1).date()
    assert found == [
        (may, "of-no-job", 1, None, 6, None),
        (may, "of-one-job", 1, "USD", 10, 100),
        (may, "of-two-jobs", 1, "USD", 40, pytest.approx(40 * 440 / 184, abs=1e-6)),
        (may, "of-two-jobs", 2, "USD", 10, 100),
        (may, "over-the-month", 1, "USD", 12, 120),
        (may, "requeued", 1, "USD", 4, 40),
        (may, "requeued", 2, "USD", 2, 20),
        (june, "over-the-month", 1, "USD", 24, 240),
    ]


def test_cost_of_a_job_is_what_the_ledger_says(world):
    """Independent: the ledger's money of beta in east is that of job 2, which a run logged."""
    ledger = rows(world, "select sum(effective_cost)::double from gpu_ledger_monthly"
                         " where cluster = 'east' and project = 'beta'")  # fmt: skip
    runs = rows(world, "select sum(effective_cost) from run_costs_monthly where run_id = 'over-the-month'")
    assert runs == [(pytest.approx(ledger[0][0], abs=0.01),)]


def test_no_run_costs_more_than_the_pool(tmp_path):
    """Jobs that held more than there was share what it cost."""
    crowd = [job(n, "a-x", "east", "h100", 8, *["2026-05-02T00:00:00"] * 2, "2026-05-05T00:00:00") for n in (1, 2)]
    db = make(tmp_path, charges=CHARGES[:1], jobs=crowd)
    logs = [row for n in (1, 2) for row in logged(f"r{n}", ["02T01:00", "03T01:00"], job_id=str(n), cluster="east")]
    load([write(tmp_path / "runs.csv", logs)], db)
    assert rows(db, "select round(sum(effective_cost), 2), sum(gpu_hours) from run_costs_monthly") == [(1000, 1152)]


METERS = [
    # data waits half of a step; one GPU is logged in per cent, the other too
    *logged("r", ["02T00:00", "02T00:01"], "step_time", [2.0, 4.0]),
    *logged("r", ["02T00:00", "02T00:01"], "train/data_time", [1.0, 2.0]),
    *logged("r", ["02T00:00"], "system/gpu_0_utilization_percentage", [80.0]),
    *logged("r", ["02T00:00"], "system/gpu_1_utilization_percentage", [60.0]),
    *logged("r", ["02T00:00"], "gpu_memory_share", [0.9]),
    *logged("r", ["02T00:00"], "memory/max_reserved(%)", [95.0]),
    # counters of megabytes and of bytes since the start
    *logged("r", ["02T00:00", "02T00:01"], "system.disk.in", [10.0, 70.0]),
    *logged("r", ["02T00:00", "02T00:01"], "network.recv", [0.0, 6e6]),
    *logged("r", ["02T00:00"], "loss", [3.0]),
    *logged("r", ["02T00:00"], "eval/data_quality", [3.0]),
]


def test_meters(tmp_path):
    db = make(tmp_path, rules=RULES)
    load([write(tmp_path / "runs.csv", METERS)], db)
    found = shown(warehouse.mart("run_meters", db), "quantity", "mean", "peak")
    assert sorted(found, key=str) == [
        ("data_seconds", 1.5, 2.0),
        ("disk_bytes_per_second", 1e6, None),
        ("gpu_memory_share", pytest.approx(0.925), 0.95),
        ("gpu_utilisation", pytest.approx(0.7), 0.8),
        ("network_bytes_per_second", 1e5, None),
        ("step_seconds", 3.0, 4.0),
    ]


def test_waits_and_ends_by_project_and_gpu(world):
    """In east jobs 1 and 2 waited 1 and 2 h and both of number 7 0 and 1 h; job 3 of nobody waited none and failed."""
    found = rows(world, "select grouped_by, project, gpu_model, started_jobs, wait_p50_seconds / 3600, ended_jobs,"
                        " completed_jobs from job_performance_monthly where month = '2026-05-01'"
                        " and grouped_by <> 'both' order by all")  # fmt: skip
    assert found == [
        ("gpu_model", None, "A100", 1, 0, 1, 0),
        ("gpu_model", None, "H100", 4, 1, 3, 2),
        ("project", "Unallocated", None, 1, 0, 1, 0),
        ("project", "alpha", None, 3, 1, 3, 2),
        ("project", "beta", None, 1, 2, 0, 0),
    ]
    both = rows(
        world, "select sum(started_jobs), sum(ended_jobs) from job_performance_monthly where grouped_by = 'both'"
    )
    assert both == [(5, 5)]
