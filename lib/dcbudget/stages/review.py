"""7_review: what did we learn this month? The monthly budget review, as tables and charts."""

from functools import cached_property

import pandas as pd

from dcbudget import warehouse
from dcbudget.models import allocation, capacity, ledger, review
from dcbudget.models.privacy import INSIDE
from dcbudget.stages.period import (
    billed_to,
    months_with_bills,
    parse_month,
    plan_for,
    whole_in_range,
    whole_month,
)
from dcbudget.stages.reading import POOL_MONEY, Reading
from dcbudget.tables import CENTS, COUNT, MONEY, RATE, SIGNED, SIGNED_RATE, Headline, Table

IDLE = "Idle capacity"
# Label of the figure that carries the last months on.
RUN_RATE = "At the run rate"
NOBODY = (IDLE, "Unallocated")


class MonthlyReview:
    """One month's review; money on the effective (amortised) basis unless a title says otherwise.

    Parameters
    ----------
    month : "YYYY-MM", "" for the latest with charges.
    database : file, "" for the default one.
    plan_version : budget to compare with, "" for the last approved one.
    fiscal_year_start : month in which the fiscal year begins, 1 to 12.
    run_rate_months : months whose mean the months to come are taken to cost.
    top_movers : how many movers are shown.
    currency : the currency of every amount, "" for the only one there is.
    share_idle : how projects bear idle capacity: none, proportional, even or fixed.
    idle_weights : project -> weight, for fixed.
    least_group : projects of fewer users are shown together; 5 inside an organisation, 11 for publishing.

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
        share_idle: str = "none",
        idle_weights: dict[str, float] | None = None,
        least_group: int = INSIDE,
    ):
        self.db = database or None
        self.fiscal_year_start = whole_in_range("fiscal_year_start", fiscal_year_start, 1, 12)
        self.run_rate_months = whole_in_range("run_rate_months", run_rate_months, 1, 24)
        self.top_movers = whole_in_range("top_movers", top_movers, 1, 50)
        self.months = months_with_bills(self.db)
        self.month = parse_month(month or whole_month(self.months, self.db), self.months)
        self.named_plan = plan_version
        self.plan_version = plan_for(self.month, plan_version, self.db)
        self.share_idle, self.idle_weights = share_idle, dict(idle_weights or {})
        least_group = whole_in_range("least_group", least_group, 1, 1000)
        self.reading = Reading(database, currency, self.month, least_group)
        self.currency = self.reading.currency
        self.basis = f"effective cost, {self.currency}{self.reading.rates_remark}"

    def of_month(self, month: str) -> "MonthlyReview":
        """The same review of another month."""
        return MonthlyReview(
            month, self.db or "", self.named_plan, self.fiscal_year_start, self.run_rate_months, self.top_movers,
            self.currency, self.share_idle, self.idle_weights, self.reading.least_group,
        )  # fmt: skip

    @cached_property
    def costs(self) -> pd.DataFrame:
        """Actual cost by month, project and category, shared pools shared out, months with bills only."""
        frame = self.reading.mart("showback_monthly", ["effective_cost"]).rename(columns={"effective_cost": "cost"})
        frame = frame[frame["month"].isin(self.months)]
        return self._share_idle(frame).assign(currency=self.currency)

    @cached_property
    def budget(self) -> pd.DataFrame:
        """Budget by month, project and category: the plan's in the months it covers, else the last approved one's."""
        frame = warehouse.query(
            "with plans as (select plan_version, coalesce(max(status), '') = 'approved' as approved"
            " from budget_lines group by 1),"
            " ranked as (select budget_lines.*, dense_rank() over (partition by month"
            " order by plan_version = ? desc, approved desc, plan_version desc) as place"
            " from budget_lines join plans using (plan_version))"
            " select month, project, category, currency, sum(amount) as budget from ranked where place = 1"
            " group by all",
            self.db,
            [self.plan_version],
        )
        frame = self.reading.prepare(frame, ["budget"]).rename(columns={"budget": "cost"})
        frame = self._share_idle(frame).rename(columns={"cost": "budget"})
        return frame.assign(currency=self.currency)

    def _share_idle(self, frame: pd.DataFrame) -> pd.DataFrame:
        weights: dict[str, float] = {}
        for project, weight in self.idle_weights.items():
            shown = self.reading.names.get(project, project)
            weights[shown] = weights.get(shown, 0.0) + weight
        return allocation.share_idle(frame, self.share_idle, weights, IDLE)

    @cached_property
    def lines(self) -> pd.DataFrame:
        """Budget and actual by month, project and category, of every month with a budget or bills."""
        keys = ["month", "project", "category", "currency"]
        actual = self.costs[[*keys, "cost"]].rename(columns={"cost": "actual"})
        frame = actual.merge(self.budget, on=keys, how="outer")
        return frame.fillna({"budget": 0.0, "actual": 0.0}).sort_values(keys, ignore_index=True)

    @cached_property
    def this_month(self) -> pd.DataFrame:
        return self.lines[self.lines["month"] == self.month]

    @cached_property
    def monthly(self) -> pd.DataFrame:
        """Budget and actual by month, null where no plan or no bill covers it."""
        return self._known(self.lines.groupby("month", as_index=False)[["budget", "actual"]].sum())

    @cached_property
    def landing(self) -> review.Landing:
        return review.run_rate_landing(self.monthly, self.month, self.fiscal_year_start, self.run_rate_months)

    @cached_property
    def pools(self) -> pd.DataFrame:
        """GPU-hours and effective cost of the month by pool."""
        frame = capacity.by_pool(self.reading.mart("gpu_hours_monthly", POOL_MONEY, month=self.month.date()))
        return frame.assign(pool=pool_names(frame))

    @cached_property
    def gpu_ledger(self) -> pd.DataFrame:
        """Every paid GPU-hour of the month by pool, bucket and project."""
        frame = self.reading.mart("gpu_ledger_monthly", ["effective_cost", "billed_cost"], month=self.month.date())
        return frame.assign(pool=pool_names(frame))

    @cached_property
    def biggest_mover(self) -> pd.Series | None:
        found = self._movers(1)
        return found.iloc[0] if len(found) else None

    def headline(self) -> Headline:
        """Spent, budget, variance, forecast, biggest mover."""
        row = review.variance_by(self.this_month.assign(all="all"), "all").iloc[0]
        landing, mover = self.landing, self.biggest_mover
        year = f"fiscal year from {landing.year_start:%Y-%m}"
        partly = billed_to(self.month, self.db)
        spent = f"{self.month:%B %Y}, effective cost" + (f", {partly}" if partly else "")
        figures = [("Spent", self._money(row["actual"]), spent)]
        if self.plan_version:
            figures += [
                ("Budget", self._money(row["budget"]), f"plan {self.plan_version}"),
                ("Variance", SIGNED.format(row["variance"]) + f" {self.currency}", self._over(row["variance_rate"])),
            ]
        else:
            figures.append(("Budget", "none", "no plan covers this month"))
        figures.append((RUN_RATE, self._money(landing.landing), f"{year}{self._landing_remark()}"))
        if mover is not None:
            change = f"{SIGNED.format(mover['change'])} {self.currency} since {self._before:%B}"
            figures.append(("Biggest mover", f"{mover['project']}, {mover['category']}", change))
        if together := self.reading.merged:
            size = f"projects of fewer than {self.reading.least_group} users"
            figures.append(("Shown together", f"{len(together)} projects", f"{size}, see least_group"))
        figures += self._rejected()
        return Headline(f"Budget review {self.month:%B %Y} ({self.basis})", figures)

    def _rejected(self) -> list[tuple[str, str, str]]:
        """What the numbers lack because its rows could not be loaded."""
        lost = warehouse.query(
            "select dataset, currency, sum(cost_rejected) as cost from load_costs join loads using (load_id)"
            " where dataset in ('charges', 'budget_lines') group by all having sum(cost_rejected) <> 0 order by all",
            self.db,
        )
        names = {"charges": "billed", "budget_lines": "budgeted"}
        told = "; ".join(f"{MONEY.format(row.cost)} {row.currency} {names[row.dataset]}" for row in lost.itertuples())
        return [("Rejected money", told, "not in these numbers, see the table rejects")] if told else []

    def projects(self) -> Table:
        """Budget, actual and variance of the month by project."""
        return self._variance_table("project", "Project")

    def categories(self) -> Table:
        """Budget, actual and variance of the month by category of cost."""
        return self._variance_table("category", "Category")

    def variance_chart(self, by: str):
        """Variance of the month by project or category; an Altair chart, for a panel to show."""
        from dcbudget import charts

        frame = review.variance_by(self.this_month, by)
        return charts.variance_bars(frame, by, self._variance_finding(frame), self._what("variance"))

    def projects_chart(self):
        from dcbudget import charts

        return charts.show(self.variance_chart("project"))

    def trend_chart(self):
        """Actual by month and category against the budget, over the last 18 months with bills."""
        from dcbudget import charts

        shown = self.lines[self.lines["month"].isin([m for m in self.months if m <= self.month][-18:])]
        actual = shown.groupby(["month", "category"], as_index=False)["actual"].sum()
        order = actual.groupby("category")["actual"].sum().sort_values(ascending=False).index
        actual = actual.set_index("category").loc[order].reset_index()
        budget = shown.groupby("month", as_index=False)[["budget", "actual"]].sum().query("budget > 0")
        year = budget[budget["month"] >= self.landing.year_start]
        over = int((year["actual"] > year["budget"]).sum())
        title = (
            f"Spend was over budget in {over} of {len(year)} months of this fiscal year"
            if len(year)
            else "Spend by month"
        )
        return charts.show(charts.trend(actual, budget, title, f"actual by month, {self.basis}"))

    def year(self) -> Table:
        """Year to date and landing by project."""
        lines = self.lines[
            (self.lines["month"] >= self.landing.year_start) & (self.lines["month"] < self.landing.year_end)
        ]
        rows = []
        for project, part in lines.groupby("project"):
            monthly = part.groupby("month", as_index=False)[["budget", "actual"]].sum()
            monthly = monthly.set_index("month").reindex(self.monthly["month"], fill_value=0.0).reset_index()
            monthly = self._known(monthly)
            end = review.run_rate_landing(monthly, self.month, self.fiscal_year_start, self.run_rate_months)
            rows.append((project, end.spent, end.run_rate, end.landing, end.budget, end.variance))
        frame = pd.DataFrame(rows, columns=["project", "spent", "run_rate", "landing", "budget", "variance"])
        frame = frame.sort_values("variance", ascending=False, ignore_index=True)
        names = {"project": "Project", "spent": "Year to date", "run_rate": "Run rate a month", "landing": "Landing",
                 "budget": "Budget of the year", "variance": "Landing - budget"}  # fmt: skip
        formats = dict.fromkeys(("spent", "run_rate", "landing", "budget"), MONEY) | {"variance": SIGNED}
        title = (
            f"At the run rate of {self.run_rate_months} months the year lands at {self._money(self.landing.landing)}"
        )
        return Table(frame, names, f"{title}{self._landing_remark()} ({self.basis})", formats, tuple(formats))

    def movers(self) -> Table:
        """What changed most since the month before."""
        frame = self._movers(self.top_movers)
        names = {"project": "Project", "category": "Category", "before": f"{self._before:%b %Y}",
                 "now": f"{self.month:%b %Y}", "change": "Change"}  # fmt: skip
        return Table(frame, names, f"{self._movers_finding()} ({self.basis})",
                     {"before": MONEY, "now": MONEY, "change": SIGNED})  # fmt: skip

    def movers_chart(self):
        from dcbudget import charts

        frame = self._movers(self.top_movers)
        frame["label"] = frame["project"] + ", " + frame["category"]
        what = self._what(f"change since {self._before:%B %Y}")
        return charts.show(charts.movers_bars(frame, self._movers_finding(), what))

    def gpu_hours(self) -> Table:
        """GPU-hours of the month by pool: capacity, allocated, used, idle, and the money of idle."""
        names = {"pool": "Pool", "capacity_gpu_hours": "Capacity", "allocated_gpu_hours": "Allocated",
                 "idle_gpu_hours": "Idle", "allocation_rate": "Allocated / capacity",
                 "gpu_utilisation": "GPU utilisation of allocated", "effective_cost": "Cost of capacity",
                 "effective_cost_per_gpu_hour": "Cost per GPU-hour of capacity",
                 "idle_effective_cost": "Idle money"}  # fmt: skip
        formats = {"capacity_gpu_hours": COUNT, "allocated_gpu_hours": COUNT, "idle_gpu_hours": COUNT,
                   "allocation_rate": RATE, "gpu_utilisation": RATE, "effective_cost": MONEY,
                   "effective_cost_per_gpu_hour": CENTS, "idle_effective_cost": MONEY}  # fmt: skip
        total = ("capacity_gpu_hours", "allocated_gpu_hours", "idle_gpu_hours", "effective_cost", "idle_effective_cost")
        return Table(self.pools, names, f"{self._idle_finding()} ({self.basis})", formats, total)

    def gpu_buckets_chart(self):
        """Where the GPU-hours of every pool went."""
        from dcbudget import charts

        frame = ledger.by_bucket(self.gpu_ledger, ["pool"]).rename(columns={"bucket": "part"})
        frame = frame.sort_values("part", key=lambda part: part.map(ledger.BUCKETS.index), kind="stable")
        subtitle = f"GPU-hours that were paid for in {self.month:%B %Y}, by pool; the money is {self.basis}"
        return charts.show(charts.stacked_hours(frame, self._buckets_finding(), subtitle))

    def gpu_buckets(self) -> Table:
        """Every paid GPU-hour of the month in one bucket, with its money."""
        frame = ledger.by_bucket(self.gpu_ledger)
        names = {"bucket": "GPU-hours that were", "gpu_hours": "GPU-hours", "hours_share": "of all hours",
                 "effective_cost": "Effective cost", "cost_share": "of all cost",
                 "billed_cost": "Billed cost"}  # fmt: skip
        formats = {"gpu_hours": COUNT, "hours_share": RATE, "effective_cost": MONEY, "cost_share": RATE,
                   "billed_cost": MONEY}  # fmt: skip
        title = f"{self._buckets_finding()} ({self.basis}; billed cost beside it)"
        return Table(frame, names, title, formats, ("gpu_hours", "effective_cost", "billed_cost"))

    def gpu_buckets_by_project(self) -> Table:
        """The same money by project: who ran the failed jobs and held the idle GPUs."""
        frame = ledger.by_project(self.gpu_ledger)
        amounts = [name for name in frame if name != "project"]
        names = {"project": "Project", **{name: name.capitalize() for name in amounts}}
        wasted = frame[[name for name in ("failed or restarted", "held but idle") if name in frame]].sum().sum()
        title = f"Failed, restarted and idle jobs held {self._money(wasted)} of GPUs ({self.basis})"
        return Table(frame, names, title, dict.fromkeys(amounts, MONEY), tuple(amounts))

    def unit_costs(self) -> Table:
        """Cost per allocated GPU-hour and per completed job, by project."""
        lines = warehouse.mart("unit_cost_monthly", self.db, month=self.month.date())
        lines = self.reading.convert(lines, ["gpu_effective_cost"])
        frame = review.unit_costs(lines, self.reading.names)
        names = {"project": "Project", "gpu_effective_cost": "Cost of GPUs", "allocated_gpu_hours": "GPU-hours",
                 "effective_cost_per_gpu_hour": "per GPU-hour", "completed_jobs": "Completed jobs",
                 "effective_cost_per_completed_job": "per completed job"}  # fmt: skip
        formats = {"gpu_effective_cost": MONEY, "allocated_gpu_hours": COUNT, "effective_cost_per_gpu_hour": CENTS,
                   "completed_jobs": COUNT, "effective_cost_per_completed_job": CENTS}  # fmt: skip
        return Table(frame, names, f"What an allocated GPU-hour and a completed job cost ({self.basis})", formats)

    def showback(self) -> Table:
        """What each project cost, by category."""
        frame = self.this_month.pivot_table(index="project", columns="category", values="actual", aggfunc="sum")
        order = frame.sum().sort_values(ascending=False)
        frame = frame[order[order != 0].index].fillna(0.0)
        frame["all"] = frame.sum(axis=1)
        frame = frame[frame["all"] != 0]
        nobody = frame.index.isin(NOBODY)
        frame = frame.assign(last=nobody).sort_values(["last", "all"], ascending=[True, False], kind="stable")
        frame = frame.drop(columns="last").reset_index()
        frame["share"] = frame["all"] / frame["all"].sum()
        amounts = [*order[order != 0].index, "all"]
        names = {"project": "Project", **{name: name for name in amounts}, "all": "All", "share": "Share"}
        idle, unknown = (frame.loc[frame["project"] == name, "share"].sum() for name in NOBODY)
        title = f"{1 - idle - unknown:.0%} of the cost of {self.month:%B %Y} is shown to projects"
        title += f", {idle:.0%} stood idle" if idle else ""
        title += f", {unknown:.1%} is of nobody" if unknown else ""
        formats = dict.fromkeys(amounts, MONEY) | {"share": RATE}
        return Table(frame, names, f"{title} ({self.basis})", formats, (*amounts, "share"))

    def commitments(self) -> Table:
        """Reservations and savings plans of the month: used and unused."""
        paid = ["used_effective_cost", "unused_effective_cost"]
        frame = self.reading.mart("commitments_monthly", paid, month=self.month.date())
        frame = frame.fillna({"unused_effective_cost": 0.0, "used_effective_cost": 0.0})
        whole = frame["used_effective_cost"] + frame["unused_effective_cost"]
        frame["utilisation"] = frame["used_effective_cost"] / whole.where(whole > 0)
        unused = frame["unused_effective_cost"].sum()
        names = {"commitment": "Commitment", "gpu_model": "GPU", "used_effective_cost": "Used",
                 "unused_effective_cost": "Unused", "utilisation": "Commitment utilisation"}  # fmt: skip
        formats = {"used_effective_cost": MONEY, "unused_effective_cost": MONEY, "utilisation": RATE}
        title = f"{self._money(unused)} of commitments went unused ({self.basis})"
        return Table(frame, names, title, formats, ("used_effective_cost", "unused_effective_cost"))

    def checks(self) -> Table:
        """Every check of the database, with the rows it found."""
        frame = warehouse.check(self.db)
        failing = int((frame["offending_rows"] > 0).sum())
        title = f"{len(frame) - failing} of {len(frame)} checks passed"
        names = {"check": "Check", "about": "What holds", "offending_rows": "Offending rows"}
        return Table(frame, names, title, {"offending_rows": COUNT})

    def sources(self) -> Table:
        """What was loaded, by format: files, rows and billed money read, loaded and rejected."""
        frame = warehouse.mart("sources", self.db)
        frame["currency"] = frame["currency"].fillna("")
        frame = frame.groupby(["dataset", "format", "currency"], as_index=False).agg(
            files=("load_id", "nunique"), rows_read=("rows_read", "sum"), rows_loaded=("rows_loaded", "sum"),
            rows_rejected=("rows_rejected", "sum"), cost_read=("cost_read", "sum"),
            cost_rejected=("cost_rejected", "sum"),
        )  # fmt: skip
        names = {"dataset": "Table", "format": "Format", "files": "Files", "rows_read": "Rows read",
                 "rows_loaded": "Rows loaded", "rows_rejected": "Rows rejected", "currency": "Currency",
                 "cost_read": "Money read", "cost_rejected": "Money rejected"}  # fmt: skip
        formats = dict.fromkeys(("files", "rows_read", "rows_loaded", "rows_rejected"), COUNT)
        formats |= {"cost_read": CENTS, "cost_rejected": CENTS}
        rejected = int(frame["rows_rejected"].sum())
        title = f"{int(frame['files'].sum())} files loaded, {rejected:,} rows rejected (billed or budgeted money)"
        return Table(frame, names, title, formats)

    def budget_and_actual(self) -> Table:
        """Every line of the months with a budget or bills."""
        names = {"month": "Month", "project": "Project", "category": "Category", "budget": "Budget",
                 "actual": "Actual", "currency": "Currency"}  # fmt: skip
        title = f"Budget and actual by month, project and category ({self.basis})"
        return Table(self.lines, names, title, {"budget": CENTS, "actual": CENTS})

    @property
    def _before(self) -> pd.Timestamp:
        return self.month - pd.DateOffset(months=1)

    def _movers(self, top: int) -> pd.DataFrame:
        comparable = self.costs if self._before in self.months else self.costs.head(0)
        return review.movers(comparable, self.month, ["project", "category"], top)

    def _variance_table(self, by: str, heading: str) -> Table:
        frame = review.variance_by(self.this_month, by)
        names = {
            by: heading,
            "budget": "Budget",
            "actual": "Actual",
            "variance": "Variance",
            "variance_rate": "Variance / budget",
        }
        formats = {"budget": MONEY, "actual": MONEY, "variance": SIGNED, "variance_rate": SIGNED_RATE}
        title = f"{self._variance_finding(frame)} ({self.basis})"
        return Table(frame, names, title, formats, ("budget", "actual", "variance"))

    def _variance_finding(self, frame: pd.DataFrame) -> str:
        if not self.plan_version:
            return f"No plan covers {self.month:%B %Y}"
        named = frame[~frame.iloc[:, 0].isin(NOBODY)]
        worst = named.sort_values("variance", ascending=False).iloc[0] if len(named) else None
        if worst is None or worst["variance"] <= 0:
            return f"Nothing is over budget in {self.month:%B %Y}"
        return f"{worst.iloc[0]}: {self._money(worst['variance'])} over budget in {self.month:%B %Y}"

    def _movers_finding(self) -> str:
        mover = self.biggest_mover
        if mover is None:
            no_bill = self._before not in self.months
            return f"{'No charges are known of' if no_bill else 'Nothing changed since'} {self._before:%B %Y}"
        rose = "rose" if mover["change"] > 0 else "fell"
        return f"{mover['category']} of {mover['project']} {rose} most, by {self._money(abs(mover['change']))}"

    def _idle_finding(self) -> str:
        hours = self.pools[self.pools["capacity_gpu_hours"] > 0]
        if hours.empty:
            return f"No GPU capacity is known for {self.month:%B %Y}"
        share = hours["idle_gpu_hours"].sum() / hours["capacity_gpu_hours"].sum()
        money = self._money(hours["idle_effective_cost"].sum())
        return f"{share:.0%} of the GPU-hours that were paid for had no job: {money} of idle money"

    def _buckets_finding(self) -> str:
        frame = ledger.by_bucket(self.gpu_ledger).set_index("bucket")
        if "useful" not in frame.index or not frame["effective_cost"].sum():
            return f"No useful GPU-hours are known for {self.month:%B %Y}"
        useful = frame.at["useful", "cost_share"]
        return f"{useful:.0%} of the money for GPUs went to useful work"

    def _landing_remark(self) -> str:
        """How the landing compares with the budget, where both are of the whole year."""
        landing = self.landing
        if landing.months_without_actual:
            return f", without {landing.months_without_actual} months that have no charges"
        if not landing.budget:
            return ""
        if landing.months_without_budget:
            return f", of which {landing.months_without_budget} months have no budget"
        return f", {self._over(landing.variance / landing.budget)}"

    def _known(self, monthly: pd.DataFrame) -> pd.DataFrame:
        return monthly.assign(
            budget=monthly["budget"].where(monthly["month"].isin(self.budget["month"])),
            actual=monthly["actual"].where(monthly["month"].isin(self.months)),
        )

    def _what(self, what: str) -> str:
        return f"{what}, {self.basis}, {self.month:%B %Y}"

    def _money(self, amount: float) -> str:
        return f"{MONEY.format(amount)} {self.currency}"

    @staticmethod
    def _over(rate: float) -> str:
        if pd.isna(rate):
            return "nothing was budgeted"
        return f"{abs(rate):.1%} {'over' if rate > 0 else 'under'} budget"


def pool_names(frame: pd.DataFrame) -> pd.Series:
    """What the pools of a frame are called: cluster and GPU model."""
    return frame["cluster"].fillna("no cluster") + " " + frame["gpu_model"].fillna("GPU of unknown model")
