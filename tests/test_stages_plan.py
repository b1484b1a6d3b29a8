"""The plan of a database: two small clusters by hand, an owned hall, and the sample against its own past."""

import json
from pathlib import Path

import pandas as pd
import papermill
import pytest

from dcbudget import budget, warehouse
from dcbudget.errors import DcbudgetError, MixedCurrencies
from dcbudget.models.planning import IDLE
from dcbudget.stages.plan import Plan
from tiny import FLEET, charge, job, make, make_world, rows
from tiny import budget as line

ROOT = Path(__file__).parents[1]
STAFF = {"project": "x", "driver": "staff", "heads": 1, "cost_per_month": 1}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return str(make_world(tmp_path_factory.mktemp("world")))


@pytest.fixture(scope="module")
def plan(world):
    return Plan("2026-05", database=world, draws=500)


@pytest.fixture(scope="module")
def sample(sample_db):
    return Plan("2026-06", database=str(sample_db), draws=2000)


def told(plan, project, driver):
    """The rows of a project's drivers of one kind."""
    return plan.base.model.demand.drivers.query("project == @project and driver == @driver")


def test_what_was_measured_is_carried_forward(plan):
    """In May jobs 1 to 3 held 10 and 12 GPU-hours of east and 40 of west, and beta's own node 24."""
    held = plan.outlook.held.set_index(["gpu_model", "project"])["gpu_hours"]
    assert held["H100", "alpha"] == pytest.approx(10) and held["H100", "beta"] == pytest.approx(12)
    assert held["A100", "Unallocated"] == pytest.approx(40) and held["L4", "beta"] == pytest.approx(24)
    assert held["H100", IDLE] == pytest.approx(78)
    (row,) = told(plan, "alpha", "gpu_hours").itertuples()
    days = [month.days_in_month for month in plan.months]
    assert row.per_month == pytest.approx(10 / 31 * sum(days) / 12)
    assert plan.base.model.supply.allocation_rate[plan.base.model.supply.gpu_models.index("H100")] == pytest.approx(
        0.22
    )


def test_first_month_is_the_next_one_or_the_one_that_is_told(plan, world):
    assert (plan.months[0], len(plan.months)) == (pd.Timestamp("2026-06-01"), 12)
    other = Plan("2026-05", "2027-01", 6, world, draws=100)
    assert (other.months[0], len(other.months)) == (pd.Timestamp("2027-01-01"), 6)
    assert other.outlook.years_ahead[0] == pytest.approx(8 / 12)


@pytest.mark.parametrize(
    "parameters, sentence",
    [
        ({"first_month": "2026-05"}, "first_month must lie between 2026-06 and 2028-05, not '2026-05'"),
        ({"first_month": "soon"}, "first_month must lie between"),
        ({"months": 0}, "months must lie between 1 and 36"),
        ({"draws": 10}, "draws must lie between 100"),
        ({"settings": {"growth": 1}}, "settings has no 'growth'; it has demand_growth"),
        ({"settings": "dear"}, "settings must be names with their values"),
        ({"drivers": {"project": "x"}}, "drivers must be a list"),
        ({"drivers": ["x"]}, "a driver must be names with their values"),
        ({"budget": [1]}, "budget must be a number between 0 and 1e\\+15"),
        ({"budget": -1}, "budget must lie between 0"),
        ({"currency": 5}, "currency must be a code such as USD, not 5"),
        ({"budget": "2026"}, "plan 2026 has no line in 2026-07; a budget must cover Jun 2026 to May 2027"),
    ],
)
def test_parameters_that_cannot_be(world, parameters, sentence):
    with pytest.raises(DcbudgetError, match=sentence):
        assert len(Plan("2026-05", database=world, **parameters).budget)


