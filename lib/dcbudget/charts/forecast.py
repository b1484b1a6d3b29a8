"""What is drawn of forecasts: months to come with their range, where projects land, and how wrong methods were."""

import altair as alt
import pandas as pd

from dcbudget.charts import BLUE, GREY, ORANGE, PALETTE, tips, titled

MONTH = alt.Axis(format="%b %y", labelAngle=-45)


def fan(months: pd.DataFrame, lines: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    """Months to come with their intervals of 50, 80 and 95 %, beside what was spent and budgeted.

    Parameters
    ----------
    months : `month`, `lower_50`, `upper_50`, ... `upper_95` [money], one row a month to come.
    lines : `month`, `line` (Actual, Forecast, Run rate, Budget), `amount` [money].
    """
    styles = {"Actual": ("black", [1, 0]), "Forecast": (BLUE, [1, 0]), "Run rate": (GREY, [4, 3]),
              "Budget": (ORANGE, [7, 3])}  # fmt: skip
    names = [name for name in styles if name in set(lines["line"])]
    x = alt.X("yearmonth(month):O", title=None, axis=MONTH)
    bands = [
        alt.Chart(months).mark_area(color=BLUE, opacity=0.16).encode(
            x=x,
            y=alt.Y(f"lower_{level}:Q", title=None, axis=alt.Axis(format="~s"), scale=alt.Scale(zero=False)),
            y2=alt.Y2(f"upper_{level}:Q"),
        )
        for level in (95, 80, 50)
    ]  # fmt: skip
    over = alt.Chart(lines).mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=14)).encode(
        x=x,
        y=alt.Y("amount:Q", scale=alt.Scale(zero=False)),
        color=alt.Color("line:N", title=None, sort=names, legend=alt.Legend(orient="top"),
                        scale=alt.Scale(domain=names, range=[styles[name][0] for name in names])),
        strokeDash=alt.StrokeDash("line:N", title=None, sort=names,
                                  scale=alt.Scale(domain=names, range=[styles[name][1] for name in names])),
        tooltip=tips("yearmonth(month):T", "line:N", alt.Tooltip("amount:Q", format=",.0f")),
    )  # fmt: skip
    return titled(alt.layer(*bands, over), title, f"{subtitle}; bands: 50, 80 and 95 %", 260)


def days_ahead(days: pd.DataFrame, actual: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    """Days to come with their intervals of 50, 80 and 95 %, after those that are known.

    Parameters
    ----------
    days : `day`, `p50`, `lower_50`, `upper_50`, ... `upper_95` [money].
    actual : `day`, `amount` [money].
    """
    x = alt.X("day:T", title=None, axis=alt.Axis(format="%b %y", labelBound=True))
    scale = alt.Scale(zero=False)
    ahead = alt.Chart(days).encode(x=x)
    bands = [
        ahead.mark_area(color=BLUE, opacity=0.16).encode(
            y=alt.Y(f"lower_{level}:Q", title=None, axis=alt.Axis(format="~s"), scale=scale),
            y2=alt.Y2(f"upper_{level}:Q"),
        )
        for level in (95, 80, 50)
    ]  # fmt: skip
    told = [alt.Tooltip(f"{name}:Q", format=",.0f") for name in ("p50", "lower_80", "upper_80")]
    middle = ahead.mark_line(color=BLUE, strokeWidth=1.5).encode(y=alt.Y("p50:Q", scale=scale),
                                                                 tooltip=tips("day:T", *told))  # fmt: skip
    known = alt.Chart(actual).mark_line(color="black", strokeWidth=1.2).encode(
        x=x, y=alt.Y("amount:Q", scale=scale), tooltip=tips("day:T", alt.Tooltip("amount:Q", format=",.0f"))
    )  # fmt: skip
    words = f"{subtitle}; black: actual, blue: forecast, bands: 50, 80 and 95 % of single days"
    return titled(alt.layer(*bands, middle, known), title, words, 220)


def landings(projects: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    """Where every project's year lands, with its intervals, against its budget.

    Parameters
    ----------
    projects : `project`, `landing`, `lower_80`, `upper_80`, `lower_95`, `upper_95`, `budget` [money]; budgets may be
        null.
    """
    base = alt.Chart(projects).encode(y=alt.Y("project:N", sort=None, title=None, axis=alt.Axis(labelLimit=220)))
    axis = alt.Axis(format="~s")
    wide, narrow = (
        base.mark_bar(height=height, color=BLUE, opacity=opacity).encode(
            x=alt.X(f"lower_{level}:Q", title=None, axis=axis, scale=alt.Scale(zero=False)),
            x2=alt.X2(f"upper_{level}:Q"),
        )
        for level, height, opacity in ((95, 8, 0.25), (80, 14, 0.4))
    )
    told = [alt.Tooltip(f"{name}:Q", format=",.0f") for name in ("landing", "lower_80", "upper_80", "budget")]
    point = base.mark_point(filled=True, color=BLUE, size=60, opacity=1).encode(
        x=alt.X("landing:Q"), tooltip=tips("project:N", *told)
    )
    budget = base.transform_filter("isValid(datum.budget)").mark_tick(
        color=ORANGE, thickness=3, size=20
    ).encode(x=alt.X("budget:Q"), tooltip=tips("project:N", *told))  # fmt: skip
    words = f"{subtitle}; dot: landing, bars: 80 and 95 %, orange: budget"
    return titled(wide + narrow + point + budget, title, words, 28 * max(len(projects), 2))


def errors_ahead(scores: pd.DataFrame, title: str, subtitle: str) -> alt.Chart:
    """How wrong methods were by months ahead: `method`, `horizon`, `wape` (decimal); the forecast first."""
    methods = list(dict.fromkeys(scores["method"]))
    chart = alt.Chart(scores).mark_line(point=True, strokeWidth=2).encode(
        x=alt.X("horizon:O", title="months ahead", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("wape:Q", title=None, axis=alt.Axis(format=".0%")),
        color=alt.Color("method:N", title=None, sort=methods, legend=alt.Legend(orient="top"),
                        scale=alt.Scale(domain=methods, range=PALETTE)),
        tooltip=tips("method:N", "horizon:O", alt.Tooltip("wape:Q", format=".1%")),
    )  # fmt: skip
    return titled(chart, title, subtitle, 220)
