"""What is drawn of prices and costs of a GPU-hour."""

import altair as alt
import pandas as pd

from dcbudget.charts import PALETTE, tips, titled

# The same colour for a basis, whichever of them are compared.
COLOURS = {"owned": PALETTE[0], "committed": PALETTE[2], "on-demand": PALETTE[5], "spot": PALETTE[1]}


def break_even(curve: pd.DataFrame, points: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    """Cost of a used GPU-hour by utilisation, a line a basis, with the utilisation from which one is the cheaper.

    What costs over three times the dearest basis at full use is cut off.

    Parameters
    ----------
    curve : `basis`, `utilisation` (decimal), `cost_per_gpu_hour` [money per used GPU-hour].
    points : `basis`, `against`, `utilisation`, `cost_per_gpu_hour`; may be empty.
    """
    bases = list(dict.fromkeys(curve["basis"]))
    x = alt.X("utilisation:Q", title="used / capacity GPU-hours", axis=alt.Axis(format=".0%"),
              scale=alt.Scale(domain=[0, 1]))  # fmt: skip
    full = curve.loc[curve["utilisation"] == 1, "cost_per_gpu_hour"].max()
    top = alt.Undefined if pd.isna(full) or full <= 0 else [0, 3 * float(full)]
    y = alt.Y("cost_per_gpu_hour:Q", title="per used GPU-hour", scale=alt.Scale(domain=top))
    money = alt.Tooltip("cost_per_gpu_hour:Q", format=",.2f")
    lines = alt.Chart(curve).mark_line(clip=True).encode(
        x=x, y=y,
        color=alt.Color("basis:N", title=None, legend=alt.Legend(orient="top"),
                        scale=alt.Scale(domain=bases, range=[COLOURS.get(basis, PALETTE[3]) for basis in bases])),
        tooltip=tips("basis:N", alt.Tooltip("utilisation:Q", format=".0%"), money),
    )  # fmt: skip
    marked = alt.Chart(points.assign(label=_label(points)))
    dots = marked.mark_point(size=80, filled=True, color="black").encode(
        x=x, y=y, tooltip=tips("basis:N", "against:N", alt.Tooltip("utilisation:Q", format=".1%"), money)
    )
    texts = marked.mark_text(align="right", dx=-6, dy=12, color="#333").encode(x=x, y=y, text=alt.Text("label:N"))
    return titled(alt.layer(lines, dots, texts), title, subtitle, 260)


def _label(points: pd.DataFrame) -> list[str]:
    return [f"{basis} from {share:.0%}" for basis, share in zip(points["basis"], points["utilisation"], strict=True)]
