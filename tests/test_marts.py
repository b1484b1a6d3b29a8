"""The marts, by hand: two clusters, two projects, five jobs, nine charges (tests/tiny.py)."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcbudget import warehouse
from dcbudget.ingest.load import load
from tiny import FLEET, budget, charge, job, make, make_world, rows, shown, write

MAY, JUNE = date(2026, 5, 1), date(2026, 6, 1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


def test_job_days_split_at_midnight_and_at_the_end_of_the_month(world):
    """Job 1: 2 GPUs 22:00 to 03:00, half busy. Job 2: 1 GPU from noon of 31 May to the end of 1 June."""
    found = rows(world, "select day, cluster, project, state, gpu_hours, used_gpu_hours, measured_gpu_hours"
                        " from job_days order by all")  # fmt: skip
    assert found == [
        (date(2026, 5, 2), "west", None, "FAILED", 40, None, None),
        (date(2026, 5, 10), "east", "alpha", "COMPLETED", 4, 2, 4),
        (date(2026, 5, 11), "east", "alpha", "COMPLETED", 6, 3, 6),
        (date(2026, 5, 31), "east", "beta", "COMPLETED", 12, None, None),
        (date(2026, 6, 1), "east", "beta", "COMPLETED", 24, None, None),
    ]


def test_job_days_leave_out_jobs_without_gpus_and_jobs_that_never_started(world):
    assert rows(world, "select count(*) from jobs") == [(5,)]
    assert rows(world, "select sum(gpu_hours), count(distinct project) from job_days") == [(86, 2)]


def test_running_job_counts_up_to_what_it_has_run(tmp_path):
    running = job(9, "a-x", "east", "h100", 2, "2026-05-30T20:00:00", "2026-05-30T21:00:00", "Unknown",
                  state="RUNNING", until="2026-05-31T02:00:00")  # fmt: skip
    db = make(tmp_path, jobs=[running])
    found = rows(db, "select day, gpu_hours from job_days order by day")
    assert found == [(date(2026, 5, 30), 6), (date(2026, 5, 31), 4)]


def test_gpu_hours_monthly(world):
    """West's capacity is 160 on demand, 24 reserved and used (440 together), 16 reserved and unused (60).

    Job 3 held 40 of the 184 that could be held: 95.65, so that 344.35 and the unused 60 are idle.
    """
    found = shown(warehouse.mart("gpu_hours_monthly", world), "month", "cluster", "gpu_model", "capacity_gpu_hours",
                  "allocated_gpu_hours", "used_gpu_hours", "measured_gpu_hours", "idle_gpu_hours",
                  "effective_cost_per_gpu_hour", "idle_effective_cost")  # fmt: skip
    found = [(row[0].date(), *row[1:]) for row in found]
    assert found == [
        (MAY, "east", "H100", 100, 22, 5, 10, 78, 10, 780),
        (MAY, "west", "A100", 200, 40, None, None, 160, 2.5, 404.35),
        (JUNE, "east", "H100", 48, 24, None, None, 24, 10, 240),
    ]


def test_gpu_hours_daily_sum_to_the_month(world):
    daily = warehouse.mart("gpu_hours_daily", world)
    east = daily[(daily["cluster"] == "east") & (daily["day"] < "2026-06-01")]
    assert len(east) == 31
    assert east["capacity_gpu_hours"].sum() == pytest.approx(100)
    assert east.set_index("day")["allocated_gpu_hours"]["2026-05-31"] == 12


@pytest.mark.parametrize("moment", ["00:00:00", "10:30:00"])
def test_capacity_of_a_charge_of_a_moment_falls_on_its_day(tmp_path, moment):
    """Bills round a period to nothing; its GPU-hours must neither vanish nor spoil the day."""
    node = charge("node", "10", gpus=("H100", 8, 3), tags='{"cluster":"east"}', start="2026-05-03", end="2026-05-04")
    instant = f"2026-05-03T{moment}Z"
    short = node | {"ResourceId": "short", "ChargePeriodStart": instant, "ChargePeriodEnd": instant}
    frame = warehouse.mart("gpu_hours_daily", make(tmp_path, charges=[node, short]))
    assert shown(frame, "day", "capacity_gpu_hours", "idle_gpu_hours") == [(datetime(2026, 5, 3), 48, 48)]


SHOWBACK = {
    # east H100: 1000.000000000007 over 100 GPU-hours; west A100: 440 over 184, 60 unused; disks: 50 by east's hours
    (MAY, "alpha", "Rented GPUs"): ("100", "90"),
    (MAY, "alpha", "Storage"): ("5", "5"),
    (MAY, "alpha", "Network"): ("7.25", "7.5"),
    (MAY, "beta", "Rented GPUs"): ("132", "120"),
    (MAY, "beta", "Storage"): ("6", "6"),
    (MAY, "Unallocated", "Rented GPUs"): ("95.65", "86.96"),
    (MAY, "Unallocated", "Tax and support"): ("3.33", "3.33"),
    (MAY, "Idle capacity", "Rented GPUs"): ("1184.350000000007", "1015.04"),
    (MAY, "Idle capacity", "Storage"): ("39", "39"),
    (JUNE, "beta", "Rented GPUs"): ("240", "240"),
    (JUNE, "Idle capacity", "Rented GPUs"): ("240", "240"),
}


def test_showback_is_own_plus_share_plus_idle_plus_unallocated(world):
    found = rows(world, "select month, project, category, effective_cost, billed_cost from showback_monthly")
    assert {row[:3]: row[3:] for row in found} == {
        key: tuple(Decimal(amount) for amount in amounts) for key, amounts in SHOWBACK.items()
    }


def test_showback_ties_to_the_bill_to_the_last_digit(world):
    for month, effective, billed in (("2026-05", "1572.580000000007", "1372.83"), ("2026-06", "480", "480")):
        where = f"where month = '{month}-01'"
        found = rows(world, f"select sum(effective_cost), sum(billed_cost) from showback_monthly {where}")
        assert found == [(Decimal(effective), Decimal(billed))]


def test_cents_that_do_not_divide_even_out(tmp_path):
    """100.00 among three equal holders of a full pool: the cents even out and nothing is idle."""
    jobs = [job(number, f"{name}-x", "east", "h100", 1, f"2026-05-0{number}T00:00:00", f"2026-05-0{number}T00:00:00",
                f"2026-05-0{number}T10:00:00") for number, name in ((1, "a"), (2, "b"), (3, "c"))]  # fmt: skip
    db = make(tmp_path, charges=[charge("nodes", "100", gpus=("H100", 1, 30), tags='{"cluster":"east"}')], jobs=jobs)
    found = rows(db, "select project, effective_cost from showback_monthly order by project")
    assert found == [("Idle capacity", 0), ("Unallocated", Decimal("33.33")), ("alpha", Decimal("33.33")),
                     ("beta", Decimal("33.34"))]  # fmt: skip


def test_pool_that_jobs_overran_is_shared_among_them(tmp_path):
    """30 GPU-hours were paid for and 40 held: each bears its share of what was held."""
    jobs = [
        job(1, "a-x", "east", "h100", 1, "2026-05-01T00:00:00", "2026-05-01T00:00:00", "2026-05-02T06:00:00"),
        job(2, "b-x", "east", "h100", 1, "2026-05-01T00:00:00", "2026-05-01T00:00:00", "2026-05-01T10:00:00"),
    ]
    db = make(tmp_path, charges=[charge("nodes", "100", gpus=("H100", 1, 30), tags='{"cluster":"east"}')], jobs=jobs)
    found = rows(db, "select project, effective_cost from showback_monthly order by project")
    assert found == [("Idle capacity", 0), ("alpha", 75), ("beta", 25)]


def test_shared_pool_that_no_job_touched_is_idle_where_a_log_says_so(tmp_path):
    """Without any job log of the cluster nobody knows what its GPUs did."""
    nodes = charge("nodes", "100", gpus=("H100", 1, 30), tags='{"cluster":"east"}')
    log = [job(1, "a-x", "east", "a100", 1, "2026-05-01T00:00:00", "2026-05-01T00:00:00", "2026-05-01T10:00:00")]
    for jobs, bucket, project in ((log, "unallocated", "Idle capacity"), (None, "unmatched", "Unallocated")):
        db = make(tmp_path / bucket, charges=[nodes], jobs=jobs)
        assert rows(db, "select bucket, gpu_hours from gpu_ledger_monthly") == [(bucket, 30)]
        assert rows(db, "select project, effective_cost from showback_monthly") == [(project, 100)]


def test_shared_cluster_whose_capacity_is_unknown_is_idle(tmp_path):
    """Disks of a cluster without GPUs: nobody's hours can share them."""
    jobs = [job(1, "a-x", "east", "h100", 1, "2026-05-01T00:00:00", "2026-05-01T00:00:00", "2026-05-02T06:00:00")]
    db = make(
        tmp_path, charges=[charge("disks", "100", ServiceCategory="Storage", tags='{"cluster":"east"}')], jobs=jobs
    )
    assert rows(db, "select project, effective_cost from showback_monthly") == [("Idle capacity", 100)]


