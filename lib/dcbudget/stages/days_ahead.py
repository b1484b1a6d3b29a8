"""What single days to come will cost, how sure that is, and how well earlier intervals of days held."""

from functools import cached_property

import numpy as np
import pandas as pd

from dcbudget import results
from dcbudget.models.forecast import backtest, intervals
from dcbudget.models.forecast.spend import TOTAL
from dcbudget.stages.forecast import Forecasts

# Days that are drawn before those to come.
SHOWN = 92
LEVELS = [f"{100 * level:.0f}" for level in intervals.LEVELS]


class DaysAhead:
    """The days of a forecast with their intervals; effective cost.

    Parameters
    ----------
    forecasts : of the months that they sum to.
    """

    def __init__(self, forecasts: Forecasts):
        self.forecasts = forecasts

    @cached_property
    def widths(self) -> pd.DataFrame:
        """Of the intervals of days, and how well earlier ones held (see `intervals.of_days`); kept."""
        of = self.forecasts
        return results.computed("forecast_days", of.inputs, self._widths, of.db, {"month": f"{of.month:%Y-%m}"})

    def _widths(self) -> pd.DataFrame:
        of = self.forecasts
        days = backtest.rolling_days(of.daily, of.expectations, of.horizon, of.events)
        known = of.daily.iloc[-backtest.DAYS :]
        return intervals.of_days(days, known.assign(**{TOTAL: known.sum(axis=1)}).abs().mean(), of.horizon)

    @cached_property
    def days(self) -> pd.DataFrame:
        """Every day ahead by project and in total: `day`, `project`, `p50`, `lower_50`, ... `upper_95` [money].

        The intervals are those of a day by itself, as wide as days of earlier forecasts were off; an event that
        multiplies what is spent multiplies them too.
        """
        of, middle = self.forecasts, self.forecasts.daily_ahead
        names, day = [*middle, TOTAL], pd.DatetimeIndex(middle.index)
        ahead = (day.year - of.month.year) * 12 + day.month - of.month.month
        values = middle.assign(**{TOTAL: middle.sum(axis=1)}).to_numpy()
        factors = np.column_stack([of.factors, np.ones(len(of.factors))])[ahead - 1]
        floor = np.append(of.floor, of.floor.min(initial=0.0))
        projects = np.tile(np.array(names, dtype=object), len(day))
        frame = {"day": np.repeat(day, len(names)), "project": projects, "p50": values.ravel()}
        for level in LEVELS:
            table = self.widths.pivot(index="horizon", columns="project", values=f"width_{level}")
            width = table.loc[ahead, names].to_numpy() * factors
            frame[f"lower_{level}"] = np.maximum(values - width, np.minimum(floor, values)).ravel()
            frame[f"upper_{level}"] = (values + width).ravel()
        return pd.DataFrame(frame)

    @cached_property
    def coverage(self) -> pd.DataFrame:
        """How many days of earlier forecasts lay in the intervals that were known then.

        `of` (Projects, Total; the index), `days`, and the shares `within_50`, `within_80`, `within_95`.
        """
        shares = [f"within_{level}" for level in LEVELS]
        of = self.widths["project"].where(self.widths["project"] == TOTAL, "Projects").rename("of")
        sums = self.widths.groupby(of)[["days", *shares]].sum()
        return sums.assign(**{name: sums[name] / sums["days"].where(sums["days"] > 0) for name in shares})

    def chart(self):
        """The days of the total, known and ahead, with their intervals; live or as a picture."""
        from dcbudget import charts

        return charts.show(self.drawn())

    def drawn(self):
        """The Altair chart of `chart`."""
        from dcbudget.charts.forecast import days_ahead

        total = self.days[self.days["project"] == TOTAL].drop(columns="project")
        known = self.forecasts.daily.sum(axis=1).iloc[-SHOWN:]
        actual = pd.DataFrame({"day": known.index, "amount": known.to_numpy()})
        return days_ahead(total, actual, self._finding(total), f"{self.forecasts.basis}, total by day")

    def _finding(self, total: pd.DataFrame) -> str:
        if total.empty:
            return f"No day of the {self.forecasts.year} is to come"
        covered, costs = self.coverage.loc[TOTAL], f"A day to come costs {self.forecasts.money(total['p50'].mean())}"
        if not covered["days"]:
            return f"{costs}; nothing is known yet of how wrong that is"
        return f"{costs}; {covered['within_80']:.0%} of the days forecast before lay in their range of 80 %"