@pytest.mark.parametrize(
    "drivers, settings, sentence",
    [
        ([], {"allocation_rate": 1.5}, "allocation_rate must be at least 0.05 and at most 1, not 1.5"),
        ([], {"growth": 1}, "settings has no 'growth'; it has demand_growth"),
        ([{"project": "x", "driver": "measured"}], {}, "must be one of Unallocated, alpha, beta, not 'x'"),
        ([{"project": "alpha", "driver": "measured", "scale": -1}], {}, "scale of alpha must lie between 0"),
        ([{"project": "x", "driver": "template", "template": "prose"}], {}, "template must be one of language"),
        ([{"project": "x", "driver": "template", "size": 2}], {}, "template has no field 'size'"),
        ([{"project": "x", "driver": "storage", "tb": -1}], {}, "tb of storage of x must be at least 0"),
        ([{"project": "x", "driver": "travel"}], {}, "driver must be one of measured, template, gpu_hours.*'travel'"),
        ([STAFF | {"months": "x"}], {}, "months of staff of x must be a number"),
        ([STAFF | {"months": 1.5}], {}, "months of staff of x must be a whole number"),
        ([STAFF | {"start": 202610}], {}, "start of staff of x must be a month such as 2026-06, not 202610"),
    ],
)
def test_drivers_and_settings_that_cannot_be(plan, drivers, settings, sentence):
    with pytest.raises(DcbudgetError, match=sentence):
        plan.draft(drivers, **settings)


def test_unknown_month_and_currency(world):
    with pytest.raises(DcbudgetError, match="no charges in 2031-01"):
        Plan("2031-01", database=world)
    with pytest.raises(MixedCurrencies, match="no rate from USD to EUR"):
        Plan("2026-05", database=world, currency="EUR").headline()


def test_drivers_are_added_and_measured_ones_changed(plan, world):
    run = {"project": "alpha", "driver": "training", "parameters": 1e9, "tokens": 1e11, "gpu_model": "H100"}
    more = plan.draft([run])
    flops, mfu = 6 * 1e9 * 1e11, plan.outlook.base.mfu
    hours = flops / (plan.outlook.tflops["H100"] * 1e12 * mfu) / 3600 / (1 - plan.outlook.base.failure_share)
    first = more.gpu_hours.query("gpu_model == 'H100'")["demand"].iloc[0]
    assert first - plan.base.gpu_hours.query("gpu_model == 'H100'")["demand"].iloc[0] == pytest.approx(hours)
    halved = plan.draft([{"project": "beta", "driver": "measured", "scale": 0.5}])
    assert halved.gpu_hours.query("gpu_model == 'L4'")["demand"].iloc[0] == pytest.approx(
        plan.base.gpu_hours.query("gpu_model == 'L4'")["demand"].iloc[0] / 2)  # fmt: skip
    assert plan.draft().total == plan.base.total  # what was tried is not kept


@pytest.mark.parametrize("template", ["language", "recommendation", "search", "vision"])
def test_every_template_begins_a_project(plan, template):
    begun = plan.draft([{"project": "new", "driver": "template", "template": template, "start": "2026-09", "scale": 2}])
    lines = begun.lines.query("project == 'new'")
    assert lines["month"].min() == pd.Timestamp("2026-09-01")
    assert {"Rented GPUs", "Storage", "Network", "Facility and staff"} <= set(lines["category"])
    table = warehouse.reference("project_templates")
    assert table["source"].notna().all() and table["as_of"].notna().all()


def test_panels_changes_are_drivers(plan):
    assert plan.changes("") == []
    assert plan.changes("alpha", 0.5) == [{"project": "alpha", "driver": "measured", "growth_per_year": 0.5}]
    run = plan.changes("", None, 7, 2), plan.changes("alpha", None, 7, 2, "H100", "2026-09")
    assert run[0] == [] and run[1][0]["parameters"] == 7e9 and run[1][0]["tokens"] == 2e9
    assert plan.changes("alpha", None, 7, 0) == plan.changes("alpha", None, 0, 2) == []
    assert plan.changes("", template="vision")[0]["project"] == "new vision"


def test_growth_of_a_project_is_its_months_compounded(sample):
    rows = sample.base.model.demand.drivers.query("driver == 'gpu_hours'").drop_duplicates("project")
    assert (rows["growth_per_month"].abs() > 0.005).any() and sample.growth_of("nobody") == 0
    for row in rows.itertuples():
        assert (1 + sample.growth_of(row.project)) ** (1 / 12) == pytest.approx(1 + row.growth_per_month)