def test_owned_servers_are_shared_with_their_power_and_staff(tmp_path):
    """May: 5952 GPU-hours of capacity, alpha held 1488 = a quarter; power 818.40 and staff 100 of the month."""
    jobs = [job(1, "a-x", "hall", "h100", 2, "2026-05-01T00:00:00", "2026-05-01T00:00:00", "2026-06-01T00:00:00")]
    db = make(tmp_path, charges=[charge("anything", "1")], jobs=jobs, fleet=[FLEET | {"life_months": "60"}])
    found = rows(
        db,
        "select category, effective_cost from showback_monthly where project = 'alpha' and month = '2026-05-01'"
        " order by 1",
    )
    # 1800.02 / 60 = 30.00 a month; 744 h x 10 kW x 0.11 = 818.40
    assert found == [("Facility and staff", 25), ("Owned hardware", Decimal("7.5")), ("Power", Decimal("204.6"))]


def test_budget_vs_actual(world):
    frame = warehouse.mart("budget_vs_actual", world)
    columns = shown(frame, "month", "project", "category", "budget", "actual", "variance")
    found = {(row[0].date(), *row[1:3]): row[3:] for row in columns}
    assert found[MAY, "beta", "Rented GPUs"] == (100, 132, 32)
    assert found[JUNE, "beta", "Rented GPUs"] == (300, 240, -60)
    assert found[MAY, "gamma", "Storage"] == (20, 0, -20)
    assert found[MAY, "alpha", "Network"] == (0, 7.25, 7.25)
    assert len(found) == len(SHOWBACK) + 1
    assert frame["variance"].sum() == pytest.approx(1572.58 + 480 - 420)


