"""The one family of controls that every panel is made of: sliders and choices that redraw, and errors as sentences."""

from collections.abc import Callable
from html import escape
from math import isnan

import altair as alt
import ipywidgets as widgets
import traitlets

from dcbudget import charts
from dcbudget.errors import DcbudgetError

LABEL = {"description_width": "160px"}
WIDE = widgets.Layout(width="460px")


class RateSlider(widgets.HBox):
    """A slider over a decimal that is shown, moved and typed in per cent.

    A FloatSlider with `readout_format=".0%"` shows 80% but reads a typed 90% as 90, and so as its maximum.

    Attributes
    ----------
    value : the decimal, kept within [low, high].
    """

    value = traitlets.Float()

    def __init__(self, label: str, value: float, low: float, high: float, step: float):
        low, high, step, percent = (round(100 * number, 6) for number in (low, high, step, value))
        self.slider = widgets.FloatSlider(
            value=percent, min=low, max=high, step=_step_that_reaches(percent, low, step), description=f"{label}, %",
            readout_format=".1f", style=LABEL, layout=WIDE,
        )  # fmt: skip
        super().__init__([self.slider])
        self.value = self._decimal()
        self.slider.observe(lambda _: self.set_trait("value", self._decimal()), names="value")
        self.observe(self._move, names="value")

    @traitlets.validate("value")
    def _within(self, proposal) -> float:
        return min(max(proposal["value"], self.slider.min / 100), self.slider.max / 100)

    def _move(self, _) -> None:
        # An answer to what the browser has just sent would throw the slider back under a key that is held down.
        if self.value != self._decimal():
            self.slider.value = round(100 * self.value, 6)

    def _decimal(self) -> float:
        return round(self.slider.value / 100, 8)


def _step_that_reaches(value: float, low: float, step: float) -> float:
    """The coarsest step from `low` that hits the value; the browser moves a value between steps to the nearer one."""
    finer = (size for size in (step, 1.0, 0.5, 0.1, 0.01) if size <= step)
    return next((size for size in finer if abs((value - low) / size - round((value - low) / size)) < 1e-6), 0.001)


def rate_slider(label: str, value: float, low: float, high: float, step: float = 0.01) -> RateSlider:
    """A slider over a decimal that is shown in per cent; its range is wide enough for the first value."""
    return RateSlider(label, *_wide_enough(value, low, high), step)


def number_slider(
    label: str, value: float, low: float, high: float, step: float, form: str = ",.2f"
) -> widgets.FloatSlider:
    """A slider over a plain number in the unit that the label tells; its range is wide enough for the first value."""
    value, low, high = _wide_enough(value, low, high)
    return widgets.FloatSlider(
        value=value, min=low, max=high, step=_step_that_reaches(value, low, step), description=label,
        readout_format=form, style=LABEL, layout=WIDE,
    )  # fmt: skip


def _wide_enough(value: float, low: float, high: float) -> tuple[float, float, float]:
    """The value in a range that holds it; where it is not known, the least of the range."""
    if isnan(value):
        value = low
    return value, min(low, value), max(high, value)


def whole_slider(label: str, value: int, low: int, high: int, step: int = 1) -> widgets.IntSlider:
    """A slider over whole numbers."""
    return widgets.IntSlider(value=value, min=low, max=high, step=step, description=label, style=LABEL, layout=WIDE)


def pick_slider(label: str, options: list, value) -> widgets.SelectionSlider:
    """A slider over given values, such as the powers of two."""
    return widgets.SelectionSlider(options=options, value=value, description=label, style=LABEL, layout=WIDE)


def beside(control: widgets.Widget, remark: str) -> widgets.HBox:
    """A control with a sentence at its right, such as where its first value comes from."""
    control.layout.flex = "0 0 auto"  # a long sentence wraps and leaves the control its width
    style = "color:#5b6670;font-size:12px;line-height:16px;padding:6px 0"
    return widgets.HBox([control, widgets.HTML(f'<div style="{style}">{escape(remark)}</div>')])


def choice(label: str, options: list[str], value: str | None) -> widgets.Dropdown:
    """A choice among texts; a first value that is not among them is offered too, for the stage to say so."""
    if value is not None and value not in options:
        options = [value, *options]
    return widgets.Dropdown(options=options, value=value, description=label, style=LABEL, layout=WIDE)


class View:
    """Where a panel shows its figures, chart and table; an error takes their place until the next good value."""

    def __init__(self) -> None:
        self.headline = widgets.HTML()
        self.table = widgets.HTML()
        self.message = widgets.HTML()
        self.chart: alt.JupyterChart | None = None
        # as wide as the chart, so that the menu at its corner is not cut off
        self.chart_box = widgets.VBox([], layout=widgets.Layout(align_items="flex-start"))
        self.box = widgets.VBox([self.message, self.headline, self.chart_box, self.table])

    def show(self, headline=None, chart=None, table=None) -> None:
        """Show new results."""
        self.message.value = ""
        self.headline.value = headline._repr_html_() if headline is not None else ""
        self.table.value = table._repr_html_() if table is not None else ""
        if chart is None:
            self.chart_box.children = ()
        elif self.chart is None:
            self.chart = charts.live(chart)
            self.chart_box.children = (self.chart,)
        else:
            self.chart.chart = chart
            self.chart_box.children = (self.chart,)

    def fail(self, error: Exception | str) -> None:
        """Show a sentence in place of the results."""
        self.message.value = f'<p role="alert" style="color:#b42318">{escape(str(error))}</p>'
        self.headline.value = self.table.value = ""
        self.chart_box.children = ()


def button(label: str, view: View, action: Callable[[], str]) -> widgets.VBox:
    """A button that acts, and tells under itself what was done, or why it could not be."""
    press = widgets.Button(description=label, layout=widgets.Layout(width="auto"))
    done = widgets.HTML()

    def clicked(_) -> None:
        done.value = ""
        try:
            done.value = f'<p role="status">{escape(action())}</p>'
        except DcbudgetError as error:
            view.fail(error)

    press.on_click(clicked)
    return widgets.VBox([press, done])


def tabs(views: dict[str, View]) -> widgets.Tab:
    """Views under tabs, by title."""
    return widgets.Tab([view.box for view in views.values()], titles=list(views))


def live(
    controls: list[widgets.Widget],
    view: View | dict[str, View],
    redraw: Callable[[], None],
    shown: list[widgets.Widget] | None = None,
) -> widgets.VBox:
    """A panel: its controls over its view, or over several under tabs; every change redraws.

    The sentence of an error goes as the next redraw begins, under every tab, so that it never stands beside results.

    `shown` stands above the view in place of the controls, where these are set in boxes or have remarks beside them.
    """
    views = view if isinstance(view, dict) else {"": view}

    def fail(error: Exception | str) -> None:
        for each in views.values():
            each.fail(error)

    def guarded(_=None) -> None:
        for each in views.values():
            each.message.value = ""
        try:
            with charts.unchecked():
                redraw()
        except DcbudgetError as error:
            fail(error)
        except Exception as error:
            # what was drawn before would pass for the answer to what the controls have now
            fail(f"these values cannot be drawn ({type(error).__name__}: {error})")
            raise

    for control in controls:
        control.observe(guarded, names="value")
    guarded()
    return widgets.VBox([*(controls if shown is None else shown), tabs(view) if isinstance(view, dict) else view.box])
