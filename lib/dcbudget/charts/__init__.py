"""What is drawn: functions from a frame to an Altair chart whose title states the finding and names the basis."""

import os

import altair as alt
import pandas as pd
import traitlets
from altair.utils import schemapi

from dcbudget import offline

WIDTH = 680
BLUE, ORANGE, GREY, RED, GREEN, LIGHT = "#2f6690", "#d97706", "#8a94a0", "#b42318", "#2e7d4f", "#c9d3dc"
# Okabe and Ito's palette: told apart by colour-blind readers.
PALETTE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#8a94a0"]
# The same for parts of a whole, what is good first and what is empty pale.
STACK = ["#009e73", "#d55e00", "#e69f00", LIGHT, "#56b4e9", "#8a94a0", "#cc79a7"]
# Pixels beyond the longest bar on either side.
ROOM_FOR_LABELS = alt.Scale(padding=50)

# The menu saves a picture; it has no "Open in Vega Editor", which hands the data to a web page.
EMBED = {"renderer": "svg", "actions": {"export": True, "source": False, "compiled": False, "editor": False}}


class Drawing:
    """A chart as SVG, for pages that run no script."""

    def __init__(self, chart: alt.TopLevelMixin):
        self.chart = chart

    def _repr_mimebundle_(self, **_) -> dict:
        import vl_convert

        svg = vl_convert.vegalite_to_svg(self.chart.to_dict())
        return {"image/svg+xml": svg, "text/plain": title_of(self.chart)}


def show(chart: alt.TopLevelMixin):
    """The chart for where it is shown: live in a notebook, as SVG where `DCBUDGET_CHARTS=svg` (a rendered report)."""
    if os.environ.get("DCBUDGET_CHARTS") == "svg":
        return Drawing(chart)
    return live(chart)


class LiveChart(alt.JupyterChart):
    """A chart as a widget; another value of its `chart` is drawn in its place.

    Every drawing function's chart is held against Vega-Lite's schema by tests, so that a redraw need not wait for that.
    """

    @traitlets.observe("chart")
    def _on_change_chart(self, change) -> None:
        self.spec = None if change.new is None else change.new.to_dict(validate=False)


def live(chart: alt.TopLevelMixin) -> LiveChart:
    """The chart as a widget whose `.chart` can be replaced; needs no network."""
    offline.enable()
    return LiveChart(chart, embed_options=EMBED)


def unchecked():
    """A context in which altair makes charts without holding each of their parts against Vega-Lite's schema."""
    return schemapi.debug_mode(False)


def title_of(chart: alt.TopLevelMixin) -> str:
    """A chart's title, its subtitle included."""
    title = chart.to_dict().get("title", "")
    if isinstance(title, dict):
        return " - ".join([title["text"], *([title["subtitle"]] if title.get("subtitle") else [])])
    return title