def test_budget_vs_actual_keeps_plan_versions_apart(tmp_path):
    plan = [
        budget("2026-05", "alpha", "Network", "5", plan="v1"),
        budget("2026-06", "alpha", "Network", "6", plan="v2"),
    ]
    tag = '{"project":"alpha"}'
    bill = [
        charge("egress", "7", tags=tag, ServiceCategory="Networking"),
        charge("egress", "9", tags=tag, ServiceCategory="Networking", start="2026-06-01", end="2026-07-01"),
    ]
    frame = warehouse.mart("budget_vs_actual", make(tmp_path, charges=bill, plan=plan))
    assert shown(frame, "plan_version", "budget", "actual") == [("v1", 5, 7), ("v2", 6, 9)]


def test_unit_cost_monthly(world):
    """Beta in May: 120 of the pool and 12 of its own node, over 12 hours; its job completes in June."""
    frame = warehouse.mart("unit_cost_monthly", world)
    found = {(row[0].date(), row[1]): row[2:] for row in shown(
        frame, "month", "project", "effective_cost", "gpu_effective_cost", "allocated_gpu_hours", "completed_jobs",
        "effective_cost_per_gpu_hour", "effective_cost_per_completed_job")}  # fmt: skip
    assert found[MAY, "alpha"] == (112.25, 100, 10, 1, 10, 100)
    assert found[MAY, "beta"] == (138, 132, 12, None, 11, None)
    assert found[JUNE, "beta"] == (240, 240, 24, 1, 10, 240)
    assert found[MAY, "Unallocated"] == (98.98, 95.65, 40, None, 2.39125, None)
    assert found[JUNE, "Idle capacity"][2:] == (None, None, None, None)


