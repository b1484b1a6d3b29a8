"""6_adjust: will we land on budget, and what do we move?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import pandas as pd

from dcbudget import adjustments, budget
from dcbudget.errors import DcbudgetError
from dcbudget.models import adjustment, review
from dcbudget.models.optimize import reallocate
from dcbudget.models.optimize.reallocation import GOALS, RESERVE, Reallocation
from dcbudget.models.planning import IDLE
from dcbudget.models.privacy import INSIDE
from dcbudget.stages.forecast import Forecasts
from dcbudget.stages.period import in_range
from dcbudget.stages.variance import BUDGET, NAMES, Variance
from dcbudget.tables import CENTS, MONEY, RATE, SIGNED, SIGNED_RATE, Headline, Table

KEYS = ["project", "category"]
SOURCE = "6_adjust"


class Adjust:
    """The audit of a fiscal year's budget to date, its landing, and moves of money that would better it.

    Parameters
    ----------
    month : "YYYY-MM", the last month with actuals; "" for the latest that is billed to its end.
    database : file, "" for the default one.
    plan_version : the budget, "" for the last approved one; it must cover the whole fiscal year.
    currency : the currency of every amount, "" for the only one there is.
    fiscal_year_start : month in which the fiscal year begins, 1 to 12.
    floor : share of its year's budget that every line keeps at least, decimal.
    reserve : money beside the lines that moves may draw on.
    risk : a project gives only as far as its chance of overrun stays at most this, decimal.
    goal : "overrun" lowers the expected overrun, "chance" the chances of it.
    frozen : projects, categories, or "project, category", whose lines neither give nor get.
    no_consent : projects whose owners let nothing go.
    tolerance : share of its budget by which a line may miss it before the audit finds it, decimal.
    known_events : what the forecast knows to come, see `Forecasts`.
    standard_months : of the bridge, see `Variance`.
    draws, seed : of the forecast's paths.

    Raises
    ------
    DcbudgetError : no database, no such month or plan, a value out of range, several currencies without a rate.
    """

    def __init__(
        self,
        month: str = "",
        database: str = "",
        plan_version: str = "",
        currency: str = "",
        fiscal_year_start: int = 1,
        floor: float = 0.8,
        reserve: float = 0.0,
        risk: float = 0.2,
        goal: str = GOALS[0],
        frozen: Sequence[str] = (IDLE, "Owned hardware"),
        no_consent: Sequence[str] = (),
        tolerance: float = 0.05,
        known_events: Sequence[Mapping] = (),
        standard_months: int = 3,
        draws: int = 1000,
        seed: int = 1,
    ):
        self.tolerance = in_range("tolerance", tolerance, 0, 1)
        self.forecasts = Forecasts(month, database, currency, fiscal_year_start, known_events, INSIDE, plan_version,
                                   draws, seed)  # fmt: skip
        self._review = self.forecasts.review
        self.db, self.month, self.plan_version = self.forecasts.db, self.forecasts.month, self._review.plan_version
        self.currency, self.basis = self.forecasts.currency, self.forecasts.basis
        if not self.plan_version:
            raise DcbudgetError(f"no plan covers {self.month:%Y-%m}, so there is no budget to adjust")
        self.year_start, self.year_end = self.forecasts.year_start, self.forecasts.year_end_month
        self.to_come = self.forecasts.months
        first = min(known for known in self._review.months if known >= self.year_start)
        self.variance = Variance(f"{self.month:%Y-%m}", f"{first:%Y-%m}", BUDGET, database, self.plan_version,
                                 self.currency, standard_months)  # fmt: skip
        self.rules = {"floor": in_range("floor", floor, 0, 1), "reserve": in_range("reserve", reserve, 0, 1e15),
                      "risk": in_range("risk", risk, 0, 1), "goal": goal,
                      "frozen": tuple(frozen), "no_consent": tuple(no_consent)}  # fmt: skip
        self._known: dict[tuple, Reallocation] = {}

    @cached_property
    def lines(self) -> pd.DataFrame:
        """The fiscal year by project and category: `budget_to_date`, `actual`, `budget` (of the year), `ahead` (of it
        still to come), and `recent`, what the last three months cost."""
        known = self._review.lines
        year = known[(known["month"] >= self.year_start) & (known["month"] < self.year_end)]
        past = year["month"] <= self.month
        recent = known[(known["month"] <= self.month) & (known["month"] > self.month - pd.DateOffset(months=3))]
        sums = {"budget": year["budget"], "budget_to_date": year["budget"].where(past, 0.0),
                "ahead": year["budget"].where(~past, 0.0), "actual": year["actual"].where(past, 0.0)}  # fmt: skip
        frame = year[KEYS].assign(**sums).groupby(KEYS).sum()
        frame = frame.join(recent.groupby(KEYS)["actual"].sum().rename("recent"), how="outer")
        lone = [name for name in self.forecasts.draws if name not in frame.index.get_level_values(0)]
        new = pd.MultiIndex.from_tuples([(name, "Other services") for name in lone], names=KEYS)
        return frame.reindex(frame.index.append(new)).fillna(0.0).reset_index()

    @cached_property
    def history(self) -> pd.DataFrame:
        """Spend by month (rows) and line (columns), of all months with bills to this one."""
        costs = self._review.costs
        months = [month for month in self._review.months if month <= self.month]
        table = costs.pivot_table(index="month", columns=KEYS, values="cost", aggfunc="sum")
        return table.reindex(months).fillna(0.0)

    @cached_property
    def spend(self) -> np.ndarray:
        """Draws of the year's spend, (draws, lines) in the order of `lines`."""
        recent = self.lines[["recent"]].rename(columns={"recent": "actual"})
        paths = self.forecasts.paths.sum(axis=1)
        return adjustment.by_line(paths, list(self.forecasts.draws), self.lines[["project", "actual"]], recent)

    def moves(self, **rules) -> Reallocation:
        """What the optimiser moves under the rules, those that are named here in place of the given ones.

        Raises
        ------
        OutOfRange : a rule lies outside its range.
        """
        told = self.rules | rules
        key = tuple(told.values())
        if key not in self._known:
            floor = in_range("floor", told["floor"], 0, 1)
            held = self.lines["budget"].clip(lower=0)
            label = self.lines["project"] + ", " + self.lines["category"]
            lines = self.lines[KEYS].assign(
                budget=held,
                # what is spent, or was to be spent by now, cannot move any more
                floor=np.maximum(held * floor, held - self.lines["ahead"].clip(lower=0)),
                frozen=self.lines[KEYS].isin(told["frozen"]).any(axis=1) | label.isin(told["frozen"]) | (held == 0),
                consent=~self.lines["project"].isin(told["no_consent"]),
            )
            found = reallocate(lines, self.spend, goal=told["goal"], reserve=told["reserve"],
                               most_chance=in_range("risk", told["risk"], 0, 1))  # fmt: skip
            self._known[key] = self._to_where_it_is_short(found, lines) if told["goal"] == "chance" else found
        return self._known[key]

    def _to_where_it_is_short(self, found: Reallocation, lines: pd.DataFrame) -> Reallocation:
        """Moves to the line of each project that overruns most: its chance is the same whichever line gets them."""
        over = lines[KEYS].assign(over=np.maximum(self.spend - lines["budget"].to_numpy(), 0.0).mean(axis=0))
        over = over[~lines["frozen"]].sort_values("over", kind="stable").drop_duplicates("project", keep="last")
        short = over.set_index("project")["category"]
        return replace(found, moves=found.moves.assign(to_category=found.moves["to_project"].map(short)))

    @property
    def goals(self) -> tuple[str, ...]:
        """What moves may serve."""
        return GOALS[:2]

    @property
    def most_reserve(self) -> float:
        """End of a reserve's slider: what would cover the projects' expected overrun."""
        return float(np.ceil(max(self.moves().projects["expected_overrun_before"].sum(), 1000.0) / 1e4) * 1e4)

    @property
    def remarks(self) -> dict[str, str]:
        """Rule -> what it means."""
        frozen = f"frozen: {', '.join(self.rules['frozen']) or 'nothing'}"
        closed = f"no consent: {', '.join(self.rules['no_consent']) or 'nobody'}"
        return {
            "floor": f"share of its year's budget that a line keeps; {frozen}",
            "reserve": f"{self.currency} beside the lines that may be given out",
            "risk": f"chance of overrun up to which a project may give; {closed}",
            "goal": "overrun: the least expected overrun; chance: the least sum of the projects' chances",
        }

    # What is shown.

    @staticmethod
    def show(chart):
        """A chart for where it is shown, live or as a picture."""
        from dcbudget import charts

        return charts.show(chart)

    def headline(self, found: Reallocation | None = None) -> Headline:
        """Where the year stands, how it lands, and what moves bring."""
        found = found or self.moves()
        row, total = self.lines[["budget_to_date", "actual", "budget"]].sum(), found.total
        landing, p80 = self.forecasts.landings.iloc[-1]["landing"], np.quantile(self.spend.sum(axis=1), 0.8)
        before, after = (found.projects[f"expected_overrun_{when}"].sum() for when in ("before", "after"))
        figures = [
            ("Spent", self._money(row["actual"]), f"{self.span}, {self._over(row['actual'], row['budget_to_date'])}"),
            ("Lands at", self._money(landing), f"forecast; P80 {self._money(p80)}"),
            ("Budget", self._money(row["budget"]), f"of the year, plan {self.plan_version}"),
            ("Chance of overrun", f"{total['chance_before']:.0%}", f"of the whole; after the moves"
             f" {total['chance_after']:.0%}"),
            ("Expected overrun", self._money(before), f"of the projects; after the moves {self._money(after)}"),
            ("Moves", f"{len(found.moves)}", f"{self._money(found.moves['amount'].sum())} in all"),
        ]  # fmt: skip
        return Headline(f"Budget execution, fiscal year from {self.year_start:%b %Y} ({self.basis})", figures)

    def chances_chart(self, found: Reallocation | None = None):
        """Chance of overrun by project, now and after the moves; an Altair chart."""
        from dcbudget.charts import adjust as charts

        found = found or self.moves()
        frame = self._by_project(found).melt("project", ["chance_before", "chance_after"], "when", "chance")
        frame["when"] = frame["when"].map({"chance_before": "now", "chance_after": "after the moves"})
        return charts.chances(frame, self._finding(found), f"year to {self._last:%b %Y}, {self.basis};"
                              f" plan {self.plan_version}")  # fmt: skip

    def chances_table(self, found: Reallocation | None = None) -> Table:
        """Budget, landing and chance of overrun of the year by project, now and after the moves."""
        found = found or self.moves()
        frame = self._by_project(found)
        names = {"project": "Project", "budget_before": "Budget", "p50": "Lands at (P50)", "p80": "P80",
                 "chance_before": "Chance of overrun", "expected_overrun_before": "Expected overrun",
                 "budget_after": "Budget after", "chance_after": "Chance after",
                 "expected_overrun_after": "Expected after"}  # fmt: skip
        sums = ("budget_before", "expected_overrun_before", "budget_after", "expected_overrun_after")
        formats = {name: MONEY for name in names if name != "project"} | {"chance_before": RATE, "chance_after": RATE}
        return Table(frame, names, f"{self._finding(found)} (year to {self._last:%b %Y}, {self.basis})", formats, sums)

    def moves_table(self, found: Reallocation | None = None) -> Table:
        """Every proposed move and what it is worth by itself."""
        found = found or self.moves()
        frame = found.moves.assign(move=self.move_names(found))
        names = {"move": "Move", "amount": "Amount", "overrun_avoided": "Overrun avoided",
                 "chance_avoided": "Chances avoided"}  # fmt: skip
        formats = {"amount": CENTS, "overrun_avoided": MONEY, "chance_avoided": RATE}
        if frame.empty:
            title = "No move under these rules would better the landing"
        else:
            title = f"{len(frame)} moves avoid {self._money(self._avoided(found))} of expected overrun"
        return Table(frame, names, f"{title} ({self.basis}; chances of the projects added up)", formats, ("amount",))

    def move_names(self, found: Reallocation | None = None) -> list[str]:
        """What a panel calls the moves."""
        found = found or self.moves()
        return [f"{_side(row.from_project, row.from_category)} to {_side(row.to_project, row.to_category)}"
                for row in found.moves.itertuples()]  # fmt: skip

    def audit(self, by: str = "project") -> Table:
        """Execution of the budget to date by project or category, with what the audit finds."""
        lines = self.lines.rename(columns={"budget": "year"}).rename(columns={"budget_to_date": "budget"})
        frame = review.variance_by(lines, by)
        frame = frame.assign(executed=frame["actual"] / frame["budget"].where(frame["budget"] > 0))
        chance = self.forecasts.chance_of_overrun(self._budgets).set_index("project")["chance"]
        frame["chance"] = frame[by].map(chance) if by == "project" else np.nan
        frame["finding"] = [self._found(row._asdict(), by) for row in frame.itertuples(index=False)]
        names = {by: by.capitalize(), "budget": "Budget to date", "actual": "Actual", "variance": "Variance",
                 "variance_rate": "Variance / budget", **({"chance": "Chance of overrun"} if by == "project" else {}),
                 "finding": "Finding"}  # fmt: skip
        formats = {"budget": MONEY, "actual": MONEY, "variance": SIGNED, "variance_rate": SIGNED_RATE, "chance": RATE}
        count = int((frame["variance"] > frame["budget"] * self.tolerance).sum())
        what = {"project": "projects", "category": "categories"}[by]
        title = f"{count} of {len(frame)} {what} are more than {self.tolerance:.0%} over budget"
        return Table(frame, names, f"{title} ({self.span}, {self.basis})", formats, ("budget", "actual", "variance"))

    def bridge_chart(self):
        """From the budget to date to what was spent; an Altair chart."""
        return self.variance.chart()

    def bridge_table(self) -> Table:
        return self.variance.table("project")

    def programmes(self, programmes: Sequence[Mapping]) -> Table:
        """Earned value of training programmes to this month, see `stages.earned`."""
        from dcbudget.stages.earned import earned

        return earned(programmes, self.month, self._review.reading)

    # Decisions.

    def propose(self, move: str, owner: str, date: str, **rules) -> str:
        """Write one of the moves into the ledger as proposed, and say so; "" proposes nothing.

        Raises
        ------
        DcbudgetError : there is no such move, or owner or date are missing.
        """
        if not move:
            return "nothing was proposed: no move was named"
        found = self.moves(**rules)
        names = self.move_names(found)
        if move not in names:
            raise DcbudgetError(f"no move {move!r}; there are: {'; '.join(names) or 'none'}")
        row = found.moves.iloc[names.index(move)]
        from_reserve = row["from_project"] == RESERVE
        if not len(self.to_come):
            raise DcbudgetError(
                f"the fiscal year ends with {self.month:%Y-%m}; no month is left in which money can move"
            )
        line = adjustments.propose(
            owner=owner, date=date, promised_saving=round(row["overrun_avoided"], 2), currency=self.currency,
            first_month=self.to_come[0], last_month=self.to_come[-1], amount=round(row["amount"], 2),
            from_project=None if from_reserve else row["from_project"],
            from_category=None if from_reserve else row["from_category"],
            to_project=row["to_project"], to_category=row["to_category"], source=SOURCE,
            reason=f"{row['to_project']} overruns by {row['overrun_avoided']:,.0f} less on average",
            plan_version=self.plan_version, counterfactual=adjustments.BUDGET_BEFORE, db=self.db,
        )  # fmt: skip
        return f"proposed {line}"

    def accept(self, adjustment: str, date: str, consent: str = "") -> str:
        """Accept a proposal of the ledger and say what follows; "" accepts nothing."""
        if not adjustment:
            return "nothing was accepted: no adjustment was named"
        line, plan = adjustments.accept(adjustment, date, consent=consent, db=self.db)
        told = [f"accepted {line}.", *([f"{plan}.", *plan.remarks] if plan else [])]
        return " ".join(told)

    @property
    def proposed(self) -> list[str]:
        """Adjustments that wait for a decision."""
        frame = adjustments.ledger(self.db)
        return list(frame.loc[frame["status"] == adjustments.PROPOSED, "adjustment_id"])

    def measured(self, record: bool = False, database: str = "", wait_seconds: float = 60.0) -> pd.DataFrame:
        """The accepted adjustments that began by this month, with what they saved so far.

        `record` writes it down, in another database than is read where one is named.
        """
        frame = adjustments.ledger(self.db)
        frame = frame[(frame["status"] == adjustments.ACCEPTED) & (frame["first_month"] <= self.month)]
        rows = []
        for line in frame.itertuples():
            saving = self._saved(line)
            rows.append((line.adjustment_id, saving.saving, saving.low, saving.high))
            if record:
                adjustments.record_realised(
                    line.adjustment_id, self.month, saving, database or self.db, wait_seconds=wait_seconds
                )
        return pd.DataFrame(rows, columns=["adjustment_id", "realised", "low", "high"])

    def _saved(self, line) -> adjustment.Saving:
        if line.counterfactual == adjustments.BUDGET_BEFORE:
            return adjustment.overrun_avoided(
                *self._by_projects(self.spend, *(self._budget_of(name) for name in
                                                 (line.plan_version, line.new_plan_version)))
            )  # fmt: skip
        months = pd.date_range(line.first_month, min(line.last_month, self.month), freq="MS")
        here = self.history.columns.get_level_values(0) == line.from_project
        if isinstance(line.from_category, str):
            here &= self.history.columns.get_level_values(1) == line.from_category
        spent = self.history.loc[:, here].sum(axis=1)
        if line.counterfactual == adjustments.FORECAST:
            expected = adjustments.expectations(line.adjustment_id, self.db)
            return adjustment.realised(expected[expected["month"].isin(months)], spent.reindex(months))
        others = self.history.loc[:, ~here].sum(axis=1)
        before = self.history.index[self.history.index < line.first_month][-6:]
        return adjustment.realised(
            adjustment.run_rate(spent[before], others[before], others.reindex(months)), spent.reindex(months)
        )

    def _budget_of(self, name: str) -> np.ndarray:
        plan = budget.lines_of(name, self.db)
        plan = plan[(plan["month"] >= self.year_start) & (plan["month"] < self.year_end)].copy()
        sums = self._review.reading.prepare(plan, ["amount"]).groupby(KEYS)["amount"].sum()
        return sums.reindex(pd.MultiIndex.from_frame(self.lines[KEYS]), fill_value=0.0).to_numpy()

    def _by_projects(self, spend: np.ndarray, *budgets: np.ndarray) -> list[np.ndarray]:
        """Lines summed to projects, since money is pooled within one."""
        of, names = pd.factorize(self.lines["project"])
        table = np.eye(len(names))[of]
        return [spend @ table, *(held @ table for held in budgets)]

    def ledger(self) -> Table:
        """The ledger: what was proposed and decided, what it promised and what it saved to date."""
        frame = adjustments.summary("", self.db)
        saved = self.measured().set_index("adjustment_id")
        told = {name: "{:,.0f} ({:,.0f} to {:,.0f})".format(*row) for name, row in saved.iterrows()}
        frame["to_date"] = [told.get(name, "") for name in frame["adjustment_id"]]
        names = {"adjustment_id": "Adjustment", "status": "Status", "owner": "Owner", "from": "From", "to": "To",
                 "amount": "Amount", "promised": "Promised", "to_date": "Saved to date (P10 to P90)"}  # fmt: skip
        waiting = int((frame["status"] == adjustments.PROPOSED).sum())
        title = f"{len(frame)} adjustments, {waiting} of them wait for a decision"
        formats = {"adjustment_id": "{}", "amount": CENTS, "promised": CENTS, "to_date": "{}"}
        return Table(frame, names, f"{title} (measured to {self.month:%B %Y}, {self.currency})", formats)

    # Findings.

    @property
    def span(self) -> str:
        return self.variance.span

    @property
    def _last(self) -> pd.Timestamp:
        return self.year_end - pd.DateOffset(months=1)

    def _by_project(self, found: Reallocation) -> pd.DataFrame:
        frame = found.projects.copy()
        of = self.lines["project"].to_numpy()
        sums = {project: self.spend[:, of == project].sum(axis=1) for project in frame["project"]}
        for name, share in (("p50", 0.5), ("p80", 0.8)):
            frame[name] = [float(np.quantile(sums[project], share)) for project in frame["project"]]
        return frame.sort_values(["expected_overrun_before", "project"], ascending=[False, True], ignore_index=True)

    @property
    def _budgets(self) -> pd.Series:
        return self.lines.groupby("project")["budget"].sum()

    def _found(self, row: dict, by: str) -> str:
        """What the audit says of one project or category."""
        if not row["budget"]:
            return "nothing was budgeted"
        if row["variance"] > row["budget"] * self.tolerance:
            cause = self._cause(row[by]) if by == "project" else ""
            return f"over budget{cause}"
        if row["variance"] < -row["budget"] * self.tolerance:
            return f"{-row['variance'] / row['budget']:.0%} of its budget was not needed"
        if row["chance"] > 0.5:
            return "on budget to date, likely over at the end"
        return "on budget"

    def _cause(self, project: str) -> str:
        frame = self.variance.bridge.by("project").set_index("project")
        if project not in frame.index:
            return ""
        effects = frame.loc[project, list(NAMES)]
        name = effects.astype(float).idxmax()
        return f", most by {NAMES[name].lower()} ({SIGNED.format(effects[name])})"

    def _avoided(self, found: Reallocation) -> float:
        frame = found.projects
        return float((frame["expected_overrun_before"] - frame["expected_overrun_after"]).sum())

    def _finding(self, found: Reallocation) -> str:
        total, frame = found.total, found.projects
        likely = int((frame["chance_before"] > 0.5).sum())
        said = (
            f"The year overruns in {total['chance_before']:.0%} of the cases, {likely} of {len(frame)} projects in most"
        )
        return f"{said}; moves avoid {self._money(self._avoided(found))}" if len(found.moves) else said

    def _money(self, amount: float) -> str:
        return f"{MONEY.format(amount)} {self.currency}"

    @staticmethod
    def _over(actual: float, planned: float) -> str:
        if not planned:
            return "nothing was budgeted"
        return f"{abs(actual / planned - 1):.1%} {'over' if actual > planned else 'under'} budget"


def _side(project: str, category: str) -> str:
    return ", ".join(part for part in (project, category) if part)
