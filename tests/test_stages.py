"""What the notebooks tell: on the sample against its files, on small databases by hand, on all of them at all."""

import csv
import gzip
import inspect
import json
from collections import defaultdict
from contextlib import ExitStack
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import altair as alt
import pandas as pd
import pytest

from dcbudget import charts, warehouse
from dcbudget.errors import DatabaseMissing, DcbudgetError, OutOfRange
from dcbudget.ingest.load import load
from dcbudget.stages.assess import Assessment
from dcbudget.stages.review import MonthlyReview
from dcbudget.tables import Headline, Table
from ledger import in_service
from tiny import BUDGET, CHARGES, FLEET, JOBS, RULES, budget, charge, egress, job, make, make_world, shown

SAMPLE = Path(__file__).parents[1] / "data/sample"
STAGES = (MonthlyReview, Assessment)


@pytest.fixture(autouse=True)
def charts_as_svg(monkeypatch):
    monkeypatch.setenv("DCBUDGET_CHARTS", "svg")


# The sample, computed from its files without the library.


def sample_rows(*parts):
    if not SAMPLE.is_dir():
        pytest.skip("no sample files; make sample writes them")
    with SAMPLE.joinpath(*parts).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def sample_bill(month):
    restated = SAMPLE / f"billing/focus_{month}_restated.csv"
    return sample_rows("billing", restated.name if restated.exists() else f"focus_{month}.csv")


def owned_cost(month):
    """Effective cost of the fleet in a month: depreciation, power, staff and space."""
    return sum(cost for _, cost in in_service(SAMPLE, month))


def sample_cost(month):
    return owned_cost(month) + sum(Decimal(row["EffectiveCost"]) for row in sample_bill(month))


def sample_budget(year):
    found = defaultdict(Decimal)
    for row in sample_rows("budget", f"budget_{year}.csv"):
        found[row["month"][:7]] += Decimal(row["amount"])
    return found


@pytest.fixture(scope="module")
def june(sample_db):
    return MonthlyReview("2026-06", str(sample_db))


@pytest.fixture(scope="module")
def assessment(sample_db):
    return Assessment("2026-06", str(sample_db))


def test_review_spent_is_the_bill_and_the_fleet(june):
    spent = sample_cost("2026-06")
    assert june.this_month["actual"].sum() == pytest.approx(float(spent), abs=0.02)
    assert june.headline().figures[0] == ("Spent", f"{spent:,.0f} USD", "June 2026, effective cost")


def test_review_budget_and_variance_are_those_of_the_plan(june):
    spent, planned = sample_cost("2026-06"), sample_budget(2026)["2026-06"]
    figures = {label: (value, remark) for label, value, remark in june.headline().figures}
    assert figures["Budget"] == (f"{planned:,.0f} USD", "plan 2026-approved")
    assert figures["Variance"] == (f"{spent - planned:+,.0f} USD", f"{(spent - planned) / planned:.1%} over budget")


def test_review_lands_at_the_run_rate(june):
    months = [f"2026-{number:02}" for number in range(1, 7)]
    costs = [sample_cost(month) for month in months]
    landing = sum(costs) + sum(costs[-3:]) / 3 * 6
    assert june.landing.landing == pytest.approx(float(landing), abs=1)
    assert june.landing.budget == pytest.approx(float(sum(sample_budget(2026).values())))
    assert f"{landing:,.0f} USD" in repr(june.headline())


def test_review_of_a_fiscal_year_over_two_plans(sample_db):
    """October to September: three months of the plan of 2025 and nine of that of 2026."""
    review = MonthlyReview("2026-06", str(sample_db), fiscal_year_start=10)
    plans = {**sample_budget(2025), **sample_budget(2026)}
    year = [f"2025-{n}" for n in (10, 11, 12)] + [f"2026-{n:02}" for n in range(1, 10)]
    assert review.landing.budget == pytest.approx(float(sum(plans[month] for month in year)))
    assert review.landing.months_without_budget == 0


def test_review_tables_tie_to_the_spend(june):
    spent, planned = float(sample_cost("2026-06")), float(sample_budget(2026)["2026-06"])
    for table in (june.projects(), june.categories()):
        assert table.frame["actual"].sum() == pytest.approx(spent, abs=0.02)
        assert table.frame["variance"].sum() == pytest.approx(spent - planned, abs=0.02)
    assert june.year().frame["landing"].sum() == pytest.approx(june.landing.landing)
    assert june.movers().frame["change"].abs().is_monotonic_decreasing


