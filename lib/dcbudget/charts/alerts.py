"""Chart of alerts: daily spend with its band, and the days that are out of the ordinary."""

import altair as alt
import pandas as pd

from dcbudget.charts import BLUE, GREY, LIGHT, RED, tips, titled


def spend_band(days: pd.DataFrame, marked: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    """Spend by day as a line over the band that was expected, with the days of alerts as points.

    Parameters
    ----------
    days : `day`, `actual`, `expected`, `lower`, `upper` [money]; the last three null where nothing could be judged.
    marked : the same of the days of alerts, with `label`, what is written at the day (may be empty); may have no rows.
    """
    day = alt.X("day:T", title=None, axis=alt.Axis(labelBound=True))
    money = [alt.Tooltip(f"{name}:Q", format=",.0f") for name in ("actual", "expected", "lower", "upper")]
    base = alt.Chart(days).encode(x=day)
    band = base.mark_area(color=LIGHT, opacity=0.6, invalid="break-paths-filter-domains").encode(
        y=alt.Y("lower:Q", title=None, axis=alt.Axis(format="~s")), y2=alt.Y2("upper:Q")
    )
    expected = base.mark_line(
        color=GREY, strokeWidth=1, strokeDash=[4, 3], invalid="break-paths-filter-domains"
    ).encode(y=alt.Y("expected:Q"))  # fmt: skip
    actual = base.mark_line(color=BLUE, strokeWidth=1.5).encode(y=alt.Y("actual:Q"), tooltip=tips("day:T", *money))
    alerts = alt.Chart(marked).encode(x=day, y=alt.Y("actual:Q"))
    points = alerts.mark_point(color=RED, size=40, filled=True).encode(tooltip=tips("day:T", *money))
    labels = alerts.mark_text(align="left", dx=6, dy=-8, color=RED).encode(text=alt.Text("label:N"))
    layers = alt.layer(band, expected, actual, points, labels)
    drawn = titled(layers, title, f"{subtitle}; band: as expected, points: alerts", 260)
    return drawn.properties(padding={"left": 5, "right": 25, "top": 5, "bottom": 5})  # room for the last day's label