def test_queue_wait_of_gpu_jobs_that_started(world):
    """East: 1 h and 2 h; the fifth hour of a job without GPUs and the job that never started are not waits."""
    found = shown(warehouse.mart("queue_wait_monthly", world), "cluster", "partition", "jobs", "wait_mean_seconds",
                  "wait_p50_seconds", "wait_p95_seconds")  # fmt: skip
    assert found == [("east", "gpu", 2, 5400, 5400, 3600 + 0.95 * 3600), ("west", "gpu", 1, 0, 0, 0)]


def test_commitments(world):
    found = shown(warehouse.mart("commitments_monthly", world), "commitment", "gpu_model", "used_effective_cost",
                  "unused_effective_cost", "used_gpu_hours", "unused_gpu_hours")  # fmt: skip
    assert found == [("ri-1", "A100", 40, 60, 24, 16)]


def test_job_states(world):
    found = shown(warehouse.mart("job_states_monthly", world), "cluster", "project", "state", "jobs", "gpu_hours")
    assert found == [
        ("east", "alpha", "COMPLETED", 1, 10),
        ("east", "alpha", "PENDING", 1, 0),
        ("east", "beta", "COMPLETED", 1, 36),
        ("east", "alpha", "COMPLETED", 1, 0),
        ("west", "Unallocated", "FAILED", 1, 40),
    ]


def test_cost_daily_by_the_day_a_charge_begins(world):
    daily = warehouse.mart("cost_daily", world)
    of_day = daily[daily["day"] == "2026-05-03"]
    assert shown(of_day, "project", "category", "effective_cost") == [
        ("alpha", "Network", 7.25),
        ("beta", "Rented GPUs", 12),
    ]
    assert daily["effective_cost"].sum() == pytest.approx(2052.58)


@pytest.mark.parametrize("mart", ["cost_daily", "cost_monthly"])
def test_four_bases_of_cost_stay_apart(world, mart):
    bases = ("billed_cost", "effective_cost", "list_cost", "contracted_cost")
    assert shown(warehouse.mart(mart, world, category="Network"), *bases) == [(7.5, 7.25, 9, 8)]


def test_cost_monthly_before_the_pools_are_shared_out(world):
    found = shown(warehouse.mart("cost_monthly", world, month=MAY), "project", "category", "billed_cost", "list_cost")
    assert found == [
        ("Shared: east", "Rented GPUs", 900, 1000),
        ("Shared: east", "Storage", 50, 50),
        ("Shared: west", "Rented GPUs", 400, 500),
        ("Unallocated", "Tax and support", 3.33, 3.33),
        ("alpha", "Network", 7.5, 9),
        ("beta", "Rented GPUs", 12, 12),
    ]


def test_resources(world):
    found = shown(
        warehouse.mart("resource_monthly", world, month=MAY), "resource", "unit", "quantity", "effective_cost"
    )
    assert ("storage", "GB-Months", 5, 50) in found
    assert ("network", None, None, 7.25) in found
    assert sum(row[3] for row in found) == pytest.approx(1572.58)


def test_sources_and_rejects(tmp_path):
    good, bad = charge("node", "10"), charge("spoiled", "5") | {"EffectiveCost": "five"}
    db = tmp_path / "x.duckdb"
    load([write(tmp_path / "bill.csv", [good, bad])], db)
    assert shown(warehouse.mart("sources", db), "file", "rows_read", "rows_loaded", "rows_rejected", "currency",
                 "cost_read", "cost_loaded", "cost_rejected") == [("bill.csv", 2, 1, 1, "USD", 15, 10, 5)]  # fmt: skip
    found = warehouse.mart("rejects_by_reason", db)
    assert shown(found, "file", "column_name", "rows_rejected", "cost_rejected") == [
        ("bill.csv", "EffectiveCost", 1, 5)
    ]


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    """A connection to an empty database, to fill and roll back."""
    path = tmp_path_factory.mktemp("blank") / "blank.duckdb"
    with warehouse.connect(path, write=True) as con:
        yield con