def test_review_shows_the_projects_own_network_cost(june):
    """Search's egress of May and June, straight from the bills."""
    want = {}
    for month in ("2026-05", "2026-06"):
        own = [
            row
            for row in sample_bill(month)
            if row["ServiceCategory"] == "Networking"
            and "Tax" not in row["ChargeCategory"]
            and (
                json.loads(row["Tags"] or "{}").get("project") == "search"
                or ("project" not in row["Tags"] and row["SubAccountId"] == "acct-search")
            )
        ]
        want[month] = float(sum(Decimal(row["EffectiveCost"]) for row in own))
    mover = june.movers().frame.set_index(["project", "category"]).loc[("search", "Network")]
    assert (mover["before"], mover["now"]) == (pytest.approx(want["2026-05"]), pytest.approx(want["2026-06"]))
    assert want["2026-05"] > 2 * want["2026-06"]


def test_review_of_the_restated_month_counts_the_restatement(sample_db):
    review = MonthlyReview("2026-03", str(sample_db))
    assert review.this_month["actual"].sum() == pytest.approx(float(sample_cost("2026-03")), abs=0.02)


def test_review_of_the_first_month_has_nothing_to_compare_with(sample_db):
    review = MonthlyReview("2025-01", str(sample_db))
    assert "Biggest mover" not in [label for label, *_ in review.headline().figures]
    assert review.movers().frame.empty
    assert review.movers().title.startswith("No charges are known of December 2024")


def sacct_hours(month):
    """GPU-hours that jobs held in a month, by cluster and GPU model, from the job logs."""
    begin = datetime.fromisoformat(f"{month}-01")
    end = (begin + timedelta(days=32)).replace(day=1)
    hours = defaultdict(float)
    for path in sorted(SAMPLE.joinpath("jobs").glob("sacct_*.txt.gz"))[-3:]:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="|", quoting=csv.QUOTE_NONE):
                if "." in row["JobID"] or row["Start"] in ("None", "Unknown") or "gres/gpu" not in row["AllocTRES"]:
                    continue
                kind, count = row["AllocTRES"].split("gres/gpu:")[1].split(",")[0].split("=")
                days, _, clock = row["Elapsed"].rpartition("-")
                h, m, s = map(int, clock.split(":"))
                start = datetime.fromisoformat(row["Start"])
                stop = start + timedelta(days=int(days or 0), hours=h, minutes=m, seconds=s)
                inside = (min(stop, end) - max(start, begin)).total_seconds()
                if inside > 0:
                    hours[row["Cluster"], kind.upper()] += int(count) * inside / 3600
    return hours


def test_assessment_pools_are_the_logs_and_the_bills(assessment):
    """Capacity: fleet of truth.json, and instance-hours of the shared rented nodes; allocated: the job logs."""
    fleet = json.loads((SAMPLE / "truth.json").read_text())["totals"]["fleet_capacity_gpu_hours"]["2026-06"]
    capacity = {("hall-1", model): float(hours) for model, hours in fleet.items()}
    for row in sample_bill("2026-06"):
        details, tags = json.loads(row["SkuPriceDetails"] or "{}"), json.loads(row["Tags"] or "{}")
        if tags.get("cluster") == "cloud" and "GpuCount" in details and row["ChargeCategory"] == "Usage":
            hours = row["ConsumedQuantity"] or row["CommitmentDiscountQuantity"]
            key = ("cloud", details["x_GpuModel"])
            if "project" not in tags:
                capacity[key] = capacity.get(key, 0) + details["GpuCount"] * float(hours)
    held = sacct_hours("2026-06")
    found = assessment.pools.set_index(["cluster", "gpu_model"])
    for key, hours in capacity.items():
        assert found.loc[key, "capacity_gpu_hours"] == pytest.approx(hours), key
        assert found.loc[key, "allocated_gpu_hours"] == pytest.approx(held[key]), key
    known = found[found["capacity_gpu_hours"] > 0]
    assert set(known.index) == set(capacity)
    rate = sum(held[key] for key in capacity) / sum(capacity.values())
    figures = {label: value for label, value, _ in assessment.headline().figures}
    assert figures["Allocated"] == f"{rate:.1%}"
    assert figures["GPUs"] == f"{sum(capacity.values()) / 720:,.0f}"


