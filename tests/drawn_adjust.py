"""What the charts of 6_adjust draw, for test_charts."""

import pandas as pd

from dcbudget.charts import adjust
from drawn import EVIL, SUBTITLE, TITLE, empty

chances = pd.DataFrame({"project": ["a", "a", EVIL, EVIL], "when": ["now", "after the moves"] * 2,
                        "chance": [1.0, 0.2, 0.5, 0.5]})  # fmt: skip

MADE = {
    "waterfall": (
        adjust.waterfall("Budget", 100.0, [("Price", 10.0), (EVIL, -5.0)], "Actual", TITLE, SUBTITLE),
        {"step", "from", "to", "kind", "top", "label"},
    ),
    "chances": (adjust.chances(chances, TITLE, SUBTITLE), {"project", "when", "chance"}),
}
EMPTY = {
    "waterfall": lambda: adjust.waterfall("Budget", 0.0, [], "Actual", TITLE, SUBTITLE),
    "chances": lambda: adjust.chances(empty("project", "when", "chance"), TITLE, SUBTITLE),
}
