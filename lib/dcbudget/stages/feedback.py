"""What a month gives back: the measured values that the next plan starts from."""

from functools import cached_property

import pandas as pd

from dcbudget.models.calibration import Measure
from dcbudget.stages.calibration import Calibration
from dcbudget.tables import Table


class Feedback:
    """The values that a report records in `calibration`, measured anew from what is loaded.

    They depend on no record, so that the same month gives the same values however often it is recorded.

    Parameters
    ----------
    month : "YYYY-MM" or its first day.
    database : file, "" for the default one.
    currency : of every price.
    """

    def __init__(self, month: str | pd.Timestamp, database: str = "", currency: str = ""):
        self.known = Calibration(month, database, currency, recorded=False)
        self.month = self.known.month

    @cached_property
    def measured(self) -> list[Measure]:
        return self.known.measured()

    @property
    def records(self) -> pd.DataFrame:
        """One row a value, as `budget.record_calibration` keeps it."""
        rows = [(m.name, m.value, m.unit, self.month, m.source) for m in self.measured]
        return pd.DataFrame(rows, columns=["name", "value", "unit", "month", "source"])

    def table(self) -> Table:
        """The values, with the range of the single months or runs that they were measured from."""
        rows = [(m.label, *m.cells[:3], m.unit, m.source) for m in self.measured]
        names = {"label": "What", "value": "Value", "low": "P10", "high": "P90", "unit": "Unit", "source": "Source"}
        title = (
            f"{len(rows)} values measured up to {self.month:%B %Y} go back to the next plan"
            f" (prices effective cost, {self.known.currency}{self.known.reading.rates_remark})"
        )
        return Table(pd.DataFrame(rows, columns=list(names)), names, title)
