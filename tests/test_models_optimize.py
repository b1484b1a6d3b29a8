"""Plans of workloads: brute force, duals against a programme solved again, conflicts by name, money to the cent."""

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from dcbudget.errors import ConflictingDemands, OutOfRange
from dcbudget.models.optimize import IDLE, case, genetic, greedy, greedy_of, plan, plan_of

JAN, FEB = pd.Timestamp("2027-01-01"), pd.Timestamp("2027-02-01")
HOURS = {JAN: 744.0, FEB: 672.0}


def workloads(*rows: dict) -> pd.DataFrame:
    usual = {"project": "a", "gpu_hours": 100.0, "value": 100.0, "divisible": True}
    return pd.DataFrame([{"workload": f"w{at}"} | usual | row for at, row in enumerate(rows)])


def capacity(**kinds: tuple) -> pd.DataFrame:
    """Kinds by (GPU-hours a month, price, paid, kW), over two months."""
    return pd.DataFrame([
        {"kind": kind, "month": month, "gpu_hours": told[0], "price_per_gpu_hour": told[1], "paid": told[2],
         "kw_per_gpu": told[3]} for kind, told in kinds.items() for month in (JAN, FEB)
    ])  # fmt: skip


def able(wanted: pd.DataFrame, **speeds: float) -> pd.DataFrame:
    return pd.DataFrame([
        {"workload": name, "kind": kind, "speed": speed}
        for name in wanted["workload"] for kind, speed in speeds.items()
    ])  # fmt: skip


def test_a_plan_by_hand():
    """200 fixed GPU-hours are free to use; the budget of 150 buys 50 more at 3; what is worth most runs.

    w0 needs 100 for 500, w1 200 for 400, w2 all of 300 for 900, only in February. 250 hours: w0 as a whole; w2 needs
    300 in February, where there are 100 + 50: it stays away. Of w1 150 run: 100 fixed and 50 rented.
    """
    wanted = workloads(
        {"value": 500.0},
        {"gpu_hours": 200.0, "value": 400.0},
        {"gpu_hours": 300.0, "value": 900.0, "earliest": FEB, "divisible": False},
    )
    there_is = capacity(owned=(100.0, 1.0, "fixed", 0.5), rented=(500.0, 3.0, "use", 0.5))
    budgets = pd.DataFrame({"project": [None], "amount": [200.0 + 150]})
    found = plan(wanted, able(wanted, owned=1.0, rented=1.0), there_is, budgets=budgets, gap=0.0)
    assert found.objective == found.value == pytest.approx(500 + 150 * 2)
    assert (found.money_by_use, found.money_fixed) == (150.0, 200.0)
    assert found.workloads["served"].tolist() == pytest.approx([1.0, 0.75, 0.0])
    assert found.gap == pytest.approx(0, abs=1e-9)
    worth = found.worth[found.worth["project"] == "a"].set_index(["resource", "kind", "month"])["worth"]
    assert worth["money"].tolist() == pytest.approx([2 / 3])
    assert worth["GPU-month", "owned", JAN] == pytest.approx(2 * 744)
    assert worth["GPU-month", "rented", JAN] == 0
    of_all = found.worth[found.worth["project"].isna()].set_index(["resource", "kind", "month"])["worth"]
    assert of_all["GPU-month", "owned", JAN] == pytest.approx(2 * 744)


def test_idle_capacity_is_a_row_and_money_ties_to_the_cent():
    wanted = workloads(*[{"gpu_hours": 33.333, "value": 10.0, "project": name} for name in "aabc"])
    there_is = capacity(owned=(50.01, 1.237, "fixed", 0.5), rented=(70.7, 3.333, "use", 0.5))
    found = plan(wanted, able(wanted, owned=1.0, rented=1.1), there_is)
    rows = found.rows
    cents = rows["money"] * 100
    assert np.allclose(cents, cents.round(), atol=1e-6)
    assert rows.loc[rows["paid"] == "fixed", "money"].sum() == pytest.approx(found.money_fixed, abs=1e-9)
    assert rows.loc[rows["paid"] == "use", "money"].sum() == pytest.approx(found.money_by_use, abs=1e-9)
    assert found.money_fixed == 2 * round(50.01 * 1.237, 2)
    assert rows.groupby(["kind", "month"])["gpu_hours"].sum()["owned"].tolist() == pytest.approx([50.01, 50.01])
    used = rows[rows["workload"] != IDLE]
    assert found.workloads["money"].sum() == pytest.approx(used["money"].sum(), abs=1e-9)
    few = plan(wanted.head(1), able(wanted.head(1), owned=1.0), there_is)
    assert few.rows.loc[few.rows["workload"] == IDLE, "gpu_hours"].sum() == pytest.approx(2 * 50.01 - 33.333)


