"""What the charts of 1_plan draw, for test_charts."""

import pandas as pd

from dcbudget.charts import plan
from drawn import EVIL, MONTHS, SUBTITLE, TITLE, empty

months = pd.DataFrame({"month": MONTHS, "p10": [1.0, 2.0], "p90": [4.0, 5.0]})
over = pd.DataFrame({"month": [*MONTHS, *MONTHS], "line": ["P50", "P50", EVIL, EVIL], "amount": [2.0, 3.0, 2.5, 2.5]})
risks = pd.DataFrame({"risk": ["MFU", EVIL], "low": [2.0, -1.0], "high": [-2.0, 1.0]})
lines = pd.DataFrame({"month": MONTHS, "project": ["a", EVIL], "amount": [1.0, 2.0]})
hours = pd.DataFrame({"month": MONTHS, "source": ["owned", EVIL], "gpu_hours": [1.0, 2.0]})

MADE = {
    "fan": (plan.fan(months, over, TITLE, SUBTITLE), {"month", "p10", "p90", "line", "amount"}),
    "tornado": (plan.tornado(risks, TITLE, SUBTITLE), {"risk", "change", "at", "none"}),
    "by_project": (plan.by_project(lines, TITLE, SUBTITLE), {"month", "project", "amount", "order"}),
    "supply": (plan.supply(hours, TITLE, SUBTITLE), {"month", "source", "gpu_hours", "order"}),
}
EMPTY = {
    "fan": lambda: plan.fan(empty("month", "p10", "p90"), empty("month", "line", "amount"), TITLE, SUBTITLE),
    "tornado": lambda: plan.tornado(empty("risk", "low", "high"), TITLE, SUBTITLE),
    "by_project": lambda: plan.by_project(empty("month", "project", "amount"), TITLE, SUBTITLE),
    "supply": lambda: plan.supply(empty("month", "source", "gpu_hours"), TITLE, SUBTITLE),
}
