"""What the charts of alerts draw in tests."""

import pandas as pd

from dcbudget.charts import alerts
from drawn import EVIL, MONTHS, SUBTITLE, TITLE, empty

COLUMNS = ["day", "actual", "expected", "lower", "upper"]
DAYS = pd.DataFrame([(MONTHS[0], 1.0, None, None, None), (MONTHS[1], 9.0, 2.0, 1.0, 3.0)], columns=COLUMNS)

MADE = {
    "spend_band": (alerts.spend_band(DAYS, DAYS.tail(1).assign(label=EVIL), TITLE, SUBTITLE), {*COLUMNS, "label"}),
}
EMPTY = {"spend_band": lambda: alerts.spend_band(empty(*COLUMNS), empty(*COLUMNS, "label"), TITLE, SUBTITLE)}