def test_assessment_need_ties_to_its_pools(assessment):
    need = assessment.need(0.9, 0.1)
    known = assessment.pools[assessment.pools["capacity_gpu_hours"] > 0]
    spare = known["capacity_gpu_hours"].sum() / 720 - known["allocated_gpu_hours"].sum() * 1.1 / (720 * 0.9)
    assert need.gpus_spare == pytest.approx(spare)
    assert need.pools["spare_cost_per_month"].sum() == pytest.approx(need.spare_cost_per_month)
    assert f"{abs(spare):,.1f}" in repr(assessment.need_headline(need))


# Which month, which plan, which values.


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return str(make_world(tmp_path_factory.mktemp("world")))


@pytest.mark.parametrize("stage", STAGES)
def test_months(world, stage):
    assert [f"{month:%Y-%m}" for month in stage("", world).months] == ["2026-05", "2026-06"]
    assert stage("", world).month == pd.Timestamp("2026-06-01")
    assert stage("2026-05", world).month == pd.Timestamp("2026-05-01")


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    "text", ["May", "2026-5", "2026-13", "2026-05-01", "26-05", "2026-05\n", 202605, "'; drop table jobs"]
)
def test_wrong_month_text(world, stage, text):
    with pytest.raises(DcbudgetError, match="a month must be written YYYY-MM, not"):
        stage(text, world)


@pytest.mark.parametrize("stage", STAGES)
def test_month_without_data_says_which_there_are(world, stage):
    with pytest.raises(DcbudgetError, match="no charges in 2026-04; there are charges from 2026-05 to 2026-06"):
        stage("2026-04", world)


@pytest.mark.parametrize("stage", STAGES)
def test_missing_database(tmp_path, stage):
    with pytest.raises(DatabaseMissing, match="no database"):
        stage("", str(tmp_path / "no.duckdb"))
    assert not (tmp_path / "no.duckdb").exists()


@pytest.mark.parametrize("named", ["2025", 2025])
def test_unknown_plan_says_which_there_are(world, named):
    with pytest.raises(DcbudgetError, match="no plan version '2025'; there are: 2026"):
        MonthlyReview("", world, named)


def test_plan_may_be_named_like_a_number(world):
    """`dcbudget report -p plan_version=2026` makes a number of it."""
    assert MonthlyReview("", world, 2026).plan_version == "2026"


@pytest.mark.parametrize(
    "name, value",
    [(name, value) for name, top in (("fiscal_year_start", 13), ("run_rate_months", 25), ("top_movers", 51))
     for value in (0, top, 1.5, "x", float("nan"), True, None)],
)  # fmt: skip
def test_review_values_out_of_range(world, name, value):
    with pytest.raises(OutOfRange, match=f"{name} must"):
        MonthlyReview("", world, **{name: value})


@pytest.mark.parametrize(
    "name, value",
    [("target_allocation", 0.01), ("target_allocation", 1.1), ("target_allocation", "x"), ("demand_growth", -0.95),
     ("demand_growth", 3.1), ("demand_growth", float("nan"))],
)  # fmt: skip
def test_assessment_values_out_of_range(world, name, value):
    with pytest.raises(OutOfRange, match=f"{name} must"):
        Assessment("", world, **{name: value})


def test_last_approved_plan_is_taken_and_never_two(tmp_path):
    """A draft beside the approved plan, in this year and the last: budgets are not added up."""
    plan = [
        budget("2025-12", "alpha", "Network", "5", plan="2025"),
        budget("2025-12", "alpha", "Network", "50", plan="2025-z", status="draft"),
        budget("2026-01", "alpha", "Network", "7", plan="2026"),
        budget("2026-01", "alpha", "Network", "70", plan="2026-z", status="draft"),
    ]
    db = str(make(tmp_path, charges=[egress("2025-12", "4"), egress("2026-01", "8")], plan=plan))
    review = MonthlyReview("2026-01", db)
    assert review.plan_version == "2026"
    assert list(review.monthly["budget"]) == [5, 7]
    named = MonthlyReview("2026-01", db, "2026-z")
    assert list(named.monthly["budget"]) == [5, 70]
    assert MonthlyReview("2025-12", db).plan_version == "2025"
    with pytest.raises(DcbudgetError, match="plan 2026-z does not cover 2025-12; it covers 2026-01 to 2026-01"):
        MonthlyReview("2025-12", db, "2026-z")


