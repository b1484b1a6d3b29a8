"""Charts of 4_optimize: waits by policy and project, a week of a pool, what capacity and plans are worth."""

import altair as alt
import pandas as pd

from dcbudget.charts import BLUE, GREEN, GREY, LIGHT, ORANGE, PALETTE, tips, titled


def policy_waits(policies: pd.DataFrame, chosen: str, title: str, subtitle: str) -> alt.LayerChart:
    """Mean wait by policy, the chosen one in blue: `policy`, `mean_wait_hours`, in the frame's order."""
    frame = policies[["policy", "mean_wait_hours"]].assign(chosen=policies["policy"] == chosen)
    # room for the numbers at the bars' ends
    most = 1.08 * max(frame["mean_wait_hours"].max(skipna=True), 1e-3) if len(frame) else 1.0
    base = alt.Chart(frame).encode(
        y=alt.Y("policy:N", sort=None, title=None, axis=alt.Axis(labelLimit=220)),
        x=alt.X("mean_wait_hours:Q", title="hours", scale=alt.Scale(domain=[0, most])),
    )
    bars = base.mark_bar().encode(
        color=alt.Color("chosen:N", legend=None, scale=alt.Scale(domain=[True, False], range=[BLUE, LIGHT])),
        tooltip=tips("policy:N", alt.Tooltip("mean_wait_hours:Q", format=",.2f")),
    )
    numbers = base.mark_text(align="left", dx=4, color="#333").encode(text=alt.Text("mean_wait_hours:Q", format=",.2f"))
    return titled(bars + numbers, title, subtitle, 26 * max(len(frame), 2))


def before_after(waits: pd.DataFrame, title: str, subtitle: str) -> alt.Chart:
    """Mean wait by group, now and then: `group`, `when` (now or then), `hours`; groups in the frame's order."""
    chart = alt.Chart(waits).mark_bar().encode(
        y=alt.Y("group:N", sort=None, title=None, axis=alt.Axis(labelLimit=220)),
        yOffset=alt.YOffset("when:N", sort=["now", "then"]),
        x=alt.X("hours:Q", title="hours"),
        color=alt.Color("when:N", title=None, scale=alt.Scale(domain=["now", "then"], range=[LIGHT, BLUE]),
                        legend=alt.Legend(orient="top")),
        tooltip=tips("group:N", "when:N", alt.Tooltip("hours:Q", format=",.2f")),
    )  # fmt: skip
    return titled(chart, title, subtitle, 34 * max(waits["group"].nunique(), 2))


def week(hourly: pd.DataFrame, title: str, subtitle: str) -> alt.Chart:
    """GPUs in use with those asked for by waiting jobs above them: `hour`, `when`, `what`, `gpus`; a row a `when`."""
    chart = alt.Chart(hourly.assign(order=hourly["what"] == "waiting")).mark_area(interpolate="step-after").encode(
        x=alt.X("hour:T", title=None, axis=alt.Axis(format="%a %d", tickCount="day")),
        y=alt.Y("gpus:Q", title="GPUs", axis=alt.Axis(format=",d")),
        color=alt.Color("what:N", title=None, legend=alt.Legend(orient="top"),
                        scale=alt.Scale(domain=["in use", "waiting"], range=[BLUE, ORANGE])),
        order=alt.Order("order:Q"),
        row=alt.Row("when:N", sort=None, title=None, header=alt.Header(labelOrient="top", labelAnchor="start")),
        tooltip=tips("hour:T", "what:N", alt.Tooltip("gpus:Q", format=",.0f")),
    )  # fmt: skip
    return titled(chart, title, subtitle, 130)


def capacity(
    money: pd.DataFrame,
    marks: pd.DataFrame,
    most: float,
    title: str,
    subtitle: str,
    x: str = "gpus",
    axis: str = "GPUs",
) -> alt.LayerChart:
    """Money by what there is of something, in stacked parts; beyond `most` it is cut off.

    Parameters
    ----------
    money : `x`, `part`, `money`; the parts in the frame's order.
    marks : `x`, `what`: cheapest and today.
    """  # fmt: skip
    parts = list(dict.fromkeys(money["part"]))
    across = alt.X(f"{x}:Q", title=axis, scale=alt.Scale(zero=False))
    scale = alt.Scale(domain=[0, most], clamp=True) if most > 0 else alt.Undefined
    areas = alt.Chart(money.assign(order=money["part"].map(parts.index))).mark_area(clip=True).encode(
        x=across,
        y=alt.Y("money:Q", title=None, axis=alt.Axis(format="~s"), scale=scale),
        color=alt.Color("part:N", title=None, legend=alt.Legend(orient="top"),
                        scale=alt.Scale(domain=parts, range=[PALETTE[0], PALETTE[1], PALETTE[3]])),
        order=alt.Order("order:Q"),
        tooltip=tips(alt.Tooltip(f"{x}:Q", format=",.0f"), "part:N", alt.Tooltip("money:Q", format=",.0f")),
    )  # fmt: skip
    rules = alt.Chart(marks).mark_rule(strokeWidth=2).encode(
        x=across,
        color=alt.Color("what:N", title=None, scale=alt.Scale(domain=["cheapest", "today"], range=[GREEN, GREY]),
                        legend=alt.Legend(orient="top")),
        strokeDash=alt.StrokeDash("what:N", legend=None, sort=["cheapest", "today"]),
        tooltip=tips("what:N", alt.Tooltip(f"{x}:Q", format=",.0f")),
    )  # fmt: skip
    return titled((areas + rules).resolve_scale(color="independent"), title, subtitle, 260)


def energy(hourly: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    """Energy by hour, before and after, over the price: `hour`, `when`, `kwh_moved`, `price_per_kwh`."""
    names = list(dict.fromkeys(hourly["when"]))
    x = alt.X("hour:T", title=None, axis=alt.Axis(format="%a %d", tickCount="day"))
    prices = hourly.drop_duplicates("hour")
    shade = alt.Chart(prices).mark_bar(color=LIGHT, opacity=0.5).encode(
        x=x,
        y=alt.Y("price_per_kwh:Q", title="price of a kWh", axis=alt.Axis(orient="right", format=".2f", grid=False)),
        tooltip=tips("hour:T", alt.Tooltip("price_per_kwh:Q", format=".3f")),
    )  # fmt: skip
    lines = alt.Chart(hourly).mark_line(interpolate="step-after", strokeWidth=2).encode(
        x=x,
        y=alt.Y("kwh_moved:Q", title="kWh", axis=alt.Axis(format="~s")),
        color=alt.Color("when:N", title=None, legend=alt.Legend(orient="top"),
                        scale=alt.Scale(domain=names, range=[ORANGE, BLUE])),
        tooltip=tips("hour:T", "when:N", alt.Tooltip("kwh_moved:Q", format=",.0f")),
    )  # fmt: skip
    return titled((shade + lines).resolve_scale(y="independent"), title, subtitle, 240)
