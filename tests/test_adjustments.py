"""The ledger: what is proposed is kept, what is accepted moves to the cent, what was saved is measured."""

import json
import shutil
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from dcbudget import adjustments, budget
from dcbudget.cli import app
from dcbudget.errors import DatabaseMissing, DcbudgetError, OutOfRange
from dcbudget.models.adjustment import moved, overrun_avoided, realised, run_rate
from tiny import blank, rows

JULY, AUGUST = pd.Timestamp("2026-07-01"), pd.Timestamp("2026-08-01")
PLAN = pd.DataFrame(
    [(month, project, category, amount, "USD", "GPU-hours")
     for month, project, category, amount in [
        (JULY, "alpha", "Rented GPUs", 100.0), (AUGUST, "alpha", "Rented GPUs", 200.0),
        (JULY, "alpha", "Storage", 30.0), (JULY, "beta", "Rented GPUs", 50.0)]],
    columns=["month", "project", "category", "amount", "currency", "driver"],
)  # fmt: skip
MOVE = {
    "owner": "ann", "date": "2026-07-03", "promised_saving": 12.5, "currency": "USD", "first_month": JULY,
    "last_month": AUGUST, "amount": 90.0, "from_project": "alpha", "from_category": "Rented GPUs",
    "to_project": "beta", "to_category": "Rented GPUs", "plan_version": "2026", "counterfactual": "budget before",
}  # fmt: skip
SAVE = MOVE | {"amount": 0.0, "to_project": None, "to_category": None, "plan_version": None,
               "counterfactual": "forecast"}  # fmt: skip
