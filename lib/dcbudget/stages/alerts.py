"""5_monitor and 7_review: what is out of the ordinary in a month, what it is worth, and what was done about it."""

from copy import copy
from functools import cached_property

import pandas as pd

from dcbudget import alerts, warehouse
from dcbudget.errors import OutOfRange
from dcbudget.models import anomaly, review
from dcbudget.models.anomaly import bills, budgets, runs, spend
from dcbudget.models.privacy import INSIDE
from dcbudget.stages.forecast import Forecasts
from dcbudget.stages.period import in_range, months_with_bills, parse_month, whole_in_range, whole_month
from dcbudget.stages.reading import Reading
from dcbudget.stages.review import MonthlyReview
from dcbudget.tables import MONEY, Headline, Table

MONTH = pd.DateOffset(months=1)
DAY = pd.Timedelta(days=1)
# Categories of which a whole month is charged on its first day.
OWNED = ("Owned hardware", "Power", "Facility and staff")
# How far back jobs and runs are looked at.
LOOK_BACK_MONTHS = 6
HELD = ("useful", "failed or restarted", "held but idle", "unallocated", "down")


class Alerts:
    """What is out of the ordinary in one month, as it was known at a day; money in one currency.

    Parameters
    ----------
    month : "YYYY-MM", "" for the latest that is billed to its end.
    database : file, "" for the default one.
    currency : of every amount, "" for the only one there is.
    plan_version : budget to compare with, "" for the last approved one.
    fiscal_year_start : month in which the fiscal year begins, 1 to 12.
    run_rate_months : months whose mean the months to come are taken to cost where too few are known for a forecast.
    sensitivity : robust standard deviations from what was expected, from which a day's spend counts; fewer find more.
    least_money : what an alert must be worth [money].
    persistence : days beyond the band before an alert of spend.
    least_run_money : what a run must have spent since it diverged or stalled [money].
    least_group : projects of fewer users are shown together.
    as_of : the last day that is known, "YYYY-MM-DD"; "" for the last of the month.

    Raises
    ------
    DcbudgetError : no database, no such month or plan, a value out of range, several currencies without a rate.
    """

    def __init__(
        self,
        month: str = "",
        database: str = "",
        currency: str = "",
        plan_version: str = "",
        fiscal_year_start: int = 1,
        run_rate_months: int = 3,
        sensitivity: float = 4.0,
        least_money: float = 1000.0,
        persistence: int = 2,
        least_run_money: float = 100.0,
        least_group: int = INSIDE,
        as_of: str = "",
    ):
        self.db = database or None
        self.rules = spend.Rules(sensitivity, least_money, persistence)
        self.least_run_money = in_range("least_run_money", least_run_money, 0, 1e12)
        months = months_with_bills(self.db)
        day = anomaly.moment("as_of", as_of).normalize() if as_of else None
        if day is not None and not month:
            month = f"{max([known for known in months if known <= day], default=day):%Y-%m}"
        self.month = parse_month(month or whole_month(months, self.db), months)
        self.as_of = self.month + MONTH if day is None else day + DAY
        if self.as_of <= self.month:
            raise OutOfRange(f"as_of must be in {self.month:%Y-%m} or later, not {day:%Y-%m-%d}")
        whole_in_range("least_group", least_group, 1, 1000)
        # projects under their own names, so that alerts stay the same whoever worked in a month; merged where shown
        self.review = MonthlyReview(
            f"{self.month:%Y-%m}", database, plan_version, fiscal_year_start, run_rate_months, currency=currency,
            least_group=1,
        )  # fmt: skip
        self.reading, self.currency = self.review.reading, self.review.currency
        self.shown = Reading(database, self.currency, self.month, least_group)
        self.basis = f"{self.currency}{self.reading.rates_remark}"

    def tried(self, sensitivity: float, least_money: float) -> "Alerts":
        """The same month under other rules; what was read from the database is not read again.

        Raises
        ------
        OutOfRange : a value out of its range.
        """
        self._spend  # noqa: B018 - read once for all rules
        other = copy(self)
        other.rules = spend.Rules(sensitivity, least_money, self.rules.persistence)
        for name in ("watched", "findings", "of_month"):
            other.__dict__.pop(name, None)
        return other

    @cached_property
    def watched(self) -> list[spend.Watched]:
        """Daily spend by project, category and in total, each with its band and alerts; effective basis."""
        return spend.watch(self._spend, self.as_of, self.rules)

    @cached_property
    def _spend(self) -> spend.Spend | None:
        daily = self._query(
            'select "day", date_trunc(\'month\', "day")::date as month, project, category, currency,'
            " sum(effective_cost) as cost from cost_daily where provider <> 'Owned' group by all",
            "cost",
        )
        return spend.read(daily.assign(day=pd.to_datetime(daily["day"])), self.as_of)

    @cached_property
    def findings(self) -> pd.DataFrame:
        """Everything that was found up to the day, ended or not."""
        least = self.rules.least_money
        return anomaly.frame_of([
            *spend.findings(self.watched),
            *self._of_runs,
            *(one for one in self._of_jobs if not one.money < least),
            *bills.idle_commitments(self._commitments, self.as_of, least),
            *bills.capacity_down(self._downtime, self.as_of, least),
            *bills.price_changes(self._prices, self.as_of, least),
            *bills.restated(self._restated, self.as_of, least),
            *self._missing,
            *self._budgets(),
        ])  # fmt: skip

    # What no rule that may be tried bears upon, or only the least money, is found once for all of them.

    @cached_property
    def _of_runs(self) -> list[anomaly.Finding]:
        least = self.least_run_money
        return [*runs.diverging(self._losses, self._runs, self.as_of, least),
                *runs.stalled(self._logs, self._runs, self.as_of, least)]  # fmt: skip

    @cached_property
    def _of_jobs(self) -> list[anomaly.Finding]:
        """Of any money."""
        return [*runs.crash_loops(self._jobs, self.as_of, 0.0), *runs.held_idle(self._jobs, self.as_of, 0.0)]

    @cached_property
    def _missing(self) -> list[anomaly.Finding]:
        return list(bills.missing_bills(self._billed_days, self.as_of))

    @cached_property
    def of_month(self) -> pd.DataFrame:
        """What lasted at some time from the month on, with the state that each has, and the note on it."""
        found = anomaly.overlapping(self.findings, self.month, self.as_of).assign(currency=self.currency)
        decided = alerts.stored(self.db).set_index("alert_id")
        by_hand = decided[(decided["state"] == "acknowledged") | (decided["closed_by"] == alerts.BY_HAND)]
        states, notes = by_hand["state"].to_dict(), decided["note"].dropna().to_dict()
        lasts = found["until"].isna()
        return found.assign(
            state=[
                states.get(name, "open" if last else "closed")
                for name, last in zip(found["alert_id"], lasts, strict=True)
            ],
            note=[notes.get(name, "") for name in found["alert_id"]],
        )  # fmt: skip

    def record(self, *, wait_seconds: float = warehouse.WAIT_SECONDS) -> pd.DataFrame:
        """Keep what was found (`alerts.record`); those of which no news were sent."""
        last_day = (self.as_of - DAY).date()
        return alerts.record(
            self.findings, self.currency, last_day, self.month, self.db, wait_seconds=wait_seconds
        )  # fmt: skip

    def told(self, rows: pd.DataFrame) -> list[dict]:
        """Alerts as plain values (`alerts.told`), projects under the names that they are shown under."""
        return alerts.told(rows, self.shown.names)

    def title(self, news: int) -> str:
        """How many alerts are news, and of what month."""
        return f"dcbudget: {news or 'no'} new alert{'' if news == 1 else 's'}, {self._when}"

    def headline(self) -> Headline:
        """How many alerts, what they are worth, and the largest."""
        frame = self.of_month
        counts = frame["state"].value_counts()
        told = ", ".join(f"{counts[state]} {state}" for state in alerts.STATES if state in counts) or "none"
        figures = [("Alerts", str(len(frame)), told)]
        if len(frame):
            first = self._scoped(frame).iloc[0]
            figures.append(("Largest", self._money(first["money"]), f"{first['kind']}, {first['scope']}"))
        return Headline(f"Alerts of {self._when} ({self.basis})", figures)

    def table(self) -> Table:
        """Every alert of the month: when, what, how much money, and why; most money first."""
        frame = self._scoped(self.of_month)
        names = {"alert_id": "Alert", "state": "State", "kind": "Kind", "scope": "Scope", "since": "Since",
                 "until": "Until", "money": "Money", "basis": "Basis", "what": "What", "why": "Why"}  # fmt: skip
        if (frame["note"] != "").any():
            names["note"] = "Note"
        return Table(frame, names, f"{self._finding(frame)} ({self.basis})", {"money": MONEY})

    def chart(self, project: str = spend.TOTAL, category: str = ""):
        """Daily spend of a project or category, or of all, with its band and what was found; live or as SVG."""
        from dcbudget import charts

        return charts.show(self.spend_chart(project, category))

    def spend_chart(self, project: str = spend.TOTAL, category: str = ""):
        """The Altair chart of `chart`, over the last six months.

        Raises
        ------
        OutOfRange : there is no daily spend of this project and category.
        """
        from dcbudget.charts.alerts import spend_band

        one = self._watched(project, category)
        since = self.month - pd.DateOffset(months=5)
        band = one.band[one.band.index >= since].rename_axis("day").reset_index()
        marked = spend.marked(one)
        marked = marked[marked["day"] >= since]
        scope = self._name(project) + (f", {category}" if category else "")
        excess = (marked["actual"] - marked["expected"]).sum()
        title = (
            f"{scope}: {len(marked)} days out of the ordinary, {self._money(excess)} beyond what was expected"
            if len(marked)
            else f"{scope}: every day is as was to be expected"
        )
        return spend_band(band, marked, title, f"rented, by day, effective cost, {self.basis}")

    def scopes(self) -> list[tuple[str, str]]:
        """The projects and categories whose daily spend is watched, those with alerts in the month first."""
        of_spend = self.of_month[self.of_month["kind"].str.startswith("spend")]
        hot = {(name or spend.TOTAL, of) for name, of in zip(of_spend["project"], of_spend["subject"], strict=True)}
        names = [(one.project or spend.TOTAL, one.category) for one in self.watched if one.pace is spend.DAILY]
        return sorted(names, key=lambda name: (name not in hot, names.index(name)))

    def _watched(self, project: str, category: str) -> spend.Watched:
        wanted = "" if project == spend.TOTAL else project
        for one in self.watched:
            if (one.project, one.category) == (wanted, category) and one.pace is spend.DAILY:
                return one
        known = ", ".join(sorted({one.project for one in self.watched if one.project}))
        raise OutOfRange(f"no daily spend of project {project!r} and category {category!r}; there are {known}")

    def _budgets(self) -> list:
        """Findings about budgets, of the months that are billed."""
        review_of, least = self.review, self.rules.least_money
        if not review_of.plan_version:
            return []
        lines = self._budget_lines
        billed = lines[lines["month"].isin(review_of.months) & (lines["month"] + MONTH <= self.as_of)]
        return [
            *budgets.over_month(billed, self.as_of, least),
            *budgets.near_month(self._this_month, self.month, self.as_of, least),
            *budgets.over_year(lines, self.as_of, review_of.fiscal_year_start, least),
            *budgets.forecast_over(self._landings, self.as_of, least),
        ]

    @cached_property
    def _this_month(self) -> pd.DataFrame:
        """Budget, actual and planned to the day, of the month by project."""
        elapsed = min((self.as_of - self.month) / (self.month + MONTH - self.month), 1.0)
        lines = self.review.this_month.copy()
        lines["planned"] = lines["budget"] * lines["category"].isin(OWNED).map({True: 1.0, False: elapsed})
        amounts = ["budget", "actual", "planned"]
        return budgets.with_total(lines.groupby(["month", "project"], as_index=False)[amounts].sum(), amounts)

    @cached_property
    def _budget_lines(self) -> pd.DataFrame:
        """Budget and actual by project and month, with their totals."""
        lines = self.review.lines.groupby(["project", "month"], as_index=False)[["budget", "actual"]].sum()
        return budgets.with_total(lines, ["budget", "actual"])

    @cached_property
    def _landings(self) -> pd.DataFrame:
        """Where every project's year was expected to land, at the end of every month of this fiscal year.

        By the forecast that the month's end allowed, so that what one month said stays as it was in the next; by the
        run rate where too few months were known for one. What is known to come is left out.
        """
        of = self.review
        start, year_end = review.fiscal_year_of(self.month, of.fiscal_year_start)
        months = [month for month in of.months if start <= month <= self.month and month + MONTH <= self.as_of]
        lines = self._budget_lines
        in_year = (lines["month"] >= start) & (lines["month"] < year_end)
        budgeted = lines[in_year].groupby("project", as_index=False)["budget"].sum()
        told = self._forecast_then(months[-1]).assign(method="forecast") if months else pd.DataFrame()
        rows = []
        for project, own in lines.groupby("project", sort=True):
            known = own.assign(actual=own["actual"].where(own["month"].isin(of.months)))
            for month in months if told.empty else sorted(set(months) - set(told["month"])):
                end = review.run_rate_landing(known, month, of.fiscal_year_start, of.run_rate_months)
                rows.append((month, project, end.landing, float("nan"), "run rate"))
        rated = pd.DataFrame(rows, columns=["month", "project", "landing_p50", "landing_p80", "method"])
        found = pd.concat([part for part in (told, rated) if len(part)] or [rated], ignore_index=True)
        return found.merge(budgeted, on="project").assign(year_end=year_end)

    def _forecast_then(self, month: pd.Timestamp) -> pd.DataFrame:
        of = self.review
        forecasts = Forecasts(f"{month:%Y-%m}", self.db or "", self.currency, of.fiscal_year_start, least_group=1)
        return forecasts.landings_then

    @cached_property
    def _rates(self) -> pd.DataFrame:
        """Effective cost of a GPU-hour by month, cluster and GPU model."""
        ledger = self.reading.mart("gpu_ledger_monthly", ["effective_cost", "billed_cost"])
        sums = ledger[ledger["bucket"].isin(HELD)].groupby(["month", "cluster", "gpu_model"], as_index=False)[
            ["effective_cost", "gpu_hours"]
        ].sum()  # fmt: skip
        sums["cost_per_gpu_hour"] = sums["effective_cost"] / sums["gpu_hours"].where(sums["gpu_hours"] > 0)
        return sums[["month", "cluster", "gpu_model", "cost_per_gpu_hour"]]

    def _priced(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Rows of `cluster`, `gpu_model` and `start_time` with the cost of a GPU-hour of the pool in that month."""
        month = frame["start_time"].dt.to_period("M").dt.to_timestamp().astype("datetime64[us]")
        rates = self._rates.astype({"month": "datetime64[us]"})
        return frame.assign(month=month).merge(rates, on=["month", "cluster", "gpu_model"], how="left")

    @property
    def _begin(self):
        return (self.month - pd.DateOffset(months=LOOK_BACK_MONTHS)).to_pydatetime()

    @cached_property
    def _jobs(self) -> pd.DataFrame:
        return self._priced(warehouse.query(
            "select project, user_id, cluster, gpu_model, gpus, job_id, submit_time, start_time, end_time, state,"
            " restarts, gpu_utilisation from jobs where gpus > 0 and start_time is not null and start_time >= ?",
            self.db, [self._begin],
        ))  # fmt: skip

    @cached_property
    def _runs(self) -> pd.DataFrame:
        return self._priced(warehouse.query(
            "select run_id, runs.project, coalesce(runs.gpus, jobs.gpus, 0) as gpus, runs.cluster, jobs.gpu_model,"
            " coalesce(jobs.start_time, runs.start_time) as start_time, jobs.job_id is not null as has_job,"
            " case when jobs.job_id is null then runs.end_time when jobs.state <> 'RUNNING' then jobs.end_time end"
            " as end_time"
            " from runs left join (select cluster, job_id, arg_max(gpu_model, submit_time) as gpu_model,"
            " arg_max(gpus, submit_time) as gpus, arg_max(state, submit_time) as state, min(start_time) as start_time,"
            " max(end_time) as end_time from jobs group by all) jobs"
            " on jobs.job_id = runs.job_id and jobs.cluster = runs.cluster"
            " and runs.job_link not in ('none', 'ambiguous')"
            " where runs.start_time >= ? and not starts_with(run_id, 'measure-')",
            self.db, [self._begin],
        ))  # fmt: skip

    @cached_property
    def _losses(self) -> pd.DataFrame:
        return warehouse.query(
            "select run_id, step, time, value from run_metrics where metric = 'loss' and time >= ?",
            self.db, [self._begin],
        )  # fmt: skip

    @cached_property
    def _logs(self) -> pd.DataFrame:
        return warehouse.query("select distinct run_id, time from run_metrics where time >= ?", self.db, [self._begin])

    @cached_property
    def _commitments(self) -> pd.DataFrame:
        return self.reading.mart("commitments_monthly", ["used_effective_cost", "unused_effective_cost"])

    @cached_property
    def _downtime(self) -> pd.DataFrame:
        spans = warehouse.query("select cluster, gpu_model, gpus, start_time, end_time, reason from downtime", self.db)
        return self._priced(spans).fillna({"cost_per_gpu_hour": float("nan")})

    @cached_property
    def _prices(self) -> pd.DataFrame:
        frame = self._query(
            "select ChargePeriodStart::date as \"day\", date_trunc('month', ChargePeriodStart)::date as month,"
            " concat_ws(', ', SkuId, RegionId) as sku, BillingCurrency as currency,"
            " coalesce(ContractedUnitPrice, ListUnitPrice) as unit_price, ListUnitPrice as list_price,"
            " sum(PricingQuantity)::double as quantity"
            " from charges where ProviderName <> 'Owned' and ChargeCategory = 'Usage'"
            " and PricingCategory = 'Standard' and SkuId is not null and CommitmentDiscountId is null"
            " and coalesce(ContractedUnitPrice, ListUnitPrice) > 0 group by all having sum(PricingQuantity) > 0",
            "unit_price", "list_price",
        )  # fmt: skip
        return frame.assign(day=pd.to_datetime(frame["day"]))

    @cached_property
    def _restated(self) -> pd.DataFrame:
        """Loads that stated one billing period anew, wholly."""
        return self._query(
            "with periods as (select load_id, any_value(provider) as provider, any_value(billing_period)::date as month"
            " from load_scopes group by 1 having count(distinct billing_period) = 1)"
            " select provider, month, file, load_replacements.currency, sum(cost_replaced) as cost_replaced,"
            " any_value(cost_loaded) as cost_loaded from load_replacements"
            " join periods on periods.load_id = by_load_id join loads on loads.load_id = by_load_id"
            " join load_costs on load_costs.load_id = by_load_id and load_costs.currency = load_replacements.currency"
            " group by all",
            "cost_replaced", "cost_loaded",
        )  # fmt: skip

    @cached_property
    def _billed_days(self) -> pd.DataFrame:
        """Cost by day and provider, a charge spread over the days of its period."""
        frame = self._query(
            "with spans as (select provider, currency, day as first_day,"
            " greatest(date_trunc('day', to_time - interval 1 microsecond)::date, day) as last_day,"
            " sum(effective_cost)::double as cost from cost_lines where not owned and charge_category = 'Usage'"
            " group by all)"
            ' select unnest(generate_series(first_day::timestamp, last_day::timestamp, interval 1 day)) as "day",'
            " date_trunc('month', first_day)::date as month, provider, currency,"
            " cost / (1 + (last_day - first_day)) as cost from spans",
            "cost",
        )
        return frame.assign(day=pd.to_datetime(frame["day"]))

    def _query(self, statement: str, *amounts: str) -> pd.DataFrame:
        return self.reading.convert(warehouse.query(statement, self.db), list(amounts))

    @property
    def _when(self) -> str:
        whole = self.as_of >= self.month + MONTH
        return f"{self.month:%B %Y}" + ("" if whole else f", to {self.as_of - DAY:%d %B}")

    def _name(self, project: str) -> str:
        return self.shown.names.get(project, project)

    def _scoped(self, frame: pd.DataFrame) -> pd.DataFrame:
        """With the project under the name that it is shown under, and the scope: project, and of what."""
        names = frame["project"].map(self._name)
        scopes = [", ".join(part for part in pair if part) for pair in zip(names, frame["subject"], strict=True)]
        return frame.assign(project=names, scope=pd.Series(scopes, frame.index, object))

    def _finding(self, frame: pd.DataFrame) -> str:
        if frame.empty:
            return f"Nothing out of the ordinary in {self._when}"
        first = frame.iloc[0]
        count = f"{len(frame)} alerts" if len(frame) > 1 else "One alert"
        return f"{count} in {self._when}; the largest: {first['kind']}, {first['scope']}"

    def _money(self, amount: float) -> str:
        return f"{MONEY.format(amount)} {self.currency}" if pd.notna(amount) else "amount not known"