def test_owned_fleet_is_what_the_ledger_will_charge(tmp_path):
    """The months that the ledger has charged already, seen from before them."""
    work = [job(n, "a-x", "hall", "h100", 1, *(f"2026-0{n}-02T{hour}:00:00" for hour in ("00", "01", "09")))
            for n in (2, 3, 4, 5)]  # fmt: skip
    db = make(tmp_path, fleet=[FLEET | {"life_months": "4"}], jobs=work)
    charged = rows(
        db,
        "select BillingPeriodStart::date, ServiceName, sum(EffectiveCost) from owned_charges"
        " where BillingPeriodStart >= '2026-03-01' and ChargeCategory = 'Usage' group by all",
    )
    plan = Plan("2026-02", months=3, database=str(db), draws=100)
    found = plan.base.lines.groupby(["month", "category"])["amount"].sum()
    for month, service, amount in charged:
        if amount and service != "Power":
            assert found[pd.Timestamp(month), service] == pytest.approx(float(amount), abs=0.01)
    power = sum(float(amount) for _, service, amount in charged if service == "Power")
    assert found.xs("Power", level="category").sum() == pytest.approx(power, rel=0.01)


def test_budget_is_an_amount_a_version_or_the_plan_itself(plan, world):
    assert plan.budget.sum() == pytest.approx(plan.base.total) and plan.budget_name == "this plan's lines"
    given = Plan("2026-05", database=world, budget=1000, draws=100)
    assert given.budget.sum() == pytest.approx(1000) and given.budget_name == "given amount"
    named = Plan("2026-05", months=1, database=world, budget="2026", draws=100)
    assert named.budget.tolist() == [300] and named.budget_name == "plan 2026"


def test_approved_plan_that_covers_all_months_is_the_budget(tmp_path):
    plan = [line(f"2026-{month:02}", "alpha", "Network", "10") for month in (6, 7)]
    db = str(make(tmp_path, charges=[charge("x", "1", tags='{"project":"alpha"}')], plan=plan))
    both, longer = (Plan("2026-05", months=months, database=db, draws=100) for months in (2, 3))
    assert (both.budget_name, both.budget.tolist()) == ("plan 2026", [10, 10])
    assert longer.budget_name == "this plan's lines"


def test_saved_draft_is_the_plan_to_the_cent_and_compares(tmp_path):
    db = make_world(tmp_path)
    plan = Plan("2026-05", database=str(db), draws=100)
    assert plan.save("") == "nothing was saved: no name was given"
    assert plan.save("next").startswith("saved next (draft): ")
    assert budget.lines_of("next", db)["amount"].sum() == pytest.approx(plan.base.total, abs=0.001)
    assert plan.comparison("next").frame["variance"].abs().max() < 0.001
    more = plan.draft([{"project": "alpha", "driver": "staff", "heads": 1, "cost_per_month": 100}])
    assert plan.comparison("next", more).frame["variance"].sum() == pytest.approx(1200)
    assert plan.approve("next").startswith("approved next (approved): ")
    assert "approved" in repr(plan.versions())
    with pytest.raises(DcbudgetError, match="next"):
        plan.save("next", more)
    with pytest.raises(DcbudgetError, match="no plan version 'nobody'"):
        plan.approve("nobody")


def test_titles_name_basis_and_currency(plan):
    for table in (plan.projects_table(), plan.months_table(), plan.supply_table(), plan.risks_table()):
        assert "effective cost, USD" in table.title
    for chart in (plan.fan_chart(), plan.tornado_chart(), plan.projects_chart()):
        assert "effective cost, USD" in chart.to_dict()["title"]["subtitle"]
    assert "effective cost, USD" in plan.headline().title


# The sample.


def test_sample_goes_on_where_its_bill_ends(sample):
    """The first month, less the growth since, is what the last three cost: demand, supply and prices fit together."""
    flat = sample.draft(demand_growth=sample.settings.demand_growth)
    spent = sample.outlook.spent
    recent = spent[spent["month"].isin(sample.outlook.past[-3:])].groupby("category")["cost"].sum() / 3
    first = flat.lines[flat.lines["month"] == sample.months[0]].groupby("category")["amount"].sum()
    for category in ("Owned hardware", "Facility and staff"):
        assert first[category] == pytest.approx(recent[category], rel=0.01)
    for category in ("Power", "Storage", "Other services"):
        assert first[category] == pytest.approx(recent[category], rel=0.08)
    assert first.sum() == pytest.approx(recent.sum(), rel=0.1)


