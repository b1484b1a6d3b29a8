"""The panel of 2_assess in JupyterLab: every control changes the figures, the chart and the table as the model says."""

import re
from pathlib import Path

import pytest
from lab import CUT_OFF, Lab

from dcbudget.stages.assess import Assessment

pytestmark = pytest.mark.browser

# Between the sliders' usual steps of 1 % and 5 %.
PARAMETERS = {"target_allocation": 0.875, "demand_growth": 0.12}


@pytest.fixture(scope="module")
def lab(server, chromium):
    with Lab(server, chromium, "2_assess.ipynb", PARAMETERS) as opened:
        opened.run_all()
        yield opened


@pytest.fixture
def start(lab):
    """The panel at its parameters."""
    lab.choose("Month", "2026-06")
    lab.set_slider("Target allocation", "87.5")
    lab.set_slider("Demand growth", "12")
    return lab


def agrees(lab: Lab, month: str, target: float, growth: float) -> float:
    """Wait until all that is shown is what the model says, and return the GPUs to spare.

    The sum over the pools is worked here once more from its definition.
    """
    stage = Assessment(month, str(lab.database))
    need = stage.need(target, growth)
    pools = stage.pools[stage.pools["capacity_gpu_hours"] > 0]
    capacity, allocated = pools["capacity_gpu_hours"], pools["allocated_gpu_hours"]
    spare = sum(capacity / stage.hours) - sum(allocated) * (1 + growth) / stage.hours / target
    word = "to spare" if spare >= 0 else "short"

    lab.settles(lambda: lab.cards()[:1], [[f"GPUs {word}", f"{abs(spare):,.1f}", "all pools"]])
    lab.settles(lab.cards, [list(figure) for figure in stage.need_headline(need).figures])
    lab.settles(lab.table, stage.need_table(need).cells())
    lab.settles(lab.chart_title, [f"{abs(spare):,.0f} GPUs {word}", f"GPUs by pool, demand of {stage.month:%B %Y}"])
    bars = {(pool, "now"): gpus for pool, gpus in zip(pools["pool"], capacity / stage.hours, strict=True)}
    for pool, gpu_hours in zip(pools["pool"], allocated, strict=True):
        bars[pool, "needed"] = gpu_hours * (1 + growth) / stage.hours / target
    drawn = dict(_bar(label) for label in lab.bars())
    assert drawn == pytest.approx(bars)
    longest = max(bars, key=bars.get)
    widths = dict(zip(drawn, lab.widths(), strict=True))
    assert {bar: width / widths[longest] for bar, width in widths.items()} == pytest.approx(
        {bar: gpus / bars[longest] for bar, gpus in bars.items()}, abs=0.01
    )
    return spare


def _bar(label: str) -> tuple[tuple[str, str], float]:
    """Pool, what and number of a label such as `GPUs: 89.1; pool: cloud A100; what: now; gpus: 89.1`."""
    found = re.match(r"GPUs: ([\d.]+); pool: (.*); what: (now|needed)", label)
    return (found[2], found[3]), float(found[1])


def test_starts_from_the_parameters(lab):
    assert (lab.readout("Target allocation"), lab.readout("Demand growth")) == ("87.5", "12.0")
    agrees(lab, "2026-06", 0.875, 0.12)


def test_arrow_keys_move_the_target(start):
    start.press("Target allocation", "ArrowRight")
    start.settles(lambda: start.readout("Target allocation"), "88.0")
    once = agrees(start, "2026-06", 0.88, 0.12)
    start.press("Target allocation", "ArrowLeft", 21)
    start.settles(lambda: start.readout("Target allocation"), "77.5")
    assert agrees(start, "2026-06", 0.775, 0.12) < once


def test_no_key_is_lost_where_the_kernel_lags_behind(start):
    start.press("Demand growth", "ArrowRight", 40)
    start.settles(lambda: start.readout("Demand growth"), "52.0")
    agrees(start, "2026-06", 0.875, 0.52)


@pytest.mark.parametrize(
    "typed, target", [("90", 0.9), ("90%", 0.9), ("62.5", 0.625), ("1000", 1.0), ("-3", 0.05), ("much", 0.875)]
)
def test_target_is_typed_in_per_cent(start, typed, target):
    start.set_slider("Target allocation", typed)
    start.settles(lambda: start.readout("Target allocation"), f"{100 * target:.1f}")
    agrees(start, "2026-06", target, 0.12)


def test_growth_turns_spare_into_short(start):
    assert agrees(start, "2026-06", 0.875, 0.12) > 0
    start.set_slider("Demand growth", "80")
    assert agrees(start, "2026-06", 0.875, 0.8) < 0


def test_month(start):
    start.choose("Month", "2025-02")
    agrees(start, "2025-02", 0.875, 0.12)


def test_error_is_a_sentence_until_the_next_good_value(start):
    away = start.database.rename(start.database.with_suffix(".away"))
    try:
        start.choose("Month", "2025-07")
        start.settles(start.alert, [f"there is no database {start.database}; load data into it first "
                                    "(dcbudget load PATH --db FILE)"])  # fmt: skip
        assert (start.cards(), start.table(), start.bars()) == ([], [], [])
    finally:
        away.rename(start.database)
    start.choose("Month", "2025-08")
    agrees(start, "2025-08", 0.875, 0.12)
    assert start.alert() == []


def test_layout(start, tmp_path: Path):
    agrees(start, "2026-06", 0.875, 0.12)
    charts = start.page.locator(".vega-embed svg.marks")
    boxes = [chart.bounding_box() for chart in charts.all()]
    assert len(boxes) == 5
    assert min(box["width"] for box in boxes) > 600
    assert min(box["height"] for box in boxes) > 150
    assert start.page.evaluate(CUT_OFF) == []
    start.panel.screenshot(path=tmp_path / "panel.png")
    assert (tmp_path / "panel.png").stat().st_size > 10_000


def test_chart_menu_sends_nothing_anywhere(start):
    links = start.page.locator(".vega-actions a").all_text_contents()
    assert set(links) == {"Save as SVG", "Save as PNG"}


def test_browser_spoke_to_the_server_only(lab):
    assert len(lab.requests) > 50
    assert lab.strangers() == []
    assert lab.problems == []
