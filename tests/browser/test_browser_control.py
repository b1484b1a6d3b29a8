"""The panel of 3_control in JupyterLab: controls change figures, chart and table as the model says."""

import pytest
from lab import CUT_OFF, Lab

from dcbudget.stages.commitments import GREW, Commitments
from dcbudget.stages.control import Control
from dcbudget.stages.strategies import Strategies

pytestmark = pytest.mark.browser

PARAMETERS = {"month": "2026-06", "training_run": {"model_parameters": 2.6e9, "tokens": 30e9, "gpus": 64}}


@pytest.fixture(scope="module")
def control(server):
    return Control("2026-06", str(server.database))


@pytest.fixture(scope="module")
def stage(control):
    return Strategies(control, 2.6e9, 30e9, gpus=64)


@pytest.fixture(scope="module")
def lab(server, chromium):
    with Lab(server, chromium, "3_control.ipynb", PARAMETERS) as opened:
        opened.run_all()
        opened.whole = opened.panel
        yield opened


def turn_to(lab: Lab, tab: str) -> None:
    """Bring a tab to the front; the panel is then what it shows."""
    lab.whole.locator(".lm-TabBar-tab").filter(has_text=tab).click()
    lab.panel = lab.whole.locator(".widget-tab-contents > :not(.lm-mod-hidden)")


def shows(lab: Lab, headline, chart, table=None) -> None:
    """Wait until all that is shown is what the model says."""
    lab.settles(lab.cards, [list(figure) for figure in headline.figures])
    title = chart.to_dict()["title"]
    lab.settles(lambda: "".join(lab.chart_title()), "".join(_lines(title["text"]) + _lines(title["subtitle"])))
    lab.settles(lab.table, table.cells() if table else [])


def _lines(text: str | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else text


def test_strategies_follow_the_sliders(lab, stage):
    def agrees(**changed):
        found = stage.compare(**changed)
        shows(lab, stage.comparison_headline(found), stage.comparison_chart(found), stage.comparison_table(found))
        return found.choices[2]["cost"]

    turn_to(lab, "Strategies")
    assert (lab.readout("Parameters"), lab.readout("GPUs, at most")) == ("2.6 B", "64")
    start = agrees()
    lab.press("GPUs, at most", "ArrowLeft")
    agrees(gpus=32)
    lab.set_slider("MFU", "25")
    assert agrees(gpus=32, mfu=0.25) > start
    lab.choose("Price", "spot")
    agrees(gpus=32, mfu=0.25, price_kind="spot")


def test_commitments_follow_the_sliders(lab, control):
    buying = Commitments(control)
    # the browser moves a slider between two steps, of a thousandth of a per cent, to the nearer one
    usual = {"growth": round(buying.growth, 5), "commitment_discount": round(buying.commitment_discount.value, 5)}

    def agrees(**changed):
        found = buying.buy(**usual | changed)
        shows(lab, buying.buy_headline(found), buying.buy_chart(found), buying.buy_table(found))
        return found.found.quantity

    turn_to(lab, "Commitments")
    start = agrees()
    lab.press("Months to come", "ArrowLeft", 6)
    before = agrees(months=6)
    lab.set_slider("Growth a year", "80")
    assert agrees(months=6, growth=0.8) > before != start
    lab.choose("Demand to come", GREW)
    agrees(months=6, growth=0.8, demand=GREW)


def test_spot_follows_the_sliders_and_a_job_that_never_ends_is_a_sentence(lab, stage):
    def agrees(**changed):
        found = stage.spot(**changed)
        shows(lab, stage.spot_headline(found), stage.spot_chart(found))
        return found.cost_per_gpu_hour

    turn_to(lab, "Spot")
    start = agrees()
    lab.set_slider("Restart, minutes", "60")
    assert agrees(restart_minutes=60) > start
    lab.press("GPUs of the job", "End")
    lab.set_slider("Interruptions / 1,000 h", "50")
    lab.settles(lambda: ["must be fewer for this job ever to end, not 50" in said for said in lab.alert()], [True])
    assert (lab.cards(), lab.chart_title()) == ([], [])
    lab.press("GPUs of the job", "Home")
    agrees(gpus=1, interruptions_per_1000_gpu_hours=50, restart_minutes=60)
    assert lab.alert() == []


def test_owning_follows_the_sliders_and_an_unknown_price_is_a_sentence(lab, stage):
    names = {"life_years": "server_life_years", "watts": "gpu_watts", "pue": "pue",
             "price_per_kwh": "power_price_per_kwh"}  # fmt: skip
    usual = {argument: round(stage.known[name].value, 3) for argument, name in names.items()}

    def agrees(**changed):
        found = stage.own_or_rent(
            stage.owned(**usual | changed), utilisation=round(stage.known["allocation_rate"].value, 5)
        )
        shows(lab, stage.ownership_headline(found), stage.ownership_chart(found))
        return found.break_even

    turn_to(lab, "Own or rent")
    start = agrees()
    lab.set_slider("Power, money per kWh", "0.5")
    assert agrees(price_per_kwh=0.5) > start
    lab.choose("Accelerator", "MI355X")
    lab.settles(lab.alert, ["no purchase price of MI355X is known; load a fleet that has it, or give one"])
    assert (lab.cards(), lab.chart_title()) == ([], [])
    lab.choose("Accelerator", stage.accelerator)
    lab.settles(lab.alert, [])
    agrees(price_per_kwh=0.5)


def test_error_takes_the_place_of_the_chart_and_goes(lab, stage):
    """A trillion parameters fit on no such cluster."""
    turn_to(lab, "Strategies")
    lab.press("Parameters", "End")
    lab.settles(lambda: [" do not fit: " in said for said in lab.alert()], [True])
    assert (lab.cards(), lab.chart_title(), lab.table()) == ([], [], [])
    lab.press("Parameters", "Home")
    lab.settles(lab.alert, [])
    lab.settles(lambda: len(lab.cards()), 4)
    lab.settles(lambda: bool(lab.chart_title()), True)


def test_no_tab_cuts_words_off(lab):
    for tab in ("Strategies", "Commitments", "Spot", "Own or rent"):
        turn_to(lab, tab)
        lab.settles(lambda: lab.page.evaluate(CUT_OFF), [])
    assert lab.problems == []
