"""What 6_adjust draws: the variance bridge, chances of overrun, and what proposed moves of money change."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from dcbudget.charts import BLUE, GREY, LIGHT, ORANGE, tips, titled


def waterfall(
    start: str, before: float, steps: Sequence[tuple[str, float]], end: str, title: str, subtitle: str
) -> alt.LayerChart:
    """The way from one amount to another, a bar an effect.

    Parameters
    ----------
    start, before : name and amount of the first bar [money].
    steps : name and change of every effect, in order [money].
    end : name of the last bar, which stands for the sum.
    """
    rows, level = [(start, 0.0, before, before, "whole")], before
    for name, change in steps:
        rows.append((name, level, level + change, change, "up" if change > 0 else "down"))
        level += change
    rows.append((end, 0.0, level, level, "whole"))
    frame = pd.DataFrame(rows, columns=["step", "from", "to", "change", "kind"])
    frame["top"] = frame[["from", "to"]].max(axis=1)
    frame["label"] = [f"{row.change:,.0f}" if row.kind == "whole" else f"{row.change:+,.0f}" for row in
                      frame.itertuples()]  # fmt: skip
    least, most = frame["to"].min(), frame["top"].max()
    # Effects are small beside what they change: the axis begins where they can be told apart, and says so.
    floor = max(least - 0.5 * (most - least), 0.0) if least > 0.5 * most > 0 else 0.0
    step = 10.0 ** np.floor(np.log10(max(most - floor, 1.0)))
    floor = float(np.floor(floor / step) * step)
    scale = alt.Scale(domain=[floor, most + 0.12 * (most - floor)], clamp=True, nice=False)
    x = alt.X("step:N", sort=None, title=None, axis=alt.Axis(labelAngle=0, labelLimit=110))
    bars = alt.Chart(frame).mark_bar(size=44).encode(
        x=x,
        y=alt.Y("from:Q", title=None, scale=scale, axis=alt.Axis(format="~s")),
        y2=alt.Y2("to:Q"),
        color=alt.Color("kind:N", legend=None,
                        scale=alt.Scale(domain=["whole", "up", "down"], range=[GREY, ORANGE, BLUE])),
        tooltip=tips("step:N", alt.Tooltip("change:Q", format="+,.2f"), alt.Tooltip("to:Q", format=",.2f")),
    )  # fmt: skip
    texts = (
        alt.Chart(frame)
        .mark_text(dy=-7, color="#333")
        .encode(x=x, y=alt.Y("top:Q", scale=scale), text=alt.Text("label:N"))
    )
    cut = f"; the axis begins at {floor:,.0f}" if floor else ""
    return titled(bars + texts, title, f"{subtitle}{cut}", 260)


def chances(frame: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    """Chance of overrun by project, now and after the moves: `project`, `when`, `chance` (decimal)."""
    y = alt.Y("project:N", sort=list(dict.fromkeys(frame["project"])), title=None)
    offset = alt.YOffset("when:N", sort=["now", "after the moves"])
    bars = alt.Chart(frame).mark_bar().encode(
        y=y, yOffset=offset,
        x=alt.X("chance:Q", title="chance of overrun", scale=alt.Scale(domain=[0, 1.08]),
                axis=alt.Axis(format=".0%", values=[0, 0.2, 0.4, 0.6, 0.8, 1])),
        color=alt.Color("when:N", title=None, legend=alt.Legend(orient="top"),
                        scale=alt.Scale(domain=["now", "after the moves"], range=[LIGHT, BLUE])),
        tooltip=tips("project:N", "when:N", alt.Tooltip("chance:Q", format=".1%")),
    )  # fmt: skip
    texts = alt.Chart(frame).mark_text(align="left", dx=4, color="#333").encode(
        y=y, yOffset=offset, x=alt.X("chance:Q"), text=alt.Text("chance:Q", format=".0%"),
    )  # fmt: skip
    return titled(bars + texts, title, subtitle, 34 * max(frame["project"].nunique(), 2))
