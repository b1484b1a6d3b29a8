"""What the year will cost: forecasts by project and in total, how sure they are, and how wrong they were before."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from dcbudget import results
from dcbudget.errors import OutOfRange
from dcbudget.models import planning
from dcbudget.models.forecast import backtest, events, intervals, spend
from dcbudget.models.forecast.reconcile import to_cents
from dcbudget.models.forecast.spend import FORECAST, NAIVE, RUN_RATE_METHOD, SEASONAL_NAIVE, TOTAL
from dcbudget.models.privacy import INSIDE
from dcbudget.models.ranges import within
from dcbudget.models.review import fiscal_year_of
from dcbudget.stages.period import whole_in_range
from dcbudget.stages.review import MonthlyReview
from dcbudget.stages.spent import DailySpend
from dcbudget.tables import COUNT, MONEY, RATE, SIGNED_RATE, Table

# Months ahead that scorecards tell of.
SCORED = (1, 3, 6)
SAID = "forecast_said"


class Forecasts:
    """Spend of the months to the fiscal year's end, by project and in total; effective cost.

    Parameters
    ----------
    month : "YYYY-MM", the last month that is known; "" for the latest that is billed to its end.
    database : file, "" for the default one.
    currency : the currency of every amount, "" for the only one there is.
    fiscal_year_start : month in which the fiscal year begins, 1 to 12.
    known_events : what is known to come, mappings or a frame as `models.forecast.events.read` takes them.
    least_group : projects of fewer users are shown together.
    plan_version : budget to compare with, "" for the last approved one of every month.
    draws, seed : simulated paths, and what they begin from.

    Raises
    ------
    DcbudgetError : no database, no such month or plan, a value out of range, several currencies without a rate.
    """

    def __init__(
        self,
        month: str = "",
        database: str = "",
        currency: str = "",
        fiscal_year_start: int = 1,
        known_events: Sequence[Mapping] | pd.DataFrame | None = None,
        least_group: int = INSIDE,
        plan_version: str = "",
        draws: int = 4000,
        seed: int = 1,
    ):
        self.review = MonthlyReview(month, database, plan_version, fiscal_year_start, currency=currency,
                                    least_group=least_group)  # fmt: skip
        self.db, self.month, self.currency = self.review.db, self.review.month, self.review.currency
        self.basis = self.review.basis
        self.known = DailySpend(self.review)
        self.paths_drawn = whole_in_range("draws", draws, 100, 1_000_000)
        self.seed = whole_in_range("seed", seed, 0, 2**32 - 1)
        told = known_events if isinstance(known_events, pd.DataFrame) else pd.DataFrame(list(known_events or ()))
        self.events = events.read(told)
        self.year_start, self.year_end_month = fiscal_year_of(self.month, self.review.fiscal_year_start)
        self.months = pd.date_range(self.month, self.year_end_month, freq="MS", inclusive="neither")
        self.year = f"fiscal year from {self.year_start:%Y-%m}"

    # What is expected.

    @cached_property
    def daily(self) -> pd.DataFrame:
        """Spend of every known day by project [money]; projects that only events name are 0."""
        known = self.known.daily
        named = sorted({*self.events["project"]} - {events.EVERY, *known})
        return known.reindex(columns=[*known, *named], fill_value=0.0)

    @property
    def horizon(self) -> int:
        """Months ahead that are scored, and whose errors widen the intervals."""
        return max(len(self.months), *SCORED)

    @cached_property
    def expectations(self) -> list[spend.Expected]:
        """What this and earlier months' forecasts expect; it takes seconds, and what is made of it is kept."""
        return backtest.expectations(self.daily, spend.YEAR)

    @property
    def inputs(self) -> dict:
        """What backtests depend on."""
        known = self.events.dropna(subset=["known"]).drop(columns="about").reset_index(drop=True)
        return {"daily": self.daily, "horizon": self.horizon, "year": spend.YEAR} | (
            {"events": known} if len(known) else {}
        )

    @cached_property
    def _year_of_points(self) -> pd.DataFrame:
        """As `points`, up to a year ahead; what lies beyond the horizon has no interval."""
        about = {"month": f"{self.month:%Y-%m}", "currency": self.currency}
        return results.computed("forecast_points", self.inputs, self._points, self.db, about)

    def _points(self) -> pd.DataFrame:
        points = backtest.rolling(self.daily, spend.YEAR, known_events=self.events, found=self.expectations)
        near = points["horizon"] <= self.horizon
        return pd.concat([intervals.with_bands(points[near].reset_index(drop=True)), points[~near]], ignore_index=True)

    @cached_property
    def points(self) -> pd.DataFrame:
        """Forecasts of every method from this and earlier months, with what came (see `backtest.rolling`)."""
        points = self._year_of_points
        return points[points["horizon"] <= self.horizon].reset_index(drop=True)

    @cached_property
    def _now(self) -> pd.DataFrame:
        """This month's forecasts by method, month and project, without what is known to come."""
        found = self.points[(self.points["made_month"] == self.month) & (self.points["project"] != TOTAL)]
        return found[found["target_month"].isin(self.months)]

    def _of_method(self, method: str) -> pd.DataFrame:
        found = self._now[self._now["method"] == method]
        table = found.pivot(index="target_month", columns="project", values="forecast")
        return table.reindex(self.months, columns=list(self.daily)).rename_axis("month")

    @cached_property
    def _weekday(self) -> pd.DataFrame:
        """What a day of the week is above the mean, by project; kept, as the forecasts are."""
        return results.computed(
            "forecast_weekdays", {"daily": self.daily},
            lambda: pd.DataFrame({name: spend.weekdays(self.daily[name]) for name in self.daily}), self.db, {},
        )  # fmt: skip

    @cached_property
    def _ahead(self) -> tuple[pd.DataFrame, np.ndarray]:
        """Days ahead by project with events, months summing to cents, and what events multiplied months by."""
        plain = self._of_method(FORECAST)
        if not len(plain):
            return plain, np.ones((0, plain.shape[1]))
        days, factors = events.applied(self.events, spend.by_day(plain, self._weekday))
        month = days.index.to_period("M").to_timestamp()
        sums = days.groupby(month).sum()
        gap = (to_cents(sums.to_numpy()) - sums.to_numpy()) / self.months.days_in_month.to_numpy()[:, None]
        return days + gap[self.months.get_indexer(month)], factors

    @property
    def daily_ahead(self) -> pd.DataFrame:
        """Expected spend of every day ahead by project; the days of a month sum to `monthly` [money]."""
        return self._ahead[0]

    @cached_property
    def middle(self) -> pd.DataFrame:
        """Expected spend of every month ahead by project, in cents [money]."""
        days = self.daily_ahead
        if not len(days):
            return days
        return days.groupby(days.index.to_period("M").to_timestamp()).sum().round(2).rename_axis("month")

    @cached_property
    def spread(self) -> intervals.Spread:
        """How the errors of earlier months' forecasts spread."""
        return intervals.spread(self.points, max(len(self.months), 1))

    @cached_property
    def _unit(self) -> np.ndarray:
        """What a score of 1 stands for, months by project."""
        sizes = spend.by_month(self.daily).iloc[-12:].abs().mean()
        never = sizes == 0
        sizes[never] = self.middle.abs().mean()[never] if len(self.middle) else 0.0
        return self.spread.unit(sizes) * self.factors

    @property
    def factors(self) -> np.ndarray:
        """What events multiply the months ahead by, months by project."""
        return self._ahead[1]

    @property
    def floor(self) -> np.ndarray:
        """What no forecast of a project goes below: 0, where it never did."""
        return np.where((self.daily.to_numpy() >= 0).all(axis=0), 0.0, -np.inf)

    @property
    def method(self) -> pd.Series:
        """Project -> how it was forecast, in words."""
        found = self.points[(self.points["made_month"] == self.month) & (self.points["method"] == FORECAST)]
        words = found.groupby("project")["words"].first()
        touched = {*self.events["project"]}
        words = words.where([not touched & {name, events.EVERY} for name in words.index], words + ", and known events")
        return words + "; range assumed, no error is known yet" if self.spread.assumed else words

    @cached_property
    def monthly(self) -> pd.DataFrame:
        """`month`, `project`, `p50`, `lower_50`, `upper_50`, ... `upper_95` [money], `method`."""
        middle = self.middle
        ends = intervals.bands(middle, self._unit[: len(middle)], self.spread, floor=self.floor)
        return self._long(middle, ends, middle.columns)

    @cached_property
    def total(self) -> pd.DataFrame:
        """The same of the sum: its middle is the sum of the projects', its ends those of the paths' sums."""
        sums = self.paths.sum(axis=2)
        ends = {}
        for level in intervals.LEVELS:
            low, high = np.quantile(sums, [0.5 - level / 2, 0.5 + level / 2], axis=0)
            ends |= {f"lower_{100 * level:.0f}": low[:, None], f"upper_{100 * level:.0f}": high[:, None]}
        return self._long(self.middle.sum(axis=1).round(2).to_frame(TOTAL), ends, [TOTAL])

    def _long(self, middle: pd.DataFrame, ends: dict[str, np.ndarray], names) -> pd.DataFrame:
        months, projects = np.repeat(self.months, len(names)), np.tile(np.array(names, dtype=object), len(self.months))
        frame = pd.DataFrame({"month": months, "project": projects, "p50": middle.to_numpy().ravel()})
        frame = frame.assign(**{name: values.ravel() for name, values in ends.items()})
        return frame.assign(method=frame["project"].map(self.method).fillna("sum of the projects"))

    @cached_property
    def paths(self) -> np.ndarray:
        """Simulated months, (draws, months, projects) [money, cents]."""
        paths = intervals.paths(self.middle, self._unit[: len(self.months)], self.spread, self.paths_drawn, self.seed,
                                self.floor)  # fmt: skip
        return paths.round(2)

    # The year's end.

    @cached_property
    def spent(self) -> pd.Series:
        """Spent since the fiscal year began, by project [money]."""
        return self.known.since(self.year_start).reindex(list(self.daily), fill_value=0.0)

    @cached_property
    def draws(self) -> pd.DataFrame:
        """Spend of the whole fiscal year by path (rows) and project (columns) [money]."""
        return pd.DataFrame(self.paths.sum(axis=1) + self.spent.to_numpy(), columns=list(self.daily))

    @cached_property
    def budget(self) -> pd.Series:
        """What is budgeted for the fiscal year, by project [money]; empty where no plan covers any of it."""
        lines = self.review.budget
        lines = lines[(lines["month"] >= self.year_start) & (lines["month"] < self.year_end_month)]
        return lines.groupby("project")["budget"].sum().astype(float)

    @cached_property
    def landings(self) -> pd.DataFrame:
        """`project` ("Total" last), `spent`, `landing`, its ends at 50, 80 and 95 %, `run_rate` (its landing),
        `budget`, `chance` (of overrun), `method`."""
        spent, middle = self.spent, self.middle.sum()
        rate = self._of_method(RUN_RATE_METHOD).sum()
        frame = pd.DataFrame({"spent": spent, "landing": spent + middle, "run_rate": spent + rate})
        frame.loc[TOTAL] = frame.sum()
        drawn = self.draws.assign(**{TOTAL: self.draws.sum(axis=1)})
        for level in intervals.LEVELS:
            low, high = drawn.quantile(0.5 - level / 2), drawn.quantile(0.5 + level / 2)
            frame[f"lower_{100 * level:.0f}"], frame[f"upper_{100 * level:.0f}"] = low, high
        chance = self.chance_of_overrun().set_index("project")
        frame["budget"], frame["chance"] = chance["budget"], chance["chance"]
        frame["method"] = self.method.reindex(frame.index).fillna("sum of the projects")
        return frame.rename_axis("project").reset_index()

    def chance_of_overrun(self, budget: Mapping[str, float] | pd.Series | None = None) -> pd.DataFrame:
        """How likely the year ends over a budget.

        Parameters
        ----------
        budget : project -> money of the fiscal year; the plan's by default. "Total" is the sum of the others where it
            is not given.

        Returns
        -------
        DataFrame : `project` ("Total" last), `budget`, `chance` (share of the paths above it, null without a budget)
            and `expected_overrun` (mean of what is above it) [money].
        """
        given = self.budget if budget is None else pd.Series(dict(budget), dtype=float)
        if unknown := sorted(set(given.index) - {*self.daily, *self.budget.index, TOTAL}):
            raise OutOfRange(f"a budget is of one of {', '.join([*self.daily, TOTAL])}, not of {unknown[0]!r}")
        within("budget", given.to_numpy())
        names = [*self.daily, *(name for name in given.index if name not in self.daily and name != TOTAL)]
        drawn = self.draws.reindex(columns=names, fill_value=0.0)
        drawn[TOTAL] = drawn.sum(axis=1)
        given = given.reindex([*names, TOTAL])
        if pd.isna(given[TOTAL]) and given.notna().any():
            given[TOTAL] = given.sum()
        over = drawn - given.to_numpy()
        chance = (over > 0).mean().where(given.notna())
        frame = pd.DataFrame({"budget": given, "chance": chance, "expected_overrun": over.clip(lower=0).mean()})
        return frame.rename_axis("project").reset_index()

    @cached_property
    def landings_then(self) -> pd.DataFrame:
        """Where the year was expected to land at the end of this and earlier months of it, with what was known then.

        Of the months at whose end four were known: `month`, `project` ("Total" too), `landing_p50` and `landing_p80`
        [money]; the last is without what is known to come.
        """
        points, first = self._year_of_points, self.known.months[: spend.LEAST_MONTHS][-1]
        if len(self.known.months) < spend.LEAST_MONTHS:
            points = points.head(0)
        monthly = self.known.monthly.reindex(columns=list(self.daily), fill_value=0.0)
        in_year = points["made_month"].between(max(first, self.year_start), self.month) & (points["method"] == FORECAST)
        return intervals.landings(points, points[in_year], monthly.loc[self.year_start :], self.year_end_month,
                                  self.seed)  # fmt: skip

    # What was said, and how wrong it was.

    def keep(self) -> pd.DataFrame:
        """What is forecast now, kept for later reviews; what was said of the same month before stays as it was.

        Returns
        -------
        DataFrame : `made_month`, `target_month`, `project`, `p10`, `p50`, `p90` [money], `method`.
        """
        rows = pd.concat([self.monthly, self.total], ignore_index=True)
        said = pd.DataFrame({
            "made_month": self.month, "target_month": rows["month"], "project": rows["project"],
            "p10": rows["lower_80"], "p50": rows["p50"], "p90": rows["upper_80"], "method": rows["method"],
        })  # fmt: skip
        about = {"month": f"{self.month:%Y-%m}", "currency": self.currency, "least_group": self._least_group}
        return results.computed(SAID, about, lambda: said, self.db, about) if len(said) else said

    def said(self) -> pd.DataFrame:
        """What was kept of this month and earlier ones, with `actual` where it is known [money].

        Of several forecasts of one month the first counts: nothing is better known afterwards.
        """
        kept = results.listed(SAID, self.db)
        names = ["made_month", "target_month", "project", "p10", "p50", "p90", "method"]
        if kept.empty:
            return pd.DataFrame(columns=[*names, "actual"])
        kept = kept[(kept["currency"] == self.currency) & (kept["month"] <= f"{self.month:%Y-%m}")
                    & (kept["least_group"] == self._least_group)]  # fmt: skip
        frames = [results.kept(SAID, key, self.db) for key in kept.drop_duplicates("month", keep="last")["key"]]
        if not frames:
            return pd.DataFrame(columns=[*names, "actual"])
        actual = self.known.monthly.assign(**{TOTAL: self.known.monthly.sum(axis=1)}).stack().rename("actual")
        frame = pd.concat(frames, ignore_index=True)
        return frame.join(actual.rename_axis(["target_month", "project"]), on=["target_month", "project"]).sort_values(
            ["made_month", "target_month", "project"], ignore_index=True)  # fmt: skip

    @property
    def _least_group(self) -> int:
        return self.review.reading.least_group

    def _scored(self) -> pd.DataFrame:
        return self.points.dropna(subset=["actual", "forecast"])

    def scores(self) -> pd.DataFrame:
        """How wrong every method was, by project, months ahead and method (see `backtest.score`)."""
        known = self._scored()
        return backtest.score(known[known["horizon"].isin(SCORED)], ["project", "horizon", "method"])

    def plan_scores(self, by: str = "category") -> pd.DataFrame:
        """How wrong the budget was in the months that have both: `by`, `budget`, `actual`, `wape`, `bias`, `driver`.

        Raises
        ------
        OutOfRange : `by` is not project or category.
        """
        if by not in ("project", "category"):
            raise OutOfRange(f"by must be project or category, not {by!r}")
        lines, monthly = self.review.lines, self.review.monthly
        both = monthly.loc[monthly["budget"].notna() & monthly["actual"].notna(), "month"]
        lines = lines[lines["month"].isin(both) & (lines["month"] <= self.month)]
        each = lines.groupby([by, "month"], as_index=False)[["budget", "actual"]].sum()
        points = each.rename(columns={"budget": "forecast"}).assign(naive_error=np.nan)
        frame = backtest.score(points, [by]).merge(each.groupby(by, as_index=False)[["budget", "actual"]].sum(), on=by)
        whole_ = backtest.score(
            points.groupby("month", as_index=False).sum(numeric_only=True).assign(all=TOTAL), ["all"]
        )
        whole_ = whole_.rename(columns={"all": by}).assign(**each[["budget", "actual"]].sum())
        frame = pd.concat([frame.sort_values("actual", ascending=False), whole_], ignore_index=True)
        counted = dict(zip(planning.CATEGORIES, planning.COUNTED_BY, strict=True))
        return frame.assign(driver=frame[by].map(counted)).drop(columns=["mase", "coverage_80"])

    # What is shown.

    @staticmethod
    def show(chart):
        """A chart for where it is shown, live or as a picture."""
        from dcbudget import charts

        return charts.show(chart)

    def year_end(self) -> Table:
        """Where the year lands by project and in total, with its intervals and the chance of overrun."""
        frame = self.landings
        names = {"project": "Project", "spent": "Year to date", "landing": "Landing", "lower_80": "80 %: from",
                 "upper_80": "to", "run_rate": "At the run rate", "budget": "Budget of the year",
                 "chance": "Chance of overrun", "method": "Forecast by"}  # fmt: skip
        formats = dict.fromkeys(("spent", "landing", "lower_80", "upper_80", "run_rate", "budget"), MONEY)
        return Table(frame, names, f"{self.finding} ({self.basis}, {self.year})", formats | {"chance": RATE})

    @property
    def finding(self) -> str:
        """One sentence on the year's end."""
        whole = self.landings.iloc[-1]
        landing = f"The year lands at {self.money(whole['landing'])}"
        if not len(self.months):
            landing = f"The year ended at {self.money(whole['landing'])}"
        if pd.isna(whole["budget"]):
            return f"{landing}; no plan covers it"
        gap = whole["landing"] - whole["budget"]
        beside = f"{self.money(abs(gap))} {'over' if gap > 0 else 'under'} budget"
        return f"{landing}, {beside}" + (f"; chance of overrun {in_words(whole['chance'])}" if len(self.months) else "")

    def months_table(self) -> Table:
        """The months ahead in total with their intervals, by the plain methods too."""
        frame = self.total.drop(columns=["project", "method"])
        for method in (RUN_RATE_METHOD, NAIVE, SEASONAL_NAIVE):
            frame[method] = self._of_method(method).sum(axis=1, skipna=False).to_numpy()
        frame["month"] = frame["month"].dt.strftime("%Y-%m")
        names = {"month": "Month", "p50": "Forecast", "lower_50": "50 %: from", "upper_50": "to",
                 "lower_80": "80 %: from", "upper_80": "to ", "lower_95": "95 %: from", "upper_95": "to  ",
                 **{method: method for method in (RUN_RATE_METHOD, NAIVE, SEASONAL_NAIVE)}}  # fmt: skip
        total = tuple(name for name in ("p50", RUN_RATE_METHOD, NAIVE))
        return Table(frame, names, f"Months to come ({self.basis})", dict.fromkeys(list(names)[1:], MONEY), total)

    def backtest(self) -> Table:
        """How wrong every method was in total and over the projects, all months ahead together."""
        known = self._scored()
        known = known.assign(of=known["project"].where(known["project"] == TOTAL, "Projects"))
        frame = backtest.score(known, ["of", "method"])
        names = {"of": "Of", "method": "Method", "forecasts": "Forecasts", "wape": "WAPE", "bias": "Bias",
                 "mase": "MASE", "coverage_80": "In the 80 % interval"}  # fmt: skip
        formats = {"forecasts": COUNT, "wape": RATE, "bias": SIGNED_RATE, "mase": "{:.2f}", "coverage_80": RATE}
        return Table(frame, names, f"{self._backtest_finding()} ({self._tested})", formats)

    def scorecard(self) -> Table:
        """How wrong we would have been 1, 3 and 6 months ahead, by project and in total, beside the run rate."""
        frame = self.scores()
        table = frame[frame["method"] == FORECAST].drop(columns=["method", "mase"])
        rate = frame[frame["method"] == RUN_RATE_METHOD].set_index(["project", "horizon"])["wape"]
        table = table.join(rate.rename("rate_wape"), on=["project", "horizon"])
        table["last"] = table["project"] == TOTAL
        table = table.sort_values(["last", "project", "horizon"], ignore_index=True).drop(columns="last")
        names = {"project": "Project", "horizon": "Months ahead", "forecasts": "Forecasts", "wape": "WAPE",
                 "rate_wape": "WAPE of the run rate", "bias": "Bias",
                 "coverage_80": "In the 80 % interval"}  # fmt: skip
        formats = {"horizon": COUNT, "forecasts": COUNT, "wape": RATE, "rate_wape": RATE, "bias": SIGNED_RATE,
                   "coverage_80": RATE}  # fmt: skip
        return Table(table, names, f"{self._scorecard_finding(table)} ({self._tested})", formats)

    def plan_scorecard(self, by: str = "category") -> Table:
        """How wrong the budget was, by project or category."""
        frame = self.plan_scores(by)
        names = {by: by.capitalize(), **({"driver": "Counted by"} if by == "category" else {}), "budget": "Budget",
                 "actual": "Actual", "wape": "WAPE", "bias": "Bias"}  # fmt: skip
        formats = {"budget": MONEY, "actual": MONEY, "wape": RATE, "bias": SIGNED_RATE}
        whole = frame.iloc[-1] if len(frame) else None
        title = "No plan covers a month with bills"
        if whole is not None and pd.notna(whole["wape"]):
            side = "above" if whole["bias"] > 0 else "below"
            title = f"The budget lay {abs(whole['bias']):.1%} {side} what was spent in {whole['forecasts']:.0f} months"
        return Table(frame, names, f"{title} ({self.basis})", formats)

    def chart(self):
        """The months of the total with their intervals, beside actual, run rate and budget; an Altair chart."""
        from dcbudget.charts import forecast as charts

        actual = self.known.monthly.sum(axis=1).iloc[-18:]
        budget = self.review.budget.groupby("month")["budget"].sum().astype(float)
        budget = budget[(budget.index >= actual.index[0]) & (budget.index < self.year_end_month)]
        rate = self._of_method(RUN_RATE_METHOD).sum(axis=1)
        lines = {"Actual": actual, "Forecast": self.middle.sum(axis=1), "Run rate": rate, "Budget": budget}
        frame = pd.concat([pd.DataFrame({"month": line.index, "line": name, "amount": line.to_numpy(dtype=float)})
                           for name, line in lines.items() if len(line)])  # fmt: skip
        return charts.fan(self.total, frame, self.finding, f"{self.basis}, by month")

    def year_end_chart(self):
        """Where every project lands against its budget; an Altair chart."""
        from dcbudget.charts import forecast as charts

        frame = self.landings.iloc[:-1].sort_values("landing", ascending=False)
        likely = frame[frame["chance"] > 0.5]
        title = (
            f"{len(likely)} of {frame['budget'].notna().sum()} budgeted projects will rather be over than under budget"
        )
        return charts.landings(frame, title, f"landing of the {self.year}, {self.basis}")

    def backtest_chart(self):
        """How wrong methods were over the projects, by months ahead; an Altair chart."""
        from dcbudget.charts import forecast as charts

        known = self._scored()
        frame = backtest.score(known[known["project"] != TOTAL], ["method", "horizon"])
        return charts.errors_ahead(frame, self._backtest_finding(), f"WAPE of the projects' months; {self._tested}")

    @property
    def _tested(self) -> str:
        known = self._scored()
        if known.empty:
            return self.basis
        return f"{known['made_month'].nunique()} months' forecasts, {self.basis}"

    def _backtest_finding(self) -> str:
        known = self._scored()
        if known.empty:
            return "Nothing is known yet of how wrong forecasts are"
        wape = backtest.score(known[known["project"] != TOTAL]).set_index("method")["wape"]
        side = "less" if wape[FORECAST] <= wape[RUN_RATE_METHOD] else "more"
        return f"Forecasts missed by {wape[FORECAST]:.1%}, {side} than the run rate ({wape[RUN_RATE_METHOD]:.1%})"

    @staticmethod
    def _scorecard_finding(table: pd.DataFrame) -> str:
        total = table[table["project"] == TOTAL]
        if total.empty:
            return "Nothing is known yet of how wrong forecasts are"
        told = ", ".join(
            f"{row.wape:.1%} {row.horizon} month{'s' if row.horizon > 1 else ''} ahead" for row in total.itertuples()
        )
        return f"The total was missed by {told}"

    def money(self, amount: float) -> str:
        return f"{MONEY.format(amount)} {self.currency}"


def in_words(value: float) -> str:
    """A chance in words that no number of paths could belie."""
    if value > 0.99:
        return "above 99%"
    return "below 1%" if value < 0.01 else f"{value:.0%}"
