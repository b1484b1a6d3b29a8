"""What the charts of the tests have in common: titles, a name that is a script, and frames without rows."""

import pandas as pd

TITLE, SUBTITLE = "vision is over budget", "effective cost, USD, May 2026"
EVIL = '<script>alert("x")</script>'
MONTHS = pd.to_datetime(["2026-04-01", "2026-05-01"])


def empty(*columns):
    return pd.DataFrame({column: [] for column in columns})