EXPECTED = pd.DataFrame({"month": [JULY, AUGUST], "expected": [100.0, 100.0], "low": [90.0, 80.0],
                         "high": [110.0, 130.0]})  # fmt: skip


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A database with one approved plan."""
    path = tmp_path_factory.mktemp("fresh") / "budget.duckdb"
    path.write_bytes(blank())
    budget.save_plan(PLAN, "2026", "approved", path)
    return path


@pytest.fixture
def desk(fresh, db):
    shutil.copy(fresh, db)
    return db


def amounts(db, version) -> dict:
    found = budget.lines_of(version, db)
    return {(f"{row.month:%m}", row.project, row.category): row.amount for row in found.itertuples()}


# Models.


def test_money_moves_in_proportion_to_what_lines_hold():
    # 90 of 300 in two months: 30 of 100 and 60 of 200; beta has a line in July alone.
    after = moved(PLAN, 90.0, [JULY, AUGUST], ("alpha", "Rented GPUs"), ("beta", "Rented GPUs"))
    assert after["amount"].tolist() == [70, 140, 30, 140]
    # All of alpha's July: 13 of 130 is 10 and 3; gamma has no line, so the months share it.
    after = moved(PLAN, 13.01, [JULY], ("alpha", None), ("gamma", "Storage"))
    assert after["amount"].tolist() == pytest.approx([89.99, 200, 27, 50, 13.01])
    assert after.iloc[-1][["month", "project", "category", "currency"]].tolist() == [JULY, "gamma", "Storage", "USD"]
    # From nowhere and to nowhere the budget grows and shrinks.
    assert moved(PLAN, 10, [JULY], (None, None), ("beta", None))["amount"].sum() == 390
    assert moved(PLAN, 10, [JULY], ("beta", None), (None, None))["amount"].sum() == 370


def test_more_than_there_is_cannot_move():
    with pytest.raises(OutOfRange, match=r"at most 100.00, which alpha, Rented GPUs has in 2026-07, not 100.01"):
        moved(PLAN, 100.01, [JULY], ("alpha", "Rented GPUs"), ("beta", None))
    with pytest.raises(OutOfRange, match="to_category must be given, because gamma has no lines in 2026-07 to 2026-08"):
        moved(PLAN, 1, [JULY, AUGUST], ("alpha", None), ("gamma", None))


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 33_000), st.sampled_from(["beta", "gamma"]), st.lists(st.integers(1, 10**6), min_size=4, max_size=4)
)
def test_no_cent_is_lost_when_money_moves(cents, to, held):
    lines = PLAN.assign(amount=[value / 100 for value in held])
    amount = min(cents, sum(held[:3])) / 100
    after = moved(lines, amount, [JULY, AUGUST], ("alpha", None), (to, "Storage"))
    assert round(after["amount"].sum() * 100) == sum(held) and (after["amount"] >= 0).all()
    gained = after.loc[after["project"] == to, "amount"].sum() - lines.loc[lines["project"] == to, "amount"].sum()
    assert round(gained * 100) == round(amount * 100)
    whole = after["amount"] * 100
    assert np.allclose(whole, whole.round(), atol=1e-6)


def test_saving_against_a_forecast_by_hand():
    # 200 was expected, 170 to 240; 145 was spent.
    found = realised(EXPECTED, [70.0, 75.0])
    assert (found.expected, found.actual, found.saving, found.low, found.high) == (200, 145, 55, 25, 95)


def test_saving_against_the_run_rate_by_hand():
    # 90, 100, 110 before, while all else stood at 1000; since then all else cost 1200: 100 * 1.2 was to be expected.
    found = run_rate([90, 100, 110], [1000, 1000, 1000], [1200])
    # Student's t of two degrees of freedom at 0.9 is 1.8856; 10 * sqrt(1 + 1/3) is 11.547.
    assert found.iloc[0].tolist() == pytest.approx([120, 1.2 * (100 - 21.773), 1.2 * (100 + 21.773)], rel=1e-4)
    with pytest.raises(OutOfRange, match="two months or more"):
        run_rate([90], [1000], [1200])
    with pytest.raises(OutOfRange, match="others that spent something"):
        run_rate([90, 90], [0, 0], [1200])


def test_run_rate_covers_what_nothing_changed():
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(400):
        spend = rng.normal(100, 10, 7)
        found = run_rate(spend[:6], np.full(6, 500.0), [500.0]).iloc[0]
        inside += found["low"] <= spend[6] <= found["high"]
    assert 0.75 < inside / 400 < 0.85


def test_avoided_overrun_by_hand():
    # Budgets 100 and 100, spend 120 and 60 or 140 and 80; 30 moves from the second to the first.
    spend = np.array([[120.0, 60.0], [140.0, 80.0]])
    found = overrun_avoided(spend, np.array([100.0, 100.0]), np.array([130.0, 70.0]))
    assert (found.expected, found.actual, found.saving) == (30, 10, 20)  # (20 + 40)/2 less (0 + 10 + 10)/2
    assert (found.low, found.high) == (20, 20)


# The ledger.


def test_accepted_money_moves_in_a_new_plan_version(desk):
    found = adjustments.propose(**MOVE, reason="beta runs over", db=desk)
    assert str(found) == (
        "2026-07-03-01 (proposed): moves 90.00 USD from alpha, Rented GPUs to beta, Rented GPUs, 2026-07 to 2026-08,"
        " and promises 12.50 USD; owner ann"
    )
    assert adjustments.propose(**MOVE, reason="beta runs over", db=desk) == found
    before = amounts(desk, "2026")
    with pytest.raises(OutOfRange, match="consent must name who agreed for alpha, which gives money"):
        adjustments.accept(found.adjustment_id, "2026-07-04", db=desk)
    line, plan = adjustments.accept(found.adjustment_id, "2026-07-04", consent="bob", db=desk)
    assert (line.status, line.new_plan_version, plan.status) == ("accepted", "2026+2026-07-04-01", "approved")
    assert plan.remarks == ("reports of 2026-07 to 2026-08 now compare with 2026+2026-07-04-01 in place of 2026",)
    after = amounts(desk, plan.plan_version)
    assert amounts(desk, "2026") == before
    assert {key: round(after[key] - before[key], 2) for key in before} == {
        ("07", "alpha", "Rented GPUs"): -30, ("08", "alpha", "Rented GPUs"): -60, ("07", "alpha", "Storage"): 0,
        ("07", "beta", "Rented GPUs"): 90}  # fmt: skip
    with pytest.raises(DcbudgetError, match="2026-07-03-01 is accepted already"):
        adjustments.reject(found.adjustment_id, "2026-07-04", db=desk)
    # The next one moves money in the version that is in force, and its name comes later.
    again = adjustments.propose(**MOVE | {"amount": 10.0}, db=desk)
    _, plan = adjustments.accept(again.adjustment_id, "2026-07-04", consent="bob", db=desk)
    assert plan.plan_version == "2026+2026-07-04-02"
    assert amounts(desk, plan.plan_version)["07", "beta", "Rented GPUs"] == 150


def test_what_cannot_move_leaves_nothing_behind(desk):
    found = adjustments.propose(**MOVE | {"amount": 301.0}, db=desk)
    with pytest.raises(OutOfRange, match=r"at most 300\.00"):
        adjustments.accept(found.adjustment_id, "2026-07-04", consent="bob", db=desk)
    assert adjustments.ledger(desk)["status"].tolist() == ["proposed"]
    assert budget.versions(desk)["plan_version"].tolist() == ["2026"]


def test_saving_without_money_that_moves_is_measured_and_measured_again(desk):
    found = adjustments.propose(**SAVE, expectations=EXPECTED, db=desk)
    pd.testing.assert_frame_equal(adjustments.expectations(found.adjustment_id, desk), EXPECTED, check_dtype=False)
    saving = realised(EXPECTED, [70.0, 75.0])
    with pytest.raises(DcbudgetError, match="is proposed; only what was accepted is measured"):
        adjustments.record_realised(found.adjustment_id, AUGUST, saving, desk)
    assert adjustments.accept(found.adjustment_id, "2026-07-04", db=desk)[1] is None
    for spent in ([70.0, 75.0], [70.0, 80.0]):
        adjustments.record_realised(found.adjustment_id, AUGUST, realised(EXPECTED, spent), desk)
    line = adjustments.ledger(desk).iloc[0]
    assert line[["realised_saving", "realised_low", "realised_high"]].tolist() == [50, 20, 90]
    assert line["measured_month"] == AUGUST


def test_rejected_stays_in_the_ledger_and_may_be_proposed_again(desk):
    first = adjustments.propose(**MOVE, db=desk)
    assert adjustments.reject(first.adjustment_id, "2026-07-05", db=desk).status == "rejected"
    assert adjustments.propose(**MOVE, db=desk).adjustment_id == "2026-07-03-02"
    assert rows(desk, "select status, decided_on from adjustments order by adjustment_id") == [
        ("rejected", date(2026, 7, 5)), ("proposed", None)]  # fmt: skip


@pytest.mark.parametrize("change, said", [
    ({"owner": " "}, "owner of the adjustment must be a text"),
    ({"date": "soon"}, "date must be a day such as 2026-07-03, not 'soon'"),
    ({"promised_saving": None}, "must be a number, not None"),
    ({"amount": -1.0}, "amount must be at least 0"),
    ({"from_project": None, "to_project": None}, "above 0 only from or to a project"),
    ({"last_month": "2026-06-01"}, "last_month must not lie before first_month 2026-07, not 2026-06"),
    ({"currency": "usd"}, "currency of the adjustment must be a code such as USD"),
    ({"counterfactual": "hope"}, "counterfactual must be one of forecast, run rate, budget before, not 'hope'"),
    ({"counterfactual": "forecast"}, "expectations must be given"),
    ({"expectations": EXPECTED.head(1)}, "expectations must tell low, expected and high in order, of every month"),
    ({"expectations": EXPECTED.assign(low=101.0)}, "in order"),
])  # fmt: skip
def test_bad_proposals_are_named_and_not_kept(desk, change, said):
    with pytest.raises(OutOfRange, match=said):
        adjustments.propose(**MOVE | change, db=desk)
    assert adjustments.ledger(desk).empty


def test_unknown_ones_are_named(desk, tmp_path):
    with pytest.raises(DcbudgetError, match="no adjustment 'x'; there are: none"):
        adjustments.accept("x", "2026-07-04", db=desk)
    with pytest.raises(DatabaseMissing):
        adjustments.propose(**MOVE, db=tmp_path / "none.duckdb")
    no_plan = adjustments.propose(**MOVE | {"plan_version": None, "last_month": "2026-12-01"}, db=desk)
    with pytest.raises(DcbudgetError, match="no approved plan covers 2026-07 to 2026-12"):
        adjustments.accept(no_plan.adjustment_id, "2026-07-04", consent="bob", db=desk)


def test_amounts_are_kept_to_the_cent(desk):
    adjustments.propose(**MOVE | {"amount": Decimal("0.10"), "promised_saving": 0.1}, db=desk)
    assert rows(desk, "select amount, promised_saving from adjustments") == [(Decimal("0.10"), Decimal("0.10"))]


def test_command_lists_and_decides(desk):
    def typed(*words):
        done = CliRunner().invoke(app, ["adjust", *words, "--db", str(desk)])
        return done.exit_code, done.output, str(done.exception or "")

    first = adjustments.propose(**MOVE, db=desk)
    second = adjustments.propose(**MOVE | {"amount": 20.0}, db=desk)
    code, _, error = typed("accept", first.adjustment_id, "--date", "2026-07-04")
    assert code == 1 and "consent must name who agreed for alpha" in error
    code, said, _ = typed("accept", first.adjustment_id, "--date", "2026-07-04", "--consent", "bob")
    assert code == 0 and "2026-07-03-01 (accepted): moves 90.00 USD" in said and "in place of 2026" in said
    assert "(rejected)" in typed("reject", second.adjustment_id, "--date", "2026-07-05")[1]
    told = typed("list")[1]
    assert "alpha, Rented GPUs" in told and "12.50" in told and "90.00" in told
    found = json.loads(typed("list", "--json", "--status", "rejected")[1])
    assert [line["adjustment_id"] for line in found] == [second.adjustment_id]
    assert "status must be proposed, accepted, rejected" in typed("list", "--status", "open")[2]
