"""The panel of 1_plan without a browser: what its controls make of the plan, and what its buttons save."""

import shutil
from html import unescape

import pandas as pd
import pytest

from dcbudget import budget
from dcbudget.panels import plan as panels
from dcbudget.stages.plan import Plan
from tiny import make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return str(make_world(tmp_path_factory.mktemp("world")))


@pytest.fixture(scope="module")
def plan(world):
    return Plan("2026-05", database=world, draws=1000)


@pytest.fixture
def panel(plan):
    return panels.PlanPanel(plan)


def title(panel):
    return panel.view.chart.chart.to_dict()["title"]["text"]


def test_starts_as_the_notebook_does(panel, plan):
    """Untouched, the panel shows what the notebook's own cells show."""
    assert panel.view.headline.value == plan.headline()._repr_html_()
    assert panel.view.table.value == plan.months_table()._repr_html_()
    assert panel.view.chart.chart.to_dict() == plan.fan_chart().to_dict()
    assert panel.draft().settings == plan.settings


def test_every_slider_moves_the_plan_as_its_setting_does(panel, plan):
    for name, slider in panel.rates.items():
        before, slider.value = slider.value, 0.6
        draft = plan.draft(**{name: 0.6})
        assert panel.draft().settings == draft.settings, name
        assert panel.view.headline.value == plan.headline(draft)._repr_html_(), name
        slider.value = before
    for name, slider in panel.numbers.items():
        before, slider.value = slider.value, 1.0 if name == "pue" else 0.5
        draft = plan.draft(**{name: slider.value})
        assert panel.draft().settings == draft.settings != plan.settings, name
        assert panel.view.headline.value == plan.headline(draft)._repr_html_(), name
        slider.value = before


def test_growth_is_corrected_for_the_bias_that_a_report_recorded(panel, plan, world, tmp_path):
    """Forecasts six months ahead were a fifth below: 0.8 of what came, so growth a year is (1 + g) / 0.8^2 - 1."""
    panel.unbiased.value = True  # nothing is recorded
    assert panel.draft().settings == plan.settings and "no report has recorded" in plan.bias_remark
    db = shutil.copy(world, tmp_path / "budget.duckdb")
    values = [("forecast_bias_3", -0.1), ("forecast_bias_6", -0.2)]
    rows = [(name, value, "share", pd.Timestamp("2026-05-01"), "backtests") for name, value in values]
    budget.record_calibration(pd.DataFrame(rows, columns=["name", "value", "unit", "month", "source"]), db)
    corrected = panels.PlanPanel(Plan("2026-05", database=str(db), draws=1000))
    first = corrected.draft()
    assert corrected.unbiased.value is False and first.settings.demand_growth == plan.settings.demand_growth
    corrected.unbiased.value = True
    growth = 0.1
    corrected.rates["demand_growth"].value = growth
    draft = corrected.draft()
    assert draft.settings.demand_growth == pytest.approx((1 + growth) / 0.64 - 1) and draft.total > first.total
    assert "6 months ahead lay 20.0% below what came" in corrected._plan.bias_remark
    corrected.rates["demand_growth"].value = 3.0
    assert corrected.draft().settings.demand_growth == 3.0  # as far as settings go


def test_every_slider_says_where_it_starts(panel, plan):
    shown = "".join(row.children[1].value for row in panel.box.children[: len(panel.rates) + len(panel.numbers)])
    for name in [*panel.rates, *panel.numbers]:
        assert plan.remarks[name] in unescape(shown)


def test_views(panel, plan):
    panel.show.value = "What moves it"
    assert title(panel) == plan.tornado_chart().to_dict()["title"]["text"]
    assert panel.view.table.value == plan.risks_table()._repr_html_()
    panel.show.value = "Projects"
    assert panel.view.table.value == plan.projects_table()._repr_html_()
    panel.show.value = "Supply"
    assert panel.view.table.value == plan.supply_table()._repr_html_()


def test_a_project_starts_from_its_own_growth_and_changes_alone(panel, plan):
    panel.project.value = "beta"
    assert panel.growth.value == pytest.approx(plan.growth_of("beta"), abs=1e-5)
    panel.growth.value = 1.0
    changed = panel.draft().lines.groupby("project")["amount"].sum()
    base = plan.base.lines.groupby("project")["amount"].sum()
    assert changed["beta"] > base["beta"]
    panel.project.value = panels.AS_MEASURED
    assert panel.draft().total == plan.base.total


def test_a_run_and_a_new_project_are_added(panel, plan):
    panel.project.value = "alpha"
    panel.growth.value = plan.growth_of("alpha")
    panel.gpu_model.value, panel.start.value = "H100", "2026-08"
    panel.parameters.value, panel.tokens.value = 7.0, 1000.0
    rows = panel.draft().model.demand.drivers
    (run,) = rows[rows["driver"] == "training"].itertuples()
    assert (run.project, run.resource, run.start.month) == ("alpha", "H100", 8)
    panel.template.value = "vision"
    assert "new vision" in set(panel.draft().lines["project"])
    panel.show.value = "Projects"
    assert "new vision" in panel.view.table.value


def test_error_is_a_sentence_and_the_next_value_recovers(panel, plan, monkeypatch):
    """A run on a card that no datasheet knows."""
    good = panel.view.headline.value
    panel.project.value = "alpha"
    panel.growth.value = plan.growth_of("alpha")
    panel.parameters.value, panel.tokens.value = 7.0, 10.0
    monkeypatch.delitem(plan.outlook.tflops, "L4")
    panel.gpu_model.value = "L4"
    assert "must be one of" in panel.view.message.value and "&#x27;L4&#x27;" in panel.view.message.value
    assert panel.view.headline.value == "" and panel.view.chart_box.children == ()
    monkeypatch.undo()
    panel.project.value = panels.AS_MEASURED
    assert panel.view.message.value == "" and panel.view.headline.value == good


def press(button):
    button.children[0].click()
    return button.children[1].value


def test_save_compare_and_approve(tmp_path):
    db = make_world(tmp_path)
    plan = Plan("2026-05", database=str(db), draws=100)
    first = panels.PlanPanel(plan)
    versions = panels.VersionsPanel(plan, first)
    assert "nothing was saved" in press(versions.save)
    first.rates["demand_growth"].value = 0.5
    versions.name.value = "brave"
    assert "saved brave (draft)" in press(versions.save)
    assert budget.lines_of("brave", db)["amount"].sum() == pytest.approx(plan.draft(demand_growth=0.5).total, abs=0.001)
    assert "brave" in versions.other.options and "brave" in versions.view.table.value
    versions.other.value = "brave"
    assert versions.view.table.value == plan.comparison("brave", first.draft())._repr_html_()
    assert "approved brave" in press(versions.approve)
    assert press(versions.save) == "" and "brave" in versions.view.message.value
    versions.name.value = "<b>"
    press(versions.save)
    assert "&lt;b&gt;" in versions.view.message.value
    versions.other.value = panels.NONE
    assert versions.view.message.value == "" and "plan versions" in versions.view.table.value
