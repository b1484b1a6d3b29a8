"""What the charts of costs draw in tests."""

import pandas as pd

from dcbudget.charts import cost
from drawn import EVIL, SUBTITLE, TITLE, empty

POINT = ["basis", "against", "utilisation", "cost_per_gpu_hour"]
LINES = pd.DataFrame(
    {"basis": ["owned", "owned", EVIL], "utilisation": [0.5, 1.0, 1.0], "cost_per_gpu_hour": [4.0, 2.0, 3.0]}
)
CROSSING = pd.DataFrame([("owned", EVIL, 0.7, 3.0)], columns=POINT)

MADE = {
    "break_even": (
        cost.break_even(LINES, CROSSING, TITLE, SUBTITLE),
        {"basis", "utilisation", "cost_per_gpu_hour", "label"},
    ),
}
EMPTY = {
    "break_even": lambda: cost.break_even(
        empty("basis", "utilisation", "cost_per_gpu_hour"), empty(*POINT), TITLE, SUBTITLE
    ),
}
