"""The loaded sample holds what its truth.json says, and every planted event can be seen in a mart."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from dcbudget import warehouse
from tiny import rows

SAMPLE = Path(__file__).parents[1] / "data/sample"


@pytest.fixture(scope="module")
def truth():
    if not SAMPLE.joinpath("truth.json").exists():
        pytest.skip("no sample files; make sample writes them")
    return json.loads(SAMPLE.joinpath("truth.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def totals(truth):
    return truth["totals"]


@pytest.fixture(scope="module")
def evidence(truth):
    return {event["name"]: event["evidence"] for event in truth["events"]}


@pytest.fixture(scope="module")
def ask(sample_db):
    """Rows of a query over one connection."""
    with warehouse.connect(sample_db) as con:
        yield lambda statement, *values: con.execute(statement, list(values)).fetchall()


def test_billed_and_effective_cost_of_every_month(ask, totals):
    found = ask("select strftime(BillingPeriodStart, '%Y-%m'), count(*), sum(BilledCost), sum(EffectiveCost)"
                " from landed.imported group by 1 order by 1")  # fmt: skip
    assert {
        month: {"rows": count, "BilledCost": billed, "EffectiveCost": effective}
        for month, count, billed, effective in found
    } == {
        month: {
            "rows": want["rows"],
            "BilledCost": Decimal(want["BilledCost"]),
            "EffectiveCost": Decimal(want["EffectiveCost"]),
        }
        for month, want in totals["billing"].items()
    }


def test_cost_mart_holds_the_rented_money_to_the_last_digit(ask, totals):
    found = dict(ask("select strftime(month, '%Y-%m'), sum(effective_cost) from cost_monthly where provider <> 'Owned'"
                     " group by 1"))  # fmt: skip
    assert found == {month: Decimal(want["EffectiveCost"]) for month, want in totals["billing"].items()}


def test_jobs_by_state(ask, totals):
    assert dict(ask("select state, count(*) from jobs group by 1")) == totals["jobs"]["by_state"]
    assert ask("select count(*) from jobs") == [(totals["jobs"]["rows"],)]


def test_gpu_hours_by_state(ask, totals):
    want = totals["jobs"]["gpu_hours_by_state"]
    by_day = dict(ask("select state, sum(gpu_hours) from job_days group by 1"))
    by_job = dict(ask("select state, sum(gpu_hours) from job_states_monthly group by 1"))
    for state, hours in want.items():
        assert by_day.get(state, 0) == pytest.approx(hours, abs=1e-3)
        assert by_job.get(state, 0) == pytest.approx(hours, abs=1e-3)
    assert sum(by_day.values()) == pytest.approx(totals["jobs"]["gpu_seconds"] / 3600, abs=1e-3)


def test_runs(ask, totals):
    for kind, runs in (("not", "runs"), ("", "measured_runs")):
        assert ask("select count(*), count(distinct run_id) from run_metrics"
                   f" where {kind} starts_with(run_id, 'measure-')") == [
            (totals[runs]["metric_rows"], totals[runs]["runs"])
        ]  # fmt: skip
    generated, measured = totals["runs"]["runs"], totals["measured_runs"]["runs"]
    assert ask("select count(*), count(status), count(gpu_hours) from runs") == [
        (generated + measured, generated + measured, generated)
    ]


def test_requests_and_what_a_million_of_their_tokens_costs(ask, totals):
    """One project serves: its months have a unit cost, and no other's."""
    want = totals["requests"]
    found = ask("select strftime(month, '%Y-%m'), requests, input_tokens, output_tokens from tokens_monthly")
    assert {month: {"requests": n, "input_tokens": i, "output_tokens": o} for month, n, i, o in found} == want
    costs = ask("select strftime(month, '%Y-%m'), effective_cost_per_million_tokens, effective_cost, project"
                " from unit_cost_monthly where million_tokens is not null")  # fmt: skip
    assert {row[0] for row in costs} == want.keys() and {row[3] for row in costs} == {"platform"}
    for month, per_million, cost, _ in costs:
        tokens = want[month]["input_tokens"] + want[month]["output_tokens"]
        assert per_million == pytest.approx(float(cost) / tokens * 1e6)


