"""A billing period that is loaded already: restated, completed, the same again, or not clear."""

from decimal import Decimal

import pytest

from dcbudget.ingest.load import load
from focus_rows import ask, assert_conserved, billed, charge, charges, held, load_one, rejects, write_focus

APRIL = {"BillingPeriodStart": "2026-04-01", "BillingPeriodEnd": "2026-05-01"}


def _money(db) -> Decimal:
    return ask(db, "select sum(BilledCost) from charges")[0][0]


def _named(start: int, stop: int) -> set[str]:
    return {f"server-{number}" for number in range(start, stop)}


@pytest.fixture
def bill(tmp_path):
    """A function that writes a bill."""
    return lambda name, rows: write_focus(tmp_path / f"{name}.csv", rows)


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(charges(20, BilledCost="7"), id="other amounts"),
        pytest.param(charges(35), id="further charges"),
        pytest.param(charges(14, BilledCost="7"), id="fewer charges, other amounts"),
        pytest.param([*charges(19), charge(19, BilledCost="-3")], id="one other amount"),
    ],
)
def test_a_restated_period_replaces_the_earlier_one(bill, db, second):
    load_one(bill("first", [*charges(20), *charges(3, first=50, **APRIL)]), db)
    result = load_one(bill("second", second), db)
    assert (result.status, result.rows_rejected) == ("replaced", 0)
    assert _money(db) == billed(second) + billed(charges(3, first=50))
    assert ask(db, "select rows_replaced, cost_replaced from load_replacements") == [(20, billed(charges(20)))]
    assert_conserved(result, db)


def test_a_restatement_in_the_same_file(bill, db):
    load_one(bill("bill", charges(5)), db)
    assert load_one(bill("bill", charges(6, BilledCost="7")), db).status == "replaced"
    assert _money(db) == 42


def test_split_parts_add(bill, db):
    for part in range(3):
        result = load_one(bill(f"part{part}", charges(10, first=10 * part)), db)
        assert (result.status, result.rows_loaded) == ("loaded", 10)
    assert _money(db) == billed(charges(30))
    assert_conserved(result, db)


def test_a_restated_part_replaces_that_part_alone(bill, db):
    load_one(bill("part0", charges(10)), db)
    load_one(bill("part1", charges(10, first=10)), db)
    result = load_one(bill("part0 again", charges(10, BilledCost="7")), db)
    assert result.status == "replaced"
    assert _money(db) == 70 + billed(charges(10, first=10))
    assert_conserved(result, db)


def test_a_restated_period_replaces_all_its_parts(bill, db):
    load_one(bill("part0", charges(10)), db)
    load_one(bill("part1", charges(10, first=10)), db)
    assert load_one(bill("whole", charges(20, BilledCost="7")), db).status == "replaced"
    assert _money(db) == 140


@pytest.mark.parametrize("shared", [1, 10, 17])
def test_an_overlapping_export_adds_what_is_new(bill, db, shared):
    """Its identical rows are rejected, each under its own line; what only the earlier file had stays."""
    load_one(bill("first", charges(20)), db)
    second = [charge(20, Tags="a\nb"), *charges(shared, first=20 - shared), *charges(5, first=21)]
    result = load_one(bill("second", second), db)
    assert (result.status, result.rows_rejected) == ("loaded", shared)
    assert held(db) == _named(0, 26)
    assert rejects(db) == [(line + 4, None, None, "already loaded from first.csv") for line in range(shared)]
    assert_conserved(result, db)


def test_an_extract_of_a_loaded_period_takes_nothing_away(bill, db):
    load_one(bill("month", charges(28)), db)
    result = load_one(bill("day", charges(3)), db)
    assert (result.status, result.rows_loaded, result.rows_rejected) == ("loaded", 0, 3)
    assert _money(db) == billed(charges(28))


@pytest.mark.parametrize(
    "second",
    [
        pytest.param([*charges(6, BilledCost="7"), *charges(10, first=20)], id="a part changed, a part new"),
        pytest.param(charges(3, BilledCost="7"), id="only a few, changed"),
    ],
)
def test_an_unclear_overlap_is_refused(bill, db, second):
    load_one(bill("first", charges(20)), db)
    path = bill("second", second)
    result = load_one(path, db)
    assert (result.status, result.rows_read) == ("refused", 0)
    assert "second.csv" in result.message and "--overlap replace or --overlap add" in result.message
    assert "Cloud account acct-1, 2026-05" in result.message
    assert _money(db) == billed(charges(20))
    assert ask(db, "select count(*) from loads") == [(1,)]

    assert load_one(path, db, overlap="add").status == "loaded"
    assert _money(db) == billed(charges(20)) + billed(second)
    assert load_one(path, db, overlap="replace").status == "replaced"
    assert _money(db) == billed(second)


@pytest.mark.parametrize(
    "changes", [{"BillingAccountId": "acct-2"}, {"ProviderName": "Other"}, {"BillingAccountId": ""}, APRIL]
)
def test_another_account_provider_or_month_is_no_overlap(bill, db, changes):
    load_one(bill("first", charges(5)), db)
    result = load_one(bill("second", charges(5, **changes)), db)
    assert (result.status, result.rows_rejected) == ("loaded", 0)
    assert _money(db) == 2 * billed(charges(5))


def test_the_same_file_again_is_unchanged(bill, db, tmp_path):
    rows = charges(5)
    rows[2]["BilledCost"] = "?"
    path = bill("first", rows)
    first = load_one(path, db)
    copy = tmp_path / "copy.csv"
    copy.write_bytes(path.read_bytes())
    for again in (path, copy):
        result = load_one(again, db)
        assert (result.status, result.rows_read, result.rows_loaded, result.rows_rejected, result.cost) == (
            "unchanged", first.rows_read, first.rows_loaded, first.rows_rejected, first.cost
        )  # fmt: skip
    assert ask(db, "select count(*), (select count(*) from loads), (select count(*) from rejects) from charges") == [
        (4, 1, 1)
    ]


def test_a_superseded_file_again_is_unchanged(bill, db):
    first, second = bill("first", charges(5)), bill("second", charges(6, BilledCost="7"))
    statuses = [load_one(path, db).status for path in (first, second, first, second)]
    assert statuses == ["loaded", "replaced", "unchanged", "unchanged"]
    assert _money(db) == 42


def test_one_file_named_twice_is_loaded_once(bill, db, tmp_path):
    path = bill("first", charges(5))
    results = load([path, tmp_path, str(tmp_path / "*.csv"), tmp_path / "." / "first.csv"], db)
    assert [result.status for result in results] == ["loaded"]


def test_rejected_rows_do_not_replace(bill, db):
    """A period of which a file has only bad rows stays as it was."""
    load_one(bill("first", charges(5)), db)
    result = load_one(bill("second", charges(5, EffectiveCost="?")), db)
    assert (result.status, result.rows_rejected) == ("loaded", 5)
    assert _money(db) == billed(charges(5))
