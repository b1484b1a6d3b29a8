"""Moves of budget money: by hand, against all choices on a grid, under every rule, to the cent."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from dcbudget.errors import OutOfRange
from dcbudget.models.optimize import RESERVE, reallocate


def lines(**projects: float) -> pd.DataFrame:
    return pd.DataFrame([{"project": name, "category": "GPUs", "budget": budget} for name, budget in projects.items()])


def expected(spend: np.ndarray, budgets) -> float:
    return float(np.maximum(spend - np.asarray(budgets), 0).mean(axis=0).sum())


def test_moves_by_hand():
    """a spends 80 or 90 of 120, b 100 or 140 of 100: 30 of a's are free, and b's overrun falls by half of each."""
    found = reallocate(lines(a=120.0, b=100.0), np.array([[80.0, 100], [90, 140]]))
    assert found.moves.to_dict("records") == [{
        "from_project": "a", "from_category": "GPUs", "to_project": "b", "to_category": "GPUs", "amount": 30.0,
        "overrun_avoided": 15.0, "chance_avoided": 0.0, "value_gained": 0.0,
    }]  # fmt: skip
    assert found.lines["budget_after"].tolist() == [90.0, 130.0]
    assert found.projects["expected_overrun_before"].tolist() == [0.0, 20.0]
    assert found.projects["expected_overrun_after"].tolist() == [0.0, 5.0]
    assert found.projects["chance_after"].tolist() == [0.0, 0.5]
    assert found.total == {
        "budget_before": 220.0, "budget_after": 220.0, "chance_before": 0.5, "chance_after": 0.5,
        "expected_overrun_before": 5.0, "expected_overrun_after": 5.0, "any_before": 0.5, "any_after": 0.5,
    }  # fmt: skip
    assert found.worth_of_reserve == pytest.approx(0.5 - 0.01)


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 0, 2]])
def test_money_is_pooled_within_a_project_and_goes_to_the_line_that_lacks_it(order):
    """Of a's lines one has too much and one too little; together they lack 30, which b has over.

    Within a nothing moves: its lines pay for one another as they are.
    """
    frame = pd.DataFrame({"project": ["a", "a", "b"], "category": ["x", "y", "x"], "budget": [100.0, 50.0, 100.0]})
    spend = np.tile([[80.0, 100.0, 60.0]], (4, 1))
    found = reallocate(frame.iloc[order], spend[:, order])
    assert found.lines["budget_after"].tolist() == pytest.approx(np.array([100.0, 80.0, 70.0])[order])
    assert found.moves["overrun_avoided"].tolist() == pytest.approx([30.0])
    assert found.total["any_after"] == 0 and found.total["any_before"] == 1


def test_the_reserve_is_drawn_on_down_to_what_is_kept():
    found = reallocate(lines(a=100.0), np.array([[150.0], [160.0]]), reserve=40.0, reserve_kept=15.0)
    assert found.moves[["from_project", "amount"]].values.tolist() == [[RESERVE, 25.0]]
    assert (found.total["budget_after"], found.total["expected_overrun_after"]) == (125.0, 30.0)
    nothing = reallocate(lines(a=100.0), np.array([[50.0], [60.0]]), reserve=40.0)
    assert nothing.moves.empty and nothing.worth_of_reserve == 0


def test_a_reserve_above_all_budgets_serves_lines_that_nobody_gives_to():
    frame = lines(a=10.0).assign(floor=10.0)
    found = reallocate(frame, np.array([[50.0]]), reserve=60.0)
    assert found.moves[["from_project", "amount"]].values.tolist() == [[RESERVE, 40.0]]


def test_nothing_moves_for_nothing():
    """Nobody overruns; and a, which may overrun in 7 of 10 draws and gives nothing, is not owed more than it has."""
    assert reallocate(lines(a=10.0, b=10.0), np.full((4, 2), 5.0), goal="chance").moves.empty
    spend = np.column_stack([np.arange(1.0, 11), np.ones(10)])
    assert reallocate(lines(a=3.0, c=100.0), spend, most_chance=0.5, least_worth=0.9).moves.empty


def test_parts_of_a_cent_are_given_by_nobody():
    """0.67 is wanted; of twice 0.335 whole cents are 0.66, and there is no reserve that could add one."""
    found = reallocate(lines(a=0.335, b=0.335, c=0.0), np.array([[0.0, 0.0, 0.67]]))
    assert found.moves["from_project"].tolist() == ["a", "b"] and found.moves["to_project"].tolist() == ["c", "c"]
    assert found.moves["amount"].tolist() == [0.33, 0.33]


def test_money_moves_within_a_project_before_it_moves_between_them():
    """a's line x has 20 to give, of which a's y takes 10; the rest, and the 10 of b, are c's."""
    frame = pd.DataFrame({
        "project": ["a", "b", "a", "c"], "category": ["x", "x", "y", "x"], "budget": 100.0, "value": [1.0, 1, 5, 5],
        "most_moved": [20.0, 10, 10, 20],
    })  # fmt: skip
    moves = reallocate(frame, np.zeros((2, 4)), goal="value").moves
    assert sorted(moves[["from_project", "to_project", "to_category", "amount"]].values.tolist()) == [
        ["a", "a", "y", 10.0], ["a", "c", "x", 10.0], ["b", "c", "x", 10.0],
    ]  # fmt: skip


