"""What the charts of 3_control draw in tests."""

import pandas as pd

from dcbudget.charts import control
from drawn import EVIL, SUBTITLE, TITLE

MONEY = pd.DataFrame({"project": ["a", "a", EVIL], "part": ["useful", "held above use", "useful"],
                      "effective_cost": [2.0, 1.0, 3.0]})  # fmt: skip
CURVE = pd.DataFrame({"quantity": [0.0, 8], "expected_cost": [9.0, 7], "p10": [8.0, 6], "p90": [10.0, 8],
                      "utilisation": [None, 0.9], "coverage": [0.0, 0.7]})  # fmt: skip
MARKS = pd.DataFrame({"quantity": [8.0, 2.0], "what": ["cheapest", EVIL]})
POINTS = pd.DataFrame({"strategy": ["data parallel", EVIL], "gpus": [8, 16], "hours": [10.0, 6.0],
                       "cost": [80.0, 96.0], "pareto": [True, False]})  # fmt: skip
LINES = pd.DataFrame({"what": ["frontier", EVIL], "gpus": [8, 8], "hours": [10.0, 10], "cost": [80.0, 80]})
SPOT = pd.DataFrame({"interruptions_per_1000_gpu_hours": [0.0, 5, 5], "basis": ["spot", "spot", EVIL],
                     "cost_per_gpu_hour": [1.0, 1.5, 2.0]})  # fmt: skip
MODES = pd.DataFrame({"mode": ["one process", EVIL], "seconds": [10.0, 7.0]})
RUNS = pd.DataFrame({"mode": ["one process", EVIL], "seconds_to_target": [10.0, 7.0], "seed": [1, 2]})

MADE = {
    "parts_of_money": (control.parts_of_money(MONEY, TITLE, SUBTITLE), {"project", "part", "effective_cost", "order"}),
    "commitment_curve": (
        control.commitment_curve(CURVE, MARKS, TITLE, SUBTITLE),
        {"quantity", "expected_cost", "p10", "p90", "what"},
    ),
    "frontier": (control.frontier(POINTS, LINES, TITLE, SUBTITLE), {"hours", "cost", "strategy", "pareto", "what"}),
    "spot_cost": (
        control.spot_cost(SPOT, 5.0, TITLE, SUBTITLE),
        {"interruptions_per_1000_gpu_hours", "basis", "cost_per_gpu_hour"},
    ),
    "modes": (control.modes(MODES, RUNS, TITLE, SUBTITLE), {"mode", "seconds", "seconds_to_target"}),
}
EMPTY = {
    "parts_of_money": lambda: control.parts_of_money(MONEY.head(0), TITLE, SUBTITLE),
    "commitment_curve": lambda: control.commitment_curve(CURVE.head(0), MARKS.head(0), TITLE, SUBTITLE),
    "frontier": lambda: control.frontier(POINTS.head(0), LINES.head(0), TITLE, SUBTITLE),
    "spot_cost": lambda: control.spot_cost(SPOT.head(0), 0.0, TITLE, SUBTITLE),
    "modes": lambda: control.modes(MODES.head(0), RUNS.head(0), TITLE, SUBTITLE),
}
