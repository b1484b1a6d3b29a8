"""What a month gives back: the measured values that the next plan starts from."""

from functools import cached_property

import pandas as pd

from dcbudget.models.calibration import Measure
from dcbudget.models.forecast.spend import FORECAST, TOTAL
from dcbudget.stages.calibration import LEARNED, Calibration
from dcbudget.stages.forecast import Forecasts
from dcbudget.tables import Table


class Feedback:
    """The values that a report records in `calibration`, measured anew from what is loaded.

    They depend on no record, so that the same month gives the same values however often it is recorded.

    Parameters
    ----------
    forecasts : of the month, which also tell its database and currency.
    """

    def __init__(self, forecasts: Forecasts):
        self.forecasts, self.month = forecasts, forecasts.month
        self.known = Calibration(self.month, forecasts.db or "", forecasts.currency, recorded=False)

    @cached_property
    def measured(self) -> list[Measure]:
        """Rates, shares and prices of the last months, and how far forecasts and the budget lay from what came."""
        return [*self.known.measured(), *self._biases()]

    def _biases(self) -> list[Measure]:
        """Of the total: forecasts of earlier months some months ahead, and the budget in the months that have one."""
        scores = self.forecasts.scores()
        scores = scores[(scores["project"] == TOTAL) & (scores["method"] == FORECAST)]
        found = [(f"forecast_bias_{row.horizon}", row.bias, row.forecasts) for row in scores.itertuples()]
        plans = self.forecasts.plan_scores().tail(1)  # all categories; none where no plan covers a month with bills
        found += [("plan_bias", row.bias, row.forecasts) for row in plans.itertuples()]
        return [Measure(name, *LEARNED[name][:2], float(bias), float(bias), float(bias), int(count), LEARNED[name][2])
                for name, bias, count in found if pd.notna(bias)]  # fmt: skip

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
        return Table(
            pd.DataFrame(rows, columns=list(names)), names, title, dict.fromkeys(("value", "low", "high"), "{}")
        )
