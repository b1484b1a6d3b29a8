"""The panel of 3_control in JupyterLab: controls change figures, chart and table as the model says."""

import pytest
from lab import Lab

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
