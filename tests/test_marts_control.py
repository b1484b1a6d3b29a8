"""The marts of 3_control by hand: who held the GPUs, what was held above use, how rented GPUs were paid for."""

from datetime import date
from decimal import Decimal

import pytest

from dcbudget import warehouse
from tiny import RULES, charge, job, make, make_world, rows, write

MAY = date(2026, 5, 1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


def test_people_are_groups_and_what_nobody_held_has_none(world):
    """East's H100 cost 10 an hour: alpha's 10 and beta's 12 hours; west's failed job has a group but no project."""
    found = rows(world, "select project, user_group, bucket, gpu_hours, effective_cost from people_monthly"
                        " where month = '2026-05-01' order by all")  # fmt: skip
    assert found == [
        ("Idle capacity", None, "reserved but unused", 16, 60),
        ("Idle capacity", None, "unallocated", 222, Decimal("1124.350000000007")),
        ("Unallocated", "c-x", "failed or restarted", 40, Decimal("95.65")),
        ("alpha", "a-x", "useful", 10, 100),
        ("beta", "b-x", "useful", 12, 120),
        ("beta", None, "unmatched", 24, 12),
    ]


def test_people_never_name_a_user(world):
    assert "user_id" not in warehouse.mart("people_monthly", world).columns


def test_cents_among_the_groups_of_a_project_even_out(tmp_path):
    """100.00 for 30 hours that three groups of one project held alike."""
    jobs = [job(number, f"a-{number}", "east", "h100", 1, f"2026-05-0{number}T00:00:00", f"2026-05-0{number}T00:00:00",
                f"2026-05-0{number}T10:00:00") for number in (1, 2, 3)]  # fmt: skip
    db = make(tmp_path, charges=[charge("nodes", "100", gpus=("H100", 1, 30), tags='{"cluster":"east"}')], jobs=jobs)
    found = rows(db, "select user_group, effective_cost from people_monthly where bucket = 'useful' order by all")
    assert found == [("a-1", Decimal("33.33")), ("a-2", Decimal("33.34")), ("a-3", Decimal("33.33"))]
    assert len(warehouse.offending_rows("people_tie", db)) == 0


def test_charge_of_a_project_whose_nodes_another_used_has_no_group(tmp_path):
    """Beta pays for the node; the hours that alpha's job held on it stay beta's money."""
    tags = '{"project":"beta","cluster":"east"}'
    jobs = [job(1, "a-x", "east", "h100", 1, "2026-05-01T00:00:00", "2026-05-01T00:00:00", "2026-05-01T10:00:00")]
    db = make(tmp_path, charges=[charge("node", "50", gpus=("H100", 1, 10), tags=tags)], jobs=jobs)
    found = rows(db, "select project, user_group, bucket, effective_cost from people_monthly where effective_cost > 0")
    assert found == [("beta", None, "useful", 50)]


def test_held_above_use_at_the_pools_cost(world):
    """Job 1 held 10 hours, half used, at 10 an hour: 50 above use. Job 2 measured nothing."""
    found = rows(world, "select project, useful_gpu_hours, measured_gpu_hours, unused_gpu_hours, unused_effective_cost"
                        " from over_requested_monthly where month = '2026-05-01' and cluster = 'east'"
                        " order by all")  # fmt: skip
    assert found == [("alpha", 10, 10, 5, pytest.approx(50)), ("beta", 12, None, None, None)]


def test_wall_time_asked_for(tmp_path):
    """4 GPUs for 10 hours were asked for and 2 taken; 1 GPU for an hour and all of it; a job without a limit."""
    header = "JobID|Account|Cluster|State|Submit|Start|End|Elapsed|Timelimit|AllocTRES"
    lines = [
        "1|a-x|east|COMPLETED|2026-05-01T00:00:00|2026-05-01T00:00:00|2026-05-01T02:00:00|02:00:00|10:00:00|gres/gpu=4",
        "2|a-x|east|COMPLETED|2026-05-01T00:00:00|2026-05-01T00:00:00|2026-05-01T01:00:00|01:00:00|01:00:00|gres/gpu=1",
        "3|a-x|east|COMPLETED|2026-05-01T00:00:00|2026-05-01T00:00:00|2026-05-01T09:00:00|09:00:00|UNLIMITED|gres/gpu=1",
    ]
    (tmp_path / "jobs.txt").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    from dcbudget.ingest.load import load

    db = tmp_path / "budget.duckdb"
    load([write(tmp_path / "rules.csv", RULES), tmp_path / "jobs.txt"], db)
    found = rows(db, "select project, jobs, requested_gpu_hours, elapsed_gpu_hours, jobs_below_a_quarter"
                     " from over_requested_monthly")  # fmt: skip
    assert found == [("alpha", 2, 41, 9, 1)]


PRICES = [
    {"provider": "Cloud", "region": region, "sku": "a100-8x", "gpu_model": "A100", "gpus": "8",
     "pricing_category": "Standard", "unit": "Hours", "unit_price": price, "currency": "USD", "effective_from": since}
    for region, price, since in (("x", "16", "2026-01-01"), ("y", "24", "2026-01-01"), ("x", "20", "2026-06-01"))
]  # fmt: skip


@pytest.fixture(scope="module")
def paid(tmp_path_factory):
    """A100 at 2 an hour on demand: 8 on demand, 8 committed and 16 unused at 1.25, 24 on spot; tax, a purchase."""
    from dcbudget.ingest.load import load

    folder = tmp_path_factory.mktemp("paid")
    commitment = {"CommitmentDiscountId": "ri-1", "PricingCategory": "Committed", "ListCost": "16"}
    bill = [
        charge("on demand", "15", gpus=("A100", 8, 1), ListCost="16", ContractedCost="15", PricingCategory="Standard"),
        charge("committed", "10", "0", gpus=("A100", 8, 1), CommitmentDiscountStatus="Used", **commitment),
        charge("unused", "20", "0", gpus=("A100", 8, 2), CommitmentDiscountStatus="Unused", **commitment),
        charge("spot", "12", gpus=("A100", 8, 3), PricingCategory="Dynamic"),
        charge("disks", "5", ServiceCategory="Storage", ServiceName="Disks", ListCost="6"),
        charge("purchase", "0", "900", ChargeCategory="Purchase", CommitmentDiscountId="ri-1", ListCost="900"),
        charge("tax", "7", ChargeCategory="Tax"),
    ]
    db = make(folder, charges=bill)
    load([write(folder / "prices.csv", PRICES)], db)
    return db


def test_savings_on_every_basis(paid):
    """Spot at the lower of two regions' prices, that of May; nothing was used of what is unused."""
    found = rows(paid, "select category, paid_as, gpu_hours, list_cost, on_demand_cost, contracted_cost,"
                       " effective_cost, billed_cost from savings_monthly order by all")  # fmt: skip
    assert found == [
        ("Rented GPUs", "commitment, unused", 16, 16, 0, 20, 20, 0),
        ("Rented GPUs", "commitment, used", 8, 16, 16, 10, 10, 0),
        ("Rented GPUs", "on-demand", 8, 16, 16, 15, 15, 15),
        ("Rented GPUs", "spot", 24, 12, 48, 12, 12, 12),
        ("Storage", "on-demand", None, 6, 6, 5, 5, 5),
    ]


def test_rented_gpus_by_day_are_spread_over_the_charges_period(paid):
    """8 GPU-hours over 31 days."""
    found = rows(paid, "select count(*), sum(gpu_hours), min(gpus), max(gpus) from rented_gpus_daily"
                       " where paid_as = 'on-demand'")  # fmt: skip
    assert found == [(31, pytest.approx(8), pytest.approx(8 / 744), pytest.approx(8 / 744))]
    assert rows(paid, "select paid_as, sum(gpu_hours) from rented_gpus_daily group by all order by all") == [
        ("commitment, unused", pytest.approx(16)), ("commitment, used", pytest.approx(8)),
        ("on-demand", pytest.approx(8)), ("spot", pytest.approx(24)),
    ]  # fmt: skip


def test_sample_groups_hold_what_their_projects_do(sample_db):
    """To the last digit, without the check's own arithmetic."""
    sums = "select month, project, sum(gpu_hours), sum(effective_cost) from"
    named = "where project not in ('Idle capacity', 'Unallocated') group by all order by all"
    people = rows(sample_db, f"{sums} people_monthly {named}")
    assert people == rows(sample_db, f"{sums} gpu_ledger_monthly {named}")
    assert len(people) > 100
