"""The panel of 4_optimize in JupyterLab: sliders change what is shown as the model says; a choice is proposed."""

from pathlib import Path

import pytest
from lab import CUT_OFF, Lab

from dcbudget import adjustments
from dcbudget.stages.optimize import Optimize

pytestmark = pytest.mark.browser

PARAMETERS = {"month": "2026-06", "policy": "Smallest first", "planning": {"months": 1}}


@pytest.fixture(scope="module")
def optimize(server):
    return Optimize("2026-06", database=str(server.database), policy="Smallest first", planning={"months": 1})


@pytest.fixture(scope="module")
def lab(server, chromium):
    with Lab(server, chromium, "4_optimize.ipynb", PARAMETERS) as opened:
        opened.run_all()
        opened.whole = opened.panel
        yield opened


def turn_to(lab: Lab, tab: str) -> None:
    """Bring a tab to the front; the panel is then what it shows."""
    lab.whole.locator(".lm-TabBar-tab").filter(has_text=tab).click()
    lab.panel = lab.whole.locator(".widget-tab-contents > :not(.lm-mod-hidden)")


def agrees(lab: Lab, replays, **changes) -> None:
    """Wait until all that is shown is what the model says."""
    setting = replays.with_changes(**changes)
    lab.settles(lab.cards, [list(figure) for figure in replays.headline(setting).figures])
    lab.settles(lambda: lab.chart_title()[0], replays.projects_chart(setting).to_dict()["title"]["text"])
    lab.settles(lab.table, replays.projects_table(setting).cells())


def test_policy_and_nodes_move_figures_chart_and_table(lab, optimize):
    turn_to(lab, "Policies")
    agrees(lab, optimize.replays)
    lab.press("Nodes", "ArrowRight", 3)
    lab.settles(lambda: lab.readout("Nodes"), "35")
    agrees(lab, optimize.replays, nodes=35)
    lab.choose("Policy", "EASY backfill")
    agrees(lab, optimize.replays, nodes=35, policy="EASY backfill")


def test_error_takes_the_place_of_the_chart_and_goes(lab, optimize):
    turn_to(lab, "Policies")
    lab.press("Nodes", "Home")
    lab.settles(lambda: ["must be at most the 8 of pool" in said for said in lab.alert()], [True])
    assert (lab.cards(), lab.chart_title(), lab.table()) == ([], [], [])
    lab.set_slider("Nodes", "35")
    agrees(lab, optimize.replays, nodes=35, policy="EASY backfill")


def test_sweep_is_shown_once_it_is_there(lab, optimize):
    turn_to(lab, "Capacity")
    frontier = optimize.frontier
    if not lab.chart_title():
        lab.panel.get_by_role("button", name="Replay").click()
    lab.settles(lambda: bool(lab.chart_title()), True)
    lab.set_slider("Waiting, money/hour", "0")
    frame = frontier.money(waiting_price=0.0, price=frontier.first_price)
    lab.settles(lab.table, frontier.table(frame).cells())


def test_choice_is_proposed(lab):
    turn_to(lab, "Policies")
    field = lab.whole.locator("input[type='text']").last
    field.fill("ops")
    field.press("Enter")
    lab.whole.get_by_role("button", name="Propose").click()
    said = lab.whole.locator("[role='status']").last
    lab.settles(lambda: "owner ops" in (said.text_content() or ""), True)
    assert set(adjustments.ledger(lab.database)["source"]) >= {"4_optimize"}


def test_layout(lab, tmp_path: Path):
    for tab in ("Policies", "Capacity", "Reservation", "Elasticity", "Plan", "Energy"):
        turn_to(lab, tab)
        lab.settles(lambda: bool(lab.chart_title()), True)
        assert lab.page.evaluate(CUT_OFF) == [], tab
        lab.whole.screenshot(path=tmp_path / f"{tab}.png")
    assert lab.problems == []
