"""How a stage reads marts: in one currency, and with small groups of people merged."""

import re
from functools import cached_property

import pandas as pd

from dcbudget import warehouse
from dcbudget.errors import DcbudgetError, MixedCurrencies
from dcbudget.models.currency import convert
from dcbudget.models.privacy import MERGED, small_groups

# The money of the mart gpu_hours_monthly.
POOL_MONEY = ["effective_cost", "idle_effective_cost"]


class Reading:
    """The marts of one database as one report shows them.

    Parameters
    ----------
    database : file, "" for the default one.
    currency : the currency of every amount, "" for the only one that bills and budgets have; drafts do not count.
    month : the month whose people count.
    least_group : smallest number of users of a project that may stand alone, 1 to show every project.

    Raises
    ------
    MixedCurrencies : several currencies and none named.
    DcbudgetError : a name that is no currency code, or no amounts at all.
    """

    def __init__(self, database: str, currency: str, month: pd.Timestamp, least_group: int):
        self.db = database or None
        self.month, self.least_group = month, least_group
        amounts = warehouse.query(
            "select currency, bool_or(decided) as decided from (select currency, true as decided from cost_monthly"
            " union all select currency, status is distinct from 'draft' from budget_lines)"
            " where currency is not null group by 1 order by 1",
            self.db,
        )
        every = amounts["currency"].tolist()
        found = amounts.loc[amounts["decided"], "currency"].tolist() or every
        if currency and not re.fullmatch("[A-Z]{3}", str(currency)):
            raise DcbudgetError(f"currency must be a code such as USD, not {currency!r}")
        if not found:
            raise DcbudgetError("there are no amounts, and so no currency")
        if len(found) > 1 and not currency:
            raise MixedCurrencies(
                f"amounts in {' and '.join(found)} cannot be summed without a rate between them: load a file of rates"
                f' and name the currency of the report, such as currency = "{found[-1]}"'
            )
        self.currency = currency or found[0]
        self.converted = every != [self.currency]

    @property
    def rates_remark(self) -> str:
        """What a title says of the rates, empty where none was needed."""
        return " at monthly mean rates" if self.converted else ""

    @cached_property
    def rates(self) -> pd.DataFrame:
        return warehouse.query("select date, from_currency, to_currency, rate from rates order by all", self.db)

    @cached_property
    def merged(self) -> set[str]:
        """Projects that too few people used in the month, or ever where nobody did in the month."""
        people = warehouse.query(
            "select project, coalesce(nullif(in_month, 0), ever) as people from ("
            " select coalesce(project, 'Unallocated') as project, count(distinct user_id) as ever,"
            " count(distinct user_id) filter (coalesce(end_time, start_time, submit_time) >= $1"
            " and coalesce(start_time, submit_time) < $1 + interval 1 month) as in_month from jobs group by 1)",
            self.db,
            [self.month.to_pydatetime()],
        )
        return small_groups(people.set_index("project")["people"], self.least_group)

    @cached_property
    def merged_groups(self) -> set[tuple[str, str]]:
        """Project and user group of the groups that too few people of a project belonged to, as `merged` counts them.

        They are merged within their project: else its total less the groups that are shown would tell of them.
        """
        people = warehouse.query(
            "select project, user_group, coalesce(nullif(in_month, 0), ever) as people from ("
            " select coalesce(project, 'Unallocated') as project, account as user_group,"
            " count(distinct user_id) as ever, count(distinct user_id) filter ("
            " coalesce(end_time, start_time, submit_time) >= $1"
            " and coalesce(start_time, submit_time) < $1 + interval 1 month) as in_month"
            " from jobs where account is not null group by 1, 2)",
            self.db,
            [self.month.to_pydatetime()],
        )
        return {
            (project, group)
            for project, part in people.groupby("project")
            for group in small_groups(part.set_index("user_group")["people"], self.least_group)
        }

    def groups(self, frame: pd.DataFrame) -> pd.DataFrame:
        """A frame of `project` and `user_group` whose small groups, and those of small projects, are under one name."""
        pairs = zip(frame["project"], frame["user_group"], strict=True)
        small = pd.Series([pair in self.merged_groups for pair in pairs], frame.index, bool)
        small |= frame["project"].isin(self.merged) & frame["user_group"].notna()
        return frame.assign(user_group=frame["user_group"].mask(small, MERGED))

    def mart(self, name: str, amounts: list[str], **where) -> pd.DataFrame:
        """A mart's rows with months as timestamps, `amounts` in the one currency and small groups under one name."""
        return self.prepare(warehouse.mart(name, self.db, **where), amounts)

    @property
    def names(self) -> dict[str, str]:
        """Project -> the name it is shown under, of those that are merged."""
        return dict.fromkeys(sorted(self.merged), MERGED)

    def prepare(self, frame: pd.DataFrame, amounts: list[str]) -> pd.DataFrame:
        """The same for rows of a query."""
        frame = self.convert(frame, amounts)
        return frame.replace({"project": self.names}) if "project" in frame and self.merged else frame

    def convert(self, frame: pd.DataFrame, amounts: list[str]) -> pd.DataFrame:
        """Months as timestamps and `amounts` in the one currency; every project under its own name."""
        frame["month"] = pd.to_datetime(frame["month"])
        return convert(frame, self.rates, self.currency, amounts) if self.converted else frame
