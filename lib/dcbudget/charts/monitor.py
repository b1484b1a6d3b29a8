"""What 5_monitor draws: curves of runs, where their GPU-hours went, checkpoint intervals, a month beside the last."""

import altair as alt
import pandas as pd

from dcbudget.charts import BLUE, GREEN, LIGHT, ORANGE, PALETTE, STACK, tips, titled


def curves(
    frame: pd.DataFrame,
    x: str,
    y: str,
    title: str,
    subtitle: str,
    *,
    form: str = "~g",
    logarithmic: bool = False,
    order: list[str] | None = None,
) -> alt.LayerChart:
    """A metric of several runs, smoothed, with what was logged pale behind it.

    Parameters
    ----------
    frame : `run`, `number` (of the attempt), `x`, `value`, `smooth`.
    x, y : titles of the axes; form : of the numbers of y.
    order : all runs that are looked at, so that each has one colour whatever is drawn of it.
    """
    names = list(dict.fromkeys(frame["run"]))
    colours = [PALETTE[(order or names).index(name) % len(PALETTE)] for name in names]
    colour = alt.Color("run:N", title=None, scale=alt.Scale(domain=names, range=colours),
                       legend=alt.Legend(orient="top", columns=4, labelLimit=200, symbolOpacity=1,
                                         symbolStrokeWidth=2))  # fmt: skip
    scale = alt.Scale(type="log") if logarithmic else alt.Scale(zero=False)
    base = alt.Chart(frame).encode(
        x=alt.X("x:Q", title=x, axis=alt.Axis(format="~s", tickCount=8)),
        color=colour,
        detail=alt.Detail("number:N"),
        tooltip=tips("run:N", alt.Tooltip("number:Q", title="attempt"), alt.Tooltip("x:Q", title=x, format=",.4~g"),
                     alt.Tooltip("value:Q", title=y, format=".4~g")),
    )  # fmt: skip
    logged = base.mark_line(strokeWidth=1, opacity=0.25).encode(
        y=alt.Y("value:Q", title=y, scale=scale, axis=alt.Axis(format=form))
    )
    smooth = base.mark_line(strokeWidth=2).encode(y=alt.Y("smooth:Q", title=y, scale=scale))
    return titled(logged + smooth, title, subtitle, 280)


def time_parts(frame: pd.DataFrame, title: str, subtitle: str) -> alt.Chart:
    """GPU-hours of runs by what they were: `run`, `part`, `gpu_hours`; parts in the order of the frame."""
    parts = list(dict.fromkeys(frame["part"]))
    chart = alt.Chart(frame.assign(order=frame["part"].map(parts.index))).mark_bar().encode(
        y=alt.Y("run:N", sort=None, title=None, axis=alt.Axis(labelLimit=200)),
        x=alt.X("gpu_hours:Q", title="GPU-hours", axis=alt.Axis(format="~s", tickCount=8)),
        color=alt.Color("part:N", title=None, legend=alt.Legend(orient="top"),
                        scale=alt.Scale(domain=parts, range=STACK[: len(parts)])),
        order=alt.Order("order:Q"),
        tooltip=tips("run:N", "part:N", alt.Tooltip("gpu_hours:Q", format=",.1f")),
    )  # fmt: skip
    return titled(chart, title, subtitle, 22 * max(frame["run"].nunique(), 2))


def overhead(curve: pd.DataFrame, marks: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    """What failures cost by checkpoint interval.

    Parameters
    ----------
    curve : `minutes`, `overhead` (decimal, of the time of the work alone).
    marks : `minutes`, `overhead`, `mark` (its name), the points of it that are named.
    """
    names = list(marks["mark"])
    axis = alt.Axis(format="~g", values=[0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000])
    x = alt.X("minutes:Q", title="minutes between checkpoints", scale=alt.Scale(type="log"), axis=axis)
    line = alt.Chart(curve).mark_line(color=BLUE, strokeWidth=2).encode(
        x=x,
        y=alt.Y("overhead:Q", title="added to the work alone", axis=alt.Axis(format=".0%")),
        tooltip=[alt.Tooltip("minutes:Q", format=",.1f"), alt.Tooltip("overhead:Q", format=".1%")],
    )  # fmt: skip
    points = alt.Chart(marks).mark_point(filled=True, size=110, opacity=1).encode(
        x=alt.X("minutes:Q"),
        y=alt.Y("overhead:Q"),
        color=alt.Color("mark:N", title=None, legend=alt.Legend(orient="top"),
                        scale=alt.Scale(domain=names, range=[ORANGE, *([PALETTE[3]] * (len(names) - 2)), GREEN])),
        tooltip=tips("mark:N", alt.Tooltip("minutes:Q", format=",.1f"), alt.Tooltip("overhead:Q", format=".1%")),
    )  # fmt: skip
    return titled(line + points, title, subtitle, 220)


def beside_last(frame: pd.DataFrame, title: str, subtitle: str) -> alt.Chart:
    """A share by group, last month and this: `group`, `month`, `share` (decimal); months in the frame's order."""
    months = list(dict.fromkeys(frame["month"]))
    chart = alt.Chart(frame).mark_bar().encode(
        y=alt.Y("group:N", sort=None, title=None),
        yOffset=alt.YOffset("month:N", sort=months),
        x=alt.X("share:Q", title=None, axis=alt.Axis(format=".0%", tickCount=8)),
        color=alt.Color("month:N", title=None, legend=alt.Legend(orient="top"),
                        scale=alt.Scale(domain=months, range=[LIGHT, BLUE])),
        tooltip=tips("group:N", "month:N", alt.Tooltip("share:Q", format=".1%")),
    )  # fmt: skip
    return titled(chart, title, subtitle, 34 * max(frame["group"].nunique(), 2))