def random_case(seed: int, go: float = 0.7) -> dict:
    """Four or five workloads, two kinds, two months, and every limit there is."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(4, 6))
    need = rng.uniform(20, 200, count).round(1)
    wanted = workloads(*[
        {"project": "abc"[rng.integers(3)], "gpu_hours": need[at], "value": round(need[at] * rng.uniform(0.5, 4), 1),
         "earliest": [JAN, FEB][int(rng.random() < 0.3)], "deadline": FEB, "divisible": bool(rng.random() > go),
         "minimum_service": 0.0, "most_gpus": [np.nan, 0.12][int(rng.random() < 0.4)]} for at in range(count)
    ])  # fmt: skip
    speeds = pd.DataFrame([
        {"workload": name, "kind": kind, "speed": rng.uniform(0.5, 2)}
        for name in wanted["workload"] for kind in ("owned", "rented") if kind == "owned" or rng.random() < 0.7
    ])  # fmt: skip
    held = {"a", "b"} & set(wanted["project"])
    return {
        "workloads": wanted, "able": speeds,
        "capacity": capacity(owned=(rng.uniform(40, 120), 1.0, "fixed", 1.0),
                             rented=(rng.uniform(40, 120), rng.uniform(1, 3), "use", 0.5)),
        "budgets": pd.DataFrame({"project": [None, wanted["project"][0], wanted["project"][0]],
                                 "first_month": [None, JAN, FEB],
                                 "amount": rng.uniform(30, 90, 3) + np.array([900, 0, 0])}),
        "reserved": pd.DataFrame([{"project": name, "kind": "owned", "share": 0.3} for name in sorted(held)]),
        "power_kw": rng.uniform(0.06, 0.2, 2),
    }  # fmt: skip


def by_subsets(given: dict, goal: str = "value", decided: dict | None = None) -> float:
    """The best of all choices of whole workloads, each a linear programme in hours, written another way."""
    wanted, speeds, there_is = given["workloads"], given["able"], given["capacity"]
    cells = [
        (w, s.speed, c) for w in wanted.itertuples() for s in speeds.itertuples() for c in there_is.itertuples()
        if s.workload == w.workload and s.kind == c.kind and w.earliest <= c.month <= w.deadline
    ]  # fmt: skip
    money = np.array([c.price_per_gpu_hour * (c.paid == "use") for _, _, c in cells])
    work = np.array([speed for _, speed, _ in cells])
    limits = []
    for key, group in there_is.groupby(["kind", "month"]):
        total = group["gpu_hours"].iloc[0]
        held = {r.project: r.share for r in given["reserved"].itertuples() if r.kind == key[0]}
        # whoever has nothing reserved, and any choice of those who have, leave the others what is theirs
        for size in range(len(held) + 1):
            for those in combinations(sorted(held), size):
                part = [(c.kind, c.month) == key and (w.project not in held or w.project in those) for w, _, c in cells]
                limits.append((part, total * (1 - sum(held[p] for p in held if p not in those))))
    for at, month in enumerate((JAN, FEB)):
        draw = [c.kw_per_gpu / HOURS[month] * (c.month == month) for _, _, c in cells]
        limits.append((draw, given["power_kw"][at]))
        limits += [([(v.workload == w.workload and c.month == month) for v, _, c in cells], w.most_gpus * HOURS[month])
                   for w in wanted.itertuples() if not np.isnan(w.most_gpus)]  # fmt: skip
    fixed = (there_is["price_per_gpu_hour"] * there_is["gpu_hours"] * (there_is["paid"] == "fixed")).sum()
    for budget in given["budgets"].itertuples():
        first = JAN if pd.isna(budget.first_month) else budget.first_month
        ours = [(pd.isna(budget.project) or w.project == budget.project) and c.month >= first for w, _, c in cells]
        limits.append((money * ours, budget.amount - (fixed if pd.isna(budget.project) else 0)))
    bound = np.array([row for row, _ in limits], dtype=float), np.array([limit for _, limit in limits])
    per_hour = np.array([w.value / w.gpu_hours * speed for w, speed, _ in cells]) - money * (goal == "net")
    best = -np.inf
    whole = [at for at, w in enumerate(wanted.itertuples()) if not w.divisible]
    for choice in product((0, 1), repeat=len(whole)):
        chosen = dict(zip(whole, choice, strict=True))
        if decided and any(decided[at] != chosen[at] for at in whole):
            continue
        serving = np.array([work * [w.Index == at for w, _, _ in cells] for at in range(len(wanted))])
        equal = [at for at in chosen]
        free = [at for at in range(len(wanted)) if at not in chosen]
        solved = linprog(
            -per_hour,
            np.vstack([bound[0], serving[free]]), np.concatenate([bound[1], wanted["gpu_hours"].to_numpy()[free]]),
            serving[equal] if equal else None,
            [wanted["gpu_hours"][at] * chosen[at] for at in equal] if equal else None,
        )  # fmt: skip
        if solved.status == 0:
            best = max(best, -solved.fun)
    return best


@pytest.mark.parametrize("goal", ["value", "net"])
@pytest.mark.parametrize("seed", range(6))
def test_best_of_all_choices(seed, goal):
    given = random_case(seed)
    found = plan(**given, goal=goal, gap=0.0)
    assert found.objective == pytest.approx(by_subsets(given, goal), rel=1e-6, abs=0.02)
    assert found.objective <= found.bound + 0.02


def test_a_case_under_other_limits_is_that_of_these_limits():
    """Checked once, without limits; all that runs as a whole must run where a minimum service is told."""
    given = random_case(1, go=0.0)
    limits = {name: given[name] for name in ("budgets", "power_kw")}
    once = case(**{name: frame for name, frame in given.items() if name not in limits})
    for minimum, goal in ((0.0, "value"), (0.05, "net")):
        whole = given | {"workloads": given["workloads"].assign(minimum_service=minimum)}
        under = replace(once, goal=goal).under(minimum_service=minimum, **limits)
        for first, then in ((plan(**whole, goal=goal), plan_of(under)), (greedy(**whole, goal=goal), greedy_of(under))):
            pd.testing.assert_frame_equal(first.rows, then.rows)
            assert (first.objective, first.short, first.bound) == pytest.approx(
                (then.objective, then.short, then.bound), nan_ok=True
            )
    whole = replace(once, divisible=np.arange(len(once.need)) > 0).under(minimum_service=0.1)
    assert whole.minimum.tolist() == [1.0, *[0.1] * (len(once.need) - 1)] and np.isinf(whole.power_kw).all()
    with pytest.raises(OutOfRange, match="minimum_service must be at least 0 and at most 1, not 1"):
        once.under(minimum_service=1.1)


@pytest.mark.parametrize("seed", range(4))
def test_knapsack_by_brute_force(seed):
    """Whole workloads of one month and kind are a knapsack."""
    rng = np.random.default_rng(seed)
    wanted = workloads(*[
        {"gpu_hours": need, "value": need * rng.uniform(1, 1.3), "earliest": JAN, "deadline": JAN, "divisible": False}
        for need in rng.integers(10, 60, 12).astype(float)
    ])  # fmt: skip
    room = 0.4 * wanted["gpu_hours"].sum()
    found = plan(wanted, able(wanted, owned=1.0), capacity(owned=(room, 1.0, "fixed", 1.0)), gap=0.0)
    choices = np.array(list(product((0, 1), repeat=12)))
    fits = choices @ wanted["gpu_hours"].to_numpy() <= room
    assert found.value == pytest.approx((choices @ wanted["value"].to_numpy())[fits].max())
    assert set(found.workloads["served"]) == {0.0, 1.0}


def test_the_bound_of_a_plan_made_in_haste_holds_the_best_plan():
    rng = np.random.default_rng(0)
    wanted = workloads(*[
        {"gpu_hours": need, "value": need * rng.uniform(1, 1.3), "earliest": JAN, "deadline": JAN, "divisible": False}
        for need in rng.integers(10, 60, 30).astype(float)
    ])  # fmt: skip
    there_is = capacity(owned=(0.4 * wanted["gpu_hours"].sum(), 1.0, "fixed", 1.0))
    hasty, best = (plan(wanted, able(wanted, owned=1.0), there_is, gap=gap) for gap in (0.5, 0.0))
    assert hasty.objective < best.objective <= hasty.bound * (1 + 1e-9)
    assert hasty.gap == pytest.approx(hasty.bound / hasty.objective - 1) and hasty.gap <= 0.5


def test_the_cheapest_way_to_meet_all_demand():
    """A third of the speed at a fifth of the price is cheaper by the work; fixed hours are used first."""
    wanted = workloads({"gpu_hours": 300.0, "divisible": False, "deadline": JAN}).drop(columns="value")
    there_is = capacity(owned=(100.0, 9.0, "fixed", 1.0), quick=(500.0, 5.0, "use", 1.0), slow=(300.0, 1.0, "use", 1.0))
    found = plan(wanted, able(wanted, owned=1.0, quick=1.0, slow=1 / 3), there_is, goal="money")
    assert found.rows.query("workload != @IDLE").set_index("kind")["gpu_hours"].to_dict() == pytest.approx(
        {"owned": 100, "slow": 300, "quick": 100}
    )
    assert found.objective == found.money_by_use == 800.0 and found.bound == pytest.approx(800)
    worth = found.worth.query("project == 'a' and month == @JAN").set_index("kind")["worth"]
    assert worth["owned"] == pytest.approx(5 * 744) and worth["slow"] == pytest.approx((5 / 3 - 1) * 744)


def test_a_whole_workload_may_take_all_that_there_is():
    """200 hours fit exactly into two months of 100; of 0.1 GPUs at once a February of 28 days has 67.2 hours."""
    wanted = workloads({"gpu_hours": 200.0, "divisible": False}, {"value": 1.0})
    there_is = capacity(owned=(100.0, 1.0, "fixed", 1.0))
    assert plan(wanted, able(wanted, owned=1.0), there_is).workloads["served"].tolist() == pytest.approx([1.0, 0.0])
    few = workloads({"most_gpus": 0.1, "earliest": FEB})
    assert plan(few, able(few, owned=1.0), there_is).workloads["served"].tolist() == pytest.approx([0.672])


def test_of_equal_plans_the_one_that_pays_least():
    wanted = workloads({"gpu_hours": 50.0})
    there_is = capacity(dear=(100.0, 5.0, "use", 1.0), cheap=(100.0, 1.0, "use", 1.0), owned=(30.0, 1.0, "fixed", 1.0))
    assert plan(wanted, able(wanted, dear=1.0, cheap=1.0, owned=1.0), there_is).money_by_use == 0
    assert plan(wanted, able(wanted, dear=1.0, cheap=1.0), there_is).money_by_use == 50


def moved(given: dict, resource: str, row, by: float) -> dict:
    """A case with a little more of one resource for one project alone."""
    changed = dict(given)
    at = [JAN, FEB].index(row.month) if pd.notna(row.month) else 0
    if resource == "kW":
        changed["power_kw"] = given["power_kw"] + np.array([by * (at == 0), by * (at == 1)])
    if resource == "GPU-month":
        there_is, gift = given["capacity"], f"{row.kind} of {row.project}"
        one = there_is[(there_is["kind"] == row.kind) & (there_is["month"] == row.month)]
        hours = by * HOURS[row.month]
        changed["capacity"] = pd.concat([there_is, one.assign(kind=gift, gpu_hours=hours)], ignore_index=True)
        ours = set(given["workloads"].query("project == @row.project")["workload"])
        same = given["able"].query("kind == @row.kind and workload in @ours")
        changed["able"] = pd.concat([given["able"], same.assign(kind=gift)], ignore_index=True)
        paid = hours * one["price_per_gpu_hour"].iloc[0] * (one["paid"].iloc[0] == "fixed")
        changed["budgets"] = given["budgets"].assign(
            amount=given["budgets"]["amount"] + paid * given["budgets"]["project"].isna()
        )
    if resource == "money":
        ours = given["budgets"]["project"].isna() | (given["budgets"]["project"] == row.project)
        changed["budgets"] = given["budgets"].assign(amount=given["budgets"]["amount"] + by * ours)
    return changed


@pytest.mark.parametrize("goal", ["value", "net"])
def test_worth_is_what_a_little_more_brings(goal):
    """Solved again, by other means, with a little more of one resource, decisions kept."""
    some = dict.fromkeys(("GPU-month", "kW", "money"), 0)
    for seed in (0, 2, 3):
        given = random_case(seed, go=0.4)
        found = plan(**given, goal=goal, gap=0.0)
        decided = {at: round(part) for at, part in enumerate(found.workloads["served"])}
        before = by_subsets(given, goal, decided)
        # a kW is measured for all together; a dollar on top of a budget of all may be spent by others
        for row in found.worth[found.worth["project"].isna() == (found.worth["resource"] == "kW")].itertuples():
            by = {"money": 1e-2, "GPU-month": 1e-5, "kW": 1e-6}[row.resource]
            brought = (by_subsets(moved(given, row.resource, row, by), goal, decided) - before) / by
            if row.resource == "money":
                assert row.worth <= brought + 1e-3 * max(brought, 1), row
            else:
                assert row.worth == pytest.approx(brought, rel=1e-3, abs=1e-3), row
            some[row.resource] += row.worth > 0
    assert min(some.values()) > 0 and sum(some.values()) > 8, some


def holds(given: dict, found) -> None:
    """Whether a plan keeps to every limit, looked at row by row."""
    rows = found.rows[found.rows["workload"] != IDLE]
    there_is = given["capacity"].set_index(["kind", "month"])
    used = rows.groupby(["kind", "month"])["gpu_hours"].sum()
    assert (used <= there_is["gpu_hours"].reindex(used.index) * (1 + 1e-6) + 1e-6).all()
    for one in given["reserved"].itertuples():
        others = rows[(rows["kind"] == one.kind) & (rows["project"] != one.project)]
        left = (1 - one.share) * there_is["gpu_hours"][one.kind]
        assert (others.groupby("month")["gpu_hours"].sum() <= left.min() + 1e-6).all()
    draw = rows["gpu_hours"] * 1.0 * rows["kind"].map({"owned": 1.0, "rented": 0.5}) / rows["month"].map(HOURS)
    drawn = draw.groupby(rows["month"]).sum()
    assert all(drawn.get(month, 0) <= cap + 1e-6 for month, cap in zip((JAN, FEB), given["power_kw"], strict=True))
    for budget in given["budgets"].itertuples():
        ours = rows if pd.isna(budget.project) else rows[(rows["project"] == budget.project) & (rows["paid"] == "use")]
        ours = ours if pd.isna(budget.first_month) else ours[ours["month"] >= budget.first_month]
        assert ours["money"].sum() <= budget.amount + 0.02
    wanted = given["workloads"].set_index("workload")
    most = wanted["most_gpus"].reindex(rows["workload"]).to_numpy() * rows["month"].map(HOURS)
    assert not (rows["gpu_hours"] > most + 1e-6).any()
    assert (rows["month"] >= wanted["earliest"].reindex(rows["workload"]).to_numpy()).all()
    served = found.workloads["served"].to_numpy()
    assert np.isin(served[~wanted["divisible"]], (0, 1)).all() and (served <= 1).all()


@pytest.mark.parametrize("goal", ["value", "net"])
@pytest.mark.parametrize("seed", range(5))
def test_never_worse_than_by_rule_or_by_genetic_search(seed, goal):
    given = random_case(seed)
    ways = [
        plan(**given, goal=goal, gap=0.0), genetic(**given, goal=goal, population=8, generations=6),
        greedy(**given, goal=goal),
    ]  # fmt: skip
    for found in ways:
        holds(given, found)
        assert found.short == 0
    objectives = [found.objective for found in ways]
    assert objectives == sorted(objectives, reverse=True) or np.ptp(objectives) < 0.03
    assert [np.isnan(found.gap) for found in ways] == [False, True, True]


def test_greedy_by_hand_and_what_genetic_search_makes_of_it():
    """The small one is worth most an hour and leaves no room for the large one, which is worth more in all."""
    wanted = workloads(
        {"gpu_hours": 20.0, "value": 60.0, "divisible": False, "deadline": JAN},
        {"gpu_hours": 100.0, "value": 200.0, "divisible": False, "deadline": JAN},
        {"gpu_hours": 50.0, "value": 10.0, "minimum_service": 0.2, "deadline": JAN},
    )
    given = wanted, able(wanted, owned=1.0), capacity(owned=(110.0, 1.0, "fixed", 1.0))
    assert greedy(*given).workloads["served"].tolist() == pytest.approx([1.0, 0.0, 1.0])
    found = genetic(*given, population=10, generations=5)
    assert found.workloads["served"].tolist() == pytest.approx([0.0, 1.0, 0.2])
    assert found.rows["money"].sum() == 220.0
    again = genetic(*given, population=10, generations=5)
    pd.testing.assert_frame_equal(found.rows, again.rows)
    assert plan(*given).objective == pytest.approx(found.objective)
    dear = capacity(owned=(8.0, 1.0, "fixed", 1.0))
    assert greedy(*given[:2], dear).short == pytest.approx(2.0)


def test_greedy_meets_stated_demand_at_no_less_money():
    wanted = workloads({"deadline": JAN}, {"gpu_hours": 150.0}).drop(columns="value")
    there_is = capacity(owned=(100.0, 1.0, "fixed", 1.0), rented=(100.0, 2.0, "use", 1.0))
    given = wanted, able(wanted, owned=1.0, rented=1.0), there_is
    assert greedy(*given, goal="money").objective == plan(*given, goal="money").objective == 100.0


def test_hours_are_reserved_in_the_months_that_are_told_and_there_are_none_where_there_is_nothing():
    """Half of January's 100 hours are b's; in February only c has any, and it has none in January."""
    wanted = workloads({"gpu_hours": 300.0, "value": 900.0}, {"gpu_hours": 300.0, "project": "b"})
    there_is = capacity(owned=(100.0, 1.0, "fixed", 1.0), c=(40.0, 1.0, "fixed", 1.0))
    there_is.loc[there_is["kind"].eq("c") == there_is["month"].eq(JAN), "gpu_hours"] = 0.0
    reserved = pd.DataFrame({"project": ["b", "b"], "kind": ["owned", "c"], "month": [JAN, JAN], "share": 0.5})
    for way in (plan, greedy):
        found = way(wanted, able(wanted, owned=1.0, c=1.0), there_is, reserved=reserved)
        used = found.rows[found.rows["workload"] != IDLE].groupby(["project", "kind", "month"])["gpu_hours"].sum()
        assert used.to_dict() == pytest.approx({
            ("a", "owned", JAN): 50.0, ("b", "owned", JAN): 50.0, ("a", "c", FEB): 40.0,
        })  # fmt: skip


@pytest.mark.parametrize(
    "goal, wanted, there_is, more, served",
    [
        # the first does not fit as a whole: what it had taken of power, and of money, is there for the second
        ("value", [{"gpu_hours": 200.0, "value": 900.0, "divisible": False}, {"gpu_hours": 70.0}],
         {"owned": (100.0, 1.0, "fixed", 1.0)}, {"power_kw": 0.1}, [0.0, 1.0]),
        ("value", [{"gpu_hours": 200.0, "value": 900.0, "divisible": False}, {"gpu_hours": 70.0}],
         {"rented": (100.0, 2.0, "use", 1.0)}, {"budgets": pd.DataFrame({"project": [None], "amount": [150.0]})},
         [0.0, 1.0]),
        # 100 of value are not worth 200 of money
        ("net", [{}, {"value": 300.0}], {"rented": (500.0, 2.0, "use", 1.0)}, {}, [0.0, 1.0]),
        # 0.1 GPUs at once are 74.4 hours of January on all kinds together
        ("value", [{"most_gpus": 0.1}], {"one": (50.0, 1.0, "fixed", 1.0), "two": (50.0, 1.0, "fixed", 1.0)}, {},
         [0.744]),
    ],
)  # fmt: skip
def test_greedy_keeps_to_each_limit_by_hand(goal, wanted, there_is, more, served):
    wanted = workloads(*[row | {"deadline": JAN} for row in wanted])
    given = wanted, able(wanted, **dict.fromkeys(there_is, 1.0)), capacity(**there_is)
    assert greedy(*given, goal=goal, **more).workloads["served"].tolist() == pytest.approx(served)


def test_greedy_pays_least_before_it_takes_fewest_hours():
    """Slow hours take twice as many, and pay half as much in all."""
    wanted = workloads({"deadline": JAN})
    there_is = capacity(quick=(500.0, 4.0, "use", 1.0), slow=(500.0, 1.0, "use", 1.0))
    assert greedy(wanted, able(wanted, quick=1.0, slow=0.5), there_is).money_by_use == 200.0


def test_conflict_names_what_conflicts_and_nothing_else():
    wanted = workloads(
        {"workload": "chat", "minimum_service": 0.9, "gpu_hours": 100.0, "deadline": JAN},
        {"workload": "rank", "minimum_service": 1.0, "gpu_hours": 60.0, "deadline": JAN, "divisible": False},
        {"workload": "other", "minimum_service": 0.5, "gpu_hours": 50.0, "earliest": FEB},
        {"workload": "free", "gpu_hours": 5000.0},
    )
    there_is = capacity(owned=(149.0, 1.0, "fixed", 1.0))
    with pytest.raises(ConflictingDemands, match="any one of them less would do") as error:
        plan(wanted, able(wanted, owned=1.0), there_is, power_kw=5.0)
    assert error.value.demands == [
        "chat needs 90 GPU-hours from 2027-01 to 2027-01",
        "rank needs 60 GPU-hours from 2027-01 to 2027-01",
        "owned has 149 GPU-hours in 2027-01",
    ]
    assert plan(wanted, able(wanted, owned=1.0), capacity(owned=(150.0, 1.0, "fixed", 1.0))).value > 0


def test_of_two_conflicts_one_is_told():
    """January and February are each too short for what must run in them: neither has to do with the other."""
    wanted = workloads(
        {"workload": "chat", "minimum_service": 1.0, "deadline": JAN},
        {"workload": "rank", "minimum_service": 1.0, "earliest": FEB},
    )
    with pytest.raises(ConflictingDemands) as error:
        plan(wanted, able(wanted, owned=1.0), capacity(owned=(90.0, 1.0, "fixed", 1.0)))
    needs, has = error.value.demands
    assert needs.split(" from ")[1].startswith(has[-7:]) and has.startswith("owned has 90 GPU-hours in ")


@pytest.mark.parametrize(
    "more, named",
    [
        ({"power_kw": [0.1, 9.0]}, "power is capped at 0.1 kW in 2027-01"),
        ({"budgets": pd.DataFrame({"project": ["a", "b"], "amount": [100.0, 0.0]})},
         "the budget of a from 2027-01 to 2027-02 has 100.00 for use"),
        ({"reserved": pd.DataFrame({"project": ["b"], "kind": ["rented"], "share": [0.95]})},
         "95 % of rented is reserved for b in 2027-01"),
    ],
)  # fmt: skip
def test_conflict_with_each_limit(more, named):
    wanted = workloads(
        {"workload": "chat", "minimum_service": 1.0, "deadline": JAN},
        {"workload": "batch", "project": "b", "value": 1.0},
    )
    there_is = capacity(rented=(1000.0, 2.0, "use", 1.0))
    with pytest.raises(ConflictingDemands) as error:
        plan(wanted, able(wanted, rented=1.0), there_is, **more)
    told = error.value.demands
    assert told[0] == "chat needs 100 GPU-hours from 2027-01 to 2027-01" and named in told
    assert len(told) == (3 if "reserved" in more else 2)


def test_conflicts_without_others():
    wanted = workloads({"workload": "chat", "minimum_service": 1.0, "most_gpus": 0.05, "deadline": JAN})
    there_is = capacity(owned=(1000.0, 2.0, "fixed", 1.0), other=(10.0, 1.0, "use", 1.0))
    with pytest.raises(ConflictingDemands) as error:
        plan(wanted, able(wanted, owned=1.0), there_is)
    assert error.value.demands == [
        "chat needs 100 GPU-hours from 2027-01 to 2027-01", "chat runs on at most 0.05 GPUs at once",
    ]  # fmt: skip
    with pytest.raises(ConflictingDemands, match="nothing that it can run on is there"):
        plan(wanted, able(wanted, other=1.0).head(0), there_is)
    with pytest.raises(ConflictingDemands, match="after the fixed money that it pays"):
        plan(wanted, able(wanted, owned=1.0), there_is, budgets=pd.DataFrame({"project": [None], "amount": [10.0]}))


@pytest.mark.parametrize("seed", range(8))
def test_no_demand_of_a_conflict_can_be_spared(seed):
    """Whatever conflicts: with any one workload of the conflict gone, the other sentences conflict no more."""
    given = random_case(seed)
    given["workloads"] = given["workloads"].assign(minimum_service=1.0)
    with pytest.raises(ConflictingDemands) as error:
        plan(**given)
    told = error.value.demands
    named = [name for name in given["workloads"]["workload"] if any(s.startswith(f"{name} needs") for s in told)]
    assert named
    only = given["workloads"]["workload"].isin(named)
    alone = given | {"workloads": given["workloads"].assign(minimum_service=only * 1.0)}
    with pytest.raises(ConflictingDemands):
        plan(**alone)


BAD = [
    ({"workloads": {"gpu_hours": 0.0}}, "gpu_hours of a workload must be above 0"),
    ({"workloads": {"value": -1.0}}, "value of a workload must be at least 0"),
    ({"workloads": {"minimum_service": 1.2}}, "minimum_service must be at least 0 and at most 1"),
    ({"workloads": {"most_gpus": 0.0}}, "most_gpus must be above 0"),
    ({"workloads": {"deadline": "2029-01"}}, "deadline of a workload must be from 2027-01 to 2027-02, not 2029-01"),
    ({"workloads": {"earliest": FEB, "deadline": JAN}}, "deadline of w0 must be at least its earliest month 2027-02"),
    ({"workloads": {"workload": "x"}}, "workloads must have each workload once, not x twice"),
    ({"workloads": {"project": None}}, "workload and project must be told"),
    ({"able": {"speed": 0.0}}, "speed must be above 0"),
    ({"able": {"kind": "abacus"}}, "kind of able must be one of owned, not 'abacus'"),
    ({"capacity": {"gpu_hours": -1.0}}, "gpu_hours of capacity must be at least 0"),
    ({"capacity": {"paid": "later"}}, "paid of capacity must be fixed or use, not 'later'"),
    ({"capacity": {"month": JAN}}, "capacity must have each kind and month once, not owned, 2027-01 twice"),
    ({"capacity": {"month": "soon"}}, "month of capacity must be a month such as 2027-01, not 'soon'"),
]


@pytest.mark.parametrize("bad, sentence", BAD)
def test_bad_values_are_sentences(bad, sentence):
    wanted = workloads({}, {})
    given = {"workloads": wanted, "able": able(wanted, owned=1.0), "capacity": capacity(owned=(9.0, 1.0, "use", 1.0))}
    for frame, change in bad.items():
        given[frame] = given[frame].assign(**change)
    with pytest.raises(OutOfRange, match=sentence):
        plan(**given)


@pytest.mark.parametrize(
    "more, sentence",
    [
        ({"goal": "joy"}, "goal must be one of value, net, money, not 'joy'"),
        ({"gap": -0.1}, "gap must be at least 0"),
        ({"seconds": 0}, "seconds must be above 0"),
        ({"power_kw": [1.0, 2.0, 3.0]}, "power_kw must be one number or 2, one a month, not 3"),
        ({"power_kw": -1.0}, "power_kw must be at least 0"),
        ({"budgets": pd.DataFrame({"project": ["z"], "amount": [1.0]})},
         "project of budgets must be one of a, not 'z'"),
        ({"reserved": pd.DataFrame({"project": ["a", "a"], "kind": "owned", "share": 0.6})},
         "share of reserved must be at most 1 in all, not 1.2 of owned"),
    ],
)  # fmt: skip
def test_bad_limits_are_sentences(more, sentence):
    wanted = workloads({})
    with pytest.raises(OutOfRange, match=sentence):
        plan(wanted, able(wanted, owned=1.0), capacity(owned=(9.0, 1.0, "use", 1.0)), **more)
    with pytest.raises(OutOfRange, match="at least one row"):
        plan(wanted.head(0), able(wanted, owned=1.0), capacity(owned=(9.0, 1.0, "use", 1.0)))
    with pytest.raises(OutOfRange, match="workloads must have a column value"):
        plan(wanted.drop(columns="value"), able(wanted, owned=1.0), capacity(owned=(9.0, 1.0, "use", 1.0)))
