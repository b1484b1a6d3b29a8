"""What 1_plan draws: the months of a budget with their range, what moves the year, and who spends what."""

import altair as alt
import pandas as pd

from dcbudget.charts import BLUE, LIGHT, ORANGE, PALETTE, tips, titled

MONTH = alt.Axis(format="%b %y", labelAngle=-45)


def fan(months: pd.DataFrame, lines: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    """Every month's range with lines over it.

    Parameters
    ----------
    months : `month`, `p10`, `p90` [money].
    lines : `month`, `line` (its name), `amount` [money]; the last name is the budget's, drawn in black.
    """
    names = list(dict.fromkeys(lines["line"]))
    colours = [*(BLUE for _ in names[:-1]), "black"][-len(names) :]
    dashes = [*([1, 0], [5, 3], [2, 2])[: max(len(names) - 1, 0)], [1, 0]][-len(names) :]
    x = alt.X("yearmonth(month):O", title=None, axis=MONTH)
    band = alt.Chart(months).mark_area(color=BLUE, opacity=0.2).encode(
        x=x,
        y=alt.Y("p10:Q", title=None, axis=alt.Axis(format="~s"), scale=alt.Scale(zero=False)),
        y2=alt.Y2("p90:Q"),
        tooltip=tips("yearmonth(month):T", alt.Tooltip("p10:Q", format=",.0f"), alt.Tooltip("p90:Q", format=",.0f")),
    )  # fmt: skip
    over = alt.Chart(lines).mark_line(strokeWidth=2).encode(
        x=x,
        y=alt.Y("amount:Q"),
        color=alt.Color("line:N", title=None, scale=alt.Scale(domain=names, range=colours),
                        legend=alt.Legend(orient="top", labelLimit=300)),
        strokeDash=alt.StrokeDash("line:N", title=None, scale=alt.Scale(domain=names, range=dashes)),
        tooltip=tips("yearmonth(month):T", "line:N", alt.Tooltip("amount:Q", format=",.0f")),
    )  # fmt: skip
    return titled(band + over, title, f"{subtitle}; band: P10 to P90", 250)


def tornado(risks: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    """What each risk moves, the widest first.

    Parameters
    ----------
    risks : `risk`, `low`, `high` (change of the year's money at the risk's P10 and P90), largest first.
    """
    y = alt.Y("risk:N", sort=None, title=None, axis=alt.Axis(labelLimit=220))
    frame = risks.melt("risk", ["low", "high"], "at", "change").replace({"at": {"low": "P10", "high": "P90"}})
    bars = alt.Chart(frame).mark_bar().encode(
        y=y,
        x=alt.X("change:Q", title=None, axis=alt.Axis(format="~s")),
        color=alt.Color("at:N", title="at its", scale=alt.Scale(domain=["P10", "P90"], range=[BLUE, ORANGE]),
                        legend=alt.Legend(orient="top")),
        tooltip=tips("risk:N", "at:N", alt.Tooltip("change:Q", format="+,.0f")),
    )  # fmt: skip
    rule = alt.Chart(pd.DataFrame({"none": [0.0]})).mark_rule(color="black").encode(x=alt.X("none:Q"))
    return titled(bars + rule, title, subtitle, 24 * max(len(risks), 2))


def by_project(lines: pd.DataFrame, title: str, subtitle: str) -> alt.Chart:
    """Money by month, stacked by project: `month`, `project`, `amount`; projects in the order of the frame."""
    projects = list(dict.fromkeys(lines["project"]))
    chart = alt.Chart(lines.assign(order=lines["project"].map(projects.index))).mark_bar().encode(
        x=alt.X("yearmonth(month):O", title=None, axis=MONTH),
        y=alt.Y("amount:Q", title=None, axis=alt.Axis(format="~s")),
        color=alt.Color("project:N", title=None, sort=projects,
                        scale=alt.Scale(domain=projects, range=[*PALETTE, LIGHT])),
        order=alt.Order("order:Q"),
        tooltip=tips("yearmonth(month):T", "project:N", alt.Tooltip("amount:Q", format=",.0f")),
    )  # fmt: skip
    return titled(chart, title, subtitle, 250)


def supply(hours: pd.DataFrame, title: str, subtitle: str) -> alt.Chart:
    """Where the GPU-hours come from, month by month: `month`, `source`, `gpu_hours`; sources in the frame's order."""
    sources = list(dict.fromkeys(hours["source"]))
    chart = alt.Chart(hours.assign(order=hours["source"].map(sources.index))).mark_area().encode(
        x=alt.X("yearmonth(month):T", title=None, axis=alt.Axis(format="%b %y", labelAngle=-45)),
        y=alt.Y("gpu_hours:Q", title="GPU-hours", axis=alt.Axis(format="~s")),
        color=alt.Color("source:N", title=None, scale=alt.Scale(domain=sources, range=PALETTE)),
        order=alt.Order("order:Q"),
        tooltip=tips("yearmonth(month):T", "source:N", alt.Tooltip("gpu_hours:Q", format=",.0f")),
    )  # fmt: skip
    return titled(chart, title, subtitle, 220)