def test_month_that_no_plan_covers(tmp_path):
    plan = [budget("2025-12", "alpha", "Network", "5", plan="2025")]
    db = str(make(tmp_path, charges=[egress("2025-12", "4"), egress("2026-01", "8")], plan=plan))
    review = MonthlyReview("2026-01", db)
    assert review.plan_version == ""
    assert ("Budget", "none", "no plan covers this month") in review.headline().figures
    assert review.projects().title.startswith("No plan covers January 2026")
    assert review.landing.budget == 0


def test_month_without_a_bill_does_not_lower_the_forecast(tmp_path):
    """Bills of April and June at 100, none of May: the year lands with six months at 100, and says what it lacks."""
    plan = [budget(f"2026-{n:02}", "alpha", "Network", "100") for n in range(4, 13)]
    db = str(make(tmp_path, charges=[egress("2026-04", "100"), egress("2026-06", "100")], plan=plan))
    review = MonthlyReview("2026-06", db, fiscal_year_start=4, run_rate_months=3)
    assert review.landing.run_rate == pytest.approx(100)
    assert review.landing.spent == pytest.approx(200)
    assert review.landing.landing == pytest.approx(200 + 9 * 100)
    forecast = next(remark for label, _, remark in review.headline().figures if label == "At the run rate")
    assert "without 1 months that have no charges" in forecast and "budget" not in forecast
    assert review.year().frame["landing"].sum() == pytest.approx(1100)
    assert "No charges are known of May 2026" in review.movers().title


def test_budget_of_part_of_the_year_is_not_compared_with_a_whole_years_landing(tmp_path):
    plan = [budget("2026-01", "alpha", "Network", "100"), budget("2026-02", "alpha", "Network", "100")]
    db = str(make(tmp_path, charges=[egress("2026-01", "100")], plan=plan))
    review = MonthlyReview("2026-01", db)
    forecast = next(figure for figure in review.headline().figures if figure[0] == "At the run rate")
    assert forecast[1] == "1,200 USD" and "of which 10 months have no budget" in forecast[2]
    assert "10 months have no budget" in review.year().title and "over" not in review.year().title


def test_projects_of_the_year_tie_to_the_headline(world):
    review = MonthlyReview("2026-06", world)
    year = review.year().frame
    for column in ("spent", "run_rate", "landing", "budget"):
        assert year[column].sum() == pytest.approx(getattr(review.landing, column))


def test_review_by_hand(world):
    """May of the two clusters (tests/tiny.py): 1572.58 spent, 120 budgeted."""
    review = MonthlyReview("2026-05", world)
    figures = {label: value for label, value, _ in review.headline().figures}
    assert (figures["Spent"], figures["Budget"], figures["Variance"]) == ("1,573 USD", "120 USD", "+1,453 USD")
    beta = review.projects().frame.set_index("project").loc["beta"]
    assert tuple(beta[["budget", "actual", "variance"]]) == pytest.approx((100, 138, 38))
    assert review.projects().title == "alpha: 112 USD over budget in May 2026 (effective cost, USD)"
    assert shown(review.commitments().frame, "commitment", "utilisation") == [("ri-1", 0.4)]


def test_assessment_by_hand(world):
    stage = Assessment("2026-05", world)
    figures = {label: value for label, value, _ in stage.headline().figures}
    assert figures == {
        "GPUs": "0",
        "Allocated": f"{62 / 300:.1%}",
        "GPU utilisation": "50.0%",
        "Idle money": "1,184 USD",
        "Longest queue": "gpu of east",
    }
    assert shown(stage.waits().frame, "partition", "p50", "p95") == [("gpu of east", 1.5, 1.95), ("gpu of west", 0, 0)]


# Every table and chart in every kind of database.

