"""The panel of 6_adjust in JupyterLab: rules change figures, chart and moves as the optimiser says; one is proposed."""

from pathlib import Path

import pytest
from lab import CUT_OFF, Lab

from dcbudget import adjustments
from dcbudget.stages.adjust import Adjust

pytestmark = pytest.mark.browser

RULES = {"floor": 0.8, "reserve": 150000.0, "risk": 0.2, "goal": "chance"}


@pytest.fixture(scope="module")
def stage(server):
    return Adjust(database=str(server.database), **RULES)


@pytest.fixture(scope="module")
def lab(server, chromium, stage):
    stage.moves()  # its forecast is kept in the database, so that the notebook need not wait for it
    with Lab(server, chromium, "6_adjust.ipynb", {"rules": RULES}) as opened:
        opened.run_all()
        yield opened


def agrees(lab: Lab, stage: Adjust, **rules) -> float:
    """Wait until all that is shown is what the optimiser says; the money that moves."""
    found = stage.moves(**rules)
    lab.settles(lambda: lab.cards()[:6], [list(figure) for figure in stage.headline(found).figures])
    table = stage.chances_table(found).cells()
    lab.settles(lambda: lab.table()[: len(table)], table)
    lab.settles(lambda: lab.chart_title()[0], stage.chances_chart(found).to_dict()["title"]["text"])
    return float(found.moves["amount"].sum())


def test_starts_from_the_parameters(lab, stage):
    assert (lab.readout("Floor of a line"), lab.readout("Reserve")) == ("80.0", "150,000")
    agrees(lab, stage)


def test_sliders_move_figures_chart_and_table(lab, stage):
    before = agrees(lab, stage)
    lab.set_slider("Reserve", "300000")
    assert agrees(lab, stage, reserve=300_000.0) > before
    lab.press("Risk of a giver", "ArrowRight", 5)
    agrees(lab, stage, reserve=300_000.0, risk=0.25)
    lab.choose("Goal", "overrun")
    agrees(lab, stage, reserve=300_000.0, risk=0.25, goal="overrun")
    lab.choose("Goal", "chance")
    lab.set_slider("Risk of a giver", "20")
    lab.set_slider("Reserve", "150000")
    assert agrees(lab, stage) == before


def test_other_views_and_back(lab, stage):
    lab.panel.get_by_role("button", name="Audit").click()
    lab.settles(lambda: lab.chart_title()[0], stage.bridge_chart().to_dict()["title"]["text"])
    lab.panel.get_by_role("button", name="Chances").click()
    agrees(lab, stage)


def test_a_move_is_proposed(lab, stage):
    move = stage.move_names()[0]
    lab.choose("Move", move)
    for label, text in (("Owner", "ann"), ("Date, YYYY-MM-DD", "2026-07-02")):
        field = lab.panel.get_by_label(label)
        field.fill(text)
        field.press("Enter")
    lab.panel.get_by_role("button", name="Propose").click()
    said = lab.panel.locator("[role='status']")
    lab.settles(lambda: [text[:32] for text in said.all_text_contents()], ["proposed 2026-07-02-01 (proposed"])
    found = adjustments.ledger(lab.database)
    assert found["owner"].tolist() == ["ann"]
    assert found["amount"].iloc[0] == pytest.approx(stage.moves().moves["amount"].iloc[0])


def test_layout(lab, tmp_path: Path):
    assert lab.page.evaluate(CUT_OFF) == []
    lab.panel.screenshot(path=tmp_path / "panel.png")
    assert (tmp_path / "panel.png").stat().st_size > 10_000
    assert lab.problems == []
