"""Charts of 3_control: what became of the money, time against cost, and what a decision is worth."""

import altair as alt
import pandas as pd

from dcbudget.charts import BLUE, GREEN, GREY, LIGHT, ORANGE, PALETTE, titled

LOGARITHMIC = alt.Scale(type="log", nice=False, padding=25)


def parts_of_money(money: pd.DataFrame, title: str, subtitle: str) -> alt.Chart:
    """Money by project: `project`, `part`, `effective_cost`; the parts in the order of the frame, most money first."""
    parts = list(dict.fromkeys(money["part"]))
    order = money.groupby("project")["effective_cost"].sum().sort_values(ascending=False).index.tolist()
    chart = alt.Chart(money.assign(order=money["part"].map(parts.index))).mark_bar().encode(
        y=alt.Y("project:N", sort=order, title=None),
        x=alt.X("effective_cost:Q", title=None, axis=alt.Axis(format="~s")),
        color=alt.Color("part:N", title=None, legend=alt.Legend(orient="top", columns=4),
                        scale=alt.Scale(domain=parts, range=_colours(parts))),
        order=alt.Order("order:Q"),
        tooltip=[alt.Tooltip("project:N"), alt.Tooltip("part:N"), alt.Tooltip("effective_cost:Q", format=",.0f")],
    )  # fmt: skip
    return titled(chart, title, subtitle, 26 * max(money["project"].nunique(), 2))


def commitment_curve(curve: pd.DataFrame, marks: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    """Expected cost by committed GPUs: `quantity`, `expected_cost`, `p10`, `p90` [money]; marks: `quantity`, `what`."""
    x = alt.X("quantity:Q", title="GPUs that are committed to")
    base = alt.Chart(curve).encode(x=x)
    band = base.mark_area(color=LIGHT, opacity=0.6).encode(
        y=alt.Y("p10:Q", title=None, axis=alt.Axis(format="~s"), scale=alt.Scale(zero=False)), y2=alt.Y2("p90:Q")
    )
    line = base.mark_line(color=BLUE).encode(
        y=alt.Y("expected_cost:Q"),
        tooltip=[alt.Tooltip("quantity:Q", format=",.0f"), alt.Tooltip("expected_cost:Q", format=",.0f"),
                 alt.Tooltip("utilisation:Q", format=".0%"), alt.Tooltip("coverage:Q", format=".0%")],
    )  # fmt: skip
    rules = alt.Chart(marks).mark_rule(strokeWidth=2, strokeDash=[5, 3]).encode(
        x=alt.X("quantity:Q", title="GPUs that are committed to"),
        color=alt.Color("what:N", title=None, legend=alt.Legend(orient="top"),
                        scale=alt.Scale(domain=["cheapest", "now"], range=[GREEN, ORANGE])),
        tooltip=[alt.Tooltip("what:N"), alt.Tooltip("quantity:Q", format=",.1f")],
    )  # fmt: skip
    return titled(band + line + rules, title, subtitle, 240)


def frontier(points: pd.DataFrame, lines: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    """Time against money: `hours`, `cost`, `strategy`, `gpus`, `pareto` (bool); lines: `what`, `hours`, `cost`, `gpus`.

    Points on the frontier are filled; the first of the lines is drawn through, the others are dashed.
    """
    x = alt.X("hours:Q", title="hours", scale=LOGARITHMIC, axis=alt.Axis(format="~g"))
    y = alt.Y("cost:Q", title="cost", scale=LOGARITHMIC, axis=alt.Axis(format="~s"))
    tips = [alt.Tooltip("gpus:Q", format=",.0f"), alt.Tooltip("hours:Q", format=",.1f"),
            alt.Tooltip("cost:Q", format=",.0f")]  # fmt: skip
    joined = alt.Chart(lines).mark_line(color=GREY).encode(
        x=x, y=y, tooltip=[alt.Tooltip("what:N"), *tips],
        strokeDash=alt.StrokeDash("what:N", sort=None, title=None, legend=alt.Legend(orient="top", labelLimit=320)),
    )  # fmt: skip
    dots = alt.Chart(points).mark_point(size=70).encode(
        x=x, y=y, tooltip=[alt.Tooltip("strategy:N"), *tips],
        color=alt.Color("strategy:N", title=None, scale=alt.Scale(range=PALETTE),
                        legend=alt.Legend(orient="top", columns=3, labelLimit=260)),
        fillOpacity=alt.FillOpacity("pareto:N", legend=None, scale=alt.Scale(domain=[True, False], range=[1, 0])),
        fill=alt.Fill("strategy:N", legend=None, scale=alt.Scale(range=PALETTE)),
    )  # fmt: skip
    return titled(joined + dots, title, subtitle, 300)


def spot_cost(lines: pd.DataFrame, at: float, title: str, subtitle: str) -> alt.LayerChart:
    """Money per useful GPU-hour: `interruptions_per_1000_gpu_hours`, `basis`, `cost_per_gpu_hour`; a rule at `at`."""
    rate = "interruptions_per_1000_gpu_hours"
    across = alt.X(f"{rate}:Q", title="interruptions per 1,000 GPU-hours")
    drawn = alt.Chart(lines).mark_line().encode(
        x=across,
        y=alt.Y("cost_per_gpu_hour:Q", title="per useful GPU-hour", axis=alt.Axis(format=",.2f")),
        color=alt.Color("basis:N", title=None, legend=alt.Legend(orient="top"),
                        scale=alt.Scale(domain=["on-demand", "spot"], range=[PALETTE[5], PALETTE[1]])),
        tooltip=[alt.Tooltip("basis:N"), alt.Tooltip(f"{rate}:Q", format=",.2f"),
                 alt.Tooltip("cost_per_gpu_hour:Q", format=",.2f")],
    )  # fmt: skip
    here = alt.Chart(pd.DataFrame({rate: [at]})).mark_rule(color=GREY, strokeDash=[5, 3]).encode(x=across)
    return titled(drawn + here, title, subtitle, 240)


def modes(medians: pd.DataFrame, runs: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    """Time to target by mode: medians: `mode`, `seconds`; runs: `mode`, `seconds_to_target`, `seed`."""
    y = alt.Y("mode:N", sort=list(medians["mode"]), title=None, axis=alt.Axis(labelLimit=260))
    bars = alt.Chart(medians).mark_bar(color=LIGHT).encode(
        y=y, x=alt.X("seconds:Q", title="seconds"),
        tooltip=[alt.Tooltip("mode:N"), alt.Tooltip("seconds:Q", format=",.2f")],
    )  # fmt: skip
    dots = alt.Chart(runs).mark_point(color=BLUE, size=50, filled=True).encode(
        y=y, x=alt.X("seconds_to_target:Q"),
        tooltip=[alt.Tooltip("mode:N"), alt.Tooltip("seed:O"), alt.Tooltip("seconds_to_target:Q", format=",.2f")],
    )  # fmt: skip
    return titled(bars + dots, title, subtitle, 34 * max(len(medians), 2))


def _colours(parts: list[str]) -> list[str]:
    known = {"useful": GREEN, "held above use": "#9ccfae", "failed or restarted": "#d55e00",
             "held but idle": "#e69f00", "unallocated": LIGHT, "reserved but unused": "#cc79a7",
             "unmatched": GREY}  # fmt: skip
    return [known.get(part, "#56b4e9") for part in parts]