DATABASES = {
    "everything": {"charges": CHARGES, "jobs": JOBS, "plan": BUDGET, "fleet": [FLEET]},
    "bill only": {"charges": CHARGES},
    "bill without projects": {"charges": [charge("node", "10")], "rules": None},
    "bill and jobs that never started": {"charges": CHARGES[:1], "jobs": [JOBS[4]]},
    "fleet and jobs": {"fleet": [FLEET], "jobs": JOBS},
    "fleet, bill and jobs of unknown GPUs": {"fleet": [FLEET], "charges": CHARGES[-2:],
                                             "jobs": [JOBS[0].replace("gres/gpu:h100=2,", "")]},
    "credit and budget of nothing": {"charges": [charge("credit", "-10", ChargeCategory="Credit"), charge("free", "0")],
                                     "plan": [budget("2026-05", "beta", "Rented GPUs", "0")]},
    "jobs only": {"jobs": JOBS},
    "fleet only": {"fleet": [FLEET, FLEET | {"asset_id": "srv-2", "retire_date": "2026-03-11"}]},
    "budget only": {"plan": BUDGET},
    "rules only": {"rules": RULES},
    "empty": None,
}  # fmt: skip
DRAWN = ("everything",)
WITHOUT_CHARGES = ("jobs only", "fleet only", "budget only", "rules only", "empty")
ARGUMENTS = {
    "variance_chart": lambda stage: ("project",), "of_month": lambda stage: (f"{stage.month:%Y-%m}",),
    "need_headline": lambda stage: (stage.need(),),
    "need_chart": lambda stage: (stage.need(),), "need_table": lambda stage: (stage.need(),),
}  # fmt: skip


