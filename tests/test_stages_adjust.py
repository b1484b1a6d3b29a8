"""6_adjust: two projects by hand, from audit to an accepted move and what it saved; the sample against its forecast."""

import json
import shutil
from copy import copy
from pathlib import Path

import numpy as np
import pandas as pd
import papermill
import pytest

from dcbudget import adjustments, budget, warehouse
from dcbudget.errors import DcbudgetError, OutOfRange
from dcbudget.ingest.load import load
from dcbudget.models.adjustment import by_line
from dcbudget.stages.adjust import Adjust
from dcbudget.stages.monthly import MonthlyReport
from tiny import budget as line
from tiny import egress, make, write

ROOT = Path(__file__).parents[1]
MONTHS = [f"2026-{month:02}" for month in range(1, 13)]
# alpha spends 100 a month and was given 90, beta spends 50 and was given 80.
CHARGES = [egress(month, amount, name) for month in MONTHS[:5] for name, amount in (("alpha", "100"), ("beta", "50"))]
PLAN = [line(month, name, "Network", amount) for month in MONTHS for name, amount in (("alpha", "90"), ("beta", "80"))]


def desk_in(folder) -> str:
    return str(make(folder, charges=CHARGES, plan=PLAN))


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return desk_in(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def stage(desk):
    return Adjust("2026-05", desk, floor=0.5, draws=400)


@pytest.fixture(scope="module")
def sample(sample_db):
    return Adjust("2026-06", str(sample_db), reserve=150_000.0, goal="chance")


def test_lines_by_hand(stage):
    lines = stage.lines.set_index("project")
    assert lines.loc["alpha", ["budget_to_date", "actual", "budget", "ahead", "recent"]].tolist() == [
        450, 500, 1080, 630, 300]  # fmt: skip
    assert lines.loc["beta", ["budget_to_date", "actual", "budget", "ahead", "recent"]].tolist() == [
        400, 250, 960, 560, 150]  # fmt: skip
    # seven months to come at 100 and 50
    assert np.quantile(stage.spend, 0.5, axis=0) == pytest.approx([1200, 600], rel=0.03)


def test_audit_finds_what_is_over_and_what_was_not_needed(stage):
    found = stage.audit("project").frame.set_index("project")
    assert found["variance"].to_dict() == {"alpha": 50, "beta": -150}
    assert found["finding"].to_dict() == {
        "alpha": "over budget, most by not by the hour (+50)", "beta": "38% of its budget was not needed"}  # fmt: skip
    assert stage.audit("category").frame["finding"].tolist() == ["12% of its budget was not needed"]


def test_money_moves_from_what_is_left_to_what_is_short(stage):
    found = stage.moves()
    assert stage.move_names() == ["beta, Network to alpha, Network"]
    amount = found.moves["amount"].iloc[0]
    # beta keeps half of 960 and may not come to overrun in more than a fifth of the cases
    assert 80 < amount <= 480
    assert found.projects.set_index("project").loc["alpha", "chance_after"] < 0.5
    assert stage.moves(floor=1.0).moves.empty
    assert stage.moves(floor=0.95).moves["amount"].sum() == pytest.approx(48)


def test_rules_hold(stage):
    for rule in ({"frozen": ("alpha",)}, {"frozen": ("beta, Network",)}, {"no_consent": ("beta",)}):
        assert stage.moves(**rule).moves.empty, rule
    # what is spent, or was to be spent by now, does not move: beta's 400 of 960 stay even without a floor
    assert stage.moves(floor=0.0).moves["amount"].sum() <= 560
    with pytest.raises(OutOfRange, match="floor must lie between 0 and 1, not 2"):
        stage.moves(floor=2)
    with pytest.raises(OutOfRange, match="goal must be one of"):
        stage.moves(goal="luck")


def test_draws_of_lines_sum_to_those_of_projects():
    spent = pd.DataFrame({"project": ["a", "a", "b", "b"], "actual": [1.0, 2.0, 3.0, 4.0]})
    recent = pd.DataFrame({"actual": [3.0, 1.0, 0.0, 0.0]})
    found = by_line(np.array([[8.0, 10.0]]), ["a", "b"], spent, recent)
    assert found.tolist() == [[7, 4, 8, 9]]


def test_from_proposal_to_measured_saving(desk, stage, tmp_path):
    """The move is accepted; alpha's 100 a month falls to 70 in June, so that 30 are saved by two other promises."""
    db = str(shutil.copy(desk, tmp_path / "budget.duckdb"))
    shutil.copy(Path(desk).with_suffix(".key"), tmp_path / "budget.key")
    mine = copy(stage)
    mine.db = db
    move = mine.move_names()[0]
    assert mine.propose("", "ann", "2026-06-02") == "nothing was proposed: no move was named"
    with pytest.raises(DcbudgetError, match="no move 'x'; there are: beta, Network to alpha, Network"):
        mine.propose("x", "ann", "2026-06-02")
    assert mine.propose(move, "ann", "2026-06-02").startswith("proposed 2026-06-02-01 (proposed): moves ")
    assert mine.proposed == ["2026-06-02-01"]
    assert adjustments.ledger(db)["promised_saving"].iloc[0] > 20
    said = mine.accept("2026-06-02-01", "2026-06-03", "bob")
    assert "reports of 2026-01 to 2026-12 now compare with 2026+2026-06-03-01 in place of 2026" in said
    old, new = (budget.lines_of(name, db).groupby("project")["amount"].sum() for name in ("2026", "2026+2026-06-03-01"))
    assert round(new.sum() - old.sum(), 2) == 0
    assert round(new["alpha"] - old["alpha"], 2) == stage.moves().moves["amount"].iloc[0]
    assert mine.measured().empty  # it begins in June
    what = {"owner": "ann", "date": "2026-05-30", "promised_saving": 25.0, "currency": "USD", "from_project": "alpha",
            "first_month": "2026-06-01", "last_month": "2026-07-01", "db": db}  # fmt: skip
    expected = pd.DataFrame({"month": pd.to_datetime(["2026-06-01", "2026-07-01"]), "expected": [100.0, 100.0],
                             "low": [95.0, 95.0], "high": [110.0, 110.0]})  # fmt: skip
    adjustments.propose(**what, counterfactual="run rate")
    adjustments.propose(**what, counterfactual="forecast", expectations=expected)
    for name in ("2026-05-30-01", "2026-05-30-02"):
        adjustments.accept(name, "2026-05-30", db=db)
    june = [egress("2026-06", amount, name, BillingAccountId="b") for name, amount in (("alpha", "70"), ("beta", "50"))]
    load([write(tmp_path / "june.csv", june)], db)
    later = Adjust("2026-06", db, floor=0.5, draws=400)
    assert later.plan_version == "2026+2026-06-03-01"
    found = later.measured(record=True).set_index("adjustment_id")
    assert found.loc["2026-05-30-01"].tolist() == pytest.approx([30, 30, 30])
    assert found.loc["2026-05-30-02"].tolist() == pytest.approx([30, 25, 40])
    # The same spend is beyond the budget before by what alpha is short of: 570 + six months, less 1080.
    short = later.spend[:, 0] - 1080
    assert found.loc["2026-06-02-01", "realised"] == pytest.approx(np.maximum(short, 0).mean(), rel=0.05)
    kept = adjustments.ledger(db).set_index("adjustment_id")["realised_saving"]
    assert kept.to_dict() == pytest.approx(found["realised"].to_dict(), abs=0.005)
    assert "30 (25 to 40)" in repr(later.ledger())
    with warehouse.connect(db, write=True) as con:
        con.execute("update adjustments set realised_saving = null, measured_month = null")
    MonthlyReport("2026-06", db).record(db)
    kept = adjustments.ledger(db).set_index("adjustment_id")
    assert kept["realised_saving"].tolist()[:2] == [30, 30] and kept["realised_saving"].iloc[2] > 0
    assert (kept["measured_month"] == "2026-06-01").all()


def test_earned_value_needs_every_field(stage):
    table = stage.programmes([])
    assert table.frame.empty and "No programme is told" in table.title
    given = {"project": "alpha", "tokens": 1e9, "budget": 600.0, "start": "2026-01", "months": 10}
    found = stage.programmes([given]).frame.iloc[0]
    assert (found["planned"], found["earned"], found["done"]) == (300, 0, 0)
    with pytest.raises(OutOfRange, match="tokens is missing"):
        stage.programmes([{"project": "alpha"}])
    with pytest.raises(OutOfRange, match="start of a programme must be a month"):
        stage.programmes([given | {"start": "soon"}])


def test_earned_value_of_the_sample(sample):
    given = {"project": "language", "tokens": 3e11, "budget": 1e6, "start": "2026-01", "months": 12}
    found = sample.programmes([given]).frame.iloc[0]
    assert found["planned"] == 500_000 and 0 < found["done"] < 300
    assert found["earned"] == pytest.approx(1e6 * found["done"] / 300)
    assert found["etc"] == pytest.approx(found["eac"] - found["actual"])


def test_no_plan_no_adjustment(tmp_path):
    db = str(make(tmp_path, charges=CHARGES))
    with pytest.raises(DcbudgetError, match="no plan covers 2026-05"):
        Adjust("2026-05", db)


def test_sample_agrees_with_its_forecast(sample):
    """The optimiser's chances are the forecast's own; lines tie to the review to the cent."""
    told = sample.forecasts.chance_of_overrun().set_index("project")
    found = sample.moves().projects.set_index("project")
    for name, row in found.iterrows():
        if name in sample.forecasts.budget:
            assert row["chance_before"] == pytest.approx(told.at[name, "chance"]), name
            assert row["expected_overrun_before"] == pytest.approx(told.at[name, "expected_overrun"]), name
    assert sample.lines["actual"].sum() == pytest.approx(sample.variance.bridge.after, abs=0.01)
    assert sample.lines["budget_to_date"].sum() == pytest.approx(sample.variance.bridge.before, abs=0.01)
    moved = sample.moves().moves
    assert moved["amount"].sum() <= 150_000 and set(moved["from_project"]) == {"Reserve"}
    assert not {"Idle capacity"} & set(moved["to_project"])


def test_notebook_runs_with_other_parameters(desk, tmp_path, monkeypatch):
    monkeypatch.setenv("DCBUDGET_CHARTS", "svg")
    told = {"month": "2026-05", "database": desk,
            "rules": {"floor": 0.5, "reserve": 0.0, "risk": 0.3, "goal": "overrun"}}  # fmt: skip
    papermill.execute_notebook(ROOT / "notebooks/6_adjust.ipynb", tmp_path / "out.ipynb", told, progress_bar=False)
    text = json.dumps(json.loads((tmp_path / "out.ipynb").read_text())["cells"])
    assert "beta, Network to alpha, Network" in text and "nothing was proposed" in text