AMOUNT = st.decimals(Decimal(-(10**7)), Decimal(10**7), places=24, allow_nan=False)
CLUSTER, MODEL, PROJECT = (st.sampled_from(values) for values in (
    ["east", "west", None], ["H100", "A100", None], ["alpha", "beta", None]))  # fmt: skip
CHARGE = st.tuples(AMOUNT, AMOUNT, CLUSTER, MODEL, PROJECT, st.integers(0, 5000) | st.none(), st.sampled_from([5, 6]),
                   st.sampled_from(["Compute", "Storage", "Networking"]))  # fmt: skip
RUN = st.tuples(
    CLUSTER.filter(bool), MODEL, PROJECT, st.integers(1, 64), st.integers(0, 61 * 24 * 60), st.integers(0, 20_000)
)


@settings(max_examples=6, deadline=None)
@given(bill=st.lists(CHARGE, min_size=1, max_size=10), runs=st.lists(RUN, max_size=8))
def test_showback_ties_exactly_whatever_the_hours_and_amounts(blank, bill, runs):
    blank.execute("begin")
    try:
        for effective, billed, cluster, model, project, hours, month, kind in bill:
            start, end = date(2026, month, 1), date(2026, month + 1, 1)
            blank.execute(
                "insert into landed.charges_none (EffectiveCost, BilledCost, x_cluster, x_gpu_model, x_project,"
                " x_gpu_hours, BillingPeriodStart, ChargePeriodStart, ChargePeriodEnd, ServiceCategory, ProviderName,"
                " BillingCurrency, ChargeCategory) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'Cloud', 'USD', 'Usage')",
                [effective, billed, cluster, model, project, hours, start, start, end, kind],
            )
        for number, (cluster, model, project, gpus, minute, length) in enumerate(runs):
            blank.execute(
                "insert into jobs (job_id, cluster, project, gpu_model, gpus, submit_time, start_time, end_time, state)"
                " select ?, ?, ?, ?, ?, t, t, t + to_minutes(?), 'COMPLETED' from (select timestamp '2026-05-01'"
                " + to_minutes(?) as t)",
                [str(number), cluster, project, model, gpus, length, minute],
            )
        for check in ("showback_ties", "cost_monthly_ties", "gpu_hours_tie", "gpu_ledger_ties"):
            assert blank.execute(warehouse.sql("checks")[check]).fetchall() == []
        by_category = blank.execute(
            "select * from (select month, category, sum(effective_cost) as e, sum(billed_cost) as b from cost_lines"
            " group by all) full join (select month, category, sum(effective_cost) as e2, sum(billed_cost) as b2"
            " from showback_monthly group by all) using (month, category)"
            " where e is distinct from e2 or b is distinct from b2").fetchall()  # fmt: skip
        assert by_category == []
    finally:
        blank.execute("rollback")


@settings(max_examples=10, deadline=None)
@given(cost=st.integers(0, 10**9), capacity=st.integers(1, 2000), hours=st.lists(st.integers(0, 2000), max_size=4))
def test_no_share_is_off_by_more_than_a_cent(blank, cost, capacity, hours):
    """Every holder of a pool bears its hours' part of it, to the cent; idle is what is left and never negative."""
    amount = Decimal(cost) / 100
    begin = date(2026, 5, 1)
    blank.execute("begin")
    try:
        blank.execute(
            "insert into landed.charges_none (EffectiveCost, BilledCost, x_cluster, x_gpu_model, x_gpu_hours,"
            " ProviderName, BillingPeriodStart, ChargePeriodStart, ChargePeriodEnd, BillingCurrency, ChargeCategory)"
            " values (?, 0, 'east', 'H100', ?, 'Cloud', ?, ?, ?, 'USD', 'Usage')",
            [amount, capacity, begin, begin, begin + timedelta(days=31)],
        )
        for number, held in enumerate(hours):
            blank.execute(
                "insert into jobs (job_id, cluster, project, gpu_model, gpus, submit_time, start_time, end_time, state)"
                " values ('1', 'east', ?, 'H100', ?, '2026-05-01', '2026-05-01', '2026-05-01 01:00:00', 'COMPLETED')",
                [f"p{number}", held],
            )
        found = dict(blank.execute("select project, effective_cost from showback_monthly").fetchall())
    finally:
        blank.execute("rollback")
    whole = max(capacity, sum(hours))
    for number, held in enumerate(hours):
        if held:
            assert abs(found.pop(f"p{number}") - amount * held / whole) < Decimal("0.0101")
    if not any(hours):
        found["Idle capacity"] = found.pop("Unallocated", 0)  # no log tells what the GPUs did
    assert set(found) == {"Idle capacity"}
    assert abs(found["Idle capacity"] - amount * (whole - sum(hours)) / whole) < Decimal("0.0051")


