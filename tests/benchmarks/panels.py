"""Measures what a moved slider costs: every control of every panel, on the sample, without a browser.

A change is measured from the control's new value to the chart, headline and table that are shown; beside it stands the
least that a change can cost, a slider that redraws one point and one row. A missed target is printed, not an error.
"""

import os
import statistics
import sys
import time
from collections.abc import Iterator

import altair as alt
import ipywidgets as widgets
import pandas as pd

from dcbudget.panels import alerts, assess, control, controls, monitor, optimize, plan, review
from dcbudget.stages.alerts import Alerts
from dcbudget.stages.assess import Assessment
from dcbudget.stages.checkpointing import Checkpointing
from dcbudget.stages.commitments import Commitments
from dcbudget.stages.control import Control
from dcbudget.stages.monitor import Monitor
from dcbudget.stages.optimize import Optimize
from dcbudget.stages.plan import Plan
from dcbudget.stages.review import MonthlyReview
from dcbudget.stages.strategies import Strategies
from dcbudget.tables import Headline, Table

TARGET_MS = 100
SIMULATION_TARGET_MS = 300
REPEAT = 5
# A month that was not looked at before is read from the database: no slider's move, and measured by the bench of marts.
READS = ("Month",)


def least() -> widgets.Widget:
    """A slider that redraws a point."""
    slider, view = controls.rate_slider("x", 0.5, 0.0, 1.0), controls.View()

    def redraw() -> None:
        frame = pd.DataFrame({"x": [slider.value]})
        chart = alt.Chart(frame).mark_point().encode(x="x:Q")
        view.show(Headline("x", [("x", f"{slider.value}", "")]), chart, Table(frame, {"x": "x"}, "x"))

    return controls.live([slider], view, redraw)


def strategies_panel() -> widgets.Widget:
    stage = Control()
    return control.panel(Commitments(stage), Strategies(stage))


def monitor_panel() -> widgets.Widget:
    stage = Monitor()
    return monitor.panel(stage, Checkpointing(stage))


PANELS = {
    "least": least,
    "1_plan": lambda: plan.panel(Plan()),
    "2_assess": lambda: assess.panel(Assessment()),
    "3_control": strategies_panel,
    "4_optimize": lambda: optimize.panel(Optimize()),
    "5_monitor": monitor_panel,
    "5_monitor alerts": lambda: alerts.panel(Alerts()),
    "7_review": lambda: review.panel(MonthlyReview()),
}


def moved(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    """The controls within a widget that a user can move."""
    if isinstance(widget, controls.RateSlider | widgets.FloatSlider | widgets.IntSlider) or (
        isinstance(widget, widgets.Dropdown | widgets.SelectionSlider | widgets.ToggleButtons | widgets.SelectMultiple)
        and len(widget.options) > 1
    ):
        yield widget
    elif isinstance(widget, widgets.Box):
        for child in widget.children:
            yield from moved(child)


def label(widget: widgets.Widget) -> str:
    return widget.slider.description if isinstance(widget, controls.RateSlider) else widget.description or "view"


def other(widget: widgets.Widget, turn: int):
    """A value that the control does not have now, another one at each turn."""
    if isinstance(widget, widgets.SelectMultiple):
        values = [value for _, value in widget._options_full if value not in widget.value]
        return (values[turn % len(values)],)
    if hasattr(widget, "options"):
        values = [value for _, value in widget._options_full if value != widget.value]
        return values[turn % len(values)]
    low, high = (widget.slider.min / 100, widget.slider.max / 100) if isinstance(widget, controls.RateSlider) else (
        widget.min, widget.max)  # fmt: skip
    between = low + (high - low) * (0.3 + 0.05 * turn)
    return round(between) if isinstance(widget, widgets.IntSlider) else round(between, 4)


def milliseconds(widget: widgets.Widget) -> list[float]:
    """Of moving a control `REPEAT` times and back."""
    first, taken = widget.value, []
    for turn in range(REPEAT):
        begun = time.perf_counter()
        widget.value = other(widget, turn)
        taken.append(1000 * (time.perf_counter() - begun))
    widget.value = first
    return taken


def row(what: str, taken: list[float], base: float, target: float | None) -> None:
    middle = statistics.median(taken)
    verdict = "" if target is None else f"<= {target:g} ms  {'pass' if middle <= target else 'miss'}"
    print(f"{what:<56}{middle:>9.1f}{max(taken):>9.1f}{middle / base:>9.1f} x  {verdict}", flush=True)


def main() -> None:
    """Print a row a control, and one of the simulation."""
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; milliseconds of a change, median of {REPEAT}")
    print(f"{'':<56}{'median':>9}{'worst':>9}{'of least':>11}")
    base = 1.0
    for name, make in PANELS.items():
        begun = time.perf_counter()
        box = make()
        print(f"{name}: first shown after {time.perf_counter() - begun:.1f} s", file=sys.stderr)
        for widget in moved(box):
            taken = milliseconds(widget)
            base = statistics.median(taken) if name == "least" else base
            row(f"{name}: {label(widget)}", taken, base, None if label(widget) in READS else TARGET_MS)
    stage, taken = Plan(draws=10_000), []
    for turn in range(REPEAT):
        draft = stage.draft(demand_growth=0.1 * turn)
        begun = time.perf_counter()
        draft.simulation  # noqa: B018
        taken.append(1000 * (time.perf_counter() - begun))
    row("1_plan: simulation of 10,000 draws", taken, base, SIMULATION_TARGET_MS)


if __name__ == "__main__":
    main()