def test_every_run_meets_its_job_by_its_key(ask, totals):
    assert ask("select job_link, count(*) from runs where project is not null group by 1") == [
        ("key", totals["runs"]["runs"])
    ]
    assert ask("select count(*) from unlinked_runs") == [(0,)]


def test_owned_capacity(ask, totals):
    found = ask(
        "select strftime(month, '%Y-%m'), gpu_model, capacity_gpu_hours from gpu_hours_monthly where cluster = 'hall-1'"
        " and month >= '2025-01-01'"
    )
    want = {
        (month, model): hours
        for month, models in totals["fleet_capacity_gpu_hours"].items()
        for model, hours in models.items()
    }
    assert {(month, model): hours for month, model, hours in found} == want


def test_budgets(ask, totals):
    found = dict(ask("select left(plan_version, 4), sum(amount) from budget_lines group by 1"))
    assert found == {year: Decimal(amount) for year, amount in totals["budget"].items()}


def test_nothing_was_rejected_and_every_check_passes(ask, sample_db):
    assert ask("select sum(rows_rejected) from loads") == [(0,)]
    failing = warehouse.check(sample_db).query("offending_rows > 0")
    assert failing.empty, failing


# The planted events.


def test_overrun_is_in_budget_vs_actual(ask, evidence):
    want = evidence["vision-overrun"]
    found = ask(
        "select sum(budget), sum(actual) from budget_vs_actual where project = 'vision'"
        " and plan_version = '2026-approved'"
        " and strftime(month, '%Y-%m') in (select unnest(?))",
        want["months"],
    )
    planned, actual = map(float, found[0])
    assert planned == want["budget_usd"]
    # truth.json shares pools out in exact numbers, the mart in whole cents
    assert actual == pytest.approx(want["effective_usd"], abs=0.5)
    assert actual / planned - 1 == pytest.approx(want["over_budget"], abs=1e-4)


