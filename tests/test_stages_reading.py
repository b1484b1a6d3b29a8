"""In which currency a stage speaks, who bears idle capacity, and whose projects are shown together."""

import re

import pytest

from dcbudget import warehouse
from dcbudget.errors import DcbudgetError, MixedCurrencies, OutOfRange
from dcbudget.ingest.load import load
from dcbudget.stages.assess import Assessment
from dcbudget.stages.control import Control
from dcbudget.stages.monthly import MonthlyReport
from dcbudget.stages.review import MonthlyReview
from tiny import BUDGET, CHARGES, FLEET, JOBS, RULES, budget, egress, job, make, write

STAGES = (MonthlyReview, Assessment)


def test_mixed_currencies_of_bills_are_named(tmp_path):
    db = make(tmp_path, charges=[egress("2026-05", "1"), egress("2026-06", "2", BillingCurrency="EUR")])
    for stage in STAGES:
        with pytest.raises(MixedCurrencies, match="EUR and USD"):
            stage("", str(db))


def test_budget_in_another_currency_is_no_budget_of_these_costs(tmp_path):
    plan = [budget("2026-05", "alpha", "Network", "5", currency="EUR")]
    db = make(tmp_path, charges=[egress("2026-05", "1")], plan=plan)
    with pytest.raises(MixedCurrencies, match="EUR and USD"):
        MonthlyReview("", str(db))


def test_draft_in_another_currency_stops_no_report(tmp_path):
    """Not before it is the plan to compare with, and then no rate leads to it."""
    plan = [budget("2026-05", "alpha", "Network", "5"),
            budget("2026-05", "alpha", "Network", "7", plan="draft", status="draft", currency="EUR")]  # fmt: skip
    db = make(tmp_path, charges=[egress("2026-05", "1")], plan=plan)
    review = MonthlyReview("", str(db))
    assert (review.currency, review.this_month["budget"].sum()) == ("USD", 5)
    with pytest.raises(MixedCurrencies, match="no rate from EUR to USD"):
        assert MonthlyReview("", str(db), plan_version="draft").this_month is None


def test_fleet_in_another_currency(tmp_path):
    db = make(tmp_path, charges=[egress("2026-05", "1")], fleet=[FLEET | {"currency": "CHF"}])
    for stage in STAGES:
        with pytest.raises(MixedCurrencies, match="CHF and USD"):
            stage("", str(db))


def test_two_currencies_at_the_rates_of_their_months(tmp_path):
    """100 EUR in May at 1.10 and 100 in June at 1.20, beside 10 USD a month; the budget is in francs."""
    bill = [egress(month, "100", BillingCurrency="EUR") for month in ("2026-05", "2026-06")]
    bill += [egress(month, "10", project="beta") for month in ("2026-05", "2026-06")]
    db = make(tmp_path, charges=bill, plan=[budget("2026-06", "alpha", "Network", "90", currency="CHF")])
    rates = [("2026-05-02", "EUR", "USD", 1.1), ("2026-06-01", "EUR", "USD", 1.2), ("2026-06-01", "CHF", "EUR", 1.25)]
    load([write(tmp_path / "fx.csv", [dict(zip(("date", "from_currency", "to_currency", "rate"), rate, strict=True))
                                      for rate in rates])], db)  # fmt: skip
    with pytest.raises(MixedCurrencies, match='name the currency of the report, such as currency = "USD"'):
        MonthlyReview("", str(db))
    review = MonthlyReview("2026-06", str(db), currency="USD")
    assert review.monthly["actual"].tolist() == pytest.approx([120, 130])
    assert review.this_month["budget"].sum() == pytest.approx(90 * 1.25 * 1.2)
    assert "130 USD" in repr(review.headline()) and "effective cost, USD at monthly mean rates" in repr(
        review.headline()
    )
    assert review.of_month("2026-05").this_month["actual"].sum() == pytest.approx(120)
    assert MonthlyReview("2026-06", str(db), currency="EUR").this_month["actual"].sum() == pytest.approx(100 + 10 / 1.2)
    with pytest.raises(MixedCurrencies, match=r"no rate from (CHF|EUR|USD) to JPY"):
        MonthlyReview("2026-06", str(db), currency="JPY").headline()
    with pytest.raises(DcbudgetError, match="must be a code such as USD, not 'dollars'"):
        MonthlyReview("2026-06", str(db), currency="dollars")
    assert (warehouse.check(db)["offending_rows"] == 0).all()


