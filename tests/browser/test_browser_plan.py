"""The panel of 1_plan in JupyterLab: sliders change figures, chart and table as the model says; a plan is saved."""

from pathlib import Path

import pytest
from lab import CUT_OFF, Lab

from dcbudget import budget
from dcbudget.stages.plan import Plan

pytestmark = pytest.mark.browser

PARAMETERS = {"settings": {"demand_growth": 0.1, "mfu": 0.4}, "simulation": {"draws": 2000, "seed": 7}}


@pytest.fixture(scope="module")
def plan(server):
    return Plan(database=str(server.database), settings=PARAMETERS["settings"], **PARAMETERS["simulation"])


@pytest.fixture(scope="module")
def lab(server, chromium):
    with Lab(server, chromium, "1_plan.ipynb", PARAMETERS) as opened:
        opened.run_all()
        yield opened


def agrees(lab: Lab, plan: Plan, **settings: float) -> float:
    """Wait until all that is shown is what the model says; the sum of the plan."""
    draft = plan.draft(**settings)
    lab.settles(lambda: lab.cards()[:7], [list(figure) for figure in plan.headline(draft).figures])
    table = plan.months_table(draft)
    lab.settles(lambda: lab.table()[: len(table.cells())], table.cells())
    lab.settles(lambda: lab.chart_title()[0], plan.fan_chart(draft).to_dict()["title"]["text"])
    return draft.total


def test_starts_from_the_parameters(lab, plan):
    assert (lab.readout("Growth a year"), lab.readout("MFU")) == ("10.0", "40.0")
    agrees(lab, plan)


def test_sliders_move_figures_chart_and_table(lab, plan):
    before = agrees(lab, plan)
    lab.press("Growth a year", "ArrowRight", 20)
    lab.settles(lambda: lab.readout("Growth a year"), "30.0")
    assert agrees(lab, plan, demand_growth=0.3) > before
    lab.set_slider("MFU", "50")
    assert agrees(lab, plan, demand_growth=0.3, mfu=0.5) < before
    lab.set_slider("Growth a year", "10")
    lab.set_slider("MFU", "40")
    assert agrees(lab, plan) == before


def test_other_views_and_back(lab, plan):
    lab.panel.get_by_role("button", name="What moves it").click()
    lab.settles(lambda: lab.chart_title()[0], plan.tornado_chart().to_dict()["title"]["text"])
    assert len(lab.bars()) == 2 * len(plan.base.risks.head(12))
    lab.panel.get_by_role("button", name="Months").click()
    agrees(lab, plan)


def test_draft_is_saved_as_it_stands(lab, plan):
    lab.set_slider("Growth a year", "25")
    total = agrees(lab, plan, demand_growth=0.25)
    field = lab.panel.locator("input[type='text']").last
    field.fill("browser")
    field.press("Enter")
    lab.panel.get_by_role("button", name="Save draft").click()
    said = lab.panel.locator("[role='status']")
    lab.settles(lambda: [text.partition(":")[0] for text in said.all_text_contents()], ["saved browser (draft)"])
    assert budget.lines_of("browser", lab.database)["amount"].sum() == pytest.approx(total, abs=0.001)
    lab.set_slider("Growth a year", "10")
    agrees(lab, plan)


def test_layout(lab, tmp_path: Path):
    assert lab.page.evaluate(CUT_OFF) == []
    lab.panel.screenshot(path=tmp_path / "panel.png")
    assert (tmp_path / "panel.png").stat().st_size > 10_000
    assert lab.problems == []
