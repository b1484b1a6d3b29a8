"""The one family of controls that every panel is made of: sliders and choices that redraw, and errors as sentences."""

from collections.abc import Callable
from html import escape

import altair as alt
import ipywidgets as widgets

from dcbudget.errors import DcbudgetError

LABEL = {"description_width": "160px"}
WIDE = widgets.Layout(width="460px")


def rate_slider(label: str, value: float, low: float, high: float, step: float = 0.01) -> widgets.FloatSlider:
    """A slider over a decimal that is shown in per cent."""
    return widgets.FloatSlider(
        value=value, min=low, max=high, step=step, description=label, readout_format=".0%", style=LABEL, layout=WIDE
    )


def choice(label: str, options: list[str], value: str) -> widgets.Dropdown:
    return widgets.Dropdown(options=options, value=value, description=label, style=LABEL, layout=WIDE)


class View:
    """Where a panel shows its figures, its chart and its table; an error takes their place until the next good value."""

    def __init__(self) -> None:
        self.headline = widgets.HTML()
        self.table = widgets.HTML()
        self.message = widgets.HTML()
        self.chart: alt.JupyterChart | None = None
        self.chart_box = widgets.VBox([])
        self.box = widgets.VBox([self.message, self.headline, self.chart_box, self.table])

    def show(self, headline=None, chart=None, table=None) -> None:
        """Show new results."""
        self.message.value = ""
        self.headline.value = headline._repr_html_() if headline is not None else ""
        self.table.value = table._repr_html_() if table is not None else ""
        if chart is None:
            self.chart_box.children = ()
        elif self.chart is None:
            alt.JupyterChart.enable_offline(True)
            self.chart = alt.JupyterChart(chart)
            self.chart_box.children = (self.chart,)
        else:
            self.chart.chart = chart
            self.chart_box.children = (self.chart,)

    def fail(self, error: Exception) -> None:
        """Show a sentence in place of the results."""
        self.message.value = f'<p role="alert" style="color:#b42318">{escape(str(error))}</p>'
        self.headline.value = self.table.value = ""
        self.chart_box.children = ()


def live(controls: list[widgets.Widget], view: View, redraw: Callable[[], None]) -> widgets.VBox:
    """A panel: its controls over its view; every change redraws."""

    def guarded(_=None) -> None:
        try:
            redraw()
        except DcbudgetError as error:
            view.fail(error)

    for control in controls:
        control.observe(guarded, names="value")
    guarded()
    return widgets.VBox([*controls, view.box])