def trend(actual: pd.DataFrame, budget: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    """Actual by month and category as bars, with the budget as a line.

    Parameters
    ----------
    actual : `month`, `category`, `actual` [money], one row each.
    budget : `month`, `budget` [money]; months without a budget are left out.
    """
    month = alt.X("yearmonth(month):O", title=None, axis=alt.Axis(format="%b %y", labelAngle=-45))
    bars = alt.Chart(actual).mark_bar().encode(
        x=month,
        y=alt.Y("actual:Q", title=None, axis=alt.Axis(format="~s")),
        color=alt.Color("category:N", title="Actual", sort=list(dict.fromkeys(actual["category"])),
                        scale=alt.Scale(range=PALETTE)),
        tooltip=tips("yearmonth(month):T", "category:N", alt.Tooltip("actual:Q", format=",.0f")),
    )  # fmt: skip
    line = alt.Chart(budget).mark_line(
        color="black", strokeWidth=2, point=alt.OverlayMarkDef(color="black", size=18)
    ).encode(x=month, y=alt.Y("budget:Q"))  # fmt: skip
    return titled(bars + line, title, f"{subtitle}; line: budget", 260)


def variance_bars(variances: pd.DataFrame, by: str, title: str, subtitle: str) -> alt.LayerChart:
    """Variance by project or category: over budget to the right, in orange.

    Parameters
    ----------
    variances : `by`, `variance` [money].
    """
    base = alt.Chart(variances).encode(y=alt.Y(f"{by}:N", sort=None, title=None))
    bars = base.mark_bar().encode(
        x=alt.X("variance:Q", title=None, axis=alt.Axis(format="~s"), scale=ROOM_FOR_LABELS),
        color=alt.ColorValue(BLUE, condition={"test": "datum.variance > 0", "value": ORANGE}),
        tooltip=tips(f"{by}:N", alt.Tooltip("budget:Q", format=",.0f"), alt.Tooltip("actual:Q", format=",.0f"),
                     alt.Tooltip("variance:Q", format="+,.0f")),
    )  # fmt: skip
    return titled(bars + labels(base, "variance"), title, subtitle, 26 * max(len(variances), 2))


def movers_bars(movers: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    """Change since the month before: `label`, `change` [money]."""
    base = alt.Chart(movers).encode(y=alt.Y("label:N", sort=None, title=None, axis=alt.Axis(labelLimit=260)))
    bars = base.mark_bar().encode(
        x=alt.X("change:Q", title=None, axis=alt.Axis(format="~s"), scale=ROOM_FOR_LABELS),
        color=alt.ColorValue(BLUE, condition={"test": "datum.change > 0", "value": ORANGE}),
        tooltip=tips("label:N", alt.Tooltip("before:Q", format=",.0f"), alt.Tooltip("now:Q", format=",.0f")),
    )
    return titled(bars + labels(base, "change"), title, subtitle, 26 * max(len(movers), 2))


def stacked_hours(hours: pd.DataFrame, title: str, subtitle: str) -> alt.Chart:
    """GPU-hours by pool: `pool`, `part`, `gpu_hours`; the parts in the order of the frame."""
    parts = list(dict.fromkeys(hours["part"]))
    chart = alt.Chart(hours.assign(order=hours["part"].map(parts.index))).mark_bar().encode(
        y=alt.Y("pool:N", sort=None, title=None),
        x=alt.X("gpu_hours:Q", title="GPU-hours", axis=alt.Axis(format="~s")),
        color=alt.Color("part:N", title=None, legend=alt.Legend(orient="top"),
                        scale=alt.Scale(domain=parts, range=STACK[: len(parts)])),
        order=alt.Order("order:Q"),
        tooltip=tips("pool:N", "part:N", alt.Tooltip("gpu_hours:Q", format=",.0f")),
    )  # fmt: skip
    return titled(chart, title, subtitle, 30 * max(hours["pool"].nunique(), 2))


def occupancy(daily: pd.DataFrame, title: str, subtitle: str) -> alt.Chart:
    """Allocation rate by day and pool: `day`, `pool`, `allocation_rate` (decimal)."""
    chart = alt.Chart(daily).mark_line(strokeWidth=1.5).encode(
        x=alt.X("day:T", title=None),
        y=alt.Y("allocation_rate:Q", title="allocated / capacity", axis=alt.Axis(format=".0%"),
                scale=alt.Scale(domain=[0, 1], clamp=True)),
        color=alt.Color("pool:N", title=None, scale=alt.Scale(range=PALETTE), legend=alt.Legend(orient="top")),
        tooltip=tips("day:T", "pool:N", alt.Tooltip("allocation_rate:Q", format=".0%")),
    )  # fmt: skip
    return titled(chart, title, subtitle, 240)


def waits(waits: pd.DataFrame, title: str, subtitle: str) -> alt.Chart:
    """Queue wait by partition: `partition`, `quantile`, `hours`."""
    chart = alt.Chart(waits).mark_bar().encode(
        y=alt.Y("partition:N", sort=None, title=None),
        yOffset=alt.YOffset("quantile:N"),
        x=alt.X("hours:Q", title="hours"),
        color=alt.Color("quantile:N", title=None, scale=alt.Scale(range=[BLUE, ORANGE]),
                        legend=alt.Legend(orient="top")),
        tooltip=tips("partition:N", "quantile:N", alt.Tooltip("hours:Q", format=",.2f")),
    )  # fmt: skip
    return titled(chart, title, subtitle, 34 * max(waits["partition"].nunique(), 2))


def needs(pools: pd.DataFrame, title: str, subtitle: str) -> alt.Chart:
    """GPUs now and needed by pool: `pool`, `what`, `gpus`."""
    chart = alt.Chart(pools).mark_bar().encode(
        y=alt.Y("pool:N", sort=None, title=None),
        yOffset=alt.YOffset("what:N", sort=["now", "needed"]),
        x=alt.X("gpus:Q", title="GPUs"),
        color=alt.Color("what:N", title=None, scale=alt.Scale(domain=["now", "needed"], range=[LIGHT, BLUE]),
                        legend=alt.Legend(orient="top")),
        tooltip=tips("pool:N", "what:N", alt.Tooltip("gpus:Q", format=",.1f")),
    )  # fmt: skip
    return titled(chart, title, subtitle, 36 * max(pools["pool"].nunique(), 2))


def monthly_lines(frame: pd.DataFrame, value: str, by: str, title: str, subtitle: str, axis: str = "~s") -> alt.Chart:
    """One line a group over months: `month`, `by`, `value`."""
    chart = alt.Chart(frame).mark_line(point=True).encode(
        x=alt.X("yearmonth(month):O", title=None, axis=alt.Axis(format="%b %y", labelAngle=-45)),
        y=alt.Y(f"{value}:Q", title=None, axis=alt.Axis(format=axis)),
        color=alt.Color(f"{by}:N", title=None, scale=alt.Scale(range=PALETTE), legend=alt.Legend(orient="top")),
        tooltip=tips("yearmonth(month):T", f"{by}:N", alt.Tooltip(f"{value}:Q", format=",.2f")),
    )  # fmt: skip
    return titled(chart, title, subtitle, 220)


def labels(base: alt.Chart, value: str) -> alt.Chart:
    """The bars' signed numbers, beyond the end of each bar."""
    negative = f"datum['{value}'] < 0"
    return base.mark_text(
        align=alt.expr(f"{negative} ? 'right' : 'left'"), dx=alt.expr(f"{negative} ? -4 : 4"), color="#333"
    ).encode(x=alt.X(f"{value}:Q"), text=alt.Text(f"{value}:Q", format="+,.0f"))


def tips(*columns: str | alt.Tooltip) -> list[alt.Tooltip]:
    """Columns as a mark's tooltip shows them; altair itself looks through its classes anew for each bare text."""
    return [alt.Tooltip(column) if isinstance(column, str) else column for column in columns]


def titled(chart, title: str, subtitle: str, height: int):
    """The chart, which is new, in the house's width, with its finding above and its basis below that."""
    chart.width, chart.height = WIDTH, height
    chart.title = alt.TitleParams(title, subtitle=subtitle, anchor="start", offset=8)
    chart.config = alt.Config(
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(labelFontSize=11, grid=True, gridColor="#eef1f4"),
        title=alt.TitleConfig(fontSize=14, subtitleColor="#5b6670", subtitleFontSize=11),
    )
    return chart