def test_idle_is_shared_in_actual_and_budget_alike(tmp_path):
    plan = [budget("2026-05", "beta", "Rented GPUs", "100"), budget("2026-05", "Idle capacity", "Rented GPUs", "40"),
            budget("2026-05", "alpha", "Rented GPUs", "300")]  # fmt: skip
    db = str(make(tmp_path, charges=CHARGES, jobs=JOBS, plan=plan))
    apart = MonthlyReview("2026-05", db)
    shared = MonthlyReview("2026-05", db, share_idle="fixed", idle_weights={"alpha": 1, "beta": 3})
    for amount in ("actual", "budget"):
        assert shared.this_month[amount].sum() == pytest.approx(apart.this_month[amount].sum(), abs=1e-9)
        by_project = shared.this_month.groupby("project")[amount].sum()
        alone = apart.this_month.groupby("project")[amount].sum()
        assert by_project["alpha"] - alone["alpha"] == pytest.approx(alone["Idle capacity"] / 4, abs=0.02)
    assert "Idle capacity" not in set(shared.this_month["project"])
    with pytest.raises(OutOfRange, match="shared by none"):
        MonthlyReview("2026-05", db, share_idle="somehow").headline()


def test_projects_of_few_users_are_shown_together(tmp_path):
    """Alpha has six users, beta four, gamma two: nobody can work out what beta's four or gamma's two cost."""
    start = ("2026-05-03T00:00:00", "2026-05-03T00:00:00", "2026-05-03T04:00:00")
    users = (
        [("a-x", f"a{n}") for n in range(6)] + [("b-x", f"b{n}") for n in range(4)] + [("g-x", f"g{n}") for n in (1, 2)]
    )
    jobs = [job(100 + n, account, "east", "h100", 1, *start, user=user) for n, (account, user) in enumerate(users)]
    rules = [*RULES, {"assign": "project", "field": "account", "pattern": "g-*", "value": "gamma"}]
    db = str(make(tmp_path, charges=CHARGES, jobs=jobs, plan=BUDGET, rules=rules))
    review = MonthlyReview("2026-05", db)
    assert review.reading.merged == {"beta", "gamma"}
    sheets = MonthlyReport("2026-05", db).tables()
    for table in sheets.values():
        if "project" in table.frame:
            assert not {"beta", "gamma"} & set(table.frame["project"]), table.title
        assert not re.search("beta|gamma", f"{table.title} {table.cells()}"), table.title
    every = MonthlyReview("2026-05", db, least_group=1)
    whole = every.this_month.set_index("project")[["budget", "actual"]].groupby("project").sum()
    shown_together = review.this_month.groupby("project")[["budget", "actual"]].sum().loc["Small groups"]
    assert shown_together.tolist() == pytest.approx((whole.loc["beta"] + whole.loc["gamma"]).tolist())
    assert "Shown together: 2 projects" in repr(review.headline()) and "Shown together" not in repr(every.headline())
    assert MonthlyReview("2026-05", db, least_group=7).reading.merged == {"alpha", "beta", "gamma"}
    weighed = Control("2026-05", db, share_idle="fixed", idle_weights={"alpha": 3, "beta": 1, "gamma": 2}).charged
    idle = weighed.groupby("project")["idle_share"].sum()
    assert idle["alpha"] == pytest.approx(idle["Small groups"], abs=0.02) and idle["alpha"] > 1
