"""What the charts of forecasts draw, for test_charts."""

import pandas as pd

from dcbudget.charts import forecast
from drawn import EVIL, MONTHS, SUBTITLE, TITLE, empty

ENDS = [f"{end}_{level}" for level in (50, 80, 95) for end in ("lower", "upper")]
months = pd.DataFrame({"month": MONTHS, **dict.fromkeys(ENDS, 1.0)})
days = pd.DataFrame({"day": MONTHS, "p50": 1.0, **dict.fromkeys(ENDS, 1.0)})
actual = pd.DataFrame({"day": MONTHS, "amount": 1.0})
lines = pd.DataFrame({"month": MONTHS, "line": ["Actual", "Forecast"], "amount": [1.0, 2.0]})
projects = pd.DataFrame(
    {"project": ["a", EVIL], "landing": [1.0, 2.0], "budget": [1.5, None], **dict.fromkeys(ENDS, 1.0)}
)
scores = pd.DataFrame({"method": ["Forecast", EVIL], "horizon": [1, 1], "wape": [0.1, 0.2]})

MADE = {
    "fan": (forecast.fan(months, lines, TITLE, SUBTITLE), {"month", *ENDS, "line", "amount"}),
    "days_ahead": (
        forecast.days_ahead(days, actual, TITLE, f"{SUBTITLE}, {EVIL}"),
        {"day", "p50", *ENDS, "amount"},
    ),
    "landings": (forecast.landings(projects, TITLE, SUBTITLE), {"project", "landing", "budget", *ENDS[2:]}),
    "errors_ahead": (forecast.errors_ahead(scores, TITLE, SUBTITLE), {"method", "horizon", "wape"}),
}
EMPTY = {
    "fan": lambda: forecast.fan(empty("month", *ENDS), empty("month", "line", "amount"), TITLE, SUBTITLE),
    "days_ahead": lambda: forecast.days_ahead(empty("day", "p50", *ENDS), empty("day", "amount"), TITLE, SUBTITLE),
    "landings": lambda: forecast.landings(empty("project", "landing", "budget", *ENDS), TITLE, SUBTITLE),
    "errors_ahead": lambda: forecast.errors_ahead(empty("method", "horizon", "wape"), TITLE, SUBTITLE),
}