@pytest.fixture(scope="module")
def drawn():
    """Three projects, the third of which has too much, and what they spend in 7 draws."""
    rng = np.random.default_rng(3)
    return lines(a=10.0, b=10.0, c=10.0), rng.uniform(6, 14, (7, 3)) + np.array([1.0, 0.0, -3.0])


def on_a_grid(spend, measure, low=(5, 5, 5), step=0.1):
    """The least of a measure over all budgets of 30 that leave each project at least so much."""
    first, second = (np.arange(at, 30, step) for at in low[:2])
    return min(
        measure(spend, np.array([x, y, 30 - x - y])) for x, y in product(first, second) if 30 - x - y >= low[2] - 1e-9
    )


def test_least_overrun_of_all_choices(drawn):
    frame, spend = drawn
    found = reallocate(frame.assign(floor=5.0), spend, least_worth=0.0)
    after = found.projects["expected_overrun_after"].sum()
    best = on_a_grid(spend, expected)
    assert best - 0.2 <= after <= best + 0.011
    assert after < expected(spend, [10, 10, 10]) - 0.5


def test_least_chance_of_all_choices(drawn):
    frame, spend = drawn
    found = reallocate(frame.assign(floor=5.0), spend, goal="chance")
    best = on_a_grid(spend, lambda drawn, budgets: (drawn > budgets + 1e-9).mean(axis=0).sum())
    assert found.projects["chance_after"].sum() == pytest.approx(best)
    assert found.projects["chance_after"].sum() < found.projects["chance_before"].sum()


@pytest.mark.parametrize("most_chance, moved", [(1.0, 4.0), (0.5, 4.0), (0.3, 0.0)])
def test_no_project_is_given_up_beyond_the_most_chance(most_chance, moved):
    """b needs 14 and has 10; a spends 1 to 10: 4 of its money save b, and let a overrun in four draws of ten."""
    spend = np.column_stack([np.arange(1.0, 11), np.full(10, 14.0)])
    found = reallocate(lines(a=10.0, b=10.0), spend, goal="chance", most_chance=most_chance)
    assert found.moves["amount"].sum() == pytest.approx(moved, abs=0.02)
    if moved:
        assert found.moves["chance_avoided"].tolist() == pytest.approx([0.5])  # a cent more moves, to be sure
    # who is above it already gives nothing
    late = reallocate(lines(a=3.0, b=10.0), spend, goal="chance", most_chance=0.5)
    assert late.moves.empty


def test_value_is_raised_at_no_more_overrun(drawn):
    """Money goes from the line that is worth least to the one that is worth most, as far as overruns allow."""
    frame, spend = drawn
    frame = frame.assign(value=[1.0, 2.0, 3.0], most_moved=3.0)
    found = reallocate(frame, spend, goal="value")
    told = found.projects
    assert found.moves["value_gained"].sum() == pytest.approx(
        ((found.lines["budget_after"] - found.lines["budget"]) * frame["value"]).sum()
    )
    assert told["expected_overrun_after"].sum() == pytest.approx(told["expected_overrun_before"].sum(), abs=0.01)
    grid = np.arange(-3, 3.001, 0.05)
    best = max(
        x + 2 * y - 3 * (x + y) for x, y in product(grid, grid)
        if abs(x + y) <= 3 and expected(spend, [10 + x, 10 + y, 10 - x - y]) <= expected(spend, [10, 10, 10]) + 1e-9
    )  # fmt: skip
    assert best - 0.02 <= found.moves["value_gained"].sum() <= best + 0.1
    assert found.moves["value_gained"].sum() > 0