@pytest.mark.parametrize(
    "more, category",
    [
        ({"ServiceName": "Premium Support"}, "Tax and support"),
        ({"ChargeCategory": "Tax"}, "Tax and support"),
        ({"ChargeCategory": "Credit", "ServiceCategory": "Storage"}, "Tax and support"),
        ({"ServiceCategory": "Storage"}, "Storage"),
        ({"ServiceCategory": "Networking"}, "Network"),
        ({"ServiceCategory": "Databases"}, "Other services"),
        ({"gpus": ("H100", 8, 10), "ServiceCategory": "AI and Machine Learning"}, "Rented GPUs"),
    ],
)
def test_category_of_a_charge(tmp_path, more, category):
    db = make(tmp_path, charges=[charge("x", "1", **more)], rules=None)
    assert rows(db, "select category from cost_lines") == [(category,)]


def test_charge_with_a_project_and_a_cluster_is_the_projects_own(tmp_path):
    """It is borne by its project whoever's jobs ran there; its GPU-hours are capacity of the cluster."""
    own = charge("node", "100", gpus=("H100", 1, 10), tags='{"project":"alpha","cluster":"east"}')
    jobs = [job(1, "b-x", "east", "h100", 1, "2026-05-01T00:00:00", "2026-05-01T00:00:00", "2026-05-01T05:00:00")]
    db = make(tmp_path, charges=[own], jobs=jobs)
    assert rows(db, "select project, effective_cost from showback_monthly") == [("alpha", 100)]
    assert rows(db, "select capacity_gpu_hours, allocated_gpu_hours from gpu_hours_monthly") == [(10, 5)]
    found = rows(db, "select bucket, project, gpu_hours, effective_cost from gpu_ledger_monthly order by all")
    assert found == [("unallocated", "alpha", 5, 50), ("useful", "alpha", 5, 50)]


def test_every_gpu_hour_is_in_one_bucket(tmp_path):
    """June 2026, hall of 4 H100 with 2,880 GPU-hours for 288.00 (0.10 each), and 100 unused reserved ones for 33.33.

    One job each: completed 100 h, failed 50 h, 20 h at 2 % utilisation; 2 GPUs down for ten days (480 h, of which
    the last day lies in July); a project's own node without a cluster has 24 GPU-hours that no log explains.
    """
    june = {"start": "2026-06-01", "end": "2026-07-01"}
    east = '{"cluster":"east"}'
    bill = [
        charge("nodes", "288", "144", gpus=("H100", 4, 720), tags=east, **june),
        charge("unused", "33.33", "0", gpus=("H100", 1, 100), tags=east, CommitmentDiscountId="c",
               CommitmentDiscountStatus="Unused", **june),
        charge("own node", "7", gpus=("L4", 1, 24), tags='{"project":"beta"}', **june),
    ]  # fmt: skip
    begin = "2026-06-01T00:00:00"
    jobs = [
        job(1, "a-x", "east", "h100", 1, begin, begin, "2026-06-05T04:00:00", used=60),
        job(2, "b-x", "east", "h100", 1, begin, begin, "2026-06-03T02:00:00", state="FAILED", used=1),
        job(3, "b-x", "east", "h100", 2, begin, begin, "2026-06-01T10:00:00", used=2),
        job(4, "c-x", "east", "", 0, begin, begin, "2026-06-01T10:00:00"),
    ]
    db = make(tmp_path, charges=bill, jobs=jobs)
    down = [{"cluster": "east", "gpu_model": "h100", "gpus": 2, "start_time": "2026-06-22T00:00:00",
             "end_time": "2026-07-02T00:00:00", "reason": "switch"}]  # fmt: skip
    load([write(tmp_path / "downtime.csv", down)], db)
    found = rows(db, "select cluster, bucket, project, gpu_hours, effective_cost, billed_cost from gpu_ledger_monthly"
                     " order by bucket, project")  # fmt: skip
    assert [(*row[:3], *map(float, row[3:])) for row in found] == [
        ("east", "down", None, 432, 43.2, 21.6),
        ("east", "failed or restarted", "beta", 50, 5, 2.5),
        ("east", "held but idle", "beta", 20, 2, 1),
        ("east", "reserved but unused", None, 100, 33.33, 0),
        ("east", "unallocated", None, 2278, 227.8, 113.9),
        (None, "unmatched", "beta", 24, 7, 7),
        ("east", "useful", "alpha", 100, 10, 5),
    ]
    assert (warehouse.check(db)["offending_rows"] == 0).all()


