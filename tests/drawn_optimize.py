"""What the charts of 4_optimize draw, for test_charts."""

import pandas as pd

from dcbudget.charts import optimize
from drawn import EVIL, SUBTITLE, TITLE, empty

policies = pd.DataFrame({"policy": ["FIFO", EVIL], "mean_wait_hours": [4.9, 0.3]})
groups = pd.DataFrame({"group": ["a", EVIL] * 2, "when": ["now", "now", "then", "then"], "hours": [4.0, 2.0, 1.0, 3.0]})
hours = pd.to_datetime(["2026-06-01 00:00", "2026-06-01 01:00"])
week = pd.DataFrame({"hour": hours, "when": ["now", EVIL], "what": ["in use", "waiting"], "gpus": [8.0, 16.0]})
money = pd.DataFrame({"gpus": [8, 16] * 2, "part": ["GPUs", "GPUs", EVIL, EVIL], "money": [10.0, 20.0, 30.0, 5.0]})
marks = pd.DataFrame({"gpus": [16.0, 8.0], "what": ["cheapest", "today"]})
energy = pd.DataFrame({"hour": hours, "when": ["at once", EVIL], "kwh_moved": [1.0, 2.0], "price_per_kwh": [0.1, 0.2]})

MADE = {
    "policy_waits": (optimize.policy_waits(policies, "FIFO", TITLE, SUBTITLE), {"policy", "mean_wait_hours", "chosen"}),
    "before_after": (optimize.before_after(groups, TITLE, SUBTITLE), {"group", "when", "hours"}),
    "week": (optimize.week(week, TITLE, SUBTITLE), {"hour", "when", "what", "gpus", "order"}),
    "capacity": (optimize.capacity(money, marks, 40.0, TITLE, SUBTITLE), {"gpus", "part", "money", "what", "order"}),
    "energy": (optimize.energy(energy, TITLE, SUBTITLE), {"hour", "when", "kwh_moved", "price_per_kwh"}),
}
EMPTY = {
    "policy_waits": lambda: optimize.policy_waits(empty("policy", "mean_wait_hours"), "FIFO", TITLE, SUBTITLE),
    "before_after": lambda: optimize.before_after(empty("group", "when", "hours"), TITLE, SUBTITLE),
    "week": lambda: optimize.week(empty("hour", "when", "what", "gpus"), TITLE, SUBTITLE),
    "capacity": lambda: optimize.capacity(empty("gpus", "part", "money"), empty("gpus", "what"), 0.0, TITLE, SUBTITLE),
    "energy": lambda: optimize.energy(empty("hour", "when", "kwh_moved", "price_per_kwh"), TITLE, SUBTITLE),
}