def test_cost_spike_is_in_the_daily_cost(ask, evidence):
    daily = ask("select day, effective_cost::double from cost_daily where project = 'search' and category = 'Network'"
                " and day between '2026-05-01' and '2026-05-31' order by day")  # fmt: skip
    usual = sorted(cost for _, cost in daily)[len(daily) // 2]
    spike = [day.day for day, cost in daily if cost > 5 * usual]
    assert spike == [12, 13, 14]
    during = sum(Decimal(str(cost)) for day, cost in daily if day.day in spike)
    assert float(during) == pytest.approx(float(evidence["egress-spike"]["effective_usd_during"]), rel=0.05)


def test_idle_reservation_is_in_the_commitments(ask, evidence):
    want = evidence["idle-reservation"]
    found = ask(
        "select sum(unused_effective_cost), sum(used_effective_cost), sum(used_gpu_hours), sum(unused_gpu_hours),"
        " count(*) from commitments_monthly where commitment = ?",
        want["commitment_discount_id"],
    )
    unused, _, used_hours, unused_hours, months = found[0]
    assert unused == Decimal(want["unused_effective_usd"])
    assert used_hours / (used_hours + unused_hours) == pytest.approx(want["used_share"], abs=5e-4)
    assert months == 5
    others = ask(
        "select commitment, sum(used_effective_cost) / sum(used_effective_cost + coalesce(unused_effective_cost, 0))"
        " from commitments_monthly where commitment <> ? group by 1",
        want["commitment_discount_id"],
    )
    assert others and all(share > 0.8 for _, share in others)


def test_failing_run_is_in_the_job_states(ask, evidence):
    want = evidence["failing-run"]
    found = ask("select state, count(*), sum(gpus * elapsed_seconds / 3600), min(gpus), max(gpus), any_value(project)"
                " from jobs where job_id in (select unnest(?)) group by 1 order by 1", want["job_ids"])  # fmt: skip
    assert {row[0]: row[1] for row in found} == want["states"]
    assert sum(row[2] for row in found) == pytest.approx(want["gpu_hours"], abs=1e-3)
    assert {row[3] for row in found} == {row[4] for row in found} == {want["gpus"]}
    failed = dict(ask("select strftime(month, '%Y-%m'), sum(jobs) from job_states_monthly where project = ?"
                      " and state = 'NODE_FAIL' group by 1", found[0][5]))  # fmt: skip
    assert failed.pop("2026-06") > 1.5 * max(failed.values())


def test_planted_hours_land_in_their_buckets(ask, evidence):
    """Downtime, held GPUs, the failing run and the idle reservation, each in its bucket of the GPU ledger."""
    down = ask("select month, sum(gpu_hours), any_value(gpu_model) from gpu_ledger_monthly where bucket = 'down'"
               " group by 1")  # fmt: skip
    assert [(f"{row[0]:%Y-%m}", float(row[1]), row[2]) for row in down] == [
        ("2026-04", evidence["rack-down"]["gpu_hours"], "A100")
    ]
    for name, bucket in (("held-gpus", "held but idle"), ("failing-run", "failed or restarted")):
        found = ask("select sum(gpus * elapsed_seconds / 3600) from jobs where job_id in (select unnest(?))",
                    evidence[name]["job_ids"])  # fmt: skip
        assert found[0][0] == pytest.approx(evidence[name]["gpu_hours"], abs=1e-3)
        month = {"held-gpus": "2026-05-01", "failing-run": "2026-06-01"}[name]
        hours = ask("select sum(gpu_hours) from gpu_ledger_monthly where bucket = ? and month = ? and project ="
                    " (select any_value(project) from jobs where job_id in (select unnest(?)))",
                    bucket, month, evidence[name]["job_ids"])  # fmt: skip
        assert float(hours[0][0]) >= evidence[name]["gpu_hours"]
    unused = ask("select sum(effective_cost) from gpu_ledger_monthly where bucket = 'reserved but unused'"
                 " and gpu_model = 'A100'")  # fmt: skip
    assert unused[0][0] == Decimal(evidence["idle-reservation"]["unused_effective_usd"])


def test_diverging_run_is_in_the_runs(ask, evidence):
    want = evidence["diverging-run"]
    assert ask("select job_id, final_loss from runs where run_id = ?", want["run_id"]) == [
        (want["job_id"], want["loss_last"])
    ]
    assert ask("select run_id from runs order by final_loss desc limit 1") == [(want["run_id"],)]


def test_price_change_is_in_prices_and_charges(ask, evidence):
    want = evidence["price-change"]
    listed = ask(
        "select distinct unit_price from prices where sku = ? and pricing_category = ? and region = 'example-east-1'"
        " order by effective_from",
        want["sku"],
        want["pricing_category"],
    )
    assert [row[0] for row in listed] == [Decimal(want["list_price_before"]), Decimal(want["list_price_after"])]
    found = dict(
        ask(
            "select strftime(BillingPeriodStart, '%Y-%m'), max(ListUnitPrice) from charges where SkuId = ?"
            " and PricingCategory = ? and RegionId = 'example-east-1' group by 1",
            want["sku"],
            want["pricing_category"],
        )
    )
    assert found["2026-03"] == Decimal(want["list_price_before"])
    assert found["2026-04"] == found["2026-06"] == Decimal(want["list_price_after"])


def test_restated_month_replaced_the_first_statement(ask, evidence):
    want = evidence["restated-month"]
    found = ask(
        "select sum(billed_cost), sum(effective_cost) from cost_monthly where month = '2026-03-01'"
        " and provider <> 'Owned'"
    )
    assert found == [(Decimal(want["billed_after"]), Decimal(want["effective_after"]))]
    replaced = ask(
        "select sum(cost_replaced), count(distinct by_load_id), any_value(loads.file) from load_replacements"
        " join loads on loads.load_id = by_load_id"
    )
    assert replaced == [(Decimal(want["billed_before"]), 1, Path(want["file"]).name)]
    assert ask("select file, rows_loaded from sources where status = 'replaced'")[0][0] == Path(want["file"]).name


def test_quiet_month_has_none_of_these(ask):
    """2025-09: no project is a tenth over budget and no commitment stands half idle."""
    found = ask("select sum(actual) / sum(budget) from budget_vs_actual where month = '2025-09-01' group by project"
                " having sum(budget) > 0")  # fmt: skip
    assert found and all(abs(float(ratio) - 1) < 0.1 for (ratio,) in found)
    assert ask(
        "select count(*) from commitments_monthly where month = '2025-09-01'"
        " and unused_effective_cost > used_effective_cost"
    ) == [(0,)]


def test_database_fixture_is_the_sample(sample_db):
    assert rows(sample_db, "select count(*) > 0 from loads where file = 'focus_2026-03_restated.csv'") == [(True,)]