def test_sample_has_every_project_and_category_of_its_bill(sample):
    now = sample.outlook.spent[sample.outlook.spent["month"] == sample.month]
    assert set(sample.base.lines["project"]) == set(now["project"])
    assert set(sample.base.lines["category"]) == set(now["category"])
    assert (sample.base.lines.groupby("month")["amount"].sum().round(2) == sample.base.by_month.round(2)).all()


def test_settings_move_the_sample_the_way_they_should(sample):
    base = sample.base.total
    for dearer in ({"demand_growth": 0.3}, {"price_trend": 0.2}, {"pue": 1.6}, {"allocation_rate": 0.5},
                   {"mfu": 0.3}, {"commitment_share": 0.0}, {"spot_share": 0.0}):  # fmt: skip
        assert sample.draft(**dearer).total > base, dearer
    assert sample.draft(exchange_rate=0.2).total == base
    abroad = Plan("2026-06", database=str(sample.db), settings={"foreign_share": 1.0}, draws=100)
    assert abroad.draft(exchange_rate=0.2).total > abroad.base.total


def test_remarks_say_where_a_slider_starts(sample):
    assert sample.remarks["mfu"].startswith("measured ") and "training runs" in sample.remarks["mfu"]
    assert "another currency than USD" in sample.remarks["exchange_rate"]


# The notebook.


def test_notebook_runs_with_parameters_and_saves(tmp_path, monkeypatch):
    db = make_world(tmp_path)
    monkeypatch.setenv("DCBUDGET_CHARTS", "svg")
    parameters = {
        "month": "2026-05", "first_month": "2026-07", "months": 6, "database": str(db), "save_as": "mine",
        "settings": {"demand_growth": 0.5}, "simulation": {"draws": 200, "seed": 3}, "budget": 5000,
        "drivers": [{"project": "beta", "driver": "staff", "heads": 1, "cost_per_month": 500}],
    }  # fmt: skip
    known = papermill.inspect_notebook(str(ROOT / "notebooks/1_plan.ipynb"))
    assert parameters.keys() <= known.keys()
    done = papermill.execute_notebook(str(ROOT / "notebooks/1_plan.ipynb"), str(tmp_path / "out.ipynb"), parameters,
                                      progress_bar=False)  # fmt: skip
    stage = Plan("2026-05", "2026-07", 6, str(db), drivers=parameters["drivers"], settings=parameters["settings"],
                 budget=5000, draws=200, seed=3)  # fmt: skip
    assert budget.lines_of("mine", db)["amount"].sum() == pytest.approx(stage.base.total, abs=0.001)
    assert stage.base.lines.query("project == 'beta' and category == 'Facility and staff'")["amount"].sum() == 3000
    assert json.dumps(repr(stage.headline()))[1:-1] in json.dumps(done)


def test_gpu_hours_that_lines_count_tie_to_them(sample):
    """All rented money is counted, of owned money all but staff and what halls share; hours are those of capacity."""
    draft = sample.base
    hours, lines, supply = draft.quantities, draft.lines, draft.gpu_hours
    rented = hours[hours["paid_as"] == "rented"].groupby("month")["amount"].sum()
    of_lines = lines[lines["category"] == "Rented GPUs"].groupby("month")["amount"].sum()
    assert rented.to_numpy() == pytest.approx(of_lines.to_numpy(), abs=0.2)
    owned = hours[hours["paid_as"] == "owned"].groupby(["month", "project"])["amount"].sum()
    in_lines = lines[lines["category"].isin(["Owned hardware", "Power", "Facility and staff"])]
    in_lines = in_lines.groupby(["month", "project"])["amount"].sum()
    assert (owned <= in_lines.reindex(owned.index) + 0.2).all() and owned.sum() > 0.8 * in_lines.sum()
    capacity = supply.groupby("month")[["owned", "committed", "spot", "on_demand"]].sum().sum(axis=1)
    assert hours.groupby("month")["gpu_hours"].sum().to_numpy() == pytest.approx(capacity.to_numpy(), rel=1e-6)
    held = hours[hours["project"] != IDLE]
    assert (held["useful_gpu_hours"] / held["gpu_hours"]).to_numpy() == pytest.approx(1 - draft.settings.failure_share)