@pytest.mark.parametrize(
    "rule",
    [{"floor": [0, 0, 9.5]}, {"frozen": [False, False, True]}, {"consent": [True, True, False]},
     {"most_moved": [9, 9, 0.5]}, {"frozen": [True, False, False]}],
)  # fmt: skip
def test_rules_hold(drawn, rule):
    frame, spend = drawn
    free = reallocate(frame, spend).lines
    assert free["budget_after"][2] < 9 and free["budget_after"][0] > 10
    after = reallocate(frame.assign(**rule), spend).lines["budget_after"]
    assert after.sum() == pytest.approx(30, abs=1e-9)
    if "frozen" in rule:
        assert after[rule["frozen"].index(True)] == 10
    else:
        assert after[2] == {"floor": 9.5, "consent": 10.0, "most_moved": 9.5}[next(iter(rule))]


def test_many_lines_conserve_money_and_come_out_the_same():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({
        "project": [f"p{at // 4}" for at in range(24)], "category": list("wxyz") * 6,
        "budget": rng.lognormal(8, 1, 24).round(2), "frozen": rng.random(24) < 0.2, "consent": rng.random(24) < 0.8,
    })  # fmt: skip
    frame["floor"], frame["most_moved"] = frame["budget"] * 0.6, frame["budget"] * 0.25
    spend = frame["budget"].to_numpy() * rng.uniform(0.8, 1.2, 24) * rng.lognormal(0, 0.15, (300, 24))
    found = reallocate(frame, spend, reserve=500.0)
    moved = found.lines["budget_after"] - found.lines["budget"]
    assert (moved.abs() <= frame["most_moved"] + 0.005).all()
    assert (moved[frame["frozen"]] == 0).all() and (moved[~frame["consent"]] > -1e-9).all()
    drawn = found.moves.loc[found.moves["from_project"] == RESERVE, "amount"].sum()
    assert moved.sum() == pytest.approx(drawn, abs=1e-6) and 0 < drawn <= 500
    booked = frame.set_index(["project", "category"])["budget"].copy()
    for move in found.moves.itertuples():
        booked[move.to_project, move.to_category] += move.amount
        if move.from_project != RESERVE:
            booked[move.from_project, move.from_category] -= move.amount
    assert booked.to_numpy() == pytest.approx(found.lines["budget_after"].to_numpy(), abs=1e-6)
    assert found.projects["expected_overrun_after"].sum() < found.projects["expected_overrun_before"].sum()
    again = reallocate(frame, spend, reserve=500.0)
    pd.testing.assert_frame_equal(found.moves, again.moves)
    more = reallocate(frame, spend, reserve=501.0)
    fewer = (found.projects["expected_overrun_after"] - more.projects["expected_overrun_after"]).sum()
    assert fewer == pytest.approx(found.worth_of_reserve + 0.01, abs=0.02)


@pytest.mark.parametrize(
    "change, more, sentence",
    [
        ({"budget": -1.0}, {}, "budget of a line must be at least 0"),
        ({"floor": np.inf}, {}, "floor of a line must be at least 0"),
        ({"most_moved": -2.0}, {}, "most_moved must be at least 0"),
        ({"project": "a"}, {}, "lines must have each project and category once, not a, GPUs twice"),
        ({"project": None}, {}, "project and category must be told in every line"),
        ({}, {"goal": "joy"}, "goal must be one of overrun, chance, value"),
        ({}, {"goal": "value"}, "lines must have a column value"),
        ({}, {"reserve": 5.0, "reserve_kept": 6.0}, "reserve_kept must be at least 0 and at most 5, not 6"),
        ({}, {"most_chance": 2.0}, "most_chance must be at least 0 and at most 1"),
        ({}, {"draws": np.ones((4, 2))}, "draws must be a table of draws by 3 lines"),
        ({}, {"draws": np.full((4, 3), np.nan)}, "draws must be finite, not nan"),
    ],
)  # fmt: skip
def test_bad_values_are_sentences(drawn, change, more, sentence):
    frame, spend = drawn
    with pytest.raises(OutOfRange, match=sentence):
        reallocate(frame.assign(**change), more.pop("draws", spend), **more)
    with pytest.raises(OutOfRange, match="lines must have at least one row"):
        reallocate(frame.head(0), spend)
