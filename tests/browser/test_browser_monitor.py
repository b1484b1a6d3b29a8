"""The panel of 5_monitor in JupyterLab: chosen runs, metric and checkpoint interval change what is shown."""

from pathlib import Path

import pytest
from lab import CUT_OFF, Lab

from dcbudget.stages.checkpointing import Checkpointing
from dcbudget.stages.monitor import Monitor

pytestmark = pytest.mark.browser

PARAMETERS = {"month": "2026-05", "runs": ["run-diverging", "run-013[12]"], "smoothing": 0.5}


@pytest.fixture(scope="module")
def monitor(server):
    return Monitor("2026-05", str(server.database), runs=PARAMETERS["runs"])


@pytest.fixture(scope="module")
def lab(server, chromium):
    with Lab(server, chromium, "5_monitor.ipynb", PARAMETERS) as opened:
        opened.run_all()
        yield opened


def cards(headline):
    return [list(figure) for figure in headline.figures]


def title(lab):
    return lab.chart_title()[:2]


def test_starts_from_the_parameters(lab, monitor):
    chosen = monitor.chosen
    assert len(chosen) == 3
    expected = cards(monitor.headline(chosen))
    lab.settles(lambda: lab.cards()[: len(expected)], expected)  # those of the other tabs follow
    lab.settles(lambda: lab.table()[:3], monitor.runs_table(chosen).cells())
    drawn = monitor.curve(smoothing=0.5).to_dict()["title"]
    lab.settles(lambda: title(lab), [drawn["text"], drawn["subtitle"]])


def test_metric_axis_and_smoothing(lab, monitor):
    lab.choose("Metric", "accuracy")
    lab.choose("Along", "cost")
    lab.set_slider("Smoothing", "0")
    drawn = monitor.curve(metric="accuracy", x="cost").to_dict()["title"]
    lab.settles(lambda: title(lab), [drawn["text"], drawn["subtitle"]])
    lab.choose("Metric", "loss")
    lab.choose("Along", "step")
    lab.set_slider("Smoothing", "50")


def test_no_run_is_a_sentence_and_the_next_choice_recovers(lab, monitor):
    picker = lab.panel.locator("select[multiple]")
    picker.select_option([])
    lab.settles(lambda: lab.alert()[:1], ["no run is chosen; choose at least one"])
    picker.select_option(["run-0131"])
    lab.settles(lambda: lab.table()[:1], monitor.runs_table(["run-0131"]).cells())
    lab.settles(lab.alert, [])
    picker.select_option(monitor.chosen)
    lab.settles(lambda: lab.table()[:3], monitor.runs_table(monitor.chosen).cells())


def test_checkpoint_interval(lab, monitor):
    lab.panel.get_by_role("tab", name="Checkpoints").click()
    lab.set_slider("Every, minutes", "30")
    checkpointing = Checkpointing(monitor)
    run = checkpointing.failing
    expected = checkpointing.headline(checkpointing.found(run, 30), run)
    lab.settles(lambda: [card for card in lab.cards() if card[0] == "Every 30 min"],
                [list(figure) for figure in expected.figures if figure[0] == "Every 30 min"])  # fmt: skip


def test_layout(lab, tmp_path: Path):
    assert lab.page.evaluate(CUT_OFF) == []
    for tab in ("Results", "Curves"):
        lab.panel.get_by_role("tab", name=tab).click()
        lab.panel.screenshot(path=tmp_path / f"{tab}.png")
        assert (tmp_path / f"{tab}.png").stat().st_size > 10_000
    assert lab.page.evaluate(CUT_OFF) == [] and lab.problems == []
