"""What projects spent every day, as one review shows them: what forecasts begin from."""

from functools import cached_property

import pandas as pd

from dcbudget import results, warehouse
from dcbudget.models.forecast import spend
from dcbudget.stages.review import MonthlyReview


class DailySpend:
    """Effective cost by day and project, shared pools shared out, in a review's currency and with its small groups.

    Parameters
    ----------
    review : tells the last month, the database, the currency and which groups are small.
    """

    def __init__(self, review: MonthlyReview):
        self.review, self.db, self.month = review, review.db, review.month

    @cached_property
    def months(self) -> pd.DatetimeIndex:
        """Months with bills without a gap, the review's last."""
        first = self.month
        while first - pd.DateOffset(months=1) in self.review.months:
            first -= pd.DateOffset(months=1)
        return pd.date_range(first, self.month, freq="MS")

    @cached_property
    def rows(self) -> pd.DataFrame:
        """`month`, `day`, `project`, `effective_cost` of every month with bills up to the review's."""
        inputs = {
            "loads": warehouse.query("select load_id, fingerprint, status from loads order by all", self.db),
            "replaced": warehouse.query("select * from load_replacements order by all", self.db),
            "sql": [warehouse.sql("staging"), warehouse.sql("marts")],
        }  # fmt: skip
        frame = results.computed("showback_daily", inputs, self._read, self.db, {})
        frame = frame[frame["month"].isin(self.review.months) & (frame["month"] <= self.month)]
        return self.review.reading.prepare(frame.copy(), ["effective_cost"])

    def _read(self) -> pd.DataFrame:
        frame = warehouse.mart("showback_daily", self.db)
        return frame.assign(month=pd.to_datetime(frame["month"]), day=pd.to_datetime(frame["day"]))

    @cached_property
    def daily(self) -> pd.DataFrame:
        """Every day of `months` by project [money]."""
        table = self.rows.pivot_table(index="day", columns="project", values="effective_cost", aggfunc="sum")
        days = pd.date_range(self.months[0], self.month + pd.offsets.MonthEnd(0), name="day")
        return table.reindex(days).astype(float).fillna(0.0)

    @cached_property
    def monthly(self) -> pd.DataFrame:
        """The same by month, in cents."""
        return spend.by_month(self.daily).round(2)

    def since(self, first: pd.Timestamp) -> pd.Series:
        """Spent from a month on, by project, in cents."""
        rows = self.rows[self.rows["month"] >= first]
        return rows.groupby("project")["effective_cost"].sum().astype(float).round(2)
