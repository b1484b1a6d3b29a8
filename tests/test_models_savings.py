"""What the ways of paying saved, and what user groups are charged."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcbudget.errors import OutOfRange
from dcbudget.models import ledger
from dcbudget.models.allocation import chargeback
from dcbudget.models.savings import savings

PAID = pd.DataFrame(
    {
        "gpu": ["A", "A", "A", "A", "B", "disks"],
        "paid_as": ["on-demand", "commitment, used", "commitment, unused", "spot", "on-demand", "on-demand"],
        "gpu_hours": [10.0, 30, 10, 20, 5, None],
        "list_cost": [20.0, 60, 20, 10, 10, 7],
        "on_demand_cost": [20.0, 60, 0, 40, 10, 7],
        "contracted_cost": [18.0, 54, 18, 10, 10, 7],
        "effective_cost": [18.0, 30, 10, 10, 10, 7],
        "billed_cost": [18.0, 0, 0, 10, 10, 7],
    }
)


def test_rates_by_hand():
    """A: 68 in place of 120; 30 of 40 committed hours used; 30 of 40 that commitments could cover, spot apart."""
    found = savings(PAID, ["gpu"]).set_index("gpu")
    a = found.loc["A"]
    assert a["effective_savings_rate"] == pytest.approx(1 - 68 / 120)
    assert (a["utilisation"], a["coverage"]) == (0.75, 0.75)
    assert (found.loc["B", "coverage"], found.loc["B", "effective_savings_rate"]) == (0, 0)
    assert found.loc[["B", "disks"], "utilisation"].isna().all()
    assert found.loc[["disks"], "coverage"].isna().all()


def test_unused_commitments_alone_save_less_than_nothing():
    found = savings(PAID.assign(effective_cost=PAID["effective_cost"] * 4), ["gpu"]).set_index("gpu")
    assert found.loc["A", "effective_savings_rate"] == pytest.approx(1 - 272 / 120)


def test_nothing_on_demand_has_no_rate():
    assert savings(PAID.assign(on_demand_cost=0.0), ["gpu"])["effective_savings_rate"].isna().all()


COSTS = pd.DataFrame(
    [("search", "index", 60.0), ("search", "ranking", 20.0), ("search", None, 20.0), ("vision", "video", 100.0),
     ("Idle capacity", None, 40.0), ("Unallocated", None, 7.0)],
    columns=["project", "user_group", "cost"],
)  # fmt: skip


def test_chargeback_of_groups_by_hand():
    """40 idle: 20 to each project; search's by 60, 20 and 20 of its 100."""
    found = chargeback(COSTS, "proportional").fillna({"user_group": ""}).set_index(["project", "user_group"])
    assert found["idle_share"].to_dict() == pytest.approx(
        {("search", "index"): 12, ("search", "ranking"): 4, ("search", ""): 4, ("vision", "video"): 20,
         ("Idle capacity", ""): -40, ("Unallocated", ""): 0},
    )  # fmt: skip
    assert found.loc[("search", "index"), "chargeback"] == pytest.approx(72)


def test_chargeback_without_sharing_is_showback():
    found = chargeback(COSTS, "none")
    assert (found["idle_share"] == 0).all() and (found["chargeback"] == found["showback"]).all()


def test_chargeback_of_fixed_weights():
    found = chargeback(COSTS, "fixed", {"vision": 3, "search": 1}).groupby("project")["idle_share"].sum()
    assert found.to_dict() == pytest.approx({"Idle capacity": -40, "Unallocated": 0, "search": 10, "vision": 30})
    with pytest.raises(OutOfRange, match="'other', which has no costs"):
        chargeback(COSTS, "fixed", {"other": 1})


@given(st.lists(st.integers(0, 100_000), min_size=2, max_size=8), st.integers(0, 100_000),
       st.sampled_from(["proportional", "even"]))  # fmt: skip
def test_chargeback_gives_every_cent_to_somebody(cents, idle, way):
    costs = pd.DataFrame({"project": [f"p{n % 2}" for n in range(len(cents))], "user_group": range(len(cents)),
                          "cost": [amount / 100 for amount in cents]})  # fmt: skip
    idle_row = pd.DataFrame({"project": ["Idle capacity"], "user_group": [None], "cost": [idle / 100]})
    found = chargeback(pd.concat([costs, idle_row]), way)
    assert found["chargeback"].sum() == pytest.approx((sum(cents) + idle) / 100, abs=1e-6)
    assert found["idle_share"].sum() == pytest.approx(0, abs=1e-6)
    if sum(cents):
        assert found.loc[found["project"] == "Idle capacity", "chargeback"].sum() == pytest.approx(0, abs=1e-6)


def test_held_above_use_comes_out_of_the_useful_money():
    """Of 100 useful 30 were held above use; of beta's 10 no more than 10 can be."""
    money = pd.DataFrame({"project": ["alpha", "alpha", "beta"], "bucket": ["useful", "failed or restarted", "useful"],
                          "effective_cost": [100.0, 7, 10]})  # fmt: skip
    found = ledger.held_above_use(money, pd.Series({"alpha": 30.0, "beta": 11.0, "gamma": 5.0}))
    assert found.set_index(["project", "part"])["effective_cost"].to_dict() == {
        ("alpha", "useful"): 70, ("alpha", "held above use"): 30, ("alpha", "failed or restarted"): 7,
        ("beta", "useful"): 0, ("beta", "held above use"): 10,
    }  # fmt: skip
    assert list(dict.fromkeys(found["part"])) == ["useful", "held above use", "failed or restarted"]
