"""7_review: the whole monthly report, what the other stages tell of one month beside its budget review."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import pandas as pd

from dcbudget import adjustments, budget
from dcbudget.models.privacy import INSIDE
from dcbudget.stages.adjust import Adjust
from dcbudget.stages.alerts import Alerts
from dcbudget.stages.carbon import Carbon
from dcbudget.stages.days_ahead import DaysAhead
from dcbudget.stages.feedback import Feedback
from dcbudget.stages.forecast import Forecasts, in_words
from dcbudget.stages.monitor import Monitor
from dcbudget.stages.review import RUN_RATE, MonthlyReview
from dcbudget.stages.variance import BEFORE, BUDGET, Variance
from dcbudget.tables import MONEY, Headline, Table

# Columns of the runs that a page has room for; the sheet has them all.
OF_RUNS = ("run", "project", "gpu_model", "gpus", "status", "restarts", "held_hours", "goodput", "mfu", "accuracy")


class MonthlyReport:
    """One month's report; what a month cannot tell (no plan, no month before) is left out.

    Parameters
    ----------
    month, database, plan_version, fiscal_year_start, run_rate_months, top_movers, currency, least_group : see
        `MonthlyReview`.
    share_idle : how projects bear idle capacity: none, proportional, even, or project -> weight.
    known_events : what is known to come, see `Forecasts`.

    Raises
    ------
    DcbudgetError : no database, no such month or plan, a value out of range, several currencies without a rate.
    """

    def __init__(
        self,
        month: str = "",
        database: str = "",
        plan_version: str = "",
        fiscal_year_start: int = 1,
        run_rate_months: int = 3,
        top_movers: int = 8,
        currency: str = "",
        share_idle: str | Mapping[str, float] = "none",
        least_group: int = INSIDE,
        known_events: Sequence[Mapping] = (),
    ):
        weighted = isinstance(share_idle, Mapping)
        self.review = MonthlyReview(month, database, plan_version, fiscal_year_start, run_rate_months, top_movers,
                                    currency, "fixed" if weighted else share_idle,
                                    share_idle if weighted else None, least_group)  # fmt: skip
        self.month, self.currency = self.review.month, self.review.currency
        self._name, self._database, self._plan = f"{self.month:%Y-%m}", database, plan_version
        self._events, self._least_group = list(known_events), least_group

    # The stages, each when it is asked for.

    @cached_property
    def forecasts(self) -> Forecasts:
        return Forecasts(self._name, self._database, self.currency, self.review.fiscal_year_start, self._events,
                         self._least_group, self._plan)  # fmt: skip

    @cached_property
    def days_ahead(self) -> DaysAhead:
        return DaysAhead(self.forecasts)

    @cached_property
    def bridges(self) -> list[Variance]:
        """From the budget, and from the month before, where there are such."""
        against = [BUDGET] if self.review.plan_version else []
        against += [BEFORE] if self.month - pd.DateOffset(months=1) in self.review.months else []
        return [Variance(self._name, "", name, self._database, self._plan if name == BUDGET else "", self.currency,
                         least_group=self._least_group) for name in against]  # fmt: skip

    @cached_property
    def monitor(self) -> Monitor:
        return Monitor(self._name, self._database, self.currency, least_group=self._least_group)

    @cached_property
    def alerts(self) -> Alerts:
        return Alerts(self._name, self._database, self.currency, self._plan, self.review.fiscal_year_start,
                      self.review.run_rate_months, least_group=self._least_group)  # fmt: skip

    @cached_property
    def adjust(self) -> Adjust | None:
        """The budget that was adjusted; None where there is no plan, or no adjustment was ever proposed."""
        if not len(adjustments.ledger(self.review.db)) or not self.review.plan_version:
            return None
        return Adjust(self._name, self._database, self._plan, self.currency, self.review.fiscal_year_start,
                      known_events=self._events)  # fmt: skip

    @cached_property
    def feedback(self) -> Feedback:
        """The values that go back to the next plan."""
        return Feedback(self.forecasts)

    def prepare(self) -> None:
        """Compute what takes long and is kept in the database, so that other processes find it there."""
        _ = self.forecasts.landings, self.days_ahead.widths

    # What is shown.

    def headline(self) -> Headline:
        """Spent, budget, variance, where the year lands with its interval and at the run rate, movers, alerts."""
        whole = self.review.headline()
        figures = []
        for label, value, remark in whole.figures:
            if label == RUN_RATE:
                figures.append(self._forecast())
            figures.append((label, value, remark))
        found = self.alerts.of_month
        counts = found["state"].value_counts()
        told = ", ".join(f"{count} {state}" for state, count in counts.items()) or "nothing out of the ordinary"
        at = [label for label, *_ in figures].index(RUN_RATE) + 1
        figures.insert(at, ("Alerts", str(len(found)), told))
        return Headline(whole.title, figures)

    def _forecast(self) -> tuple[str, str, str]:
        landing = self.forecasts.landings.iloc[-1]
        value = f"{MONEY.format(landing['landing'])} {self.currency}"
        if not len(self.forecasts.months):
            return "Forecast", value, "the fiscal year has ended"
        ends = f"80 %: {MONEY.format(landing['lower_80'])} to {MONEY.format(landing['upper_80'])}"
        if pd.isna(landing["budget"]) or self.review.landing.months_without_budget:
            return "Forecast", value, f"{ends}, {self.forecasts.year}"
        return "Forecast", value, f"{ends}, chance of overrun {in_words(landing['chance'])}"

    def bridge_charts(self) -> list:
        """A waterfall from the budget, and one from the month before."""
        from dcbudget import charts

        return [charts.show(bridge.chart()) for bridge in self.bridges]

    def bridge_tables(self) -> list[Table]:
        """The bridges by project, each under the sentence that it says."""
        return [replace(table, title=f"{bridge.sentence()} ({bridge.basis})")
                for bridge, table in ((bridge, bridge.table()) for bridge in self.bridges)]  # fmt: skip

    def year_end(self) -> Table:
        """Where the year lands, without a column for how it was forecast where that is the same for all."""
        table = self.forecasts.year_end()
        methods = table.frame["method"].iloc[:-1].unique()
        if len(methods) != 1:
            return table
        return replace(_without(table, "method"), title=table.title.removesuffix(")") + f"; {methods[0]})")

    def runs(self) -> Table:
        """The dearest training runs."""
        table = self.monitor.runs_table()
        return _without(table, *(table.columns.keys() - set(OF_RUNS)))

    def alerts_table(self) -> Table:
        """Every alert, its basis in the title where that is the same for all."""
        table = self.alerts.table()
        bases = table.frame["basis"].unique()
        if len(bases) != 1:
            return table
        basis = f"({bases[0]} cost, {self.alerts.basis})"
        return replace(_without(table, "basis"), title=table.title.removesuffix(f"({self.alerts.basis})") + basis)

    def forecast_chart(self):
        """Actual, forecast with its intervals, run rate and budget, by month."""
        from dcbudget import charts

        return charts.show(self.forecasts.chart())

    def adjustments(self) -> Table:
        """The ledger of adjustments: promised and realised savings."""
        if not self.adjust:
            names = {"adjustment_id": "Adjustment"}
            return Table(pd.DataFrame(columns=list(names)), names, "No budget was adjusted (6_adjust proposes)")
        return self.adjust.ledger()

    def energy(self) -> Table:
        """Energy, carbon and cost of power of the owned fleet."""
        return Carbon(self.review.reading, self.month).table()

    def tables(self) -> dict[str, Table]:
        """Every table of the report by the name of its sheet."""
        review = self.review
        bridges = {bridge.against: table for bridge, table in zip(self.bridges, self.bridge_tables(), strict=True)}
        named = {BUDGET: "Bridge from budget", BEFORE: "Bridge from month before"}
        return {
            "Projects": review.projects(), "Categories": review.categories(),
            "Forecast": self.forecasts.year_end(), "Months to come": self.forecasts.months_table(),
            "Run rate": review.year(),
            **{named[against]: table for against, table in bridges.items()}, "Movers": review.movers(),
            "Showback": review.showback(), "GPU-hours": review.gpu_hours(), "Buckets": review.gpu_buckets(),
            "Buckets by project": review.gpu_buckets_by_project(), "Commitments": review.commitments(),
            "Unit costs": review.unit_costs(), "Runs": self.monitor.runs_table(),
            "Cost of results": self.monitor.success_table(), "Alerts": self.alerts.table(),
            "Adjustments": self.adjustments(), "Forecast scorecard": self.forecasts.scorecard(),
            "Plan scorecard": self.forecasts.plan_scorecard(), "Energy and carbon": self.energy(),
            "Values that go back": self.feedback.table(), "Budget and actual": review.budget_and_actual(),
            "Checks": review.checks(), "Sources": review.sources(),
        }  # fmt: skip

    def record(self, database: str = "", wait_seconds: float = 60.0) -> int:
        """Keep in a database what the month measured, forecast, and saved by adjustments; how many were measured."""
        self.forecasts.keep()
        if self.adjust:
            self.adjust.measured(True, database, wait_seconds)
        return budget.record_calibration(self.feedback.records, database or None, wait_seconds=wait_seconds)


def _without(table: Table, *columns: str) -> Table:
    return replace(table, columns={name: head for name, head in table.columns.items() if name not in columns})