def methods(stage):
    return [name for name, _ in inspect.getmembers(stage, inspect.isfunction) if not name.startswith("_")]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The named database, made once."""
    made = {}

    def build(name):
        if name not in made:
            folder = tmp_path_factory.mktemp("db")
            if DATABASES[name] is None:
                made[name] = folder / "empty.duckdb"
                with warehouse.connect(made[name], write=True):
                    pass
            else:
                made[name] = make(folder, **DATABASES[name])
        return str(made[name])

    return build


@pytest.fixture(scope="module")
def opened(built):
    """The stage over the named database, opened once; a connection that stays open makes the others quick."""
    made, held = {}, ExitStack()

    def open_stage(stage, name):
        if (stage, name) not in made:
            held.enter_context(warehouse.connect(built(name)))
            made[stage, name] = stage("", built(name))
        return made[stage, name]

    with held:
        yield open_stage


def look_at(result, draw):
    """Show a result in every way that a notebook and a report do; draw charts only where asked to, it takes long."""
    if isinstance(result, Table):
        assert result.title and "nan" not in f" {result.title} ".lower().split()
        cells = result.cells()
        assert all(isinstance(cell, str) for row in cells for cell in row)
        assert not any(cell in ("nan", "NaT", "None", "<NA>") for row in cells for cell in row)
        assert "<table" in result._repr_html_() and repr(result)
    elif isinstance(result, Headline):
        assert result.figures and all(isinstance(text, str) for figure in result.figures for text in figure)
        assert "nan" not in repr(result).lower()
        assert result._repr_html_()
    elif isinstance(result, dict):
        for table in result.values():
            look_at(table, draw)
    elif isinstance(result, charts.Drawing | alt.TopLevelMixin):
        chart = getattr(result, "chart", result)
        title = chart.to_dict()["title"]
        assert title["subtitle"] and "nan" not in title["text"].lower().split()
        if draw:
            svg = charts.Drawing(chart)._repr_mimebundle_()["image/svg+xml"]
            assert svg.startswith("<svg") and ">NaN<" not in svg and "undefined" not in svg


@pytest.mark.parametrize("database", [name for name in DATABASES if name not in WITHOUT_CHARGES])
@pytest.mark.parametrize("stage, name", [(stage, name) for stage in STAGES for name in methods(stage)],
                         ids=lambda value: getattr(value, "__name__", value))  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_every_table_and_chart_of_every_database(opened, stage, name, database):
    of = opened(stage, database)
    look_at(getattr(of, name)(*ARGUMENTS.get(name, lambda stage: ())(of)), draw=database in DRAWN)


@pytest.mark.parametrize("database", WITHOUT_CHARGES)
@pytest.mark.parametrize("stage", STAGES)
def test_database_without_charges_is_one_clear_error(built, stage, database):
    with pytest.raises(DcbudgetError, match="no charges yet; load a bill, or a fleet ledger and a job log, first"):
        stage("", built(database))


def test_everything_shows_what_is_owned(built):
    stage = Assessment("2026-05", built("everything"))
    assert shown(stage.inventory().frame, "description", "units", "gpus", "kw") == [("GPU server", 2, 8, 10)]
    assert stage.inventory().title.startswith("8 owned GPUs drawing 10 kW")


def test_inventory_leaves_out_what_is_not_yet_or_no_longer_there(tmp_path):
    fleet = [FLEET, FLEET | {"asset_id": "gone", "retire_date": "2026-05-01"},
             FLEET | {"asset_id": "later", "in_service_date": "2026-06-01"},
             FLEET | {"asset_id": "going", "retire_date": "2026-05-02"}]  # fmt: skip
    db = str(make(tmp_path, charges=CHARGES, fleet=fleet))
    assert sorted(Assessment("2026-05", db).inventory().frame["asset_id"]) == ["going", "srv-1"]


def test_what_changed_in_storage_ties_to_the_month_before(tmp_path):
    """What was there last month and is gone now is a change too."""
    bill = [charge("disks", "50", ServiceCategory="Storage", ConsumedUnit="GB", ConsumedQuantity="5"),
            charge("tapes", "30", ServiceCategory="Storage", ConsumedUnit="Tapes", ConsumedQuantity="5"),
            charge("disks", "80", ServiceCategory="Storage", ConsumedUnit="GB", ConsumedQuantity="8",
                   start="2026-06-01", end="2026-07-01")]  # fmt: skip
    frame = Assessment("2026-06", str(make(tmp_path, charges=bill))).storage_and_network().frame
    assert frame["change"].sum() == pytest.approx(80 - 80)
    assert frame["effective_cost"].sum() == pytest.approx(80)


def test_two_pools_of_one_partition_name_are_two_queues(tmp_path):
    """Clusters may name their partitions alike; both stand by themselves in the table."""
    jobs = [
        job(1, "a-x", "east", "h100", 1, "2026-05-01T00:00:00", "2026-05-01T02:00:00", "2026-05-01T03:00:00"),
        job(2, "a-x", "west", "h100", 1, "2026-05-01T00:00:00", "2026-05-01T01:00:00", "2026-05-01T03:00:00"),
    ]
    stage = Assessment("", str(make(tmp_path, charges=[charge("node", "1")], jobs=jobs)))
    assert len({row[0] for row in stage.waits().cells()}) == 2


def test_a_month_that_is_still_being_billed_is_no_default(tmp_path):
    """Three days of July beside a whole July of owned cost would mislead; asked for by name, they are marked."""
    whole = charge("a", "100", start="2026-06-01", end="2026-07-01")
    begun = charge("b", "9", start="2026-07-01", end="2026-07-03")
    path = make(tmp_path, charges=[whole, begun])
    assert MonthlyReview(database=str(path)).month == pd.Timestamp("2026-06-01")
    assert Assessment(database=str(path)).month == pd.Timestamp("2026-06-01")
    spent = MonthlyReview("2026-07", str(path)).headline().figures[0]
    assert spent[2].endswith("billed only to 03 July")


def test_rejected_money_is_a_figure_of_the_headline(tmp_path):
    """A budget that lost lines must not pass for the whole budget."""
    path = make(tmp_path, charges=[charge("a", "100", start="2026-06-01", end="2026-07-01")])
    assert not [
        figure for figure in MonthlyReview(database=str(path)).headline().figures if figure[0] == "Rejected money"
    ]
    plan = tmp_path / "late.csv"
    plan.write_text(
        "plan_version,month,project,category,amount,currency\np,2026-06-01,a,Storage,10,USD\np,June,a,Storage,7,USD\n"
    )
    load([plan], path)
    figures = {figure[0]: figure[1:] for figure in MonthlyReview(database=str(path)).headline().figures}
    assert figures["Budget"][0] == "10 USD"
    assert figures["Rejected money"][0] == "7 USD budgeted"