def test_what_is_down_cannot_be_held(tmp_path):
    """10 GPU-hours, 6 held, 8 said to be down: the jobs ran, so that 4 were down and nothing is left."""
    nodes = charge("nodes", "100", gpus=("H100", 1, 10), tags='{"cluster":"east"}')
    ran = job(1, "a-x", "east", "h100", 1, "2026-05-01T00:00:00", "2026-05-01T00:00:00", "2026-05-01T06:00:00")
    db = make(tmp_path, charges=[nodes], jobs=[ran])
    down = [{"cluster": "east", "gpus": 1, "start_time": "2026-05-02T00:00:00", "end_time": "2026-05-02T08:00:00",
             "reason": "power"}]  # fmt: skip
    load([write(tmp_path / "downtime.csv", down)], db)
    found = rows(db, "select bucket, gpu_hours, effective_cost from gpu_ledger_monthly order by bucket")
    assert found == [("down", 4, 40), ("unallocated", 0, 0), ("useful", 6, 60)]


def test_pool_that_is_paid_in_two_currencies(tmp_path):
    """Owned part in CHF, rented part in USD: jobs held the same share of either, and hours are counted once."""
    tag = '{"cluster":"east"}'
    bill = [charge("rented", "30", gpus=("H100", 1, 30), tags=tag),
            charge("owned", "10", gpus=("H100", 1, 10), tags=tag, BillingCurrency="CHF")]  # fmt: skip
    ran = job(1, "a-x", "east", "h100", 1, "2026-05-01T00:00:00", "2026-05-01T00:00:00", "2026-05-01T20:00:00")
    db = make(tmp_path, charges=bill, jobs=[ran])
    found = rows(db, "select currency, capacity_gpu_hours, allocated_gpu_hours from gpu_hours_monthly order by 1")
    assert found == [("CHF", 10, 5), ("USD", 30, 15)]
    found = rows(db, "select currency, bucket, gpu_hours, effective_cost from gpu_ledger_monthly order by all")
    assert found == [("CHF", "unallocated", 5, 5), ("CHF", "useful", 5, 5), ("USD", "unallocated", 15, 15),
                     ("USD", "useful", 15, 15)]  # fmt: skip


def test_job_without_a_gpu_model_has_that_of_its_cluster(tmp_path):
    """Where the bill knows one model only; elsewhere nobody can tell."""
    nodes = [charge("a", "10", gpus=("H100", 1, 10), tags='{"cluster":"east"}'),
             charge("b", "10", gpus=("A100", 1, 10), tags='{"cluster":"west"}'),
             charge("c", "10", gpus=("L4", 1, 10), tags='{"cluster":"west"}')]  # fmt: skip
    day = ("2026-05-01T00:00:00", "2026-05-01T00:00:00", "2026-05-01T05:00:00")
    jobs = [line.replace("gres/gpu:=1,", "") for line in (job(1, "a-x", "east", "", 1, *day),
                                                          job(2, "a-x", "west", "", 1, *day))]  # fmt: skip
    db = make(tmp_path, charges=nodes, jobs=jobs)
    assert rows(db, "select cluster, gpu_model from job_days order by 1") == [("east", "H100"), ("west", None)]
    assert rows(db, "select cluster, gpu_hours from gpu_ledger_monthly where bucket = 'useful'") == [("east", 5)]
