"""What the charts of 5_monitor draw, for test_charts."""

import pandas as pd

from dcbudget.charts import monitor
from drawn import EVIL, SUBTITLE, TITLE, empty

runs = pd.DataFrame({"run": ["a", EVIL], "number": [1, 2], "x": [1.0, 2.0], "value": [3.0, 2.0], "smooth": [3.0, 2.5]})
parts = pd.DataFrame({"run": ["a", EVIL], "part": ["useful", "repeated or lost"], "gpu_hours": [1.0, 2.0]})
line = pd.DataFrame({"minutes": [1.0, 10.0], "overhead": [0.2, 0.1]})
marks = pd.DataFrame({"minutes": [1.0, 10.0], "overhead": [0.2, 0.1], "mark": [EVIL, "best"]})
beside = pd.DataFrame({"group": ["a", EVIL], "month": ["May 2026", "Jun 2026"], "share": [0.1, 0.2]})

MADE = {
    "curves": (monitor.curves(runs, "step", "loss", TITLE, SUBTITLE), {"x", "value", "smooth", "run", "number"}),
    "time_parts": (monitor.time_parts(parts, TITLE, SUBTITLE), {"run", "part", "gpu_hours", "order"}),
    "overhead": (monitor.overhead(line, marks, TITLE, SUBTITLE), {"minutes", "overhead", "mark"}),
    "beside_last": (monitor.beside_last(beside, TITLE, SUBTITLE), {"group", "month", "share"}),
}
EMPTY = {
    "curves": lambda: monitor.curves(empty(*runs.columns), "step", "loss", TITLE, SUBTITLE),
    "time_parts": lambda: monitor.time_parts(empty(*parts.columns), TITLE, SUBTITLE),
    "overhead": lambda: monitor.overhead(empty(*line.columns), empty(*marks.columns), TITLE, SUBTITLE),
    "beside_last": lambda: monitor.beside_last(empty(*beside.columns), TITLE, SUBTITLE),
}
